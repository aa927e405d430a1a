"""
Property tests of your own executor, by a state machine of Hypothesis.

See :class:`ExecutorMachine` and ``docs/testing.md``. This module needs the extra ``testing``.
"""

from lionpride_exec._events.stored_names import publish as _publish

from ._machine import ExecutorMachine
from ._promises import PROMISES

__all__ = ["PROMISES", "ExecutorMachine"]

_publish(__name__)
