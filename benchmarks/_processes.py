"""Programs that the benchmarks run in processes of their own, and what such a process takes."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

COMMAND = str(Path(sys.executable).with_name("lionpride-exec"))

# An installed package has compiled files. With this variable a checkout has none, and each process would compile it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Taken(NamedTuple):
    """The seconds that a process has taken: of the clock, and of the CPU in all its threads."""

    wall: float
    cpu: float


def measured(arguments: Sequence[str], directory: Path | None = None) -> Taken:
    """Run a program to its end, without its output. It has to succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    output(arguments, directory)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


class Used(NamedTuple):
    """What a process has used: seconds of the CPU in all its threads, and the peak of its memory in MiB."""

    cpu: float
    peak: float


def used(arguments: Sequence[str], directory: Path | None = None) -> Used:
    """
    Run a program to its end. It has to succeed.

    A new process begins with the peak of the process that starts it. So the caller must not have used much memory.
    """
    process = subprocess.Popen(arguments, cwd=directory, env=ENVIRONMENT)  # noqa: S603  our own programs
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def output(arguments: Sequence[str], directory: Path | None = None) -> str:
    """Run a program to its end, and return what it prints. It has to succeed."""
    done = subprocess.run(  # noqa: S603  our own programs
        arguments, cwd=directory, env=ENVIRONMENT, capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout
