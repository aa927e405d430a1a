"""A worker: what it takes, keeps and gives back, on a real server."""

from math import inf
from operator import methodcaller

import anyio
import pytest
from cluster_support import new_queue, new_wire, opened, submission, until
from parts import cluster
from queue_support import Work, counts

pytestmark = pytest.mark.anyio


async def test_workers_share_a_queue_and_each_event_is_done_once(queue):
    """Three workers and 300 events."""
    events = [submission() for _ in range(300)]
    await queue.submit(events)
    works = [Work(queue) for _ in range(3)]
    async with anyio.create_task_group() as group:
        for work in works:
            group.start_soon(work.work)
        await until(lambda: sum(len(work.done) for work in works) == 300)
        group.cancel_scope.cancel()
    done = [event_id for work in works for event_id in work.done]
    assert sorted(done) == sorted(event.event_id for event in events)
    assert await counts(queue) == {"completed": 300}


async def test_a_worker_takes_no_more_than_it_has_room_for(queue):
    """Other workers can take the rest."""
    await queue.submit([submission() for _ in range(20)])
    work = Work(queue, slots=3, seconds=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: len(work.begun) == 3)
        await anyio.sleep(0.1)
        assert await counts(queue) == {"pending": 17, "processing": 3}
        _, rest = await queue.take("other", 100)
        assert len(rest) == 17
        group.cancel_scope.cancel()


async def test_a_worker_that_starts_takes_the_most_urgent_events_and_no_more(queue):
    """The others stay in the queue for other workers, whatever their level."""
    events = [submission(level=level) for level in (3, 2, 1) for _ in range(10)]
    await queue.submit(events)
    work = Work(queue, slots=10, seconds=1000)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        await until(lambda: len(work.begun) == 10)
        held = [one.holds for one in await cluster.QueueQueries(queue).workers()]
        group.cancel_scope.cancel()
    assert held == [10]
    assert sorted(work.begun) == sorted(event.event_id for event in events[20:])


async def test_an_end_of_an_earlier_run_does_not_count_for_an_event_that_was_taken_again(queue):
    """The host has lost the event, but its run is still ending. The end is that of a run that counts no more."""
    event = submission()

    class TakesAgain(Work):
        def take(self, taken):
            self.worker.disown(taken.entry.event_id)
            self.group.start_soon(self.end_late, taken.entry.event_id)

        async def end_late(self, event_id):
            assert not self.worker.holds(event_id)
            self.done.append(await self.worker.finish(event_id, "cancelled", b""))
            assert await self.worker.postpone(event_id, -1e9, b"", costs_attempt=False)

    work = TakesAgain(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        await queue.submit([event])
        await work.until_done(1)
        await until_held(queue, 0)
        group.cancel_scope.cancel()
    assert work.done == [False]
    assert await counts(queue) == {"pending": 1}


async def until_held(queue, number):
    """Wait until the workers hold so many events."""
    with anyio.fail_after(10):
        while [one.holds for one in await cluster.QueueQueries(queue).workers()] != [number]:
            await anyio.sleep(0.01)


async def test_an_event_that_comes_to_an_idle_worker_is_taken_at_once(queue):
    """The worker reads the streams while it waits."""
    work = Work(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        for number in range(5):
            await anyio.sleep(0.01)
            await queue.submit([submission()])
            await work.until_done(number + 1)
        group.cancel_scope.cancel()


async def test_a_worker_that_is_left_gives_back_what_it_holds_and_that_costs_no_attempt(queue):
    """Another worker takes the events at once, far before the lease runs out."""
    await queue.submit([submission() for _ in range(5)])
    first, second = Work(queue, seconds=1000, lease=1000), Work(queue, lease=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(first.work)
        await until(lambda: len(first.begun) == 5)
        group.cancel_scope.cancel()
    assert await counts(queue) == {"pending": 5}
    attempts = []
    async with anyio.create_task_group() as group:
        begin = second.worker.begin

        async def noted(event_id, limits):
            begun = await begin(event_id, limits)
            attempts.append(begun.attempt)
            return begun

        second.worker.begin = noted
        group.start_soon(second.work)
        await until(lambda: len(second.done) == 5)
        group.cancel_scope.cancel()
    assert attempts == [1] * 5


async def test_what_a_dead_worker_held_is_done_by_another_one(queue):
    """Both the events that it began and those that it did not begin."""
    await queue.submit([submission() for _ in range(5)])
    _, taken = await queue.take("dead", 5)
    steps = [("begin", one.entry.event_id, one.entry.entry_id, "token", []) for one in taken[:3]]
    assert await queue.step("dead", steps) == [("go", 1)] * 3
    work = Work(queue, lease=0.3)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: len(work.done) == 5)
        group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": 5}


async def test_all_that_a_dead_worker_held_is_taken_over_as_soon_as_there_is_room(queue):
    """The worker that takes it over has little room, and does not wait for a third of the lease each time."""
    await queue.submit([submission() for _ in range(60)])
    _, taken = await queue.take("dead", 60)
    assert len(taken) == 60
    work = Work(queue, lease=3.0, slots=4)
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: len(work.done) == 60)
        group.cancel_scope.cancel()
    assert anyio.current_time() - began < 7  # otherwise 15 times a second
    assert await counts(queue) == {"completed": 60}


async def test_the_server_keeps_nothing_of_a_worker_that_is_left(queue):
    """Its consumers, its lease, its mailbox and its line in the list of workers are deleted."""
    event = submission()
    await queue.submit([event])
    work = Work(queue, seconds=1000, description="host")
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: work.begun)
        await queue.cancel([event.event_id], "cancelled", [b""])
        await until(lambda: not work.runs)
        assert await left_of(queue, work.worker.name) >= {"q:2", "w:", "m:", "ws"}
        group.cancel_scope.cancel()
    assert await left_of(queue, work.worker.name) == set()
    assert await queue.step(work.worker.name, [("leave", "host")]) == [("done", 0)]  # again


async def test_a_worker_that_cannot_give_back_stays_known_as_the_holder(queue):
    """Its entries are taken over after the lease. They would be lost with its consumer."""
    await queue.submit([submission()])
    work = Work(queue, seconds=1000)

    async def refuse(_):
        raise cluster.ClusterError("refused")

    work.worker.give_back = refuse
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: work.begun)
        group.cancel_scope.cancel()
    assert await left_of(queue, work.worker.name) == {"q:2"}
    await until_taken(queue, "other")


async def left_of(queue, worker):
    """Return what the server has of a worker."""
    wire, prefix, left = queue.wire, queue.prefix, set()
    for number in range(queue.streams):
        name = f"q:{number}"
        consumers = await wire.command(methodcaller("xinfo_consumers", prefix + name, "lp"))
        left |= {name for consumer in consumers if consumer[b"name"] == worker.encode()}
    for name in ("w:", "m:"):
        if await wire.command(methodcaller("exists", [prefix + name + worker])):
            left.add(name)
    if any(found.startswith(worker.encode()) for found in await wire.command(lambda c: c.zrange(f"{prefix}ws", 0, -1))):
        left.add("ws")
    return left


async def until_taken(queue, worker):
    """Have a worker take over what others hold, as if their leases had run out."""
    with anyio.fail_after(5):
        while not (taken := (await queue.take(worker, 10, idle=1))[1]):
            await anyio.sleep(0.001)
    return taken


class Holder(Work):
    """A worker whose events the test has begin and end."""

    def __init__(self, queue, **options):
        super().__init__(queue, **options)
        self.taken = []

    def take(self, taken):
        self.taken.append(taken)

    def lose(self, event_id):
        self.lost.append(event_id)


async def test_an_event_that_a_worker_has_given_back_and_taken_again_stays_with_it(queue):
    """The answer that it was given back comes after the event."""
    await queue.submit([submission()])
    step, is_back = queue.step, anyio.Event()

    async def slow(worker, steps, **options):
        answers = await step(worker, steps, **options)
        if steps[0][0] == "give_back":
            await is_back.wait()
        return answers

    queue.step = slow
    work = Holder(queue)
    async with work.worker.running(), anyio.create_task_group() as group:
        await until(lambda: work.taken)
        event_id = work.taken[0].entry.event_id
        group.start_soon(work.worker.give_back, event_id)
        await until(lambda: len(work.taken) == 2)
        is_back.set()
        await anyio.sleep(0.05)
        assert work.worker.holds(event_id)
        assert (await work.worker.begin(event_id)).may_run
    assert work.lost == []


async def test_an_event_that_another_worker_has_had_meanwhile_is_lost_before_it_is_taken_again(queue):
    """The worker learns of both at once, since it had not renewed its lease in between."""
    await queue.submit([submission()])
    work = Holder(queue, lease=60)
    async with work.worker.running():
        await until(lambda: work.taken)
        (taken,) = await until_taken(queue, "thief")
        event_id = taken.entry.event_id
        assert work.lost == []
        await queue.step("thief", [("give_back", event_id, taken.entry.entry_id, "", False)])
        await until(lambda: len(work.taken) == 2)
        assert work.lost == [event_id]
        assert (await work.worker.begin(event_id)).may_run


async def test_a_run_longer_than_the_lease_is_one_run(queue):
    """The worker renews its lease, so no other worker takes the event over."""
    await queue.submit([submission()])
    works = [Work(queue, lease=0.6, seconds=1.5) for _ in range(2)]
    async with anyio.create_task_group() as group:
        for work in works:
            group.start_soon(work.work)
        await until(lambda: any(work.done for work in works))
        group.cancel_scope.cancel()
    assert sorted(len(work.begun) for work in works) == [0, 1]


async def test_a_worker_learns_that_another_one_has_taken_its_event_over(queue):
    """The run is cancelled, and its end is not recorded."""
    await queue.submit([submission()])
    work = Work(queue, lease=0.3, seconds=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: work.begun)
        with anyio.fail_after(5):
            while not (await queue.take("thief", 1, idle=1))[1]:
                await anyio.sleep(0.001)
        await until(lambda: work.lost)
        assert work.lost == work.begun
        await until(lambda: not work.runs)
        assert work.done == []
        group.cancel_scope.cancel()


async def test_runs_whose_places_others_have_are_stopped_and_given_back(queue):
    """After a lapse of the lease in which they were given away. Runs with other limits, and those that wait, go on."""
    slots, rates = cluster.BucketLimit("slots", 2, 0, 1, hold=True), cluster.BucketLimit("rate", 9, 1e6, 1, hold=True)
    events = [submission(level=1) for _ in range(4)]
    await queue.submit(events)
    with_slot, with_both, with_rate, without = (event.event_id for event in events)
    work = Work(queue, lease=0.6, seconds=1000, slots=4)
    work.limits = {with_slot: [slots], with_both: [rates, slots], with_rate: [rates]}
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: len(work.begun) == 4)
        await anyio.sleep(1)  # five renewals, and longer than a lease
        lease, places = f"{queue.prefix}w:{work.worker.name}", f"{queue.prefix}l:slots:"
        await queue.wire.command(lambda client: client.delete([lease]))
        await anyio.sleep(0.5)  # two renewals
        assert work.lapsed == []  # nobody has taken the places
        work.seconds = 0
        await queue.wire.command(lambda client: client.delete([lease, f"{places}h", f"{places}c"]))
        await until(lambda: len(work.done) == 2)
        group.cancel_scope.cancel()
    assert sorted(work.lapsed) == sorted([with_slot, with_both])
    assert sorted(work.done) == sorted([with_slot, with_both])  # the worker has taken them again
    assert work.begun.count(with_rate) == work.begun.count(without) == 1
    assert work.lost == []


async def test_a_worker_takes_nothing_before_it_has_a_lease(queue):
    """Without one, the places of its runs would be given to others."""
    await queue.submit([submission()])
    work, leased = Work(queue), []
    renew, take = queue.renew, queue.take

    async def renew_late(*arguments):
        await anyio.sleep(0.1)
        leased.append(await renew(*arguments))
        return leased[-1]

    async def take_noted(*arguments, **options):
        assert leased
        return await take(*arguments, **options)

    queue.renew, queue.take = renew_late, take_noted
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: work.done)
        group.cancel_scope.cancel()


async def test_an_event_that_runs_is_ended_by_its_worker(queue):
    """A cancellation by a client gets to the worker that runs the event."""
    event = submission()
    await queue.submit([event])
    work = Work(queue, seconds=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: work.begun)
        assert await queue.cancel([event.event_id], "cancelled", [b""]) == ["sent"]
        await until(lambda: work.asked)
        await until(lambda: not work.runs)
        group.cancel_scope.cancel()
    assert work.asked == [(event.event_id, "cancelled")]
    assert await counts(queue) == {"cancelled": 1}


async def test_a_delayed_event_starts_when_it_is_due(queue):
    """Although the worker already waits for a later event."""
    work = Work(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        late = submission(due=9e15)
        await queue.submit([late])
        await anyio.sleep(0.05)  # the worker waits for `late` now; the bell tells it that something is due earlier
        due = await server_time(queue) + 50_000
        await queue.submit([submission(due=due)])
        await until(lambda: work.done)
        assert await server_time(queue) >= due
        group.cancel_scope.cancel()


async def server_time(queue):
    """Return the time of the server in microseconds."""
    # Not client.time(): it takes the microseconds for nanoseconds (coredis 6.9).
    script = "local time = redis.call('TIME') return time[1] * 1000000 + time[2]"
    return await queue.wire.command(lambda client: client.eval(script))


async def test_a_worker_starts_nothing_while_the_queue_is_paused(queue):
    """It starts the events once the pause has ended."""
    await cluster.QueueQueries(queue).pause()
    await queue.submit([submission() for _ in range(3)])
    work = Work(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        await anyio.sleep(0.7)  # longer than a read blocks
        assert work.begun == []
        await cluster.QueueQueries(queue).resume()
        await until(lambda: len(work.done) == 3)
        group.cancel_scope.cancel()


async def test_a_worker_ends_with_an_error_when_the_data_is_gone(queue):
    """Its tasks raise the same error."""
    work = Work(queue)
    errors = []
    try:
        async with anyio.create_task_group() as group:
            await group.start(work.work)
            await queue.wire.command(lambda client: client.delete([f"{queue.prefix}meta"]))
            await queue.wire.command(lambda client: client.xadd(f"{queue.prefix}q:1", {"i": "x"}))
    except* cluster.ClusterError as group_of_errors:  # each task of the worker may have noticed
        errors = leaves(group_of_errors)
    assert {str(error).partition(" ")[2] for error in errors} == {"has lost the data of this queue"}


def leaves(error):
    """Return the errors in a group, at any depth."""
    return (
        [leaf for one in error.exceptions for leaf in leaves(one)] if isinstance(error, BaseExceptionGroup) else [error]
    )


@pytest.mark.parametrize("moment", range(0, 40, 4))
async def test_a_worker_can_be_cancelled_at_any_moment(server, moment):
    """No error of the client comes out, and nothing is held by the worker afterwards."""
    events = [submission() for _ in range(30)]
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        await queue.submit(events)
        work = Work(queue, slots=4, seconds=0.001, lease=1000)
        with anyio.move_on_after(moment / 1000):
            await work.work()
        found = await counts(queue)
        assert set(found) <= {"pending", "completed"}
        other = Work(queue, lease=1000)
        async with anyio.create_task_group() as group:
            group.start_soon(other.work)
            await until(lambda: len(other.done) == found.get("pending", 0))
            group.cancel_scope.cancel()
        assert await counts(queue) == {"completed": 30}


async def test_an_event_that_a_limit_refused_can_be_ended(queue):
    """It has not begun, so its end is that of an event that waits."""
    await queue.submit([submission()])
    work, limit = Work(queue), cluster.BucketLimit("slots", 0.5, 0, 1, hold=True)
    async with anyio.create_task_group() as group, work.worker.running():
        work.group = group
        work.run = anyio.lowlevel.checkpoint  # the test has the event begin itself
        taken = []
        work.take = taken.append
        await until(lambda: taken)
        event_id = taken[0].entry.event_id
        assert await work.worker.begin(event_id, [FREE, limit]) == cluster.Start(0, inf, 1)
        assert await work.worker.finish(event_id, "aborted", b"why")
    assert await counts(queue) == {"aborted": 1}


FREE = cluster.BucketLimit("free", 1, 1e6, 1, hold=False)


async def test_the_start_of_an_event_is_one_of_three(queue):
    """It may run; a limit refuses and says when to ask again; or the event is not this worker's."""
    await queue.submit([submission() for _ in range(3)])
    work = Work(queue, slots=3)
    async with anyio.create_task_group() as group, work.worker.running():
        work.group = group
        taken = []
        work.take = taken.append
        await until(lambda: len(taken) == 3)
        first, second, third = (one.entry.event_id for one in taken)
        start = await work.worker.begin(first, [FREE])
        assert start == cluster.Start(1)
        assert (start.may_run, start.is_gone) == (True, False)
        start = await work.worker.begin(second, [FREE])
        assert (start.attempt, start.limit, start.may_run, start.is_gone) == (0, 0, False, False)
        assert 0 < start.seconds <= 1
        await queue.cancel([third], "cancelled", [b""])
        start = await work.worker.begin(third, [FREE])
        assert start == cluster.Start(0, 0.0, None)
        assert (start.may_run, start.is_gone) == (False, True)
        assert (await work.worker.begin(third, [FREE])).is_gone  # the worker holds it no more
