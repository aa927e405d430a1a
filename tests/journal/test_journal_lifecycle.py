"""The lifetimes of a journal and of its writer: both tables, and the states that a run goes through."""

import anyio
import pytest
from journal_support import Step, open_executor, session_of
from parts import journal_lifecycle, journal_store, state_machine

from lionpride_exec import ExecutorClosedError, JournalError, JournalLockedError

JournalLifecycle = journal_lifecycle.JournalLifecycle
JournalState = journal_lifecycle.JournalState
WriterLifecycle = journal_lifecycle.WriterLifecycle
WriterState = journal_lifecycle.WriterState
Store = journal_store.Store
InvalidStateChange = state_machine.InvalidStateChange

pytestmark = pytest.mark.anyio

LEGAL = {
    JournalState.CLOSED: {"opening"},
    JournalState.OPENING: {"open", "closing"},
    JournalState.OPEN: {"closing"},
    JournalState.CLOSING: {"closed"},
    WriterState.IDLE: {"writing", "draining", "closing"},
    WriterState.WRITING: {"draining", "closing"},
    WriterState.DRAINING: {"closing"},
    WriterState.CLOSING: {"closed"},
    WriterState.CLOSED: set(),
}
PAIRS = [(source, target) for kind in (JournalState, WriterState) for source in kind for target in kind]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda state: f"{type(state).__name__}-{state.value}")
def test_each_lifetime_obeys_its_table(source, target):
    """A legal move is made; an illegal one raises an error that names both states, and changes nothing."""
    lifecycle = JournalLifecycle() if isinstance(source, JournalState) else WriterLifecycle()
    lifecycle.state = source
    if target.value in LEGAL[source]:
        lifecycle.move_to(target)
        assert lifecycle.state is target
    else:
        with pytest.raises(InvalidStateChange, match=f"^journal.* cannot go from {source.name} to {target.name}$"):
            lifecycle.move_to(target)
        assert lifecycle.state is source


def test_both_begin_at_their_first_state():
    """A journal is closed before it is opened, and a writer is idle before its task runs."""
    assert JournalLifecycle().state is JournalState.CLOSED
    assert WriterLifecycle().state is WriterState.IDLE


@pytest.mark.parametrize("state", WriterState)
def test_what_a_writer_accepts(state):
    """New events until it drains, and changes until the file is being closed."""
    lifecycle = WriterLifecycle()
    lifecycle.state = state
    assert lifecycle.accepts_inserts == (state in {WriterState.IDLE, WriterState.WRITING})
    assert lifecycle.commits == (state not in {WriterState.CLOSING, WriterState.CLOSED})


@pytest.fixture
def visited(monkeypatch):
    """Return the names of the states that writers move to."""
    names = []
    move_to = WriterLifecycle.move_to

    def note(lifecycle, target):
        move_to(lifecycle, target)
        names.append(target.name)

    monkeypatch.setattr(WriterLifecycle, "move_to", note)
    return names


async def test_a_run_goes_through_each_state_once(path, visited):
    """A block that is left writes, drains, and closes the file, once."""
    async with open_executor(path) as executor:
        await executor.append(Step())
    assert visited == ["WRITING", "DRAINING", "CLOSING", "CLOSED"]


async def test_a_journal_that_cannot_be_caught_up_with_is_closed(path, visited, monkeypatch):
    """An opening that fails after the file was opened closes it without a task."""
    monkeypatch.setattr(Store, "open_rows", lambda *_: (_ for _ in ()).throw(JournalError("unreadable")))
    with pytest.raises(JournalError, match="unreadable"):
        async with open_executor(path):
            pass
    assert visited == ["CLOSING", "CLOSED"]


@pytest.fixture
def states(monkeypatch):
    """Return the names of the states that journals move to."""
    names = []
    move_to = JournalLifecycle.move_to

    def note(lifecycle, target):
        move_to(lifecycle, target)
        names.append(target.name)

    monkeypatch.setattr(JournalLifecycle, "move_to", note)
    return names


async def test_an_executor_opens_and_closes_its_journal_each_time(path, states):
    """Two blocks of one executor go round twice; so does start() with stop()."""
    executor = open_executor(path)
    for _ in range(2):
        async with executor:
            await executor.append(Step())
    assert states == ["OPENING", "OPEN", "CLOSING", "CLOSED"] * 2
    await executor.start()
    await executor.append(Step())
    await executor.stop()
    assert states == ["OPENING", "OPEN", "CLOSING", "CLOSED"] * 3


async def test_an_opening_that_fails_leaves_the_journal_closed(path, states):
    """Whether the file cannot be locked or cannot be read; the next opening succeeds."""
    executor = open_executor(path)
    async with open_executor(path):
        with pytest.raises(JournalLockedError):
            await executor.start()
    assert states == ["OPENING", "OPEN", "OPENING", "CLOSING", "CLOSED", "CLOSING", "CLOSED"]
    states.clear()
    async with executor:
        pass
    assert states == ["OPENING", "OPEN", "CLOSING", "CLOSED"]


async def test_a_block_that_is_cancelled_closes_the_journal(path, states):
    """What was running is given up; the file is closed."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            await executor.append(Step(seconds=100))
            scope.cancel()
            await anyio.sleep_forever()
    assert states == ["OPENING", "OPEN", "CLOSING", "CLOSED"]


async def test_the_end_of_writing_is_told_once(path):
    """The session learns once that nothing is written any more, whatever closes the file, and however often."""
    told = []
    async with open_executor(path) as executor:
        session = session_of(executor)
        ended = session.writing_ended
        session.writing_ended = lambda: (told.append(1), ended())
        session.writer.close_soon()
        session.writer.close_soon()
    session.writer.close_at_once()
    assert told == [1]


async def test_a_writer_that_drains_takes_in_no_event(path):
    """A caller that waits for room is told that the journal is being closed."""
    async with open_executor(path) as executor:
        writer = session_of(executor).writer
        writer.close_soon()
        assert not writer.has_room
        with pytest.raises(ExecutorClosedError, match="the journal is being closed"):
            await writer.wait_for_room()
    with pytest.raises(JournalError, match="the journal was closed before this was written"):
        await writer.wait_committed()
