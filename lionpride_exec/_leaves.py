"""What is in an error: the leaves of a group, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import get_cancelled_exc_class

from ._sentinel import UnsetType
from .errors import LionprideError

if TYPE_CHECKING:
    from collections.abc import Iterator


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Give the errors in a group, at any depth; a plain error is its own and only leaf."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from leaves(member)
    else:
        yield error


def is_cancellation(error: BaseException) -> bool:
    """Whether it consists of cancellations of the running event loop."""
    return consists_of(error, get_cancelled_exc_class())


def consists_of(error: BaseException, kind: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Whether all its leaves are of a kind, or of one of several."""
    return all(isinstance(leaf, kind) for leaf in leaves(error))


def is_retryable(error: BaseException | UnsetType) -> bool:
    """Whether nowhere in it stands an error of the library that says it is not."""
    return isinstance(error, UnsetType) or all(
        leaf.retryable for leaf in leaves(error) if isinstance(leaf, LionprideError)
    )
