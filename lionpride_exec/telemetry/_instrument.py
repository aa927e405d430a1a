"""How an executor is instrumented with OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args
from weakref import WeakKeyDictionary, ref

from lionpride_exec._events.stored_names import public_home
from lionpride_exec._executor.telemetry_access import TelemetryAccess

from ._otel import Relation, Tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from lionpride_exec._executor.executor import Executor

RELATIONS: Final = get_args(Relation)

# What makes the spans of each executor. The executor keeps it alive.
_known: WeakKeyDictionary[Executor, ref[Tracing]] = WeakKeyDictionary()


def instrument(
    executor: Executor,
    relation: Relation = "auto",
    *,
    producer_spans: bool = False,
    record_exception: bool = False,
    metrics: bool = False,
    semconv: bool = False,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """
    Make a span of OpenTelemetry for each run of an event, and on demand metrics.

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
        metrics: Whether to make metrics too, by instruments of OpenTelemetry. An SDK takes some 10 microseconds for the
            two durations of an event. ``PrometheusCollector`` takes 2.
        semconv: Whether to make the metrics of the semantic conventions for messaging too, with ``metrics=True``. They
            are not stable yet.
        tracer_provider: The provider of the tracer. Default: the global one.
        meter_provider: The provider of the meter. Default: the global one.

    Returns:
        A function that ends this. Another call of it does nothing. Spans of runs that have begun end with the runs.

    Raises:
        ValueError: ``relation`` has another value, or ``semconv`` is given without ``metrics``. Nothing has changed.
        RuntimeError: The executor is instrumented already. Nothing has changed.
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation must be one of {', '.join(RELATIONS)}, got {relation!r}")
    if semconv and not metrics:
        raise ValueError("semconv=True needs metrics=True")
    if is_instrumented(executor):
        raise RuntimeError(f"{executor!r} is instrumented already: call what instrument() has returned first")
    access = TelemetryAccess(executor)
    tracing = Tracing(
        access, relation, tracer_provider, producer_spans=producer_spans, record_exception=record_exception
    )
    tracing.begin()
    if metrics:
        from ._instruments import measure  # noqa: PLC0415  for those who ask only

        try:
            tracing.ends_too.append(measure(access, meter_provider, semconv=semconv))
        except BaseException:  # of the provider: without spans too, since the caller gets nothing to end them by
            tracing.end()
            raise
    _known[executor] = ref(tracing)
    return tracing.end


def is_instrumented(executor: Executor) -> bool:
    """Return whether spans of an executor are made."""
    known = _known.get(executor)
    tracing = None if known is None else known()
    return tracing is not None and not tracing.is_over


def uninstrument(executor: Executor) -> None:
    """Begin no more spans of an executor, and make no more metrics. Idempotent."""
    known = _known.pop(executor, None)
    tracing = None if known is None else known()
    if tracing is not None:
        tracing.end()


instrument.__module__ = public_home(instrument.__module__)
