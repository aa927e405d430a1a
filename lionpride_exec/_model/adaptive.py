"""A limit on how fast events start that nobody knows, and that is learned."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._validation import check_seconds

from .limit_fields import CostOf, KeyOf, Scope, check_positive, shown, valid_getter, valid_name

if TYPE_CHECKING:
    from collections.abc import Callable


def _valid_pace(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_positive(attribute.name, value)


def _valid_unit(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value, zero_allowed=False)


def _valid_slow(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None:
        check_seconds(attribute.name, value, zero_allowed=False)


def _valid_function(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise ValueError(f"{attribute.name} must be a function of the response, got {value!r}")


@attrs.frozen(eq=False)
class Adaptive:
    """
    A limit on how fast events start, which is learned from the answers of the other side.

    Use it where the limit of the other side is not known. Starts are spaced evenly. The pace begins at ``initial``, and
    doubles every 2 s of use until an event raises :class:`RateLimited`. Then it rises by steps, and falls by a share.
    ``docs/changing-limits.md`` says how. What is learned of a key is forgotten ten minutes after its last event.

    Args:
        initial: Starts in ``per`` seconds at the beginning, positive and finite.
        minimum: The lowest pace, positive.
        maximum: The highest pace, finite. ``minimum <= initial <= maximum``.
        per: The unit of these three numbers in seconds, positive. It is no window: starts are spaced.
        key: As for :class:`Rate`. The pace of each key is learned apart.
        slow: A run that succeeds and takes longer than so many seconds lowers the pace, as a refusal does. None if the
            time of a run says nothing. Positive.
        from_headers: A function of the response of an event that returns the headers of the answer, or an object that
            has them as ``headers``, or None. They are read as ``Event.observe_response()`` does it.
        name: The name of the limit, for ``pause(limit=...)``. ``explain()``, the dashboard, ``top``, metrics and logs
            show it in place of the arguments.

    Attributes:
        amount: Always ``inf``, as are the other attributes of a :class:`Rate`: ``cost`` is None, ``hold`` is False.

    Raises:
        ValueError: A number is out of range, or the numbers are not in order; the key or ``from_headers`` is neither a
            name nor a function; or ``name`` is no text or empty.
    """

    initial: float = attrs.field(validator=_valid_pace)
    minimum: float = attrs.field(validator=_valid_pace)
    maximum: float = attrs.field(validator=_valid_pace)
    per: float = attrs.field(default=1.0, kw_only=True, validator=_valid_unit)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    slow: float | None = attrs.field(default=None, kw_only=True, validator=_valid_slow)
    from_headers: Callable[[Any], Any] | None = attrs.field(
        default=None, kw_only=True, validator=_valid_function, repr=False
    )
    name: str | None = attrs.field(default=None, kw_only=True, repr=False, validator=valid_name)

    # The attributes of a rate, so that one implementation serves all limits.
    amount: float = attrs.field(init=False, repr=False, default=inf)
    cost: CostOf = attrs.field(init=False, repr=False, default=None)
    hold: bool = attrs.field(init=False, repr=False, default=False)
    scope: Scope = attrs.field(init=False, repr=False, default="process")

    def __attrs_post_init__(self) -> None:
        if not self.minimum <= self.initial <= self.maximum:
            raise ValueError(
                f"initial must be from minimum to maximum, got {self.initial!r}, {self.minimum!r} and {self.maximum!r}"
            )
