"""What a dashboard can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lionpride_exec._executor.executor import Executor

if TYPE_CHECKING:
    import os

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
        from lionpride_exec._faces.live_source import LiveSource  # noqa: PLC0415  only one of the sources is used

        return LiveSource(what)
    if hasattr(what, "takes_actions"):
        return cast("Source", what)
    raise TypeError(f"a dashboard shows an executor or the path of a journal, got {what!r}")
