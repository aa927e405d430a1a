"""
The URL of a server: where it is found, how it is checked, and which part may be shown.

A URL has a password in it. So no message quotes a URL that cannot be read. No error has an error of ``urllib`` as its
cause, since the text of that error may quote the password.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

VARIABLE: Final = "LIONPRIDE_CLUSTER_URL"

# The schemes of the client library, by the schemes that users know.
SCHEMES: Final[Mapping[str, str]] = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkey+unix": "unix",
    "valkeys": "rediss",
}

# Options of TLS, each with the values that it may have. None stands for any path.
TLS_OPTIONS: Final[Mapping[str, frozenset[str] | None]] = {
    "ssl_ca_certs": None,
    "ssl_cert_reqs": frozenset({"none", "required"}),
    "ssl_certfile": None,
    "ssl_check_hostname": frozenset({"false", "true"}),
    "ssl_keyfile": None,
}


@attrs.frozen
class ServerUrl:
    """
    A URL that was checked.

    Attributes:
        complete: For the client library, with the password.
        shown: As the user wrote it, without user, password and options of TLS.
    """

    complete: str = attrs.field(repr=False)
    shown: str


def find_url(url: str | None, url_file: str | os.PathLike[str] | None) -> ServerUrl:
    """
    Return the URL: the one that is given, else the first line of the file, else that of the environment.

    Raises:
        ConfigurationError: There is none, or it cannot be used.
    """
    if url is not None:
        return read_url(url)
    if url_file is not None:
        return read_url(_first_line(url_file))
    found = os.environ.get(VARIABLE)
    if not found:
        raise ConfigurationError(f"a cluster needs a URL: Cluster(url), Cluster(url_file=...), or {VARIABLE}")
    return read_url(found)


def _first_line(path: str | os.PathLike[str]) -> str:
    text: str | None = None
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"url_file cannot be read: {error}") from error
    except ValueError:  # its text quotes the file
        pass
    if text is None:
        raise ConfigurationError(f"url_file {os.fspath(path)!r} is not a text in UTF-8")
    if not text.strip():
        raise ConfigurationError(f"url_file {os.fspath(path)!r} is empty")
    return text.splitlines()[0].strip()


def read_url(url: str) -> ServerUrl:
    """
    Return a URL, checked.

    Raises:
        ConfigurationError: It cannot be used.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"the URL of a cluster must be a text, got {type(url).__name__}")
    if not url.isprintable() or " " in url:
        raise ConfigurationError("the URL of a cluster has a space or a control character in it")
    parts = _split(url)
    if parts is None or parts.scheme not in SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigurationError(f"the URL of a cluster must begin with one of {schemes}, and have a number as port")
    if parts.fragment or "@" in parts.path + parts.query:
        raise ConfigurationError("the URL of a cluster has one of / ? # in user or password: write %2F, %3F, %23")
    scheme = SCHEMES[parts.scheme]
    _check_place(parts, is_socket=scheme == "unix")
    options = _options(parts.query, has_tls=scheme == "rediss")
    query = f"?{urlencode(options)}" if options else ""
    shown_query = f"?db={options['db']}" if "db" in options else ""
    host = parts.netloc.rpartition("@")[2]
    return ServerUrl(
        f"{scheme}://{parts.netloc}{parts.path}{query}", f"{parts.scheme}://{host}{parts.path}{shown_query}"
    )


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL. None if the port is no number, or ``urllib`` refuses the URL for another reason."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises an error if it is no number
    except ValueError:
        return None
    return parts


def _check_place(parts: SplitResult, *, is_socket: bool) -> None:
    """
    Check host and path.

    Raises:
        ConfigurationError: A part is missing or makes no sense.
    """
    if is_socket:
        if parts.netloc.rpartition("@")[2] or len(parts.path) < len("/s"):
            raise ConfigurationError(f"the URL of a socket must be {parts.scheme}:///path/to/the/socket")
    elif not parts.hostname:
        raise ConfigurationError("the URL of a cluster has no host")
    elif parts.path not in {"", "/"} and not _is_number(parts.path[1:]):
        raise ConfigurationError("the path in the URL of a cluster must be the number of a database")


def _options(query: str, *, has_tls: bool) -> dict[str, str]:
    """
    Return the options in a query. With TLS, the certificate and the host in it are checked unless the query forbids it.

    The client library does not check the host by default.

    Raises:
        ConfigurationError: An option is not known, or has none of its values.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not options.keys() <= TLS_OPTIONS.keys() | {"db"}:
        # Not named: it may be a part of a password.
        raise ConfigurationError(f"the query in the URL of a cluster may only have db, {', '.join(TLS_OPTIONS)}")
    if "db" in options and not _is_number(options["db"]):
        raise ConfigurationError("db in the URL of a cluster must be the number of a database")
    if not has_tls:
        if options.keys() - {"db"}:
            raise ConfigurationError("options of TLS in the URL of a cluster need rediss:// or valkeys://")
        return options
    for name, values in TLS_OPTIONS.items():
        if values is not None and options.get(name) not in {None, *values}:
            raise ConfigurationError(f"{name} in the URL of a cluster must be one of {', '.join(sorted(values))}")
    if ("ssl_certfile" in options) != ("ssl_keyfile" in options):
        raise ConfigurationError("ssl_certfile and ssl_keyfile in the URL of a cluster go together")
    is_checked = options.setdefault("ssl_cert_reqs", "required") == "required"
    options.setdefault("ssl_check_hostname", "true" if is_checked else "false")
    if not is_checked and options["ssl_check_hostname"] == "true":
        raise ConfigurationError("ssl_check_hostname=true in the URL of a cluster needs ssl_cert_reqs=required")
    return options


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
