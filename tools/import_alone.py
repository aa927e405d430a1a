"""
Check an environment that has only the wheel: the package works without any extra, and says what an extra would add.

Run by the Python of that environment, with ``-I``, so that nothing else can be imported by accident.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions, requires
from pathlib import Path

import anyio

import lionpride_exec
from lionpride_exec import Executor

# Nobody asked for these: they come with the environment, or with anyio and attrs.
OTHERS = {"idna", "pip", "setuptools", "sniffio", "typing-extensions", "typing_extensions"}


async def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


async def main() -> None:
    """Run a few operations."""
    async with Executor.of(double) as executor:
        results = sorted([call.result() async for call in executor.map(double, range(5))])
    assert results == [0, 2, 4, 6, 8], results


here = Path(sys.prefix)
assert here in Path(lionpride_exec.__file__).parents, lionpride_exec.__file__
needed = [line for line in requires("lionpride-exec") or [] if "extra ==" not in line]
assert {line.partition(">")[0] for line in needed} == {"anyio", "attrs"}, needed
names = {found.metadata["Name"].lower() for found in distributions()}
assert names - OTHERS == {"anyio", "attrs", "lionpride-exec"}, names
for name in lionpride_exec.__all__:
    getattr(lionpride_exec, name)
anyio.run(main)
done = subprocess.run(  # noqa: S603  our own command
    [here / "bin" / "lionpride-exec", "--help"], capture_output=True, text=True, check=False
)
assert done.returncode == 2, done  # noqa: PLR2004  wrong use
assert "pip install '.[cli]'" in done.stderr, done.stderr
print("works with", ", ".join(sorted(names & {"anyio", "attrs"})), "only; the command names its extra")
