"""The command ``lionpride-exec`` in this process, called with the arguments that a user writes."""

import os
import sys
from contextlib import contextmanager

import anyio
import pytest

from lionpride_exec.__main__ import main
from lionpride_exec.testing import backend_options

# Options whose names differ from those of the keywords.
NAMES = {"record_id": "id"}


def run_command(arguments):
    """Run the command. Return its exit status."""
    try:
        main(arguments)
    except SystemExit as exc:
        return exc.code


def run(target, source, **options):
    """
    Run ``lionpride-exec run``. Return its exit status.

    Args:
        target: What is run.
        source: The file with the lines. A list is several files.
        options: The options by their names. A tuple repeats its option, True is a flag, None and False are left out.
    """
    sources = [source] if isinstance(source, str) else source
    return run_command(["run", target, *sources, *arguments_of(options)])


def arguments_of(options):
    """Return options as the words of a command line."""
    words = []
    for name, value in options.items():
        word = f"--{NAMES.get(name, name).replace('_', '-')}"
        if value is True:
            words.append(word)
        elif value is not None and value is not False:
            words += [f"{word}={one}" for one in (value if isinstance(value, tuple) else (value,))]
    return words


@contextmanager
def virtual_time(backend="asyncio"):
    """Inside the block, the command runs under a virtual clock."""
    real_run = anyio.run
    name, made = backend_options(backend)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(anyio, "run", lambda main, **_: real_run(main, backend=name, backend_options=made))
        yield


@contextmanager
def standard_input(data):
    """Inside the block, standard input is a pipe that brings these bytes, then ends."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    saved = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@contextmanager
def targets_in(directory, monkeypatch, text):
    """Work in a directory that has the file ``targets.py``. Afterwards the interpreter is as before."""
    (directory / "targets.py").write_text(text)
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield directory
    sys.modules.pop("lionpride_exec_target_targets", None)
