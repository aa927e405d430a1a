"""The key and the priority that an executor gives to its calls: ``Executor.of(fetch, key=..., priority=...)``."""

import anyio
import pytest

from lionpride_exec import Call, ConfigurationError, Event, EventStatus, Executor, Journal
from lionpride_exec.testing import check_invariants, inline, record

pytestmark = pytest.mark.anyio


@pytest.fixture
def calls():
    """The arguments of the calls of ``fetch()``, in the order of their starts."""
    CALLS.clear()
    return CALLS


CALLS = []


async def fetch(url, retries=0):
    CALLS.append(url)
    await anyio.sleep(1)
    return f"page {url}, {retries}"


async def other(first, second):
    return first + second


def url_of(url, retries=0):
    """Return the key of a call of ``fetch()``. None for a URL that is fetched each time."""
    return None if url.startswith("/now") else (url, retries)


class Fetch(Event):
    url: str

    async def _invoke(self):
        return await fetch(self.url)


async def test_calls_with_the_same_arguments_are_one_event(calls):
    """By ``append()``, ``invoke()`` and ``extend()``; a call without a key is a new event each time."""
    async with Executor.of(fetch, key=url_of) as executor:
        first = await executor.append(Call.of(fetch, "/a"))
        assert await executor.append(Call.of(fetch, url="/a")) is first
        assert await executor.append(Call.of(fetch, "/a", retries=1)) is not first
        assert await executor.invoke(Call.of(fetch, "/a")) == "page /a, 0"
        events = await executor.extend(Call.of(fetch, url) for url in ("/a", "/b", "/b", "/now", "/now"))
        assert events[0] is first
        assert events[1] is events[2]
        assert events[3] is not events[4]
    assert sorted(calls) == ["/a", "/a", "/b", "/now", "/now"]
    check_invariants(executor, at_rest=True)


async def test_what_is_given_at_the_call_wins(calls):
    """For ``append()``, ``extend()`` and ``map()``, key and priority each by itself."""
    async with Executor.of(fetch, key=url_of, priority=lambda url, **_: len(url), concurrency_limit=1) as executor:
        executor.pause()
        await executor.append(Call.of(fetch, "/long"), key="mine")
        await executor.append(Call.of(fetch, "/long"), key="mine too", priority=0)
        await executor.append(Call.of(fetch, "/b"))
        await executor.extend([Call.of(fetch, "/cc"), Call.of(fetch, "/cc")], key=lambda call: call.id)
        await executor.extend([Call.of(fetch, "/dddd")], priority=lambda _: 2.5)
        executor.resume()
        await executor.join()
        assert calls == ["/long", "/b", "/dddd", "/cc", "/cc", "/long"]
        calls.clear()
        async for _ in executor.map(fetch, ["/b", "/e", "/e"], key=lambda url: f"mapped {url}"):
            pass
    assert calls == ["/b", "/e"]


async def test_maps_use_them(calls):
    """Each item has its event back, known or not; ``starmap()`` has the arguments apart."""
    async with Executor.of(fetch, key=url_of, priority=-1) as executor:
        pages = [call.result() async for call in executor.map(fetch, ["/a", "/b", "/a", "/now"], ordered=True)]
        assert pages == ["page /a, 0", "page /b, 0", "page /a, 0", "page /now, 0"]
        assert sorted(calls) == ["/a", "/b", "/now"]
        pages = [call.result() async for call in executor.starmap(fetch, [("/c", 1), ("/c", 2), ("/c", 1)])]
        assert sorted(pages) == ["page /c, 1", "page /c, 1", "page /c, 2"]
        assert sorted(calls) == ["/a", "/b", "/c", "/c", "/now"]
    check_invariants(executor, at_rest=True)


async def test_an_async_iterable_of_items(calls):
    async def urls():
        for url in ("/a", "/b", "/a"):
            yield url

    async with Executor.of(fetch, key=url_of) as executor:
        pages = [call.result() async for call in executor.map(fetch, urls())]
    assert len(pages) == 3
    assert sorted(calls) == ["/a", "/b"]


async def test_a_class_of_events_is_asked_by_the_event(calls):
    """Of its subclasses too."""

    class Again(Fetch):
        pass

    async with Executor.of(Fetch, key=lambda event: event.url, priority=lambda event: -len(event.url)) as executor:
        executor.pause()
        first = await executor.append(Fetch(url="/a"))
        assert await executor.append(Again(url="/a")) is first
        await executor.append(Again(url="/bb"))
        executor.resume()
        await executor.join()
        assert calls == ["/bb", "/a"]
        assert [event async for event in executor.map(Fetch, ["/a"])] == [first]


async def test_calls_of_other_functions_have_none(calls):
    """Their arguments mean something else. A bound method is the same function each time."""

    class Client:
        async def fetch(self, url):
            return await fetch(url)

    async with Executor.of(fetch, key=url_of) as executor:
        events = await executor.extend(Call.of(other, 1, 2) for _ in range(2))
        assert events[0] is not events[1]
        assert await executor.invoke(Call.of(other, first=3, second=4)) == 7
    client = Client()
    async with Executor.of(client.fetch, key=lambda url: url) as executor:
        events = await executor.extend(Call.of(client.fetch, "/a") for _ in range(2))
        assert events[0] is events[1]
        assert await executor.append(Call.of(Client().fetch, "/a")) is not events[0]
    assert calls == ["/a", "/a"]


async def test_a_journal_does_nothing_twice(tmp_path, calls):
    """Of one run or of two; many events are still written in one commit."""
    path = tmp_path / "run.db"
    for _ in range(2):
        async with Executor.of(fetch, key=url_of, journal=Journal(path)) as executor:
            events = await executor.extend(Call.of(fetch, f"/{number % 20}") for number in range(40))
            assert len({event.id for event in events}) == 20
            pages = [call.result() async for call in executor.map(fetch, ["/0", "/1", "/new"], ordered=True)]
            assert pages == ["page /0, 0", "page /1, 0", "page /new, 0"]
    assert sorted(calls) == sorted([*(f"/{number}" for number in range(20)), "/new"])


async def test_each_run_of_a_schedule_is_new_work(calls):
    """A schedule appends the same call again and again."""
    async with Executor.of(fetch, key=url_of) as executor:
        schedule = executor.schedule(lambda _: Call.of(fetch, "/a"), every=60)
        await anyio.sleep(200)
        schedule.cancel()
    assert len(calls) >= 3


@pytest.mark.parametrize("name", ["key", "priority"])
async def test_an_error_of_the_function(name):
    """The call raises it, and nothing has changed."""

    def fail(url):
        raise LookupError(url)

    executor = Executor.of(fetch, **{name: fail})
    async with executor:
        event = Call.of(fetch, "/a")
        with pytest.raises(LookupError, match="/a"):
            await executor.append(event)
        assert event not in executor
        with pytest.raises(TypeError, match="retries"):
            await executor.append(Call.of(fetch, "/a", retries=1))
        with pytest.raises(LookupError, match="/a"):
            async for _ in executor.map(fetch, ["/a"]):
                pass
        await executor.append(Call.of(other, 1, 2))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "url"}, TypeError, "key must be a function of what the target gets, got 'url'"),
        ({"priority": "high"}, ValueError, "Priority must be finite"),
        ({"priority": float("nan")}, ValueError, "Priority must be finite"),
        ({"keys": url_of}, ConfigurationError, r"unknown keys: keys \(did you mean 'key'\?\)"),
        ({"prioritty": 5}, ConfigurationError, r"unknown keys: prioritty \(did you mean 'priority'\?\)"),
        ({"jornal": None}, ConfigurationError, r"unknown keys: jornal \(did you mean 'journal'\?\)"),
    ],
)
def test_what_is_wrong_is_refused(options, error, message, tmp_path):
    """By ``of()``, before it takes the journal."""
    journal = Journal(tmp_path / "run.db")
    with pytest.raises(error, match=message):
        Executor.of(fetch, journal=journal, **options)
    Executor.of(fetch, journal=journal)


async def test_the_invariants_know_them():
    """The order of the default priorities is no mistake, and a key is known once."""
    executor = Executor.of(fetch, key=url_of, priority=lambda url, **_: -len(url), concurrency_limit=1)
    with record(executor) as trace:
        async with executor:
            executor.pause()
            for url in ("/a", "/bb", "/ccc", "/a"):
                await executor.append(Call.of(fetch, url))
            executor.resume()
    trace.check(at_rest=True)


async def test_an_inline_executor_has_them(calls):
    executor = inline(Executor.of(fetch, key=url_of))
    first = await executor.append(Call.of(fetch, "/a"))
    assert first.status is EventStatus.COMPLETED
    assert await executor.append(Call.of(fetch, "/a")) is first
    assert calls == ["/a"]
