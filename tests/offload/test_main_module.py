"""Functions and classes of the program's main module, in processes and interpreters."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from dataclasses import dataclass

import anyio
from lionpride_exec import Call, Event, Executor

@dataclass
class Answer:
    number: int

class Refused(Exception):
    pass

def double(number):
    return Answer(number.number * 2)

def refuse(number):
    raise Refused(number.number)

class Half(Event[Answer], run_in={where!r}):
    number: int

    def _invoke(self):
        return Answer(self.number // 2)

async def main():
    async with Executor.of(double, run_in={where!r}) as executor:
        events = await executor.extend(Call.of(double, Answer(n)) for n in range(3))
        await executor.join()
        print([event.result() for event in events])
        event = await executor.append(Call.of(refuse, Answer(1)))
        await event.wait()
        print(event.status.value, type(event.execution.error) is Refused)
    async with Executor.of(Half) as executor:
        print(await executor.invoke(Half(number=8)))

if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
"""

PLACES = [
    "process",
    pytest.param("interpreter", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="needs Python 3.14")),
]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("how", ["script", "module"])
def test_a_program_uses_what_its_main_module_defines(tmp_path, where, backend, how):
    """Its functions, its event classes, and the classes of arguments, results and errors."""
    (tmp_path / "program.py").write_text(PROGRAM.format(where=where))
    start = ["program.py"] if how == "script" else ["-m", "program"]
    done = subprocess.run(  # noqa: S603  our own
        [sys.executable, *start, backend], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    answers = "[Answer(number=0), Answer(number=2), Answer(number=4)]"
    assert done.stdout.splitlines() == [answers, "failed True", "Answer(number=4)"], done.stderr


WITHOUT_GUARD = """
import sys
from pathlib import Path

import anyio
from lionpride_exec import Call, Executor, Retry

def double(number):
    return number * 2

async def main():
    with Path("begun").open("a") as file:
        file.write("x")
    async with Executor.of(double, run_in={where!r}, retry=Retry(3, backoff=0.01)) as executor:
        event = await executor.append(Call.of(double, 1))
        await event.wait()
    with Path("ended").open("a") as file:
        file.write("x")
    print(event.status.value, len(event.execution.attempts), event.execution.error)

anyio.run(main, backend={backend!r}, backend_options={options!r})
"""


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    ("backend", "options"),
    [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
@pytest.mark.parametrize("how", ["script", "module"])
def test_a_program_without_a_guard_is_not_run_again_by_its_workers(tmp_path, where, backend, options, how):
    """An executor refuses to start while a worker imports the main module. The event fails with the remedy."""
    (tmp_path / "program.py").write_text(WITHOUT_GUARD.format(where=where, backend=backend, options=options))
    start = ["program.py"] if how == "script" else ["-m", "program"]
    done = subprocess.run(  # noqa: S603  our own
        [sys.executable, *start], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    if where == "interpreter" and options:
        assert "uvloop.loop does not support loading in subinterpreters" in done.stdout, done.stderr
        return
    assert done.stdout.startswith("failed 0 "), done.stderr  # without another attempt
    assert 'Put the start of the program, such as anyio.run(main), below if __name__ == "__main__":' in done.stdout
    assert (tmp_path / "begun").read_text() == "xx"
    assert (tmp_path / "ended").read_text() == "x"


NESTED = """
import anyio
from lionpride_exec import Call, Executor

def double(number):
    return number * 2

async def inner(number):
    async with Executor.of(double) as executor:
        return await executor.invoke(Call.of(double, number))

def outer(number):
    return anyio.run(inner, number)

async def main():
    async with Executor.of(outer, run_in={where!r}) as executor:
        print(await executor.invoke(Call.of(outer, 4)))

if __name__ == "__main__":
    anyio.run(main)
"""


@pytest.mark.parametrize("where", PLACES)
def test_a_function_in_a_worker_may_start_an_executor(tmp_path, where):
    """Once the import of the main module is over, an executor starts there as anywhere."""
    (tmp_path / "program.py").write_text(NESTED.format(where=where))
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    assert done.stdout == "8\n", done.stderr
