"""A journal changes nothing but durability: what the pages promise, observed without a journal and with each kind."""

import json
import re
from pathlib import Path

import anyio
import parity_scenarios
import pytest
from journal_support import steps
from parity_world import SCENARIOS, Work, World, counts, listed, outcome, written
from support import view_of

from lionpride_exec import EventsOnDiskWarning, Executor, Journal, NotFoundError, Retain

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "durability.md"


def new_journals(folder, **options):
    """Return a function that makes a journal of its own at each call."""
    made = []

    def make():
        made.append(Journal(folder / f"{options['ack']}{len(made)}.db", **options))
        return made[-1]

    return make


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_journal_changes_nothing_but_durability(scenario, tmp_path):
    """A promise of a page, as plain data: equal without a journal, with a lazy one, and with a strict one."""
    expected = await scenario(World(lambda: None))
    for ack in ("lazy", "strict"):
        found = await scenario(World(new_journals(tmp_path, ack=ack)))
        assert plain(found) == plain(expected), ack


def plain(data):
    """Return data as JSON has it, so that nothing compares equal by accident of identity."""
    return json.loads(json.dumps(data))


def test_there_are_scenarios_of_every_page():
    """Each page of promises is named by some of them; a scenario that is not registered would prove nothing."""
    told = " ".join(scenario.__doc__ for scenario in SCENARIOS)
    pages = {
        "control",
        "handles",
        "maps",
        "time-and-order",
        "keys",
        "limits",
        "retry",
        "dispatch",
        "streaming",
        "observing",
        "lifetimes",
    }
    assert {page for page in pages if f"{page}.md" in told} == pages
    written_down = re.findall(r"(?m)^@scenario\nasync def (\w+)", Path(parity_scenarios.__file__).read_text("utf-8"))
    assert [scenario.__name__ for scenario in SCENARIOS] == written_down


# ---------------------------------------------------------------- what a journal does change, and the page that says so


async def append_before_the_start(world):
    """Nothing is acknowledged that is not on disk, and the file is not open."""
    executor = world.executor()
    said = await outcome(executor.append, event := Work(name="a"))
    return "taken" if said is event else said


async def interrupt_without_a_retry(world):
    """An interruption is not the end of an event that is on disk."""
    executor = world.executor()
    await executor.start()
    event = await executor.append(Work(name="a", seconds=60))
    await anyio.sleep(1)
    await executor.stop(grace=0)
    return event.status.value


async def leave_a_map(world):
    """What was appended is on disk, and goes on."""
    async with world.running() as executor:
        async for _ in executor.map(Work, [{"name": str(seconds), "seconds": seconds} for seconds in (1, 5, 9)]):
            break
        await executor.join()
        return {name: executor.status_counts()[name] for name in ("cancelled",)}


async def counts_after_a_map(world):
    """An event that was given leaves memory; the file goes on counting it."""
    async with world.running() as executor:
        async for _ in executor.map(Work, [{"name": str(number)} for number in range(3)]):
            pass
        return counts(executor)


async def clean_up_what_has_ended(world):
    """Events that have ended stay in the file, with their key; what remains of them in memory is let go."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a"), key="k")
        await event.wait()
        await written(executor)
        await executor.cleanup_events()
        again = await executor.append(Work(name="b"), key="k")
        return event in executor, await outcome(executor.cancel, event), again.name


async def list_what_has_ended(world):
    """It is on disk only, and what has to be read there is no plain call; the list says so."""
    async with world.running() as executor:
        await executor.invoke(Work(name="a"))
        await written(executor)
        return listed(executor, "completed"), executor.status_counts()["completed"]


DIFFERENCES = {
    append_before_the_start: ("taken", "ExecutorClosedError"),
    interrupt_without_a_retry: ("cancelled", "pending"),
    leave_a_map: ({"cancelled": 2}, {"cancelled": 0}),
    counts_after_a_map: ({}, {"completed": 3}),
    clean_up_what_has_ended: ([False, "NotFoundError", "b"], [True, False, "a"]),
    list_what_has_ended: ([["a"], 1], ["warned", 1]),
}


@pytest.mark.parametrize("ack", ["lazy", "strict"])
@pytest.mark.parametrize("scenario", DIFFERENCES, ids=lambda scenario: scenario.__name__)
async def test_what_a_journal_does_change(scenario, ack, tmp_path):
    """What differs is meant to, and stands in the table of the page."""
    without, durable = DIFFERENCES[scenario]
    assert plain(await scenario(World(lambda: None))) == without
    assert plain(await scenario(World(new_journals(tmp_path, ack=ack)))) == durable
    table = PAGE.read_text("utf-8").partition("## What it changes besides")[2].partition("\n## ")[0]
    assert len(re.findall(r"(?m)^\| (?!---|what )", table)) == len(DIFFERENCES)


# ---------------------------------------------------------------- lists by status


async def test_a_list_that_lacks_events_says_so(tmp_path):
    """completed_events and its like warn with the number, and with what to do; the warning names the caller's line."""
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        for _ in range(3):
            await executor.invoke(Work(name="a"))
        await written(executor)
        with pytest.warns(EventsOnDiskWarning) as caught:
            assert len(executor.completed_events) == 0
        assert executor.failed_events == []  # none is missing there, so nothing is said
    (warned,) = caught
    assert warned.filename == __file__
    assert str(warned.message) == (
        f"3 of the 3 completed events are in the journal only ({tmp_path / 'run.db'}), and not in what this returns: "
        "status_counts() counts them, `await executor.get(id)` reads one, and Executor(..., retain=Retain()) keeps "
        "them in memory"
    )


async def test_a_list_of_what_is_kept_in_memory_is_whole(tmp_path):
    """With retain=Retain() the lists have all, as without a journal, and nothing is said."""
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db"), retain=Retain()) as executor:
        await executor.extend(Work(name=str(number)) for number in range(3))
        await executor.join()
        await written(executor)
        assert sorted(event.name for event in executor.completed_events) == ["0", "1", "2"]
        assert len(executor.states.to_dict(mode="json")["items"]["items"]) == 3


async def test_a_record_that_lacks_events_says_so(tmp_path):
    """states.to_dict() has what is in memory; it warns of what is on disk only, of earlier runs too."""
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.invoke(Work(name="a"))
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.append(Work(name="b"), delay=50)
        with pytest.warns(EventsOnDiskWarning, match="1 of the 2 events are in the journal only"):
            record = executor.states.to_dict(mode="json")
        assert len(record["items"]["items"]) == 1


# ---------------------------------------------------------------- what has ended, and left memory


async def test_an_event_of_an_earlier_run_is_known(tmp_path):
    """A copy that was read from the journal is known as having ended; so is its id from then on."""
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        event = await executor.append(Work(name="a"), key="k")
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        assert event in executor  # the object of the first run, in the caller's hand
        with pytest.raises(NotFoundError, match=r"await executor\.get\(id\)"):
            executor.cancel(event.id)
        copy = await executor.append(Work(name="b"), key="k")
        assert (executor.cancel(copy), executor.explain(copy).waits_for.value) == (False, "final")
        await executor.get(event.id)
        assert executor.cancel(event.id) is executor.skip(str(event.id)) is False
        assert event.id in executor


async def test_how_many_are_remembered_is_bounded(tmp_path, monkeypatch):
    """Of bare ids only the last ones are known; an event in the caller's hand always is."""
    monkeypatch.setattr("lionpride_exec._model.retain.REMEMBERED", 2)
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        events = [await executor.append(Work(name=str(number))) for number in range(3)]
        for event in events:
            await event.wait()
        await written(executor)
        assert [event.id in executor for event in events] == [False, True, True]
        assert [executor.cancel(event) for event in events] == [False] * 3
        with pytest.raises(NotFoundError, match="The journal alone may have it"):
            executor.cancel(events[0].id)


async def test_an_event_of_another_journal_is_a_stranger(tmp_path):
    """Having ended in some journal is not having ended in this one."""
    async with Executor.of(Work, journal=Journal(tmp_path / "other.db")) as other:
        event = await other.append(Work(name="a"))
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        assert event not in executor
        with pytest.raises(NotFoundError):
            executor.cancel(event)


async def test_a_known_key_is_given_back_by_a_journal_that_cannot_be_written(tmp_path):
    """A key that is on disk needs nothing to be written: it is read while appends are refused."""
    async with Executor.of(Work, journal=Journal(tmp_path / "run.db")) as executor:
        done = await executor.append(Work(name="a"), key="k")
        await done.wait()
        await written(executor)
        await steps()  # until the writer waits for something to write
        lifecycle = view_of(executor).journal_session.writer.lifecycle
        lifecycle.state = type(lifecycle.state).DRAINING  # as during the end of the journal
        known = await executor.append(Work(name="b"), key="k")
        lifecycle.state = type(lifecycle.state).WRITING
        assert known.id == done.id
