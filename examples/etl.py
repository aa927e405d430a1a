"""
Each night: the orders of the day, from a CSV file into a database, in three stages that a restart does not lose.

``python examples/etl.py [FOLDER]`` makes up a file of 20,000 orders and loads it now. ``python examples/etl.py FOLDER
nightly`` runs for ever, and each night at 02:30 loads ``orders-YYYY-MM-DD.csv`` of the folder.

The first stage parses batches of lines in processes. The second writes all of them to the database, in one
transaction. The third makes the report. If a stage fails, the stages after it are skipped, and say why. The journal
``etl.db`` keeps the schedule and each batch. So after a kill the same command parses only what is not parsed, and a
night in which the process was down is made up for at the next start.
"""

import csv
import hashlib
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from math import inf
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio.from_thread
from make_orders import make_up

from lionpride_exec import Event, Executor, Journal, Retain, Retry, current_executor

BATCH = 500  # lines
ZONE = ZoneInfo("Europe/Berlin")  # of the nights, and of the days in the names of the files


class Parse(Event[tuple[list[tuple[int, str, str, int]], int]], tag="etl.parse", run_in="process"):
    """The orders in some lines of a file, and the number of lines that are none. Runs in a process."""

    path: str
    first: int

    def _invoke(self):
        orders, bad = [], 0
        with Path(self.path).open(encoding="utf-8") as file:
            for line in islice(file, self.first, self.first + BATCH):
                try:
                    number, day, customer, price, pieces = next(csv.reader([line]))
                    name = hashlib.pbkdf2_hmac("sha256", customer.encode(), b"salt", 100).hex()[:16]  # takes its time
                    cents = int(Decimal(price) * 100) * int(pieces)
                    orders.append((int(number), date.fromisoformat(day).isoformat(), name, cents))
                except (ValueError, ArithmeticError):
                    bad += 1
        if bad > BATCH / 10:
            raise ValueError(f"{bad} of the lines from {self.first} on are no orders")
        return orders, bad


class Load(Event[int], tag="etl.load"):
    """Write what was parsed. The result is the number of bad lines."""

    folder: str

    async def _invoke(self):
        batches = await self.after_results()
        await anyio.to_thread.run_sync(self.insert, [order for orders, _ in batches for order in orders])
        return sum(bad for _, bad in batches)

    def insert(self, orders):
        """Write orders in one transaction. An order that is there already is replaced."""
        with closing(sqlite3.connect(f"{self.folder}/orders.db")) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS orders (id PRIMARY KEY, day, customer, cents)")
            connection.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", orders)


class Report(Event[str], tag="etl.report", run_in="thread"):
    """Say what the database has. The result is the text."""

    folder: str

    def _invoke(self):
        (bad,) = anyio.from_thread.run(self.after_results)
        with closing(sqlite3.connect(f"{self.folder}/orders.db")) as connection:
            count, cents = connection.execute("SELECT count(*), sum(cents) FROM orders").fetchone()
        return f"{count:,} orders, {cents / 100:,.2f} in all; {bad} lines are no orders"


class Night(Event[int], tag="etl.night"):
    """Append the stages of a day. The result is the number of batches."""

    folder: str
    day: str

    async def _invoke(self):
        path, executor = f"{self.folder}/orders-{self.day}.csv", current_executor()
        with open(path, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  small and local
            batches = [Parse(path=path, first=first) for first in range(0, sum(1 for _ in file), BATCH)]
        parsed = await executor.extend(batches, key=lambda batch: f"parse {self.day} {batch.first}")
        loaded = await executor.append(Load(folder=self.folder), after=parsed, key=f"load {self.day}")
        await executor.append(Report(folder=self.folder), after=loaded, key=f"report {self.day}")
        return len(batches)


def tell(event, _, status):
    """Print the end of each stage, of a batch only if it has failed."""
    if status.is_terminal and (status != "completed" or not isinstance(event, Parse)):
        print(type(event).__name__, status.value, event.execution.error or event.execution.response)


async def main(folder, nights=0):
    """Load the orders of today. Or run for some nights, and load in each those of its day."""

    def night(due):
        return Night(folder=str(folder), day=f"{due.astimezone(ZONE):%Y-%m-%d}")

    journal = Journal(f"{folder}/etl.db", retain=Retain(age=30 * 86_400))
    executor = Executor.of(Event, journal=journal, retry=Retry(3, backoff=60, on=OSError))
    executor.observe(tell)
    async with executor:
        if nights:
            executor.schedule(night, cron="30 2 * * *", time_zone=ZONE, name="nightly", overlap="queue")
            await anyio.sleep(nights * 86_400)
        else:
            today = night(datetime.now(UTC))
            await executor.append(today, key=today.day)


if __name__ == "__main__":
    given = sys.argv[1] if sys.argv[1:] else "."
    if not sys.argv[2:]:
        make_up(Path(given, f"orders-{datetime.now(ZONE):%Y-%m-%d}.csv"))
    anyio.run(main, given, inf if sys.argv[2:] else 0)
