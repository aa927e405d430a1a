"""An event as a text: ``repr()`` shows its fields, ``str()`` and messages are short."""

from functools import partial

import attrs
import pytest

from lionpride_exec import Call, Event, EventFailed, Executor, Skip
from lionpride_exec.testing import InvariantBroken, check_invariants

pytestmark = pytest.mark.anyio


class Fetch(Event):
    url: str
    retries: int = 3

    async def _invoke(self):
        raise ValueError("no")


class Login(Event):
    user: str
    api_key: str = attrs.field(metadata={"redact": True})
    note: object = None
    pin: int = attrs.field(default=7, repr=False)
    size: int = attrs.field(default=5, repr="{:04d}".format)

    async def _invoke(self):
        return None


class Broken:
    def __repr__(self):
        raise ValueError("cannot be told")


async def fetch(url, n=1):
    return url, n


def test_the_fields_and_the_id():
    """Not those that every event has."""
    event = Fetch(url="https://example.com/a", timeout=5, metadata={"a": 1})
    assert repr(event) == f"Fetch(url='https://example.com/a', retries=3, id={event.id})"
    assert repr([event]) == f"[{event!r}]"
    plain = Event()
    assert repr(plain) == str(plain) == f"Event(id={plain.id})"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 10_000, f"'{'x' * 27}...{'x' * 28}'"),
        (b"x" * 10_000, f"b'{'x' * 26}...{'x' * 28}'"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, ...]"),
        ([["a" * 50], ["b" * 50]], f"[['{'a' * 50}'], ..."),
        (Broken(), None),
        ([Broken()], None),
        (10**5000, None),
    ],
    ids=["text", "bytes", "list", "nested", "broken", "broken inside", "int"],
)
def test_a_long_value_is_cut(value, text):
    """To 60 characters. An error in a ``__repr__()`` of a user raises nothing."""
    event = Fetch(url="u", retries=value)
    shown = repr(event).removeprefix("Fetch(url='u', retries=").removesuffix(f", id={event.id})")
    assert len(shown) <= 60
    assert text is None or shown == text


def test_many_fields_are_cut():
    names = [f"field_{number}" for number in range(12)]
    event = type("Many", (Event,), {"__annotations__": dict.fromkeys(names, int), **dict.fromkeys(names, 5)})()
    assert repr(event) == f"Many({', '.join(f'{name}=5' for name in names[:10])}, ..., id={event.id})"
    call = Call.of(fetch, *range(50))
    assert repr(call) == f"Call(fetch, {', '.join(map(str, range(9)))}, ..., id={call.id})"


def test_secrets_are_left_out():
    """Redacted fields, what quotes them, and fields with ``repr=False``. A field may have a repr of its own."""
    event = Login(user="ann", api_key="sesame-open", note={"url": "/?key=sesame-open"})
    assert repr(event) == f"Login(user='ann', api_key=***, note=***, size=0005, id={event.id})"
    short = Login(user="ann", api_key="ab", note="abc")
    assert repr(short) == f"Login(user='ann', api_key=***, note='abc', size=0005, id={short.id})"


def test_a_call_shows_its_arguments():
    """The function by its name, whatever kind it is."""
    call = Call.of(fetch, "/a", n=[2])
    assert repr(call) == f"Call(fetch, '/a', n=[2], id={call.id})"
    assert str(call) == f"Call(fetch, id={call.id})"
    bound = Call.of(partial(fetch, n=5), "/a")
    assert repr(bound) == f"Call(fetch, '/a', id={bound.id})"


def test_arguments_of_calls_may_be_secret():
    class Secretly(Call):
        args: tuple = attrs.field(default=(), metadata={"redact": True})

    call = Secretly(function=fetch, args=("sesame-open",), kwargs={"n": 1})
    assert repr(call) == f"Secretly(fetch, ***, id={call.id})"


def test_a_class_may_say_it_itself():
    """Then messages say it too."""

    class Own(Event):
        def __repr__(self):
            return "my own event"

    class OwnCall(Call):
        def __repr__(self):
            return "my own call"

    assert (repr(Own()), str(Own()), str(OwnCall.of(fetch, 1))) == ("my own event", "my own event", "my own call")


async def test_messages_are_short():
    """They name the event by its class and id, and say nothing of its fields."""
    async with Executor.of(Event) as executor:
        event = await executor.append(Fetch(url="https://example.com/secret"))
        later = await executor.append(Fetch(url="https://example.com/secret"), after=event)
        texts = [str(executor.explain(later))]
        await later.wait()
        assert isinstance(later.execution.error, Skip)
        texts.append(str(later.execution.error))
        with pytest.raises(EventFailed) as caught:
            event.result()
        texts.append(str(caught.value))
        event.execution.status = "pending"
        with pytest.raises(InvariantBroken) as broken:
            check_invariants(executor)
        texts.append(str(broken.value))
        event.execution.status = "failed"
    for text in texts:
        assert "example.com" not in text
    assert texts[2] == f"Fetch(id={event.id}) is failed: ValueError('no')"
