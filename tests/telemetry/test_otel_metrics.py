"""Metrics by the instruments of OpenTelemetry."""

import anyio
import pytest
from journal_support import Step, open_executor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from spans import Spans
from support import Job, make_executor

from lionpride_exec import Event, Executor, Retry
from lionpride_exec.telemetry import instrument

pytestmark = pytest.mark.anyio


# Upper bounds of the buckets, in seconds.
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]


class Meters:
    """A provider, and what its instruments say."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def read(self):
        """Return the data points by the name of the metric: their attributes beside the executor, and their values."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "lionpride_exec"
                for metric in scope.metrics:
                    assert metric.name not in found  # one stream of each name, whichever executors there are
                    found[metric.name] = [(dict(point.attributes), point) for point in metric.data.data_points]
        return found


@pytest.fixture
def meters():
    return Meters()


def measured(meters, executor, **options):
    """Instrument an executor without spans."""
    return instrument(executor, metrics=True, meter_provider=meters.provider, **options)


async def test_counts_and_durations(meters):
    """The counts when they are read, the durations by the clock of the event loop."""
    executor = make_executor(concurrency_limit=1, retry=Retry(2, backoff=1, jitter=0))
    measured(meters, executor)
    async with executor:
        await executor.extend([Job(seconds=2), Job(seconds=2, error=LookupError("no"))], priority=0)
        await anyio.sleep(1)
        open_now = meters.read()
        await executor.join()
    found = meters.read()
    status = "lionpride.event.status"
    assert {point[0][status]: point[1].value for point in open_now["lionpride.events"]} == {
        "pending": 1,
        "processing": 1,
    }
    assert {attributes["lionpride.executor"] for attributes, _ in found["lionpride.events"]} == {"Job"}
    ended = {attributes[status]: point.value for attributes, point in found["lionpride.events.ended"]}
    assert (ended["completed"], ended["failed"]) == (1, 1)
    runs = {attributes[status]: point for attributes, point in found["lionpride.event.run"]}
    assert {name: (point.count, point.sum) for name, point in runs.items()} == {
        "completed": (1, 2.0),
        "failed": (1, 2.0),
        "retried": (1, 2.0),
    }
    assert list(runs["completed"].explicit_bounds) == BOUNDS
    ((attributes, point),) = found["lionpride.event.wait"]
    assert attributes == {"lionpride.executor": "Job", "lionpride.event.kind": "Job"}
    assert point.count == 3
    ((attributes, point),) = found["lionpride.attempts.repeated"]
    assert (attributes["lionpride.reason"], point.value) == ("error", 1)
    assert "lionpride.journal.size" not in found


async def test_what_a_journal_says(meters, tmp_path):
    """Its size, what is not written, and how long its commits take."""
    executor = open_executor(tmp_path / "run.db")
    measured(meters, executor)
    async with executor:
        await executor.append(Step())
        await executor.join()
    found = meters.read()
    assert found["lionpride.journal.size"][0][1].value > 0
    assert found["lionpride.journal.unwritten"][0][1].value == 0
    assert found["lionpride.journal.trouble"][0][1].value == 0
    assert found["lionpride.journal.commit"][0][1].count >= 1


async def test_the_names_of_the_conventions(meters):
    """On demand, beside ours."""
    executor = make_executor(concurrency_limit=1)
    measured(meters, executor, semconv=True)
    async with executor:
        await executor.extend([Job(seconds=2), Job(seconds=2, error=LookupError("no")), Job(seconds=9)], priority=0)
        await anyio.sleep(5)
        found = meters.read()
        await executor.join()
    shared = {"lionpride.executor": "Job", "messaging.system": "lionpride_exec", "messaging.destination.name": "Job"}
    ((attributes, point),) = found["messaging.client.sent.messages"]
    assert (attributes, point.value) == (shared | {"messaging.operation.name": "append"}, 3)
    ((attributes, point),) = found["messaging.client.consumed.messages"]
    assert (attributes, point.value) == (shared | {"messaging.operation.name": "run"}, 3)
    durations = {attributes.get("error.type"): point.sum for attributes, point in found["messaging.process.duration"]}
    assert durations == {None: 2.0, "failed": 2.0}


async def test_executors_share_the_instruments(meters):
    """Of one provider. An executor that is not instrumented any more, or is gone, says nothing."""
    one, two = (Executor.of(Job, name=name) for name in ("one", "two"))
    stop = measured(meters, one)
    measured(meters, two)
    for executor in (one, two):
        async with executor:
            await executor.append(Job())
    names = {attributes["lionpride.executor"] for attributes, _ in meters.read()["lionpride.events"]}
    assert names == {"one", "two"}
    stop()
    stop()
    names = {attributes["lionpride.executor"] for attributes, _ in meters.read()["lionpride.events"]}
    assert names == {"two"}


async def test_more_kinds_than_are_told_apart(meters):
    """The rest have one name."""
    executor = Executor.of(Event)
    measured(meters, executor)
    async with executor:
        for number in range(120):

            async def work(self):
                return None

            await executor.append(type(f"Kind{number}", (Event,), {"_invoke": work})())
    runs = {
        attributes["lionpride.event.kind"]: point.count for attributes, point in meters.read()["lionpride.event.run"]
    }
    assert len(runs) == 101
    assert runs["_other"] == 20


async def test_with_spans(meters):
    """Both by one call, and ended by one."""
    spans = Spans()
    executor = make_executor()
    stop = instrument(executor, metrics=True, meter_provider=meters.provider, tracer_provider=spans.provider)
    async with executor:
        await executor.invoke(Job())
        stop()
        await executor.invoke(Job())
    assert spans.tree() == ["run Job completed UNSET"]
    ((_, point),) = meters.read()["lionpride.event.run"]
    assert point.count == 1


async def test_refused(meters):
    """The conventions without metrics."""
    with pytest.raises(ValueError, match="semconv=True needs metrics=True"):
        instrument(make_executor(), semconv=True)


async def test_without_an_sdk():
    """Nothing is recorded, and nothing fails."""
    executor = make_executor()
    instrument(executor, metrics=True, semconv=True)
    async with executor:
        event = await executor.append(Job())
    assert event.status == "completed"
