"""``lionpride-exec web``: the dashboard of a journal, behind a server of its own."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

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
    from collections.abc import Sequence

    from starlette.types import ASGIApp


def serve_journal(
    journal: str,
    host: str,
    port: int,
    allowed: Sequence[str],
    *,
    writable: bool,
    has_token: bool,
    opens_browser: bool,
) -> int:
    """
    Serve the dashboard of a journal until SIGINT or SIGTERM. Return the exit status.

    Args:
        journal: Path of the journal.
        host: Address to listen at.
        port: Port to listen on; 0 for any free port.
        allowed: Names by which the dashboard is reached, beside those of this machine.
        writable: Whether the pages offer actions.
        has_token: Whether requests need a token.
        opens_browser: Whether the address is opened in a browser.

    Raises:
        UsageError: The journal cannot be opened, the address cannot be used, or other machines reach it without a
            token.
    """
    if not has_token and is_for_all(host, allowed):
        raise UsageError("--no-token is for this machine only: leave out --allow-host, and a --host for other machines")
    with reading(journal):
        pass  # it is a journal, and can be read
    try:
        check_server("asyncio")
        listener = listener_at(host, port)
    except CannotServeError as exc:
        raise UsageError(str(exc)) from exc
    token = make_token() if has_token else None
    app = dashboard(journal, writable=writable, auth=token, hosts=(host, *allowed))
    address = address_of(listener, host, token)
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    if opens_browser:
        import webbrowser  # noqa: PLC0415  few runs open one

        webbrowser.open(address)
    anyio.run(_serve, app, listener)
    return COMPLETED


async def _serve(app: ASGIApp, listener: socket.socket) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, app, listener, "asyncio")
            async for _ in signals:
                tasks.cancel_scope.cancel()
                break
