"""Docstrings of what is public: whatever ``docstring_rules.py`` asks of them, they say."""

import inspect

import pytest
from docstring_rules import problems_of, problems_of_function, sections
from public_api import public_classes, public_values

from lionpride_exec import AccessError

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run


@pytest.mark.parametrize("name", public_classes())
def test_a_class_says_what_is_asked_for(name):
    """Of itself, its constructor, its fields, its methods and its properties."""
    assert not list(problems_of(public_classes()[name]))


def test_a_function_says_what_is_asked_for():
    """Likewise; there may be none."""
    functions = {name: value for name, value in public_values().items() if inspect.isfunction(value)}
    assert not [f"{name}: {problem}" for name, value in functions.items() for problem in problems_of_function(value)]


# -------------------------------------------------------------------- the rules themselves


def check(number):
    """Refuse what is negative."""
    if number < 0:
        raise ValueError(number)


class Planted:
    """
    Breaks each rule.

    Args:
        grace: How long it waits.
        size: How large it is.
    """

    period: float = 1.0

    def __init__(self, grace: float, size: int, colour: str) -> None:
        check(size)

    def bare(self):
        pass

    @property
    def seconds_left(self) -> float:
        """What is left."""
        raise AccessError

    def wait(self, timeout: float = 1.0, times: int = 1) -> None:
        """
        Do it some times, with a timeout.

        Raises:
            NoSuchError: Sometimes.
        """
        self._refuse()

    async def run(self, speed: int) -> None:
        """Run."""

    def _refuse(self):
        raise KeyError


class Fine:
    """
    Keeps each rule.

    Args:
        grace: Seconds, 0 or more.
        size: At least 1.
        colour: Any.

    Attributes:
        period: In seconds.

    Raises:
        ValueError: The size is out of its bounds.
    """

    period: float = 1.0

    def __init__(self, grace: float, size: int, colour: str) -> None:
        check(size)

    @property
    def seconds_left(self) -> float:
        """
        How many seconds are left.

        Raises:
            LionprideError: None.
        """
        raise AccessError

    def wait(self, timeout: float = 1.0, times: int = 1) -> None:
        """
        Do it so many times, 1 to 3, with a timeout in seconds.

        Raises:
            LookupError: It is not there.
        """
        self._refuse()

    async def run(self, speed: int) -> None:
        """
        Run at a speed, 0 or more, and raise what :meth:`wait` raises.

        Cancellation: at once.
        """
        self._refuse()

    def read(self) -> None:
        """Read; there is nothing that could not be read."""
        try:
            self._refuse()
        except KeyError:
            self.is_there = False

    def _refuse(self):
        raise KeyError


def test_what_is_missing_is_told():
    """All of it: names, units, ranges, errors, cancellations, whole docstrings."""
    assert list(problems_of(Planted)) == [
        "Planted: the parameter colour is not described",
        "Planted: the time grace has no unit",
        "Planted: the number size has no range",
        "Planted: ValueError is raised but not documented",
        "Planted: the time period has no unit",
        "Planted.bare: the docstring is missing",
        "Planted.run: the parameter speed is not described",
        "Planted.run: the coroutine function does not describe cancellation",
        "Planted.seconds_left: the time seconds_left has no unit",
        "Planted.seconds_left: AccessError is raised but not documented",
        "Planted.wait: the time timeout has no unit",
        "Planted.wait: the number times has no range",
        "Planted.wait: no error has the name NoSuchError",
        "Planted.wait: KeyError is raised but not documented",
    ]


def test_what_is_there_is_seen():
    """In entries or in a sentence, by a base, or where it refers to."""
    assert not list(problems_of(Fine))


def test_a_function_is_held_to_the_same():
    """It has no class that could speak for it."""
    assert list(problems_of_function(check)) == [
        "the parameter number is not described",
        "ValueError is raised but not documented",
    ]


def test_an_entry_goes_on_in_the_next_lines():
    """And ends at the next one, or at the next section; sections of one name are taken together."""
    document = (
        "First.\n\nArgs:\n    a: One\n        two.\n    b: Three.\n\nText.\n\nRaises:\n    E: x\n\nRaises:\n    F: y"
    )
    assert sections(document) == {
        "Args": {"a": "One two.", "b": "Three."},
        "Attributes": {},
        "Raises": {"E": "x", "F": "y"},
    }
