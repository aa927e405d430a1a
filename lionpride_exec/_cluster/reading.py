"""The state of a read that blocks."""

from __future__ import annotations

from .client_errors import NotReachedError


class Reading:
    """
    A read that blocks, again and again.

    Attributes:
        client_id: The number that the server has for the connection. None if it is not known.
        is_blocked: Whether the read is under way.
        has_read: Whether there was an answer.
        error: Why the reading ended.
    """

    def __init__(self) -> None:
        self.client_id: int | None = None
        self.is_blocked = False
        self.has_read = False
        self.error: Exception = NotReachedError("nothing was read")
