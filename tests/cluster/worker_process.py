"""
A process that forks a worker for each request, so that the worker begins at once. SIGTERM ends a worker in order.

It reads a request from each line, and answers each by a line:

    start URL PREFIX LEVELS BACKEND KIND LEASE SLOTS SECONDS   the number of its process
    send NUMBER SIGNAL                                         "ok", or "gone" if the worker has ended
    wait NUMBER                                                the exit status of the worker

At the end of its standard input, it kills the workers that are left.
"""

import os
import signal
import sys
import traceback

import anyio
from cluster_support import opened
from mixed_work import MixedWork
from parts import cluster
from queue_support import Work

KINDS = {"plain": Work, "mixed": MixedWork}


async def main(url, prefix, levels, kind, lease, slots, seconds):
    """Work until SIGTERM."""
    async with opened(cluster.Wire(url, url, patience=60)) as wire:
        queue = cluster.ServerQueue(wire, "", levels=int(levels))
        queue.prefix = prefix
        await queue.open()
        work = KINDS[kind](queue, slots=int(slots), lease=float(lease), seconds=float(seconds))
        async with anyio.create_task_group() as group:
            group.start_soon(work.work)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    break


def run(url, prefix, levels, backend, *rest):
    """Be a worker. Its output goes to standard error, since standard output has the answers."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    name, _, loop = backend.partition("+")
    anyio.run(main, url, prefix, levels, *rest, backend=name, backend_options={"use_uvloop": True} if loop else {})


def start(arguments):
    """Fork a worker. Return the number of its process."""
    number = os.fork()
    if number:
        return number
    status = 1
    try:
        run(*arguments)
        status = 0
    except BaseException:  # noqa: BLE001  the process must not go on as that which forks
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def answer_requests():
    """Answer requests until there are no more."""
    workers = {}  # by number: the exit status, None if the worker was not waited for

    def has_ended(number, options):
        """Wait for a worker, or only look at it. Return whether it has ended."""
        if workers[number] is None:
            found, status = os.waitpid(number, options)
            if found:
                workers[number] = os.waitstatus_to_exitcode(status)
        return workers[number] is not None

    try:
        for line in sys.stdin:
            word, *rest = line.split()
            if word == "start":
                answer = start(rest)
                workers[answer] = None
            elif word == "wait":
                has_ended(int(rest[0]), 0)
                answer = workers[int(rest[0])]
            else:
                number, signal_number = map(int, rest)
                answer = "gone" if has_ended(number, os.WNOHANG) else "ok"
                if answer == "ok":
                    os.kill(number, signal_number)
            print(answer, flush=True)  # noqa: T201  this is how it answers
    finally:
        for number in workers:
            if not has_ended(number, os.WNOHANG):
                os.kill(number, signal.SIGKILL)


if __name__ == "__main__":
    answer_requests()
