"""A timeout that does not go on while a call waits for its place."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from anyio import current_time

from lionpride_exec._base.backend import timeout_deadline

if TYPE_CHECKING:
    from anyio import CancelScope


class PausableTimeout:
    """
    The deadline of a scope.

    Args:
        scope: The scope, with its deadline.
    """

    __slots__ = ("_left", "_scope")

    def __init__(self, scope: CancelScope) -> None:
        self._scope = scope
        self._left: float | None = None  # the seconds that are left while it is paused

    def pause(self) -> None:
        """Stop the timeout, and keep the time that is left. Idempotent."""
        if self._left is None:
            self._left = self._scope.deadline - current_time()
            self._scope.deadline = inf

    def resume(self) -> None:
        """Let the timeout go on with the time that is left. Idempotent."""
        if self._left is not None:
            self._scope.deadline, self._left = timeout_deadline(max(0.0, self._left)), None
