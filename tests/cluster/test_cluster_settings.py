"""The settings of a cluster: what is refused, where URL and secret come from, and what is never shown."""

import copy
import pickle
import subprocess
import sys
from math import inf, nan

import pytest
from cluster_support import queue_of, wire_of
from parts import cluster

from lionpride_exec import Cluster, ConfigurationError, Event

EVENT = cluster.EVENT
SECRET = "a secret of more than 16 bytes"


class Fetch(Event):
    async def _invoke(self):
        return 1


async def double(number):
    return 2 * number


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """The environment has neither a URL nor a secret."""
    monkeypatch.delenv("LIONPRIDE_CLUSTER_URL", raising=False)
    monkeypatch.delenv("LIONPRIDE_CLUSTER_SECRET", raising=False)


def new(url="redis://127.0.0.1:6379/0", **options):
    return Cluster(url, **{"secret": SECRET} | options)


def everything_in(error):
    """Return the text of an error and of all errors behind it, whether they are shown or not."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def test_the_defaults():
    """Two arguments are enough."""
    settings = Cluster("redis://127.0.0.1", secret=SECRET)
    assert (settings.queue, settings.work, settings.lease, settings.levels) == ("default", True, 15.0, (-10, 10))
    assert (settings.lookahead, settings.retain, settings.patience) == (None, 86_400.0, 30.0)
    assert (settings.types, settings.unsigned, settings.allow_volatile) == ({}, False, False)


def test_importing_the_package_imports_no_extra():
    """Neither does naming the class."""
    code = (
        "import sys, lionpride_exec; lionpride_exec.Cluster; "
        "print([name for name in ('coredis', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("missing", ["coredis", "msgspec"])
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, missing):
    """The package can be imported, and a cluster cannot be made."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[cluster\]' \(in a clone"):
        new()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": ""}, "queue must be a printable text"),
        ({"queue": "a b"}, "queue must be"),
        ({"queue": "a{b}"}, "queue must be"),
        ({"queue": "a\n"}, "queue must be"),
        ({"queue": 3}, "queue must be"),
        ({"lease": 0.9}, "lease must be 1 s or more, got 0.9"),
        ({"lease": nan}, "lease must be finite"),
        ({"lease": inf}, "lease must be finite"),
        ({"lease": "15"}, "lease must be finite"),
        ({"lease": 1e300}, r"lease must be 1e\+09 s or less"),
        ({"levels": (1, 0)}, "levels must go from a lower to a higher number"),
        ({"levels": (0, 100)}, "levels must go from a lower to a higher number, 100 at most"),
        ({"levels": (2**70, 2**70)}, "each between -2147483648 and 2147483648"),
        ({"levels": (-(2**31) - 1, -(2**31))}, "each between -2147483648 and 2147483648"),
        ({"levels": (0, True)}, "levels must be two integers"),
        ({"levels": (0, 1.0)}, "levels must be two integers"),
        ({"levels": (0, 1, 2)}, "levels must be two integers"),
        ({"levels": "01"}, "levels must be two integers"),
        ({"levels": 5}, "levels must be two integers"),
        ({"lookahead": 0}, "lookahead must be an integer, 1 or more, got 0"),
        ({"lookahead": 1.5}, "lookahead must be an integer"),
        ({"retain": 0}, "retain must be 0.001 s or more, got 0"),
        ({"retain": -1}, "retain must be not negative"),
        ({"retain": inf}, "retain must be finite"),
        ({"patience": -1}, "patience must be not negative, got -1"),
        ({"patience": nan}, "patience must be finite"),
        ({"types": {"a": 3}}, r"types\['a'\] must be a class of events or a function"),
        ({"types": {"a": int}}, "must be a class of events or a function"),
        ({"types": [Fetch]}, "types must be a mapping from tags to classes, got list"),
        ({"types": {"": Fetch}}, "types must have texts as tags"),
        ({"types": {1: Fetch}}, "types must have texts as tags"),
        ({"secret": "\ud800" * 20}, "a secret has a character that UTF-8 cannot hold"),
        ({"secret": "short"}, "a secret must have at least 16 bytes"),
        ({"secret": ""}, "a secret must have at least 16 bytes"),
        ({"secret": [SECRET, b"short"]}, "a secret must have at least 16 bytes"),
        ({"secret": []}, "a cluster needs a secret"),
        ({"secret": None}, "a cluster needs a secret"),
        ({"secret": [3]}, "secret must be a text, bytes, or a list of these"),
        ({"secret": 3}, "secret must be a text, bytes, or a list of these"),
        ({"unsigned": True}, "unsigned=True signs nothing, but secret is given"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    """What cannot be meant is said at once."""
    with pytest.raises(ConfigurationError, match=message):
        new(**options)


def test_what_is_allowed_at_the_ends():
    """The least and the most that each argument may be."""
    settings = new(
        queue="ünï-1:x",
        lease=1,
        levels=(0, 99),
        lookahead=1,
        retain=None,
        patience=0,
        types={"a": Fetch, "b": double},
    )
    assert (settings.lease, settings.levels, settings.retain, settings.patience) == (1.0, (0, 99), None, 0.0)
    assert settings.types == {"a": Fetch, "b": double}
    assert new(patience=inf).patience == inf
    assert new(levels=(3, 3)).levels == (3, 3)


def test_the_types_are_a_copy():
    """A later change of the mapping changes no settings."""
    types = {"a": Fetch}
    settings = new(types=types)
    types["b"] = double
    assert settings.types == {"a": Fetch}


# ---------------------------------------------------------------- URL


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        ("redis://user:sesame@host:7000/3", "redis://host:7000/3"),
        ("redis://:sesame@host/?db=2", "redis://host/?db=2"),
        ("redis://:se%2Fsa%40me@[::1]:7000", "redis://[::1]:7000"),
        ("valkey://:sesame@sesame@host", "valkey://host"),
        ("unix:///run/s", "unix:///run/s"),
        ("unix://user:sesame@/run/s?db=1", "unix:///run/s?db=1"),
        ("valkey+unix:///run/s", "valkey+unix:///run/s"),
        ("rediss://:sesame@host", "rediss://host"),
        ("valkeys://host/1?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false", "valkeys://host/1"),
        ("rediss://host?ssl_cert_reqs=none", "rediss://host"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    """Neither user nor password, and no options of TLS. test_cluster_access.py connects with all kinds of them."""
    assert new(url).shown_url == shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with one of redis://, rediss://, unix://, valkey://"),
        ("sesame", "must begin with"),
        ("sesame://host", "must begin with"),
        ("http://:sesame@host", "must begin with"),
        ("redis://:sesame@host:port", "must begin with"),
        ("redis://:sesame/1@host", "must begin with"),
        ("redis://user:1/sesame@host", "in user or password: write %2F"),
        ("redis://user:1?sesame@host", "in user or password"),
        ("redis://user:1#sesame@host", "in user or password"),
        ("redis://user:1/#sesame", "in user or password"),
        ("redis://[sesame@host", "must begin with"),
        ("redis://:sesame\uff03@host", "must begin with"),
        ("redis://host /sesame", "a space or a control character"),
        ("redis://ho\nst/sesame", "a space or a control character"),
        ("redis:///0", "has no host"),
        ("redis://:sesame@:7000", "has no host"),
        ("redis://host/sesame", "must be the number of a database"),
        ("redis://host?db=sesame", "db in the URL of a cluster must be the number"),
        ("redis://host?password=sesame", "may only have db, ssl_ca_certs"),
        ("redis://host?sesame", "may only have db"),
        ("redis://host?ssl_ca_certs=/etc/ca.pem", "need rediss://"),
        ("rediss://host?ssl_cert_reqs=sesame", "ssl_cert_reqs in the URL of a cluster must be one of none, required"),
        ("rediss://host?ssl_check_hostname=sesame", "must be one of false, true"),
        ("rediss://host?ssl_cert_reqs=none&ssl_check_hostname=true", "needs ssl_cert_reqs=required"),
        ("rediss://host?ssl_certfile=/a", "go together"),
        ("unix://run/sesame", "must be unix:///path"),
        ("unix://", "must be unix:///path"),
        (b"redis://:sesame@host", "must be a text, got bytes"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url, message):
    """Neither in the error, nor in an error behind it."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        new(url)
    assert "sesame" not in everything_in(caught.value)


def test_the_url_comes_from_the_argument_or_the_file_or_the_environment(monkeypatch, tmp_path):
    """The first that there is."""
    file = tmp_path / "url"
    file.write_text("  redis://of-the-file \nredis://below\n")
    with pytest.raises(ConfigurationError, match="a cluster needs a URL"):
        Cluster(secret=SECRET)
    monkeypatch.setenv("LIONPRIDE_CLUSTER_URL", "redis://of-the-environment")
    assert Cluster(secret=SECRET).shown_url == "redis://of-the-environment"
    assert Cluster(url_file=file, secret=SECRET).shown_url == "redis://of-the-file"
    assert Cluster("redis://of-the-argument", url_file=str(file), secret=SECRET).shown_url == "redis://of-the-argument"


def test_a_file_without_a_url_is_refused(tmp_path):
    """The error names the file."""
    missing, empty, no_text = (tmp_path / name for name in ("missing", "empty", "no_text"))
    empty.write_text("\n")
    no_text.write_bytes(b"redis://:sesame\xff@host")
    for file, message in ((missing, "cannot be read"), (empty, "is empty"), (no_text, "is not a text in UTF-8")):
        with pytest.raises(ConfigurationError, match=message) as caught:
            Cluster(url_file=file, secret=SECRET)
        assert file.name in str(caught.value)
        assert "sesame" not in everything_in(caught.value)


def test_nothing_shows_the_password_or_the_secret():
    """Neither the object nor what it holds does, and it cannot be copied to somewhere else."""
    settings = new("redis://user:sesame@host:7000/3")
    shown = f"{settings} {settings!r} {vars(settings)} {wire_of(settings)!r}"
    assert "sesame" not in shown
    assert SECRET not in shown
    assert repr(settings) == "Cluster('redis://host:7000/3', queue='default')"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied") as caught:
            copied(settings)
        assert "sesame" not in everything_in(caught.value)


# ---------------------------------------------------------------- secret


def signer_of(cluster):
    return cluster._signer


def test_the_secret_comes_from_the_argument_or_the_environment(monkeypatch):
    """A record that one cluster signs is read by one with the same secret."""
    monkeypatch.setenv("LIONPRIDE_CLUSTER_SECRET", SECRET)
    record = signer_of(Cluster("redis://host")).sign(EVENT, "1", b"data")
    other = "another secret, first of two"
    assert signer_of(new(secret=[other, SECRET.encode()])).unsign(EVENT, "1", record) == b"data"
    with pytest.raises(cluster.UntrustedRecordError, match="its signature is not one of the secrets"):
        signer_of(new(secret=other)).unsign(EVENT, "1", record)


def test_a_signature_is_for_one_queue():
    """A record of another queue with the same secret is not trusted."""
    record = signer_of(new(queue="a")).sign(EVENT, "1", b"data")
    with pytest.raises(cluster.UntrustedRecordError):
        signer_of(new(queue="b")).unsign(EVENT, "1", record)


def test_an_unsigned_cluster_is_asked_for(monkeypatch):
    """A secret in the environment is not ignored."""
    settings = Cluster("redis://host", unsigned=True)
    assert settings.unsigned
    assert signer_of(settings).unsign(EVENT, "1", b"\0data") == b"data"
    monkeypatch.setenv("LIONPRIDE_CLUSTER_SECRET", SECRET)
    with pytest.raises(ConfigurationError, match="LIONPRIDE_CLUSTER_SECRET is set"):
        Cluster("redis://host", unsigned=True)


# ---------------------------------------------------------------- for the executor


@pytest.mark.parametrize(
    ("levels", "priority", "stream"),
    [
        ((-10, 10), None, 11),
        ((-10, 10), 0, 11),
        ((-10, 10), -10, 1),
        ((-10, 10), -11.5, 1),
        ((-10, 10), 10, 21),
        ((-10, 10), 1e300, 21),
        ((-10, 10), -inf, 1),
        ((-10, 10), 0.9, 11),
        ((-10, 10), -0.1, 10),
        ((5, 9), None, 1),
        ((-9, -5), None, 5),
        ((3, 3), 7, 1),
    ],
)
def test_the_stream_of_a_priority(levels, priority, stream):
    """Lower numbers have lower streams, which go first."""
    assert new(levels=levels)._level_of(priority) == stream


def test_the_queue_has_the_name_and_the_levels():
    """The stream 0 is for what goes first whatever its level is."""
    settings = new(queue="crawl", levels=(-1, 3))
    queue = queue_of(settings, wire_of(settings))
    assert (queue.prefix, queue.streams) == ("lp:{crawl}:", 6)
