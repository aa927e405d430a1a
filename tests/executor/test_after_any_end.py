"""Events that begin once others have ended, however they ended: ``after_any_end=``."""

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from support import CONFIG, Job, JobExecutor, counts, make_executor

from lionpride_exec import (
    Cluster,
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    NotFoundError,
    Retain,
    Retry,
    Skip,
    WaitReason,
    current_event,
)
from lionpride_exec.testing import InvariantBroken, check_invariants, inline, record

pytestmark = pytest.mark.anyio

ENDS = ["completed", "failed", "timeout", "Skip", "cancelled", "skipped", "aborted"]


def note_starts(executor):
    """Return a dict that gets the time of each start, by name."""
    starts = {}

    def note(event, _, status):
        if status is EventStatus.PROCESSING:
            starts[event.name] = round(current_time(), 1)

    executor.observe(note)
    return starts


def make_end(executor, event, how):
    """End a waiting or running event from outside, if it does not end so by itself."""
    if how == "cancelled":
        executor.cancel(event)
    elif how == "skipped":
        executor.skip(event)
    elif how == "aborted":
        event.status = "aborted"


def ends_as(how):
    """Return an event that ends in this way, with the help of ``make_end()``."""
    error = {"failed": ValueError("x"), "Skip": Skip("nothing to do")}.get(how)
    return Job(name="work", error=error, seconds=5, timeout=1 if how == "timeout" else None)


@pytest.mark.parametrize("how", ENDS)
async def test_it_starts_after_any_end(how):
    """Not before, and once."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        work = await executor.append(ends_as(how), delay=100 if how == "aborted" else None)
        clean = await executor.append(Job(name="clean"), after_any_end=work)
        await anyio.sleep(0.5)
        assert clean.status is EventStatus.PENDING
        make_end(executor, work, how)
        await clean.wait()
        assert work.status.is_terminal
        assert starts["clean"] == current_time()
    assert clean.status is EventStatus.COMPLETED
    check_invariants(executor, at_rest=True)


@pytest.mark.parametrize("how", ENDS)
async def test_what_has_ended_already_counts(how):
    """The event is queued at once."""
    executor = make_executor()
    async with executor:
        work = await executor.append(ends_as(how), delay=100 if how == "aborted" else None)
        await anyio.sleep(0.5)
        make_end(executor, work, how)
        await work.wait()
        before = current_time()
        clean = await executor.append(Job(name="clean"), after_any_end=[work.id, work])
        await clean.wait()
        assert current_time() == before
    assert clean.status is EventStatus.COMPLETED


async def test_it_waits_for_all_of_them():
    """The failure of one does not let it go."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        failing = await executor.append(Job(seconds=5, error=ValueError("x")))
        slow = await executor.append(Job(seconds=10))
        cancelled = await executor.append(Job(seconds=100))
        await executor.append(Job(name="clean"), after_any_end=[failing, slow, cancelled.id])
        await anyio.sleep(7)
        executor.cancel(cancelled)
    assert starts["clean"] == 10


@pytest.mark.parametrize("fails", ["neither", "after", "after_any_end"])
async def test_both_arguments_together(fails):
    """It waits for all; only those of ``after`` have to complete."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        must = await executor.append(Job(seconds=5, error=ValueError("x") if fails == "after" else None))
        may = await executor.append(Job(seconds=10, error=ValueError("x") if fails == "after_any_end" else None))
        event = await executor.append(Job(name="last"), after=must, after_any_end=may)
        await event.wait()
        assert current_time() == (5 if fails == "after" else 10)
    assert event.status is (EventStatus.SKIPPED if fails == "after" else EventStatus.COMPLETED)
    assert ("last" in starts) is (fails != "after")
    check_invariants(executor, at_rest=True)


@pytest.mark.parametrize("when", ["before", "later"])
async def test_an_event_in_both_arguments_must_complete(when):
    executor = make_executor()
    async with executor:
        work = await executor.append(Job(seconds=5, error=ValueError("x")))
        if when == "before":
            await work.wait()
        event = await executor.append(Job(), after=work.id, after_any_end=[work])
        await event.wait()
    assert event.status is EventStatus.SKIPPED


async def test_a_skipped_event_lets_its_followers_go():
    """The line of skipped events ends at a step that cleans up, and goes on after the step."""
    executor = make_executor()
    async with executor:
        work = await executor.append(Job(seconds=5, error=ValueError("x")))
        second = await executor.append(Job(), after=work)
        clean = await executor.append(Job(), after_any_end=second)
        last = await executor.append(Job(), after=clean)
    assert [event.status.value for event in (second, clean, last)] == ["skipped", "completed", "completed"]


async def test_a_retry_is_no_end():
    """Only the last run of the other counts."""
    executor = make_executor(retry=Retry(3, backoff=10, max_backoff=10, jitter=0))
    starts = note_starts(executor)
    async with executor:
        work = await executor.append(Job(error=ConnectionError()))
        await executor.append(Job(name="clean"), after_any_end=work)
    assert work.execution.attempt == 3
    assert starts["clean"] == 20


async def test_what_leaves_the_executor_counts_as_ended():
    """Whether it waits or runs. Nothing that leaves together with it is started."""
    executor = make_executor()
    async with executor:
        waiting = await executor.append(Job(), delay=100)
        clean = await executor.append(Job(), after_any_end=waiting)
        running = await executor.append(Job(seconds=5))
        also = await executor.append(Job(), after_any_end=running)
        await wait_all_tasks_blocked()
        executor.pause()
        async with executor.states.progressions:
            pass
        assert await executor.cleanup_events(["pending", "processing"]) == 4
        executor.resume()
        await anyio.sleep(1)
        assert clean.status is also.status is EventStatus.PENDING
        running = await executor.append(Job(seconds=5))
        clean = await executor.append(Job(), after_any_end=running)
        await wait_all_tasks_blocked()
        assert await executor.cleanup_events(["processing"]) == 1
        await clean.wait()
        assert clean.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_what_is_unknown_is_refused():
    """Nothing has changed. An event that has left memory is unknown too."""
    executor = JobExecutor(CONFIG, retain=Retain(0))
    async with executor:
        gone = await executor.append(Job())
        await gone.wait()
        for other in (Job(), gone, gone.id):
            event = Job()
            with pytest.raises(NotFoundError):
                await executor.append(event, after_any_end=[other])
            assert event not in executor
            assert event.execution.queued_at is None


@pytest.mark.parametrize("name", ["after", "after_any_end"])
async def test_a_key_names_no_event(name):
    """It is refused, and the message says how to find the event of a key. That event can be passed."""
    message = rf"^{name} must name events or their ids, got 'load': find\(key='load'\) finds the event with this key$"
    async with JobExecutor(CONFIG) as executor:
        first = await executor.append(Job(), key="load")
        event = Job()
        for key in ("load", ["load"]):
            with pytest.raises(ValueError, match=message):
                await executor.append(event, **{name: key})
            with pytest.raises(ValueError, match=message):
                await executor.extend([event], **{name: key})
        assert event not in executor
        await executor.append(event, **{name: await executor.find(key="load")})
        assert executor.explain(event).after == (first.id,)


@pytest.mark.parametrize("call", ["get", "cancel", "skip", "explain", "retry", "set_priority"])
async def test_a_key_is_no_id_elsewhere(call):
    """Every call that takes an event or its id says so."""
    async with JobExecutor(CONFIG) as executor:
        await executor.append(Job(), key="load")
        with pytest.raises(ValueError, match=r"event must name events or their ids, got 'load': find\(key='load'\)"):
            found = getattr(executor, call)("load", *([1] if call == "set_priority" else []))
            await found


async def test_cycles_are_refused():
    executor = make_executor()
    event = Job()
    with pytest.raises(ValueError, match="cycle"):
        await executor.append(event, after_any_end=[event])
    assert event not in executor


async def test_a_step_after_the_event_that_appends_it():
    """An event appends what cleans up after it, whatever becomes of it."""
    seen = []

    class Work(Event):
        async def _invoke(self):
            await executor.append(Clean(), after_any_end=current_event())
            raise ValueError("x")

    class Clean(Event):
        async def _invoke(self):
            seen.append([event.status.value for event in executor.states.items])

    async with Executor.of(Event, concurrency_limit=1) as executor:
        await executor.append(Work())
    assert seen == [["failed", "processing"]]


async def test_results_are_those_of_after():
    """An event that may end in any way may have no result."""

    class Sum(Event):
        async def _invoke(self):
            return await self.after_results()

    class Value(Event):
        fails: bool = False

        async def _invoke(self):
            if self.fails:
                raise ValueError("x")
            return 5

    async with Executor.of(Event) as executor:
        one, bad, other = [await executor.append(Value(fails=fails)) for fails in (False, True, False)]
        total = await executor.append(Sum(), after=one, after_any_end=[bad, other])
        none = await executor.append(Sum(), after_any_end=bad)
    assert (total.result(), none.result()) == ([5], [])


async def test_explain_names_what_it_waits_for():
    """Those that have not ended, of both arguments."""
    executor = make_executor()
    async with executor:
        failing = await executor.append(Job(seconds=5, error=ValueError("x")))
        slow = await executor.append(Job(seconds=10))
        other = await executor.append(Job(seconds=10))
        event = await executor.append(Job(), after=other, after_any_end=[failing, slow])
        assert set(executor.explain(event).after) == {failing.id, slow.id, other.id}
        await anyio.sleep(7)
        explanation = executor.explain(event)
        assert explanation.waits_for is WaitReason.DEPENDENCY
        assert set(explanation.after) == {slow.id, other.id}
        named = {slow.id: f"{slow} (processing)", other.id: f"{other} (processing)"}
        in_order = ", ".join(named[one] for one in explanation.after)
        assert f"is pending, waits for the end of 2 events: {in_order}" in str(explanation)
        assert executor.statistics().waits[WaitReason.DEPENDENCY] == 1


async def test_before_the_first_start_and_with_a_delay():
    """The options are kept, and the bound of the queue does not count the event."""
    executor = make_executor(concurrency_limit=1, max_queue_size=2)
    starts = note_starts(executor)
    work = await executor.append(Job(name="work", error=ValueError("x")), delay=10)
    await executor.append(Job(name="soon"), after_any_end=[work])
    await executor.append(Job(name="late"), after_any_end=[work], delay=100)
    async with executor:
        pass
    assert starts == {"work": 10, "soon": 10, "late": 100}


async def test_other_calls_pass_it_on():
    """``invoke()``, ``extend()`` with both arguments, and an inline executor."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        must = await executor.append(Job(seconds=5))
        may = await executor.append(Job(seconds=10, error=ValueError("x")))
        await executor.invoke(Job(name="one"), after_any_end=may)
        more = await executor.append(Job(seconds=5, error=ValueError("x")))
        events = await executor.extend(
            [Job(name="two"), Job(name="three")], after=iter([must, must]), after_any_end=iter([more])
        )
        skipped = await executor.extend([Job()], after=may)
    assert starts["one"] == 10
    assert starts["two"] == starts["three"] == 15
    assert all(event.status is EventStatus.COMPLETED for event in events)
    assert skipped[0].status is EventStatus.SKIPPED
    here = inline(make_executor())
    work = await here.append(Job(error=ValueError("x")))
    assert (await here.append(Job(), after_any_end=work)).status is EventStatus.COMPLETED


async def test_an_overridden_append_that_does_not_know_it():
    """It gets the argument only if it was given."""

    class Own(JobExecutor):
        async def append(self, event, priority=None, *, wait=False, delay=None, at=None, after=(), key=None):
            return await super().append(event, priority, wait=wait, delay=delay, at=at, after=after, key=key)

    async with Own({"queue_capacity": 10, "capacity_refresh_time": 0.01}) as executor:
        await executor.invoke(Job())
        (event,) = await executor.extend([Job()])
        await executor.extend([Job()], after=event)
        with pytest.raises(TypeError, match="after_any_end"):
            await executor.invoke(Job(), after_any_end=event)
    assert counts(executor) == {"completed": 3}


async def test_a_cluster_refuses_it():
    """At the call, with its name; nothing is sent."""
    executor = Executor.of(Job, cluster=Cluster("redis://127.0.0.1:1", unsigned=True))
    event = Job()
    other = Job()
    for append in (executor.append, executor.invoke, lambda one, **how: executor.extend([one], **how)):
        with pytest.raises(ConfigurationError, match="after_any_end= is not available with a cluster"):
            await append(event, after_any_end=other)
    assert event not in executor


async def test_the_invariants_know_it():
    """A trace complains of a start that comes too early, by whatever mistake."""
    executor = make_executor()
    async with executor:
        with record(executor) as trace:
            work = await executor.append(Job(seconds=5))
            clean = await executor.append(Job(seconds=1), after_any_end=work)
            executor.processor.queue.put_nowait(0, clean.id)
            await clean.wait()
        with pytest.raises(InvariantBroken, match="comes after the end of"):
            trace.check()
    with record(executor) as trace:
        async with executor:
            work = await executor.append(Job(seconds=5, error=ValueError("x")))
            await executor.append(Job(seconds=1), after_any_end=work)
    trace.check(at_rest=True)


async def test_many_followers_of_many():
    """What is awaited by each is looked up in constant time."""
    executor = make_executor(queue_capacity=10_000, capacity_refresh_time=0.01, concurrency_limit=1000)
    async with executor:
        parts = await executor.extend([Job(error=ValueError("x") if number % 2 else None) for number in range(1000)])
        clean = await executor.extend([Job() for _ in range(20)], after_any_end=parts)
    assert {event.status for event in clean} == {EventStatus.COMPLETED}
    assert counts(executor) == {"completed": 520, "failed": 500}
