"""The report of a run: ``report()`` and ``lionpride-exec report``."""

import gzip
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest
from commands import run_command
from journal_files import T0, add_event, empty_journal, error_outcome, fill, make_journal
from report_pages import HOSTILE, Parser, number, page_of, page_tree, printable, rows_of, sections, words_of

import lionpride_exec
from lionpride_exec import Event, Executor, Journal, JournalError, Retry
from lionpride_exec.testing import BACKENDS, run

DATA = Path(__file__).parents[1] / "data" / "before_parts"

STATUSES = ("completed", "failed", "cancelled", "skipped", "aborted", "processing", "held")

REFUSED = (("text.db", "not a SQLite file"), ("empty.db", "empty"), ("none.db", "no such file"), (".", "folder"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_numbers_are_those_of_the_journal(capsys):
    """Tiles, the bar of statuses, the legend and the table of the chart have the counts of inspect."""
    with closing(make_journal("run.db")) as connection:
        connection.execute("BEGIN")
        for seq in range(1, 401):
            status = ("completed", "completed", "failed", "cancelled", "pending")[seq % 5]
            times = {} if status == "pending" else {"started": T0 + seq, "finished": T0 + seq + 0.5}
            add_event(connection, seq, status, **times, outcome=None if status == "pending" else {"duration": 0.5})
        connection.execute("COMMIT")
    assert run_command(["inspect", "run.db", "--json"]) == 0
    counts = {status: n for status, n in json.loads(capsys.readouterr().out)["counts"].items() if n}
    _, tree = page_of()
    found = sections(tree)
    legend = [words_of(item) for item in found["Events by status"].iter("li")]
    assert {name: number(n) for name, n in (item.split() for item in legend)} == counts
    table = found["Throughput"].find("details")
    heads = [words_of(cell) for cell in table.iter("th")][1:]
    sums = {name: sum(number(row[place + 1]) for row in rows_of(table)) for place, name in enumerate(heads)}
    assert sums == {status: n for status, n in counts.items() if status != "pending"}
    drawn = {}  # by the titles of the columns, which the bars are in
    for group in found["Throughput"].iter("g"):
        _, _, told = words_of(group.find("title")).partition(": ")
        for count, status in (part.split() for part in told.split(", ")):
            drawn[status] = drawn.get(status, 0) + number(count)
    assert drawn == sums
    tiles = dict(
        zip(*[iter(words_of(one) for one in tree.find(".//dl").iter() if one.tag in {"dt", "dd"})] * 2, strict=True)
    )
    assert (tiles["Events"], tiles["Completed"], tiles["Failed"]) == ("400", "160", "80")
    assert sum(number(row[1]) for row in rows_of(found["Duration"])) == counts["completed"] + counts["failed"]


def test_bars_are_as_high_as_their_numbers():
    """The height of a bar is its part of the top of the scale."""
    with closing(make_journal("run.db")) as connection:
        for seq, second in enumerate((0, 0, 0, 0, 1, 2, 2), 1):
            add_event(connection, seq, "completed", queued=T0, started=T0, finished=T0 + second)
    section = sections(page_of()[1])["Throughput"]
    heights = [float(bar.get("height")) for bar in section.iter("rect") if bar.get("height") != "10"]
    scale = [words_of(span) for span in section.find(".//div[@class='scale']")]
    assert (heights, scale) == ([100, 25, 50], ["4", "2", "0"])


def test_runs_at_the_same_time_are_averages():
    """A run that lasts for half of a bin counts as half a run there."""
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 1, "completed", queued=T0, started=T0, finished=T0 + 100)
        add_event(connection, 2, "completed", queued=T0, started=T0 + 10, finished=T0 + 11.5)
        add_event(connection, 3, "processing", queued=T0, started=T0 + 99)
    busy = {row[0]: row[1] for row in rows_of(sections(page_of()[1])["Running at the same time"])}
    assert (busy["22:13:20"], busy["22:13:30"], busy["22:13:31"], busy["22:14:59"]) == ("1", "2", "1.50", "2")


def test_runs_that_were_repeated_count():
    """Each attempt is a run that began, and ran for some time; the chart says how many were repeated."""
    attempts = json.dumps([{"number": n, "started": T0 + 2 * n, "finished": T0 + 2 * n + 1} for n in (1, 2)]).encode()
    with closing(make_journal("run.db")) as connection:
        add_event(
            connection, 1, "completed", queued=T0, started=T0 + 60, finished=T0 + 61, attempt=3, attempts=attempts
        )
    found = sections(page_of()[1])
    busy = {row[0]: row[1] for row in rows_of(found["Running at the same time"])}
    assert busy == {"22:13:22": "1", "22:13:24": "1", "22:14:20": "1"}
    assert "2 runs that had to be repeated" in words_of(found["Running at the same time"])
    assert [row[:2] for row in rows_of(found["Starts"])] == [["1 s", "1"], ["1 min", "3"]]


def test_starts_are_counted_in_any_window():
    """Windows slide, and a rate of the last run of the command stands beside what began; one of a key does not."""
    with closing(make_journal("run.db")) as connection:
        for seq, second in enumerate((0, 8, 9, 10, 11, 12, 18, 70), 1):
            add_event(connection, seq, "completed", queued=T0, started=T0 + second, finished=T0 + second)
        for number, options in enumerate(({"--rate": ["3/m"]}, {"--rate": ["4/5s", "2/1s:tokens", "x=1/s"]}), 1):
            given = {"at": T0, "target": "t", "input": [], "options": options}
            connection.execute("INSERT INTO meta VALUES (?, ?)", (f"run:{number}", json.dumps(given)))
    rows = rows_of(sections(page_of()[1])["Starts"])
    assert rows == [
        ["1 s", "1", "-", "", "22:13:20"],
        ["5 s", "5", "4", "", "22:13:32"],
        ["1 min", "7", "-", "", "22:13:38"],
    ]


def test_errors_are_grouped_by_shape():
    """Errors that differ in numbers and URLs only are one group; with --top the rest is counted."""
    with closing(make_journal("run.db")) as connection:
        connection.execute("BEGIN")
        for seq in range(1, 31):
            error = ("HTTPError", f"429 for https://x.test/{seq}") if seq % 3 else ("KeyError", "'price'")
            outcome = error_outcome(*error) | {"duration": 1.0}
            add_event(connection, seq, "failed", started=T0, finished=T0 + 1, outcome=outcome)
        connection.execute("COMMIT")
    rows = rows_of(sections(page_of()[1])["Errors"])
    assert rows == [
        ["20", "", "failed", "HTTPError: <n> for <url>HTTPError: 429 for https://x.test/1", "#1"],
        ["10", "", "failed", "KeyError: 'price'", "#3"],
    ]
    section = sections(page_of(top=1)[1])["Errors"]
    assert len(rows_of(section)) == 1
    assert "10 more ended with other errors" in words_of(section)


def test_errors_of_different_status_codes_are_apart():
    """The words are those of inspect. The first event is named by the id of its line, if it has one."""
    with closing(make_journal("run.db")) as connection:
        for seq, (code, key) in enumerate([(404, "line:id:ann"), (404, None), (400, "line:id=7"), (500, "line:1")], 1):
            outcome = error_outcome("HTTPStatusError", f"Client error '{code} X'")
            outcome["error"]["details"] = {"status_code": code}
            stored = {} if key is None else {"key": json.dumps(key)}
            add_event(connection, seq, "failed", started=T0, finished=T0 + 1, outcome=outcome, **stored)
    rows = rows_of(sections(page_of()[1])["Errors"])
    assert [(row[0], row[3].partition("HTTPStatusError: ")[0], row[4]) for row in rows] == [
        ("2", "HTTPStatusError 404: Client error '<n> X'", "ann"),
        ("1", "HTTPStatusError 400: Client error '<n> X'", "7"),
        ("1", "HTTPStatusError 500: Client error '<n> X'", "#4"),
    ]


def test_bad_lines_stand_beside_the_events():
    """A run of the command has found them, and no event tells of them. The command counts those of its last run."""
    Path("target.py").write_text("async def echo(record): return record\n")
    Path("in").write_text('{"n": 1}\nx\n{"n": 2}\ny\n')
    command = ["run", "target.py:echo", "in", "--journal", "run.db", "--output", "out", "--quiet"]
    for _ in range(2):
        assert run_command(command) == 1
        _, tree = page_of()
        names, values = ([words_of(one) for one in tree.iter(tag)] for tag in ("dt", "dd"))
        tiles = dict(zip(names, values, strict=True))
        assert (tiles["Events"], tiles["Bad lines"]) == ("2", "2")
    Path("in").write_text('{"n": 1}\n{"n": 2}\n')
    assert run_command(command) == 0
    assert "Bad lines" not in page_of()[0]


def test_the_slowest_events_stand_first():
    """They are named by number, tag and id; as many as were asked for."""
    with closing(make_journal("run.db")) as connection:
        for seq in range(1, 6):
            outcome = {"duration": float(seq * 10)}
            add_event(connection, seq, "completed", started=T0, finished=T0 + seq, outcome=outcome)
    rows = rows_of(sections(page_of(top=2)[1])["Slowest events"])
    assert rows == [
        ["50 s", "", "completed", "Fetch", "#5", "00000005"],
        ["40 s", "", "completed", "Fetch", "#4", "00000004"],
    ]


def test_what_was_given_is_shown():
    """A run of the command is shown as it was typed."""
    with closing(make_journal("run.db")) as connection:
        given = {"at": T0, "target": "shop.py:fetch", "input": ["my urls.jsonl"], "options": {"--rate": ["500/60s"]}}
        connection.execute("INSERT INTO meta VALUES ('run:1', ?)", (json.dumps(given),))
    rows = rows_of(sections(page_of()[1])["What was given"])
    assert rows == [["2023-11-14 22:13", "shop.py:fetch 'my urls.jsonl' --rate 500/60s"]]


@pytest.mark.parametrize("marker", HOSTILE)
def test_texts_of_others_are_only_text(marker):
    """A marker in any field becomes no element, no attribute and no character that is not printed."""
    plain = Parser()
    fill("plain.db")
    plain.feed(page_of("plain.db")[0])
    name = re.sub(r"[\x00/]", "", marker)[:40]
    path = f"{name}.db"
    with closing(make_journal(path)) as connection:
        for seq, status in enumerate(STATUSES, 1):
            add_event(
                connection, seq, status, tag=marker, data={marker: marker}, key=json.dumps(marker), attempt=1,
                started=T0, finished=None if status in {"processing", "held"} else T0 + 1,
                outcome=error_outcome(marker, marker, traceback=marker) | {"duration": 1.0, "response": marker},
            )  # fmt: skip
        given = {"at": T0, "target": marker, "input": [marker], "options": {marker: [marker]}}
        connection.execute("INSERT INTO meta VALUES ('run:1', ?)", (json.dumps(given),))
    text, tree = page_of(path)
    seen = Parser()
    seen.feed(text)
    assert seen.names - plain.names == set()
    assert seen.attributes - plain.attributes == set()
    assert all(char.isprintable() or char == "\n" for char in text)
    found = sections(tree)
    assert printable(marker.partition("\n")[0]) in words_of(found["Errors"])
    assert [row[3] for row in rows_of(found["Slowest events"])] == [printable(marker)] * 2
    assert [row[2] for row in rows_of(found["Running"])] == [printable(marker)]
    assert printable(marker.replace("'", "'\"'\"'")) in words_of(found["What was given"])
    assert words_of(tree.find(".//h1")) == printable(path)


def test_nothing_is_loaded_and_nothing_runs():
    """The page has no script, no link and no address, and a policy that allows none."""
    fill("run.db")
    text, tree = page_of()
    names = {element.tag for element in tree.iter()}
    assert names & {"script", "link", "img", "iframe", "form", "a", "object", "use", "image", "foreignObject"} == set()
    assert not re.search(r"https?:|url\(|@import|javascript:|\bon\w+=", text)
    policy = tree.find(".//meta[@http-equiv]").get("content")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_data_keys_and_results_stay_in_the_journal():
    """The page has nothing of the data, the key or the result of an event."""
    with closing(make_journal("run.db")) as connection:
        outcome = {"duration": 1.0, "response": "secret-result"}
        add_event(
            connection, 1, "completed", data={"f": "secret-data"}, key='"secret-key"', started=T0, finished=T0 + 1,
            outcome=outcome,
        )  # fmt: skip
    assert "secret" not in page_of()[0]


def test_a_journal_without_events():
    """The page says so, and has no chart."""
    Path("run.db").write_bytes(empty_journal())
    text, tree = page_of()
    assert sections(tree) == {}
    assert "No events yet" in text


def test_a_journal_of_version_1():
    """A file of version 1 is read as it is, and stays what it is."""
    Path("old.db").write_bytes(gzip.decompress((DATA / "journal.db.gz").read_bytes()))
    with closing(sqlite3.connect("old.db")) as connection:
        counts = dict(connection.execute("SELECT status, count(*) FROM event GROUP BY status"))
    before = Path("old.db").read_bytes()
    text, tree = page_of("old.db")
    legend = [words_of(item).split() for item in sections(tree)["Events by status"].iter("li")]
    assert {name: number(n) for name, n in legend} == counts
    assert "Journal of version 1" in text
    assert Path("old.db").read_bytes() == before


def test_times_that_are_none():
    """Infinite times, and times that no calendar has, are left out of the charts; the counts have the events."""
    with closing(make_journal("run.db")) as connection:
        for seq, at in enumerate((float("inf"), -1e300, None), 1):
            add_event(connection, seq, "completed", queued=at, started=at, finished=at)
    _, tree = page_of()
    assert "Throughput" not in sections(tree)
    assert "3 of 3 have ended" in words_of(sections(tree)["Events by status"])


def test_what_another_program_has_written():
    """A duration that no run can have is left out, and so are attempts that cannot be read. The rest is shown."""
    with closing(make_journal("run.db")) as connection:
        times = {"queued": T0, "started": T0 + 1, "finished": T0 + 2}
        add_event(connection, 1, "completed", **times, outcome={"duration": 1e300}, attempts=b"[{}]")
        add_event(connection, 2, "completed", **times, outcome={"duration": 2.0}, attempts=b"no JSON", event=b"\xff")
        add_event(connection, 3, "processing", queued=T0, started=T0 + 1, attempt="many", id="no id")
    text, tree = page_of()
    found = sections(tree)
    assert [row[:5] for row in rows_of(found["Slowest events"])] == [["2 s", "", "completed", "?", "#2"]]
    assert [row[1:4] for row in rows_of(found["Running"])] == [["many", "Fetch", "#3"]]
    assert "2023-11-14 22:13:20 to 22:13:22 UTC" in text


def test_a_damaged_time_is_told():
    """A time that is a text is an error that names the event, and nothing is written."""
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 7, "completed", finished="yesterday")
    with pytest.raises(JournalError, match="event #7 has a time that cannot be read"):
        lionpride_exec.report("run.db", "run.html")
    assert not Path("run.html").exists()


def test_what_is_no_journal_is_refused(capsys):
    """Another file, an empty one, none, and a folder are refused; the output is as it was."""
    Path("text.db").write_text("not a journal, but long enough to be looked at")
    Path("empty.db").touch()
    Path("run.html").write_text("before")
    for path, why in REFUSED:
        with pytest.raises(JournalError, match=why):
            lionpride_exec.report(path, "run.html")
        assert run_command(["report", path, "--output", "run.html", "--overwrite"]) == 2
        assert why in capsys.readouterr().err
    assert Path("run.html").read_text() == "before"


def test_the_journal_is_not_overwritten(capsys):
    """An output that is a file of the journal is refused."""
    fill("run.db")
    before = Path("run.db").read_bytes()
    with pytest.raises(ValueError, match=r"output must not be a file of the journal, got './run.db'"):
        lionpride_exec.report("run.db", "./run.db")
    assert run_command(["report", "run.db", "-o", "run.db", "--overwrite"]) == 2
    assert "is part of the journal" in capsys.readouterr().err
    assert Path("run.db").read_bytes() == before


def test_a_top_below_zero_is_refused(capsys):
    """Nothing is written."""
    fill("run.db")
    with pytest.raises(ValueError, match="top must be 0 or more, got -1"):
        lionpride_exec.report("run.db", "run.html", top=-1)
    assert run_command(["report", "run.db", "--top", "-1"]) == 2
    assert capsys.readouterr() == ("", "lionpride-exec: --top must be 0 or more, got -1\n")
    assert not Path("run.html").exists()


def test_the_command_writes_the_page(capsysbinary):
    """To standard output, or to a file that is empty or may be replaced."""
    fill("run.db")
    assert run_command(["report", "run.db"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"<!DOCTYPE html>\n<html")
    assert run_command(["report", "run.db", "-o", "run.html"]) == 0
    first = Path("run.html").read_bytes()
    assert run_command(["report", "run.db", "-o", "run.html"]) == 2
    assert b"not empty" in capsysbinary.readouterr().err
    assert run_command(["report", "run.db", "-o", "run.html", "--top", "0", "--overwrite"]) == 0
    assert len(Path("run.html").read_bytes()) < len(first)


class Job(Event[int], tag="tests.test_report.job"):
    """Fails if its number says so, or waits until a gate opens."""

    n: int = 0

    async def _invoke(self):
        if self.n == 3:
            raise ValueError("no 3")
        if self.n > 3:
            await gates[self.n].wait()
        return self.n


gates = {}


@pytest.mark.anyio
async def test_beside_a_running_owner():
    """A report of a journal that an executor runs has what is committed, and the executor goes on."""
    gates[4] = anyio.Event()
    journal = Journal("run.db", ack="strict")
    async with Executor.of(Job, journal=journal, concurrency_limit=2, retry=Retry(attempts=1)) as executor:
        events = [await executor.append(Job(n=n)) for n in range(5)]
        for event in events[:4]:
            await event.wait()
        open_page = await anyio.to_thread.run_sync(read_page, journal)
        gates[4].set()
        await events[4].wait()
        assert "The journal is open" in open_page
    found = {heading: words_of(section) for heading, section in sections(page_tree(open_page)).items()}
    assert "4 of 5 have ended" in found["Events by status"]
    assert "ValueError: no <n>" in found["Errors"]
    assert "The journal is closed, and all events have ended." in await anyio.to_thread.run_sync(read_page, journal)


def read_page(journal):
    """Write the report of a journal, and return it."""
    lionpride_exec.report(journal, "run.html")
    return Path("run.html").read_text("utf-8")


class Step(Event[int], tag="tests.test_report.step"):
    """Takes as many seconds as its number has digits, and more for some."""

    n: int = 0

    async def _invoke(self):
        await anyio.sleep(len(str(self.n)) + self.n % 5)
        if self.n % 7 == 0:
            raise ValueError(f"no {self.n}")
        return self.n


async def run_steps(path):
    """Run some events with a journal."""
    async with Executor.of(Step, journal=Journal(path, ack="strict"), concurrency_limit=3) as executor:
        await executor.extend([Step(n=n) for n in range(30)])
        await executor.join()


def test_the_charts_are_the_same_on_each_backend():
    """The times of a run under virtual time are exact, so its charts do not differ in a byte."""
    drawn = {}
    for backend in BACKENDS:
        if find_spec(backend.rpartition("+")[2]):
            run(run_steps, f"{backend}.db", backend=backend, start=datetime(2026, 11, 30, 12, tzinfo=UTC))
            section = sections(page_of(f"{backend}.db")[1])
            parts = ("Throughput", "Running at the same time", "Starts", "Duration", "Wait")
            drawn[backend] = [ET.tostring(section[name]) for name in parts]
    assert len(drawn) > 1
    assert all(charts == drawn["asyncio"] for charts in drawn.values())


def test_the_package_does_not_import_it():
    """A program that writes no report pays nothing for it."""
    code = "import sys, lionpride_exec; print([name for name in sys.modules if '_faces' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  our own
    assert done.stdout == "[]\n"


def test_a_title_of_ones_own(capsys):
    """It stands over the page; the commands on the page still name the journal. There is none without a page."""
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 1, "completed", started=T0, finished=T0 + 1, outcome={"duration": 1.0})
    assert run_command(["report", "run.db", "--title", "Customers <b>", "-o", "run.html"]) == 0
    text = Path("run.html").read_text("utf-8")
    assert "<h1>Customers &lt;b&gt;</h1>" in text
    assert "<title>Customers &lt;b&gt;: report</title>" in text
    assert "lionpride-exec show run.db 1" in text
    assert run_command(["report", "run.db", "--title", "x", "--json"]) == 2
    assert "--title is for a page, and --json writes none" in capsys.readouterr().err


def test_a_title_from_a_program():
    """It stands over the page of a journal and of an executor. What UTF-8 lacks is escaped, as by the command."""
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 1, "completed", started=T0, finished=T0 + 1, outcome={"duration": 1.0})
    title, written = "June \ud800", "<h1>June \\ud800</h1>"
    assert run_command(["report", "run.db", "--title", title, "-o", "of_command.html"]) == 0
    assert written in Path("of_command.html").read_text("utf-8")
    for source, name in (("run.db", "run.db"), (Executor.of(anyio.sleep, name="mail"), "mail")):
        lionpride_exec.report(source, "run.html", title=title)
        assert written in Path("run.html").read_text("utf-8")
        for nothing in (None, "", " "):
            lionpride_exec.report(source, "run.html", title=nothing)
            assert f"<h1>{name}</h1>" in Path("run.html").read_text("utf-8")
