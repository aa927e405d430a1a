"""
The backends of the async tests.

A module of async tests says ``pytestmark = pytest.mark.anyio``. Each test then runs three times, as
``[asyncio]``, ``[trio]`` and ``[asyncio+uvloop]``, each under a virtual clock (see ``virtual_clock.py``).
uvloop has one like the others, so no test has to be marked or skipped for a backend; ``pytest -k "not
uvloop"`` leaves that one out. Where uvloop does not exist (Windows, PyPy), there are two.
"""

import pytest
from virtual_clock import VIRTUAL_BACKENDS


# Anew for each test, so that each begins at the time 0 of a clock of its own.
@pytest.fixture(params=VIRTUAL_BACKENDS)
def anyio_backend(request):
    """Give the name and the options of a backend, for the plugin of anyio."""
    return VIRTUAL_BACKENDS[request.param]()
