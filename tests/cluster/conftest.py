"""A server for the tests of a process, and a queue for each test."""

import pytest
from cluster_support import Server, new_queue, new_wire, opened

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


@pytest.fixture
async def queue(server):
    """An open queue."""
    wire = new_wire(server)
    async with opened(wire):
        queue = new_queue(wire)
        await queue.open()
        yield queue
