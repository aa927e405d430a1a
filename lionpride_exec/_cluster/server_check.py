"""
Checks whether a server is fit for a queue, before the queue is opened.

A server that writes no log loses all events at a restart. A server that removes keys when its memory is full may lose
some at any time. ``INFO`` shows both. ``CONFIG`` would show more, but hosted servers often do not permit it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from anyio import current_time, sleep

from lionpride_exec.errors import ClusterError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .wire import Wire

logger = logging.getLogger("lionpride_exec")

# Scripts have flags from this version on. Valkey says for compatibility that it is Redis 7.
MIN_VERSION: Final = 7

# A server that has been started loads its data first.
SECONDS_BETWEEN_LOOKS: Final = 0.2


async def check_server(wire: Wire, *, allow_volatile: bool) -> None:
    """
    Check version, persistence and memory of a server. If the server does not permit ``INFO``, log a warning.

    Args:
        wire: The connection, which is open.
        allow_volatile: Accept a server that loses events when it is restarted, or when its memory is full.

    Raises:
        ClusterError: The server is too old, or is not reached.
        ConfigurationError: The server may lose events.
    """
    facts = await _facts(wire)
    if facts is None:
        logger.warning(
            "%s does not permit INFO, so it is not known whether its version is %s or higher, and whether it keeps "
            "events over a restart",
            wire.shown_url,
            MIN_VERSION,
        )
        return
    version = facts.get("redis_version", "")
    if version and int(version.partition(".")[0]) < MIN_VERSION:
        raise ClusterError(f"{wire.shown_url} has version {version}; Redis {MIN_VERSION} or Valkey is needed")
    reason = _why_volatile(facts)
    if reason and not allow_volatile:
        raise ConfigurationError(f"{wire.shown_url} {reason}. If events may be lost, pass Cluster(allow_volatile=True)")


async def _facts(wire: Wire) -> Mapping[str, str] | None:
    """Return the answer of ``INFO``, once the server has loaded its data. Before that, the answer lacks the AOF."""
    began = current_time()
    while True:
        facts = await wire.info()
        if facts is None or facts.get("loading", "0") == "0":
            return facts
        if current_time() - began >= wire.patience:
            raise ClusterError(f"{wire.shown_url} is loading its data", retryable=True)
        await sleep(SECONDS_BETWEEN_LOOKS)


def _why_volatile(facts: Mapping[str, str]) -> str:
    """Return why a server may lose events, and what to set. "" if no reason is known: facts may be missing."""
    if facts.get("aof_enabled") == "0":
        return "loses all events when it is restarted, since it has 'appendonly no': set 'appendonly yes'"
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
        return (
            f"removes events when its memory is full, since it has 'maxmemory-policy {policy}': "
            "set 'maxmemory-policy noeviction'"
        )
    return ""
