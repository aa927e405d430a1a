"""Testing executors: virtual time, invariants, state machines, faults by seed."""

from lionpride_exec._events.stored_names import publish as _publish

from ._faults.fault_plan import FaultPlan
from ._faults.faults import Cancellation, Crash, Failure, Fault, Injected, InjectedFailure, Latency
from ._faults.points import POINTS, Point
from ._inline import inline
from ._invariants.check import INVARIANTS, InvariantBroken, check_cluster, check_invariants
from ._only_threads import only_threads
from ._time.deadlock import Deadlock
from ._time.run import BACKENDS, backend_options, run
from ._trace.trace import Trace, TraceEntry, record

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
    "check_cluster",
    "check_invariants",
    "inline",
    "only_threads",
    "record",
    "run",
]

_publish(__name__)
