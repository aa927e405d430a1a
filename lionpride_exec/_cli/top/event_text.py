"""All about one event, as a text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from lionpride_exec._base.wording import shortened, shown_seconds, visible
from lionpride_exec._faces.snapshot import MOST_OTHERS

from .panels import ago, local_time
from .rows import event_name
from .tones import STATUS_TONES, Tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lionpride_exec._faces.snapshot import EventLine, EventView

    from .tones import Palette

# Characters and lines that are shown of a long text: from its beginning.
MOST_CHARACTERS: Final = 20_000
MOST_LINES: Final = 400

# Rows of a history, from its end.
MOST_ROWS: Final = 200

_LABEL: Final = 10

_OUTCOMES: Final[dict[str, Tone]] = {
    "completed": "good",
    "failed": "bad",
    "interrupted": "warning",
    "rate limited": "warning",
}


def event_text(view: EventView, now: float, palette: Palette) -> Text:
    """
    Return all about an event: why it waits, its times, its history, its error, and its data.

    Texts of the event are shown as they are, without control characters; long ones are cut.

    Args:
        view: The event.
        now: The time, for how long it has run or waited.
        palette: The styles.
    """
    parts = [_title(view, palette)]
    if view.explanation:
        parts.append(_section("What it waits for", _block(view.explanation), palette))
    parts += [
        _section(title, text, palette)
        for title, text in (
            ("Times", _lines(_times(view, now, palette))),
            ("Error", _block(view.error or view.line.error or "")),
            ("Attempts before the last one", _lines(_attempts(view, palette))),
            ("History", _lines(_history(view, palette))),
            ("Fields", _block(view.data or "")),
            ("Response", _block(view.response or "")),
        )
        if text.plain
    ]
    return Text("\n\n").join(parts)


def _title(view: EventView, palette: Palette) -> Text:
    line = view.line
    text = Text.assemble(
        palette.text(f"Event {event_name(line)}", bold=True),
        "  ",
        palette.text(shortened(line.kind, 200), bold=True),
        "  ",
        palette.text(line.status, STATUS_TONES.get(line.status, "plain"), bold=True),
    )
    facts = {"id": line.id}
    if line.key is not None:
        facts["key"] = line.key
    if line.attempt:
        facts["attempt"] = str(line.attempt)
    facts.update(view.facts)
    if view.after:
        known = {other.id: other for other in view.others}
        facts["after"] = _names([known.get(ref, ref) for ref in view.after], len(view.after))
    if view.followers:
        facts["before"] = _names(view.followers, view.follower_count)
    return Text("\n").join([text, *(_fact(name, words, palette) for name, words in facts.items())])


def _names(others: Sequence[EventLine | str], number: int) -> str:
    """Return some events in words, at most 20, or their ids if nothing else is known."""
    shown = [
        other[:8]
        if isinstance(other, str)
        else " ".join(part for part in (event_name(other), other.kind, other.key, other.status) if part)
        for other in others[:MOST_OTHERS]
    ]
    return ", ".join(shown) + (" …" if number > len(shown) else "")


def _fact(name: str, words: str, palette: Palette) -> Text:
    return Text.assemble(palette.text(f"{name:<{_LABEL}}", "quiet"), palette.text(shortened(words, 1000)))


def _times(view: EventView, now: float, palette: Palette) -> Iterator[Text]:
    line = view.line
    if line.queued is not None:
        begun = line.started if line.started is not None else line.finished
        waited = (now if begun is None else begun) - line.queued
        yield _fact("came", f"{moment(line.queued)}, waited {ago(waited)}", palette)
    if line.started is not None:
        running = f", running for {ago(now - line.started)}" if line.status == "processing" else ""
        yield _fact("began", moment(line.started) + running, palette)
    if line.finished is not None:
        took = "" if line.duration is None else f", after {shown_seconds(line.duration)}"
        yield _fact("ended", moment(line.finished) + took, palette)


def _attempts(view: EventView, palette: Palette) -> Iterator[Text]:
    for attempt in view.attempts[-MOST_ROWS:]:
        length = ""
        if attempt.started is not None and attempt.finished is not None:
            length = ago(attempt.finished - attempt.started)
        yield Text.assemble(
            palette.text(f"{attempt.number:>3}  {moment(attempt.started):<21}  {length:>8}  "),
            palette.text(f"{attempt.outcome:<12}", _OUTCOMES.get(attempt.outcome, "plain")),
            palette.text(f"  {shortened(attempt.error or '', 500)}"),
        )


def _history(view: EventView, palette: Palette) -> Iterator[Text]:
    for change in view.transitions[-MOST_ROWS:]:
        attempt = f"attempt {change.attempt}" if change.attempt else ""
        yield Text.assemble(
            palette.text(f"{moment(change.at):<23}  "),
            palette.text(f"{change.status:<10}", STATUS_TONES.get(change.status, "plain")),
            palette.text(f"  {attempt}  {shortened(change.error or '', 500)}".rstrip()),
        )


def _section(title: str, text: Text, palette: Palette) -> Text:
    return Text.assemble(palette.text(title, "accent", bold=True), "\n", text)


def _lines(lines: Iterator[Text]) -> Text:
    return Text("\n").join(lines)


def _block(words: str) -> Text:
    """Return a text of several lines, cut, with what would control the terminal made visible."""
    cut = words[:MOST_CHARACTERS]
    lines = cut.splitlines()[:MOST_LINES]
    shown = "\n".join(visible(line.expandtabs(4)) for line in lines)
    left = len(words) - sum(len(line) + 1 for line in lines)
    return Text(f"{shown}\n… {left:,} characters more" if left > 0 else shown)


def moment(at: float | None) -> str:
    """Return a time as date and wall clock here. "" if it is not known."""
    if at is None:
        return ""
    shown = local_time(at, "%Y-%m-%d %H:%M:%S.%f")
    return shown if shown == "?" else shown[:-3]
