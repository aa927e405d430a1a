"""The page on several calls for one row: its files, its commands with a server that counts, and its programs."""

import csv
import json
import re
import threading
from collections import Counter

import pytest
from cli_children import end_children
from page_api import QuietHandler, serving
from page_shell import Shell
from pages import PAGES, SAID, blocks_in, define, run_block

from lionpride_exec import Event, Executor, Journal, Retry

PAGE = PAGES["docs/several-calls.md"]
BLOCKS = blocks_in(PAGE.read_text("utf-8"))
FILES = {name[1]: block.text for block in BLOCKS if (name := re.match(r"# (\w+\.py)\n", block.text))}
PROGRAMS = [block.text for block in BLOCKS if block.language == "python" and block.text not in FILES.values()]
ONE_FUNCTION, EACH_CALL = [block.text for block in BLOCKS if block.language == "sh"]
TABLE = next(block.text for block in BLOCKS if block.language == "text")


class Api:
    """What the server has been asked, by text and language. It has no French words for a red chair at first."""

    def __init__(self):
        self.asked = Counter()
        self.knows_all = False

    def answer(self, text, language):
        """Return status and body for a text. The first call of all is refused."""
        self.asked[text, language] += 1
        if self.asked.total() == 1:
            return 429, "{}"
        if (text, language) == ("A red chair", "fr") and not self.knows_all:
            return 400, json.dumps({"reason": "no such words"})
        return 200, json.dumps({"text": f"{text} ({language})"})


def handler_of(api):
    """Return a handler that answers by the API."""

    class Handler(QuietHandler):
        def do_POST(self):  # noqa: N802  http.server calls it so
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.respond(*api.answer(asked["text"], asked["to"]), content_type="application/json", retry_after="0")

    return Handler


@pytest.fixture
def shell(tmp_path):
    """A directory with the files of the page."""
    shell = Shell(tmp_path)
    for name, text in FILES.items():
        (shell.directory / name).write_text(text)
    (shell.directory / "products.csv").write_text(TABLE)
    yield shell
    end_children()


@pytest.fixture
def api(shell):
    """The server that the commands call."""
    api = Api()
    with serving(handler_of(api), threading.Event()) as url:
        shell.environment |= {"API_URL": url}
        yield api


def rows_in(shell):
    """Return the rows of the table that was made, by the product."""
    with (shell.directory / "texts.csv").open(newline="", encoding="utf-8") as file:
        return {row["sku"]: row for row in csv.DictReader(file)}


def test_all_calls_in_one_function(shell, api):
    """A product is a row with a column for each call. One failed call fails the product, and --retries repeats all."""
    done = shell.run(ONE_FUNCTION.replace("--retries 3", "--retries 1"))
    assert done.returncode == 1, done.stderr
    rows = rows_in(shell)
    assert list(rows["P2"]) == ["sku", "status", "response.de", "response.fr", "response.es", "error"]
    assert (rows["P2"]["status"], rows["P2"]["response.es"]) == ("completed", "A blue table (es)")
    assert (rows["P1"]["status"], rows["P1"]["response.de"]) == ("failed", "")
    # Once more by --retries, and once more if the first call was refused.
    assert api.asked["A red chair", "fr"] in {2, 3}
    api.knows_all = True
    done = shell.run(ONE_FUNCTION.replace("\\\n", "").rstrip() + " --resume-failed")
    assert done.returncode == 0, done.stderr
    assert rows_in(shell)["P1"]["response.fr"] == "A red chair (fr)"


def test_a_line_for_each_call(shell, api):
    """Each call has its own end. The one that failed leaves its cell empty, and only this one is made again."""
    for line in ("python expand.py", EACH_CALL.replace("--retries 3", "--retries 0"), "python join.py"):
        done = shell.run(line)
        assert done.returncode == (1 if line.startswith("lionpride-exec") else 0), done.stderr
    rows = rows_in(shell)
    assert rows["P1"] == {"sku": "P1", "de": "A red chair (de)", "fr": "", "es": "A red chair (es)"}
    assert rows["P2"]["fr"] == "A blue table (fr)"
    asked, api.knows_all = api.asked.total(), True
    for line in (EACH_CALL.rstrip() + " --resume-failed", "python join.py"):
        done = shell.run(line)
        assert done.returncode == 0, done.stderr
    assert rows_in(shell)["P1"]["fr"] == "A red chair (fr)"
    assert api.asked.total() == asked + 1


@pytest.mark.anyio
async def test_the_programs_in_memory(capsys):
    """They print what the page says, on each backend."""
    namespace = {}
    for program in PROGRAMS:
        await run_block(program, namespace, "several calls")
        assert capsys.readouterr().out.splitlines() == SAID.findall(program)


@pytest.mark.anyio
async def test_no_call_is_made_again_after_a_restart(tmp_path):
    """With a journal, keys know the calls and the rows. What failed, and its row, are run again by retry()."""
    pytest.importorskip("msgspec")
    names = define(PROGRAMS[0])
    made, is_up = Counter(), []

    class Judge(names["Judge"], tag="several_calls.judge"):
        async def _invoke(self):
            made[self.answer, self.judge] += 1
            if self.judge == "exact" and not is_up:
                raise ValueError("no verdict")
            return 1

    class Row(names["Row"], tag="several_calls.row"):
        pass

    names |= {"Judge": Judge, "Row": Row}
    for _ in range(2):
        async with Executor.of(Event, journal=Journal(tmp_path / "run.db"), retry=Retry(1)) as executor:
            rows = [await names["judge"](executor, answer) for answer in ("yes", "no")]
            assert [row.status async for row in executor.as_completed(rows)] == ["skipped"] * 2
    assert set(made.values()) == {1}
    is_up.append(True)
    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        again = await executor.retry(status=["failed", "skipped"])
        assert len(again) == 4
        await executor.join()
        assert executor.status_counts()["completed"] == 8
        (found,) = await executor.find(key="row: yes")
        assert found.event.response == {"answer": "yes", "strict": 1, "kind": 1, "exact": 1}
    assert Counter(made.values()) == {1: 4, 2: 2}


@pytest.mark.anyio
async def test_a_row_with_what_there_is_finds_its_calls_after_a_restart(tmp_path):
    """The ids of the calls are kept, and get() finds calls that ended in an earlier run."""
    pytest.importorskip("msgspec")
    names = define(PROGRAMS[1], define(PROGRAMS[0]))

    class Judge(names["Judge"], tag="several_calls.kept_judge"):
        pass

    class Majority(names["Majority"], tag="several_calls.majority"):
        pass

    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        calls = await executor.extend([Judge(answer="why?", judge=judge) for judge in names["JUDGES"]])
        await executor.join()
    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        row = Majority(answer="why?", calls=[call.id for call in calls])
        assert await executor.invoke(row, after_any_end=[call.id for call in calls]) == {
            "answer": "why?", "strict": 4, "kind": 5,
        }  # fmt: skip
