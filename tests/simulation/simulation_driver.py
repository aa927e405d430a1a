"""Runs a workload: one process, or, with a journal, one after the other until all is done."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import anyio
import simulation_events
from anyio import current_time
from journal_support import crash as copy_of
from simulation_callers import Callers
from simulation_events import LIMITS, AskedExecutor, Bodies, SimulatedExecutor
from simulation_moves import Moves
from simulation_surroundings import CALLER, Surroundings
from support import owner_of, view_of

from lionpride_exec import EventStatus, Journal, Retain, Retry
from lionpride_exec.testing import check_invariants, record

# Processes after which there are no more crashes.
MAX_LIVES = 8

# Seconds within which everything has to be over.
FOR_EVER = 100_000


class Remains(NamedTuple):
    """What is left of a process: a file, and what was known of the world when it died."""

    path: Path
    point: str
    length: int  # of the trace
    taken: set  # ids of events that were acknowledged
    rows: dict  # statuses in the file, by id


def read_rows(path):
    """Give the statuses in a file, by the ids of the events."""
    with closing(sqlite3.connect(path)) as connection:
        return {UUID(bytes=key): status for key, status in connection.execute("SELECT id, status FROM event")}


class Driver(Callers, Moves, Bodies, Surroundings):
    """
    Runs a workload, and keeps a record of what happened for the judge.

    Args:
        workload: What to do.
        directory: For the files of a journal.
    """

    def __init__(self, workload, directory):
        super().__init__()
        self.workload, self.setup, self.works = workload, workload.setup, workload.works
        self.plan = workload.plan()
        self.directory = directory
        self.records = []  # one for each life
        self.trace = []  # (life, time, event, previous, status)
        self.bodies = {}  # how the runs of an event ended, by id
        self.taken = {}  # events that append() gave back, by id
        self.refused = []  # events that it did not take
        self.unwritten = set()  # ids of events that moved while that could not be written
        self.abandoned = {}  # when the caller has gone who invoked an event, by its id
        self.piped = []  # (caller, names of the events that came out of its pipeline)
        self.told = set()  # ids of events that cancel() or skip() has ended
        self.is_interrupted = False  # what ran was cancelled
        self.crashes = []  # the remains of each life that ended so
        self.watched = []  # (first, transitions)
        self.read = []  # (event, chunks)
        self.reading = []  # (event, scope of who reads its chunks)
        self.asked = {}  # how often, by the name of the event
        self.answers = []  # of the gate: (life, time, name of the event, answer)
        self.life, self.is_dead, self.executor, self.process = 0, False, None, None

    # ---------------------------------------------------------------- processes

    async def run(self):
        """Do all there is to do."""
        simulation_events.current = self
        path = self.directory / "0.db" if self.setup.journal else None
        with anyio.fail_after(FOR_EVER):
            await self.live(path)
            while self.is_dead:
                self.life, self.is_dead = self.life + 1, False
                await self.live(self.crashes[-1].path)

    async def live(self, path):
        """Be one process."""
        kind = AskedExecutor if self.setup.gate else SimulatedExecutor
        with self.plan.applied(kind, on_crash=self.crash), anyio.CancelScope() as self.process:
            self.path = path
            self.executor = kind(
                self.config(), journal=self.journal(path), retain=self.retain(),
                lifespan=self.lifespan, middleware=[self.around], carry=[CALLER],
            )  # fmt: skip
            self.executor.observe(self.note)
            if (planned := self.setup.planned) is not None:
                self.executor.schedule(
                    self.event_of_schedule, trigger=planned.after, overlap=planned.overlap, name="simulation"
                )
            self.records.append(record(self.executor, label="name"))
            async with anyio.create_task_group() as self.group:
                self.group.start_soon(self.look)
                async with anyio.create_task_group() as self.readers:  # whoever reads comes to an end by itself
                    await self.own()
                    self.dismiss_readers()
                self.group.cancel_scope.cancel()

    def dismiss_readers(self):
        """Send those away who wait for events that were never taken."""
        for event, scope in self.reading:
            if owner_of(event) is None and event.status is EventStatus.PENDING:
                scope.cancel()
        self.reading.clear()

    async def look(self):
        """Look whether all is well while everybody else is blocked: now and then, at moments that are nobody else's."""
        for number in range(1, 21):
            await anyio.sleep(number * 0.7310585)
            if not self.is_dead:
                # A worker that is made to dawdle looks like a lost wake-up.
                check_invariants(self.executor, at_rest=not {"slot:before", "pick:before"} & self.plan.faults.keys())

    def config(self):
        setup = self.setup
        return {
            "queue_capacity": setup.capacity,
            "capacity_refresh_time": setup.refresh,
            "concurrency_limit": setup.concurrency,
            "max_queue_size": setup.room,
            "limits": [LIMITS[name] for name in setup.limits],
            "retry": None if setup.attempts is None else Retry(setup.attempts, backoff=0.7, jitter=0),
            "timeout": setup.timeout,
        }

    def journal(self, path):
        return None if path is None else Journal(path, ack=self.setup.journal, synchronous="NORMAL")

    def retain(self):
        return None if self.setup.retain is None else Retain(self.setup.retain)

    def crash(self, point):
        """Die: what is on disk now is what is left."""
        if not self.is_dead and self.life < MAX_LIVES and self.path.exists():
            self.is_dead = True
            copy = copy_of(self.path, f"{self.life + 1}.db")
            # Another one to look at: whoever opens a file tidies it up.
            rows = read_rows(copy_of(self.path, f"{self.life + 1}-look.db"))
            self.crashes.append(Remains(copy, point, len(self.trace), set(self.taken), rows))
            self.process.cancel()

    async def own(self):
        """Be the owner of the executor, in one of the three ways."""
        executor = self.executor
        if self.setup.lifetime == "block":
            async with executor:
                await self.bring_all()
        elif self.setup.lifetime == "run":
            await self.group.start(executor.run)
            await self.bring_all()
            await executor.join()
            await executor.stop()
        else:
            try:
                await executor.start()
                await self.bring_all()
                await executor.join()
            finally:
                with anyio.CancelScope(shield=True):
                    await executor.stop(grace=0 if self.is_dead else None)

    async def bring_all(self):
        """Run the callers and what else there is; return when they have done what they do."""
        for number, buffer in enumerate(self.workload.watchers):
            seen = []
            self.watched.append((self.life, len(self.trace), seen))
            self.group.start_soon(self.read_transitions, self.executor.watch(buffer=buffer), number, seen)
        async with anyio.create_task_group() as group:
            self.waiting = group
            for caller in self.workload.callers:
                group.start_soon(self.call, caller, name=caller.name)
            for move in self.workload.moves:
                group.start_soon(self.move, move, name=str(move))

    def note(self, event, previous, status):
        if not self.is_dead:
            self.trace.append((self.life, round(current_time(), 6), event, previous, status))
            session = view_of(self.executor).journal_session
            # Closed, it is written at the next start; and who is cancelled while nothing can be written does not wait.
            if self.executor.journal is not None and (session is None or session.writer.trouble is not None):
                self.unwritten.add(event.id)
