"""Events that are held after a crash: what is known of them, and how they are released or ended."""

import sqlite3
from contextlib import aclosing, closing
from uuid import UUID

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import HoldStep, Step, begun, crash, open_executor, rows
from parts import faces_snapshot, faces_sources

from lionpride_exec import ExistsError, NotFoundError, WaitReason
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio

END = {"cancel": "cancelled", "skip": "skipped"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.mark.parametrize("ack", ["lazy", "strict"])
@pytest.mark.parametrize("end", ["cancel", "skip"])
@pytest.mark.parametrize("by", ["id", "event"])
async def test_a_held_event_is_known_and_can_be_ended(path, ack, end, by):
    """`explain()` says that it is held. `cancel()` and `skip()` end it, whether it was read or only its id is known."""
    copy = await begun(path, HoldStep(name="held", seconds=10), HoldStep(name="other", seconds=10))
    async with open_executor(copy, ack=ack) as executor:  # this start finds that the events ran
        assert {executor.explain(event).waits_for for event in await executor.held_events()} == {WaitReason.HELD}
    async with open_executor(copy, ack=ack) as executor:  # this one finds that they are held
        held, other = await executor.held_events()
        job = await executor.get(held.id)
        assert job is held
        assert job in executor
        assert job.id in executor
        named = held.id if by == "id" else job
        told = executor.explain(named)
        assert (told.status, told.waits_for) == ("pending", WaitReason.HELD)
        assert "waits for release() or cancel(): it ran when the process died" in str(told)
        assert (executor.status_counts()["pending"], executor.journal.left) == (0, {"held": 2})
        with pytest.raises(NotFoundError, match=r"is held: release\(\) it first"):
            executor.set_priority(named, 1)
        ended = []
        executor.observe(lambda event, _, target: ended.append((event, target)))
        assert getattr(executor, end)(named, "no longer wanted")
        assert executor.explain(job).waits_for in {WaitReason.JOURNAL, WaitReason.FINAL}
        await job.wait()
        assert (job.status, str(job.execution.error)) == (END[end], "no longer wanted")
        assert ended == [(job, job.status)]
        assert executor.status_counts()[job.status] == 1
        assert executor.journal.left == {"held": 1}
        assert not executor.cancel(job)
        with pytest.raises(NotFoundError, match="No event .* is held"):
            await executor.release(job)
        assert [event.id for event in await executor.held_events()] == [other.id]
    assert rows(copy) == [job.status, "held"]
    async with open_executor(copy) as executor:
        assert (await executor.get(held.id)).status == job.status
        assert not executor.cancel(await executor.get(held.id))


async def test_a_held_event_that_is_released_is_the_object_that_was_read(path):
    """A program that holds the object can wait for its end."""
    copy = await begun(path, HoldStep(name="held", seconds=10))
    async with open_executor(copy) as executor, anyio.create_task_group() as group:
        (held,) = await executor.held_events()
        group.start_soon(held.wait)
        await wait_all_tasks_blocked()
        assert await executor.release(held.id) is held
        assert executor.explain(held).waits_for is not WaitReason.HELD
    assert held.result() == "held"


async def test_the_end_of_a_held_event_survives_a_kill_once_it_is_seen(path):
    """With a strict journal, an event that a program has seen cancelled is cancelled after a kill too."""
    copy = await begun(path, HoldStep(name="held", seconds=10))
    with anyio.CancelScope() as scope:
        async with open_executor(copy, ack="strict") as executor:
            (held,) = await executor.held_events()
            assert executor.cancel(held)
            before = crash(copy, "before.db")
            await held.wait()
            after = crash(copy, "after.db")
            scope.cancel()
            await anyio.sleep_forever()
    assert (rows(before), rows(after)) == (["held"], ["cancelled"])


async def test_a_held_event_that_cannot_be_read_is_left_alone(path):
    """It is counted, and neither known nor ended, since what it was is not known here."""
    copy = await begun(path, HoldStep(name="held", seconds=10))
    async with open_executor(copy) as executor:
        (held,) = await executor.held_events()
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE event SET event = replace(event, 'tests.hold', 'tests.nobody')")
    async with open_executor(copy) as executor:
        assert executor.journal.left == {"held": 1}
        assert held.id not in executor
        with pytest.raises(NotFoundError, match="in memory or held"):
            executor.cancel(held.id)
    assert rows(copy) == ["held"]


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_a_thread_cannot_end_a_held_event(path, ack):
    """It is refused, and the event is held as before: it does not start with another one that is released."""
    copy = await begun(path, HoldStep(name="held", seconds=10), HoldStep(name="other", seconds=10))
    async with open_executor(copy, ack=ack) as executor:
        held, other = await executor.held_events()
        for end in (executor.cancel, executor.skip):
            with pytest.raises(RuntimeError, match="not the thread of the executor's event loop"):
                await anyio.to_thread.run_sync(end, held.id)
        assert executor.explain(held).waits_for is WaitReason.HELD
        await executor.release(other)
        await other.wait()
        assert (held.status, held.execution.attempt, executor.journal.left) == ("pending", 0, {"held": 1})
        assert [event.id for event in await executor.held_events()] == [held.id]
    assert sorted(rows(copy)) == ["completed", "held"]


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_a_cancel_during_a_release_counts(path, ack):
    """The file is being written for the release when somebody cancels the event: it ends, and does not run."""
    copy = await begun(path, HoldStep(name="held", seconds=10))
    refused = []
    async with open_executor(copy, ack=ack) as executor, anyio.create_task_group() as group:
        (held,) = await executor.held_events()

        async def release():
            try:
                await executor.release(held)
            except NotFoundError as exc:
                refused.append(str(exc))

        group.start_soon(release)
        await anyio.lowlevel.checkpoint()
        assert executor.cancel(held)
        await held.wait()
    assert (held.status, len(refused), held.execution.attempt) == ("cancelled", 1, 0)
    assert rows(copy) == ["cancelled"]


@pytest.mark.parametrize(
    ("what", "told", "status"),
    [
        ("cancel", "1 event cancelled", "cancelled"),
        ("skip", "1 event skipped", "skipped"),
        ("retry", "1 event pending again", "completed"),
    ],
)
@pytest.mark.parametrize("is_one", [True, False], ids=["one", "all"])
async def test_the_dashboard_of_a_running_executor_decides_about_held_events(path, what, told, status, is_one):
    """The buttons beside a held event do what they say, for one event and for all that are held."""
    copy = await begun(path, HoldStep(name="held", seconds=10))
    async with open_executor(copy) as executor, aclosing(faces_sources.live_source(executor)) as source:
        (held,) = await executor.held_events()
        assert (await source.snapshot()).counts["held"] == 1
        assert "held" in (await source.event(str(held.id))).explanation
        about = {"id": str(held.id)} if is_one else {"choice": faces_snapshot.Choice(status="held")}
        assert await source.act(faces_snapshot.Action(what=what, by="ada", **about)) == told
        await held.wait()
        assert held.status == status
    assert rows(copy) == [status]


# -------------------------------------------------------------------- what comes after a held event


async def followed(path, *, any_end=False):
    """Die while a held event runs that a line of two events comes after. Return the path of the file, and the ids."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack="strict") as executor:
            first = await executor.append(HoldStep(name="held", seconds=10), key="held")
            how = {"after_any_end": first} if any_end else {"after": first}
            second = await executor.append(Step(name="second"), key="second", **how)
            third = await executor.append(Step(name="third"), after=[second, await executor.append(Step())])
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    return copy, [first.id, second.id, third.id]


def ends(copy):
    """Return how the three events have ended."""
    statuses = rows(copy)
    return [*statuses[:2], statuses[3]]  # as its other event came before the third


@pytest.mark.parametrize("ack", ["lazy", "strict"])
@pytest.mark.parametrize("any_end", [False, True])
@pytest.mark.parametrize(
    ("decide", "after", "whatever"),
    [
        ("release", ["completed"] * 3, ["completed"] * 3),
        ("cancel", ["cancelled", "skipped", "skipped"], ["cancelled", "completed", "completed"]),
        ("skip", ["skipped"] * 3, ["skipped", "completed", "completed"]),
    ],
)
@pytest.mark.parametrize("starts", [1, 2])
async def test_what_comes_after_a_held_event_follows_the_decision(path, ack, any_end, decide, after, whatever, starts):
    """It waits in the file until then, and holds up nothing: the executor can be left. Then it needs no other start."""
    copy, ids = await followed(path, any_end=any_end)
    for _ in range(starts):
        async with open_executor(copy, ack=ack) as executor:
            assert executor.journal.left == {"held": 1, "after what is left": 2}
            assert executor.status_counts()["pending"] == 0
        assert ends(copy) == ["held", "pending", "pending"]
    async with open_executor(copy, ack=ack) as executor:
        _, second, third = [await executor.get(one) for one in ids]
        told = executor.explain(second)
        assert (told.status, told.waits_for, told.after) == ("pending", WaitReason.DEPENDENCY, (ids[0],))
        assert executor.explain(third.id).after == (ids[1],)
        with pytest.raises(NotFoundError, match=r"comes after a held event: release\(\) that one first"):
            executor.set_priority(second, 1)
        if decide == "release":
            await executor.release(ids[0])
        else:
            assert getattr(executor, decide)(ids[0])
        assert executor.journal.left == {"held": 0, "after what is left": 0}
        await third.wait()
        assert (second.status, third.status) == tuple((whatever if any_end else after)[1:])
        check_invariants(executor)
    assert ends(copy) == (whatever if any_end else after)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_what_comes_after_a_held_event_can_be_cancelled(path, ack):
    """It ends, and so does what comes after it. The held event stays held, and may run."""
    copy, ids = await followed(path)
    async with open_executor(copy, ack=ack) as executor:
        assert all(one in executor for one in ids)
        assert executor.cancel(ids[1], unless_begun=True)
        third = await executor.get(ids[2])
        await third.wait()
        assert not executor.cancel(ids[1])
        assert executor.journal.left == {"held": 1, "after what is left": 0}
        assert executor.explain(ids[0]).waits_for is WaitReason.HELD
        check_invariants(executor)
    assert ends(copy) == ["held", "cancelled", "skipped"]


async def test_what_comes_after_a_held_event_and_one_that_failed_is_skipped(path):
    """At the next start, whatever becomes of the held event, and so is what comes after it."""
    copy, ids = await followed(path)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE event SET status = 'failed', finished = 1 WHERE seq = 3")
    async with open_executor(copy) as executor:
        assert executor.journal.left == {"held": 1, "after what is left": 1}
        assert (await executor.get(ids[2])).status == "skipped"
        assert executor.explain(ids[1]).after == (ids[0],)
    assert ends(copy) == ["held", "pending", "skipped"]


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_a_held_event_is_released_after_what_comes_after_it_was_cancelled(path, ack):
    """The one runs, and the other stays cancelled."""
    copy, ids = await followed(path)
    async with open_executor(copy, ack=ack) as executor:
        assert executor.cancel(ids[1])
    async with open_executor(copy, ack=ack) as executor:
        await executor.release(ids[0])
    assert ends(copy) == ["completed", "cancelled", "skipped"]


async def test_what_comes_after_a_held_event_that_cannot_be_read_stays(path):
    """Nobody here knows what it waits for."""
    copy, ids = await followed(path)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE event SET event = replace(event, 'tests.hold', 'tests.nobody')")
        connection.execute("UPDATE event SET status = 'held' WHERE seq = 1")
    async with open_executor(copy) as executor:
        assert executor.journal.left == {"held": 1, "after what is left": 2}
        with pytest.raises(NotFoundError):
            executor.cancel(ids[1])
    assert ends(copy) == ["held", "pending", "pending"]


@pytest.mark.parametrize("fails", [0, 2])
@pytest.mark.parametrize("forgets", [False, True])
async def test_what_comes_after_two_held_events_and_another_one(path, fails, forgets):
    """It follows all of them, also the one that ends, and leaves memory, before somebody decides."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack="strict") as executor:
            held = [await executor.append(HoldStep(name=name, seconds=10)) for name in "ab"]
            other = await executor.append(Step(seconds=10, fails=fails))
            last = await executor.append(Step(name="last"), after=[*held, other])
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy) as executor:
        await (await executor.get(other.id)).wait()
        if forgets:
            await executor.cleanup_events()
        await (await executor.release(held[0])).wait()
        assert executor.explain(last.id).after == (held[1].id,)
        assert executor.journal.left == {"held": 1, "after what is left": 1}
        await executor.release(held[1])
        assert executor.journal.left == {"held": 0, "after what is left": 0}
    assert rows(copy) == ["completed", "completed", *(["failed", "skipped"] if fails else ["completed"] * 2)]


async def test_what_comes_after_a_held_event_has_its_key(path):
    """Once the held event is released, its key leads to it, as the key of any event in memory does."""
    copy, ids = await followed(path)
    async with open_executor(copy) as executor:
        with pytest.raises(ExistsError, match="left in the journal as it is"):
            await executor.append(Step(name="second"), key="second")
        await executor.release(ids[0])
        assert (await executor.append(Step(name="second"), key="second")).id == ids[1]
    assert ends(copy) == ["completed"] * 3


# -------------------------------------------------------------------- taking back what has not begun


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_what_was_taken_back_stays_so_after_a_kill(path, ack):
    """With a strict journal, from the moment at which its end was seen. A kill before that lets the event run."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack=ack, config={"concurrency_limit": 1}) as executor:
            _, order = await executor.extend([Step(name="first", seconds=10), Step(name="order")])
            await anyio.sleep(1)
            assert executor.cancel(order, unless_begun=True)
            at_once = crash(path, "at-once.db")
            await order.wait()
            seen = crash(path, "seen.db")
            scope.cancel()
            await anyio.sleep_forever()
    assert rows(at_once) == ["processing", "pending"]
    if ack == "strict":
        assert rows(seen) == ["processing", "cancelled"]
    async with open_executor(at_once):
        pass
    assert rows(at_once) == ["completed", "completed"]


@pytest.mark.parametrize("cls", [Step, HoldStep])
async def test_what_a_kill_has_cut_off_is_not_taken_back(path, cls):
    """With a strict journal it is known after the restart that the event has begun, whatever its class says."""
    copy = await begun(path, cls(seconds=10), Step(name="other", seconds=10), Step(seconds=10), Step(name="waits"))
    async with open_executor(copy, ack="strict", config={"concurrency_limit": 1}) as executor:
        executor.pause()
        ids = rows(copy, "id")
        answers = [executor.cancel(UUID(bytes=one), unless_begun=True) for one in ids]
        assert answers == [False, False, False, True]
        executor.resume()
