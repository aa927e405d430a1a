"""The deliberate bugs of mutants.py can still be made, and some of them are caught here; all of them by the script."""

import pytest
from mutants import MUTANTS, catch, problem_with

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_made(mutant):
    """What it changes is there, once, and what comes of it is a program."""
    assert problem_with(mutant) is None


def test_they_differ():
    """Each has a name of its own, and changes something."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 14
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


@pytest.mark.parametrize(
    ("words", "invariant"),
    [
        ("capacity of the window comes back", "nobody_idle"),
        ("filed as COMPLETED", "status_is_place"),
        ("a limit allows one more", "limit_windows"),
    ],
)
def test_some_are_caught(words, invariant):
    """A few that are caught soon; by name."""
    (mutant,) = [each for each in MUTANTS if words in each.name]
    assert invariant in (catch(mutant, 20) or "nothing")
