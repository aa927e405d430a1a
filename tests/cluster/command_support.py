"""The command in processes of its own, on a real server, and what tests see of its queue."""

import subprocess
import sys
import time
import uuid

import anyio
import cli_children
from cluster_support import new_wire, opened
from parts import cluster

from lionpride_exec import Cluster, Event, Executor

SECRET = "a secret of some length"

# The command without `-W error`: the client library leaves connections to the garbage collector that it could not make.
LENIENT = [sys.executable, "-m", "lionpride_exec"]

# What workers run. Each run writes a line into the file `runs`: the number of its event, and the process.
APP = """
import os
import anyio
from lionpride_exec import Cluster, Event, Executor

class Work(Event[int], tag="app.work"):
    number: int
    seconds: float = 0.0
    host: str = ""
    async def _invoke(self):
        with open("runs", "a") as runs:
            runs.write(f"{self.number} {os.getpid()}\\n")
        await anyio.sleep(self.seconds)
        if self.number < 0:
            raise ValueError(f"no {self.number}")
        return self.number * 2

class Other(Event[None], tag="app.other"):
    async def _invoke(self): ...

def new(kind=Work, lifespan=None, **options):
    lease = float(os.environ.get("LEASE", "15"))
    patience = float(os.environ.get("PATIENCE", "15"))
    lookahead = int(os.environ["LOOKAHEAD"]) if "LOOKAHEAD" in os.environ else None
    settings = Cluster(queue=os.environ["QUEUE"], lease=lease, patience=patience, lookahead=lookahead, **options)
    return Executor.of(kind, cluster=settings, concurrency_limit=4, lifespan=lifespan)

executor = new()
def make(): return new(work=False)
def make_other(): return new(Other)
def make_with(argument): ...
async def make_later(): ...
def make_nothing(): ...
def make_wrong(): raise LookupError("there is none")
plain = Executor.of(Work)
number = 5
open("loaded", "w").close()
"""


class Work(Event[int], tag="app.work"):
    """What ``app.py`` runs, for executors in this process."""

    number: int
    seconds: float = 0.0
    host: str = ""

    async def _invoke(self) -> int:
        await anyio.sleep(self.seconds)
        if self.number < 0:
            raise ValueError(f"no {self.number}")
        return self.number * 2


class Place:
    """A folder with ``app.py``, and a queue."""

    def __init__(self, folder, server):
        self.folder = folder
        self.server = server
        self.queue = f"test-{uuid.uuid4().hex}"
        (folder / "app.py").write_text(APP)
        (folder / "url").write_text(server.url + "\n")
        self.environment = {
            "LIONPRIDE_CLUSTER_URL": server.url,
            "LIONPRIDE_CLUSTER_SECRET": SECRET,
            "QUEUE": self.queue,
        }

    def start(self, *words, program=None, stdin=subprocess.DEVNULL, **environment):
        """Start the command. Its standard output and error are pipes."""
        env = self.environment | environment
        return cli_children.start(words, env=env, program=program, stdin=stdin, cwd=self.folder)

    def run(self, *words, program=None, **environment):
        """Run the command. Return its exit status, its output and its messages."""
        with self.start(*words, program=program, **environment) as child:
            out, err = child.communicate(timeout=50)
        return child.returncode, out.decode(), err.decode()

    def start_worker(self, *words, target="app:executor", program=None, **environment):
        """Start a worker, and wait until it works."""
        child = self.start("worker", target, *words, program=program, **environment)
        line = child.stderr.readline().decode()
        assert "worker" in line, line + child.stderr.read().decode()
        return child, line

    def ask(self, function):
        """Return what an async function of the open queue returns."""

        async def main():
            wire = new_wire(self.server)
            async with opened(wire):
                queue = cluster.ServerQueue(wire, self.queue, levels=21)
                await queue.open()
                return await function(queue)

        return anyio.run(main)

    def use(self, function, *, work=False):
        """Return what an async function of an executor returns. If the executor works, wait for all ends."""

        async def main():
            settings = Cluster(self.server.url, queue=self.queue, secret=SECRET, work=work)
            async with Executor.of(Work, cluster=settings) as executor:
                found = await function(executor)
                if not work:
                    await executor.stop()
            return found

        return anyio.run(main)

    def submit(self, numbers, *, work=False, delay=None, kind=Work, **fields):
        """Submit an event for each number. Return their ids. If asked, work in this process until they have ended."""

        async def submit(executor):
            events = [kind(number=number, **fields) for number in numbers]
            if delay is None:
                return await executor.extend(events)
            return [await executor.append(event, delay=delay) for event in events]

        return [event.id.hex for event in self.use(submit, work=work)]

    def counts(self):
        """Return how many events have each status, without zeros."""

        async def count(queue):
            found = await cluster.QueueQueries(queue).counts()
            return {status: number for status, number in found.items() if number}

        return self.ask(count)

    def details(self, event_ids):
        """Return all that the queue knows of events."""
        return self.ask(lambda queue: cluster.QueueQueries(queue).details(event_ids))

    def runs(self):
        """Return the numbers of the events that have begun, each with its process, in order."""
        path = self.folder / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(map(int, line.split())) for line in lines]


def ended(place, number):
    """Return a condition: so many events have ended."""
    return lambda: sum(place.counts().get(status, 0) for status in ("completed", "failed", "cancelled")) == number


def until(condition, seconds=30):
    """Wait until a condition holds, of what other processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # other processes work, in real time
