"""
A worker in a process of its own. SIGTERM ends it.

Usage: worker_process.py URL PREFIX LEVELS BACKEND LEASE SLOTS SECONDS
"""

import signal
import sys

import anyio
from cluster_support import opened
from parts import cluster
from test_worker import Work


async def main(url, prefix, levels, lease, slots, seconds):
    """Work until SIGTERM."""
    async with opened(cluster.Wire(url, url, patience=60)) as wire:
        queue = cluster.ServerQueue(wire, "", levels=int(levels))
        queue.prefix = prefix
        await queue.open()
        work = Work(queue, slots=int(slots), lease=float(lease), seconds=float(seconds))
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    break


if __name__ == "__main__":
    url, prefix, levels, backend, *rest = sys.argv[1:]
    name, _, loop = backend.partition("+")
    anyio.run(main, url, prefix, levels, *rest, backend=name, backend_options={"use_uvloop": True} if loop else {})
