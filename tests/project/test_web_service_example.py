"""The example ``web_service.py``: its requests in virtual time, by FastAPI's TestClient, and killed as a process."""

import json
import os
import signal
import socket
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4, uuid5

import anyio
import httpx
import pytest
from example_processes import asgi_server
from pages import code_of, define

from lionpride_exec import Call, Journal

pytest.importorskip("msgspec")
pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

import web_service
from fastapi import FastAPI

# -------------------------------------------------------------------- in this process, under the virtual clock


@pytest.fixture
def path(tmp_path):
    """Return the path of the journal."""
    return tmp_path / "jobs.db"


def client_of(app):
    """Return a client that calls an application without a network."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@asynccontextmanager
async def service(path, app=None):
    """Run the service on a file while the block runs, as after a start of its process. Yield a client."""
    app = app or web_service.make_app(path)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def submit(client, text="b a b", seconds=1.0, key=None):
    """Submit a job. Return its id."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await client.post("/jobs", json={"text": text, "seconds": seconds}, headers=headers)
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()["id"]


async def ended(client, job):
    """Return a job when it has ended."""
    shown = {"status": "pending"}
    while shown["status"] in {"pending", "processing"}:
        shown = (await client.get(f"/jobs/{job}?wait=5")).json()
    return shown


def blocks_of(lines):
    """Return the server-sent events of a stream, each a dict of its fields."""
    text = "\n".join(lines)
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block.strip()]


async def follow(client, job, last=None):
    """Read the transitions of a job as a browser does: connect until the answer is 204. Return what each stream had."""
    streams = []
    while True:
        answer = await client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": last} if last else {})
        if answer.status_code == 204:
            assert answer.content == b""
            return streams
        assert answer.headers["content-type"].startswith("text/event-stream")
        streams.append(blocks_of(answer.text.splitlines()))
        last = streams[-1][-1]["id"] if streams[-1] else last


@pytest.mark.anyio
async def test_a_job_from_its_request_to_its_end(path):
    """A job tells its status, its history and its result, also after a restart. ``wait`` has a bound."""
    async with service(path) as client:
        answer = await client.post("/jobs", json={"text": "b a b", "seconds": 5})
        job = answer.json()
        assert (answer.status_code, job["status"], job["result"]) == (202, "pending", None)
        began = anyio.current_time()
        shown = (await client.get(f"/jobs/{job['id']}?wait=2")).json()
        assert (shown["status"], anyio.current_time() - began) == ("processing", 2)
        shown = await ended(client, job["id"])
        assert anyio.current_time() - began < 6
    assert (shown["status"], shown["result"], shown["attempt"]) == ("completed", {"b": 2, "a": 1}, 1)
    assert [status for status, _ in shown["history"]] == ["pending", "processing", "completed"]
    async with service(path) as client:
        assert (await client.get(f"/jobs/{job['id']}")).json() == shown


@pytest.mark.anyio
async def test_a_key_is_one_job(path):
    """Requests with one key get one job, and 200 from the second on, also after a restart. Without a key: a new job."""
    async with service(path) as client:
        ids = {await submit(client, key="1") for _ in range(3)}
    async with service(path) as client:
        again = await client.post("/jobs", json={"text": "b a b"}, headers={"Idempotency-Key": "1"})
        assert (again.status_code, {again.json()["id"]}) == (200, ids)
        assert len({await submit(client), await submit(client)} - ids) == 2


@pytest.mark.anyio
async def test_a_job_that_fails(path):
    """The view of a job that failed has the message, in this run and in the next. It is not tried again."""
    async with service(path) as client:
        job = await submit(client, text=" ")
        shown = await ended(client, job)
        error = {"error": "ValueError", "message": "the text has no words"}
        assert (shown["status"], shown["error"], shown["result"]) == ("failed", error, None)
        assert shown["attempt"] == 1
    async with service(path) as client:
        assert (await client.get(f"/jobs/{job}")).json()["error"] == error


@pytest.mark.anyio
async def test_a_job_is_cancelled_once(path):
    """A job that runs only by force. A second request says that it has ended, also after a restart."""
    async with service(path) as client:
        ids = [await submit(client, seconds=20) for _ in range(10)]  # 8 run, and one more once the first is cancelled
        answer = await client.delete(f"/jobs/{ids[0]}")
        assert (answer.status_code, answer.json()) == (409, {"detail": "the job is processing"})
        for job, query in ((ids[0], "?force=true"), (ids[-1], "")):
            answer = await client.delete(f"/jobs/{job}{query}")
            shown = answer.json()
            assert (answer.status_code, shown["status"]) == (202, "cancelled")
            assert shown["error"] == {"error": "EventCancelled", "message": "by request"}
            answer = await client.delete(f"/jobs/{job}")
            assert (answer.status_code, answer.json()) == (409, {"detail": "the job is cancelled"})
    async with service(path) as client:
        assert (await client.delete(f"/jobs/{ids[0]}")).status_code == 409
        assert (await client.delete(f"/jobs/{ids[1]}")).status_code == 409


@pytest.mark.anyio
async def test_refusals(path):
    """A wrong body is a 422, an unknown job a 404, a full queue and a stopped service a 503. No job is taken in."""
    app = web_service.make_app(path)
    app.state.executor = web_service.make_executor(path, max_queue_size=1, concurrency_limit=1)
    async with service(path, app) as client:
        for body in ("[", "{}", '{"text": 1}', '{"text": "a", "seconds": -1}', '{"text": "a", "seconds": 61}'):
            assert (await client.post("/jobs", content=body)).status_code == 422, body
        for method, suffix in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            answer = await client.request(method, f"/jobs/{uuid4()}{suffix}")
            assert (answer.status_code, answer.json()) == (404, {"detail": "there is no such job"})
            assert (await client.request(method, f"/jobs/1{suffix}")).status_code == 422
        await submit(client, seconds=9)
        await anyio.sleep(1)
        await submit(client)
        answer = await client.post("/jobs", json={"text": "one too many"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "full" in answer.json()["detail"]
    assert app.state.executor.status_counts()["pending"] == 2
    async with client_of(app) as client:
        assert (await client.post("/jobs", json={"text": "too late"})).status_code == 503


@pytest.mark.anyio
async def test_the_metrics(path):
    """Statuses, slots and the queue: the numbers of the event loop are among them."""
    async with service(path) as client:
        for _ in range(11):
            await submit(client, seconds=2)
        await anyio.sleep(1)
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert {
        'lionpride_events{executor="jobs",status="processing"} 8.0',
        'lionpride_slots_used{executor="jobs"} 8.0',
        'lionpride_queue_size{executor="jobs"} 3.0',
        'lionpride_pending{executor="jobs",reason="slot"} 3.0',
    } <= set(answer.text.splitlines())


@pytest.mark.anyio
async def test_the_dashboard(path):
    """Browsers on this machine see the jobs that run and those that have ended. A page of another site sees nothing."""
    async with service(path) as client:
        ids = [await submit(client, seconds=1), await submit(client, text=" "), await submit(client, seconds=50)]
        await anyio.sleep(3)
        overview, listed = [(await client.get(f"/dashboard/{page}")) for page in ("", "events")]
        assert (overview.status_code, listed.status_code) == (200, 200)
        assert "ValueError: the text has no words" in overview.text
        assert all(job in listed.text for job in ids)
        for job in ids:
            assert "examples.count_words" in (await client.get(f"/dashboard/event?ref={job}")).text
        assert (await client.get("/dashboard/", headers={"Host": "example.org"})).status_code == 403
        assert (await client.delete(f"/jobs/{ids[2]}?force=true")).status_code == 202


@pytest.mark.anyio
async def test_the_transitions_of_a_job(path):
    """A stream ends with its job, or after ``STREAM`` seconds. A client that comes again has each transition once."""
    app = web_service.make_app(path)
    async with service(path, app) as client:
        job = await submit(client, seconds=12)
        began = anyio.current_time()
        streams = await follow(client, job)
        assert anyio.current_time() - began == pytest.approx(12, abs=0.1)
        shown = (await client.get(f"/jobs/{job}")).json()
        assert [[one["event"] for one in blocks] for blocks in streams] == [
            ["pending", "processing"],
            [],
            ["completed"],
        ]
        assert await follow(client, job) == [[*streams[0], *streams[2]]]  # one that comes later has all of them
        for unknown in ("nonsense", "2-pending", "9-completed"):
            assert await follow(client, job, unknown) == await follow(client, job)
        assert not app.state.changes.awaited
    told = [json.loads(one["data"]) for blocks in streams for one in blocks]
    assert [[one["status"], one["at"].replace("+00:00", "Z")] for one in told] == shown["history"]


@pytest.mark.anyio
async def test_many_streams(path):
    """Each of many streams of many jobs has all transitions of its job. None is left behind."""
    app = web_service.make_app(path)
    seen = Counter()

    async def read(client, job):
        for blocks in await follow(client, job):
            seen.update((job, one["event"]) for one in blocks)

    async with service(path, app) as client, anyio.create_task_group() as group:
        ids = [await submit(client, seconds=1) for _ in range(20)]
        for job in ids * 5:
            group.start_soon(read, client, job)
    assert seen == {(job, status): 5 for job in ids for status in ("pending", "processing", "completed")}
    assert not app.state.changes.awaited


@pytest.mark.anyio
async def test_a_stop_loses_nothing(path):
    """What runs has ``GRACE`` seconds. What is left runs after the next start, and a client sees one history of it."""
    async with service(path) as client:
        quick = await submit(client, seconds=7)
        ids = [await submit(client, seconds=20) for _ in range(12)]
        before = blocks_of((await client.get(f"/jobs/{ids[0]}/events")).text.splitlines())
        assert [one["event"] for one in before] == ["pending", "processing"]
        began = anyio.current_time()
    assert anyio.current_time() - began == pytest.approx(web_service.GRACE, abs=0.1)
    async with service(path) as client:
        assert (await ended(client, quick))["status"] == "completed"
        after = [one["event"] for blocks in await follow(client, ids[0], before[-1]["id"]) for one in blocks]
        assert after == ["pending", "processing", "completed"]
        for job in ids:
            shown = await ended(client, job)
            assert (shown["status"], shown["attempt"], shown["result"]) == ("completed", 1, {"b": 2, "a": 1})


@pytest.fixture
def test_client():
    """Return the TestClient of FastAPI. Below Starlette 1.7, its import warns of a name in AnyIO."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The anyio.abc.BlockingPortal alias", DeprecationWarning)
        return pytest.importorskip("fastapi.testclient").TestClient


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_test_client_of_fastapi(path, backend, test_client):
    """FastAPI's TestClient starts the service, has a stream to its end, and stops the service."""
    with test_client(web_service.make_app(path), backend=backend) as client:
        job = client.post("/jobs", json={"text": "b a b", "seconds": 0}).json()["id"]
        with client.stream("GET", f"/jobs/{job}/events") as answer:
            blocks = blocks_of(answer.iter_lines())
        shown = client.get(f"/jobs/{job}").json()
    assert [one["event"] for one in blocks] == ["pending", "processing", "completed"]
    assert shown["result"] == {"b": 2, "a": 1}


# -------------------------------------------------------------------- the traps of the page


@pytest.fixture
def page():
    """Return what the programs of ``docs/web-service.md`` define."""
    namespace = {}
    for code in code_of("docs/web-service.md"):
        if code not in Path(web_service.__file__).read_text("utf-8"):
            define(code, namespace)
    return namespace


async def call_and_leave(app, target, seconds):
    """Call an application as a client that goes away after a time. Return the status of the answer."""
    statuses, body = [], [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if body:
            return body.pop()
        await anyio.sleep(seconds)
        return {"type": "http.disconnect"}

    async def send(message):
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "GET", "path": target, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return statuses[0]


@pytest.mark.anyio
async def test_an_endpoint_that_notices_that_its_client_has_gone(page):
    """The event is cancelled when the client goes, and else after the timeout. An error of the event gets out."""
    async with page["executor"] as executor:
        began = anyio.current_time()
        assert await call_and_leave(page["app"], "/square/4", 2) == 504
        assert anyio.current_time() - began == pytest.approx(2, abs=0.1)
        assert await call_and_leave(page["app"], "/square/40", 20) == 504
        assert anyio.current_time() - began == pytest.approx(7, abs=0.1)
        assert await call_and_leave(page["app"], "/square/4", 20) == 200
    counts = executor.status_counts()
    assert (counts["cancelled"], counts["completed"]) == (2, 1)


@pytest.mark.anyio
async def test_a_mounted_application_is_not_started(page):
    """Its executor runs only if the outer lifespan enters the inner one."""
    outer = FastAPI()
    outer.mount("/inner", page["inner"])
    async with outer.router.lifespan_context(outer), client_of(outer) as client:
        with anyio.move_on_after(3) as scope:
            await client.get("/inner/one")
        assert scope.cancelled_caught
    assert page["inner_executor"].status_counts()["pending"] == 1


@pytest.mark.anyio
async def test_calls_in_a_thread_without_the_event_loop(page):
    """They are refused, and nothing has changed. Through ``anyio.from_thread`` they work."""
    async with page["executor"] as executor:
        call = await executor.append(Call.of(page["square"], 5))
        await anyio.sleep(1)
        for method in (partial(executor.cancel, call), partial(executor.explain, call), executor.statistics):
            with pytest.raises(RuntimeError):
                await anyio.to_thread.run_sync(method)
            assert call.status == "processing"
        assert await anyio.to_thread.run_sync(anyio.from_thread.run_sync, executor.cancel, call)
        await call.wait()
        assert call.status == "cancelled"


@pytest.mark.anyio
async def test_a_job_that_other_processes_submit_twice(path):
    """The owner keeps the first. The id of the second exists only if it was made from the key, so that both are one."""
    async with service(path) as client:
        ids = []
        for key, given in (
            ("a", uuid4()),
            ("a", uuid4()),
            ("b", uuid5(UUID(int=1), "b")),
            ("b", uuid5(UUID(int=1), "b")),
        ):
            ids.append(await Journal.submit(path, web_service.CountWords(id=given, text=key), key=key))
            await anyio.sleep(3)
        assert [(await client.get(f"/jobs/{job}")).status_code for job in ids] == [200, 404, 200, 200]
        assert ids[2] == ids[3]


# -------------------------------------------------------------------- a process of its own

KINDS = ["uvicorn", "hypercorn"]  # on asyncio, and on trio
QUICK = """
import web_service

web_service.GRACE = web_service.STREAM = 1
app = web_service.app
"""


@pytest.fixture
def listening():
    """Return a socket that the processes of a test share, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


@pytest.fixture
def client(listening):
    """Return a client of the service. Each request has its own connection, as the next process may answer the next."""
    url, limits = f"http://127.0.0.1:{listening.getsockname()[1]}", httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, limits=limits, trust_env=False, timeout=60) as one:
        yield one


def submit_all(client, count, seconds):
    """Submit jobs with the keys from 0 on. Return their ids by key, and how many of them are new."""
    answers = {
        key: client.post("/jobs", json={"text": f"a{key}", "seconds": seconds}, headers={"Idempotency-Key": f"{key}"})
        for key in range(count)
    }
    new = sum(answer.status_code == 202 for answer in answers.values())
    return {key: answer.json()["id"] for key, answer in answers.items()}, new


def shown_at_the_end(client, job):
    """Return a job when it has ended."""
    while (shown := client.get(f"/jobs/{job}?wait=5").json())["status"] in {"pending", "processing"}:
        pass
    return shown


@pytest.mark.parametrize("kind", KINDS)
def test_killed_as_a_process(tmp_path, listening, client, kind):
    """After SIGKILL amid work, each acknowledged job is there and is done. What had ended is not done again."""
    with asgi_server(kind, "web_service", listening, cwd=tmp_path) as child:
        ids, new = submit_all(client, 40, 0.2)
        assert new == 40
        first = shown_at_the_end(client, ids[0])
        assert first["status"] == "completed"
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
    with asgi_server(kind, "web_service", listening, cwd=tmp_path):
        assert client.get(f"/jobs/{ids[0]}").json() == first
        assert submit_all(client, 40, 0.2) == (ids, 0)
        for key, job in ids.items():
            shown = shown_at_the_end(client, job)
            assert (shown["status"], shown["result"]) == ("completed", {f"a{key}": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_as_a_process(tmp_path, listening, client, kind):
    """At SIGTERM an open stream ends by itself. Its job goes on after the next start, and so does the stream."""
    (tmp_path / "quick.py").write_text(QUICK)
    lines = []

    def read():
        with client.stream("GET", f"/jobs/{ids[0]}/events") as answer:
            lines.extend(answer.iter_lines())

    with asgi_server(kind, "quick", listening, grace=15, cwd=tmp_path, stderr=-1, text=True) as child:
        ids, _ = submit_all(client, 10, 3)
        reader = Thread(target=read)
        reader.start()
        while client.get("/metrics").text.count('status="processing"} 8.0') == 0:
            time.sleep(0.05)  # another process works, in real time
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=30)
        took = time.monotonic() - began
        reader.join(30)
    assert child.returncode in {0, -signal.SIGTERM}, err
    assert "Traceback" not in err
    assert took < 15, err  # the server has not cut the stream off
    seen = blocks_of(lines)
    assert [one["event"] for one in seen] == ["pending", "processing"]
    with asgi_server(kind, "quick", listening, grace=15, cwd=tmp_path):
        rest, last = [], seen[-1]["id"]
        while (answer := client.get(f"/jobs/{ids[0]}/events", headers={"Last-Event-ID": last})).status_code == 200:
            rest += blocks_of(answer.text.splitlines())
            last = rest[-1]["id"] if rest else last
        assert [one["event"] for one in rest] == ["pending", "processing", "completed"]
        for job in ids.values():
            assert shown_at_the_end(client, job)["status"] == "completed"
