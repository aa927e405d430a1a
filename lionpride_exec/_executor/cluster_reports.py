"""What an executor with a cluster reports of its events: what they wait for, and the progress."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import attrs
from anyio.lowlevel import current_token

from lionpride_exec._base.backend import current_time
from lionpride_exec._model.waiting import Waiting, WaitReason
from lionpride_exec._status import PENDING, PROCESSING, EventStatus
from lionpride_exec._tracking.progress import Look
from lionpride_exec.errors import NotFoundError

from .explainer import Explainer
from .explanation import Explanation, RemoteExplanation
from .named_events import id_of
from .progress_report import ProgressReport

if TYPE_CHECKING:
    from collections.abc import Generator

    from lionpride_exec._cluster.engine import Details
    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.progress import Progress

    from .cluster_link import ClusterLink
    from .parts import Parts
    from .progress_report import Outlook
    from .survey import Parked


class ClusterExplainer(Explainer):
    """
    Explains what the events of an executor wait for, wherever they are.

    Args:
        parts: The parts of the executor.
        cluster: The link of the executor.
    """

    def __init__(self, parts: Parts, cluster: ClusterLink) -> None:
        super().__init__(*parts.explained)
        self._cluster = cluster

    def explain(self, event: Event, processor: Processor | None) -> Explanation:
        """
        Return what an event waits for.

        This is known if the worker of this process holds the event. Otherwise the event waits for a worker.
        """
        held = self._cluster.work.index.items.get(event.id, None)
        if held is None or held.status is not PENDING or event.status is not PENDING:
            return super().explain(event, processor)
        found = super().explain(held, processor)
        if found.waits_for is WaitReason.START:  # the server is being asked for its start
            return super().explain(event, processor)
        return attrs.evolve(found, event=event)

    def _why(self, event: Event, processor: Processor | None, now: float) -> Waiting:
        is_own = event.id in self.index.items and self.index.items[event.id] is event
        if is_own and event.status is PENDING:
            return Waiting(WaitReason.CLUSTER)
        return super()._why(event, processor, now)

    def _waits_before_start(self) -> dict[WaitReason, int]:
        pending = self.count_pending()
        return {WaitReason.CLUSTER: pending} if pending else {}

    def _waits(self, processor: Processor, parked: Parked) -> dict[WaitReason, int]:  # noqa: ARG002  those of the executor
        return self._waits_before_start()

    def _parked_in_steps(self, processor: Processor) -> Generator[None, None, Parked]:  # noqa: ARG002  as above
        yield
        return Counter()

    async def explain_remote(self, event: Event | UUID | str) -> RemoteExplanation:
        """Ask the server where an event is, and what it waits for; see ``Executor.explain_remote()``."""
        event_id = id_of(event)
        queries = self._cluster.open_queries()
        (found,) = await queries.details([event_id.hex])
        if found is None:
            raise NotFoundError(f"There is no event {event_id} in the queue")
        is_queued = found.status == PENDING and not (found.waits_for or found.is_delayed or found.held_by)
        is_paused = is_queued and await queries.is_paused()
        process = ""
        if found.held_by:
            process = next((one.process for one in await queries.workers() if one.name == found.held_by), "")
        return _explanation(event_id, found, process, is_paused=is_paused)


def _explanation(event_id: UUID, found: Details, process: str, *, is_paused: bool) -> RemoteExplanation:
    status = EventStatus(found.status)
    reason, seconds = WaitReason.CLUSTER, None
    if status is not PENDING:
        reason, seconds = (WaitReason.RUNNING if status is PROCESSING else WaitReason.FINAL), 0.0
    elif found.waits_for:
        reason = WaitReason.DEPENDENCY
    elif found.parked:
        reason, seconds = WaitReason.LIMIT, found.seconds_left or None
    elif found.is_delayed:
        reason, seconds = (WaitReason.RETRY if found.attempt else WaitReason.DELAY), found.seconds_left
    elif is_paused:
        reason = WaitReason.PAUSED
    return RemoteExplanation(
        event_id=event_id,
        status=status,
        waits_for=reason,
        since=datetime.fromtimestamp(found.since / 1e6, UTC),
        attempt=found.attempt,
        seconds=seconds,
        worker=found.held_by,
        process=process,
        renewed=found.idle if found.held_by else None,
        limit=found.parked,
        after=tuple(UUID(other) for other in found.after),
    )


class ClusterProgress(ProgressReport):
    """
    Computes the progress of an executor whose events run in the workers of a cluster.

    This process does not know how many workers there are, nor what else they run. So the remaining time follows from
    the pace of the ends that it has seen.
    """

    def outlook(self, processor: Processor | None, to_come: float) -> Generator[None, None, Outlook | None]:  # noqa: ARG002  a processor works for all executors
        """Make no forecast."""
        return None
        yield

    def make(self, processor: Processor | None, to_come: float, outlook: Outlook | None = None) -> Progress:  # noqa: ARG002  likewise
        """Return the progress. O(1)."""
        return super().make(None, to_come)

    def _pace_and_rest(
        self,
        processor: Processor | None,  # noqa: ARG002  likewise
        done: int,
        running: int,
        to_start: float,
        outlook: Outlook | None,  # noqa: ARG002  likewise
    ) -> tuple[float | None, float | None]:
        try:
            loop, now = current_token(), current_time()
        except RuntimeError:
            return None, None
        look = self._pace.look(loop, Look(now, done), running, is_blocked=False, is_held=False)
        rate, lately = self._pace.rate(look), self._pace.since(look)
        return rate, (running + to_start) * lately.at / lately.done if lately.done else None
