"""The rows of a journal for the commands: how a journal is opened, ids, and the overview as data."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._journal.reader import JournalReader, id_text
from lionpride_exec._journal.row_records import iso
from lionpride_exec.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Generator

    from lionpride_exec._journal.overview import Overview

SHORT_ID = 8  # digits: enough to tell events apart on a screen, and to find them again


@contextmanager
def reading(journal: str) -> Generator[JournalReader]:
    """
    Open a journal for a command.

    Raises:
        UsageError: The journal cannot be opened.
    """
    reader = JournalReader(journal)
    try:
        reader.open()
    except JournalError as exc:
        raise UsageError(str(exc)) from exc
    with reader:
        yield reader


def short_id(event_id: Any) -> str:
    """Return the beginning of an id."""
    return "-" * SHORT_ID if event_id is None else id_text(event_id)[:SHORT_ID]


def overview_record(journal: str, overview: Overview) -> dict[str, Any]:
    """Return an overview as JSON-safe data: times and ids are texts."""
    record = attrs.asdict(overview, value_serializer=_serialize)
    return {"path": journal.encode("utf-8", "backslashreplace").decode()} | record


def _serialize(_instance: object, attribute: attrs.Attribute[Any] | None, value: Any) -> Any:
    if attribute is not None and attribute.name in {"at", "next_at", "since"}:
        return iso(value)
    return id_text(value) if isinstance(value, bytes) else value
