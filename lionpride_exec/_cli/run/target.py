"""Load the function or class that TARGET names, and make the executor for it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._events.call import check_function
from lionpride_exec._events.event import Event, tag_of
from lionpride_exec._events.place_options import call_outside
from lionpride_exec._executor.current import lend_lifespan
from lionpride_exec._executor.executor import Executor
from lionpride_exec._executor.factory import processor_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._journal import Journal

EXPECTED = "a function of one record, an Event subclass or an Executor subclass"

# Files are loaded under this prefix, so that a file json.py hides no module. The name depends on the name of the file
# only, so a later run can read what was written with it.
MODULE_PREFIX = "lionpride_exec_target_"

# The tag of events whose class has none begins with this.
TAG = "run:"


@attrs.frozen
class Target:
    """
    What to run.

    Attributes:
        name: The name in TARGET, without module or file.
        executor_type: The class in TARGET, or a class made for the event class or function.
        is_function: Whether the events have a single field ``record``, which takes any value.
        lifespan: The function ``lifespan`` beside it in its module, for what all its events share. None without.
        is_plain: Whether it is a function that is not async, and so runs in threads or processes.
        function: The function. None for a class.
    """

    name: str
    executor_type: type[Executor]
    is_function: bool = False
    is_plain: bool = False
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    function: Callable[[Any], Any] | None = None

    @property
    def event_type(self) -> type[Event] | None:
        """The class of the events. None if the executor class has none."""
        return getattr(getattr(self.executor_type, "processor_type", None), "event_type", None)

    @property
    def types(self) -> dict[str, type[Event]]:
        """The class of the events by the tag under which events are stored. Empty if the class has a tag of its own."""
        # The tag does not say where the file of the target lies, since files are moved.
        is_untagged = self.event_type is not None and tag_of(self.event_type) is None
        return {TAG + self.name: self.event_type} if self.event_type is not None and is_untagged else {}

    def check_places(self, places: Mapping[str, int]) -> None:
        """
        Check that the target runs in threads or processes, if their number is given.

        Raises:
            UsageError: It runs in the event loop, or in another place.
        """
        for name in places:
            wanted = {"threads": "thread", "processes": "process"}[name]
            if not self.is_plain and getattr(self.event_type, "_run_in", None) != wanted:
                raise UsageError(
                    f"--{name} is for a plain function (def), or for an event class with run_in={wanted!r}; "
                    f"{self.name} is neither"
                )

    def build(self, processor_config: Mapping[str, Any], **backing: Journal | Cluster) -> Executor:
        """
        Return a new executor.

        An executor that its class makes without a lifespan gets that of the module.

        Args:
            processor_config: Keywords of the processor.
            backing: ``journal`` or ``cluster``, if it has one.

        Raises:
            UsageError: Its class is unfinished, or needs more than ``processor_config`` and ``backing``.
        """
        given: dict[str, Any] = dict(backing)
        place = {"run_in": "process" if "processes" in processor_config else "thread"} if self.is_plain else {}
        try:
            executor = self.executor_type(processor_config=dict(processor_config) | place, **given)
        except Exception as exc:
            more = "".join(f", {name}=..." for name in given)
            call = f"{self.executor_type.__name__}(processor_config=...{more})"
            raise UsageError(f"cannot make {call}: {describe(exc)}") from exc
        if self.lifespan is not None:
            lend_lifespan(executor, self.lifespan)
        return executor


def load_target(text: str) -> Target:
    """
    Load what a run runs: ``module:name`` or ``path/to/file.py:name``.

    Raises:
        UsageError: As for :func:`load_object`, or the name stands for nothing that can be run.
    """
    module, found = _load(text)
    return attrs.evolve(_target_of(found, text), lifespan=_lifespan_of(module))


def load_object(text: str) -> Any:
    """
    Load the object that ``module:name`` or ``path/to/file.py:name`` stands for.

    The current directory and the directory of the file are put first on ``sys.path``, as for a script.

    Raises:
        UsageError: The module or file cannot be loaded, or has no such name.
    """
    return _load(text)[1]


def _load(text: str) -> tuple[ModuleType, Any]:
    """Return the module and the object that a text stands for, like :func:`load_object`."""
    place, colon, name = text.rpartition(":")
    if not (colon and place and name):
        raise UsageError(f"TARGET must be module:name or path/to/file.py:name, got {text!r}")
    _put_on_path(Path.cwd())
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    try:
        return module, reduce(getattr, name.split("."), cast("Any", module))
    except AttributeError as exc:
        hint = did_you_mean(name, [each for each in dir(module) if not each.startswith("_")])
        raise UsageError(f"{place} has no {name!r}{hint}") from exc


def _lifespan_of(module: ModuleType) -> Callable[[], AbstractAsyncContextManager[Any]] | None:
    """Return the function ``lifespan`` of a module. None if there is none, or one that takes an argument."""
    found = getattr(module, "lifespan", None)
    if not inspect.isroutine(found):
        return None
    try:
        inspect.signature(found).bind()
    except TypeError:  # such as lifespan(app) of a web application
        return None
    return cast("Callable[[], AbstractAsyncContextManager[Any]]", found)


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
    is_plain = not _check_function(found, text)
    function = cast("Callable[[Any], Any]", found)
    event_type = _event_for(function, text, is_plain)
    return Target(name, _executor_for(event_type), is_function=True, is_plain=is_plain, function=function)


def _check_runnable(event_type: type[Event], text: str) -> None:
    own = [cls for cls in event_type.__mro__ if cls not in Event.__mro__]
    if not any(name in vars(cls) for cls in own for name in ("_invoke", "stream")):
        raise UsageError(f"{text} does nothing: the class has no _invoke()")


def _check_function(function: Callable[..., object], text: str) -> bool:
    """
    Check a function. Return whether it is async.

    Raises:
        UsageError: It is a generator, or does not take one record.
    """
    try:
        found = check_function(function)
    except TypeError as exc:
        raise UsageError(f"{text}: {exc}") from exc
    try:
        inspect.signature(function).bind(None)
    except TypeError as exc:
        raise UsageError(f"{text} must take one record as its only required argument: {exc}") from exc
    except ValueError:  # some functions in C do not tell what they take
        pass
    return found


class PlainTarget:
    """
    A plain function that a target names. In another process it is loaded by the text of the target.

    Args:
        text: The target.
        function: The function.
    """

    def __init__(self, text: str, function: Callable[[Any], Any]) -> None:
        self._text = text
        self._function = function

    def __call__(self, record: Any) -> Any:
        """Call the function."""
        return self._function(record)

    def __reduce__(self) -> tuple[Callable[[str], PlainTarget], tuple[str]]:
        return _load_plain, (self._text,)


@cache
def _load_plain(text: str) -> PlainTarget:
    return PlainTarget(text, cast("Callable[[Any], Any]", load_object(text)))


def _event_for(function: Callable[[Any], Any], text: str, is_plain: bool) -> type[Event]:
    plain = PlainTarget(text, function) if is_plain else None

    class FunctionCall(Event):
        """A call of the function with one record."""

        record: Any = None

        async def _invoke(self) -> Any:
            """Call the function with the record."""
            return await (function(self.record) if plain is None else call_outside(self, plain, (self.record,)))

    # The name in messages, spans, metrics and logs.
    FunctionCall.__name__ = FunctionCall.__qualname__ = text.rpartition(":")[2].rpartition(".")[2]
    return FunctionCall


def _executor_for(kind: type[Event]) -> type[Executor]:
    class LineExecutor(Executor):
        """Runs the events that were made of lines."""

        processor_type = processor_for(kind, None)

    return LineExecutor
