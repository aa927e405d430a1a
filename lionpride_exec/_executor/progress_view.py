"""What a display shows of an executor beside the counts: what its events wait for, the fullest limits, and pauses."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from lionpride_exec._base.wording import MAX_SECONDS, shortened, shown_rate, shown_seconds
from lionpride_exec._display.parts import Part
from lionpride_exec._model.waiting import WaitReason
from lionpride_exec._tracking.progress import pause_part, trouble_parts

from .pause_names import pause_name

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from lionpride_exec._processing.pause_records import Pause
    from lionpride_exec._tracking.progress import Progress

    from .explanation import LimitUse, Statistics

# Pauses of fewer seconds are not shown: they would only flicker.
SHOWN_PAUSE = 1.0

# How many limits are shown: the fullest ones.
LIMITS_SHOWN = 3

# Of the key of a limit, so many characters are shown.
LONGEST_KEY = 24

# How many pauses are told in words.
PAUSES_TOLD = 20


def detail_lines(progress: Progress, statistics: Statistics | None) -> list[list[Part]]:
    """
    Return the lines below the counts, without empty ones: waits, limits, troubles.

    Args:
        progress: Has the number of retries and refusals.
        statistics: Has all else. None if it is not known.
    """
    troubles = trouble_parts(progress)
    if statistics is None:
        return [troubles] if troubles else []
    lines = [
        list(_wait_parts(statistics)),
        _limit_parts(statistics),
        [*troubles, *_pause_parts(statistics), *_pace_parts(statistics)],
    ]
    return [line for line in lines if line]


def state_of(statistics: Statistics | None) -> Hashable:
    """Return what statistics say that does not change with time alone: what events wait for, and what is paused."""
    if statistics is None:
        return None
    return frozenset(statistics.waits.items()), statistics.is_paused, frozenset(map(pause_name, statistics.pauses))


def pauses_in_words(statistics: Statistics) -> list[str]:
    """Return a text for each pause, that of all events first: what is paused, until when, and why."""
    texts = ["all events, until resume"] if statistics.is_paused else []
    for pause, number in _joined(statistics.pauses):
        limit = None if pause.limit is None or number > 1 else pause.limit.name or repr(pause.limit)
        words = [] if pause.key is None else [f"key {shortened(repr(pause.key), LONGEST_KEY)}"]
        words += [] if limit is None else [f"limit {limit}"]
        ends = "until resume" if pause.seconds > MAX_SECONDS else f"for {shown_seconds(pause.seconds)}"
        texts.append(f"{' of '.join(words) or 'all events'}, {ends}: {pause.reason}")
    more = len(texts) - PAUSES_TOLD
    return texts if more <= 0 else [*texts[:PAUSES_TOLD], f"{more:,} more"]


def _joined(pauses: Iterable[Pause]) -> list[tuple[Pause, int]]:
    """Return the pauses, one for all limits in which a key is paused alike, with the number of these limits."""
    found: dict[Hashable, list[Pause]] = {}
    for pause in pauses:
        ends = pause.seconds if pause.seconds > MAX_SECONDS else round(pause.until.timestamp(), 1)
        alike = object() if pause.key is None else (pause.key, ends, pause.reason)
        found.setdefault(alike, []).append(pause)
    return [(group[0], len(group)) for group in found.values()]


def _wait_parts(statistics: Statistics) -> Iterator[Part]:
    """Yield the part about what pending events wait for. Most wait for what is first."""
    waits = sorted(statistics.waits.items(), key=itemgetter(1), reverse=True)
    if waits:
        yield Part("waiting for " + ", ".join(f"{reason} ({number:,})" for reason, number in waits))


def _limit_parts(statistics: Statistics) -> list[Part]:
    """Return a part for each of the fullest limits, and one for the number of the others."""
    from .explanation import fullest  # noqa: PLC0415  loaded with the first statistics

    shown = [_shown_use(use) for use in fullest(statistics, LIMITS_SHOWN)]
    parts = [Part(text if rank else f"limits: {text}", rank) for rank, text in enumerate(shown)]
    others = len(statistics.limits) - LIMITS_SHOWN
    return [*parts, Part(f"{others:,} more limits or keys", LIMITS_SHOWN)] if others > 0 else parts


def _shown_use(use: LimitUse) -> str:
    name = use.limit.name or type(use.limit).__name__
    key = "" if use.key is None else f"[{shortened(repr(use.key), LONGEST_KEY)}]"
    period = f" per {shown_seconds(use.per)}" if 0 < use.per < MAX_SECONDS else ""
    return f"{name}{key} {_shown_amount(use.used)}/{_shown_amount(use.amount)}{period}"


def _shown_amount(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 or amount == int(amount) else f"{amount:.2g}"  # noqa: PLR2004  two digits


def _pause_parts(statistics: Statistics) -> list[Part]:
    """Return the part about pauses, with the one that ends last. Empty if there is none, or it ends at once."""
    pauses = statistics.pauses
    if not pauses or pauses[0].seconds < SHOWN_PAUSE:
        return []
    longest = pauses[0]
    keys = len({pause.key for pause in pauses})  # a pause for each limit of a key
    return [pause_part(keys, longest.seconds, longest.reason, longest.key)]


def _pace_parts(statistics: Statistics) -> list[Part]:
    """Return the part about the slowest pace after a pause. Empty if nothing waits for a pace."""
    # Without seconds until its next start, a pace holds up nothing: what waits is another key.
    holding = [pace for pace in statistics.paces if pace.seconds]
    if not holding or WaitReason.REFUSAL not in statistics.waits:
        return []
    slowest = min(holding, key=attrgetter("per_second"))
    which = "" if slowest.key is None else f" for key {shortened(repr(slowest.key), LONGEST_KEY)}"
    return [Part(f"{shown_rate(slowest.per_second)} allowed after refusals{which}", 2)]
