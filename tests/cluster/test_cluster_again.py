"""retry(), forget() and unique= with a cluster: the server puts events back, and keeps their keys."""

import uuid

import pytest
from cluster_events import Add, Count, Fail, Nap
from cluster_support import executor_on, until

from lionpride_exec import ConfigurationError, Event, EventNotFinished, NotFoundError

pytestmark = pytest.mark.anyio

broken = set()  # the names of the events that fail at the moment


class Mended(Event[str], tag="test.mended"):
    """Fails as long as it is broken."""

    name: str

    async def _invoke(self) -> str:
        if self.name in broken:
            raise ValueError("broken")
        return self.name


@pytest.fixture
def names():
    """Names of events that are broken."""
    found = [uuid.uuid4().hex for _ in range(3)]
    broken.update(found)
    yield found
    broken.difference_update(found)


async def test_a_failed_event_runs_again(server, names):
    """Under its id and key, as a new object; whoever has seen the end keeps it."""
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        old = await one.append(Mended(name=names[0]), key="k")
        known = await other.append(Mended(name=names[0]), key="k")
        await old.wait()
        await known.wait()
        broken.clear()
        new = await one.retry(old)
        assert new is not old
        assert new.id == old.id
        await new.wait()
        assert (new.result(), old.status) == (names[0], "failed")
        assert (await other.find(key="k"))[0].status == "completed"
        assert one.status_counts()["failed"] == 0


async def test_another_executor_retries(server, names):
    """By the id, of an event that it has not seen."""
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        old = await one.append(Mended(name=names[0]))
        await old.wait()
        broken.clear()
        new = await other.retry(str(old.id))
        await new.wait()
        assert new.result() == names[0]


async def test_all_that_failed_run_again(server, names):
    """Each after those that it comes after."""
    async with executor_on(server) as executor:
        first = await executor.append(Mended(name=names[0]))
        second = await executor.append(Mended(name="second"), after=first)
        third = await executor.append(Mended(name=names[1]))
        for event in (first, second, third):
            await event.wait()
        with pytest.raises(ConfigurationError, match="comes after an event that has not completed"):
            await executor.retry(second)
        broken.clear()
        taken = await executor.retry(status=["failed", "skipped"])
        assert {event.id for event in taken} == {first.id, second.id, third.id}
        for event in taken:
            await event.wait()
        assert await executor.count(status="completed") == 3
        assert await executor.retry(status="failed") == []


async def test_what_is_refused(server):
    """What is open, has completed, or is not there; and what a cluster does not do."""
    async with executor_on(server) as executor:
        nap = await executor.append(Nap(seconds=2))
        await until(lambda: nap.status == "processing")
        with pytest.raises(EventNotFinished, match="has not ended"):
            await executor.retry(nap)
        done = await executor.append(Add(a=1))
        await done.wait()
        with pytest.raises(ConfigurationError, match="completed events do not run again"):
            await executor.retry(done)
        with pytest.raises(NotFoundError, match="in the queue"):
            await executor.retry(uuid.uuid4())
        with pytest.raises(ConfigurationError, match=r"forget\(\) is not available with a cluster"):
            await executor.forget("k")
        with pytest.raises(ConfigurationError, match="unique='open' is not available with a cluster"):
            await executor.append(Count(name="x"), key="k", unique="open")
        assert await executor.append(failing := Fail(), key="k", unique="ever") is failing
        executor.cancel(nap)
