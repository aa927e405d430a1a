"""The classes whose events the kept files hold, for the script that wrote the files and the test that reads them."""

import dataclasses
import datetime as dt
import decimal
import os
import uuid
from typing import Any

import anyio

from lionpride_exec import Event, RateLimited, RemoteError, Skip


@dataclasses.dataclass
class Point:
    """A response that the annotation of its event names."""

    x: int
    label: str = ""


VALUES = {
    "text": "ä\u2028",
    "half": "\udcff",
    "number": 2**70,
    "float": float("inf"),
    "none": None,
    "nested": {"a": [1, {"b": None}], "c": True},
    "bytes": b"\xff\x00",
    "set": {3, 1, 2},
    "date": dt.datetime(2030, 10, 27, 2, 30, tzinfo=dt.UTC),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=7),
    "point": Point(1, "one"),
}
"""What an event of :class:`Value` returns, by its name."""


class Job(Event[str], tag="stored.job"):
    """Waits on request, then returns its name."""

    name: str = ""
    seconds: float = 0.0

    async def _invoke(self) -> str:
        await anyio.sleep(self.seconds)
        return self.name


class Held(Job, tag="stored.held", on_crash="hold"):
    """Waits for a decision after a crash."""


class Given(Job, tag="stored.given", on_crash="fail"):
    """Is not run again after a crash."""


class Brief(Job, tag="stored.brief", max_attempts=1):
    """Is given up after one crash."""


class Denied(Job, tag="stored.denied"):
    """Is not let in by the gate of the script."""

    @property
    def request(self) -> dict[str, Any]:
        return {"name": self.name}


class Value(Event[Any], tag="stored.value"):
    """Returns a value."""

    name: str
    unit: decimal.Decimal = decimal.Decimal(1)
    pair: tuple[int, float] = (0, 0.0)

    async def _invoke(self) -> Any:
        return VALUES[self.name]


class Place(Event[Point], tag="stored.place"):
    """Returns an object that the journal reads as one."""

    async def _invoke(self) -> Point:
        return Point(2, "two")


class Error(Event[str], tag="stored.error"):
    """Raises, as often as it is told, then returns its name."""

    name: str
    fails: int = 99

    async def _invoke(self) -> str:
        if len(self.execution.attempts) < self.fails:
            raise ERRORS[self.name]
        return self.name


ERRORS = {
    "value": lambda: ValueError("bad value"),
    "remote": lambda: RemoteError("far", "there.Far", "Traceback\n", retryable=False, details={"a": 1}),
    "group": lambda: ExceptionGroup("both", [ValueError("one"), KeyError("two")]),
    "limited": lambda: RateLimited("slow down", retry_after=0.0),
    "skip": lambda: Skip("not today"),
}
"""What an event of :class:`Error` raises, by its name."""


class Stream(Event[list[int]], tag="stored.stream"):
    """Produces three numbers."""

    streaming: bool = True

    async def stream(self):
        for number in range(3):
            yield number


async def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def id_of(name: str) -> uuid.UUID:
    """Return the id of the event with a name: the same in the script and in the test."""
    return uuid.uuid5(uuid.NAMESPACE_OID, name)


def price(event: Event[Any]) -> float:
    """Return the cost of an event, which the kept journal counts for a rate."""
    return 3.0 if isinstance(event, Priced) else 1.0


class Priced(Event[None], tag="stored.priced"):
    """Costs more than was thought."""

    async def _invoke(self) -> None:
        self.settle(7.0)


async def fetch(record: dict[str, Any]) -> dict[str, Any]:
    """Answer a line of the kept input of the command; the process that wrote the files died at the third one."""
    if record["n"] == 3 and "DIES" in os.environ:
        await anyio.sleep(0.5)
        os._exit(1)
    if record["n"] == 2:
        raise RemoteError("no second", "LookupError", "Traceback\n", retryable=False)
    return {"twice": 2 * record["n"], "at": dt.date(2030, 1, 1)}
