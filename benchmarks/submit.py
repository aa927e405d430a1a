"""
How fast do other processes submit events to a journal, and is anything lost when its owner is killed?

10,000 events, acknowledged once they are on disk, beside an owner that takes them in and runs them. Then two processes
submit 10,000 events, some of them both, while the owner is killed five times: no event may be lost, or be there twice.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import Benchmark
from _submitting import Trial
from _targets import Spread

KILLS = 5


def kill(benchmark: Benchmark, backend: str, events: int) -> None:
    """Kill the owner, let the last one finish, and judge."""
    with TemporaryDirectory(prefix="submit-") as name:
        trial, began = Trial(Path(name), events, backend), time.perf_counter()
        trial.submit_and_kill(KILLS)
        took = time.perf_counter() - began
        acknowledged, statuses = trial.acknowledged(), trial.statuses()
        print(f"\n{backend}, n = {events:,}, {trial.kills} kills, {took:.0f} s")
        completed = {number for number, status in statuses if status == "completed"}
        benchmark.target("kills that came too late", KILLS - trial.kills, 0, unit="")
        benchmark.target("acknowledged and lost", len(acknowledged - completed), 0, unit="")
        benchmark.target("not acknowledged", events - len(acknowledged), 0, unit="")
        benchmark.target("keys with more than one event", trial.doubled(), 0, unit="")
        benchmark.target("submitted and left over", trial.left_over(), 0, unit="")


def rate(events: int, backend: str) -> float:
    """Return how many events were acknowledged a second."""
    with TemporaryDirectory(prefix="submit-") as name:
        return Trial(Path(name), events, backend).submitted_a_second()


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio",))
    events = 1_000 if benchmark.quick else 10_000
    for backend in benchmark.backends:
        if benchmark.wants("submit-rate"):
            print(f"\n{backend}, n = {events:,}")
            figures = [rate(events, backend) for _ in range(benchmark.rounds(7))]
            benchmark.judge("submit-rate", Spread.of(figures), backend)
        if not benchmark.options.only:
            kill(benchmark, backend, events)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
