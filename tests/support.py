"""Events, processors and executors that the tests share."""

import logging
import re
from contextlib import contextmanager

import anyio
import pytest

from lionpride_exec import Event, EventStatus, Execution, Executor, Processor
from lionpride_exec.testing import BACKENDS
from lionpride_exec.testing import _view as view  # what an executor keeps to itself

# asyncio's own cancellation goes past all scopes; trio has no such thing, so these tests do not run there.
ASYNCIO_ONLY = pytest.mark.parametrize("anyio_backend", [name for name in BACKENDS if name != "trio"], indirect=True)

CONFIG = {"queue_capacity": 100, "capacity_refresh_time": 1.0}


class Job(Event):
    """Runs until its gate opens (if it has one), then raises or returns."""

    name: str = ""
    gate: object = None
    started: object = None
    error: object = None
    seconds: float = 0.0

    async def _invoke(self):
        if self.started is not None:
            self.started.set()
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.name


class JobProcessor(Processor):
    event_type = Job


class JobExecutor(Executor):
    processor_type = JobProcessor


def make_executor(cls=JobExecutor, **config):
    """Make an executor with a configuration that does not get in the way."""
    return cls(processor_config=CONFIG | config)


def with_processor(processor, **config):
    """Make an executor for a processor class."""
    return make_executor(type("Made", (Executor,), {"processor_type": processor}), **config)


def id_of(value):
    """Return an id of a parameter: its repr, without what is different in each process, as pytest-xdist requires."""
    return re.sub(r" at 0x[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", repr(value))


def check_invariants(executor):
    """Every event in exactly one of the seven progressions, equal to its status, and counts to match."""
    ids = [event_id for status in EventStatus for event_id in executor.states.get_progression(status.value)]
    assert len(ids) == len(set(ids)) == len(executor.states.items)
    for status in EventStatus:
        events = executor.get_events_by_status(status)
        assert [event.status for event in events] == [status] * len(events)
        assert executor.status_counts()[status.value] == len(events)


def json_form(value):
    """Return the JSON form of a value: the response in the dict of a record."""
    return Execution(status=EventStatus.COMPLETED, response=value, error=None).to_dict()["response"]


def error_form(error):
    """Return the JSON form of an error: the error in the dict of a record."""
    return Execution(status=EventStatus.FAILED, error=error).to_dict()["error"]


def error_of(form):
    """Return the error that a record has after it is read from a dict with this form of an error."""
    return Execution.from_dict({"status": "failed", "error": form}).error


def forget_logged_classes():
    """Have the next value of any class logged again: only the last 1000 classes are remembered."""
    others = [type(f"Other{number}", (), {"__slots__": ()}) for number in range(1000)]
    logger = logging.getLogger("lionpride_exec")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        json_form([other() for other in others])
    finally:
        logger.disabled = was_disabled


def counts(executor):
    """Give the statuses that have events, with their numbers."""
    return {status: number for status, number in executor.status_counts().items() if number}


# ---------------------------------------------------------------- what has no public name
# These functions, and the view of the testing kit, are the ways by which tests reach into an event or an executor.


def view_of(executor):
    """Return the view of what an executor keeps to itself."""
    return view.ExecutorView(executor)


async def create_processor(executor):
    """Make the processor of an executor without starting it."""
    await executor._create_processor()


async def update_progression(executor, event, status=None):
    """Tell an executor where an event stands, as a processor does."""
    await executor._update_progression(event, status)


def change_status(event, status, error=None):
    """Take an event through the door of the transition table."""
    event._transition(status, error=error)


def owner_of(event):
    """Return the executor in which an event stands. None if it stands in none."""
    return view.owner_of(event)


def callbacks_of(event):
    """Return how many callbacks wait for the end of an event."""
    return len(view.end_waiters(event) or ())


@contextmanager
def chunks_of(size):
    """Keep the ids of a progression in lists of another length, so that a few ids fill several."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("progression", "id_order"):
            patch.setattr(f"lionpride_exec._model.{module}.CHUNK_SIZE", size)
        yield
