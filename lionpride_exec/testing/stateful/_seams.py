"""
Where a machine gets between an executor and the classes of the user.

Both seams are attributes of one instance, so the classes stay as they are: a method in the ``__dict__`` of an event or
of a processor goes before that of its class. That of a gate is there only while the machine has answers for it, so that
an executor without a gate goes the way that it goes without one.
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
    """Events that are to fail: the run that goes on, or the next one, ends with the error."""

    def __init__(self) -> None:
        self._planned: dict[UUID, Exception] = {}

    def plan(self, event: Event, error: Exception) -> None:
        """Have an event fail."""
        self._planned[event.id] = error

    def clear(self) -> None:
        """Have no event fail any more."""
        self._planned.clear()

    def take_over(self, event: Event) -> None:
        """Get in between, as an event begins to run; it begins as it would, and may end otherwise."""

        def around(run: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
            """Do the work, unless a failure is planned before it or after it."""

            async def run_or_fail() -> Any:
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
    """Answers for the gate of a processor, in its stead, until the answers are used up."""

    def __init__(self) -> None:
        self._answers: list[Any] = []
        self._processor: Processor | None = None

    def close(self, processor: Processor, answers: list[Any]) -> None:
        """Have the next questions answered like this: by a value, or by an exception, which is raised."""
        self.open()
        self._answers = [*answers]
        self._processor = processor
        own_gate = processor.request_permission

        async def request_permission(*args: Any, **kwargs: Any) -> Any:
            """Give the next answer; after the last one ask the gate of the class."""
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
        """Give the processor its own gate back. Idempotent."""
        self._answers = []
        if self._processor is not None:
            self._processor.__dict__.pop("request_permission", None)
            self._processor = None
