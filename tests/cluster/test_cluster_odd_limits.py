"""Limits whose names, keys, costs and times the server cannot hold as they are."""

import functools

import anyio
import pytest
from cluster_events import Add
from cluster_support import executor_on

from lionpride_exec import Concurrent, ConfigurationError, Rate

pytestmark = pytest.mark.anyio


class Key:
    """A key with any representation."""

    def __init__(self, shown):
        self.shown = shown

    def __repr__(self):
        if self.shown is None:
            raise RuntimeError("there is none")
        return self.shown


SILENT, HALF, LONG = Key(None), Key("\ud800"), Key("\ud800" * 100)
LIMITS = {
    "name": Concurrent(1, name="\ud800"),
    "repr() raises": Concurrent(1, key=lambda _event: SILENT),
    "surrogate": Concurrent(1, key=lambda _event: HALF),
    "long": Concurrent(1, key=lambda _event: LONG),
    "integer of 100 bits": Rate(10**30, per=1, cost=lambda _event: 10**25),
    "ages": Rate(5, per=1e17),
    "ages from the end on": Rate(5, per=1e17, hold=True),
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_an_event_runs_under_a_limit_that_the_server_cannot_hold_as_it_is(server, limit):
    """It ran never, and some of these limits ended every worker that took the event."""
    with anyio.fail_after(20):
        async with executor_on(server, limits=[limit]) as executor:
            event = await executor.append(Add(a=1))
            await event.wait()
    assert event.result() == 2


class Plain:
    """A key that says only where it is in the memory of this process."""


UNSHARED = {
    "an object": lambda _event: PLAIN,
    "in a tuple": lambda _event: ("host", PLAIN),
    "a function": lambda _event: test_an_event_whose_key_other_processes_do_not_know_is_refused,
}
PLAIN = Plain()


@pytest.mark.parametrize("key", UNSHARED.values(), ids=UNSHARED)
@pytest.mark.parametrize("work", [True, False])
async def test_an_event_whose_key_other_processes_do_not_know_is_refused(server, key, work):
    """Each process would count by itself, so the limit would be none."""
    limits = [Concurrent(1, key=lambda _event: "shared"), Rate(5, per=1, key=key)]
    async with executor_on(server, limits=limits, work=work) as executor:
        event = Add(a=1)
        with pytest.raises(TypeError, match="since each process shows the key differently"):
            await executor.append(event)
        assert event.id not in executor.states.items
        assert sum((await executor.cluster.counts()).values()) == 0


async def test_a_key_that_other_processes_do_not_know_is_fine_for_a_limit_of_one_process(server):
    """The address is that of one key there."""
    async with executor_on(server, limits=[Concurrent(1, key=UNSHARED["an object"], scope="process")]) as executor:
        assert await executor.invoke(Add(a=1)) == 2


async def test_a_worker_aborts_an_event_whose_key_other_processes_do_not_know(server):
    """The client has no limits, so it could not refuse the event."""
    worker = executor_on(server, limits=[Concurrent(1, key=UNSHARED["an object"])])
    async with executor_on(server, worker.cluster, work=False) as client, worker:
        event = await client.append(Add(a=1))
        with anyio.fail_after(20):
            await event.wait()
        assert event.status == "aborted"
        assert "since each process shows the key differently" in str(event.execution.error)
        await worker.stop()


async def test_a_limit_that_other_processes_do_not_know_needs_a_name(server):
    """Its arguments say where a function is in the memory of this process."""
    getter = functools.partial(lambda key, _event: key, "one")
    with pytest.raises(ConfigurationError, match="another limit in each process: give it a name"):
        async with executor_on(server, limits=[Concurrent(1, key=getter)]):
            pass
    async with executor_on(server, limits=[Concurrent(1, key=getter, name="one")]) as executor:
        assert await executor.invoke(Add(a=1)) == 2
