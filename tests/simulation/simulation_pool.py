"""
Runs of many seeds, in other processes.

In each process a warning is an error, and an error that nothing can raise is a failure, as under pytest here.
"""

import gc
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import attrs
from once import once
from simulation import CHUNK, complaints, quietly, simulate

# A worker task that was just started when its process dies may not come to its first step on asyncio.
HARMLESS = "coroutine 'WorkerPool._work' was never awaited"

_unraisable = []  # in this process, since the last chunk


@attrs.frozen
class Digest:
    """
    What is compared of a run, without the objects of the run.

    Attributes:
        trace: What happened, a line for each transition.
        injected: Each fault, with the place and the time at which it was injected.
        statuses: The statuses that events have reached.
        faults: The names of the kinds of faults that were injected.
        points: The names of the points at which faults were injected.
        crashes: How many processes have died.
        refused: How many events were not accepted.
        is_defined: Whether the order of events is defined, so that backends can be compared.
    """

    trace: list
    injected: list
    statuses: set
    faults: set
    points: set
    crashes: int
    refused: int
    is_defined: bool


def digest_of(outcome):
    """Return the digest of a run."""
    driver = outcome.driver
    return Digest(
        trace=outcome.trace,
        injected=[repr(one) for one in driver.plan.injected],
        statuses={status.value for *_, status in driver.trace},
        faults={type(one.fault).__name__ for one in driver.plan.injected},
        points={one.point for one in driver.plan.injected},
        crashes=len(driver.crashes),
        refused=len(driver.refused),
        is_defined=driver.workload.is_defined,
    )


def prepare_process():
    """Treat warnings, and errors that nothing can raise, as pytest does."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", HARMLESS, RuntimeWarning)
    sys.unraisablehook = lambda raised: _unraisable.append(f"{raised.err_msg}: {raised.exc_value!r}")
    gc.collect()
    gc.freeze()  # what is imported: else each collection walks over it


def run_chunk(backends, seeds):
    """Return a line for each failure of some seeds, and the digest of each run by seed and backend."""
    failed, digests = [], {}
    with quietly():
        for seed in seeds:
            outcomes = [simulate(seed, backend) for backend in backends]
            failed += complaints(outcomes)
            digests |= {(seed, each.backend): digest_of(each) for each in outcomes}
    gc.collect()
    failed += [f"seeds {seeds.start} to {seeds.stop - 1}: {told}" for told in _unraisable]
    _unraisable.clear()
    return failed, digests


class Seeds:
    """
    The first seeds, run in other processes.

    Args:
        pool: Runs the chunks.
        backends_of: Returns the backends for the seeds from a number on.
        directory: Where the workers of a run of pytest leave results for each other. None if there is only one worker.
    """

    def __init__(self, pool, backends_of, directory):
        self._pool, self._backends_of, self._directory = pool, backends_of, directory
        self._futures, self._results = {}, {}

    def begin(self, first):
        """Have the chunk that begins with a seed run, once."""
        if first not in self._futures:
            self._futures[first] = self._pool.submit(run_chunk, self._backends_of(first), range(first, first + CHUNK))
        return self._futures[first]

    def failures(self, first):
        """Wait for the chunk that begins with a seed. Return a line for each failure."""
        return self._result(first)[0]

    def digest(self, seed, backend):
        """Wait for a seed. Return the digest of its run on a backend."""
        return self._result(seed - seed % CHUNK)[1][seed, backend]

    def _result(self, first):
        if first not in self._results:
            self._results[first] = once(self._directory, f"seeds-{first}", lambda: self.begin(first).result())
        return self._results[first]


@contextmanager
def seeds_in_processes(backends_of, processes, directory):
    """Yield a `Seeds` with so many processes, which end with this block, and results in a directory if there is one."""
    # A fork would take the threads of other tests along, and their locks.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), prepare_process)
    try:
        yield Seeds(pool, backends_of, directory)
    finally:
        pool.shutdown(cancel_futures=True)
