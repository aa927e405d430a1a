"""Adaptive: a pace that is learned, by servers that it does not know; and what headers tell."""

from itertools import pairwise
from math import inf, nan

import anyio
import pytest
from adaptive_servers import CASES, HARD, measure
from anyio import current_time, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from servers import ServerCall, SlidingWindow
from support import Job, check_invariants, make_executor

from lionpride_exec import Adaptive, Call, ConfigurationError, Event, Executor, Rate, RateLimited, WaitReason
from lionpride_exec.testing import BACKENDS, record
from lionpride_exec.testing import run as run_in_virtual_time

pytestmark = pytest.mark.anyio


def note_times(executor):
    """Give a list that gets the time of each start, from now."""
    began, times = current_time(), []
    executor.observe(
        lambda _, __, status: times.append(round(current_time() - began, 2)) if status == "processing" else None
    )
    return times


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in [*CASES, *HARD]])
def test_servers_that_it_does_not_know(case, seed):
    """After one minute it is within 10 % of the best constant rate, and 2 % of the calls are refused at most."""
    backend = ("asyncio", "trio", "asyncio+uvloop")[(seed + len(case.name)) % 3]
    refused, used = run_in_virtual_time(measure, case, seed, backend=backend)
    assert refused <= case.most_refused
    assert used >= case.least


async def test_starts_are_spaced():
    """From the first on; the pace doubles every 2 s until something is refused, up to the maximum."""
    executor = make_executor(limits=Adaptive(1, 1, 4))
    with record(executor) as trace:
        async with executor:
            times = note_times(executor)
            for _ in range(20):
                await executor.append(Job())
    trace.check(at_rest=True)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] == pytest.approx(1, abs=0.01)
    assert all(later < earlier + 0.011 for earlier, later in pairwise(gaps))
    assert gaps[-1] == pytest.approx(0.25, abs=0.01)


async def test_an_event_waits_for_its_pace_before_anything_was_refused():
    """The text tells of no refusal, because there was none."""
    executor = make_executor(limits=Adaptive(1, 1, 1))
    async with executor:
        _, second = await executor.extend([Job(), Job()], priority=0)
        await wait_all_tasks_blocked()
        told = executor.explain(second)
        assert told.waits_for is WaitReason.REFUSAL
        assert "waits for its pace, Adaptive(" in str(told)
        assert "refusal" not in str(told)


async def test_each_key_learns_for_itself():
    """A refusal of one key slows down no other; None is not limited."""

    class Refused(Job):
        async def _invoke(self):
            if self.name == "a" and not self.execution.attempts:
                raise RateLimited(retry_after=5)

    limit = Adaptive(10, 1, 10, key=lambda event: event.name or None)
    executor = make_executor(limits=[limit, Rate(1000, per=1, key="name")])
    async with executor:
        began = current_time()
        a, *others = [await executor.append(Refused(name=name)) for name in ("a", "b", "b", "", "", "")]
        await wait_all_tasks_blocked()
        assert [(each.limit, each.key) for each in executor.statistics().pauses] == [(limit, "a")]
        for event in others:
            await event.wait()
        assert current_time() - began == pytest.approx(0.1, abs=0.15)
        told = executor.explain(a)
        assert (told.waits_for, told.limit, told.key) == (WaitReason.REFUSAL, limit, "a")
        paces = {each.key: each.per_second for each in executor.statistics().paces}
        assert paces["b"] == 10
    check_invariants(executor)


async def test_slow_answers_lower_the_pace():
    """As refusals do, but without a pause: a server that lets calls wait is not called much faster than it answers."""
    workers = anyio.CapacityLimiter(4)
    took = []

    class Queueing(Job):
        async def _invoke(self):
            began = current_time()
            async with workers:
                await anyio.sleep(0.1)
            took.append((began, current_time() - began))

    limit = Adaptive(5, 1, 500, slow=0.3)
    executor = make_executor(limits=limit, max_queue_size=10_000, queue_capacity=10_000, concurrency_limit=1000)
    async with executor:
        for _ in range(9000):
            await executor.append(Queueing(), priority=0)
        await anyio.sleep(180)
        late = [seconds for began, seconds in took if began > 60]
        assert 0.9 * 40 * 120 < len(late) < 40 * 121
        assert sum(seconds > 0.6 for seconds in late) < 0.05 * len(late)
        await executor.stop(grace=0)


async def test_what_headers_tell_is_spread_evenly():
    """So many calls until the reset, those under way among them; none are left: nothing starts until then."""

    class Told(Job):
        async def _invoke(self):
            self.observe_response({"X-RateLimit-Remaining-Requests": "4", "x-ratelimit-reset-requests": "8s"})
            if self.name == "last":
                self.observe_response({"ratelimit": '"default";r=0;t=30'})

    executor = make_executor(limits=Adaptive(1, 0.1, 100))
    async with executor:
        times = note_times(executor)
        last = await executor.append(Told(name="last"))
        await executor.append(Job())
        await last.wait()
        await executor.join()
        assert times == [0, 30]
        await anyio.sleep(70)
        times.clear()
        for name in ("told", "", "", "", ""):
            await executor.append(Told() if name else Job())
    assert [round(time - times[0], 2) for time in times] == [0, 1.6, 3.2, 4.8, 6.4]


async def echo(headers):
    """Return the headers of an answer."""
    return headers


async def test_one_call_that_is_left_is_made_before_the_reset():
    """At the reset it would be worth nothing."""
    async with Executor.of(echo, limits=Adaptive(10, 1, 100, from_headers=lambda response: response)) as executor:
        times = note_times(executor)
        headers = {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "3600"}
        await executor.invoke(Call.of(echo, headers))
        await executor.invoke(Call.of(echo, None))
    assert times == [0, 1800]


async def test_a_reset_that_is_too_far_away_says_nothing(caplog):
    """More than a week, as for the pause of a refusal. One that is far away is logged."""
    async with Executor.of(echo, limits=Adaptive(10, 1, 100, from_headers=lambda response: response)) as executor:
        await executor.invoke(Call.of(echo, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900000000"}))
        await executor.invoke(Call.of(echo, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "600000"}))
        assert anyio.current_time() < 1
        await executor.invoke(Call.of(echo, None))
    assert anyio.current_time() == pytest.approx(600_000, abs=1)
    ignored, long = [record.getMessage() for record in caplog.records]
    assert ignored.startswith("the headers of an answer to Call")
    assert "they say 0 left for" in ignored
    assert long.startswith("Nothing starts for ")
    assert "an answer says 0 left for" in long


async def test_answers_that_are_out_of_date():
    """An answer of an earlier call says nothing once one of a later call has come; calls under way are taken off."""

    class Told(Job):
        async def _invoke(self):
            await anyio.sleep(self.seconds)
            if self.name:
                self.observe_response([("x-ratelimit-remaining", self.name), ("x-ratelimit-reset", "10")])

    executor = make_executor(limits=Adaptive(10, 0.1, 100))
    async with executor:
        times = note_times(executor)
        await executor.append(Told(name="50", seconds=2))
        await executor.append(Told(name="1", seconds=1))
        await executor.append(Told(seconds=5))
        await anyio.sleep(2.5)
        await executor.append(Job())
    assert times == [0, 0.1, 0.2, pytest.approx(11.1, abs=0.1)]


async def test_headers_of_a_function():
    """`from_headers` finds them in the response; what it raises is logged, and nothing else happens."""

    async def call(number):
        if number == 2:
            raise ValueError
        return {"headers": {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"} if not number else None}

    limit = Adaptive(10, 0.1, 100, from_headers=lambda response: response["headers"])
    async with Executor.of(call, limits=[limit]) as executor:
        times = note_times(executor)
        async for _ in executor.map(call, range(3)):
            pass
    assert times == [0, 20, 20.1]


async def test_headers_that_cannot_be_read(caplog):
    """The call has succeeded all the same."""

    async def call(_):
        return 5

    async with Executor.of(call, limits=[Adaptive(10, 1, 100, from_headers=lambda answer: answer.missing)]) as executor:
        async for event in executor.map(call, [1]):
            assert event.response == 5
    assert "from_headers of Adaptive" in caplog.text


async def test_observe_response_outside_of_a_run():
    """Nothing happens: without an executor, without such a limit, and when the headers do not say."""
    event = Job()
    event.observe_response({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1"})
    event.observe_response(None)

    class Told(Job):
        async def _invoke(self):
            self.observe_response({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "100"})

    async with make_executor(limits=Rate(9, per=1)) as executor:
        for _ in range(3):
            await executor.append(Told())
    assert current_time() < 1


async def test_it_goes_on_after_a_stop():
    """What was learned is kept; a pause of its key ends by resume()."""
    limit = Adaptive(2, 1, 2, key="name", name="learned")
    executor = make_executor(limits=limit)
    await executor.start()
    for _ in range(4):
        await executor.append(Job(name="a"))
    await anyio.sleep(0.6)
    await executor.stop()
    executor.pause(key="a", limit="learned")
    await anyio.sleep(0.1)
    async with executor:
        times = note_times(executor)
        await anyio.sleep(5)
        assert times == []
        executor.resume(key="a")
    assert [round(time - times[0], 2) for time in times] == [0, pytest.approx(0.5, abs=0.02)]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 1, 2), {}, "initial must be a positive"),
        ((1, nan, 2), {}, "minimum must be a positive"),
        ((1, 1, inf), {}, "maximum must be a positive"),
        ((3, 1, 2), {}, "initial must be from minimum to maximum"),
        ((1, 2, 3), {}, "initial must be from minimum to maximum"),
        ((1, 1, 1), {"per": 0}, "per must be"),
        ((1, 1, 1), {"slow": -1}, "slow must be"),
        ((1, 1, 1), {"key": 5}, "key must be"),
        ((1, 1, 1), {"from_headers": "headers"}, "from_headers must be a function"),
        ((1, 1, 1), {"name": ""}, "name must be a text"),
    ],
)
def test_bad_input(arguments, options, message):
    """It is refused when the limit is made."""
    with pytest.raises(ValueError, match=message):
        Adaptive(*arguments, **options)


def test_it_has_no_amount_to_change():
    """set_limit() refuses it."""
    limit = Adaptive(1, 1, 1)
    with pytest.raises(ValueError, match="learns its pace"):
        make_executor(limits=limit).set_limit(limit, 5)
    with pytest.raises(ConfigurationError, match="must be Rate, Quota, Concurrent or Adaptive"):
        anyio.run(make_executor(limits=[5]).start)


def test_a_field_cannot_hide_the_method():
    """Its name is taken."""
    with pytest.raises(TypeError, match="observe_response"):

        class Hides(Event):
            observe_response: int = 0


# -------------------------------------------------------------------- the pace by itself


class Step(Job):
    """Takes some time, and is refused, or told what is left, or neither."""

    how: str = "accepted"
    number: float = 0.0

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        if self.how == "refused" and not self.execution.attempts:
            raise RateLimited(retry_after=self.number)
        if self.how == "told":
            headers = {"x-ratelimit-remaining": str(int(self.number)), "x-ratelimit-reset": f"{self.number:.2f}"}
            self.observe_response(headers)


@given(
    backend=st.sampled_from(BACKENDS),
    steps=st.lists(
        st.builds(
            Step,
            how=st.sampled_from(["accepted", "refused", "told"]),
            seconds=st.sampled_from([0.0, 0.1, 3.0]),
            number=st.floats(0, 50),
        ),
        max_size=60,
    ),
    bounds=st.tuples(st.floats(0.1, 10), st.floats(10, 1000)),
)
def test_the_pace_keeps_its_bounds(backend, steps, bounds):
    """Whatever happens, in whatever order, the pace is between minimum and maximum, and every event ends."""

    async def main():
        executor = make_executor(limits=Adaptive(10, *bounds, slow=1))

        def look(*_):
            for pace in executor.statistics().paces:
                assert bounds[0] <= pace.per_second <= bounds[1]

        with record(executor) as trace:
            async with executor:
                executor.observe(look)
                for step in steps:
                    await executor.append(step.as_fresh_event(), priority=0)
        trace.check(at_rest=True)
        assert executor.status_counts()["completed"] == len(steps)

    run_in_virtual_time(main, backend=backend)


# -------------------------------------------------------------------- headers


def seconds_after(answer):
    """Give the seconds until the next start, once an event has observed an answer; 1,000 if the answer says nothing."""

    class Told(Job):
        async def _invoke(self):
            self.observe_response(answer)
            return executor.statistics().paces[0].seconds

    executor = make_executor(limits=Adaptive(0.001, 0.001, 1e9))

    async def main():
        async with executor:
            return await executor.invoke(Told())

    return run_in_virtual_time(main)


def seconds_for(found):
    """Give the same for what is left, and until when."""
    if found is None:
        return 1000
    left, seconds = found
    return seconds / (left + 1)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
            },
            (59, 1),
        ),
        ({"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, (0, 360)),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "Anthropic-RateLimit-Requests-Remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-30T10:00:30Z",
                "date": "Mon, 30 Nov 2026 10:00:00 GMT",
            },
            (49, 30),
        ),
        (
            {
                "x-ratelimit-limit": "60",
                "x-ratelimit-remaining": "56",
                "x-ratelimit-used": "4",
                "x-ratelimit-reset": "1796032860",
                "date": "Mon, 30 Nov 2026 10:00:00 GMT",
            },
            (56, 60),
        ),
        ({"RateLimit-Limit": "100", "RateLimit-Remaining": "50", "RateLimit-Reset": "50"}, (50, 50)),
        ({"RateLimit": "limit=100, remaining=50, reset=30"}, (50, 30)),
        ({"RateLimit": '"default";r=50;t=30'}, (50, 30)),
        ({"RateLimit": '"burst";r=5;t=1, "day";r=100;t=80000'}, (100, 80000)),
        ({"RateLimit": '"burst";r=5', "RateLimit-Policy": '"burst";q=100;w=60,"day";q=1000;w=86400'}, (5, 60)),
        ({"RateLimit": '"burst";r=5'}, None),
        ({"x-ratelimit-remaining": "5"}, None),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-reset": "5"}, None),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "5"}, None),
        ({"content-type": "text/plain"}, None),
        ([("X-Rate-Limit-Remaining", b"3"), ("X-Rate-Limit-Reset", b"9")], (3, 9)),
        (None, None),
        (5, None),
    ],
)
def test_header_families(headers, found):
    """Of OpenAI, Anthropic, GitHub, the drafts of the IETF; the limit that allows least counts."""
    assert seconds_after(headers) == pytest.approx(seconds_for(found))


def test_an_answer_has_its_headers():
    """As `headers`, in whatever class."""

    class Answer:
        headers = {"x-ratelimit-remaining": "7", "x-ratelimit-reset": "2"}

    assert seconds_after(Answer()) == pytest.approx(2 / 8)


@given(
    st.dictionaries(
        st.text(max_size=20) | st.sampled_from(["ratelimit", "x-ratelimit-remaining"]), st.text(max_size=30)
    )
)
def test_any_headers(headers):
    """Nothing is raised."""
    assert seconds_after(headers) >= 0


async def test_a_server_whose_headers_tell():
    """The calls of a window are spread over it, and nothing is refused."""

    class Tells(ServerCall):
        async def _invoke(self):
            await super()._invoke()
            server = self.server
            left = server.amount - len([at for at in server.taken if at > current_time() - server.per])
            self.observe_response({"x-ratelimit-remaining": str(left), "x-ratelimit-reset": str(server.per)})

    server = SlidingWindow(50, 10)
    async with Executor.of(Tells, limits=[Adaptive(1, 0.1, 1000)], max_queue_size=1000) as executor:
        for _ in range(400):
            await executor.append(Tells(server=server), priority=0)
        await anyio.sleep(60)
        await executor.stop(grace=0)
    assert server.share_refused(5, 60) == 0
    assert server.share_used(20, 60) > 0.4
