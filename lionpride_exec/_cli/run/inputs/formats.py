"""Which format a file of INPUT has: by ``--input-format``, else by its name."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from lionpride_exec._base.wording import install_command
from lionpride_exec._cli.errors import UsageError

from .cells import Cells
from .compression import SUFFIXES
from .json_array import ARRAY, REQUESTS, ArrayParser
from .records import BOM
from .tables import CSV, TSV, TableParser, has_sep_line
from .text_lines import LineParser

if TYPE_CHECKING:
    from lionpride_exec._cli.run.options import InputFormat

    from .parquet import ParquetRows
    from .records import Parser

# What a parser reads. "requests" is an object with an array of requests, as Anthropic takes it.
Kind = Literal["jsonl", "json", "csv", "tsv", "parquet", "requests"]

# The formats that the ends of names tell. All other files are lines.
_BY_SUFFIX: Final[tuple[tuple[str, Kind], ...]] = (
    (".csv", "csv"),
    (".tsv", "tsv"),
    (".tab", "tsv"),
    (".json", "json"),
    (".parquet", "parquet"),
)


# Those that have cells.
TABLES: Final[frozenset[Kind]] = frozenset({"csv", "tsv"})


def format_of_name(name: str) -> Kind:
    """Return the format that the name of a file tells."""
    name = name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    for suffix, kind in _BY_SUFFIX:
        if name.endswith(suffix):
            return kind
    return "jsonl"


@attrs.frozen
class Formats:
    """
    How the files of a run are read.

    Attributes:
        asked: The format of all files. None to go by their names.
        is_plain: Whether lines of text are expected (``--field``), not JSON.
        cells: What the cells of tables are.
        delimiter: What stands between two cells. None to find out.
        encoding: The encoding of the files. None for UTF-8.
    """

    asked: InputFormat | None = None
    is_plain: bool = False
    cells: Cells = attrs.field(factory=Cells)
    delimiter: str | None = None
    encoding: str | None = None

    def find(self, name: str, head: bytes) -> Kind:
        """
        Return the format of a file.

        Args:
            name: The name of the file.
            head: Its first bytes, decompressed.
        """
        if self.asked == "anthropic-batch" and REQUESTS.match(head):
            return "requests"
        if self.asked in {"openai-batch", "anthropic-batch"}:
            return "json" if _may_be_array(head) else "jsonl"
        if self.asked is not None:
            return cast("Kind", self.asked)
        kind: Kind = "jsonl" if self.is_plain else format_of_name(name)
        return "jsonl" if kind == "json" and not _may_be_array(head) else kind

    def parser(self, kind: Kind, name: str, number: int = 0) -> Parser:
        """
        Return a new parser.

        Args:
            kind: The format. Not Parquet, which :meth:`parquet_rows` reads.
            name: The name of the file, for messages.
            number: How many lines or records come before the file.
        """
        if kind in {"json", "requests"}:
            return ArrayParser(name, number, REQUESTS if kind == "requests" else ARRAY)
        if kind in TABLES:
            delimiters = CSV if kind == "csv" else TSV
            return TableParser(name, delimiters, self.cells, number, delimiter=self.delimiter, encoding=self.encoding)
        return LineParser(number)

    def parquet_rows(self, name: str, number: int = 0) -> ParquetRows:
        """
        Return a new pass over a Parquet file. The arguments are those of :meth:`parser`.

        Raises:
            UsageError: pyarrow is not installed.
        """
        if find_spec("pyarrow") is None:
            raise UsageError(f"{name} is Parquet, which needs: {install_command('parquet')}")
        from .parquet import ParquetRows  # noqa: PLC0415  needs the extra

        return ParquetRows(name, self.cells, number)

    def check_head(self, kind: Kind, name: str, head: bytes) -> None:
        """
        Check that a file begins like its format, which is neither that of lines nor Parquet.

        Raises:
            UsageError: The header of a table cannot be used, or there is no array.
        """
        for _ in self.parser(kind, name).feed(head):
            return


def is_enough_of(kind: Kind, head: bytes) -> bool:
    """Whether the first bytes of a file that is not lines are enough to check it."""
    if kind == "parquet":  # which a pipe cannot be
        return True
    text = head.removeprefix(BOM).lstrip()
    return bool(text) if kind in {"json", "requests"} else text.count(b"\n") > has_sep_line(text)


def _may_be_array(head: bytes) -> bool:
    """Whether a file is one array. A file of lines may have a list on each line."""
    text = head.removeprefix(BOM).strip()
    first, newline, _ = text.partition(b"\n")
    if not text.startswith(b"["):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not newline
