"""The command line: INPUT that is Parquet."""

import gzip
import json
import os
import sys
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from commands import run, standard_input
from pyarrow import parquet

TARGETS = """
from typing import TypedDict

class Order(TypedDict):
    price: float
    size: int

async def echo(record): return record
async def typed(record: Order): return record
async def nothing(record): return None
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets."""
    (tmp_path / "target.py").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)


def run_over(source, target="echo", **options):
    """Run over files. Return the exit status, and the responses by line."""
    status = run(f"target.py:{target}", source, output="out", overwrite=True, quiet=True, **options)
    if status == 2:
        return status, None
    found = [json.loads(line) for line in Path("out").read_text("utf-8").split("\n") if line]
    return status, {result["line"]: result["response"] for result in found}


def write(columns, name="in.parquet", **options):
    """Write a file of these columns."""
    parquet.write_table(pa.table(columns), name, **options)


def column_of(array):
    """Return what the target gets of the values of one column."""
    write({"a": array})
    status, found = run_over("in.parquet")
    assert status == 0
    return [found[number]["a"] for number in sorted(found)]


# ---------------------------------------------------------------- values

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 123456)  # noqa: DTZ001  a time without a zone
PLUS_ONE = timezone(timedelta(hours=1))
NANOSECONDS = 1_767_323_045_123_456_789


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, 2**64 - 1], pa.uint64()), [1, None, 2**64 - 1]),
        (pa.array([0.5, None, float("nan")]), [0.5, None, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["01", "", None]), ["01", "", None]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        (pa.array([b"\xff\x00", None]), ["/wA=", None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([date(2026, 1, 2), None]), ["2026-01-02", None]),
        (pa.array([MOMENT, None]), ["2026-01-02T03:04:05.123456", None]),
        (pa.array([MOMENT.replace(tzinfo=UTC)]), ["2026-01-02T03:04:05.123456+00:00"]),
        (pa.array([MOMENT.replace(tzinfo=PLUS_ONE)]), ["2026-01-02T03:04:05.123456+01:00"]),
        (pa.array([NANOSECONDS, None], pa.timestamp("ns")), ["2026-01-02T03:04:05.123456789", None]),
        (pa.array([-1, -1000, 0], pa.timestamp("ns", "+01:00")),
         ["1970-01-01T00:59:59.999999999+01:00", "1970-01-01T00:59:59.999999+01:00", "1970-01-01T01:00:00+01:00"]),
        (pa.array([time(3, 4, 5), None]), ["03:04:05", None]),
        (pa.array([1, 10**9], pa.time64("ns")), ["00:00:00.000000001", "00:00:01"]),
        (pa.array([timedelta(seconds=90), None]), ["PT90S", None]),
        (pa.array([-1, 1500], pa.duration("ns")), ["-PT0.000000001S", "PT0.000001500S"]),
        (pa.array([Decimal("12.50"), None]), ["12.50", None]),
        (pa.array([Decimal("0.0000000"), None]), ["0.0000000", None]),
        (pa.array([Decimal(10**30), None], pa.decimal128(38, 0)), [10**30, None]),
        (pa.array([[1, None], None, []]), [[1, None], None, []]),
        (pa.array([[1, 2], [3, None]], pa.list_(pa.int8(), 2)), [[1, 2], [3, None]]),
        (pa.array([{"b": [{"c": date(2026, 1, 2)}]}, None, {"b": None}]),
         [{"b": [{"c": "2026-01-02"}]}, None, {"b": None}]),
        (pa.array([[("x", 1), ("y", None)], None, []], pa.map_(pa.string(), pa.int64())),
         [{"x": 1, "y": None}, None, {}]),
        (pa.array([[(7, Decimal("1.5"))]], pa.map_(pa.int64(), pa.decimal128(9, 1))), [{"7": "1.5"}]),
    ],
)  # fmt: skip
def test_values_have_their_types(array, expected):
    """Those that JSON has are what they are, the others have the form that they have in a response."""
    assert column_of(array) == expected


def test_a_decimal_is_a_number_if_the_annotation_says_so(capsys):
    """And one that does not fit is a bad line."""
    write(
        {
            "price": pa.array([Decimal("1.50"), Decimal("0.25")]),
            "size": pa.array([Decimal("2.0"), Decimal("2.5")]),
        }
    )
    assert run_over("in.parquet", "typed") == (1, {1: {"price": 1.5, "size": 2}})
    assert capsys.readouterr().err == (
        "lionpride-exec: in.parquet, row 2: column 'size' must be a whole number, got '2.5'\n"
    )


def test_a_decimal_can_be_a_priority():
    """Options that need a number get one."""
    write({"a": pa.array([Decimal("1.50")])})
    assert run_over("in.parquet", priority="a") == (0, {1: {"a": 1.5}})


def test_a_value_that_cannot_be_read_spoils_its_row_only(capsys):
    """Texts that are not UTF-8, also inside of others, and times that Python has not."""
    texts = pa.array([b"good", b"b\xe9d", b"good"])
    texts = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    inner = pa.StructArray.from_arrays([texts], ["b"])
    times = pa.array([0, 0, 10**18], pa.timestamp("us"))
    write({"a": inner, "when": times})
    status, found = run_over("in.parquet")
    assert (status, list(found)) == (1, [1])
    assert capsys.readouterr().err == (
        "lionpride-exec: in.parquet, row 2: column 'a' is not UTF-8: byte 0xe9\n"
        "lionpride-exec: in.parquet, row 3: column 'when' is a timestamp[us] outside of the years 1 to 9999\n"
    )


# ---------------------------------------------------------------- files


def test_rows_are_counted_through_all_row_groups_and_files():
    """Whatever their formats are. Patterns stand for files, and part of the rows can be read."""
    write({"a": range(5)}, "a1.parquet", row_group_size=2)
    write({"a": range(5, 7)}, "a2.parquet")
    Path("b.csv").write_text("a\n7\n")
    every = {number + 1: {"a": number} for number in range(7)} | {9: {"a": "7"}}
    assert run_over(["a*.parquet", "b.csv"]) == (0, every)
    assert run_over(["a*.parquet"], skip=4, limit=2) == (0, {5: {"a": 4}, 6: {"a": 5}})


def test_standard_input_may_be_a_file():
    """It is read where it is: only a pipe cannot be."""
    write({"a": [1, 2]})
    saved, fd = os.dup(0), os.open("in.parquet", os.O_RDONLY)
    os.dup2(fd, 0)
    try:
        assert run_over("-", input_format="parquet") == (0, {1: {"a": 1}, 2: {"a": 2}})
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(fd)


def test_a_file_without_rows_is_no_error():
    """There is nothing to do."""
    write({"a": pa.array([], pa.int64())})
    assert run_over("in.parquet") == (0, {})


def test_rows_are_known_to_a_journal(capsys):
    """By what they say. So a file may be written anew, with other row groups."""
    write({"a": [1, 2, 3]})
    options = {"output": "out", "journal": "run.db", "quiet": True}
    assert run("target.py:echo", "in.parquet", **options) == 0
    write({"a": [3, 2, 1, 0]}, row_group_size=1)
    assert run("target.py:echo", "in.parquet", **options) == 0
    found = [json.loads(line) for line in Path("out").read_text().splitlines()]
    assert sorted((result["line"], result["response"]["a"]) for result in found) == [(1, 3), (2, 2), (3, 1), (4, 0)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("in.parquet", b"", "cannot read in.parquet: its Parquet data are damaged ("),
        ("in.parquet", b'{"a": 1}\n', "cannot read in.parquet: its Parquet data are damaged ("),
        ("in.parquet", None, "cannot read in.parquet: its Parquet data are damaged ("),
        ("in.parquet.gz", gzip.compress(b"PAR1", mtime=0), "in.parquet.gz is compressed with gzip, and Parquet is"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(capsys, name, data, told):
    """Nothing is run, and the output is as it was."""
    write({"a": [1]}, "whole")
    Path(name).write_bytes(Path("whole").read_bytes()[:-20] if data is None else data)
    Path("out").write_text("old")
    assert run_over(name) == (2, None)
    assert capsys.readouterr().err.startswith(f"lionpride-exec: {told}")
    assert Path("out").read_text() == "old"


def test_a_pipe_is_refused(capsys):
    """Parquet begins at its end."""
    with standard_input(b"PAR1"):
        assert run_over("-", input_format="parquet") == (2, None)
    told = "standard input is a pipe, and Parquet is read from its end: save it to a file first"
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


def test_a_name_that_comes_twice_is_refused(capsys):
    """One of the columns would be lost."""
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    parquet.write_table(table, "in.parquet")
    assert run_over("in.parquet") == (2, None)
    assert capsys.readouterr().err == "lionpride-exec: in.parquet has 'a' twice: columns 1 and 2\n"


def test_damaged_rows_are_told(capsys):
    """The rows before them have run, and so do the files behind."""
    write(
        {"a": range(20_000)}, row_group_size=10_000, use_dictionary=False, compression="none", write_page_checksum=True
    )
    data = bytearray(Path("in.parquet").read_bytes())
    data[-30_000:-29_000] = bytes(1000)
    Path("in.parquet").write_bytes(data)
    Path("next").write_text('{"a": "next"}')
    status, found = run_over(["in.parquet", "next"], target="echo")
    assert (status, found[10_000]) == (1, {"a": 9999})
    assert {"a": "next"} in found.values()
    told = capsys.readouterr().err
    assert told.startswith(
        "lionpride-exec: cannot read on in in.parquet after row 10,000: its Parquet data are damaged ("
    )


def test_without_its_package_parquet_is_refused(capsys, monkeypatch):
    """The message names the extra."""
    write({"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run_over("in.parquet") == (2, None)
    told = "in.parquet is Parquet, which needs: pip install '.[parquet]' (in a clone of lionpride_exec)"
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


@pytest.mark.parametrize("size", [1000, 100_000])
def test_memory_does_not_grow_with_the_file(size):
    """Nor with a row group: of 36 MB more, those that are read ahead take a part."""
    peaks, before = [], pa.default_memory_pool()
    for rows in (2000, 20_000):
        write({"a": ["x" * 2000] * rows}, row_group_size=size, compression="none", use_dictionary=False)
        pool = pa.proxy_memory_pool(before)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            assert run("target.py:nothing", "in.parquet", output="out", overwrite=True, quiet=True) == 0
            peaks.append(pool.max_memory() + tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)
    assert peaks[1] < peaks[0] + 16_000_000
