"""
Lifetimes as data: a table of states, and one setter that obeys it.

A lifetime that is spread over several flags allows combinations that make no sense. Here a lifetime is one member of an
enum, and a table says which state may follow which. Each change goes through
:meth:`StateMachine.move_to`, which checks the table, changes the state, and then wakes the tasks that wait for it.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

S = TypeVar("S", bound=Enum)


class Notifiable(Protocol):
    """The interface of an object that wakes the tasks that wait for a change, like ``PredicateCondition``."""

    def notify(self) -> None:
        """Wake the tasks whose condition holds now. Must not wait."""


class InvalidStateChange(RuntimeError):
    """
    The table does not allow the transition. Nothing has changed.

    Attributes:
        name: The name of the state machine, for instance "journal".
        previous: The current state.
        target: The state that was requested.
    """

    def __init__(self, name: str, previous: Enum, target: Enum) -> None:
        super().__init__(name, previous, target)
        self.name: str = name
        self.previous: Enum = previous
        self.target: Enum = target

    def __str__(self) -> str:
        return f"{self.name} cannot go from {self.previous.name} to {self.target.name}"


def transition_table(rows: Mapping[S, Collection[S]]) -> Mapping[S, frozenset[S]]:
    """
    Return a table of states that cannot be changed.

    Args:
        rows: By state: the states that may follow. A final state has an empty row.

    Raises:
        ValueError: A member of the enum has no row.
    """
    kind = type(next(iter(rows)))
    missing = [state.name for state in kind if state not in rows]
    if missing:
        raise ValueError(f"{kind.__name__} has states without a row: {', '.join(missing)}")
    return MappingProxyType({state: frozenset(following) for state, following in rows.items()})


class StateMachine(Generic[S]):
    """
    One lifetime.

    Args:
        name: The name of the owner, with which error messages begin.
        transitions: The table, made by :func:`transition_table`.
        initial: The first state.
        condition: An object that is notified after each change. None if no task waits for a change.
    """

    __slots__ = ("_condition", "_name", "_transitions", "state")

    def __init__(
        self, name: str, transitions: Mapping[S, frozenset[S]], initial: S, condition: Notifiable | None = None
    ) -> None:
        # A plain attribute: a property would be a call at each look. Only move_to() assigns it.
        self.state: S = initial
        self._name = name
        self._transitions = transitions
        self._condition = condition

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}: {self.state.name}>"

    def can_move_to(self, target: S) -> bool:
        """Return whether the table allows a move to a state."""
        return target in self._transitions[self.state]

    def move_to(self, target: S) -> None:
        """
        Move to another state: check, change, notify.

        Raises:
            InvalidStateChange: The table does not allow it. Nothing has changed.
        """
        if target not in self._transitions[self.state]:
            raise InvalidStateChange(self._name, self.state, target)
        self.state = target
        if self._condition is not None:
            self._condition.notify()
