"""An event that notes its runs, and executors of the queue of one test."""

import time

import anyio
from cluster_support import SECRET

from lionpride_exec import Cluster, Event, Executor

runs = {}  # by name of a queue: the numbers of the events that have begun, and what else the events of a test note


def executor_for(server, name, kind, *, lease=15.0, work=True, **config):
    """Return an executor of the test's queue."""
    return Executor.of(kind, cluster=Cluster(server.url, queue=name, secret=SECRET, lease=lease, work=work), **config)


class Step(Event[int], tag="test_cluster_work.step"):
    name: str
    number: int = 0
    host: str = "a"
    seconds: float = 0.0

    async def _invoke(self):
        began = time.monotonic()
        runs[self.name].append(self.number)
        await anyio.sleep(self.seconds)
        runs[self.name, self.host] = [*runs.get((self.name, self.host), []), (began, time.monotonic())]
        return self.number
