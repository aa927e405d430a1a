"""Progression: a list of ids with O(1) removal."""

from sys import getsizeof
from threading import Thread
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leftovers import containers_of
from support import chunks_of, id_of

from lionpride_exec import Element, NotFoundError, Progression

A, B, C, D = (uuid4() for _ in range(4))
IDS = [A, B, C, D]


def test_construction_takes_one_or_many():
    """None, one id in any form, or an iterable of them; bad ones raise."""
    element = Element()
    assert Progression().order == []
    assert Progression(order=A).order == [A]
    assert Progression(order=str(A)).order == [A]
    assert Progression(order=element).order == [element.id]
    assert Progression(order=(i for i in [A, str(B), element])).order == [A, B, element.id]
    for bad in ([A, 5], ["nonsense"], 5):
        with pytest.raises((ValueError, TypeError)):
            Progression(order=bad)


@pytest.mark.parametrize("bad", [None, 5, object(), type("Odd", (), {"id": 7})(), "nonsense"], ids=id_of)
def test_what_means_no_id_is_refused(bad):
    """Every way in raises ValueError and changes nothing; `in` is just False."""
    progression = Progression(order=[A])
    for method in (progression.append, progression.include, progression.exclude, progression.remove):
        with pytest.raises(ValueError, match="Cannot get ID|not the text of an id"):
            method(bad)
    with pytest.raises(ValueError, match="Cannot get ID|not the text of an id"):
        progression.extend([B, bad])
    assert progression.order == [A]
    assert bad not in progression


def test_the_order_is_a_copy_and_can_be_replaced():
    """Changing what order gives changes nothing; assigning rebuilds membership too."""
    progression = Progression(order=[A, B])
    progression.order.append(C)
    assert C not in progression
    progression.order = [C, str(A)]
    assert progression.order == [C, A]
    assert B not in progression
    assert A in progression
    assert len(progression) == 2


def test_duplicates():
    """An id may occur several times; removal takes the first."""
    progression = Progression(order=[A, B, A, C, A])
    progression.remove(A)
    assert progression.order == [B, A, C, A]
    assert progression.exclude(A)
    assert progression.order == [B, C, A]
    assert progression.include(A) is False
    assert A in progression
    assert progression.exclude(A)
    assert A not in progression
    assert progression.exclude(A) is False
    with pytest.raises(ValueError, match="is not in the progression"):
        progression.remove(A)
    assert progression.order == [B, C]


def test_errors_of_an_empty_one():
    """popleft, move, swap say that it is empty; pop names index and length, or gives the default."""
    progression = Progression()
    for call in (progression.popleft, lambda: progression.move(0, 1), lambda: progression.swap(0, 0)):
        with pytest.raises(NotFoundError, match="empty"):
            call()
    with pytest.raises(NotFoundError, match="not found") as caught:
        progression.pop()
    assert caught.value.details == {"index": -1, "length": 0}
    assert progression.pop(3, None) is None
    assert not progression
    progression.clear()


@pytest.mark.parametrize(
    ("source", "target", "result"),
    [(0, 2, "bac"), (0, 3, "bca"), (0, -1, "bac"), (2, 0, "cab"), (-1, 0, "cab")],
)
def test_move(source, target, result):
    """move() takes out, then inserts before what was at the target."""
    progression = Progression(order=[A, B, C])
    progression.move(source, target)
    assert progression.order == [{"a": A, "b": B, "c": C}[letter] for letter in result]


def test_out_of_range_changes_nothing():
    """Positions out of range are named, and the order stays."""
    progression = Progression(order=[A, B])
    for call in (
        lambda: progression.move(2, 0),
        lambda: progression.move(0, 5),
        lambda: progression.swap(0, -3),
    ):
        with pytest.raises(NotFoundError, match="out of range"):
            call()
    with pytest.raises(IndexError):
        progression[99]
    assert progression.order == [A, B]


def test_items_and_slices():
    """Indexing and assignment work as on a list; a slice takes a list only."""
    progression = Progression(order=[A, B, C])
    assert progression[-1] == C
    assert progression[:2] == [A, B]
    progression[0] = str(D)
    assert progression.order == [D, B, C]
    progression[1:] = []
    assert progression.order == [D]
    with pytest.raises(TypeError, match="expected list"):
        progression[:] = (A,)
    assert list(reversed(Progression(order=IDS))) == IDS[::-1]


def test_repr():
    """The repr shows length and name."""
    assert repr(Progression(name="x", order=[A, B])) == "Progression(len=2 name='x')"
    assert repr(Progression(order=[A])) == "Progression(len=1)"


def test_round_trip():
    """A progression survives its dict and JSON forms."""
    progression = Progression(name="p", order=[A, B, A])
    for restored in (
        Progression.from_dict(progression.to_dict()),
        Element.from_dict(progression.to_dict(mode="db")),
        Progression.from_json(progression.to_json()),
    ):
        assert (restored.id, restored.name, restored.order) == (progression.id, "p", [A, B, A])


def test_appends_from_threads_lose_nothing():
    """Plain appends from several threads all arrive."""
    progression = Progression()
    threads = [Thread(target=lambda: [progression.append(uuid4()) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(progression) == len(progression.order) == 4000


def test_iteration_is_over_a_snapshot():
    """Taking ids out while iterating skips none."""
    progression = Progression(order=IDS)
    seen = [progression.exclude(item) and item for item in progression]
    assert seen == IDS
    assert not progression


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["append", "include", "exclude", "remove", "index"]), st.sampled_from(IDS)),
        st.tuples(st.just("insert"), st.integers(-6, 6), st.sampled_from(IDS)),
        st.tuples(st.just("pop"), st.integers(-6, 6)),
        st.tuples(st.sampled_from(["popleft", "reverse", "clear"])),
        st.tuples(st.just("swap"), st.integers(-4, 4), st.integers(-4, 4)),
    ),
    max_size=80,
)


class ListModel:
    """What the operations mean, on a plain list."""

    def __init__(self):
        self.ids = []

    def apply(self, name, *arguments):
        match name, arguments:
            case "include", (item,):
                return None if item in self.ids else self.ids.append(item)
            case "exclude", (item,):
                return self.ids.remove(item) if item in self.ids else None
            case "popleft", ():
                return self.ids.pop(0)
            case "swap", (i, j):
                self.ids[i], self.ids[j] = self.ids[j], self.ids[i]
            case _:
                return getattr(self.ids, name)(*arguments)
        return None


@given(OPERATIONS)
def test_it_agrees_with_a_list(operations):
    """Any operations: same order, same membership, and an error exactly where a list has one."""
    progression, model = Progression(), ListModel()
    for name, *arguments in operations:
        try:
            expected = model.apply(name, *arguments)
            refused = False
        except (ValueError, IndexError):
            refused = True
        if refused:
            with pytest.raises((ValueError, NotFoundError)):
                getattr(progression, name)(*arguments)
        else:
            result = getattr(progression, name)(*arguments)
            if isinstance(expected, UUID | int):
                assert result == expected
        assert progression.order == model.ids
        assert len(progression) == len(model.ids)
        assert {item for item in IDS if item in progression} == set(model.ids)


@given(st.permutations(range(200)), st.integers(0, 200))
def test_memory_stays_in_proportion(order, kept):
    """In whatever order ids are taken out, what is kept inside stays in proportion to what is left."""
    ids = [UUID(int=i) for i in range(200)]
    progression = Progression(order=ids)
    for i in order[kept:]:
        progression.exclude(ids[i])
    assert max(map(len, containers_of(progression))) <= 2 * kept + 34
    assert progression.order == [ids[i] for i in sorted(order[:kept])]


class Stage(Progression):
    color: str = "red"
    tags: list = []


def test_a_subclass_has_fields_of_its_own():
    """Beside name and order; all of them survive JSON."""
    stage = Stage(name="s", order=[A, B], color="blue")
    again = Element.from_json(stage.to_json())
    assert type(again) is Stage
    assert (again.name, again.order, again.color, again.tags) == ("s", [A, B], "blue", [])
    assert Stage().tags is not Stage().tags


@pytest.mark.parametrize("chunk_size", [1, 2, 1000])
@given(operations=OPERATIONS)
def test_it_agrees_with_a_list_in_chunks_of_any_size(chunk_size, operations):
    """The ids and their positions are those of a list, after any operations."""
    with chunks_of(chunk_size):
        progression, model = Progression(order=IDS * 2), ListModel()
        model.ids = IDS * 2
        for name, *arguments in operations:
            try:
                model.apply(name, *arguments)
            except (ValueError, IndexError):
                continue
            getattr(progression, name)(*arguments)
            assert list(progression) == model.ids
            assert len(progression) == len(model.ids)
            assert {item for item in IDS if item in progression} == set(model.ids)
            assert list(reversed(progression)) == model.ids[::-1]
            assert [progression[index] for index in range(-len(model.ids), len(model.ids))] == model.ids * 2


def test_reading_changes_nothing():
    """Positions can be read after an id was taken out of the middle."""
    progression = Progression(order=IDS)
    progression.exclude(B)
    assert (progression[1], progression[0:2], progression.index(D)) == (C, [A, C], 2)
    assert max(map(len, containers_of(progression))) == 3


@pytest.mark.parametrize("take", [lambda p, i: p.exclude(i), lambda p, i: p.popleft(), lambda p, i: p.pop()])
def test_an_emptied_one_gives_its_memory_back(take):
    """What held a hundred thousand ids is small again."""
    ids = [UUID(int=i) for i in range(100_000)]
    progression = Progression(order=ids)
    for item_id in ids:
        take(progression, item_id)
    assert not progression
    assert sum(map(getsizeof, containers_of(progression))) < 3000


def test_reading_while_others_append():
    """Iterating never fails because of a thread that appends, taken-out ids in store or not."""
    progression = Progression(order=[uuid4() for _ in range(500)])
    progression.exclude(progression[250])
    thread = Thread(target=lambda: [progression.append(uuid4()) for _ in range(2000)])
    thread.start()
    while thread.is_alive():
        assert len(list(progression)) >= 499
    thread.join()
    assert len(progression.order) == len(progression) == 2499
