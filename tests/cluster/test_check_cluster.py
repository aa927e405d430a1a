"""What holds of a queue on a server: seen to hold after work, and seen to break by hand."""

import subprocess
import sys
import time

import anyio
import attrs
import pytest
from cluster_support import new_queue, submission
from parts import cluster
from queue_support import Work, begin, finish, take

from lionpride_exec.testing import InvariantBroken, check_cluster

pytestmark = pytest.mark.anyio

HOUR = 3600e6
SLOTS = attrs.astuple(cluster.BucketLimit("slots", 10, 0, 2, hold=True))
NO_SLOTS = attrs.astuple(cluster.BucketLimit("slots", 3, 0, 2, hold=True))
RATE = attrs.astuple(cluster.BucketLimit("rate:x", 10, HOUR, 0.1, hold=False))


class Busy:
    """A queue with an event in each place that there is, and what tests need to break it."""

    def __init__(self, queue):
        self.queue = queue

    async def fill(self):
        """Have an event in each place."""
        queue = self.queue
        await queue.renew("a", 60_000, [])
        self.ended, self.running, self.held = (submission(level=1, key=f'"{name}"') for name in ("e", "r", "h"))
        await queue.submit([self.ended, self.running, self.held])
        self.queued, self.delayed = submission(level=2), submission(due=time.time() * 1e6 + HOUR)
        self.follower = submission(after=[self.running.event_id, self.queued.event_id])
        ended, running, held = await take(queue)
        await queue.submit([self.queued, self.delayed, self.follower])
        self.entry = {"running": running.entry.entry_id, "held": held.entry.entry_id}
        for taken in (ended, running):
            entry = taken.entry
            step = "begin", entry.event_id, entry.entry_id, "t" + entry.event_id, [SLOTS, RATE]
            assert await queue.step("a", [step]) == [("go", 1)]
        await self.park()
        await queue.step("a", [finish(ended)])
        (self.entry["queued"],) = await self.messages(2)
        return self

    async def park(self):
        """Have an event stand in line, one that it is the turn of, and one that is parked until it is due."""
        self.turn, self.parked, self.slow = (submission(level=1) for _ in range(3))
        await self.queue.submit([self.turn, self.parked, self.slow])
        for taken, limit in zip(await take(self.queue, want=3), (NO_SLOTS, NO_SLOTS, RATE), strict=True):
            step = "park", taken.entry.event_id, taken.entry.entry_id, "", limit, -1
            assert await self.queue.step("a", [step]) == [("done", 0)]

    async def messages(self, stream):
        """Return the ids of the entries in a stream."""
        entries = await self.queue.wire.command(lambda client: client.xrange(f"{self.queue.prefix}q:{stream}"))
        return [entry.identifier.decode() for entry in entries]

    def text(self, text):
        """Return a text in which a name in braces is an attribute, and an event its id."""
        ids = {name: event.event_id for name, event in vars(self).items() if isinstance(event, cluster.Submission)}
        return text.format(**ids, entry=self.entry)

    async def do(self, *words):
        """Send a command to the server. A ``$`` begins the name of a key of the queue."""
        words = [self.text(str(word)).replace("$", self.queue.prefix).encode("latin-1") for word in words]
        script = "return redis.call(unpack(ARGV))"
        await self.queue.wire.command(lambda client: client.eval(script, args=words))

    async def broken(self, **options):
        """Return the message of the check, and the names of the invariants in it."""
        with pytest.raises(InvariantBroken) as caught:
            await check_cluster(self.queue, **options)
        text = str(caught.value)
        names = [line.partition(":")[0] for line in text.splitlines() if line.startswith("cluster_")]
        assert caught.value.invariant == names[0]
        return text, set(names)


@pytest.fixture
async def busy(queue):
    found = await Busy(queue).fill()
    await check_cluster(queue, lease=60)
    return found


# ---------------------------------------------------------------- what holds


async def test_nothing_is_wrong_with_an_empty_queue(queue):
    """There is not even a transition."""
    await check_cluster(queue, lease=1)


async def test_nothing_is_wrong_after_work(queue):
    """At any moment of it, and at its end: with delays, keys, followers, cancellations and workers that leave."""
    events = [submission(level=1 + number % 3, key=f'"{number}"', retain=50 * (number % 2)) for number in range(150)]
    later = [submission(due=-2_500_000) for _ in range(30)]
    followers = [submission(after=[events[2 * place].event_id, later[place].event_id]) for place in range(30)]
    doomed = [submission(after=[follower.event_id]) for follower in followers]
    works, scope = [Work(queue, slots=5, seconds=0.002) for _ in range(3)], anyio.CancelScope()
    queries = cluster.QueueQueries(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(work_in, scope, works[0])
        for work in works[1:]:
            group.start_soon(work.work)
        for some in (events, later, followers, doomed):
            await queue.submit(some)
            await check_cluster(queue)
        cancelled = [follower.event_id for follower in followers[:20]]
        await queue.cancel(cancelled, "cancelled", [b""] * 20)
        scope.cancel()
        await check_cluster(queue)
        assert await queries.retry(cancelled[:10]) == ["queued"] * 10
        await check_cluster(queue)
        with anyio.fail_after(60):
            while (found := await queries.counts()).get("pending", 0) + found.get("processing", 0):
                await check_cluster(queue)
                await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    await check_cluster(queue, lease=5)
    ended = {"completed": 150 + 30 + 20 + 10, "cancelled": 10, "skipped": 20}
    assert {status: number for status, number in found.items() if number} == ended


async def work_in(scope, work):
    """Work until the scope is cancelled."""
    with scope:
        await work.work()


async def test_nothing_is_wrong_while_workers_that_died_held_events(queue):
    """The next one takes them over: the events run again."""
    await queue.submit([submission() for _ in range(20)])
    await begin(queue, await take(queue, "dead"), "dead")
    await check_cluster(queue)
    work = Work(queue, lease=0.2)
    async with anyio.create_task_group() as group:
        group.start_soon(work.work)
        with anyio.fail_after(20):
            while len(work.done) < 20:
                await anyio.sleep(0.01)
                await check_cluster(queue)
        group.cancel_scope.cancel()
    await check_cluster(queue, lease=0.2)


def test_the_testing_kit_needs_no_client_library():
    """It is imported without the extra of a cluster."""
    program = "import sys; sys.modules['coredis'] = sys.modules['msgspec'] = None; import lionpride_exec.testing"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------- what breaks


async def assert_broken(queue, name, words, said, *, also=()):
    """Assert that a command breaks an invariant of a queue with an event in each place, and ``also`` at most."""
    other = new_queue(queue.wire)
    await other.open()
    busy = await Busy(other).fill()
    await check_cluster(other, lease=60)
    await busy.do(*words)
    text, names = await busy.broken()
    assert names - set(also) == {name}
    assert busy.text(said) in text


async def test_cluster_counts(queue):
    """A count that is not the number of events."""
    for words, said in [
        (("HINCRBY", "$n", "completed", 1), "2 events are counted as completed, and 1 are"),
        (("HINCRBY", "$n", "pending", -1), "6 events are counted as pending, and 7 are"),
        (("HSET", "$n", "lost", 3), "3 events are counted as lost, and 0 are"),
    ]:
        await assert_broken(queue, "cluster_counts", words, said)


async def test_cluster_counts_without_all_transitions(busy):
    """What has ended and expired is not known then, so a count may only be too low."""
    await busy.do("XTRIM", "$t", "MAXLEN", 2)
    await busy.do("HINCRBY", "$n", "completed", 1)
    await check_cluster(busy.queue)
    await busy.do("HINCRBY", "$n", "completed", -2)
    assert (await busy.broken())[1] == {"cluster_counts"}


async def test_cluster_places(queue):
    """An event in two places, in none, or after its end in one; and what belongs to no event."""
    for words, said in [
        (("ZREM", "$d", "{delayed}"), "event {delayed}, pending: is in no place"),
        (("XADD", "$q:1", "*", "i", "{delayed}"), "event {delayed}, pending: is in stream 1 as"),
        (("XADD", "$q:3", "*", "i", "{queued}"), "event {queued}, pending: is in stream 2 as"),
        (("XADD", "$q:3", "*", "i", "{running}"), "event {running}, processing: is in stream 1 as"),
        (("ZADD", "$d", 1, "{queued}"), "event {queued}, pending: is in stream 2 as {entry[queued]} and the delayed"),
        (("ZADD", "$d", 1, "{ended}"), "event {ended}, completed: is in the delayed events"),
        (("XADD", "$q:1", "*", "i", "{ended}"), "event {ended}, completed: is in stream 1 as"),
        (("XADD", "$q:1", "*", "i", "{follower}"), "event {follower}, pending: is in stream 1 as"),
        (("XDEL", "$q:2", "{entry[queued]}"), "event {queued}, pending: is in no place"),
        (("XADD", "$q:1", "*", "i", "nobody"), "there is no event 'nobody', but it is in stream 1"),
        (("XADD", "$q:1", "*", "other", "field"), "there is no event '', but it is in stream 1"),
        (("ZADD", "$d", 1, "nobody"), "there is no event 'nobody', but it is in the delayed events"),
        (("ZREM", "$l:slots:p", "{parked}"), "event {parked}, pending: is in no place"),
        (
            ("ZADD", "$d", 1, "{parked}"),
            "event {parked}, pending: is in the delayed events and the line of limit slots",
        ),
        (("ZADD", "$l:other:p", 1, "nobody"), "there is no event 'nobody', but it is in the line of limit other"),
    ]:
        await assert_broken(queue, "cluster_places", words, said, also={"cluster_entries", "cluster_lines"})


async def test_cluster_entries(queue):
    """An event and its entry that do not fit, or a run that nobody holds."""
    for words, said in [
        (("XACK", "$q:1", "lp", "{entry[running]}"), "event {running}, processing: no worker holds it"),
        (
            ("HSET", "$e:{queued}", "mi", "1-1"),
            "event {queued}, pending: names 1-1 of stream 2, which is not its entry",
        ),
        (("HSET", "$e:{queued}", "mi", ""), "event {queued}, pending: does not name its entry {entry[queued]}"),
        (("HSET", "$e:{queued}", "qs", 1), "event {queued}, pending: does not name its entry {entry[queued]}"),
        (("XDEL", "$q:1", "{entry[held]}"), "worker a holds {entry[held]} of stream 1, which is not there"),
    ]:
        await assert_broken(queue, "cluster_entries", words, said, also={"cluster_places"})


async def test_cluster_followers(queue):
    """An event that would wait for ever, or start too early."""
    for words, said in [
        (("HSET", "$e:{follower}", "wa", 1), "event {follower}, pending: waits for 1 events, and 2 know of it"),
        (("DEL", "$s:{queued}"), "event {follower}, pending: waits for 2 events, and 1 know of it"),
        (("SADD", "$s:{queued}", "{held}"), "event {held}, pending: waits for 0 events, and 1 know of it"),
        (("RENAME", "$s:{queued}", "$s:{ended}"), "event {ended} has ended, and 1 events are said to wait for it"),
    ]:
        await assert_broken(queue, "cluster_followers", words, said)


async def test_cluster_keys(queue):
    """A key that leads to nothing, or to another event."""
    for words, said in [
        (("DEL", '$k:"r"'), 'event {running}, processing: its key "r" leads to nothing'),
        (("SET", '$k:"r"', "{queued}"), 'event {running}, processing: its key "r" leads to {queued}'),
    ]:
        await assert_broken(queue, "cluster_keys", words, said)


async def test_cluster_kept(queue):
    """An open event that is or will be lost."""
    for words, said in [
        (("DEL", "$b:{queued}"), "event {queued}, pending: its envelope is gone"),
        (("EXPIRE", "$b:{queued}", 100), "event {queued}, pending: expires"),
        (("EXPIRE", "$e:{running}", 100), "event {running}, processing: expires"),
        (("EXPIRE", '$k:"h"', 100), "event {held}, pending: expires"),
    ]:
        await assert_broken(queue, "cluster_kept", words, said)


async def test_cluster_limits(queue):
    """A cost that never comes back, or is not counted."""
    for words, said in [
        (("HINCRBYFLOAT", "$l:slots:c", "used", "1"), "limit slots: 3 are used, and the costs make 2"),
        (("HDEL", "$l:rate:x:c", "t{running}"), "limit rate:x: 0.2 are used, and the costs make 0.1"),
        (("ZREM", "$l:rate:x:u", "t{running}"), "limit rate:x: the costs are of the runs "),
        (("ZADD", "$l:slots:u", 1, "t{running}"), "limit slots: the costs are of the runs "),
        (("HSET", "$l:slots:h", "t{ended}", "a"), "limit slots: run t{ended} holds of it, and does not go on"),
        (("HDEL", "$e:{running}", "li"), "limit slots: run t{running} holds of it, and does not go on"),
        (("HSET", "$e:{ended}", "li", "\x91\x92\xa1x\x00"), "event {ended}, completed: holds x"),
    ]:
        await assert_broken(queue, "cluster_limits", words, said)


async def test_cluster_lines(busy):
    """A line that stands still for ever, or an event that is not where it is said to be."""
    await busy.do("HDEL", "$e:{turn}", "tu")
    await check_cluster(busy.queue)  # a run will end
    await busy.do("RENAME", "$l:slots:p", "$l:other:p")
    text, names = await busy.broken()
    assert names == {"cluster_lines"}
    assert "limit other: 1 events stand in line, and nothing will let them go on" in text
    assert busy.text("event {parked}, pending: stands in line at limit other, and is parked at slots") in text
    await busy.do("HSET", "$e:{turn}", "tu", "other")
    await busy.do("HSET", "$e:{parked}", "pk", "other")
    await check_cluster(busy.queue)
    await busy.do("HSET", "$e:{running}", "tu", "other")
    text, names = await busy.broken()
    assert names == {"cluster_lines"}
    assert busy.text("event {running}, processing: it is its turn at limit other") in text


async def test_cluster_leases(busy):
    """Nobody has taken over what a dead worker holds."""
    await busy.do("DEL", "$w:a")
    await anyio.sleep(0.05)
    await check_cluster(busy.queue, lease=10)
    text, names = await busy.broken(lease=0.02)
    assert names == {"cluster_leases"}
    assert f"worker a has not renewed {busy.entry['held']} of stream 1 for " in text


async def test_cluster_transitions(queue):
    """A second end, or a step that the table does not have."""
    for status, event_id, said in [
        ("failed", "{ended}", "event {ended}: completed -> failed"),
        ("pending", "{ended}", "event {ended}: completed -> pending"),
        ("completed", "{queued}", "event {queued}: pending -> completed"),
        ("processing", "nobody", "event nobody: nothing -> processing"),
        ("lost", "{running}", "event {running}: processing -> lost"),
        ("cancelled", "{queued}", "event {queued}, pending: the last transition was to cancelled"),
    ]:
        words = "XADD", "$t", "*", "i", event_id, "s", status, "a", 1, "w", "", "o", ""
        await assert_broken(queue, "cluster_transitions", words, said, also={"cluster_counts"})


async def test_transitions_are_looked_at_if_they_are_all_there(busy):
    """What was trimmed may have had the start of an event."""
    await busy.do("XADD", "$t", "*", "i", "{ended}", "s", "failed", "a", 1, "w", "", "o", "")
    await busy.do("XTRIM", "$t", "MAXLEN", 3)
    await check_cluster(busy.queue)


async def test_all_that_is_wrong_is_told(busy):
    """The first broken invariant gives the error its name."""
    await busy.do("HINCRBY", "$n", "completed", 1)
    await busy.do("DEL", "$b:{queued}")
    await busy.do("DEL", "$w:a")
    await anyio.sleep(0.01)
    text, names = await busy.broken(lease=0)
    assert names == {"cluster_counts", "cluster_kept", "cluster_leases"}
    assert text.startswith("cluster_counts: The count of each status is")
    for number in range(30):
        await busy.do("ZADD", "$d", 1, f"nobody {number}")
    text, _ = await busy.broken()
    assert text.count("there is no event 'nobody") == 20
    assert "and 10 more" in text
