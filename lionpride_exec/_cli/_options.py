"""The options of ``run``: named, explained and checked once, for the command line and for tests."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal

import attrs
from cyclopts import Parameter

from lionpride_exec._config import check_bounds

from ._errors import UsageError

Backend = Literal["asyncio", "trio", "asyncio+uvloop"]
ProgressKind = Literal["auto", "rich", "plain", "none"]

# A lone "-" has to get through; what else begins with a hyphen is refused in check().
DASH = Parameter(allow_leading_hyphen=True)


@attrs.frozen(kw_only=True)
class RunOptions:
    """
    How to run.

    Attributes:
        field: INPUT is plain lines, not JSON; each fills this field of the event (a function gets the line).
        priority: Field of the record that is the priority: a number, lower runs first.
        concurrency: How many events may run at the same time.
        capacity: How many events may start in any window of --window seconds, up to 10000.
        window: Length of that window in seconds, 0.01 to 3600.
        queue: How many events may wait in memory.
        timeout: Seconds that an event may take, unless its record says otherwise.
        backend: Event loop to run on.
        output: File for the results, one JSON line each; - is standard output.
        progress: Display on standard error; auto is rich on a terminal, else a line every 5 seconds.
        quiet: Show no progress and no summary; bad lines and errors are still told.
    """

    field: str | None = None
    priority: str | None = None
    concurrency: int = 100
    capacity: int = 10_000
    window: float = 0.01
    queue: int = 1000
    timeout: float | None = None
    backend: Backend = "asyncio"
    output: Annotated[str, DASH] = "-"
    progress: ProgressKind = "auto"
    quiet: Annotated[bool, Parameter(negative="")] = False

    @property
    def processor_config(self) -> dict[str, Any]:
        """What the executor's processor is made with."""
        return {
            "queue_capacity": self.capacity,
            "capacity_refresh_time": self.window,
            "concurrency_limit": self.concurrency,
            "max_queue_size": self.queue,
        }

    def check(self) -> None:
        """
        Check what one option or two together can tell.

        Raises:
            UsageError: A number is out of its bounds, or two options exclude each other.
        """
        try:
            check_bounds(**self.processor_config)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        if self.timeout is not None and not (isfinite(self.timeout) and self.timeout > 0):
            raise UsageError(f"--timeout must be a positive number of seconds, got {self.timeout}")
        if self.field is not None and self.priority is not None:
            raise UsageError("--priority needs JSON records; with --field a record is one plain line")
        check_not_an_option("--output", self.output)


def check_not_an_option(name: str, value: str) -> None:
    """
    Refuse a mistyped option that was taken for a file name.

    Raises:
        UsageError: It begins with a hyphen, and is more than one.
    """
    if value.startswith("-") and value != "-":
        raise UsageError(f"{name} got {value!r}, which looks like an option; a file of that name is ./{value}")
