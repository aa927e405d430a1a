"""The invariants of an executor, and how to check them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

# Each adds its invariants to the table.
from . import at_rest as _at_rest  # noqa: F401  imported for that
from . import of_events, of_explanations, of_starts  # noqa: F401  likewise
from .at_return import AT_RETURN
from .invariant import CHECKS, InvariantBroken, Look
from .of_clusters import OF_CLUSTERS, check_cluster
from .over_time import OVER_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec import Executor

__all__ = ["INVARIANTS", "InvariantBroken", "check_cluster", "check_invariants"]

# The invariants that always hold come first: the others rely on them.
_IN_ORDER: Final = sorted(CHECKS.values(), key=lambda each: each.when)

INVARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {each.name: each.sentence for each in _IN_ORDER}
    | {each.name: each.sentence for each in OVER_TIME.values()}
    | dict(AT_RETURN)
    | OF_CLUSTERS
)
"""
What holds of every executor: a sentence by name. ``docs/invariants.md`` says when each holds, and which test breaks it.

Some hold over time: a :class:`Trace` checks them. The last ones, whose names begin with ``cluster_``, hold of a queue
on a server: :func:`check_cluster` checks them.
"""


def check_invariants(executor: Executor, *, at_rest: bool = False) -> None:
    """
    Check the invariants of an executor. Changes nothing. O(number of events).

    Call this between any two steps of the event loop, before the loop, after it, or in an observer
    (``executor.observe``). In an observer, invariants that hold only after the transition are left out. An exception
    that an observer raises is only logged, so use :func:`record` to check at each transition.

    Args:
        executor: The executor to check. If its event loop runs, call this in the loop.
        at_rest: True if all other tasks are blocked and nothing is due. Then the check also finds lost wake-ups: a task
            that waits for something that has come. All tasks are blocked after ``anyio.wait_all_tasks_blocked()``, and
            under virtual time after an ``anyio.sleep()`` that ends when nothing else does. No effect in an observer.

    Raises:
        InvariantBroken: An invariant is broken: ``.invariant`` is its name, ``.events`` are the events concerned.
    """
    look = Look(executor, at_rest=at_rest)
    for each in _IN_ORDER:
        if each.when > look.when:
            return
        each.check(look)
