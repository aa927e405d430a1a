"""Ctrl-C while an event runs, wherever the event loop raises the ``KeyboardInterrupt``."""

import asyncio
import signal

import anyio
import pytest
from support import counts

from lionpride_exec import Event, EventCancelled, EventStatus, Executor, Retry
from lionpride_exec.testing import BACKENDS, backend_options, check_invariants

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # of the loop that breaks


class Work(Event, tag="tests.ctrl_c_work"):
    """Presses Ctrl-C in its own code in the first run, as Trio may have it. Then it waits or returns."""

    presses: int = 1
    in_group: bool = False
    raises: bool = False

    async def _invoke(self):
        if runs:
            return "done"
        runs.append(self)
        if self.raises:
            raise KeyboardInterrupt
        if self.in_group:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(self.press)
        return await self.press()

    async def press(self):
        for _ in range(self.presses):
            signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()


class Held(Work, tag="tests.ctrl_c_held", on_crash="hold"):
    """Does not run again by itself after a crash."""


runs = []


@pytest.fixture(autouse=True)
def no_runs():
    """Each test begins without a run."""
    runs.clear()


def run(backend, executor, *events):
    """Run an executor until Ctrl-C ends the program."""

    async def main():
        async with executor:
            await executor.extend(events)
            await anyio.sleep_forever()

    name, options = backend_options(backend)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=name, backend_options=options)
    assert isinstance(caught.value, KeyboardInterrupt) or caught.group_contains(KeyboardInterrupt)
    check_invariants(executor)


def go_on(backend, executor):
    """Run what is left."""

    async def main():
        async with executor:
            await executor.join()

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
@pytest.mark.parametrize("options", [{}, {"presses": 2}, {"in_group": True}], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_with_a_journal_the_event_runs_again(tmp_path, backend, options, ack):
    """On Trio it had ended FAILED for good, with the KeyboardInterrupt that hit it."""
    pytest.importorskip("msgspec")
    from lionpride_exec import Journal  # noqa: PLC0415  needs the extra

    path = tmp_path / "run.db"
    executor, event = Executor.of(Event, journal=Journal(path, ack=ack)), Work(**options)
    run(backend, executor, event)
    assert event.status is EventStatus.PENDING
    assert (event.execution.attempt, [one.interrupted for one in event.execution.attempts]) == (0, [True])
    again = Executor.of(Event, journal=Journal(path))
    go_on(backend, again)
    assert (counts(again), len(runs)) == ({"completed": 1}, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_with_a_retry_runs_again(backend):
    """At the next start. The run that was cut off is no attempt."""
    executor, event = Executor.of(Event), Work(retry=Retry(1))
    run(backend, executor, event)
    assert (event.status, event.execution.attempt) == (EventStatus.PENDING, 0)
    go_on(backend, executor)
    assert event.status is EventStatus.COMPLETED


@pytest.mark.parametrize("kind", [Work, Held])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_that_cannot_run_again_is_cancelled(tmp_path, backend, kind):
    """As by any interruption. The error may be retried."""
    journal = None
    if kind is Held:
        pytest.importorskip("msgspec")
        from lionpride_exec import Journal  # noqa: PLC0415  needs the extra

        journal = Journal(tmp_path / "run.db")
    executor, event = Executor.of(Event, journal=journal), kind()
    run(backend, executor, event)
    assert event.status is EventStatus.CANCELLED
    assert isinstance(event.execution.error, EventCancelled)
    assert event.execution.error.retryable


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_that_was_cancelled_before_stays_so(backend):
    """The verdict of ``cancel()`` comes first."""

    class Cancelled(Work, tag="tests.ctrl_c_cancelled"):
        async def _invoke(self):
            executor.cancel(self, "not wanted")
            await super()._invoke()

    executor, event = Executor.of(Event, retry=Retry(3)), Cancelled(presses=2)
    run(backend, executor, event)
    assert (event.status, str(event.execution.error)) == (EventStatus.CANCELLED, "not wanted")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_that_raises_it_fails(tmp_path, backend):
    """Its own KeyboardInterrupt is no Ctrl-C. Run again, it would end the program at each start."""
    pytest.importorskip("msgspec")
    from lionpride_exec import Journal  # noqa: PLC0415  needs the extra

    executor, event = Executor.of(Event, journal=Journal(tmp_path / "run.db")), Work(raises=True)
    run(backend, executor, event)
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, KeyboardInterrupt)


def test_a_loop_with_the_handler_of_python():
    """Without ``asyncio.Runner`` the handler is no Python function, so the error has no frame of it."""
    executor, event = Executor.of(Event), Work(retry=Retry(1))

    async def main():
        async with executor:
            await executor.append(event)
            await anyio.sleep_forever()

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main())
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        with pytest.raises((asyncio.CancelledError, KeyboardInterrupt)):
            loop.run_until_complete(asyncio.gather(*tasks))
    finally:
        loop.close()
    assert event.status is EventStatus.PENDING
