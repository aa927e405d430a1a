"""The command line at its edges: streams that are closed or full, a Ctrl-C during the imports, outputs that exist."""

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cli_children import COLD, end_children, start, warm
from commands import run, run_command
from journal_files import fill

from lionpride_exec.testing import BACKENDS

TARGET = """
import sys
async def echo(record): return record
async def leave(record): raise KeyboardInterrupt
async def close(record): sys.stderr.close()
"""
# Short sleeps: Python handles a signal that comes just before a sleep after the sleep. From 3.14 on, these are also the
# signals that come during a print() with flush=True, since Python does not look for signals after such a call.
SLOW = """
import sys, time
print("importing", flush=True)
while True:
    time.sleep(0.1)
"""
JOURNAL_COMMANDS = ["inspect run.db", "tail run.db", "show run.db 2", "export run.db", "retry run.db --status failed"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets, an input and a journal."""
    (tmp_path / "target.py").write_text(TARGET)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "in").write_text("1\n2\n3\n")
    fill(tmp_path / "run.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)
    yield
    end_children()
    for name in set(sys.modules) - known:
        if name.startswith("lionpride_exec_target_"):
            del sys.modules[name]


def shell(line, command=None):
    """Run a line of shell in which L is the command; give its exit status and what was told, no traceback in it."""
    words = " ".join(map(shlex.quote, command or warm()))
    done = subprocess.run(  # noqa: S603  lines of our own
        ["/bin/bash", "-c", line.replace("L ", f"{words} ", 1)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def results(path):
    return [json.loads(line)["response"] for line in Path(path).read_text().splitlines()]


# -------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    "streams", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-", "--progress rich 2>/dev/full", ">&- 2>&- <&-"]
)
def test_a_run_needs_only_the_streams_that_it_uses(streams):
    """The results are in the output, whatever is closed or full beside it."""
    status, out, _ = shell(f"L run target.py:echo in --output out {streams}")
    assert (status, out) == (0, "")
    assert sorted(results("out")) == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        "run target.py:echo in",
        "run target.py:echo - <&-",
        "show run.db 2 >/dev/full",
        "inspect run.db >&- 2>&- <&-",
        "tail run.db 2>&-",
        "export run.db 2>/dev/full",
        "nothing 2>&-",
        "--help >&-",
    ],
)
def test_a_warm_start_is_like_one_by_python(line):
    """The command does the same in a forked process, where these tests run it, with each kind of stream."""
    by_python, forked = (
        [re.sub(r"[\d.]+(e-\d+)?", "0", str(part)) for part in shell(f"L {line}", how)] for how in (COLD, None)
    )
    assert forked == by_python


def test_a_closed_stream_is_not_the_place_of_another_file():
    """What goes to standard output and error does not end up in INPUT or in the output."""
    shell("L run target.py:echo in --output out >&- 2>&-")
    assert Path("in").read_text() == "1\n2\n3\n"
    assert len(results("out")) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run target.py:echo in >&-", "cannot write standard output: it is closed"),
        ("run target.py:echo in --output /dev/stdout >&-", "cannot write standard output: it is closed"),
        ("run target.py:echo in --output /dev/stderr 2>&-", ""),
        ("run target.py:echo in --output /dev/fd/77", "cannot write /dev/fd/77: Bad file descriptor"),
        ("run target.py:echo - <&-", "cannot read standard input: it is closed"),
        ("run target.py:echo in --colour 2>&-", ""),
        ("run target.py:echo in --colour 2>/dev/full", ""),
        ("run target.py:nothing in 2>/dev/full", ""),
        ("tail nothing.db 2>/dev/full", ""),
        ("nothing 2>&-", ""),
    ],
)
def test_wrong_use_is_2_whatever_becomes_of_the_message(line, told):
    """Nothing is run."""
    status, out, err = shell(f"L {line}")
    assert (status, out) == (2, "")
    assert err == (f"lionpride-exec: {told}\n" if told else "")


@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
@pytest.mark.parametrize("line", [*JOURNAL_COMMANDS, "--help", "--version", "run --help"])
def test_standard_output_that_cannot_be_written_is_told_in_a_line(line, stream):
    """The exit status is 1, for each command."""
    status, _, err = shell(f"L {line} {stream}")
    assert status == 1
    assert err.startswith("lionpride-exec: cannot write standard output: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", [*JOURNAL_COMMANDS, "--help", "--version"])
def test_standard_error_is_not_needed(line):
    """A command that has nothing to complain of does its work."""
    status, out, _ = shell(f"L {line} 2>&-")
    assert status == 0
    assert out


def test_quiet_leaves_out_what_the_help_says(capsys):
    """A bad line is still told. The errors at the end are not: they are in the results."""
    Path("fail.py").write_text("async def fail(record): raise LookupError(record)\n")
    Path("in").write_text("no JSON\n1\n")
    assert run("fail.py:fail", "in", output="out", quiet=True) == 1
    assert re.fullmatch(r"lionpride-exec: line 1: not JSON: .*\n", capsys.readouterr().err)
    assert run_command(["run", "--help"]) == 0
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "no progress, no summary and no errors at the end; bad lines and warnings are still shown" in text


def test_a_full_disk_under_the_results_is_told():
    """The run ends with status 1."""
    status, _, err = shell("L run target.py:echo in --output /dev/full --quiet")
    assert (status, err) == (1, "lionpride-exec: cannot write /dev/full: No space left on device; stopped\n")


def test_a_target_that_closes_standard_error_costs_the_messages_only():
    """The run goes on to its end."""
    assert shell("L run target.py:close in --output out")[0] == 0
    assert results("out") == [None] * 3


# -------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_ctrl_c_while_the_target_is_imported(overwrite):
    """Status 130, no word, and the output is as it was: missing, or with what it held."""
    if overwrite:
        Path("out").write_text("old")
    child = start(["run", "slow.py:echo", "in", "--output", "out", *["--overwrite"] * overwrite])
    assert child.stdout.readline() == b"importing\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate()[1] == b""
    assert child.returncode == 130
    assert (Path("out").read_text() == "old") if overwrite else not Path("out").exists()


def test_a_ctrl_c_while_the_package_is_imported():
    """Likewise: here one of its dependencies takes its time."""
    Path("attrs.py").write_text(SLOW)
    Path("attr.py").write_text(SLOW)
    child = start(["run", "target.py:echo", "in", "--output", "out"], env={"PYTHONPATH": "."}, program=COLD)
    assert child.stdout.readline() == b"importing\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate()[1] == b""
    assert child.returncode == 130
    assert not Path("out").exists()


def test_a_ctrl_c_while_standard_input_is_awaited():
    """Nothing has been run, so there is no output, whether the event loop has begun or not."""
    Path("loud.py").write_text(TARGET + "print('imported', flush=True)")
    reading, writing = os.pipe()
    child = start(["run", "loud.py:echo", "-", "--output", "out", "--progress", "none"], stdin=reading)
    os.close(reading)
    assert child.stdout.readline() == b"imported\n"
    child.send_signal(signal.SIGINT)
    assert b"Traceback" not in child.communicate()[1]
    os.close(writing)
    assert child.returncode == 130
    assert not Path("out").exists()


ENTRY = "from lionpride_exec.__main__ import main\nmain()\n"


@pytest.mark.parametrize(
    "words",
    ["-W error -m lionpride_exec", "-sm lionpride_exec", "-Xabc ./lionpride-exec", "./lionpride-exec.exe"],
)
def test_the_command_itself_is_prepared(words):
    """However it is started, a Ctrl-C while it is imported says nothing."""
    for name in ("attrs.py", "attr.py"):
        Path(name).write_text(SLOW)
    for name in ("lionpride-exec", "lionpride-exec.exe"):
        Path(name).write_text(ENTRY)
    child = start(["run", "target.py:echo", "in"], env={"PYTHONPATH": "."}, program=[sys.executable, *words.split()])
    assert child.stdout.readline() == b"importing\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate()[1] == b""
    assert child.returncode == 130


UNPREPARED = """
import signal, sys
if sys.argv[1:] == ["none"]: sys.argv = []
import lionpride_exec
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert sys.stdout is None
"""


@pytest.mark.parametrize(
    "words",
    [
        "-m other lionpride_exec",
        "other.py lionpride-exec",
        "other.py",
        "other.py none",
        "-c 'import other'",
        "-Bc 'import sys; del sys.argv[0]; import other' ./lionpride-exec",  # as a forkserver of Python 3.14
        "<other.py",
    ],
)
def test_an_import_leaves_signals_and_streams_alone(words):
    """In a program of somebody else, also with a stream closed."""
    Path("other.py").write_text(UNPREPARED)
    assert subprocess.run(["/bin/sh", "-c", f"{sys.executable} {words} >&-"], check=False).returncode == 0  # noqa: S603  ours


# -------------------------------------------------------------------- the output


@pytest.mark.parametrize("made", [False, True])
def test_an_output_that_is_empty_or_missing_is_written(made):
    """There is nothing to lose."""
    if made:
        Path("out").touch()
    assert run("target.py:echo", "in", output="out", quiet=True) == 0
    assert len(results("out")) == 3


def test_an_output_that_holds_something_is_refused(capsys):
    """The message names both cures; nothing is run, and nothing lost."""
    Path("out").write_text("paid for")
    assert run("target.py:echo", "in", output="out", quiet=True) == 2
    told = capsys.readouterr().err
    assert told.startswith("lionpride-exec: --output out is not empty: ")
    assert "--overwrite" in told
    assert "--journal" in told
    assert Path("out").read_text() == "paid for"


def test_an_output_is_overwritten_if_that_is_asked_for():
    """What it held is gone, however long."""
    Path("out").write_text("x" * 100_000)
    assert run("target.py:echo", "in", output="out", quiet=True, overwrite=True) == 0
    assert len(results("out")) == 3


def test_an_output_is_overwritten_also_by_a_run_without_results():
    """An empty INPUT has an empty output."""
    Path("in").write_text("")
    Path("out").write_text("old")
    assert run("target.py:echo", "in", output="out", quiet=True, overwrite=True) == 0
    assert Path("out").read_text() == ""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_that_cannot_start_leaves_the_output_as_it_was(capsys, monkeypatch, backend):
    """With what it held, or missing."""
    for old in ("old", None):
        if old is None:
            Path("out").unlink()
        else:
            Path("out").write_text(old)
        monkeypatch.setattr("lionpride_exec.Executor.start", refuse_to_start)
        assert run("target.py:echo", "in", output="out", quiet=True, overwrite=True, backend=backend) == 2
        assert "cannot start: OSError: no" in capsys.readouterr().err
        assert (Path("out").read_text() if Path("out").exists() else None) == old


async def refuse_to_start(_):
    """Be an executor that cannot be started."""
    raise OSError("no")


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "pipe"])
def test_what_is_no_file_needs_no_leave(name):
    """Devices and pipes are never refused, nor emptied."""
    os.mkfifo("pipe")
    reader = "cat pipe >/dev/null 2>&1 & " if name == "pipe" else ""
    assert shell(f"{reader}L run target.py:echo in --quiet --output {name} >log 2>>log")[0] == 0


def test_the_name_of_standard_output_means_where_it_stands():
    """Behind ``>>`` what is there stays."""
    Path("log").write_text("first\n")
    assert shell("L run target.py:echo in --quiet --output /dev/stdout >>log")[0] == 0
    assert Path("log").read_text().splitlines()[0] == "first"
    assert len(Path("log").read_text().splitlines()) == 4


def test_overwrite_and_journal_exclude_each_other(capsys):
    """One replaces the output, the other completes it."""
    assert run("target.py:echo", "in", output="out", journal="new.db", overwrite=True) == 2
    assert "--overwrite and --journal exclude each other" in capsys.readouterr().err
    assert not Path("new.db").exists()


def test_an_export_that_cannot_be_read_leaves_the_output_as_it_was(capsys):
    """What the file held is dropped when there is something to write."""
    Path("out").write_text("old")
    with closing(sqlite3.connect("run.db")) as connection, connection:
        connection.execute("ALTER TABLE event RENAME COLUMN outcome TO no_outcome")
    assert run_command(["export", "run.db", "--output", "out", "--overwrite"]) == 1
    assert capsys.readouterr().err.startswith("lionpride-exec: run.db cannot be read: ")
    assert Path("out").read_text() == "old"


SIGNALLED = """
import os, signal
import anyio
from lionpride_exec import Event, Executor, Processor
class Work(Event, tag="edges.work"):
    record: object = None
    async def _invoke(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.2)
class WorkProcessor(Processor):
    event_type = Work
    @classmethod
    async def create(cls, **kwargs):
        if "SIGNAL_AT_START" in os.environ:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep(0.2)
        return await super().create(**kwargs)
class WorkExecutor(Executor):
    processor_type = WorkProcessor
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_signal_while_the_executor_is_started(tmp_path, backend):
    """There is nothing to stop yet, so it is stopped later; what the journal holds waits for the next run."""
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    (tmp_path / "records").write_text("".join(f'{{"record": {number}}}\n' for number in range(9)))
    line = f"L run signalled.py:WorkExecutor records --output out --journal new.db --concurrency 1 --backend {backend}"
    assert shell(line)[0] == 130
    status, _, told = shell(f"export SIGNAL_AT_START=1; timeout 30 {line}")
    assert status == 130
    assert "pending" in told
    assert "run the same command again to go on" in told


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_an_event_starts_is_not_taken_for_the_command(tmp_path, method):
    """A child of multiprocessing has the arguments of the command; its garbage is collected, and Ctrl-C is its own."""
    program = tmp_path / "lionpride-exec"
    program.write_text(
        f"""
import gc, signal
import multiprocessing
import lionpride_exec
def state(): return gc.isenabled(), signal.getsignal(signal.SIGINT) is signal.default_int_handler
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(state(), pool.apply(state))
"""
    )
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603  our own
    assert ended.stdout == "(False, False) (True, True)\n"
