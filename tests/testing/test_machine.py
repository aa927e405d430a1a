"""
Random operations on executors of ours, with and without a journal; after each, everything is as it has to be.

The machine is that of ``lionpride_exec.testing.stateful``, which users have, too. Executors with bugs show that it
finds them.
"""

import re
import time
import unittest
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import time as time_of_day
from typing import ClassVar

import anyio
import pytest
from anyio import from_thread
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from journal_support import BriefStep, FailStep, HoldStep, Step, open_executor
from pages import PAGES, code_of, define
from support import Job, JobProcessor

from lionpride_exec import (
    Adaptive,
    Call,
    Concurrent,
    Event,
    EventStatus,
    Executor,
    Processor,
    Quota,
    Rate,
    RateLimited,
    Retry,
    Skip,
)
from lionpride_exec.testing import BACKENDS, InvariantBroken
from lionpride_exec.testing.stateful import PROMISES, ExecutorMachine


class MachineProcessor(JobProcessor):
    """Has a gate, so that all is asked about; the machine closes it. Has partitions."""

    async def request_permission(self, **kwargs):
        return True

    def partition(self, event):
        return event.name


class Once(Job):
    """Is told only once to slow down."""

    async def _invoke(self):
        if isinstance(self.error, RateLimited) and self.execution.attempts:
            self.error = None
        return await super()._invoke()


class MachineExecutor(Executor):
    processor_type = MachineProcessor


class JobMachine(ExecutorMachine):
    """An executor with all kinds of limits, and events that end in all ways."""

    events = st.builds(
        Once,
        seconds=st.sampled_from([0.0, 0.5, 3.0]),
        error=st.none() | st.none() | st.sampled_from([ValueError("event"), Skip("no"), RateLimited(retry_after=3)]),
        timeout=st.sampled_from([None, None, 1.0]),
        retry=st.sampled_from([None, Retry(2, backoff=1, jitter=0)]),
        name=st.sampled_from(["a", "b"]),
    )
    most = 2  # that may ever have run at the same time

    def __init__(self):
        super().__init__()
        self.without_room = set()  # the ids of events that were queued whether there was room or not

    def make_executor(self):
        limits = [Rate(4, per=5, key="name"), Concurrent(1, key="name")]
        return MachineExecutor(
            processor_config={
                "queue_capacity": 3,
                "capacity_refresh_time": 2.0,
                "concurrency_limit": 2,
                "max_queue_size": 6,
                "limits": limits,
            }
        )

    @invariant()
    def the_queue_keeps_its_bound(self):
        """
        There is never more than fits of what ``append()`` queues at once.

        Beside ``max_queue_size`` there is only what has run and comes back, what was here before the first start, and
        what came after others.
        """
        self.most = max(self.most, self.executor.processor_config["concurrency_limit"])
        processor = self.executor.processor
        if processor is None:
            self.without_room = {event.id for event in self.executor.states.items}
        else:
            queued = [entry.event_id for entry in processor.queue.entries()]
            assert sum(each not in self.without_room for each in queued) <= 6 + self.most

    def _append(self, event, priority, seconds, how):
        """Note what needs no room, since it comes after others."""
        if "after" in how or "after_any_end" in how:
            self.without_room.add(event.id)
        return super()._append(event, priority, seconds, how)


class NoGateMachine(JobMachine):
    """The way without a gate, on which nobody is asked."""

    def make_executor(self):
        class Plain(Executor):
            processor_type = JobProcessor

        return Plain({"queue_capacity": 3, "capacity_refresh_time": 2.0, "concurrency_limit": 2, "max_queue_size": 6})


class PlainJob(Event, run_in="thread"):
    """A plain function in a thread, which waits in the event loop."""

    seconds: float = 0.0
    error: object = None
    at_work: ClassVar[set] = set()

    def _invoke(self):
        self.at_work.add(self.id)
        try:
            if self.seconds:
                from_thread.run(anyio.sleep, self.seconds)
            if self.error is not None:
                raise self.error
        finally:
            self.at_work.discard(self.id)


class PatientJob(PlainJob, abandon_on_cancel=True):
    """Is abandoned by its event when it is cancelled, and looks at nothing."""

    def _invoke(self):
        self.at_work.add(self.id)
        try:
            time.sleep(0.002)  # nothing can end it, and the event does not wait
        finally:
            self.at_work.discard(self.id)


class ThreadMachine(ExecutorMachine):
    """An executor whose events run in two threads."""

    events = st.builds(
        lambda kind, **fields: kind(**fields),
        st.sampled_from([PlainJob, PlainJob, PatientJob]),
        seconds=st.sampled_from([0.0, 0.5, 3.0]),
        error=st.none() | st.none() | st.sampled_from([ValueError("event"), Skip("no")]),
        timeout=st.sampled_from([None, None, 1.0]),
        retry=st.sampled_from([None, Retry(2, backoff=1, jitter=0)]),
    )

    def make_executor(self):
        config = {"queue_capacity": 10, "capacity_refresh_time": 1.0, "max_queue_size": 6, "threads": 2}
        return type("Made", (Executor,), {"processor_type": PlainProcessor})(config)

    @invariant()
    def no_more_threads_work_than_there_are(self):
        """The abandoned ones included; and each of them is counted."""
        assert len(PlainJob.at_work) <= 2
        working = self.call(self.executor.statistics).working
        assert len(PlainJob.at_work) <= working.get("thread", 0) <= 2


class PlainProcessor(Processor):
    event_type = PlainJob


CALLER = ContextVar("caller", default="nobody")


class CallMachine(ExecutorMachine):
    """An executor of calls with a lifespan, middleware, a carried variable, and limits of all kinds."""

    events = st.builds(lambda seconds: Call.of(anyio.sleep, seconds), st.sampled_from([0.0, 0.5, 3.0]))
    without_rules = ("invoke", "forward", "forward_several_times_and_cancel")  # they run events without a lifetime
    within = None  # how many runs there are in the lifespan that is entered

    def make_executor(self):
        self.wrong = []
        limits = [
            Quota(3, [time_of_day(8, minute) for minute in range(60)]),
            Rate({"a": 2, ...: 3}, per=5, key=lambda event: event.args[0] if event.args[1:] else None),
            Adaptive(4, 0.5, 50),
        ]
        return Executor.of(
            Call, concurrency_limit=2, limits=limits, timeout=2.0, retry=Retry(2, backoff=1, jitter=0),
            lifespan=self.lifespan, middleware=[self.count], carry=[CALLER],
        )  # fmt: skip

    @asynccontextmanager
    async def lifespan(self):
        self.expect(self.within is None, "it is entered twice")
        self.within = 0
        try:
            yield
        finally:
            self.expect(self.within == 0, "it is left while events run")
            self.within = None

    async def count(self, event, call_next):
        self.expect(self.within is not None, "an event runs outside of the lifespan")
        began, self.within = anyio.current_time(), self.within + 1
        try:
            return await call_next(event)
        finally:
            self.within -= 1
            self.expect(anyio.current_time() <= began + 2, "an event runs longer than its timeout")

    async def work(self, name, seconds):
        self.expect(CALLER.get() == name, f"a run of {name} sees {CALLER.get()}")
        await anyio.sleep(seconds)

    def expect(self, holds, what):
        if not holds:
            self.wrong.append(what)

    @rule(target=ExecutorMachine.appended, name=st.sampled_from("abc"), seconds=st.sampled_from([0.0, 3.0]))
    def append_as(self, name, seconds):
        """Append from a task in which the carried variable has a value."""
        event = Call.of(self.work, name, seconds)

        async def main():
            token = CALLER.set(name)
            try:
                return await self.executor.append(event)
            finally:
                CALLER.reset(token)

        return self.call(main)

    @invariant()
    def surroundings_hold(self):
        """The lifespan is around all runs, each run passes the middleware, and sees the variable of its caller."""
        assert not self.wrong, self.wrong


class JournalMachine(ExecutorMachine):
    """An executor that dies now and then, with events of which each class wants something else then."""

    ack = "lazy"
    events = st.builds(
        lambda kind, **fields: kind(**fields),
        st.sampled_from([Step, Step, FailStep, HoldStep, BriefStep]),
        seconds=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
        fails=st.sampled_from([0, 0, 1]),
        retry=st.sampled_from([None, Retry(2, backoff=1, jitter=0)]),
    )

    def make_executor(self):
        return open_executor(self.journal_path, config={"max_queue_size": 6}, ack=self.ack)


class StrictMachine(JournalMachine):
    ack = "strict"


def check(machine, examples, **options):
    """Run a machine, always with the same examples."""
    options = {"stateful_step_count": 30, "deadline": None, "derandomize": True} | options
    health = list(HealthCheck)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, suppress_health_check=health, **options)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("machine", [JobMachine, NoGateMachine])
def test_random_operations(machine, backend):
    """A state machine drives an executor on each backend."""
    check(machine.on(backend), 40)


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_operations_on_threads(backend):
    """Likewise with plain functions in threads."""
    check(ThreadMachine.on(backend), 25)


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_operations_on_calls(backend):
    """Likewise with calls of functions, and with all that may surround them."""
    check(CallMachine.on(backend), 25)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("machine", [JournalMachine, StrictMachine])
def test_random_operations_and_deaths(machine, backend):
    """Likewise with a journal, from which it goes on after the process was killed."""
    check(machine.on(backend), 15)


# -------------------------------------------------------------------- executors with bugs


class Small(ExecutorMachine):
    """A machine for an executor with a bug."""

    executor_type = Executor
    events = st.builds(Job, seconds=st.sampled_from([0.0, 3.0]))

    def make_executor(self):
        return self.executor_type.of(Job, concurrency_limit=2)


class DropsOnCancel(Executor):
    """Forgets what it is told to cancel."""

    def cancel(self, event, reason=None):
        is_new = not event.status.is_terminal
        if event.status is EventStatus.PENDING:
            self._submissions.forget(event)
        return is_new


class StopsEarly(Executor):
    """Does not wait for what runs."""

    async def stop(self, grace=None):
        if self.processor is not None:
            await self.processor.stop()


class RunsTwice(Executor):
    """Lets an event that has ended run again."""

    def cancel(self, event, reason=None):
        ends = super().cancel(event, reason)
        if ends and event.status.is_terminal:
            event.execution.status = EventStatus.PENDING
            self._index.file(event, EventStatus.PENDING)
            self._parts.queueing.queue_pending(self.processor) if self.processor else None
        return ends


class ForgetsToWake(Executor):
    """Lets an event go on that comes after another one, and tells nobody."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        part = type(self._parts.followers)
        does_nothing = {"__slots__": (), "come_nearer": lambda *_: None}
        self._parts.followers.__class__ = type("Forgetful", (part,), does_nothing)


class GivesAnother(Executor):
    """Gives back another event than it was given."""

    async def append(self, event, priority=None, **how):
        taken = await super().append(event, priority, **how)
        self.cancel(taken)
        return event.as_fresh_event()


class RetriesElsewhere(Executor):
    """Says that an event runs again, and leaves the one that has ended where it is."""

    async def retry(self, event=None, **how):
        if event is None or not self.states.items[event].status.is_terminal:
            return await super().retry(event, **how)
        return self.states.items[event].as_fresh_event()


@pytest.mark.parametrize(
    ("executor_type", "invariants"),
    [
        (DropsOnCancel, {"cancel_tells"}),
        (StopsEarly, {"stop_waits", "stopped"}),
        (RunsTwice, {"cancel_tells", "abandoned_ends", "maps_return_each", "record"}),
        (ForgetsToWake, {"calls_return", "followers", "everything_ends"}),
        (GivesAnother, {"known_once"}),
        (RetriesElsewhere, {"runs_again", "nothing_is_lost"}),
    ],
)
def test_bugs_are_found(executor_type, invariants):
    """An executor with a bug is found out, and what it breaks is named; which of two is met first is up to chance."""
    with pytest.raises(InvariantBroken) as caught:
        # As it is found: to shrink an example takes more runs than to find it.
        check(type("Buggy", (Small,), {"executor_type": executor_type}), 400, phases=[Phase.generate])
    assert caught.value.invariant in invariants


def test_a_failure_is_printed_as_a_program(capsys):
    """The steps that lead to it are printed, and below them what has happened."""
    machine = type("Buggy", (Small,), {"executor_type": StopsEarly, "backends": ("asyncio",)})
    with pytest.raises(InvariantBroken) as caught:
        check(machine, 400, phases=[Phase.generate], report_multiple_bugs=False)
    told = "\n".join(caught.value.__notes__)
    assert "state = Buggy()" in told
    assert re.search(r"\bstate\.\w+\(", told)  # a step; the end of each example stops the executor, too
    assert "What has happened, on asyncio:" in told
    assert "pending -> processing (attempt 1)" in told
    beginnings = {
        "stop_waits": "stop_waits: When stop() returns nothing runs.\nBut these run.\n  Job(id=",
        "stopped": "stopped: When `stop()` has returned, no event but its caller runs until the next start.\nBut ",
    }
    assert str(caught.value).startswith(beginnings[caught.value.invariant])


def test_rules_can_be_left_out():
    """without_rules takes rules away; one that is not there is an error."""
    calls = set()

    class Quiet(Small):
        without_rules = ("cancel", "skip")
        events = st.builds(Job)

        def cancel_or_skip(self):
            raise AssertionError

        def call(self, function, *args, **kwargs):
            calls.add(getattr(function, "__name__", ""))
            return super().call(function, *args, **kwargs)

    check(Quiet, 20)
    assert "join" in calls
    assert Quiet.cancel is None
    with pytest.raises(ValueError, match="without_rules names 'cancle', and Wrong has no such rule"):
        type("Wrong", (Small,), {"without_rules": ("cancle",)})


def test_a_backend_that_there_is_not_is_told():
    """When the class is made; also a text in place of several."""
    for backends in (("curio",), "trio"):
        with pytest.raises(ValueError, match="backend must be one of asyncio"):
            type("Wrong", (Small,), {"backends": backends})


def test_on_refuses_an_unknown_backend():
    """A machine for one backend is made for those there are."""
    with pytest.raises(ValueError, match="backend must be one of asyncio, .*, got 'curio'"):
        Small.on("curio")


def test_a_journal_has_to_be_at_the_given_path(tmp_path):
    """A machine whose journal is elsewhere could not be killed: it is told so."""

    class Elsewhere(Small):
        def make_executor(self):
            return open_executor(tmp_path / "elsewhere.db")

    with pytest.raises(ValueError, match="must give its journal self.journal_path as the path, not .*elsewhere.db"):
        check(Elsewhere, 1, phases=[Phase.generate])


# -------------------------------------------------------------------- the page


def namespace_of_the_page():
    """Give what the programs of docs/testing.md define."""
    namespace = {}
    for code in code_of("docs/testing.md"):
        define(code, namespace, "docs/testing.md")
    return namespace


def test_the_page_is_short_enough():
    """Twenty lines are enough to test an executor of one's own."""
    first = code_of("docs/testing.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("name", ["TestCrawl", "TestTuned", "TestOnAsyncio", "TestDurable"])
def test_the_machines_of_the_page(name):
    """Each test case on the page passes."""
    case = namespace_of_the_page()[name]
    case.settings = settings(case.settings, max_examples=15, stateful_step_count=20, derandomize=True)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.errors + result.failures


def test_the_page_tells_of_all_rules_and_promises():
    """No rule, and no promise, is left out of the tables."""
    text = PAGES["docs/testing.md"].read_text("utf-8")
    rules = {name for name, member in vars_of(ExecutorMachine) if hasattr(member, "hypothesis_stateful_rule")}
    assert len(rules) > 25
    assert [name for name in sorted(rules | set(PROMISES)) if f"`{name}`" not in text] == []


def vars_of(cls):
    return [item for base in cls.__mro__ for item in vars(base).items()]
