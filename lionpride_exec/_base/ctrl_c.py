"""
Tells a ``KeyboardInterrupt`` that Ctrl-C has brought from one that code raises.

Ctrl-C is a signal. Trio raises the error at once, in the code of whichever task runs at the moment. asyncio cancels the
main task instead, and raises the error only at the second Ctrl-C, or if the loop runs without ``asyncio.Runner``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .exception_groups import is_of, leaves

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

_RAISING = {"RAISE_VARARGS", "RERAISE"}


def is_of_ctrl_c(error: BaseException) -> bool:
    """Return whether an error, or one in a group, is a ``KeyboardInterrupt`` that the handler of a signal raised."""
    return any(is_of(leaf, KeyboardInterrupt) and _is_of_handler(leaf) for leaf in leaves(error))


def _is_of_handler(error: BaseException) -> bool:
    traces = list(_traces(error.__traceback__))
    if not traces:
        return False
    if any(_is_handler(trace.tb_frame) for trace in traces):
        return True
    from dis import opname  # noqa: PLC0415  takes long, and is needed at the end of a program only

    # Python's own handler has no frame. It interrupts an instruction, which raises nothing by itself.
    last = traces[-1]
    return opname[last.tb_frame.f_code.co_code[last.tb_lasti]] not in _RAISING


def _traces(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_handler(frame: FrameType) -> bool:
    """Return whether a frame is of a handler of signals: it is called with the frame that it interrupts."""
    return frame.f_back is not None and any(value is frame.f_back for value in frame.f_locals.values())
