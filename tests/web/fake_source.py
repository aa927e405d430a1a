"""A source that has whatever a test gives it, and keeps what it is asked to do."""

import attrs
from parts import faces_snapshot as records

from lionpride_exec import NotFoundError

T0 = 1_700_000_000.0


class FakeSource:
    """Says what its attributes hold."""

    def __init__(self, text="fetch", **counts):
        self.name = text
        self.takes_actions = True
        self.changes = 0
        self.asked, self.done = [], []
        self.error = None  # raised by each method
        self.refusal = None  # raised by act()
        self.is_live = True
        self.text = text
        self.limit_name = None
        self.counts = {"pending": 3, "processing": 2, "completed": 190, "failed": 5} | counts
        self.lines = [self.line(number) for number in range(1, 9)]

    def line(self, number, **changes):
        """Give an event on one line."""
        text = self.text
        failed = {"status": "failed", "error": text, "finished": T0 + number, "duration": 0.5}
        line = records.EventLine(
            id=f"{number:032x}",
            number=number,
            kind=text,
            key=text,
            preview=text,
            attempt=1,
            queued=T0,
            started=T0 + 1,
            **failed,
        )
        return attrs.evolve(line, **changes)

    def waiting(self, number):
        """Give a pending event that waits for something."""
        return self.line(number, status="pending", error=None, finished=None, duration=None, waits=self.text)

    def _ask(self, *what):
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def version(self):
        self._ask("version")
        return self.changes

    async def snapshot(self):
        self._ask("snapshot")
        text = self.text
        return records.Snapshot(
            name=self.name, at=T0 + 60, state="running", is_live=self.is_live, counts=self.counts, progress=text,
            rate=12.5, seconds_left=90.0, slots=20, slots_used=2, waits={"limit": 2, "turn": 1}, oldest_pending=4.0,
            pauses=(records.PauseLine(key=text, seconds=30.0, reason=text),), notes=(text,),
        )  # fmt: skip

    async def limits(self, count):
        self._ask("limits", count)
        lines = [
            records.LimitLine(
                limit=f"Rate({text}/60s)", key=text, used=7.0, amount=10.0, per=60.0, name=self.limit_name
            )
            for text in [self.text]
        ]
        return tuple(lines[:count])

    async def running(self, count):
        self._ask("running", count)
        return (self.line(8, status="processing", error=None, finished=None, duration=None),)[:count]

    async def events(self, choice, before, count):
        self._ask("events", choice, before, count)
        start = int(before or 0)
        end = start + count
        return records.EventPage(lines=tuple(self.lines[start:end]), before=str(end) if end < len(self.lines) else None)

    async def event(self, ref):
        self._ask("event", ref)
        found = [line for line in self.lines if ref and (line.id.startswith(ref) or str(line.number) == ref)]
        if len(found) != 1:
            raise NotFoundError(ref)
        text = self.text
        return records.EventView(
            line=found[0], facts={"priority": text, text: "1"}, data=text, response=text, error=text, explanation=text,
            after=(f"{2:032x}", f"{4:032x}"), others=(self.line(2),), followers=(self.waiting(3),), follower_count=21,
            transitions=(
                records.TransitionLine(at=T0, status="pending"),
                records.TransitionLine(at=T0 + 1, status=text, error=text),
            ),
            attempts=(records.AttemptLine(number=1, started=T0, finished=T0 + 1, outcome=text, error=text),),
        )  # fmt: skip

    async def errors(self, count):
        self._ask("errors", count)
        line = records.ErrorLine(status="failed", shape=self.text, count=5, example=self.text, id=f"{1:032x}", last=T0)
        return (line,)[:count]

    async def ended(self, seconds):
        self._ask("ended", seconds)
        return (records.Second(at=int(T0) + 30, ended={"completed": 4, "failed": 1}),)

    async def runs(self, seconds, count):
        self._ask("runs", seconds, count)
        runs = [(0, 10.0, "completed"), (5, 20.0, "failed"), (12, None, "processing")]
        return tuple(
            records.RunLine(id=f"{place:032x}", kind=self.text, begin=T0 + begin, end=end and T0 + end, status=status)
            for place, (begin, end, status) in enumerate(runs, 1)
        )

    async def act(self, action):
        if self.refusal is not None:
            raise self.refusal
        self.done.append(action)
        return f"{action.what}: {self.text}"
