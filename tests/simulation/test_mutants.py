"""The deliberate bugs of mutants.py can still be made, and some of them are caught here; all of them by the script."""

import subprocess

import pytest
from mutants import CAUGHT, MUTANTS, catch, end_of, problem_with

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


class Hunter:
    """A process that goes on while it is waited for, and prints a line in each of the first waits."""

    def __init__(self, told, lines, status):
        self.told, self.lines, self.status, self.is_killed = told, lines, status, False

    def wait(self, seconds):
        if not self.lines and self.status is not None:
            return self.status
        if self.lines:
            self.lines -= 1
            self.told.write_text(self.told.read_text() + "seed\n")
        raise subprocess.TimeoutExpired("hunt", seconds)

    def kill(self):
        self.is_killed = True


@pytest.mark.parametrize(("status", "killed"), [(0, False), (CAUGHT, False), (None, True)])
def test_a_hunt_is_killed_only_when_a_run_never_ends(status, killed, tmp_path):
    """A hunt may take any time while its runs end; one that prints nothing for a whole wait is killed."""
    told = tmp_path / "told"
    told.touch()
    hunter = Hunter(told, 5, status)
    assert end_of(hunter, told) == status
    assert (hunter.is_killed, hunter.lines) == (killed, 0)
