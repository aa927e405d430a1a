"""
Orders in two steps: charge, then send the invoice. Neither is lost, and no order is charged twice.

``python examples/orders.py orders.db 100`` takes in 100 orders and goes on until all are done. After a kill, the same
command goes on with what is left. ``docs/orders.md`` says why each line is there.
"""

import sqlite3
import sys
from contextlib import closing

import anyio

from lionpride_exec import Event, EventStatus, Executor, Journal, Retry, current_executor


def pay(path, idempotency_key, amount):
    """Stand for an API that takes money: it knows the key of a payment, and takes no money for the key again."""
    with closing(sqlite3.connect(path, timeout=60)) as bank, bank:
        bank.execute("CREATE TABLE IF NOT EXISTS payment (key PRIMARY KEY, amount)")
        bank.execute("CREATE TABLE IF NOT EXISTS request (key)")
        bank.execute("INSERT INTO request VALUES (?)", (idempotency_key,))
        bank.execute("INSERT OR IGNORE INTO payment VALUES (?, ?)", (idempotency_key, amount))


class Invoice(Event[str], tag="examples.invoice"):
    """The second step."""

    order: str

    async def _invoke(self):
        await anyio.sleep(0.01)  # stands for the mail. It may be sent twice
        return f"invoice for {self.order}"


class Charge(Event[str], tag="examples.charge"):
    """The first step. It appends the second one before it does anything else."""

    order: str
    amount: int
    bank: str

    async def _invoke(self):
        executor, key = current_executor(), f"invoice {self.order}"
        invoice = await executor.append(Invoice(order=self.order), after=self, key=key)
        if invoice.status is EventStatus.SKIPPED:  # an earlier run of this charge was given up
            await executor.retry(key=key)
        await anyio.to_thread.run_sync(pay, self.bank, str(self.id), self.amount)
        return f"charged {self.amount}"


def make_executor(path):
    """Return the executor of the orders. The calls of a run that a kill cuts off are made again, with the same id."""
    return Executor.of(Event, journal=Journal(path, ack="strict"), retry=Retry(3, on=OSError), concurrency_limit=8)


async def main(path, number):
    """Take in orders, each once, and return when all are done."""
    async with make_executor(path) as executor:
        for order in map(str, range(number)):
            charge = Charge(order=order, amount=7, bank=f"{path}.bank")
            await executor.append(charge, key=f"charge {order}", wait=True)
    print(executor.status_counts()["completed"])


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))
