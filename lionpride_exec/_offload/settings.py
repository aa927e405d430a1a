"""Where plain functions run, and how many of them work at the same time."""

from __future__ import annotations

import os
import sys
from typing import Final, Literal, cast, get_args

import attrs

from lionpride_exec._validation import check_count
from lionpride_exec.errors import ConfigurationError

RunIn = Literal["thread", "process", "interpreter"]

# As many as AnyIO allows by default.
DEFAULT_THREADS: Final = 40

# The first version of Python whose interpreters AnyIO uses by a public module. See docs/decisions.md, record 98.
HAS_INTERPRETERS: Final = sys.version_info >= (3, 14)


def check_run_in(value: object) -> None:
    """
    Check a place in which a plain function is to run.

    Raises:
        ConfigurationError: There is no such place, or this Python does not have it.
    """
    if value not in get_args(RunIn):
        raise ConfigurationError(f"run_in must be 'thread', 'process' or 'interpreter', got {value!r}")
    if value == "interpreter" and not HAS_INTERPRETERS:
        version = ".".join(map(str, sys.version_info[:2]))
        raise ConfigurationError(f"run_in='interpreter' needs Python 3.14, this is {version}: use 'process' instead")


def usable_cpus() -> int:
    """Return how many CPUs this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@attrs.frozen(kw_only=True)
class OffloadSettings:
    """
    Where the plain functions of a processor run.

    Attributes:
        run_in: Where calls of plain functions run, if their class does not say. None means in threads.
        threads: How many functions may work in threads at the same time.
        processes: How many functions may work in processes at the same time.
        interpreters: How many functions may work in interpreters at the same time.
        abandon_on_cancel: Whether a cancelled event ends at once, while its thread goes on.

    Raises:
        ConfigurationError: A place or a number is wrong.
    """

    run_in: RunIn | None = None
    threads: int = DEFAULT_THREADS
    processes: int = attrs.field(factory=usable_cpus)
    interpreters: int = attrs.field(factory=usable_cpus)
    abandon_on_cancel: bool = False

    def __attrs_post_init__(self) -> None:
        if self.run_in is not None:
            check_run_in(self.run_in)
        for name in ("threads", "processes", "interpreters"):
            try:
                check_count(name, getattr(self, name), 1)
            except ValueError as exc:
                raise ConfigurationError(str(exc)) from None
        if not isinstance(cast("object", self.abandon_on_cancel), bool):
            raise ConfigurationError(f"abandon_on_cancel must be True or False, got {self.abandon_on_cancel!r}")
