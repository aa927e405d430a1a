"""The command line: what has failed is told at the end, with the place of the first error."""

import json
import signal
import sys
from pathlib import Path

import pytest
from commands import run

TARGET = """
import os, signal, anyio
from collections import ChainMap
from lionpride_exec import Event, Skip

def deeper(record):
    raise LookupError(record)

async def fail(record):
    if record == "ok": return record
    if record == "slow": await anyio.sleep(60)
    if record == "skip": raise Skip("no need")
    if record == "odd": raise Odd
    if record == "half": raise ValueError("cut " + chr(0xd83d))
    if record == "other": raise KeyError(record)
    if isinstance(record, int): raise Answer(record)
    if record == "stop": os.kill(os.getpid(), signal.SIGINT)
    deeper(record)

class Odd(Exception):
    def __str__(self): raise ValueError("cannot be told")

class Answer(Exception):
    def __init__(self, code): self.status_code = code

def named(number):
    return type(f"Error{number}", (Exception,), {})

async def many(record):
    raise named(record)("x")

async def chained(record):
    if record == "package": ChainMap().popitem()  # raises a KeyError for another, which no code of ours has seen
    try: deeper(record)
    except LookupError as error: raise ValueError("mine") from error
"""
WAYS = [{}, {"journal": "run.db"}]
pytestmark = pytest.mark.parametrize("way", WAYS, ids=["plain", "journal"])


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own with the target."""
    (tmp_path / "target.py").write_text(TARGET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield
    sys.modules.pop("lionpride_exec_target_target", None)


@pytest.fixture
def go(way, capsys):
    """Run the target over records; give the status, what was told, and the errors in the results by record."""

    def go(*records, name="fail", **options):
        Path("in").write_text("".join(json.dumps(record) + "\n" for record in records))
        options = {"output": "out", "progress": "none", "concurrency": 1} | way | options
        status = run(f"target.py:{name}", "in", **options)
        found = [json.loads(line) for line in Path("out").read_text().splitlines()]
        return status, capsys.readouterr().err, {one["record"]: one.get("error") for one in found}

    return go


def test_the_first_error_is_told_with_its_place(go):
    """File, line and function of the target, and the line of INPUT; none of our own frames."""
    status, told, _ = go("ok", "a", "b")
    assert status == 1
    assert "lionpride-exec: errors: 2 LookupError; the first, of line 2:\n" in told
    assert f'  File "{Path.cwd() / "target.py"}", line 7, in deeper\n' in told
    assert told.endswith("  LookupError: a\n")
    assert "lionpride_exec" not in told.partition("errors:")[2]


def test_causes_inside_of_packages_have_no_frames(go):
    """The message of the cause stays. The last error has all of its frames."""
    _, told, _ = go("package", name="chained")
    lines = [line.removeprefix("  ") for line in told.partition("the first, of line 1:\n")[2].splitlines()]
    assert lines[0] == "KeyError: 'popitem(): dictionary is empty'"
    assert lines[2].startswith("During handling of the above exception")
    assert lines[4] == "Traceback (most recent call last):"
    assert "in chained" in lines[5]
    assert lines[-1] == "KeyError: 'No keys found in the first mapping.'"


def test_causes_in_the_code_of_the_user_have_their_frames(go):
    """They are where the fault is."""
    _, told, _ = go("a", name="chained")
    assert "in deeper\n" in told
    assert told.count("Traceback (most recent call last)") == 2
    assert told.endswith("  ValueError: mine\n")


def test_errors_are_counted_by_class(go):
    """The commonest first; a timeout is one, what was skipped is none."""
    _, told, _ = go("other", "a", "b", "skip", "slow", timeout=0.01)
    assert "errors: 2 LookupError, 1 KeyError, 1 LionTimeoutError; the first, of line 1:\n" in told


def test_errors_of_one_class_are_counted_by_the_answer(go):
    """A call that came too fast is no mistake of the caller. The summary file counts classes."""
    _, told, _ = go(429, 422, 500, 429, "a", 200, 429, summary="sum")
    assert "errors: 3 Answer 429, 1 Answer 422, 1 Answer 500, 1 LookupError, 1 Answer; the first, of line 1:\n" in told
    assert json.loads(Path("sum").read_text())["errors"] == {"Answer": 6, "LookupError": 1}


def test_five_classes_are_named(go):
    """The others are one number."""
    _, told, _ = go(*range(7), name="many")
    assert told.count(" 1 Error") == 5
    assert ", 2 others; the first" in told


def test_an_error_with_a_place_goes_before_one_without(go):
    """A timeout leads nowhere."""
    _, told, _ = go("slow", "a", timeout=0.01)
    assert "the first, of line 2:\n" in told


def test_without_failures_nothing_is_told(go):
    """The summary is the last word."""
    assert go("ok")[1].count("\n") == 1


def test_quiet_tells_nothing_of_failures(go):
    """They are in the results."""
    status, told, errors = go("a", quiet=True)
    assert (status, told) == (1, "")
    assert errors["a"]["error"] == "LookupError"


def test_an_error_that_cannot_be_printed_does_no_harm(go):
    """Its class is told."""
    status, told, _ = go("odd")
    assert status == 1
    assert "errors: 1 Odd; the first" in told


def test_results_have_tracebacks_if_that_is_asked_for(go):
    """As a field of the error, for those that have one."""
    _, _, errors = go("a", "slow", timeout=0.01, traceback=True)
    assert "in deeper" in errors["a"]["traceback"]
    assert errors["a"]["traceback"].endswith("LookupError: a")
    assert list(errors["a"]) == ["error", "message", "traceback"]
    assert "traceback" not in errors["slow"]


def test_an_error_is_told_alike_with_and_without_a_journal(go):
    """Its traceback begins in the target, and what cannot be told, or written as UTF-8, has one form."""
    _, _, errors = go("a", "odd", "half", traceback=True)
    for error in errors.values():
        assert error["traceback"].startswith(
            f'Traceback (most recent call last):\n  File "{Path.cwd() / "target.py"}", '
        )
    assert errors["odd"]["message"] == "<unserializable>"
    assert errors["half"]["message"] == "cut \\ud83d"
    assert errors["half"]["traceback"].endswith("ValueError: cut \\ud83d")


def test_results_have_no_tracebacks_else(go):
    """Class and message."""
    assert go("a")[2]["a"] == {"error": "LookupError", "message": "a"}


def test_a_result_written_anew_has_its_traceback(go, way):
    """The journal has kept it."""
    if way:
        go("a", traceback=True)
        Path("out").unlink()
        assert "in deeper" in go("a", traceback=True)[2]["a"]["traceback"]


def test_a_stop_is_told_with_what_is_done_and_how_to_go_on(go, way):
    """Without a journal: which lines are not done, and what would have gone on with them."""
    handler = signal.getsignal(signal.SIGINT)
    status, told, errors = go("stop", *map(str, range(2000)), queue=1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert status == 130
    assert "stop" in errors
    if way:
        assert "run the same command again to go on" in told
        assert "--journal" not in told
    else:
        assert "lionpride-exec: stopped after line " in told
        assert "of in: a line without a result is not done; with --journal FILE the same command goes on" in told
