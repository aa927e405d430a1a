"""The help of each command."""

import inspect
import re
import sys

import pytest
from commands import run_command
from parts import command_app


def named(app, *path):
    """Return the function of each command of an app, by the words that call it."""
    found = {}
    for name in app:
        if not name.startswith("-"):
            command = app[name]
            inner = {(*path, name): command.default_command} if command.default_command else named(command, *path, name)
            found |= inner
    return found


COMMANDS = named(command_app)
commands = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


@pytest.fixture
def help_of(capsys, monkeypatch):
    """Return the text of ``--help``, in long lines. The running program has another name."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["other/sphinx/__main__.py"])

    def call(path):
        assert run_command([*path, "--help"]) == 0
        return capsys.readouterr().out

    return call


@commands
def test_usage_names_the_command_and_its_arguments(help_of, path):
    """The usage line has the command and the name of each argument without a dash."""
    usage = help_of(path).splitlines()[0]
    parameters = inspect.signature(COMMANDS[path]).parameters.values()
    names = [parameter.name.upper() for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    assert usage.startswith(f"Usage: lionpride-exec {' '.join(path)}")
    assert re.findall(r"\b[A-Z]{2,}\b", usage.replace(" [OPTIONS]", "")) == [
        "INPUT" if name == "SOURCES" else name for name in names
    ]
    assert "ARGS" not in usage
    assert "sphinx" not in usage


@commands
def test_texts_in_angle_brackets_are_shown(help_of, path):
    """No such text of the docstring is taken for markup."""
    expected = set(re.findall(r"<\w+>", inspect.getdoc(COMMANDS[path])))
    assert expected <= set(re.findall(r"<\w+>", help_of(path)))


def test_what_varies_in_an_error(help_of):
    """The help of ``retry --error`` has the signs for what varies."""
    text = help_of(["retry"]).replace("│", " ")
    assert "has it with <n>, <id> and <url> for what varies" in " ".join(text.split())  # in lines of any length


def test_usage_of_what_may_be_left_out(help_of):
    """Brackets are around the arguments that a command can do without."""
    usages = [help_of(path).splitlines()[0] for path in (["retry"], ["run"], ["init"])]
    assert usages == [
        "Usage: lionpride-exec retry JOURNAL [EVENTS...] [OPTIONS]",
        "Usage: lionpride-exec run TARGET INPUT... [OPTIONS]",
        "Usage: lionpride-exec init [FOLDER]",
    ]
