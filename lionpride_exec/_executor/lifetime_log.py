"""
Lines in the log about an executor as a whole: started, paused, resumed, resized, stopped, crashed.

A lifetime lasts as long as the task group that the executor runs in. If an executor is stopped and started again inside
its ``async with`` block, both belong to one lifetime, and the log has one line for them.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.backend import backend_name, current_time
from lionpride_exec._base.json_text import shown
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted, shown_seconds
from lionpride_exec._events.log_fields import log_fields
from lionpride_exec._status import PENDING, TERMINAL, EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade

logger: Final = logging.getLogger("lionpride_exec")


class LifetimeLog:
    """
    Logs what becomes of one executor.

    Args:
        executor: The executor.
        coordination: Knows the name of the executor.
        index: Knows the events in memory.
        retention: Knows how many have left memory.
        restored: Returns how many events the last opening of the journal has brought back.
    """

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        retention: Retention,
        restored: Callable[[], int],
    ) -> None:
        self._executor = executor
        self._coordination = coordination
        self._index = index
        self._retention = retention
        self._restored = restored
        self._since: float | None = None  # when the lifetime began, by the clock of the event loop
        self._had: Mapping[EventStatus, int] = {}  # how many events had ended then, by status

    def started(self) -> None:
        """Tell that a lifetime begins."""
        self._since, self._had = current_time(), self._ended()
        if not logger.isEnabledFor(logging.INFO):
            return
        backend = backend_name()
        processor = self._executor.processor
        slots = 0 if processor is None else processor.running_limit
        limits = [] if processor is None else [limit.name or repr(limit) for limit in processor.router.limits]
        restored, pending = self._restored(), len(self._index.by_status[PENDING])
        logger.info(
            "executor %s started on %s: %s, %s pending, %s restored%s", self._coordination.name, backend,
            counted(slots, "slot"), pending, restored, "".join(f", {limit}" for limit in limits),
            extra=self._fields() | {
                "lionpride.backend": backend, "lionpride.slots": slots, "lionpride.limits": limits,
                "lionpride.restored": restored, "lionpride.pending": pending,
            },
        )  # fmt: skip

    def stopped(self, error: BaseException | None) -> None:
        """
        Tell that a lifetime has ended, how long it was, and what became of the events in it.

        Args:
            error: Why the executor was left early. None if it has come to rest.
        """
        since, self._since = self._since, None
        if since is None or not logger.isEnabledFor(logging.INFO):
            return
        seconds = max(current_time() - since, 0.0)
        counts = {status.value: number - self._had.get(status, 0) for status, number in self._ended().items()}
        counts = {status: number for status, number in counts.items() if number > 0}
        pending = len(self._index.by_status[PENDING])
        told = ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "nothing ended"
        logger.info(
            "executor %s %s after %s: %s, %s pending", self._coordination.name,
            "stopped" if error is None else "was left early", shown_seconds(seconds), told, pending,
            extra=self._fields(error) | {"lionpride.seconds": seconds, "lionpride.pending": pending}
            | {f"lionpride.{status}": number for status, number in counts.items()},
        )  # fmt: skip

    def crashed(self, error: BaseException) -> None:
        """Tell that the background task of an executor has crashed. The next call of the executor raises the error."""
        logger.error("executor %s crashed", self._coordination.name, exc_info=error, extra=self._fields(error))

    def paused(self) -> None:
        """Tell that no more events start."""
        logger.info("executor %s paused", self._coordination.name, extra=self._fields())

    def resumed(self) -> None:
        """Tell that events start again."""
        logger.info("executor %s resumed", self._coordination.name, extra=self._fields())

    def key_paused(self, key: Hashable, limit: Limit | str | None, until: float, reason: str) -> None:
        """Tell that a key, or a limit without keys, is paused until a time, in seconds since 1970, and why."""
        ends = "until resume" if until == inf else f"for {shown_seconds(max(until - wall_clock.seconds(), 0.0))}"
        logger.info(
            "executor %s paused %s %s: %s", self._coordination.name, _named(key, limit), ends, reason,
            extra=self._of_key(key, limit),
        )  # fmt: skip

    def key_resumed(self, key: Hashable, limit: Limit | str | None) -> None:
        """Tell that the pause of a key, or of a limit without keys, was ended."""
        told, extra = _named(key, limit), self._of_key(key, limit)
        logger.info("executor %s resumed %s", self._coordination.name, told, extra=extra)

    def resized(self, changes: Mapping[str, int]) -> None:
        """Tell which numbers of the processor have changed."""
        told = ", ".join(f"{name}={number}" for name, number in changes.items())
        logger.info(
            "executor %s resized: %s", self._coordination.name, told,
            extra=self._fields() | {f"lionpride.{name}": number for name, number in changes.items()},
        )  # fmt: skip

    def _ended(self) -> dict[EventStatus, int]:
        by_status, removed = self._index.by_status, self._retention.removed
        done = {status: len(by_status[status]) + removed.get(status, 0) for status in EventStatus if status in TERMINAL}
        return self._retention.ended_here(done)

    def _of_key(self, key: Hashable, limit: Limit | str | None) -> dict[str, Any]:
        # A key may be of any class. Only its text is sure to have a form in JSON, and its repr() may raise.
        fields = self._fields() | {"lionpride.key": key if key is None or isinstance(key, str) else shown(key)}
        return fields if limit is None else fields | {"lionpride.limit": str(limit)}

    def _fields(self, error: BaseException | None = None) -> dict[str, Any]:
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # a task group has made it
            error = error.exceptions[0]
        return log_fields(self._coordination.name, None, error)


def _named(key: Hashable, limit: Limit | str | None) -> str:
    """Return the words for a key, a limit, or a key of a limit."""
    name = "" if limit is None else f"limit {limit if isinstance(limit, str) else limit.name or repr(limit)}"
    if key is None:
        return name
    return f"key {shown(key)} of {name}" if name else f"key {shown(key)}"
