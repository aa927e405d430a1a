"""``top`` on a terminal of the system: what it writes there, and how it leaves the terminal."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from cli_children import end_children, start
from full_screen import FullScreen

HERE = Path(__file__).parent
ENV = {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
CURSOR, OTHER_SCREEN, MOUSE = 25, 1049, 1000


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
