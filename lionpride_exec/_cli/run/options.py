"""The options of ``run``: names, help texts and checks, for the command line and for tests."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, ClassVar, Final, Literal

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._processing.config import MANY_SHORT, check_bounds

from .columns import parse_event_fields
from .error_rules import ErrorBound, parse_bound
from .limit_options import LimitOptions, read_limits
from .log_options import LogLevel, check_log
from .text_options import check_delimiter, check_encoding

Backend = Literal["asyncio", "trio", "asyncio+uvloop"]
JournalSync = Literal["full", "normal"]
ProgressKind = Literal["auto", "rich", "plain", "none"]
InputFormat = Literal["jsonl", "json", "csv", "tsv", "parquet", "openai-batch", "anthropic-batch"]
OutputFormat = Literal["jsonl", "csv", "openai-batch", "anthropic-batch"]

# The field of a request in a batch file that the target gets, and the field that the request is known by.
REQUEST: Final = {"openai-batch": "body", "anthropic-batch": "params"}
CUSTOM_ID: Final = "custom_id"

# How many events may run at the same time by default.
CONCURRENCY = 100

# How many events may wait in memory by default.
MAX_WAITING = 1000

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
        config: TOML file with options, by their names, and with target and input. What the command line says holds.
        input_format: What INPUT is: jsonl (a JSON value on each line), json (one array), csv or tsv (the first row
            names the fields), parquet, or openai-batch or anthropic-batch (requests, known by custom_id; the target
            gets the body or the params). Default: what the names of the files say.
        delimiter: What stands between two cells of a table: one character, or tab; default: what a first line such as
            sep=; says, else the comma, semicolon or tab that makes most columns of the header.
        encoding: Encoding of INPUT, such as cp1252 or utf-16. Default: UTF-8.
        skip: Pass over this many records of INPUT.
        limit: Read at most this many records of INPUT.
        dry_run: Read INPUT and check each record, but run nothing and write no file.
        field: INPUT is plain lines, not JSON; each line fills this field of the event (a function gets the line).
        priority: Field of the record, or a path into it (body.rank), with the priority: a number, lower runs first.
        concurrency: How many events may run at the same time.
        threads: How many calls of a plain function (def) may work at the same time in threads, 40 by default.
        processes: How many calls of a plain function may work at the same time in processes; then --concurrency is 1000
            by default, since short calls are sent together.
        capacity: How many events may start in any window of --window seconds, up to 10000.
        window: Length of that window in seconds, 0.01 to 3600.
        queue: How many events may wait in memory, 1000 by default; with --key, events whose key is at its limit do not
            count, and there may be 20 times as many of them. With --cluster, the name of the queue on the server.
        rate: At most this many starts in any such time, 500/60s; with :FIELD (90000/60s:tokens), this field of the
            record, or a path into it, has the cost of a start. For one key only: small=500/60s. Repeatable. Units ms,
            s, m, h.
        adaptive: Learn how many starts the other side allows, from the errors of --pause-on; begin with so many starts,
            10/s. With bounds, 10/s:1-500; without, a hundredth and a hundred times of that.
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
        max_errors: End the run once more lines than this have failed: a number, or a share, such as 10%: bad lines of
            those read, failures of those ended. Then nothing more is started, and events that run may finish.
        timeout: Seconds that an event may take, unless its record has a timeout.
        event_fields: Fields of the record that set fields of the event, with commas between: id, created_at, metadata,
            timeout, idle_timeout, streaming; or none. Default: metadata that is an object, and with --timeout timeout.
        backend: Event loop to run on.
        output: File for the results, one JSON line each; - is standard output. A file that is not empty is refused.
        overwrite: Replace what the file for the results holds.
        output_format: What results are written as: jsonl, csv with a header, or as the result files of openai-batch and
            anthropic-batch.
        fields: Fields that a result has, with commas between: some of status, response, error, duration, line and
            record, fields of the record, or paths into them. Default: all.
        ordered: Write the results in the order of INPUT.
        summary: File for a summary of the run as JSON, which is replaced at the end of each run.
        journal: File that keeps the state of the run; the same command goes on where the last run was stopped.
        cluster: File whose first line is the URL of a server; the lines are run by the workers of a queue there, and
            the same command goes on where the last run was stopped.
        no_work: With --cluster, only other processes run the lines.
        lease: With --cluster, seconds after which others take over from a process that died; as all workers have it.
        resume_failed: With --journal, run the lines of INPUT again that failed, were cancelled or aborted.
        record_id: With --journal or --cluster, field of the record, or a path into it, by which a line is known: a text
            or a number that no other line has; default: the content of the record.
        changed_input: With --journal or --cluster, go on with an INPUT that has none of the lines that are known.
        redact: Field of the record, or a path into it, that results, messages and errors show as ***. Repeatable.
        journal_sync: What the journal survives: full a loss of power, normal only the end of the process.
        web: Port of a dashboard beside the run, for browsers on this machine; 0 for any. Its address is shown.
        progress: Display on standard error; auto is rich on a terminal, else a line every 5 seconds.
        traceback: Keep the traceback of an error in its result.
        quiet: Show no progress, no summary and no errors at the end; bad lines and warnings are still shown.
        log_level: Log what becomes of the run and of each line, from this level on, on standard error.
        log_json: With --log-level, log JSON, one object for each line of the log.
    """

    tells_traceback: ClassVar[bool] = True  # of the first error, at the end of the run; else only its place
    config: str | None = None
    input_format: InputFormat | None = None
    delimiter: str | None = None
    encoding: str | None = None
    skip: int = 0
    limit: int | None = None
    dry_run: bool = False
    field: str | None = None
    priority: str | None = None
    concurrency: int = CONCURRENCY
    threads: int | None = None
    processes: int | None = None
    capacity: int = 10_000
    window: float = 0.01
    queue: str | None = None
    rate: tuple[str, ...] = ()
    adaptive: str | None = None
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
    output_format: OutputFormat = "jsonl"
    fields: str | None = None
    ordered: bool = False
    summary: str | None = None
    journal: str | None = None
    cluster: str | None = None
    no_work: bool = False
    lease: float | None = None
    resume_failed: bool = False
    record_id: str | None = None
    changed_input: bool = False
    redact: tuple[str, ...] = ()
    journal_sync: JournalSync = "full"
    web: int | None = None
    progress: ProgressKind = "auto"
    traceback: bool = False
    quiet: bool = False
    log_level: LogLevel | None = None
    log_json: bool = False

    @property
    def processor_config(self) -> dict[str, Any]:
        """Keywords of the processor."""
        limits = self.limits
        queue = {"max_queue_size": self.max_waiting * (1 if limits.key is None else KEYS_AHEAD)}
        return self._bounds | queue | limits.processor_config | self.places

    @property
    def places(self) -> dict[str, int]:
        """Keywords of the processor for plain functions, as far as they are given."""
        given = {"threads": self.threads, "processes": self.processes}
        return {name: number for name, number in given.items() if number is not None}

    @property
    def request_field(self) -> str | None:
        """The field of a record that the target gets. None for the whole record."""
        return None if self.input_format is None else REQUEST.get(self.input_format)

    @property
    def line_id(self) -> str | None:
        """Field of the record, or a path into it, by which a line is known. None for the content of the record."""
        return CUSTOM_ID if self.record_id is None and self.request_field is not None else self.record_id

    @property
    def result_id(self) -> str | None:
        """Field of the record that a result has instead of the record. None if results are no batch file."""
        return CUSTOM_ID if self.output_format in REQUEST else None

    @property
    def max_waiting(self) -> int:
        """
        How many events may wait in memory.

        Raises:
            UsageError: ``queue`` is not a whole number.
        """
        if self.queue is None or self.cluster is not None:
            return MAX_WAITING
        if not re.fullmatch(r"-?[0-9]{1,18}", self.queue, re.ASCII):
            raise UsageError(f"--queue must be a whole number (or with --cluster a name), got {self.queue!r}")
        return int(self.queue)

    @property
    def limits(self) -> LimitOptions:
        """
        The options from ``rate`` to ``pause_on``, read.

        Raises:
            UsageError: An option cannot be read, or needs another one.
        """
        return read_limits(
            self.rate,
            adaptive=self.adaptive,
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
            "concurrency_limit": self._concurrency_limit,
            "max_queue_size": self.max_waiting,
        }

    @property
    def _concurrency_limit(self) -> int:
        is_default = self.concurrency == CONCURRENCY
        return MANY_SHORT if self.processes is not None and is_default else self.concurrency

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
        self.check_input()
        self._check_places()
        check_log(self.log_level, self.progress, is_json=self.log_json)
        _ = self.error_bound
        self._check_files()
        for name, value in {"--journal": self.journal, "--cluster": self.cluster}.items():
            if value is None:
                continue
            check_not_an_option(name, value)
            if self.output == "-":
                raise UsageError(f"{name} needs --output FILE, which the next run can go on with")
            if self.overwrite:
                raise UsageError(f"--overwrite and {name} exclude each other: with {name} a run completes its output")
        self._check_cluster()

    def check_input(self) -> None:
        """
        Check the options that say how INPUT is read, and what becomes of a record.

        Raises:
            UsageError: As for :meth:`check`.
        """
        if self.timeout is not None and not (isfinite(self.timeout) and self.timeout > 0):
            raise UsageError(f"--timeout must be a positive number of seconds, got {self.timeout}")
        limits = self.limits
        if self.field is not None:
            fields = {
                "--input-format": self.input_format,
                "--delimiter": self.delimiter,
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

    def _check_files(self) -> None:
        if self.fields is not None and self.output_format in REQUEST:
            raise UsageError(f"--fields and --output-format {self.output_format} exclude each other: it has its own")
        check_not_an_option("--output", self.output)
        if self.summary is not None:
            check_not_an_option("--summary", self.summary)
            for name, other in {"--output": self.output, "--journal": self.journal, "--cluster": self.cluster}.items():
                if self.summary in {other, "-"}:
                    raise UsageError(f"--summary needs a file of its own, and {self.summary} is that of {name}")

    def _check_places(self) -> None:
        for name, number in self.places.items():
            if number < 1:
                raise UsageError(f"--{name} must be 1 or more, got {number}")
        if len(self.places) > 1:
            raise UsageError("--threads and --processes exclude each other: a function runs in one of them")

    def _check_cluster(self) -> None:
        """
        Check what goes with a cluster.

        Raises:
            UsageError: An option makes no sense with a cluster, or without.
        """
        if self.cluster is None:
            for name, used in {"--no-work": self.no_work, "--lease": self.lease is not None}.items():
                if used:
                    raise UsageError(f"{name} does nothing without --cluster")
            return
        refused = {
            "--journal": (self.journal is not None, "the server keeps the lines"),
            "--adaptive": (self.adaptive is not None, "each process would learn the limit of all for itself"),
            "--journal-sync": (self.journal_sync != "full", "there is no journal"),
            "--max-errors": (self.max_errors is not None, "other workers would go on with the lines"),
            "--event-fields id": ("id" in (self.event_fields or "").split(","), "the queue knows lines by their keys"),
        }
        for name, (is_given, why) in refused.items():
            if is_given:
                raise UsageError(f"{name} and --cluster exclude each other: {why}")
        for name, is_given in self._of_work.items():
            if is_given and self.no_work:
                raise UsageError(f"{name} does nothing with --no-work: the workers have limits of their own")

    @property
    def _of_work(self) -> dict[str, bool]:
        """The options that say how this process runs events, and whether they are given."""
        defaults = RunOptions()
        return {
            "--concurrency": self.concurrency != defaults.concurrency,
            "--threads": self.threads is not None,
            "--processes": self.processes is not None,
            "--capacity": self.capacity != defaults.capacity,
            "--window": self.window != defaults.window,
            "--rate": bool(self.rate),
            "--key": self.key is not None,
            "--retries": bool(self.retries),
            "--pause-on": bool(self.pause_on),
            "--max-pause": self.max_pause is not None,
            "--no-retry-on": bool(self.no_retry_on),
        }

    def _check_lines(self) -> None:
        check_delimiter(self.delimiter, self.input_format)
        check_encoding(self.encoding)
        if self.skip < 0:
            raise UsageError(f"--skip must be 0 or more, got {self.skip}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit must be 1 or more, got {self.limit}; --dry-run runs nothing")
        if "" in self.redact:
            raise UsageError("--redact must name a field")
        if self.key in self.redact and any(rate.key is not None for rate in self.limits.rates):
            raise UsageError(
                "--rate KEY=AMOUNT/TIME and --redact exclude each other for one field: the key is a secret"
            )
        if self.resume_failed and self.journal is None:
            raise UsageError("--resume-failed needs --journal; in a cluster: lionpride-exec cluster retry")
        for name, used in {"--id": self.record_id is not None, "--changed-input": self.changed_input}.items():
            if used and self.journal is None and self.cluster is None:
                raise UsageError(f"{name} does nothing without --journal or --cluster")


def check_not_an_option(name: str, value: str) -> None:
    """
    Refuse a mistyped option that was taken for a file name.

    Raises:
        UsageError: The value begins with a hyphen, and is not "-".
    """
    if value.startswith("-") and value != "-":
        raise UsageError(f"{name} got {value!r}, which looks like an option; a file of that name is ./{value}")
