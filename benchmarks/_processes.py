"""Programs that the benchmarks run in processes of their own, and what such a process takes."""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

COMMAND = str(Path(sys.executable).with_name("lionpride-exec"))


class Taken(NamedTuple):
    """The seconds that a process has taken: of the clock, and of the CPU in all its threads."""

    wall: float
    cpu: float


def measured(arguments: Sequence[str], directory: Path | None = None) -> Taken:
    """Run a program to its end, without its output. It has to succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(arguments, cwd=directory, capture_output=True, check=False)  # noqa: S603  our own programs
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        )
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
