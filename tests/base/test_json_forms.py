"""One JSON form for each value: in records, in the results of the command, in a journal."""

import array
import collections
import datetime as dt
import decimal
import email.message
import enum
import fractions
import io
import ipaddress
import json
import logging
import math
import pathlib
import re
import sqlite3
import types
import typing
import uuid
import zoneinfo
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock, Mock

import attrs
import msgspec
import pydantic
import pytest
from commands import run
from support import forget_logged_classes, json_form

from lionpride_exec import Event, EventStatus, Execution

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Color(enum.Enum):
    RED = "r"
    BLUE = 2


class Text(str):
    """As bs4.NavigableString."""

    __slots__ = ()

    def __str__(self):
        return "not this"


class Real(float):
    """As numpy.float64."""

    def item(self):
        return "not this"

    def __repr__(self):
        return f"np.float64({float(self)})"


class Scalar:
    """As a numpy scalar that is no float."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value

    def tolist(self):
        return self.value


class Array:
    """As a numpy array of more than one item."""

    def item(self):
        raise ValueError("can only convert an array of size 1")

    def tolist(self):
        return [[1, 2], [3.5, None]]


class LongDouble:
    """As numpy.longdouble, whose item() is itself."""

    def item(self):
        return self

    def __repr__(self):
        return "np.longdouble('1.5')"


class Frame:
    """As pandas.DataFrame."""

    def to_dict(self):
        return {"price": {0: decimal.Decimal("1.10"), 1: None}}


class Old:
    """As a model of pydantic 1."""

    __fields__: typing.ClassVar = {"a": None}

    def dict(self):
        return {"a": Color.RED}


class New(pydantic.BaseModel):
    when: dt.datetime
    path: pathlib.Path


class Picky:
    """Its model_dump() takes no mode; its to_dict() fails."""

    def to_dict(self):
        raise OSError

    def model_dump(self):
        return {"a": {3, 1, 2}}


class Odd:
    """Its to_dict() gives nothing that is data."""

    def __init__(self, told):
        self.told = told

    def to_dict(self):
        return self.told

    def __repr__(self):
        return "Odd()"


class Late:
    """Its to_dict() is async."""

    async def to_dict(self):
        return {}

    def __repr__(self):
        return "Late()"


class Shape:
    """Has the shape of a mapping."""

    def keys(self):
        return ["a", "b"]

    def __getitem__(self, key):
        return key * 2


class Proxy:
    """Has every attribute."""

    def __getattr__(self, name):
        return lambda *_, **__: self

    def __repr__(self):
        return "Proxy()"


class Opaque:
    """Tells nothing of itself."""


class Bag:
    """Has attributes, and tells nothing of itself."""

    def __init__(self, **attributes):
        self._client = "private"
        self.__dict__.update(attributes)


class Slots:
    __slots__ = ("_b", "a", "c")

    def __init__(self, a):
        self.a, self._b = a, 2


class Url:
    """As yarl.URL, bson.ObjectId, packaging.Version: its repr names its class."""

    def __str__(self):
        return "http://a/b"

    def __repr__(self):
        return "Url('http://a/b')"


class Query(collections.UserDict):
    """As a query of httpx or Starlette: a key may have several values."""

    def getlist(self, key):
        return self.data[key]

    def __getitem__(self, key):
        return self.data[key][-1]


class Multi(dict):
    """As werkzeug.datastructures.MultiDict."""

    def getlist(self, key):
        return list(dict.__getitem__(self, key))

    def __getitem__(self, key):
        return dict.__getitem__(self, key)[0]


class Headers(Query):
    """As the headers of httpx: the values of a key are one text."""

    def __getitem__(self, key):
        return ", ".join(self.data[key])


class Registry(dict):
    """Its method of such a name does something else."""

    def get_all(self, _key):
        return ["x", "y"]


class Root(pydantic.RootModel[int]):
    pass


class Time:
    """As numpy.datetime64 and numpy.timedelta64: finer than a microsecond, item() is a bare number."""

    __module__ = "numpy"
    dtype = types.SimpleNamespace(kind="M")
    shape = ()

    def __init__(self, told, text):
        self.told, self.text = told, text

    def item(self):
        return self.told

    def tolist(self):
        return self.told

    def __str__(self):
        return self.text


class Times(Time):
    """As an array of them."""

    __module__ = "numpy"
    shape = (1,)

    def __iter__(self):
        return iter([Time(5, "5 nanoseconds")])


class Axis(list):
    @property
    def is_unique(self):
        return len(set(self)) == len(self)


class Table:
    """As pandas.DataFrame."""

    __module__ = "pandas.core.frame"

    def __init__(self, index, columns):
        self.index, self.columns = Axis(index), Axis(columns)

    def to_dict(self):
        return {name: dict.fromkeys(self.index, 1) for name in self.columns}

    def itertuples(self, *, index, name):
        assert not index
        assert name is None
        return ((1,) * len(self.columns) for _ in self.index)


class Column(Table):
    """As pandas.Series."""

    __module__ = "pandas.core.series"

    def to_frame(self):
        return Table(self.index, self.columns)


class Span(dt.timedelta):
    """As pandas.Timedelta."""

    nanoseconds = 7


class Broken:
    """Fails whenever it is looked at."""

    def __repr__(self):
        raise OSError

    def to_dict(self):
        raise OSError


@dataclass
class Data:
    _secret: int
    at: dt.datetime


@attrs.define
class Private:
    _hidden: int
    tags: frozenset = frozenset()


class Tagged(msgspec.Struct, tag="t", rename="camel"):
    first_name: str
    at: dt.timedelta


class Row(msgspec.Struct, array_like=True):
    a: int
    b: bytes


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024  plain ones are what is meant

VALUES = {
    "path": (pathlib.PurePosixPath("/data/a.png"), "/data/a.png"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "timedelta": (dt.timedelta(seconds=90), "PT90S"),
    "datetime": (dt.datetime(2026, 1, 2, 3, tzinfo=BERLIN), "2026-01-02T03:00:00+01:00"),
    "time": (dt.time(12, 30), "12:30:00"),
    "enum": ([Color.RED, Color.BLUE], ["r", 2]),
    "flag": (re.IGNORECASE | re.MULTILINE, int(re.IGNORECASE | re.MULTILINE)),
    "set": ({"b", "a", "c"}, ["a", "b", "c"]),
    "mixed set": (frozenset({1, "a", None}), ["a", 1, None]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "array": (array.array("d", [1.5]), [1.5]),
    "views": ([{"a": 1}.keys(), {"a": 1}.items()], [["a"], [["a", 1]]]),
    "bytes": ([b"\x00\xff", bytearray(b"ab"), memoryview(b"ab")], ["AP8=", "YWI=", "YWI="]),
    "complex": (1 + 2j, "(1+2j)"),
    "range": (range(10**9), "range(0, 1000000000)"),
    "fraction": (fractions.Fraction(1, 3), "1/3"),
    "uuid": (uuid.UUID(int=5), str(uuid.UUID(int=5))),
    "ip": ([ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8")], ["::1", "10.0.0.0/8"]),
    "pattern": (
        [re.compile("a+"), re.compile("a", re.IGNORECASE | re.DOTALL), re.compile(b"\xff")], ["a+", "(?is)a", "\xff"],
    ),
    "zone": ([BERLIN, dt.UTC], ["Europe/Berlin", "UTC"]),
    "dataclass": (Data(1, dt.datetime(2026, 1, 1)), {"_secret": 1, "at": "2026-01-01T00:00:00"}),  # noqa: DTZ001  naive
    "attrs": (Private(1, frozenset({2})), {"_hidden": 1, "tags": [2]}),
    "struct": (Tagged("x", dt.timedelta(1)), {"type": "t", "firstName": "x", "at": "P1D"}),
    "array_like": (Row(1, b"a"), [1, "YQ=="]),
    "pydantic": (
        New(when=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), path="a"), {"when": "2026-01-01T00:00:00Z", "path": "a"},
    ),
    "pydantic 1": (Old(), {"a": "r"}),
    "picky": (Picky(), {"a": [1, 2, 3]}),
    "namedtuple": (Pair(1, {2}), [1, [2]]),
    "namespace": (types.SimpleNamespace(a=1), {"a": 1}),
    "proxy of a dict": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "user's": ([collections.UserList([1]), collections.UserString("a")], [[1], "a"]),
    "chain": (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    "shape": (Shape(), {"a": "aa", "b": "bb"}),
    "scalar": ([Scalar(5), Scalar(True)], [5, True]),
    "numpy array": (Array(), [[1, 2], [3.5, None]]),
    "frame": (Frame(), {"price": {"0": "1.10", "1": None}}),
    "str": ({"title": Text("A title"), Text("k"): 1}, {"title": "A title", "k": 1}),
    "float": ([Real(0.25)], [0.25]),
    "keys": (
        {None: 1, True: 2, 1.5: 3, (1, 2): 4, Color.RED: 5, b"k": 6, dt.date(2026, 1, 1): 7},
        {"None": 1, "True": 2, "1.5": 3, "(1, 2)": 4, "r": 5, "aw==": 6, "2026-01-01": 7},
    ),
    "keys that look alike": (
        {1: "int", "1": "text", "1 (int)": 3, 2: 4}, {"1 (int 3)": "int", "1": "text", "1 (int)": 3, "2": 4},
    ),
    "half a pair": ({"cut\ud800": ["abc\ud83d"]}, {"cut\ud800": ["abc\ud83d"]}),
    "big": ([2**70, -(2**64), 10**4000], [2**70, -(2**64), 10**4000]),
    "very big": ([10**5000, {-(10**5000): 1}], ["1" + "0" * 5000, {"-1" + "0" * 5000: 1}]),
    "nan": ([math.nan, math.inf, {"a": -math.inf}], [None, None, {"a": None}]),
    "error": ([ValueError("no")], [{"error": "ValueError", "message": "no"}]),
    "class": ([decimal.Decimal, len], ["<class 'decimal.Decimal'>", "<built-in function len>"]),
    "lambda": ([lambda: 1], ["<function <lambda>>"]),
    "long double": ([LongDouble(), 1], ["np.longdouble('1.5')", 1]),
    "odd": ([Odd(None), Odd(5), Odd(len)], ["Odd()", "Odd()", "Odd()"]),
    "async": ([Late()], ["Late()"]),
    "mock": ([Proxy()], ["Proxy()"]),
    "opaque": ([Opaque(), 5], ["<unserializable>", 5]),
    "broken": ({"a": Broken(), "b": 1}, {"a": "<unserializable>", "b": 1}),
    "as a whole": (LongDouble(), "np.longdouble('1.5')"),
    "several values": (
        [Query(a=[1, 2], b=[3]), Multi(a=[1, 2], b=[3]), Registry(a=1)], [{"a": [1, 2], "b": 3}] * 2 + [{"a": 1}],
    ),
    "several values as one text": (
        [Headers(a=["x=1, y", "z"], b=["x, y"]), Registry(a="x, z")],
        [{"a": ["x=1, y", "z"], "b": "x, y"}, {"a": "x, z"}],
    ),
    "raw": ({"a": msgspec.Raw(b'{"b": [1]}')}, {"a": {"b": [1]}}),
    "root model": ([Root(5), pydantic.RootModel[str]("a")], [5, "a"]),
    "file in memory": ([io.BytesIO(b"ab"), io.StringIO("ab")], ["YWI=", "ab"]),
    "numpy times": (
        [Time(dt.datetime(2026, 1, 1), ""), Time(dt.timedelta(1), ""), Time(None, "NaT"), Time(5, "5 months")],  # noqa: DTZ001  naive
        ["2026-01-01T00:00:00", "P1D", "NaT", "5 months"],
    ),
    "array of numpy times": (Times([5], ""), ["5 nanoseconds"]),
    "nanoseconds": ([Span(), Span(seconds=1)], ["PT0.000000007S", "PT1.000000007S"]),
    "labels": ([Table("ab", "x"), Column("ab", "x")], [{"x": {"a": 1, "b": 1}}] * 2),
    "labels that are not unique": (
        [Table("aa", "x"), Table("a", "xx"), Column("aa", "x")],
        [
            {"index": ["a", "a"], "columns": ["x"], "data": [[1], [1]]},
            {"index": ["a"], "columns": ["x", "x"], "data": [[1, 1]]},
            {"index": ["a", "a"], "columns": ["x"], "data": [[1], [1]]},
        ],
    ),
    "text": ([Url()], ["http://a/b"]),
    "attributes": ([Bag(a={1}, b=Bag(c=Slots(2))), Bag()], [{"a": [1], "b": {"c": {"a": 2}}}, "<unserializable>"]),
    "none": ({"a": None}, {"a": None}),
}  # fmt: skip


DEPTHS = [1, 499, 500, 501, 5000]


def ended(value):
    """Return an event that has returned a value."""
    event = Event()
    event.execution = Execution(status=EventStatus.COMPLETED, response=value, error=None, duration=1.0)
    return event


def nested(depth):
    """Return a value with so many levels."""
    value = "leaf"
    for _ in range(depth):
        value = [value, 1]
    return value


async def answer(record):
    """Be the target of a run: return one of the values."""
    return VALUES[record][0] if isinstance(record, str) else nested(record)


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    """Return the responses in the results, without a journal and with one, by record."""
    found = []
    with chdir(tmp_path_factory.mktemp("forms")):
        Path("input").write_text("".join(f"{json.dumps(record)}\n" for record in [*VALUES, *DEPTHS]), "utf-8")
        for journal in (None, "run.db"):
            output = f"results {journal}"
            assert run(f"{__name__}:answer", "input", output=output, journal=journal, quiet=True) == 0
            results = map(json.loads, Path(output).read_text("utf-8").splitlines())
            found.append({result["record"]: result["response"] for result in results})
    return found


@pytest.mark.parametrize("name", VALUES)
def test_a_response_has_one_form(name, responses):
    """The result with a journal, the result without one and the record tell the same."""
    value, expected = VALUES[name]
    assert [found[name] for found in responses] == [expected] * 2
    if name != "nan":
        assert json.loads(json.dumps(ended(value).to_dict(mode="json")["execution"]["response"])) == expected


def test_a_key_that_stands_there_twice_keeps_both_values():
    """In a row of SQLite and in the headers of a mail or an answer."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    row = database.execute("select 1 as id, 'a' as name, 2 as id").fetchone()
    assert json_form([row]) == [{"id": [1, 2], "name": "a"}]
    database.close()
    message = email.message.Message()
    for value in ("a=1", "b=2"):
        message["Set-Cookie"] = value
    message["Subject"] = "x"
    assert json_form(message) == {"Set-Cookie": ["a=1", "b=2"], "Subject": "x"}


def test_objects_that_know_each_other_come_to_an_end():
    """Of those that have attributes only, so many are opened in one value."""
    bags = [Bag() for _ in range(30)]
    for bag in bags:
        bag.others = list(bags)
    text = json.dumps(json_form(bags[0]))
    assert 1000 <= text.count("others") <= 1001
    assert "<unserializable>" in text


def test_a_property_that_fails_costs_nothing_else():
    """The object is marked, what stands beside it is kept."""

    class Lazy:
        __slots__ = ("__dict__", "a")

        def __getattribute__(self, name):
            if name == "a":
                raise OSError
            return super().__getattribute__(name)

    assert json_form([Lazy(), 5]) == ["<unserializable>", 5]


@pytest.mark.parametrize("make", [Mock, MagicMock, AsyncMock])
def test_a_mock_is_its_repr(make):
    """It has every method, and they tell nothing."""
    form = json_form([make(name="client")])
    assert form == [f"<{make.__name__} name='client'>"]


@pytest.mark.parametrize("depth", DEPTHS)
def test_nesting_costs_only_what_is_too_deep(depth, responses):
    """500 levels are kept; what stands deeper is marked, and all around it is there."""
    found = [each[depth] for each in responses]
    assert found[0] == found[1]
    assert ("leaf" in str(found[0])) == (depth <= 500)
    assert ("<unserializable>" in str(found[0])) == (depth > 500)
    assert found[0][1] == 1


def test_cycles_end_whatever_they_are_made_of():
    """An object whose to_dict() leads back to it, too."""
    loop = {}
    loop["odd"] = Odd({"back": loop})
    assert json_form(loop) == {"odd": {"back": "<unserializable>"}}
    me = Odd(None)
    me.told = {"me": me}
    assert json_form(me) == {"me": "<unserializable>"}


@pytest.mark.parametrize(
    "value",
    [Opaque(), LongDouble(), lambda: 1, math.nan, Url(), Bag(a=1)],
    ids=["opaque", "repr", "lambda", "nan", "text", "attributes"],
)
def test_what_is_not_kept_as_it_is_is_told_once_for_each_class(caplog, value):
    """At WARNING, by the logger of the package, with the name of the class."""
    forget_logged_classes()
    with caplog.at_level(logging.WARNING, "lionpride_exec"):
        for _ in range(3):
            json_form({"a": [value, value]})
    (record,) = caplog.records
    assert f"class {type(value).__qualname__} cannot be kept as it is" in record.getMessage()


def test_attributes_beside_items_are_told(caplog):
    """As those of a page of a list with its cursor; not where the items are the attributes."""

    class Page(list):
        cursor = None

    class Dotted(dict):
        def __init__(self, **items):
            super().__init__(items)
            self.__dict__ = self

    page = Page([1])
    assert json_form([page, Dotted(a=1), Pair(1, 2)]) == [[1], {"a": 1}, [1, 2]]
    assert not caplog.records
    page.cursor = "next"
    assert json_form([page, page]) == [[1], [1]]
    assert ["attributes beside its items" in record.getMessage() for record in caplog.records] == [True]


def test_what_has_a_usual_form_is_not_told(caplog):
    """Nobody is warned of a path."""
    forget_logged_classes()
    names = "path,decimal,set,bytes,keys,pydantic,frame,very big,half a pair,several values,root model,file in memory"
    for name in [*names.split(","), "numpy times", "labels that are not unique", "raw"]:
        json_form(VALUES[name][0])
    assert not caplog.records


@pytest.mark.parametrize(
    "span",
    [dt.timedelta(), dt.timedelta(1), dt.timedelta(-1), dt.timedelta(seconds=90), dt.timedelta(microseconds=-1),
     dt.timedelta(days=-1, seconds=3, microseconds=70), dt.timedelta.max, dt.timedelta.min + dt.timedelta(1)],
)  # fmt: skip
def test_a_time_span_is_written_as_msgspec_reads_it(span):
    """So that ``Event[timedelta]`` gets it back."""
    assert msgspec.convert(json_form(span), dt.timedelta) == span


def test_the_encoded_names_of_a_struct_are_those_of_msgspec():
    """So that ``Event[Struct]`` gets it back."""
    for name in ("struct", "array_like"):
        value = VALUES[name][0]
        assert msgspec.convert(json_form(value), type(value)) == value
