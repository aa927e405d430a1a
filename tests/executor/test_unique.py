"""append(key=, unique="open"): one open event with a key at a time, and the key is free after its end."""

import anyio
import pytest
from anyio import current_time

from lionpride_exec import Event, Executor, Journal, Retain, Retry, current_executor
from lionpride_exec.testing import inline

pytestmark = pytest.mark.anyio


class Task(Event[str], tag="tests.unique.task"):
    """Takes a while, then raises or returns its name."""

    name: str = ""
    seconds: float = 1.0
    fails: bool = False

    async def _invoke(self) -> str:
        await anyio.sleep(self.seconds)
        if self.fails:
            raise ValueError(self.name)
        return self.name


class Poll(Event[float], tag="tests.unique.poll"):
    """Appends its own successor, five at most, then takes a second; the first run may fail."""

    number: int = 0
    fails: bool = False

    async def _invoke(self) -> float:
        if self.number < 4:
            following = Poll(number=self.number + 1)
            await current_executor().append(following, key="poll", unique="open", delay=10)
        await anyio.sleep(1)
        if self.fails and not self.execution.attempts:
            raise ValueError("once")
        return current_time()


@pytest.fixture(params=["memory", "journal", "strict journal", "journal that keeps all in memory"])
def make(request, tmp_path):
    """Return a function that makes an executor."""

    def make(**config):
        if request.param == "memory":
            return Executor.of(Event, **config)
        retain = Retain() if "keeps" in request.param else None
        ack = "strict" if "strict" in request.param else "lazy"
        return Executor.of(Event, journal=Journal(tmp_path / "run.db", ack=ack), retain=retain, **config)

    return make


async def keys_of(executor, key):
    """Return the names of the events with a key."""
    return [found.event.name for found in await executor.find(key=key)]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_key_is_free_after_the_end(make, fails):
    """Whatever that was. Until then the open event is returned, waiting or running."""
    async with make() as executor:
        first = await executor.append(Task(name="1", fails=fails), key="k", unique="open", delay=1)
        assert await executor.append(Task(name="2"), key="k", unique="open") is first
        await anyio.sleep(1.5)
        assert first.status == "processing"
        assert await executor.append(Task(name="3"), key="k", unique="open") is first
        await first.wait()
        fourth = Task(name="4")
        assert await executor.append(fourth, key="k", unique="open") is fourth
        assert await executor.append(Task(name="5"), key="k", unique="open") is fourth
        assert await executor.append(Task(name="6"), key="k") is fourth
        assert await executor.invoke(Task(name="7"), key="k", unique="open") == "4"
        assert await keys_of(executor, "k") == ["4"]
    assert sum(executor.status_counts().values()) == 2


async def test_for_ever_is_the_default(make):
    """Also after an event that was unique while open, and before one."""
    async with make() as executor:
        assert await executor.invoke(Task(name="1"), key="k", unique="open") == "1"
        assert await executor.invoke(Task(name="2"), key="k") == "1"
        assert await executor.invoke(Task(name="3"), key="k", unique="ever") == "1"
        assert await executor.invoke(Task(name="4"), key="k", unique="open") == "4"
        assert await executor.known_keys(["k"]) == {"k"}


async def test_an_event_appends_its_successor(make):
    """Under its own key, so that there is one line of them, ten seconds apart."""
    async with make() as executor:
        began = current_time()
        first = await executor.append(Poll(), key="poll", unique="open")
        assert await executor.append(Poll(), key="poll", unique="open") is first
        await anyio.sleep(1.5)
        waiting = await executor.append(Poll(), key="poll", unique="open")
        assert waiting.number == 1
        await executor.join()
        assert executor.status_counts()["completed"] == 5
        ends = sorted([found.event.result() - began async for found in executor.journal_events()])
        assert ends == pytest.approx([1, 11, 21, 31, 41], abs=0.2)


async def test_an_event_that_is_run_again_has_one_successor(make):
    """The second run finds the successor of the first one, which has the key by then."""
    async with make(retry=Retry(2, backoff=0)) as executor:
        await executor.append(Poll(number=3, fails=True), key="poll", unique="open")
        await executor.join()
        assert executor.status_counts()["completed"] == 2


async def test_of_many_callers_one_brings_its_event(make):
    """All get the same one, in each round."""
    async with make() as executor:
        for number in range(3):
            taken = []

            async def append(number=number, taken=taken):  # the loop goes on
                """Append an event, and note the one that came in."""
                taken.append(await executor.append(Task(name=str(number)), key="k", unique="open"))

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(append)
            assert len({event.id for event in taken}) == 1
            await taken[0].wait()
        assert executor.status_counts()["completed"] == 3


async def test_words_that_are_not_known(make):
    """Refused at the call; nothing has come in."""
    async with make() as executor:
        with pytest.raises(ValueError, match="unique must be 'ever' or 'open', got 'once'"):
            await executor.append(Task(), key="k", unique="once")
        with pytest.raises(ValueError, match="unique='open' needs a key"):
            await executor.append(Task(), unique="open")
        with pytest.raises(ValueError, match="unique='open' needs a key"):
            await executor.invoke(Task(), unique="open")
        assert await executor.count() == 0


async def test_an_append_that_fails_takes_no_key(make):
    """The event that has ended keeps it."""
    async with make(max_queue_size=1) as executor:
        assert await executor.invoke(Task(name="1"), key="k") == "1"
        executor.pause()
        await executor.append(Task(name="2"))
        with pytest.raises(Exception, match="full"):
            await executor.append(Task(name="3"), key="k", unique="open")
        assert await keys_of(executor, "k") == ["1"]
        assert (await executor.append(Task(name="4"), key="k")).result() == "1"
        executor.resume()


async def test_a_full_queue_waits_for_room(make):
    """A known open event needs none; an ended one does not stand in the way."""
    async with make(max_queue_size=1, concurrency_limit=1) as executor:
        assert await executor.invoke(Task(name="1"), key="k") == "1"
        running = await executor.append(Task(name="2"))
        await anyio.sleep(0.5)
        await executor.append(Task(name="3"))
        taken = await executor.append(Task(name="4"), key="k", unique="open", wait=True)
        assert (taken.name, running.status) == ("4", "completed")


async def test_a_cancelled_append_leaves_nothing_open(make):
    """The key is not that of an event that is not here."""
    async with make() as executor:
        await executor.invoke(Task(name="1"), key="k")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await executor.append(Task(name="2"), key="k", unique="open")
        if executor.journal is not None:
            assert scope.cancelled_caught
        assert await executor.invoke(Task(name="3"), key="k", unique="open") == ("3" if scope.cancelled_caught else "2")


async def test_events_that_run_in_append():
    """inline() knows the argument too."""
    executor = inline(Executor.of(Task))
    for name in ("1", "2"):
        assert (await executor.append(Task(name=name), key="k", unique="open")).result() == name


async def test_after_a_restart(tmp_path):
    """The key is that of the open event; that of an earlier run that has ended is free."""
    async with Executor.of(Task, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.invoke(Task(name="1"), key="ended")
        await executor.append(Task(name="2"), key="open", delay=100)
        await executor.stop()
    async with Executor.of(Task, journal=Journal(tmp_path / "run.db")) as executor:
        assert (await executor.append(Task(name="3"), key="open", unique="open")).name == "2"
        assert await executor.invoke(Task(name="4"), key="ended", unique="open") == "4"
        assert await executor.invoke(Task(name="5"), key="ended") == "4"


async def test_the_successor_of_an_event_that_a_crash_cuts_off(tmp_path):
    """Both come back, and the key is that of the successor."""
    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.append(Poll(number=3), key="poll", unique="open")
        await anyio.sleep(0.5)
        await executor.stop(grace=0)
    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        (found,) = await executor.find(key="poll")
        assert found.event.number == 4
        await executor.join()
        assert executor.status_counts()["completed"] == 2
