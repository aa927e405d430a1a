"""
Code blocks of the language ``dot``: a diagram in the site, and its text in the repository.

The text is laid out by Graphviz, as an SVG inside the page. ``_static/site.css`` has the colours, for light and dark
pages. The first line of the text is a comment, which describes the diagram to those who do not see it.

``graphviz-pure`` is Graphviz from PyPI. Any other ``dot`` works too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PROGRAMS = ("graphviz-pure", "dot")
SECONDS = 60
DESCRIPTION = re.compile(r"// (.+)\n")
# What all diagrams have. Colours are in the style sheet.
STYLE = (
    "-Nshape=box", "-Nstyle=rounded", "-Nfontname=Arial", "-Nfontsize=13", "-Nmargin=0.16,0.08", "-Nheight=0.4",
    "-Efontname=Arial", "-Efontsize=12", "-Earrowsize=0.7", "-Gbgcolor=transparent", "-Gfontname=Arial",
    "-Gfontsize=13", "-Gpad=0.1", "-Gnodesep=0.3", "-Granksep=0.5",
)  # fmt: skip


def program() -> str:
    """Return the path of Graphviz. Raise ExtensionError if there is none."""
    folders = (str(Path(sys.executable).parent), None)
    for name in PROGRAMS:
        for folder in folders:
            if found := shutil.which(name, path=folder):
                return found
    raise ExtensionError("diagrams need Graphviz: pip install graphviz-pure")


def svg_of(text: str) -> str:
    """Return a diagram as the HTML of a figure. Raise ExtensionError if the text is wrong."""
    described = DESCRIPTION.match(text)
    if described is None:
        raise ExtensionError(f"the first line of a diagram must be a comment that describes it: {text[:60]!r}")
    done = subprocess.run(  # noqa: S603  the text is our own page
        [program(), "-Tsvg", *STYLE], input=text, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode or done.stderr:
        raise ExtensionError(f"{described[1]}: {done.stderr}")
    drawing = done.stdout[done.stdout.index("<svg") :]
    drawing = re.sub(r"<title>.*?</title>|<!--.*?-->|\sid=\"[^\"]*\"", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'\s(fill|stroke|font-family)="[^"]*"', "", drawing)
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{escape(described[1])}"', 1)
    return f'<figure class="diagram" tabindex="0">{drawing}</figure>'


class DrawDiagrams(SphinxPostTransform):
    """Replaces the text of diagrams by drawings."""

    default_priority = 400
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Replace the diagrams of one page."""
        for node in list(self.document.findall(nodes.literal_block)):
            if node.get("language") == "dot":
                node.replace_self(nodes.raw("", svg_of(node.astext()), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_post_transform(DrawDiagrams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
