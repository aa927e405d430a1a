"""
The output of a run with a journal or a cluster, in a form with which the next run cannot go on.

The usual results are kept beside the journal or the output. At the end of each run, the output is written anew from
them, in the order of their lines. So it is whole also after a run that was killed and done again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import attrs

from lionpride_exec._base.json_text import read_json
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.exit_status import INCOMPLETE
from lionpride_exec._cli.streams import say

from .result_shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .options import RunOptions
    from .result_shapes import Shape

# What the name of the file with the usual results ends with.
SUFFIX = ".results"

# Events that other events appended have no line: they come last.
NO_LINE = (1 << 63) - 1


def is_written_anew(options: RunOptions) -> bool:
    """Whether the output of a run is written at its end, from the usual results beside it."""
    has_keeper = options.journal is not None or options.cluster is not None
    return has_keeper and (options.ordered or options.fields is not None or options.output_format != "jsonl")


def results_beside(options: RunOptions, paths: Sequence[str]) -> RunOptions:
    """
    Return the options of the run that writes the usual results.

    Args:
        options: As they were given.
        paths: The files of INPUT.

    Raises:
        UsageError: The output cannot be written, or holds something else.
    """
    output, results = Path(options.output), Path(f"{options.output}{SUFFIX}")
    problem = None
    shape_of(options)
    if output.exists():
        if not output.is_file():
            problem = "is not a regular file, which each run can write anew"
        elif any(Path(path).exists() and output.samefile(path) for path in paths):
            problem = "is the input"
        elif output.stat().st_size and not results.exists():
            problem = f"is not empty, and there is no {results}: give another --output, or remove it"
    elif not os.access(output.parent, os.W_OK):
        problem = f"cannot be written in {output.parent}"
    if problem is not None:
        raise UsageError(f"--output {output} {problem}")
    return attrs.evolve(options, output=str(results), ordered=False, fields=None, output_format="jsonl")


def write_anew(options: RunOptions, status: int) -> int:
    """Write the output of a run that has ended with an exit status. Return the exit status."""
    shape = shape_of(options)
    try:
        _write(Path(f"{options.output}{SUFFIX}"), Path(os.path.realpath(options.output)), shape)
    except OSError as exc:
        say(f"cannot write {options.output}: {exc.strerror or exc}")
        return status or INCOMPLETE
    message = shape.message()
    if message is not None and not options.quiet:
        say(message)
    return status


def _write(results: Path, output: Path, shape: Shape) -> None:
    """
    Replace the output. Takes about 60 bytes of memory for each result.

    Raises:
        OSError: A file cannot be read or written. The output is as it was.
    """
    other = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with results.open("rb") as file, other.open("wb") as new:
            for _, place in sorted(_places_in(file)):
                file.seek(place)
                new.write(shape.convert(file.readline()))
        other.replace(output)
    finally:
        other.unlink(missing_ok=True)


def _places_in(file: BinaryIO) -> list[tuple[int, int]]:
    """Return the number of the line of each result, and where the result begins."""
    places: list[tuple[int, int]] = []
    place = 0
    for line in file:
        number = read_json(line)["line"]
        places.append((NO_LINE if number is None else number, place))
        place += len(line)
    return places
