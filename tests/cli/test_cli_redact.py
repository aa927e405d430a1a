"""``run --redact``: what a field holds goes into no result, message or error."""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from commands import run, run_command

from lionpride_exec import Event
from lionpride_exec.testing import BACKENDS

SECRET = "sk-SECRET/7"  # noqa: S105  it is none

keys = []
stop_at = []


async def ask(record):
    """Quote the secret everywhere; end the run if that is asked for."""
    key = record.pop("api_key") if "api_key" in record else record["auth"]["key"]
    keys.append(key)
    if stop_at and len(keys) >= stop_at[0]:
        stop_at.clear()
        raise KeyboardInterrupt
    if record.get("n") == "fail":
        raise ConnectionError(f"GET /v1?key={key}: no route")
    return {"sent": [f"Bearer {key}"]}


class Fetch(Event):
    """An event with a secret of its own."""

    n: str = ""
    api_key: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        keys.append(self.api_key)
        if self.n == "fail":
            raise ConnectionError(self.api_key)
        return self.api_key


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    keys.clear()
    stop_at.clear()


def go(records=None, name="ask", **options):
    if records is not None:
        Path("input").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    given = {"output": "out", "progress": "none", "redact": ("api_key",)} | options
    if "journal" in given:
        given["journal_sync"] = "normal"
    return run(f"{__name__}:{name}", "input", **given)


def results():
    return [json.loads(line) for line in Path("out").read_text("utf-8").splitlines()]


def sql(statement):
    with closing(sqlite3.connect("run.db")) as connection:
        return connection.execute(statement).fetchall()


RECORDS = [{"n": "good", "api_key": SECRET}, {"n": "fail", "api_key": SECRET, "also": f"x{SECRET}"}]


@pytest.mark.parametrize("journal", [{}, {"journal": "run.db"}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_results_have_stars(capsys, journal, backend):
    """Record, response and error, with a journal and without; the target gets the value."""
    assert go(RECORDS, backend=backend, **journal) == 1
    assert keys == [SECRET, SECRET]
    good, bad = sorted(results(), key=lambda one: one["line"])
    assert good["record"] == {"n": "good", "api_key": "***"}
    assert good["response"] == {"sent": ["Bearer ***"]}
    assert bad["record"] == {"n": "fail", "api_key": "***", "also": "x***"}
    assert bad["error"] == {"error": "ConnectionError", "message": "GET /v1?key=***: no route"}
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["ask", "Fetch"])
def test_the_journal_has_it_in_the_fields_only(name):
    """In the data by which the line is run again; metadata, errors and the trail have stars."""
    records = RECORDS if name == "ask" else [{"n": one["n"], "api_key": SECRET} for one in RECORDS]
    go(records, name, journal="run.db", redact=("api_key",) if name == "ask" else ())
    for (event,) in sql("SELECT event FROM event"):
        data = json.loads(event)["data"]
        assert SECRET in json.dumps({part: data[part] for part in data if part != "metadata"})
        assert SECRET not in json.dumps(data["metadata"])
    assert SECRET not in str(sql("SELECT error FROM transition"))
    assert SECRET.encode() not in b"".join(one for (one,) in sql("SELECT outcome FROM event WHERE status = 'failed'"))
    assert SECRET not in Path("out").read_text()


@pytest.mark.parametrize(
    "arguments",
    [["show", "run.db", "1"], ["show", "run.db", "2", "--json"], ["export", "run.db"], ["tail", "run.db"],
     ["inspect", "run.db"]],
)  # fmt: skip
def test_commands_for_journals_show_stars(capfd, arguments):
    """Data, response, error and trail; whatever the class is, it is not needed."""
    go(RECORDS, journal="run.db", quiet=True)
    capfd.readouterr()
    assert run_command(arguments) == 0
    told = "".join(capfd.readouterr())
    assert "ConnectionError" in told or "Bearer ***" in told
    assert SECRET not in told


@pytest.mark.parametrize("options", [{}, {"record_id": "n"}, {"record_id": "api_key"}])
def test_a_run_goes_on(options):
    """Lines are known again though their results have stars; what comes back has the value and its limits."""
    stop_at.append(2)
    records = [{"n": n, "api_key": f"{SECRET}{n}"} for n in range(4)]
    limits = {"key": "api_key", "concurrency_per_key": 1, "journal": "run.db", "concurrency": 1}
    assert go(records, **limits, **options) == 130
    assert go([{"n": 9, "api_key": SECRET}, *records[::-1]], **limits, **options) == 1
    assert sorted(keys) == sorted([SECRET, *(f"{SECRET}{n}" for n in range(4))])
    assert {one["line"]: one["record"]["n"] for one in results()} == {1: 9, 2: 3, 3: 2, 4: 1, 5: 0}
    written = Path("out").read_bytes()
    assert SECRET.encode() not in written
    assert go(**limits, **options) == 1
    assert Path("out").read_bytes() == written
    Path("out").unlink()
    assert go(**limits, **options) == 1
    assert sorted(Path("out").read_bytes().splitlines()) == sorted(written.splitlines())
    assert SECRET not in str(sql("SELECT key FROM event"))
    assert "_run_key" in sql("SELECT event FROM event")[0][0].decode()


def test_a_path_may_be_redacted():
    """The rest of the record is as it was."""
    assert go([{"auth": {"key": SECRET, "user": "u"}}], redact=("auth.key",)) == 0
    assert results()[0]["record"] == {"auth": {"key": "***", "user": "u"}}


@pytest.mark.parametrize(
    ("record", "options", "told"),
    [
        ({"n": 1}, {}, "line 1: redacted field 'api_key' is missing"),
        ({"api_key": [SECRET]}, {"key": "api_key", "rate": ("1/s",)}, "must be a text or a number: got ['***']"),
        ({"api_key": SECRET}, {"name": "Fetch", "priority": "api_key"}, "must be a number: got '***'"),
        ({"api_key": SECRET, "m": 1}, {"name": "Fetch"}, "does not fit Fetch"),
    ],
)
def test_bad_lines_do_not_quote_it(capsys, record, options, told):
    """A field that is missing may be misspelled, so its line is not run."""
    assert go([record], **options) == 1
    err = capsys.readouterr().err
    assert told in err
    assert SECRET not in err
    assert not keys


def test_plain_lines_have_no_fields(capsys):
    """As for the other options that name a field."""
    assert go(["x"], field="record", redact=("record",)) == 2
    assert "--redact needs JSON records" in capsys.readouterr().err


def test_the_class_is_as_before():
    """A run leaves nothing behind in it."""
    before = dict(vars(Fetch))
    go([{"n": "good", "api_key": SECRET}], "Fetch", redact=("n",))
    assert dict(vars(Fetch)) == before
    assert results()[0]["record"] == {"n": "***", "api_key": "***"}
