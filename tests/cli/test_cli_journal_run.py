"""``lionpride-exec run --journal``: the same command goes on after a stop."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import cli_children
import pytest
from cli_children import end_children, gate, read_until
from commands import run, run_command, targets_in, virtual_time
from journal_files import journal_in_use
from parts import journal_store

from lionpride_exec import Event, Executor, Journal
from lionpride_exec.errors import JournalError
from lionpride_exec.testing import BACKENDS, Failure, FaultPlan

Store = journal_store.Store


TARGETS = """
import datetime, sys, os, anyio
from pathlib import Path
from lionpride_exec import Event, Executor, Processor
from lionpride_exec.errors import ExecutionError

ran = []
async def echo(record):
    ran.append(record)
    return {"got": record}

async def fail(record):
    ran.append(record)
    if record == "own": raise ExecutionError("later", details={"a": 1})
    if record == "never": raise ExecutionError("no", retryable=False)
    error = LookupError(f"no {record}")
    if record == "answer": error.status_code = 400
    raise error

async def leave(record):
    ran.append(record)
    if record == "leave" and not Path("again").exists(): raise KeyboardInterrupt
    return record

odd_values = {"bytes": b"\\xff", "set": {1}, "object": object, "nan": float("nan"), "text": "\\udcff", "umlaut": "ä",
              "date": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), "none": None}
async def odd(record): return odd_values[record]

most = 0
busy = {}
async def by_key(record):
    global most
    if record["n"] == 1 and not Path("again").exists(): raise KeyboardInterrupt
    busy[record["k"]] = busy.get(record["k"], 0) + 1
    most = max(most, busy[record["k"]])
    await anyio.sleep(0.001)
    busy[record["k"]] -= 1

class Fetch(Event):
    url: str
    async def _invoke(self): return f"got {self.url}"

class Tagged(Event, tag="tests.cli.tagged"):
    url: str
    async def _invoke(self): return f"got {self.url}"

class Odd(Event):
    url: str
    thing: "Nowhere" = None
    async def _invoke(self): ...

class Following(Event):
    again: bool = True
    async def _invoke(self):
        if self.again: await executors[-1].append(Following(again=False))
        return self.again
executors = []
class FollowingProcessor(Processor): event_type = Following
class FollowingExecutor(Executor):
    processor_type = FollowingProcessor
    def __init__(self, **kw):
        super().__init__(**kw)
        executors.append(self)
    async def append(self, event, priority=None, **kw): return await super().append(event, priority, **kw)
class NoJournal(Executor):
    processor_type = FollowingProcessor
    def __init__(self, processor_config): super().__init__(processor_config)
"""

# For child processes.
CHILDREN = """
import os, sys, anyio
async def work(record):
    sys.stderr.write(f"started {record}\\n")
    sys.stderr.flush()
    await anyio.sleep(0.002)
    if record % 7 == 0: raise ValueError(f"not {record}")
    return {"twice": 2 * record}
async def gated(record):
    print("started", record, file=sys.stderr, flush=True)
    if "OPEN" not in os.environ: await anyio.wait_readable(int(os.environ["GATE"]))
    return record
"""


class Echo(Event, tag="tests.cli.echo"):
    """Does nothing."""

    async def _invoke(self):
        return None


@pytest.fixture(autouse=True)
def no_child_is_left():
    """End the processes that a failed test leaves behind."""
    yield
    end_children()


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with the targets."""
    (tmp_path / "children.py").write_text(CHILDREN)
    with targets_in(tmp_path, monkeypatch, TARGETS):
        yield tmp_path


def go(name, lines=None, *, place="targets.py", **options):
    """Run a target over the lines with the journal; give the exit status and what the targets have run."""
    if lines is not None:
        Path("input").write_bytes(lines if isinstance(lines, bytes) else "".join(f"{one}\n" for one in lines).encode())
    options = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal"} | options
    status = run(f"{place}:{name}", "input", **options)
    module = sys.modules.get("lionpride_exec_target_targets")
    return status, list(module.ran) if module else []


def results(path="out"):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def numbers(path="out"):
    return sorted(result["line"] for result in results(path))


def bare(path):
    """Give what does not differ between two runs, in order of the lines."""
    found = [{name: value for name, value in one.items() if name != "duration"} for one in results(path)]
    return sorted(found, key=lambda one: one["line"])


def sql(statement):
    with closing(sqlite3.connect("run.db")) as connection, connection:
        return connection.execute(statement).fetchall()


# -------------------------------------------------------------------- again


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
def test_the_same_command_again_does_nothing(capsys, first, second):
    """The output stays as it is, byte for byte, on whatever backend."""
    assert go("echo", ["1", '{"a": [2] }', '"ä"'], backend=first)[0] == 0
    written = Path("out").read_bytes()
    assert numbers() == [1, 2, 3]
    assert go("echo", backend=second) == (0, [])
    assert Path("out").read_bytes() == written
    assert "3 lines: 3 done before; " in capsys.readouterr().err


def test_the_results_are_those_of_a_run_without_a_journal():
    """Records as they were read, responses, errors, line numbers."""
    lines = ['"a"', '{"b":   1}', "3.50", "null"]
    go("echo", lines)
    assert run("targets.py:echo", "input", output="plain", quiet=True) == 0
    assert bare("out") == bare("plain")
    assert b'"record": {"b":   1},' in Path("out").read_bytes()


def test_errors_are_those_of_a_run_without_a_journal():
    """Class name and message; of our own errors also whether to try again. Those of an export have no more."""
    assert go("fail", ['"a"', '"own"', '"never"', '"answer"'])[0] == 1
    run("targets.py:fail", "input", output="plain", quiet=True)
    assert bare("out") == bare("plain")
    assert [result["error"] for result in bare("out")] == [
        {"error": "LookupError", "message": "no a"},
        {"error": "ExecutionError", "message": "later", "retryable": True, "details": {"a": 1}},
        {"error": "ExecutionError", "message": "no", "retryable": False},
        {"error": "LookupError", "message": "no answer", "details": {"status_code": 400}},
    ]
    assert run_command(["export", "run.db", "--output", "exported"]) == 0
    errors = [json.loads(line)["error"] for line in Path("exported").read_text("utf-8").splitlines()]
    assert [error.get("retryable") for error in errors] == [None, True, False, None]


def test_what_failed_is_not_run_again(capsys):
    """It is done; the exit status and the summary still tell."""
    assert go("fail", ["1", "2"]) == (1, [1, 2])
    written = Path("out").read_bytes()
    assert go("fail") == (1, [])
    assert Path("out").read_bytes() == written
    assert "2 lines: 2 done before (2 not completed); " in capsys.readouterr().err


def test_new_lines_are_run():
    """Those that were appended to INPUT, and only those."""
    go("echo", ["1", "2"])
    assert go("echo", ["1", "2", "3"]) == (0, [3])
    assert numbers() == [1, 2, 3]


def test_a_changed_line_is_new_work():
    """Its old result stays beside the new one; a third run does nothing."""
    go("echo", ["1", "2"])
    assert go("echo", ["1", "22"]) == (0, [22])
    assert [result["record"] for result in results()] == [1, 2, 22]
    assert go("echo") == (0, [])
    assert len(results()) == 3


def test_a_lost_output_is_written_from_the_journal(capsys):
    """All of it, as it was."""
    go("odd", ['"bytes"', '"set"', '"nan"', '"umlaut"', '"text"', '"date"', '"none"', '"missing"'])
    written = sorted(Path("out").read_bytes().splitlines())
    Path("out").unlink()
    assert go("odd")[0] == 1
    assert sorted(Path("out").read_bytes().splitlines()) == written
    assert len(written) == 8


@pytest.mark.parametrize("cut", [1, 2, 20, 75])
def test_a_torn_last_line_is_written_again(cut):
    """Whatever the process left of it."""
    go("echo", ["1", "2"])
    written = Path("out").read_bytes()
    Path("out").write_bytes(written[:-cut])
    assert go("echo") == (0, [])
    assert Path("out").read_bytes() == written


def test_a_last_line_that_is_no_json_is_written_again():
    """Also one that has its end."""
    go("echo", ["1", "2"])
    written = Path("out").read_bytes()
    Path("out").write_bytes(written[:-10] + b"\n")
    assert go("echo") == (0, [])
    assert Path("out").read_bytes() == written


def test_a_hole_in_the_output_is_filled():
    """As a power failure leaves it: zeros; what follows is written again."""
    go("echo", ["1", "2", "3"])
    lines = Path("out").read_bytes().splitlines(keepends=True)
    Path("out").write_bytes(lines[0] + b"\0" * 50 + b"\n" + lines[2])
    assert go("echo") == (0, [])
    assert Path("out").read_bytes().splitlines(keepends=True) == lines


FOREIGN = {
    "one line of JSON": b'{"precious": 1}\n',
    "one line of JSON without its end": b'{"precious": 1}',
    "a note": b"my only note\n",
    "a note without its end": b"no newline",
    "an object with a record": b'{"record": 1}\n',
    "text in UTF-16": '{"a": 1}\n'.encode("utf-16-le"),
    "text in UTF-16 with its mark": '{"a": 1}\n'.encode("utf-16"),
    "a database": b"SQLite format 3\0" + b"\0" * 100 + b"data\n",
    "binary data": b"\0\0\0\1binary\n\0\0",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "not finished"])
def test_another_file_given_as_output_stays_as_it_is(content, is_finished, capfd):
    """A journal lets a run go on with its output. That is no reason to empty what is no output of it."""
    go("echo" if is_finished else "fail", ["1", "2"])
    Path("out").rename("right")
    Path("out").write_bytes(content)
    status, ran = go("echo" if is_finished else "fail")
    assert (status, ran) == (2, [])
    assert Path("out").read_bytes() == content
    assert "line 1 of out is not a result; give another --output" in capfd.readouterr().err


@pytest.mark.parametrize("content", [b'{"a": 1}\n', b"a note", b'{"record": 1}\n'])
def test_a_foreign_line_at_the_end_of_the_output_is_refused(content, capfd):
    """As one in the middle is: only the beginning of a result is cut."""
    go("echo", ["1", "2"])
    written = Path("out").read_bytes() + content
    Path("out").write_bytes(written)
    assert go("echo") == (2, [])
    assert Path("out").read_bytes() == written
    assert "line 3 of out is not a result" in capfd.readouterr().err


@pytest.mark.parametrize("zeros", [b"\0" * 512, b"\0" * 50 + b"\n"])
def test_an_output_of_zeros_is_written_anew(zeros):
    """A power failure may leave nothing else of a file."""
    go("echo", ["1", "2"])
    written = Path("out").read_bytes()
    Path("out").write_bytes(zeros)
    assert go("echo") == (0, [])
    assert Path("out").read_bytes() == written


def test_events_put_back_lose_their_lines():
    """What is open again in the journal is run again, and its old result goes; the others stay where they are."""
    go("leave", ['"a"', '"b"', '"c"'])
    assert run_command(["retry", "run.db", "--status", "completed", "--id", "#2"]) == 0
    Path("out").chmod(0o640)
    Path(".out.lionpride-exec.tmp").write_text("left over by a process that died")
    status, ran = go("leave")
    assert (status, ran) == (0, ["b"])
    assert [result["record"] for result in results()] == ["a", "c", "b"]
    assert Path("out").stat().st_mode & 0o777 == 0o640
    assert not list(Path().glob(".out*"))


def test_an_output_behind_a_link_stays_there():
    """Also when it is written anew."""
    Path("out").symlink_to("real")
    go("echo", ["1", "2"])
    Path("out").write_bytes(Path("out").read_bytes() * 2)
    assert go("echo") == (0, [])
    assert Path("out").is_symlink()
    assert numbers("real") == [1, 2]


def test_a_result_of_an_earlier_run_of_the_event_is_replaced():
    """It was put back, and another program ran it: the journal counts."""
    go("fail", ["1", "2"])
    sql("UPDATE event SET status = 'completed', outcome = CAST('{\"response\":5}' AS BLOB) WHERE seq = 1")
    assert go("fail")[0] == 1
    assert {result["line"]: result["status"] for result in results()} == {1: "completed", 2: "failed"}
    assert len(results()) == 2


def test_events_without_a_line_are_written_once():
    """What other events append has an id instead; also after the output was lost."""
    assert go("FollowingExecutor", ["{}"])[0] == 0
    (follower,) = [result for result in results() if result["line"] is None]
    assert follower["id"]
    assert follower["record"] is None
    written = Path("out").read_bytes()
    assert go("FollowingExecutor")[0] == 0
    assert Path("out").read_bytes() == written
    Path("out").unlink()
    assert go("FollowingExecutor")[0] == 0
    assert sorted(Path("out").read_bytes().splitlines()) == sorted(written.splitlines())


@pytest.mark.parametrize("name", ["Fetch", "Tagged"])
def test_events_are_kept(name):
    """By their own tag, or by one for the run."""
    assert go(name, ['{"url": "a"}', '{"url": "b", "metadata": {"mine": 1}}'])[0] == 0
    assert go(name)[0] == 0
    assert [result["response"] for result in results()] == ["got a", "got b"]
    tag = b"tests.cli.tagged" if name == "Tagged" else b"run:Fetch"
    assert tag in sql("SELECT event FROM event")[0][0]


def test_the_target_may_move():
    """The file may lie elsewhere at the next run."""
    go("echo", ["1"])
    Path("elsewhere").mkdir()
    Path("targets.py").rename("elsewhere/targets.py")
    assert go("echo", place="elsewhere/targets.py") == (0, [])


def test_plain_lines_are_known_again():
    """With ``--field``; empty lines count for the numbers only."""
    assert go("Fetch", ["a", "", "b"], field="url")[0] == 0
    assert numbers() == [1, 3]
    written = Path("out").read_bytes()
    assert go("Fetch", field="url")[0] == 0
    assert Path("out").read_bytes() == written


def test_a_line_that_cannot_be_kept_is_a_bad_line(capsys):
    """A number in a field for text, say: it is told with its field and not run; the others are."""
    status, _ = go("Fetch", ['{"url": "a"}', '{"url": 5}', '{"url": "b"}'])
    assert (status, numbers()) == (1, [1, 3])
    told = capsys.readouterr().err
    assert "line 2: ValidationError: Fetch.url cannot be kept in a journal: Expected `str`, got `int`" in told
    assert "3 lines: 2 completed, 1 bad line; " in told


def test_bytes_that_are_no_utf8_are_kept():
    """A file's name may be any bytes: the line runs as without a journal, and is known again."""
    assert go("echo", b"a\n\xff\nb\n", field="line") == (0, ["a", "\udcff", "b"])
    assert [result["record"] for result in results()] == ["a", "\udcff", "b"]
    assert go("echo", field="line") == (0, [])


# -------------------------------------------------------------------- stopped


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
def test_what_is_pending_goes_on(capsys, first, second):
    """After a run that ended early, on whatever backend; what ended is not run again."""
    assert go("leave", ['"leave"', '"a"', '"b"'], backend=first, concurrency=1) == (130, ["leave"])
    assert "; run the same command again to go on" in capsys.readouterr().err
    assert go("leave", backend=second, concurrency=1) == (1, ["a", "b"])
    assert [(result["record"], result["status"]) for result in results()] == [
        ("leave", "failed"),
        ("a", "completed"),
        ("b", "completed"),
    ]
    assert "3 lines: 1 done before (1 not completed), 2 completed; " in capsys.readouterr().err


def test_limits_by_key_hold_for_what_comes_back():
    """The fields that a limit goes by are those of the record that was kept."""
    lines = [json.dumps({"n": n, "k": "x"}) for n in range(1, 9)]
    assert go("by_key", lines, concurrency=1, key="k", concurrency_per_key=1)[0] == 130
    Path("again").touch()
    assert go("by_key", key="k", concurrency_per_key=1)[0] == 1
    assert sys.modules["lionpride_exec_target_targets"].most == 1
    assert numbers() == list(range(1, 9))


def start(arguments, reading=None, **env):
    """Start the command; its results go to a file."""
    return cli_children.start(arguments, reading, env, stdout=subprocess.DEVNULL)


COMMAND = ["run", "children.py:work", "input", "--journal", "run.db", "--output", "out", "--progress", "none"]


@pytest.mark.parametrize("sync", ["full", "normal"])
def test_killed_again_and_again_it_comes_to_the_end(sync):
    """Each result exactly once, as in a run that nobody kills; on whatever backends."""
    Path("input").write_text("".join(f"{n}\n" for n in range(1, 301)))
    for round_, backend in enumerate(("asyncio", "trio", "asyncio+uvloop", "trio")):
        child = start([*COMMAND, "--concurrency", "10", "--backend", backend, "--journal-sync", sync])
        for _ in range(20 + 13 * round_):
            read_until(child.stderr, b"started")
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    child = start([*COMMAND, "--journal-sync", sync])
    err = child.communicate(timeout=60)[1]
    assert child.returncode == 1, err  # every seventh fails
    assert b" done before" in err
    plain = start([*COMMAND[:3], "--output", "plain"])
    plain.communicate(timeout=60)
    assert numbers() == list(range(1, 301))
    assert bare("out") == bare("plain")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once_it_lets_finish_what_runs(backend, signum):
    """What has not started stays in the journal; the next run does it."""
    Path("input").write_text("1\n2\n3\n")
    command = [*COMMAND, "--concurrency", "1", "--backend", backend]
    command[1] = "children.py:gated"
    with gate() as (reading, open_gate):
        child = start(command, reading)
        read_until(child.stderr, b"started 1")
        child.send_signal(signum)
        read_until(child.stderr, b"stopping; 1 running may finish")
        open_gate()
        err = child.communicate(timeout=30)[1]
        assert child.returncode == 130
        assert b"3 lines: 1 completed, 2 pending; " in err
        assert b"; run the same command again to go on" in err
        assert numbers() == [1]
        child = start(command, reading, OPEN="1")
        err = child.communicate(timeout=30)[1]
    assert child.returncode == 0
    assert b"started 1" not in err
    assert b"3 lines: 1 done before, 2 completed; " in err
    assert numbers() == [1, 2, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_interrupted_twice_what_runs_is_pending_again(backend):
    """An interruption is no cancellation: it has no result, and is run by the next run."""
    Path("input").write_text("1\n2\n")
    command = [*COMMAND, "--concurrency", "1", "--backend", backend]
    command[1] = "children.py:gated"
    with gate() as (reading, _):
        child = start(command, reading)
        read_until(child.stderr, b"started 1")
        child.send_signal(signal.SIGINT)
        read_until(child.stderr, b"stopping")
        child.send_signal(signal.SIGINT)
        err = child.communicate(timeout=30)[1]
        assert child.returncode == 130
        assert b"2 lines: 2 pending; " in err
        assert b"Traceback" not in err
        assert numbers() == []
        child = start(command, reading, OPEN="1")
        assert child.wait(30) == 0
    assert numbers() == [1, 2]


# -------------------------------------------------------------------- refused


def refused(capsys, name="echo", lines=None, **options):
    """Run something that is refused; give what is told."""
    assert go(name, lines, **options)[0] == 2
    return capsys.readouterr().err


def test_standard_output_is_refused(capsys):
    """A run cannot go on with it."""
    assert "--journal needs --output FILE" in refused(capsys, lines=["1"], output="-")
    assert not Path("run.db").exists()


def test_an_output_that_is_no_file_is_refused(capsys):
    """A pipe, a device."""
    assert "--output /dev/null is not a regular file, which the next run could go on with" in refused(
        capsys, lines=["1"], output="/dev/null"
    )


@pytest.mark.parametrize("journal_exists", [False, True])
def test_results_of_another_run_are_refused(capsys, journal_exists):
    """An output that holds something, and a journal that holds nothing: neither is touched."""
    if journal_exists:
        go("echo", [])
        capsys.readouterr()
    Path("out").write_text("precious\n")
    assert "out is not empty" in refused(capsys, lines=["1"])
    assert Path("out").read_text() == "precious\n"
    assert Path("run.db").exists() == journal_exists


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("precious\nthings\n", "line 1 of out is not a result"),
        ('{"record": 7, "status": "completed", "response": 1, "duration": 1, "line": 7}\n', "out has 1 results that"),
    ],
)
def test_an_output_of_something_else_is_refused(capsys, text, told):
    """Nothing is run, and it stays as it is."""
    go("echo", ["1"])
    Path("out").write_text(text)
    assert told in refused(capsys, lines=["1", "2"])
    assert Path("out").read_text() == text
    assert sql("SELECT count(*) FROM event") == [(1,)]


def test_the_lines_of_another_target_are_refused(capsys):
    """Their results would pass for those of this one."""
    go("echo", ["1"])
    assert "run.db has the lines of another target (run:echo, not run:fail)" in refused(capsys, "fail")


def test_a_journal_in_use_is_refused(capsys):
    """One run at a time; the output stays as it is."""
    go("echo", ["1"])
    written = Path("out").read_bytes()
    with journal_in_use("run.db"):
        told = refused(capsys, lines=["1", "2"])
    assert "run.db is in use by another executor" in told
    assert Path("out").read_bytes() == written


def test_what_is_no_journal_is_refused(capsys):
    """And stays as it is."""
    Path("run.db").write_bytes(b"x" * 4096)
    assert "run.db" in refused(capsys, lines=["1"])
    assert Path("run.db").read_bytes() == b"x" * 4096


@pytest.mark.parametrize(("options", "told"), [({"journal": "out"}, "--output"), ({"journal": "input"}, "INPUT")])
def test_a_journal_has_a_file_of_its_own(capsys, options, told):
    """Not that of the output, nor the input."""
    assert f"is the file of {told}" in refused(capsys, lines=["1"], **options)


def test_an_input_that_is_the_output_is_refused(capsys):
    """As without a journal; but then it would be empty now."""
    go("echo", ["1"])
    assert "--output input is the input" in refused(capsys, output="input")
    assert Path("input").read_text() == "1\n"


def test_an_executor_has_to_take_a_journal(capsys):
    """One that does not is told of."""
    assert "cannot make NoJournal(processor_config=..., journal=...)" in refused(capsys, "NoJournal", ["{}"])


def test_events_that_cannot_be_kept_are_told_at_once(capsys):
    """Not line by line."""
    told = refused(capsys, "Odd", ['{"url": "a"}'] * 3)
    assert told.count("a journal cannot keep Odd.thing") == 1


def test_a_mistyped_option_is_no_journal(capsys):
    """A name that looks like an option."""
    assert "looks like an option" in refused(capsys, lines=["1"], journal="--output")


def test_msgspec_may_be_missing(capsys, monkeypatch):
    """Then it is said what to install."""
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert "pip install '.[journal]'" in refused(capsys, lines=["1"])


# -------------------------------------------------------------------- trouble


@pytest.mark.parametrize("first", [1, 2, 3, 7])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_journal_that_cannot_be_written_is_waited_for(capsys, backend, first):
    """It is told once, and that it is over; no result is lost and none is there twice."""
    plan = FaultPlan(1, {"disk:before": [Failure(visit=first + n) for n in range(3)]})
    with virtual_time(backend), plan.applied(Executor):
        status, ran = go("echo", range(1, 1001), backend=backend)
    told = capsys.readouterr().err
    assert status == 0
    assert len(plan.injected) == 3
    assert sorted(ran) == list(range(1, 1001))
    assert numbers() == list(range(1, 1001))
    assert told.count("cannot be written; nothing starts until it can: ") == 1
    assert told.count("run.db can be written again") == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_output_that_cannot_be_written_ends_the_run(capsys, monkeypatch, backend):
    """What is torn and what is missing is written by the next run, from the journal."""
    write = os.write

    def fail(fd, data):
        if bytes(data[:10]) == b'{"record":':
            write(fd, data[:30])
            raise OSError(28, "No space left on device")
        return write(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        status, ran = go("echo", range(1, 101), backend=backend)
    assert status == 1
    assert "cannot write out: No space left on device; stopped" in capsys.readouterr().err
    again = go("echo", backend=backend)
    assert again[0] == 0
    assert numbers() == list(range(1, 101))
    assert set(ran) | set(again[1]) == set(range(1, 101))


def test_a_journal_that_stays_broken_leaves_nothing_ahead_of_it(capsys, monkeypatch):
    """What could not be kept has no result; the run says so, and the next one runs it."""
    commit, signals = Store.commit, iter(range(2))

    def fail(self, batch):
        if any(change.status == "completed" for change in batch.changes.values()):
            if next(signals, None) is not None:
                os.kill(os.getpid(), signal.SIGINT)
            raise JournalError("disk I/O error", retryable=False)  # so that closing does not wait for the disk
        return commit(self, batch)

    with virtual_time(), monkeypatch.context() as patched:
        patched.setattr(Store, "commit", fail)
        status, ran = go("echo", ["1"])
    assert (status, ran) == (130, [1])
    assert results() == []
    assert "could not be written: disk I/O error; those events are run again" in capsys.readouterr().err
    assert go("echo") == (0, [1])
    assert numbers() == [1]


def test_what_is_left_in_the_journal_is_told(capsys):
    """Events that nobody here can read: in one line, and the run is not complete."""
    go("leave", ['"leave"', '"a"', '"b"'], concurrency=1)
    sql("UPDATE event SET event = CAST(replace(event, 'run:leave', 'run:gone') AS BLOB) WHERE status = 'pending'")
    capsys.readouterr()
    Path("again").touch()
    assert go("leave") == (1, [])
    told = capsys.readouterr().err
    assert told.count("events that stay in run.db as they are: 2 unreadable") == 1
    assert "Unreadable" not in told


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_ends_at_the_start_has_its_result(backend):
    """What comes after an event that failed is skipped before anything runs, one after the other."""
    go("leave", ['"leave"', *range(60)], concurrency=1)
    sql("UPDATE event SET after = (SELECT id FROM event AS other WHERE other.seq = event.seq - 1)")
    assert go("leave", backend=backend) == (1, [])
    assert [one["status"] for one in results()] == ["failed"] + ["skipped"] * 60
    assert numbers() == list(range(1, 62))


def test_a_run_that_kills_the_process_again_and_again_fails(monkeypatch):
    """The event is given up after five times; its result is written from the journal."""
    go("leave", ['"leave"', '"a"'], concurrency=1)
    sql("UPDATE event SET status = 'processing', crashes = 4, attempt = 1, started = 1 WHERE status = 'pending'")
    assert go("leave") == (1, [])
    (found,) = [result for result in results() if result["record"] == "a"]
    assert found["status"] == "failed"
    assert "the process ended while it ran, 5 times by now" in found["error"]["message"]


def test_a_result_with_half_of_a_surrogate_pair_is_read():
    """Not every reader of JSON takes it. The result is known by its record, so it stays."""
    go("odd", ['"text"', '"\\udcff"'])
    written = Path("out").read_bytes()
    assert rb'"response": "\udcff"' in written
    assert go("odd")[0] == 1
    assert Path("out").read_bytes() == written


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"record": "\\udcff"}',
        b'{"status": "\\udcff", "record": 1, "line": 1}',
        b'{"record": 1, "status": "completed", "line": null}',
        b'{"record": 1, "status": "completed", "line": null, "id": "x"}',
    ],
)
def test_what_is_no_result_is_told(capsys, line):
    """Whatever stands in the place of a result: nothing is run, and the output stays as it is."""
    go("echo", ["1", "2", "3"])
    lines = Path("out").read_bytes().splitlines(keepends=True)
    Path("out").write_bytes(lines[0] + line + b"\n" + lines[2])
    capsys.readouterr()
    assert go("echo") == (2, [])
    assert "line 2 of out is not a result" in capsys.readouterr().err
    assert Path("out").read_bytes() == lines[0] + line + b"\n" + lines[2]


def test_lines_have_the_numbers_of_the_file():
    """With a byte order mark, both line ends, an empty line, and a last line without an end."""
    assert go("echo", b"\xef\xbb\xbfa\r\nb\n\nc\nd", field="x") == (0, ["a", "b", "c", "d"])
    assert {one["line"]: one["record"] for one in results()} == {1: "a", 2: "b", 4: "c", 5: "d"}


def test_a_journal_of_a_run_is_a_journal():
    """Any program may look at it, or go on with it."""
    go("Tagged", ['{"url": "a"}'])
    assert Journal("run.db").path == Path("run.db").resolve()


@pytest.mark.anyio
async def test_many_at_once_wait_for_room_that_others_take():
    """While some are being written somebody else fills the queue: the next ones wait, and are not refused."""
    executor = Executor.of(Echo, journal=Journal("many.db"), max_queue_size=150)
    executor.pause()
    async with executor, anyio.create_task_group() as group:

        async def fill():
            for _ in range(3):
                await executor.append(Echo(), wait=True)

        group.start_soon(executor.extend, [Echo() for _ in range(300)])
        await anyio.lowlevel.checkpoint()
        for _ in range(50):
            group.start_soon(fill)
        while executor.processor.queue.qsize() < 150:
            await anyio.lowlevel.checkpoint()
        executor.resume()
    assert executor.status_counts()["completed"] == 450


def test_a_run_that_had_too_many_errors_goes_on(capsys):
    """It says how; the lines that were not started are done by the next run, those that failed are not done again."""
    status, ran = go("fail", ["1", "2", "3", "4", "5"], max_errors="1", concurrency=1)
    assert (status, len(ran)) == (1, 2)
    told = capsys.readouterr().err
    assert "stopping: 2 of 2 lines failed, more than --max-errors 1 allows; the last one: LookupError: no 2" in told
    assert "the same command does the lines that are left, and with --resume-failed also those that did not" in told
    assert "3 pending" in told
    assert numbers() == [1, 2]
    assert go("fail", max_errors="9")[0] == 1
    assert numbers() == [1, 2, 3, 4, 5]
