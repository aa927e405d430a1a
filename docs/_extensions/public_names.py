"""
The directive ``public-names``: the reference of some public names by autodoc, with an anchor for each of their members.

Each line of the directive is a full name, as ``tests/project/public_api.py`` has it. The members of a class come from
there too. So the reference has exactly what the test of the public interface calls public. The anchor of a name is the
name.

The docstring of a class describes its fields under ``Args:`` or ``Attributes:``. A field that is described there gets
an anchor there and no entry of its own, since the entry would only repeat the description.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from docstring_rules import classes_of, document_of, sections
from docutils import nodes
from public_api import members_of, public_classes, public_values
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from public_api import Member
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# The directives of autodoc for kinds of members. All others are methods.
DIRECTIVES = {"property": "autoproperty"}
FIELDS = {"attribute", "value"}

# Names of the standard library in annotations, as modules of the package import them.
STANDARD = {
    "AbstractAsyncContextManager": "contextlib.AbstractAsyncContextManager",
    "Callable": "collections.abc.Callable",
    "ContextVar": "contextvars.ContextVar",
    "Hashable": "collections.abc.Hashable",
    "Iterable": "collections.abc.Iterable",
    "Mapping": "collections.abc.Mapping",
    "Path": "pathlib.Path",
    "PathLike": "os.PathLike",
    "UUID": "uuid.UUID",
    "datetime": "datetime.datetime",
    "time": "datetime.time",
    "timedelta": "datetime.timedelta",
    "tzinfo": "datetime.tzinfo",
}
# The private module before a class that is public under another name.
PRIVATE_PART = re.compile(r"(?:[a-z_]+\.)*")


def anchors() -> Iterator[str]:
    """Yield the anchors that the reference has: of the public names, and of their public members."""
    for name, value in public_values().items():
        yield name
        if inspect.isclass(value):
            yield from (f"{name}.{member.name}" for member in members_of(value))


def lines_of(name: str) -> Iterator[str]:
    """Yield the reStructuredText of one public name."""
    if name in public_classes():
        yield from lines_of_class(name, public_classes()[name])
    elif inspect.isfunction(public_values()[name]):
        yield f".. autofunction:: {name}"
    else:
        yield from (f".. autodata:: {name}", "   :no-value:")
    yield ""


def lines_of_class(name: str, cls: type) -> Iterator[str]:
    """Yield the reStructuredText of a class and its members."""
    yield from (f".. autoclass:: {name}", "")
    described = described_in(cls)
    for member in members_of(cls):
        if member.kind in FIELDS:
            yield f"   .. py:attribute:: {member.name}"
            yield from options_of(member, is_described=member.name in described)
        else:
            yield f"   .. {DIRECTIVES.get(member.kind, 'automethod')}:: {name}.{member.name}"
        yield ""


def described_in(cls: type) -> set[str]:
    """Return the fields that the docstrings of a class and of its bases describe."""
    found = [sections(document_of(base)) for base in classes_of(cls)]
    return {name for each in found for title in ("Args", "Attributes") for name in each[title]}


def options_of(member: Member, *, is_described: bool) -> Iterator[str]:
    """Yield the options of the entry of a field."""
    value = getattr(member.value, "value", member.value)
    if is_described:
        yield "      :no-typesetting:"
    elif isinstance(value, str | bool | int | float):
        yield f"      :value: {value!r}"


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """
    Return the link of a name that Sphinx does not know by itself. Return None, which is a warning, for a wrong link.

    The docstrings use names as their modules import them. So such a name may be the last part of a public name, or a
    name of the standard library. Any other name in an annotation stays without a link: it is an alias, a type variable,
    or a class of a tool, and type checkers look after it.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if target in STANDARD or target in STANDARD.values():
        full = STANDARD.get(target, target)
        uri = f"https://docs.python.org/3/library/{full.rpartition('.')[0]}.html#{full}"
        return nodes.reference("", "", content, refuri=uri, internal=False)
    found = [name for name in anchors() if name.endswith(f".{target.removeprefix(PRIVATE_PART.match(target)[0])}")]
    if len(found) != 1:
        return content if "refwarn" not in node else None  # which names that are written as links have
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, node["reftype"], found[0], node, content)


def place_anchors(tree: nodes.Node) -> None:
    """
    Move the anchors of fields without an entry of their own to the descriptions of the fields.

    The words between a name and its description are a dash, which Sphinx leaves to the smart quotes that are off.
    """
    for text in [node for node in tree.findall(nodes.Text) if node == " -- "]:
        text.parent.replace(text, nodes.Text(" \N{EN DASH} "))
    for content in list(tree.findall(addnodes.desc_content)):
        names = {node.astext(): node.parent for node in content.findall(addnodes.literal_strong)}
        for target in [node for node in content.children if isinstance(node, nodes.target)]:
            (anchor,) = target["ids"]
            if paragraph := names.get(anchor.rpartition(".")[2]):
                paragraph["ids"].append(anchor)
                content.remove(target)


class PublicNames(SphinxDirective):
    """The reference of the names in its lines."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of the names. The page is Markdown, and autodoc makes reStructuredText."""
        lines = [line for name in self.content for line in lines_of(name)]
        found = self.parse_text_to_nodes("\n".join(["````{eval-rst}", *lines, "````"]))
        for node in found:
            place_anchors(node)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and links for the short names of docstrings."""
    app.add_directive("public-names", PublicNames)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
