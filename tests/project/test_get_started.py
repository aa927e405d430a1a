"""What the page *Get started* says beside its programs."""

import asyncio

import pytest
from pages import PAGES, blocks_in

from lionpride_exec import Executor


@pytest.mark.filterwarnings("error")
def test_asyncio_run_starts_the_first_program(capsys):
    """A user of asyncio needs neither ``anyio.run()`` nor the functions of AnyIO."""
    first = next(
        block for block in blocks_in(PAGES["docs/get-started.md"].read_text("utf-8")) if block.language == "python"
    )
    program, run, _ = first.text.partition("anyio.run(main)")
    assert run
    program = program.replace("anyio.sleep(1)", "asyncio.sleep(0.01)")
    program = program.replace("anyio.current_time()", "asyncio.get_running_loop().time()")
    assert "anyio" not in program.replace("import anyio\n", "")
    exec(compile(program.replace("import anyio\n", "import asyncio\n") + "asyncio.run(main())\n", "page", "exec"), {})  # noqa: S102  ours
    assert capsys.readouterr().out.startswith("49500 in ")


def test_functions_of_asyncio_work_inside():
    """Tasks, gather(), queues, timeouts and plain futures of asyncio, in the program and in its events."""

    async def double(number, queue):
        async with asyncio.timeout(10):
            await asyncio.gather(asyncio.sleep(0), asyncio.create_task(queue.put(number)))
        future = asyncio.get_running_loop().create_future()
        future.set_result(2 * number)
        return await future

    async def main():
        queue = asyncio.Queue()
        async with Executor.of(double) as executor:
            calls = [call async for call in executor.starmap(double, [(n, queue) for n in range(3)], ordered=True)]
        return [call.result() for call in calls], sorted([queue.get_nowait() for _ in range(3)])

    assert asyncio.run(main()) == ([0, 2, 4], [0, 1, 2])
