"""Show what the package logs during a run, such as a full disk, or a response without a JSON form."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .target import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

logger = logging.getLogger("lionpride_exec")


class Teller(logging.Handler):
    """
    Shows warnings and errors as lines.

    Args:
        show: Called with each line.
        is_telling: Whether lines are shown at the moment.
    """

    def __init__(self, show: Callable[[str], None], is_telling: Callable[[], bool]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        self._is_telling = is_telling

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, with its error if it has one."""
        if self._is_telling():
            error = record.exc_info[1] if record.exc_info else None
            self._show(record.getMessage() + ("" if error is None else f": {describe(error)}"))


@contextmanager
def showing_logs(show: Callable[[str], None], is_telling: Callable[[], bool]) -> Generator[None]:
    """Inside the block, show what the package logs."""
    teller = Teller(show, is_telling)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)
