"""Whether a server is fit for a queue."""

import pytest
from cluster_support import new_wire, opened
from parts import cluster

from lionpride_exec import ClusterError, ConfigurationError

pytestmark = pytest.mark.anyio


class ServerThatSays:
    """Stands for a server that no test can start."""

    shown_url = "the server"

    def __init__(self, **facts):
        self.facts = facts

    async def info(self):
        return self.facts


async def error_for(server, *, allow_volatile=False):
    """Return the error that a check raises. None if it raises none."""
    async with opened(new_wire(server)) as wire:
        try:
            await cluster.check_server(wire, allow_volatile=allow_volatile)
        except ConfigurationError as error:
            return error
    return None


async def test_a_server_that_keeps_what_it_has_is_fit(server, caplog):
    """Nothing is said."""
    assert await error_for(server) is None
    assert caplog.text == ""


async def test_a_server_without_a_log_is_refused(own_server):
    """The error names the setting, and the option for those who do not mind."""
    server = own_server("--appendonly", "no")
    assert str(await error_for(server)) == (
        f"{server.url} loses all events when it is restarted, since it has 'appendonly no': set 'appendonly yes'. "
        "If events may be lost, pass Cluster(allow_volatile=True)"
    )
    assert await error_for(server, allow_volatile=True) is None


async def test_a_server_that_removes_keys_when_it_is_full_is_refused(own_server):
    """If its memory has a bound."""
    server = own_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    assert str(await error_for(server)) == (
        f"{server.url} removes events when its memory is full, since it has 'maxmemory-policy allkeys-lru': "
        "set 'maxmemory-policy noeviction'. If events may be lost, pass Cluster(allow_volatile=True)"
    )
    assert await error_for(server, allow_volatile=True) is None
    assert await error_for(own_server("--maxmemory-policy", "allkeys-lru")) is None
    assert await error_for(own_server("--maxmemory", "100mb", "--maxmemory-policy", "noeviction")) is None


@pytest.mark.parametrize(
    "options", [("--user", "default", "on", "nopass", "~*", "+@all", "-info"), ("--rename-command", "INFO", "")]
)
async def test_a_server_that_does_not_say_is_accepted_with_a_warning(own_server, caplog, options):
    """It may run without a log, so the warning says what is not known."""
    assert await error_for(own_server("--appendonly", "no", *options)) is None
    (record,) = [record for record in caplog.records if record.name == "lionpride_exec"]
    assert record.levelname == "WARNING"
    assert "does not permit INFO" in record.getMessage()


async def test_an_old_server_is_refused_whatever_is_allowed():
    """Scripts have no flags in Redis 6."""
    with pytest.raises(ClusterError, match=r"the server has version 6\.2\.14; Redis 7 or Valkey is needed"):
        await cluster.check_server(ServerThatSays(redis_version="6.2.14", aof_enabled="1"), allow_volatile=True)
    await cluster.check_server(ServerThatSays(redis_version="10.0", aof_enabled="1"), allow_volatile=False)


async def test_a_server_that_says_little_is_accepted():
    """Servers that somebody else runs leave out parts."""
    await cluster.check_server(ServerThatSays(), allow_volatile=False)
