"""`opentelemetry-instrument`: every executor of a program is instrumented, without a change of the program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from spans import Spans
from support import Job, make_executor

from lionpride_exec import Executor
from lionpride_exec.telemetry import LionprideInstrumentor, instrument

pytestmark = pytest.mark.anyio


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture
def instrumentor(spans):
    instrumentor = LionprideInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


class OwnExecutor(Executor):
    """Has a constructor of its own."""

    processor_type = type(make_executor()).processor_type

    def __init__(self, **config):
        super().__init__(config)


async def test_each_executor_that_is_made(instrumentor, spans):
    """Also one of a subclass, and not those that were made before or that the program has instrumented."""
    for executor in (make_executor(), OwnExecutor(queue_capacity=1, capacity_refresh_time=1)):
        async with executor:
            await executor.append(Job())
    assert spans.tree() == ["run Job completed UNSET"] * 2


async def test_a_program_that_instruments_an_executor_itself(instrumentor):
    """It is refused, as the executor is instrumented."""
    with pytest.raises(RuntimeError, match="is instrumented already"):
        instrument(make_executor())


async def test_the_end(instrumentor, spans):
    """No span more, also of the executors that there are. Executors can be made as before."""
    executor = make_executor()
    instrumentor.uninstrument()
    assert Executor.__init__.__qualname__ == "Executor.__init__"
    assert not hasattr(Executor.__init__, "__wrapped__")
    for each in (executor, make_executor()):
        async with each:
            await each.append(Job())
    assert spans.tree() == []


TARGET = """
from opentelemetry import trace


async def fetch(record):
    with trace.get_tracer("tests").start_as_current_span("inside"):
        if record == "bad":
            raise LookupError("no such page")
    return record
"""


def exported(text):
    """Return the spans that the console exporter has written, one JSON object after the other."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        span, end = decoder.raw_decode(text)
        found.append(span)
        text = text[end:].strip()
    return found


def test_the_command(tmp_path):
    """A real process: the entry point is found, and each line of a run has a span."""
    (tmp_path / "pages.py").write_text(TARGET)
    (tmp_path / "in.jsonl").write_text('"good"\n"bad"\n')
    programs = Path(sys.executable).parent
    done = subprocess.run(  # noqa: S603  ours
        [
            programs / "opentelemetry-instrument",
            "--traces_exporter=console",
            "--metrics_exporter=none",
            "--logs_exporter=none",
            programs / "lionpride-exec",
            *("run", "pages.py:fetch", "in.jsonl", "--output", "out.jsonl", "--quiet"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    spans = exported(done.stdout)
    runs = {span["context"]["span_id"]: span for span in spans if span["name"] == "run fetch"}
    statuses = sorted(span["attributes"]["lionpride.event.status"] for span in runs.values())
    assert statuses == ["completed", "failed"], done.stderr
    assert [span["attributes"].get("error.type") for span in runs.values()].count("LookupError") == 1
    inside = [span["parent_id"].removeprefix("0x") for span in spans if span["name"] == "inside"]
    assert sorted(inside) == sorted(span_id.removeprefix("0x") for span_id in runs)
