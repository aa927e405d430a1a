"""
The application: routes, and how a page is made.

All pages are beside each other, so their links are relative. They hold wherever the application is mounted, and behind
a proxy that strips a prefix.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from lionpride_exec._status import FINAL, OPEN
from lionpride_exec.errors import LionprideError, NotFoundError

from ._actions import Notices, action_of, body_of, carry_out, fields_of, way_back, words_of
from ._api import Api
from ._guard import USER, Guard
from ._metrics import metrics_of
from ._pages import PAGES
from ._queries import BadQueryError
from ._redacted import RedactedSource
from ._sources import executor_of, source_of
from ._static import read_static
from ._stream import messages
from ._templates import make_templates, query_of

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

# Pieces of a page that are made between two turns of others: half a millisecond.
AT_A_TIME: Final = 100

# How many of the events that an action is about are shown before it is confirmed.
SAMPLE: Final = 10

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
    if not (auth is None or isinstance(auth, str) or callable(auth)):
        raise TypeError(f"auth must be a token or an async function, got a value of the type {type(auth).__name__}")
    if isinstance(auth, str) and not _TOKEN.fullmatch(auth):
        raise ValueError("the token must have 16 or more letters, digits and -._~+/=")
    source = source_of(what)
    shown = source if redact is None else RedactedSource(source, redact)
    site = Site(shown, make_templates(), writable=writable and source.takes_actions)
    return Guard(site.app(metrics_of(executor_of(what))), auth, hosts, site.close)


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
        self._is_writable = writable
        self._static = read_static()
        self._notices = Notices()
        self._is_closing = False

    def app(self, metrics: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
        """Return the routes."""
        pages = [Route(f"/{page.address.removeprefix('./')}", self._page(page)) for page in PAGES.values()]
        return Starlette(
            routes=[
                *pages,
                Route("/live", self._live),
                Route("/act", self._act, methods=["POST"]),
                Route("/static/{name}", self._file),
                Route("/healthz", self._health),
                Route("/metrics", metrics),
                *Api(self._source, writable=self._is_writable).routes(),
            ],
            exception_handlers={LionprideError: self._trouble, BadQueryError: self._trouble},
        )

    def close(self) -> None:
        """Let no stream go on."""
        self._is_closing = True

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            """Return the page."""
            values = await self._values(page, request)
            values["notice"] = self._notices.take(request.query_params.get("notice"))
            return await self._shown(page.name, values)

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
            return await joined_slowly(template.blocks["live"](context))

        last = request.headers.get("last-event-id", "")
        stream = messages(render, self._source.version, last, lambda: self._is_closing)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _act(self, request: Request) -> Response:
        """Carry out what a form asks for, or ask whether all these events are meant."""
        if not self._is_writable:
            return await self._refusal(request, 403, "This dashboard is read-only.")
        fields = fields_of(await body_of(request))
        action = action_of(fields, request.scope[USER])
        back = way_back(fields.get("back"))
        if action.choice is not None and "confirmed" not in fields:
            page = await self._source.events(action.choice, None, SAMPLE)
            values = {"action": action, "which": words_of(action.choice), "page": page, "fields": fields, "back": back}
            return await self._shown("confirm", self._of_all_pages(None, request) | values)
        try:
            told = await carry_out(self._source, action)
        except LionprideError as exc:
            told = f"{action.what} was refused: {exc}"
        mark = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{mark}notice={self._notices.add(told)}", 303)

    async def _values(self, page: Page, request: Request) -> dict[str, Any]:
        """Return the values of the template of a page."""
        query = {name: value for name, value in request.query_params.items() if name not in {"page", "notice"}}
        here = {"query": query, "address": f"{page.address}{query_of(query)}"}
        return self._of_all_pages(page, request) | here | await page.read(self._source, request.query_params)

    def _of_all_pages(self, page: Page | None, request: Request) -> dict[str, Any]:
        return {
            "name": self._source.name,
            "here": page,
            "menu": [one for one in PAGES.values() if one.in_menu],
            "statuses": (*OPEN, *FINAL),
            "writable": self._is_writable,
            "user": request.scope.get(USER),
            "version": self._static.version,
            "notice": None,
            # An older page of a list stays as it is.
            "is_live": page is not None and not request.query_params.get("before"),
        }

    async def _shown(self, name: str, values: dict[str, Any], status: int = 200) -> Response:
        pieces = self._templates.get_template(f"{name}.html").generate(values)
        return HTMLResponse(await joined_slowly(pieces), status)

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
        if isinstance(exc, BadQueryError):
            return await self._refusal(request, 400, str(exc))
        return await self._refusal(request, 404 if isinstance(exc, NotFoundError) else 503, str(exc))

    async def _refusal(self, request: Request, status: int, why: str) -> Response:
        values = self._of_all_pages(None, request) | {"query": {}, "why": why, "status": status}
        return await self._shown("trouble", values, status)


async def joined_slowly(pieces: Iterable[str]) -> str:
    """Return the pieces of a page as one text. The runs in the same event loop have their turns meanwhile."""
    found: list[str] = []
    for number, piece in enumerate(pieces, 1):
        found.append(piece)
        if not number % AT_A_TIME:
            await checkpoint()
    return "".join(found)
