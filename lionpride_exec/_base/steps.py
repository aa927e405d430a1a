"""Work that can be done in steps, with other things between them, or all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


def result_of(steps: Generator[None, None, T]) -> T:
    """
    Do all steps at once. Return their result.

    Args:
        steps: Yields after each step.

    Raises:
        Exception: What a step raises.
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
