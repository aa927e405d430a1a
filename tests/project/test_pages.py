"""
Every code block of every page does what the page says.

The language of a block decides how the block is checked. New pages and blocks are checked without being named here:

- ``python``: the blocks of a page run in order, in one namespace and one directory, on each backend. They print the
  text behind ``#>``. A block that is part of a file to which the page links is not run: that file contains it letter by
  letter. A page with tests is run by pytest, and blocks that begin with ``# name.py`` are files of that name.
- ``sh``: see ``page_shell.py``.
- ``json``: an object has the fields of an object that a command has written.
- ``toml``: ``lionpride-exec run --config`` takes the file.
- ``dot``: a diagram. The build of the site draws it, and fails if it cannot. The first line describes the diagram.
- none, or ``text``: the block is no code.
"""

import ast
import json
import re
import subprocess
import sys
from contextlib import suppress

import pytest
from journal_files import fill
from page_shell import SECONDS, Shell
from pages import BLOCK, PAGES, SAID, START, blocks_in, run_block
from public_api import public_values

from lionpride_exec.testing import BACKENDS

pytestmark = pytest.mark.anyio
LANGUAGES = {"python", "sh", "json", "toml", "text", "", "dot"}
# Blocks for the site only. tests/project/test_site.py builds it.
FOR_THE_SITE = {"{toctree}", "{public-names}", "{command-reference}", "{journal-tables}", "{settings}"}

# Pages whose programs print more than their lines say. tests/project/test_examples.py checks what they print.
PRINTS_MORE = {"README.md", "docs/tour.md"}

# Pages whose programs and commands need a server, which has a real clock. tests/cluster/test_cluster_page.py,
# tests/cluster/test_commands_page.py, tests/project/test_csv_to_api_page.py, tests/project/test_each_night_page.py,
# tests/project/test_paid_api_page.py and tests/project/test_several_calls_page.py run them.
WITH_SERVER = {
    "docs/cluster.md",
    "docs/cluster-operation.md",
    "docs/cluster-commands.md",
    "docs/csv-to-api.md",
    "docs/each-night.md",
    "docs/paid-api.md",
    "docs/several-calls.md",
}


def of_language(text, *languages):
    """Return the blocks of a text that are of these languages."""
    return [block for block in blocks_in(text) if block.language in languages]


def check(blocks, problems_of):
    """Fail with everything that is wrong in some blocks, by line."""
    assert not [f"line {block.line}: {problem}" for block in blocks for problem in problems_of(block.text)]


def with_language(*languages):
    """Return the names of the pages with a block of one of these languages, except those that need a server."""
    texts = {name: path.read_text("utf-8") for name, path in PAGES.items() if name not in WITH_SERVER}
    return [name for name, text in texts.items() if any(match[1] in languages for match in BLOCK.finditer(text))]


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_of_a_known_language(page):
    """No block is left out because no rule here knows its language."""
    found = {block.language.partition(" ")[0] for block in blocks_in(PAGES[page].read_text("utf-8"))}
    assert found <= LANGUAGES | FOR_THE_SITE


# -------------------------------------------------------------------- python


def is_part_of_a_file(code, page):
    """Whether a Python file to which the page links contains a block. The tests of that file run the block."""
    links = re.findall(r"\]\(([^)#]+\.py)\)", page.read_text("utf-8"))
    return any(code in (page.parent / link).read_text("utf-8") for link in links)


def has_tests(blocks):
    """Whether some of the blocks are tests for pytest."""
    return any(re.search(r"(?m)^(async )?def test_", block.text) for block in blocks)


async def run_programs(blocks, name, read_output, *, prints_more=False):
    """Run the blocks of a page. Each prints what its lines say."""
    namespace = {}
    for block in blocks:
        await run_block(block.text, namespace, name)
        said, printed = SAID.findall(block.text), read_output().splitlines()
        assert printed == said or (prints_more and not said), f"line {block.line}"


def run_tests(blocks, directory):
    """Run the blocks of a page by pytest. Return the output if they fail."""
    files = {}
    for block in blocks:
        named = re.match(r"# ([\w/]+\.py)$", block.text.partition("\n")[0])
        files.setdefault(named[1] if named else "test_page.py", []).append(block.text)
    for name, texts in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("\n\n".join(texts), "utf-8")
    # Plain assertions: else each process rewrites those of all plugins, which takes half of its time without a cache.
    options = ["-q", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "--assert=plain"]
    command = [sys.executable, "-m", "pytest", *options, "."]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  ours
    return done.returncode and done.stdout + done.stderr


def runs_on_each_backend(block):
    """Whether a block starts an event loop on each backend by itself, so that one run of the block is enough."""
    return "for backend in BACKENDS:" in block.text and not START.search(block.text)


@pytest.mark.parametrize("page", with_language("python"))
async def test_the_programs(page, tmp_path, monkeypatch, capsys, request):
    """Each block of a page runs after the blocks before it, and prints what it says."""
    path = PAGES[page]
    is_first_backend = request.node.callspec.params["anyio_backend"] == BACKENDS[0]
    blocks = [
        block
        for block in of_language(path.read_text("utf-8"), "python")
        if not is_part_of_a_file(block.text, path) and (is_first_backend or not runs_on_each_backend(block))
    ]
    if not has_tests(blocks):
        monkeypatch.chdir(tmp_path)
        await run_programs(blocks, page, lambda: capsys.readouterr().out, prints_more=page in PRINTS_MORE)


def test_each_tag_is_of_one_page():
    """The classes of a page may still be there when the next page runs in the same process, and tags are unique."""
    pages = {}
    for name, path in PAGES.items():
        blocks = of_language(path.read_text("utf-8"), "python")
        for tag in set(re.findall(r"(?m)^class .*tag=\"([^\"]+)\"", "\n".join(block.text for block in blocks))):
            pages.setdefault(tag, []).append(name)
    assert len(pages) > 5
    assert {tag: names for tag, names in pages.items() if len(names) > 1} == {}


def test_the_tests_of_the_pages(tmp_path):
    """The tests that a page shows pass."""
    for name, path in PAGES.items():
        blocks = of_language(path.read_text("utf-8"), "python")
        if has_tests(blocks):
            directory = tmp_path / path.stem
            directory.mkdir()
            assert not run_tests(blocks, directory), name


# -------------------------------------------------------------------- sh


@pytest.fixture
def shell(tmp_path):
    """A directory to run commands in."""
    return Shell(tmp_path)


@pytest.mark.parametrize("page", with_language("sh"))
def test_the_commands(page, shell):
    """Each command works, or passes the checks if it is not run."""
    check(of_language(PAGES[page].read_text("utf-8"), "sh"), shell.problems_of)


def test_the_first_two_commands_of_the_readme_are_those_that_ci_runs():
    """CI takes them from the page, so here they are only checked: each is one line."""
    first, second, *_ = of_language(PAGES["README.md"].read_text("utf-8"), "sh")
    assert first.text.count("\n") == second.text.count("\n") == 1
    assert "lionpride-exec demo" in first.text
    assert "pytest" in second.text


# -------------------------------------------------------------------- links


def anchors_in(text):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text, path):
    """Yield the relative links of a page that lead to no file, or to no heading of a page."""
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors_in(target.read_text("utf-8")):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_the_links(page):
    """Each relative link leads to a file, and to a heading if it names one."""
    assert not list(broken_links(PAGES[page].read_text("utf-8"), PAGES[page]))


@pytest.mark.parametrize("link", ["nothing.md", "README.md#nothing", "#nothing"])
def test_a_broken_link_is_told(link):
    """A link to a missing file, or to a missing heading of any page, is reported."""
    (problem,) = broken_links(f"# Title\n\n[a link]({link}) and [another](README.md#example)", PAGES["README.md"])
    assert link in problem


# -------------------------------------------------------------------- json

# Fields whose value is the user's own.
FREE = {"record", "response", "data"}
BROKEN = """
async def fetch(record):
    if record["path"] == "b":
        raise FileNotFoundError(2, "no such file")
    return {"size": 0}
"""


def values_in(text):
    """Yield the JSON values of a text, one after the other."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()


def fits(shown, seen):
    """Whether two values have the same fields in the same order, as far as both have fields."""
    if isinstance(shown, dict) and isinstance(seen, dict):
        return list(shown) == list(seen) and all(name in FREE or fits(shown[name], seen[name]) for name in shown)
    if isinstance(shown, list) and isinstance(seen, list) and shown and seen:
        return all(fits(value, seen[0]) for value in shown)
    return not (isinstance(shown, dict | list) and seen and not isinstance(seen, dict | list))


def unreal(text, written):
    """Yield the objects of a block that no command writes."""
    for shown in values_in(text):
        if not any(isinstance(value, dict) and fits(shown, value) for value in written):
            yield f"nothing writes an object with {list(shown)}"


@pytest.fixture
def written(shell):
    """The values that each command with JSON output has written."""
    (shell.directory / "broken.py").write_text(BROKEN)
    fill(shell.directory / "run.db")
    (shell.directory / "input").write_text('{"path": "a"}\n{"path": "b"}\n')
    lines = [
        "run broken.py:fetch input --summary summary.json",
        "inspect run.db --json",
        "tail run.db --json",
        "show run.db 2 --json",
    ]
    lines.append("export run.db")
    texts = [shell.run(f"lionpride-exec {line}").stdout for line in lines]
    texts.append((shell.directory / "summary.json").read_text())
    return [value for text in texts for value in values_in(text)]


def test_the_json(written):
    """Each object that a page shows has the fields of an object that was written."""
    for path in PAGES.values():
        check(of_language(path.read_text("utf-8"), "json"), lambda text: unreal(text, written))


# -------------------------------------------------------------------- toml


def refused(text, shell):
    """Yield why a run does not take a file of options."""
    shell.provide(["client.py", "requests.jsonl"])
    (shell.directory / "run.toml").write_text(text)
    done = shell.run("lionpride-exec run --config run.toml --dry-run")
    if done.returncode:
        yield done.stderr


@pytest.mark.parametrize("page", with_language("toml"))
def test_the_options_in_files(page, shell):
    """Each file is one for ``--config``, with a target and an input."""
    check(of_language(PAGES[page].read_text("utf-8"), "toml"), lambda text: refused(text, shell))


# -------------------------------------------------------------------- length

WORDS = 1_500  # of a page that is read from its beginning to its end, without its code
# Pages in which readers look something up: all options of a command, all records of a kind, all names.
LOOKED_UP = {
    "docs/cluster-commands.md", "docs/command-line.md", "docs/decisions.md", "docs/features.md", "docs/invariants.md",
    "docs/journal-commands.md",
}  # fmt: skip


def test_the_length_of_the_pages():
    """A page of docs/ is read in one sitting, but for pages in which readers look something up."""
    read = {name: path for name, path in PAGES.items() if name.startswith("docs/") and name not in LOOKED_UP}
    counts = {name: len(BLOCK.sub("", path.read_text("utf-8")).split()) for name, path in read.items()}
    assert {name: count for name, count in counts.items() if count > WORDS} == {}


# -------------------------------------------------------------------- reference


def test_the_reference_has_each_public_name():
    """Each public name is on one page of the reference, and no other name is."""
    listed = [
        name
        for page, path in PAGES.items()
        if page.startswith("docs/reference/")
        for block in of_language(path.read_text("utf-8"), "{public-names}")
        for name in block.text.split()
    ]
    assert sorted(listed) == sorted(public_values())


# -------------------------------------------------------------------- dot


@pytest.mark.parametrize("page", with_language("dot"))
def test_the_diagrams(page):
    """Each begins with a comment for readers who do not see the drawing."""
    for block in of_language(PAGES[page].read_text("utf-8"), "dot"):
        assert re.match(r"// \w[^\n]{20,}\n", block.text), f"line {block.line}"


# -------------------------------------------------------------------- others


def code_in(text):
    """Yield what is code in a block that names no language."""
    with suppress(SyntaxError):
        ast.parse(text)
        yield "this is Python"
    with suppress(ValueError):
        list(values_in(text))
        yield "this is JSON"
    for line in text.splitlines():
        if re.match(
            r"\s*(\$ |(\S*/)?(lionpride-exec|python3?|pip|uv|sqlite3|import|from|def|async|await|class)\s)", line
        ):
            yield f"this is code: {line}"


@pytest.mark.parametrize("page", with_language("text", ""))
def test_what_is_no_code(page):
    """A block of code names its language, so that it is run."""
    check(of_language(PAGES[page].read_text("utf-8"), "text", ""), code_in)


# -------------------------------------------------------------------- the rules themselves


def block(language, *lines):
    """Return a page of one block."""
    return "\n".join([f"```{language}", *lines, "```", ""])


@pytest.mark.parametrize(
    "text", ["~~~\nx\n~~~\n", "````\nx\n````\n", "- a list\n\n   ```python\n   x\n   ```\n", "```sh\nx\n"]
)
def test_a_block_in_other_fences_is_told(text):
    """A block in other fences would not be checked, so it is refused."""
    with pytest.raises(AssertionError, match="no block that is known"):
        blocks_in(text)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["1 / 0"], ZeroDivisionError),
        (["print(1)", "#> 2"], AssertionError),
        (["print(1)"], AssertionError),
        (["#> 1"], AssertionError),
        (["async def main():", "    1 / 0", "anyio.run(main)  # on asyncio"], ZeroDivisionError),
    ],
)
async def test_a_program_that_does_not_do_what_it_says_is_told(lines, error, capsys):
    """A program that raises, or prints something else, fails the test."""
    with pytest.raises(error):
        await run_programs(blocks_in(block("python", *lines)), "planted", lambda: capsys.readouterr().out)


@pytest.mark.parametrize("result", [1, 2])
def test_tests_of_a_page_are_run(tmp_path, result):
    """The blocks are files of the names in their first lines."""
    page = block("python", "# given.py", "ONE = 1") + block(
        "python", "from given import ONE", "def test_it():", f"    assert ONE == {result}"
    )
    blocks = blocks_in(page)
    assert has_tests(blocks)
    assert bool(run_tests(blocks, tmp_path)) is (result != 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("lionpride-exec run client.py:nothing requests.jsonl", "exit status 2"),
        ("lionpride-exec run TARGET INPUT  # exit status 1", "exit status 0"),
        ("lionpride-exec run TARGET INPUT  # or: --retires 3", "has no option --retires"),
        ("lionpride-exec inspect run.db [--tops 5]", "has no option --tops"),
        ("python examples/nothing.py", "exit status 2"),
        ("true", "no rule says how to run"),
        ("pip install .[nothing]", "there is no extra nothing"),
        ("pip install another", "is not this project"),
        ("pip install 'lionpride-exec[cli]'", "is on no index"),
        ("pip install -q -e '../another'", "is not this project"),
        ("pip install . && .venv/bin/python benchmarks/nothing.py", "there is no file"),
        ("pip install . && true", "no rule says what to look at"),
        ("pip install . && lionpride-exec run nothing.py:F -", "there is no file nothing.py"),
        ("pip install . && lionpride-exec run client.py:F - --filds x", "has no option --filds"),
        ("lionpride-exec run TARGET INPUT [--retries 2]", None),
    ],
)
def test_a_command_that_does_not_work_is_told(shell, line, problem):
    """Each problem is reported, and none of these commands does any harm."""
    problems = "\n".join(shell.problems_of(line))
    assert problem in problems if problem else not problems


def test_an_object_that_nothing_writes_is_told():
    """An object with a field more, less, or in another place is reported. Fields of the user may be anything."""
    written = [{"a": 1, "b": {"c": [{"d": None}]}, "data": {}}]
    for text in ('{"a": 0, "b": null, "data": 1}', '{"a": "x", "b": {"c": [{"d": {}}]}, "data": {"x": 1}}'):
        assert not list(unreal(text, written))
    for text in ('{"a": 1}', '{"a": 1, "b": {"c": [{"e": 1}]}, "data": {}}', '{"a": 1, "data": {}, "b": {}}'):
        assert list(unreal(text, written))


@pytest.mark.parametrize("text", ["x = 1", '{"a": 1}', "$ ls", "  lionpride-exec run a b", "some words\nimport anyio"])
def test_code_that_is_not_called_so_is_told(text):
    """Code in a block without a language is reported, because it would not run."""
    assert list(code_in(text))
