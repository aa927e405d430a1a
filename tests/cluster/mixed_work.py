"""A worker that does with an event what its envelope says."""

import json

import anyio
from parts import cluster
from queue_support import Work


def envelope(end="completed", *, tries=1, limits=()):
    """
    Return the envelope of an event.

    Args:
        end: The status with which it ends.
        tries: How often it runs. All runs but the last are put off for a moment.
        limits: What a run takes, each a list as in ``Limit``.
    """
    return json.dumps({"end": end, "tries": tries, "limits": limits}).encode()


class MixedWork(Work):
    """Asks again when a limit refuses, or parks; puts events off, and ends them as their envelopes say."""

    def __init__(self, queue, *, slots, lease, seconds):
        super().__init__(queue, slots=slots, lease=lease, seconds=seconds)
        self.lapsed = set()  # the scopes of runs that were stopped, to be given back
        self.asked = set()  # the scopes of runs that were cancelled

    def take(self, taken):
        """Run an event. After the end of work, the worker gives it back."""
        if not self.is_over:
            scope = self.runs[taken.entry.event_id] = anyio.CancelScope()
            self.group.start_soon(self.run, taken, scope)

    def lose(self, event_id):
        """Stop a run."""
        if event_id in self.runs:
            self.runs[event_id].cancel()

    def lapse(self, event_id):
        """Stop a run, and give its event back."""
        self.lapsed.add(self.runs[event_id])
        self.lose(event_id)

    def end(self, event_id, status, outcome):
        """Stop a run, and end its event."""
        self.asked.add(self.runs[event_id])
        self.lose(event_id)

    def reopen(self, bucket):
        """Nothing: refused events ask again by themselves."""

    async def run(self, taken, scope):
        """Run an event until its end, or until it is stopped."""
        event_id = taken.entry.event_id
        with scope:
            await self.run_once(event_id, taken)
        if scope.cancelled_caught and scope in self.asked:
            await self.worker.finish(event_id, "cancelled", b"")
        elif scope.cancelled_caught and scope in self.lapsed:
            await self.worker.give_back(event_id)
        self.asked.discard(scope)
        self.lapsed.discard(scope)
        # The worker may have taken the event again before the answer came that it has given the event away.
        if self.runs[event_id] is scope:
            del self.runs[event_id]
        self.worker.room_changed()

    async def run_once(self, event_id, taken):
        """Have an event begin, and end or be put off."""
        told = json.loads(taken.envelope)
        limits = [cluster.BucketLimit(*limit) for limit in told["limits"]]
        refusals = 0
        while not (start := await self.worker.begin(event_id, limits)).may_run:
            if start.is_gone:
                return
            refusals += 1
            if refusals == 2:
                await self.worker.park(event_id, limits[start.limit], start.seconds)
                return
            await anyio.sleep(min(start.seconds, 0.05))
        await anyio.sleep(self.seconds)
        tries = int(taken.attempts or 0) + 1
        if tries < told["tries"]:
            await self.worker.postpone(event_id, -20_000, str(tries).encode())
        else:
            await self.worker.finish(event_id, told["end"], b"out")
