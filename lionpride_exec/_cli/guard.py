"""What all commands but ``run`` do around their work: look for the extra, and tell errors in one line."""

from __future__ import annotations

import sys
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, ParamSpec

import attrs

from lionpride_exec._base.wording import install_command
from lionpride_exec.errors import ConfigurationError, LionprideError

from .errors import OutputError, UsageError
from .exit_status import INCOMPLETE, INTERRUPTED, MISUSED
from .streams import say, say_block, tell_of_lost_output

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


@attrs.frozen
class Extra:
    """
    An extra of the package.

    Attributes:
        packages: What it installs, and the commands import.
        need: Who needs it, and how to install it, for the message.
    """

    packages: tuple[str, ...]
    need: str


NOTHING: Final = Extra((), "")
JOURNAL: Final = Extra(("msgspec",), f"journals need: {install_command('journal')}")
CLUSTER: Final = Extra(("coredis", "msgspec"), f"clusters need: {install_command('cluster')}")
TOP: Final = Extra(("textual",), f"top needs: {install_command('top')}")


def guarded(extra: Extra) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """
    Return a decorator for commands. An error of the command becomes one line, and the exit status for it.

    If the reader of standard output has gone away, nothing is written.
    """

    def guard(command: Callable[P, int]) -> Callable[P, int]:
        """Return the command with a guard."""

        @wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            """Run the command."""
            for package in extra.packages:
                if find_spec(package) is None:
                    return _tell(f"{package} is missing; {extra.need}", MISUSED)
            try:
                status = command(*args, **kwargs)
                sys.stdout.flush()
            except (UsageError, LionprideError, OutputError) as exc:
                say_block(str(exc), exc.traceback_text if isinstance(exc, UsageError) else "")
                return MISUSED if isinstance(exc, UsageError | ConfigurationError) else INCOMPLETE
            except OSError as exc:
                tell_of_lost_output(exc)
                return INCOMPLETE
            except KeyboardInterrupt:
                return INTERRUPTED
            return status

        return run

    return guard


def _tell(text: str, status: int) -> int:
    say(text)
    return status
