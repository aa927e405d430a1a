"""
The site of the documentation in Chromium: axe-core finds nothing serious, the search finds pages, nothing goes wrong.

All hand-written pages are tested, and one of each kind that is generated: all 92 would take more than three minutes.
"""

import pytest
from browsers import browser, page_of
from built_site import built_site, served_site
from pages import PAGES

pytest.importorskip("sphinx")

pytestmark = [pytest.mark.browser, pytest.mark.any_versions]

WRITTEN = [f"{name.removeprefix('docs/').removesuffix('.md')}.html" for name in PAGES if name.startswith("docs/")]
GENERATED = [
    "404.html",
    "genindex.html",
    "search.html",
    "reference/commands.html",
    "reference/journal.html",
    "reference/limits.html",
    "files/benchmarks/cost_per_event.svg.html",
    "files/examples/basic_usage.py.html",
    "files/findings/uvicorn-fd-of-tcp.sh.html",
]
CONTRAST = "color-contrast"
# Elements with the same colours and the same font have the same contrast. It is what takes axe most of the time. So
# only some elements of each look are tested, of all pages together. Those that are not on the screen tell nothing.
MARK_LOOKS = """
    (known) => {
        const behind = (one) => {
            const layers = [];
            for (let each = one; each; each = each.parentElement) {
                const {backgroundColor, backgroundImage, opacity} = getComputedStyle(each);
                layers.push(backgroundColor, backgroundImage, opacity);
                if (backgroundColor.startsWith("rgb(")) break;
            }
            return layers.join();
        };
        for (const one of document.querySelectorAll("[data-look]")) one.removeAttribute("data-look");
        for (const one of document.body.querySelectorAll("*")) {
            const box = one.getBoundingClientRect();
            const isShown = one.checkVisibility({checkVisibilityCSS: true}) && box.right > 0 && box.left < innerWidth;
            const hasText = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
            if (!isShown || !hasText) continue;
            const {color, fontSize, fontWeight} = getComputedStyle(one);
            const look = [one.tagName, color, fontSize, fontWeight, behind(one)].join();
            known[look] = (known[look] ?? 0) + 1;
            if (known[look] <= 5) one.dataset.look = "";
        }
        return known;
    }
"""


@pytest.fixture(scope="module", name="chrome")
def a_browser():
    """One browser for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module", name="address")
def an_address(chrome, tmp_path_factory):
    """The address of the site. Without a browser it is not built."""
    with served_site(built_site(tmp_path_factory)) as address:
        yield address


def faults(page, colours, looks):
    """
    Yield what axe-core calls serious or critical in a page: the rule, and the beginning of each element.

    Args:
        page: The page.
        colours: "light" or "dark". What has nothing to do with colours is tested in light pages only.
        looks: How often each look was seen on the pages before. It is changed.
    """
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  may not be installed

    looks |= page.evaluate(MARK_LOOKS, looks)
    quick = {"preload": False, "resultTypes": ["violations"]}
    found = []
    if page.locator("[data-look]").count():
        options = quick | {"runOnly": [CONTRAST]}
        found += Axe().run(page, context="[data-look]", options=options).response["violations"]
    if colours == "light":
        options = quick | {"rules": {CONTRAST: {"enabled": False}}}
        found += Axe().run(page, options=options).response["violations"]
    for one in found:
        if one["impact"] in {"serious", "critical"}:
            yield from (f"{one['id']} ({one['impact']}): {node['html'][:200]}" for node in one["nodes"])


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_are_accessible(chrome, address, width, colours):
    """Axe finds nothing serious, on a large and a small screen, in light and dark; no page has an error."""
    wrong, looks, backgrounds = [], {}, set()
    with page_of(chrome, viewport={"width": width, "height": 900}, color_scheme=colours) as page:
        for name in WRITTEN + GENERATED:
            assert page.goto(f"{address}/{name}").ok, name
            wrong += [f"{name}, {width} px, {colours}: {fault}" for fault in faults(page, colours, looks)]
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert wrong == []
    assert backgrounds == {"rgb(255, 255, 255)" if colours == "light" else "rgb(19, 20, 22)"}
    assert len(looks) > 20


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_fault_is_found(chrome, address, colours):
    """A picture without a text, and a text that is nearly as light as what is behind it, are found."""
    with page_of(chrome, color_scheme=colours) as page:
        page.goto(f"{address}/404.html")
        assert list(faults(page, colours, {})) == []
        page.evaluate("""
            document.querySelector("article").insertAdjacentHTML("beforeend",
                '<img src="_static/file.png"><p style="color: #777; background: #888">faint</p>')
        """)
        found = " ".join(faults(page, colours, {}))
        assert 'color-contrast (serious): <p style="color: #777; background: #888"' in found
        assert ('image-alt (critical): <img src="_static/file.png"' in found) is (colours == "light")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("rate limit", "limits.html"),
        ("retry", "retry.html"),
        ("journal", "journal-commands.html"),
        ("concurrency_limit", "reference/executor.html"),
        ("429", "api-calls.html"),
        ("progress", "progress.html"),
        ("RateLimited", "refusals.html"),
    ],
)
def test_the_search(chrome, address, query, wanted):
    """The page that a reader looks for is among the first results."""
    with page_of(chrome) as page:
        page.goto(f"{address}/search.html?q={query}")
        results = page.locator("#search-results")
        results.get_by_text("Search finished").wait_for()
        links = results.locator("li > a").evaluate_all("(links) => links.map((link) => link.href)")
        first = [link.removeprefix(f"{address}/").partition("?")[0].partition("#")[0] for link in links[:5]]
        assert wanted in first
        results.locator("li p.context").first.wait_for()  # the text of a page was found too


def test_a_search_in_vain(chrome, address):
    """A word of no page is told as what it is."""
    with page_of(chrome) as page:
        page.goto(f"{address}/search.html?q=qwertyuiop")
        page.get_by_text("did not match any documents").wait_for()
        assert page.locator("#search-results li").count() == 0
