"""Where ``top`` reads."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._faces.sources import journal_source

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from lionpride_exec._faces.snapshot import OpenSource


def open_source(target: str) -> AbstractAsyncContextManager[OpenSource]:
    """
    Return a block with the source that a path names. The end of the block closes the source.

    Raises:
        UsageError: There is no such file.
    """
    if not Path(target).exists():
        raise UsageError(f"{target}: there is no such file")
    return aclosing(journal_source(target))
