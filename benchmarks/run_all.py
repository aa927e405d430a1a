"""Run all benchmarks, each in a process of its own, with the options given; status 0 if all targets hold."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the files one by one and name those that missed a target."""
    here = Path(__file__)
    files = [path for path in sorted(here.parent.glob("[!_]*.py")) if path != here]
    missed = [path.stem for path in files if subprocess.call([sys.executable, str(path), *sys.argv[1:]])]  # noqa: S603  our own files
    print(f"Missed: {', '.join(missed)}" if missed else "All targets of all benchmarks hold")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
