"""A lock that protects several steps on a container from other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class CountedLock:
    """
    An async lock that outlives event loops: ``async with lock``.

    Its first user makes the AnyIO lock inside, and the last user drops it. So a container may be used under one event
    loop after another. A free lock is taken without yielding.
    """

    __slots__ = ("_lock", "users", "when_free", "when_taken")

    def __init__(self) -> None:
        self._lock: anyio.Lock | None = None
        # How many tasks hold the lock or wait for it. A plain attribute, since every move of an event reads it.
        self.users: int = 0
        # Called when the first task asks for the lock, and when the last task has left it.
        self.when_taken: Callable[[], None] | None = None
        self.when_free: Callable[[], None] | None = None

    @property
    def owner(self) -> str | None:
        """The name of the task that holds the lock. None if no task does, or the lock is being passed on."""
        owner = None if self._lock is None else self._lock.statistics().owner
        return None if owner is None else f"task {owner.name!r}"

    async def __aenter__(self) -> None:
        """
        Take the lock.

        Raises:
            RuntimeError: The calling task holds the lock already.
        """
        if self._lock is None:
            self._lock = anyio.Lock(fast_acquire=True)
        self.users += 1
        if self.users == 1 and self.when_taken is not None:
            self.when_taken()
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            if self._lock is None:
                raise RuntimeError("the lock is not held")
            self._lock.release()
        finally:
            self._leave()  # also if the release fails, because a coroutine is closed outside its task

    def _leave(self) -> None:
        self.users -= 1
        if not self.users:
            self._lock = None
            if self.when_free is not None:
                self.when_free()
