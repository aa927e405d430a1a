"""
What axe-core finds in the pages of Sphinx and furo, mended in their HTML.

- A caption of the navigation says that it is a heading, and not of which level.
- Code and tables that are wider than a narrow screen scroll, so the keyboard has to reach them.
- The parameters of a long signature are a list of definitions without the words that are defined.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

PARAMETERS = re.compile(r"<dl>\s*((?:<dd>(?:(?!</?d[ld]\b).)*</dd>\s*)+)</dl>", re.DOTALL)
AFTER_FURO = 900


def mend(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None) -> None:
    """Mend the HTML of one page."""
    for part in ("furo_navigation_tree", "body"):
        if part in context:
            context[part] = mended(context[part])


def mended(html: str) -> str:
    """Return HTML without these faults."""
    html = html.replace('role="heading"', 'role="heading" aria-level="2"')
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
    return PARAMETERS.sub(lambda found: f'<div class="parameters">{as_lines(found[1])}</div>', html)


def as_lines(parameters: str) -> str:
    """Return the parameters of a signature as plain lines."""
    return parameters.replace("<dd>", "<div>").replace("</dd>", "</div>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the function to each page."""
    app.connect("html-page-context", mend, priority=AFTER_FURO)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
