"""
The link between an executor and its cluster: the connection, and the tasks that use it.

The executor is a client of the queue (``cluster_client``), and with ``work=True`` a worker (``cluster_work``). A
task in the executor's group keeps the connection open. This task ends last, when no other task in the group can change
an event any more. Then the worker gives back the events that it holds.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope

from lionpride_exec._base.backend import startable
from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._cluster.engine import QueueQueries, QueueWorker, check_server
from lionpride_exec._journal.codec import Codec
from lionpride_exec._journal.keeper import Keeper
from lionpride_exec._status import PENDING, PROCESSING
from lionpride_exec.errors import ClusterError, ConfigurationError

from .cluster_client import ClusterClient
from .cluster_records import ClusterRecords
from .cluster_work import ClusterWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._cluster import Cluster
    from lionpride_exec._cluster.engine import ServerQueue
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.pile import Pile
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade
    from .transitions import Transitions


# Seconds in which everything is given back and the connection is left, also if the server does not answer.
LEAVING_SECONDS = 5.0


class ClusterLink:
    """
    The connection of an executor to its queue.

    Args:
        settings: The cluster that the user passed.
        executor: The executor.
        coordination: The state that the executor and its processor share.
        index: The events of the executor.

    Attributes:
        settings: The cluster that the user passed.
        records: Encodes and decodes what is stored on the server.
        client: Submits events and follows them.
        work: The events that the worker of this process holds.
        queue: The queue. None while the executor is not connected.
        queries: Answers questions about the queue. None while the executor is not connected.
        worker_name: The name of the last worker of this process. "" before the first.
    """

    def __init__(self, settings: Cluster, executor: Facade, coordination: Coordination, index: StatusIndex) -> None:
        settings._belong_to(executor)
        self.settings: Cluster = settings
        self.records = ClusterRecords(
            Codec(settings.types, Keeper(f"the queue {settings.queue!r}", "Cluster")), settings._signer
        )
        self.client = ClusterClient(index, self.records, coordination)
        self.work = ClusterWork(executor, settings, self.records, coordination)
        self.queue: ServerQueue | None = None
        self.queries: QueueQueries | None = None
        self.worker_name = ""
        self._executor = executor
        self._index = index
        self._conditions = coordination.conditions
        self._is_deserted: Callable[[], bool] = bool
        self._transitions: Transitions | None = None
        self._is_checked = False  # whether the server was found fit since the last lifetime
        self._is_closing = False  # whether a lifetime is over, and its connection is not closed yet
        self._epoch = ""  # of the queue that the events of the executor are in
        self._pid = os.getpid()

    def connect(self, is_deserted: Callable[[], bool], transitions: Transitions) -> None:
        """
        Give the link the parts that are made after it.

        Args:
            is_deserted: Returns whether no task in the executor's group can change an event any more.
            transitions: Raise in waiting tasks why their events do not end, once the connection is lost for good.
        """
        self._is_deserted = is_deserted
        self._transitions = transitions

    @property
    def pile(self) -> Pile[Event]:
        """The events that the processor of the executor runs: those that its worker holds."""
        return self.work.index.items

    def attach(self, processor: Processor) -> None:
        """
        Have a processor run the events that the worker holds.

        Raises:
            ConfigurationError: The processor overrides ``enqueue()``, which is never called with a cluster.
        """
        if processor._has_own_enqueue:
            raise ConfigurationError(
                f"{type(processor).__name__}.enqueue() is not called with a cluster: the server queues"
            )
        self.work.attach(processor)

    def open_queries(self) -> QueueQueries:
        """
        Return the object that answers questions about the queue.

        Raises:
            ClusterError: The executor is not connected.
        """
        self.check_process()
        if self.queries is None:
            raise ClusterError(f"{self._executor!r} is not connected to its cluster: start it first", retryable=True)
        return self.queries

    @property
    def is_open(self) -> bool:
        """Whether events can be submitted."""
        return self.client.is_open and not self._is_closing

    def check_process(self) -> None:
        """
        Check that the connection belongs to this process.

        Raises:
            ClusterError: The process was forked while the executor was connected.
        """
        if self.queue is not None and os.getpid() != self._pid:
            raise ClusterError(
                "the process was forked while the executor was connected: make a new executor in the fork"
            )

    def check_batch(self) -> None:
        """
        Refuse ``Executor.forward()``.

        Raises:
            ConfigurationError: Always. Workers take events by themselves, and no process has a batch of them.
        """
        raise ConfigurationError("forward() is not available with a cluster: its workers take the events")

    # ---------------------------------------------------------------- opening and closing

    async def open(self) -> None:
        """
        Check that the server is reached and fit, before anything starts. The connection is closed again.

        Raises:
            ClusterError: The server is not reached, refuses the user, or has lost the queue of this executor's events.
            ConfigurationError: The server may lose data, or the queue has other levels, or its workers another lease.
        """
        self.check_process()
        while self._is_closing or (self.queue is not None and self._is_deserted()):
            await self._conditions.wait_for(lambda: not self._is_closing and self.queue is None)
        if self._is_checked:
            return
        failures: list[Exception] = []
        async with anyio.create_task_group() as group:
            wire = self.settings._new_wire()
            try:
                async with wire.opened(group):
                    await check_server(wire, allow_volatile=self.settings.allow_volatile)
                    queue = self.settings._new_queue(wire)
                    await queue.open()
                    self._check_epoch(queue)
            except (ClusterError, ConfigurationError) as error:
                failures.append(error)  # raised outside of the group, which would wrap it
        if failures:
            raise failures[0]
        self._is_checked = True

    def _check_epoch(self, queue: ServerQueue) -> None:
        is_in_use = any(self._index.progression(status) for status in (PENDING, PROCESSING))
        if is_in_use and self._epoch and queue.epoch != self._epoch:
            raise ClusterError(f"{self.settings.shown_url} has lost the data of the queue {self.settings.queue!r}")
        self._epoch = queue.epoch

    async def run_in(self, group: TaskGroup) -> None:
        """
        Start the task that keeps the connection open, in the group of the executor. Wait until it is connected.

        Raises:
            ClusterError: The server is not reached any more.
            ConfigurationError: A worker with another lease has come meanwhile.
        """
        opened = anyio.Event()
        failures: list[Exception] = []
        group.start_soon(startable(self._run), opened, failures, name=f"{type(self._executor).__name__} cluster")
        with CancelScope(shield=True):
            await opened.wait()
        if failures:
            raise failures[0]

    async def _run(self, opened: anyio.Event, failures: list[Exception]) -> None:
        """
        Keep the connection open until no other task of the executor can change an event.

        Raises:
            ClusterError: The server refuses, or has lost its data. Tasks that wait for events get this error too.
        """
        self._pid = os.getpid()
        assert self._transitions is not None
        self._transitions.lost = None
        try:
            with CancelScope(shield=True):
                await self._keep_connection(opened)
        except (ClusterError, ConfigurationError, BaseExceptionGroup) as error:
            reason = _reason_in(error)
            if reason is None:
                raise
            if opened.is_set() and isinstance(reason, ClusterError):
                self._transitions.lost = reason
                raise reason from reason.__cause__
            failures.append(reason)
        finally:
            self.queue = self.queries = self.settings._queue = None
            self._is_checked = self._is_closing = False
            self.client.is_open = False
            self._conditions.notify()
            opened.set()

    async def _keep_connection(self, opened: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:
            wire = self.settings._new_wire()
            async with wire.opened(tasks):
                queue = self.settings._new_queue(wire)
                await queue.open()
                self._check_epoch(queue)
                await self._work_until_deserted(queue, tasks, opened)

    async def _work_until_deserted(self, queue: ServerQueue, tasks: TaskGroup, opened: anyio.Event) -> None:
        """Follow, submit and work. Leave when the executor is at rest."""
        self.queue = self.settings._queue = queue
        self.queries = QueueQueries(queue)
        async with anyio.create_task_group() as readers:
            self.client.open(queue, readers)
            worker = QueueWorker(queue, self.work, lease=self.settings.lease, description=describe_process())
            self.worker_name = worker.name
            self.work.open(worker, tasks)
            try:
                if self.settings.work:
                    async with worker.running():
                        await self._wait_until_deserted(opened)
                        self.client.close()
                else:
                    await self._wait_until_deserted(opened)
                self.work.close()
            finally:  # also if the server has lost its data: what sends is shielded until it is closed
                self.work.disconnect()
                queue.wire.leave_within(LEAVING_SECONDS)
                self.client.close()
                readers.cancel_scope.cancel()

    async def _wait_until_deserted(self, opened: anyio.Event) -> None:
        """Let the executor go on, and wait until it is at rest."""
        opened.set()
        self._conditions.notify()
        assert self.queue is not None
        try:
            while not self._is_deserted():
                try:
                    await self._conditions.wait_for(self._is_deserted)
                except anyio.get_cancelled_exc_class():
                    if anyio.current_effective_deadline() == -float("inf"):
                        raise  # another task here has failed
                    continue  # outside all scopes: asyncio ends its loop, and running events end soon
        finally:
            self.queue.wire.leave_within(LEAVING_SECONDS)
        self._is_closing = True

    def abandon(self) -> None:
        """Submit nothing more: the block of the executor was left early."""
        self.client.is_open = False


def _reason_in(error: BaseException) -> ClusterError | ConfigurationError | None:
    """Return the first error that no repetition mends, else the first one. None if not all are of the cluster."""
    kinds = (ClusterError, ConfigurationError)
    reasons: list[ClusterError | ConfigurationError] = [leaf for leaf in leaves(error) if isinstance(leaf, kinds)]
    if not reasons or len(reasons) < len(list(leaves(error))):
        return None
    return next((reason for reason in reasons if not reason.retryable), reasons[0])


def describe_process() -> str:
    """Return the name of this process for people: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
