"""
The command ``run``: open what the arguments name, choose the kind of run, and run it.

A run with a journal is a ``JournaledRun``, a run on a cluster is a ``ClusterRun``, and any other run is a ``LineRun``.
None of these modules imports this one.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lionpride_exec._base.wording import install_command
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.exit_status import INCOMPLETE, MISUSED
from lionpride_exec._cli.streams import say, say_block
from lionpride_exec.errors import ClusterError

from .dry_run import DryRun
from .given import given_text
from .input_files import expand
from .line_run import LineRun
from .opening import open_input, redacted_in_event
from .options import check_not_an_option
from .output import OVERWRITE, open_output
from .pause_on import pausing_on
from .redacted_fields import redacting
from .result_shapes import misnamed
from .shaped_output import is_written_anew, results_beside, write_anew
from .target import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lionpride_exec._executor.executor import Executor

    from .options import Backend, RunOptions
    from .target import Target


def run(target: str, sources: Sequence[str], options: RunOptions) -> int:
    """
    Run the target over the lines of the source. Return the exit status.

    Args:
        target: ``module:name`` or ``path/to/file.py:name``.
        sources: Paths, patterns of paths, or "-" for standard input.
        options: How to run.
    """
    try:
        return _run(target, sources, options)
    except (UsageError, ClusterError) as exc:
        say_block(str(exc), getattr(exc, "traceback_text", ""))
        return MISUSED if isinstance(exc, UsageError) else INCOMPLETE


def _run(target_text: str, source_texts: Sequence[str], options: RunOptions) -> int:
    options.check()
    for text in source_texts:
        check_not_an_option("INPUT", text)
    paths = expand(source_texts)
    _check_backend(options.backend)
    if (warning := misnamed(options)) is not None:
        say(warning)
    target = load_target(target_text)
    target.check_places(options.places)
    with redacting(target.event_type, redacted_in_event(options), is_function=target.is_function):
        if options.dry_run:
            event_type = target.build(options.processor_config).event_type
            maker, source = open_input(event_type, target, paths, options)
            with closing(source):
                return DryRun(maker, source, options).run()
        given = "" if options.journal is None else given_text(target_text, source_texts, options)
        if not is_written_anew(options):
            return _run_executor(target, paths, options, options, given)
        status = _run_executor(target, paths, options, results_beside(options, paths), given)
        return write_anew(options, status)


def _choose(
    target: Target, paths: Sequence[str], options: RunOptions, given: str
) -> tuple[Callable[..., LineRun], Executor]:
    """Return the kind of run that the options ask for, and its executor. A journal keeps what was given."""
    if options.cluster is not None:
        if find_spec("coredis") is None or find_spec("msgspec") is None:
            raise UsageError(f"--cluster needs: {install_command('cluster')}")
        from .cluster_run import ClusterRun, build_cluster_executor  # noqa: PLC0415  needs the extra

        return ClusterRun, build_cluster_executor(target, options, options.cluster)
    if options.journal is None:
        return LineRun, target.build(options.processor_config)
    if find_spec("msgspec") is None:
        raise UsageError(f"--journal needs: {install_command('journal')}")
    from .journaled_run import JournaledRun, build_executor  # noqa: PLC0415  needs the extra

    return partial(JournaledRun, given=given), build_executor(target, paths, options, options.journal)


def _run_executor(target: Target, paths: Sequence[str], asked: RunOptions, options: RunOptions, given: str) -> int:
    """
    Run an executor over the lines of INPUT. Return the exit status.

    Args:
        target: What is run.
        paths: The files of INPUT.
        asked: The options as they were given. INPUT is read by them.
        options: Those of the run. Its output may be the usual results beside the output that was asked for.
        given: What a journal keeps of the command.

    Raises:
        UsageError: A file cannot be opened, or the executor cannot be started.
    """
    run_type, executor = _choose(target, paths, options, given)
    maker, source = open_input(executor.event_type, target, paths, asked)
    with closing(source):
        output = open_output(
            options.output,
            source.statuses,
            overwrite=options.overwrite,
            goes_on=options.journal is not None or options.cluster is not None,
            cures=f"{OVERWRITE}; with --journal FILE a run goes on where it was stopped",
        )
        with pausing_on(executor.event_type, options.limits.codes, options.limits.rule):
            return run_type(executor, maker, source, output, options).run()


def _check_backend(backend: Backend) -> None:
    needed = {"trio": "trio", "asyncio+uvloop": "uvloop"}.get(backend)
    if needed is not None and find_spec(needed) is None:
        raise UsageError(f"--backend {backend} needs: pip install {needed}")
