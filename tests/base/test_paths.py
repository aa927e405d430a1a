"""Paths into records."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import field_paths

MISSING = field_paths.MISSING
is_inside = field_paths.is_inside
look_up = field_paths.look_up
look_up_field = field_paths.look_up_field

NAMES = st.text(st.sampled_from("ab.0"), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", 1),
        ("b.c", 2),
        ("b.c.d", 3),
        ("b.e.f", 4),
        ("list.0.role", "user"),
        ("list.1", None),
        ("list.2", MISSING),
        ("list.-1", MISSING),
        ("list.x", MISSING),
        ("list.\N{ARABIC-INDIC DIGIT ZERO}", MISSING),
        ("a.b", MISSING),
        ("b.", MISSING),
        (".b", MISSING),
        ("", MISSING),
    ],
)
def test_a_path_leads_into_a_record(path, found):
    """A name that is all that is left of the path wins, at each level; None is a value."""
    record = {"a": 1, "b": {"c": {"d": 5}, "c.d": 3, "e.f": 4}, "b.c": 2, "b.c.d": 3, "list": [{"role": "user"}, None]}
    assert look_up(record, path) == found


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner)), NAMES)
def test_a_name_at_the_top_always_wins(record, name):
    """Whatever else the path could mean."""
    found = look_up({"x": record, name: "literal"}, name)
    assert found == "literal"
    assert look_up({"x": record}, f"x.{name}") is look_up(record, name)


@pytest.mark.parametrize("value", [None, 1, "text", "0"])
def test_what_has_no_fields_has_nothing(value):
    """Texts too: an index of one is no field."""
    assert look_up(value, "0") is MISSING
    assert look_up({"a": value}, "a.0") is MISSING


def test_a_path_may_begin_with_an_attribute():
    """As for an event: what is inside the attribute is data."""
    event = SimpleNamespace(body={"model": "m"}, n=1)
    assert look_up_field(event, "n") == 1
    assert look_up_field(event, "body.model") == "m"
    assert look_up_field(event, "body.other") is MISSING
    assert look_up_field(event, "other.model") is MISSING
    assert look_up_field(event, "other") is MISSING


def test_what_is_inside_of_a_path():
    """The same path, and those that go on from it; not a name that only begins like it."""
    assert is_inside("a.b", "a.b")
    assert is_inside("a.b", "a")
    assert not is_inside("a", "a.b")
    assert not is_inside("ab", "a")
