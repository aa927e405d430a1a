"""``top`` on a terminal of the system: what it writes there, and how it leaves the terminal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_children import COLD, end_children, gate, read_until, start
from full_screen import FullScreen

HERE = Path(__file__).parent
ENV = {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
STREAMS = ("stdin", "stdout", "stderr")
CURSOR, OTHER_SCREEN, MOUSE = 25, 1049, 1000

# Runs until the test writes a byte.
GATED = """
import os, anyio

async def gated(record):
    print("started", record["n"], flush=True, file=__import__("sys").stderr)
    await anyio.wait_readable(int(os.environ["GATE"]))
    os.read(int(os.environ["GATE"]), 1)
"""


@pytest.fixture(autouse=True)
def no_child_is_left():
    """End what a test has started."""
    yield
    end_children()


@pytest.fixture
def terminal():
    """Make a terminal."""
    made = FullScreen()
    yield made
    made.close()


def start_on(terminal, arguments, program):
    """Start a program with a terminal as its standard streams."""
    end = terminal.child_end
    return start(arguments, None, ENV, program, stdin=end, stdout=end, stderr=end)


def show(terminal, source):
    """Show a source of the tests."""
    return start_on(terminal, [source], [sys.executable, str(HERE / "top_program.py")])


@pytest.mark.parametrize(
    ("leave", "status"),
    [
        (lambda terminal, _: terminal.press("q"), 0),
        (lambda terminal, _: terminal.press("\x03"), 0),
        (lambda _, child: child.send_signal(signal.SIGTERM), 143),
    ],
    ids=["q", "ctrl-c", "sigterm"],
)
def test_the_terminal_is_left_as_it_was(terminal, leave, status):
    """Echo and lines are on again, the cursor is there, and the mouse and the other screen are not."""
    before = terminal.settings
    child = show(terminal, "plain")
    terminal.read_until("Limits nearest to full", child)
    assert terminal.settings != before
    assert {OTHER_SCREEN, MOUSE} <= terminal.modes
    leave(terminal, child)
    assert terminal.read_rest(child) == status
    assert terminal.settings == before
    assert CURSOR in terminal.modes
    assert not {OTHER_SCREEN, MOUSE} & terminal.modes


def test_ctrl_z_gives_the_terminal_back_for_a_while(terminal):
    """A stopped ``top`` leaves a sane terminal, and draws its screen again when it goes on."""
    before = terminal.settings
    child = show(terminal, "plain")
    terminal.read_until("Limits nearest to full", child)
    terminal.press("\x1a")
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    while terminal.read(0.1):
        pass
    assert terminal.settings == before
    assert OTHER_SCREEN not in terminal.modes
    terminal.resize(80, 24)
    child.send_signal(signal.SIGCONT)
    terminal.read_until("Limits nearest to full", child)
    terminal.press("q")
    assert terminal.read_rest(child) == 0
    assert terminal.settings == before


def test_texts_of_events_do_not_reach_the_terminal_as_they_are(terminal):
    """No control sequence of a text is written, on any screen."""
    child = show(terminal, "hostile")
    terminal.read_until("Limits nearest to full", child)
    for key, text in [
        ("f", "Failed events"),
        ("\r", "Times"),
        ("\x1b", "1 event, newest first"),
        ("c", "Cancel event"),
    ]:
        terminal.press(key)
        terminal.read_until(text, child)
    terminal.press("n")
    terminal.press("q")
    assert terminal.read_rest(child) == 0
    # What Textual writes itself: the shape of the pointer.
    written = re.sub(r"\x1b\]22;\w+\x07", "", terminal.written)
    for piece in ("\x1b[31mred", "\x1b]0;title", "\x07", "\x9b", "\u202e", "\ud800"):
        assert piece not in written
    assert "\\x1b[31mred" in terminal.written


def test_a_run_on_trio_that_another_process_writes(terminal, tmp_path, monkeypatch):
    """The counts of a journal change on the screen while its run goes on. A file that is away is told."""
    monkeypatch.chdir(tmp_path)
    Path("target.py").write_text(GATED)
    Path("in").write_text('{"n": 1}\n{"n": 2}\n')
    run = ["run", "target.py:gated", "in", "--output", "out", "--journal", "run.db", "--backend", "trio"]
    with gate() as (reading, open_gate):
        child = start(
            [*run, "--concurrency", "1"], reading, None, COLD, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        read_until(child.stderr, b"started 1")
        top = start_on(terminal, ["top", "run.db"], COLD)
        terminal.read_until("0 completed   0 failed   1 pending   1 processing", top)
        open_gate()
        terminal.read_until("1 completed   0 failed   0 pending   1 processing", top)
        open_gate()
        terminal.read_until("2 completed   0 failed   0 pending   0 processing", top)
        assert child.wait(30) == 0
    terminal.read_until("stopped", top)
    Path("run.db").rename("away.db")
    terminal.read_until("Cannot be read now: run.db: there is no such file.", top)
    Path("away.db").rename("run.db")
    terminal.read_while("Cannot be read now", top)
    terminal.press("q")
    assert terminal.read_rest(top) == 0
    assert "Traceback" not in terminal.written


@pytest.mark.parametrize(
    ("name", "arguments"), [("input", {"stdin": subprocess.DEVNULL}), ("output", {"stdout": subprocess.PIPE})]
)
def test_without_a_terminal(terminal, name, arguments):
    """Nothing is drawn where nobody could see it or press a key: a line says what to do instead."""
    end = terminal.child_end
    streams = {"stdin": end, "stdout": end, "stderr": subprocess.PIPE} | arguments
    child = start(["top", "run.db"], None, ENV, COLD, **streams)
    told = child.stderr.read().decode()
    assert child.wait(30) == 2
    instead = "'lionpride-exec inspect' writes plain text"
    assert told == f"lionpride-exec: top needs a terminal, but standard {name} is none; {instead}\n"
    assert not terminal.read(0)


def test_a_terminal_without_a_cursor(terminal):
    """A terminal that cannot move its cursor is refused."""
    streams = dict.fromkeys(STREAMS, terminal.child_end)
    child = start(["top", "run.db"], None, {"TERM": "dumb"}, COLD, **streams)
    assert terminal.read_rest(child) == 2
    assert "TERM is dumb" in "".join(terminal.shown)


def test_a_file_that_is_not_there(terminal, tmp_path, monkeypatch):
    """The screen is not taken."""
    monkeypatch.chdir(tmp_path)
    cases = [
        ("none.db", "none.db: there is no such file", 2),
        ("empty.db", "is empty", 1),
        ("http://127.0.0.1:1/", "cannot be read", 1),
    ]
    for name, words, status in cases:
        Path("empty.db").touch()
        child = start_on(terminal, ["top", name], COLD)
        terminal.read_until(words, child)
        assert terminal.read_rest(child) == status
        assert OTHER_SCREEN not in terminal.modes


def test_other_commands_import_no_textual():
    """What ``top`` needs costs the other commands nothing."""
    code = (
        "import sys, lionpride_exec, lionpride_exec.__main__ as program\n"
        "try: program.main(['inspect', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('textual')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  our own
    assert "Show how a run goes" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
