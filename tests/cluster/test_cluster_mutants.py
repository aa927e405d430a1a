"""The deliberate bugs of cluster_mutants.py can still be made. The script has all of them caught."""

import pytest
from cluster_mutants import MUTANTS, problem_with

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_made(mutant):
    """What it changes is there, once."""
    assert problem_with(mutant) is None
    assert all(change.old != change.new for change in mutant.changes)
