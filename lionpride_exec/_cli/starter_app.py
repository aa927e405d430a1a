"""The arguments of the commands that make a first project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lionpride_exec._base.wording import install_command

from .guard import NOTHING, Extra, guarded
from .parameters import FLAG
from .run.options import Backend  # noqa: TC001  cyclopts reads it

if TYPE_CHECKING:
    from cyclopts import App

DEMO = Extra(("httpx2", "uvicorn", "msgspec"), f"the demonstration needs: {install_command('demo')}")


def add_starter_commands(app: App) -> None:
    """Add the commands to an app."""
    for command in (demo, init):
        app.command(command)


@guarded(DEMO)
def demo(
    folder: Annotated[str, Parameter(name="FOLDER")] = "lionpride-demo",
    /,
    *,
    calls: int = 300,
    backend: Backend = "asyncio",
    overwrite: Annotated[bool, FLAG] = False,
) -> int:
    """
    Run some hundred calls to an API that limits them, and show what became of each.

    The API is a server of its own on this machine. Some calls fail at first, and a few for good. The files of the run
    stay in FOLDER: a client, its options, the results, a journal and a report.

    Args:
        folder: Folder for the files.
        calls: How many calls to make.
        backend: Event loop to run on.
        overwrite: Replace the files of an earlier demonstration.
    """
    from .starter.demo import demonstrate  # noqa: PLC0415  the extra may not be installed

    return demonstrate(folder, calls, backend, overwrite=overwrite)


@guarded(NOTHING)
def init(folder: Annotated[str, Parameter(name="FOLDER")] = ".", /) -> int:
    """
    Write a project to begin with: a client of an HTTP API, its options and an input.

    Args:
        folder: Folder for client.py, run.toml and calls.jsonl. If it has one of them, nothing is written.
    """
    from .starter.files import EXAMPLES, project, write_files  # noqa: PLC0415  not needed for other commands
    from .streams import say  # noqa: PLC0415  likewise

    files = project(EXAMPLES)
    write_files(Path(folder), files)
    say(f"wrote {', '.join(files)} into {folder}; they need httpx2, and {install_command('cli,journal')}")
    move = "" if Path(folder) == Path() else f"cd {shlex.quote(folder)}, "
    say(f"next: {move}change client.py and run.toml, then try a few calls: lionpride-exec check --config run.toml")
    return 0
