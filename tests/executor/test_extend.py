"""``extend()`` with keys and priorities of its events, and an ``append()`` that is overridden."""

from functools import partial

import anyio
import pytest
from journal_support import CONFIG, HoldStep, Step, StepExecutor, crash, open_executor, rows, session_of

from lionpride_exec import Executor, ExistsError, Journal

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def name_of(event):
    return event.name


def steps(names):
    return [Step(name=name) for name in names]


def count_commits(executor):
    """Return a list that gets the number of new events of each commit that has any."""
    commits, store = [], session_of(executor).store
    original = store.commit

    def commit(batch):
        if batch.new:
            commits.append(len(batch.new))
        return original(batch)

    store.commit = commit
    return commits


@pytest.fixture(params=["memory", "journal"])
def make(request, path):
    """Make an executor of Steps with and without a journal."""
    if request.param == "memory":
        return partial(Executor.of, Step)
    return partial(open_executor, path)


# ---------------------------------------------------------------- keys


async def test_an_event_whose_key_is_known_gives_way(make):
    """The list has the known event in its place, and only that one runs."""
    async with make() as executor:
        known = await executor.append(Step(name="b"), key="b")
        events = await executor.extend(steps("abcb"), key=name_of)
        assert [event.name for event in events] == list("abcb")
        assert {events[1].id, events[3].id} == {known.id}
        await executor.join()
        assert executor.status_counts()["completed"] == 3


async def test_the_first_of_two_with_one_key_is_taken(make):
    """Equal keys within one call are one event, also for an async source."""

    async def source():
        for event in given:
            yield event

    given = steps("aabba")
    async with make() as executor:
        events = await executor.extend(source(), key=name_of)
        assert [given.index(event) for event in events] == [0, 0, 2, 2, 0]


async def test_an_event_without_a_key_always_comes_in(make):
    """A function that returns None gives its event no key."""
    async with make() as executor:
        events = await executor.extend(steps("aa"), key=lambda _: None)
        assert len({event.id for event in events}) == 2


async def test_a_key_must_be_a_function(make):
    """Anything else is refused before an event is taken."""
    async with make() as executor:
        with pytest.raises(TypeError, match="key must be a function of an event, got 'a'"):
            await executor.extend(steps("ab"), key="a")
        assert len(executor.states.items) == 0


async def test_an_error_of_the_key_function_leaves_those_before(make):
    """The error is raised, the events before stay, and no event after is taken."""
    taken = []

    def key(event):
        taken.append(event.name)
        return {"a": 1}[event.name]

    async with make() as executor:
        with pytest.raises(KeyError, match="b"):
            await executor.extend(steps("abc"), key=key)
        assert taken == ["a", "b"]
        await executor.join()
        assert executor.status_counts()["completed"] == 1


async def test_keys_before_the_start():
    """An executor that has not been started keeps the keys."""
    executor = Executor.of(Step)
    first = await executor.extend(steps("ab"), key=name_of)
    assert await executor.extend(steps("ba"), key=name_of) == first[::-1]
    assert executor.status_counts()["pending"] == 2


async def test_a_priority_for_each_event(make):
    """A function gives each event its priority; None is the default one, which comes last."""
    order = {"a": 2, "b": None, "c": 1}
    async with make() as executor:
        executor.resize(concurrency_limit=1)
        executor.pause()
        events = await executor.extend(steps("abc"), lambda event: order[event.name])
        executor.resume()
        ended = [event.name async for event in executor.as_completed(events)]
    assert ended == ["c", "a", "b"]


# ---------------------------------------------------------------- keys, with a journal


async def test_keyed_events_share_commits(path):
    """With keys too, a hundred events are written in one commit, and those that are known here in none."""
    names = [str(number) for number in range(250)]
    async with open_executor(path) as executor:
        executor.pause()
        commits = count_commits(executor)
        events = await executor.extend(steps(names), key=name_of)
        assert await executor.extend(steps(names), key=name_of) == events
        executor.resume()
        assert commits == [100, 100, 50]
    assert len(rows(path)) == 250


async def test_what_an_earlier_run_did_is_given_back(path):
    """Events that are on disk only are known by their keys: copies are returned, and nothing runs again."""
    async with open_executor(path) as executor:
        first = await executor.extend(steps("ab"), key=name_of)
    async with open_executor(path) as executor:
        events = await executor.extend(steps("abc"), key=name_of)
        assert [event.id for event in events[:2]] == [event.id for event in first]
        assert [event.status for event in events[:2]] == ["completed"] * 2
    assert rows(path) == ["completed"] * 3


async def test_what_is_wrong_with_an_event_does_not_matter_if_its_key_is_known(path):
    """As for append(): the known event is returned, and nobody looks at the other."""
    async with open_executor(path) as executor:
        (known,) = await executor.extend([Step(name="a")], key=lambda _: "k")
    async with open_executor(path) as executor:
        (event,) = await executor.extend([Step(name=3)], key=lambda _: "k")
        assert event.id == known.id
        with pytest.raises(ValueError, match=r"Step\.name cannot be kept"):
            await executor.extend([Step(name=3)], key=lambda _: "other")
    assert rows(path) == ["completed"]


async def test_a_key_that_is_held_is_told_after_the_others(path):
    """The event before and the one after, which are in the same commit, come in."""
    async with open_executor(path) as executor:
        await executor.append(HoldStep(name="held", seconds=10), key="held")
        await anyio.sleep(1)
        copy = crash(path)
    async with open_executor(copy) as executor:
        with pytest.raises(ExistsError, match="left in the journal as it is: held"):
            await executor.extend(steps(["a", "held", "b"]), key=name_of)
        assert sum(executor.status_counts().values()) == 2
    assert sorted(rows(copy)) == ["completed", "completed", "held"]


async def test_a_cancelled_extend_frees_its_keys(path):
    """Events that were not on disk yet leave, and their keys are new again."""
    async with open_executor(path) as executor:
        first = steps("ab")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await executor.extend(first, key=name_of)
        assert scope.cancelled_caught
        second = steps("ab")
        assert await executor.extend(second, key=name_of) == second
    assert rows(path) == ["completed"] * 2


async def test_what_is_on_its_way_for_another_caller_is_waited_for(path):
    """A key whose event somebody else is having written is known, and both get that event."""
    results = []

    async def extend():
        results.append(await executor.extend(steps("ab"), key=name_of))

    async with open_executor(path) as executor:
        async with anyio.create_task_group() as group:
            group.start_soon(extend)
            group.start_soon(extend)
        assert results[0] == results[1]
    assert rows(path) == ["completed"] * 2


async def test_an_event_that_has_ended_there_before_is_refused(path):
    """As append() refuses it: the journal has it already."""
    async with open_executor(path) as executor:
        (event,) = await executor.extend(steps("a"))
        await event.wait()
    async with open_executor(path) as executor:
        with pytest.raises(ExistsError, match="is in the journal already"):
            await executor.extend([event])
    assert rows(path) == ["completed"]


# ---------------------------------------------------------------- an append() of one's own


class WithoutKeys(StepExecutor):
    """Its ``append()`` takes no key."""

    async def append(self, event, priority=None, *, wait=False):
        return await super().append(event, priority, wait=wait)


@pytest.mark.parametrize("has_journal", [False, True])
async def test_an_overridden_append_need_not_know_of_keys(path, has_journal):
    """It is called without a key where the event has none."""
    async with WithoutKeys(CONFIG, journal=Journal(path) if has_journal else None) as executor:
        assert len(await executor.extend(steps("ab"), 1, key=lambda _: None)) == 2


async def test_an_overridden_append_is_given_the_key(make):
    """Each event goes through it with its key."""
    async with make() as executor:
        original, seen = executor.append, []

        async def append(event, priority=None, **kwargs):
            seen.append(kwargs.get("key"))
            return await original(event, priority, **kwargs)

        executor.append = append
        await executor.extend(steps("ab"), key=name_of)
        assert seen == ["a", "b"]
