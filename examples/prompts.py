"""
2,000 prompts over two keys, through an HTTP API that refuses whoever is too fast.

``python examples/prompts.py [--backend trio]`` starts the API (``api_server.py``) as a process of its own and takes
about 15 seconds, since that is what the limits allow; ``--url`` takes one that runs already.

With ``--journal run.db`` the answers go to ``results.jsonl`` (``--output``), each once, even if the program is killed:
the same command goes on where it was.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

import anyio
import httpx

from lionpride_exec import (
    Concurrent,
    Event,
    EventStatus,
    Executor,
    Journal,
    Processor,
    Rate,
    RateLimited,
    Retry,
    status_of,
)

KEYS = ["key-one", "key-two"]

# What the API allows each key.
REQUESTS, TOKENS, PER, CONCURRENCY = 150, 25_000, 2.0, 8


class Prompt(Event):
    """One call of the API."""

    prompt: str
    max_tokens: int
    api_key: str

    client: ClassVar[httpx.AsyncClient]

    async def _invoke(self) -> str:
        answer = await self.client.post(
            "/v1/generate",
            json={"prompt": self.prompt, "max_tokens": self.max_tokens},
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        try:
            answer.raise_for_status()
        except httpx.HTTPStatusError as exc:
            if status_of(exc) == 429:
                raise RateLimited.from_error(exc) from exc
            raise
        content: dict[str, Any] = answer.json()
        self.settle(content["usage"]["tokens"])
        return str(content["text"])


def is_temporary(error: BaseException) -> bool:
    """Whether the same call may fare better later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


class PromptProcessor(Processor):
    """Starts calls."""

    event_type = Prompt


class PromptExecutor(Executor):
    """Knows where each call stands."""

    processor_type = PromptProcessor


CONFIG = {
    "queue_capacity": 10_000,  # as good as none: the limits below are what counts
    "capacity_refresh_time": 0.01,
    "limits": [
        Rate(REQUESTS, per=PER, key="api_key", hold=True),
        Rate(TOKENS, per=PER, cost="max_tokens", key="api_key", hold=True),
        Concurrent(CONCURRENCY, key="api_key"),
    ],
    "retry": Retry(attempts=5, backoff=0.1, on=is_temporary),
}


def make_prompt(number: int) -> Prompt:
    """Make one of the prompts."""
    return Prompt(prompt=f"prompt {number}", max_tokens=100 + number % 200, api_key=KEYS[number % len(KEYS)])


async def send(executor: PromptExecutor, n: int) -> None:
    """Send ``n`` prompts."""
    for number in range(n):
        await executor.append(make_prompt(number), priority=0, wait=True)


class Results:
    """
    The answers, in a file: one line of JSON for each prompt that has one.

    Args:
        file: Unbuffered; what is in it is read, and a last line that was cut off removed.
    """

    def __init__(self, file: FileIO) -> None:
        self.file = file
        file.seek(0)
        whole = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        file.truncate(sum(map(len, whole)))
        self.numbers: set[int] = {json.loads(line)["number"] for line in whole}

    def write(self, number: int, text: str) -> None:
        """Add an answer, by one write."""
        self.file.write(json.dumps({"number": number, "text": text}).encode() + b"\n")
        self.numbers.add(number)


async def send_once(executor: PromptExecutor, n: int, results: Results) -> None:
    """
    Send those of ``n`` prompts that have no result yet, and write the result of each.

    The key is what makes it once: the journal gives a prompt back that it knows, whether it waits, runs or has been
    answered. And it is strict: an answer that we see is in the journal, so if we are killed before it is in the file as
    well, the journal gives it to us the next time.
    """

    async def keep(number: int, prompt: Prompt) -> None:
        await prompt.wait()
        if prompt.status is EventStatus.COMPLETED:
            results.write(number, prompt.result())

    async with anyio.create_task_group() as group:
        for number in range(n):
            if number not in results.numbers:
                prompt = await executor.append(make_prompt(number), priority=0, wait=True, key=number)
                group.start_soon(keep, number, prompt)


async def main(url: str, n: int, journal: Journal | None = None, output: str = "results.jsonl") -> bool:
    """Send ``n`` prompts and print what became of them, and what the API saw; give whether all were answered."""
    # No proxy between us and a server on this machine.
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        Prompt.client = client
        async with PromptExecutor(CONFIG, journal=journal) as executor:
            if journal is None:
                await send(executor, n)
            else:
                with Path(output).open("a+b", buffering=0) as file:  # noqa: ASYNC230  small and local
                    await send_once(executor, n, Results(file))
        counts = {status: count for status, count in executor.status_counts().items() if count}
        print(f"calls: {counts}")
        print_stats((await client.get("/stats")).json())
    return counts == {"completed": n}


def print_stats(stats: dict[str, Any]) -> None:
    """Print what the API saw."""
    limits, answers = stats["limits"], stats["answers"]
    print(f"answers by status: {json.dumps(answers)}; refused (429): {answers.get('429', 0)}")
    for key, seen in sorted(stats["keys"].items()):
        span, shortest = seen["last"] - seen["first"], (seen["requests"] - 1) // limits["requests"] * limits["per"]
        print(
            f"{key}: {seen['requests']} requests in {span:.1f} s, where {shortest:.1f} s is the least that is allowed"
        )
        print(
            f"  most in any {limits['per']} s: {seen['most_requests']} requests of {limits['requests']}, "
            f"{seen['most_tokens']} tokens of {limits['tokens']}; most at a time: {seen['most_running']} of "
            f"{limits['concurrency']}"
        )
        if seen["windows"]:
            print(
                f"  used share of the rate: {seen['used_share']:.1%}, the requests of the first {seen['windows']} "
                f"whole windows, of {seen['windows']} x {limits['requests']}"
            )


@contextmanager
def server() -> Iterator[str]:
    """Start the API as a process of its own, give its URL, end it."""
    script = Path(__file__).with_name("api_server.py")
    options = {"requests": REQUESTS, "tokens": TOKENS, "per": PER, "concurrency": CONCURRENCY}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, os.fspath(script), "--until-eof", *arguments],
        stdin=subprocess.PIPE,  # closed when this process ends, however it does: then the server ends too
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of a server that runs already, with the limits named above")
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--journal", help="a file that keeps the prompts, and what became of them")
    parser.add_argument("--output", default="results.jsonl", help="with a journal: where the answers go")
    given = parser.parse_args()
    kept = Journal(given.journal, ack="strict", types={"prompt": Prompt}) if given.journal else None
    with nullcontext(given.url) if given.url else server() as its_url:
        is_done = anyio.run(main, its_url, given.prompts, kept, given.output, backend=given.backend)
    sys.exit(0 if is_done else 1)
