"""Failures that nobody has looked at: the end of a lifetime tells of them, once."""

import gc
import logging
import pickle
import weakref

import anyio
import pytest
from support import Job, make_executor, with_processor

from lionpride_exec import Call, Deny, Event, Executor, Journal, Processor, Retain, Retry, Skip

pytestmark = pytest.mark.anyio


def broken(message="broken", **fields):
    """Return an event that fails."""
    return Job(error=LookupError(message), **fields)


def warnings(caplog):
    """Return what was told of failures."""
    return [record for record in caplog.records if "nobody has looked" in record.getMessage()]


def told(caplog):
    """Return the one warning: its text, and the error whose traceback it has."""
    (record,) = warnings(caplog)
    assert (record.name, record.levelno) == ("lionpride_exec", logging.WARNING)
    return record.getMessage(), record.exc_info[1]


# -------------------------------------------------------------------- when it is told


async def test_the_end_of_a_block_tells_of_failures(caplog):
    """How many, and the traceback of the first."""
    async with make_executor() as executor:
        first, *_ = await executor.extend([broken("one"), broken("two"), Job()], priority=0)
        await executor.join()
        assert not warnings(caplog)
    message, error = told(caplog)
    assert ": 2 failed; the first is Job " in message
    assert str(first.id) in message
    assert error is first.execution.error
    assert "in _invoke" in caplog.text


async def test_a_block_left_by_an_exception_tells_too(caplog):
    """What failed before is no less true."""
    with pytest.raises(ExceptionGroup):
        async with make_executor() as executor:
            await executor.append(broken())
            await executor.join()
            raise ValueError
    assert ": 1 failed" in told(caplog)[0]


async def test_the_end_of_run_tells_of_failures(caplog):
    """Once `stop()` has ended it."""
    executor = make_executor()
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(broken())
        await executor.join()
        await executor.stop()
    assert ": 1 failed" in told(caplog)[0]


async def test_a_stop_after_start_tells_of_failures(caplog):
    """By the time it returns."""
    executor = make_executor()
    await executor.start()
    await executor.append(broken())
    await executor.join()
    await executor.stop()
    assert ": 1 failed" in told(caplog)[0]


async def test_a_stop_inside_a_block_tells_nothing(caplog):
    """The lifetime goes on."""
    async with make_executor() as executor:
        await executor.append(broken())
        await executor.join()
        await executor.stop()
        assert not warnings(caplog)
    assert len(warnings(caplog)) == 1


async def test_each_lifetime_tells_of_its_own_failures(caplog):
    """What was told is not told again."""
    executor = make_executor()
    async with executor:
        await executor.append(broken())
    async with executor:
        await executor.append(Job())
    assert len(warnings(caplog)) == 1
    async with executor:
        await executor.append(broken("again"))
    assert str(warnings(caplog)[1].exc_info[1]) == "again"


async def test_an_error_that_cannot_be_looked_at_ends_no_block(caplog):
    """Not even one that has no truth, which logging asks for: the message is told without its traceback."""

    def fails(*_):
        raise OSError

    names = ("__bool__", "__str__", "__repr__", "__eq__")
    evil = type("Evil", (Exception,), dict.fromkeys(names, fails) | {"__hash__": None})

    async def fail():
        raise evil

    async with Executor.of(fail) as executor:
        await executor.append(Call.of(fail))
    (record,) = warnings(caplog)
    assert "1 failed; the first is Call" in record.getMessage()


async def test_without_failures_nothing_is_told(caplog):
    """Nor of what was retried until it completed."""

    class Flaky(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise LookupError

    async with make_executor(retry=Retry(2)) as executor:
        await executor.extend([Job(), Flaky()])
    assert not warnings(caplog)


async def test_with_a_journal_it_is_the_same(caplog, tmp_path):
    """Events that are on disk have left memory."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        first = await executor.append(Failing(n=1))
        await executor.append(Failing(n=2))
        seen = await executor.append(Failing(n=3))
        await seen.wait()
        with pytest.raises(Exception, match="3"):
            seen.result()
    message, error = told(caplog)
    assert ": 2 failed" in message
    assert error is first.execution.error


@pytest.mark.filterwarnings("ignore:.*in the journal")
async def test_a_list_that_lacks_events_is_no_look_at_them(caplog, tmp_path):
    """With a journal those that are on disk only are still told of."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.append(Failing(n=1))
        await executor.join()
        await anyio.sleep(1)  # until its end is on disk
        assert executor.failed_events == []
    assert ": 1 failed" in told(caplog)[0]


class Failing(Event, tag="test_unseen.failing"):
    """Fails."""

    n: int

    async def _invoke(self):
        raise LookupError(self.n)


# -------------------------------------------------------------------- what counts as looking


async def ask_result(executor, event):
    await event.wait()
    with pytest.raises(Exception, match="broken"):
        event.result()


async def read_failed_events(executor, event):
    await executor.join()
    assert executor.failed_events == [event]


async def ask_by_status(executor, event):
    await executor.join()
    executor.get_events_by_status("failed")


async def iterate(executor, event):
    async for ended in executor.as_completed([event]):
        assert ended is event


@pytest.mark.parametrize("look", [ask_result, read_failed_events, ask_by_status, iterate])
async def test_who_looks_is_not_warned(caplog, look):
    """A result that was asked for, a list of the failed events, an event that was given."""
    async with make_executor() as executor:
        await look(executor, await executor.append(broken()))
    assert not warnings(caplog)


async def test_an_invoke_looks(caplog):
    """It raises what the event ended with."""
    async with make_executor() as executor:
        with pytest.raises(Exception, match="broken"):
            await executor.invoke(broken())
    assert not warnings(caplog)


@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"fail_fast": True}])
async def test_a_map_looks(caplog, options):
    """An event that it gives is seen, and so is one that it raises for."""

    async def fail(item):
        raise LookupError(item)

    with pytest.raises(ExceptionGroup) if options.get("fail_fast") else anyio.CancelScope():
        async with Executor.of(fail, concurrency_limit=1) as executor:
            async for _ in executor.map(fail, [1], **options):
                pass
    assert not warnings(caplog)


async def test_what_a_map_has_not_given_is_not_seen(caplog):
    """The loop was left before."""

    async def fail(item):
        raise LookupError(item)

    async with Executor.of(fail) as executor:
        async for _ in executor.map(fail, range(3), lookahead=3):
            await executor.join()
            break
    assert ": 2 failed" in told(caplog)[0]


async def test_an_observer_looks(caplog):
    """It is told of every transition."""
    async with make_executor() as executor:
        end = executor.observe(lambda *_: None)
        await executor.append(broken())
        await executor.join()
        end()
    assert not warnings(caplog)


@pytest.mark.parametrize(("statuses", "warned"), [(None, False), (["failed"], False), (["completed"], True)])
async def test_a_watcher_looks_at_what_it_is_told(caplog, statuses, warned):
    """One that watches for other statuses learns of no failure."""
    async with make_executor() as executor, executor.watch(statuses=statuses):
        await executor.append(broken())
        await executor.join()
    assert bool(warnings(caplog)) is warned


@pytest.mark.parametrize("look", ["wait", "status_counts", "progress", "cleanup", "completed_events"])
async def test_what_is_no_look(caplog, look):
    """To learn that an event has ended, or how many failed, is not to learn why."""
    async with make_executor() as executor:
        event = await executor.append(broken())
        await event.wait()
        if look == "cleanup":
            await executor.cleanup_events()
        elif look == "completed_events":
            assert executor.completed_events == []
        elif look != "wait":
            getattr(executor, look)()
    assert told(caplog)[1] is event.execution.error


async def test_the_traceback_is_that_of_the_first_that_nobody_looked_at(caplog):
    """Others have been seen, before it and after it."""
    async with make_executor() as executor:
        events = await executor.extend([broken(str(number)) for number in range(4)], priority=0)
        await executor.join()
        for event in (events[0], events[2]):
            with pytest.raises(Exception, match=r"."):
                event.result()
    message, error = told(caplog)
    assert ": 2 failed" in message
    assert str(error) == "1"


async def test_a_look_after_all_were_looked_at_counts_nothing_twice(caplog):
    """The list was read before; a new failure is still counted."""
    async with make_executor() as executor:
        event = await executor.append(broken("old"))
        await executor.join()
        assert executor.failed_events
        await executor.append(broken("new"))
        await executor.join()
        with pytest.raises(Exception, match="old"):
            event.result()
    message, error = told(caplog)
    assert ": 1 failed" in message
    assert str(error) == "new"


# -------------------------------------------------------------------- another object of the event, from a journal


async def get_it(executor, event):
    return await executor.get(event.id)


async def append_its_key(executor, event):
    return await executor.append(Failing(n=9), key=event.n)


async def map_its_key(executor, event):
    (again,) = [again async for again in executor.map(Failing, [event.n], key=int)]
    return again


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("read", [get_it, append_its_key, map_its_key])
async def test_a_look_at_an_object_from_the_journal_counts(caplog, tmp_path, read, removed):
    """It is a look at its event, once, however often such an object is given."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        other = await executor.append(Failing(n=1), key=1)
        first = await executor.append(Failing(n=2), key=2)
        await executor.join()
        if removed:
            await executor.cleanup_events()
        await anyio.sleep(1)  # until both ends are on disk
        for _ in range(2):
            again = await read(executor, first)
            assert again.id == first.id
            assert again is not first
            with pytest.raises(Exception, match="2"):
                again.result()
    message, error = told(caplog)
    assert ": 1 failed; " in message
    assert error is other.execution.error


async def test_an_object_from_the_journal_is_no_look_by_itself(caplog, tmp_path):
    """As to be told the status: somebody has to ask for the result."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        first = await executor.append(Failing(n=1))
        await executor.join()
        await anyio.sleep(1)
        assert (await executor.get(first.id)).status == "failed"
    assert ": 1 failed; " in told(caplog)[0]


@pytest.mark.parametrize("step", [1, -1])
async def test_looks_at_two_objects_of_an_event_count_once(caplog, tmp_path, step):
    """In either order: the second look subtracts nothing from the others."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.append(Failing(n=1))
        first = await executor.append(Failing(n=2))
        await executor.join()
        await anyio.sleep(1)
        again = await executor.get(first.id)
        for each in (first, again)[::step]:
            with pytest.raises(Exception, match="2"):
                each.result()
    assert ": 1 failed; " in told(caplog)[0]


async def test_restored_events_that_fail_before_a_map_comes_to_their_keys_are_seen(caplog, tmp_path):
    """The map gives an object from the journal for each of them."""
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        executor.pause()
        await executor.extend([Failing(n=n) for n in range(50)], priority=0, key=lambda event: event.n)
        await executor.stop()
    looked = 0
    async with Executor.of(Failing, journal=Journal(tmp_path / "run.db")) as executor:
        await anyio.sleep(9)
        async for event in executor.map(Failing, range(60), key=int):
            with pytest.raises(Exception, match=str(event.n)):
                event.result()
            looked += 1
    assert looked == 60
    assert not warnings(caplog)


# -------------------------------------------------------------------- what counts as a failure


async def test_timeouts_and_refusals_are_told_too(caplog):
    """CANCELLED by its own timeout, ABORTED by its gate."""

    class Gate(Processor):
        event_type = Job

        async def request_permission(self, **_):
            return Deny("no")

    async with make_executor() as executor:
        await executor.append(Job(seconds=9, timeout=1))
    assert ": 1 timed out" in warnings(caplog)[0].getMessage()
    async with with_processor(Gate) as executor:
        await executor.append(Job())
    assert ": 1 aborted" in warnings(caplog)[1].getMessage()


async def test_what_somebody_has_asked_for_is_no_failure(caplog):
    """A cancellation, a skip, a stop; an error that goes on to the owner."""

    class Skipping(Job):
        async def _invoke(self):
            raise Skip("no need")

    async with make_executor() as executor:
        cancelled, *_ = await executor.extend([Job(seconds=9), Skipping(), Job(seconds=9)])
        executor.cancel(cancelled, "no")
        await executor.stop(grace=1)
    assert not warnings(caplog)


async def test_a_status_that_was_set_by_hand_is_no_failure(caplog):
    """There is no error to be told."""
    async with make_executor() as executor:
        event = await executor.append(Job(), delay=60)
        event.status = "aborted"
    assert not warnings(caplog)


async def test_one_warning_counts_them_all(caplog):
    """However many, it is one, and the numbers are by what became of them."""
    async with make_executor() as executor:
        await executor.extend([*(broken() for _ in range(1500)), Job(seconds=9, timeout=1)], priority=0)
    assert ": 1,500 failed, 1 timed out; " in told(caplog)[0]


# -------------------------------------------------------------------- memory


async def test_of_failures_that_have_left_one_is_kept():
    """The first of them, whatever comes later."""
    executor = Executor.of(Failing, retain=Retain(count=0))
    kept = []
    async with executor:
        for number in range(5):
            event = await executor.append(Failing(n=number))
            await event.wait()
            kept.append(weakref.ref(event))
            del event
        gc.collect()
        alive = [reference() for reference in kept if reference() is not None]
        assert [event.n for event in alive if event.execution.status == "failed"][:1] == [0]
        assert len(alive) <= 2  # the last one may be in the hands of its worker
        del alive


async def test_an_event_that_was_not_looked_at_can_be_pickled():
    """What ties it to this process is not in it."""
    async with Executor.of(Failing) as executor:
        event = await executor.append(Failing(n=1))
        await event.wait()
        assert pickle.loads(pickle.dumps(event))._unseen is None  # noqa: S301  our own
        assert executor.failed_events


async def test_an_executor_of_another_kind_of_call_tells_too(caplog):
    """Calls of functions are events like any other."""

    async def fail():
        raise LookupError("in a call")

    async with Executor.of(fail) as executor:
        await executor.append(Call.of(fail))
    assert str(told(caplog)[1]) == "in a call"
