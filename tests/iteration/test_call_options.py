"""A timeout, a retry, a priority and a key for functions: of the executor, of a map, of one call; and starmap()."""

from math import nan

import anyio
import pytest
from support import Job, counts, make_executor

from lionpride_exec import Call, ConfigurationError, EventStatus, Executor, Journal, Rate, Retry

pytestmark = pytest.mark.anyio


async def sleep(seconds):
    """Stand for a call of this many seconds."""
    await anyio.sleep(seconds)
    return seconds


class Flaky:
    """Fails for the first calls."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    async def __call__(self, item):
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(item)
        return item


async def add(first, second=0, *more):
    """Take several arguments."""
    return first + second + sum(more)


async def test_the_timeout_of_an_executor_is_for_all_its_events():
    """An event with a timeout of its own keeps it; the record says which was over."""
    async with Executor.of(sleep, timeout=5) as executor:
        calls = [
            await executor.append(Call.of(sleep, 4)),
            await executor.append(Call.of(sleep, 6)),
            await executor.append(Call.of(sleep, 6).with_options(timeout=7)),
            await executor.append(Call.of(sleep, 4).with_options(timeout=3)),
        ]
    assert [call.status for call in calls] == ["completed", "cancelled", "completed", "cancelled"]
    assert "timed out after 5s" in str(calls[1].execution.error)
    assert "timed out after 3s" in str(calls[3].execution.error)
    assert calls[1].timeout is None


async def test_the_timeout_of_an_executor_holds_at_each_attempt():
    """A run that was too long is retried, like any that is over its timeout."""
    async with Executor.of(sleep, timeout=5, retry=Retry(2, backoff=1)) as executor:
        call = await executor.append(Call.of(sleep, 9))
    assert (call.status, call.execution.attempt) == ("cancelled", 2)
    assert [type(attempt.error).__name__ for attempt in call.execution.attempts] == ["LionTimeoutError"]


async def test_an_event_that_is_invoked_by_hand_has_no_timeout_of_the_executor():
    """As with the retry of an executor: it is for what the executor runs."""
    executor = make_executor(timeout=5)
    event = await executor.append(Job(seconds=9))
    await event.invoke()
    assert event.status == "completed"


async def test_the_timeout_of_an_executor_after_a_restart(tmp_path):
    """It is not stored: the next executor has its own."""
    path = tmp_path / "run.db"
    async with Executor.of(sleep, journal=Journal(path), timeout=5) as executor:
        executor.pause()
        call = await executor.append(Call.of(sleep, 8), key="one")
        await executor.stop()
    async with Executor.of(sleep, journal=Journal(path), timeout=9) as executor:
        known = await executor.append(Call.of(sleep, 8), key="one")
        await known.wait()
    assert (known.id, known.status) == (call.id, "completed")


@pytest.mark.parametrize("value", [0, -1, nan, "5", True])
async def test_a_wrong_timeout_is_refused_where_it_is_written(value):
    """By of(), the class, map() and with_options(); nothing has changed."""
    call = Call.of(sleep, 1)
    executor = Executor.of(sleep)
    for make in (
        lambda: Executor.of(sleep, timeout=value),
        lambda: make_executor(timeout=value),
        lambda: executor.map(sleep, [1], timeout=value),
        lambda: executor.starmap(add, [(1,)], timeout=value),
        lambda: call.with_options(timeout=value, retry=Retry(2)),
    ):
        with pytest.raises(ValueError, match="timeout must be"):
            make()
    assert (call.timeout, call.retry, counts(executor)) == (None, None, {})


async def test_a_wrong_retry_is_refused_where_it_is_written():
    """Likewise."""
    call = Call.of(sleep, 1)
    with pytest.raises(ConfigurationError, match="retry must be a Retry"):
        Executor.of(sleep, retry=3)
    with pytest.raises(ValueError, match="retry must be a Retry"):
        Executor.of(sleep).map(sleep, [1], retry=3)
    with pytest.raises(ValueError, match="retry must be a Retry"):
        call.with_options(timeout=5, retry=3)
    assert (call.timeout, call.retry) == (None, None)


def test_with_options_returns_the_event():
    """It is the same event; an option that is not given stays."""
    call, retry = Call.of(sleep, 1), Retry(3)
    assert call.with_options(timeout=5) is call
    assert call.with_options(retry=retry) is call
    assert (call.timeout, call.retry) == (5, retry)


async def test_options_of_a_map():
    """Each call has them, also of an async source; an event that is an item keeps its own."""
    retry = Retry(3, backoff=1)
    async with Executor.of(sleep) as executor:
        ends = [call async for call in executor.map(sleep, [1, 9], timeout=5, ordered=True)]
        flaky = Flaky(2)
        (known,) = [call async for call in executor.map(flaky, ["a"], retry=retry)]
    assert [call.status for call in ends] == ["completed", "cancelled"]
    assert (known.result(), known.execution.attempt, known.retry) == ("a", 3, retry)
    own = Job(seconds=9)
    async with make_executor() as executor:
        items = [own, {"seconds": 9}, {"seconds": 9, "timeout": 20}]
        ends = [event async for event in executor.map(Job, items, timeout=5, ordered=True)]
    assert [event.status for event in ends] == ["completed", "cancelled", "completed"]
    assert own.timeout is None


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_priority_of_an_item(is_async):
    """A function of the item says it; None is the default, which comes last."""
    started = []

    async def note(item):
        started.append(item)

    async def source():
        for item in items:
            yield item

    items = [3, None, 1, 2]
    executor = Executor.of(note, concurrency_limit=1)
    async with executor:
        executor.pause()

        async def consume():
            async for _ in executor.map(note, source() if is_async else items, priority=lambda item: item, lookahead=9):
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await anyio.sleep(1)
            executor.resume()
    assert started == [1, 2, 3, None]


async def test_a_priority_that_fails_ends_the_map():
    """As a key that fails does: what was started is returned first."""
    async with Executor.of(sleep) as executor:
        results = []
        with pytest.raises(ZeroDivisionError):
            async for call in executor.map(sleep, [1, 0], priority=lambda item: 1 / item):
                results.append(call.result())  # noqa: PERF401  what came before the error is looked at
    assert results == [1]
    with pytest.raises(ValueError, match="Priority must be finite"):
        executor.map(sleep, [1], priority=nan)


async def test_starmap():
    """Each item has all arguments; the options are those of map(), whose functions get the item."""
    async with Executor.of(add, limits=Rate(100, per=1)) as executor:
        calls = [call async for call in executor.starmap(add, [(1, 2), [3], (1, 2, 3, 4)], ordered=True)]
        assert [call.result() for call in calls] == [3, 3, 10]
        assert [call.args for call in calls] == [(1, 2), (3,), (1, 2, 3, 4)]
        keyed = [call async for call in executor.starmap(add, [(1, 2), (1, 2)], key=lambda item: item, timeout=5)]
        assert [call.timeout for call in keyed] == [5, 5]
    assert len({call.id for call in keyed}) == 1


async def test_starmap_of_an_async_source_and_a_plain_function():
    """As map() does."""

    async def source():
        yield 1, 2
        yield 5, 6

    def plain(first, second):
        return first * second

    async with Executor.of(plain) as executor:
        results = [call.result() async for call in executor.starmap(plain, source(), ordered=True)]
    assert results == [2, 30]


async def test_what_starmap_refuses():
    """A class, a word that is none of its options, an item that is not iterable."""
    executor = make_executor()
    with pytest.raises(TypeError, match=r"the fields of Job have names, so use map\(\)"):
        executor.starmap(Job, [()])
    with pytest.raises(TypeError, match=r"no keyword argument 'orderd' \(did you mean 'ordered'\?\)"):
        executor.starmap(add, [()], orderd=True)
    with pytest.raises(TypeError, match="target must be"):
        executor.starmap(3, [()])
    async with Executor.of(add) as calls:
        with pytest.raises(TypeError, match="not iterable"):
            await anext(calls.starmap(add, [3]))
        assert calls.status_counts()[EventStatus.PENDING] == 0
