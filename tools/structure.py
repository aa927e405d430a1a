"""
Measure how the package is put together, and fail where that goes beyond the bounds.

    python tools/structure.py            # the measurements
    python tools/structure.py --check    # exits 1 if something is beyond the bounds

A *part* is a subpackage or a module directly inside ``lionpride_exec``. A part stands one floor above the highest part
that it imports; imports for type checkers count like all others. A circle is a set of modules that import each other,
directly or through others. The lines of a function are those of its body: without its docstring, with the functions
inside it.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import NamedTuple

PACKAGE = "lionpride_exec"
ROOT = Path(__file__).parent.parent / PACKAGE

MAX_FLOORS = 11
MAX_CIRCLES = 0
MAX_LINES = {f"{PACKAGE}._executor.executor": 700}  # the facade is nearly all docstring
USUAL_MAX_LINES = 400
MAX_FUNCTION_LINES = 40

Graph = dict[str, set[str]]


class Size(NamedTuple):
    """How large something is, and what it is."""

    lines: int
    name: str


def name_of(path: Path) -> str:
    """Return the dotted name of a module of the package."""
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse() -> dict[str, ast.Module]:
    """Return the syntax tree of each module."""
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str, tree: ast.Module, modules: dict[str, ast.Module], *, with_types: bool) -> set[str]:
    """Return the modules of the package that a module imports, those for type checkers included if asked for."""
    only_types: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            only_types.update(inner for statement in node.body for inner in ast.walk(statement))
    package = module if (ROOT.parent / Path(*module.split(".")) / "__init__.py").exists() else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node in only_types and not with_types):
            continue
        base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*base, node.module] if node.module else base)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            found.add(inner if inner in modules else source)
    return {each for each in found if each in modules and each != module}


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of nodes that reach each other, by Tarjan's algorithm, largest first."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        """Number a node, and those that it reaches."""
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            members, stack[at:] = stack[at:], []
            if len(members) > 1:
                found.append(sorted(members))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest chain of nodes each of which imports the next. The graph has no circle."""
    best: dict[str, list[str]] = {}

    def visit(node: str) -> list[str]:
        """Return the longest chain from a node."""
        if node not in best:
            best[node] = [node, *max((visit(other) for other in graph[node]), key=len, default=[])]
        return best[node]

    return max((visit(node) for node in graph), key=len, default=[])


def without_circles(graph: Graph) -> Graph:
    """Return a graph in which each circle is one node, so that it has a longest chain."""
    name = {node: node for node in graph}
    for members in circles(graph):
        name.update(dict.fromkeys(members, f"({len(members)} modules around {members[0]})"))
    merged: Graph = {name[node]: set() for node in graph}
    for node, others in graph.items():
        merged[name[node]] |= {name[other] for other in others} - {name[node]}
    return merged


def part_of(module: str) -> str:
    """Return the part that a module belongs to."""
    return module.split(".")[1]


def parts(graph: Graph) -> Graph:
    """Return the imports between parts. The package itself, which only gathers names, is none."""
    inner = {module: others - {PACKAGE} for module, others in graph.items() if module != PACKAGE}
    merged: Graph = {part_of(module): set() for module in inner}
    for module, others in inner.items():
        merged[part_of(module)] |= {part_of(other) for other in others} - {part_of(module)}
    return merged


def largest_classes(trees: dict[str, ast.Module]) -> list[Size]:
    """Return the classes by their lines with those of the bases that the package has for them alone, largest first."""
    own: dict[str, Size] = {}
    bases: dict[str, list[str]] = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                own[node.name] = Size((node.end_lineno or node.lineno) - node.lineno + 1, f"{module}.{node.name}")
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]

    def whole(name: str) -> int:
        """Return the lines of a class and of all its bases in the package."""
        return own[name].lines + sum(whole(base) for base in bases[name] if base in own and base != name)

    return sorted((Size(whole(name), size.name) for name, size in own.items()), reverse=True)


def long_modules() -> list[Size]:
    """Return the modules that are longer than allowed."""
    sizes = [Size(path.read_text(encoding="utf-8").count("\n"), name_of(path)) for path in sorted(ROOT.rglob("*.py"))]
    return [size for size in sizes if size.lines > MAX_LINES.get(size.name, USUAL_MAX_LINES)]


def long_functions(trees: dict[str, ast.Module]) -> list[Size]:
    """Return the functions whose bodies are longer than allowed."""
    found: list[Size] = []
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0
                found.append(Size(lines, f"{module}.{node.name}"))
    return [size for size in found if size.lines > MAX_FUNCTION_LINES]


def complaints(trees: dict[str, ast.Module]) -> list[str]:
    """Print the measurements, and return what is beyond the bounds."""
    run_time = {module: imports_of(module, tree, trees, with_types=False) for module, tree in trees.items()}
    graph = {module: imports_of(module, tree, trees, with_types=True) for module, tree in trees.items()}
    found, between = circles(graph), parts(graph)
    chain, floors = longest_chain(without_circles(run_time)), longest_chain(without_circles(between))
    print(f"{len(trees)} modules, {len(between)} parts")
    print(f"{len(floors)} floors: {' > '.join(floors)}")
    print(f"{len(chain)} modules in the longest chain of imports at run time: {' > '.join(chain)}")
    print(f"{len(circles(run_time))} circles of imports at run time, {len(found)} with those for type checkers")
    for members in found:
        print(f"  {len(members)} modules: {', '.join(members)}")
    for size in largest_classes(trees)[:5]:
        print(f"{size.lines} lines with its bases: {size.name}")
    wrong = [f"{len(floors)} floors, at most {MAX_FLOORS} are allowed"] if len(floors) > MAX_FLOORS else []
    wrong += [f"{len(found)} circles of modules, none is allowed"] if len(found) > MAX_CIRCLES else []
    wrong += [f"{len(circles(between))} circles of parts, none is allowed"] if circles(between) else []
    wrong += [f"{size.name} has {size.lines} lines" for size in long_modules()]
    wrong += [f"{size.name}() has {size.lines} lines without its docstring" for size in long_functions(trees)]
    return wrong


def main() -> int:
    """Print the measurements; return 1 if asked to check them and something is beyond the bounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if something is beyond the bounds")
    arguments = parser.parse_args()
    wrong = complaints(parse())
    for each in wrong:
        print(f"wrong: {each}", file=sys.stderr)
    return 1 if wrong and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
