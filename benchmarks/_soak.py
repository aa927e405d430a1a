"""
Executors of all kinds under a load that uses everything, round after round.

A round runs all chores of a scenario at the same time on one executor, and ends when all has come to rest. Rounds are
alike, so whatever grows from one to the next is a leak.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio
import attrs
from _chores import CHORES, TICK, Chore, Load, Work

from lionpride_exec import (
    Concurrent,
    Deny,
    EventStatus,
    Executor,
    Journal,
    Processor,
    Rate,
    Retain,
    Retry,
    Wait,
)

if TYPE_CHECKING:
    from lionpride_exec._journal.journal import Ack


class WorkProcessor(Processor):
    """Has no gate."""

    event_type = Work


class GatedProcessor(Processor):
    """Has a gate that answers what the event says, and a partition for each answer."""

    event_type = Work

    async def request_permission(self, *, answers: str = "yes", event: Any = None, **_: Any) -> bool | Wait | Deny:
        """Answer."""
        await anyio.lowlevel.checkpoint()
        match answers:
            case "later":
                event.answers = "yes"
                return Wait(TICK)
            case "once no":
                event.answers = "yes"
                return False
            case "deny":
                return Deny("was told to deny")
            case "raise":
                raise OSError("was told to raise")
        return answers == "yes"

    def partition(self, event: Any) -> str:
        """Give a partition that is not there for long to the half of the events."""
        return f"{event.answers} {event.user}"


class WorkExecutor(Executor):
    """Has no gate."""

    processor_type = WorkProcessor


class GatedExecutor(Executor):
    """Has a gate."""

    processor_type = GatedProcessor


# How many ids of events that have left memory are remembered.
REMEMBERED = 50


@attrs.frozen(kw_only=True)
class Scenario:
    """
    An executor and what is done with it.

    Attributes:
        name: Of it.
        make: Makes the executor; gets the path for a journal.
        more: Chores beside those that all do.
        is_restarted: Whether each round ends with a stop and a start, which may tidy up, too.
        is_block: Whether the executor is run by ``async with``; else by ``start()`` and ``stop()``.
    """

    name: str
    make: Callable[[Path], Executor]
    more: tuple[Chore, ...] = ()
    is_restarted: bool = False
    is_block: bool = True

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[Executor]:
        """Run the executor, with little room for what it remembers of events on disk: full before the first census."""
        executor = self.make(directory / f"{self.name.replace(' ', '-')}.db")
        with patch("lionpride_exec._model.retain.REMEMBERED", REMEMBERED):
            if self.is_block:
                async with executor:
                    yield executor
            else:
                await executor.start()
                yield executor
                await executor.stop()

    async def round(self, executor: Executor, events: int) -> None:
        """Do all chores, and return when nothing goes on any more."""
        load = Load(executor, events)
        async with anyio.create_task_group() as group:
            for chore in (*CHORES, *self.more):
                group.start_soon(chore, load)
        await executor.join()
        if self.is_restarted:
            await load.restarted()
        if Load.cleaned in self.more:
            await executor.cleanup_events([status for status in EventStatus if status.is_terminal])
        while executor.journal is not None and len(executor.states.items):  # noqa: ASYNC110  what is on its way to the disk is still in memory
            await anyio.sleep(TICK)


def config(**more: Any) -> dict[str, Any]:
    """Give the configuration of a processor that retries."""
    retry = Retry(3, backoff=TICK, jitter=1.0, budget=1.0, deadline=60)
    return {"queue_capacity": 400, "capacity_refresh_time": 0.05, "concurrency_limit": 50, "retry": retry} | more


def limits() -> list[Rate | Concurrent]:
    """Give limits for each key and for all."""
    return [
        Rate(20, per=0.05, key="user"),
        Rate(30, per=0.05, key="user", cost="cost", hold=True),
        Concurrent(4, key="user"),
        Rate(400, per=0.05),
        Concurrent(40),
    ]


def make_journal(path: Path, ack: "Ack") -> Journal:
    """Make a journal that lets go of what is old."""
    return Journal(path, ack=ack, synchronous="NORMAL", retain=Retain(100))


SCENARIOS = (
    Scenario(name="retain by number", make=lambda _: WorkExecutor(config(max_queue_size=60), retain=Retain(20))),
    Scenario(
        name="retain by age",
        make=lambda _: WorkExecutor(config(limits=limits()), retain=Retain(age=0.05)),
        is_restarted=True,
        more=(Load.cleaned,),
    ),
    Scenario(
        name="cleanup",
        make=lambda _: WorkExecutor(config(limits=limits())),
        more=(Load.cleaned,),
        is_restarted=True,
        is_block=False,
    ),
    Scenario(
        name="gate",
        make=lambda _: GatedExecutor(config(limits=limits()), retain=Retain(0)),
        more=(Load.gated,),
    ),
    Scenario(
        name="journal",
        make=lambda path: WorkExecutor(config(), journal=make_journal(path, "lazy")),
        is_restarted=True,  # in its block, so that the journal stays open
    ),
    Scenario(
        name="strict journal",
        make=lambda path: WorkExecutor(config(limits=limits()), journal=make_journal(path, "strict"), retain=Retain(0)),
        is_block=False,
    ),
)
