"""The page on steps in a loop: killed and run again, a page that fails, slots that are all taken, and a stop."""

import json
import sqlite3
from contextlib import closing

import anyio
import pytest
from example_processes import kill_when, output_of
from pages import code_of, define

from lionpride_exec import Event, Executor

pytest.importorskip("msgspec")
pytestmark = pytest.mark.anyio

PROGRAM = """
async def program():
    async with make_executor() as executor:
        report = await begin(executor)
        await report.wait()
        print(*sorted(asked), report.result(), sep=", ")


if __name__ == "__main__":
    import sys

    anyio.run(program, backend=sys.argv[1])
"""


def completed_in(path):
    """Return the keys of the pages that have completed. Empty if there is no journal yet."""
    query = "SELECT key FROM event WHERE status = 'completed' AND key LIKE '% %'"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return {key for (key,) in connection.execute(query)}
    except sqlite3.OperationalError:
        return set()


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The names of the first block, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return define(code_of("docs/steps.md")[0], name="steps")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_and_run_again(tmp_path, backend):
    """A page that has completed before the kill is not asked for again."""
    code = code_of("docs/steps.md")[0].partition("async def main")[0].replace("anyio.sleep(1)", "anyio.sleep(0.2)")
    (tmp_path / "program.py").write_text(code + PROGRAM, "utf-8")
    kill_when(lambda: completed_in(tmp_path / "steps.db"), "program.py", backend, cwd=tmp_path)
    before = {json.loads(key) for key in completed_in(tmp_path / "steps.db")}
    out, _ = output_of("program.py", backend, cwd=tmp_path)
    *asked, total = out.strip().split(", ")
    assert total == "28"
    assert {*asked} == {"north 0", "north 1", "north 2", "south 0", "south 1"} - before
    assert len(asked) == 5 - len(before) < 5


class Broken(list):
    """The pages of a region. The one of number 1 cannot be read at first."""

    error = OSError("HTTP 503")

    def __getitem__(self, number):
        if number == 1 and self.error:
            raise self.error
        return super().__getitem__(number)


async def test_a_page_that_fails(page):
    """Its region fails, and the report is skipped. The pages run again first, then the regions and the report."""
    page["REGIONS"]["north"] = rows = Broken(page["REGIONS"]["north"])
    async with page["make_executor"]() as executor:
        await page["begin"](executor)
        await executor.join()
        found = {one.key or one.tag: one.status.value for one in await executor.find(status=["failed", "skipped"])}
        assert found == {"north 1": "failed", "north": "failed", "report": "skipped"}
        rows.error = None
        again = await executor.retry(tag="steps.page")
        again += await executor.retry(status=["failed", "skipped"])
        await executor.join()
        assert [event.status.value for event in again] == ["completed"] * 3
        assert again[-1].result() == 28
    assert page["asked"].count("north 0") == 1


async def test_all_slots_are_taken_by_events_that_wait(page):
    """Nothing goes on, and the steps wait for a slot. One slot more, and all is done."""
    async with Executor.of(Event, concurrency_limit=2) as executor:
        report = await page["begin"](executor)
        await anyio.sleep(1000)
        waiting = [event for event in executor.pending_events if isinstance(event, page["Page"])]
        assert {executor.explain(event).waits_for.value for event in waiting} == {"slot"}
        executor.resize(concurrency_limit=3)
        await report.wait()
        assert report.result() == 28


async def test_a_stop_without_a_grace_never_returns(page):
    """The regions wait for pages that do not start. A grace ends that."""
    async with page["make_executor"]() as executor:
        await page["begin"](executor)
        await anyio.sleep(0.5)
        with anyio.move_on_after(1_000_000) as scope:
            await executor.stop()
        assert scope.cancelled_caught
        await executor.stop(grace=0)
        assert {event.status.value for event in executor.states.items if isinstance(event, page["Region"])} == {
            "pending"
        }
