"""``run --resume-failed``: which lines run again, if INPUT is only a part of what the journal knows."""

import csv
import json
import re
import shlex
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from commands import run, run_command, standard_input

from lionpride_exec import Skip
from lionpride_exec.testing import BACKENDS

calls = []


async def picky(record):
    """Note a call, which fails for some records."""
    calls.append(record)
    if record["v"].startswith("bad"):
        raise ValueError(record)
    return record["v"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, and nothing called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    calls.clear()


def write(name, values):
    """Write a table of ids and values."""
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([("id", "v"), *values.items()])


def go(source, **options):
    """Run over a file. Return the exit status, and what was called."""
    before = len(calls)
    common = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal", "record_id": "id"}
    status = run(f"{__name__}:picky", source, **common | options)
    return status, sorted(record["v"] for record in calls[before:])


def statuses():
    """Return the status of each id in the output, which has one result for each."""
    found = [json.loads(line) for line in Path("out").read_text("utf-8").splitlines()]
    assert len({one["record"]["id"] for one in found}) == len(found)
    return {one["record"]["id"]: one["status"] for one in found}


def pending():
    with closing(sqlite3.connect("run.db")) as connection:
        return connection.execute("SELECT count(*) FROM event WHERE status = 'pending'").fetchone()[0]


def begin():
    """Run four lines, three of which fail."""
    write("all.csv", {"a": "bad a", "b": "good", "c": "bad c", "d": "bad d"})
    assert go("all.csv") == (1, ["bad a", "bad c", "bad d", "good"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_lines_of_this_input_are_run_again(capsys, backend):
    """A file with the corrected rows. The other failed ones keep their results, and the next run does not run them."""
    begin()
    write("fixed.csv", {"c": "mended"})
    capsys.readouterr()
    assert go("fixed.csv", resume_failed=True, backend=backend) == (0, ["mended"])
    told = capsys.readouterr().err
    assert "1 line that did not complete is run again" in told
    assert "run.db but not in INPUT any more" in told
    assert "1 line: 1 completed; " in told
    assert statuses() == {"a": "failed", "b": "completed", "c": "completed", "d": "failed"}
    assert pending() == 0
    assert go("all.csv") == (1, [])
    assert statuses() == {"a": "failed", "b": "completed", "c": "completed", "d": "failed"}


def test_a_part_of_input_is_all_that_is_run_again(capsys):
    """The window of --skip and --limit, too."""
    begin()
    capsys.readouterr()
    assert go("all.csv", resume_failed=True, skip=1, limit=2) == (1, ["bad c"])
    assert "1 line that did not complete is run again" in capsys.readouterr().err
    assert len(statuses()) == 4


def test_lines_are_run_again_without_an_id(capsys):
    """A line is known by its content then."""
    write("all.csv", {"a": "bad a", "b": "bad b"})
    go("all.csv", record_id=None)
    write("some.csv", {"b": "bad b"})
    capsys.readouterr()
    assert go("some.csv", record_id=None, resume_failed=True) == (1, ["bad b"])
    assert "1 line that did not complete is run again" in capsys.readouterr().err


def test_nothing_is_put_back_if_there_is_nothing(capsys):
    """No message, and no call."""
    begin()
    write("fixed.csv", {"b": "good"})
    capsys.readouterr()
    assert go("fixed.csv", resume_failed=True) == (0, [])
    assert "run again" not in capsys.readouterr().err
    assert pending() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pipe_runs_again_what_it_has(capsys, backend):
    """As its lines are read. The others keep their results."""
    begin()
    capsys.readouterr()
    with standard_input(b'{"id": "c", "v": "bad c"}\n{"id": "b", "v": "good"}\n{"id": "e", "v": "new"}\n'):
        assert go("-", resume_failed=True, backend=backend) == (1, ["bad c", "new"])
    told = capsys.readouterr().err
    assert "1 line that did not complete is run again" in told
    assert "3 lines: 1 done before, 1 completed, 1 failed; " in told
    assert statuses() == {"a": "failed", "b": "completed", "c": "failed", "d": "failed", "e": "completed"}
    assert pending() == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bound", ["0", "10%"])
def test_what_fails_again_is_no_reason_to_end_the_run(capsys, bound, backend):
    """Lines that are run again do not count for --max-errors, neither from a file nor from a pipe."""
    values = {str(n): "bad" if n < 25 else "good" for n in range(30)}
    write("all.csv", values)
    go("all.csv")
    given = {"resume_failed": True, "max_errors": bound, "concurrency": 1, "backend": backend}
    assert go("all.csv", **given) == (1, ["bad"] * 25)
    lines = "".join(f"{json.dumps({'id': key, 'v': value})}\n" for key, value in values.items())
    with standard_input(lines.encode()):
        assert go("-", **given) == (1, ["bad"] * 25)
    assert "stopping" not in capsys.readouterr().err


def test_new_lines_end_a_run_that_runs_others_again(capsys):
    """They are counted by themselves."""
    write("all.csv", {str(n): "bad" for n in range(10)})
    go("all.csv")
    write("all.csv", {str(n): "bad" for n in range(50)})
    status, called = go("all.csv", resume_failed=True, max_errors="10%", concurrency=1)
    assert (status, len(called)) == (1, 30)
    assert "stopping: 20 of 20 lines failed, more than --max-errors 10% allows" in capsys.readouterr().err


def test_changed_lines_that_did_not_complete_are_told(capsys):
    """The same command runs nothing of them, and says how to."""
    begin()
    write("all.csv", {"a": "mended", "b": "changed", "c": "mended", "d": "bad d"})
    capsys.readouterr()
    assert go("all.csv") == (1, [])
    told = "2 lines that did not complete have changed: --resume-failed runs them as they are now"
    assert told in capsys.readouterr().err
    assert go("all.csv", resume_failed=True) == (1, ["bad d", "mended", "mended"])
    assert "have changed: --resume-failed" not in capsys.readouterr().err
    write("all.csv", {"a": "mended", "b": "changed", "c": "mended", "d": "good"})
    assert go("all.csv") == (1, [])
    assert "1 line that did not complete has changed: --resume-failed runs it as it is now" in capsys.readouterr().err
    assert go("all.csv", resume_failed=True) == (0, ["good"])


def test_a_repeated_id_is_told_with_its_first_line(capsys):
    """Also with the file, if that is another one. Nothing of a redacted id is told. An empty cell is no id."""
    Path("one.csv").write_text("id,v\na,1\n,2\na,3\n")
    Path("two.csv").write_text("id,v\n\nb,4\na,5\nb,6\n,7\n")
    options = {"journal": "run.db", "output": "out", "progress": "none", "record_id": "id"}
    assert run(f"{__name__}:picky", ["one.csv", "two.csv"], **options) == 1
    told = capsys.readouterr().err
    assert sorted(record["v"] for record in calls) == ["1", "4"]
    for one in (
        "one.csv, line 3: the id field 'id' is empty",
        "one.csv, line 4: id 'a' is also on line 2",
        "two.csv, line 4: id 'a' is also on line 2 of one.csv",
        "two.csv, line 5: id 'b' is also on line 3",
        "two.csv, line 6: the id field 'id' is empty",
    ):
        assert f"lionpride-exec: {one}\n" in told
    Path("run.db").unlink()
    Path("out").unlink()
    assert run(f"{__name__}:picky", "one.csv", redact=("id",), **options) == 1
    told = capsys.readouterr().err
    assert "one.csv, line 3: the id field 'id' is empty" in told
    assert "one.csv, line 4: id *** is also on line 2" in told


def test_retry_runs_the_stored_record(capsys):
    """Its help says so. INPUT may have another record by now."""
    begin()
    write("all.csv", {"a": "mended", "b": "good", "c": "bad c", "d": "bad d"})
    assert run_command(["retry", "run.db", "a"]) == 0
    assert go("all.csv") == (1, ["bad a"])
    capsys.readouterr()
    assert run_command(["retry", "--help"]) == 0
    assert "An event runs with the record that the journal has." in " ".join(capsys.readouterr().out.split())


async def ends(record):
    """End as the record says."""
    calls.append(record)
    if record["v"] == "skip":
        raise Skip
    if record["v"] == "long":
        await anyio.sleep_forever()
    raise ValueError(record["v"])


FAILED = (
    "2 lines did not complete in earlier runs: lionpride-exec inspect run.db shows the errors, export run.db --status "
    "failed --status cancelled lists them, the same command with --resume-failed runs them again. Until then the exit "
    "status is 1"
)


def test_what_failed_before_is_told(capsys):
    """With the commands that show it, a timeout too, and without a rate of nothing."""
    write("all.csv", {"a": "bad", "b": "long"})
    common = {"output": "out", "journal": "run.db", "progress": "none", "record_id": "id", "timeout": 0.01}
    assert run(f"{__name__}:ends", "all.csv", **common) == 1
    assert "in earlier runs" not in capsys.readouterr().err
    assert run(f"{__name__}:ends", "all.csv", **common) == 1
    told = capsys.readouterr().err
    assert FAILED in told
    assert re.search(r"2 lines: 2 done before \(2 not completed\); \d+\.\d s\n", told)
    command = re.search("(export .*?) lists", told)[1]
    assert run_command(shlex.split(command)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(f"{__name__}:ends", "all.csv", quiet=True, **common) == 1
    assert capsys.readouterr().err == ""
    assert run(f"{__name__}:ends", "all.csv", resume_failed=True, **common) == 1
    assert len(calls) == 4


def test_what_was_skipped_before_is_told(capsys):
    """--resume-failed does not run it again, and retry does."""
    write("all.csv", {"a": "skip"})
    common = {"output": "out", "journal": "run.db", "progress": "none", "record_id": "id"}
    assert run(f"{__name__}:ends", "all.csv", **common) == 1
    assert run(f"{__name__}:ends", "all.csv", resume_failed=True, **common) == 1
    assert len(calls) == 1
    command = re.search("(retry run.db --status skipped) has the next run do it", capsys.readouterr().err)[1]
    assert run_command(shlex.split(command)) == 0
    assert run(f"{__name__}:ends", "all.csv", **common) == 1
    assert len(calls) == 2
