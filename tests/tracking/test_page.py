"""page(): some events of a status, the newest first, however many there are."""

from sys import setprofile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Job, chunks_of, make_executor

from lionpride_exec import TRANSITIONS, Event, EventStatus, Executor, NotFoundError
from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio

STATUSES = list(EventStatus)


async def filled(number):
    """Return an executor with pending events, and the events."""
    executor = make_executor(max_queue_size=1_000_000)
    return executor, await executor.extend([Job(name=str(index)) for index in range(number)])


def walk(executor, status, limit):
    """Return the events on all pages."""
    found = []
    page = executor.page(status, limit=limit)
    while page:
        assert len(page) <= limit
        found += page
        page = executor.page(status, before=page, limit=limit)
    return found


async def test_the_newest_come_first():
    """A page has the last events of the status, at most 100 of them unless said otherwise."""
    executor, events = await filled(250)
    assert executor.page("pending") == events[:-101:-1]
    assert executor.page(EventStatus.PENDING, limit=2) == [events[249], events[248]]
    assert executor.page("completed") == []


async def test_the_last_event_of_a_page_leads_to_the_next_one():
    """The event, its id, the text of the id and the whole page do."""
    executor, events = await filled(5)
    page = executor.page("pending", limit=2)
    for before in (page, page[-1], page[-1].id, str(page[-1].id), [event.id for event in page]):
        assert executor.page("pending", before, 2) == [events[2], events[1]]


async def test_events_that_leave_the_status_do_not_break_the_walk():
    """The last event of the page that still has the status counts, so none is missed and none is read again."""
    executor, events = await filled(6)
    page = executor.page("pending", limit=3)
    executor.cancel(events[3])
    executor.cancel(events[4])
    assert executor.page("pending", before=page, limit=2) == [events[2], events[1]]


async def test_a_page_that_has_left_the_status_is_refused():
    """The error names the event or the status, and nothing has changed."""
    executor, events = await filled(3)
    executor.cancel(events[1])
    with pytest.raises(NotFoundError, match=f"{events[1].id}.* is not pending any more"):
        executor.page("pending", before=events[1])
    with pytest.raises(NotFoundError, match="none of these events is failed any more"):
        executor.page("failed", before=events)
    assert executor.page("pending") == [events[2], events[0]]


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
async def test_a_limit_is_a_number_of_events(limit):
    """Anything else is refused."""
    executor, _ = await filled(1)
    with pytest.raises(ValueError, match="limit must be an integer, 1 or more"):
        executor.page("pending", limit=limit)


async def test_an_unknown_status_is_refused():
    """As by get_events_by_status()."""
    executor, _ = await filled(1)
    with pytest.raises(NotFoundError, match="Status 'open' not found"):
        executor.page("open")


async def test_failures_on_a_page_count_as_looked_at(caplog):
    """Only those: the end of the lifetime warns of the others."""
    executor = make_executor()
    async with executor:
        for _ in range(3):
            await executor.append(Job(error=ValueError("no")))
        await executor.join()
        assert len(executor.page("failed", limit=2)) == 2
    assert "1 failed" in caplog.text


class Walked(Event):
    """Does nothing."""


@pytest.fixture(scope="module", params=[1, 4, 32])
def chunk_size(request):
    """How many ids lie in one list: few, so that 21 events fill several."""
    with chunks_of(request.param):
        yield request.param


@pytest.mark.usefixtures("chunk_size")
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(STATUSES)), max_size=60),
    limit=st.integers(1, 20),
)
def test_the_pages_are_the_whole_list(backend, steps, limit):
    """After any transitions, by any steps, the newest first."""

    async def main():
        executor = Executor.of(Walked)
        events = await executor.extend([Walked() for _ in range(21)])
        for place, target in steps:
            if target in TRANSITIONS[events[place].status]:
                events[place].status = target
        for status in STATUSES:
            assert walk(executor, status, limit) == executor.get_events_by_status(status)[::-1]

    run(main, backend=backend)


@pytest.mark.usefixtures("chunk_size")
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=50)
@given(
    steps=st.lists(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(STATUSES)), max_size=8), max_size=12),
    limit=st.integers(1, 9),
    status=st.sampled_from(STATUSES),
)
def test_transitions_between_the_pages_hide_and_repeat_nothing(backend, steps, limit, status):
    """What has the status all the time is on one page, and nothing that did not come back is on two."""

    async def main():
        executor = Executor.of(Walked)
        events = await executor.extend([Walked() for _ in range(21)])
        for event in events:
            if status in TRANSITIONS[event.status]:
                event.status = status
        had = always = set(executor.get_events_by_status(status))
        came_back, found = set(), []
        moves = iter(steps)
        page = executor.page(status, limit=limit)
        while page:
            found += page
            for place, target in next(moves, ()):
                event = events[place]
                if target in TRANSITIONS[event.status]:
                    came_back |= {event} if target is status else set()
                    event.status = target
                always = always & {event for event in had if event.status is status}
            if not any(event.status is status for event in page):
                return  # the next page is refused
            page = executor.page(status, before=page, limit=limit)
        assert always <= set(found)
        assert all(found.count(event) <= 1 for event in had - came_back)

    run(main, backend=backend)


async def test_a_page_costs_the_same_wherever_it_begins():
    """The number of calls, also of functions in C, does not depend on how many events are before the page."""
    executor, events = await filled(20_000)
    for event in events[8_000:10_000]:
        executor.cancel(event)
    for place in (100, 7_999, 10_000, 19_999):
        calls = 0

        def count(_frame, what, _argument):
            nonlocal calls
            calls += what in {"call", "c_call"}

        setprofile(count)
        page = executor.page("pending", before=events[place])
        setprofile(None)
        assert len(page) == 100
        assert calls < 1000
