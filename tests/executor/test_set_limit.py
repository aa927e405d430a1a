"""Executor.set_limit(): a limit changes while the executor runs, up and down."""

from math import inf, nan

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from journal_support import Step, open_executor
from support import Job, check_invariants, counts, make_executor

from lionpride_exec import Concurrent, EventStatus, Executor, Rate, WaitReason
from lionpride_exec.testing import BACKENDS, backend_options, record

pytestmark = pytest.mark.anyio


def note_times(executor):
    """Give a list that gets the time of each start, from now."""
    began, times = anyio.current_time(), []
    executor.observe(
        lambda _, __, status: times.append(round(anyio.current_time() - began, 2)) if status == "processing" else None
    )
    return times


async def test_up_and_down():
    """More holds at once; with less, nothing starts until enough has come back."""
    rate = Rate(2, per=10)
    executor = make_executor(limits=rate)
    with record(executor) as trace:
        async with executor:
            times = note_times(executor)
            for _ in range(12):
                await executor.append(Job())
            await anyio.sleep(1)
            executor.set_limit(rate, 5)
            await anyio.sleep(1)
            assert times == [0, 0, 1, 1, 1]
            executor.set_limit(rate, 1)
            await anyio.sleep(27)
            assert times[5:] == [11, 21]
            executor.set_limit(rate, 3, per=2)
    assert times[7:] == [29, 29, 29, 31, 31]
    trace.check(at_rest=True)


async def test_statistics_have_what_holds():
    """The Rate stays as it was written; statistics() and progress() go by what holds now."""
    rate = Rate(5, per=60, name="calls")
    executor = make_executor(limits=[rate])
    async with executor:
        await executor.append(Job())
        await wait_all_tasks_blocked()
        executor.set_limit("calls", 50, per=30)
        (use,) = executor.statistics().limits
        assert (use.limit, use.used, use.amount, use.per) == (rate, 1, 50, 30)
        assert rate.amount == 5
        executor.set_limit("calls", per=20)
        assert executor.statistics().limits[0].amount == 50


async def test_a_shorter_and_a_longer_window():
    """What has been taken comes back `per` seconds after its start, by the new length."""
    rate = Rate(1, per=100)
    executor = make_executor(limits=rate)
    async with executor:
        times = note_times(executor)
        for _ in range(4):
            await executor.append(Job())
        await anyio.sleep(5)
        executor.set_limit(rate, per=10)
        await anyio.sleep(7)
        assert times == [0, 10]
        executor.set_limit(rate, per=20)
    assert times == [0, 10, 30, 50]


async def test_concurrent():
    """What runs goes on, also above the new number."""
    two = Concurrent(2)
    executor = make_executor(limits=two)
    async with executor:
        times = note_times(executor)
        for _ in range(6):
            await executor.append(Job(seconds=10))
        await anyio.sleep(1)
        executor.set_limit(two, 4)
        await anyio.sleep(1)
        executor.set_limit(two, 1)
        await anyio.sleep(0.5)
        assert counts(executor) == {"processing": 4, "pending": 2}
        check_invariants(executor)
    assert times == [0, 0, 1, 1, 11, 21]


async def test_a_held_rate():
    """A run that goes on comes back by the new length, after its end."""
    rate = Rate(1, per=10, hold=True)
    executor = make_executor(limits=rate)
    async with executor:
        times = note_times(executor)
        for _ in range(3):
            await executor.append(Job(seconds=5))
        await anyio.sleep(1)
        executor.set_limit(rate, per=2)
        await anyio.sleep(6.5)  # the second one runs
        executor.set_limit(rate, per=4)
    assert times == [0, 7, 16]


async def test_keys():
    """The amount of each key changes, also of one that comes later."""
    rate = Rate(1, per=100, key="name")
    executor = make_executor(limits=rate)
    async with executor:
        jobs = [await executor.append(Job(name=name)) for name in "aabb"]
        await anyio.sleep(1)
        assert counts(executor) == {"completed": 2, "pending": 2}
        executor.set_limit(rate, {"a": 2, ...: 1})
        await anyio.sleep(1)
        assert [job.status.value for job in jobs] == ["completed", "completed", "completed", "pending"]
        executor.set_limit(rate, lambda key: 3 if key == "b" else 9)
        jobs = [await executor.append(Job(name=name)) for name in "bbccc"]
        await anyio.sleep(1)
        assert [job.status.value for job in jobs] == ["completed", "pending", *["completed"] * 3]


async def test_before_the_first_start():
    """It changes what the executor starts with; costs are checked by it."""
    rate = Rate(1, per=10, cost="seconds")
    executor = make_executor(limits=rate)
    with pytest.raises(ValueError, match="can never start"):
        await executor.append(Job(seconds=3))
    executor.set_limit(rate, 3)
    await executor.append(Job(seconds=3))
    async with executor:
        times = note_times(executor)
        await executor.append(Job(seconds=3))
    assert times == [0, 10]


def test_outside_of_an_event_loop():
    """Between two lifetimes: the next start has it."""
    rate = Rate(1, per=1000)
    executor = make_executor(limits=rate)

    async def main():
        await executor.start()
        for _ in range(3):
            await executor.append(Job())
        await anyio.sleep(1)
        await executor.stop()

    for _ in range(2):
        anyio.run(main)
        executor.set_limit(rate, 6)
    assert counts(executor) == {"completed": 6}


async def test_what_could_never_start():
    """An amount below what a waiting or running event takes is refused, and nothing has changed."""
    rate = Rate(10, per=10, cost=lambda event: event.metadata.get("cost", 1))
    executor = make_executor(limits=rate)
    async with executor:
        times = note_times(executor)
        running = await executor.append(Job(seconds=5, metadata={"cost": 9}))
        await wait_all_tasks_blocked()
        with pytest.raises(ValueError, match="A cost of 9 can never start: the limit allows 8") as caught:
            executor.set_limit(rate, 8)
        assert "nothing changed" in caught.value.__notes__[0]
        await running.wait()
        executor.set_limit(rate, 8)
        for delay in (0, 1):
            await executor.append(Job(metadata={"cost": 7}), delay=delay)
        with pytest.raises(ValueError, match="A cost of 7"):
            executor.set_limit(rate, 6)
        with pytest.raises(ValueError, match="A cost of 9"):
            await executor.append(Job(metadata={"cost": 9}))
    assert times == [0, 10, 20]


async def test_bad_input():
    """Each is refused where it is written."""
    rate, two = Rate(5, per=1, name="calls"), Concurrent(2, name="two")
    executor = make_executor(limits=[rate, two])
    for limit, amount, per, message in [
        ("clals", 1, None, "no limit 'clals' .did you mean 'calls'..; its limits: 'calls', 'two'"),
        (Rate(5, per=1), 1, None, "no limit Rate"),
        (rate, None, None, "needs an amount, or per="),
        (rate, 0, None, "must be a positive, finite number"),
        (rate, 0.5, None, "at least 1"),
        (rate, nan, None, "must be a positive, finite number"),
        (rate, inf, None, "must be a positive, finite number"),
        (rate, None, 0, "per must be"),
        (rate, {"a": 1}, None, "needs key="),
        (two, 1.5, None, "limit must be"),
        (two, 1, 5, "has no per"),
    ]:
        with pytest.raises(ValueError, match=message):
            executor.set_limit(limit, amount, per=per)
    async with executor:
        times = note_times(executor)
        for _ in range(6):
            await executor.append(Job())
    assert times == [0] * 5 + [1]


async def test_explain_goes_by_what_holds():
    """The time left changes with the limit."""
    rate = Rate(1, per=100)
    executor = make_executor(limits=rate)
    async with executor:
        await executor.append(Job())
        event = await executor.append(Job())
        await anyio.sleep(10)
        assert executor.explain(event).seconds == pytest.approx(90, abs=1)
        executor.set_limit(rate, per=50)
        told = executor.explain(event)
        assert (told.waits_for, told.limit) == (WaitReason.LIMIT, rate)
        assert told.seconds == pytest.approx(40, abs=1)


async def test_with_a_journal(tmp_path):
    """The program says the limit again after a restart; starts that the new window counts are kept."""
    rate = Rate(1, per=10)
    path = tmp_path / "run.db"
    async with open_executor(path, config={"limits": [rate]}) as executor:
        executor.set_limit(rate, 2, per=1000)
        for name in "ab":
            await executor.append(Step(name=name))
        await executor.join()
        with anyio.CancelScope() as scope:
            await executor.append(Step(name="c"))
            await anyio.sleep(1)
            scope.cancel()
        await executor.stop()
    executor = open_executor(path, config={"limits": [Rate(2, per=1000)]})
    async with executor:
        (event,) = executor.pending_events
        await anyio.sleep(100)
        assert event.status is EventStatus.PENDING


@given(
    backend=st.sampled_from(BACKENDS),
    rate=st.builds(Rate, st.integers(1, 4), per=st.integers(1, 9), hold=st.booleans()),
    seconds=st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=1, max_size=20),
    changes=st.lists(
        st.tuples(st.sampled_from([0.0, 0.7, 2.0, 5.0]), st.integers(1, 6), st.none() | st.integers(1, 12)), max_size=6
    ),
)
def test_exact_after_each_change(backend, rate, seconds, changes):
    """
    No event starts that brings the starts of the last `per` seconds above the amount, as both are at that moment.

    Starts that the limit did not count any more when `per` grew are not among them.
    """

    async def main():
        executor = make_executor(limits=rate)
        now_counted, now = [], {"amount": rate.amount, "per": rate.per}

        def prune():
            moment = anyio.current_time()
            is_out = [
                (at, event)
                for at, event in now_counted
                if moment - (at if not rate.hold else ended.get(event.id, inf)) < now["per"] - 1e-9
            ]
            now_counted[:] = is_out

        ended = {}

        def note(event, _, status):
            if status is EventStatus.PROCESSING:
                prune()
                now_counted.append((anyio.current_time(), event))
                assert len(now_counted) <= now["amount"]
            elif status.is_terminal:
                ended[event.id] = anyio.current_time()

        executor.observe(note)
        with record(executor) as trace:
            async with executor:
                for each in seconds:
                    await executor.append(Job(seconds=each), priority=0)
                for wait, amount, per in changes:
                    await anyio.sleep(wait)
                    prune()
                    now["amount"], now["per"] = amount, per or now["per"]
                    executor.set_limit(rate, amount, per=per)
        trace.check(at_rest=True)
        assert counts(executor) == {"completed": len(seconds)}

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)


# -------------------------------------------------------------------- amounts by key


async def times_by_name(executor, names):
    """Append jobs with these names, and give the times of their starts by name."""
    times = {}
    async with executor:
        began = anyio.current_time()
        executor.observe(
            lambda event, _, status: (
                times.setdefault(event.name, []).append(round(anyio.current_time() - began, 1))
                if status == "processing"
                else None
            )
        )
        for name in names:
            await executor.append(Job(name=name, seconds=1), priority=0)
    return times


async def test_an_amount_for_each_key():
    """Each key has its own; `...` stands for all others, and each of these has that amount."""
    executor = make_executor(limits=Rate({"a": 2, "b": 1, ...: 3}, per=10, key="name"))
    times = await times_by_name(executor, "aaabbccccdddd")
    assert times == {"a": [0, 0, 10], "b": [0, 10], "c": [0, 0, 0, 10], "d": [0, 0, 0, 10]}


async def test_an_amount_by_a_function_of_the_key():
    """Also for a limit of concurrency."""
    executor = make_executor(limits=[Concurrent(lambda key: 1 if key == "a" else 2, key="name")])
    times = await times_by_name(executor, "aaabbb")
    assert times == {"a": [0, 1, 2], "b": [0, 0, 1]}


async def test_an_unknown_key():
    """The event is refused where it is appended, before and after the start, and leaves nothing."""
    executor = make_executor(limits=Rate({"small": 5, "large": 1}, per=10, key="name"))
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"no amount for the key 'lrage' \(did you mean 'large'\?\): .* `\.\.\.` stands"
        ):
            await executor.append(Job(name="lrage"))
        assert counts(executor) == {}
        await executor.start()
    await executor.stop()
    check_invariants(executor)


async def test_costs_above_the_amount_of_the_key():
    """What is too much for one key is not for another."""
    limit = Rate({"a": 2, "b": 5}, per=10, key="name", cost="seconds")
    executor = make_executor(limits=[limit])
    async with executor:
        with pytest.raises(ValueError, match="A cost of 3 can never start: the limit allows 2"):
            await executor.append(Job(name="a", seconds=3))
        await executor.append(Job(name="b", seconds=3))
        nobody = Rate({"a": 2}, per=1, key=lambda _: None)
        async with make_executor(limits=nobody) as other:
            await other.append(Job(name="c"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rate({"a": 1}, per=1), "needs key="),
        (lambda: Rate({}, per=1, key="name"), "has no key"),
        (lambda: Rate({"a": 0}, per=1, key="name"), "amount of 'a' must be a positive"),
        (lambda: Rate({...: "3"}, per=1, key="name"), "amount of ... must be a positive"),
        (lambda: Concurrent({"a": 1.5}, key="name"), "limit of 'a' must be"),
        (lambda: Concurrent(lambda _: 1), "needs key="),
        (lambda: Rate("5", per=1, key="name"), "must be a positive"),
        (lambda: Rate(0.5, per=1), "at least 1"),
    ],
)
def test_wrong_amounts(make, message):
    """They are refused when the limit is made."""
    with pytest.raises(ValueError, match=message):
        make()


async def test_a_function_that_returns_nonsense():
    """The event is refused, and the message names the key."""
    executor = make_executor(limits=Rate(lambda _: -1, per=1, key="name"))
    with pytest.raises(ValueError, match="the amount for the key 'a' must be a positive"):
        await executor.append(Job(name="a"))


def test_a_mapping_is_copied():
    """Whoever changes it later changes nothing."""
    amounts = {"a": 1}
    rate = Rate(amounts, per=1, key="name")
    amounts["a"] = 5
    assert rate.amount == {"a": 1}
    assert repr(rate) == "Rate(amount={'a': 1}, per=1, cost=None, key='name', hold=False)"


def test_of_says_it_too():
    """An executor of a function takes such limits as any other."""

    async def call(model):
        return model

    async def main():
        limit = Rate({"small": 2, "large": 1}, per=60, key=lambda event: event.args[0])
        async with Executor.of(call, limits=[limit]) as executor:
            began = anyio.current_time()
            async for _ in executor.map(call, ["small", "small", "large", "large"]):
                pass
            return anyio.current_time() - began

    name, options = backend_options("trio")
    assert anyio.run(main, backend=name, backend_options=options) == pytest.approx(60, abs=1)
