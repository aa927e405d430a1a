"""The error of a queue on a server."""

from __future__ import annotations

from lionpride_exec.errors import LionprideError


class ClusterError(LionprideError):
    """
    The server of a cluster cannot be reached, refuses a command, or has lost its data. ``__cause__`` has the reason.

    ``retryable`` is True where the same call may succeed later. A call that failed may have been carried out all the
    same: an event that is submitted again is known by its id, and is not done twice.
    """

    default_message = "The cluster failed"
    default_retryable = False
