"""
SHA-256 and size of files, each read in a worker thread.

Every file below a directory, as sha256sum prints it: ``python examples/hash_files.py [DIR]``. The files of a
list: ``lionpride-exec run examples/hash_files.py:HashFile files.txt --field path``.
"""

import hashlib
import os
import sys
import sysconfig
from typing import Any

import anyio
from anyio import from_thread, to_thread

from lionpride_exec import Event, EventStatus, Executor, Processor

CHUNK = 1 << 20


class HashFile(Event):
    """Hashes one file, a chunk at a time."""

    path: str

    async def _invoke(self) -> dict[str, Any]:
        return await to_thread.run_sync(hash_file, self.path)


def hash_file(path: str) -> dict[str, Any]:
    """Read a file in chunks; between two of them a cancellation is seen."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:  # noqa: PTH123  a Path would lose the odd bytes of some names
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            from_thread.check_cancelled()
    return {"sha256": digest.hexdigest(), "size": size}


class HashProcessor(Processor):
    """Starts hashing."""

    event_type = HashFile


class HashExecutor(Executor):
    """Knows how far each file is."""

    processor_type = HashProcessor


def sha256sum_line(event: Any, _previous: EventStatus, status: EventStatus) -> None:
    """Print a hash as soon as it is there, the way sha256sum does, odd names included."""
    if status is EventStatus.COMPLETED:
        name = event.path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "\\" if name != event.path else ""
        sys.stdout.buffer.write(os.fsencode(f"{mark}{event.response['sha256']}  {name}\n"))
    elif status.is_terminal:
        print(f"{event.path!r}: {event.execution.error}", file=sys.stderr)


async def main(directory: str) -> int:
    """Hash every file below a directory; give the number of those that could not be read."""
    executor = HashExecutor({"queue_capacity": 10_000, "capacity_refresh_time": 0.01})
    executor.observe(sha256sum_line)
    async with executor:
        for folder, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118  a Path for each file costs more than its hash
                if os.path.isfile(path):  # noqa: ASYNC240, PTH113  likewise; a local look
                    await executor.append(HashFile(path=path), wait=True)
    return len(executor.failed_events)


if __name__ == "__main__":
    sys.exit(min(anyio.run(main, sys.argv[1] if sys.argv[1:] else sysconfig.get_path("stdlib")), 1))
