"""The command line: a file with the options, lines that are run again, and completion in a shell."""

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest
from commands import run, run_command

TARGETS = """
import os
async def echo(record): return record
async def negative(record): return -record
async def need(record):
    if record == 2 and not os.path.exists("mended"): raise LookupError
    if record == 3: raise KeyError
    return record
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets and INPUT."""
    (tmp_path / "target.py").write_text(TARGETS)
    (tmp_path / "in").write_text("1\n2\n3\n")
    monkeypatch.chdir(tmp_path)


def records(name="out"):
    """Return the records of all results, in order."""
    return sorted(json.loads(line)["record"] for line in Path(name).read_text().splitlines())


def results_of(name):
    """Return what the calls returned, as they stand in the file."""
    return [json.loads(line)["response"] for line in Path(name).read_text().splitlines()]


# ---------------------------------------------------------------- run.toml

CONFIG = """
target = "target.py:echo"
input = ["in"]
output = "out"
quiet = true
overwrite = false
concurrency-per-key = 1
key = "k"
max_errors = "50%"
timeout = 2.5
rate = ["10/1s", "100/60s:n"]
"""


def test_a_file_has_the_arguments_of_a_run(capsys):
    """Names as those of options, with hyphens or underlines. A list stands for an option given several times."""
    Path("in").write_text('{"k": 1, "n": 5}\n')
    Path("run.toml").write_text(CONFIG)
    assert run_command(["run", "--config", "run.toml"]) == 0
    assert capsys.readouterr().err == ""
    assert len(Path("out").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "out", "expected"),
    [
        (["--output", "mine"], "mine", [1, 2, 3]),
        (["--limit=1"], "out", [1]),
        (["target.py:need", "other", "--limit", "1"], "out", [7]),
        (["other"], "out", [7, 8]),
        (["--output", "mine", "other", "in"], "mine", [1, 2, 3, 7, 8]),
        (["target.py:negative"], "out", [-3, -2, -1]),
        (["odd:name"], "out", [9]),
    ],
)
def test_the_command_line_comes_before_the_file(words, out, expected):
    """Option by option, wherever it stands. TARGET and INPUT are replaced each for itself. A file is no TARGET."""
    Path("odd:name").write_text("9\n")
    Path("other").write_text("7\n8\n")
    Path("run.toml").write_text('target = "target.py:echo"\ninput = "in"\noutput = "out"\nlimit = 9\nquiet = true\n')
    assert run_command(["run", *words, "--config=run.toml"]) == 0
    assert sorted(results_of(out)) == expected


def test_without_a_target_in_the_file_the_first_word_is_one(capsys):
    """As it is without a file."""
    Path("run.toml").write_text('output = "out"\nquiet = true\n')
    assert run_command(["run", "in", "--config=run.toml"]) == 2
    assert "INPUT is missing" in capsys.readouterr().err


def test_a_target_that_is_not_there_is_no_file_of_input(capsys):
    """It looks like a target, so it is named as one."""
    Path("run.toml").write_text('target = "target.py:echo"\ninput = "in"\noutput = "out"\n')
    assert run_command(["run", "targte.py:echo", "--config=run.toml"]) == 2
    assert "cannot load targte.py: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("concurency = 5", "run.toml: run has no option 'concurency' (did you mean 'concurrency'?)"),
        ('config = "b"', "run.toml: run has no option 'config'"),
        ("quiet = 1", "run.toml: quiet must be true or false, got 1"),
        ("output = true", "run.toml: output must be a text or a number, got True"),
        ("output = ['a']", "run.toml: output must be a text or a number, got ['a']"),
        ("target = 5", "run.toml: target must be a text, and input a text or a list of texts"),
        ("output", "run.toml is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(capsys, text, told):
    """Nothing is run."""
    Path("run.toml").write_text(text)
    assert run_command(["run", "--config", "run.toml"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--config", "none.toml"], "cannot read none.toml: No such file or directory"),
        (["--config"], "--config needs one file"),
        (["--config=a", "--config=b"], "--config needs one file"),
    ],
)
def test_there_is_one_file(capsys, words, told):
    """Nothing is run without it."""
    assert run_command(["run", "target.py:echo", "in", *words]) == 2
    assert capsys.readouterr().err == f"lionpride-exec: {told}\n"


def test_wrong_values_in_a_file_are_those_of_the_options(capsys):
    """The message is that of the command line."""
    Path("run.toml").write_text('backend = "curio"\n')
    assert run_command(["run", "target.py:echo", "in", "--config", "run.toml"]) == 2
    assert "backend" in capsys.readouterr().err


# ---------------------------------------------------------------- again


def test_failed_lines_are_run_again(capsys):
    """Their old results give way to the new ones. Lines that completed are not run again."""
    options = {"journal": "run.db", "output": "out"}
    assert run("target.py:need", "in", quiet=True, resume_failed=True, **options) == 1
    Path("mended").touch()
    assert run("target.py:need", "in", progress="none", resume_failed=True, **options) == 1
    told = capsys.readouterr().err
    assert "2 lines that did not complete are run again" in told
    assert "1 done before, 1 completed, 1 failed" in told
    results = [json.loads(line) for line in Path("out").read_text().splitlines()]
    assert {result["record"]: result["status"] for result in results} == {1: "completed", 2: "completed", 3: "failed"}
    assert len(results) == 3


@pytest.mark.parametrize("options", [{}, {"cluster": "url"}])
def test_lines_are_run_again_with_a_journal_only(capsys, options):
    """Nothing else knows what has failed."""
    assert run("target.py:need", "in", output="out", resume_failed=True, **options) == 2
    assert "--resume-failed needs --journal" in capsys.readouterr().err


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_options(capsys, shell):
    """The script knows commands, options and the words that an option takes, and the shell can read it."""
    assert run_command(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("lionpride-exec", "inspect", "resume-failed", "anthropic-batch"))
    program = which(shell)
    if program is not None:
        Path("script").write_text(script)
        assert subprocess.run([program, "-n", "script"], check=False).returncode == 0  # noqa: S603  our own script
