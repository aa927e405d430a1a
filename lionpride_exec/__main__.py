"""The command ``lionpride-exec``, also as ``python -m lionpride_exec``."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from ._cli.streams import finish_output, say
from ._start import INTERRUPTED, leave_at_interrupt, occupy_closed_streams, raise_at_interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

# Objects made, less those that are gone, before the garbage collector looks for cycles. Python's default is 700: then
# the collector goes through the queued events again and again, and finds nothing. That is 5 % of the time of a line.
GARBAGE_THRESHOLD = 10_000


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """
    Run the command line and exit with its status.

    Args:
        argv: The arguments; default: those of the process.
    """
    occupy_closed_streams()
    if argv is None:  # the process is the command's own
        gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # outside of a run, which has its own way to stop: during an import, for instance
        status = INTERRUPTED
    status = finish_output(status)
    if argv is None:
        leave_at_interrupt()
    sys.exit(status)


def _run(argv: Sequence[str]) -> int:
    for needed in ("cyclopts", "rich"):
        if find_spec(needed) is None:
            say(f"{needed} is missing; the command line needs: pip install 'lionpride-exec[cli]'")
            return 2
    from ._cli.entry import prepare  # noqa: PLC0415  the extra may not be installed, and the library works without

    command = prepare(argv)
    # What has been imported stays to the end. So the collector need not look at it again, in the run and at the exit.
    gc.freeze()
    gc.enable()
    raise_at_interrupt()
    return command()


if __name__ == "__main__":
    main()
