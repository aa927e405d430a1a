"""The example ``prompts.py`` with a journal: each answer once in its output, however often the program is killed."""

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Timer

import anyio
import httpx
import pytest

pytest.importorskip("msgspec")

from lionpride_exec import Journal

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENT = EXAMPLES / "prompts.py"


def load(path):
    """Import an example by its path."""
    spec = importlib.util.spec_from_file_location(f"journal_example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


api, prompts = load(EXAMPLES / "api_server.py"), load(CLIENT)


def answers_in(path):
    """Give the answers in an output, by number; each is there once."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    answers = {line["number"]: line["text"] for line in lines}
    assert len(lines) == len(answers)
    return answers


def expected(n):
    """Give what the API answers."""
    return {number: f"prompt {number}"[::-1] for number in range(n)}


def size_of(path):
    """Give the size of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def run(arguments, cwd, *, kill_at=None):
    """Run the program; kill it once the output has so many bytes."""
    output = cwd / "results.jsonl"
    with subprocess.Popen(  # noqa: S603  our own
        [sys.executable, "-W", "error", CLIENT, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        watchdog = Timer(60, client.kill)
        watchdog.start()
        try:
            while kill_at is not None and size_of(output) < kill_at and client.poll() is None:
                time.sleep(0.0005)  # another process writes it, in real time
            if kill_at is not None:
                client.kill()
            out, err = client.communicate()
        finally:
            client.kill()
            watchdog.cancel()
    return client.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_three_times_and_run_to_its_end(tmp_path, backend):
    """The same command four times: three times killed at a random moment, then all answers are there, each once."""
    n = 400
    seed = os.environ.get("SEED") or random.randrange(10**9)  # noqa: S311  no secret
    print(f"SEED={seed}")  # noqa: T201  pytest shows it beside a failure
    whole = sum(len(json.dumps({"number": number, "text": text})) + 1 for number, text in expected(n).items())
    arguments = ["--prompts", n, "--backend", backend, "--journal", "run.db"]
    dice = random.Random(seed)  # noqa: S311  no secret
    for share in sorted(dice.uniform(0.05, 0.9) for _ in range(3)):
        status, out, err = run(arguments, tmp_path, kill_at=share * whole)
        assert (status, out, err) == (-9, "", "")
    status, out, err = run(arguments, tmp_path)
    assert (status, err) == (0, ""), out
    assert f"calls: {{'completed': {n}}}" in out
    assert "refused (429): 0\n" in out
    assert answers_in(tmp_path / "results.jsonl") == expected(n)


@pytest.mark.anyio
async def test_what_is_not_in_the_output_comes_from_the_journal(tmp_path, monkeypatch):
    """An output that lost its end, in the middle of a line, is made whole; the API is not asked again."""
    app = api.Api(api.Limits(prompts.REQUESTS, prompts.TOKENS, prompts.PER, 8), failures=0.1, clock=anyio.current_time)
    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=httpx.ASGITransport(app)))
    output = tmp_path / "results.jsonl"

    async def run_it():
        journal = Journal(tmp_path / "run.db", ack="strict", types={"prompt": prompts.Prompt})
        assert await prompts.main("http://api", 50, journal, str(output))

    await run_it()
    assert answers_in(output) == expected(50)
    asked = app.answers.copy()
    os.truncate(output, output.stat().st_size * 2 // 3)
    await run_it()
    assert answers_in(output) == expected(50)
    assert app.answers == asked
