#!/usr/bin/env bash
# apsw 3.54.1.0, async: a time limit around one write of a transaction undoes all of the transaction, while what follows in
# the same block is committed on its own.
#
# APSW cancels a call of a cancelled task by its progress handler. SQLite then does what its reference says under
# sqlite3_interrupt(): an interrupted write inside of a transaction rolls the whole transaction back, not only the statement
# as a constraint does, and as the cancellation of a read does. The connection is in autocommit mode from then on. The pages of
# APSW on async say only that timeouts are honoured. So with move_on_after() around the second of three writes:
#   the first is gone, the third is in the file at once;
#   only the end of "async with connection" raises, "cannot commit - no transaction is active". It is too late by then.
# A journal whose writes have time limits needs to cancel the whole transaction, or to ask in_transaction after each.
# With aiosqlite the cancelled write runs on in its thread, and is committed with the rest.
#
# Seen on Python 3.11, on asyncio and trio, 3 writes with the second one failed, cancelled or a read (exits 1 if it changes):
#   a constraint: [1, 3]; a cancelled read: [1, 3]; a cancelled write: [3] and SQLError at the end of the block
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q apsw==3.54.1.0 anyio==4.16.0 trio==0.35.0
cat > look.py <<'PY'
import anyio
import apsw
import apsw.aio

NUMBERS = "WITH RECURSIVE numbers(x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM numbers) SELECT x FROM numbers"  # no end
SECOND = {
    "a constraint": "INSERT INTO rows VALUES (1)",
    "a cancelled read": f"SELECT count(*) FROM ({NUMBERS})",
    "a cancelled write": f"INSERT INTO rows {NUMBERS}",
}

async def look(second, path):
    """Return the rows that another connection sees before the end of the block and after it, and what the block raised."""
    connection = await apsw.Connection.as_async(path)
    await connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY)")

    def read():
        return [number for (number,) in apsw.Connection(path).execute("SELECT number FROM rows")]

    raised = None
    try:
        async with connection:
            await connection.execute("INSERT INTO rows VALUES (1)")
            try:
                with anyio.move_on_after(0.3):
                    async for _ in await connection.execute(second):
                        pass
            except (apsw.ConstraintError, TimeoutError):  # APSW may notice the deadline before AnyIO: then it raises
                pass
            await connection.execute("INSERT INTO rows VALUES (3)")
            within = read()
    except apsw.SQLError as error:
        raised = str(error)
    await connection.aclose()
    return within, read(), raised

async def main(backend):
    seen = {name: await look(second, f"{backend}-{name}") for name, second in SECOND.items()}
    for name, said in seen.items():
        print(f"{name}: {said}")
    assert seen["a constraint"] == seen["a cancelled read"] == ([], [1, 3], None), seen
    assert seen["a cancelled write"] == ([3], [3], "cannot commit - no transaction is active"), seen

for backend in ("asyncio", "trio"):
    print(backend)
    anyio.run(main, backend, backend=backend)
PY
venv/bin/python look.py
