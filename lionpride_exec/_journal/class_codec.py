"""
How the events of one class become JSON, and come back.

The annotations of the fields make a msgspec struct. It checks values when they are written, as it checks them when they
are read. A value that would not come back equal in value and type (``fidelity``) is refused when the event is appended.
A field that has its default is left out. When it is read, the default of the class as it is then counts.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec

from lionpride_exec._base.field_paths import is_inside
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._events.call import Call
from lionpride_exec._events.event import Event
from lionpride_exec._events.storage_options import check_fields
from lionpride_exec._model.retry import Retry
from lionpride_exec.errors import ValidationError

from .annotations import hint_of, read_path, response_type, struct_of
from .fidelity import compare, stand_in
from .fixes import Fix, apply_fixes
from .keeper import JOURNAL, Keeper

if TYPE_CHECKING:
    from collections.abc import Sequence

# Levels of a refused field that are searched for an event, so that the message can say what to do.
MAX_LOOK = 10

# Fields that have columns of their own.
NOT_KEPT = frozenset({"id", "execution"})


class RetryData(msgspec.Struct, omit_defaults=True):
    """The fields of a Retry that are not functions."""

    attempts: int
    backoff: float
    max_backoff: float
    jitter: float
    deadline: float | None = None
    budget: float | None = None


class Header(msgspec.Struct):
    """
    An envelope whose data are not decoded yet.

    Attributes:
        fixes: What some values need to come back as they were.
        age: Microseconds from the creation of the event until it was queued. None if the data have the creation time.
        raw: The field whose data are the JSON text that was kept for it; or these texts, by field, if the data could
            not be the text itself.
    """

    tag: str
    data: msgspec.Raw
    version: int = 1
    fixes: list[Fix] = []
    age: int | None = None
    raw: str | dict[str, str] = ""


_MICROSECOND = timedelta(microseconds=1)


def _enc_hook(value: Any) -> Any:
    """Encode a path, which msgspec does not know."""
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError(f"Encoding objects of type {type(value).__qualname__} is unsupported")


_encode = msgspec.json.Encoder(enc_hook=_enc_hook).encode


class ClassCodec:
    """
    Writes and reads the events of one class.

    Args:
        cls: The class.
        tag: Its tag. None only for :class:`Call`, where each function has a tag.
        keeper: What keeps the events.

    Raises:
        TypeError: The class has no tag, or its annotations cannot be used.
    """

    def __init__(self, cls: type[Event], tag: str | None, keeper: Keeper = JOURNAL) -> None:
        if tag is None and not issubclass(cls, Call):
            raise TypeError(
                f"{cls.__qualname__} has no tag, and {keeper.name} needs one to find the class again: "
                f'class {cls.__name__}(Event, tag="a.name")'
            )
        check_fields(cls)
        self.cls: type[Event] = cls
        self._keeper = keeper
        self.response_type: Any = response_type(cls)
        kept = NOT_KEPT | ({"function"} if issubclass(cls, Call) else set[str]())
        fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cast("type[attrs.AttrsInstance]", cls))
        self._fields = [(field.name, field.default) for field in fields if field.init and field.name not in kept]
        self._aliases = {field.name: field.alias or field.name for field in fields}
        hints = {name: RetryData | None if name == "retry" else hint_of(cls, name, keeper) for name, _ in self._fields}
        self._struct: Any = struct_of(cls, hints, keeper)
        self._decode = msgspec.json.Decoder(self._struct, dec_hook=read_path).decode
        self._head = b"" if tag is None else self._head_of(tag)

    def encode(self, event: Event, tag: str | None = None) -> bytes:
        """
        Return the envelope of an event.

        Raises:
            ValidationError: The value of a field would not come back as it is. The message names the field.
        """
        own = event.__dict__  # without the fields that the event leaves out: they have their defaults
        values = {name: value for name, default in self._fields if (value := own.get(name, default)) is not default}
        age = _age_of(event)
        if age is not None:
            values.pop("created_at", None)
        if not values.get("metadata"):
            values.pop("metadata", None)
        if event.retry is not None and "retry" in values:
            values["retry"] = self._retry_data(event.retry)
        kept: tuple[str, bytes] | None = own.get("_raw_field")
        try:
            data, fixes, raw = self._written(values, kept)
        except Exception as exc:  # any error that an object raises when it is read
            raise self._refusal(values, exc) from exc
        rest = b',"fixes":%b' % _encode(fixes) if fixes else b""
        if age is not None:
            rest += b',"age":%d' % age
        if raw:
            rest += b',"raw":%b' % _encode(raw)
        return b"%b%b%b}" % (self._head if tag is None else self._head_of(tag), data, rest)

    def _written(
        self, values: dict[str, Any], kept: tuple[str, bytes] | None = None
    ) -> tuple[bytes, list[Fix], str | dict[str, str]]:
        """
        Return fields as JSON, the fixes for reading them, and where the text is that is kept.

        Args:
            values: The fields.
            kept: A field, and its JSON text, which is kept as it is. None if there is none.

        Raises:
            Exception: A field would not come back as it is.
        """
        fixes: list[Fix] = []
        try:
            if kept is not None:
                return *self._checked(values, values | {kept[0]: msgspec.Raw(kept[1])}, fixes), kept[0]
            return *self._checked(values, values, fixes), ""
        except Exception:
            if kept is not None:  # msgspec would not read this text as the same value
                return *self._written(values)[:2], {kept[0]: kept[1].decode()}
            fixes = []
            carried = {name: stand_in(value, (name,), fixes) for name, value in values.items()}
            if not fixes:
                raise
            return *self._checked(values, carried, fixes), ""

    def _checked(self, values: dict[str, Any], carried: dict[str, Any], fixes: list[Fix]) -> tuple[bytes, list[Fix]]:
        data = _encode(self._struct(**carried))
        if not fixes and b"null" in data and "metadata" in values:
            # JSON may have lost an infinity in the metadata, which are not compared below.
            carried = carried | {"metadata": stand_in(values["metadata"], ("metadata",), fixes)}
            data = _encode(self._struct(**carried)) if fixes else data
        struct = self._decode(data)
        read = self._mended(struct, fixes) if fixes else None
        known = len(fixes)
        for name, value in values.items():
            other = getattr(struct, name) if read is None else read[name]
            if value is not other and name != "metadata":  # metadata come back as JSON has them
                compare(value, other, (name,), fixes)
        if len(fixes) > known:
            read = self._mended(self._decode(data), fixes)
            for name, value in values.items():
                if name != "metadata":
                    compare(value, read[name], (name,), None)
        return data, fixes

    def _mended(self, struct: Any, fixes: Sequence[Fix]) -> dict[str, Any]:
        fields = {name: value for name, _ in self._fields if (value := getattr(struct, name)) is not msgspec.UNSET}
        if fixes:
            apply_fixes(fields, fixes)
        return fields

    def decode(self, header: Header) -> dict[str, Any]:
        """
        Return the fields by name.

        Raises:
            Exception: The class has other fields, or its ``_upgrade()`` has failed.
        """
        data, fixes = bytes(header.data), header.fixes
        if header.version != self.cls._kind.version:
            raw = msgspec.json.decode(data)
            apply_fixes(raw, [fix for fix in fixes if fix[1] == "json" and fix[0][0] in raw])
            data, fixes = _encode(self.cls._upgrade(raw, header.version)), []
        fields = self._mended(self._decode(data), fixes)
        if isinstance(retry := fields.get("retry"), RetryData):
            fields["retry"] = Retry(**msgspec.structs.asdict(retry))
        return fields

    def make(self, fields: dict[str, Any], **others: Any) -> Event:
        """Return an event with exactly these fields: a converter of the class has run when they were first set."""
        event = self.cls(**{self._aliases[name]: value for name, value in fields.items()}, **others)
        own = event.__dict__
        for name, value in fields.items():
            if own.get(name) is not value:
                own[name] = value  # a converter ran a second time
        if event._redacted:
            own["_secrets"] = secrets_of(event)  # now: a function may change its record later
        return event

    def _head_of(self, tag: str) -> bytes:
        redact = b'"redact":%b,' % _encode(sorted(self.cls._redacted)) if self.cls._redacted else b""
        version = b"" if self.cls._kind.version == 1 else b'"version":%d,' % self.cls._kind.version
        return b'{"tag":%b,%b%b"data":' % (_encode(tag), version, redact)

    def _refusal(self, values: dict[str, Any], cause: Exception) -> ValidationError:
        """Return an error that names the field that cannot be stored."""
        for name, value in values.items():
            try:
                self._written({name: value})
            except Exception as exc:  # noqa: BLE001  as in encode()
                reason = str(exc).partition(" - at `$")[0] or type(exc).__name__
                if holds_event(value):
                    reason = "it holds an event, which is a row of its own: keep the event's id instead"
                if any(is_inside(path, name) for path in self.cls._redacted):
                    reason = "it would not come back as what it is"  # without the value
                return ValidationError(
                    f"{self.cls.__qualname__}.{name} cannot be kept in {self._keeper.name}: {reason} "
                    f"(got {type(value).__name__})"
                )
        told = type(cause).__name__ if self.cls._redacted else str(cause)
        return ValidationError(f"{self.cls.__qualname__} cannot be kept in {self._keeper.name}: {told}")

    def _retry_data(self, retry: Retry) -> RetryData:
        if callable(retry.backoff) or retry.on is not Exception:
            raise ValidationError(
                f"{self.cls.__qualname__}.retry cannot be kept in {self._keeper.name}: it has a function or a type in "
                "it; give this Retry to the class or to the executor"
            )
        return RetryData(retry.attempts, retry.backoff, retry.max_backoff, retry.jitter, retry.deadline, retry.budget)


def _age_of(event: Event) -> int | None:
    """Return the microseconds from the creation of an event until it was queued. None if its time is no plain UTC."""
    created, queued = event.created_at, event.execution.queued_at
    if queued is None or created.tzinfo is not UTC or queued.tzinfo is not UTC or created > queued:
        return None
    return (queued - created) // _MICROSECOND


def kept_text(header: Header) -> tuple[str, bytes]:
    """Return the field whose JSON text is kept with an event, and the text."""
    if isinstance(header.raw, dict):
        ((name, text),) = header.raw.items()
        return name, text.encode()
    return header.raw, bytes(_raw_fields.decode(header.data)[header.raw])


_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def holds_event(value: Any) -> bool:
    """Return whether a value is an event, or a list, tuple, set or dict with an event in its first MAX_LOOK levels."""
    level: list[Any] = [value]
    for _ in range(MAX_LOOK):
        if any(isinstance(part, Event) for part in level):
            return True
        below = [part for part in level if isinstance(part, dict | list | tuple | set | frozenset)]
        level = [item for part in below for item in (part.values() if isinstance(part, dict) else part)]
    return False
