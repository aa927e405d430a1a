"""Plain functions of processes and interpreters in threads, for a test."""

import os

import anyio
import pytest
from plain_work import Parse, process_of

from lionpride_exec import EventStatus, Executor
from lionpride_exec.testing import only_threads, run

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("inside", [True, False])
async def test_a_function_of_a_process_runs_here(inside):
    """In a thread of this process, until the block is left."""
    with only_threads():
        with only_threads():
            pass
        if inside:
            async with Executor.of(process_of, run_in="process") as executor:
                assert [call.result() async for call in executor.map(process_of, range(3))] == [os.getpid()] * 3
    if not inside:
        async with Executor.of(process_of, run_in="process", processes=1) as executor:
            assert [call.result() async for call in executor.map(process_of, range(1))] != [os.getpid()]


async def test_an_event_of_a_class_sees_what_is_patched(monkeypatch):
    """In a process it would not."""
    monkeypatch.setattr(Parse, "_invoke", lambda _: "patched")
    with only_threads():
        async with Executor.of(Parse) as executor:
            event = await executor.append(Parse(text="1"))
            await event.wait()
    assert (event.status, event.result()) == (EventStatus.COMPLETED, "patched")


def test_under_virtual_time():
    """Without a process, whose pipes the clock would have to watch."""

    async def main():
        async with Executor.of(process_of, run_in="process") as executor:
            found = [call.result() async for call in executor.map(process_of, range(3))]
            await anyio.sleep(3600)
        return found

    with only_threads():
        assert run(main) == [os.getpid()] * 3
