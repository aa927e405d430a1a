"""Plain functions in processes: what is sent together, what dies, and what a cancellation does."""

import os
import sys
import time
from collections import Counter
from functools import partial
from types import SimpleNamespace

import anyio
import pytest
from anyio import to_thread
from plain_work import (
    FUNCTIONS,
    Asks,
    Parse,
    die,
    die_at,
    double,
    fail,
    fail_oddly,
    leave,
    process_of,
    refuse,
    returns_coroutine,
    skip,
    unsendable,
    wait_at,
    wait_for,
    wait_until_begun,
)
from support import check_invariants, counts

from lionpride_exec import Call, EventStatus, ExecutionError, Executor, Journal, Retry

pytestmark = pytest.mark.anyio


class InProcess(Call, run_in="process"):
    """A call beside others, so the executor starts more of them than there are processes."""


def in_processes(function, processes=1, **config):
    """Make an executor of a plain function."""
    return Executor.of(function, run_in="process", processes=processes, **config)


async def has_begun(name, directory):
    """Wait until a function waits in its process."""
    await to_thread.run_sync(wait_until_begun, name, directory)


def let_go(name, directory):
    """Let a function that waits go on."""
    (directory / f"{name}.go").touch()


def runs_of(directory):
    """Return how often each number has run."""
    return Counter({int(path.name): path.read_text().count("\n") for path in directory.iterdir() if path.suffix == ""})


async def finish(executor, events):
    """Wait for the ends of events, and return their responses; None for those that failed."""
    return [event.result() if event.status == "completed" else None async for event in executor.as_completed(events)]


# ---------------------------------------------------------------- results


async def test_calls_run_in_other_processes():
    """As many of them as there may be."""
    async with in_processes(process_of, 2) as executor:
        found = {event.result() async for event in executor.map(process_of, range(200))}
    assert os.getpid() not in found
    assert len(found) in {1, 2}


async def test_what_can_be_pickled_can_be_called():
    """Functions, partials, objects and methods. The results come back in the order of the items if asked for."""
    for function in FUNCTIONS:
        async with in_processes(function) as executor:
            found = [event.result() async for event in executor.map(function, range(300), ordered=True)]
        assert found == [2 * number for number in range(300)]


async def test_an_event_class_in_a_process():
    """The process has a copy: what it changes stays there, and only the result comes back."""
    async with Executor.of(Parse) as executor:
        event = await executor.append(Parse(text="1", metadata={"number": 7}))
        assert await executor.invoke(Parse(text="1")) != os.getpid()
        await event.wait()
    assert (event.result(), event.text) == (7, "1")


async def test_a_class_of_calls_in_a_process():
    """In any executor, and alone."""

    class InProcess(Call, run_in="process"):
        pass

    async with Executor.of(double) as executor:
        assert await executor.invoke(InProcess.of(process_of)) != os.getpid()
    alone = InProcess.of(double, 4, plus=1)
    await alone.invoke()
    assert alone.result() == 9


async def test_errors_come_back():
    """With their class, and the traceback of the process as their cause."""
    async with in_processes(double) as executor:
        failed, skipped = await executor.extend([Call.of(fail, "no"), Call.of(skip, "not this")])
    error = failed.execution.error
    assert (type(error), str(error)) == (ValueError, "no")
    lines = str(error.__cause__).strip().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "plain_work.py" in lines[1]  # the first frame is that of the function
    assert lines[-1] == "ValueError: no"
    assert skipped.status is EventStatus.SKIPPED


async def test_a_refusal_pauses():
    """RateLimited in a process does what it does elsewhere: the event runs again."""
    async with in_processes(double) as executor:
        event = await executor.append(Call.of(refuse, 3))
        async with executor.watch() as watcher:
            async for transition in watcher:
                if transition.status is EventStatus.PENDING:
                    break
        executor.cancel(event)
    assert executor.statistics().rate_limited == 1


WITHOUT_OUTCOME = [
    (unsendable, 1, "its result, of class function, cannot be sent back: ", False),
    (fail_oddly, 1, "its error cannot be sent back: Odd: odd", True),
    (double, lambda: None, "a function or its arguments cannot be sent to a process: ", False),
    (lambda _: None, 1, "a function or its arguments cannot be sent to a process: ", False),
    (leave, 3, "it raised SystemExit: 3", False),
    (die, 1, "the process that ran the function has died", True),
]


async def test_what_cannot_come_back_fails():
    """FAILED, with the reason; the next calls are not affected."""
    async with in_processes(double) as executor:
        for function, argument, message, retryable in WITHOUT_OUTCOME:
            event = await executor.append(Call.of(function, argument))
            assert await executor.invoke(Call.of(double, 1)) == 2
            await event.wait()
            assert event.status is EventStatus.FAILED
            assert isinstance(event.execution.error, ExecutionError)
            assert message in str(event.execution.error)
            assert event.execution.retryable is retryable
        event = await executor.append(Call.of(returns_coroutine, 1))
    assert "returned a coroutine: a function that returns one must be async" in str(event.execution.error)


@pytest.mark.parametrize("question", ["settle", "after_results"])
async def test_the_copy_of_an_event_in_a_process_says_what_it_cannot_do(question):
    """A method that needs the program raises there, and names the remedy."""
    async with Executor.of(Asks, processes=1) as executor:
        event = await executor.append(Asks(question=question))
    error = event.execution.error
    assert type(error) is RuntimeError
    assert f"is a copy: {question}() works in the event loop and in threads" in str(error)
    assert "pass what the function needs as fields or arguments" in str(error)


# ---------------------------------------------------------------- how many


async def test_long_calls_run_alone(tmp_path):
    """As many events are PROCESSING as there are processes."""
    function = partial(wait_for, directory=tmp_path)
    async with in_processes(function, 2) as executor:
        events = await executor.extend([Call.of(function, number) for number in range(4)])
        for number in (0, 1):
            await has_begun(number, tmp_path)
        assert counts(executor) == {"pending": 2, "processing": 2}
        assert executor.statistics().working == {"process": 2}
        for number in range(4):
            let_go(number, tmp_path)
    assert [event.result() for event in events] == [0, 1, 2, 3]
    check_invariants(executor)


async def test_short_calls_are_sent_together():
    """More events run then than there are processes, up to the concurrency limit."""
    async with in_processes(double, 1, concurrency_limit=50) as executor:
        [_ async for _ in executor.map(double, range(100))]
        most = 0
        async for _ in executor.map(double, range(500)):
            most = max(most, executor.statistics().running)
    assert 10 < most <= 50


# ---------------------------------------------------------------- deaths and cancellations


async def test_one_call_dies_with_its_process(tmp_path):
    """The others of its chunk keep their results, or run once in the next process."""
    function = partial(die_at, bad=150, directory=tmp_path)
    async with in_processes(function) as executor:
        events = await executor.extend([Call.of(function, number) for number in range(300)])
    failed = [event for event in events if event.status is not EventStatus.COMPLETED]
    assert [event.args for event in failed] == [(150,)]
    assert failed[0].execution.retryable
    assert runs_of(tmp_path) == dict.fromkeys(range(300), 1)


async def test_a_dead_process_is_followed_by_another_attempt():
    """With a Retry."""
    async with in_processes(die, retry=Retry(2)) as executor:
        event = await executor.append(Call.of(die))
    assert event.status is EventStatus.FAILED
    assert event.execution.attempt == 2


async def test_a_cancelled_call_ends_its_process(tmp_path):
    """At once. The others of its chunk run once, in this process before or in the next one."""
    function = partial(wait_at, bad=150, directory=tmp_path)
    async with in_processes(function) as executor:
        events = await executor.extend([Call.of(function, number) for number in range(300)])
        await has_begun(150, tmp_path)
        executor.cancel(events[150], "too long")
        await events[150].wait()
        assert events[150].status is EventStatus.CANCELLED
    assert [event.status for event in events].count(EventStatus.COMPLETED) == 299
    assert runs_of(tmp_path) == dict.fromkeys(range(300), 1)


async def test_a_cancelled_call_that_has_not_begun(tmp_path):
    """It is taken out of its chunk. Nothing is killed."""
    function = partial(wait_at, bad=150, directory=tmp_path)
    async with in_processes(function, concurrency_limit=300) as executor:
        events = await executor.extend([Call.of(function, number) for number in range(300)])
        await has_begun(150, tmp_path)
        behind = next(event for event in reversed(events) if event.status is EventStatus.PROCESSING)
        assert behind is not events[150]
        executor.cancel(behind)
        await behind.wait()
        assert behind.status is EventStatus.CANCELLED
        assert events[150].status is EventStatus.PROCESSING
        let_go(150, tmp_path)
    assert events[150].result() == 150
    assert counts(executor) == {"completed": 299, "cancelled": 1}
    assert runs_of(tmp_path) == {number: 1 for number in range(300) if events[number] is not behind}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_long_call_does_not_hold_up_those_behind_it(backend, tmp_path):
    """What stands behind it in its chunk is taken back after 0.8 s, and runs in another process."""
    function = partial(wait_at, bad=150, directory=tmp_path)

    async def main():
        async with in_processes(function, 2) as executor:
            events = await executor.extend([Call.of(function, number) for number in range(300)])
            assert len(await finish(executor, events[:150] + events[151:])) == 299
            assert events[150].status is EventStatus.PROCESSING
            let_go(150, tmp_path)
        return events[150].result()

    # By the real clock: a virtual one stands still while a process works, and what is tested is a time.
    assert anyio.run(main, backend=backend) == 150
    assert runs_of(tmp_path) == dict.fromkeys(range(300), 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_timeout_does_not_go_on_while_a_call_waits_for_a_process(backend):
    """Nor while the process starts: by the real clock, which goes on while a process works."""

    async def main():
        async with Executor.of(Call, processes=1, timeout=1.5) as executor:
            return await executor.extend([InProcess(function=time.sleep, args=(0.5,)) for _ in range(4)])

    events = anyio.run(main, backend=backend)
    assert [event.status.value for event in events] == ["completed"] * 4
    assert events[-1].execution.duration > 1.5


async def test_a_block_that_is_left_leaves_no_process_at_work(tmp_path):
    """By a cancellation: what ran ends CANCELLED, what had not begun is PENDING or CANCELLED, and runs no more."""
    function = partial(wait_at, bad=150, directory=tmp_path)
    with anyio.CancelScope() as scope:
        async with in_processes(function) as executor:
            events = await executor.extend([Call.of(function, number) for number in range(300)])
            await has_begun(150, tmp_path)
            scope.cancel()
            await anyio.sleep_forever()
    assert executor.statistics().working == {}
    assert not executor.processing_events
    assert events[150].status is EventStatus.CANCELLED
    before = runs_of(tmp_path)
    let_go(150, tmp_path)
    async with Executor.of(double, run_in="process", processes=1) as executor:
        assert await executor.invoke(Call.of(double, 1)) == 2
    assert runs_of(tmp_path) == before
    assert max(before.values()) == 1


async def test_a_stop_with_grace_ends_the_processes(tmp_path):
    """After the grace."""
    function = partial(wait_for, directory=tmp_path)
    async with in_processes(function) as executor:
        event = await executor.append(Call.of(function, 1))
        await has_begun(1, tmp_path)
        await executor.stop(grace=0)
    assert event.status is EventStatus.CANCELLED


# ---------------------------------------------------------------- with a journal


async def test_calls_in_processes_with_a_journal(tmp_path):
    """An interrupted call runs again after the restart."""
    path, work = tmp_path / "run.db", tmp_path / "work"
    work.mkdir()
    function = partial(wait_for, directory=work)
    with pytest.raises(ExceptionGroup):
        async with in_processes(function, journal=Journal(path, types={"wait": function})) as executor:
            await executor.append(Call.of(function, "a"))
            await has_begun("a", work)
            raise ZeroDivisionError
    let_go("a", work)
    async with in_processes(function, journal=Journal(path, types={"wait": function})) as executor:
        await executor.join()
        assert counts(executor) == {"completed": 1}
    assert (work / "a.began").read_text().count("\n") == 2


async def test_uvloop_starts_no_process_beside_interpreters(monkeypatch, request):
    """The process would crash in CPython 3.14 and 3.15. The event fails with the remedy, and has no other attempt."""
    interpreters = SimpleNamespace(list_all=lambda: ["main", "another"])
    monkeypatch.setitem(sys.modules, "concurrent.interpreters", interpreters)
    async with in_processes(double, retry=Retry(3)) as executor:
        event = await executor.append(Call.of(double, 2))
        await event.wait()
    if "uvloop" in request.node.callspec.id:
        assert event.status is EventStatus.FAILED
        assert "uvloop cannot start a process in a program that has called" in str(event.execution.error)
        assert event.execution.attempts == ()
    else:
        assert event.result() == 4
