"""
What surrounds the runs of an executor's events: a lifespan, middleware, and the context of the caller.

The lifespan is entered before the first event of a lifetime begins, and left after the last one has ended. Around each
run, the context variables of the caller are set first. Then the middleware is called, the first one outermost.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lionpride_exec._base.sentinel import Unset
from lionpride_exec._events.call import check_async, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from lionpride_exec._events.event import Event

    CallNext: TypeAlias = Callable[[Event[Any]], Awaitable[Any]]
    Middleware: TypeAlias = Callable[[Event[Any], CallNext], Awaitable[Any]]


class Surroundings:
    """
    What surrounds the runs of one executor.

    Args:
        lifespan: Makes the context manager of a lifetime. None if there is none.
        middleware: Async functions of an event and of what is called next.
        carry: The context variables whose values go from the caller of ``append()`` to the run.
        runs_here: Whether events run in this process. Otherwise the lifespan is not entered.

    Attributes:
        lifespan: As passed, or as :meth:`lend` got it.
        carry: As passed.
        around: Does the work of an event, with all that surrounds it. None if nothing does.

    Raises:
        TypeError: A middleware is not async, or an element of ``carry`` is not a ``ContextVar``, or the lifespan cannot
            be called.
    """

    __slots__ = ("_runs_here", "_value", "around", "carry", "lifespan")

    def __init__(
        self,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None,
        middleware: Iterable[Middleware],
        carry: Iterable[ContextVar[Any]],
        *,
        runs_here: bool = True,
    ) -> None:
        if lifespan is not None and not callable(cast("object", lifespan)):
            raise TypeError(f"lifespan must be a function that returns an async context manager, got {lifespan!r}")
        self.lifespan = lifespan
        self._runs_here = runs_here
        self.carry: Sequence[ContextVar[Any]] = tuple(carry)
        for variable in self.carry:
            if not isinstance(cast("object", variable), ContextVar):
                raise TypeError(f"carry must have ContextVars, got {variable!r}")
        self._value: Any = Unset
        self.around: CallNext | None = _chain(tuple(middleware), is_carrying=bool(self.carry))

    @property
    def value(self) -> Any:
        """
        What the context manager of this lifetime has returned.

        Raises:
            RuntimeError: It is not entered now.
        """
        if self._value is Unset:
            raise RuntimeError("the lifespan is not entered: its executor does not run")
        return self._value

    def lend(self, lifespan: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """Use this lifespan if there is none. Called before the executor is started."""
        if self.lifespan is None:
            self.lifespan = lifespan

    @asynccontextmanager
    async def entered(self) -> AsyncGenerator[None]:
        """Enter the lifespan, if there is one, and leave it at the end of the block."""
        if self.lifespan is None or not self._runs_here:
            yield
            return
        manager = self.lifespan()
        if not hasattr(manager, "__aenter__"):
            raise TypeError(f"{name_of(self.lifespan)}() must return an async context manager, got {manager!r}")
        async with manager as value:
            self._value = value
            try:
                yield
            finally:
                self._value = Unset

    def keep_context(self, event: Event, *_: object) -> None:
        """Keep the values that the context variables have for the caller. An observer of entries."""
        found = [(variable, variable.get(Unset)) for variable in self.carry]
        event._set("_carried", tuple(pair for pair in found if pair[1] is not Unset))


def _chain(middleware: Sequence[Middleware], *, is_carrying: bool) -> CallNext | None:
    """Return what does the work of an event through all middleware. None if nothing surrounds the work."""
    around: CallNext | None = None
    for one in reversed(middleware):
        try:
            check_async(one)
        except TypeError as exc:
            raise TypeError(f"middleware must be async functions of an event and call_next: {exc}") from None
        around = cast("CallNext", partial(_pass_through, one, around or _perform))
    return partial(_with_context, around or _perform) if is_carrying else around


async def _pass_through(middleware: Middleware, call_next: CallNext, event: Event) -> Any:
    return await middleware(event, call_next)


def _perform(event: Event) -> Awaitable[Any]:
    return event._perform()


async def _with_context(call_next: CallNext, event: Event) -> Any:
    """Do the work of an event with the values that the context variables had for the caller."""
    tokens = [(variable, variable.set(value)) for variable, value in event._carried]
    try:
        return await call_next(event)
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
