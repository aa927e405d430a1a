"""Our own Python calls stay below a bound: for an event, and for an item of a map. ``benchmarks/_calls.py`` counts."""

from typing import Final

import pytest
from leftovers import load

from lionpride_exec.testing import BACKENDS

calls = load("_calls")

# The most calls that an event may take, on each of Python 3.11, 3.12 and 3.13. Lower them when calls are saved.
MAX_CALLS_ASYNCIO: Final = 43
MAX_CALLS_UVLOOP: Final = 43
MAX_CALLS_TRIO: Final = 43

MAX_CALLS: Final = {"asyncio": MAX_CALLS_ASYNCIO, "asyncio+uvloop": MAX_CALLS_UVLOOP, "trio": MAX_CALLS_TRIO}

# The most calls that an item of map() may take: those of its event, those of the loop, and the removal of the event.
MAX_MAP_CALLS: Final = 71


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_takes_few_calls(backend):
    """No event takes more of our calls than the bound of its backend."""
    assert calls.count_calls(backend) / calls.AT_ONCE <= MAX_CALLS[backend]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_count_repeats(backend):
    """Two runs count the same number of calls, to the last one, whatever the order of tasks."""
    assert calls.count_calls(backend, seed=1) == calls.count_calls(backend, seed=2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_of_a_map_takes_few_calls(backend):
    """Its event, the loop and the removal of the event together."""
    assert calls.count_map_calls(backend) / calls.ITEMS <= MAX_MAP_CALLS
