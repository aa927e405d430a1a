"""The clock of the tests: it jumps when all tasks are blocked, and holds still while a thread runs."""

import asyncio
import time
from functools import partial

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ASYNCIO_ONLY

pytestmark = pytest.mark.anyio


async def test_an_hour_costs_no_real_time():
    """A sleep of an hour puts the clock forward by an hour (and returns at once, or no test would end)."""
    assert anyio.current_time() == 0
    await anyio.sleep(3600)
    assert anyio.current_time() == pytest.approx(3600)


async def test_each_test_begins_at_zero():
    """The clock of one test knows nothing of the test before it."""
    assert anyio.current_time() == 0


async def test_the_longest_sleeps():
    """Neither the longest wait of a selector nor the spacing of large floats stops the clock."""
    for seconds in (1e6, 0.1, 1e9, 0.1, 1e-6):
        due = anyio.current_time() + seconds
        await anyio.sleep(seconds)
        assert anyio.current_time() == pytest.approx(due, rel=1e-15, abs=1e-6)


async def test_timers_come_in_order():
    """Tasks wake in the order of their times, whatever the order of their starts, each at its time."""
    woken = []

    async def sleeper(seconds):
        await anyio.sleep(seconds)
        woken.append((seconds, round(anyio.current_time(), 6)))

    async with anyio.create_task_group() as group:
        for seconds in (7, 1, 5, 3, 1000, 2):
            group.start_soon(sleeper, seconds)
    assert woken == [(seconds, seconds) for seconds in (1, 2, 3, 5, 7, 1000)]


async def test_nothing_jumps_while_something_can_run():
    """A timer waits until all tasks are blocked, however often a task yields."""
    with anyio.move_on_after(1) as scope:
        for _ in range(200):
            await checkpoint()
    assert not scope.cancelled_caught
    assert anyio.current_time() == 0


async def test_a_timeout_and_its_deadline():
    """A scope is cancelled at its deadline, and the timer of a scope that was left moves nothing."""
    with anyio.fail_after(500):
        await anyio.sleep(1)
    with anyio.move_on_after(10) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() == pytest.approx(11)


async def test_wait_all_tasks_blocked_comes_before_the_jump():
    """Who waits for the others to block wakes before their timers, and may take at most 0.1 s."""
    woken = []

    async def sleeper():
        await anyio.sleep(1)
        woken.append("sleeper")

    async with anyio.create_task_group() as group:
        group.start_soon(sleeper)
        await wait_all_tasks_blocked()
        assert not woken
        assert anyio.current_time() <= 0.1


@pytest.mark.parametrize("limited", [False, True])
async def test_a_worker_thread_holds_the_clock(limited):
    """While threads run, no timer fires, though tasks wait for some; afterwards the clock goes on."""
    woken = []

    async def sleeper():
        await anyio.sleep(1)
        woken.append("sleeper")

    async def caller(seconds):
        limiter = anyio.CapacityLimiter(1) if limited else None
        await to_thread.run_sync(time.sleep, seconds, limiter=limiter)
        woken.append(seconds)
        assert anyio.current_time() == 0

    async with anyio.create_task_group() as group:
        group.start_soon(sleeper)
        for seconds in (0.1, 0.02):
            group.start_soon(caller, seconds)
    assert woken == [0.02, 0.1, "sleeper"]
    assert anyio.current_time() == pytest.approx(1)


async def test_many_short_calls_in_threads():
    """However soon a thread ends, its result arrives before the clock moves."""
    with anyio.move_on_after(1) as scope:
        for number in range(300):
            assert await to_thread.run_sync(int, number) == number
    assert not scope.cancelled_caught
    assert anyio.current_time() == 0
    await anyio.sleep(1)


async def test_an_idle_worker_thread_holds_nothing():
    """A thread that has done its work and waits for more does not hold the clock."""
    await to_thread.run_sync(int)
    await anyio.sleep(3600)
    assert anyio.current_time() == pytest.approx(3600)


async def test_a_thread_calls_the_loop_back():
    """A thread reaches its loop, also while tasks wait for timers."""
    called = anyio.Event()

    async def sleeper():
        await anyio.sleep(5)

    def work():
        time.sleep(0.02)
        anyio.from_thread.run_sync(called.set)
        time.sleep(0.02)

    async with anyio.create_task_group() as group:
        group.start_soon(sleeper)
        group.start_soon(to_thread.run_sync, work)
        await called.wait()
        assert anyio.current_time() == 0


async def test_without_a_timer_the_loop_waits_for_a_thread():
    """With nothing to jump to, the loop waits in real time."""
    began = time.perf_counter()
    await to_thread.run_sync(time.sleep, 0.05)
    assert time.perf_counter() - began >= 0.05


async def test_a_waiter_for_a_thread_slot_holds_nothing():
    """A call that waits for its limiter, which a sleeping task has, does not stop the clock."""
    limiter = anyio.CapacityLimiter(1)

    async def keeper():
        async with limiter:
            await anyio.sleep(10)

    async with anyio.create_task_group() as group:
        group.start_soon(keeper)
        await wait_all_tasks_blocked()
        await to_thread.run_sync(int, limiter=limiter)
    assert anyio.current_time() == pytest.approx(10)


async def test_asyncio_to_thread_holds_the_clock(anyio_backend_name):
    """The threads of asyncio itself count as well."""
    if anyio_backend_name == "asyncio":
        with anyio.move_on_after(1) as scope:
            await asyncio.to_thread(time.sleep, 0.05)
        assert not scope.cancelled_caught
    await anyio.sleep(1)
    assert anyio.current_time() == pytest.approx(1)


@ASYNCIO_ONLY
async def test_callbacks_of_an_asyncio_loop():
    """The timers of the loop itself keep their order, times, arguments and cancellation."""
    loop = asyncio.get_running_loop()
    called = []
    loop.call_later(2, called.append, "later")
    loop.call_at(1, called.append, "at")
    loop.call_later(0, called.append, "now")
    loop.call_later(1.5, called.append, "never").cancel()
    loop.call_soon(called.append, "soon")
    await asyncio.sleep(3)
    assert called == ["soon", "now", "at", "later"]
    async with asyncio.timeout(5) as timeout:
        await asyncio.sleep(1)
    assert timeout.when() == 8


@settings(max_examples=10)
@given(seconds=st.lists(st.integers(0, 10**6), max_size=5))
async def test_hypothesis_runs_under_the_clock(seconds):
    """An async test may take its arguments from hypothesis, whose examples share the clock on trio."""
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for each in seconds:
            group.start_soon(partial(anyio.sleep, each))
    assert anyio.current_time() - began == pytest.approx(max(seconds, default=0))
