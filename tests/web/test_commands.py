"""``lionpride-exec web`` and ``run --web``: programs of their own, looked at by a client as a browser would."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from commands import run_command
from journal_files import fill

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/(\?token=[\w-]{43})?$")

# Each line waits until the test has seen the dashboard.
TARGET = """
from pathlib import Path
import anyio

async def wait(record):
    while not Path("seen").exists():
        await anyio.sleep(0.02)
    return record["n"]
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)


@contextmanager
def program(*arguments, stream="stdout"):
    """Run the command. Yield the process, and the address that it writes to a stream."""
    command = [sys.executable, "-W", "error", "-m", "lionpride_exec", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603  our own
        try:
            line = getattr(process, stream).readline().rstrip("\n")
            yield process, line.removeprefix("lionpride-exec: dashboard: ")
        finally:
            process.kill()


@contextmanager
def client_at(address):
    """Give a client that has followed the address of a dashboard, as a browser does."""
    assert ADDRESS.match(address), address
    with httpx.Client(follow_redirects=True, timeout=30) as client:
        answer = client.get(address)
        assert (answer.status_code, answer.url.query) == (200, b"")
        client.base_url = str(answer.url)
        yield client


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_dashboard_of_a_journal(signum):
    """It is served at the address that is written, with its token only, until a signal; an open stream ends soon."""
    fill("run.db")
    with program("web", "run.db", "--port", "0") as (process, address):
        with client_at(address) as client:
            assert client.get("api/snapshot").json()["name"] == "run.db"
            assert client.post("api/act", json={"what": "pause"}).status_code == 403
            assert httpx.get(address.partition("?")[0]).status_code == 401
            with client.stream("GET", "live?page=overview") as stream:
                assert "count-completed" in read_until(stream, "count-completed")
                begun = time.monotonic()
                process.send_signal(signum)
                assert process.wait(30) == 0
                assert time.monotonic() - begun <= 6
        assert process.stderr.read() == ""


def read_until(stream, text):
    """Give what a stream sends, up to a text."""
    found = ""
    for part in stream.iter_text():
        found += part
        if text in found:
            break
    return found


def test_options():
    """Without a token the address has none; --writable takes actions, --allow-host names."""
    fill("run.db")
    with (
        program("web", "run.db", "--port", "0", "--no-token", "--writable") as (_, address),
        client_at(address) as client,
    ):
        assert "token" not in address
        assert client.get("api/version").json()["takes_actions"]
    allowed = ("--allow-host", "jobs.example")
    with program("web", "run.db", "--port", "0", *allowed) as (_, address), client_at(address) as client:
        token = {"authorization": f"Bearer {address.partition('=')[2]}"}
        statuses = [
            client.get("healthz", headers=token | {"host": host}).status_code for host in ("jobs.example", "x.example")
        ]
        assert statuses == [200, 403]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.db"], "there is no such file"),
        (["text.db"], "not a SQLite file"),
        (["run.db", "--no-token", "--host", "192.0.2.1"], "--no-token is for this machine only"),
        (["run.db", "--no-token", "--allow-host", "x.example"], "--no-token is for this machine only"),
        (["run.db", "--port", "99999"], "the port must be from 0 to 65535"),
        (["run.db", "--host", "no such host"], "cannot listen at no such host"),
    ],
)
def test_refusals(arguments, message, capsys):
    """What cannot be served is refused with status 2, in one line."""
    fill("run.db")
    Path("text.db").write_text("no journal " * 200, "utf-8")
    assert run_command(["web", *arguments]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)


def test_a_port_that_is_taken(capsys):
    """The message names the address."""
    fill("run.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_command(["web", "run.db", "--port", str(port)]) == 2
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_dashboard_beside_a_run(backend):
    """It is there from the first line to the last, with a token, read-only; the run ends as it would without."""
    Path("target.py").write_text(TARGET, "utf-8")
    Path("in.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(5)), "utf-8")
    arguments = ("run", "target.py:wait", "in.jsonl", "--output", "out.jsonl", "--backend", backend, "--web", "0")
    with program(*arguments, stream="stderr") as (process, address):
        with client_at(address) as client:
            found = client.get("api/snapshot").json()
            assert found["counts"]["pending"] + found["counts"]["processing"] == 5
            assert client.post("api/act", json={"what": "pause"}).status_code == 403
            assert "<h1>" in client.get("timeline").text
            Path("seen").touch()
        assert process.wait(60) == 0
        assert "5 completed" in process.stderr.read()
    assert len(Path("out.jsonl").read_text("utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        (
            ["hypercorn", "anycorn"],
            ["--backend", "trio", "--web", "0"],
            "--web: the dashboard needs a server that runs on trio: pip install hypercorn",
        ),
        (["starlette"], ["--web", "0"], "--web needs: pip install"),
        ([], ["--web", "65536"], "--web: the port must be from 0 to 65535"),
    ],
)
def test_a_run_without_a_server(missing, arguments, message):
    """The run is refused before its first line, and says what to install."""
    Path("target.py").write_text(TARGET, "utf-8")
    Path("in.jsonl").write_text('{"n": 1}\n', "utf-8")
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); from lionpride_exec import __main__ as command; "
    code += "sys.exit(command.main())"
    command = [sys.executable, "-c", code, "run", "target.py:wait", "in.jsonl", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_extra_is_missing():
    """The command, and the function, name what to install."""
    fill("run.db")
    for code, status in (
        ("from lionpride_exec import __main__ as command; sys.exit(command.main())", 2),
        ("from lionpride_exec.web import dashboard; dashboard('run.db')", 1),
    ):
        command = [sys.executable, "-c", f"import sys; sys.modules['starlette'] = None; {code}", "web", "run.db"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own
        assert done.returncode == status
        assert "pip install '.[web" in done.stderr
