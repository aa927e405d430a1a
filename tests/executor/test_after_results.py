"""The results of the events that an event comes after."""

import gc
import weakref

import anyio
import pytest

from lionpride_exec import Call, Event, Executor, Journal, Retain, Retry, current_event

pytestmark = pytest.mark.anyio


class Part(Event[int], tag="test_after_results.part"):
    number: int
    seconds: float = 0.0

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        return self.number


class Sum(Event[list[int]], tag="test_after_results.sum"):
    fails: int = 0

    async def _invoke(self):
        if self.execution.attempt <= self.fails:
            raise ValueError("not yet")
        return await self.after_results()


async def test_results_come_in_the_order_of_after():
    """Whichever ends first, and whether it had ended before."""
    async with Executor.of(Event) as executor:
        done = await executor.append(Part(number=0))
        await done.wait()
        parts = [await executor.append(Part(number=number, seconds=5 - number)) for number in (1, 2, 3)]
        total = await executor.append(Sum(), after=[parts[2], done.id, parts[0], parts[1]])
        single = await executor.append(Sum(), after=parts[1])
        none = await executor.append(Sum())
    assert (total.result(), single.result(), none.result()) == ([3, 0, 1, 2], [2], [])


async def test_a_retry_gets_them_again():
    async with Executor.of(Event, retry=Retry(3)) as executor:
        part = await executor.append(Part(number=7))
        total = await executor.append(Sum(fails=2), after=part)
    assert total.result() == [7]


async def test_a_function_gets_them():
    async def total():
        return sum(await current_event().after_results())

    async def part(number):
        return number

    async with Executor.of(part) as executor:
        parts = await executor.extend(Call.of(part, number) for number in range(5))
        event = await executor.append(Call.of(total), after=parts)
    assert event.result() == 10


async def test_results_that_have_left_memory_are_still_there():
    """The event keeps those that it comes after until its end, and no longer."""
    async with Executor.of(Event, retain=Retain(0)) as executor:
        first = await executor.append(Part(number=1))
        second = await executor.append(Sum(), after=first)
        third = await executor.append(Sum(), after=second)
        await third.wait()
        assert (second.result(), third.result()) == ([1], [[1]])
        kept = weakref.ref(first)
        del first
        gc.collect()
        assert kept() is None


@pytest.mark.parametrize("when", ["before", "after"])
async def test_only_a_running_event_has_them(when):
    event = Sum()
    async with Executor.of(Event) as executor:
        if when == "after":
            await executor.invoke(event)
        with pytest.raises(RuntimeError, match="does not run"):
            await event.after_results()


@pytest.mark.parametrize("retain", [None, Retain(0)])
async def test_results_are_read_from_a_journal_after_a_restart(tmp_path, retain):
    """Of those that had completed before, and of those that complete now; also if nothing is to be retained."""
    path = tmp_path / "run.db"
    executor = Executor.of(Event, journal=Journal(path, retain=retain), concurrency_limit=1)
    await executor.start()
    done = await executor.append(Part(number=1))
    await done.wait()
    slow = await executor.append(Part(number=2, seconds=100))
    total = await executor.append(Sum(), after=[slow, done])
    await anyio.sleep(1)
    await executor.stop(grace=0)
    again = Executor.of(Event, journal=Journal(path, retain=retain))
    async with again:
        await again.join()
        assert (await again.get(total.id)).result() == [2, 1]
