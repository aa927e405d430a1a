"""
An HTTP API with limits as those of language models have them, to try a client against. It stays on this machine.

``python examples/api_server.py --port 8000 --requests 150 --tokens 25000 --per 2``; with ``--port 0`` it takes a free
port. The port is the first line it prints. ``POST /v1/generate`` with ``{"prompt": ..., "max_tokens": n}`` and
``Authorization: Bearer KEY`` gives a text. For each key no more than so many requests and tokens arrive in any window
of ``--per`` seconds, and no more than ``--concurrency`` requests run at a time; what goes beyond is answered 429. A
request may name a ``"model"``. With ``--model small=500/90000``, each key may send 500 requests and 90,000 tokens to
this model. Some prompts meet trouble, by chance, but the same prompt always meets the same. ``GET /stats`` gives what
the server saw. SIGTERM ends it.
"""

import argparse
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any
from zlib import crc32

import anyio
from local_server import serve

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


Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Api:
    """
    The ASGI application.

    Args:
        limits: What a key may do, with the models that are not in ``models`` together.
        models: What a key may do with a model.
        failures: The share of the prompts that are answered 500, before they are answered.
        refusals: The share of those that are answered 429, with a Retry-After.
        hangs: The share of those that are answered 500 after ``hanging`` seconds, unless the client gives up before.
        failing_times: How often each of these prompts fails, of all clients together, before it is answered.
        hopeless: The share of the prompts that are always answered 500.
        latency: Seconds that an answer takes.
        hanging: See ``hangs``.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        models: Mapping[str, Limits] | None = None,
        failures: float = 0.0,
        refusals: float = 0.0,
        hangs: float = 0.0,
        hopeless: float = 0.0,
        failing_times: int = 1,
        latency: float = 0.02,
        hanging: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self.models = limits, models or {}
        self.latency, self.hanging, self.clock = latency, hanging, clock
        self.failing_times = failing_times
        self.troubles = {"failure": failures, "refusal": refusals, "hang": hangs, "hopeless": hopeless}
        self.accounts: dict[str, Account] = {}
        self.answers: Counter[int] = Counter()
        self.prompts: Counter[str] = Counter()  # how often each was answered 200
        self.failed: Counter[str] = Counter()  # by prompt

    async def __call__(
        self, scope: Mapping[str, Any], receive: Receive, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        key = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        status, content, headers = await self._answer(f"{scope['method']} {scope['path']}", key, body, receive)
        lines = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in headers.items())]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def _answer(self, route: str, key: str, body: bytes, receive: Receive) -> Answer:
        if route == "GET /stats":
            keys = {name: account.stats() for name, account in self.accounts.items() if account.arrivals}
            most = max(self.prompts.values(), default=0)
            seen = {"limits": asdict(self.limits), "answers": self.answers, "keys": keys}
            return (
                200,
                seen
                | {
                    "prompts": len(self.prompts),
                    "answered_again": self.prompts.total() - len(self.prompts),
                    "most": most,
                },
                {},
            )
        if route != "POST /v1/generate":
            return 404, {"error": f"there is no {route}"}, {}
        status, content, headers = await self._generate(key, body, receive)
        self.answers[status] += 1
        return status, content, headers

    async def _generate(self, key: str, body: bytes, receive: Receive) -> Answer:
        if not key:
            return 401, {"error": "there is no Authorization: Bearer KEY"}, {}
        try:
            record = json.loads(body)
            prompt, max_tokens, model = str(record["prompt"]), int(record["max_tokens"]), record.get("model", "")
        except (ValueError, TypeError, LookupError, OverflowError):
            max_tokens, prompt, model = 0, "", ""
        if max_tokens < 1:
            return 400, {"error": 'must be {"prompt": text, "max_tokens": number, at least 1}'}, {}
        name = f"{key} {model}" if model in self.models else key
        account = self.accounts.setdefault(name, Account(self.models.get(model, self.limits)))
        call = account.admit(max_tokens, self.clock())
        if isinstance(call, float):
            return 429, {"error": "too many"}, {"retry-after": f"{ceil(call * 1000) / 1000}"}
        try:
            return await self._outcome(prompt, call, receive)
        finally:
            account.running -= 1

    async def _outcome(self, prompt: str, call: Call, receive: Receive) -> Answer:
        """Return the answer of a request that was let in. From now on, the call counts for the tokens that it used."""
        trouble, asked = self._trouble(prompt), call.tokens
        if trouble == "hang":
            with anyio.move_on_after(self.hanging):
                while (await receive())["type"] != "http.disconnect":
                    pass
        else:
            await anyio.sleep(self.latency)
        if trouble:
            call.tokens = 0
            if trouble == "refusal":
                return 429, {"error": "too busy"}, {"retry-after": "0.2"}
            return 500, {"error": "on purpose"}, {}
        call.tokens = asked - crc32(prompt.encode()) // 10_000 % (asked // 2 + 1)  # half of what was asked for, or more
        self.prompts[prompt] += 1
        return 200, {"text": prompt[::-1], "usage": {"tokens": call.tokens}}, {}

    def _trouble(self, prompt: str) -> str:
        """Return what goes wrong with a prompt this time. Empty if nothing does."""
        chance = crc32(prompt.encode()) % 10_000 / 10_000
        for trouble, share in self.troubles.items():
            if chance < share:
                is_over = trouble != "hopeless" and self.failed[prompt] >= self.failing_times
                self.failed[prompt] += not is_over
                return "" if is_over else trouble
            chance -= share
        return ""


def read_model(text: str, per: float, concurrency: int) -> tuple[str, Limits]:
    """Return the name and the limits of a model."""
    name, amounts = text.split("=")
    requests, tokens = map(int, amounts.split("/"))
    return name, Limits(requests, tokens, per, concurrency)


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
        ("failures", 0.02, "share of the prompts that are answered 500 at first"),
        ("refusals", 0.0, "share of the prompts that are answered 429 at first"),
        ("hangs", 0.0, "share of the prompts that get no answer for a long time at first"),
        ("hopeless", 0.0, "share of the prompts that are answered 500 for ever"),
        ("failing-times", 1, "how often such a prompt fails before it is answered"),
        ("latency", 0.02, "seconds that an answer takes"),
        ("hanging", 30.0, "seconds that an answer takes that hangs"),
    ):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (default {default})")
    parser.add_argument("--model", action="append", default=[], help="NAME=REQUESTS/TOKENS of a key with this model")
    given = parser.parse_args()
    models = given.model or ["small=500/90000", "large=250/45000"]
    app = Api(
        Limits(given.requests, given.tokens, given.per, given.concurrency),
        models=dict(read_model(text, given.per, given.concurrency) for text in models),
        failures=given.failures,
        refusals=given.refusals,
        hangs=given.hangs,
        hopeless=given.hopeless,
        failing_times=given.failing_times,
        latency=given.latency,
        hanging=given.hanging,
    )
    serve(lambda _: app, [given.port], until_eof=given.until_eof)


if __name__ == "__main__":
    main()
