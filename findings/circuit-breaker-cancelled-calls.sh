#!/usr/bin/env bash
# circuitbreaker 2.1.3 takes a cancelled call for a success, purgatory 3.0.1 takes one for a failure.
#
# A cancellation tells nothing of the service: the user has left, or a sibling in the task group has failed. So a good
# engineer would guess that neither counts it. Neither README mentions cancellation. By the one of circuitbreaker a failure
# is an error of class Exception, and a circuit closes once a trial call has succeeded. Its __exit__() calls reset() for all
# that is no such failure, also for CancelledError:
#   a service that hangs, under the time limit of the caller, never opens its circuit, since each timeout counts as a success;
#   an open circuit closes at once when a call ends by cancellation that had begun before it opened.
# purgatory counts each exception, so one failure in a task group of 5 calls opens the circuit of a healthy service.
#
# Seen on Python 3.11 (exits 1 if it changes):
#   circuitbreaker: 4 failures of 5, then a call that times out: failure_count 0
#   circuitbreaker: open, then a call from before is cancelled: closed, the next call runs
#   purgatory: 1 of 5 calls fails and the task group cancels 4: opened, with a threshold of 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q circuitbreaker==2.1.3 purgatory==3.0.1
cat > look.py <<'PY'
import asyncio

from circuitbreaker import CircuitBreaker
from purgatory import AsyncCircuitBreakerFactory

async def service(does):
    if does == "hang":
        await asyncio.sleep(60)
    if does == "fail":
        raise ConnectionError
    return does

async def fail(call, times):
    for _ in range(times):
        try:
            await call("fail")
        except ConnectionError:
            pass

async def count():
    breaker = CircuitBreaker(failure_threshold=5)
    call = breaker(service)
    await fail(call, 4)
    before = breaker.failure_count
    try:
        async with asyncio.timeout(0.01):
            await call("hang")
    except TimeoutError:
        pass
    return before, breaker.failure_count

async def opened():
    breaker = CircuitBreaker(failure_threshold=5)
    call = breaker(service)
    older = asyncio.create_task(call("hang"))
    await asyncio.sleep(0)
    await fail(call, 5)
    before = breaker.state
    older.cancel()
    await asyncio.wait([older])
    return before, breaker.state, await call("run")

async def group():
    breakers = AsyncCircuitBreakerFactory(default_threshold=5)
    call = breakers("service")(service)
    try:
        async with asyncio.TaskGroup() as tasks:
            for does in ("hang", "hang", "hang", "hang", "fail"):
                tasks.create_task(call(does))
    except* ConnectionError:
        pass
    return (await breakers.get_breaker("service")).context.state

async def main():
    seen = await count(), await opened(), await group()
    print("circuitbreaker, failure_count before and after the timeout:", seen[0])
    print("circuitbreaker, before and after the cancellation, and the next call:", seen[1])
    print("purgatory, after one failure in a task group of 5:", seen[2])
    assert seen == ((4, 0), ("open", "closed", "run"), "opened"), seen

asyncio.run(main())
PY
venv/bin/python look.py
