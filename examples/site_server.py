"""
A web site without an end, to try a crawler against. It stays on this machine.

``python examples/site_server.py --hosts 4`` serves the site on four free ports, which stand for four hosts. The ports
are the first lines it prints. ``/page/0`` is the first page. Each page links to two pages of the next level, to one
of its neighbour's, to its parent, to the first page and to itself. Some pages are slow, some fail at the first request,
and some links lead to pages that do not exist. ``/stats`` says what the site saw. SIGTERM ends it.
"""

import argparse
import json
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from local_server import serve

# Each so-many-th page is slow, fails once, or has a link to a page that does not exist.
SLOW, FAILING, DEAD_LINK = 50, 70, 20


def links_of(number: int) -> list[str]:
    """Return the paths to which a page links."""
    pages = [2 * number + 1, 2 * number + 2, 2 * number + 3, max(number - 1, 0) // 2, 0, number]
    if (number + 2) & (number + 1) == 0:  # the last page of its level
        pages.remove(2 * number + 3)
    return [f"/page/{page}" for page in pages] + [f"/gone/{number}"] * (number % DEAD_LINK == 0)


class Site:
    """
    The ASGI application.

    Args:
        ports: The ports of the hosts.
        latency: Seconds that a page takes. A slow one takes 20 times as long.
    """

    def __init__(self, ports: list[int], latency: float) -> None:
        self.urls, self.latency = [f"http://127.0.0.1:{port}" for port in ports], latency
        self.requests: Counter[str] = Counter()  # by path
        self.arrivals: defaultdict[int, list[float]] = defaultdict(list)  # by port
        self.running: Counter[int] = Counter()
        self.most_running: Counter[int] = Counter()

    def url_of(self, path: str) -> str:
        """Return the URL of a path: each page is on one host."""
        return self.urls[int(path.rpartition("/")[2]) % len(self.urls)] + path

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],  # noqa: ARG002  requests have no body
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        path, port = scope["path"], scope["server"][1]
        status, body = (200, json.dumps(self.stats())) if path == "/stats" else await self._answer(path, port)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": body.encode()})

    async def _answer(self, path: str, port: int) -> tuple[int, str]:
        self.requests[path] += 1
        self.arrivals[port].append(time.monotonic())
        self.running[port] += 1
        self.most_running |= self.running  # the larger of each
        kind, number = path.strip("/").partition("/")[::2]
        try:
            if kind != "page" or not number.isdecimal():
                return 404, "there is no such page"
            await anyio.sleep(self.latency * (20 if int(number) % SLOW == 1 else 1))
            if int(number) % FAILING == 1 and self.requests[path] == 1:
                return 503, "later"
            links = [f'<a href="{self.url_of(link)}">{link}</a>' for link in links_of(int(number))]
            return 200, f"<title>page {number}</title>{''.join(links)}"
        finally:
            self.running[port] -= 1

    def stats(self) -> dict[str, Any]:
        """Return the requests by path, how many run, and the most to a host in any second and at a time."""
        return {
            "requests": self.requests,
            "running": self.running.total(),
            "most": max(map(most_in_a_second, self.arrivals.values()), default=0),
            "most_running": max(self.most_running.values(), default=0),
        }


def most_in_a_second(times: list[float]) -> int:
    """Return how many of some ascending times are in one second at most. The end of a second is not part of it."""
    return max(bisect_left(times, began + 1) - number for number, began in enumerate(times))


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that a page takes (default 0.02)")
    given = parser.parse_args()
    serve(lambda ports: Site(ports, given.latency), [0] * given.hosts, until_eof=given.until_eof)


if __name__ == "__main__":
    main()
