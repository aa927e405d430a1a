"""What is public: the names, and what can be called how."""

import difflib
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from public_api import GIVEN, is_ours, listing, members_of, public_classes, public_modules, public_values

import lionpride_exec

EXPECTED = Path(__file__).parent / "public_api.txt"
COMMAND = "python tests/project/public_api.py > tests/project/public_api.txt"


def test_what_is_public():
    """Names, parameters, defaults and members are those of tests/project/public_api.txt."""
    expected, found = EXPECTED.read_text("utf-8"), listing()
    diff = "\n".join(difflib.unified_diff(expected.splitlines(), found.splitlines(), "before", "now", lineterm="", n=2))
    assert expected == found, f"the public interface has changed:\n{diff}\nIf that is meant: {COMMAND}"


def test_all_names_are_there_without_any_extra():
    """A name that needs an extra says so when it is used, not when it is imported."""
    extras = ("coredis", "msgspec", "cronsim", "hypothesis", "pytest", "cyclopts", "rich", "uvloop")
    code = f"import sys; sys.modules |= dict.fromkeys({extras}); from lionpride_exec import *; print(WorkerInfo)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603  our own
    assert done.stdout == "<class 'lionpride_exec.WorkerInfo'>\n", done.stderr


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_nothing_else_looks_public(module):
    """
    All names without an underscore are meant to be found: ``__all__``, sorted with constants first, and submodules.

    A module without ``__all__`` has what it defines, and else only what is there for it alone: imports.
    """
    shown = {name for name in dir(module) if not name.startswith("_")}  # with what is imported on demand
    inside = {name for name in shown if isinstance(getattr(module, name), ModuleType)}
    if hasattr(module, "__all__"):
        in_order = sorted(set(module.__all__), key=lambda name: (not name.isupper(), name))
        assert list(module.__all__) == in_order
        if not hasattr(module, "__path__"):  # a module shows what it imports, too
            assert shown > set(module.__all__)
            return
        assert shown - inside == set(module.__all__)
        assert {name for name in inside if not vars(module)[name].__name__.startswith("lionpride_exec.")} == set()
    else:
        # Classes of ours in it are its own: whoever looks for one has one place to find it.
        classes = {name for name in shown if inspect.isclass(vars(module)[name]) and is_ours(vars(module)[name])}
        assert {name for name in classes if vars(module)[name].__module__ != module.__name__} <= {"EventStatus"}


def test_errors_are_in_one_place():
    """What has the package as its first address has it in ``lionpride_exec.errors`` as well, if it is an error."""
    errors = {name for name in lionpride_exec.__all__ if is_error(getattr(lionpride_exec, name))}
    assert {name for name in errors if not hasattr(lionpride_exec.errors, name)} == set()


def is_error(value):
    """Whether something is an exception class."""
    return isinstance(value, type) and issubclass(value, BaseException)


@pytest.mark.parametrize("name", public_classes())
def test_where_a_class_says_that_it_is(name):
    """
    Each is found where ``__module__`` and ``__qualname__`` say: by pickle, and by ``lion_class`` in a record.

    That is a public module, so that a class can move to another private one. What nobody makes by hand has none.
    """
    cls = public_classes()[name]
    assert getattr(importlib.import_module(cls.__module__), cls.__qualname__) is cls
    assert pickle.loads(pickle.dumps(cls)) is cls  # noqa: S301  our own
    is_given = cls.__name__ in chain(*GIVEN.values())
    assert cls.__module__ in {module.__name__ for module in public_modules()} or is_given


def test_what_methods_give_is_public():
    """A class of the package that a public callable says it returns is public, or one of those that nobody makes."""
    names = {value.__name__ for value in public_classes().values()}
    returned = set()
    for cls in public_classes().values():
        for member in members_of(cls):
            if member.function is not None:
                annotation = member.function.__annotations__.get("return", "")
                returned |= set(
                    re.findall(r"\b[A-Z]\w+", annotation if isinstance(annotation, str) else repr(annotation))
                )
    inside = {name for name in returned if name in class_names()}
    assert set(chain(*GIVEN.values())) <= inside  # the rule sees those
    assert inside - names == INSIDE


# What a queue and its processor hand to each other.
INSIDE = {"Entry"}


def class_names():
    """Give the names of all classes of the package."""
    package = Path(lionpride_exec.__file__).parent
    return {name for path in package.rglob("*.py") for name in re.findall(r"(?m)^class (\w+)", path.read_text("utf-8"))}


def test_the_listing_has_all_that_is_there():
    """It can tell a name, a parameter, a default, a member, and what is async."""
    text = listing()
    for line in (
        "class lionpride_exec.Event(Element)",
        (
            "    async method append(event, priority=None, *, wait=False, delay=None, at=None, after=(), "
            "after_any_end=(), key=None, expires=None, unique='ever')"
        ),
        "    property status, can be set",
        "    attribute journal",
        "    value PENDING = 'pending'",
        "class lionpride_exec.errors.OperationError(LionprideError)",
    ):
        assert f"{line}\n" in text
    assert len(public_values()) > 50
