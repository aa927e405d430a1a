"""Where ``top`` reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._faces.sources import journal_source, url_source

if TYPE_CHECKING:
    from lionpride_exec._faces.snapshot import OpenSource


class Target:
    """
    The source of a journal or of a dashboard. That of a journal is made anew when the file is away or was replaced.

    A source that is open goes on with the file that it has opened, also after the file was removed.

    Args:
        name: The file, or the URL.

    Attributes:
        source: The source.

    Raises:
        UsageError: There is no such file, or it is no URL of a web page.
        ConfigurationError: An extra is not installed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._identity = None if is_url(name) else _identity(name)
        if self._identity is None and not is_url(name):
            raise UsageError(f"{name}: there is no such file")
        self.source: OpenSource = self._make()

    def _make(self) -> OpenSource:
        if not is_url(self._name):
            return journal_source(self._name)
        try:
            return url_source(self._name)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc

    async def renew(self) -> OpenSource:
        """Return the source, another one than before if the file is another one."""
        identity = None if is_url(self._name) else _identity(self._name)
        if identity != self._identity:
            await self.source.aclose()
            self.source, self._identity = self._make(), identity
        return self.source

    async def aclose(self) -> None:
        """Close the source."""
        await self.source.aclose()


def is_url(name: str) -> bool:
    """Return whether a name is a URL, not a file."""
    return name.startswith(("http://", "https://"))


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from others with its name. None if there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116  one call, once a second
    except OSError:
        return None
    return found.st_dev, found.st_ino
