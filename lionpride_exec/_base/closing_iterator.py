"""The base class of all iterators of the package. Leave one by ``break``, or close it for certain by ``async with``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

T_co = TypeVar("T_co", covariant=True)


class ClosingIterator(AsyncIterator[T_co]):
    """An async iterator that is also a context manager, which closes the iterator at the end of the block."""

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def aclose(self) -> None:
        """End the iteration. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()
