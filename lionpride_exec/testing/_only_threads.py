"""Runs in threads what an executor would run in processes or interpreters."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lionpride_exec._offload.offload import Offload

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def only_threads() -> Iterator[None]:
    """
    Run functions of ``run_in="process"`` and ``"interpreter"`` in threads of this process, inside the block.

    ``with only_threads(): anyio.run(main)``. So a test sees what it has patched, a debugger stops in the function, and
    no process has to start. All executors of this process do so for calls that begin inside the block, whichever thread
    enters it. Blocks may be nested. ``processes=`` still says how many calls run, if all events are of this kind.

    What only a process does is not tested then: arguments and results are not pickled, and a cancelled call goes on in
    its thread, as with ``run_in="thread"``.
    """
    before, Offload.only_threads = Offload.only_threads, True
    try:
        yield
    finally:
        Offload.only_threads = before
