"""What a pause is about, in a word. A key of several limits has a pause in each of them, and is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.key_texts import key_text

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable

    from lionpride_exec._processing.pause_records import Pause


def one_for_each(pauses: Iterable[Pause]) -> list[Pause]:
    """Return one pause for each key, the one that comes first: a key of several limits is closed for all of them."""
    found: dict[str | None, Pause] = {}
    for pause in pauses:
        found.setdefault(pause_name(pause), pause)
    return list(found.values())


def any_paused(pauses: Iterable[Pause], keys: Collection[Hashable], limit: str | None) -> bool:
    """Return whether the program has paused one of these keys, of a limit with this name if there is one."""
    return any(
        not pause.refusals
        and pause.key in keys
        and (limit is None or (pause.limit is not None and pause.limit.name == limit))
        for pause in pauses
    )


def pause_name(pause: Pause) -> str | None:
    """Return the name of what a pause is about: the key, or else the limit. None for everything."""
    if pause.key is not None or pause.limit is None:
        return key_text(pause.key)
    return pause.limit.name or repr(pause.limit)
