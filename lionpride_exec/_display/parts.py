"""What a display shows at a moment, and what fits into a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

# To show this many columns of a tail, less important parts are left out.
SHOWN_TAIL: Final = 24

# The rank of a part that is always shown.
NEEDED: Final = 0

# Parts of a higher rank are left out to make room for a bar.
BAR_RANK: Final = 5

# The columns of a bar. It has one of two lengths, so that it is steady while numbers grow.
SHORTEST_BAR: Final = 10
LONGEST_BAR: Final = 20


@attrs.frozen
class Part:
    """
    A part of a line that shows the progress.

    Attributes:
        text: The text.
        rank: If there is not enough room, parts with the highest rank are left out first. :data:`NEEDED` parts stay.
        tail: More text, which may be cut off.
    """

    text: str
    rank: int = NEEDED
    tail: str = ""


@attrs.frozen
class View:
    """
    What a display shows at a moment.

    Attributes:
        lines: The parts of each line. The most important line is first.
        done: How much is done, for a bar.
        total: How much there is to do. None if it is not known, and there is no bar.
        description: What the progress is of. "" if that is clear.
        state: All of the view that does not change with time alone. While it stays as it is, no line is worth writing.
    """

    lines: Sequence[Sequence[Part]]
    done: float = 0
    total: float | None = None
    description: str = ""
    state: Hashable = None

    @property
    def text(self) -> str:
        """All lines as one."""
        told = joined(part for line in self.lines for part in line)
        return f"{self.description}: {told}" if self.description else told


def joined(parts: Iterable[Part]) -> str:
    """Return the parts as one line, however long."""
    return "  ".join(part.text + part.tail for part in parts)


def fitted(parts: Sequence[Part], width: int) -> str:
    """Return the parts as one line of at most ``width`` columns. Longer only if the needed parts are."""
    kept = list(parts)
    for tail, worth in ((SHOWN_TAIL, 3), (0, NEEDED)):
        while sum(len(part.text) + min(len(part.tail), tail) + 2 for part in kept) - 2 > width:
            least = max(kept, key=lambda part: part.rank)
            if least.rank <= worth:
                break
            kept.remove(least)
    return joined(kept)


def bar_width(parts: Sequence[Part], width: int) -> int:
    """Return how many columns a bar beside the parts gets, of ``width``. 0 if the important parts leave too few."""
    least = "  ".join(part.text for part in parts if part.rank <= BAR_RANK)
    room = width - len(least) - 1
    return LONGEST_BAR if room >= LONGEST_BAR else SHORTEST_BAR if room >= SHORTEST_BAR else 0
