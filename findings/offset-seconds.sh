#!/usr/bin/env bash
# msgspec 0.22.0, orjson 3.11.4 and pydantic 2.12.4 change the moment of a datetime whose offset has seconds.
#
# Zones had such offsets before standard time: Europe/Berlin until April 1893 was UTC+00:53:28. isoformat() of the standard
# library writes +00:53:28 and reads it back. These three write +00:53 without an error and leave the local time as it
# is, so what is read back is 28 seconds later. A round trip is not the identity, and nothing tells so.
#
# Output seen:
#   isoformat 1890-01-01T00:00:00+00:53:28 differs by 0:00:00
#   msgspec 1890-01-01T00:00:00+00:53 differs by 0:00:28
#   orjson 1890-01-01T00:00:00+00:53 differs by 0:00:28
#   pydantic 1890-01-01T00:00:00+00:53 differs by 0:00:28
#
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q msgspec==0.22.0 orjson==3.11.4 pydantic==2.12.4 tzdata 2>/dev/null
cat >"$folder/moment.py" <<'PY'
import datetime as dt, json, zoneinfo
import msgspec, orjson, pydantic

moment = dt.datetime(1890, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
texts = {
    "isoformat": moment.isoformat(),
    "msgspec": json.loads(msgspec.json.encode(moment)),
    "orjson": json.loads(orjson.dumps(moment)),
    "pydantic": json.loads(pydantic.TypeAdapter(dt.datetime).dump_json(moment)),
}
for name, text in texts.items():
    print(name, text, "differs by", dt.datetime.fromisoformat(text) - moment)
PY
"$folder/venv/bin/python" "$folder/moment.py" | tee "$folder/seen"
grep -q '^isoformat .* differs by 0:00:00$' "$folder/seen"
[ "$(grep -c '+00:53 differs by 0:00:28$' "$folder/seen")" -eq 3 ]
