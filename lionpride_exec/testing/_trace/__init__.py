"""Recordings of what becomes of the events of an executor."""

from .trace import Trace, TraceEntry, record

__all__ = ["Trace", "TraceEntry", "record"]  # version 0.1.0 had them here
