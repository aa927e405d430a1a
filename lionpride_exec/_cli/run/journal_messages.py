"""What a run with a journal tells people of lines that the journal knows."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lionpride_exec._base.wording import counted
from lionpride_exec._status import BAD, FAILURES, HELD

from .known_events import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lionpride_exec._status import EventStatus


def put_back_message(number: int) -> str:
    """Return the message about lines that are run again. There is at least one."""
    return f"{counted(number, 'line')} that did not complete {'is' if number == 1 else 'are'} run again"


def changed_failures_message(number: int) -> str:
    """Return the message about lines that did not complete, and have changed since. There is at least one."""
    have, them = ("has", "it as it is") if number == 1 else ("have", "them as they are")
    return f"{counted(number, 'line')} that did not complete {have} changed: --resume-failed runs {them} now"


def changed_results_message(number: int, place: str, command: str) -> str:
    """
    Return the message about lines that are done, and have changed since.

    Args:
        number: How many there are, at least one.
        place: Where the first of them is.
        command: Puts this one back.
    """
    are, have, stay = ("is", "has", "its result stays") if number == 1 else ("are", "have", "their results stay")
    return (
        f"{counted(number, 'line')} that {are} done {have} changed in INPUT, such as {place}: {stay}. To run this one "
        f"as it is now: lionpride-exec {command}, then the same command with --resume-failed"
    )


def changed_lines_message(number: int, place: str, what: str) -> str:
    """
    Return the message about lines that will run, and have changed since they were read first.

    Args:
        number: How many there are, at least one.
        place: Where the first of them is.
        what: What is run.
    """
    have = "has" if number == 1 else "have"
    return f"{counted(number, 'line')} to be run {have} changed in INPUT, such as {place}: {what}"


def failed_before_message(ended: Mapping[EventStatus, int], journal: str) -> str | None:
    """
    Return how to see and run again what did not complete in earlier runs. None if all completed.

    Args:
        ended: How many lines of earlier runs ended with each status.
        journal: Path of the journal.
    """
    statuses = [status for status in BAD if ended.get(status, 0)]
    if not statuses:
        return None
    path, chosen = shlex.quote(journal), " ".join(f"--status {status.value}" for status in statuses)
    number = sum(ended[status] for status in statuses)
    them = "it" if number == 1 else "them"
    again = f"the same command with --resume-failed runs {them} again"
    if not FAILURES.issuperset(statuses):
        again = f"retry {path} {chosen} has the next run do {them}"
    return (
        f"{counted(number, 'line')} did not complete in earlier runs: lionpride-exec inspect {path} shows the errors, "
        f"export {path} {chosen} lists {them}, {again}. Until then the exit status is 1"
    )


def left_messages(left: Mapping[str, int], journal: str) -> Iterator[str]:
    """
    Yield how to go on with lines that stay in the journal as they are, a message for each reason.

    Args:
        left: How many lines there are, by the reason.
        journal: Path of the journal.
    """
    path = shlex.quote(journal)
    if number := left.get(HELD, 0):
        are, they, run = ("is", "it", "runs") if number == 1 else ("are", "they", "run")
        yield (
            f"{counted(number, 'line')} {are} held: {they} ran when the process died, and {run} again only if you say "
            f"so; lionpride-exec export {path} --status held lists them, retry {path} --status held has the next run "
            f"do them, cancel {path} --status held gives them up. Until then the exit status is 1"
        )
    if number := left.get(UNREADABLE, 0):
        stay = "stays" if number == 1 else "stay"
        yield (
            f"{counted(number, 'line')} {stay} in {journal}: this target cannot read what is stored, or it comes "
            f"after what stays; lionpride-exec export {path} --status pending lists what has not ended, "
            f"cancel {path} --status pending gives it up. Until then the exit status is 1"
        )
