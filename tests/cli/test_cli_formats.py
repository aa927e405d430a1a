"""The command line: an INPUT that is no lines of JSON or text is named, and nothing is run of it."""

import bz2
import gzip
import json
import lzma
import os
import re
import sqlite3
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from cli_children import end_children, start
from commands import run, standard_input

from lionpride_exec import Executor
from lionpride_exec.testing import BACKENDS

HEAD = 64 * 1024  # how many bytes of INPUT are looked at

LINES = b'{"a":1}\n{"a":2}\n'
# Of zstd 1.5.4, which leaves short data as it is: the second line can be read.
ZSTD = b'(\xb5/\xfd\x04X\x81\x00\x00{"a":1}\n{"a":2}\n\xee\xed\xac\xf2'


def zipped(*names):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names or ["in.jsonl"]:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else LINES)
    return file.getvalue()


COMPRESSED = {
    "gzip": gzip.compress(LINES, mtime=0),
    "zstd": ZSTD,
    "xz": lzma.compress(LINES),
    "bzip2": bz2.compress(LINES),
}
BINARY = {
    # Once is enough.
    "compressed with gzip": gzip.compress(COMPRESSED["gzip"]),
    "compressed with zstd": gzip.compress(ZSTD),
    "compressed with xz": bz2.compress(COMPRESSED["xz"]),
    "compressed with bzip2": lzma.compress(COMPRESSED["bzip2"]),
    "lz4": b"\x04\x22\x4d\x18" + LINES,
    "zip archive": zipped(),
    "a workbook of a spreadsheet": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a workbook of a spreadsheet ": zipped("mimetype", "content.xml"),
    "an old Office file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + LINES,
    "7z archive": b"7z\xbc\xaf\x27\x1c" + LINES,
    "UTF-16": "\ufeff{}\r\n{}\r\n".encode("utf-16-le"),
    "UTF-16 ": "\ufeff{}\r\n{}\r\n".encode("utf-16-be"),
    "UTF-32": "\ufeff{}\r\n".encode("utf-32-le"),
    "UTF-32 ": "\ufeff{}\r\n".encode("utf-32-be"),
    "Parquet": b"PAR1\x15\x04\x15\x08" + LINES,
    "Arrow": b"ARROW1\0\0" + LINES,
    "SQLite": b"SQLite format 3\0" + LINES,
}
TEXT = {
    "UTF-16, without": '{"a":1}\n{"a":2}\n'.encode("utf-16-le"),
    "UTF-16, without ": '{"a":1}\n{"a":2}\n'.encode("utf-16-be"),
    "a JSON array": json.dumps([{"a": 1}, {"a": 2}], indent=2).encode(),
    "a JSON array ": b'[\n{"a":1},\n{"a":2}\n]\n',
    "a JSON array  ": b'[{"a":1},\r\n{"a":2}]',
    "JSON objects": json.dumps({"a": {"b": [1]}}, indent=1).encode(),
    "JSON objects ": (json.dumps({"a": 1}, indent=2) + "\n").encode() * 2,
    "requests for a batch": json.dumps({"requests": [{"custom_id": "a", "params": {}}]}, indent=2).encode(),
    "CSV": b'id,prompt\n1,"one, two"\n',
    "CSV ": b'\xef\xbb\xbf"id","prompt"\r\n1,"a\nb"\r\n',
    "CSV with semicolons": b"id;prompt\n1;a\n",
    "TSV": b"id\tprompt\n1\ta\n",
    "XML": b"<?xml version='1.0'?>\n<a/>\n",
}
LINES_OF_ANY_KIND = [
    b"",
    b"\n\n",
    LINES,
    b"\xef\xbb\xbf" + LINES,
    b"[1,2]\n[3,4]\n",
    b'[{"a":1},{"a":2}]\n',  # one record, which is a list
    b'"a,b"\n"c,d"\n',
    b"1\n2\n",
    b"null\ntrue\n",
    b'{"a": 1\n{"a":2}\n',  # a bad line
    b"[1, 2\n[3, 4]\n",
    b'{"a": 1',
    b"[",
    b"nan,\n1\n",
    b"hello\nworld\n",
    b"\0" * 64 + b"\n" + LINES,  # a hole, as a power failure leaves it
    b"[" * 100_000 + b"\n1\n",
    b'{"a": ' + b"9" * 5000 + b"\n1\n",
]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with a target that notes its records."""
    (tmp_path / "target.py").write_text("from pathlib import Path\nasync def call(record):\n    Path('ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    yield
    end_children()


def refusal(capsys, source="in", **options):
    """Run over INPUT, which is refused; give what is told."""
    Path("out").write_text("old")
    status = run("target.py:call", source, output="out", overwrite=True, quiet=True, **options)
    told = capsys.readouterr().err
    assert (status, told.count("\n"), Path("out").read_text(), Path("ran").exists()) == (2, 1, "old", False)
    return told


@pytest.mark.parametrize("name", [*BINARY, *TEXT])
def test_what_is_no_json_lines_is_named_and_not_run(capsys, name):
    """One message with what it is and what to do, exit status 2, and the output is as it was."""
    Path("in").write_bytes((BINARY | TEXT)[name])
    told = refusal(capsys)
    assert told.startswith("lionpride-exec: in is ")
    assert name.strip() in told
    assert ", not JSON lines: " in told


@pytest.mark.parametrize("name", BINARY)
def test_what_is_no_lines_of_text_is_named_and_not_run(capsys, name):
    """Likewise with ``--field``."""
    Path("in").write_bytes(BINARY[name])
    assert name.strip() in refusal(capsys, field="x")


def accepted(capsys, data, **options):
    """Run over INPUT. Check that INPUT itself is not refused, though its lines may be bad."""
    Path("in").write_bytes(data)
    status = run("target.py:call", "in", output="out", overwrite=True, progress="none", **options)
    told = capsys.readouterr().err
    assert status < 2
    assert "not JSON lines" not in told
    assert Path("ran").exists() or "line 1: " in told or not data.strip()


@pytest.mark.parametrize("name", TEXT)
def test_with_field_any_text_is_lines(capsys, name):
    """What would be odd as JSON is a plain line like any other."""
    accepted(capsys, TEXT[name], field="x")


@pytest.mark.parametrize("data", LINES_OF_ANY_KIND)
@pytest.mark.parametrize("rest", [b"", b'"' + b"x" * HEAD + b'"'], ids=["all", "head"])
@pytest.mark.parametrize("options", [{}, {"field": "x"}], ids=["json", "plain"])
def test_there_is_no_false_alarm(capsys, data, rest, options):
    """Lists, texts and numbers on lines are records; a line that is no JSON is a bad line, and the others run."""
    accepted(capsys, data + rest, **options)


@pytest.mark.parametrize("text", [b"BZh9 is a line\n", b"PAR1\nPAR2\n", b"PK is a line\n", b"SQLite format 3\n"])
def test_text_that_begins_like_a_format_is_text(capsys, text):
    """The letters alone do not count."""
    accepted(capsys, text, field="x")


def test_the_message_names_a_command_that_works(capsys):
    """It has the name of INPUT in it, quoted for a shell."""
    Path("in put").write_bytes(BINARY["lz4"])
    assert refusal(capsys, "in put").endswith(": lz4 -dc 'in put' | lionpride-exec run TARGET -\n")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("CSV", b"a,b\n1,2\n"),
        ("TSV", b"a\tb\n1\t2\n"),
        ("a JSON array", b'[\n{"a": 1}\n]\n'),
        ("requests for a batch", b'{"requests": [\n{"custom_id": "a", "params": {}}\n]}\n'),
    ],
)
def test_the_format_that_the_message_names_reads_it(capsys, name, data):
    """The option is one of this command."""
    Path("in").write_bytes(data)
    told = refusal(capsys)
    assert f"in is {name}" in told
    option = re.search("--input-format ([a-z-]+) reads it", told)[1]
    assert run("target.py:call", "in", output="new", quiet=True, input_format=option) == 0
    assert len(Path("new").read_text().splitlines()) == 1


def test_a_real_database_is_named(capsys):
    """As SQLite writes it."""
    connection = sqlite3.connect("in")
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert "an SQLite database" in refusal(capsys)


def test_a_long_first_line_is_no_alarm(capsys):
    """What is not seen to its end is not judged."""
    accepted(capsys, b"[" + b"1," * HEAD)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["compressed with gzip", "UTF-16", "a JSON array", "CSV"])
def test_standard_input_is_looked_at_too(capsys, name, backend):
    """A pipe, read as it comes."""
    with standard_input((BINARY | TEXT)[name]):
        told = refusal(capsys, "-", backend=backend)
    assert told.startswith("lionpride-exec: standard input is ")
    assert name in told


def test_a_pipe_with_bad_first_lines_is_run(capsys):
    """What was read to be looked at is not lost."""
    with standard_input(b"oops\nno\n1\n2"):
        assert run("target.py:call", "-", output="out", quiet=True) == 1
    assert [json.loads(line)["line"] for line in Path("out").read_text().splitlines()] == [3, 4]
    assert "line 1: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "status"), [(b"1\n", 0), (b'{"a":1}\n{"b', 1), (b"[\n1,\n", 2), (BINARY["UTF-16"][:16], 2)]
)
def test_a_first_record_waits_for_nothing(head, status):
    """A pipe that stays open is read on only if its first line is no record."""
    child = start(["run", "target.py:call", "-", "--quiet"], stdin=subprocess.PIPE)
    child.stdin.write(head)
    child.stdin.flush()
    if status == 2:
        assert child.wait(60) == 2
    else:
        assert json.loads(child.stdout.readline())["line"] == 1
        child.stdin.close()
        assert child.wait(60) == status


@pytest.fixture
def arriving(monkeypatch):
    """Have standard input bring these pieces, one each time. Return the list of those that were read."""
    real, pieces, read = os.read, [], []

    def read_piece(fd, size):
        if fd != 0:
            return real(fd, size)
        read.append(pieces.pop(0) if pieces else b"")
        return read[-1]

    def arriving(*given):
        pieces.extend(given)
        return read

    monkeypatch.setattr(os, "read", read_piece)
    with standard_input(b""):  # at its end, so always readable
        yield arriving


@pytest.mark.parametrize(
    "pieces",
    [(b"[\n", b"1,\n"), (b"\n", b"[\n1,\n"), (BINARY["SQLite"][:3], BINARY["SQLite"][3:]), (b"i", b"d,a\n1", b",2\n")],
)
def test_what_has_come_so_far_may_not_be_enough(capsys, arriving, pieces):
    """Then more is read before INPUT is judged."""
    arriving(*pieces)
    assert ", not JSON lines: " in refusal(capsys, "-")


def test_a_line_may_come_in_pieces(arriving):
    """It is one record."""
    arriving(b"1", b"2\n")
    assert run("target.py:call", "-", output="out", quiet=True) == 0
    assert json.loads(Path("out").read_text())["record"] == 12


def test_the_end_of_a_long_line_is_not_awaited(arriving, monkeypatch):
    """What has come of it is enough for the run to begin."""
    read, start, read_before = arriving(*[b"1" * HEAD] * 3, b"\n"), Executor.start, []

    async def note_and_start(executor):
        read_before.append(len(read))
        await start(executor)

    monkeypatch.setattr(Executor, "start", note_and_start)
    run("target.py:call", "-", output="out", quiet=True)
    assert read_before == [1]
    assert len(read) > 3


def test_an_empty_file_is_told_and_no_error(capsys):
    """There is nothing to do, which is not wrong use."""
    Path("in").touch()
    assert run("target.py:call", "in", output="out", progress="none") == 0
    assert capsys.readouterr().err.startswith("lionpride-exec: in is empty\n")
    assert Path("out").read_text() == ""


def test_a_directory_is_named(capsys):
    """It is no INPUT."""
    Path("in").mkdir()
    assert "it is a directory" in refusal(capsys)
