"""What keeps events, as messages name it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Keeper:
    """
    A journal, or the queue of a cluster.

    Attributes:
        name: For sentences.
        settings: The class of its settings, whose argument ``types`` gives tags.
    """

    name: str = "a journal"
    settings: str = "Journal"


JOURNAL = Keeper()
