"""
Count how often code outside the package reaches for its private names.

    python tools/private_access.py              # the counts for the tests, the benchmarks and the testing kit
    python tools/private_access.py tests --all  # with the place of each

Counted are three things:

- accesses: attributes such as ``executor._group``, but not those of ``self``, ``cls`` and ``super()``;
- imports: names imported from private modules of ``lionpride_exec``, each name of a statement by itself;
- patches: texts that name a private module of ``lionpride_exec``, as ``monkeypatch.setattr()`` takes them.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "lionpride_exec"
ROOT = Path(__file__).parent.parent
FOLDERS = ("tests", "benchmarks", f"{PACKAGE}/testing")

# Public in spite of their names.
PUBLIC = {"os._exit"}

PATCH = re.compile(rf"{PACKAGE}(\.\w+)*\._\w+[\w.]*")


class Use(NamedTuple):
    """A use of a private name, and where it stands."""

    kind: str
    path: Path
    line: int
    name: str


def is_private(name: str) -> bool:
    """Return whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def is_own(value: ast.expr) -> bool:
    """Return whether an expression is the object, or the class, to which the code belongs."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in {"self", "cls", "mcs"}


def names_of(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of each private name that a node of the syntax tree uses."""
    if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
        if (name := ast.unparse(node)) not in PUBLIC:
            yield "accesses", name
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.startswith(f"{PACKAGE}.") and any(map(is_private, alias.name.split("."))):
                yield "imports", alias.name
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
        for alias in node.names:
            if any(map(is_private, f"{node.module}.{alias.name}".split("."))):
                yield "imports", f"{node.module}.{alias.name}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PATCH.fullmatch(node.value):
        yield "patches", node.value


def uses_in(folder: Path) -> list[Use]:
    """Return each use of a private name in the modules below a folder."""
    return [
        Use(kind, path, getattr(node, "lineno", 0), name)
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for kind, name in names_of(node)
    ]


def count(uses: list[Use]) -> dict[str, int]:
    """Return the number of uses of each kind."""
    return {kind: sum(use.kind == kind for use in uses) for kind in ("accesses", "imports", "patches")}


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, help="default: tests, benchmarks and the testing kit")
    parser.add_argument("--all", action="store_true", help="print the place of each")
    given = parser.parse_args()
    for folder in given.folders:
        uses = uses_in(ROOT / folder)
        print(f"{folder}: {', '.join(f'{number} {kind}' for kind, number in count(uses).items())}")
        for use in uses if given.all else ():
            print(f"  {use.path.relative_to(ROOT)}:{use.line}: {use.kind}: {use.name}")


if __name__ == "__main__":
    main()
