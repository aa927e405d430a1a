"""
The parts of an executor, and how the parts are joined.

Each piece of an executor's state has one owner: a part, or the facade (``executor``) for what users may set. The facade
makes all parts here, once, and keeps those that its methods use.

Who may know whom:

- A part gets the parts that it uses in its constructor. So the order of the constructors below is the order of the
  layers: a part knows what was made before it. A call on the hot path takes one hop (``self._index``), never two.
- A few parts need each other. The part that is made first gets the other one as an attribute, at the end of the
  constructor below, and sees only a Protocol of it. These are all of these links: the transitions know where events are
  queued, who follows them, and what a task waits for while the executor does not run; the submissions know the lookups;
  and the override knows the submissions and the group. With a journal, the submissions and the queueing know the
  durable submissions, the followers know the link, and ``connect()`` gives the link the parts that are made after it.
- No part imports the ``Executor`` class. A part that needs a method which a subclass may override, or a setting which a
  user may change, gets the executor as a :class:`~lionpride_exec._executor.facade.Facade`.
- The processor is made later and may be replaced. ``ExecutorLifetime.attach()`` is the only place that hands a
  processor to the parts. Parts and processor share one ``Coordination`` object: the locks in use, the deferred ends,
  the reasons why nothing starts, and the conditions that tasks wait for.
- The journal is optional. Without a journal, ``link`` is None, and so is the journal of every part that asks for one.
  With a journal, ``_join_journal()`` makes the parts that only such an executor has.
- With a cluster, the submissions and the lookups are subclasses that ask the server, the transitions tell the cluster's
  client, and the processor runs events of a second pile (``cluster_work``), which has transitions of its own.

The alternative was a chain of mixins. It had no such order: each class could use every attribute of all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from weakref import WeakSet

from lionpride_exec._base.coordination import Coordination
from lionpride_exec._tracking.observers import Observers
from lionpride_exec._tracking.retention import Retention
from lionpride_exec._tracking.status_index import StatusIndex
from lionpride_exec._tracking.subscriptions import Subscriptions

from .dependencies import Dependencies
from .dispatcher_task import DispatcherTask
from .executor_group import ExecutorGroup
from .executor_lifetime import ExecutorLifetime
from .executor_states import GroupLifecycle
from .followers import Followers
from .keys import Keys
from .lifetime_log import LifetimeLog
from .lookups import Lookups
from .queueing import Queueing
from .root_task import RootTask
from .start_warning import StartWarning
from .submissions import Submissions
from .transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.map_options import RunningMap
    from lionpride_exec._journal import Journal
    from lionpride_exec._journal.codec import Codec
    from lionpride_exec._model.flow import Flow
    from lionpride_exec._model.progression import Progression
    from lionpride_exec._model.retain import Retain
    from lionpride_exec._status import EventStatus

    from .bulk import BulkAppends
    from .call_defaults import CallDefaults
    from .cluster_link import ClusterLink
    from .facade import Facade
    from .journal_link import JournalLink
    from .surroundings import Surroundings


class Parts:
    """
    All parts of one executor. After the constructor, no part is replaced, and no link between parts is missing.

    The explainer and the progress report are not here. ``ExecutorQueries`` makes them at their first use.

    Args:
        executor: The facade.
        states: The flow of the executor.
        journal: The journal of the executor. None if it has none; then ``link`` is None.
        cluster: The cluster of the executor. None if it has none; then the attribute ``cluster`` is None.
        rules: For each final status, which events stay in memory after their end.
        surroundings: What surrounds the runs of the events.

    Attributes:
        maps: The maps that have begun. They know how many events they will still append.
        call_defaults: The key and the priority of events to which the caller gives none. ``Executor.of()`` sets it.
    """

    def __init__(
        self,
        executor: Facade,
        states: Flow[Event, Progression],
        journal: Journal | None,
        cluster: Cluster | None,
        rules: Mapping[EventStatus, Retain],
        surroundings: Surroundings,
    ) -> None:
        self.coordination = coordination = Coordination(executor.name)
        self.index = index = StatusIndex(states, coordination)
        self.observers = Observers(executor)
        self.subscriptions = subscriptions = Subscriptions(self.observers, coordination)
        self.keys = keys = Keys(states.items, are_texts=journal is not None)
        self.dependencies = dependencies = Dependencies()
        self.link = link = None if journal is None else _link_to(journal, executor)
        self.cluster = remote = None if cluster is None else _cluster_link(cluster, executor, coordination, index)
        self.retention = retention = Retention(index, rules, keys.forget, link)
        tells = link if remote is None else remote.client
        self.transitions = transitions = Transitions(
            executor, coordination, index, self.observers, subscriptions, dependencies, retention, tells
        )
        self.queueing = queueing = Queueing(executor, coordination, index, transitions, dependencies)
        self.followers = followers = Followers(index, transitions, dependencies, keys, queueing)
        self.surroundings: Surroundings = surroundings
        transitions.around = surroundings.around
        group = GroupLifecycle(coordination.conditions)
        kinds = (Submissions, Lookups) if remote is None else _cluster_kinds()
        self.submissions = submissions = kinds[0](
            executor, coordination, index, transitions, dependencies, keys, retention, queueing, followers, group
        )
        self.lookups = kinds[1](executor, index, keys, queueing, link)
        self.lifetime = self._make_lifetime(executor, group)
        self.start_warning: StartWarning = StartWarning(executor, transitions, self.lifetime)
        transitions.new_signal = transitions.idle_signal = self.start_warning.new_signal
        self.maps: WeakSet[RunningMap] = WeakSet()
        self.call_defaults: CallDefaults | None = None
        if surroundings.carry:
            self.observers.add_to_entries(surroundings.keep_context)
        transitions.queues = queueing
        transitions.followers = followers
        submissions.lookups = self.lookups
        queueing.enqueue_override.host = submissions
        queueing.enqueue_override.group = self.lifetime.group
        self.bulk: BulkAppends | None = None
        if link is not None:
            self._join_journal(executor, link)
        if remote is not None:
            self._join_cluster(remote)

    @property
    def codec(self) -> Codec | None:
        """What encodes events for the journal or the cluster. None if there is neither."""
        if self.cluster is not None:
            return self.cluster.records.codec
        return None if self.link is None else self.link.journal._codec

    @property
    def explained(self) -> tuple[Coordination, StatusIndex, Dependencies, Queueing, StartWarning, Keys]:
        """The parts that an explainer looks at."""
        return self.coordination, self.index, self.dependencies, self.queueing, self.start_warning, self.keys

    def _make_lifetime(self, executor: Facade, group_lifecycle: GroupLifecycle) -> ExecutorLifetime:
        """Make the lifetime, the group and the tasks. The submissions share the state of the group."""
        coordination, index, transitions = self.coordination, self.index, self.transitions
        subscriptions, backing, link = self.subscriptions, self.link or self.cluster, self.link
        self.log: LifetimeLog = LifetimeLog(
            executor, coordination, index, self.retention, lambda: 0 if link is None else link.recovery.taken_in
        )
        dispatcher = DispatcherTask(executor, coordination, transitions, group_lifecycle)
        group = ExecutorGroup(
            executor,
            coordination,
            index,
            transitions,
            subscriptions,
            dispatcher,
            group_lifecycle,
            backing,
            self.surroundings.entered,
            self.log,
        )
        root_task = RootTask(executor, coordination, index, transitions, subscriptions, dispatcher, group, self.log)
        return ExecutorLifetime(
            executor,
            coordination,
            index,
            transitions,
            self.submissions,
            self.queueing,
            subscriptions,
            dispatcher,
            group,
            root_task,
            backing,
            is_awaited=lambda: self.surroundings.lifespan is not None,
        )

    def _join_journal(self, executor: Facade, link: JournalLink) -> None:
        """Make the parts that only an executor with a journal has, and connect them."""
        from .durable_submissions import DurableSubmissions  # noqa: PLC0415  slow to import, for journals only
        from .journal_commands import JournalCommands  # noqa: PLC0415  likewise
        from .restored_events import Recovery  # noqa: PLC0415  likewise
        from .submitted_events import SubmittedEvents  # noqa: PLC0415  likewise

        coordination, index, transitions, retention = self.coordination, self.index, self.transitions, self.retention
        submissions, queueing, followers, keys = self.submissions, self.queueing, self.followers, self.keys
        recovery = Recovery(
            executor, coordination, index, transitions, submissions, queueing, followers, keys, retention, link.stored
        )
        link.connect(coordination, index, transitions, retention, recovery, self.lifetime.group.is_deserted)
        durable = DurableSubmissions(
            executor, link, coordination, index, transitions, submissions, queueing, followers, keys, retention
        )
        self.bulk = self.submissions.durable = self.queueing.inserts = durable
        submitted = SubmittedEvents(durable, submissions, index, keys, lambda: self.call_defaults)
        link.inbox.connect(self.lifetime.group, transitions, coordination, submitted)
        link.inbox.commands.handlers |= JournalCommands(executor, link, index).handlers

    def _join_cluster(self, link: ClusterLink) -> None:
        """Connect the parts that only an executor with a cluster has."""
        from .cluster_lookups import ClusterLookups  # noqa: PLC0415  needs the extra
        from .cluster_submissions import ClusterSubmissions  # noqa: PLC0415  likewise

        assert isinstance(self.submissions, ClusterSubmissions)
        assert isinstance(self.lookups, ClusterLookups)
        self.submissions.cluster_link = self.lookups.cluster_link = link
        self.submissions.finder = self.lookups
        self.bulk = self.submissions
        self.transitions.is_strict = True  # the end of an event is asked for, not made
        self.transitions.runs_elsewhere = True
        link.connect(self.lifetime.group.is_deserted, self.transitions)
        link.work.transitions.around = self.surroundings.around


def _cluster_kinds() -> tuple[type[Submissions], type[Lookups]]:
    from .cluster_lookups import ClusterLookups  # noqa: PLC0415  needs the extra
    from .cluster_submissions import ClusterSubmissions  # noqa: PLC0415  likewise

    return ClusterSubmissions, ClusterLookups


def _cluster_link(cluster: Cluster, executor: Facade, coordination: Coordination, index: StatusIndex) -> ClusterLink:
    from .cluster_link import ClusterLink  # noqa: PLC0415  needs the extra

    return ClusterLink(cluster, executor, coordination, index)


def _link_to(journal: Journal, executor: Facade) -> JournalLink:
    from lionpride_exec._journal import Journal  # noqa: PLC0415  slow to import, for journals only

    from .journal_link import JournalLink  # noqa: PLC0415  likewise

    if not isinstance(cast("object", journal), Journal):
        raise TypeError(f"journal must be a Journal, got {journal!r}: write Journal(path)")
    return JournalLink(journal, executor)
