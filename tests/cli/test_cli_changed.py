"""``run --id``: lines that are done, and whose records have changed in INPUT since."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from commands import run, run_command

from lionpride_exec.testing import BACKENDS

calls = []


async def echo(record):
    """Note a call, which fails for some records."""
    calls.append(record["v"])
    if str(record["v"]).startswith("bad"):
        raise ValueError(record)
    return record["v"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, and nothing called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    calls.clear()


def write(values):
    """Write the table of ids and values."""
    with Path("in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "v"), *values.items()])


def go(source="in.csv", **options):
    """Run over a file. Return the exit status, and what was called."""
    before = len(calls)
    common = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal", "record_id": "id"}
    status = run(f"{__name__}:echo", source, **common | options)
    return status, sorted(calls[before:])


def responses(output="out"):
    """Return the response of each id in the results."""
    found = [json.loads(line) for line in Path(output).read_text("utf-8").splitlines()]
    return {one["record"]["id"]: one.get("response") for one in found}


def told(capsys):
    """Return what was told of changed lines, each without the name of the command."""
    return [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines() if "changed" in line]


MANY = (
    "2 lines that are done have changed in INPUT, such as in.csv, line 3: their results stay. To run this one as it is "
    "now: lionpride-exec retry run.db {}, then the same command with --resume-failed"
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_message_says_what_to_do(capsys, backend):
    """The number, the first one, and the two commands that run it with its record of now."""
    write({"a": "1", "b": "2", "c": "3"})
    assert go(backend=backend) == (0, ["1", "2", "3"])
    assert told(capsys) == []
    write({"a": "1", "b": "mended", "c": "mended too"})
    assert go(backend=backend) == (0, [])
    assert told(capsys) == [MANY.format("b")]
    assert go(backend=backend, resume_failed=True) == (0, [])
    (message,) = told(capsys)
    command = re.search("lionpride-exec (retry .*?),", message)[1]
    assert run_command(shlex.split(command)) == 0
    assert go(backend=backend, resume_failed=True) == (0, ["mended"])
    assert responses() == {"a": "1", "b": "mended", "c": "3"}
    capsys.readouterr()
    assert go(backend=backend) == (0, [])
    (message,) = told(capsys)
    assert message.startswith("1 line that is done has changed in INPUT, such as in.csv, line 4: its result stays. ")


def test_without_the_option_the_old_record_runs(capsys):
    """As the message of that run says. Then the line is told again."""
    write({"a": "1"})
    go()
    write({"a": "mended"})
    assert run_command(["retry", "run.db", "a"]) == 0
    capsys.readouterr()
    assert go() == (0, ["1"])
    (message,) = told(capsys)
    assert message.startswith("1 line to be run has changed in INPUT, such as in.csv, line 2: what run.db has is run; ")
    assert go() == (0, [])
    assert len(told(capsys)) == 1


def test_both_kinds_are_told(capsys):
    """What did not complete needs no retry."""
    write({"a": "bad", "b": "2"})
    assert go() == (1, ["2", "bad"])
    write({"a": "x", "b": "x"})
    capsys.readouterr()
    assert go() == (1, [])
    first, second = told(capsys)
    assert first == "1 line that did not complete has changed: --resume-failed runs it as it is now"
    assert second.startswith("1 line that is done has changed in INPUT, such as in.csv, line 3: ")


def test_another_spelling_is_no_change(capsys):
    """Of a number, an escape, white space or the order of keys. It is told where the value differs, too."""
    Path("in.jsonl").write_text('{"id": "a", "v": 1.0}\n{"id": "b", "v": "ü"}\n{"id": "c", "v": "c"}\n')
    assert run(f"{__name__}:echo", "in.jsonl", output="out", journal="run.db", record_id="id") == 0
    Path("in.jsonl").write_text('{"v":1,"id":"a"}\n{"id": "b", "v": "\\u00fc"}\n{"id":"c","v":"C"}\n')
    capsys.readouterr()
    assert go("in.jsonl") == (0, [])
    (message,) = told(capsys)
    assert message.startswith("1 line that is done has changed in INPUT, such as line 3: ")


@pytest.mark.parametrize("name", ["7", "-x", "two words", "b\u00fc", "line\nend"])
def test_the_command_means_that_line_alone(capsys, name):
    """Also if its id looks like the number of another event or like an option, or has white space."""
    write({"a": "1", name: "2"} | {f"more {number}": "3" for number in range(8)})
    go()
    write({"a": "1", name: "mended"} | {f"more {number}": "3" for number in range(8)})
    capsys.readouterr()
    go()
    (message,) = told(capsys)
    command = re.search("lionpride-exec (retry .*?), then", message)[1]
    assert run_command(shlex.split(command)) == 0
    assert "1 event is pending again" in capsys.readouterr().out
    assert go(resume_failed=True) == (0, ["mended"])


def test_a_lost_output_is_compared_as_it_is_written(capsys):
    """It is made of the journal, which has the old records."""
    write({"a": "1", "b": "2", "c": "3"})
    go()
    Path("out").unlink()
    write({"a": "1", "b": "x", "c": "x"})
    capsys.readouterr()
    assert go() == (0, [])
    assert told(capsys) == [MANY.format("b")]


def test_the_results_behind_a_table_are_compared(capsys):
    """The output of --fields has no records."""
    write({"a": "1", "b": "2", "c": "3"})
    options = {"output": "out.csv", "output_format": "csv", "fields": "id,response"}
    go(**options)
    write({"a": "1", "b": "x", "c": "x"})
    capsys.readouterr()
    assert go(**options) == (0, [])
    assert told(capsys) == [MANY.format("b")]


@pytest.mark.parametrize("later", [(), ("v",)])
def test_a_redacted_record_is_not_compared(capsys, later):
    """Its result has stars. So has each result that is written later, with or without the option."""
    write({"a": "secret"})
    go(redact=("v",))
    capsys.readouterr()
    assert go(redact=later) == (0, [])
    assert told(capsys) == []


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (
            "nope",
            (
                "no line has an id. in.csv, line 2: the id field 'nope' is missing; "
                "is --id nope the field of the runs before?"
            ),
        ),
        ("v", "is it another INPUT, or is --id v another field than in the runs before? Give another --journal and "),
    ],
)
def test_another_field_than_before_is_refused(capsys, field, why):
    """The reason is said. Nothing has changed."""
    write({"a": "1", "b": "2"})
    go()
    output = Path("out").read_bytes()
    capsys.readouterr()
    assert go(record_id=field) == (2, [])
    error = capsys.readouterr().err
    assert "INPUT has none of the 2 lines that " in error
    assert why in error
    assert Path("out").read_bytes() == output


def test_another_field_may_be_gone_on_with(capsys):
    """As bad lines, which each run tells."""
    write({"a": "1"})
    go()
    capsys.readouterr()
    assert go(record_id="nope", changed_input=True) == (1, [])
    assert "in.csv, line 2: the id field 'nope' is missing" in capsys.readouterr().err


def test_the_last_result_of_an_event_counts(capsys):
    """A run that was killed may leave two results of one event, the older one with another record."""
    write({"a": "1", "b": "2"})
    go()
    old = Path("out").read_bytes()
    assert run_command(["retry", "run.db", "a"]) == 0
    write({"a": "mended", "b": "2"})
    assert go(resume_failed=True) == (0, ["mended"])
    Path("out").write_bytes(old + Path("out").read_bytes())
    capsys.readouterr()
    assert go() == (0, [])
    assert told(capsys) == []
    assert responses() == {"a": "mended", "b": "2"}
