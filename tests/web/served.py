"""A dashboard behind a real server, for the tests that need one."""

import threading
from contextlib import contextmanager

import uvicorn


@contextmanager
def served(app):
    """Run an application by uvicorn in a thread, on a free port. Yield its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", lifespan="off")
    config.timeout_graceful_shutdown = 2
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def startup_and_tell(sockets=None):
        await startup(sockets)
        started.set()

    server.startup = startup_and_tell
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        assert started.wait(30), "uvicorn has not started"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
