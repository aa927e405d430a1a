"""pipeline(): maps over several executors, one after the other, with bounded buffers between them."""

from contextlib import AsyncExitStack, suppress

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import check_invariants, counts

from lionpride_exec import Call, Event, EventFailed, Executor, ExecutorClosedError, Journal, Retry, Stage, pipeline
from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio

SOURCES = pytest.mark.parametrize("kind", ["plain", "async"])


class Source:
    """Items of either kind, which keeps what was taken and whether it was closed."""

    def __init__(self, kind, items, error=None):
        self.kind, self.items, self.error = kind, items, error
        self.taken, self.closed = [], 0

    def __call__(self):
        return self._plain() if self.kind == "plain" else self._async()

    def _plain(self):
        try:
            for item in self.items:
                self.taken.append(item)
                yield item
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1

    async def _async(self):
        try:
            for item in self.items:
                self.taken.append(item)
                yield item
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


class Work:
    """A stage's function: takes some seconds, fails for some items, and knows what has begun."""

    def __init__(self, seconds=1.0, fails=(), step=10):
        self.seconds, self.fails, self.step = seconds, set(fails), step
        self.begun, self.running, self.most = [], 0, 0

    async def __call__(self, item):
        self.begun.append(item)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await anyio.sleep(self.seconds(item) if callable(self.seconds) else self.seconds)
        finally:
            self.running -= 1
        if item in self.fails:
            raise LookupError(item)
        return item + self.step


class Load(Event[int]):
    """The event of a stage that has a class."""

    number: int

    async def _invoke(self):
        await anyio.sleep(1)
        return self.number * 2


def executors(first=2, second=2):
    """Make the executors of two stages."""
    return Executor.of(Call, concurrency_limit=first), Executor.of(Call, concurrency_limit=second)


@SOURCES
async def test_results_go_from_stage_to_stage(kind):
    """Each item goes through all stages, which work at the same time; nothing is left in the executors."""
    source, load, parse, store = Source(kind, range(20)), Work(), Work(step=100), Work(step=1000)
    one, two = executors()
    async with one, two:
        began = anyio.current_time()
        stages = Stage(one, load), Stage(two, parse), Stage(two, store)
        results = [event.result() async for event in pipeline(source(), *stages)]
        assert anyio.current_time() - began < 30  # one stage after the other would take 40 s
        for executor in (one, two):
            check_invariants(executor)
            assert sum(counts(executor).values()) <= 1  # the last one that was returned
    assert sorted(results) == [number + 1110 for number in range(20)]
    assert source.closed == 1


@SOURCES
async def test_order(kind):
    """With ordered=True the events come in the order of the items, failures of each stage in their turn."""
    items = range(8)
    first, second = Work(seconds=lambda item: 8 - item, fails=[3]), Work(seconds=lambda item: item % 3, fails=[15])
    one, two = executors(4, 4)
    async with one, two:
        events = pipeline(Source(kind, items)(), Stage(one, first), Stage(two, second), ordered=True)
        told = [(event.status, event.args[0]) async for event in events]
    expected = [("completed", number + 10) for number in items]
    expected[3], expected[5] = ("failed", 3), ("failed", 15)
    assert told == expected


async def test_a_failure_goes_past_the_later_stages(caplog):
    """There is one event for each item: result() raises the error of the stage that failed, which is not run on."""
    first, second = Work(fails=[1, 2]), Work(fails=[10])
    one, two = executors()
    errors, results = [], []
    async with one, two:
        async for event in pipeline(range(4), Stage(one, first), Stage(two, second)):
            try:
                results.append(event.result())
            except EventFailed as exc:
                errors.append(exc.__cause__.args[0])
    assert (sorted(errors), results, sorted(second.begun)) == ([1, 2, 10], [23], [10, 13])
    assert "nobody has looked at" not in caplog.text


async def test_fail_fast():
    """The first failure, of any stage, raises; all stages are closed."""
    first, second = Work(fails=[2]), Work(seconds=100)
    one, two = executors(1, 4)
    async with one, two:
        with pytest.raises(EventFailed) as caught:
            async for _ in pipeline(range(9), Stage(one, first), Stage(two, second), fail_fast=True):
                raise AssertionError("the first failure is told first")
        assert caught.value.__cause__.args == (2,)
        await anyio.sleep(1)
        assert (first.running, second.running) == (0, 0)


@SOURCES
async def test_buffers_are_bounded(kind):
    """A slow stage holds up the ones before it, and the source; so does a slow consumer."""
    source, first, slow = Source(kind, range(1000)), Work(seconds=0), Work(seconds=100)
    one, two = executors(2, 1)
    async with one, two:
        events = pipeline(source(), Stage(one, first, lookahead=3), Stage(two, slow, lookahead=2))
        async with events:
            await anext(events)
            # 1 that was returned, 2 of the last stage, 3 of the first, and one on its way between the two
            assert len(source.taken) <= 8
            await anyio.sleep(10_000)
            assert len(source.taken) <= 8
            assert sum(counts(two).values()) <= 3
            assert sum(counts(one).values()) <= 4
    assert source.closed == 1


@SOURCES
async def test_an_error_of_the_source_comes_last(kind):
    """What was taken goes through all stages first."""
    source, results = Source(kind, [1, 2], OSError("gone")), []
    one, two = executors()
    async with one, two:
        with pytest.raises(OSError, match="gone"):
            async for event in pipeline(source(), Stage(one, Work()), Stage(two, Work())):
                results.append(event.result())  # noqa: PERF401  what came before the error is looked at
    assert sorted(results) == [21, 22]


@SOURCES
@pytest.mark.parametrize("how", ["break", "raise", "cancel", "aclose"])
async def test_leaving_early_closes_all_stages(kind, how):
    """Events of all stages that have not ended are cancelled, and the source is closed."""
    source, first, second = (
        Source(kind, range(100)),
        Work(seconds=5),
        Work(seconds=lambda item: 1 if item == 10 else 50),
    )
    one, two = executors(2, 2)
    async with one, two:
        with suppress(ZeroDivisionError), anyio.CancelScope() as scope:
            async with pipeline(source(), Stage(one, first), Stage(two, second)) as events:
                async for event in events:
                    assert event.result() == 20
                    await anyio.sleep(2)
                    assert first.running
                    assert second.running
                    if how == "break":
                        break
                    if how == "raise":
                        raise ZeroDivisionError
                    if how == "cancel":
                        scope.cancel()
                        await anyio.sleep(1)
                    await events.aclose()
        await anyio.sleep(1)
        assert (first.running, second.running, source.closed) == (0, 0, 1)
        assert "pending" not in counts(one) | counts(two)
        began = anyio.current_time()
    assert anyio.current_time() - began < 1


async def test_a_loop_that_is_just_dropped():
    """Without a block, a break is enough in CPython."""
    first, second = Work(seconds=5), Work(seconds=50)
    one, two = executors(2, 2)
    async with one, two:
        async for _ in pipeline([*range(9)], Stage(one, Work(seconds=0)), Stage(one, first), Stage(two, second)):
            break
        await anyio.sleep(1)
        assert (first.running, second.running) == (0, 0)


async def test_one_executor_for_all_stages():
    """They share its slots; nothing stands still."""
    executor = Executor.of(Call, concurrency_limit=1, max_queue_size=2)
    async with executor:
        stages = [Stage(executor, Work()) for _ in range(3)]
        results = [event.result() async for event in pipeline(range(10), *stages, ordered=True)]
    assert results == [number + 30 for number in range(10)]


async def test_classes_and_plain_functions():
    """A stage is whatever a map takes."""

    def halve(number):
        return number / 2

    async with Executor.of(Load) as loads, Executor.of(halve) as halves:
        events = pipeline([1, {"number": 2}, Load(number=3)], Stage(loads, Load), Stage(halves, halve), ordered=True)
        assert [event.result() async for event in events] == [1, 2, 3]


async def test_options_of_a_stage():
    """Each has its own: timeouts, retries, keys, priorities."""
    one, two = executors()
    async with one, two:
        first = Stage(one, Work(seconds=lambda item: item), timeout=3, key=lambda item: item)
        second = Stage(two, Work(fails=[10]), retry=Retry(2, backoff=1))
        events = [event async for event in pipeline([0, 5, 1], first, second, ordered=True)]
    assert [event.status for event in events] == ["failed", "cancelled", "completed"]
    assert events[0].execution.attempt == 2


async def test_a_stage_whose_executor_is_stopped():
    """The loop ends with ExecutorClosedError after the events that ended, and the other stages are closed."""
    source, first, second, ends = Source("plain", range(100)), Work(), Work(), []
    one, two = executors()
    await one.start()
    await two.start()
    with pytest.raises(ExecutorClosedError):
        async for event in pipeline(source(), Stage(one, first), Stage(two, second)):
            ends.append(event.status)
            if len(ends) == 1:
                await two.stop()
                for pending in two.pending_events:
                    two.skip(pending)
    await anyio.sleep(2)
    assert set(ends) == {"completed", "skipped"}
    assert (source.closed, first.running, second.running) == (1, 0, 0)
    await one.stop()


async def test_a_stage_goes_on_after_a_stop():
    """A stop and a start of an executor before the last stage only hold the pipeline up."""
    one, two = executors()
    async with one, two, anyio.create_task_group() as group:

        async def restart():
            await one.stop()
            await anyio.sleep(60)
            await one.start()

        results = []
        async for event in pipeline(range(9), Stage(one, Work()), Stage(two, Work())):
            results.append(event.result())
            if len(results) == 1:
                group.start_soon(restart)
    assert sorted(results) == [number + 20 for number in range(9)]


async def test_a_later_stage_must_run():
    """A clear error, and nothing has begun."""
    source = Source("plain", range(3))
    one, two = executors()
    async with one:
        with pytest.raises(RuntimeError, match="needs a running executor"):
            await anext(pipeline(source(), Stage(one, Work()), Stage(two, Work())))
    assert source.taken == []


async def test_progress_knows_the_number_of_items():
    """Of each stage, from the length of the source, or from total=."""
    one, two = executors()
    async with one, two:
        for source, total in (([*range(10)], None), (iter(range(10)), 10)):
            events = pipeline(source, Stage(one, Work()), Stage(two, Work()), total=total)
            async with events:
                await anext(events)
                assert one.progress().total - one.progress().done > 4


async def test_after_a_restart(tmp_path):
    """With journals and keys, no stage does its work again."""
    works = []
    for _ in range(2):
        one = Executor.of(Call, journal=Journal(tmp_path / "one.db", types={"load": _load, "store": _store}))
        two = Executor.of(Call, journal=Journal(tmp_path / "two.db", types={"load": _load, "store": _store}))
        DONE.clear()
        async with one, two:
            stages = Stage(one, _load, key=lambda item: item), Stage(two, _store, key=lambda item: item)
            results = [event.response async for event in pipeline([1, 2], *stages, ordered=True)]
        works.append((results, sorted(DONE)))
    assert works == [([102, 103], [1, 2, 2, 3]), ([102, 103], [])]


DONE = []


async def _load(item):
    DONE.append(item)
    return item + 1


async def _store(item):
    DONE.append(item)
    return item + 100


def test_bad_input():
    """It is refused where it is written."""
    one, _ = executors()
    stage = Stage(one, _load)
    for call, message in [
        (lambda: pipeline([1]), "needs one Stage or more"),
        (lambda: pipeline([1], _load), "must be a Stage, got function"),
        (lambda: pipeline(3, stage), "items must be an iterable"),
        (lambda: Stage(_load, one), "must be an Executor, got function"),
        (lambda: Stage(one, 3), "target must be an Event subclass or a function"),
        (lambda: Stage(one, _load, ordered=True), r"ordered is an argument of pipeline\(\)"),
        (lambda: Stage(one, _load, lookahed=3), "lookahed"),
        (lambda: Stage(one, _load, key="id"), "key must be a function"),
    ]:
        with pytest.raises(TypeError, match=message):
            call()
    for call, message in [
        (lambda: Stage(one, _load, lookahead=0), "lookahead must be"),
        (lambda: Stage(one, _load, timeout=-1), "timeout must be"),
        (lambda: pipeline([1], stage, total=-1), "total must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert repr(stage) == "Stage(CallExecutor, _load)"


@given(
    seconds=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=3),
    fails=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 11))),
    number=st.integers(0, 12),
    bounds=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=3, max_size=3),
    ordered=st.booleans(),
    leave_after=st.none() | st.integers(0, 5),
    backend=st.sampled_from(BACKENDS),
)
@settings(max_examples=60, deadline=None)
def test_any_pipeline(seconds, fails, number, bounds, ordered, leave_after, backend):
    """Each item gives one event, each stage runs it once at most, bounds hold, and nothing runs after the end."""
    begun = [[] for _ in seconds]
    running = [0 for _ in seconds]

    def work_of(stage):
        async def work(item):
            begun[stage].append(item)
            running[stage] += 1
            assert running[stage] <= bounds[stage][0]
            try:
                await anyio.sleep(seconds[stage][item % len(seconds[stage])])
            finally:
                running[stage] -= 1
            if (stage, item) in fails:
                raise LookupError(item)
            return item

        return work

    async def main():
        ends = []
        async with AsyncExitStack() as stack:
            stages = []
            for place, (concurrency, lookahead) in zip(range(len(seconds)), bounds, strict=False):
                executor = Executor.of(Call, concurrency_limit=concurrency)
                await stack.enter_async_context(executor)
                stages.append(Stage(executor, work_of(place), lookahead=lookahead))
            async with pipeline(iter(range(number)), *stages, ordered=ordered) as events:
                async for event in events:
                    ends.append(event)
                    if len(ends) == leave_after:
                        break
            await anyio.sleep(0.5)  # what was cancelled ends
            assert running == [0 for _ in seconds]
        return ends

    ends = run(main, backend=backend)
    items = [event.args[0] for event in ends]
    assert len(set(items)) == len(items)
    if ordered:
        assert items == list(range(len(items)))
    if leave_after is None or leave_after == 0 or leave_after > number:
        assert sorted(items) == list(range(number))
    for event in ends:
        item = event.args[0]
        failing = [place for place in range(len(seconds)) if (place, item) in fails]
        assert (event.status == "failed") == bool(failing)
        for place in range(len(seconds)):
            assert begun[place].count(item) == int(not failing or place <= failing[0])
