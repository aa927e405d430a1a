"""Limits: never too much in any window or at a time, for any key; and as much as there may be."""

from collections import Counter, defaultdict
from itertools import count
from math import inf

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from parts import model_limits
from support import check_invariants, counts, make_executor, view_of, with_processor

from lionpride_exec import (
    Adaptive,
    Concurrent,
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    ExecutorClosedError,
    Journal,
    PriorityQueue,
    Processor,
    QueueFullError,
    Quota,
    Rate,
    RateLimited,
    Retain,
    Retry,
    Wait,
    current_executor,
)
from lionpride_exec.testing import BACKENDS, backend_options

Router = model_limits.Router

pytestmark = pytest.mark.anyio

FREE = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01, "max_queue_size": 200_000}


class Call(Event):
    """Notes when it starts and ends."""

    user: object = "a"
    tokens: float = 1
    seconds: float = 0.0
    true_tokens: float | None = None

    async def _invoke(self):
        began = current_time()
        if self.true_tokens is not None:
            self.settle(self.true_tokens)
        if self.seconds:
            await anyio.sleep(self.seconds)
        return began, current_time()


class CallProcessor(Processor):
    event_type = Call


class BareProcessor(Processor):
    event_type = Event


def limited(*limits, processor=CallProcessor, **config):
    """Make an executor that nothing holds back but these."""
    return with_processor(processor, limits=limits, **(FREE | config))


def most_in_a_window(starts, per):
    """Give the largest sum of costs in any window of that length; ``starts`` are (time, cost)."""
    starts = sorted(starts)
    return max((sum(cost for at, cost in starts if begin <= at < begin + per) for begin, _ in starts), default=0)


async def run_all(executor, events, **kwargs):
    """Append all and wait for their end; give (start, end) of each."""
    async with executor:
        for event in events:
            await executor.append(event, priority=0, **kwargs)
    check_invariants(executor)
    return [event.response for event in events]


# -------------------------------------------------------------------- rates


async def test_a_rate_holds_in_every_window_and_is_used():
    """An hour at 500 a minute: never more than 500 in any 60 s, and all of it is used."""
    executor = limited(Rate(500, per=60), concurrency_limit=50)
    spans = await run_all(executor, [Call() for _ in range(30_000)])
    starts = sorted(start for start, _ in spans)
    assert all(later - earlier >= 60 for earlier, later in zip(starts, starts[500:], strict=False))
    assert starts[-1] - starts[0] == pytest.approx(59 * 60)


async def test_a_bucket_would_let_twice_as_much_through():
    """Half used late in one window: the other half of the next has to wait for it."""
    executor = limited(Rate(10, per=60))
    async with executor:
        await anyio.sleep(55)
        for _ in range(30):
            await executor.append(Call(), priority=0)
    starts = sorted(event.response[0] for event in executor.completed_events)
    assert [round(start - starts[0]) for start in starts] == [0] * 10 + [60] * 10 + [120] * 10


async def test_keys_have_amounts_of_their_own():
    """Each key has its own rate, and one at its limit holds up no other."""
    executor = limited(Rate(1, per=10, key="user"))
    calls = [Call(user=user) for user in "aaab"]
    spans = await run_all(executor, calls)
    assert [round(start - spans[0][0]) for start, _ in spans] == [0, 10, 20, 0]


async def test_a_key_of_none_is_not_limited():
    """An event whose key is None is nobody's."""
    executor = limited(Rate(1, per=10, key="user"), Concurrent(1, key="user"))
    spans = await run_all(executor, [Call(user=None, seconds=5) for _ in range(5)])
    assert {round(start - spans[0][0]) for start, _ in spans} == {0}


async def test_costs_by_name_or_function():
    """A cost may be an attribute or a function; they add up within the window."""
    for cost in ("tokens", lambda event: event.tokens):
        executor = limited(Rate(10, per=60, cost=cost))
        spans = await run_all(executor, [Call(tokens=tokens) for tokens in (6, 4, 5, 6, 0)])
        assert [round(start - spans[0][0]) for start, _ in spans] == [0, 0, 60, 120, 120]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (11, "can never start: the limit allows 10"),
        (-1, "0 or more"),
        (inf, "finite"),
        (10**400, "finite"),
        ("x", "finite number"),
    ],
)
@pytest.mark.parametrize("started", [True, False])
async def test_a_cost_that_can_never_start_is_refused_at_append(tokens, message, started):
    """append() raises, and nothing is left behind; also before the first start."""
    executor = limited(Rate(10, per=60, cost="tokens"))
    if started:
        await executor.start()
    event = Call(tokens=tokens)
    with pytest.raises(ValueError, match=message):
        await executor.append(event)
    assert event not in executor
    assert not any(executor.status_counts().values())
    await executor.append(Call(tokens=10))
    await executor.stop()


class Bare(Event):
    """Has no field of its own."""

    async def _invoke(self):
        return 1


class Nested(Bare):
    """Has a value in the place where a limit looks for an object."""

    user: object = None


@pytest.mark.parametrize(
    ("limit", "kind", "words"),
    [
        (Rate(10, per=1, key="user"), Bare, "Bare has no attribute 'user', which Rate("),
        (Concurrent(1, key="user.name"), Nested, "Nested has no attribute 'user.name', which Concurrent("),
        (Rate(10, per=1, cost="tokens"), Bare, "Bare has no attribute 'tokens', which Rate("),
        (Quota(10, resets="00:00", key="user"), Bare, "Bare has no attribute 'user', which Quota("),
        (Adaptive(1, 1, 9, key="user"), Bare, "Bare has no attribute 'user', which Adaptive("),
    ],
    ids=["key", "path", "cost", "quota", "adaptive"],
)
@pytest.mark.parametrize("moment", ["running", "early"])
async def test_an_attribute_that_a_class_lacks(limit, kind, words, moment):
    """The error names the limit and the remedy, and nothing has changed."""
    name = "cost" if limit.cost else "key"
    executor = make_executor(type("Mixed", (Executor,), {"processor_type": BareProcessor}), limits=[limit])
    if moment == "running":
        await executor.start()
    with pytest.raises(AttributeError) as caught:
        await executor.append(kind())
    assert words in str(caught.value)
    assert f"reads as the {name} of each event" in str(caught.value)
    assert f"{name}=lambda event: getattr(event, '{getattr(limit, name)}', {0 if limit.cost else None})" in str(
        caught.value
    )
    assert not counts(executor)
    await executor.stop()


async def test_what_key_and_cost_raise_goes_to_the_caller():
    """An attribute that is not there, a key that is not hashable: append() raises, nothing is left behind."""
    executor = limited(Rate(1, per=60, key="nothing"))
    with pytest.raises(AttributeError):
        await executor.append(Call())
    executor = limited(Rate(1, per=60, key="user"))
    async with executor:
        with pytest.raises(TypeError, match="unhashable"):
            await executor.append(Call(user=[]))
    assert not any(executor.status_counts().values())


async def test_all_or_nothing():
    """An event that one limit holds up takes nothing of the others."""
    executor = limited(Rate(2, per=100), Concurrent(1, key="user"))
    async with executor:
        first, second, other = Call(user="a", seconds=10), Call(user="a"), Call(user="b")
        for event in (first, second, other):
            await executor.append(event, priority=0)
        await other.wait()
        assert current_time() - first.execution.duration < 10 if first.execution.duration else True
        assert second.status is EventStatus.PENDING
        await second.wait()
    assert second.response[0] - first.response[0] == pytest.approx(100)
    assert other.response[0] - first.response[0] == pytest.approx(0, abs=0.1)


async def test_a_held_rate_counts_from_the_end():
    """With hold=True what was taken comes back ``per`` seconds after the end."""
    executor = limited(Rate(1, per=10, hold=True))
    spans = await run_all(executor, [Call(seconds=3) for _ in range(3)])
    assert [round(start - spans[0][0]) for start, _ in spans] == [0, 13, 26]


async def test_concurrent_by_key():
    """At most so many at a time for each key; a key at its limit holds up no other."""
    executor = limited(Concurrent(2, key="user"))
    spans = await run_all(executor, [Call(user=user, seconds=10) for user in "aaaaab"])
    assert [round(start - spans[0][0]) for start, _ in spans] == [0, 0, 10, 10, 20, 0]


async def test_concurrent_for_all():
    """Without a key it holds for all, beside the concurrency limit."""
    executor = limited(Concurrent(2))
    spans = await run_all(executor, [Call(seconds=10) for _ in range(5)])
    assert [round(start - spans[0][0]) for start, _ in spans] == [0, 0, 10, 10, 20]


async def test_an_expensive_event_is_not_overtaken_for_ever():
    """What takes much waits for it, and what comes later, at the same priority, does not take it away."""
    executor = limited(Rate(10, per=10, cost="tokens", key="user"), Concurrent(100, key="seconds"))
    async with executor:
        await executor.append(Call(tokens=5), priority=0)
        dear = await executor.append(Call(tokens=10), priority=0)
        await wait_all_tasks_blocked()
        assert dear.status is EventStatus.PENDING
        # These have another key of the second limit, so they stand in another lane.
        cheap = [await executor.append(Call(tokens=1, seconds=0.5), priority=0) for _ in range(30)]
    assert dear.response[0] == pytest.approx(10, abs=0.2)
    assert all(event.response[0] >= 20 - 0.2 for event in cheap)


@pytest.mark.parametrize("key", [None, "user"])
async def test_an_expensive_event_that_is_cancelled_holds_up_nobody(key):
    """Those behind it start at once, if there is enough for them."""
    executor = limited(Rate(10, per=60, cost="tokens", key=key))
    async with executor:
        await executor.append(Call(tokens=5), priority=0)
        dear = await executor.append(Call(tokens=10), priority=0)
        cheap = await executor.append(Call(tokens=1), priority=0)
        await anyio.sleep(5)
        assert cheap.status is EventStatus.PENDING
        executor.cancel(dear)
        await cheap.wait()
        assert current_time() == pytest.approx(5, abs=0.2)


async def test_settle_both_ways():
    """A cost that was less lets others go earlier, one that was more later."""
    executor = limited(Rate(10, per=60, cost="tokens"))
    spans = await run_all(
        executor,
        [Call(tokens=9, true_tokens=2), Call(tokens=8), Call(tokens=5, true_tokens=15), Call(tokens=5), Call(tokens=6)],
    )
    starts = [round(start - spans[0][0]) for start, _ in spans]
    assert starts == [0, 0, 60, 120, 180]


async def test_settle_of_one_of_two_costs():
    """settle(limit=...) corrects that one; a wrong number is refused; outside of a run nothing happens."""
    tokens, other = Rate(10, per=60, cost="tokens"), Rate(10, per=60, cost=lambda event: 10)

    class Settling(Call):
        async def _invoke(self):
            with pytest.raises(ValueError, match="finite"):
                self.settle(-1)
            self.settle(0, limit=other)
            return await super()._invoke()

    executor = limited(tokens, other)
    spans = await run_all(executor, [Settling(tokens=5) for _ in range(3)])
    assert [round(start - spans[0][0]) for start, _ in spans] == [0, 0, 60]
    alone = Settling()
    await alone.invoke()
    assert alone.status is EventStatus.COMPLETED


async def test_forward_obeys_limits():
    """forward() goes past the window, not past limits: what they do not allow is left, and it returns."""
    executor = limited(Rate(2, per=60))
    await executor.start()
    await executor.processor.stop()
    for _ in range(5):
        await executor.append(Call(), priority=0)
    await executor.forward()
    assert counts(executor) == {"pending": 3, "completed": 2}
    await anyio.sleep(60)
    await executor.forward()
    assert counts(executor) == {"pending": 1, "completed": 4}
    await executor.stop()


async def test_limits_with_a_gate_and_partitions():
    """A gate that closes its partition and limits with keys go together; nobody is stuck."""

    class Gated(CallProcessor):
        asked = 0

        async def request_permission(self, **kwargs):
            self.asked += 1
            return Wait(7) if self.asked == 2 else True

        def partition(self, event):
            return event.tokens

    executor = limited(Rate(1, per=5, key="user"), Concurrent(1), processor=Gated)
    spans = await run_all(executor, [Call(user=user, tokens=tokens) for user in "ab" for tokens in (1, 2)])
    assert len(spans) == 4
    assert max(start for start, _ in spans) - min(start for start, _ in spans) >= 5


# -------------------------------------------------------------------- RateLimited


class Throttled(Call):
    """Is told to slow down so many times."""

    times: int = 1

    async def _invoke(self):
        if self.times:
            self.times -= 1
            raise RateLimited("429", retry_after=30)
        return await super()._invoke()


async def test_rate_limited_closes_the_gate_of_its_key():
    """Nobody of that key starts meanwhile, others do; the event runs again, at no cost of an attempt."""
    executor = limited(Concurrent(10, key="user"))
    async with executor:
        throttled = await executor.append(Throttled(user="a"), priority=0)
        await wait_all_tasks_blocked()
        same, other = Call(user="a"), Call(user="b")
        await executor.append(same, priority=0)
        await executor.append(other, priority=0)
        await other.wait()
        assert (throttled.status, same.status) == (EventStatus.PENDING, EventStatus.PENDING)
    assert other.response[0] < 1
    assert throttled.response[0] == pytest.approx(30, abs=0.2)
    assert same.response[0] == pytest.approx(30, abs=0.2)
    execution = throttled.execution
    assert execution.attempt == 1
    assert [(attempt.number, attempt.interrupted) for attempt in execution.attempts] == [(1, True)]
    assert isinstance(execution.attempts[0].error, RateLimited)


@pytest.mark.parametrize("limits", [(), (Rate(100, per=1),)])
async def test_without_keys_it_closes_for_everyone(limits):
    """Where there are no keys, all wait."""
    executor = limited(*limits)
    throttled, other = Throttled(), Call(user="b")
    async with executor:
        await executor.append(throttled, priority=0)
        await wait_all_tasks_blocked()
        await executor.append(other, priority=0)
    assert other.response[0] == pytest.approx(30, abs=0.2)


async def test_rate_limited_in_a_group_and_again_and_again():
    """A task group inside the event wraps it; the longest time counts; it may come any number of times."""

    class Grouped(Throttled):
        async def _invoke(self):
            async with anyio.create_task_group() as group:
                group.start_soon(super()._invoke)

    event = Grouped(times=5)
    executor = limited()
    async with executor:
        await executor.append(event)
    assert event.status is EventStatus.COMPLETED
    assert current_time() == pytest.approx(150, abs=0.5)
    assert [attempt.interrupted for attempt in event.execution.attempts] == [True] * 5


async def test_rate_limited_outside_of_an_executor_is_a_failure():
    """By hand there is nobody to queue it again."""
    event = Throttled()
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert event.execution.retryable


async def test_stop_and_forward_do_not_open_what_rate_limited_closed():
    """They forgive denials of a gate; what the other side asked for holds."""
    executor = limited(Rate(100, per=1, key="user"))
    await executor.start()
    event = await executor.append(Throttled())
    await anyio.sleep(1)
    await executor.stop()
    await executor.forward()
    assert event.status is EventStatus.PENDING
    await executor.start()
    await executor.join()
    assert event.response[0] == pytest.approx(30, abs=0.2)
    await executor.stop()


# -------------------------------------------------------------------- order


async def test_keys_take_turns_at_the_same_priority():
    """A key with a hundred events waiting does not hold up one with three."""
    executor = limited(Rate(1000, per=1, key="user"), concurrency_limit=1)
    order = []
    executor.observe(lambda event, _, status: order.append(event.user) if status == "processing" else None)
    await run_all(executor, [Call(user=user) for user in "a" * 100 + "b" * 3 + "c" * 2])
    assert "".join(order[:9]) in {"abcabcab" + "a", "aabcabcab"}
    assert order.count("a") == 100


async def test_strict_priority_goes_before_turns():
    """The lower number first, whatever its key."""
    executor = limited(Rate(1000, per=1, key="user"), concurrency_limit=1)
    events = [Call(user="ab"[i % 2]) for i in range(10)]
    order = []
    executor.observe(lambda event, _, status: order.append(events.index(event)) if status == "processing" else None)
    async with executor:
        executor.pause()
        for i, event in enumerate(events):
            await executor.append(event, priority=-i)
        executor.resume()
    assert order == list(range(9, -1, -1))


# -------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rate(0, per=1), "amount must be a positive, finite number, got 0"),
        (lambda: Rate(inf, per=1), "amount must be"),
        (lambda: Rate(10**400, per=1), "amount must be"),
        (lambda: Rate(1, per=10**400), "per must be finite"),
        (lambda: Rate("5", per=1), "amount must be"),
        (lambda: Rate(True, per=1), "amount must be"),
        (lambda: Rate(5, per=0), "per must be positive"),
        (lambda: Rate(5, per=inf), "per must be finite"),
        (lambda: Rate(5, per=1, cost=3), "cost must be the name of an attribute or a function"),
        (lambda: Rate(5, per=1, key=3), "key must be"),
        (lambda: Concurrent(0), "limit must be an integer, 1 or more, got 0"),
        (lambda: Concurrent(1.5), "limit must be"),
        (lambda: Concurrent(True), "limit must be"),
    ],
)
async def test_wrong_limits_are_named(make, message):
    """What is wrong with a limit is said at its construction."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("key", "value"), [("limits", [5]), ("retry", 3)])
async def test_what_is_no_limit_or_retry_is_refused(key, value):
    """No executor is made, and none starts with it."""
    with pytest.raises(ConfigurationError, match="must be"):
        make_executor(**{key: value})
    executor = make_executor()
    executor.processor_config[key] = value
    with pytest.raises(ConfigurationError, match="must be"):
        await executor.start()


# -------------------------------------------------------------------- stop, restart, leaving


async def test_leaving_with_events_that_wait_for_a_limit():
    """They stay PENDING, their waiters are told, and they run at the next start, still under the limit."""
    executor = limited(Rate(1, per=60, key="user"))
    calls = [Call() for _ in range(3)]
    told = []

    async def wait_for(event):
        with pytest.raises(ExecutorClosedError):
            await event.wait()
        told.append(event)

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(10):
            async with executor:
                for call in calls:
                    await executor.append(call, priority=0)
                group.start_soon(wait_for, calls[1])
                await anyio.sleep_forever()
    assert told == [calls[1]]
    assert counts(executor) == {"pending": 2, "completed": 1}
    async with executor:
        pass
    assert [round(call.response[0]) for call in calls] == [0, 60, 120]


def test_a_rate_is_carried_over_to_another_event_loop(monkeypatch):
    """What an earlier event loop started counts in the next, by the wall clock."""
    executor = limited(Rate(1, per=60))
    starts = []
    wall = [1e9]

    class Noting(Call):
        async def _invoke(self):
            starts.append(wall[0])

    monkeypatch.setattr("time.time", lambda: wall[0])

    async def first():
        async with executor:
            await executor.append(Noting())

    async def second():
        began = current_time()
        async with executor:
            await executor.append(Noting())
        return current_time() - began

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    wall[0] += 20
    took = anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])
    assert took == pytest.approx(40, abs=0.5)


async def test_many_keys_are_forgotten_when_idle():
    """The memory of a key goes with its window."""
    executor = limited(Rate(1, per=1, key="user"), Concurrent(1, key="user"))
    async with executor:
        for i in range(2000):
            await executor.append(Call(user=i), priority=0)
            await anyio.sleep(0.5)
        seen = view_of(executor).processor
        assert seen.keyed_limit_states <= 300
        assert seen.keyed_lanes <= 1


# -------------------------------------------------------------------- properties

KEYS = ["a", "b", "c"]

ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.integers(0, 5),  # tokens
        st.sampled_from([0.0, 0.0, 0.5, 2.0]),  # it runs so long
        st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 4.0]),  # the pause before it arrives
        st.sampled_from([0, 0, 0, 1]),  # priority
    ),
    max_size=40,
)
RATES = st.tuples(st.integers(1, 6), st.sampled_from([0.5, 1.0, 3.0]), st.booleans())


@pytest.mark.parametrize("backend", BACKENDS)
@given(RATES, RATES, st.integers(1, 3), st.integers(1, 4), ARRIVALS)
def test_random_loads_never_exceed_a_limit(backend, whole, keyed, tokens_factor, concurrent, arrivals):
    """Random rates, costs, keys and arrivals: no limit is exceeded in any window, all complete, order is kept."""
    rate_all = Rate(whole[0], per=whole[1], hold=whole[2])
    rate_key = Rate(keyed[0] + 5 * tokens_factor, per=keyed[1], cost="tokens", key="user", hold=keyed[2])
    slots = Concurrent(concurrent, key="user")
    executor = limited(rate_all, rate_key, slots, concurrency_limit=5)
    numbers = count()
    started, running, most = [], Counter(), Counter()

    class Numbered(Call):
        number: int = 0

    def note(event, previous, status):
        if status is EventStatus.PROCESSING:
            started.append(event)
            running[event.user] += 1
            most[event.user] = max(most[event.user], running[event.user])
        elif previous is EventStatus.PROCESSING:
            running[event.user] -= 1

    executor.observe(note)

    async def main():
        async with executor:
            for user, tokens, seconds, pause, priority in arrivals:
                if pause:
                    await anyio.sleep(pause)
                event = Numbered(user=user, tokens=tokens, seconds=seconds, number=next(numbers))
                await executor.append(event, priority=priority)

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)
    events = list(executor.completed_events)
    assert len(events) == len(arrivals)
    assert max(most.values(), default=0) <= concurrent
    edge = 1e-9
    assert most_in_a_window([(e.response[1 if rate_all.hold else 0], 1) for e in events], whole[1] - edge) <= whole[0]
    for user in KEYS:
        theirs = [event for event in events if event.user == user]
        costs = [(e.response[0], e.tokens) for e in theirs]
        assert most_in_a_window(costs, keyed[1] - edge) <= rate_key.amount
    for_order = defaultdict(list)
    for event in started:
        for_order[event.user].append(event.number)
    priority_of = [priority for *_, priority in arrivals]
    for numbers_of_user in for_order.values():
        for wanted in (0, 1):
            same = [number for number in numbers_of_user if priority_of[number] == wanted]
            assert same == sorted(same)


class LaneModel:
    """Limits as a scan over plain lists would keep them."""

    def __init__(self, limits):
        self.limits = limits
        self.uses = []  # [limit, key, cost, back, running]

    def room(self, limit, key, cost, now):
        used = sum(u[2] for u in self.uses if u[0] is limit and u[1] == key and (u[4] or u[3] > now))
        return used + cost <= limit.amount


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from(KEYS), st.sampled_from(KEYS), st.integers(1, 3)),
            st.tuples(st.just("pop")),
            st.tuples(st.just("pop")),
            st.tuples(st.just("end"), st.integers(0, 20)),
            st.tuples(st.just("discard"), st.integers(0, 20)),
            st.tuples(st.just("time"), st.integers(1, 4)),
        ),
        max_size=80,
    )
)
def test_the_lanes_give_whatever_may_start(steps):  # noqa: PLR0912  a rule for each kind of step
    """Two limits with different keys and one for all: an entry is given when one may start, and only then."""
    by_user = Rate(4, per=3, cost="tokens", key="user")
    by_seconds = Concurrent(2, key="seconds")
    of_all = Rate(6, per=5)
    events, queued, running, now = {}, [], [], 0
    router = Router([by_user, by_seconds, of_all])
    queue = PriorityQueue(router=router, route_of=lambda event_id: router.route(events[event_id]))
    model = LaneModel([by_user, by_seconds, of_all])

    def fits(event):
        return (
            model.room(by_user, event.user, event.tokens, now)
            and model.room(by_seconds, event.seconds, 1, now)
            and model.room(of_all, None, 1, now)
        )

    for step in steps:
        match step:
            case "put", user, seconds, tokens:
                event = Call(user=user, seconds=seconds, tokens=tokens)
                events[event.id] = event
                queue.put_nowait(0.0, event.id)
                queued.append(event)
            case ("pop",):
                entry = queue.pop_nowait(now)
                if entry is None:
                    # An entry that waits its turn behind an expensive one of its key may be held up with it.
                    heads = {}
                    for event in queued:
                        heads.setdefault((event.user, event.seconds), event)
                    dearest = {}
                    for event in heads.values():
                        dearest[event.user] = max(dearest.get(event.user, 0), event.tokens)
                    assert not any(
                        fits(event) and model.room(by_user, event.user, dearest[event.user], now)
                        for event in heads.values()
                    )
                else:
                    event = events[entry.event_id]
                    assert fits(event)
                    queued.remove(event)
                    uses = queue.lanes.amounts.take(entry, now)
                    running.append((event, uses))
                    model.uses += [
                        [by_user, event.user, event.tokens, now + 3, False],
                        [by_seconds, event.seconds, 1, -1, event],
                        [of_all, None, 1, now + 5, False],
                    ]
            case "end", number:
                if running:
                    event, uses = running.pop(number % len(running))
                    queue.lanes.amounts.release(uses, now)
                    model.uses = [use for use in model.uses if use[4] is not event]
            case "discard", number:
                if queued:
                    queue.discard(queued.pop(number % len(queued)).id)
            case "time", seconds:
                now += seconds
        queue.ready(now)
        assert queue.blocked == sum(queue.is_blocked(event.id) for event in queued)
    for _, uses in running:
        queue.lanes.amounts.release(uses, now)
    taken = 0
    while not queue.empty():  # nobody is stuck
        now += 10
        while (entry := queue.pop_nowait(now)) is not None:
            queue.lanes.amounts.release(queue.lanes.amounts.take(entry, now), now)
            taken += 1
        assert now < 10_000
    assert taken == len(queued)


async def test_no_retry_is_needed_for_limits():
    """Waiting for a limit is no attempt and no failure."""
    executor = limited(Rate(1, per=10), retry=Retry(2))
    spans = await run_all(executor, [Call() for _ in range(5)])
    assert len(spans) == 5
    assert all(event.execution.attempt == 1 for event in executor.completed_events)


# ---------------------------------------------------------------- more events than the queue takes

USERS = ["slow"] * 300 + ["fast"] * 10


class Visit(Call, tag="tests.limits.visit"):
    """A call that a journal can keep."""


class Finds(Call, tag="tests.limits.finds"):
    """Appends visits while it runs."""

    async def _invoke(self):
        await current_executor().extend([Visit(user=user) for user in USERS], priority=0)


async def _append_before_the_start(executor):
    for user in USERS:
        await executor.append(Visit(user=user), 0)
    await executor.start()


async def _append_in_an_event(executor):
    await executor.start()
    await executor.append(Finds(user="first"))


async def _append_after_another(executor):
    await executor.start()
    first = await executor.append(Visit(user="first", seconds=1))
    for user in USERS:
        await executor.append(Visit(user=user), 0, after=first)


@pytest.mark.parametrize(
    ("append", "kept"),
    [
        pytest.param(_append_before_the_start, False, id="early"),
        pytest.param(_append_in_an_event, False, id="running"),
        pytest.param(_append_in_an_event, True, id="running-journal"),
        pytest.param(_append_after_another, False, id="after"),
        pytest.param(_append_after_another, True, id="after-journal"),
    ],
)
async def test_a_key_at_its_limit_holds_up_no_other_above_the_bound_of_the_queue(append, kept, tmp_path):
    """What is in memory takes part in the dispatch, however it came there and whatever ``max_queue_size`` is."""
    executor = limited(Rate(10, per=1, key="user"), Concurrent(8, key="user"), max_queue_size=20)
    if kept:
        executor = type(executor)(executor.processor_config, journal=Journal(tmp_path / "calls.db"), retain=Retain())
    ended = Counter()
    executor.observe(lambda event, _, status: ended.update([event.user] if status == "completed" else ()))
    await append(executor)
    await anyio.sleep(3)
    assert ended["fast"] == 10
    assert ended["slow"] <= 40
    with pytest.raises(QueueFullError):
        await executor.append(Visit())
    check_invariants(executor)
    await executor.stop()
