"""
Each invariant holds of an executor at work, and is found broken when it is broken by hand.

The tests that break them reach into an executor, as nobody else should.
"""

import copy
import re
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import anyio
import attrs
import pytest
from journal_support import CONFIG, Step, StepExecutor
from parts import invariants
from support import Job, JobProcessor, callbacks_of, make_executor, view, with_processor

from lionpride_exec import Attempt, Concurrent, EventStatus, Executor, Journal, Rate, Retry, WaitReason
from lionpride_exec.testing import BACKENDS, INVARIANTS, InvariantBroken, check_invariants, record, run

pytestmark = pytest.mark.anyio
CHECKS, Look = invariants.CHECKS, invariants.Look
ExecutorView, ProcessorView = view.ExecutorView, view.ProcessorView
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def at_work():
    """Give an executor, one event of which has ended, one runs, one is queued, and one comes after that one."""
    limits = [Rate(5, per=60, key="name"), Concurrent(2)]
    executor = make_executor(concurrency_limit=1, limits=limits, retry=Retry(2))
    done, queued, follower = Job(name="done"), Job(name="queued"), Job(name="follower")
    running = Job(name="running", started=anyio.Event(), gate=anyio.Event())
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(done, key="a key")
        await done.wait()
        await executor.append(running)
        await running.started.wait()
        await executor.append(queued)
        await executor.append(follower, after=queued)
        await anyio.wait_all_tasks_blocked()
        check_invariants(executor, at_rest=True)
        yield executor, SimpleNamespace(done=done, running=running, queued=queued, follower=follower)
        group.cancel_scope.cancel()


@contextmanager
def seen(cls, **values):
    """Have the kit see other values than there are: of a view of the executor or of its processor."""
    with ExitStack() as stack:
        for name, value in values.items():
            seen_instead = property(lambda _, value=value: value)  # bound now: the property is read after the loop
            stack.enter_context(patch.object(cls, name, seen_instead))
        yield


def find(executor, name):
    """Raise what one invariant of a moment finds broken now."""
    CHECKS[name].check(Look(executor, at_rest=True))


def all_broken(executor):
    """Give the names of all invariants of a moment that do not hold now."""
    look, names = Look(executor, at_rest=True), []
    for name, each in CHECKS.items():
        try:
            each.check(look)
        except InvariantBroken:
            names.append(name)
    return names


def assert_broken(executor, name, *events, message, also=()):
    """Have one invariant be broken, with these events, and no other, but for those that follow from it."""
    with pytest.raises(InvariantBroken, match=message) as caught:
        check_invariants(executor, at_rest=True)
    assert caught.value.invariant == name
    assert set(caught.value.events) == set(events)
    text = str(caught.value)
    assert text.startswith(f"{name}: {INVARIANTS[name]}\nBut ")
    assert all(str(event.id) in text for event in events)
    assert set(all_broken(executor)) == {name, *also}


# ---------------------------------------------------------------- of events


async def test_one_place():
    """An event in two progressions, in none, an id without an event, and a progression that is missing."""
    async with at_work() as (executor, events):
        failed = executor.states.get_progression("failed")
        failed.append(events.done.id)
        with pytest.raises(InvariantBroken, match="stands in 2 places: completed, failed") as caught:
            check_invariants(executor)
        assert caught.value.events == (events.done,)
        failed.remove(events.done.id)
        completed = executor.states.get_progression("completed")
        completed.remove(events.done.id)
        assert_broken(executor, "one_place", events.done, message="in 0 places: none", also={"counts"})
        completed.append(events.done.id)
        stranger = Job()
        failed.append(stranger.id)
        with pytest.raises(InvariantBroken, match="1 ids in the progressions belong to no event") as caught:
            check_invariants(executor)
        assert caught.value.events == ()
        assert str(stranger.id) in str(caught.value)
        failed.remove(stranger.id)
        executor.states.remove_progression("skipped")
        with pytest.raises(InvariantBroken, match="there is no progression for skipped"):
            check_invariants(executor)


async def test_status_is_place():
    """A status that was set past the door."""
    async with at_work() as (executor, events):
        events.done.execution.status = EventStatus.SKIPPED
        assert_broken(
            executor, "status_is_place", events.done, message="events in 'completed' have another", also={"counts"}
        )


async def test_counts():
    """A number that goes its own way."""
    async with at_work() as (executor, events):
        counts = executor.status_counts()
        executor.status_counts = lambda: counts | {"completed": counts["completed"] - 1}
        assert_broken(
            executor, "counts", events.done, message=r"status_counts\(\) says 0 completed, but 1 are in memory"
        )


async def test_owner():
    """An event that does not know its executor moves without it."""
    async with at_work() as (executor, _):
        stranger = Job()
        executor.states.add_item(stranger, "completed")
        stranger.execution.status = EventStatus.COMPLETED
        with pytest.raises(InvariantBroken, match="1 events are in the executor but belong to no executor") as caught:
            find(executor, "owner")
        assert caught.value.events == (stranger,)


async def test_runs():
    """An event that runs unknown to join(), and one that join() waits for in vain."""
    async with at_work() as (executor, events):
        with seen(ExecutorView, running=[]):
            assert_broken(executor, "runs", events.running, message="1 events run unknown")
        with seen(ExecutorView, running=[events.running.id, events.queued.id]):
            assert_broken(executor, "runs", events.queued, message="0 events run unknown.* waits for 1 that do not run")
        events.running.execution.status = EventStatus.PENDING
        with pytest.raises(InvariantBroken, match="1 events run that are not PROCESSING") as caught:
            find(executor, "runs")
        assert caught.value.events == (events.running,)
        events.running.execution.status = EventStatus.PROCESSING


@pytest.mark.parametrize(
    ("which", "changes", "message"),
    [
        ("queued", {"finished_at": "now"}, "has an end"),
        ("done", {"error": ValueError("what")}, r"has an error, ValueError\('what'\)"),
        ("done", {"finished_at": None}, "1 events have ended and have no time of that"),
        ("running", {"started_at": None}, "does not know of the run"),
        ("done", {"attempt": 2}, "counts 2 runs, and keeps 0 earlier ones"),
    ],
)
async def test_record(which, changes, message):
    """A record that does not fit the status."""
    async with at_work() as (executor, events):
        event = getattr(events, which)
        for name, value in changes.items():
            setattr(event.execution, name, value)
        assert_broken(executor, "record", event, message=message)


async def test_attempts():
    """One run more than the Retry of the executor, or of the event, allows."""
    async with at_work() as (executor, events):
        execution = events.done.execution
        first = Attempt(1, execution.started_at, execution.finished_at, ValueError())
        execution.attempt, execution.attempts = 2, (first,)
        check_invariants(executor)
        with patch.object(ProcessorView, "retry_of", lambda *_: None):
            assert_broken(executor, "attempts", events.done, message="at run 2 of 1")


async def test_keys():
    """A key that leads nowhere, and one that will not be forgotten."""
    async with at_work() as (executor, events):
        keys = ExecutorView(executor).keys
        keys.clear()
        assert_broken(executor, "keys", events.done, message="1 keys lead nowhere")
        keys["a key"] = Job().id
        assert_broken(executor, "keys", message="leads to an event that is not here")
        keys["a key"] = events.queued.id
        assert_broken(executor, "keys", events.queued, message="does not know its key")


async def test_followers():
    """One that waits for what has ended, for somebody who will not tell it, or although it runs."""
    async with at_work() as (executor, events):
        followers = ExecutorView(executor).followers
        followers.clear()
        assert_broken(executor, "followers", events.follower, events.queued, message="one that will not tell it")
        followers[events.queued.id] = followers[events.done.id] = {events.follower.id: None}
        with patch.object(ExecutorView, "awaited_by", lambda *_: {events.queued.id, events.done.id}):
            assert_broken(executor, "followers", events.follower, events.done, message="has ended or left")
        followers[events.done.id] = {events.running.id: None}
        assert_broken(executor, "followers", events.running, message="tell followers that do not wait for it")
        followers.clear()
        with seen(ExecutorView, waiting_after={events.running.id}):
            lost = "nothing will start them"
            assert_broken(executor, "nothing_lost", events.follower, message=lost, also={"followers"})


async def test_ended():
    """Somebody who still waits for an end that has come; a way to the queue that is still kept."""
    async with at_work() as (executor, events), anyio.create_task_group() as group:
        with seen(ExecutorView, early={events.done.id}):
            assert_broken(executor, "ended", events.done, message="an ended event still has options for the queue")
        events.done.execution.status = EventStatus.PENDING
        group.start_soon(events.done.wait)
        await anyio.wait_all_tasks_blocked()
        events.done.execution.status = EventStatus.COMPLETED
        assert_broken(executor, "ended", events.done, message="1 still wait for the end")
        group.cancel_scope.cancel()


async def test_ended_of_an_executor_that_was_left():
    """Who waits for an event that nobody will run is told."""
    async with at_work() as (executor, events):
        pass
    check_invariants(executor)
    with patch("lionpride_exec.testing._invariants.of_events.end_waiters", {events.queued: [print]}.get):
        assert_broken(executor, "ended", events.queued, message="the executor was left, and tasks still wait")


# ---------------------------------------------------------------- of what starts them


async def test_nothing_lost():
    """An event that stands in no queue."""
    async with at_work() as (executor, events):
        executor.processor.queue.discard(events.queued.id)
        assert_broken(executor, "nothing_lost", events.queued, message="1 events are PENDING, and nothing will start")


async def test_queue():
    """An event in the queue that has ended, or runs, or is none."""
    async with at_work() as (executor, events):
        queue = executor.processor.queue
        queue.put_nowait(0, events.done.id)
        assert_broken(executor, "queue", events.done, message="1 events are queued and not PENDING")
        queue.discard(events.done.id)
        queue.put_nowait(0, Job().id)
        assert_broken(executor, "queue", events.queued, message="the queue counts 2, and 1 events")


async def test_queue_of_what_was_taken_out():
    """An event that is asked about is not queued at the same time, to be started twice."""
    async with at_work() as (executor, events):
        with seen(ProcessorView, asked=events.queued.id):
            assert_broken(executor, "queue", events.queued, message="1 events are queued that were taken out")


async def test_flights():
    """A start of which nothing came, and a worker that nobody knows."""
    async with at_work() as (executor, events):
        (flight,) = ProcessorView(executor.processor).running.values()
        stray = copy.copy(flight)
        stray.event = events.queued
        with seen(ProcessorView, running={events.running.id: stray}):
            assert_broken(executor, "flights", events.queued, message="1 started events are PENDING", also={"landed"})
        with seen(ProcessorView, busy_workers=2, slot_workers=(2, 0)):
            assert_broken(executor, "flights", events.running, message="2 workers run 1 events", also={"slots"})


async def test_slots():
    """A slot that was not given back, and one that was never taken."""
    async with at_work() as (executor, events):
        for taken in (0, 2):
            with seen(ProcessorView, slots_taken=taken):
                assert_broken(executor, "slots", events.running, message=f"{taken} slots are taken, by 1 workers")
        with seen(ProcessorView, slots=0):
            assert_broken(executor, "slots", events.running, message="1 slots are taken, of 0")


async def test_capacity():
    """A window of another size than was asked for."""
    async with at_work() as (executor, _):
        executor.processor.queue_capacity = 50
        assert_broken(executor, "capacity", message="98 starts of 50 are available")
        executor.processor.queue_capacity = 200
        assert_broken(executor, "capacity", message="the window allows 100 starts, and `queue_capacity` is 200")


async def test_limits():
    """A token that was not given back, and one that was taken by nobody."""
    async with at_work() as (executor, events):
        lanes = executor.processor.queue.lanes
        (concurrent,) = [each for each in lanes.limit_states if isinstance(each.limit, Concurrent)]
        rates = {state.key: state for state in lanes.limit_states if isinstance(state.limit, Rate)}
        concurrent.used += 1
        assert_broken(
            executor, "limits", events.running, message="counts 2 as used, but 1 events run", also={"explained"}
        )
        concurrent.used -= 1
        rates["done"].used += 1
        assert_broken(executor, "limits", message="key='done', used=2.* counts 2 as used, but 1 will come back")
        rates["done"].used -= 1
        concurrent.highest = 0
        assert_broken(executor, "limits", events.running, message="counts 1")


async def test_limit_keys():
    """Lines and accounts that stay when their events have gone."""
    async with at_work() as (executor, _):
        with seen(ProcessorView, keyed_lanes=4):
            assert_broken(executor, "limit_keys", message="there are 4 lanes with keys for 1 queued events")
        with seen(ProcessorView, keyed_limit_states=100):
            assert_broken(executor, "limit_keys", message="100 limit states are kept for keys")


async def test_denials():
    """Strikes of an event that does not wait, or that is still there after its third."""
    async with at_work() as (executor, events):
        denials = ProcessorView(executor.processor).strikes
        denials[events.done.id] = 1
        assert_broken(executor, "denials", events.done, message="strikes are counted of an event that does not wait")
        del denials[events.done.id]
        denials[events.queued.id] = 3
        assert_broken(executor, "denials", events.queued, message="an event waits with 3 strikes")
        denials.clear()


async def test_denials_that_are_not_counted():
    """An event that waits because it was denied, and nobody knows how often."""

    class Denying(JobProcessor):
        async def request_permission(self, **_):
            return False

    event = Job()
    executor = with_processor(Denying)
    await executor.append(event)
    await executor.start()
    await anyio.sleep(0.5)
    check_invariants(executor, at_rest=True)
    ProcessorView(executor.processor).strikes.clear()
    assert_broken(executor, "denials", event, message="because it was denied, and has no strike")
    await executor.stop()
    check_invariants(executor, at_rest=True)


async def test_reruns():
    """What is remembered of an event that has gone."""
    async with at_work() as (executor, events):
        ProcessorView(executor.processor).first_starts[events.done.id] = 0.0
        assert_broken(executor, "reruns", events.done, message="1 events have a remembered first start")


# ---------------------------------------------------------------- of what explain() says


def said(event, **changes):
    """Have `explain()` say something else of an event."""
    explain = Executor.explain

    def changed(executor, about):
        """Return the explanation, changed if it is that of the event."""
        told = explain(executor, about)
        return attrs.evolve(told, **changes) if told.event is event else told

    return patch.object(Executor, "explain", changed)


async def test_explained():
    """A limit that is said to have no room, and has; a pause and a lock that are not there."""
    async with at_work() as (executor, events):
        queued = events.queued
        with said(queued, waits_for=WaitReason.PAUSED):
            assert_broken(executor, "explained", queued, message="wait for paused, and that is not so")
        with said(queued, waits_for=WaitReason.CAPACITY):
            assert_broken(executor, "explained", queued, message="wait for capacity, and that is not so")
        with said(queued, waits_for=WaitReason.REFUSAL):
            assert_broken(executor, "explained", queued, message="wait for refusal, and that is not so")
        states = list(executor.processor.queue.lanes.limit_states)
        for state in (each for each in states if each.limit is not None and each.key in {None, "queued"}):
            with said(queued, waits_for=WaitReason.LIMIT, limit=state.limit, key=state.key):
                assert_broken(executor, "explained", queued, message="are used, and nothing takes more than 1")


# ---------------------------------------------------------------- of rest


async def test_nobody_idle():
    """An event that could start, and a dispatcher that sleeps."""
    async with at_work() as (executor, events):
        executor.processor.concurrency_limit = 2
        with pytest.raises(InvariantBroken, match="1 events could start, but no task looks for them") as caught:
            find(executor, "nobody_idle")
        assert caught.value.events == (events.queued,)
        executor.processor.concurrency_limit = 1


async def test_nobody_idle_when_a_time_has_come():
    """A delay that is over, and a dispatcher that did not set its alarm."""
    async with at_work() as (executor, events):
        events.running.gate.set()
        await events.follower.wait()
        await anyio.wait_all_tasks_blocked()  # a worker that is on its way would see to what comes
        processor = executor.processor
        on_put, processor.queue.on_put = processor.queue.on_put, None
        late = Job(name="late")
        await executor.append(late, delay=10)
        processor.queue.on_put = on_put
        await anyio.sleep(11)
        assert_broken(executor, "nobody_idle", late, message="1 events could start")
        executor.pause()
        check_invariants(executor, at_rest=True)


async def test_nobody_idle_at_a_limit_that_is_free():
    """A line that waits for a limit, and was not told that there is room."""
    executor = make_executor(limits=Concurrent(1, key="name"))
    gate, second = anyio.Event(), Job(name="same")
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(Job(name="same", gate=gate), priority=0)
        await executor.append(second, priority=1)
        await anyio.sleep(1)
        assert executor.explain(second).waits_for == "limit"  # its line is parked by now
        executor.processor.queue.lanes.amounts.release = lambda uses, now: [use.state.release(use, now) for use in uses]
        gate.set()
        await anyio.sleep(1)
        assert_broken(executor, "nobody_idle", second, message="1 events could start")
        group.cancel_scope.cancel()


async def test_nobody_waits_in_vain():
    """A condition that holds, and nobody was told."""
    async with at_work() as (executor, _):
        with seen(ExecutorView, conditions=[lambda: False]):
            check_invariants(executor, at_rest=True)
        with seen(ExecutorView, conditions=[lambda: False, lambda: True]):
            assert_broken(
                executor,
                "nobody_waits_in_vain",
                message="a task still waits for .*<lambda>, although the condition holds",
            )


async def test_room():
    """Room that is there, and nobody was told; or that is promised to nobody."""
    async with at_work() as (executor, _):
        with seen(ProcessorView, room_waiters=1):
            assert_broken(executor, "room", message="1 tasks wait for room, with 1 queued of 1000")
        with seen(ProcessorView, promised_places=1):
            assert_broken(executor, "room", message="1 places are promised, to 0 events")


async def test_landed():
    """An event that is back from its run, and still holds its slot."""
    async with at_work() as (executor, events):
        (flight,) = ProcessorView(executor.processor).running.values()
        stray = copy.copy(flight)
        stray.event, stray.again_in = events.queued, 1.0
        with seen(ProcessorView, running={events.running.id: stray}):
            assert_broken(executor, "landed", events.queued, message="1 events are back from their run")


# ---------------------------------------------------------------- when they are checked


async def test_in_an_observer():
    """An observer may look at any transition; it is not told of what the transition is still to do."""
    executor, event, seen = make_executor(), Job(), []

    def look(_event, _previous, status):
        check_invariants(executor, at_rest=True)
        seen.append((status, callbacks_of(event) > 0))

    executor.observe(look)
    async with executor:
        await executor.invoke(event)
    assert seen == [("processing", True), ("completed", True)]  # those who wait are woken after that
    check_invariants(executor, at_rest=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_an_event_loop(backend):
    """Before and after the event loop the same is checked, but for what depends on the time."""
    executor = make_executor()
    check_invariants(executor)

    async def main():
        await executor.append(Job())
        check_invariants(executor)
        async with executor:
            pass

    run(main, backend=backend)
    check_invariants(executor)
    executor.completed_events[0].execution.status = EventStatus.FAILED
    with pytest.raises(InvariantBroken, match="status_is_place"):
        check_invariants(executor)


async def test_with_a_journal(tmp_path):
    """What is on its way to the disk is not lost, and what is on disk only is counted."""
    executor = StepExecutor(CONFIG, journal=Journal(tmp_path / "run.db"))
    async with executor, anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(executor.append, Step(name=str(number)))
        while not executor.pending_events:  # stored, and being written
            await anyio.lowlevel.checkpoint()
        check_invariants(executor)
    check_invariants(executor)
    assert executor.status_counts()["completed"] == 10
    assert len(executor.states.items) == 0


async def test_many_events_are_not_all_shown():
    """A message shows five events, and how many more there are; the error has them all."""
    executor = make_executor()
    for _ in range(8):
        executor.states.add_item(Job(), "pending")  # past the executor, so they do not know it
    with pytest.raises(InvariantBroken, match="  and 3 more") as caught:
        check_invariants(executor)
    assert len(caught.value.events) == 8


def test_an_executor_is_unchanged():
    """Looking changes nothing."""
    executor = Executor.of(Job)
    before = repr(executor)
    check_invariants(executor)
    assert repr(executor) == before


async def test_an_event_that_is_cancelled_behind_a_lock_stands_in_one_place():
    """Cancelled while it waits for a lock to start, it ends as the lock is let go, and is never seen as PROCESSING."""

    class Gated(JobProcessor):
        async def request_permission(self, **_):
            await anyio.sleep(1)
            return True

    executor, event = with_processor(Gated), Job()
    trace = record(executor)
    async with executor:
        await executor.append(event)
        await anyio.sleep(0.5)
        async with executor.states.progressions:
            await anyio.sleep(2)  # the gate has let it in by now
            executor.cancel(event)
            assert event.status is EventStatus.PENDING
        await event.wait()
    trace.check(at_rest=True)
    assert [(entry.at, entry.status) for entry in trace.entries] == [(2.5, "cancelled")]


# ---------------------------------------------------------------- the page


def test_the_page_lists_all_of_them():
    """docs/invariants.md has each invariant, with its sentence, and a test that breaks it."""
    text = (ROOT / "docs" / "invariants.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert [(name, sentence) for name, sentence, _ in rows] == list(INVARIANTS.items())
    for name, _, tests in rows:
        named = re.findall(r"`(test_\w+\.py)::(\w+)`", tests)
        assert named[0][1] == f"test_{name}"
        for file, test in named:
            (path,) = (ROOT / "tests").rglob(file)
            assert f"def {test}(" in path.read_text(), (file, test)
