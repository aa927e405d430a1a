"""
Reads the arguments of ``run`` if they are plain. Otherwise cyclopts reads them.

A run over a few lines takes less time than cyclopts takes to be imported and to look at the options. So arguments that
can be read in one way only are read here: TARGET, INPUT, flags, and options with a value behind a blank or a ``=``.
Everything else is left to cyclopts: help, other commands, and short forms of options. Wrong arguments are left to it
too, so all messages are those of cyclopts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from .log_options import LogLevel
from .options import NAMES, Backend, InputFormat, JournalSync, OutputFormat, ProgressKind, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _text(text: str) -> str | None:
    return text if text and not text.startswith("-") else None


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", text) else None


def _one_of(kind: Any) -> Callable[[str], str | None]:
    words = get_args(kind)
    return lambda text: text if text in words else None


# For each annotation of an option: the function that reads a value. It returns None for a value that is not plain.
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "tuple[str, ...]": _text,
    "InputFormat": _one_of(InputFormat),
    "OutputFormat": _one_of(OutputFormat),
    "Backend": _one_of(Backend),
    "JournalSync": _one_of(JournalSync),
    "ProgressKind": _one_of(ProgressKind),
    "LogLevel": _one_of(LogLevel),
}
# Annotations of options without a value, and of options that may be given several times.
FLAG: Final = "bool"
SEVERAL: Final = "tuple[str, ...]"
# For each option of the command line: the field of RunOptions, and its annotation without "| None".
OPTIONS: Final = {
    NAMES.get(field.name) or f"--{field.name.replace('_', '-')}": (field.name, str(field.type).removesuffix(" | None"))
    for field in attrs.fields(RunOptions)
}


def read_plain(words: Sequence[str]) -> tuple[str, tuple[str, ...], RunOptions] | None:
    """Return target, INPUT and options of ``run``. None if the arguments are not plain, or not those of ``run``."""
    if not words or words[0] != "run":
        return None
    rest = iter(words[1:])
    positional: list[str] = []
    given: dict[str, Any] = {}
    for word in rest:
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        name, equals, text = word.partition("=")
        if name not in OPTIONS:
            return None
        field, kind = OPTIONS[name]
        if kind == FLAG:
            value: object = None if equals else True
        else:
            value = _READERS[kind](text if equals else next(rest, ""))
        if value is None or (field in given and kind != SEVERAL):
            return None
        given[field] = (*given.get(field, ()), value) if kind == SEVERAL else value
    target, *sources = positional or ("",)
    if not (sources and all(positional)) or target == "-":
        return None
    return target, tuple(sources), RunOptions(**given)
