"""What tells events apart in a list that no key of the program's own does: the beginning of their records."""

import json
from pathlib import Path

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint
from commands import run_command
from parts import faces_snapshot, faces_sources
from support import Job, make_executor

from lionpride_exec import Event, Executor

Choice = faces_snapshot.Choice

TARGET = "async def ask(record):\n    return 1\n"
LONG = "What is the capital of France, and how many people live there?"


class Ask(Event):
    """Takes a record, as a function of ``run`` does."""

    record: object = None

    async def _invoke(self):
        return 1


class Slow(Ask):
    """Runs for a while."""

    async def _invoke(self):
        await anyio.sleep(5)


class Login(Event):
    """Has a field that nobody may see."""

    user: str = ""
    token: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        return 1


async def lines_of(executor, count=50):
    return (await faces_sources.live_source(executor).events(Choice(), None, count)).lines


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"n": 1, "q": "why"}, '{"n": 1, "q": "why"}'),
        ({"q": "why", "id": "a-17"}, "a-17"),
        ({"q": "why", "id": 17}, "17"),
        ({"custom_id": "request-3", "body": {}}, "request-3"),
        ({"id": "", "n": 1}, '{"id": "", "n": 1}'),
        ({"id": {"a": 1}}, '{"id": {"a": 1}}'),
        ({"q": LONG}, '{"q": "What is the capital of France, and how many people l…'),
        ({"q": "x" * 1_000_000}, '{"q": "' + "x" * 52 + "…"),
        ({"\n" * 1_000_000: 1}, '{"' + "\\n" * 28 + "\\…"),
        ({"v": [0.5] * 1900, "id": "a-17"}, "a-17"),
        ({"v": [0.5] * 100_000, "id": "a-17"}, None),
        ([[[1] * 50] * 50], None),
        ("plain\ntext", "plain text"),
        ([1, 2], "[1, 2]"),
        (None, None),
        ({}, None),
    ],
)
async def test_a_preview_of_a_record(record, shown):
    """Its id if it has one, else the beginning of its JSON, on one line of at most 60 characters."""
    async with Executor.of(Ask) as executor:
        await executor.invoke(Ask(record=record))
        (line,) = await lines_of(executor)
        assert (line.preview, line.what) == (shown, shown or "")
        assert len(line.what) <= 60


class Counted(list):
    """A list that tells how many of its items were looked at."""

    seen = 0

    def __iter__(self):
        for item in super().__iter__():
            Counted.seen += 1
            yield item


@pytest.mark.anyio
async def test_a_list_of_huge_records_holds_up_nobody():
    """Records of many values are not made JSON-safe for a list, and running events are read in pieces."""
    Counted.seen, turns = 0, 0
    executor = Executor.of(Slow, concurrency_limit=100)
    source = faces_sources.live_source(executor)

    async def take_turns(*, task_status):
        nonlocal turns
        task_status.started()
        while True:
            turns += 1
            await checkpoint()

    async with executor, anyio.create_task_group() as group:
        await executor.extend([Slow(record=Counted([1] * 10_000)) for _ in range(100)])
        await anyio.sleep(1)
        await group.start(take_turns)
        before = turns
        found = await source.running(100)
        assert turns - before >= 4
        group.cancel_scope.cancel()
    assert [line.preview for line in found] == [None] * 100
    assert Counted.seen == 0


@pytest.mark.anyio
async def test_a_key_of_the_program_is_enough():
    """An event with a key has no preview; one whose key is the hash of a line has one."""
    executor = make_executor()
    async with executor:
        await executor.append(Job(seconds=1), key="mine")
        await executor.append(Job(seconds=1), key=f"line:{'0' * 32}")
        await executor.append(Job(seconds=1), key=f"line:{'0' * 32}:2")
        found = {line.key: line for line in await lines_of(executor)}
        assert found["mine"].preview is None
        assert found["mine"].what == "mine"
        assert all(line.what.startswith('{"') for key, line in found.items() if key != "mine")


@pytest.mark.anyio
async def test_a_preview_has_no_secret():
    """A redacted field is stars, and so is its text in another field."""
    async with Executor.of(Login) as executor:
        await executor.invoke(Login(user="ann s3cr3t!", token="s3cr3t!"))  # noqa: S106  of a test
        (line,) = await lines_of(executor)
        assert "s3cr3t" not in line.preview
        assert '"user": "ann ***"' in line.preview


@pytest.mark.anyio
async def test_fields_that_cannot_be_told():
    """If the ``to_dict()`` of a program raises an exception, there is no preview, and the list is shown."""

    class Broken(Ask):
        def to_dict(self, *args, **options):
            return super().to_dict(*args, **options) | {"n": 1 // 0}

    async with Executor.of(Broken) as executor:
        await executor.invoke(Broken(record=1))
        (line,) = await lines_of(executor)
        assert (line.preview, line.status) == (None, "completed")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), ['{"q": "why", "id": null, "token": "s3cr3t"}', "7-a"]),
        (("--redact", "token"), ['{"q": "why", "id": null, "token": "***"}', "7-a"]),
        (
            ("--redact", "id"),
            ['{"q": "why", "id": "***", "token": "s3cr3t"}', '{"q": "how", "id": "***", "token": "t0k3n!"}'],
        ),
    ],
)
def test_the_lines_of_a_run(tmp_path, monkeypatch, options, shown):
    """In a journal their keys are hashes. What ``--redact`` names stays hidden."""
    monkeypatch.chdir(tmp_path)
    Path("target.py").write_text(TARGET)
    records = [{"q": "why", "id": None, "token": "s3cr3t"}, {"q": "how", "id": "7-a", "token": "t0k3n!"}]
    Path("in.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    command = [
        "run",
        "target.py:ask",
        "in.jsonl",
        "--timeout",
        "10",
        "--journal",
        "run.db",
        "--output",
        "out.jsonl",
        *options,
    ]
    assert run_command(command) == 0

    async def look():
        source = faces_sources.journal_source("run.db")
        try:
            return (await source.events(Choice(), None, 10)).lines
        finally:
            await source.aclose()

    lines = anyio.run(look)
    assert [line.what for line in reversed(lines)] == shown
    assert all(line.key.startswith("line:") for line in lines)
