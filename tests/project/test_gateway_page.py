"""The page on a gateway: turns, a 429, clients that leave, SIGTERM. And what other pages say of such limits."""

import asyncio
import json
from contextlib import asynccontextmanager

import anyio
import pytest
from pages import code_of, define
from support import ASYNCIO_ONLY

from lionpride_exec import Concurrent, Event, Executor, Rate, RateLimited, Retain

pytest.importorskip("fastapi")
httpx2 = pytest.importorskip("httpx2")
uvicorn = pytest.importorskip("uvicorn")
pytestmark = pytest.mark.anyio


class Api:
    """Stands for the API. It sends a token a second, as many as the prompt says: ``10 ann`` are ten for ann."""

    def __init__(self):
        self.starts = []  # the time of each request, and its name
        self.open = 0
        self.refusals = 0  # how many of the next requests get a 429
        self.breaks = 0  # how many of the next streams break off before their first token

    async def answer(self, request):
        """Return the answer to a request."""
        count, name = json.loads(request.content)["prompt"].split()
        self.starts.append((anyio.current_time(), name))
        if self.refusals:
            self.refusals -= 1
            return httpx2.Response(429, headers={"Retry-After": "30"})
        if self.breaks:
            self.breaks -= 1
            raise httpx2.ReadError("broken off")
        return httpx2.Response(200, content=self.tokens(int(count)))

    async def tokens(self, count):
        """Yield some lines. Break off after the last if the count is negative."""
        self.open += 1
        try:
            for number in range(abs(count)):
                await anyio.sleep(1)
                yield f"{number}\n".encode()
            if count < 0:
                raise httpx2.ReadError("broken off")
        finally:
            self.open -= 1

    @asynccontextmanager
    async def client(self):
        """Stand for the lifespan of the executor."""
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer), base_url="http://api") as client:
            yield client


class Client:
    """A request for a stream, on a connection of its own. It calls the application as uvicorn does."""

    def __init__(self, app, customer, count):
        self.app, self.customer, self.count = app, customer, count
        self.left = anyio.Event()
        self.status = None
        self.blocks = []
        self._asked = False

    async def receive(self):
        """Return the body, then wait until the client leaves."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": json.dumps({"prompt": f"{self.count} {self.customer}"}).encode()}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        """Keep what is sent, with its time."""
        self.status = message.get("status", self.status)
        if message.get("body"):
            self.blocks.append((anyio.current_time(), message["body"].decode().strip()))

    async def ask(self):
        """Send the request, and read the answer to its end."""
        headers = [(b"customer", self.customer.encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/chat", "raw_path": b"/chat", "query_string": b""}
        scope |= {"headers": headers, "http_version": "1.1", "scheme": "http", "asgi": {"spec_version": "2.3"}}
        await self.app(scope, self.receive, self.send)

    @property
    def texts(self):
        """What was sent, without times."""
        return [text for _, text in self.blocks]


@pytest.fixture
def api():
    """An API."""
    return Api()


@pytest.fixture
def gateway(api):
    """The names of the program, with the API behind it."""
    names = define(code_of("docs/gateway.md")[0], name="gateway_page")
    names["model"] = api.client
    return names


@asynccontextmanager
async def running(gateway):
    """Run the gateway. Yield a function that begins a request in the background, and returns its client."""
    app = gateway["app"]
    async with gateway["lifespan"](app), anyio.create_task_group() as group:

        def begin(customer, count):
            client = Client(app, customer, count)
            group.start_soon(client.ask)
            return client

        yield begin


def counts_of(gateway):
    """Return how many streams wait, and how many run."""
    counts = gateway["app"].state.executor.status_counts()
    return counts["pending"], counts["processing"]


async def test_tokens_are_sent_as_they_come(gateway):
    """Each token when the API sends it, then the end. What was not used of the tokens comes back."""
    async with running(gateway) as begin:
        began = anyio.current_time()
        client = begin("ann", 3)
    assert [(round(at - began), text) for at, text in client.blocks] == [
        (1, 'data: "0"'), (2, 'data: "1"'), (3, 'data: "2"'), (3, "event: end\ndata: null")
    ]  # fmt: skip
    used = gateway["app"].state.executor.statistics().limits
    assert [usage.used for usage in used if usage.limit.name == "tokens"] == [3]


async def test_who_is_next(gateway, api):
    """A greedy customer runs five streams, and may have 20 that wait. The others start at once."""
    async with running(gateway) as begin:
        for count in (5, 20):
            for _ in range(count):
                begin("greedy", 4)
            await anyio.sleep(0.5)
        assert counts_of(gateway) == (20, 5)
        refused = begin("greedy", 4)
        for customer in ("small", "gold"):
            begin(customer, 1)
        await anyio.sleep(0.5)
        assert (refused.status, counts_of(gateway)) == (429, (20, 7))
    assert sorted(name for _, name in api.starts[5:7]) == ["gold", "small"]


async def test_an_event_that_has_left_memory(gateway):
    """The end of its response does not look for it."""
    gateway["Retain"] = lambda _: Retain(0)
    async with running(gateway) as begin:
        client = begin("ann", 1)
    assert client.texts[-1] == "event: end\ndata: null"


async def test_a_full_rate(gateway, api):
    """Of 20 requests in a second the paying customer has the first, and the others take turns."""
    async with running(gateway) as begin:
        for number in range(20):
            begin(f"early{number}", 3)
        await anyio.sleep(0.5)
        for customer in ["ann"] * 3 + ["bob"] * 3 + ["gold"]:
            begin(customer, 3)
            await anyio.sleep(0.01)
    names = [name for _, name in api.starts[20:]]
    assert names == ["gold", "ann", "bob", "ann", "bob", "ann", "bob"]
    times = [at for at, _ in api.starts]
    assert times[20] - times[0] >= 1


async def test_a_429_of_the_account_pauses_all(gateway, api):
    """The refused stream and those of other customers wait, and then run."""
    async with running(gateway) as begin:
        api.refusals = 1
        first = begin("ann", 1)
        await anyio.sleep(1)
        second = begin("bob", 1)
        await anyio.sleep(28)
        assert (len(api.starts), counts_of(gateway)) == (1, (2, 0))
    assert first.texts == second.texts == ['data: "0"', "event: end\ndata: null"]
    assert len(api.starts) == 3


async def test_a_stream_that_breaks_off(gateway, api):
    """Before the first token another run hides it. Later the client is told."""
    api.breaks = 1
    async with running(gateway) as begin:
        client = begin("ann", 2)
    assert client.texts == ['data: "0"', 'data: "1"', "event: end\ndata: null"]
    assert len(api.starts) == 2
    async with running(gateway) as begin:
        client = begin("ann", -2)
    assert client.texts == ['data: "0"', 'data: "1"', 'event: error\ndata: "broken off"']
    assert len(api.starts) == 3


async def test_a_client_that_leaves(gateway, api):
    """Its event ends, whether it ran or waited, and its slots are free at once."""
    async with running(gateway) as begin:
        clients = [begin("ann", 50) for _ in range(8)]
        await anyio.sleep(2.5)
        assert (api.open, counts_of(gateway)) == (5, (3, 5))
        for client in clients:
            client.left.set()
        await anyio.sleep(0.1)
        assert (api.open, counts_of(gateway)) == (0, (0, 0))
        counts = gateway["app"].state.executor.status_counts()
        assert counts["cancelled"] == 8


class Lifespan:
    """Stands for the part of uvicorn that leaves the lifespan of the application."""

    left_at = None

    async def shutdown(self):
        """Keep the time."""
        self.left_at = anyio.current_time()


@asynccontextmanager
async def served(gateway):
    """Run the gateway. Yield a server that knows the requests, as uvicorn does, and a function that begins one."""
    server = gateway["Server"](uvicorn.Config(gateway["app"], timeout_graceful_shutdown=12))
    server.servers, server.lifespan = [], Lifespan()
    tasks = server.server_state.tasks

    async def ask(client):
        tasks.add(asyncio.current_task())
        await client.ask()
        tasks.discard(asyncio.current_task())

    async with gateway["lifespan"](gateway["app"]), anyio.create_task_group() as group:

        def begin(customer, count):
            client = Client(gateway["app"], customer, count)
            group.start_soon(ask, client)
            return client

        yield server, begin


@ASYNCIO_ONLY  # as uvicorn is
async def test_sigterm(gateway):
    """A stream that waits ends at once, one that runs within the grace. What comes then gets 503."""
    async with served(gateway) as (server, begin):
        short, long, *_ = [begin("ann", count) for count in (5, 50, 5, 5, 5)]
        waits = begin("ann", 5)
        await anyio.sleep(1.5)
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(server.shutdown)
            await anyio.sleep(0.5)
            assert waits.texts == ['event: error\ndata: "the gateway stops"']
            late = begin("bob", 1)
        took = server.lifespan.left_at - began
    assert late.status == 503
    assert short.texts[-2:] == ['data: "4"', "event: end\ndata: null"]
    assert long.texts[-1] == 'event: error\ndata: "the gateway stops"'
    assert round(long.blocks[-1][0] - began) == 10
    assert 10 <= took < 11


@ASYNCIO_ONLY
async def test_sigterm_without_streams(gateway):
    """The server does not wait for the grace."""
    async with served(gateway) as (server, _):
        began = anyio.current_time()
        await server.shutdown()
        assert anyio.current_time() - began < 1


# -------------------------------------------------------------------- what other pages say of the same limits


class Ask(Event):
    """Is refused at first if it says so. It uses ten times the tokens that it has taken."""

    customer: str = "ann"
    refused: bool = False
    tokens: int = 10

    async def _invoke(self):
        started = anyio.current_time()
        if self.refused and not self.execution.attempts:
            raise RateLimited("429", retry_after=10)
        await anyio.sleep(3)
        self.settle(10 * self.tokens)
        return started


@pytest.mark.parametrize(("key", "later"), [(None, 1), (lambda _: "api", 10)], ids=["no-key", "one-key"])
async def test_which_customers_a_429_pauses(key, later):
    """A rate without a key is not closed if another limit of the event has one."""
    limits = [Rate(20, per=1, key=key), Concurrent(5, key="customer")]
    async with Executor.of(Ask, limits=limits) as executor:
        began = anyio.current_time()
        first = await executor.append(Ask(refused=True), priority=0)
        await anyio.sleep(1)
        second = await executor.append(Ask(customer="bob"), priority=0)
    assert [round(ask.result() - began) for ask in (first, second)] == [10, later]


@pytest.mark.parametrize(("hold", "seconds"), [(False, 3), (True, 4)])
async def test_settle_after_the_window(hold, seconds):
    """The tokens that a long call has used count only with `hold=True`."""
    async with Executor.of(Ask, limits=[Rate(100, per=1, cost="tokens", hold=hold)]) as executor:
        first = await executor.append(Ask(), priority=0)
        await first.wait()
        second = await executor.append(Ask(), priority=0)
    assert round(second.result() - first.result()) == seconds
