"""The queue alone, and the capacity of a processor, against simple models."""

import time
from contextlib import nullcontext
from copy import deepcopy
from uuid import uuid4

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from leftovers import containers_of
from parts import model_limits
from support import Job, make_executor

from lionpride_exec import Event, Pile, PriorityQueue, Processor
from lionpride_exec.testing import BACKENDS, run

Router = model_limits.Router

IDS = [uuid4() for _ in range(12)]
PRIORITIES = st.sampled_from([-1.0, 0.0, 1.0, 2.0])


@pytest.mark.anyio
async def test_raw_tuples_by_priority_then_arrival():
    """put() and get() deal in (priority, id); equal priorities keep their order."""
    queue = PriorityQueue()
    for item in [(2.0, IDS[0]), (1.0, IDS[1]), (2.0, IDS[2]), (1.0, IDS[3])]:
        await queue.put(item)
    assert queue.qsize() == 4
    assert [await queue.get() for _ in range(4)] == [
        (1.0, IDS[1]), (1.0, IDS[3]), (2.0, IDS[0]), (2.0, IDS[2]),
    ]  # fmt: skip
    assert queue.empty()


@pytest.mark.anyio
async def test_get_waits_and_several_may():
    """Each of several waiting get() calls receives one item."""
    queue = PriorityQueue()
    got = []

    async def getter():
        got.append(await queue.get())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(getter)
        await wait_all_tasks_blocked()
        for i in range(3):
            queue.put_nowait(float(i), IDS[i])
    assert sorted(got) == [(float(i), IDS[i]) for i in range(3)]


@pytest.mark.anyio
async def test_get_waits_for_a_closed_lane():
    """get() takes nothing from a closed lane, and wakes when it opens."""
    queue = PriorityQueue()
    queue.put_nowait(1.0, IDS[0])
    queue.lanes.close_gate_until((), anyio.current_time() + 5)
    began = anyio.current_time()
    assert await queue.get() == (1.0, IDS[0])
    assert anyio.current_time() - began == pytest.approx(5)


@pytest.mark.anyio
async def test_a_cancelled_get_passes_its_wake_up_on():
    """An item put for a get() that is cancelled in that moment goes to the next."""
    queue = PriorityQueue()
    got = []

    async def getter():
        got.append(await queue.get())

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def impatient():
            with scope:
                await getter()

        group.start_soon(impatient)
        await wait_all_tasks_blocked()
        group.start_soon(getter)
        await wait_all_tasks_blocked()
        scope.cancel()
        queue.put_nowait(1.0, IDS[0])
        await wait_all_tasks_blocked()
        queue.put_nowait(1.0, IDS[1])
        await wait_all_tasks_blocked()
        assert len(got) + queue.qsize() == 2
        assert got
        if len(got) == 1 and queue.qsize() == 1:
            group.cancel_scope.cancel()


def test_discarded_entries_make_room_at_once():
    """Removing is O(1) and leaves nothing that counts."""
    queue = PriorityQueue(max_size=3)
    for i in range(3):
        queue.put_nowait(0.0, IDS[i])
    assert queue.is_full
    queue.discard(IDS[1])
    queue.discard(IDS[1])
    assert not queue.is_full
    assert queue.qsize() == 2
    assert [queue.pop_nowait(0.0).event_id for _ in range(2)] == [IDS[0], IDS[2]]
    assert queue.pop_nowait(0.0) is None


def test_a_second_put_moves_an_event():
    """An id that is queued already gets its new priority and counts once."""
    queue = PriorityQueue()
    queue.put_nowait(1.0, IDS[0])
    queue.put_nowait(2.0, IDS[1])
    queue.put_nowait(3.0, IDS[0])
    assert queue.qsize() == 2
    assert [queue.pop_nowait(0.0).event_id for _ in range(2)] == [IDS[1], IDS[0]]


def test_heaps_do_not_grow_with_discarded_entries():
    """However many are put and discarded, the heaps stay in proportion to what is live."""
    queue = PriorityQueue()
    queue.put_nowait(0.0, IDS[0])
    for _ in range(5000):
        event_id = uuid4()
        queue.put_nowait(1.0, event_id)
        queue.discard(event_id)
    assert sum(map(len, containers_of(queue))) < 400


class Model:
    """The queue as a plain list of (priority, arrival, id, key, due), and the times lanes open."""

    def __init__(self):
        self.entries = []
        self.closed = {}
        self.arrivals = 0
        self.overtaken = {}  # by key: which others were served while its first entry was due, at its priority

    def put(self, priority, event_id, key):
        self.discard(event_id)
        self.entries.append([priority, self.arrivals, event_id, key, 0])
        self.arrivals += 1

    def discard(self, event_id):
        self.entries = [entry for entry in self.entries if entry[2] != event_id]

    def pop(self, now, event_id):
        """Take what the queue took, if that was right."""
        due = [e for e in self.entries if e[4] <= now and self.closed.get(e[3], 0) <= now]
        if not due:
            assert event_id is None
            return None
        (taken,) = (e for e in due if e[2] == event_id)
        best = min(due)[0]
        assert taken[0] == best
        assert taken == min(e for e in due if e[3] == taken[3])
        waiting = {e[3] for e in due if e[0] == best} - {taken[3]}
        self.overtaken = {key: self.overtaken.get(key, []) for key in waiting}
        for others in self.overtaken.values():
            assert taken[3] not in others, "a key was served twice while another waited"
            others.append(taken[3])
        self.entries.remove(taken)
        return taken


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(IDS), PRIORITIES),
        st.tuples(st.just("discard"), st.sampled_from(IDS)),
        st.tuples(st.just("pop")),
        st.tuples(st.just("delay"), st.integers(1, 5)),
        st.tuples(st.just("give back"), st.integers(0, 5)),
        st.tuples(st.just("close"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("end denials")),
        st.tuples(st.just("time"), st.integers(1, 4)),
    ),
    max_size=60,
)


def check_blocked(queue, now):
    """What is counted as waiting for its key is what stands in a lane that does."""
    queue.ready(now)
    parked = [entry for entry in queue.entries() if queue.is_blocked(entry.event_id)]
    assert queue.blocked == len(parked)


@given(STEPS, st.booleans())
def test_the_queue_agrees_with_a_list(steps, with_intake):  # noqa: PLR0912  one branch a step
    """Random puts, removals, closures and delays: always an entry that a scan would find, keys in turn."""
    key_of = {event_id: i % 3 for i, event_id in enumerate(IDS)}
    router = Router(partition=key_of.__getitem__)
    queue, model, now = PriorityQueue(router=router, route_of=router.route), Model(), 0
    with queue.intake() if with_intake else nullcontext():
        for step in steps:
            match step:
                case "put", event_id, priority:
                    queue.put_nowait(priority, event_id)
                    model.put(priority, event_id, key_of[event_id])
                case "discard", event_id:
                    queue.discard(event_id)
                    model.discard(event_id)
                case ("pop",):
                    entry = queue.pop_nowait(now)
                    model.pop(now, entry and entry.event_id)
                case "delay", seconds:
                    entry = queue.pop_nowait(now)
                    expected = model.pop(now, entry and entry.event_id)
                    if entry is not None:
                        queue.put_delayed(entry, now + seconds)
                        model.entries.append([*expected[:4], now + seconds])
                case "give back", seconds:
                    entry, before = queue.pop_nowait(now), deepcopy(model.overtaken)
                    taken = model.pop(now, entry and entry.event_id)
                    if entry is not None:
                        queue.give_back(entry)
                        queue.lanes.close_gate_until(entry.route.key, now + seconds)
                        model.entries.append(taken)
                        model.overtaken = before
                        model.closed[taken[3]] = max(model.closed.get(taken[3], 0), now + seconds)
                case "close", key, seconds:
                    queue.lanes.close_gate_until((key,), now + seconds)
                    model.closed[key] = max(model.closed.get(key, 0), now + seconds)
                case ("end denials",):
                    queue.forgive()
                    model.closed.clear()
                    for entry in model.entries:
                        entry[4] = 0
                case "time", seconds:
                    now += seconds
            assert queue.qsize() == len(model.entries)
            check_blocked(queue, now)
            assert queue.empty() == (not model.entries)
            assert queue.ready(now) >= sum(e[4] <= now and model.closed.get(e[3], 0) <= now for e in model.entries)
    while (entry := queue.pop_nowait(1000)) is not None:
        model.pop(1000, entry.event_id)
    assert not model.entries


@given(st.lists(st.tuples(PRIORITIES, st.booleans()), max_size=60), st.integers(1, 5))
def test_entries_above_the_bound_stand_in_one_order(items, max_size):
    """What is queued in a full queue has its place among all others. The queue is full until enough were taken."""
    queue = PriorityQueue(max_size=max_size)
    numbered = [(priority, uuid4()) for priority, _ in items]
    for item in numbered:
        queue.put_back(queue.make_entry(*item))
    order = {event_id: i for i, (_, event_id) in enumerate(numbered)}
    popped = []
    while not queue.empty():
        assert queue.qsize() == len(items) - len(popped)
        assert queue.is_full == (queue.qsize() >= max_size)
        entry = queue.pop_nowait(0.0)
        popped.append((entry.priority, order[entry.event_id]))
    assert popped == sorted((priority, i) for i, (priority, _) in enumerate(numbered))


# -------------------------------------------------------------------- capacity


class Noted(Job):
    """Notes when it starts."""

    log: object = None

    async def _invoke(self):
        self.log.append(anyio.current_time())


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    total=st.integers(1, 5),
    period=st.floats(0.01, 100.0),
    pauses=st.lists(st.floats(0.0, 50.0, allow_subnormal=False), min_size=1, max_size=80),
)
def test_no_window_holds_more_than_its_capacity(backend, total, period, pauses):
    """Whatever the arrivals: any window of the period holds at most so many starts, and no event starts too late."""
    arrivals, starts = [], []

    async def main():
        executor = make_executor(queue_capacity=total, capacity_refresh_time=period)
        async with executor:
            for pause in pauses:
                await anyio.sleep(pause)
                now = anyio.current_time()
                in_window = [start for start in starts if now - start < period]
                assert executor.processor.available_capacity == total - len(in_window)
                arrivals.append(now)
                await executor.append(Noted(log=starts))
                await wait_all_tasks_blocked()

    run(main, backend=backend)
    assert len(starts) == len(arrivals)
    for earlier, later in zip(starts, starts[total:], strict=False):
        assert later - earlier >= period
    allowed = [0.0] * total + [start + period for start in starts]
    for start, *earliest in zip(starts, arrivals, allowed, strict=False):
        assert max(earliest) * (1 - 1e-9) <= start <= max(earliest) * (1 + 1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_capacity_set_by_hand_comes_back(backend):
    """A hand-set number holds for one period. The starts before it come back as they would have."""

    async def main():
        executor = make_executor(queue_capacity=5, capacity_refresh_time=10.0)
        async with executor:
            processor = executor.processor
            await executor.append(Job())
            await anyio.sleep(2)
            assert processor.available_capacity == 4
            processor.available_capacity = 1
            assert processor.available_capacity == 1
            found = []
            for seconds in (7.9, 0.1, 1.9, 0.1):
                await anyio.sleep(seconds)
                found.append(processor.available_capacity)
            assert found == [1, 2, 2, 5]

    run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_capacity_set_twice_by_hand_is_the_last_number(backend):
    """A batch starts that many events, and gives back the rest of the capacity."""

    async def main():
        pile = Pile(item_type=Event)
        processor = Processor(queue_capacity=5, capacity_refresh_time=10.0, pile=pile)
        for event in [Job() for _ in range(6)]:
            pile.add(event)
            await processor.enqueue(event.id)
        processor.available_capacity = 0
        processor.available_capacity = 4
        assert processor.available_capacity == 4
        await processor.process()
        assert (processor.queue.qsize(), processor.available_capacity) == (2, 5)

    run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_starts_are_carried_over_to_another_clock(monkeypatch, backend):
    """An executor that moves to another event loop, whose clock began elsewhere, remembers what it started."""
    executor = make_executor(queue_capacity=2, capacity_refresh_time=10.0)
    starts = []

    async def two_events(capacity, available):
        async with executor:
            executor.resize(queue_capacity=capacity)
            await anyio.sleep(1)
            assert executor.processor.available_capacity == available
            for _ in range(2):
                await executor.append(Noted(log=starts))
                await anyio.sleep(3)

    now, found = time.time(), []
    for began, capacity, available in ((0, 2, 2), (7, 2, 0), (19, 1, 0)):  # the clock of each run begins at 0
        # The time is bound now, since the lambda would look at the loop's variable.
        monkeypatch.setattr(time, "time", lambda seconds=now + began: seconds)
        run(two_events, capacity, available, backend=backend)
        found += [began + start for start in starts]
        starts.clear()
    assert found == pytest.approx([1, 4, 11, 14, 24, 34], abs=1e-5)
