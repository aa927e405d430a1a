"""Where a processor's plain functions run, from the keywords of the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._offload.settings import OffloadSettings

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._offload.settings import RunIn


def make_settings(
    event_type: type[Event] | None,
    run_in: RunIn | None = None,
    threads: int | None = None,
    processes: int | None = None,
    interpreters: int | None = None,
    *,
    abandon_on_cancel: bool = False,
) -> OffloadSettings:
    """
    Return where the plain functions of a processor run.

    Raises:
        ConfigurationError: A place or a number is wrong.
    """
    given = {"threads": threads, "processes": processes, "interpreters": interpreters}
    numbers = {name: number for name, number in given.items() if number is not None}
    if run_in is None:
        run_in = getattr(event_type, "_run_in", None)
    return OffloadSettings(run_in=run_in, abandon_on_cancel=abandon_on_cancel, **numbers)
