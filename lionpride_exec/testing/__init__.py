"""Testing executors: virtual time, invariants, state machines, faults by seed."""

from lionpride_exec._events.stored_names import publish as _publish

from ._deadlock import Deadlock
from ._faults import Cancellation, Crash, Failure, Fault, Injected, InjectedFailure, Latency
from ._inline import inline
from ._invariants import INVARIANTS, InvariantBroken, check_invariants
from ._plan import FaultPlan
from ._points import POINTS, Point
from ._run import BACKENDS, backend_options, run
from ._trace import Trace, TraceEntry, record

__all__ = [
    "BACKENDS",
    "INVARIANTS",
    "POINTS",
    "Cancellation",
    "Crash",
    "Deadlock",
    "Failure",
    "Fault",
    "FaultPlan",
    "Injected",
    "InjectedFailure",
    "InvariantBroken",
    "Latency",
    "Point",
    "Trace",
    "TraceEntry",
    "backend_options",
    "check_invariants",
    "inline",
    "record",
    "run",
]

_publish(__name__)
