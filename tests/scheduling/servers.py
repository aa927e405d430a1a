"""Servers that take so many calls and refuse the others, for the tests of how a key is reopened."""

from collections import deque
from math import ceil, floor
from random import Random

import anyio
from anyio import current_time

from lionpride_exec import Event, RateLimited

# What a server says of the seconds that are left: as they are, in whole seconds, nothing, or 0.
SAID = {
    "exact": lambda seconds: seconds,
    "rounded up": ceil,
    "not at all": lambda _: None,
    "zero": lambda _: 0,
}


class Server:
    """Counts what arrives, and refuses what is too much."""

    rate: float

    def __init__(self, says="exact"):
        self.says = SAID[says]
        self.log = []

    def wait(self, now):
        """Take a call, and give None; or the seconds after which one will be taken."""
        raise NotImplementedError

    async def call(self):
        """Answer a call; half of the way there and half of it back take 50 ms."""
        await anyio.sleep(0.025)
        now = current_time()
        seconds = self.wait(now)
        self.log.append((now, seconds is None))
        if seconds is None:
            await self.serve()
        await anyio.sleep(0.025)
        if seconds is not None:
            raise RateLimited("429", retry_after=self.says(seconds))

    async def serve(self):
        """Do what was asked for."""
        await anyio.sleep(0.05)

    def share_refused(self, since, until):
        """Return the share of the calls that were refused."""
        calls = [taken for at, taken in self.log if since <= at < until]
        return 1 - sum(calls) / len(calls)

    def share_used(self, since, until):
        """Return what was taken, as a share of what would have been."""
        return sum(taken for at, taken in self.log if since <= at < until) / (until - since) / self.rate


class SlidingWindow(Server):
    """Takes so many in any window."""

    def __init__(self, amount, per, says="exact"):
        super().__init__(says)
        self.amount, self.per, self.taken = amount, per, deque()
        self.rate = amount / per

    def wait(self, now):
        while self.taken and self.taken[0] <= now - self.per:
            self.taken.popleft()
        if len(self.taken) >= self.amount:
            return self.taken[0] + self.per - now if self.taken else 1.0
        self.taken.append(now)
        return None


class FixedWindow(Server):
    """Takes so many from each beginning of a window to the next."""

    def __init__(self, amount, per, says="exact"):
        super().__init__(says)
        self.amount, self.per, self.window, self.taken = amount, per, None, 0
        self.rate = amount / per

    def wait(self, now):
        window = floor(now / self.per)
        if window != self.window:
            self.window, self.taken = window, 0
        if self.taken >= self.amount:
            return (window + 1) * self.per - now
        self.taken += 1
        return None


class TokenBucket(Server):
    """Has so many tokens at most, and gets so many a second; with one token it is a leaky bucket without a queue."""

    def __init__(self, rate, size, says="exact"):
        super().__init__(says)
        self.rate, self.size, self.tokens, self.at = rate, size, size, 0.0

    def wait(self, now):
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1 - 1e-9:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return None


class Chance(Server):
    """Refuses some of the calls, however fast they come; all of them must be made again after so many seconds."""

    def __init__(self, share, seconds, seed=1):
        super().__init__()
        self.share, self.seconds, self.random = share, seconds, Random(seed)  # noqa: S311  a test

    def wait(self, now):
        return self.seconds if self.random.random() < self.share else None


class AtATime(Server):
    """Takes so many at a time."""

    def __init__(self, limit, seconds, says="not at all"):
        super().__init__(says)
        self.limit, self.seconds, self.busy = limit, seconds, 0
        self.rate = limit / seconds

    def wait(self, now):
        if self.busy >= self.limit:
            return 1.0
        self.busy += 1
        return None

    async def serve(self):
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.busy -= 1


class Busy(SlidingWindow):
    """Looks at one call after the other, as a client does that has much to do: of many at a time each takes long."""

    def __init__(self, amount, per, seconds, says="exact"):
        super().__init__(amount, per, says)
        self.seconds, self.turn = seconds, anyio.Lock()

    async def call(self):
        async with self.turn:
            await anyio.sleep(self.seconds)
        await super().call()


class ServerCall(Event):
    """Calls a server."""

    server: Server
    user: str = "a"

    async def _invoke(self):
        await self.server.call()
