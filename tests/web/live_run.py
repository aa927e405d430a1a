"""A run with a dashboard, in a thread with its own event loop."""

import threading

import anyio
import uvicorn
from support import Job, JobExecutor

from lionpride_exec.web import dashboard


class LiveRun:
    """
    Runs events that wait for a gate, behind a dashboard that takes actions.

    Args:
        events: How many there are.
        slots: How many run at a time.
    """

    def __init__(self, events, slots):
        self.events, self.slots = events, slots
        self.executor = None
        self._opened = threading.Event()
        self._ready = threading.Event()
        self._failed = None
        self._server = None
        self._thread = threading.Thread(target=self._run, name="live run")

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30), "the run has not begun"
        if self._failed is not None:
            raise self._failed
        self.address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *exc):
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def counts(self):
        """Give the number of events of each status."""
        return self.executor.status_counts()

    def open_gate(self):
        """Let the events end."""
        self._opened.set()

    def _run(self):
        try:
            anyio.run(self._main)
        except BaseException as exc:  # noqa: BLE001  told in the other thread
            self._failed = exc
            self._ready.set()

    async def _main(self):
        config = {"queue_capacity": 100, "capacity_refresh_time": 0.05, "concurrency_limit": self.slots}
        self.executor = executor = JobExecutor(name="run", processor_config=config)
        server = uvicorn.Config(
            dashboard(executor, writable=True), port=0, ws="none", lifespan="off", log_level="warning"
        )
        server.timeout_graceful_shutdown = 2
        self._server = uvicorn.Server(server)
        gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            await executor.start()
            for number in range(self.events):
                await executor.append(Job(name=f"job {number}", gate=gate))
            tasks.start_soon(self._tell, tasks, gate)
            await self._server.serve()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                gate.set()
                await executor.stop()

    async def _tell(self, tasks, gate):
        while not self._server.started:  # noqa: ASYNC110  uvicorn says it in no other way
            await anyio.sleep(0.01)
        self._ready.set()
        while not self._opened.is_set():  # noqa: ASYNC110  it is set in another thread
            await anyio.sleep(0.01)
        gate.set()
