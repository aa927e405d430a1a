"""What comes back from the server: events, outcomes, and what somebody else has written there."""

import logging
import os
from datetime import UTC, datetime
from operator import methodcaller

import anyio
import pytest
from cluster_events import Add, Count, Echo, Fail, Nap
from cluster_support import calls_of, executor_on, link_of, until
from forks import fork

from lionpride_exec import (
    ClusterError,
    ConfigurationError,
    EventNotFinished,
    InvalidTransition,
    NotFoundError,
    RemoteError,
    Retry,
)

pytestmark = pytest.mark.anyio

OTHER_SECRET = "another secret of more than 16 bytes"


def queue_of(executor):
    """Return the queue of an executor."""
    return link_of(executor).queue


async def write(executor, **keys):
    """Write bytes to the server, as anybody who can reach it could. The names are kinds of keys and ids."""
    queue = queue_of(executor)
    for name, value in keys.items():
        kind, _, event_id = name.partition("_")
        await queue.wire.command(methodcaller("set", f"{queue.prefix}{kind}:{event_id}", value))


async def tell(executor, event, status, outcome=b"", attempt="1"):
    """Write a transition to the stream, as anybody could."""
    queue = queue_of(executor)
    fields = {"i": event.id.hex, "s": status, "a": attempt, "w": "x", "o": outcome}
    await queue.wire.command(lambda client: client.xadd(f"{queue.prefix}t", field_values=fields))


# ---------------------------------------------------------------- what comes back


async def test_an_event_in_a_worker_has_all_that_it_was_submitted_with(server):
    """Its id, the time of its creation, its metadata and its options."""
    async with executor_on(server, work=False) as client:
        event = Nap(seconds=0.1, metadata={"source": "test", "n": [1, 2]}, timeout=7, retry=Retry(attempts=3))
        event.created_at  # noqa: B018  it is fixed at the first look
        await client.append(event, priority=2)
        async with executor_on(server, client.cluster) as worker:
            copies = []
            link_of(worker).work.observers.add(lambda copy, *_: copies.append(copy))
            await event.wait()
        copy = copies[0]
        assert copy is not event
        for name in ("id", "created_at", "metadata", "timeout", "seconds"):
            assert getattr(copy, name) == getattr(event, name)
        assert copy.retry.attempts == 3
        assert copy.execution.queued_at == event.execution.queued_at


async def test_get_returns_own_events_and_copies_of_others(server):
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        event = await one.append(Add(a=1))
        failed = await one.append(Fail(text="broken"))
        await one.join()
        assert await one.get(event.id) is event
        copy = await other.get(str(event.id))
        assert copy is not event
        assert copy.result() == 2
        assert copy.execution.attempt == 1
        for name in ("started_at", "finished_at", "queued_at", "duration"):
            assert getattr(copy.execution, name) == getattr(event.execution, name)
        error = (await other.get(failed)).execution.error
        assert isinstance(error, RemoteError)
        assert error.original_message == "broken"
        assert copy not in other
        unknown = Add(a=1)
        with pytest.raises(NotFoundError, match=str(unknown.id)):
            await other.get(unknown)
        with pytest.raises(ValueError, match="hexadecimal|id"):
            await other.get("no id")


async def test_a_copy_of_an_open_event_does_not_change_and_nobody_waits_for_it(server):
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        event = await one.append(Nap(seconds=0.5))
        await until(lambda: event.status == "processing")
        copy = await other.get(event.id)
        assert (copy.status, copy.execution.attempt) == ("processing", 1)
        with anyio.fail_after(1), pytest.raises(ConfigurationError, match="the event is a copy"):
            await copy.wait()
        with pytest.raises(ConfigurationError, match="run by the workers"):
            await copy.invoke()
        with pytest.raises(InvalidTransition):
            copy.status = "cancelled"
        with pytest.raises(EventNotFinished):
            copy.result()
        with pytest.raises(NotFoundError):
            other.cancel(copy)
        await event.wait()
        assert copy.status == "processing"
        assert (await other.get(copy)).status == "completed"


async def test_get_needs_a_connection(server):
    executor = executor_on(server)
    with pytest.raises(ClusterError, match="not connected"):
        await executor.get(Add(a=1).id)


async def test_a_large_event_and_a_large_response(server):
    """Of events that are large, few are in one round trip."""
    async with executor_on(server) as executor:
        submits = calls_of(executor, "submit")
        texts = [letter * 1_500_000 for letter in "abcdef"]
        events = await executor.extend([Echo(value=text) for text in texts])
        await executor.join()
        assert [event.result() for event in events] == texts
        assert [len(call["events"]) for call in submits] == [2, 2, 2]


# ---------------------------------------------------------------- what somebody else has written


@pytest.mark.parametrize("record", [b"", b"\x00garbage", b"\x01" + bytes(40), b"not even that"])
@pytest.mark.parametrize("status", ["completed", "failed", "aborted"])
async def test_a_forged_end_makes_the_event_fail_here(server, record, status, caplog):
    """With a warning. All other events go on."""
    async with executor_on(server, work=False) as executor:
        event, other = await executor.extend([Add(a=1), Add(a=2)])
        await tell(executor, event, status, record)
        with anyio.fail_after(5):
            await event.wait()
        assert event.status == "failed"
        assert isinstance(event.execution.error, ClusterError)
        assert "its outcome cannot be read" in str(event.execution.error)
        assert ("there is none" in str(event.execution.error)) == (record == b"")
        assert event.response is not None
        assert any("cannot be read" in record.getMessage() for record in caplog.records)
        async with executor_on(server, executor.cluster):
            await other.wait()
        assert other.result() == 3


async def test_an_outcome_that_was_exchanged_makes_the_event_fail_here(server):
    """It is that of another event, or of another status."""
    async with executor_on(server) as executor:
        first = await executor.append(Add(a=1))
        failed = await executor.append(Fail())
        await executor.join()
        queue = queue_of(executor)
        outcomes = [
            await queue.wire.command(methodcaller("get", f"{queue.prefix}o:{event.id.hex}"))
            for event in (first, failed)
        ]
        executor.pause()
        second = await executor.append(Add(a=1))
        await tell(executor, second, "completed", outcomes[0])
        await second.wait()
        assert second.status == "failed"
        assert "signature" in str(second.execution.error)
        await executor.cleanup_events()
        await queue.wire.command(lambda client: client.set(f"{queue.prefix}o:{failed.id.hex}", outcomes[0]))
        with pytest.raises(ClusterError, match="signature"):
            await executor.get(failed.id)
        await queue.wire.command(lambda client: client.hset(f"{queue.prefix}e:{first.id.hex}", {"st": "failed"}))
        with pytest.raises(ClusterError, match="outcome of an event that is completed"):
            await executor.get(first.id)
        executor.resume()


async def test_transitions_that_make_no_sense_stop_nothing(server):
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        queue = queue_of(executor)
        for fields in (
            {"i": event.id.hex, "s": "exploded", "a": "1", "w": "", "o": ""},
            {"i": event.id.hex, "s": "processing", "a": "many", "w": "", "o": ""},
            {"i": event.id.hex},
            {"i": "no id", "s": "completed", "a": "1", "w": "", "o": ""},
            {"x": b"\xff\xfe"},
            {"i": event.id.hex, "s": "processing", "a": "7", "w": "nobody", "o": ""},
        ):
            await queue.wire.command(methodcaller("xadd", f"{queue.prefix}t", field_values=fields))
        await until(lambda: event.status == "processing")
        async with executor_on(server, executor.cluster):
            await event.wait()
        assert event.result() == 2
        assert event.execution.attempt == 1


async def test_an_event_that_the_server_has_forgotten_fails_here(server):
    """Somebody has deleted it, or it ended longer ago than it is kept."""
    executor = executor_on(server, work=False)
    with anyio.CancelScope() as scope:
        async with executor:
            event = await executor.append(Add(a=1))
            queue = queue_of(executor)
            names = [f"{queue.prefix}{kind}:{event.id.hex}" for kind in "eb"]
            await queue.wire.command(lambda client: client.delete(names))
            scope.cancel()
    async with executor:
        with anyio.fail_after(5):
            await event.wait()
        assert event.status == "failed"
        assert "does not keep the event any more" in str(event.execution.error)


def warnings_of(caplog, part):
    """Return the log messages that have a part."""
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


async def is_given_back(executor, event_id):
    """Return whether the server offers an event at a later time."""
    queue = queue_of(executor)
    return (await queue.wire.command(methodcaller("zscore", f"{queue.prefix}d", event_id)) or 0) > 1


async def offer_again(executor, events):
    """Have the server offer events that were given back, before their time. Return once they were given back again."""
    queue, ids = queue_of(executor), {event.id.hex: 1 for event in events}
    for _ in range(2):
        for event_id in ids:
            with anyio.fail_after(10):
                while not await is_given_back(executor, event_id):
                    await anyio.sleep(0.01)
        await queue.wire.command(lambda client: client.zadd(f"{queue.prefix}d", ids))
        await queue.wire.command(lambda client: client.xadd(f"{queue.prefix}bell", {"due": "1"}))


async def test_an_event_signed_with_another_secret_is_left_and_counted(server, caplog):
    """It runs where the secret is known. Each event counts once, however often it is offered. One warning comes."""
    caplog.set_level(logging.WARNING, "lionpride_exec")
    async with executor_on(server, secret=OTHER_SECRET, work=False) as other:
        events = await other.extend([Add(a=number) for number in range(3)])
        async with executor_on(server, other.cluster) as worker:
            assert await worker.invoke(Add(a=5)) == 6
            await until(lambda: link_of(worker).work.tally.passed_on == {"untrusted": 3})
            await offer_again(other, events)
        assert [event.status for event in events] == ["pending"] * 3
        (told,) = warnings_of(caplog, "is given back for other workers")
        assert told.endswith("Do the client of the event and its worker have the same secret?")
        for event in events:
            other.cancel(event)
    assert link_of(worker).work.tally.passed_on == {"untrusted": 3}


@pytest.mark.parametrize("why", ["untrusted", "unreadable"])
async def test_a_client_is_told_that_a_worker_cannot_run_its_events(server, caplog, why):
    """Once. Else it would wait for ever, and nothing would say why."""
    caplog.set_level(logging.WARNING, "lionpride_exec")
    how = {"secret": OTHER_SECRET} if why == "untrusted" else {}
    said = {"untrusted": "cannot verify its signature", "unreadable": "does not know its class"}[why]
    async with executor_on(server, work=False) as client, executor_on(server, client.cluster, work=False) as beside:
        events = [await client.append(Add(a=1) if why == "untrusted" else Echo(value=1)) for _ in range(3)]
        worker = executor_on(server, client.cluster, event_type=Add, **how)
        async with worker:
            await until(lambda: link_of(worker).work.tally.passed_on == {why: 3})
            await until(lambda: warnings_of(caplog, said))
            await anyio.sleep(0.2)
            (told,) = warnings_of(caplog, said)
            assert any(str(event.id) in told for event in events)
            assert f"worker {link_of(worker).worker_name} " in told
        assert [event.status for event in events] == ["pending"] * 3
        assert not list(beside.states.items)
        await client.stop()


async def test_the_entry_of_a_refusal_is_no_transition(server):
    """Who watches the queue sees the transitions only."""
    async with executor_on(server, work=False) as client:
        seen = []
        event = await client.append(Echo(value=1))
        async with executor_on(server, client.cluster, event_type=Add) as worker:
            await until(lambda: link_of(worker).work.tally.passed_on == {"unreadable": 1})
            queue = queue_of(client)
            name = f"{queue.prefix}t"
            while await queue.wire.command(lambda client: client.xlen(name)) < 2:
                await anyio.sleep(0.01)
        client.cancel(event)
        with anyio.fail_after(10):
            async for transition in client.cluster.watch(since="0"):
                seen.append((transition.event_id, transition.status))
                if transition.status == "cancelled":
                    break
    assert seen == [(event.id, "pending"), (event.id, "cancelled")]


async def test_secrets_are_replaced_one_after_the_other(server):
    """The first one signs, and all of them verify."""
    old, new = "the old secret of this queue", "the new secret of this queue"
    async with (
        executor_on(server, secret=old, work=False) as client,
        executor_on(server, client.cluster, secret=[new, old]) as worker,
    ):
        event = await client.append(Add(a=1))
        await event.wait()
        assert event.status == "failed"  # the client does not know the new one yet
        assert (await worker.get(event.id)).result() == 2
        async with executor_on(server, client.cluster, secret=[old, new], work=False) as rotated:
            assert await rotated.invoke(Add(a=2)) == 3


async def test_an_unsigned_queue_takes_no_signed_events(server):
    async with executor_on(server, secret=None, unsigned=True) as executor:
        assert await executor.invoke(Add(a=1)) == 2
        async with executor_on(server, executor.cluster, work=False) as signed:
            event = await signed.append(Add(a=1))
            await until(lambda: link_of(executor).work.tally.passed_on == {"untrusted": 1})
            signed.cancel(event)


async def test_a_fork_is_refused(server):
    """The connection belongs to the parent."""
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        reader, writer = os.pipe()
        child = fork()
        if not child:
            said = b"nothing was raised"
            try:
                executor.append(Add(a=1)).send(None)
            except ClusterError as error:
                said = str(error).encode()
            finally:
                os.write(writer, said)
                os._exit(0)
        os.close(writer)
        await anyio.to_thread.run_sync(os.waitpid, child, 0)
        with os.fdopen(reader, "rb") as told:
            assert b"the process was forked" in told.read()
        executor.cancel(event)


async def test_times_are_those_of_the_worker_and_the_server(server):
    before = datetime.now(UTC)
    async with executor_on(server) as executor:
        event = await executor.append(Count(name="times"))
        await event.wait()
    times = [at for _, at in event.history()]
    assert before <= times[0] <= times[1] <= times[2] <= datetime.now(UTC)
