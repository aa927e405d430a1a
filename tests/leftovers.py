"""
What an executor keeps, found without knowing the place.

Tests that look for leftovers compare the sizes of all containers before and after. So a container that is added later
is looked at too, and no test names a private attribute.
"""

import gc
import importlib.util
import re
import sys
from collections import deque
from pathlib import Path

from support import view, view_of

from lionpride_exec import EventStatus


def load(name):
    """Import a module of the benchmarks."""
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # attrs looks there
    spec.loader.exec_module(module)
    return module


# In this order: each imports some of those before it.
targets, harness, census, _, soak = load("_targets"), load("_harness"), load("_census"), load("_chores"), load("_soak")

# An entry of an event that has left stays in its lane until it comes first, or until most entries are such.
IN_LANES = {r"lanes\[\*\]\.heap\b": (64, "the entry itself is a tuple of four")}

# How many events have left, for each status in which they did.
BY_STATUS = {r"\bremoved$": (len(EventStatus), "one number for each status")}

BOUNDS = census.LAZILY_TIDIED | census.OF_THE_LAST_MINUTE | IN_LANES | BY_STATUS


def sizes(executor):
    """Return the size of each container that an executor holds, by its path."""
    found = census.sizes_from(executor=executor)
    of_executor = (path for path in found if path.partition(".")[0] == "executor")
    return {path: found[path] for path in of_executor if found[path] and path != "executor.processor_config"}


def containers_of(value):
    """Return the lists, sets and dicts that an object of the package holds, and those of the objects in it."""
    found, seen, queue = [], set(), deque([value])
    while queue:
        for inner in gc.get_referents(queue.popleft()):
            if id(inner) not in seen and not isinstance(inner, type):
                seen.add(id(inner))
                if isinstance(inner, list | dict | set | deque):
                    found.append(inner)
                if isinstance(inner, list | dict | deque) or type(inner).__module__.startswith("lionpride_exec"):
                    queue.append(inner)
    return found


async def sizes_after(executor, event):
    """Run one event in an executor, remove it, and return the sizes that remain."""
    async with executor:
        await executor.invoke(event)
    await executor.cleanup_events()
    return sizes(executor)


def grown(executor, before):
    """
    Return the containers that hold more than before, by path, with both sizes.

    Containers that are tidied now and then may hold as much as the census of the benchmarks allows.

    Args:
        executor: The executor now.
        before: Its sizes, or those of one like it, at a moment when nothing was left over.
    """
    found = {}
    for path, size in sizes(executor).items():
        bound = next((most for pattern, (most, _) in BOUNDS.items() if re.search(pattern, path)), 0)
        if size > max(bound, before.get(path, 0)):
            found[path] = (before.get(path, 0), size)
    return found


def leftovers(executor):
    """
    Return the notes that an executor has about events in progress, by name. O(number of events).

    Once every event has ended there must be none, so the answer is an empty dict. Keys, counts and results are no such
    notes: they stay as long as their events do.
    """
    kept = view_of(executor)
    notes = {
        "running": kept.running,
        "early": kept.early,
        "waiting_after": kept.waiting_after,
        "followers": kept.followers,
        "unresolved": kept.unresolved,
        "deferred_ends": kept.deferred_ends,
        "unannounced_ends": kept.unannounced_ends,
        "pending_writes": kept.pending_writes,
        "guests": kept.guests,
        "end_waiters": (waiter for event in executor.states.items for waiter in view.end_waiters(event) or ()),
    }
    if kept.processor is not None:
        notes |= _leftovers_of_processor(kept.processor)
    return {name: found for name, note in notes.items() if (found := list(note))}


def _leftovers_of_processor(kept):
    queue = kept.processor.queue
    return {
        "started": kept.running,
        "queued": queue.entries(),
        "room_waiters": range(kept.room_waiters),
        "promised_places": range(kept.promised_places),
        "asked": () if kept.asked is None else (kept.asked,),
        "strikes": kept.strikes,
        "first_starts": kept.first_starts,
        "excluded_from_waits": kept.excluded_from_waits,
        "unbegun_starts": kept.unbegun_starts,
        "limits_held": (state for state in kept.limit_states if state.uses > len(state.returns())),
    }
