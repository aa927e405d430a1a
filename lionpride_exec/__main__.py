"""The command ``lionpride-exec``, also as ``python -m lionpride_exec``."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from ._base.wording import install_command
from ._cli.streams import finish_output, say
from ._start import INTERRUPTED, leave_at_interrupt, occupy_closed_streams, raise_at_interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

# By how many the number of objects grows before the garbage collector looks for cycles. With Python's default of 700,
# the collector looks at the queued events again and again, and finds nothing. That takes 5 % of the time of a line (2
# cores, CPython 3.11.7, 2026-11-29).
GARBAGE_THRESHOLD = 10_000


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """
    Run the command line and exit with its status.

    Args:
        argv: The arguments. Default: those of the process, which is then the command's own: its garbage collector is
            set up for a run, and a Ctrl-C ends it.
    """
    occupy_closed_streams()
    is_own = argv is None  # the process is the command's own
    if is_own:
        gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        status = _run(sys.argv[1:] if argv is None else argv, is_own=is_own)
    except KeyboardInterrupt:  # outside of a run, which has its own way to stop: during an import, for instance
        status = INTERRUPTED
    status = finish_output(status)
    if is_own:
        leave_at_interrupt()
    sys.exit(status)


def _run(argv: Sequence[str], *, is_own: bool) -> int:
    for needed in ("cyclopts", "rich"):
        if find_spec(needed) is None:
            say(f"{needed} is missing; the command line needs: {install_command('cli')}")
            return 2
    from ._cli.entry import prepare  # noqa: PLC0415  the extra may not be installed, and the library works without

    command = prepare(argv)
    if is_own:
        # What has been imported stays to the end. Frozen, it is passed over in the run and at the exit.
        gc.freeze()
        gc.enable()  # _start has switched it off
    raise_at_interrupt()
    return command()


if __name__ == "__main__":
    main()
