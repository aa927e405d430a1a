"""Metrics for Prometheus: what is counted, and under which names."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_support import Step, fill_up, make_room, open_executor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support import Job, make_executor

from lionpride_exec import Call, Concurrent, Event, Executor, JournalError, Rate, RateLimited, Retain, Retry, Skip
from lionpride_exec.telemetry import PrometheusCollector
from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio


def read(*executors, **options):
    """Return a function that collects: the values by the name of the metric, then by the other labels."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(PrometheusCollector(*executors, **options))
    return lambda: values_of(registry)


def values_of(registry):
    """Return the samples of a registry, by way of the text that a server would read."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "executor")
            name = sample.name.removeprefix("lionpride_")
            found.setdefault(name, {})[labels[0] if len(labels) == 1 else labels] = sample.value
    return found


# -------------------------------------------------------------------- counts


async def test_events_by_status():
    """Those that have not ended as a gauge, those that have ended as a counter."""
    executor = make_executor(concurrency_limit=2)
    collect = read(executor)
    async with executor:
        await executor.extend([Job(seconds=5), Job(seconds=5), Job(seconds=1), Job(error=Skip("no"))], priority=0)
        await anyio.sleep(1)
        assert collect()["events"] == {"pending": 2, "processing": 2}
    found = collect()
    assert found["events"] == {"pending": 0, "processing": 0}
    assert found["events_ended_total"] == {"completed": 3, "skipped": 1, "failed": 0, "cancelled": 0, "aborted": 0}


async def test_events_that_have_left_memory_count():
    """A counter never falls while an executor lives."""
    executor = make_executor(lambda **config: Executor.of(Job, retain=Retain(0)))
    collect = read(executor)
    async with executor:
        await executor.extend([Job() for _ in range(5)], priority=0)
    assert len(executor.states.items) == 0
    assert collect()["events_ended_total"]["completed"] == 5


STEPS = st.lists(st.sampled_from(["append", "fail", "cancel", "sleep"]), max_size=12)


@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_are_those_of_the_executor(backend, steps):
    """At any moment, whatever was done."""

    async def main():
        executor = make_executor(concurrency_limit=1)
        collect = read(executor)
        async with executor:
            for step in steps:
                if step in {"append", "fail"}:
                    await executor.append(Job(seconds=1, error=LookupError() if step == "fail" else None))
                elif step == "cancel" and executor.page("pending"):
                    executor.cancel(executor.page("pending")[0])
                elif step == "sleep":
                    await anyio.sleep(1)
                found = collect()
                seen = found["events"] | found["events_ended_total"]
                assert seen == executor.status_counts()
            for event in executor.page("processing") + executor.page("pending"):
                executor.cancel(event)

    run(main, backend=backend)


# -------------------------------------------------------------------- durations


async def test_how_long_events_wait_and_run():
    """By the clock of the event loop, in buckets."""
    executor = make_executor(concurrency_limit=1)
    collect = read(executor)
    async with executor:
        await executor.extend([Job(seconds=2), Job(seconds=2, error=LookupError())], priority=0)
    found = collect()
    assert found["event_wait_seconds_count"] == {"Job": 2}
    assert found["event_wait_seconds_sum"] == {"Job": 2.0}
    assert found["event_run_seconds_sum"] == {("Job", "completed"): 2.0, ("Job", "failed"): 2.0}
    buckets = {bound: number for (kind, bound), number in found["event_wait_seconds_bucket"].items()}
    assert (buckets["0.005"], buckets["1.0"], buckets["2.5"], buckets["+Inf"]) == (1, 1, 2, 2)


async def test_runs_that_are_repeated(tmp_path):
    """By the reason."""
    executor = open_executor(tmp_path / "run.db", config={"retry": Retry(3, backoff=1, jitter=0)})
    collect = read(executor)
    async with executor:
        await executor.append(Step(fails=2))
        await executor.join()
        await executor.append(Step(seconds=9))
        await anyio.sleep(1)
        await executor.stop(grace=0)
    assert collect()["attempts_repeated_total"] == {("tests.step", "error"): 2, ("tests.step", "interrupted"): 1}


class Refused(Event):
    async def _invoke(self):
        if not self.execution.attempts:
            raise RateLimited(1.0)


async def test_runs_that_were_refused():
    """RateLimited is a reason of its own."""
    executor = Executor.of(Refused, retry=Retry(2))
    collect = read(executor)
    async with executor:
        await executor.append(Refused())
    assert collect()["attempts_repeated_total"] == {("Refused", "rate_limited"): 1}


async def test_what_a_journal_says(tmp_path):
    """What is not on disk yet, the size of the files, and how long commits take."""
    path = tmp_path / "run.db"
    executor = open_executor(path)
    collect = read(executor)
    assert collect()["journal_bytes"] == {(): 0}
    async with executor:
        await executor.append(Step(seconds=5))
        await anyio.sleep(1)
        found = collect()
        assert found["journal_bytes"][()] >= path.stat().st_size > 0
        assert found["journal_unwritten"] == found["journal_trouble"] == {(): 0}
        fill_up(executor)
        with pytest.raises(JournalError, match="full"):
            await executor.append(Step(name="x" * 100_000))
        found = collect()  # the run has ended, and that cannot be written
        assert found["journal_trouble"] == found["journal_unwritten"] == {(): 1}
        make_room(executor)
    found = collect()
    assert found["journal_commit_seconds_count"][()] >= 2
    assert found["journal_commit_seconds_sum"][()] > 0
    assert found["journal_unwritten"] == {(): 0}
    assert "journal_bytes" not in read(make_executor())()


async def test_transitions_that_watchers_have_dropped():
    """Those of watchers that have gone count too."""
    executor = make_executor()
    collect = read(executor)
    async with executor:
        watcher = executor.watch(buffer=1, on_full="drop")
        await executor.invoke(Job())
        await watcher.aclose()
        assert watcher.missed == 1
        await executor.invoke(Job())
    assert collect()["watch_missed_total"] == {(): 1}


async def test_the_names_of_the_conventions():
    """On demand, beside ours."""
    executor = make_executor()
    collect = read(executor, semconv=True)
    async with executor:
        await executor.extend([Job(seconds=2), Job(seconds=2, error=LookupError("no"))], priority=0)
    found = collect()
    assert found["messaging_client_sent_messages_total"] == {("Job", "append", "lionpride_exec"): 2}
    assert found["messaging_client_consumed_messages_total"] == {("Job", "run", "lionpride_exec"): 2}
    assert found["messaging_process_duration_seconds_sum"] == {
        ("", "Job", "run", "lionpride_exec"): 2.0,
        ("failed", "Job", "run", "lionpride_exec"): 2.0,
    }
    assert not [name for name in read(make_executor())() if name.startswith("messaging")]


async def test_no_more_durations_after_close():
    """The counts can still be read."""
    executor = make_executor()
    collector = PrometheusCollector(executor)
    async with executor:
        await executor.invoke(Job())
        collector.close()
        collector.close()
        await executor.invoke(Job())
    registry = CollectorRegistry()
    registry.register(collector)
    found = values_of(registry)
    assert found["event_run_seconds_count"] == {("Job", "completed"): 1}
    assert found["events_ended_total"]["completed"] == 2


# -------------------------------------------------------------------- what it waits for


class Keyed(Event):
    key: int = 0
    seconds: float = 100.0

    async def _invoke(self):
        await anyio.sleep(self.seconds)


@pytest.mark.start(datetime(2026, 11, 30, tzinfo=UTC))
async def test_slots_queue_and_limits():
    """The key with the highest use stands for all keys of a limit."""
    limits = [Concurrent(2, key=lambda event: event.key, name="per key"), Rate(100, per=60, name="all")]
    executor = Executor.of(Keyed, limits=limits, concurrency_limit=20)
    collect = read(executor)
    async with executor:
        await executor.extend([Keyed(key=key) for key in (1, 1, 1, 2)], priority=0)
        await anyio.sleep(1)
        found = collect()
        executor.pause()
        assert collect()["paused"] == {(): 1.0}
        executor.resume()
    assert (found["slots"], found["slots_used"], found["queue_size"]) == ({(): 20}, {(): 3}, {(): 1})
    assert found["pending"] == {"limit": 1}
    assert found["limit_used_ratio_max"]["per key"] == 1.0
    assert found["limit_keys"]["per key"] == 2
    assert found["limit_full_keys"]["per key"] == 1
    assert found["limit_used_ratio_max"]["all"] == 0.03
    assert found["oldest_pending_seconds"] == {(): 1.0}


async def test_many_keys_make_no_more_series_than_one():
    """Neither do many events."""

    async def series_of(number):
        executor = Executor.of(
            Keyed, limits=[Concurrent(1, key=lambda event: event.key)], concurrency_limit=20, max_queue_size=10**5
        )
        collect = read(executor)
        async with executor:
            await executor.extend([Keyed(key=key, seconds=0.001) for key in range(number)], priority=0)
            await anyio.sleep(0.0005)
            before = collect()
            await executor.join()
            return {name: set(labels) for name, labels in (before | collect()).items() if name != "pending"}

    assert await series_of(2000) == await series_of(2)


async def test_more_kinds_than_are_told_apart():
    """The rest have one name."""
    executor = Executor.of(Event)
    collect = read(executor)
    async with executor:
        for number in range(120):

            async def work(self):
                return None

            await executor.append(type(f"Kind{number}", (Event,), {"_invoke": work})())
    counts = collect()["event_run_seconds_count"]
    assert len(counts) == 101
    assert counts["_other", "completed"] == 20


async def test_in_another_thread():
    """The event loop is asked for what only it can tell, so a server in a thread has the same metrics."""
    executor = Executor.of(Keyed, limits=[Concurrent(1, key=lambda event: event.key, name="per key")])
    collect = read(executor)
    async with executor:
        await executor.extend([Keyed(key=1), Keyed(key=1)], priority=0)
        await anyio.sleep(1)
        found = await anyio.to_thread.run_sync(collect)
        assert found["pending"] == {"limit": 1}
        assert found["limit_full_keys"] == {"per key": 1}
        assert found["slots_used"] == {(): 1}
        assert set(found) == set(collect())


async def test_in_a_thread_while_the_event_loop_is_busy():
    """What only the event loop can tell is left out, or as old as the last time."""
    executor = make_executor()
    collect = read(executor)
    with ThreadPoolExecutor(1) as thread:
        async with executor:
            await executor.invoke(Job())
            assert "pending" not in thread.submit(collect).result()  # this blocks the event loop
        found = thread.submit(collect).result()
    assert found["events_ended_total"]["completed"] == 1


async def test_many_keys_are_looked_at_in_pieces():
    """So that no collection stops the event loop. In the end the metrics are those of `statistics()`."""
    limits = [Concurrent(1, key=lambda event: event.key, name="per key"), Rate(10**6, per=10**6, name="all")]
    executor = Executor.of(Keyed, limits=limits, concurrency_limit=5000, max_queue_size=10**5)
    collect = read(executor)
    async with executor:
        await executor.extend([Keyed(key=number % 4000) for number in range(9000)], priority=0)
        await anyio.sleep(1)
        assert "pending" not in collect()  # the first piece was made
        await anyio.sleep(1)  # and all others, one after the other
        found, statistics = collect(), executor.statistics()
        assert found["pending"] == {reason.value: number for reason, number in statistics.waits.items()}
        assert found["pending"]["limit"] == 5000
        assert found["limit_keys"] == {"per key": 4000, "all": 1}
        assert found["limit_full_keys"] == {"per key": 4000, "all": 0}
        assert found["limit_used_ratio_max"] == {"per key": 1.0, "all": 0.004}
        for event in executor.page("pending", limit=10**5) + executor.page("processing", limit=10**5):
            executor.cancel(event)


# -------------------------------------------------------------------- several executors


async def test_two_executors_in_one_registry():
    """The label tells them apart."""
    executors = [Executor.of(Job, name=name) for name in ("first", "second")]
    registry = CollectorRegistry(auto_describe=True)
    registry.register(PrometheusCollector(*executors))
    async with executors[0], executors[1]:
        await executors[1].invoke(Job())
    text = generate_latest(registry).decode()
    assert 'lionpride_events_ended_total{executor="first",status="completed"} 0.0' in text
    assert 'lionpride_events_ended_total{executor="second",status="completed"} 1.0' in text
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(PrometheusCollector(executors[0]))


async def test_executors_that_cannot_be_told_apart():
    """They are refused."""
    with pytest.raises(ValueError, match="two executors have the name 'Job': pass name="):
        PrometheusCollector(make_executor(), make_executor())
    with pytest.raises(ValueError, match="needs an executor"):
        PrometheusCollector()


async def test_labels_that_no_encoding_has():
    """A scrape is written in UTF-8, also with half of a surrogate pair in the names of an executor and a function."""

    async def work():
        pass

    work.__qualname__ = "half \udc80"
    executor = Executor.of(Call, name="half \ud800")
    collect = read(executor, semconv=True)
    async with executor:
        await executor.append(Call(function=work))
        await executor.join()
    ((kind, outcome),) = collect()["event_run_seconds_sum"]
    assert (kind.rpartition(".")[2], outcome) == ("half \\udc80", "completed")
