"""A server for the tests of a process, and a queue for each test."""

import gc
import uuid

import pytest
from cli_children import end_children
from cluster_support import Server, new_queue, new_wire, opened
from parts import cluster
from work_events import runs
from worker_forks import WorkerForks

from lionpride_exec.testing import BACKENDS


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    """Return a backend with the real clock: the server has no other."""
    name, _, loop = request.param.partition("+")
    return name, {"use_uvloop": True} if loop else {}


@pytest.fixture(scope="session")
def server():
    """A server that the tests of one process share. Each test has a queue of its own."""
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def forks():
    """A process that forks workers for the tests of one process."""
    forks = WorkerForks()
    yield forks
    forks.stop()


@pytest.fixture
def backend_name(anyio_backend):
    """The backend as workers are told of it."""
    name, options = anyio_backend
    return f"{name}+uvloop" if options else name


@pytest.fixture
def own_server():
    """Start a server that a test may do with what it likes."""
    servers = []

    def start(*options, **keywords):
        servers.append(Server(*options, **keywords).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def protected_server(own_server):
    """A server with the password "hidden", which its URL has."""
    server = own_server("--requirepass", "hidden", on_port=True)
    server.url = server.url.replace("redis://", "redis://:hidden@")
    return server


@pytest.fixture(autouse=True)
def no_child_is_left():
    """End the commands that a failed test leaves behind."""
    yield
    end_children()


@pytest.fixture
def collected():
    """Have what coredis leaves unclosed collected while the warnings about it are ignored, with UNCLOSED."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Collect when pytest has forgotten the fixtures. Otherwise the warnings come in any later test."""
    result = yield
    if "collected" in item.fixturenames:
        gc.collect()
    return result


@pytest.fixture
async def queue(server):
    """An open queue."""
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        yield queue


@pytest.fixture
def queries(queue):
    """What answers questions about the open queue."""
    return cluster.QueueQueries(queue)


@pytest.fixture
def name():
    """A name of the test's own: of its queue, and of what its events note."""
    name = uuid.uuid4().hex
    runs[name] = []
    yield name
    del runs[name]
