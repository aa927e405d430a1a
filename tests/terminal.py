"""A terminal for tests: a stream that shows what a person would see after each write."""

import codecs
import fcntl
import io
import os
import pty
import re
import struct
import termios

# What the displays write: text, the end of a line, the beginning of a line, and control sequences.
PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


# The end of what was read may be the beginning of one.
UNFINISHED = re.compile(r"(\x1b(\[[0-9;?]*)?|\r)\Z")


class Terminal(io.StringIO):
    """
    A terminal that follows the cursor. It is never full, and its lines do not wrap.

    Attributes:
        lines: The lines on the screen.
        screens: The screen after each flush, without equal neighbours.
        has_cursor: Whether the cursor is shown.
    """

    encoding = "utf-8"

    def __init__(self):
        super().__init__()
        self.lines, self.row, self.column = [""], 0, 0
        self.screens = []
        self.has_cursor = True

    def isatty(self):
        """Return True: this is a terminal."""
        return True

    def write(self, text):
        """Take text and control sequences."""
        for numbers, control, move, plain in PIECE.findall(text):
            if move == "\r":
                self.column = 0
            elif move:
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif plain:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + len(plain) :]
                self.column += len(plain)
            else:
                self.control(control, numbers)
        return len(text)

    def control(self, control, numbers):
        """Take a control sequence. Colours are left out. Others must be known."""
        if control == "A":
            self.row -= int(numbers or 1)
            assert self.row >= 0, "the cursor has left the screen"
        elif control == "K":
            self.lines[self.row] = "" if numbers == "2" else self.lines[self.row][: self.column]
        elif control in "hl":
            self.has_cursor = control == "h"
        else:
            assert control == "m", (control, numbers)

    def flush(self):
        """Remember what is shown now."""
        if not self.screens or self.screens[-1] != self.shown:
            self.screens.append(self.shown)

    @property
    def shown(self):
        """The screen without empty lines and blanks at the ends."""
        return [line.rstrip() for line in self.lines if line.strip()]


class RealTerminal:
    """
    A terminal of the system, for a child process.

    Attributes:
        child_end: The file descriptor for the child. Close it once the child has it.
        terminal: What the child has written so far.
    """

    def __init__(self, columns=80, rows=24):
        self._end, self.child_end = pty.openpty()
        fcntl.ioctl(self.child_end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.terminal = Terminal()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""

    def read(self):
        """Wait until the child writes. Return whether it still has its end."""
        try:
            data = os.read(self._end, 65536)
        except OSError:  # how Linux says that the last writer has gone
            return False
        text = self._rest + self._decoder.decode(data)
        whole = UNFINISHED.sub("", text)
        self._rest = text[len(whole) :]
        self.terminal.write(whole.replace("\r\n", "\n"))
        self.terminal.flush()
        return True

    def read_until(self, text):
        """Wait until the screen has a text."""
        while not any(text in line for line in self.terminal.shown):
            assert self.read(), self.terminal.shown

    def read_all(self):
        """Wait until the child has closed its end. Return the last screen."""
        while self.read():
            pass
        os.close(self._end)
        return self.terminal.shown
