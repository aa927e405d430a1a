"""What ``run --journal`` knows a line by, whatever becomes of INPUT from one run to the next."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import chdir, closing
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from commands import run, run_command, standard_input
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_files import journal_in_use

from lionpride_exec.testing import BACKENDS

calls = []
kill_at = []  # after so many calls the run ends


async def work(record):
    """Note a call; a run that is to be killed ends in it."""
    calls.append(record)
    if kill_at and len(calls) >= kill_at[0]:
        kill_at.clear()
        raise KeyboardInterrupt
    return {"got": record}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, and nothing called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    calls.clear()
    kill_at.clear()


def write(lines):
    """Write INPUT; what is no text yet is written as JSON."""
    Path("input").write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines), "utf-8")


def go(lines=None, **options):
    """Run over these lines; give the exit status and the records of the calls."""
    if lines is not None:
        write(lines)
    before = len(calls)
    options = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal"} | options
    status = run(f"{__name__}:work", options.pop("source", "input"), **options)
    return status, calls[before:]


def results():
    return [json.loads(line) for line in Path("out").read_text("utf-8").splitlines()]


def by_line():
    """Return the records by the numbers of their lines."""
    return {one["line"]: one["record"] for one in results()}


def sql(statement, *values):
    with closing(sqlite3.connect("run.db")) as connection, connection:
        return connection.execute(statement, values).fetchall()


# -------------------------------------------------------------------- content


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'),
        ('{"a": {"x": 1, "y": 2}}', '{"a": {"y": 2, "x": 1}}'),
        ("1", "1.0"),
        ("1", "1e0"),
        ("1000000000000000000000", "1e21"),
        ("0", "-0.0"),
        ("0.1", "1e-1"),
        ('"\u00e4/"', '"\\u00e4\\/"'),
        ('"\U0001f600"', '"\\ud83d\\ude00"'),
        ('"\\ud83d"', '"\\uD83D"'),
        ('{"a": 1, "a": 2}', '{"a": 2}'),
    ],
)
def test_spelling_is_nothing(one, other):
    """Order of keys, white space, the spelling of numbers and escapes: another JSON writer may have written it."""
    go([one])
    assert go([other]) == (0, [])


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", '"1"'), ("1", "true"), ("null", '"null"'), ("[1, 2]", "[2, 1]"), ("0.1", "0.2"), ('{"a": null}', "{}")],
)
def test_another_content_is_another_line(one, other):
    """Types, the order of lists, what is null and what is missing."""
    go([one])
    assert go([other], changed_input=True) == (0, [json.loads(other)])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def other_spelling(value):
    """Write a value as somebody else would: floats as integers, keys the other way round."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)} : {other_spelling(value[key])}" for key in reversed(value))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{' , '.join(map(other_spelling, value))}]"
    return json.dumps(value, ensure_ascii=False)


def can_be_written(value):
    """Return whether a value is valid JSON in UTF-8. Half of a surrogate pair has to be escaped."""
    try:
        return "Infinity" not in json.dumps(value) and bool(other_spelling(value).encode())
    except UnicodeEncodeError:
        return False


@settings(max_examples=15)
@given(st.lists(JSON.filter(can_be_written), min_size=1, max_size=8))
def test_what_two_writers_write_is_one_line(values):
    """Whatever the values: the lines of the second writer have been run."""
    with TemporaryDirectory() as folder, chdir(folder):
        assert len(go([json.dumps(value) for value in values])[1]) == len(values)
        assert go([other_spelling(value) for value in values]) == (0, [])


def test_equal_records_are_told_apart_by_which_one_they_are():
    """Each is run; the results of all but the first tell the key."""
    assert go([1, 2, 1, "1.0"])[1] == [1, 2, 1, 1.0]
    assert go() == (0, [])
    assert sorted(by_line()) == [1, 2, 3, 4]
    keys = {one["line"]: one.get("key", "").rpartition(":")[2] for one in results()}
    assert keys == {1: "", 2: "", 3: "2", 4: "3"}
    assert go([1, 1, 1, 1, 2])[1] == [1]
    assert sorted(by_line().items()) == [(1, 1), (2, 1), (3, 1.0), (4, 1), (5, 2)]


def test_lines_may_come_in_front_and_in_another_order(capsys):
    """Nothing is run twice, and each result tells where its line is now."""
    items = [{"n": n} for n in range(5)]
    go(items)
    capsys.readouterr()
    assert go([{"n": 9}, *items[::-1]]) == (0, [{"n": 9}])
    assert by_line() == {1: {"n": 9}, 2: {"n": 4}, 3: {"n": 3}, 4: {"n": 2}, 5: {"n": 1}, 6: {"n": 0}}
    assert "6 lines: 5 done before, 1 completed; " in capsys.readouterr().err


def test_another_writer_may_have_written_it():
    """The records in the output stay as they were when they were run."""
    go(['{"a": 1.0, "b": "\u00e4"}', "2"])
    written = Path("out").read_bytes()
    assert go(['{"b":"\\u00e4","a":1}', "2.0"]) == (0, [])
    assert Path("out").read_bytes() == written


def test_plain_lines_may_move():
    """They are known by their text, and which of equal ones they are."""
    go(["a", "b", "a"], field="x")
    assert go(["c", "a", "a", "b"], field="x") == (0, ["c"])
    assert by_line() == {1: "c", 2: "a", 3: "a", 4: "b"}


def test_what_is_pending_goes_on_where_its_line_is_now():
    """It was read before its line moved."""
    kill_at.append(1)
    assert go([1, 2, 3], concurrency=1) == (130, [1])
    assert go([0, 3, 2, 1], concurrency=1)[1] == [2, 3, 0]
    assert by_line() == {1: 0, 2: 3, 3: 2, 4: 1}


def test_a_lost_output_has_the_numbers_of_now():
    """It is written from the journal, which has those of then."""
    go([1, 2, 3])
    Path("out").unlink()
    assert go([3, 2, 1]) == (0, [])
    assert by_line() == {1: 3, 2: 2, 3: 1}


# -------------------------------------------------------------------- lines that INPUT has no more


def test_lines_that_are_gone_are_told_first(capsys):
    """How many, and one of them; they are neither run nor counted, and their results stay."""
    kill_at.append(2)
    assert go([1, 2, 3, 4], concurrency=1)[0] == 130
    capsys.readouterr()
    assert go([1, 4], concurrency=1) == (0, [4])
    told = capsys.readouterr().err.splitlines()
    assert "2 lines are in " in told[0]
    assert told[0].endswith(", such as line 2 2: not run, not counted, and what has a result stays in the output")
    assert "but not in INPUT any more" in told[0]
    assert "2 lines: 1 done before, 1 completed; " in told[1]
    assert by_line() == {1: 1, 2: 4} or sorted(one["record"] for one in results()) == [1, 2, 4]
    assert go([1, 2, 3, 4], concurrency=1) == (1, [3])


def test_what_failed_and_is_gone_is_not_counted():
    """The exit status is that of the lines that there are."""
    kill_at.append(2)
    go([1, 2], concurrency=1)
    assert go([1]) == (0, [])
    assert go([1, 2]) == (1, [])


@pytest.mark.parametrize("lines", [[7, 8], []])
def test_an_input_without_any_of_the_lines_is_refused(capsys, lines):
    """Before anything is run; it is said what to do, and nothing has changed."""
    go([{"text": "x" * 100}, 2])
    written = Path("out").read_bytes()
    capsys.readouterr()
    assert go(lines) == (2, [])
    told = capsys.readouterr().err
    assert "INPUT has none of the 2 lines that " in told
    assert 'such as line 1 {"text": "xxx' in told
    assert "--id FIELD" in told
    assert "--changed-input" in told
    assert len(told) < 600
    assert Path("out").read_bytes() == written
    assert sql("SELECT count(*) FROM event") == [(2,)]


def test_an_input_that_was_changed_altogether_may_go_on(capsys):
    """If that is asked for; the old results stay."""
    go([1, 2])
    assert go([7, 8], changed_input=True) == (0, [7, 8])
    assert sorted(one["record"] for one in results()) == [1, 2, 7, 8]
    assert "2 lines: 2 completed; " in capsys.readouterr().err


def test_what_stays_unread_and_is_gone_is_not_counted():
    """Of what cannot be read here, too, only the lines of INPUT count."""
    kill_at.append(1)
    go([1, 2], concurrency=1)
    sql("UPDATE event SET event = CAST(replace(event, 'run:work', 'run:gone') AS BLOB) WHERE status = 'pending'")
    sql("UPDATE event SET status = 'completed', outcome = CAST('{\"response\":1}' AS BLOB) WHERE status = 'failed'")
    assert go([1, 2])[0] == 1
    assert go([1])[0] == 0


# -------------------------------------------------------------------- --id


def test_an_id_is_all_that_counts():
    """The rest of the record may change."""
    items = [{"id": n, "at": "monday"} for n in range(3)]
    go(items, record_id="id")
    changed = [{"id": 9}, *({"id": float(n), "at": "tuesday"} for n in range(3))]
    assert go(changed, record_id="id") == (0, [{"id": 9}])
    assert {one["record"]["id"]: one["line"] for one in results()} == {9: 1, 0: 2, 1: 3, 2: 4}


def test_an_id_may_be_inside():
    """A path; and the event is found under its key."""
    go([{"meta": {"id": "r\u00e4"}}], record_id="meta.id")
    assert sql("SELECT key FROM event WHERE key GLOB '*id:*'") == [('"line:id:r\u00e4"',)]
    assert go(record_id="meta.id") == (0, [])


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"n": 1}, "line 2: the id field 'meta.id' is missing"),
        ({"meta": {"id": None}}, "line 2: the id field 'meta.id' is null"),
        ({"meta": {"id": True}}, "line 2: the id field 'meta.id' must be a text or a number: got True"),
        ({"meta": {"id": [1]}}, "line 2: the id field 'meta.id' must be a text or a number: got [1]"),
        ({"meta": {"id": "a"}}, "line 2: id 'a' is also on line 1"),
        ({"meta": {"id": ""}}, "line 2: the id field 'meta.id' is empty"),
    ],
)
def test_a_line_without_an_id_of_its_own_is_a_bad_line(capsys, record, told):
    """The path is named, and the others run."""
    lines = [{"meta": {"id": "a"}}, record, {"meta": {"id": "b"}}]
    status, ran = go(lines, record_id="meta.id")
    assert (status, len(ran)) == (1, 2)
    err = capsys.readouterr().err
    assert told in err
    assert "3 lines: 2 completed, 1 bad line; " in err


async def picky(record):
    """Note a call, which fails for some records."""
    calls.append(record)
    if record["v"] == "leave":
        raise KeyboardInterrupt
    if record["v"] == "bad":
        raise ValueError(record)
    return record["v"]


def go_picky(values, **options):
    """Run over lines with the ids 1, 2, 3 ... Return the exit status, and what was called."""
    write([{"n": n, "v": value} for n, value in enumerate(values, 1)])
    before = len(calls)
    common = {"output": "out", "journal": "run.db", "progress": "none", "journal_sync": "normal", "record_id": "n"}
    status = run(f"{__name__}:picky", "input", **common, **options)
    return status, [record["v"] for record in calls[before:]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_corrected_record_is_run_as_it_is_now(capsys, backend):
    """If the earlier one failed, under the same id. It has one result; what completed is not run, though it changed."""
    assert go_picky(["bad", "good", "bad", "bad"], backend=backend)[0] == 1
    capsys.readouterr()
    status, called = go_picky(["mended", "changed", "bad", "mended too"], resume_failed=True, backend=backend)
    assert (status, sorted(called)) == (1, ["bad", "mended", "mended too"])
    told = capsys.readouterr().err
    assert "2 lines to be run have changed in INPUT, such as line 1: the record is run as it is now" in told
    assert "4 lines: 1 done before, 2 completed, 1 failed; " in told
    assert {one["line"]: (one["record"]["v"], one["status"]) for one in results()} == {
        1: ("mended", "completed"), 2: ("good", "completed"), 3: ("bad", "failed"), 4: ("mended too", "completed"),
    }  # fmt: skip
    assert len(results()) == 4
    assert sql("SELECT status, count(*) FROM event GROUP BY status ORDER BY status") == [
        ("completed", 3),
        ("failed", 1),
    ]
    assert go_picky(["mended", "changed", "mended", "mended too"], resume_failed=True) == (0, ["mended"])
    assert go_picky(["a", "b", "c", "d"], resume_failed=True) == (0, [])


def test_another_spelling_of_a_record_is_no_correction(capsys):
    """Then the event runs again that has failed, with its number in the journal."""
    go_picky(["bad"])
    (before,) = sql("SELECT seq FROM event")
    write(['{"v": "bad",  "n": 1.0}'])
    assert run(f"{__name__}:picky", "input", output="out", journal="run.db", record_id="n", resume_failed=True) == 1
    assert "changed in INPUT" not in capsys.readouterr().err
    assert sql("SELECT seq FROM event") == [before]


def test_a_record_that_has_not_run_stays_as_it_was(capsys):
    """What is pending is run as the journal has it. The message says how to have it run as it is now."""
    assert go_picky(["leave", "old", "old"], concurrency=1)[0] == 130
    assert go_picky(["leave", "new", "old"]) == (1, ["old", "old"])
    told = capsys.readouterr().err
    assert "such as line 2: what run.db has is run; --resume-failed runs the record as it is now\n" in told


def test_a_record_that_has_not_run_is_run_as_it_is_now():
    """With ``--resume-failed``, as the message says."""
    assert go_picky(["leave", "old", "old"], concurrency=1)[0] == 130
    status, called = go_picky(["mended", "new", "old"], resume_failed=True)
    assert (status, sorted(called)) == (0, ["mended", "new", "old"])


def test_a_correction_is_run_if_something_else_has_put_the_line_back():
    """``retry``, or a run with ``--resume-failed`` that was killed before it had read INPUT: nobody pays again."""
    go_picky(["bad", "good"])
    assert run_command(["retry", "run.db", "--failed"]) == 0
    assert go_picky(["mended", "changed"], resume_failed=True) == (0, ["mended"])
    assert sorted(one["record"]["v"] for one in results()) == ["good", "mended"]


def test_a_correction_outlives_a_kill():
    """The run ends before the corrected record has run: the next one knows no other record."""
    go_picky(["bad", "bad"])
    assert go_picky(["leave", "mended"], resume_failed=True, concurrency=1)[0] == 130
    status, called = go_picky(["mended", "mended"], resume_failed=True)
    assert (status, called.count("mended")) == (0, 2)


def test_a_changed_record_is_run_without_its_id(capsys):
    """As the message about it says. The results of the others stay."""
    write([{"n": 1, "v": "a"}, {"n": 2, "v": "a"}])
    kill_at.append(2)
    assert go(record_id="n", concurrency=1)[0] == 130
    capsys.readouterr()
    assert go([{"n": 1, "v": "a"}, {"n": 2, "v": "b"}]) == (0, [{"n": 2, "v": "b"}])
    assert "changed in INPUT" not in capsys.readouterr().err


def test_an_id_may_be_given_later():
    """The journal has the records, so it finds their ids; and the other way round."""
    items = [{"id": n, "x": 1} for n in range(3)]
    go(items)
    written = Path("out").read_bytes()
    assert go([{"id": n, "x": 2} for n in range(4)], record_id="id") == (0, [{"id": 3, "x": 2}])
    assert go([*items, {"id": 3, "x": 2}]) == (0, [])
    assert Path("out").read_bytes().startswith(written)


def test_an_id_that_two_lines_of_the_journal_share_is_refused(capsys):
    """What is known already cannot be known by it."""
    go([{"id": 1, "n": 1}, {"id": 1, "n": 2}])
    assert go(record_id="id") == (2, [])
    assert "cannot be known by --id id: id 1 is also on line 1" in capsys.readouterr().err
    assert go() == (0, [])


@pytest.mark.parametrize("options", [{"record_id": "id"}, {"changed_input": True}])
def test_options_of_a_journal_need_one(capsys, options):
    """Without one they would do nothing."""
    assert go([1], journal=None, **options) == (2, [])
    assert "does nothing without --journal" in capsys.readouterr().err


def test_an_id_is_for_records(capsys):
    """A plain line has no fields."""
    assert go(["a"], field="x", record_id="id") == (2, [])
    assert "--id needs JSON records" in capsys.readouterr().err


SPELLINGS = [
    '{"b": 1.0,  "a":"\\u00e9", "a": 2}',
    '{"n": 1e400, "m": -0, "k": 1E2}',
    '"\\ud83d"',
    "12345678901234567890123",
    "null",
    '[1, 2.50, "é"]',
]


def test_a_lost_output_has_each_record_as_it_was_spelled():
    """The journal has the text of each record, also of one that its reader of JSON does not read."""
    assert go(SPELLINGS)[0] == 0
    first = sorted(Path("out").read_bytes().splitlines())
    assert [line[len(b'{"record": ') :].startswith(one.encode()) for line, one in zip(
        sorted(first, key=lambda line: json.loads(line)["line"]), SPELLINGS, strict=True
    )] == [True] * len(SPELLINGS)  # fmt: skip
    Path("out").unlink()
    assert go() == (0, [])
    assert sorted(Path("out").read_bytes().splitlines()) == first


def test_a_record_is_stored_once():
    """The text of INPUT is the field of the event."""
    assert go(['{"text":  "abcdefgh"}'])[0] == 0
    ((event,),) = sql("SELECT event FROM event")
    assert event.count(b"abcdefgh") == 1
    assert b'{"text":  "abcdefgh"}' in event


def test_pending_lines_of_a_killed_run_keep_their_records():
    """The results of lines that come back from the journal have the records as they were spelled."""
    kill_at.append(1)
    assert go(["0", *SPELLINGS], concurrency=1)[0] == 130
    assert go()[0] == 1  # the first line has failed
    records = {json.loads(line)["line"]: line for line in Path("out").read_bytes().splitlines()}
    for number, one in enumerate(SPELLINGS, 2):
        assert records[number].startswith(b'{"record": ' + one.encode() + b', "status": "completed"')


# -------------------------------------------------------------------- journals of an older version


def make_old():
    """Have the keys be what version 0.1 made of number and record, and the results as it wrote them."""
    for seq, event in sql("SELECT seq, event FROM event"):
        data = json.loads(event)["data"]
        number, record = data["metadata"]["_run_line"][0], json.dumps(data["record"])
        digest = blake2b(b"%d:" % number + record.encode(), digest_size=8).hexdigest()
        sql("UPDATE event SET key = ? WHERE seq = ?", json.dumps(f"line:{number}:{digest}"), seq)
    bare = [{name: value for name, value in one.items() if name != "key"} for one in results()]
    Path("out").write_text("".join(f"{json.dumps(one)}\n" for one in bare))


def test_a_journal_of_an_older_version_is_gone_on_with():
    """Its lines were known by number and bytes; equal ones are numbered in their order."""
    kill_at.append(3)
    assert go([5, 6, 5, 7], concurrency=1) == (130, [5, 6, 5])
    make_old()
    assert go([7, 5, 6, 5, 8], concurrency=1) == (1, [7, 8])
    assert sorted(by_line().items()) == [(1, 7), (2, 5), (3, 6), (4, 5), (5, 8)]
    assert not sql("SELECT key FROM event WHERE key GLOB '\"line:[0-9]:*'")
    assert go() == (1, [])


def test_a_journal_of_an_older_version_is_left_alone_by_a_refusal(capsys):
    """Somebody has it open."""
    go([1])
    make_old()
    with journal_in_use("run.db"):
        assert go() == (2, [])
    assert "is in use" in capsys.readouterr().err
    assert sql("SELECT key FROM event WHERE key GLOB '\"line:[0-9]:*'")


# -------------------------------------------------------------------- standard input


def test_a_pipe_may_bring_them_in_another_order(capsys):
    """It is compared while it is read, and what it lacked is told at its end."""
    kill_at.append(2)
    go([1, 2, 3, 4], concurrency=1)
    capsys.readouterr()
    with standard_input(b"9\n4\n3\n1\n"):
        assert go(source="-", concurrency=1) == (0, [3, 4, 9])
    err = capsys.readouterr().err
    assert "1 of the 4 lines that run.db knew were not in standard input" in err
    assert "4 lines: 1 done before, 3 completed; " in err
    assert {one["record"]: one["line"] for one in results() if one["record"] != 2} == {1: 1, 3: 3, 4: 2, 9: 1}


# -------------------------------------------------------------------- whatever is done to INPUT

VALUES = [1, 2, {"a": 1, "b": 2.0}, "x", [1]]
INPUTS = st.lists(st.sampled_from(range(len(VALUES))), min_size=1, max_size=7)
STEPS = st.lists(
    st.tuples(INPUTS, st.integers(0, 4), st.booleans(), st.integers(0, 200)),
    min_size=1,
    max_size=3,
)


def spelled(values, otherwise):
    return [other_spelling(VALUES[one]) if otherwise else json.dumps(VALUES[one]) for one in values]


@settings(max_examples=25, deadline=None)
# In these an event had begun, and waited for its call, when the run was killed.
@example([([0, 0, 0, 0, 2, 4, 0], 2, False, 0), ([0] * 7, 3, False, 0)], [0])
@example([([0, 4, 0, 1, 2, 4, 3], 2, False, 170), ([0, 0, 3, 0, 1, 0, 0], 3, False, 181), ([0], 0, False, 0)], [0] * 5)
@given(STEPS, INPUTS)
def test_each_record_is_run_once_whatever_becomes_of_the_input(steps, last):
    """Reordered, extended, cut, doubled, spelled anew, killed on the way, the output torn: one run, one result."""
    with TemporaryDirectory() as folder, chdir(folder):
        calls.clear()
        most = Counter()
        for values, kill, otherwise, torn in steps:
            kill_at[:] = [len(calls) + kill] if kill else []
            go(spelled(values, otherwise), changed_input=True, concurrency=2)
            kill_at.clear()
            most |= Counter(values)
            Path("out").write_bytes(Path("out").read_bytes()[: -torn or None])
        go(spelled(last, otherwise=False), changed_input=True)
        check(most | Counter(last), last)
        written = Path("out").read_bytes()
        assert go()[1] == []
        assert Path("out").read_bytes() == written


def check(most, last):
    """Check calls and results: ``most`` is how often each value was in an INPUT at most."""
    canonical = [json.dumps(one, sort_keys=True) for one in VALUES]
    ran = Counter(canonical.index(json.dumps(record, sort_keys=True)) for record in normal(calls))
    found = results()
    assert ran <= most
    assert Counter(last) <= ran
    assert len(found) == len(calls)
    assert Counter(canonical.index(json.dumps(one["record"], sort_keys=True)) for one in normal(found)) == ran
    # Results of the lines that there are, but for those of records that the last INPUT has less often.
    now = {(one["line"], json.dumps(one["record"], sort_keys=True)) for one in normal(found)}
    assert now >= {(number, canonical[one]) for number, one in enumerate(last, 1)}


def normal(value):
    """Return numbers as the values above have them."""
    if isinstance(value, dict):
        return {name: float(one) if name == "b" else normal(one) for name, one in value.items()}
    return [normal(one) for one in value] if isinstance(value, list) else value


# -------------------------------------------------------------------- parts


def test_ids_that_look_like_keys_are_ids():
    """Those of lines that are known by their content, and those that version 0.1 wrote."""
    ids = ["12:0123456789abcdef", "0" * 32, f"{0:032}:2", 1]
    lines = [{"i": one} for one in ids]
    assert go(lines, record_id="i") == (0, lines)
    written = Path("out").read_bytes()
    assert go(record_id="i") == (0, [])
    assert Path("out").read_bytes() == written


def test_a_text_and_a_number_are_two_ids():
    """As in JSON. What no key can hold has a digest for its key."""
    lines = ['{"i": "1"}', '{"i": 1}', '{"i": 1.0}', '{"i": 1.5}', '{"i": "\\ud83d"}']
    assert go(lines, record_id="i")[0] == 1
    assert sorted(by_line()) == [1, 2, 4, 5]
    keys = [json.loads(key) for (key,) in sql("SELECT key FROM event ORDER BY seq")]
    assert keys[:3] == ["line:id:1", "line:id=1", "line:id=1.5"]
    assert keys[3].startswith("line:id#")
    assert go(record_id="i") == (1, [])


def test_no_identity_without_a_record(capsys):
    """It is a bad line, as without a journal."""
    assert go(["{", "1"]) == (1, [1])
    assert "line 1: not JSON" in capsys.readouterr().err


# -------------------------------------------------------------------- many lines


async def fail_each_third(record):
    """Note a call. Fail if the record can be divided by 3."""
    calls.append(record)
    if not record % 3:
        raise ValueError(record)


def test_equal_lines_are_counted_however_many_there_are():
    """The count goes on above 255, the largest number in a byte."""
    assert go([1] * 258) == (0, [1] * 258)
    assert go() == (0, [])
    assert len(sql("SELECT DISTINCT key FROM event")) == 258


def test_thousands_of_lines_are_known_with_their_ends_and_places(capsys):
    """The next run counts each end, runs the new lines only, and writes where each line is now."""
    lines = list(range(3000))
    write(lines)
    options = {"output": "out", "journal": "run.db", "journal_sync": "normal"}
    assert run(f"{__name__}:fail_each_third", "input", progress="none", **options) == 1
    assert sorted(calls) == lines
    calls.clear()
    capsys.readouterr()
    lines = [-1, *lines[::-1], -2]
    write(lines)
    assert run(f"{__name__}:fail_each_third", "input", progress="none", **options) == 1
    assert sorted(calls) == [-2, -1]
    assert by_line() == dict(enumerate(lines, 1))
    assert "3,002 lines: 3,000 done before (1,000 not completed), 2 completed; " in capsys.readouterr().err


# A line is known by a hash of 64 bits. This program replaces the hash by a number of the test's choice for each line.
CHOSEN_MARKS = """
import hashlib, sys
from types import SimpleNamespace

known, marks, factor, plus = hashlib.blake2b, {}, int(sys.argv[1]), int(sys.argv[2])

def blake2b(data, *, digest_size):
    if digest_size != 8:
        return known(data, digest_size=digest_size)
    number = len(marks)
    mark = marks.setdefault(data, number and factor * (number + 1) + plus)
    return SimpleNamespace(digest=lambda: mark.to_bytes(8, "big"))

hashlib.blake2b = blake2b

from lionpride_exec.__main__ import main

main(["run", "target.py:work", "input", "--output", "out", "--journal", "run.db", "--progress", "none"])
"""


@pytest.mark.parametrize(
    ("factor", "plus"), [(1, 0), (1024, 0), (2**48, -1)], ids=["the lowest", "at one place", "at the last place"]
)
def test_lines_are_told_apart_whatever_their_hashes(factor, plus):
    """The hash 0 is one like the others, and hashes with equal low bits are different hashes."""
    Path("target.py").write_text("async def work(record):\n    open('calls', 'a').write(f'{record}\\n')\n")
    program = [sys.executable, "-c", CHOSEN_MARKS, str(factor), str(plus)]
    lines = [1] * 258 + list(range(2, 900))
    for count in (len(lines), 1):
        write(lines)
        Path("calls").unlink(missing_ok=True)
        subprocess.run(program, check=True, timeout=60)  # noqa: S603  our own
        assert len(Path("calls").read_text().split()) == count
        assert by_line() == dict(enumerate(lines, 1))
        lines = [-1, *lines[::-1]]
