"""
Spans of OpenTelemetry, one for each run of an event.

The observer of entries is called in the context of the task that appends. It keeps that context with the event, and
with a journal or a cluster in the metadata of the event. The observer of a start is called in the task of the run, so
what the run does there, in threads and in nested tasks, has the span of the run as its parent.

The task that runs an event may have the context of another one: workers have that of the task which started the
executor. So each run begins with an empty context, or with that of the caller.

The names of the attributes are those of the semantic conventions for messaging, 1.44.0, written out. The package with
these names is a beta, and pins the version of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import Link, ProxyTracerProvider, Span, SpanKind, Status, StatusCode

from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._events.intake import Intake
from lionpride_exec._events.stored_names import public_home
from lionpride_exec._status import PROCESSING, EventStatus

from ._words import kind_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from opentelemetry.trace import Tracer, TracerProvider

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._tracking.observers import Observers

Relation = Literal["auto", "parent", "link"]

RELATIONS: Final = ("auto", "parent", "link")
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
LIBRARY: Final = "lionpride_exec"

# Where the context of the caller stands in the metadata of an event.
CARRIER: Final = "otel"

_NOWHERE: Final = Context()


class Running(NamedTuple):
    """The span of a run, and how to leave its context. ``token`` is None if no task has entered the context."""

    span: Span
    token: Token[Context] | None


class Tracing:
    """
    Makes the spans of one executor.

    Args:
        executor: The executor.
        relation: As for :func:`instrument`.
        producer_spans: As for :func:`instrument`.
        record_exception: As for :func:`instrument`.
        provider: As for :func:`instrument`.
    """

    def __init__(
        self,
        executor: Executor,
        relation: Relation,
        provider: TracerProvider | None,
        *,
        producer_spans: bool,
        record_exception: bool,
    ) -> None:
        self._name = executor.name
        self._relation = relation
        self._producer_spans = producer_spans
        self._record_exception = record_exception
        self._keeps_carriers = executor.journal is not None or executor.cluster is not None
        self._given = provider
        self._provider: TracerProvider | None = None  # the one that has made the tracer
        self._tracer: Tracer = trace.NoOpTracer()
        self._attributes: dict[str, dict[str, str]] = {}  # by kind
        self._open = 0  # spans of runs
        self._ends: list[Callable[[], None]] = []  # remove the observers
        self._is_over = False

    def begin(self, observers: Observers, runs: Observers) -> None:
        """Make spans from now on."""
        self._ends = [runs.add(self.follow, is_blind=True), observers.add_to_entries(self.enter)]

    def end(self) -> None:
        """Begin no more spans. Those of runs that have begun end with the runs. Idempotent."""
        if not self._is_over:
            self._is_over = True
            self._ends.pop()()
            self._leave()

    def _leave(self) -> None:
        if self._is_over and not self._open and self._ends:
            self._ends.pop()()

    # ---------------------------------------------------------------- observers

    def enter(self, event: Event[Any], *_: object) -> None:
        """Keep the context of the caller with a new event. An observer of entries."""
        if not self._is_active() or CARRIER in event.metadata:
            return  # a context that was given is used as it is
        context = get_current()
        if self._producer_spans:
            kind = kind_of(event)
            span = self._start(
                f"append {kind}", context, SpanKind.PRODUCER, self._attributes_of(kind, "append", "send")
            )
            span.set_attribute("messaging.message.id", str(event.id))
            span.end()
            context = trace.set_span_in_context(span, context)
        if not trace.get_current_span(context).get_span_context().is_valid:
            return
        if event._intake is not None:
            event._intake.origin = context
        if self._keeps_carriers:
            carrier: dict[str, str] = {}
            propagate.inject(carrier, context)
            event.metadata[CARRIER] = carrier

    def follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        """Begin or end a span. An observer of the runs."""
        if status is PROCESSING:
            # An event that came in just now has asked whether there is an SDK, which takes half a microsecond.
            may_begin = self._provider is not None or (event._intake is None and self._is_active())
            if may_begin and not self._is_over:
                self._begin(event, enters=event._current_run.is_active)
        elif previous is PROCESSING:
            self._end(event, status)
        elif self._is_active() and not self._is_over:  # it ends without a run
            self._begin(event, enters=False)
            self._end(event, status)

    # ---------------------------------------------------------------- a span

    def _is_active(self) -> bool:
        """Return whether spans go anywhere: while there is no SDK, none are made. Ask each time, as one may come."""
        if self._provider is None:  # else it stays as it is: the global provider can be set only once
            provider = self._given or trace.get_tracer_provider()
            if isinstance(provider, ProxyTracerProvider):
                return False
            self._tracer = provider.get_tracer(LIBRARY, version("lionpride-exec"), SCHEMA_URL)
            self._provider = provider
        return True

    def _start(
        self, name: str, context: Context, kind: SpanKind, attributes: Mapping[str, str], links: Any = None
    ) -> Span:
        return self._tracer.start_span(name, context, kind, attributes, links)

    def _attributes_of(self, kind: str, name: str, operation: str) -> dict[str, str]:
        return {
            "messaging.system": LIBRARY,
            "messaging.operation.name": name,
            "messaging.operation.type": operation,
            "messaging.destination.name": kind,
            "lionpride.executor": self._name,
        }

    def _begin(self, event: Event[Any], *, enters: bool) -> None:
        kind = kind_of(event)
        attributes = self._attributes.get(kind)
        if attributes is None:
            attributes = self._attributes[kind] = self._attributes_of(kind, "run", "process")
        intake = event._intake
        if intake is None:  # it came back from a journal, or from a server
            intake = Intake()
            event._set("_intake", intake)
        origin = intake.origin
        if origin is None and CARRIER in event.metadata:
            origin = intake.origin = _extracted(event.metadata[CARRIER])
        parent, links = _NOWHERE, None
        if origin is not None:
            links = [Link(trace.get_current_span(origin).get_span_context())]
            if self._relation == "parent" or (self._relation == "auto" and intake.is_awaited):
                parent = origin
        span = self._start(f"run {kind}", parent, SpanKind.CONSUMER, attributes, links)
        if span.is_recording():
            self._describe_start(span, event, intake)
        token = attach(trace.set_span_in_context(span, parent)) if enters else None
        intake.run = Running(span, token)
        self._open += 1

    def _describe_start(self, span: Span, event: Event[Any], intake: Intake) -> None:
        span.set_attribute("messaging.message.id", str(event.id))
        if event.execution.attempt > 1:
            span.set_attribute("lionpride.event.attempt", event.execution.attempt)
        waited = None if event._host is None else intake.waited(event._host.clock())
        if waited is not None:
            span.set_attribute("lionpride.event.wait", waited)

    def _end(self, event: Event[Any], status: EventStatus) -> None:
        intake = event._intake
        run: Running | None = None if intake is None else intake.run
        if intake is None or run is None:
            return  # it began before there was an SDK
        intake.run = None
        self._open -= 1
        if run.span.is_recording():
            self._describe_end(run.span, event, status)
        run.span.end()
        if self._is_over:
            self._leave()
        if run.token is not None:
            # Not detach(): it logs an error if another task has ended the event. The worker of the event is replaced
            # then, since its context is not as it was.
            with suppress(ValueError):
                run.token.var.reset(run.token)

    def _describe_end(self, span: Span, event: Event[Any], status: EventStatus) -> None:
        outcome = outcome_of(event, status)
        span.set_attribute("lionpride.event.status", outcome.status)
        if outcome.error is None or not outcome.error_type:
            return
        span.set_attribute("error.type", outcome.error_type)
        if outcome.is_failure:
            span.set_status(Status(StatusCode.ERROR, outcome.message(event)))
            if self._record_exception:
                trace_text = mask("".join(format_exception(outcome.error)), secrets_of(event))
                span.add_event(
                    "exception",
                    {
                        "exception.type": outcome.error_type,
                        "exception.message": outcome.message(event),
                        "exception.stacktrace": trace_text,
                    },
                )


def _extracted(carrier: object) -> Context | None:
    """Return the context in the metadata of an event. None if there is no valid one."""
    if not isinstance(carrier, Mapping):
        return None
    texts = {str(name): value for name, value in carrier.items() if isinstance(value, str)}
    context = propagate.extract(texts, _NOWHERE)
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def instrument(
    executor: Executor,
    relation: Relation = "auto",
    *,
    producer_spans: bool = False,
    record_exception: bool = False,
    tracer_provider: TracerProvider | None = None,
) -> Callable[[], None]:
    """
    Make a span of OpenTelemetry for each run of an event.

    Example: ``stop = instrument(executor)``.

    What the run does, also in threads and in nested tasks, is below its span. The name is ``run KIND``: the tag or the
    name of the class of the event, or the full name of the function. An event that ends without a run has a span of no
    length. While the program has no SDK of OpenTelemetry, no span is made. With a cluster, the spans are those of the
    events that this process works on.

    Args:
        executor: The executor. It may run already. Runs that have begun have no span.
        relation: How a run is related to the span in which its event was appended. "auto": the run is a child of it if
            its caller waits, in ``invoke()``; otherwise it begins a trace of its own, with a link. "parent": it is
            always a child. "link": it never is. The link is there in each case.
        producer_spans: Whether to make a span ``append KIND`` for each new event too.
        record_exception: Whether spans of failures have the traceback. It may show more than the message of an error,
            of which 200 characters are kept. Secret fields of the event are replaced by stars in both.
        tracer_provider: The provider of the tracer. Default: the global one.

    Returns:
        A function that ends this. Another call of it does nothing. Spans of runs that have begun end with the runs.

    Raises:
        ValueError: ``relation`` has another value. Nothing has changed.
        RuntimeError: The executor is instrumented already. Nothing has changed.
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation must be one of {', '.join(RELATIONS)}, got {relation!r}")
    parts = executor._parts
    if any(isinstance(getattr(each, "__self__", None), Tracing) for each in parts.observers.entries):
        raise RuntimeError(f"{executor!r} is instrumented already: call what instrument() has returned first")
    tracing = Tracing(
        executor, relation, tracer_provider, producer_spans=producer_spans, record_exception=record_exception
    )
    runs = parts.observers if parts.cluster is None else parts.cluster.work.observers
    tracing.begin(parts.observers, runs)
    return tracing.end


instrument.__module__ = public_home(instrument.__module__)
