"""Plain functions for threads and processes. The processes import this module."""

import os
import sys
import time
from functools import partial
from pathlib import Path

from lionpride_exec import Event, RateLimited, Skip


def double(number, *, plus=0):
    """Return twice the number."""
    return 2 * number + plus


def process_of(_=None):
    """Return the id of the process that runs this."""
    return os.getpid()


def fail(text):
    """Raise an error that can be pickled."""
    raise ValueError(text)


def skip(text):
    """Ask not to be run."""
    raise Skip(text)


def refuse(seconds):
    """Ask for a pause."""
    raise RateLimited(retry_after=seconds)


class Odd(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def fail_oddly(_):
    """Raise an error that cannot be read again."""
    raise Odd("odd", 2)


def unsendable(_):
    """Return what cannot be pickled."""
    return lambda: None


def leave(code):
    """End the program, in the way of a script."""
    sys.exit(code)


def die(_=None):
    """End the process at once."""
    os._exit(3)


def die_at(number, bad, directory):
    """Note that this runs. End the process at one number."""
    note(directory, number)
    if number == bad:
        os._exit(3)
    return number


def note(directory, name):
    """Leave a file for each time that this is called."""
    with (Path(directory) / str(name)).open("a") as file:
        file.write(f"{os.getpid()}\n")


def wait_for(name, directory):
    """Say that this runs, and wait until a file is there."""
    note(directory, f"{name}.began")
    while not (Path(directory) / f"{name}.go").exists():
        time.sleep(0.005)  # a process can only look again and again
    return name


def wait_at(number, bad, directory):
    """Return at once, but wait for a file at one number."""
    note(directory, number)
    return wait_for(number, directory) if number == bad else number


def wait_until_begun(name, directory):
    """Wait in the test until ``wait_for()`` runs."""
    path = Path(directory) / f"{name}.began"
    while not (path.exists() and path.stat().st_size):  # written, and not only opened
        time.sleep(0.005)  # likewise


async def returns_later():
    """Do nothing."""


def returns_coroutine(_):
    """Return what nobody awaits."""
    return returns_later()


def generate(_):
    """Yield."""
    yield 1


class Doubler:
    """Callable, and with a method."""

    def __call__(self, number):
        return double(number)

    def method(self, number):
        """Return twice the number."""
        return double(number)


FUNCTIONS = [double, partial(double, plus=0), Doubler(), Doubler().method]


class Parse(Event[int], tag="offload.parse", run_in="process"):
    """Parses in a process."""

    text: str

    def _invoke(self):
        self.text = "changed"
        return int(self.text_of_number())

    def text_of_number(self):
        """Return the number of the metadata, or of the text as it was."""
        return self.metadata.get("number", os.getpid())


class Asks(Event, tag="offload.asks", run_in="process"):
    """Asks in a process for what is only in the program."""

    question: str

    def _invoke(self):
        return {"settle": lambda: self.settle(1), "after_results": self.after_results}[self.question]()


class Read(Event[str], tag="offload.read", run_in="thread"):
    """Reads in a thread."""

    text: str

    def _invoke(self):
        return self.text.upper()
