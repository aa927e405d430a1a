"""
Noticing that a program can never go on.

On a real clock, a program whose tasks all wait for each other hangs. A virtual clock can tell: no task is ready, there
is no timer to jump to, no thread works, and no file is in use. A program that has started threads of its own, or
handles signals, is never called stuck: nothing here knows what those will do.
"""

from __future__ import annotations

import gc
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope

from lionpride_exec._base.json_text import shown
from lionpride_exec._events.event import Event
from lionpride_exec._executor.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import FrameType

T = TypeVar("T")

# Tasks that the message names, at most.
MAX_NAMED = 20

# A task waits in its innermost frame that is not in one of these.
LIBRARIES = frozenset({"anyio", "asyncio", "trio", "uvloop", "outcome"})

# A call of these says less than the line of the user that has made it.
OURS = frozenset({"lionpride_exec", "contextlib"})

# What stands between a coroutine and the one that it runs. The first thing that these refer to is the one that is run.
_STEPS = frozenset({"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"})


class Deadlock(RuntimeError):
    """
    Nothing in the run can ever go on: all tasks are blocked, and no timer, thread, file or signal will wake one.

    The message names the tasks, the events that they run, and where each of them waits: the line of the program, and
    the call of this package in it. The run has been cancelled.
    """


class Watch:
    """Ends one run when it is stuck."""

    def __init__(self) -> None:
        self.error: Deadlock | None = None  # once it was stuck
        self._scope: CancelScope | None = None  # around the main function, while that runs
        self._threads: set[threading.Thread] = set()  # those from before the run: they do not know of it
        self._handlers: dict[int, Any] = {}  # likewise, of signals

    async def guard(self, function: Callable[..., Awaitable[T]], arguments: tuple[Any, ...]) -> T:
        """
        Run the main function.

        Raises:
            Deadlock: The run was stuck and has been cancelled.
        """
        self._threads, self._handlers = set(threading.enumerate()), _signal_handlers()
        results: list[T] = []
        try:
            with CancelScope() as self._scope:
                results.append(await function(*arguments))
        except Exception as exc:
            if self.error is not None:
                raise self.error from exc
            raise
        finally:
            self._scope = None
        if self.error is not None:
            raise self.error
        return results[0]

    def may_be_woken(self, is_own: Callable[[threading.Thread], bool]) -> bool:
        """
        Return whether a signal, or a thread of the program's own, may still wake the program.

        Args:
            is_own: Returns whether a thread belongs to the event loop and has nothing to do.
        """
        if self._scope is None:  # the main function has not begun, or has ended: the loop itself works
            return True
        threads = threading.enumerate()
        me = threading.current_thread()
        return any(thread not in self._threads and thread is not me and not is_own(thread) for thread in threads) or (
            _signal_handlers() != self._handlers
        )

    def end(self, tasks: Iterable[tuple[str, Any]]) -> bool:
        """
        Cancel the run, which is stuck.

        Args:
            tasks: The names and coroutines of the blocked tasks.

        Returns:
            Whether the run was cancelled now. False if it was cancelled before, and its clean-up is stuck too.
        """
        if self.error is None:
            waiting = [f"  {_named(name, coroutine)}: {where(coroutine)}" for name, coroutine in tasks]
            more = [f"  and {len(waiting) - MAX_NAMED} more"] if len(waiting) > MAX_NAMED else []
            lines = ["all tasks are blocked, and nothing will ever wake one:", *sorted(waiting)[:MAX_NAMED], *more]
            self.error = Deadlock("\n".join(lines))
            assert self._scope is not None
            self._scope.cancel()
            return True
        self._scope = None
        return False


def where(coroutine: Any) -> str:
    """
    Return where a coroutine waits: its innermost frame outside the libraries of the event loop.

    A frame of the user is better than one of this package: it says which call waits.
    """
    frames = frames_of(coroutine)
    if not frames:
        return "has not begun, or is about to end"
    others = [place for place, frame in enumerate(frames) if _package(frame) not in LIBRARIES]
    own = [place for place in others if _package(frames[place]) not in OURS]
    place = own[-1] if own else others[-1] if others else 0
    code, line = frames[place].f_code, frames[place].f_lineno
    return f"{code.co_qualname}() at {code.co_filename}:{line}{_call_of_ours(frames[place + 1 :]) if own else ''}"


def event_of(coroutine: Any) -> Event[Any] | None:
    """Return the event that a coroutine runs. None if it runs none."""
    for frame in frames_of(coroutine):
        if isinstance(event := frame.f_locals.get("self"), Event):
            return event
    return None


def _call_of_ours(frames: Iterable[FrameType]) -> str:
    """Return the words for the method of an executor or an event in which code of the user waits. "" if it is none."""
    for frame in frames:
        if isinstance(frame.f_locals.get("self"), Event | Executor) and not frame.f_code.co_name.startswith("_"):
            return f", in {frame.f_code.co_name}()"
    return ""


def frames_of(coroutine: Any) -> list[FrameType]:
    """Return the frames of a coroutine and of what it waits for, the outermost first."""
    frames: list[FrameType] = []
    while coroutine is not None:
        frame = frame_of(coroutine)
        if frame is not None:
            frames.append(frame)
        coroutine = next_of(coroutine)
    return frames


def frame_of(coroutine: Any) -> FrameType | None:
    """Return the frame of a coroutine, a generator or an async generator. None if it has ended, or is no such thing."""
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame: FrameType | None = getattr(coroutine, name, None)
        if frame is not None:
            return frame
    return None


def next_of(coroutine: Any) -> Any:
    """
    Return what a coroutine waits for, one step further in. None if it waits for no coroutine.

    An iterator that runs a coroutine, and one step of an async generator, stand for what they run.
    """
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        inner = getattr(coroutine, name, None)
        if inner is not None:
            return next(iter(gc.get_referents(inner)), None) if type(inner).__name__ in _STEPS else inner
    return None


def _named(name: str, coroutine: Any) -> str:
    """Return the name of a task, with the event that it runs."""
    if name.endswith("Watch.guard"):
        return "the main task"
    event = event_of(coroutine)
    return name if event is None else f"{name}, {shown(event)}"


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _signal_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}
