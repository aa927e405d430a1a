"""``lionpride-exec worker``: processes that work on a queue, end in order, and are killed."""

import os
import re
import signal
import time

import pytest
from command_support import LENIENT, Place, Work, ended, until

from lionpride_exec.testing import BACKENDS


@pytest.fixture
def place(tmp_path, server):
    """A folder with targets, and a queue."""
    return Place(tmp_path, server)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_worker_works_until_a_signal(place, backend):
    """It tells what it works on and what it has done. The exit status is that of a run that is ended by a signal."""
    child, line = place.start_worker("--backend", backend)
    name, process = line.split()[2:4]
    assert line == (
        f"lionpride-exec: worker {name} {process} queue {place.queue} on {place.server.url}, concurrency 4\n"
    )
    place.submit([*range(1, 20), -1])
    until(ended(place, 20))
    child.terminate()
    out, err = child.communicate()
    assert (child.returncode, out) == (130, b"")
    stopping, summary = err.decode().splitlines()
    assert stopping == "lionpride-exec: stopping; 0 running may finish within 30 s, Ctrl-C again cancels"
    assert summary.startswith("lionpride-exec: 20 events: 19 completed, 1 failed; ")
    assert place.counts() == {"completed": 19, "failed": 1}
    assert len(place.runs()) == 20


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_workers_share_the_events_and_those_of_a_killed_one_run_elsewhere(place, backend):
    """After the lease. Each event has one end."""
    workers = [place.start_worker("--backend", backend, LEASE="1")[0] for _ in range(2)]
    ids = place.submit(range(60), seconds=0.2)
    until(lambda: len({process for _, process in place.runs()}) == 2)
    workers[0].kill()
    assert workers[0].wait() == -signal.SIGKILL
    until(ended(place, 60))
    workers[1].terminate()
    err = workers[1].communicate()[1].decode()
    assert workers[1].returncode == 130, err
    assert place.counts() == {"completed": 60}
    twice = len(place.runs()) - 60
    again = sum(one.attempt == 2 for one in place.details(ids))
    assert 1 <= twice <= again <= 4, "what the killed worker ran, or was about to run"


@pytest.mark.parametrize("seconds", [3, 1.5], ids=["runs on", "has ended meanwhile"])
def test_a_worker_that_has_stalled_says_what_others_have_taken_over(place, seconds):
    """Its own run of the event does not count."""
    first, _ = place.start_worker(LEASE="1")
    (event_id,) = place.submit([1], seconds=seconds)
    until(place.runs)
    second, _ = place.start_worker(LEASE="1")
    ((_, process),) = place.runs()
    os.kill(process, signal.SIGSTOP)
    until(lambda: len(place.runs()) == 2)
    os.kill(process, signal.SIGCONT)
    until(ended(place, 1))
    (found,) = place.details([event_id])
    assert (found.status, found.attempt) == ("completed", 2)
    for child, told in ((first, "0 events: 1 taken over; "), (second, "1 event: 1 completed; ")):
        child.terminate()
        err = child.communicate()[1].decode()
        assert f"lionpride-exec: {told}" in err


QUITTING = """
from app import Work, new

class Quit(Work, tag="app.quit"):
    async def _invoke(self):
        raise {error}

executor = new()
"""


class Quit(Work, tag="app.quit"):
    """What ends the program in a worker."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("error", "exit_status"), [("SystemExit(3)", 1), ("KeyboardInterrupt", 130)])
def test_an_event_that_ends_the_program_ends_the_worker_at_once(place, backend, error, exit_status):
    """In order: it ends FAILED, as without a cluster, and what runs beside it is given back."""
    (place.folder / "quitting.py").write_text(QUITTING.format(error=error))
    child, _ = place.start_worker("--backend", backend, target="quitting:executor")
    (beside,) = place.submit([1], seconds=60)
    until(place.runs)
    quitting = place.submit([2], kind=Quit)
    began = time.monotonic()
    out, err = child.communicate(timeout=30)
    assert time.monotonic() - began < 4
    assert (child.returncode, out) == (exit_status, b"")
    *told, summary = err.decode().splitlines()
    assert told == ["lionpride-exec: an event raised SystemExit: 3; stopped"] * ("System" in error)
    assert summary.startswith("lionpride-exec: 1 event: 1 failed, 1 given back; ")
    states = [(found.status, found.attempt) for found in place.details([*quitting, beside])]
    assert states == [("failed", 1), ("pending", 0)]


def test_what_does_not_end_within_the_grace_is_given_back(place):
    """Another worker has it at once, far before the lease is over, and that costs no attempt."""
    child, _ = place.start_worker("--grace", "0.2")
    (event_id,) = place.submit([1], seconds=3)
    until(place.runs)
    other, _ = place.start_worker()
    child.terminate()
    err = child.communicate()[1].decode().splitlines()
    assert err[0] == "lionpride-exec: stopping; 1 running may finish within 0.2 s, Ctrl-C again cancels"
    assert err[1].startswith("lionpride-exec: 0 events: 1 given back; ")
    until(lambda: len(place.runs()) == 2)
    until(ended(place, 1))
    (found,) = place.details([event_id])
    assert (found.status, found.attempt) == ("completed", 1)
    other.terminate()
    assert other.wait() == 130


def test_a_second_signal_cancels_at_once(place):
    """What runs is given back."""
    child, _ = place.start_worker()
    place.submit([1], seconds=60)
    until(place.runs)
    child.send_signal(signal.SIGINT)
    assert b"1 running may finish" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    err = child.communicate()[1].decode().splitlines()
    assert err[0] == "lionpride-exec: cancelling what runs; Ctrl-C again leaves at once"
    assert err[1].startswith("lionpride-exec: 0 events: 1 given back; ")
    assert child.returncode == 130
    assert place.counts() == {"pending": 1}


def test_events_that_wait_in_a_worker_go_to_others_at_the_first_signal(place):
    """They do not wait for the event that may finish."""
    child, _ = place.start_worker("--concurrency", "1", LOOKAHEAD="2")
    ids = place.submit([1, 2], seconds=2)
    _, waiting = ids
    until(lambda: len(place.runs()) == 1 and place.details([waiting])[0].held_by)
    other, _ = place.start_worker()
    child.terminate()
    until(lambda: len(place.runs()) == 2, 1.5)
    err = child.communicate()[1].decode()
    assert "lionpride-exec: 1 event: 1 completed; " in err
    other.terminate()
    assert other.wait() == 130


def test_a_function_makes_the_executor_and_a_client_becomes_a_worker(place):
    """The executor says that it only submits, as it does in a web server. The concurrency is that of the option."""
    child, line = place.start_worker("--concurrency", "3", target=f"{place.folder}/app.py:make")
    assert line.endswith("concurrency 3\n")
    place.submit([1])
    until(ended(place, 1))
    child.terminate()
    assert child.wait() == 130


APPENDING = """
from app import Work, new
from lionpride_exec import current_executor

class Append(Work, tag="app.append"):
    async def _invoke(self):
        await current_executor().append(Work(number=-5))

executor = new(Work)
"""


class Append(Work, tag="app.append"):
    """What appends an event in a worker."""


def test_a_worker_does_not_complain_that_nobody_has_looked_at_failures(place):
    """Nobody could: an event in it has appended the event that failed. The last line counts the failure."""
    (place.folder / "appending.py").write_text(APPENDING)
    child, _ = place.start_worker(target="appending:executor")
    place.submit([1], kind=Append)
    until(ended(place, 2))
    time.sleep(0.3)  # until the worker has read the transition of the event that it has submitted
    child.terminate()
    stopping, summary = child.communicate()[1].decode().splitlines()
    assert stopping.startswith("lionpride-exec: stopping; ")
    assert summary.startswith("lionpride-exec: 2 events: 1 completed, 1 failed; ")


def test_events_that_no_worker_here_can_run_are_left(place):
    """The worker says so, and goes on with others."""
    child, _ = place.start_worker(target="app:make_other")
    place.submit([1])
    line = child.stderr.readline().decode()
    assert "is unreadable and is given back for other workers" in line
    child.terminate()
    assert ": nothing done" not in (err := child.communicate()[1].decode())
    assert "lionpride-exec: 0 events: 1 unreadable; " in err
    assert place.counts() == {"pending": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["app"], "TARGET must be module:name or path/to/file.py:name, got 'app'"),
        (["app:nothing"], "app has no 'nothing'"),
        (["nowhere:executor"], "cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        (["app:Work"], "app:Work is the class Work; expected an Executor with a cluster, such as "),
        (["app:number"], "app:number is a int; expected an Executor with a cluster"),
        (["app:make_with"], "app:make_with is a function with arguments (missing a required argument: 'argument')"),
        (["app:make_later"], "app:make_later() returns a coroutine; expected an Executor"),
        (["app:make_nothing"], "app:make_nothing() returns a NoneType; expected an Executor"),
        (["app:plain"], "app:plain has no cluster; expected an Executor with a cluster"),
        (["app:executor", "--grace=-1"], "--grace must be not negative, got -1.0"),
        (["app:executor", "--concurrency=0"], "--concurrency 0: Concurrency limit must be >= 1"),
        (["app:executor", "redis://user:hidden@host"], "the URL of a server must not be an argument, since ps shows "),
        (["app:executor", "--url=redis://user:hi=dden@host"], "the URL of a server must not be an argument"),
    ],
)
def test_what_is_no_executor_with_a_cluster_is_refused(place, words, message):
    """One line says what is needed."""
    status, out, err = place.run("worker", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"lionpride-exec: {message}")
    assert "dden" not in err


LIFESPAN = """
from contextlib import asynccontextmanager
from app import Work, new

def connect(when):
    if when == {when!r}:
        raise OSError(f"no route when it {{when}}")

@asynccontextmanager
async def lifespan():
    connect("is entered")
    yield
    connect("is left")

executor = new(lifespan=lifespan)
"""


def traceback_in(lines):
    """Return the functions of the frames of a traceback, and its last line."""
    assert lines[0] == "  Traceback (most recent call last):"
    return [line.rpartition(" ")[2] for line in lines if line.startswith("    File ")], lines[-1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lifespan_that_fails_at_the_start_is_told_with_the_frames_of_the_user(place, backend):
    """And no others. Nothing was run, so the exit status is 2."""
    (place.folder / "app2.py").write_text(LIFESPAN.format(when="is entered"))
    status, out, err = place.run("worker", "app2:executor", "--backend", backend)
    assert (status, out) == (2, "")
    first, *rest = err.splitlines()
    assert first == "lionpride-exec: cannot start: OSError: no route when it is entered"
    assert traceback_in(rest) == (["lifespan", "connect"], "  OSError: no route when it is entered")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lifespan_that_fails_at_the_end_is_told_with_the_frames_of_the_user(place, backend):
    """The worker has told what it has done. The exit status is 1, also after a signal."""
    (place.folder / "app2.py").write_text(LIFESPAN.format(when="is left"))
    child, _ = place.start_worker("--backend", backend, target="app2:executor")
    place.submit([1])
    until(ended(place, 1))
    child.terminate()
    out, err = child.communicate()
    assert (child.returncode, out) == (1, b"")
    stopping, first, *rest, summary = err.decode().splitlines()
    assert stopping.startswith("lionpride-exec: stopping; ")
    assert first == "lionpride-exec: OSError: no route when it is left; stopped"
    assert traceback_in(rest) == (["lifespan", "connect"], "  OSError: no route when it is left")
    assert summary.startswith("lionpride-exec: 1 event: 1 completed; ")


def test_a_function_that_fails_to_make_the_executor_is_told_with_its_frames(place):
    """The exit status is 2."""
    status, out, err = place.run("worker", "app:make_wrong")
    assert (status, out) == (2, "")
    first, *rest = err.splitlines()
    assert first == "lionpride-exec: cannot call app:make_wrong: LookupError: there is none"
    assert traceback_in(rest) == (["make_wrong"], "  LookupError: there is none")


def test_a_cluster_without_a_secret_is_refused(place):
    """With the reason."""
    status, _, err = place.run("worker", "app:executor", LIONPRIDE_CLUSTER_SECRET="")
    assert status == 2
    assert "a cluster needs a secret" in err


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_is_not_reached_is_told_in_one_line(place, backend):
    """Without the password."""
    url = "redis://user:hidden@127.0.0.1:1"
    status, _, err = place.run(
        "worker", "app:executor", "--backend", backend, program=LENIENT, LIONPRIDE_CLUSTER_URL=url, PATIENCE="0.1"
    )
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("lionpride-exec: redis://127.0.0.1:1 was not reached for 0.1 s: ")
    assert "hidden" not in err


def test_a_signal_ends_the_wait_for_a_server(place):
    """The worker has told at once that it tries, and until when. Nothing has been started."""
    environment = {"LIONPRIDE_CLUSTER_URL": "redis://127.0.0.1:1", "PATIENCE": "600"}
    child = place.start("worker", "app:executor", program=LENIENT, **environment)
    told = child.stderr.readline().decode()
    assert re.match(r"lionpride-exec: redis://127.0.0.1:1 is not reached, trying until [\d:]{8} UTC \(600 s\): ", told)
    child.terminate()
    assert child.communicate(timeout=10)[1] == b"lionpride-exec: stopping before the first event\n"
    assert child.returncode == 130


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_wrong_password_and_lost_data_are_told_in_one_line(tmp_path, protected_server, backend):
    """Without a traceback. The exit status is 1."""
    address = protected_server.url.rpartition("@")[2]
    place = Place(tmp_path, protected_server)
    words = ["worker", "app:executor", "--backend", backend]
    status, _, err = place.run(*words, program=LENIENT, LIONPRIDE_CLUSTER_URL=f"redis://:hidden2@{address}")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"lionpride-exec: redis://{address} refuses the user: ")
    child, _ = place.start_worker("--backend", backend, LEASE="1")
    place.ask(lambda queue: queue.wire.command(lambda client: client.flushall()))
    err += (told := child.communicate(timeout=20)[1].decode())
    assert child.returncode == 1
    first, last = told.splitlines()
    assert first == f"lionpride-exec: redis://{address} has lost the data of this queue; stopped"
    assert last.startswith("lionpride-exec: 0 events: nothing done; ")
    assert "hidden" not in err
