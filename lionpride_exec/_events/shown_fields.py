"""
An event as a text for people: with its fields, or short for messages.

``repr()`` shows the fields, as that of a dataclass does. ``str()`` shows the class and the id, and messages of the
package have that: a message names an event, and a log of many events stays readable.
"""

from __future__ import annotations

from reprlib import Repr
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lionpride_exec._base.field_paths import MISSING
from lionpride_exec._base.redaction import STARS, quotes, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lionpride_exec._model.element import Element

# Characters of one value, and fields or arguments of one event, that are shown.
MAX_SHOWN: Final = 60
MAX_FIELDS: Final = 10

# Fields of every event, beside those that configure its runs.
_OF_ALL: Final = frozenset({"id", "created_at", "metadata"})

# Cuts texts and containers before their repr is made, so that a text of a gigabyte costs nothing.
_CUTTING: Final = Repr()
_CUTTING.maxlevel = 3
_CUTTING.maxstring = _CUTTING.maxother = MAX_SHOWN


def shown_with_fields(event: Element, before: Iterable[str] = (), left_out: Iterable[str] = ()) -> str:
    """
    Return the repr of an event, without the fields that every event has. Stars stand for secrets. Never raises.

    Args:
        event: The event.
        before: What is shown first.
        left_out: The names of more fields that are left out.
    """
    parts = [*before, *_fields(event, _OF_ALL | event._not_serialised | {*left_out})]
    rest = ["..."] if len(parts) > MAX_FIELDS else []
    return f"{type(event).__name__}({', '.join([*parts[:MAX_FIELDS], *rest, f'id={event.id}'])})"


def shown_arguments(event: Element, args: Iterable[Any], kwargs: Any) -> list[str]:
    """Return the texts of the arguments of a call. Never raises."""
    if {"args", "kwargs"} & _hidden(event):
        return [STARS]
    named = [f"{name}={shown_value(event, value)}" for name, value in dict(kwargs).items()]
    return [shown_value(event, value) for value in args] + named


def shown_value(event: Element, value: Any, make: Callable[[Any], str] = _CUTTING.repr) -> str:
    """Return a value as a text of at most ``MAX_SHOWN`` characters. Stars if it quotes a secret. Never raises."""
    try:
        if event._redacted and quotes(value, secrets_of(event)):
            return STARS
        text = make(value)
    except Exception:  # noqa: BLE001  an error in a user's repr, or an int of too many digits
        return f"<{type(value).__name__}>"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _fields(event: Element, left_out: frozenset[str]) -> Iterator[str]:
    hidden = _hidden(event)
    for field in attrs.fields(type(event)):
        found = getattr(event, field.name, MISSING)  # an event may be shown while it is made
        if field.name in left_out or not field.repr or found is MISSING:
            continue
        make = cast("Callable[[Any], str]", field.repr) if callable(field.repr) else _CUTTING.repr
        value = STARS if field.name in hidden else shown_value(event, found, make)
        yield f"{field.alias}={value}"


def _hidden(event: Element) -> set[str]:
    """Return the names of the fields that are secret, or have a secret inside."""
    return {path.partition(".")[0] for path in type(event)._redacted}
