"""What the screens of ``top`` look like, compared with the files in ``tests/data/top/``."""

import time

import pytest
from top_screens import check_screen, press, screen_lines, screen_text, settle, shown
from top_source import LIMITS, PAUSE, FakeSource, busy_snapshot

from lionpride_exec.errors import JournalError

pytestmark = pytest.mark.anyio

SIZES = [(80, 24), (120, 30)]
NOTE = "the journal cannot be written: disk full; 1,204 changes wait"


@pytest.fixture
def anyio_backend():
    """Run on asyncio with its real clock: Textual knows no other."""
    return "asyncio", {}


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """Have the wall clock of the screens be UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def size_name(size):
    """Return the size of a screen as the name of a test."""
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("size", [*SIZES, (60, 18)], ids=size_name)
async def test_the_overview(size):
    """Counts and rate, slots and waits, limits, what runs, and errors are on one screen, of any usual size."""
    source = FakeSource(now=busy_snapshot(pauses=(PAUSE,), notes=(NOTE,)))
    async with shown(source, size) as (app, _):
        check_screen(f"overview-{size_name(size)}", app)


@pytest.mark.parametrize("size", SIZES, ids=size_name)
async def test_the_overview_of_a_file_that_nobody_runs(size):
    """Where no process answers, the screen says what is not known, and why."""
    now = busy_snapshot(state="unknown", is_live=False, rate=None, seconds_left=None, slots=0, slots_used=0, waits=None)
    source = FakeSource(now=now, limit_lines=(), running_lines=(), error_lines=(), seconds=())
    async with shown(source, size) as (app, _):
        check_screen(f"nobody-{size_name(size)}", app)


@pytest.mark.parametrize("size", SIZES, ids=size_name)
async def test_the_list_of_failed_events(size):
    """The list has a line for each event, the newest first."""
    async with shown(size=size, keys="f") as (app, _):
        check_screen(f"failed-{size_name(size)}", app)


@pytest.mark.parametrize("size", SIZES, ids=size_name)
async def test_the_screen_of_an_event(size):
    """The screen has the times, the error, the attempts, the history and the fields of an event."""
    async with shown(size=size, keys=("f", "enter")) as (app, pilot):
        check_screen(f"event-{size_name(size)}", app)
        await press(pilot, "end")
        check_screen(f"event-end-{size_name(size)}", app)


async def test_the_keys():
    """The help names each key, with those that change something where they work."""
    async with shown(FakeSource(takes_actions=True), keys=("question_mark",)) as (app, _):
        check_screen("help", app)
    async with shown(keys=("question_mark",)) as (app, _):
        text = screen_text(app)
        assert "Nothing can be changed here" in text
        assert "cancel" not in text


async def test_a_question():
    """A question lies above the screen that it is about."""
    async with shown(FakeSource(takes_actions=True), keys="c") as (app, _):
        check_screen("question", app)


async def test_trouble_is_a_line():
    """While the source cannot be read, the last reading stays on the screen, with a line that says so."""
    source = FakeSource()
    async with shown(source) as (app, pilot):
        before = screen_lines(app)
        source.trouble = JournalError("run.db: there is no such file")
        await app.read()
        await settle(pilot)
        check_screen("trouble", app)
        source.trouble = None
        await app.read()
        await settle(pilot)
        assert screen_lines(app) == before


async def test_a_frozen_screen():
    """A frozen screen says so, and since when."""
    async with shown(keys=("space",)) as (app, _):
        check_screen("frozen", app)


@pytest.mark.parametrize("height", [10, 18, 50])
@pytest.mark.parametrize("width", [40, 60, 100, 160])
async def test_any_size_can_be_read(width, height):
    """On any screen, the counts, the rate and the focused table are there, and no line is longer than the screen."""
    source = FakeSource(limit_lines=LIMITS * 5, now=busy_snapshot(pauses=(PAUSE,) * 9, notes=(NOTE,) * 9))
    async with shown(source, (width, height)) as (app, _):
        lines = screen_lines(app)
        assert "1,204/s" in lines[0]
        assert "88.4 %" in lines[1]
        assert any("Running: 6 of 20" in line for line in lines) or height < 18
        assert max(map(len, lines)) <= width


async def test_a_terminal_that_changes_its_size():
    """After a change of the size, the screen is as if it had begun with that size."""
    async with shown(size=(120, 30)) as (app, pilot):
        wide = screen_lines(app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        narrow = screen_lines(app)
        await pilot.resize_terminal(120, 30)
        await settle(pilot)
        assert screen_lines(app) == wide
    async with shown(size=(80, 24)) as (app, _):
        assert screen_lines(app) == narrow
