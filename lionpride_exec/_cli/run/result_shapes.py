"""
The forms in which results are written: ``--fields`` and ``--output-format``.

A shape is made of the usual result, a line of JSON. So it has the same values with a journal and without one.
"""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from lionpride_exec._base.field_paths import MISSING, look_up
from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import UsageError

from .batch_results import AnthropicBatch, OpenAIBatch
from .inputs.compression import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .options import RunOptions

# The fields of each result. Any other name is that of a field of its record.
RESULT: Final = ("record", "status", "response", "error", "duration", "line")

# What some results have too. A field of the record comes first: what a column means must not depend on the result.
SOMETIMES: Final = ("id", "key")

# The columns of a table behind those of the record, if no columns are named.
BEHIND: Final = ("status", "response", "error", "duration", "line")

# How many fields without a column are named at the end.
NAMED: Final = 10


class Shape(Protocol):
    """Makes the text of a result for the output."""

    def convert(self, line: bytes) -> bytes:
        """Return a result in this form. The first one has the header in front, if there is one."""
        ...

    def message(self) -> str | None:
        """Return what there is to tell at the end. None if there is nothing."""
        ...


class Unchanged:
    """The usual result."""

    def convert(self, line: bytes) -> bytes:
        """Return the result as it is."""
        return line

    def message(self) -> str | None:
        """Return None."""
        return None


class _Missing:
    """
    The names of ``--fields`` that no result has had so far, though one could have had them.

    Args:
        names: As for :class:`ChosenFields`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._open = [name for name in names if name not in RESULT]  # may still turn up, in the result or its record
        self._missed: dict[str, str] = {}  # those that a result has lacked, with what else may have been meant

    def note(self, result: Mapping[str, Any]) -> None:
        """Look for the names in a result. Costs nothing once all were found."""
        for name in self._open[:]:
            owner = name.partition(".")[0] if _is_own(name) else "record"
            if look_up(*_place_of(result, name)) is not MISSING:
                self._open.remove(name)
                self._missed.pop(name, None)
            elif name not in self._missed and result.get(owner) is not None:  # a result that failed has no response
                self._missed[name] = "" if _is_own(name) else self._hint(name, result)

    @staticmethod
    def _hint(name: str, result: Mapping[str, Any]) -> str:
        """Return what else may have been meant by the name of a field of the record."""
        if not isinstance(result["record"], dict):
            return " (the whole record is 'record')"
        known = (*_fields_of(result), *RESULT, *SOMETIMES)
        return did_you_mean(name, [one for one in known if one != name])

    def message(self) -> str | None:
        """Return which names no result has. None if there are none."""
        if not self._missed:
            return None
        names = ", ".join(f"{name!r}{hint}" for name, hint in self._missed.items())
        return f"--fields: no result has {names}"


class ChosenFields:
    """
    An object with some fields, on one line.

    Args:
        names: Fields of the result or of its record, or paths into them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._missing = _Missing(names)

    def convert(self, line: bytes) -> bytes:
        """Return the object. A field that is missing is null."""
        result = read_json(line)
        self._missing.note(result)
        return write_json({name: value_in(result, name) for name in self._names}) + b"\n"

    def message(self) -> str | None:
        """Return which fields no result has."""
        return self._missing.message()


class Table:
    """
    CSV with a header.

    Args:
        names: As for :class:`ChosenFields`. If empty, the fields of the first record, and those of the result behind.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = names
        self._missing = _Missing(names)
        self._columns: frozenset[str] | None = None  # of records, if they are those of the first record
        self._is_begun = False
        self._left_out: dict[str, None] = {}  # fields of records without a column

    def convert(self, line: bytes) -> bytes:
        """Return the row."""
        result = read_json(line)
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        self._missing.note(result)
        if not self._is_begun:
            self._begin(result)
            writer.writerow(self._names)
        elif self._columns is not None and len(self._left_out) < NAMED:
            self._left_out |= dict.fromkeys(name for name in _fields_of(result) if name not in self._columns)
        writer.writerow([_cell(value_in(result, name)) for name in self._names])
        return text.getvalue().encode("utf-8", "backslashreplace")

    def _begin(self, result: Mapping[str, Any]) -> None:
        self._is_begun = True
        if not self._names:
            fields = _fields_of(result)
            self._columns = frozenset(fields)
            own = [f"record.{name}" if name in RESULT else name for name in fields]
            self._names = [*(own or ["record"]), *BEHIND]

    def message(self) -> str | None:
        """Return which fields of records are not in the table, or which columns no result has."""
        if not self._left_out:
            return self._missing.message()
        return f"fields of some records have no column: {', '.join(self._left_out)}; --fields names the columns"


def _fields_of(result: Mapping[str, Any]) -> list[str]:
    record = result["record"]
    return list(cast("dict[str, Any]", record)) if isinstance(record, dict) else []


def value_in(result: Mapping[str, Any], name: str) -> Any:
    """Return the value of a field of a result, or of its record. None if it is missing."""
    found = look_up(*_place_of(result, name))
    return None if found is MISSING else found


def _is_own(name: str) -> bool:
    """Whether a name is that of a field of the result, or a path into one."""
    return name.partition(".")[0] in RESULT


def _place_of(result: Mapping[str, Any], name: str) -> tuple[Any, str]:
    """Return what has the field of a name, and the name."""
    if _is_own(name):
        return result, name
    record = result["record"]
    is_there = name in SOMETIMES and name in result and look_up(record, name) is MISSING
    return (result if is_there else record), name


def _cell(value: Any) -> str:
    """Return a value as the text of a cell. An error is its class and its message, on one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and {"error", "message"} <= value.keys():
        known = cast("dict[str, Any]", value)
        text = f"{known['error']}: {known['message']}" if known["message"] else str(known["error"])
        return " ".join(line.strip() for line in text.splitlines())
    return write_json(value).decode()


def misnamed(options: RunOptions) -> str | None:
    """Return a warning if the name of the output tells a format that the results do not have. Else None."""
    form = "CSV" if options.output_format == "csv" else "JSON lines"
    return misnamed_file(options.output, form, "--output-format csv writes a table")


def misnamed_file(path: str, form: str, cure: str) -> str | None:
    """
    Return a warning if the name of a file tells another format than the file gets. Else None.

    Args:
        path: The file.
        form: Its format: ``CSV`` or ``JSON lines``.
        cure: How to get a table. It is told of a name that ends with ``.csv``.
    """
    suffix = next((suffix for suffix in _OTHERS if path.lower().endswith(suffix)), None)
    if suffix is None or (suffix == ".csv" and form == "CSV"):
        return None
    return f"{path} gets {form}, whatever its name says{f'; {cure}' if suffix == '.csv' else ''}"


# What the name of an output may end with that tells another format than JSON lines.
_OTHERS: Final = (".csv", ".tsv", ".tab", ".parquet", ".xlsx", ".xls", ".ods", *SUFFIXES)

_BATCHES: Final[Mapping[str, Callable[[], Shape]]] = {"openai-batch": OpenAIBatch, "anthropic-batch": AnthropicBatch}


def shape_of(options: RunOptions) -> Shape:
    """
    Return the form of the results.

    Raises:
        UsageError: ``--fields`` names no field.
    """
    names = [name.strip() for name in (options.fields or "").split(",") if name.strip()]
    if options.fields is not None and not names:
        raise UsageError("--fields must name fields, such as id,status,response")
    if options.output_format in _BATCHES:
        return _BATCHES[options.output_format]()
    if options.output_format == "csv":
        return Table(names)
    return ChosenFields(names) if names else Unchanged()
