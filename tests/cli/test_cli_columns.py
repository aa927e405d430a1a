"""Columns of a record that have the name of something every event has."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from commands import run, targets_in

TARGETS = """
import anyio
from lionpride_exec import Event

class Prompt(Event):
    text: str
    async def _invoke(self): return [self.timeout, {key: self.metadata[key] for key in self.metadata if key[0] != "_"}]

class Required(Event):
    text: str
    timeout: float
    async def _invoke(self): return self.timeout

async def echo(record): return record
async def slow(record):
    await anyio.sleep(0.2)
    return record
"""

# As a data set may have them.
COLUMNS = {
    "id": "q0", "created_at": "last week", "timeout": "30s", "status": "open", "execution": [1], "history": "long",
    "result": 5, "retry": True, "streaming": "no", "idle_timeout": 0, "response": None, "wait": 1, "to_dict": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with the targets."""
    with targets_in(tmp_path, monkeypatch, TARGETS):
        yield tmp_path


@pytest.fixture(params=[None, "run.db"], ids=["without", "journal"])
def journal(request):
    return request.param


def go(name, records, **options):
    """Run a target over records; return the exit status and the results by line."""
    Path("input").write_text("".join(json.dumps(record) + "\n" for record in records))
    Path("out").unlink(missing_ok=True)
    options = {"output": "out", "quiet": True, "progress": "none", "journal_sync": "normal"} | options
    status = run(f"targets.py:{name}", "input", **options)
    found = [json.loads(line) for line in Path("out").read_text().splitlines()] if Path("out").exists() else []
    return status, {result["line"]: result for result in found}


@pytest.mark.parametrize("name", ["Prompt", "echo"])
def test_the_columns_of_a_record_are_its_own(journal, name):
    """Whatever they are called: the line runs, and its result has the record whole."""
    record = COLUMNS | {"text": "a"}
    status, results = go(name, [record], journal=journal)
    assert status == 0
    assert results[1]["record"] == record
    assert results[1]["response"] == (record if name == "echo" else [None, {}])


def test_an_option_names_those_that_are_the_events(journal):
    """``--event-fields`` has the event take over id, metadata and timeout, for a class and a function alike."""
    record = {"text": "a", "id": str(uuid4()), "timeout": 9, "metadata": {"k": 1}}
    status, results = go("Prompt", [record], journal=journal, event_fields="id, timeout,metadata")
    assert (status, results[1]["response"]) == (0, [9, {"k": 1}])
    status, _ = go("echo", [record, record], event_fields="id")
    assert status == 1  # one id twice


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("id", "q0", "id must be a UUID"),
        ("id", 5, "id must be a UUID"),
        ("created_at", "last week", "created_at must be a time"),
        ("timeout", "30s", "timeout must be a positive number of seconds"),
        ("timeout", 0, "timeout must be a positive number of seconds"),
        ("timeout", 1e400, "timeout must be a positive number of seconds"),
        ("metadata", "web", "metadata must be an object"),
        ("streaming", 1, "streaming must be true or false"),
    ],
)
def test_a_column_that_cannot_be_the_events_is_named_with_the_cure(capsys, field, value, expected):
    """The line is a bad one; no other is."""
    Path("input").write_text(f'{{"text": "a", "{field}": {json.dumps(value).replace("Infinity", "1e400")}}}\n')
    assert run("targets.py:Prompt", "input", output="out", quiet=True, event_fields=field) == 1
    error = capsys.readouterr().err
    assert f"line 1: {expected} " in error
    assert "--event-fields none leaves the field to the record" in error


def test_metadata_that_is_no_object_is_not_dropped(capsys):
    """Without the option an object is the event's too; anything else is a bad line, with the cure."""
    status, results = go("Prompt", [{"text": "a", "metadata": {"k": 1}}, {"text": "a", "metadata": "web"}])
    assert (status, results[1]["response"], 2 in results) == (1, [None, {"k": 1}], False)
    assert "line 2: metadata must be an object" in capsys.readouterr().err
    status, results = go("Prompt", [{"text": "a", "metadata": "web"}], event_fields="none")
    assert (status, results[1]["record"]["metadata"]) == (0, "web")


@pytest.mark.parametrize("name", ["slow", "Prompt"])
def test_a_timeout_holds_unless_the_record_has_one(name):
    """``--timeout`` gives way to the record's, for a function and a class alike."""
    records = [{"text": "a"}, {"text": "b", "timeout": 60}, {"text": "c", "timeout": None}]
    _, results = go(name, records, timeout=0.05)
    if name == "slow":
        assert [results[n]["status"] for n in (1, 2, 3)] == ["cancelled", "completed", "cancelled"]
    else:
        assert [results[n]["response"][0] for n in (1, 2, 3)] == [0.05, 60, 0.05]


def test_a_field_that_a_class_requires_comes_from_the_record():
    """A class that declares ``timeout`` without a default asks for the record's."""
    status, results = go("Required", [{"text": "a", "timeout": 3}])
    assert (status, results[1]["response"]) == (0, 3)


@pytest.mark.parametrize("text", ["", "id,,no", "status", "none,id", " , "])
def test_event_fields_are_checked_before_the_run(capsys, text):
    """A name that no record can set is wrong use: exit status 2, nothing is run."""
    assert go("echo", [{}], event_fields=text)[0] == 2
    assert "--event-fields must" in capsys.readouterr().err
