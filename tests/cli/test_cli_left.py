"""Lines that a run with a journal leaves as they are: a crash has left them held, or nobody here can read them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import run, run_command, standard_input, targets_in
from parts import cli_summary

from lionpride_exec.testing import BACKENDS

TARGETS = """
import sys
import anyio
from pathlib import Path
from lionpride_exec import Event

class Pay(Event, tag="tests.cli.pay", on_crash="hold"):
    n: int
    async def _invoke(self):
        if self.n == 0 and not Path("again").exists():
            raise KeyboardInterrupt
        if self.n == 9:
            await anyio.run_process([sys.executable, "-m", "lionpride_exec", "retry", "run.db", "--status", "held"])
        return self.n
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with the targets."""
    with targets_in(tmp_path, monkeypatch, TARGETS):
        yield tmp_path


def go(numbers=None, source="input", **options):
    """Run the target over records with these numbers. Return the exit status."""
    if numbers is not None:
        Path("input").write_text("".join(f'{{"n": {n}}}\n' for n in numbers))
    options = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal"} | options
    return run("targets.py:Pay", source, summary="sum.json", **options)


def crash(*numbers):
    """Begin a run of the records 0 to 5, and leave these running, as a process that dies."""
    assert go(range(6), concurrency=1) == 130
    Path("again").touch()
    with closing(sqlite3.connect("run.db")) as connection, connection:
        for number in numbers:
            connection.execute(
                "UPDATE event SET status = 'processing', attempt = 1, started = 1 "
                "WHERE json_extract(CAST(event AS TEXT), '$.data.n') = ?",
                (number,),
            )


def summary():
    return json.loads(Path("sum.json").read_text())


@pytest.mark.parametrize("backend", BACKENDS)
def test_held_lines_are_counted_and_named(capsys, backend):
    """The counts add up to the lines of INPUT, in words and as JSON. It is said what to do, and why the status is 1."""
    crash(2, 3)
    capsys.readouterr()
    assert go(backend=backend) == 1
    told = capsys.readouterr().err
    assert "6 lines: 1 done before (1 not completed), 3 completed, 2 held; " in told
    assert "2 lines are held: they ran when the process died" in told
    assert "lionpride-exec export run.db --status held lists them, retry run.db --status held" in told
    assert "Until then the exit status is 1" in told
    assert "run the same command again to go on" not in told
    found = summary()
    assert (found["lines"], found["statuses"], found["pending"]) == (6, {"completed": 3, "failed": 1}, 0)
    assert found["left"] == {"held": 2}
    assert found["exit_status"] == 1


def test_held_lines_are_counted_until_somebody_decides(capsys):
    """In each run. What was put back runs, what was cancelled has ended, and nothing is left."""
    crash(1, 2, 3)
    assert go() == go() == 1
    assert "6 lines: 3 done before (1 not completed), 3 held; " in capsys.readouterr().err
    assert run_command(["export", "run.db", "--status", "held"]) == 0
    held = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["data"]["n"] for one in held] == [1, 2, 3]
    assert run_command(["cancel", "run.db", f"#{held[0]['seq']}"]) == 0
    assert run_command(["retry", "run.db", "--status", "held"]) == 0
    assert go() == 1  # the interrupted line has failed, and one was cancelled
    found = summary()
    assert (found["lines"], found["left"]) == (6, {})
    assert found["statuses"] == {"cancelled": 1, "completed": 4, "failed": 1}


def test_held_lines_of_a_pipe_are_counted(capsys):
    """As they are read. A held line that the pipe lacks is none of its lines."""
    crash(2, 3)
    with standard_input(b"".join(b'{"n": %d}\n' % n for n in (0, 1, 2, 4, 5))):
        assert go(source="-") == 1
    assert "5 lines: 1 done before (1 not completed), 3 completed, 1 held; " in capsys.readouterr().err
    assert summary()["left"] == {"held": 1}


def test_a_held_line_that_input_has_lost_is_not_counted(capsys):
    """It is told with the others that are gone, and does not keep the run from being complete."""
    crash(3)
    assert run_command(["retry", "run.db", "--status", "failed"]) == 0
    assert go([0, 1, 2, 4, 5]) == 0
    told = capsys.readouterr().err
    assert "run.db but not in INPUT any more" in told
    assert "5 lines: 5 completed; " in told
    assert "1 line is held" not in told
    assert summary()["left"] == {}


def test_a_held_line_that_is_put_back_meanwhile_is_not_left(capsys):
    """Another process has the run take it in: then it ends in this run."""
    crash(3)
    assert run_command(["retry", "run.db", "--status", "failed"]) == 0
    assert go([*range(6), 9]) == 0
    told = capsys.readouterr().err
    assert "events that stay in run.db as they are: 1 held" in told
    assert "7 lines: 7 completed; " in told
    assert summary()["left"] == {}


def test_lines_that_cannot_be_read_are_counted(capsys):
    """Their class has another name by now. It is said why they stay."""
    crash()
    with closing(sqlite3.connect("run.db")) as connection, connection:
        changed = "CAST(replace(CAST(event AS TEXT), 'cli.pay', 'cli.gone') AS BLOB)"
        connection.execute(f"UPDATE event SET event = {changed} WHERE seq IN (3, 4)")  # noqa: S608  no value in it
    capsys.readouterr()
    assert go() == 1
    told = capsys.readouterr().err
    assert "6 lines: 1 done before (1 not completed), 3 completed, 2 unreadable; " in told
    assert "2 lines stay in run.db: this target cannot read what is stored" in told
    assert summary()["left"] == {"unreadable": 2}


def test_lines_that_are_left_are_not_to_come():
    """They are a part of what is known of INPUT, so the time left does not count them."""
    tally = cli_summary.Tally(events=3, read=5, left=lambda: {"held": 2}, fraction=lambda: 0.5)
    assert (tally.known, tally.to_come, tally.all_completed) == (5, 5, False)
    view = tally.view()
    assert view.total == 10
    assert "2 held" in [part.text for part in view.lines[0]]
