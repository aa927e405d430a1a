"""What the strategies give is valid, and shrinks to what does least."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from lionpride_exec import Concurrent, Event, Executor, Quota, Rate, Retry
from lionpride_exec.testing import BACKENDS, run, strategies


class Work(Event[str]):
    """Has fields of all kinds."""

    name: str
    weight: float = 1.0
    sizes: list[int] = []
    anything: Any = None
    _hidden: int = 0

    async def _invoke(self):
        return self.name


CONFIGS = strategies.configs(limits=strategies.limits(keys=["name"], costs=["weight"], min_amount=3, quotas=True))
START = datetime(2026, 1, 1, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(
    config=CONFIGS,
    events=st.lists(strategies.events(Work, weight=st.integers(0, 3)), max_size=8),
    priority=strategies.priorities(),
    backend=st.sampled_from(BACKENDS),
)
def test_an_executor_of_any_configuration_runs_any_events(config, events, priority, backend):
    """Nothing they give is refused, and everything comes to its end."""

    async def main():
        async with Executor.of(Work, **config) as executor:
            await executor.extend(events, priority=priority)
        assert executor.status_counts()["completed"] == len(events)

    run(main, backend=backend, start=START)


def test_they_shrink_to_what_does_least():
    """The simplest values are no priority, no timeout, no limits, one attempt, and one of each."""
    # From the same beginning each time: once, in some thousand runs, the way to the simplest was not finished.
    same = settings(derandomize=True, database=None)
    kinds = (strategies.priorities(), strategies.timeouts(), CONFIGS)
    simplest = [find(one, lambda _: True, settings=same) for one in kinds]
    assert simplest[:2] == [None, None]
    assert simplest[2] == {
        "queue_capacity": 1,
        "capacity_refresh_time": 1.0,
        "concurrency_limit": 1,
        "max_queue_size": 1,
        "limits": [],
        "retry": None,
        "timeout": None,
    }
    retry = find(strategies.retries(), lambda _: True)
    assert (retry.attempts, retry.backoff, retry.jitter, retry.deadline, retry.budget) == (1, 0.0, 0.0, None, None)
    event = find(strategies.events(Work), lambda _: True)
    assert (event.name, event.weight, event.sizes, event.timeout, event.retry) == ("", 0.0, [], None, None)


@pytest.mark.parametrize(
    "condition",
    [
        lambda limit: isinstance(limit, Concurrent) and limit.key == "name",
        lambda limit: isinstance(limit, Rate) and limit.key == "name" and limit.cost == "weight" and limit.hold,
        lambda limit: isinstance(limit, Rate) and limit.key is limit.cost is None,
        lambda limit: isinstance(limit, Quota) and limit.cost == "weight" and limit.hold and limit.key is None,
        lambda limit: isinstance(limit, Quota) and isinstance(limit.amount, Mapping),
    ],
)
def test_limits_are_of_all_kinds(condition):
    """Rates and bounds on what runs, for all and for a key, with a cost and without."""
    found = find(
        strategies.limits(keys=["name"], costs=["weight"], min_amount=3, quotas=True),
        lambda limits: any(map(condition, limits)),
    )
    amounts = [limit.amount for limit in found if not isinstance(limit, Concurrent)]
    assert all((amount[...] if isinstance(amount, Mapping) else amount) >= 3 for amount in amounts)


def test_quotas_are_drawn_on_demand():
    """They need a virtual wall clock, which not every test has."""
    with pytest.raises(NoSuchExample):
        find(
            strategies.limits(keys=["name"]),
            lambda limits: any(isinstance(limit, Quota) for limit in limits),
            settings=settings(max_examples=200),
        )


def test_events_draw_fields_timeouts_and_retries():
    """Fields are drawn by their annotations; what has none, and what is hidden, is left at its default."""
    drawn = strategies.events(Work)
    find(drawn, lambda event: event.name and event.weight > 1 and len(event.sizes) == 2)
    find(drawn, lambda event: event.timeout is not None and isinstance(event.retry, Retry))

    @settings(max_examples=50)
    @given(event=drawn)
    def look(event):
        assert event.anything is None
        assert event._hidden == 0
        assert event.metadata == {}
        assert event.idle_timeout is None
        assert not event.streaming

    look()


def test_events_take_values_and_strategies():
    """What is said of a field is used."""
    event = find(strategies.events(Work, name="a", weight=st.integers(5), timeout=None), lambda _: True)
    assert (event.name, event.weight, event.timeout) == ("a", 5, None)


def test_events_name_what_is_wrong():
    """A field that is not there, and one of which nobody knows what to draw."""
    with pytest.raises(TypeError, match=r"Work has no field .nam. .did you mean .name."):
        strategies.events(Work, nam="a")

    class Vague(Event):
        thing: Any

    with pytest.raises(TypeError, match=r"Vague.thing is typing.Any: say what to draw for it"):
        strategies.events(Vague)
    assert find(strategies.events(Vague, thing=1), lambda _: True).thing == 1


def test_the_kit_is_there_without_hypothesis():
    """Who only wants virtual time needs none of the extras."""
    program = (
        "import sys, lionpride_exec.testing; print(*{'hypothesis', 'pytest', 'trio', 'uvloop'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stdout.split() == []
