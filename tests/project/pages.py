"""The pages: what is in their code blocks, and how the programs among them are run."""

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from anyio import to_thread

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in sorted(chain(ROOT.glob("*.md"), *(ROOT.glob(f"{name}/**/*.md") for name in ("docs", "benchmarks"))))
}
FENCE = re.compile(r"(?m)^ {0,3}(```|~~~)")
BLOCK = re.compile(r"(?ms)^```([^\n]*)\n(.*?)^```$")
# The lines by which a program of a page starts itself. The tests await its main function in their own event loop.
START = re.compile(r"(?m)^anyio\.run\((\w+)(?:,.*)?\)(?:  #.*)?$")
SAID = re.compile(r"#> (.*)")


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text, and the number of its first line in the page."""

    language: str
    text: str
    line: int


def blocks_in(text):
    """Return the code blocks of a text. Raise AssertionError for a fence that begins or ends no block."""
    found = list(BLOCK.finditer(text))
    inside = [range(*match.span()) for match in found]
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        assert any(fence.start() in span for span in inside), f"line {line}: no block that is known begins or ends here"
    return [Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1) for match in found]


def code_of(page):
    """Return the texts of the Python blocks of a page. The name of a page is like ``docs/limits.md``."""
    return [block.text for block in blocks_in(PAGES[page].read_text("utf-8")) if block.language == "python"]


def define(code, namespace=None, name="page"):
    """Run a block without its start, and return the names that it defines."""
    namespace = {} if namespace is None else namespace
    namespace.setdefault("__name__", name)
    exec(compile(START.sub("", code), f"<{name}>", "exec"), namespace)  # noqa: S102  our own page
    return namespace


async def run_block(code, namespace, name="page"):
    """
    Run a block in the namespace of those before it, its start included.

    The block runs in a thread without an event loop, so it may start one by ``lionpride_exec.testing.run()``.
    """
    await to_thread.run_sync(define, code, namespace, name)
    for start in START.findall(code):
        await namespace[start]()
