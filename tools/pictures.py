"""
Take the pictures of docs/dashboard.md: a real run, looked at in Chromium.

    python tools/pictures.py [--to FOLDER] [--all]

With ``--all`` each page is taken in light and dark, and 1280 and 390 pixels wide, to be looked at after a change of the
style. It needs the extra ``browser`` and Chromium.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import anyio
import uvicorn
from playwright.sync_api import sync_playwright

from lionpride_exec import Concurrent, Event, Executor, Rate, Retry
from lionpride_exec.web import dashboard

DOCS = Path(__file__).parent.parent / "docs" / "_static"
PAGES = {
    "overview": "./",
    "events": "events",
    "failed": "events?status=failed",
    "event": "events?status=failed",
    "waiting": "events?status=pending",
    "errors": "errors",
    "limits": "limits",
    "timeline": "timeline?span=60",
}
IN_DOCS = ("overview", "timeline")
WARM_UP = 45.0  # seconds until the charts have something to show

DRAW = random.Random(7)  # noqa: S311  a load, no secret
SLOW, REFUSED, BROKEN = 0.03, 0.05, 0.055  # the shares of the requests that fail, added up


class Fetch(Event, tag="shop.Fetch"):
    """Stands for a request to a site, some of which fail."""

    host: str
    path: str

    async def _invoke(self) -> dict[str, Any]:
        await anyio.sleep(DRAW.expovariate(1.2))
        chance, number = DRAW.random(), DRAW.randrange(1000, 99999)
        if chance < SLOW:
            raise TimeoutError(f"no answer from https://{self.host}{self.path} within 30 s")
        if chance < REFUSED:
            raise ValueError(f"HTTP 503 for https://{self.host}{self.path}")
        if chance < BROKEN:
            raise KeyError("price")
        return {"status": 200, "bytes": number, "items": [{"sku": f"A-{number}", "price": number / 100}]}


class Resize(Event, tag="shop.Resize"):
    """Stands for work on an image."""

    image: str
    host: str = "images"

    async def _invoke(self) -> dict[str, Any]:
        await anyio.sleep(DRAW.expovariate(0.4))
        return {"image": self.image, "width": 640}


class Run:
    """A run behind a server, in a thread."""

    def __init__(self) -> None:
        self.address = ""
        self._ready = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=anyio.run, args=[self._main])

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()

    async def _main(self) -> None:
        limits = [Rate(6, per=1, key="host"), Concurrent(4, key="host")]
        executor = Executor.of(
            Event,
            name="nightly crawl",
            concurrency_limit=12,
            queue_capacity=200,
            capacity_refresh_time=1.0,
            max_queue_size=5000,
            limits=limits,
            retry=Retry(2, backoff=5.0, on=ValueError),
        )
        config = uvicorn.Config(
            dashboard(executor, writable=True), port=0, log_level="warning", ws="none", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._server.serve)
            while not self._server.started:  # noqa: ASYNC110  uvicorn says it in no other way
                await anyio.sleep(0.05)
            self.address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/"
            async with executor:
                hosts = ["api.example", "shop.example", "img.example"]
                for number in range(1500):
                    host = DRAW.choice(hosts)
                    await executor.append(Fetch(host=host, path=f"/item/{number}"), key=f"{host}/item/{number}")
                    if number % 12 == 0:
                        await executor.append(Resize(image=f"{number}.png"))
                self._ready.set()
                while not self._server.should_exit:  # noqa: ASYNC110  it is set in another thread
                    await anyio.sleep(0.2)
                await executor.stop()


def main() -> int:
    """Run, wait until there is something to see, and take the pictures."""
    parser = argparse.ArgumentParser(description="Take the pictures of docs/dashboard.md.")
    parser.add_argument("--to", type=Path, default=DOCS)
    parser.add_argument("--all", action="store_true", help="all pages, in both colours and two widths")
    parser.add_argument("--wait", type=float, default=WARM_UP, help="seconds to wait before")
    given = parser.parse_args()
    with Run() as run, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        time.sleep(given.wait)  # the run is a real one
        for colours in ("light", "dark") if given.all else ("light",):
            for width in (1280, 390) if given.all else (1080,):
                context = browser.new_context(color_scheme=colours, viewport={"width": width, "height": 800})
                page = context.new_page()
                for name in PAGES if given.all else IN_DOCS:
                    page.goto(run.address + PAGES[name])
                    if name in {"event", "waiting"}:
                        page.locator("tbody a").first.click()
                    page.wait_for_load_state()
                    target = given.to / f"dashboard-{name}-{colours}{f'-{width}' if given.all else ''}.png"
                    page.screenshot(path=target, full_page=given.all)
                    print(target)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
