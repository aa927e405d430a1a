"""Reports of executors without a journal, from memory and from a record of runs; and what all reports draw."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest
from report_pages import HOSTILE, Parser, legend_of, number, page_of, printable, rows_of, sections, words_of

import lionpride_exec
from lionpride_exec import Call, Event, Executor, Journal, Rate, RateLimited, Retain, Retry, RunRecord, record_runs
from lionpride_exec.testing import BACKENDS, run

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "data" / "report_charts.svg"
DRAWN = ("Events by status", "Throughput", "Running at the same time", "Starts", "Duration", "Wait")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)


class Step(Event[int], tag="tests.report.step"):
    """Takes some seconds by its number. Some fail, one is repeated, one is skipped."""

    n: int = 0

    async def _invoke(self):
        await anyio.sleep(1 + self.n % 5)
        if self.n == 4 and self.execution.attempt == 1:
            raise ConnectionError("once")
        if self.n % 7 == 6:
            raise ValueError(f"no {self.n}")
        return self.n


def steps(**options):
    """Make an executor of steps."""
    return Executor.of(Step, concurrency_limit=3, retry=Retry(attempts=2, on=ConnectionError, backoff=2), **options)


async def run_steps(executor, count=20):
    """Run some steps, of which the last one is skipped. Return the counts."""
    async with executor:
        events = await executor.extend([Step(n=n) for n in range(count)])
        executor.skip(events[-1], "not today")
        await executor.join()
    return executor.status_counts()


def charts(path="run.html"):
    """Return the drawn sections of a page, as bytes."""
    tree = ET.fromstring(Path(path).read_text("utf-8").partition("\n")[2])  # noqa: S314  our own
    found = sections(tree)
    return b"\n".join(ET.tostring(svg) for name in DRAWN for svg in found[name].iter("svg")) + b"\n"


async def write_each(path):
    """Write the report of the same run from memory, from a record and from a journal."""
    executor = steps()
    with record_runs(executor) as runs:
        await run_steps(executor)
    lionpride_exec.report(executor, "memory.html")
    lionpride_exec.report(runs, "record.html")
    await run_steps(steps(journal=Journal(path, ack="strict")))
    await anyio.to_thread.run_sync(lionpride_exec.report, path, "journal.html")


def test_the_charts_of_a_run_are_as_they_were_drawn():
    """Under virtual time each backend draws the same, byte for byte: that of the golden file."""
    drawn = {}
    for backend in BACKENDS:
        if find_spec(backend.rpartition("+")[2]):
            run(write_each, f"{backend}.db", backend=backend, start=START)
            drawn[backend] = charts("memory.html")
    assert drawn == dict.fromkeys(drawn, GOLDEN.read_bytes())
    assert {"asyncio", "trio"} <= drawn.keys()


def test_memory_a_record_and_a_journal_show_the_same():
    """The same run under virtual time has the same durations, errors and slowest events, wherever it is read."""
    run(write_each, "run.db", backend="asyncio", start=START)
    found = {}
    for name in ("memory", "record", "journal"):
        tree = ET.fromstring(Path(f"{name}.html").read_text("utf-8").partition("\n")[2])  # noqa: S314  our own
        parts = sections(tree)
        found[name] = (
            legend_of(parts["Events by status"]),
            [row[1:] for row in rows_of(parts["Throughput"])],
            rows_of(parts["Duration"]),
            [row[:4] for row in rows_of(parts["Errors"])],
            [(row[0], row[2]) for row in rows_of(parts["Slowest events"])],
        )
    assert found["memory"] == found["record"] == found["journal"]
    assert found["memory"][0] == ["completed 17", "failed 2", "skipped 1"]
    assert found["memory"][3][0] == ["2", "", "failed", "ValueError: no <n>ValueError: no 6"]


@pytest.mark.anyio
async def test_a_running_executor_is_shown_as_it_is():
    """Events that run and wait are counted, those that run are named, and the executor goes on."""
    async with steps() as executor:
        await executor.extend([Step(n=n) for n in range(8)])
        await anyio.sleep(1.5)
        _, tree = page_of(executor)
        found = sections(tree)
        assert legend_of(found["Events by status"]) == [
            "completed 1", "pending 4", "processing 3",
        ]  # fmt: skip
        running = {str(event.id)[:8] for event in executor.processing_events}
        assert {row[3] for row in rows_of(found["Running"])} == running
        assert "7 events have not ended." in words_of(tree.find(".//header"))
        assert words_of(tree.find(".//h1")) == "Step"
        await executor.join()
    assert executor.status_counts()["pending"] == 0


@pytest.mark.anyio
async def test_events_that_left_memory_are_only_counted():
    """The counts have them, and the page says that the rest does not."""
    executor = steps(retain=Retain(2))
    await run_steps(executor)
    _, tree = page_of(executor)
    legend = legend_of(sections(tree)["Events by status"])
    assert legend == ["completed 17", "failed 2", "skipped 1"]
    assert "15 events that left memory are only counted." in words_of(tree.find(".//footer"))
    assert sum(number(row[1]) for row in rows_of(sections(tree)["Duration"])) == 4


@pytest.mark.anyio
async def test_a_record_needs_no_memory_of_events():
    """Each run takes 25 bytes, also if its event has left memory; what came before and after the block is not there."""
    executor = steps(retain=Retain(0))
    async with executor:
        await executor.invoke(Step(n=1))
        with record_runs(executor) as runs:
            assert isinstance(runs, RunRecord)
            for n in range(10):
                await executor.invoke(Step(n=n)) if n != 6 else None
        await executor.invoke(Step(n=2))
    assert len(runs) == 10  # nine events, of which one ran twice
    assert runs.nbytes == 250
    assert repr(runs) == "RunRecord('Step', 10 runs)"
    found = sections(page_of(runs)[1])
    assert [words_of(item) for item in found["Events by status"].iter("p")][-1].strip() == "9 completed"
    assert sum(number(row[1]) for row in rows_of(found["Throughput"])) == 9


@pytest.mark.anyio
async def test_a_record_has_ends_without_a_run():
    """An event that was skipped before it began has ended, and no run began."""
    executor = steps()
    with record_runs(executor) as runs:
        async with executor:
            executor.pause()
            event = await executor.append(Step(n=0))
            executor.skip(event)
            executor.resume()
    found = sections(page_of(runs)[1])
    assert [words_of(head) for head in found["Throughput"].iter("th")] == ["", "skipped"]
    assert [row[1] for row in rows_of(found["Throughput"])] == ["1"]
    assert "Starts" not in found
    assert "Duration" not in found


@pytest.mark.anyio
async def test_the_executor_of_a_journal_is_read_from_its_journal():
    """Events that are only on disk are in the page."""
    executor = steps(journal=Journal("run.db"))
    await run_steps(executor)
    assert len(executor.states.items) == 0
    text = await anyio.to_thread.run_sync(lambda: page_of(executor)[0])
    assert "Journal of version" in text
    assert "20 of 20 have ended." in text


async def limited(item):
    """Take a moment; the third one meets a limit of the other side."""
    await anyio.sleep(0.01)
    if item == 2 and not refused:
        refused.append(item)
        raise RateLimited(retry_after=1)


refused = []


@pytest.mark.anyio
async def test_runs_that_met_a_limit_are_repeated():
    """A run that ended with RateLimited is among those that had to be repeated, in memory and in a record."""
    for _ in range(2):
        refused.clear()
        executor = Executor.of(limited)
        with record_runs(executor) as runs:
            async with executor:
                await executor.extend([Call.of(limited, n) for n in range(5)])
                await executor.join()
        for source in (executor, runs):
            text = words_of(sections(page_of(source)[1])["Running at the same time"])
            assert "1 run that had to be repeated" in text


@pytest.mark.anyio
@pytest.mark.parametrize("marker", HOSTILE)
async def test_names_and_errors_are_only_text(marker):
    """A marker in the name of an executor, in a key and in an error becomes no element."""

    async def fail(text):
        raise ValueError(text)

    executor = Executor.of(fail, name=marker, limits=Rate(10, per=60, key=lambda event: event.args[0]))
    with record_runs(executor) as runs:
        async with executor:
            await executor.append(Call.of(fail, marker))
            await executor.join()
    for source in (executor, runs):
        seen = Parser()
        text, tree = page_of(source, zoom=False)
        seen.feed(text)
        assert seen.names <= PLAIN_NAMES
        assert all(char.isprintable() or char == "\n" for char in text)
        assert words_of(tree.find(".//h1")) == printable(marker)
    key = words_of(sections(page_of(executor)[1])["Starts"])
    assert printable(marker) in key
    assert len(executor.failed_events) == 1


PLAIN_NAMES = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "p", "dl", "div", "dt", "dd", "section",
    "h2", "svg", "g", "rect", "line", "ul", "li", "b", "span", "details", "summary", "table", "thead", "tbody", "tr",
    "th", "td", "code", "footer",
}  # fmt: skip


def test_what_is_no_run_is_refused():
    """Nothing is written."""
    with pytest.raises(TypeError, match="source must be a journal, an executor or a record of runs, got 3"):
        lionpride_exec.report(3, "run.html")
    with pytest.raises(ValueError, match="since must have a time zone"):
        lionpride_exec.report(steps(), "run.html", since=datetime(2026, 1, 1))  # noqa: DTZ001  that is refused
    with pytest.raises(ValueError, match="until must be a time with a time zone, got 5"):
        lionpride_exec.report(steps(), "run.html", until=5)
    with pytest.raises(ValueError, match="since must be before until"):
        lionpride_exec.report(steps(), "run.html", since=START, until=START)
    with pytest.raises(ValueError, match="limits must be rates without a key and a cost, got Rate"):
        lionpride_exec.report(steps(), "run.html", limits=Rate(5, per=1, key="n"))
    assert not Path("run.html").exists()
