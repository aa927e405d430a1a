"""
The points at which faults can be injected: the awaits in the life of an event.

A point is a method of the package or of a subclass. While a plan is applied, the methods that the plan names are
replaced by functions that visit the plan before and after. Without a plan there is no hook. Some points have no
"after": their method hands something over (a slot, a promised place, an event that begins), and its caller uses it in
the same step. No task can be cancelled between these two, so no fault is injected there.

When a class or method of the package is moved or renamed, change its line in ``POINTS``. A plan that names a point
whose method is missing raises ``AttributeError``.
"""

from __future__ import annotations

from contextlib import ExitStack, aclosing, contextmanager, nullcontext
from functools import wraps
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import attrs
from anyio import CancelScope

from lionpride_exec import Event, Executor, Processor
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._events.running_event import runs_here

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping


class Visited(Protocol):
    """What a point visits: a plan."""

    async def _visit(self, point: str, event: Event[Any] | None) -> None:
        """Do what the plan has for this point."""

    def _visit_nowait(self, point: str, event: Event[Any] | None) -> None:
        """Like ``_visit``, but where nothing can be awaited."""


_BEFORE: Final = ("before",)
_BOTH: Final = ("before", "after")


@attrs.frozen
class Point:
    """
    A place at which faults can be injected; made by ``POINTS``, which has all of them.

    Attributes:
        what: What happens there.
        sides: The sides that a plan can visit: "before", and at most points "after".
        fails: The sides at which the disk or your own code can fail.
        is_shielded: Whether the point is shielded from cancellation.
        in_thread: Whether the method is a plain function in a worker thread, where nothing can be awaited.
    """

    # The class that has the method. A private class, or one that needs an extra, by its name: "module:Class".
    _owner: type | str
    _method: str
    what: str
    sides: tuple[str, ...] = _BOTH
    fails: tuple[str, ...] = ()
    is_shielded: bool = False
    in_thread: bool = False

    def _find(self) -> type:
        """
        Return the class.

        Raises:
            AttributeError: The class does not have the method.
        """
        if isinstance(self._owner, str):
            module, _, name = self._owner.partition(":")
            owner: type = getattr(import_module(f"lionpride_exec.{module}"), name)
        else:
            owner = self._owner
        getattr(owner, self._method)
        return owner


# The method in which an event does its work.
_RUN: Final = "_perform"

POINTS: Final[Mapping[str, Point]] = MappingProxyType(
    {
        "append": Point(Executor, "append", "a caller brings an event, however long that takes"),
        "room": Point(
            "_scheduling.priority_queue:PriorityQueue", "wait_for_room", "it waits for room in the queue", sides=_BEFORE
        ),
        "slot": Point("_scheduling.concurrency:Slots", "take", "a worker waits for a slot", sides=_BEFORE),
        "pick": Point(
            "_processing.dispatcher:Dispatcher",
            "start_next",
            "it takes the next event, as capacity and limits allow",
            sides=_BEFORE,
        ),
        "gate": Point(Processor, "request_permission", "the gate is asked", fails=_BOTH),
        "report": Point(Executor, "_update_progression", "the executor is told, and waits for a lock", sides=_BEFORE),
        "start": Point(
            "_executor.transitions:Transitions", "confirm_start", "a journal has to know that the event runs"
        ),
        "run": Point(Event, _RUN, "the event does its work", fails=_BOTH),
        "chunk": Point("_events.chunk_buffer:ChunkBuffer", "fill", "a streaming event produces a chunk", fails=_BOTH),
        "end": Point(
            "_executor.transitions:Transitions",
            "confirm_end",
            "a strict journal has to know how it ended",
            is_shielded=True,
        ),
        "commit": Point("_journal.writer:Writer", "_in_thread", "a worker thread writes the journal"),
        "disk": Point("_journal.store:Store", "commit", "the file is written", fails=_BEFORE, in_thread=True),
        "join": Point(Executor, "join", "somebody waits for all, or leaves the block"),
        "stop": Point(Executor, "stop", "somebody stops it"),
    }
)
"""The points, by name. A plan names one side of a point, for example "gate:before" or "run:after"."""


def check_point(name: str) -> Point:
    """
    Return the point that a name such as "gate:before" stands for.

    Raises:
        ValueError: There is no point of this name.
        AttributeError: The method of the point is missing.
    """
    word, _, side = name.partition(":")
    point = POINTS.get(word)
    if point is None or side not in point.sides:
        known = ", ".join(f"{word}:{side}" for word, each in POINTS.items() for side in each.sides)
        hint = did_you_mean(name, known.split(", "))
        raise ValueError(f"{name!r} is no point{hint}; there are {known}")
    point._find()
    return point


@contextmanager
def visiting(plan: Visited, names: Iterable[str], executors: Iterable[type[Executor]]) -> Generator[None]:
    """Visit a plan at these points, in executors of these classes and of classes that share their code."""
    with ExitStack() as stack:
        for word in dict.fromkeys(name.partition(":")[0] for name in names):
            point = POINTS[word]
            owners = {_defining(owner, point._method): None for owner in _owners(point, executors)}
            for owner in owners:
                if not (word == "gate" and owner is _defining(Processor, point._method)):  # the default is no gate
                    stack.enter_context(_replaced(owner, point._method, _around(plan, word, point)))
        yield


def _owners(point: Point, executors: Iterable[type[Executor]]) -> list[type]:
    """Return the classes that can have the method of a point."""
    if point._owner is Executor:
        return list(executors)
    if point._owner is Processor:
        return [each.processor_type for each in executors]
    if point._owner is Event:
        return [each.processor_type.event_type for each in executors]
    return [point._find()]


def _defining(owner: type, method: str) -> type:
    return next(each for each in owner.__mro__ if method in each.__dict__)


def wrap_run(event: Event[Any], around: Callable[[Callable[[], Awaitable[Any]]], Callable[[], Awaitable[Any]]]) -> None:
    """Replace the run of one event by ``around(run)``. Does nothing if it is replaced already."""
    if _RUN not in event.__dict__:
        event.__dict__[_RUN] = around(getattr(event, _RUN))


@contextmanager
def _replaced(owner: type, method: str, around: Callable[[Any], Any]) -> Generator[None]:
    original = owner.__dict__[method]
    setattr(owner, method, wraps(original)(around(original)))
    try:
        yield
    finally:
        setattr(owner, method, original)


def _around(plan: Visited, word: str, point: Point) -> Callable[[Any], Any]:
    if point.in_thread:
        return lambda original: _around_function(plan, word, original)
    if word == "chunk":
        return lambda original: _around_chunks(plan, word, original)
    return lambda original: _around_method(plan, word, original, point)


def _around_method(
    plan: Visited, word: str, original: Callable[..., Awaitable[Any]], point: Point
) -> Callable[..., Awaitable[Any]]:
    async def visit(side: str, event: Event[Any] | None) -> None:
        """Visit the plan, as interruptible as the original is."""
        with CancelScope(shield=point.is_shielded):
            await plan._visit(f"{word}:{side}", event)

    async def visited(self: object, *args: Any, **kwargs: Any) -> Any:
        """Call the original, and visit the plan before and after."""
        event = _concerned(self, args)
        await visit("before", event)
        result = await original(self, *args, **kwargs)
        if "after" in point.sides:
            await visit("after", event)
        return result

    return visited


def _around_function(plan: Visited, word: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def visited(self: object, *args: Any, **kwargs: Any) -> Any:
        """Call the original, and visit the plan before and after."""
        plan._visit_nowait(f"{word}:before", None)
        result = original(self, *args, **kwargs)
        plan._visit_nowait(f"{word}:after", None)
        return result

    return visited


def _around_chunks(plan: Visited, word: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def chunks(work: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the chunks of a producer, and visit the plan before and after each."""
        event = _concerned(work, ())
        closing: Any = aclosing(cast("AsyncGenerator[Any]", work)) if hasattr(work, "aclose") else nullcontext()
        async with closing:
            await plan._visit(f"{word}:before", event)
            async for chunk in work:
                await plan._visit(f"{word}:after", event)
                yield chunk
                await plan._visit(f"{word}:before", event)

    async def visited(self: object, work: AsyncIterator[Any], *args: Any, **kwargs: Any) -> Any:
        """Call the original with a producer that visits the plan."""
        return await original(self, chunks(work), *args, **kwargs)

    return visited


def _concerned(self: object, args: tuple[Any, ...]) -> Event[Any] | None:
    """Return the event that a call is about: its object, its first argument, or the event that runs here."""
    for one in (self, *args[:1], *(run.event for run in reversed(runs_here.get()))):
        if isinstance(one, Event):
            return one
    return None
