"""
A crawler on trio: the pages of a site with four hosts, up to a depth, each once, at a rate that each host can bear.

``python examples/crawler.py`` starts the site (``site_server.py``) as a process of its own. The site has no end: the
first ten levels are 2,047 pages. ``python examples/crawler.py 6`` crawls six levels. Killed at any moment, the same
command goes on where it was: ``crawl.db`` has the pages that are done and those that are to come. Afterwards,
``lionpride-exec export crawl.db --status completed`` writes the titles.
"""

import os
import re
import sys
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
from local_server import started

from lionpride_exec import Concurrent, Event, Executor, Journal, Rate, Retry, Skip, current_executor, lifespan_value


@asynccontextmanager
async def open_client():
    """One client for all pages. Each request has a timeout, which is that of its event."""
    async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
        yield client


class Page(Event[str], tag="examples.crawled_page"):
    """One page. It appends the pages to which it links; its result is its title."""

    url: str
    levels: int  # how many more levels may be crawled

    @property
    def host(self):
        """By which the limits count."""
        return urlsplit(self.url).netloc

    async def _invoke(self):
        answer = await lifespan_value(open_client).get(self.url)
        if answer.status_code == 404:
            raise Skip("there is no such page")
        text = answer.raise_for_status().text
        if self.levels:
            links = {urljoin(self.url, link) for link in re.findall('href="([^"#]+)', text)}
            pages = [Page(url=link, levels=self.levels - 1) for link in links]
            await current_executor().extend(pages, priority=1 - self.levels, key=lambda page: page.url)
        return re.search("<title>(.*)</title>", text)[1]


async def main(levels=10):
    """Crawl the site, or go on with the crawl."""
    url = os.environ["SITE_URL"] + "/page/0"
    limits = [Rate(100, per=1, key="host", hold=True), Concurrent(8, key="host")]
    options = {"retry": Retry(3, backoff=0.2), "timeout": 10, "lifespan": open_client}
    async with Executor.of(Page, limits=limits, journal=Journal("crawl.db", ack="strict"), **options) as executor:
        await executor.append(Page(url=url, levels=levels), priority=-levels, key=url)
        while executor.status_counts()["pending"] or executor.status_counts()["processing"]:
            await anyio.sleep(1)
            print(executor.progress())


if __name__ == "__main__":
    with started("site_server.py", "SITE_URL"):
        anyio.run(main, *map(int, sys.argv[1:]), backend=os.environ.get("BACKEND", "trio"))
