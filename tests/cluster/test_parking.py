"""Events that wait outside of the streams until it may be their turn under a limit, on a real server."""

import random
from collections import Counter

import anyio
import attrs
import pytest
from cluster_support import submission, until
from parts import cluster
from queue_support import Work, counts, due_times

from lionpride_exec.testing import check_cluster

pytestmark = pytest.mark.anyio

MINUTE = 60e6


def concurrent(amount=1, *, name="slots", cost=1):
    return cluster.BucketLimit(name, amount, 0, cost, hold=True)


def rate(amount=2, *, per=MINUTE, cost=1, hold=False, name="rate"):
    return cluster.BucketLimit(name, amount, per, cost, hold)


class Events:
    """Events of a queue that begin, wait and end by hand."""

    def __init__(self, queue, worker="a"):
        self.queue = queue
        self.worker = worker
        self.entries = {}  # by id: what the worker has taken

    async def submit(self, number=1):
        """Submit events, and take them. Return their ids."""
        await self.queue.submit([submission() for _ in range(number)])
        return await self.take(number)

    async def take(self, want=100, **options):
        """Return the ids of what the worker gets."""
        _, taken = await self.queue.take(self.worker, want, **options)
        self.entries |= {one.entry.event_id: one.entry for one in taken}
        return [one.entry.event_id for one in taken]

    async def step(self, *step):
        """Return the word of the answer."""
        ((word, *_),) = await self.queue.step(self.worker, [step])
        return word

    async def begin(self, event_id, *limits):
        entry_id, token = self.entries[event_id].entry_id, f"{self.worker}-{event_id}"
        return await self.step("begin", event_id, entry_id, token, [attrs.astuple(one) for one in limits])

    async def park(self, event_id, limit, wait=-1, token=""):
        return await self.step("park", event_id, self.entries[event_id].entry_id, token, attrs.astuple(limit), wait)

    async def end(self, event_id):
        return await self.step(
            "finish", event_id, self.entries[event_id].entry_id, f"{self.worker}-{event_id}", "completed", b""
        )

    async def cancel(self, *event_ids):
        return await self.queue.cancel(event_ids, "cancelled", [b""] * len(event_ids))

    async def fill(self, limit, number=3):
        """Have one event take all of a bucket, and as many others wait for it. Return all their ids."""
        first, *others = await self.submit(number + 1)
        assert await self.begin(first, limit) == "go"
        for other in others:
            assert await self.begin(other, limit) == "wait"
            assert await self.park(other, limit) == "done"
        return first, *others


@pytest.fixture
async def events(queue):
    await queue.renew("a", 60_000, [])
    yield Events(queue)
    await check_cluster(queue)


# ---------------------------------------------------------------- until a run ends


async def test_each_end_of_a_run_lets_the_first_parked_event_be_taken(events):
    """In their order. Parked events are pending, and no worker has them."""
    first, second, third, fourth = await events.fill(concurrent())
    assert await counts(events.queue) == {"processing": 1, "pending": 3}
    assert await events.take() == []
    await events.end(first)
    for event_id in (second, third):
        assert await events.take() == [event_id]
        assert await events.begin(event_id, concurrent()) == "go"
        assert await events.end(event_id) == "done"
    assert await events.take() == [fourth]


async def test_parking_costs_no_attempt_and_can_be_sent_again(events):
    """The answer to the step may be lost. The event is parked once."""
    first, second = await events.submit(2)
    await events.begin(first, concurrent())
    assert [await events.park(second, concurrent()) for _ in range(2)] == ["done", "again"]
    await events.end(first)
    assert await events.park(second, concurrent()) == "again"
    assert await events.take() == [second]
    assert await events.take() == []
    assert (await events.queue.step("a", [begin_step(events, second)])) == [("go", 1)]


def begin_step(events, event_id):
    return "begin", event_id, events.entries[event_id].entry_id, "token", []


async def test_a_parked_event_ends_before_the_events_of_the_streams_are_taken(events):
    """It has waited, so it goes first, as what is given back."""
    first, second = await events.fill(concurrent(), 1)
    await events.queue.submit([submission(level=1)])
    await events.end(first)
    assert (await events.take())[0] == second


async def test_a_parked_event_that_is_cancelled_leaves_no_gap(events):
    """The next event of the line is taken instead."""
    first, second, third, fourth = await events.fill(concurrent())
    assert await events.cancel(second, fourth) == ["ended"] * 2
    await events.end(first)
    assert await events.take() == [third]
    assert await counts(events.queue) == {"completed": 1, "cancelled": 2, "pending": 1}


async def test_the_turn_of_an_event_that_ends_unused_passes_to_the_next_one(events):
    """Else the line would stand still for ever: no run is left that could end."""
    first, second, third, fourth = await events.fill(concurrent())
    await events.end(first)
    await events.cancel(second)
    assert await events.take() == [third]  # the worker holds it now
    await events.cancel(third)
    assert await events.take() == [fourth]


@pytest.mark.parametrize("how", ["postpone", "rate", "room", "begin"])
async def test_an_event_that_does_not_use_its_turn_passes_it_on(events, how):
    """It is put off; or a rate or another limit refuses it, where there is room by now; or it has other limits."""
    first, second, third, _ = await events.fill(concurrent())
    await events.end(first)
    assert await events.take() == [second]
    if how == "postpone":
        assert await events.step("postpone", second, events.entries[second].entry_id, "", -MINUTE, b"", True) == "done"
    elif how == "rate":
        assert await events.park(second, rate(), MINUTE) == "done"
    elif how == "room":
        assert await events.park(second, concurrent(name="more")) == "done"
    else:
        assert await events.begin(second, rate()) == "go"
    assert await events.take() == ([third, second] if how == "room" else [third])


async def test_an_event_that_is_given_back_keeps_its_turn(events):
    """Its next worker has it begin."""
    first, second, third, _ = await events.fill(concurrent())
    await events.end(first)
    await events.take()
    assert await events.step("give_back", second, events.entries[second].entry_id, "", False) == "done"
    assert await events.take() == [second]
    await events.begin(second, concurrent())
    await events.end(second)
    assert await events.take() == [third]


async def test_an_event_whose_turn_another_run_has_used_is_first_again(events):
    """It stands in front of those that were parked after it."""
    first, second, third, _ = await events.fill(concurrent())
    await events.end(first)
    assert await events.take() == [second]
    (quick,) = await events.submit()
    assert await events.begin(quick, concurrent()) == "go"
    assert await events.begin(second, concurrent()) == "wait"
    assert await events.park(second, concurrent()) == "done"
    assert await events.take() == []
    await events.end(quick)
    assert await events.take() == [second]
    await events.begin(second, concurrent())
    await events.end(second)
    assert await events.take() == [third]


async def test_nothing_is_parked_where_there_is_room(events):
    """The run that was in the way has ended meanwhile. Nobody would wake the event."""
    first, second, third = await events.submit(3)
    await events.begin(first, concurrent(2))
    await events.begin(second, concurrent(2))
    assert await events.begin(third, concurrent(2)) == "wait"
    await events.end(first)
    assert await events.park(third, concurrent(2)) == "done"
    assert await events.take() == [third]


async def test_an_event_that_costs_more_than_there_is_is_asked_again_and_holds_nobody_up(events):
    """No run will end for it. The limit may be larger by then."""
    first, second, third = await events.fill(concurrent(), 2)
    await events.end(first)
    await events.take()
    assert await events.park(second, concurrent(cost=2)) == "done"
    assert await due_times(events.queue) == {second: pytest.approx(1, abs=0.9)}
    assert await events.take() == [third]


async def test_a_bucket_that_is_shut_keeps_its_events_until_it_opens(events):
    """The event whose turn it is has to wait for a time, not for a run. Cancelled, it passes its turn on."""
    first, second, third, _ = await events.fill(concurrent())
    await events.step("shut", "slots", -MINUTE)
    await events.end(first)
    assert await events.take() == [second]
    assert await events.begin(second, concurrent()) == "wait"
    assert await events.park(second, concurrent(), MINUTE) == "done"
    assert await due_times(events.queue) == {second: pytest.approx(60, abs=10)}
    assert await events.take() == []
    await events.cancel(second)
    assert await events.take() == [third]


async def test_a_dead_worker_lets_the_line_go_on(events):
    """Whoever takes its event over ends its run, whatever becomes of the event."""
    first, second, third = await events.fill(concurrent(), 2)
    other = Events(events.queue, "b")
    await events.queue.renew("b", 60_000, [])
    await events.queue.wire.command(lambda client: client.delete([f"{events.queue.prefix}w:a"]))
    with anyio.fail_after(5):
        while first not in other.entries:
            await other.take(idle=1)
    assert await other.park(first, concurrent(), token="") == "done"
    assert await counts(events.queue) == {"pending": 3}
    assert await other.take() == [second, first]  # there is room, so the last one is not parked
    assert third not in other.entries
    assert await events.end(first) == "fenced"


@pytest.mark.parametrize("how", ["finish", "give_back", "postpone"])
async def test_an_event_of_a_dead_worker_that_does_not_begin_again_holds_nothing(events, how):
    """It is ended or given away by the worker that has taken it over. The dead worker changes nothing any more."""
    (first,) = await events.submit()
    await events.begin(first, concurrent())
    other = Events(events.queue, "b")
    with anyio.fail_after(5):
        while first not in other.entries:
            await other.take(idle=1)
    entry_id = other.entries[first].entry_id
    rest = {"finish": ("", "failed", b"why"), "give_back": ("", False), "postpone": ("", -MINUTE, b"", True)}[how]
    assert await other.step(how, first, entry_id, *rest) == "done"
    assert await other.step(how, first, entry_id, *rest) == "again"
    assert await counts(events.queue) == ({"failed": 1} if how == "finish" else {"pending": 1})
    _, (state,) = await events.queue.states([first])
    assert state.attempt == 1  # the dead worker's run was one
    assert await events.end(first) == "fenced"
    assert await events.begin((await events.submit())[-1], concurrent()) == "go"


async def test_what_runs_hold_is_kept_however_long_they_run(events):
    """What a bucket knows expires a day after its last use, but not under a run, and not before an event is due."""
    await events.step("shut", "slots", 1)  # long ago
    await events.step("shut", "rate", 1)
    first, second = await events.fill(rate(1, hold=True), 1)
    (third,) = await events.fill(concurrent(), 0)
    names = [f"{events.queue.prefix}l:{name}" for name in ("slots:c", "slots:h", "rate:c", "rate:h")]
    assert [await ttl(events.queue, name) for name in names] == [-1] * 4
    for event_id in (first, third):
        await events.end(event_id)
    day, two_minutes_more = pytest.approx(86400, abs=10), pytest.approx(2 * 60 + 86400, abs=10)
    assert [await ttl(events.queue, name) for name in names] == [day, -2, two_minutes_more, -2]
    assert await ttl(events.queue, f"{events.queue.prefix}l:rate:u") == pytest.approx(60 + 86400, abs=10)
    assert await due_times(events.queue) == {second: pytest.approx(60, abs=9)}


async def ttl(queue, name):
    return await queue.wire.command(lambda client: client.ttl(name))


# ---------------------------------------------------------------- until a time


async def test_events_that_wait_for_a_rate_are_due_one_after_the_other(events):
    """None before the time that the refusal named, and the next ones as fast as the rate allows."""
    ids = await events.submit(3)
    for event_id in ids:
        assert [await events.park(event_id, rate(), 10e6) for _ in range(2)] == ["done", "again"]
    (late,) = await events.submit()
    assert await events.park(late, rate(cost=2), 200e6) == "done"
    (after,) = await events.submit()
    await events.park(after, rate(), 0)
    due = [10, 40, 70, 200, 260]
    assert await due_times(events.queue) == {
        event_id: pytest.approx(seconds, abs=9) for event_id, seconds in zip([*ids, late, after], due, strict=True)
    }


async def test_a_held_rate_comes_back_a_time_after_a_run_at_the_earliest(events):
    """When the run will end is not known."""
    (event_id,) = await events.submit()
    await events.park(event_id, rate(hold=True), -1)
    assert await due_times(events.queue) == {event_id: pytest.approx(60, abs=9)}


async def test_events_that_are_cancelled_make_room_for_those_that_come_after_them(events):
    """A thousand events that are cancelled would else put off the next one by a thousand times the rate."""
    ids = await events.submit(3)
    for event_id in ids:
        await events.park(event_id, rate(), 10e6)
    await events.cancel(*ids)
    (event_id,) = await events.submit()
    await events.park(event_id, rate(), 10e6)
    assert await due_times(events.queue) == {event_id: pytest.approx(10, abs=9)}


async def test_an_event_that_was_due_and_is_parked_again_takes_the_time_of_one(events):
    """Its time is given back first. Else events that are refused again and again would put the others off."""
    first, second = await events.submit(2)
    await events.park(first, rate(), 1000)
    await events.park(second, rate(), 1000)
    with anyio.fail_after(5):
        while not await events.take():
            await events.queue.promote()
    assert await events.park(first, rate(), 1000) == "done"
    (third,) = await events.submit()
    await events.park(third, rate(), 1000)
    assert await due_times(events.queue) == {
        first: pytest.approx(30, abs=9),
        second: pytest.approx(30, abs=9),
        third: pytest.approx(60, abs=9),
    }


# ---------------------------------------------------------------- with workers


class Crowd(Work):
    """A worker that parks what a limit refuses, or keeps a few of it and asks again."""

    def __init__(self, queue, limits, draw, record, **options):
        super().__init__(queue, **options)
        self.all_limits = limits
        self.draw = draw
        self.record = record

    def reopen(self, bucket):
        pass

    def end(self, event_id, status, outcome):
        pass  # it runs on

    async def run(self, event_id):
        scope = self.runs[event_id]
        with scope:
            limits = self.all_limits[event_id]
            start = await self.worker.begin(event_id, limits)
            if start.may_run:
                self.record(event_id, limits, 1)
                await anyio.sleep(self.draw.random() / 50)
                self.record(event_id, limits, -1)
                assert await self.worker.finish(event_id, "completed", b"")
                self.done.append(event_id)
            elif not start.is_gone:
                await self.worker.park(event_id, limits[start.limit], start.seconds)
        if self.runs.get(event_id) is scope:  # else it was taken again before the answer came that it is parked
            del self.runs[event_id]
        self.worker.room_changed()


@pytest.mark.parametrize("seed", range(3))
async def test_parked_events_all_run_and_no_limit_is_exceeded(queue, seed):
    """Three workers, two limits with few places, a rate, random costs and cancellations."""
    draw = random.Random(seed)
    used, highest = Counter(), Counter()

    def record(_, limits, sign):
        for limit in limits:
            used[limit.bucket] += sign * limit.cost
            highest[limit.bucket] = max(highest[limit.bucket], used[limit.bucket])

    choices = [
        lambda: concurrent(3, name="a", cost=draw.choice([1, 1, 2])),
        lambda: concurrent(1, name="b"),
        lambda: rate(20, per=200_000),
    ]
    events = [submission() for _ in range(90)]
    limits = {
        event.event_id: [make() for make in draw.sample(choices, draw.randint(1, len(choices)))] for event in events
    }
    works = [Crowd(queue, limits, draw, record, slots=20, lease=30) for _ in range(3)]
    await queue.submit(events)
    cancelled = 0
    async with anyio.create_task_group() as group:
        for work in works:
            group.start_soon(work.work)
        for event in draw.sample(events, 20):
            await anyio.sleep(draw.random() / 20)
            await check_cluster(queue)
            cancelled += await queue.cancel([event.event_id], "cancelled", [b""]) == ["ended"]
        await until(lambda: sum(len(work.done) for work in works) == 90 - cancelled, 60)
        group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": 90 - cancelled} | ({"cancelled": cancelled} if cancelled else {})
    await check_cluster(queue)
    assert highest["a"] <= 3
    assert highest["b"] == 1
