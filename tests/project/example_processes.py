"""The examples as processes of their own, and the servers that they use."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from threading import Timer

import httpx
import pytest
from pages import ROOT

EXAMPLES = ROOT / "examples"


@contextmanager
def process(*arguments, **options):
    """Run Python while the block runs. The process is ended by its id, and after a minute in any case."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams, **options) as child:  # noqa: S603  our own
        watchdog = Timer(60, child.kill)
        watchdog.start()
        try:
            yield child
        finally:
            child.kill()
            watchdog.cancel()


def output_of(*arguments, **options):
    """Run Python to its end, which has to be a good one. Return what it has printed."""
    with process(*arguments, **options) as child:
        out, err = child.communicate()
    assert (child.returncode, "Traceback" in err) == (0, False), err
    return out, err


def kill_when(is_time, *arguments, **options):
    """Run Python, and kill it by SIGKILL when ``is_time()`` says so, which has to be before its end."""
    with process(*arguments, **options) as child:
        while not is_time() and child.poll() is None:
            time.sleep(0.01)  # another process works, in real time
        child.kill()
    assert child.returncode == -9


@contextmanager
def server(script, variable, *options):
    """Run a server of the examples. Yield an environment with its URL, and a function that returns what it has seen."""
    with process(EXAMPLES / script, *options) as child:
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"
        with httpx.Client(base_url=url, trust_env=False) as client:
            yield os.environ | {variable: url}, lambda: client.get("/stats").json()


# Not `uvicorn --fd`, which makes each answer take 40 ms more (findings/uvicorn-fd-of-tcp.sh).
UVICORN = """
import socket, sys, uvicorn
name, place, grace = sys.argv[1:]
config = uvicorn.Config(f"{name}:app", timeout_graceful_shutdown=int(grace), log_level="warning")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(place))])
"""


@contextmanager
def asgi_server(kind, name, listening, *, grace=1, **options):
    """Run the ``app`` of a module by uvicorn, or by hypercorn on trio, while the block runs. All its processes end."""
    pytest.importorskip(kind)
    place = listening.fileno()
    command = [sys.executable, "-W", "error"]
    if kind == "uvicorn":
        command += ["-c", UVICORN, name, f"{place}", f"{grace}"]
    else:
        command += ["-m", "hypercorn", "--worker-class=trio", f"--graceful-timeout={grace}", "--log-level=warning"]
        command += [f"--bind=fd://{place}", f"{name}:app"]
    paths = os.pathsep.join(map(str, [EXAMPLES, options["cwd"]]))
    options["env"] = options.get("env", os.environ) | {"PYTHONPATH": paths}
    with subprocess.Popen(command, pass_fds=[place], start_new_session=True, **options) as child:  # noqa: S603  our own
        kill = partial(os.killpg, child.pid, signal.SIGKILL)
        watchdog = Timer(60, kill)
        watchdog.start()
        try:
            yield child
        finally:
            watchdog.cancel()
            with suppress(ProcessLookupError):
                kill()
