"""The guard in front of the dashboard: who is served, from where, and which headers each answer has."""

import pytest
from fake_source import FakeSource
from starlette.testclient import TestClient

from lionpride_exec.web import dashboard

TOKEN = "0123456789abcdef-token"

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


def client_of(host="127.0.0.1:8765", client="127.0.0.1", **options):
    """Give a client of a dashboard."""
    app = dashboard(FakeSource(), **options)
    return TestClient(app, base_url=f"http://{host}", client=(client, 50000), follow_redirects=False)


# The host of a request, and whether it is one of ours, without a token and with one.
HOSTS = {
    "127.0.0.1:8765": (True, True),
    "[::1]:8765": (True, True),
    "jobs.example": (False, True),  # allowed by hosts=
    "rebound.example": (False, False),
    "127.0.0.1@rebound.example": (False, False),
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("auth", [None, TOKEN])
def test_hosts(host, auth):
    """Only this machine is served, and with a token the names that were allowed."""
    client = client_of(auth=auth, hosts=["jobs.example"])
    headers = {"host": host, **({"authorization": f"Bearer {auth}"} if auth else {})}
    expected = 200 if HOSTS[host][auth is not None] else 403
    answers = [client.get(path, headers=headers) for path in ("/", "/live?page=overview", "/static/style.css", "/none")]
    assert [answer.status_code for answer in answers] == ([200, 200, 200, 404] if expected == 200 else [403] * 4)
    for answer in answers:
        assert HEADERS.items() <= dict(answer.headers).items()
        assert "cache-control" in answer.headers


@pytest.mark.parametrize("host", ["", "127.0.0.1:x", "127.0.0.1/", "[::1", "a b", "127.0.0.1:8765, x"])
def test_no_host(host):
    """What is no host is not ours."""
    assert client_of().get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("192.0.2.1", {}, 403),
        ("testclient", {}, 403),
        ("127.0.0.1", {"x-forwarded-for": "192.0.2.1"}, 403),
        ("127.0.0.1", {"forwarded": "for=192.0.2.1"}, 403),
    ],
)
def test_other_machines(client, headers, expected):
    """Without a token, nobody on another machine is served, and nobody behind a proxy. With a token everybody is."""
    assert client_of(client=client).get("/", headers=headers).status_code == expected
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client_of(client=client, auth=TOKEN).get("/", headers=headers | bearer).status_code == 200


def test_the_token_in_the_address():
    """A token in an address becomes a cookie, and leaves the address; the rest of the query stays."""
    client = client_of(auth=TOKEN)
    assert client.get("/events").status_code == 401
    answer = client.get(f"/events?status=failed&token={TOKEN}&text=%26")
    assert (answer.status_code, answer.headers["location"]) == (303, "./events?status=failed&text=%26")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert client.get("/events").status_code == 200
    assert client_of(auth=TOKEN).get(f"/?token={TOKEN}").headers["location"] == "./"


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é" * 20])
@pytest.mark.parametrize("way", ["query", "bearer", "cookie"])
def test_another_token(token, way):
    """A token that is not the same is refused, in whatever way it comes."""
    client = client_of(auth=TOKEN)
    name = client.get(f"/?token={TOKEN}").headers["set-cookie"].partition("=")[0]
    client.cookies.clear()
    sent = token.encode()
    headers = {"bearer": {"authorization": b"Bearer " + sent}, "cookie": {"cookie": name.encode() + b"=" + sent}}
    params = {"token": token} if way == "query" else {}
    answer = client.get("/", params=params, headers=headers.get(way, {}))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_two_dashboards_on_one_host():
    """Cookies do not tell ports apart, so each token has a cookie of its own."""
    names = {
        client_of(auth=token).get(f"/?token={token}").headers["set-cookie"].partition("=")[0]
        for token in (TOKEN, TOKEN[::-1])
    }
    assert len(names) == 2


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "has a space in it", "ö" * 16, "semi;colon-semi;colon"])
def test_a_token_that_is_none(token):
    """A token that is too short, or that no header can carry, is refused at once."""
    with pytest.raises(ValueError, match="the token must have 16 or more letters"):
        dashboard(FakeSource(), auth=token)


def test_a_function_as_auth():
    """A function decides, and sees the request."""

    async def user_of(request):
        return request.headers.get("x-user")

    client = client_of(auth=user_of)
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"x-user": "ann"}).status_code == 200


# What says where a request comes from, and whether that is a page of ours, or no page.
ORIGINS = [
    ({}, True),
    ({"sec-fetch-site": "same-origin"}, True),
    ({"sec-fetch-site": "none"}, True),
    ({"sec-fetch-site": "same-site"}, False),
    ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8765"}, False),
    ({"origin": "http://127.0.0.1:8765"}, True),
    ({"origin": "http://127.0.0.1:9999"}, False),
    ({"origin": "http://rebound.example"}, False),
    ({"origin": "null"}, False),
    ({"origin": "http://["}, False),
]


@pytest.mark.parametrize(("headers", "is_ours"), ORIGINS)
@pytest.mark.parametrize("auth", [None, TOKEN])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_of_other_sites_change_nothing(headers, is_ours, auth, method):
    """Each request that could change something is refused if a page of another site has sent it."""
    client = client_of(auth=auth)
    bearer = {"authorization": f"Bearer {TOKEN}"} if auth else {}
    answer = client.request(method, "/healthz", headers=headers | bearer)
    assert answer.status_code == (405 if is_ours else 403)


@pytest.mark.parametrize(
    "path", ["/static/../_guard.py", "/static/%2e%2e/_guard.py", "/static/..%2f_guard.py", "/static/vendor.toml",
             "/static//etc/passwd", "/static/style.css/", "/templates/base.html", "/static/htmx-LICENSE.txt"],
)  # fmt: skip
def test_no_other_file_is_served(path):
    """An address leads to one of the files that were read at the start, or to none."""
    assert client_of().get(path).status_code in {404, 307}


def test_hosts_are_several():
    """A text would be taken for its letters."""
    with pytest.raises(TypeError, match="hosts must be several names"):
        dashboard(FakeSource(), hosts="example")


def test_a_source_that_is_none():
    """What cannot be shown is refused at once."""
    with pytest.raises(TypeError, match="a dashboard shows an executor"):
        dashboard(3)


@pytest.mark.parametrize("nobody", [None, False, "", 0])
def test_a_function_that_knows_nobody(nobody):
    """What is false is nobody: a function may return whether it knows the user."""

    async def user_of(request):
        return nobody

    assert client_of(auth=user_of).get("/").status_code == 401


@pytest.mark.parametrize("auth", [True, b"0123456789abcdef-token", 1.5, ["0123456789abcdef-token"]])
def test_an_auth_that_is_none(auth):
    """What is neither a token nor a function is refused at once, and the message does not show it."""
    with pytest.raises(TypeError, match="auth must be a token or an async function, got a value of the type"):
        dashboard(FakeSource(), auth=auth)


@pytest.mark.parametrize(
    "header", ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "X-Forwarded-Server", "x-real-ip",
               "x-client-ip", "true-client-ip", "cf-connecting-ip"],
)  # fmt: skip
def test_headers_of_proxies(header):
    """Whoever comes through a proxy that says so is not on this machine, whatever the connection says."""
    assert client_of().get("/", headers={header: "127.0.0.1"}).status_code == 403


# Each route, with ways to write it that a server hands on.
ROUTES = ["/", "/events", "/event?ref=1", "/errors", "/limits", "/timeline", "/live?page=overview", "/act",
          "/static/style.css", "/healthz", "/metrics", "/api/version", "/api/snapshot", "/api/limits", "/api/running",
          "/api/events", "/api/event/1", "/api/errors", "/api/ended", "/api/runs", "/api/act", "/none"]  # fmt: skip
WRITTEN = [str, lambda path: f"/.{path}", lambda path: f"/{path}", lambda path: f"/static/..{path}",
           lambda path: path.replace("/", "/%2e/", 1), lambda path: f"{path}/", str.upper]  # fmt: skip

# Requests that the guard refuses: options of the client, and headers.
REFUSED = {
    "host": ({}, {"host": "rebound.example"}),
    "two hosts": ({"auth": TOKEN}, {"host": "127.0.0.1:8765, rebound.example", "authorization": f"Bearer {TOKEN}"}),
    "machine": ({"client": "192.0.2.1"}, {}),
    "no token": ({"auth": TOKEN}, {}),
    "token": ({"auth": TOKEN}, {"authorization": f"Bearer {TOKEN[:-1]}"}),
    "scheme": ({"auth": TOKEN}, {"authorization": f"Basic {TOKEN}"}),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_no_route_answers_before_the_guard(why, method):
    """Whatever the address and the method are, a request that is refused reaches neither a route nor the source."""
    options, headers = REFUSED[why]
    source = FakeSource()
    host, client = "127.0.0.1:8765", options.get("client", "127.0.0.1")
    app = dashboard(source, writable=True, auth=options.get("auth"))
    browser = TestClient(app, base_url=f"http://{host}", client=(client, 50000), follow_redirects=False)
    for route in ROUTES:
        for written in WRITTEN:
            answer = browser.request(method, written(route), headers=headers, content=b'{"what": "pause"}')
            assert answer.status_code == (401 if "oken" in why or why == "scheme" else 403)
            assert HEADERS.items() <= dict(answer.headers).items()
    assert (source.asked, source.done) == ([], [])
