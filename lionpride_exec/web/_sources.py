"""What a dashboard can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import os

    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._faces.snapshot import Source


def source_of(what: Executor | str | os.PathLike[str] | Source) -> Source:
    """
    Return the source for what somebody passes to ``dashboard()``.

    Raises:
        TypeError: It is neither an executor nor a path nor a source.
    """
    if hasattr(what, "takes_actions"):
        return cast("Source", what)
    raise TypeError(f"a dashboard shows an executor or the path of a journal, got {what!r}")
