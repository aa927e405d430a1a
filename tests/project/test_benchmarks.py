"""What the benchmarks make of their figures: medians, spreads, verdicts, the table and the exit status."""

import sys
from functools import partial
from pathlib import Path

import pytest
from leftovers import harness, load, targets

from lionpride_exec.testing import BACKENDS, run

FOLDER = Path(__file__).parents[2] / "benchmarks"
Spread, Row = targets.Spread, targets.Row

rivals, run_all = load("_rivals"), load("run_all")

PROGRAM = """
import json, sys
from pathlib import Path

figures = {figures}
Path(sys.argv[sys.argv.index("--results") + 1]).write_text(json.dumps(figures), "utf-8")
raise SystemExit({status})
"""


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Return a function that makes a benchmark with options."""

    def make(*options):
        monkeypatch.setattr(sys, "argv", ["some.py", "--results", str(tmp_path / "results.json"), *options])
        return harness.Benchmark("A question?")

    return make


@pytest.mark.parametrize(
    ("values", "middle"),
    [([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5), ([7.0], 7.0)],
    ids=["odd", "even", "one"],
)
def test_a_spread_is_the_median_and_the_extremes(values, middle):
    """A spread has the median of its values, the smallest, the largest and their number."""
    assert Spread.of(values) == Spread(middle, min(values), max(values), len(values))


def test_a_ratio_is_made_in_each_round():
    """The ratio of a race is the median of the ratios of the rounds, not the ratio of the medians."""
    race = harness.Race({"ours": [1.0, 20.0, 6.0], "theirs": [1.0, 10.0, 2.0]}, "theirs")
    assert race.ratio("ours") == Spread(2.0, 1.0, 3.0, 3)
    assert race.ratio("theirs", "ours") == Spread(0.5, 1 / 3, 1.0, 3)


def test_every_other_round_goes_backwards(benchmark):
    """A race measures each rival once in a round, and changes the direction each time."""
    order = []

    def measured(name):
        order.append(name)
        return 1.0

    rivals_ = {name: partial(measured, name) for name in "abc"}
    benchmark().race("title", rivals_, rounds=3, baseline="a")
    assert "".join(order) == "abccbaabc"


def test_the_command_line_decides_on_the_rounds(benchmark):
    """``--rounds`` goes before the usual number of rounds."""
    race = benchmark("--rounds", "2").race("title", {"a": lambda: 1.0}, rounds=7, baseline="a")
    assert race.of("a").rounds == 2


ROW = Row("some", "something", "program", 1.0, 0.8, backends=("asyncio", "trio"))
RATE = Row("rate", "how fast", "program", 100.0, 200.0, "/s", at_least=True, backends=("",))


@pytest.mark.parametrize(
    ("row", "values", "verdict"),
    [
        (ROW, {"asyncio": 0.7, "trio": 0.8}, "aim"),
        (ROW, {"asyncio": 0.7, "trio": 1.0}, "holds"),
        (ROW, {"asyncio": 0.7, "trio": 1.01}, "MISSES trio"),
        (ROW, {"asyncio": 2.0, "trio": 1.01}, "MISSES asyncio, trio"),
        (ROW, {"asyncio": 0.7, "trio": 0.7, "asyncio+uvloop": 9.0}, "aim"),
        (ROW, {"asyncio": 0.7}, "not measured"),
        (ROW, {"asyncio": 1.7}, "MISSES asyncio"),
        (ROW, {}, "not measured"),
        (RATE, {"": 250.0}, "aim"),
        (RATE, {"": 100.0}, "holds"),
        (RATE, {"": 99.0}, "MISSES"),
    ],
)
def test_the_verdict_on_a_row(row, values, verdict):
    """A row misses where one counted figure misses its target, and reaches its aim only with all of them."""
    assert row.verdict({name: Spread.of([value]) for name, value in values.items()}) == verdict


def test_a_row_has_no_aim_beyond_its_target():
    """A row without an aim holds, and says no more."""
    assert Row("some", "something", "program", 1.0, backends=("",)).verdict({"": Spread.of([0.1])}) == "holds"


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["calls"], ["calls"]),
        (["limits"], ["limits", "limits-keys"]),
        (["limits-keys"], ["limits-keys"]),
        (["map", "flat"], ["map-1k", "map-20k", "map-200k", "flat"]),
        ([], list(targets.ROWS)),
    ],
    ids=["one", "a beginning", "an end", "several", "all"],
)
def test_which_rows_are_meant(only, names):
    """``--only`` means a row, or all rows that begin with the name up to a dash; without it all rows are meant."""
    assert [row.name for row in targets.chosen(only)] == names


def test_an_unknown_row_is_refused(benchmark, capsys):
    """``--only`` with a name that no row has ends the program, and names the rows."""
    with pytest.raises(SystemExit):
        benchmark("--only", "nothing")
    assert "there is no row nothing; the rows are life-1k, " in capsys.readouterr().err


def test_a_benchmark_measures_what_is_asked_for(benchmark):
    """With ``--only`` a benchmark wants the rows that are meant, and nothing without a row."""
    some = benchmark("--only", "limits")
    assert some.wants("limits-keys")
    assert not some.wants("flat")
    assert not some.wants()
    assert benchmark().wants()


@pytest.mark.parametrize(
    ("value", "backend", "status"),
    [(54.0, "asyncio", 0), (56.0, "asyncio", 1), (56.0, "elsewhere", 0)],
    ids=["holds", "misses", "does not count"],
)
def test_the_exit_status_of_a_benchmark(benchmark, value, backend, status):
    """A row that misses its target on a backend that counts makes the exit status 1."""
    some = benchmark()
    some.judge("calls", Spread.of([value]), backend)
    assert some.end() == status


def test_a_target_outside_the_table_counts(benchmark):
    """A target that has no row makes the exit status 1 too, unless it does not count."""
    some = benchmark()
    some.target("something", 2.0, 1.0, counts=False)
    assert some.end() == 0
    some.target("something", 2.0, 1.0)
    assert some.end() == 1


def test_results_are_read_as_they_were_written(benchmark, tmp_path):
    """The figures that a benchmark writes come back with their spread, by row and backend."""
    some = benchmark()
    some.judge("calls", Spread(50.0, 49.0, 51.0, 3), "trio")
    some.end()
    assert targets.load(tmp_path / "results.json") == {"calls": {"trio": Spread(50.0, 49.0, 51.0, 3)}}


def figures(values):
    """Return results as a program writes them."""
    one = {"least": 1.0, "most": 99.0, "rounds": 3}
    return {row: {backend: one | {"middle": value} for backend, value in its.items()} for row, its in values.items()}


@pytest.mark.parametrize(
    ("values", "status", "expected"),
    [
        ({"asyncio": 50.0, "asyncio+uvloop": 50.0, "trio": 50.0}, 0, 0),
        ({"asyncio": 50.0, "asyncio+uvloop": 50.0, "trio": 60.0}, 0, 1),
        ({"asyncio": 50.0, "asyncio+uvloop": 50.0, "trio": 50.0}, 1, 1),
        ({"asyncio": 50.0, "trio": 50.0}, 0, 1),
    ],
    ids=["holds", "misses", "the program fails", "not all measured"],
)
def test_the_exit_status_of_all(tmp_path, values, status, expected):
    """All is well only if each row was measured and holds, and each program says so too."""
    program = PROGRAM.format(figures=repr(figures({"calls": values})), status=status)
    (tmp_path / "calls.py").write_text(program, "utf-8")
    assert run_all.main(["--only", "calls"], tmp_path) == expected


def test_a_look_counts_what_it_has_measured(tmp_path):
    """With ``--quick`` a row that is not measured does not count, and one that misses does."""
    for name in {row.program for row in targets.ROWS.values()}:
        (tmp_path / f"{name}.py").write_text(PROGRAM.format(figures="{}", status=0), "utf-8")
    assert run_all.main(["--quick"], tmp_path) == 0
    assert run_all.main([], tmp_path) == 1


def test_all_programs_run_without_only():
    """Each row has a program that exists; without ``--only`` all programs run, each once, but those by name only."""
    paths = run_all.programs([])
    assert {row.program for row in targets.ROWS.values()} <= {path.stem for path in paths}
    expected = [path for path in FOLDER.glob("[!_]*.py") if path.stem not in run_all.BY_NAME]
    assert sorted(paths) == sorted(expected)


def test_a_row_that_is_not_asked_for_does_not_count(benchmark):
    """Its program may measure it in passing; the verdict is that of the rows that ``--only`` names."""
    some = benchmark("--only", "disk")
    some.judge("lines-cpu", Spread.of([1e9]))
    some.judge("disk", Spread.of([1.0]))
    assert some.holds
    some.judge("disk", Spread.of([1e9]))
    assert not some.holds


def test_a_program_says_what_it_needs(monkeypatch, capsys):
    """Instead of a traceback of an import."""
    monkeypatch.setattr(sys, "argv", ["some.py"])
    with pytest.raises(SystemExit) as caught:
        harness.Benchmark("A question?", needs=("no_such_module", "sys"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "some.py needs no_such_module: pip install -e '.[bench]'\n"


def test_the_table_has_a_line_for_each_row():
    """The table says of each row what was measured where, the target, the aim and the verdict."""
    head, _, line, rate = targets.table([ROW, RATE], {"some": {"trio": Spread(2.0, 1.0, 3.0, 3)}, "rate": {}})
    assert [cell.strip() for cell in head.split("|")] == [
        "row", "what", "asyncio", "asyncio+uvloop", "trio", "target", "aim", "verdict",
    ]  # fmt: skip
    assert [cell.strip() for cell in line.split("|")] == [
        "some", "something", "", "", "2.00 (1.00 .. 3.00)", "<= 1.00", "<= 0.80", "MISSES trio",
    ]  # fmt: skip
    assert [cell.strip() for cell in rate.split("|")][-3:] == [">= 100", ">= 200", "not measured"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["ours", "extended", "mapped"])
def test_what_is_measured_is_really_done(backend, name):
    """The measured functions of ours run all of their events, and see all of the results."""
    run(getattr(rivals, name), 50, backend=backend)
