"""The example ``api_server.py``: the application alone, then the server, a process of its own."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import anyio
import api_server
import httpx
import pytest

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "examples" / "api_server.py"

# -------------------------------------------------------------------- the application alone, under the virtual clock


def client_of(app, key="a"):
    """Give a client that calls the application without a network."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers)


def make_app(failures=0.0, failing_times=1, latency=0.0, **limits):
    """Make an application whose clock is that of the test's event loop."""
    known = {"requests": 1000, "tokens": 1_000_000, "per": 10.0, "concurrency": 1000} | limits
    return api_server.Api(
        api_server.Limits(**known),
        failures=failures,
        failing_times=failing_times,
        latency=latency,
        clock=anyio.current_time,
    )


async def generate(client, prompt="hello", max_tokens=100):
    """Ask for a text."""
    return await client.post("/v1/generate", json={"prompt": prompt, "max_tokens": max_tokens})


@pytest.mark.anyio
async def test_the_rate_of_requests_is_exact():
    """So many in any window, by arrival; refused ones count for nothing; Retry-After is the time to wait."""
    async with client_of(make_app(requests=3, per=10.0)) as client:
        for _ in range(3):
            assert (await generate(client)).status_code == 200
            await anyio.sleep(2)
        refused = await generate(client)  # at 6: the first was at 0
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "4.0"
        await anyio.sleep(3.9)
        assert (await generate(client)).status_code == 429
        await anyio.sleep(0.1)
        assert (await generate(client)).status_code == 200  # at 10
        assert (await generate(client)).headers["Retry-After"] == "2.0"


@pytest.mark.anyio
async def test_the_rate_of_tokens_is_exact():
    """What is asked for counts until the answer, what was used from then on."""
    app = make_app(tokens=200, per=10.0, latency=1.0)
    async with client_of(app) as client, anyio.create_task_group() as group:
        group.start_soon(generate, client)
        await anyio.sleep(0.5)
        assert (await generate(client, max_tokens=101)).status_code == 429
        await anyio.sleep(1)
        (call,) = app.accounts["a"].window
        assert 50 <= call.tokens < 100
        assert (await generate(client, max_tokens=201 - call.tokens)).headers["Retry-After"] == "8.5"
        assert (await generate(client, max_tokens=200 - call.tokens)).status_code == 200
        assert (await generate(client, max_tokens=201)).headers["Retry-After"] == "10.0"  # it never will be let in


@pytest.mark.anyio
async def test_the_concurrency_is_exact():
    """So many at a time; one more is refused at once."""
    async with client_of(make_app(concurrency=2, latency=1.0)) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(generate, client)
            group.start_soon(generate, client)
            await anyio.sleep(0.5)
            refused = await generate(client)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "0.05")
        assert (await generate(client)).status_code == 200


@pytest.mark.anyio
async def test_keys_have_accounts_of_their_own():
    """One that is at its limit holds nobody else back."""
    app = make_app(requests=1)
    for key in ("a", "b"):
        async with client_of(app, key) as client:
            assert [(await generate(client)).status_code for _ in range(2)] == [200, 429]


@pytest.mark.anyio
async def test_failures_are_the_same_each_time():
    """About the given share of the prompts, each as often as it is told, then answered."""
    outcomes = []
    for _ in range(2):
        async with client_of(make_app(failures=0.2, failing_times=2)) as client:
            outcomes.append([[(await generate(client, f"p{n}")).status_code for _ in range(3)] for n in range(100)])
    assert outcomes[0] == outcomes[1]
    assert sorted({tuple(outcome) for outcome in outcomes[0]}) == [(200, 200, 200), (500, 500, 200)]
    assert 10 <= sum(500 in outcome for outcome in outcomes[0]) <= 30


@pytest.mark.anyio
async def test_models_have_accounts_of_their_own():
    """A model that is at its limit holds no other back. Models without a limit share that of the key."""
    app = make_app(requests=2)
    app.models = {"small": api_server.Limits(requests=1, per=10.0)}
    async with client_of(app) as client:
        statuses = []
        for model in ("small", "small", "x", "y", "z"):
            answer = await client.post("/v1/generate", json={"prompt": "a", "max_tokens": 1, "model": model})
            statuses.append(answer.status_code)
    assert statuses == [200, 429, 200, 200, 429]
    assert set(app.accounts) == {"a", "a small"}


@pytest.mark.anyio
async def test_troubles_come_by_prompt():
    """A refusal says how long to wait, and is over then. A hang ends when the client gives up. The rest is for ever."""
    app = make_app()
    async with client_of(app) as client:
        app.troubles = {"refusal": 1.0}
        refused = await generate(client, "a")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "0.2")
        assert (await generate(client, "a")).status_code == 200
        app.troubles = {"hang": 1.0}
        with anyio.move_on_after(20) as scope:
            await generate(client, "b")
        assert scope.cancelled_caught
        assert app.accounts["a"].running == 0
        assert (await generate(client, "b")).status_code == 200
        began = anyio.current_time()
        assert (await generate(client, "c")).status_code == 500
        assert anyio.current_time() - began == pytest.approx(30)
        app.troubles = {"hopeless": 1.0}
        assert {(await generate(client, "d")).status_code for _ in range(5)} == {500}
    assert app.prompts == {"a": 1, "b": 1}


@pytest.mark.anyio
async def test_what_is_no_request_is_refused():
    """Without a key, without a prompt, with no tokens, or at another place; none of it counts."""
    app = make_app()
    async with client_of(app) as client, client_of(app, key=None) as stranger:
        assert (await generate(stranger)).status_code == 401
        for body in (b"", b"[]", b"{}", b'{"prompt": "x", "max_tokens": 0}', b'{"prompt": 1, "max_tokens": Infinity}'):
            assert (await client.post("/v1/generate", content=body)).status_code == 400
        assert (await client.get("/v1/generate")).status_code == 404
        assert (await client.get("/stats")).json()["keys"] == {}


@pytest.mark.anyio
async def test_the_stats_tell_what_was_seen():
    """Answers by status; of each key the span, the most in any window, and the share of the rate that was used."""
    app = make_app(requests=2, per=10.0)
    async with client_of(app) as client:
        await generate(client)  # at 0
        await anyio.sleep(9)
        await generate(client)
        await generate(client)  # refused
        await anyio.sleep(2)
        await generate(client)  # at 11
        await anyio.sleep(9)
        await generate(client)  # at 20: the windows from 0 and from 10 are over
        stats = (await client.get("/stats")).json()
    assert stats["answers"] == {"200": 4, "429": 1}
    assert stats["limits"] == {"requests": 2, "tokens": 1_000_000, "per": 10.0, "concurrency": 1000}
    seen = stats["keys"]["a"]
    assert seen["last"] - seen["first"] == pytest.approx(20)
    assert (seen["requests"], seen["windows"], seen["used_share"]) == (4, 2, 0.75)
    assert (seen["most_requests"], seen["most_running"]) == (3, 1)


# -------------------------------------------------------------------- the server, a process of its own


@contextmanager
def process(*arguments, **streams):
    """Start Python with these arguments; it is ended by its id, and after a minute in any case."""
    child = subprocess.Popen(  # noqa: S603  our own
        [sys.executable, "-W", "error", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **streams
    )
    watchdog = Timer(60, child.kill)
    watchdog.start()
    with child:
        try:
            yield child
        finally:
            child.kill()
            watchdog.cancel()


def url_of(server):
    """Read the port it says it has."""
    return f"http://127.0.0.1:{int(server.stdout.readline())}"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_server_says_its_port_and_ends_when_told(signum):
    """The port is the first line; it answers with the limits it was given; SIGTERM ends it without a complaint."""
    arguments = ["--port", 0, "--requests", 1, "--tokens", 5, "--per", 3600, "--concurrency", 4, "--latency", 0]
    with process(SERVER, *arguments) as server, httpx.Client(base_url=url_of(server), trust_env=False) as client:
        client.headers["Authorization"] = "Bearer a"
        for expected in (200, 429):
            answer = client.post("/v1/generate", json={"prompt": "abc", "max_tokens": 5})
            assert answer.status_code == expected
        assert 3590 < float(answer.headers["Retry-After"]) <= 3600
        stats = client.get("/stats").json()
        assert stats["limits"] == {"requests": 1, "tokens": 5, "per": 3600.0, "concurrency": 4}
        assert stats["answers"] == {"200": 1, "429": 1}
        server.send_signal(signum)  # with our connection still open
        assert server.wait(30) == 0
        assert (server.stdout.read(), server.stderr.read()) == (b"", b"")


def test_the_server_ends_with_the_process_that_started_it():
    """``--until-eof``: when its standard input is closed."""
    with process(SERVER, "--until-eof", stdin=subprocess.PIPE) as server:
        url = url_of(server)
        assert httpx.get(f"{url}/stats", trust_env=False).status_code == 200  # it serves by now
        server.stdin.close()
        assert server.wait(30) == 0


# The command has no hold: it meets a 429 now and then, and goes on from there.
CALLING = """
import os, httpx
async def call(record):
    headers = {"Authorization": f"Bearer {record['user']}"}
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        answer = await client.post(os.environ["URL"] + "/v1/generate", json=record, headers=headers)
    answer.raise_for_status()
    return answer.json()["usage"]["tokens"]
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_command_line_goes_by_the_server(tmp_path, backend):
    """With no limits but ``--pause-on 429``, all is answered in the end."""
    (tmp_path / "calling.py").write_text(CALLING)
    records = [{"prompt": f"p{n}", "max_tokens": 10, "user": "ab"[n % 2]} for n in range(40)]
    (tmp_path / "input").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    arguments = ["run", "calling.py:call", "input", "--pause-on", 429, "--key", "user", "--retries", 3, "--quiet"]
    with process(SERVER, "--requests", 10, "--per", 0.2, "--concurrency", 4, "--failures", 0.1) as server:
        environment = os.environ | {"URL": url_of(server)}
        command = ["-m", "lionpride_exec", *arguments, "--backend", backend]
        with process(*command, cwd=tmp_path, env=environment) as child:
            out, err = child.communicate(timeout=60)
        answers = httpx.get(environment["URL"] + "/stats", trust_env=False).json()["answers"]
    assert (child.returncode, err) == (0, b"")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["completed"] * 40
    assert answers["429"] > 0
