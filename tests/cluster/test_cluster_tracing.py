"""Traces across a cluster: the run in a worker belongs to the trace of the client, or is linked with it."""

import pytest
from cluster_events import Add, Fail
from cluster_support import executor_on
from spans import Spans

from lionpride_exec.telemetry import PrometheusCollector, instrument

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("relation", ["link", "parent"])
async def test_a_run_in_a_worker(server, relation):
    """The metadata of the event carry the span of the client. Each process makes the spans of its own runs only."""
    here, there = Spans(), Spans()
    async with executor_on(server) as worker, executor_on(server, worker.cluster, work=False) as client:
        instrument(worker, relation, tracer_provider=there.provider)
        instrument(client, tracer_provider=here.provider)
        with here.tracer.start_as_current_span("request") as request:
            event = await client.append(Add(a=1))
            await event.wait()
        failed = await client.append(Fail())
        await failed.wait()
        assert failed.execution.error is not None
        assert client.failed_events
    assert here.tree() == ["request UNSET"]
    first, second = there.exporter.get_finished_spans()
    context = request.get_span_context()
    assert [link.context.span_id for link in first.links] == [context.span_id]
    assert (first.context.trace_id == context.trace_id) is (relation == "parent")
    assert (first.parent is not None) is (relation == "parent")
    assert first.attributes["messaging.message.id"] == str(event.id)
    assert first.attributes["lionpride.event.status"] == "completed"
    assert (second.links, second.parent) == ((), None)
    assert second.attributes["lionpride.event.status"] == "failed"
    assert "traceparent" in event.metadata["otel"]


async def test_metrics_of_a_worker(server):
    """A worker counts the runs here, a client the events that it has submitted."""
    async with executor_on(server) as worker, executor_on(server, worker.cluster, work=False) as client:
        of_worker, of_client = PrometheusCollector(worker), PrometheusCollector(client)
        event = await client.append(Add(a=1))
        await event.wait()
        runs, ended = (
            {
                tuple(sample.labels.values()): sample.value
                for family in collector.collect()
                for sample in family.samples
                if sample.name == name
            }
            for collector, name in (
                (of_worker, "lionpride_event_run_seconds_count"),
                (of_client, "lionpride_events_ended_total"),
            )
        )
    assert [labels[-1] for labels, number in runs.items() if number == 1] == ["completed"]
    assert [labels[-1] for labels, number in ended.items() if number == 1] == ["completed"]
