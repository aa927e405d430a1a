#!/usr/bin/env bash
# uvicorn 0.54.0: "--fd" with a TCP socket makes each answer on a connection that stays open some 40 ms slower.
#
# uvicorn takes the socket for a Unix one (socket.fromfd(fd, AF_UNIX, SOCK_STREAM)), and so does each connection that it
# accepts. asyncio sets TCP_NODELAY only on what says that it is TCP. So the body of an answer waits until the client has
# acknowledged the headers, which the system of the client puts off by 40 ms. Socket activation (systemd) and supervisors
# that hand a socket over use "--fd". uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)]) has no such delay.
#
# Seen on Linux with Python 3.11 (exits 1 if it changes), median of 50 requests:
#   --fd: 44.0 ms
#   sockets=: 0.4 ms
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q uvicorn==0.54.0
cat > app.py <<'PY'
async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
PY
cat > look.py <<'PY'
import http.client, socket, statistics, subprocess, sys, time

SOCKETS = """
import socket, sys, uvicorn
config = uvicorn.Config("app:app", lifespan="off", log_level="error")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""

def median(listening, *arguments):
    server = subprocess.Popen([sys.executable, *arguments], pass_fds=[listening.fileno()])
    try:
        client, times = http.client.HTTPConnection(*listening.getsockname()), []
        for _ in range(51):
            began = time.perf_counter()
            client.request("POST", "/", b"x")
            assert client.getresponse().read() == b"ok"
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times[1:])
    finally:
        server.terminate()
        server.wait()

with socket.create_server(("127.0.0.1", 0)) as listening:
    fd = str(listening.fileno())
    options = ["-m", "uvicorn", "app:app", "--lifespan", "off", "--log-level", "error"]
    slow = median(listening, *options, "--fd", fd)
    quick = median(listening, "-c", SOCKETS, fd)
print(f"--fd: {slow:.1f} ms\nsockets=: {quick:.1f} ms")
sys.exit(not slow > 30 > 10 > quick)
PY
venv/bin/python look.py
