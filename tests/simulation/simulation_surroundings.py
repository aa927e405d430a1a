"""What is around the runs of a simulation: a lifespan, a middleware, a carried variable. And what has to hold of it."""

from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from anyio import current_time

# The name of the caller that a task is.
CALLER = ContextVar("caller", default="nobody")

# Seconds. Sums of virtual times are rounded.
ROUNDING = 1e-6


class Surroundings:
    """The part of a driver that is around the runs."""

    def __init__(self):
        self.is_entered = False
        self.passing = []  # the ids of the events that the middleware runs
        self.misplaced = []  # what was wrong, in words

    def misplace(self, what):
        if not self.is_dead:
            self.misplaced.append(what)

    @asynccontextmanager
    async def lifespan(self):
        """Be what all events share."""
        if self.is_entered:
            self.misplace("the lifespan is entered twice")
        self.is_entered = True
        try:
            yield
        finally:
            if self.passing and not self.runs_anywhere:
                self.misplace(f"the lifespan is left while {len(self.passing)} events run")
            self.is_entered = False

    @property
    def runs_anywhere(self):
        """Whether batches run events of an executor that is stopped, so outside of its lifespan."""
        return any(move.what == "forward" for move in self.workload.moves)

    async def around(self, event, call_next):
        """Be the middleware."""
        work, began = self.works[event.name], current_time()
        if not self.is_entered and not self.runs_anywhere:
            self.misplace(f"{event.name} runs outside of the lifespan")
        self.passing.append(event.id)
        try:
            return await call_next(event)
        finally:
            self.passing.remove(event.id)
            timeout = self.setup.timeout if work.timeout is None else work.timeout
            if timeout is not None and current_time() - began > timeout + ROUNDING:
                self.misplace(f"{event.name} ran {current_time() - began} s, and its timeout is {timeout} s")

    def check_surroundings(self, event):
        """Note what is wrong with what surrounds a run."""
        if self.passing.count(event.id) != 1:
            self.misplace(f"{event.name} is in {self.passing.count(event.id)} runs of the middleware")
        is_scheduled = event.name.startswith("s")
        if not self.life and not is_scheduled and CALLER.get() != event.name[0]:  # a journal keeps no variables
            self.misplace(f"{event.name} sees the variable of {CALLER.get()}")

    @contextmanager
    def called(self, caller):
        """Have the variable of a caller in this block."""
        token = CALLER.set(caller.works[0].name[0])
        try:
            yield
        finally:
            CALLER.reset(token)
