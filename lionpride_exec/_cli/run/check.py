"""
``lionpride-exec check``: run a few records of INPUT, and tell what would happen to the rest.

INPUT is read twice: once as ``--dry-run`` reads it, and once for the records that are run. What the limits would take
is counted in the first pass, for each limit and key.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.wording import counted, shortened, shown_seconds, visible
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE, INTERRUPTED
from lionpride_exec._cli.streams import say
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.limit_fields import shown
from lionpride_exec._model.limits import Concurrent, Router
from lionpride_exec._status import EventStatus

from .command import run
from .dry_run import DryRun
from .input_files import expand
from .opening import open_input, redacted_in_event
from .options import RunOptions
from .redacted_fields import redacting
from .target import describe, load_target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit

# Records that are run without --limit.
RUN: Final = 5

# Limits and keys that are told of: those that take longest.
TOLD: Final = 3

# Characters of a result that are shown.
SHOWN: Final = 300

# The options that a check leaves out, because it writes no file and asks no server.
WITHOUT: Final[dict[str, Any]] = {
    "journal": None, "cluster": None, "no_work": False, "lease": None, "resume_failed": False, "changed_input": False,
    "overwrite": False, "output_format": "jsonl", "fields": None, "summary": None, "dry_run": False, "web": None,
}  # fmt: skip

# Stands for standard output: a run with a journal refuses that, and a check writes no results.
SOME_FILE: Final = "results"


@attrs.frozen(kw_only=True)
class CheckOptions(RunOptions):
    """The options of a check. It tells the first error without a traceback, which would hide what else it tells."""

    tells_traceback = False


def check(target_text: str, source_texts: Sequence[str], options: RunOptions) -> int:
    """
    Run the first records of INPUT, and tell what would happen to the rest. Return the exit status.

    The status is 1 if a record does not fit, or one of those that were run did not complete.

    Args:
        target_text: ``module:name`` or ``path/to/file.py:name``.
        source_texts: Paths, or patterns of paths.
        options: Those of the run. ``limit`` is how many records are run, 5 by default. Files are not written.

    Raises:
        UsageError: The target or INPUT cannot be opened, an option is wrong, or INPUT can be read only once.
    """
    options = _options_of_check(options)
    paths = expand(source_texts)
    once = next((path for path in paths if path == "-" or (Path(path).exists() and not Path(path).is_file())), None)
    if once is not None:
        raise UsageError(f"a check reads INPUT twice, so it needs files, got {once!r}")
    demand = Demand(options.processor_config.get("limits", ()))
    status = _read_all(target_text, paths, attrs.evolve(options, limit=None), demand)
    count = RUN if options.limit is None else options.limit
    # The first pass has looked at the ids. A run without a journal has no use for them.
    ran, durations = _run_some(target_text, source_texts, attrs.evolve(options, limit=count, record_id=None))
    if ran == INTERRUPTED:
        return ran
    if durations:
        each, span = sum(durations) / len(durations), [shown_seconds(end) for end in (min(durations), max(durations))]
        say(f"a run takes {' to '.join(span)}, {shown_seconds(each)} on average")
        demand.tell(each, options.processor_config["concurrency_limit"])
    return max(status, ran)


def _options_of_check(options: RunOptions) -> CheckOptions:
    """
    Return the options of the check of a run.

    Raises:
        UsageError: The run would refuse one of its options.
    """
    output = SOME_FILE if options.output == "-" else options.output
    attrs.evolve(options, output=output, overwrite=False).check()  # before WITHOUT: an option may need one of these
    kept: dict[str, Any] = attrs.asdict(options, recurse=False) | WITHOUT
    if options.cluster is not None:
        kept["queue"] = None  # the name of one on the server
    return CheckOptions(**kept)


def _read_all(target_text: str, paths: Sequence[str], options: RunOptions, demand: Demand) -> int:
    """Read all of INPUT, as a dry run does. Return the exit status."""
    target = load_target(target_text)
    with redacting(target.event_type, redacted_in_event(options), is_function=target.is_function):
        event_type = target.build(options.processor_config).event_type
        maker, source = open_input(event_type, target, paths, options)
        with closing(source):
            return DryRun(maker, source, options, demand.add, "check").run()


def _run_some(target_text: str, source_texts: Sequence[str], options: RunOptions) -> tuple[int, list[float]]:
    """Run the first records, and write their results. Return the exit status, and how long each took that completed."""
    with TemporaryDirectory() as folder:
        output = Path(folder, "results.jsonl")
        status = run(target_text, source_texts, attrs.evolve(options, output=str(output), progress="none"))
        lines = output.read_bytes().splitlines() if output.exists() else []
    durations: list[float] = []
    for line in lines:
        sys.stdout.write(f"{shortened(visible(line.decode()), SHOWN)}\n")
        result = json.loads(line)
        if result["status"] == EventStatus.COMPLETED.value:  # a failed call may be far too quick
            durations.append(result["duration"])
    sys.stdout.flush()
    if lines and not durations:
        say("no record completed, so how long all of them take is not known")
    return status if status in {COMPLETED, INTERRUPTED} else INCOMPLETE, durations


class Demand:
    """
    What events will take of the limits.

    Args:
        limits: The limits. Limits that the class of the events sets itself are not counted.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._router = Router(limits)
        self._events = 0
        self._costs: dict[tuple[int, Hashable], float] = {}

    def add(self, event: Event) -> None:
        """
        Count an event.

        Raises:
            BadLineError: The event takes more than a limit allows, so it could never start.
        """
        try:
            route = self._router.route(event)
        except Exception as exc:
            raise BadLineError(describe(exc)) from exc
        self._events += 1
        keys = iter(route.key)
        for number, limit in enumerate(self._router.limits):
            place = number, None if limit.key is None else next(keys)
            self._costs[place] = self._costs.get(place, 0) + route.costs[number + 1]

    def tell(self, each: float, slots: int) -> None:
        """
        Tell how long all events take at least, and why.

        Args:
            each: How long an event runs, in seconds.
            slots: How many may run at the same time.
        """
        bounds = [(ceil(self._events / slots) * each, f"{counted(slots, 'slot')}, --concurrency")]
        for (number, key), cost in self._costs.items():
            limit = self._router.limits[number]
            amount = self._router.amount(number, key)
            what = "starts" if limit.cost is None else shown(limit.cost)
            which = "" if key is None else f" of key {key!r}"
            reason = f"{cost:,.10g} {what}{which}, at most {_allowed(limit, amount)}"
            bounds.append((_seconds(limit, cost, amount, each), reason))
        bounds.sort(key=lambda bound: bound[0], reverse=True)
        least, why = bounds[0]
        say(f"all {counted(self._events, 'record')} take {shown_seconds(least)} or longer, because of {why}")
        for seconds, reason in bounds[1:TOLD]:
            say(f"  {shown_seconds(seconds)} because of {reason}")


def _seconds(limit: Limit, cost: float, amount: float, each: float) -> float:
    """Return the least seconds from the first start to the last end that a limit allows, for a total cost."""
    if isinstance(limit, Concurrent):
        return ceil(cost / amount) * each
    if isinstance(limit, Adaptive):  # its amount is starts per second, at first
        return cost / amount + each
    return max(ceil(cost / amount) - 1, 0) * limit.per + each  # each window takes its amount at once


def _allowed(limit: Limit, amount: float) -> str:
    if isinstance(limit, Concurrent):
        return f"{amount:,.10g} at the same time"
    return f"{amount:,.10g} in {shown_seconds(1 if isinstance(limit, Adaptive) else limit.per)}"
