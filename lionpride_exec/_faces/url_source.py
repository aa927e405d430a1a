"""
Another dashboard, read by its JSON: so a terminal shows an executor of any process that serves one.

The client is ``httpx2`` or ``httpx``, whichever is installed. An answer is at most 16 MiB: it comes from a program that
may be anything. Its texts are as hostile as those of any event, and a face escapes them like all others.
"""

from __future__ import annotations

from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from lionpride_exec._base.json_text import read_json
from lionpride_exec.errors import ConfigurationError, LionConnectionError, NotFoundError, OperationError

from .live_actions import refused_here
from .snapshot import ErrorLine, EventLine, EventPage, EventView, LimitLine, RunLine, Second, Snapshot
from .snapshot_json import decode, decode_all, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from .snapshot import Action, Choice

T = TypeVar("T")

# Seconds for which an answer is waited for: that of an action waits for the process that carries it out.
PATIENCE: Final = 15.0

# Bytes of an answer.
MOST_BYTES: Final = 16 << 20

# Characters of the message of a refusal that are shown.
LONGEST_REFUSAL: Final = 500

_NOT_FOUND: Final = 404
_LEAST_ERROR: Final = 400


class UrlSource:
    """
    A source that reads the JSON of a dashboard.

    Args:
        url: The address of the dashboard, ``http://127.0.0.1:8765/``. A ``?token=`` in it is sent as a header.
        token: The token. None for the one in the address, if any.
        writable: Whether :meth:`act` does anything. The dashboard may refuse it, too.
        client: A client of ``httpx2`` or ``httpx``. None for a new one, which :meth:`aclose` closes.

    Raises:
        ConfigurationError: No client is installed.
        ValueError: The address is no address of a web page.
        LionConnectionError: From any method: the dashboard cannot be reached, or does not answer as one.
    """

    def __init__(self, url: str, *, token: str | None = None, writable: bool = True, client: Any = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"a dashboard has an address such as http://127.0.0.1:8765/, got {url!r}")
        token = token or next(iter(parse_qs(parts.query).get("token", [])), None)
        path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
        self._base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._is_writable = writable
        self._takes_actions = True
        self._is_own = client is None
        self._http = _client_library()
        self._client = self._http.AsyncClient(timeout=PATIENCE, follow_redirects=False) if client is None else client
        self._name = parts.netloc.rpartition("@")[2]

    @property
    def name(self) -> str:
        """The name of what the dashboard shows. Before the first answer the host."""
        return self._name

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` may do anything: what the dashboard told, and before the first answer True."""
        return self._is_writable and self._takes_actions

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        if self._is_own:
            await self._client.aclose()

    # ---------------------------------------------------------------- questions

    async def version(self) -> object:
        """Return the version that the dashboard tells. After that, the name and whether it takes actions are known."""

        def read(body: bytes) -> str:
            """Read the answer."""
            self._name = str(_value(body, "name"))
            self._takes_actions = _value(body, "takes_actions") is True
            return str(_value(body, "version"))

        return await self._get("version", read)

    async def snapshot(self) -> Snapshot:
        """Return how the run goes."""
        found: Snapshot = await self._get("snapshot", lambda text: decode(Snapshot, text))
        self._name = found.name
        return found

    async def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, the fullest first."""
        return await self._get("limits", lambda text: decode_all(LimitLine, text), count=count)

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first."""
        return await self._get("running", lambda text: decode_all(EventLine, text), count=count)

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit, the newest first."""
        asked = {
            "status": choice.status,
            "text": choice.text,
            "kind": choice.kind,
            "key": choice.key,
            "error": choice.error,
            "since": choice.since,
        }
        return await self._get("events", lambda text: decode(EventPage, text), **asked, before=before, count=count)

    async def event(self, ref: str) -> EventView:
        """
        Return all about an event.

        Raises:
            NotFoundError: No event matches, or more than one.
        """
        return await self._get(f"event/{quote(ref, safe='', errors='replace')}", lambda text: decode(EventView, text))

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the most frequent shapes of errors, the most frequent first."""
        return await self._get("errors", lambda text: decode_all(ErrorLine, text), count=count)

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds."""
        return await self._get("ended", lambda text: decode_all(Second, text), seconds=seconds)

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, by their beginning."""
        return await self._get("runs", lambda text: decode_all(RunLine, text), seconds=ceil(seconds), count=count)

    async def act(self, action: Action) -> str:
        """
        Have the dashboard do what somebody asks for.

        Raises:
            OperationError: It was refused, here or there.

        Cancellation: the dashboard may have the request already, and carry it out.
        """
        if not self.takes_actions:
            raise refused_here()
        return await self._ask("POST", "act", lambda body: str(_value(body, "told")), content=encode(action))

    # ---------------------------------------------------------------- the wire

    async def _get(self, route: str, read: Callable[[bytes], T], **asked: object) -> T:
        params = {name: str(value) for name, value in asked.items() if value is not None}
        return await self._ask("GET", route, read, params=params)

    async def _ask(self, method: str, route: str, read: Callable[[bytes], T], **options: Any) -> T:
        """
        Return what an answer says.

        Raises:
            NotFoundError: The dashboard does not know what was asked for.
            OperationError: It refuses.
            LionConnectionError: It is not reached, or answers otherwise.
        """
        headers = self._headers | ({"Content-Type": "application/json"} if "content" in options else {})
        try:
            async with self._client.stream(method, f"{self._base}api/{route}", headers=headers, **options) as answer:
                status, body = answer.status_code, bytearray()
                async with aclosing(answer.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        body += piece
                        if len(body) > MOST_BYTES:
                            raise LionConnectionError(f"the answer of {self._base} has more than {MOST_BYTES:,} bytes")
        except (self._http.HTTPError, self._http.InvalidURL, OSError) as exc:
            raise LionConnectionError(f"{self._base} cannot be read: {exc or type(exc).__name__}") from exc
        if status >= _LEAST_ERROR:
            kind = NotFoundError if status == _NOT_FOUND else OperationError
            raise kind(_refusal(bytes(body)) or f"{self._base} answers {status}")
        try:
            return read(bytes(body))
        except (ValueError, RecursionError) as exc:
            raise LionConnectionError(f"{self._base} does not answer as a dashboard: {exc}") from exc


def _value(body: bytes, name: str) -> Any:
    """
    Return a value of an object.

    Raises:
        ValueError: The body is no object, or does not have the value.
    """
    found = read_json(body)
    if not isinstance(found, dict) or name not in found:
        raise ValueError(f"an answer must be an object with {name}")
    return found[name]


def _refusal(body: bytes) -> str:
    """Return the words of a refusal. "" if there are none."""
    try:
        return str(_value(body, "error"))[:LONGEST_REFUSAL]
    except (ValueError, RecursionError):
        return ""


def _client_library() -> Any:
    """
    Return the module of the client.

    Raises:
        ConfigurationError: None is installed.
    """
    for name in ("httpx2", "httpx"):
        if find_spec(name) is not None:
            return import_module(name)
    raise ConfigurationError("to read a dashboard, a client is needed: pip install httpx2")
