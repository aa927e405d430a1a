"""
``pipeline()``: the results of a map are the items of the next one, which may be in another executor.

Each stage is a map. An async generator hands the results of one map to the next one, whose source task reads the
generator. So a stage takes items only while its look-ahead has room, and no buffer grows. Closing the last map closes
the generator, the map before it, and so on up to the source.

An event that did not complete has no result. It goes past the later stages to the consumer, in its turn. So there is
one event for each item, as with a map.
"""

from __future__ import annotations

from operator import length_hint
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from lionpride_exec._events.stored_names import public_home, publish_classes
from lionpride_exec._iteration.source_task import PastEvent
from lionpride_exec._status import COMPLETED

from .executor import Executor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable, Iterable
    from datetime import datetime, timedelta

    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.map import EventMap
    from lionpride_exec._model.retry import Retry

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
X = TypeVar("X")
R = TypeVar("R")
X_contra = TypeVar("X_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Stage(Generic[X_contra, R_co]):
    """
    A step of a :func:`pipeline`: what is done with each item, and by which executor.

    Args:
        executor: The executor. Several stages may have the same one.
        target: A function of an item, or an Event subclass, as for ``Executor.map()``.
        lookahead: How many events of this stage are appended and not yet taken by the next one, at most. This is the
            buffer between the two. Default: twice the concurrency limit.
        max_lookahead: As for ``Executor.map()``.
        priority: As for ``Executor.map()``.
        key: As for ``Executor.map()``.
        expires: As for ``Executor.map()``.
        timeout: As for ``Executor.map()``.
        retry: As for ``Executor.map()``.

    Raises:
        TypeError: ``executor`` is no executor, the target is neither a function nor a class, or ``key`` is no function.
        ValueError: Another argument is not valid.
        ConfigurationError: ``expires`` is given, and the executor has a cluster.
    """

    @overload
    def __init__(
        self: Stage[Any, R],
        executor: Executor,
        target: type[Event[R]],
        *,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[Any], float | None] | None = None,
        key: Callable[[Any], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Stage[X, R],
        executor: Executor,
        target: Callable[[X], Awaitable[R]],
        *,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[X], float | None] | None = None,
        key: Callable[[X], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Stage[X, R],
        executor: Executor,
        target: Callable[[X], R],
        *,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[X], float | None] | None = None,
        key: Callable[[X], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ) -> None: ...

    def __init__(self, executor: Executor, target: Any, **options: Any) -> None:
        if not isinstance(cast("object", executor), Executor):
            raise TypeError(f"the executor of a stage must be an Executor, got {type(executor).__name__}")
        refused = options.keys() & {"ordered", "fail_fast", "total"}
        if refused:
            raise TypeError(f"{', '.join(sorted(refused))} is an argument of pipeline(), for all of its stages")
        self._executor = executor
        self._target = target
        self._options = options
        self._map((), {})  # raises what is wrong with the arguments; nothing begins before the first step

    def __repr__(self) -> str:
        return f"Stage({type(self._executor).__name__}, {getattr(self._target, '__qualname__', self._target)})"

    def _map(self, items: Iterable[Any] | AsyncIterable[Any], options: dict[str, Any]) -> EventMap[Any]:
        return self._executor.map(self._target, items, **self._options, **options)


@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B],
    /,
    *,
    ordered: bool = False,
    fail_fast: bool = False,
    total: int | None = None,
) -> EventMap[Event[B]]: ...


@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B],
    second: Stage[B, C],
    /,
    *,
    ordered: bool = False,
    fail_fast: bool = False,
    total: int | None = None,
) -> EventMap[Event[C]]: ...


@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B],
    second: Stage[B, C],
    third: Stage[C, D],
    /,
    *,
    ordered: bool = False,
    fail_fast: bool = False,
    total: int | None = None,
) -> EventMap[Event[D]]: ...


@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B],
    second: Stage[B, C],
    third: Stage[C, D],
    fourth: Stage[D, Any],
    /,
    *stages: Stage[Any, Any],
    ordered: bool = False,
    fail_fast: bool = False,
    total: int | None = None,
) -> EventMap[Event[Any]]: ...


def pipeline(
    source: Iterable[Any] | AsyncIterable[Any],
    /,
    *stages: Stage[Any, Any],
    ordered: bool = False,
    fail_fast: bool = False,
    total: int | None = None,
) -> EventMap[Any]:
    """
    Run each item through several stages: ``pipeline(urls, Stage(net, fetch), Stage(cpu, parse))``.

    The result of an event is the item of the next stage. The iterator returns one event for each item of the source:
    the event of the last stage, or the event of an earlier stage that did not complete. So ``event.result()`` returns
    the last result, or raises the error of the stage that failed.

    The stages work at the same time. A stage takes an item only when the next one has room, so memory stays flat, and a
    slow consumer slows down the source. Leaving the loop early closes all stages, as for ``Executor.map()``, and the
    source if it is a generator. Use ``async with pipeline(...) as events:`` to wait until they are closed.

    Args:
        source: A plain or an async iterable of the items of the first stage.
        stages: One stage or more. The executor of each stage but the first must be running when the iteration begins.
        ordered: Whether the events come in the order of the items, in all stages.
        fail_fast: The first event that ends FAILED, CANCELLED or ABORTED, in any stage, ends the loop with what its
            ``result()`` raises, once it has reached the last stage.
        total: The number of items, for ``Executor.progress()``; 0 or more. Default: what ``len()`` of the source says.

    Raises:
        TypeError: There is no stage, one of them is no :class:`Stage`, or the source is not iterable.
        ValueError: The total is no integer or less than 0.

    Iterating raises what iterating over ``Executor.map()`` raises, from any of the stages.

    Cancellation: as for ``Executor.map()``: the loop is over, and the events of all stages that have not ended are
    cancelled. With a journal or a cluster they go on.
    """
    if not stages:
        raise TypeError("a pipeline needs one Stage or more")
    for stage in stages:
        if not isinstance(cast("object", stage), Stage):
            raise TypeError(f"a stage of a pipeline must be a Stage, got {type(stage).__name__}")
    total = _expected(source) if total is None else total
    shared = {"ordered": ordered, "total": total}
    events = stages[0]._map(source, shared | {"fail_fast": fail_fast and len(stages) == 1})
    for number, stage in enumerate(stages[1:], 2):
        events = stage._map(_results(events), shared | {"fail_fast": fail_fast and number == len(stages)})
    return events


def _expected(source: object) -> int | None:
    """Return how many items a source has. None if that is not known."""
    try:
        number = length_hint(source, -1)
    except Exception:  # noqa: BLE001  the code of the source: it is asked for a guess only
        return None
    return number if number >= 0 else None


async def _results(events: EventMap[Any]) -> AsyncGenerator[Any]:
    """Give the results of a stage to the next one, and past it the events that have none."""
    async with events:
        async for event in events:
            yield event.result() if event.execution.status is COMPLETED else PastEvent(event)


publish_classes(Stage)
pipeline.__module__ = public_home(pipeline.__module__)
