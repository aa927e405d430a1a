"""
What the cells of a table are: a cell is text, and the annotation of its field says what the text stands for.

A cell becomes what JSON has for it: a number, true or false, or with an annotation such as ``list`` the value that it
spells as JSON. A field without an annotation, or one that may be a text, keeps the text as it is.
"""

from __future__ import annotations

import re
import sys
from inspect import get_annotations
from math import isfinite
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from lionpride_exec._base.json_text import shown, write_json
from lionpride_exec._base.redaction import STARS
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._cli.run.json_lines import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

# What a field can be, and the reader of a cell for it. The order is that in which they are tried.
TEXT, NULL = "a text", "null"
_WHOLE: Final = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def _read_whole(cell: str) -> int:
    match = _WHOLE.fullmatch(cell)
    if match is None:
        raise ValueError(cell)
    return int(match[1])


def _read_number(cell: str) -> float:
    if _NUMBER.fullmatch(cell) is None or not isfinite(value := float(cell)):
        raise ValueError(cell)
    return value


def _read_bool(cell: str) -> bool:
    try:
        return _BOOLS[cell.lower()]
    except KeyError as exc:
        raise ValueError(cell) from exc


def _read_data(cell: str) -> Any:
    try:
        return parse_json(cell.encode())
    except BadLineError as exc:
        raise ValueError(cell) from exc


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "a whole number": _read_whole,
    "a number": _read_number,
    "true or false": _read_bool,
    "JSON": _read_data,
}
WHOLE, NUMBER, BOOL, DATA = _READERS
_KINDS: Final[Mapping[Any, str]] = {int: WHOLE, float: NUMBER, bool: BOOL, str: TEXT, NoneType: NULL, None: NULL}
_OUT: Final = object()
_BAD: Final = object()


@attrs.frozen
class Column:
    """
    One column.

    Attributes:
        name: The name of the field.
        expected: What a cell must be, for messages.
        read: Returns the value of a cell, or raises ValueError. None for text.
        empty: The value of an empty cell, or that the field is left out, or that the cell must not be empty.
        is_secret: Whether no message may quote a cell.
    """

    name: str
    expected: str
    read: Callable[[str], Any] | None
    empty: Any
    is_secret: bool = False

    def value(self, cell: str) -> Any:
        """
        Return what a cell stands for. ``_OUT`` to leave out the field.

        Raises:
            BadLineError: The cell does not fit the annotation.
        """
        bare = cell if self.read is None else cell.strip()
        if not bare:
            if self.empty is _BAD:
                raise BadLineError(f"column {self.name!r} must be {self.expected}, and is empty")
            return self.empty
        if self.read is None:
            return cell
        try:
            return self.read(bare)
        except ValueError as exc:
            raise BadLineError(f"column {self.name!r} {self.refusal(cell)}") from exc

    def refusal(self, cell: str) -> str:
        """Return what a message says about a cell that does not fit, behind the name of the column."""
        return f"must be {self.expected}, got {STARS if self.is_secret else shown(cell)}"


class Row:
    """
    Makes records of the rows of one table.

    Args:
        columns: The columns, in their order. Empty cells may follow.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._names = [column.name for column in columns]
        self._is_text = all(column.read is None and column.empty == "" for column in columns)

    def line(self, cells: list[str]) -> bytes:
        """
        Return the record of a row as JSON.

        Raises:
            BadLineError: The row has too many or too few cells, or a cell does not fit its field.
        """
        width = len(self._names)
        if len(cells) < width or any(cells[width:]):
            raise BadLineError(f"{len(cells)} cells, and the header has {width}")
        if self._is_text:
            return write_json(dict(zip(self._names, cells, strict=False)))
        record: dict[str, Any] = {}
        for column, cell in zip(self._columns, cells, strict=False):
            value = column.value(cell)
            if value is not _OUT:
                record[column.name] = value
        return write_json(record)


@attrs.frozen
class Cells:
    """
    What the cells of all tables of a run are.

    Attributes:
        hints: The annotations of the fields.
        rest: The annotation of all other fields.
        optional: Fields that an empty cell leaves out.
        is_secret: Whether messages may not quote the cells of a column.
    """

    hints: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    rest: Any = str
    optional: Collection[str] = ()
    is_secret: Callable[[str], bool] = lambda _name: False

    def row(self, name: str, header: Sequence[str]) -> Row:
        """
        Return the maker of records for a table.

        Args:
            name: The name of the file, for messages.
            header: The cells of its first row.

        Raises:
            UsageError: The header names a field twice, or leaves out a name.
        """
        names = [cell.strip() for cell in header]
        while names and not names[-1]:  # spreadsheets write empty columns behind the last one
            del names[-1]
        for place, field in enumerate(names):
            if not field:
                raise UsageError(f"column {place + 1} in the header of {name} has no name")
            if field in names[:place]:
                both = f"columns {names.index(field) + 1} and {place + 1}"
                raise UsageError(f"the header of {name} has {field!r} twice: {both}; rename one of them")
        return Row([self.column(field) for field in names])

    def column(self, name: str) -> Column:
        """Return what the cells of a column are, by its name."""
        kinds = kinds_of(self.hints.get(name, self.rest))
        is_text = TEXT in kinds or kinds == {NULL}
        empty = _OUT if name in self.optional else None if NULL in kinds else "" if is_text else _BAD
        if is_text:
            return Column(name, TEXT, None, empty)
        named = [kind for kind in _READERS if kind in kinds]
        readers = [_READERS[kind] for kind in named]
        read = readers[0] if len(readers) == 1 else _first_of(readers)
        return Column(name, " or ".join(named), read, empty, self.is_secret(name))


def _first_of(readers: Sequence[Callable[[str], Any]]) -> Callable[[str], Any]:
    def read(cell: str) -> Any:
        """Return what the first reader makes of a cell that can read it."""
        for reader in readers:
            try:
                return reader(cell)
            except ValueError:
                pass
        raise ValueError(cell)

    return read


def kinds_of(hint: Any) -> set[str]:
    """Return what a field with this annotation can be. A text, for an annotation that says nothing about JSON."""
    if (hint is None or isinstance(hint, type)) and hint in _KINDS:
        return {_KINDS[hint]}
    origin, args = get_origin(hint), get_args(hint)
    meant = args[0] if origin in {Annotated, Required, NotRequired} else _meant_by(hint)
    if meant is not None:
        return kinds_of(meant)
    if origin in {Union, UnionType}:
        return set().union(*map(kinds_of, args))
    if origin is Literal:
        return {_KINDS.get(type(value), TEXT) for value in args}
    kind = hint if origin is None else origin
    is_data = isinstance(kind, type) and (issubclass(kind, dict | list | tuple | set | frozenset) or _is_abstract(kind))
    return {DATA} if is_data else {TEXT}


def _meant_by(hint: Any) -> Any:
    """Return what a ``NewType``, or a name made by a ``type`` statement, stands for. None for anything else."""
    return hint.__supertype__ if isinstance(hint, NewType) else getattr(hint, "__value__", None)


def _is_abstract(kind: type) -> bool:
    """Whether a class is one of those of ``collections.abc``, such as ``Mapping``."""
    return kind.__module__ == "collections.abc"


def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotations of a class or function, as far as they can be resolved."""
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001  a name that is imported for type checkers only, or any other mistake of a user
        return _hints_one_by_one(kind)


def _hints_one_by_one(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for owner in reversed(getattr(kind, "__mro__", (kind,))):
        place = vars(sys.modules.get(owner.__module__, sys))
        for name, text in get_annotations(owner).items():
            try:
                found[name] = eval(text, dict(place)) if isinstance(text, str) else text  # noqa: S307  as Python would
            except Exception:  # noqa: BLE001  it stays text
                found.pop(name, None)
    return found
