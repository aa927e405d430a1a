"""
Amounts of limits: one number, or an amount for each key.

An amount by key is a mapping, with ``...`` for all other keys, or a function of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Hashable

Amount = float | Mapping[Any, float] | Callable[[Any], float]
Count = int | Mapping[Any, int] | Callable[[Any], int]


@attrs.frozen
class Terms:
    """What holds of a limit now: its amount, and the seconds after which a taken amount comes back."""

    amount: Amount
    per: float


def own_amount(amount: Amount) -> Amount:
    """Return an amount. If it is a mapping, return a copy, which the caller cannot change."""
    return dict(amount) if isinstance(amount, Mapping) else amount


def own_count(count: Count) -> Count:
    """Return an amount of whole numbers, as :func:`own_amount` does."""
    return dict(count) if isinstance(count, Mapping) else count


def check_amount(name: str, amount: object, check: Callable[[str, Any], None], *, has_key: bool) -> None:
    """
    Check an amount, apart from what a function returns.

    Args:
        name: What the limit calls the amount.
        amount: A number, a mapping of keys, or a function of a key.
        check: Checks one number. Gets a name for messages, and the number.
        has_key: Whether the limit has keys.

    Raises:
        ValueError: The amount is neither, a number in it is out of range, or there are no keys to go by.
    """
    if not (isinstance(amount, Mapping) or callable(amount)):
        check(name, amount)
        return
    if not has_key:
        raise ValueError(f"{name} has an amount for each key, so the limit needs key=, got {amount!r}")
    if isinstance(amount, Mapping):
        if not amount:
            raise ValueError(f"{name} has no key: {{}}")
        for key, number in amount.items():
            check(f"{name} of {'...' if key is ... else repr(key)}", number)


def amount_of(amount: Amount, key: Hashable, check: Callable[[str, Any], None]) -> float:
    """
    Return the amount for a key.

    Args:
        amount: A valid amount.
        key: The key. It counts for an amount by key only.
        check: Checks the number that a function returns.

    Raises:
        ValueError: A mapping has neither the key nor ``...``, or a function returns a number that is out of range.
    """
    if isinstance(amount, Mapping):
        found = amount.get(key, amount.get(...))
        if found is None:
            raise ValueError(_unknown(amount, key))
        return found
    if callable(amount):
        number = amount(key)
        check(f"the amount for the key {key!r}", number)
        return number
    return amount


def _unknown(amount: Mapping[Any, float], key: Hashable) -> str:
    hint = did_you_mean(key, [each for each in amount if isinstance(each, str)])
    known = ", ".join(repr(each) for each in amount)
    return f"no amount for the key {key!r}{hint}: there is one for {known}. `...` stands for all other keys"
