"""``--retry-on`` and ``--no-retry-on``: which errors are retried. ``--max-errors``: how many a run may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._clients.readings import names_of, readings

if TYPE_CHECKING:
    from collections.abc import Iterable

STATUS = re.compile(r"[1-5]\d\d", re.ASCII)
NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
BOUND = re.compile(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)

# Before there are this many lines, their share is not looked at.
MIN_LINES = 20


@attrs.frozen
class ErrorSet:
    """
    A set of errors, by their names and status codes.

    Attributes:
        statuses: Status codes.
        names: Names of exception classes, with or without the module; or codes that the other side gives.
    """

    statuses: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.statuses or self.names)

    def __contains__(self, error: BaseException) -> bool:
        """Whether an error is in the set. The error is not a group."""
        if self.names & names_of(error):
            return True
        return any({reading.status, reading.own_status} & self.statuses for reading in readings(error))


@attrs.frozen
class RetryRule:
    """
    Which errors are retried. Callable with an error, as ``Retry(on=...)`` needs it.

    Attributes:
        only: If not empty, only these errors are retried. A group is retried if all its members are in the set.
        never: These errors are not retried, nor is a group with one of them.
    """

    only: ErrorSet = ErrorSet()
    never: ErrorSet = ErrorSet()

    def __call__(self, error: BaseException) -> bool:
        """Whether an error is retried."""
        return not self.is_hopeless(error) and (not self.only or all(leaf in self.only for leaf in leaves(error)))

    def is_hopeless(self, error: BaseException) -> bool:
        """Whether an error is in ``never``, or is a group with a member in it."""
        return bool(self.never) and any(leaf in self.never for leaf in leaves(error))


@attrs.frozen
class ErrorCounts:
    """
    How many lines of a run have gone wrong so far.

    Reading is ahead of running, so each number has a total of its own.

    Attributes:
        bad: Bad lines.
        read: Lines that were read.
        failed: Events that ended neither completed nor skipped.
        ended: Events that have ended.
    """

    bad: int
    read: int
    failed: int
    ended: int

    def exceed_share(self, percentage: float) -> bool:
        """
        Whether more than a percentage of the lines goes wrong, if the events that are open end as the others did.

        Fewer than 20 lines, or fewer than 20 events that have ended, do not count.
        """
        bad, read = (self.bad, self.read) if self.read >= MIN_LINES else (0, 1)
        failed, ended = (self.failed, self.ended) if self.ended >= MIN_LINES else (0, 1)
        # bad / read + (1 - bad / read) * failed / ended, in whole numbers
        return (bad * ended + (read - bad) * failed) * 100 > percentage * read * ended


@attrs.frozen
class ErrorBound:
    """
    How many errors a run may have.

    Attributes:
        text: The bound as it was given.
        number: The number of errors, or the percentage.
        is_share: Whether ``number`` is a percentage of the lines.
    """

    text: str
    number: float
    is_share: bool

    def is_exceeded(self, counts: ErrorCounts) -> bool:
        """Whether these are too many errors."""
        return counts.exceed_share(self.number) if self.is_share else counts.bad + counts.failed > self.number

    def too_many(self, counts: ErrorCounts) -> str:
        """Return the message that there are too many errors."""
        failed, ended = counts.failed, counts.ended
        if self.is_share and counts.bad:
            told = f"{counts.bad:,} of {counts.read:,} lines read are bad, {failed:,} of {ended:,} that ended failed"
        else:
            told = f"{counts.bad + failed:,} of {counts.bad + ended:,} lines failed"
        return f"{told}, more than --max-errors {self.text} allows"


def parse_errors(option: str, texts: Iterable[str]) -> ErrorSet:
    """
    Read status codes and names of errors. A text may have several, with commas between.

    Raises:
        UsageError: A part is neither a status code nor a name.
    """
    parts = [part.strip() for text in texts for part in text.split(",")]
    for part in parts:
        if not (STATUS.fullmatch(part) or NAME.fullmatch(part)):
            raise UsageError(
                f"{option} must be status codes from 100 to 599 or names of exception classes, "
                f"such as 503,TimeoutError, got {part!r}"
            )
    statuses = frozenset(int(part) for part in parts if STATUS.fullmatch(part))
    return ErrorSet(statuses, frozenset(part for part in parts if NAME.fullmatch(part)))


def parse_bound(text: str) -> ErrorBound:
    """
    Read ``N`` or ``N%``.

    Raises:
        UsageError: The text has neither form.
    """
    match = BOUND.fullmatch(text)
    if match is None or float(match[2] or 0) > 100:  # noqa: PLR2004  per cent
        raise UsageError(f"--max-errors must be a number, 0 or more, or a share from 0% to 100%, got {text!r}")
    return ErrorBound(text, float(match[1] or match[2]), is_share=match[2] is not None)


def check_together(rule: RetryRule, *, retries: int, paused: frozenset[int]) -> None:
    """
    Check that the options fit together.

    Raises:
        UsageError: An option does nothing without another one, or two contradict each other.
    """
    if rule.only and not retries:
        raise UsageError("--retry-on does nothing without --retries")
    if rule.never and not (retries or paused):
        raise UsageError("--no-retry-on does nothing without --retries or --pause-on")
    for name, both in (
        ("--retry-on", rule.only.statuses & rule.never.statuses or rule.only.names & rule.never.names),
        ("--pause-on", paused & rule.never.statuses),
    ):
        if both:
            raise UsageError(f"{name} and --no-retry-on both have {', '.join(sorted(map(str, both)))}")
