"""What ``docs/command-line.md`` says to users of GNU parallel."""

import itertools
import json
import re
from pathlib import Path

import pytest
from commands import run, run_command, virtual_time
from pages import ROOT

SECTION = (ROOT / "docs/command-line.md").read_text("utf-8").partition("## For users of GNU parallel")[2]
(CODE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
TARGETS = """
import anyio

async def note(record):
    with open("runs", "a") as file:
        file.write(f"{record} {anyio.current_time()}\\n")
    if record == "bad":
        raise LookupError(record)
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with the function of the page, and one that notes its runs."""
    monkeypatch.chdir(tmp_path)
    Path("jobs.py").write_text(CODE)
    Path("target.py").write_text(TARGETS)


def results():
    """Return the results."""
    return [json.loads(line) for line in Path("out").read_text().splitlines()]


def go(*records, target="target.py:note", **options):
    """Run over plain lines under virtual time. Return the exit status, and record and time of each run."""
    Path("in").write_text("".join(f"{record}\n" for record in records))
    with virtual_time():
        status = run(target, "in", field="record", output="out", overwrite=True, quiet=True, **options)
    lines = Path("runs").read_text().splitlines() if Path("runs").exists() else []
    return status, [(line.split()[0], float(line.split()[1])) for line in lines]


def test_each_option_of_the_table_exists(capsys):
    """In the middle column, which says what to write."""
    assert run_command(["run", "--help"]) == 0
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    rows = [line.replace("\\|", "").split("|") for line in SECTION.splitlines() if line.startswith("| `")]
    given = {option for row in rows for option in re.findall(r"--[a-z-]+", row[2])} - {"--status"}
    assert len(rows) > 30
    assert {"--ordered", "--journal", "--rate"} < given
    assert given <= known


def test_commands_are_run():
    """A status other than 0 is an error, which has what the command has written to standard error."""
    Path("in").write_text("printf a; printf b\necho no such thing >&2; exit 3\n")
    assert run("jobs.py:shell", "in", field="command", output="out", ordered=True, quiet=True) == 1
    good, bad = results()
    assert (good["status"], good["response"]) == ("completed", "ab")
    assert bad["error"] == {"error": "RuntimeError", "message": "status 3: no such thing\n"}


@pytest.mark.parametrize("runs", [1, 3])
def test_retries_are_those_after_the_first_run(runs):
    """Parallel counts all of them."""
    status, seen = go("bad", retries=runs - 1)
    assert (status, len(seen)) == (1, runs)


def test_a_rate_is_a_delay():
    """One start in any 100 ms."""
    _, seen = go(*"abcd", rate="1/100ms")
    times = [at for _, at in seen]
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(times))
    assert times[-1] - times[0] < 0.4


@pytest.mark.parametrize("number", [1, 2])
def test_so_many_errors_halt_the_run(number):
    """``--halt soon,fail=N``: nothing more is started."""
    status, seen = go("bad", "bad", "bad", "a", max_errors=number - 1, concurrency=1)
    assert (status, len(seen)) == (1, number)


def test_a_share_of_errors_is_looked_at_after_20():
    """Of the jobs that have ended."""
    _, seen = go(*["bad"] * 30, max_errors="10%", concurrency=1)
    assert len(seen) == 20
