"""What the scenarios share that are run without a journal and with one."""

import warnings
from contextlib import asynccontextmanager, suppress

import anyio
from anyio import current_time
from support import view_of

from lionpride_exec import Deny, Event, EventsOnDiskWarning, Executor, Processor, RateLimited, Skip, Wait

SCENARIOS = []


def scenario(function):
    """Register a scenario: it is given a world, and returns plain data that a journal must not change."""
    SCENARIOS.append(function)
    return function


class World:
    """
    Where a scenario takes place.

    Args:
        new_journal: Makes a journal, or gives None.
    """

    def __init__(self, new_journal):
        self._new_journal = new_journal
        self._began = current_time()

    def now(self):
        """Seconds since the scenario began."""
        return round(current_time() - self._began, 3)

    def executor(self, target=None, *, base=Executor, **config):
        """Make an executor."""
        journal = self._new_journal()
        return base.of(target or Work, journal=journal, **config)

    @asynccontextmanager
    async def running(self, target=None, **config):
        """Run an executor as a block."""
        async with self.executor(target, **config) as executor:
            yield executor

    def log(self, executor):
        """Follow all transitions: name, status, time."""
        seen = []
        executor.observe(lambda event, _, status: seen.append((event.name, status.value, self.now())))
        return seen


async def written(executor):
    """Return when all that has ended so far has left memory, where there is a journal; without, at once."""
    session = view_of(executor).journal_session
    if session is not None:
        await session.writer.wait_committed()


async def outcome(function, *arguments, **options):
    """Await something, or call it; give what it returns, or the name of the error."""
    try:
        result = function(*arguments, **options)
        return await result if hasattr(result, "__await__") else result
    except Exception as exc:  # noqa: BLE001  whatever a user would meet
        return type(exc).__name__


def counts(executor):
    """Return the statuses that have events."""
    return {name: number for name, number in executor.status_counts().items() if number}


def error_of(event):
    """Return class and text of an event's error."""
    error = event.execution.error
    return (type(error).__name__, str(error)) if isinstance(error, BaseException) else None


def listed(executor, status):
    """Return the names in a list by status, or that it says that some are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return [event.name for event in executor.get_events_by_status(status)]
        except EventsOnDiskWarning:
            return "warned"


class Work(Event[str], tag="parity.work"):
    """Takes its time, then fails so often, or returns its name."""

    name: str = ""
    seconds: float = 0.0
    fails: int = 0
    user: str | None = None
    cost: float = 1
    way: str = ""

    async def _invoke(self) -> str:
        try:
            await anyio.sleep(self.seconds)
        except anyio.get_cancelled_exc_class():
            if self.way == "returns anyway":
                return "all the same"
            raise
        if len(self.execution.attempts) < self.fails:
            raise ConnectionError("refused")
        self._end_in_its_way()
        return self.name

    def _end_in_its_way(self):
        if self.way == "skip":
            raise Skip("done already")
        if self.way == "skip group":
            raise ExceptionGroup("of a task group", [Skip("a"), Skip("b")])
        if self.way == "cheap":
            self.settle(1)
        if self.way == "dear":
            self.settle(self.cost + 5)
        if self.way == "limited" and not self.execution.attempts:
            raise RateLimited("429", retry_after=10)


class Answer(Event[list], tag="parity.answer"):
    """Makes its chunks one a second."""

    streaming = True
    name: str = ""
    words: list[str]
    breaks_off: bool = False
    pause: float = 1.0

    async def stream(self):
        for word in self.words:
            await anyio.sleep(self.pause)
            yield word
        if self.breaks_off:
            raise ConnectionError("cut off")


class Joined(Answer, tag="parity.joined"):
    """Gives a text."""

    def reduce(self, chunks):
        return " ".join(chunks)


class Asked(Work, tag="parity.asked"):
    """Says at its gate who it is."""

    @property
    def request(self):
        return {"way": self.way, "event": self}


class Gate(Processor):
    """Answers as the event's way says."""

    event_type = Asked

    async def request_permission(self, *, way, event):
        if way == "deny":
            return Deny("too dear")
        if way == "no":
            return False
        if way == "broken":
            raise OSError("the gate is down")
        if way == "later" and event.id not in self.__dict__.setdefault("seen", set()):
            self.seen.add(event.id)
            return Wait(7)
        return True

    def partition(self, event):
        return event.user


class Gated(Executor):
    """Asks a gate."""

    processor_type = Gate


async def read(reader, into):
    """Read chunks until the end; give what it ended with."""
    with suppress(anyio.ClosedResourceError):
        async for chunk in reader:
            into.append(chunk)
