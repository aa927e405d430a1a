"""retry() and forget(): events that have ended run again under their id and key, and keys are free again."""

import anyio
import pytest
from support import change_status

from lionpride_exec import (
    TRANSITIONS,
    Call,
    Concurrent,
    Event,
    EventNotFinished,
    EventStatus,
    Executor,
    ExecutorClosedError,
    Journal,
    JournalError,
    NotFoundError,
    Retain,
    Retry,
    Skip,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio

broken = set()  # the names of the events that fail at the moment


class Flaky(Event[str], tag="tests.flaky"):
    """Fails as long as it is broken."""

    name: str = ""
    seconds: float = 0.0

    async def _invoke(self) -> str:
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.name in broken:
            raise ValueError(f"{self.name} is broken")
        return self.name


@pytest.fixture(autouse=True)
def nothing_is_broken():
    """Each test breaks what it needs."""
    broken.clear()


@pytest.fixture(params=["memory", "journal", "strict journal", "journal that keeps all in memory"])
def make(request, tmp_path):
    """Return a function that makes an executor."""

    def make(**config):
        if request.param == "memory":
            return Executor.of(Flaky, **config)
        retain = Retain() if "keeps" in request.param else None
        ack = "strict" if "strict" in request.param else "lazy"
        return Executor.of(Flaky, journal=Journal(tmp_path / "run.db", ack=ack), retain=retain, **config)

    return make


async def failed(executor, *names, **options):
    """Run events that fail."""
    broken.update(names)
    events = [await executor.append(Flaky(name=name), key=name, **options) for name in names]
    for event in events:
        await event.wait()
    broken.clear()
    return events


@pytest.mark.parametrize("how", ["event", "id", "text", "found", "copy"])
async def test_a_failed_event_runs_again(make, how):
    """Under its id and key, as a new object; the old one stays as it was."""
    async with make() as executor:
        (old,) = await failed(executor, "a")
        given = {"event": old, "id": old.id, "text": str(old.id)}.get(how)
        if how == "found":
            (given,) = await executor.find(status="failed")
        elif how == "copy":
            given = await executor.get(old.id)
        new = await executor.retry(given)
        assert new is not old
        assert (new.id, new.name, new.created_at, new.metadata) == (old.id, "a", old.created_at, old.metadata)
        assert await new.wait() is None
        assert (new.result(), new.execution.attempt, new.execution.attempts) == ("a", 1, ())
        assert (old.status, str(old.execution.error)) == ("failed", "a is broken")
        assert await executor.append(Flaky(name="other"), key="a") is not None
        (found,) = await executor.find(key="a")
        assert (found.id, found.status, found.error) == (old.id, "completed", None)
        assert executor.status_counts() == dict.fromkeys(EventStatus.allowed(), 0) | {"completed": 1}
        assert (await executor.get(old.id)).result() == "a"
        assert old.id in executor
        check_invariants(executor)


async def test_no_status_is_left(make):
    """The table of transitions holds: the object that has ended stays in its final status."""
    assert not TRANSITIONS[EventStatus.FAILED]
    async with make() as executor:
        seen = []
        executor.observe(lambda event, previous, status: seen.append((previous.value, status.value)))
        (old,) = await failed(executor, "a")
        new = await executor.retry(old)
        await new.wait()
        begun = ("pending", "processing")
        assert seen == [begun, ("processing", "failed"), begun, ("processing", "completed")]


async def test_some_of_them(make):
    """The newest, and then the rest."""
    async with make() as executor:
        for name in ("a", "b", "c"):
            await failed(executor, name)
        executor.pause()
        assert [event.name for event in await executor.retry(status="failed", limit=2)] == ["b", "c"]
        assert [event.name for event in await executor.retry(status="failed", limit=2)] == ["a"]
        executor.resume()


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "skipped", "aborted"])
async def test_each_end(make, end):
    """By name, an event may have ended in any way."""
    async with make() as executor:
        event = await executor.append(Flaky(name="a"), delay=None if end == "completed" else 100)
        if end == "cancelled":
            executor.cancel(event)
        elif end == "skipped":
            executor.skip(event)
        elif end != "completed":
            change_status(event, EventStatus.PROCESSING if end == "failed" else EventStatus.ABORTED, ValueError("x"))
            if end == "failed":
                change_status(event, EventStatus.FAILED, ValueError("x"))
        await event.wait()
        assert event.status == end
        assert (await executor.retry(event)).id == event.id
        await executor.join()
        assert executor.status_counts()["completed"] == 1


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"status": "failed"}, ["a", "b", "c"]),
        ({"status": ["failed", "cancelled"]}, ["a", "b", "c", "x"]),
        ({"tag": "tests.flaky"}, ["a", "b", "c", "x"]),
        ({"error": "b is broken"}, ["b"]),
        ({"error": ValueError}, ["a", "b", "c"]),
        ({"key": "a"}, ["a"]),
        ({"key": "good"}, []),
        ({"since": 1000}, ["a", "b", "c", "x"]),
        ({"tag": "none"}, []),
    ],
    ids=str,
)
async def test_all_that_fit_run_again(make, filters, names):
    """The oldest first; those that have completed, or are open, are left alone."""
    async with make(concurrency_limit=1) as executor:
        for name in ("a", "b", "c"):
            await failed(executor, name)
        cancelled = await executor.append(Flaky(name="x"), delay=100)
        executor.cancel(cancelled)
        await executor.invoke(Flaky(name="good"), key="good")
        waits = await executor.append(Flaky(name="waits"), delay=1000)
        await cancelled.wait()
        taken = await executor.retry(**filters)
        assert [event.name for event in taken] == names
        for event in taken:
            assert await event.wait() is None
            assert event.result() == event.name
        assert await executor.count(status="completed") == 1 + len(names)
        assert await executor.retry(**filters) == []
        executor.cancel(waits)


async def test_many_events(make):
    """More than a commit has."""
    async with make(max_queue_size=10) as executor:
        broken.update(str(number) for number in range(450))
        await executor.extend([Flaky(name=str(number)) for number in range(450)])
        await executor.join()
        assert executor.status_counts()["failed"] == 450
        broken.clear()
        taken = await executor.retry(status="failed")
        assert [event.name for event in taken] == [str(number) for number in range(450)]
        await executor.join()
        assert executor.status_counts()["completed"] == 450
        check_invariants(executor)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, r"retry\(\) needs an event, or what to retry"),
        ({"limit": 3}, ValueError, r"retry\(\) needs an event, or what to retry"),
        ({"status": "failed", "limit": 0}, ValueError, "limit must be an integer, 1 or more"),
        ({"status": "completed"}, ValueError, "events that are completed do not run again by their status"),
        ({"status": ["failed", "pending"]}, ValueError, "events that are pending do not run again by their status"),
        ({"status": "no"}, NotFoundError, "Status 'no' not found"),
        ({"before": None}, TypeError, r"retry\(\) has no argument 'before'"),
        ({"event": Flaky().id, "status": "failed"}, TypeError, "an event or filters, not both"),
        ({"event": Flaky().id}, NotFoundError, "There is no event"),
        ({"event": "no id"}, ValueError, "event must name events or their ids, got 'no id'"),
    ],
    ids=[str(number) for number in range(10)],
)
async def test_what_cannot_be_retried(make, arguments, error, message):
    """Is refused at the call; nothing has changed."""
    async with make() as executor:
        (old,) = await failed(executor, "a")
        with pytest.raises(error, match=message):
            await executor.retry(**arguments)
        assert executor.status_counts()["failed"] == 1
        assert (await executor.find(key="a"))[0].id == old.id


async def test_an_open_event_is_not_retried(make):
    """Neither one that waits, nor one that runs."""
    async with make() as executor:
        waits = await executor.append(Flaky(), delay=10)
        runs = await executor.append(Flaky(seconds=10))
        await anyio.sleep(1)
        for event in (waits, runs):
            with pytest.raises(
                EventNotFinished, match=f"is {event.status}: only an event that has ended can run again"
            ):
                await executor.retry(event)


async def test_two_retries_at_a_time(make):
    """One of them gets the event."""
    async with make() as executor:
        (old,) = await failed(executor, "a")
        taken, refused = [], []

        async def again():
            """Retry, and note what became of it."""
            try:
                taken.append(await executor.retry(old))
            except EventNotFinished as exc:
                refused.append(exc)

        executor.pause()
        async with anyio.create_task_group() as group:
            group.start_soon(again)
            group.start_soon(again)
        executor.resume()
        assert (len(taken), len(refused)) == (1, 1)


async def test_a_failure_that_is_retried_counts_as_looked_at(make, caplog):
    """The end of the executor warns of the others only."""
    async with make() as executor:
        first, _ = await failed(executor, "a", "b")
        await executor.retry(first.id)
    assert "did not complete: 1 failed" in caplog.text


async def test_events_that_come_after(make):
    """They were skipped. Retried with the one before, they run after it; alone they are skipped again."""
    async with make(concurrency_limit=5) as executor:
        broken.add("first")
        first = await executor.append(Flaky(name="first", seconds=1))
        second = await executor.append(Flaky(name="second"), after=first)
        third = await executor.append(Flaky(name="third"), after=[second, first])
        await third.wait()
        broken.clear()
        assert (first.status, second.status, third.status) == ("failed", "skipped", "skipped")
        again = await executor.retry(second)
        await again.wait()
        assert again.status == "skipped"
        assert isinstance(again.execution.error, Skip) or "comes after" in str(again.execution.error)
        taken = await executor.retry(status=["failed", "skipped"])
        assert [event.name for event in taken] == ["first", "second", "third"]
        assert taken[1].status == taken[2].status == "pending"
        await executor.join()
        ends = [event.execution.finished_at for event in taken]
        assert [event.status for event in taken] == ["completed"] * 3
        assert ends == sorted(ends)


async def test_a_step_that_cleans_up(make):
    """It waits again for what may end in any way, and runs after that."""
    async with make() as executor:
        broken.update(["work", "cleanup"])
        work = await executor.append(Flaky(name="work", seconds=1))
        cleanup = await executor.append(Flaky(name="cleanup"), after_any_end=work)
        await cleanup.wait()
        broken.remove("cleanup")
        first, second = await executor.retry(status="failed")
        assert (first.name, second.name) == ("work", "cleanup")
        await anyio.sleep(0.5)
        assert second.status == "pending"
        await second.wait()
        assert (first.status, second.status) == ("failed", "completed")
        alone = await executor.retry(second)
        await alone.wait()
        assert alone.status == "completed"


async def test_a_step_that_cleans_up_and_is_cancelled_too_early(make):
    """Run again, it still waits for the end of the work."""
    async with make() as executor:
        broken.add("work")
        work = await executor.append(Flaky(name="work", seconds=2))
        cleanup = await executor.append(Flaky(name="cleanup"), after_any_end=work)
        executor.cancel(cleanup)
        await cleanup.wait()
        again = await executor.retry(cleanup)
        assert executor.explain(again).after == (work.id,)
        await again.wait()
        assert (work.status, again.status) == ("failed", "completed")


async def test_after_one_that_has_completed(make):
    """The event runs at once."""
    async with make() as executor:
        first = await executor.append(Flaky(name="first"))
        broken.add("second")
        second = await executor.append(Flaky(name="second"), after=first)
        await second.wait()
        broken.clear()
        again = await executor.retry(second.id)
        await again.wait()
        assert again.result() == "second"


async def test_a_retry_goes_by_the_limits(make):
    """The event takes of them again, and its own Retry begins anew."""
    async with make(limits=[Concurrent(1)], retry=Retry(2, backoff=1)) as executor:
        first, second = await failed(executor, "a", "b")
        assert first.execution.attempt == second.execution.attempt == 2
        broken.add("a")
        taken = {event.name: event for event in await executor.retry(status="failed")}
        await executor.join()
        assert (taken["a"].execution.attempt, taken["a"].status, taken["b"].status) == (2, "failed", "completed")


async def test_progress_goes_back_and_on(make):
    """A retried event is not done any more."""
    async with make() as executor:
        await failed(executor, "a", "b")
        assert executor.progress().done == 2
        executor.pause()
        await executor.retry(status="failed")
        assert (executor.progress().done, executor.progress().total) == (0, 2)
        executor.resume()
        await executor.join()
        assert executor.progress().done == 2


async def test_an_executor_that_is_being_left(make):
    """Takes no retries, except those of an event that runs in it."""
    refused, taken = [], []

    class Retrier(Flaky, tag="tests.retrier"):
        async def _invoke(self):
            await anyio.sleep(10)
            taken.append(await executor.retry(olds[0]))

    async def late():
        """Retry while the executor is being left."""
        await anyio.sleep(5)
        try:
            await executor.retry(olds[1])
        except ExecutorClosedError as exc:
            refused.append(exc)

    async with anyio.create_task_group() as group, make() as executor:
        olds = await failed(executor, "a", "b")
        await executor.append(Retrier())
        group.start_soon(late)
    assert len(refused) == 1
    assert taken[0].status == "completed"
    assert executor.status_counts()["failed"] == 1


async def test_calls_run_again(tmp_path):
    """With their function and arguments."""
    async with Executor.of(work, journal=Journal(tmp_path / "run.db")) as executor:
        broken.add("w")
        call = await executor.append(Call.of(work, "w").with_options(timeout=5))
        await call.wait()
        broken.clear()
        again = await executor.retry(call)
        await again.wait()
        assert (again.result(), again.timeout) == ("w", 5)


async def work(name):
    """Fail as long as the name is broken."""
    if name in broken:
        raise ValueError(name)
    return name


async def test_memory_before_the_start():
    """A retried event waits for the start, like any other."""
    executor = Executor.of(Flaky)
    event = await executor.append(Flaky(name="a"))
    executor.cancel(event)
    again = await executor.retry(event)
    assert again.status == "pending"
    async with executor:
        await executor.join()
    assert again.result() == "a"


# -------------------------------------------------------------------- in a journal


async def test_a_retry_is_on_disk(tmp_path):
    """The next process runs the event, with its key and priority."""
    path = tmp_path / "run.db"
    async with Executor.of(Flaky, journal=Journal(path)) as executor:
        (old,) = await failed(executor, "a", priority=7)
        executor.pause()
        await executor.retry(old)
        await executor.stop()
    async with Executor.of(Flaky, journal=Journal(path)) as executor:
        await executor.join()
        (found,) = await executor.find(key="a")
        assert (found.id, found.status, found.attempt) == (old.id, "completed", 1)


async def test_events_of_an_earlier_run(tmp_path):
    """By id and by status; what this process cannot read is left."""
    path = tmp_path / "run.db"
    async with Executor.of(Flaky, journal=Journal(path)) as executor:
        (a, b) = await failed(executor, "a", "b")
    async with Executor.of(Flaky, journal=Journal(path)) as executor:
        assert executor.progress().done == 2
        new = await executor.retry(a.id)
        await new.wait()
        assert [event.id for event in await executor.retry(status="failed")] == [b.id]
        await executor.join()
        assert executor.status_counts()["completed"] == 2
        assert executor.status_counts()["failed"] == 0

    class Others(Event, tag="tests.flaky.others"):
        pass

    async with Executor.of(Others, journal=Journal(path)) as executor:
        assert await executor.retry(tag="tests.flaky") == []
        with pytest.raises(JournalError, match="does not take a Flaky"):
            await executor.retry(a.id)
        assert executor.status_counts()["completed"] == 2


async def test_a_closed_journal(tmp_path):
    """The error says so."""
    executor = Executor.of(Flaky, journal=Journal(tmp_path / "run.db"))
    for call in (
        lambda: executor.retry(status="failed"),
        lambda: executor.retry(Flaky().id),
        lambda: executor.forget("k"),
    ):
        with pytest.raises(JournalError, match="has no open journal"):
            await call()


async def test_a_cancelled_retry(make):
    """Either nothing has happened, or the event runs."""
    async with make() as executor:
        (old,) = await failed(executor, "a")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await executor.retry(old)
        await executor.join()
        counts = executor.status_counts()
        assert (counts["failed"], counts["completed"]) in {(1, 0), (0, 1)}
        check_invariants(executor)


# -------------------------------------------------------------------- keys


async def test_a_forgotten_key_is_free(make):
    """The event that had it stays, and can still be retried, without the key."""
    async with make() as executor:
        (old,) = await failed(executor, "a")
        assert await executor.forget("a") is True
        assert await executor.forget("a") is False
        assert await executor.known_keys(["a"]) == set()
        assert await executor.find(key="a") == []
        assert await executor.invoke(Flaky(name="new"), key="a") == "new"
        again = await executor.retry(old.id)
        await again.wait()
        assert again.result() == "a"
        assert (await executor.find(key="a"))[0].event.name == "new"
        assert executor.status_counts()["completed"] == 2


async def test_the_key_of_an_open_event_is_kept(make):
    """The error names the event."""
    async with make() as executor:
        event = await executor.append(Flaky(name="a"), key="a", delay=10)
        with pytest.raises(EventNotFinished, match="the key 'a' is that of .* which is pending: cancel it first"):
            await executor.forget("a")
        assert await executor.append(Flaky(), key="a") is event
        executor.cancel(event)
        await event.wait()
        assert await executor.forget("a")
        with pytest.raises(TypeError):
            await executor.forget([object()])


async def test_a_key_of_an_earlier_run(tmp_path):
    """It is free in the file too."""
    path = tmp_path / "run.db"
    for _ in range(2):
        async with Executor.of(Flaky, journal=Journal(path)) as executor:
            await executor.invoke(Flaky(name="a"), key=("k", 1))
            assert await executor.forget(("k", 1))
    async with Executor.of(Flaky, journal=Journal(path)) as executor:
        assert await executor.count() == 2
