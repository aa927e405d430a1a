"""The command line: an INPUT that is no lines of JSON or text is named, and nothing is run of it."""

import bz2
import gzip
import json
import lzma
import os
import sqlite3
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from parts import RunOptions, cli_input_formats, run

HEAD, is_enough, problem_of = cli_input_formats.HEAD, cli_input_formats.is_enough, cli_input_formats.problem_of

LINES = b'{"a":1}\n{"a":2}\n'
# Of zstd 1.5.4, which leaves short data as it is: the second line can be read.
ZSTD = b'(\xb5/\xfd\x04X\x81\x00\x00{"a":1}\n{"a":2}\n\xee\xed\xac\xf2'


def zipped():
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in.jsonl", LINES)
    return file.getvalue()


BINARY = {
    "gzip": gzip.compress(LINES),
    "zstd": ZSTD,
    "xz": lzma.compress(LINES),
    "bzip2": bz2.compress(LINES),
    "lz4": b"\x04\x22\x4d\x18" + LINES,
    "zip archive": zipped(),
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


def refusal(capsys, source="in", **options):
    """Run over INPUT, which is refused; give what is told."""
    Path("out").write_text("old")
    status = run("target.py:call", source, RunOptions(output="out", overwrite=True, quiet=True, **options))
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


@pytest.mark.parametrize("name", TEXT)
def test_with_field_any_text_is_lines(name):
    """What would be odd as JSON is a plain line like any other."""
    assert problem_of(TEXT[name], is_plain=True, is_all=True) is None


@pytest.mark.parametrize("data", LINES_OF_ANY_KIND)
@pytest.mark.parametrize("is_all", [True, False])
@pytest.mark.parametrize("is_plain", [True, False])
def test_there_is_no_false_alarm(data, is_all, is_plain):
    """Lists, texts and numbers on lines are records; a line that is no JSON is a bad line, and the others run."""
    assert problem_of(data, is_plain=is_plain, is_all=is_all) is None


@pytest.mark.parametrize("text", [b"BZh9 is a line\n", b"PAR1\nPAR2\n", b"PK is a line\n", b"SQLite format 3\n"])
def test_text_that_begins_like_a_format_is_text(text):
    """The letters alone do not count."""
    assert problem_of(text, is_plain=True, is_all=True) is None


def test_the_message_names_a_command_that_works(capsys):
    """It has the name of INPUT in it, quoted for a shell."""
    Path("in put").write_bytes(BINARY["gzip"])
    assert refusal(capsys, "in put").endswith(": gunzip -c 'in put' | lionpride-exec run TARGET -\n")


def test_a_cure_for_csv_works():
    """The command makes JSON lines of the table, delimiter included."""
    for name, table in (("CSV", b"a,b\n1,2\n"), ("TSV", b"a\tb\n1\t2\n")):
        Path("table").write_bytes(table)
        what, cure = problem_of(table, is_plain=False, is_all=True)
        assert what == name
        with os.popen(cure.replace("FILE", "table").partition(" |")[0]) as lines:  # noqa: S605  our own message
            assert json.loads(lines.read()) == {"a": "1", "b": "2"}


def test_a_real_database_is_named(capsys):
    """As SQLite writes it."""
    connection = sqlite3.connect("in")
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert "an SQLite database" in refusal(capsys)


def test_a_long_first_line_is_no_alarm():
    """What is not seen to its end is not judged."""
    head = b"[" + b"1," * HEAD
    assert problem_of(head[:HEAD], is_plain=False, is_all=False) is None


@pytest.mark.parametrize("backend", ["asyncio", "trio", "asyncio+uvloop"])
@pytest.mark.parametrize("name", ["gzip", "UTF-16", "a JSON array", "CSV"])
def test_standard_input_is_looked_at_too(capsys, monkeypatch, name, backend):
    """A pipe, read as it comes."""
    reading, writing = os.pipe()
    os.write(writing, (BINARY | TEXT)[name])
    os.close(writing)
    monkeypatch.setattr("lionpride_exec._cli.run.source.STDIN", reading)
    told = refusal(capsys, "-", backend=backend)
    os.close(reading)
    assert told.startswith("lionpride-exec: standard input is ")
    assert name in told


def test_a_pipe_with_bad_first_lines_is_run(monkeypatch, capsys):
    """What was read to be looked at is not lost."""
    reading, writing = os.pipe()
    os.write(writing, b"oops\nno\n1\n2")
    os.close(writing)
    monkeypatch.setattr("lionpride_exec._cli.run.source.STDIN", reading)
    assert run("target.py:call", "-", RunOptions(output="out", quiet=True)) == 1
    os.close(reading)
    assert [json.loads(line)["line"] for line in Path("out").read_text().splitlines()] == [3, 4]
    assert "line 1: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "enough"),
    [
        (b"", False),
        (b"\n", False),
        (b"1", False),
        (b"1\n", True),
        (b'{"a":1}\n{"b', True),
        (b"[\n", False),
        (b"[\n1,\n", True),
        (b"\x1f\x8b\x08", False),
        (BINARY["gzip"][:16], True),
        (b"x" * HEAD, True),
    ],
)
def test_a_first_record_waits_for_nothing(head, enough):
    """A pipe is read on only if its first line is no record."""
    assert is_enough(head, is_plain=False) is enough


def test_an_empty_file_is_told_and_no_error(capsys):
    """There is nothing to do, which is not wrong use."""
    Path("in").touch()
    assert run("target.py:call", "in", RunOptions(output="out", progress="none")) == 0
    assert capsys.readouterr().err.startswith("lionpride-exec: in is empty\n")
    assert Path("out").read_text() == ""


def test_a_directory_is_named(capsys):
    """It is no INPUT."""
    Path("in").mkdir()
    assert "it is a directory" in refusal(capsys)
