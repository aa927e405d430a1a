"""What the command ``opentelemetry-instrument`` finds as the entry point ``opentelemetry_instrumentor``."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # as below

from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._executor.executor import Executor

from ._instrument import instrument, is_instrumented, uninstrument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class LionprideInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # its module says that it is not checked
    """
    Instruments every executor that is made from now on: ``LionprideInstrumentor().instrument()``.

    ``opentelemetry-instrument lionpride-exec run ...`` calls this without a change of the program. ``instrument()``
    takes the keywords of :func:`instrument`. An executor that is instrumented already stays as it is.
    ``uninstrument()`` ends all of it.
    """

    _made: ClassVar[WeakSet[Executor]] = WeakSet()
    _init: Callable[..., None] | None = None  # that of Executor, while another one is in its place

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented, as a requirement."""
        return ("lionpride-exec",)

    def _instrument(self, **kwargs: Any) -> None:
        """Instrument each executor at the end of its constructor."""
        init, made = Executor.__init__, self._made

        @wraps(init)
        def construct(executor: Executor, *args: Any, **options: Any) -> None:
            """Make an executor, and instrument it."""
            init(executor, *args, **options)
            if not is_instrumented(executor):
                instrument(executor, **kwargs)
                made.add(executor)

        self._init = init
        setattr(Executor, "__init__", construct)  # noqa: B010  type checkers refuse it, and instrumentations do it

    def _uninstrument(self, **kwargs: Any) -> None:
        """Instrument no more executors, and end the spans of those that were instrumented here."""
        if self._init is not None:
            setattr(Executor, "__init__", self._init)  # noqa: B010  as above
            self._init = None
        for executor in tuple(self._made):
            uninstrument(executor)
        self._made.clear()


publish_classes(LionprideInstrumentor)
