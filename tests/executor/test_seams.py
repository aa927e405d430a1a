"""What a subclass may replace in an executor and its processor, as the request describes it."""

from functools import partial

import anyio
import pytest
from journal_support import Step, StepProcessor
from support import CONFIG, Job, JobProcessor, counts, make_executor, with_processor

from lionpride_exec import Call, ConfigurationError, Executor, Journal, QueueFullError, Retry
from lionpride_exec.testing import check_invariants, record

pytestmark = pytest.mark.anyio

MADE = ("override", "by hand")


class AsRequested(Executor):
    """Creates its processor as the request says, without a call of the base class."""

    processor_type = JobProcessor

    async def _create_processor(self):
        self.processor = await self.processor_type.create(
            pile=self.states.items, executor=self, **self.processor_config
        )


def prepare(made, processor_type=JobProcessor, **kwargs):
    """Make an executor whose processor comes from an override, or was assigned by hand."""
    executor = make_executor(type("Made", (AsRequested,), {"processor_type": processor_type}))
    if made == "by hand":
        executor.processor = processor_type(pile=executor.states.items, **CONFIG, **kwargs)
    return executor


# ---------------------------------------------------------------- where the processor comes from


@pytest.mark.parametrize("made", MADE)
async def test_the_block_ends(made):
    """The block of an executor ends once its events have ended, whoever has made the processor."""
    executor = prepare(made)
    with anyio.fail_after(10):
        async with executor:
            events = await executor.extend([Job(seconds=1), Job()])
    assert [event.status for event in events] == ["completed"] * 2
    check_invariants(executor)


@pytest.mark.parametrize("made", MADE)
async def test_pause_holds_back(made):
    """pause() reaches the processor, whoever has made it."""
    executor = prepare(made)
    await executor.start()
    executor.pause()
    event = await executor.append(Job())
    await anyio.sleep(5)
    assert counts(executor) == {"pending": 1}
    executor.resume()
    await event.wait()
    await executor.stop()


@pytest.mark.parametrize("made", MADE)
async def test_a_deferred_end_is_respected(made):
    """An event whose end waits for a lock does not start, whoever has made the processor."""
    executor = prepare(made)
    async with executor:
        executor.pause()
        event = await executor.append(Job())
        async with executor.states.progressions:
            executor.cancel(event)
            executor.resume()
            await anyio.sleep(5)
            assert event.status == "pending"
            assert event.execution.started_at is None
    assert event.status == "cancelled"


@pytest.mark.parametrize("made", MADE)
async def test_a_start_waits_for_a_lock(made):
    """No event starts while a task holds the locks of the progressions, whoever has made the processor."""
    executor = prepare(made)
    async with executor:
        executor.pause()
        event = await executor.append(Job())
        async with executor.states.progressions:
            executor.resume()
            await anyio.sleep(5)
            assert event.status == "pending"
    assert event.status == "completed"


@pytest.mark.parametrize("made", MADE)
async def test_what_came_before_is_run(made):
    """Events that were appended before there was a processor run at their priority."""
    order = []

    class Noting(Job):
        async def _invoke(self):
            order.append(self.name)

    executor = make_executor(AsRequested, concurrency_limit=1)
    await executor.append(Noting(name="second"), 2)
    await executor.append(Noting(name="first"), 1)
    if made == "by hand":
        executor.processor = JobProcessor(pile=executor.states.items, concurrency_limit=1, **CONFIG)
    async with executor:
        pass
    assert order == ["first", "second"]


async def test_it_is_told_its_executor():
    """A processor that was made without an executor has one once it is assigned."""
    executor = prepare("by hand")
    assert executor.processor.executor is executor


async def test_reports_reach_an_override():
    """An overridden _update_progression() hears of each start and end, also with a processor made by hand."""
    told = []

    class Listening(AsRequested):
        async def _update_progression(self, event, force_status=None):
            told.append(force_status or event.status)
            await super()._update_progression(event, force_status)

    executor = make_executor(Listening)
    executor.processor = JobProcessor(pile=executor.states.items, **CONFIG)
    async with executor:
        await executor.append(Job())
    assert told == ["processing", "completed"]


@pytest.mark.parametrize("made", MADE)
async def test_with_a_journal(made, tmp_path):
    """With a journal, too, the block ends, and what was interrupted is run again."""

    def make():
        executor = type("Kept", (AsRequested,), {"processor_type": StepProcessor})(
            CONFIG, journal=Journal(tmp_path / "kept.journal")
        )
        if made == "by hand":
            executor.processor = StepProcessor(pile=executor.states.items, **CONFIG)
        return executor

    with anyio.move_on_after(1):
        async with make() as executor:
            await executor.append(Step(seconds=3))
    with anyio.fail_after(10):
        async with make() as executor:
            assert counts(executor) == {"pending": 1}
    assert counts(executor) == {"completed": 1}


@pytest.mark.parametrize("after", [False, True])
async def test_a_cancelled_creation_is_made_up_for(after):
    """A start that is cancelled while the processor is created leaves nothing behind: the next one works."""
    gate = anyio.Event()

    class Waiting(AsRequested):
        async def _create_processor(self):
            if not after:
                await gate.wait()
            await super()._create_processor()
            await gate.wait()

    executor = make_executor(Waiting)
    event = await executor.append(Job())
    with anyio.move_on_after(1):
        await executor.start()
    assert counts(executor) == {"pending": 1}
    gate.set()
    with anyio.fail_after(10):
        async with executor:
            pass
    assert event.status == "completed"


async def test_a_creation_that_makes_none():
    """A _create_processor() that assigns no processor is a ConfigurationError, and nothing is started."""

    class Lazy(AsRequested):
        async def _create_processor(self):
            pass

    with pytest.raises(ConfigurationError, match=r"Lazy\._create_processor\(\) must assign self\.processor"):
        await make_executor(Lazy).start()


async def test_a_processor_of_another_executor():
    """A processor belongs to one executor: another one refuses it and keeps its own."""
    first, second = prepare("by hand"), prepare("by hand")
    kept = second.processor
    with pytest.raises(ConfigurationError, match="pile"):
        second.processor = first.processor
    stray = JobProcessor(pile=second.states.items, executor=first, **CONFIG)
    with pytest.raises(ConfigurationError, match="another executor"):
        second.processor = stray
    assert second.processor is kept
    assert stray.executor is first


async def test_not_while_it_runs():
    """The processor cannot be replaced while the executor runs; afterwards it can, and the new one starts events."""
    executor = prepare("by hand")
    replacement = JobProcessor(pile=executor.states.items, **CONFIG)
    async with executor:
        with pytest.raises(RuntimeError, match="stop it before"):
            executor.processor = replacement
        with pytest.raises(RuntimeError, match="stop it before"):
            executor.processor = None
    executor.processor = replacement
    with anyio.fail_after(10):
        async with executor:
            event = await executor.append(Job())
    assert event.status == "completed"


async def test_not_one_that_is_in_use():
    """A processor that somebody runs already cannot be assigned."""
    executor = make_executor()
    processor = JobProcessor(pile=executor.states.items, **CONFIG)
    async with anyio.create_task_group() as group:
        group.start_soon(processor.execute)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="in use"):
            executor.processor = processor
        await processor.stop()
    assert executor.processor is None


# ---------------------------------------------------------------- an overridden append()


def counting(taken, refuse=None):
    """Make a class of executors whose append() notes the names of its events and refuses one of them."""

    class Counting(Executor):
        processor_type = StepProcessor

        async def append(self, event, priority=None, **options):
            if event.name == refuse:
                raise ValueError(event.name)
            added = await super().append(event, priority, **options)
            taken.append(event.name)
            return added

    return Counting


def journal_of(kept, tmp_path):
    """Return a journal, or None."""
    return Journal(tmp_path / "kept.journal") if kept else None


@pytest.mark.parametrize("kept", [False, True])
async def test_extend_appends(kept, tmp_path):
    """extend() calls an overridden append() once for each event, in order, with a journal, too."""
    taken = []
    executor = counting(taken)(CONFIG, journal=journal_of(kept, tmp_path))
    async with executor:
        await executor.extend([Step(name="a"), Step(name="b"), Step(name="c")])
        assert taken == ["a", "b", "c"]
    assert counts(executor) == {"completed": 3}


@pytest.mark.parametrize("kept", [False, True])
async def test_extend_calls_an_append_of_the_instance(kept, tmp_path):
    """An append() that was replaced on the instance counts as overridden."""
    taken = []
    executor = counting([])(CONFIG, journal=journal_of(kept, tmp_path))
    original = executor.append

    async def append(event, *arguments, **options):
        taken.append(event.name)
        return await original(event, *arguments, **options)

    executor.append = append
    async with executor:
        await executor.extend([Step(name="a"), Step(name="b")])
    assert taken == ["a", "b"]


@pytest.mark.parametrize("kept", [False, True])
async def test_a_recording_leaves_an_append_of_the_instance(kept, tmp_path):
    """extend() calls an append() that was replaced on the instance also while two recordings follow the executor."""
    taken = []
    executor = counting([])(CONFIG, journal=journal_of(kept, tmp_path))
    original = executor.append

    async def append(event, *arguments, **options):
        taken.append(event.name)
        return await original(event, *arguments, **options)

    executor.append = append
    with record(executor), record(executor):
        async with executor:
            await executor.extend([Step(name="a"), Step(name="b")])
    assert taken == ["a", "b"]


@pytest.mark.parametrize("kept", [False, True])
async def test_extend_ends_with_a_refusal(kept, tmp_path):
    """What an overridden append() raises comes out of extend(); the events before stay, the others never come."""
    taken = []
    executor = counting(taken, refuse="b")(CONFIG, journal=journal_of(kept, tmp_path))
    async with executor:
        with pytest.raises(ValueError, match="b"):
            await executor.extend([Step(name="a"), Step(name="b"), Step(name="c")])
    assert taken == ["a"]
    assert counts(executor) == {"completed": 1}


@pytest.mark.parametrize("kept", [False, True])
async def test_extend_is_cancelled_in_an_append(kept, tmp_path):
    """A cancellation inside an overridden append() leaves the events before it, and nothing of the others."""

    class Slow(Executor):
        processor_type = StepProcessor

        async def append(self, event, priority=None, **options):
            if event.name == "b":
                await anyio.sleep(10)
            return await super().append(event, priority, **options)

    executor = Slow(CONFIG, journal=journal_of(kept, tmp_path))
    async with executor:
        with anyio.move_on_after(5) as scope:
            await executor.extend([Step(name="a"), Step(name="b"), Step(name="c")])
        assert scope.cancelled_caught
    assert counts(executor) == {"completed": 1}


# ---------------------------------------------------------------- an overridden enqueue()


class Enqueuing(JobProcessor):
    """Notes each call of enqueue(), waits and raises as it is told, before or after it queues the event."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = []
        self.seconds = 0.0
        self.seconds_after = 0.0
        self.refused = ()

    async def enqueue(self, event_id, priority=None, **options):
        name = self.pile[event_id].name
        self.calls.append((name, priority))
        if self.seconds:
            await anyio.sleep(self.seconds)
        if name in self.refused:
            raise ValueError(name)
        await super().enqueue(event_id, priority, **options)
        if self.seconds_after:
            await anyio.sleep(self.seconds_after)

    @property
    def names(self):
        """The names of the events, in the order of the calls."""
        return [name for name, _ in self.calls]


class StepEnqueuing(Enqueuing):
    event_type = Step


def enqueuing(journal=None, **config):
    """Make an executor whose processor has an enqueue() of its own, and give both."""
    processor_type = Enqueuing if journal is None else StepEnqueuing
    made = type("Made", (Executor,), {"processor_type": processor_type})
    executor = made(CONFIG | config, journal=journal)
    executor.processor = processor_type(pile=executor.states.items, **(CONFIG | config))
    return executor, executor.processor


def job_of(kept):
    """Return the class of events that a journal can keep, or the other one."""
    return Step if kept else Job


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("seconds", [0, 1])
async def test_append_enqueues(kept, seconds, tmp_path):
    """append() awaits an overridden enqueue() once, with the priority it was given, and the event runs."""
    executor, processor = enqueuing(journal_of(kept, tmp_path))
    processor.seconds = seconds
    async with executor:
        event = await executor.append(job_of(kept)(name="a"), 5)
        assert processor.calls == [("a", 5)]
    assert event.status == "completed"
    check_invariants(executor)


@pytest.mark.parametrize("kept", [False, True])
async def test_extend_map_and_invoke_enqueue(kept, tmp_path):
    """extend(), map() and invoke() call an overridden enqueue() once for each event."""
    executor, processor = enqueuing(journal_of(kept, tmp_path))
    job = job_of(kept)
    async with executor:
        await executor.extend([job(name="a"), job(name="b")])
        async for _ in executor.map(job, [job(name="c")]):
            pass
        await executor.invoke(job(name="d"))
    assert processor.names == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kept", [False, True])
async def test_append_waits_for_room_once(kept, tmp_path):
    """append(wait=True) calls an overridden enqueue() only once there is room, and has that room while it waits."""
    executor, processor = enqueuing(journal_of(kept, tmp_path), max_queue_size=1, concurrency_limit=1)
    processor.seconds = 0.5
    job = job_of(kept)
    async with executor:
        async with anyio.create_task_group() as group:
            for name in "abcd":
                group.start_soon(partial(executor.append, wait=True), job(name=name, seconds=1))
    assert sorted(processor.names) == ["a", "b", "c", "d"]
    assert counts(executor) == {"completed": 4}


async def test_a_full_queue_refuses_before_the_call():
    """append() to a full queue raises QueueFullError and calls no enqueue()."""
    executor, processor = enqueuing(max_queue_size=1)
    await executor.append(Job(name="a"))
    with pytest.raises(QueueFullError):
        await executor.append(Job(name="b"))
    assert processor.names == ["a"]


async def test_a_bound_of_its_own():
    """A QueueFullError of the override is raised by append(wait=True), too: no room of ours would help."""

    class Bounded(JobProcessor):
        async def enqueue(self, event_id, priority=None):
            raise QueueFullError("mine")

    executor = with_processor(Bounded)
    async with executor:
        with pytest.raises(QueueFullError, match="mine"):
            await executor.append(Job(), wait=True)


@pytest.mark.parametrize("kept", [False, True])
async def test_a_raise_rolls_back(kept, tmp_path):
    """What an overridden enqueue() raises comes out of append(), and the event and its key are as before."""
    executor, processor = enqueuing(journal_of(kept, tmp_path))
    event = job_of(kept)(name="a")
    async with executor:
        processor.refused = ("a",)
        with pytest.raises(ValueError, match="a"):
            await executor.append(event, key="k")
        assert event not in executor
        assert event.execution.queued_at is None
        processor.refused = ()
        assert await executor.append(event, key="k") is event
    assert counts(executor) == {"completed": 1}


@pytest.mark.parametrize("kept", [False, True])
async def test_a_cancellation_rolls_back(kept, tmp_path):
    """A cancellation inside an overridden enqueue() leaves nothing behind, not even the promise of room."""
    executor, processor = enqueuing(journal_of(kept, tmp_path), max_queue_size=1)
    event = job_of(kept)(name="a")
    async with executor:
        processor.seconds = 10
        with anyio.move_on_after(1):
            await executor.append(event)
        assert event not in executor
        assert not processor.queue.is_full
        processor.seconds = 0
        await executor.append(event)
    assert counts(executor) == {"completed": 1}
    if kept:
        executor, _ = enqueuing(journal_of(kept, tmp_path))
        async with executor:
            assert (await executor.get(event.id)).status == "completed"


async def test_a_cancellation_after_the_start():
    """An event that has begun stays, though the enqueue() that queued it is cancelled."""
    executor, processor = enqueuing()
    processor.seconds_after = 10
    async with executor:
        event = Job(seconds=3)
        with anyio.move_on_after(1):
            await executor.append(event)
        assert event.status == "processing"
    assert event.status == "completed"


async def test_a_cancellation_between_queue_and_start():
    """An event that is queued and has not begun leaves the queue again with a cancelled enqueue()."""
    executor, processor = enqueuing()
    processor.seconds_after = 10
    async with executor:
        executor.pause()
        event = Job()
        with anyio.move_on_after(1):
            await executor.append(event)
        assert event not in executor
        assert processor.queue.empty()
        executor.resume()
    assert event.status == "pending"


async def test_a_key_waits_for_the_other_call():
    """append() with a key waits until the event with this key is queued; if that fails, its own event comes in."""
    executor, processor = enqueuing()
    processor.seconds, processor.refused = 1, ("a",)
    taken = []
    async with executor:

        async def first():
            with pytest.raises(ValueError, match="a"):
                await executor.append(Job(name="a"), key="k")

        async def second():
            taken.append((await executor.append(Job(name="b"), key="k")).name)

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(second)
    assert taken == ["b"]
    assert counts(executor) == {"completed": 1}


async def test_an_event_that_is_cancelled_meanwhile():
    """An event that is cancelled inside its enqueue() ends CANCELLED and does not stay in the queue."""
    executor, processor = enqueuing()
    processor.seconds = 2
    async with executor:
        event = Job()
        async with anyio.create_task_group() as group:
            group.start_soon(executor.append, event)
            await anyio.sleep(1)
            executor.cancel(event)
        assert event.status == "cancelled"
        assert processor.queue.empty()
    assert event.execution.started_at is None


async def test_a_start_meanwhile():
    """start() does not hand over an event again whose append() still awaits enqueue()."""
    executor, processor = enqueuing()
    processor.seconds = 2
    async with anyio.create_task_group() as group:
        group.start_soon(executor.append, Job(name="a"))
        await anyio.sleep(1)
        await executor.start()
    assert processor.names == ["a"]
    await executor.join()
    await executor.stop()


async def test_a_delay_is_passed_on():
    """The time before which an event is not due comes as until=, and holds."""
    executor, processor = enqueuing()
    async with executor:
        event = await executor.append(Job(name="a"), delay=5)
        await anyio.sleep(4)
        assert event.status == "pending"
    assert processor.names == ["a"]
    assert anyio.current_time() == 5


@pytest.mark.parametrize("kept", [False, True])
async def test_what_comes_after_others(kept, tmp_path):
    """An event that comes after others is handed to enqueue() once they have completed, with its priority."""
    executor, processor = enqueuing(journal_of(kept, tmp_path))
    processor.seconds = 1
    job = job_of(kept)
    async with executor:
        first = await executor.append(job(name="a"))
        second = await executor.append(job(name="b"), 7, after=first)
        assert processor.names == ["a"]
        await first.wait()
        await anyio.sleep(0.5)
        check_invariants(executor)
        assert processor.names == ["a", "b"]
        await second.wait()
        assert processor.calls[1] == ("b", 7)
    assert counts(executor) == {"completed": 2}


async def test_a_late_raise_aborts():
    """An event that cannot be handed over after another one ends ABORTED with what enqueue() raised."""
    executor, processor = enqueuing()
    processor.refused = ("b",)
    async with executor:
        first = await executor.append(Job(name="a"))
        second = await executor.append(Job(name="b"), after=first)
    assert second.status == "aborted"
    assert isinstance(second.execution.error, ValueError)


async def test_the_start_enqueues():
    """start() awaits enqueue() for each event that came before, in order, whatever room there is."""
    executor, _ = enqueuing(max_queue_size=1)
    processor, executor.processor = executor.processor, None
    for number, name in enumerate("abc"):
        await executor.append(Job(name=name), number)
    executor.processor = processor
    await executor.start()
    assert processor.calls == [("a", 0), ("b", 1), ("c", 2)]
    await executor.join()
    await executor.stop()
    assert counts(executor) == {"completed": 3}


async def test_a_cancelled_start():
    """A start() that is cancelled inside an enqueue() starts nothing; the next one hands over what is left."""
    executor, processor = enqueuing()
    executor.processor = None
    for name in "ab":
        await executor.append(Job(name=name))
    executor.processor = processor
    processor.seconds = 2
    with anyio.move_on_after(3):
        await executor.start()
    assert counts(executor) == {"pending": 2}
    processor.seconds = 0
    async with executor:
        pass
    assert counts(executor) == {"completed": 2}
    assert processor.names == ["a", "b", "b"]


async def test_a_stop_while_one_is_handed_over():
    """stop() does not wait for a late enqueue(): the event stays PENDING and comes with the next start()."""
    executor, processor = enqueuing()
    await executor.start()
    first = await executor.append(Job(name="a", seconds=1))
    second = await executor.append(Job(name="b"), after=first)
    processor.seconds = 10
    await first.wait()
    await anyio.sleep(1)
    await executor.stop()
    assert second.status == "pending"
    processor.seconds = 0
    async with executor:
        pass
    assert second.status == "completed"
    assert processor.names == ["a", "b", "b"]


async def test_forward_hands_over():
    """forward() hands over what has become ready without a running executor."""
    executor, processor = enqueuing()
    first = await executor.append(Job(name="a"))
    second = await executor.append(Job(name="b"), after=first)
    await executor.forward()
    await executor.forward()
    assert second.status == "completed"
    assert processor.names == ["a", "b"]


async def test_a_retry_is_not_enqueued():
    """An event that comes back by itself is not handed over again."""

    class Failing(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise ValueError(self.name)

    executor, processor = enqueuing(retry=Retry(attempts=2))
    async with executor:
        event = await executor.append(Failing(name="a"))
    assert event.status == "completed"
    assert processor.names == ["a"]


async def test_an_event_inside_appends_without_room():
    """An event that appends to the full queue of its own executor does not wait, with an override, too."""

    class Parent(Job):
        async def _invoke(self):
            for name in "bc":
                await executor.append(Job(name=name), wait=True)

    executor, processor = enqueuing(max_queue_size=1, concurrency_limit=1)
    with anyio.fail_after(10):
        async with executor:
            await executor.append(Parent(name="a"))
    assert processor.names == ["a", "b", "c"]
    assert counts(executor) == {"completed": 3}


async def test_one_that_keeps_events_back():
    """An override may queue an event later: it stays PENDING until then."""
    kept = []

    class Keeping(JobProcessor):
        async def enqueue(self, event_id, priority=None):
            kept.append(event_id)

    executor = with_processor(Keeping)
    async with executor:
        event = await executor.append(Job())
        await anyio.sleep(5)
        assert event.status == "pending"
        await JobProcessor.enqueue(executor.processor, kept[0])
    assert event.status == "completed"


async def test_a_method_of_one_event_is_the_one_that_runs():
    """What was assigned to an event as ``invoke`` or ``_invoke``, as by a tracer, replaces that of its class."""
    told = []

    async def answer():
        return "class"

    async def own_answer():
        return "event"

    event, traced = Call.of(answer), Call.of(answer)
    vars(event).update(_invoke=own_answer)
    invoke = traced.invoke

    async def trace():
        told.append("begins")
        await invoke()
        told.append("has ended")

    traced.invoke = trace
    async with Executor.of(Call) as executor:
        await executor.extend([event, traced])
        await executor.join()
    assert (event.result(), traced.result(), told) == ("event", "class", ["begins", "has ended"])
