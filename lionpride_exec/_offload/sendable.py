"""How a function and its arguments are sent to a process or an interpreter: as pickles."""

from __future__ import annotations

import pickle
import sys
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.json_text import shown
from lionpride_exec._base.main_import import IMPORTED_MAIN
from lionpride_exec.errors import ConfigurationError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The places to which a function is sent by the name of its module and its own name.
NEEDS_PICKLE: Final = frozenset({"process", "interpreter"})


def check_sendable(function: object, run_in: Any) -> None:
    """
    Check that a function can be sent to a process or an interpreter.

    Raises:
        ConfigurationError: The function cannot be pickled.
    """
    try:
        pickle.dumps(function)
    except Exception as exc:
        raise ConfigurationError(
            f"run_in={run_in!r} needs a function that can be pickled, so one of a module, and {shown(function)} "
            f"cannot be: {exc}"
        ) from exc


def apply(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a function that is sent with each call, since it may have a state that changes between two calls."""
    return function(*args, **kwargs)


def sendable(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Callable[..., Any], bytes]:
    """
    Return a function that is sent by its name, and its pickled arguments: a tuple and a dict.

    Raises:
        ExecutionError: The arguments cannot be pickled.
    """
    # Workers import the main module under another name. The classes that come back are those of this one.
    sys.modules.setdefault(IMPORTED_MAIN, sys.modules["__main__"])
    if type(function) not in {FunctionType, BuiltinFunctionType}:
        function, args, kwargs = apply, (function, args, kwargs), {}
    return function, pickled((args, dict(kwargs)))


def pickled(value: object) -> bytes:
    """
    Return a value as bytes.

    Raises:
        ExecutionError: The value cannot be pickled.
    """
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as exc:
        raise ExecutionError(
            f"a function or its arguments cannot be sent to a process: {type(exc).__name__}: {exc}", retryable=False
        ) from exc


def kind_of(function: Any) -> Any:
    """Return by what it is known how long calls of a function take. It is hashable."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
    return function if isinstance(function, FunctionType) else type(function)
