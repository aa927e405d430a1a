"""What is recorded of an error: the error itself, and whatever it does when it is looked at does no harm."""

import json
from contextlib import suppress

import anyio
import pytest
from anyio import get_cancelled_exc_class
from support import Job, make_executor

from lionpride_exec import Event, EventCancelled, EventFailed, EventStatus, Executor, Journal, Retry
from lionpride_exec.testing import BACKENDS, record, run

# -------------------------------------------------------------------- no cancellation of the event loop


def everything_in(error):
    """Return an error and all that it holds: members, causes, contexts."""
    found, seen = [error], []
    while found:
        one = found.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        found += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return seen


async def raises_in_cleanup():
    """Raise an error of its own while it is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        raise ValueError("cleanup")


async def raises_from_a_cancellation():
    """Raise an error from the cancellation that it was made of."""
    try:
        await anyio.sleep_forever()
    except get_cancelled_exc_class() as exc:
        raise ValueError("cleanup") from exc


async def raises_late_in_cleanup():
    """Raise an error two steps away from the cancellation."""
    try:
        await raises_in_cleanup()
    except ValueError as exc:
        raise KeyError("after") from exc


async def raises_a_group():
    """Raise a group of an error and a cancellation."""
    try:
        await anyio.sleep_forever()
    except get_cancelled_exc_class() as exc:
        raise BaseExceptionGroup("both", [ValueError("one"), BaseExceptionGroup("inner", [exc])]) from None


async def raises_an_odd_group():
    """Raise a group whose class cannot be derived."""

    class Odd(BaseExceptionGroup):
        def derive(self, members):
            raise OSError

    try:
        await anyio.sleep_forever()
    except get_cancelled_exc_class() as exc:
        raise Odd("odd", [ValueError("one"), exc]) from None


async def is_cancelled():
    """Just be cancelled."""
    await anyio.sleep_forever()


EXPECTED = {
    raises_in_cleanup: ("ValueError", "cleanup"),
    raises_from_a_cancellation: ("ValueError", "cleanup"),
    raises_late_in_cleanup: ("KeyError", "'after'"),
    raises_a_group: ("ExceptionGroup", "both (1 sub-exception)"),
    raises_an_odd_group: ("ExceptionGroup", "odd (1 sub-exception)"),
    is_cancelled: ("EventCancelled", "cancelled"),
}


class Does(Event):
    """Does what it is given."""

    what: object = None

    async def _invoke(self):
        await self.what()


@pytest.mark.parametrize("what", EXPECTED)
def test_the_error_of_a_cancelled_run_is_the_same_on_all_backends(what):
    """It holds no cancellation of the event loop, in none of its parts, and reads the same everywhere."""

    async def main():
        event = Does(what=what)
        with suppress(BaseExceptionGroup, OSError), anyio.move_on_after(1):  # AnyIO derives groups too
            async with anyio.create_task_group() as group:
                group.start_soon(event.invoke)
        error = event.execution.error
        assert not any(isinstance(one, get_cancelled_exc_class()) for one in everything_in(error))
        return type(error).__name__, str(error), event.execution.retryable, event.execution.to_dict()["error"]

    told = [run(main, backend=backend) for backend in BACKENDS]
    assert told == [told[0]] * len(BACKENDS)
    assert told[0][:3] == (*EXPECTED[what], True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupted_attempt_is_recorded_alike(backend):
    """A run that its executor's end interrupted, and that is run again, has the same error on each backend."""

    async def main():
        executor = make_executor(retry=Retry(3))
        event = Job(seconds=2.0)
        with anyio.move_on_after(1):
            async with executor:
                await executor.append(event)
        (attempt,) = event.execution.attempts
        assert attempt.interrupted
        return repr(attempt.error), event.status

    assert run(main, backend=backend) == (repr(EventCancelled("cancelled", retryable=True)), EventStatus.PENDING)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_going_on_before_is_kept(backend):
    """An error that was handled when the cancellation came is still the context; so is a cause of its own."""

    async def both():
        try:
            int("first")
        except ValueError:
            try:
                await anyio.sleep_forever()
            finally:
                raise LookupError("second") from KeyError("cause")

    async def main():
        event = Does(what=both)
        with anyio.move_on_after(1):
            await event.invoke()
        return event.execution.error

    error = run(main, backend=backend)
    assert [type(one) for one in (error, error.__cause__, error.__context__)] == [LookupError, KeyError, ValueError]
    assert error.__suppress_context__


# -------------------------------------------------------------------- errors that do harm when they are looked at


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NotText(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307  that is the point

    __repr__ = __str__


class Liar(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class OddText(Exception):
    def __str__(self):
        class Text(str):
            __slots__ = ()

            def encode(self, *_):
                raise RuntimeError("no bytes")

            def split(self, *_):
                raise RuntimeError("no words")

        return Text("odd")


class NoLook(Exception):
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")

    @property
    def args(self):
        raise RuntimeError("no args")

    @property
    def __traceback__(self):
        raise RuntimeError("no traceback")

    @property
    def __context__(self):
        raise RuntimeError("no context")

    @property
    def __notes__(self):
        raise RuntimeError("no notes")


class NoCompare(Exception):
    def __eq__(self, other):
        raise RuntimeError("no equality")

    __hash__ = None

    def __bool__(self):
        raise RuntimeError("no truth")

    def __reduce__(self):
        raise RuntimeError("no pickle")


class OddGroup(ExceptionGroup):
    def derive(self, members):
        return None

    @property
    def exceptions(self):
        raise RuntimeError("no members")

    def split(self, condition):
        raise RuntimeError("no split")


class NotRetryable(EventCancelled):
    @property
    def retryable(self):
        raise RuntimeError("cannot say")

    @retryable.setter
    def retryable(self, value):
        pass


ODD = {
    "no text": NoText,
    "not a text": NotText,
    "lies about its class": Liar,
    "an odd text": OddText,
    "cannot be looked at": NoLook,
    "cannot be compared": NoCompare,
    "an odd group": lambda: OddGroup("odd", [NoText(), ValueError("plain")]),
    "a group of odd ones": lambda: ExceptionGroup("odd", [Liar(), NoLook(), NoCompare()]),
    "retryable raises": NotRetryable,
    "odd cause": lambda: _with_cause(ValueError("plain"), NoText()),
}


def _with_cause(error, cause):
    error.__cause__ = cause
    return error


class Raises(Event, tag="tests.raises-odd"):
    """Raises an odd error."""

    which: str

    async def _invoke(self):
        await anyio.sleep(0.5)
        raise ODD[self.which]()  # noqa: RSE102  some are functions


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("which", ODD)
@pytest.mark.parametrize("has_journal", [False, True])
def test_an_odd_error_does_no_harm(backend, which, has_journal, tmp_path):
    """Its event ends FAILED, is retried, told of, recorded and kept like any other."""

    async def main():
        journal = Journal(tmp_path / "run.db") if has_journal else None
        executor = Executor.of(Raises, retry=Retry(2, jitter=0), **({"journal": journal} if has_journal else {}))
        told = []
        executor.observe(lambda event, _, status: told.append((status, str(event.execution.to_dict()))))
        with record(executor) as trace:
            async with executor, anyio.create_task_group() as group:
                watcher = executor.watch()

                async def watch():
                    told.extend([repr(change.status) async for change in watcher])

                group.start_soon(watch)
                event = await executor.append(Raises(which=which))
                good = await executor.append(Raises(which="odd cause"))
                executor.explain(event)
                await event.wait()
                await good.wait()
                executor.explain(event)
                str(executor.statistics()), str(executor.progress()), executor.inspect_state(), repr(executor)
                await watcher.aclose()
        trace.check()
        assert str(trace)
        assert event.status is EventStatus.FAILED
        assert len(event.execution.attempts) == (which != "retryable raises")
        with pytest.raises(EventFailed):
            event.result()
        event.history()
        json.dumps(event.to_dict(mode="json"))
        return [event.execution.error]

    (error,) = run(main, backend=backend)
    assert issubclass(type(error), Exception)
