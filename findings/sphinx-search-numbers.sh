#!/usr/bin/env bash
# Sphinx 9.0.4: the search of a site knows no number. A word that is all digits is left out of the index, and out of what
# the reader types.
#
# A page about the answer 429 is found by "t429", a ticket that it names, and not by "429". A query of a number alone
# finds nothing. In a query of several words the number is dropped, so "HTTP 429" finds each page that has "HTTP".
# Nothing tells the author or the reader. There is no setting for it: word_filter() of the language and the script of the
# search page (searchtools.js) each have the rule.
#
# Output seen:
#   in the index: refus True, t429 True, 429 False, 503 False, 2026 False
#   searchtools.js drops a number that the reader types: True
#
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sphinx==9.0.4 2>/dev/null
mkdir "$folder/docs"
echo 'project = "Codes"' >"$folder/docs/conf.py"
cat >"$folder/docs/index.rst" <<'RST'
Codes
=====

.. toctree::

   refusals
   dates
RST
cat >"$folder/docs/refusals.rst" <<'RST'
Refusals
========

A client that is refused gets the answer 429, or 503. Ticket T429 has more.
RST
cat >"$folder/docs/dates.rst" <<'RST'
Dates
=====

Written in 2026.
RST
"$folder/venv/bin/python" -m sphinx -n -W -q -b html "$folder/docs" "$folder/site"
"$folder/venv/bin/python" - "$folder/site/searchindex.js" <<'PY' | tee "$folder/seen"
import json
import sys
from pathlib import Path

index = json.loads(open(sys.argv[1]).read().removeprefix("Search.setIndex(").removesuffix(")"))
words = ("refus", "t429", "429", "503", "2026")
print("in the index:", ", ".join(f"{word} {word in index['terms']}" for word in words))
script = Path(sys.argv[1]).with_name("_static").joinpath("searchtools.js").read_text("utf-8")
print("searchtools.js drops a number that the reader types:", r"queryTerm.match(/^\d+$/)) return" in script)
PY
diff "$folder/seen" - <<'SEEN'
in the index: refus True, t429 True, 429 False, 503 False, 2026 False
searchtools.js drops a number that the reader types: True
SEEN
