"""A source for the tests of ``top``: what it says is set by the test."""

import attrs
from parts import faces_snapshot

from lionpride_exec.errors import LionprideError, NotFoundError

# 2026-11-30 12:00:00 UTC.
NOON = 1_796_040_000.0


def event_id(number):
    """Return the id of an event with a number."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def running_events(count=6):
    """Return events that run, the longest first."""
    kinds = ("fetch_page", "embed", "summarize")
    return tuple(
        faces_snapshot.EventLine(
            id=event_id(number),
            number=number,
            status="processing",
            kind=kinds[number % 3],
            key=f"model-{number % 2}" if number % 3 else None,
            attempt=1 + number % 2,
            queued=NOON - 100 + number,
            started=NOON - 90 + number * 7.3,
        )
        for number in range(1, count + 1)
    )


def failed_events(first=100, count=120, error="HTTP 503 for https://example.org/items/{}"):
    """Return events that failed, the newest first."""
    return [
        faces_snapshot.EventLine(
            id=event_id(number),
            number=number,
            status="failed",
            kind="fetch_page",
            key=f"item-{number}",
            attempt=3,
            queued=NOON - 400,
            started=NOON - 300 + number,
            finished=NOON - 298 + number,
            duration=2.0,
            error=error.format(number),
        )
        for number in range(first + count - 1, first - 1, -1)
    ]


def busy_snapshot(**changes):
    """Return how a run in its middle goes."""
    values = {
        "name": "run.db",
        "at": NOON,
        "state": "running",
        "is_live": True,
        "counts": {"pending": 3120, "processing": 20, "completed": 24011, "failed": 132, "skipped": 3},
        "rate": 1204.0,
        "seconds_left": 252.0,
        "slots": 20,
        "slots_used": 20,
        "waits": {"limit": 2900, "backoff": 120, "slot": 100},
        "oldest_pending": 63.0,
    }
    return faces_snapshot.Snapshot(**(values | changes))


LIMITS = (
    faces_snapshot.LimitLine(limit="Rate(500, per=60, key='model')", key="model-0", used=500, amount=500, per=60),
    faces_snapshot.LimitLine(limit="Rate(500, per=60, key='model')", key="model-1", used=431, amount=500, per=60),
    faces_snapshot.LimitLine(limit="Concurrent(40)", key=None, used=12, amount=40, per=0),
)
ERRORS = (
    faces_snapshot.ErrorLine(
        status="failed",
        shape="ConnectionError: HTTP <n> for <url>",
        count=120,
        example="ConnectionError: HTTP 503 for https://example.org/items/7",
        id=event_id(219),
        last=NOON - 3,
    ),
    faces_snapshot.ErrorLine(
        status="failed",
        shape="ValueError: no field 'text' in the answer of <n> bytes",
        count=12,
        example="ValueError: no field 'text' in the answer of 17 bytes",
        id=event_id(99),
        last=NOON - 340,
    ),
    faces_snapshot.ErrorLine(
        status="skipped", shape="Skip: seen before", count=3, example="Skip: seen before", id=event_id(98)
    ),
)
PAUSE = faces_snapshot.PauseLine(key="model-0", seconds=12.0, reason="rate limited")


@attrs.define
class FakeSource:
    """
    A source.

    Attributes:
        trouble: The error that each call raises. None to answer.
        acted: What was asked for.
        reads: How many snapshots were read.
    """

    name: str = "run.db"
    takes_actions: bool = False
    now: object = attrs.field(factory=busy_snapshot)
    limit_lines: tuple = LIMITS
    running_lines: tuple = attrs.field(factory=running_events)
    error_lines: tuple = ERRORS
    all_events: list = attrs.field(factory=failed_events)
    views: dict = attrs.field(factory=dict)
    seconds: tuple = attrs.field(
        factory=lambda: tuple(
            faces_snapshot.Second(at=int(NOON) - back, ended={"completed": 40 * back}) for back in range(1, 30)
        )
    )
    page_size: int = 50
    trouble: Exception | None = None
    refusal: str | None = None
    acted: list = attrs.field(factory=list)
    reads: int = 0
    changes: int = 0

    def change(self, **changes):
        """Change the snapshot."""
        self.now = attrs.evolve(self.now, **changes)
        self.changes += 1

    def _check(self):
        if self.trouble is not None:
            raise self.trouble

    async def version(self):
        self._check()
        return self.changes

    async def snapshot(self):
        self._check()
        self.reads += 1
        return self.now

    async def limits(self, count):
        return self.limit_lines[:count]

    async def running(self, count):
        return self.running_lines[:count]

    async def errors(self, count):
        return self.error_lines[:count]

    async def ended(self, seconds):
        return self.seconds[-seconds:]

    async def events(self, choice, before, count):
        """Return a page, as a search does that looks at so many events a call."""
        self._check()
        begin = int(before or 0)
        end = begin + min(count, self.page_size)
        found = [
            line
            for line in self.all_events[begin:end]
            if (choice.status is None or line.status == choice.status)
            and (choice.text is None or choice.text in f"{line.kind} {line.key} {line.error}")
        ]
        return faces_snapshot.EventPage(lines=tuple(found), before=str(end) if end < len(self.all_events) else None)

    async def event(self, ref):
        self._check()
        if ref in self.views:
            return self.views[ref]
        for line in (*self.running_lines, *self.all_events):
            if ref in {line.id, str(line.number), line.key}:
                return view_of(line)
        raise NotFoundError(f"no event matches {ref!r}")

    async def act(self, action):
        if self.refusal is not None:
            raise LionprideError(self.refusal)
        self.acted.append(action)
        return f"{action.what}: done"


def view_of(line):
    """Return all about an event on a line."""
    return faces_snapshot.EventView(
        line=line,
        facts={"priority": "0", "timeout": "30 s"},
        data='{\n  "url": "https://example.org/items/7",\n  "depth": 2\n}',
        error=None
        if line.error is None
        else f"Traceback (most recent call last):\n  ...\nConnectionError: {line.error}",
        explanation="Runs since 12:00:00." if line.status == "processing" else None,
        transitions=(
            faces_snapshot.TransitionLine(at=NOON - 400, status="pending"),
            faces_snapshot.TransitionLine(at=NOON - 300, status="processing", attempt=1),
            faces_snapshot.TransitionLine(at=NOON - 299, status="pending", attempt=1, error="HTTP 503"),
            faces_snapshot.TransitionLine(at=NOON - 200, status="processing", attempt=2),
        ),
        attempts=(
            faces_snapshot.AttemptLine(
                number=1, started=NOON - 300, finished=NOON - 299, outcome="failed", error="HTTP 503"
            ),
        ),
    )


# What a terminal, or a language of markup, would take for something else than text.
HOSTILE = (
    "[red]x[/red] \x1b[31mred\x1b]0;title\x07 \x9b2J \r\n\t\u202eback [@click=app.quit]q[/] \ud800 <b data-marker>"
)


def hostile_source():
    """Make a source whose texts all are hostile."""
    line = faces_snapshot.EventLine(
        id=HOSTILE,
        status="failed",
        kind=HOSTILE,
        key=HOSTILE,
        attempt=1,
        queued=NOON - 9,
        started=NOON - 8,
        finished=NOON,
        duration=8.0,
        error=HOSTILE,
    )
    view = attrs.evolve(
        view_of(line), data=HOSTILE, response=HOSTILE, error=HOSTILE, explanation=HOSTILE, facts={HOSTILE: HOSTILE},
        after=(HOSTILE,),
    )  # fmt: skip
    now = busy_snapshot(
        name=HOSTILE,
        waits={HOSTILE: 1},
        notes=(HOSTILE,),
        pauses=(faces_snapshot.PauseLine(key=HOSTILE, seconds=1.0, reason=HOSTILE),),
    )
    return FakeSource(
        name=HOSTILE,
        takes_actions=True,
        now=now,
        limit_lines=(faces_snapshot.LimitLine(limit=HOSTILE, key=HOSTILE, used=1, amount=2, per=1),),
        running_lines=(attrs.evolve(line, status="processing"),),
        error_lines=(faces_snapshot.ErrorLine(status="failed", shape=HOSTILE, count=1, example=HOSTILE, id=HOSTILE),),
        all_events=[line],
        views={HOSTILE: view},
        refusal=HOSTILE,
    )
