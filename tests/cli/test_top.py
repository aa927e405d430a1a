"""What the keys of ``top`` do, and what its screens show of what is read."""

import attrs
import pytest
from parts import faces_snapshot, top_command, top_feed
from top_screens import press, screen_lines, screen_text, settle, shown
from top_source import (
    HOSTILE,
    NOON,
    FakeSource,
    busy_snapshot,
    event_id,
    failed_events,
    hostile_source,
    running_events,
    view_of,
)

from lionpride_exec.errors import JournalError, LionprideError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """Run on asyncio with its real clock: Textual knows no other."""
    return "asyncio", {}


async def read(app, pilot):
    """Have the application read its source now."""
    await app.read()
    await settle(pilot)


# ---------------------------------------------------------------- reading


async def test_counts_change():
    """The screen follows the source."""
    source = FakeSource()
    async with shown(source) as (app, pilot):
        assert "24,011 completed" in screen_text(app)
        source.change(counts={"completed": 27286}, state="stopped")
        await read(app, pilot)
        assert "27,286 completed" in screen_text(app)
        assert "100.0 %" in screen_text(app)
        assert "stopped" in screen_lines(app)[0]


async def test_the_source_is_read_by_itself():
    """Nobody has to press a key."""
    source = FakeSource()
    async with shown(source) as (app, pilot):
        source.change(name="another.db")
        while "another.db" not in screen_text(app):
            await pilot.pause(top_feed.INTERVAL / 10)


async def test_what_has_not_changed_is_not_read_again():
    """Only the version is asked for, until the last reading is old: limits free themselves, and pauses end."""
    now = 0.0
    source = FakeSource()
    feed = top_feed.Feed(source, clock=lambda: now)
    assert await feed.read()
    now += top_feed.STALE / 2
    assert not await feed.read()
    assert source.reads == 1
    assert feed.now == NOON + top_feed.STALE / 2
    now += top_feed.STALE / 2
    assert await feed.read()
    assert await feed.read(anew=True)
    assert source.reads == 3


@pytest.mark.parametrize("error", [JournalError("run.db is away"), ConnectionRefusedError("nobody listens")])
async def test_a_source_that_is_away_comes_back(error):
    """An error keeps what was read, and is told once; the first answer ends it."""
    source = FakeSource()
    feed = top_feed.Feed(source, clock=lambda: 0.0)
    await feed.read()
    reading, source.trouble = feed.reading, error
    assert await feed.read()
    assert feed.trouble == str(error)
    assert feed.reading is reading
    assert not await feed.read()
    assert feed.error is error
    source.trouble = None
    assert await feed.read()
    assert feed.trouble is None


async def test_a_program_error_ends_the_application():
    """An error of the source itself ends the application, which keeps it for whoever has called it."""
    source = FakeSource()
    feed = top_feed.Feed(source)
    await feed.read()
    app = top_command.TopApp(feed)
    async with app.run_test() as pilot:
        source.trouble = ZeroDivisionError("a bug")
        app.desk.wake()
        while app.failure is None:
            await pilot.pause(0.01)
    assert app.failure is source.trouble


async def test_a_source_that_cannot_be_read_at_first_is_an_error():
    """Where nothing was ever read, the screen is not taken."""
    with pytest.raises(LionprideError, match="run.db cannot be read: there is no such file"):
        await top_command.run_app(FakeSource(trouble=JournalError("there is no such file")))


def test_a_reading_that_costs_much_is_made_less_often():
    """Readings take a small part of a core at most, whatever they cost."""
    used = 0.0
    pace = top_feed.Pace(lambda: used)
    for cost, wait in [(0.01, top_feed.INTERVAL), (0.2, 0.2 / top_feed.SHARE), (0.0, top_feed.INTERVAL)]:
        pace.begin()
        used += cost
        pace.end()
        assert pace.wait == pytest.approx(wait)


# ---------------------------------------------------------------- keys


async def test_freeze_and_go_on():
    """A frozen screen stays as it is, and goes on with what has happened since."""
    source = FakeSource()
    async with shown(source, keys=("space",)) as (app, pilot):
        source.change(name="another.db")
        reads = source.reads
        await read(app, pilot)
        assert source.reads == reads
        assert "FROZEN" in screen_text(app)
        assert "run.db" in screen_text(app)
        await press(pilot, "space")
        await read(app, pilot)
        assert "FROZEN" not in screen_text(app)
        assert "another.db" in screen_text(app)


async def test_sort():
    """``s`` sorts the table with the focus: first as the source does, then by each other order, then again."""
    async with shown(size=(80, 40)) as (app, pilot):
        found = []
        for _ in range(6):
            found.append(next(line for line in screen_lines(app) if "Running:" in line).strip("━"))
            await press(pilot, "s")
        assert found[0] == found[5] == "Running: 6 of 20, longest first"
        assert found[1] == "Running: 6 of 20, newest first"
        await press(pilot, "tab", "s")
        assert "Errors: 3 kinds, newest first" in screen_text(app)
        await press(pilot, "s", "s")
        lines = screen_lines(app)
        place = next(number for number, line in enumerate(lines) if "by error" in line)
        assert [line.split()[2] for line in lines[place + 2 : place + 5]] == [
            "ConnectionError:",
            "Skip:",
            "ValueError:",
        ]


async def test_enter_opens_the_event_and_escape_goes_back():
    """The event under the cursor is shown, and the cursor is where it was after that."""
    async with shown(keys=("down", "enter")) as (app, pilot):
        text = screen_text(app)
        assert "Event #2  summarize  processing" in text
        assert "What it waits for" in text
        assert "running for 75.4 s" in text
        await press(pilot, "escape")
        assert "Slots and waits" in screen_text(app)
        await press(pilot, "enter")
        assert "Event #2" in screen_text(app)


async def test_an_open_event_is_followed():
    """The screen of an event shows its end, and says so where the event is gone."""
    source = FakeSource()
    async with shown(source, keys="enter") as (app, pilot):
        line = source.running_lines[0]
        ended = attrs.evolve(line, status="completed", finished=NOON, duration=82.7)
        source.views[line.id] = attrs.evolve(view_of(ended), response='"<b data-marker>"')
        source.change()
        await read(app, pilot)
        assert "Event #1  embed  completed" in screen_text(app)
        source.views, source.running_lines = {}, ()
        source.change()
        await read(app, pilot)
        assert "The event is no longer there. It was:" in screen_text(app)
        assert "Event #1  embed  completed" in screen_text(app)


async def test_enter_on_errors_lists_their_events():
    """The list has the events whose errors have the shape and the status."""
    asked = []

    class Source(FakeSource):
        async def events(self, choice, before, count):
            asked.append((choice, before))
            return faces_snapshot.EventPage(lines=tuple(self.all_events[:2]))

    async with shown(Source(), keys=("tab", "enter")) as (app, pilot):
        assert "failed: ConnectionError: HTTP <n> for <url>" in screen_text(app)
        assert "2 events, newest first" in screen_text(app)
        assert asked == [(faces_snapshot.Choice(status="failed", error="ConnectionError: HTTP <n> for <url>"), None)]
        await press(pilot, "enter")
        assert "Event #219" in screen_text(app)


async def test_going_down_reads_more():
    """The list is read a page at a time: the next one when the cursor comes to the last event."""
    async with shown(keys="f") as (app, pilot):
        assert "50 events, newest first; go down for more" in screen_text(app)
        await press(pilot, "end")
        assert "100 events, newest first; go down for more" in screen_text(app)
        await press(pilot, "end")
        assert "120 events, newest first" in screen_text(app)
        assert "more" not in screen_text(app)


async def test_a_list_follows_until_more_was_read():
    """New failures come to the top of a list of one page. A longer list stays as it was read."""
    source = FakeSource()
    async with shown(source, keys="f") as (app, pilot):
        source.all_events = failed_events(count=121)
        source.change()
        await read(app, pilot)
        assert "#220" in screen_text(app)
        await press(pilot, "end", "home")
        source.all_events = failed_events(count=122)
        source.change()
        await read(app, pilot)
        assert "#221" not in screen_text(app)


async def test_find_goes_on_over_empty_pages():
    """A search goes on until a page is full of events that fit, or nothing is left. A named event comes first."""
    source = FakeSource(page_size=7)
    async with shown(source, keys=("slash", *"item-105", "enter")) as (app, pilot):
        while "reading" in screen_text(app):
            await settle(pilot)
        text = screen_text(app)
        assert "Found: item-105" in text
        assert "1 event, newest first" in text
        assert "#105" in text
    async with shown(source, keys=("slash", *"17", "enter")) as (app, pilot):
        while "reading" in screen_text(app):
            await settle(pilot)
        # 117, 170 to 179, and 217, by their keys and errors.
        assert "12 events, newest first" in screen_text(app)
    async with shown(source, keys=("slash", "5", "enter")) as (app, pilot):
        # #5 runs. Others have a 5 in their keys.
        assert screen_lines(app)[4].split()[:2] == ["#5", "processing"]


async def test_find_nothing():
    """Nothing is found by an empty text, or after Escape; a text that nothing has gives an empty list."""
    async with shown(keys=("slash", "enter")) as (app, pilot):
        assert "Slots and waits" in screen_text(app)
        await press(pilot, "slash", "q", "escape")
        assert "Slots and waits" in screen_text(app)
        await press(pilot, "slash", *"zzz", "enter")
        assert "0 events, newest first" in screen_text(app)
        await press(pilot, "enter", "s", "escape")
        assert "Slots and waits" in screen_text(app)


async def test_keys_that_change_something_are_offered_where_they_work():
    """A source that takes no actions is only looked at."""
    source = FakeSource()
    async with shown(source, keys=("p", "c", "r")) as (app, _):
        assert not {"Pause", "Cancel", "Retry"} & set(screen_lines(app)[-1].split())
        assert "yes" not in screen_text(app)
    source.takes_actions = True
    async with shown(source, (120, 30)) as (app, _):
        assert {"Pause", "Cancel", "Retry"} <= set(screen_lines(app)[-1].split())


@pytest.mark.parametrize(
    ("keys", "question", "action"),
    [
        ("p", "Pause: start no more events? Running events go on.", faces_snapshot.Action(what="pause", by="top")),
        ("c", "Cancel event #1 embed?", faces_snapshot.Action(what="cancel", by="top", id=event_id(1))),
        (
            ("f", "r"),
            "Run event #219 fetch_page again?",
            faces_snapshot.Action(what="retry", by="top", id=event_id(219)),
        ),
        (
            ("f", "enter", "r"),
            "Run event #219 fetch_page again?",
            faces_snapshot.Action(what="retry", by="top", id=event_id(219)),
        ),
        (
            ("tab", "r"),
            "Run 120 failed events again",
            faces_snapshot.Action(
                what="retry",
                by="top",
                choice=faces_snapshot.Choice(status="failed", error="ConnectionError: HTTP <n> for <url>"),
            ),
        ),
    ],
    ids=["pause", "cancel", "retry", "retry-event", "retry-errors"],
)
async def test_actions_are_asked_for_twice(keys, question, action):
    """Nothing is done without a yes, and the answer of the source is shown."""
    source = FakeSource(takes_actions=True)
    async with shown(source, keys=keys) as (app, pilot):
        assert question in screen_text(app)
        await press(pilot, "n")
        assert source.acted == []
        await press(pilot, keys[-1], "y")
        assert source.acted == [action]
        assert f"{action.what}: done" in screen_text(app)


async def test_resume():
    """The key that pauses resumes a paused run."""
    source = FakeSource(takes_actions=True, now=busy_snapshot(state="paused"))
    async with shown(source, keys=("p", "y")):
        assert source.acted == [faces_snapshot.Action(what="resume", by="top")]


async def test_the_time_left_of_events_that_append_others():
    """It is a lower bound, and the screen says so."""
    for is_growing in (True, False):
        async with shown(FakeSource(now=busy_snapshot(is_growing=is_growing))) as (app, _):
            text = screen_text(app)
        assert " left" in text
        assert ("at least " in text) is is_growing


async def test_a_refusal_is_shown():
    """What a source refuses is told in its words."""
    source = FakeSource(takes_actions=True, refusal="no process runs run.db")
    async with shown(source, keys=("p", "y")) as (app, _):
        assert "pause: no process runs run.db" in screen_text(app)
        assert source.acted == []


async def test_actions_without_an_event():
    """Where nothing is under the cursor, nothing is asked."""
    source = FakeSource(takes_actions=True, running_lines=())
    async with shown(source, keys="c") as (app, pilot):
        assert "No event is chosen that could be cancelled." in screen_text(app)
        await press(pilot, "r")
        assert "No event is chosen that could be run again." in screen_text(app)
        await press(pilot, "tab", "c")
        assert "No event is chosen that could be cancelled." in screen_text(app)


async def test_the_cursor_stays_on_its_event():
    """When other events end, the cursor goes with its own. When its own ends, the cursor keeps its line."""
    source = FakeSource(running_lines=running_events(30))
    async with shown(source, (80, 40), keys=["down"] * 8) as (app, pilot):
        table = app.screen.query_one("#running")
        assert table.chosen == event_id(9)
        source.running_lines = source.running_lines[3:]
        source.change()
        await read(app, pilot)
        assert table.chosen == event_id(9)
        source.running_lines = tuple(line for line in source.running_lines if line.number != 9)
        source.change()
        await read(app, pilot)
        assert table.chosen == event_id(10)
        source.running_lines = ()
        source.change()
        await read(app, pilot)
        assert table.chosen is None


async def test_light_and_dark():
    """``d`` changes between the themes of Textual. The text stays the same, its colours follow."""
    async with shown() as (app, pilot):
        text, colours = screen_text(app), app.export_screenshot()
        await press(pilot, "d")
        assert not app.current_theme.dark
        assert screen_text(app) == text
        assert app.desk.palette.styles["good"] in app.theme_variables["text-success"]
        assert app.export_screenshot() != colours
        await press(pilot, "d")
        assert app.current_theme.dark


async def test_quit():
    """``q`` and Ctrl-C end the application."""
    for key in ("q", "ctrl+c"):
        async with shown() as (app, pilot):
            await pilot.press(key)
            await pilot.pause()
            assert not app.is_running


# ---------------------------------------------------------------- hostile texts


@pytest.mark.parametrize(
    "keys",
    [(), "f", "c", ("c", "y"), "enter", ("tab", "enter"), ("tab", "r")],
    ids=lambda keys: "-".join(keys) or "first",
)
async def test_texts_are_shown_as_text(keys):
    """No text of an event reaches the terminal as a control sequence, or is taken for markup."""
    async with shown(hostile_source(), (200, 50), keys=keys) as (app, pilot):
        text = screen_text(app)
        assert all(line.isprintable() for line in text.splitlines())
        assert "[red]x[/red]" in text
        assert "\\x1b[31mred" in text
        assert "[@click=app.quit]" in text
        await press(pilot, "space")
        assert app.is_running


async def test_trouble_is_shown_as_text():
    """What an error of a source says is text too."""
    source = FakeSource()
    async with shown(source, (200, 30)) as (app, pilot):
        source.trouble = JournalError(HOSTILE)
        await read(app, pilot)
        assert "[red]x[/red]" in screen_text(app)
        assert all(line.isprintable() for line in screen_lines(app))


@pytest.mark.parametrize("at", [1e300, -1e300, 253402300800.0, -1e13, -1e10, 0.0])
async def test_times_that_no_calendar_has(at):
    """A damaged file may have any number as a time. It is shown as a question mark, and the screens go on."""
    source = FakeSource()
    source.running_lines = [attrs.evolve(line, queued=at, started=at) for line in source.running_lines]
    view = view_of(source.running_lines[0])
    steps = tuple(attrs.evolve(step, at=at) for step in view.transitions)
    source.views[event_id(1)] = attrs.evolve(view, transitions=steps)
    source.change(at=at)
    async with shown(source, (120, 30)) as (app, pilot):
        assert ("?" in screen_lines(app)[0]) is (at not in {-1e10, 0.0})
        await press(pilot, "down", "enter")
        assert "Event #" in screen_text(app)
        await press(pilot, "escape", "space")
        assert app.is_running


async def test_long_texts_are_cut():
    """An event with megabytes of data is shown at once: the beginning, and how much is left out."""
    source = FakeSource()
    view = attrs.evolve(view_of(source.running_lines[0]), data="x" * 5_000_000, response="a\n" * 100_000)
    source.views[event_id(1)] = view
    async with shown(source, (80, 24), keys=("enter", "end")) as (app, _):
        text = screen_text(app)
        assert "… 199,200 characters more" in text
        assert app.screen.query_one("#text").size.height < 1000


async def test_another_source_takes_the_place_of_the_first():
    """Where a file was replaced, all is read from the new one at once, though the two versions may be equal."""
    sources = [FakeSource(), FakeSource(name="another.db", now=busy_snapshot(name="another.db"))]

    async def renew():
        return sources[0]

    feed = top_feed.Feed(sources[0], renew)
    await feed.read()
    assert not await feed.read()
    del sources[0]
    assert await feed.read()
    assert feed.reading.snapshot.name == "another.db"
    assert feed.source is sources[0]


async def test_a_screen_that_was_left_shows_nothing():
    """The source may have been read just when a screen is taken apart. Nothing is raised then."""
    async with shown(keys=("f",)) as (app, pilot):
        screen = app.screen
        await app.pop_screen()
        await pilot.pause()
        screen.show()
        await screen.remove_children()
        screen.show()
