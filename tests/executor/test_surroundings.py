"""What surrounds the runs of events (lifespan, middleware, the caller's context), and what running code asks for."""

from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import anyio
import pytest
from anyio import to_thread

from lionpride_exec import (
    Call,
    Cluster,
    ConfigurationError,
    Event,
    EventFailed,
    Executor,
    Journal,
    RateLimited,
    Retain,
    Retry,
    current_event,
    current_executor,
    lifespan_value,
)

pytestmark = pytest.mark.anyio

REQUEST = ContextVar("request", default="none")
TENANT = ContextVar("tenant")


async def nothing():
    """Do nothing."""


class Job(Event[str], tag="test_surroundings.job"):
    number: int = 0
    fails: int = 0
    seconds: float = 0.0

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        if self.execution.attempt <= self.fails:
            raise ValueError(self.number)
        return f"{REQUEST.get()} {TENANT.get('nobody')}"


class JobInProcess(Event, run_in="process"):
    def _invoke(self):
        """Do nothing."""


# -------------------------------------------------------------------- the current event


async def test_running_code_knows_its_event_and_executor():
    """Also in what it calls, in tasks that it starts, and in threads."""
    seen = []

    def look():
        seen.append((current_event(), current_executor()))

    async def look_in_task():
        look()

    class Looks(Event):
        async def _invoke(self):
            look()
            async with anyio.create_task_group() as group:
                group.start_soon(look_in_task)
            await to_thread.run_sync(look)

    async with Executor.of(Looks) as executor:
        event = await executor.append(Looks())
        await event.wait()
    assert event.status == "completed"
    assert seen == [(event, executor)] * 3


async def test_a_function_appends_to_its_executor():
    """A crawler without a class of its own."""

    async def visit(depth):
        if depth:
            for _ in range(2):
                await current_executor().append(Call.of(visit, depth - 1))

    async with Executor.of(visit) as executor:
        await executor.append(Call.of(visit, 3))
    assert executor.status_counts()["completed"] == 15


@pytest.mark.parametrize("ask", [current_event, current_executor, lambda: lifespan_value(nothing)])
async def test_code_outside_of_a_run_has_no_event(ask):
    async with Executor.of(Job) as executor:
        await executor.invoke(Job())
        with pytest.raises(
            RuntimeError, match=r"no event runs here: .* In a process or an interpreter there is no event"
        ):
            ask()


async def test_a_task_that_outlives_its_event_has_none():
    """What it asks for is not an event that ended long ago."""
    seen = []

    async with anyio.create_task_group() as group:

        async def late():
            await anyio.sleep(1)
            with pytest.raises(RuntimeError, match="no event runs here"):
                current_event()
            seen.append("late")

        async def begin():
            group.start_soon(late)

        async with Executor.of(begin) as executor:
            await executor.append(Call.of(begin))
    assert seen == ["late"]


async def test_an_event_without_an_executor():
    """It is the current event, and has no executor."""
    seen = []

    class Looks(Event):
        async def _invoke(self):
            seen.append(current_event())
            current_executor()

    event = Looks()
    await event.invoke()
    assert seen == [event]
    with pytest.raises(EventFailed, match="is in no executor"):
        event.result()


# -------------------------------------------------------------------- carry


async def test_a_run_sees_the_context_of_who_appended_it():
    """Of each caller its own, also at a retry; a variable without a value stays as it is for the executor."""
    seen = {}
    async with Executor.of(Job, carry=[REQUEST, TENANT], retry=Retry(3)) as executor:

        async def handle(name):
            REQUEST.set(name)
            if name == "b":
                TENANT.set("acme")
            seen[name] = await executor.invoke(Job(fails=name == "a"))

        async with anyio.create_task_group() as group:
            for name in ("a", "b", "c"):
                group.start_soon(handle, name)
        assert await executor.invoke(Job()) == "none nobody"
    assert seen == {"a": "a nobody", "b": "b acme", "c": "c nobody"}


async def test_the_context_of_a_caller_goes_with_extend_and_map():
    async def look(_):
        return REQUEST.get()

    async with Executor.of(Job, carry=[REQUEST]) as jobs, Executor.of(look, carry=[REQUEST]) as calls:
        token = REQUEST.set("x")
        try:
            events = await jobs.extend(Job() for _ in range(3))
            async with calls.map(look, range(3)) as results:
                assert [one.result() async for one in results] == ["x"] * 3
        finally:
            REQUEST.reset(token)
        await jobs.join()
    assert {event.result() for event in events} == {"x nobody"}


async def test_what_a_run_sets_does_not_reach_the_next_one():
    """One worker runs one event after the other in one context."""

    async def leak():
        before = REQUEST.get()
        REQUEST.set("leaked")
        return before

    async with Executor.of(leak, carry=[REQUEST], concurrency_limit=1) as executor:
        REQUEST.set("mine")
        events = [await executor.append(Call.of(leak)) for _ in range(3)]
        await executor.join()
    assert [event.result() for event in events] == ["mine"] * 3


@pytest.mark.parametrize("carry", [["request"], [None], "x"])
async def test_what_is_no_context_variable_cannot_be_carried(carry):
    with pytest.raises(TypeError, match="carry must have ContextVars"):
        Executor.of(Job, carry=carry)


async def test_the_context_is_not_kept_in_a_journal(tmp_path):
    """After a restart a run sees what the executor sees."""
    pytest.importorskip("msgspec")
    path = tmp_path / "run.db"
    executor = Executor.of(Job, carry=[REQUEST], journal=Journal(path))
    await executor.start()
    executor.pause()
    token = REQUEST.set("before")
    event = await executor.append(Job())
    REQUEST.reset(token)
    await executor.stop()
    again = Executor.of(Job, carry=[REQUEST], journal=Journal(path))
    async with again:
        await again.join()
        assert (await again.get(event.id)).result() == "none nobody"


@pytest.mark.parametrize("has_journal", [False, True])
async def test_an_event_that_is_retried_keeps_the_context_of_its_caller(has_journal, tmp_path):
    """Not that of the caller of retry()."""
    journal = Journal(tmp_path / "run.db") if has_journal else None
    async with Executor.of(Job, carry=[REQUEST], journal=journal, retain=Retain(1)) as executor:
        token = REQUEST.set("first")
        event = await executor.append(Job())
        REQUEST.reset(token)
        await executor.join()
        again = await executor.retry(event)
        await executor.join()
        assert again.result() == "first nobody"


async def test_a_cluster_carries_no_context():
    with pytest.raises(ConfigurationError, match="carry needs the events to run in this process"):
        Executor.of(Job, carry=[REQUEST], cluster=Cluster("redis://localhost", queue="q", secret="x" * 32))


@pytest.mark.parametrize("target", [abs, JobInProcess], ids=["function", "class"])
async def test_carry_is_refused_where_no_run_can_see_it(target):
    """All work is done in processes. A middleware can see the values, and so can a thread."""
    where = {"run_in": "process"} if target is abs else {}

    async def middleware(event, call_next):
        return REQUEST.get(), await call_next(event)

    with pytest.raises(ConfigurationError, match="carry has no effect with run_in='process' and without middleware"):
        Executor.of(target, carry=[REQUEST], **where)
    Executor.of(target, carry=[REQUEST], middleware=[middleware], **where)
    Executor.of(abs, carry=[REQUEST])


# -------------------------------------------------------------------- middleware


async def test_middleware_surrounds_each_run_in_order():
    """The first one is the outermost, and a retry goes through all of them again."""
    steps = []

    def named(name):
        async def middleware(event, call_next):
            steps.append(f"{name} {event.execution.attempt}")
            try:
                return f"{name}({await call_next(event)})"
            finally:
                steps.append(f"end of {name}")

        return middleware

    async with Executor.of(Job, middleware=[named("a"), named("b")], retry=Retry(2)) as executor:
        result = await executor.invoke(Job(fails=1))
    once = ["end of b", "end of a"]
    assert steps == ["a 1", "b 1", *once, "a 2", "b 2", *once]
    assert result == "a(b(none nobody))"


async def test_middleware_decides_how_a_run_ends():
    """What it raises is the error; what it returns without the work is the response; RateLimited pauses."""
    refused = []

    async def middleware(event, call_next):
        if event.number == 1:
            raise KeyError("no")
        if event.number == 2:
            return "at once"
        if event.number == 3 and not refused:
            refused.append(event)
            raise RateLimited(retry_after=5)
        return await call_next(event)

    async with Executor.of(Job, middleware=[middleware]) as executor:
        events = await executor.extend(Job(number=number) for number in (1, 2))
        await executor.join()
        events.append(await executor.append(Job(number=3)))
    assert [event.status for event in events] == ["failed", "completed", "completed"]
    assert isinstance(events[0].execution.error, KeyError)
    assert events[1].result() == "at once"
    assert events[2].execution.started_at is not None
    assert refused == [events[2]]


async def test_middleware_is_within_the_timeout_and_the_cancellation_of_the_event():
    """It is told of both, and can clean up."""
    seen = []

    async def middleware(event, call_next):
        try:
            return await call_next(event)
        except anyio.get_cancelled_exc_class():
            seen.append(event.number)
            raise

    async with Executor.of(Job, middleware=[middleware]) as executor:
        late = await executor.append(Job(number=1, seconds=5, timeout=1))
        cancelled = await executor.append(Job(number=2, seconds=5))
        await anyio.sleep(2)
        executor.cancel(cancelled)
    assert (late.status, cancelled.status) == ("cancelled", "cancelled")
    assert seen == [1, 2]


async def test_middleware_surrounds_streams():
    async def middleware(event, call_next):
        return [*await call_next(event), "end"]

    class Counts(Event):
        async def stream(self):
            yield 1
            yield 2

    async with Executor.of(Counts, middleware=[middleware]) as executor:
        assert await executor.invoke(Counts(streaming=True)) == [1, 2, "end"]


@pytest.mark.parametrize("middleware", [[lambda event, call_next: call_next(event)], [None], ["x"]])
async def test_what_is_no_async_function_cannot_be_middleware(middleware):
    with pytest.raises(TypeError, match="middleware must be async functions"):
        Executor.of(Job, middleware=middleware)


# -------------------------------------------------------------------- lifespan


class Client:
    def __init__(self):
        self.opened = self.closed = 0


def lifespan_of(client, *, fails=None, steps=None):
    """Return a lifespan that counts how often it is entered and left."""

    @asynccontextmanager
    async def lifespan():
        await anyio.sleep(1)
        if fails:
            raise fails
        client.opened += 1
        try:
            yield client
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            client.closed += 1
            if steps is not None:
                steps.append("closed")

    return lifespan


@contextmanager
def uses_of(client):
    """Give a function that uses the client, and the lifespan. The client must be open at each use."""
    lifespan = lifespan_of(client)

    async def use(number):
        assert client.opened == client.closed + 1
        assert lifespan_value(lifespan) is client
        await anyio.sleep(number)
        assert client.opened == client.closed + 1
        return number

    yield use, lifespan


async def test_a_lifespan_surrounds_the_runs_of_a_block():
    client = Client()
    with uses_of(client) as (use, lifespan):
        executor = Executor.of(use, lifespan=lifespan)
        early = await executor.append(Call.of(use, 1))  # before the start
        async with executor:
            late = await executor.append(Call.of(use, 5))
    assert (early.result(), late.result()) == (1, 5)
    assert (client.opened, client.closed) == (1, 1)


@pytest.mark.parametrize("way", ["run", "start"])
async def test_a_lifespan_is_entered_anew_at_each_start(way):
    client = Client()
    with uses_of(client) as (use, lifespan):
        executor = Executor.of(use, lifespan=lifespan)
        for turn in (1, 2):
            async with anyio.create_task_group() as group:
                await (group.start(executor.run) if way == "run" else executor.start())
                assert client.opened == turn
                event = await executor.append(Call.of(use, 3))
                await anyio.sleep(1)
                await executor.stop()
            assert event.result() == 3
            await anyio.sleep(2)  # the root task of start() leaves it after stop() has returned
            assert client.closed == turn


@pytest.mark.parametrize("has_journal", [False, True])
@pytest.mark.parametrize("way", ["block", "run", "start"])
async def test_a_lifespan_is_left_before_the_next_one_is_entered(way, has_journal, tmp_path):
    """stop() returns while run() still leaves its lifespan. A start at once waits for that."""
    steps = []

    @asynccontextmanager
    async def lifespan():
        steps.append("in")
        yield len(steps)
        await anyio.sleep(1)
        steps.append("out")

    async def use():
        await anyio.sleep(3)
        return lifespan_value(lifespan)

    journal = Journal(tmp_path / "run.db") if has_journal else None
    executor = Executor.of(use, lifespan=lifespan, journal=journal)
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.stop()
        await anyio.sleep(0.5)
        assert steps == ["in"]
        if way == "block":
            async with executor:
                event = await executor.append(Call.of(use))
        else:
            await (group.start(executor.run) if way == "run" else executor.start())
            event = await executor.append(Call.of(use))
            await executor.join()
            await executor.stop()
    await anyio.sleep(2)
    assert event.result() == 3
    assert steps == ["in", "out"] * 2


async def test_two_tasks_that_enter_the_lifespan_at_once():
    """One of them gets the executor. The other one is told, and has entered no lifespan."""
    client, refused = Client(), []
    with uses_of(client) as (use, lifespan):
        executor = Executor.of(use, lifespan=lifespan)

        async def enter():
            try:
                async with executor:
                    await executor.invoke(Call.of(use, 3))
            except RuntimeError as error:
                refused.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(enter)
            group.start_soon(enter)
    assert len(refused) == 1
    assert refused[0].endswith("is running already")
    assert (client.opened, client.closed) == (1, 1)


@pytest.mark.parametrize("way", ["block", "run", "start"])
async def test_an_error_of_a_lifespan_is_raised_by_the_start(way):
    """No event has begun, and the next start tries again."""
    errors = [OSError("no route")]
    client = Client()

    @asynccontextmanager
    async def lifespan():
        if errors:
            raise errors.pop()
        yield client

    async def use():
        return lifespan_value(lifespan)

    executor = Executor.of(use, lifespan=lifespan)
    event = await executor.append(Call.of(use))
    with pytest.raises((OSError, ExceptionGroup)) as caught:
        if way == "block":
            async with executor:
                pytest.fail("the block was entered")
        elif way == "run":
            async with anyio.create_task_group() as group:
                await group.start(executor.run)
        else:
            await executor.start()
    assert caught.group_contains(OSError) if way == "run" else caught.type is OSError
    assert event.status == "pending"
    async with executor:
        assert await event.wait() is event or event.result() is client
    assert event.result() is client


async def test_a_lifespan_is_left_when_the_block_is_cancelled():
    """After the runs, which are cancelled first."""
    client, steps = Client(), []
    lifespan = lifespan_of(client, steps=steps)

    async def use():
        try:
            await anyio.sleep(100)
        finally:
            steps.append("run ended")

    with anyio.move_on_after(5):
        async with Executor.of(use, lifespan=lifespan) as executor:
            await executor.append(Call.of(use))
            await anyio.sleep_forever()
    assert steps == ["run ended", "closed"]


async def test_the_cancellation_of_a_start_cancels_the_lifespan():
    """Nothing has begun, and the executor can be started again."""
    client = Client()
    with uses_of(client) as (use, lifespan):
        executor = Executor.of(use, lifespan=lifespan)
        event = await executor.append(Call.of(use, 0))
        with anyio.move_on_after(0.5):
            async with executor:
                pytest.fail("the block was entered")
        assert (client.opened, event.status) == (0, "pending")
        async with executor:
            await event.wait()
    assert event.result() == 0


async def test_what_is_no_lifespan():
    with pytest.raises(TypeError, match="lifespan must be a function"):
        Executor.of(Job, lifespan=3)
    executor = Executor.of(Job, lifespan=lambda: 3)
    with pytest.raises(TypeError, match="must return an async context manager"):
        async with executor:
            pytest.fail("the block was entered")


async def test_a_value_of_another_lifespan_is_refused():
    """The function names the lifespan whose value it wants."""
    other = lifespan_of(Client())

    async def use():
        return lifespan_value(other)

    async with Executor.of(use, lifespan=lifespan_of(Client())) as executor:
        event = await executor.append(Call.of(use))
    assert isinstance(event.execution.error, ConfigurationError)
