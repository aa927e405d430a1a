"""A terminal of the system for a child that draws on the whole screen."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import termios

# A control sequence, a string that ends with ST or BEL, another escape, a line break, or text.
PIECE = re.compile(
    r"\x1b\[(?P<numbers>[0-9;:?><=]*)(?P<middle>[ -/]*)(?P<control>[@-~])"
    r"|\x1b(?P<string>[\]P_^X])[^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b(?P<other>[ -/]*[0-~])"
    r"|(?P<move>[\r\n\b])"
    r"|(?P<plain>[^\x1b\r\n\b]+)"
)
# The end of what was read may be the beginning of a piece.
UNFINISHED = re.compile(r"\x1b(\[[0-9;:?><= -/]*|[\]P_^X][^\x07\x1b]*)?\Z")


class FullScreen:
    """
    A terminal whose screen is followed. Its sequences may move the cursor, clear, and set modes and colours.

    Attributes:
        child_end: The file descriptor for the child. It stays open, so that its settings can be read.
        modes: The private modes that are set: 25 the cursor (set at first), 1049 the other screen, 1000 the mouse.
    """

    def __init__(self, columns=80, rows=24):
        self._end, self.child_end = pty.openpty()
        self.columns, self.rows = columns, rows
        self.resize(columns, rows)
        self.modes = {25}
        self.written = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""

    def resize(self, columns, rows):
        """Give the terminal another size. The child gets its signal from the test."""
        fcntl.ioctl(self.child_end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.columns, self.rows = columns, rows
        self.row = self.column = 0
        self.lines = [[" "] * columns for _ in range(rows)]

    @property
    def settings(self):
        """The settings of the terminal: echo, canonical mode, signals."""
        return termios.tcgetattr(self.child_end)

    @property
    def shown(self):
        """The lines on the screen."""
        return ["".join(line).rstrip() for line in self.lines]

    def press(self, keys):
        """Write what the terminal sends for keys."""
        os.write(self._end, keys.encode())

    def read_until(self, text, child):
        """Read until a line of the screen has a text, as long as the child lives."""
        while not any(text in line for line in self.shown):
            assert self.read(1.0) or child.poll() is None, self.shown

    def read_while(self, text, child):
        """Read as long as a line of the screen has a text, and the child lives."""
        while any(text in line for line in self.shown):
            assert self.read(1.0) or child.poll() is None, self.shown

    def read_rest(self, child):
        """Read until the child has ended. Return its exit status."""
        while child.poll() is None:
            self.read(0.1)
        while self.read(0.0):
            pass
        return child.returncode

    def read(self, seconds):
        """Read what the child has written. Return whether there was anything."""
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        text = self._rest + self._decoder.decode(os.read(self._end, 65536))
        self.written += text[len(self._rest) :]
        whole = UNFINISHED.sub("", text)
        self._rest = text[len(whole) :]
        for piece in PIECE.finditer(whole):
            self._take(piece)
        return True

    def close(self):
        """Close both ends."""
        os.close(self._end)
        os.close(self.child_end)

    def _take(self, piece):
        if piece["plain"]:
            for letter in piece["plain"]:
                if self.row < self.rows and self.column < self.columns:
                    self.lines[self.row][self.column] = letter
                self.column += 1
        elif piece["move"] == "\r":
            self.column = 0
        elif piece["move"] == "\n":
            self.row, self.column = self.row + 1, 0
        elif piece["control"] == "H":
            row, _, column = piece["numbers"].partition(";")
            self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
        elif piece["control"] == "J":
            self.lines = [[" "] * self.columns for _ in range(self.rows)]
        elif piece["control"] in {"h", "l"} and piece["numbers"].startswith("?"):
            modes = {int(number) for number in piece["numbers"][1:].split(";")}
            self.modes = self.modes | modes if piece["control"] == "h" else self.modes - modes
