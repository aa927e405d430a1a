"""The log of a run on standard error, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.wording import visible
from lionpride_exec._cli.streams import writing_messages
from lionpride_exec._executor.transition_log import log_transitions

from .log_display import showing_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lionpride_exec._executor.executor import Executor

    from .options import RunOptions

logger = logging.getLogger("lionpride_exec")


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line has beside its message. Only these names have dots."""
    return {name: value for name, value in vars(record).items() if "." in name}


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """Formats a line for people: time, level, logger, message, and the rest as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback of its error if there is one."""
        rest = "".join(f" {name}={visible(str(value))}" for name, value in extra_of(record).items())
        line = f"{_time_of(record)} {record.levelname:7} {record.name}: {visible(record.getMessage())}{rest}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n  {visible(text.expandtabs(4))}" for text in trace)
        return line


class JsonFormatter(logging.Formatter):
    """Formats a line for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= extra_of(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)  # ASCII: nothing that a terminal would act upon


class LogLines(logging.Handler):
    """Writes lines on a standard error that may be closed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  as handlers of logging do
            self.handleError(record)
            return
        with writing_messages():
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


@contextmanager
def showing_log(
    options: RunOptions, executor: Executor, show: Callable[[str], None], is_telling: Callable[[], bool]
) -> Generator[None]:
    """
    Inside the block, show what the package logs: all that ``--log-level`` asks for, or else warnings as messages.

    Args:
        options: The options of the run.
        executor: The executor of the run, whose transitions are logged too.
        show: Shows a message.
        is_telling: Whether messages are shown at the moment.
    """
    if options.log_level is None:
        with showing_logs(show, is_telling):
            yield
        return
    handler = LogLines()
    handler.setFormatter(JsonFormatter() if options.log_json else TextFormatter())
    level = logger.level
    with ExitStack() as stack:
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        logger.setLevel(options.log_level.upper())
        stack.callback(logger.setLevel, level)
        stack.callback(log_transitions(executor))
        yield
