"""The source that reads a running executor."""

import json
from datetime import UTC, datetime

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint
from parts import faces_snapshot, faces_sources
from support import Job, make_executor, with_processor

from lionpride_exec import Concurrent, Event, EventStatus, Executor, Processor, Rate
from lionpride_exec.errors import LionprideError, NotFoundError, OperationError

Action, Choice = faces_snapshot.Action, faces_snapshot.Choice
LimitLine, PauseLine = faces_snapshot.LimitLine, faces_snapshot.PauseLine

pytestmark = [pytest.mark.anyio, pytest.mark.start(datetime(2026, 11, 30, tzinfo=UTC))]

HOSTILE = "</script><b data-marker>\x1b[31m\r\n\u202ebidi\u2066 &amp; \udc80 [red]"


class Secret(Event):
    """Fails with its token in the message."""

    token: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        raise ValueError(f"refused {self.token}")


def source_of(executor, **options):
    return faces_sources.live_source(executor, **options)


async def names_of(source, choice=None, count=100):
    """Return the names of all events that fit, page by page."""
    ids, before = [], None
    while True:
        page = await source.events(choice or Choice(), before, count)
        ids += [line.id for line in page.lines]
        before = page.before
        if before is None:
            return ids


async def test_snapshot():
    """A snapshot has counts, slots, waits and the age of the oldest pending event."""
    executor, gate = make_executor(concurrency_limit=1), anyio.Event()
    source = source_of(executor)
    assert (await source.snapshot()).state == "stopped"
    async with executor:
        await executor.extend([Job(gate=gate), Job(gate=gate)])
        await anyio.sleep(3)
        found = await source.snapshot()
        assert (found.state, found.slots, found.slots_used, found.is_live) == ("running", 1, 1, True)
        assert {name: n for name, n in found.counts.items() if n} == {"pending": 1, "processing": 1}
        assert found.counts["held"] == 0
        assert found.waits == {"slot": 1}
        assert found.oldest_pending is not None
        assert "0 of 2 done" in found.progress
        assert found.notes == ()
        gate.set()


async def test_version_changes():
    """The version changes with a new event, a transition and a pause, and not with a look."""
    executor = make_executor()
    source, seen = source_of(executor), []
    async with executor:
        seen.append(await source.version())
        await executor.append(Job(), delay=5)
        seen.append(await source.version())
        await executor.join()
        seen.append(await source.version())
        await source.act(Action(what="pause", by="x"))
        seen.append(await source.version())
        await source.snapshot()
        await anyio.sleep(5)
        assert await source.version() == seen[-1]
    assert len({*seen}) == 4


@pytest.mark.parametrize("is_opened", [False, True])
async def test_lists_do_not_look(caplog, is_opened):
    """A failure counts as looked at once its event is opened, not when it is listed or counted."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        event = Job(error=ValueError("x"))
        await executor.append(event)
        await executor.join()
        assert await names_of(source) == [str(event.id)]
        assert len(await source.errors(5)) == 1
        await source.snapshot()
        await source.runs(60, 5)
        if is_opened:
            await source.event(str(event.id))
    assert ("nobody has looked at" in caplog.text) is not is_opened


async def test_event():
    """The page of an event has its fields, its runs, its error and the changes of its status."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        event = Job(name=HOSTILE, error=ValueError(HOSTILE))
        await executor.append(event, key=("a", 1))
        await executor.join()
        view = await source.event(str(event.id))
        assert (view.line.status, view.line.key, view.line.attempt) == ("failed", '["a", 1]', 1)
        assert view.line.kind.endswith("Job")
        assert view.line.error == "ValueError: </script><b data-marker>\x1b[31m"
        assert "data-marker" in view.data
        assert view.error.startswith("ValueError: </script>")
        assert "Traceback" in view.error
        assert [step.status for step in view.transitions] == ["pending", "processing", "failed"]
        assert view.explanation is None
        for ref in (event.id.hex, f" {event.id} ", event.id.hex[:8], str(event.id)[:11], '["a", 1]'):
            assert (await source.event(ref)).line.id == str(event.id)
        for ref in ("", "ab", "x" * 99, "0" * 32, "[", HOSTILE):
            with pytest.raises(NotFoundError):
                await source.event(ref)


@pytest.mark.parametrize(
    ("key", "ref"), [("line:id:P00609", "P00609"), ("line:id=4", "4"), ("line:id=1.5", "1.5"), ("line:id=2", "2.0")]
)
async def test_an_event_is_found_by_the_id_of_its_line(key, ref):
    """As in a journal: the id stands for the key that ``run --id`` makes of it. With another event, it is refused."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        event = await executor.append(Job(), key=key)
        assert (await source.event(ref)).line.id == str(event.id)
        await executor.append(Job(), key=ref)
        with pytest.raises(NotFoundError, match="more than one event has"):
            await source.event(ref)


async def test_explanation():
    """The page of a pending event says what the event waits for, and after which events it comes."""
    executor, gate = make_executor(), anyio.Event()
    source = source_of(executor)
    async with executor:
        first, second = Job(gate=gate), Job()
        await executor.append(first, key="k1")
        await executor.append(second, after=[first])
        view = await source.event(str(second.id))
        assert view.explanation.endswith(f"waits for the end of {first} with key 'k1' (pending)")
        assert view.after == (str(first.id),)
        assert [(one.id, one.key, one.status) for one in view.others] == [(str(first.id), "k1", "pending")]
        gate.set()


async def test_followers():
    """The page of an event says which events wait for it, some of them by name, until it has ended."""
    executor, gate = make_executor(), anyio.Event()
    source = source_of(executor)
    async with executor:
        first = await executor.append(Job(gate=gate))
        waiting = [await executor.append(Job(), after=[first]) for _ in range(25)]
        view = await source.event(str(first.id))
        assert [one.id for one in view.followers] == [str(event.id) for event in waiting[:20]]
        assert view.follower_count == 25
        gate.set()
        await executor.join()
        assert (await source.event(str(first.id))).followers == ()


async def test_what_the_events_of_a_page_wait_for():
    """Each pending event of a page says so, and no other event does."""
    executor, gate = make_executor(limits=[Concurrent(1, key="name", name="hosts")]), anyio.Event()
    source = source_of(executor)
    async with executor:
        first, second = Job(name="a", gate=gate), Job(name="a")
        await executor.extend([first, second])
        late = await executor.append(Job(), delay=60)
        await executor.append(Job(), after=[late])
        await anyio.sleep(1)
        page = await source.events(Choice(), None, 10)
        assert {line.waits for line in page.lines} == {
            None,
            "limit, hosts, of key 'a'",
            "its time",
            f"the end of Job {str(late.id)[:8]} (pending)",
        }
        assert [line.status for line in page.lines if line.waits is None] == ["processing"]
        gate.set()
        executor.cancel(late)


async def test_secrets():
    """No record has the value of a redacted field, and no search finds it."""
    executor = with_processor(type("SecretProcessor", (Processor,), {"event_type": Secret}))
    source = source_of(executor)
    async with executor:
        event = Secret(token="swordfish")  # noqa: S106  no real one
        await executor.append(event, key="of swordfish")
        await executor.join()
        told = [await source.event(str(event.id)), await source.events(Choice(), None, 5), await source.errors(5)]
        assert "swordfish" not in str(told)
        assert "refused ***" in str(told)
        assert await names_of(source, Choice(text="swordfish")) == []


async def test_pages_in_order():
    """Pages have each event once, the newest first, whatever their size, with and without a status."""
    executor = make_executor(concurrency_limit=1)
    source = source_of(executor)
    async with executor:
        events = [Job(name=str(n), error=ValueError("x") if n % 3 else None, seconds=1) for n in range(10)]
        later = [Job() for _ in range(3)]
        await executor.extend(events)
        await executor.join()
        for event in later:
            await executor.append(event, delay=100)
        newest_first = [str(event.id) for event in reversed([*events, *later])]
        for size in (1, 2, 7, 100):
            assert await names_of(source, count=size) == newest_first
            failed = [str(event.id) for event in reversed(events) if event.status == "failed"]
            assert await names_of(source, Choice(status="failed"), size) == failed
        for event in later:
            executor.cancel(event)
    assert await names_of(source, Choice(status="held")) == []
    with pytest.raises(NotFoundError):
        await source.events(Choice(status="nonsense"), None, 1)
    with pytest.raises(NotFoundError):
        await source.events(Choice(), "nonsense", 1)


async def test_page_after_its_event_has_left():
    """A page goes on at the same place if its last event has another status by now."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        events = []
        for n in range(6):
            events.append(Job(name=str(n)))
            await executor.append(events[-1], delay=1000)
            await anyio.sleep(1)
        page = await source.events(Choice(status="pending"), None, 2)
        assert [line.id for line in page.lines] == [str(events[5].id), str(events[4].id)]
        executor.cancel(events[4])
        executor.cancel(events[5])
        page = await source.events(Choice(status="pending"), page.before, 2)
        assert [line.id for line in page.lines] == [str(events[3].id), str(events[2].id)]
        for event in events:
            executor.cancel(event)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (Choice(text="NEEDLE"), ["2"]),
        (Choice(text="boom"), ["3"]),
        (Choice(error="boom <n>"), ["3"]),
        (Choice(key="k4"), ["4"]),
        (Choice(kind="nothing"), []),
        (Choice(status="completed", text="needle"), ["2"]),
        (Choice(since=1e12), []),
        (Choice(since=1.0, text="1-"), ["1"]),
    ],
)
async def test_search(choice, names):
    """A search looks at fields, key, kind, error and time."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        events = {
            "1": Job(name="1-"),
            "2": Job(name="a needle"),
            "3": Job(error=ValueError("boom 17")),
            "4": Job(),
        }
        for name, event in events.items():
            await executor.append(event, key=f"k{name}")
        await executor.join()
        assert await names_of(source, choice) == [str(events[name].id) for name in names]


async def test_long_search_is_cut():
    """A search looks at some thousand events a call, and says where to go on. Other tasks run meanwhile."""
    executor = make_executor(max_queue_size=20_000)
    source = source_of(executor)
    await executor.extend([Job(name=str(n)) for n in range(12_000)])
    steps = 0

    async def count():
        nonlocal steps
        while True:
            steps += 1
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        page = await source.events(Choice(error="nothing"), None, 10)
        group.cancel_scope.cancel()
    assert page.lines == ()
    assert page.before is not None
    assert steps >= 40
    assert await names_of(source, Choice(error="nothing")) == []


async def test_errors():
    """Errors are grouped by shape, those before the source too; the last one is the example."""
    executor = make_executor()
    async with executor:
        await executor.extend([Job(error=ValueError(f"early {n}")) for n in range(250)])
        await executor.join()
        source = source_of(executor)
        await executor.extend([Job(error=ValueError(f"early {n}")) for n in range(3)])
        last = Job(error=KeyError("late"))
        await executor.append(last)
        await executor.join()
        errors = await source.errors(5)
        assert [(line.status, line.shape, line.count) for line in errors] == [
            ("failed", "ValueError: early <n>", 253),
            ("failed", "KeyError: 'late'", 1),
        ]
        assert errors[1].id == str(last.id)
        assert errors[1].last is not None
        assert await source.errors(1) == errors[:1]


async def test_many_runs_are_read_in_pieces():
    """While hundreds of runs are read, others have their turns."""
    executor, turns, gate = make_executor(), [], anyio.Event()
    source = source_of(executor)

    async def take_turns(*, task_status):
        task_status.started()
        while True:
            turns.append(1)
            await checkpoint()

    async with executor, anyio.create_task_group() as group:
        await executor.extend([*(Job() for _ in range(500)), *(Job(gate=gate) for _ in range(50))])
        await anyio.sleep(10)
        await group.start(take_turns)
        before = len(turns)
        assert len(await source.runs(60, 1000)) == 550
        assert len(turns) - before >= 5  # of 6 checkpoints; trio runs the tasks of a round in any order
        group.cancel_scope.cancel()
        gate.set()


async def test_ended_and_runs():
    """The seconds have the ends by status, and the timeline each run, also one that is repeated or goes on."""
    executor, gate = make_executor(), anyio.Event()
    source = source_of(executor)
    async with executor:
        await executor.extend([Job(), Job(error=ValueError()), Job(gate=gate)])
        await anyio.sleep(1)
        assert sum((second.ended.get("completed", 0) for second in await source.ended(60)), 0) == 1
        assert sum((second.ended.get("failed", 0) for second in await source.ended(60)), 0) == 1
        runs = await source.runs(60, 10)
        assert sorted(line.status for line in runs) == ["completed", "failed", "processing"]
        assert [line.begin for line in runs] == sorted(line.begin for line in runs)
        assert await source.runs(60, 1) == runs[-1:]
        assert [line.status for line in await source.running(5)] == ["processing"]
        gate.set()
    await source.aclose()
    before = await source.version()
    async with executor:
        await executor.append(Job())
    assert len(await source.runs(60, 10)) == 3
    assert before != await source.version()  # there is one event more


async def test_limits():
    """Limits come by their fullness, with their names, and their keys as text."""
    rate, slots = Rate(10, per=60), Concurrent(4, name="connections")
    executor, gate = make_executor(limits=[rate, slots]), anyio.Event()
    source = source_of(executor)
    async with executor:
        await executor.extend([Job(gate=gate) for _ in range(3)])
        await anyio.sleep(1)
        found = await source.limits(5)
        assert found == (
            LimitLine(limit=repr(slots), key=None, used=3, amount=4, per=0, name="connections"),
            LimitLine(limit=repr(rate), key=None, used=3, amount=10, per=60),
        )
        assert [line.what for line in found] == ["connections", repr(rate)]
        assert await source.limits(1) == found[:1]
        gate.set()
        await executor.join()
        assert await source.limits(5) == found[1:]


async def test_keys_of_limits():
    """Keys of limits that are no texts are shown as JSON."""
    executor, gate = make_executor(limits=[Rate(10, per=60, key=lambda event: (event.name, 1))]), anyio.Event()
    source = source_of(executor)
    async with executor:
        await executor.append(Job(name=HOSTILE, gate=gate))
        await anyio.sleep(1)
        (line,) = await source.limits(5)
        assert line.key == json.dumps([HOSTILE, 1], ensure_ascii=False).replace("\udc80", "\\udc80")
        gate.set()


async def test_pause_and_resume():
    """All events, or those of a key, are paused and resumed."""
    executor = make_executor(limits=[Rate(10, per=60, key="name")])
    source = source_of(executor)
    async with executor:
        await source.act(Action(what="pause", by="me"))
        found = await source.snapshot()
        assert (found.state, found.pauses) == ("paused", (PauseLine(key=None, seconds=None, reason="by pause()"),))
        await source.act(Action(what="resume", by="me"))
        assert (await source.snapshot()).pauses == ()
        await source.act(Action(what="pause", by="me", key="k"))
        assert (await source.snapshot()).pauses == (PauseLine(key="k", seconds=None, reason="by me"),)
        event = Job(name="k")
        await executor.append(event)
        await anyio.sleep(1)
        assert event.status == "pending"
        await source.act(Action(what="resume", by="me", key="k"))
        await executor.join()
        assert event.status == "completed"


async def test_one_event():
    """One event is cancelled, skipped and retried by its id."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        events = [Job(), Job(), Job(error=ValueError("x"))]
        for event in events[:2]:
            await executor.append(event, delay=100)
        await executor.append(events[2])
        await anyio.sleep(1)
        ids = [str(event.id) for event in events]
        assert await source.act(Action(what="cancel", by="me", id=ids[0])) == "1 event cancelled"
        assert await source.act(Action(what="skip", by="me", id=ids[1])) == "1 event skipped"
        assert await source.act(Action(what="retry", by="me", id=ids[2])) == "1 event pending again"
        await executor.join()
        assert [(await executor.get(one)).status for one in ids] == ["cancelled", "skipped", "failed"]
        assert (await executor.get(ids[2])) is not events[2]
        assert "by me" in (await source.event(ids[0])).error
        with pytest.raises(OperationError, match="has ended"):
            await source.act(Action(what="cancel", by="me", id=ids[0]))


async def test_many_events():
    """The events that fit a choice are cancelled and retried, and no others."""
    executor = make_executor(max_queue_size=1000)
    source = source_of(executor)
    async with executor:
        for n in range(500):
            await executor.append(Job(name=f"a{n % 2}"), delay=100)
        await executor.extend([Job(error=ValueError(f"a{n % 2}x")) for n in range(300)])
        await anyio.sleep(50)
        choice = Choice(text="a1")
        assert await source.act(Action(what="cancel", by="me", choice=choice)) == "250 events cancelled"
        retry = Action(what="retry", by="me", choice=Choice(status="failed", error="a1"))
        assert await source.act(retry) == "150 events pending again"
        await executor.join()
        assert executor.status_counts() | {"failed": 0} == dict.fromkeys(EventStatus.allowed(), 0) | {
            "completed": 250,
            "cancelled": 250,
        }


@pytest.mark.parametrize(
    "action",
    [
        Action(what="dance", by="me"),
        Action(what="cancel", by="me"),
        Action(what="retry", by="me"),
        Action(what="cancel", by="me", id="no id"),
        Action(what="cancel", by="me", id="0" * 32),
        Action(what="retry", by="me", id="0" * 32),
        Action(what="cancel", by="me", choice=Choice(status="completed")),
        Action(what="retry", by="me", choice=Choice(status="pending")),
        Action(what="resize", by="me", amount=0),
        Action(what="pause", by="me", key="k"),
    ],
)
async def test_refusals(action):
    """What cannot be done is refused by an error of the package, and nothing changes."""
    executor = make_executor()
    source = source_of(executor)
    async with executor:
        await executor.append(Job())
        before = executor.status_counts(), executor.is_paused
        with pytest.raises(LionprideError):
            await source.act(action)
        assert (executor.status_counts(), executor.is_paused) == before
    read_only = source_of(executor, writable=False)
    assert not read_only.takes_actions
    with pytest.raises(OperationError, match="read-only"):
        await read_only.act(Action(what="pause", by="me"))


async def test_resize():
    """The number of slots is changed."""
    executor = make_executor(concurrency_limit=2)
    source = source_of(executor)
    async with executor:
        await executor.append(Job())
        assert await source.act(Action(what="resize", by="me", amount=7)) == "7 events may run at the same time"
        assert (await source.snapshot()).slots == 7


class Untold(Event):
    """Has no form as a dict."""

    def to_dict(self, mode="python", **options):
        super().to_dict(mode, **options)
        raise RuntimeError("no form")


async def test_an_event_whose_fields_cannot_be_told():
    """Its page says why, and a search of the texts of all events goes on."""
    executor = Executor.of(Event)
    source = source_of(executor)
    event = Untold()
    await executor.append(event)
    view = await source.event(str(event.id))
    assert view.data == "to_dict() raised RuntimeError: no form"
    assert await names_of(source, Choice(text="no form")) == [str(event.id)]
    assert await names_of(source, Choice(text="other")) == []


@pytest.mark.parametrize("digits", ["9" * 400, "-" + "9" * 400, "9" * 5000, "x", ""])
async def test_a_place_that_no_page_has_named(digits):
    """It is refused like any text that is no place."""
    executor = make_executor()
    event = await executor.append(Job())
    with pytest.raises(NotFoundError, match="there is no such page"):
        await source_of(executor).events(Choice(), f"p{event.id.hex}{digits}", 10)
