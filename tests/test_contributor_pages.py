"""The pages for contributors: ``docs/decisions.md`` and ``CONTRIBUTING.md``."""

import re

import pytest
from pages import PAGES

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


def test_decisions_are_numbered_records():
    """Each has a number, a date, a status, a context and a decision."""
    text = PAGES["docs/decisions.md"].read_text("utf-8")
    assert len(RECORD.findall(text)) > 50
    assert not list(faulty_records(text))


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
