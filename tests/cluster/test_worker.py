"""A worker: what it takes, keeps and gives back, on a real server."""

import anyio
import pytest
from cluster_support import new_queue, new_wire, opened, submission
from parts import cluster

pytestmark = pytest.mark.anyio


class Work:
    """Works off the events of a worker: each is begun, runs for so long, and is completed."""

    def __init__(self, queue, *, slots=10, lease=5.0, seconds=0.0, **options):
        self.worker = cluster.QueueWorker(queue, self, lease=lease, **options)
        self.slots = slots
        self.seconds = seconds
        self.is_over = False
        self.runs = {}  # by id: the cancel scope of its run
        self.begun = []  # ids
        self.done = []  # ids
        self.lost = []  # ids
        self.asked = []  # ids and statuses

    def room(self):
        return self.slots - len(self.runs)

    def take(self, taken):
        if self.is_over:
            return  # the worker gives it back
        event_id = taken.entry.event_id
        self.runs[event_id] = anyio.CancelScope()
        self.group.start_soon(self.run, event_id)

    def lose(self, event_id):
        self.lost.append(event_id)
        if event_id in self.runs:
            self.runs[event_id].cancel()

    def end(self, event_id, status):
        self.asked.append((event_id, status))
        self.runs[event_id].cancel()

    def reopen(self, bucket):
        raise NotImplementedError

    async def run(self, event_id):
        with self.runs[event_id] as scope:
            if (await self.worker.begin(event_id))[0]:
                self.begun.append(event_id)
                await anyio.sleep(self.seconds)
                if await self.worker.finish(event_id, "completed", b"out"):
                    self.done.append(event_id)
        if scope.cancelled_caught and event_id in dict(self.asked):
            await self.worker.finish(event_id, "cancelled", b"")
        del self.runs[event_id]
        self.worker.room_changed()

    async def work(self, *, task_status=anyio.TASK_STATUS_IGNORED):
        """Work until cancelled. What runs is cancelled, and given back by the worker."""
        async with self.worker.running(), anyio.create_task_group() as self.group:
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self.is_over = True


async def until(condition):
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.002)


async def counts(queue):
    return {status: number for status, number in (await queue.counts()).items() if number}


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


async def test_an_event_that_comes_to_an_idle_worker_is_taken_at_once(queue):
    """The worker reads the streams while it waits."""
    work = Work(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        for number in range(5):
            await anyio.sleep(0.01)
            await queue.submit([submission()])
            await until(lambda number=number: len(work.done) == number + 1)
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

        async def noted(event_id):
            begun = await begin(event_id)
            attempts.append(begun[0])
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
    steps = [("begin", one.entry.event_id, one.entry.message, "token", []) for one in taken[:3]]
    assert await queue.step("dead", steps) == [("go", 1)] * 3
    work = Work(queue, lease=0.3)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        await until(lambda: len(work.done) == 5)
        group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": 5}


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
    await queue.pause()
    await queue.submit([submission() for _ in range(3)])
    work = Work(queue)
    async with anyio.create_task_group() as group:
        await group.start(work.work)
        await anyio.sleep(0.7)  # longer than a read blocks
        assert work.begun == []
        await queue.resume()
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
    work, limit = Work(queue), cluster.Limit("slots", 0.5, 0, 1, hold=True)
    async with anyio.create_task_group() as group, work.worker.running():
        work.group = group
        work.run = anyio.lowlevel.checkpoint  # the test has the event begin itself
        taken = []
        work.take = taken.append
        await until(lambda: taken)
        event_id = taken[0].entry.event_id
        assert (await work.worker.begin(event_id, [limit]))[0] == 0
        assert await work.worker.finish(event_id, "aborted", b"why")
    assert await counts(queue) == {"aborted": 1}
