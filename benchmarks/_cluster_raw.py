"""
A worker of raw streams: what the least would be that a queue on a server does. It is no worker of ours.

It reads entries, and acknowledges and deletes each of them by a pipeline of its own, some at a time.

Usage: _cluster_raw.py URL STREAM BACKEND SLOTS. It prints a line once it is connected, and works when
there is a line to read.
"""

import secrets
import sys
from collections.abc import Sequence

import anyio
import coredis
from _cluster_worker import BACKENDS, READY
from anyio import to_thread

GROUP = "raw"


async def main(url: str, stream: str, slots: int) -> None:
    """Work until the process is killed."""
    name = secrets.token_hex(4)
    async with (
        coredis.Redis.from_url(url, max_connections=slots + 1) as client,
        coredis.Redis.from_url(url, max_connections=1) as reader,
        anyio.create_task_group() as group,
    ):
        await client.ping()
        print(READY, flush=True)
        await to_thread.run_sync(sys.stdin.readline)
        free = anyio.Semaphore(slots)

        async def run(entry: str | bytes) -> None:
            """Do nothing, and acknowledge that."""
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.xack(stream, GROUP, [entry])
                pipeline.xdel(stream, [entry])
            free.release()

        while True:
            await free.acquire()
            free.release()
            answer = await reader.xreadgroup(GROUP, name, {stream: ">"}, count=free.value, block=500)
            for entries in (answer or {}).values():
                for entry in entries:
                    free.acquire_nowait()
                    group.start_soon(run, entry.identifier)


def run(arguments: Sequence[str]) -> None:
    """Be the process."""
    url, stream, backend, slots = arguments
    name, options = BACKENDS[backend]
    anyio.run(main, url, stream, int(slots), backend=name, backend_options=options)


if __name__ == "__main__":
    run(sys.argv[1:])
