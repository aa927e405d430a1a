"""A function ``lifespan`` beside the target of a run."""

import sys
from pathlib import Path

import pytest
from commands import run

from lionpride_exec.testing import BACKENDS

TARGET = """
from contextlib import asynccontextmanager
from pathlib import Path
from lionpride_exec import Event, Executor, Processor, lifespan_value

@asynccontextmanager
async def lifespan():
    note("opened")
    try:
        yield {"client": 7}
    finally:
        note("closed")

def note(text):
    with Path("notes").open("a") as file:
        file.write(text + chr(10))

async def fetch(record):
    note("used")
    return lifespan_value(lifespan)["client"] + record

def plain(record):
    note("used")
    return lifespan_value(lifespan)["client"] + record

class Fetch(Event):
    n: int = 0
    async def _invoke(self):
        return await fetch(self.n)

class Work(Processor):
    event_type = Fetch

class Plain(Executor):
    processor_type = Work

class Own(Plain):
    def __init__(self, **options):
        super().__init__(lifespan=lifespan, **options)

@asynccontextmanager
async def another():
    note("another")
    yield

class Other(Plain):
    def __init__(self, **options):
        super().__init__(lifespan=another, **options)
"""
WEB = """
def lifespan(app):
    raise AssertionError("that of a web application is not called")

async def fetch(record):
    return record
"""
BROKEN = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan():
    raise OSError("no route to host")
    yield

async def fetch(record):
    return record
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets and inputs."""
    for name, text in (("target.py", TARGET), ("web.py", WEB), ("broken.py", BROKEN)):
        (tmp_path / name).write_text(text)
    (tmp_path / "numbers").write_text("1\n2\n")
    (tmp_path / "objects").write_text('{"n": 1}\n{"n": 2}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("lionpride_exec_target_"):
            del sys.modules[name]


@pytest.mark.parametrize("journal", [None, "run.db"])
@pytest.mark.parametrize(("name", "source"), [("fetch", "numbers"), ("plain", "numbers"), ("Fetch", "objects")])
def test_it_surrounds_the_run(name, source, journal):
    """It is entered once, before the first line, and left once, after the last one."""
    assert run(f"target.py:{name}", source, output="out", quiet=True, journal=journal) == 0
    assert Path("notes").read_text().split() == ["opened", "used", "used", "closed"]
    assert '"response": 8' in Path("out").read_text()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("journal", [None, "run.db"])
@pytest.mark.parametrize("name", ["Plain", "Own"])
def test_it_surrounds_the_events_of_an_executor_class(name, journal, backend):
    """It does so whether the class passes it or not, and is entered once."""
    options = {"output": "out", "quiet": True, "journal": journal, "backend": backend}
    assert run(f"target.py:{name}", "objects", **options) == 0
    assert Path("notes").read_text().split() == ["opened", "used", "used", "closed"]
    assert '"response": 8' in Path("out").read_text()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_executor_class_keeps_its_own(backend):
    """That of the module is not entered."""
    assert run("target.py:Other", "objects", output="out", quiet=True, backend=backend) == 1
    assert Path("notes").read_text().split() == ["another", "used", "used"]
    assert "made without lifespan=lifespan" in Path("out").read_text()


def test_one_that_takes_an_argument_belongs_to_something_else():
    assert run("web.py:fetch", "numbers", output="out", quiet=True) == 0
    assert len(Path("out").read_text().splitlines()) == 2


def frames_in(lines):
    """Return the functions of the frames of a traceback."""
    assert lines[0] == "  Traceback (most recent call last):"
    return [line.rpartition(" ")[2] for line in lines if line.startswith("    File ")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_that_fails_ends_the_run_before_the_first_line(capsys, backend):
    """Its error is told with its own frames, and no line has run."""
    assert run("broken.py:fetch", "numbers", output="out", quiet=True, backend=backend) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "lionpride-exec: cannot start: OSError: no route to host"
    assert frames_in(rest) == ["lifespan"]
    assert rest[-1] == "  OSError: no route to host"
    assert not Path("out").exists() or not Path("out").read_text()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_that_fails_at_the_end_is_told_with_its_own_frames(capsys, backend):
    """The results are there, and the exit status is 1."""
    Path("target.py").write_text(TARGET.replace('note("closed")', 'Path("nowhere/file").unlink()'))
    assert run("target.py:fetch", "numbers", output="out", backend=backend, progress="none") == 1
    first, *rest, summary = capsys.readouterr().err.splitlines()
    assert first.startswith("lionpride-exec: FileNotFoundError: [Errno 2] No such file or directory: ")
    assert first.endswith("; stopped")
    assert frames_in(rest) == ["lifespan", "unlink"]
    assert summary.startswith("lionpride-exec: 2 lines: 2 completed; ")
    assert len(Path("out").read_text().splitlines()) == 2
