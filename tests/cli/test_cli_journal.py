"""The commands that look at a journal: inspect, tail, show, export, retry."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from cli_children import COLD, warm
from commands import run_command
from journal_files import T0, add_event, add_step, error_outcome, event_id, fill, journal_in_use, make_journal

from lionpride_exec import Call, Executor, Journal


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with a journal that has an event of each kind."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "run.db")
    return tmp_path


@pytest.fixture
def writer():
    """A connection that writes to the journal."""
    with closing(sqlite3.connect("run.db", isolation_level=None)) as connection:
        yield connection


def values(text):
    """Read JSON lines, with nothing allowed that JSON does not have."""

    def refuse(name):
        raise AssertionError(name)

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def on_terminal(*argv):
    """Run a command on a terminal; give what it wrote."""
    leader, follower = pty.openpty()
    try:
        environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
        subprocess.run([*warm(), *argv], stdout=follower, check=True, timeout=60, env=environment)  # noqa: S603  our own command
        os.close(follower)
        parts = []
        with pytest.raises(OSError):  # its end, on Linux
            while part := os.read(leader, 65536):
                parts.append(part)
        return b"".join(parts).decode()
    finally:
        os.close(leader)


# -------------------------------------------------------------------- inspect


def test_inspect_tells_how_it_goes(call):
    """Counts of all statuses, rates, and a table each of what runs, is slow, and fails."""
    status, out, err = call("inspect", "run.db")
    assert (status, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0].startswith("run.db: 6 events at 2")
    assert {"pending 1", "processing 1", "completed 1", "failed 1", "cancelled 0", "aborted 1", "held 1"} < set(lines)
    assert (
        "finished: 0 in the last 60 s, 0 in the last 3600 s; 0.3/s from the first queued to the last finished" in lines
    )
    assert any(
        line.startswith("oldest pending: #4 00000004 Fetch, queued 2023-11-14T22:13:24.000Z, ") for line in lines
    )
    assert "Running (1)" in lines
    assert any(line.startswith("3 00000003 Send 1 2023-11-14T22:13:40.000Z") for line in lines)
    assert "2 00000002 Fetch failed 5.000 s" in lines
    assert "1 failed ValueError: bad #2 00000002" in lines


def test_inspect_as_json(call):
    """One object, with the ids whole and the times in UTC."""
    status, out, _ = call("inspect", "run.db", "--json")
    (seen,) = values(out)
    assert status == 0
    assert list(seen) == [
        "path", "at", "counts", "last_minute", "last_hour", "rate", "slowest", "errors", "other_errors",
        "oldest_pending", "running", "schedules", "commands", "runs", "submitted", "refused", "refusals",
        "file_bytes", "wal_bytes", "process",
    ]  # fmt: skip
    assert seen["slowest"][0] == {
        "seq": 2,
        "id": str(event_id(2)),
        "tag": "Fetch",
        "status": "failed",
        "duration": 5.0,
    }
    assert seen["errors"][1]["example_id"] == str(event_id(6))
    assert seen["running"][0]["since"] == "2023-11-14T22:13:40.000Z"


def test_inspect_shows_schedules(call):
    """When they are due, next, and last, if ever; also of a fact that cannot be read."""
    with closing(sqlite3.connect("run.db")) as connection:
        fact = {"trigger": "cron '0 2 * * *' UTC", "dealt": 1.7e9, "anchor": None, "next": 1.7e9 + 60, "last": None}
        rows = [("schedule:new", json.dumps(fact)), ("schedule:nightly", json.dumps(fact | {"last": 1.7e9}))]
        rows.append(("schedule:torn", "{"))
        connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", rows)
        connection.commit()
    lines = [" ".join(line.split()) for line in call("inspect", "run.db")[1].splitlines()]
    assert lines[lines.index("Schedules") + 1 :][:4] == [
        "name due next last",
        "new cron '0 2 * * *' UTC 2023-11-14T22:14:20.000Z never",
        "nightly cron '0 2 * * *' UTC 2023-11-14T22:14:20.000Z 2023-11-14T22:13:20.000Z",
        "torn ? ? ?",
    ]
    (seen,) = values(call("inspect", "run.db", "--json")[1])
    assert seen["schedules"][1] == {
        "name": "nightly",
        "trigger": "cron '0 2 * * *' UTC",
        "at": "2023-11-14T22:13:20.000Z",
        "next_at": "2023-11-14T22:14:20.000Z",
    }


def test_inspect_shows_commands(call):
    """The newest first: what was asked, by whom, and what came of it; also what cannot be read."""
    with closing(sqlite3.connect("run.db")) as connection:
        connection.executemany(
            "INSERT INTO command (at, what, args, by, done, error) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (T0, "pause", None, "process 7", "{}", None),
                (T0 + 1, "cancel", '{"status":["pending"]}', "process 8", '{"events":3}', None),
                (T0 + 2, "resize", "{", None, None, "no"),
                (
                    T0 + 3,
                    "retry",
                    json.dumps({"events": {str(event_id(n)): n for n in range(9)}}),
                    "process 9",
                    None,
                    None,
                ),
            ],
        )
        connection.commit()
    lines = [" ".join(line.split()) for line in call("inspect", "run.db")[1].splitlines()]
    place = lines.index("Commands")
    assert lines[place + 1] == "n at command by came of it"
    assert lines[place + 2].startswith('4 2023-11-14T22:13:23.000Z retry {"events":{"00000000-0000-')
    assert lines[place + 2].endswith("… process 9 no answer yet")
    assert lines[place + 3 : place + 6] == [
        "3 2023-11-14T22:13:22.000Z resize ? no",
        '2 2023-11-14T22:13:21.000Z cancel {"status":["pending"]} process 8 done {"events":3}',
        "1 2023-11-14T22:13:20.000Z pause process 7 done",
    ]
    (seen,) = values(call("inspect", "run.db", "--json", "--top", "3")[1])
    assert [one["n"] for one in seen["commands"]] == [4, 3, 2]
    assert seen["commands"][2] == {
        "n": 2, "at": "2023-11-14T22:13:21.000Z", "what": "cancel", "args": {"status": ["pending"]},
        "by": "process 8", "done": {"events": 3}, "error": None,
    }  # fmt: skip


def test_inspect_names_so_many(call):
    """``--top``; what is not named is counted."""
    _, out, _ = call("inspect", "run.db", "--top", "1")
    assert "Deny" not in out
    assert "1 more ended with other errors" in out
    assert "Slowest" not in call("inspect", "run.db", "--top", "0")[1]
    assert call("inspect", "run.db", "--top", "-1") == (2, "", "lionpride-exec: --top must be 0 or more, got -1\n")


def test_inspect_on_a_terminal():
    """Drawn tables."""
    out = on_terminal("inspect", "run.db")
    assert "┃" in out
    assert "ValueError: bad" in out


# -------------------------------------------------------------------- tail


def test_tail_shows_the_last_transitions(call):
    """Oldest first: time, number, id, class, status, attempt, error."""
    status, out, err = call("tail", "run.db", "-n", "2")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "2023-11-14T22:13:30.000Z  #2  00000002  Fetch  failed (2)  ValueError: bad value",
        "2023-11-14T22:13:40.000Z  #3  00000003  Send  processing (1)",
    ]
    assert len(call("tail", "run.db")[1].splitlines()) == 5
    assert call("tail", "run.db", "-n", "0")[1] == ""
    assert call("tail", "run.db", "-n", "-1")[0] == 2


def test_tail_as_json(call):
    """An object a line; of an event that is gone the number is left."""
    with closing(sqlite3.connect("run.db")) as connection:
        add_step(connection, 99, "failed", T0, 3, "gone")
        connection.commit()
    _, out, _ = call("tail", "run.db", "-n", "2", "--json")
    first, second = values(out)
    assert first == {
        "n": 5, "at": "2023-11-14T22:13:40.000Z", "seq": 3, "id": str(event_id(3)), "tag": "Send",
        "status": "processing", "attempt": 1, "error": None,
    }  # fmt: skip
    assert (second["id"], second["tag"], second["error"]) == (None, None, "gone")


def test_tail_follows(writer, capsys, monkeypatch):
    """What is committed between two looks is shown once; also if numbers come again."""
    looks = []

    def sleep(_seconds):
        looks.append(capsys.readouterr().out.splitlines())
        if len(looks) == 1:
            writer.execute("BEGIN IMMEDIATE")
            add_step(writer, 3, "completed", T0 + 21)
        elif len(looks) == 2:
            writer.execute("COMMIT")
        elif len(looks) == 3:
            writer.execute("DELETE FROM transition WHERE seq = 3")
        elif len(looks) == 4:
            add_step(writer, 4, "pending", T0 + 22)
        elif len(looks) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert run_command(["tail", "run.db", "-n", "1", "--follow"]) == 130
    assert [[line.split()[1] for line in look] for look in looks] == [["#3"], [], ["#3"], [], ["#4"]]


def test_ctrl_c_ends_tail(call, monkeypatch):
    """Quietly, with the exit status of an interruption."""

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    status, out, err = call("tail", "run.db", "-n", "1", "--follow")
    assert (status, len(out.splitlines()), err) == (130, 1, "")


# -------------------------------------------------------------------- show


def test_show_tells_all_about_an_event(call):
    """Fields, transitions with the time between them, earlier attempts, the error with its traceback."""
    status, out, err = call("show", "run.db", "#2")
    assert (status, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:2] == ["event #2", f"id: {event_id(2)}"]
    assert "status: failed" in lines
    assert "2023-11-14T22:13:24.000Z +1.000 s pending 1 OSError: gone" in lines
    assert "attempt 1: 2023-11-14T22:13:23.000Z to 2023-11-14T22:13:24.000Z, failed" in lines
    assert lines[lines.index("error") :] == ["error", "ValueError: bad", "value", "Trace", "line"]


def test_show_of_an_event_that_completed(call):
    """Its key, its data and its response."""
    _, out, _ = call("show", "run.db", "first")
    assert "key:        first" in out
    assert 'data\n  {\n    "url": "a"\n  }\n' in out
    assert 'response\n  {\n    "n": 1\n  }\n' in out


def test_show_of_a_response_of_none(call, writer):
    """It is shown as null; what JSON could not hold as its repr."""
    add_event(writer, 7, "completed", outcome={})
    add_event(writer, 8, "completed", outcome={"repr": "<Thing>"})
    assert "response\n  null\n" in call("show", "run.db", "7")[1]
    assert "repr\n  <Thing>\n" in call("show", "run.db", "8")[1]


def test_show_as_json(call):
    """All of it, as one object."""
    (two,) = values(call("show", "run.db", "2", "--json")[1])
    (four,) = values(call("show", "run.db", str(event_id(4)), "--json")[1])
    assert two["error"] == {
        "type": "ValueError",
        "message": "bad\nvalue",
        "traceback": "Trace\n  line",
    }
    assert [step["status"] for step in two["transitions"]] == ["pending", "processing", "pending", "failed"]
    (attempt,) = two["attempts"]
    assert (attempt["number"], attempt["started"], attempt["interrupted"]) == (1, "2023-11-14T22:13:23.000Z", False)
    assert attempt["error"]["type"] == "OSError"
    assert (four["priority"], four["due"], four["after"]) == (2.5, "2023-11-14T22:14:20.000Z", [str(event_id(3))])


def test_show_names_what_an_event_comes_after(call):
    """By its tag, its key and its status, beside its id."""
    (three,) = values(call("show", "run.db", str(event_id(3)), "--json")[1])
    told = " ".join(str(three[name]) for name in ("tag", "key", "status") if three[name] is not None)
    assert f"  after:      {event_id(3)} ({told})\n" in call("show", "run.db", str(event_id(4)))[1]


def test_show_of_what_is_not_there(call):
    """One line, exit status 1; also if more than one is meant."""
    status, out, err = call("show", "run.db", "nothing")
    assert (status, out) == (1, "")
    assert err.startswith("lionpride-exec: no event has the number, id or key 'nothing'")
    status, _, err = call("show", "run.db", "0000")
    assert (status, err.count("\n")) == (1, 1)
    assert "means more than one event" in err


# -------------------------------------------------------------------- export


def test_export_writes_json_lines(call):
    """One for each event, in order of arrival."""
    status, out, err = call("export", "run.db")
    lines = values(out)
    assert (status, err) == (0, "")
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0] == {
        "id": str(event_id(1)), "seq": 1, "tag": "Fetch", "version": 1, "data": {"url": "a"}, "key": "first",
        "status": "completed", "attempt": 1, "runs": 1, "crashes": 0, "queued": "2023-11-14T22:13:21.000Z",
        "started": "2023-11-14T22:13:22.000Z", "finished": "2023-11-14T22:13:24.000Z", "duration": 2.0,
        "response": {"n": 1},
    }  # fmt: skip
    assert lines[1]["error"]["message"] == "bad\nvalue"
    assert (lines[3]["error"], lines[3]["duration"], lines[3]["started"]) == (None, None, None)


def test_export_of_some(call):
    """By status and by class."""
    assert [line["seq"] for line in values(call("export", "run.db", "--status", "failed", "--status", "held")[1])] == [
        2,
        5,
    ]
    assert [line["seq"] for line in values(call("export", "run.db", "--tag", "Send")[1])] == [3, 6]
    status, out, err = call("export", "run.db", "--status", "lost")
    assert (status, out) == (2, "")
    assert "lost" in err


def test_export_is_valid_json_whatever_the_file_holds(call, writer):
    """A part that cannot be read is null and named; numbers that JSON does not have are null."""
    rubbish = [b"\xff", b"{", b"[" * 100_000, b"[1]", b'"\\udc80"', b"9" * 10_000, b"NaN", b"1e999"]
    for seq, part in enumerate(rubbish, 10):
        add_event(writer, seq, "failed", event=part)
    writer.execute("UPDATE event SET outcome = event, key = seq || '{' WHERE seq >= 10")
    add_event(writer, 30, "completed", started=float("inf"), finished=1e300, queued="then", attempt=b"\xff", id=b"1")
    add_event(writer, 31, "completed", outcome={"response": [10**40, "\u2028", "é"]})
    status, out, err = call("export", "run.db")
    lines = {line["seq"]: line for line in values(out.replace("\u2028", " "))}
    assert (status, err) == (0, "")
    assert len(lines) == 6 + len(rubbish) + 2
    for seq in range(10, 10 + len(rubbish)):
        assert lines[seq]["unreadable"] == ["event", "outcome", "key"]
        assert (lines[seq]["tag"], lines[seq]["error"], lines[seq]["status"]) == (None, None, "failed")
    assert [lines[30][name] for name in ("queued", "started", "finished")] == [None] * 3
    assert lines[31]["response"][0] == 10**40
    for seq in lines:
        assert call("show", "run.db", f"#{seq}")[0] == call("show", "run.db", f"#{seq}", "--json")[0] == 0


def test_export_into_a_file(call):
    """What it held is replaced if that is asked for, else it is refused and nothing is lost."""
    Path("out").write_text("x" * 100_000)
    status, _, err = call("export", "run.db", "--output", "out")
    assert (status, err) == (2, "lionpride-exec: --output out is not empty: --overwrite replaces what it holds\n")
    assert Path("out").read_text() == "x" * 100_000
    assert call("export", "run.db", "--output", "out", "--overwrite") == (0, "", "")
    assert len(values(Path("out").read_text())) == 6


@pytest.mark.parametrize("name", ["run.db", "./run.db", "run.db-wal", "link"])
def test_export_does_not_write_into_the_journal(call, writer, name):
    """Nor into its log, nor by another name."""
    add_event(writer, 7)
    Path("link").symlink_to("run.db")
    before = Path(name).read_bytes()
    status, _, err = call("export", "run.db", "--output", name)
    assert (status, err) == (2, f"lionpride-exec: --output {name} is part of the journal\n")
    assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("failed.csv", "failed.csv gets JSON lines, whatever its name says; run --output-format csv writes a table"),
        ("failed.xlsx", "failed.xlsx gets JSON lines, whatever its name says"),
        ("failed.jsonl", None),
    ],
)
def test_export_says_that_it_writes_no_table(call, writer, output, told):
    """Whatever the name of the file."""
    add_event(writer, 7)
    assert call("export", "run.db", "--output", output) == (0, "", f"lionpride-exec: {told}\n" if told else "")
    assert len(values(Path(output).read_text())) == 7


@pytest.mark.parametrize(("output", "status"), [("no/such", 2), ("--quiet", 2), (".", 2), ("/dev/full", 1)])
def test_export_that_cannot_be_written(call, output, status):
    """One line says so."""
    found, out, err = call("export", "run.db", f"--output={output}")
    assert (found, out) == (status, "")
    assert err.startswith("lionpride-exec: ")
    assert err.count("\n") == 1


# -------------------------------------------------------------------- names of events


def with_lines():
    """Make a journal with events of lines that have an id."""
    Path("run.db").unlink()
    with closing(make_journal("run.db")) as connection:
        for number, key in enumerate(
            ["line:id:P00609", "line:id=4", "line:id:1.5", "P7", "line:id:P7", "line:id=1.5"], 1
        ):
            add_event(connection, number, "failed", key=json.dumps(key), outcome=error_outcome("ValueError", "no"))


@pytest.mark.parametrize(
    ("name", "number"), [("P00609", 1), ("line:id:P00609", 1), ('"P00609"', None), ("line:id=4", 2)]
)
def test_an_event_is_found_by_the_id_of_its_line(call, name, number):
    """A text as it stands, beside the whole key."""
    with_lines()
    status, out, err = call("show", "run.db", name)
    assert (status, out.partition("\n")[0]) == ((0, f"event #{number}") if number else (1, ""))
    assert number or "no line has this id" in err


@pytest.mark.parametrize(("name", "numbers"), [("4", (2, 4)), ("1.5", (3, 6)), ("P7", (4, 5))])
def test_the_id_of_a_line_that_means_other_events_too(call, name, numbers):
    """The number of an event, a number and a text, or the key of another event: refused, and all are named."""
    with_lines()
    for argv in (["show", "run.db", name], ["retry", "run.db", name], ["retry", "run.db", "--id", name]):
        status, out, err = call(*argv)
        assert (status, out) == (1, "")
        assert f"{name!r} means more than one event: #{numbers[0]} " in err
        assert f", #{numbers[1]} " in err
        assert 'with the key "' in err


def test_events_are_put_back_by_the_ids_of_their_lines(call):
    """Several at once, beside other names."""
    with_lines()
    assert call("retry", "run.db", "P00609", "--id", "line:id:P7")[:2] == (0, "2 events are pending again\n")
    assert {number for number, status in statuses().items() if status == "pending"} == {1, 5}


# -------------------------------------------------------------------- retry


def statuses():
    """Return the statuses of the events, by number."""
    with closing(sqlite3.connect("run.db")) as connection:
        return dict(connection.execute("SELECT seq, status FROM event"))


@pytest.mark.parametrize(
    ("argv", "told", "seqs"),
    [
        (["--status", "failed", "--status", "held"], "2 events are", {2, 5}),
        (["--id", "first"], "1 event is", {1}),
        (["--status", "completed", "--id", "#1"], "1 event is", {1}),
        (["--status", "failed", "--id", "#1", "--id", "#2"], "1 event is", {2}),
    ],
)
def test_retry_puts_back_what_is_chosen(call, argv, told, seqs):
    """Those of the statuses, and those that are named. An event that was named and not put back is exit status 1."""
    before = statuses()
    is_left = argv.count("--id") > len(seqs)
    err = "lionpride-exec: event #1 is completed: only failed events were asked for\n" if is_left else ""
    assert call("retry", "run.db", *argv) == (int(is_left), f"{told} pending again\n", err)
    assert statuses() == before | dict.fromkeys(seqs, "pending")


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        ([], 2, "which events?"),
        (["--status", "completed"], 2, "--status completed needs --id"),
        (["--status", "pending"], 2, "pending"),
        (["--id", "nothing"], 1, "no event has"),
    ],
)
def test_retry_that_is_refused(call, argv, status, message):
    """Nothing is opened for writing."""
    written = Path("run.db").read_bytes()
    found, out, err = call("retry", "run.db", *argv)
    assert (found, out) == (status, "")
    assert message in err
    assert Path("run.db").read_bytes() == written


SERVER_ERRORS = (
    (500, "Server error '500 Internal Server Error' for url 'https://api.example/1'"),
    (500, "Server error '500 Internal Server Error' for url 'https://api.example/2'"),
    (503, "Server error '503 Internal Server Error' for url 'https://api.example/3'"),
    (None, "Server error '500 Internal Server Error' for url 'https://api.example/4'"),
    (500, "Server error '500 Internal Server Error' for url 'https://api.example/5' again"),
    (None, "\n  late\x1b"),
    (None, "LATE\x1b"),
    (None, ""),
    (None, "late\x1b, " + "x" * 300),
)


def with_server_errors():
    """Make a journal with an event for each of these errors, numbers 1 and up."""
    Path("run.db").unlink()
    with closing(make_journal("run.db")) as connection:
        for number, (code, message) in enumerate(SERVER_ERRORS, 1):
            more = {} if code is None else {"details": {"status_code": code}}
            outcome = error_outcome("HTTPStatusError", message, **more)
            add_event(connection, number, "failed", attempt=1, finished=T0, outcome=outcome)


def shown_errors(call):
    """Return the errors that ``inspect`` shows, with how many events have each."""
    lines = call("inspect", "run.db", "--top", "20")[1].partition("\nErrors\n")[2].splitlines()[1:]
    rows = [line.split(maxsplit=2) for line in lines if " failed " in line]
    return {text.rpartition("  #")[0].rstrip(): int(count) for count, _, text in rows}


def test_retry_takes_the_errors_that_inspect_shows(call):
    """Exactly the events of the row whose error was copied, though other errors have the text in them."""
    with_server_errors()
    shown = shown_errors(call)
    assert shown["HTTPStatusError 500: Server error '<n> Internal Server Error' for url '<url>'"] == 2
    assert len(shown) == 8
    total = 0
    for text, count in shown.items():
        assert call("retry", "run.db", "--error", text)[0] == 0
        pending = [number for number, status in statuses().items() if status == "pending"]
        assert len(pending) - total == count, text
        total = len(pending)
    assert total == len(SERVER_ERRORS)


def test_retry_takes_a_part_of_an_error(call):
    """As before: of the error, of its shape, and of the shape with its status code, in any case of letters."""
    with_server_errors()
    assert call("retry", "run.db", "--error", "500: server error '<n>")[1] == "3 events are pending again\n"
    assert call("retry", "run.db", "--error", "Server error '<n> Int")[1] == "2 events are pending again\n"


def test_retry_tells_that_no_event_fits(call):
    """A text that no error has may be mistyped: exit status 1. Other choices may well be empty."""
    status, out, err = call("retry", "run.db", "--error", "no such text")
    assert (status, out) == (1, "0 events are pending again\n")
    assert "with 'no such text' in its error: lionpride-exec inspect run.db shows the errors" in err
    status, out, err = call("retry", "run.db", "--status", "cancelled")
    assert (status, out) == (0, "0 events are pending again\n")
    assert "no event of run.db is cancelled" in err
    status, out, err = call("cancel", "run.db", "--tag", "Other")
    assert (status, out) == (0, "0 events cancelled\n")
    assert "no event of run.db is pending or processing, and fits the other options" in err


def test_retry_tells_that_not_all_were_put_back(call):
    """An event that was named and has not ended: exit status 1."""
    told = "lionpride-exec: event 4 has not ended\n"
    assert call("retry", "run.db", "--id", "1", "--id", "4") == (1, "1 event is pending again\n", told)


def test_retry_tells_why_an_event_that_was_named_stays(call):
    """It has another status than those that were asked for, or has not ended."""
    status, out, err = call("retry", "run.db", "2", "4", "--status", "skipped")
    assert (status, out) == (1, "0 events are pending again\n")
    assert err.splitlines() == [
        "lionpride-exec: event 2 is failed: only skipped events were asked for",
        "lionpride-exec: event 4 has not ended",
    ]


def test_retry_tells_what_stays_skipped(call):
    """What was skipped because of the events that are put back, at whichever distance. Not what was skipped by hand."""
    Path("run.db").unlink()

    async def refuse(number):
        raise ValueError(number)

    async def main():
        async with Executor.of(refuse, journal=Journal("run.db")) as executor:
            executor.pause()
            bad = await executor.append(Call.of(refuse, 1))
            load = await executor.append(Call.of(refuse, 2), after=bad)
            await executor.append(Call.of(refuse, 3), after=load)
            executor.skip(await executor.append(Call.of(refuse, 4), after_any_end=bad))
            executor.skip(await executor.append(Call.of(refuse, 5)))
            executor.resume()

    anyio.run(main)
    told = "1 event is pending again\n2 skipped events come after it: --status skipped puts those back too\n"
    assert call("retry", "run.db", "--status", "failed") == (0, told, "")
    assert call("retry", "run.db", "--status", "skipped") == (0, "4 events are pending again\n", "")


def test_retry_puts_events_back(call):
    """They are pending and counted as such; a completed one only if it is named."""
    assert call("retry", "run.db", "--status", "failed", "--status", "held", "--status", "aborted")[:2] == (
        0,
        "3 events are pending again\n",
    )
    assert values(call("inspect", "run.db", "--json")[1])[0]["counts"] | {"pending": 4, "completed": 1} == (
        dict.fromkeys(["pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted", "held"], 0)
        | {"pending": 4, "processing": 1, "completed": 1}
    )
    assert call("retry", "run.db", "--id", "1")[:2] == (0, "1 event is pending again\n")
    (one,) = values(call("show", "run.db", "1", "--json")[1])
    assert (one["status"], one["finished"], one["error"]) == ("pending", None, None)


def test_retry_leaves_what_the_process_cannot_read(call):
    """A process that has the journal open and does not take this class."""
    with journal_in_use("run.db"):
        status, out, err = call("retry", "run.db", "--status", "failed")
    assert (status, out.splitlines()[1:]) == (0, ["0 events are pending again"])
    assert f"no event of run.db that process {os.getpid()} can read is failed" in err
    assert values(call("inspect", "run.db", "--json")[1])[0]["counts"]["failed"] == 1


# -------------------------------------------------------------------- all of them

READING = [["inspect", "run.db"], ["tail", "run.db"], ["show", "run.db", "2"], ["export", "run.db"]]


@pytest.mark.parametrize("argv", READING, ids=lambda argv: argv[0])
def test_a_run_that_writes_is_no_hindrance(call, writer, argv):
    """An open transaction is not waited for; its commit shows the next time, where it matters."""
    before = call(*argv)
    writer.execute("BEGIN IMMEDIATE")
    add_event(writer, 7, "failed", outcome=error_outcome("New", "new"))
    add_step(writer, 7, "failed")
    add_step(writer, 2, "pending")
    during = call(*argv)
    writer.execute("COMMIT")
    after = call(*argv)
    assert before[0] == during[0] == after[0] == 0
    if argv[0] != "inspect":  # it tells the time
        assert during == before
    assert after[1] != during[1]


@pytest.mark.parametrize("argv", [*READING, ["retry", "run.db", "--status", "failed"]], ids=lambda argv: argv[0])
def test_what_is_no_journal_is_wrong_use(call, argv):
    """One line, exit status 2; nothing is made or changed."""
    for content in (None, b"", b"text " * 2000):
        for left in Path.cwd().glob("run.db*"):
            left.unlink()
        if content is not None:
            Path("run.db").write_bytes(content)
        status, out, err = call(*argv)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("lionpride-exec: run.db")
        assert (Path("run.db").read_bytes() if Path("run.db").exists() else None) == content


def test_a_record_does_not_steer_the_terminal(call, writer):
    """Escape sequences, changes of direction and line ends are shown, not done, wherever they stand."""
    evil = "\x1b[2J\u202e\r\x9b\x07\u2028"
    add_event(
        writer, 7, "failed", tag=evil, data={evil: evil}, key=json.dumps(evil), attempt=1, started=T0, finished=T0,
        outcome=error_outcome(evil, evil, traceback=evil, details={evil: evil}) | {"duration": 1.0},
        attempts=json.dumps([{"number": evil, "error": {"type": evil, "message": evil}}]).encode(),
    )  # fmt: skip
    add_event(writer, 8, evil, tag=evil, started=T0)
    add_event(writer, 9, "completed", outcome={"repr": evil})
    add_event(writer, 10, "processing", tag=evil, started=T0)
    add_step(writer, 7, evil, error=evil)
    for argv in (*READING[:2], *(["show", "run.db", f"#{seq}"] for seq in (7, 8, 9)), ["show", "run.db", evil + evil]):
        _, out, err = call(*argv)
        assert all(char.isprintable() or char == "\n" for char in out + err)
        assert "\\x1b[2J" in out + err or "\\u001b[2J" in out + err
    drawn = on_terminal("inspect", "run.db")
    assert "\x1b[2J" not in drawn
    assert "\u202e" not in drawn
    assert "\\x1b[2J" in drawn


@pytest.mark.parametrize("argv", READING, ids=lambda argv: argv[0])
def test_nobody_reads_on(argv):
    """As before ``| head``: quiet, exit status 1."""
    reader, pipe = os.pipe()
    os.close(reader)
    done = subprocess.run([*warm(), *argv], stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=60)  # noqa: S603  our own command
    os.close(pipe)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_told():
    """Standard output that cannot be written: one line, exit status 1."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(  # noqa: S603  our own command
            [*warm(), "export", "run.db"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"lionpride-exec: cannot write standard output: ")


def test_a_locale_without_the_characters(writer):
    """Text is escaped, JSON is UTF-8."""
    add_event(writer, 7, tag="é", data={"é": 1})
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    outputs = [
        subprocess.run([*COLD, *argv], capture_output=True, check=True, timeout=60, env=environment).stdout  # noqa: S603  our own command
        for argv in (["show", "run.db", "7"], ["show", "run.db", "7", "--json"])
    ]
    assert b"\\xe9" in outputs[0]
    assert json.loads(outputs[1])["tag"] == "é"


@pytest.mark.parametrize("argv", READING, ids=lambda argv: argv[0])
def test_without_msgspec_it_is_said_how_to_get_it(call, monkeypatch, argv):
    """Exit status 2, as for any package that is missing."""
    monkeypatch.setitem(sys.modules, "msgspec", None)
    status, out, err = call(*argv)
    assert (status, out) == (2, "")
    cure = "pip install '.[journal]' (in a clone of lionpride_exec)"
    assert err == f"lionpride-exec: msgspec is missing; journals need: {cure}\n"


def test_the_command_line_itself_needs_no_msgspec():
    """Only the commands for journals do."""
    program = "import sys, lionpride_exec._cli; print('msgspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  our own command
    assert done.stdout == "False\n"


def test_an_empty_journal(call, workplace):
    """There is nothing to tell, and nothing wrong."""
    make_journal(workplace / "new.db").close()
    assert call("tail", "new.db") == (0, "", "")
    assert call("export", "new.db") == (0, "", "")
    assert call("inspect", "new.db")[1].startswith("new.db: 0 events at ")
