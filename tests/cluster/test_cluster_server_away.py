"""What callers of an executor see when the server is away, has lost its data, or refuses."""

import re
import sys
import threading
import time
from math import inf

import anyio
import pytest
from cluster_events import Add, Nap, Stubborn
from cluster_support import UNCLOSED, executor_on, link_of, until

from lionpride_exec import ClusterError, ExecutorClosedError

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(UNCLOSED), pytest.mark.usefixtures("collected")]


def the_only_leaf(error):
    """Return the one error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


# ---------------------------------------------------------------- the log


async def test_the_log_has_at_once_that_the_start_waits_for_its_server(own_server, caplog):
    """With the time until which it tries, and once: not at each try. Then the executor starts."""
    server = own_server("--requirepass", "hidden", on_port=True)
    server.url = server.url.replace("redis://", "redis://:hidden@")
    server.kill()
    executor, told = executor_on(server, patience=60), []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def start_server():
                await until(lambda: caplog.records)
                told.extend(caplog.messages)
                await anyio.to_thread.run_sync(server.start)

            group.start_soon(start_server)
            async with executor:
                assert await executor.invoke(Add(a=1)) == 2
    (first,) = told
    assert re.fullmatch(
        rf"{executor.cluster.shown_url} is not reached, trying until [\d:]{{8}} UTC \(60 s\): .+", first
    )
    assert len([message for message in caplog.messages if "is not reached" in message]) == 1
    assert any("is reached again, after " in message for message in caplog.messages)
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("patience", [inf, sys.float_info.max, 1e12, 1e9], ids=str)
async def test_a_start_waits_for_its_server_however_long_that_may_take(own_server, patience, caplog):
    """A time that no date can tell is as good as for ever."""
    server = own_server()
    server.kill()
    executor = executor_on(server, patience=patience)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def start_server():
                await until(lambda: caplog.records)
                await anyio.to_thread.run_sync(server.start)

            group.start_soon(start_server)
            async with executor:
                assert await executor.invoke(Add(a=1)) == 2
    when = r"[\d:]{8} UTC \(1000000000 s\)" if patience == 1e9 else "it is reached"
    assert re.fullmatch(rf"{executor.cluster.shown_url} is not reached, trying until {when}: .+", caplog.messages[0])


async def test_the_log_has_that_a_server_is_away_for_more_than_a_second(own_server, caplog):
    """And that it is back. A connection that breaks once is not told."""
    server = own_server()
    async with executor_on(server) as executor:
        queue = link_of(executor).queue
        await queue.wire.command(lambda client: client.client_kill(skipme=False, type_="normal"))
        await executor.invoke(Add(a=1))
        assert not caplog.messages
        server.kill()
        async with anyio.create_task_group() as group:
            group.start_soon(executor.append, Add(a=2))
            await until(lambda: any("is not reached, trying until" in message for message in caplog.messages))
            await anyio.to_thread.run_sync(server.start)
        await executor.join()
        assert any("is reached again, after " in message for message in caplog.messages)


# ---------------------------------------------------------------- append


async def test_append_raises_after_the_patience_and_can_be_repeated(own_server):
    server = own_server()
    async with executor_on(server, patience=0.3) as executor:
        await executor.invoke(Add(a=0))
        server.pause()
        server.kill()
        event = Add(a=1)
        began = time.monotonic()
        with pytest.raises(ClusterError, match="was not reached for 0.3 s") as caught:
            await executor.append(event, key="k")
        assert time.monotonic() - began < 5
        assert caught.value.retryable
        assert event not in executor
        assert event.status == "pending"
        assert event.execution.queued_at is None
        with pytest.raises(ClusterError):
            await executor.extend([Add(a=number) for number in range(3)])
        assert sum(executor.status_counts().values()) == 1
        await anyio.to_thread.run_sync(server.start)
        assert await executor.append(event, key="k") is event
        await event.wait()
        assert event.result() == 2


@pytest.mark.parametrize("when", ["it waits", "it runs", "it has ended"])
async def test_an_event_whose_answer_was_lost_is_appended_again(server, when, monkeypatch):
    """The server has it all the same, and says so."""
    async with executor_on(server, work=when == "it runs") as executor:
        queue = link_of(executor).queue
        submit = queue.submit

        async def lose_answer(submissions):
            await submit(submissions)
            raise ClusterError("the answer was lost", retryable=True)

        event = Nap(seconds=1.0) if when == "it runs" else Add(a=1)
        with monkeypatch.context() as patched:
            patched.setattr(queue, "submit", lose_answer)
            with pytest.raises(ClusterError, match="the answer was lost"):
                await executor.append(event)
        assert event not in executor
        if when == "it has ended":
            async with executor_on(server, executor.cluster) as other:
                copy = await other.get(event.id)
                with anyio.fail_after(5):
                    while copy.status != "completed":
                        copy = await other.get(event.id)
        elif when == "it runs":
            await anyio.sleep(0.3)
        assert await executor.append(event) is event
        if when == "it waits":
            async with executor_on(server, executor.cluster):
                await event.wait()
        with anyio.fail_after(5):
            await event.wait()
        assert event.status == "completed"
        assert event.execution.attempt == 1
        assert [str(status) for status, _ in event.history()] == ["pending", "processing", "completed"]


async def test_a_full_server_refuses_events_and_finishes_what_it_has(own_server):
    server = own_server("--maxmemory-policy", "noeviction")
    async with executor_on(server) as executor:
        events = await executor.extend([Nap(seconds=0.02) for _ in range(30)])
        wire = link_of(executor).queue.wire
        await wire.command(lambda client: client.config_set({"maxmemory": "1mb"}))
        refused = Add(a=1)
        with pytest.raises(ClusterError, match="is full"):
            await executor.append(refused)
        assert refused not in executor
        await executor.join()
        assert {event.status for event in events} == {"completed"}
        await wire.command(lambda client: client.config_set({"maxmemory": "0"}))
        assert await executor.invoke(refused) == 2


# ---------------------------------------------------------------- away for a while


async def test_nothing_is_raised_while_the_server_is_away_for_a_while(own_server):
    """All goes on when it is back."""
    server = own_server("--appendfsync", "always")
    async with executor_on(server, concurrency_limit=10) as executor:
        events = await executor.extend([Nap(seconds=0.05) for _ in range(100)])
        await until(lambda: executor.completed_events)
        server.kill()
        with anyio.move_on_after(1.0) as scope:
            await events[-1].wait()
        assert scope.cancelled_caught
        await anyio.to_thread.run_sync(server.start)
        with anyio.fail_after(20):
            await executor.join()
        assert {event.status for event in events} == {"completed"}


async def test_requests_to_cancel_wait_for_the_server(own_server):
    server = own_server("--appendfsync", "always")
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        server.kill()
        assert executor.cancel(event)
        await anyio.sleep(0.1)
        assert event.status == "pending"
        await anyio.to_thread.run_sync(server.start)
        with anyio.fail_after(10):
            await event.wait()
        assert event.status == "cancelled"


async def test_start_raises_if_the_server_is_not_there(own_server):
    """One plain error, and the executor can be started later."""
    server = own_server()
    server.kill()
    executor = executor_on(server, patience=0.2)
    began = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        async with executor:
            pass
    assert caught.value.retryable
    with pytest.raises(ClusterError):
        await executor.start()
    assert time.monotonic() - began < 15
    await anyio.to_thread.run_sync(server.start)
    async with executor:
        assert await executor.invoke(Add(a=1)) == 2


@pytest.mark.parametrize("how", ["left", "cancelled", "stopped"])
@pytest.mark.parametrize("server_is", ["down", "frozen"])
async def test_the_block_ends_in_time_while_the_server_is_away(own_server, how, server_is):
    """All that has to be sent at the end has five seconds together."""
    server = own_server()
    with anyio.CancelScope() as scope:
        async with executor_on(server) as executor:
            await executor.invoke(Add(a=1))
            # The client may know of the end before the worker has the answer. A run without one goes on for patience.
            await until(lambda: not link_of(executor).work.index.items)
            if how != "left":
                event = await executor.append(Nap(seconds=60))
                await until(lambda: event.status == "processing")
            server.kill() if server_is == "down" else server.pause()
            began = time.monotonic()
            if how == "cancelled":
                scope.cancel()
            elif how == "stopped":
                await executor.stop(grace=0)
    assert time.monotonic() - began < 12  # two of these times take ten seconds, and the patience is longer
    server.go_on()


async def test_a_server_that_answers_again_in_time_gets_what_ran(own_server):
    """The reads give up before the time is over, so that there is time to give back."""
    server = own_server()
    with anyio.CancelScope() as scope:
        async with executor_on(server) as executor:
            event = await executor.append(Nap(seconds=60))
            await until(lambda: event.status == "processing")
            server.pause()
            timer = threading.Timer(3, server.go_on)
            timer.start()
            scope.cancel()
    timer.join()
    async with executor_on(server, executor.cluster, work=False) as client:
        found = await client.explain_remote(event.id)
    assert (found.status, found.attempt) == ("pending", 0)


# ---------------------------------------------------------------- for good


@pytest.mark.parametrize("work", [True, False])
async def test_a_server_that_has_lost_its_data_is_told_to_all_who_wait(own_server, work):
    """And the block raises one error, in a group as all that its tasks raise."""
    server = own_server("--appendonly", "no")
    executor = executor_on(server, work=work, allow_volatile=True)
    raised = []

    async def wait():
        with pytest.raises(ClusterError, match="has lost the data") as caught:
            await event.wait()
        raised.append(caught.value)

    async def iterate():
        with pytest.raises(ClusterError, match="has lost the data") as caught:
            async for _ in executor.as_completed([event]):
                pass
        raised.append(caught.value)

    async with anyio.create_task_group() as group:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with executor:
                executor.pause()
                event = await executor.append(Add(a=1))
                for _ in range(2):
                    group.start_soon(wait)
                group.start_soon(iterate)
                await anyio.sleep(0.05)
                server.kill()
                await anyio.to_thread.run_sync(server.start)
                await anyio.sleep(30)
    error = the_only_leaf(caught.value)
    assert isinstance(error, ClusterError)
    assert not error.retryable
    assert len(raised) == 3
    assert len({id(one) for one in raised}) == 3
    with pytest.raises(ClusterError, match="has lost the data"):
        await event.wait()
    with pytest.raises(ClusterError, match="has lost the data"):
        await executor.join()
    with pytest.raises(ExecutorClosedError):
        await executor.append(Add(a=1))
    with pytest.raises(ClusterError, match="has lost the data of the queue"):
        await executor.start()
    await executor.cleanup_events(["pending", "processing"])
    executor.resume()
    async with executor, executor_on(server, executor.cluster, allow_volatile=True):
        assert await executor.invoke(Add(a=2)) == 3


async def test_an_end_after_the_loss_of_the_data_is_not_said_to_run_again(own_server, caplog):
    """There is no event any more that another worker could take over."""
    server = own_server("--appendonly", "no")
    with pytest.raises(BaseExceptionGroup), anyio.fail_after(20):
        async with executor_on(server, allow_volatile=True) as executor:
            event = await executor.append(Stubborn(seconds=0.5))
            await until(lambda: event.status == "processing")
            await link_of(executor).queue.wire.command(lambda client: client.flushall())
            await anyio.sleep(30)
    (text,) = [one for one in caplog.messages if one.startswith("the end of ")]
    assert "was not recorded: " in text
    assert "lease" not in caplog.text


async def test_an_end_that_the_server_did_not_hear_of_is_said_to_be_taken_over(own_server, caplog):
    """After the lease, since the server knows nothing of the end. The last line of a worker does not count the end."""
    server = own_server()
    async with executor_on(server, patience=0.2) as executor:
        event = await executor.append(Stubborn(seconds=0.3))
        await until(lambda: event.status == "processing")
        server.kill()
        await until(lambda: any(one.startswith("the end of ") for one in caplog.messages))
        await anyio.to_thread.run_sync(server.start)
        tally = link_of(executor).work.tally
        assert (tally.passed_on, tally.unrecorded) == ({"not recorded": 1}, {"completed": 1})
        await executor.stop()
    assert "was not recorded, so another worker takes the event over after its lease: " in caplog.text


async def test_a_server_that_refuses_for_good_is_told_to_all_who_wait(own_server):
    server = own_server()
    executor = executor_on(server, work=False)
    raised = []

    async def wait():
        with pytest.raises(ClusterError, match="refuses the user"):
            await event.wait()
        raised.append(True)

    async with anyio.create_task_group() as group:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with executor:
                event = await executor.append(Add(a=1))
                group.start_soon(wait)
                await anyio.sleep(0.05)
                wire = link_of(executor).queue.wire
                await wire.command(lambda client: client.acl_setuser("default", "-@all"))
                await anyio.sleep(30)
    assert "refuses the user" in str(the_only_leaf(caught.value))
    assert raised


async def test_what_a_root_task_has_crashed_with_is_raised_by_the_next_call(own_server):
    server = own_server("--appendonly", "no")
    executor = executor_on(server, work=False, allow_volatile=True)
    await executor.start()
    event = await executor.append(Add(a=1))
    server.kill()
    await anyio.to_thread.run_sync(server.start)
    with anyio.fail_after(10), pytest.raises(ClusterError, match="has lost the data"):
        await event.wait()
    with pytest.raises(BaseExceptionGroup) as caught:
        await executor.append(Add(a=2))
    assert "has lost the data" in str(the_only_leaf(caught.value))
