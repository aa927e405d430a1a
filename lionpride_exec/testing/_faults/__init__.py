"""Faults by seed, and the points at which they are injected."""

from .faults import Cancellation, Crash, Failure, Fault, Injected, InjectedFailure, Latency

# Version 0.1.0 had them here.
__all__ = ["Cancellation", "Crash", "Failure", "Fault", "Injected", "InjectedFailure", "Latency"]
