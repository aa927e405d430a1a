"""
What there is: containers and their sizes, objects, tasks and memory; and which of them grow.

A leak is found without knowing its place. From the executor, and from the variables of the package's modules, every
container is reached by going through the objects of the package and of anyio, so an index that is added later is
counted like all others. What only a foreign object holds (a callback, a task that is suspended) is found by the number
of living objects, of tasks, or of blocks of memory.

What may grow, and does not show here: numbers, such as the counts of what has been removed; with a journal, the file.
Without a retention everything that has ended is kept, so there is nothing to be measured. With a retention of a number,
or an age, containers grow up to it: let that be over before the first census.
"""

import gc
import re
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs
from _harness import collected

PACKAGE = "lionpride_exec"

# What is tidied now and then instead of at once: by path, the most that may lie there. It is not to grow any further.
LAZILY_TIDIED: Mapping[str, tuple[int, str]] = {
    r"\b_by_key$": (256, "the buckets of keys are swept when they have doubled, from 64 on"),
    r"\b_uses$": (512, "what was taken of a rate is taken back at the next look; it is no more than its amount"),
    r"\._window\.": (512, "likewise, of the capacity"),
    r"\b_(delayed|heads|timers)\b": (320, "a heap drops what is outdated when it comes first, or is too much"),
    r"\bparked$": (256, "likewise"),
    r"_lanes\[\*\]\.heap": (256, "likewise"),
    r"_retention\.removed$": (8, "one number for each final status"),
    r"^objects of (Entry|Route|Lane|LimitState|Reservation)$": (1024, "they lie in the above"),
}

# What fills up in the first minute of a run; where each round takes longer than that, it is not to grow either.
OF_THE_LAST_MINUTE: Mapping[str, tuple[int, str]] = {
    r"\b_pace\._samples": (128, "what progress() has seen"),
    r"\b_seconds$": (64, "starts and retries, by seconds, for the budget of retries"),
}

# How many blocks of memory more there may be for an executor, after any number of events: some 6 for each of the
# entries that are tidied now and then.
MEMORY_SLACK = 2500


@attrs.frozen
class Census:
    """
    What there was at one moment.

    Attributes:
        sizes: Of each container, by its path from the executor; for those in a container the largest.
        objects: Living objects of the package, and of classes derived from its own, by class.
        tasks: By name.
        blocks: Pieces of memory that the interpreter has handed out.
    """

    sizes: Mapping[str, int]
    objects: Mapping[str, int]
    tasks: Mapping[str, int]
    blocks: int

    def figures(self) -> Iterator[tuple[str, int]]:
        """Give everything that must not grow, by a name that says where it is."""
        yield from self.sizes.items()
        yield from ((f"objects of {name}", number) for name, number in self.objects.items())
        yield from ((f"tasks named {name!r}", number) for name, number in self.tasks.items())


def take_census(**roots: object) -> Census:
    """Count now, at a moment when nothing goes on; the names of the roots begin the paths."""
    gc.collect()
    tasks = Counter(_without_numbers(task.name or "") for task in anyio.get_running_tasks())
    return Census(sizes_from(**roots), _objects(), tasks, sys.getallocatedblocks())


async def growth(
    work: Callable[[], Awaitable[object]], *, rounds: int, rest: float, warm_up: int = 2, **roots: object
) -> list[str]:
    """
    Do the same work again and again, and say what grows.

    Args:
        work: One round of it; nothing is to go on when it returns.
        rounds: How many are measured. What seems to grow is given as many again: a leak goes on growing, chance does
            not.
        rest: Seconds after a round until all windows are over, more than a minute.
        warm_up: Rounds before, in which what is bounded becomes full.
        roots: Where to look, by name.
    """

    async def measure() -> Census:
        await work()
        await anyio.sleep(rest)
        await anyio.wait_all_tasks_blocked()
        return take_census(**roots)

    with collected():  # what there was before is not counted
        for _ in range(warm_up):
            await measure()
        censuses = [await measure() for _ in range(rounds)]
        if grown(censuses):
            censuses += [await measure() for _ in range(rounds)]
    return grown(censuses)


def grown(
    censuses: Sequence[Census],
    bounds: Mapping[str, tuple[int, str]] = LAZILY_TIDIED,
    memory_slack: int = MEMORY_SLACK,
) -> list[str]:
    """
    Say what grows: whatever was larger at each moment of the second half than at all moments of the first.

    What is named in the bounds has one instead. Of memory the least in either half is compared.
    """
    half = len(censuses) // 2
    figures = [dict(census.figures()) for census in censuses]
    found: list[str] = []
    for name in sorted(set[str]().union(*figures)):
        numbers = [one.get(name, 0) for one in figures]
        bound = next((most for path, (most, _) in bounds.items() if re.search(path, name)), None)
        if min(numbers[half:]) > max(numbers[:half]) if bound is None else max(numbers) > bound:
            found.append(f"{name}: {', '.join(map(str, numbers))}{f' (at most {bound})' if bound else ''}")
    blocks = [census.blocks for census in censuses]
    if min(blocks[half:]) - min(blocks[:half]) > memory_slack:
        found.append(f"blocks of memory: {', '.join(map(str, blocks))}")
    return found


def resident() -> float:
    """Give the memory that the process has now, in MiB; where the system does not tell, 0."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 2**20


# -------------------------------------------------------------------- the objects and containers


def sizes_from(**roots: object) -> dict[str, int]:
    """Give the size of each container that can be reached, by its path; and from the modules of the package."""
    sizes: dict[str, int] = {}
    seen: dict[int, object] = {}  # the objects too: an id is only good while its object lives
    kinds: dict[type, _Kind] = {}
    queue = deque([*roots.items(), *_variables()])
    while queue:  # the nearest first, so that paths are short
        path, value = queue.popleft()
        cls = type(value)
        kind = kinds.get(cls)
        if kind is None:
            kind = kinds[cls] = _Kind.of(cls)
        if not (kind.is_ours or kind.is_container) or id(value) in seen:
            continue
        seen[id(value)] = value
        if kind.is_ours:
            queue.extend((f"{path}.{name}", inner) for name, inner in _attributes(value, kind.slots))
        else:
            path = sys.intern(path)  # so that a census takes no memory of its own
            sizes[path] = max(sizes.get(path, 0), len(value))
            queue.extend((f"{path}[{key}]", inner) for key, inner in _elements(value))
    return sizes


@attrs.frozen
class _Kind:
    """
    What a class says of its objects, which is asked once for a class: a census meets thousands of objects.

    Attributes:
        is_ours: Whether it is a class of the package or of anyio, so that the attributes are looked at.
        is_container: Whether it is a container, so that it has a size.
        slots: The slots, by the name in the class and the name by which they are reached.
    """

    is_ours: bool
    is_container: bool
    slots: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, kind: type) -> "_Kind":
        """Look at a class."""
        is_ours = not issubclass(kind, type | tuple) and _belongs(kind, (PACKAGE, "anyio"))
        is_container = issubclass(kind, Collection) and not issubclass(kind, (str, bytes, bytearray, range, type))
        return cls(is_ours, is_container, tuple(_slots_of(kind)) if is_ours else ())


def _slots_of(kind: type) -> Iterator[tuple[str, str]]:
    for cls in kind.__mro__:
        slots = vars(cls).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = f"_{cls.__name__.lstrip('_')}{slot}" if slot.startswith("__") and not slot.endswith("__") else slot
            if name not in {"__dict__", "__weakref__"}:
                yield slot, name


def _belongs(cls: type, packages: tuple[str, ...] = (PACKAGE,)) -> bool:
    return any(base.__module__.partition(".")[0] in packages for base in cls.__mro__)


def _attributes(value: object, slots: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, Any]]:
    """Give all that an object holds by name: what stands in its dict, and in the slots of its classes."""
    yield from list(vars(value).items()) if hasattr(value, "__dict__") else ()
    for slot, name in slots:
        if hasattr(value, name):
            yield slot, getattr(value, name)


def _elements(value: Any) -> Iterator[tuple[str, Any]]:
    """Give what a container holds; keys that are data have no part in the path."""
    if isinstance(value, Mapping):
        for key, inner in list(value.items()):
            yield (str(key) if type(key).__module__.startswith(PACKAGE) and isinstance(key, str) else "*"), inner
            yield "*", key
    else:
        yield from (("*", inner) for inner in list(value))


def _variables() -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == PACKAGE and module is not None:
            for variable, value in list(vars(module).items()):
                if not variable.startswith("__"):
                    yield f"{name}.{variable}", value


def _objects() -> Counter[str]:
    """Count the living objects by class; a class of the same name that was made anew counts with the others."""
    known: dict[type, bool] = {}
    living: Counter[str] = Counter()
    for value in gc.get_objects():
        cls = type(value)
        if cls not in known:
            known[cls] = not issubclass(cls, type) and _belongs(cls) and cls.__module__ != __name__
        if known[cls]:
            living[cls.__qualname__] += 1
    return living


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "*", name)
