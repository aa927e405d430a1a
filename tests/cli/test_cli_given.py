"""The command line: what was given to a run is in its journal, and ``inspect`` shows it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import run_command

DEFAULT = ["--output", "out", "--journal", "run.db"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with a target and INPUT."""
    monkeypatch.chdir(tmp_path)
    Path("target.py").write_text("async def echo(record): return record")
    Path("in").write_text("1\n")


def run(*words):
    """Run the target with a journal."""
    return run_command(["run", "target.py:echo", "in", *DEFAULT, "--quiet", *words])


@pytest.fixture
def runs(capsys):
    """Return the runs that ``inspect`` tells, as JSON."""

    def inspect(*words):
        capsys.readouterr()
        assert run_command(["inspect", "run.db", "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)["runs"]

    return inspect


def test_inspect_shows_what_was_given(capsys):
    """As words of a command line, newest first: what differs from the defaults."""
    assert run("--rate", "100/1s", "--rate", "9/s", "--concurrency=7", "--retries", "0") == 0
    assert run("--summary", "the end") == 0
    capsys.readouterr()
    assert run_command(["inspect", "run.db"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = lines[lines.index("Runs") + 2 :][:2]
    assert [line.split("Z  ")[1] for line in shown] == [
        "target.py:echo in --output out --summary 'the end' --journal run.db --quiet",
        "target.py:echo in --concurrency 7 --rate 100/1s --rate 9/s --output out --journal run.db --quiet",
    ]


def test_what_a_file_says_was_given(runs):
    """And so was the name of the file."""
    Path("run.toml").write_text("concurrency = 5\nrate = ['9/s']\n")
    assert run("--config", "run.toml", "--concurrency=6") == 0
    (found,) = runs()
    assert found["options"] == {
        "--config": "run.toml",
        "--concurrency": 6,
        "--rate": ["9/s"],
        "--output": "out",
        "--journal": "run.db",
        "--quiet": True,
    }
    assert (found["target"], found["input"], found["more_input"]) == ("target.py:echo", ["in"], 0)
    assert found["at"].startswith("20")


def test_no_secret_goes_into_the_journal(runs, monkeypatch):
    """Neither the password of a URL, nor what the shell has taken from a variable that is named like a secret."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("MONKEY", "the end of")
    assert run("--summary", "the end of sk-0123456789") == 0
    Path("x:").mkdir()
    Path("x:/ann:secret@host").write_text("1\n")
    assert run_command(["run", "target.py:echo", "x://ann:secret@host", *DEFAULT, "--quiet"]) == 0
    found = runs()
    assert found[0]["input"] == ["x://***@host"]
    assert found[1]["options"]["--summary"] == "the end of ***"
    for name in ("run.db", "run.db-wal"):
        data = Path(name).read_bytes() if Path(name).exists() else b""
        assert b"sk-0123456789" not in data
        assert b"secret@" not in data


def test_many_files_are_not_all_named(runs):
    """A shell makes thousands of a pattern."""
    names = [f"f{number}" for number in range(25)]
    for name in names:
        Path(name).write_text(f'"{name}"\n')
    assert run_command(["run", "target.py:echo", *names, *DEFAULT, "--quiet"]) == 0
    (found,) = runs()
    assert (found["input"], found["more_input"]) == (names[:20], 5)


def test_the_last_runs_are_kept(runs, capsys):
    """20 of them, and as many are shown as are asked for."""
    for number in range(22):
        assert run("--concurrency", str(number + 1)) == 0
    assert [found["options"]["--concurrency"] for found in runs("--top", "99")] == list(range(22, 2, -1))
    assert len(runs()) == 5
    assert runs("--top", "0") == []
    assert capsys.readouterr().err == ""


def test_a_run_that_is_refused_is_not_kept(runs):
    """Nothing was given to the journal."""
    assert run() == 0
    Path("in").write_text("2\n")
    assert run("--concurrency", "0") == 2
    assert len(runs()) == 1


def test_what_cannot_be_read_is_passed_over(runs):
    """As another program may have written it."""
    assert run() == 0
    with closing(sqlite3.connect("run.db")) as connection:
        rows = [("run:0", "{"), ("run:x", json.dumps({"at": 1, "target": "t", "input": [], "options": {}}))]
        connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", rows)
        connection.commit()
    assert [found["target"] for found in runs()] == ["t", "target.py:echo"]
