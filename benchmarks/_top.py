"""``lionpride-exec top`` on a terminal, beside a run on trio that writes its journal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _processes import COMMAND, ENVIRONMENT

RATE = 500  # events that end in a second
TARGET = "import anyio\n\nasync def work(record):\n    await anyio.sleep(0.02)\n"

# Seconds for which top is shown: the difference is what is measured, without the start and the end.
SHORT, LONG = 4.0, 24.0


@contextmanager
def writing_run(directory: Path, seconds: float) -> Iterator[Path]:
    """Inside the block, a run writes a journal, for so many seconds at most. Yield its file."""
    (directory / "work.py").write_text(TARGET)
    (directory / "in.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(int(seconds * RATE))))
    command = [COMMAND, "run", "work.py:work", "in.jsonl", "--journal", "live.db", "--backend", "trio", "--quiet"]
    command += ["--rate", f"{RATE // 10}/100ms", "--concurrency", "40", "--output", "out.jsonl"]
    run = subprocess.Popen(command, cwd=directory, env=ENVIRONMENT)  # noqa: S603  our own program
    journal = directory / "live.db"
    try:
        while not (journal.exists() and journal.stat().st_size):
            time.sleep(0.1)  # the run is another process
        time.sleep(1)  # its first events
        yield journal
        if run.poll() is not None:
            raise RuntimeError("the run has ended before it was watched to the end")
    finally:
        run.kill()
        run.wait()


def cpu_of_top(journal: Path, seconds: float) -> float:
    """Show a journal for so many seconds on 120 columns and 40 rows. Return the seconds of CPU that it took in all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = ENVIRONMENT | {"TERM": "xterm-256color"}
    top = subprocess.Popen(  # noqa: S603  our own program
        [COMMAND, "top", str(journal)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([ours], [], [], left)[0]:
            os.read(ours, 65536)
    os.write(ours, b"q")
    while not (ended := os.wait4(top.pid, os.WNOHANG))[0]:
        if select.select([ours], [], [], 0.1)[0]:
            os.read(ours, 65536)
    top.returncode = os.waitstatus_to_exitcode(ended[1])
    os.close(ours)
    os.close(theirs)
    if top.returncode:
        raise RuntimeError(f"top ended with {top.returncode}")
    return ended[2].ru_utime + ended[2].ru_stime


def share_of_top(journal: Path) -> float:
    """Return the part of a core that top takes once it is shown, in percent."""
    short, long = cpu_of_top(journal, SHORT), cpu_of_top(journal, LONG)
    return (long - short) / (LONG - SHORT) * 100
