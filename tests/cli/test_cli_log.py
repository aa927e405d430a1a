"""`lionpride-exec run --log-level`: what is logged of a run, as text and as JSON."""

import json
import logging
import re

import pytest
from commands import run


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logged.py").write_text(
        "async def fetch(record):\n"
        "    if record == 'bad':\n"
        "        raise LookupError('no \\x1b[31m page')\n"
        "    return record\n"
    )
    (tmp_path / "input").write_text('"good"\n"bad"\n')


def log_of(capsys, **options):
    """Run, and return the lines on standard error."""
    status = run("logged.py:fetch", "input", output="results", quiet=True, **options)
    assert status == 1
    return capsys.readouterr().err.splitlines()


def test_as_json(capsys):
    """Each line is an object. The fields are those of `extra`."""
    found = [json.loads(line) for line in log_of(capsys, log_level="debug", log_json=True)]
    started, *ends, stopped = found
    assert started["message"].startswith("executor fetch started on asyncio: 100 slots")
    assert sorted((line["level"], line["lionpride.event.status"]) for line in ends) == [
        ("debug", "completed"),
        ("warning", "failed"),
    ]
    failed = next(line for line in ends if line["level"] == "warning")
    assert failed["message"] == f"fetch {failed['lionpride.event.id']} failed"
    assert failed["logger"] == "lionpride_exec"
    assert failed["error.type"] == "LookupError"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failed["time"])
    assert stopped["lionpride.completed"] == stopped["lionpride.failed"] == 1
    assert "page" not in json.dumps(found)


def test_as_text(capsys):
    """For people: time, level, logger, message, fields. Below `info`, nothing is told of lines that completed."""
    started, failed, stopped = log_of(capsys, log_level="info")
    assert " INFO    lionpride_exec: executor fetch started on asyncio" in started
    assert re.search(r" WARNING lionpride_exec: fetch [0-9a-f-]{36} failed lionpride\.executor=fetch ", failed)
    assert failed.endswith("error.type=LookupError")
    assert "stopped after" in stopped


def test_without_it(capsys):
    """Nothing is logged, and the logger is as before."""
    assert log_of(capsys) == []
    log_of(capsys, log_level="error", overwrite=True)
    logger = logging.getLogger("lionpride_exec")
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


def test_with_a_journal(capsys):
    """The run goes on, and the log says how many lines were restored."""
    options = {"journal": "run.db", "log_level": "info", "log_json": True}
    log_of(capsys, **options)
    found = [json.loads(line) for line in log_of(capsys, resume_failed=True, **options)]
    assert found[0]["lionpride.executor"] == "fetch"
    assert [line["lionpride.event.status"] for line in found if "lionpride.event.id" in line] == ["failed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"log_json": True}, "--log-json does nothing without --log-level"),
        ({"log_level": "info", "progress": "rich"}, "--log-level and --progress rich exclude each other"),
    ],
    ids=["alone", "rich"],
)
def test_refused(capsys, options, words):
    """Nothing is run."""
    assert run("logged.py:fetch", "input", output="results", **options) == 2
    assert words in capsys.readouterr().err
