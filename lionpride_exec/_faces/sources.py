"""The source for what somebody wants to look at."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from lionpride_exec._base.wording import install_command
from lionpride_exec._executor.live_view import LiveView
from lionpride_exec.errors import ConfigurationError

from . import snapshot, snapshot_json
from .live_source import LiveSource

if TYPE_CHECKING:
    import os
    from contextlib import AbstractAsyncContextManager

    from lionpride_exec._executor.executor import Executor

__all__ = ["cluster_source", "journal_source", "live_source", "snapshot", "snapshot_json", "url_source"]


def live_source(executor: Executor, *, writable: bool = True) -> snapshot.OpenSource:
    """
    Return the source that reads a running executor, or one that will be started.

    Args:
        executor: The executor.
        writable: Whether ``act()`` does anything.
    """
    path = LiveView(executor).journal_path
    if path is None:
        return LiveSource(executor, writable=writable)
    from .stored_live_source import StoredLiveSource  # noqa: PLC0415  needs the extra

    return StoredLiveSource(executor, path, writable=writable)


def journal_source(path: str | os.PathLike[str], *, writable: bool = True) -> snapshot.OpenSource:
    """
    Return the source that reads a journal, which another process runs or nobody.

    Args:
        path: The file, which has to exist at the first question.
        writable: Whether ``act()`` does anything.

    Raises:
        ConfigurationError: The extra ``journal`` is not installed.
    """
    if find_spec("msgspec") is None:
        raise ConfigurationError(f"a journal needs msgspec: {install_command('journal')}")
    from .journal_source import JournalSource  # noqa: PLC0415  needs the extra

    return JournalSource(path, writable=writable)


def url_source(
    url: str, *, token: str | None = None, writable: bool = True, client: object = None
) -> snapshot.OpenSource:
    """
    Return the source that reads another dashboard by its JSON.

    Args:
        url: The address of the dashboard. A ``?token=`` in it is sent as a header.
        token: The token. None for the one in the address, if any.
        writable: Whether ``act()`` does anything. The dashboard may refuse it, too.
        client: A client of ``httpx2`` or ``httpx``. None for a new one, which ``aclose()`` closes.

    Raises:
        ConfigurationError: No client is installed.
        ValueError: The address is no address of a web page.
    """
    from .url_source import UrlSource  # noqa: PLC0415  few programs need it

    return UrlSource(url, token=token, writable=writable, client=client)


def cluster_source(url: str, name: str, *, writable: bool = True) -> AbstractAsyncContextManager[snapshot.Source]:
    """
    Return a context manager that connects to the queue of a cluster, and whose block has the source.

    Args:
        url: The URL of the server.
        name: The name of the queue.
        writable: Whether ``act()`` does anything.

    Raises:
        ConfigurationError: The extra ``cluster`` is not installed.
    """
    if find_spec("coredis") is None:
        raise ConfigurationError(f"a cluster needs coredis: {install_command('cluster')}")
    from .cluster_source import opened_cluster  # noqa: PLC0415  needs the extra

    return opened_cluster(url, name, writable=writable)
