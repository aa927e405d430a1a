#!/usr/bin/env bash
# coverage 7.17.5 with AnyIO 4.16.0: what to_process.run_sync() runs counts as not run, with every setting of coverage for
# other processes.
#
# coverage measures a worker when it starts ("patch = subprocess"), and saves the data when it ends: at its exit, or at
# SIGTERM ("sigterm = true"). AnyIO ends its workers by SIGKILL when the loop has finished, and after 5 minutes without work.
# So neither happens, and the data of each worker is lost without a warning. The docs of AnyIO say that workers end
# then, and speak of killing only for cancelled calls. With concurrent.futures.ProcessPoolExecutor, whose workers end by
# themselves, the same configuration counts each line. A project that asks for full coverage sees tested functions in red. A
# function that calls coverage.Coverage.current().save() at its end has its lines counted.
#
# Seen on Python 3.11 (exits 1 if it changes):
#   pool: work.py 100 %; asyncio and trio: 25 %, the body of the function is missing; saved by the function: 100 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q coverage==7.17.5 anyio==4.16.0 trio==0.35.0
cat > .coveragerc <<'RC'
[run]
patch = subprocess
parallel = true
sigterm = true
concurrency = multiprocessing, thread
RC
cat > work.py <<'PY'
def double(number):
    result = number
    result += number
    return result
PY
cat > saving.py <<'PY'
import coverage

import work

def double(number):
    result = work.double(number)
    coverage.Coverage.current().save()
    return result
PY
cat > main.py <<'PY'
import concurrent.futures
import sys

import anyio
from anyio import to_process

import saving
import work

async def main(function):
    return await to_process.run_sync(function, 21)

if __name__ == "__main__":
    how = sys.argv[1]
    if how == "pool":
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            result = pool.submit(work.double, 21).result()
    elif how == "saved":
        result = anyio.run(main, saving.double)
    else:
        result = anyio.run(main, work.double, backend=how)
    assert result == 42, result
PY
for how in pool asyncio trio saved; do
    rm -f .coverage .coverage.*
    venv/bin/coverage run main.py "$how" 2>warnings
    grep -i coverage warnings && exit 1
    venv/bin/coverage combine -q
    lines=$(venv/bin/coverage report -m --include=work.py | awk '$1 == "work.py" {print $4, $5}')
    echo "$how:" $lines
done | tee seen
diff seen - <<'SEEN'
pool: 100%
asyncio: 25% 2-4
trio: 25% 2-4
saved: 100%
SEEN
