"""
Noticing that a program can never go on.

On a real clock a program whose tasks all wait for each other just hangs. Under a virtual clock it is known: nothing can
run, no time is left to jump to, no thread works, no file is in use. What may still come from outside is left alone: of
threads that the program has started by itself, and of signals that it handles, nobody knows what they will do.
"""

from __future__ import annotations

import gc
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import FrameType

T = TypeVar("T")

# Tasks that the message names, at most.
MAX_NAMED = 20

# Where a task waits is told by the last frame that is not in one of these.
LIBRARIES = frozenset({"anyio", "asyncio", "trio", "uvloop", "outcome"})


class Deadlock(RuntimeError):
    """
    Nothing in the run can ever go on: all tasks are blocked, and no timer, thread, file or signal will wake one.

    The message names the tasks and where each of them waits. What ran has been cancelled.
    """


class Watch:
    """Ends a run that is stuck. For one run."""

    def __init__(self) -> None:
        self.error: Deadlock | None = None  # once it was stuck
        self._scope: CancelScope | None = None  # around the main function, while that runs
        self._threads: set[threading.Thread] = set()  # those from before the run: they do not know of it
        self._handlers: dict[int, Any] = {}  # likewise, of signals

    async def guard(self, function: Callable[..., Awaitable[T]], arguments: tuple[Any, ...]) -> T:
        """
        Run the main function.

        Raises:
            Deadlock: It was stuck, and has been cancelled.
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
        Tell whether something outside may wake the program that is neither a file nor a thread that works for it.

        Args:
            is_own: Tells of a thread that it belongs to the event loop, and has nothing to do.
        """
        if self._scope is None:  # the main function has not begun, or has ended: the loop is at work by itself
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
            tasks: What is blocked: names and coroutines.

        Returns:
            Whether that may help; if not, it is stuck in what it does when it is cancelled.
        """
        if self.error is None:
            waiting = [f"  {_short(name)}: {where(coroutine)}" for name, coroutine in tasks]
            more = [f"  and {len(waiting) - MAX_NAMED} more"] if len(waiting) > MAX_NAMED else []
            lines = ["all tasks are blocked, and nothing will ever wake one:", *sorted(waiting)[:MAX_NAMED], *more]
            self.error = Deadlock("\n".join(lines))
            assert self._scope is not None
            self._scope.cancel()
            return True
        self._scope = None
        return False


def where(coroutine: Any) -> str:
    """Say where a coroutine waits: its innermost frame outside the libraries of the event loop."""
    found: FrameType | None = None
    while coroutine is not None:
        for frame_name, next_name in (
            ("cr_frame", "cr_await"),
            ("gi_frame", "gi_yieldfrom"),
            ("ag_frame", "ag_await"),
        ):
            frame = getattr(coroutine, frame_name, None)
            if frame is not None:
                if found is None or _package(frame) not in LIBRARIES:
                    found = frame
                coroutine = awaited(getattr(coroutine, next_name, None))
                break
        else:
            break
    if found is None:
        return "has not begun, or is about to end"
    return f"{found.f_code.co_qualname}() at {found.f_code.co_filename}:{found.f_lineno}"


def awaited(waiting_for: Any) -> Any:
    """Return what a coroutine waits for; the coroutine itself, where there is only the iterator that runs it."""
    if type(waiting_for).__name__ != "coroutine_wrapper":
        return waiting_for
    return next(iter(gc.get_referents(waiting_for)), None)


def _short(name: str) -> str:
    return "the main task" if name.endswith("Watch.guard") else name


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _signal_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}
