"""
What was given to a run, for its journal: ``lionpride-exec inspect`` shows it.

Only values that differ from the defaults are kept, those of the file of ``--config`` included. No secret goes into the
file: the user and the password of a URL are left out, and so are the values of environment variables that are named
like secrets, which a shell has put into an argument.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.redaction import STARS
from lionpride_exec._base.wall_clock import wall_clock

from .options import NAMES, RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of the files of INPUT, so many are kept by name: a shell may have made thousands of a pattern.
MAX_FILES: Final = 20

MIN_SECRET: Final = 8  # characters; shorter values occur by chance
_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:KEYS?|TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)
_USER_OF_URL: Final = re.compile(r"(?<=://)[^/\s]*@")


def given_text(target: str, sources: Sequence[str], options: RunOptions) -> str:
    """
    Return what was given to a run, as JSON for its journal.

    Args:
        target: As it was given.
        sources: Likewise.
        options: How to run.
    """
    secrets = _secrets_of_environment()
    record: dict[str, Any] = {
        "at": wall_clock.seconds(),
        "target": _hide(target, secrets),
        "input": [_hide(source, secrets) for source in sources[:MAX_FILES]],
        "more_input": len(sources[MAX_FILES:]),
        "options": {name: _hidden(value, secrets) for name, value in _given(options).items()},
    }
    return write_json(record).decode()


def with_bad_lines(given: str, bad_lines: int) -> str:
    """Return what :func:`given_text` returned, with the number of bad lines that the run has found."""
    return write_json(read_json(given) | {"bad_lines": bad_lines}).decode()


def _given(options: RunOptions) -> dict[str, Any]:
    """Return the options that differ from their defaults, by their names on the command line."""
    found: dict[str, Any] = {}
    for field in attrs.fields(RunOptions):
        value = getattr(options, field.name)
        if value != field.default:
            found[NAMES.get(field.name, f"--{field.name.replace('_', '-')}")] = value
    return found


def _hidden(value: Any, secrets: Iterable[str]) -> Any:
    if isinstance(value, tuple):
        return [_hidden(one, secrets) for one in value]
    return _hide(value, secrets) if isinstance(value, str) else value


def _hide(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, STARS)
    text = text.encode("utf-8", "backslashreplace").decode()  # the name of a file may be any bytes
    return _USER_OF_URL.sub(f"{STARS}@", text)


def _secrets_of_environment() -> list[str]:
    """Return the values of environment variables that are named like secrets, the longest first."""
    found = {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= MIN_SECRET}
    return sorted(found, key=len, reverse=True)
