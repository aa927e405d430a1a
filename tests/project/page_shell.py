"""
The commands of the pages, run in a directory with the files that a reader has (``READER``).

A command of the library, or an example, is run. Its exit status is 0, or the one that ``# exit status N`` behind it
says. A line with options in brackets is run without and with the options. If a line installs something, its commands
are not run. They are checked: the files, the options and the extras have to exist.
"""

import ast
import gzip
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pyarrow as pa
from cli_children import warm
from journal_files import fill
from pages import ROOT
from pyarrow import parquet

SECONDS = 60

# The files that a reader has, and the meaning of words in capitals.
CLIENT = """
async def fetch(record):
    return record

call = generate = fetch
"""
JOBS = """
import anyio

async def shell(command):
    return (await anyio.run_process(command)).stdout.decode()
"""
RECORDS = "".join(
    json.dumps(
        {
            "prompt": f"{number}",
            "api_key": "ab"[number % 2],
            "model": ("small", "large")[number % 2],
            "tokens": 9,
            "max_tokens": 9,
        }
    )
    + "\n"
    for number in range(10)
)
BATCH = '{"custom_id": "r1", "body": {"model": "m", "max_tokens": 9}}\n'
READER = {
    "batch.jsonl": lambda path: path.write_text(BATCH),
    "calls.jsonl": lambda path: path.write_text(RECORDS),
    "client.py": lambda path: path.write_text(CLIENT),
    "commands.txt": lambda path: path.write_text("echo a\n"),
    "jobs.py": lambda path: path.write_text(JOBS),
    "fixed.csv": lambda path: path.write_text("name,size\nx,2\n"),
    "orders.csv": lambda path: path.write_text("name,size\nx,1\n"),
    "orders.parquet": lambda path: parquet.write_table(pa.table({"name": ["x"], "size": [1]}), path),
    "prices.db": fill,
    "prompts.jsonl": lambda path: path.write_text(RECORDS),
    "requests.jsonl": lambda path: path.write_text(RECORDS),
    "requests.jsonl.gz": lambda path: path.write_bytes(gzip.compress(RECORDS.encode())),
    "run.db": fill,
}
STANDS_FOR = {
    "TARGET": ["client.py:fetch"],
    "INPUT": ["requests.jsonl"],
    "EVENT": ["2"],
    "FILE": ["output"],
    "S": ["failed"],
    "T": ["Fetch"],
    "OPTIONS": [],
}
ENDLESS = {"--follow"}  # until Ctrl-C; tests/cli/test_cli_journal.py follows a journal
QUICKER = {"examples/evaluate.py": ["60"]}  # 3,000 take as long as the page says
HARMLESS = {"cat", "find"}
HELP = {}  # what commands say of themselves, asked once
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def split(tokens, operator):
    """Split a list at an operator."""
    parts = [[]]
    for token in tokens:
        if token == operator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def tokens_of(line):
    """Split a line as a shell does, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    return list(lexer)


def is_ours(command):
    """Whether a command is the library's own, or an example of it."""
    return command[0] == "lionpride-exec" or (command[0] == "python" and command[1].startswith("examples/"))


def installs(tokens):
    """Whether a line installs something or makes an environment, for a new machine."""
    return any(word.rpartition("/")[2] == "pip" for word in tokens) or "venv" in tokens


def variants(tokens):
    """Return the commands that a synopsis stands for: without the options in brackets, and with all of them."""
    bare, full, inside = [], [], False
    for token in tokens:
        inside = inside or token.startswith("[")
        words = STANDS_FOR.get(token.strip("[]."), [token.strip("[].") if inside else token])
        full += [word for word in words if word not in ENDLESS]
        bare += [] if inside else words
        inside = inside and not token.rstrip(".").endswith("]")
    return [bare] if bare == full else [bare, full]


class Shell:
    """
    A directory with what a reader of a page has, and the commands of the page in it.

    ``lionpride-exec`` and ``python`` are those of the interpreter that runs the tests.
    """

    def __init__(self, directory):
        self.directory = directory / "work"
        self.directory.mkdir()
        (self.directory / "examples").symlink_to(ROOT / "examples")
        programs = directory / "bin"
        programs.mkdir()
        for name, command in (("python", [sys.executable]), ("lionpride-exec", warm())):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            (programs / name).chmod(0o755)
        self.environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}

    def provide(self, tokens):
        """Make the files that a command reads anew, except those that are arguments of options."""
        for before, token in zip(["", *tokens], tokens, strict=False):
            name = token.partition(":")[0]
            if name in READER and not before.startswith("--"):
                for path in self.directory.glob(f"{name}*"):  # a journal is several files
                    path.unlink()
                READER[name](self.directory / name)

    def run(self, text):
        """Run a line and return its result."""
        return subprocess.run(  # noqa: S603  a line of our own pages
            ["/bin/sh", "-c", text],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def problems_of(self, text):
        """Yield what is wrong with the lines of a block."""
        for line in text.replace("\\\n", " ").splitlines():
            code, _, comment = line.partition("  # ")
            tokens = tokens_of(code)
            if installs(tokens):
                for pipeline in split(tokens, "&&"):
                    for command in split(pipeline, "|"):
                        yield from self.problems_of_a_look(command)
            elif tokens:
                yield from self.problems_of_a_run(tokens, comment)

    def problems_of_a_run(self, tokens, comment):
        """Run a line, and yield what is wrong with it."""
        for words in variants(tokens):
            commands = split(words, "|")
            if unknown := [command for command in commands if not is_ours(command) and command[0] not in HARMLESS]:
                yield f"no rule says how to run {shlex.join(unknown[0])}"
                return
            self.provide(words)
            more = [word for command in commands for word in QUICKER.get(command[1], [])]
            line = " | ".join(map(shlex.join, commands)) + " " + shlex.join(more)
            done = self.run(line)
            expected = re.search(r"exit status (\d+)", comment)
            if done.returncode != int(expected[1] if expected else 0):
                yield f"{line}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        # Options that were left out above, or are in the comment, have to exist.
        last = split(tokens, "|")[-1]
        yield from self.unknown_options(last, re.findall(r"(?<![\w-])--[a-z-]+", f"{comment} {' '.join(tokens)}"))

    def unknown_options(self, command, options):
        """Yield the options that the help of a command does not know."""
        if options:
            line = shlex.join([*command[:2], "--help"])
            if line not in HELP:
                done = self.run(line)
                if done.returncode:
                    yield f"{line}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
                    return
                HELP[line] = done.stdout
            for option in options:
                if not re.search(rf"(?<!\S){option}(?![\w-])", HELP[line]):
                    yield f"{shlex.join(command[:2])} has no option {option}"

    def problems_of_a_look(self, command):
        """Check a command that is not run here."""
        name, words = command[0].rpartition("/")[2], command[1:]
        if name == "pip":
            yield from problems_of_an_install(words)
        elif name == "lionpride-exec":
            self.provide(words)
            yield from self.unknown_options([name, *words], [word for word in words if word.startswith("--")])
            target = words[1].partition(":")[0]
            if not target.startswith("-") and not (self.directory / target).exists():  # else all words are options
                yield f"there is no file {target}"
        elif name not in {"python", "python3"}:
            yield f"no rule says what to look at in {shlex.join(command)}"
        elif words[0] == "-c":
            ast.parse(words[1])
        elif words[0] == "-m":
            if not importlib.util.find_spec(words[1]):
                yield f"there is no module {words[1]}"
        elif not (ROOT / words[0]).is_file():
            yield f"there is no file {words[0]}"


def problems_of_an_install(words):
    """Yield what ``pip`` would not find. A page may install only this project, with extras that it has."""
    for word in words:
        if word != "install" and not word.startswith("-"):
            name, _, extras = word.rstrip("]").partition("[")
            if name == PROJECT["name"]:
                yield f"{name} is on no index: install a clone"
            elif name != ".":
                yield f"{name} is not this project"
            for extra in set(filter(None, extras.split(","))) - PROJECT["optional-dependencies"].keys():
                yield f"there is no extra {extra}"
