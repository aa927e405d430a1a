"""What the pages promise, as scenarios that a journal must not change: each returns plain data."""

import math
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anyio
from parity_world import Answer, Asked, Gated, Joined, Work, counts, error_of, listed, outcome, read, scenario, written

from lionpride_exec import Concurrent, EventFailed, EventStatus, LionTimeoutError, Rate, Retry


def names(events):
    return [event.name for event in events]


async def ended(executor, event):
    """Append an event, and return it when it has ended and, with a journal, left memory."""
    await executor.append(event)
    await event.wait()
    await written(executor)
    return event


# ---------------------------------------------------------------- control


@scenario
async def cancel_what_waits(world):
    """control.md: it has ended when the call returns; True. With a strict journal, once that is on disk."""
    async with world.running(concurrency_limit=1) as executor:
        first, second = await executor.extend([Work(name="a", seconds=5), Work(name="b")])
        await anyio.sleep(1)
        said = executor.cancel(second, "no")
        await second.wait()
        return said, executor.cancel(second), error_of(second), first.status.value, world.now()


@scenario
async def cancel_what_runs(world):
    """control.md: its run is cancelled, with the reason as its error."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a", seconds=60))
        await anyio.sleep(2)
        said = executor.cancel(event, "too big"), executor.cancel(event, "again")
        await event.wait()
        return said, event.status.value, error_of(event), world.now()


@scenario
async def cancel_what_has_ended(world):
    """control.md: it stays as it is; False, for the event, its id, and the id as text."""
    async with world.running() as executor:
        events = [await ended(executor, Work(name="a")), await ended(executor, Work(name="b", fails=1))]
        said = [executor.cancel(one) for event in events for one in (event, event.id, str(event.id))]
        return said, [event.status.value for event in events]


@scenario
async def skip_what_has_ended(world):
    """control.md: the same for skip()."""
    async with world.running() as executor:
        event = await ended(executor, Work(name="a"))
        return [executor.skip(one) for one in (event, event.id, str(event.id))]


@scenario
async def cancel_at_the_very_end(world):
    """control.md: at whatever moment after the end, False."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a"))
        await event.wait()
        said = []
        for _ in range(5):
            said.append((executor.cancel(event), executor.skip(event.id), executor.explain(event).waits_for.value))
            await anyio.lowlevel.checkpoint()
        await written(executor)
        return said


@scenario
async def skip_what_waits_and_what_runs(world):
    """control.md: SKIPPED, with a Skip as the error."""
    async with world.running(concurrency_limit=1) as executor:
        events = await executor.extend([Work(name="a", seconds=9), Work(name="b")])
        await anyio.sleep(1)
        said = [executor.skip(event, event.name) for event in events]
        for event in events:
            await event.wait()
        return said, [(event.status.value, error_of(event)) for event in events]


@scenario
async def raise_skip(world):
    """control.md: no failure, no response; also in a group."""
    async with world.running() as executor:
        events = [await ended(executor, Work(name="a", way=way)) for way in ("skip", "skip group")]
        return [(event.status.value, event.execution.retryable, await outcome(event.result)) for event in events]


@scenario
async def a_run_has_the_last_word(world):
    """control.md: one that catches the cancellation and returns ends COMPLETED."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a", seconds=60, way="returns anyway"))
        await anyio.sleep(1)
        said = executor.cancel(event)
        await event.wait()
        return said, event.status.value, event.result()


@scenario
async def control_of_strangers(world):
    """control.md: any other event is a NotFoundError; what is no id is a ValueError or TypeError."""
    async with world.running() as executor:
        await ended(executor, Work(name="a"))
        calls = (executor.cancel, executor.skip, executor.explain)
        stranger = Work(name="done")
        await stranger.invoke()
        return [await outcome(call, what) for call in calls for what in (Work(), stranger, uuid4(), "no id")]


@scenario
async def pause_and_resume(world):
    """control.md: nothing starts meanwhile; what runs goes on."""
    async with world.running() as executor:
        seen = world.log(executor)
        await executor.append(Work(name="a", seconds=2))
        await anyio.sleep(1)
        executor.pause()
        waiting = await executor.append(Work(name="b"))
        await anyio.sleep(10)
        why = executor.explain(waiting).waits_for.value, executor.is_paused
        executor.resume()
    return why, seen


@scenario
async def resize_up_and_down(world):
    """control.md: upwards at once, downwards as they end."""
    async with world.running(concurrency_limit=1) as executor:
        await executor.extend(Work(name=str(number), seconds=10) for number in range(8))
        running = []
        for limit in (1, 4, 2):
            executor.resize(concurrency_limit=limit)
            await anyio.sleep(1)
            running.append(executor.status_counts()["processing"])
        await anyio.sleep(10)
        running.append(executor.status_counts()["processing"])
    return running, world.now()


@scenario
async def cancel_what_is_delayed_or_retried(world):
    """control.md: whatever it waits for, it ends at once."""
    async with world.running(retry=Retry(5, backoff=50, jitter=0)) as executor:
        delayed = await executor.append(Work(name="a"), delay=100)
        retried = await executor.append(Work(name="b", fails=9))
        await anyio.sleep(1)
        why = [executor.explain(event).waits_for.value for event in (delayed, retried)]
        said = [executor.cancel(event) for event in (delayed, retried)]
        await delayed.wait()
        await retried.wait()
    return why, said, delayed.status.value, retried.status.value, world.now()


# ---------------------------------------------------------------- handles


@scenario
async def wait_and_result_after_the_end(world):
    """handles.md: wait() returns however it ended; result() gives the response or raises EventFailed."""
    async with world.running() as executor:
        good, bad = await ended(executor, Work(name="a")), await ended(executor, Work(name="b", fails=1))
        await good.wait()
        await bad.wait()
        try:
            bad.result()
        except EventFailed as exc:
            raised = type(exc).__name__, repr(exc.__cause__)
        return good.result(), raised, bad.execution.retryable


@scenario
async def invoke_gives_the_response(world):
    """handles.md: append, wait, result."""
    async with world.running() as executor:
        return await executor.invoke(Work(name="a", seconds=1)), await outcome(executor.invoke, Work(fails=1))


@scenario
async def what_has_ended_is_not_taken_again(world):
    """append(): what is here already is an ExistsError, whatever has become of it; as_fresh_event() is new."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a", seconds=3))
        said = [await outcome(executor.append, event)]
        await event.wait()
        said.append(await outcome(executor.append, event))
        await written(executor)
        said += [await outcome(executor.append, event), await outcome(executor.invoke, event)]
        fresh = event.as_fresh_event()
        return said, await executor.invoke(fresh), counts(executor)


@scenario
async def a_record_of_what_has_ended_is_not_taken(world):
    """append(): another object with an id that is here already is an ExistsError too, a restored record for one."""
    async with world.running() as executor:
        event = Work(name="a")
        record = event.to_dict(mode="json")
        await ended(executor, event)
        again = Work.from_dict(record)
        said = again in executor, await outcome(executor.append, again), await outcome(executor.extend, [again])
        return said, again.status.value, counts(executor)


@scenario
async def an_ended_event_keeps_its_status(world):
    """Event.status: in an executor the table rules, and nothing leads out of a final status."""
    async with world.running() as executor:
        event = await ended(executor, Work(name="a"))

        def assign(status):
            event.status = status

        return [await outcome(assign, status) for status in ("pending", "failed", "completed")], event.status.value


@scenario
async def as_completed_in_order_of_the_ends(world):
    """handles.md: in the order they end, those that have ended already first, a duplicate once."""
    async with world.running() as executor:
        early = await ended(executor, Work(name="early"))
        others = await executor.extend(Work(name=str(number), seconds=number) for number in (3, 1, 2))
        return [(event.name, world.now()) async for event in executor.as_completed([*others, early, early, others[0]])]


@scenario
async def extend_gives_them_back(world):
    """handles.md: a list, in order; an async iterable too."""

    async def source():
        for number in range(3):
            yield Work(name=f"async {number}")

    async with world.running() as executor:
        events = await executor.extend(Work(name=str(number)) for number in range(150))
        events += await executor.extend(source(), priority=0)
    return names(events)[-5:], counts(executor)


@scenario
async def map_in_order_of_ends_and_of_items(world):
    """maps.md: map() by ends, or ordered=True."""
    items = [{"name": str(seconds), "seconds": seconds} for seconds in (3, 1, 2, 5, 4)]
    async with world.running() as executor:
        by_ends = [(event.name, world.now()) async for event in executor.map(Work, items)]
        ordered = [event.name async for event in executor.map(Work, items, ordered=True)]
    return by_ends, ordered, executor.progress().done, executor.progress().total


@scenario
async def map_with_failures(world):
    """maps.md: a failure is data; with fail_fast it ends the loop."""
    items = [{"name": str(number), "seconds": number, "fails": number // 2 % 2 * (3 - number)} for number in range(4)]
    async with world.running() as executor:
        given = [(event.name, event.status.value) async for event in executor.map(Work, items, ordered=True)]

    async def hurry():
        return [event.name async for event in executor.map(Work, items, fail_fast=True)]

    async with world.running() as executor:
        return given, await outcome(hurry)


@scenario
async def map_with_keys(world):
    """maps.md, keys.md: what is known under its key is given and not done again."""
    items = [{"name": name, "seconds": 1} for name in "abacab"]
    async with world.running() as executor:
        pending = [e.name async for e in executor.map(Work, items, ordered=True, key=lambda item: item["name"])]
        again = await executor.append(Work(name="d"), key="d")
    return pending, again.name


@scenario
async def map_of_async_items(world):
    """maps.md: async items are read by a task, and a bounded number of events is in the executor."""

    async def source():
        for number in range(5):
            await anyio.sleep(1)
            yield {"name": str(number), "seconds": 3}

    async with world.running() as executor:
        return [(e.name, world.now()) async for e in executor.map(Work, source(), lookahead=2, ordered=True)]


@scenario
async def waiting_for_oneself(world):
    """Event.wait(): from inside the event itself it is a RuntimeError."""
    said = []

    async def inner(name):
        (event,) = executor.processing_events
        said.append(await outcome(event.wait))
        return name

    async with world.executor(inner) as executor:
        return said, [call.result() async for call in executor.map(inner, ["a"])]


@scenario
async def membership(world):
    """`event in executor`, by id too, from append() on."""
    async with world.running() as executor:
        event = Work(name="a", seconds=1)
        said = [event in executor]
        await executor.append(event)
        for wait in (anyio.lowlevel.checkpoint, event.wait, lambda: written(executor)):
            await wait()
            said += [event in executor, event.id in executor, str(event.id) in executor]
        return said, Work() in executor, uuid4() in executor, "no id" in executor


# ---------------------------------------------------------------- time and order


@scenario
async def delays(world):
    """time-and-order.md: not before its time; a past one is now."""
    async with world.running() as executor:
        seen = world.log(executor)
        await executor.append(Work(name="a"), delay=5)
        await executor.append(Work(name="b"), at=datetime.now(UTC) - timedelta(days=1))
        await executor.append(Work(name="c"), delay=0, priority=1)
        await executor.append(Work(name="d"), delay=5, priority=-1)
    return sorted(seen, key=lambda one: (one[2], one[0]))


@scenario
async def refused_times_and_priorities(world):
    """append(): numbers that are none, and both delay and at, are a ValueError; nothing is left behind."""
    async with world.running() as executor:
        said = [
            await outcome(executor.append, Work(), **options)
            for options in (
                {"delay": -1}, {"delay": math.nan}, {"priority": math.inf}, {"delay": 1, "at": datetime.now(UTC)},
                {"at": "soon"}, {"key": [object()]},
            )
        ]  # fmt: skip
        return said, counts(executor)


@scenario
async def a_chain(world):
    """time-and-order.md: after all of them have completed; a delay counts from the append."""
    async with world.running() as executor:
        seen = world.log(executor)
        a = await executor.append(Work(name="a", seconds=3))
        b = await executor.append(Work(name="b", seconds=1), delay=4)
        c = await executor.append(Work(name="c"), after=[a, b.id])
        await executor.append(Work(name="d"), after=c, delay=20)
        why = executor.explain(c)
    return seen, why.waits_for.value, set(why.after) == {a.id, b.id}


@scenario
async def after_a_failure(world):
    """time-and-order.md: SKIPPED, all the way down, with a Skip that says why."""
    async with world.running() as executor:
        bad = await executor.append(Work(name="bad", seconds=1, fails=1))
        second = await executor.append(Work(name="second"), after=bad)
        third = await executor.append(Work(name="third"), after=[second])
        await third.wait()
        return [(event.status.value, error_of(event)[0], part in error_of(event)[1]) for event, part in (
            (second, "which is failed: "), (third, "which is skipped, since "))]  # fmt: skip


@scenario
async def after_what_has_ended(world):
    """time-and-order.md: has completed already: queued at once; has failed already: SKIPPED at once."""
    async with world.running() as executor:
        good, bad = await ended(executor, Work(name="a")), await ended(executor, Work(name="b", fails=1))
        found = []
        for after in (good, good.id, str(good.id), [good, bad], bad.id):
            event = await executor.append(Work(name="c"), after=after)
            await event.wait()
            error = error_of(event)
            found.append((event.status.value, error and (error[0], "which is failed" in error[1])))
        return found


@scenario
async def after_what_is_not_here(world):
    """time-and-order.md: a stranger is a NotFoundError, itself a ValueError."""
    async with world.running() as executor:
        event = Work(name="a")
        said = [await outcome(executor.append, event, after=after) for after in (Work(), uuid4(), event, [event.id])]
        return said, event in executor


@scenario
async def a_key_that_is_known(world):
    """keys.md: the known event is given back, whatever its status; the new one is left alone."""
    async with world.running() as executor:
        first = await executor.append(Work(name="first", seconds=2), key=("k", 1))
        found = []
        for wait in (lambda: anyio.sleep(1), first.wait, lambda: written(executor)):
            await wait()
            new = Work(name="new")
            known = await executor.append(new, key=("k", 1))
            found.append((known.id == first.id, known.status.value, new in executor, new.status.value))
        bad = await ended_with_key(executor)
        known = await executor.append(Work(name="new"), key="bad")
        return found, known.id == bad.id, known.status.value, await outcome(known.result), counts(executor)


async def ended_with_key(executor):
    bad = await executor.append(Work(name="bad", fails=1), key="bad")
    await bad.wait()
    await written(executor)
    return bad


@scenario
async def keys_that_are_equal_are_one(world):
    """keys.md: anything hashable; equal numbers are one key, wherever they stand, others are not."""
    keys = [1, 1.0, True, 0, -0.0, False, 1.5, "1", (1, ("x", 2.0)), (1.0, ("x", 2)), frozenset([3.0]), frozenset([3])]
    async with world.running() as executor:
        return [(await executor.append(Work(name=repr(key)), key=key)).name for key in keys]


@scenario
async def a_known_key_at_a_full_queue(world):
    """keys.md: it needs no room: no QueueFullError, and no waiting."""
    async with world.running(concurrency_limit=1, max_queue_size=2) as executor:
        done = await executor.append(Work(name="done"), key="done")
        await done.wait()
        await written(executor)
        running = await executor.append(Work(name="running", seconds=50), key="running")
        await anyio.sleep(1)
        waiting = await executor.append(Work(name="waiting"), key="waiting")
        await executor.append(Work(name="more"))
        said = [await outcome(executor.append, Work(name="x"), key="new"), await outcome(executor.append, Work())]
        for key, event in (("done", done), ("running", running), ("waiting", waiting)):
            for wait in (False, True):
                known = await executor.append(Work(name="x"), key=key, wait=wait)
                said.append((known.id == event.id, known.status.value))
        return said, await executor.invoke(Work(), key="done"), world.now()


@scenario
async def a_known_key_of_what_could_not_be_taken(world):
    """append(): with a known key nothing of the new event matters: neither its cost nor that it stands elsewhere."""
    async with world.running(limits=Rate(5, per=1, cost="cost")) as executor, world.running() as other:
        done = await executor.append(Work(name="done"), key="k")
        await done.wait()
        await written(executor)
        theirs = await other.append(Work(name="theirs", seconds=1))
        dear = Work(name="dear", cost=9)
        said = [await outcome(executor.append, event) for event in (theirs, dear)]
        return said, [(await executor.append(event, key="k")).name for event in (theirs, dear, done)]


@scenario
async def order_by_priority(world):
    """dispatch.md: the lowest number first, then by arrival."""
    async with world.running(concurrency_limit=1) as executor:
        seen = world.log(executor)
        executor.pause()
        for name, priority in (("c", 5), ("a", 1), ("b", 1), ("d", None), ("first", -2)):
            await executor.append(Work(name=name), priority)
        executor.resume()
    return [name for name, status, _ in seen if status == "processing"]


# ---------------------------------------------------------------- limits


async def times(world, events, **config):
    """Return when the events start, in the order they start."""
    async with world.running(**config) as executor:
        seen = world.log(executor)
        executor.pause()
        await executor.extend(events, priority=0)
        executor.resume()
    return [(name, now) for name, status, now in seen if status == "processing"]


@scenario
async def a_rate(world):
    """limits.md: no window holds more than the amount."""
    return await times(world, [Work(name=str(number)) for number in range(7)], limits=Rate(3, per=10))


@scenario
async def a_rate_by_key(world):
    """limits.md: each key has an amount of its own; None is not limited; keys take turns."""
    users = ["ann", "ann", "ann", "bob", None, None, "bob"]
    events = [Work(name=f"{user} {number}", user=user) for number, user in enumerate(users)]
    return await times(world, events, limits=Rate(1, per=10, key="user"), concurrency_limit=1)


@scenario
async def a_rate_by_cost_settled(world):
    """limits.md: settle() gives back what was taken too much, or takes more."""
    events = [Work(name="a", cost=8, way="cheap"), Work(name="b", cost=8, way="dear"), Work(name="c", cost=8)]
    return await times(world, events, limits=Rate(10, per=60, cost="cost"), concurrency_limit=1)


@scenario
async def a_rate_that_is_held(world):
    """limits.md: hold=True: it comes back some seconds after the end."""
    events = [Work(name=str(number), seconds=4) for number in range(3)]
    return await times(world, events, limits=Rate(1, per=10, hold=True))


@scenario
async def concurrent_by_key(world):
    """limits.md: so many of a key at a time."""
    events = [Work(name=f"{user} {number}", user=user, seconds=2) for number, user in enumerate("aaabb")]
    started = await times(world, events, limits=[Concurrent(1, key="user"), Concurrent(2)])
    # At 2.0 one event of each key ends. trio runs them in random order, so either key's next event may start first.
    return sorted(started, key=lambda start: (start[1], start[0]))


@scenario
async def rate_limited(world):
    """limits.md: nothing of that key starts for so long; it costs no attempt."""
    async with world.running(limits=Rate(100, per=60, key="user")) as executor:
        seen = world.log(executor)
        first = await executor.append(Work(name="a", user="ann", way="limited"))
        await anyio.sleep(1)
        await executor.extend([Work(name="b", user="ann"), Work(name="c", user="bob")])
    attempts = [attempt.interrupted for attempt in first.execution.attempts]
    return sorted(seen, key=lambda one: (one[2], one[0])), first.execution.attempt, attempts


@scenario
async def more_than_there_ever_is(world):
    """limits.md: an event that could never start is refused, and nothing has changed."""
    async with world.running(limits=Rate(5, per=1, cost="cost")) as executor:
        said = await outcome(executor.append, Work(cost=6)), await outcome(executor.append, Work(cost=-1))
        return said, counts(executor)


@scenario
async def why_and_how_much(world):
    """observing.md: explain() names the limit, the key, and the time; statistics() what is used."""
    limit = Rate(2, per=60, key="user")
    async with world.running(limits=limit) as executor:
        events = await executor.extend(Work(name=str(number), user="ann") for number in range(4))
        await events[1].wait()
        await written(executor)
        await anyio.sleep(10)
        why = [executor.explain(event) for event in events]
        now = executor.statistics()
        said = [(one.waits_for.value, one.limit is limit, one.key, one.seconds and round(one.seconds)) for one in why]
        used = [(use.key, use.used) for use in now.limits]
        return said, used, dict(now.waits), dict(now.status_counts), now.running, now.queued


# ---------------------------------------------------------------- retry


@scenario
async def retries(world):
    """retry.md: runs again after the backoff, and who waits goes on waiting."""
    async with world.running(retry=Retry(3, backoff=2, jitter=0)) as executor:
        seen = world.log(executor)
        good = await executor.append(Work(name="good", fails=2))
        bad = await executor.append(Work(name="bad", fails=9))
        await good.wait()
        await bad.wait()
        await written(executor)
    found = [
        (event.status.value, event.execution.attempt, [attempt.number for attempt in event.execution.attempts],
         [status.value for status, _ in event.history()], error_of(event))
        for event in (good, bad)
    ]  # fmt: skip
    return sorted(seen, key=lambda one: (one[2], one[0])), found


@scenario
async def what_is_retried(world):
    """retry.md: what `on` names, and the own timeout; the last one ends CANCELLED."""
    rule = Retry(2, backoff=1, jitter=0, on=LionTimeoutError)
    async with world.running(retry=rule) as executor:
        slow = await executor.append(Work(name="slow", seconds=60, timeout=3))
        bad = await executor.append(Work(name="bad", fails=1))
        own = await executor.append(Work(name="own", fails=1, retry=Retry(2, backoff=1, jitter=0)))
    events = (slow, bad, own)
    return [(event.status.value, event.execution.attempt, error_of(event)) for event in events], world.now()


@scenario
async def a_deadline(world):
    """retry.md: a retry that would be due later is not made."""
    async with world.running(retry=Retry(9, backoff=4, jitter=0, deadline=10)) as executor:
        event = await executor.append(Work(name="a", fails=99))
    return event.execution.attempt, event.status.value, world.now()


@scenario
async def a_budget(world):
    """retry.md: ten retries a minute are always allowed, more only by the share."""
    rule = Retry(5, backoff=0.01, jitter=0, budget=0.1)
    async with world.running(retry=rule) as executor:
        events = await executor.extend(Work(name=str(number), fails=9) for number in range(30))
    return sum(event.execution.attempt for event in events), counts(executor)


# ---------------------------------------------------------------- dispatch


@scenario
async def what_a_gate_answers(world):
    """dispatch.md, table of answers: True, False, Wait, Deny, an exception."""
    ways = ("", "no", "later", "deny", "broken")
    async with world.executor(Asked, base=Gated) as executor:
        seen = world.log(executor)
        events = await executor.extend(Asked(name=way or "yes", way=way, user=way) for way in ways)
    ends = [(event.name, event.status.value, error_of(event)) for event in events]
    return ends, sorted((name, status, now) for name, status, now in seen if status != "pending")


@scenario
async def partitions(world):
    """dispatch.md: other partitions pass a closed gate; the same one waits."""
    async with world.executor(Asked, base=Gated) as executor:
        seen = world.log(executor)
        for name, way, user in (("a", "later", "x"), ("b", "", "x"), ("c", "", "y")):
            await executor.append(Asked(name=name, way=way, user=user), priority=0)
        await anyio.sleep(1)
        why = [executor.explain(event).waits_for.value for event in executor.pending_events]
    return why, [(name, now) for name, status, now in seen if status == "processing"]


@scenario
async def a_full_queue(world):
    """dispatch.md: refuses, or lets wait, first come first served."""
    async with world.running(concurrency_limit=1, max_queue_size=2) as executor:
        seen = world.log(executor)
        await executor.append(Work(name="a", seconds=5))
        await anyio.sleep(1)
        await executor.extend([Work(name="b", seconds=5), Work(name="c", seconds=5)])
        said = await outcome(executor.append, Work(name="no"))
        took = []

        async def wait(name):
            await executor.append(Work(name=name), wait=True)
            took.append((name, world.now()))

        async with anyio.create_task_group() as group:
            for name in "de":
                group.start_soon(wait, name)
                await anyio.sleep(0.1)
    return said, took, [(name, now) for name, status, now in seen if status == "processing"]


@scenario
async def the_window(world):
    """dispatch.md: at most queue_capacity starts in any window; assigning available_capacity leaves so many."""
    config = {"queue_capacity": 2, "capacity_refresh_time": 10.0}
    found = await times(world, [Work(name=str(number)) for number in range(5)], **config)
    async with world.running(**config) as executor:
        executor.processor.available_capacity = 0
        event = await executor.append(Work(name="a"))
        await anyio.sleep(1)
        why = executor.explain(event).waits_for.value
        await event.wait()
        return found, why, world.now()


# ---------------------------------------------------------------- streaming


@scenario
async def chunks_while_it_runs_and_after(world):
    """streaming.md: every reader gets every chunk once; one that comes after the end gets them all."""
    async with world.running(Answer) as executor:
        early, late, last = [], [], []
        event = Answer(name="a", words=["to", "be", "or"])
        reader = event.chunks()
        await executor.append(event)
        async with anyio.create_task_group() as group:
            group.start_soon(read, reader, early)
            await anyio.sleep(1.5)
            group.start_soon(read, event.chunks(), late)
        await written(executor)
        await read(event.chunks(), last)
        return early, late, last, event.result(), world.now()


@scenario
async def how_a_stream_ends(world):
    """streaming.md: reduce() makes the response; an error comes after the chunks; idle_timeout ends it CANCELLED."""
    async with world.running(Answer) as executor:
        joined = await executor.append(Joined(name="j", words=["that", "is"]))
        broken = await executor.append(Answer(name="b", words=["a"], breaks_off=True))
        slow = await executor.append(Answer(name="s", words=["a"], pause=9.0, idle_timeout=2.0))
        chunks, said = [], []
        for event in (joined, broken, slow):
            said.append(await outcome(read, event.chunks(), chunks))
            await written(executor)
            said.append(await outcome(read, event.chunks(), chunks))
    return joined.result(), chunks, said, [(event.status.value, error_of(event)) for event in (broken, slow)]


# ---------------------------------------------------------------- observing


@scenario
async def what_observers_see(world):
    """transitions.md: each transition, with the status true everywhere at that moment."""
    seen = []
    async with world.running(retry=Retry(2, backoff=1, jitter=0)) as executor:

        def look(event, previous, status):
            agrees = event.status is status and event in executor
            seen.append(
                (event.name, previous.value, status.value, agrees, event.result() if status == "completed" else None)
            )

        end = executor.observe(look)
        await executor.append(Work(name="a", fails=1))
        await executor.join()
        end()
        await ended(executor, Work(name="b"))
    return seen


@scenario
async def what_watchers_see(world):
    """transitions.md: every transition, with its record; the loop ends with the lifetime."""
    seen = []

    def told(one):
        error = type(one.error).__name__
        return one.event.name, one.previous.value, one.status.value, one.attempt, error, one.event_id == one.event.id

    async def follow(transitions):
        seen.extend([told(one) async for one in transitions])

    async with anyio.create_task_group() as group, world.running() as executor:
        group.start_soon(follow, executor.watch())
        await ended(executor, Work(name="a", fails=1))
        await ended(executor, Work(name="b", seconds=1))
    return seen


@scenario
async def a_watcher_that_is_slow(world):
    """transitions.md: nothing new starts until it has caught up; or it misses some, and is told how many."""
    async with world.running(concurrency_limit=1) as executor:
        async with executor.watch(buffer=2) as waits, executor.watch(buffer=2, on_full="drop") as drops:
            await executor.extend(Work(name=str(number)) for number in range(4))
            await anyio.sleep(5)
            stuck = counts(executor), executor.explain(executor.pending_events[0]).waits_for.value
            read_on = [(one := await anext(waits)).event.name + one.status.value for _ in range(8)]
            await anyio.sleep(1)
            return stuck, read_on, drops.missed


@scenario
async def progress(world):
    """progress.md: done, pending, processing, by status; nothing of it goes back."""
    async with world.running(concurrency_limit=1) as executor:
        said = []
        await ended(executor, Work(name="bad", fails=1))
        await executor.extend(Work(name=str(number), seconds=2) for number in range(3))
        for _ in range(4):
            await anyio.sleep(0.5)
            await written(executor)
            now = executor.progress()
            by_status = {status.value: number for status, number in now.by_status.items() if number}
            said.append((now.total, now.done, now.pending, now.processing, by_status, now.rate, now.seconds_left))
            await anyio.sleep(1.5)
    return said, str(executor.progress()).partition("  ")[0]


@scenario
async def what_waits_for_what(world):
    """observing.md, table of explain(): DELAY, DEPENDENCY, SLOT, RUNNING, FINAL."""
    async with world.running(concurrency_limit=1) as executor:
        done = await ended(executor, Work(name="done"))
        running = await executor.append(Work(name="running", seconds=30))
        await anyio.sleep(1)
        slot = await executor.append(Work(name="slot"))
        delayed = await executor.append(Work(name="delayed"), delay=50)
        after = await executor.append(Work(name="after"), after=slot)
        events = (done, running, slot, delayed, after)
        said = [executor.explain(event) for event in events]
        by_id = [executor.explain(key) for event in events for key in (event.id, str(event.id))]
        shown = [(one.waits_for.value, one.status.value, one.seconds, len(one.after)) for one in said]
        shown_by_id = [(one.waits_for.value, one.status.value) for one in by_id]
        is_same = [one.event is event for one, event in zip(said, events, strict=True)]
        ids = [one.event_id for one in by_id[::2]] == [event.id for event in events]
        return shown, shown_by_id, is_same, ids, dict(executor.statistics().waits)


@scenario
async def counts_at_the_end(world):
    """status_counts(), inspect_state(), repr(): where all of them stand, after the block too."""
    async with world.running() as executor:
        await executor.extend([*(Work(name=str(number)) for number in range(5)), Work(fails=1), Work(way="skip")])
        await executor.join()
        await written(executor)
        inside = executor.status_counts()
    return (
        inside,
        executor.status_counts(),
        executor.inspect_state(),
        repr(executor),
        executor.statistics().status_counts["completed"],
    )


@scenario
async def open_lists(world):
    """pending_events, processing_events: as without a journal."""
    async with world.running(concurrency_limit=1) as executor:
        await executor.extend(Work(name=str(number), seconds=1) for number in range(3))
        await anyio.sleep(0.5)
        return (
            listed(executor, "pending"),
            listed(executor, EventStatus.PROCESSING),
            await outcome(executor.get_events_by_status, "no status"),
        )


# ---------------------------------------------------------------- lifetimes


@scenario
async def join_then_results(world):
    """lifetimes.md: join() returns when nothing is pending or processing."""
    async with world.running() as executor:
        events = await executor.extend(Work(name=str(number), seconds=number) for number in range(4))
        await executor.join()
        return [event.result() for event in events], world.now()


@scenario
async def stop_and_start(world):
    """lifetimes.md: nothing starts after stop(), pending events stay; start() goes on."""
    executor = world.executor(concurrency_limit=1)
    await executor.start()
    events = await executor.extend(Work(name=str(number), seconds=3) for number in range(3))
    await anyio.sleep(1)
    await executor.stop()
    before = [event.status.value for event in events], world.now()
    said = executor.explain(events[-1]).waits_for.value, executor.cancel(events[0]), events[0] in executor
    await executor.start()
    await executor.join()
    await executor.stop()
    return before, said, [event.status.value for event in events], world.now()


@scenario
async def stop_with_grace_and_a_retry(world):
    """lifetimes.md: with a Retry what is cut off goes back to PENDING, at no cost of an attempt."""
    executor = world.executor(retry=Retry(1))
    await executor.start()
    event = await executor.append(Work(name="a", seconds=10))
    await anyio.sleep(1)
    await executor.stop(grace=2)
    said = event.status.value, event.execution.attempt, [attempt.interrupted for attempt in event.execution.attempts]
    await executor.start()
    await executor.stop()
    return said, event.status.value, event.execution.attempt, world.now()


@scenario
async def in_a_task_group(world):
    """lifetimes.md: `await tg.start(executor.run)` ends at stop()."""
    executor = world.executor()
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        event = await executor.append(Work(name="a", seconds=2))
        await event.wait()
        await executor.stop()
    return event.result(), executor.cancel(event), world.now()


@scenario
async def left_by_an_exception(world):
    """lifetimes.md: what has not begun stays PENDING, and who waits for it gets ExecutorClosedError."""
    executor, found = world.executor(concurrency_limit=1), []
    events = [Work(name="a"), Work(name="b", seconds=1, retry=Retry(1)), Work(name="c")]

    async def wait():
        found.append(await outcome(events[2].wait))

    async with anyio.create_task_group() as group:
        try:
            async with executor:
                await executor.extend(events)
                group.start_soon(wait)
                await anyio.sleep(0.5)
                raise KeyError("of the block")
        except ExceptionGroup as exc:
            found += [repr(one) for one in exc.exceptions]
    return sorted(found), [event.status.value for event in events], counts(executor)


@scenario
async def forward(world):
    """lifetimes.md: one batch now, whatever the window says; it returns when the batch has ended."""
    async with world.running(queue_capacity=2, capacity_refresh_time=100.0) as executor:
        events = await executor.extend(Work(name=str(number), seconds=1) for number in range(6))
        await anyio.sleep(2)
        before = [event.status.value for event in events], world.now()
        await executor.forward()
        said = before, [event.status.value for event in events], world.now()
        for event in events[4:]:
            executor.cancel(event)
        return said


@scenario
async def what_comes_while_it_is_left(world):
    """lifetimes.md: a block that is being left takes nothing new; a known key is still given back."""
    executor = world.executor()
    said = []

    async def late(known):
        await anyio.sleep(1)
        said.append(await outcome(executor.append, Work(name="new")))
        said.append((await executor.append(Work(name="new"), key="k")).id == known.id)

    async with anyio.create_task_group() as group, executor:
        done = await executor.append(Work(name="done"), key="k")
        await done.wait()
        await written(executor)
        await executor.append(Work(name="long", seconds=5))
        group.start_soon(late, done)
    return said, counts(executor)


@scenario
async def a_lock_holds_an_end_up(world):
    """lifetimes.md: an event that ends while a lock is held waits for its turn."""
    async with world.running() as executor:
        event = await executor.append(Work(name="a", seconds=1))
        async with executor.states.progressions:
            await anyio.sleep(3)
            held = event.status.value
        await event.wait()
        await written(executor)
        return held, event.status.value, executor.cancel(event)


@scenario
async def cleanup_of_what_waits(world):
    """cleanup_events(): who waits for a pending event gets ExecutorClosedError, and it is gone."""
    async with world.running() as executor:
        event, found = await executor.append(Work(name="a"), delay=100, key="k"), []

        async def wait():
            found.append(await outcome(event.wait))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(1)
            number = await executor.cleanup_events(["pending"])
        new = await executor.append(Work(name="b"), key="k")
        return found, number, event in executor, await outcome(executor.cancel, event), new.name, counts(executor)
