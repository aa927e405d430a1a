"""What runs in a worker process or an interpreter: calls of a plain function, one after the other."""

from __future__ import annotations

import pickle
import runpy
import signal
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from lionpride_exec._base.main_import import IMPORTED_MAIN, keep_imported_main

from .outcome import encoded, encoded_error
from .results_file import ResultsWriter

if TYPE_CHECKING:
    from collections.abc import Callable


class Program(NamedTuple):
    """
    What an interpreter has to know of the program to import its modules.

    Attributes:
        path: Where the modules are.
        name: The name of the main module. None if it was not run by ``python -m``.
        file: Its file. None if it has none.
    """

    path: list[str]
    name: str | None
    file: str | None

    @classmethod
    def of_this_process(cls) -> Program:
        """Return what there is to know of this program now."""
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        return cls(sys.path, None if spec is None else spec.name, getattr(main, "__file__", None))


def run_one_in_interpreter(program: Program, function: bytes, arguments: bytes) -> bytes:
    """
    Make one call in an interpreter.

    An interpreter has a search path and a main module of its own, which AnyIO uses. If the call needs what the
    program's main module defines, that module is imported first. In a process, AnyIO does both.

    Args:
        program: The program that makes the call.
        function: The pickled function.
        arguments: Its pickled arguments: a tuple and a dict.

    Returns:
        What the function has returned or raised.
    """
    try:
        sys.path[:] = program.path
        if b"__main__" in function or b"__main__" in arguments:
            _import_main(program.name, program.file)
        found = _loads_in_interpreter(function)
    except Exception as exc:  # noqa: BLE001  the import of the user's modules
        return encoded_error(exc)
    return _outcome(found, arguments, _loads_in_interpreter)


def _import_main(name: str | None, file: str | None) -> None:
    # By `python -m package`, the name ends so. To import that module would run the program.
    if IMPORTED_MAIN in sys.modules or file is None or (name or "").rpartition(".")[2] == "__main__":
        return
    if name is None:
        found = runpy.run_path(file, run_name=IMPORTED_MAIN)
    else:
        found = runpy.run_module(name, run_name=IMPORTED_MAIN, alter_sys=True)
    module = ModuleType(IMPORTED_MAIN)
    vars(module).update(found)
    keep_imported_main(module)


class _Unpickler(pickle.Unpickler):
    """Finds what the program's main module defines under the name by which it was imported."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return what a module defines under a name."""
        if module_name == "__main__" and IMPORTED_MAIN in sys.modules:
            module_name = IMPORTED_MAIN
        return super().find_class(module_name, global_name)


def _loads_in_interpreter(data: bytes) -> Any:
    return _Unpickler(BytesIO(data)).load()


def run_one(function: bytes, arguments: bytes) -> tuple[bytes, float]:
    """
    Make one call.

    Args:
        function: The pickled function.
        arguments: Its pickled arguments: a tuple and a dict.

    Returns:
        What the function has returned or raised, and how many seconds it took.
    """
    _ignore_interrupts()
    try:
        found = _read_function(function)
    except Exception as exc:  # noqa: BLE001  the import of the user's module
        return encoded_error(exc), 0.0
    began = perf_counter()
    return _outcome(found, arguments), perf_counter() - began


def run_many(function: bytes, path: str, seconds: float) -> float:
    """
    Make calls one after the other, and write the outcome of each to a file. Stop early if the file or the time says so.

    Args:
        function: The pickled function.
        path: The file, which has the pickled arguments of each call.
        seconds: No call begins later than this.

    Returns:
        How many seconds the calls took: of CPU time if they never waited, else by the clock.
    """
    _ignore_interrupts()
    switches, cpu = _waits(), process_time()
    found = _read_function(function)
    with ResultsWriter(Path(path)) as results:
        began = now = perf_counter()
        for one in results.arguments:
            # The order matters: the outcome of a call is in the file before the question whether the next one may
            # begin. So when the parent has said "stop", and reads the file then, at most one call has begun that is not
            # in the file.
            results.write(_outcome(found, one))
            now = perf_counter()
            if now - began > seconds or results.has_to_stop():
                break
    # On a busy machine, the time by the clock says more of the machine than of the function.
    return process_time() - cpu if switches is not None and _waits() == switches else now - began


def _waits() -> int | None:
    """Return how often this process has given up its CPU to wait. None if the system does not tell."""
    try:
        import resource  # noqa: PLC0415  not on Windows
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def _outcome(function: Callable[..., Any], arguments: bytes, loads: Callable[[bytes], Any] = pickle.loads) -> bytes:
    try:
        args, kwargs = loads(arguments)
    except Exception as exc:  # noqa: BLE001  unpickling runs code of the user
        return encoded_error(exc)
    return encoded(function, args, kwargs)


def _read_function(function: bytes) -> Callable[..., Any]:
    found: Callable[..., Any] = pickle.loads(function)  # noqa: S301  from the program itself
    return found


def _ignore_interrupts() -> None:
    """Leave it to the program what Ctrl-C does, which a terminal sends to all of its processes."""
    with suppress(ValueError):  # an interpreter, in a thread that gets no signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)
