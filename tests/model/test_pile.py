"""Pile: elements by id, in order."""

from threading import Thread
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride_exec import Element, Event, ExistsError, NotFoundError, Pile, Progression


class Base(Element):
    n: int = 0


class Sub(Base):
    pass


class Other(Element):
    pass


def make(number=3, cls=Base, **kwargs):
    items = [cls(n=i) for i in range(number)]
    return Pile[Base](items, **kwargs), items


def test_adding():
    """add() keeps the order; a duplicate or a non-element is refused and changes nothing."""
    pile, items = make()
    with pytest.raises(ExistsError, match=f"Item {items[0].id} already exists"):
        pile.add(items[0])
    with pytest.raises(TypeError, match="must be Element subclass"):
        pile.add("x")
    assert list(pile) == items
    assert list(pile.keys()) == [item.id for item in items]
    assert list(pile.items()) == [(item.id, item) for item in items]
    assert list(reversed(pile)) == items[::-1]
    assert len(pile) == 3
    assert repr(pile) == "Pile(len=3)"


@pytest.mark.parametrize("types", [Base, [Base], {Base}, (Base,), Base | Event])
def test_type_rule(types):
    """item_type takes subclasses; strict_type the exact class; both are named in the refusal."""
    pile = Pile(item_type=types)
    pile.add(Sub())
    with pytest.raises(TypeError, match="not a subclass"):
        pile.add(Other())
    strict = Pile(item_type=types, strict_type=True)
    strict.add(Base())
    with pytest.raises(TypeError, match="strict_type=True"):
        strict.add(Sub())
    assert (len(pile), len(strict)) == (1, 1)
    assert Base in pile.item_type
    with pytest.raises(AttributeError):
        pile.item_type = None
    Pile(strict_type=True).add(Other())


def test_order_at_construction():
    """Order arranges all items; an unknown id, a missing or a repeated one is refused."""
    items = [Base() for _ in range(3)]
    a, b, c = (item.id for item in items)
    assert list(Pile(items, order=[c, a, b]).keys()) == [c, a, b]
    named = Pile(items, order=Progression(name="mine", order=[b, a, c]))
    assert (named.progression.name, named.progression.order) == ("mine", [b, a, c])
    stranger = uuid4()
    with pytest.raises(NotFoundError, match=f"UUID {stranger} not found in items"):
        Pile(items, order=[a, stranger])
    for bad in ([a, b], [a, b, b], [a, b, c, a]):
        with pytest.raises(ValueError, match="each of 3 items once"):
            Pile(items, order=bad)


def test_removing():
    """remove, pop and exclude take out; what is missing is NotFoundError, a default, or False."""
    pile, items = make()
    assert pile.remove(items[0].id) is items[0]
    assert pile.pop(str(items[1].id)) is items[1]
    with pytest.raises(NotFoundError, match=f"Item {items[0].id} not found in pile") as caught:
        pile.remove(items[0])
    assert isinstance(caught.value, KeyError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert pile.pop(items[0], None) is None
    with pytest.raises(ValueError, match="not the text of an id"):
        pile.pop("nonsense", None)
    assert pile.exclude(items[2]) is True
    assert pile.exclude(items[2]) is True
    assert pile.exclude(5) is False
    assert pile.is_empty()
    assert not pile


def test_update_and_include():
    """update() replaces in place; include() adds once and tells whether it is in now."""
    pile, items = make(item_type=Base)
    new = Base(id=items[1].id, n=9)
    pile.update(new)
    assert list(pile)[1] is new
    with pytest.raises(NotFoundError):
        pile.update(Base())
    with pytest.raises(TypeError):
        pile.update(Other(id=items[0].id))
    assert pile.include(items[1]) is True
    assert list(pile)[1] is new
    assert pile.include(Base()) is True
    assert pile.include(Other()) is False
    assert pile.include("x") is False
    assert len(pile) == 4


def test_get():
    """By id, text or element; a default for what is missing, an error for what means no id."""
    pile, items = make()
    assert pile.get(items[0].id) is pile.get(str(items[0].id)) is pile.get(items[0]) is items[0]
    assert pile.get(uuid4(), "d") == "d"
    with pytest.raises(NotFoundError):
        pile.get(uuid4())
    with pytest.raises(ValueError, match="Cannot get ID"):
        pile.get(5, None)
    assert items[0] in pile
    assert str(items[0].id) in pile
    assert 5 not in pile


def test_keys_of_getitem():
    """One element, or a new pile in the asked order; repeats are kept once."""
    pile, items = make(4, item_type=Base, strict_type=True)
    a, b, c, d = items
    assert pile[a.id] is pile[str(a.id)] is pile[0] is a
    assert list(pile[1:3]) == [b, c]
    assert list(pile[[3, 0]]) == [d, a]
    assert list(pile[(c.id, a.id, c.id)]) == [c, a]
    assert list(pile[Progression(order=[b, a, b])]) == [b, a]
    subset = pile[lambda item: item.n % 2]
    assert list(subset) == [b, d]
    assert (subset.item_type, subset.strict_type) == ({Base}, True)
    for key, error, message in (
        (99, IndexError, ""),
        ([], ValueError, "empty list/tuple"),
        ([1, a.id], TypeError, "Cannot mix int and UUID"),
        (["x"], TypeError, "must contain only int or UUID"),
        ([uuid4()], NotFoundError, "not found in pile"),
        (uuid4(), NotFoundError, "not found in pile"),
        (1.5, TypeError, "Invalid key type"),
    ):
        with pytest.raises(error, match=message or None):
            pile[key]


def test_filter_by_type():
    """A new pile of that type, or an error that says why not."""
    pile = Pile([Base(), Sub(), Sub()], item_type=Base)
    assert len(pile.filter_by_type(Sub)) == 2
    assert len(pile.filter_by_type([Base])) == 3
    with pytest.raises(TypeError, match="not compatible"):
        pile.filter_by_type(Other)
    with pytest.raises(NotFoundError, match="No items of type"):
        Pile([Base()]).filter_by_type(Sub)
    with pytest.raises(TypeError, match="not allowed in pile"):
        Pile([Base()], item_type=Base, strict_type=True).filter_by_type(Sub)


def test_iteration_is_over_a_snapshot():
    """Removing while iterating skips nobody."""
    pile, items = make(5)
    assert [pile.remove(item) for item in pile] == items


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize("meta_key", [None, "meta"])
def test_round_trip(mode, meta_key):
    """Items, order, types and the name of the order come back, in each mode, from each key."""
    items = [Base(n=1), Sub(n=2)]
    pile = Pile(items, item_type=Base, order=Progression(name="o", order=items[::-1]), metadata={"k": 1})
    data = pile.to_dict(mode, meta_key=meta_key, item_meta_key=meta_key)
    restored = Pile.from_dict(data, meta_key=meta_key, item_meta_key=meta_key)
    assert [(type(item), item.id, item.n) for item in restored] == [(type(i), i.id, i.n) for i in items[::-1]]
    assert (restored.id, restored.item_type, restored.strict_type) == (pile.id, {Base}, False)
    assert (restored.progression.name, restored.metadata) == ("o", {"k": 1})


def test_from_dict_checks_all_types_before_building_any():
    """A wrong class among the items is refused by name."""
    data = Pile([Base(), Other()]).to_dict()
    with pytest.raises(TypeError, match="is not a subclass of any allowed type"):
        Pile.from_dict(data, item_type=Base)
    with pytest.raises(TypeError, match="strict_type=True"):
        Pile.from_dict(Pile([Sub()]).to_dict(), item_type=Base, strict_type=True)


def test_threads():
    """Concurrent changes keep items and order consistent; of many that add one element one wins."""
    pile = Pile()
    common, won = Base(), []

    def work():
        mine = [Base() for _ in range(200)]
        for item in mine:
            pile.add(item)
        for item in mine[:100]:
            pile.remove(item)
        try:
            pile.add(common)
            won.append(1)
        except ExistsError:
            pass

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pile) == len(list(pile)) == 801
    assert won == [1]


@pytest.mark.anyio
async def test_the_async_lock():
    """It can be held around sync calls, and not entered twice by one task."""
    pile, items = make()
    async with pile as same:
        assert same is pile
        pile.remove(items[0])
        with pytest.raises(RuntimeError):
            async with pile:
                pass
    async with pile:
        assert len(pile) == 2


NUMBERS = st.integers(0, 6)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "include", "exclude", "update", "get"]), NUMBERS),
        max_size=60,
    )
)
def test_it_agrees_with_a_dict(operations):
    """Any operations: the same elements in the same order as in a dict, and errors where they belong."""
    pool = [Base(n=i) for i in range(7)]
    pile, model = Pile(), {}
    for name, number in operations:
        item, there = pool[number], number in model
        if (name == "add" and there) or (name in {"remove", "update", "get"} and not there):
            with pytest.raises((ExistsError, NotFoundError)):
                getattr(pile, name)(item)
            continue
        getattr(pile, name)(item)
        if name in {"add", "include"}:
            model.setdefault(number, item)
        elif name in {"remove", "exclude"}:
            model.pop(number, None)
        assert list(pile) == list(model.values())


class Box(Pile):
    label: str = ""


def test_a_subclass_has_fields_of_its_own():
    """It is built like a pile; its fields survive JSON."""
    items = make()[1]
    box = Element.from_json(Box(items, Base, label="b").to_json())
    assert type(box) is Box
    assert (list(box), box.item_type, box.label) == (items, {Base}, "b")


def test_parameters_of_classes_have_no_effect():
    """As an item type, a class with parameters is the class."""
    assert Pile(item_type=Pile[Base]).item_type == {Pile}
    assert Pile(item_type=[Base | Other]).item_type == {Base, Other}


def test_from_dict_takes_types_as_keywords():
    """They go before those in the data."""
    pile = Pile(make()[1], item_type=Element)
    assert Pile.from_dict(pile.to_dict(), item_type=Base, strict_type=True).item_type == {Base}
    with pytest.raises(TypeError, match="not a subclass of any allowed type"):
        Pile.from_dict(pile.to_dict(), item_type=Other)


def test_positions_count_from_either_end():
    """As in a list, whatever was taken out before."""
    pile = Pile(make(6)[1])
    pile.remove(pile[0])
    pile.remove(pile[2])
    items = list(pile)
    assert [pile[i] for i in range(-4, 4)] == items + items
    for beyond in (4, -5):
        with pytest.raises(IndexError, match="out of range for a pile of 4"):
            pile[beyond]


def test_a_predicate_may_change_the_pile():
    """It is asked about a snapshot."""
    items = make()[1]
    pile = Pile(items)
    assert list(pile[pile.exclude]) == items
    assert not pile


def test_a_strange_metadata_value_is_not_fatal():
    """As for any element, it becomes an empty dict."""
    assert Pile.from_dict({"metadata": "strange"}).metadata == {}
