"""Passwords, users with few rights, and TLS, on real servers."""

import logging
import re
import shutil
import socket
import subprocess
import traceback
from operator import methodcaller
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from cluster_support import UNCLOSED, Server, new_wire, opened, queue_of, submission, until, wire_of
from parts import cluster
from queue_support import Work

import lionpride_exec
from lionpride_exec import Cluster, ClusterError

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(UNCLOSED), pytest.mark.usefixtures("collected")]

# Longer than what a server repeats of a command, and with characters that a URL has to encode.
PASSWORD = "sesame/@:?#%" * 12
QUOTED = quote(PASSWORD, safe="")

PAGE = Path(__file__).parents[2] / "docs" / "cluster-server.md"
PACKAGE = Path(lionpride_exec.__file__).parent


async def error_for(url, use=None, **options):
    """Open the queue at a URL, and use it. Return the error that this raises. None if it raises none."""
    # work=False: the workers of these tests have shorter leases than users may set.
    settings = Cluster(url, **{"unsigned": True, "patience": 0.0, "work": False} | options)
    errors = []
    try:
        async with opened(wire_of(settings)) as wire:
            queue = queue_of(settings, wire)
            await queue.open()
            if use is not None:
                await use(queue)
    except* ClusterError as group:
        errors.append(group)
    return first_of(errors[0]) if errors else None


def first_of(error):
    """Return the first error in a group, at any depth."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def shown_by(error):
    """Return all that can be seen of an error, and of those behind it."""
    texts, waiting = traceback.format_exception(error), [error]
    while waiting:
        one = waiting.pop()
        texts += [str(one), repr(one), repr(vars(one))]
        inside = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [other for other in (one.__cause__, one.__context__, *inside) if other is not None]
    return "\n".join(texts)


# ---------------------------------------------------------------- a user with few rights


def rules_of(queue):
    """Return the rules of the line in the page, for a queue."""
    (line,) = re.findall(r"(?m)^ACL SETUSER crawler on >PASSWORD (.*)$", PAGE.read_text("utf-8"))
    return line.replace("{crawl}", f"{{{queue}}}").split()


async def url_of_user(server, rules):
    """Make a user, whose scripts the server does not know yet. Return the URL for the user."""

    async def make(client):
        """Make the user."""
        await client.acl_setuser("crawler", "reset", "on", f">{PASSWORD}", *rules)
        await client.script_flush()

    async with opened(new_wire(server)) as wire:
        await wire.command(make)
    return server.url.replace("unix://", f"unix://crawler:{QUOTED}@")


async def use_all(queue):
    """Have events come, run, be delayed, be cancelled and be told of, and ask for all that can be asked for."""
    await cluster.check_server(queue.wire, allow_volatile=False)
    told, queries, work = [], cluster.QueueQueries(queue), Work(queue, slots=1, seconds=1000, lease=0.3)
    reader = cluster.TransitionReader(queue, lambda moved: told.append((moved.event_id, moved.status)))
    runs, waits, late = submission(key='"a"'), submission(level=3), submission(due=-20_000.0)
    for event in (runs, waits, late):
        reader.add(event.event_id)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        await group.start(work.work)
        await queue.submit([runs])
        await until(lambda: work.begun)
        await queue.submit([waits, late])
        assert await queue.cancel([waits.event_id], "cancelled", [b"why"]) == ["ended"]
        assert await queue.cancel([runs.event_id], "cancelled", [b"why"]) == ["sent"]
        work.seconds = 0
        await until(lambda: {(runs.event_id, "cancelled"), (late.event_id, "completed")} <= set(told))
        group.cancel_scope.cancel()
    assert await queries.counts() == {"cancelled": 2, "completed": 1, "pending": 0, "processing": 0}
    assert [details.status for details in await queries.details([late.event_id])] == ["completed"]
    await queries.pause()
    await queries.resume()


async def test_a_user_with_the_rights_of_the_page_can_do_everything(own_server, caplog):
    """A worker works, a client follows, and the server is checked without a warning."""
    url = await url_of_user(own_server(), rules_of("crawl"))
    assert await error_for(url, use_all, queue="crawl") is None
    assert caplog.text == ""


# Without INFO, the server is not checked (test_server_check.py). Without the two others, a worker leaves more slowly.
OPTIONAL = {"-@dangerous", "+info", "+client|id", "+client|unblock"}


@pytest.mark.parametrize("missing", sorted(OPTIONAL - {"-@dangerous", "+info"}))
async def test_a_worker_leaves_in_time_without_the_right_to_end_its_reads(own_server, missing):
    """It waits for the end of its reads, which is half a second."""
    url = await url_of_user(own_server(), [rule for rule in rules_of("crawl") if rule != missing])
    with anyio.fail_after(10):
        assert await error_for(url, use_all, queue="crawl") is None


@pytest.mark.parametrize("missing", [rule for rule in rules_of("crawl") if rule not in OPTIONAL])
async def test_each_right_of_the_page_is_needed(own_server, missing):
    """Without one of them, the server refuses a command. The optional ones have tests of their own."""
    url = await url_of_user(own_server(), [rule for rule in rules_of("crawl") if rule != missing])
    error = await error_for(url, use_all, queue="crawl")
    assert re.search("refuses the user|refuses a command: (ACL failure in script|The user executing)", str(error))
    assert not error.retryable
    assert "sesame" not in shown_by(error)


async def test_the_rights_of_the_page_end_at_the_queue(own_server):
    """Other keys, and commands for the whole server, are refused."""
    server = own_server()
    url = await url_of_user(server, rules_of("crawl"))
    for other in ("crawl2", "craw", "*"):
        assert "refuses the user" in str(await error_for(url, queue=other))

    async def refused(command):
        async def use(queue):
            await queue.wire.command(command)

        return "refuses the user" in str(await error_for(url, use, queue="crawl"))

    assert not await refused(lambda client: client.get("lp:{crawl}:x"))
    assert await refused(lambda client: client.get("lp:{crawl2}:x"))
    assert await refused(lambda client: client.set("x", "y"))
    assert await refused(lambda client: client.keys())
    assert await refused(lambda client: client.flushall())
    assert await refused(lambda client: client.config_get(["requirepass"]))


async def test_the_rights_of_the_page_cover_each_command_that_is_sent(server):
    """By the server's own list of categories. Commands that were forgotten in the test above are noticed here."""
    scripts = "".join(path.read_text("utf-8") for path in PACKAGE.glob("_cluster/lua/*.lua"))
    sent = set(re.findall(r"(?:redis\.call\(|command = \{ )'(\w+)'", scripts))
    sent |= set(
        re.findall(r"client\.(\w+)\(", "".join(path.read_text("utf-8") for path in PACKAGE.glob("_cluster/*.py")))
    )
    async with opened(new_wire(server)) as wire:
        read, write, dangerous = [
            {command.decode().partition("|")[0] for command in await wire.command(methodcaller("acl_cat", name))}
            for name in ("read", "write", "dangerous")
        ]
    single = {rule[1:] for rule in rules_of("crawl") if rule[0] == "+" and rule[1] != "@"}
    assert {"evalsha", "XADD", "TIME"} <= sent
    sent = {command.lower().replace("client_", "client|") for command in sent}
    assert sent - ((read | write) - dangerous) == single


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with an authority, another one, and a certificate for localhost by the first one."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    by_ca = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    # Python 3.13 and newer ask an authority what its key is for, and a certificate by which key it was signed.
    (folder / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for command in (
        ("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ours", *signs),
        ("req", "-x509", *key, "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=other", *signs),
        ("req", *key[:-2], "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost"),
        ("x509", "-req", "-in", "request.pem", *by_ca, "-out", "cert.pem"),
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)  # noqa: S607  of the system
    return folder


class TlsServer:
    """A server with TLS and a password, on a port of its own."""

    def __init__(self, certificates, asks_for_certificate):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        files = {"cert-file": "cert.pem", "key-file": "key.pem", "ca-cert-file": "ca.pem"}
        self.server = Server(
            *("--tls-port", str(self.port), "--requirepass", PASSWORD, "--tls-auth-clients", asks_for_certificate),
            *(part for name, file in files.items() for part in (f"--tls-{name}", str(certificates / file))),
        )

    def url(self, query="", *, host="localhost", scheme="rediss"):
        return f"{scheme}://:{QUOTED}@{host}:{self.port}{query}"


def started(server):
    """Start a server with TLS. Skip the test if the program was built without it."""
    try:
        server.server.start()
    except AssertionError as error:
        server.server.stop()
        if "TLS support" in str(error) or "tls-port" in str(error):
            pytest.skip("the server has no TLS: name one that has it by LIONPRIDE_TEST_SERVER")
        raise
    return server


@pytest.fixture(scope="module")
def tls_server(certificates):
    server = started(TlsServer(certificates, "no"))
    yield server
    server.server.stop()


@pytest.mark.parametrize(
    ("scheme", "host", "query"),
    [
        ("rediss", "localhost", "?ssl_ca_certs={folder}/ca.pem"),
        ("valkeys", "localhost", "/1?ssl_ca_certs={folder}/ca.pem"),
        ("rediss", "127.0.0.1", "?ssl_ca_certs={folder}/ca.pem&ssl_check_hostname=false"),
        ("rediss", "127.0.0.1", "?ssl_cert_reqs=none"),
    ],
)
async def test_a_server_with_tls_is_reached(tls_server, certificates, scheme, host, query):
    """With its own authority, and unchecked where the URL says so."""
    url = tls_server.url(query.format(folder=certificates), host=host, scheme=scheme)
    assert await error_for(url, lambda queue: queue.submit([submission()])) is None


async def test_a_server_may_ask_for_a_certificate_of_the_client(certificates):
    """Without one it is not reached."""
    server = started(TlsServer(certificates, "yes"))
    try:
        query = f"?ssl_ca_certs={certificates}/ca.pem"
        both = f"&ssl_certfile={certificates}/cert.pem&ssl_keyfile={certificates}/key.pem"
        assert await error_for(server.url(query + both)) is None
        error = await error_for(server.url(query))
        assert "was not reached" in str(error)
        assert "sesame" not in shown_by(error)
    finally:
        server.server.stop()


@pytest.mark.parametrize(
    ("host", "query", "message"),
    [
        ("127.0.0.1", "?ssl_ca_certs={folder}/ca.pem", "was not reached .* IP address mismatch"),
        ("localhost", "?ssl_ca_certs={folder}/other.pem", "was not reached .* certificate verify failed"),
        ("localhost", "", "was not reached .* certificate verify failed"),
        ("localhost", "?ssl_ca_certs={folder}/missing.pem", "a file for TLS .* cannot be used: .* No such file"),
        ("localhost", "?ssl_ca_certs={folder}/names", "a file for TLS .* cannot be used: .* no certificate"),
    ],
)
async def test_a_server_that_is_not_the_one_meant_is_not_reached(
    tls_server, certificates, caplog, host, query, message
):
    """The host is checked too, which the client library does not do by default. The error says what is wrong."""
    caplog.set_level(logging.DEBUG)
    error = await error_for(tls_server.url(query.format(folder=certificates), host=host))
    assert re.search(message, str(error))
    assert "sesame" not in shown_by(error) + caplog.text


async def test_tls_where_the_server_has_none_and_the_other_way_round(tls_server, own_server, caplog):
    """The password is not sent in the first case."""
    caplog.set_level(logging.DEBUG)
    plain = own_server("--requirepass", PASSWORD, on_port=True).url.replace("redis://", f"rediss://:{QUOTED}@")
    for url in (plain, tls_server.url(scheme="redis")):
        error = await error_for(url)
        assert "was not reached" in str(error)
        assert "sesame" not in shown_by(error) + caplog.text


# ---------------------------------------------------------------- passwords


@pytest.mark.parametrize("scheme", ["redis", "valkey", "unix", "valkey+unix"])
async def test_a_server_with_a_password_is_reached(own_server, scheme, tmp_path):
    """By each scheme without TLS. The URL may be in a file."""
    is_socket = scheme.endswith("unix")
    server = own_server("--requirepass", PASSWORD, on_port=not is_socket)
    file = tmp_path / "url"
    file.write_text(f"{scheme}://:{QUOTED}@{server.url.partition('://')[2]}{'?db=1' if is_socket else '/1'}")
    assert await error_for(None, lambda queue: queue.submit([submission()]), url_file=file) is None


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("redis://:{wrong}@127.0.0.1:{port}", "refuses the user: invalid username-password pair"),
        ("redis://sesame:{right}@127.0.0.1:{port}", "refuses the user: invalid username-password pair"),
        ("redis://127.0.0.1:{port}", "refuses the user: .*authenticat"),
        ("redis://:{right}@127.0.0.1:{port}/99", "DB index is out of range"),
        ("redis://:{right}@127.0.0.1:1", "was not reached for 0 s: .* [Cc]onnect"),
        ("redis://:{right}@nowhere.invalid", "was not reached for 0 s: "),
        ("unix://:{right}@/nowhere/socket", "was not reached for 0 s: .* No such file"),
    ],
)
async def test_no_error_shows_a_password(own_server, caplog, place, message):
    """Neither the error, nor those behind it, nor a log."""
    caplog.set_level(logging.DEBUG)
    port = own_server("--requirepass", PASSWORD, on_port=True).url.rpartition(":")[2]
    error = await error_for(place.format(port=port, right=QUOTED, wrong=f"{QUOTED}x"))
    assert re.search(message, str(error))
    assert "sesame" not in shown_by(error) + caplog.text


async def test_a_server_that_repeats_the_password_in_its_answer_is_not_quoted(own_server, caplog):
    """A server that does not know a command repeats the beginning of its arguments. HELLO has the password."""
    caplog.set_level(logging.DEBUG)
    for password in (PASSWORD, "sesame"):
        server = own_server("--rename-command", "HELLO", "", on_port=True)
        error = await error_for(server.url.replace("://", f"://:{quote(password, safe='')}@"))
        assert "refuses a command: unknown command 'HELLO'" in str(error)
        assert "sesame" not in shown_by(error) + caplog.text
