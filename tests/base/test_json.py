"""JSON-safe forms of values and errors."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, IntEnum, StrEnum
from math import inf, isnan, nan
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import error_form, error_of, id_of, json_form

from lionpride_exec import Element, ExecutionError, Unset
from lionpride_exec.errors import AccessError

UNSERIALIZABLE = "<unserializable>"


ID = UUID(int=5)


class Color(Enum):
    RED = ("r", 1)


class Level(IntEnum):
    HIGH = 3


class Name(StrEnum):
    A = "a"


@dataclass
class Point:
    x: int
    at: UUID


@attrs.define
class Sized:
    size: int
    tags: set = attrs.Factory(set)


class WithDict:
    def to_dict(self):
        return {"id": ID}


class Angry:
    """Fails whenever it is looked at."""

    def to_dict(self):
        raise OSError

    def __str__(self):
        raise OSError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: (1, 2.5), None: {"x"}}, {"1": [1, 2.5], "None": ["x"]}),
        ({ID: ID, Color.RED: 1, Name.A: 2}, {str(ID): str(ID), "Color.RED": 1, "a": 2}),
        ([True, None, "a", 1], [True, None, "a", 1]),
        ([Color.RED, Level.HIGH, Name.A], [["r", 1], 3, "a"]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (b"a\xff", "Yf8="),
        (Point(1, ID), {"x": 1, "at": str(ID)}),
        (Sized(2, {3}), {"size": 2, "tags": [3]}),
        (WithDict(), {"id": str(ID)}),
        ([Unset], [None]),
        (ValueError("no"), {"error": "ValueError", "message": "no"}),
        (object(), UNSERIALIZABLE),
        ([Angry(), 1], [UNSERIALIZABLE, 1]),
        ({Angry(): 1}, {UNSERIALIZABLE: 1}),
        (Point, repr(Point)),
        (lambda: None, "<function <lambda>>"),
    ],
    ids=id_of,
)
def test_usual_forms(value, expected):
    """What has a usual form gets it, at any depth; all else is marked."""
    result = json_form(value)
    assert result == expected
    json.dumps(result, allow_nan=False)


def test_enums_lose_their_class():
    """Members become plain values, also those that are ints or strings."""
    assert [type(value) for value in json_form([Level.HIGH, Name.A])] == [int, str]


def test_floats_stay_floats():
    """NaN and infinities are left to whoever writes the text."""
    assert isnan(json_form(nan))
    assert json_form([inf]) == [inf]


def test_what_contains_itself_is_marked():
    """A cycle ends at once; what merely occurs twice is written twice."""
    cyclic = [1]
    cyclic.append({"again": cyclic})
    assert json_form(cyclic) == [1, {"again": UNSERIALIZABLE}]
    shared = [1]
    assert json_form([shared, shared]) == [[1], [1]]
    error = ExecutionError("no")
    error.details["self"] = error
    assert json_form(error)["details"] == {"self": UNSERIALIZABLE}


def test_what_is_nested_too_deeply_is_marked_where_it_begins():
    """Neither the walk nor json.dumps() runs out of stack."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert UNSERIALIZABLE in json.dumps(json_form([deep, 1]))
    assert error_form(ExecutionError("no", details={"deep": deep}))["message"] == "no"
    fine = []
    for _ in range(150):
        fine = [fine]
    assert json.loads(json.dumps(json_form(fine))) == fine


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.uuids(), st.datetimes(),
                  st.complex_numbers()),
        lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text() | st.uuids(), inner),
    )
)  # fmt: skip
def test_it_gives_json(value):
    """Whatever comes in, json.dumps() takes what comes out, and a second pass changes nothing."""
    result = json_form(value)
    assert json_form(result) == result == json.loads(json.dumps(result))


def test_errors_of_ours_tell_more():
    """Retryable and details are kept, the details in JSON-safe form; an override that fails loses only itself."""

    class Odd(ExecutionError):
        def to_dict(self):
            raise OSError

    assert error_form(AccessError("no", details={"id": ID})) == {
        "error": "AccessError",
        "message": "no",
        "retryable": False,
        "details": {"id": str(ID)},
    }
    assert error_form(Odd("no")) == {"error": "Odd", "message": "no"}


def test_a_restored_error_tells_what_the_original_was():
    """Class, message, details and retryable come back; writing and reading it again changes nothing."""
    restored = error_of(error_form(AccessError("no", details={"a": 1})))
    assert type(restored) is ExecutionError
    assert str(restored) == "AccessError: no"
    assert restored.details == {"a": 1, "error": "AccessError"}
    assert restored.retryable is False
    again = error_of(error_form(restored))
    assert (str(again), again.details, again.retryable) == (str(restored), restored.details, False)


def test_a_restored_group_is_a_group():
    """At any depth, with the message it was made with, however often it is written and read."""
    group = BaseExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("a")]), KeyboardInterrupt()])
    for _ in range(3):
        group = error_of(error_form(group))
    assert group.message == "outer"
    assert group.exceptions[0].message == "inner"
    assert str(group.exceptions[0].exceptions[0]) == "ValueError: a"
    assert "KeyboardInterrupt" in str(group.exceptions[1])


def test_a_group_that_says_it_contains_itself():
    """Its members are those that it was made of, whatever a property tells."""

    class Loop(ExceptionGroup):
        @property
        def exceptions(self):
            return (self, ValueError("a"))

    assert error_form(Loop("loop", [ValueError("b")]))["exceptions"] == [{"error": "ValueError", "message": "b"}]


def test_text_that_utf8_cannot_hold():
    """to_json() escapes half a surrogate pair, in text and in bytes, and from_json() gives it back."""
    element = Element(metadata={"path": "\udcff é"})
    text, encoded = element.to_json(), element.to_json(decode=False)
    assert text.encode() == encoded
    assert Element.from_json(encoded).metadata == Element.from_json(text).metadata == element.metadata
