"""
Random operations on executors of ours, with and without a journal; after each, everything is as it has to be.

The machine is that of ``lionpride_exec.testing.stateful``, which users have, too. Executors with bugs show that it
finds them.
"""

import unittest

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test
from journal_support import BriefStep, FailStep, HoldStep, Step, open_executor
from pages import PAGES, code_of, define
from support import Job, JobProcessor

from lionpride_exec import (
    Concurrent,
    EventStatus,
    Executor,
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
        """There is never more than fits: beside ``max_queue_size`` only what has run, and comes back."""
        self.most = max(self.most, self.executor.processor_config["concurrency_limit"])
        processor = self.executor.processor
        assert processor is None or processor.queue.qsize() <= 6 + self.most


class NoGateMachine(JobMachine):
    """The way without a gate, on which nobody is asked."""

    def make_executor(self):
        class Plain(Executor):
            processor_type = JobProcessor

        return Plain({"queue_capacity": 3, "capacity_refresh_time": 2.0, "concurrency_limit": 2, "max_queue_size": 6})


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


@pytest.mark.parametrize(
    ("executor_type", "invariants"),
    [
        (DropsOnCancel, {"cancel_tells"}),
        (StopsEarly, {"stop_waits", "stopped"}),
        (RunsTwice, {"cancel_tells"}),
        (ForgetsToWake, {"calls_return", "followers"}),
        (GivesAnother, {"known_once"}),
    ],
)
def test_bugs_are_found(executor_type, invariants):
    """An executor with a bug is found out, and what it breaks is named; which of two is met first is up to chance."""
    with pytest.raises(InvariantBroken) as caught:
        # As it is found: to shrink an example takes more runs than to find it.
        check(type("Buggy", (Small,), {"executor_type": executor_type}), 100, phases=[Phase.generate])
    assert caught.value.invariant in invariants


def test_a_failure_is_printed_as_a_program(capsys):
    """The steps that lead to it are printed, and below them what has happened."""
    machine = type("Buggy", (Small,), {"executor_type": StopsEarly, "backends": ("asyncio",)})
    with pytest.raises(InvariantBroken) as caught:
        check(machine, 100, phases=[Phase.generate], report_multiple_bugs=False)
    told = "\n".join(caught.value.__notes__)
    assert "state = Buggy()" in told
    assert "state.stop(grace=" in told
    assert "What has happened, on asyncio:" in told
    assert "pending -> processing (attempt 1)" in told
    assert str(caught.value).startswith("stop_waits: When stop() returns nothing runs.\nBut these run.\n  Job(id=")


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
    assert "pause" in calls
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
