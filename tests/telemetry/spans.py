"""Spans of one test, and what they look like without ids and times."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """A provider, and the spans that it has made."""

    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def named(self, name):
        """Return the one span with a name."""
        (span,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    def tree(self):
        """Return each span as text: name, parent, links, status, error; without ids and times, in their order."""
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        lines = []
        for span in sorted(spans, key=lambda span: span.start_time):
            line = span.name
            if span.parent is not None:
                line += f" < {names.get(span.parent.span_id, 'remote')}"
            for link in span.links:
                line += f" ~ {names.get(link.context.span_id, 'remote')}"
            for name in ("lionpride.event.status", "lionpride.event.attempt", "error.type"):
                if name in span.attributes:
                    line += f" {span.attributes[name]}"
            lines.append(line + f" {span.status.status_code.name}")
        return lines
