"""Workers of a queue on a server, and what tests do to the queue by hand."""

from collections import Counter
from contextlib import asynccontextmanager

import anyio
from cluster_support import until
from parts import cluster

from lionpride_exec.testing import check_cluster

ENDED = {"completed", "failed", "cancelled", "skipped", "aborted"}


async def submit_all(queue, events):
    """Submit events in as few round trips as there may be."""
    answers = []
    for some in cluster.batches(events):
        answers += await queue.submit(some)
    return answers


async def take(queue, worker="a", want=10, **options):
    """Return what a worker gets."""
    _, taken = await queue.take(worker, want, **options)
    return taken


async def begin(queue, taken, worker="a", token="t"):
    """Have events begin, and return the answers."""
    return await queue.step(
        worker, [("begin", one.entry.event_id, one.entry.entry_id, token + one.entry.event_id, []) for one in taken]
    )


def finish(taken, status="completed", outcome=b"out", token="t"):
    """Return the step that ends an event."""
    return "finish", taken.entry.event_id, taken.entry.entry_id, token + taken.entry.event_id, status, outcome


async def counts(queue):
    """Return how many events have each status, without zeros."""
    return {status: number for status, number in (await cluster.QueueQueries(queue).counts()).items() if number}


async def outcome(queue, event):
    """Return the outcome that the queue has of an event."""
    return (await queue.states([event.event_id]))[1][0].outcome


async def due_times(queue):
    """Return when each delayed event is due, in seconds from now on, by the clock of the server."""
    script = "return {redis.call('TIME'), redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}"
    (seconds, micros), delayed = await queue.wire.command(lambda client: client.eval(script, keys=[f"{queue.prefix}d"]))
    now = int(seconds) + int(micros) / 1e6
    return {event_id.decode(): float(due) / 1e6 - now for event_id, due in zip(*[iter(delayed)] * 2, strict=True)}


async def details_of(queries, event):
    """Return the details of an event."""
    (details,) = await queries.details([event.event_id])
    return details


# ---------------------------------------------------------------- what the server tells


async def first_messages(queue, worker):
    """Return the first messages to a worker."""
    cursors = {}
    return await read_first(queue, lambda client: queue.wait_for_messages(client, worker, cursors))


async def read_first(queue, read):
    """Return the first answer of a read that blocks."""
    answers = []

    async def handle(answer):
        if answer:
            answers.append(answer)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(queue.wire.keep_reading, read, handle)
    return answers[0]


async def first_transitions(queue, number):
    """Return the first transitions of a queue, as soon as there are so many."""
    record = Record()
    async with anyio.create_task_group() as group:
        group.start_soon(queue.follow, "0-0", record.handle)
        await until(lambda: len(record.moved) >= number)
        group.cancel_scope.cancel()
    return record.moved


class Record:
    """All transitions of a queue."""

    def __init__(self):
        self.moved = []

    async def handle(self, moved):
        """Note transitions."""
        self.moved += moved

    def begun(self):
        """Return how often each event has begun."""
        return Counter(one.event_id for one in self.moved if one.status == "processing")

    def ends(self):
        """Return how often each event has ended."""
        return Counter(one.event_id for one in self.moved if one.status in ENDED)

    async def until_ended(self, number):
        """Wait until so many events have ended, or more."""
        await until(lambda: len(self.ends()) >= number, seconds=60)


@asynccontextmanager
async def all_completed(queue, events, *, lease=None):
    """Submit events, and have their transitions while the block runs. At its end, wait until all are COMPLETED once."""
    record = Record()
    async with anyio.create_task_group() as group:
        group.start_soon(queue.follow, "0-0", record.handle)
        await submit_all(queue, events)
        yield record
        await record.until_ended(len(events))
        group.cancel_scope.cancel()
    await check_cluster(queue, lease=lease)
    assert await counts(queue) == {"completed": len(events)}
    assert record.ends() == dict.fromkeys((event.event_id for event in events), 1)


# ---------------------------------------------------------------- workers


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
        self.lapsed = []  # ids
        self.limits = {}  # by id: the limits of its run
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

    def lapse(self, event_id):
        self.lapsed.append(event_id)
        self.runs[event_id].cancel()

    def end(self, event_id, status, outcome):
        self.asked.append((event_id, status))
        self.runs[event_id].cancel()

    def reopen(self, bucket):
        raise NotImplementedError

    async def run(self, event_id):
        with self.runs[event_id] as scope:
            if (await self.worker.begin(event_id, self.limits.get(event_id, ()))).may_run:
                self.begun.append(event_id)
                await anyio.sleep(self.seconds)
                if await self.worker.finish(event_id, "completed", b"out"):
                    self.done.append(event_id)
        if scope.cancelled_caught and event_id in dict(self.asked):
            await self.worker.finish(event_id, "cancelled", b"")
        elif scope.cancelled_caught and event_id in self.lapsed:
            await self.worker.give_back(event_id)
        del self.runs[event_id]
        self.worker.room_changed()

    async def until_done(self, number):
        """Wait until so many events have been completed."""
        await until(lambda: len(self.done) == number)

    async def work(self, *, task_status=anyio.TASK_STATUS_IGNORED):
        """Work until cancelled. What runs is cancelled, and given back by the worker."""
        async with self.worker.running(), anyio.create_task_group() as self.group:
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self.is_over = True
