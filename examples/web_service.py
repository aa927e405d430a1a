"""
A service in FastAPI: jobs with a journal, each job's transitions as a stream, metrics, and a dashboard.

``python examples/web_service.py`` starts it, with its jobs in ``jobs.db``::

    curl -H 'Idempotency-Key: 1' --json '{"text": "b a b", "seconds": 3}' localhost:8000/jobs   # 202, with the id
    curl localhost:8000/jobs/ID                                                     # status, history, what it waits for
    curl 'localhost:8000/jobs/ID?wait=5'                                            # waits for the end, 5 s at most
    curl -N localhost:8000/jobs/ID/events                                           # its transitions, as they happen
    curl -X DELETE localhost:8000/jobs/ID                                           # if it has not begun
    curl -X DELETE 'localhost:8000/jobs/ID?force=true'                              # also while it runs
    curl localhost:8000/metrics
    xdg-open http://localhost:8000/dashboard/

At SIGTERM no new job starts, and what runs has ``GRACE`` seconds. What has not ended then is in the journal, as it is
after a kill, and the next start goes on with it. Other ASGI servers, and trio::

    uvicorn --app-dir examples --timeout-graceful-shutdown 6 web_service:app
    hypercorn --worker-class trio --graceful-timeout 6 examples/web_service:app
"""

import os
from collections import Counter
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from lionpride_exec import Event, EventStatus, Executor, Journal, Retain, Retry
from lionpride_exec.errors import ExecutorClosedError, JournalError, NotFoundError, QueueFullError
from lionpride_exec.telemetry import PrometheusCollector
from lionpride_exec.web import dashboard

GRACE = 3  # seconds for what runs at SIGTERM
STREAM = 5  # seconds that a request may take, since the stop waits for it. EventSource connects again by itself


class CountWords(Event[dict[str, int]], tag="examples.count_words"):
    """A job: how often each word of a text is there."""

    text: str
    seconds: float = 1.0

    async def _invoke(self):
        if not self.text.split():
            raise ValueError("the text has no words")
        await anyio.sleep(self.seconds)  # stands for work that takes its time
        return dict(Counter(self.text.split()))


def make_executor(path, **options):
    """Return the executor of the service. The journal keeps completed jobs for a week, and memory the last 1,000."""
    journal = Journal(path, ack="strict", retain={"completed": Retain(age=7 * 86_400)})
    options = {"concurrency_limit": 8, "max_queue_size": 10_000, "timeout": 120, "retain": Retain(1000)} | options
    return Executor.of(CountWords, name="jobs", journal=journal, retry=Retry(3, on=OSError), **options)


class NewJob(BaseModel):
    """The body of a request for a job."""

    text: str = Field(max_length=100_000)
    seconds: float = Field(1.0, ge=0, le=60)


class JobView(BaseModel):
    """What an answer tells of a job."""

    id: UUID
    status: EventStatus
    attempt: int
    result: dict[str, int] | None = None
    error: dict[str, str] | None = None
    history: list[tuple[EventStatus, datetime]]
    explanation: str

    @classmethod
    def of(cls, job, executor):
        """Return the view of a job as it is now."""
        shown = {"id": job.id, "status": job.status, "attempt": job.execution.attempt, "history": job.history()}
        if job.status == "completed":
            shown["result"] = job.result()
        elif job.status.is_terminal:
            known = job.execution.to_dict()["error"]  # str(error) differs once the job was read from the journal
            shown["error"] = {name: known[name] for name in ("error", "message")}
        return cls(**shown, explanation=str(executor.explain(job)))


class Changes:
    """Wakes the streams of a job at each of its transitions. One observer, for any number of streams."""

    def __init__(self, executor):
        self.awaited = WeakValueDictionary()  # by job: an event that only the waiting streams keep alive
        executor.observe(self.tell)

    def tell(self, job, *_):
        """Wake the streams of a job."""
        if changed := self.awaited.pop(job.id, None):
            changed.set()

    async def wait(self, job, until):
        """Wait for the next transition of a job. Return whether it came before a time of the event loop's clock."""
        changed = self.awaited.setdefault(job.id, anyio.Event())
        with anyio.CancelScope(deadline=until):
            await changed.wait()
        return changed.is_set()


async def executor_of(request: Request) -> Executor:  # async, as all here: a plain function would run in a thread
    """Return the executor of the application."""
    return request.app.state.executor


Running = Annotated[Executor, Depends(executor_of)]


async def known_job(job_id: UUID, executor: Running) -> Event:
    """Return a job, from memory or from the journal."""
    return await executor.get(job_id)


KnownJob = Annotated[Event, Depends(known_job)]
router = APIRouter()


@router.post("/jobs", status_code=202)
async def submit(
    new: NewJob, executor: Running, response: Response, idempotency_key: Annotated[str | None, Header()] = None
) -> JobView:
    """Take a job in. It is on disk when the client has the answer. A known key returns the known job, with 200."""
    job = CountWords(**new.model_dump())
    known = await executor.append(job, key=idempotency_key)
    response.status_code = 202 if known is job else 200
    return JobView.of(known, executor)


@router.get("/jobs/{job_id}")
async def show(job: KnownJob, executor: Running, wait: Annotated[float, Query(ge=0, le=STREAM)] = 0) -> JobView:
    """Return the state and the result of a job. Wait for its end first, for at most ``wait`` seconds."""
    with anyio.move_on_after(wait):
        await job.wait()
    return JobView.of(job, executor)


@router.delete("/jobs/{job_id}", status_code=202)
async def cancel(job: KnownJob, executor: Running, force: bool = False) -> JobView:
    """Take a job back that has not begun; with ``force`` also one that runs. Answer once its end is on disk."""
    if not executor.cancel(job, "by request", unless_begun=not force):
        raise HTTPException(409, f"the job is {job.status}")
    with anyio.move_on_after(STREAM):
        await job.wait()
    return JobView.of(job, executor)


def transitions_of(job):
    """Return the transitions of a job, each with an id that is the same after a restart."""
    return [(f"{number}-{status}", status, at) for number, (status, at) in enumerate(job.history(), 1)]


async def seen_of(job: KnownJob, last_event_id: Annotated[str | None, Header()] = None) -> int:
    """Return how many transitions of a job the client has. 204 if it has all, so that it does not come again."""
    ids = [one[0] for one in transitions_of(job)]
    seen = ids.index(last_event_id) + 1 if last_event_id in ids else 0
    if job.status.is_terminal and seen == len(ids):
        raise HTTPException(204)
    return seen


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def events(job: KnownJob, seen: Annotated[int, Depends(seen_of)], request: Request):
    """Stream the transitions of a job, from its first one on. A client that connects again misses none."""
    until = anyio.current_time() + STREAM
    while True:
        for name, status, at in transitions_of(job)[seen:]:
            seen += 1
            yield ServerSentEvent(id=name, event=status, data={"status": status, "at": at}, retry=500)
        if seen < len(job.history()):
            continue  # it went on while the client read
        if job.status.is_terminal or not await request.app.state.changes.wait(job, until):
            return


@router.get("/metrics")
async def metrics(request: Request):
    """Return numbers in the text format of Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@asynccontextmanager
async def lifespan(app):
    """Run the jobs while the server runs."""
    async with app.state.executor as executor:
        yield
        await executor.stop(grace=GRACE)


async def refuse(_, error):
    """Answer a request that the executor refuses."""
    if isinstance(error, NotFoundError):
        return JSONResponse({"detail": "there is no such job"}, 404)
    return JSONResponse({"detail": f"try again, with the same Idempotency-Key: {error}"}, 503, {"Retry-After": "5"})


def make_app(path="jobs.db"):
    """Return the application. Its executor starts with the lifespan, in this or in a later process."""
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    for kind in (NotFoundError, QueueFullError, ExecutorClosedError, JournalError):
        app.add_exception_handler(kind, refuse)
    app.state.executor = executor = make_executor(path)
    app.state.changes = Changes(executor)
    app.state.registry = CollectorRegistry()
    app.state.registry.register(PrometheusCollector(executor))
    app.mount("/dashboard", dashboard(executor))  # for browsers on this machine, until it gets an auth=
    return app


app = make_app(os.environ.get("JOBS", "jobs.db"))

if __name__ == "__main__":
    uvicorn.run(app, port=8000, timeout_graceful_shutdown=STREAM + 1)
