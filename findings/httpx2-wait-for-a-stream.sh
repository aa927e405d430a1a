#!/usr/bin/env bash
# httpx2 2.16.2 with http2=True: a request that waits for a free stream of its connection is under no timeout at all.
#
# The docs say that a timeout holds everywhere by default, and list those to connect, read, write and for the pool. With
# HTTP/1.1 a request that finds all connections busy ends by PoolTimeout. With HTTP/2 the pool hands each request to the one
# connection at once, so its wait for the pool is over. The connection then waits on a semaphore of as many permits as the
# server allows streams, and that wait has no limit. The page on HTTP/2, which
# recommends it for highly concurrent requests, does not say so. max_connections has no part in it: no second connection is
# opened. Two answers that stream for an hour block each further request for an hour, with any timeout. Only a limit from
# outside helps, such as anyio.fail_after().
#
# Seen on Python 3.11: 20 requests of 0.4 s, timeout=1.0, a server of 2 streams or a pool of 2 connections (exits 1 if it
# changes):
#   HTTP/1.1: 4 to 6 answers, 14 to 16 PoolTimeout, the slowest after 1.2 s
#   HTTP/2: 20 answers, no timeout, the slowest after 4 s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q "httpx2[http2]==2.16.2" httpcore2==2.16.2 hypercorn==0.18.0 trustme==1.2.1
cat > look.py <<'PY'
import asyncio
import collections
import socket
import ssl
import time

import httpx2
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await asyncio.sleep(0.4)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

async def requests(url, context, http2):
    """Return what 20 requests at once came to, and the time of the slowest."""
    limits = httpx2.Limits(max_connections=20 if http2 else 2)
    async with httpx2.AsyncClient(http2=http2, verify=context, timeout=1.0, limits=limits) as client:
        assert (await client.get(url)).http_version == ("HTTP/2" if http2 else "HTTP/1.1")

        async def one():
            began = time.perf_counter()
            try:
                said = (await client.get(url)).http_version
            except httpx2.TimeoutException as error:
                said = type(error).__name__
            return said, time.perf_counter() - began

        ends = await asyncio.gather(*[one() for _ in range(20)])
    return collections.Counter(said for said, _ in ends), max(taken for _, taken in ends)

async def main():
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path("server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = Config.from_mapping(
        bind=f"127.0.0.1:{port}", certfile="server.pem", keyfile="server.pem", h2_max_concurrent_streams=2, loglevel="error"
    )
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    await asyncio.sleep(1)
    url = f"https://localhost:{port}/"
    (old, old_slowest), (new, new_slowest) = [await requests(url, context, http2) for http2 in (False, True)]
    stop.set()
    await server
    print(f"HTTP/1.1: {dict(old)}, the slowest after {old_slowest:.1f} s")
    print(f"HTTP/2: {dict(new)}, the slowest after {new_slowest:.1f} s")
    assert old["PoolTimeout"] >= 12 and old_slowest < 2, (old, old_slowest)
    assert new == {"HTTP/2": 20} and new_slowest > 3.5, (new, new_slowest)

asyncio.run(main())
PY
venv/bin/python look.py
