"""
The directive ``command-reference``: the help of each command of ``lionpride-exec``, from the app itself.

Cyclopts writes the Markdown. It begins with what the page says already, and with a table of contents, which the site
has beside each page. Cyclopts names a command twice in its usage.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sphinx.util.docutils import SphinxDirective

from lionpride_exec._cli.app import app as commands

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

TWICE = re.compile(r"(?m)^(lionpride-exec)((?: [a-z]+)+)\2 ")
FIRST_COMMAND = re.compile(r"(?m)^## ")


def markdown() -> str:
    """Return the help of all commands as Markdown, with a heading of the second level for each."""
    text = commands.generate_docs(output_format="markdown", heading_level=1)
    start = next(found for found in FIRST_COMMAND.finditer(text) if "Table of Contents" not in text[found.end() :][:20])
    return TWICE.sub(r"\1\2 ", text[start.start() :])


class CommandReference(SphinxDirective):
    """The help of all commands."""

    def run(self) -> list[nodes.Node]:
        """Return the help of all commands."""
        return self.parse_text_to_nodes(markdown(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
