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
