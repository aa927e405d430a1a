"""
Events as JSON envelopes ``{"tag": ..., "version": ..., "data": {...}}``, and back.

For each class there is a :class:`Plan`: a msgspec struct of its fields, made of their annotations, which checks what
goes in as it will check what comes out. What would not come back is refused when the event is taken in. A field that is
at its default is left out, so the default of the class that reads it counts.
"""

from __future__ import annotations

import inspect
import sys
import typing
from dataclasses import is_dataclass
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, get_args, get_origin
from uuid import UUID

import attrs
import msgspec

from lionpride_exec._call import Call, check_async
from lionpride_exec._event import Event
from lionpride_exec._kinds import check_fields, find_tagged
from lionpride_exec._retry import Retry
from lionpride_exec.errors import ValidationError

from ._outcome import restore_execution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from ._rows import Row

_SCALARS = frozenset({str, bool, bytes})

# Kept elsewhere, or of this process only.
NOT_KEPT = frozenset({"id", "execution"})


class Header(msgspec.Struct):
    """An envelope whose data nobody has looked at yet."""

    tag: str
    version: int
    data: msgspec.Raw


class RetryData(msgspec.Struct, omit_defaults=True):
    """A Retry, but for what is a function."""

    attempts: int
    backoff: float
    max_backoff: float
    jitter: float
    deadline: float | None = None
    budget: float | None = None


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
# A set has an order of its own in each process.
_encode_key = msgspec.json.Encoder(order="deterministic").encode
_headers = msgspec.json.Decoder(Header)


class Unreadable(Exception):
    """Why a row does not become an event; it stays where it is."""


def encode_key(key: object) -> str:
    """
    Give a key as it stands in the file, and as it is known by: keys that are written alike are one.

    Raises:
        TypeError: JSON cannot hold it.
    """
    try:
        text = _encode_key(key).decode()
        if text == "null":
            raise ValueError("it is written as null")  # noqa: TRY301  as what msgspec itself raises
        return text  # noqa: TRY300
    except (TypeError, ValueError) as exc:
        raise TypeError(f"key must be something that JSON can hold, such as a text, got {key!r}: {exc}") from exc


class Codec:
    """
    Knows the classes of a journal.

    Args:
        types: Beside the classes that are registered by their tags: a class or, for calls, an async function, by tag.

    Raises:
        TypeError: One is neither.
    """

    def __init__(self, types: Mapping[str, type[Event] | Callable[..., Awaitable[Any]]]) -> None:
        self._types: dict[str, type[Event]] = {}
        self._tag_of: dict[type[Event], str] = {}
        self._functions: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._plans: dict[type[Event], Plan] = {}
        for tag, found in types.items():
            if isinstance(found, type) and issubclass(found, Event):
                check_fields(found)
                self._types[tag] = found
                self._tag_of[found] = tag
            else:
                self.add_function(tag, cast("Callable[..., Awaitable[Any]]", found))

    def add_function(self, tag: str, function: Callable[..., Awaitable[Any]]) -> None:
        """
        Have calls of a function be kept under a tag.

        Raises:
            TypeError: It is not async.
        """
        check_async(function)
        self._functions[tag] = function

    def knows_function(self, function: Callable[..., Awaitable[Any]]) -> bool:
        """Whether calls of a function have a tag."""
        return any(known == function for known in self._functions.values())

    def encode(self, event: Event) -> bytes:
        """
        Give an event's envelope.

        Raises:
            ValidationError: A field holds what would not come back; it is named.
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        if isinstance(event, Call):
            tag = self._tag_of_function(event)
            return self._plan(type(event)).encode(event, tag)
        return self._plan(type(event)).encode(event)

    def decode(self, row: Row) -> Event:
        """
        Give the event of a row, with its record.

        Raises:
            Unreadable: This process does not know its class, or the class does not take it.
        """
        try:
            header = _headers.decode(row.event)
            function = self._functions.get(header.tag)
            cls: type[Event] | None = Call if function is not None else self._types.get(header.tag)
            cls = cls or find_tagged(header.tag)
            plan = self._plan(cls or _unknown(header.tag))
            fields = plan.decode(header)
            if function is not None:
                fields["function"] = function
            response_type = plan.response_type if function is None else _returned_by(function)
            execution = restore_execution(row, response_type)
            return plan.cls(id=UUID(bytes=row.id), execution=execution, **fields)
        except Unreadable:
            raise
        except Exception as exc:  # whatever the file or the user's class does, the row stays
            raise Unreadable(f"{type(exc).__name__}: {exc}") from exc

    def _plan(self, cls: type[Event]) -> Plan:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = Plan(cls, self._tag_of.get(cls, cls._kind.tag))
        return plan

    def _tag_of_function(self, event: Call[Any]) -> str:
        for tag, function in self._functions.items():
            if function == event.function:  # a method of an object is made anew at each look
                return tag
        raise TypeError(
            f"a journal does not know the function of {event!r}: make the executor with Executor.of(function, "
            'journal=...), or name it by Journal(..., types={"a.tag": function}); what it takes goes into the arguments'
        )


def _unknown(tag: str) -> NoReturn:
    raise Unreadable(
        f"no class with the tag {tag!r} is known here: import its module first, or name class or function by "
        f"Journal(..., types={{{tag!r}: ...}})"
    )


def _returned_by(function: Callable[..., Any]) -> Any:
    """Give what the annotation of a function says it returns."""
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except Exception:  # noqa: BLE001  whatever an annotation is, it is not needed
        return Any
    return Any if hint is None or isinstance(hint, TypeVar) else hint


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
        self.response_type: Any = _response_type(cls)
        kept = NOT_KEPT | ({"function"} if issubclass(cls, Call) else set[str]())
        fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cast("type[attrs.AttrsInstance]", cls))
        self._fields = [(field.name, field.default) for field in fields if field.init and field.name not in kept]
        self._aliases = {field.name: field.alias or field.name for field in fields}
        hints = {name: _hint(cls, name) for name, _ in self._fields}
        # Fields whose annotation leaves open what they hold.
        self._loose = frozenset(name for name, hint in hints.items() if any(map(_is_loose, _parts(hint))))
        self._struct: Any = _struct_of(cls, hints)
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


# ---------------------------------------------------------------- annotations


def _struct_of(cls: type[Event], hints: Mapping[str, Any]) -> Any:
    """Give the struct of these fields of a class; all may be left out."""
    fields = [(name, _plain(hint) | msgspec.UnsetType, msgspec.UNSET) for name, hint in hints.items()]
    try:
        struct = msgspec.defstruct(f"{cls.__name__}Data", fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.Decoder(struct)
    except TypeError as exc:
        raise TypeError(f"a journal cannot keep {cls.__qualname__}: {exc}") from exc
    return struct


def _hint(cls: type[Event], name: str) -> Any:
    """
    Give the type that a field is annotated with.

    Raises:
        TypeError: It cannot be resolved, or has something in it that msgspec would keep in part only.
    """
    if name == "retry":
        return RetryData | None
    owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    bare = SimpleNamespace(__annotations__={name: inspect.get_annotations(owner)[name]})
    module = sys.modules.get(owner.__module__)
    try:
        hint = typing.get_type_hints(bare, vars(module) if module else {}, dict(vars(owner)))[name]
    except NameError as exc:
        raise TypeError(
            f"a journal cannot keep {cls.__qualname__}.{name}: its annotation cannot be resolved ({exc}); "
            "import what it names at run time, not for type checkers only"
        ) from exc
    for part in _parts(hint):
        _check_part(cls, name, part)
    return hint


def _plain(hint: Any) -> Any:
    """Say what msgspec needs to hear: anything is what has no type of its own."""
    return Any if hint is object or hint is Ellipsis or isinstance(hint, TypeVar) else hint


def _parts(hint: Any) -> Iterator[Any]:
    """Give the types in a type."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _is_loose(part: Any) -> bool:
    return part is Any or isinstance(part, TypeVar) or part in {object, dict, list, tuple, float}  # floats: NaN


def _check_part(cls: type[Event], name: str, part: Any) -> None:
    kind = get_origin(part) or part
    if not isinstance(kind, type):
        return
    names = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    if is_dataclass(kind):
        names = list(kind.__dataclass_fields__)
    for private in (one for one in names if one.startswith("_")):
        raise TypeError(
            f"a journal cannot keep {cls.__qualname__}.{name}: {kind.__qualname__}.{private} is private, "
            "and would be left out"
        )


def _response_type(cls: type[Event]) -> Any:
    """Give T of ``class Fetch(Event[T])``, as far as it says."""
    for base in cls.__mro__:
        for generic in base.__dict__.get("__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Event) and arguments:
                found = arguments[0]
                return Any if isinstance(found, TypeVar | str) or found is object else found
    return Any
