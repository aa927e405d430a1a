"""Rules that change and pause the limits of an executor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lionpride_exec._base.wall_clock import utc_now
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.limits import Rate

from ._base import MachineBase, own

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.key_amounts import Amount
    from lionpride_exec._model.limits import Limit


class LimitRules(MachineBase):
    """Rules that call ``set_limit()``, and that pause one limit."""

    @precondition(lambda self: self._changeable_limits())
    @rule(number=st.integers(0, 5), more=st.integers(0, 6), by_key=st.booleans(), factor=st.sampled_from([1, 0.5, 2]))
    def set_limit(self, number: int, more: int, by_key: bool, factor: float) -> None:
        """
        Call ``executor.set_limit()``.

        Args:
            number: Which of the limits, 0 or more.
            more: The new amount is so much above the least one, 0 or more. The least one is 1, or the amount that the
                limit was made with if events have costs.
            by_key: Whether a limit with keys gets an amount for each key.
            factor: The new ``per`` of a rate is that of the limit, times this factor.
        """
        limits = self._changeable_limits()
        limit = limits[number % len(limits)]
        least = _least_amount(limit)
        amount: Amount | None = None if least is None else least + more
        if by_key and limit.key is not None and least is not None:
            amount = {...: least + more}
        per = limit.per * factor if isinstance(limit, Rate) else None
        if amount is not None or per is not None:
            self.call(self.executor.set_limit, limit, amount, per=per)

    @precondition(lambda self: self.executor.processor is not None)
    @rule(event=MachineBase.appended, number=st.integers(0, 5), seconds=own("seconds"), is_time=st.booleans())
    def pause_limit(self, event: Event, number: int, seconds: float, is_time: bool) -> None:
        """Call ``executor.pause(limit=...)`` for a limit of an event and its key, for some seconds or until a time."""
        for key, limit in self._pausable(event, number):
            how: dict[str, Any] = {"until": utc_now() + timedelta(seconds=seconds)} if is_time else {"seconds": seconds}
            self.call(self.executor.pause, key=key, limit=limit, **how)

    @precondition(lambda self: self.executor.processor is not None)
    @rule(event=MachineBase.appended, number=st.integers(0, 5))
    def resume_limit(self, event: Event, number: int) -> None:
        """Call ``executor.resume(limit=...)`` for a limit of an event and its key."""
        for key, limit in self._pausable(event, number):
            self.call(self.executor.resume, key=key, limit=limit)

    def _limits(self) -> Sequence[Limit]:
        processor = self.executor.processor
        return () if processor is None else processor.router.limits

    def _changeable_limits(self) -> list[Limit]:
        return [limit for limit in self._limits() if not isinstance(limit, Adaptive)]

    def _pausable(self, event: Event, number: int) -> list[tuple[Hashable, Limit]]:
        """Return one limit of an event, with the key of the event. Empty if it has none."""
        known, processor = self.current(event), self.executor.processor
        if known is None or processor is None:
            return []
        parts = iter(processor.router.route(known).key[processor.router.has_partitions :])
        keys = [(None if limit.key is None else next(parts), limit) for limit in self._limits()]
        found = [(key, limit) for key, limit in keys if key is not None or limit.key is None]
        return [found[number % len(found)]] if found else []


def _least_amount(limit: Limit) -> float | None:
    """Return an amount under which every event can start. None if only the user knows one."""
    if limit.cost is None:
        return 1
    return None if isinstance(limit.amount, Mapping) or callable(limit.amount) else limit.amount
