"""The example ``crawler.py``: killed and run again on each backend."""

import json
import time

import pytest
from example_processes import EXAMPLES, kill_when, output_of, server
from site_server import DEAD_LINK, FAILING

pytest.importorskip("msgspec")

EXAMPLE = EXAMPLES / "crawler.py"
HOSTS, CONNECTIONS, RATE = 4, 8, 100  # per host, as the example has them
LEVELS = 6
PAGES = 2 ** (LEVELS + 1) - 1  # two links from each page to the next level


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_killed_in_the_middle_and_run_again(tmp_path, backend):
    """Each page up to the depth is crawled once, within the limits of its host, whatever links to it."""
    with server("site_server.py", "SITE_URL", f"--hosts={HOSTS}") as (environment, stats):
        options = {"cwd": tmp_path, "env": environment | {"BACKEND": backend}}
        kill_when(lambda: len(stats()["requests"]) > PAGES / 3, EXAMPLE, LEVELS, **options)
        while stats()["running"]:  # the site still answers the crawler that was killed
            time.sleep(0.02)  # the server is a process, without virtual time
        begun = stats()["requests"]
        assert PAGES / 3 < len(begun) < PAGES
        out, _ = output_of(EXAMPLE, LEVELS, **options)
        seen = stats()
        output_of(EXAMPLE, LEVELS, **options)  # nothing is left to do
        assert stats() == seen
    rows, _ = output_of("-m", "lionpride_exec", "export", "crawl.db", cwd=tmp_path)
    crawled = {row["key"]: row for row in map(json.loads, rows.splitlines())}
    dead = range(0, PAGES // 2, DEAD_LINK)
    paths = {f"/page/{number}" for number in range(PAGES)} | {f"/gone/{number}" for number in dead}
    assert len(crawled) == len(rows.splitlines())
    assert {url[url.index("/", 7) :] for url in crawled} == paths == set(seen["requests"])
    assert f"{len(paths)} of {len(paths)} done (100%)  {len(dead)} skipped" in out.splitlines()[-1]
    for url, row in crawled.items():
        kind, number = url.split("/")[-2:]
        assert row["status"] == ("completed" if kind == "page" else "skipped")
        if kind == "page":
            assert row["response"] == f"page {number}"
            assert row["data"]["levels"] == LEVELS - ((int(number) + 1).bit_length() - 1)

    # A page is requested again if the site has failed, or if the page was under way when the crawler was killed.
    failing = {f"/page/{number}" for number in range(1, PAGES, FAILING)}
    again = {path for path, times in seen["requests"].items() if times > 1 + (path in failing)}
    assert again <= set(begun)
    assert len(again) <= HOSTS * CONNECTIONS
    assert max(seen["requests"].values()) <= 3
    assert seen["most"] <= RATE
    assert seen["most_running"] <= CONNECTIONS
