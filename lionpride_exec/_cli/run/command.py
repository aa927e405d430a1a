"""
The command ``run``: open what the arguments name, choose the kind of run, and run it.

A run with a journal is a ``JournaledRun``, any other run a ``LineRun``. Neither module imports this one.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.exit_status import MISUSED
from lionpride_exec._cli.streams import say

from .line_run import LineRun
from .lines import JobMaker
from .output import OVERWRITE, open_output
from .pause_on import pausing_on
from .redacted_fields import redacting
from .source import open_source
from .target import load_target

if TYPE_CHECKING:
    from lionpride_exec._executor.executor import Executor

    from .options import Backend, RunOptions
    from .target import Target


def run(target: str, source: str, options: RunOptions) -> int:
    """
    Run the target over the lines of the source. Return the exit status.

    Args:
        target: ``module:name`` or ``path/to/file.py:name``.
        source: A path, or "-" for standard input.
        options: How to run.
    """
    try:
        return _run(target, source, options)
    except UsageError as exc:
        say(str(exc))
        return MISUSED


def _run(target_text: str, source_text: str, options: RunOptions) -> int:
    options.check()
    _check_backend(options.backend)
    target = load_target(target_text)
    event_type = getattr(getattr(target.executor_type, "processor_type", None), "event_type", None)
    with redacting(event_type, options.redact, is_function=target.is_function):
        run_type, executor = _choose(target, source_text, options)
        return _run_executor(run_type, executor, target, source_text, options)


def _choose(target: Target, source_text: str, options: RunOptions) -> tuple[type[LineRun], Executor]:
    """Return the kind of run that the options ask for, and its executor."""
    if options.journal is None:
        return LineRun, target.build(options.processor_config)
    if find_spec("msgspec") is None:
        raise UsageError("--journal needs: pip install 'lionpride-exec[journal]'")
    from .journaled_run import JournaledRun, build_executor  # noqa: PLC0415  needs the extra

    return JournaledRun, build_executor(target, source_text, options, options.journal)


def _run_executor(
    run_type: type[LineRun], executor: Executor, target: Target, source_text: str, options: RunOptions
) -> int:
    """
    Run an executor over the lines of the source. Return the exit status.

    Raises:
        UsageError: A file cannot be opened, or the executor cannot be started.
    """
    maker = JobMaker(executor.event_type, target.is_function, options)
    source = open_source(source_text)
    try:
        source.check_file(is_plain=options.field is not None)
        output = open_output(
            options.output,
            source.status,
            overwrite=options.overwrite,
            goes_on=options.journal is not None,
            cures=f"{OVERWRITE}; with --journal FILE a run goes on where it was stopped",
        )
        with pausing_on(executor.event_type, options.limits.codes, options.limits.rule):
            return run_type(executor, maker, source, output, options).run()
    finally:
        source.close()


def _check_backend(backend: Backend) -> None:
    needed = {"trio": "trio", "asyncio+uvloop": "uvloop"}.get(backend)
    if needed is not None and find_spec(needed) is None:
        raise UsageError(f"--backend {backend} needs: pip install {needed}")
