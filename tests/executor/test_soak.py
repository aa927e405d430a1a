"""
Load that goes on: nothing grows, however many events there have been.

``benchmarks/soak.py`` does the same for ten minutes on the real loops. Here the clock is virtual, and events are
counted, so that thousands of delays, retries and timeouts take no time.
"""

import logging
from functools import partial

import anyio
import pytest
from leftovers import census, soak
from support import CONFIG, Job, JobExecutor

from lionpride_exec import Progression, Retain

pytestmark = pytest.mark.anyio


EVENTS = 20  # of each chore in a round; some 250 in all
REST = 100.0  # seconds: longer than all windows, those of a retry budget and of progress() included


@pytest.mark.parametrize("scenario", soak.SCENARIOS, ids=lambda scenario: scenario.name)
async def test_nothing_grows(scenario, tmp_path, caplog):
    """Under a load of everything there is, containers, objects, tasks and memory stay as they are."""
    caplog.set_level(logging.ERROR, "lionpride_exec")  # pytest would keep the warnings, with the errors of the gate
    rounds, events = 12, EVENTS
    if "journal" in scenario.name:
        pytest.importorskip("msgspec")
        rounds, events = 6, EVENTS // 2  # they wait for a real disk
    async with scenario.running(tmp_path) as executor:
        work = partial(scenario.round, executor, events)
        assert await census.growth(work, rounds=rounds, rest=REST, executor=executor) == []
        assert executor.progress().total > rounds * 10 * events


# -------------------------------------------------------------------- that it would be found

KEPT = []


class LeakyExecutor(JobExecutor):
    """Does not let go of everything."""

    def __init__(self):
        super().__init__(dict(CONFIG), retain=Retain(10))
        self.seen = {}
        self.parts = [Progression().guard]
        self.parts[0].when_free = []  # in a slot, of an object in a list


def leak_in_a_dict(executor, event):
    executor.seen[event.id] = None


def leak_in_a_slot(executor, event):
    executor.parts[0].when_free.append(None)


def leak_in_a_container_of_ours(executor, event):
    executor.processor_config[str(event.id)] = {}


def leak_of_an_observer(executor, event):
    executor.observe(lambda *_: None)


def leak_of_an_event(executor, event):
    KEPT.append(event)


def leak_of_bytes(executor, event):
    KEPT.extend(bytes(100 + number) for number in range(2000))


def leak_of_a_task(executor, event):
    executor.group.start_soon(anyio.sleep_forever, name=f"left behind by {event.id.int}")


def no_leak(executor, event):
    pass


@pytest.mark.parametrize(
    ("leak", "names"),
    [
        (leak_in_a_dict, ["executor.seen"]),
        (leak_in_a_slot, ["executor.parts[*].when_free"]),
        (leak_in_a_container_of_ours, ["executor.processor_config"]),
        (leak_of_an_observer, ["executor._observers.callbacks"]),
        (leak_of_an_event, ["objects of Job", "objects of Execution"]),
        (leak_of_bytes, ["blocks of memory"]),
        (leak_of_a_task, ["tasks named 'left behind by *'"]),
        (no_leak, []),
    ],
)
async def test_a_leak_is_found(leak, names):
    """One thing that is kept in each round of ten events is found, and told where; without one nothing is."""

    async def work():
        events = await executor.extend(Job() for _ in range(10))
        for event in events:
            await event.wait()
        leak(executor, events[0])

    KEPT.clear()
    async with anyio.create_task_group() as group:
        executor = LeakyExecutor()
        executor.group = group
        await group.start(executor.run)
        found = await census.growth(work, rounds=4, rest=REST, executor=executor)
        group.cancel_scope.cancel()
    KEPT.clear()
    told = [line.partition(":")[0] for line in found]
    assert set(names) <= set(told)
    assert bool(told) == bool(names)
