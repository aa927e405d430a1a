"""
Two processes submit events to a journal whose owner is killed (SIGKILL) again and again; real processes, real time.

``benchmarks/submit.py`` does the same with 10,000 events.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("msgspec")


def load(path):
    """Import a module by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


submitting = load(Path(__file__).parents[2] / "benchmarks" / "_submitting.py")

BACKENDS = [name for name in submitting.BACKENDS if importlib.util.find_spec(name.rpartition("+")[2])]
EVENTS, KILLS = 1000, 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_event_is_there_once_however_often_the_owner_is_killed(tmp_path, backend):
    """All that was acknowledged completes, once for each key, also for those that both processes submit."""
    trial = submitting.Trial(tmp_path, EVENTS, backend)
    trial.submit_and_kill(KILLS)
    assert trial.kills == KILLS
    assert trial.acknowledged() == set(range(EVENTS))
    assert sorted(trial.statuses()) == [(number, "completed") for number in range(EVENTS)]
    assert trial.left_over() == 0
