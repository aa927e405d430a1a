"""The pytest plugin, in a project of its own. What docs/virtual-time.md shows of it is run by test_pages.py."""

import pytest

from lionpride_exec.testing import BACKENDS

CONFTEST = 'pytest_plugins = ["lionpride_exec.testing.plugin"]\n'
AN_HOUR = """
import anyio, pytest
pytestmark = pytest.mark.anyio

async def test_an_hour():
    assert anyio.current_time() == 0
    await anyio.sleep(3600)
    assert anyio.current_time() == pytest.approx(3600)
"""


@pytest.fixture
def project(pytester):
    """Give a project that uses the plugin."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(AN_HOUR)
    return pytester


def outcomes(project, *arguments):
    """Run its tests in a process of their own, and give how many passed."""
    # Plugins of this run that would find no place in that one are left out.
    return project.runpytest_subprocess("-p", "no:cacheprovider", *arguments).parseoutcomes()


def test_each_test_runs_on_each_backend(project):
    """One test that sleeps for an hour passes once for each backend."""
    assert outcomes(project) == {"passed": len(BACKENDS)}


def test_one_backend_for_a_module(project):
    """A mark restricts a module to some of them."""
    mark = 'pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)]'
    project.makepyfile(AN_HOUR.replace("pytestmark = pytest.mark.anyio", mark))
    assert outcomes(project) == {"passed": 1}


def test_a_fixture_of_the_project(project):
    """A project may say itself which backends, and how patient."""
    project.makeconftest(
        CONFTEST
        + "import pytest\nfrom lionpride_exec.testing import backend_options\n"
        + "@pytest.fixture\ndef anyio_backend():\n    return backend_options('asyncio', io_patience=0.5)\n"
    )
    assert outcomes(project) == {"passed": 1}
