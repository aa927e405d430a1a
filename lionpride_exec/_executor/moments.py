"""
How an executor is at one moment, for those who look again and again, without a long stop of its event loop.

``statistics()`` and ``progress()`` look at each key and each queued event. With 100,000 of them this takes 0.3 s, in
which nothing else runs. Here these looks are made in pieces of a millisecond, see ``survey``. What can be read at once
is read after them, in one step of the event loop, so that all numbers fit together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .survey import Surveyor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._model.waiting import WaitReason
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.progress import Progress

    from .explainer import Explainer
    from .explanation import LimitUse, Statistics
    from .progress_report import Outlook, ProgressReport
    from .survey import Survey


class Moments:
    """
    Looks at one executor. All who look share it.

    Args:
        explainer: Says what events wait for.
        report: Computes the progress.
        processor: Returns the processor. None if there is none.
        counts: Returns the number of events by status.
        coordination: Calls when the executor starts.

    Attributes:
        surveyor: Makes the surveys.
    """

    def __init__(
        self,
        explainer: Explainer,
        report: ProgressReport,
        processor: Callable[[], Processor | None],
        counts: Callable[[], dict[str, int]],
        coordination: Coordination,
    ) -> None:
        self.surveyor: Surveyor[Survey] = Surveyor(lambda: explainer.survey(processor()), coordination)
        self._forecaster: Surveyor[Outlook | None] = Surveyor(lambda: report.outlook(processor(), 0.0), coordination)
        self._explainer = explainer
        self._report = report
        self._processor = processor
        self._counts = counts

    async def now(self) -> tuple[Statistics, Progress]:
        """
        Return the statistics and the progress, of the step of the event loop in which the call returns.

        Some 10 us for each key and each closed key, in pieces of a millisecond. The statistics have the 1000 fullest
        limits, and no paces. The time left is that of the last forecast.

        Raises:
            Exception: What a function of the user raises, such as the amount of a limit.

        Cancellation: nothing is lost, and the next call goes on.
        """
        survey, outlook = await self.surveyor.fresh(), await self._forecaster.fresh()
        # From here on, all is of one step of the event loop. The caller reads on in the same step.
        processor = self._processor()
        return (
            self._explainer.statistics(processor, self._counts(), survey),
            self._report.make(processor, 0.0, outlook),
        )

    async def limits(self) -> tuple[LimitUse, ...]:
        """Return what is used of the limits, the fullest first, at most 1000. Raise as :meth:`now`."""
        survey = await self.surveyor.fresh()
        return (await self.now())[0].limits if survey is None else survey.fullest

    def waits(self, survey: Survey) -> Mapping[WaitReason, int]:
        """Return the pending events by what they wait for: in the event loop now, in other threads as in the survey."""
        return self._explainer.waits(self._processor(), survey) if self.surveyor.is_in_loop else survey.waits

    def forget(self) -> None:
        """Have the next look see all anew: something was changed."""
        self.surveyor.forget()
