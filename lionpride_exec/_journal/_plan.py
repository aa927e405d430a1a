"""
How the events of a class become JSON, and come back.

A plan is a msgspec struct of the fields, made of their annotations, which checks what goes in as it will check what
comes out. What would not come back is refused when the event is taken in. A field that is at its default is left out,
so the default of the class that reads it counts.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec

from lionpride_exec._call import Call
from lionpride_exec._kinds import check_fields
from lionpride_exec._retry import Retry
from lionpride_exec.errors import ValidationError

from ._hints import hint_of, is_loose, response_type, struct_of

if TYPE_CHECKING:
    from lionpride_exec._event import Event

_SCALARS = frozenset({str, bool, bytes})

# Kept elsewhere, or of this process only.
NOT_KEPT = frozenset({"id", "execution"})


class RetryData(msgspec.Struct, omit_defaults=True):
    """A Retry, but for what is a function."""

    attempts: int
    backoff: float
    max_backoff: float
    jitter: float
    deadline: float | None = None
    budget: float | None = None


class Header(msgspec.Struct):
    """An envelope whose data nobody has looked at yet."""

    tag: str
    version: int
    data: msgspec.Raw


def _enc_hook(value: Any) -> Any:
    """Write what msgspec does not know by itself."""
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError(f"Encoding objects of type {type(value).__qualname__} is unsupported")


def _dec_hook(kind: type, value: Any) -> Any:
    """Read it again."""
    if issubclass(kind, PurePath):
        return kind(value)
    raise NotImplementedError(f"Objects of type {kind.__qualname__} are unsupported")


_encode = msgspec.json.Encoder(enc_hook=_enc_hook).encode


class Plan:
    """
    How the events of one class are written and read.

    Args:
        cls: The class.
        tag: Of it.

    Raises:
        TypeError: It has none, or its annotations cannot be used.
    """

    def __init__(self, cls: type[Event], tag: str | None) -> None:
        if tag is None and not issubclass(cls, Call):
            raise TypeError(
                f"{cls.__qualname__} has no tag, by which a journal would find it again: "
                f'class {cls.__name__}(Event, tag="a.name")'
            )
        check_fields(cls)
        self.cls: type[Event] = cls
        self.response_type: Any = response_type(cls)
        kept = NOT_KEPT | ({"function"} if issubclass(cls, Call) else set[str]())
        fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cast("type[attrs.AttrsInstance]", cls))
        self._fields = [(field.name, field.default) for field in fields if field.init and field.name not in kept]
        self._aliases = {field.name: field.alias or field.name for field in fields}
        hints = {name: RetryData | None if name == "retry" else hint_of(cls, name) for name, _ in self._fields}
        # Fields whose annotation leaves open what they hold.
        self._loose = frozenset(name for name, hint in hints.items() if is_loose(hint))
        self._struct: Any = struct_of(cls, hints)
        self._decode = msgspec.json.Decoder(self._struct, dec_hook=_dec_hook).decode
        self._head = b"" if tag is None else self._head_of(tag)

    def encode(self, event: Event, tag: str | None = None) -> bytes:
        """
        Give an event's envelope.

        Raises:
            ValidationError: A field holds what would not come back; it is named.
        """
        own = event.__dict__
        values = {name: value for name, default in self._fields if (value := own[name]) is not default}
        if not event.metadata:
            del values["metadata"]
        if event.retry is not None and "retry" in values:
            values["retry"] = _retry_data(self.cls, event.retry)
        try:
            data = _encode(self._struct(**values))
            read = self._decode(data)
            for name, value in values.items():
                if name != "metadata":  # whatever is noted there, as JSON has it
                    _check_same(value, getattr(read, name), is_loose=name in self._loose)
        except (TypeError, ValueError, RecursionError) as exc:
            raise self._refusal(values, exc) from exc
        return (self._head if tag is None else self._head_of(tag)) + data + b"}"

    def decode(self, header: Header) -> dict[str, Any]:
        """
        Give the keywords of the constructor.

        Raises:
            Exception: The data are not those of the class, or its ``_upgrade()`` has failed.
        """
        data = bytes(header.data)
        if header.version != self.cls._kind.version:
            data = _encode(self.cls._upgrade(msgspec.json.decode(data), header.version))
        struct = self._decode(data)
        fields = {
            self._aliases[name]: value
            for name, _ in self._fields
            if (value := getattr(struct, name)) is not msgspec.UNSET
        }
        if isinstance(retry := fields.get("retry"), RetryData):
            fields["retry"] = Retry(**msgspec.structs.asdict(retry))
        return fields

    def _head_of(self, tag: str) -> bytes:
        return b'{"tag":%b,"version":%d,"data":' % (_encode(tag), self.cls._kind.version)

    def _refusal(self, values: dict[str, Any], cause: Exception) -> ValidationError:
        """Find the field that cannot be kept."""
        for name, value in values.items():
            try:
                read = self._decode(_encode(self._struct(**{name: value})))
                if name != "metadata":
                    _check_same(value, getattr(read, name), is_loose=name in self._loose)
            except (TypeError, ValueError, RecursionError) as exc:
                reason = str(exc).partition(" - at `$")[0]
                return ValidationError(
                    f"{self.cls.__qualname__}.{name} cannot be kept in a journal: {reason or type(exc).__name__} "
                    f"(got {type(value).__name__})"
                )
        return ValidationError(f"{self.cls.__qualname__} cannot be kept in a journal: {cause}")


def _check_same(value: Any, read: Any, *, is_loose: bool) -> None:
    """
    Check that a value comes back as what it was, but for tuples that come back as lists.

    Args:
        value: That is written.
        read: That is read again.
        is_loose: Whether to look into it, since its annotation does not say what there is.

    Raises:
        TypeError: It does not.
    """
    if not _is_same(value, read, is_loose=is_loose):
        raise TypeError(f"{value!r:.100} would come back as {read!r:.100}; annotate the field with its type")


def _is_same(value: Any, read: Any, *, is_loose: bool) -> bool:
    kind = type(value)
    if kind in {list, tuple}:
        if not isinstance(read, list | tuple) or not is_loose:
            return isinstance(read, list | tuple)
        pairs = zip(value, read, strict=True)
        return len(value) == len(read) and all(_is_same(one, other, is_loose=True) for one, other in pairs)
    if kind is dict and is_loose:
        is_alike = type(read) is dict and value.keys() == read.keys()
        return is_alike and all(_is_same(one, read[key], is_loose=True) for key, one in value.items())
    if kind in {int, float}:
        return type(read) in {int, float} and value == read
    return type(read) is kind and (kind not in _SCALARS or value == read)


def _retry_data(cls: type[Event], retry: Retry | None) -> RetryData | None:
    if retry is None:
        return None
    if callable(retry.backoff) or retry.on is not Exception:
        raise ValidationError(
            f"{cls.__qualname__}.retry cannot be kept in a journal: it has a function or a type in it; "
            "give such a Retry to the class or to the executor"
        )
    return RetryData(retry.attempts, retry.backoff, retry.max_backoff, retry.jitter, retry.deadline, retry.budget)
