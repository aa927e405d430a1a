"""
Spans of OpenTelemetry, one for each run of an event.

The observer of entries is called in the context of the task that appends. It keeps that context with the event, and
with a journal or a cluster in the metadata of the event. The observer of a start is called in the task of the run, so
what the run does there, in threads and in nested tasks, has the span of the run as its parent.

The task that runs an event may have the context of another one: workers have that of the task which started the
executor. So each run begins with an empty context, or with that of the caller.

An event that leaves its executor while it runs has no observer any more. A callback at its end ends its span then.

The names of the attributes are those of the semantic conventions for messaging, 1.44.0, written out. The package with
these names is a beta, and pins the version of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import Link, ProxyTracer, Span, SpanKind, Status, StatusCode

from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._events.log_fields import kind_of
from lionpride_exec._events.observed import has_task, intake_of, known_intake, waited
from lionpride_exec._events.outcome_words import outcome_of
from lionpride_exec._status import COMPLETED, PROCESSING, EventStatus

from ._words import LIBRARY, SCHEMA_URL, VERSION, ByKind, encodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer, TracerProvider

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.intake import Intake
    from lionpride_exec._executor.telemetry_access import TelemetryAccess

Relation = Literal["auto", "parent", "link"]

# Where the context of the caller stands in the metadata of an event.
CARRIER: Final = "otel"

_NOWHERE: Final = Context()


class Tracing:
    """
    Makes the spans of one executor.

    Args:
        access: The executor.
        relation: As for ``instrument()``.
        provider: As for ``instrument()``.
        producer_spans: As for ``instrument()``.
        record_exception: As for ``instrument()``.

    Attributes:
        is_over: Whether no more spans are begun.
        ends_too: Called once at the end, too.
    """

    def __init__(
        self,
        access: TelemetryAccess,
        relation: Relation,
        provider: TracerProvider | None,
        *,
        producer_spans: bool,
        record_exception: bool,
    ) -> None:
        self.is_over: bool = False
        self.ends_too: list[Callable[[], None]] = []
        self._access = access
        self._relation = relation
        self._producer_spans = producer_spans
        self._record_exception = record_exception
        self._provider: TracerProvider = provider or trace.get_tracer_provider()
        self._tracer: Tracer | None = None  # None while there is no SDK
        self._names: ByKind[tuple[str, dict[str, Any]]] = ByKind(self._name_of)
        self._records = False  # whether the last span was recorded
        self._open = 0  # spans of runs
        self._ends: list[Callable[[], None]] = []  # remove the observers
        self._at_removal = self._end_removed

    def begin(self) -> None:
        """Make spans from now on."""
        self._ends = [self._access.observe_runs(self.follow), self._access.observe_entries(self.enter)]

    def end(self) -> None:
        """Begin no more spans. Those of runs that have begun end with the runs. Idempotent."""
        if not self.is_over:
            self.is_over = True
            self._ends.pop()()
            self._leave()
            while self.ends_too:
                self.ends_too.pop()()

    def _leave(self) -> None:
        if self.is_over and not self._open and self._ends:
            self._ends.pop()()

    # ---------------------------------------------------------------- observers

    def enter(self, event: Event[Any], *_: object) -> None:
        """Keep the context of the caller with a new event. An observer of entries."""
        context = get_current()
        if not (context or self._producer_spans) or not self._is_active() or CARRIER in event.metadata:
            return  # a context that was given is used as it is
        if self._producer_spans:
            context = self._produce(event, context)
        if not trace.get_current_span(context).get_span_context().is_valid:
            return
        intake_of(event).origin = context
        if self._access.keeps_metadata:
            carrier: dict[str, str] = {}
            propagate.inject(carrier, context)
            event.metadata[CARRIER] = carrier

    def follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        """Begin or end a span. An observer of the runs."""
        if status is PROCESSING:
            if (self._tracer is not None or self._is_active()) and not self.is_over:
                self._begin(event, enters=has_task(event))
        elif previous is PROCESSING:
            intake = known_intake(event)
            if intake is not None and intake.run is not None:  # else it began before there was an SDK
                self._end(intake, event, status)
        elif not self.is_over and self._is_active():  # it ends without a run
            self._end(self._begin(event, enters=False), event, status)

    def _end_removed(self, event: Event[Any]) -> None:
        """End the span of an event that has left the executor during its run. Called at the end of the run."""
        intake = known_intake(event)
        if intake is not None and intake.run is not None:
            self._end(intake, event, event.execution.status)

    # ---------------------------------------------------------------- a span

    def _is_active(self) -> bool:
        """Return whether spans go anywhere: while there is no SDK, none are made. Ask each time, as one may come."""
        if self._tracer is None:
            # While there is no SDK, the global provider makes a proxy. This takes half the time of asking for the
            # provider, which looks into the environment.
            tracer = self._provider.get_tracer(LIBRARY, VERSION, SCHEMA_URL)
            if isinstance(tracer, ProxyTracer):
                return False
            self._tracer = tracer
        return True

    def _name_of(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Return the name of the spans of a kind, and their attributes."""
        return f"run {kind}", self._attributes_of(kind, "run", "process")

    def _attributes_of(self, kind: str, name: str, operation: str) -> dict[str, Any]:
        return {
            "messaging.system": LIBRARY,
            "messaging.operation.name": name,
            "messaging.operation.type": operation,
            "messaging.destination.name": kind,
            "lionpride.executor": encodable(self._access.name),
        }

    def _produce(self, event: Event[Any], context: Context) -> Context:
        """Make a span for a new event. Return its context."""
        assert self._tracer is not None
        kind = encodable(kind_of(event))
        attributes = self._attributes_of(kind, "append", "send") | {"messaging.message.id": str(event.id)}
        span = self._tracer.start_span(f"append {kind}", context, SpanKind.PRODUCER, attributes)
        span.end()
        return trace.set_span_in_context(span, context)

    def _begin(self, event: Event[Any], *, enters: bool) -> Intake:
        """Begin a span, in whose context this task is from now on if it ``enters``. Return where the span is kept."""
        assert self._tracer is not None
        name, attributes = self._names.of(event)
        intake = intake_of(event)
        origin = intake.origin
        if origin is None and CARRIER in event.metadata:
            origin = intake.origin = _extracted(event.metadata[CARRIER])
        parent, links = _NOWHERE, None
        if origin is not None:
            links = [Link(trace.get_current_span(origin).get_span_context())]
            if self._relation == "parent" or (self._relation == "auto" and intake.is_awaited):
                parent = origin
        if self._records:  # most likely this one is recorded too: all attributes at once take half the time
            span = self._tracer.start_span(name, parent, SpanKind.CONSUMER, attributes | _own_of(event), links)
            self._records = span.is_recording()
        else:
            span = self._tracer.start_span(name, parent, SpanKind.CONSUMER, attributes, links)
            if span.is_recording():
                self._records = True
                span.set_attributes(_own_of(event))
        token = attach(trace.set_span_in_context(span, parent)) if enters else None
        intake.run = span, token
        intake.at_removal = self._at_removal
        self._open += 1
        return intake

    def _end(self, intake: Intake, event: Event[Any], status: EventStatus) -> None:
        span, token = intake.run
        intake.run = intake.at_removal = None
        self._open -= 1
        try:
            if span.is_recording():
                if status is COMPLETED:
                    span.set_attribute("lionpride.event.status", COMPLETED.value)
                else:
                    self._describe_end(span, event, status)
            span.end()
        finally:  # also if a processor of spans raises
            if self.is_over:
                self._leave()
            if token is not None:
                # Not detach(): it logs an error if another task has ended the event. The worker of the event is
                # replaced then, since its context is not as it was.
                with suppress(ValueError):
                    token.var.reset(token)

    def _describe_end(self, span: Span, event: Event[Any], status: EventStatus) -> None:
        outcome = outcome_of(event, status)
        span.set_attribute("lionpride.event.status", outcome.status)
        if outcome.error is None or not outcome.error_type:
            return
        span.set_attribute("error.type", outcome.error_type)
        if outcome.is_failure:
            message = encodable(outcome.message(event))
            span.set_status(Status(StatusCode.ERROR, message))
            if self._record_exception:
                trace_text = mask("".join(format_exception(outcome.error)), secrets_of(event))
                span.add_event(
                    "exception",
                    {
                        "exception.type": outcome.error_type,
                        "exception.message": message,
                        "exception.stacktrace": encodable(trace_text),
                    },
                )


def _own_of(event: Event[Any]) -> dict[str, Any]:
    """Return the attributes of a run that no other run has."""
    attributes: dict[str, Any] = {"messaging.message.id": str(event.id)}
    if event.execution.attempt > 1:
        attributes["lionpride.event.attempt"] = event.execution.attempt
    seconds = waited(event)
    if seconds is not None:
        attributes["lionpride.event.wait"] = seconds
    return attributes


def _extracted(carrier: object) -> Context | None:
    """Return the context in the metadata of an event. None if there is no valid one."""
    if not isinstance(carrier, Mapping):
        return None
    texts = {str(name): value for name, value in carrier.items() if isinstance(value, str)}
    context = propagate.extract(texts, _NOWHERE)
    return context if trace.get_current_span(context).get_span_context().is_valid else None
