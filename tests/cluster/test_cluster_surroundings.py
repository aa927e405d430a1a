"""What surrounds the runs of events in the workers of a cluster."""

from contextlib import asynccontextmanager

import anyio
import pytest
from work_events import executor_for

from lionpride_exec import Event, current_executor, lifespan_value

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def shared():
    """Give what the events of one process share."""
    yield {"seen": []}


class Look(Event[str], tag="test_cluster_surroundings.look"):
    name: str

    async def _invoke(self):
        lifespan_value(shared)["seen"].append(self.name)
        return self.name


async def bracket(event, call_next):
    """Put the result of each run into brackets."""
    return f"[{await call_next(event)}]"


async def test_a_worker_has_its_own_lifespan_and_middleware(server, name):
    """The client has none: its events run in the worker."""
    seen = []

    async def watched(event, call_next):
        seen.append(current_executor())
        return await call_next(event)

    async with executor_for(server, name, Look, work=False) as client:
        events = await client.extend(Look(name=str(number)) for number in range(5))
        worker = executor_for(server, name, Look, lifespan=shared, middleware=[bracket, watched])
        async with worker:
            with anyio.fail_after(20):
                await client.join()
    assert [event.result() for event in events] == [f"[{number}]" for number in range(5)]
    assert seen == [worker] * 5


async def test_a_client_that_only_submits_enters_no_lifespan(server, name):
    """It may have no way to what the workers share."""

    @asynccontextmanager
    async def broken():
        raise OSError("no route")
        yield

    async with executor_for(server, name, Look, work=False, lifespan=broken) as client:
        event = await client.append(Look(name="a"))
        async with executor_for(server, name, Look, lifespan=shared):
            with anyio.fail_after(20):
                await event.wait()
    assert event.result() == "a"


async def test_a_lifespan_that_fails_lets_the_worker_take_nothing(server, name):
    """The start raises its error, and the events wait for another worker."""

    @asynccontextmanager
    async def broken():
        raise OSError("no route")
        yield

    async with executor_for(server, name, Look, work=False) as client:
        event = await client.append(Look(name="a"))
        worker = executor_for(server, name, Look, lifespan=broken)
        with pytest.raises(OSError, match="no route"):
            async with worker:
                pytest.fail("the block was entered")
        await anyio.sleep(0.3)
        assert event.status == "pending"
        async with executor_for(server, name, Look, lifespan=shared):
            with anyio.fail_after(20):
                await event.wait()
    assert event.result() == "a"
