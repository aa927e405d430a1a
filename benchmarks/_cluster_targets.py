"""The targets of the cluster. ``README.md`` says what each figure means."""

from collections.abc import Mapping
from typing import Final

from _targets import BOTH, NO_LOOP, Row

Backends = tuple[str, ...]


def _row(
    name: str, what: str, target: float, unit: str = "", aim: float | None = None, *, at_least: bool = False,
    backends: Backends = BOTH,
) -> Row:  # fmt: skip
    return Row(name, what, "cluster", target, aim, unit, at_least, backends)


def _nothing(name: str, what: str, backends: Backends = BOTH) -> Row:
    """Return a row for what must not happen at all."""
    return _row(name, what, 0, backends=backends)


_ROWS: Final = [
    # "Lost, or ended twice" also counts broken invariants, and workers that ended by themselves.
    _nothing("kills-wrong", "20 SIGKILLs in 10,000 events: lost, or ended twice"),
    _row("kills-again", "the same: begun again for one kill, of 25 that ran", 25),
    _nothing("deaths-wrong", "3 SIGKILLs and a SIGTERM, workers mixed: lost, or ended twice"),
    _row("deaths-again", "the same: begun again for one kill, of 25 that ran", 25),
    _row("redelivery", "from SIGKILL to the start elsewhere, lease 3 s", 4.5, "s"),
    _row("redelivery-behind", "the same behind 50 live entries, 1 free slot", 4.5, "s"),
    _nothing("stall-wrong", "first stalled, second killed: lost, or ended twice"),
    _row("stop", "from SIGTERM to the start elsewhere, grace 0.3 s", 1.3, "s"),
    _row("stop-attempt", "the same: the attempt that begins there", 1),
    _nothing("restart-wrong", "server killed twice under 6,000 events: lost, or ended twice"),
    _row("outage", "what a server that is down for 10 s costs", 12, "s"),
    _nothing("outage-wrong", "the same: lost, or ended twice"),
    _nothing("full-wrong", "memory full: acknowledged events lost, or ended twice"),
    _row("full-refused", "the same: submits that raised", 1, at_least=True),
    _nothing("cuts-wrong", "all connections cut 150 times: lost, or ended twice"),
    _nothing("cuts-again", "the same: begun twice"),
    _nothing("cancelled-raised", "100 cancellations of the host: other exceptions"),
    _nothing("cancelled-wrong", "the same: lost, ended twice, or left PROCESSING beyond a lease"),
    # Latency.
    _row("cancel-waiting", "cancel() to the end seen, of a waiting event, worst of 100", 50, "ms"),
    _row("cancel-running", "the same of a running one", 100, "ms"),
    _row("delay-p50", "start after it is due, median of 200", 20, "ms"),
    _row("delay-max", "the same, worst of 200", 100, "ms"),
    _row("idle-p50", "append() to the final status seen, idle, median of 400", 10, "ms"),
    _row("idle-p99", "the same, 99th percentile", 60, "ms"),
    # Limits of 4 processes.
    _row("rate-most", "Rate(200 a second): most in a second, the server's clock", 200, backends=NO_LOOP),
    _row("rate-workers", "the same in 0.95 s, the workers' clocks", 200, backends=NO_LOOP),
    _row("rate-use", "the same: share of the possible starts", 0.95, at_least=True, backends=NO_LOOP),
    _row("rates-most", "Rate(50 a second) for 20 keys: most in a second", 50, backends=NO_LOOP),
    _row("rates-workers", "the same in 0.95 s, the workers' clocks", 50, backends=NO_LOOP),
    _row("rates-use", "the same: share of the possible starts", 0.95, at_least=True, backends=NO_LOOP),
    _row("concurrent-most", "Concurrent(8): most at once", 8, backends=NO_LOOP),
    _row("concurrent-use", "the same: share of the slots in use, 50 ms each", 0.8, at_least=True, backends=NO_LOOP),
    _row("concurrent-back", "the same: all in use again after SIGKILL, lease 1.5 s", 2.5, "s", backends=NO_LOOP),
    _row("concurrent-killed", "the same: most at once that were not the killed worker's", 8, backends=NO_LOOP),
    _row("hot-last", "1,500 hot events first: last cold start, beside ideal", 2, "x", backends=NO_LOOP),
    _row("hot-most", "the same: most in a second for a key", 25, backends=NO_LOOP),
    _row("acquire-alone", "client CPU for a start under a limit, alone", 800, "us"),
    _row("acquire-together", "the same, 20 at once", 250, "us"),
    _row("acquire-server", "the server's CPU for a start under a limit", 150, "us"),
    # Speed.
    _row(
        "one-worker", "no-op events a second of one worker, asyncio", 1500, "/s", at_least=True, backends=("asyncio",)
    ),
    _row("one-worker-trio", "the same on trio", 1200, "/s", at_least=True, backends=("trio",)),
    _row("cpu", "the worker's CPU for a no-op event", 215, "us", 150),
    _row("raw", "time for no-ops beside raw streams, 4 workers", 2.5, "x", 1.0, backends=NO_LOOP),
    _row("streaq", "no-op events a second beside streaQ 7.2", 3, "x", 4, at_least=True, backends=NO_LOOP),
    _row("submit", "events a second by extend()", 4000, "/s", at_least=True),
    _row("memory-queued", "the server's memory for a queued event, 400 B", 1300, "B", backends=NO_LOOP),
    _row("memory-finished", "the same, finished", 1800, "B", backends=NO_LOOP),
]

ROWS: Final[Mapping[str, Row]] = {row.name: row for row in _ROWS}
