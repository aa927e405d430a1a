"""
The private modules that tests import, in one place, each with the reason why no public name would do.

A test goes through the public interface where it can. What is here is tested as a unit of its own.
"""

from lionpride_exec.testing import _view as view  # what an executor keeps to itself, for leftovers
from lionpride_exec.testing._invariants import invariant as invariants  # each invariant by itself, of a broken executor
from lionpride_exec.testing._invariants import over_time  # likewise, of transitions that are made up

__all__ = [
    "invariants",
    "over_time",
    "view",
]
