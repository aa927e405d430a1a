"""Running under virtual time, on each of the backends."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from lionpride_exec._validation import check_seconds

from .asyncio_clock import VirtualClockLoop
from .deadlock import Watch
from .virtual_wall import wall_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextlib import AbstractContextManager
    from datetime import datetime

T = TypeVar("T")

# The package that each backend needs.
PACKAGES = {"asyncio": None, "trio": "trio", "asyncio+uvloop": "uvloop"}

BACKENDS: tuple[str, ...] = tuple(name for name, needed in PACKAGES.items() if needed is None or find_spec(needed))
"""The backends that are installed: "asyncio"; "trio", an extra; "asyncio+uvloop" (not for Windows, nor PyPy)."""

IO_PATIENCE = 0.1


def backend_options(backend: str, *, io_patience: float = IO_PATIENCE) -> tuple[str, dict[str, Any]]:
    """
    Return the name of a backend, and the options by which AnyIO starts it under a new virtual clock.

    Pass them to ``anyio.run(main, backend=name, backend_options=options)`` once, or return them from the fixture
    ``anyio_backend`` of AnyIO's pytest plugin. On Windows too, asyncio uses a selector loop, which has no subprocesses
    there.

    Args:
        backend: One of :data:`BACKENDS`.
        io_patience: Real seconds, 0 or more, as for :func:`run`.

    Raises:
        ValueError: There is no such backend; or the patience is negative, infinite or NaN.
        ModuleNotFoundError: What it needs is not installed.
    """
    return _options(backend, io_patience, None)


def _options(backend: str, io_patience: float, watch: Watch | None) -> tuple[str, dict[str, Any]]:
    if backend not in PACKAGES:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    needed = PACKAGES[backend]
    if needed is not None and find_spec(needed) is None:
        raise ModuleNotFoundError(
            f"backend {backend!r} needs {needed}, which is not installed: pip install {needed}", name=needed
        )
    check_seconds("io_patience", io_patience)
    if backend == "trio":
        from .trio_clock import trio_options  # noqa: PLC0415  an extra

        return "trio", trio_options(io_patience, watch)
    if backend == "asyncio+uvloop":
        from .uvloop_clock import VirtualUvloop  # noqa: PLC0415  likewise

        return "asyncio", {"loop_factory": partial(VirtualUvloop, io_patience=io_patience, watch=watch)}
    return "asyncio", {"loop_factory": partial(VirtualClockLoop, io_patience=io_patience, watch=watch)}


def run(
    function: Callable[..., Awaitable[T]],
    *arguments: Any,
    backend: str = "asyncio",
    seed: int | None = None,
    io_patience: float = IO_PATIENCE,
    start: datetime | None = None,
) -> T:
    """
    Run an async function under virtual time, which begins at 0, and return its result.

    When all tasks are blocked, the clock jumps to the next timer. An hour costs about a millisecond. The clock stands
    still while a thread works for the event loop. While sockets, pipes or processes are in use, the clock jumps when
    none of them has become ready for ``io_patience`` real seconds. Virtual time is what the event loop says:
    ``anyio.current_time()`` follows the clock, ``time.time()`` and ``datetime.now()`` do not.

    Args:
        function: The async function to run.
        arguments: The positional arguments of the function.
        backend: One of :data:`BACKENDS`.
        seed: Makes a run repeatable. During the run it seeds ``random``, and the order in which trio runs tasks that
            are ready. asyncio always runs them in the same order. Threads and files are not repeatable, nor is what
            depends on ``id()``, ``uuid4()`` or the hash of strings.
        io_patience: Real seconds, 0 or more, to wait for files that are in use.
        start: The time of day at the virtual time 0, with a time zone. The wall clock of the package then follows the
            virtual clock: :func:`~lionpride_exec.utc_now`, ``at=``, ``expires=``, quotas, schedules, and the times in
            records and journals. None: these read the real clock.

    Raises:
        Deadlock: Nothing can ever go on. The run has been cancelled.
        ValueError: There is no such backend; or the patience is negative, infinite or NaN; or ``start`` has no time
            zone.
        TypeError: ``start`` is no datetime.
        ModuleNotFoundError: What the backend needs is not installed.
        RuntimeError: Called from inside an event loop.

    An exception of the function is raised too.
    """
    _check_outside()
    watch = Watch()
    name, options = _options(backend, io_patience, watch)
    options, wall = wall_from(start, options)
    with _seeded(seed, name), wall:
        try:
            return anyio.run(watch.guard, function, arguments, backend=name, backend_options=options)
        except Exception as exc:
            if watch.error is not None and exc is not watch.error:  # stuck again, when it was cancelled
                raise watch.error from exc
            raise


def _check_outside() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None or not trio.lowlevel.in_trio_run():
            return
    raise RuntimeError("run() starts an event loop of its own, and cannot be called from inside one")


@contextmanager
def _seeded(seed: int | None, backend: str) -> Generator[None]:
    """Seed everything that is random, and restore the state of before at the end."""
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        with seeded_order(seed, backend):
            yield
    finally:
        random.setstate(state)


def seeded_order(seed: int, backend: str) -> AbstractContextManager[None]:
    """Seed the order in which a backend runs ready tasks, if that order is random."""
    if backend != "trio":
        return nullcontext()
    from .trio_clock import seeded_scheduler  # noqa: PLC0415  an extra

    return seeded_scheduler(seed)
