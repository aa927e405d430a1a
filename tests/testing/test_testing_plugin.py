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


# Plain assertions: else each process rewrites those of all plugins, which takes half of its time without a cache.
OPTIONS = "-p", "no:cacheprovider", "--assert=plain"


@pytest.fixture
def project(pytester):
    """Give a project that uses the plugin."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(AN_HOUR)
    return pytester


def outcomes(project, *arguments):
    """Run its tests in a process of their own, and give how many passed."""
    # Plugins of this run that would find no place in that one are left out.
    return project.runpytest_subprocess(*OPTIONS, *arguments).parseoutcomes()


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


# Each needs the plugin of that name, and turns on what takes every async test.
TAKERS = {
    "asyncio_mode=auto": ("pytest-asyncio", 'asyncio_mode = "strict"'),
    "trio_mode=true": ("pytest-trio", "trio_mode = false"),
}


@pytest.mark.parametrize(
    ("mode", "anyio_mode"),
    [("asyncio_mode=auto", "strict"), ("asyncio_mode=auto", "auto"), ("trio_mode=true", "strict")],
)
def test_another_plugin_that_takes_the_tests_is_refused(project, mode, anyio_mode):
    """Where another plugin would run the tests, nothing is run, and the message says what to do."""
    other = mode.partition("_")[0]
    pytest.importorskip(f"pytest_{other}")
    left_out = ["-p", f"no:{'trio' if other == 'asyncio' else 'asyncio'}"]
    result = project.runpytest_subprocess(*OPTIONS, *left_out, "-o", mode, "-o", f"anyio_mode={anyio_mode}")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    name, cure = TAKERS[mode]
    result.stderr.fnmatch_lines([f"ERROR: lionpride_exec.testing.plugin: {name} would run *test_an_hour*{cure}*"])


def test_another_plugin_that_takes_no_test_may_be_there(project):
    """Beside plugins that only run the tests marked for them, everything passes."""
    pytest.importorskip("pytest_asyncio")
    pytest.importorskip("pytest_trio")
    assert outcomes(project, "-o", "asyncio_mode=strict", "-o", "trio_mode=false") == {"passed": len(BACKENDS)}


def test_anyios_own_auto_mode(project):
    """In AnyIO's auto mode a test needs no mark."""
    project.makepyfile(AN_HOUR.replace("pytestmark = pytest.mark.anyio", ""))
    assert outcomes(project, "-p", "no:asyncio", "-p", "no:trio", "-o", "anyio_mode=auto") == {"passed": len(BACKENDS)}


def test_tests_of_another_plugin_are_left_alone(project):
    """A test that is not meant for AnyIO's plugin may be run by another one."""
    pytest.importorskip("pytest_asyncio")
    project.makepyfile(AN_HOUR.replace("pytestmark = pytest.mark.anyio", "").replace("3600", "0"))
    project.makepyfile(test_other="async def test_other(): pass")
    found = outcomes(project, "-p", "no:trio", "-o", "asyncio_mode=auto", "-k", "test_other")
    assert found.pop("deselected") == 1
    assert found == {"passed": 1}
