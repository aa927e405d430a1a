"""The site of the documentation: it is built without a warning, and has what readers look for."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from built_site import built_site
from pages import PAGES
from public_api import members_of, public_classes, public_values

pytest.importorskip("sphinx")
from sphinx.util.inventory import InventoryFile

pytestmark = pytest.mark.any_versions


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the site."""
    return built_site(tmp_path_factory)


class Tags(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = set(), set(), set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if tag in {"script", "img", "iframe", "object", "source"}:
            self.loaded |= {given[name] for name in ("src", "data", "srcset") if given.get(name)}
        if tag == "link" and "stylesheet" in given.get("rel", ""):
            self.loaded.add(given["href"])


@pytest.fixture(scope="module")
def tags(site):
    """Return the tags of each page of the site, by its path."""
    return {path: Tags(path) for path in site.rglob("*.html")}


def test_each_public_name_has_an_anchor(site):
    """The reference has the names of tests/project/public_api.txt, and their members."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    found = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    members = {f"{name}.{member.name}" for name, cls in public_classes().items() for member in members_of(cls)}
    assert {*public_values(), *members} - found == set()


def test_each_page_is_in_the_navigation(site, tags):
    """The first page of the site links to each page of docs/."""
    pages = {name.removeprefix("docs/").removesuffix(".md") for name in PAGES if name.startswith("docs/")}
    linked = {urlsplit(link).path.removesuffix(".html") for link in tags[site / "index.html"].links}
    assert pages - linked == {"index"}


def test_the_links_inside_the_site(tags):
    """Each link leads to a page that exists, and to an anchor of the page if it names one."""
    wrong = []
    for path, page in tags.items():
        if path.name == "404.html":  # it is shown at any address, so its links are absolute
            continue
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not parts.scheme and (
                not target.exists() or (parts.fragment and unquote(parts.fragment) not in tags[target].anchors)
            ):
                wrong.append(f"{path.name}: {link}")
    assert wrong == []


def test_nothing_is_loaded_from_elsewhere(site, tags):
    """Scripts, styles, images and fonts are files of the site, so it works without a network."""
    assert {link for page in tags.values() for link in page.loaded if urlsplit(link).netloc} == set()
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert [url for url in re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")]+)", styles) if "//" in url[:8]] == []


def test_keyboards_and_readers_of_screens(site):
    """Code can be scrolled by the keyboard, headings have a level, and a field's anchor is its description."""
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert "<pre>" not in text
        assert 'role="heading">' not in text
    described = '<p id="lionpride_exec.Processor.max_queue_size"><strong>max_queue_size</strong>'
    assert described in (site / "reference" / "executor.html").read_text("utf-8")


def test_the_command_reference(site):
    """It has a section for each command, and the usage names each command once."""
    text = Path(site / "reference" / "commands.html").read_text("utf-8")
    for command in ("run", "inspect", "submit", "worker", "cluster-status"):
        assert f'id="lionpride-exec-{command}"' in text
    assert "lionpride-exec run TARGET INPUT" in text
    words = re.sub(r"<[^>]+>", "", text)
    usages = re.findall(r"(?m)^lionpride-exec .*", words)
    assert "lionpride-exec cluster retry [EVENTS...] [OPTIONS]" in usages
    assert not [usage for usage in usages if "sphinx" in usage or "ARGS" in usage]
    assert "has it with &lt;n&gt;, &lt;id&gt; and &lt;url&gt; for what varies" in " ".join(words.split())


def test_the_tables_of_a_journal(site):
    """The page has the columns with their comments, and the indexes."""
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "journal.html").read_text("utf-8"))
    for part in ("unique_open", "runs that the end of the process cut off", "event_bad", "after_any_end"):
        assert part in text


def test_files_of_the_repository(site):
    """A page that links to an example leads to its text in the site."""
    text = re.sub(r"<[^>]+>", "", (site / "files" / "examples" / "crawler.py.html").read_text("utf-8"))
    assert "import anyio" in text


def test_pages_for_machines(site):
    """llms.txt lists the pages, and llms-full.txt has their text."""
    assert "durability" in (site / "llms.txt").read_text("utf-8").lower()
    assert "Executor.of(" in (site / "llms-full.txt").read_text("utf-8")
