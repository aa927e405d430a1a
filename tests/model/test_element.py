"""Elements: identity, declaring subclasses, dict and JSON forms."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from threading import Lock, Thread
from typing import Any, ClassVar
from uuid import UUID, uuid1, uuid4

import attrs
import pytest
from parts import wall_clock
from support import error_form, error_of, json_form

from lionpride_exec import Element, Event, Pile, Unset, UnsetType, errors


class Thing(Element):
    size: int
    data: dict = {}
    tags: list = []
    kind: type[Exception] = ValueError
    anything: Any = None
    limit: ClassVar[int] = 3

    @property
    def double(self):
        return self.size * 2


def test_plain_class_bodies_are_enough():
    """Annotated names become keyword-only fields; required ones may follow defaulted ones."""
    thing = Thing(size=2, tags=["a"])
    assert (thing.size, thing.double, thing.limit, thing.kind) == (2, 4, 3, ValueError)
    for wrong in ({"size": 1, "sise": 2}, {}, {"size": 1, "double": 3}, {"size": 1, "limit": 3}):
        with pytest.raises(TypeError):
            Thing(**wrong)
    with pytest.raises(TypeError):
        Thing(1)


def test_mutable_defaults_are_copied():
    """Each instance has its own, nested ones too."""

    class Nested(Element):
        data: dict = {"inner": []}

    first, second = Nested(), Nested()
    first.data["inner"].append(1)
    assert second.data == {"inner": []}


def test_inherited_fields_may_get_new_defaults():
    """With an annotation or without one; validators and frozenness stay."""

    class Annotated(Event):
        streaming: bool = True
        timeout: float | None = 5.0

    class Bare(Event):
        streaming = True
        timeout = 7.0

    assert (Annotated().streaming, Annotated().timeout) == (True, 5.0)
    assert (Bare().streaming, Bare().timeout) == (True, 7.0)
    for cls in (Annotated, Bare):
        with pytest.raises(ValueError, match="timeout must be"):
            cls(timeout=-1.0)
        assert cls(streaming=False).streaming is False


def test_a_new_default_is_inherited():
    """A subclass of the class that redeclared a field has its default, with or without an annotation."""

    class Annotated(Event):
        streaming: bool = True

    class Bare(Event):
        streaming = True
        timeout = 7.0

    for base in (Annotated, Bare):
        child = type("Child", (base,), {})
        grandchild = type("Grandchild", (child,), {"__annotations__": {"extra": int}, "extra": 0})
        assert child().streaming is grandchild().streaming is True
        assert child().timeout == base().timeout
        with pytest.raises(ValueError, match="timeout must be"):
            grandchild(timeout=-1.0)


def test_attrs_hooks_of_users_work():
    """attrs.field() and __attrs_post_init__ do what they do in attrs."""

    class Hooked(Element):
        n: int = attrs.field(default=1, validator=attrs.validators.gt(0))

        def __attrs_post_init__(self):
            self.metadata["seen"] = self.n

    assert Hooked(n=3).metadata == {"seen": 3}
    with pytest.raises(ValueError, match="must be > 0"):
        Hooked(n=0)


def test_identity_is_the_id():
    """Equality and hash go by id alone, across classes; nothing else is equal."""
    thing = Thing(size=1)
    same = Element(id=thing.id)
    assert thing == same
    assert hash(thing) == hash(same)
    assert thing != Thing(size=1)
    assert thing.__eq__("x") is NotImplemented
    assert bool(thing) is True
    assert repr(thing) == f"Thing(id={thing.id})"


@pytest.mark.parametrize("name", ["id", "created_at"])
def test_identity_cannot_be_reassigned(name):
    """Id and created_at are frozen; metadata is not, and stays a dict."""
    thing = Thing(size=1)
    before = getattr(thing, name)
    with pytest.raises(attrs.exceptions.FrozenAttributeError):
        setattr(thing, name, before)
    thing.metadata = None
    assert thing.metadata == {}


def test_ids_are_coerced():
    """A UUID of any version, its text, or an element."""
    one = uuid1()
    other = Element()
    assert Element(id=one).id == one
    assert Element(id=str(one)).id == one
    assert Element(id=other).id == other.id
    for bad in ("x", 5, object()):
        with pytest.raises(ValueError, match="Cannot get ID|not the text of an id"):
            Element(id=bad)


def test_times_are_coerced():
    """Aware ones keep their zone, naive ones and numbers are UTC; the rest is refused."""
    zone = timezone(timedelta(hours=2))
    assert Element(created_at=datetime(2026, 1, 1, tzinfo=zone)).created_at.tzinfo is zone
    for value in (datetime(2026, 1, 1), "2026-01-01T00:00:00", 1767225600, 1767225600.0, "1767225600"):  # noqa: DTZ001  a naive one is what is tested
        assert Element(created_at=value).created_at == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="neither a valid timestamp nor ISO"):
        Element(created_at="yesterday")
    for bad in (None, [], True):
        with pytest.raises(ValueError, match="created_at must be"):
            Element(created_at=bad)


def test_metadata_is_coerced():
    """None, falsy values and what has no dict form give {}; dicts and dict-like objects are taken."""
    for empty in (None, "", 0, [], "text", 5):
        assert Element(metadata=empty).metadata == {}
    assert Element(metadata={"a": 1}).metadata == {"a": 1}
    assert Element(metadata=errors.LionprideError("m")).metadata["message"] == "m"


def test_modes():
    """Python keeps objects, json is JSON, db is json with its metadata key and a datetime."""
    thing = Thing(size=1, metadata={"m": 1}, data={"u": uuid4()})
    python, as_json, db = (thing.to_dict(mode) for mode in ("python", "json", "db"))
    assert (python["id"], python["created_at"]) == (thing.id, thing.created_at)
    assert python["metadata"] == {"m": 1, "lion_class": Thing.class_name(full=True)}
    assert thing.metadata == {"m": 1}
    json.dumps(as_json)
    assert as_json["created_at"] == thing.created_at.isoformat()
    assert "metadata" not in db
    assert db["node_metadata"]["m"] == 1
    assert isinstance(db["created_at"], datetime)
    assert thing.to_dict("json", "timestamp")["created_at"] == thing.created_at.timestamp()
    assert thing.to_dict("python", "isoformat")["created_at"] == thing.created_at.isoformat()
    assert thing.to_dict(meta_key="x", exclude={"size"}).keys() >= {"x"}
    assert "size" not in thing.to_dict(exclude=["size"])
    assert "metadata" not in thing.to_dict(exclude=["metadata"])
    with pytest.raises(ValueError, match="Invalid mode"):
        thing.to_dict("xml")
    with pytest.raises(ValueError, match="created_at_format='datetime' not valid for mode='json'"):
        thing.to_dict("json", "datetime")


def test_from_dict_builds_the_class_that_was_written():
    """Also from a base or another class; the data are not changed; unknown keys are an error."""
    thing = Thing(size=4, metadata={"m": 1})
    data = json.loads(json.dumps(thing.to_dict("json", exclude={"kind"})))
    kept = copy.deepcopy(data)
    for cls in (Element, Thing, Event):
        restored = cls.from_dict(data)
        assert type(restored) is Thing
        assert (restored.id, restored.created_at, restored.size) == (thing.id, thing.created_at, 4)
        assert restored.metadata == {"m": 1}
    assert data == kept
    with pytest.raises(TypeError):
        Thing.from_dict({"size": 1, "nope": 2})
    assert Element.from_dict({}).metadata == {}
    assert Element.from_dict({"metadata": 5}).metadata == {}
    assert Element.from_dict({"meta": {"a": 1}}, meta_key="meta").metadata == {"a": 1}
    assert Element.from_dict({"node_metadata": {"a": 1}}).metadata == {"a": 1}


def test_json_text():
    """to_json() and from_json() speak text and bytes."""
    thing = Thing(size=4)
    text = thing.to_json(pretty=True, sort_keys=True, exclude={"kind"})
    assert text.index('"anything"') < text.index('"size"')
    raw = thing.to_json(decode=False, exclude={"kind"})
    assert isinstance(raw, bytes)
    assert Element.from_json(raw) == Element.from_json(text) == thing


def test_local_classes_are_found():
    """A class inside a function can be restored while it exists."""

    class Local(Element):
        n: int = 0

    assert type(Element.from_dict(Local(n=1).to_dict("json"))) is Local


@pytest.mark.parametrize(
    "name", ["os.system", "no.such.Class", "lionpride_exec._executor.executor.Executor", "subprocess.Popen", 5]
)
def test_nothing_is_imported(name):
    """A class that is no Element of this process is refused; its name is not looked up anywhere."""
    with pytest.raises(ValueError, match="Failed to deserialize"):
        Element.from_dict({"metadata": {"lion_class": name}})


def test_class_name():
    """Bare or with the module; parameters do not show."""
    assert Pile[Thing].class_name() == "Pile"
    assert Thing.class_name(full=True) == f"{Thing.__module__}.Thing"


# -------------------------------------------------------------------- Unset


def test_unset():
    """One object, falsy, not None, whatever is done to it."""
    assert UnsetType() is Unset
    for other in (copy.copy(Unset), copy.deepcopy(Unset), pickle.loads(pickle.dumps(Unset))):  # noqa: S301  our own
        assert other is Unset
    assert not Unset
    assert Unset is not None
    assert repr(Unset) == str(Unset) == "Unset"


# -------------------------------------------------------------------- errors

LIBRARY_ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.LionprideError) and value is not errors.InvalidTransition
]
NOT_RETRYABLE = {
    "ClusterError", "EventCancelled", "Skip",
    "ValidationError", "AccessError", "ConfigurationError", "NotFoundError", "ExistsError", "OperationError",
}  # fmt: skip


@pytest.mark.parametrize("cls", LIBRARY_ERRORS)
def test_errors(cls):
    """Message, details, retryable and cause; defaults of the class; a dict; a pickle."""
    assert cls().retryable is (cls.__name__ not in NOT_RETRYABLE)
    assert cls("").message == cls().message != ""
    cause = ValueError()
    error = cls("what", details={"d": 1}, retryable=True, cause=cause)
    assert (str(error), error.__cause__) == ("what", cause)
    assert error.to_dict() == {
        "error": cls.__name__, "message": "what", "retryable": True, "details": {"d": 1},
    }  # fmt: skip
    assert "details" not in cls("x").to_dict()
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (str(again), again.details, again.retryable) == ("what", {"d": 1}, True)


def test_families():
    """Each is also the builtin that a caller would guess; a timeout of ours is not the builtin one."""
    assert issubclass(errors.NotFoundError, KeyError)
    assert issubclass(errors.ConfigurationError, TypeError)
    assert issubclass(errors.ConfigurationError, AttributeError)
    assert issubclass(errors.ValidationError, ValueError)
    assert not issubclass(errors.LionTimeoutError, TimeoutError | OSError)


def test_invalid_transition_survives_pickling():
    """Its attributes and its sentence come back."""
    error = errors.InvalidTransition(uuid4(), "pending", "completed")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (again.item_id, again.previous, again.target, str(again)) == (
        error.item_id, "pending", "completed", str(error),
    )  # fmt: skip


# -------------------------------------------------------------------- JSON forms


@attrs.define
class Point:
    x: int
    y: Any


def test_json_forms():
    """Usual values get their usual form; the rest is marked; cycles end."""
    an_id, moment = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
    cycle: list = [1]
    cycle.append(cycle)
    given = {
        "plain": [1, 2.5, "x", None, True], 5: (an_id, moment), "bytes": b"ab", "set": {1}, "point": Point(1, {2}),
        "error": ValueError("e"), "unset": Unset, "odd": object(), "cycle": cycle,
    }  # fmt: skip
    assert json_form(given) == {
        "plain": [1, 2.5, "x", None, True], "5": [str(an_id), moment.isoformat()], "bytes": "YWI=", "set": [1],
        "point": {"x": 1, "y": [2]}, "error": {"error": "ValueError", "message": "e"}, "unset": None,
        "odd": "<unserializable>", "cycle": [1, "<unserializable>"],
    }  # fmt: skip


def test_groups_nest():
    """Members are expanded, BaseExceptions too; a shared one is fine; the way back gives groups."""
    shared = ValueError("s")
    group = BaseExceptionGroup("top", [ExceptionGroup("in", [shared]), shared, KeyboardInterrupt()])
    data = error_form(group)
    assert data["exceptions"][0]["exceptions"][0] == data["exceptions"][1]
    assert data["exceptions"][2]["error"] == "KeyboardInterrupt"
    restored = error_of(json.loads(json.dumps(data)))
    assert isinstance(restored.exceptions[0], ExceptionGroup)
    assert "ValueError: s" in str(restored.exceptions[1])
    assert restored.exceptions[1].details["error"] == "ValueError"


def test_deep_groups_are_cut():
    """Below 100 levels only the number of members is told."""
    group = ExceptionGroup("leaf", [ValueError(), KeyError()])
    for _ in range(150):
        group = ExceptionGroup("level", [group])
    data = error_form(group)
    while "exceptions" in data:
        (data,) = data["exceptions"]
    assert data["message"] == "Max nesting depth (100) exceeded"
    assert data["nested_count"] == 1


def test_the_original_id_type():
    """UUIDs of Python objects survive python mode as objects."""
    assert isinstance(Thing(size=1).to_dict()["id"], UUID)


def test_a_field_cannot_become_a_property():
    """It could not be set; the class is refused and names the field."""
    with pytest.raises(TypeError, match=r"Odd\.metadata is a field and cannot become a property"):

        class Odd(Element):
            @property
            def metadata(self):
                return {}


def test_a_field_without_annotation_is_refused():
    """It would make attrs overlook the annotated names."""
    with pytest.raises(attrs.exceptions.UnannotatedAttributeError, match="size"):

        class Odd(Element):
            size = attrs.field(default=1)
            name: str


def test_a_constructor_of_the_user_stays():
    """A hand-written __init__ is not replaced."""

    class Named(Element):
        name: str = ""

        def __init__(self, name):
            self.__attrs_init__(name=name.upper(), metadata={"a": 1})

    assert (Named("a").name, Named("a").metadata) == ("A", {"a": 1})


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), "inf", "nan", 1e30, True, b"1"])
def test_a_time_that_cannot_be_is_a_value_error(bad):
    """Whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"created_at|NaN"):
        Element(created_at=bad)


def test_a_field_with_a_rare_option_of_attrs_is_set():
    """A default or a converter that takes the instance, a hook after the constructor, an alias, a field not taken."""
    twice = attrs.Converter(lambda value, instance: [value, instance.size], takes_self=True)

    class Rare(Element):
        size: int = 1
        double: int = attrs.field(default=attrs.Factory(lambda self: self.size * 2, takes_self=True))
        pair: list = attrs.field(default=0, converter=twice)

    class Usual(Element):
        size: int = attrs.field(alias="length")
        texts: list = attrs.field(factory=list, converter=tuple)
        kept: dict = attrs.field(factory=dict, init=False)
        fixed: int = attrs.field(default="7", converter=int, init=False)

    class Hooked(Element):
        def __attrs_post_init__(self):
            self.metadata["made"] = True

    assert (Rare(size=2).double, Rare(size=2).pair) == (4, [0, 2])
    usual = Usual(length=3)
    assert (usual.size, usual.texts, usual.kept, usual.fixed) == (3, (), {}, 7)
    assert Usual(length=3, texts="ab").texts == ("a", "b")
    assert Hooked().metadata == {"made": True}
    with pytest.raises(TypeError, match=r"Usual\.__init__\(\) missing 1 required keyword-only argument: 'length'"):
        Usual()


def test_validators_are_called_unless_they_are_disabled():
    """As by the constructors of attrs."""

    class Checked(Element):
        size: int = attrs.field(default=0, validator=attrs.validators.instance_of(int))

    with pytest.raises(TypeError, match="size"):
        Checked(size="a")
    with attrs.validators.disabled():
        assert Checked(size="a").size == "a"


def test_metadata_is_made_on_demand():
    """The first question makes the dict, which stays. Copies, pickles and dicts know no difference."""
    element = Element()
    assert "metadata" not in vars(element)
    read = pickle.loads(pickle.dumps(element))  # noqa: S301  our own
    for other in (copy.copy(element), read, Element.from_dict(element.to_dict())):
        assert other.metadata == {}
    element.metadata["a"] = 1
    assert (element.metadata, Element().metadata) == ({"a": 1}, {})


def test_metadata_is_not_shared():
    """The dict that was given is copied, at construction and at assignment."""
    given = {"a": 1}
    element, other = Element(metadata=given), Element()
    other.metadata = given
    element.metadata["a"] = other.metadata["a"] = 2
    assert given == {"a": 1}


@pytest.mark.parametrize("name", [[1], 5, None])
def test_a_class_name_that_is_none(name):
    """A name of the wrong type is refused like an unknown one; None is none."""
    data = {"metadata": {"lion_class": name}}
    if name is None:
        assert type(Element.from_dict(data)) is Element
    else:
        with pytest.raises(ValueError, match="Failed to deserialize"):
            Element.from_dict(data)


def test_an_unknown_time_format_is_refused():
    """It is not taken for another one."""
    with pytest.raises(ValueError, match="created_at_format must be one of"):
        Element().to_dict(created_at_format="epoch")


def test_creation_times_never_go_back():
    """When the wall clock is set back, elements get the latest time until the clock has caught up."""
    now = datetime.now(UTC) + timedelta(hours=1)
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    readings = iter([now, now - hour, now - second, now, now + second])
    with wall_clock.wall_clock.replaced(lambda: next(readings)):
        elements = [Element() for _ in range(5)]
    assert [element.created_at for element in elements] == [now, now, now, now, now + second]
    assert Element().created_at < now, "the hour of the block ages what is made after it"


def test_given_creation_times_are_left_alone():
    """Restored ones too, and they do not move the others."""
    past, future = datetime(2001, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)
    assert [Element(created_at=at).created_at for at in (future, past)] == [future, past]
    assert abs(Element().created_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_creation_times_of_threads_never_go_back():
    """Each thread sees its own in order, and all of them together are in the order in which they were made."""
    made = []

    def make():
        for _ in range(2000):
            with lock:
                made.append(Element().created_at)

    lock = Lock()
    threads = [Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == sorted(made)


def test_a_base_that_is_no_element_does_not_give_the_fields_their_values():
    """An attribute of a class that stands before ``Element`` is not the default of the field of the same name."""

    class Mixin:
        metadata: ClassVar = {"shared": True}
        timeout = 5.0

    class Mixed(Mixin, Event):
        pass

    one, other = Mixed(), Mixed()
    one.metadata["own"] = True
    assert (one.metadata, other.metadata, one.timeout) == ({"own": True}, {}, None)
    assert Mixin.metadata == {"shared": True}
