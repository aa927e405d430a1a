"""
The targets: each row of the table that ``run_all.py`` prints, and what the row needs to hold.

A row has one figure for each backend that counts for the row. Most figures are ratios between two things that were
measured side by side. ``README.md`` says what each figure means.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

BOTH: Final = ("asyncio", "trio")
ALL: Final = ("asyncio", "asyncio+uvloop", "trio")
NO_LOOP: Final = ("",)  # measured once: no event loop makes a difference


@dataclass(frozen=True)
class Spread:
    """The median of the rounds of a measurement, with the smallest and the largest value."""

    middle: float
    least: float
    most: float
    rounds: int = 1

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of the values of all rounds."""
        known = sorted(values)
        return cls(median(known), known[0], known[-1], len(known))


@dataclass(frozen=True)
class Row:
    """
    A row of the table.

    Attributes:
        name: For ``--only``.
        what: What the figure is.
        program: The file that measures the row.
        target: What the figure has to reach.
        aim: What the figure should reach. None if there is no more to reach than the target.
        unit: Of the figure.
        at_least: Whether the target is a lower bound.
        backends: The backends whose figures count. Others are shown.
    """

    name: str
    what: str
    program: str
    target: float
    aim: float | None = None
    unit: str = "x"
    at_least: bool = False
    backends: tuple[str, ...] = ALL

    def reaches(self, value: float, bound: float) -> bool:
        """Return whether a value is on the right side of a bound."""
        return value >= bound if self.at_least else value <= bound

    def verdict(self, figures: Mapping[str, Spread]) -> str:
        """Return what to say of the row: ``aim``, ``holds``, ``MISSES`` with where, or ``not measured``."""
        known = {backend: figures[backend].middle for backend in self.backends if backend in figures}
        missed = [backend for backend, value in known.items() if not self.reaches(value, self.target)]
        if missed:
            return f"MISSES {', '.join(filter(None, missed))}".strip()
        if len(known) < len(self.backends):
            return "not measured"
        reached = self.aim is not None and all(self.reaches(value, self.aim) for value in known.values())
        return "aim" if reached else "holds"

    def bound(self, value: float | None) -> str:
        """Return a bound as text."""
        return "" if value is None else f"{'>=' if self.at_least else '<='} {number(value)}"


def _three(name: str, what: str, target: float, aim: float) -> list[Row]:
    """Return the same row for 1,000, 20,000 and 200,000 events."""
    return [
        Row(f"{name}-{n // 1000}k", f"{what}, {n:,}", "life_of_an_event", target, aim) for n in (1_000, 20_000, 200_000)
    ]


_ROWS: Final = [
    *_three("life", "life of a no-op event / aiometer run_on_each", 1.0, 0.8),
    *_three("map", "map(), results wanted / aiometer amap", 1.0, 0.8),
    Row("calls", "our own Python calls for an event", "calls", 55, 45, ""),
    Row("short-run", "100 events with start and end / 20,000, per event", "life_of_an_event", 1.3, 1.15),
    Row("latency", "append to start, idle / memory-stream hand-off", "latency", 3.0, 2.5, backends=BOTH),
    Row("flat", "1,000,000 events / 10,000, per event", "flat", 1.10, 1.05, backends=BOTH),
    Row("origin", "life of an event / the origin, 16,000", "against_origin", 1 / 50, 1 / 60, backends=BOTH),
    Row("limits", "Rate + Concurrent + Retry / none", "limits", 1.25, 1.15),
    Row("limits-keys", "the same with 100 keys / none", "limits", 1.4, 1.25),
    Row("cpu-work", "200,000 rows in 2 processes / futures or joblib", "cpu_work", 1.15, 1.1, backends=BOTH),
    Row("lines-cpu", "run --journal / without, CPU per line, 50,000", "run_lines", 2.0, 1.6, backends=NO_LOOP),
    Row("lines-rate", "run --journal, lines a second", "run_lines", 10_000, None, "/s", True, NO_LOOP),
    Row("inputs", "run over CSV, an array or .gz / JSON lines, CPU", "run_inputs", 1 / 0.7, 1.25, backends=NO_LOOP),
    Row("inputs-memory", "run over CSV, peak memory, 1,000,000 / 100,000", "run_inputs", 1.1, 1.05, backends=NO_LOOP),
    Row("callers-rate", "100 callers of invoke(), journal FULL", "journal", 15_000, 20_000, "/s", True, BOTH),
    Row("callers-cpu", "the same, CPU added per event", "journal", 30, None, "us", backends=BOTH),
    Row("submit-rate", "10,000 events submitted to a running journal", "submit", 5_000, None, "/s", True, BOTH),
    Row("disk", "run --journal, bytes on disk per line of 90 bytes", "run_lines", 450, 350, "B", backends=NO_LOOP),
    Row("memory-pending", "memory of a pending event, two fields", "memory", 560, 480, "B", backends=BOTH),
    Row("memory-completed", "memory of a completed event, two fields", "memory", 680, 600, "B", backends=BOTH),
    Row("import", "import lionpride_exec / anyio, attrs, asyncio", "start_up", 1.6, 1.3, backends=NO_LOOP),
    Row("command", "lionpride-exec run over one line / python -c pass", "start_up", 8, 5, backends=NO_LOOP),
    Row("blocked", "longest query of 100,000 pending, a page of them", "blocked", 1, None, "ms"),
    Row("report-cpu", "report of a journal of 1,000,000 events, CPU", "faces", 10, 5, "s", backends=NO_LOOP),
    Row("report-size", "size of the page of 1,000,000 events", "faces", 300, 100, "KiB", backends=NO_LOOP),
    Row("report-memory", "peak memory of the report of 1,000,000 events", "faces", 150, 100, "MiB", backends=NO_LOOP),
    Row("top-cpu", "top beside a run of 500 events/s on trio, of a core", "faces", 5, 4, "%", backends=NO_LOOP),
    Row(
        "dashboard-pages",
        "slowest page of a journal of 1,000,000, but search",
        "faces",
        100,
        None,
        "ms",
        backends=NO_LOOP,
    ),
    Row("dashboard-turn", "longest turn by a page, 1,000,000 pending", "faces", 5, None, "ms"),
    Row("dashboard-watched", "CPU of a writer, 3 streams watch / nobody", "faces", 1.05, None, backends=BOTH),
    Row("lag", "lag by short events at p99, 100 slots", "lag", 2, None, "ms"),
    Row("suite", "the test suite on 2 cores", "suite", 2.5, 2, "min", backends=NO_LOOP),
]

ROWS: Final[Mapping[str, Row]] = {row.name: row for row in _ROWS}

Results = dict[str, dict[str, Spread]]  # of each row: by backend


def chosen(only: Collection[str], rows: Mapping[str, Row] = ROWS) -> list[Row]:
    """
    Return the rows with these names. A name also stands for all rows that go on after it with ``-``. Empty: all rows.

    Raises:
        ValueError: There is no such row.
    """
    for name in only:
        if not any(is_meant(row, [name]) for row in rows):
            raise ValueError(f"there is no row {name}; the rows are {', '.join(rows)}")
    return [row for row in rows.values() if not only or is_meant(row.name, only)]


def is_meant(row: str, only: Collection[str]) -> bool:
    """Return whether ``--only`` means a row: by its name, or by the beginning of the name up to a ``-``."""
    return any(row == name or row.startswith(f"{name}-") for name in only)


def number(value: float) -> str:
    """Return a figure with about three digits that count."""
    for bound, digits in ((100, 0), (10, 1), (0.1, 2)):
        if abs(value) >= bound:
            return f"{value:,.{digits}f}"
    return f"{value:.4f}" if value else "0"


def save(path: Path, results: Results) -> None:
    """Write results to a file, for ``run_all.py``."""
    data = {row: {name: asdict(one) for name, one in figures.items()} for row, figures in results.items()}
    path.write_text(json.dumps(data), "utf-8")


def load(path: Path) -> Results:
    """Read results from a file. Empty if there is no file: its program ended too early."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text("utf-8"))
    return {row: {name: Spread(**one) for name, one in figures.items()} for row, figures in data.items()}


def table(rows: Sequence[Row], results: Results) -> list[str]:
    """Return the lines of the table: a row for each target, a column for each backend."""
    lines: list[tuple[str, ...]] = [("row", "what", *ALL, "target", "aim", "verdict")]
    for row in rows:
        figures = results.get(row.name, {})
        cells = [_cell(figures.get(name, figures.get("") if name == ALL[0] else None), row.unit) for name in ALL]
        lines.append((row.name, row.what, *cells, row.bound(row.target), row.bound(row.aim), row.verdict(figures)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = tuple("-" * width for width in widths)
    return [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines[0], rule, *lines[1:])
    ]


def _cell(figure: Spread | None, unit: str) -> str:
    if figure is None:
        return ""
    unit = "" if unit == "x" else f" {unit}"
    if figure.least == figure.most:
        return f"{number(figure.middle)}{unit}"
    return f"{number(figure.middle)}{unit} ({number(figure.least)} .. {number(figure.most)})"


def holds(rows: Sequence[Row], results: Results) -> bool:
    """Return whether all rows were measured and reach their targets."""
    return all(row.verdict(results.get(row.name, {})) in {"holds", "aim"} for row in rows)
