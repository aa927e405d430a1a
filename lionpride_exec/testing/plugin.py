"""
A pytest plugin by which async tests run on each backend, under virtual time.

In the ``conftest.py`` at the root of the tests::

    pytest_plugins = ["lionpride_exec.testing.plugin"]

Each test marked with ``@pytest.mark.anyio`` then runs as ``[asyncio]``, ``[trio]`` and ``[asyncio+uvloop]``, as far as
they are installed, and each time from the time 0 of a clock of its own.

Where another plugin takes these tests (pytest-asyncio in its auto mode, pytest-trio in its trio mode), pytest ends with
a ``pytest.UsageError``. That plugin would run them in an event loop of its own, by a real clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from ._time.run import BACKENDS, backend_options

_FIXTURE = "anyio_backend"


# Anew for each test, so that each begins at the time 0.
@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """
    Return the name and the options of a backend, for the plugin of AnyIO.

    Args:
        request: Of the test, for which pytest has chosen one of ``BACKENDS``.
    """
    return backend_options(request.param)


# The other plugins mark the tests they take by then.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Check that no other plugin takes tests that are meant for AnyIO's.

    Args:
        config: Of the run.
        items: The tests that will be run.

    Raises a ``pytest.UsageError`` if pytest-asyncio or pytest-trio would run some of them.
    """
    for takes, name, cure in (
        (_is_of_pytest_asyncio, "pytest-asyncio", 'Set asyncio_mode = "strict"'),
        (_is_of_pytest_trio, "pytest-trio", "Set trio_mode = false"),
    ):
        taken = [item.nodeid for item in items if _is_of_anyio(item) and takes(config, item)]
        if taken:
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            error = pytest.UsageError(
                f"lionpride_exec.testing.plugin: {name} would run {taken[0]}{more}, in an event loop of its own and by "
                f"the real clock. {cure}, or mark these tests for one of the two plugins only."
            )
            raise error


def _is_of_anyio(item: pytest.Item) -> bool:
    return _FIXTURE in getattr(item, "fixturenames", ()) and item.get_closest_marker("anyio") is not None


def _is_of_pytest_asyncio(_config: pytest.Config, item: pytest.Item) -> bool:
    return any(cls.__module__.partition(".")[0] == "pytest_asyncio" for cls in type(item).__mro__)


def _is_of_pytest_trio(config: pytest.Config, item: pytest.Item) -> bool:
    return item.get_closest_marker("trio") is not None and any(
        getattr(plugin, "__name__", "").partition(".")[0] == "pytest_trio"
        for plugin in config.pluginmanager.get_plugins()
    )
