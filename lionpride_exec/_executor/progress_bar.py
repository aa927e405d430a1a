"""The display that a program shows while it waits for its executor."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import anyio
import attrs

from lionpride_exec._base.backend import current_time, startable
from lionpride_exec._base.wording import shown_clock
from lionpride_exec._display.choice import check_style, make_display
from lionpride_exec._display.parts import Part, View
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._tracking.progress import RANK_OF_COUNTS, count_parts, pace_parts
from lionpride_exec._validation import check_flag, check_number, check_seconds

from .progress_view import detail_lines, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Mapping

    from lionpride_exec._display.choice import Style
    from lionpride_exec._display.displays import Display
    from lionpride_exec._status import EventStatus
    from lionpride_exec._tracking.progress import Progress

    from .explanation import Statistics
    from .progress_report import ProgressReport

logger = logging.getLogger("lionpride_exec")


class Observed(Protocol):
    """What a bar asks an executor."""

    @property
    def _progress(self) -> ProgressReport:
        """Has the ends of this executor, without those of earlier processes."""
        ...

    def progress(self, *, to_come: float = 0) -> Progress:
        """Return the progress."""
        ...

    def statistics(self) -> Statistics:
        """Return what the events wait for."""
        ...


class ProgressBar(anyio.AsyncContextManagerMixin):
    """
    Shows the progress of an executor inside its block; made by ``Executor.progress_bar()``.

    Attributes:
        description: The text in front. A program may change it.
        total: How many events there will be, 0 or more. None if the executor knows. A program may change it.
    """

    def __init__(
        self,
        executor: Observed,
        *,
        style: Style,
        file: TextIO | None,
        interval: float | None,
        description: str,
        total: float | None,
        only_new: bool,
        transient: bool,
    ) -> None:
        check_style(style)
        check_flag("only_new", only_new)
        check_flag("transient", transient)
        if interval is not None:
            check_seconds("interval", interval, zero_allowed=False)
        self.description: str = description
        self.total: float | None = None if total is None else check_number("total", total)
        self._executor = executor
        self._style: Style = style
        self._file = file
        self._interval = interval
        self._only_new = only_new
        self._is_transient = transient
        self._display: Display | None = None  # None outside of the block, and after an error of the display
        self._before: Progress | None = None  # what does not count; the ends of earlier processes may be missing
        self._ended_before: Mapping[EventStatus, int] = {}  # what had ended here before the block
        self._began = 0.0
        self._shown: Hashable = None  # the state of the last view that was shown

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        failure: BaseException | None = None
        self._open()
        try:
            async with anyio.create_task_group() as group:
                if self._display is not None and self._style != "none":
                    interval = self._display.interval if self._interval is None else self._interval
                    name = f"{type(self._executor).__name__} progress bar"
                    group.start_soon(startable(self._keep_showing), interval, name=name)
                try:
                    yield self
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as exc:  # noqa: BLE001  raised below: the group would put it into another group
                    failure = exc
                group.cancel_scope.cancel()
        finally:
            self._close()
            if failure is not None:
                raise failure

    def refresh(self) -> None:
        """Show the progress now. Do nothing outside of the block."""
        self._try(self._show)

    def print(self, text: object) -> None:
        """
        Show a text that stays, above the bar. Do nothing outside of the block.

        Each line of the text is a line. Other characters that could control the terminal are shown escaped.

        Args:
            text: The text. Of another object its ``str()``.
        """
        lines = str(text).replace("\r\n", "\n").split("\n")

        def show(display: Display) -> None:
            """Show the lines, each as a message."""
            for line in lines:
                display.message(line)

        self._try(show)

    # ---------------------------------------------------------------- the display

    def _open(self) -> None:
        self._began, self._shown = current_time(), None
        self._before = self._executor.progress() if self._only_new else None
        self._ended_before = self._executor._progress.ended_here()
        try:
            self._display = make_display(self._style, self._file, self.description, is_transient=self._is_transient)
        except Exception:  # such as that of a closed stream
            logger.warning("the progress cannot be shown", exc_info=True)
            return
        if self._display.draws:
            self.refresh()
        else:
            self._executor.progress()  # the rate is measured from here on

    def _close(self) -> None:
        self._try(lambda display: display.close(None if self._is_transient else self._view(is_last=True)))
        self._display = None

    async def _keep_showing(self, interval: float) -> None:
        while True:
            await anyio.sleep(interval)
            self._try(self._show_change)

    def _show(self, display: Display) -> None:
        self._shown = None
        self._show_change(display)

    def _show_change(self, display: Display) -> None:
        """Draw what has changed, the time too. A line is only written if more than the time has changed."""
        view = self._view()
        if display.draws or view.state != self._shown:
            display.update(view)
            self._shown = view.state

    def _try(self, show: Callable[[Display], None]) -> None:
        """Let the display show something. If it cannot, the program goes on without it."""
        display = self._display
        if display is None:
            return
        try:
            show(display)
        except Exception:  # an error of a stream, of a library, or of an executor whose progressions were taken away
            self._display = None
            with suppress(Exception):
                display.close()
            logger.warning("the progress is not shown any more", exc_info=True)

    # ---------------------------------------------------------------- what is shown

    def _view(self, *, is_last: bool = False) -> View:
        progress = self._progress()
        statistics = None if is_last else self._executor.statistics()
        elapsed = Part(shown_clock(current_time() - self._began), RANK_OF_COUNTS)
        first = [*count_parts(progress), elapsed, *pace_parts(progress)]
        return View(
            [first, *detail_lines(progress, statistics)],
            done=progress.done,
            total=progress.total if progress.is_total_known else None,
            description=self.description,
            state=(
                progress.total, progress.processing, progress.pending, tuple(progress.by_status.values()),
                progress.retries, progress.rate_limited, self.description, state_of(statistics),
            ),
        )  # fmt: skip

    def _progress(self) -> Progress:
        progress = self._counted(self._executor.progress())
        if self.total is None:
            return progress
        to_come = max(self.total - progress.total, 0)
        return attrs.evolve(self._counted(self._executor.progress(to_come=to_come)), is_total_known=True)

    def _counted(self, progress: Progress) -> Progress:
        """Return a progress without what does not count."""
        before = self._before
        if before is None:
            return progress
        here, earlier = self._executor._progress.ended_here(), self._ended_before
        ended = {status: max(number - earlier[status], 0) for status, number in here.items()}
        done = sum(ended.values())
        return attrs.evolve(
            progress,
            total=progress.total - progress.done + done,
            done=done,
            by_status=ended,
            retries=progress.retries - before.retries,
            rate_limited=progress.rate_limited - before.rate_limited,
        )


publish_classes(ProgressBar)
