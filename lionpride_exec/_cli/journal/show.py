"""``lionpride-exec show``: show everything about one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import msgspec

from lionpride_exec._cli.terminal import Table, write_json, write_line, write_lines, write_table
from lionpride_exec._journal.reader import id_text
from lionpride_exec._journal.row_records import encode, event_record, full_record, iso, transition_record

from .inspect import seconds
from .records import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._journal.rows import Row

# Events that another one comes after, of which more is shown than their ids.
MOST_OTHERS: Final = 20

# Fields with a line each, in this order.
FIELDS = (
    "id", "tag", "version", "key", "status", "attempt", "crashes", "priority", "after",
    "queued", "due", "started", "finished", "duration", "unreadable",
)  # fmt: skip

# What stands after the seconds of fields that are lengths of time.
UNITS = {"duration": "", "renewed": " ago"}


def show_event(journal: str, text: str, *, as_json: bool) -> int:
    """
    Write everything about an event. Return the exit status.

    Args:
        journal: Path of the journal.
        text: The event: its number, its id or the beginning of the id, or its key.
        as_json: Whether to write one JSON object.

    Raises:
        UsageError: The journal cannot be opened.
        NotFoundError: The text stands for no event, or for more than one.
        JournalError: The journal cannot be read.
    """
    with reading(journal) as reader:
        row = reader.find(text)
        steps = reader.history(row.seq)
        record = full_record(row, [transition_record(step) for step in steps])
        others = [] if as_json else reader.of_ids([UUID(one).bytes for one in record["after"][:MOST_OTHERS]])
    if as_json:
        write_json(encode(record))
    else:
        table = steps_table([(step.at, str(step.status), str(step.attempt), str(step.error or "")) for step in steps])
        record["after"] = _named(record["after"], others)
        write_event(f"event #{row.seq}", record, FIELDS, table)
    return 0


def _named(after: Sequence[str], others: Sequence[Row]) -> str | None:
    """Return the events that another one comes after, with what is known of them. None if there are none."""
    known = {id_text(other.id): event_record(other) for other in others}
    words = [
        " ".join(str(known[one][name]) for name in ("tag", "key", "status") if known[one][name] is not None)
        if one in known else "not in the journal"
        for one in after[:MOST_OTHERS]
    ]  # fmt: skip
    shown = [f"{one} ({text})" for one, text in zip(after, words, strict=False)]
    more = [f"{len(after) - len(shown):,} more"] if len(after) > len(shown) else []
    return ", ".join([*shown, *more]) or None


def write_event(title: str, record: dict[str, Any], fields: Sequence[str], steps: Table) -> None:
    """
    Write everything about an event.

    Args:
        title: The first line.
        record: What ``full_record()`` returns.
        fields: Fields of the record with a line each, in this order. Fields without a value are left out.
        steps: The transitions.
    """
    write_line(title)
    for name in fields:
        if record.get(name) not in (None, []):
            write_line(f"  {name + ':':<12}{_field(name, record[name])}")
    write_line("")
    _write_value("data", record["data"])
    write_table(steps)
    for attempt in record["attempts"]:
        _write_attempt(attempt)
    if "repr" in record:
        _write_value("repr", record["repr"])
    elif "response" in record:
        _write_value("response", record["response"])
    elif record["error"] is not None:
        write_line("error")
        _write_error(record["error"])


def steps_table(steps: Sequence[tuple[float, str, str, str]], last: str = "error") -> Table:
    """Return a table of transitions, each with its time, status and attempt, and a last column of that name."""
    rows: list[tuple[str, ...]] = []
    previous: float | None = None
    for at, *others in steps:
        gone = "" if previous is None else f"+{seconds(at - previous)}"
        rows.append((iso(at) or "?", gone, *others))
        previous = at
    return Table("transitions", ("time", "later by", "status", "attempt", last), rows)


def _write_attempt(attempt: Any) -> None:
    known = cast("dict[str, Any]", attempt) if isinstance(attempt, dict) else {}
    how = "interrupted" if known.get("interrupted") else "failed"
    write_line(f"attempt {_text(known.get('number'))}: {known.get('started')} to {known.get('finished')}, {how}")
    if known.get("error") is not None:
        _write_error(known["error"])
    write_line("")


def _write_error(error: Any) -> None:
    known = cast("dict[str, Any]", error) if isinstance(error, dict) else {"type": _text(error)}
    message = str(known.get("message") or "")
    write_lines(f"{known.get('type')}: {message}" if message else str(known.get("type")), "  ")
    if known.get("details"):
        write_lines(_pretty(known["details"]), "  ")
    write_lines(str(known.get("traceback") or ""), "    ")


def _write_value(name: str, value: Any) -> None:
    write_line(name)
    write_lines(value if name == "repr" and isinstance(value, str) else _pretty(value), "  ")
    write_line("")


def _pretty(value: Any) -> str:
    return msgspec.json.format(encode(value), indent=2).decode()


def _field(name: str, value: Any) -> str:
    """Return the value of a field. The number of a length of time has its unit."""
    if name in UNITS and isinstance(value, int | float):
        return f"{seconds(value)}{UNITS[name]}"
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()
