"""``lionpride-exec run --cluster``: the lines of a file, run by the workers of a queue."""

import json
import signal
import subprocess
import time
from collections import Counter

import pytest
from cli_children import read_until
from cluster_support import Server
from command_support import LENIENT, Place, until
from commands import arguments_of, run_command
from parts import cli_summary

from lionpride_exec.testing import BACKENDS

# Each run writes a line into the file `runs`: the number of its record, and the process.
TARGETS = """
import os, time
import anyio
from lionpride_exec import Event, Executor, Processor

open("loaded", "w").close()

def note(number):
    with open("runs", "a") as runs:
        runs.write(f"{number} {os.getpid()}\\n")

async def work(record):
    note(record["n"])
    await anyio.sleep(record.get("seconds", 0))
    if record.get("fail"):
        raise LookupError(f"no {record['n']}")
    return {"twice": 2 * record["n"]}

async def echo(record):
    return record

async def moment(record):
    return time.time()

class Fetch(Event[int], tag="app.work"):
    number: int
    seconds: float = 0.0
    host: str = ""
    async def _invoke(self):
        note(self.number)
        await anyio.sleep(self.seconds)
        return self.number

class Others(Processor): event_type = Fetch
class Untagged(Event):
    url: str
    async def _invoke(self): return self.url
class NoCluster(Executor):
    processor_type = Others
    def __init__(self, processor_config): super().__init__(processor_config)
"""


class Runs(Place):
    """A folder with targets and an INPUT, and a queue."""

    def __init__(self, folder, server):
        super().__init__(folder, server)
        (folder / "target.py").write_text(TARGETS)
        del self.environment["LIONPRIDE_CLUSTER_URL"]

    def write(self, records, name="in"):
        """Write the lines of an INPUT."""
        (self.folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    def words(self, target="work", source="in", output="out", **options):
        """Return the words of a run."""
        fixed = {"cluster": "url", "queue": self.queue, "output": output}
        return ["run", f"target.py:{target}", source, *arguments_of(fixed | options)]

    def results(self, name="out"):
        """Return the results in an output."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def numbers(self, name="out"):
        """Return how often each line has a result."""
        return Counter(result["line"] for result in self.results(name))


@pytest.fixture
def place(tmp_path, server, monkeypatch):
    """A folder with targets, and a queue. The present directory is the folder."""
    place = Runs(tmp_path, server)
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def go(place):
    """Run the command to its end. Return its exit status and its messages."""

    def run(target="work", source="in", **options):
        status, _, err = place.run(*place.words(target, source, **options))
        return status, err

    return run


def numbered(*numbers, **fields):
    return [{"n": number} | fields for number in numbers]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_output_is_that_of_a_run_with_a_journal(place, go, backend):
    """Results and errors are the same bytes, but for their durations."""
    place.write([*numbered(*range(8)), *numbered(8, fail=True), *numbered(3), {"n": 2, "metadata": {"a": 1}}])
    status, err = go(backend=backend)
    assert status == 1
    assert "lionpride-exec: 11 lines: 10 completed, 1 failed; " in err
    assert "lionpride-exec: errors: 1 LookupError; the first, of line 9:\n" in err
    assert "raise LookupError(f\"no {record['n']}\")" in err
    place.run("run", "target.py:work", "in", "--journal=j.db", "--output=other")
    texts = [
        sorted(
            line.partition(b'"duration"')[0] + line.partition(b', "line"')[2] for line in path.read_bytes().splitlines()
        )
        for path in (place.folder / "out", place.folder / "other")
    ]
    assert texts[0] == texts[1]
    assert place.counts() == {"completed": 10, "failed": 1}
    assert [result["key"] for result in place.results() if "key" in result] == [
        result["key"] for result in place.results("other") if "key" in result
    ]


def test_the_same_command_goes_on(place, go):
    """Nothing is run twice. What the output lacks is written, what is new is run, numbers are those of INPUT now."""
    place.write(numbered(*range(5)))
    assert go()[0] == 0
    before = (place.folder / "out").read_bytes()
    status, err = go()
    assert (status, "5 lines: 5 done before; " in err) == (0, True)
    assert (place.folder / "out").read_bytes() == before
    lines = before.splitlines(keepends=True)
    (place.folder / "out").write_bytes(b"".join(lines[:2]) + lines[2][:30])
    place.write(numbered(*range(6, -1, -1)))
    status, err = go()
    assert (status, "7 lines: 5 done before, 2 completed; " in err) == (0, True)
    assert {result["line"]: result["record"]["n"] for result in place.results()} == {7 - n: n for n in range(7)}
    assert place.numbers() == Counter(range(1, 8))
    assert sorted(number for number, _ in place.runs()) == list(range(7))


def test_a_lost_output_is_written_anew(place, go):
    """From the server, as it was."""
    place.write([*numbered(1, 2), *numbered(3, fail=True)])
    go()
    before = sorted((place.folder / "out").read_bytes().splitlines())
    (place.folder / "out").unlink()
    status, err = go()
    assert (status, "3 lines: 3 done before (1 not completed); " in err) == (1, True)
    assert sorted((place.folder / "out").read_bytes().splitlines()) == before
    assert len(place.runs()) == 3


def test_lines_that_were_put_back_lose_their_results(place, go):
    """And get new ones."""
    place.write([*numbered(1), *numbered(2, fail=True)])
    go()
    run_command(["cluster", "retry", "--failed", "--queue", place.queue, "--url-file", "url"])
    status, err = go()
    assert (status, "2 lines: 1 done before, 1 failed; " in err) == (1, True), err
    assert place.numbers() == {1: 1, 2: 1}
    assert [number for number, _ in place.runs()].count(2) == 2
    run_command(["cluster", "retry", "--failed", "--queue", place.queue, "--url-file", "url"])
    (place.folder / "target.py").write_text(TARGETS.replace('record.get("fail")', "False"))
    assert go()[0] == 0
    assert place.numbers() == {1: 1, 2: 1}


def test_a_line_whose_event_ends_before_it_is_read_is_one_of_this_run(place, go):
    """Its event was put back. The process is a worker too, and takes the event before the line has come."""
    place.write(numbered(1, fail=True))
    go()
    assert run_command(["cluster", "retry", "--failed", "--queue", place.queue, "--url-file", "url"]) == 0
    place.write([*numbered(2), *numbered(1, fail=True)])
    first, second = (place.folder / "in").read_bytes().splitlines(keepends=True)
    child = place.start(*place.words(source="-"), stdin=subprocess.PIPE)
    child.stdin.write(first)
    child.stdin.flush()
    until(lambda: len(place.runs()) == 3 and place.counts() == {"completed": 1, "failed": 1})
    _, err = child.communicate(second, timeout=50)
    assert (child.returncode, b"2 lines: 1 completed, 1 failed; " in err) == (1, True), err
    assert b"not in standard input" not in err
    assert place.numbers() == {1: 1, 2: 1}
    assert "2 lines: 2 done before (1 not completed); " in go()[1]


def test_a_line_that_has_failed_again_elsewhere_has_its_last_result(place, go):
    """Although it has ended with the same status."""
    place.write(numbered(1, fail=True))
    go()
    run_command(["cluster", "retry", "--failed", "--queue", place.queue, "--url-file", "url"])
    go(output="other")
    assert len(place.runs()) == 2
    status, err = go()
    assert (status, "1 line: 1 done before (1 not completed); " in err) == (1, True), err
    assert place.results() == place.results("other")
    assert len(place.runs()) == 2


def test_results_that_the_server_has_forgotten_count_as_done(place, go):
    """It keeps them for a day. That is told."""
    place.write(numbered(1, 2))
    go()
    place.queue += "-empty"  # as if the server had forgotten all of it
    place.write(numbered(1, 2, 3))
    status, err = go()
    assert status == 0
    assert f"2 results are in out of lines that queue {place.queue} does not know, or not any more" in err
    assert "3 lines: 2 done before, 1 completed; " in err
    assert len(place.runs()) == 3


def test_two_runs_of_the_same_lines_share_the_work(place):
    """Each writes all results, each line is run once."""
    place.write(numbered(*range(40), seconds=0.05))
    first = place.start(*place.words(concurrency=3))
    second = place.start(*place.words(concurrency=3, output="out2", backend="trio"))
    for child in (first, second):
        assert child.communicate(timeout=50)[1].count(b"lines: ") == 1
        assert child.returncode == 0
    assert place.numbers("out") == place.numbers("out2") == Counter(range(1, 41))
    assert len(place.runs()) == 40
    assert len({process for _, process in place.runs()}) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_lines_of_a_killed_run_run_once_in_the_output(place, backend):
    """The same command completes them, after the lease."""
    place.write(numbered(*range(40), seconds=0.1))
    words = place.words(concurrency=4, lease=1, backend=backend)
    child = place.start(*words)
    until(lambda: (place.folder / "out").exists() and len((place.folder / "out").read_bytes().splitlines()) >= 8)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    status, _, err = place.run(*words)
    assert status == 0, err
    assert "40 lines: " in err
    assert place.numbers() == Counter(range(1, 41))
    assert place.counts() == {"completed": 40}
    assert len(place.runs()) <= 44


def test_workers_run_the_lines_and_one_of_them_is_killed(place):
    """This process only submits. Each line has one result."""
    environment = {"LIONPRIDE_CLUSTER_URL": place.server.url, "LEASE": "1"}
    workers = [place.start_worker(**environment)[0] for _ in range(2)]
    place.write([{"number": number, "seconds": 0.1} for number in range(50)])
    child = place.start(*place.words("Fetch", no_work=True))
    until(lambda: len({process for _, process in place.runs()}) == 2)
    workers[0].kill()
    err = child.communicate(timeout=50)[1].decode()
    assert child.returncode == 0, err
    assert "50 lines: 50 completed; " in err
    assert place.numbers() == Counter(range(1, 51))
    assert {result["response"] for result in place.results()} == {2 * number for number in range(50)}
    assert 50 <= len(place.runs()) <= 54
    workers[1].terminate()
    assert workers[1].wait() == 130


def test_a_server_that_is_killed_and_started_again_costs_nothing(tmp_path):
    """Nor does one that does not answer for some seconds. Both runs go on, and each line has one result."""
    server = Server("--appendfsync", "always").start()
    try:
        place = Runs(tmp_path, server)
        place.write(numbered(*range(300), seconds=0.05))
        children = [
            place.start(*place.words(concurrency=5, **options), program=LENIENT)
            for options in ({}, {"output": "out2", "backend": "trio"})
        ]
        until(lambda: len(place.runs()) > 50)
        server.kill()
        server.start()
        until(lambda: len(place.runs()) > 150)
        server.pause()
        time.sleep(3)  # the outage, in real time
        server.go_on()
        for child in children:
            err = child.communicate(timeout=50)[1].decode()
            assert child.returncode == 0, err
        assert place.numbers("out") == place.numbers("out2") == Counter(range(1, 301))
        assert len(place.runs()) == 300
    finally:
        server.stop()


def test_a_queue_without_workers_is_told(place):
    """And one that is paused. The run goes on once there is a worker."""
    place.write([{"number": 1}])
    child = place.start(*place.words("Fetch", no_work=True))
    seen = read_until(child.stderr, b"has no worker")
    assert f"queue {place.queue} has no worker: lines wait there until that changes" in seen.decode()
    worker, _ = place.start_worker(LIONPRIDE_CLUSTER_URL=place.server.url)
    assert b"1 line: 1 completed" in child.communicate(timeout=50)[1]
    assert child.returncode == 0
    worker.kill()
    run_command(["cluster", "pause", "--queue", place.queue, "--url-file", "url"])
    place.write([{"number": 2}])
    child = place.start(*place.words("Fetch", changed_input=True))
    assert b"is paused: lines wait" in read_until(child.stderr, b"paused")
    until(lambda: place.counts().get("pending"))
    child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=50)[1]
    assert b"1 pending; " in err
    assert child.returncode == 130


def test_ctrl_c_lets_finish_what_runs_here_and_the_rest_stays_in_the_queue(place):
    """The same command goes on."""
    place.write([*numbered(0, 1, seconds=1), *numbered(*range(2, 20))])
    words = place.words(concurrency=2)
    child = place.start(*words)
    until(lambda: len(place.runs()) == 2)
    child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=50)[1].decode()
    assert child.returncode == 130
    assert "stopping; 2 running here may finish, Ctrl-C again cancels; what is in the queue goes on elsewhere" in err
    assert "20 lines: 2 completed, 18 pending; " in err
    assert err.rstrip().endswith("run the same command again to go on")
    assert place.numbers() == {1: 1, 2: 1}
    assert place.run(*words)[0] == 0
    assert place.numbers() == Counter(range(1, 21))
    assert len(place.runs()) == 20


def test_a_second_ctrl_c_gives_back_what_runs_here(place):
    """It is not ended by that."""
    place.write(numbered(1, seconds=60))
    child = place.start(*place.words())
    until(place.runs)
    child.send_signal(signal.SIGINT)
    read_until(child.stderr, b"stopping")
    child.send_signal(signal.SIGTERM)
    err = child.communicate(timeout=50)[1].decode()
    assert child.returncode == 130
    assert "cancelling what runs" in err
    assert "1 line: 1 pending; " in err
    assert place.counts() == {"pending": 1}
    assert place.results() == []


def test_lines_from_a_pipe_go_on_too(place):
    """The output tells which of them are done. What the pipe lacks is told at its end."""
    place.write(numbered(1, 2, 3))
    for records, told in ((b'{"n": 1}\n{"n": 2}\n', "2 lines: 2 completed; "), (b'{"n": 2}\n{"n": 3}\n', "2 lines: ")):
        child = place.start(*place.words(source="-"), stdin=subprocess.PIPE)
        err = child.communicate(records, timeout=50)[1].decode()
        assert (child.returncode, told in err) == (0, True), err
    assert "1 of the 2 lines that out knew were not in standard input" in err
    assert [number for number, _ in place.runs()] == [1, 2, 3]
    assert len(place.results()) == 3


def test_lines_are_known_by_an_id(place, go):
    """A record that has changed is not run again then."""
    place.write([{"n": 1, "id": "a"}, {"n": 2, "id": "b"}])
    assert go(record_id="id")[0] == 0
    place.write([{"n": 5, "id": "b"}, {"n": 3, "id": "c"}, {"n": 3, "id": "c"}])
    status, err = go(record_id="id")
    assert status == 1
    assert "line 3: id 'c' is also on line 2" in err
    assert "1 line is in out but not in INPUT any more" in err
    assert [number for number, _ in place.runs()] == [1, 2, 3]


def test_plain_lines_and_redacted_fields(place, go):
    """As in any run. What is redacted is in no result."""
    (place.folder / "plain").write_text("one\ntwo\n")
    assert go("echo", "plain", field="record")[0] == 0
    assert sorted(result["response"] for result in place.results()) == ["one", "two"]
    place.write([{"n": 1, "key": "open sesame", "fail": 1}])
    place.queue += "x"
    assert go("echo", output="out2", redact=("key",))[0] == 0
    assert go("echo", output="out2", redact=("key",))[0] == 0
    assert "sesame" not in (place.folder / "out2").read_text()
    (result,) = place.results("out2")
    assert (result["record"]["key"], result["response"]["key"]) == ("***", "***")


def test_a_timeout_and_a_priority_go_with_the_line(place, go):
    """A process that has not been told of them heeds them."""
    place.write([*numbered(1, seconds=60, p=5), *numbered(2, p=1)])
    child = place.start(*place.words(no_work=True, timeout=0.2, priority="p", progress="none"))
    until(lambda: place.counts() == {"pending": 2})
    other = place.start(*place.words(source="-", output="none", concurrency=1), stdin=subprocess.PIPE)
    other.stdin.write(b'{"n": 9}\n')  # and it is not closed, so that the process goes on
    other.stdin.flush()
    err = child.communicate(timeout=50)[1].decode()
    assert "2 lines: 1 completed, 1 cancelled; " in err
    numbers = [number for number, _ in place.runs()]
    assert numbers.index(2) < numbers.index(1)
    other.communicate(timeout=50)
    assert other.returncode == 0


def test_a_rate_holds_for_all_runs_together(place):
    """With the same options, they have one limit."""
    place.write(numbered(*range(15)))
    place.write(numbered(*range(15, 30)), "in2")
    words = {"target": "moment", "rate": ("10/500ms",)}
    children = [place.start(*place.words(**words)), place.start(*place.words(source="in2", output="out2", **words))]
    for child in children:
        err = child.communicate(timeout=50)[1].decode()
        assert child.returncode == 0, err
    times = sorted(result["response"] for name in ("out", "out2") for result in place.results(name))
    assert len(times) == 30
    assert min(later - earlier for earlier, later in zip(times, times[10:], strict=False)) > 0.4


def test_bad_lines_are_told(place, go):
    """Those that are no records, and those that the cluster cannot keep. The others run."""
    (place.folder / "in").write_text('{"number": 1}\nno json\n{"number": {}}\n{"other": 1}\n{"number": 2}\n')
    status, err = go("Fetch")
    assert status == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()[:3]] == ["line 2", "line 3", "line 4"]
    assert "5 lines: 2 completed, 3 bad lines; " in err
    assert sorted(result["response"] for result in place.results()) == [1, 2]


def test_the_lines_of_another_target_are_refused(place, go):
    """They have the same keys. So each target has a queue of its own."""
    place.write(numbered(1))
    assert go("work")[0] == 0
    status, err = go("echo", output="out2")
    assert status == 2
    assert f"queue {place.queue} knows line 1 as that of another target (tag 'run:work', event " in err
    assert "): give another --queue; and another --output, if out2 has the results of that target" in err
    assert not (place.folder / "out2").exists() or not (place.folder / "out2").read_text()
    place.write(numbered(2))
    assert go("echo", output="out2")[0] == 0, "the lines that have ended are in nobody's way"


def test_a_queue_in_which_events_of_another_target_wait_is_refused(place, go):
    """Although no line is in both: this process would take the events, and could not run them."""
    place.write(numbered(1))
    child = place.start(*place.words("work", no_work=True, progress="none"))
    until(lambda: place.counts() == {"pending": 1})
    place.write(numbered(2))
    status, err = go("echo", output="out2")
    assert status == 2
    assert f"in queue {place.queue} wait events of another target (tag 'run:work', event " in err
    assert "cannot run them. Give another --queue; or --no-work, if lionpride-exec worker runs both" in err
    assert not (place.folder / "out2").exists() or not (place.folder / "out2").read_text()
    beside = place.start(*place.words("echo", output="out2", no_work=True, progress="none"))
    until(lambda: place.counts() == {"pending": 2})
    for one in (child, beside):
        one.send_signal(signal.SIGINT)
        assert one.wait(20) == 130


def test_an_input_without_the_lines_of_the_output_is_refused(place, go):
    """Unless it is asked for."""
    place.write(numbered(1, 2))
    go()
    place.write(numbered(3))
    before = (place.folder / "out").read_bytes()
    status, err = go()
    assert status == 2
    assert "INPUT has none of the 2 lines that have a result in out" in err
    assert (place.folder / "out").read_bytes() == before
    status, err = go(changed_input=True)
    assert status == 0
    assert "2 lines are in out but not in INPUT any more: not run, not counted" in err
    assert len(place.results()) == 3
    (place.folder / "out").write_text("no result\n")
    assert go()[0] == 2


def test_an_output_has_one_run_at_a_time(place, go):
    """Two would mix their results."""
    place.write(numbered(1, seconds=60))
    child = place.start(*place.words())
    until(place.runs)
    status, err = go()
    assert (status, err) == (2, "lionpride-exec: another run writes out; give another --output\n")
    child.kill()
    child.wait()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "-"}, "--cluster needs --output FILE, which the next run can go on with"),
        ({"overwrite": True}, "--overwrite and --cluster exclude each other"),
        ({"journal": "j.db"}, "--journal and --cluster exclude each other: the server keeps the lines"),
        ({"journal_sync": "normal"}, "--journal-sync and --cluster exclude each other: there is no journal"),
        ({"max_errors": "5"}, "--max-errors and --cluster exclude each other: other workers would go on"),
        ({"event_fields": "id,timeout"}, "--event-fields id and --cluster exclude each other"),
        ({"no_work": True, "concurrency": 5}, "--concurrency does nothing with --no-work: the workers have limits"),
        ({"no_work": True, "rate": ("5/s",)}, "--rate does nothing with --no-work"),
        ({"no_work": True, "retries": 2}, "--retries does nothing with --no-work"),
        ({"no_work": True, "pause_on": ("429",)}, "--pause-on does nothing with --no-work"),
        ({"queue": "two words"}, "--cluster url: queue must be a printable text without spaces and braces"),
        ({"lease": 0.5}, "--cluster url: lease must be 1 s or more, got 0.5"),
        ({"cluster": "nowhere"}, "--cluster nowhere: url_file cannot be read: "),
        (
            {"cluster": "redis://user:hidden@host"},
            "the URL of a server must not be an argument, since ps shows arguments",
        ),
        ({"cluster": "--quiet"}, "--cluster got '--quiet', which looks like an option"),
        ({"target": "NoCluster"}, "cannot make NoCluster(processor_config=..., cluster=...): TypeError: "),
        ({"target": "nothing"}, "target.py has no 'nothing'"),
    ],
)
def test_what_makes_no_sense_is_refused(place, go, options, message):
    """Nothing is run, and no output is made."""
    place.write(numbered(1))
    status, err = go(**options)
    assert status == 2
    assert err.startswith(f"lionpride-exec: {message}")
    assert "hidden" not in err
    assert not (place.folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_work": True}, "--no-work does nothing without --cluster"),
        ({"lease": 5}, "--lease does nothing without --cluster"),
        ({"record_id": "n"}, "--id does nothing without --journal or --cluster"),
        ({"queue": "crawl"}, "--queue must be a whole number (or with --cluster a name), got 'crawl'"),
    ],
)
def test_what_needs_a_cluster_is_refused_without(place, capfd, options, message):
    """The message says so."""
    place.write(numbered(1))
    assert run_command(["run", "target.py:work", "in", *arguments_of(options)]) == 2
    assert capfd.readouterr().err == f"lionpride-exec: {message}\n"


def test_a_cluster_without_a_secret_is_refused(place, go):
    """The environment has it."""
    place.write(numbered(1))
    place.environment["LIONPRIDE_CLUSTER_SECRET"] = ""
    status, err = go()
    assert status == 2
    assert err.startswith("lionpride-exec: --cluster url: a cluster needs a secret: ")


def test_a_record_that_somebody_has_forged_is_not_believed(place, go):
    """The line is told as one that cannot be run."""
    place.write(numbered(1))
    go()
    (place.folder / "out").unlink()
    (name,) = place.ask(lambda queue: queue.wire.command(lambda client: client.keys(f"{queue.prefix}o:*")))
    place.ask(lambda queue: queue.wire.command(lambda client: client.set(name, b"\1" + bytes(80))))
    status, err = go()
    assert status == 1
    assert "line 1: ExistsError: the key belongs to event" in err
    assert "its signature is not one of the secrets here" in err
    assert place.results() == []


def test_a_server_that_is_not_reached_is_told_at_once(place):
    """Without the password, and the output stays as it was. A Ctrl-C ends the wait."""
    (place.folder / "url").write_text("redis://user:hidden@127.0.0.1:1\n")
    place.write(numbered(1))
    child = place.start(*place.words(), program=LENIENT)
    told = child.stderr.readline()
    assert told.startswith(b"lionpride-exec: redis://127.0.0.1:1 is not reached, trying until ")
    assert b" UTC (30 s): " in told
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (130, b"")
    assert err.startswith(b"lionpride-exec: stopping before the first line\n")
    assert b"hidden" not in told + err
    assert not (place.folder / "out").exists()


def test_a_server_that_loses_its_data_ends_the_run(tmp_path, protected_server, monkeypatch):
    """One line tells it, and the exit status is 1."""
    address = protected_server.url.rpartition("@")[2]
    place = Runs(tmp_path, protected_server)
    monkeypatch.chdir(tmp_path)
    place.write(numbered(1, seconds=60))
    child = place.start(*place.words())
    until(place.runs)
    place.ask(lambda queue: queue.wire.command(lambda client: client.flushall()))
    err = child.communicate(timeout=30)[1].decode()
    assert child.returncode == 1
    assert f"lionpride-exec: redis://{address} has lost the data of this queue; stopped\n" in err
    assert "hidden" not in err
    assert "Traceback" not in err


def test_the_progress_tells_how_many_workers_there_are():
    """Of a run on a cluster."""
    assert "  3 workers  " in cli_summary.Tally(workers=3).view().text
    assert "worker" not in cli_summary.Tally().view().text


def test_ten_thousand_lines_are_in_the_queue_at_a_time(place):
    """More are read as these end."""
    place.write({"number": number} for number in range(10_100))
    child = place.start(*place.words("Fetch", no_work=True, progress="none"))
    until(lambda: place.counts().get("pending") == 10_000, seconds=60)
    time.sleep(1)  # another process could read on, in real time
    assert place.counts() == {"pending": 10_000}
    worker, _ = place.start_worker(LIONPRIDE_CLUSTER_URL=place.server.url)
    until(lambda: sum(place.counts().values()) == 10_100, seconds=60)
    worker.kill()
    child.kill()
