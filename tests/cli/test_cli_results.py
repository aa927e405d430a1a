"""The command line: which records are read, and the order and form in which results are written."""

import csv
import json
from pathlib import Path

import pytest
from commands import run, standard_input, virtual_time

from lionpride_exec.testing import BACKENDS

TARGETS = """
import anyio
from lionpride_exec import Event, ExecutionError

async def echo(record): return record
async def last_first(record):
    await anyio.sleep(100 - record)
    return record
async def pick(record):
    if record["n"] == 2: raise LookupError("no two")
    return {"text": f"t{record['n']}", "more": [1]}
async def look_up(record):
    raise PlaceError
class PlaceError(ExecutionError):
    def __init__(self): super().__init__("no place\\n  For more: see x", details={"body": {"why": "a\\nb"}})
async def touch(record):
    with open("ran", "w"): pass
started = []
async def slow_first(record):
    started.append(record)
    if record == 0:
        await anyio.wait_all_tasks_blocked()
        print("started before the first ended:", len(started))
class Follow(Event):
    n: int
    async def _invoke(self): return self.n
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets."""
    (tmp_path / "target.py").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)


def write(*records, name="in"):
    """Write records as JSON lines."""
    Path(name).write_text("".join(f"{json.dumps(record)}\n" for record in records))


def read(name="out"):
    """Return the lines of a file, read as JSON."""
    return [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]


def table(name="out"):
    """Return the rows of a table."""
    with Path(name).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ordered", [True, False])
def test_results_are_in_the_order_of_input(backend, ordered):
    """With the option. Without, they are in the order in which events end."""
    write(*range(20))
    with virtual_time(backend):
        assert run("target.py:last_first", "in", output="out", quiet=True, ordered=ordered, backend=backend) == 0
    order = [result["record"] for result in read()]
    assert order == (list(range(20)) if ordered else list(range(19, -1, -1)))


def test_bad_lines_hold_nothing_up():
    """They have no result. Nor has an event that the executor refuses."""
    Path("in").write_text('{"n": 1}\noops\n{"n": "x"}\n{"n": 3, "id": "0"}\n{"n": 4}\n')
    assert run("target.py:Follow", "in", output="out", quiet=True, ordered=True, event_fields="id") == 1
    assert [result["line"] for result in read()] == [1, 3, 5]


def test_reading_waits_while_many_results_are_held_back(capsys):
    """So memory is bounded if one line takes long."""
    write(*range(14_000))
    with virtual_time():
        assert run("target.py:slow_first", "in", output="out", quiet=True, ordered=True) == 0
    assert [result["record"] for result in read()] == list(range(14_000))
    started = int(capsys.readouterr().out.rpartition(":")[2])
    assert 10_000 <= started < 12_500


def test_what_is_held_back_is_written_when_the_run_is_ended():
    """In order, without the line that has no result."""
    write(0, 95, 96, 97)
    Path("stopping.py").write_text(
        "import anyio\n"
        "async def call(record):\n"
        "    if record == 97: raise SystemExit\n"
        "    await anyio.sleep(1000 if record == 0 else 1)\n"
    )
    with virtual_time():
        run("stopping.py:call", "in", output="out", quiet=True, ordered=True, max_errors="0")
    assert [result["record"] for result in read()][-1] == 97
    assert sorted(result["line"] for result in read()) == [result["line"] for result in read()]


# ---------------------------------------------------------------- parts of INPUT


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit": 2}, [1, 2]),
        ({"skip": 2}, [3, 4, 5]),
        ({"skip": 1, "limit": 2}, [2, 3]),
        ({"skip": 9}, []),
        ({"limit": 9}, [1, 2, 3, 4, 5]),
        ({"skip": 4, "limit": 1}, [5]),
    ],
)
@pytest.mark.parametrize("source", ["file", "files", "pipe"])
def test_a_part_of_input_is_read(options, expected, source):
    """Blank lines do not count."""
    if source == "files":
        Path("a").write_text("1\n\n2\n")
        Path("b").write_text("\n3\n4\n5\n")
        status = run("target.py:echo", ["a", "b"], output="out", quiet=True, **options)
    elif source == "file":
        Path("in").write_text("1\n\n2\n\n3\n4\n5\n")
        status = run("target.py:echo", "in", output="out", quiet=True, **options)
    else:
        with standard_input(b"1\n\n2\n\n3\n4\n5\n"):
            status = run("target.py:echo", "-", output="out", quiet=True, **options)
    assert (status, [result["record"] for result in read()]) == (0, expected)


def test_parts_of_input_share_a_journal(capsys):
    """A first look, then the next part, then all: each line has one result."""
    write(*range(6))
    options = {"journal": "run.db", "output": "out", "progress": "none"}
    assert run("target.py:echo", "in", limit=2, **options) == 0
    assert run("target.py:echo", "in", skip=2, limit=2, **options) == 0
    assert "2 lines are in " in (told := capsys.readouterr().err)
    assert "not in the part of INPUT that is read" in told
    assert run("target.py:echo", "in", **options) == 0
    assert sorted(result["record"] for result in read()) == list(range(6))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit": 0}, "--limit must be 1 or more, got 0; --dry-run runs nothing"),
        ({"skip": -1}, "--skip must be 0 or more, got -1"),
    ],
)
def test_a_part_has_bounds(capsys, options, told):
    """Others are refused."""
    write(1)
    assert run("target.py:echo", "in", output="out", **options) == 2
    assert told in capsys.readouterr().err


# ---------------------------------------------------------------- dry runs


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dry_run_checks_each_record_and_runs_none(capsys, backend):
    """No file is made or changed."""
    Path("in.csv").write_text("n\n1\nx\n3\n")
    Path("out").write_text("old")
    status = run(
        "target.py:Follow", "in.csv", dry_run=True, output="out", overwrite=True, summary="sum", backend=backend
    )
    assert status == 1
    assert capsys.readouterr().err == (
        "lionpride-exec: in.csv, line 3: column 'n' must be a whole number, got 'x'\n"
        'lionpride-exec: dry run: 2 lines can be run, 1 bad line; the first record: {"n": 1}\n'
    )
    assert Path("out").read_text() == "old"
    assert not Path("sum").exists()


def bad_lines_told(capsys):
    """Check records in a dry run. Return what it tells of them."""
    assert run("target.py:Follow", "in", dry_run=True) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("lionpride-exec: dry run: ")
    return [line.removeprefix("lionpride-exec: ").partition(":")[0] for line in lines[:-1]]


def test_a_dry_run_groups_records_that_are_all_bad_for_one_reason(capsys):
    """The first few are told, and how many more there are."""
    first = [f"line {number}" for number in range(1, 6)]
    write(*[{"x": 1}] * 3000)
    assert bad_lines_told(capsys) == [*first, "and 2,995 more lines for the same reason"]
    write(*[{"x": 1}] * 6)
    assert bad_lines_told(capsys) == [*first, "and 1 more line for the same reason"]
    write(*[{"x": 1}] * 5)
    assert bad_lines_told(capsys) == first


def test_a_dry_run_tells_each_bad_line_among_others(capsys):
    """Once a record is good, or bad for another reason."""
    first = [f"line {number}" for number in range(1, 6)]
    write({"n": 0}, *[{"x": 1}] * 8)
    assert bad_lines_told(capsys) == [f"line {number}" for number in range(2, 10)]
    for other in ({"n": 0}, {"y": 1}):
        write(*[{"x": 1}] * 8, other, *[{"x": 1}] * 8)
        told = bad_lines_told(capsys)
        rest = [f"line {number}" for number in range(9 + ("n" in other), 18)]
        assert told == [*first, "and 3 more lines for the same reason", *rest]


def test_a_dry_run_leaves_the_journal_alone(capsys):
    """It checks the ids that the journal would know lines by."""
    write({"id": 1}, {"id": 2}, {"id": 1})
    options = {"journal": "run.db", "output": "out", "record_id": "id"}
    assert run("target.py:touch", "in", dry_run=True, **options) == 1
    assert "line 3: id 1 is also on line 1" in capsys.readouterr().err
    assert run("target.py:touch", "in", dry_run=True, limit=2, **options) == 0
    assert "2 lines can be run; the first record" in capsys.readouterr().err
    assert [path for path in ("run.db", "out", "ran") if Path(path).exists()] == []


def test_a_dry_run_of_a_pipe_in_another_format_is_refused(capsys):
    """As a run is."""
    with standard_input(b"a,b\n1,2\n"):
        assert run("target.py:echo", "-", dry_run=True) == 2
    assert "standard input is CSV, not JSON lines: --input-format csv reads it" in capsys.readouterr().err


# ---------------------------------------------------------------- fields and tables

RECORDS = [{"n": 1, "status": "new"}, {"n": 2, "status": "old"}, {"n": 3, "a": {"b": "x"}}]


def test_a_result_has_the_fields_that_are_named():
    """Those of the result come before those of the record. A path leads into either. What is missing is null."""
    write(*RECORDS)
    fields = "n,status,record.status, response.text ,error.error,a.b,none"
    assert run("target.py:pick", "in", output="out", quiet=True, fields=fields, ordered=True) == 1
    assert [list(result.values()) for result in read()] == [
        [1, "completed", "new", "t1", None, None, None],
        [2, "failed", "old", None, "LookupError", None, None],
        [3, "completed", None, "t3", None, "x", None],
    ]
    assert list(read()[0]) == ["n", "status", "record.status", "response.text", "error.error", "a.b", "none"]


def test_a_table_has_a_header_and_the_columns_that_are_named():
    """An error is its class and its message. A list is JSON."""
    write(*RECORDS)
    options = {"output_format": "csv", "fields": "line,n,response.more,error", "ordered": True}
    assert run("target.py:pick", "in", output="out", quiet=True, **options) == 1
    assert table() == [
        ["line", "n", "response.more", "error"],
        ["1", "1", "[1]", ""],
        ["2", "2", "", "LookupError: no two"],
        ["3", "3", "[1]", ""],
    ]


def test_an_error_takes_one_line_of_a_table():
    """And its details have columns of their own."""
    write({"n": 1})
    fields = "n,error,error.details.body"
    assert run("target.py:look_up", "in", output="out", quiet=True, output_format="csv", fields=fields) == 1
    assert Path("out").read_text().splitlines() == [
        fields,
        '1,PlaceError: no place For more: see x,"{""why"": ""a\\nb""}"',
    ]


def test_a_table_has_the_columns_of_the_first_record(capsys):
    """And says which fields of others it leaves out."""
    write(*RECORDS)
    assert run("target.py:pick", "in", output="out", output_format="csv", ordered=True, progress="none") == 1
    assert table()[0] == ["n", "record.status", "status", "response", "error", "duration", "line"]
    assert table()[1][:4] == ["1", "new", "completed", '{"text": "t1", "more": [1]}']
    assert "fields of some records have no column: a; --fields names the columns" in capsys.readouterr().err


def test_a_table_goes_through_the_command_and_back():
    """Quotes, line breaks and other alphabets stay as they are."""
    rows = [["text", "other"], ['a "q", é', "x\r\ny"], ["\u2028", "z"]]
    with Path("in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    options = {"output_format": "csv", "fields": "text,other", "ordered": True}
    assert run("target.py:echo", "in.csv", output="out", quiet=True, **options) == 0
    assert table() == rows


def test_records_that_are_no_objects_have_one_column():
    """Half of a surrogate pair, which no file can hold, is written as an escape."""
    Path("in").write_text('"a"\n"\\ud800"\n')
    assert run("target.py:echo", "in", output="out", quiet=True, output_format="csv", ordered=True) == 0
    assert [row[0] for row in table()] == ["record", "a", "\\ud800"]


@pytest.mark.parametrize(
    ("output", "kind", "told"),
    [
        ("out.csv", "jsonl", "out.csv gets JSON lines, whatever its name says; --output-format csv writes a table"),
        ("out.XLSX", "csv", "out.XLSX gets CSV, whatever its name says"),
        ("out.jsonl.gz", "jsonl", "out.jsonl.gz gets JSON lines, whatever its name says"),
        ("out.csv", "csv", None),
        ("out.jsonl", "jsonl", None),
    ],
)
def test_an_output_whose_name_tells_another_format_is_told(capsys, output, kind, told):
    """Before anything is run. Names tell the format of INPUT, so one may expect it."""
    Path("in").write_text('{"n": 1}\n')
    assert run("target.py:echo", "in", output=output, output_format=kind, quiet=True) == 0
    assert capsys.readouterr().err == ("" if told is None else f"lionpride-exec: {told}\n")
    assert Path(output).read_text().startswith("n,status" if kind == "csv" else "{")


@pytest.mark.parametrize("more", [{}, {"output_format": "csv"}, {"journal": "run.db"}])
def test_a_field_that_no_result_has_is_told(capsys, more):
    """It may be misspelled. A field that some results have, or none can have, such as an error, is no mistake."""
    Path("in").write_text('{"name": "a"}\n{"name": "b", "other": 1}\n')
    fields = "namee,statuss,other,response.name,response.nope,error,error.message,id,key"
    assert run("target.py:echo", "in", output="out", progress="none", fields=fields, **more) == 0
    told = capsys.readouterr().err
    assert (
        "--fields: no result has 'namee' (did you mean 'name'?), 'statuss' (did you mean 'status'?), 'response.nope'"
        in told
    )
    assert "'other'" not in told
    assert "'error" not in told
    assert "'response.nope', 'id', 'key'\n" in told


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_an_id_and_a_key_are_those_of_the_record(capsys, journal):
    """In each result, also in one that has a key of its own: that of a repeated record in a journal."""
    write({"id": "a", "key": "k"}, {"id": "b", "key": "k"}, {"id": "b", "key": "k"})
    options = {"progress": "none", "ordered": True, "journal": journal}
    assert run("target.py:echo", "in", output="out", fields="id,key,status", **options) == 0
    assert [list(one.values()) for one in read()] == [[one, "k", "completed"] for one in "abb"]
    assert "--fields" not in capsys.readouterr().err
    assert run("target.py:echo", "in", output="out", overwrite=journal is None, output_format="csv", **options) == 0
    assert table()[0][:3] == ["id", "key", "status"]
    assert [row[:2] for row in table()[1:]] == [["a", "k"], ["b", "k"], ["b", "k"]]


def test_the_key_of_a_result_is_shown_if_its_record_has_none():
    """Only a repeated record has one."""
    write({"n": 1}, {"n": 1})
    options = {"progress": "none", "ordered": True, "journal": "run.db", "fields": "n,key"}
    assert run("target.py:echo", "in", output="out", **options) == 0
    first, second = (one["key"] for one in read())
    assert first is None
    assert second.endswith(":2")


def test_an_id_that_no_record_has_is_told(capsys):
    """A column of empty cells is a mistake."""
    write({"n": 1})
    assert run("target.py:echo", "in", output="out", progress="none", fields="id,status") == 0
    assert "--fields: no result has 'id'" in capsys.readouterr().err


def test_a_text_has_no_fields(capsys):
    """The name of a line of text in a result is that of the record."""
    Path("in").write_text("a\n")
    assert run("target.py:echo", "in", output="out", progress="none", field="name", fields="name,response") == 0
    assert "--fields: no result has 'name' (the whole record is 'record')" in capsys.readouterr().err
    assert run("target.py:echo", "in", output="out2", progress="none", field="name", fields="record,response") == 0
    assert "--fields" not in capsys.readouterr().err


def test_fields_must_be_named(capsys):
    """At least one."""
    write(1)
    assert run("target.py:echo", "in", output="out", fields=",") == 2
    assert "--fields must name fields" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"output_format": "csv", "fields": "n,status,line"}, {"ordered": True}])
def test_an_output_in_another_form_is_written_anew_with_a_journal(options):
    """In the order of lines, at the end of each run. The usual results are beside it."""
    write(*RECORDS)
    options |= {"journal": "run.db", "output": "out", "quiet": True}
    for limit, count in ((1, 1), (None, 3), (None, 3)):
        status = run("target.py:pick", "in", limit=limit, **options)
        assert status == (0 if limit == 1 else 1)
        if "output_format" in options:
            rows = [["1", "completed", "1"], ["2", "failed", "2"], ["3", "completed", "3"]]
            assert table() == [["n", "status", "line"], *rows[:count]]
        else:
            assert [result["line"] for result in read()] == [1, 2, 3][:count]
        assert len(read("out.results")) == count


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda out: out.write_text("mine"), "is not empty, and there is no out.results"),
        (lambda out: out.mkdir(), "is not a regular file"),
        (lambda out: out.symlink_to("in"), "is the input"),
    ],
)
def test_an_output_that_is_something_else_is_not_written_anew(capsys, make, told):
    """It is refused, and stays as it is."""
    write(1)
    make(Path("out"))
    assert run("target.py:echo", "in", output="out", journal="run.db", output_format="csv") == 2
    assert told in capsys.readouterr().err
    assert not Path("run.db").exists()


# ---------------------------------------------------------------- summaries


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_a_summary_says_how_the_run_has_ended(journal):
    """As JSON, and it replaces that of the run before."""
    Path("in").write_text('{"n": 1}\n{"n": 2}\noops\n')
    Path("sum.json").write_text("{}")
    assert run("target.py:pick", "in", output="out", summary="sum.json", quiet=True, journal=journal) == 1
    found = json.loads(Path("sum.json").read_text())
    assert found.pop("seconds") >= 0
    assert found == {
        "exit_status": 1,
        "lines": 3,
        "read_all": True,
        "statuses": {"completed": 1, "failed": 1},
        "done_before": {},
        "pending": 0,
        "left": {},
        "bad_lines": 1,
        "errors": {"LookupError": 1},
        "retries": 0,
        "rate_limited": 0,
    }
    if journal is not None:
        assert run("target.py:pick", "in", output="out", summary="sum.json", quiet=True, journal=journal) == 1
        again = json.loads(Path("sum.json").read_text())
        assert (again["done_before"], again["errors"]) == ({"completed": 1, "failed": 1}, {})


def test_a_summary_that_cannot_be_written_is_told(capsys):
    """The results are there, and the exit status is 1."""
    write(1)
    assert run("target.py:echo", "in", output="out", summary="none/sum.json", quiet=True) == 1
    assert capsys.readouterr().err == "lionpride-exec: cannot write none/sum.json: No such file or directory\n"
    assert len(read()) == 1


@pytest.mark.parametrize("name", ["out", "run.db", "-"])
def test_a_summary_has_a_file_of_its_own(capsys, name):
    """It would replace the results."""
    write(1)
    assert run("target.py:echo", "in", output="out", journal="run.db", summary=name) == 2
    assert "--summary needs a file of its own" in capsys.readouterr().err
