"""Checks of the options of ``run`` for its log."""

from __future__ import annotations

from typing import Literal

from lionpride_exec._cli.errors import UsageError

LogLevel = Literal["debug", "info", "warning", "error"]


def check_log(level: str | None, progress: str, *, is_json: bool) -> None:
    """
    Check ``--log-level`` and ``--log-json``.

    Raises:
        UsageError: An option makes no sense without the other, or beside a bar that is drawn in place.
    """
    if is_json and level is None:
        raise UsageError("--log-json does nothing without --log-level")
    if level is not None and progress == "rich":
        raise UsageError("--log-level and --progress rich exclude each other: the lines of the log would tear the bar")
