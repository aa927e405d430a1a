"""How the package is built: what may read what. By the syntax trees of its modules."""

import ast
import importlib.util
import re
import sys
import tokenize
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from lionpride_exec import Executor, Processor

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run

PACKAGE = Path(__file__).parents[2] / "lionpride_exec"
TESTING = PACKAGE / "testing"


def trees(*folders, without=()):
    """Give each module below some folders with its syntax tree."""
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not any(path.is_relative_to(other) for other in without):
                yield path, ast.parse(path.read_text())


def is_private(name):
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


# ---------------------------------------------------------------- the testing kit and private state

# The views read private state, and `points` names the methods at which faults are injected. Nobody else does.
MAY_READ = {"_view.py", "_processor_view.py", "_faults/points.py"}

# Private names of other libraries, which the clocks need.
FOREIGN = {"_current_frames", "_call_func", "_ALLOW_DETERMINISTIC_SCHEDULING", "_run", "_clock_resolution"}


def own_names(tree):
    """Give the private names that the classes and functions of a module define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_of_itself(node):
            yield node.attr


def is_of_itself(node):
    """Whether an attribute is one of the object, or of the class, whose method it is in."""
    value = node.value
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def foreign_reads(tree, own, others):
    """Give the private attributes that a module uses of objects whose classes are defined elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in FOREIGN:
            allowed = own if is_of_itself(node) else own - others
            if node.attr not in allowed:
                yield f"line {node.lineno}: {ast.unparse(node)}"


def test_only_the_view_reads_private_state():
    """No module of the testing kit but its view uses an underscore attribute of the package's classes."""
    own = {name for _, tree in trees(TESTING) for name in own_names(tree)}
    others = {name for _, tree in trees(PACKAGE, without=[TESTING]) for name in own_names(tree)}
    found = [
        f"{path.relative_to(TESTING)}, {read}"
        for path, tree in trees(TESTING)
        if path.relative_to(TESTING).as_posix() not in MAY_READ
        for read in foreign_reads(tree, own, others)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["event._owner", "executor._agenda._keys", "self._executor._observers", "self._queue_pending(processor)"],
)
def test_a_read_of_private_state_is_noticed(line):
    """The test above finds each of the ways in which private state was read."""
    others = {"_owner", "_agenda", "_keys", "_observers", "_queue_pending"}
    tree = ast.parse(f"class Check:\n    def check(self, event, executor):\n        return {line}\n")
    assert list(foreign_reads(tree, {"_executor", "_owner"}, others))


# ---------------------------------------------------------------- the tests and private state


def load_counter():
    """Import the script that counts."""
    path = PACKAGE.parent / "tools" / "private_access.py"
    spec = importlib.util.spec_from_file_location("private_access", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# The aim is 20 of each. A change that needs fewer lowers the number.
MOST = {"accesses": 21, "imports": 28, "patches": 28}

# Where tests import private parts, each with its reason.
MAY_IMPORT = {"parts.py", "support.py"}


def test_tests_hardly_use_private_names():
    """A change inside the package concerns few tests: what they see of it is public, or stands in one place."""
    counter = load_counter()
    # What is below tests/data is run by an earlier version, in which it names what there was.
    uses = [use for use in counter.uses_in(Path(__file__).parents[1]) if "data" not in use.path.parts]
    found = counter.count(uses)
    assert {kind for kind, most in MOST.items() if found[kind] > most} == set(), found
    imports = {use.path.name for use in uses if use.kind == "imports"}
    assert imports == MAY_IMPORT


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("executor._agenda", "accesses"),
        ("from lionpride_exec._model.limits import Router", "imports"),
        ("from lionpride_exec import _start", "imports"),
        ("import lionpride_exec._start", "imports"),
        ("patch('lionpride_exec._model.element.random_id')", "patches"),
        ("self._made", None),
        ("super()._end()", None),
        ("os._exit(0)", None),
        ("event.__class__", None),
        ("from lionpride_exec import Event", None),
    ],
)
def test_each_use_of_a_private_name_is_counted(line, kind):
    """The counts of the test above see each way to reach for a private name, and nothing else."""
    counter = load_counter()
    found = [kind for node in ast.walk(ast.parse(line)) for kind, _ in counter.names_of(node)]
    assert found == [kind] * (kind is not None)


# ---------------------------------------------------------------- exceptions to the rules, and their reasons

MARK = re.compile(r"(ruff: )?(noqa(:( ?,? ?[A-Z]+\d+)+)?|(type|pyright): ignore(\[[\w, -]*\])?)")

# What may be in need of a reason, seen fast.
SUSPECT = re.compile(rf"{MARK.pattern}|time\.sleep|lambda [^:\n]*=")


def needs_reason(node):
    """Whether a node waits for real time, or is a lambda that binds a value when it is made."""
    if isinstance(node, ast.Lambda):
        defaults = [*node.args.defaults, *node.args.kw_defaults]
        return any(default is not None and not isinstance(default, ast.Constant) for default in defaults)
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"


def lines_without_reason(text):
    """Give the numbers of the lines with an exception to the rules and no reason, there or in the line above."""
    lines = text.splitlines(keepends=True)
    tokens = tokenize.generate_tokens(iter(lines).__next__)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    found = {line for line, comment in comments.items() if MARK.search(comment)}
    found |= {node.lineno for node in ast.walk(ast.parse(text)) if needs_reason(node)}
    for line in sorted(found):
        has_words = re.search(r"\w", MARK.sub("", comments.get(line, "")))
        if not has_words and not (line - 1 in comments and lines[line - 2].lstrip().startswith("#")):
            yield line


def test_each_exception_to_the_rules_has_its_reason_beside_it():
    """A suppressed complaint, a wait in real time and a value bound by a lambda: why is said there."""
    folders = [PACKAGE, *(PACKAGE.parent / name for name in ("benchmarks", "examples", "tests", "tools"))]
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{line}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if SUSPECT.search(text := path.read_text())
        for line in lines_without_reason(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("import a  # noqa: F401\n", [1]),
        ("import a  # noqa: F401, E402\n", [1]),
        ("import a  # noqa\n", [1]),
        ("import a  # noqa: F401  for its effect\n", []),
        ("# It is imported for its effect.\nimport a  # noqa: F401\n", []),
        ("import a  # for b\nimport b  # noqa: F401\n", [2]),
        ("a = b  # type: ignore[misc]\n", [1]),
        ("a = b  # type: ignore[misc]  # no stubs\n", []),
        ("time.sleep(1)\n", [1]),
        ("time.sleep(1)  # of a thread\n", []),
        ("text = 'time.sleep(1)'\n", []),
        ("a = lambda b=b: b\n", [1]),
        ("a = lambda b=b: b  # the loop goes on\n", []),
        ("a = lambda b=1: b\n", []),
    ],
)
def test_an_exception_without_a_reason_is_noticed(text, lines):
    """The test above sees each kind of exception."""
    assert list(lines_without_reason(text)) == lines


# ---------------------------------------------------------------- facades


@pytest.mark.parametrize("facade", [Executor, Processor])
def test_a_facade_has_parts_and_no_tower_of_classes(facade):
    """A facade has at most three bases of the package, side by side. What a facade owns is in its parts."""
    ours = [base for base in facade.__mro__[1:] if base.__module__.startswith("lionpride_exec")]
    assert len(ours) <= 3
    assert all(base.__bases__ == (object,) for base in ours)


# ---------------------------------------------------------------- the helpers beside the tests


def importable_files(root, folders):
    """Give the modules and packages in folders of the import path, by name. Those of tests are not imported by name."""
    found = defaultdict(list)
    for folder in folders:
        for path in sorted((root / folder).iterdir()):
            is_module = path.suffix == ".py" and not path.name.startswith("test_") and path.stem != "conftest"
            if is_module or (path / "__init__.py").is_file():
                found[path.stem].append(f"{folder}/{path.name}")
    return found


def hidden_files(found):
    """Return the files of each name that more than one file has, or that a module of the standard library has too."""
    return [files for name, files in found.items() if len(files) > 1 or name in sys.stdlib_module_names]


def test_each_helper_has_a_name_of_its_own():
    """Of two files with one name, an import finds the one whose folder comes first, whichever was meant."""
    root = PACKAGE.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    found = importable_files(root, settings["tool"]["pytest"]["ini_options"]["pythonpath"])
    assert "api_server" in found
    assert hidden_files(found) == []


def test_two_helpers_of_one_name_are_noticed(tmp_path):
    """Also one with the name of a module of the standard library. Those of tests may share a name."""
    for name in ("tests/server.py", "examples/server.py", "examples/test_server.py", "tests/queue.py", "tests/own.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = importable_files(tmp_path, ["tests", "examples"])
    assert hidden_files(found) == [["tests/queue.py"], ["tests/server.py", "examples/server.py"]]
