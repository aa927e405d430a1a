"""The events of a simulation, what they do, and the executors that run them."""

from contextlib import aclosing, contextmanager
from datetime import time
from hashlib import blake2b

import anyio

from lionpride_exec import Adaptive, Concurrent, Deny, Event, Executor, Processor, Quota, Rate, RateLimited, Skip, Wait

LIMITS = {
    "rate": Rate(3, per=4),
    "tokens": Rate(8, per=5, cost="tokens"),
    "lanes": Concurrent(1, key="lane"),
    "held": Rate(2, per=3, key="lane", hold=True),
    "two": Concurrent(2),
    # Each five seconds from the moment on at which the wall clock begins (simulation_world.T0), for five minutes.
    "quota": Quota(4, [time(8, second // 60, second % 60) for second in range(0, 300, 5)]),
    "learned": Adaptive(4, 0.5, 50, key="lane"),
}


# The driver whose events they are.
current = None


class Simulated(Event, tag="simulation.event"):
    """Does what its work says."""

    name: str
    lane: str | None = None
    tokens: float = 1.0

    async def _invoke(self):
        return await current.perform(self)

    async def stream(self):
        async with aclosing(current.produce(self)) as chunks:
            async for chunk in chunks:
                yield chunk


class Asked(Simulated, tag="simulation.asked"):
    """Is let in by a gate."""

    @property
    def request(self):
        return {"name": self.name}


class SimulatedProcessor(Processor):
    event_type = Simulated


class AskedProcessor(Processor):
    event_type = Asked

    async def request_permission(self, name):
        answer = current.answer(name)
        if not current.workload.is_defined:
            await anyio.sleep(current.seconds_at_gate(name))
        return answer

    def partition(self, event):
        return event.lane


class SimulatedExecutor(Executor):
    processor_type = SimulatedProcessor


class AskedExecutor(Executor):
    processor_type = AskedProcessor


class Bodies:
    """The part of a driver that its events ask what to do."""

    def answer(self, name):
        """Answer for the gate."""
        visit = self.asked[name] = self.asked.get(name, 0) + 1
        number = blake2b(f"{self.workload.seed} {name} {visit}".encode(), digest_size=1).digest()[0]
        answer = True if number < 180 else Deny("no") if number > 250 else Wait(1.3) if number > 220 else False
        if not self.is_dead:
            self.answers.append((self.life, anyio.current_time(), name, answer))
        return answer

    def seconds_at_gate(self, name):
        """Give how long the gate takes: now and then some time."""
        return (0.0, 0.0, 0.37, 1.13)[(len(name) + self.asked[name] + self.workload.seed) % 4]

    @contextmanager
    def body(self, event):
        """Keep how a run ends."""
        how = "was cut"
        self.check_surroundings(event)
        try:
            yield self.works[event.name]
            how = "returned"
        except Exception as exc:
            how = type(exc).__name__
            raise
        finally:
            if not self.is_dead:
                self.bodies.setdefault(event.id, []).append(how)

    async def perform(self, event):
        """Be the body of an event."""
        with self.body(event) as work:
            if work.seconds:
                await anyio.sleep(work.seconds)
            for child in work.children:
                await self.bring(self.event_of(child), child, "wait")
            number = len(event.execution.attempts)
            if work.ends == "raises" or (work.ends == "slips" and number < work.fails):
                raise ValueError(work.name)
            if work.ends == "skips":
                raise Skip(work.name)
            if work.ends == "limited" and number < work.fails:
                raise RateLimited(retry_after=1.1)
            if work.seconds > 3:
                event.settle(work.tokens / 2)
            return work.name if work.then is None else self.event_of(work.then)

    async def produce(self, event):
        with self.body(event) as work:
            for number in range(work.chunks):
                await anyio.sleep(work.seconds / 4)
                yield number
