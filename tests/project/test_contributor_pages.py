"""The pages for contributors: ``docs/decisions.md`` and ``CONTRIBUTING.md``."""

import re
import tomllib

import pytest
from pages import PAGES, ROOT

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run

RECORD = re.compile(r"(?m)^## (?P<number>\d+)\. .+\n\n\d{4}-\d\d-\d\d · (?P<status>.+)$")


def faulty_records(text):
    """Yield what is wrong with the numbered records of a text."""
    records = list(RECORD.finditer(text))
    numbers = [int(record["number"]) for record in records]
    if len(records) != len(re.findall(r"(?m)^## ", text)):
        yield "a heading has no number, or no line with its date and status"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the numbers are not consecutive: {numbers}"
    for record in records:
        status = re.fullmatch(r"accepted|declined|superseded by (\d+)", record["status"])
        if not status or int(status[1] or 1) not in numbers:
            yield f"{record['number']} has the status {record['status']!r}"
    bodies = re.split(r"(?m)^## .+\n", text)[1:]
    for number, body in zip(numbers, bodies, strict=False):
        if not ("- **Context:** " in body and "- **Decision:** " in body):
            yield f"{number} has no context or no decision"


def decisions():
    """Return the page of decisions."""
    return PAGES["docs/decisions.md"].read_text("utf-8")


def test_decisions_are_numbered_records():
    """Each has a number, a date, a status, a context and a decision."""
    assert len(RECORD.findall(decisions())) > 50
    assert not list(faulty_records(decisions()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## 2. ", "## 3. "),
        ("## 2. ", "## "),
        ("2026-11-24 · accepted", "accepted"),
        ("accepted", "good"),
        ("accepted", "superseded by 3"),
        ("- **Context:** x\n", ""),
    ],
)
def test_a_faulty_record_is_told(old, new):
    """Whatever is missing in it."""
    body = "2026-11-24 · accepted\n\n- **Context:** x\n- **Decision:** y\n"
    text = f"# Decisions\n\n## 1. First\n\n{body}\n## 2. Second\n\n{body}"
    assert not list(faulty_records(text))
    assert list(faulty_records(text.replace(old, new)))


# -------------------------------------------------------------------- CONTRIBUTING.md

PACKAGE = ROOT / "lionpride_exec"
PATH = re.compile(r"[\w.-]*\w(/[\w.*-]+)+/?|_?\w+/|\w+\.(py|md|toml|txt)|\.ci/run")


def paths_in(text):
    """Return the words in backticks that name a file or a folder of this project, but for what a command makes."""
    words = (word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split())
    return [word for word in words if PATH.fullmatch(word) and not word.startswith((".venv/", "docs/_build/"))]


def is_there(path):
    """Whether a path or pattern is of the project or the package. An archive of the sources lacks some folders."""
    folder = path.partition("/")[0]
    is_left_out = folder in {".ci", "tools"} and not (ROOT / folder).exists()
    return is_left_out or any(any(root.glob(path)) for root in (ROOT, PACKAGE))


def test_each_path_in_contributing_exists():
    """Whoever follows the page finds the file."""
    paths = paths_in(PAGES["CONTRIBUTING.md"].read_text("utf-8"))
    assert len(set(paths)) > 90
    assert not {path for path in paths if not is_there(path)}


def test_each_path_in_decisions_exists():
    """A figure names the benchmark or the test that measures it."""
    paths = {path.partition("::")[0] for path in re.findall(r"`((?:benchmarks|tests)/[\w/.:]+)`", decisions())}
    assert len(paths) > 3
    assert not {path for path in paths if not is_there(path)}


def test_each_part_is_in_contributing():
    """The picture of the layers and the table of parts name each subpackage."""
    text = PAGES["CONTRIBUTING.md"].read_text("utf-8")
    picture = re.search(r"(?s)```text\n(testing.*?)```", text)[1]
    parts = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert len(parts) > 10
    assert not {part for part in parts if not re.search(rf"\b{part}\b", picture) or f"| `{part}/` |" not in text}


def test_the_picture_has_the_layers_that_ci_checks():
    """In the same order, each line with the same parts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    picture = re.search(r"(?s)```text\n(testing.*?)```", PAGES["CONTRIBUTING.md"].read_text("utf-8"))[1]
    lines = [line.partition("   ")[0] for line in picture.splitlines()]
    assert [set(line.split(" | ")) for line in lines] == [set(layer.split(" | ")) for layer in layers[1:]]


def test_names_beside_a_path_are_in_the_file():
    """``lanes.py`` (``Lanes.first``): the file has both words."""
    pairs = re.findall(r"`([\w/]+\.py)` \(`([\w.]+)`\)", PAGES["CONTRIBUTING.md"].read_text("utf-8"))
    assert len(pairs) > 5
    for path, name in pairs:
        text = (PACKAGE / path).read_text("utf-8")
        assert all(re.search(rf"\b{word}\b", text) for word in name.split(".")), (path, name)


def test_the_glossary_has_words_that_the_code_uses():
    """Each once, in order, and in the sources of the package."""
    glossary = PAGES["CONTRIBUTING.md"].read_text("utf-8").partition("## Glossary")[2]
    words = re.findall(r"(?m)^\| ([a-z ]+) \| ", glossary)[1:]
    assert len(words) > 20
    assert words == sorted(set(words))
    code = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py")).lower().replace("_", " ")
    assert not [word for word in words if not re.search(rf"\b{word}", code)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`_model/nothing.py`", ["_model/nothing.py"]),
        ("`python tests/nothing.py --jobs 2`", ["tests/nothing.py"]),
        ("`_nothing/`, `nothing.py`", ["_nothing/", "nothing.py"]),
        ("`tests/test_nothing*.py`", ["tests/test_nothing*.py"]),
        ("`.venv/bin/ruff check`, `x.y`, `and/or` is not in backticks: and/or", ["and/or"]),
    ],
)
def test_a_path_that_does_not_exist_is_told(text, found):
    """Also within a command."""
    assert paths_in(text) == found
    assert not any(is_there(path) for path in found)


# -------------------------------------------------------------------- prose

CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]*`|^#.*$")
AVOIDED = re.compile(r"\b(whoever|(is|are) to be|all the same|such(?! as\b)\b)", re.IGNORECASE)


def avoided_words(text):
    """Return the words in the prose of a page that the rules for prose rule out."""
    return [match[0] for match in AVOIDED.finditer(CODE.sub("", text))]


@pytest.mark.parametrize("page", PAGES)
def test_pages_avoid_the_words_that_the_rules_name(page):
    """The third rule of CONTRIBUTING.md, as far as a program can check it; the rule itself quotes the words."""
    text = "\n".join(
        line for line in PAGES[page].read_text("utf-8").splitlines() if not line.startswith("3. Use plain words:")
    )
    assert not avoided_words(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Whoever waits is to be told all the same, such is life.", 4),
        ("A list, such as `whoever`.\n```text\nis to be\n```\n## 429 all the same\n", 0),
    ],
)
def test_an_avoided_word_is_told(text, count):
    """In prose, not in code, nor in a heading."""
    assert len(avoided_words(text)) == count
