"""
The directive ``settings``: the parameters of a public class as a table, with their defaults and descriptions.

They are those of the constructor. The descriptions are the entries under ``Args:`` in the docstring of the class.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from docstring_rules import sections
from public_api import public_classes, shown
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

ROLE = re.compile(r":\w+:`~?\.?([\w.]+)`")


def lines_of(cls: type) -> Iterator[str]:
    """Yield the Markdown of a table of parameters."""
    described = sections(inspect.getdoc(cls) or "")["Args"]
    yield from ("| setting | default | meaning |", "|---|---|---|")
    for parameter in inspect.signature(cls).parameters.values():
        yield f"| `{parameter.name}` | {default_of(parameter)} | {markdown(described[parameter.name])} |"


def default_of(parameter: inspect.Parameter) -> str:
    """Return the default of a parameter as code, or that there is none."""
    return "required" if parameter.default is parameter.empty else f"`{shown(parameter).default!r}`"


def markdown(text: str) -> str:
    """Return a description, in reStructuredText, as Markdown for a cell of a table."""
    return ROLE.sub(r"`\1`", text).replace("``", "`").replace("|", "\\|")


class Settings(SphinxDirective):
    """The parameters of the class that the argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parse_text_to_nodes("\n".join(lines_of(public_classes()[self.arguments[0]])))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
