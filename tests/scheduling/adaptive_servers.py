"""
How near an adaptive limit comes to servers that it does not know: for the tests, and for docs/changing-limits.md.

    python tests/scheduling/adaptive_servers.py [--seeds 3]

An executor with an `Adaptive` calls a server as fast as the limit lets it, in virtual time. A call takes 50 ms there
and back, up to 10 ms more by chance, and 50 ms at the server. The first pace is drawn between a tenth and five times
what the server allows.
"""

import argparse
import sys
from random import Random

import anyio
import attrs
from anyio import current_time
from servers import AtATime, FixedWindow, ServerCall, SlidingWindow, TokenBucket

from lionpride_exec import Adaptive, Executor
from lionpride_exec.testing import run

# When a server is looked at, in seconds from the first call; when one of them changes.
SETTLED, UNTIL, CHANGE = 60, 360, 180


class JitteryCall(ServerCall):
    """Takes up to 10 ms more, by chance."""

    chance: Random = attrs.field(factory=Random)

    async def _invoke(self):
        await anyio.sleep(self.chance.random() * 0.01)
        await self.server.call()


@attrs.frozen
class Case:
    """
    A server. ``best`` is the best constant rate: the most starts in a second of which at most 2 % are refused.

    ``becomes`` is the amount after the change half way. It is looked at from a minute after the change on.
    """

    name: str
    make: object
    best: float
    becomes: float | None = None
    least: float = 0.9
    most_refused: float = 0.02


class Exponential(AtATime):
    """Takes so many at a time, each for another time."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.chance = Random(1)  # noqa: S311  a test

    async def serve(self):
        try:
            await anyio.sleep(self.chance.expovariate(1 / self.seconds))
        finally:
            self.busy -= 1


CASES = [
    Case("10 in each second of the clock, says exactly", lambda: FixedWindow(10, 1), 10),
    Case("10 in each second of the clock, says whole seconds", lambda: FixedWindow(10, 1, "rounded up"), 10),
    Case("100 in each 10 s of the clock, says nothing", lambda: FixedWindow(100, 10, "not at all"), 10),
    Case("10 in any second, says exactly", lambda: SlidingWindow(10, 1), 10),
    Case("10 in any second, says nothing", lambda: SlidingWindow(10, 1, "not at all"), 10),
    Case("10 in any second, says 0", lambda: SlidingWindow(10, 1, "zero"), 10),
    Case("40 in any second, says whole seconds", lambda: SlidingWindow(40, 1, "rounded up"), 40),
    Case("token bucket: 10 a second, 20 kept, says exactly", lambda: TokenBucket(10, 20), 10),
    Case("token bucket: 10 a second, 100 kept, says nothing", lambda: TokenBucket(10, 100, "not at all"), 10),
    Case("10 at a time, each of 0.5 s, says nothing", lambda: AtATime(10, 0.5), 20),
    Case("10 at a time, each of 0.5 s, says 0", lambda: AtATime(10, 0.5, "zero"), 20),
    Case("20 in any second, half way 10", lambda: SlidingWindow(20, 1), 10, becomes=10),
    Case("10 in any second, half way 20", lambda: SlidingWindow(10, 1), 20, becomes=20),
]

# What an adaptive limit does not reach, and how far it comes.
HARD = [
    Case("leaky bucket: one each 0.1 s, no tolerance, says exactly", lambda: TokenBucket(10, 1), 9.1, least=0.85),
    Case("60 in any minute, says exactly", lambda: SlidingWindow(60, 60), 1, least=0.8, most_refused=0.08),
    # At 10.2 a second 2 % find all ten busy, by Erlang's formula.
    Case("10 at a time, of 0.5 s on average, exponential, says nothing", lambda: Exponential(10, 0.5), 10.2),
]


async def measure(case, seed):
    """Give the share of the calls that were refused, and what was taken as a share of the best constant rate."""
    chance, server = Random(f"{case.name} {seed}"), case.make()  # noqa: S311  a test
    since = SETTLED if case.becomes is None else CHANGE + 60
    limit = Adaptive(case.best * chance.choice((0.1, 0.3, 1, 5)), case.best / 100, case.best * 100)
    config = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01, "max_queue_size": 100, "concurrency_limit": 100}
    async with Executor.of(JitteryCall, limits=[limit], **config) as executor, anyio.create_task_group() as group:

        async def change():
            await anyio.sleep(CHANGE)
            server.amount = case.becomes

        async def bring():
            while True:
                await executor.append(JitteryCall(server=server, chance=chance), priority=0, wait=True)

        if case.becomes is not None:
            group.start_soon(change)
        group.start_soon(bring)
        await anyio.sleep(UNTIL - current_time() % 1)
        group.cancel_scope.cancel()
        await executor.stop(grace=0)
        await executor.cleanup_events(["pending", "completed", "cancelled"])
    server.rate = case.best
    return server.share_refused(SETTLED, UNTIL), server.share_used(since, UNTIL)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    sys.stdout.write("| the other side allows | refused | of the best constant rate |\n|---|---|---|\n")
    for case in [*CASES, *HARD]:
        found = [run(measure, case, seed, backend="asyncio") for seed in range(seeds)]
        refused, used = max(one for one, _ in found), min(other for _, other in found)
        sys.stdout.write(f"| {case.name} | {refused:.1%} | {used:.0%} |\n")


if __name__ == "__main__":
    main()
