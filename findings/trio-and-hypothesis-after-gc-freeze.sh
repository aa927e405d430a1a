#!/usr/bin/env bash
# Hypothesis 6.170.17 warns, after gc.freeze(), that the random generator of trio 0.35.0 could be garbage; it could not.
#
# trio registers its generator when Hypothesis is imported. register_random() asks gc.get_referrers() whether anything
# refers to the generator, and that function does not see frozen objects: the dict of trio's module is one. A program
# that freezes after its imports, as servers do before a fork, and imports Hypothesis later gets the warning. With
# -W error, as in many configurations of pytest, the import fails (in pytest: at the end of the run).
#
# Output seen:
#   freeze, then import: HypothesisWarning
#   import, then freeze: none
#
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q trio==0.35.0 hypothesis==6.170.17 2>/dev/null
cat >"$folder/frozen.py" <<'PY'
import gc
import sys
import warnings

import trio

if sys.argv[1].startswith("freeze"):
    gc.freeze()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import hypothesis
gc.freeze()
print(f"{sys.argv[1]}:", *([warning.category.__name__ for warning in seen] or ["none"]))
PY
for order in "freeze, then import" "import, then freeze"; do
    "$folder/venv/bin/python" "$folder/frozen.py" "$order"
done | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
freeze, then import: HypothesisWarning
import, then freeze: none
SEEN
