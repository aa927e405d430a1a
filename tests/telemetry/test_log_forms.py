"""Formatters of other libraries can have all of a line."""

import io
import json
import logging

import attrs
import pytest
import structlog
from support import Job, make_executor

from lionpride_exec import Event, Executor
from lionpride_exec.telemetry import log_transitions

pytestmark = pytest.mark.anyio


class JsonFormatter(logging.Formatter):
    """As programs write theirs: all that a record has beside the attributes of each record."""

    usual = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def format(self, record):
        fields = {"event": record.getMessage(), "level": record.levelname.lower()}
        return json.dumps(fields | {name: value for name, value in vars(record).items() if name not in self.usual})


def structlog_formatter():
    """Return the formatter of structlog for records of the standard library."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


@pytest.fixture(params=[JsonFormatter, structlog_formatter], ids=["json", "structlog"])
def log(request, monkeypatch):
    """Return a function that reads the lines so far. An error of a formatter is raised."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(request.param())

    def raise_error(record):
        raise  # noqa: PLE0704  called inside the handling of the error

    handler.handleError = raise_error
    logger = logging.getLogger("lionpride_exec")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.setLevel(level)
    logger.removeHandler(handler)


class Login(Event):
    user: str = ""
    password: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        raise LookupError(f"nobody called {self.user} with {self.password}")


async def test_all_of_a_line(log):
    """Its fields keep the names of the attributes of spans."""
    executor = make_executor()
    log_transitions(executor, started=logging.INFO)
    async with executor:
        event = await executor.append(Job(seconds=2, error=LookupError("no")), key=("mine", 1))
        await executor.join()
    started, begun, failed, stopped = log()
    assert started["lionpride.executor"] == "Job"
    assert stopped["lionpride.failed"] == 1
    assert begun["lionpride.event.id"] == failed["lionpride.event.id"] == str(event.id)
    assert failed["lionpride.event.duration"] == 2.0
    assert (failed["event"], failed["level"]) == (f"Job {event.id} failed", "warning")
    assert failed["error.type"] == "LookupError"
    assert failed["lionpride.event.key"] == "('mine', 1)"


async def test_no_line_has_a_payload(log):
    """Neither those of transitions nor those of the package itself, of which each has a chance to."""

    def observer(event, previous, status):
        raise OSError("of the observer")

    executor = Executor.of(Login, name="logins")
    log_transitions(executor, started=logging.INFO)
    async with executor:
        executor.pause()
        await executor.append(Login(user="Wilhelmina", password="hunter2000"))  # noqa: S106  a secret of a test
        executor.resume()
    end = executor.observe(observer)
    end()
    found = log()
    assert len(found) >= 6
    for line in found:
        text = json.dumps(line)
        assert "Wilhelmina" not in text
        assert "hunter2000" not in text
