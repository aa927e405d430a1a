"""Where a plain ``_invoke()`` runs: the options ``run_in`` and ``abandon_on_cancel`` of a class statement."""

from __future__ import annotations

from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._offload.outcome import call
from lionpride_exec._offload.settings import check_run_in
from lionpride_exec._status import PROCESSING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from .running_event import RunningEvent

_OWN_MODULES: Final = f"{__name__.rpartition('.')[0]}."


def check_is_no_copy(event: Any, method: str) -> None:
    """
    Check that an event is not the copy with which a process or an interpreter works.

    Args:
        event: The event.
        method: The method of the event that a copy does not have, for the message.

    Raises:
        RuntimeError: The event is a copy.
    """
    if event.execution.status is PROCESSING and event._host is None and not event._current_run.is_active:
        raise RuntimeError(
            f"{event} is a copy: {method}() works in the event loop and in threads. In a process or an interpreter, "
            "pass what the function needs as fields or arguments, and return what it has found"
        )


def set_place(cls: Any, given: dict[str, Any]) -> None:
    """
    Keep the options of a class statement, and check that they fit the class.

    Raises:
        ConfigurationError: There is no such place, or this Python lacks it.
        TypeError: ``_invoke()`` of the class is async, or ``abandon_on_cancel`` is no bool.
    """
    if "run_in" in given:
        check_run_in(given["run_in"])
        cls._run_in = given["run_in"]
    if "abandon_on_cancel" in given:
        if not isinstance(given["abandon_on_cancel"], bool):
            raise TypeError(
                f"{cls.__qualname__}: abandon_on_cancel must be True or False, got {given['abandon_on_cancel']!r}"
            )
        cls._abandon_on_cancel = given["abandon_on_cancel"]
    if cls._run_in is None:
        return
    method = cls._invoke
    is_own = not str(method.__module__).startswith(_OWN_MODULES)
    if is_own and (iscoroutinefunction(method) or isasyncgenfunction(method)):
        raise TypeError(
            f"{cls.__qualname__} has run_in={cls._run_in!r}, which is for a plain function, and its _invoke() is async"
        )


def invoke_plain(event: Any) -> Any:
    """
    Do the work of an event whose ``_invoke()`` is a plain function. Runs outside of the event loop.

    Raises:
        TypeError: ``_invoke()`` returned an awaitable, which would never be awaited.
    """
    return call(event._invoke, (), {})


def call_outside(
    event: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    kind: Any = None,
) -> Coroutine[Any, Any, Any]:
    """
    Call a plain function for a running event, in the place that the class of the event or its executor says.

    Args:
        event: The event.
        function: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        kind: Calls of the same function and kind take about as long. None for all calls of the function.
    """
    run_in, abandon = event._run_in, event._abandon_on_cancel
    run: RunningEvent = event._current_run
    return run.offload.call(function, args, kwargs, run_in=run_in, abandon=abandon, kind=kind, time_left=run.time_left)
