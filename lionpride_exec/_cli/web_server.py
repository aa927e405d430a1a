"""``lionpride-exec web`` and ``lionpride-exec cluster web``: a dashboard behind a server of its own."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import anyio

from lionpride_exec.web import dashboard
from lionpride_exec.web._server import (
    CannotServeError,
    address_of,
    check_server,
    is_for_all,
    listener_at,
    make_token,
    serve,
)

from .errors import UsageError
from .exit_status import COMPLETED
from .journal.records import reading

if TYPE_CHECKING:
    import socket

    from .cluster.connection import OpenQueue
    from .web_options import WebOptions


def _listen(options: WebOptions) -> socket.socket:
    """
    Return the socket of a dashboard.

    Raises:
        UsageError: The address cannot be used, or other machines reach it without a token.
    """
    if options.no_token and is_for_all(options.host, options.allow_host):
        raise UsageError("--no-token is for this machine only: leave out --allow-host, and a --host for other machines")
    try:
        check_server("asyncio")
        return listener_at(options.host, options.port)
    except CannotServeError as exc:
        raise UsageError(str(exc)) from exc


def serve_journal(journal: str, options: WebOptions) -> int:
    """
    Serve the dashboard of a journal until SIGINT or SIGTERM. Return the exit status.

    Args:
        journal: Path of the journal.
        options: Where it is served, and to whom.

    Raises:
        UsageError: The journal cannot be opened, or the address cannot be used.
    """
    listener = _listen(options)
    with listener:
        with reading(journal):
            pass  # it is a journal, and can be read
        return anyio.run(_serve, journal, listener, options)


def serve_queue(queue: str, url_file: str | None, options: WebOptions) -> int:
    """
    Serve the dashboard of a cluster's queue until SIGINT or SIGTERM. Return the exit status.

    Args:
        queue: The name of the queue.
        url_file: A file with the URL of the server. With None, the environment variable has the URL.
        options: Where it is served, and to whom.

    Raises:
        UsageError: There is no URL, or the address cannot be used.
        ConfigurationError: The name or the URL cannot be used.
        NotFoundError: The server has no queue of this name.
        ClusterError: The server is not reached, or refuses.
    """
    from lionpride_exec._faces.cluster_source import ClusterSource  # noqa: PLC0415  needs the extra cluster

    from .cluster.connection import in_queue  # noqa: PLC0415  likewise

    listener = _listen(options)

    async def show(opened: OpenQueue) -> int:
        """Serve the queue."""
        return await _serve(ClusterSource(opened.queue, writable=options.writable), listener, options)

    with listener:
        return in_queue(queue, url_file, show)


async def _serve(what: Any, listener: socket.socket, options: WebOptions) -> int:
    """Write the address of a dashboard, and serve it until a signal."""
    token = None if options.no_token else make_token()
    app = dashboard(what, writable=options.writable, auth=token, hosts=(options.host, *options.allow_host))
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        address = address_of(listener, options.host, token)
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        if options.open_browser:
            import webbrowser  # noqa: PLC0415  few runs open one

            await anyio.to_thread.run_sync(webbrowser.open, address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, app, listener, "asyncio")
            async for _ in signals:
                tasks.cancel_scope.cancel()
                break
    return COMPLETED
