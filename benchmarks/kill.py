"""
Is anything lost, or done again, when the process is killed?

40 000 events of a few milliseconds, 100 at a time, and 20 times SIGKILL at random moments. Nothing that was
acknowledged may be lost. In strict mode nothing that was seen to end may run again, and of what ran at a kill at most
as many events as run at a time do. In lazy mode nothing that stands in the journal as COMPLETED may run again; how much
does that was not yet written is shown.
"""

import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import Benchmark
from _kill import Trial, moments

CONCURRENCY = 100
MILLISECONDS = 25  # so that about as many as may do run at a kill


def measure(benchmark: Benchmark, backend: str, ack: str, seed: str) -> None:
    """Kill processes, let the last one finish, and judge."""
    events, kills = (5_000, 5) if benchmark.quick else (40_000, 20)
    with TemporaryDirectory() as directory:
        trial = Trial(Path(directory), events, ack=ack, concurrency=CONCURRENCY, milliseconds=MILLISECONDS)
        began = time.perf_counter()
        for moment in moments(f"{seed} {backend} {ack}", kills):
            trial.live(backend, moment)
        statuses = Counter(trial.live(backend).statuses.values())
        took = time.perf_counter() - began
        ends = trial.ends()
    again = trial.run_again()
    print(f"\n{backend}, {ack}, n = {events:,}, {trial.kills} kills, {took:.0f} s: {dict(statuses)}")
    print(f"  ran again after a kill: {', '.join(map(str, again[:-1]))}; runs in all: {trial.runs().total():,}")
    benchmark.target("kills that came too late", kills - trial.kills, 0, unit="")
    benchmark.target("acknowledged and lost", len(trial.lost()), 0, unit="")
    benchmark.target("not COMPLETED in the end", events - statuses["completed"], 0, unit="")
    benchmark.target("ended more than once", sum(times > 1 for times in ends.values()), 0, unit="")
    benchmark.target("COMPLETED in the journal and run again", len(trial.run_after_completed()), 0, unit="")
    if ack == "strict":
        benchmark.target("seen to end and run again", len(trial.run_after_end()), 0, unit="")
        benchmark.target("run again after a kill, at most", max(again), CONCURRENCY, unit="")
    else:
        print(
            f"  seen to end and run again: {len(trial.run_after_end())}; run again after a kill, at most: {max(again)}"
        )


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio",), backends=("asyncio", "trio"))
    seed = f"{random.randrange(10**9)}"  # noqa: S311  no secret
    print(f"seed {seed}")
    for backend in benchmark.backends:
        for ack in ("strict", "lazy"):
            measure(benchmark, backend, ack, seed)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
