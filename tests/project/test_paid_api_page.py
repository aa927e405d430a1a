"""The page on paid calls: its files and its commands, with a server that counts what it is asked, and a ``kill -9``."""

import json
import threading
from collections import Counter

import pytest
from cli_children import COLD, end_children, read_until, start
from page_api import QuietHandler, commands_of, serving, with_files_of
from pages import PAGES

PAGE = PAGES["docs/paid-api.md"]
RECORDS = 40
TRIAL = 5

# What the server does about some texts, beside describing all others.
STUCK = {"text 10", "text 11"}  # waits until the test lets it go on
REFUSED_ONCE = "text 7"
FAILS_ONCE = "text 8"
UNUSABLE = "text 9"
FAILS = "text 44"  # as long as the test wants it to


class Api:
    """What the server has been asked, and what it has answered with 200."""

    def __init__(self):
        self.asked = Counter()
        self.paid = Counter()
        self.goes_on = threading.Event()
        self.is_broken = True

    def answer(self, text):
        """Return status and body for a text. A status of 0: the connection is closed without an answer."""
        self.asked[text] += 1
        if text in STUCK and self.asked[text] == 1:
            self.paid[text] += 1
            self.goes_on.wait(30)
            return 0, ""
        if text == REFUSED_ONCE and self.asked[text] == 1:
            return 429, "later"
        if (text == FAILS_ONCE and self.asked[text] == 1) or (text == FAILS and self.is_broken):
            return 500, "broken"
        self.paid[text] += 1
        return 200, "<html>" if text == UNUSABLE else json.dumps({"description": text.upper()})


def handler_of(api):
    """Return a handler that answers by the API. Without a status it closes the connection."""

    class Handler(QuietHandler):
        def do_POST(self):  # noqa: N802  http.server calls it so
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, text = api.answer(body["text"])
            if status:
                self.respond(status, text, retry_after="0")

    return Handler


@pytest.fixture
def shell(tmp_path):
    """A directory with the files of the page, and with the input."""
    shell, _ = with_files_of(PAGE, tmp_path)
    numbers = [*range(1, RECORDS), 44]
    lines = [json.dumps({"sku": f"P{number:05}", "text": f"text {number}"}) for number in numbers]
    (shell.directory / "products.jsonl").write_text("\n".join(lines))
    yield shell
    end_children()


def summary(shell):
    return json.loads((shell.directory / "summary.json").read_text())


def test_each_call_is_paid_once(shell):
    """The commands of the page in its order, and a kill while two calls are all that is left."""
    api = Api()
    trial, run, inspect, failed, held, show, by_error, by_record, by_status, again = commands_of(PAGE)
    assert run == again == "lionpride-exec run --config run.toml"
    with serving(handler_of(api), api.goes_on) as url:
        shell.environment |= {"API_URL": url}
        assert shell.run(trial).returncode == 0
        assert api.paid.total() == TRIAL

        child = start(run.split()[1:], program=COLD, env=shell.environment, cwd=shell.directory)
        read_until(child.stderr, f" {RECORDS - TRIAL - len(STUCK)} done".encode())
        child.kill()
        child.wait()
        for _ in range(2):  # again and again: nothing is paid twice
            done = shell.run(run)
            assert done.returncode == 1, done.stderr
            assert "2 lines are held: they ran when the process died" in done.stderr
            found = summary(shell)
            assert found["left"] == {"held": 2}
            assert found["statuses"] == {"completed": RECORDS - 4, "failed": 2}, shell.run(inspect).stdout[-3000:]
            assert set(api.paid.values()) == {1}
        assert (api.asked[REFUSED_ONCE], api.asked[FAILS_ONCE], api.asked[UNUSABLE], api.asked[FAILS]) == (2, 2, 1, 4)

        shown = shell.run(inspect).stdout[-3000:]
        assert "HTTPStatusError 500: Server error '<n> Internal Server Error' for url '<url>'" in shown
        assert "Unusable: no description: <html>" in shown
        for line, number in ((failed, 2), (held, 2)):
            assert shell.run(line).returncode == 0
            assert len((shell.directory / line.split()[-1]).read_text().splitlines()) == number
        assert '"sku": "P00044"' in shell.run(show).stdout

        api.is_broken = False
        assert shell.run(by_error).stdout == "1 event is pending again\n"
        assert shell.run(by_record).returncode == 1  # it is pending by now
        assert shell.run(by_status).stdout == "2 events are pending again\n"
        assert shell.run(again).returncode == 1
    found = summary(shell)
    assert (found["statuses"], found["left"]) == ({"completed": RECORDS - 1, "failed": 1}, {})
    assert {text for text, number in api.paid.items() if number > 1} == STUCK
    assert api.asked[UNUSABLE] == 1
