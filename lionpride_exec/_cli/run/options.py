"""The options of ``run``: names, help texts and checks, for the command line and for tests."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, Literal

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._processing.config import check_bounds

from .columns import parse_event_fields
from .error_rules import ErrorBound, parse_bound
from .limit_options import LimitOptions, read_limits

Backend = Literal["asyncio", "trio", "asyncio+uvloop"]
JournalSync = Literal["full", "normal"]
ProgressKind = Literal["auto", "rich", "plain", "none"]

# With --key, this many times --queue may be queued, with the events whose key is at its limit.
KEYS_AHEAD = 20

# The names of options that are not those of their fields.
NAMES: Final = {"record_id": "--id"}

# The options of which a single "-" is a value. Other values that begin with a hyphen are refused in check().
WITH_DASH: Final = frozenset({"output"})


@attrs.frozen(kw_only=True)
class RunOptions:
    """
    How to run.

    ``_cli.parameters`` and ``_cli.run.arguments`` read the annotations: a new kind of annotation needs an entry there.

    Attributes:
        field: INPUT is plain lines, not JSON; each line fills this field of the event (a function gets the line).
        priority: Field of the record, or a path into it (body.rank), with the priority: a number, lower runs first.
        concurrency: How many events may run at the same time.
        capacity: How many events may start in any window of --window seconds, up to 10000.
        window: Length of that window in seconds, 0.01 to 3600.
        queue: How many events may wait in memory; with --key, events whose key is at its limit do not count, and there
            may be 20 times as many of them.
        rate: At most this many starts in any such time, 500/60s; with :FIELD (90000/60s:tokens), this field of the
            record, or a path into it, has the cost of a start. Repeatable. Units ms, s, m, h.
        key: Field of the record, or a path into it; each of its values has rates, --concurrency-per-key and pauses of
            its own.
        concurrency_per_key: How many events of one key may run at the same time.
        retries: How often an event that failed is run again, with growing pauses.
        pause_on: Status code of an error, such as 429, that pauses the key of the event for as long as the error asks
            (Retry-After), else 1 second; then the event is run again. Repeatable, or with commas between.
        max_pause: Seconds that a pause may last; an event whose error asks for more fails. Default: a week.
        retry_on: Status code or exception class, such as 503 or TimeoutError; with --retries, only these errors are
            retried. Repeatable, or with commas between.
        no_retry_on: Status code or exception class; these errors are never retried, and pause nothing. A code that the
            other side gives, such as insufficient_quota, is taken too. Repeatable, or with commas between.
        max_errors: End the run once more lines than this have failed: a number, or a share of the lines that have
            ended, such as 10%. Then nothing more is started, and events that run may finish.
        timeout: Seconds that an event may take, unless its record has a timeout.
        event_fields: Fields of the record that set fields of the event, with commas between: id, created_at, metadata,
            timeout, idle_timeout, streaming; or none. Default: metadata that is an object, and with --timeout timeout.
        backend: Event loop to run on.
        output: File for the results, one JSON line each; - is standard output. A file that is not empty is refused.
        overwrite: Replace what the file for the results holds.
        journal: File that keeps the state of the run; the same command goes on where the last run was stopped.
        record_id: With --journal, field of the record, or a path into it, by which a line is known: a text or a number
            that no other line has; default: the content of the record.
        changed_input: With --journal, go on with an INPUT that has none of the lines that the journal knows.
        redact: Field of the record, or a path into it, that results, messages and errors show as ***. Repeatable.
        journal_sync: What the journal survives: full a loss of power, normal only the end of the process.
        progress: Display on standard error; auto is rich on a terminal, else a line every 5 seconds.
        traceback: Keep the traceback of an error in its result.
        quiet: Show no progress and no summary; bad lines and errors are still shown.
    """

    field: str | None = None
    priority: str | None = None
    concurrency: int = 100
    capacity: int = 10_000
    window: float = 0.01
    queue: int = 1000
    rate: tuple[str, ...] = ()
    key: str | None = None
    concurrency_per_key: int | None = None
    retries: int = 0
    pause_on: tuple[str, ...] = ()
    max_pause: float | None = None
    retry_on: tuple[str, ...] = ()
    no_retry_on: tuple[str, ...] = ()
    max_errors: str | None = None
    timeout: float | None = None
    event_fields: str | None = None
    backend: Backend = "asyncio"
    output: str = "-"
    overwrite: bool = False
    journal: str | None = None
    record_id: str | None = None
    changed_input: bool = False
    redact: tuple[str, ...] = ()
    journal_sync: JournalSync = "full"
    progress: ProgressKind = "auto"
    traceback: bool = False
    quiet: bool = False

    @property
    def processor_config(self) -> dict[str, Any]:
        """Keywords of the processor."""
        limits = self.limits
        ahead = KEYS_AHEAD if limits.key is not None else 1
        return self._bounds | {"max_queue_size": ahead * self.queue} | limits.processor_config

    @property
    def limits(self) -> LimitOptions:
        """
        The options from ``rate`` to ``pause_on``, read.

        Raises:
            UsageError: An option cannot be read, or needs another one.
        """
        return read_limits(
            self.rate,
            key=self.key,
            per_key=self.concurrency_per_key,
            retries=self.retries,
            pause_on=self.pause_on,
            retry_on=self.retry_on,
            no_retry_on=self.no_retry_on,
            max_pause=self.max_pause,
        )

    @property
    def error_bound(self) -> ErrorBound | None:
        """
        How many lines may fail. None if there is no bound.

        Raises:
            UsageError: The option cannot be read.
        """
        return None if self.max_errors is None else parse_bound(self.max_errors)

    @property
    def _bounds(self) -> dict[str, Any]:
        return {
            "queue_capacity": self.capacity,
            "capacity_refresh_time": self.window,
            "concurrency_limit": self.concurrency,
            "max_queue_size": self.queue,
        }

    def check(self) -> None:
        """
        Check the options, by themselves and together.

        Raises:
            UsageError: A number is out of its bounds, or two options exclude each other.
        """
        try:
            check_bounds(**self._bounds)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        if self.timeout is not None and not (isfinite(self.timeout) and self.timeout > 0):
            raise UsageError(f"--timeout must be a positive number of seconds, got {self.timeout}")
        limits, _ = self.limits, self.error_bound
        if self.field is not None:
            fields = {
                "--priority": self.priority,
                "--key": self.key,
                "--rate with :FIELD": limits.fields.costs,
                "--id": self.record_id,
                "--redact": self.redact,
            }
            for name in (name for name, used in fields.items() if used):
                raise UsageError(f"{name} needs JSON records; with --field a record is one plain line")
        parse_event_fields(self.event_fields)
        self._check_lines()
        check_not_an_option("--output", self.output)
        if self.journal is not None:
            check_not_an_option("--journal", self.journal)
            if self.output == "-":
                raise UsageError("--journal needs --output FILE, which the next run can go on with")
            if self.overwrite:
                raise UsageError(
                    "--overwrite and --journal exclude each other: with a journal a run completes its output"
                )

    def _check_lines(self) -> None:
        if "" in self.redact:
            raise UsageError("--redact must name a field")
        for name, used in {"--id": self.record_id is not None, "--changed-input": self.changed_input}.items():
            if used and self.journal is None:
                raise UsageError(f"{name} does nothing without --journal")


def check_not_an_option(name: str, value: str) -> None:
    """
    Refuse a mistyped option that was taken for a file name.

    Raises:
        UsageError: The value begins with a hyphen, and is not "-".
    """
    if value.startswith("-") and value != "-":
        raise UsageError(f"{name} got {value!r}, which looks like an option; a file of that name is ./{value}")
