"""``lionpride-exec pause``, ``resume``, ``resize``, ``explain``: steer the process that runs a journal, or ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.json_text import read_json
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import say
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._journal.command_forms import Explaining, Pausing, Resizing, Resuming
from lionpride_exec._journal.meant_keys import keys_meant_by
from lionpride_exec._journal.reader import id_text
from lionpride_exec._journal.row_records import iso
from lionpride_exec.errors import JournalError

from .choice import Choice, parse_time
from .owner import find_owner, tell_others
from .records import reading

if TYPE_CHECKING:
    from lionpride_exec._journal.command_forms import Result

    from .owner import Owner


def pause(
    journal: str,
    key: str | None,
    limit: str | None,
    until: str | None,
    for_seconds: float | None,
    reason: str | None,
    seconds: float,
) -> int:
    """
    Have the process that runs a journal start nothing, or nothing of one key. Return the exit status.

    Args:
        journal: Path of the journal.
        key: A key of limits: a text, or the key as JSON. None for all events, or for a limit without keys.
        limit: The name of a limit. None for all.
        until: When the pause ends by itself, as a text. None if it ends by ``resume``.
        for_seconds: The same, in seconds from now.
        reason: Words for the reports of the process.
        seconds: For how long to wait for its answer.

    Raises:
        UsageError: The options do not go together, or the journal cannot be opened.
        JournalError: Nobody runs the journal, or its process refuses or has ended.
    """
    if until is not None and for_seconds is not None:
        raise UsageError("--until and --seconds exclude each other")
    if for_seconds is not None and not for_seconds >= 0:
        raise UsageError(f"--seconds must be 0 or more, got {for_seconds:g}")
    if key is None and limit is None and not (until is None and for_seconds is None and reason is None):
        raise UsageError("--until, --seconds and --reason need --key or --limit: a pause of all events ends by resume")
    end = None if until is None else parse_time("--until", until)
    if for_seconds is not None:
        end = wall_clock.seconds() + for_seconds
    owner = _owner(journal, seconds, "pause")
    result = owner.do("pause", Pausing(_keys(key), limit, end, reason))
    if result is None:
        return 1
    ends = f"resume, or the end of process {owner.process}" if end is None else iso(end) or "then"
    rest = "of the key " if key is not None else "" if limit is None else "under the limit "
    write_line(f"{_what(journal, key, limit)} is paused: what runs goes on, and nothing {rest}starts until {ends}")
    if result.is_unknown:
        say(f"no event that waits or runs has the key {key} at the moment")
    return 0


def resume(journal: str, key: str | None, limit: str | None, seconds: float) -> int:
    """
    End a pause. Return the exit status.

    Args:
        journal: Path of the journal.
        key: The key that is paused, as for :func:`pause`. None for the pause of all events, or of a limit.
        limit: The name of the limit that is paused. None for all.
        seconds: For how long to wait for the answer of the process.

    Raises:
        UsageError: The journal cannot be opened.
        JournalError: Nobody runs the journal, or its process refuses or has ended.
    """
    result = _owner(journal, seconds, "resume").do("resume", Resuming(_keys(key), limit))
    if result is None:
        return 1
    what = _what(journal, key, limit)
    write_line(f"there was no pause of {what} to end" if result.is_unknown else f"{what} is paused no longer")
    _tell_paused(result)
    return 0


def explain(journal: str, names: tuple[str, ...], seconds: float) -> int:
    """
    Have the process that runs a journal tell how it goes, or what events wait for. Return the exit status.

    Args:
        journal: Path of the journal.
        names: The events, as for ``show``. Empty for the process as a whole.
        seconds: For how long to wait for the answer of the process.

    Raises:
        UsageError: The journal cannot be opened.
        NotFoundError: No event has one of the names.
        JournalError: Nobody runs the journal, or its process has ended.
    """
    with reading(journal) as reader:
        named = Choice(names).named(reader)
    form = Explaining({id_text(row.id): row.seq for row in named.values()})
    result = _owner(journal, seconds, "explain").do("explain", form)
    if result is None:
        return 1
    for line in result.lines:
        write_line(line)
    _tell_paused(result)
    tell_others(result, named)
    return 1 if result.others else 0


def resize(journal: str, concurrency: int | None, capacity: int | None, seconds: float) -> int:
    """
    Change how many events may run, and how many may start in a window. Return the exit status.

    Args:
        journal: Path of the journal.
        concurrency: How many events may run at the same time. None if that stays as it is.
        capacity: How many may start in a window. None if that stays as it is.
        seconds: For how long to wait for the answer of the process.

    Raises:
        UsageError: Neither number is given, or the journal cannot be opened.
        JournalError: Nobody runs the journal, or its process refuses a number or has ended.
    """
    if concurrency is None and capacity is None:
        raise UsageError("which size? give --concurrency, or --capacity, or both")
    if _owner(journal, seconds, "resize").do("resize", Resizing(concurrency, capacity)) is None:
        return 1
    if concurrency is not None:
        write_line(f"{counted(concurrency, 'event')} may run at the same time")
    if capacity is not None:
        write_line(f"{counted(capacity, 'event')} may start in a window")
    return 0


def _owner(journal: str, seconds: float, verb: str) -> Owner:
    """
    Return the process that runs a journal.

    Raises:
        UsageError: The journal cannot be opened.
        JournalError: Nobody runs it.
    """
    with reading(journal):
        owner = find_owner(journal, seconds)
    if owner is None:
        raise JournalError(f"nobody runs {journal}: there is nothing to {verb}")
    return owner


def _tell_paused(result: Result) -> None:
    """Write what is paused now."""
    for text in result.paused:
        write_line(f"paused: {text}")


def _keys(text: str | None) -> list[Any]:
    """
    Return the keys that a text means: the text, and the key as JSON. Both are paused, since one has no events.

    Raises:
        UsageError: The text is one that JSON cannot hold.
    """
    if text is None:
        return []
    keys = [read_json(key) for key in keys_meant_by(text)]
    found = [key for key in keys if key is not None]
    if not found:
        raise UsageError(f"--key {text!r} is no key")
    return found


def _what(journal: str, key: str | None, limit: str | None) -> str:
    """Return the words for what is paused."""
    under = "" if limit is None else f"limit {limit}"
    if key is None:
        return under or journal
    return f"key {key}{under and f' of {under}'}"
