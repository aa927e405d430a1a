"""The commands that change a journal: cancel, skip and retry while nobody runs it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from journal_files import T0, add_event, error_outcome, event_id, fill

from lionpride_exec import Event, Executor, Journal


class Fetch(Event[str], tag="Fetch"):
    """The event of the journal that the tests fill."""

    url: str = ""

    async def _invoke(self) -> str:
        return self.url


class Send(Fetch, tag="Send"):
    """An event of another tag."""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with a journal that has an event of each kind."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "run.db")
    return tmp_path


def statuses():
    """Return the status of each event, by number."""
    with closing(sqlite3.connect("run.db")) as connection:
        return dict(connection.execute("SELECT seq, status FROM event"))


@pytest.mark.parametrize(
    ("argv", "told", "ended"),
    [
        (["4"], "1 event", {4}),
        (["4", "#3", str(event_id(5))], "3 events", {3, 4, 5}),
        (["--status", "pending"], "1 event", {4}),
        (["--status", "pending", "--status", "held"], "2 events", {4, 5}),
        (["--tag", "Send"], "1 event", {3}),
        (["--tag", "Send", "--status", "pending"], "0 events", set()),
        (["4", "3", "--tag", "Send"], "1 event", {3}),
        (["--limit", "1"], "1 event", {4}),
        (["--since", "2023-11-14T22:13:30Z"], "1 event", {3}),
        (["--since", "1h"], "0 events", set()),
    ],
)
@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("skip", "skipped")])
def test_open_events_end(call, verb, status, argv, told, ended):
    """Those that fit all that is given; held ones only by name or by status. They are counted and have a transition."""
    before = statuses()
    found, out, err = call(verb, "run.db", *argv, "--reason", "no more")
    assert (found, out) == (0, f"{told} {status}\n")
    assert err.startswith("lionpride-exec: no event of run.db is pending") if not ended else not err
    assert statuses() == before | dict.fromkeys(ended, status)
    counts = json.loads(call("inspect", "run.db", "--json")[1])["counts"]
    assert (counts[status], sum(counts.values())) == (len(ended), 6)
    for seq in ended:
        shown = json.loads(call("show", "run.db", str(seq), "--json")[1])
        assert (shown["error"]["type"], shown["error"]["message"]) == (
            {"cancelled": "EventCancelled", "skipped": "Skip"}[status], "no more",
        )  # fmt: skip
        last = shown["transitions"][-1]
        assert (last["status"], last["error"].partition(": ")[2]) == (status, "no more")
        assert shown["finished"] == last["at"]


def test_an_event_that_has_ended_stays_as_it_is(call):
    """A message tells which; the others are cancelled."""
    status, out, err = call("cancel", "run.db", "first", "4")
    assert (status, out) == (1, "1 event cancelled\n")
    assert err == "lionpride-exec: event first has ended\n"
    assert (statuses()[1], statuses()[4]) == ("completed", "cancelled")


@pytest.mark.parametrize("verb", ["cancel", "skip", "retry"])
@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        ([], 2, "which events?"),
        (["nothing"], 1, "no event has"),
        (["0000"], 1, "more than one event"),
        (["--status", "done"], 2, "done"),
        (["--status", "aborting"], 2, "aborting"),
        (["--status", "[" * 5000], 2, "--status"),
        (["4", "--limit", "0"], 2, "--limit must be 1 or more, got 0"),
        (["4", "--since", "yesterday"], 2, "--since needs a time with a time zone"),
        (["4", "--since", "2026-11-30T12:00"], 2, "--since needs a time with a time zone"),
        (["4", "--since", "nan"], 2, "--since must be 0 or more"),
        (["4", "--since", "-1"], 2, "--since"),
    ],
)
def test_what_is_refused_changes_nothing(call, verb, argv, status, message):
    """A message in one line, and the exit status of the other commands."""
    before = Path("run.db").read_bytes()
    found, out, err = call(verb, "run.db", *argv)
    assert (found, out) == (status, "")
    assert message in err
    assert Path("run.db").read_bytes() == before


@pytest.mark.parametrize("verb", ["cancel", "skip"])
def test_events_that_have_ended_cannot_be_asked_for(call, verb):
    """Final statuses are wrong use."""
    assert call(verb, "run.db", "--status", "failed")[0] == 2


@pytest.mark.parametrize("verb", ["cancel", "skip"])
@pytest.mark.parametrize("content", [None, b"", b"text " * 2000])
def test_what_is_no_journal_is_wrong_use(call, verb, content):
    """One line, exit status 2; nothing is made or changed."""
    Path("run.db").unlink()
    if content is not None:
        Path("run.db").write_bytes(content)
    status, out, err = call(verb, "run.db", "4")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("lionpride-exec: run.db")
    assert (Path("run.db").read_bytes() if Path("run.db").exists() else None) == content


@pytest.mark.parametrize(
    ("argv", "told", "again"),
    [
        (["--failed"], "1 event is", {2}),
        (["--tag", "Send"], "1 event is", {6}),
        (["--error", "closed"], "1 event is", {6}),
        (["--error", "VALUE"], "1 event is", {2}),
        (["--since", "2023-11-14T22:13:31Z"], "1 event is", {6}),
        (["--limit", "1"], "1 event is", {6}),
        (["--limit", "5"], "2 events are", {2, 6}),
        (["first"], "1 event is", {1}),
    ],
)
def test_retry_by_more_than_status(call, argv, told, again):
    """As ``Executor.retry()``: by tag, error and time, and the newest of them. Completed events only by name."""
    before = statuses()
    status, out, err = call("retry", "run.db", *argv)
    assert (status, out, err) == (0, f"{told} pending again\n", "")
    assert statuses() == before | dict.fromkeys(again, "pending")


def test_retry_tells_which_events_the_other_options_leave_out(call):
    """Those that they choose are put back."""
    before = statuses()
    told = "lionpride-exec: event 6 is not one of those that the other options choose\n"
    assert call("retry", "run.db", "2", "6", "--tag", "Fetch") == (1, "1 event is pending again\n", told)
    assert statuses() == before | {2: "pending"}


def test_retry_by_the_shape_of_an_error(call):
    """What varies is left out, as in ``Executor.retry(error=)``."""
    with closing(sqlite3.connect("run.db")) as connection:
        for seq, message in ((7, "HTTP 500 for https://a/1"), (8, "HTTP 503 for https://b/2"), (9, "timed out")):
            add_event(connection, seq, "failed", finished=T0, outcome=error_outcome("OSError", message))
        connection.commit()
    assert call("retry", "run.db", "--error", "http <n> for <url>") == (0, "2 events are pending again\n", "")
    assert call("retry", "run.db", "--error", " ")[0] == 2


def test_the_next_run_skips_what_comes_after_a_cancelled_event(call):
    """Nobody else learns of the end before; the events that come after it end as if it had ended in a run."""
    Path("run.db").unlink()

    async def begin():
        executor = Executor.of(Fetch, journal=Journal("run.db"))
        executor.pause()
        async with executor:
            first = await executor.append(Fetch(url="a"), key="a")
            await executor.append(Fetch(url="b"), key="b", after=first)
            await executor.append(Fetch(url="c"), key="c", after_any_end=first)
            await executor.stop()

    async def go_on():
        async with Executor.of(Fetch, journal=Journal("run.db")) as executor:
            await executor.join()
            return {found.key: (found.status.value, found.error) for found in await executor.find()}

    anyio.run(begin)
    assert call("cancel", "run.db", "a") == (0, "1 event cancelled\n", "")
    ended = anyio.run(go_on)
    assert ended["a"] == ("cancelled", "EventCancelled: The event was cancelled")
    assert ended["b"][0] == "skipped"
    assert ended["c"] == ("completed", None)


def test_cancel_unless_begun(call):
    """What runs, is held or waits for its next attempt stays as it is. A message tells which, if it was named."""
    with closing(sqlite3.connect("run.db")) as connection, connection:
        add_event(connection, 7, "pending", attempt=1)
        add_event(connection, 8, "pending", attempts=b"[{}]")
        add_event(connection, 9, "pending")
    before = statuses()
    status, out, err = call("cancel", "run.db", "3", "4", "5", "7", "8", "first", "--unless-begun")
    assert (status, out) == (1, "1 event cancelled\n")
    assert sorted(err.splitlines()) == [
        "lionpride-exec: event 3 has begun",
        "lionpride-exec: event 5 has begun",
        "lionpride-exec: event 7 has begun",
        "lionpride-exec: event 8 has begun",
        "lionpride-exec: event first has ended",
    ]
    assert call("cancel", "run.db", "--status", "pending", "--unless-begun") == (0, "1 event cancelled\n", "")
    told = "lionpride-exec: no event of run.db that has not begun is pending\n"  # 7 and 8 are pending, and have begun
    assert call("cancel", "run.db", "--status", "pending", "--unless-begun") == (0, "0 events cancelled\n", told)
    assert statuses() == before | {4: "cancelled", 9: "cancelled"}


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("skip", "skipped")])
def test_the_newest_of_those_that_have_not_begun(call, verb, status):
    """`--limit` counts only these, as in a process that runs the journal."""
    with closing(sqlite3.connect("run.db")) as connection, connection:
        add_event(connection, 7, "pending")
        add_event(connection, 8, "pending", attempt=1)
    before = statuses()
    command = (verb, "run.db", "--status", "pending", "--limit", "1", "--unless-begun")
    assert call(*command) == (0, f"1 event {status}\n", "")
    assert statuses() == before | {7: status}
