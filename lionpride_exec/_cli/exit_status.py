"""The exit statuses of all commands."""

from __future__ import annotations

from typing import Final

COMPLETED: Final = 0
INCOMPLETE: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
