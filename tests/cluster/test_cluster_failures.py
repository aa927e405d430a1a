"""What becomes of events when connections, the server or its memory fail, on a real server."""

import anyio
import pytest
from cluster_support import UNCLOSED, new_queue, new_wire, opened, submission, until
from cutting_proxy import CuttingProxy
from parts import cluster
from queue_support import Work, counts, submit_all

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(UNCLOSED), pytest.mark.usefixtures("collected")]


async def test_nothing_is_lost_or_done_twice_when_connections_are_cut(own_server):
    """Each call is sent again, and the server knows what it has done already."""
    server = own_server(on_port=True)
    proxy = CuttingProxy(int(server.url.rpartition(":")[2]))
    events = [submission() for _ in range(1500)]
    wire = cluster.Wire(f"redis://127.0.0.1:{proxy.port}", "the proxy", patience=30)
    try:
        async with opened(wire):
            queue = new_queue(wire)
            await queue.open()
            works = [Work(queue, slots=20, seconds=0.002, lease=30) for _ in range(2)]
            async with anyio.create_task_group() as group:
                for work in works:
                    group.start_soon(work.work)
                group.start_soon(cut_often, proxy)
                for first in range(0, len(events), 50):
                    words = [word for word, _ in await queue.submit(events[first : first + 50])]
                    assert set(words) <= {"new", "again"}
                await until(lambda: sum(len(work.done) for work in works) == len(events))
                group.cancel_scope.cancel()
            assert proxy.cuts >= 20
            begun = [event_id for work in works for event_id in work.begun]
            assert sorted(begun) == sorted(event.event_id for event in events)
            assert await counts(queue) == {"completed": len(events)}
    finally:
        proxy.close()


async def cut_often(proxy):
    """Cut all connections 20 times a second."""
    while True:
        await anyio.sleep(0.05)
        proxy.cut()


@pytest.mark.parametrize("how", ["killed", "stopped for a while"])
async def test_work_goes_on_when_the_server_comes_back(own_server, how):
    """The server writes each command to its log (appendonly yes), so it knows all that it has answered."""
    server = own_server("--appendfsync", "always")
    events = [submission() for _ in range(600)]
    wire = new_wire(server, patience=30)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        await submit_all(queue, events)
        work = Work(queue, slots=20, seconds=0.005, lease=30)
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            await until(lambda: len(work.done) >= 100)
            if how == "killed":
                server.kill()
                await anyio.to_thread.run_sync(server.start)
            else:
                server.pause()
                await anyio.sleep(1)
                server.go_on()
            await until(lambda: len(work.done) == len(events))
            group.cancel_scope.cancel()
        assert sorted(work.begun) == sorted(event.event_id for event in events)
        assert await counts(queue) == {"completed": len(events)}


async def test_a_server_that_has_lost_its_data_is_noticed(own_server):
    """A client that goes on after that gets an error, not an empty queue."""
    server = own_server("--appendonly", "no")
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        await queue.submit([submission()])
        server.kill()
        await anyio.to_thread.run_sync(server.start)
        with pytest.raises(cluster.ClusterError, match="has lost the data of this queue"):
            await queue.submit([submission()])


async def test_a_full_server_refuses_submits_and_finishes_what_it_has(own_server):
    """Only the scripts that bring events are refused while the memory is full."""
    server = own_server("--maxmemory-policy", "noeviction")
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        await submit_all(queue, [submission() for _ in range(200)])
        await wire.command(lambda client: client.config_set({"maxmemory": "1mb"}))
        with pytest.raises(cluster.ClusterError, match="the memory of .* is full") as caught:
            await queue.submit([submission()])
        assert caught.value.retryable
        with pytest.raises(cluster.ClusterError, match="the memory of .* is full"):
            await cluster.QueueQueries(queue).retry(["unknown"])
        work = Work(queue)
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            await until(lambda: len(work.done) == 200)
            group.cancel_scope.cancel()
        assert await counts(queue) == {"completed": 200}


async def test_work_goes_on_after_a_long_script_of_somebody_else(own_server):
    """The server refuses all commands while the script runs, once it has run for some time. They are sent again."""
    server = own_server("--busy-reply-threshold", "50")
    events = [submission() for _ in range(100)]
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        work = Work(queue, slots=5, seconds=0.005)
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            group.start_soon(run_a_long_script, wire)
            await anyio.sleep(0.1)
            await submit_all(queue, events)
            await until(lambda: len(work.done) == len(events))
            group.cancel_scope.cancel()
        assert wire.losses > 0
        assert await counts(queue) == {"completed": len(events)}


async def run_a_long_script(wire):
    """Have the server run a script for half a second."""
    text = "local t = redis.call('TIME'); local ends = t[1] + t[2] / 1e6 + 0.5; "
    text += "repeat t = redis.call('TIME') until t[1] + t[2] / 1e6 > ends"
    await wire.command(lambda client: client.eval(text))


async def test_a_server_that_nobody_reaches_is_an_error_after_the_patience(own_server):
    """The error is retryable and says how long the wire has tried."""
    server = own_server()
    wire = new_wire(server, patience=0.1)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        server.kill()
        with pytest.raises(cluster.ClusterError, match=r"was not reached for 0\.1 s") as caught:
            await queue.submit([submission()])
        assert caught.value.retryable


async def test_a_server_that_does_not_answer_is_an_error_soon_after_the_patience(own_server):
    """
    The process of the server is stopped, so its connections stay open. One try could take ten seconds.

    The server has a port, since AnyIO's Unix sockets on asyncio raise in a callback after a cancelled operation.
    """
    server = own_server(on_port=True)
    wire = new_wire(server, patience=0.1)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        server.pause()
        with anyio.fail_after(8), pytest.raises(cluster.ClusterError, match=r"was not reached for 0\.1 s"):
            await queue.submit([submission()])
        server.kill()


async def test_a_worker_leaves_a_server_that_does_not_answer(own_server):
    """It gives back for so long, and not for as long as the wire tries. Nothing waits for it after that."""
    server = own_server()
    wire = new_wire(server, patience=1000)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        await queue.submit([submission() for _ in range(5)])
        work = Work(queue, slots=5, seconds=1000, give_back_seconds=0.2)
        with anyio.fail_after(15):
            async with anyio.create_task_group() as group:
                group.start_soon(work.work)
                await until(lambda: len(work.begun) == 5)
                server.kill()
                group.cancel_scope.cancel()
        for late in (work.worker.finish(work.begun[0], "completed", b""), work.worker.shut("bucket", 1.0)):
            with pytest.raises(cluster.ClusterError, match="has been closed"):
                await late


# ---------------------------------------------------------------- faults of a program


async def test_a_fault_in_a_call_is_logged_once(server, caplog):
    """It is tried again as if the server were not reached. Without the log, nobody would learn why."""
    wire = new_wire(server, patience=0.2)

    async def fail(_client):
        raise KeyError("a fault")

    async with opened(wire):
        for _ in range(2):
            with pytest.raises(cluster.ClusterError, match="was not reached for 0.2 s"):
                await wire.command(fail)
    (record,) = caplog.records
    assert record.name == "lionpride_exec"
    assert "failed by a fault, and is tried again" in record.message
    assert repr(record.exc_info[1]) == "KeyError('a fault')"


async def test_a_fault_in_a_read_is_logged_once_for_each_kind(server, caplog):
    """The read goes on, since the fault may be in one answer only."""
    wire, kinds, handled = new_wire(server), [KeyError, KeyError, ValueError, OSError, KeyError], []

    async def read(_client):
        if kinds:
            raise kinds.pop()("a fault")
        return 1

    async def handle(answer):
        handled.append(answer)
        await anyio.sleep(0.01)

    async with opened(wire), anyio.create_task_group() as group:
        group.start_soon(wire.keep_reading, read, handle)
        with anyio.fail_after(10):
            while not handled:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert [record.exc_info[0] for record in caplog.records] == [KeyError, ValueError]
