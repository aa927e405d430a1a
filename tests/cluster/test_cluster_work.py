"""What an executor does as a worker of a queue: starts, ends, limits, retries, stops."""

import sys
import time

import anyio
import pytest
from cluster_support import SECRET, link_of, until
from parts import cluster
from plain_work import Read, die, double
from work_events import Step, executor_for, runs

from lionpride_exec import (
    Call,
    Cluster,
    Concurrent,
    Event,
    EventStatus,
    Executor,
    Processor,
    Rate,
    RateLimited,
    Retry,
    Skip,
    Wait,
)

pytestmark = pytest.mark.anyio


def most_at_once(spans):
    """Return how many of these spans overlap at most. Some span begins at a moment when so many run."""
    return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)


async def test_events_of_one_executor_run_in_another(server, name):
    """A client that does not work gets the results of a worker."""
    async with executor_for(server, name, Step, work=False) as client:
        events = await client.extend(Step(name=name, number=number) for number in range(30))
        assert client.status_counts()["pending"] == 30
        async with anyio.create_task_group() as group:
            worker = executor_for(server, name, Step)
            await group.start(worker.run)
            await client.join()
            await worker.stop()
    assert sorted(runs[name]) == list(range(30))
    assert [event.result() for event in events] == list(range(30))
    assert {event.execution.attempt for event in events} == {1}


async def test_a_limit_holds_for_two_executors_together(server, name):
    """A rate of both, by the clock of the server: they begin no more than it allows."""
    limit = Rate(10, per=0.5)
    pair = [executor_for(server, name, Step, limits=[limit]) for _ in range(2)]
    began = time.monotonic()
    async with pair[0], pair[1]:
        await pair[0].extend(Step(name=name, number=number) for number in range(35))
        await pair[0].join()
    times = sorted(span[0] for span in runs[name, "a"])
    assert len(times) == 35
    # A start comes after its grant. On a busy machine many may come at once, but none comes before its turn.
    assert all(at - began >= number // 10 * 0.5 for number, at in enumerate(times))


async def test_a_concurrent_limit_holds_for_two_executors_together(server, name):
    """The end of a run in one process lets an event begin in the other."""
    limit = Concurrent(3, key="host")
    pair = [executor_for(server, name, Step, limits=[limit]) for _ in range(2)]
    async with pair[0], pair[1]:
        await pair[0].extend(Step(name=name, number=number, seconds=0.02) for number in range(40))
        with anyio.fail_after(15):
            await pair[0].join()
    assert len(runs[name]) == 40
    assert most_at_once(runs[name, "a"]) == 3


@pytest.mark.parametrize("limit", [Rate(1000, per=1, key="host"), Concurrent(1000)], ids=["rate", "concurrent"])
async def test_a_worker_takes_no_more_long_events_than_it_has_slots_for(server, name, limit):
    """Others have free slots: ten events of two executors with five slots each run at the same time."""

    class Long(Step, tag="test_cluster_work.long"):
        async def _invoke(self):
            runs[name].append(self.number)
            await until(lambda: len(runs[name]) == 10)

    pair = [executor_for(server, name, Step, limits=[limit], concurrency_limit=5) for _ in range(2)]
    async with pair[0], pair[1]:
        await pair[0].extend(Long(name=name, number=number) for number in range(10))
        await pair[0].join()
    assert pair[0].status_counts()["completed"] == 10


@pytest.mark.parametrize("lookahead", [40, None])
async def test_a_hot_key_holds_up_no_other(server, name, lookahead):
    """The events of a key at its limit wait elsewhere, though the worker holds few."""
    limit = Rate(5, per=1, key="host")
    cluster = Cluster(server.url, queue=name, secret=SECRET, lookahead=lookahead)
    worker = Executor.of(Step, limits=[limit], concurrency_limit=5, cluster=cluster)
    async with worker:
        events = [Step(name=name, number=number, host="hot") for number in range(200)]
        events += [Step(name=name, number=number, host=f"cold{number % 20}") for number in range(60)]
        taken = await worker.extend(events)
        with anyio.fail_after(20):  # the hot ones alone take 40 s
            for event in taken[200:]:
                await event.wait()
        for event in taken:
            worker.cancel(event)


class Flaky(Event[int], tag="test_cluster_work.flaky"):
    name: str
    failures: int = 1

    async def _invoke(self):
        runs[self.name].append(time.monotonic())
        if len(runs[self.name]) <= self.failures:
            raise OSError("not yet")
        return len(runs[self.name])


async def test_a_retry_runs_when_it_is_due_with_its_attempts(server, name):
    """The server keeps the event in between. The record has the attempt that failed."""
    executor = executor_for(server, name, Flaky, retry=Retry(attempts=3, backoff=0.2, jitter=0))
    async with executor:
        event = await executor.append(Flaky(name=name, failures=2))
        await event.wait()
    assert event.result() == 3
    assert event.execution.attempt == 3
    assert [str(one.error) for one in event.execution.attempts] == ["OSError: not yet"] * 2
    first, second, third = runs[name]
    assert second - first >= 0.2
    assert third - second >= 0.4


class Refused(Event[int], tag="test_cluster_work.refused"):
    name: str
    number: int
    host: str = "a"
    pause: float = 0.6

    async def _invoke(self):
        runs[self.name].append((self.number, time.monotonic()))
        if len(runs[self.name]) == 1:
            raise RateLimited(retry_after=self.pause)
        return self.number


async def test_rate_limited_closes_the_key_for_all_workers(server, name):
    """No worker begins an event of the key before the time is over. The refused run is no attempt."""
    limit = Rate(1000, per=1, key="host")
    pair = [executor_for(server, name, Refused, limits=[limit], concurrency_limit=1) for _ in range(2)]
    async with pair[0]:
        first = await pair[0].append(Refused(name=name, number=0))
        while not runs[name]:
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        async with pair[1]:
            events = await pair[1].extend(Refused(name=name, number=number) for number in range(1, 6))
            other = await pair[1].append(Refused(name=name, number=9, host="b"))
            await other.wait()
            await pair[1].join()
        await first.wait()
    assert first.execution.attempt == 1
    later = [at for number, at in runs[name][1:] if number != 9]
    assert len(later) == 6
    assert min(later) - runs[name][0][1] >= 0.6
    assert next(at for number, at in runs[name] if number == 9) < min(later)
    assert {event.status for event in events} == {"completed"}


@pytest.mark.parametrize("limits", [[Rate(1000, per=1)], []], ids=["shared", "none"])
async def test_rate_limited_without_keys_closes_the_limits_that_there_are(server, name, limits):
    """A limit that all events share is closed for all workers. Without limits the others go on, with all events."""
    pair = [executor_for(server, name, Refused, limits=limits, concurrency_limit=1) for _ in range(2)]
    async with pair[0]:
        first = await pair[0].append(Refused(name=name, number=0, pause=3))
        while not runs[name]:
            await anyio.sleep(0.01)
        await pair[0].extend(Refused(name=name, number=number) for number in range(1, 4))  # pair[0] takes them
        await anyio.sleep(0.1)
        async with pair[1]:
            events = await pair[1].extend(Refused(name=name, number=number) for number in range(4, 7))
            await pair[1].join()
        await pair[0].join()
    waited = [at - runs[name][0][1] for number, at in runs[name][1:] if number]
    assert len(waited) == 6
    assert min(waited) >= 3 if limits else max(waited) < 3
    assert first.execution.attempt == 1
    assert {event.status for event in events} == {"completed"}


class Costly(Event[int], tag="test_cluster_work.costly"):
    name: str
    cost: float = 8.0
    actual: float = 1.0

    async def _invoke(self):
        runs[self.name].append(time.monotonic())
        self.settle(self.actual)
        return 1


async def test_settle_gives_the_rest_of_a_cost_back_to_all(server, name):
    """Two events of cost 8 fit into 10 a minute, since the first one has settled for 1."""
    executor = executor_for(server, name, Costly, limits=[Rate(10, per=60, cost="cost")], concurrency_limit=1)
    other = executor_for(server, name, Costly, limits=[Rate(10, per=60, cost="cost")])
    async with executor:
        await (await executor.append(Costly(name=name))).wait()
    async with other:
        with anyio.fail_after(20):  # without settle(), it would take a minute
            await (await other.append(Costly(name=name))).wait()
    assert len(runs[name]) == 2


class Gated(Processor):
    event_type = Step

    async def request_permission(self, **_):
        answers = runs[self.gate]
        return answers.pop(0) if answers else True


class GatedExecutor(Executor):
    processor_type = Gated


async def test_the_gate_is_asked_by_the_worker(server, name):
    """It may wait, and after three refusals the event ends ABORTED for its client."""
    Gated.gate = f"{name} gate"
    runs[Gated.gate] = [Wait(0.05), False, False, False]
    executor = GatedExecutor(
        {"queue_capacity": 100, "capacity_refresh_time": 0.05},
        cluster=Cluster(server.url, queue=name, secret=SECRET),
    )
    async with executor:
        event = await executor.append(Step(name=name))
        with anyio.fail_after(10):
            await event.wait()
        assert event.status == "aborted"
        assert event.execution.attempt == 0
        assert (await executor.invoke(Step(name=name, number=3))) == 3
    assert runs[name] == [3]
    del runs[Gated.gate]


async def test_what_is_held_is_given_back_at_a_stop(server, name):
    """A run past its grace is interrupted, costs no attempt, and goes on elsewhere at once."""
    worker = executor_for(server, name, Step, concurrency_limit=2, lease=30)
    async with executor_for(server, name, Step, work=False) as client, anyio.create_task_group() as group:
        await group.start(worker.run)
        events = await client.extend(Step(name=name, number=number, seconds=0.5) for number in range(4))
        while len(runs[name]) < 2:
            await anyio.sleep(0.01)
        await worker.stop(grace=0.05)
        stopped = time.monotonic()
        other = executor_for(server, name, Step, lease=30)
        await group.start(other.run)
        with anyio.fail_after(20):
            await client.join()
        assert time.monotonic() - stopped < 20  # the lease is longer
        await other.stop()
    assert {event.status for event in events} == {"completed"}
    assert {event.execution.attempt for event in events} == {1}
    assert len(runs[name]) == 6


class Failing(Event[int], tag="test_cluster_work.failing"):
    how: str

    async def _invoke(self):
        if self.how == "skip":
            raise Skip("no need")
        if self.how == "fail":
            raise ValueError("bad value")
        await anyio.sleep(60)


@pytest.mark.parametrize(("how", "status"), [("skip", "skipped"), ("fail", "failed"), ("timeout", "cancelled")])
async def test_how_an_event_ends_is_told_to_its_client(server, name, how, status):
    """With its error, its duration and its times."""
    async with executor_for(server, name, Failing) as executor:
        event = await executor.append(Failing(how=how, timeout=0.2))
        await event.wait()
    assert event.status == status
    execution = event.execution
    assert execution.started_at <= execution.finished_at
    assert execution.duration < 5
    assert {"skip": "no need", "fail": "bad value", "timeout": "timed out"}[how] in str(execution.error)


async def test_counts_of_the_queue_agree_with_the_events(server, name):
    """After all ends, nothing is held, and each event has one final status."""
    executor = executor_for(server, name, Step, limits=[Concurrent(2, key="host"), Rate(500, per=1)])
    async with executor:
        await executor.extend(Step(name=name, number=number, host=str(number % 3)) for number in range(60))
        await executor.join()
        queries = cluster.QueueQueries(link_of(executor).queue)
        counts = await queries.counts()
        assert {status: number for status, number in counts.items() if number} == {"completed": 60}


async def test_the_deadline_of_a_retry_counts_from_the_first_start(server, name):
    """Though the event goes back to the server in between, and may run in another process."""
    executor = executor_for(
        server, name, Flaky, retry=Retry(attempts=9, backoff=0.2, max_backoff=0.2, jitter=0, deadline=0.7)
    )
    async with executor:
        event = await executor.append(Flaky(name=name, failures=99))
        await event.wait()
    assert event.status == "failed"
    assert 2 <= len(runs[name]) <= 4


@pytest.mark.parametrize("way", ["start", "run", "block"])
async def test_an_executor_that_is_stopped_and_started_again_goes_on(server, name, way):
    """What it held was given back, and runs after the next start only."""
    executor = executor_for(server, name, Step, concurrency_limit=2)

    async def live(act):
        if way == "block":
            async with executor:
                await act()
                await executor.stop()
        elif way == "run":
            async with anyio.create_task_group() as group:
                await group.start(executor.run)
                await act()
                await executor.stop()
        else:
            await executor.start()
            await act()
            await executor.stop()

    async def submit():
        await executor.extend(Step(name=name, number=number, seconds=0.05) for number in range(10))
        while len(runs[name]) < 3:
            await anyio.sleep(0.005)

    await live(submit)
    begun = len(runs[name])
    assert executor.status_counts()["pending"] == 10 - begun
    await anyio.sleep(0.2)
    assert len(runs[name]) == begun
    await live(executor.join)
    assert sorted(runs[name]) == list(range(10))
    assert executor.status_counts()["completed"] == 10


async def test_a_place_that_is_free_before_the_refusal_is_read_is_used_at_once(server, name, monkeypatch):
    """Messages and answers have connections of their own, so the message of the end can come before the refusal."""
    go_on, refused, reopened = anyio.Event(), anyio.Event(), anyio.Event()

    class Holds(Step, tag="test_cluster_work.holds"):
        async def _invoke(self):
            await go_on.wait()

    settings = (Cluster(server.url, queue=name, secret=SECRET, lookahead=1) for _ in range(2))  # one event each
    first, second = (Executor.of(Step, cluster=one, limits=[Concurrent(1)]) for one in settings)
    limits, begin = link_of(second).work.limits, cluster.QueueWorker.begin
    reopen = limits.reopen
    monkeypatch.setattr(sys.modules[type(limits).__module__], "SECONDS_UNTIL_ASKED_AGAIN", 1000.0)

    async def begin_late(worker, event_id, asked=()):
        answer = await begin(worker, event_id, asked)
        if answer.limit is not None and not reopened.is_set():
            refused.set()
            await reopened.wait()
        return answer

    def note(bucket):
        reopen(bucket)
        reopened.set()

    monkeypatch.setattr(cluster.QueueWorker, "begin", begin_late)
    monkeypatch.setattr(limits, "reopen", note)
    async with first:
        held = await first.append(Holds(name=name))
        await until(lambda: held.status == "processing")
        async with second:
            waiting = await second.append(Step(name=name, number=1))
            with anyio.fail_after(20):
                await refused.wait()
                go_on.set()
                await waiting.wait()
    assert runs[name] == [1]


async def test_a_fault_at_a_start_leaves_the_event_to_others(server, name, monkeypatch, caplog):
    """It is logged once for its kind, and the worker goes on with other events."""
    worker = executor_for(server, name, Step, limits=[Concurrent(5, key="host")])
    limits = link_of(worker).work.limits
    of = limits.of

    def fail(uses):
        if any(use.state.key == "b" for use in uses):
            raise KeyError("a fault")
        return of(uses)

    monkeypatch.setattr(limits, "of", fail)
    async with worker:
        await worker.extend(Step(name=name, number=number, host="b") for number in range(3))
        await worker.invoke(Step(name=name, number=9))
        await until(lambda: link_of(worker).work.tally.passed_on["not startable"] == 3)
        assert runs[name] == [9]
        assert worker.status_counts()["pending"] == 3
        await worker.stop()
    (record,) = [record for record in caplog.records if "not startable" in record.message]
    assert record.exc_info[0] is KeyError


async def test_plain_functions_run_in_the_processes_of_a_worker(server, name):
    """An executor of a plain function on a queue: no more of them run than there are places; a dead process is told."""
    config = {"run_in": "process", "processes": 1}
    settings = Cluster(server.url, queue=name, secret=SECRET, types={"double": double, "die": die})
    async with Executor.of(double, cluster=settings, **config) as executor:
        assert await executor.invoke(Call.of(double, 4)) == 8
        events = await executor.extend(Call.of(double, number) for number in range(50))
        dead = await executor.append(Call.of(die))
        await executor.join()
    assert [event.result() for event in events] == [2 * number for number in range(50)]
    assert dead.status is EventStatus.FAILED
    assert "the process that ran the function has died" in str(dead.execution.error)


async def test_an_event_class_in_a_thread_of_a_worker(server, name):
    """The option of its class counts where the worker is."""
    async with executor_for(server, name, Read, threads=2) as executor:
        assert await executor.invoke(Read(text="a")) == "A"
