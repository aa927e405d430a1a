"""How an executor, an event and what is said of them look: as a text, and in a notebook."""

import json
import subprocess
import sys
from importlib.util import find_spec

import anyio
import attrs
import html5lib
import pytest
from report_pages import HOSTILE, printable, words_of

from lionpride_exec import Call, Event, Executor, Rate, Retry
from lionpride_exec.testing import run

anyio_test = pytest.mark.anyio


class Fetch(Event[str]):
    """Waits for a second, and fails if it is told to."""

    url: str = ""
    error: str | None = None
    api_key: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        await anyio.sleep(1)
        if self.error is not None:
            raise ValueError(self.error)
        return self.url


# The name of the method that a notebook calls.
METHOD = "_repr_mimebundle_"


def bundle_of(shown):
    """Return what a notebook gets of an object, by kind of content."""
    return getattr(shown, METHOD)(include=None, exclude=None)


def tree_of(shown):
    """Return the HTML of what a notebook shows, which has no fault, no script, no id and no style sheet."""
    bundle = bundle_of(shown)
    assert set(bundle) == {"text/plain", "text/html"}
    html = bundle["text/html"]
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(html)
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]  # without the namespace of SVG
        assert element.tag in {"DOCUMENT_FRAGMENT", "div", "b", "span", "svg", "g", "title", "rect", "code",
                               "table", "tbody", "tr", "th", "td"}  # fmt: skip
        assert "id" not in element.attrib
        assert not any(name.startswith("on") for name in element.attrib)
    assert all(char.isprintable() for char in html)
    assert len(html) < 20_000
    return tree


def facts_in(tree):
    """Return the names and values in a table."""
    return [tuple(words_of(cell) for cell in row) for row in tree.iter("tr")]


# ---------------------------------------------------------------- as a text


@anyio_test
async def test_an_executor_as_a_text():
    """Its name, its slots, whether it runs, and the events by status, without zeros."""
    executor = Executor.of(Fetch, name="fetch", concurrency_limit=2)
    assert repr(executor) == "Executor('fetch', not started: no events)"
    async with executor:
        assert repr(executor) == "Executor('fetch', 2 slots, running: no events)"
        await executor.extend([Fetch(), Fetch(), Fetch(error="no"), Fetch(), Fetch()])
        await anyio.sleep(1.5)
        assert repr(executor) == "Executor('fetch', 2 slots, running: 1 pending, 2 running, 2 completed)"
        executor.pause()
        assert repr(executor).startswith("Executor('fetch', 2 slots, paused: ")
        executor.resume()
        await executor.join()
    assert repr(executor) == "Executor('fetch', 2 slots, stopped: 4 completed, 1 failed)"
    assert len(executor.failed_events) == 1


@anyio_test
async def test_events_of_a_map_count_after_they_have_left():
    """A map keeps no event, and a journal keeps all: what has ended is told in either case."""

    async def same(item):
        return item

    executor = Executor.of(same)
    async with executor:
        assert [event.result() async for event in executor.map(same, range(5))] == [*range(5)]
    assert repr(executor) == "Executor('same', 100 slots, stopped: 5 completed)"
    assert [title.text for title in tree_of(executor).iter("title")] == ["5 completed"]


def test_a_name_cannot_control_a_terminal():
    """A name is quoted, whatever is in it."""
    assert repr(Executor.of(Fetch, name="a\x1b[2J\r'b")) == """Executor("a\\x1b[2J\\r'b", not started: no events)"""


# ---------------------------------------------------------------- in a notebook


@anyio_test
async def test_an_executor_in_a_notebook():
    """Counts, slots, what events wait for, and the fullest limits."""
    executor = Executor.of(Fetch, name="fetch", concurrency_limit=2, limits=Rate(2, per=60, key="url"))
    assert words_of(tree_of(executor)) == "Executor fetch not started"
    async with executor:
        await executor.extend([Fetch(url="a") for _ in range(3)])
        await anyio.sleep(0.5)
        tree = tree_of(executor)
        assert words_of(tree).startswith("Executor fetch running")
        assert [title.text for title in tree.iter("title")] == ["2 running", "1 pending"]
        facts = dict(facts_in(tree))
        assert facts["slots"] == "2 of 2 used"
        assert facts["waiting for"] == "limit (1)"
        assert facts["limit"] == "Rate(amount=2, per=60, cost=None, key='url', hold=False) of key 'a': 2 of 2 in 60 s"
        executor.cancel(executor.pending_events[0])
        await executor.join()


def test_an_executor_is_shown_without_an_event_loop():
    """After its run, its counts are there."""
    executor = Executor.of(Fetch, name="fetch")

    async def run_one():
        async with executor:
            await executor.append(Fetch())

    run(run_one)
    tree = tree_of(executor)
    assert words_of(tree).startswith("Executor fetch stopped")
    assert [title.text for title in tree.iter("title")] == ["1 completed"]


@anyio_test
async def test_an_event_in_a_notebook():
    """Its fields, its times, its attempts, and its response or its error. A secret is hidden, also in an error."""
    executor = Executor.of(Fetch, retry=Retry(attempts=2, backoff=1))
    async with executor:
        good = await executor.append(Fetch(url="a", api_key="secret-key"))
        bad = await executor.append(Fetch(error="not with secret-key", api_key="secret-key"))
        assert words_of(tree_of(good)).startswith("Fetch pending")
        await executor.join()
    facts = dict(facts_in(tree_of(good)))
    assert facts["event"] == f"Fetch(url='a', api_key=***, id={good.id})".replace("url='a'", "url='a', error=None")
    assert (facts["took"], facts["response"]) == ("1 s", "'a'")
    assert facts["finished"].endswith(" UTC")
    facts = dict(facts_in(tree_of(bad)))
    assert (facts["attempt"], facts["error"]) == ("2 (1 before)", "ValueError: not with ***")
    assert "secret" not in str(bundle_of(bad))
    assert len(executor.failed_events) == 1


@anyio_test
async def test_progress_and_an_explanation_in_a_notebook():
    """The text is the line for people."""
    executor = Executor.of(Fetch, concurrency_limit=1)
    async with executor:
        first, second = await executor.extend([Fetch(url="a"), Fetch(url="b")])
        await anyio.sleep(0.5)
        executor.pause()
        explanation, progress = executor.explain(second), executor.progress()
        assert bundle_of(explanation)["text/plain"] == str(explanation)
        assert bundle_of(progress)["text/plain"] == str(progress)
        assert facts_in(tree_of(explanation)) == [("event", str(second)), ("waits for", "resume()")]
        assert dict(facts_in(tree_of(executor.explain(first))))["waits for"] == "nothing: it runs"
        assert [title.text for title in tree_of(progress).iter("title")] == ["1 running", "1 pending"]
        executor.resume()
        await executor.join()


async def ask(text, more):
    """Fail with a text."""
    raise ValueError(text)


@anyio_test
@pytest.mark.parametrize("marker", [*HOSTILE, "x" * 1_000_000], ids=range(len(HOSTILE) + 1))
async def test_whatever_is_in_a_text_it_is_only_text(marker):
    """A marker in the name, in a field, in a key and in an error becomes no element, and a megabyte is cut."""
    executor = Executor.of(ask, name=marker, limits=Rate(1, per=60, key=lambda event: event.args[0]))
    async with executor:
        event = await executor.append(Call.of(ask, marker, {marker: marker}))
        waiting = await executor.append(Call.of(ask, marker, marker), key=marker)
        await event.wait()
        shown = (executor, event, waiting, executor.statistics(), executor.explain(waiting), executor.progress())
        for one in shown:
            tree = tree_of(one)
            assert not tree.findall(".//u")
        assert printable(marker)[:20] in words_of(tree_of(executor))
        assert "ValueError: " in words_of(tree_of(event))
        executor.cancel(waiting)
    assert len(executor.failed_events) == 1


@anyio_test
async def test_a_repr_that_raises_hides_the_value_only():
    """As in the text of an event."""

    class Broken:
        def __repr__(self):
            raise ValueError("cannot be told")

    event = Call.of(ask, Broken(), 1)
    assert "Broken instance at" in words_of(tree_of(event))


def test_the_package_does_not_import_what_notebooks_need():
    """A program that shows nothing in a notebook pays nothing for it."""
    code = (
        "import sys, lionpride_exec; repr(lionpride_exec.Executor.of(print)); "
        "print([name for name in sys.modules if '_display.notebook' in name or 'markup' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  our own
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------- a notebook that runs

CELLS = [
    """
import anyio
from lionpride_exec import Event, Executor

class Step(Event):
    n: int = 0
    async def _invoke(self):
        await anyio.sleep(0.01)
        if self.n == 3:
            raise ValueError("<b>no</b> 3")
        return self.n

executor = Executor.of(Step, name="<i>steps</i>", concurrency_limit=2)
await executor.start()
executor
""",
    """
async with executor.progress_bar(description="steps"):
    events = await executor.extend([Step(n=n) for n in range(8)])
    await executor.join()
executor
""",
    "events[3]",
    "executor.progress()",
    "executor.statistics()",
    "executor.explain(events[0])",
    """
event = await executor.append(Step(n=9))  # the executor has outlived its cell
await event.wait()
print(event.result(), len(executor.failed_events))
await executor.stop()
""",
]

RUN_NOTEBOOK = """
import json, sys, warnings
import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


@pytest.mark.notebook
@pytest.mark.skipif(not (find_spec("nbclient") and find_spec("ipykernel")), reason="needs nbclient and ipykernel")
def test_a_notebook(tmp_path, monkeypatch):
    """In a kernel of Jupyter, each object is shown as HTML without a fault, and the bar ends with its block."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    done = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-c", RUN_NOTEBOOK],
        input=json.dumps(CELLS),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    shown = [next(one["data"] for one in cell if one["output_type"] == "execute_result") for cell in outputs[:6]]
    for data in shown:
        html = "".join(data["text/html"])
        html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(html)
        assert "<script" not in html
        assert "<i>" not in html
    assert shown[0]["text/plain"] == "Executor('<i>steps</i>', 2 slots, running: no events)"
    assert shown[1]["text/plain"] == "Executor('<i>steps</i>', 2 slots, running: 7 completed, 1 failed)"
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; 3" in "".join(shown[2]["text/html"])
    bars = [one for one in outputs[1] if one["output_type"] in {"stream", "display_data"}]
    assert "8 of 8 done (100%)" in json.dumps(bars)
    assert [one.get("text") for one in outputs[6]] == ["9 1\n"]
