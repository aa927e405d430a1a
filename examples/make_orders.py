"""Make up orders: ``python examples/make_orders.py ORDERS.csv [NUMBER]``. Each thousandth has no price."""

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path


def make_up(path: Path, number: int = 20_000) -> None:
    """Write a file of orders: number, day, customer, price, pieces."""
    draw = random.Random(7)  # noqa: S311  no secrets
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for one in range(number):
            price = f"{draw.randrange(100, 10_000) / 100:.2f}" if one % 1000 else "?"
            writer.writerow([one, date(2026, 1, 1) + timedelta(one % 365), draw.choice(["ann", "bo"]), price, one % 9])


if __name__ == "__main__":
    make_up(Path(sys.argv[1]), *map(int, sys.argv[2:]))
