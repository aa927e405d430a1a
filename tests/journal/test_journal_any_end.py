"""Events that begin once others have ended in any way, with a journal: ``after_any_end=`` survives a restart."""

import sqlite3
from contextlib import closing, suppress
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from commands import run_command
from journal_support import FailStep, HoldStep, Step, crash, open_executor, rows, steps, until, wait_for, written

from lionpride_exec import Event, EventStatus, Executor, Journal, NotFoundError, Retain
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio

ACKS = pytest.mark.parametrize("ack", ["lazy", "strict"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def any_ends(path):
    """Return how many rows the table of its own has. None if there is no table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM after_any_end").fetchone()[0]
        except sqlite3.OperationalError:
            return None


async def left_behind(path, prepare, **options):
    """Return the file that a crash leaves behind once ``prepare(executor)`` has returned."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, **options) as executor:
            await prepare(executor)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    return copy


async def statuses(path, **options):
    """Run what is left in a file. Return the statuses of the events, in order of arrival."""
    async with open_executor(path, **options) as executor:
        await executor.join()
        check_invariants(executor)
    return rows(path)


@ACKS
@pytest.mark.parametrize("kind", [Step, FailStep])
async def test_a_crash_while_the_other_ran(path, kind, ack):
    """It waits for the other to run again; if the other has FAILED by the crash, it runs."""
    ran = []

    class Note(Step, tag="tests.any_end.note"):
        async def _invoke(self):
            ran.append(self.name)

    async def prepare(executor):
        work = await executor.append(kind(name="work", seconds=10, fails=2))
        await executor.append(Note(name="clean"), after_any_end=work)
        await anyio.sleep(1)
        if ack == "lazy":
            await written(executor)

    copy = await left_behind(path, prepare, ack=ack)
    assert rows(copy) == ["processing", "pending"]
    async with open_executor(copy, ack=ack) as executor:
        if kind is Step:
            (work,) = [event for event in executor.states.items if event.name == "work"]
            (clean,) = [event for event in executor.states.items if event.name == "clean"]
            assert executor.explain(clean).after == (work.id,)
            await anyio.sleep(5)
            assert ran == []
    assert rows(copy) == ["failed", "completed"]
    assert ran == ["clean"]


@pytest.mark.parametrize("how", ["failed", "cancelled", "skipped"])
async def test_an_end_in_an_earlier_run_counts(path, how):
    """The other had ended when the process died, and the event had not begun."""

    async def prepare(executor):
        work = await executor.append(Step(name="work", fails=int(how == "failed")), delay=10)
        later = await executor.append(Step(name="later"), delay=50)
        await executor.append(Step(name="clean"), after_any_end=[work, later])
        await executor.append(Step(name="strict"), after=later, after_any_end=work)
        if how == "cancelled":
            executor.cancel(work)
        elif how == "skipped":
            executor.skip(work)
        await work.wait()
        await written(executor)

    copy = await left_behind(path, prepare)
    assert rows(copy) == [how, "pending", "pending", "pending"]
    assert await statuses(copy) == [how, "completed", "completed", "completed"]


async def test_others_that_have_to_complete_after_a_restart(path):
    """The file knows which is which."""

    async def prepare(executor):
        must, may = await executor.extend([Step(name="must", seconds=10, fails=2), Step(name="may", seconds=10)])
        await executor.append(Step(name="one"), after=must, after_any_end=may)
        await executor.append(Step(name="two"), after=may, after_any_end=must)
        await anyio.sleep(1)
        await written(executor)

    copy = await left_behind(path, prepare)
    assert await statuses(copy) == ["failed", "completed", "skipped", "completed"]


async def test_results_after_a_restart_are_those_of_after(path):
    class Sum(Event, tag="tests.any_end.sum"):
        async def _invoke(self):
            return await self.after_results()

    executor = Executor.of(Event, journal=Journal(path))
    await executor.start()
    one, bad = await executor.extend([Step(name="one", seconds=10), Step(name="bad", seconds=10, fails=2)])
    total = await executor.append(Sum(), after=one, after_any_end=bad)
    await anyio.sleep(1)
    await executor.stop(grace=0)
    async with Executor.of(Event, journal=Journal(path)) as again:
        await again.join()
        assert (await again.get(total.id)).result() == ["one"]


async def test_append_after_what_is_only_on_disk(path):
    """By object or by id, of this run or of an earlier one. What is in neither place is refused."""
    async with open_executor(path) as executor:
        good, bad = await executor.extend([Step(), Step(fails=1)])
        await executor.join()
        await until(lambda: bad.id not in executor.states.items)
        here = await executor.append(Step(seconds=5))
        one = await executor.append(Step(), after_any_end=[good, bad.id])
        two = await executor.append(Step(), after=good, after_any_end=[bad, here])
        three = await executor.append(Step(), after=[bad], after_any_end=[here, bad])
        assert executor.explain(two).after == (here.id,)
        with pytest.raises(NotFoundError, match="There is no event"):
            await executor.append(Step(), after_any_end=Step())
        await executor.join()
    assert [event.status.value for event in (one, two, three)] == ["completed", "completed", "skipped"]
    async with open_executor(path) as executor:
        four = await executor.append(Step(), after_any_end=[bad.id, three.id])
        await four.wait()
    assert four.status is EventStatus.COMPLETED


async def test_ends_that_come_while_the_journal_is_closed(path):
    """The next start of the same executor follows them up, or those of what was removed meanwhile."""
    executor = open_executor(path, config={"concurrency_limit": 1})
    await executor.start()
    executor.pause()
    gone, cancelled, failed = await executor.extend([Step(), Step(), Step(name="failed")])
    clean = [await executor.append(Step(), after_any_end=other) for other in (gone, cancelled, failed)]
    all_of_them = await executor.append(Step(), after_any_end=[gone, cancelled, failed])
    await executor.stop()
    executor.cancel(cancelled)
    executor.cancel(gone)
    await executor.cleanup_events(["cancelled"])
    failed.status = "aborted"
    executor.resume()
    async with executor:
        await executor.join()
    assert {event.status for event in (*clean, all_of_them)} == {EventStatus.COMPLETED}
    assert rows(path, where="status != 'completed'") == ["cancelled", "cancelled", "aborted"]


async def test_an_append_that_is_on_disk_once_the_journal_is_closed(path):
    """The next start looks up how the other has ended, which has left memory and the file's cache meanwhile."""
    executor = open_executor(path)
    await executor.start()
    executor.pause()
    work = await executor.append(Step(name="work"))
    clean = Step(name="clean")
    async with anyio.create_task_group() as group:
        group.start_soon(partial(executor.append, clean, after_any_end=work))
        await wait_for(lambda: clean in executor)
        await executor.stop()
    executor.cancel(work)
    await executor.cleanup_events(["cancelled"])
    executor.resume()
    async with executor:
        await executor.join()
    assert clean.status is EventStatus.COMPLETED
    assert rows(path) == ["cancelled", "completed"]


async def test_a_held_event_has_not_ended(path):
    """What comes after it is left in the file, until its release."""

    async def prepare(executor):
        held = await executor.append(HoldStep(name="held", seconds=10))
        await executor.append(Step(name="clean"), after_any_end=held)
        await anyio.sleep(1)
        await written(executor)

    copy = await left_behind(path, prepare, ack="strict")
    async with open_executor(copy) as executor:
        assert executor.journal.left == {"held": 1, "after what is left": 1}
        (held,) = await executor.held_events()
        await (await executor.release(held.id)).wait()
    assert rows(copy) == ["completed", "completed"]


# -------------------------------------------------------------------- the file


async def test_a_file_without_such_events_has_no_table(path):
    async with open_executor(path) as executor:
        first = await executor.append(Step())
        await executor.append(Step(), after=first)
    assert any_ends(path) is None
    assert await statuses(path) == ["completed", "completed"]


async def test_an_earlier_version_takes_them_for_after(path):
    """It never starts them too early: the column has all ids, and the number of the format is as before."""

    async def prepare(executor):
        work, other = await executor.extend([Step(name="work", seconds=10, fails=2), Step(name="other", seconds=10)])
        await executor.append(Step(name="clean"), after=other, after_any_end=work)
        await anyio.sleep(1)
        await written(executor)
        assert rows(path, "after", "seq = 3") == [other.id.bytes + work.id.bytes]

    copy = await left_behind(path, prepare)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        connection.execute("DROP TABLE after_any_end")
        connection.commit()
    assert await statuses(copy) == ["failed", "completed", "skipped"]


async def test_put_back_by_hand_it_still_waits_for_any_end(path):
    """``retry`` of the command line, also after a later start has tidied the file."""
    async with open_executor(path) as executor:
        work = await executor.append(Step(name="work", fails=9))
        clean = await executor.append(Step(name="clean", fails=1), after_any_end=work)
        await clean.wait()
    async with open_executor(path):
        pass
    assert rows(path) == ["failed", "failed"]
    assert run_command(["retry", str(path), "--id", "2"]) == 0
    assert rows(path) == ["failed", "pending"]
    async with open_executor(path) as executor:
        await executor.join()
    assert rows(path, "status, attempt") == [("failed", 1), ("failed", 1)]


async def test_the_table_shrinks_with_the_events(path):
    """With those that are not kept any longer, and with those that an earlier version has deleted."""
    async with open_executor(path) as executor:
        work = await executor.append(Step(seconds=5, fails=1))
        await executor.extend([Step() for _ in range(5)], after_any_end=work)
    assert any_ends(path) == 5
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM event WHERE seq = 3")
        connection.commit()
    async with Executor.of(Step, journal=Journal(path, retain=Retain(2))) as executor:
        await executor.append(Step())
    assert len(rows(path)) < 5
    assert any_ends(path) == len(rows(path, where="after IS NOT NULL"))


async def test_what_is_waited_for_stays_in_the_file(path):
    """Whatever is retained: a restart has to know that the other has ended."""
    async with open_executor(path) as executor:
        work = await executor.append(Step(fails=1))
        await work.wait()
        slow = await executor.append(Step(seconds=100))
        await executor.append(Step(name="clean"), after_any_end=[work, slow])
        await wait_all_tasks_blocked()
    assert rows(path) == ["failed", "completed", "completed"]


async def test_a_cancelled_append_leaves_nothing(path):
    """Neither the event nor its row in the other table."""
    async with open_executor(path) as executor:
        work = await executor.append(Step(seconds=5, fails=1))
        for steps in range(1, 12):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(cancel_after, steps, scope)
                    await executor.append(Step(name="clean"), after_any_end=work)
        kept = len(executor.pending_events)
        await written(executor)
        await until(lambda: len(rows(path)) == kept + 1)
        assert any_ends(path) in {kept, None}
        check_invariants(executor)


async def cancel_after(steps, scope):
    """Cancel a scope after some steps of the event loop."""
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize("name", ["after", "after_any_end"])
async def test_an_event_that_is_released_meanwhile_is_waited_for(path, name):
    """The look-up of ``append()`` meets the release of a held event: the event is refused, or waits for the other."""

    async def prepare(executor):
        await executor.extend([HoldStep(name="held", seconds=1) for _ in range(30)])
        await anyio.sleep(0.5)
        await written(executor)

    copy = await left_behind(path, prepare, config={"concurrency_limit": 30})
    async with open_executor(copy, config={"concurrency_limit": 30}) as executor:
        for number, held in enumerate(await executor.held_events()):
            event = Step(name="later")
            async with anyio.create_task_group() as group:
                group.start_soon(executor.release, held.id)
                await steps(number)
                with suppress(NotFoundError):
                    await executor.append(event, **{name: held.id})
                    other = executor.states.items[held.id]
                    assert executor.explain(event).after == (held.id,) or other.status.is_terminal
            if event in executor:
                await event.wait()
                assert event.status is EventStatus.COMPLETED
