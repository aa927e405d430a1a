"""The source that reads a journal: what only the process that runs it knows, actions, and files of all kinds."""

import gc
import gzip
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest
from journal_files import T0, add_event, add_step, error_outcome, event_id, fill, make_journal
from parts import faces_snapshot, faces_sources

from lionpride_exec.errors import JournalError, LionprideError, NotFoundError
from lionpride_exec.testing import BACKENDS

Action, Choice = faces_snapshot.Action, faces_snapshot.Choice

DATA = Path(__file__).parents[1] / "data" / "before_parts"
SECONDS = 60  # that a process may take for what takes some milliseconds

# Runs events that wait for ever, two at a time, under a limit by key. It writes all the time, so it sees a command at
# once: a process at rest looks once a second.
OWNER = """
import sys
from pathlib import Path

import anyio

from lionpride_exec import Concurrent, Event, Executor, Journal


class Job(Event[str], tag="Job"):
    name: str = ""

    async def _invoke(self):
        await anyio.sleep_forever()


class Nudge(Job, tag="Nudge"):
    pass


async def main():
    limits = [Concurrent(4, key="name", name="names")]
    async with Executor.of(Job, journal=Journal("run.db"), limits=limits, concurrency_limit=2) as executor:
        for number in range(5):
            await executor.append(Job(name="a"), key=f"k{number}")
        while not executor.processing_events:
            await anyio.sleep(0.01)
        Path("ready").touch()
        while not Path("stop").exists():
            executor.cancel(await executor.append(Nudge(), delay=3600))
            await anyio.sleep(0.02)
        await executor.stop(0)


backend, _, uvloop = sys.argv[1].partition("+")
anyio.run(main, backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
"""


@pytest.fixture(params=[name for name in BACKENDS if find_spec(name.rpartition("+")[2])])
def backend(request):
    """The options of ``anyio.run()``. Other processes take part, so the clock is the real one."""
    name, _, uvloop = request.param.partition("+")
    return {"backend": name, "backend_options": {"use_uvloop": True} if uvloop else {}}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)
    Path("owner.py").write_text(OWNER)


@pytest.fixture
def owner(request):
    """A process that runs the journal, on each backend. It is killed at the end, unless it has ended."""
    name = request.node.callspec.params["backend"]
    process = subprocess.Popen([sys.executable, "owner.py", name])  # noqa: S603  our own
    try:
        until = time.monotonic() + SECONDS
        while not Path("ready").exists():
            assert time.monotonic() < until
            time.sleep(0.01)  # for another process
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def opened(path="run.db", **options):
    source = faces_sources.journal_source(path, **options)
    yield source
    await source.aclose()


def test_a_source_that_is_dropped_closes_its_file(monkeypatch):
    """As that of a dashboard, which ends with its program. From 3.13 on, Python warns of a file that is left open."""
    fill("run.db")
    made, connect = [], sqlite3.connect

    def connect_and_note(*args, **options):
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_and_note)
    source = faces_sources.journal_source("run.db")
    anyio.run(source.counts)
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":  # it knows the source until it has ended
            thread.join(SECONDS)
    del source
    gc.collect()
    assert made
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


async def once(ask, fits):
    """Return what a question returns, once it fits: another process takes part."""
    with anyio.fail_after(SECONDS):
        while True:
            found = await ask()
            if fits(found):
                return found
            await anyio.sleep(0.01)


async def told(source):
    """Return a snapshot that has what the owner knows."""
    return await once(source.snapshot, lambda found: found.is_live)


def test_owner_is_asked(backend, owner):
    """The slots, the waits, the limits and an explanation come from the process that has the file open."""

    async def main():
        async with opened() as source:
            found = await told(source)
            assert (found.state, found.slots, found.slots_used) == ("running", 2, 2)
            assert found.waits["slot"] == 3
            assert found.counts["processing"] == 2
            (line,) = await source.limits(5)
            assert (line.key, line.used, line.amount, line.per) == ("a", 2, 4, 0)
            assert line.limit.startswith("Concurrent(")
            assert line.name == line.what == "names"
            running = await source.running(5)
            assert [one.key for one in running] == ["k0", "k1"]
            assert "waits for a slot" in (await source.event("k4")).explanation
            assert (await source.event("k0")).explanation is not None
            assert [run.end for run in await source.runs(60, 500) if run.status == "processing"] == [None, None]

    anyio.run(main, **backend)
    with closing(sqlite3.connect("run.db")) as connection:
        assert connection.execute("SELECT count(*) FROM command").fetchone() == (0,)


def test_owner_carries_out(backend, owner):
    """Actions are carried out by the process that has the file open."""

    async def main():
        async with opened() as source:
            await told(source)
            assert "is paused" in await source.act(Action(what="pause", by="me"))
            found = await once(source.snapshot, lambda found: found.state == "paused")
            assert [pause.key for pause in found.pauses] == [None]
            await source.act(Action(what="resume", by="me"))
            assert (await once(source.snapshot, lambda found: found.state == "running")).pauses == ()
            await source.act(Action(what="pause", by="me", key="a"))
            found = await once(source.snapshot, lambda found: found.pauses)
            assert [(pause.key, pause.reason) for pause in found.pauses] == [("a", "by me")]
            await source.act(Action(what="resize", by="me", amount=7))
            assert await source.act(Action(what="cancel", by="me", id="k4")) == "1 event cancelled"
            assert await source.act(Action(what="skip", by="me", choice=Choice(key="k3"))) == "1 event skipped"
            assert await source.act(Action(what="retry", by="me", id="k4")) == "1 event pending again"
            with pytest.raises(LionprideError, match="has not ended"):
                await source.act(Action(what="retry", by="me", id="k4"))
            with pytest.raises(LionprideError, match="must be"):
                await source.act(Action(what="resize", by="me", amount=0))
            await once(source.snapshot, lambda found: found.slots == 7)

    anyio.run(main, **backend)


def test_owner_ends(backend, owner):
    """After the death of the process nothing starts, and a note says so. The counts and the version change by then."""

    async def main():
        async with opened() as source:
            await told(source)
            before = await source.version()
            await source.snapshot()
            await once(source.version, lambda version: version != before)
            assert sum(second.ended["cancelled"] for second in await source.ended(60)) >= 1
            await anyio.to_thread.run_sync(lambda: (owner.kill(), owner.wait()))
            found = await source.snapshot()
            assert (found.state, found.is_live, found.waits) == ("stopped", False, None)
            assert "without closing it" in found.notes[0]
            with pytest.raises(JournalError, match="nobody runs"):
                await source.act(Action(what="pause", by="me"))
            assert await source.act(Action(what="cancel", by="me", choice=Choice(key="k2"))) == "1 event cancelled"

    anyio.run(main, **backend)


def test_a_filled_file(backend):
    """A journal with an event of each kind, which nobody has open."""
    fill("run.db")

    async def main():
        async with opened() as source:
            found = await source.snapshot()
            assert found.counts["held"] == 1
            assert found.state == "stopped"
            lines = (await source.events(Choice(), None, 10)).lines
            assert [line.number for line in lines] == [6, 5, 4, 3, 2, 1]
            assert [line.number for line in (await source.events(Choice(status="held"), None, 10)).lines] == [5]
            assert [line.number for line in (await source.events(Choice(status="pending"), None, 10)).lines] == [4]
            view = await source.event("2")
            assert view.line.error == "ValueError: bad"
            assert view.error == "ValueError: bad\nvalue\n\nTrace\n  line"
            assert [(one.number, one.error) for one in view.attempts] == [(1, "OSError: gone")]
            view = await source.event("#4")
            assert view.facts["priority"] == "2.5"
            assert view.after == (str(event_id(3)),)
            assert "held" in (await source.event("5")).explanation
            with pytest.raises(NotFoundError):
                await source.event("7")
            assert await source.act(Action(what="retry", by="me", id="5")) == "1 event pending again"
            assert (await source.snapshot()).counts["held"] == 0

    anyio.run(main, **backend)


def test_retried_errors_are_counted_anew(backend):
    """An event that failed again after a retry counts once."""

    async def main():
        with closing(make_journal("run.db")) as connection:
            for seq in (1, 2, 3):
                add_event(connection, seq, "failed", outcome=error_outcome("E", f"bad {seq}"), finished=T0, attempt=1)
                add_step(connection, seq, "failed", T0, 1, "E: bad")
            async with opened() as source:
                assert [line.count for line in await source.errors(5)] == [3]
                connection.execute("UPDATE event SET status = 'pending', finished = NULL WHERE seq = 1")
                connection.execute("UPDATE tally SET events = 2 WHERE status = 'failed'")
                await once(lambda: source.errors(5), lambda found: [line.count for line in found] == [2])
                connection.execute("UPDATE event SET status = 'failed', finished = ? WHERE seq = 1", (T0 + 1,))
                connection.execute("UPDATE tally SET events = 3 WHERE status = 'failed'")
                add_step(connection, 1, "failed", T0 + 1, 2, "E: bad")
                found = await source.errors(5)
                assert [line.count for line in found] == [3]
                assert (found[0].id, found[0].last) == (str(event_id(1)), T0 + 1)

    anyio.run(main, **backend)


def test_without_a_trail(backend):
    """Without an audit trail, differences of the counts give the throughput, and a note says so."""

    async def main():
        with closing(make_journal("run.db")) as connection:
            add_event(connection, 1, "completed", finished=T0)
            async with opened() as source:
                assert await source.ended(60) == ()
                add_event(connection, 2, "completed", finished=T0)
                add_event(connection, 3, "failed", outcome=error_outcome("E", "x"), finished=T0)
                (second,) = await source.ended(60)
                assert second.ended == {"completed": 1, "failed": 1}
                assert "no audit trail" in str((await source.snapshot()).notes)
                assert await source.runs(60, 5) == ()
                assert [line.shape for line in await source.errors(5)] == ["E: x"]
                assert [step.status for step in (await source.event("3")).transitions] == ["pending", "failed"]

    anyio.run(main, **backend)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.db.gz")), ids=lambda path: path.stem)
def test_files_of_earlier_versions(backend, path):
    """Files that earlier versions have written are read as they are."""
    Path("run.db").write_bytes(gzip.decompress(path.read_bytes()))

    async def main():
        async with opened() as source:
            found = await source.snapshot()
            for status in found.counts:
                lines = (await source.events(Choice(status=status), None, 1000)).lines
                assert len(lines) == found.counts[status]
                for line in lines[:3]:
                    assert (await source.event(line.id)).line == line
            await source.errors(5)
            await source.running(5)

    anyio.run(main, **backend)


def test_files_that_cannot_be_read(backend):
    """A file that does not exist, or is no journal, is told by an error. It is read once it is there."""
    Path("text.db").write_text("x" * 5000)

    async def main():
        for path in ("none.db", "text.db", "."):
            async with opened(path) as source:
                for call in (source.version, source.snapshot):
                    with pytest.raises(JournalError):
                        await call()
                with pytest.raises(JournalError):
                    await source.errors(5)
        async with opened("none.db") as source:
            with pytest.raises(JournalError):
                await source.snapshot()
            fill("none.db")
            assert (await source.snapshot()).counts["held"] == 1
            await source.aclose()
            assert (await source.snapshot()).counts["held"] == 1

    anyio.run(main, **backend)


def test_a_damaged_row(backend):
    """Events whose stored form cannot be read are shown as far as they can be."""
    fill("run.db")
    with closing(sqlite3.connect("run.db")) as connection, connection:
        connection.execute("UPDATE event SET event = x'ff', outcome = x'ff', attempts = x'ff' WHERE seq = 2")

    async def main():
        async with opened() as source:
            view = await source.event("2")
            assert (view.line.kind, view.line.error) == ("", None)
            assert "event" in view.facts["cannot be read"]
            assert len((await source.events(Choice(text="x"), None, 10)).lines) == 0
            await source.errors(5)

    anyio.run(main, **backend)
