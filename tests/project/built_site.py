"""The site of the documentation, built once for all tests of a run, and a server for it."""

import functools
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from once import directory_of_run, once
from pages import ROOT

SECONDS = 300


def built_site(tmp_path_factory):
    """Return the folder of a site that was built in this run. A warning is an error."""
    return once(directory_of_run(tmp_path_factory), "site", lambda: build(tmp_path_factory.mktemp("site")))


def build(folder):
    """Build the site in a folder, and return the folder."""
    options = ["-n", "-W", "--keep-going", "-q", "-T", "-b", "html"]
    command = [sys.executable, "-m", "sphinx", *options, "docs", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  ours
    assert (done.returncode, done.stderr) == (0, "")
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served_site(folder):
    """Serve the folder of a site on a free port of this machine. Yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, name="site")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
