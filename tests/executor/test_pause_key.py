"""Executor.pause(key=, limit=, until=): one key waits, and the others go on."""

from datetime import UTC, datetime, timedelta
from math import nan

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import Step, open_executor
from support import Job, JobProcessor, check_invariants, make_executor, with_processor

from lionpride_exec import Concurrent, ConfigurationError, EventStatus, Rate, RateLimited, Retry, WaitReason
from lionpride_exec.testing import record

pytestmark = pytest.mark.anyio

NAMES = Rate(100, per=1, key="name", name="names")
ALL = Rate(1000, per=1, name="all")


def limited(**config):
    """Make an executor with a limit for each name, and one for all."""
    return make_executor(limits=[NAMES, ALL], **config)


async def test_one_key_waits_and_the_others_go_on():
    """explain(), statistics() and progress() tell of it; resume() ends it at once."""
    executor = limited()
    with record(executor) as trace:
        async with executor:
            for _ in range(20):
                await executor.append(Job(name="b", seconds=1))
            await executor.join()
            executor.pause(key="a", reason="the host is down")
            held = [await executor.append(Job(name="a")) for _ in range(3)]
            other = await executor.append(Job(name="b"))
            await anyio.sleep(100)
            assert other.status is EventStatus.COMPLETED
            told = executor.explain(held[0])
            assert (told.waits_for, told.limit, told.key, told.seconds) == (WaitReason.PAUSED, NAMES, "a", None)
            statistics = executor.statistics()
            assert statistics.waits == {WaitReason.PAUSED: 3}
            assert [(each.key, each.reason, each.refusals) for each in statistics.pauses] == [
                ("a", "the host is down", 0)
            ]
            assert not executor.is_paused
            progress = executor.progress()
            assert (progress.paused_keys, progress.pause_reason) == (1, "the host is down")
            assert progress.seconds_left is None
            str(progress), str(told)
            executor.resume(key="a")
            executor.resume(key="a")
            await held[2].wait()
            assert executor.statistics().pauses == ()
    trace.check(at_rest=True)
    check_invariants(executor)


@pytest.mark.parametrize("how", ["seconds", "until"])
async def test_a_pause_ends_by_itself(how):
    """After so many seconds, or at a time; explain() says when."""
    executor = limited()
    async with executor:
        began = anyio.current_time()
        end = {"seconds": 60} if how == "seconds" else {"until": datetime.now(UTC) + timedelta(seconds=60)}
        executor.pause(key="a", **end)
        event = await executor.append(Job(name="a"))
        await anyio.sleep(10)
        assert executor.explain(event).seconds == pytest.approx(50, abs=1)
        await event.wait()
        assert anyio.current_time() - began == pytest.approx(60, abs=1)


async def test_a_later_pause_counts():
    """It may be shorter, or over already."""
    executor = limited()
    async with executor:
        event = await executor.append(Job(name="a"), delay=1)
        executor.pause(key="a")
        executor.pause(key="a", seconds=20)
        began = anyio.current_time()
        await event.wait()
        assert anyio.current_time() - began == pytest.approx(20, abs=0.1)
        executor.pause(key="a")
        executor.pause(key="a", until=datetime.now(UTC) - timedelta(days=1))
        await (await executor.append(Job(name="a"))).wait()


async def test_a_named_limit():
    """By its name or itself; one without keys holds back all events; a key of one limit is not that of another."""
    other = Concurrent(5, key=lambda event: "a" if event.seconds else None)
    executor = make_executor(limits=[NAMES, ALL, other])
    async with executor:
        executor.pause(limit="all")
        event = await executor.append(Job(name="a"))
        await anyio.sleep(1)
        assert executor.explain(event).waits_for is WaitReason.PAUSED
        assert executor.explain(event).limit is ALL
        executor.resume(limit=ALL)
        await event.wait()
        executor.pause(key="a", limit=other)
        await (await executor.append(Job(name="a"))).wait()
        held = await executor.append(Job(name="b", seconds=1))
        await anyio.sleep(1)
        assert (executor.explain(held).limit, executor.explain(held).key) == (other, "a")
        executor.resume(key="a", limit=NAMES)  # another limit
        await anyio.sleep(1)
        assert held.status is EventStatus.PENDING
        executor.resume(key="a")


async def test_a_partition_is_a_key():
    """Also without limits."""

    class Parted(JobProcessor):
        def partition(self, event):
            return event.name

    executor = with_processor(Parted)
    async with executor:
        executor.pause(key="a")
        held, other = await executor.append(Job(name="a")), await executor.append(Job(name="b"))
        await other.wait()
        assert executor.explain(held).waits_for is WaitReason.PAUSED
        executor.resume(key="a")


async def test_before_the_first_start_and_after_a_stop():
    """A pause holds over both, and can begin and end between two lifetimes."""
    executor = limited()
    executor.pause(key="a")
    event = await executor.append(Job(name="a"))
    await executor.start()
    await anyio.sleep(1)
    assert event.status is EventStatus.PENDING
    await executor.stop()
    executor.pause(key="b")
    executor.resume(key="a")
    other = await executor.append(Job(name="b"))
    await executor.start()
    await event.wait()
    assert other.status is EventStatus.PENDING
    await executor.stop()
    executor.resume(key="b")
    async with executor:
        pass
    assert other.status is EventStatus.COMPLETED


async def test_what_runs_goes_on_and_what_failed_waits():
    """The next attempt of a paused key waits too; what runs does not."""
    executor = limited()
    async with executor:
        running = await executor.append(Job(name="a", seconds=5))
        flaky = await executor.append(Job(name="a", error=ValueError(), retry=Retry(2, backoff=1, jitter=0)))
        await wait_all_tasks_blocked()
        executor.pause(key="a", seconds=60)
        await running.wait()
        assert running.status is EventStatus.COMPLETED
        began = anyio.current_time()
        await flaky.wait()
        assert anyio.current_time() - began == pytest.approx(55, abs=1)


async def test_beside_a_refusal():
    """Each of the two pauses holds by itself; resume() ends its own only."""

    class Refused(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise RateLimited(retry_after=30)

    executor = limited()
    async with executor:
        event = await executor.append(Refused(name="a"))
        await wait_all_tasks_blocked()
        executor.pause(key="a", seconds=10)
        assert len(executor.statistics().pauses) == 2
        executor.resume(key="a")
        began = anyio.current_time()
        await event.wait()
        assert anyio.current_time() - began == pytest.approx(30, abs=1)


async def test_forward_starts_nothing_of_a_paused_key():
    """It goes past the capacity, not past a pause."""
    executor = limited()
    await executor.start()
    await executor.stop()
    executor.pause(key="a")
    held, other = await executor.append(Job(name="a")), await executor.append(Job(name="b"))
    await executor.forward()
    assert (held.status, other.status) == (EventStatus.PENDING, EventStatus.COMPLETED)


async def test_bad_input():
    """Each is refused where it is written, and nothing is paused."""
    executor = limited()
    now = datetime.now(UTC)
    for wrong, message in [
        ({"until": now}, "need a key or a limit"),
        ({"reason": "why"}, "need a key or a limit"),
        ({"key": "a", "until": now, "seconds": 1}, "exclude each other"),
        ({"key": "a", "until": now.replace(tzinfo=None)}, "time zone"),
        ({"key": "a", "seconds": -1}, "seconds must be"),
        ({"key": "a", "seconds": nan}, "seconds must be"),
        ({"limit": "nmaes"}, "no limit 'nmaes' .did you mean 'names'..; its limits: 'names', 'all'"),
        ({"limit": "names"}, "has keys: say which one"),
        ({"limit": ALL, "key": "a"}, "has no keys"),
    ]:
        with pytest.raises(ValueError, match=message):
            executor.pause(**wrong)
    with pytest.raises(TypeError, match="unhashable"):
        executor.pause(key=[])
    with pytest.raises(TypeError, match="until must be a datetime"):
        executor.pause(key="a", until=60)
    with pytest.raises(ConfigurationError, match="no limit has keys"):
        make_executor().pause(key="a")
    async with executor:
        await (await executor.append(Job(name="a"))).wait()
    assert not executor.is_paused


async def test_with_a_journal(tmp_path):
    """The pause is the program's: it is not in the file, and the next process begins without it."""
    with anyio.CancelScope() as scope:
        async with open_executor(tmp_path / "run.db", config={"limits": [Rate(9, per=1, key="name")]}) as executor:
            executor.pause(key="a")
            await executor.append(Step(name="a"))
            await anyio.sleep(1)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(tmp_path / "run.db", config={"limits": [Rate(9, per=1, key="name")]}) as executor:
        await executor.join()
    assert executor.status_counts()["completed"] == 1


async def test_paused_keys_are_forgotten():
    """A thousand keys that were paused for a moment leave nothing."""
    executor = limited()
    async with executor:
        for number in range(1000):
            executor.pause(key=number, seconds=0.001)
            await anyio.sleep(0.002)
        check_invariants(executor)
        assert executor.statistics().pauses == ()
