"""
What the servers of the examples have in common.

Each server is an ASGI application in a process of its own, on free ports of this machine. The process ends with the
process that started it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def started(script: str, variable: str, *options: str) -> Iterator[None]:
    """
    Run a server of this directory while the block runs, and have its URL in the environment.

    Nothing is started if the environment has the variable already: then the server is one that runs elsewhere.
    """
    if variable in os.environ:
        yield
        return
    command = [sys.executable, os.fspath(Path(__file__).with_name(script)), "--until-eof", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  our own
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"the server {script} did not start; its error is above")
        os.environ[variable] = f"http://127.0.0.1:{int(port)}"
        try:
            yield
        finally:
            process.terminate()
            del os.environ[variable]


def serve(make: Callable[[list[int]], Any], ports: list[int], *, until_eof: bool) -> None:
    """
    Print the ports, a line each, and serve until SIGTERM or Ctrl-C.

    Args:
        make: Returns the application, from the ports.
        ports: Where it listens. 0 is a free port.
        until_eof: Whether to end when standard input does: with the process at its other end, however that ended.
    """
    import uvicorn  # noqa: PLC0415  the application alone does without

    if until_eof:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    for signum in (signal.SIGTERM, signal.SIGINT):  # uvicorn closes everything first, then raises it again for us
        signal.signal(signum, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=1024)) for port in ports]
        bound = [listening.getsockname()[1] for listening in sockets]
        config = uvicorn.Config(
            make(bound), lifespan="off", log_level="warning", access_log=False, timeout_keep_alive=60
        )
        print(*bound, sep="\n", flush=True)
        uvicorn.Server(config).run(sockets=sockets)


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
