"""A field of an event comes back from a journal as it was, or is refused with its name."""

import datetime as dt
import enum
import math
import sqlite3
import sys
import tempfile
import uuid
from collections import OrderedDict, namedtuple
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lionpride_exec import Event, Executor, Journal, Unset
from lionpride_exec.errors import ValidationError

pytestmark = pytest.mark.anyio

BERLIN, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Zone(dt.tzinfo):
    """As dateutil's or pytz's: nobody can find it by a name."""

    def utcoffset(self, _moment):
        return dt.timedelta(hours=1)

    def dst(self, _moment):
        return None

    def tzname(self, _moment):
        return "X"


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  plain ones are what is meant


@dataclass
class Span:
    begin: dt.datetime
    weight: float = 0.0


@attrs.frozen
class Holder:
    spans: tuple[Span, ...]
    zone: str = ""


class Rec(msgspec.Struct):
    at: dt.datetime
    price: float


class Open(Event, tag="tests.fields.open"):
    value: Any = None

    async def _invoke(self):
        return None


class Typed(Event, tag="tests.fields.typed"):
    text: str = ""
    number: int = 0
    real: float = 0.0
    maybe: float | None = None
    when: dt.datetime | None = None
    clock: dt.time | None = None
    span: dt.timedelta | None = None
    price: Decimal | None = None
    names: tuple[str, ...] = ()
    reals: list[float] | None = None
    table: dict[str, int] | None = None
    things: set[int] | None = None
    holder: Holder | None = None
    rec: Rec | None = None
    pair: Pair | None = None
    path: Path | None = None
    other: Event | None = None

    async def _invoke(self):
        return None


class Doubles(Event, tag="tests.fields.doubles"):
    """Its converter changes what it is given, each time."""

    number: int = attrs.field(default=0, converter=lambda value: 2 * value)

    async def _invoke(self):
        return None


opened = []  # the portal, the executor and the file of the journal that this module has open


@pytest.fixture(scope="module", autouse=True)
def journal(tmp_path_factory):
    """Have a journal open, in another thread, as long as the tests of this module run."""
    path = tmp_path_factory.mktemp("fields") / "run.db"
    with start_blocking_portal() as portal:
        executor = portal.call(lambda: Executor.of(Event, journal=Journal(path, synchronous="NORMAL", ack="strict")))
        with portal.wrap_async_context_manager(executor):
            opened.append((portal, executor, path))
            yield
            opened.clear()


def sql(statement, *values):
    """Run a statement on the file of the journal."""
    with closing(sqlite3.connect(opened[0][2])) as connection, connection:
        return connection.execute(statement, values).fetchall()


def keep(event, **options):
    """Have the journal keep an event until it has ended. Return the event that the key, if there is one, stands for."""
    portal, executor, _ = opened[0]

    async def append_and_forget():
        kept = await executor.append(event, **options)
        await kept.wait()
        await executor.cleanup_events()
        return kept

    return portal.call(append_and_forget)


def fetch(event):
    """Return the event that the journal makes of what it has kept of an event."""
    portal, executor, _ = opened[0]
    return portal.call(executor.get, event.id)


def through(event):
    """Have the journal keep an event. Return what it makes of it."""
    keep(event)
    found = fetch(event)
    assert found is not event
    return found


def stored(event):
    """Have the journal keep an event. Return what stands in the file."""
    keep(event)
    ((text,),) = sql("SELECT event FROM event WHERE id = ?", event.id.bytes)
    return text


numbers = count()


def response_through(value, *kinds):
    """Return the response that the journal gives back, of an event that returns a value of this kind."""

    class Answer(Event[kinds[0]] if kinds else Event, tag=f"tests.fields.answer_{next(numbers)}"):
        async def _invoke(self):
            return value

    return through(Answer()).execution.response


def is_same(one, other):  # noqa: PLR0911  a table of kinds
    """Whether two values are equal and of the same type, at any depth; written anew, for the sake of the test."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, dt.datetime | dt.time):
        zones = getattr(one.tzinfo, "key", one.tzinfo), getattr(other.tzinfo, "key", other.tzinfo)
        return repr(one) == repr(other) and zones[0] == zones[1] and one.utcoffset() == other.utcoffset()
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return is_same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, Span | Holder | Rec):
        names = getattr(type(one), "__match_args__", None) or type(one).__struct_fields__
        return all(is_same(getattr(one, name), getattr(other, name)) for name in names)
    return one == other


def moments():
    zones = st.sampled_from(
        [None, dt.UTC, dt.timezone(dt.timedelta(hours=-3, minutes=30)), BERLIN, NEW_YORK, LORD_HOWE]
    )
    naive = st.datetimes(min_value=dt.datetime(1850, 1, 1), max_value=dt.datetime(2100, 1, 1))  # noqa: DTZ001  naive
    near = st.sampled_from([dt.datetime(2026, 10, 25, 2, 30), dt.datetime(2026, 3, 29, 2, 30)])  # noqa: DTZ001  naive
    return st.builds(
        lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold), naive | near, zones, st.sampled_from([0, 1])
    )


NUMBERS = st.integers() | st.floats() | st.booleans() | st.integers(min_value=2**60, max_value=2**70)
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=5)
LEAVES = st.one_of(
    st.none(), NUMBERS, TEXTS, st.binary(max_size=3), moments(), st.times(), st.timedeltas(), st.decimals(), st.uuids(),
    st.sampled_from([Color.RED, Level.HIGH, Text("a"), Number(5), Pair(1, 2), Path("a"), object, OrderedDict(a=1)]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(TEXTS | st.integers(), inner, max_size=3),
        st.frozensets(st.integers(), max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(VALUES)
def test_a_field_comes_back_as_it_was_or_is_refused(value):
    """Equal in value and in type at any depth; else a ValidationError that names class and field."""
    try:
        found = through(Open(value=value)).value
    except ValidationError as exc:
        assert str(exc).startswith("Open.value cannot be kept in a journal: ")  # noqa: PT017  either is right
    else:
        assert is_same(value, found)


@QUICK
@given(st.data())
def test_a_typed_field_comes_back_as_it_was_or_is_refused(data):
    """Whatever stands in it."""
    name = data.draw(st.sampled_from([field.name for field in attrs.fields(Typed)][8:]))
    special = st.one_of(
        moments(), NUMBERS, TEXTS, st.lists(NUMBERS, max_size=3), st.lists(TEXTS, max_size=3),
        st.dictionaries(TEXTS, NUMBERS, max_size=2), st.sets(NUMBERS, max_size=2), st.times(timezones=st.timezones()),
        st.builds(Rec, moments(), NUMBERS), st.builds(lambda at, n: Holder((Span(at, n),)), moments(), NUMBERS),
        st.builds(Pair, NUMBERS, TEXTS), st.timedeltas(), st.decimals(),
    )  # fmt: skip
    value = data.draw(special)
    try:
        found = getattr(through(Typed(**{name: value})), name)
    except ValidationError as exc:
        assert str(exc).startswith(f"Typed.{name} cannot be kept in a journal: ")  # noqa: PT017  as above
    else:
        assert is_same(value, found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("when", dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),  # the second of the two
        ("when", dt.datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)),  # a time that was never on a clock
        ("when", dt.datetime(1850, 1, 1, tzinfo=BERLIN)),  # an offset with seconds
        ("when", dt.datetime(2026, 1, 1, fold=1)),  # noqa: DTZ001  naive
        ("clock", dt.time(12, tzinfo=BERLIN)),
        ("clock", dt.time(2, 30, tzinfo=dt.UTC)),
        ("real", 3), ("real", math.inf), ("real", -0.0), ("real", math.nan), ("maybe", -math.inf), ("number", 2**70),
        ("number", -(10**5000)), ("text", "\ud800"), ("names", ("a", "\udfff")), ("reals", [1, 2.5, math.inf]),
        ("table", {"\ud83d": 1}), ("price", Decimal("1.10")), ("span", dt.timedelta(microseconds=-1)),
        ("holder", Holder((Span(dt.datetime(2026, 1, 1, tzinfo=NEW_YORK), 1),), "x")),
        ("rec", Rec(dt.datetime(2026, 7, 1, tzinfo=BERLIN), 2)), ("path", Path("a/b")), ("things", {1, 2}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_json_has_no_word_for_comes_back(name, value):
    """Zone, fold, int where a float is asked for, infinities, very long ints, half a surrogate pair."""
    assert is_same(value, getattr(through(Typed(**{name: value})), name))


@pytest.mark.parametrize(
    "value",
    [(1, (2, [3, ()])), {"a": (1,)}, {"cut": "\ud83d", "n": [1, (10**5000, -math.inf)]}, [math.nan], [{"a": ()}]],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_tuples_and_what_json_text_can_carry_come_back_from_an_open_field(value):
    """A function that was given a tuple is given a tuple after a restart too."""
    assert is_same(value, through(Open(value=value)).value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Open(), "holds an event.*keep the event's id"),
        ([Open()], "holds an event.*keep the event's id"),
        ({"a": [{"b": (Open(),)}]}, "holds an event.*keep the event's id"),
        (Unset, "UnsetType"),
        (object(), "object"),
        ([lambda: 1], "function"),
        (sys.stdin, "unsupported"),
        (Text("a"), "Text"),
        (Color.RED, "would come back as 'red'"),
        (dt.datetime(2026, 1, 1, tzinfo=BERLIN), "would come back as '2026"),
        (dt.date(2026, 1, 1), "annotate the field with its type"),
        ({1: 2}, "would come back as"),
        ({1, 2}, "would come back as"),
        (Pair(1, 2), "would come back as"),
        (OrderedDict(a=1), "OrderedDict"),
        (Decimal(1), "would come back as"),
        (uuid.UUID(int=1), "would come back as"),
        ([[[b"a"]]], "would come back as"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_a_refusal_names_the_field(tmp_path, value, message):
    """append() raises ValidationError, and nothing is left."""
    async with Executor.of(Open, journal=Journal(tmp_path / "run.db")) as executor:
        with pytest.raises(ValidationError, match=rf"Open\.value cannot be kept in a journal: .*{message}"):
            await executor.append(Open(value=value))
        assert sum(executor.status_counts().values()) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("when", dt.datetime(2026, 1, 1, tzinfo=Zone())),
        ("when", dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET"))),
        ("when", dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=3601)))),
        ("number", True), ("number", 1.5), ("real", True), ("real", "1"), ("text", 5), ("price", 1.5),
        ("other", Open()), ("names", [1]), ("things", {True}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_typed_field_that_would_come_back_as_another_is_refused(name, value):
    """Another zone, a name of a zone that is lost, a bool that is taken for a number."""
    with pytest.raises(ValidationError, match=rf"Typed\.{name} cannot be kept in a journal: "):
        through(Typed(**{name: value}))


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (str | dt.date, "more than one str-like type"),
        (list[str | Path], r"`str \| pathlib\.(_local\.)?Path` is not supported"),
        (dict[enum.Enum("Mixed", {"A": 1, "B": "b"}), int], "Enums must contain either all str or all int"),
    ],
    ids=["two texts", "path", "enum"],
)
def test_an_annotation_that_cannot_be_read_is_refused_with_its_field(hint, message):
    """The field is named, and nothing that the class does not say."""

    class Odd(Event, tag=f"tests.fields.{message}"):
        fine: int = 0
        value: hint = None

        async def _invoke(self):
            return None

    with pytest.raises(TypeError, match=rf"a journal cannot keep .*Odd\.value: .*{message}") as caught:
        through(Odd())
    assert "UnsetType" not in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": math.inf},
        {"a": [{"b": (math.nan, 1)}]},
        {"a": 2**70, "b": -math.inf, "cut": "\ud800"},
        {"a": {1}, "b": math.inf},
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_in_metadata_come_back(metadata):
    """The rest is as JSON has it: lists for tuples and sets."""
    found = through(Open(metadata=metadata)).metadata
    assert repr(found) == repr(metadata).replace("(nan, 1)", "[nan, 1]").replace("{1}", "[1]")


def test_a_converter_does_not_run_twice():
    """What was kept is what it had made."""
    assert through(Doubles(number=4)).number == 8


def test_an_event_that_may_be_none_can_be_none():
    """Its class is not refused for the annotation alone."""
    assert through(Typed(text="a")).other is None


def test_rules_of_a_zone_may_change():
    """Then the moment stays."""
    event = Typed(when=dt.datetime(2026, 7, 1, 12, tzinfo=BERLIN))
    text = stored(event).replace(b"12:00:00+02:00", b"12:00:00+05:00")
    sql("UPDATE event SET event = ? WHERE id = ?", text, event.id.bytes)
    found = fetch(event).when
    assert found == dt.datetime(2026, 7, 1, 7, tzinfo=dt.UTC)
    assert found.tzinfo is BERLIN


def test_a_new_version_reads_what_was_carried_aside():
    """_upgrade() is given the real value."""

    class First(Event, tag="tests.fields.version"):
        value: Any = None

        async def _invoke(self):
            return None

    event = First(value={"cut": "\ud83d"})
    text = stored(event).replace(b"fields.version", b"fields.other")
    sql("UPDATE event SET event = ? WHERE id = ?", text, event.id.bytes)

    class Second(Event, tag="tests.fields.other", version=2):
        length: int = 0

        async def _invoke(self):
            return None

        @classmethod
        def _upgrade(cls, data, _version):
            return {"length": len(data.pop("value")["cut"]), **data}

    assert fetch(event).length == 1


def test_a_journal_file_shows_plain_data():
    """Beside the data stands what is mended, and only where something is."""
    assert b"fixes" not in stored(Open(value=[1, 2.5, "ä", None, True]))
    data = msgspec.json.decode(stored(Open(value=[(1, 2)])))
    assert data["data"]["value"] == [[1, 2]]
    assert data["fixes"] == [[["value", 0], "tuple"]]


async def test_the_journal_itself_gives_them_back():
    """From the file, at the next start."""
    values = [(1, 2), {"cut": "\ud83d"}, 10**5000, math.inf]
    with tempfile.TemporaryDirectory() as folder:
        async with Executor.of(Open, journal=Journal(Path(folder) / "run.db")) as executor:
            events = [
                await executor.append(Open(value=value, created_at=dt.datetime(2026, 1, 1, tzinfo=BERLIN)))
                for value in values
            ]
            executor.pause()
            await executor.stop()
        async with Executor.of(Open, journal=Journal(Path(folder) / "run.db")) as executor:
            for event, value in zip(events, values, strict=True):
                found = await executor.get(event.id)
                assert is_same(found.value, value)
                assert found.created_at.tzinfo is BERLIN


# ---------------------------------------------------------------- responses and keys


@dataclass
class Window:
    begin: dt.datetime
    zones: list[dt.datetime]


MOMENT = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (dt.datetime, MOMENT), (Window, Window(MOMENT, [MOMENT.replace(tzinfo=NEW_YORK)])), (dt.time, MOMENT.timetz()),
        (dict[str, dt.datetime], {"a": MOMENT}), (float, 3), (float, 0.5), (Path, Path("a/b")), (bytes, b"\x00\xff"),
        (dt.timedelta, dt.timedelta(days=-1, microseconds=1)), (Decimal, Decimal("1.10")), (set[int], {3, 1}),
        (tuple[int, str], (1, "a")), (Color, Color.RED), (Rec, Rec(MOMENT, 1.5)), (int, 2**70), (str, "\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_response_comes_back_as_its_class_says(kind, value):
    """With its zone and fold, an int where a float is announced as an int."""
    found = response_through(value, kind)
    if isinstance(value, Window):
        assert is_same([value.begin, value.zones], [found.begin, found.zones])
    else:
        assert is_same(value, found)


def test_a_response_without_a_type_comes_back_as_json_has_it():
    """Nothing is made of the zones then."""
    assert response_through({"at": MOMENT}) == {"at": "2026-10-25T02:30:00+01:00"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, math.inf), (Any, -math.inf), (list[float], [1.0, math.nan]), (dict[int, float], {1: math.nan}),
        (Rec, Rec(MOMENT, math.inf)), (Holder, Holder((Span(MOMENT, math.nan),))),
        (Any, {"a": [math.inf, None, "\ud800"]}),
        (dict[int, tuple[float, str]], {5: (-math.inf, "\udfff")}), (float | None, None),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_infinities_of_a_response_come_back(kind, value):
    """A resumed program compares numbers, not None; what is read beside them is what the class says."""
    assert is_same(value, response_through(value, kind))


def test_a_response_of_another_type_keeps_its_infinities():
    """It comes back as JSON has it."""
    assert response_through({"x": (math.inf, {1})}, str) == {"x": [math.inf, [1]]}


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_private_fields_of_a_response_are_not_left_out(text):
    """Its class would be made without them, so it comes back as the dict that is kept."""

    @attrs.define
    class Secret:
        shown: int
        _hidden: int = 0
        text: str = ""

    assert response_through(Secret(1, 2, text), Secret) == {"shown": 1, "_hidden": 2, "text": text}


@pytest.mark.parametrize("depth", [100, 450])
def test_a_deep_field_comes_back(depth):
    """As deep as a line of the command may be."""
    value = "leaf"
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    assert through(Open(value=value)).value == value
    with_tuple = [value, (1,)]
    assert is_same(through(Open(value=with_tuple)).value[1], (1,))


def test_keys_of_what_json_text_can_carry():
    """Half a surrogate pair and very long ints are keys; NaN and infinities would be null, and one key with it."""
    for key in ("\ud800", "\ud801", [10**5000], [10**5000 + 1], [None]):
        assert keep(event := Open(), key=key) is event
        assert keep(Open(), key=key).id == event.id
    assert sql("SELECT key FROM event WHERE id = ?", event.id.bytes) == [("[null]",)]
    for key in (math.nan, math.inf, [math.nan], {"a": (1, -math.inf)}):
        with pytest.raises(TypeError, match="key must be something that JSON can hold.*null"):
            keep(Open(), key=key)
