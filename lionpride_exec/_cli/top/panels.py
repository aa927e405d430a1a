"""What the overview says above its tables: lines of text, for a width and a palette."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.text import Text

from lionpride_exec._base.wording import shortened, shown_clock, shown_rate, shown_seconds
from lionpride_exec._status import FINAL, OPEN

from .feed import CHARTED
from .tones import STATUS_TONES, Tone, fitted, flowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lionpride_exec._faces.snapshot import LimitLine, PauseLine, Second, Snapshot

    from .feed import Reading
    from .tones import Palette

# Shown also where there is none.
_ALWAYS: Final = ("completed", "failed", "pending", "processing")
_ORDER: Final = (*FINAL[:2], *OPEN, *FINAL[2:])

_STATES: Final[dict[str, Tone]] = {"running": "good", "paused": "warning", "stopped": "quiet"}

DAY: Final = 86_400.0

# The blocks of a chart that is one line high.
_STEPS: Final = "▁▂▃▄▅▆▇█"

# From this part on, a limit is shown as nearly used up.
_NEARLY: Final = 0.8

# Columns: the names at the left, the widest and the shortest bar, and the least width for a chart of the throughput.
_LABEL: Final = 9
_BAR: Final = 30
_SHORT_BAR: Final = 10
_CHART_FROM: Final = 100

# Pauses and notes, each at most.
_NAMED: Final = 3


def head(reading: Reading, width: int, palette: Palette, frozen_at: float | None) -> list[Text]:
    """Return the lines at the top: what is shown and how it goes, how far it has come, and the counts."""
    snapshot = reading.snapshot
    counts = [
        Text.assemble(
            palette.text(f"{count:,}", STATUS_TONES[status] if count else "quiet", bold=count > 0), f" {status}"
        )
        for status in _ORDER
        if (count := snapshot.counts.get(status, 0)) or status in _ALWAYS
    ]
    return [
        _title(reading, width, palette, frozen_at),
        _progress(snapshot.counts, width, palette),
        *flowed(counts, width),
    ]


def _title(reading: Reading, width: int, palette: Palette, frozen_at: float | None) -> Text:
    """Return the first line: the name gives way where the line is short."""
    snapshot = reading.snapshot
    state = "no process answers" if snapshot.state == "unknown" else snapshot.state
    right = [palette.text("-/s" if snapshot.rate is None else shown_rate(snapshot.rate), bold=True)]
    if snapshot.seconds_left is not None:
        least = "at least " if snapshot.is_growing and snapshot.seconds_left else ""
        right.append(palette.text(f"{least}{_left(snapshot.seconds_left)} left"))
    if width >= _CHART_FROM:
        right.insert(0, palette.text(sparkline(reading.ended, snapshot.at), "accent"))
    right.append(
        palette.text(clock(snapshot.at), "quiet")
        if frozen_at is None
        else palette.text(f"FROZEN {clock(frozen_at)}", "warning", bold=True)
    )
    end = Text("  ").join(right)
    word = palette.text(state, _STATES.get(snapshot.state, "warning"), bold=True)
    name = palette.text(shortened(snapshot.name, 200), bold=True)
    room = max(width - end.cell_len - word.cell_len - 4, 8)
    name.truncate(room, overflow="ellipsis")
    return Text.assemble(fitted(Text.assemble(name, "  ", word), max(width - end.cell_len - 2, 0)), "  ", end)


def _left(seconds: float) -> str:
    return shown_seconds(seconds) if seconds >= 1 else "< 1 s"


def _progress(counts: Mapping[str, int], width: int, palette: Palette) -> Text:
    total, ended = sum(counts.values()), sum(counts.get(status, 0) for status in FINAL)
    part = ended / total if total else 0.0
    # Rounded down: 100 % is said of all events only.
    words = f"{int(part * 1000) / 10:.1f} %  {ended:,} of {total:,}" if total else "no events yet"
    return Text.assemble(bar(part, max(width - len(words) - 2, 4), palette), "  ", palette.text(words))


def use(reading: Reading, width: int, palette: Palette, now: float, *, is_short: bool = False) -> list[Text]:
    """
    Return how many slots are used, what events wait for, which keys are paused, and notes.

    Args:
        reading: What was read.
        width: The width of a line.
        palette: The styles.
        now: The time, for how long pauses still last.
        is_short: Have at most one line of each.
    """
    snapshot = reading.snapshot
    named = 1 if is_short else _NAMED
    pauses = [_pause(pause, snapshot.at, now, palette) for pause in snapshot.pauses[:named]]
    more = len(snapshot.pauses) - named
    if more > 0:
        pauses.append(palette.text(f"and {more:,} more", "quiet"))
    notes = [palette.text(shortened(note, 500), "warning") for note in snapshot.notes[:named]]
    parts = (("Waiting", _waits(snapshot, palette, now)), ("Paused", pauses), ("Note", notes))
    lines = [_slots(snapshot, width, palette)]
    for label, words in parts:
        lines += _labelled(label, words, width, palette)[: 1 if is_short else None]
    return lines


def _labelled(label: str, parts: list[Text], width: int, palette: Palette) -> list[Text]:
    lines = flowed(parts, max(width - _LABEL, 8))
    return [
        Text.assemble(palette.text((label if place == 0 else "").ljust(_LABEL), "quiet"), line)
        for place, line in enumerate(lines)
    ]


def _slots(snapshot: Snapshot, width: int, palette: Palette) -> Text:
    label = palette.text("Slots".ljust(_LABEL), "quiet")
    if not snapshot.slots:
        used = max(snapshot.slots_used, snapshot.counts.get("processing", 0))
        return Text.assemble(
            label, palette.text(f"{used:,} used"), palette.text("   their number is not known", "quiet")
        )
    words = f"{snapshot.slots_used:,} of {snapshot.slots:,} used"
    room = min(width - _LABEL - len(words) - 2, _BAR)
    drawn = Text.assemble(bar(snapshot.slots_used / snapshot.slots, room, palette), "  ") if room >= 4 else Text()  # noqa: PLR2004  too short
    return Text.assemble(label, drawn, palette.text(words))


def _waits(snapshot: Snapshot, palette: Palette, now: float) -> list[Text]:
    parts: list[Text] = []
    if snapshot.waits is None:
        if snapshot.counts.get("pending", 0):
            parts.append(palette.text("not known: no process answers", "quiet"))
    elif not snapshot.waits:
        parts.append(palette.text("nothing waits", "quiet"))
    else:
        parts += [
            Text.assemble(palette.text(f"{count:,}", bold=True), " ", palette.text(reason))
            for reason, count in snapshot.waits.items()
        ]
    if snapshot.oldest_pending is not None:
        seconds = snapshot.oldest_pending + max(now - snapshot.at, 0.0)
        parts.append(palette.text(f"the oldest for {shown_seconds(seconds)}", "quiet"))
    return parts


def _pause(pause: PauseLine, at: float, now: float, palette: Palette) -> Text:
    text = palette.text("all events" if pause.key is None else shortened(pause.key, 200), "warning", bold=True)
    if pause.seconds is not None:
        text = Text.assemble(text, palette.text(f" for {shown_seconds(max(pause.seconds - (now - at), 0.0))}"))
    if pause.reason:
        text = Text.assemble(text, palette.text(f": {shortened(pause.reason, 200)}"))
    return text


def limits(lines: Sequence[LimitLine], count: int, width: int, palette: Palette) -> list[Text]:
    """Return a line for each of the fullest limits: its name, its key, a bar, and what is used of it."""
    lines = lines[:count]
    keys = [palette.text(shortened(line.key or "", 200), bold=True) for line in lines]
    names = [palette.text(shortened(line.what, 200)) for line in lines]
    amounts = [palette.text(_used(line)) for line in lines]
    amount_width, key_width, name_width = (
        max((text.cell_len for text in texts), default=0) for texts in (amounts, keys, names)
    )
    most = max(width - amount_width - _SHORT_BAR - 3, 12)
    key_width = min(key_width, most // 2)
    gap = "  " if key_width else ""
    name_width = min(name_width, most - key_width - len(gap))
    room = min(width - name_width - key_width - len(gap) - amount_width - 3, _BAR)
    found = []
    for line, name, key, amount in zip(lines, names, keys, amounts, strict=True):
        part = _part(line)
        named = Text.assemble(fitted(name, name_width), gap, fitted(key, key_width))
        drawn = bar(part, room, palette, "warning" if part >= _NEARLY else "accent")
        found.append(Text.assemble(named, " ", drawn, "  ", amount))
    return found


def _part(line: LimitLine) -> float:
    return line.used / line.amount if line.amount else 1.0


def _used(line: LimitLine) -> str:
    return f"{_amount(line.used)} of {_amount(line.amount)}" + (" full" if _part(line) >= 1 else "")


def bar(part: float, width: int, palette: Palette, tone: Tone = "accent") -> Text:
    """Return a bar of a width, of which a part is filled. It is full, or empty, only where the part is 1, or 0."""
    part = min(max(part, 0.0), 1.0)
    filled = min(max(round(part * width), 1 if part else 0), width if part >= 1 else width - 1)
    return Text.assemble(palette.text("━" * filled, tone, bold=True), palette.text("─" * (width - filled), "quiet"))


def sparkline(seconds: Sequence[Second], at: float) -> str:
    """Return the events that ended in each of the last whole seconds, as a chart of one line."""
    ended = {second.at: sum(second.ended.values()) for second in seconds}
    counts = [ended.get(int(at) - back, 0) for back in range(CHARTED, 0, -1)]
    most = max(counts)
    if not most:
        return " " * CHARTED
    return "".join(_STEPS[-(-count * (len(_STEPS) - 1) // most)] if count else " " for count in counts)


def clock(at: float) -> str:
    """Return a time as the wall clock here shows it."""
    return local_time(at, "%H:%M:%S")


def local_time(at: float, form: str) -> str:
    """Return a time as the wall clock here shows it, "?" outside the years 1 to 9999: a file may have any number."""
    try:
        return datetime.fromtimestamp(at).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):
        return "?"


def ago(seconds: float) -> str:
    """Return a length of time that has passed, in at most 8 characters."""
    if seconds < 100:  # noqa: PLR2004  two digits, as the next line begins
        return f"{max(seconds, 0.0):.1f} s"
    return shown_clock(seconds) if seconds < DAY else f"{seconds / DAY:,.1f} d"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"  # noqa: PLR2004  three digits
