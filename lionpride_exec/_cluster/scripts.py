"""
The scripts that the server runs. Each of them is atomic.

A script is called by the SHA-1 of its text, so different versions of this package can use one server. Each script
begins with ``common.lua``; ``step`` and ``limits`` go on with ``buckets.lua``. All scripts but ``submit`` and
``retry`` also run when the server's memory is full, so what the queue holds can end.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files

import attrs

# The first line of a script: whether the server refuses the script while its memory is full. The flag needs Redis 7 or
# Valkey.
_REFUSED_WHEN_FULL = "#!lua\n"
_RUNS_WHEN_FULL = "#!lua flags=allow-oom\n"


@attrs.frozen
class Script:
    """
    A script.

    Attributes:
        name: Its name, for messages.
        text: What the server runs.
        sha: The name by which the server knows it.
    """

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Return one of the scripts. The files are read once."""
    folder = files("lionpride_exec._cluster") / "lua"
    first_line = _REFUSED_WHEN_FULL if name in {"submit", "retry"} else _RUNS_WHEN_FULL
    parts = ("common", "buckets", name) if name in {"step", "limits"} else ("common", name)
    text = first_line + "".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    # SHA-1 is not for security here: the server names scripts by it.
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
