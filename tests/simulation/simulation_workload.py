"""What a seed means: events, callers, what is done to the executor meanwhile, its configuration, faults. Plain data."""

import random

import attrs
from simulation_faults import draw_faults
from simulation_schedule import Planned

from lionpride_exec.testing import FaultPlan

LANES = ("a", "b", "c")

# How a run of an event goes.
ENDINGS = ("returns",) * 6 + ("raises", "raises", "skips", "limited", "slips", "streams", "streams")

# How events are brought.
WAYS = ("append", "append", "wait", "wait", "invoke", "extend", "map", "after", "later")


@attrs.frozen
class Work:
    """
    An event.

    ``ends`` says how its runs go: "raises" always, "slips" ``fails`` times, "limited" as often by ``RateLimited``.
    """

    name: str
    seconds: float
    ends: str = "returns"
    fails: int = 0
    timeout: float | None = None
    attempts: int | None = None
    priority: float | None = None
    lane: str | None = None
    tokens: float = 1.0
    delay: float | None = None
    at: float | None = None
    expires: float | None = None
    after: tuple[str, ...] = ()
    key: str | None = None
    chunks: int = 0
    reader: float | None = None  # seconds that a reader takes for each chunk; None: there is none
    children: tuple["Work", ...] = ()
    abandoned: float | None = None  # seconds after which its caller goes, and the event with him
    then: "Work | None" = None  # of the next stage of a pipeline


@attrs.frozen
class Caller:
    """A task that brings events, each some time after the one before; and how."""

    name: str
    way: str
    pauses: tuple[float, ...]
    works: tuple[Work, ...]


@attrs.frozen
class Move:
    """Something done to the executor, or an event, at a time."""

    at: float
    what: str
    target: str | None = None
    number: float | None = None


@attrs.frozen
class Setup:
    """The configuration of the executor, and who owns it."""

    lifetime: str
    concurrency: int
    capacity: int
    refresh: float
    room: int
    limits: tuple[str, ...]
    gate: bool
    attempts: int | None
    retain: int | None
    journal: str | None  # its ack
    time_slice: float  # seconds that a worker may go on for; 0 or any number
    timeout: float | None  # of the events that have none
    planned: Planned | None  # its schedule


@attrs.frozen
class Workload:
    """All that a seed stands for."""

    seed: int
    setup: Setup
    callers: tuple[Caller, ...]
    moves: tuple[Move, ...]
    watchers: tuple[int, ...]  # the buffer of each
    faults: dict
    has_native_faults: bool
    is_defined: bool  # nothing is left to the event loop: backends must agree about what happens, and when

    @property
    def works(self):
        """All events, children included, by name."""
        planned = self.setup.planned
        found = {} if planned is None else {name: Work(name, planned.seconds) for name in planned.names()}
        for caller in self.callers:
            for work in caller.works:
                found[work.name] = work
                found.update({child.name: child for child in work.children})
                if work.then is not None:
                    found[work.then.name] = work.then
        return found

    def plan(self):
        """Give the faults, by the names of the events."""
        return FaultPlan(self.seed, self.faults, label="name")

    def __str__(self):
        lines = [f"seed {self.seed}", f"  {self.setup}"]
        for caller in self.callers:
            lines.append(f"  {caller.name} brings by {caller.way}:")
            for pause, work in zip(caller.pauses, caller.works, strict=True):
                fields = attrs.asdict(work, recurse=False, filter=lambda field, value: value != field.default)
                lines.append(f"    +{pause:.3f} s " + ", ".join(f"{name}={value}" for name, value in fields.items()))
        lines += [f"  {move}" for move in self.moves]
        return "\n".join([*lines, f"  watchers: {self.watchers}", f"  faults: {self.faults}"])


def make_workload(seed, *, with_journal=False):
    """Draw all that a seed stands for."""
    return _Draw(seed, with_journal).workload()


class _Draw(random.Random):
    """
    Draws the parts. All times are drawn from so many that no two things fall together by chance.

    Where order is to be defined, nothing falls together on purpose either.
    """

    def __init__(self, seed, with_journal):
        super().__init__(f"workload {seed}")
        self.number = seed
        self.with_journal = with_journal
        self.is_defined = self.chance(0.4) and not with_journal
        self.made = []

    def chance(self, share):
        return self.random() < share

    def seconds(self, most):
        return round(self.uniform(0.001, most), 6)

    def workload(self):
        callers = tuple(self.caller(number) for number in range(self.randint(1, 4)))
        setup = self.setup()
        has_native = self.chance(0.15) and not self.is_defined
        return Workload(
            seed=self.number,
            setup=setup,
            callers=callers,
            moves=tuple(sorted((self.move() for _ in range(self.randint(0, 6))), key=lambda move: move.at)),
            watchers=tuple(
                self.choice((1, 3, 1000)) for _ in range(0 if self.is_defined else self.choice((0, 0, 1, 2)))
            ),
            faults=draw_faults(self, has_journal=self.with_journal, has_native=has_native),
            has_native_faults=has_native,
            is_defined=self.is_defined,
        )

    def setup(self):
        limits = ("rate", "tokens", "lanes", "held", "two", "learned")
        return Setup(
            lifetime=self.choice(("block", "run", "start")),
            concurrency=self.choice((1, 2, 3, 10)),
            capacity=self.choice((1, 2, 5, 100)),
            refresh=self.choice((0.01, 1.0, 2.0)),
            room=1000 if self.is_defined else self.choice((1, 2, 5, 1000)),
            limits=(*(name for name in limits if self.chance(0.25)), *self.quota()),
            gate=self.chance(0.3),
            attempts=self.choice((None, None, 2, 4)),
            retain=self.choice((None, None, None, 0, 3)),
            journal=self.choice(("lazy", "strict")) if self.with_journal else None,
            time_slice=self.choice((0.0, 1e9)),
            timeout=self.timeout(),
            planned=self.planned(),
        )

    def caller(self, number):
        way = self.choice(WAYS if not self.is_defined else [way for way in WAYS if way != "map"])
        works = tuple(self.work(f"{'abcd'[number]}{place}", way) for place in range(self.randint(2, 8)))
        way, works = self.piped(way, works)
        pauses = tuple(0.0 if self.chance(0.3) and not self.is_defined else self.seconds(3) for _ in works)
        return Caller(f"caller {'abcd'[number]}", way, pauses, works)

    def work(self, name, way, *, may_have_children=True):
        ends = self.choice(ENDINGS)
        delay, at = self.timing(way)
        work = Work(
            name=name,
            seconds=0.0 if self.chance(0.3) else self.seconds(4),
            ends=ends,
            fails=self.randint(1, 3),
            timeout=self.seconds(3) if self.chance(0.2) else None,
            attempts=self.choice((None, None, None, 2, 3)),
            priority=self.choice((None, 0, 0, 1, self.seconds(9))),
            lane=self.choice((None, *LANES)),
            tokens=self.choice((0, 1, 3.5, 5)),
            delay=delay,
            at=at,
            expires=self.expiry(name, way, delay, at),
            after=tuple(self.sample(self.made, min(len(self.made), self.randint(1, 2)))) if way == "after" else (),
            key=self.choice(("k1", "k2")) if self.chance(0.1) else None,
            chunks=self.randint(0, 4) if ends == "streams" else 0,
            reader=None if self.is_defined else self.choice((None, 0.0, self.seconds(1))),
            abandoned=self.abandoned(name, way),
            children=tuple(self.work(f"{name}.{place}", "append", may_have_children=False) for place in range(2))
            if may_have_children and self.chance(0.1) and not self.is_defined
            else (),
        )
        self.made.append(name)
        return work

    def timing(self, way):
        if way != "later":
            return None, None
        return self.choice(((self.seconds(5), None), (None, self.seconds(8)), (0.0, None)))

    def timeout(self):
        """Draw the timeout of the executor, by a generator of its own."""
        own = random.Random(f"timeout {self.number}")  # noqa: S311  it is to be guessed
        return round(own.uniform(0.5, 3), 6) if own.random() < 0.1 else None

    def planned(self):
        """Draw the schedule, by a generator of its own."""
        own = random.Random(f"schedule {self.number}")  # noqa: S311  it is to be guessed
        if own.random() > 0.25:
            return None
        times = tuple(sorted(round(own.uniform(0.01, 8), 6) for _ in range(own.randint(1, 4))))
        overlap = own.choice(("skip", "queue"))
        if self.is_defined:  # with "queue", a run may be appended at the moment at which the executor ends
            overlap = "skip"
        return Planned(times, overlap, round(own.uniform(0.01, 3), 6))

    def quota(self):
        """Draw by a generator of its own, as for expiries."""
        own = random.Random(f"quota {self.number}")  # noqa: S311  it is to be guessed
        return ("quota",) if own.random() < 0.15 else ()

    def expiry(self, name, way, delay, at):
        """Draw by a generator of its own, so that seeds stand for what they stood for before there was one."""
        own = random.Random(f"expires {self.number} {name}")  # noqa: S311  it is to be guessed
        if own.random() > 0.15 or way in {"extend", "map"} or at is not None:
            return None
        return (delay or 0.0) + round(own.uniform(0.001, 6), 6)

    def abandoned(self, name, way):
        """Draw by a generator of its own, as for expiries."""
        own = random.Random(f"abandoned {self.number} {name}")  # noqa: S311  it is to be guessed
        return round(own.uniform(0.001, 5), 6) if way == "invoke" and own.random() < 0.3 else None

    def piped(self, way, works):
        """Make a pipeline of two stages of some maps. A journal could not keep what the first one hands on."""
        own = random.Random(f"pipeline {self.number} {works[0].name}")  # noqa: S311  it is to be guessed
        if way != "map" or self.with_journal or own.random() > 0.5:
            return way, works
        return "pipeline", tuple(
            attrs.evolve(
                work,
                ends="returns" if work.ends == "streams" else work.ends,
                then=Work(f"{work.name}+", round(own.uniform(0, 2), 6), own.choice(("returns", "returns", "raises"))),
            )
            for work in works
        )

    def move(self):
        at, what = self.seconds(15), self.choice(_MOVES)
        if (
            what in {"lock", "forward"} and self.is_defined
        ):  # who waits for a lock, or a slot, goes on at the same moment
            what = "statistics"
        if what == "priority":
            return Move(at, what, target=self.choice(self.made), number=self.choice((None, 0, 0, 3)))
        if what in ("cancel", "skip", "explain", "wait", "settle"):
            return Move(at, what, target=self.choice(self.made))
        return Move(at, what, number=self.choice((1, 2, 3, 8)) if what.startswith("resize") else self.seconds(3))


_MOVES = (
    *("cancel", "cancel", "skip", "explain", "wait", "pause", "resize concurrency", "resize capacity", "stop", "lock"),
    *("forward", "forward", "cleanup", "join", "statistics", "priority", "priority", "hold", "hold", "limit", "limit"),
)
