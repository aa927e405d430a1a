"""Spans of OpenTelemetry: the same trees on all event loops."""

import logging
import subprocess
import sys

import anyio
import pytest
from anyio.lowlevel import checkpoint
from journal_support import Step, open_executor
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from spans import Spans
from support import Job, make_executor, with_processor

from lionpride_exec import Call, Deny, Event, EventStatus, Executor, Processor, RateLimited, Retry, Skip
from lionpride_exec.telemetry import instrument

pytestmark = pytest.mark.anyio


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture(autouse=True)
def no_complaint(caplog):
    """OpenTelemetry logs what goes wrong in its own parts, for instance a context that is left in another task."""
    yield
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def traced(spans, executor=None, *args, **options):
    executor = executor or make_executor()
    instrument(executor, *args, tracer_provider=spans.provider, **options)
    return executor


# -------------------------------------------------------------------- how a run ends


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, ["run Job completed UNSET"]),
        ({"error": LookupError("no")}, ["run Job failed LookupError ERROR"]),
        ({"error": Skip("no")}, ["run Job skipped UNSET"]),
        ({"seconds": 9, "timeout": 1}, ["run Job cancelled lionpride_exec.errors.LionTimeoutError ERROR"]),
        (
            {"error": OSError("no"), "retry": Retry(2, backoff=1, jitter=0)},
            ["run Job retried OSError ERROR", "run Job failed 2 OSError ERROR"],
        ),
        (
            {"error": RateLimited(1.0), "retry": Retry(3, deadline=1.5)},
            [
                "run Job retried lionpride_exec.errors.RateLimited UNSET",
                "run Job failed lionpride_exec.errors.RateLimited ERROR",
            ],
        ),
    ],
    ids=["done", "fail", "skip", "timeout", "retry", "refused"],
)
async def test_a_span_for_each_run(spans, event, expected):
    """With its status, its error, and from the second on its number."""
    executor = traced(spans)
    async with executor:
        taken = await executor.append(Job(**event))
        await executor.join()
    assert spans.tree() == expected
    assert spans.exporter.get_finished_spans()[-1].attributes["lionpride.event.status"] == taken.status
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_what_a_span_says(spans):
    """The names of the semantic conventions for messaging, and ours."""
    executor = traced(spans)
    async with executor:
        executor.pause()
        event = await executor.append(Job(error=LookupError("no such\nfile")))
        await anyio.sleep(5)
        executor.resume()
        await executor.join()
    span = spans.named("run Job")
    assert dict(span.attributes) == {
        "messaging.system": "lionpride_exec",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": "Job",
        "messaging.message.id": str(event.id),
        "lionpride.executor": "Job",
        "lionpride.event.wait": 5.0,
        "lionpride.event.status": "failed",
        "error.type": "LookupError",
    }
    assert span.kind is trace.SpanKind.CONSUMER
    assert span.status.description == "no such"
    assert span.instrumentation_scope.name == "lionpride_exec"
    assert span.instrumentation_scope.schema_url.endswith("/1.44.0")
    assert not span.events


class Refusing(Processor):
    event_type = Job

    async def request_permission(self, **kwargs):
        return Deny("closed")


async def test_an_event_that_never_ran_has_a_span(spans):
    """Refused by its gate, or cancelled or skipped while it waited."""
    executor = traced(spans, with_processor(Refusing))
    async with executor:
        await executor.append(Job())
        await executor.join()
        executor.pause()
        first, second = await executor.extend([Job(), Job()])
        executor.cancel(first)
        executor.skip(second)
        executor.resume()
    aborted, cancelled, skipped = spans.tree()
    assert aborted.startswith("run Job aborted ")
    assert aborted.endswith(" ERROR")
    assert cancelled == "run Job cancelled lionpride_exec.errors.EventCancelled ERROR"
    assert skipped == "run Job skipped UNSET"


async def test_a_running_event_that_is_cancelled(spans):
    """By the executor, not by its own timeout."""
    async with traced(spans) as executor:
        event = await executor.append(Job(seconds=9))
        await anyio.sleep(1)
        executor.cancel(event)
    assert spans.tree() == ["run Job cancelled lionpride_exec.errors.EventCancelled ERROR"]


async def test_an_event_that_another_task_decides(spans):
    """Its span ends at once, and the next event of the executor has no parent."""
    async with traced(spans, make_executor(concurrency_limit=1)) as executor:
        gate = anyio.Event()
        event = await executor.append(Job(gate=gate))
        await anyio.sleep(1)
        event.status = "completed"
        gate.set()
        await executor.append(Job())
    assert spans.tree() == ["run Job completed UNSET"] * 2


class Decides(Event):
    """Is decided by a task of its own, which has its context."""

    async def _invoke(self):
        async def decide():
            self.status = "completed"

        async with anyio.create_task_group() as group:
            group.start_soon(decide)


async def test_an_event_that_a_task_of_its_own_decides(spans):
    """That task has a copy of the context, and cannot leave it for the event."""
    async with traced(spans, Executor.of(Decides)) as executor:
        await executor.append(Decides())
        await executor.join()
        await executor.append(Decides())
    assert spans.tree() == ["run Decides completed UNSET"] * 2


@pytest.mark.parametrize("error", [None, LookupError("no")], ids=["done", "fail"])
async def test_an_event_that_is_removed_while_it_runs(spans, error):
    """Its span ends with its run, though no observer is told of that. The next run of its worker has no parent."""
    async with traced(spans, make_executor(concurrency_limit=1)) as executor:
        event = await executor.append(Job(seconds=2, error=error))
        await anyio.sleep(1)
        assert await executor.cleanup_events(["processing"]) == 1
        assert spans.tree() == []
        await executor.append(Job())
        await executor.join()
    ended = "run Job completed UNSET" if error is None else "run Job failed LookupError ERROR"
    assert event.execution.status in {"completed", "failed"}
    assert spans.tree() == [ended, "run Job completed UNSET"]


# -------------------------------------------------------------------- what is below a run


class Nested(Event):
    spans: object = None
    in_thread: bool = False

    def work(self, name):
        with self.spans.tracer.start_as_current_span(name):
            pass

    async def child(self):
        await checkpoint()
        self.work("child task")

    async def _invoke(self):
        self.work("inside")
        if self.in_thread:
            await anyio.to_thread.run_sync(self.work, "thread")
        async with anyio.create_task_group() as group:
            group.start_soon(self.child)


class Streams(Nested):
    async def _invoke(self):
        self.work("first chunk")
        yield 1
        await checkpoint()
        self.work("second chunk")
        yield 2


async def test_what_a_run_does_is_below_its_span(spans):
    """In nested tasks and streams, whatever span was current where the executor was started."""
    with spans.tracer.start_as_current_span("startup"):
        async with traced(spans, Executor.of(Nested)) as executor:
            with trace.use_span(trace.INVALID_SPAN):
                await executor.append(Nested(spans=spans))
                await executor.append(Streams(spans=spans))
    assert sorted(spans.tree()) == [
        "child task < run Nested UNSET",
        "first chunk < run Streams UNSET",
        "inside < run Nested UNSET",
        "run Nested completed UNSET",
        "run Streams completed UNSET",
        "second chunk < run Streams UNSET",
        "startup UNSET",
    ]


async def test_a_thread_of_a_run_is_below_its_span(spans):
    """As anyio carries the context into threads."""
    async with traced(spans, Executor.of(Nested)) as executor:
        await executor.append(Nested(spans=spans, in_thread=True))
    assert "thread < run Nested UNSET" in spans.tree()


async def test_a_plain_function_is_below_its_span(spans):
    """The kind of a call is the full name of its function."""

    def work(name):
        with spans.tracer.start_as_current_span(name):
            pass

    async with traced(spans, Executor.of(work)) as executor:
        await executor.invoke(Call.of(work, "inside"))
    run, inside = spans.exporter.get_finished_spans()[::-1]
    assert run.name.startswith("run ")
    assert run.name.endswith("test_tracing.test_a_plain_function_is_below_its_span.<locals>.work")
    assert inside.parent.span_id == run.context.span_id


# -------------------------------------------------------------------- where it was appended


@pytest.mark.parametrize(
    ("relation", "of_invoke", "of_append"),
    [
        ("auto", "run Job < request ~ request", "run Job ~ request"),
        ("parent", "run Job < request ~ request", "run Job < request ~ request"),
        ("link", "run Job ~ request", "run Job ~ request"),
    ],
)
async def test_how_a_run_is_related_to_its_caller(spans, relation, of_invoke, of_append):
    """A child where the caller waits, else a trace of its own with a link."""
    async with traced(spans, None, relation) as executor:
        with spans.tracer.start_as_current_span("request"):
            await executor.invoke(Job())
        assert spans.tree() == ["request UNSET", f"{of_invoke} completed UNSET"]
        spans.exporter.clear()
        with spans.tracer.start_as_current_span("request"):
            await executor.append(Job())
            await executor.join()
        assert spans.tree() == ["request UNSET", f"{of_append} completed UNSET"]


async def test_the_runs_of_a_map(spans):
    """They are linked with the span around the loop."""
    async with traced(spans) as executor:
        with spans.tracer.start_as_current_span("request"):
            async for _ in executor.map(Job, [{}, {}]):
                pass
    assert spans.tree() == ["request UNSET", *["run Job ~ request completed UNSET"] * 2]


async def test_an_event_invoked_by_another(spans):
    """Its caller is the run of the other one."""

    class Outer(Event):
        async def _invoke(self):
            await executor.invoke(Inner())

    class Inner(Event):
        async def _invoke(self):
            return None

    executor = traced(spans, Executor.of(Event))
    async with executor:
        await executor.append(Outer())
    prefix = "test_an_event_invoked_by_another.<locals>."
    assert [line.replace(prefix, "") for line in spans.tree()] == [
        "run Outer completed UNSET",
        "run Inner < run Outer ~ run Outer completed UNSET",
    ]


async def test_spans_of_producers(spans):
    """On demand, between the caller and the run."""
    async with traced(spans, producer_spans=True) as executor:
        with spans.tracer.start_as_current_span("request"):
            await executor.append(Job())
            await executor.join()
    assert spans.tree() == ["request UNSET", "append Job < request UNSET", "run Job ~ append Job completed UNSET"]
    assert spans.named("append Job").kind is trace.SpanKind.PRODUCER


async def test_a_journal_keeps_where_an_event_was_appended(spans, tmp_path):
    """After a restart its run is linked with the span of the first process."""
    executor = traced(spans, open_executor(tmp_path / "run.db"))
    async with executor:
        executor.pause()
        with spans.tracer.start_as_current_span("request"):
            await executor.append(Step())
        await executor.append(Step())
        await executor.stop()
    async with traced(spans, open_executor(tmp_path / "run.db")) as again:
        await again.join()
    assert spans.tree() == [
        "request UNSET",
        "run tests.step ~ request completed UNSET",
        "run tests.step completed UNSET",
    ]


async def test_an_interrupted_run_is_no_error(spans, tmp_path):
    """The same on all event loops, though their cancellations have other names."""
    executor = traced(spans, open_executor(tmp_path / "run.db"))
    async with executor:
        await executor.append(Step(seconds=9))
        await anyio.sleep(1)
        await executor.stop(grace=0)
    assert spans.tree() == ["run tests.step retried interrupted UNSET"]


async def test_a_context_from_elsewhere_is_used_as_it_is(spans):
    """For instance that of a message of a queue, from its headers."""
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with traced(spans, None, "parent") as executor:
        with spans.tracer.start_as_current_span("request"):
            await executor.append(Job(metadata={"otel": carrier}))
            await executor.append(Job(metadata={"otel": "no carrier"}))
    parents = [span.parent and f"{span.parent.trace_id:x}" for span in spans.exporter.get_finished_spans()[:2]]
    assert "af7651916cd43dd8448eb211c80319c" in parents
    assert None in parents


# -------------------------------------------------------------------- beginning and ending


async def test_no_span_after_the_end(spans):
    """Runs that have begun have theirs."""
    executor = make_executor()
    stop = instrument(executor, tracer_provider=spans.provider)
    async with executor:
        await executor.append(Job(name="first", seconds=2))
        await anyio.sleep(1)
        stop()
        stop()
        await executor.append(Job(name="second"))
        await executor.join()
        instrument(executor, tracer_provider=spans.provider)()
    assert spans.tree() == ["run Job completed UNSET"]


async def test_instrumented_twice(spans):
    """It is refused, since each run would have two spans."""
    executor = traced(spans)
    with pytest.raises(RuntimeError, match="is instrumented already"):
        instrument(executor)
    with pytest.raises(ValueError, match="relation must be one of auto, parent, link, got 'child'"):
        instrument(make_executor(), "child")


async def test_without_an_sdk_nothing_is_kept():
    """No span, and nothing in the metadata."""
    executor = make_executor()
    instrument(executor)
    async with executor:
        event = await executor.append(Job())
    assert event.status is EventStatus.COMPLETED
    assert event.metadata == {}


async def test_an_error_with_its_traceback(spans):
    """On demand, since it may show more than the message."""
    async with traced(spans, record_exception=True) as executor:
        await executor.append(Job(error=LookupError("x" * 500)))
    (event,) = spans.named("run Job").events
    assert event.attributes["exception.message"] == "x" * 200
    assert "in _invoke" in event.attributes["exception.stacktrace"]


async def test_failures_are_still_told_of(spans, caplog):
    """A trace is nobody who has looked at them."""
    async with traced(spans) as executor:
        await executor.append(Job(error=LookupError("broken")))
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "1 failed" in record.getMessage()


def test_the_package_imports_nothing_of_it():
    """Neither `import lionpride_exec` nor `import lionpride_exec.telemetry`."""
    code = (
        "import sys, lionpride_exec; from lionpride_exec import telemetry; "
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stdout == "[]\n"


def test_an_import_of_the_package_loads_no_telemetry():
    """Nor what only telemetry needs of an executor."""
    code = (
        "import sys, lionpride_exec\n"
        "print([name for name in sys.modules if name.endswith(('.telemetry', 'telemetry_access', '.survey'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stdout == "[]\n"


# -------------------------------------------------------------------- parts of the SDK that raise, texts of users


async def test_a_processor_of_spans_that_raises(spans, caplog):
    """The context of the run ends all the same, and so do the observers if the tracing ended meanwhile."""

    class Raising(SpanProcessor):
        def on_end(self, span):
            raise RuntimeError("of the processor")

    spans.provider.add_span_processor(Raising())
    executor, gate, left = make_executor(), anyio.Event(), []
    executor.observe(lambda event, previous, status: left.append(trace.get_current_span().get_span_context().is_valid))
    end = instrument(executor, tracer_provider=spans.provider)
    executor.observe(lambda event, previous, status: left.append(trace.get_current_span().get_span_context().is_valid))
    async with executor:
        event = await executor.append(Job(gate=gate))
        await anyio.sleep(1)
        end()
        gate.set()
        await event.wait()
        await executor.append(Job())
        await executor.join()
    assert left == [False, True, True, False, False, False, False, False]
    assert [record.getMessage() for record in caplog.records if "an observer" in record.getMessage()]
    assert spans.tree() == ["run Job completed UNSET"]


async def test_a_provider_of_meters_that_raises(spans):
    """Nothing has changed then: the executor can be instrumented, and each run has one span."""

    class Broken:
        def get_meter(self, *args):
            raise RuntimeError("no meter")

    executor = make_executor()
    with pytest.raises(RuntimeError, match="no meter"):
        instrument(executor, tracer_provider=spans.provider, metrics=True, meter_provider=Broken())
    instrument(executor, tracer_provider=spans.provider)
    async with executor:
        await executor.append(Job())
        await executor.join()
    assert spans.tree() == ["run Job completed UNSET"]


async def test_texts_that_no_encoding_has(spans):
    """Exporters write UTF-8: half of a surrogate pair in a name or a message would cost a whole batch of spans."""

    async def fail():
        raise ValueError("half \ud800")

    fail.__qualname__ = "half \udc80"
    executor = Executor.of(Call, name="half \udfff")
    traced(spans, executor, producer_spans=True, record_exception=True)
    async with executor:
        await executor.append(Call(function=fail))
        await executor.join()
    found = spans.exporter.get_finished_spans()
    assert len(found) == 2
    for span in found:
        assert span.to_json(indent=None).isascii()
        texts = [span.name, span.status.description or "", *map(str, span.attributes.values())]
        texts += [str(value) for event in span.events for value in event.attributes.values()]
        assert "".join(texts).encode()
        assert "\\ud" in "".join(texts)
