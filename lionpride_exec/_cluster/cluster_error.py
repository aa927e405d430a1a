"""The error of a queue on a server."""

from __future__ import annotations

from lionpride_exec.errors import LionprideError


class ClusterError(LionprideError):
    """
    The server of a cluster cannot be reached, refuses a command, or has lost its data. ``__cause__`` has the reason.

    ``retryable`` is True if the same call may succeed later. The server may have carried out a call that failed. To
    submit an event again does no harm: the server knows the event by its id.
    """

    default_message = "The cluster failed"
    default_retryable = False
