"""
Draw the picture of ``docs/top.md``: a real run, as ``lionpride-exec top`` shows it.

    python tools/draw_top.py           # writes docs/top.svg
    python tools/draw_top.py other.svg

The run calls a model that answers by itself, for some seconds. The picture loads no font.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random

import anyio

from lionpride_exec import Concurrent, Event, Executor, Rate, Retry
from lionpride_exec._cli.top.app import TopApp
from lionpride_exec._cli.top.feed import Feed
from lionpride_exec._faces.sources import live_source

PICTURE = Path(__file__).parent.parent / "docs" / "top.svg"
SIZE = (110, 30)
SECONDS = 14.0

# The fonts are those of the reader. Textual's are on a server.
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Ask(Event, tag="ask"):
    """Asks a model, which is slow, and fails now and then."""

    number: int = 0
    model: str = ""

    async def _invoke(self) -> int:
        draw = Random(self.number)  # noqa: S311  no secrets
        await anyio.sleep(draw.expovariate(1 / (2.0 if self.model == "large" else 0.3)))
        if draw.random() < 0.04:  # noqa: PLR2004  a part of all
            raise ConnectionError(f"HTTP 503 for https://example.org/v1/answers/{self.number}")
        if draw.random() < 0.01:  # noqa: PLR2004  likewise
            raise ValueError(f"no field 'text' in an answer of {draw.randrange(9999)} bytes")
        return self.number


async def draw(path: Path) -> None:
    """Write the picture."""
    draw = Random(1)  # noqa: S311  no secrets
    asked = [Ask(number=number, model=draw.choice(["large", "small", "small"])) for number in range(3000)]
    limits = [Rate(900, per=60, key="model", name="requests"), Concurrent(12, key="model", name="at once")]
    retry = Retry(attempts=2)
    executor = Executor.of(Ask, name="answers", limits=limits, concurrency_limit=24, max_queue_size=5000, retry=retry)
    async with executor:
        source = live_source(executor)
        await executor.extend(asked)
        feed = Feed(source)
        await feed.read()
        app = TopApp(feed)
        async with app.run_test(size=SIZE) as pilot:
            await anyio.sleep(SECONDS)
            await app.read(anew=True)
            await pilot.pause()
            picture = app.export_screenshot(title="lionpride-exec top", simplify=True)
        await source.aclose()
        await executor.stop(grace=0)
    await anyio.Path(path).write_text(FONT_FACE.sub("", picture), "utf-8")


if __name__ == "__main__":
    anyio.run(draw, Path(sys.argv[1]) if sys.argv[1:] else PICTURE, backend="asyncio")
