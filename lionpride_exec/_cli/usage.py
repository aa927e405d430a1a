"""
The usage line of each command.

Cyclopts would write ``[ARGS...]`` for arguments that may be missing, whatever their names. When another program makes
pages of the commands, it would take a part of that program's name into the line.
"""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

# The run needs it, but a configuration file may have it.
_INPUT: Final = "INPUT..."


def add_usages(app: App, path: str) -> None:
    """
    Set the usage line of each command of an app.

    Args:
        app: The app, with its commands.
        path: How the app is called on the command line.
    """
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if command.default_command is None:
            add_usages(command, f"{path} {name}")
        else:
            command.usage = f"Usage: {path} {name}{_arguments(command.default_command)}"


def _arguments(command: Callable[..., Any]) -> str:
    """Return what follows the name of a command, with a space before each word."""
    words, has_options = "", False
    for parameter in signature(command).parameters.values():
        name = parameter.name.upper()
        if parameter.kind is Parameter.KEYWORD_ONLY:
            has_options = True
        elif parameter.name == "sources":
            words += f" {_INPUT}"
        elif parameter.kind is Parameter.VAR_POSITIONAL:
            words += f" [{name}...]"
        else:
            words += f" {name}" if parameter.default is Parameter.empty else f" [{name}]"
    return f"{words} [OPTIONS]" if has_options else words
