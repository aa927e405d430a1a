"""The complaint about names that are no fields of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lionpride_exec._base.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

# Fields that every event has and hardly anybody gives: a complaint does not list them.
_NOT_LISTED: Final = frozenset({"id", "created_at", "metadata", "execution"})


def explain_unknown(cls: type[Any], names: Iterable[str]) -> str | None:
    """
    Return which names are no fields of the constructor of an attrs class, and which may have been meant.

    Returns:
        None if all names are fields.
    """
    known = [field.alias or field.name for field in attrs.fields(cast("Any", cls)) if field.init]
    unknown = sorted({str(name) for name in names} - set(known))
    if not unknown:
        return None
    listed = ", ".join(f"{name!r}{did_you_mean(name, known)}" for name in unknown)
    fields = ", ".join(name for name in known if name not in _NOT_LISTED)
    return f"{cls.__qualname__} has no field {listed}; its fields: {fields}"


def make_instance(cls: type[Any], fields: dict[str, Any]) -> Any:
    """
    Make an instance of an attrs class from fields that come from outside.

    Raises:
        TypeError: A field is unknown or missing. The message names it.

    Also raises what the constructor raises.
    """
    try:
        return cls(**fields)
    except TypeError as exc:
        complaint = explain_unknown(cls, fields)
        if complaint is None:
            raise
        raise TypeError(complaint) from exc
