"""Load the function or class that TARGET names, and make the executor for it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._events.event import Event
from lionpride_exec._executor.executor import Executor
from lionpride_exec._executor.factory import processor_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import ModuleType

    from lionpride_exec._journal import Journal

EXPECTED = "an async function of one record, an Event subclass or an Executor subclass"

# Files are loaded under this prefix, so that a file json.py hides no module. The name depends on the name of the file
# only, so a later run can read what was written with it.
MODULE_PREFIX = "lionpride_exec_target_"


@attrs.frozen
class Target:
    """
    What to run.

    Attributes:
        name: The name in TARGET, without module or file.
        executor_type: The class in TARGET, or a class made for the event class or function.
        is_function: Whether the events have a single field ``record``, which takes any value.
    """

    name: str
    executor_type: type[Executor]
    is_function: bool = False

    def build(self, processor_config: Mapping[str, Any], journal: Journal | None = None) -> Executor:
        """
        Return a new executor.

        Raises:
            UsageError: Its class is unfinished, or needs more than ``processor_config`` (and ``journal``).
        """
        given: dict[str, Any] = {} if journal is None else {"journal": journal}
        try:
            return self.executor_type(processor_config=dict(processor_config), **given)
        except Exception as exc:
            call = f"{self.executor_type.__name__}(processor_config=...{', journal=...' if given else ''})"
            raise UsageError(f"cannot make {call}: {describe(exc)}") from exc


def load_target(text: str) -> Target:
    """
    Load ``module:name`` or ``path/to/file.py:name``.

    The current directory and the directory of the file are put first on ``sys.path``, as for a script.

    Raises:
        UsageError: The module or file cannot be loaded, or the name stands for nothing that can be run.
    """
    place, colon, name = text.rpartition(":")
    if not (colon and place and name):
        raise UsageError(f"TARGET must be module:name or path/to/file.py:name, got {text!r}")
    _put_on_path(Path.cwd())
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    try:
        found = reduce(getattr, name.split("."), cast("Any", module))
    except AttributeError as exc:
        raise UsageError(f"{place} has no {name!r}") from exc
    return _target_of(found, text)


def describe(exc: BaseException) -> str:
    """Return the class and the message of an error as one line. The class alone if the error cannot be printed."""
    try:
        text = " ".join(str(exc).split())
    except Exception:  # noqa: BLE001  from ``__str__`` of a class that is not ours
        text = ""
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _put_on_path(directory: Path) -> None:
    entry = str(directory)
    if entry not in sys.path:
        sys.path.insert(0, entry)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"cannot load {path}: no such file")
    _put_on_path(path.resolve().parent)
    name = MODULE_PREFIX + path.stem
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"cannot load {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before the module runs, since its classes are looked up by this name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        del sys.modules[name]
        raise UsageError(f"cannot load {path}: {_with_place(exc)}") from exc
    return module


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        raise UsageError(f"cannot import {name}: {_with_place(exc)}") from exc


def _with_place(exc: BaseException) -> str:
    """Return what a module raised while it was loaded, with file and line."""
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not frame.filename.startswith("<frozen")]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames[-1].filename != __file__ else ""
    return f"{describe(exc)}{'' if isinstance(exc, SyntaxError | ModuleNotFoundError) else place}"


def _target_of(found: object, text: str) -> Target:
    name = text.rpartition(":")[2]
    if isinstance(found, type):
        if issubclass(found, Executor):
            return Target(name, found)
        if issubclass(found, Event):
            _check_runnable(found, text)
            return Target(name, _executor_for(found))
        raise UsageError(f"{text} is the class {found.__name__}; expected {EXPECTED}")
    if not callable(found):
        raise UsageError(f"{text} is a {type(found).__name__}; expected {EXPECTED}")
    _check_async(found, text)
    function = cast("Callable[[Any], Awaitable[Any]]", found)
    return Target(name, _executor_for(_event_for(function)), is_function=True)


def _check_runnable(event_type: type[Event], text: str) -> None:
    own = [cls for cls in event_type.__mro__ if cls not in Event.__mro__]
    if not any(name in vars(cls) for cls in own for name in ("_invoke", "stream")):
        raise UsageError(f"{text} does nothing: the class has no _invoke()")


def _check_async(function: Callable[..., object], text: str) -> None:
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004  it is inspected, not called
    if inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(call):
        raise UsageError(f"{text} is an async generator; it must be an async function that returns its result")
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
        raise UsageError(f"{text} must be async (async def): a plain function would block all others")
    try:
        inspect.signature(function).bind(None)
    except TypeError as exc:
        raise UsageError(f"{text} must take one record as its only required argument: {exc}") from exc


def _event_for(function: Callable[[Any], Awaitable[Any]]) -> type[Event]:
    class FunctionCall(Event):
        """A call of the function with one record."""

        record: Any = None

        async def _invoke(self) -> Any:
            """Await the function with the record."""
            return await function(self.record)

    FunctionCall.__qualname__ = FunctionCall.__name__  # the name in messages
    return FunctionCall


def _executor_for(kind: type[Event]) -> type[Executor]:
    class LineExecutor(Executor):
        """Runs the events that were made of lines."""

        processor_type = processor_for(kind, None)

    return LineExecutor
