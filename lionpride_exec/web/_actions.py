"""What somebody asks for by a form or as JSON: read, written to the log, and handed to the source."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from lionpride_exec._base.wording import visible
from lionpride_exec._faces.snapshot import Action, Choice
from lionpride_exec._status import FINAL, OPEN
from lionpride_exec.errors import LionprideError

from ._queries import BadQueryError, choice_of, number_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from lionpride_exec._faces.snapshot import Source

logger = logging.getLogger("lionpride_exec.web")

# The largest body of a request, in bytes, and the most fields of a form.
MOST_BYTES: Final = 65536
MOST_FIELDS: Final = 50

# How many answers wait until the page that shows them is asked for.
MOST_NOTICES: Final = 100

# Each thing that can be asked for, and whether it is about events.
WHATS: Final = {"pause": False, "resume": False, "resize": False, "cancel": True, "skip": True, "retry": True}

# Where a form may lead back to: a page of ours, with its query.
_BACK: Final = re.compile(r"(?:\./|events|event|errors|limits|timeline)(?:\?[!-~]*)?", re.ASCII)


async def body_of(request: Request) -> bytes:
    """
    Return the body of a request.

    Raises:
        BadQueryError: The body is too long.
    """
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > MOST_BYTES:
            raise BadQueryError(f"the body has more than {MOST_BYTES:,} bytes")
    return bytes(found)


def fields_of(body: bytes) -> dict[str, str]:
    """
    Return the fields of a form, each with its last value. Empty ones are left out.

    Raises:
        BadQueryError: There are too many fields.
    """
    try:
        found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
    except ValueError as exc:
        raise BadQueryError(f"the form has more than {MOST_FIELDS} fields") from exc
    return {name: values[-1] for name, values in found.items()}


def action_of(fields: Mapping[str, Any], by: str) -> Action:
    """
    Return what a form or an object of JSON asks for.

    Args:
        fields: ``what``, and what else :class:`Action` has. ``choice`` may be an object, or its fields stand beside it.
        by: Who asks.

    Raises:
        BadQueryError: Something is missing, or is not what it should be.
    """
    what = fields.get("what")
    if not isinstance(what, str) or what not in WHATS:
        raise BadQueryError(f"what must be {', '.join(WHATS)}, got {what!r}")
    id_, key = (_text(fields, name) for name in ("id", "key"))
    if not WHATS[what]:
        amount = number_of(fields, "amount", None, most=1_000_000)
        if what == "resize" and amount is None:
            raise BadQueryError("resize needs an amount")
        return Action(what=what, by=by, key=None if what == "resize" else key, amount=amount)
    if id_ is not None:
        return Action(what=what, by=by, id=id_)
    given: Any = fields if fields.get("choice") is None else fields["choice"]
    if not isinstance(given, dict):
        raise BadQueryError("choice must be an object")
    choice = choice_of(given)
    if choice == Choice():
        raise BadQueryError(f"{what} needs an id, or says which events by status, text, kind, key, error or since")
    return Action(what=what, by=by, choice=choice)


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise BadQueryError(f"{name} must be a text, got {value!r}")
    return value or None


async def carry_out(source: Source, action: Action) -> str:
    """
    Have the source do what is asked for, and write it to the log. Return what came of it.

    Raises:
        LionprideError: It was refused.
    """
    which = visible(_which(action))
    try:
        told = await source.act(action)
    except LionprideError as exc:
        logger.info("%s %s by %s was refused: %s", action.what, which, visible(action.by), visible(str(exc)))
        raise
    logger.info("%s %s by %s: %s", action.what, which, visible(action.by), visible(told))
    return told


def _which(action: Action) -> str:
    """Return in words what an action is about."""
    if action.id is not None:
        return f"event {action.id}"
    if action.choice is not None:
        return words_of(action.choice)
    if action.key is not None:
        return f"key {action.key}"
    return "all" if action.amount is None else f"to {action.amount} slots"


def words_of(choice: Choice) -> str:
    """Return which events are meant, in words: ``all failed events with the error "timeout"``."""
    status = f"{choice.status} " if choice.status in {*FINAL, *OPEN} else ""
    parts = [
        f'{word} "{value}"'
        for word, value in (
            ("of the kind", choice.kind),
            ("with the key", choice.key),
            ("with the error", choice.error),
            ("with the text", choice.text),
        )
        if value is not None
    ]
    since = " of the chosen time" if choice.since is not None else ""
    return f"all {status}events{since} {', '.join(parts)}".rstrip()


def way_back(address: str | None) -> str:
    """Return where a form leads back to: a page of ours, whatever the form says."""
    return address if address is not None and _BACK.fullmatch(address) else "./"


class Notices:
    """
    What came of actions, until the next page shows it.

    An answer is kept here and not in the address of the page: a link of somebody else could hold any text.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()

    def add(self, text: str) -> str:
        """Keep a text. Return the name by which the page asks for it."""
        name = token_urlsafe(9)
        self._texts[name] = text
        while len(self._texts) > MOST_NOTICES:
            self._texts.popitem(last=False)
        return name

    def take(self, name: str | None) -> str | None:
        """Return a text, once."""
        return None if name is None else self._texts.pop(name, None)
