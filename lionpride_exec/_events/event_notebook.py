"""An event in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.error_shapes import error_line
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._display.notebook import bundle, code, facts, frame
from lionpride_exec._display.quantities import shown_length
from lionpride_exec._status import COMPLETED

from .shown_fields import shown_value

if TYPE_CHECKING:
    from datetime import datetime

    from lionpride_exec._display.markup import Markup


def event_bundle(event: Any) -> dict[str, str]:
    """Return an event as text and as HTML: its fields, when it ran, what came of it. Stars stand for secrets."""
    execution, text = event.execution, repr(event)
    rows: list[tuple[str, str | Markup]] = [("event", code(text))]
    times = {"queued": execution.queued_at, "started": execution.started_at, "finished": execution.finished_at}
    rows += [(name, _moment(at)) for name, at in times.items() if at is not None]
    if not isinstance(execution.duration, UnsetType):
        rows.append(("took", shown_length(execution.duration)))
    if execution.attempts:
        rows.append(("attempt", f"{execution.attempt} ({len(execution.attempts)} before)"))
    if execution.status is COMPLETED and execution.response is not Unset:
        rows.append(("response", code(shown_value(event, execution.response))))
    error = error_line(execution.error, secrets_of(event))
    if error is not None:
        rows.append(("error", code(error)))
    return bundle(text, frame(type(event).__name__, execution.status.value, facts(rows)))


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
