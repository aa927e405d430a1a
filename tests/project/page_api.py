"""The files and the server of a page on calls to an API, for its tests."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from page_shell import Shell
from pages import blocks_in


def with_files_of(page, directory):
    """Return a shell with the ``client.py`` and the ``run.toml`` of a page, and the texts of its blocks by language."""
    shell = Shell(directory)
    texts = {block.language: block.text for block in blocks_in(page.read_text("utf-8"))}
    (shell.directory / "client.py").write_text(texts["python"])
    (shell.directory / "run.toml").write_text(texts["toml"])
    return shell, texts


def commands_of(page):
    """Return the command lines of a page, in order."""
    blocks = [block.text for block in blocks_in(page.read_text("utf-8")) if block.language == "sh"]
    return [line for block in blocks for line in block.splitlines()]


class QuietHandler(BaseHTTPRequestHandler):
    """Answers a request with a status and a text, and writes no log."""

    def respond(self, status, text, **headers):
        """Send a response with this text, and with these headers beside its length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # by default 5 connections may wait, and the calls of others end in a ReadError


@contextmanager
def serving(handler, goes_on):
    """Serve inside the block. Yield the URL. The event is set at the end, for the calls that wait for it."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
