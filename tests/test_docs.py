"""The pages of docs/: their programs print what their comments say, and what the text states is so."""

import re
from pathlib import Path

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked

from lionpride_exec import Event, EventStatus, Executor, Rate, RateLimited

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ["limits"]


@pytest.mark.parametrize("page", PAGES)
async def test_the_programs_of_a_page(page, capsys):
    """Each block, run in the namespace of those before it, prints the lines that are marked with #>."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    assert blocks
    namespace = {"__name__": page}
    for code in blocks:
        exec(re.sub(r"(?m)^anyio\.run\(main\)$", "", code), namespace)  # noqa: S102  our own page
        if "anyio.run(main)" in code:
            await namespace["main"]()
        assert capsys.readouterr().out.splitlines() == re.findall(r"#> (.*)", code)


# -------------------------------------------------------------------- limits


class Call(Event):
    """Notes when it starts."""

    user: object = "a"
    tokens: float = 1
    seconds: float = 0.0
    is_throttled: bool = False

    async def _invoke(self):
        began = current_time()
        if self.is_throttled and not self.execution.attempts:
            raise RateLimited(retry_after=30)
        if self.seconds:
            await anyio.sleep(self.seconds)
        return began


async def starts_of(calls, *limits, **config):
    """When they start, in seconds from now."""
    now = current_time()
    async with Executor.of(Call, limits=limits, **config) as executor:
        await executor.extend(calls, priority=0)
    return [round(call.result() - now) for call in calls]


async def test_an_event_that_takes_much_of_what_all_share_holds_up_everything():
    """Also what costs nothing; but not what has a lower number."""
    limit = Rate(10, per=60, cost="tokens")
    assert await starts_of([Call(tokens=tokens) for tokens in (5, 10, 0, 1)], limit) == [0, 60, 60, 120]
    async with Executor.of(Call, limits=[limit]) as executor:
        await executor.append(Call(tokens=5), priority=0)
        dear = await executor.append(Call(tokens=10), priority=0)
        await wait_all_tasks_blocked()
        await (await executor.append(Call(tokens=1), priority=-1)).wait()
        assert dear.status is EventStatus.PENDING


async def test_a_full_queue_takes_no_turns():
    """Who is not in it waits for room, however free its key is."""
    calls = [Call(user=user) for user in "aaaaaaaab"]
    assert (await starts_of(calls, Rate(1, per=60, key="user"), max_queue_size=5))[-1] > 0
    calls = [call.as_fresh_event() for call in calls]
    assert (await starts_of(calls, Rate(1, per=60, key="user")))[-1] == 0


async def test_rate_limited_without_a_key_stops_everything():
    """Where the event has none; and the run that met it counts for a rate."""
    limit = Rate(1, per=60, key="user")
    async with Executor.of(Call, limits=[limit]) as executor:
        await executor.append(Call(user=None, is_throttled=True), priority=0)
        await wait_all_tasks_blocked()
        other = await executor.append(Call(user="b"), priority=0)
    assert round(other.result()) == 30
    assert await starts_of([Call(is_throttled=True)], limit) == [60]


async def test_a_key_is_asked_when_an_event_is_appended_and_when_it_is_queued():
    """At the same time, unless it is appended before the first start; what changes later does not count."""
    asked = []

    def key_of(event):
        asked.append(event.user)
        return event.user

    executor = Executor.of(Call, limits=[Rate(1, per=60, key=key_of)])
    early = await executor.append(Call(user="early"), priority=0)
    early.user = "other"
    async with executor:
        late = await executor.append(Call(user="late"), priority=0)
        late.user = "other"
    assert asked == ["early", "other", "late"]
    assert (round(early.result()), round(late.result())) == (0, 0)
