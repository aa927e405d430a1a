"""``--redact``: fields of the record whose values go into no result, message or error."""

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
    Inside the block, events of a class do not quote what these paths of their records lead to.

    The class itself is changed, and changed back, so it holds for what a journal keeps of them too.
    """
    added = {f"record.{path}" if is_function else path for path in paths}
    if event_type is None or not added:
        yield
        return
    with also_redacting(event_type, added):
        yield


class Redaction:
    """
    Puts stars into records for what is redacted.

    Args:
        asked: Paths that each record has to have.
        fields: Fields of the event class that a record may have.
    """

    def __init__(self, asked: Iterable[str], fields: Iterable[str] = ()) -> None:
        self.asked: tuple[str, ...] = tuple(asked)
        self.paths: frozenset[str] = frozenset(self.asked) | frozenset(fields)

    def __bool__(self) -> bool:
        return bool(self.paths)

    def covers(self, path: str) -> bool:
        """Whether what a path leads to is redacted."""
        return any(is_inside(path, other) for other in self.paths)

    def secrets(self, record: Any) -> frozenset[str]:
        """
        Return the texts that are not to be quoted of a record.

        Raises:
            BadLineError: A field that was asked for is missing: it may be misspelled, and a secret be shown.
        """
        for path in self.asked:
            if look_up(record, path) is MISSING:
                raise BadLineError(f"redacted field {path!r} is missing; null says that there is none")
        return texts_of(look_up(record, path) for path in self.paths)

    def record(self, record: Any, secrets: frozenset[str]) -> bytes:
        """Return a record as JSON, with stars for what is redacted."""
        for path in self.paths:
            record = mask_path(record, path)
        return write_json(mask_data(record, secrets))
