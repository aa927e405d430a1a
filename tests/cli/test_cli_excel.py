"""The command line: tables as Excel writes them, other delimiters and other encodings."""

import gzip
import json
from pathlib import Path

import pytest
from commands import run, standard_input


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with a target."""
    monkeypatch.chdir(tmp_path)
    Path("target.py").write_text("async def echo(record): return record")


def run_over(data, source="in.csv", **options):
    """Run over a file with this content. Return the exit status, and the responses by line."""
    if data is not None:
        Path(source).write_bytes(data if isinstance(data, bytes) else data.encode())
    status = run("target.py:echo", source, output="out", overwrite=True, quiet=True, **options)
    if status == 2:
        return status, None
    found = [json.loads(line) for line in Path("out").read_text("utf-8").split("\n") if line]
    return status, {result["line"]: result["response"] for result in found}


# ---------------------------------------------------------------- the delimiter


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["sep={}", '"sep={}"', "SEP={}"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_first_line_says_the_delimiter(mark, end, first, delimiter):
    """As Excel reads it. Its line counts, and is no record."""
    lines = [first.format(delimiter), f"a{delimiter}b", f"1,;5{delimiter}2" if delimiter == "|" else f"1{delimiter}2"]
    expected = {3: {"a": "1,;5" if delimiter == "|" else "1", "b": "2"}}
    assert run_over(mark + end.join(lines)) == (0, expected)


def test_the_line_decides_against_the_header():
    """The header has more commas than semicolons."""
    assert run_over("sep=;\na,x,y;b\n1;2\n") == (0, {3: {"a,x,y": "1", "b": "2"}})
    assert run_over("a,x,y;b\n1,2,3\n") == (0, {2: {"a": "1", "x": "2", "y;b": "3"}})


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"'])
def test_the_line_may_come_again(first):
    """With the header behind it, as in files that were put together."""
    text = f"{first}\r\na;b\r\n1;2\r\n"
    assert run_over(text * 2) == (0, {3: {"a": "1", "b": "2"}, 6: {"a": "1", "b": "2"}})
    assert run_over(text * 2, delimiter=";") == (0, {3: {"a": "1", "b": "2"}, 6: {"a": "1", "b": "2"}})


def test_the_line_is_found_in_a_pipe():
    """The header that follows it is checked before anything is run."""
    with standard_input(b"sep=|\na|b\n1|2\n"):
        assert run_over(None, "-", input_format="csv") == (0, {3: {"a": "1", "b": "2"}})
    with standard_input(b"sep=|\na|a\n1|2\n"):
        assert run_over(None, "-", input_format="csv") == (2, None)


def test_a_column_may_be_named_so():
    """Only a whole line is one that says the delimiter."""
    assert run_over("sep=x,b\n1,2\n") == (0, {2: {"sep=x": "1", "b": "2"}})


@pytest.mark.parametrize(
    ("option", "delimiter"), [("|", "|"), ("tab", "\t"), ("\\t", "\t"), ("TAB", "\t"), ("\u00a6", "\u00a6"), (";", ";")]
)
def test_the_option_decides(option, delimiter):
    """Against the header, and against the line."""
    text = f"a,x,y{delimiter}b\n1{delimiter}2\n"
    assert run_over(text, delimiter=option) == (0, {2: {"a,x,y": "1", "b": "2"}})
    assert run_over(f"sep=,\n{text}", delimiter=option) == (0, {3: {"a,x,y": "1", "b": "2"}})


@pytest.mark.parametrize("wrong", ["", "::", '"', "\n", "semicolon"])
def test_what_can_be_no_delimiter_is_refused(capsys, wrong):
    """Nothing is run."""
    assert run_over("a,b\n1,2\n", delimiter=wrong) == (2, None)
    told = f"--delimiter must be one character or tab, and no quote or line break, got {wrong!r}"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"source": "in.jsonl"},
            "--delimiter does nothing: no file of INPUT is a table; --input-format csv makes it one",
        ),
        ({"input_format": "json"}, "--delimiter and --input-format json exclude each other: it has none"),
        ({"field": "a"}, "--delimiter needs JSON records; with --field a record is one plain line"),
    ],
)
def test_a_delimiter_without_a_table_is_refused(capsys, options, told):
    """It would do nothing."""
    assert run_over("1\n", **options, delimiter=";") == (2, None)
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


# ---------------------------------------------------------------- the encoding

UMLAUT = "M\u00fcller\u2026\u20ac"
TABLE = f"name;size\r\n{UMLAUT};1\r\n"
FOUND = {"name": UMLAUT, "size": "1"}


@pytest.mark.parametrize(
    "encoding", ["cp1252", "windows-1252", "UTF-16", "utf-16-le", "utf-32", "gb18030", "utf-8", "utf-8-sig"]
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_table_in_another_encoding_is_read(encoding, compress):
    """Compressed or not, with a byte order mark or without."""
    assert run_over(compress(TABLE.encode(encoding)), encoding=encoding) == (0, {2: FOUND})


def test_all_formats_of_text_are_read():
    """Lines of JSON and of text, and an array."""
    line = json.dumps(FOUND, ensure_ascii=False)
    assert run_over(f"{line}\n".encode("cp1252"), "in.jsonl", encoding="cp1252") == (0, {1: FOUND})
    assert run_over(f"[{line},\n1]".encode("utf-16"), "in.json", encoding="utf-16") == (0, {1: FOUND, 2: 1})
    assert run_over(f"{UMLAUT}\n".encode("cp1252"), "in.txt", encoding="cp1252", field="name") == (0, {1: UMLAUT})


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_pieces_of_a_pipe_make_no_difference(monkeypatch, size):
    """A character may be cut."""
    data = TABLE.encode("utf-16")
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    monkeypatch.setattr("os.read", lambda _fd, _size: pieces.pop(0) if pieces else b"")
    with standard_input(b""):
        assert run_over(None, "-", input_format="csv", encoding="utf-16") == (0, {2: FOUND})


@pytest.mark.parametrize(
    ("name", "data", "options", "told"),
    [
        ("in.csv", b"a,b\nx,1\n1,M\xfcller\n", {},
         "in.csv, line 3: not UTF-8: byte 0xfc in column 2; --encoding NAME reads another encoding, such as cp1252"),
        ("in.csv", b"a,b\nx,1\n1,\x81\n", {"encoding": "cp1252"},
         "in.csv, line 3: not cp1252: byte 0x81 in column 2; is --encoding cp1252 right?"),
        ("in.jsonl", b'1\n2\n"M\xfcller"\n', {},
         "line 3: not UTF-8: byte 0xfc at column 3; --encoding NAME reads another encoding, such as cp1252"),
        ("in.jsonl", b'1\n2\n"\x81"\n', {"encoding": "windows-1252"},
         "line 3: not windows-1252: byte 0x81 at column 2; is --encoding windows-1252 right?"),
    ],
)  # fmt: skip
def test_wrong_bytes_are_told(capsys, name, data, options, told):
    """With the line and the option. The other lines run."""
    status, found = run_over(data, name, **options)
    assert (status, 2 in found, 3 in found) == (1, True, False)
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


def test_a_header_with_wrong_bytes_is_refused(capsys):
    """The message names the option."""
    assert run_over(b"gr\xf6\xdfe,b\n1,2\n") == (2, None)
    told = "cannot read the header of in.csv: not UTF-8: byte 0xf6 in column 1; --encoding NAME reads another encoding"
    assert told in capsys.readouterr().err


def test_what_is_cut_off_in_a_character_is_told(capsys):
    """What comes before has run."""
    assert run_over(TABLE.encode("utf-16")[:-1], encoding="utf-16")[0] == 1
    assert "cannot read on in in.csv" in (told := capsys.readouterr().err)
    assert "is --encoding utf-16 right?" in told


@pytest.mark.parametrize(
    ("wrong", "hint"), [("cp125", " (did you mean 'cp1252'?)"), ("rot13", ""), ("hex", ""), ("zlib", ""), ("none", "")]
)
def test_an_unknown_encoding_is_refused(capsys, wrong, hint):
    """And so is one that is none of text."""
    assert run_over("a\n1\n", encoding=wrong) == (2, None)
    assert capsys.readouterr().err == f"lionpride-exec: --encoding {wrong}: there is no such encoding{hint}\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_the_option_that_a_refusal_names_reads_the_file(capsys, encoding):
    """Of the encodings that are recognised."""
    data = '{"a": "x"}\n{"a": "y"}\n'.encode(encoding)
    assert run_over(data, "in") == (2, None)
    assert f"--encoding {encoding} reads it" in capsys.readouterr().err
    assert run_over(data, "in", encoding=encoding) == (0, {1: {"a": "x"}, 2: {"a": "y"}})
