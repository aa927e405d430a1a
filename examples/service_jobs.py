"""
A service: jobs over HTTP, which neither a stop nor a kill loses.

``python examples/service_jobs.py`` starts the API that the jobs call (``api_server.py``), and the service itself::

    curl -H 'Idempotency-Key: 1' -d '{"prompt": "hello"}' localhost:8000/jobs    # a known key is the known job
    curl localhost:8000/jobs/ID                                                 # status, history, what it waits for
    curl 'localhost:8000/jobs?status=failed&limit=10'                           # a page, and what is before it
    curl -X POST localhost:8000/jobs/ID/retry
    curl -X DELETE localhost:8000/jobs/ID                                       # if it has not begun
    curl -X DELETE 'localhost:8000/jobs/ID?force=true'                          # also while it runs
    curl localhost:8000/metrics
    curl -N localhost:8000/events                                               # transitions, as they happen

At SIGTERM, what runs has ``GRACE`` seconds. What has not ended then is in ``jobs.db``. The next start goes on with it,
also after a kill. Any ASGI server can run the service, on trio too, with the URL of an API in ``API_URL``::

    uvicorn --app-dir examples --timeout-graceful-shutdown 2 service_jobs:app
    hypercorn --worker-class trio --graceful-timeout 2 examples/service_jobs:app
"""

import json
import os
from contextlib import aclosing, asynccontextmanager
from functools import partial

import httpx2
import uvicorn
from local_server import started
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from lionpride_exec import Event, Executor, Journal, Rate, RateLimited, Retain, Retry, lifespan_value, retry_after
from lionpride_exec.errors import EventNotFinished, ExecutorClosedError, JournalError, NotFoundError, QueueFullError

GRACE = 5  # seconds, less than what starts this process gives it


@asynccontextmanager
async def open_client():
    """One client for all jobs. Each call has a timeout, which is that of its job."""
    options = {"headers": {"Authorization": "Bearer key"}, "timeout": None, "trust_env": False}
    async with httpx2.AsyncClient(base_url=os.environ["API_URL"], **options) as client:
        yield client


class Job(Event[str], tag="examples.job"):
    """One prompt. The result is the answer of the API."""

    prompt: str
    max_tokens: int = 100

    async def _invoke(self):
        record = {"prompt": self.prompt, "max_tokens": self.max_tokens}
        answer = await lifespan_value(open_client).post("/v1/generate", json=record)
        if answer.status_code == 429:
            raise RateLimited("429", retry_after=retry_after(answer))
        return answer.raise_for_status().json()["text"]


def make_executor(path="jobs.db"):
    """Return the executor of the service. Its journal keeps what has completed for a week."""
    options = {"limits": Rate(150, per=2, hold=True, name="api"), "concurrency_limit": 8, "max_queue_size": 10_000}
    journal = Journal(path, ack="strict", retain={"completed": Retain(age=7 * 86_400)})
    return Executor.of(Job, journal=journal, retry=Retry(3, backoff=0.5), timeout=10, lifespan=open_client, **options)


@asynccontextmanager
async def lifespan(app):
    """Run the jobs while the server runs."""
    async with make_executor() as app.state.executor:
        yield
        await app.state.executor.stop(grace=GRACE)


async def submit(request):
    """Take a job in. It is on disk when the client has the answer. A known key returns the known job."""
    try:
        job = Job(**await request.json())
    except TypeError as error:
        raise ValueError(str(error)) from error  # 400, as below
    key, unique = request.headers.get("idempotency-key"), request.query_params.get("unique", "ever")
    known = await request.app.state.executor.append(job, key=key, unique=unique)
    return JSONResponse({"id": str(known.id), "status": known.status}, 202 if known is job else 200)


async def show(request):
    """Return everything about one job."""
    executor = request.app.state.executor
    job = await executor.get(request.path_params["id"])
    history = [[status, at.isoformat()] for status, at in job.history()]
    shown = {"id": str(job.id), "prompt": job.prompt, "history": history, "explanation": str(executor.explain(job))}
    return JSONResponse(shown | job.execution.to_dict())


async def find(request):
    """Return a page of jobs. ``before`` of the answer is the argument for the next page, or null."""
    asked = request.query_params
    limit = int(asked.get("limit", 100))
    page = await request.app.state.executor.find(limit=limit, status=asked.get("status"), before=asked.get("before"))
    jobs = [{"id": str(one.id), "status": one.status, "key": one.key, "error": one.error} for one in page]
    return JSONResponse({"jobs": jobs, "before": jobs[-1]["id"] if len(jobs) == limit else None})


async def retry(request):
    """Run a job again that has ended."""
    job = await request.app.state.executor.retry(request.path_params["id"])
    return JSONResponse({"id": str(job.id), "status": job.status}, 202)


async def cancel(request):
    """Take a job back that has not begun; with ``force=true`` also one that has: if it runs, it ends soon."""
    executor, force = request.app.state.executor, request.query_params.get("force") == "true"
    job = await executor.get(request.path_params["id"])
    if not executor.cancel(job, "by request", unless_begun=not force):
        return JSONResponse({"error": f"the job is {job.status}"}, 409)
    return JSONResponse({"id": str(job.id), "status": job.status}, 202)


async def metrics(request):
    """Return numbers in the text format of Prometheus."""
    now = request.app.state.executor.statistics()
    numbers = {f'jobs{{status="{status}"}}': number for status, number in now.status_counts.items()}
    numbers |= {f'jobs_waiting{{for="{reason}"}}': number for reason, number in now.waits.items()}
    numbers |= {f'limit_used{{name="{use.limit.name}"}}': use.used for use in now.limits}
    numbers |= {name: getattr(now, name) for name in ("running", "queued", "retries", "rate_limited")}
    return PlainTextResponse("".join(f"{name} {number}\n" for name, number in numbers.items()))


class ClosedStream(StreamingResponse):
    """A stream whose generator is closed with it, also if the client goes away while a line is sent."""

    async def stream_response(self, send):
        """Send the lines."""
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


async def events(request):
    """Stream each transition from now on, as server-sent events. A client that reads too slowly misses some."""
    transitions = request.app.state.executor.watch(on_full="drop")

    async def lines():
        async with transitions:
            async for one in transitions:
                told = {"id": str(one.event_id), "status": one.status, "attempt": one.attempt, "at": one.at.isoformat()}
                told |= {"error": one.error and str(one.error), "missed": transitions.missed}
                yield f"event: transition\ndata: {json.dumps(told)}\n\n"

    return ClosedStream(lines(), media_type="text/event-stream")


async def refuse(code, _, error):
    """Answer a request that the executor refuses."""
    return JSONResponse({"error": str(error)}, code)


ROUTES = [
    Route("/jobs", submit, methods=["POST"]),
    Route("/jobs", find),
    Route("/jobs/{id:uuid}", show),
    Route("/jobs/{id:uuid}", cancel, methods=["DELETE"]),
    Route("/jobs/{id:uuid}/retry", retry, methods=["POST"]),
    Route("/metrics", metrics),
    Route("/events", events),
]
CODES = {ValueError: 400, NotFoundError: 404, EventNotFinished: 409}
CODES |= dict.fromkeys([QueueFullError, ExecutorClosedError, JournalError], 503)  # try again later, with the same key
REFUSALS = {error: partial(refuse, code) for error, code in CODES.items()}
app = Starlette(routes=ROUTES, lifespan=lifespan, exception_handlers=REFUSALS)

if __name__ == "__main__":
    with started("api_server.py", "API_URL", "--failures=0.1", "--hopeless=0.1"):
        uvicorn.run(app, port=8000, timeout_graceful_shutdown=2)
