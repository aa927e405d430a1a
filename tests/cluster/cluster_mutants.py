"""
Mutants of the cluster: deliberate bugs, each of which the tests of clusters have to catch.

    python tests/cluster/cluster_mutants.py                # all mutants
    python tests/cluster/cluster_mutants.py fence          # the mutants with these words in their names

Each mutant changes a copy of the package. The tests that it names run on the copy until one fails. They have to pass
without the change. The script prints which test has failed. The exit status is 1 if a mutant survives.
"""

# ruff: noqa: T201  a command

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SECONDS = 300  # the longest time of a run of tests; a run that takes longer has failed


class Change(NamedTuple):
    """
    A text that is replaced.

    Attributes:
        file: The changed file, relative to the package.
        old: The replaced text. The file has the text once.
        new: The new text.
    """

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """
    A deliberate bug.

    Attributes:
        name: What is wrong in the mutant.
        tests: What catches it: arguments of pytest.
        changes: What is changed.
    """

    name: str
    tests: str
    changes: list[Change]


STALE = """\
            local stale = redis.call('XPENDING', stream(number), 'lp', 'IDLE', int(args.idle), '-', '+', room)
            for _, entry in ipairs(stale) do
                local claimed = redis.call('XCLAIM', stream(number), 'lp', args.worker, int(args.idle), entry[1])
                if claimed[1] then
                    load(number, claimed[1][1], id_of(claimed[1][2]))
                else
                    redis.call('XACK', stream(number), 'lp', entry[1])  -- the entry was deleted
                end
            end
"""
AUTOCLAIM = """\
            local idle = int(args.idle)
            local stale = redis.call('XAUTOCLAIM', stream(number), 'lp', args.worker, idle, '0-0', 'COUNT', room)
            for _, entry in ipairs(stale[2]) do
                load(number, entry[1], id_of(entry[2]))
            end
"""
GCRA = """\
            local last = tonumber(redis.call('ZRANGE', bucket(name, 'u'), -1, -1, 'WITHSCORES')[2] or 0)
            return_after(name, token, math.max(last, now) - now + per * limit[4] / limit[2])
"""

MUTANTS = [
    Mutant(
        "no fence: the end of an older run counts",
        "tests/cluster/test_server_queue.py",
        [
            Change(
                "_cluster/lua/step.lua",
                "local is_last, step = token ~= '' and found[4] == token,",
                "local is_last, step = true,",
            )
        ],
    ),
    Mutant(
        "an entry is acknowledged when it is taken, not when its event ends",
        "tests/cluster/test_worker.py tests/cluster/test_worker_kills.py",
        [
            Change(
                "_cluster/lua/take.lua",
                "    out[#out + 1] = { id, number, entry_id",
                "    redis.call('XACK', stream(number), 'lp', entry_id)\n    out[#out + 1] = { id, number, entry_id",
            ),
            Change("_cluster/lua/step.lua", "    return #found > 0\n", "    return true\n"),
        ],
    ),
    Mutant(
        "what is stale is looked for from the first entry on, as far as XAUTOCLAIM looks",
        "tests/cluster/test_server_queue.py",
        [Change("_cluster/lua/take.lua", STALE, AUTOCLAIM)],
    ),
    Mutant(
        "a full server refuses the scripts by which events end",
        "tests/cluster/test_cluster_failures.py tests/cluster/test_cluster_server_away.py",
        [Change("_cluster/scripts.py", "flags=allow-oom", "flags=")],
    ),
    Mutant(
        "a rate is kept by GCRA, and not by what was taken in its window",
        "tests/cluster/test_buckets.py",
        [
            Change(
                "_cluster/lua/buckets.lua",
                "            return_after(name, token, per)\n        end\n        redis.call('ZREM'",
                GCRA + "        end\n        redis.call('ZREM'",
            )
        ],
    ),
    Mutant(
        "no event is parked",
        "tests/cluster/test_cluster_work.py",
        [Change("_executor/cluster_work.py", "if not room and processor", "if False and not room and processor")],
    ),
    Mutant(
        "a worker keeps the place that it is told of and cannot use",
        "tests/cluster/test_passed_places.py",
        [Change("_executor/cluster_limits.py", "                self._pass_place(bucket)\n", "                pass\n")],
    ),
    Mutant(
        "a delay ends by the clock of the client",
        "tests/cluster/test_cluster_clocks.py",
        [
            Change(
                "_executor/cluster_submissions.py",
                "return -max(options.until - current_time(), 0.0) * 1e6",
                'return (__import__("time").time() + max(options.until - current_time(), 0.0)) * 1e6',
            )
        ],
    ),
    Mutant(
        "the scripts go by the clock of who calls them",
        "tests/cluster/test_cluster_clocks.py",
        [
            Change(
                "_cluster/wire.py",
                "msgspec.msgpack.encode(arguments)",
                'msgspec.msgpack.encode(arguments | {"now": __import__("time").time() * 1e6})',
            ),
            Change("_cluster/lua/common.lua", "local now = time[1] * SECOND + time[2]", "local now = args.now"),
        ],
    ),
    Mutant(
        "a client is entered in the scope that is cancelled",
        "tests/cluster/test_cluster_cancellation.py",
        [
            Change(
                "_cluster/wire.py",
                '        assert self._group is not None, "the wire is not open"\n',
                "        async with client:\n            yield client\n        return\n",
            )
        ],
    ),
    Mutant(
        "one client for commands and for reads that block",
        "tests/cluster/test_cluster_failures.py",
        [
            Change(
                "_cluster/wire.py",
                "                async with self._entered(self._new_client(max_connections=1)) as client:\n",
                "                async with __import__('contextlib').nullcontext(self._client) as client:\n",
            )
        ],
    ),
    Mutant(
        "a start that is sent again is another start",
        "tests/cluster/test_server_queue.py tests/cluster/test_buckets.py",
        [
            Change(
                "_cluster/lua/step.lua",
                "if found[1] == 'processing' and found[5] == token then\n        return { 'go'",
                "if false then\n        return { 'go'",
            )
        ],
    ),
]


def problem_with(mutant):
    """Return why a mutant cannot be made. None if it can be made."""
    for change in mutant.changes:
        number = (ROOT / "lionpride_exec" / change.file).read_text().count(change.old)
        if number != 1:
            return f"{change.file} has the text to replace {number} times, not once"
    return None


def catch(mutant):
    """Run the tests of a mutant on a copy of the package. Return which test has failed. None if the mutant survives."""
    with tempfile.TemporaryDirectory() as directory:
        for part in ("lionpride_exec", "tests"):
            shutil.copytree(ROOT / part, Path(directory, part), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", directory)
        sound = {change.file: (ROOT / "lionpride_exec" / change.file).read_text() for change in mutant.changes}
        for change in mutant.changes:
            path = Path(directory, "lionpride_exec", change.file)
            path.write_text(path.read_text().replace(change.old, change.new))
        caught = failure_in(directory, mutant.tests)
        if caught is not None:
            for file, text in sound.items():
                Path(directory, "lionpride_exec", file).write_text(text)
            if (wrong := failure_in(directory, caught)) is not None:
                raise RuntimeError(f"the test fails without the mutant too: {wrong}")
        return caught


def failure_in(directory, tests):
    """Run tests until one fails. Return its name, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split(" ")]
    environment = os.environ | {"PYTHONPATH": directory}
    try:
        run = subprocess.run(
            command, cwd=directory, env=environment, timeout=SECONDS, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return tests
    if run.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the tests did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return found[1]


def main():
    """Have all mutants caught, or those that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants with these words in their names")
    given = parser.parse_args()
    wanted = [mutant for mutant in MUTANTS if all(word in mutant.name for word in given.words)]
    survivors = []
    began = time.monotonic()
    for number, mutant in enumerate(wanted, 1):
        problem = problem_with(mutant)
        caught = None if problem else catch(mutant)
        told = f"SURVIVES {problem or ''}" if caught is None else f"caught by {caught}"
        print(f"[{number:2}/{len(wanted)}, {time.monotonic() - began:3.0f} s] {mutant.name}\n    {told}", flush=True)
        survivors += [mutant.name] if caught is None else []
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} are caught", *survivors, sep="\n  ")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
