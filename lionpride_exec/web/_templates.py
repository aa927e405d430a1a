"""
The templates of the pages, and how values become texts in them.

Whatever a template shows passes :func:`_shown` and is escaped, unless it is markup of ours. So no text of a user can
become an element, an attribute or a control character.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from lionpride_exec._base.wording import counted, visible
from lionpride_exec._display.markup import Markup, element, joined
from lionpride_exec._display.pieces import share, swatch
from lionpride_exec._display.quantities import shown_length, shown_moment, shown_number, shown_pace

if TYPE_CHECKING:
    from collections.abc import Mapping

# In the repr() of a limit: arguments that were not given.
_SAYS_NOTHING: Final = re.compile(r", (?:cost|key|hold|name)=(?:None|False)\b")

# Of a payload so many characters are shown.
MOST_SHOWN: Final = 65536


def make_templates() -> Environment:
    """Return the templates of the pages, which are read and compiled at their first use."""
    found = Environment(
        loader=PackageLoader("lionpride_exec.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "length": _length,
        "moment": _moment,
        "number": shown_number,
        "pace": shown_pace,
        "counted": counted,
        "payload": _payload,
        "plainly": _plainly,
        "query": query_of,
    }
    found.globals |= {"share": share, "swatch": swatch}
    return found


def _shown(value: Any) -> Any:
    """Return a text on one line, in which all characters are printed. None is shown as nothing."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _length(seconds: float | None) -> str:
    """Return a length of time, a dash where it is not known. Clocks that were set make no negative one."""
    return "-" if seconds is None else shown_length(max(seconds, 0.0))


def _moment(at: float | None) -> str:
    return "-" if at is None else shown_moment(at)


def _plainly(text: str) -> str:
    """Return the ``repr()`` of a limit, or a text with one, without the arguments that say nothing."""
    return _SAYS_NOTHING.sub("", text)


def _payload(text: str, name: str) -> Markup:
    """Return a text of several lines, of at most 64 kB, as it stands, in a box that has a name."""
    lines = text[:MOST_SHOWN].replace("\r\n", "\n").split("\n")
    shown = Markup("\n".join(joined(line.expandtabs(4)) for line in lines))
    rest = len(text) - MOST_SHOWN
    note = element("p", f"{rest:,} more characters are not shown.", class_="soft") if rest > 0 else None
    return joined(element("pre", shown, tabindex="0", role="region", aria_label=name), note)


def query_of(values: Mapping[str, Any], **changes: Any) -> str:
    """Return the query of an address with some values changed. Those that are None or "" are left out."""
    pairs = {**values, **changes}
    return "?" + urlencode({name: value for name, value in pairs.items() if value not in {None, ""}}, errors="replace")
