"""``--retry-on``, ``--no-retry-on``, ``--max-errors``: which errors are worth another run, how many are enough."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._clients.errors import names_of, readings

if TYPE_CHECKING:
    from collections.abc import Iterable

STATUS = re.compile(r"[1-5]\d\d", re.ASCII)
NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
BOUND = re.compile(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)

# A share of errors means nothing before so many lines have ended.
MIN_ENDED = 20


@attrs.frozen
class ErrorSet:
    """
    Errors by what they are called.

    Attributes:
        statuses: Status codes.
        names: Names of exception classes, with or without module; codes that the other side gives.
    """

    statuses: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.statuses or self.names)

    def __contains__(self, error: BaseException) -> bool:
        """Whether an error that is no group is one of them."""
        if self.names & names_of(error):
            return True
        return any({reading.status, reading.own_status} & self.statuses for reading in readings(error))


@attrs.frozen
class RetryRule:
    """
    Which errors are worth another run. Called with an error, as ``Retry(on=...)`` wants it.

    Attributes:
        only: If there are some, these and no others; of a group all members.
        never: These are not; of a group no member.
    """

    only: ErrorSet = ErrorSet()
    never: ErrorSet = ErrorSet()

    def __call__(self, error: BaseException) -> bool:
        """Whether an error is worth another run."""
        return not self.is_hopeless(error) and (not self.only or all(leaf in self.only for leaf in leaves(error)))

    def is_hopeless(self, error: BaseException) -> bool:
        """Whether it is one of ``never``, or a group with one."""
        return bool(self.never) and any(leaf in self.never for leaf in leaves(error))


@attrs.frozen
class ErrorBound:
    """
    How many errors a run may have.

    Attributes:
        text: As it was given.
        number: The number, or the per cent.
        is_share: Whether it is per cent of the lines that have ended.
    """

    text: str
    number: float
    is_share: bool

    def is_exceeded(self, errors: int, ended: int) -> bool:
        """Whether so many errors among so many lines that have ended are too many."""
        if self.is_share:
            return ended >= MIN_ENDED and errors * 100 > self.number * ended
        return errors > self.number

    def too_many(self, errors: int, ended: int) -> str:
        """Say that there are more errors than that."""
        return f"{errors:,} of {ended:,} lines failed, more than --max-errors {self.text} allows"


def parse_errors(option: str, texts: Iterable[str]) -> ErrorSet:
    """
    Read status codes and names of errors, several of them with commas between.

    Raises:
        UsageError: One is neither.
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
        UsageError: It is neither.
    """
    match = BOUND.fullmatch(text)
    if match is None or float(match[2] or 0) > 100:  # noqa: PLR2004  per cent
        raise UsageError(f"--max-errors must be a number, 0 or more, or a share from 0% to 100%, got {text!r}")
    return ErrorBound(text, float(match[1] or match[2]), is_share=match[2] is not None)


def check_together(rule: RetryRule, *, retries: int, paused: frozenset[int]) -> None:
    """
    Check what two options together can tell.

    Raises:
        UsageError: One does nothing without another one, or two contradict each other.
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
