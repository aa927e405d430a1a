"""The executor's interface: taking events in, telling where they are, forgetting them."""

import inspect
import json
from uuid import uuid4

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from support import (
    CONFIG,
    Job,
    JobExecutor,
    JobProcessor,
    check_invariants,
    counts,
    create_processor,
    id_of,
    make_executor,
    update_progression,
)

from lionpride_exec import (
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    ExistsError,
    Flow,
    InvalidTransition,
    NotFoundError,
    Pile,
    Processor,
    Progression,
    QueueFullError,
    Rate,
)

pytestmark = pytest.mark.anyio


class SubJob(Job):
    pass


# -------------------------------------------------------------------- construction


def test_a_new_executor_has_seven_empty_progressions():
    """States is a flow with one empty progression per status, in the order of the statuses."""
    executor = JobExecutor()
    assert executor.states.name == "executor_states"
    assert [p.name for p in executor.states.progressions] == list(EventStatus.allowed())
    assert all(len(p) == 0 and p.order == [] for p in executor.states.progressions)
    assert executor.states.items.item_type == {Job}
    assert executor.strict_event_type is False
    assert executor.event_type is Job
    assert executor.processor is None
    assert executor.processor_config == {}


def test_constructor_arguments_are_kept():
    """Config, strictness and name arrive where the request says."""
    executor = JobExecutor(processor_config=CONFIG, strict_event_type=True, name="mine")
    assert executor.processor_config == CONFIG
    assert executor.strict_event_type is True
    assert executor.states.items.strict_type is True
    assert executor.states.name == "mine"


def test_an_executor_without_processor_type_is_refused():
    """The error says which class lacks what."""

    class Bare(Executor):
        pass

    with pytest.raises(ConfigurationError, match=r"Bare needs a class attribute processor_type"):
        Bare()


def test_a_processor_without_event_type_is_refused():
    """The error says what a processor needs."""

    class Untyped(Processor):
        pass

    class Bare(Executor):
        processor_type = Untyped

    with pytest.raises(ConfigurationError, match="event_type"):
        Bare()


# -------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "lacks the required keys: queue_capacity, capacity_refresh_time"),
        ({"queue_capacity": 1}, "lacks the required keys: capacity_refresh_time"),
        (CONFIG | {"speed": 1, "colour": 2}, "has unknown keys: colour, speed"),
    ],
)
async def test_wrong_keys_are_named(config, message):
    """start() refuses missing and unknown keys by name and makes no processor."""
    executor = JobExecutor()
    executor.processor_config = config
    with pytest.raises(ConfigurationError, match=message) as caught:
        await executor.start()
    assert isinstance(caught.value, TypeError)
    assert executor.processor is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("queue_capacity", 0, "Queue capacity must be greater than 0"),
        ("queue_capacity", -5, "Queue capacity must be greater than 0"),
        ("queue_capacity", 10_001, "Queue capacity must be <= 10000"),
        ("queue_capacity", 1.5, "Queue capacity must be an integer"),
        ("queue_capacity", True, "Queue capacity must be an integer"),
        ("queue_capacity", float("nan"), "Queue capacity must be an integer"),
        ("capacity_refresh_time", 0, "Capacity refresh time must be >= 0.01s"),
        ("capacity_refresh_time", 0.001, "Capacity refresh time must be >= 0.01s"),
        ("capacity_refresh_time", 7200, "Capacity refresh time must be <= 3600s"),
        ("capacity_refresh_time", float("nan"), "Capacity refresh time must be a finite number"),
        ("capacity_refresh_time", float("inf"), "Capacity refresh time must be a finite number"),
        ("capacity_refresh_time", True, "Capacity refresh time must be a finite number"),
        ("capacity_refresh_time", "1", "Capacity refresh time must be a finite number"),
        ("concurrency_limit", 0, "Concurrency limit must be >= 1"),
        ("concurrency_limit", 2.0, "Concurrency limit must be an integer"),
        ("max_queue_size", 0, "Max queue size must be >= 1"),
        ("max_denial_tracking", 0, "Max denial tracking must be >= 1"),
        ("max_denial_tracking", None, "Max denial tracking must be an integer"),
    ],
)
async def test_wrong_numbers_are_named(key, value, message):
    """Each bound, NaN, and a bool for a number: a ValueError that names key and value, and no processor."""
    executor = JobExecutor(processor_config=CONFIG)
    executor.processor_config = CONFIG | {key: value}
    with pytest.raises(ValueError, match=message) as caught:
        await executor.start()
    assert f"{key}={value!r}" in str(caught.value)
    assert executor.processor is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("queue_capacity", 0, "Queue capacity must be greater than 0"),
        ("capacity_refresh_time", 7200, "Capacity refresh time must be <= 3600s"),
        ("concurrency_limit", 0, "Concurrency limit must be >= 1"),
        ("max_queue_size", True, "Max queue size must be an integer"),
        ("max_denial_tracking", None, "Max denial tracking must be an integer"),
        ("limits", [5], "limits must be Rate, Quota, Concurrent or Adaptive, got 5"),
        ("retry", 3, "retry must be a Retry or None, got 3"),
        ("run_in", "thraed", "run_in must be"),
        ("threads", 0, "threads must be"),
        ("speed", 1, "has unknown keys: speed"),
    ],
)
def test_wrong_values_are_refused_where_they_are_written(key, value, message):
    """By the class and by of(), without a start."""
    for make in (lambda: JobExecutor({key: value}), lambda: Executor.of(Job, **{key: value})):
        with pytest.raises((ValueError, ConfigurationError), match=message):
            make()


def test_each_keyword_of_the_processor_may_be_given():
    """What is refused at once is none of the keywords of the constructor."""
    for name, parameter in inspect.signature(Processor).parameters.items():
        if name not in {"pile", "executor"}:
            value = 1 if parameter.default is parameter.empty else parameter.default
            assert JobExecutor({name: value}).processor_config == {name: value}
            assert Executor.of(Job, **{name: value}).processor_config[name] == value


def test_keywords_of_a_subclass_are_left_to_it():
    """A subclass may translate what it takes: in its constructor, in create(), or in _create_processor()."""

    class Named(JobProcessor):
        def __init__(self, *args, concurrency_limit="few", **kwargs):
            super().__init__(*args, concurrency_limit={"few": 2}[concurrency_limit], **kwargs)

    class Created(JobProcessor):
        @classmethod
        async def create(cls, **kwargs):
            return await super().create(**kwargs | {"queue_capacity": 1})

    class Own(JobExecutor):
        async def _create_processor(self):
            self.processor = JobProcessor(1, 1.0, self.states.items)

    for executor, config in (
        (type("A", (Executor,), {"processor_type": Named}), {"concurrency_limit": "few"}),
        (type("B", (Executor,), {"processor_type": Created}), {"queue_capacity": "one"}),
        (Own, {"own": 3}),
    ):
        assert executor(config).processor_config == config
    with pytest.raises(ValueError, match="Max queue size must be >= 1"):
        type("A", (Executor,), {"processor_type": Named})({"max_queue_size": 0})


async def test_an_iterator_of_limits_is_not_used_up():
    """It is read at the start, once."""
    rate = Rate(1, per=10)
    async with make_executor(limits=iter([rate])) as executor:
        assert executor.processor.router.limits == (rate,)


async def test_a_processor_may_take_keywords_of_its_own():
    """Extras in processor_config reach the subclass."""

    class Limited(JobProcessor):
        def __init__(self, *args, max_per_second, **kwargs):
            super().__init__(*args, **kwargs)
            self.max_per_second = max_per_second

    class LimitedExecutor(Executor):
        processor_type = Limited

    async with LimitedExecutor(processor_config=CONFIG | {"max_per_second": 5}) as executor:
        assert executor.processor.max_per_second == 5


# -------------------------------------------------------------------- append


async def test_append_files_the_event_as_pending():
    """An appended event is in the items and in the pending progression only."""
    executor = JobExecutor()
    event = Job()
    await executor.append(event)
    assert executor.states.items[event.id] is event
    assert executor.pending_events == [event]
    assert event.execution.queued_at is not None
    check_invariants(executor)


async def test_append_queues_with_a_processor():
    """With a processor the event is in its queue when append() returns, at its priority."""
    executor = make_executor()
    await create_processor(executor)
    event = Job()
    await executor.append(event, priority=5.0)
    assert executor.processor.queue.qsize() == 1
    assert await executor.processor.queue.get() == (5.0, event.id)


async def refuse(executor, event, error, match, **kwargs):
    """Append what has to be refused, and check that nothing has changed."""
    before = executor.status_counts()
    queued = executor.processor.queue.qsize() if executor.processor else 0
    with pytest.raises(error, match=match):
        await executor.append(event, **kwargs)
    assert executor.status_counts() == before
    assert (executor.processor.queue.qsize() if executor.processor else 0) == queued
    check_invariants(executor)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("priority", [float("nan"), float("inf"), float("-inf"), True, "1"], ids=repr)
async def test_a_bad_priority_is_refused(started, priority):
    """NaN, infinities and what is no number raise; the event can be appended afterwards."""
    executor = make_executor()
    if started:
        await create_processor(executor)
    event = Job()
    await refuse(executor, event, ValueError, "Priority must be finite and not NaN", priority=priority)
    assert event not in executor
    assert event.execution.queued_at is None
    await executor.append(event)
    assert event in executor


async def test_a_duplicate_is_refused():
    """The same event cannot be appended twice."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    await refuse(executor, event, ExistsError, "already exists")


async def test_an_event_of_another_executor_is_refused():
    """One event has one owner."""
    first, second = make_executor(), make_executor()
    event = Job()
    await first.append(event)
    await refuse(second, event, ExistsError, "another executor")
    await first.cleanup_events(["pending"])
    await second.append(event)


@pytest.mark.parametrize("wrong", [Event(), "event", None], ids=["base", "str", "None"])
async def test_another_type_is_refused(wrong):
    """Only events of the executor's type are taken."""
    await refuse(make_executor(), wrong, TypeError, "event must be an Event|not a subclass of any allowed type")


async def test_strict_type_refuses_subclasses():
    """strict_event_type takes the exact class only; without it a subclass passes."""
    strict = JobExecutor(processor_config=CONFIG, strict_event_type=True)
    await refuse(strict, SubJob(), TypeError, "strict_type=True")
    await strict.append(Job())
    await make_executor().append(SubJob())


async def test_a_full_queue_refuses():
    """max_queue_size events are taken, the next one raises and leaves nothing behind."""
    executor = make_executor(max_queue_size=2)
    await create_processor(executor)
    await executor.append(Job())
    await executor.append(Job())
    event = Job()
    await refuse(executor, event, QueueFullError, r"Queue size \(2\) exceeds max \(2\)")
    await executor.processor.dequeue()
    await executor.append(event)


async def test_append_can_wait_for_room():
    """wait=True waits, in order of arrival, until there is room; a plain append cannot take that room."""
    executor = make_executor(max_queue_size=1)
    await create_processor(executor)
    await executor.append(Job())
    order = []

    async def append(name):
        await executor.append(Job(name=name), wait=True)
        order.append(name)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(append, name)
            await wait_all_tasks_blocked()
        for expected in ("a", "ab", "abc"):
            await executor.processor.dequeue()
            with pytest.raises(QueueFullError):
                await executor.append(Job())
            await wait_all_tasks_blocked()
            assert "".join(order) == expected
    check_invariants(executor)


async def test_a_cancelled_wait_for_room_leaves_nothing_behind():
    """The event is not taken, and the room goes to the next who waits."""
    executor = make_executor(max_queue_size=1)
    await create_processor(executor)
    await executor.append(Job())
    given_up, patient = Job(name="given up"), Job(name="patient")
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(lambda: executor.append(patient, wait=True))
            await wait_all_tasks_blocked()
            scope.cancel()
            await executor.append(given_up, wait=True)
        assert given_up not in executor
        await executor.processor.dequeue()
        await wait_all_tasks_blocked()
        assert patient in executor
    assert given_up.status is EventStatus.PENDING


async def test_room_promised_to_a_cancelled_waiter_goes_on():
    """A waiter that is cancelled in the very step that gave it room passes the room on."""
    executor = make_executor(max_queue_size=1)
    await create_processor(executor)
    await executor.append(Job())
    second = Job()
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def first():
            with scope:
                await executor.append(Job(), wait=True)

        group.start_soon(first)
        await wait_all_tasks_blocked()
        group.start_soon(lambda: executor.append(second, wait=True))
        await wait_all_tasks_blocked()
        await executor.processor.dequeue()
        scope.cancel()
        await wait_all_tasks_blocked()
        if second not in executor:  # the first was woken before the cancellation reached it: it has the room
            await executor.processor.dequeue()
    assert second in executor
    assert executor.processor.queue.qsize() == 1
    await executor.processor.dequeue()
    await executor.append(Job())


async def test_a_loop_of_appends_lets_others_run():
    """Appending without waiting does not keep the event loop to itself."""
    executor = make_executor()
    turns = []

    async def other():
        while True:
            turns.append(1)
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        for _ in range(1000):
            await executor.append(Job())
        group.cancel_scope.cancel()
    assert len(turns) >= 5


@pytest.mark.parametrize("status", EventStatus)
async def test_an_event_is_filed_under_its_own_status(status):
    """An event that is not pending is kept, not queued."""
    executor = make_executor()
    await create_processor(executor)
    event = Job()
    event.status = status
    await executor.append(event)
    assert counts(executor) == {status.value: 1}
    assert executor.processor.queue.qsize() == (status is EventStatus.PENDING)


# -------------------------------------------------------------------- queries


async def test_queries_by_status():
    """By member, by string and by property: the events in the order they came to the status."""
    executor = make_executor()
    events = [Job(name=str(i)) for i in range(4)]
    for event in events:
        await executor.append(event)
    events[2].status = "processing"
    events[0].status = "processing"
    assert executor.get_events_by_status(EventStatus.PENDING) == [events[1], events[3]]
    assert executor.get_events_by_status("processing") == [events[2], events[0]]
    assert executor.processing_events == [events[2], events[0]]
    events[2].status = "failed"
    events[0].status = "completed"
    assert executor.failed_events == [events[2]]
    assert executor.completed_events == [events[0]]
    assert executor.pending_events == [events[1], events[3]]
    executor.pending_events.clear()
    assert len(executor.pending_events) == 2
    last = Job()
    await executor.append(last)
    events[1].status, events[3].status, last.status = "cancelled", "skipped", "aborted"
    assert executor.cancelled_events == [events[1]]
    assert executor.skipped_events == [events[3]]
    assert executor.aborted_events == [last]


@pytest.mark.parametrize("status", ["invalid", "PENDING", 5, None, str(uuid4())], ids=id_of)
async def test_an_unknown_status_is_an_error(status):
    """What is no status is a KeyError that names it, in a query and in cleanup."""
    executor = make_executor()
    await executor.append(Job())
    with pytest.raises(KeyError, match="not found"):
        executor.get_events_by_status(status)
    with pytest.raises(NotFoundError):
        await executor.cleanup_events(["pending", status])
    assert counts(executor) == {"pending": 1}


async def test_counts_and_summary():
    """status_counts() has all seven in order; inspect_state() and repr() show them."""
    executor = JobExecutor(name="my_executor")
    for status in ("pending", "failed", "pending"):
        event = Job()
        event.status = status
        await executor.append(event)
    assert list(executor.status_counts()) == list(EventStatus.allowed())
    assert executor.inspect_state().splitlines() == [
        "Executor State (my_executor):",
        "  pending: 2 events",
        "  processing: 0 events",
        "  completed: 0 events",
        "  failed: 1 event",
        "  cancelled: 0 events",
        "  skipped: 0 events",
        "  aborted: 0 events",
    ]
    assert repr(executor) == "Executor('my_executor', not started: 2 pending, 1 failed)"


async def test_membership():
    """An event, its id and its id's text are in; others and nonsense are not."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    assert event in executor
    assert event.id in executor
    assert str(event.id) in executor
    assert Job() not in executor
    assert "nonsense" not in executor
    assert None not in executor


# -------------------------------------------------------------------- the report


async def test_forcing_a_progression_leaves_the_status():
    """_update_progression() moves the id, not the event's status."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    await update_progression(executor, event, EventStatus.PROCESSING)
    assert executor.processing_events == [event]
    assert executor.pending_events == []
    assert event.status is EventStatus.PENDING


async def test_update_follows_the_record():
    """Without a status it follows event.execution.status."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    event.execution.status = EventStatus.COMPLETED
    await update_progression(executor, event)
    assert counts(executor) == {"completed": 1}


async def test_update_takes_the_event_out_of_all_others():
    """An id that stands in several of the seven stands in one afterwards."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    executor.states.get_progression("processing").append(event.id)
    await update_progression(executor, event, EventStatus.COMPLETED)
    assert counts(executor) == {"completed": 1}


async def test_custom_progressions_are_left_alone():
    """A user's own progression keeps its ids, and is not counted among the statuses."""
    executor = make_executor()
    stage = Progression(name="stage1")
    executor.states.add_progression(stage)
    event = Job()
    await executor.append(event)
    stage.append(event.id)
    await event.invoke()
    assert event.id in stage
    assert counts(executor) == {"completed": 1}
    assert repr(executor).endswith(": 1 completed)")


REMOVALS = {
    "remove_progression": lambda states, progression: states.remove_progression(progression.name),
    "remove": lambda states, progression: states.progressions.remove(progression.id),
    "pop": lambda states, progression: states.progressions.pop(progression.id),
    "exclude": lambda states, progression: states.progressions.exclude(progression.id),
    "clear": lambda states, _: states.progressions.clear(),
    "replaced": lambda states, progression: states.progressions.update(
        Progression(id=progression.id, name=progression.name)
    ),
    "all replaced": lambda states, _: setattr(states, "progressions", Pile()),
}


@pytest.mark.parametrize("way", REMOVALS)
async def test_a_removed_progression_is_a_configuration_error(way):
    """Taking a status out of the flow is told as what it is, whichever way it was taken out."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    REMOVALS[way](executor.states, executor.states.get_progression("completed"))
    with pytest.raises(ConfigurationError, match="Progression 'completed' not found"):
        await update_progression(executor, event, EventStatus.COMPLETED)
    with pytest.raises(ConfigurationError, match="Progression 'completed' not found"):
        executor.get_events_by_status("completed")


async def test_an_unknown_event_is_ignored():
    """A report about an event that has left changes nothing."""
    executor = make_executor()
    await update_progression(executor, Job(), EventStatus.COMPLETED)
    assert counts(executor) == {}


async def test_the_status_of_an_owned_event_obeys_the_table():
    """In an executor, assigning a status goes through the door."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    with pytest.raises(InvalidTransition):
        event.status = "completed"
    assert counts(executor) == {"pending": 1}
    event.status = "skipped"
    assert counts(executor) == {"skipped": 1}


async def test_observers_see_every_transition():
    """An observer gets event, previous and new status, in order, until it is ended; its error is only its own."""
    executor = make_executor()
    seen = []

    def broken(event, previous, status):
        raise ValueError

    executor.observe(broken)
    end = executor.observe(lambda event, previous, status: seen.append((event.name, previous, status)))
    async with executor:
        await executor.append(Job(name="a"))
        await executor.join()
        end()
        end()
        await executor.append(Job(name="b"))
    assert seen == [("a", "pending", "processing"), ("a", "processing", "completed")]
    check_invariants(executor)


# -------------------------------------------------------------------- cleanup


async def test_cleanup_removes_the_default_statuses():
    """COMPLETED, FAILED and ABORTED go; the other four stay."""
    executor = make_executor()
    for status in EventStatus:
        event = Job()
        event.status = status
        await executor.append(event)
    assert await executor.cleanup_events() == 3
    assert counts(executor) == {"pending": 1, "processing": 1, "cancelled": 1, "skipped": 1}
    assert await executor.cleanup_events(["cancelled", EventStatus.SKIPPED, "skipped"]) == 2
    assert await executor.cleanup_events([]) == 0
    check_invariants(executor)


async def test_cleanup_takes_pending_events_out_of_the_queue():
    """A removed pending event is in no queue and makes room."""
    executor = make_executor(max_queue_size=2)
    await create_processor(executor)
    for _ in range(2):
        await executor.append(Job())
    assert await executor.cleanup_events([EventStatus.PENDING]) == 2
    assert executor.processor.queue.empty()
    await executor.append(Job())


async def test_cleanup_of_a_running_event():
    """It runs to its end outside the executor, which stays consistent."""
    executor = make_executor()
    event = Job(gate=anyio.Event(), started=anyio.Event(), name="done")
    async with executor:
        await executor.append(event)
        await event.started.wait()
        assert await executor.cleanup_events(["processing"]) == 1
        assert event not in executor
        event.gate.set()
        await event.wait()
        assert event.result() == "done"
        assert executor.completed_events == []
    check_invariants(executor)


async def test_cleanup_after_every_1000_keeps_memory_bounded():
    """The pattern of the request: periodic cleanup keeps few events."""
    executor = make_executor(queue_capacity=10_000, capacity_refresh_time=0.01)
    removed = 0
    async with executor:
        for i in range(5000):
            await executor.append(Job(), wait=True)
            if i % 1000 == 0:
                removed += await executor.cleanup_events()
        await executor.join()
        assert len(executor.states.items) < 2500
        removed += await executor.cleanup_events()
    assert removed == 5000


# -------------------------------------------------------------------- locks


async def test_a_move_waits_for_a_held_lock():
    """While somebody holds the progressions, an event that ends waits, even when it is cancelled."""
    executor = make_executor()
    event = Job(gate=anyio.Event(), started=anyio.Event())
    async with executor:
        await executor.append(event)
        await event.started.wait()
        async with executor.states.progressions:
            event.gate.set()
            await wait_all_tasks_blocked()
            assert (event.status, counts(executor)) == ("processing", {"processing": 1})
        await event.wait()
        assert counts(executor) == {"completed": 1}


@pytest.mark.parametrize("name", ["pending", "processing"])
async def test_a_start_waits_for_a_held_lock(name):
    """While a progression that the move needs is held, the event does not start."""
    executor = make_executor()
    event = Job(started=anyio.Event())
    await executor.append(event)
    async with executor.states.get_progression(name):
        await executor.start()
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 1}
        check_invariants(executor)
    await event.wait()
    await executor.stop()


async def test_an_outcome_is_not_lost_to_a_cancellation_while_a_lock_is_held():
    """An event that has returned stays COMPLETED although its scope is cancelled while it waits for a lock."""
    executor = make_executor()
    event = Job(gate=anyio.Event(), started=anyio.Event(), name="kept")
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(event)
        await event.started.wait()
        async with executor.states.progressions:
            event.gate.set()
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
    assert event.result() == "kept"
    check_invariants(executor)


async def test_append_waits_for_a_held_lock():
    """A snapshot of the items under their lock is not added to meanwhile."""
    executor = make_executor()
    event = Job()
    async with anyio.create_task_group() as group:
        async with executor.states.items:
            group.start_soon(executor.append, event)
            await wait_all_tasks_blocked()
            assert event not in executor
    assert event in executor


# -------------------------------------------------------------------- records


async def test_a_flow_of_every_status_survives_json():
    """to_dict → json → from_dict keeps events, errors, custom progressions, and can be appended again."""
    executor = make_executor()
    gate = anyio.Event()
    for name, error in (("ok", None), ("bad", ValueError("bad"))):
        event = Job(name=name, error=error)
        await executor.append(event)
        await event.invoke()
        event.error = None
    for status in EventStatus:
        event = Job(name=status.value)
        event.status = status
        await executor.append(event)
    executor.states.add_progression(Progression(name="mine", order=[event.id]))
    data = json.loads(json.dumps(executor.states.to_dict(mode="json")))
    restored = Flow.from_dict(data)
    assert {p.name: p.order for p in restored.progressions} == {p.name: p.order for p in executor.states.progressions}
    failed = restored.items[executor.failed_events[0].id]
    assert "bad" in str(failed.execution.error)
    assert [event.status for event in restored.items] == [event.status for event in executor.states.items]
    again = make_executor()
    for event in restored.items:
        await again.append(event)
    assert again.status_counts() == executor.status_counts()
    gate.set()


async def test_an_item_taken_out_of_the_flow_by_hand_stays_out():
    """Removing a running event from the flow itself leaves no id without an item behind."""
    executor = make_executor()
    event = Job(gate=anyio.Event(), started=anyio.Event())
    async with executor:
        await executor.append(event)
        await event.started.wait()
        executor.states.remove_item(event.id)
        event.gate.set()
        await event.wait()
        await executor.join()
    assert counts(executor) == {}
    check_invariants(executor)
