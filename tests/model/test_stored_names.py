"""Public classes and functions name a public module, and the names that version 0.1.0 stored are read."""

import inspect
import json
import pickle
import typing
from importlib import import_module
from pathlib import Path

import attrs
import pytest

import lionpride_exec
from lionpride_exec import Call, Element, Event, Flow, Pile, Progression, Transition, errors

# The private modules of version 0.1.0, and what each of them had.
BEFORE = json.loads((Path(__file__).parents[1] / "data" / "before_parts" / "stored_names.json").read_text("utf-8"))
NAMES = [(module, name) for module, names in BEFORE.items() for name in names]

# Names that were private in each module, or are no longer public. None stands for a class that is still private.
PRIVATE = {"Codec": None, "Guard": None, "Life": Event, "Run": Event, "_Dead": None, "_FromRecord": None}


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_of_before_is_what_is_public_now(module, name):
    """A pickle that names a private module of 0.1.0 loads, wherever the class or function is now."""
    stored = b"c" + module.encode() + b"\n" + name.encode() + b"\n."  # protocol 0: the global alone
    found = pickle.loads(stored)  # noqa: S301  our own
    if name in PRIVATE and PRIVATE[name] is None:
        assert isinstance(found, type)
    else:
        assert found is (PRIVATE.get(name) or getattr(import_module(module.partition("._")[0]), name))


def test_a_module_of_before_is_made_for_pickles_only():
    """A module that is not in the table is missing, as ever."""
    with pytest.raises(ModuleNotFoundError, match="lionpride_exec._nothing"):
        import_module("lionpride_exec._nothing")


@pytest.mark.parametrize(
    ("module", "cls"),
    [
        ("_call", Call),
        ("_element", Element),
        ("_event", Event),
        ("_flow", Flow),
        ("_pile", Pile),
        ("_progression", Progression),
    ],
)
def test_a_dict_names_the_public_class_and_is_found_by_the_name_of_before(module, cls):
    """``to_dict()`` writes ``lionpride_exec.Flow``, and ``from_dict()`` reads ``lionpride_exec._flow.Flow``, too."""
    assert cls.class_name(full=True) == f"lionpride_exec.{cls.__name__}"
    for name in (f"lionpride_exec.{cls.__name__}", f"lionpride_exec.{module}.{cls.__name__}"):
        fields = {"function": "somewhere.f"} if cls is Call else {}
        assert type(Element.from_dict({"metadata": {"lion_class": name}, **fields})) is cls


def test_new_pickles_name_public_modules_only():
    """A pickle of an event has no name of a private module, so its classes can move."""
    stored = pickle.dumps([Event(), Pile, lionpride_exec.retry_after, lionpride_exec.Unset, errors.Skip("no")])
    assert b"lionpride_exec._" not in stored


@pytest.mark.parametrize("cls", [Event, Element, Flow, lionpride_exec.Rate, lionpride_exec.Retry, lionpride_exec.Pile])
def test_hints_are_resolved_in_the_module_of_the_source(cls):
    """``typing.get_type_hints()`` and attrs find what annotations name, though the class names another module."""
    hints = typing.get_type_hints(cls)
    assert set(inspect.get_annotations(cls)) <= set(hints)
    assert not any(isinstance(hint, str | typing.ForwardRef) for hint in hints.values())
    if attrs.has(cls):
        assert {field.name for field in attrs.fields(attrs.resolve_types(cls))} <= set(hints)


def test_a_name_for_type_checkers_only_can_be_given():
    """What is imported for type checkers only is found in what the caller of ``get_type_hints()`` gives."""
    with pytest.raises(NameError):
        typing.get_type_hints(Transition)
    assert "event" in typing.get_type_hints(Transition, localns={"Any": object, **_for_type_checkers()})


def _for_type_checkers():
    """Return what `Transition` names and its module does not import at run time."""
    from datetime import datetime  # noqa: PLC0415  not for the module
    from uuid import UUID  # noqa: PLC0415  likewise

    return {"datetime": datetime, "UUID": UUID, "Event": Event}
