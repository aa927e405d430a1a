"""
Random operations on an executor; after each, every event is in exactly one place and every number is right.

The machine runs on each backend under its virtual clock: a test function drives one event loop by hand, step by
step, so that Hypothesis decides what happens next while the executor runs.
"""

from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import Job, JobProcessor, check_invariants
from virtual_clock import VIRTUAL_BACKENDS

from lionpride_exec import (
    Concurrent,
    Deny,
    EventStatus,
    Executor,
    ExecutorClosedError,
    ExistsError,
    QueueFullError,
    Rate,
    RateLimited,
    Retry,
    Skip,
    Wait,
)

ANSWERS = st.sampled_from([True, True, True, True, False, False, Wait(1), Wait(0), Deny("no"), ValueError("gate")])


class MachineProcessor(JobProcessor):
    """Asks the machine."""

    answers: list = []

    async def request_permission(self, **kwargs):
        answer = self.answers.pop() if self.answers else True
        await anyio.lowlevel.checkpoint()
        if isinstance(answer, Exception):
            raise answer
        return answer

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


class ExecutorMachine(RuleBasedStateMachine):
    """Drives one executor; the event loop runs in a thread of its own and is called into."""

    backend = "trio"

    def __init__(self):
        super().__init__()
        name, options = VIRTUAL_BACKENDS[self.backend]()
        self.context = start_blocking_portal(name, options)
        self.portal = self.context.__enter__()
        self.executor = MachineExecutor(
            processor_config={
                "queue_capacity": 3,
                "capacity_refresh_time": 2.0,
                "concurrency_limit": 2,
                "max_queue_size": 6,
                "limits": [Rate(4, per=5, key="name"), Concurrent(1, key="name")],
            }
        )
        self.most = 2  # that may ever have run at the same time
        self.events = []
        self.removed = set()
        self.runs = {}
        self.executor.observe(self.note)

    def note(self, event, previous, status):
        if status is EventStatus.PROCESSING:
            self.runs[event.id] = self.runs.get(event.id, 0) + 1

    def call(self, function, *arguments, **keywords):
        return self.portal.call(partial(function, *arguments, **keywords))

    # ---------------------------------------------------------------- rules

    @rule(
        seconds=st.sampled_from([0.0, 0.5, 3.0]),
        error=st.sampled_from([None, None, None, ValueError("event"), Skip("no"), RateLimited(retry_after=3)]),
        timeout=st.sampled_from([None, None, 1.0]),
        retry=st.sampled_from([None, Retry(2, backoff=1, jitter=0)]),
        priority=st.sampled_from([None, 0, 1, 2.5]),
        name=st.sampled_from(["a", "b"]),
        how=st.sampled_from([{}, {}, {}, {"delay": 2.0}, {"key": "k"}]),
    )
    def append(self, seconds, error, timeout, retry, priority, name, how):
        self.take_in(Once(seconds=seconds, error=error, timeout=timeout, retry=retry, name=name), priority, how)

    @precondition(lambda self: self.events)
    @rule(data=st.data(), name=st.sampled_from(["a", "b"]))
    def append_after(self, data, name):
        first = data.draw(st.lists(st.sampled_from(self.events), min_size=1, max_size=3))
        here = [event for event in first if event.id not in self.removed]
        if here:
            self.take_in(Once(name=name), None, {"after": here})

    def take_in(self, event, priority, how):
        try:
            known = self.call(self.executor.append, event, priority, **how)
        except QueueFullError:
            assert event not in self.executor
            assert event.execution.queued_at is None
        else:
            if known is event:
                self.events.append(event)
            else:
                assert known in self.events
                assert event not in self.executor

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def append_again(self, data):
        event = data.draw(st.sampled_from(self.events))
        if event.id not in self.removed:
            with pytest.raises(ExistsError):
                self.call(self.executor.append, event)

    @rule()
    def start(self):
        self.call(self.executor.start)

    @rule(grace=st.sampled_from([0, 1, None]))
    def stop(self, grace):
        self.call(self.executor.stop, grace=grace)
        assert not self.executor.processing_events

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def let_time_pass(self, seconds):
        self.call(anyio.sleep, seconds)

    @rule()
    def settle(self):
        self.call(wait_all_tasks_blocked)

    @rule()
    def forward(self):
        self.call(self.executor.forward)

    @rule(times=st.integers(2, 4), seconds=st.sampled_from([0.0, 0.2, 1.0, 100.0]))
    def forwards_of_which_some_are_cancelled(self, times, seconds):
        async def main():
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as group:
                    for _ in range(times):
                        group.start_soon(self.executor.forward)

        self.call(main)

    @precondition(lambda self: self.events)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "skip"]))
    def end(self, data, how):
        event = data.draw(st.sampled_from(self.events))
        if event.id not in self.removed:
            was_final = event.status.is_terminal

            async def main():
                return getattr(self.executor, how)(event)

            assert self.call(main) is not was_final

    @rule()
    def pause(self):
        self.executor.pause()

    @rule()
    def resume(self):
        async def main():
            self.executor.resume()

        self.call(main)

    @rule(concurrency=st.integers(1, 3), capacity=st.integers(1, 4))
    def resize(self, concurrency, capacity):
        async def main():
            self.executor.resize(concurrency_limit=concurrency, queue_capacity=capacity)

        self.most = max(self.most, concurrency)
        self.call(main)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def explain(self, data):
        event = data.draw(st.sampled_from(self.events))

        async def main():
            if event.id not in self.removed:
                explanation = self.executor.explain(event)
                assert (explanation.waits_for == "final") is event.status.is_terminal
            statistics = self.executor.statistics()
            assert sum(statistics.waits.values()) == statistics.status_counts["pending"]

        self.call(main)

    @rule(answers=st.lists(ANSWERS, max_size=4))
    def gate(self, answers):
        MachineProcessor.answers = answers

    @rule(capacity=st.integers(0, 3))
    def set_capacity(self, capacity):
        async def main():
            if self.executor.processor is not None:
                processor = self.executor.processor
                processor.available_capacity = min(capacity, processor.queue_capacity)

        self.call(main)

    @precondition(lambda self: self.events)
    @rule(data=st.data(), status=st.sampled_from(["skipped", "cancelled", "aborted"]))
    def decide_by_hand(self, data, status):
        event = data.draw(st.sampled_from(self.events))

        async def main():
            if event.status is EventStatus.PENDING:
                event.status = status

        self.call(main)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def invoke_by_hand(self, data):
        event = data.draw(st.sampled_from(self.events))
        self.call(event.invoke)
        assert event.status is not EventStatus.PENDING

    @rule(statuses=st.none() | st.lists(st.sampled_from(EventStatus), max_size=3))
    def cleanup(self, statuses):
        before = len(self.executor.states.items)
        number = self.call(self.executor.cleanup_events, statuses)
        assert before - number == len(self.executor.states.items)
        self.removed |= {event.id for event in self.events if event not in self.executor}

    @rule()
    def join_while_stopped_or_started(self):
        async def main():
            self.executor.resume()
            try:
                await self.executor.join()
            except ExecutorClosedError:  # it was left with these
                assert self.executor.is_abandoned
                assert self.executor.pending_events

        if self.executor.processor is not None:
            self.call(main)
            assert not self.executor.processing_events
            stopped = self.executor.processor.is_stopped() or self.executor.is_abandoned
            assert stopped or not self.executor.pending_events

    @rule()
    def a_block(self):
        async def main():
            self.executor.resume()
            try:
                async with self.executor:
                    pass
            except RuntimeError:  # it runs in the background
                return False
            return True

        if self.call(main):
            assert not self.executor.pending_events

    @rule(seconds=st.sampled_from([0.0, 0.7, 4.0]))
    def a_cancelled_block(self, seconds):
        async def main():
            with anyio.move_on_after(seconds):
                try:
                    async with self.executor:
                        await anyio.sleep_forever()
                except RuntimeError:
                    return

        self.call(main)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def nobody_waits_for_ever(self, data):
        event = data.draw(st.sampled_from(self.events))

        async def main():
            with anyio.move_on_after(1000) as scope:
                try:
                    await event.wait()
                except ExecutorClosedError:
                    return "closed"
            return "waited" if scope.cancelled_caught else "ended"

        outcome = self.call(main)
        if outcome == "ended":
            assert event.status.is_terminal
        elif outcome == "waited":  # only a stopped or never started executor, or nobody's event, keeps one waiting
            processor = self.executor.processor
            is_held = processor is None or processor.is_stopped() or self.executor.is_paused
            assert event.id in self.removed or is_held

    # ---------------------------------------------------------------- after each

    @invariant()
    def everything_agrees(self):
        self.call(self.check)

    async def check(self):
        check_invariants(self.executor)
        processor = self.executor.processor
        if processor is not None:
            queue = processor.queue
            assert queue.qsize() <= 6 + self.most  # what ran may come back
            kept = {event.id for event in self.executor.pending_events}
            assert set(queue._live) <= kept
            assert len(processor._in_flight) <= self.most
            assert processor._slots.limiter.borrowed_tokens <= self.most
            # Whatever is pending is on its way: queued, in the backlog, asked about, back from a run, or after others.
            waiting = set(self.executor._agenda._waiting)
            assert (
                kept <= set(queue._live) | queue._in_backlog | {processor._asked} | set(processor._in_flight) | waiting
            )
        for event in self.events:
            assert event.status.is_terminal or event.id in self.removed or event in self.executor
            execution = event.execution
            assert execution.attempt <= (1 if event.retry is None else event.retry.attempts)
            interrupted = sum(attempt.interrupted for attempt in execution.attempts)
            assert self.runs.get(event.id, 0) <= execution.attempt + interrupted

    def teardown(self):
        MachineProcessor.answers = []
        self.call(self.executor.stop, grace=0)
        assert not self.executor.processing_events
        self.resume()
        self.call(self.executor.start)
        self.call(self.executor.join)
        self.call(self.executor.stop)
        assert not self.executor.pending_events
        self.call(self.check)
        self.context.__exit__(None, None, None)


@pytest.mark.parametrize("backend", VIRTUAL_BACKENDS)
def test_random_operations(backend):
    """A state machine drives an executor on each backend."""
    machine = type("Machine", (ExecutorMachine,), {"backend": backend})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
