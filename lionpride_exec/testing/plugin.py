"""
A pytest plugin that runs async tests on each backend, under virtual time.

In the ``conftest.py`` at the root of the tests::

    pytest_plugins = ["lionpride_exec.testing.plugin"]

Each test marked with ``@pytest.mark.anyio`` then runs as ``[asyncio]``, ``[trio]`` and ``[asyncio+uvloop]``, as far as
these backends are installed. Each run has its own clock, which begins at 0.

A test marked with ``@pytest.mark.start(datetime(2026, 3, 28, 12, tzinfo=UTC))`` begins at this time of day: the wall
clock of the package follows the virtual clock then, as with ``run(..., start=)``. The mark may also be on a class or a
module.

If another plugin would run these tests (pytest-asyncio in its auto mode, or pytest-trio in its trio mode), pytest ends
with a ``pytest.UsageError``. The other plugin would use its own event loop and the real clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ._time.run import BACKENDS, backend_options
from ._time.virtual_wall import wall_from

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIXTURE = "anyio_backend"


# A new clock for each test, so that each test begins at the time 0.
@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    Yield the name and the options of a backend, for the pytest plugin of AnyIO.

    Args:
        request: The request of the test. Its parameter is one of ``BACKENDS``.

    Raises a TypeError or a ValueError if the mark ``start`` of the test has no datetime, or one without a time zone.
    """
    name, options = backend_options(request.param)
    mark = request.node.get_closest_marker("start")
    options, wall = wall_from(None if mark is None else mark.args[0], options)
    with wall:
        yield name, options


def pytest_configure(config: pytest.Config) -> None:
    """
    Register the mark ``start``.

    Args:
        config: The configuration of the test run.
    """
    config.addinivalue_line("markers", "start(time): the time of day (a datetime with a time zone) at which it begins")


# Run last, because the other plugins mark their tests in the same hook.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Check that no other plugin runs tests that are marked for the plugin of AnyIO.

    Raises a ``pytest.UsageError`` if pytest-asyncio or pytest-trio would run one of these tests.

    Args:
        config: The configuration of the test run.
        items: The collected tests.
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
