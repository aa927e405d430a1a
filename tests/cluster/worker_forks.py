"""Workers in processes of their own, which tests kill and stop."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent


class WorkerForks:
    """The process of ``worker_process.py``, which forks the workers."""

    def __init__(self):
        path = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
        command = [sys.executable, str(HERE / "worker_process.py")]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  open until stop()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log, "text": True}
        self._process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes)
        self._lock = threading.Lock()

    def ask(self, *words):
        """Return the answer to a request."""
        with self._lock:
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, self.messages()
        return answer.strip()

    def messages(self):
        """Return what it and its workers have written to standard error."""
        return os.pread(self._log.fileno(), 100_000, 0).decode()  # the workers write where the file's position is

    def stop(self):
        """End it, and all workers that it has forked."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


class Workers:
    """The workers of one queue. All are killed at the end of the block."""

    def __init__(self, forks, server, queue, backends, *, kind="plain", lease=2, slots=25, seconds=0.01):
        self.forks = forks
        self.backends = backends
        self.options = server.url, queue.prefix, queue.streams - 1
        self.rest = kind, lease, slots, seconds
        self.started = []

    def start(self):
        """Start one, on the next of the backends."""
        backend = self.backends[len(self.started) % len(self.backends)]
        self.started.append(Worker(self.forks, self.forks.ask("start", *self.options, backend, *self.rest)))
        return self.started[-1]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for worker in self.started:
            worker.kill()
        statuses = {worker.wait() for worker in self.started}
        # SIGTERM kills a worker that has just begun.
        assert statuses <= {0, -signal.SIGKILL, -signal.SIGTERM}, self.forks.messages()


class Worker:
    """One worker."""

    def __init__(self, forks, number):
        self.forks = forks
        self.number = number

    def send_signal(self, number):
        """Send a signal, unless the worker has ended."""
        self.forks.ask("send", self.number, int(number))

    def kill(self):
        """Kill it, also if it is stopped."""
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        """Have it end in order."""
        self.send_signal(signal.SIGTERM)

    def wait(self):
        """Wait until it has ended. Return its exit status."""
        return int(self.forks.ask("wait", self.number))
