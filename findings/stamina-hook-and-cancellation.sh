#!/usr/bin/env bash
# stamina 26.1.0 on asyncio: a backoff hook is asked about cancellations too. One that names what is final, and has all else
# repeated, turns asyncio.timeout() and the cancellation of a task group into one more call.
#
# The hook's type is Callable[[Exception], bool | float | timedelta], so a type checker and a reader both take it that only
# an Exception arrives; on=Exception behaves so. But the hook gets what tenacity has caught, which is any BaseException.
# `not isinstance(error, ValueError)` is true of CancelledError. stamina then sleeps and calls again, and asyncio does not
# cancel twice: the time limit is over without an effect, not even a TimeoutError, and a failed task group waits for the
# repeated call. tenacity has an open issue (529) on its own predicates of this kind; the docs of stamina do not speak of
# cancellation. Scopes of AnyIO are not affected, on asyncio and trio: they cancel the sleep again.
#
# Seen on Python 3.11, a call of 1 s, limits of 0.3 s (exits 1 if it changes):
#   on=Exception: asyncio.timeout() TimeoutError after 0.3 s, 1 call; task group ends after 0.3 s, 1 call
#   on=hook: asyncio.timeout() a result after 1.3 s, 2 calls; task group ends after 1.3 s, 2 calls
#   on=hook, anyio.fail_after(): TimeoutError after 0.3 s, 1 call
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q stamina==26.1.0 tenacity==9.2.1 anyio==4.16.0
cat > look.py <<'PY'
import asyncio
import time

import anyio
import stamina

def all_but_wrong_values(error: Exception) -> bool:
    return not isinstance(error, ValueError)

async def look(on, ask):
    """Return what the question came to, in how many tenths of a second, and the number of calls."""
    calls = 0

    @stamina.retry(on=on, attempts=5, wait_initial=0.01, wait_max=0.01, wait_jitter=0)
    async def call():
        nonlocal calls
        calls += 1
        await asyncio.sleep(1)
        return "a result"

    began = time.perf_counter()
    try:
        said = await ask(call)
    except BaseException as error:
        said = type(error).__name__
    return said, time.perf_counter() - began, calls

async def timeout(call):
    async with asyncio.timeout(0.3):
        return await call()

async def fail_after(call):
    with anyio.fail_after(0.3):
        return await call()

async def task_group(call):
    async def sibling():
        await asyncio.sleep(0.3)
        raise OSError

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call())
        tasks.create_task(sibling())

async def main():
    seen = []
    for on, ask in (
        (Exception, timeout),
        (Exception, task_group),
        (all_but_wrong_values, timeout),
        (all_but_wrong_values, task_group),
        (all_but_wrong_values, fail_after),
    ):
        said, taken, calls = await look(on, ask)
        print(f"on={on.__name__}, {ask.__name__}: {said} after {taken:.1f} s, {calls} call(s)")
        seen.append((said, taken >= 1, calls))
    assert seen == [
        ("TimeoutError", False, 1),
        ("ExceptionGroup", False, 1),
        ("a result", True, 2),
        ("ExceptionGroup", True, 2),
        ("TimeoutError", False, 1),
    ], seen

asyncio.run(main())
PY
venv/bin/python look.py
