"""
What does a journal cost, and does it keep out of the way?

Events appended and their end awaited, 100 at a time: at least 15,000 a second. By 100 callers of ``invoke()`` at most
30 us of CPU more than without a journal, by ``extend()`` at most 40. A lone append with FULL: p50 of 1 ms, p99 of
10 ms. A commit of 1,000 rows beside a thread that computes: 100 ms. The event loop is held up by at most 5 ms more at
p99. A journal of 1,000,000 events, 1,000 of them open, is opened within 1 s, in flat memory. When the disk is full,
nothing that was acknowledged is lost, and it goes on once there is room.

The files are in the directory for temporary files (``TMPDIR``): FULL is as fast as that disk is.
"""

import multiprocessing
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from uuid import uuid4

import anyio
from _harness import BACKENDS, Benchmark, collected, judged
from _rivals import Noop, NoopExecutor, make_executor
from _targets import Spread

from lionpride_exec import Journal, JournalError
from lionpride_exec._journal import rows as _rows
from lionpride_exec._journal import store as _store
from lionpride_exec._journal.journal import Ack, Synchronous

AT_ONCE = 100
AIMED_AT = 15_000  # events in a second
CONFIG = make_executor().processor_config

Load = Callable[[NoopExecutor, int], Awaitable[None]]


@contextmanager
def new_file() -> Iterator[Path]:
    """Yield a path for a journal; its directory goes afterwards."""
    with TemporaryDirectory(prefix="journal-") as directory:
        yield Path(directory) / "run.db"


def make_journal(path: Path, *, ack: Ack = "lazy", synchronous: Synchronous = "FULL") -> Journal:
    """Make a journal for no-op events."""
    return Journal(path, ack=ack, synchronous=synchronous, types={"noop": Noop})


def run(backend: str, function: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run an async function on a backend."""
    name, options = BACKENDS[backend]
    anyio.run(function, *args, backend=name, backend_options=options)


# -------------------------------------------------------------------- throughput and CPU


async def callers(executor: NoopExecutor, n: int) -> None:
    """Let 100 tasks invoke one event after the other."""

    async def call() -> None:
        for number in range(n // AT_ONCE):
            await executor.invoke(Noop(a=number))

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(call)


async def batches(executor: NoopExecutor, n: int) -> None:
    """Append 100 events together, wait for each, and go on with the next."""
    for _ in range(n // AT_ONCE):
        for event in await executor.extend([Noop(a=number) for number in range(AT_ONCE)]):
            await event.wait()


async def work(load: Load, n: int, journal: Journal | None) -> None:
    """Let an executor do it, from its start to its end."""
    executor = NoopExecutor(CONFIG, journal=journal)
    async with executor:
        await load(executor, n)
    assert executor.status_counts()["completed"] == n


class Costs:
    """Measures microseconds per event: the time, and beside it the CPU that all threads take."""

    def __init__(self) -> None:
        self.cpu: dict[str, list[float]] = {}

    def measure(self, name: str, backend: str, load: Load, n: int, options: dict[str, str] | None) -> float:
        """Run once, with a journal of these options, or without one."""
        with new_file() as path, collected():
            journal = None if options is None else make_journal(path, **options)  # type: ignore[arg-type]  # a dict of plain texts
            wall, cpu = time.perf_counter(), time.process_time()
            run(backend, work, load, n, journal)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.cpu.setdefault(name, []).append(cpu / n * 1e6)
        return wall / n * 1e6


def throughput(benchmark: Benchmark, backend: str, load: Load) -> None:
    """Measure time and CPU per event, with journals and without."""
    n = 5_000 if benchmark.quick else 20_000
    kinds: dict[str, dict[str, str] | None] = {
        "without": None,
        "NORMAL": {"synchronous": "NORMAL"},
        "FULL": {"synchronous": "FULL"},
        "FULL, strict": {"synchronous": "FULL", "ack": "strict"},
    }
    if not benchmark.wants():
        kinds = {name: kinds[name] for name in ("without", "FULL")}  # those of the rows
    costs = Costs()
    seen: dict[str, list[float]] = {name: [] for name in kinds}

    def once(name: str) -> float:
        seen[name].append(costs.measure(name, backend, load, n, kinds[name]))
        return seen[name][-1]

    benchmark.race(
        f"{backend}, {load.__name__}: time per event, n = {n:,}",
        {name: partial(once, name) for name in kinds},
        rounds=3 if benchmark.quick else 7,
        baseline="without",
        unit="us",
    )
    times = {name: median(its) for name, its in seen.items()}
    added = {
        name: Spread.of(one - base for one, base in zip(its, costs.cpu["without"], strict=True))
        for name, its in costs.cpu.items()
    }
    for name in list(kinds)[1:]:
        counts = judged(backend) and "strict" not in name
        print(f"  {name}: {1e6 / times[name]:,.0f} events/s; CPU per event {median(costs.cpu[name]):.1f} us")
        if load is callers and name == "FULL":
            benchmark.judge("callers-rate", Spread.of(1e6 / time_ for time_ in seen[name]), backend)
            benchmark.judge("callers-cpu", added[name], backend)
            continue
        benchmark.target(f"{name}: time per event", times[name], 1e6 / AIMED_AT, unit="us", counts=counts)
        benchmark.target(f"{name}: CPU added", added[name].middle, 40, unit="us", counts=counts)


# -------------------------------------------------------------------- delays


def show(title: str, times: list[float]) -> tuple[float, float]:
    """Print times, given in seconds, as milliseconds; give the median and the 99th percentile."""
    cuts = quantiles(times, n=100)
    p50, p99, most = median(times) * 1e3, cuts[98] * 1e3, max(times) * 1e3
    print(f"  {title}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms")
    return p50, p99


async def lone_appends(n: int, path: Path, times: list[float]) -> None:
    """Append when nothing else is to be done, and note how long that takes."""
    async with NoopExecutor(CONFIG, journal=make_journal(path)) as executor:
        for number in range(n):
            began = time.perf_counter()
            event = await executor.append(Noop(a=number))
            times.append(time.perf_counter() - began)
            await event.wait()
            await anyio.sleep(0.005)  # its end is written


def lone_append(benchmark: Benchmark, backend: str) -> None:
    """Measure appends one at a time."""
    n = 200 if benchmark.quick else 1_000
    times: list[float] = []
    with new_file() as path:
        run(backend, lone_appends, n, path, times)
    print(f"\n{backend}: a lone append, FULL, n = {n:,}")
    p50, p99 = show("append", times)
    benchmark.target("p50", p50, 1, unit="ms", counts=judged(backend))
    benchmark.target("p99", p99, 10, unit="ms", counts=judged(backend))


async def paced(seconds: float, journal: Journal | None, late: list[float]) -> None:
    """Invoke 100 events every 20 ms, and note how late a ticker wakes."""
    executor = NoopExecutor(CONFIG, journal=journal)

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await anyio.sleep(0.001)
            late.append(time.perf_counter() - began - 0.001)

    async with executor, anyio.create_task_group() as group:
        group.start_soon(tick)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            await executor.extend([Noop(a=number) for number in range(AT_ONCE)])
            await anyio.sleep(0.02)
        group.cancel_scope.cancel()


def lag(benchmark: Benchmark, backend: str) -> None:
    """Measure how much later the event loop comes to its tasks."""
    seconds, rounds = (1.0, 3) if benchmark.quick else (4.0, 5)
    added = []
    print(f"\n{backend}: lag of the event loop, {rounds} rounds, {seconds:.0f} s each, about 4,000 events/s")
    for _ in range(rounds):
        p99 = []
        for name, with_journal in (("without", False), ("FULL", True)):
            late: list[float] = []
            with new_file() as path, collected():
                run(backend, paced, seconds, make_journal(path) if with_journal else None, late)
            p99.append(show(f"{name:7}", late)[1])
        added.append(p99[1] - p99[0])
    benchmark.target("added at p99, median of the rounds", median(added), 5, unit="ms", counts=judged(backend))


# -------------------------------------------------------------------- the store


def fill(store: _store.Store, encoded: bytes, n: int, is_open: Callable[[int], bool], at_once: int = 10_000) -> None:
    """Write n events as three transitions each leave them; those that are open are PENDING."""
    for begin in range(0, n, at_once):
        batch, now = _rows.Batch(), time.time()
        for seq in range(begin + 1, min(begin + at_once, n) + 1):
            batch.new.append(_rows.NewRow(seq, uuid4().bytes, encoded, None, None, None, None, "pending", now, None))
            batch.steps.append(_rows.AuditRecord(seq, now, "pending", 0, None))
            if not is_open(seq):
                batch.changes[seq] = _rows.RowUpdate(seq, "completed", 1, None, now, now, b'{"duration":0.1}', None)
                batch.steps.append(_rows.AuditRecord(seq, now, "processing", 1, None))
                batch.steps.append(_rows.AuditRecord(seq, now, "completed", 1, None))
        store.commit(batch)


def encoded_noop(path: Path) -> bytes:
    """Give a no-op event as it stands in a journal."""
    return make_journal(path)._codec.encode(Noop(a=1, b="text"))


def commit_beside_a_loop(benchmark: Benchmark) -> None:
    """Measure commits of 1,000 rows, and of 1,000 events with their audit trail, beside a thread that computes."""
    n = 10 if benchmark.quick else 50
    print(f"\na commit beside a thread that computes, FULL, n = {n}")
    for title, events, counts in (
        ("1,000 rows: 500 events, with their audit trail", 500, True),
        ("2,000 rows: 1,000 events, with their audit trail", 1000, True),
    ):
        times: list[float] = []
        with new_file() as path:
            thread = threading.Thread(target=commits, args=(path, events, n, times))
            thread.start()
            number = 0
            while thread.is_alive():
                number += 1  # computes
            thread.join()
        p50, _ = show(title, times)
        benchmark.target("median", p50, 100, unit="ms", counts=counts)


def commits(path: Path, events: int, n: int, times: list[float]) -> None:
    """Note how long n commits of new events take."""
    store, encoded = _store.Store(path), encoded_noop(path)
    store.open()
    for number in range(n):
        seqs = range(number * events + 1, (number + 1) * events + 1)
        rows = [_rows.NewRow(seq, uuid4().bytes, encoded, None, None, None, None, "pending", 0.0, None) for seq in seqs]
        batch = _rows.Batch(new=rows, steps=[_rows.AuditRecord(seq, 0.0, "pending", 0, None) for seq in seqs])
        began = time.perf_counter()
        store.commit(batch)
        times.append(time.perf_counter() - began)
    store.close()


def peak() -> float:
    """Give the most memory that this process has had so far, in MiB. Not ``ru_maxrss``: that counts its parent's."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def opened(path: Path, results: Connection) -> None:
    """Open a journal, tell the seconds and MB that this took, and end the process before anything runs."""
    executor = NoopExecutor(CONFIG, journal=make_journal(path))
    before = peak()
    began = time.perf_counter()
    async with executor:
        took = time.perf_counter() - began
        results.send((took, peak() - before, executor.status_counts()))
        os._exit(0)


def opening(benchmark: Benchmark) -> None:
    """Measure the opening of a large file, in processes of their own."""
    n = 100_000 if benchmark.quick else 1_000_000
    with new_file() as path:
        store = _store.Store(path, "NORMAL")
        store.open()
        fill(store, encoded_noop(path), n, lambda seq: not seq % (n // 1000))
        store.close()
        print(f"\nopening a journal of {n:,} events ({path.stat().st_size / 2**20:.0f} MiB), 1,000 of them open")
        for backend in benchmark.backends:
            figures = []
            for _ in range(3 if benchmark.quick else 5):
                here, there = multiprocessing.Pipe()
                # Not forked: what this process has grown to would count.
                process = multiprocessing.get_context("spawn").Process(target=run, args=(backend, opened, path, there))
                process.start()
                took, grown, counts = here.recv()
                process.join()
                assert (counts["completed"], counts["pending"] + counts["processing"]) == (n - 1000, 1000)
                figures.append((took, grown))
            took, grown = median(took for took, _ in figures), max(grown for _, grown in figures)
            benchmark.target(f"{backend}: opening", took, 1, unit="s", counts=judged(backend))
            benchmark.target(f"{backend}: memory", grown, 50, unit="MiB", counts=judged(backend))


# -------------------------------------------------------------------- a full disk


def set_room(executor: NoopExecutor, pages: int | None) -> None:
    """Let the file of a journal grow by so many pages only; None: without a bound."""
    link = executor._link
    assert link is not None
    assert link.session is not None
    store = link.session.store
    with store._lock:
        connection = store._open_connection()
        count: int = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {2**30 if pages is None else count + pages}")


async def fill_disk(path: Path, ack: Ack, acked: list[str], pauses: list[float]) -> None:
    """Append until the disk is full, make room, and append until that works again."""
    executor = NoopExecutor(CONFIG, journal=make_journal(path, ack=ack))

    async def append() -> None:
        while True:
            try:
                acked.append(str((await executor.append(Noop(), wait=True)).id))
            except JournalError:
                return

    async with executor:
        set_room(executor, 100)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(append)
        set_room(executor, None)
        began = time.perf_counter()
        while True:
            try:
                acked.append(str((await executor.append(Noop(), wait=True)).id))
                break
            except JournalError:
                await anyio.sleep(0.01)
        pauses.append(time.perf_counter() - began)


def full_disk(benchmark: Benchmark, backend: str, ack: Ack) -> None:
    """See what becomes of acknowledged events when the disk is full."""
    acked: list[str] = []
    pauses: list[float] = []
    with new_file() as path:
        run(backend, fill_disk, path, ack, acked, pauses)
        with sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT hex(id), status FROM event").fetchall()
        connection.close()
    completed = {id_.lower() for id_, status in rows if status == "completed"}
    lost = [one for one in acked if one.replace("-", "") not in completed]
    print(f"\n{backend}, {ack}: a full disk; {len(acked):,} acknowledged, {len(rows):,} in the journal")
    benchmark.target("acknowledged and not COMPLETED", len(lost), 0, unit="")
    benchmark.target("there without being acknowledged", len(rows) - len(acked), 0, unit="")
    benchmark.target("works again after", pauses[0], 2, unit="s")


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop", "msgspec"))
    print(f"SQLite {sqlite3.sqlite_version}")
    for backend in benchmark.backends:
        if benchmark.wants("callers-rate", "callers-cpu"):
            throughput(benchmark, backend, callers)
        if not benchmark.wants():
            continue
        throughput(benchmark, backend, batches)
        lone_append(benchmark, backend)
        lag(benchmark, backend)
        for ack in ("lazy", "strict"):
            full_disk(benchmark, backend, ack)
    if benchmark.wants():
        commit_beside_a_loop(benchmark)
        opening(benchmark)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
