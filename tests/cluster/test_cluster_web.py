"""``lionpride-exec cluster web``: the pages of a queue, in a browser's place."""

import re
import signal
import subprocess
import sys

import httpx2
import pytest
from command_support import Place
from commands import run_command

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}$")


@pytest.fixture
def place(tmp_path, server, monkeypatch):
    """A folder with targets, and a queue. The command has the URL, and no secret."""
    monkeypatch.setenv("LIONPRIDE_CLUSTER_URL", server.url)
    monkeypatch.delenv("LIONPRIDE_CLUSTER_SECRET", raising=False)
    return Place(tmp_path, server)


def serving(place, *options):
    """Start the command."""
    words = ["cluster", "web", "--queue", place.queue, "--port", "0", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "lionpride_exec", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def the_failed(client):
    """Return the line of the event that failed. A page may be empty although others follow."""
    lines, before = [], ""
    while before is not None:
        page = client.get("api/events", params={"status": "failed"} | ({"before": before} if before else {})).json()
        lines, before = lines + page["lines"], page["before"]
    (failed,) = {line["id"]: line for line in lines}.values()
    return failed


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_pages_of_a_queue(place, signum):
    """Each page is there, with what the server knows, and the process ends at a signal."""
    place.submit([1, 2, -1], work=True)
    with serving(place) as process:
        try:
            address = process.stdout.readline().strip()
            assert ADDRESS.match(address)
            with httpx2.Client(follow_redirects=True, trust_env=False, timeout=30) as client:
                first = client.get(address)
                assert (first.status_code, place.queue in first.text) == (200, True)
                client.base_url = str(first.url)
                assert client.get("api/snapshot").json()["counts"]["failed"] == 1
                failed = the_failed(client)
                pages = ("events", "errors", "limits", "timeline", f"event?ref={failed['id']}")
                assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
                assert client.post("api/act", json={"what": "pause"}).status_code == 403
            process.send_signal(signum)
            assert process.wait(30) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_a_queue_is_changed_from_its_pages(place):
    """With ``--writable``, an event that failed is retried."""
    place.submit([-1], work=True)
    with serving(place, "--writable") as process:
        try:
            address = process.stdout.readline().strip()
            with httpx2.Client(follow_redirects=True, trust_env=False, timeout=30) as client:
                client.base_url = str(client.get(address).url)
                failed = the_failed(client)
                assert client.post("api/act", json={"what": "retry", "id": failed["id"]}).status_code == 200
                assert client.get("api/snapshot").json()["counts"]["pending"] == 1
        finally:
            process.kill()


def test_a_queue_that_is_not_there(place, capsys):
    """The command says so, and writes no address."""
    place.submit([1], work=True)
    assert run_command(["cluster", "web", "--queue", "none", "--port", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "there is no queue none" in err


def test_other_machines_need_a_token(place, capsys):
    """The command refuses to serve them without one, before it asks the server of the cluster."""
    assert run_command(["cluster", "web", "--host", "192.0.2.1", "--no-token"]) == 2
    assert "--no-token is for this machine only" in capsys.readouterr().err
