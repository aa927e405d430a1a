"""The chunks of a streaming event: who reads which, who waits for whom, and how the reading ends."""

import asyncio
import gc
import threading

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ASYNCIO_ONLY, Job, change_status, counts, view, with_processor

from lionpride_exec import (
    Deny,
    Event,
    EventFailed,
    EventStatus,
    ExecutorClosedError,
    LionprideError,
    LionTimeoutError,
    Processor,
    RateLimited,
    Retry,
)
from lionpride_exec.errors import OperationError
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.anyio


class Numbers(Event):
    """Yields 0, 1, ...; tells what it has made so far, and when it is closed."""

    streaming = True
    n: int = 5
    pause: float = 0.0
    pauses: dict = {}
    fail_at: int = -1
    gate: object = None
    made: list = []

    async def stream(self):
        try:
            for i in range(self.n):
                await anyio.sleep(self.pauses.get(i, self.pause))
                if self.gate is not None and i == self.n - 1:
                    await self.gate.wait()
                if i == self.fail_at:
                    raise ValueError(i)
                self.made.append(i)
                yield i
        finally:
            self.made.append("closed")


class NumbersProcessor(Processor):
    event_type = Numbers


async def read(reader, out):
    """Read to the end, which is added: "end", or what was raised."""
    try:
        async for chunk in reader:
            out.append(chunk)
    except LionprideError as exc:
        out.append(exc)
    else:
        out.append("end")


async def all_of(reader):
    """Give what a reader reads, with its end."""
    out = []
    await read(reader, out)
    return out


async def settle():
    """Return when nothing else can go on: that is when the virtual clock moves."""
    await anyio.sleep(0.001)


def ended(out, status):
    """Whether what was read ends with the error of an event with that status."""
    return isinstance(out[-1], EventFailed) and out[-1].status is status


async def run_with_reader(event, buffer=16):
    """Run an event beside a reader, and give what that read."""
    out = []
    async with anyio.create_task_group() as group:
        group.start_soon(read, event.chunks(buffer=buffer), out)
        await event.invoke()
    return out


# -------------------------------------------------------------------- who gets what


@pytest.mark.parametrize("buffer", [0, 1, 16])
async def test_a_reader_gets_all_chunks_in_order(buffer):
    """Whatever its buffer; the response is the list of them all the same."""
    event = Numbers(n=40)
    assert await run_with_reader(event, buffer) == [*range(40), "end"]
    assert event.result() == list(range(40))


async def test_chunks_come_while_the_event_runs():
    """A chunk is there before the next one is made."""
    event = Numbers(pause=10.0)
    async with anyio.create_task_group() as group:
        reader = event.chunks()
        group.start_soon(event.invoke)
        times = [(chunk, round(anyio.current_time())) async for chunk in reader]
    began = times[0][1]
    assert [(chunk, time - began) for chunk, time in times] == [(i, 10 * i) for i in range(5)]


async def test_each_of_several_readers_gets_every_chunk():
    """Also with different buffers."""
    event = Numbers(n=20)
    outs = [[] for _ in range(6)]
    async with anyio.create_task_group() as group:
        for buffer, out in enumerate(outs):
            group.start_soon(read, event.chunks(buffer=buffer), out)
        await event.invoke()
    assert outs == [[*range(20), "end"]] * 6


async def test_a_reader_is_there_from_the_call_on():
    """The event waits for it, before it has made a step."""
    event = Numbers()
    reader = event.chunks(buffer=1)
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await settle()
        assert event.made == [0, 1]
        assert event.status is EventStatus.PROCESSING
        assert await all_of(reader) == [0, 1, 2, 3, 4, "end"]


async def test_a_late_reader_gets_what_was_before_it():
    """First the chunks there are, then those that come."""
    event = Numbers(gate=anyio.Event())
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await settle()
        late = event.chunks(buffer=0)
        assert [await anext(late) for _ in range(4)] == [0, 1, 2, 3]
        event.gate.set()
        assert await all_of(late) == [4, "end"]


async def test_a_reader_after_the_end_gets_all():
    """As often as somebody asks."""
    event = Numbers()
    await event.invoke()
    for buffer in (0, 16):
        assert await all_of(event.chunks(buffer=buffer)) == [0, 1, 2, 3, 4, "end"]


async def test_a_stream_without_chunks_ends():
    """The loop ends without a step."""
    assert await run_with_reader(Numbers(n=0)) == ["end"]


async def test_an_async_generator_invoke_has_chunks():
    """With or without ``streaming``, as it is run."""

    class Generates(Event):
        async def _invoke(self):
            yield "a"
            yield None

    for streaming in (True, False):
        assert await run_with_reader(Generates(streaming=streaming)) == ["a", None, "end"]


async def test_stream_may_give_any_async_iterator():
    """It need not be a generator, nor have an aclose()."""

    class Counter:
        number = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.number += 1
            if self.number > 3:
                raise StopAsyncIteration
            return self.number

    class Counts(Event):
        streaming = True

        def stream(self):
            return Counter()

    event = Counts()
    assert await run_with_reader(event) == [1, 2, 3, "end"]
    assert event.response == [1, 2, 3]


# -------------------------------------------------------------------- who waits for whom


@pytest.mark.parametrize("buffer", [0, 1, 3])
async def test_a_slow_reader_bounds_the_producer(buffer):
    """Beside what was taken there are as many chunks as the buffer holds, and the one that has no room."""
    event = Numbers(n=10)
    async with anyio.create_task_group() as group, event.chunks(buffer=buffer) as reader:
        group.start_soon(event.invoke)
        for taken in range(6):
            await settle()
            assert event.made == list(range(taken + buffer + 1))
            assert await anext(reader) == taken


async def test_a_late_reader_bounds_what_comes_after_it():
    """What was there before does not take room in its buffer."""
    event = Numbers(n=20, pauses={5: 10})
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await anyio.sleep(5)
        async with event.chunks(buffer=2) as reader:
            await anyio.sleep(50)
            assert event.made == [0, 1, 2, 3, 4, 5, 6, 7]
            assert [await anext(reader) for _ in range(6)] == [0, 1, 2, 3, 4, 5]
            await settle()
            assert event.made == [0, 1, 2, 3, 4, 5, 6, 7, 8]


async def test_without_readers_nobody_is_waited_for():
    """An event of many chunks ends by itself."""
    event = Numbers(n=1000)
    await event.invoke()
    assert len(event.response) == 1000


async def test_the_slowest_reader_bounds_all():
    """The producer waits for each; the others have what it has made."""
    event = Numbers(n=10)
    out = []
    async with anyio.create_task_group() as group:
        slow = event.chunks(buffer=0)
        group.start_soon(read, event.chunks(buffer=0), out)
        group.start_soon(event.invoke)
        for taken in range(10):
            await settle()
            assert out == list(range(taken + 1))
            assert await anext(slow) == taken
        assert await all_of(slow) == ["end"]
    assert out == [*range(10), "end"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_a_reader_does_not_wait_for_another_that_is_slow(order):
    """One task may read several readers in turn, in any order."""
    event = Numbers()
    async with anyio.create_task_group() as group:
        readers = [event.chunks(buffer=0) for _ in range(3)]
        group.start_soon(event.invoke)
        await settle()
        for i in range(5):
            assert [await anext(readers[which]) for which in order] == [i] * 3
        for reader in readers:
            assert await all_of(reader) == ["end"]


async def leave_by_break(event):
    """Leave after the first chunk."""
    async for _ in event.chunks(buffer=0):
        break


async def leave_by_exception(event):
    """Leave by an error of the loop's body."""
    with pytest.raises(ZeroDivisionError):
        async for _ in event.chunks(buffer=0):
            _ = 1 / 0


async def leave_by_return(event):
    """Leave with a reader that has a name."""
    reader = event.chunks(buffer=0)
    async for _ in reader:
        return


async def leave_by_dropping(event):
    """Never make a step."""
    event.chunks(buffer=0)


async def leave_by_cancellation_in_the_body(event):
    """Be cancelled while the event waits."""
    with anyio.move_on_after(10):
        async for _ in event.chunks(buffer=0):
            await anyio.sleep_forever()


async def leave_by_cancellation_of_a_step(event):
    """Be cancelled while waiting for a chunk."""
    with anyio.CancelScope() as scope:
        async for _ in event.chunks(buffer=0):
            scope.cancel()


async def leave_by_aclose(event):
    """Give it back by hand, twice."""
    reader = event.chunks(buffer=0)
    assert await anext(reader) == 0
    await reader.aclose()
    await reader.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    event.metadata["kept"] = reader


async def leave_by_async_with(event):
    """Leave the block."""
    async with event.chunks(buffer=0) as event.metadata["kept"]:
        await anext(event.metadata["kept"])


async def leave_by_a_single_step(event):
    """Ask for one chunk only."""
    assert await anext(event.chunks(buffer=0)) == 0


WAYS_TO_LEAVE = [
    leave_by_break,
    leave_by_exception,
    leave_by_return,
    leave_by_dropping,
    leave_by_cancellation_in_the_body,
    leave_by_cancellation_of_a_step,
    leave_by_aclose,
    leave_by_async_with,
    leave_by_a_single_step,
]


@pytest.mark.parametrize("leave", WAYS_TO_LEAVE)
async def test_a_reader_that_leaves_blocks_nobody(leave):
    """The event goes on at once, other readers get everything, and no stream is left open."""
    event = Numbers()
    out = []
    async with anyio.create_task_group() as group:
        group.start_soon(read, event.chunks(), out)
        group.start_soon(event.invoke)
        group.start_soon(leave, event)
    assert out == [0, 1, 2, 3, 4, "end"]
    assert event.response == [0, 1, 2, 3, 4]
    gc.collect()  # a ResourceWarning would come now


@pytest.mark.parametrize("named", [True, False])
async def test_a_cancelled_task_leaves(named):
    """A reader that waits in a task of its own, which is cancelled, is forgotten with it."""
    event = Numbers(gate=anyio.Event())

    async def wait_for_chunks():
        if named:
            reader = event.chunks(buffer=0)
            async for _ in reader:
                pass
        else:
            async for _ in event.chunks(buffer=0):
                pass

    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        async with anyio.create_task_group() as readers:
            readers.start_soon(wait_for_chunks)
            await settle()
            readers.cancel_scope.cancel()
        event.gate.set()
    assert event.response == [0, 1, 2, 3, 4]


async def test_several_slow_readers_that_leave_at_once():
    """The event waits for all of them, then for none."""
    event = Numbers()
    async with anyio.create_task_group() as group:
        readers = [event.chunks(buffer=0) for _ in range(3)]
        group.start_soon(event.invoke)
        await settle()
        assert event.made == [0]
        readers.clear()
    assert event.response == [0, 1, 2, 3, 4]


async def test_a_reader_closed_by_another_task_ends():
    """The loop that waits ends normally."""
    event = Numbers(gate=anyio.Event())
    reader, out = event.chunks(), []
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        group.start_soon(read, reader, out)
        await settle()
        await reader.aclose()
        await settle()
        assert out == [0, 1, 2, 3, "end"]
        event.gate.set()
    assert event.status is EventStatus.COMPLETED


async def test_a_reader_dropped_by_another_thread():
    """The event goes on: the event loop is told."""
    event = Numbers()
    readers = [event.chunks(buffer=0)]
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await settle()
        assert event.made == [0]
        await anyio.to_thread.run_sync(readers.clear)
    assert event.response == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_dropped_by_another_thread_after_all(backend):
    """When the event loop has ended nobody waits, and the streams are closed all the same."""
    name, options = backend_options(backend)
    readers = []

    async def main():
        readers.append(Numbers().chunks())

    anyio.run(main, backend=name, backend_options=options)
    thread = threading.Thread(target=readers.clear)
    thread.start()
    thread.join()
    gc.collect()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_made_before_the_event_loop(backend):
    """It works in whichever comes."""
    name, options = backend_options(backend)
    event = Numbers()
    reader, out = event.chunks(buffer=1), []

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(event.invoke)
            await read(reader, out)

    anyio.run(main, backend=name, backend_options=options)
    assert out == [0, 1, 2, 3, 4, "end"]


async def test_a_reader_in_a_garbage_cycle():
    """The collector may take event and reader in any order; no stream is left open."""
    event = Numbers()
    cycle = {"event": event, "readers": [event.chunks(), event.chunks()]}
    cycle["self"] = cycle
    event.metadata["cycle"] = cycle
    del event, cycle
    gc.collect()


async def test_a_cancelled_step_loses_nothing():
    """Waiting with a time limit, over and over, reads everything."""
    event = Numbers(pause=1.0)
    reader, out = event.chunks(buffer=0), []
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        while "end" not in out:
            with anyio.move_on_after(0.3):
                out.append(await anext(reader, "end"))
    assert out == [0, 1, 2, 3, 4, "end"]


@ASYNCIO_ONLY
async def test_a_step_cancelled_past_all_scopes_loses_nothing():
    """What asyncio itself cancels in the very turn of the chunk finds that chunk at its next step."""
    event = Numbers(n=2, gate=anyio.Event())
    reader = event.chunks(buffer=0)
    async with anyio.create_task_group() as group:
        step = asyncio.create_task(anext(reader))
        await asyncio.sleep(0.1)
        group.start_soon(event.invoke)
        while not event.made:  # noqa: ASYNC110  an event would be a turn late
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait([step])
        assert step.cancelled()
        with anyio.fail_after(10):
            assert await anext(reader) == 0
        event.gate.set()
        assert await all_of(reader) == [1, "end"]


async def test_two_tasks_may_share_a_reader():
    """Each chunk goes to one of them."""
    event = Numbers(n=20)
    reader, out = event.chunks(buffer=1), []
    async with anyio.create_task_group() as group:
        group.start_soon(read, reader, out)
        group.start_soon(read, reader, out)
        group.start_soon(event.invoke)
    assert out == [*range(20), "end", "end"]


async def test_two_tasks_that_share_a_reader_get_its_end_once():
    """One of them gets the error, the other loop just ends."""
    event = Numbers(n=3, fail_at=2)
    reader, outs = event.chunks(), [[], []]
    async with anyio.create_task_group() as group:
        for out in outs:
            group.start_soon(read, reader, out)
        await settle()
        await event.invoke()
    assert sorted(out[-1] == "end" for out in outs) == [False, True]


async def test_a_cancelled_step_of_a_shared_reader_leaves_the_other():
    """That goes on, and misses nothing."""
    event = Numbers(gate=anyio.Event())
    reader, out = event.chunks(buffer=0), []
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        group.start_soon(read, reader, out)
        await settle()
        with anyio.move_on_after(1):
            await anext(reader)
        event.gate.set()
    assert out == [0, 1, 2, 3, 4, "end"]


# -------------------------------------------------------------------- how it ends


async def test_a_failure_comes_after_the_chunks():
    """The loop raises what result() raises, once; then it has ended."""
    event = Numbers(fail_at=3)
    reader, out = event.chunks(), []
    await event.invoke()
    await read(reader, out)
    assert out[:-1] == [0, 1, 2]
    assert ended(out, EventStatus.FAILED)
    assert out[-1].__cause__ is event.execution.error
    assert await all_of(reader) == ["end"]
    late = await all_of(event.chunks())
    assert late[:-1] == [0, 1, 2]
    assert ended(late, EventStatus.FAILED)


async def test_the_timeout_covers_the_whole_run():
    """Over it the readers get what there was, then the timeout."""
    event = Numbers(pause=10.0, timeout=25.0)
    out = await run_with_reader(event)
    assert out[:-1] == [0, 1]
    assert ended(out, EventStatus.CANCELLED)
    assert isinstance(out[-1].__cause__, LionTimeoutError)
    assert event.made == [0, 1, "closed"]


@pytest.mark.parametrize("readers", [1, 3])
async def test_the_timeout_goes_on_while_a_reader_is_slow(readers):
    """What has no room at the end is not lost for the reader."""
    event = Numbers(timeout=25.0)
    slow = [event.chunks(buffer=0) for _ in range(readers)]
    await event.invoke()
    assert event.status is EventStatus.CANCELLED
    assert event.made == [0, "closed"]
    for reader in slow:
        out = await all_of(reader)
        assert out[0] == 0
        assert ended(out[1:], EventStatus.CANCELLED)


@pytest.mark.parametrize("where", ["in a chunk", "slow reader", "slow readers"])
async def test_cancelling_the_run_ends_the_reading(where):
    """The generator is closed, the readers get what was made, then that it was cancelled."""
    event = Numbers(gate=anyio.Event())
    number = {"in a chunk": 0, "slow reader": 1, "slow readers": 3}[where]
    slow, quick, out = [event.chunks(buffer=1) for _ in range(number)], event.chunks(), []
    async with anyio.create_task_group() as group:
        group.start_soon(read, quick, out)
        async with anyio.create_task_group() as inner:
            inner.start_soon(event.invoke)
            await settle()
            inner.cancel_scope.cancel()
    made = event.made[:-1]
    assert event.made[-1] == "closed"
    assert made == ([0, 1, 2, 3] if where == "in a chunk" else [0, 1])
    for read_by in (out, *[await all_of(reader) for reader in slow]):
        assert read_by[:-1] == made
        assert ended(read_by, EventStatus.CANCELLED)


async def test_an_error_in_the_generators_cleanup_fails_the_event():
    """Also that comes after the chunks."""

    class Unclean(Event):
        streaming = True

        async def stream(self):
            try:
                yield 1
            finally:
                raise OSError("cleanup")

    event = Unclean()
    out = await run_with_reader(event)
    assert out[0] == 1
    assert ended(out, EventStatus.FAILED)
    assert isinstance(event.execution.error, OSError)


async def test_idle_for_too_long():
    """A chunk that does not come in time ends the event CANCELLED, retryable, and says so."""
    event = Numbers(pauses={3: 100.0}, pause=1.0, idle_timeout=5.0, timeout=1000.0)
    began = anyio.current_time()
    out = await run_with_reader(event)
    assert anyio.current_time() - began == pytest.approx(3 + 5, abs=0.1)
    assert out[:-1] == [0, 1, 2]
    assert ended(out, EventStatus.CANCELLED)
    error = event.execution.error
    assert type(error) is LionTimeoutError
    assert "idle: no chunk within 5.0s" in str(error)
    assert event.execution.retryable is True
    assert event.execution.duration == pytest.approx(8, abs=0.1)
    assert event.made == [0, 1, 2, "closed"]


async def test_the_last_chunk_may_not_idle_either():
    """The end has to come in time, as a chunk has."""

    class Lingers(Event):
        streaming = True

        async def stream(self):
            yield 1
            await anyio.sleep(100)

    event = Lingers(idle_timeout=5.0)
    await event.invoke()
    assert event.status is EventStatus.CANCELLED


async def test_waiting_for_slow_readers_is_not_idle():
    """Only the producer's own time counts."""
    event = Numbers(pause=4.0, idle_timeout=5.0)
    async with anyio.create_task_group() as group:
        reader = event.chunks(buffer=0)
        group.start_soon(event.invoke)
        out = []
        async for chunk in reader:
            out.append(chunk)
            await anyio.sleep(100)
    assert out == [0, 1, 2, 3, 4]
    assert event.status is EventStatus.COMPLETED


async def test_the_timeout_comes_before_a_longer_idle_timeout():
    """Each bounds for itself; the message says which it was."""
    event = Numbers(pause=10.0, timeout=3.0, idle_timeout=5.0)
    await event.invoke()
    assert "timed out after 3.0s" in str(event.execution.error)


async def test_the_idle_error_of_another_event_is_a_failure():
    """An event that raises what another one ended with has failed."""

    class Asks(Event):
        async def _invoke(self):
            other = Numbers(pause=10.0, idle_timeout=1.0)
            await other.invoke()
            raise other.execution.error

    event = Asks()
    await event.invoke()
    assert event.status is EventStatus.FAILED


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "1"], ids=repr)
async def test_a_bad_idle_timeout_is_refused(seconds):
    """At construction and at assignment, which leaves the old one."""
    with pytest.raises(ValueError, match="idle_timeout must be"):
        Numbers(idle_timeout=seconds)
    event = Numbers(idle_timeout=3)
    with pytest.raises(ValueError, match="idle_timeout must be"):
        event.idle_timeout = seconds
    assert event.idle_timeout == 3


async def test_the_idle_timeout_configures_a_run():
    """It is copied to a fresh event and not serialised."""
    event = Numbers(idle_timeout=3.0)
    assert "idle_timeout" not in event.to_dict()
    assert event.as_fresh_event().idle_timeout == 3.0


# -------------------------------------------------------------------- the response


async def test_reduce_makes_the_response():
    """The readers get the chunks all the same, also after the end."""

    class Total(Numbers):
        def reduce(self, chunks):
            return sum(chunks)

    event = Total()
    assert await run_with_reader(event) == [0, 1, 2, 3, 4, "end"]
    assert event.response == 10
    assert await all_of(event.chunks()) == [0, 1, 2, 3, 4, "end"]


async def test_an_error_in_reduce_fails_the_event():
    """After all chunks the readers get that."""

    class Bad(Numbers):
        def reduce(self, chunks):
            raise KeyError("reduce")

    event = Bad()
    out = await run_with_reader(event)
    assert out[:-1] == [0, 1, 2, 3, 4]
    assert ended(out, EventStatus.FAILED)
    assert isinstance(event.execution.error, KeyError)


async def test_a_response_of_the_stream_itself_stands():
    """reduce() is not asked then; chunks that come after it settled itself are read too."""

    class Settles(Event):
        streaming = True

        async def stream(self):
            self.execution.response = "mine"
            self.execution.status = EventStatus.COMPLETED
            yield 1
            await anyio.sleep(1)
            yield 2

        def reduce(self, chunks):
            raise AssertionError

    event = Settles()
    assert await run_with_reader(event, buffer=0) == [1, 2, "end"]
    assert (event.status, event.response) == (EventStatus.COMPLETED, "mine")


# -------------------------------------------------------------------- in an executor


async def test_in_an_executor():
    """Readers in the block, while others run."""
    async with with_processor(NumbersProcessor, concurrency_limit=2) as executor:
        events = [Numbers(n=i, pause=1.0) for i in range(5)]
        outs = [[] for _ in events]
        async with anyio.create_task_group() as group:
            for event, out in zip(events, outs, strict=True):
                await executor.append(event)
                group.start_soon(read, event.chunks(buffer=0), out)
    assert outs == [[*range(i), "end"] for i in range(5)]
    assert counts(executor) == {"completed": 5}


async def test_streaming_events_in_any_executor():
    """They may stand beside others."""

    class AllKinds(Processor):
        event_type = Event

    async with with_processor(AllKinds) as executor:
        numbers, job = Numbers(), Job(name="job")
        await executor.append(numbers)
        await executor.append(job)
        assert await all_of(numbers.chunks()) == [0, 1, 2, 3, 4, "end"]
    assert job.response == "job"


async def test_a_reader_that_is_dropped_lets_the_executor_be_left():
    """The block waits for the event, which waits for nobody any more."""
    async with with_processor(NumbersProcessor) as executor:
        event = Numbers()
        await executor.append(event)
        async for _ in event.chunks(buffer=0):
            break
    assert event.status is EventStatus.COMPLETED


async def test_an_event_that_its_gate_refuses():
    """It has no chunks, and the reader gets the refusal."""

    class Refuses(NumbersProcessor):
        async def request_permission(self, **_):
            return Deny("no")

    async with with_processor(Refuses) as executor:
        event = Numbers()
        reader = event.chunks()
        await executor.append(event)
        out = await all_of(reader)
    assert len(out) == 1
    assert ended(out, EventStatus.ABORTED)


@pytest.mark.parametrize("buffer", [0, 16])
async def test_stop_with_a_grace(buffer):
    """What is cancelled then ends its readers, also one for whose sake it waits."""
    executor = with_processor(NumbersProcessor)
    await executor.start()
    event, out = Numbers(gate=anyio.Event()), []
    await executor.append(event)
    async with anyio.create_task_group() as group:
        reader = event.chunks(buffer=buffer)
        await settle()
        await executor.stop(grace=5)
        group.start_soon(read, reader, out)
    assert out[:-1] == event.made[:-1]
    assert ended(out, EventStatus.CANCELLED)


async def test_an_executor_left_before_the_event_began():
    """Its readers get ExecutorClosedError; the event can still run, for others."""
    executor = with_processor(NumbersProcessor, concurrency_limit=1)
    running, waiting, out = Numbers(gate=anyio.Event()), Numbers(), []
    async with anyio.create_task_group() as group:
        group.start_soon(read, waiting.chunks(), out)
        with anyio.CancelScope() as scope:
            async with executor:
                await executor.append(running)
                await executor.append(waiting)
                await settle()
                scope.cancel()
    assert waiting.status is EventStatus.PENDING
    assert [type(item) for item in out] == [ExecutorClosedError]
    assert "did not end" in str(out[0])
    assert [type(item) for item in await all_of(waiting.chunks())] == [ExecutorClosedError]
    assert ended(await all_of(running.chunks()), EventStatus.CANCELLED)
    async with executor:
        assert await all_of(waiting.chunks()) == [0, 1, 2, 3, 4, "end"]


async def test_cleanup_of_an_event_that_has_not_begun():
    """Its readers get ExecutorClosedError."""
    executor = with_processor(NumbersProcessor)
    event, out = Numbers(), []
    await executor.append(event)
    async with anyio.create_task_group() as group:
        group.start_soon(read, event.chunks(), out)
        await settle()
        assert await executor.cleanup_events(["pending"]) == 1
    assert [type(item) for item in out] == [ExecutorClosedError]


async def test_cleanup_of_an_event_that_runs():
    """It goes on, and so do its readers."""
    async with with_processor(NumbersProcessor) as executor:
        event, out = Numbers(gate=anyio.Event()), []
        await executor.append(event)
        async with anyio.create_task_group() as group:
            group.start_soon(read, event.chunks(), out)
            await settle()
            assert await executor.cleanup_events(["processing"]) == 1
            event.gate.set()
    assert out == [0, 1, 2, 3, 4, "end"]


async def test_cleanup_after_the_end():
    """Who has the event has its chunks."""
    async with with_processor(NumbersProcessor) as executor:
        event = Numbers()
        reader = event.chunks()
        await executor.append(event)
        await event.wait()
        assert await executor.cleanup_events() == 1
        assert await all_of(reader) == await all_of(event.chunks()) == [0, 1, 2, 3, 4, "end"]


async def test_decided_from_outside_while_it_runs():
    """The reading ends with what there is, whatever the run still does."""
    async with with_processor(NumbersProcessor) as executor:
        event, out = Numbers(gate=anyio.Event()), []
        await executor.append(event)
        async with anyio.create_task_group() as group:
            group.start_soon(read, event.chunks(), out)
            await settle()
            event.status = EventStatus.SKIPPED
            await settle()
            assert out[:-1] == [0, 1, 2, 3]
            assert ended(out, EventStatus.SKIPPED)
        event.gate.set()
    assert event.status is EventStatus.SKIPPED


async def test_the_reader_of_a_watcher_may_read_chunks():
    """Waiting for chunks with a full buffer of transitions does not wait for ever."""
    executor = with_processor(NumbersProcessor, concurrency_limit=1)
    async with executor, executor.watch(buffer=1) as transitions:
        events = [Numbers(pause=1.0) for _ in range(10)]
        for event in events:
            await executor.append(event)
        async for _ in transitions:
            assert await all_of(events[-1].chunks()) == [0, 1, 2, 3, 4, "end"]
            break


# -------------------------------------------------------------------- what is refused


async def test_an_event_does_not_read_itself():
    """A step inside the event would never return; nothing is taken."""

    class ReadsItself(Event):
        streaming = True

        async def stream(self):
            yield 1
            async for chunk in self.chunks():
                yield chunk

    event = ReadsItself()
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, RuntimeError)
    assert "would wait for its own chunk" in str(event.execution.error)


@pytest.mark.parametrize("event", [Job(), Job(streaming=True), Numbers(streaming=False), Event(streaming=True)])
async def test_an_event_that_does_not_stream_has_no_chunks(event):
    """It says what would be needed, and keeps nothing."""
    with pytest.raises(TypeError, match="does not stream: override stream"):
        event.chunks()
    await event.invoke()
    assert view.produced_chunks(event) is None


@pytest.mark.parametrize("buffer", [-1, 1.0, True, None, float("inf")], ids=repr)
async def test_a_bad_buffer_is_refused(buffer):
    """Nothing waits for a reader that was not made."""
    event = Numbers()
    with pytest.raises(ValueError, match="buffer must be an integer, 0 or more"):
        event.chunks(buffer=buffer)
    await event.invoke()
    assert event.status is EventStatus.COMPLETED


async def test_chunks_of_a_record_are_not_known():
    """An event that completed elsewhere has a response, and no chunks to read: that is said, not left out."""
    event = Numbers()
    await event.invoke()
    restored = Numbers.from_dict(event.to_dict() | {"gate": None})
    assert restored.response == [0, 1, 2, 3, 4]
    (error,) = await all_of(restored.chunks())
    assert isinstance(error, OperationError)
    assert "did not stream in this process" in str(error)


# -------------------------------------------------------------------- run again


def was_taken(event):
    """Return whether a reader has seen chunks of the last run."""
    return event._feed.was_taken


async def run_in_vain(event):
    """Run an event to its failure and back to PENDING, as a retry does."""
    change_status(event, EventStatus.PROCESSING)
    with pytest.raises(ValueError):
        await event._perform()
    replayable = not was_taken(event)
    change_status(event, EventStatus.PENDING, error=ValueError())
    return replayable


async def test_a_run_that_nobody_saw_can_be_replayed():
    """The readers get the chunks of the last run only, also if their buffers were full."""
    event = Numbers(fail_at=3)
    readers = [event.chunks(buffer=buffer) for buffer in (3, 5, 16)]
    assert await run_in_vain(event)
    event.fail_at = -1
    outs = [[] for _ in readers]
    async with anyio.create_task_group() as group:
        for reader, out in zip(readers, outs, strict=True):
            group.start_soon(read, reader, out)
        await settle()
        assert outs == [[], [], []]
        assert not was_taken(event)
        await event.invoke()
    assert outs == [[0, 1, 2, 3, 4, "end"]] * 3
    assert event.response == [0, 1, 2, 3, 4]


async def test_a_full_buffer_of_the_last_run_is_read_over():
    """A reader that first steps in the new run gets all of that one, and nothing of the other."""
    event = Numbers(fail_at=3)
    reader = event.chunks(buffer=3)
    await run_in_vain(event)
    event.fail_at = -1
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await settle()
        assert await all_of(reader) == [0, 1, 2, 3, 4, "end"]


async def test_a_run_of_which_a_chunk_was_taken_cannot_be_replayed():
    """If it is run again all the same, its reader goes on with the new run."""
    event = Numbers(fail_at=3)
    out = []
    async with anyio.create_task_group() as group:
        group.start_soon(read, event.chunks(), out)
        assert not await run_in_vain(event)
        event.fail_at = -1
        await settle()
        await event.invoke()
    assert out[-6:] == [0, 1, 2, 3, 4, "end"]
    assert out[:-6] in ([0], [0, 1], [0, 1, 2])


async def test_what_was_taken_counts_for_its_run_only():
    """A second run that nobody read can be replayed again."""
    event = Numbers(fail_at=3)
    async with anyio.create_task_group() as group:
        group.start_soon(anext, event.chunks())
        assert not await run_in_vain(event)
    assert await run_in_vain(event)


class Flaky(Numbers):
    """Fails twice, after its chunks."""

    async def stream(self):
        for i in range(3):
            yield (self.execution.attempt, i)
        if self.execution.attempt < 3:
            raise OSError("flaky")


async def test_a_retry_of_what_nobody_has_taken():
    """The reader gets the chunks of the last run only."""
    async with with_processor(NumbersProcessor, retry=Retry(3, jitter=0)) as executor:
        event = Flaky()
        reader = event.chunks(buffer=16)
        await executor.append(event)
        await event.wait()
        assert await all_of(reader) == [(3, 0), (3, 1), (3, 2), "end"]
    assert event.response == [(3, 0), (3, 1), (3, 2)]


async def test_what_a_reader_has_taken_is_not_made_again():
    """A failure after that is final: the reader gets the chunks and the error, no chunk twice."""
    async with with_processor(NumbersProcessor, retry=Retry(3, jitter=0)) as executor:
        event, out = Flaky(), []
        async with anyio.create_task_group() as group:
            group.start_soon(read, event.chunks(buffer=0), out)
            await executor.append(event)
    assert out[:-1] == [(1, 0), (1, 1), (1, 2)]
    assert ended(out, EventStatus.FAILED)
    assert event.execution.attempt == 1


class Refused(Numbers):
    """Is refused in each of its runs but the third, after its chunks."""

    async def stream(self):
        run = len(self.execution.attempts) + 1
        for i in range(2):
            yield (run, i)
        if run < 3:
            raise RateLimited("429", retry_after=5)


async def test_a_refusal_after_a_taken_chunk_is_final():
    """The reader gets the chunks of one run only. The keys of the event are closed for the pause."""
    async with with_processor(NumbersProcessor, retry=Retry(3)) as executor:
        event, out, begin = Refused(), [], anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(read, event.chunks(buffer=0), out)
            await executor.append(event)
        assert out[:-1] == [(1, 0), (1, 1)]
        assert ended(out, EventStatus.FAILED)
        assert isinstance(event.execution.error, RateLimited)
        await executor.invoke(Numbers())
        assert anyio.current_time() - begin == pytest.approx(5, abs=0.1)


async def test_a_refusal_before_a_chunk_is_taken_is_followed_by_another_run():
    """A reader that comes later sees the last run only."""
    async with with_processor(NumbersProcessor) as executor:
        event = await executor.append(Refused())
        await event.wait()
        assert await all_of(event.chunks()) == [(3, 0), (3, 1), "end"]


async def test_an_idle_stream_is_retried():
    """As one that ran into its timeout."""

    class Stalls(Numbers):
        async def stream(self):
            yield 1
            if self.execution.attempt == 1:
                await anyio.sleep(1000)

    async with with_processor(NumbersProcessor, retry=Retry(2)) as executor:
        event = Stalls(idle_timeout=5.0)
        await executor.append(event)
        await event.wait()
    assert (event.status, event.response) == (EventStatus.COMPLETED, [1])
    assert "idle" in str(event.execution.attempts[0].error)


async def test_interrupted_with_a_retry():
    """What goes back to PENDING when its executor is left has ended for its readers, and runs for new ones."""
    executor = with_processor(NumbersProcessor, retry=Retry(2))
    event, out = Numbers(gate=anyio.Event()), []
    async with anyio.create_task_group() as group:
        group.start_soon(read, event.chunks(), out)
        with anyio.CancelScope() as scope:
            async with executor:
                await executor.append(event)
                await settle()
                scope.cancel()
    assert event.status is EventStatus.PENDING
    assert out[:-1] == [0, 1, 2, 3]
    assert isinstance(out[-1], ExecutorClosedError)
    event.gate.set()
    async with executor:
        assert await all_of(event.chunks()) == [0, 1, 2, 3, 4, "end"]


# -------------------------------------------------------------------- any number, at any pace

PACES = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(
    n=st.integers(0, 12),
    own=PACES,
    readers=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), PACES), max_size=5),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the backend
async def test_all_readers_get_exactly_the_chunks(n, own, readers):
    """Whatever the buffers, the paces and when they come: each chunk once, in order, then the end."""
    event = Numbers(n=n, pauses={i: own[i % len(own)] for i in range(n)})

    def made():
        return sum(item != "closed" for item in event.made)

    async def read_slowly(buffer, begin, paces):
        await anyio.sleep(begin)
        reader, before, out = event.chunks(buffer=buffer), made(), []
        async for chunk in reader:
            out.append(chunk)
            await anyio.sleep(paces[chunk % len(paces)])
            assert len(out) <= made() <= max(len(out), before) + buffer + 1
        assert out == list(range(n))

    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(read_slowly, *reader)
        await event.invoke()
    assert event.response == list(range(n))
    assert event.made == [*range(n), "closed"]
