"""How the package is built: what may read what. By the syntax trees of its modules."""

import ast
import importlib.util
import sys
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

# `_view` reads private state, and `points` names the methods at which faults are injected. Nobody else does.
MAY_READ = {"_view.py", "_faults/points.py"}

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
MOST = {"accesses": 16, "imports": 23, "patches": 31}  # one of them until the queue on a server has a public name

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


# ---------------------------------------------------------------- facades


@pytest.mark.parametrize("facade", [Executor, Processor])
def test_a_facade_has_parts_and_no_tower_of_classes(facade):
    """At most one class of the package stands behind a facade: what it owns is in its parts."""
    ours = [base for base in facade.__mro__[1:] if base.__module__.startswith("lionpride_exec")]
    assert len(ours) <= 1
