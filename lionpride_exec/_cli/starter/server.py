"""
The server of the demonstration: an HTTP API with limits, and with some trouble. A program of its own.

``POST /v1/answers`` takes ``{"model": ..., "prompt": ...}``. Each model has a limit on requests in any second. Requests
beyond the limit are answered 429. Some prompts are answered 429 or 500 the first time, and a few are always refused. It
depends on the prompt only. The server prints its port, and ends when its standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import anyio
import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Requests of a model in any second. The project that is written has these amounts.
ALLOWED: Final = {"small": 20, "large": 10}

# How many of a thousand prompts meet each trouble.
ALWAYS_REFUSED: Final = 12
FAIL_ONCE: Final = 60
ASKED_TO_WAIT: Final = 12

# The shortest and the longest answer, in seconds.
LATENCY: Final = (0.05, 0.4)

# What a 429 asks for, in seconds.
RETRY_AFTER: Final = 1


@attrs.frozen
class Answer:
    """A status, what is sent as JSON, and headers."""

    status: int
    body: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@attrs.define(eq=False)
class Api:
    """
    The ASGI application.

    Attributes:
        clock: Returns the time in seconds.
        arrivals: The times of the requests that were let in during the last second, by model.
        seen: The prompts that have met their trouble.
    """

    clock: Callable[[], float] = anyio.current_time
    arrivals: dict[str, deque[float]] = attrs.field(factory=lambda: {model: deque[float]() for model in ALLOWED})
    seen: set[str] = attrs.field(factory=set[str])

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Answer a request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = await self._answer(scope["method"], scope["path"], body)
        headers = [(b"content-type", b"application/json"), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer.body).encode()})

    async def _answer(self, method: str, path: str, body: bytes) -> Answer:
        if (method, path) != ("POST", "/v1/answers"):
            return Answer(404, {"error": "there is only POST /v1/answers"})
        try:
            request = json.loads(body)
            model, prompt = request["model"], str(request["prompt"])
            arrivals = self.arrivals[model]
        except (ValueError, KeyError, TypeError):
            return Answer(422, {"error": f"send a prompt, and a model of {', '.join(ALLOWED)}"})
        if not self._has_room(arrivals, ALLOWED[model]):
            return _wait()
        chance = crc32(prompt.encode())
        await anyio.sleep(LATENCY[0] + (LATENCY[1] - LATENCY[0]) * (chance // 1000 % 101) / 100)
        return self._trouble(prompt, chance % 1000) or Answer(200, {"text": f"the answer to {prompt}"})

    def _has_room(self, arrivals: deque[float], most: int) -> bool:
        """Let a request in, if the model has room for it."""
        now = self.clock()
        while arrivals and arrivals[0] <= now - 1:
            arrivals.popleft()
        if len(arrivals) >= most:
            return False
        arrivals.append(now)
        return True

    def _trouble(self, prompt: str, place: int) -> Answer | None:
        """Return what a prompt meets instead of its answer. ``place`` is 0 to 999."""
        if place < ALWAYS_REFUSED:
            return Answer(422, {"error": "the prompt is refused"})
        if place >= ALWAYS_REFUSED + FAIL_ONCE + ASKED_TO_WAIT or prompt in self.seen:
            return None
        self.seen.add(prompt)
        return Answer(500, {"error": "internal error"}) if place < ALWAYS_REFUSED + FAIL_ONCE else _wait()


def _wait() -> Answer:
    headers = ((b"retry-after", str(RETRY_AFTER).encode()),)
    return Answer(429, {"error": "too many requests of this model"}, headers)


def main() -> None:
    """Print the port, and serve until standard input ends."""
    import uvicorn  # noqa: PLC0415  the application alone does without

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn closes everything first, then raises it again
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        config = uvicorn.Config(Api(), lifespan="off", log_level="warning", access_log=False)
        print(listening.getsockname()[1], flush=True)  # noqa: T201  for the process that has started this one
        uvicorn.Server(config).run(sockets=[listening])


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
