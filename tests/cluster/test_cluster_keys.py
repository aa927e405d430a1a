"""Keys: the same work is submitted once for each queue, whoever submits it."""

import uuid

import anyio
import pytest
from cluster_events import Add, Count, Echo, Nap
from cluster_support import calls_of, executor_on, link_of, until

from lionpride_exec import ClusterError, ExistsError

pytestmark = pytest.mark.anyio


async def test_of_50_that_race_one_is_submitted(server):
    """From two executors. Each caller gets the same event, and its end."""
    name = uuid.uuid4().hex
    async with executor_on(server) as one, executor_on(server, one.cluster) as other:
        taken = []

        async def append(executor):
            event = await executor.append(Count(name=name, seconds=0.1), key=("k", 1))
            taken.append(event)
            await event.wait()

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(append, (one, other)[number % 2])
        assert len({event.id for event in taken}) == 1
        assert {event.result() for event in taken} == {1}
        assert Count.runs[name] == 1
        assert await link_of(one).queries.counts() == {"pending": 0, "processing": 0, "completed": 1}


async def test_a_key_is_known_after_the_end(server):
    """To another executor too, which gets the response and does not run the event again."""
    name = uuid.uuid4().hex
    async with executor_on(server) as one:
        assert await one.invoke(Count(name=name), key="k") == 1
        async with executor_on(server, one.cluster) as other:
            mine = Count(name=name)
            known = await other.append(mine, key="k")
            assert known is not mine
            assert known.result() == 1
            assert await other.invoke(Count(name=name), key="k") == 1
            assert not any(other.status_counts().values())  # it is a copy
            assert await other.known_keys(["k", "other"]) == {"k"}
        assert await one.append(Count(name=name), key="k") in one


async def test_an_open_event_of_another_executor_is_followed(server):
    """It is one of the executor's own from then on: the block waits for it."""
    async with executor_on(server) as one:
        nap = await one.append(Nap(seconds=0.8), key="k")
        await until(lambda: nap.status == "processing")
        async with executor_on(server, one.cluster, work=False) as other:
            known = await other.append(Nap(seconds=9), key="k")
            assert (known.id, known.status, known.seconds) == (nap.id, "processing", 0.8)
            assert known.execution.queued_at == nap.execution.queued_at
            assert await other.append(Nap(), key="k") is known
            assert known in other
        assert known.status == "completed"
        assert known.result() == 0.8


async def test_a_known_event_can_be_cancelled_by_whoever_has_its_key(server):
    async with executor_on(server, work=False) as one, executor_on(server, one.cluster, work=False) as other:
        event = await one.append(Add(a=1), key="k")
        known = await other.append(Add(a=1), key="k")
        other.cancel(known, "not needed")
        await event.wait()
        assert event.status == "cancelled"
        assert "not needed" in str(event.execution.error)


async def test_callers_in_one_executor_wait_for_the_same_answer(server):
    async with executor_on(server) as executor:
        submits = calls_of(executor, "submit")
        taken = []

        async def append():
            taken.append(await executor.append(Add(a=1), key="k"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(append)
        assert len(set(taken)) == 1
        assert sum(len(call["events"]) for call in submits) == 1


async def test_a_caller_tries_by_itself_if_the_other_one_was_refused(server, monkeypatch):
    """Which waited for the answer to an event with the same key."""
    async with executor_on(server) as executor:
        queue, calls = link_of(executor).queue, []
        submit = queue.submit

        async def refuse_first(submissions):
            calls.append(submissions)
            await anyio.sleep(0.1)
            if len(calls) == 1:
                raise ClusterError("full", retryable=True)
            return await submit(submissions)

        monkeypatch.setattr(queue, "submit", refuse_first)
        first, second = Add(a=1), Add(a=2)

        async def fail():
            with pytest.raises(ClusterError, match="full"):
                await executor.append(first, key="k")
            assert first not in executor
            assert first.execution.queued_at is None

        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await until(lambda: calls)
            assert await executor.append(second, key="k") is second
        assert await executor.append(first, key="k") is second
        assert await executor.append(first) is first


async def test_a_key_whose_event_cannot_be_read_is_refused(server):
    """Its event is of a class that the executor does not take, or is signed with another secret."""
    async with executor_on(server, work=False) as one:
        event = await one.append(Add(a=1), key="k")
        async with executor_on(server, one.cluster, event_type=Echo, work=False) as other:
            mine = Echo()
            with pytest.raises(ExistsError, match="this executor cannot have"):
                await other.append(mine, key="k")
            assert mine not in other
        async with executor_on(server, one.cluster, secret="another secret, which is longer", work=False) as other:
            with pytest.raises(ExistsError, match="signature"):
                await other.append(Add(a=1), key="k")
            with pytest.raises(ClusterError, match="signature"):
                await other.get(event.id)
        one.cancel(event)


async def test_extend_takes_keys(server):
    """Two events of one call have the same key, and one has a key that is known in the queue."""
    async with executor_on(server) as one, executor_on(server, one.cluster) as executor:
        before = await one.append(Add(a=0), key=0)
        submits = calls_of(executor, "submit")
        events = [Add(a=number) for number in (0, 1, 2, 1)]
        taken = await executor.extend(events, key=lambda event: event.a)
        assert [event.id for event in taken] == [before.id, events[1].id, events[2].id, events[1].id]
        assert len(submits) == 1
        assert await executor.extend([Add(a=1)], key=lambda event: event.a) == [events[1]]
        assert len(submits) == 1
    assert [event.result() for event in taken] == [1, 2, 3, 2]


async def test_keys_are_those_that_json_can_hold(server):
    async with executor_on(server) as executor:
        with pytest.raises(TypeError):
            await executor.append(Add(a=1), key=object())
        with pytest.raises(TypeError):
            await executor.known_keys([object()])
        event = await executor.append(Add(a=1), key=["a", 1] and ("a", 1))
        assert await executor.append(Add(a=1), key=("a", 1)) is event
        assert await executor.known_keys([("a", 1), ("a", 2)]) == {("a", 1)}
        assert event.id in executor


async def test_a_cancelled_append_whose_key_is_known_changes_nothing(server):
    async with executor_on(server, work=False) as one:
        nap = await one.append(Nap(), key="k")
        async with executor_on(server, one.cluster) as other:
            mine = Nap()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await other.append(mine, key="k")
            await nap.wait()
            assert mine not in other
            assert mine.status == "pending"
