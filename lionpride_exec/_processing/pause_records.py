"""What ``statistics()`` says of keys that were refused with ``RateLimited``, or are paused."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  users resolve the annotations
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._events.stored_names import publish_classes

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lionpride_exec._model.limits import Limit


@attrs.frozen(kw_only=True)
class Pause:
    """
    A key that is closed: a run of it was refused with :class:`RateLimited`, or the program called ``pause(key=...)``.

    Attributes:
        limit: The limit that has the key. None for the key of a partition. Also None if there are no keys: then
            nothing starts.
        key: Which key. None if there are no keys.
        seconds: Seconds until the pause ends; positive.
        until: When the pause ends (UTC), as the clock says now; at most some 30 years from now.
        reason: The message of the error that asked for the pause, or the ``reason`` of ``pause()``.
        refusals: How many times in a row the key was refused. Runs that were refused together count once. 0 for a pause
            by the program.
    """

    limit: Limit | None
    key: Hashable
    seconds: float
    until: datetime
    reason: str
    refusals: int = 0


@attrs.frozen(kw_only=True)
class StartPace:
    """
    How fast the runs of a key may start after a pause, while that is slower than the rates of the key allow.

    Attributes:
        limit: The limit that has the key. None for the key of a partition. Also None if there are no keys: then
            the pace is that of all.
        key: Which key. None if there are no keys.
        per_second: Starts per second, positive. It grows while the other side accepts the runs.
        seconds: Seconds until the next start, 0 or more.
    """

    limit: Limit | None
    key: Hashable
    per_second: float
    seconds: float


publish_classes(Pause, StartPace)
