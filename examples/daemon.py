"""
A daemon: events at the times of schedules, kept in a journal, until SIGTERM.

``python examples/daemon.py [JOURNAL]`` looks for new files each minute, and makes a report each night at 02:30. At
SIGTERM or Ctrl-C, what runs has ``GRACE`` seconds, and a second signal interrupts it. What has not ended then is in
the journal, and so is when the schedules were last due. The next start goes on with both, also after a kill.
"""

import signal
import sys
from zoneinfo import ZoneInfo

import anyio

from lionpride_exec import Event, Executor, Journal, Retain, Retry

GRACE = 20  # seconds, less than what ends this process gives it
ZONE = ZoneInfo("Europe/Berlin")


class Look(Event[None], tag="daemon.look"):
    """Look for new files."""

    async def _invoke(self):
        await anyio.sleep(0.5)  # stands for the work


class Report(Event[str], tag="daemon.report"):
    """The report of a day."""

    day: str

    async def _invoke(self):
        await anyio.sleep(90)  # stands for the work
        return f"all is well on {self.day}"


def report(due):
    """Return the event of a night. The due time is in UTC, whose day may be another one."""
    return Report(day=f"{due.astimezone(ZONE):%Y-%m-%d}")


async def stop_at_signals(executor, group, grace=30):
    """At the first signal let what runs finish, at the second one interrupt it. Then cancel what waits in the group."""

    async def stop(grace):
        await executor.stop(grace)
        group.cancel_scope.cancel()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        group.start_soon(stop, grace)
        await anext(signals)
        group.start_soon(stop, 0)


async def main(path, every=60):
    """Run until a signal."""
    journal = Journal(path, retain=Retain(age=7 * 86_400))
    executor = Executor.of(Event, name="daemon", journal=journal, retry=Retry(3, backoff=60), timeout=3600)
    async with executor, anyio.create_task_group() as group:
        group.start_soon(stop_at_signals, executor, group, GRACE)
        executor.schedule(Look(timeout=50), every=every, name="look")
        nightly = executor.schedule(report, cron="30 2 * * *", time_zone=ZONE, name="report")
        await nightly.wait()  # until the group is cancelled: stop() does not end a wait


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if sys.argv[1:] else "daemon.db")
