"""
What does an event cost, as a picture: microseconds of CPU time for each, against how many there are?

A million no-op events at most, at most 100 at once, beside the rivals that run a task per item and track nothing. A
rival is measured as far as it can stand: one that makes all its tasks at once takes gigabytes for a million of them.
Prints a table and writes an SVG.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import matplotlib as mpl
from _harness import Benchmark, machine, per_event, versions
from _rivals import aiojobs, aiometer, ours, task_group
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PICTURE = Path(__file__).with_name("cost_per_event.svg")
NUMBERS = (100, 1_000, 10_000, 100_000, 1_000_000)
EVENTS_IN_A_CELL = 20_000  # of small numbers so many in each round
INK = "#7f7f7f"  # of text and axes: to be read on white and on black
TASKS_AT_MOST = 100_000  # of a rival whose tasks are all there at once

Figures = dict[str, dict[int, float]]


@attrs.frozen
class Rival:
    """
    A way to run n no-op operations.

    Attributes:
        run: Does it.
        colour: Of its line.
        marker: On its line.
        module: Which has to be installed; empty: none.
        most: The largest n that it is measured with.
        backends: Those it runs on.
    """

    run: Callable[[int], Awaitable[object]]
    colour: str
    marker: str
    module: str = ""
    most: int = NUMBERS[-1]
    backends: tuple[str, ...] = ("asyncio", "trio", "asyncio+uvloop")


RIVALS: Mapping[str, Rival] = {
    "lionpride_exec": Rival(ours, "#d95f02", "o"),
    "task group + CapacityLimiter": Rival(task_group, "#3b8bd0", "s", most=TASKS_AT_MOST),
    "aiometer": Rival(aiometer, "#1b9e77", "^", module="aiometer"),
    "aiojobs": Rival(
        aiojobs, "#9c6fd6", "D", module="aiojobs", most=TASKS_AT_MOST, backends=("asyncio", "asyncio+uvloop")
    ),
}


def measure(benchmark: Benchmark, backend: str, most: int) -> Figures:
    """Measure all rivals at all numbers, in turn, and return the medians."""
    rivals = {
        name: rival
        for name, rival in RIVALS.items()
        if backend in rival.backends and (not rival.module or find_spec(rival.module))
    }
    found: Figures = {name: {} for name in rivals}
    for n in (number for number in NUMBERS if number <= most):
        runs = {
            name: per_event(backend, rival.run, n, repeats=max(1, EVENTS_IN_A_CELL // n))
            for name, rival in rivals.items()
            if n <= rival.most
        }
        seen: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(benchmark.options.rounds or (3 if n > TASKS_AT_MOST or benchmark.quick else 7)):
            for name in list(runs)[:: -1 if number % 2 else 1]:
                seen[name].append(runs[name]())
        for name, figures in seen.items():
            found[name][n] = median(figures)
    return found


def print_table(backend: str, figures: Figures) -> None:
    """Print the medians of a backend."""
    numbers = sorted({n for its in figures.values() for n in its})
    width = max(map(len, figures))
    print(f"\n{backend}: microseconds of CPU time for each event, by how many there are")
    print(f"  {'':{width}} {''.join(f'{n:>12,}' for n in numbers)}")
    for name, its in figures.items():
        print(f"  {name:{width}} {''.join(f'{its[n]:12.1f}' if n in its else f'{chr(45):>12}' for n in numbers)}")


def draw(figures: Mapping[str, Figures], output: str, where: str) -> None:
    """Write the picture: a panel for each backend, a line for each rival."""
    style: dict[Any, Any] = {"svg.hashsalt": "", "font.family": "sans-serif", "text.color": INK}
    style |= dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.8 * max(2, len(figures)), 4.8), layout="constrained")
        figure.suptitle(f"Cost of a no-op event, from its append to its end\n{where}", fontsize=9)
        panels = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
        for panel, (backend, its) in zip(panels, figures.items(), strict=True):
            draw_panel(panel, backend, its)
        panels[0].set_ylabel("µs of CPU time per event (median)")
        handles = {
            text: line for panel in panels for line, text in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
            fontsize=9,
        )
        figure.savefig(output, transparent=True, metadata={"Date": None} if output.endswith(".svg") else None)


def draw_panel(panel: Axes, backend: str, figures: Figures) -> None:
    """Draw the lines of a backend."""
    for name, its in figures.items():
        rival = RIVALS[name]
        panel.plot(
            list(its), list(its.values()), color=rival.colour, marker=rival.marker, markersize=5,
            linewidth=2.4 if name == "lionpride_exec" else 1.4, label=name,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    numbers = sorted({n for its in figures.values() for n in its})
    panel.set_xticks(numbers, [f"{n:,}" for n in numbers])
    panel.minorticks_off()
    panel.set_xlabel("events")
    panel.set_title(backend, fontsize=10)
    panel.grid(color=INK, alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.patch.set_alpha(0)


def main() -> int:
    """Measure, print and draw."""
    benchmark = Benchmark(
        __doc__,
        ("trio", "aiometer", "aiojobs"),
        options={
            "--output": {"default": str(PICTURE), "help": "the picture; default: %(default)s"},
            "--most": {"type": int, "help": "the largest number of events; default: 1,000,000, with --quick 10,000"},
        },
    )
    most = benchmark.options.most or (10_000 if benchmark.quick else NUMBERS[-1])
    backends = [name for name in benchmark.backends if benchmark.options.backend or name != "asyncio+uvloop"]
    figures: dict[str, Figures] = {}
    for backend in backends:
        figures[backend] = measure(benchmark, backend, most)
        print_table(backend, figures[backend])
    if most > TASKS_AT_MOST:
        limited = " and ".join(name for name, rival in RIVALS.items() if rival.most < most)
        print(f"\n{limited}: stopped at {TASKS_AT_MOST:,}, since all tasks are there at once, which takes gigabytes")
    known = versions("lionpride-exec", "anyio", *(("trio",) if "trio" in backends else ()), "aiometer", "aiojobs")
    draw(figures, benchmark.options.output, f"{machine()}\n{known}; {datetime.now(UTC):%Y-%m-%d}")
    print(f"\n{benchmark.options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
