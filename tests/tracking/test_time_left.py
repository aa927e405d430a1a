"""Progress.seconds_left: within a factor of two of the truth, whatever limits the starts."""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import scheduling_forecast, scheduling_limit_state

from lionpride_exec import Call, Concurrent, Executor, Rate, RateLimited, Retry
from lionpride_exec.testing import BACKENDS, run

_last_start = scheduling_forecast._last_start
LimitState = scheduling_limit_state.LimitState

pytestmark = pytest.mark.anyio


async def work(seconds):
    await anyio.sleep(seconds)


def by_remainder(modulus):
    """Make a key function: calls are numbered by their second argument."""
    return lambda call: call.args[1] % modulus


async def numbered(seconds, _number):
    await anyio.sleep(seconds)


async def watch(executor, feed, every, begin):
    """Return the time at the end, and the times told until then."""
    seen = []

    async def look():
        await anyio.sleep(begin)
        while True:
            seen.append((anyio.current_time(), executor.progress().seconds_left))
            await anyio.sleep(every)

    async with executor, anyio.create_task_group() as group:
        group.start_soon(look)
        await feed(executor)
        await executor.join()
        end = anyio.current_time()
        group.cancel_scope.cancel()
    return end, seen


def calls(number, seconds):
    """Make a function that appends so many calls."""

    async def feed(executor):
        await executor.extend([Call.of(numbered, seconds, n) for n in range(number)], priority=0)

    return feed


def mapped(number, seconds):
    """Make a function that maps over so many calls."""

    async def feed(executor):
        async for _ in executor.map(work, [seconds] * number):
            pass

    return feed


SCENARIOS = {
    "a rate with a burst at first": ({"limits": Rate(200, per=60)}, calls(900, 1), 1, 0),
    "a rate, looked at from the middle of a pause on": ({"limits": Rate(200, per=60)}, calls(900, 1), 1, 30.5),
    "a rate, by map": ({"limits": Rate(200, per=60)}, mapped(900, 1), 1, 0),
    "a smooth rate": ({"limits": Rate(10, per=1)}, calls(900, 1), 1, 0),
    "a period longer than a minute": ({"limits": Rate(100, per=600)}, calls(450, 1), 5, 0),
    "two rates": ({"limits": [Rate(10, per=1), Rate(300, per=60)]}, calls(900, 0.5), 1, 0),
    "a rate that the slots do not use up": (
        {"limits": Rate(500, per=60), "concurrency_limit": 10},
        calls(900, 2),
        1,
        0,
    ),
    "slots and rate in turn": ({"limits": Rate(100, per=100), "concurrency_limit": 10}, calls(450, 5), 1, 0),
    "a rate that is held": ({"limits": Rate(50, per=10, hold=True)}, calls(450, 5), 1, 0),
    "costs": ({"limits": Rate(1000, per=10, cost=lambda call: 1 + call.args[1] % 40)}, calls(900, 1), 1, 0),
    "a concurrent": ({"limits": Concurrent(5)}, calls(300, 3), 1, 0),
    "capacity": ({"queue_capacity": 50, "capacity_refresh_time": 30.0}, calls(450, 1), 1, 0),
    "keys": ({"limits": Rate(5, per=1, key=by_remainder(3))}, calls(900, 1), 1, 0),
    "a busy key": ({"limits": Rate(60, per=60, key=lambda call: call.args[1] % 10 > 0)}, calls(600, 1), 1, 0),
    "slots": ({"concurrency_limit": 10}, mapped(900, 2), 1, 0),
    "long runs": ({"limits": Rate(10, per=1)}, calls(450, 200), 5, 0),
}


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_time_left_is_within_a_factor_of_two(backend, name):
    """From the first end on, give or take some seconds near the end; before that nothing, rather than too little."""
    config, feed, every, begin = SCENARIOS[name]
    executor = Executor.of(numbered, **{"max_queue_size": 2000} | config)
    end, seen = run(watch, executor, feed, every, begin, backend=backend)
    known = [(at, left) for at, left in seen if left is not None]
    assert len(known) > 0.7 * len(seen) or name == "long runs"
    settled = [(at, left) for at, left in known if 6 < at < end - 6]
    assert settled
    wrong = [(at, left, end - at) for at, left in settled if not (end - at) / 2 - 2 <= left <= 2 * (end - at) + 2]
    assert wrong == []


@pytest.mark.parametrize("config", [{"queue_capacity": 50, "capacity_refresh_time": 1.0}, {"limits": Rate(50, per=1)}])
async def test_at_the_first_look_limits_that_hold_up_nothing_tell_no_time(config):
    """They would allow the rest in a few seconds, but nobody knows how long a run takes."""
    async with Executor.of(numbered, concurrency_limit=5, **config) as executor:
        await calls(200, 1)(executor)
        await anyio.sleep(5.5)
        assert executor.progress().seconds_left is None
        await anyio.sleep(2)
        assert executor.progress().seconds_left == pytest.approx(33, abs=4)


async def test_at_the_first_look_a_limit_that_holds_up_everything_tells_the_time():
    """However short the runs are, the last one starts then."""
    async with Executor.of(numbered, limits=Rate(50, per=60)) as executor:
        await calls(200, 0.1)(executor)
        await anyio.sleep(20)
        assert executor.progress().seconds_left == pytest.approx(160, abs=2)


async def test_delays_are_waited_for():
    """The time left is that until the last of them is due, at least."""
    async with Executor.of(work) as executor:
        await executor.append(Call.of(work, 1))
        executor.progress()
        await anyio.sleep(2)
        late = await executor.append(Call.of(work, 1), delay=500)
        assert executor.progress().seconds_left == pytest.approx(501, abs=2)
        executor.cancel(late)


async def test_a_retry_is_waited_for():
    """Likewise for what runs again later."""

    async def fail():
        raise OSError

    async with Executor.of(work, retry=Retry(2, backoff=300, max_backoff=300, jitter=0)) as executor:
        await executor.append(Call.of(work, 1))
        executor.progress()
        await executor.append(Call.of(fail))
        await anyio.sleep(2)
        assert executor.progress().seconds_left == pytest.approx(299, abs=2)


async def test_a_pause_asked_for_by_the_other_side_is_waited_for():
    """RateLimited closes what all share."""

    async def refuse():
        raise RateLimited(retry_after=400)

    async with Executor.of(work) as executor:
        await executor.append(Call.of(work, 1))
        executor.progress()
        await anyio.sleep(2)
        refused = await executor.append(Call.of(refuse))
        await anyio.sleep(1)
        assert executor.progress().seconds_left >= 398
        executor.cancel(refused)


async def test_nothing_is_told_while_paused_or_stopped():
    """Nobody knows for how long; what was paused does not count for the pace afterwards."""
    async with Executor.of(work, concurrency_limit=1) as executor:
        await executor.extend([Call.of(work, 1) for _ in range(100)], priority=0)
        await anyio.sleep(0.5)  # the events end between the calls, not at the same moment
        for _ in range(20):
            executor.progress()
            await anyio.sleep(1)
        executor.pause()
        assert executor.progress().seconds_left is None
        await anyio.sleep(50)
        assert executor.progress().seconds_left is None
        executor.resume()
        assert executor.progress().seconds_left == pytest.approx(79, abs=10)
        await executor.stop()
        assert executor.progress().seconds_left is None
        await executor.start()
        await anyio.sleep(3)
        assert executor.progress().seconds_left == pytest.approx(76, abs=10)


async def test_what_is_to_come_counts():
    """Events that the caller knows of take part in total, fraction, and the time left."""
    async with Executor.of(work, limits=Rate(10, per=1)) as executor:
        await executor.extend([Call.of(work, 0) for _ in range(50)], priority=0)
        executor.progress()
        await anyio.sleep(2.5)
        progress = executor.progress(to_come=950)
        assert (progress.total, progress.done, progress.is_total_known) == (1000, 30, True)
        assert progress.seconds_left == pytest.approx(97, abs=2)


@pytest.mark.parametrize("number", [-1, float("nan"), float("inf"), "1", None, True])
def test_other_numbers_to_come_are_refused(number):
    """A ValueError that names the argument."""
    with pytest.raises(ValueError, match="to_come must be a finite number, 0 or more"):
        Executor.of(work).progress(to_come=number)


# -------------------------------------------------------------------- the total of a map


class Guess:
    """An iterable that guesses its length."""

    def __init__(self, number, guess):
        self.number = number
        self.guess = guess

    def __iter__(self):
        return iter([1.0] * self.number)

    def __length_hint__(self):
        if isinstance(self.guess, Exception):
            raise self.guess
        return self.guess


def generator(number):
    yield from [1.0] * number


async def async_generator(number):
    for item in generator(number):
        yield item


@pytest.mark.parametrize(
    ("items", "options", "total"),
    [
        (lambda: [1.0] * 90, {}, 90),
        (lambda: iter([1.0] * 90), {}, 90),
        (lambda: Guess(90, 90), {}, 90),
        (lambda: Guess(90, 100), {}, 100),
        (lambda: generator(90), {"total": 90}, 90),
        (lambda: async_generator(90), {"total": 90}, 90),
        (lambda: [1.0] * 90, {"total": 95}, 95),
        (lambda: generator(90), {}, None),
        (lambda: async_generator(90), {}, None),
        (lambda: Guess(90, RuntimeError("no idea")), {}, None),
        (lambda: Guess(90, 3), {}, None),
        (lambda: generator(90), {"total": 3}, None),
    ],
)
@pytest.mark.parametrize("ordered", [False, True])
async def test_the_total_of_a_map(items, options, total, ordered):
    """It is what is given or what the source says; while neither is known, the time left is not told."""
    async with Executor.of(work, concurrency_limit=3) as executor:
        seen = 0
        async for _ in executor.map(work, items(), ordered=ordered, **options):
            seen += 1
            progress = executor.progress()
            if seen == 45:
                assert progress.is_total_known is (total is not None)
                assert progress.total == total or (total is None and 45 < progress.total <= 51)
                assert (progress.seconds_left is None) is (total is None)
                if total is not None:
                    assert progress.seconds_left == pytest.approx((total - 45) / 3, abs=3)
        assert executor.progress().total == executor.progress().done == 90
        assert executor.progress().is_total_known


@pytest.mark.parametrize("total", [-1, 1.5, True, "3"])
def test_other_totals_are_refused(total):
    """At once."""
    with pytest.raises(ValueError, match="total must be an integer, 0 or more"):
        Executor.of(work).map(work, [], total=total)


async def test_a_map_that_was_left_counts_no_more():
    """Nothing of it is to come."""
    async with Executor.of(work, concurrency_limit=3) as executor:
        async for _ in executor.map(work, [1.0] * 90):
            break
        await anyio.sleep(1)
        assert executor.progress().total == executor.progress().done


def test_a_line_for_people_while_the_total_is_not_known():
    """No share is told."""

    async def main():
        async with Executor.of(work, concurrency_limit=1) as executor:
            mapped_over = executor.map(work, generator(9))
            await anext(mapped_over)
            shown = str(executor.progress())
            await mapped_over.aclose()
            return shown

    assert run(main).startswith("1 of 2 or more done  ")  # the second may have begun: a worker yields by real time


# -------------------------------------------------------------------- a bucket


@settings(max_examples=300, deadline=None)
@given(
    limit=st.builds(Rate, st.integers(1, 8), st.integers(1, 10)),
    before=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), max_size=8),
    number=st.integers(1, 40),
    closed=st.none() | st.integers(0, 30),
)
def test_the_last_start_is_that_of_a_simulation(limit, before, number, closed):
    """In closed form as by one start after the other, each as early as the rate allows."""
    state, other = LimitState(limit), LimitState(limit)
    for at, cost in sorted(before):
        if cost <= limit.amount and state.free_at(cost, at) <= at:
            state.take(cost, at)
            other.take(cost, at)
    now = 10.0
    state.closed_until = other.closed_until = -1.0 if closed is None else closed
    told, _ = _last_start(state, number, 0.0, now)
    last = now
    for _ in range(number):
        last = max(last, other.free_at(1, last))
        other.refresh(last)
        other.take(1, last)
    assert told == pytest.approx(last)
