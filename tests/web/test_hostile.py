"""
Texts of users on the pages: whatever stands in a field, a key, an error or a tag is only text.

The markers are harmless: they show what would happen if one of them were taken for markup, for the end of an attribute,
for a control sequence, or for the end of a message of a stream.
"""

from html.parser import HTMLParser

import pytest
from fake_source import FakeSource
from starlette.testclient import TestClient

from lionpride_exec.web import dashboard

MARKERS = [
    "<b data-marker>x</b>",
    "</pre><i data-marker>y</i>",
    "</title></head><body data-marker>",
    '"><u data-marker>',
    "'><u data-marker>",
    '" data-marker="1',
    "' data-marker='1",
    "` data-marker=`1",
    " data-marker=1 ",
    "</script><b data-marker>",
    "<!-- data-marker -->]]>",
    "<![CDATA[<b data-marker>]]>",
    "<?data-marker?>",
    "&lt;b data-marker&gt;",
    "&#60;b data-marker&#62;",
    "&quot; data-marker=&quot;",
    "{{ 'data-marker' * 3 }}",
    "{% raw %}{{ data-marker }}",
    "${data-marker}",
    "<svg><title data-marker>",
    "<hx-partial hx-target=body data-marker>",
    "<template data-marker>",
    "\r\rdata: <b data-marker>",
    "\r\n\r\nid: 7\r\ndata: <b data-marker>",
    "\x1b[31mred\x07\x1b]0;data-marker\x07",
    "\u202egnp.exe\u2066 data-marker",
    "\x00\x08\ufffe\ud800 data-marker",
    "a\u2028b\u2029c\x85d\x0be\x0cf data-marker",
    "../../data-marker?x=1#y",
    "//rebound.example/data-marker",
]
PAGES = ["", "events", "event?ref=1", "errors", "limits", "timeline"]

# Where the pages lead to, without the queries.
ADDRESSES = {"", "./", "#content", "act", "event", "events", "errors", "limits", "timeline", "live"}
ADDRESSES |= {f"static/{name}" for name in ("style.css", "icon.svg", "htmx.min.js", "hx-sse.min.js", "dashboard.js")}


class Parser(HTMLParser):
    """Collects the elements, the names of their attributes, the addresses, and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.addresses, self.text = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value for name, value in attrs if name in {"href", "src", "action", "hx-sse:connect"}]

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", data))

    def handle_decl(self, decl):
        self.elements.append(("decl", decl))

    handle_pi = unknown_decl = handle_decl


def printable(text):
    """Return a text with escapes for characters that are not printed."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def client_of(text):
    """Give a client of a source all of whose texts are one."""
    source = FakeSource(text)
    return TestClient(
        dashboard(source, writable=True), base_url="http://127.0.0.1", client=("127.0.0.1", 50000),
        follow_redirects=False,
    )  # fmt: skip


def test_there_are_thirty():
    """As many as were promised, all different."""
    assert len(set(MARKERS)) == len(MARKERS) == 30


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("marker", MARKERS)
def test_texts_of_users_are_only_text(marker, path):
    """A marker in all fields at once changes no element and no name of an attribute, and each character is printed."""
    plain = Parser(client_of("plain").get(f"/{path}").text)
    answer = client_of(marker).get(f"/{path}")
    assert answer.status_code == 200
    found = Parser(answer.text)
    assert found.elements == plain.elements
    assert all(char.isprintable() or char == "\n" for char in answer.text)
    seen = "".join(found.text)
    assert printable(marker) in seen or all(
        printable(line) in seen for line in marker.replace("\r\n", "\n").split("\n")
    )
    assert {address.partition("?")[0] for address in found.addresses} <= ADDRESSES


@pytest.mark.parametrize("path", ["events", "errors"])
@pytest.mark.parametrize("marker", MARKERS)
def test_queries_are_only_text(marker, path):
    """A marker in the query of an address is only text on the page, in its links and in its forms."""
    params = dict.fromkeys(("text", "kind", "key", "error", "before", "notice", "x"), "1")
    plain = Parser(client_of("plain").get(f"/{path}", params=params).text)
    answer = client_of("plain").get(
        f"/{path}",
        params=params | dict.fromkeys(("text", "kind", "key", "error", "x"), marker.encode("utf-8", "replace")),
    )
    assert answer.status_code == 200
    assert Parser(answer.text).elements == plain.elements


@pytest.mark.parametrize("marker", MARKERS)
def test_a_confirmation_has_only_text(marker):
    """The page that asks whether all these events are meant shows what was chosen as text."""

    def page_of(text):
        """Give the page for a choice by a text."""
        fields = {"what": "retry", "status": "failed", "error": text.encode("utf-8", "replace"), "back": "errors"}
        return Parser(client_of(text).post("/act", data=fields).text)

    assert page_of(marker).elements == page_of("plain").elements


@pytest.mark.parametrize("marker", MARKERS)
def test_a_refusal_has_only_text(marker):
    """The page about an event that is not there shows what was asked for as text."""
    params = [("ref", marker.encode("utf-8", "replace"))]
    answer = client_of("plain").get("/event", params=params)
    assert answer.status_code == 404
    assert Parser(answer.text).elements == Parser(client_of("plain").get("/event?ref=zz").text).elements


def test_long_payloads_are_cut():
    """Of a payload 64 kB are shown, and how much more there is."""
    page = client_of("x" * 100_000).get("/event?ref=1").text
    assert page.count("34,464 more characters are not shown") == 3
    assert "x" * 65536 in page
