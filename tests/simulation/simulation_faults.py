"""The faults that a seed means."""

from lionpride_exec.testing import Cancellation, Crash, Failure, Latency


def _latency(draw):
    return Latency(0, draw.seconds(5), share=draw.choice((0.2, 1.0)))


def _failure(draw):
    return Failure(share=draw.choice((0.1, 0.4)))


def _cancel(draw):
    return Cancellation(share=draw.choice((0.1, 0.3)))


def _caller(draw):
    return Cancellation(
        of="caller", share=draw.choice((0.1, 0.3)), within=2 if draw.is_defined else draw.choice((0, 2))
    )


def _native(draw):
    return Cancellation(of="task", share=0.3)


_FAULTS = {
    "append:before": _caller,
    "append:after": _cancel,
    "room:before": _caller,
    "gate:before": _latency,
    "gate:after": _failure,
    "report:before": _cancel,
    "run:before": _cancel,
    "run:after": _failure,
    "chunk:before": _latency,
    "chunk:after": _failure,
    "join:before": _latency,
    "stop:before": _latency,
}

_JOURNAL_FAULTS = {
    "start:before": _latency,
    "start:after": _cancel,
    "end:before": _latency,
    "end:after": _cancel,
    "commit:before": _latency,
    "commit:after": _latency,
    "disk:before": _failure,
}

_CRASHES = (
    *("append:before", "append:after", "gate:after", "run:before", "run:after", "start:after", "end:before"),
    *("end:after", "commit:before", "commit:after", "disk:before", "disk:after"),
)


def draw_faults(draw, *, has_journal, has_native):
    """
    Draw a few faults, those of a journal and crashes if there is one.

    Args:
        draw: Of the workload.
        has_journal: Whether there is one.
        has_native: Whether tasks are cancelled past all scopes, as asyncio can.
    """
    kinds = dict(_FAULTS)
    if not draw.is_defined:  # who of the workers meets these is up to the event loop
        kinds |= {"slot:before": _latency, "pick:before": _latency}
    if has_native:
        kinds |= {"append:before": _native, "room:before": _native, "run:before": _native}
    if has_journal:
        kinds |= _JOURNAL_FAULTS
    share = draw.choice((0.0, 0.1, 0.3))
    faults = {point: [make(draw)] for point, make in kinds.items() if draw.chance(share)}
    if has_journal:
        points = draw.sample(_CRASHES, 3)
        faults |= {point: [*faults.get(point, []), Crash(share=draw.choice((0.02, 0.1)))] for point in points}
    return faults
