"""
Mutants: deliberate bugs of the package, each of which the simulation has to catch.

    python tests/simulation/mutants.py                       # all mutants
    python tests/simulation/mutants.py strike --seeds 50     # the mutants with these words in their names

Each mutant changes one place in a copy of the package. The simulation runs on the copy, seed after seed, on each
backend, until a run fails. The same seed has to pass without the change. The script prints the seed and what was wrong.
The exit status is 1 if a mutant survives: then an invariant or a workload is missing.
"""

# ruff: noqa: T201  a command

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lionpride_exec.testing import INVARIANTS, InvariantBroken

ROOT = Path(__file__).parents[2]
SEARCHED = ("", "tests", "tests/journal", "tests/simulation")
BACKENDS = ("asyncio", "trio")
SECONDS = 120  # the longest time of a run; a run that takes longer has failed
CAUGHT = 3  # the exit status of a hunt that found a failing run


class Mutant(NamedTuple):
    """
    A deliberate bug.

    Attributes:
        name: What is wrong in the mutant.
        file: The changed file, relative to the package.
        old: The replaced text. The file has the text once.
        new: The new text.
        every: The step between the seeds. 20 for a mutant of the journal: only every 20th seed has a journal
            (``JOURNAL_EVERY``).
    """

    name: str
    file: str
    old: str
    new: str
    every: int = 1


MUTANTS = [
    Mutant(
        "the amount of a quota is there a second before the reset",
        "_scheduling/quota_state.py",
        "self._calendar.after(wall) + RESOLUTION",
        "self._calendar.after(wall) - 1.0",
    ),
    Mutant(
        "set_limit() leaves the limits as they are",
        "_executor/steering.py",
        "        lanes._touch(lanes.limit_states.change(number + 1, current_time()))\n",
        "        pass\n",
    ),
    Mutant(
        "a pause holds up nothing of its key",
        "_processing/pauses.py",
        "            state.closed_until = max(state.closed_until, hold.until)\n",
        "",
    ),
    Mutant(
        "a schedule does not wait for its last run",
        "_executor/schedule_runs.py",
        "        if last is None or last.execution.status in TERMINAL or not self._owner.has(last):\n",
        "        if True:\n",
    ),
    Mutant(
        "the timeout of the executor does not hold",
        "_processing/event_runner.py",
        "pool.now, self, self.timeout)",
        "pool.now, self, None)",
    ),
    Mutant(
        "a run does not see the variables of its caller",
        "_executor/surroundings.py",
        "variable.set(value)) for variable, value in event._carried]",
        "variable.set(value)) for variable, value in ()]",
    ),
    Mutant(
        "the lifespan is left before the events have ended",
        "_executor/executor_group.py",
        "            async with self._entered():\n",
        "            async with self._entered():\n                pass\n            if True:\n",
    ),
    Mutant(
        "what waits for its next attempt expires",
        "_executor/expirations.py",
        " or bool(execution.attempts)",
        "",
    ),
    Mutant(
        "a lost wake-up: of two that wait for one thing only one is told",
        "_base/conditions.py",
        "                event.set()\n",
        "                event.set()\n                return\n",
    ),
    Mutant(
        "a lost wake-up: nobody looks when the capacity of the window comes back",
        "_processing/dispatcher.py",
        "            return min(self._window.next_at(now), self._queue.next_at())\n",
        "            return self._queue.next_at()\n",
    ),
    Mutant(
        "a lost wake-up: nobody looks when a limit has room again",
        "_scheduling/amounts.py",
        "            state.release(use, now)\n            if state.parked:\n",
        "            state.release(use, now)\n            if False:\n",
    ),
    Mutant(
        "a lost wake-up: nobody looks when the time of a limit has come",
        "_scheduling/lanes.py",
        "            heappush(self._timers, (until, next(self._turns), state))\n",
        "            pass\n",
    ),
    Mutant(
        "a lost wake-up: who has got an event does not see to the next one",
        "_processing/workers.py",
        "2 * self.busy:\n                        self.staff()\n",
        "2 * self.busy:\n                        pass\n",
    ),
    Mutant(
        "a lost wake-up: resume() tells nobody",
        "_base/coordination.py",
        "        self.holds.discard(token)\n"
        "        if self.starter is not None:\n"
        "            self.starter.look_again()\n",
        "        self.holds.discard(token)\n",
    ),
    Mutant(
        "a lost wake-up: room in the queue is not offered",
        "_scheduling/priority_queue.py",
        "            if self._room.waiting:\n                self._room.offer()\n        return entry\n",
        "        return entry\n",
    ),
    Mutant(
        "an await inside the transition: the list follows a step later",
        "_executor/transitions.py",
        "        if not by_status[previous]._order.hand_over(event.id, by_status[target]._order):\n"
        "            self._index.move(event, previous, target)\n",
        "        from lionpride_exec._base.backend import soon_caller\n"
        "        soon_caller()(lambda: self._index.move(event, previous, target))\n",
    ),
    Mutant(
        "a token of a limit is not given back after a failure",
        "_processing/event_runner.py",
        "        if run.uses:\n",
        "        if run.uses and event.status != 'failed':\n",
    ),
    Mutant(
        "a token of a limit is not given back after a cancellation",
        "_processing/event_runner.py",
        "        if run.uses:\n",
        "        if run.uses and event.status != 'cancelled':\n",
    ),
    Mutant(
        "a slot is not given back by a worker that is cancelled",
        "_processing/workers.py",
        "            if taken_at >= 0:\n                slots.release(me)\n",
        "            pass\n",
    ),
    Mutant(
        "a strike is not counted",
        "_processing/permission_gate.py",
        "        counts[event.id] = denials\n",
        "        counts.pop(event.id, None)\n",
    ),
    Mutant(
        "a fourth strike is waited for",
        "_processing/permission_gate.py",
        "        if denials >= MAX_DENIALS:\n",
        "        if denials > MAX_DENIALS:\n",
    ),
    Mutant(
        "a limit allows one more",
        "_scheduling/limit_state.py",
        "        if self.used + cost <= self.amount:\n",
        "        if self.used + cost <= self.amount + 1:\n",
    ),
    Mutant(
        "what was taken of a rate comes back early",
        "_scheduling/limit_state.py",
        "        back = now + self.per\n",
        "        back = now + self.per * 0.9\n",
    ),
    Mutant(
        "the window allows one more",
        "_scheduling/capacity.py",
        "        back = now + self.period\n",
        "        back = now if len(self._out) == self.total - 1 else now + self.period\n",
    ),
    Mutant(
        "equal priorities start in the wrong order",
        "_scheduling/priority_queue.py",
        "        return tuple.__new__(Entry, (priority, next(self._arrivals), event_id, route))\n",
        "        return tuple.__new__(Entry, (priority, -next(self._arrivals), event_id, route))\n",
    ),
    Mutant(
        "higher numbers start first",
        "_scheduling/priority_queue.py",
        "        return tuple.__new__(Entry, (priority, next(self._arrivals), event_id, route))\n",
        "        return tuple.__new__(Entry, (-priority, next(self._arrivals), event_id, route))\n",
    ),
    Mutant(
        "one retry too many",
        "_processing/retries.py",
        "        if retry is None or attempt >= retry.attempts or",
        "        if retry is None or attempt > retry.attempts or",
    ),
    Mutant(
        "an interruption counts as an attempt",
        "_events/lifecycle.py",
        "        execution.attempt = max(execution.attempt - interrupted, 0)\n",
        "",
    ),
    Mutant(
        "an event is lost when its worker is cancelled between take and start",
        "_processing/permission_gate.py",
        "            event._refile()\n            self._put_back(self.in_hand[event.id], event)\n",
        "            event._refile()\n",
    ),
    Mutant(
        "FAILED is filed as COMPLETED",
        "_executor/transitions.py",
        "        if not by_status[previous]._order.hand_over(event.id, by_status[target]._order):\n"
        "            self._index.move(event, previous, target)\n",
        "        self._index.move(event, previous, type(target)('completed') if target == 'failed' else target)\n",
    ),
    Mutant(
        "stop() does not wait",
        "_executor/executor_lifetime.py",
        "timeout_deadline(grace)) as scope:\n                await processor.wait_idle()\n",
        "timeout_deadline(grace)) as scope:\n                pass\n",
    ),
    Mutant(
        "pause() holds nothing up",
        "_processing/dispatcher.py",
        "        if pool.is_dismissed or self._holds or",
        "        if pool.is_dismissed or",
    ),
    Mutant(
        "a cancelled event is left in the queue",
        "_executor/queueing.py",
        "            self.processor.forget(event.id)\n\n    def follow_clock",
        "            pass\n\n    def follow_clock",
    ),
    Mutant(
        "a delay is ignored",
        "_scheduling/priority_queue.py",
        '            self.put_delayed(entry, until, "delay", at)\n',
        "            self.put_back(entry)\n",
    ),
    Mutant(
        "the wait for a retry is cut short",
        "_processing/event_runner.py",
        'self._queue.put_delayed(run.entry, current_time() + seconds, "retry")',
        'self._queue.put_delayed(run.entry, current_time() + seconds / 2, "retry")',
    ),
    Mutant(
        "what comes after others starts although one of them has failed",
        "_executor/followers.py",
        "        return status == EventStatus.COMPLETED or not",
        "        return status in {EventStatus.COMPLETED, EventStatus.FAILED} or not",
    ),
    Mutant(
        "what comes after others is never queued",
        "_executor/followers.py",
        "        if options is not None:\n            processor = self._queueing.processor\n",
        "        if options is not None and options.priority is not None:\n"
        "            processor = self._queueing.processor\n",
    ),
    Mutant(
        "a key is forgotten",
        "_executor/submissions.py",
        "                self._keys.give(event.id, options.key)\n            if options.expiry is not None:\n",
        "                pass\n            if options.expiry is not None:\n",
    ),
    Mutant(
        "a key is kept of an event that has left",
        "_tracking/retention.py",
        "        self._forget_key(event.id)\n",
        "",
    ),
    Mutant(
        "those who wait for an end are told only of a good one",
        "_events/lifecycle.py",
        "            if target in TERMINAL and (self._at_end",
        "            if target is COMPLETED and (self._at_end",
    ),
    Mutant(
        "a journal confirms an event before the commit",
        "_journal/writer.py",
        "        while not commit.is_over:\n",
        "        report_inserts(inserts, commit.done)\n        while not commit.is_over:\n",
        every=20,
    ),
    Mutant(
        "a strict journal confirms an end before the commit",
        "_journal/writer.py",
        "        while not commit.is_over:\n",
        "        [waiter.confirm() for waiter in commit.waiters]\n        while not commit.is_over:\n",
        every=20,
    ),
    Mutant(
        "an end is not written",
        "_journal/session.py",
        "            self._write(*outcome)\n",
        "",
        every=20,
    ),
]


def problem_with(mutant):
    """Return why a mutant cannot be made. None if the mutant can be made."""
    source = (ROOT / "lionpride_exec" / mutant.file).read_text()
    if (number := source.count(mutant.old)) != 1:
        return f"{mutant.file} has the text to replace {number} times, not once"
    try:
        compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    except SyntaxError as exc:
        return str(exc)
    return None


def catch(mutant, seeds):
    """Run the simulation on a copy of the package with the mutant. Return how the mutant was caught, or None."""
    with tempfile.TemporaryDirectory() as directory:
        for part in ("lionpride_exec", "tests"):
            shutil.copytree(ROOT / part, Path(directory, part))  # with the compiled files, which save time
        changed = Path(directory, "lionpride_exec", mutant.file)
        sound = changed.read_text()
        changed.write_text(sound.replace(mutant.old, mutant.new))
        caught = _hunt_in(directory, range(0, seeds * mutant.every, mutant.every))
        if caught is not None:
            changed.write_text(sound)
            seed = int(caught.split()[1])
            if (wrong := _hunt_in(directory, range(seed, seed + 1))) is not None:
                raise RuntimeError(f"the seed fails without the mutant too: {wrong}")
        return caught


def _hunt_in(directory, seeds):
    """Hunt in another process, with the package in this directory. Return what failed, or None."""
    numbers = [str(number) for number in (seeds.start, seeds.stop, seeds.step)]
    told = Path(directory, "told")
    with (
        told.open("w") as output,
        subprocess.Popen(  # noqa: S603  ours
            [sys.executable, str(Path(directory, "tests", "simulation", "mutants.py")), "--hunt", *numbers],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(directory, name)) for name in SEARCHED)},
            cwd=directory,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as hunter,
    ):
        status = end_of(hunter, told)
    lines = told.read_text().strip().splitlines() or [""]
    if status is None:
        return f"{lines[-1]} the run does not end"
    if status not in {0, CAUGHT}:
        raise RuntimeError("\n".join(["the hunt failed:", *lines[-10:]]))
    return lines[-1] if status == CAUGHT else None


def end_of(hunter, told):
    """Return the exit status of a hunt. If a run does not end in time, kill the hunt and return None."""
    length = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            return hunter.wait(SECONDS)
        before, length = length, told.stat().st_size
        if length == before:
            hunter.kill()
            return None


def hunt(seeds):
    """Run and print seed after seed in this process until a run fails. Return whether a run failed."""
    from simulation import simulate  # noqa: PLC0415  in a copy of the package only

    logging.disable()
    for seed in seeds:
        for backend in BACKENDS:
            print(f"seed {seed:3} {backend:7}", flush=True, end=" ")
            outcome = simulate(seed, backend)
            if outcome.error is not None or outcome.problems:
                print(_told(outcome), flush=True)
                return True
            print("passed")
    return False


def _told(outcome):
    """Return what is wrong with a run: the broken invariant, or else the error of the run, or else a problem."""
    error = outcome.cause
    names = [problem.partition(":")[0] for problem in outcome.problems]
    if isinstance(error, InvariantBroken):
        names.insert(0, error.invariant)
    broken = [name for name in names if name in INVARIANTS]
    ended_with = [] if error is None else [f"{type(error).__name__}: {error}"[:100]]
    return next(iter(broken + ended_with + names))


def main():
    """Hunt for all mutants, or for those that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="hunt only for mutants with these words in their names")
    parser.add_argument("--seeds", type=int, default=1000, help="most seeds for each mutant (default 1000)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="hunts at the same time (default: the number of processors)"
    )
    parser.add_argument("--hunt", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hunt is not None:
        return CAUGHT if hunt(range(*given.hunt)) else 0
    wanted = [mutant for mutant in MUTANTS if all(word in mutant.name for word in given.words)]
    problems = {mutant: problem for mutant in wanted if (problem := problem_with(mutant)) is not None}
    survivors = [f"{mutant.name}: {problem}" for mutant, problem in problems.items()]
    with ThreadPoolExecutor(given.jobs) as pool:
        began = time.monotonic()
        running = {pool.submit(catch, mutant, given.seeds): mutant for mutant in wanted if mutant not in problems}
        for number, future in enumerate(as_completed(running), 1):
            mutant, caught = running[future], future.result()
            told = "SURVIVES" if caught is None else f"caught: {caught}"
            print(
                f"[{number:2}/{len(running)}, {time.monotonic() - began:3.0f} s] {mutant.name}\n    {told}", flush=True
            )
            if caught is None:
                survivors.append(mutant.name)
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} are caught", *survivors, sep="\n  ")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
