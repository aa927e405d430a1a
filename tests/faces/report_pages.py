"""Reports that tests write and read."""

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import lionpride_exec

# Harmless markers: what would happen if one of them were taken for markup, a control sequence or the end of a part.
HOSTILE = [
    "<b>x</b>",
    "</style><i>y</i>",
    '"><u id="z">',
    "' onclick='q",
    "&lt;b&gt;&#60;",
    "<!-- c -->]]>",
    "\x1b[31mred\x07",
    "\u202egnp.exe\u2066",
    "\x00\x08\ufffe",
    "a\r\nb\u2028c",
]


class Parser(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self):
        super().__init__()
        self.names, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def page_of(path="run.db", **options):
    """Write the report of a journal. Return its text, and its tree: the page is well-formed XML too."""
    lionpride_exec.report(path, "run.html", **options)
    text = Path("run.html").read_text("utf-8")
    head, _, rest = text.partition("\n")
    assert head == "<!DOCTYPE html>"
    return text, ET.fromstring(rest)  # noqa: S314  our own


def words_of(element):
    """Return the text in an element."""
    return "".join(element.itertext())


def sections(tree):
    """Return the sections by their headings."""
    return {words_of(section.find("h2")): section for section in tree.iter("section")}


def rows_of(section):
    """Return the cells of the tables in a section."""
    return [[words_of(cell) for cell in row.findall("td")] for row in section.iter("tr") if row.find("td") is not None]


def legend_of(section):
    """Return the names in the legend of a section, with their numbers."""
    return [words_of(item).strip() for item in section.iter("li")]


def number(text):
    """Return a number that has commas."""
    return int(text.replace(",", ""))


def printable(text):
    """Return a text with escapes for characters that are not printed."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def page_tree(text):
    """Return the tree of a page."""
    return ET.fromstring(text.partition("\n")[2])  # noqa: S314  our own
