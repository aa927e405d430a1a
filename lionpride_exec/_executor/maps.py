"""The methods of the facade that run an event for each of many items, and those that show how far all events are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TextIO, TypeVar, TypeVarTuple, cast, overload

from lionpride_exec._base.wording import check_keywords
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import NO_EXPIRES
from lionpride_exec._iteration.keywords import MapKeywords
from lionpride_exec._validation import check_number
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Hashable, Iterable
    from datetime import datetime, timedelta
    from typing import Unpack

    from lionpride_exec._display.choice import Style
    from lionpride_exec._events.call import Call
    from lionpride_exec._iteration.map import EventMap
    from lionpride_exec._model.retry import Retry
    from lionpride_exec._tracking.progress import Progress

    from .explanation import Statistics
    from .facade import Facade
    from .moments import Moments
    from .parts import Parts
    from .progress_bar import Observed, ProgressBar
    from .progress_report import ProgressReport
    from .queries import ExecutorQueries
    from .transitions import Transitions


T = TypeVar("T")
X = TypeVar("X")
Ts = TypeVarTuple("Ts")
E = TypeVar("E", bound=Event[Any])


class ExecutorMaps:
    """The maps of an executor, and its progress."""

    _parts: Parts
    _transitions: Transitions
    _plain_append: ClassVar[Callable[..., Coroutine[Any, Any, Any]]]

    @overload
    def map(  # type: ignore[overload-overlap]  # a class of events is callable too, and is meant first
        self,
        target: type[E],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[Any], float | None] | None = None,
        key: Callable[[Any], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        total: int | None = None,
    ) -> EventMap[E]: ...

    @overload
    def map(
        self,
        target: Callable[[X], Awaitable[T]],
        items: Iterable[X] | AsyncIterable[X],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[X], float | None] | None = None,
        key: Callable[[X], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        total: int | None = None,
    ) -> EventMap[Call[T]]: ...

    @overload
    def map(
        self,
        target: Callable[[X], T],
        items: Iterable[X] | AsyncIterable[X],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[X], float | None] | None = None,
        key: Callable[[X], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        total: int | None = None,
    ) -> EventMap[Call[T]]: ...

    def map(
        self,
        target: type[Event] | Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = False,
        fail_fast: bool = False,
        lookahead: int | None = None,
        max_lookahead: int | None = None,
        priority: float | Callable[[Any], float | None] | None = None,
        key: Callable[[Any], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        total: int | None = None,
    ) -> EventMap[Any]:
        """
        Run an event for each item, and return each after its end: ``async for event in executor.map(fetch, urls)``.

        A failure is data: the iterator returns a failed event like any other, and ``event.result()`` raises. Items are
        taken as they are needed. A returned event leaves the executor when the next event is asked for (with a journal:
        once its end is on disk), so memory stays flat.

        Leaving the loop early, by ``break``, an exception or a cancellation, cancels the events that have not ended and
        closes the items if they are a generator. With a journal nothing is cancelled, and the events continue. Events
        that were not returned stay in the executor. If other code keeps a reference to the iterator, use ``async with``
        or :meth:`EventMap.aclose`.

        Args:
            target: A function, which is called with each item (a :class:`Call`); or an Event subclass. A plain function
                (``def``) runs where the ``run_in`` of this executor says. An item for a class is a mapping of fields,
                the value of the only required field, or the event itself.
            items: A plain or an async iterable. A task of the executor reads an async iterable, while the executor
                runs.
            ordered: Return the events in the order of the items. Events that ended before their turn count for
                ``lookahead``, so one slow event can hold up the others. They do not count while the event whose turn it
                is waits for its key.
            fail_fast: The first event that ends FAILED, CANCELLED or ABORTED ends the loop at once with what its
                ``result()`` raises. SKIPPED is no failure.
            lookahead: The largest number of events that are appended and not yet returned; at least 1. Default: twice
                the concurrency limit. Events whose key is at its limit do not count, since they hold up no others.
            max_lookahead: The same, but those events count too, which bounds the memory; at least 1. Default: the
                largest of 1,000, 10 times the concurrency limit, and ``lookahead``. ``max_queue_size`` is a bound too.
            priority: The priority of each event, finite, as for :meth:`append`; or a function that returns the priority
                of an item's event.
            key: A function that returns the key of an item's event, as for :meth:`append`. If the key is known, the
                iterator returns the known event. With a journal and a key, the work of an earlier run is not repeated.
                Without a journal, a key is known until its event was returned.
            expires: As for :meth:`append`; positive seconds or a ``timedelta`` count from when an event is taken in.
            timeout: How many seconds a run may take, positive, for events that have no ``timeout`` of their own. None
                for the timeout of the executor. An event that is itself an item stays as it is.
            retry: Whether and when an event runs again after a failure, likewise.
            total: The number of items, for :meth:`progress`; 0 or more. Default: what ``len()`` of ``items`` or its
                ``__length_hint__()`` returns. If neither exists, :meth:`progress` tells no time left while items are
                taken.

        Raises:
            TypeError: The target is neither, ``items`` is not iterable, or ``key`` is no function.
            ValueError: A lookahead is no integer or less than 1, the total is no integer or less than 0, or the
                priority, ``expires``, the timeout or the retry is not valid.
            ConfigurationError: ``expires`` is given, and the executor has a cluster.

        Iterating raises more errors. Except for ``EventFailed`` and a cancellation, an error is raised after all events
        that were started have been returned, also with ``ordered``. Then the loop is over.

        Raises:
            EventFailed: With ``fail_fast``. The loop is over as if it was left early.
            RuntimeError: ``items`` is async and the executor is not running.
            ExecutorClosedError: Before all items were taken and had ended, the executor was left; or it was stopped,
                with an async iterable. Events that ended are returned first. PENDING events run at the next start.
            anyio.BusyResourceError: A second task asks for an event. The first task is not affected.
            Exception: What ``items``, ``key`` or ``priority`` raised, or the making or appending of an event. No more
                items are taken.

        An event that iterates over a map of its own executor keeps its slot meanwhile. If such events take all
        ``concurrency_limit`` slots, the inner events never start: set a ``timeout``, or use another executor for the
        inner events.

        Cancellation: while the iterator waits for an end or for room, and at each tenth event. The loop is over as if
        it was left early.
        """
        return self._map(
            target, items, starred=False, ordered=ordered, fail_fast=fail_fast, lookahead=lookahead,
            max_lookahead=max_lookahead, priority=priority, key=key, expires=expires, timeout=timeout, retry=retry,
            total=total,
        )  # fmt: skip

    @overload
    def starmap(
        self,
        target: Callable[[*Ts], Awaitable[T]],
        items: Iterable[tuple[*Ts]] | AsyncIterable[tuple[*Ts]],
        **options: Unpack[MapKeywords[tuple[*Ts]]],
    ) -> EventMap[Call[T]]: ...

    @overload
    def starmap(
        self,
        target: Callable[[*Ts], T],
        items: Iterable[tuple[*Ts]] | AsyncIterable[tuple[*Ts]],
        **options: Unpack[MapKeywords[tuple[*Ts]]],
    ) -> EventMap[Call[T]]: ...

    def starmap(
        self,
        target: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        **options: Any,
    ) -> EventMap[Any]:
        """
        Like :meth:`map`, but each item has all positional arguments: ``executor.starmap(copy, [(a, b), (c, d)])``.

        Args:
            target: A function, which is called as ``target(*item)``.
            items: A plain or an async iterable of iterables.
            options: The keyword arguments of :meth:`map`. The functions ``key`` and ``priority`` get the item.

        Raises:
            TypeError: The target is a class of events, whose fields have names; or there is no such option.

        Also raises what :meth:`map` raises, and iterating raises the same errors.

        Cancellation: as for :meth:`map`.
        """
        check_keywords("starmap()", options, MapKeywords.__annotations__)
        return self._map(target, items, starred=True, **options)

    def _map(
        self,
        target: type[Event] | Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        starred: bool,
        timeout: float | None = None,
        retry: Retry | None = None,
        **options: Any,
    ) -> EventMap[Any]:
        """Return the iterator of a map."""
        from lionpride_exec._iteration.map import EventMap, maker_for  # noqa: PLC0415  slow to import, and few need it
        from lionpride_exec._iteration.map_options import MapOptions  # noqa: PLC0415  likewise

        from .map_host import ExecutorOfMap  # noqa: PLC0415  likewise

        if self._parts.cluster is not None and options.get("expires") is not None:
            raise ConfigurationError(NO_EXPIRES)
        make = maker_for(target, timeout, retry, starred=starred)
        host = ExecutorOfMap(cast("Facade", self), self._parts, type(self)._plain_append)
        return EventMap(MapOptions(executor=host, make=make, items=items, **options))

    # ---------------------------------------------------------------- progress

    @cached_property
    def _progress(self) -> ProgressReport:
        from .progress_report import ProgressReport  # noqa: PLC0415  slow to import, and few programs use it

        kind = ProgressReport
        if self._parts.cluster is not None:
            from .cluster_reports import ClusterProgress  # noqa: PLC0415  needs the extra

            kind = ClusterProgress
        return kind(self._parts.coordination, self._parts.index, self._parts.retention, self._parts.maps)

    @cached_property
    def _moments(self) -> Moments:
        from .moments import Moments  # noqa: PLC0415  as above

        explainer = cast("ExecutorQueries", self)._explainer
        parts, transitions = self._parts, self._transitions
        return Moments(
            explainer, self._progress, lambda: transitions.processor, parts.lookups.status_counts, parts.coordination
        )

    async def _moment(self) -> tuple[Statistics, Progress]:
        return await self._moments.now()

    def progress(self, *, to_come: float = 0) -> Progress:
        """
        Return the number of events done and to do, the rate, and the time left: ``print(executor.progress())``.

        The rate covers the time since earlier calls, at most 60 s, so call this method now and then. Events that were
        taken in with a final status count as done, but not for the rate. Outside an event loop the rate and the time
        left are None. O(what is queued, runs, or is used of the limits).

        Args:
            to_come: An estimate of the events to come that the executor cannot know of, 0 or more. The executor knows
                what a running :meth:`map` will take from its source, if the source has a length.

        Raises:
            ConfigurationError: A progression was taken out of :attr:`states`.
            ValueError: ``to_come`` is negative, infinite or NaN.
        """
        return self._progress.make(self._transitions.processor, check_number("to_come", to_come))

    def progress_bar(
        self,
        *,
        style: Style = "auto",
        file: TextIO | None = None,
        interval: float | None = None,
        description: str = "",
        total: float | None = None,
        only_new: bool = False,
        transient: bool = False,
    ) -> ProgressBar:
        """
        Show the progress inside a block: ``async with executor.progress_bar(), executor: ...``.

        On a terminal a bar is drawn by ``rich``, in a notebook by ``tqdm``. Elsewhere, and without these packages
        (the extra ``progress``), a line is written now and then, if more than the time has changed, and one at the end.
        Shown is what :meth:`progress` says, what the pending events wait for, and the fullest limits.

        At the end of the block, by an error or a cancellation too, the last state is shown, and the terminal is as it
        was. The block does not wait for events. If the stream cannot be written, a warning is logged, and the program
        goes on. While ``rich`` draws, what is printed to the terminal appears above the bar.

        Args:
            style: "auto"; "rich", which writes lines where it cannot draw; "tqdm"; "plain" for lines; or "none".
            file: The stream. Default: standard error, or the output of a notebook.
            interval: Seconds between two updates, positive. Default: 0.2 with ``rich``, 0.5 with ``tqdm``, 5 for lines.
            description: The text in front.
            total: How many events there will be, 0 or more, if the executor cannot know of all. If there are more, the
                total grows.
            only_new: Leave out the events that had ended before the block: of an executor that is used many times, and
                of earlier processes with the same journal, also if the journal is opened inside the block.
            transient: Remove the bar at the end. Without a bar, no line is written at the end.

        Raises:
            ConfigurationError: The package that ``style`` names is not installed.
            ValueError: There is no such style; ``interval`` or ``total`` is out of range; or a flag is no bool.
        """
        from .progress_bar import ProgressBar  # noqa: PLC0415  slow to import, and few programs use it

        return ProgressBar(
            cast("Observed", self),
            style=style,
            file=file,
            interval=interval,
            description=description,
            total=total,
            only_new=only_new,
            transient=transient,
        )
