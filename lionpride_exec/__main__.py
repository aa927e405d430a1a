"""The command ``lionpride-exec``, also as ``python -m lionpride_exec``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """
    Run the command line and exit with its status.

    Args:
        argv: The arguments; default: those of the process.
    """
    try:
        from ._cli import run_command  # noqa: PLC0415  the extra may not be installed, and the library works without
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.exit(_complain(f"{exc.name} is missing; the command line needs: pip install 'lionpride-exec[cli]'"))
    sys.exit(run_command(sys.argv[1:] if argv is None else argv))


def _complain(text: str) -> int:
    sys.stderr.write(f"lionpride-exec: {text}\n")
    return 2


if __name__ == "__main__":
    main()
