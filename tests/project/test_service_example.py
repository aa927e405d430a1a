"""The example ``service_jobs.py``: its requests in virtual time, with faults and crashes; then killed as a process."""

import json
import os
import shutil
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from threading import Thread
from unittest.mock import patch

import anyio
import api_server
import httpx2
import pytest
from example_processes import asgi_server, output_of, server
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule, run_state_machine_as_test

from lionpride_exec import Executor, Journal
from lionpride_exec.testing import BACKENDS, Cancellation, Crash, Failure, FaultPlan
from lionpride_exec.testing.stateful import ExecutorMachine

pytest.importorskip("msgspec")
pytest.importorskip("starlette")

import service_jobs

CLIENT = httpx2.AsyncClient  # the tests replace the one of the jobs

# -------------------------------------------------------------------- in this process, under the virtual clock


@pytest.fixture
def api(tmp_path, monkeypatch):
    """Return the API that the jobs call. An answer takes a second, and nothing fails until a test says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_URL", "http://api")
    app = api_server.Api(api_server.Limits(), latency=1.0, clock=anyio.current_time)
    monkeypatch.setattr(httpx2, "AsyncClient", partial(CLIENT, transport=httpx2.ASGITransport(app)))
    return app


def client_of_the_service():
    """Return a client that calls the service without a network."""
    return CLIENT(transport=httpx2.ASGITransport(service_jobs.app), base_url="http://service")


@asynccontextmanager
async def service():
    """Run the service while the block runs. Yield a client."""
    async with service_jobs.lifespan(service_jobs.app), client_of_the_service() as client:
        yield client


async def submit(client, prompt, key=None):
    """Submit a job. Return its id."""
    answer = await client.post("/jobs", json={"prompt": prompt}, headers={"Idempotency-Key": key or prompt})
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()["id"]


async def rest(client):
    """Wait until no job is open."""
    metrics = ""
    while '"} 0\njobs{status="processing"} 0\n' not in metrics:
        await anyio.sleep(1)
        metrics = (await client.get("/metrics")).text


async def ids_of(client, query=""):
    """Return the ids of all jobs that fit, page after page."""
    ids, before = [], ""
    while before is not None:
        page = (await client.get(f"/jobs?limit=3{query}{before and f'&before={before}'}")).json()
        ids += [job["id"] for job in page["jobs"]]
        before = page["before"]
    return ids


@pytest.mark.anyio
async def test_a_job_from_its_request_to_its_end(api):
    """The answer of a request has its id. Then the job tells its status, its history, and what it waits for."""
    api.troubles, api.failing_times = {"failure": 1.0}, 1
    async with service() as client:
        answer = await client.post("/jobs", json={"prompt": "hello"})
        job = answer.json()
        assert (answer.status_code, job["status"]) == (202, "pending")
        await anyio.sleep(1.2)
        shown = (await client.get(f"/jobs/{job['id']}")).json()
        assert shown["status"] == "pending"
        assert "is pending, waits for its next attempt, at least 0." in shown["explanation"]
        await rest(client)
        shown = (await client.get(f"/jobs/{job['id']}")).json()
    assert (shown["id"], shown["prompt"], shown["response"], shown["error"]) == (job["id"], "hello", "olleh", None)
    assert [status for status, _ in shown["history"]] == ["pending", "processing"] * 2 + ["completed"]
    assert shown["explanation"].endswith("is completed")


@pytest.mark.anyio
async def test_a_key_is_one_job(api):
    """Many clients with one key get one job, also after a restart. With ``unique=open`` an ended job frees its key."""
    ids = []

    async def ask(client):
        ids.append(await submit(client, "hello"))

    async with service() as client:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask, client)
        await rest(client)
        await ask(client)
    async with service() as client:
        await ask(client)
        again = await client.post("/jobs?unique=open", json={"prompt": "hello"}, headers={"Idempotency-Key": "hello"})
        assert again.status_code == 202
        await rest(client)
    assert len(set(ids)) == 1
    assert again.json()["id"] not in ids
    assert api.prompts == {"hello": 2}


@pytest.mark.anyio
async def test_failed_jobs_in_pages_run_again(api):
    """Each failed job is on one page. After a restart each runs again under its id, and the pages are empty."""
    api.troubles = {"hopeless": 1.0}
    async with service() as client:
        ids = [await submit(client, f"p{number}") for number in range(7)]
        await rest(client)
        assert await ids_of(client, "&status=failed") == ids[::-1]
        page = (await client.get("/jobs?status=failed&limit=1")).json()
        assert (page["jobs"][0]["key"], page["before"]) == ("p6", ids[-1])
        assert page["jobs"][0]["error"].startswith("HTTPStatusError: Server error '500 Internal Server Error'")
    api.troubles = {}
    async with service() as client:
        for job in await ids_of(client, "&status=failed"):
            assert (await client.post(f"/jobs/{job}/retry")).status_code == 202
            assert (await client.post(f"/jobs/{job}/retry")).status_code == 409
        await rest(client)
        assert await ids_of(client, "&status=failed") == []
        assert await ids_of(client) == ids[::-1]
    assert api.prompts == {f"p{number}": 1 for number in range(7)}


@pytest.mark.anyio
async def test_a_job_is_cancelled_once(api):
    """If it runs, only by force. It does not run again, and a second request says that it has ended, also later."""
    async with service() as client:
        ids = [await submit(client, f"p{number}") for number in range(12)]
        await anyio.sleep(0.5)
        assert api.accounts["key"].running == 8
        refused = await client.delete(f"/jobs/{ids[0]}")
        assert (refused.status_code, refused.json()) == (409, {"error": "the job is processing"})
        for query in (f"{ids[0]}?force=true", ids[-1]):
            assert (await client.delete(f"/jobs/{query}")).status_code == 202
        await rest(client)
    async with service() as client:
        for job, status in ((ids[0], "cancelled"), (ids[-1], "cancelled"), (ids[1], "completed")):
            answer = await client.delete(f"/jobs/{job}?force=true")
            assert (answer.status_code, answer.json()) == (409, {"error": f"the job is {status}"})
        assert (await client.get(f"/jobs/{ids[0]}")).json()["error"]["message"] == "by request"
    assert len(api.prompts) == 10


@pytest.mark.anyio
async def test_refusals(api, monkeypatch):
    """A wrong request is a 400, an unknown job a 404, a full queue and a stopped service a 503. No job is taken in."""
    unknown = "/jobs/00000000-0000-0000-0000-000000000001"
    small = Executor.of(
        service_jobs.Job,
        journal=Journal("jobs.db"),
        lifespan=service_jobs.open_client,
        max_queue_size=1,
        concurrency_limit=1,
    )
    monkeypatch.setattr(service_jobs, "make_executor", lambda: small)
    async with service() as client:
        for body in ("[", "[]", "{}", '{"promt": "a"}', '{"prompt": 1}', '{"prompt": "a", "max_tokens": "b"}'):
            answer = await client.post("/jobs", content=body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"]), body
        assert (await client.post("/jobs?unique=open", json={"prompt": "a"})).status_code == 400
        for query in ("limit=0", "limit=a", "before=a"):
            assert (await client.get(f"/jobs?{query}")).status_code == 400
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
            assert (await client.request(method, unknown + path)).status_code == 404
        assert (await client.get("/jobs?status=done")).status_code == 404
        assert (await client.get(f"/jobs?before={unknown[6:]}")).status_code == 404
        assert await ids_of(client) == []
        await submit(client, "runs")
        await anyio.sleep(0.5)
        await submit(client, "waits")
        refused = await client.post("/jobs", json={"prompt": "too many"})
        assert (refused.status_code, "full" in refused.json()["error"]) == (503, True)
        await rest(client)
    async with client_of_the_service() as client:
        assert (await client.post("/jobs", json={"prompt": "too late"})).status_code == 503
        assert (await client.get("/jobs")).status_code == 503
    assert set(api.prompts) == {"runs", "waits"}


@pytest.mark.anyio
async def test_the_metrics(api):
    """Plain numbers: jobs by status, what pending ones wait for, what is used of the limit."""
    api.troubles = {"refusal": 1.0}
    async with service() as client:
        for number in range(13):
            await submit(client, f"p{number}")
        await anyio.sleep(0.5)
        lines = (await client.get("/metrics")).text.splitlines()
        await rest(client)
        after = (await client.get("/metrics")).text.splitlines()
    assert {'jobs{status="pending"} 5', 'jobs{status="processing"} 8', 'jobs_waiting{for="slot"} 5'} <= set(lines)
    assert {'limit_used{name="api"} 8', "running 8", "queued 5", "rate_limited 0"} <= set(lines)
    assert {'jobs{status="completed"} 13', "running 0", "queued 0", "rate_limited 13"} <= set(after)


@pytest.mark.anyio
async def test_each_transition_is_streamed(api):
    """As server-sent events, in order. The stream ends with the service."""
    answers = []

    async def read(client):
        answers.append(await client.get("/events"))

    async with client_of_the_service() as reader, anyio.create_task_group() as group:
        async with service() as client:
            group.start_soon(read, reader)
            await anyio.sleep(0.5)
            ids = [await submit(client, f"p{number}") for number in range(3)]
            await rest(client)
            shown = [(await client.get(f"/jobs/{job}")).json() for job in ids]
    (answer,) = answers
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.split("\n\n")[:-1]]
    assert {one["event"] for one in told} == {"transition"}
    data = [json.loads(one["data"]) for one in told]
    assert {one["missed"] for one in data} == {0}
    for job in shown:
        seen = [[one["status"], one["at"]] for one in data if one["id"] == job["id"]]
        assert seen == job["history"][1:]


@pytest.mark.anyio
async def test_a_stop_within_its_grace_loses_nothing(api):
    """What runs has five seconds. What is cut off then pays no attempt. It runs at the next start, as does the rest."""
    async with service() as client:
        await submit(client, "quick")
        await anyio.sleep(0.5)
        api.latency = 8.0
        ids = [await submit(client, f"p{number}") for number in range(40)]
        await anyio.sleep(0.2)
        began = anyio.current_time()
    assert anyio.current_time() - began == pytest.approx(service_jobs.GRACE, abs=0.1)
    assert api.prompts == {"quick": 1}
    async with service() as client:
        await rest(client)
        for number, job in enumerate(ids):
            assert await submit(client, f"p{number}") == job
            shown = (await client.get(f"/jobs/{job}")).json()
            assert (shown["status"], shown["attempt"]) == ("completed", 1)
    assert api.prompts == {"quick": 1} | {f"p{number}": 1 for number in range(40)}


async def live(plan, path, left, work):
    """Run the service on a file until its work is done or the process dies. Then the file that is left is copied."""
    with anyio.CancelScope() as process:

        def die(_):
            for suffix in ("-wal", ""):
                if path.with_name(path.name + suffix).exists():
                    shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
            process.cancel()

        executor = service_jobs.make_executor(path)
        with pytest.MonkeyPatch.context() as patched, plan.applied(executor, on_crash=die):
            patched.setattr(service_jobs, "make_executor", lambda: executor)
            async with service() as client:
                await work(client)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(2))
async def test_faults_and_crashes(api, tmp_path, seed):
    """Whatever fails and dies: each key is one job. A job that was seen to end is not done again."""
    faults = {
        "append:before": Cancellation(of="caller", share=0.1),
        "run:before": Failure(share=0.3),
        "run:after": Crash(share=0.1),
        "commit:before": Crash(share=0.03),
        "commit:after": Crash(share=0.03),
    }
    plan = FaultPlan(seed, faults)
    lives, ids, done = 0, {}, {}

    async def work(client):
        while len(done) < 20:
            for prompt in map("p{}".format, range(20)):
                with plan.cancellable():  # a client that goes away comes again with its key
                    job = await submit(client, prompt)
                    assert ids.setdefault(prompt, job) == job
            await rest(client)
            for job in await ids_of(client, "&status=failed"):
                await client.post(f"/jobs/{job}/retry")
            for prompt, job in ids.items():
                if (await client.get(f"/jobs/{job}")).json()["status"] == "completed":
                    assert done.setdefault(prompt, api.prompts[prompt]) == api.prompts[prompt]
        assert sorted(await ids_of(client, "&status=completed")) == sorted(ids.values())

    while len(done) < 20:
        await live(plan, tmp_path / f"{lives}.db", tmp_path / f"{lives + 1}.db", work)
        lives += 1
    assert lives > 2
    assert set(api.prompts) == set(ids)
    assert {prompt: api.prompts[prompt] for prompt in done} == done


class ServiceMachine(ExecutorMachine):
    """The executor of the service, whose process dies now and then. Requests come between all other steps."""

    events = st.builds(service_jobs.Job, prompt=st.sampled_from([f"p{number}" for number in range(20)]))
    without_rules = (  # nobody does that in the service
        *("append_after", "append_and_wait_for_room", "invoke_and_abandon", "extend", "starmap", "run_a_pipeline"),
        *("schedule", "cancel_schedule", "forward", "forward_several_times_and_cancel", "invoke", "set_status"),
        *("use_a_block", "use_a_block_that_is_cancelled", "run_in_a_task_group", "close_gate", "withhold_capacity"),
        *("pause_key", "resume_key", "pause_limit", "resume_limit", "release_held_events"),
    )

    def __init__(self):
        super().__init__()
        self.surroundings = ExitStack()
        calling = partial(CLIENT, transport=httpx2.ASGITransport(self.call_the_api))
        self.surroundings.enter_context(patch.object(httpx2, "AsyncClient", calling))
        self.surroundings.enter_context(patch.dict(os.environ, API_URL="http://api"))

    def make_executor(self):
        self.api = api_server.Api(api_server.Limits(), latency=1.0, hopeless=0.3, clock=anyio.current_time)
        return service_jobs.make_executor(self.journal_path)

    def teardown(self):
        with self.surroundings:
            super().teardown()

    async def call_the_api(self, scope, receive, send):
        await self.api(scope, receive, send)

    def request(self, method, path, **content):
        """Send a request to the service, which runs."""

        async def main():
            await self.executor.start()
            service_jobs.app.state.executor = self.executor
            async with client_of_the_service() as client:
                return await client.request(method, path, **content)

        answer = self.call(main)
        assert answer.status_code in {200, 202, 404, 409}, answer.text
        return answer

    @rule(
        target=ExecutorMachine.appended,
        prompt=st.sampled_from([f"p{number}" for number in range(20)]),
        unique=st.sampled_from(["ever", "open"]),
    )
    def submit(self, prompt, unique):
        headers = {"Idempotency-Key": prompt}
        answer = self.request("POST", f"/jobs?unique={unique}", json={"prompt": prompt}, headers=headers)
        if answer.status_code == 200:
            return multiple()
        job = self.executor.states.items[answer.json()["id"]]
        self.taken[job.id] = job
        self.known_ids.add(job.id)
        return job

    @rule(event=ExecutorMachine.appended)
    def show(self, event):
        answer = self.request("GET", f"/jobs/{event.id}")
        if answer.status_code == 200:
            shown, known = answer.json(), self.current(event)
            assert (shown["id"], shown["prompt"]) == (str(event.id), event.prompt)
            assert shown["history"][-1][0] == shown["status"]
            assert known is None or known.status.is_terminal is (
                shown["status"] in {"completed", "failed", "cancelled"}
            )

    @rule(event=ExecutorMachine.appended, suffix=st.sampled_from(["", "?force=true", "/retry"]))
    def cancel_or_retry(self, event, suffix):
        is_retry = suffix == "/retry"
        answer = self.request("POST" if is_retry else "DELETE", f"/jobs/{event.id}{suffix}")
        if is_retry and answer.status_code == 202:
            assert not self.current(event).status.is_terminal

    @rule()
    def count_the_pages(self):
        """All pages together have each job once."""
        ids, before = [], ""
        while before is not None:
            page = self.request("GET", f"/jobs?limit=5{before and f'&before={before}'}")
            ids += [job["id"] for job in page.json()["jobs"]]
            before = page.json()["before"]
        assert len(ids) == len(set(ids)) == sum(self.executor.status_counts().values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_operations_and_deaths(backend):
    """A state machine drives the service: requests, all methods of the executor, and kills."""
    options = {"stateful_step_count": 25, "deadline": None, "derandomize": True}
    options["suppress_health_check"] = list(HealthCheck)
    run_state_machine_as_test(ServiceMachine.on(backend), settings=settings(max_examples=12, **options))


# -------------------------------------------------------------------- a process of its own


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
def test_stopped_and_killed_as_a_process(tmp_path, kind):
    """SIGTERM amid work, with a reader of transitions; then SIGKILL. Each job is done, and each key is one job."""
    ids, streamed = {}, []

    def submit(count):
        for number in range(count):
            job = client.post("/jobs", json={"prompt": f"p{number}"}, headers={"Idempotency-Key": f"{number}"}).json()
            assert ids.setdefault(number, job["id"]) == job["id"]

    def completed():
        return int(client.get("/metrics").text.split('jobs{status="completed"} ')[1].split()[0])

    def wait_for(count):
        while completed() < count:
            time.sleep(0.05)  # another process works, in real time

    def read():
        with suppress(httpx2.RemoteProtocolError), client.stream("GET", "/events") as answer:
            streamed.extend(answer.iter_lines())

    def left():
        rows, _ = output_of("-m", "lionpride_exec", "export", "jobs.db", cwd=tmp_path)
        statuses = Counter(json.loads(row)["status"] for row in rows.splitlines())
        assert statuses.total() == 100
        assert statuses["pending"] + statuses["processing"] > 0
        return statuses

    with (
        server("api_server.py", "API_URL", "--latency=1", "--failures=0.1") as (
            environment,
            stats,
        ),  # slower than requests
        socket.create_server(("127.0.0.1", 0)) as listening,
        httpx2.Client(
            base_url=f"http://127.0.0.1:{listening.getsockname()[1]}",
            limits=httpx2.Limits(max_keepalive_connections=0),  # the next request may be for the next process
            trust_env=False,
            timeout=60,
        ) as client,
    ):
        options = {"cwd": tmp_path, "env": environment}
        with asgi_server(kind, "service_jobs", listening, **options) as child:
            submit(10)
            reader = Thread(target=read)
            reader.start()
            submit(100)
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) in {0, -signal.SIGTERM}
            reader.join(30)
        assert not reader.is_alive()
        assert any(line.startswith("data: ") for line in streamed)
        assert left()["processing"] == 0
        assert stats()["answered_again"] == 0
        with asgi_server(kind, "service_jobs", listening, **options) as child:
            wait_for(completed() + 5)
            os.killpg(child.pid, signal.SIGKILL)
            assert child.wait(30) == -signal.SIGKILL
        left()
        with asgi_server(kind, "service_jobs", listening, **options):
            submit(100)
            wait_for(100)
            found = client.get("/jobs?limit=1000").json()["jobs"]
        seen = stats()
    jobs = {int(job["key"]): (job["id"], job["status"]) for job in found}
    assert jobs == {number: (job, "completed") for number, job in ids.items()}
    assert len(found) == seen["prompts"] == 100
    assert seen["answered_again"] <= 8  # those that ran at the kill
