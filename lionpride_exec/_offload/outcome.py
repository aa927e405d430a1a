"""
What a plain function has returned or raised, as bytes that another process can read.

``call()`` also runs in worker processes and interpreters. So this module imports little.
"""

from __future__ import annotations

import pickle
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.tracebacks import RemoteTraceback, format_traceback
from lionpride_exec.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESULT: Final = b"r"
ERROR: Final = b"e"


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """
    Call a plain function, and return what it returns.

    Raises:
        TypeError: It returned an awaitable, which nobody would await.
    """
    result = function(*args, **kwargs)
    if hasattr(type(result), "__await__"):
        if iscoroutine(result):
            result.close()
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise TypeError(f"{name}() returned a {type(result).__name__}: a function that returns one must be async")
    return result


def encoded(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Call a plain function. Return what it has returned or raised as bytes for :func:`read`. Nothing is raised."""
    try:
        result = call(function, args, kwargs)
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome
        return encoded_error(exc)
    try:
        return RESULT + pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as exc:  # noqa: BLE001  pickling runs code of the user
        return _refused(f"its result, of class {type(result).__qualname__}, cannot be sent back: {_text_of(exc)}")


def encoded_error(error: BaseException) -> bytes:
    """Return an error as bytes for :func:`read`. Nothing is raised."""
    if isinstance(error, (SystemExit, KeyboardInterrupt)):  # it would end the program that reads it
        return _refused(f"it raised {_text_of(error)}")
    try:
        shown = format_traceback(error)
    except Exception:  # noqa: BLE001  formatting runs code of the user
        shown = ""
    try:
        pickled = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
        pickle.loads(pickled)  # noqa: S301  our own; some errors can be pickled and not read
    except Exception:  # noqa: BLE001  pickling runs code of the user
        return _refused(f"its error cannot be sent back: {_text_of(error)}", shown, retryable=True)
    return ERROR + pickle.dumps((pickled, shown))


def _refused(message: str, shown: str = "", *, retryable: bool = False) -> bytes:
    error = ExecutionError(f"the function ran in a worker process or interpreter, and {message}", retryable=retryable)
    return ERROR + pickle.dumps((pickle.dumps(error), shown))


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  from ``__str__`` of a class that is not ours
        return type(error).__name__


def read(data: bytes) -> Any:
    """
    Return the result in the bytes of :func:`encoded`.

    Raises:
        BaseException: The error in it.
        ExecutionError: The result or the error cannot be read in this process.
    """
    if data[:1] == RESULT:
        return _loaded(memoryview(data)[1:], "result")
    pickled, shown = pickle.loads(memoryview(data)[1:])  # noqa: S301  from a process of our own
    error: BaseException = _loaded(pickled, "error")
    raise error from (RemoteTraceback(shown) if shown else None)


def _loaded(data: bytes | memoryview, what: str) -> Any:
    try:
        return pickle.loads(data)  # noqa: S301  from a process of our own
    except Exception as exc:
        raise ExecutionError(
            f"the {what} of a function in a worker process or interpreter cannot be read here: {_text_of(exc)}",
            retryable=False,
        ) from exc
