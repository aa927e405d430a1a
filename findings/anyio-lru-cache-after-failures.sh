#!/usr/bin/env bash
# AnyIO 4.16.0, anyio.functools.lru_cache: calls that fail or are cancelled use up the room of the cache, which in the end
# keeps one value. Tasks that wait for a failing call make the same call one after another, and may get a KeyError.
#
# The docs call it an asynchronous version of functools.lru_cache, which does not notice calls that raise. This one
#   counts a value before the function runs, and never takes the count back. After maxsize failures, however old, it holds
#   itself for full, and drops a value for each new key. cache_info().currsize says that nothing is missing.
#   lets one task call for a key, and the others wait on a lock. After a failure the next one calls, so the last of 20
#   learns of it after 20 times the time. async_lru 2.4.0 makes one call, whose error all get.
#   drops the lock of a key as it drops a value. A task that waits on it then raises KeyError after a failure.
# So a cache in front of a service that times out now and then gets useless in time, and nothing tells so.
#
# Seen on Python 3.11, on asyncio and trio (exits 1 if it changes):
#   5 rounds of 3 keys, maxsize=3: 3 calls; after 3 failures: 15 calls; after 3 cancellations: 15 calls; currsize=3 each
#   20 tasks, 1 key, failing after 1 s: the first error after 1 s, the last after 20 s, 20 calls
#   maxsize=1, another key called in between: OSError for the first task, KeyError for the second
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q anyio==4.16.0 trio==0.35.0
cat > look.py <<'PY'
import anyio
from anyio.functools import lru_cache

UNIT = 0.05  # seconds for "1 s"

async def rounds(spoil):
    """Return how often the function is called for 5 rounds of 3 keys, after 3 calls that spoil() has made of it."""
    calls = []

    @lru_cache(maxsize=3)
    async def load(key):
        calls.append(key)
        if key == "failing":
            raise OSError
        if key == "slow":
            await anyio.sleep_forever()
        return key

    for _ in range(3):
        await spoil(load)
    calls.clear()
    for _ in range(5):
        for key in ("a", "b", "c"):
            assert await load(key) == key
    return len(calls), load.cache_info().currsize

async def nothing(load):
    pass

async def fail(load):
    try:
        await load("failing")
    except OSError:
        pass

async def cancel(load):
    with anyio.move_on_after(UNIT):
        await load("slow")

async def herd():
    """Return when the first and the last of 20 tasks got the error of one key, and the number of calls."""
    calls, ends = [], []

    @lru_cache
    async def load(key):
        calls.append(key)
        await anyio.sleep(UNIT)
        raise OSError

    async def call():
        try:
            await load("key")
        except OSError:
            ends.append((anyio.current_time() - began) / UNIT)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    return min(ends), max(ends), len(calls)

async def dropped():
    """Return what the calls for a failing key raise while another key takes the only place."""
    raised = []

    @lru_cache(maxsize=1)
    async def load(key):
        if key == "failing":
            await anyio.sleep(UNIT)
            raise OSError

    async def call():
        try:
            await load("failing")
        except Exception as error:
            raised.append(type(error).__name__)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        await load("other")
    return raised

async def main():
    seen = {spoil.__name__: await rounds(spoil) for spoil in (nothing, fail, cancel)}
    first, last, calls = await herd()
    raised = await dropped()
    print("calls and currsize", seen)
    print(f"the first error after {first:.1f} s, the last after {last:.1f} s, {calls} calls")
    print("raised", raised)
    assert seen == {"nothing": (3, 3), "fail": (15, 3), "cancel": (15, 3)}, seen
    assert first < 5 and last >= 20 and calls == 20, (first, last, calls)
    assert raised == ["OSError", "KeyError"], raised

for backend in ("asyncio", "trio"):
    print(backend)
    anyio.run(main, backend=backend)
PY
venv/bin/python look.py
