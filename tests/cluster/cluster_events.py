"""Events that tests of executors with a cluster submit."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ClassVar

import anyio

from lionpride_exec import Event, Skip


class Add(Event[int], tag="test.add"):
    """Adds two numbers."""

    a: int
    b: int = 1

    async def _invoke(self) -> int:
        return self.a + self.b


class Total(Event[int], tag="test.total"):
    """Adds up the results of the events that it comes after."""

    async def _invoke(self) -> int:
        return sum(await self.after_results())


class Nap(Event[float], tag="test.nap"):
    """Takes some seconds."""

    seconds: float = 0.01

    async def _invoke(self) -> float:
        await anyio.sleep(self.seconds)
        return self.seconds


class Fail(Event[None], tag="test.fail"):
    """Fails."""

    text: str = "no"

    async def _invoke(self) -> None:
        raise ValueError(self.text)


class Pass(Event[None], tag="test.pass"):
    """Is not necessary."""

    async def _invoke(self) -> None:
        raise Skip("not necessary")


class Echo(Event[Any], tag="test.echo"):
    """Returns its value."""

    value: Any = None

    async def _invoke(self) -> Any:
        return self.value


class Length(Event[timedelta], tag="test.length"):
    """Returns what JSON has no form for."""

    minutes: int

    async def _invoke(self) -> timedelta:
        return timedelta(minutes=self.minutes)


class Count(Event[int], tag="test.count"):
    """Counts how often it runs in this process, by name."""

    runs: ClassVar[Counter[str]] = Counter()

    name: str
    seconds: float = 0.0
    number: int = 0

    async def _invoke(self) -> int:
        self.runs[self.name] += 1
        await anyio.sleep(self.seconds)
        return self.runs[self.name]


class Stream(Event[list[int]], tag="test.stream"):
    """Yields numbers."""

    number: int = 3
    streaming: bool = True

    async def stream(self) -> AsyncIterator[int]:
        for number in range(self.number):
            yield number


class Stubborn(Event[None], tag="test.stubborn"):
    """Ends when it wants to."""

    seconds: float = 0.2

    async def _invoke(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(self.seconds)


class Parent(Event[int], tag="test.parent"):
    """Submits other events, and waits for them."""

    executor: ClassVar[Any] = None

    number: int = 1

    async def _invoke(self) -> int:
        events = await self.executor.extend([Add(a=number) for number in range(self.number)])
        for event in events:
            await event.wait()
        return sum(event.result() for event in events)
