"""How a key is reopened after RateLimited: few of the calls are refused, and little of the limit is left unused."""

import time

import anyio
import pytest
from anyio import current_time
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import scheduling_pacing, scheduling_reopening
from servers import SAID, AtATime, Busy, Chance, FixedWindow, ServerCall, SlidingWindow, TokenBucket

from lionpride_exec import Concurrent, Executor, Rate, RateLimited, WaitReason
from lionpride_exec.testing import check_invariants

Pacing = scheduling_pacing.Pacing
MAX_GROWN_PAUSE, Reopening = scheduling_reopening.MAX_GROWN_PAUSE, scheduling_reopening.Reopening

pytestmark = pytest.mark.anyio

# The server, seconds until it has settled, and until when it is looked at.
FAMILY = [
    *((f"10 in any second, {says}", SlidingWindow, (10, 1, says), 60, 120) for says in SAID),
    *((f"60 in any minute, {says}", SlidingWindow, (60, 60, says), 600, 900) for says in ("exact", "zero")),
    *((f"100 in any 10 s, {says}", SlidingWindow, (100, 10, says), 60, 120) for says in ("rounded up",)),
    *((f"10 in a second, {says}", FixedWindow, (10, 1, says), 60, 120) for says in ("exact", "rounded up")),
    *((f"60 in a minute, {says}", FixedWindow, (60, 60, says), 600, 900) for says in ("exact", "not at all")),
    *((f"10 tokens a second, 20 kept, {says}", TokenBucket, (10, 20, says), 60, 120) for says in ("exact", "zero")),
    *((f"leaky bucket, 10 a second, {says}", TokenBucket, (10, 1, says), 60, 120) for says in ("exact", "rounded up")),
    *((f"10 at a time of 0.5 s, {says}", AtATime, (10, 0.5, says), 60, 120) for says in ("not at all", "zero")),
]


def make(**config):
    """Make an executor with nothing else that holds calls up."""
    config = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01, "max_queue_size": 100_000} | config
    return Executor.of(ServerCall, **config)


async def call_until(server, until, number=None):
    """Call a server as fast as it can be called, a hundred at a time, until then."""
    number = number or int(server.rate * until * 1.3) + 100
    async with make(concurrency_limit=100) as executor:
        await executor.extend([ServerCall(server=server) for _ in range(number)], priority=0)
        await anyio.sleep(until - current_time())
        check_invariants(executor)
        await executor.stop(grace=0)
        await executor.cleanup_events(["pending", "completed", "cancelled"])


@pytest.mark.parametrize(
    ("server_type", "arguments", "settled", "until"),
    [pytest.param(*rest, id=name) for name, *rest in FAMILY],
)
async def test_a_family_of_servers(server_type, arguments, settled, until):
    """Once it has settled, 15 % of the calls are refused at most, and 90 % of what the server allows is used."""
    server = server_type(*arguments)
    await call_until(server, until)
    assert server.share_refused(settled, until) <= 0.15
    assert server.share_used(settled, until) >= 0.90


async def test_a_hundred_at_a_time_at_ten_a_second():
    """From the first call on, the hundred included that start before anything is known."""
    server = SlidingWindow(10, 1)
    async with make(concurrency_limit=100) as executor:
        await executor.extend([ServerCall(server=server) for _ in range(300)], priority=0)
    assert server.share_refused(0, 1e9) <= 0.27
    assert server.share_refused(1, 1e9) <= 0.10
    assert current_time() <= 30 / 0.9


async def test_calls_that_hold_each_other_up_do_not_slow_down_what_follows():
    """A hundred that start at once take 2 s each, by their number alone; the pace is not learned from that."""
    server = Busy(20, 1, 0.02, "rounded up")
    async with make(concurrency_limit=100) as executor:
        await executor.extend([ServerCall(server=server) for _ in range(300)], priority=0)
    assert current_time() <= 2 + 300 / 20 * 1.5
    assert server.share_refused(5, 1e9) <= 0.10


@pytest.mark.parametrize("says", ["exact", "rounded up"])
async def test_the_pace_follows_a_limit_that_rises(says):
    """Four times as much is allowed from one moment on; a minute or two later it is used."""
    server = SlidingWindow(10, 1, says)

    async def rise():
        await anyio.sleep(40)
        server.amount = 40

    async with anyio.create_task_group() as group:
        group.start_soon(rise)
        await call_until(server, 200, number=8000)
    server.rate = 40
    assert server.share_used(160, 200) >= 0.85
    assert server.share_refused(100, 200) <= 0.05


async def test_the_pace_follows_a_limit_that_falls():
    """A quarter is allowed from one moment on."""
    server = SlidingWindow(40, 1)

    async def fall():
        await anyio.sleep(60)
        server.amount = 10

    async with anyio.create_task_group() as group:
        group.start_soon(fall)
        await call_until(server, 180)
    server.rate = 10
    assert server.share_used(90, 180) >= 0.85
    assert server.share_refused(90, 180) <= 0.10


async def test_other_keys_are_not_paced():
    """What was never refused starts at once, a hundred at a time."""
    server, other = SlidingWindow(10, 1), SlidingWindow(1000, 1)
    async with make(limits=[Concurrent(100, key="user")], concurrency_limit=1000) as executor:
        await executor.extend([ServerCall(server=server, user="a") for _ in range(300)], priority=0)
        await anyio.sleep(5)
        began = current_time()
        calls = await executor.extend([ServerCall(server=other, user="b") for _ in range(100)], priority=0)
        for call in calls:
            await call.wait()
        assert current_time() - began == pytest.approx(0.1, abs=0.01)
        assert [pace.key for pace in executor.statistics().paces] in ([], ["a"])
        await executor.stop(grace=0)


@pytest.mark.parametrize(("share", "seconds", "most"), [(0.05, 0.1, 300), (0.05, 1, 3000), (0.2, 1, 10_000)])
async def test_refusals_that_do_not_depend_on_the_pace(share, seconds, most):
    """A slower pace would not help, so the pace does not fall for ever: it took an hour, and then days."""
    server = Chance(share, seconds)
    async with make(concurrency_limit=100) as executor:
        await executor.extend([ServerCall(server=server) for _ in range(2000)], priority=0)
        await executor.join()
        check_invariants(executor)
    assert current_time() < most


async def test_few_calls_are_not_slowed_down():
    """A call now and then after a refusal starts when it comes: there is no pace to be learned from it."""
    server = FixedWindow(10, 1)
    async with make() as executor:
        await executor.extend([ServerCall(server=server) for _ in range(12)], priority=0)
        await executor.join()
        for _ in range(50):
            await anyio.sleep(0.5)
            began = current_time()
            await executor.invoke(ServerCall(server=server), priority=0)
            assert current_time() - began == pytest.approx(0.1, abs=0.01)


async def test_a_trouble_that_has_passed_is_outgrown():
    """A server that was ill for a moment, and has no limit, gets its hundred at a time again."""
    server = SlidingWindow(10**9, 1)
    server.amount = 5

    async def recover():
        await anyio.sleep(1.5)
        server.amount = 10**9

    async with anyio.create_task_group() as group:
        group.start_soon(recover)
        async with make(concurrency_limit=100) as executor:
            await executor.extend([ServerCall(server=server) for _ in range(10_000)], priority=0)
            await executor.join()
    # Without a refusal they take 10 s.
    assert current_time() < 50


@pytest.mark.parametrize("seconds", [0.002, 0.02])
async def test_an_outage_of_a_minute_slows_down_nothing_after_it(seconds):
    """All is refused from the first call on; the pace is learned from what comes after the first success."""
    server = Busy(0, 1, seconds, "not at all")

    async def recover():
        await anyio.sleep(60)
        server.amount = 30

    async with anyio.create_task_group() as group:
        group.start_soon(recover)
        async with make(concurrency_limit=100) as executor:
            await executor.extend([ServerCall(server=server) for _ in range(300)], priority=0)
    reopened = next(at for at, taken in server.log if taken)
    assert reopened <= 60 + MAX_GROWN_PAUSE
    assert current_time() - reopened <= 300 / 30 * 2
    assert server.share_refused(reopened, 1e9) <= 0.15


async def test_statistics_and_explain_tell_the_pace():
    """Of which key, how fast, and when the next one starts; a call that waits for that waits after a refusal."""
    server = TokenBucket(2, 1)
    async with make(limits=[Concurrent(50, key="user")]) as executor:
        calls = await executor.extend([ServerCall(server=server, user="ann") for _ in range(200)], priority=0)
        await anyio.sleep(30)
        moments = []
        for _ in range(20):
            await anyio.sleep(0.05)
            moments.append(executor.statistics())
            if moments[-1].paces:
                break
        now = moments[-1]
        (pace,) = now.paces
        assert (pace.key, pace.limit) == ("ann", executor.processor.router.limits[0])
        assert 1.5 <= pace.per_second <= 2.5
        assert 0 <= pace.seconds <= 1 / 1.5
        assert now.pauses == ()
        waiting = next(call for call in calls if call.status.value == "pending")
        explanation = executor.explain(waiting)
        assert (explanation.waits_for, explanation.key) == (WaitReason.REFUSAL, "ann")
        assert explanation.seconds == pytest.approx(pace.seconds)
        started = len(server.log)
        await anyio.sleep(pace.seconds - 0.001)
        assert len(server.log) <= started + 1  # the one that is under way
        await executor.stop(grace=0)


@pytest.mark.parametrize("rate_key", ["user", None])
async def test_a_pace_beyond_the_rate_is_not_told(rate_key):
    """Once the server accepts more than the rate allows, the rate is what holds calls back, not the pace."""
    server = TokenBucket(2, 1)
    limits = [Rate(10, 1, key=rate_key), Concurrent(50, key="user")]
    async with make(limits=limits) as executor:
        await executor.extend([ServerCall(server=server, user="ann") for _ in range(5_000)], priority=0)
        told = []
        for _ in range(100):
            await anyio.sleep(0.3)
            told += executor.statistics().paces
        assert told
        assert max(pace.per_second for pace in told) < 10
        assert {pace.key for pace in told} == {"ann"}
        server.rate = server.size = 1000  # from now on nothing is refused
        await anyio.sleep(120)
        done = len(server.log)
        for _ in range(50):
            await anyio.sleep(0.1)
            assert executor.statistics().paces == ()
        assert 45 <= len(server.log) - done <= 55
        assert executor.statistics().status_counts["pending"]


async def test_the_pace_goes_on_over_stop_and_start():
    """It is not learned anew."""
    server = SlidingWindow(10, 1)
    executor = make(concurrency_limit=100)
    await executor.start()
    await executor.extend([ServerCall(server=server) for _ in range(800)], priority=0)
    await anyio.sleep(40)
    await executor.stop()
    await anyio.sleep(5)
    began = current_time()
    await executor.start()
    await anyio.sleep(20)
    assert server.share_refused(began, began + 20) <= 0.1
    assert server.share_used(began, began + 20) >= 0.85
    await executor.stop(grace=0)


async def test_forward_keeps_to_the_pace():
    """It goes past the window of starts, not past what the other side has said."""
    server = TokenBucket(1, 1)
    executor = make()
    await executor.start()
    await executor.extend([ServerCall(server=server) for _ in range(50)], priority=0)
    await anyio.sleep(20)
    await executor.stop()
    before = len(server.log)
    await executor.forward()
    assert len(server.log) <= before + 1
    await executor.stop()


# -------------------------------------------------------------------- the arithmetic


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "accept", "refuse"]),
        st.floats(0, 1e4),
        st.floats(0, 1e6),
    ),
    max_size=100,
)


@given(STEPS)
@settings(deadline=None)
def test_whatever_comes_there_is_a_pace(steps):
    """It is positive, a next start is never before the pause is over, and nothing overflows."""
    reopening, now, starts = Reopening(), 0.0, []
    for what, seconds, asked in steps:
        now = max(now + seconds, reopening.opens_at if what == "start" else 0)
        if what == "start":
            reopening.start(now)
            starts.append(now)
        elif what == "accept":
            reopening.accept(starts[-1] if starts else 0.0, seconds)
        else:
            began = starts[-1] if starts else now
            until = now + max(asked, reopening.floor(began))
            reopening.refuse(began, now, until, "429")
            assert reopening.opens_at >= until
        assert reopening.pacing.pace() > 0
        assert reopening.opens_at < float("inf")


def test_probing_doubles():
    """The n-th start is at d * log2(n), with d twice the time of a refusal."""
    pacing, at = Pacing(), []
    pacing.refuse(0.0, 0.05, is_news=True)
    pacing.estimate(1.0, 1.0)
    now = 1.0
    for _ in range(16):
        pacing.start(now)
        at.append(now)
        now = pacing.next_at
    assert [at[number - 1] for number in (1, 2, 4, 8, 16)] == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4])


def test_a_start_is_cheap():
    """The state of a key takes the same time however many calls there were."""
    pacing, now = Pacing(), 0.0
    pacing.refuse(0.0, 0.05, is_news=True)
    assert not hasattr(pacing, "__dict__")
    began = time.process_time()
    for _ in range(20_000):
        pacing.start(now)
        now = pacing.next_at
    assert time.process_time() - began < 2


async def test_an_event_that_is_cancelled_while_it_probes_holds_up_nobody():
    """The next one starts at the pace, whatever became of the first."""

    class Stuck(ServerCall):
        first: bool = True

        async def _invoke(self):
            if self.first:
                self.first = False
                raise RateLimited(retry_after=1)
            await anyio.sleep_forever()

    server = SlidingWindow(10, 1)
    async with make() as executor:
        stuck = await executor.append(Stuck(server=server), priority=0)
        call = await executor.append(ServerCall(server=server), priority=1)
        await anyio.sleep(5)
        assert call.status.value == "completed"
        executor.cancel(stuck)
    assert stuck.status.value == "cancelled"
