"""The machine that users subclass."""

from __future__ import annotations

from typing import Self, cast

from ._again import AgainRules
from ._control import ControlRules
from ._intake import IntakeRules
from ._journal import JournalRules
from ._lifetimes import LifetimeRules
from ._limits import LimitRules
from ._maps import MapRules
from ._schedules import ScheduleRules


class ExecutorMachine(
    IntakeRules, AgainRules, MapRules, ScheduleRules, LifetimeRules, ControlRules, LimitRules, JournalRules
):
    """
    A state machine that calls the methods of your executor in any order, and checks the invariants after each step.

    Subclass it, and define the events and ``make_executor()``. ``TestCase`` of the subclass is a test for pytest and
    unittest, as for any state machine of Hypothesis::

        class CrawlMachine(ExecutorMachine):
            events = st.builds(Fetch, url=st.sampled_from(URLS))

            def make_executor(self):
                return Executor.of(Fetch, concurrency_limit=3)

        TestCrawl = CrawlMachine.TestCase

    Everything runs under virtual time. After each step the machine checks the invariants of :func:`check_invariants`
    and :func:`record`, and the ``PROMISES`` that only the machine can check. At the end of each example the machine
    opens the gates, then resumes, starts and joins the executor, so that all events end. Hypothesis shrinks a failing
    example and prints it step by step.

    If ``make_executor()`` makes an executor with ``journal=Journal(self.journal_path)``, the machine also kills the
    process now and then. Another executor then goes on with the file.

    Add your own rules and invariants: ``@rule(event=ExecutorMachine.appended)`` draws one of the events that were taken
    in. :meth:`current` returns that event as it is now, and :meth:`call` calls a function in the event loop. You can
    override a rule, and leave rules out by ``without_rules``.

    Strategies, which a subclass can replace:

    Attributes:
        events: Returns a new event each time. There is no default. See ``strategies.events()``.
        configs: A dict for each example, which ``make_executor()`` finds in ``self.config``. The default is an empty
            dict.
        priorities: The priorities of events. The default is ``strategies.priorities()``.
        keys: The keys of some events, hashable. By default there are two keys, so that events often share one.
        seconds: Seconds for delays, for the time that passes, and for timeouts. By default 0.1, 1, 5 or 60.
        errors: The errors that end a run. By default a ValueError, a Skip or a RateLimited.
        gate_answers: True, False, a ``Wait``, a ``Deny``, or an exception, which the gate raises.

    Constants, which a subclass can replace:

    Attributes:
        backends: Each example draws one of these backends. By default all installed ones. See :meth:`on`.
        patience: How many seconds of virtual time a call may take before it counts as taking for ever. The default is
            a day. The number must be above the sum of all waits of your events.
        wall_start: The time of day at which each example begins. The wall clock of the package, such as
            ``lionpride_exec.utc_now()``, follows the virtual clock from there. None: the wall clock is real. The
            default is 2026-01-01 08:00 UTC.
        refusals: The errors with which ``append()`` may refuse one of your events. By default QueueFullError and
            ExecutorClosedError.
        without_rules: The names of rules to leave out.
        ignored_invariants: The names of invariants (in ``INVARIANTS``) that your executor may break.

    Attributes of each example:

    Attributes:
        executor: The executor that ``make_executor()`` has returned.
        backend: The backend that was drawn.
        config: The config that was drawn.
        taken: The events that were taken in, by id, as they are in this executor.
        trace: The recording of this executor, see :func:`record`. Printed when an example fails.
    """

    @classmethod
    def on(cls, backend: str) -> type[Self]:
        """
        Return a subclass of this machine that runs on one backend, so that you can have a test for each backend.

        Raises:
            ValueError: The backend is not one of ``backends``.
        """
        if backend not in cls.backends:
            raise ValueError(f"backend must be one of {', '.join(cls.backends)}, got {backend!r}")
        name = f"{cls.__name__}_{backend.replace('+', '_')}"
        return cast("type[Self]", type(name, (cls,), {"backends": (backend,), "__module__": cls.__module__}))
