"""What a subclass may replace in an executor and its processor, as the request describes it."""

import anyio
import pytest
from journal_support import Step, StepProcessor
from support import CONFIG, Job, JobProcessor, check_invariants, counts, make_executor

from lionpride_exec import ConfigurationError, Executor, Journal

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
