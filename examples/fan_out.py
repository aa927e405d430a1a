"""
Each night: pages that lead to others, two calls for each user, a digest of both in a process, and rows in SQLite.

``python examples/fan_out.py [DATABASE] [SECONDS]`` makes up a site with 31 pages and 62 users. Pages and calls have
limits for each host. At most two digests run, and the others wait without a slot. A task writes 20 rows at a time.
After SECONDS (60), what still waits is skipped. The first Ctrl-C lets what runs finish, the second one does not. Either
way, the rows of all digests that have ended are written.
"""

import hashlib
import signal
import sqlite3
import sys
from contextlib import closing
from math import inf

import anyio

from lionpride_exec import Concurrent, Event, Executor, Rate, Retry, current_executor

ROWS = 20  # that are written together


class Page(Event[int]):
    """A page. It appends the pages below, and all that is to be done for its two users."""

    number: int
    host = "pages"

    async def _invoke(self):
        await anyio.sleep(0.1)  # stands for a request
        executor, users = current_executor(), (2 * self.number, 2 * self.number + 1)
        below = [Page(number=number) for number in users if 1 < number < 32]
        await executor.extend(below, priority=0, key=lambda page: page.number)
        for user in users:
            calls = await executor.extend([Ask(user=user, what="name"), Ask(user=user, what="orders")], priority=0)
            await executor.append(Collect(user=user), after=calls, priority=0)
        return len(below)


class Ask(Event[str]):
    """One call for a user."""

    user: int
    what: str
    host = "api"

    async def _invoke(self):
        await anyio.sleep(0.05)
        return f"{self.what} of {self.user}"


class Collect(Event[None]):
    """Pass both answers to an event that runs in a process, where ``after_results()`` does not work."""

    user: int
    host = None

    async def _invoke(self):
        answers = await self.after_results()
        await current_executor().append(Digest(user=self.user, answers=answers), priority=0, wait=True)


class Digest(Event[str], run_in="process"):
    """The digest of the answers. Runs in a process."""

    user: int
    answers: list[str]
    host = None

    def _invoke(self):
        return hashlib.pbkdf2_hmac("sha256", "".join(self.answers).encode(), b"salt", 1000).hex()[:16]


def lane(event):
    """Return the key of the limit for all that needs a process. Nothing else is limited by it."""
    return "cpu" if isinstance(event, Digest) else None


LIMITS = [Rate(100, per=1, key="host"), Concurrent(8, key="host"), Concurrent(2, key=lane)]


async def write_batches(rows, path):
    """Write rows as they come, many at a time, until their stream is closed. Then write the rest."""
    batch = []
    with rows:
        async for row in rows:
            batch.append(row)
            if len(batch) == ROWS:
                await anyio.to_thread.run_sync(insert, path, batch)
                batch = []
    await anyio.to_thread.run_sync(insert, path, batch)


def insert(path, batch):
    """Write rows in one transaction."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS digests (user INTEGER PRIMARY KEY, digest)")
        connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", batch)


async def skip_what_waits(executor, seconds):
    """After some seconds, skip what waits: also what waits for its next attempt, or is appended later."""
    await anyio.sleep(seconds)
    while True:
        for event in executor.pending_events:
            executor.skip(event, "the deadline is over")
        await anyio.sleep(0.5)


async def stop_at_signals(executor, group, grace=30):
    """At the first signal let what runs finish, at the second one interrupt it. Then cancel what waits in the group."""

    async def stop(grace):
        await executor.stop(grace)
        group.cancel_scope.cancel()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        group.start_soon(stop, grace)
        await anext(signals)
        group.start_soon(stop, 0)


async def work(executor, seconds):
    """Run the executor until all is done, the deadline is over, or a signal comes."""
    async with executor, anyio.create_task_group() as beside:
        beside.start_soon(stop_at_signals, executor, beside)
        beside.start_soon(skip_what_waits, executor, seconds)
        await executor.append(Page(number=1), priority=0, key=1)
        await executor.join()
        beside.cancel_scope.cancel()


async def main(path, seconds=60):
    """Make the digests of all users. Print how the events have ended."""
    send, receive = anyio.create_memory_object_stream(inf)
    executor = Executor.of(Event, limits=LIMITS, retry=Retry(3, backoff=1), processes=2)

    def note(event, _, status):
        if isinstance(event, Digest) and status == "completed":
            send.send_nowait((event.user, event.response))

    executor.observe(note)
    async with anyio.create_task_group() as group:
        group.start_soon(write_batches, receive, path)
        with send:  # closed when the executor has ended, so the task writes the rest and ends
            await work(executor, seconds)
    print({status: number for status, number in executor.status_counts().items() if number})


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if sys.argv[1:] else "digests.db", float(sys.argv[2]) if sys.argv[2:] else 60)
