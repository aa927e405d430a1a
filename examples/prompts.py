"""
2,000 prompts over two keys, through an HTTP API that refuses whoever is too fast.

``python examples/prompts.py [--backend trio]`` starts the API (``api_server.py``) as a process of its own and takes
about 15 seconds, since that is what the limits allow; ``--url`` takes one that runs already.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import httpx

from lionpride_exec import Concurrent, Event, Executor, Processor, Rate, RateLimited, Retry

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
        if answer.status_code == 429:
            raise RateLimited(answer.text, retry_after=float(answer.headers["Retry-After"]))
        answer.raise_for_status()
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


async def main(url: str, n: int) -> bool:
    """Send ``n`` prompts and print what became of them, and what the API saw; give whether all were answered."""
    # No proxy between us and a server on this machine.
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        Prompt.client = client
        async with PromptExecutor(CONFIG) as executor:
            for number in range(n):
                event = Prompt(
                    prompt=f"prompt {number}", max_tokens=100 + number % 200, api_key=KEYS[number % len(KEYS)]
                )
                await executor.append(event, priority=0, wait=True)
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
    given = parser.parse_args()
    if given.url:
        is_done = anyio.run(main, given.url, given.prompts, backend=given.backend)
    else:
        with server() as own_url:
            is_done = anyio.run(main, own_url, given.prompts, backend=given.backend)
    sys.exit(0 if is_done else 1)
