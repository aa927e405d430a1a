"""``--redact``: fields of the record whose values are kept out of results, messages and errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.field_paths import MISSING, is_inside, look_up
from lionpride_exec._base.json_text import write_json
from lionpride_exec._base.redaction import also_redacting, mask_data, mask_path, texts_of
from lionpride_exec._cli.errors import BadLineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lionpride_exec._events.event import Event


@contextmanager
def redacting(event_type: type[Event] | None, paths: Iterable[str], *, is_function: bool) -> Iterator[None]:
    """
    Inside the block, events of a class do not quote the values at these paths of their records.

    Args:
        event_type: The class of the events. None if the target has none.
        paths: Paths into the record.
        is_function: Whether the event has the record in its field ``record``.
    """
    added = {f"record.{path}" if is_function else path for path in paths}
    if event_type is None or not added:
        yield
        return
    with also_redacting(event_type, added):
        yield


class Redaction:
    """
    Replaces what is redacted in records by stars.

    Args:
        asked: Paths that every record must have.
        fields: Redacted fields of the event class. A record may lack them.
    """

    def __init__(self, asked: Iterable[str], fields: Iterable[str] = ()) -> None:
        self.asked: tuple[str, ...] = tuple(asked)
        self.paths: frozenset[str] = frozenset(self.asked) | frozenset(fields)

    def __bool__(self) -> bool:
        return bool(self.paths)

    def covers(self, path: str) -> bool:
        """Whether the value at a path is redacted."""
        return any(is_inside(path, other) for other in self.paths)

    def secrets(self, record: Any) -> frozenset[str]:
        """
        Return the texts of a record that must not be quoted.

        Raises:
            BadLineError: A path that was asked for is missing. It may be misspelled, and the secret would be shown.
        """
        for path in self.asked:
            if look_up(record, path) is MISSING:
                raise BadLineError(f"redacted field {path!r} is missing; null says that there is none")
        return texts_of(look_up(record, path) for path in self.paths)

    def record(self, record: Any, secrets: frozenset[str]) -> bytes:
        """Return a record as JSON, with stars in place of what is redacted."""
        for path in self.paths:
            record = mask_path(record, path)
        return write_json(mask_data(record, secrets))
