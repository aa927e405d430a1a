"""
The inbox of a journal, as its owner deals with it.

Other processes write rows into the file for the owner (``_journal.inbox``). Each table has a task in the executor's
group, a guest, which has a reader deal with what is new, in order. The task exists only while there is something new.
When the group closes, the task is cancelled. Rows that it has not dealt with are still in the file, and the next start
finds them.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from inspect import isawaitable
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from lionpride_exec._base.jsonable import error_in_line
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._journal.inbox import Command, begin_command, open_commands
from lionpride_exec._journal.rows import Answer
from lionpride_exec._journal.transient_errors import RETRY_PAUSE
from lionpride_exec.errors import ExecutorClosedError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lionpride_exec._base.conditions import PredicateCondition
    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._iteration.map_options import Guest
    from lionpride_exec._journal.session import JournalSession

    from .transitions import Transitions

logger = logging.getLogger("lionpride_exec")

ROWS = 100  # that are read at once


class GuestRunner(Protocol):
    """What the inbox uses of the executor's group."""

    def try_start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> bool:
        """Run a guest in the group. Return False if there is no group."""
        ...

    def guest_ended(self, guest: Guest) -> None:
        """Note that a guest has ended."""


class TableReader(Protocol):
    """Deals with the rows of one table of the inbox."""

    async def take(self, session: JournalSession) -> None:
        """
        Deal with all rows that are new since the last call with this session.

        Raises:
            JournalError: The file cannot be read or written. What was not dealt with is still in the file.
            ExecutorClosedError: The executor takes nothing in any more. Likewise.

        Cancellation: between two rows, or while one waits. No row is lost.
        """


class Inbox:
    """
    Deals with what other processes have written into the journal of one executor.

    Each table has a task of its own: submitted events may wait for room until a command makes some.

    Args:
        session: Returns the open journal. None if it is closed.

    Attributes:
        commands: Carries out commands. Add a handler with ``commands.handlers[what] = function``.
    """

    def __init__(self, session: Callable[[], JournalSession | None]) -> None:
        self.commands = Commands()
        self._session = session
        self._tasks: dict[str, TableTask] = {}  # by the name of the table
        self._is_held = False

    def connect(
        self, group: GuestRunner, transitions: Transitions, coordination: Coordination, submitted: TableReader
    ) -> None:
        """
        Give the inbox the parts of the executor that are made after the link.

        Args:
            group: Runs the tasks.
            transitions: Knows the processor.
            coordination: The conditions that tasks wait for.
            submitted: Takes in submitted events.
        """
        self._conditions = conditions = coordination.conditions

        def may_carry_out() -> bool:
            """Return whether commands are carried out now: also those for an executor that is stopped."""
            return not self._is_held

        def may_take_in() -> bool:
            """Return whether events are taken in now. A block may still have a group when it is stopped."""
            processor = transitions.processor
            return not self._is_held and (processor is None or not processor.is_stopped())

        tables = (("command", self.commands, may_carry_out), ("submit", submitted, may_take_in))
        self._tasks = {
            name: TableTask(name, reader, self._session, group, conditions, may) for name, reader, may in tables
        }
        coordination.launchers.extend(task.launch for task in self._tasks.values())

    def hold(self) -> None:
        """Deal with nothing until :meth:`release`."""
        self._is_held = True

    def release(self) -> None:
        """End a hold. Idempotent."""
        self._is_held = False
        self._conditions.notify()

    async def wait_submissions(self) -> None:
        """Wait until the submitted events that were seen so far are taken in, or none are taken in now."""
        task = self._tasks["submit"]
        await self._conditions.wait_for(lambda: not (task.is_running and task.may_take()))

    def look_soon(self) -> None:
        """Have the tasks look for new rows."""
        for task in self._tasks.values():
            task.look_soon()


class TableTask:
    """
    The task that deals with the rows of one table. It exists only while there may be new ones.

    Args:
        table: The name of the table.
        reader: What deals with the rows.
        session: Returns the open journal. None if it is closed.
        group: Runs the task.
        conditions: What the task waits for.
        may_take: Returns whether rows are dealt with now.

    Attributes:
        may_take: As it was given.
    """

    def __init__(
        self,
        table: str,
        reader: TableReader,
        session: Callable[[], JournalSession | None],
        group: GuestRunner,
        conditions: PredicateCondition,
        may_take: Callable[[], bool],
    ) -> None:
        self._table = table
        self._reader = reader
        self._session = session
        self._group = group
        self._conditions = conditions
        self.may_take: Callable[[], bool] = may_take
        self._has_news = False  # since the task has looked last
        self._is_in_trouble = False  # the file could not be read or written the last time
        self._scope: anyio.CancelScope | None = None  # of the task. None while there is none

    @property
    def is_running(self) -> bool:
        """Whether the task deals with rows, or waits until it may."""
        return self._scope is not None

    def look_soon(self) -> None:
        """Have the task look for new rows."""
        self._has_news = True
        self.launch()

    def launch(self) -> None:
        """Start the task, if the executor has a group and there may be something new."""
        name = f"inbox {self._table}"
        if self._scope is None and self._has_news and self._group.try_start_guest(self, self._run, name):
            self._scope = anyio.CancelScope()

    def cancel(self) -> None:
        """End the task, since the group closes. The next start launches it again."""
        if self._scope is not None:
            self._scope.cancel()

    async def _run(self) -> None:
        scope = self._scope
        assert scope is not None
        try:
            with scope:
                await self._take_all()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: only this task ends.
        finally:
            self._scope = None
            self._group.guest_ended(self)

    async def _take_all(self) -> None:
        while self._has_news:
            if not self.may_take():
                await self._conditions.wait_for(self.may_take)
            session = self._session()
            if session is None:
                return
            self._has_news = False
            try:
                await self._reader.take(session)
                self._is_in_trouble = False
            except ExecutorClosedError:  # its block is being left
                self._has_news = True
                return
            except JournalError as exc:
                self._has_news = True
                await self._wait_in_trouble(session, exc)

    async def _wait_in_trouble(self, session: JournalSession, error: JournalError) -> None:
        if not self._is_in_trouble:
            self._is_in_trouble = True
            logger.warning("rows of the table %s wait in %s: %s", self._table, session.journal.path, error)
        await anyio.sleep(RETRY_PAUSE)


class Commands:
    """
    Carries out the commands that other processes have written into the file.

    The commit that says that a command begins is on disk before its handler is called. So no command is carried out
    twice, and none that was withdrawn. A command without an answer gets an error when the file is opened next.

    Attributes:
        handlers: By the name of the command: a plain or an async function, called in the event loop with the arguments
            of the command, as JSON has them (None if it has none). Its result has to be JSON too. An exception that it
            raises is the error of the command. The changes that it has recorded are on disk with its answer, or before.
            The function is cancelled when the executor's group closes.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Any], Any]] = {}
        self._session: JournalSession | None = None  # the one in which the number below counts
        self._seen = 0  # the number of the last command that was carried out

    async def take(self, session: JournalSession) -> None:
        """Carry out all commands that are new since the last call, one after the other."""
        if session is not self._session:
            self._session, self._seen = session, 0
        while rows := await session.lookup.in_thread(
            lambda: session.store.read(partial(open_commands, after=self._seen, limit=ROWS))
        ):
            for row in rows:
                if await self._begins(session, row):
                    session.writer.next.record_answer(row.n, await self._carry_out(row))
                self._seen = row.n

    async def _begins(self, session: JournalSession, row: Command) -> bool:
        """Write that a command begins. Return False if it was withdrawn, or has begun before and was cut off."""
        begin = partial(begin_command, n=row.n, at=wall_clock.seconds())
        has_begun: bool = await session.lookup.in_thread(partial(session.store.write, begin))
        return has_begun

    async def _carry_out(self, row: Command) -> Answer:
        """Return what came of a command."""
        handler = self.handlers.get(row.what)
        try:
            if handler is None:
                raise LookupError(f"this executor knows no command {row.what!r}")  # noqa: TRY301  as what one raises
            result = handler(None if row.args is None else json.loads(row.args))
            answer = Answer(json.dumps(await result if isawaitable(result) else result), None)
        except Exception as exc:  # noqa: BLE001  the process that has written the command is told
            text = error_in_line(exc)
            logger.warning("command %s (%s) from %s failed: %s", row.n, row.what, row.by or "another process", text)
            return Answer(None, text)
        logger.info("command %s (%s) from %s was carried out", row.n, row.what, row.by or "another process")
        return answer
