"""
An HTTP API with limits as those of language models have them, to try a client against. It stays on this machine.

``python examples/api_server.py --port 8000 --requests 150 --tokens 25000 --per 2``; with ``--port 0`` it takes a free
port. The port is the first line it prints. ``POST /v1/generate`` with ``{"prompt": ..., "max_tokens": n}`` and
``Authorization: Bearer KEY`` gives a text. For each key no more than so many requests and tokens arrive in any window
of ``--per`` seconds, and no more than ``--concurrency`` requests run at a time; what goes beyond is answered 429.
``GET /stats`` gives what it saw. SIGTERM ends it.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any
from zlib import crc32

import anyio

Answer = tuple[int, dict[str, Any], dict[str, str]]  # status, JSON, headers


@dataclass(frozen=True)
class Limits:
    """What each key may do in any window of ``per`` seconds, and at a time."""

    requests: int = 150
    tokens: int = 25_000
    per: float = 2.0
    concurrency: int = 8


@dataclass
class Call:
    """A request that was let in: when it arrived, and the tokens it counts for."""

    at: float
    tokens: int


@dataclass
class Account:
    """What one key has used."""

    limits: Limits
    window: deque[Call] = field(default_factory=deque[Call])
    arrivals: list[float] = field(default_factory=list[float])  # of all that was let in
    running: int = 0
    most: Counter[str] = field(default_factory=Counter[str])  # refused requests counted with those they came on top of

    def admit(self, tokens: int, now: float) -> Call | float:
        """Let a request in, or give the seconds after which it would be."""
        while self.window and self.window[0].at <= now - self.limits.per:
            self.window.popleft()
        used = sum(call.tokens for call in self.window)
        asked = {"requests": len(self.window) + 1, "tokens": used + tokens, "running": self.running + 1}
        self.most |= Counter(asked)  # the larger of each
        if asked["running"] > self.limits.concurrency:
            return 0.05
        excess = {"requests": asked["requests"] - self.limits.requests, "tokens": asked["tokens"] - self.limits.tokens}
        if max(excess.values()) > 0:
            return self._wait_for(excess, now)
        call = Call(now, tokens)
        self.window.append(call)
        self.arrivals.append(now)
        self.running += 1
        return call

    def _wait_for(self, excess: dict[str, int], now: float) -> float:
        for call in self.window:
            excess["requests"] -= 1
            excess["tokens"] -= call.tokens
            if max(excess.values()) <= 0:
                return call.at + self.limits.per - now
        return self.limits.per  # more tokens than the limit: it never will be

    def stats(self) -> dict[str, Any]:
        """
        Give what was seen of this key.

        ``used_share``: of the whole windows, one after the other from the first arrival, that were over before the
        last: what arrived in them, divided by what might have. None if there was no such window.
        """
        first, last = self.arrivals[0], self.arrivals[-1]
        windows = int((last - first) / self.limits.per)
        arrived = sum(at < first + windows * self.limits.per for at in self.arrivals)
        share = arrived / (windows * self.limits.requests) if windows else None
        most = {f"most_{name}": number for name, number in sorted(self.most.items())}
        seen = {"requests": len(self.arrivals), "first": first, "last": last, "windows": windows, "used_share": share}
        return seen | most


class Api:
    """The ASGI application. A prompt that fails does so ``failing_times`` times, whoever asks; then it is answered."""

    def __init__(
        self,
        limits: Limits,
        *,
        failures: float = 0.0,
        failing_times: int = 1,
        latency: float = 0.02,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self.failures, self.latency, self.clock = limits, failures, latency, clock
        self.failing_times = failing_times
        self.accounts: dict[str, Account] = {}
        self.answers: Counter[int] = Counter()
        self.failed: Counter[str] = Counter()  # by prompt

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        key = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        status, content, headers = await self._answer(f"{scope['method']} {scope['path']}", key, body)
        lines = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in headers.items())]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def _answer(self, route: str, key: str, body: bytes) -> Answer:
        if route == "GET /stats":
            keys = {name: account.stats() for name, account in self.accounts.items() if account.arrivals}
            return 200, {"limits": asdict(self.limits), "answers": self.answers, "keys": keys}, {}
        if route != "POST /v1/generate":
            return 404, {"error": f"there is no {route}"}, {}
        status, content, headers = await self._generate(key, body)
        self.answers[status] += 1
        return status, content, headers

    async def _generate(self, key: str, body: bytes) -> Answer:
        if not key:
            return 401, {"error": "there is no Authorization: Bearer KEY"}, {}
        try:
            record = json.loads(body)
            prompt, max_tokens = str(record["prompt"]), int(record["max_tokens"])
        except (ValueError, TypeError, LookupError, OverflowError):
            max_tokens, prompt = 0, ""
        if max_tokens < 1:
            return 400, {"error": 'must be {"prompt": text, "max_tokens": number, at least 1}'}, {}
        account = self.accounts.setdefault(key, Account(self.limits))
        call = account.admit(max_tokens, self.clock())
        if isinstance(call, float):
            return 429, {"error": "too many"}, {"retry-after": f"{ceil(call * 1000) / 1000}"}
        await anyio.sleep(self.latency)
        status, call.tokens = self._outcome(prompt, max_tokens)  # from now on it counts for what it used
        account.running -= 1
        if status != 200:
            return status, {"error": "on purpose"}, {}
        return 200, {"text": prompt[::-1], "usage": {"tokens": call.tokens}}, {}

    def _outcome(self, prompt: str, max_tokens: int) -> tuple[int, int]:
        """Give status and tokens used: chance, but the same for the same prompt."""
        chance = crc32(prompt.encode())
        if chance % 10_000 < self.failures * 10_000 and self.failed[prompt] < self.failing_times:
            self.failed[prompt] += 1
            return 500, 0
        return 200, max_tokens - chance // 10_000 % (max_tokens // 2 + 1)  # half of what was asked for, or more


def serve(app: Api, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    import uvicorn  # noqa: PLC0415  the application alone does without

    for signum in (signal.SIGTERM, signal.SIGINT):  # uvicorn closes everything first, then raises it again for us
        signal.signal(signum, lambda *_: sys.exit(0))
    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False, timeout_keep_alive=60)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def end_with_stdin() -> None:
    """End when standard input does: with the process at its other end, however that ended."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    for name, default, text in (
        ("port", 0, "0: a free one"),
        ("requests", Limits.requests, "of a key in any window"),
        ("tokens", Limits.tokens, "of a key in any window"),
        ("per", Limits.per, "length of the window in seconds"),
        ("concurrency", Limits.concurrency, "requests of a key at a time"),
        ("failures", 0.02, "share of the prompts that fail"),
        ("failing-times", 1, "how often each of these does, before it is answered"),
        ("latency", 0.02, "seconds that an answer takes"),
    ):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (default {default})")
    given = parser.parse_args()
    if given.until_eof:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    limits = Limits(given.requests, given.tokens, given.per, given.concurrency)
    app = Api(limits, failures=given.failures, failing_times=given.failing_times, latency=given.latency)
    serve(app, given.port)


if __name__ == "__main__":
    main()
