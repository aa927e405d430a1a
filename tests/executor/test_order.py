"""Time and order: delays, dependencies, keys."""

import time
from datetime import UTC, datetime, timedelta, timezone

import anyio
import attrs
import pytest
from anyio import current_time, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from leftovers import leftovers
from support import CONFIG, Job, JobExecutor, check_invariants, counts, make_executor

from lionpride_exec import (
    Call,
    EventFailed,
    EventStatus,
    Executor,
    ExistsError,
    Journal,
    NotFoundError,
    QueueFullError,
    Rate,
    Retain,
    Skip,
)
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.anyio


def note_starts(executor):
    """Give a dict that gets the time of each start, by name."""
    starts = {}

    def note(event, _, status):
        if status is EventStatus.PROCESSING:
            starts[event.name] = round(current_time(), 1)

    executor.observe(note)
    return starts


# -------------------------------------------------------------------- delay and at


async def test_delay():
    """It does not start before, and others do meanwhile; join() and the block wait for it."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        assert (await executor.append(Job(name="late"), delay=30)).status is EventStatus.PENDING
        await executor.append(Job(name="now"), delay=0)
        await executor.join()
    assert starts == {"now": 0, "late": 30}


async def test_at():
    """A time in the future is waited for, one in the past is now; in whatever time zone."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        now = datetime.now(UTC)
        await executor.append(Job(name="future"), at=now + timedelta(hours=1))
        zone = timezone(timedelta(hours=-5))
        await executor.append(Job(name="zone"), at=(now + timedelta(minutes=1)).astimezone(zone))
        await executor.append(Job(name="past"), at=now - timedelta(days=1))
    assert starts["past"] == 0
    assert starts["zone"] == pytest.approx(60, abs=1)
    assert starts["future"] == pytest.approx(3600, abs=1)


async def test_a_delayed_event_keeps_its_priority():
    """When it is due, it goes before what has a higher number."""
    executor = make_executor(concurrency_limit=1)
    starts = note_starts(executor)
    async with executor:
        await executor.append(Job(name="first", seconds=10), priority=0)
        await executor.append(Job(name="urgent", seconds=10), priority=-1, delay=5)
        await executor.append(Job(name="later", seconds=10), priority=1)
    assert starts == {"first": 0, "urgent": 10, "later": 20}


async def test_what_becomes_due_while_the_dispatcher_looks(monkeypatch):
    """Reading the clock takes time, in which a delay may run out: between two readings nothing is overlooked."""
    real, step = current_time, 0.0
    monkeypatch.setattr("lionpride_exec._processing.dispatcher.current_time", lambda: real() + step)
    async with anyio.create_task_group() as group:
        executor = make_executor()
        await group.start(executor.run)
        event = await executor.append(Job(), delay=5)
        await anyio.sleep(4.9995)
        step = 0.001
        executor.processor.available_capacity = 50  # the dispatcher looks again
        await anyio.sleep(60)
        assert event.status is EventStatus.COMPLETED
        await executor.stop()


async def test_a_delay_from_before_the_start_counts_from_the_append():
    """What is delayed before there is a processor is due at the same time."""
    executor = make_executor()
    starts = note_starts(executor)
    await executor.append(Job(name="late"), delay=30)
    await executor.append(Job(name="over"), delay=5)
    await anyio.sleep(10)
    async with executor:
        pass
    assert starts == {"over": 10, "late": 30}


async def test_a_delay_goes_on_over_stop_and_start():
    """Stopping does not make it due."""
    executor = make_executor()
    starts = note_starts(executor)
    await executor.start()
    await executor.append(Job(name="late"), delay=30)
    await anyio.sleep(1)
    await executor.stop()
    await executor.start()
    await executor.join()
    await executor.stop()
    assert starts == {"late": 30}


async def test_forward_leaves_what_is_not_due():
    """It is no part of a batch until its time has come."""
    executor = make_executor()
    await executor.start()
    await executor.processor.stop()
    await executor.append(Job(name="late"), delay=30)
    await executor.forward()
    assert counts(executor) == {"pending": 1}
    await anyio.sleep(30)
    await executor.forward()
    assert counts(executor) == {"completed": 1}
    await executor.stop()


def test_a_delay_is_carried_over_to_another_event_loop(monkeypatch):
    """By the wall clock."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    executor, early = make_executor(), make_executor()

    async def first():
        with anyio.move_on_after(1):
            async with executor:
                await executor.append(Job(), delay=100)
                await anyio.sleep_forever()
        await early.append(Job(), delay=100)

    async def second():
        began = current_time()
        async with executor:
            pass
        middle = current_time()
        wall[0] += middle - began - 10
        async with early:
            pass
        return middle - began, current_time() - began

    name, options = backend_options("asyncio")
    anyio.run(first, backend=name, backend_options=options)
    wall[0] += 40
    name, options = backend_options("trio")
    took = anyio.run(second, backend=name, backend_options=options)
    assert took == (pytest.approx(60, abs=2), pytest.approx(70, abs=2))


# -------------------------------------------------------------------- a wall clock that is set


@pytest.fixture
def wall(monkeypatch):
    """The wall clock: call it to put it forward by so many seconds, or back."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr("time.time", lambda: real() + ahead[0])

    def step(seconds):
        ahead[0] += seconds

    return step


def at_in(seconds):
    """Return the time by the wall clock in so many seconds."""
    return datetime.fromtimestamp(time.time() + seconds, UTC)


async def test_at_after_a_sleep_of_the_machine(wall):
    """The wall clock has gone on by an hour, the loop's has not: what is due by now starts within half a minute."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        await executor.append(Job(name="due"), at=at_in(600))
        later = await executor.append(Job(name="later"), at=at_in(7200))
        await executor.append(Job(name="delay"), delay=900)
        await anyio.sleep(100)
        wall(3600)
        assert executor.explain(later).seconds == pytest.approx(7200 - 100 - 3600, abs=1)
    assert starts["due"] == 100  # explain() has looked
    assert starts["later"] == pytest.approx(3600, abs=1)
    assert starts["delay"] == 900


async def test_the_wall_clock_is_looked_at_twice_a_minute(wall):
    """Without anybody who asks."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        await executor.append(Job(name="due"), at=at_in(600))
        await anyio.sleep(100)
        wall(3600)
    assert starts["due"] <= 130


@pytest.mark.parametrize("moment", ["early", "late"])
async def test_at_while_the_wall_clock_is_set_back(wall, moment):
    """It does not start before its time by the wall clock, also if that was set just before."""
    executor = make_executor()
    starts = note_starts(executor)
    async with executor:
        await executor.append(Job(name="due"), at=at_in(600))
        await executor.append(Job(name="delay"), delay=700)
        await anyio.sleep(10 if moment == "early" else 599)
        wall(-300)
    assert starts["due"] == pytest.approx(900, abs=1)
    assert starts["delay"] == 700


@pytest.mark.parametrize("how", ["before the start", "after another"])
async def test_at_is_followed_where_it_is_not_queued_yet(wall, how):
    """The step of the clock counts from the append() on."""
    executor = make_executor()
    starts = note_starts(executor)
    if how == "before the start":
        await executor.append(Job(name="due"), at=at_in(600))
        wall(300)
    async with executor:
        if how == "after another":
            first = await executor.append(Job(name="first", seconds=10))
            await executor.append(Job(name="due"), at=at_in(600), after=first)
            await anyio.sleep(1)
            wall(300)
    assert starts["due"] == pytest.approx(300, abs=1)


async def test_a_cancelled_at_is_forgotten(wall):
    """Nothing looks at the wall clock any more."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job(), at=at_in(600))
        assert executor.processor.queue.next_at() <= 30
        executor.cancel(event)
        assert executor.processor.queue.delays.looks_at == float("inf")
        wall(1000)
        late = await executor.append(Job(), at=at_in(600))
        await anyio.sleep(599)
        assert late.status is EventStatus.PENDING
        await anyio.sleep(2)
        assert late.status is EventStatus.COMPLETED


def test_at_is_carried_over_to_another_event_loop(wall):
    """By the wall clock, whatever it was set to in between."""
    executor = make_executor()

    async def first():
        with anyio.move_on_after(50):
            async with executor:
                await executor.append(Job(), at=at_in(1000))
                await anyio.sleep(1)
                wall(300)
                await anyio.sleep_forever()

    async def second():
        began = current_time()
        async with executor:
            pass
        return current_time() - began

    name, options = backend_options("asyncio")
    anyio.run(first, backend=name, backend_options=options)
    wall(50)  # which the clock of the first loop has gone on by
    name, options = backend_options("trio")
    assert anyio.run(second, backend=name, backend_options=options) == pytest.approx(1000 - 300 - 50, abs=2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"delay": -1}, ValueError, "delay must be not negative"),
        ({"delay": float("nan")}, ValueError, "delay must be finite"),
        ({"delay": "1"}, ValueError, "delay must be finite, a number"),
        ({"at": 5}, TypeError, "at must be a datetime, got 5"),
        ({"delay": 1, "at": datetime.now(UTC)}, ValueError, "exclude each other"),
        ({"at": datetime(2030, 1, 1)}, ValueError, r"time zone.*datetime.now\(UTC\).*\.astimezone\(\)"),  # noqa: DTZ001  that
        ({"key": []}, TypeError, "unhashable"),
        ({"after": [Job()]}, NotFoundError, "There is no"),
    ],
)
@pytest.mark.parametrize("started", [True, False])
async def test_wrong_arguments_leave_nothing_behind(given, error, message, started):
    """append() raises, and the executor is as before."""
    executor = make_executor()
    if started:
        await executor.start()
    event = Job()
    with pytest.raises(error, match=message):
        await executor.append(event, **given)
    assert event not in executor
    assert not any(executor.status_counts().values())
    await executor.stop()


# -------------------------------------------------------------------- after


async def test_after_waits_for_all():
    """All completed let it go; it counts in no queue before."""
    executor = make_executor(max_queue_size=2)
    starts = note_starts(executor)
    async with executor:
        a = await executor.append(Job(name="a", seconds=5))
        b = await executor.append(Job(name="b", seconds=10))
        c = await executor.append(Job(name="c"), after=[a, b.id])
        d = await executor.append(Job(name="d"), after=c)
        assert executor.processor.queue.qsize() == 2
        assert c.status is d.status is EventStatus.PENDING
    assert starts == {"a": 0, "b": 0, "c": 10, "d": 10}
    check_invariants(executor)


async def test_after_what_has_completed():
    """Then it is queued at once."""
    executor = make_executor()
    async with executor:
        a = await executor.append(Job())
        await a.wait()
        b = await executor.append(Job(), after=[a, a])
        await b.wait()
    assert b.status is EventStatus.COMPLETED


@pytest.mark.parametrize("how", ["failed", "cancelled", "skipped", "aborted", "timeout", "Skip"])
async def test_anything_else_skips_all_the_way_down(how):
    """Whatever ends a dependency but COMPLETED makes those that come after it SKIPPED, with the reason."""
    executor = make_executor()
    async with executor:
        error = {"failed": ValueError("x"), "Skip": Skip("nothing to do")}.get(how)
        a = await executor.append(Job(error=error, seconds=5, timeout=1 if how == "timeout" else None))
        b = await executor.append(Job(), after=[a])
        c = await executor.append(Job(), after=[b])
        other = await executor.append(Job())
        await wait_all_tasks_blocked()
        if how == "cancelled":
            executor.cancel(a)
        elif how == "skipped":
            executor.skip(a)
        elif how == "aborted":
            a = await executor.append(Job(), delay=100)
            b = await executor.append(Job(), after=[a])
            c = await executor.append(Job(), after=[b])
            a.status = "aborted"
        await c.wait()
    assert b.status is c.status is EventStatus.SKIPPED
    assert isinstance(b.execution.error, Skip)
    assert str(a.id) in str(b.execution.error)
    assert str(b.id) in str(c.execution.error)
    assert other.status is EventStatus.COMPLETED
    with pytest.raises(EventFailed, match="which is skipped, since"):
        c.result()
    first = a.execution.error
    cause = first if isinstance(first, BaseException) else None
    assert b.execution.error.__cause__ is c.execution.error.__cause__ is cause
    assert f"since {a} is {a.status}" in str(c.execution.error)
    check_invariants(executor)


@pytest.mark.parametrize("is_kept", [False, True], ids=["memory", "journal"])
async def test_a_skip_names_the_keys(is_kept, tmp_path):
    """Of the event before it, and of the one with which it began: so the reader finds the row."""

    async def refuse(number):
        raise ValueError(number)

    async with Executor.of(refuse, journal=Journal(tmp_path / "run.db") if is_kept else None) as executor:
        bad = await executor.append(Call.of(refuse, 2), key="row 2", delay=1)
        load = await executor.append(Call.of(refuse, 3), key=("load", 1), after=bad)
        mail = await executor.append(Call.of(refuse, 4), after=load)
        await mail.wait()
    row, pair = ('"row 2"', '["load",1]') if is_kept else ("'row 2'", "('load', 1)")
    began = f"{bad} with key {row} is failed"
    assert str(load.execution.error).startswith(f"It comes after {bad} with key {row}, which is failed: ")
    after = f"It comes after {load} with key {pair}, which is skipped"
    assert str(mail.execution.error).startswith(f"{after}, since {began}: ")


async def test_a_skip_names_the_error_with_which_it_began_and_no_secret():
    """However long the line is, the message has two events; stars replace a secret."""

    class Secret(Job):
        token: str = attrs.field(default="hunter22", metadata={"redact": True})

        async def _invoke(self):
            raise ValueError(f"refused {self.token}")

    executor = make_executor()
    async with executor:
        line = [await executor.append(Secret())]
        for _ in range(5):
            line.append(await executor.append(Job(), after=line[-1]))
    messages = [str(event.execution.error) for event in line[1:]]
    assert messages[0] == f"It comes after {line[0]}, which is failed: ValueError: refused ***"
    assert messages[-1] == (
        f"It comes after {line[-2]}, which is skipped, since {line[0]} is failed: ValueError: refused ***"
    )
    assert {id(event.execution.error.__cause__) for event in line[1:]} == {id(line[0].execution.error)}


async def test_after_what_has_failed_already():
    """It is taken in and SKIPPED at once; wait() returns."""
    executor = make_executor()
    async with executor:
        a = await executor.append(Job(error=ValueError()))
        await a.wait()
        b = await executor.append(Job(), after=[a])
        assert b.status is EventStatus.SKIPPED
        await b.wait()


async def test_a_long_chain_is_no_deep_recursion():
    """Ten thousand in a row: completed, or skipped, one after the other."""
    for error in (None, ValueError()):
        executor = make_executor(queue_capacity=10_000, capacity_refresh_time=0.01)
        async with executor:
            executor.pause()
            last = await executor.append(Job(error=error))
            for _ in range(10_000):
                last = await executor.append(Job(), after=[last])
            executor.resume()
        expected = {"completed": 10_001} if error is None else {"failed": 1, "skipped": 10_000}
        assert counts(executor) == expected


async def test_those_after_a_cancelled_one_are_skipped():
    """At once; or when a lock that holds them still is free."""
    executor = make_executor()
    async with executor:
        a = await executor.append(Job(), delay=100)
        b = await executor.append(Job(), after=[a])
        executor.cancel(a)
        assert b.status is EventStatus.SKIPPED
        c = await executor.append(Job(), delay=100)
        d = await executor.append(Job(name="d"), after=[c])
        async with executor.states.progressions:
            assert executor.cancel(c)
            assert c.status is d.status is EventStatus.PENDING
        assert d.status is EventStatus.SKIPPED
    check_invariants(executor)


async def test_cleanup_of_a_dependency_and_its_followers():
    """Both leave, or the follower is skipped because the other has left."""
    executor = make_executor()
    await executor.start()
    gate = anyio.Event()
    a = await executor.append(Job(gate=gate))
    b = await executor.append(Job(), after=[a])
    await wait_all_tasks_blocked()
    assert await executor.cleanup_events(["processing"]) == 1
    assert b.status is EventStatus.SKIPPED
    assert "has left the executor" in str(b.execution.error)
    gate.set()
    await executor.stop()
    assert a.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_cycles_are_refused():
    """An event cannot come after itself; nothing is left behind."""
    executor = make_executor()
    event = Job()
    with pytest.raises(ValueError, match="cycle"):
        await executor.append(event, after=[event])
    with pytest.raises(ValueError, match="cycle"):
        await executor.append(event, after=event.id)
    assert event not in executor
    async with executor:
        await executor.append(event)


async def test_after_before_the_first_start_and_with_a_delay():
    """Everything given is kept until then."""
    executor = make_executor(concurrency_limit=1)
    starts = note_starts(executor)
    a = await executor.append(Job(name="a"), delay=10)
    await executor.append(Job(name="c"), after=[a], priority=5)
    await executor.append(Job(name="b"), after=[a], priority=4)
    await executor.append(Job(name="d"), after=[a], delay=100)
    async with executor:
        pass
    assert starts == {"a": 10, "b": 10, "c": 10, "d": 100}
    assert list(starts) == ["a", "b", "c", "d"]


async def test_a_dependency_that_is_retried():
    """Only its last end counts."""
    from lionpride_exec import Retry  # noqa: PLC0415  for this test only

    class Second(Job):
        runs: list = []

        async def _invoke(self):
            self.runs.append(1)
            if len(self.runs) == 1:
                raise ConnectionError

    executor = make_executor(retry=Retry(2, jitter=0))
    async with executor:
        a = await executor.append(Second())
        b = await executor.append(Job(), after=[a])
    assert b.status is EventStatus.COMPLETED


async def test_many_released_at_once():
    """A thousand after one, with room for ten: all run."""
    executor = make_executor(max_queue_size=10, queue_capacity=10_000, capacity_refresh_time=0.01)
    async with executor:
        a = await executor.append(Job(seconds=1))
        for _ in range(1000):
            await executor.append(Job(), after=[a])
    assert counts(executor) == {"completed": 1001}


async def test_a_follower_can_be_ended_by_itself():
    """Cancelled before its turn, it does not run when the other completes."""
    executor = make_executor()
    async with executor:
        a = await executor.append(Job(seconds=5))
        b = await executor.append(Job(), after=[a])
        c = await executor.append(Job(), after=[a, b])
        assert executor.cancel(b)
        assert c.status is EventStatus.SKIPPED
    assert counts(executor) == {"completed": 1, "cancelled": 1, "skipped": 1}


@pytest.mark.parametrize("lock", ["progressions", "pending", "skipped"])
async def test_followers_that_end_each_other_when_a_lock_is_free(lock):
    """One that comes after two of those whose ends were put off ends once, with the first of them."""
    executor = JobExecutor(CONFIG, retain=Retain(5))
    async with executor:
        first = await executor.append(Job(seconds=1, error=OSError()))
        second = await executor.append(Job(), after=first)
        third = await executor.append(Job(), after=[first, second])
        await anyio.sleep(0.5)
        held = executor.states.progressions if lock == "progressions" else executor.states.get_progression(lock)
        async with held:
            await anyio.sleep(1)
            assert second.status is third.status is EventStatus.PENDING
    assert counts(executor) == {"failed": 1, "skipped": 2}


async def test_after_with_a_cost_that_can_never_start():
    """It is refused at append, as without."""
    executor = make_executor(limits=[Rate(1, per=1, cost=lambda event: 2 if event.name == "big" else 1)])
    async with executor:
        a = await executor.append(Job())
        with pytest.raises(ValueError, match="can never start"):
            await executor.append(Job(name="big"), after=[a])
    assert counts(executor) == {"completed": 1}


# -------------------------------------------------------------------- key


async def test_a_key_gives_back_the_known_event():
    """The second is left alone; also when the first has ended; until it is cleaned away."""
    executor = make_executor()
    async with executor:
        first = await executor.append(Job(name="1"), key="k")
        second = Job(name="2")
        assert await executor.append(second, key="k") is first
        assert second not in executor
        assert second.execution.queued_at is None
        await first.wait()
        assert await executor.append(second, key="k") is first
        assert await executor.append(Job(), key=("other", 1)) is not first
        await executor.cleanup_events()
        assert await executor.append(second, key="k") is second
    assert second.status is EventStatus.COMPLETED


async def test_a_key_before_the_first_start():
    """It is known from the append on."""
    executor = make_executor()
    first = await executor.append(Job(), key=1)
    assert await executor.append(Job(), key=1) is first
    async with executor:
        assert await executor.append(Job(), key=1) is first
    assert counts(executor) == {"completed": 1}


async def test_a_key_in_a_full_queue():
    """A known key needs no room; two that wait for room with the same key give one event."""
    executor = make_executor(max_queue_size=1, concurrency_limit=1)
    got = []

    async def append():
        got.append(await executor.append(Job(), key="new", wait=True))

    async with executor:
        await executor.append(Job(seconds=5))
        await wait_all_tasks_blocked()
        known = await executor.append(Job(seconds=5), key="k")
        assert await executor.append(Job(), key="k") is known
        with pytest.raises(QueueFullError):
            await executor.append(Job(), key="x")
        async with anyio.create_task_group() as group:
            group.start_soon(append)
            group.start_soon(append)
    assert got[0] is got[1]
    assert counts(executor) == {"completed": 3}


async def test_a_refused_event_leaves_its_key_free():
    """What was not taken in is not known."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job())
        with pytest.raises(ExistsError):
            await executor.append(event, key="k")
        other = Job()
        assert await executor.append(other, key="k") is other


# -------------------------------------------------------------------- properties


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 100), max_size=3),  # after these
            st.sampled_from(["ok", "ok", "ok", "fail", "skip", "cancel"]),
            st.sampled_from([0.0, 0.0, 1.0, 3.0]),  # it runs so long
            st.sampled_from([None, None, 2.0]),  # delay
        ),
        max_size=20,
    ),
    st.integers(1, 3),
)
def test_random_graphs(backend, nodes, concurrency):
    """Everything ends; what ran ran after all it comes after; what was skipped had a reason."""
    spans, made = {}, []

    class Node(Job):
        number: int = 0

        async def _invoke(self):
            began = current_time()
            await super()._invoke()
            spans[self.number] = began, current_time()

    async def main():
        executor = JobExecutor(
            {
                "queue_capacity": 100,
                "capacity_refresh_time": 0.01,
                "concurrency_limit": concurrency,
                "max_queue_size": 5,
            }
        )
        async with executor:
            for number, (after, fate, seconds, delay) in enumerate(nodes):
                error = {"fail": ValueError(), "skip": Skip("no")}.get(fate)
                event = Node(number=number, seconds=seconds, error=error)
                first = [made[i] for i in after if i < number]
                made.append(await executor.append(event, after=first, delay=delay, wait=True))
                if fate == "cancel":
                    executor.cancel(event)
        check_invariants(executor)
        await executor.cleanup_events(EventStatus)
        assert leftovers(executor) == {}

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)
    for number, (after, fate, _, _) in enumerate(nodes):
        before = [i for i in after if i < number]
        event = made[number]
        if fate == "cancel":
            assert event.status in {EventStatus.CANCELLED, EventStatus.SKIPPED}
        elif all(made[i].status is EventStatus.COMPLETED for i in before):
            expected = {"ok": EventStatus.COMPLETED, "fail": EventStatus.FAILED, "skip": EventStatus.SKIPPED}
            assert event.status is expected[fate]
            if fate == "ok":
                assert all(spans[i][1] <= spans[number][0] for i in before)
        else:
            assert event.status is EventStatus.SKIPPED
            assert number not in spans
