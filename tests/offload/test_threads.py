"""Plain functions in threads: where they run, how many, and what a cancellation does."""

import sys
import threading
from functools import partial

import anyio
import pytest
from anyio import from_thread, to_thread
from plain_work import FUNCTIONS, Read, double, fail, generate, returns_coroutine, skip
from support import check_invariants, counts

from lionpride_exec import (
    Call,
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    Journal,
    Retry,
    current_event,
    current_executor,
)
from lionpride_exec.testing import inline

pytestmark = pytest.mark.anyio

SOON = 10  # real seconds after which a thread of a test is thought to be stuck


class Gate:
    """Holds threads up, and knows how many stand at it."""

    def __init__(self):
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.numbers = []

    def pass_through(self, number=None):
        """Wait until the gate is open. In a thread."""
        self.numbers.append(number)
        self.begun.release()
        assert self.open.wait(SOON)
        return number

    async def wait_for(self, number):
        """Wait until so many more threads stand at the gate."""
        for _ in range(number):
            assert await to_thread.run_sync(partial(self.begun.acquire, timeout=SOON), limiter=anyio.CapacityLimiter(1))


@pytest.fixture
def gate():
    """Make a gate that is open in the end, whatever happens."""
    made = Gate()
    yield made
    made.open.set()


async def let_go_on(times=5):
    """Let the other tasks go on."""
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


# ---------------------------------------------------------------- where they run


@pytest.mark.parametrize("function", [*FUNCTIONS, lambda number: 2 * number])
async def test_a_plain_function_runs_in_a_thread(function):
    """By of(), map(), Call.of() and by an event without executor."""
    async with Executor.of(function) as executor:
        assert [event.result() async for event in executor.map(function, range(3), ordered=True)] == [0, 2, 4]
        assert await executor.invoke(Call.of(function, 5)) == 10
    alone = Call.of(function, 6)
    await alone.invoke()
    assert alone.result() == 12


async def test_the_loop_goes_on_meanwhile(gate):
    """A function that blocks holds up no task."""
    async with Executor.of(gate.pass_through) as executor:
        event = await executor.append(Call.of(gate.pass_through, 7))
        await gate.wait_for(1)
        assert event.status is EventStatus.PROCESSING
        assert executor.statistics().working == {"thread": 1}
        gate.open.set()
    assert event.result() == 7
    assert executor.statistics().working == {}


async def test_an_event_with_a_plain_invoke():
    """Its class says where it runs. So do its subclasses."""

    class Louder(Read):
        def _invoke(self):
            return f"{super()._invoke()}! {threading.current_thread() is threading.main_thread()}"

    async with Executor.of(Read) as executor:
        assert await executor.invoke(Read(text="a")) == "A"
        assert await executor.invoke(Louder(text="a")) == "A! False"


async def test_plain_and_async_functions_in_one_executor(gate):
    """The executor of an async function takes calls of plain ones, and runs these in threads."""

    async def fetch(number):
        return number

    async with Executor.of(fetch, concurrency_limit=3) as executor:
        blocked = await executor.append(Call.of(gate.pass_through, 1))
        await gate.wait_for(1)
        assert await executor.invoke(Call.of(fetch, 2)) == 2
        gate.open.set()
    assert blocked.result() == 1


async def test_a_subclass_with_an_invoke_of_its_own():
    """It can call the one of Call."""

    class Twice(Call):
        async def _invoke(self):
            return await super()._invoke(), await super()._invoke()

    event = Twice.of(double, 3)
    await event.invoke()
    assert event.result() == (6, 6)


async def test_errors_are_outcomes():
    """As those of async functions: FAILED, SKIPPED, or another attempt."""
    tries = []

    def flaky(number):
        tries.append(number)
        if len(tries) < 3:
            raise OSError("not yet")
        return number

    async with Executor.of(flaky, retry=Retry(3)) as executor:
        assert await executor.invoke(Call.of(flaky, 1)) == 1
        assert tries == [1, 1, 1]
        failed, skipped = await executor.extend([Call.of(fail, "no"), Call.of(skip, "not this")])
    assert isinstance(failed.execution.error, ValueError)
    assert skipped.status is EventStatus.SKIPPED


async def test_what_nobody_would_await_is_refused():
    """A function that returns a coroutine fails, and the coroutine is closed."""
    event = Call.of(returns_coroutine, 1)
    await event.invoke()
    assert "returns_coroutine() returned a coroutine: a function that returns one must be async" in str(
        event.execution.error
    )


class Waits(Read):
    """Forgets that the results come later."""

    def _invoke(self):
        return self.after_results()


async def test_an_event_class_that_returns_a_coroutine_is_named():
    """Also if it calls an async method of its own and forgets to wait for it."""
    event = Waits(text="a")
    await event.invoke()
    assert "Waits._invoke() returned a coroutine: a function that returns one must be async" in str(
        event.execution.error
    )


# ---------------------------------------------------------------- how many


async def test_no_more_events_run_than_there_are_threads(gate):
    """The others are PENDING, and go by their priority."""
    occupied = Gate()  # by one of the two threads, so that the others run one after the other
    async with Executor.of(gate.pass_through, threads=2) as executor:
        await executor.append(Call.of(occupied.pass_through, 0), priority=0)
        for number in range(1, 4):
            await executor.append(Call.of(gate.pass_through, number), priority=number)
        await occupied.wait_for(1)
        await gate.wait_for(1)
        await let_go_on()
        assert counts(executor) == {"pending": 2, "processing": 2}
        urgent = await executor.append(Call.of(gate.pass_through, "urgent"), priority=-1)
        assert str(executor.explain(urgent).waits_for) == "slot"
        gate.open.set()
        await gate.wait_for(3)
        occupied.open.set()
    assert gate.numbers == [1, "urgent", 2, 3]
    check_invariants(executor)


async def test_an_event_that_waits_inside_for_a_thread(gate):
    """Without run_in, more events run than there are threads, and the threads are still bounded."""

    async def fetch():
        return None

    async with Executor.of(fetch, threads=1) as executor:
        for number in range(2):
            await executor.append(Call.of(gate.pass_through, number))
        await gate.wait_for(1)
        await let_go_on()
        assert counts(executor) == {"processing": 2}
        assert executor.statistics().working == {"thread": 1}
        waiting = executor.processing_events[1]
        executor.cancel(waiting)
        await waiting.wait()  # at once, since it has no thread yet
        assert waiting.status is EventStatus.CANCELLED
        gate.open.set()
    assert gate.numbers == [0]


# ---------------------------------------------------------------- cancellation


async def test_a_cancelled_event_ends_when_its_function_returns(gate):
    """CANCELLED then, and not before; what the function returns is dropped."""
    async with Executor.of(gate.pass_through) as executor:
        event = await executor.append(Call.of(gate.pass_through, 1))
        await gate.wait_for(1)
        executor.cancel(event, "enough")
        await let_go_on()
        assert event.status is EventStatus.PROCESSING
        gate.open.set()
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert str(event.execution.error) == "enough"


async def test_a_function_can_look_for_the_cancellation(gate):
    """By from_thread.check_cancelled() of AnyIO."""

    def work():
        gate.pass_through()
        from_thread.check_cancelled()
        gate.numbers.append("went on")

    async with Executor.of(work) as executor:
        event = await executor.append(Call.of(work))
        await gate.wait_for(1)
        executor.cancel(event)
        gate.open.set()
    assert event.status is EventStatus.CANCELLED
    assert gate.numbers == [None]


async def test_an_abandoned_thread_keeps_its_place(gate):
    """The event ends at once. The next one begins when the thread has ended."""
    async with Executor.of(gate.pass_through, threads=1, abandon_on_cancel=True) as executor:
        event = await executor.append(Call.of(gate.pass_through, 1))
        await gate.wait_for(1)
        executor.cancel(event)
        await event.wait()
        assert event.status is EventStatus.CANCELLED
        assert executor.statistics().working == {"thread": 1, "abandoned": 1}
        following = await executor.append(Call.of(gate.pass_through, 2))
        await let_go_on()
        assert gate.numbers == [1]
        gate.open.set()
    assert following.result() == 2
    assert executor.statistics().working == {}


async def test_abandoned_threads_lower_the_number_of_running_events(gate):
    """What waits for their places is PENDING."""
    async with Executor.of(gate.pass_through, threads=2, abandon_on_cancel=True) as executor:
        event = await executor.append(Call.of(gate.pass_through, 1))
        await gate.wait_for(1)
        executor.cancel(event)
        await event.wait()
        await executor.extend(Call.of(gate.pass_through, number) for number in (2, 3))
        await gate.wait_for(1)
        await let_go_on()
        assert counts(executor) == {"cancelled": 1, "pending": 1, "processing": 1}
        gate.open.set()
    assert counts(executor) == {"cancelled": 1, "completed": 2}


async def test_a_class_can_abandon_its_threads(gate):
    """Its option wins over that of the executor."""

    class Wait(Event, run_in="thread", abandon_on_cancel=True):
        def _invoke(self):
            return gate.pass_through()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(Wait().invoke)
            await gate.wait_for(1)
            scope.cancel()
    assert scope.cancelled_caught
    assert not gate.open.is_set()


async def test_a_block_that_is_left_waits_for_the_threads(gate):
    """By an exception, too. What ran ends CANCELLED, what had not begun stays PENDING."""
    with pytest.raises(ExceptionGroup):
        async with Executor.of(gate.pass_through, threads=1) as executor:
            running, pending = await executor.extend(Call.of(gate.pass_through, number) for number in (1, 2))
            await gate.wait_for(1)
            threading.Timer(0.05, gate.open.set).start()
            raise ZeroDivisionError
    assert gate.open.is_set()
    assert (running.status, pending.status) == (EventStatus.CANCELLED, EventStatus.PENDING)
    assert gate.numbers == [1]


async def test_a_timeout_counts_from_the_begin(gate):
    """An event that waits for a thread loses nothing of its time."""

    def work(number):
        return from_thread.run(sleep_for, number)

    async def sleep_for(number):
        await anyio.sleep(4)
        return number

    async with Executor.of(work, threads=1) as executor:
        events = [Call(function=work, args=(number,), timeout=5) for number in range(3)]
        await executor.extend(events)
    assert [event.result() for event in events] == [0, 1, 2]
    assert [event.execution.duration for event in events] == [4, 4, 4]


async def test_a_timeout_does_not_go_on_while_a_call_waits_for_a_thread():
    """An executor for events of other kinds too starts more than can work. They wait inside of their run."""

    def work(number):
        from_thread.run(anyio.sleep, 4)
        return number

    async with Executor.of(Call, threads=1) as executor:
        events = [Call(function=work, args=(number,), timeout=5) for number in range(3)]
        late = Call(function=from_thread.run, args=(anyio.sleep, 6), timeout=5)
        await executor.extend([*events, late])
    assert [event.result() for event in events] == [0, 1, 2]
    assert late.status is EventStatus.CANCELLED
    assert [event.execution.duration for event in (*events, late)] == [4, 8, 12, 17]


async def test_a_timeout_of_a_thread():
    """It ends what the thread waits for in the loop, and so the thread."""

    def work():
        from_thread.run(anyio.sleep, 50)

    async with Executor.of(work) as executor:
        event = await executor.append(Call(function=work, timeout=5))
    assert event.status is EventStatus.CANCELLED
    assert anyio.current_time() == 5


# ---------------------------------------------------------------- with a journal


async def test_calls_go_on_after_a_restart(tmp_path, gate):
    """An interrupted call of a plain function runs again. Its event class comes back with its place."""
    path = tmp_path / "run.db"
    with pytest.raises(ExceptionGroup):
        async with Executor.of(gate.pass_through, threads=1, journal=Journal(path)) as executor:
            await executor.extend(Call.of(gate.pass_through, number) for number in (1, 2))
            await gate.wait_for(1)
            gate.open.set()
            raise ZeroDivisionError
    async with Executor.of(gate.pass_through, threads=1, journal=Journal(path)) as executor:
        await executor.join()
        assert counts(executor) == {"completed": 2}
    assert gate.numbers == [1, 1, 2]
    async with Executor.of(Read, journal=Journal(tmp_path / "read.db")) as executor:
        assert await executor.invoke(Read(text="b")) == "B"


# ---------------------------------------------------------------- bad input


async def fetch(number):
    """Be async."""
    return number


class Fetch(Event):
    async def _invoke(self):
        return None


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        (fetch, {"run_in": "thread"}, "run_in='thread' is for plain functions, and fetch is async"),
        (partial(fetch), {"run_in": "process"}, "run_in='process' is for plain functions, and fetch is async"),
        (Fetch, {"run_in": "thread"}, r"give it to the class, class Fetch\(Event, run_in='thread'\)"),
        (double, {"run_in": "threads"}, "run_in must be 'thread', 'process' or 'interpreter', got 'threads'"),
        (double, {"run_in": ["thread"]}, "run_in must be 'thread', 'process' or 'interpreter', got"),
        (lambda: None, {"run_in": "process"}, "needs a function that can be pickled, so one of a module"),
    ],
)
async def test_a_wrong_place_is_refused_at_once(target, config, message):
    """When the executor is made."""
    with pytest.raises(ConfigurationError, match=message):
        Executor.of(target, **config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"threads": 0}, "threads must be an integer, 1 or more, got 0"),
        ({"processes": 1.5}, "processes must be an integer, 1 or more, got 1.5"),
        ({"interpreters": True}, "interpreters must be an integer, 1 or more, got True"),
        ({"abandon_on_cancel": "yes"}, "abandon_on_cancel must be True or False, got 'yes'"),
    ],
)
async def test_a_wrong_number_is_refused(config, message):
    """Where it is written, as those of the other keywords of the processor; later ones at the start."""
    with pytest.raises(ConfigurationError, match=message):
        Executor.of(double, **config)
    executor = Executor.of(double)
    executor.processor_config |= config
    with pytest.raises(ConfigurationError, match=message):
        await executor.start()
    assert executor.processor is None


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has interpreters")
async def test_interpreters_need_a_newer_python():
    """The refusal says which, and what to use instead."""
    message = "run_in='interpreter' needs Python 3.14, this is 3.1[123]: use 'process' instead"
    with pytest.raises(ConfigurationError, match=message):
        Executor.of(double, run_in="interpreter")
    with pytest.raises(ConfigurationError, match=message):

        class Elsewhere(Event, run_in="interpreter"):
            def _invoke(self):
                return None


async def test_a_class_that_does_not_fit_its_place():
    """Refused at the class statement, or at the construction of a call."""
    with pytest.raises(TypeError, match=r"Late has run_in='thread', which is for a plain function, and its _invoke"):

        class Late(Event, run_in="thread"):
            async def _invoke(self):
                return None

    with pytest.raises(TypeError, match="abandon_on_cancel must be True or False, got 1"):

        class Odd(Event, run_in="thread", abandon_on_cancel=1):
            def _invoke(self):
                return None

    class InThread(Call, run_in="thread"):
        pass

    assert InThread.of(double, 1).function is double
    with pytest.raises(TypeError, match="InThread has run_in='thread', and fetch is async"):
        InThread.of(fetch, 1)
    with pytest.raises(TypeError, match="generate is a generator; it must be a function that returns its result"):
        Call.of(generate, 1)


async def test_a_plain_invoke_without_a_place_says_what_to_do():
    """FAILED, with a message that names run_in."""

    class Plain(Event):
        def _invoke(self):
            return 1

    event = Plain()
    await event.invoke()
    assert "must be async (async def), or the class needs run_in='thread'" in str(event.execution.error)


# ---------------------------------------------------------------- with the rest of an executor


async def test_a_plain_function_knows_its_event_and_executor():
    """In a thread, and through middleware."""

    def work(number):
        return current_event().args, current_executor() is executor, number

    async def note(event, call_next):
        return "noted", await call_next(event)

    async with Executor.of(work, middleware=[note]) as executor:
        assert await executor.invoke(Call.of(work, 1)) == ("noted", ((1,), True, 1))


async def test_a_batch_runs_plain_functions():
    """By forward(), without a start; and inline."""
    executor = inline(Executor.of(double, threads=1))
    event = await executor.append(Call.of(double, 2))
    assert event.result() == 4


async def test_resize_cannot_go_beyond_the_threads(gate):
    """The concurrency limit holds below their number only."""
    async with Executor.of(gate.pass_through, threads=2) as executor:
        executor.resize(concurrency_limit=1)
        await executor.extend(Call.of(gate.pass_through, number) for number in range(4))
        await gate.wait_for(1)
        await let_go_on()
        assert counts(executor) == {"pending": 3, "processing": 1}
        executor.resize(concurrency_limit=10)
        await gate.wait_for(1)
        await let_go_on()
        assert counts(executor) == {"pending": 2, "processing": 2}
        gate.open.set()
