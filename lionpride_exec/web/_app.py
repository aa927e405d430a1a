"""
The application: routes, and how a page is made.

All pages are beside each other, so their links are relative. They hold wherever the application is mounted, and behind
a proxy that strips a prefix.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lionpride_exec.errors import LionprideError, NotFoundError

from ._figures import ENDED, OPEN
from ._guard import USER, Guard
from ._pages import PAGES, SINCE
from ._redacted import RedactedSource
from ._sources import source_of
from ._static import read_static
from ._stream import messages
from ._templates import make_templates

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable

    from jinja2 import Environment
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._faces.snapshot import Source

    from ._guard import Auth
    from ._pages import Page

# What a token may have: what a header and a cookie can carry as it is.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,}", re.ASCII)


def make_app(
    what: Executor | str | os.PathLike[str] | Source,
    *,
    writable: bool,
    auth: Auth | None,
    hosts: Iterable[str],
    redact: Callable[[str], str] | None,
) -> ASGIApp:
    """Return the application that :func:`lionpride_exec.web.dashboard` promises."""
    if isinstance(hosts, str):
        raise TypeError(f"hosts must be several names, got {hosts!r}")
    if isinstance(auth, str) and not _TOKEN.fullmatch(auth):
        raise ValueError("the token must have 16 or more letters, digits and -._~+/=")
    source = source_of(what)
    site = Site(source if redact is None else RedactedSource(source, redact), make_templates(), writable=writable)
    return Guard(site.app(), auth, hosts)


class Site:
    """
    The pages of a source.

    Args:
        source: What the pages show.
        templates: How they show it.
        writable: Whether they offer to change anything.
    """

    def __init__(self, source: Source, templates: Environment, *, writable: bool) -> None:
        self._source = source
        self._templates = templates
        self._is_writable = writable and source.takes_actions
        self._static = read_static()

    def app(self) -> ASGIApp:
        """Return the routes."""
        pages = [Route(f"/{page.address.removeprefix('./')}", self._page(page)) for page in PAGES.values()]
        return Starlette(
            routes=[
                *pages,
                Route("/live", self._live),
                Route("/static/{name}", self._file),
                Route("/healthz", self._health),
            ],
            exception_handlers={LionprideError: self._trouble},
        )

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            """Return the page."""
            values = await self._values(page, request)
            return HTMLResponse(self._templates.get_template(f"{page.name}.html").render(values))

        return show

    async def _live(self, request: Request) -> Response:
        """Return a stream with the part of a page that changes."""
        page = PAGES.get(request.query_params.get("page", ""))
        if page is None:
            return PlainTextResponse("There is no such page.\n", 404)
        template = self._templates.get_template(f"{page.name}.html")

        async def render() -> str:
            """Return the page as it is now."""
            context = template.new_context(await self._values(page, request))
            return "".join(template.blocks["live"](context))

        stream = messages(render, self._source.version, request.headers.get("last-event-id", ""))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _values(self, page: Page, request: Request) -> dict[str, Any]:
        """Return the values of the template of a page."""
        query = {name: value for name, value in request.query_params.items() if name != "page"}
        return {
            **self._of_all_pages(page, request),
            "query": query,
            **await page.read(self._source, request.query_params),
        }

    def _of_all_pages(self, page: Page | None, request: Request) -> dict[str, Any]:
        return {
            "name": self._source.name,
            "here": page,
            "menu": [one for one in PAGES.values() if one.in_menu],
            "statuses": (*OPEN, *ENDED),
            "since": SINCE,
            "writable": self._is_writable,
            "user": request.scope.get(USER),
            "version": self._static.version,
            "notice": None,
            "is_live": page is not None,
        }

    async def _file(self, request: Request) -> Response:
        """Return a file. They were all read at the start, so no address leads to another one."""
        file = self._static.files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("There is no such file.\n", 404)
        # The address has the version, see the template.
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": "private, max-age=86400"})

    @staticmethod
    async def _health(request: Request) -> Response:  # noqa: ARG004  as all routes
        """Say that the server answers."""
        return PlainTextResponse("ok\n")

    async def _trouble(self, request: Request, exc: Exception) -> Response:
        """Return a page that says why there is no other one."""
        status = 404 if isinstance(exc, NotFoundError) else 503
        values = {**self._of_all_pages(None, request), "query": {}, "trouble": str(exc), "status": status}
        return HTMLResponse(self._templates.get_template("trouble.html").render(values), status)
