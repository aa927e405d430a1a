"""What an executor with a cluster refuses, and says so when it is asked for."""

import pytest
from cluster_events import Add, Echo, Fail, Nap, Stream
from cluster_support import cluster_on, executor_on, link_of, until

from lionpride_exec import (
    Adaptive,
    Call,
    ConfigurationError,
    Event,
    Executor,
    InvalidTransition,
    Journal,
    NotFoundError,
    Processor,
    Rate,
    Retry,
)
from lionpride_exec.errors import ValidationError

pytestmark = pytest.mark.anyio


class AddProcessor(Processor):
    event_type = Add


class AddExecutor(Executor):
    processor_type = AddProcessor


CONFIG = {"queue_capacity": 100, "capacity_refresh_time": 0.01}


def test_a_journal_beside_a_cluster(server, tmp_path):
    with pytest.raises(ConfigurationError, match="a journal or a cluster, not both"):
        AddExecutor(CONFIG, journal=Journal(tmp_path / "run.db"), cluster=cluster_on(server))


def test_a_cluster_that_another_executor_has(server):
    first = executor_on(server)
    with pytest.raises(ConfigurationError, match="belongs to another executor"):
        AddExecutor(CONFIG, cluster=first.cluster)


@pytest.mark.parametrize("name", ["_create_processor", "_update_progression"])
def test_methods_that_a_cluster_does_not_call(server, name):
    async def method(self, *args, **kwargs): ...

    kind = type("Own", (AddExecutor,), {name: method})
    with pytest.raises(ConfigurationError, match=name):
        kind(CONFIG, cluster=cluster_on(server))


async def test_a_processor_with_an_enqueue_of_its_own(server):
    class Own(AddProcessor):
        async def enqueue(self, event_id, priority=None):
            await super().enqueue(event_id, priority)

    executor = type("Own", (AddExecutor,), {"processor_type": Own})(CONFIG, cluster=cluster_on(server))
    with pytest.raises(ConfigurationError, match=r"Own\.enqueue\(\) is not called with a cluster"):
        async with executor:
            pass


async def test_a_processor_that_somebody_made(server):
    """It has other events than those that the worker holds."""
    executor = AddExecutor(CONFIG, cluster=cluster_on(server))
    with pytest.raises(ConfigurationError, match="leave it to the executor"):
        executor.processor = AddProcessor(pile=executor.states.items, **CONFIG)
    async with executor:
        assert await executor.invoke(Add(a=1)) == 2


async def test_forward(server):
    executor = executor_on(server)
    with pytest.raises(ConfigurationError, match=r"forward\(\) is not available with a cluster"):
        await executor.forward()
    async with executor:
        with pytest.raises(ConfigurationError, match=r"forward\(\) is not available with a cluster"):
            await executor.forward()


async def test_an_event_that_has_begun_elsewhere(server):
    event = Fail()
    await event.invoke()
    async with executor_on(server) as executor:
        with pytest.raises(ValueError, match="takes events that are PENDING only"):
            await executor.append(event)


async def test_an_event_that_would_be_held_after_a_crash(server):
    class Held(Event[None], tag="test.held", on_crash="hold"):
        async def _invoke(self): ...

    async with executor_on(server) as executor:
        with pytest.raises(ConfigurationError, match="on_crash='hold' is not available with a cluster"):
            await executor.append(Held())


async def test_running_an_event_by_hand(server):
    """It would run here and in a worker."""
    async with executor_on(server) as executor:
        event = await executor.append(Nap(seconds=0.3))
        for status in ("pending", "processing"):
            await until(lambda: event.status == status)  # noqa: B023  it is called at once
            with pytest.raises(ConfigurationError, match=r"await wait\(\) instead of invoke\(\)"):
                await event.invoke()
        await event.wait()
        await event.invoke()  # it has ended, so this does nothing
        assert event.execution.attempt == 1


async def test_a_status_set_by_hand(server):
    """The server would not know of it."""
    async with executor_on(server) as executor:
        event = await executor.append(Nap(seconds=0.2))
        for status in ("cancelled", "completed", "processing"):
            with pytest.raises(InvalidTransition) as caught:
                event.status = status
            assert "Executor.cancel()" in caught.value.__notes__[0]
        await event.wait()
        assert event.status == "completed"
        with pytest.raises(InvalidTransition):
            event.status = "pending"
        assert await link_of(executor).queries.counts() == {"completed": 1, "pending": 0, "processing": 0}


async def test_the_chunks_of_an_event(server):
    """They are in the process of its worker. The response comes back."""
    async with executor_on(server) as executor:
        event = await executor.append(Stream())
        with pytest.raises(ConfigurationError, match="its chunks can be read there only"):
            event.chunks()
        await event.wait()
        assert event.result() == [0, 1, 2]
        with pytest.raises(ConfigurationError, match="its chunks can be read there only"):
            event.chunks()


async def test_events_that_are_held(server):
    """There are none with a cluster."""
    async with executor_on(server) as executor:
        event = await executor.append(Add(a=1))
        with pytest.raises(ConfigurationError, match="held events are not available with a cluster"):
            await executor.held_events()
        with pytest.raises(ConfigurationError, match="held events are not available with a cluster"):
            await executor.release(event)


async def test_an_event_that_the_executor_does_not_know(server):
    """Only events that were submitted here can be cancelled here."""
    async with executor_on(server, work=False) as one, executor_on(server, one.cluster, work=False) as other:
        event = await one.append(Add(a=1))
        with pytest.raises(NotFoundError):
            other.cancel(event.id)
        with pytest.raises(NotFoundError):
            other.explain(event.id)
        one.cancel(event)


@pytest.mark.parametrize(("levels", "shown"), [((0, 20), "levels 0 to 20"), ((-10, 9), "levels -10 to 9")])
async def test_other_levels_than_those_of_the_queue(server, levels, shown):
    """Also as many of other numbers: a priority would be another stream."""
    async with executor_on(server) as first:
        with pytest.raises(ConfigurationError, match=f"has the levels -10 to 10, not the {shown}"):
            async with executor_on(server, first.cluster, levels=levels, work=False):
                pass


async def test_another_lease_than_that_of_the_workers(server):
    """A worker judges by its own lease whether another one is dead. Who only submits does not judge."""
    async with executor_on(server, lease=15) as first:
        other = executor_on(server, first.cluster, lease=30)
        with pytest.raises(ConfigurationError, match="have a lease of 15 s, not 30 s: stop them first"):
            await other.start()
        async with (
            executor_on(server, first.cluster, lease=15),
            executor_on(server, first.cluster, lease=30, work=False),
        ):
            pass


async def test_another_lease_once_no_worker_is_alive(server):
    """So a lease can be changed."""
    async with executor_on(server, lease=15) as first:
        await first.invoke(Add(a=1))
    for lease in (1.5, 15):
        async with executor_on(server, first.cluster, lease=lease) as worker:
            assert await worker.invoke(Add(a=1)) == 2


class Untagged(Event[int]):
    async def _invoke(self) -> int:
        return 1


async def double(number: int) -> int:
    return 2 * number


async def test_what_cannot_be_kept_names_the_queue(server):
    """The messages of a journal are about a journal."""
    cases = [
        (Untagged(), TypeError, "Untagged has no tag, and the queue {queue} needs one"),
        (
            Call.of(double, 1),
            TypeError,
            r"the queue {queue} does not know the function .* Executor.of\(function, cluster=",
        ),
        (Echo(value={1, 2}), ValidationError, "Echo.value cannot be kept in the queue {queue}"),
        (Add(a=1, retry=Retry(on=OSError)), ValidationError, "Add.retry cannot be kept in the queue {queue}"),
    ]
    async with executor_on(server) as executor:
        for event, kind, message in cases:
            with pytest.raises(kind, match=message.format(queue=repr(executor.cluster.queue))):
                await executor.append(event)
            assert event not in executor


async def test_another_priority(server):
    """The server keeps an event at its level."""
    async with executor_on(server) as executor:
        event = await executor.append(Add(a=1, b=2), delay=60)
        with pytest.raises(ConfigurationError, match=r"set_priority\(\) is not available with a cluster"):
            executor.set_priority(event, 0)
        executor.cancel(event)
        await event.wait()


async def test_a_pause_of_a_key(server):
    """The workers of other processes would not know of it."""
    executor = executor_on(server)
    with pytest.raises(ConfigurationError, match=r"Cluster.pause\(\) pauses the whole queue"):
        executor.pause(key="a")
    with pytest.raises(ConfigurationError, match="not available with a cluster"):
        executor.resume(key="a")


async def test_another_limit(server):
    """All processes take from one limit."""
    rate = Rate(5, per=1)
    executor = executor_on(server, limits=[rate])
    with pytest.raises(ConfigurationError, match=r"set_limit\(\) is not available with a cluster"):
        executor.set_limit(rate, 1)


async def test_a_limit_that_learns(server):
    """Each process would learn the limit of all."""
    executor = executor_on(server, limits=[Adaptive(5, 1, 10)])
    with pytest.raises(ConfigurationError, match="not available with a cluster: each process would learn"):
        await executor.start()


async def test_a_cancel_that_depends_on_what_a_worker_has_begun(server):
    """The process that asks learns some milliseconds later what a worker has begun."""
    async with executor_on(server) as executor:
        event = await executor.append(Add(a=1), delay=1000)
        for end in (executor.cancel, executor.skip):
            with pytest.raises(ConfigurationError, match="unless_begun=True is not available with a cluster"):
                end(event, unless_begun=True)
        assert executor.cancel(event)
        await event.wait()
