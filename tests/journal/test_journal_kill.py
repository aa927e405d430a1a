"""
A journal whose process is killed (SIGKILL) at random moments; real processes, real time.

``benchmarks/kill.py`` does the same for longer. What is shown beside a failure begins with the seed; ``SEED=…`` in the
environment gives the same moments again.
"""

import importlib.util
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("msgspec")


def load(path):
    """Import a module by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
_, kill = load(BENCHMARKS / "_forks.py"), load(BENCHMARKS / "_kill.py")  # in this order: one imports the other

BACKENDS = [name for name in kill.BACKENDS if importlib.util.find_spec(name.rpartition("+")[2])]
KILLS = 3


@pytest.fixture
def moments():
    """Give the moments of the kills, and show their seed."""
    seed = os.environ.get("SEED") or random.randrange(10**9)  # noqa: S311  no secret
    print(f"SEED={seed}")  # noqa: T201  pytest shows it beside a failure
    return kill.moments(seed, KILLS)


def work(trial, backends, moments):
    """Let a process be killed at each moment; each takes the next backend."""
    for number, moment in enumerate(moments):
        assert trial.live(backends[number % len(backends)], moment).killed
    return backends[len(moments) % len(backends)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_strict_loses_nothing_and_repeats_nothing_that_was_seen_to_end(tmp_path, backend, moments):
    """All ends, once; what was told or written as ended never runs again; only what ran at the kill does."""
    trial = kill.Trial(tmp_path, 1500)
    work(trial, [backend], moments)
    assert set(trial.live(backend).statuses.items()) == {(number, "completed") for number in range(1500)}
    assert trial.lost() == set()
    assert set(trial.ends().values()) == {1}
    assert trial.run_after_end() == set()
    assert trial.run_after_completed() == set()
    assert max(trial.run_again()) <= trial.concurrency
    assert trial.run_twice_in_a_life() == set()


@pytest.mark.parametrize("ack", ["strict", "lazy"])
def test_a_journal_goes_from_backend_to_backend(tmp_path, ack, moments):
    """What was written under one goes on under the other; lazy too loses nothing and keeps to what is written."""
    trial = kill.Trial(tmp_path, 1500, ack=ack)
    last = work(trial, ["asyncio", "trio"], moments)
    assert set(trial.live(last).statuses.items()) == {(number, "completed") for number in range(1500)}
    assert trial.lost() == set()
    assert set(trial.ends().values()) == {1}
    assert trial.run_after_completed() == set()
    assert trial.run_twice_in_a_life() == set()


@pytest.mark.parametrize(("backend", "ack"), [("asyncio", "lazy"), ("trio", "lazy"), ("trio", "strict")])
def test_fail_never_runs_again(tmp_path, backend, ack, moments):
    """What ran at the kill has FAILED as interrupted; nothing runs twice, in lazy mode neither."""
    trial = kill.Trial(tmp_path, 1000, kind="fail", ack=ack)
    work(trial, [backend], moments)
    life = trial.live(backend)
    assert set(life.statuses) == set(range(1000))
    assert set(life.statuses.values()) <= {"completed", "failed"}
    assert all("interrupted: the process ended while it ran" in error for error in life.errors.values())
    assert set(trial.runs().values()) == {1}
    assert trial.lost() == set()
    assert set(trial.ends().values()) == {1}
    if ack == "strict":
        assert len(life.errors) <= trial.kills * trial.concurrency


@pytest.mark.parametrize(("backend", "ack"), [("asyncio", "lazy"), ("trio", "lazy"), ("asyncio", "strict")])
def test_hold_waits_for_a_decision(tmp_path, backend, ack, moments):
    """What ran at the kill stays held, and runs again when it is released."""
    trial = kill.Trial(tmp_path, 1000, kind="hold", ack=ack)
    work(trial, [backend], moments)
    life = trial.live(backend)
    held = {number for number, status in life.statuses.items() if status == "held"}
    assert set(life.statuses) == set(range(1000))
    assert set(life.statuses.values()) <= {"completed", "held"}
    assert set(trial.runs().values()) == {1}

    life = trial.live(backend, release=True)
    assert set(life.statuses.values()) == {"completed"}
    assert set(life.numbers("run")) == held
    assert trial.lost() == set()
    assert set(trial.ends().values()) == {1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_kills_its_process_is_given_up(tmp_path, backend):
    """After ``max_attempts`` it has FAILED as interrupted; the others are done."""
    trial = kill.Trial(tmp_path, 20, kind="deadly", concurrency=1)
    while trial.live(backend).killed:
        assert trial.kills <= 3
    assert trial.kills == trial.runs()[0] == 3
    assert Counter(trial.lives[-1].statuses.values()) == {"completed": 19, "failed": 1}
    (error,) = trial.lives[-1].errors.values()
    assert "interrupted: the process ended while it ran, 3 times by now" in error
