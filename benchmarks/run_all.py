"""
Run the benchmarks, each in a process of its own, and print the table of all targets; status 0 if all targets hold.

``--only ROW`` runs the program of that row, and the row alone. Without it all programs run, also those that have no row
in the table, except ``plot.py``, which judges nothing, ``soak.py``, which takes as long as it is told, and
``beside_before.py``, which needs another version of the package. With ``--quick`` the rows that take too long for a
look are not measured, and do not count.
"""

import argparse
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import add_options
from _targets import Results, chosen, holds, load, table

HERE = Path(__file__).parent
BY_NAME = {"beside_before", "plot", "run_all", "soak"}


def programs(only: Collection[str], folder: Path = HERE) -> list[Path]:
    """Return the programs that measure these rows, in the order of the table; without rows: all programs."""
    named = [folder / f"{row.program}.py" for row in chosen(only)]
    others = [] if only else [path for path in sorted(folder.glob("[!_]*.py")) if path.stem not in BY_NAME]
    return list(dict.fromkeys([*named, *others]))


def run(paths: Sequence[Path], arguments: Sequence[str], results: Results) -> list[str]:
    """Run programs one by one, add the figures of their rows to the results, and return those that missed a target."""
    missed = []
    with TemporaryDirectory(prefix="benchmarks-") as directory:
        for path in paths:
            file = Path(directory) / f"{path.stem}.json"
            command = [sys.executable, str(path), *arguments, "--results", str(file)]
            if subprocess.call(command):  # noqa: S603  our own files
                missed.append(path.stem)
            results.update(load(file))
    return missed


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Run, print the table, and name the programs that missed a target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    add_options(parser)
    options = parser.parse_args(arguments)
    results: Results = {}
    given = list(sys.argv[1:] if arguments is None else arguments)
    missed = run(programs(options.only, folder), given, results)
    rows = chosen(options.only)
    print("\n".join(["", *table(rows, results), ""]))
    print(f"Missed: {', '.join(missed)}" if missed else "All targets of all benchmarks hold")
    if options.quick or options.backend:
        rows = [row for row in rows if row.name in results]
    return 0 if holds(rows, results) and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
