"""
What the body of a subclass may declare: fields, new defaults, and methods whose names are free.

A field or method may hide a name that the package uses. The event would then fail far away from the wrong line. So the
class statement raises an error that names the field or method.
"""

from __future__ import annotations

import re
import sys
import typing
from copy import deepcopy
from functools import partial
from inspect import get_annotations
from types import NoneType, SimpleNamespace
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import attrs

# The types that a subclass may use when it declares one of the fields of every event again.
_OWN_TYPES = {
    "id": frozenset({"UUID"}),
    "created_at": frozenset({"datetime"}),
    "metadata": frozenset({"dict", "Dict", "Mapping", "MutableMapping"}),
    "execution": frozenset({"Execution"}),
    "timeout": frozenset({"float", "int", "Any", "object"}),
    "idle_timeout": frozenset({"float", "int", "Any", "object"}),
    "streaming": frozenset({"bool", "Any", "object"}),
    "retry": frozenset({"Retry", "Any", "object"}),
}

# Public methods that the package or its users call on any event. The name of each is taken.
_CALLED = frozenset(
    {
        "invoke", "reduce", "result", "stream", "wait", "history", "as_fresh_event", "settle", "observe_response",
        "chunks", "after_results",
        "to_dict", "from_dict", "to_json", "from_json", "class_name",
    }
)  # fmt: skip

# What a subclass of Event is meant to override.
_MEANT = frozenset(
    {
        "_invoke", "stream", "reduce", "request", "_upgrade",
        "_own_to_dict", "_own_from_dict", "_own_metadata", "_not_serialised", "_inherits_init",
    }
)  # fmt: skip

# By this pattern attrs tells class variables from fields.
_CLASS_VAR = re.compile(r"(\w+\.)*ClassVar\b")

_HEAD = re.compile(r"[\w.]+")
_WRAPPERS = frozenset({"Optional", "Union", "Annotated", "Final", "Literal"})


def complete(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """
    Return the fields of a class, completed from its base classes. Each instance gets its own copy of a mutable default.

    A field that is declared again keeps the validator, converter and metadata of the base class unless it has its own.
    ``streaming = True`` without an annotation declares a new default.

    Raises:
        TypeError: A property replaces a field of a base class, so that the field could not be set. Or a field hides a
            name that the package uses. Or a field of every event is declared with another type.
    """
    known = {
        field.name: field for base in reversed(cls.__mro__[1:]) for field in base.__dict__.get("__attrs_attrs__", ())
    }
    result: list[attrs.Attribute[Any]] = []
    for field in cast("list[Any]", fields):  # the stubs of attrs do not know Attribute.inherited
        changes: dict[str, Any] = {"default": _own_default(field.default)}
        if not field.inherited and field.name in known:
            _check_type(cls, field)
            for part in ("validator", "converter", "on_setattr"):
                changes[part] = getattr(field, part) or getattr(known[field.name], part)
            changes["metadata"] = {**known[field.name].metadata, **field.metadata}
        elif not field.inherited:
            _check_name(cls, field.name)
        elif field.name in cls.__dict__:
            default = cls.__dict__[field.name]
            if hasattr(default, "__set__"):
                raise TypeError(f"{cls.__qualname__}.{field.name} is a field and cannot become a property")
            changes["default"] = _own_default(default)
            changes["inherited"] = False  # otherwise subclasses of this class would get the old default
        result.append(field.evolve(**changes))
    return result


def check_methods(cls: type) -> None:
    """
    Check that no method or attribute of a class hides a name that the package uses.

    A method that calls ``super()`` is allowed, because the method that it overrides still runs.

    Raises:
        TypeError: A method or attribute hides such a name. The message names both.
    """
    if _is_ours(cls):
        return
    # Annotated names are fields, which complete() has checked. Annotated class variables are not fields.
    annotated = {name for name, hint in get_annotations(cls).items() if not _CLASS_VAR.match(str(hint))}
    for owner in _before_ours(cls):
        for name, value in owner.__dict__.items():
            if name in annotated or name in _MEANT or name.startswith("__"):
                continue
            base = _ours_with(cls, name)
            is_free = base is None or name in _field_names(base) or not _is_used(name, base.__dict__[name])
            if base is None or is_free or _calls_super(value):
                continue
            raise TypeError(
                f"{cls.__qualname__}.{name} hides the {_kind(base.__dict__[name])} {_public_name(cls)}.{name}, which "
                f"the package uses: rename it, or call super().{name} in it"
            )


def _check_name(cls: type, name: str) -> None:
    for base in cls.__mro__[1:]:
        if name in base.__dict__ and _is_ours(base):
            hidden = base.__dict__[name]
            if _is_used(name, hidden):
                raise TypeError(
                    f"{cls.__qualname__}.{name} cannot be a field: {_public_name(cls)} has a {_kind(hidden)} {name}; "
                    f"rename the field, for instance to {name.strip('_')}_value"
                )


def _check_type(cls: type, field: attrs.Attribute[Any]) -> None:
    """
    Check the type of a field that every event has, if a subclass declares the field again.

    Raises:
        TypeError: The annotation names another type. A data set may have a column of the same name, for instance.
    """
    allowed = _OWN_TYPES.get(field.name)
    base = _ours_with_field(cls, field.name)
    if allowed is None or base is None or _is_ours(cls) or _fits(cls, field.type, allowed):
        return
    annotation: Any = field.type
    told = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", annotation)
    own = " or ".join(sorted(allowed - {"Any", "object", "Dict"}))
    raise TypeError(
        f"{cls.__qualname__}.{field.name} cannot be a field of type {told}: {_public_name(cls)} has a field "
        f"{field.name} of its own ({own}); rename the field, for instance to row_{field.name}"
    )


def _fits(cls: type, annotation: Any, allowed: frozenset[str]) -> bool:
    """Return whether each type that an annotation allows has one of these names."""
    if isinstance(annotation, str):
        module = sys.modules.get(cls.__module__)
        bare = SimpleNamespace(__annotations__={"it": annotation})
        try:
            annotation = typing.get_type_hints(bare, vars(module) if module else {}, dict(vars(cls)))["it"]
        except Exception:  # noqa: BLE001  a name that only type checkers know: compare its text
            head = _HEAD.match(annotation.strip())
            name = "" if head is None else head.group().rpartition(".")[2]
            return name in allowed | _WRAPPERS
    return _is_one_of(annotation, allowed)


def _is_one_of(kind: Any, allowed: frozenset[str]) -> bool:
    if kind is Any or isinstance(kind, TypeVar):
        return "Any" in allowed
    kind = getattr(kind, "__supertype__", getattr(kind, "__value__", kind))  # NewType; `type X = ...`
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return all(_is_one_of(type(value), allowed) for value in arguments)
    if origin is typing.Annotated or origin is typing.Final:
        return _is_one_of(arguments[0], allowed)
    if (origin is not None and not isinstance(origin, type)) or _is_union(origin):
        return all(_is_one_of(part, allowed) for part in arguments)
    kind = origin or kind
    if kind is None or kind is NoneType:
        return True
    return isinstance(kind, type) and any(base.__name__ in allowed for base in kind.__mro__ if base is not object)


def _is_union(origin: Any) -> bool:
    return isinstance(origin, type) and origin.__name__ in {"UnionType", "Union"}


def _before_ours(cls: type) -> list[type]:
    """Return the classes that come before the classes of this package and have not been checked yet."""
    found: list[type] = []
    for base in cls.__mro__:
        if _is_ours(base):
            break
        if base is cls or not getattr(base, "_keeps_names", False):
            found.append(base)
    return found


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _public_name(cls: type) -> str:
    """Return the name of the class of this package from which users made a class: ``Event``, not a base of Event."""
    return next(base.__name__ for base in cls.__mro__ if _is_ours(base))


def _ours_with(cls: type, name: str) -> type | None:
    return next((base for base in cls.__mro__ if _is_ours(base) and name in base.__dict__), None)


def _ours_with_field(cls: type, name: str) -> type | None:
    return next((base for base in cls.__mro__ if _is_ours(base) and name in _field_names(base)), None)


def _field_names(cls: type) -> frozenset[str]:
    return frozenset(field.name for field in cls.__dict__.get("__attrs_attrs__", ()))


def _is_used(name: str, hidden: Any) -> bool:
    return isinstance(hidden, property) or name in _CALLED or name.startswith("_")


def _kind(hidden: Any) -> str:
    if isinstance(hidden, property):
        return "property"
    return "method" if callable(hidden) or isinstance(hidden, classmethod | staticmethod) else "value"


def _calls_super(value: Any) -> bool:
    """Return whether a method, or a function that it wraps, calls ``super()``."""
    while value is not None:
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        code = getattr(inner, "__code__", None)
        if code is not None and "__class__" in code.co_freevars:
            return True
        value = getattr(inner, "__wrapped__", None)
    return False


def _own_default(default: Any) -> Any:
    """Return a mutable default as a factory that copies it. Return any other default unchanged."""
    kind: type[Any] = default.__class__
    if kind.__hash__ is not None:
        return default
    if kind in {dict, list, set} and not default:  # the usual case: costs a tenth of a copy
        return attrs.Factory(kind)
    return attrs.Factory(partial(deepcopy, default))
