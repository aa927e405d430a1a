"""
Where faults can be injected: the awaits on an event's way.

A point is a method of ours or of a subclass. While a plan is applied, those it names are replaced by ones that visit it
before and after; otherwise nothing is there, not even a hook. "After" is left out where a method hands something over
that its caller takes care of in the same step (a slot, a promise of room, an event that is to begin): nobody can be
cancelled there, so nobody is.

To change with the library: this table only. A class that was moved or renamed, or a method that was, is one line of it.
A method that does not exist any more is told as soon as a plan names its point.
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
from lionpride_exec._events.lifecycle import running_events

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping


class Visited(Protocol):
    """What is told that a point is visited."""

    async def _visit(self, point: str, event: Event[Any] | None) -> None:
        """Do what is to be done there."""

    def _visit_nowait(self, point: str, event: Event[Any] | None) -> None:
        """Do it where nothing can be awaited."""


_BEFORE: Final = ("before",)
_BOTH: Final = ("before", "after")


@attrs.frozen
class Point:
    """
    A place at which faults can be injected; made by ``POINTS``, which has them all.

    Attributes:
        what: What happens there.
        sides: Where a plan may visit it: "before", and mostly "after".
        fails: Those of the sides at which the disk, or code of yours, may fail.
        is_shielded: Whether no cancellation is noticed there.
        in_thread: Whether it is a plain function in a worker thread, where nothing can be awaited.
    """

    # The class whose method it is; a private one, or one that needs an extra, by name: "module:Class" in the package.
    _owner: type | str
    _method: str
    what: str
    sides: tuple[str, ...] = _BOTH
    fails: tuple[str, ...] = ()
    is_shielded: bool = False
    in_thread: bool = False

    def _find(self) -> type:
        """
        Give the class.

        Raises:
            AttributeError: It has no such method (any more).
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
        "pick": Point(Processor, "_pick", "it takes the next event, as capacity and limits allow", sides=_BEFORE),
        "gate": Point(Processor, "request_permission", "the gate is asked", fails=_BOTH),
        "report": Point(Executor, "_update_progression", "the executor is told, and waits for a lock", sides=_BEFORE),
        "start": Point(Executor, "_confirm_start", "a journal has to know that the event runs"),
        "run": Point(Event, _RUN, "the event does its work", fails=_BOTH),
        "chunk": Point("_events.streaming:Feed", "fill", "a streaming event produces a chunk", fails=_BOTH),
        "end": Point(Executor, "_confirm_end", "a strict journal has to know how it ended", is_shielded=True),
        "commit": Point("_journal.writer:Writer", "_in_thread", "a worker thread writes the journal"),
        "disk": Point("_journal.store:Store", "commit", "the file is written", fails=_BEFORE, in_thread=True),
        "join": Point(Executor, "join", "somebody waits for all, or leaves the block"),
        "stop": Point(Executor, "stop", "somebody stops it"),
    }
)
"""Where faults can be injected, by name; a plan names a side of one, such as "gate:before" or "run:after"."""


def check_point(name: str) -> Point:
    """
    Give the point of a name such as "gate:before".

    Raises:
        ValueError: There is none.
        AttributeError: Its method is not there.
    """
    word, _, side = name.partition(":")
    point = POINTS.get(word)
    if point is None or side not in point.sides:
        known = ", ".join(f"{word}:{side}" for word, each in POINTS.items() for side in each.sides)
        raise ValueError(f"{name!r} is no point; there are {known}")
    point._find()
    return point


@contextmanager
def visiting(plan: Visited, names: Iterable[str], executors: Iterable[type[Executor]]) -> Generator[None]:
    """Have a plan visited at these points, by executors of these classes; of others too, as far as they share code."""
    with ExitStack() as stack:
        for word in dict.fromkeys(name.partition(":")[0] for name in names):
            point = POINTS[word]
            owners = {_defining(owner, point._method): None for owner in _owners(point, executors)}
            for owner in owners:
                if not (word == "gate" and owner is _defining(Processor, point._method)):  # the default is no gate
                    stack.enter_context(_replaced(owner, point._method, _around(plan, word, point)))
        yield


def _owners(point: Point, executors: Iterable[type[Executor]]) -> list[type]:
    """Give the classes that may have the method of a point."""
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
    """Have the run of one event go through ``around(run)``, whatever its class. Idempotent: a second one is ignored."""
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
        """Do as the original, and visit the plan."""
        event = _concerned(self, args)
        await visit("before", event)
        result = await original(self, *args, **kwargs)
        if "after" in point.sides:
            await visit("after", event)
        return result

    return visited


def _around_function(plan: Visited, word: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def visited(self: object, *args: Any, **kwargs: Any) -> Any:
        """Do as the original, and visit the plan."""
        plan._visit_nowait(f"{word}:before", None)
        result = original(self, *args, **kwargs)
        plan._visit_nowait(f"{word}:after", None)
        return result

    return visited


def _around_chunks(plan: Visited, word: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def chunks(work: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Give what a producer gives, and visit the plan before and after each."""
        event = _concerned(work, ())
        closing: Any = aclosing(cast("AsyncGenerator[Any]", work)) if hasattr(work, "aclose") else nullcontext()
        async with closing:
            await plan._visit(f"{word}:before", event)
            async for chunk in work:
                await plan._visit(f"{word}:after", event)
                yield chunk
                await plan._visit(f"{word}:before", event)

    async def visited(self: object, work: AsyncIterator[Any], *args: Any, **kwargs: Any) -> Any:
        """Do as the original, with a producer that visits the plan."""
        return await original(self, chunks(work), *args, **kwargs)

    return visited


def _concerned(self: object, args: tuple[Any, ...]) -> Event[Any] | None:
    """Give the event that a call is about: itself, its first argument, or the one it is called in."""
    for one in (self, *args[:1], *reversed(running_events.get())):
        if isinstance(one, Event):
            return one
    return None
