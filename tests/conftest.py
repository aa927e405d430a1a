"""
The backends of the async tests.

A module of async tests says ``pytestmark = pytest.mark.anyio``. Each test then runs three times, as
``[asyncio]``, ``[trio]`` and ``[asyncio+uvloop]``, each under a virtual clock (see ``lionpride_exec.testing``).
uvloop has one like the others, so no test has to be marked or skipped for a backend; ``pytest -k "not
uvloop"`` leaves that one out. Where uvloop does not exist (Windows, PyPy), there are two.
"""

import gc

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("lionpride_exec", deadline=None)
hypothesis.settings.load_profile("lionpride_exec")

pytest_plugins = ["lionpride_exec.testing.plugin", "pytester"]


def pytest_collection_finish():
    """
    Keep the garbage collector away from what lives as long as the run.

    That is every module and all 9,000 tests. Each full collection walked over them, and took a quarter of a second.
    A test that freezes more must not call gc.unfreeze(), which would undo this too.
    """
    use_hypothesis()  # first: it asks the collector who refers to its generator, and frozen ones are not found
    gc.collect()
    gc.freeze()


@hypothesis.settings(max_examples=1, database=None)
@hypothesis.given(hypothesis.strategies.none())
def use_hypothesis(_):
    """Have Hypothesis set up all that it sets up once."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Write half of a surrogate pair in captured output as an escape: xdist sends reports as UTF-8 only."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
