"""
A pytest plugin by which async tests run on each backend, under virtual time.

In the ``conftest.py`` at the root of the tests::

    pytest_plugins = ["lionpride_exec.testing.plugin"]

Each test marked with ``@pytest.mark.anyio`` then runs as ``[asyncio]``, ``[trio]`` and ``[asyncio+uvloop]``, as far as
they are installed, and each time from the time 0 of a clock of its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from ._run import BACKENDS, backend_options


# Anew for each test, so that each begins at the time 0.
@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Give the name and the options of a backend to the plugin of AnyIO."""
    return backend_options(request.param)
