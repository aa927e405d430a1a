"""What a program changes of the limits of an executor and of their keys, before and while the executor runs."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, NamedTuple, cast

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.key_amounts import Terms
from lionpride_exec._model.limits import Rate, Router
from lionpride_exec._model.quota import Quota
from lionpride_exec._processing.config import MIN_REFRESH_TIME, check_bounds
from lionpride_exec._processing.pauses import Hold
from lionpride_exec._processing.processor import Processor
from lionpride_exec._validation import check_seconds
from lionpride_exec.errors import ConfigurationError

from .restored_starts import longest_period

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from lionpride_exec._model.key_amounts import Amount, Count
    from lionpride_exec._model.limits import Limit, Route

    from .parts import Parts


class KeyPause(NamedTuple):
    """A pause of a key, or of a limit. ``until`` is in seconds since 1970."""

    until: float
    reason: str


# A key of a limit, None for a limit without keys; or a partition, and None for the limit.
Place = tuple["Hashable", "Limit | None"]


class Steering:
    """
    The changes that a program has made.

    They are kept for the next processor: an executor may get another one, and has none before its first start.

    Args:
        parts: The parts of the executor.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pauses: dict[Place, KeyPause] = {}
        self._terms: dict[Limit, Terms] = {}  # of the limits that were changed
        self._processor: Processor | None = None  # the one that has the changes

    # ---------------------------------------------------------------- pauses

    def pause(
        self,
        key: Hashable,
        limit: Limit | str | None,
        until: datetime | None,
        seconds: float | None,
        reason: str | None,
    ) -> None:
        """Pause a key or a limit; see ``Executor.pause()``."""
        places = self._places(key, limit)
        pause = KeyPause(_end_of(until, seconds), reason or "by pause()")
        now = wall_clock.seconds()
        self._pauses = {place: known for place, known in self._pauses.items() if known.until > now}
        self._pauses |= dict.fromkeys(places, pause)
        if (processor := self._ready_processor()) is not None:
            for place in places:
                self._close(processor, place, pause)
            processor._dispatcher.look_again()
        self._parts.log.key_paused(key, limit, *pause)

    def resume(self, key: Hashable, limit: Limit | str | None) -> None:
        """End the pause of a key or a limit; see ``Executor.resume()``."""
        places = self._places(key, limit)
        for place in places:
            self._pauses.pop(place, None)
        if (processor := self._ready_processor()) is not None:
            lanes = processor.queue.lanes
            for place in places:
                state = lanes.limit_states.of_key(*place, current_time())
                processor._pauses.release(state)
                lanes._touch((state,))
            processor._dispatcher.look_again()
        self._parts.log.key_resumed(key, limit)

    def _places(self, key: Hashable, limit: Limit | str | None) -> list[Place]:
        """Return where a pause is, or raise."""
        self._refuse_cluster("pause(key=...)", "Cluster.pause() pauses the whole queue")
        hash(key)
        if limit is not None:
            found = self._find(limit)
            if key is not None and found.key is None:
                raise ValueError(f"{found!r} has no keys: pause it without key=")
            if key is None and found.key is not None:
                raise ValueError(f"{found!r} has keys: say which one, by key=")
            return [(key, found)]
        if key is None:
            raise ValueError("until, seconds and reason need a key or a limit: pause() of all events ends by resume()")
        router = self._router
        places: list[Place] = [(key, each) for each in router.limits if each.key is not None]
        if router.has_partitions:
            places.append((key, None))
        if not places:
            raise ConfigurationError(f"no limit has keys, and there are no partitions: nothing has the key {key!r}")
        return places

    def _close(self, processor: Processor, place: Place, pause: KeyPause) -> None:
        now = current_time()
        until = now + pause.until - wall_clock.seconds() if pause.until < inf else inf
        lanes = processor.queue.lanes
        state = lanes.limit_states.of_key(*place, now)
        processor._pauses.hold(state, Hold(until, pause.reason), now)
        lanes._touch((state,))  # the pause may be shorter than the one before

    # ---------------------------------------------------------------- limits

    def set_limit(self, limit: Limit | str, amount: Amount | None, per: float | None) -> None:
        """Change a limit; see ``Executor.set_limit()``."""
        self._refuse_cluster("set_limit()", "start the workers with the new limit")
        if amount is None and per is None:
            raise ValueError("set_limit() needs an amount, or per=")
        router = self._router
        self.tune(router)
        found = self._find(limit)
        number = router.limits.index(found)
        terms = _new_terms(found, router.terms[number], amount, per)
        if (processor := self._parts.queueing.processor) is not None:
            before = router.terms[number]
            router.set_terms(number, terms)
            try:
                for route in _routes(processor):
                    router.check_route(number, route)
            except Exception as exc:
                router.set_terms(number, before)
                exc.add_note("an event that waits or runs could never start again under the new limit: nothing changed")
                raise
        self._terms[found] = terms
        if (processor := self._ready_processor()) is not None:
            self._change(processor, number)
            processor._dispatcher.look_again()

    def tune(self, router: Router) -> None:
        """Let the changed limits hold in a router."""
        for number, limit in enumerate(router.limits):
            if limit in self._terms:
                router.set_terms(number, self._terms[limit])

    def _change(self, processor: Processor, number: int) -> None:
        """Let the new terms of a limit hold for all its keys."""
        lanes = processor.queue.lanes
        lanes._touch(lanes.limit_states.change(number + 1, current_time()))
        link = self._parts.link
        if link is not None and link.session is not None:
            link.session.store.min_retention = longest_period(processor)

    # ---------------------------------------------------------------- slots and capacity

    def resize(self, concurrency_limit: int | None, queue_capacity: int | None) -> None:
        """Change how many events may run, and how many may start in a window; see ``Executor.resize()``."""
        given = {"concurrency_limit": concurrency_limit, "queue_capacity": queue_capacity}
        changes = {name: number for name, number in given.items() if number is not None}
        check_bounds(capacity_refresh_time=MIN_REFRESH_TIME, **({"queue_capacity": 1} | changes))
        executor = self._parts.transitions.executor
        executor.processor_config = executor.processor_config | changes
        if (processor := executor.processor) is not None:  # in a cluster: the processor of the worker
            processor.resize(**changes)
        self._parts.log.resized(changes)

    # ---------------------------------------------------------------- the processor

    def apply(self, processor: Processor) -> None:
        """Make the changes in a processor that starts, unless it has them already."""
        if processor is self._processor:
            return
        self._processor = processor
        self.tune(processor.router)
        for number, limit in enumerate(processor.router.limits):
            if limit in self._terms:
                self._change(processor, number)
        for state in tuple(processor._pauses.holds):  # resume() may have been called while no event loop ran
            processor._pauses.release(state)
            processor.queue.lanes._touch((state,))
        for place, pause in self._pauses.items():
            if processor.router.has_partitions if place[1] is None else place[1] in processor.router.limits:
                self._close(processor, place, pause)

    def _ready_processor(self) -> Processor | None:
        """Return the processor, with its times in the running event loop. None if there is none, or no loop runs."""
        processor = self._parts.queueing.processor
        if processor is None:
            return None
        try:
            processor._follow_clock()
        except RuntimeError:  # no event loop runs: the next start makes the changes
            self._processor = None
            return None
        self.apply(processor)
        return processor

    @property
    def _router(self) -> Router:
        processor = self._parts.queueing.processor
        if processor is not None:
            return processor.router
        executor = self._parts.transitions.executor
        has_partitions = executor.processor_type.partition is not Processor.partition
        # Only to see which limits there are, and whether there are partitions.
        return Router(executor.processor_config.get("limits", ()), type if has_partitions else None)

    def _find(self, limit: Limit | str) -> Limit:
        """
        Return one of the limits.

        Raises:
            ValueError: No limit is this one or has this name.
        """
        limits = self._router.limits
        for each in limits:
            if each is limit or (each.name is not None and each.name == limit):
                return each
        known = ", ".join(repr(each if each.name is None else each.name) for each in limits) or "none"
        hint = did_you_mean(limit, [each.name for each in limits if each.name is not None])
        raise ValueError(f"the executor has no limit {limit!r}{hint}; its limits: {known}")

    def _refuse_cluster(self, what: str, instead: str) -> None:
        if self._parts.cluster is not None:
            raise ConfigurationError(
                f"{what} is not available with a cluster, whose workers share the limits: {instead}"
            )


def _new_terms(limit: Limit, terms: Terms, amount: Amount | None, per: float | None) -> Terms:
    """Return the new terms of a limit, or raise ``ValueError``."""
    amount = terms.amount if amount is None else amount
    if isinstance(limit, Quota):
        if per is not None:
            raise ValueError(f"{limit!r} has no per: its amount comes back at fixed times")
        return Terms(attrs.evolve(limit, amount=amount).amount, limit.per)
    if isinstance(limit, Rate):
        rate = attrs.evolve(limit, amount=amount, per=terms.per if per is None else per)
        return Terms(rate.amount, rate.per)
    if isinstance(limit, Adaptive):
        raise ValueError(f"{limit!r} learns its pace: make it with other bounds")  # noqa: TRY004  a wrong value
    if per is not None:
        raise ValueError(f"{limit!r} has no per: an event gives back what it took when it ends")
    return Terms(attrs.evolve(limit, limit=cast("Count", amount)).amount, 0.0)


def _routes(processor: Processor) -> Iterator[Route]:
    """Yield the routes of all events that wait or run: those that run may run again."""
    for entry in processor.queue.entries():
        yield entry.route
    for entry in processor._gate.in_hand.values():
        yield entry.route
    for run in processor._running.values():
        yield run.entry.route


def _end_of(until: datetime | None, seconds: float | None) -> float:
    """Return when a pause ends, in seconds since 1970; ``inf`` if nobody said."""
    if until is None:
        return inf if seconds is None else wall_clock.seconds() + check_seconds("seconds", seconds)
    if seconds is not None:
        raise ValueError("until and seconds exclude each other")
    if not isinstance(cast("object", until), datetime):
        raise TypeError(f"until must be a datetime, got {until!r}")
    if until.utcoffset() is None:
        raise ValueError(f"until must have a time zone, got {until!r}: use datetime.now(UTC) + ..., or astimezone()")
    return until.timestamp()
