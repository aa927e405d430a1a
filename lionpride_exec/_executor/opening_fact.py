"""What an executor writes of itself into its journal when it opens it, for the report of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.backend import backend_name
from lionpride_exec._base.json_text import write_json
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._journal.facts import OPENING
from lionpride_exec._model.limit_fields import shown
from lionpride_exec._model.limits import Rate
from lionpride_exec._model.run_record import key_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor

# Amounts of single keys that are written for a limit.
MAX_AMOUNTS: Final = 1000


def opening_fact(processor: Processor | None) -> Callable[[int], dict[str, str]]:
    """
    Return a function that returns the fact by its name, for how often the file has been opened. Call it in any thread.

    Args:
        processor: The processor. None if there is none yet.
    """
    limits = () if processor is None else processor.router.limits
    fact: dict[str, Any] = {
        "at": wall_clock.seconds(),
        "pid": os.getpid(),
        "backend": backend_name(),
        "slots": 0 if processor is None else processor.concurrency_limit,
        "limits": [limit_form(limit) for limit in limits if has_window(limit)],
    }
    return lambda generation: {OPENING: write_json(fact | {"generation": generation}).decode()}


def has_window(limit: Limit) -> bool:
    """Return whether a limit allows so many starts in any time: a rate, without a cost."""
    return isinstance(limit, Rate) and limit.cost is None


def limit_form(limit: Limit) -> dict[str, Any]:
    """Return the amounts, the time and the key of a limit, as JSON-safe data."""
    amount = limit.amount
    by_key = {**amount} if isinstance(amount, Mapping) else {}
    rest = by_key.pop(..., None) if by_key else amount
    return {
        "per": limit.per,
        "amount": rest if isinstance(rest, int | float) and isfinite(rest) else None,
        "key": None if limit.key is None else shown(limit.key) if callable(limit.key) else limit.key,
        "is_field": isinstance(limit.key, str),
        "amounts": {key_text(key): number for key, number in list(by_key.items())[:MAX_AMOUNTS]},
    }
