"""The examples of the request, of the README and of the tour, run as they stand."""

import importlib.util
import re
import signal
import sqlite3
import time
from contextlib import closing
from itertools import pairwise

import anyio
import pytest
from pages import ROOT, code_of, define, run_block
from support import Job, check_invariants, make_executor, with_processor

from lionpride_exec import EventStatus

pytestmark = pytest.mark.anyio


def load(name):
    """Import an example by its path."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_basic_usage(capsys):
    """Ten events: all pending right after their append, all completed after join()."""
    completed = await load("basic_usage").main()
    assert [event.response for event in completed] == [{"processed": {"id": i}} for i in range(10)]
    assert capsys.readouterr().out == "Pending: 10\nCompleted: 10\n"


async def test_task_processing(capsys):
    """A hundred tasks, the urgent ones first, progress printed until none is left, then cleaned up."""
    began = anyio.current_time()
    completed, failed = await load("task_processing").main()
    assert (len(completed), failed) == (100, [])
    by_start = sorted(completed, key=lambda event: event.execution.started_at)
    assert {event.task_id for event in by_start[:10]} == set(range(10))
    # 50 starts in any half second, 20 at a time, 0.1 s each. The program looks at the counts each second.
    assert anyio.current_time() - began < 3
    out = capsys.readouterr().out
    assert "✓ Completed: 100, ✗ Failed: 0" in out
    assert "'pending': 0, 'processing': 0, 'completed': 100" in out


async def test_rate_limited(monkeypatch):
    """Fifty calls through the gate of the request: 50 completed, none aborted, never above the rate."""
    monkeypatch.setattr(time, "time", lambda: 1e6 + anyio.current_time())
    executor = await load("rate_limited").main()
    assert executor.status_counts()["completed"] == 50
    assert executor.status_counts()["aborted"] == 0
    starts = [event.response for event in executor.completed_events]
    assert all(later - earlier >= 0.1 - 1e-6 for earlier, later in pairwise(starts))
    check_invariants(executor)


async def test_the_readme_example(capsys):
    """A thousand calls at 500 a minute: all of them, within a minute and a little."""
    code = code_of("README.md")[0]
    await run_block(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert {tuple(map(int, line.split())) for line in lines} == {(number, number**2) for number in range(1000)}
    assert 60 <= anyio.current_time() < 65


async def test_the_tour_with_a_class(capsys):
    """The program with an event class in docs/tour.md prints what its comments say."""
    code = code_of("docs/tour.md")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 18
    await run_block(code, {})
    first, last = capsys.readouterr().out.splitlines()
    assert all(f"'{status}': " in first for status in EventStatus.allowed())
    assert last == "1000"


async def test_the_tour_with_a_journal(tmp_path, monkeypatch, capsys):
    """Cut off in the middle and started again, the program prints every result and does nothing twice."""
    monkeypatch.chdir(tmp_path)
    code = code_of("docs/tour.md")[1]
    namespace = define(code)
    with anyio.move_on_after(0.35):
        await namespace["main"]()
    assert 20 <= len(capsys.readouterr().out.splitlines()) < 100
    await namespace["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert {tuple(map(int, line.split())) for line in lines} == {(number, number**2) for number in range(100)}
    with closing(sqlite3.connect("run.db")) as connection:
        assert connection.execute("SELECT count(*), sum(attempt) FROM event").fetchone() == (100, 100)


async def test_the_gate_in_the_docs():
    """The gate of docs/dispatch.md works as its table says."""
    code, *_ = code_of("docs/dispatch.md")
    namespace = define(code)
    polite = namespace["Polite"]

    class Fetch(namespace["Fetch"]):
        async def _invoke(self):
            return self.host

    allowed_at = anyio.current_time() + 5
    polite.seconds_until_allowed = lambda self, host: max(0, allowed_at - anyio.current_time()) * (host == "slow")
    async with with_processor(polite) as executor:
        slow, quick, dear = Fetch(host="slow"), Fetch(host="quick"), Fetch(host="slow", cost=101)
        for event in (slow, quick, dear):
            await executor.append(event)
        await quick.wait()
        assert slow.status is EventStatus.PENDING
        await slow.wait()
        assert anyio.current_time() == pytest.approx(allowed_at, abs=0.01)
    assert dear.status is EventStatus.ABORTED


async def test_saving_and_going_on(tmp_path):
    """The recipe of docs/lifetimes.md: another executor finishes the unfinished events."""
    _, code, _ = code_of("docs/lifetimes.md")
    namespace = define(code)
    first, second = make_executor(concurrency_limit=1), make_executor()
    await first.start()
    for name, seconds in (("done", 0.0), ("cut off", 60.0), ("waiting", 1.0)):
        await first.append(Job(name=name, seconds=seconds), priority=len(name))
    await anyio.sleep(1)
    path = tmp_path / "flow.json"
    await namespace["save"](first, path)
    async with second:
        await namespace["resume"](second, path)
    assert sorted(event.response for event in second.completed_events) == ["cut off", "waiting"]


async def test_stopping_at_ctrl_c():
    """The recipe of docs/lifetimes.md: running events may finish until a second signal, the others stay PENDING."""
    *_, code = code_of("docs/lifetimes.md")
    namespace = define(code)

    class Interrupting(Job):
        signals: int = 1

        async def _invoke(self):
            for _ in range(self.signals):
                await anyio.sleep(1)
                signal.raise_signal(signal.SIGINT)
            return await super()._invoke()

    for events, expected, seconds in (
        ([Interrupting(seconds=5), Job(seconds=5)], {"pending": 1, "completed": 1}, 6),
        ([Interrupting(seconds=500), Job(seconds=5)], {"pending": 1, "cancelled": 1}, 31),
        ([Interrupting(seconds=5, signals=2), Job(seconds=5)], {"pending": 1, "cancelled": 1}, 2),
        ([Job(), Job()], {"completed": 2}, 0),
    ):
        executor, began = make_executor(concurrency_limit=1), anyio.current_time()
        await namespace["run_until_ctrl_c"](executor, events)
        assert {status: n for status, n in executor.status_counts().items() if n} == expected
        assert anyio.current_time() - began == seconds


def test_the_table_of_promises_names_tests_that_exist():
    """Every test and file that docs/specification.md names exists."""
    text = (ROOT / "docs" / "specification.md").read_text()
    names = set(re.findall(r"`(?:[\w.]*)::(\w+)`", text))
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(names) > 40
    assert names - defined == {"test", "check_invariants"}
    for path in re.findall(r"`((?:benchmarks|examples)/\w+\.py)`", text):
        assert (ROOT / path).exists()
