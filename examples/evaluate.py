r"""
An evaluation: 3,000 prompts for two models, through an HTTP API that limits the requests and tokens of each model.

``python examples/evaluate.py`` starts the API (``api_server.py``) as a process of its own. The API fails now and then,
and sometimes it does not answer at all. So each call has a timeout and is tried again. Progress goes to standard error,
and the results to ``answers.jsonl``, a line for each prompt. Killed at any moment, the same command goes on where it
was: ``evaluate.db`` has what is done. ``python examples/evaluate.py 100`` sends 100 prompts.

The command line does the same with a file of prompts and an API that runs already, whose URL is in ``API_URL``::

    lionpride-exec run examples/evaluate.py:Ask prompts.jsonl --output answers.jsonl --journal run.db --key model \
        --rate small=500/2s --rate large=250/2s --rate small=90000/2s:max_tokens --rate large=45000/2s:max_tokens \
        --concurrency 30 --timeout 3 --retries 4
"""

import json
import os
import sys
from collections import Counter
from contextlib import asynccontextmanager

import anyio
import httpx2
from local_server import started

from lionpride_exec import Event, Executor, Journal, Rate, RateLimited, Retry, lifespan_value, retry_after

REQUESTS, TOKENS, PER = {"small": 500, "large": 250}, {"small": 90_000, "large": 45_000}, 2.0  # what the API allows


@asynccontextmanager
async def lifespan():
    """One client for all calls. Each call has a timeout, which is that of its event."""
    options = {"headers": {"Authorization": "Bearer key"}, "timeout": None, "trust_env": False}
    async with httpx2.AsyncClient(base_url=os.environ["API_URL"], **options) as client:
        yield client


class Ask(Event[str], tag="examples.ask"):
    """One prompt for a model."""

    number: int
    model: str
    prompt: str
    max_tokens: int = 200

    async def _invoke(self):
        record = {"model": self.model, "prompt": self.prompt, "max_tokens": self.max_tokens}
        answer = await lifespan_value(lifespan).post("/v1/generate", json=record)
        if answer.status_code == 429:
            raise RateLimited("429", retry_after=retry_after(answer))
        content = answer.raise_for_status().json()
        self.settle(content["usage"]["tokens"])
        return content["text"]


async def show_progress(executor):
    """Print how far everything is, each second."""
    while True:
        print(executor.progress(), file=sys.stderr)
        await anyio.sleep(1)


async def main(count=3000):
    """Send the prompts, write what became of each, and print a report."""
    asks = [Ask(number=n, model="small" if n % 3 else "large", prompt=f"prompt {n}") for n in range(count)]
    requests = Rate(REQUESTS, per=PER, key="model", hold=True)
    tokens = Rate(TOKENS, per=PER, key="model", cost="max_tokens", hold=True)
    options = {"retry": Retry(5, backoff=0.2), "timeout": 3, "lifespan": lifespan, "max_queue_size": 10_000}
    journal, began, ends = Journal("evaluate.db", ack="strict"), anyio.current_time(), Counter()
    executor = Executor.of(Ask, limits=[requests, tokens], concurrency_limit=30, journal=journal, **options)
    async with executor, anyio.create_task_group() as group:
        group.start_soon(show_progress, executor)
        asks = await executor.extend(asks, priority=0, key=lambda ask: ask.number)
        with open("answers.jsonl", "w") as file:  # noqa: ASYNC230, PTH123  small and local
            async for ask in executor.as_completed(asks):
                end = ask.execution.to_dict()
                file.write(json.dumps({"number": ask.number} | end) + "\n")
                ends[end["status"], end["error"] and end["error"]["message"].splitlines()[0]] += 1
        group.cancel_scope.cancel()
    print(f"{count} prompts in {anyio.current_time() - began:.1f} s")
    for (status, error), number in ends.most_common():
        print(f"{number:6} {status} {error or ''}")


if __name__ == "__main__":
    with started("api_server.py", "API_URL", "--concurrency=30", "--hangs=.002", "--refusals=.001", "--hopeless=.001"):
        anyio.run(main, *map(int, sys.argv[1:]), backend=os.environ.get("BACKEND", "asyncio"))
