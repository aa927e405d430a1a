"""Lines of the log: one for each transition that a program wants to see."""

import json
import logging

import anyio
import attrs
import pytest
from support import Job, make_executor, with_processor

from lionpride_exec import Deny, Event, Executor, Processor, Retry, Skip
from lionpride_exec.telemetry import log_transitions

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def everything(caplog):
    caplog.set_level(logging.DEBUG, logger="lionpride_exec")


def of_events(caplog):
    """Return the lines about events, without those about the executor."""
    return [record for record in caplog.records if hasattr(record, "lionpride.event.id")]


def lines(caplog):
    """Return the level and the last word of each line about an event."""
    return [(record.levelname, record.getMessage().rpartition(" ")[2]) for record in of_events(caplog)]


class Refusing(Processor):
    event_type = Job

    async def request_permission(self, **kwargs):
        return Deny("closed")


async def test_a_line_for_each_end(caplog):
    """With a level for each status."""
    executor = make_executor(retry=Retry(2, backoff=1, jitter=0))
    log_transitions(executor)
    async with executor:
        for event in (Job(), Job(error=Skip("no")), Job(seconds=5, timeout=1), Job(error=OSError("no"))):
            await executor.append(event)
            await executor.join()
    assert lines(caplog) == [
        ("DEBUG", "completed"),
        ("DEBUG", "skipped"),
        ("INFO", "retried"),
        ("INFO", "cancelled"),
        ("INFO", "retried"),
        ("WARNING", "failed"),
    ]


async def test_an_event_that_its_gate_refuses(caplog):
    """It has never run."""
    executor = with_processor(Refusing)
    log_transitions(executor)
    async with executor:
        await executor.append(Job())
    assert lines(caplog) == [("WARNING", "aborted")]


async def test_what_a_line_has(caplog):
    """The names are those of traces, and JSON can have all of it."""
    executor = make_executor()
    log_transitions(executor, started=logging.INFO)
    async with executor:
        executor.pause()
        event = await executor.append(Job(seconds=2, error=LookupError("no such thing")), key="mine")
        await anyio.sleep(3)
        executor.resume()
    started, failed = [
        {name: value for name, value in vars(record).items() if "." in name} for record in of_events(caplog)
    ]
    shared = {"lionpride.executor": "Job", "lionpride.event.id": str(event.id), "lionpride.event.kind": "Job"}
    shared |= {"lionpride.event.attempt": 1, "lionpride.event.key": "mine"}
    assert started == shared | {"lionpride.event.status": "started", "lionpride.event.wait": 3.0}
    assert failed == shared | {
        "lionpride.event.status": "failed",
        "lionpride.event.duration": 2.0,
        "error.type": "LookupError",
    }
    assert json.loads(json.dumps(failed)) == failed
    assert of_events(caplog)[1].getMessage() == f"Job {event.id} failed"


class Login(Event):
    user: str
    password: str = attrs.field(metadata={"redact": True})

    async def _invoke(self):
        raise LookupError(f"nobody called {self.user} with {self.password}")


@pytest.mark.parametrize("payload", [False, True])
async def test_fields_are_shown_on_demand(caplog, payload):
    """And secrets never."""
    executor = Executor.of(Login)
    log_transitions(executor, payload=payload)
    async with executor:
        await executor.append(Login(user="ada", password="hunter2000"))  # noqa: S106  a secret of a test
    (record,) = of_events(caplog)
    assert ("ada" in record.getMessage()) is payload
    assert ("nobody called" in record.getMessage()) is payload
    assert "hunter2000" not in caplog.text
    if not payload:
        assert "ada" not in caplog.text


async def test_failures_are_told_once(caplog):
    """By their lines; those that no handler wants by the warning at the end of the block."""
    executor = make_executor()
    log_transitions(executor)
    async with executor:
        await executor.append(Job(error=LookupError("broken")))
    assert lines(caplog) == [("WARNING", "failed")]
    caplog.clear()
    executor = make_executor()
    log_transitions(executor, failed=None)
    async with executor:
        await executor.append(Job(error=LookupError("broken")))
    (record,) = of_events(caplog)
    assert "nobody has looked at" in record.getMessage()


async def test_nothing_after_the_end(caplog):
    """The function that was returned ends it, and may be called again."""
    executor = make_executor()
    end = log_transitions(executor)
    async with executor:
        end()
        end()
        await executor.append(Job())
    assert of_events(caplog) == []
