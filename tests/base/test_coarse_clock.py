"""
Times on an event loop whose clock is coarse, as that of uvloop is.

The loop of these tests is one of asyncio in virtual time whose ``time()`` counts whole milliseconds, rounded down, and
which rounds the time of a timer to the nearest millisecond, both as uvloop does. ``now`` is the exact time.
"""

import asyncio
import math
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from parts import backend, clock

from lionpride_exec import Event, Executor, Processor, Rate, Retry, Wait

VirtualClockLoop = clock.VirtualClockLoop

EARLY = 0.0009  # how far the exact time is ahead of the clock of the loop when a test begins
TIMER = 0.00001  # what it costs to set a timer


class CoarseLoop(VirtualClockLoop):
    """A loop in virtual time with the clock and the timers of uvloop."""

    def __init__(self, began):
        super().__init__(io_patience=0, watch=None)
        self.timers = 0
        self.jump(began)
        backend._fine_clocks[self] = lambda: self.now

    def time(self):
        return math.floor(self.now * 1000) / 1000

    def call_at(self, when, callback, *args, context=None):
        self.timers += 1
        self.jump(self.now + TIMER)
        ticks = round(min(when - self.time(), 1e8) * 1000)
        if ticks <= 0:
            return self.call_soon(callback, *args, context=context)
        return super().call_at(round(self.time() * 1000 + ticks) / 1000, callback, *args, context=context)


def run(function):
    """Run an async function on that loop, once for each of some moments within a millisecond; give the results."""
    return [
        anyio.run(function, backend_options={"loop_factory": partial(CoarseLoop, 100 + tenth / 10_000)})
        for tenth in range(10)
    ]


def assert_exact(gaps, seconds):
    """Check that nothing came too early, and all came within two ticks and what the test itself takes."""
    assert seconds <= min(gaps)
    assert max(gaps) < seconds + 0.003


def now():
    """Return the exact time."""
    return asyncio.get_running_loop().now


def pass_time(seconds):
    """Have some time pass while a task works."""
    loop = asyncio.get_running_loop()
    loop.jump(loop.now + seconds)


class Timed(Event):
    """Notes the exact times at which each of its runs began and ended."""

    fails: int = 0
    runs: object = None

    async def _invoke(self):
        began = now()
        await anyio.lowlevel.checkpoint()
        pass_time(EARLY)
        self.runs.append((began, now()))
        if len(self.runs) <= self.fails:
            raise ValueError


async def starts_and_ends(**options):
    """Return the times of two events, the second as soon as it may, while something else keeps the loop awake."""
    runs = []

    async def busy():
        while True:
            await anyio.lowlevel.checkpoint()
            pass_time(0.0001)

    async with anyio.create_task_group() as group:
        group.start_soon(busy)
        async with Executor.of(Timed, concurrency_limit=1, **options) as executor:
            await executor.extend(Timed(runs=runs) for _ in range(2))
        group.cancel_scope.cancel()
    return runs


@pytest.mark.parametrize("per", [0.125, 0.0103])
@pytest.mark.parametrize("hold", [False, True])
def test_a_rate_is_exact_by_a_finer_clock(hold, per):
    """The second start is a period after the first start, or with hold=True after the first end, and not earlier."""
    pairs = run(lambda: starts_and_ends(limits=Rate(1, per=per, hold=hold)))
    assert_exact([later - (ended if hold else began) for (began, ended), (later, _) in pairs], per)


def test_a_capacity_window_is_exact_by_a_finer_clock():
    """The second start is a window after the first, and not earlier."""
    pairs = run(lambda: starts_and_ends(queue_capacity=1, capacity_refresh_time=0.125))
    assert_exact([later - began for (began, _), (later, _) in pairs], 0.125)


def test_a_delay_is_not_cut_short():
    """An event starts no sooner than its delay after append()."""

    async def main():
        runs = []
        async with Executor.of(Timed) as executor:
            appended = now()
            await executor.append(Timed(runs=runs), delay=0.125)
        return runs[0][0] - appended

    assert_exact(run(main), 0.125)


def test_a_backoff_is_not_cut_short():
    """A retry starts no sooner than its backoff after the end of the run that failed."""

    async def main():
        runs = []
        async with Executor.of(Timed, retry=Retry(2, backoff=0.125, jitter=0)) as executor:
            await executor.append(Timed(runs=runs, fails=1))
        return runs[1][0] - runs[0][1]

    assert_exact(run(main), 0.125)


@pytest.mark.parametrize("answer", [False, Wait(1.0)])
def test_a_gate_is_not_asked_again_too_early(answer):
    """A second passes between an answer and the next question, and not less."""

    class Gated(Processor):
        event_type = Timed

        async def request_permission(self, **_):
            pass_time(EARLY)
            self.asked.append(now())
            return answer if len(self.asked) == 1 else True

    class GatedExecutor(Executor):
        processor_type = Gated

    async def main():
        config = {"queue_capacity": 10, "capacity_refresh_time": 0.01}
        async with GatedExecutor(processor_config=config) as executor:
            executor.processor.asked = asked = []
            await executor.append(Timed(runs=[]))
        return asked[1] - EARLY - asked[0]

    assert_exact(run(main), 1.0)


class Endless(Event):
    """Notes when it begins and when it is cancelled."""

    times: object = None

    async def _invoke(self):
        self.times.append(now())
        try:
            await anyio.sleep_forever()
        finally:
            self.times.append(now())


class EndlessStream(Event):
    """The same, as a stream without a chunk."""

    times: object = None

    async def _invoke(self):
        self.times.append(now())
        try:
            await anyio.sleep_forever()
            yield
        finally:
            self.times.append(now())


@pytest.mark.parametrize(
    ("cls", "option"), [(Endless, "timeout"), (EndlessStream, "timeout"), (EndlessStream, "idle_timeout")]
)
def test_a_timeout_is_not_cut_short(cls, option):
    """An event is cancelled no sooner than its timeout after its start."""

    async def main():
        times = []
        async with Executor.of(cls) as executor:
            await executor.append(cls(times=times, **{option: 0.125}))
        return times[1] - times[0]

    assert_exact(run(main), 0.125)


def test_a_grace_is_not_cut_short():
    """What runs is cancelled no sooner than the grace after stop() was called."""

    async def main():
        times = []
        executor = Executor.of(Endless)
        await executor.start()
        await executor.append(Endless(times=times))
        await anyio.sleep(0.01)
        pass_time(EARLY)
        stopped = now()
        await executor.stop(grace=0.125)
        return times[1] - stopped

    assert_exact(run(main), 0.125)


def test_a_paced_executor_sets_few_timers():
    """Each event costs a few timers, also where the times between starts are no whole milliseconds."""

    async def main():
        async with Executor.of(Timed, limits=Rate(1, per=0.0103)) as executor:
            await executor.extend(Timed(runs=[]) for _ in range(50))
        return asyncio.get_running_loop().timers

    assert max(run(main)) <= 2 * 50 + 5


@pytest.mark.anyio
async def test_virtual_clocks_are_exact(anyio_backend):
    """In virtual time an executor reads the clock that anyio.current_time() reads."""
    assert backend.current_time() == anyio.current_time()
    assert backend.scope_deadline(1.00001) == 1.00001


def test_the_clock_of_uvloop_is_coarse():
    """A loop of uvloop gets a finer clock, which is not behind its own; a loop of asyncio does not."""
    uvloop = pytest.importorskip("uvloop")

    async def main():
        return [(backend.current_time(), asyncio.get_running_loop().time(), backend.current_time()) for _ in range(100)]

    for before, own, after in anyio.run(main, backend_options={"use_uvloop": True}):
        assert before <= after
        assert own <= after
    loops = [uvloop.new_event_loop(), asyncio.SelectorEventLoop()]
    coarse = [backend._is_coarse(loop) for loop in loops]
    for loop in loops:
        loop.close()
    assert coarse == [True, False]
