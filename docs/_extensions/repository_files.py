"""
Files of the repository outside of ``docs/``, in the site.

Pages link to files by their paths in the repository: ``../examples/crawler.py``. The site has a page with the text of
each file to which a page links, under ``files/``.

Markdown is different. The pages in ``MARKDOWN`` stand for files, and have the text of their file in the site. The links
in this text are relative to the file, so they are rewritten.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = "docs"
FOLDER = "files"
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]+)(#[^)\s]*)?\)")

MARKDOWN: Mapping[str, str] = {
    "benchmarks": "benchmarks/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}
PAGE_OF = {path: f"{DOCS}/{page}.md" for page, path in MARKDOWN.items()} | {"README.md": f"{DOCS}/index.md"}
LANGUAGES = {".lua": "lua", ".py": "python", ".sh": "bash"}


def read(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the text of a file into the page of that file. Links to files become links to pages of the site."""
    page = f"{DOCS}/{docname}.md"
    origin = MARKDOWN.get(docname)
    if origin is not None:
        source[0] = (ROOT / origin).read_text("utf-8")
    source[0] = with_links(source[0], origin or page, page)


def with_links(text: str, origin: str, page: str) -> str:
    """Return Markdown with links that hold on a page. They were written for the file ``origin``."""

    def replace(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[1]))
        target = PAGE_OF.get(target, target)
        return f"]({posixpath.relpath(target, posixpath.dirname(page))}{found[2] or ''})"

    return LINK.sub(replace, text)


class LinkToFiles(SphinxTransform):
    """Replaces downloads of files outside of ``docs/`` by links to the pages that show them."""

    default_priority = 200

    def apply(self, **_: Any) -> None:
        """Replace the downloads of one page."""
        for node in list(self.document.findall(addnodes.download_reference)):
            path = posixpath.normpath(posixpath.join(DOCS, posixpath.dirname(self.env.docname), node["reftarget"]))
            if not path.startswith(f"{DOCS}/"):
                up = "../" * self.env.docname.count("/")
                node.replace_self(nodes.reference("", "", *node.children, refuri=f"{up}{FOLDER}/{path}.html"))


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page with the text of each file to which pages link."""
    for path in sorted(linked(app)):
        text = (ROOT / path).read_text("utf-8")
        language = LANGUAGES.get(posixpath.splitext(path)[1], "text")
        body = app.builder.highlighter.highlight_block(text, language, location=path)
        title = f"<code>{escape(path)}</code>"
        yield f"{FOLDER}/{path}", {"title": title, "body": f"<h1>{title}</h1>{body}"}, "page.html"


def linked(app: Sphinx) -> set[str]:
    """Return the files outside of ``docs/`` to which pages link, by their paths in the repository."""
    found = set()
    for docname in app.env.found_docs:
        origin = MARKDOWN.get(docname, f"{DOCS}/{docname}.md")
        for link in LINK.finditer((ROOT / origin).read_text("utf-8")):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link[1]))
            if not path.startswith((f"{DOCS}/", "../")) and path not in PAGE_OF and (ROOT / path).is_file():
                found.add(path)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what reads pages, and what makes pages of files."""
    app.connect("source-read", read)
    app.add_transform(LinkToFiles)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
