"""When an event starts: limits, costs, priorities and delays at their edges."""

from collections import deque

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from support import (
    Job,
    counts,
    make_executor,
)

from lionpride_exec import (
    AccessError,
    Concurrent,
    EventFailed,
    EventStatus,
    Rate,
)
from lionpride_exec.testing import BACKENDS, backend_options, run

pytestmark = pytest.mark.anyio


async def test_a_priority_beyond_all_floats():
    """An int that no float can hold is refused like infinity."""
    executor = make_executor()
    with pytest.raises(ValueError, match="Priority must be finite"):
        await executor.append(Job(), priority=10**400)
    assert counts(executor) == {}


async def test_the_error_of_a_failed_event_is_as_retryable_as_the_event():
    """Whoever awaits the result of another event under a retry does not retry what that one will not."""
    for error, retryable in ((OSError(), True), (AccessError("no"), False)):
        event = Job(error=error)
        await event.invoke()
        with pytest.raises(EventFailed) as caught:
            event.result()
        assert caught.value.retryable is retryable is event.execution.retryable


async def test_an_expensive_event_in_front_of_many_costs_no_scan_each(monkeypatch):
    """Asked again and again, a limit remembers its answer until something changes it."""

    class Counting(deque):
        scans = 0

        def __iter__(self):
            Counting.scans += 1
            return super().__iter__()

    monkeypatch.setattr("lionpride_exec._scheduling.limit_state.deque", Counting)
    executor = make_executor(limits=[Rate(1000, per=60, cost="seconds")], queue_capacity=10_000, max_queue_size=10_000)
    async with executor:
        for _ in range(900):
            await executor.append(Free(seconds=1), priority=0)
        await executor.append(Free(seconds=500), priority=0)
        await wait_all_tasks_blocked()
        Counting.scans = 0
        for _ in range(1000):
            await executor.append(Free(seconds=0.5), priority=1)
        assert Counting.scans <= 2


class Free(Job):
    """Costs something and takes no time."""

    async def _invoke(self):
        return None


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("what", ["rate", "keyed rate", "capacity", "delay", "resized"])
async def test_what_may_start_at_a_time_does_beside_long_events(what, early):
    """The next start is not put off until one of those that run ends."""
    limits = {"rate": [Rate(1, per=5)], "keyed rate": [Rate(1, per=5, key="name")]}.get(what, [])
    capacity = {"queue_capacity": 1, "capacity_refresh_time": 5.0} if what in {"capacity", "resized"} else {}
    executor = make_executor(limits=limits, **capacity)
    events = [Job(seconds=100) for _ in range(4)]
    started = {}
    executor.observe(
        lambda event, _, status: (
            started.setdefault(events.index(event), round(current_time())) if status is EventStatus.PROCESSING else None
        )
    )
    if not early:
        await executor.start()
        await wait_all_tasks_blocked()
    for number, event in enumerate(events):
        await executor.append(event, priority=0, delay=number * 5 if what == "delay" else None)
    if early:
        await executor.start()
    if what == "resized":
        await anyio.sleep(2)
        executor.resize(queue_capacity=2)
    await anyio.sleep(30)
    expected = {0: 0, 1: 2, 2: 5, 3: 7} if what == "resized" else {0: 0, 1: 5, 2: 10, 3: 15}
    assert started == expected
    await executor.stop(grace=0)


async def test_costs_that_are_no_whole_numbers():
    """Rounding keeps nobody out for ever, and does not waste a limit."""

    class Costs(Job):
        cost: float = 0

    for amount, cost, number in ((1.0, 0.1, 10), (0.3, 0.1, 3), (0.7, 0.1, 7)):
        executor = make_executor(limits=[Rate(amount, per=5, cost="cost")])
        began = current_time()
        async with executor:
            for _ in range(number):
                await executor.append(Costs(cost=cost))
            await executor.append(Costs(cost=amount))
        assert counts(executor) == {"completed": number + 1}
        assert current_time() - began == pytest.approx(5, abs=0.2)


async def test_an_event_that_needs_two_things_is_not_passed_for_ever():
    """Where there is always somebody for each of them, it claims the one while it waits for the other."""

    class Two(Job):
        first: object = None
        second: object = None

    executor = make_executor(
        limits=[Concurrent(1, key="first"), Concurrent(1, key="second")], queue_capacity=10_000, max_queue_size=10_000
    )
    async with executor:
        for key, offset in (("first", 0), ("second", 0.5)):
            await executor.append(Two(seconds=0.5 + offset, **{key: "x"}), priority=0)
        both = await executor.append(Two(first="x", second="x"), priority=0)
        for _ in range(200):
            await executor.append(Two(first="x", seconds=1), priority=0)
            await executor.append(Two(second="x", seconds=1), priority=0)
        await both.wait()
        assert current_time() < 20
        await executor.stop(grace=0)


@pytest.mark.parametrize("look", ["explain", "statistics", "capacity", "append"])
def test_a_look_at_limits_in_another_event_loop_forgets_nothing(monkeypatch, look):
    """Whoever asks first, before the start there: what the earlier loop has started counts."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    executor = make_executor(limits=[Rate(3, per=3600)], queue_capacity=3, capacity_refresh_time=3600.0)

    async def first():
        await anyio.sleep(5000)
        wall[0] += 5000
        async with executor:
            for _ in range(3):
                await executor.append(Job())

    async def second():
        event = await executor.append(Job(), delay=5 if look == "append" else None)
        if look == "explain":
            executor.explain(event)
        elif look == "statistics":
            executor.statistics()
        elif look == "capacity":
            assert executor.processor.available_capacity == 0
        async with executor:
            await anyio.sleep(1000)
            assert event.status is EventStatus.PENDING
            await event.wait()
        assert current_time() == pytest.approx(3600 - 10, abs=1)

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    wall[0] += 10
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])


def test_a_delay_given_in_another_event_loop(monkeypatch):
    """It counts from now, before the start there too."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    executor = make_executor()

    async def first():
        await anyio.sleep(5000)
        async with executor:
            await executor.append(Job())

    async def second():
        event = await executor.append(Job(), delay=5)
        async with executor:
            await event.wait()
        assert current_time() == pytest.approx(5, abs=0.2)

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])


async def test_only_a_rate_can_be_settled():
    """Nothing else has a cost; nothing has changed."""
    slots = Concurrent(1)

    class Settles(Job):
        async def _invoke(self):
            with pytest.raises(TypeError, match="limit must be a Rate"):
                self.settle(0, limit=slots)
            return await super()._invoke()

    executor = make_executor(limits=[slots])
    async with executor:
        for _ in range(3):
            await executor.append(Settles(seconds=1))
    assert current_time() == pytest.approx(3, abs=0.2)


def test_a_delay_behind_another_event_is_kept_from_one_event_loop_to_the_next():
    """What comes after others keeps its time, whichever loop the others end in, and whoever runs them."""
    for backend in BACKENDS:
        for way in ("forward", "by hand"):
            executor, events = make_executor(), {}

            async def append(executor=executor, events=events):
                events["first"] = await executor.append(Job())
                events["second"] = await executor.append(Job(), delay=10, after=events["first"])

            async def before(executor=executor, way=way, append=append):
                await anyio.sleep(50_000)
                await executor.start()
                await anyio.sleep(1)
                await executor.stop()
                if way == "forward":
                    await append()

            async def later(executor=executor, events=events, way=way, append=append):
                await anyio.sleep(300)
                if way == "forward":
                    await executor.forward()
                else:
                    await append()
                    await events["first"].invoke()
                began = anyio.current_time()
                async with executor:
                    await events["second"].wait()
                return anyio.current_time() - began

            run(before)
            assert run(later, backend=backend) == pytest.approx(10, abs=2), (backend, way)
