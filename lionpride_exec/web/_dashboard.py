"""``dashboard()``, which imports the rest of this part when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._faces.snapshot import Source


def dashboard(
    source: Executor | str | os.PathLike[str] | Source,
    *,
    writable: bool = False,
    auth: str | Callable[[Request], Awaitable[object]] | None = None,
    hosts: Iterable[str] = (),
    redact: Callable[[str], str] | None = None,
) -> ASGIApp:
    """
    Return an ASGI application that shows a run in browsers.

    A program mounts it: ``app.mount("/jobs", dashboard(executor))``. The application works on asyncio and trio. It
    needs no lifespan and has no task of its own. An open page costs one request that lasts 5 s and is repeated.
    Browsers hold this request back while nobody can see the page.

    Without ``auth``, only browsers on this machine are served, also when the application is mounted in one that others
    reach. A request for another ``Host``, from another machine or through a proxy is answered by 403. A request that
    changes something must come from a page of the dashboard itself, with and without ``auth``.

    Args:
        source: An executor, in whose event loop the application has to run. Or the path of a journal, which another
            process may be running.
        writable: Whether the pages offer to pause, cancel, skip, retry and resize. Otherwise each such request is
            answered by 403. Each action is logged by ``lionpride_exec.web``, at INFO, with the user.
        auth: A token of 16 or more letters, digits and ``-._~+/=``, which a browser gives once as ``?token=``, and a
            program as ``Authorization: Bearer``. Or an async function that gets a ``starlette.requests.Request`` and
            returns the user, for the log. None, False and an empty text mean nobody.
        hosts: The names by which the server is reached, without a port, beside ``localhost`` and its addresses. They
            count only with ``auth``.
        redact: Gets each text of events, such as data, keys and errors, and returns what is shown instead.

    Raises:
        ModuleNotFoundError: The extra ``web`` is not installed.
        ConfigurationError: The extra ``journal`` is needed for a path, and is not installed.
        ValueError: The token is too short, or has other characters.
        TypeError: ``source``, ``auth`` or ``hosts`` is none of these.
    """
    try:
        from ._app import make_app  # noqa: PLC0415  needs the extra
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"starlette", "jinja2", "markupsafe"}:
            raise
        from lionpride_exec._base.wording import install_command  # noqa: PLC0415  no name of this module

        raise ModuleNotFoundError(f"dashboard() needs an extra: {install_command('web')}", name=exc.name) from exc
    return make_app(source, writable=writable, auth=auth, hosts=hosts, redact=redact)


dashboard.__module__ = __name__.rpartition(".")[0]
