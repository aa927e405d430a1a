"""What the code of a running event asks for: the event, its executor, and what the lifespan has made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from lionpride_exec._events.call import name_of
from lionpride_exec._events.running_event import runs_here
from lionpride_exec._status import TERMINAL
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from lionpride_exec._events.event import Event

    from .executor import Executor

T = TypeVar("T")


def current_event() -> Event[Any]:
    """
    Return the event whose run this code belongs to: ``_invoke()``, what it calls, tasks that it starts, and threads.

    If an event runs another one by ``invoke()``, it is the inner one.

    Raises:
        RuntimeError: This code does not belong to the run of an event, or it runs in a process or an interpreter.
    """
    for run in reversed(runs_here.get()):
        if run.is_active and run.event.execution.status not in TERMINAL:
            return cast("Event[Any]", run.event)
    raise RuntimeError(
        "no event runs here: call this in _invoke(), or in a function that an executor runs in the event loop or in a "
        "thread. In a process or an interpreter there is no event: pass what the function needs as arguments"
    )


def current_executor() -> Executor:
    """
    Return the executor of the event whose run this code belongs to. So an event can append others.

    Raises:
        RuntimeError: This code does not belong to the run of an event, or no executor has the event.
    """
    event = current_event()
    if event._host is None:
        raise RuntimeError(f"{event} is in no executor")
    return cast("Executor", event._host.executor)


def lifespan_value(lifespan: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """
    Return what a lifespan has given to the executor of the event whose run this code belongs to.

    Args:
        lifespan: The function that was passed as ``Executor(lifespan=...)``. It tells type checkers the type.

    Raises:
        RuntimeError: This code does not belong to the run of an event of an executor.
        ConfigurationError: The executor has another lifespan, or none.
    """
    executor = current_executor()
    surroundings = executor._parts.surroundings
    if surroundings.lifespan is not lifespan:
        raise ConfigurationError(f"the {type(executor).__name__} was made without lifespan={name_of(lifespan)}")
    return cast("T", surroundings.value)


def lend_lifespan(executor: Executor, lifespan: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
    """
    Have an executor that was made without a lifespan use this one, as if it had been passed.

    Args:
        executor: The executor. It has not been started.
        lifespan: Returns an async context manager.
    """
    executor._parts.surroundings.lend(lifespan)
