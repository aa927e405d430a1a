"""
The guard: one place that every request passes before anything of the dashboard sees it.

A dashboard shows what programs keep of their users, and can cancel their work. Pages of other sites reach a server on
this machine too, through the browser of whoever looks at them. So the guard asks, in this order:

1. Is it for us? The ``Host`` is that of this machine, or one that was allowed. A name of an attacker that leads to
   127.0.0.1 (DNS rebinding) is neither.
2. Does a page of ours ask? Each request that may change something says where it comes from, in ``Sec-Fetch-Site`` or
   ``Origin``. Browsers set both, and pages cannot. A program that is no browser sends neither.
3. Who asks? By the token, or by the function of the user. Without these, only this machine is served.

Each answer gets the headers that forbid whatever the dashboard does not use.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Auth = str | Callable[[Request], Awaitable[Any]]

# Nothing is loaded from elsewhere, nothing inline runs, and no other page may frame this one.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
}

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Set by proxies: the client is somewhere else, whatever the connection says. So does each header X-Forwarded-...
FORWARDED: Final = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)

# Where the guard leaves the name of the user, for the log.
USER: Final = "lionpride_exec.user"

NOT_THIS_MACHINE: Final = (
    "This dashboard has no token, so it is served to browsers on this machine only. Pass auth= to dashboard(), and "
    "hosts= with the names by which it is reached."
)
LOCKED: Final = "This dashboard needs a token. Open the address that was printed when the dashboard was started."


class Guard:
    """
    The guard in front of an application.

    Args:
        app: What is guarded.
        auth: A token, or a function that returns the user of a request, or a false value for nobody. None: this
            machine.
        hosts: The names by which the server is reached, beside those of this machine.
        on_close: Called by :meth:`close`.
    """

    def __init__(self, app: ASGIApp, auth: Auth | None, hosts: Iterable[str], on_close: Callable[[], None]) -> None:
        self._app = app
        self._on_close = on_close
        self._auth = auth
        self._hosts = frozenset(name.lower() for name in hosts)
        token = auth if isinstance(auth, str) else ""
        # Cookies do not tell ports apart: each token has a name of its own, so dashboards do not log each other out.
        self._cookie = f"lionpride_exec_{sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = await self._check(Request(scope, receive))
        await (self._app if answer is None else answer)(scope, receive, _adding_headers(send))

    def close(self) -> None:
        """End the open streams, at their next look at the source. A server that stops need not wait for them."""
        self._on_close()

    async def _check(self, request: Request) -> Response | None:
        """Return why a request is not handed on. None if it is."""
        why = self._wrong_place(request)
        return await self._check_user(request) if why is None else _refusal(403, why)

    def _wrong_place(self, request: Request) -> str | None:
        """Return what is wrong with where a request goes to and comes from. None if nothing is."""
        if not self._is_for_us(request):
            return "This dashboard is not served by that name." if self._auth else NOT_THIS_MACHINE
        if self._auth is None and not _is_from_here(request):
            return NOT_THIS_MACHINE
        if request.method not in SAFE_METHODS and not _is_of_our_page(request):
            return "A page of another site has sent this request."
        return None

    async def _check_user(self, request: Request) -> Response | None:
        if self._auth is None:
            request.scope[USER] = "local"
            return None
        if isinstance(self._auth, str):
            return self._check_token(request, self._auth)
        user = await self._auth(request)
        if not user:  # False too: a function may return whether it knows the user
            return _refusal(401, "This dashboard needs a user that may see it.")
        request.scope[USER] = str(user)
        return None

    def _is_for_us(self, request: Request) -> bool:
        given = request.headers.getlist("host")
        if len(given) != 1 or (found := _HOST.fullmatch(given[0])) is None:
            return False
        name = found["name"].lower()
        return is_loopback(name) or (self._auth is not None and name in self._hosts)

    def _check_token(self, request: Request, token: str) -> Response | None:
        request.scope[USER] = "token"
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _is_same(bearer.strip(), token):
            return None
        if _is_same(request.cookies.get(self._cookie, ""), token):
            return None
        if request.method == "GET" and _is_same(request.query_params.get("token", ""), token):
            return self._redirect_with_cookie(request, token)
        refusal = _refusal(401, LOCKED)
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal

    def _redirect_with_cookie(self, request: Request, token: str) -> Response:
        """Return a redirect to the same page without the token in its address, which histories and logs would keep."""
        rest = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != "token"]
        last = quote(request.url.path.rpartition("/")[2], safe="")
        answer = RedirectResponse(f"./{last}{'?' if rest else ''}{urlencode(rest)}", 303)
        answer.set_cookie(
            self._cookie,
            token,
            path=quote(request.scope.get("root_path", "")) or "/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer


def is_loopback(name: str) -> bool:
    """Return whether a name or an address is that of this machine, as seen from itself."""
    if name == "localhost":
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _is_from_here(request: Request) -> bool:
    """Return whether a client is on this machine. One whose address is not known, or that is behind a proxy, is not."""
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name in request.headers):
        return False
    return request.client is not None and is_loopback(request.client.host)


def _is_of_our_page(request: Request) -> bool:
    """Return whether a request was sent by a page of this dashboard, by somebody at the browser, or by no browser."""
    sites = request.headers.getlist("sec-fetch-site")
    if sites:
        return all(site in {"same-origin", "none"} for site in sites)
    origins = request.headers.getlist("origin")
    return all(_authority(origin) == request.headers["host"].lower() for origin in origins)


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_same(given: str, token: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogatepass"), token.encode("utf-8", "surrogatepass"))


def _refusal(status: int, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status)


def _adding_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        """Send a message; the first one of an answer gets the headers."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers
