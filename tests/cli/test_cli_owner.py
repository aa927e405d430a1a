"""The commands that change a journal while a process runs it: real processes, on each backend."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest
from cli_children import end_children, start
from commands import run_command
from journal_files import fill

from lionpride_exec.testing import BACKENDS

WITHDRAWN = "withdrawn, since the process did not begin with it in time: nothing was done"
SECONDS = 60  # that a process may take for what takes some milliseconds

# Runs jobs that wait for a file of their name. A file "stop" ends the process. It writes all the time, so that it sees
# a command at once: a process at rest looks once a second. With a file "rest" it does so.
OWNER = """
import sys
from pathlib import Path

import anyio

from lionpride_exec import Concurrent, Event, Executor, Journal


class Job(Event[str], tag="Job"):
    name: str = ""
    host: str = "x"

    async def _invoke(self):
        while not Path(f"{self.name}.go").exists():
            await anyio.sleep(0.01)
        if Path(f"{self.name}.go").read_text():
            raise ValueError(f"{self.name} is broken")
        return self.name


class Other(Job, tag="Other"):
    pass


class Nudge(Job, tag="Nudge"):
    pass


async def main(*jobs):
    journal, limits = Journal("run.db", ack="strict"), [Concurrent(100, key="host", name="hosts")]
    async with Executor.of(Job, journal=journal, limits=limits, concurrency_limit=2) as executor:
        for job in jobs:
            kind, name, host = job.split(":")
            await executor.append({"Job": Job, "Other": Other}[kind](name=name, host=host), key=name)
        Path("ready").touch()
        while not Path("stop").exists():
            if Path("rest").exists():
                Path("rests").touch()
            else:
                executor.cancel(await executor.append(Nudge(), delay=3600))
            await anyio.sleep(0.02)
        await executor.stop(0)


backend, _, uvloop = sys.argv[1].partition("+")
anyio.run(main, *sys.argv[2:], backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
"""


# Waits for a file of its name, and fails with what is in it.
TARGET = """
from pathlib import Path

import anyio

async def work(record):
    place = Path(f"{record}.go")
    while not place.exists():
        await anyio.sleep(0.01)
    if text := place.read_text():
        raise ValueError(text)
    return f"{record} is done"
"""


@pytest.fixture(autouse=True)
def no_child_is_left():
    """A test leaves no run behind."""
    yield
    end_children()


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)
    Path("owner.py").write_text(OWNER)
    Path("target.py").write_text(TARGET)


@pytest.fixture
def call(capsys):
    """Run a command; give its exit status, and what it wrote to standard output and error, without what is accepted."""

    def run(*argv):
        status = run_command(argv)
        out, err = capsys.readouterr()
        return status, [line for line in out.splitlines() if not line.startswith("accepted: command ")], err

    return run


@contextmanager
def owner(backend, *jobs):
    """Inside the block, a process runs a journal with these jobs. It is killed at the end, unless it has ended."""
    for name in ("ready", "stop", "rest", "rests"):
        Path(name).unlink(missing_ok=True)
    words = [f"{kind}:{name}:{host}" for kind, name, host in jobs]
    process = subprocess.Popen([sys.executable, "owner.py", backend, *words])  # noqa: S603  our own
    try:
        wait_until(Path("ready").exists)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition):
    """Return when another process has brought about a condition."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)  # for another process


def jobs_of(*names, kind="Job", host="x"):
    """Return jobs with these names."""
    return [(kind, name, host) for name in names]


def finish(process):
    """End the owner in order."""
    Path("stop").touch()
    assert process.wait(SECONDS) == 0


def freeze(process):
    """Stop the owner until SIGCONT, while it writes nothing."""
    Path("rest").touch()
    wait_until(Path("rests").exists)
    os.kill(process.pid, signal.SIGSTOP)
    while not can_write():  # its last commit is not over yet
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.01)  # for another process
        os.kill(process.pid, signal.SIGSTOP)


def can_write():
    """Return whether nobody is writing to the journal."""
    with closing(sqlite3.connect("run.db", isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True


def status_of(name):
    """Return the status of a job."""
    with closing(sqlite3.connect("run.db")) as connection:
        (found,) = connection.execute("SELECT status FROM event WHERE key = ?", (json.dumps(name),)).fetchone()
    return found


def let_go(name, text):
    """Let a job end, which fails with the text if there is one. The file appears at once as a whole."""
    written = Path(f"{name}.new")
    written.write_text(text)
    written.replace(f"{name}.go")  # a job that finds a file that is still empty completes


def reach(name, status):
    """Return when a job has a status on disk."""
    wait_until(lambda: status_of(name) == status)


def last_command():
    """Return what came of the last command: its result and its error."""
    with closing(sqlite3.connect("run.db")) as connection:
        return connection.execute("SELECT done, error FROM command ORDER BY n DESC").fetchone()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_steered(call, backend):
    """Each of the commands, one after the other, beside the process that runs the journal."""
    jobs = [*jobs_of("a", "b", "c", "d", "e"), *jobs_of("f", kind="Other", host="y")]
    with owner(backend, *jobs) as process:
        reach("b", "processing")
        assert call("cancel", "run.db", "c", "--reason", "no more") == (0, ["1 event cancelled"], "")
        assert call("skip", "run.db", "--tag", "Other") == (0, ["1 event skipped"], "")
        assert call("cancel", "run.db", "a") == (0, ["1 running event being cancelled"], "")
        reach("a", "cancelled")
        reach("d", "processing")
        until = f"until resume, or the end of process {process.pid}"
        assert call("pause", "run.db") == (
            0, [f"run.db is paused: what runs goes on, and nothing starts {until}"], "",
        )  # fmt: skip
        assert call("retry", "run.db", "a", "c", "f") == (0, ["3 events are pending again"], "")
        assert call("cancel", "run.db", "--status", "processing") == (
            0, ["2 running events being cancelled"], "",
        )  # fmt: skip
        reach("b", "cancelled")
        reach("d", "cancelled")
        assert call("resize", "run.db", "--concurrency", "10") == (0, ["10 events may run at the same time"], "")
        assert call("pause", "run.db", "--key", "y", "--limit", "hosts", "--reason", "maintenance") == (
            0, [f"key y of limit hosts is paused: what runs goes on, and nothing of the key starts {until}"], "",
        )  # fmt: skip
        paused = "paused: key 'y' of limit hosts, until resume: maintenance"
        assert call("resume", "run.db") == (0, ["run.db is paused no longer", paused], "")
        for name in "ace":
            reach(name, "processing")
        assert status_of("f") == "pending"
        assert call("resume", "run.db", "--key", "y") == (0, ["key y is paused no longer"], "")
        assert call("resume", "run.db", "--key", "y") == (0, ["there was no pause of key y to end"], "")
        reach("f", "processing")
        for name in "acef":
            let_go(name, "broken" * (name in "ae"))
            reach(name, "failed" if name in "ae" else "completed")
        let_go("a", "")
        assert call("retry", "run.db", "--failed", "--error", "a IS broken") == (0, ["1 event is pending again"], "")
        reach("a", "completed")
        assert call("retry", "run.db", "--failed") == (0, ["1 event is pending again"], "")
        finish(process)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_leaves_alone_what_has_begun(call, backend):
    """With ``--unless-begun`` it ends what waits, and tells of an event that runs only if the event was named."""
    with owner(backend, *jobs_of("a", "b", "c", "d", "e")) as process:
        reach("b", "processing")
        assert call("cancel", "run.db", "a", "d", "--unless-begun") == (
            1, ["1 event cancelled"], "lionpride-exec: event a has begun\n",
        )  # fmt: skip
        reach("d", "cancelled")
        assert call("cancel", "run.db", "--status", "pending", "--unless-begun")[::2] == (0, "")
        reach("e", "cancelled")
        assert status_of("a") == "processing"
        for name in "abc":
            Path(f"{name}.go").touch()
        reach("a", "completed")
        finish(process)


def test_a_key_is_a_text_or_json(call):
    """A number means both: events of one of the two wait. The pause may end by itself."""
    with owner("asyncio", *jobs_of("a", host="17")) as process:
        assert call("pause", "run.db", "--key", "17", "--seconds", "3600")[0] == 0
        with closing(sqlite3.connect("run.db")) as connection:
            at, args = connection.execute("SELECT at, args FROM command").fetchone()
        assert json.loads(args)["keys"] == ["17", 17]
        assert json.loads(args)["until"] == pytest.approx(at + 3600, abs=SECONDS)
        status, lines, err = call("resume", "run.db", "--key", '"17"')
        assert (status, lines[0], err) == (0, 'key "17" is paused no longer', "")
        (left,) = lines[1:]  # the number
        assert left.startswith("paused: key 17 of limit hosts, for ")
        assert call("pause", "run.db", "--key", "null")[0] == 0
        finish(process)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_process_refuses_is_told(call, backend):
    """By a message, and exit status 1; what does not fit is left as it is."""
    with owner(backend, *jobs_of("a", "b", "c", "d")) as process:
        Path("a.go").touch()
        reach("a", "completed")
        reach("c", "processing")
        assert call("cancel", "run.db", "a", "d") == (
            1, ["1 event cancelled"], "lionpride-exec: event a has ended\n",
        )  # fmt: skip
        assert call("retry", "run.db", "b", "d") == (
            1, ["1 event is pending again"], "lionpride-exec: event b has not ended\n",
        )  # fmt: skip
        status, out, err = call("pause", "run.db", "--limit", "nowhere", "--key", "x")
        assert (status, out) == (1, [])
        assert f"process {process.pid}, which runs" in err
        assert "the executor has no limit 'nowhere'" in err
        status, _, err = call("pause", "run.db", "--limit", "\udcff")  # an argument that is not in UTF-8
        assert (status, r"the executor has no limit '\udcff'" in err) == (1, True)
        status, out, err = call("resize", "run.db", "--concurrency", "0")
        assert (status, out) == (1, [])
        assert "concurrency_limit" in err
        status, out, err = call("cancel", "run.db", "nothing")
        assert (status, out) == (1, [])
        assert "no event has the number, id or key 'nothing'" in err
        assert call("cancel", "run.db", "--status", "done")[0] == 2
        assert call("cancel", "run.db", "c", "--timeout", "nan")[0] == 2
        finish(process)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_process_explains_what_its_events_wait_for(call, backend):
    """How it goes, its limits, and each pause; or what one event waits for. A key that no event has is told."""
    with owner(backend, *jobs_of("a", "b", "c"), *jobs_of("d", host="y")) as process:
        Path("a.go").touch()
        reach("c", "processing")
        Path("rest").touch()
        wait_until(Path("rests").exists)
        status, out, err = call("explain", "run.db")
        assert (status, err) == (0, "")
        assert "2 running  1 pending" in out[0]
        assert out[1:] == ["waiting for slot (1)", "limits: hosts['x'] 2/100"]
        until = f"until resume, or the end of process {process.pid}"
        assert call("pause", "run.db", "--key", "z") == (
            0, [f"key z is paused: what runs goes on, and nothing of the key starts {until}"],
            "lionpride-exec: no event that waits or runs has the key z at the moment\n",
        )  # fmt: skip
        assert call("pause", "run.db", "--key", "y", "--reason", "down")[2] == ""
        assert call("pause", "run.db")[2] == ""
        status, out, err = call("explain", "run.db")
        assert out[-3:] == [
            "paused: all events, until resume",
            "paused: key 'z' of limit hosts, until resume: by pause()",
            "paused: key 'y' of limit hosts, until resume: down",
        ]
        status, out, err = call("explain", "run.db", "d", "a")
        assert (status, err) == (1, "lionpride-exec: event a has ended\n")
        assert out[0].endswith("is pending, waits for resume(), hosts, of key 'y'")
        assert call("inspect", "run.db")[1][1] == f"process {process.pid} runs it"
        assert not [line for line in call("inspect", "run.db")[1] if " explain " in line]
        finish(process)
    assert call("explain", "run.db") == (
        1, [], "lionpride-exec: nobody runs run.db: there is nothing to explain\n",
    )  # fmt: skip
    assert call("inspect", "run.db")[1][1] == "nobody runs it"


def test_a_process_that_does_not_answer_is_told_of(call):
    """The command waits as long as it is told to, and is withdrawn then: the process does not carry it out later."""
    with owner("asyncio", *jobs_of("a", "b", "c", "d")) as process:
        reach("a", "processing")
        freeze(process)
        status, out, err = call("cancel", "run.db", "c", "--timeout", "0.1")
        assert (status, out) == (1, [])
        assert f"process {process.pid} has not begun within 0.1 s, so command 1 is withdrawn" in err
        os.kill(process.pid, signal.SIGCONT)
        assert call("cancel", "run.db", "d") == (0, ["1 event cancelled"], "")
        assert status_of("c") == "pending"
        finish(process)


def test_a_command_that_is_interrupted_is_withdrawn():
    """Ctrl-C, while the process is stopped: it does nothing later."""
    with owner("asyncio", *jobs_of("a", "b", "c")) as process:
        reach("a", "processing")
        freeze(process)
        asking = start(["cancel", "run.db", "c"])
        wait_until(lambda: last_command() is not None)
        asking.send_signal(signal.SIGINT)
        assert asking.wait(SECONDS) == 130
        assert last_command() == (None, WITHDRAWN)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_that_is_killed_before_it_answers(call, backend):
    """Whoever waits is told. The command is carried out neither then nor by the next process."""
    with owner(backend, *jobs_of("a", "b", "c")) as process:
        reach("a", "processing")
        freeze(process)
        told = []
        waiting = Thread(target=lambda: told.append(call("cancel", "run.db", "c", "--timeout", str(SECONDS))))
        waiting.start()
        wait_until(lambda: last_command() is not None)
        process.kill()
        waiting.join(SECONDS)
    ((status, out, err),) = told
    assert (status, out) == (1, [])
    assert "the process ended before it began with the command: nothing was done" in err
    for name in "abc":
        Path(f"{name}.go").touch()
    with owner(backend) as process:
        reach("c", "completed")
        finish(process)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_command_that_nobody_waits_for_dies_with_its_process(call, backend):
    """The next process gives it an error, and does not carry it out."""
    with owner(backend, *jobs_of("a", "b", "c")) as process:
        reach("a", "processing")
        freeze(process)
        with closing(sqlite3.connect("run.db")) as connection, connection:
            connection.execute("INSERT INTO command (at, what) VALUES (0, 'pause')")
        process.kill()
    assert last_command() == (None, None)
    for name in "abc":
        Path(f"{name}.go").touch()
    with owner(backend) as process:
        reach("c", "completed")
        finish(process)
    assert last_command() == (None, "the process ended before it began with the command: nothing was done")


@pytest.mark.parametrize("argv", [["pause"], ["resume"], ["resize", "--concurrency", "3"]], ids=lambda argv: argv[0])
def test_nobody_runs_the_journal(call, argv):
    """There is nothing to steer: exit status 1, and no command is left in the file."""
    fill("run.db")
    verb, *options = argv
    for _ in range(2):  # the second time, there is the lock of a process that has ended
        assert call(verb, "run.db", *options) == (
            1, [], f"lionpride-exec: nobody runs run.db: there is nothing to {verb}\n",
        )  # fmt: skip
        assert call("retry", "run.db", "2") in [
            (0, ["1 event is pending again"], ""),
            (1, ["0 events are pending again"], "lionpride-exec: event 2 has not ended\n"),
        ]
    assert last_command() is None


@pytest.mark.parametrize("verb", ["pause", "resume", "resize", "cancel", "skip", "retry"])
@pytest.mark.parametrize("content", [None, b"", b"text " * 2000])
def test_what_is_no_journal_is_wrong_use(call, verb, content):
    """One line, exit status 2; nothing is made or changed."""
    if content is not None:
        Path("run.db").write_bytes(content)
    options = {"resize": ["--concurrency", "3"], "cancel": ["1"], "skip": ["1"], "retry": ["1"]}.get(verb, [])
    status, out, err = call(verb, "run.db", *options)
    assert (status, out, err.count("\n")) == (2, [], 1)
    assert err.startswith("lionpride-exec: run.db")
    assert (Path("run.db").read_bytes() if Path("run.db").exists() else None) == content


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pause", "--until", "2026-11-30T12:00Z"], "--until, --seconds and --reason need --key or --limit"),
        (["pause", "--key", "a", "--until", "noon"], "--until needs a time with a time zone"),
        (["pause", "--key", "a", "--until", "2026-11-30T12:00Z", "--seconds", "3"], "exclude each other"),
        (["pause", "--key", "a", "--seconds", "-1"], "--seconds must be 0 or more"),
        (["pause", "--timeout", "-1"], "--timeout must be 0 or more"),
        (["resize"], "which size?"),
        (["resize", "--concurrency", "many"], "many"),
    ],
)
def test_wrong_use(call, argv, message):
    """One message, exit status 2."""
    fill("run.db")
    verb, *options = argv
    status, out, err = call(verb, "run.db", *options)
    assert (status, out) == (2, [])
    assert message in err


def test_a_process_of_an_older_version_takes_no_commands(call):
    """Its file has no table for them. The message says so, and nothing is left in the file."""
    with owner("asyncio", *jobs_of("a")) as process:
        with closing(sqlite3.connect("run.db")) as connection:
            connection.execute("DROP TABLE command")
            connection.commit()
        status, out, err = call("pause", "run.db")
        assert (status, out) == (1, [])
        assert f"process {process.pid}, which runs" in err
        assert "takes no commands" in err
        process.kill()


def test_a_journal_is_known_by_each_of_its_names(call):
    """A link to the file leads to the process that runs it."""
    with owner("asyncio", *jobs_of("a", "b", "c")) as process:
        Path("link.db").symlink_to("run.db")
        assert call("cancel", "link.db", "c") == (0, ["1 event cancelled"], "")
        finish(process)
        assert call("retry", "link.db", "c") == (0, ["1 event is pending again"], "")
        assert not Path("link.db-lock").exists()


# -------------------------------------------------------------------- a run of the command line


def start_run(backend, *names, **options):
    """Start a run of the target over a line for each name."""
    Path("in.jsonl").write_text("".join(f'"{name}"\n' for name in names))
    words = [word for name, value in options.items() for word in (f"--{name}", *([] if value is True else [value]))]
    words = ["--journal", "run.db", "--output", "out", "--backend", backend, "--summary", "summary", *words]
    return start(["run", "target.py:work", "in.jsonl", *words])


def results():
    """Return the results in the output: line, status, and response or error."""
    found = [json.loads(line) for line in Path("out").read_text().splitlines()]
    return [(one["line"], one["status"], one.get("response") or one["error"]["message"]) for one in found]


def lines():
    """Return the number and the status of the event of each line, once the journal has the lines."""
    if not Path("run.db").exists():
        return {}
    with closing(sqlite3.connect("run.db")) as connection:
        try:
            return dict(connection.execute("SELECT seq, status FROM event"))
        except sqlite3.OperationalError:  # the run has just made the file
            return {}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"ordered": True}], ids=["as they end", "ordered"])
def test_a_line_that_is_retried_during_a_run_has_one_result(call, backend, options):
    """That of the last run of it. The numbers and the exit status are those of a run in which it never failed."""
    let_go("a", "first")
    child = start_run(backend, "a", "b", **options)
    wait_until(lambda: lines().get(1) == "failed")
    let_go("a", "")
    assert call("retry", "run.db", "--failed") == (0, ["1 event is pending again"], "")
    wait_until(lambda: lines()[1] == "completed")
    Path("b.go").touch()
    assert child.wait(SECONDS) == 0
    assert sorted(results()) == [(1, "completed", "a is done"), (2, "completed", "b is done")]
    summary = json.loads(Path("summary").read_text())
    assert (summary["statuses"], summary["exit_status"]) == ({"completed": 2}, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_is_killed_after_a_retry_keeps_the_last_result(call, backend):
    """The next run finds both results of the line in the output."""
    let_go("a", "first")
    child = start_run(backend, "a", "b")
    wait_until(lambda: lines().get(1) == "failed")
    wait_until(lambda: Path("out").read_text().count("\n") == 1)
    let_go("a", "second")
    assert call("retry", "run.db", "--failed") == (0, ["1 event is pending again"], "")
    wait_until(lambda: Path("out").read_text().count("\n") == 2)
    child.kill()
    child.wait(SECONDS)
    Path("b.go").touch()
    child = start_run(backend, "a", "b")
    assert child.wait(SECONDS) == 1
    assert sorted(results()) == [(1, "failed", "second"), (2, "completed", "b is done")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_retry_of_a_line_of_an_earlier_run(call, backend):
    """Its old result is removed; it counts for this run."""
    for name in "ab":
        let_go(name, name)
    assert start_run(backend, "a", "b").wait(SECONDS) == 1
    let_go("a", "")
    child = start_run(backend, "a", "b", "c")
    wait_until(lambda: lines().get(3) == "processing")
    assert call("retry", "run.db", "1") == (0, ["1 event is pending again"], "")
    wait_until(lambda: lines()[1] == "completed")
    assert call("cancel", "run.db", "3")[:2] == (0, ["1 running event being cancelled"])
    assert child.wait(SECONDS) == 1
    assert sorted(results())[:2] == [(1, "completed", "a is done"), (2, "failed", "b")]
    assert json.loads(Path("summary").read_text())["statuses"] == {"completed": 1, "failed": 1, "cancelled": 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_paused_and_goes_on(call, backend):
    """It waits for its lines until somebody resumes it."""
    child = start_run(backend, "a", "b", concurrency="1")
    wait_until(lambda: lines().get(1) == "processing")
    assert call("pause", "run.db")[0] == 0
    for name in "ab":
        Path(f"{name}.go").touch()
    wait_until(lambda: lines()[1] == "completed")
    assert lines()[2] == "pending"
    assert call("resume", "run.db")[0] == 0
    assert child.wait(SECONDS) == 0
