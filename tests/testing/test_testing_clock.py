"""The clock of the tests: it jumps when all tasks are blocked, and holds still while a thread runs."""

# ruff: noqa: S311  no secrets here
# The sleeps in threads are real, since that is what is tested: threads take real time, and hold the virtual clock.

import asyncio
import gc
import random
import re
import signal
import sys
import threading
import time
from functools import partial
from importlib import import_module
from subprocess import DEVNULL
from types import SimpleNamespace

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ASYNCIO_ONLY

from lionpride_exec import Call, Event, Executor, current_executor
from lionpride_exec.testing import BACKENDS, Deadlock, backend_options, run

pytestmark = pytest.mark.anyio


async def test_an_hour_costs_no_real_time():
    """A sleep of an hour puts the clock forward by an hour (and returns at once, or no test would end)."""
    assert anyio.current_time() == 0
    await anyio.sleep(3600)
    assert anyio.current_time() == pytest.approx(3600)


async def test_each_test_begins_at_zero():
    """The clock of one test knows nothing of the test before it."""
    assert anyio.current_time() == 0


@pytest.mark.parametrize("collects", [True, False])
async def test_the_collector_rests_while_the_threads_are_looked_at(monkeypatch, collects):
    """On CPython 3.11.7, a collection at that moment would never end. A program may have the collector off itself."""
    if not collects:
        gc.disable()
    try:
        rests, disable = [], gc.disable
        monkeypatch.setattr(gc, "disable", lambda: rests.append(disable()))
        await to_thread.run_sync(anyio.from_thread.run, anyio.sleep, 5)
        assert rests
        assert gc.isenabled() is collects
    finally:
        gc.enable()


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
        time.sleep(0.02)  # in a thread, which has no virtual time
        anyio.from_thread.run_sync(called.set)
        time.sleep(0.02)  # likewise

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


# ---------------------------------------------------------------- real input and output


def port_of(listener):
    """Give the port on which a listener listens."""
    return listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  no Django


async def answer_slowly(stream):
    """Be a server that computes for a while, in a thread, before it answers."""
    async with stream:
        asked = await stream.receive()
        await to_thread.run_sync(time.sleep, 0.05)
        await stream.send(asked * 2)


async def test_a_request_over_tcp_is_not_jumped_over():
    """An answer that is under way arrives before a timeout of virtual time, on a connection that was idle as well."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer_slowly)
        with anyio.fail_after(5):
            port = port_of(listener)
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                await client.send(b"ab")
                assert await client.receive() == b"abab"
        group.cancel_scope.cancel()
    assert anyio.current_time() < 5


def under(backend, function, **options):
    """Run a function on the backend of a test, outside of any event loop."""
    return run(function, backend=backend, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_subprocess_is_not_jumped_over(backend):
    """A process that takes its time to start and to answer holds the clock, as long as the patience lasts."""

    async def main():
        with anyio.fail_after(1):
            done = await anyio.run_process([sys.executable, "-c", "print('hello')"])
        assert done.stdout.split() == [b"hello"]
        return anyio.current_time()

    # Patient, since nobody knows how long the start of an interpreter takes here; where all is well it costs nothing.
    assert under(backend, main, io_patience=20) < 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_without_pipes_is_not_jumped_over(backend):
    """The end of a process is waited for, also when it says nothing."""

    async def main():
        with anyio.fail_after(1):
            process = await anyio.open_process(
                [sys.executable, "-c", ""], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
            )
            assert await process.wait() == 0

    under(backend, main, io_patience=20)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_idle_file_does_not_stop_the_clock(backend):
    """With a listening socket and an idle connection, an hour takes the patience, in real time."""

    async def keep(stream):
        async with stream:
            await stream.receive()

    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, keep)
            port = port_of(listener)
            async with await anyio.connect_tcp("127.0.0.1", port):
                for _ in range(3):
                    await anyio.sleep(3600)
            group.cancel_scope.cancel()
        return anyio.current_time()

    assert under(backend, main, io_patience=0.01) == pytest.approx(3 * 3600)


@pytest.mark.parametrize("backend", BACKENDS)
def test_files_that_were_closed_hold_nothing(backend):
    """After the last file was closed, jumps are free again: a thousand do not wait for the patience."""

    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer_slowly)
            port = port_of(listener)
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                await client.send(b"ab")
                await client.receive()
            group.cancel_scope.cancel()
        for _ in range(1000):
            await anyio.sleep(1)

    under(backend, main, io_patience=60)  # a single wait for it would be more than the test has


# ---------------------------------------------------------------- the function run


@pytest.mark.parametrize("backend", BACKENDS)
def test_run_gives_the_result(backend):
    """Arguments go in and the result comes out; the time begins at 0."""

    async def main(*arguments):
        began = anyio.current_time()
        await anyio.sleep(3600)
        return arguments, began, anyio.current_time()

    assert run(main, 1, "two", backend=backend) == ((1, "two"), 0, pytest.approx(3600))


@pytest.mark.parametrize("backend", BACKENDS)
def test_run_raises_what_the_function_raises(backend):
    """An error comes out as it is, and the state of random is as it was."""

    async def main():
        random.random()
        raise KeyError("mine")

    state = random.getstate()
    with pytest.raises(KeyError, match="mine"):
        run(main, backend=backend, seed=1)
    assert random.getstate() == state


def test_run_refuses():
    """A wrong backend and a wrong patience are named, and nothing has run."""
    with pytest.raises(ValueError, match="backend must be one of asyncio, .*got 'twisted'"):
        run(None, backend="twisted")
    for patience in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="io_patience"):
            run(None, io_patience=patience)


def test_a_backend_that_is_not_installed(monkeypatch):
    """The package is named, and how to get it."""
    monkeypatch.setattr("lionpride_exec.testing._time.run.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"backend 'trio' needs trio.*: pip install trio$"):
        backend_options("trio")
    with pytest.raises(ModuleNotFoundError, match="needs uvloop, which is not installed: pip install uvloop"):
        backend_options("asyncio+uvloop")


async def test_run_refuses_inside_a_loop():
    """It starts a loop of its own, and says so."""
    with pytest.raises(RuntimeError, match="cannot be called from inside one"):
        run(anyio.sleep, 1)


async def steps_of_many_tasks():
    """Give the order in which tasks take their steps, some of them at random."""
    order = []

    async def task(number):
        for step in range(5):
            order.append((number, step))
            await (checkpoint() if random.random() < 0.5 else anyio.sleep(random.randrange(3)))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(task, number)
    return order


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seed_repeats_a_run(backend):
    """The same seed gives the same order of everything, another one another."""
    orders = [run(steps_of_many_tasks, backend=backend, seed=seed) for seed in (1, 2, 1, 2, 3)]
    assert orders[0] == orders[2]
    assert orders[1] == orders[3]
    assert len({str(order) for order in orders}) == 3


@pytest.mark.skipif("trio" not in BACKENDS, reason="it is about trio")
def test_a_seed_shuffles_the_scheduler_of_trio():
    """The order of tasks that do nothing at random goes by the seed too; the scheduler is as before afterwards."""
    scheduler = import_module("trio._core._run")

    async def main():
        order = []

        async def task(number):
            await checkpoint()
            order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(task, number)
        return order

    def state():
        return scheduler._r.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING

    before = state()
    orders = [run(main, backend="trio", seed=seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert state() == before


def test_without_a_seed_nothing_is_touched():
    """The numbers of the caller go on."""

    async def main():
        return random.random()

    random.seed(5)
    expected = random.random()
    random.seed(5)
    assert run(main) == expected


@pytest.mark.skipif("trio" not in BACKENDS, reason="it is about trio")
def test_another_trio_is_run_all_the_same(monkeypatch):
    """A trio that draws its order from something else is not seeded."""
    source = random.SystemRandom()
    shuffler = SimpleNamespace(
        random=source.random, shuffle=source.shuffle
    )  # older trios use one, newer ones the other
    monkeypatch.setattr(import_module("trio._core._run"), "_r", shuffler)
    assert run(anyio.lowlevel.checkpoint, backend="trio", seed=3) is None


# ---------------------------------------------------------------- a run that is stuck


async def wait_for_nobody():
    """Wait for what nobody will do."""
    await anyio.Event().wait()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deadlock_is_an_error(backend):
    """When all tasks wait for each other, they are cancelled, and the error names them and where they wait."""
    ended = []

    async def other():
        try:
            await wait_for_nobody()
        finally:
            ended.append("other")

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(other, name="the other one")
            await anyio.sleep(60)
            await wait_for_nobody()

    with pytest.raises(Deadlock) as caught:
        run(main, backend=backend)
    assert "the main task: wait_for_nobody() at " in str(caught.value)
    assert "the other one: wait_for_nobody() at " in str(caught.value)
    assert ended == ["other"]


class Parent(Event):
    """Needs a second slot for its child."""

    number: int

    async def _invoke(self):
        return await current_executor().invoke(Call.of(wait_for_nobody))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deadlock_of_events(backend):
    """The error names each event that runs, the line of the program, and the call of the package in it."""

    async def main():
        async with Executor.of(Event, concurrency_limit=2) as executor:
            await executor.extend([Parent(number=number) for number in range(3)])

    async def wait():
        async with Executor.of(wait_for_nobody) as executor:
            event = await executor.append(Call.of(wait_for_nobody))
            await event.wait()

    with pytest.raises(Deadlock) as caught:
        run(main, backend=backend)
    told = str(caught.value).splitlines()
    workers = [line for line in told if "worker, Parent(" in line]
    assert [f"number={number}" in line for number, line in enumerate(workers)] == [True, True]
    line = re.compile(r"\): Parent\._invoke\(\) at .*test_testing_clock\.py:\d+, in invoke\(\)$")
    assert all(map(line.search, workers))
    assert re.search(r"main\(\) at .*test_testing_clock\.py:\d+, in join\(\)$", told[-1])
    with pytest.raises(Deadlock, match=r"wait\(\) at .*, in wait\(\)") as caught:
        run(wait, backend=backend)
    assert re.search(r"worker, Call\(.*\): wait_for_nobody\(\) at .*test_testing_clock", str(caught.value))


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "trio"])
def test_a_deadlock_within_a_shield(backend):
    """What the cancellation does not reach ends with the loop; but trio complains about what is left of it."""

    async def main():
        with anyio.CancelScope(shield=True):
            await wait_for_nobody()

    with pytest.raises(Deadlock):
        run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_deadlock_while_something_may_come(backend):
    """A thread of anyio, one of the program, a file, a signal, and a wait for the others to block are none."""

    async def main():
        await to_thread.run_sync(time.sleep, 0.02)
        token = anyio.lowlevel.current_token()
        called = anyio.Event()

        def call():
            time.sleep(0.02)  # in a thread, which has no virtual time
            anyio.from_thread.run_sync(called.set, token=token)

        thread = threading.Thread(target=call)
        thread.start()
        await called.wait()
        thread.join()
        await wait_all_tasks_blocked()
        if threading.current_thread() is threading.main_thread():
            with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
                timer = threading.Timer(0.02, signal.raise_signal, (signal.SIGUSR1,))
                timer.start()
                async for _ in signals:
                    break
            timer.join()

    run(main, backend=backend)
