"""Options and calls of an executor, together with a cluster: each works in the workers, or is refused by its name."""

import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from cluster_events import Add, Echo, Fail, Nap
from cluster_support import executor_on, link_of, until

from lionpride_exec import (
    Adaptive,
    Call,
    Concurrent,
    ConfigurationError,
    Event,
    Executor,
    Quota,
    Rate,
    Retry,
    Stage,
    current_executor,
    pipeline,
)

pytestmark = pytest.mark.anyio

began = {}  # by name of a test's queue: size and worker of each run


class Sized(Event[str], tag="test.sized"):
    """Notes its size and its worker."""

    queue: str
    size: str = "small"
    seconds: float = 0.0

    async def _invoke(self) -> str:
        began[self.queue].append((self.size, current_executor()))
        await anyio.sleep(self.seconds)
        return self.size


class Weighed(Sized, tag="test.weighed"):
    """Another class with the same base."""


async def double(number):
    """Return twice a number."""
    return 2 * number


async def add(first, second):
    """Return a sum."""
    return first + second


def whereabouts(number):
    """Return a number, and whether this is the thread of the event loop."""
    return [number, threading.current_thread() is threading.main_thread()]


def place_of(number):
    """Like whereabouts(), by another name."""
    return whereabouts(number)


FUNCTIONS = {"test.double": double, "test.add": add, "test.whereabouts": whereabouts}


@pytest.fixture
def runs(name):
    """The runs of the queue of this test."""
    began[name] = []
    yield began[name]
    del began[name]


def far_reset():
    """Return a time of the day that is hours away."""
    return (datetime.now(UTC) + timedelta(hours=12)).strftime("%H:%M")


async def no_more_than(number, runs):
    """Wait for so many runs. Then wait for another one, which must not come."""
    await until(lambda: len(runs) >= number)
    await anyio.sleep(0.7)
    assert len(runs) == number


# ---------------------------------------------------------------- limits


async def test_a_rate_has_its_amounts_by_key_for_all_workers_together(server, name, runs):
    """Each key has its own, and all other keys the default."""
    limits = [Rate({"small": 2, "large": 4, ...: 1}, per=60, key="size")]
    async with (
        executor_on(server, name, limits=limits) as one,
        executor_on(server, name, limits=limits) as other,
    ):
        sizes = ["small"] * 6 + ["large"] * 6 + ["odd"] * 3
        await one.extend([Sized(queue=name, size=size) for size in sizes])
        await no_more_than(7, runs)
        found = [size for size, _ in runs]
        assert [found.count(size) for size in ("small", "large", "odd")] == [2, 4, 1]
        await one.stop()
        await other.stop()


async def test_a_place_for_each_key_has_its_amounts_by_key(server, name, runs):
    limits = [Concurrent({"small": 1, ...: 3}, key="size")]
    async with (
        executor_on(server, name, limits=limits) as one,
        executor_on(server, name, limits=limits) as other,
    ):
        await one.extend([Sized(queue=name, size=size, seconds=60) for size in ["small"] * 4 + ["large"] * 5])
        await no_more_than(4, runs)
        assert sorted(size for size, _ in runs) == ["large"] * 3 + ["small"]
        await one.stop(0)
        await other.stop(0)


@pytest.mark.parametrize("work", [True, False])
@pytest.mark.parametrize(
    "limit", [Quota(5, resets="00:00"), Adaptive(5, minimum=1, maximum=9)], ids=["quota", "adaptive"]
)
async def test_a_limit_that_the_server_cannot_count_is_refused_at_the_start(server, limit, work):
    """By its name, in a client too."""
    with pytest.raises(ConfigurationError, match=rf"{type(limit).__name__}\(.*\) is not available with a cluster"):
        async with executor_on(server, limits=[limit], work=work):
            pytest.fail("it has started")


LIMITS_OF_A_PROCESS = {
    "quota": lambda: Quota(2, resets=far_reset(), scope="process"),
    "rate": lambda: Rate(2, per=600, scope="process"),
    "costs": lambda: Quota(2, resets=far_reset(), scope="process", cost=lambda _: 1),
    "keys": lambda: Rate(2, per=20, scope="process", key="size"),
}


@pytest.mark.parametrize("kind", LIMITS_OF_A_PROCESS)
async def test_a_worker_at_its_own_limit_leaves_the_events_to_others(server, name, runs, kind):
    """Those that wait in it, too. Otherwise they would wait there until the limit has room, perhaps until midnight."""
    async with executor_on(server, name, work=False) as client:
        events = await client.extend([Sized(queue=name) for _ in range(5)])
        async with executor_on(server, name, limits=[LIMITS_OF_A_PROCESS[kind]()]) as first:
            await no_more_than(2, runs)
            with anyio.fail_after(10):
                while [worker.holds for worker in await client.cluster.workers()] != [0]:
                    await anyio.sleep(0.05)
            first.pause()  # it would take them again, later
            async with executor_on(server, name, limits=[LIMITS_OF_A_PROCESS[kind]()]) as second:
                await until(lambda: len(runs) == 4)
                assert [worker for _, worker in runs] == [first] * 2 + [second] * 2
                second.pause()
                async with executor_on(server, name):
                    with anyio.fail_after(20):
                        await client.join()
                await first.stop()
                await second.stop()
    assert all(event.status == "completed" for event in events)


# ---------------------------------------------------------------- timeout and retry


async def test_the_timeout_of_the_worker_counts(server):
    """That of the client's executor does not. One of the event itself goes before both."""
    async with executor_on(server, work=False, timeout=0.01) as client:
        async with executor_on(server, client.cluster) as worker:
            event = await client.append(Nap(seconds=0.3))
            await event.wait()
            assert event.status == "completed"
            await worker.stop()
        async with executor_on(server, client.cluster, timeout=0.05):
            event = await client.append(Nap(seconds=30))
            own = await client.append(Nap(seconds=0.3, timeout=20))
            await event.wait()
            await own.wait()
            assert (event.status, own.status) == ("cancelled", "completed")


async def test_the_retry_of_the_worker_counts(server):
    """That of the client's executor does not. One of the event itself goes before both."""
    async with executor_on(server, work=False, retry=Retry(attempts=4, backoff=0.01)) as client:
        async with executor_on(server, client.cluster) as worker:
            event = await client.append(Fail())
            await event.wait()
            assert event.execution.attempt == 1
            await worker.stop()
        async with executor_on(server, client.cluster, retry=Retry(attempts=3, backoff=0.01)):
            event = await client.append(Fail())
            own = await client.append(Fail(retry=Retry(attempts=2, backoff=0.01)))
            await event.wait()
            await own.wait()
            assert (event.execution.attempt, own.execution.attempt) == (3, 2)


async def test_the_options_of_a_map_and_of_a_call_go_to_the_worker(server):
    async with (
        executor_on(server, work=False, types=FUNCTIONS) as client,
        executor_on(server, client.cluster, types=FUNCTIONS) as worker,
    ):
        with anyio.fail_after(20):
            assert [event.status async for event in client.map(Nap, [{"seconds": 30}], timeout=0.05)] == ["cancelled"]
            retry = Retry(attempts=2, backoff=0.01)
            assert [event.execution.attempt async for event in client.map(Fail, [{}], retry=retry)] == [2]
            call = await client.append(Call.of(double, 3).with_options(timeout=5, retry=retry))
            await call.wait()
            assert call.result() == 6
            copy = await worker.get(call.id)
            assert (copy.timeout, copy.retry.attempts, copy.retry.backoff) == (5, 2, 0.01)


async def test_an_event_is_cancelled_with_its_caller_if_that_is_asked_for(server):
    async with executor_on(server, work=False) as client, executor_on(server, client.cluster):
        event = Nap(seconds=60)
        async with anyio.create_task_group() as group:

            async def call():
                await client.invoke(event, cancel_on_abandon=True)

            group.start_soon(call)
            await until(lambda: event.status == "processing")
            group.cancel_scope.cancel()
        with anyio.fail_after(20):
            await event.wait()
        assert event.status == "cancelled"


# ---------------------------------------------------------------- maps and pipelines


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("work", [True, False])
async def test_a_pipeline_leads_through_two_queues(server, ordered, work):
    """The workers of each queue run its stage."""
    async with (
        executor_on(server, types=FUNCTIONS, work=work) as first,
        executor_on(server, types=FUNCTIONS, work=work) as second,
        executor_on(server, first.cluster, types=FUNCTIONS),
        executor_on(server, second.cluster, types=FUNCTIONS),
    ):
        stages = Stage(first, double), Stage(second, double)
        with anyio.fail_after(20):
            found = [event.result() async for event in pipeline(range(30), *stages, ordered=ordered)]
    assert found == list(range(0, 120, 4)) if ordered else sorted(found) == list(range(0, 120, 4))


async def test_a_pipeline_leads_from_this_process_into_a_cluster(server):
    """An event that fails in the first stage goes past the second one."""
    async with Executor.of(Event) as here, executor_on(server, types=FUNCTIONS) as there:
        with anyio.fail_after(20):
            found = [event.result() async for event in pipeline(range(5), Stage(here, double), Stage(there, double))]
            (failed,) = [event async for event in pipeline([{}], Stage(there, Fail), Stage(here, double))]
    assert sorted(found) == [0, 4, 8, 12, 16]
    assert (type(failed), failed.status) == (Fail, "failed")


async def test_starmap_passes_several_arguments(server):
    async with (
        executor_on(server, types=FUNCTIONS, work=False) as client,
        executor_on(server, client.cluster, types=FUNCTIONS),
    ):
        with anyio.fail_after(20):
            found = [event.result() async for event in client.starmap(add, [(1, 2), ("a", "b")], ordered=True)]
    assert found == [3, "ab"]


# ---------------------------------------------------------------- where functions run


async def test_a_plain_function_runs_in_a_thread_of_the_worker(server):
    """The client needs no more than its tag."""
    async with (
        executor_on(server, types=FUNCTIONS, work=False) as client,
        executor_on(server, client.cluster, event_type=whereabouts, types=FUNCTIONS, run_in="thread", threads=2),
    ):
        with anyio.fail_after(20):
            assert [event.result() async for event in client.map(whereabouts, [7])] == [[7, False]]
            event = await client.append(Call.of(whereabouts, 8))
            await event.wait()
    assert event.result() == [8, False]


async def test_a_plain_function_without_a_tag_is_refused(server):
    async with executor_on(server, types=FUNCTIONS) as client:
        with pytest.raises(TypeError, match="does not know the function of Call"):
            await client.append(Call.of(place_of, 1))
        assert not list(client.states.items)


# ---------------------------------------------------------------- several classes


async def test_one_executor_takes_all_classes_with_its_base(server, name, runs):
    """Or one class only, if it says so. A client is refused at the call, a worker leaves what it does not take."""
    async with executor_on(server, name, event_type=Sized, work=False) as client:
        with pytest.raises(TypeError, match="Add is not a subclass"):
            await client.append(Add(a=1))
        other = await client.append(Weighed(queue=name, size="other"))
        strict = executor_on(server, name, event_type=Sized, strict_event_type=True)
        async with strict:
            await client.invoke(Sized(queue=name))
            await until(lambda: link_of(strict).work.tally.passed_on == {"unreadable": 1})
            assert other.status == "pending"
            client.cancel(other)
            with pytest.raises(TypeError):
                await strict.append(Weighed(queue=name))
        async with executor_on(server, name, event_type=Sized) as worker:
            with anyio.fail_after(20):
                await client.invoke(Weighed(queue=name, size="another"))
        assert runs == [("small", strict), ("another", worker)]


# ---------------------------------------------------------------- refused by name, at the call


async def test_what_no_cluster_allows_is_refused_by_its_name(server):
    """At the call, and nothing is taken in."""
    async with executor_on(server, types=FUNCTIONS) as executor:
        later = datetime.now(UTC) + timedelta(hours=1)
        calls = [
            ("expires=", lambda: executor.append(Add(a=1), expires=5)),
            ("expires=", lambda: executor.append(Add(a=1), expires=later)),
            ("expires=", lambda: executor.invoke(Add(a=1), expires=5)),
            ("expires=", lambda: executor.extend([Add(a=1)], expires=5)),
            ("expires=", lambda: executor.map(Add, [1], expires=5)),
            ("expires=", lambda: executor.starmap(add, [(1, 2)], expires=5)),
            ("expires=", lambda: Stage(executor, Add, expires=5)),
            ("schedule()", lambda: executor.schedule(lambda _: Add(a=1), every=5)),
            ("carry", lambda: executor_on(server, carry=[ContextVar("x")])),
        ]
        for what, call in calls:
            with pytest.raises(ConfigurationError) as refused:
                found = call()
                if hasattr(found, "__await__"):
                    await found
            assert what in str(refused.value)
            assert "cluster" in str(refused.value)
        assert not list(executor.states.items)
        assert await executor.invoke(Echo(value=1)) == 1
