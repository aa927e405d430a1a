"""What a dashboard can show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lionpride_exec._executor.executor import Executor

if TYPE_CHECKING:
    from lionpride_exec._faces.snapshot import Source


def executor_of(what: object) -> Executor | None:
    """Return what a dashboard shows if it is an executor of this process."""
    return what if isinstance(what, Executor) else None


def source_of(what: Executor | str | os.PathLike[str] | Source) -> Source:
    """
    Return the source for what somebody passes to ``dashboard()``.

    Raises:
        TypeError: It is neither an executor nor a path nor a source.
        ConfigurationError: A journal needs an extra that is not installed.
    """
    if isinstance(what, Executor):
        from lionpride_exec._faces.sources import live_source  # noqa: PLC0415  only one of the sources is used

        return live_source(what)
    if isinstance(what, str | os.PathLike):
        from lionpride_exec._faces.sources import journal_source  # noqa: PLC0415  likewise

        return journal_source(what)
    if hasattr(what, "takes_actions"):
        return what
    raise TypeError(f"a dashboard shows an executor or the path of a journal, got {what!r}")
