"""The source that asks the server of a cluster."""

import anyio
import pytest
from cluster_events import Add, Fail
from cluster_support import executor_on
from parts import faces_snapshot, faces_sources

from lionpride_exec.errors import LionprideError, NotFoundError, OperationError

Action, Choice = faces_snapshot.Action, faces_snapshot.Choice

pytestmark = pytest.mark.anyio

HOSTILE = "</script><b data-marker>\x1b[31m\r\n\u202e [red]"


async def every_page(source, choice, count=2):
    """Return the lines of all events that fit, page by page."""
    lines, before = {}, None
    while True:
        page = await source.events(choice, before, count)
        lines |= {line.id: line for line in page.lines}
        before = page.before
        if before is None:
            return lines


async def test_a_queue(server):
    """The counts, lists, errors, runs and the page of an event, as the server knows them."""
    async with executor_on(server) as executor:
        done = await executor.append(Add(a=1, b=2), key=("a", 1))
        failed = await executor.append(Fail(text=HOSTILE), key=HOSTILE)
        await done.wait()
        await failed.wait()
        later = await executor.append(Add(a=3, b=4), key="later", delay=1000)
        async with faces_sources.cluster_source(server.url, executor.cluster.queue) as source:
            found = await source.snapshot()
            assert {status: n for status, n in found.counts.items() if n} == {
                "completed": 1, "failed": 1, "pending": 1,
            }  # fmt: skip
            assert (found.state, found.notes[0]) == ("running", "workers that are alive: 1")
            lines = await every_page(source, Choice())
            assert lines.keys() == {str(event.id) for event in (done, failed, later)}
            assert lines[str(failed.id)].key == HOSTILE
            assert lines[str(done.id)].kind == "test.add"
            assert [*await every_page(source, Choice(status="failed", text="data-MARKER"))] == [str(failed.id)]
            assert [*await every_page(source, Choice(key='["a", 1]'))] == [str(done.id)]
            assert await every_page(source, Choice(status="held")) == {}
            (line,) = await source.errors(5)
            assert (line.status, line.count, line.id) == ("failed", 1, str(failed.id))
            assert sum(sum(second.ended.values()) for second in await source.ended(60)) == 2
            assert sorted(run.status for run in await source.runs(60, 10)) == ["completed", "failed"]
            assert await source.running(5) == ()
            assert await source.limits(5) == ()
            view = await source.event(str(failed.id))
            assert "data-marker" in view.error
            assert "waits for its time" in (await source.event("later")).explanation
            for wrong in ("0" * 32, "none"):
                with pytest.raises(NotFoundError):
                    await source.event(wrong)
            with pytest.raises(NotFoundError):
                await source.events(Choice(), "x", 5)
        executor.cancel(later)


async def test_actions(server):
    """A queue is paused and resumed, and its events are cancelled and retried."""
    async with executor_on(server) as executor:
        failed = await executor.append(Fail(text="x"))
        await failed.wait()
        later = await executor.append(Add(a=3, b=4), key="later", delay=1000)
        async with faces_sources.cluster_source(server.url, executor.cluster.queue) as source:
            before = await source.version()
            await source.act(Action(what="pause", by="me"))
            assert (await source.snapshot()).state == "paused"
            await source.act(Action(what="resume", by="me"))
            assert await source.version() == before
            assert await source.act(Action(what="cancel", by="me", id="later")) == "1 event cancelled"
            await later.wait()
            retry = Action(what="retry", by="me", choice=Choice(status="failed"))
            assert await source.act(retry) == "1 event pending again"
            with pytest.raises(OperationError):
                await source.act(Action(what="cancel", by="me", id=str(later.id)))
            for wrong in (Action(what="resize", by="me", amount=3), Action(what="cancel", by="me")):
                with pytest.raises(LionprideError):
                    await source.act(wrong)
            with anyio.fail_after(60):
                while (await source.snapshot()).counts["failed"] != 1:
                    await anyio.lowlevel.checkpoint()
        async with faces_sources.cluster_source(server.url, executor.cluster.queue, writable=False) as source:
            with pytest.raises(OperationError, match="read-only"):
                await source.act(Action(what="pause", by="me"))


async def test_no_queue(server):
    """A queue that is not there is not made. What the block raises comes out as it is."""
    with pytest.raises(NotFoundError, match="there is no queue none"):
        async with faces_sources.cluster_source(server.url, "none"):
            pass
    async with executor_on(server) as executor:
        with pytest.raises(ZeroDivisionError):
            async with faces_sources.cluster_source(server.url, executor.cluster.queue):
                raise ZeroDivisionError
