"""
The two places at which a machine replaces methods of the user's classes.

The machine replaces the method of one instance, so the classes stay as they are: a method in the ``__dict__`` of an
event or a processor comes before the method of its class. The gate is replaced only while the machine has answers for
it. So an executor without a gate takes the path of executors without a gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from lionpride_exec.testing._faults.points import wrap_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor


class Failures:
    """Planned failures: the current run of an event, or its next run, ends with the error."""

    def __init__(self) -> None:
        self._planned: dict[UUID, Exception] = {}

    def plan(self, event: Event, error: Exception) -> None:
        """Plan the failure of an event."""
        self._planned[event.id] = error

    def clear(self) -> None:
        """Forget all planned failures."""
        self._planned.clear()

    def take_over(self, event: Event) -> None:
        """Replace the run of an event, so that the run ends with the planned failure if there is one."""

        def around(run: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
            """Return a function that runs the event, or raises a failure planned before or after the run."""

            async def run_or_fail() -> Any:
                """Run the event, and raise where a failure is planned."""
                self._fail_if_planned(event)
                response = await run()
                self._fail_if_planned(event)
                return response

            return run_or_fail

        wrap_run(event, around)

    def _fail_if_planned(self, event: Event) -> None:
        if (error := self._planned.pop(event.id, None)) is not None:
            raise error


class Gate:
    """Answers in place of the gate of a processor until the answers are used up."""

    def __init__(self) -> None:
        self._answers: list[Any] = []
        self._processor: Processor | None = None

    def close(self, processor: Processor, answers: list[Any]) -> None:
        """Answer the next questions with these values. An exception among them is raised."""
        self.open()
        self._answers = [*answers]
        self._processor = processor
        own_gate = processor.request_permission

        async def request_permission(*args: Any, **kwargs: Any) -> Any:
            """Return the next answer. After the last one, ask the gate of the class."""
            await checkpoint()
            if not self._answers:
                self.open()
                return await own_gate(*args, **kwargs)
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        processor.__dict__["request_permission"] = request_permission

    def open(self) -> None:
        """Restore the processor's own gate. Idempotent."""
        self._answers = []
        if self._processor is not None:
            self._processor.__dict__.pop("request_permission", None)
            self._processor = None
