"""The machine that users subclass."""

from __future__ import annotations

from typing import Self, cast

from ._control import ControlRules
from ._intake import IntakeRules
from ._journal import JournalRules
from ._lifetimes import LifetimeRules


class ExecutorMachine(IntakeRules, LifetimeRules, ControlRules, JournalRules):
    """
    Calls the methods of your executor in any order, and checks after each step what has to hold.

    Subclass it, and say what your events are and how the executor is made. Its ``TestCase`` is a test for pytest and
    unittest, as with any state machine of Hypothesis::

        class CrawlMachine(ExecutorMachine):
            events = st.builds(Fetch, url=st.sampled_from(URLS))

            def make_executor(self):
                return Executor.of(Fetch, concurrency_limit=3)

        TestCrawl = CrawlMachine.TestCase

    Everything runs under virtual time. After each step the machine checks what :func:`check_invariants` and
    :func:`record` check, and what only the machine can know (``PROMISES``). At the end of each example, all events are
    brought to an end: gates open, and the executor is resumed, started and joined. A failing example is shrunk and
    printed, step by step.

    If ``make_executor()`` makes an executor with a journal, ``journal=Journal(self.journal_path)``, the process also
    dies now and then. Another executor then goes on with the file.

    Add your own rules and invariants beside these: ``@rule(event=ExecutorMachine.appended)`` draws one of the events
    that were taken in, :meth:`current` returns it as it is now, and :meth:`call` calls a function in the event loop.
    You can override a rule. ``without_rules`` names rules to leave out.

    Strategies, which a subclass can replace:

    Attributes:
        events: A new event each time. There is no default; see ``strategies.events()``.
        configs: A dict for each example, which ``make_executor()`` finds as ``self.config``. Default: an empty one.
        priorities: Default: ``strategies.priorities()``.
        keys: Of some events, hashable; two of them, so that they meet.
        seconds: Of delays, of time that passes, until something is given up; default: 0.1, 1, 5 or 60.
        errors: What a run is made to end with; default: a ValueError, a Skip or a RateLimited.
        gate_answers: True, False, a ``Wait``, a ``Deny``, or an exception that is raised.

    What is fixed:

    Attributes:
        backends: One of them is drawn for each example; default: all that are installed. See :meth:`on`.
        patience: Seconds of virtual time after which something is said to take for ever; default: a day. It has to be
            more than all that your events wait for, one after the other.
        refusals: Errors with which ``append()`` may refuse an event of yours; default: a full queue, a closed executor.
        without_rules: Names of rules that are left out.
        ignored_invariants: Names of invariants (of ``INVARIANTS``) that your executor may break.

    What there is in each example:

    Attributes:
        executor: What ``make_executor()`` made.
        backend: That was drawn.
        config: That was drawn.
        taken: The events that were taken in, by id, as they stand in this executor.
        trace: The recording of this executor, see :func:`record`; printed when an example fails.
    """

    @classmethod
    def on(cls, backend: str) -> type[Self]:
        """
        Return a subclass of this machine for one backend, to have a test for each backend.

        Raises:
            ValueError: The backend is not one of ``backends``.
        """
        if backend not in cls.backends:
            raise ValueError(f"backend must be one of {', '.join(cls.backends)}, got {backend!r}")
        name = f"{cls.__name__}_{backend.replace('+', '_')}"
        return cast("type[Self]", type(name, (cls,), {"backends": (backend,), "__module__": cls.__module__}))
