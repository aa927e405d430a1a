"""
The arguments and the results of the commands that a process writes into the file of a journal for its owner.

Both are JSON in the table ``command``. Times are seconds since 1970.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec

from lionpride_exec._base.json_text import write_json

T = TypeVar("T", bound=msgspec.Struct)

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]


class Chosen(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    Which events: those that fit all that is given.

    Attributes:
        events: The numbers of their rows, by their ids. Empty if they are chosen by the rest.
        status: Their statuses, "held" included. Empty for the statuses that the command is about.
        tag: The tags of their classes. Empty for all.
        error: A part of their error, or of its shape. None for all.
        whole: Whether ``error`` is all of the shape, as ``inspect`` shows it.
        since: The time after which they ended, or else began, or else came. None for all.
        limit: How many at most, the newest. None for all.
    """

    events: dict[str, int] = {}
    status: list[str] = []
    tag: list[str] = []
    error: str | None = None
    whole: bool = False
    since: float | None = None
    limit: PositiveInt | None = None


class Ending(Chosen):
    """
    Which events end.

    Attributes:
        reason: The reason for their errors. None for the usual one.
        unless_begun: Whether events that have begun are left alone.
    """

    reason: str | None = None
    unless_begun: bool = False


class Explaining(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    What is explained.

    Attributes:
        events: The numbers of the rows of events, by their ids. Empty for the executor.
        limits: Of how many limits and keys the state of the executor has the use. None: no state is told.
    """

    events: dict[str, int] = {}
    limits: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Resuming(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    Which pause ends.

    Attributes:
        keys: The keys as JSON has them: a tuple is a list. Empty for no key.
        limit: The name of a limit. None for all limits. Without a key and a limit it is the pause of all events.
    """

    keys: list[Any] = []
    limit: str | None = None


class Pausing(Resuming):
    """What is paused, as for :class:`Resuming`, until when, and why. None: until it is resumed; no reason."""

    until: float | None = None
    reason: str | None = None


class Resizing(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The new bounds. None where one stays as it is."""

    concurrency_limit: int | None = None
    queue_capacity: int | None = None


class Result(msgspec.Struct, omit_defaults=True):
    """
    What a command has done.

    Attributes:
        events: How many events have ended, or are pending again.
        running: How many more events are being cancelled, and may still complete.
        skipped_after: How many events are skipped and come after those that are pending again.
        others: Why an event was left as it is, by its id; of the events that were named.
        is_unknown: Whether no open event has the key that ``pause`` was given, or ``resume`` has found no such pause.
        paused: What is paused now, in words. Only of ``pause``, ``resume`` and ``explain``.
        lines: What ``explain`` tells.
        state: The state of the executor, if ``explain`` was asked for it: see ``told_state()``.
    """

    events: int = 0
    running: int = 0
    skipped_after: int = 0
    others: dict[str, str] = {}
    is_unknown: bool = False
    paused: list[str] = []
    lines: list[str] = []
    state: dict[str, Any] = {}


# The form of the arguments of each command.
FORMS: Final[dict[str, type[msgspec.Struct]]] = {
    "pause": Pausing,
    "resume": Resuming,
    "cancel": Ending,
    "skip": Ending,
    "retry": Chosen,
    "resize": Resizing,
    "explain": Explaining,
}


def read_form(form: type[T], args: Any) -> T:
    """
    Return arguments that were read from JSON in their form.

    Raises:
        ValueError: They do not have this form. The message names the argument.
    """
    return msgspec.convert({} if args is None else args, form)


def plain(form: msgspec.Struct) -> Any:
    """Return arguments, or a result, as the dicts and lists that JSON has."""
    return msgspec.to_builtins(form)


def encode_form(form: msgspec.Struct) -> str:
    """Return arguments as JSON. Those of a command line that are not in UTF-8 have halves of surrogate pairs."""
    return write_json(plain(form)).decode()


def read_result(text: str) -> Result:
    """
    Return a result from JSON.

    Raises:
        ValueError: It is none.
    """
    return msgspec.json.decode(text, type=Result)
