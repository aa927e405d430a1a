"""INPUT as a run, or a submission, opens it: what makes events of it, and the files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .cell_types import cells_for
from .input_files import open_files
from .inputs.formats import Formats
from .inputs.window import Window
from .lines import JobMaker
from .text_options import check_delimiter, check_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lionpride_exec._events.event import Event

    from .input_files import InputFiles
    from .options import RunOptions
    from .target import Target


def open_input(
    event_type: type[Event], target: Target, paths: Sequence[str], options: RunOptions
) -> tuple[JobMaker, InputFiles]:
    """
    Return what makes events, and INPUT. The caller closes INPUT.

    Raises:
        UsageError: A file cannot be opened or read.
    """
    maker = JobMaker(event_type, target.is_function, options)
    cells = cells_for(event_type, target.function, maker, options)
    formats = Formats(
        options.input_format,
        options.field is not None,
        cells,
        delimiter=check_delimiter(options.delimiter, options.input_format),
        encoding=check_encoding(options.encoding),
    )
    is_part = options.skip > 0 or options.limit is not None
    window = partial(Window, options.skip, options.limit, maker.is_blank) if is_part else None
    files = open_files(paths, formats, window)
    maker.use_places(files.place_beside)
    return maker, files


def redacted_in_event(options: RunOptions) -> Iterator[str]:
    """Yield the paths of ``--redact`` into what the target gets of a record."""
    part = options.request_field
    for path in options.redact:
        if part is None:
            yield path
        elif path.startswith(f"{part}."):
            yield path.removeprefix(f"{part}.")
