"""The command of ``lionpride-exec`` that the arguments name, with no more imports than it needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .errors import UsageError
from .exit_status import INCOMPLETE, MISUSED
from .run.arguments import read_plain
from .streams import say, tell_of_lost_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# The URL is not quoted.
SERVER_URL = (
    "the URL of a server must not be an argument, since ps shows arguments to everybody: write it into a file, or into "
    "LIONPRIDE_CLUSTER_URL"
)


def prepare(argv: Sequence[str]) -> Callable[[], int]:
    """
    Import the command that the arguments name. Return a function that runs the command and returns the exit status.

    Wrong arguments raise nothing here: the function reports them.
    """
    if any(word.startswith("--config") for word in argv):
        from .run.config_file import with_config  # noqa: PLC0415  few runs have a file

        try:
            argv = with_config(argv)
        except UsageError as exc:
            return partial(_refuse, str(exc))
    if _has_server_url(argv):
        return partial(_refuse, SERVER_URL)
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


def _has_server_url(argv: Sequence[str]) -> bool:
    """Return whether an argument, or the value of an option, is the URL of a server."""
    if not any("://" in word for word in argv):
        return False
    from lionpride_exec._cluster.server_url import SCHEMES  # noqa: PLC0415  slow to import

    values = (word.partition("=")[2] if word.startswith("-") else word for word in argv)
    return any(value.partition("://")[0].lower() in SCHEMES for value in values if "://" in value)


def _refuse(message: str) -> int:
    """Refuse the arguments."""
    say(message)
    return MISUSED
