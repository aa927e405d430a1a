"""The command line: INPUT in other formats than lines, compressed, and in several files."""

import bz2
import csv
import gzip
import json
import lzma
import os
import resource
import sys
import tracemalloc
from pathlib import Path

import pytest
from commands import run, standard_input

TARGETS = """
from __future__ import annotations
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict
from lionpride_exec import Event
if TYPE_CHECKING:
    from collections.abc import Unknown

class Row(TypedDict):
    name: str
    size: int
    price: NotRequired[float]
    sold: bool | None

async def echo(record): return record
async def typed(record: Row) -> Unknown: return record
async def numbers(record: dict[str, int]): return record
async def nothing(record): return None

class Order(Event):
    name: str
    size: int
    price: float | None = None
    tags: list[str] = []
    kind: Literal["a", "b"] = "a"
    level: Literal[1, 2] = 1
    note: str | int = "none"
    async def _invoke(self): return [self.name, self.size, self.price, self.tags, self.kind, self.level, self.note]
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets."""
    (tmp_path / "target.py").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)


def results(name="out"):
    """Return the results, by line."""
    found = [json.loads(line) for line in Path(name).read_text("utf-8").split("\n") if line]
    return sorted(found, key=lambda result: (result["line"] is None, result["line"]))


def run_over(data, source="in.csv", target="echo", **options):
    """Run over a file with this content. Return the exit status, and the responses by line."""
    if data is not None:
        Path(source).write_bytes(data if isinstance(data, bytes) else data.encode())
    status = run(f"target.py:{target}", source, output="out", overwrite=True, quiet=True, **options)
    if status == 2:
        return status, None
    return status, {result["line"]: result.get("response") for result in results()}


# ---------------------------------------------------------------- tables

OTHERS = "; --encoding NAME reads another encoding, such as cp1252"


def test_a_row_is_a_record_of_texts():
    """Where nothing says what a cell is. A zip code keeps its zeros."""
    assert run_over("name,zip\nann,01234\nbob,\n") == (
        0,
        {2: {"name": "ann", "zip": "01234"}, 3: {"name": "bob", "zip": ""}},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffa,b\r\n1,2\r\n", {2: ["1", "2"]}),  # as Excel writes it
        ('\ufeff"a",b\n1,2', {2: ["1", "2"]}),
        ("a;b\n1,5;2\n", {2: ["1,5", "2"]}),  # as it writes it where decimals have a comma
        ("a\tb\n1,5\t2\n", {2: ["1,5", "2"]}),
        ("\r\n\r\na,b\r\n1,2\r\n\r\n3,4\r\n", {4: ["1", "2"], 6: ["3", "4"]}),
        ("a,b\r1,2\r3,4\r", {2: ["1", "2"], 3: ["3", "4"]}),  # as it writes it for old Macs
        ('a,b\n"x\r\ny",2\n"""q""",","\n', {2: ["x\r\ny", "2"], 4: ['"q"', ","]}),
        ('a,b\n5" pipe,2\n', {2: ['5" pipe', "2"]}),
        ("a,b,\n1,2,\n,,\n3,4,\n", {2: ["1", "2"], 4: ["3", "4"]}),  # empty columns and rows of a spreadsheet
        (" a , b\n 1, 2\n", {2: [" 1", " 2"]}),
        ("a,b\n\u2028,\x0b\x85\n", {2: ["\u2028", "\x0b\x85"]}),  # no ends of lines
        ("a,b\n1,2\na,b\n3,4\n", {2: ["1", "2"], 4: ["3", "4"]}),  # two files put together
        ("a,b\n", {}),
        ("a,b", {}),
    ],
)
def test_what_programs_write(text, expected):
    """The number of a record is that of the line on which its row begins."""
    status, found = run_over(text)
    assert (status, {line: list(record.values()) for line, record in found.items()}) == (0, expected)
    assert all(list(record) == ["a", "b"] for record in found.values())


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("a,b,a", "the header of in.csv has 'a' twice: columns 1 and 3; rename one of them"),
        ("a, b,b ,c", "the header of in.csv has 'b' twice: columns 2 and 3; rename one of them"),
        (",a", "column 1 in the header of in.csv has no name"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(capsys, header, told):
    """Nothing is run, and the output is as it was."""
    Path("out").write_text("old")
    assert run_over(f"{header}\n1,2,3,4\n") == (2, None)
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"
    assert Path("out").read_text() == "old"


def test_a_header_on_a_pipe_is_refused(capsys):
    """Likewise."""
    with standard_input(b"a,a\n1,2\n"):
        assert run_over(None, "-", input_format="csv") == (2, None)
    assert "the header of standard input has 'a' twice" in capsys.readouterr().err


def test_a_header_that_is_not_utf8_is_refused(capsys):
    """The names would be wrong."""
    assert run_over("größe\n1\n".encode("latin-1")) == (2, None)
    assert "cannot read the header of in.csv: not UTF-8: byte 0xf6 in column 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (b"1,2,3", "3 cells, and the header has 2"),
        (b"1", "1 cells, and the header has 2"),
        (b'"1"x,2', "not CSV: ',' expected after '\"'"),
        (b"1,\xe9", f"not UTF-8: byte 0xe9 in column 2{OTHERS}"),
        (b'"\n\xe9",2', f"not UTF-8: byte 0xe9 in column 1{OTHERS}"),
    ],
)
def test_a_bad_row_is_named_and_the_others_run(capsys, row, told):
    """With file and line."""
    status, found = run_over(b"a,b\n" + row + b"\n8,9\n")
    assert (status, [list(record.values()) for record in found.values()]) == (1, [["8", "9"]])
    assert capsys.readouterr().err == f"lionpride-exec: in.csv, line 2: {told}\n"


def test_a_quote_without_its_end_is_a_bad_row(capsys):
    """The rows before it run, and what it takes in does not."""
    status, found = run_over('a,b\n1,2\n"3,4\n5,6\n')
    assert (status, list(found)) == (1, [2])
    assert "in.csv, line 3: not CSV: unexpected end of data" in capsys.readouterr().err


def test_the_fields_of_an_event_say_what_a_cell_is():
    """Numbers, lists as JSON, literals; what may be a text is a text."""
    table = 'name,size,price,tags,kind,level,note\nx,5,2.50,"[""t""]",b,2,007\ny, 6.0 ,,,,,\n'
    assert run_over(table, target="Order") == (
        0,
        {2: ["x", 5, 2.5, ["t"], "b", 2, "007"], 3: ["y", 6, None, [], "a", 1, "none"]},
    )


def test_the_annotation_of_a_function_says_what_a_cell_is():
    """A TypedDict, although its module imports a name for type checkers only. An empty cell is null, or left out."""
    assert run_over("name,size,price,sold\n5,5,1e3,TRUE\n,6,,\n", target="typed") == (
        0,
        {
            2: {"name": "5", "size": 5, "price": 1000.0, "sold": True},
            3: {"name": "", "size": 6, "sold": None},
        },
    )
    assert run_over("a,b\n1,-2\n", target="numbers") == (0, {2: {"a": 1, "b": -2}})


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("size", "x", "a whole number, got 'x'"),
        ("size", "1.5", "a whole number, got '1.5'"),
        ("size", '"1,000"', "a whole number, got '1,000'"),
        ("size", "", "a whole number, and is empty"),
        ("size", "٣", "a whole number, got '٣'"),
        ("price", '"1,5"', "a number, got '1,5'"),
        ("price", "nan", "a number, got 'nan'"),
        ("price", "1e999", "a number, got '1e999'"),
        ("sold", "maybe", "true or false, got 'maybe'"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(capsys, column, cell, told):
    """With file, line and column."""
    rest = {"name": "x", "size": "1", "price": "", "sold": ""} | {column: cell}
    assert run_over(f"{','.join(rest)}\n{','.join(rest.values())}\n", target="typed") == (1, {})
    assert capsys.readouterr().err == f"lionpride-exec: in.csv, line 2: column {column!r} must be {told}\n"


def test_a_secret_cell_is_not_quoted(capsys):
    """Nor the record in the result."""
    assert run_over("name,size,sold\nx,hunter22,\n", target="typed", redact="size") == (1, {})
    assert capsys.readouterr().err == "lionpride-exec: in.csv, line 2: column 'size' must be a whole number, got ***\n"


def test_options_take_numbers_of_columns():
    """A priority and a cost are numbers, although nothing else says so. A timeout is one too."""
    table = "name,rank,tokens,timeout\nx,1,5.5,2\n"
    status, found = run_over(table, priority="rank", rate="10/1s:tokens", timeout=5, event_fields="timeout")
    assert (status, found) == (0, {2: {"name": "x", "rank": 1, "tokens": 5.5, "timeout": 2.0}})


def test_a_tsv_has_tabs_only():
    """By its name, or by the option."""
    assert run_over("a\tb,c\n1\t2\n", "in.tsv") == (0, {2: {"a": "1", "b,c": "2"}})
    assert run_over("a\tb\n1\t2\n", "in.txt", input_format="tsv") == (0, {2: {"a": "1", "b": "2"}})


def test_a_plain_line_may_come_from_any_file():
    """With --field the name of the file says nothing."""
    assert run_over("a,b\n1,2\n", field="x") == (0, {1: "a,b", 2: "1,2"})


def test_with_field_there_is_no_other_format(capsys):
    """The two options exclude each other."""
    assert run_over("a\n", field="x", input_format="csv") == (2, None)
    assert "--input-format needs JSON records" in capsys.readouterr().err


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": "]}\\",["}, 5, [1, [2]], "x"]',
        '\ufeff\n[\n  {"a":\r\n   "]}\\",["},\n  5,\n  [1,\n [2]], "x" ]\n\n',
    ],
)
def test_an_array_is_read_by_its_elements(text):
    """Each is a record, whose number is its place."""
    assert run_over(text, "in.json") == (0, {1: {"a": ']}",['}, 2: 5, 3: [1, [2]], 4: "x"})


def test_an_element_is_written_as_it_was():
    """Its numbers are not rounded, and its texts keep their escapes. It becomes one line."""
    Path("in.json").write_text('[{"a": 1.10,\n   "b": "\\u00e9"}, 12345678901234567890123]')
    assert run_over(None, "in.json")[0] == 0
    lines = Path("out").read_text().splitlines()
    assert lines[0].startswith('{"record": {"a": 1.10, "b": "\\u00e9"}, ')
    assert lines[1].startswith('{"record": 12345678901234567890123, ')


@pytest.mark.parametrize("text", ["[]", " [ ]\n", ""])
def test_an_array_may_be_empty(text):
    """Then there is nothing to do."""
    assert run_over(text, "in.json") == (0, {})


def test_a_bad_element_is_named_and_the_others_run(capsys):
    """An array that is no JSON as a whole still has good elements."""
    assert run_over("[1, nope, , 4]", "in.json") == (1, {1: 1, 4: 4})
    assert capsys.readouterr().err == (
        "lionpride-exec: in.json, element 2: not JSON: Expecting value (column 1)\n"
        "lionpride-exec: in.json, element 3: not JSON: there is nothing before the comma\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"a": 1}, {"a": ', " after element 1: it is cut off: its JSON array has no end"),
        ('[{"a": 1}, "x', " after element 1: it is cut off: its JSON array has no end"),
        ('[{"a": 1}] [2]', " after element 1: something follows the end of its JSON array"),
        ("[", ": it is cut off: its JSON array has no end"),
    ],
)
def test_an_array_without_its_end_has_run_so_far(capsys, text, told):
    """Elements before it are records. The status says that not all is done."""
    Path("in.json").write_text(text)
    status, found = run_over(None, "in.json")
    assert (status, len(found)) == (1, '"a": 1' in text)
    assert capsys.readouterr().err.startswith(f"lionpride-exec: cannot read on in in.json{told}")


def test_lines_in_a_file_named_json_are_lines():
    """Many programs name them so. A list on each line is no array."""
    assert run_over('{"a": 1}\n{"a": 2}\n', "in.json") == (0, {1: {"a": 1}, 2: {"a": 2}})
    assert run_over("[1, 2]\n[3, 4]\n", "in.json") == (0, {1: [1, 2], 2: [3, 4]})


def test_what_is_no_array_is_refused(capsys):
    """If the option asks for one."""
    assert run_over('{"a": 1}', "in", input_format="json") == (2, None)
    assert "in is not a JSON array: it does not begin with [" in capsys.readouterr().err


# ---------------------------------------------------------------- compressed

LINES = b'{"a": 1}\n{"a": 2}\n'


def zstd_compress(data):
    """Compress as zstd."""
    try:
        from compression import zstd  # noqa: PLC0415  of Python 3.14
    except ImportError:
        from backports import zstd  # noqa: PLC0415  before
    return zstd.compress(data)


ZSTD = zstd_compress(LINES)
COMPRESS = {"gz": gzip.compress, "zst": zstd_compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("source", ["in.jsonl", "in", "-"])
def test_compressed_lines_are_read(suffix, source):
    """By what the file begins with, whatever its name is."""
    data = COMPRESS[suffix](LINES)
    if source == "-":
        with standard_input(data):
            found = run_over(None, "-")
    else:
        found = run_over(data, f"{source}.{suffix}")
    assert found == (0, {1: {"a": 1}, 2: {"a": 2}})


@pytest.mark.parametrize("suffix", COMPRESS)
def test_parts_of_a_compressed_file_are_one(suffix):
    """As ``cat a.gz b.gz`` makes them, a line may begin in one and end in the other."""
    compress = COMPRESS[suffix]
    assert run_over(compress(LINES[:12]) + compress(b"") + compress(LINES[12:]), f"in.{suffix}") == (
        0,
        {1: {"a": 1}, 2: {"a": 2}},
    )


def test_zeros_behind_a_gzip_are_no_data():
    """Tapes are filled up with them."""
    assert run_over(gzip.compress(LINES) + bytes(500), "in.gz") == (0, {1: {"a": 1}, 2: {"a": 2}})


@pytest.mark.parametrize("suffix", COMPRESS)
def test_the_name_in_front_says_what_is_compressed(suffix):
    """A table, or an array."""
    compress = COMPRESS[suffix]
    assert run_over(compress(b"a\n1\n"), f"in.csv.{suffix}") == (0, {2: {"a": "1"}})
    assert run_over(compress(b"[1]"), f"IN.JSON.{suffix.upper()}") == (0, {1: 1})


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.csv.gz"])
def test_a_truncated_gzip_has_run_so_far(capsys, name):
    """No line before the cut is lost, half a line is no record, and the status says that not all is done."""
    lines = b"".join(b'"%06d"\n' % number for number in range(100_000))
    data = gzip.compress(b'"n"\n' + lines)
    status, found = run_over(data[: len(data) // 2], name, target="echo")
    told = capsys.readouterr().err
    last = max(found)
    assert status == 1
    assert told == (
        f"lionpride-exec: cannot read on in {name} after line {last:,}: it is cut off: its gzip data have no end\n"
    )
    assert 40_000 < len(found) < 60_000
    expected = f"{last - 2:06d}"
    assert found[last] == ({"n": expected} if "csv" in name else expected)
    assert len(found) == last - (1 if "csv" in name else 0)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_damaged_data_are_told(capsys, suffix):
    """And nothing hangs."""
    data = bytearray(COMPRESS[suffix](os.urandom(100_000)))
    at = 4 if suffix == "zst" else 12  # random data are stored as they are, without a checksum
    data[at : at + 8] = b"\xff" * 8
    status, _ = run_over(bytes(data), f"in.{suffix}", field="x")
    told = capsys.readouterr().err
    assert status == 1
    assert "data are damaged (" in told


def test_zstd_without_its_package_is_refused(capsys, monkeypatch):
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    assert run_over(ZSTD, "in.zst") == (2, None)
    assert "needs: pip install '.[zstd]'" in capsys.readouterr().err


# ---------------------------------------------------------------- several files


def test_several_files_are_one_input(capsys):
    """Each by its own format. Lines are counted through, and messages name the file."""
    Path("b.csv").write_text("a\n1\nx\n")
    Path("a.jsonl").write_text('{"a": 3}\noops')
    Path("c.json.gz").write_bytes(gzip.compress(b"[5, nope, 6]"))
    assert run_over(None, ["b.csv", "a.jsonl", "c.json.gz"]) == (
        1,
        {2: {"a": "1"}, 3: {"a": "x"}, 4: {"a": 3}, 6: 5, 8: 6},
    )
    assert capsys.readouterr().err == (
        "lionpride-exec: a.jsonl, line 2: not JSON: Expecting value (column 1)\n"
        "lionpride-exec: c.json.gz, element 2: not JSON: Expecting value (column 1)\n"
    )


def test_a_pattern_stands_for_all_files(capsys):
    """In the order of their names, folders not counted."""
    for number, name in enumerate(["b.jsonl", "a.jsonl", "c.txt"]):
        Path(name).write_text(str(number))
    Path("d.jsonl").mkdir()
    assert run_over(None, ["*.jsonl"]) == (0, {1: 1, 2: 0})
    assert run_over(None, ["*.csv"]) == (2, None)
    assert "no file matches *.csv" in capsys.readouterr().err


def test_a_file_that_is_named_like_a_pattern_is_that_file():
    """As it exists."""
    Path("a1").write_text("1")
    assert run_over("2", "a[1]") == (0, {1: 2})


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (["in", "-"], "standard input (-) cannot be one of several files"),
        (["in", "in"], "in is given twice"),
        (["in", "none"], "cannot read none: No such file or directory"),
        (["in", "bad.csv"], "the header of bad.csv has 'a' twice: columns 1 and 2; rename one of them"),
        ([], "INPUT is missing: name a file, or give - for standard input"),
        (["--outptu"], "INPUT got '--outptu', which looks like an option; a file of that name is ./--outptu"),
    ],
)
def test_all_files_are_checked_first(capsys, sources, told):
    """Nothing is run if one cannot be read."""
    Path("in").write_text("1")
    Path("bad.csv").write_text("a,a\n")
    assert run_over(None, sources) == (2, None)
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


def test_files_after_one_that_is_cut_off_are_read(capsys):
    """It is told which file it was."""
    Path("a.gz").write_bytes(gzip.compress(b"1\n2\n")[:-8])
    Path("b").write_text("3")
    assert run_over(None, ["a.gz", "b"]) == (1, {1: 1, 2: 2, 3: 3})
    assert "cannot read on in a.gz after line 2: it is cut off" in capsys.readouterr().err


def test_the_output_is_none_of_the_files(capsys):
    """Nor the journal."""
    for name in "ab":
        Path(name).write_text("1")
    assert run("target.py:echo", ["a", "b"], output="b", overwrite=True) == 2
    assert "--output b is the input" in capsys.readouterr().err
    assert run("target.py:echo", ["a", "b"], output="out", journal="b") == 2
    assert "--journal b is the file of INPUT" in capsys.readouterr().err


def test_many_files_are_open_one_at_a_time(monkeypatch):
    """A process may not have so many open."""
    names = [f"{number:04}" for number in range(300)]
    for name in names:
        Path(name).write_text(name.lstrip("0") or "0")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        status, found = run_over(None, names)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (status, len(found)) == (0, 300)


# ---------------------------------------------------------------- with a journal


def test_a_line_is_known_in_any_file_and_format():
    """By its content: as a table, as lines, in one file or in two."""
    Path("in.csv").write_text("n\n1\n2\n3\n")
    assert run("target.py:echo", "in.csv", journal="run.db", output="out", quiet=True) == 0
    Path("a.jsonl").write_text('{"n": "1"}\n')
    Path("b.json").write_text('[{"n": "2"}, {"n": "3"}, {"n": "4"}]')
    assert run("target.py:echo", ["a.jsonl", "b.json"], journal="run.db", output="out", quiet=True) == 0
    assert [(result["record"]["n"], result["line"]) for result in results()] == [
        ("1", 1),
        ("2", 2),
        ("3", 3),
        ("4", 4),
    ]


def test_a_truncated_file_with_a_journal_goes_on(capsys):
    """What is left is done once the file is whole."""
    data = gzip.compress(b"".join(b"%d\n" % number for number in range(20_000)))
    for part, status in ((data[:-20_000], 1), (data[:-20_000], 1), (data, 0)):
        Path("in.gz").write_bytes(part)
        assert run("target.py:nothing", "in.gz", journal="run.db", output="out", quiet=True) == status
    assert [result["record"] for result in results()] == list(range(20_000))


# ---------------------------------------------------------------- how the bytes come


@pytest.fixture
def arriving(monkeypatch):
    """Have standard input bring these pieces, one each time."""
    real, pieces = os.read, []
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, size) if fd != 0 else pieces.pop(0) if pieces else b"")
    with standard_input(b""):
        yield pieces.extend


TABLE = '\ufeffa,b\r\n1,"x\r\n""é"""\r\n\r\n3,4\r5,"6\n"\n7,8'.encode()
ARRAY = '[ {"a": "\\\\\\"]é"},\n [1, {"b": "x"}], 5.5 ,"" ]'.encode()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (
            "csv",
            TABLE,
            {
                2: {"a": "1", "b": 'x\r\n"é"'},
                5: {"a": "3", "b": "4"},
                6: {"a": "5", "b": "6\n"},
                8: {"a": "7", "b": "8"},
            },
        ),
        ("json", ARRAY, {1: {"a": '\\"]é'}, 2: [1, {"b": "x"}], 3: 5.5, 4: ""}),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_the_pieces_of_a_pipe_make_no_difference(arriving, kind, data, expected, size, compress):
    """Wherever they are cut."""
    data = compress(data)
    arriving([data[at : at + size] for at in range(0, len(data), size)])
    assert run_over(None, "-", input_format=kind) == (0, expected)


def test_a_cell_longer_than_a_read_is_whole():
    """Half a megabyte of quoted lines."""
    cell = 'line "1"\r\n' * 50_000
    with Path("in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], [cell, "1"], ["2", "3"]])
    status, found = run_over(None)
    assert (status, list(found.values())) == (0, [{"a": cell, "b": "1"}, {"a": "2", "b": "3"}])


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl.gz"])
def test_memory_does_not_grow_with_the_file(kind):
    """Ten times the rows take no more."""
    peaks = []
    for count in (2_000, 20_000):
        rows = [{"n": number, "text": "x" * 100} for number in range(count)]
        name = f"{count}.{kind}"
        if kind == "csv":
            with Path(name).open("w", newline="") as file:
                writer = csv.DictWriter(file, ["n", "text"])
                writer.writeheader()
                writer.writerows(rows)
        elif kind == "json":
            Path(name).write_text(json.dumps(rows, indent=1))
        else:
            Path(name).write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        del rows
        tracemalloc.start()
        assert run("target.py:nothing", name, output=os.devnull, overwrite=True, quiet=True) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3_000_000
