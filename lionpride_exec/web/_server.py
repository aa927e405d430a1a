"""
A server for a dashboard of its own: uvicorn on asyncio, hypercorn or anycorn on trio.

The dashboard is told to end its streams before the server waits for open requests, so both end within a second or two.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final

import anyio

from lionpride_exec._base.wording import install_command

from ._guard import Guard, is_loopback

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

# Seconds for which a server that has to stop waits for open requests.
PATIENCE: Final = 2

MOST_PORT: Final = 65535

# Servers that run on trio, in the order in which they are looked for.
ON_TRIO: Final = ("hypercorn", "anycorn")


class CannotServeError(Exception):
    """There is no server for the backend, or the address cannot be used. The text says so to the user."""


def make_token() -> str:
    """Return a new token: 32 random bytes."""
    return token_urlsafe(32)


def listener_at(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens at an address. With port 0 the system chooses one.

    Raises:
        CannotServeError: The address cannot be used.
    """
    if not 0 <= port <= MOST_PORT:
        raise CannotServeError(f"the port must be from 0 to {MOST_PORT}, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen()
        except OSError:
            found.close()
            raise
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise CannotServeError(f"cannot listen at {host}:{port}: {reason}") from exc
    return found


def address_of(listener: socket.socket, host: str, token: str | None) -> str:
    """Return the address of a dashboard, for people: with its token, if it has one."""
    port = listener.getsockname()[1]
    name = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104  all
    return f"http://{name}:{port}/{'' if token is None else f'?token={token}'}"


def check_server(backend: str) -> None:
    """
    Check that there is a server for a backend: "asyncio" or "trio".

    Raises:
        CannotServeError: There is none.
    """
    if find_spec("starlette") is None or find_spec("jinja2") is None or find_spec("uvicorn") is None:
        raise CannotServeError(f"the dashboard needs: {install_command('web')}")
    if backend == "trio" and not any(find_spec(name) for name in ON_TRIO):
        raise CannotServeError("the dashboard needs a server that runs on trio: pip install hypercorn")


def is_for_all(host: str, allowed: Iterable[str]) -> bool:
    """Return whether a server at this address, under these names, may be reached from other machines."""
    return not is_loopback(host) or any(not is_loopback(name) for name in allowed)


async def serve(app: Any, listener: socket.socket, backend: str) -> None:
    """
    Serve a dashboard until the call is cancelled. Then its streams end, and the server waits 2 s for open requests.

    Args:
        app: What ``dashboard()`` returned.
        listener: Where it is served. The call closes it.
        backend: "asyncio" or "trio": that which runs the call.
    """
    with listener:
        try:
            await (_serve_on_trio if backend == "trio" else _serve_on_asyncio)(app, listener)
        finally:
            if isinstance(app, Guard):
                app.close()


async def _serve_on_asyncio(app: Any, listener: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415  not needed where a program mounts the dashboard

    class Server(uvicorn.Server):
        """A server that leaves the signals to its caller."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            """Capture none."""
            yield

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", lifespan="off", server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=PATIENCE,
    )  # fmt: skip
    server = Server(config)
    try:
        await server.serve(sockets=[listener])
    finally:
        if isinstance(app, Guard):
            app.close()
        if hasattr(server, "servers"):  # it has started
            with anyio.CancelScope(shield=True):
                await server.shutdown(sockets=[listener])


async def _serve_on_trio(app: Any, listener: socket.socket) -> None:
    name = next(name for name in ON_TRIO if find_spec(name) is not None)
    config = import_module(f"{name}.config").Config()
    config.bind = [f"fd://{listener.detach()}"]  # the server closes it
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = PATIENCE
    config.include_server_header = False
    serve_asgi = import_module("hypercorn.trio").serve if name == "hypercorn" else import_module(name).serve
    await serve_asgi(app, config)
