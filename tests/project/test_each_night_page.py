"""The page on a run each night: its quota, its exit statuses and its executor, with a server that counts its calls."""

import json
import threading
from signal import SIGTERM

import pytest
from cli_children import COLD, end_children, start
from page_api import QuietHandler, serving, with_files_of
from pages import PAGES, blocks_in

PAGE = PAGES["docs/each-night.md"]
ROWS = 12
BAD = 9  # the row with the id of the row before it


class Api:
    """Counts its calls."""

    def __init__(self):
        self.calls = 0
        self.changed = threading.Condition()

    def note(self):
        with self.changed:
            self.calls += 1
            self.changed.notify_all()

    def wait(self, calls):
        """Wait until there were so many calls."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.calls >= calls, 30), self.calls


def handler_of(api):
    """Return a handler that answers by the API."""

    class Handler(QuietHandler):
        def do_GET(self):  # noqa: N802  http.server calls it so
            api.note()
            self.respond(200, '{"lat": 1, "lon": 2}', content_type="application/json")

    return Handler


@pytest.fixture
def nightly(tmp_path):
    """A directory with the files of both pages, and a server."""
    shell, _ = with_files_of(PAGES["docs/csv-to-api.md"], tmp_path)
    api = Api()
    with serving(handler_of(api), threading.Event()) as url:
        shell.environment |= {"API_URL": url}
        nightly = Nightly(shell, api)
        nightly.write_rows(corrected=False)
        yield nightly
        end_children()


class Nightly:
    """The directory, and the command of the crontab in it."""

    def __init__(self, shell, api):
        self.shell = shell
        self.api = api
        self.texts = {block.language: block.text for block in blocks_in(PAGE.read_text("utf-8"))}
        before, _, self.command = self.texts["text"].partition(" 30m ")
        assert before.endswith(" timeout --preserve-status -s TERM")
        self.command = self.command.partition(" >> ")[0].removeprefix(".venv/bin/")

    def write_rows(self, *, corrected):
        """Write the table. One row has the id of another, unless it is corrected."""
        keys = [number - (number == BAD and not corrected) for number in range(1, ROWS + 1)]
        rows = [f"C{key:03},Ann,Main Street {number}" for number, key in enumerate(keys)]
        (self.shell.directory / "customers.csv").write_text("\n".join(["id,name,address", *rows]) + "\n")

    def set(self, name, line):
        """Replace the line of an option."""
        path = self.shell.directory / "run.toml"
        lines = [one for one in path.read_text().splitlines() if not one.startswith(f"{name} = ")]
        path.write_text("\n".join([line.strip(), *lines]) + "\n")

    def start(self):
        words = self.command.split()[1:]
        return start(words, program=COLD, env=self.shell.environment, cwd=self.shell.directory)

    def stop(self, child):
        """Do what ``timeout`` does. Return the exit status."""
        child.send_signal(SIGTERM)
        child.communicate()
        return child.returncode

    def summary(self):
        """Return how many lines are pending, and whether INPUT was read to its end."""
        found = json.loads((self.shell.directory / "summary.json").read_text())
        return found["pending"], found["read_all"]


def test_a_quota_holds_from_night_to_night(nightly):
    """The calls of the night before count. The statuses are those of the table."""
    api, quota = nightly.api, nightly.texts["toml"]
    nightly.set("rate", quota.replace("1000/24h", "4/24h"))
    child = nightly.start()
    api.wait(4)
    done = nightly.shell.run(nightly.command)
    assert (done.returncode, "in use" in done.stderr) == (2, True)
    assert nightly.stop(child) == 130
    assert (api.calls, nightly.summary()) == (4, (ROWS - 1 - 4, True))

    nightly.set("rate", quota.replace("1000/24h", "6/24h"))
    child = nightly.start()
    api.wait(6)
    assert nightly.stop(child) == 130
    assert (api.calls, nightly.summary()) == (6, (ROWS - 1 - 6, True))

    nightly.set("rate", quota)
    for _ in range(2):  # the bad row stays
        assert nightly.shell.run(nightly.command).returncode == 1
        assert (api.calls, nightly.summary()) == (ROWS - 1, (0, True))
    nightly.write_rows(corrected=True)
    assert nightly.shell.run(nightly.command).returncode == 0
    assert (api.calls, nightly.summary()) == (ROWS, (0, True))


def test_a_limit_of_records_is_no_quota(nightly):
    """The same records are read again."""
    for _ in range(2):
        assert nightly.shell.run(f"{nightly.command} --limit 5").returncode == 0
        assert nightly.api.calls == 5


def test_a_quota_of_a_calendar_day(nightly):
    """The executor of the page has it beside the rate of the options, and the lifespan of its module."""
    program = nightly.texts["python"]
    assert "Quota(1000," in program
    (nightly.shell.directory / "nightly.py").write_text(program.replace("Quota(1000,", "Quota(4,"))
    nightly.set("target", 'target = "nightly.py:Places"')
    child = nightly.start()
    nightly.api.wait(4)
    assert nightly.stop(child) == 130
    assert (nightly.api.calls, nightly.summary()) == (4, (ROWS - 1 - 4, True))
    (nightly.shell.directory / "nightly.py").write_text(program)
    nightly.write_rows(corrected=True)
    assert nightly.shell.run(nightly.command).returncode == 0
    assert nightly.api.calls == ROWS
