"""Where ``top`` reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lionpride_exec._faces.sources import journal_source

if TYPE_CHECKING:
    from lionpride_exec._faces.snapshot import OpenSource


class JournalFile:
    """
    The source of a journal, made anew when the file is away, or another file has its name.

    A source that is open goes on with the file that it has opened, also after the file was removed or replaced.

    Args:
        path: The file.

    Attributes:
        source: The source.
    """

    def __init__(self, path: str) -> None:
        self.source: OpenSource = journal_source(path)
        self._path = path
        self._identity = _identity(path)

    async def renew(self) -> OpenSource:
        """Return the source, another one than before if the file is another one."""
        identity = _identity(self._path)
        if identity != self._identity:
            await self.source.aclose()
            self.source, self._identity = journal_source(self._path), identity
        return self.source

    async def aclose(self) -> None:
        """Close the source."""
        await self.source.aclose()


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from others with its name. None if there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116  one call, once a second
    except OSError:
        return None
    return found.st_dev, found.st_ino
