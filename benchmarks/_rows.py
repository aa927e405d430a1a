"""The rows that ``cpu_work.py`` has parsed, and the parsers. The worker processes of all rivals import this module."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice
from random import Random
from statistics import fmean, stdev
from typing import Any

READINGS = 720
DISTINCT = 1000


def rows(n: int) -> Iterator[str]:
    """Return n JSON rows of a station: its readings of a day, as texts, one each two minutes."""
    draw = Random(7)  # noqa: S311  no secrets
    start = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    made = [
        json.dumps(
            {
                "station": f"S{number:05}",
                "from": (start + timedelta(days=number % 365)).isoformat(),
                "readings": [f"{draw.gauss(12, 6):.3f}" for _ in range(READINGS)],
            }
        )
        for number in range(DISTINCT)
    ]
    return islice(cycle(made), n)


def parse(row: str) -> dict[str, Any]:
    """Return the day of a station: its readings are checked and rounded, and summed up."""
    record = json.loads(row)
    start = datetime.fromisoformat(record["from"])
    values = [Decimal(text).quantize(Decimal("0.01")) for text in record["readings"]]
    most = max(range(len(values)), key=values.__getitem__)
    floats = [float(value) for value in values]
    return {
        "station": record["station"],
        "day": start.date().isoformat(),
        "mean": round(fmean(floats), 3),
        "deviation": round(stdev(values), 3),
        "least": min(floats),
        "most": floats[most],
        "most_at": (start + timedelta(minutes=2 * most)).isoformat(),
    }


def parse_short(row: str) -> int:
    """Return something about a row in some microseconds."""
    return len(row)
