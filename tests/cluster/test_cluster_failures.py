"""What becomes of events when connections, the server or its memory fail, on a real server."""

import gc

import anyio
import pytest
from cluster_support import Server, new_queue, new_wire, opened, submission
from cutting_proxy import CuttingProxy
from parts import cluster
from test_worker import Work, counts, until

# coredis 6.9 does not close its memory streams when a connection breaks.
UNCLOSED = "ignore:Unclosed <MemoryObject:ResourceWarning"

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(UNCLOSED)]


@pytest.fixture(autouse=True)
def collected():
    """Collect these streams while their warnings are ignored."""
    yield
    gc.collect()


@pytest.fixture
def own_server():
    """A server that a test may do with what it likes."""
    servers = []

    def start(*options, **keywords):
        servers.append(Server(*options, **keywords).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


async def submit_all(queue, events):
    """Submit events in as few round trips as there may be."""
    answers = []
    for first in range(0, len(events), cluster.EVENTS_AT_A_TIME):
        answers += await queue.submit(events[first : first + cluster.EVENTS_AT_A_TIME])
    return answers


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
    """Only the script for submits is refused while the memory is full."""
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
        work = Work(queue)
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            await until(lambda: len(work.done) == 200)
            group.cancel_scope.cancel()
        assert await counts(queue) == {"completed": 200}


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


async def test_a_password_is_checked_and_is_in_no_error(own_server):
    """Neither in the error nor in its causes."""
    server = own_server("--requirepass", "sesame", on_port=True)
    port = server.url.rpartition(":")[2]
    right, wrong = (
        cluster.Wire(f"redis://:{word}@127.0.0.1:{port}", "the server", patience=1) for word in ("sesame", "wrong")
    )
    async with opened(right):
        await new_queue(right).open()
    async with opened(wrong):
        with pytest.raises(cluster.ClusterError) as caught:
            await new_queue(wrong).open()
    said = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "wrong" not in said.replace("WRONGPASS", "").replace("wrong username", "")


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
            with pytest.raises(cluster.ClusterError, match="has ended"):
                await late
