"""Whether a run says that it has not read all of INPUT."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint
from commands import run

from lionpride_exec.testing import BACKENDS


async def interrupt(record):
    """Press Ctrl-C once, and give the command the time to stop."""
    if record == 0:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            await checkpoint()


async def leave(_record):
    """End the run at once."""
    raise KeyboardInterrupt


async def refuse(_record):
    """Fail, once there was time to read on."""
    for _ in range(1000):
        await checkpoint()
    raise ValueError


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])


def go(target, lines, **options):
    """Run over so many lines, ten of which are read ahead. Return the summary."""
    Path("input").write_text("".join(f"{n}\n" for n in range(lines)))
    common = {"output": "out", "summary": "sum.json", "progress": "none", "concurrency": 1, "queue": "10"}
    status = run(f"{__name__}:{target}", "input", **common | options)
    found = json.loads(Path("sum.json").read_text())
    assert found["exit_status"] == status == (1 if target == "refuse" else 130)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("journal", [None, "run.db"])
@pytest.mark.parametrize("target", ["interrupt", "leave"])
def test_a_run_that_is_stopped_has_not_read_all(capsys, target, journal, backend):
    """If there are lines that it does not count. With a journal the summary says so."""
    found = go(target, 1500, journal=journal, backend=backend)
    assert found["lines"] < 1500
    assert found["read_all"] is False
    told = capsys.readouterr().err
    assert ("; INPUT was not read to its end; run the same command again" in told) is (journal is not None)


def test_a_run_that_is_stopped_later_has_read_all(capsys):
    """Then it counts all lines, with those that are pending."""
    found = go("interrupt", 5, journal="run.db")
    assert (found["lines"], found["read_all"]) == (5, True)
    assert "not read to its end" not in capsys.readouterr().err


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("journal", [None, "run.db"])
@pytest.mark.parametrize(("lines", "has_read_all"), [(5, True), (1500, False)])
def test_a_run_with_too_many_errors_says_whether_it_has_read_all(capsys, lines, has_read_all, journal, backend):
    """It has if no line is left, though some of them are pending."""
    found = go("refuse", lines, max_errors="0", journal=journal, backend=backend)
    assert found["read_all"] is has_read_all
    assert found["statuses"] == {"failed": 1}
    assert found["lines"] == found["pending"] + 1
    is_told = "; INPUT was not read to its end; run the same command again" in capsys.readouterr().err
    assert is_told is (journal is not None and not has_read_all)
