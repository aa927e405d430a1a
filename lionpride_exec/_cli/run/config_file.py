"""``run --config FILE`` and ``check --config FILE``: the arguments of a run in a file."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import UsageError

from .arguments import FLAG, OPTIONS, SEVERAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMANDS: Final = frozenset({"run", "check"})
CONFIG: Final = "--config"
TARGET: Final = "target"
INPUT: Final = "input"

# What TARGET looks like: a module or a file, and a name in it. Some other text is a file of INPUT.
_TARGET_TEXT: Final = re.compile(r".+:[^\W\d][\w.]*")


def with_config(argv: Sequence[str]) -> Sequence[str]:
    """
    Return the arguments of the command, with those of the file of ``--config`` before them.

    What the command line says holds: an option there replaces the one of the file. So do TARGET and INPUT,
    each for itself.

    Raises:
        UsageError: The file cannot be read, or says something that is no option of ``run``.
    """
    if not argv or argv[0] not in COMMANDS or not any(word.partition("=")[0] == CONFIG for word in argv):
        return argv
    options, path, given, positional = _split(argv[1:])
    config = _read(path)
    words = [word for name, value in config.items() for word in _words(path, name, value, given)]
    return [argv[0], *_positional(path, config, positional), f"{CONFIG}={path}", *words, *options]


def _split(words: Sequence[str]) -> tuple[list[str], str, set[str], list[str]]:
    """Return the options without ``--config``, its value, the names of the options, and the other words."""
    options: list[str] = []
    positional: list[str] = []
    paths: list[str] = []
    given: set[str] = set()
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name == CONFIG:
            paths.append(value if equals else next(left, ""))
            continue
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        options.append(word)
        if name in OPTIONS:
            given.add(name)
            if not equals and OPTIONS[name][1] != FLAG:
                options += [value for value in [next(left, None)] if value is not None]
    if len(paths) != 1 or not paths[0]:
        raise UsageError(f"{CONFIG} needs one file")
    return options, paths[0], given, positional


def _read(path: str) -> dict[str, Any]:
    try:
        config = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise UsageError(f"{path} is not TOML: {exc}") from exc
    return {name.replace("_", "-"): value for name, value in config.items()}


def _words(path: str, name: str, value: Any, given: Iterable[str]) -> list[str]:
    """Return an entry of the file as words of a command line."""
    option = f"--{name}"
    if name in {TARGET, INPUT} or option in given:
        return []
    if option not in OPTIONS or option == CONFIG:
        known = [known.removeprefix("--") for known in OPTIONS if known != CONFIG]
        raise UsageError(f"{path}: run has no option {name!r}{did_you_mean(name, known)}")
    kind = OPTIONS[option][1]
    if kind == FLAG:
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {name} must be true or false, got {value!r}")
        return [option] if value else []
    values = value if isinstance(value, list) and kind == SEVERAL else [value]
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in values):
        raise UsageError(f"{path}: {name} must be a text or a number, got {value!r}")
    return [f"{option}={one}" for one in values]


def _positional(path: str, config: dict[str, Any], given: Sequence[str]) -> list[str]:
    """Return TARGET and INPUT, each from the command line, or else from the file."""
    found = config.get(INPUT, [])
    sources = found if isinstance(found, list) else [found]
    target = [config[TARGET]] if TARGET in config else []
    if not all(isinstance(word, str) for word in [*target, *sources]):
        raise UsageError(f"{path}: target must be a text, and input a text or a list of texts")
    count = 1 if given and (not target or _is_target(given[0])) else 0
    from_file = [*([] if count else target), *([] if given[count:] else sources)]
    _check_here(path, from_file)
    return [*(given[:count] or target), *(given[count:] or sources)]


def _is_target(word: str) -> bool:
    return _TARGET_TEXT.fullmatch(word) is not None and not Path(word).exists()


def _check_here(path: str, words: Iterable[str]) -> None:
    """
    Check that the current directory has the files that the configuration names. Names are looked up in this directory.

    Raises:
        UsageError: A file is beside the configuration, and not in the current directory.
    """
    folder = Path(path).parent
    for word in words:
        name = word.partition(":")[0]
        if not Path(name).exists() and (folder / name).is_file():
            move = f"cd {shlex.quote(str(folder))}"
            raise UsageError(
                f"{path} names {name}, which is not here but in {folder}: {move}, then use {Path(path).name}"
            )
