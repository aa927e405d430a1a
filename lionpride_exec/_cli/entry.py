"""The command of ``lionpride-exec`` that the arguments name, with no more imports than it needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .exit_status import INCOMPLETE
from .run.arguments import read_plain
from .streams import tell_of_lost_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def prepare(argv: Sequence[str]) -> Callable[[], int]:
    """
    Import the command that the arguments name. Return a function that runs the command and returns the exit status.

    Wrong arguments raise nothing here: the function reports them.
    """
    plain = read_plain(argv)
    if plain is None:
        from .app import run_command  # noqa: PLC0415  imports cyclopts, which is slow

        return partial(run_command, argv)
    from .run.command import run  # noqa: PLC0415  not needed for wrong arguments

    def run_plain() -> int:
        """Run what :func:`read_plain` has read, as ``run_command()`` does."""
        try:
            return run(*plain)
        except OSError as exc:
            tell_of_lost_output(exc)
            return INCOMPLETE

    return run_plain
