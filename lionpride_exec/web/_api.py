"""
The routes for programs: what the pages show, as JSON. ``lionpride-exec top`` reads them, and others may.

Each answer is an object, a list of objects, or ``{"error": ...}`` with the status 400 (the request makes no sense), 403
(the dashboard is read-only), 404 (there is no such event), 409 (an action was refused) or 503 (the source cannot be
read now). Numbers that JSON does not have are null.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.responses import Response
from starlette.routing import Route

from lionpride_exec._faces.snapshot_json import encode
from lionpride_exec.errors import LionprideError, NotFoundError

from ._actions import action_of, body_of, carry_out
from ._guard import USER
from ._queries import BadQueryError, choice_of, number_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from lionpride_exec._faces.snapshot import Source

# The most rows, and the most seconds, that one request may ask for.
MOST: Final = 1000
MOST_RUNS: Final = 5000
MOST_SECONDS: Final = 86400


class Api:
    """
    The routes.

    Args:
        source: What they tell of.
        writable: Whether actions are carried out.
    """

    def __init__(self, source: Source, *, writable: bool) -> None:
        self._source = source
        self._is_writable = writable

    def routes(self) -> list[Route]:
        """Return them."""
        readers: dict[str, Callable[[Request], Awaitable[Any]]] = {
            "version": self._version,
            "snapshot": self._snapshot,
            "limits": self._limits,
            "running": self._running,
            "events": self._events,
            "event/{ref:path}": self._event,
            "errors": self._errors,
            "ended": self._ended,
            "runs": self._runs,
        }
        reads = [Route(f"/api/{path}", _answering(read)) for path, read in readers.items()]
        return [*reads, Route("/api/act", _answering(self._act), methods=["POST"])]

    async def _version(self, request: Request) -> Any:  # noqa: ARG002  as all of them
        return {
            "version": str(await self._source.version()),
            "name": self._source.name,
            "takes_actions": self._is_writable,
        }

    async def _snapshot(self, request: Request) -> Any:  # noqa: ARG002  as all of them
        return await self._source.snapshot()

    async def _limits(self, request: Request) -> Any:
        return await self._source.limits(number_of(request.query_params, "count", 20, most=MOST))

    async def _running(self, request: Request) -> Any:
        return await self._source.running(number_of(request.query_params, "count", 20, most=MOST))

    async def _events(self, request: Request) -> Any:
        query = request.query_params
        count = number_of(query, "count", 50, most=MOST)
        return await self._source.events(choice_of(query), query.get("before") or None, count)

    async def _event(self, request: Request) -> Any:
        return await self._source.event(request.path_params["ref"])

    async def _errors(self, request: Request) -> Any:
        return await self._source.errors(number_of(request.query_params, "count", 20, most=MOST))

    async def _ended(self, request: Request) -> Any:
        return await self._source.ended(number_of(request.query_params, "seconds", 120, most=MOST_SECONDS))

    async def _runs(self, request: Request) -> Any:
        query = request.query_params
        seconds = number_of(query, "seconds", 60, most=MOST_SECONDS)
        return await self._source.runs(seconds, number_of(query, "count", 500, most=MOST_RUNS))

    async def _act(self, request: Request) -> Any:
        if not self._is_writable:
            return _json({"error": "this dashboard is read-only"}, 403)
        try:
            fields = json.loads(await body_of(request))
        except (ValueError, RecursionError) as exc:
            raise BadQueryError(f"the body is no JSON: {exc}") from exc
        if not isinstance(fields, dict):
            raise BadQueryError("the body must be an object")
        action = action_of(cast("dict[str, Any]", fields), request.scope[USER])
        try:
            return {"told": await carry_out(self._source, action)}
        except NotFoundError:
            raise
        except LionprideError as exc:
            return _json({"error": str(exc)}, 409)


def _answering(read: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        """Return what is read, or what went wrong, as JSON."""
        try:
            found = await read(request)
        except BadQueryError as exc:
            return _json({"error": str(exc)}, 400)
        except LionprideError as exc:
            return _json({"error": str(exc)}, 404 if isinstance(exc, NotFoundError) else 503)
        return found if isinstance(found, Response) else _json(found)

    return answer


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
