"""The transition table and the one door that obeys it: all 49 pairs."""

import pytest
from support import change_status

from lionpride_exec import TRANSITIONS, Event, EventStatus, InvalidTransition

LEGAL = {
    ("pending", "processing"),
    ("pending", "cancelled"),
    ("pending", "skipped"),
    ("pending", "aborted"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "cancelled"),
    ("processing", "skipped"),
    ("processing", "pending"),
}
PAIRS = [(source, target) for source in EventStatus for target in EventStatus]
FINAL = {"completed", "failed", "cancelled", "skipped", "aborted"}


def test_members_and_order():
    """The seven statuses stand in the order of the specification."""
    assert EventStatus.allowed() == (
        "pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted",
    )  # fmt: skip


@pytest.mark.parametrize("status", EventStatus)
def test_a_member_is_its_string(status):
    """A member equals its lower-case string, hashes like it, and is found by it."""
    assert status == status.name.lower()
    assert hash(status) == hash(status.value)
    assert EventStatus(status.value) is status
    assert {status.value: 1}[status] == 1


@pytest.mark.parametrize("status", EventStatus)
def test_terminal_statuses_have_empty_rows(status):
    """Nothing follows a final status, something follows each other one."""
    assert status.is_terminal == (status.value in FINAL) == (not TRANSITIONS[status])


def test_the_table_is_the_specified_one():
    """The table holds exactly the nine legal moves."""
    assert {(s.value, t.value) for s, targets in TRANSITIONS.items() for t in targets} == LEGAL
    assert set(TRANSITIONS) == set(EventStatus)


def test_the_table_cannot_be_changed():
    """Nobody can add a move at run time."""
    with pytest.raises(TypeError):
        TRANSITIONS[EventStatus.COMPLETED] = frozenset()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda status: status.value)
def test_the_door_obeys_the_table(source, target):
    """A legal move is made and stamped; an illegal one raises and changes nothing."""
    event = Event()
    event.execution.status = source
    before = event.execution.to_dict()
    if (source.value, target.value) in LEGAL:
        change_status(event, target)
        assert event.status is target
        assert event.history()[-1][0] is target
    else:
        with pytest.raises(InvalidTransition) as caught:
            change_status(event, target)
        assert (caught.value.item_id, caught.value.previous, caught.value.target) == (
            event.id,
            source,
            target,
        )
        assert source.value in str(caught.value)
        assert target.value in str(caught.value)
        assert event.execution.to_dict() == before
