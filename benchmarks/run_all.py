"""
Run all benchmarks, each in a process of its own, with the options given; status 0 if all targets hold.

Except ``plot.py``, which judges nothing, ``soak.py``, which takes as long as it is told, and ``beside_before.py``,
which needs another version of the package.
"""

import subprocess
import sys
from pathlib import Path

BY_NAME = {"beside_before", "plot", "run_all", "soak"}


def main() -> int:
    """Run the files one by one and name those that missed a target."""
    files = [path for path in sorted(Path(__file__).parent.glob("[!_]*.py")) if path.stem not in BY_NAME]
    missed = [path.stem for path in files if subprocess.call([sys.executable, str(path), *sys.argv[1:]])]  # noqa: S603  our own files
    print(f"Missed: {', '.join(missed)}" if missed else "All targets of all benchmarks hold")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
