"""The example ``etl.py``: run whole, killed and run again, with a stage that fails, some nights, and its length."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import anyio
import etl
import pytest
from example_processes import EXAMPLES, kill_when, output_of
from line_count import count_lines
from make_orders import make_up
from pages import ROOT

from lionpride_exec.testing import BACKENDS, run

pytest.importorskip("msgspec")

EXAMPLE = EXAMPLES / "etl.py"
TODAY = "import anyio, etl, sys; anyio.run(etl.main, sys.argv[1], backend=sys.argv[2])"


def rows_of(path, query):
    """Return the rows of a query. Empty if there is no such table yet."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def parsed_in(folder):
    """Return the keys of the batches that the journal has the end of. Empty if there is no journal yet."""
    try:
        rows = rows_of(folder / "etl.db", "SELECT key FROM event WHERE status = 'completed' AND key LIKE '%parse%'")
    except sqlite3.OperationalError:
        return set()
    return {key for (key,) in rows}


def test_the_whole_job(tmp_path):
    """As the page says it: 20,000 orders, of which 20 are none."""
    out, _ = output_of(EXAMPLE, cwd=tmp_path)
    report = "Report completed 19,980 orders, 4,040,694.76 in all; 20 lines are no orders"
    assert out.splitlines() == ["Night completed 40", "Load completed 20", report]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_in_the_middle_and_run_again(tmp_path, backend):
    """Each batch is parsed once, but for those under way; each order is in the database once."""
    make_up(tmp_path / f"orders-{datetime.now(etl.ZONE):%Y-%m-%d}.csv")
    command, options = ["-c", TODAY, tmp_path, backend], {"cwd": EXAMPLES}
    kill_when(lambda: parsed_in(tmp_path), *command, **options)
    begun = parsed_in(tmp_path)
    assert 0 < len(begun) < 40
    assert not (tmp_path / "orders.db").exists()
    out, _ = output_of(*command, **options)
    assert out.splitlines()[-2].startswith("Load completed 20")
    assert out.splitlines()[-1].startswith("Report completed 19,980 orders, ")
    assert output_of(*command, **options)[0] == ""  # all is done
    assert rows_of(tmp_path / "orders.db", "SELECT count(*), count(DISTINCT id) FROM orders") == [(19_980, 19_980)]
    out, _ = output_of("-m", "lionpride_exec", "export", "etl.db", "--tag", "etl.parse", cwd=tmp_path)
    batches = [json.loads(line) for line in out.splitlines()]
    assert sorted(batch["data"]["first"] for batch in batches) == list(range(0, 20_000, etl.BATCH))
    assert {batch["status"] for batch in batches} == {"completed"}
    assert {batch["runs"] for batch in batches if json.dumps(batch["key"]) in begun} == {1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stage_that_fails_skips_the_rest(tmp_path, backend, capsys):
    """Each of the others says which stage failed, and why. Nothing is in the database."""
    path = tmp_path / f"orders-{datetime.now(etl.ZONE):%Y-%m-%d}.csv"
    make_up(path, 1000)
    with path.open("a") as file:
        file.write("what is this?\n" * 100)
    anyio.run(etl.main, tmp_path, backend=backend)
    error = "100 of the lines from 1000 on are no orders"
    night, failed, *skipped = capsys.readouterr().out.splitlines()
    assert (night, failed) == ("Night completed 3", f"Parse failed {error}")
    assert [line.split()[:2] for line in skipped] == [["Load", "skipped"], ["Report", "skipped"]]
    assert all(line.endswith(f"is failed: ValueError('{error}')") for line in skipped)
    assert not (tmp_path / "orders.db").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_nights(tmp_path, backend, capsys):
    """Two nights, one of them without a 02:30; two in which the process is down, made up for by one run."""
    noon = datetime(2026, 3, 27, 12, tzinfo=UTC)
    for day in ("2026-03-28", "2026-03-29", "2026-03-31", "2026-04-01"):
        make_up(tmp_path / f"orders-{day}.csv", 400)
    run(etl.main, tmp_path, 2, backend=backend, start=noon)
    run(etl.main, tmp_path, 0.5, backend=backend, start=noon + timedelta(days=4.5))
    rows = rows_of(tmp_path / "etl.db", "SELECT key, status, started FROM event ORDER BY seq")
    began = [datetime.fromtimestamp(at, UTC).strftime("%d %H:%M") for key, _, at in rows if "schedule" in key]
    assert began == ["28 01:30", "29 01:00", "01 00:00", "01 00:30"]
    assert {status for _, status, _ in rows} == {"completed"}
    assert len(rows) == 4 * 4
    ended = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ended.count("Night") == 4  # each is about to end while its stages run, one of which may be faster
    assert [kind for kind in ended if kind != "Night"] == ["Load", "Report"] * 4
    assert rows_of(tmp_path / "orders.db", "SELECT count(*) FROM orders") == [(399,)]


def test_the_examples_are_as_short_as_the_pages_say():
    """And shorter than the same jobs were once."""
    examples = {
        "evaluate": (55, "api-calls"),
        "crawler": (48, "crawler"),
        "etl": (138, "cpu-work"),
        "service_jobs": (104, "applications"),
    }
    for name, (once, page) in examples.items():
        lines = count_lines((EXAMPLES / f"{name}.py").read_text())
        assert lines < once
        text = " ".join((ROOT / "docs" / f"{page}.md").read_text().split())
        assert f"{lines} lines" in text[text.index(f"examples/{name}.py") :][:700]
