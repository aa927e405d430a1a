"""``lionpride-exec submit``: hand the lines of INPUT to the process that runs a journal."""

import gzip
import importlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import cli_children
import pytest
from cli_children import end_children, read_until
from commands import run, run_command, standard_input
from journal_support import until

from lionpride_exec import Executor, Journal, Retain
from lionpride_exec.testing import run as virtual_run

pytest.importorskip("msgspec")

TARGETS = """
from lionpride_exec import Event, Executor

ran = []

async def say(record):
    print("ran", record["n"], flush=True)

async def echo(record):
    ran.append(record)
    return record

class Fetch(Event, tag="cli_submit.fetch"):
    url: str = ""
    when: object = None

    async def _invoke(self):
        return self.url

class Bare(Event):
    async def _invoke(self): ...

class NoType(Executor): ...
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in a folder with a module of targets and a journal that a run has made of one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "submit_targets.py").write_text(TARGETS, "utf-8")
    (tmp_path / "in.jsonl").write_text('{"n": 0}\n', "utf-8")
    assert run_on_journal() == 0
    yield tmp_path
    end_children()
    sys.modules.pop("submit_targets", None)


def run_on_journal(target="submit_targets:echo"):
    """Run the command that owns the journal."""
    return run(target, "in.jsonl", journal="run.db", output="out.jsonl", quiet=True)


def submit(*words, target="submit_targets:echo"):
    """Run the command. Return its exit status."""
    return run_command(["submit", "run.db", target, *words])


def waiting(what="n"):
    """Return what waits in the file."""
    with closing(sqlite3.connect("run.db")) as connection:
        found = connection.execute(f"SELECT {what} FROM submit ORDER BY n").fetchall()  # noqa: S608  ours
    return [row[0] if len(row) == 1 else row for row in found]


def results(place):
    """Return the records and the responses in the output."""
    lines = map(json.loads, (place / "out.jsonl").read_text("utf-8").splitlines())
    return [(line["record"], line["response"]) for line in lines]


def records(numbers):
    """Return records as JSON lines."""
    return "".join(f'{{"n": {number}}}\n' for number in numbers)


def test_the_next_run_runs_what_was_submitted(place, capsys):
    """Submitted lines run beside those of INPUT, once, and their results are in the output."""
    (place / "more.jsonl").write_text(records([1, 2, 0]), "utf-8")
    for _ in range(2):
        assert submit("more.jsonl") == 0
        assert capsys.readouterr() == ("", "lionpride-exec: 3 lines submitted to run.db\n")
    assert len(waiting()) == 6
    assert run_on_journal() == 0
    assert results(place) == [({"n": number}, {"n": number}) for number in (0, 1, 2)]
    assert waiting() == []
    assert submit("more.jsonl", "--quiet") == 0
    assert run_on_journal() == 0
    assert len(results(place)) == 3


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("a.csv", b"n,m\n1,x\n2,y\n", ()),
        ("b.csv", b"n;m\n1;\xe4\n2;y\n", ("--delimiter=;", "--encoding=cp1252")),
        ("a.tsv", b"n\tm\n1\tx\n2\ty\n", ()),
        ("a.json", b'[{"n": 1, "m": "x"}, {"n": 2, "m": "y"}]', ()),
        ("a.jsonl.gz", gzip.compress(b'{"n": 1, "m": "x"}\n{"n": 2, "m": "y"}\n', mtime=0), ()),
        ("a.txt", b'[{"n": 1, "m": "x"}, {"n": 2, "m": "y"}, {"n": 3}]', ("--input-format=json", "--limit=2")),
        ("-", b'{"n": 9}\n{"n": 1, "m": "x"}\n\n{"n": 2, "m": "y"}\n', ("--skip=1",)),
    ],
)
def test_all_forms_of_input_are_read(place, name, data, options):
    """As run reads them. The keys are those of run: the same records in another form are known."""
    if name == "-":
        with standard_input(data):
            assert submit("-", *options) == 0
    else:
        (place / name).write_bytes(data)
        assert submit(name, *options) == 0
    (place / "same.jsonl").write_text('{"m": "x", "n": 1}\n{"m": "y", "n": 2}\n', "utf-8")
    is_text = name in {"a.csv", "b.csv", "a.tsv"}
    assert submit("same.jsonl") == 0
    keys = waiting("key")
    assert len(keys) == 4
    assert len(set(keys)) == (4 if is_text else 2)


def test_options_of_a_record(place):
    """Priority, id, timeout, plain lines and keys are as run has them; ``--unique`` is about the key."""
    (place / "in2.jsonl").write_text('{"url": "a", "rank": 3, "k": "one"}\n', "utf-8")
    words = ("in2.jsonl", "--priority=rank", "--id=k", "--timeout=5")
    for unique in ("ever", "open", "no"):
        assert submit(*words, f"--unique={unique}", target="submit_targets:Fetch") == 0
    assert waiting("key, unique_open, priority") == [
        ('"line:id:one"', 0, 3.0), ('"line:id:one"', 1, 3.0), (None, 0, 3.0),
    ]  # fmt: skip
    (place / "lines.txt").write_text("http://a\nhttp://b\n", "utf-8")
    assert submit("lines.txt", "--field=url", target="submit_targets:Fetch") == 0
    assert waiting("event ->> '$.data.url'")[3:] == ["http://a", "http://b"]
    assert waiting("event ->> '$.tag'") == ["cli_submit.fetch"] * 5
    assert waiting("event ->> '$.data.timeout'")[:1] == [5.0]


def test_bad_lines_are_told_and_the_others_submitted(place, capsys):
    """Lines that are no record, that do not fit, or cannot be stored: status 1."""
    (place / "bad.jsonl").write_text('{"url": "a"}\nnot json\n{"nothing": 1}\n{"url": "b"}\n{"id": "x"}\n', "utf-8")
    assert submit("bad.jsonl", "--event-fields=id", target="submit_targets:Fetch") == 1
    error = capsys.readouterr().err
    assert "line 2: not JSON" in error
    assert "line 3: does not fit Fetch" in error
    assert "line 5: " in error
    assert error.endswith("2 lines submitted to run.db, 3 bad lines\n")
    assert waiting("event ->> '$.data.url'") == ["a", "b"]


def test_a_secret_is_not_submitted(place):
    """``--redact`` masks a field of the record, in the event too if run would."""
    (place / "in2.jsonl").write_text('{"n": 5, "password": "hunter2"}\n', "utf-8")
    assert submit("in2.jsonl", "--redact=password") == 0
    assert b"***" in waiting("event")[0]
    assert run("submit_targets:echo", "in.jsonl", journal="run.db", output="out.jsonl", redact="password") == 0
    assert "hunter2" not in (place / "out.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "target", "error"),
    [
        (["no.jsonl"], "submit_targets:echo", "no.jsonl"),
        (["in.jsonl"], "submit_targets:missing", "has no 'missing'"),
        (["in.jsonl"], "submit_targets:NoType", "has no class of events"),
        (["in.jsonl", "--calls"], "submit_targets:Fetch", "--calls needs a function"),
        (["in.jsonl", "--calls", "--redact=n"], "submit_targets:echo", "--calls and --redact exclude each other"),
        (["in.jsonl", "--limit=0"], "submit_targets:echo", "--limit must be 1 or more"),
        (["in.jsonl", "--timeout=-1"], "submit_targets:echo", "--timeout must be a positive number"),
        (["in.jsonl", "--field=record", "--priority=n"], "submit_targets:echo", "--priority needs JSON records"),
        (["--quite"], "submit_targets:echo", "--quite"),
        ([], "submit_targets:echo", "INPUT"),
    ],
)
def test_wrong_use_is_refused(words, target, error, capsys):
    """Status 2, a message, and nothing is submitted."""
    assert submit(*words, target=target) == 2
    assert error in "".join(capsys.readouterr())
    assert waiting() == []


def test_what_is_no_journal_is_refused(place, capsys):
    """A file that does not exist, or is none: status 2, and no file is made."""
    (place / "text.db").write_text("text" * 1000)
    for name, error in (("none.db", "there is no journal"), ("text.db", "is not a SQLite file")):
        assert run_command(["submit", name, "submit_targets:echo", "in.jsonl"]) == 2
        told = capsys.readouterr().err
        assert error in told
        assert "submitted" not in told
    assert not (place / "none.db").exists()


def test_calls_are_for_a_program_with_a_function(place):
    """``--calls`` submits what ``Executor.of(function)`` runs, from a file as from a module."""
    (place / "calls_target.py").write_text("async def double(record): return 2 * record['n']", "utf-8")
    function = importlib.import_module("calls_target").double

    async def own():
        async with Executor.of(function, journal=Journal("program.db"), retain=Retain()) as executor:
            await until(lambda: executor.status_counts()["completed"] == expected)
            return [event.response for event in executor.get_events_by_status("completed")]

    expected = 0
    assert virtual_run(own) == []
    for target in ("calls_target:double", "calls_target.py:double"):
        (place / "in2.jsonl").write_text(records([len(target)]), "utf-8")
        assert run_command(["submit", "program.db", target, "in2.jsonl", "--calls", "--quiet"]) == 0
    expected = 2
    assert virtual_run(own) == [38, 44]


def test_inspect_shows_what_waits_and_what_cannot_be_taken_in(place, capsys):
    """A line for what waits; a table with the errors of what no owner could read; both in the JSON."""
    assert submit("in.jsonl", "--unique=no", "--quiet") == 0
    assert submit("in.jsonl", "--quiet", target="submit_targets:Fetch") == 1  # no such field
    capsys.readouterr()
    assert run_command(["inspect", "run.db"]) == 0
    assert "submitted by other processes, not taken in yet: 1\n" in capsys.readouterr().out
    with closing(sqlite3.connect("run.db")) as connection, connection:
        connection.execute("""UPDATE submit SET event = '{"tag": "tests.nobody", "data": {}}'""")
    assert run_on_journal() == 0
    capsys.readouterr()
    assert run_command(["inspect", "run.db"]) == 0
    shown = capsys.readouterr().out
    assert "Submitted, and not taken in (1)" in shown
    assert "no class with the tag 'tests.nobody' is known here" in shown
    assert "not taken in yet" not in shown
    assert run_command(["inspect", "run.db", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["submitted"], found["refused"], found["refusals"][0]["tag"]) == (0, 1, "tests.nobody")


def test_a_run_that_is_going_on_takes_lines_in(place):
    """A run in another process, which reads a pipe, runs what is submitted meanwhile, and writes the results."""
    words = ["run", "submit_targets:say", "-", "--journal", "pipe.db", "--output", "pipe.jsonl", "--quiet"]
    child = cli_children.start(words, stdin=subprocess.PIPE)
    child.stdin.write(b'{"n": 1}\n')
    child.stdin.flush()
    read_until(child.stdout, b"ran 1\n")
    (place / "more.jsonl").write_text(records(range(1, 30)), "utf-8")
    assert run_command(["submit", "pipe.db", "submit_targets:say", "more.jsonl"]) == 0
    said = {child.stdout.readline() for _ in range(2, 30)}
    assert said == {b"ran %d\n" % number for number in range(2, 30)}
    child.stdin.close()
    assert child.wait() == 0
    assert len((place / "pipe.jsonl").read_text("utf-8").splitlines()) == 29


def test_what_was_submitted_survives_a_stop_of_the_run(place):
    """Lines that a run has taken in, but not run, are run by the next one, though they are not in its INPUT."""
    (place / "more.jsonl").write_text(records(range(1, 5)), "utf-8")
    assert submit("more.jsonl") == 0
    with closing(sqlite3.connect("run.db")) as connection, connection:  # as a run leaves it that was stopped
        connection.executescript(
            "INSERT INTO event (seq, id, event, key, key_hash, status, queued) "
            "SELECT 100 + n, id, event, key, NULL, 'pending', at FROM submit; DELETE FROM submit"
        )
    assert run_on_journal() == 0
    assert sorted(record["n"] for record, _ in results(place)) == [0, 1, 2, 3, 4]
