"""``lionpride-exec demo``: 300 calls to a server of its own, with everything that a real run has."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lionpride_exec._cli.errors import OutputError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE
from lionpride_exec._cli.journal.report import ReportOptions, write_report
from lionpride_exec._cli.run.arguments import read_plain
from lionpride_exec._cli.run.command import run as run_lines
from lionpride_exec._cli.run.config_file import with_config
from lionpride_exec._cli.streams import say
from lionpride_exec._journal.reader import JournalReader
from lionpride_exec._status import TERMINAL

from .files import CALLS, CLIENT, CONFIG, JOURNAL, REPORT, RESULTS, project, write_files

if TYPE_CHECKING:
    from collections.abc import Generator

# What a demonstration may leave behind, and the next one may replace.
OWN: Final = (CLIENT, CONFIG, CALLS, RESULTS, REPORT, *(f"{JOURNAL}{end}" for end in ("", "-wal", "-shm", "-lock")))

COMMAND: Final = ["run", "--config", CONFIG]


def demonstrate(folder: str, calls: int, backend: str, *, overwrite: bool) -> int:
    """
    Write a project into a folder, run it against a server of its own, and write a report. Return the exit status.

    It is 0 if all calls have ended, although a few of them fail.

    Args:
        folder: The folder. It is made if there is none.
        calls: How many calls to make, 1 or more.
        backend: The event loop of the run.
        overwrite: Whether the files of an earlier demonstration are replaced.

    Raises:
        UsageError: ``calls`` is less than 1, or the folder has files already.
        OutputError: The folder cannot be written, or the server does not start.
        JournalError: The journal cannot be read.
    """
    if calls < 1:
        raise UsageError(f"--calls must be 1 or more, got {calls}")
    place = Path(folder)
    _clear(place, overwrite=overwrite)
    write_files(place, project(calls))
    os.chdir(place)
    with _server() as url:
        os.environ["API_URL"] = url
        _exempt_from_proxies()
        say(f"a server of the demonstration answers at {url}. Now this runs in {folder}:")
        say(f"    {_shown(*COMMAND)}")
        status = _run(backend)
    if status not in {COMPLETED, INCOMPLETE}:
        return status
    write_report(JOURNAL, REPORT, ReportOptions())
    _tell(folder)
    return COMPLETED if _have_all_ended(calls) else INCOMPLETE


def _clear(folder: Path, *, overwrite: bool) -> None:
    """Delete the files of an earlier demonstration, if that was asked for."""
    existing = [name for name in OWN if (folder / name).exists()]
    if existing and not overwrite:
        raise UsageError(f"{folder} has {existing[0]} already: name another folder, or replace the files: --overwrite")
    for name in existing:
        try:
            (folder / name).unlink()
        except OSError as exc:
            raise OutputError(f"cannot replace {folder / name}: {exc.strerror or exc}") from exc


@contextmanager
def _server() -> Generator[str]:
    """Run the server while the block runs. Yield its URL."""
    command = [sys.executable, "-m", "lionpride_exec._cli.starter.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  our own
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port.isdigit():
                raise OutputError("the server of the demonstration does not start")
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            process.terminate()


def _exempt_from_proxies() -> None:
    """Have the client reach the server directly, whatever proxies the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def _run(backend: str) -> int:
    """Run the project as the command line would."""
    plain = read_plain([*with_config(COMMAND), "--backend", backend])
    assert plain is not None  # the project's own options are plain
    return run_lines(*plain)


def _have_all_ended(calls: int) -> bool:
    with JournalReader(JOURNAL) as reader:
        counts = reader.counts()
    return sum(counts[status.value] for status in TERMINAL) == calls


def _shown(*words: str) -> str:
    return shlex.join(["lionpride-exec", *words])


def _tell(folder: str) -> None:
    """Tell where everything is, and what to try next."""
    say(f"in {folder}: {RESULTS} has a result for each call, {REPORT} shows the run, {JOURNAL} is the journal")
    say(f"next: cd {shlex.quote(folder)}, change {CLIENT} and {CONFIG}, then {_shown(*COMMAND)}")
    say(f"      what failed, and why: {_shown('inspect', JOURNAL)}")
