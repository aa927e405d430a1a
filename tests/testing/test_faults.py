"""Faults by seed: where they can be, what they do, and that nothing of them is there otherwise."""

import re
from pathlib import Path

import anyio
import pytest
from anyio import current_time, get_cancelled_exc_class
from journal_support import Step, StepExecutor, crash, open_executor, rows
from support import Job, JobProcessor, counts, make_executor, view, with_processor

from lionpride_exec import (
    Event,
    EventCancelled,
    EventStatus,
    Executor,
    JournalError,
    LionTimeoutError,
    Retry,
)
from lionpride_exec.testing import (
    BACKENDS,
    POINTS,
    Cancellation,
    Crash,
    Failure,
    FaultPlan,
    InjectedFailure,
    Latency,
    Point,
    run,
)

ROOT = Path(__file__).parents[2]


class Gate(JobProcessor):
    """Lets everybody in."""

    async def request_permission(self, **_):
        return True


class Chunks(Job):
    """Produces three chunks."""

    streaming = True

    async def stream(self):
        for number in range(3):
            yield number


def injected(plan):
    """Give where what was injected."""
    return [(one.point, type(one.fault).__name__) for one in plan.injected]


async def run_one(plan, event=None, executor=None, **config):
    """Run an event under a plan; give it, at its end."""
    executor = executor or make_executor(**config)
    with plan.applied(executor):
        async with executor:
            event = await executor.append(event or Job(name="a"))
    return event


# -------------------------------------------------------------------- plans


@pytest.mark.parametrize("point", ["gate", "gate:during", "gates:before", "slot:after", "pick:after", ""])
def test_a_point_that_there_is_not(point):
    """It is refused, and those that there are are named."""
    with pytest.raises(ValueError, match=rf"'{point}' is no point( \(.*\))?; there are append:before, append:after, "):
        FaultPlan(1, {point: Latency(1)})


def test_a_point_whose_method_has_gone(monkeypatch):
    """It is told when a plan names it, not passed over."""
    monkeypatch.setattr("lionpride_exec.testing._faults.points.POINTS", {"gone": Point(Executor, "gone", "nothing")})
    with pytest.raises(AttributeError, match="no attribute 'gone'"):
        FaultPlan(1, {"gone:before": Latency(1)})


def test_each_point_has_its_method():
    """The table fits the library."""
    for name, point in POINTS.items():
        for side in point.sides:
            FaultPlan(1, {f"{name}:{side}": Crash(visit=1)})
        assert point.what


@pytest.mark.parametrize(
    ("point", "fault", "message"),
    [
        ("slot:before", Failure(), "nothing fails at 'slot:before'"),
        ("disk:after", Failure(), "nothing fails at 'disk:after'"),
        ("disk:before", Latency(1), "'disk:before' is in a worker thread"),
        ("run:before", ValueError(), "is no fault"),
    ],
)
def test_faults_that_cannot_be_there(point, fault, message):
    """What fails is code of the user's, or the disk; a thread cannot sleep by our clock."""
    with pytest.raises(ValueError, match=message):
        FaultPlan(1, {point: [fault]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Latency(-1),
        lambda: Latency(1, float("inf")),
        lambda: Latency(2, 1),
        lambda: Failure(share=1.1),
        lambda: Failure(share=-0.1),
        lambda: Failure(visit=0),
        lambda: Cancellation(within=-1),
        lambda: Cancellation(of="nobody"),
    ],
)
def test_numbers_out_of_range(make):
    """They are refused."""
    with pytest.raises(ValueError, match=r"must be"):
        make()


def test_a_plan_prints_as_the_code_that_makes_it():
    """So a plan that was drawn by chance can be kept."""
    plan = FaultPlan(7, {"gate:before": Latency(0, 5), "run:after": [Latency(1), Failure(share=0.5, visit=2)]})
    told = repr(plan)
    assert told == (
        "FaultPlan(7, {'gate:before': Latency(shortest=0, longest=5), "
        "'run:after': [Latency(shortest=1), Failure(share=0.5, visit=2)]})"
    )
    assert repr(eval(told)) == told  # noqa: S307  ours


def test_a_plan_with_a_crash_needs_somebody_who_is_told():
    """Else nothing is applied."""
    with pytest.raises(ValueError, match="needs on_crash"), FaultPlan(1, {"run:before": Crash()}).applied(StepExecutor):
        pass
    with pytest.raises(ValueError, match="give the executor"), FaultPlan(1, {}).applied():
        pass


def test_nothing_is_there_outside_of_the_block():
    """Methods are replaced inside of it only, those of named points only, and come back however it ends."""
    names = [("append", Executor, "append"), ("run", Event, "_perform"), ("gate", Gate, "request_permission")]
    before = {word: vars(owner)[method] for word, owner, method in names}
    executor = with_processor(Gate)
    plan = FaultPlan(1, {"append:before": Latency(1), "gate:after": Failure()})
    with pytest.raises(KeyError), plan.applied(executor):
        changed = {word for word, owner, method in names if vars(owner)[method] is not before[word]}
        raise KeyError
    assert changed == {"append", "gate"}
    assert {word: vars(owner)[method] for word, owner, method in names} == before


def test_the_same_seed_meets_the_same_on_all_backends():
    """However tasks take turns; another seed meets something else."""

    async def main(seed):
        faults = {
            "gate:before": Latency(0, 5),
            "run:before": Failure(share=0.3),
            "append:after": Latency(0, 1, share=0.5),
        }
        plan = FaultPlan(seed, faults)
        executor = with_processor(Gate, retry=Retry(3, jitter=0))
        with plan.applied(executor):
            async with executor:
                for number in range(20):
                    await executor.append(Job(name=str(number)), priority=number % 3)
        return sorted(map(str, plan.injected)), counts(executor)

    told = [run(main, 7, backend=backend) for backend in BACKENDS]
    assert told == [told[0]] * len(BACKENDS)
    assert run(main, 8) != told[0]


def test_a_second_block_of_a_plan_goes_on_counting():
    """A block is the next life of the same process, with the visits counted on; a new plan counts from the first."""
    faults = {"run:before": Latency(1, visit=1)}
    plan = FaultPlan(1, faults)
    for _ in range(2):
        run(run_one, plan)
    assert [str(one) for one in plan.injected] == ["run:before Job(name='a') #1: Latency 1.000 s"]
    again = FaultPlan(1, faults)
    run(run_one, again)
    assert again.injected == plan.injected


# -------------------------------------------------------------------- what they do


@pytest.mark.anyio
class TestFaults:
    """Each fault, where it can be."""

    async def test_latency(self):
        """A point takes so long, and no longer."""
        plan = FaultPlan(1, {"run:before": Latency(2, 3), "run:after": Latency(1)})
        event = await run_one(plan)
        assert 3 <= event.execution.duration <= 4
        assert event.execution.duration == pytest.approx(sum(one.seconds for one in plan.injected))

    async def test_latency_beside_a_timeout(self):
        """A run that is made slow runs into its timeout."""
        event = await run_one(FaultPlan(1, {"run:after": Latency(9)}), Job(timeout=2))
        assert isinstance(event.execution.error, LionTimeoutError)

    @pytest.mark.parametrize("point", ["run:before", "run:after"])
    async def test_a_run_that_fails(self, point):
        """The event ends FAILED, with the fault as its error."""
        event = await run_one(FaultPlan(1, {point: Failure()}))
        assert isinstance(event.execution.error, InjectedFailure)
        assert str(event.execution.error) == f"{point} Job(name='a') #1: Failure"

    async def test_a_visit(self):
        """A fault of the second visit is met by the second run."""
        plan = FaultPlan(1, {"run:before": [Failure(visit=1), Failure(visit=2)]})
        event = await run_one(plan, Job(name="a", retry=Retry(3, jitter=0)))
        assert event.status is EventStatus.COMPLETED
        assert [one.visit for one in plan.injected] == [1, 2]

    async def test_a_share(self):
        """About so many of the visits meet it."""
        plan = FaultPlan(1, {"run:before": Failure(share=0.25)})
        executor = make_executor(queue_capacity=1000)
        with plan.applied(executor):
            async with executor:
                await executor.extend(Job(name=str(number)) for number in range(400))
        assert 70 < counts(executor)["failed"] < 130

    async def test_a_gate_that_fails(self):
        """Each failure is a strike; the third is the end."""
        event = await run_one(FaultPlan(1, {"gate:after": Failure()}), executor=with_processor(Gate))
        assert event.status is EventStatus.ABORTED
        assert isinstance(event.execution.error, InjectedFailure)

    async def test_what_is_no_gate_stays_none(self):
        """A plan makes no gate where none was written."""
        plan = FaultPlan(1, {"gate:before": Failure()})
        event = await run_one(plan)
        assert event.status is EventStatus.COMPLETED
        assert plan.injected == []

    async def test_a_chunk_that_fails(self):
        """The chunks of before it are there, and the producer is closed."""
        plan = FaultPlan(1, {"chunk:before": Failure(visit=3)})
        event = await run_one(plan, Chunks(name="a"))
        assert isinstance(event.execution.error, InjectedFailure)
        assert view.produced_chunks(event) == [0, 1]

    @pytest.mark.parametrize("point", ["append:after", "gate:before", "gate:after", "report:before", "run:before"])
    async def test_an_event_that_is_cancelled(self, point):
        """It ends CANCELLED, wherever it is."""
        plan = FaultPlan(1, {point: Cancellation(visit=1)})
        event = await run_one(plan, executor=with_processor(Gate))
        assert injected(plan) == [(point, "Cancellation")]
        assert isinstance(event.execution.error, EventCancelled)

    async def test_a_chunk_at_which_it_is_cancelled(self):
        """A stream ends in the middle."""
        event = await run_one(FaultPlan(1, {"chunk:after": Cancellation(visit=2)}), Chunks(name="a"))
        assert event.status is EventStatus.CANCELLED
        assert view.produced_chunks(event) == [0]

    async def test_a_caller_that_is_cancelled(self):
        """Its scope is, and the event is not in."""
        plan = FaultPlan(1, {"append:before": Cancellation(of="caller")})
        executor = make_executor()
        with plan.applied(executor):
            async with executor:
                with plan.cancellable() as scope:
                    await executor.append(Job())
        assert scope.cancelled_caught
        assert counts(executor) == {}

    async def test_a_caller_that_is_cancelled_while_it_waits(self):
        """Within some seconds, so at whichever await comes."""
        plan = FaultPlan(1, {"append:before": Cancellation(of="caller", within=5, visit=2)}, label=lambda _: "any")
        executor = make_executor(max_queue_size=1)
        with plan.applied(executor):
            async with executor:
                executor.pause()
                with plan.cancellable():
                    await executor.append(Job(), wait=True)
                with plan.cancellable() as scope:
                    await executor.append(Job(), wait=True)
                assert current_time() == pytest.approx(plan.injected[0].seconds)
                executor.resume()
        assert scope.cancelled_caught
        assert counts(executor) == {"completed": 1}

    async def test_a_caller_without_a_scope(self):
        """There is nobody to be cancelled."""
        event = await run_one(FaultPlan(1, {"append:before": Cancellation(of="caller")}))
        assert event.status is EventStatus.COMPLETED

    async def test_a_task_that_is_cancelled(self, anyio_backend_name):
        """By asyncio's own means; trio has none."""
        plan = FaultPlan(1, {"append:before": Cancellation(of="task")})
        executor, cancelled = make_executor(), []

        async def caller():
            try:
                await executor.append(Job())
            except get_cancelled_exc_class():
                cancelled.append(anyio_backend_name)
                raise

        with plan.applied(executor):
            async with executor, anyio.create_task_group() as group:
                group.start_soon(caller)
        assert cancelled == (["asyncio"] if anyio_backend_name == "asyncio" else [])
        assert counts(executor) == ({} if cancelled else {"completed": 1})

    @pytest.mark.parametrize("point", [f"{word}:before" for word in ("slot", "pick", "report", "room", "join", "stop")])
    async def test_the_other_points(self, point):
        """Each is on the way, and takes so long."""
        plan = FaultPlan(1, {point: Latency(3)})
        executor = with_processor(Gate, max_queue_size=1, queue_capacity=1)
        with plan.applied(executor):
            async with executor:
                for _ in range(3):
                    await executor.append(Job(), wait=True)
        assert len(plan.injected) == 1 if point in {"join:before", "stop:before"} else plan.injected
        assert current_time() >= 3
        assert counts(executor) == {"completed": 3}

    async def test_labels(self):
        """Without another, an event is known by its class and its own texts and numbers."""

        class Fetch(Job):
            number: int
            things: object = None

        plan = FaultPlan(1, {"run:before": Latency(1)})
        await run_one(plan, Fetch(number=5, name="x", things=object(), seconds=0.5))
        assert plan.injected[0].label == "Fetch(name='x', seconds=0.5, number=5)"


@pytest.mark.anyio
class TestJournal:
    """Faults on the way to the disk, and processes that die."""

    async def test_a_disk_that_fails(self, tmp_path):
        """Who appends is told; once it does not any more, all goes on."""
        plan = FaultPlan(1, {"disk:before": Failure(visit=1)})
        executor = open_executor(tmp_path / "run.db")
        with plan.applied(executor):
            async with executor:
                with pytest.raises(JournalError, match="injected: disk:before - #1: Failure"):
                    await executor.append(Step(name="a"))
                await anyio.sleep(2)
                await executor.append(Step(name="b"))
        assert rows(tmp_path / "run.db") == ["completed"]

    @pytest.mark.parametrize("point", ["start:before", "start:after", "end:before", "end:after", "commit:before"])
    async def test_latency(self, tmp_path, point):
        """Each is on the way with a strict journal."""
        plan = FaultPlan(1, {point: Latency(3)})
        executor = open_executor(tmp_path / "run.db", ack="strict")
        await run_one(plan, Step(name="a"), executor)
        assert point in {one.point for one in plan.injected}
        assert current_time() >= 3
        assert rows(tmp_path / "run.db") == ["completed"]

    @pytest.mark.parametrize("point", ["append:after", "run:before", "run:after", "commit:after", "disk:before"])
    async def test_crashes(self, tmp_path, point):
        """The process dies here; what it leaves is gone on with, and nothing more is injected into its remains."""
        path, left = tmp_path / "run.db", []
        plan = FaultPlan(1, {point: Crash(visit=2)}, label=lambda _: "any")
        with anyio.CancelScope() as process:

            def die(where):
                left.append(crash(path))
                assert where == point
                if where.startswith("disk"):  # in a thread
                    anyio.from_thread.run_sync(process.cancel)
                else:
                    process.cancel()

            executor = open_executor(path)
            with plan.applied(executor, on_crash=die):
                async with executor:
                    for name in "abcd":
                        await executor.append(Step(name=name, seconds=1), key=name)
        assert process.cancelled_caught
        assert len(left) == 1
        again = open_executor(left[0])
        with plan.applied(again, on_crash=left.append):
            async with again:
                for name in "abcd":
                    await again.append(Step(name=name, seconds=1), key=name)
        assert len(left) == 1
        assert rows(left[0]) == ["completed"] * 4


def test_the_page_names_all_points():
    """The table of docs/faults.md is that of the code."""
    page = (ROOT / "docs" / "faults.md").read_text()
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(POINTS)
