"""
The names under which stored data find the classes and functions of the package.

Pickles name a module for each class and function, and ``to_dict()`` writes the full name of the class. The modules with
an underscore can move. So a public class or function names the public module from which users import it:
``lionpride_exec.Event``, not the module in which ``Event`` is written. :func:`publish` sets these names.

Version 0.1.0 wrote the names of its private modules. ``BEFORE`` lists these modules and what each of them had. Their
dicts are read through the registry of classes, and their pickles through :class:`_ModulesBefore`, which makes one of
these modules when a pickle asks for it. ``docs/decisions.md`` says why.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, ForwardRef, cast

from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec._model.element import Model, also_known_as
from lionpride_exec._model.progression import _Dead

from .call import _FromRecord
from .event import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "lionpride_exec._call": ("Call", "_FromRecord"),
    "lionpride_exec._client_errors": ("retry_after", "status_of"),
    "lionpride_exec._element": ("Element",),
    "lionpride_exec._event": ("Event",),
    "lionpride_exec._execution": ("Attempt", "Execution"),
    "lionpride_exec._executor": ("Executor",),
    "lionpride_exec._explain": ("Explanation", "LimitUse", "Statistics", "WaitReason"),
    "lionpride_exec._flow": ("Flow",),
    "lionpride_exec._gate": ("Deny", "Wait"),
    "lionpride_exec._guard": ("Guard",),
    "lionpride_exec._journal._codec": ("Codec",),
    "lionpride_exec._journal._journal": ("Journal",),
    "lionpride_exec._life": ("Life",),
    "lionpride_exec._limits": ("Concurrent", "Rate"),
    "lionpride_exec._pauses": ("Pause", "StartPace"),
    "lionpride_exec._pile": ("Pile",),
    "lionpride_exec._processor": ("Processor",),
    "lionpride_exec._progress": ("Progress",),
    "lionpride_exec._progression": ("Progression", "_Dead"),
    "lionpride_exec._queue": ("PriorityQueue",),
    "lionpride_exec._retain": ("Retain",),
    "lionpride_exec._retry": ("Retry",),
    "lionpride_exec._run": ("Run",),
    "lionpride_exec._sentinel": ("Unset", "UnsetType"),
    "lionpride_exec._status": ("EventStatus",),
    "lionpride_exec._watch": ("Transition", "Watcher"),
    "lionpride_exec.testing._deadlock": ("Deadlock",),
    "lionpride_exec.testing._faults": (
        "Cancellation",
        "Crash",
        "Failure",
        "Fault",
        "Injected",
        "InjectedFailure",
        "Latency",
    ),
    "lionpride_exec.testing._inline": ("inline",),
    "lionpride_exec.testing._invariants": ("check_invariants",),
    "lionpride_exec.testing._look": ("InvariantBroken",),
    "lionpride_exec.testing._plan": ("FaultPlan",),
    "lionpride_exec.testing._points": ("Point",),
    "lionpride_exec.testing._run": ("backend_options", "run"),
    "lionpride_exec.testing._trace": ("Trace", "TraceEntry", "record"),
    "lionpride_exec.testing.stateful._machine": ("ExecutorMachine",),
}
"""The private modules of version 0.1.0, and the names in each of them that a pickle or a dict can contain."""

PRIVATE: Final[Mapping[str, Callable[[], object]]] = {
    "Codec": lambda: import_module("lionpride_exec._journal.codec").Codec,  # in a Journal; needs the extra
    "Guard": lambda: CountedLock,  # in a Progression
    "Life": lambda: Event,  # of methods that Event has from its bases
    "Run": lambda: Event,
    "_Dead": lambda: _Dead,  # in a Progression
    "_FromRecord": lambda: _FromRecord,  # in a Call that was read from a record, in place of its function
}
"""The private names in pickles of version 0.1.0, each with a function that returns its replacement."""


def publish(package: str) -> None:
    """
    Set ``__module__`` of each class and function in ``__all__`` of a public module to the public name.

    A value whose ``__module__`` is public already, as that of an error, is not changed.

    Args:
        package: The name of the public module, which must have been imported.
    """
    module = sys.modules[package]
    for name in module.__all__:
        value = vars(module).get(name)  # None if its module is imported later: see publish_classes()
        if not (inspect.isclass(value) or inspect.isfunction(value)) or public_home(value.__module__) != package:
            continue
        if inspect.isclass(value):
            _keep_hints(value)
        value.__module__ = package
        if inspect.isclass(value) and issubclass(value, Model):
            for known_as in (package, *(module for module, names in BEFORE.items() if name in names)):
                also_known_as(value, f"{known_as}.{name}")


def publish_classes(*classes: type) -> None:
    """Publish classes of a module that is imported on demand, as :func:`publish` does. The module calls this last."""
    for cls in classes:
        _keep_hints(cls)
        cls.__module__ = public_home(cls.__module__)


def public_home(module: str) -> str:
    """Return the public module for a module: its name up to the first part with an underscore."""
    return ".".join(takewhile(lambda part: not part.startswith("_"), module.split(".")))


def _keep_hints(cls: type) -> None:
    """
    Replace the annotations of a class, which are texts, by the types that they mean in the module of the class.

    ``typing.get_type_hints()``, attrs and msgspec look names up in ``__module__`` of the class, which :func:`publish`
    changes. A name that is imported for type checkers only stays unresolved, as before.
    """
    written_in = sys.modules[cls.__module__]
    annotations: dict[str, Any] = inspect.get_annotations(cls)
    for name, hint in annotations.items():
        if isinstance(hint, str):
            annotations[name] = _meaning(cls, hint, written_in)
    if annotations:
        cls.__annotations__ = annotations


def _meaning(cls: type, hint: str, written_in: ModuleType) -> Any:
    try:
        # typing.get_type_hints() does the same in four times as long. This line runs at each import of the package.
        return eval(hint, vars(written_in), dict(vars(cls)))  # noqa: S307  text of our own
    except NameError:
        return ForwardRef(hint, module=written_in.__name__, is_class=True)


class _ModulesBefore:
    """
    Makes a module of version 0.1.0 that no longer exists, with the names that stored data contain.

    A finder and a loader by their methods alone: the base classes are slow to import.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of version 0.1.0. None for any other module."""
        del path, target
        return ModuleSpec(fullname, cast("Any", self)) if fullname in BEFORE else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give a module of version 0.1.0 the names that stored data contain."""
        home = import_module(public_home(module.__name__))
        for name in BEFORE[module.__name__]:
            setattr(module, name, PRIVATE[name]() if name in PRIVATE else getattr(home, name))


# Appended at the end, so that an existing module is found first.
sys.meta_path.append(_ModulesBefore())
