"""The arguments of ``lionpride-exec`` and its commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from .cluster_app import add_cluster_commands, cluster
from .exit_status import COMPLETED, INCOMPLETE, MISUSED
from .guard import NOTHING, guarded
from .journal_app import add_journal_commands
from .parameters import DASH, annotate_run_options
from .run.check import check as check_lines
from .run.command import run as run_lines
from .run.options import RunOptions
from .starter_app import add_starter_commands
from .streams import STDERR, drop, tell_of_lost_output
from .top_app import add_top_command
from .usage import add_usages
from .web_app import cluster_web, web

if TYPE_CHECKING:
    from collections.abc import Sequence


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  slow to import, for --version only

    try:
        return version("lionpride-exec")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


app = App(
    name="lionpride-exec",
    help="Run async operations over the lines of a file, and know what became of each.",
    version=_version,
)

annotate_run_options()
_DEFAULTS = RunOptions()


@app.command
def run(  # noqa: D417  the options are explained in their class
    target: str,
    /,
    *sources: Annotated[str, Parameter(name="INPUT"), DASH],
    options: Annotated[RunOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """
    Run TARGET once for each line of INPUT; results are JSON lines, written as events end.

    With --journal, the same command goes on where the last run was stopped, and completes its output.

    Ctrl-C once: nothing more is started, and events that run may finish. Twice: events that run are cancelled.
    Exit status: 0 all completed, 1 some did not, 2 wrong use, 130 interrupted.

    Args:
        target: MODULE:NAME or FILE.py:NAME, a function of one record, an Event or Executor subclass.
        sources: JSON lines, CSV, TSV or a JSON array, compressed or not, or Parquet; with --field plain lines; - is
            standard input.
    """
    return run_lines(target, sources, options)


@app.command
@guarded(NOTHING)
def check(  # noqa: D417  the options are those of run
    target: str,
    /,
    *sources: Annotated[str, Parameter(name="INPUT"), DASH],
    options: Annotated[RunOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """
    Run the first records of INPUT, and tell what would happen to the rest.

    All of INPUT is read: records that do not fit are told of, and how long the rest takes at these limits. The results
    go to standard output. No file is written, whatever the options say.

    Args:
        target: As for run.
        sources: Files, as for run.
    """
    return check_lines(target, sources, options)


@app.command
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """
    Write what a shell needs to complete the commands and options of lionpride-exec.

    Args:
        shell: The shell.
    """
    sys.stdout.write(app.generate_completion(prog_name="lionpride-exec", shell=shell))
    return COMPLETED


add_journal_commands(app)
app.command(web)
cluster.command(cluster_web, name="web")
add_cluster_commands(app)
add_top_command(app)
add_starter_commands(app)
add_usages(app, "lionpride-exec")


def run_command(argv: Sequence[str]) -> int:
    """Run what the arguments say; return the exit status."""
    try:
        status: int | None = app(list(argv), exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:  # cyclopts has written the message; older versions would exit with 1
        return MISUSED
    except OSError as exc:
        if _tells_of_misuse(exc):
            drop(STDERR)
            return MISUSED
        tell_of_lost_output(exc)  # --help or --version was writing
        return INCOMPLETE
    return status or COMPLETED


def _tells_of_misuse(exc: OSError) -> bool:
    """Whether cyclopts failed to write its message about wrong arguments."""
    error: BaseException | None = exc
    while error is not None and not isinstance(error, CycloptsError):
        error = error.__context__
    return error is not None
