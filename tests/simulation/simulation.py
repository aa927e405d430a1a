"""
Deterministic simulation: events, callers, a configuration and faults, all by seed, under virtual time.

    python tests/simulation/simulation.py --seed 1234 --backend trio          one run, told in full
    python tests/simulation/simulation.py --seeds 100000 --from 0 --jobs 2    many; failures as commands
    python tests/simulation/simulation.py --seeds 60 --fingerprints           a hash of each trace

What a seed means is drawn by ``simulation_workload``, done by ``simulation_driver``, judged by ``simulation_judge``, in
a world without chance (``simulation_world``). So a seed is one run on each backend, which can be looked at as often as
it takes; and where order is defined, the backends must agree.
"""

# ruff: noqa: T201  a command

import argparse
import functools
import hashlib
import logging
import multiprocessing
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import attrs

if __name__ == "__main__":
    TESTS = Path(__file__).parents[1]
    sys.path[:0] = [str(TESTS / name) for name in ("simulation", "journal", "", "..")]

from simulation_driver import Driver
from simulation_judge import judge
from simulation_workload import make_workload
from simulation_world import repeatable

from lionpride_exec.testing import BACKENDS, run

# Files cost: one seed in so many has a journal.
JOURNAL_EVERY = 20

# Memory, if there is such a directory: no disk is to be waited for.
FAST = Path("/dev/shm")  # noqa: S108  a directory of its own is made in it

CHUNK = 50


@attrs.frozen
class Outcome:
    """
    What a run has come to.

    Attributes:
        seed: Of the run.
        backend: On which it ran.
        driver: Knows what happened.
        error: What the run ended with; None: it came to its end.
        problems: What is wrong with it, in words.
    """

    seed: int
    backend: str
    driver: Driver
    error: BaseException | None
    problems: list

    @property
    def command(self):
        """The command that does it again."""
        return f"python tests/simulation/simulation.py --seed {self.seed} --backend {self.backend}"

    @property
    def cause(self):
        """The first of the errors that the run ended with; None: it came to its end."""
        error = self.error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return error

    @property
    def trace(self):
        """What happened, a line for each transition."""
        return [
            f"{life} {at:12.6f}  {event.name}: {previous} -> {status}"
            for life, at, event, previous, status in self.driver.trace
        ]

    @property
    def fingerprint(self):
        """A hash of the trace and of the injected faults. Two versions that act alike have the same."""
        lines = [*self.trace, *map(str, self.driver.plan.injected)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    @property
    def by_event(self):
        """What happened to each event, by its name."""
        told = {}
        for _, at, event, previous, status in self.driver.trace:
            told.setdefault(event.name, []).append((at, previous, status))
        return told

    def __str__(self):
        plan = self.driver.plan
        parts = [str(self.driver.workload), "what happened:", *self.trace, "injected:", *map(str, plan.injected)]
        error = [] if self.error is None else traceback.format_exception(self.error)
        return "\n".join([*parts, "what is wrong:", *error, *self.problems, self.command])


def simulate(seed, backend):
    """Run a seed on a backend; give what came of it."""
    workload = make_workload(seed, with_journal=seed % JOURNAL_EVERY == 0)
    error = None
    with (
        tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as directory,
        repeatable(seed, workload.setup.time_slice),
    ):
        driver = Driver(workload, Path(directory))
        try:
            run(driver.run, backend=backend, seed=seed)
        except Exception as exc:  # noqa: BLE001  it is told
            error = exc
        problems = judge(driver)
    return Outcome(seed, backend, driver, error, problems)


def compare(one, other):
    """Say where two backends differ about what is defined."""
    if not one.driver.workload.is_defined or one.by_event == other.by_event:
        return []
    names = sorted({*one.by_event, *other.by_event})
    return [
        f"{name}: {one.backend} {one.by_event.get(name)}, {other.backend} {other.by_event.get(name)}"
        for name in names
        if one.by_event.get(name) != other.by_event.get(name)
    ]


def check(seed, backends):
    """Run a seed on some backends; give a line for each that fails, and for what they differ in."""
    return complaints([simulate(seed, backend) for backend in backends])


def complaints(outcomes):
    """Give a line for each run of a seed that fails, and for each that differs from the first."""
    told = [f"{each.command}    # {_first(each)}" for each in outcomes if each.error is not None or each.problems]
    for other in outcomes[1:]:
        differences = compare(outcomes[0], other)
        if differences:
            told.append(f"python tests/simulation/simulation.py --seed {other.seed}    # {differences[0]}"[:500])
    return told


def _first(outcome):
    """Tell the first problem of a run in a line."""
    cause = outcome.cause
    told = outcome.problems[0] if cause is None else f"{type(cause).__name__}: {cause}"
    return " ".join(told.split())[:300]


def check_many(backends, seeds):
    """Run many seeds; give a line for each failure, and their number."""
    with quietly():
        return [line for seed in seeds for line in check(seed, backends)], len(seeds)


@contextmanager
def quietly():
    """Log nothing in this block: failures and troubles are what the simulation is about."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def main():
    """Be the command."""
    parser = argparse.ArgumentParser(description="Runs executors by seed, with faults, and says what goes wrong.")
    parser.add_argument("--seed", type=int, help="one run, told in full")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="may be repeated; default: all, compared")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fingerprints", action="store_true", help="print a hash of each trace, to compare versions")
    given = parser.parse_args()
    backends = given.backend or BACKENDS
    if given.seed is not None:
        logging.disable()
        outcomes = [simulate(given.seed, backend) for backend in backends]
        lines = complaints(outcomes)
        print(*outcomes, *lines, sep="\n")
        return bool(lines)
    return _fingerprints(given, backends) if given.fingerprints else _many(given, backends)


def _fingerprints(given, backends):
    """Print a line for each run, the same in two versions that act alike. Return whether any run fails."""
    failed = False
    with quietly():
        for seed in range(given.first, given.first + given.seeds):
            for outcome in (simulate(seed, backend) for backend in backends):
                failed |= outcome.error is not None or bool(outcome.problems)
                print(seed, outcome.backend, outcome.fingerprint, flush=True)
    return failed


def _many(given, backends):
    """Run many, with a display of how far it is; whether any fails."""
    began, done, failed = time.perf_counter(), 0, []
    chunks = [
        range(first, min(first + CHUNK, given.first + given.seeds))
        for first in range(given.first, given.first + given.seeds, CHUNK)
    ]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for lines, number in pool.imap_unordered(functools.partial(check_many, backends), chunks):
            done += number
            failed += lines
            for line in lines:
                print(f"\r{line}")
            rate = done / (time.perf_counter() - began)
            print(f"\r{done} of {given.seeds} seeds, {len(failed)} failed, {rate:.1f}/s ", end="", flush=True)
    print()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
