"""What is said of events that have left memory before the journal has their end, or their deletion, on disk."""

import threading
from contextlib import contextmanager
from functools import partial

import anyio
import pytest
from journal_support import Step, open_executor, rows, steps, wait_for, written
from parts import journal_store

from lionpride_exec import EventStatus, ExistsError, JournalError, NotFoundError

pytestmark = pytest.mark.anyio

ENDED = [status for status in EventStatus if status.is_terminal]


@pytest.fixture
def path(tmp_path):
    """Return the file of the journal."""
    return tmp_path / "run.db"


@contextmanager
def held_commits(error=None):
    """Have all commits wait until the block is left. With an error, they raise it then. Yield those that wait."""
    store = journal_store.Store
    original, gate, waiting = store.commit, threading.Event(), []

    def commit(self, batch):
        """Commit a batch once the gate is open."""
        waiting.append(batch)
        gate.wait(10)
        if error is not None:
            raise error
        return original(self, batch)

    store.commit = commit
    try:
        yield waiting
    finally:
        store.commit = original
        gate.set()


async def forget(executor, event):
    """Remove an event from memory, once it has ended."""
    await event.wait()
    await executor.cleanup_events(ENDED)
    assert event.id not in executor.states.items


# ---------------------------------------------------------------- an end


@pytest.mark.parametrize("passes", [0, 20], ids=["gathered", "being committed"])
async def test_an_event_is_found_with_its_response(path, passes):
    """``get()`` returns an event with its response, however far its end is on the way to the disk."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"))
        with held_commits():
            await forget(executor, event)
            await steps(passes)
            found = await executor.get(event.id)
            assert rows(path) == ["pending"]
    assert (found.status, found.response) == ("completed", "a")


async def test_an_event_is_read_from_the_file_once_its_end_is_there(path):
    """``get()`` returns a copy after the commit."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"))
        await forget(executor, event)
        await written(executor)
        found = await executor.get(event.id)
    assert found is not event
    assert found.response == "a"


async def test_a_failed_event_is_found_with_its_error(path):
    """``get()`` returns an event that has failed with its error."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a", fails=1))
        with held_commits():
            await forget(executor, event)
            found = await executor.get(event.id)
    assert found.status == "failed"
    assert str(found.execution.error) == "a"


async def test_an_event_that_a_map_has_let_go_is_found(path):
    """``get()`` returns an event that ``map()`` has passed on and removed."""
    found = []
    async with open_executor(path, config={"concurrency_limit": 1}) as executor:
        async for event in executor.map(Step, [Step(name="a"), Step(name="b")]):
            with held_commits():
                found.append((await executor.get(event.id)).response)
    assert found == ["a", "b"]


async def test_a_key_leads_to_the_event(path):
    """``append()`` with the key of an event returns the event, and nothing runs twice."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"), key="k")
        with held_commits():
            await forget(executor, event)
            known = await executor.append(Step(name="b"), key="k")
    assert (known.id, known.response) == (event.id, "a")
    assert rows(path) == ["completed"]


async def test_a_key_leads_extend_to_the_event(path):
    """``extend()`` with the key of an event returns the event."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"), key="k")
        with held_commits():
            await forget(executor, event)
            (known,) = await executor.extend([Step(name="b")], key=lambda _: "k")
    assert (known.id, known.response) == (event.id, "a")
    assert rows(path) == ["completed"]


async def test_a_key_leads_to_the_event_while_the_queue_is_full(path):
    """``append(wait=True)`` does not wait for room that a known event does not need."""
    async with open_executor(path, config={"max_queue_size": 1}) as executor:
        executor.pause()
        first = await executor.append(Step(name="a"))
        event = await executor.append(Step(name="b"), key="k", after=first)
        with held_commits():
            executor.skip(event)
            await forget(executor, event)
            with anyio.fail_after(5):
                known = await executor.append(Step(name="c"), key="k", wait=True)
        executor.resume()
    assert known.id == event.id


async def test_the_key_of_an_event_whose_row_is_not_written_is_known(path):
    """``known_keys()`` knows the key of an event that has ended before its row was on disk."""
    event = Step(name="a")
    async with open_executor(path) as executor, anyio.create_task_group() as group:
        with held_commits():
            group.start_soon(partial(executor.append, event, key="k"))
            await wait_for(lambda: event in executor)
            executor.cancel(event)
            await forget(executor, event)
            assert await executor.known_keys(["k", "l"]) == {"k"}
    assert rows(path, "key, status") == [('"k"', "cancelled")]


async def test_two_events_with_one_key_do_not_meet_in_a_commit(path):
    """``append()`` returns an event with the key that has ended before its row was on disk."""
    first, event, known = Step(name="first"), Step(name="a"), []

    async def append_again(executor):
        """Append another event with the key."""
        known.append(await executor.append(Step(name="b"), key="k"))

    async with open_executor(path) as executor, anyio.create_task_group() as group:
        with held_commits():
            group.start_soon(partial(executor.append, first))
            await steps()
            group.start_soon(partial(executor.append, event, key="k"))
            await wait_for(lambda: event in executor)
            executor.cancel(event)
            await forget(executor, event)
            group.start_soon(append_again, executor)
            await steps()
    assert known == [event]
    assert rows(path) == ["completed", "cancelled"]


@pytest.mark.parametrize(("fails", "expected"), [(0, "completed"), (1, "skipped")])
async def test_an_event_can_come_after_it(path, fails, expected):
    """``append(after=)`` learns how an event has ended."""
    follower = Step(name="b")
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a", fails=fails))
        async with anyio.create_task_group() as group:
            with held_commits():
                await forget(executor, event)
                group.start_soon(partial(executor.append, follower, after=event.id))
                await wait_for(lambda: follower in executor)
        await follower.wait()
    assert follower.status == expected


async def test_an_event_is_counted_once(path):
    """``status_counts()`` counts an event before and after the commit of its end."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"))
        with held_commits():
            await forget(executor, event)
            assert executor.status_counts()["completed"] == 1
        await written(executor)
        assert executor.status_counts()["completed"] == 1


async def test_an_event_that_ended_while_the_journal_was_closed_is_found(path):
    """``get()`` and ``append(key=)`` find an event whose end the next start has to write."""
    executor = open_executor(path)
    await executor.start()
    event = await executor.append(Step(name="a"), delay=10, key="k")
    await executor.stop()
    executor.skip(event)
    await executor.cleanup_events(["skipped"])
    with held_commits():
        await executor.start()
        found = await executor.get(event.id)
        known = await executor.append(Step(name="b"), key="k")
        assert rows(path) == ["pending"]
    await executor.stop()
    assert (found.id, found.status) == (event.id, "skipped")
    assert known.id == event.id
    assert rows(path) == ["skipped"]


async def test_an_event_that_cannot_be_written_is_not_counted(path):
    """An event that has ended and left, and whose row is refused, is as if it had never come."""
    event, refused = Step(name="a"), []

    async def append(executor):
        """Append an event that the disk refuses."""
        with pytest.raises(JournalError, match="refused"):
            await executor.append(event, key="k")
        refused.append(event)

    async with open_executor(path) as executor:
        async with anyio.create_task_group() as group:
            with held_commits(JournalError("refused", retryable=False)) as waiting:
                group.start_soon(append, executor)
                await wait_for(lambda: waiting)
                executor.cancel(event)
                await forget(executor, event)
        assert refused
        assert executor.status_counts()["cancelled"] == 0
        assert event.id not in executor
        with pytest.raises(NotFoundError):
            await executor.get(event.id)
        assert await executor.known_keys(["k"]) == set()


# ---------------------------------------------------------------- a deletion


async def remove(executor):
    """Remove the pending events."""
    assert await executor.cleanup_events(["pending"]) == 1


async def test_a_removed_event_is_not_found(path):
    """``get()`` raises NotFoundError for an event that was removed before its end."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"), delay=10)
        with held_commits():
            await remove(executor)
            with pytest.raises(NotFoundError, match=f"There is no event {event.id}"):
                await executor.get(event.id)
            assert rows(path) == ["pending"]
    assert rows(path) == []


async def test_the_key_of_a_removed_event_is_unknown(path):
    """``known_keys()`` does not know the key of an event that was removed before its end."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="a"), delay=10, key="k")
        with held_commits():
            await remove(executor)
            assert await executor.known_keys(["k"]) == set()


async def test_the_key_of_a_removed_event_can_be_used_again(path):
    """``append(wait=True)`` waits for room for an event with the key of a removed event, and takes it in."""
    taken = []

    async def append(executor):
        """Append an event with the key, once there is room."""
        taken.append(await executor.append(Step(name="c"), key="k", wait=True))

    async with open_executor(path, config={"max_queue_size": 1}) as executor:
        executor.pause()
        first = await executor.append(Step(name="a"))
        removed = await executor.append(Step(name="b"), key="k", after=first)
        async with anyio.create_task_group() as group:
            with held_commits():
                await executor.cleanup_events(["pending"])
                group.start_soon(executor.append, Step(name="fills"))
                await steps()
                group.start_soon(append, executor)
                await steps()
                assert await executor.known_keys(["k"]) == set()  # after the look-up of append()
            executor.resume()
    assert [event.response for event in taken] == ["c"]
    assert removed.status == "pending"


async def test_no_event_can_come_after_a_removed_event(path):
    """``append(after=)`` raises NotFoundError for an event that was removed before its end."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"), delay=10)
        with held_commits():
            await remove(executor)
            with pytest.raises(NotFoundError, match=f"There is no event {event.id}"):
                await executor.append(Step(name="b"), after=event.id)


async def test_an_event_that_was_removed_while_the_journal_was_closed_is_not_found(path):
    """Neither its id nor its key is known while the next start has its row deleted."""
    executor = open_executor(path)
    await executor.start()
    event = await executor.append(Step(name="a"), delay=10, key="k")
    await executor.stop()
    await remove(executor)
    with held_commits():
        await executor.start()
        with pytest.raises(NotFoundError, match=f"There is no event {event.id}"):
            await executor.get(event.id)
        assert await executor.known_keys(["k"]) == set()
        assert rows(path) == ["pending"]
    await executor.stop()
    assert rows(path) == []


async def test_an_event_whose_append_was_cancelled_is_not_found(path):
    """Neither its id nor its key is known while its row is on disk and not deleted yet."""
    event, scope = Step(name="a"), anyio.CancelScope()

    async def append(executor):
        """Append an event until the scope is cancelled."""
        with scope:
            await executor.append(event, key="k")

    async with open_executor(path) as executor:
        async with anyio.create_task_group() as group:
            with held_commits() as waiting:
                group.start_soon(append, executor)
                await wait_for(lambda: waiting)
                scope.cancel()
                await steps()
        with held_commits():
            await wait_for(lambda: rows(path) == ["pending"])
            with pytest.raises(NotFoundError, match=f"There is no event {event.id}"):
                await executor.get(event.id)
            assert await executor.known_keys(["k"]) == set()
    assert rows(path) == []


async def test_the_key_of_another_event_stays_known(path):
    """A cancelled append does not hide the event on disk that has the key."""
    async with open_executor(path) as executor:
        first = await executor.append(Step(name="a"), key="k")
        await first.wait()
        await written(executor)
        await executor.cleanup_events()
        scope = anyio.CancelScope()

        async def append():
            """Append an event with the key until the scope is cancelled."""
            with scope:
                await executor.append(Step(name="b"), key="k")

        async with anyio.create_task_group() as group:
            with held_commits() as waiting:
                group.start_soon(append)
                await wait_for(lambda: waiting)
                scope.cancel()
                await steps()
                assert await executor.known_keys(["k"]) == {"k"}
    assert rows(path) == ["completed"]


async def test_a_removed_event_can_come_in_again(path):
    """``append()`` takes a removed event in again, and ``get()`` finds it while its deletion is not on disk."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a"), delay=10, key="k")
        async with anyio.create_task_group() as group:
            with held_commits():
                await remove(executor)
                group.start_soon(partial(executor.append, event, key="k"))
                await wait_for(lambda: event in executor)
                assert await executor.get(event.id) is event
        await event.wait()
        with held_commits():
            await forget(executor, event)
            assert (await executor.get(event.id)).response == "a"
            with pytest.raises(ExistsError):
                await executor.append(event)
    assert rows(path) == ["completed"]
