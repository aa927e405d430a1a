"""
Write the files that this directory keeps. It ran with the version that the README names, not with the one beside it.

It works in the current directory, which should be empty: ``PYTHONPATH=VERSION_BEFORE python write.py OUTPUT``.
"""

import asyncio
import gzip
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import types
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import lionpride_exec._journal._outcome

from lionpride_exec import (
    Attempt,
    Call,
    Concurrent,
    Deny,
    Element,
    Event,
    EventCancelled,
    EventFailed,
    EventStatus,
    Executor,
    Flow,
    Journal,
    Pile,
    Processor,
    Progression,
    QueueFullError,
    Rate,
    RateLimited,
    RemoteError,
    Retain,
    Retry,
    Skip,
    Unset,
    Wait,
    errors,
    retry_after,
)

HERE, OUTPUT = Path(__file__).parent, Path(sys.argv[1]).absolute()

# Compiled without the path of this machine, which tracebacks would have.
stored_classes = types.ModuleType("stored_classes")
sys.modules["stored_classes"] = stored_classes
exec(compile((HERE / "stored_classes.py").read_text(), "stored_classes.py", "exec"), vars(stored_classes))  # noqa: S102  our own
from stored_classes import (  # noqa: E402  made above
    VALUES,
    Brief,
    Denied,
    Error,
    Given,
    Held,
    Job,
    Place,
    Priced,
    Stream,
    Value,
    double,
    id_of,
    price,
)

outcome = lionpride_exec._journal._outcome
format_traceback = outcome.format_traceback
outcome.format_traceback = lambda error: re.sub(r'File ".*/', 'File "', format_traceback(error))


class Page(Event[str], tag="stored.page", version=1):
    """Has another field in the version that reads it."""

    url: str

    async def _invoke(self):
        return self.url


class Gone(Event[None], tag="stored.gone"):
    """Is unknown to who reads it."""


class StoredProcessor(Processor):
    event_type = Event

    async def request_permission(self, *, name="", **_):
        return Deny("not this one") if name == "denied" else True


class StoredExecutor(Executor):
    processor_type = StoredProcessor


def open_executor(path, *, limits=True, **options):
    config = {"queue_capacity": 1000, "capacity_refresh_time": 0.01, "concurrency_limit": 20}
    if limits:
        config["limits"] = [Rate(1000, per=3.2e9, cost=price), Concurrent(19)]
    return StoredExecutor(config, strict_event_type=False, journal=Journal(path, **options), retain=Retain())


def named(cls, name, **fields):
    return cls(
        id=id_of(name), **({"name": name} if "name" in cls.__annotations__ or issubclass(cls, Job) else {}), **fields
    )


def copy(path, target):
    """Copy a database as it is now: what a process that dies at this moment leaves behind."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", [str(target)])


def keep(path, name):
    """Keep a copy of a database as it is now."""
    copy(path, "copy.db")
    (OUTPUT / name).write_bytes(gzip.compress(Path("copy.db").read_bytes(), mtime=0))
    Path("copy.db").unlink()


async def write_journal():
    types_ = {"stored.double": double}
    executor = open_executor("run.db", types=types_)
    async with executor:
        for name in VALUES:
            await executor.append(named(Value, name, pair=(1, 2), metadata={"of": name}), key=name)
        await executor.append(Place(id=id_of("place")))
        await executor.append(Stream(id=id_of("stream")))
        await executor.append(Priced(id=id_of("priced")))
        await executor.append(Call(id=id_of("double"), function=double, args=(21,)), key=[1, "b"])
        for name in ("value", "remote", "group", "skip"):
            await executor.append(named(Error, name))
        await executor.append(Error(id=id_of("limited"), name="limited", fails=1))
        await executor.append(Error(id=id_of("retried"), name="value", fails=2, retry=Retry(3, backoff=0.0)))
        await executor.append(named(Job, "late", seconds=60.0, timeout=0.05))
        await executor.append(named(Denied, "denied"))
        cancelled = await executor.append(named(Job, "cancelled", seconds=60.0))
        await asyncio.sleep(0.1)
        executor.cancel(cancelled)
        await executor.join()
        await executor.append(Error(id=id_of("skipped"), name="skip"), key=5)
    executor = open_executor("run.db", types=types_)
    async with executor:
        await executor.append(named(Job, "running twice", seconds=60.0))
        await asyncio.sleep(0.2)
        executor.pause()
        await executor.append(named(Job, "removed"), key="removed")
        await executor.cleanup_events(["pending"])
        await asyncio.sleep(0.3)
        copy("run.db", "run2.db")
        executor.resume()
        await executor.stop(grace=0.0)
    executor = open_executor("run2.db", types=types_)
    async with executor:
        for cls in (Held, Given, Brief, Job):
            await executor.append(named(cls, f"running {cls.__name__.lower()}", seconds=60.0))
        await executor.append(Error(id=id_of("with an attempt"), name="value", fails=1, retry=Retry(3, backoff=30.0)))
        await asyncio.sleep(0.2)
        executor.pause()
        pending = await executor.append(named(Job, "pending"), priority=-5.0, key="pending")
        await executor.append(named(Job, "delayed"), delay=30.0)
        await executor.append(named(Job, "after pending"), after=[pending])
        await executor.append(named(Job, "after completed"), after=[id_of("place")])
        await executor.append(named(Job, "after held"), after=[id_of("running held")])
        await executor.append(Error(id=id_of("with retry"), name="value", fails=1, retry=Retry(2, backoff=0.0)))
        await executor.append(Page(id=id_of("page"), url="there"))
        await executor.append(Gone(id=id_of("gone")))
        await executor.append(named(Job, "after gone"), after=[id_of("gone")])
        await executor.append(Call(id=id_of("double later"), function=double, args=(4,)))
        await asyncio.sleep(0.3)
        keep("run2.db", "journal.db.gz")
        executor.resume()
        await executor.stop(grace=0.0)


async def write_journal_without_trail():
    executor = open_executor("strict.db", audit=False, ack="strict", limits=False)
    async with executor:
        await (await executor.append(named(Job, "done"), key="done")).wait()
        await executor.append(named(Job, "running job", seconds=60.0))
        await asyncio.sleep(0.2)
        executor.pause()
        await executor.append(named(Job, "pending"))
        await asyncio.sleep(0.3)
        keep("strict.db", "strict_no_trail.db.gz")
        executor.resume()
        await executor.stop(grace=0.0)


def write_command():
    """Run the command over three lines; it dies at the last but one."""
    Path("stored_classes.py").write_text((HERE / "stored_classes.py").read_text())
    lines = [{"n": number} for number in (1, 2, 3, 4)]
    Path("input.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["run", "stored_classes.py:fetch", "input.jsonl", "--output", "output.jsonl", "--journal", "command.db"]
    program = [sys.executable, "-m", "lionpride_exec", *command, "--concurrency", "1", "--progress", "none"]
    done = subprocess.run(program, env=os.environ | {"DIES": "1"}, check=False)  # noqa: S603  our own
    assert done.returncode == 1
    keep("command.db", "command.db.gz")
    for name in ("input.jsonl", "output.jsonl"):
        (OUTPUT / f"command_{name}").write_bytes(Path(name).read_bytes())


async def elements():
    """Return elements by name, in every form and status."""
    executor = StoredExecutor(
        {"queue_capacity": 1000, "capacity_refresh_time": 0.01, "retry": Retry(2, backoff=1000.0, on=ValueError)},
        strict_event_type=False,
    )
    found = {
        "element": Element(id=id_of("element"), metadata={"a": [1]}),
        "event": Event(id=id_of("event"), timeout=5.0, retry=Retry(4, backoff=0.5)),
        "pending": named(Job, "pending"),
        "call": Call(id=id_of("call"), function=double, args=(1,)),
        "from record": Call.from_dict(Call(id=id_of("from record"), function=double, args=(1,)).to_dict("json")),
        "completed": Call(id=id_of("completed"), function=double, args=(21,)),
        "stream": Stream(id=id_of("stream")),
        "failed": Error(id=id_of("failed"), name="remote", retry=Retry(1)),
        "group": Error(id=id_of("group"), name="group", retry=Retry(1)),
        "waiting for its retry": Error(id=id_of("waiting for its retry"), name="value"),
        "skipped": Error(id=id_of("skipped"), name="skip"),
        "aborted": named(Denied, "denied"),
        "cancelled": named(Job, "cancelled", seconds=60.0),
        "processing": named(Job, "processing", seconds=60.0),
    }
    progression = Progression(id=id_of("progression"), name="order", order=[id_of(str(n)) for n in range(5)])
    progression.remove(id_of("2"))
    async with executor:
        for name in list(found)[5:]:
            await executor.append(found[name])
        await asyncio.sleep(0.2)
        executor.cancel(found["cancelled"])
        await asyncio.sleep(0.1)
        found["progression"] = progression
        kept = {name: [pickle.dumps(one, protocol) for protocol in range(2, 6)] for name, one in found.items()}
        dicts = {name: one.to_dict("json") for name, one in found.items()}
        others = {
            "progress": executor.progress(),
            "explanation": executor.explain(found["waiting for its retry"]),
            "attempts": found["waiting for its retry"].execution.attempts,
            "execution": found["completed"].execution,
        }
        kept |= {name: [pickle.dumps(one, protocol) for protocol in range(2, 6)] for name, one in others.items()}
        executor.cancel(found["processing"])
        executor.cancel(found["waiting for its retry"])
    return kept, dicts


def values():
    """Return what is no element and can be pickled, by name."""
    return {
        "statuses": list(EventStatus),
        "unset": Unset,
        "attempt": Attempt(1, datetime_of(0), datetime_of(1), error=ValueError("x"), interrupted=True),
        "retry": Retry(4, backoff=0.5, on=(ValueError, RateLimited)),
        "rate": Rate(3, per=2.0, cost=price),
        "concurrent": Concurrent(2, key=price),
        "deny": Deny("no"),
        "wait": Wait(1.5),
        "retain": Retain(count=3),
        "journal": Journal("/nowhere/run.db", types={"stored.double": double}),
        "functions": [retry_after, double, Event.invoke, Event.wait],
        "classes": [Element, Event, Call, Job, Pile, Flow, Progression, Executor, Processor, EventStatus],
        "rate limited": RateLimited("slow", retry_after=3.0),
        "skip": Skip("no"),
        "failed": EventFailed("failed"),
        "cancelled": EventCancelled("cancelled"),
        "remote": RemoteError("far", "there.Far", "Traceback\n", retryable=False, details={"a": 1}),
        "full": QueueFullError("full", details={"size": 3}),
        "transition": errors.InvalidTransition(id_of("event"), EventStatus.COMPLETED, EventStatus.PENDING),
        "journal error": errors.JournalLockedError("locked"),
        "group": ExceptionGroup("both", [ValueError("one"), Skip("two")]),
    }


def datetime_of(second):
    """Return a moment of the year 2026."""
    return datetime(2026, 1, 1, second=second, tzinfo=UTC)


def containers():
    flow = Flow(id=id_of("flow"), name="flow")
    events = [named(Job, f"flow {number}") for number in range(3)]
    progression = Progression(id=id_of("ready"), name="ready")
    flow.add_progression(progression)
    for event in events:
        flow.add_item(event, progressions="ready")
    pile = Pile([named(Job, "piled")], item_type=Event, id=id_of("pile"))
    return {"flow": flow, "pile": pile}


def write_elements():
    kept, dicts = asyncio.run(elements())
    kept |= {
        f"value: {name}": [pickle.dumps(one, protocol) for protocol in range(2, 6)] for name, one in values().items()
    }
    for at, protocol in enumerate(range(2, 6)):
        stored = pickle.dumps({name: each[at] for name, each in kept.items()}, protocol)
        (OUTPUT / f"pickles_{protocol}.gz").write_bytes(gzip.compress(stored, mtime=0))
    dicts |= {name: one.to_dict("json") for name, one in containers().items()}
    texts = {name: one.to_json() for name, one in containers().items()}
    for_db = {name: one.to_dict("db", created_at_format="isoformat") for name, one in containers().items()}
    everything = {"dicts": dicts, "texts": texts, "db": for_db}
    (OUTPUT / "elements.json").write_text(json.dumps(everything, indent=1, sort_keys=True))


if __name__ == "__main__":
    OUTPUT.mkdir(exist_ok=True)
    asyncio.run(write_journal())
    asyncio.run(write_journal_without_trail())
    write_command()
    write_elements()
