"""The invariants of an executor, and how to check them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

# Each adds its invariants to the table.
from . import at_rest as _at_rest  # noqa: F401
from . import of_events, of_explanations, of_starts  # noqa: F401
from .at_return import AT_RETURN
from .invariant import CHECKS, InvariantBroken, Look
from .over_time import OVER_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec import Executor

__all__ = ["INVARIANTS", "InvariantBroken", "check_invariants"]

# What always holds comes first: the rest builds on it.
_IN_ORDER: Final = sorted(CHECKS.values(), key=lambda each: each.when)

INVARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {each.name: each.sentence for each in _IN_ORDER}
    | {each.name: each.sentence for each in OVER_TIME.values()}
    | dict(AT_RETURN)
)
"""
What holds of every executor: a sentence by name. When each holds, and which test holds it: ``docs/invariants.md``.

Those at the end hold over time, and are checked by a :class:`Trace`.
"""


def check_invariants(executor: Executor, *, at_rest: bool = False) -> None:
    """
    Check that an executor is in a state in which it may be. Changes nothing; O(number of events).

    To be called between any two steps of the event loop, before or after it, or in an observer
    (``executor.observe``): there those invariants are left out that hold only once the transition is over. But what an
    observer raises is logged and goes no further; :func:`record` checks at each transition and keeps it.

    Args:
        executor: Which one; in its event loop if one runs.
        at_rest: That all other tasks are blocked and nothing is due. Then it is checked too that nobody waits for what
            has come: no wake-up was lost. It is so after ``anyio.wait_all_tasks_blocked()``; under virtual time also
            after an ``anyio.sleep()`` that ends when nothing else does, since that clock stands still while anything
            can run. Of no effect in an observer.

    Raises:
        InvariantBroken: It is not; ``.invariant`` says which one is broken, ``.events`` with which events.
    """
    look = Look(executor, at_rest=at_rest)
    for each in _IN_ORDER:
        if each.when > look.when:
            return
        each.check(look)
