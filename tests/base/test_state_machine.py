"""A table of states and the one setter that obeys it."""

import pickle
from enum import Enum

import pytest
from parts import state_machine

InvalidStateChange = state_machine.InvalidStateChange
StateMachine = state_machine.StateMachine
transition_table = state_machine.transition_table


class Door(Enum):
    """The states of a door."""

    SHUT = "shut"
    OPEN = "open"
    GONE = "gone"


TABLE = transition_table({Door.SHUT: {Door.OPEN, Door.GONE}, Door.OPEN: [Door.SHUT], Door.GONE: ()})
LEGAL = {(Door.SHUT, Door.OPEN), (Door.SHUT, Door.GONE), (Door.OPEN, Door.SHUT)}
PAIRS = [(source, target) for source in Door for target in Door]


class Listener:
    """Notes the state at each notification."""

    def __init__(self):
        self.machine = None
        self.seen = []

    def notify(self):
        """Note the state."""
        self.seen.append(self.machine.state)


def machine_in(state):
    """Return a machine in a state, and what it notifies."""
    listener = Listener()
    listener.machine = StateMachine("door", TABLE, state, listener)
    return listener.machine, listener


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda state: state.value)
def test_the_setter_obeys_the_table(source, target):
    """A legal move changes the state and then notifies; an illegal one raises and does neither."""
    machine, listener = machine_in(source)
    assert machine.can_move_to(target) == ((source, target) in LEGAL)
    if (source, target) in LEGAL:
        machine.move_to(target)
        assert (machine.state, listener.seen) == (target, [target])
    else:
        with pytest.raises(InvalidStateChange, match=f"^door cannot go from {source.name} to {target.name}$"):
            machine.move_to(target)
        assert (machine.state, listener.seen) == (source, [])


def test_a_refusal_names_both_states_also_after_pickling():
    """The error carries the name and both states, and survives a pickle."""
    error = pickle.loads(pickle.dumps(InvalidStateChange("door", Door.OPEN, Door.GONE)))  # noqa: S301  our own bytes
    assert (error.name, error.previous, error.target) == ("door", Door.OPEN, Door.GONE)
    assert str(error) == "door cannot go from OPEN to GONE"


def test_a_machine_without_a_condition_moves():
    """Nobody has to wait for a change."""
    machine = StateMachine("door", TABLE, Door.SHUT)
    machine.move_to(Door.OPEN)
    assert machine.state is Door.OPEN


def test_a_table_cannot_be_changed():
    """Nobody can add a move at run time."""
    with pytest.raises(TypeError):
        TABLE[Door.GONE] = frozenset({Door.OPEN})


def test_a_table_has_a_row_for_each_state():
    """A state that was forgotten is named when the table is made."""
    with pytest.raises(ValueError, match="^Door has states without a row: OPEN, GONE$"):
        transition_table({Door.SHUT: {Door.OPEN}})


def test_a_repr_shows_name_and_state():
    """A repr tells what has the state, and which one."""
    assert repr(machine_in(Door.OPEN)[0]) == "<StateMachine door: OPEN>"
