"""The command line: ``lionpride-exec run``."""

import gc
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import cli_children
import pytest
from cli_children import end_children, gate, read_until
from commands import run, virtual_time

import lionpride_exec.__main__ as command
from lionpride_exec.testing import BACKENDS

TARGETS = """
import sys, os, threading, anyio
from pathlib import Path
from lionpride_exec import Deny, Event, Executor, Processor

async def echo(record): return record
async def fail(record): raise LookupError(f"no {record}")
async def sleep(record): await anyio.sleep(record)
async def leave(record):
    if record == "leave": sys.exit("bye")
    if record == "interrupt": raise KeyboardInterrupt
    return record
async def odd(record): return odd_values[record]
def sync(record): return record
async def chunks(record): yield record
async def two(first, second): ...
number = 5

class Call:
    async def __call__(self, record): return "called"
call = Call()

class Deep:
    async def method(self, record): return "deep"
    inner = None
    instance = None
Deep.instance = Deep()

def nested(depth):
    value = []
    for _ in range(depth): value = [value]
    return value

odd_values = {"nan": [float("nan"), {"a": float("inf")}], "object": object(), "bytes": b"\\xff",
              "surrogate": "\\udcff", "deep": nested(100_000), "long": 10 ** 5000, "set": {1}, 1: 2}

class Fetch(Event):
    url: str
    size: int = 0
    async def _invoke(self): return f"{self.url}:{self.size}:{self.timeout}"

class Nothing(Event): pass

class Denying(Processor):
    event_type = Fetch
    async def request_permission(self, **request): return Deny("closed")
class DenyingExecutor(Executor): processor_type = Denying

class FetchProcessor(Processor): event_type = Fetch
class SkippingExecutor(Executor):
    processor_type = FetchProcessor
    async def append(self, event, priority=None, *, wait=False):
        self.pause()
        await super().append(event, priority, wait=wait)
        event.status = "skipped"
        self.resume()

class Following(Event):
    again: bool = True
    async def _invoke(self):
        if self.again: await executors[0].append(Following(again=False))
executors = []
class FollowingProcessor(Processor): event_type = Following
class FollowingExecutor(Executor):
    processor_type = FollowingProcessor
    def __init__(self, **kw):
        super().__init__(**kw)
        executors.append(self)

class Unfinished(Executor): pass
class NeedsMore(Processor):
    event_type = Fetch
    def __init__(self, *, token, **kw): super().__init__(**kw)
class NeedsMoreExecutor(Executor): processor_type = NeedsMore

most = 0
class Echo(Event):
    number: int
    async def _invoke(self): return self.number
class EchoProcessor(Processor): event_type = Echo
class CountingExecutor(Executor):
    processor_type = EchoProcessor
    async def append(self, event, priority=None, *, wait=False):
        global most
        await super().append(event, priority, wait=wait)
        most = max(most, len(self.states.items))

class Large:
    # Has large results. The record "read" waits until nothing goes on, then has a thread read the pipe.
    started = read = 0
    async def __call__(self, record):
        self.started += 1
        if record == "read":
            await anyio.wait_all_tasks_blocked()
            self.started_by_then = self.started
            self.reader = threading.Thread(target=self.read_all, args=(int(Path("pipe").read_text()), ))
            self.reader.start()
        return "x" * 100_000
    def read_all(self, fd):
        while self.read < 101: self.read += os.read(fd, 1 << 20).count(b"\\n")
large = Large()

order = []
async def note(record):
    order.append(record["name"])
"""

# For child processes: an event says that it runs, and waits until a byte stands in the pipe.
GATED = """
import os, sys, anyio
async def gated(record):
    print("started", record, file=sys.stderr, flush=True)
    await anyio.wait_readable(int(os.environ["GATE"]))
    return record
async def echo(record): return record
"""


@pytest.fixture(autouse=True)
def no_child_is_left():
    """End the processes that a failed test leaves behind."""
    yield
    end_children()


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with the targets, and an unchanged interpreter afterwards."""
    (tmp_path / "targets.py").write_text(TARGETS)
    (tmp_path / "gated.py").write_text(GATED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("lionpride_exec_target_") or name == "targets":
            del sys.modules[name]


def run_lines(name, lines, **options):
    """Run a target of ``targets.py`` over lines; give the exit status and the results by line number."""
    path = Path("input")
    path.write_bytes(lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode())
    options = {"output": "results", "overwrite": True, "quiet": True} | options
    status = run(f"targets.py:{name}", "input", **options)
    results = read_results("results") if options["output"] == "results" else []
    return status, {result["line"]: result for result in results}


def read_results(path):
    """Read JSON lines, with nothing allowed that JSON does not have."""

    def refuse(name):
        raise AssertionError(name)

    lines = Path(path).read_text("utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


# -------------------------------------------------------------------- targets and records


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_function_runs_over_json_lines(backend):
    """Each value is the record; each result holds record, status, response, duration and line number."""
    status, results = run_lines("echo", ['{"a": 1}', "[2]", '"three"', "null"], backend=backend)
    assert status == 0
    assert [results[n]["response"] for n in (1, 2, 3, 4)] == [{"a": 1}, [2], "three", None]
    assert all(result["record"] == result["response"] for result in results.values())
    assert all(result["status"] == "completed" and result["duration"] >= 0 for result in results.values())
    assert list(results[1]) == ["record", "status", "response", "duration", "line"]


@pytest.mark.parametrize("name", ["call", "Deep.instance.method"])
def test_anything_awaitable_of_one_record_is_a_function(name):
    """An object with an async __call__ and a bound method found by a dotted name."""
    assert run_lines(name, ["1"])[0] == 0


def test_a_module_is_found_in_the_current_directory():
    """``module:name`` is imported as by a script that stands here."""
    Path("input").write_text("1\n")
    assert run("targets:echo", "input", output="results", quiet=True) == 0
    assert "targets" in sys.modules


def test_a_file_is_loaded_under_a_stable_name():
    """Its module is in sys.modules, named after the file, and hides no other module."""
    assert run_lines("echo", ["1"])[0] == 0
    assert "lionpride_exec_target_targets" in sys.modules


def test_a_file_finds_the_modules_beside_it(workplace):
    """The directory of the file is on sys.path, as for a script."""
    (workplace / "below").mkdir()
    (workplace / "below" / "helper_of_below.py").write_text("async def echo(record): return record")
    (workplace / "below" / "main.py").write_text("from helper_of_below import echo")
    (workplace / "input").write_text("1\n")
    assert run("below/main.py:echo", "input", output="results", quiet=True) == 0
    del sys.modules["helper_of_below"]


def test_an_event_is_filled_from_the_record():
    """Keys become fields, those of every event included where ``--event-fields`` names them."""
    lines = [
        '{"url": "a"}',
        json.dumps({"url": "b", "size": 3, "timeout": 9.0, "metadata": {"k": 1}, "id": str(uuid4())}),
    ]
    status, results = run_lines("Fetch", lines, event_fields="id,timeout,metadata")
    assert status == 0
    assert [results[n]["response"] for n in (1, 2)] == ["a:0:None", "b:3:9.0"]


def test_a_plain_line_fills_the_field():
    """``--field``: the record is an object with that one key, for an event."""
    status, results = run_lines("Fetch", ["http://x y ", ' {"url": 1}'], field="url")
    assert status == 0
    assert results[1]["record"] == {"url": "http://x y "}
    assert results[2]["response"] == ' {"url": 1}:0:None'


def test_a_function_gets_a_plain_line_as_text():
    """``--field``: whatever its name, the record of a function is the line."""
    status, results = run_lines("echo", ["one", "2"], field="any")
    assert status == 0
    assert [results[n]["record"] for n in (1, 2)] == ["one", "2"]


def test_an_executor_runs_its_own_events():
    """An Executor subclass brings its processor: here one that refuses everything."""
    status, results = run_lines("DenyingExecutor", ['{"url": "a"}'])
    assert status == 1
    assert results[1]["status"] == "aborted"
    assert results[1]["error"]["message"] == "closed"
    assert results[1]["duration"] is None


def test_events_that_events_append_are_written_too():
    """They belong to no line."""
    status, results = run_lines("FollowingExecutor", ["{}"])
    assert status == 0
    assert results[None]["status"] == "completed"
    assert results[None]["record"] is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("targets", "must be module:name"),
        (":echo", "must be module:name"),
        ("targets:", "must be module:name"),
        ("no_such_module:x", "cannot import no_such_module: ModuleNotFoundError"),
        ("no/such.py:x", "no such file"),
        ("targets.py:no_such_name", "has no 'no_such_name'"),
        ("targets.py:number", "is a int; expected a function"),
        ("targets.py:Call", "is the class Call; expected"),
        ("targets.py:Denying", "is the class Denying; expected"),
        ("targets.py:chunks", "is an async generator"),
        ("targets.py:two", "one record as its only required argument"),
        ("targets.py:Nothing", "has no _invoke()"),
        ("targets.py:Unfinished", "needs a class attribute processor_type"),
        ("targets.py:NeedsMoreExecutor", "token"),
        ("broken.py:x", "ZeroDivisionError: division by zero"),
        ("leaving.py:x", "SystemExit: 3"),
        ("syntax.py:x", "SyntaxError"),
    ],
)
def test_a_target_that_cannot_be_run_is_wrong_use(workplace, capsys, target, message):
    """One line says what is wrong; the status is 2; no output is made."""
    (workplace / "broken.py").write_text("1 / 0")
    (workplace / "leaving.py").write_text("raise SystemExit(3)")
    (workplace / "syntax.py").write_text("def")
    (workplace / "input").write_text("1\n")
    assert run(target, "input", output="results", quiet=True) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "lionpride_exec_target_broken" not in sys.modules


# -------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b"nan", "not JSON"),
        (b'{"url": NaN}', "NaN is not a JSON number"),
        (b'{"url": "\xff"}', "not UTF-8: byte 0xff at column 10"),
        (b"[" * 100_000, "nested more than 500 levels deep"),
        (b"[1]", "must be a JSON object, got list"),
        (b"{}", "does not fit Fetch: TypeError"),
        (b'{"url": "a", "color": 1}', "does not fit Fetch: Fetch has no field 'color'"),
    ],
)
def test_a_bad_line_is_told_and_the_run_goes_on(capsys, line, message):
    """Its number and what is wrong stand on standard error, the others are run, the status is 1."""
    status, results = run_lines("Fetch", b'{"url": "a"}\n' + line + b'\n{"url": "b"}\n')
    assert status == 1
    assert sorted(results) == [1, 3]
    error = capsys.readouterr().err
    assert error.startswith("lionpride-exec: line 2: ")
    assert message in error


def test_an_id_that_is_in_use_is_a_bad_line(capsys):
    """Two lines with one id: the first is run."""
    line = json.dumps({"url": "a", "id": str(uuid4())})
    status, results = run_lines("Fetch", [line, line], event_fields="id")
    assert (status, sorted(results)) == (1, [1])
    assert "line 2: there is an event with the id" in capsys.readouterr().err


def test_a_bad_line_cannot_steer_the_terminal(capsys):
    """Control characters out of a record are shown, not sent."""
    run_lines("Fetch", [json.dumps({"url": "a", "\x1b[2J": 1})])
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert "\\x1b[2J" in error


def test_blank_lines_are_skipped_and_counted_as_lines():
    """The numbers are those of an editor; white space is blank for JSON, but a value for plain lines."""
    assert sorted(run_lines("echo", b"\n1\n  \n2")[1]) == [2, 4]
    assert sorted(run_lines("echo", b"\na\n  \nb", field="x")[1]) == [2, 3, 4]


def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_line():
    """As text files from elsewhere have them."""
    _, results = run_lines("echo", b"\xef\xbb\xbfa\r\nb\r\n", field="x")
    assert [results[n]["record"] for n in (1, 2)] == ["a", "b"]


def test_a_line_may_be_longer_than_what_is_read_at_once():
    """Lines are put together over the borders of reads."""
    long = "x" * 3_000_000
    _, results = run_lines("echo", ["a", long, "b"], field="x")
    assert [results[n]["record"] for n in (1, 2, 3)] == ["a", long, "b"]


def test_no_lines_at_all_is_a_success():
    """Nothing to do is done."""
    assert run_lines("echo", b"") == (0, {})


def test_odd_bytes_of_a_plain_line_survive():
    """A name that is no UTF-8 comes through, and its result is valid JSON in valid UTF-8."""
    status, results = run_lines("echo", b"caf\xe9\n\xc3\xa9\n", field="x")
    assert status == 0
    assert results[1]["record"].encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert results[2]["record"] == "é"


@pytest.mark.parametrize("source", ["missing", ".", "input/x"])
def test_an_input_that_cannot_be_read_is_wrong_use(workplace, capsys, source):
    """Missing, a directory, below a file."""
    (workplace / "input").write_text("")
    assert run("targets.py:echo", source, output="results") == 2
    assert f"cannot read {source}: " in capsys.readouterr().err
    assert not (workplace / "results").exists()


# -------------------------------------------------------------------- options


def test_the_timeout_is_for_every_event_that_does_not_say_otherwise():
    """``--timeout``; the record's own wins."""
    status, results = run_lines("Fetch", ['{"url": "a"}', '{"url": "b", "timeout": 7}'], timeout=5.0)
    assert status == 0
    assert [results[n]["response"] for n in (1, 2)] == ["a:0:5.0", "b:0:7"]


def test_an_event_that_takes_too_long_is_cancelled():
    """Its error says so; the status is 1."""
    status, results = run_lines("sleep", ["60", "0"], timeout=0.05)
    assert status == 1
    assert results[1]["status"] == "cancelled"
    assert results[1]["error"]["error"] == "LionTimeoutError"
    assert results[2]["status"] == "completed"


def test_priority_is_read_from_the_record():
    """Lower runs first, among what is queued; the field itself need not be one of the event's."""
    lines = [json.dumps({"name": name, "rank": rank}) for name, rank in [("c", 3), ("a", -1.5), ("b", 2)]]
    status, _ = run_lines("note", lines, priority="rank", concurrency=1)
    assert status == 0
    assert sorted(sys.modules["lionpride_exec_target_targets"].order) == ["a", "b", "c"]
    assert sys.modules["lionpride_exec_target_targets"].order[-2:] == ["b", "c"]
    assert (
        run_lines("Fetch", ['{"url": "a", "rank": 1}', '{"url": "b", "size": 1, "rank": 1}'], priority="rank")[0] == 0
    )


@pytest.mark.parametrize("value", ["", ', "p": null', ', "p": "1"', ', "p": true', ', "p": 1e999', f', "p": {10**400}'])
def test_a_priority_that_is_no_finite_number_is_a_bad_line(capsys, value):
    """Missing, of another type, or too large."""
    status, results = run_lines("echo", [f'{{"a": 1{value}}}', '{"p": 1}'], priority="p")
    assert (status, sorted(results)) == (1, [2])
    assert "line 1: priority 'p' must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "Concurrency limit must be >= 1"),
        ({"capacity": 0}, "Queue capacity"),
        ({"capacity": 10_001}, "Queue capacity"),
        ({"window": float("nan")}, "Capacity refresh time"),
        ({"window": 0.0}, "Capacity refresh time"),
        ({"queue": 0}, "Max queue size"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout"),
        ({"field": "a", "priority": "b"}, "--priority needs JSON records"),
        (
            {"field": "color"},
            "no such field; it has created_at, id, idle_timeout, metadata, size, streaming, timeout, url",
        ),
        ({"field": "execution"}, "no such field"),
        ({"output": "--quiet"}, "looks like an option"),
        ({"output": "no/such/directory"}, "cannot write no/such/directory: No such file"),
        ({"output": "input"}, "is the input"),
    ],
)
def test_wrong_options_are_wrong_use(workplace, capsys, options, message):
    """Each is named; the input is as before."""
    (workplace / "input").write_text('{"url": "a"}\n')
    assert run("targets.py:Fetch", "input", **{"output": "results"} | options) == 2
    assert message in capsys.readouterr().err
    assert (workplace / "input").read_text() == '{"url": "a"}\n'


def test_a_backend_that_is_not_installed_is_wrong_use(monkeypatch, capsys):
    """With what to install."""
    monkeypatch.setitem(sys.modules, "trio", None)
    assert run_lines("echo", ["1"], backend="trio", output="-")[0] == 2
    assert "pip install trio" in capsys.readouterr().err


def test_results_go_to_standard_output_by_default(capfd):
    """And nothing else does."""
    assert run_lines("echo", ["1"], output="-", quiet=False, progress="plain")[0] == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["response"] == 1
    assert err.startswith("lionpride-exec: 1 line: 1 completed; ")


def test_an_output_that_is_there_is_replaced(workplace):
    """As the shell's > does, whatever stood in it."""
    (workplace / "results").write_text("x" * 10_000)
    assert sorted(run_lines("echo", ["1"])[1]) == [1]


# -------------------------------------------------------------------- results


def test_a_failure_is_a_result():
    """Status failed and the error; the status is 1."""
    status, results = run_lines("fail", ['"x"'])
    assert status == 1
    assert results[1]["status"] == "failed"
    assert results[1]["error"] == {"error": "LookupError", "message": "no x"}
    assert "response" not in results[1]


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("nan", [None, {"a": None}]),
        ("object", "<unserializable>"),
        ("bytes", "/w=="),
        ("surrogate", "\udcff"),
        ("long", "1" + "0" * 5000),
        ("set", [1]),
    ],
)
def test_any_response_becomes_valid_json(key, written):
    """What JSON cannot hold is replaced; the event is completed all the same."""
    status, results = run_lines("odd", [json.dumps(key)])
    assert status == 0
    assert results[1]["response"] == written


def test_the_record_is_written_as_it_was_read():
    """Nothing is lost by reading and writing a number."""
    line = '{"b": 1.50, "a": 12345678901234567890123456789.0}'
    run_lines("echo", [line])
    assert Path("results").read_text("utf-8").startswith(f'{{"record": {line}, "status": "completed"')


def test_an_event_without_an_error_has_null():
    """Here one whose status was set by hand."""
    _, results = run_lines("SkippingExecutor", ['{"url": "a"}'])
    assert results[1] == {"record": {"url": "a"}, "status": "skipped", "error": None, "duration": None, "line": 1}


def test_readable_text_stays_readable():
    """UTF-8 where it can be, escapes only where it cannot."""
    run_lines("echo", b"\xc3\xa9\n\xe9\n", field="x")
    written = Path("results").read_bytes().splitlines()
    assert [line.partition(b', "status"')[0] for line in written] == [
        '{"record": "é"'.encode(),
        b'{"record": "\\udce9"',
    ]


# -------------------------------------------------------------------- ends


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_that_leaves_ends_the_run(capsys, backend):
    """SystemExit is recorded, the rest is not run, the status is 1."""
    status, results = run_lines("leave", ['"a"', '"leave"', *['"b"'] * 50], backend=backend, concurrency=1)
    assert status == 1
    assert results[2]["status"] == "failed"
    assert results[2]["error"] == {"error": "SystemExit", "message": "bye"}
    assert len(results) < 52
    assert "an event raised SystemExit: bye; stopped" in capsys.readouterr().err


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_keyboard_interrupt_out_of_an_event_is_an_interruption(backend):
    """It is recorded, and the status is 130."""
    status, results = run_lines("leave", ['"interrupt"'], backend=backend)
    assert status == 130
    assert results[1]["status"] == "failed"


def test_reading_that_breaks_off_makes_the_run_incomplete(monkeypatch, capsys):
    """What was read is run and written; the status is 1."""
    reads = iter([b"1\n2\n"])

    def read(fd, size):
        for chunk in reads:
            return chunk
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", read)
    status, results = run_lines("echo", ["1", "2", "3"])
    assert (status, sorted(results)) == (1, [1, 2])
    assert "cannot read on in input after line 2: Input/output error" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_an_output_that_is_full_ends_the_run(capsys):
    """The status is 1 and the reason is told once."""
    assert run_lines("echo", ["1"] * 5000, output="/dev/full")[0] == 1
    assert capsys.readouterr().err.count("cannot write /dev/full: No space left on device") == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_in_memory_is_bounded(backend):
    """Over 20,000 lines the executor holds at most what is queued, what runs, and a few that ended."""
    lines = [json.dumps({"number": number}) for number in range(20_000)]
    status, results = run_lines("CountingExecutor", lines, backend=backend, queue=100, concurrency=10)
    assert status == 0
    assert [results[n]["response"] for n in range(1, 20_001)] == list(range(20_000))
    assert sys.modules["lionpride_exec_target_targets"].most <= 100 + 10 + 256 + 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_reading_waits_for_an_output_that_nobody_takes(backend):
    """Above 1 MiB of unwritten results nothing more is read until somebody takes them; then all are written."""
    lines = ['"read"', *map(str, range(100))]
    reading, writing = os.pipe()
    options = {"output": f"/dev/fd/{writing}", "backend": backend, "concurrency": 2, "queue": 1}
    (Path("pipe")).write_text(str(reading))
    status, _ = run_lines("large", lines, **options)
    os.close(writing)
    large = sys.modules["lionpride_exec_target_targets"].large
    large.reader.join()
    os.close(reading)
    assert status == 0
    assert large.read == len(lines)
    assert 10 < large.started_by_then < 20


def test_after_a_failed_write_nothing_is_written(monkeypatch, capsys):
    """What ends during and after it is dropped, the error is told once, and the file is closed."""
    write, written = os.write, []

    def fail(fd, data):
        if bytes(data[:10]) != b'{"record":':
            return write(fd, data)
        written.append(fd)
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(os, "write", fail)
    assert run_lines("echo", ["1"] * 5000)[0] == 1
    assert capsys.readouterr().err.count("cannot write results: Broken pipe; stopped") == 1
    (fd,) = written
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


# -------------------------------------------------------------------- display


DISPLAYS = [
    ("auto", {}, "plain"),
    ("plain", {}, "plain"),
    ("none", {}, "none"),
    ("rich", {}, "rich"),
    ("rich", {"quiet": True}, "none"),
    ("auto", {"log_level": "info"}, "plain"),
    ("auto", {"log_level": "info", "log_json": True}, "none"),
]


@pytest.mark.parametrize(("kind", "options", "display"), DISPLAYS)
def test_the_display_is_chosen(monkeypatch, capsys, kind, options, display):
    """Auto is plain where there is no terminal; quiet wins. A plain one writes a line that says more than the last."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with virtual_time():
        assert run_lines("sleep", ["12"], progress=kind, **{"quiet": False} | options)[0] == 0
    told = capsys.readouterr().err
    assert told.count("lionpride-exec: 0 done  0.0/s  1 running  0 pending  ") == (1 if display == "plain" else 0)
    assert ("\x1b[" in told) is (display == "rich")


def test_the_time_left_goes_by_how_much_of_a_file_has_been_read(capsys):
    """Each line takes a second: what is told as done and as left is the number of lines."""
    with virtual_time():
        assert run_lines("sleep", ["1"] * 40, concurrency=1, queue=1, quiet=False, progress="plain")[0] == 0
    told = re.findall(r"(\d+) done  .* 0:00:(\d\d) left", capsys.readouterr().err)
    assert len(told) > 5
    assert all(36 <= int(done) + int(left) <= 40 for done, left in told), told


def test_the_first_line_says_no_time_left_while_it_is_unknown(capsys):
    """The capacity would allow the rest in a few seconds, but nobody knows how long a line takes."""
    with virtual_time():
        assert (
            run_lines("sleep", ["1"] * 200, concurrency=5, capacity=50, window=1, quiet=False, progress="plain")[0] == 0
        )
    first, *others = re.findall(r" done .*", capsys.readouterr().err)
    assert "left" not in first
    told = [int(left) for line in others for left in re.findall(r"0:00:(\d\d) left", line)]
    assert told[0] == pytest.approx(30, abs=4)


def test_a_terminal_gets_a_live_display(workplace):
    """On a terminal a bar and counts are drawn while it runs; a bad line and the summary stay."""
    (workplace / "input").write_text('"a"\n{\n"b"\n')
    with gate() as (reading, open_gate):
        leader, follower = pty.openpty()
        arguments = ["run", "gated.py:gated", "input", "--output", "results", "--concurrency", "1"]
        child = start(arguments, reading, stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        seen = b""
        while b"1 running" not in seen:
            seen += os.read(leader, 4096)
        open_gate()
        try:
            while chunk := os.read(leader, 4096):
                seen += chunk
        except OSError:  # how Linux says that the last writer has gone
            pass
        os.close(leader)
        assert child.wait(30) == 1
    assert "━".encode() in seen
    assert b"line 2: not JSON" in seen
    assert b"3 lines: 2 completed, 1 bad line; " in seen


# -------------------------------------------------------------------- the command


def start(arguments, reading=None, **streams):
    """Start the command, for a terminal of a known kind."""
    return cli_children.start(arguments, reading, {"TERM": "xterm", "COLUMNS": "200"}, **streams)


def test_main_gives_the_status_to_the_process(workplace, capfd):
    """``main()`` exits with what the command returns."""
    (workplace / "input").write_text("1\n")
    with pytest.raises(SystemExit) as caught:
        command.main(["run", "targets.py:echo", "input", "--quiet", "--output", "-"])
    assert caught.value.code == 0
    assert json.loads(capfd.readouterr().out)["line"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "targets.py:echo"],
        ["run", "targets.py:echo", "--quiet"],
        ["run", "targets.py:echo", "--bogus"],
        ["run", "targets.py:echo", "input", "--bogus"],
        ["run", "targets.py:echo", "input", "--concurrency", "many"],
        ["run", "targets.py:echo", "input", "--backend", "curio"],
        ["run", "targets.py:echo", "missing"],
        ["walk"],
    ],
)
def test_wrong_arguments_exit_with_2(workplace, capsys, arguments):
    """Those the parser finds, and those we find."""
    (workplace / "input").write_text("1\n")
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version_are_no_errors(capsys, arguments):
    """They exit with 0."""
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert not caught.value.code
    assert capsys.readouterr().out


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing):
    """The status is 2, and there is no traceback."""
    code = f"""
    import sys
    sys.modules[{missing!r}] = None
    from lionpride_exec.__main__ import main
    main(["run", "x:y", "-"])
    """
    arguments = [sys.executable, "-c", dedent(code)]
    child = subprocess.run(arguments, capture_output=True, check=False, timeout=30)  # noqa: S603  our own
    assert child.returncode == 2
    assert b"pip install '.[cli]' (in a clone of lionpride_exec)" in child.stderr
    assert child.stderr.count(b"\n") == 1


def test_standard_input_is_read_from_a_pipe():
    """``-``; results come as their lines do, while the pipe stays open."""
    child = start(["run", "gated.py:echo", "-", "--quiet"], stdin=subprocess.PIPE)
    for number in (1, 2):
        child.stdin.write(b"%d\n" % number)
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["response"] == number
    out, err = child.communicate(b"3", timeout=30)
    assert json.loads(out)["response"] == 3
    assert (child.returncode, err) == (0, b"")


def test_standard_input_may_be_a_file(workplace):
    """Or nothing at all."""
    (workplace / "input").write_text("1\n2\n")
    with Path("input").open("rb") as file:
        child = start(["run", "gated.py:echo", "-"], stdin=file)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out.count(b"\n")) == (0, 2)
    assert b"2 lines: 2 completed" in err
    child = start(["run", "gated.py:echo", "-"])
    assert b"0 lines: nothing to do" in child.communicate(timeout=30)[1]
    assert child.returncode == 0


def test_a_reader_that_goes_away_ends_the_run(workplace):
    """As with ``| head``: no traceback, status 1."""
    (workplace / "input").write_text("1\n" * 200_000)
    child = start(["run", "gated.py:echo", "input"])
    assert child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    assert child.wait(30) == 1
    assert b"cannot write standard output: Broken pipe; stopped" in err
    assert b"Traceback" not in err
    assert b"Exception" not in err
    child.stderr.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once_it_lets_finish_what_runs(workplace, backend, signum):
    """Nothing new starts, what runs is completed and written, the rest is pending; 130."""
    (workplace / "input").write_text("1\n2\n3\n")
    with gate() as (reading, open_gate):
        child = start(["run", "gated.py:gated", "input", "--concurrency", "1", "--backend", backend], reading)
        read_until(child.stderr, b"started 1")
        child.send_signal(signum)
        read_until(child.stderr, b"stopping; 1 running may finish, Ctrl-C again cancels")
        open_gate()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["completed"]
    assert b"started" not in err
    assert b"3 lines: 1 completed, 2 pending" in err


@pytest.mark.parametrize("backend", BACKENDS)
def test_interrupted_twice_it_cancels_what_runs(workplace, backend):
    """What runs ends cancelled and is written; 130."""
    (workplace / "input").write_text("1\n")
    with gate() as (reading, _):
        child = start(["run", "gated.py:gated", "input", "--backend", backend], reading)
        read_until(child.stderr, b"started 1")
        child.send_signal(signal.SIGINT)
        read_until(child.stderr, b"stopping")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    assert b"1 line: 1 cancelled" in err
    assert b"Traceback" not in err


def test_interrupted_three_times_it_leaves(workplace):
    """Even if an event will not be cancelled."""
    (workplace / "stubborn.py").write_text(
        dedent("""
        import sys, anyio
        async def stubborn(record):
            with anyio.CancelScope(shield=True):
                print("started", file=sys.stderr, flush=True)
                await anyio.sleep_forever()
        """)
    )
    (workplace / "input").write_text("1\n")
    child = start(["run", "stubborn.py:stubborn", "input"])
    for awaited in (b"started", b"stopping", b"cancelling"):
        read_until(child.stderr, awaited)
        child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_idle_standard_input_does_not_hold_up_an_interruption(backend):
    """Nothing comes, nothing ends: Ctrl-C still does."""
    child = start(["run", "gated.py:echo", "-", "--backend", backend], stdin=subprocess.PIPE)
    child.stdin.write(b"1\n")
    child.stdin.flush()
    assert child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    child.communicate()


def test_a_program_that_calls_the_command_keeps_its_garbage_collector():
    """Only the command's own process sets the collector up for a run."""
    was_enabled, frozen, threshold = gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()
    gc.disable()
    try:
        with pytest.raises(SystemExit) as caught:
            command.main(["--version"])
        assert caught.value.code == 0
        assert not gc.isenabled()
        assert gc.get_freeze_count() <= frozen  # less where a frozen object has gone since
        assert gc.get_threshold() == threshold
    finally:
        if was_enabled:
            gc.enable()
