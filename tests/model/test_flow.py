"""Flow: items and named progressions of their ids."""

import json
from threading import Thread
from uuid import uuid4

import pytest

from lionpride_exec import Element, ExistsError, Flow, NotFoundError, Pile, Progression


class Item(Element):
    n: int = 0


class Special(Item):
    pass


def make(number=3):
    items = [Item(n=i) for i in range(number)]
    flow = Flow[Item, Progression](
        items, progressions=[Progression(name="p", order=items[:2]), Progression(name="q")], name="f"
    )
    return flow, items


def test_construction():
    """Items and progressions are taken in any form; a ready pile is used as it is."""
    flow, items = make()
    assert list(flow.items) == items
    assert flow.get_progression("p").order == [items[0].id, items[1].id]
    assert repr(flow) == "Flow(items=3, progressions=2, name='f')"
    assert repr(Flow()) == "Flow(items=0, progressions=0)"
    pile = Pile([Item()], item_type=Item)
    assert Flow(items=pile).items is pile
    assert len(Flow(items=Item()).items) == 1
    with pytest.raises(ValueError, match="must agree"):
        Flow(items=pile, item_type=Special)


def test_strangers_are_refused():
    """A progression with ids that no item has is refused, and names them."""
    stranger = uuid4()
    with pytest.raises(NotFoundError, match="contains UUIDs not in items pile") as caught:
        Flow(progressions=[Progression(order=[stranger])])
    assert str(stranger) in str(caught.value)
    flow, _ = make()
    with pytest.raises(NotFoundError):
        flow.add_progression(Progression(name="x", order=[stranger]))
    assert len(flow.progressions) == 2
    with pytest.raises(NotFoundError):
        flow.get_progression("x")


def test_names_are_unique():
    """A taken name or id is refused, at construction too; several unnamed ones are fine."""
    flow, _ = make()
    with pytest.raises(ExistsError, match="Progression with name 'p' already exists"):
        flow.add_progression(Progression(name="p"))
    with pytest.raises(ExistsError):
        flow.add_progression(flow.get_progression("q"))
    with pytest.raises(ExistsError):
        Flow(progressions=[Progression(name="a"), Progression(name="a")])
    flow.add_progression(Progression())
    flow.add_progression(Progression())
    assert len(flow.progressions) == 4


def test_get_progression():
    """By name, id, id text or itself; names go before id texts; anything else is an error of its kind."""
    flow, _ = make()
    p = flow.get_progression("p")
    assert flow.get_progression(p.id) is flow.get_progression(str(p.id)) is flow.get_progression(p) is p
    tricky = Progression(name=str(p.id))
    flow.add_progression(tricky)
    assert flow.get_progression(str(p.id)) is tricky
    for missing in ("nope", uuid4(), str(uuid4()), Progression()):
        with pytest.raises(NotFoundError, match="not found in flow") as caught:
            flow.get_progression(missing)
        assert isinstance(caught.value, KeyError)
    with pytest.raises(NotFoundError, match="Progression 'nope' not found"):
        flow.get_progression("nope")
    for wrong in (0, slice(1), None):
        with pytest.raises(TypeError):
            flow.get_progression(wrong)


def test_a_renamed_progression_is_found_by_its_new_name():
    """The name is checked on look-up."""
    flow, _ = make()
    p = flow.get_progression("p")
    p.name = "renamed"
    assert flow.get_progression("renamed") is p
    with pytest.raises(NotFoundError):
        flow.get_progression("p")
    flow.add_progression(Progression(name="p"))
    assert flow.remove_progression("renamed") is p


def test_remove_progression():
    """It frees the name and leaves the items; what is not there is NotFoundError with its cause."""
    flow, items = make()
    p = flow.get_progression("p")
    assert flow.remove_progression(p) is p
    flow.add_progression(Progression(name="p"))
    assert list(flow.items) == items
    for missing in ("nope", uuid4(), p):
        with pytest.raises(NotFoundError, match="not found in flow") as caught:
            flow.remove_progression(missing)
        assert isinstance(caught.value.__cause__, NotFoundError)


def test_add_item_is_all_or_nothing():
    """An item goes into several progressions at once, or nowhere."""
    flow, items = make()
    item = Item()
    with pytest.raises(NotFoundError):
        flow.add_item(item, ["p", "nope"])
    with pytest.raises(NotFoundError):
        flow.add_item(item, Progression(name="stranger"))
    assert item not in flow.items
    assert item.id not in flow.get_progression("p")
    flow.add_item(item, ["p", flow.get_progression("q").id])
    assert flow.get_progression("p").order[-1] == flow.get_progression("q").order[-1] == item.id
    with pytest.raises(ExistsError):
        flow.add_item(items[0], "q")
    assert items[0].id not in flow.get_progression("q")


def test_remove_item_takes_every_occurrence():
    """The id leaves all progressions, however often it stood there."""
    flow, items = make()
    flow.get_progression("p").append(items[0].id)
    assert flow.remove_item(items[0].id) is items[0]
    assert flow.get_progression("p").order == [items[1].id]
    with pytest.raises(NotFoundError, match=f"Item {items[0].id} not found in pile"):
        flow.remove_item(items[0])
    flow.clear()
    assert (len(flow.items), len(flow.progressions)) == (0, 2)


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize("meta_key", [None, "meta"])
def test_round_trip(mode, meta_key):
    """Items, progressions, name and index come back."""
    flow, items = make()
    data = flow.to_dict(mode, meta_key=meta_key)
    if mode == "json":
        data = json.loads(json.dumps(data))
    restored = Flow.from_dict(data, meta_key=meta_key)
    assert (restored.id, restored.name) == (flow.id, "f")
    assert [(item.id, item.n) for item in restored.items] == [(item.id, item.n) for item in items]
    assert restored.get_progression("p").order == flow.get_progression("p").order


def test_from_plain_lists_and_excluded_parts():
    """Lists of dicts are accepted; excluded parts are left out."""
    flow, items = make()
    data = flow.to_dict(exclude={"progressions"})
    assert "progressions" not in data
    data["items"] = [item.to_dict() for item in items]
    assert list(Flow.from_dict(data).items) == items


def test_of_many_threads_that_add_one_name_one_wins():
    """Flow methods are atomic among threads."""
    flow, won = Flow(), []

    def work():
        try:
            flow.add_progression(Progression(name="one"))
            won.append(1)
        except ExistsError:
            pass

    threads = [Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]
    assert len(flow.progressions) == 1


class Stage(Progression):
    color: str = "red"


class Net(Flow):
    region: str = "eu"


def test_subclasses_have_fields_of_their_own():
    """Those of a flow, of its progressions and of its piles survive JSON."""
    items = make()[1]
    net = Net(items, [Stage(name="a", order=items, color="blue")], name="n", region="us")
    again = Flow.from_json(net.to_json())
    assert type(again) is Net
    assert (again.region, again.name, list(again.items)) == ("us", "n", items)
    assert type(again.get_progression("a")) is Stage
    assert again.get_progression("a").color == "blue"
    assert again.progressions.id == net.progressions.id


def test_ready_piles_are_used_as_they_are():
    """The pile of progressions too, once all in it have passed."""
    items = make()[1]
    progressions = Pile([Progression(name="a", order=items)])
    flow = Flow(items, progressions)
    assert flow.progressions is progressions
    assert flow.get_progression("a") is progressions[0]
    with pytest.raises(NotFoundError, match="not in items pile"):
        Flow(progressions=progressions)


def test_what_is_no_progression_is_refused():
    """At construction and later; nothing is added."""
    flow, item = Flow(), Item()
    with pytest.raises(TypeError, match="Progression"):
        Flow(progressions=[item])
    with pytest.raises(TypeError, match="Progression"):
        flow.add_progression(item)
    assert not flow.progressions


@pytest.mark.parametrize("options", [{"item_type": Special}, {"strict_type": True}])
def test_types_have_to_agree_with_a_ready_pile(options):
    """They are not ignored."""
    with pytest.raises(ValueError, match="must agree with those of"):
        Flow(Pile(item_type=Item), **options)
    assert Flow(Pile(item_type=Item), item_type=Item).items.item_type == {Item}


def test_types_given_to_from_dict_are_for_the_items():
    """The progressions are not checked against them."""
    items = make()[1]
    data = Flow(items, [Progression(name="a", order=items)]).to_dict()
    assert Flow.from_dict(data, item_type=Item).items.item_type == {Item}
    data["items"] = [item.to_dict() for item in items]
    data["progressions"] = [Progression(name="b", order=items).to_dict()]
    assert Flow.from_dict(data, item_type=Item).get_progression("b").order == [item.id for item in items]
