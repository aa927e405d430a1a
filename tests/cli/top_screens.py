"""The screens of ``top``, as text."""

import os
import re
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path

from parts import top_command, top_feed
from top_source import FakeSource

DATA = Path(__file__).parents[1] / "data" / "top"

# A run of cells in a screenshot: its place in units of its picture, and its text.
CELLS = re.compile(r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>([^<]*)</text>')
CELL_WIDTH, CELL_HEIGHT, FIRST_LINE = 12.2, 24.4, 20


def screen_lines(app):
    """Return the screen of an application as lines of text, without blanks at their ends."""
    width, height = app.size
    lines = [[" "] * width for _ in range(height)]
    for x, y, _, words in CELLS.findall(app.export_screenshot(simplify=True)):
        row, column = round((float(y) - FIRST_LINE) / CELL_HEIGHT), round(float(x) / CELL_WIDTH)
        letters = unescape(words).replace("\xa0", " ").rstrip("\n")
        lines[row][column : column + len(letters)] = letters
    return ["".join(line).rstrip() for line in lines]


def screen_text(app):
    """Return the screen of an application as one text."""
    return "\n".join(screen_lines(app)) + "\n"


def check_screen(name, app):
    """
    Compare a screen with the file that has it.

    ``LIONPRIDE_WRITE_SCREENS=1`` writes the file instead.
    """
    path, found = DATA / f"{name}.txt", screen_text(app)
    if os.environ.get("LIONPRIDE_WRITE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


@asynccontextmanager
async def shown(source=None, size=(80, 24), keys=()):
    """Show a source; yield the application and its pilot. The clock of the screens stands still."""
    keys = (keys,) if isinstance(keys, str) else keys
    feed = top_feed.Feed(source or FakeSource(), clock=lambda: 0.0)
    await feed.read()
    app = top_command.TopApp(feed)
    async with app.run_test(size=size) as pilot:
        await press(pilot, *keys)
        yield app, pilot
    if app.failure is not None:
        raise app.failure


async def press(pilot, *keys):
    """Press keys, each after what the last one has begun."""
    await settle(pilot)
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def settle(pilot):
    """Wait until nothing is left to be drawn."""
    for _ in range(3):
        await pilot.pause()
