"""``lionpride-exec run`` with a function that is not async: --threads and --processes."""

import json
import os

import pytest
from commands import run

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])

TARGETS = """
import os, threading
from lionpride_exec import Event

class Wrong(Exception):
    pass

def parse(record):
    if record == "bad":
        raise Wrong(f"no {record}")
    return [record, os.getpid(), threading.current_thread() is threading.main_thread()]

async def fetch(record):
    return record

class Parse(Event, run_in="process"):
    text: str
    def _invoke(self):
        return [self.text, os.getpid(), True]
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets and an input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain_targets.py").write_text(TARGETS)
    (tmp_path / "input").write_text("".join(f"{json.dumps(one)}\n" for one in [1, 2, "bad", *range(3, 50)]))
    (tmp_path / "texts").write_text('{"text": "a"}\n{"text": "b"}\n')
    return tmp_path


def results_of(path):
    """Return the results by record."""
    results = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {result["record"] if result["record"] != {} else None: result for result in results if result["record"]}


@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"processes": 2}], ids=["default", "threads", "processes"])
@pytest.mark.parametrize("target", ["plain_targets.py:parse", "plain_targets:parse"])
def test_a_plain_function_runs_outside_of_the_loop(target, options, backend, workplace):
    """Of a file or a module. Results and errors are those of any function."""
    assert run(target, "input", output="out", backend=backend, quiet=True, **options) == 1
    results = results_of(workplace / "out")
    assert len(results) == 50
    record, process, is_main = results[7]["response"]
    assert record == 7
    if "processes" in options:
        assert process != os.getpid()
    else:
        assert (process, is_main) == (os.getpid(), False)
    assert results["bad"]["error"]["error"] == "Wrong"
    assert results["bad"]["error"]["message"] == "no bad"


@pytest.mark.parametrize("options", [{"threads": 2}, {"processes": 2}], ids=["threads", "processes"])
@pytest.mark.parametrize("journal", [None, "run.db"])
def test_an_error_is_told_from_the_code_of_the_user_on(options, journal, backend, workplace, capsys):
    """No frame of this package is in what standard error and the results say, in whichever process it was raised."""
    more = {} if journal is None else {"journal": journal}
    target = "plain_targets.py:parse"
    assert run(target, "input", output="out", backend=backend, progress="none", traceback=True, **more, **options) == 1
    told = [line.strip() for line in capsys.readouterr().err.partition("errors:")[2].splitlines()]
    kept = results_of(workplace / "out")["bad"]["error"]["traceback"]
    for lines in (told[1:], [line.strip() for line in kept.splitlines()]):
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1].endswith('plain_targets.py", line 10, in parse')
        assert lines[-1].endswith("Wrong: no bad")
        assert sum(line.startswith("File ") for line in lines) == 1


def test_an_event_class_with_a_plain_invoke(backend, workplace):
    """Its class says where it runs, the option how many."""
    target = "plain_targets:Parse"
    assert run(target, "texts", output="out", backend=backend, quiet=True, processes=1) == 0
    lines = [json.loads(line) for line in (workplace / "out").read_text("utf-8").splitlines()]
    assert sorted(line["response"][0] for line in lines) == ["a", "b"]
    assert os.getpid() not in {line["response"][1] for line in lines}


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("plain_targets:fetch", {"threads": 2}, "--threads is for a plain function (def), or for an event class with"),
        ("plain_targets:fetch", {"processes": 2}, "--processes is for a plain function (def)"),
        ("plain_targets:Parse", {"threads": 2}, "with run_in='thread'; Parse is neither"),
        ("plain_targets:parse", {"threads": 0}, "--threads must be 1 or more, got 0"),
        ("plain_targets:parse", {"threads": 1, "processes": 1}, "--threads and --processes exclude each other"),
    ],
)
def test_wrong_use(target, options, message, backend, workplace, capsys):
    """Refused before the run begins."""
    assert run(target, "input", output="out", backend=backend, quiet=True, **options) == 2
    assert message in capsys.readouterr().err
    assert not (workplace / "out").exists()
