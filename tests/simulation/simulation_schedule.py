"""The schedule of a simulation: a few due times, each with an event of its own name. And what has to hold of these."""

from datetime import UTC, datetime

import attrs
from simulation_world import T0

from lionpride_exec import EventStatus

# Due times are read to a microsecond.
ROUNDING = 1e-5


@attrs.frozen
class Planned:
    """A schedule: its due times, in seconds from the beginning, and what happens if the last run has not ended."""

    times: tuple[float, ...]
    overlap: str
    seconds: float  # that a run takes

    def names(self):
        """Return the names of the events."""
        return [f"s{number}" for number in range(len(self.times))]

    def after(self, moment):
        """Return the first due time after a moment: the trigger."""
        found = [at for at in self.times if T0 + at > moment.timestamp() + ROUNDING]
        return datetime.fromtimestamp(T0 + found[0], UTC) if found else None

    def name_of(self, due):
        """Return the name of the event of a due time."""
        return self.names()[[abs(T0 + at - due.timestamp()) < ROUNDING for at in self.times].index(True)]


def schedules(driver):
    """Each due time has one event at most, however often the process died, which is not early, and runs alone."""
    planned = driver.setup.planned
    ids, running = {}, set()
    for life, at, event, _, status in driver.trace:
        if planned is None or event.name not in planned.names():
            continue
        if ids.setdefault(event.name, event.id) != event.id:
            yield f"there are two events of {event.name}"
        running = {each for each in running if each[0] == life} - {(life, event.id)}
        if status is EventStatus.PROCESSING:
            running.add((life, event.id))
            if at < planned.times[planned.names().index(event.name)] - ROUNDING:
                yield f"{event.name} begins at {at}, before its time"
        if len(running) > 1:
            yield f"{event.name} runs beside another run of its schedule"
