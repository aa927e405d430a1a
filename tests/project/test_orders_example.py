"""The example ``orders.py``: a second step that the first one appends, in virtual time, and killed as a process."""

import sqlite3
from contextlib import closing
from functools import partial

import anyio
import pytest
from example_processes import EXAMPLES, kill_when, output_of
from journal_support import crash

from lionpride_exec import Event, Executor, Journal, current_executor

pytest.importorskip("msgspec")

import orders


def payments(path):
    """Return the keys of the payments, and how many requests there were."""
    try:
        with closing(sqlite3.connect(f"file:{path}.bank?mode=ro", uri=True)) as bank:
            keys = [key for (key,) in bank.execute("SELECT key FROM payment")]
            return keys, bank.execute("SELECT count(*) FROM request").fetchone()[0]
    except sqlite3.OperationalError:  # it is not there yet, or is being written
        return [], 0


def has_paid(path, number):
    """Return whether there are so many payments."""
    return len(payments(path)[0]) >= number


def completed(path):
    """Return how many charges and how many invoices are completed in the journal."""
    with closing(sqlite3.connect(path)) as file:
        return [
            file.execute(
                "SELECT count(*) FROM event WHERE status = 'completed' AND instr(event, ?)", (tag,)
            ).fetchone()[0]
            for tag in ("examples.charge", "examples.invoice")
        ]


def test_orders_are_charged_once_and_each_has_an_invoice_after_kills(tmp_path):
    """Whenever the process is killed, the next one goes on. Each order has one payment and one invoice at the end."""
    path, number = tmp_path / "orders.db", 300
    for paid in (1, 60, 150):
        kill_when(partial(has_paid, path, paid), EXAMPLES / "orders.py", path, number)
    out, _ = output_of(EXAMPLES / "orders.py", path, number)
    assert out == f"{2 * number}\n"
    assert completed(path) == [number, number]
    assert len(payments(path)[0]) == number


@pytest.mark.anyio
async def test_the_second_step_is_there_before_the_money_is_taken(tmp_path, monkeypatch):
    """A kill during the payment leaves a charge that runs again and one invoice that waits for it."""
    path = tmp_path / "orders.db"
    seen = []
    monkeypatch.setattr(orders, "pay", lambda *args: seen.append((args, completed(path), count(path))))
    async with orders.make_executor(path) as executor:
        charge = await executor.append(orders.Charge(order="1", amount=7, bank="none"), key="charge 1")
    ((_, key, amount), done, rows), = seen  # fmt: skip
    assert (key, amount, done, rows) == (str(charge.id), 7, [0, 0], 2)
    assert completed(path) == [1, 1]


def count(path):
    """Return how many events are on disk."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT count(*) FROM event").fetchone()[0]


def refuse(*_):
    """Fail as a service for payments does."""
    raise ValueError("no money")


@pytest.mark.anyio
async def test_a_charge_that_fails_has_no_invoice_until_it_is_run_again(tmp_path, monkeypatch):
    """Its invoice is SKIPPED. A charge that is retried by hand puts its invoice back, so there is one."""
    path = tmp_path / "orders.db"
    monkeypatch.setattr(orders, "pay", refuse)
    async with orders.make_executor(path) as executor:
        charge = await executor.append(orders.Charge(order="1", amount=7, bank="none"), key="charge 1")
        await charge.wait()
        await anyio.sleep(1)
        counts = executor.status_counts()
        assert (counts["failed"], counts["skipped"]) == (1, 1)
        monkeypatch.setattr(orders, "pay", lambda *_: None)
        await executor.retry(charge)
    assert (completed(path), count(path)) == ([1, 1], 2)


@pytest.mark.anyio
@pytest.mark.parametrize("when", ["before", "between", "after"])
async def test_an_invoice_that_is_put_back_too_is_sent_once(tmp_path, monkeypatch, when):
    """``retry(status="skipped")`` beside the charge's own, whichever comes first."""
    path = tmp_path / "orders.db"
    monkeypatch.setattr(orders, "pay", refuse)
    async with orders.make_executor(path) as executor:
        charge = await executor.append(orders.Charge(order="1", amount=7, bank="none"), key="charge 1")
        await executor.join()
        monkeypatch.setattr(orders, "pay", lambda *_: None)
        if when == "before":
            await executor.retry(status="skipped")
        else:
            executor.pause()
        again = await executor.retry(charge)
        if when == "between":
            await executor.retry(status="skipped")
        executor.resume()
        await again.wait()
        await executor.join()
        await executor.retry(status="skipped")
    assert (completed(path), count(path)) == ([1, 1], 2)


class HeldCharge(orders.Charge, tag="examples.held_charge", on_crash="hold"):
    """A charge for an API that knows no key of a payment: somebody has to look after a kill."""

    async def _invoke(self):
        invoice = orders.Invoice(order=self.order)  # after release() there is one, which keeps its place
        await current_executor().append(invoice, after=self, key=f"invoice {self.order}")
        await anyio.sleep(10)


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["release", "cancel"])
async def test_a_held_charge_keeps_its_invoice(tmp_path, what):
    """Released, it completes, and its invoice is sent. Cancelled, there is no invoice. Neither needs another start."""
    path = tmp_path / "orders.db"

    def executor_of(file):
        return Executor.of(Event, journal=Journal(file, ack="strict"))

    with anyio.CancelScope() as scope:
        async with executor_of(path) as executor:
            await executor.append(HeldCharge(order="1", amount=7, bank="none"), key="charge 1")
            await anyio.sleep(5)
            path = crash(path, "killed.db")
            scope.cancel()
            await anyio.sleep_forever()
    async with executor_of(path) as executor:
        (held,) = await executor.held_events()
        assert (executor.explain(held).waits_for, executor.journal.left) == (
            "held",
            {"held": 1, "after what is left": 1},
        )
        if what == "release":
            await executor.release(held)
        else:
            assert executor.cancel(held, "nobody has paid")
        await held.wait()
    counts = executor.status_counts()
    assert (counts["completed"], counts["cancelled"], counts["skipped"]) == {
        "release": (2, 0, 0), "cancel": (0, 1, 1),
    }[what]  # fmt: skip


@pytest.mark.anyio
async def test_an_order_is_taken_back_only_before_its_charge_begins(tmp_path, monkeypatch):
    """What was taken back is not paid, and has no invoice. A charge that runs is not taken back."""
    paid = []
    monkeypatch.setattr(orders, "pay", lambda _, key, __: paid.append(key))
    path = tmp_path / "orders.db"
    async with orders.make_executor(path) as executor:
        executor.pause()
        first, second = [
            await executor.append(orders.Charge(order=order, amount=7, bank="none"), key=f"charge {order}")
            for order in ("1", "2")
        ]
        assert executor.cancel(first, unless_begun=True)
        await first.wait()
        executor.resume()
        await second.wait()
        assert not executor.cancel(second, unless_begun=True)
    assert paid == [str(second.id)]
    assert completed(path) == [1, 1]
