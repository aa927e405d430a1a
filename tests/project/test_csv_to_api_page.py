"""The page on a table against an API: its files and its commands, with a server that counts what it is asked."""

import csv
import json
import threading
from collections import Counter
from signal import SIGINT
from urllib.parse import parse_qs, urlsplit

import pytest
from cli_children import COLD, end_children, read_until, start
from page_api import QuietHandler, commands_of, serving, with_files_of
from pages import PAGES

PAGE = PAGES["docs/csv-to-api.md"]
ROWS = 40
TRIAL = 5
BEFORE_STOP = 10  # calls that are answered before the test stops the run
BAD = 30  # the row with the id of the row before it
UNKNOWN = "Nowhere 7"


class Api:
    """What the server has been asked, by the address."""

    def __init__(self):
        self.asked = Counter()
        self.is_full = threading.Event()  # a call waits until the test lets it go on
        self.goes_on = threading.Event()
        self.goes_on.set()

    def answer(self, address):
        """Return status and body for an address."""
        self.asked[address] += 1
        if self.asked.total() > BEFORE_STOP:
            self.is_full.set()
            assert self.goes_on.wait(30)
        if address == UNKNOWN:
            return 404, json.dumps({"reason": "no such place"})
        return 200, json.dumps({"lat": 1.5, "lon": len(address), "more": "left out"})


def handler_of(api):
    """Return a handler that answers by the API."""

    class Handler(QuietHandler):
        def do_GET(self):  # noqa: N802  http.server calls it so
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            assert (url.path, query["limit"]) == ("/search", ["1"])
            self.respond(*api.answer(query["q"][0]), content_type="application/json")

    return Handler


@pytest.fixture
def shell(tmp_path):
    """A directory with the files of the page."""
    shell, texts = with_files_of(PAGE, tmp_path)
    shell.head = texts["text"].splitlines()[0]
    yield shell
    end_children()


def write_rows(shell, *, corrected):
    """Write the table: one row has an unknown address and one the id of another, unless they are corrected."""
    rows = []
    for number in range(1, ROWS + 1):
        key = f"C{number - (number == BAD and not corrected):03}"
        street = "Nowhere" if number == 7 and not corrected else "Main Street"
        rows.append(f"{key},Ann,{street} {number}")
    (shell.directory / "customers.csv").write_text("\n".join([shell.head, *rows]) + "\n")


def table(shell):
    """Return the rows of the output, by the id of the customer."""
    with (shell.directory / "places.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_a_table_from_the_first_row_to_the_report(shell):
    """The commands of the page in its order, and a Ctrl-C while calls run."""
    api = Api()
    check, run, inspect, failed, show, again, fixed, report = commands_of(PAGE)
    write_rows(shell, corrected=False)
    with serving(handler_of(api), api.goes_on) as url:
        shell.environment |= {"API_URL": url}
        done = shell.run(check)
        assert done.returncode == 1
        assert "line 31: id 'C029' is also on line 30" in done.stderr
        assert api.asked.total() == TRIAL

        api.asked.clear()
        api.goes_on.clear()
        child = start(run.split()[1:], program=COLD, env=shell.environment, cwd=shell.directory)
        assert api.is_full.wait(30)
        child.send_signal(SIGINT)
        read_until(child.stderr, b"stopping")
        api.goes_on.set()
        child.stderr.read()
        assert child.wait() == 130
        assert BEFORE_STOP <= len(table(shell)) < ROWS - 1

        for _ in range(2):  # the second time there is nothing left
            done = shell.run(run)
            assert done.returncode == 1, done.stderr
            assert len(table(shell)) == api.asked.total() == len(api.asked) == ROWS - 1
        rows = table(shell)
        assert rows["C001"]["response.lat"] == "1.5"
        assert rows["C007"]["error"].startswith("HTTPStatusError: Client error '404 Not Found'")
        assert json.loads(rows["C007"]["error.details.body"]) == {"reason": "no such place"}

        assert "HTTPStatusError 404: Client error" in shell.run(inspect).stdout
        assert shell.run(failed).returncode == 0
        (line,) = (shell.directory / "failed.jsonl").read_text().splitlines()
        assert UNKNOWN in line
        assert UNKNOWN in shell.run(show).stdout

        (shell.directory / "fixed.csv").write_text(f"{shell.head}\nC007,Ann,Main Street 7\n")
        done = shell.run(fixed)
        assert done.returncode == 0, done.stderr
        assert (len(table(shell)), table(shell)["C007"]["status"]) == (ROWS - 1, "completed")

        write_rows(shell, corrected=True)
        done = shell.run(again)
        assert done.returncode == 0, done.stderr
        assert {row["status"] for row in table(shell).values()} == {"completed"}
        assert len(table(shell)) == ROWS
        assert api.asked.total() == ROWS + 1  # the row that failed was asked for once more
    assert shell.run(report).returncode == 0
    assert "<h1>Places of customers</h1>" in (shell.directory / "report.html").read_text("utf-8")
