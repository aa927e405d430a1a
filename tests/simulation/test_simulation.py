"""
Executors by seed: what happens to them, with faults, is as it has to be, and the same on all backends.

Two thousand seeds on asyncio and trio, some on uvloop too. ``tests/simulation/simulation.py`` runs any number, or one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import simulation
from once import directory_of_run
from simulation import CHUNK, JOURNAL_EVERY, check_many, quietly, simulate
from simulation_pool import HARMLESS, digest_of, seeds_in_processes

from lionpride_exec.testing import BACKENDS

pytestmark = pytest.mark.filterwarnings(f"ignore:{HARMLESS}:RuntimeWarning")

ROOT = Path(__file__).parents[2]
SEEDS = 2000
SEEDS_ON_ALL = 300
PAIR = tuple(backend for backend in ("asyncio", "trio") if backend in BACKENDS)


def backends_of(first):
    """Return the backends for the seeds from a number on."""
    return BACKENDS if first < SEEDS_ON_ALL else PAIR


@pytest.fixture(scope="module")
def seeds(request, tmp_path_factory):
    """The seeds in other processes, where those of all selected tests are begun at once."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    directory = directory_of_run(tmp_path_factory) if workers > 1 else None
    with seeds_in_processes(backends_of, max(os.cpu_count() // workers, 1), directory) as seeds:
        if workers == 1:  # else this worker gets some of the tests only
            for item in request.session.items:
                if getattr(item, "function", None) is test_seeds:
                    seeds.begin(item.callspec.params["first"])
        yield seeds


def chunks():
    """Return the first seed of each chunk."""
    return list(range(0, SEEDS, CHUNK))


@pytest.mark.parametrize("first", chunks())
def test_seeds(seeds, first):
    """No event is lost, no limit exceeded, no state inconsistent; and the backends agree where order is defined."""
    failed = seeds.failures(first)
    assert not failed, "\n" + "\n".join(failed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_is_the_same_run(seeds, backend):
    """In two processes, a seed gives the same transitions at the same times, and meets the same faults."""
    for seed in (*range(1, 30), *range(0, 3 * JOURNAL_EVERY, JOURNAL_EVERY)):
        with quietly():
            outcome = simulate(seed, backend)
        again = digest_of(outcome)
        assert seeds.digest(seed, backend) == again, outcome.command


def test_what_the_seeds_come_to(seeds):
    """Among the seeds there is all that is to be tested: each status, each kind of fault, crashes, refusals."""
    digests = [seeds.digest(seed, "asyncio") for seed in range(0, 300, 3)]
    assert len(set().union(*(digest.statuses for digest in digests))) == 7
    assert set().union(*(digest.faults for digest in digests)) == {"Latency", "Failure", "Cancellation", "Crash"}
    assert len(set().union(*(digest.points for digest in digests))) > 15
    assert sum(digest.crashes for digest in digests) > 5
    assert sum(digest.refused for digest in digests) > 20
    assert sum(digest.is_defined for digest in digests) > 20


def run_command(*arguments):
    """Run the command as a user does; give what it prints and how it ends."""
    done = subprocess.run(  # noqa: S603  ours
        [sys.executable, ROOT / "tests" / "simulation" / "simulation.py", *arguments],
        capture_output=True, text=True, timeout=100, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.stdout, done.returncode


def test_the_command_for_one_seed():
    """It tells what the seed means, what happened, what was injected, and the command itself."""
    told, status = run_command("--seed", "7", "--backend", "asyncio")
    assert status == 0
    assert told.startswith("seed 7\n")
    assert "pending -> processing" in told
    assert told.endswith("python tests/simulation/simulation.py --seed 7 --backend asyncio\n")


def test_the_command_for_many():
    """It counts them, and ends with 0 if all is well."""
    told, status = run_command("--seeds", "6", "--from", "11", "--backend", "asyncio", "--jobs", "2")
    assert "6 of 6 seeds, 0 failed" in told
    assert status == 0


def test_the_command_for_fingerprints():
    """It prints a hash of the trace of each run, the same in each process, and another for another run."""
    wanted = "--fingerprints", "--seeds", "2", "--from", "20", "--backend", "asyncio", "--backend", "trio"
    told, status = run_command(*wanted)
    assert status == 0
    assert [line.split()[:2] for line in told.splitlines()] == [
        [seed, backend] for seed in ("20", "21") for backend in ("asyncio", "trio")
    ]
    assert len({line.split()[2] for line in told.splitlines()}) >= 2
    assert (told, status) == run_command(*wanted)


def test_a_failure_is_told_as_a_command(monkeypatch):
    """Each failure is a line that can be run."""
    monkeypatch.setattr(simulation, "judge", lambda driver: [f"bad seed {driver.workload.seed}"])
    failed, number = check_many(("asyncio",), [3, 4])
    assert number == 2
    assert failed == [
        f"python tests/simulation/simulation.py --seed {seed} --backend asyncio    # bad seed {seed}" for seed in (3, 4)
    ]
