"""
Where the plain functions of one processor run: its threads, processes and interpreters.

``concurrency_limit`` says how many events run. The limiters here say how many functions work at the same time. If all
events of the processor are of that kind (:attr:`OffloadSettings.run_in` is given, or their class has one), the
processor starts no more events than can work. So an event that waits for a thread is PENDING, and goes by its priority.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .settings import OffloadSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Mapping

    from .interpreters import InterpreterCalls
    from .pausable_timeout import PausableTimeout
    from .processes import ProcessCalls
    from .settings import RunIn
    from .threads import ThreadCalls

# More events than can run.
MANY: Final = sys.maxsize


class Offload:
    """
    Calls plain functions outside of the event loop.

    Args:
        settings: Where they run, and how many at the same time.

    Attributes:
        settings: The same.
        on_places: Called when :meth:`places` returns another number.
        only_threads: Of the class. Whether calls of processes and interpreters run in threads, as for a test.
    """

    only_threads: ClassVar[bool] = False

    def __init__(self, settings: OffloadSettings | None = None) -> None:
        self.settings: OffloadSettings = settings or OffloadSettings()
        self.on_places: Callable[[], None] | None = None
        self._threads: ThreadCalls | None = None
        self._processes: ProcessCalls | None = None
        self._interpreters: InterpreterCalls | None = None

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        run_in: RunIn | None = None,
        abandon: bool | None = None,
        kind: Hashable = None,
        time_left: PausableTimeout | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """
        Call a plain function, and return what it returns, once awaited.

        Args:
            function: The function.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            run_in: Where it runs. None for what the settings say, or else a thread.
            abandon: Whether a cancelled call abandons its thread. None for what the settings say.
            kind: Calls of the same function and kind take about as long. None for all calls of the function.
            time_left: The timeout around the call. It does not go on while the call waits for its place.

        Raises:
            ExecutionError: The call cannot be sent to a process or interpreter, its result cannot come back, or the
                process has died.
            BaseException: What the function raises.

        Cancellation: a call that waits for its place ends at once. The process of a call is killed. A thread or an
        interpreter cannot be stopped: the call ends when the function has returned, or at once if it abandons its
        thread.
        """
        place = run_in or self.settings.run_in or "thread"
        given = kwargs or {}
        if Offload.only_threads:
            place = "thread"
        if place == "process":
            return self._of_processes().call(function, args, given, kind, time_left)
        if place == "interpreter":
            return self._of_interpreters().call(function, args, given, time_left)
        abandon = self.settings.abandon_on_cancel if abandon is None else abandon
        return self._of_threads().call(function, args, given, abandon=abandon, time_left=time_left)

    def places(self) -> int:
        """Return how many events can run at the same time if all of them go to ``run_in``. More would wait there."""
        settings = self.settings
        match settings.run_in:
            case None:
                return MANY
            case "thread":
                return settings.threads if self._threads is None else self._threads.places
            case "process":
                return settings.processes if self._processes is None else self._processes.places
            case "interpreter":
                return settings.interpreters

    def working(self) -> dict[str, int]:
        """Return how many functions work in each place, without zeros. Abandoned threads are also counted alone."""
        found = {
            "thread": 0 if self._threads is None else self._threads.working,
            "abandoned": 0 if self._threads is None else self._threads.abandoned,
            "process": 0 if self._processes is None else self._processes.working,
            "interpreter": 0 if self._interpreters is None else self._interpreters.working,
        }
        return {place: number for place, number in found.items() if number}

    def _of_threads(self) -> ThreadCalls:
        if self._threads is None:
            from .threads import ThreadCalls  # noqa: PLC0415  only few programs need it

            self._threads = ThreadCalls(self.settings.threads, self._places_changed)
        return self._threads

    def _of_processes(self) -> ProcessCalls:
        if self._processes is None:
            from .processes import ProcessCalls  # noqa: PLC0415  only few programs need it

            self._processes = ProcessCalls(self.settings.processes, self._places_changed)
        return self._processes

    def _of_interpreters(self) -> InterpreterCalls:
        if self._interpreters is None:
            from .interpreters import InterpreterCalls  # noqa: PLC0415  only few programs need it

            self._interpreters = InterpreterCalls(self.settings.interpreters)
        return self._interpreters

    def _places_changed(self) -> None:
        if self.on_places is not None:
            self.on_places()
