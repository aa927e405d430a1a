#!/usr/bin/env bash
# circuitbreaker 2.1.3, purgatory 3.0.1 and aiobreaker 1.2.0: a half-open circuit lets every waiting task through, not one.
#
# By the README of circuitbreaker an open circuit lets one trial call through after the timeout, by that of aiobreaker the
# next call. That is the point of the state: to try a service that may still be
# down without its whole load. But a half-open circuit refuses nothing, and it only leaves the state when the first call has
# ended. So all calls that begin during this first call run. With threads of a web server these are a few. With asyncio they
# are all tasks that wait to try again: a service that has just come back gets the herd that has brought it down, at each
# timeout anew. A limiter of the program's own is needed around the breaker.
#
# Seen on Python 3.11, 1,000 tasks after the timeout, on a service that is still down (exits 1 if it changes):
#   circuitbreaker: 1000 calls, purgatory: 1000 calls, aiobreaker: 1000 calls
#   one task after the other: 1 call each, so the state itself works
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q circuitbreaker==2.1.3 purgatory==3.0.1 aiobreaker==1.2.0
cat > look.py <<'PY'
import asyncio
import datetime

import aiobreaker
import circuitbreaker
import purgatory
from purgatory.domain.model import OpenedState

TIMEOUT = 1.0
reached = 0

async def service():
    """A service that is down: the call ends 0.2 s later by an error."""
    global reached
    reached += 1
    await asyncio.sleep(0.2)
    raise ConnectionError

def guards():
    yield "circuitbreaker", circuitbreaker.CircuitBreaker(failure_threshold=1, recovery_timeout=TIMEOUT)
    yield "purgatory", purgatory.AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=TIMEOUT)("service")
    yield "aiobreaker", aiobreaker.CircuitBreaker(fail_max=1, timeout_duration=datetime.timedelta(seconds=TIMEOUT))

async def attempt(call):
    try:
        await call()
    except (ConnectionError, circuitbreaker.CircuitBreakerError, OpenedState, aiobreaker.CircuitBreakerError):
        pass

async def look(together):
    """Return how many of 1,000 calls after the timeout reach the service, for each breaker."""
    global reached
    seen = {}
    for name, guard in guards():
        call = guard(service)
        await attempt(call)  # opens the circuit
        reached = 0
        await asyncio.gather(*[attempt(call) for _ in range(1000)])
        assert reached == 0, (name, "is not open")
        await asyncio.sleep(TIMEOUT + 0.1)
        if together:
            await asyncio.gather(*[attempt(call) for _ in range(1000)])
        else:
            for _ in range(1000):
                await attempt(call)
        seen[name] = reached
    return seen

async def main():
    together, alone = await look(True), await look(False)
    print("1,000 tasks:", together)
    print("one task after the other:", alone)
    assert set(together.values()) == {1000}, together
    assert set(alone.values()) == {1}, alone

asyncio.run(main())
PY
venv/bin/python look.py
