"""What holds of every executor: at a moment, over time, and when a call returns."""

from .check import check_invariants

__all__ = ["check_invariants"]  # version 0.1.0 had it here
