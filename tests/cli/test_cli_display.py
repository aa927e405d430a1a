"""What ``run`` tells of its way: the parts of the line, what fits on a terminal, and which display is taken."""

import re
import sys
from datetime import UTC, datetime

import pytest
from commands import run, virtual_time
from parts import cli_summary

from lionpride_exec import EventStatus, Pause, Progress

Report, Tally, fitted = cli_summary.Report, cli_summary.Tally, cli_summary.fitted


def make_progress(**values):
    """Make what an executor says."""
    given = {"total": 0, "done": 0, "pending": 0, "processing": 0, "by_status": {}, "rate": None, "seconds_left": None}
    return Progress(**given | values)


def make_pause(seconds, reason="429, TooMany: slow down", key=None):
    """Make a pause of a key."""
    return Pause(limit=None, key=key, seconds=seconds, until=datetime.now(UTC), reason=reason, refusals=1)


def make_tally(*pauses, **values):
    """Make a tally of a run of 400 lines, half way through."""
    tally = Tally(fraction=lambda: 0.5, running=lambda: 10, look=lambda _: Report(make_progress(**values), pauses))
    tally.began -= 100
    tally.events = 200
    tally.ended[EventStatus.COMPLETED], tally.ended[EventStatus.FAILED] = 90, 10
    return tally


def test_the_tally_tells_how_far_it_is():
    """Rate, counts per status, and, where the size is known, the time left."""
    seen = []

    def look(to_come):
        seen.append(to_come)
        return Report(make_progress(seconds_left=47.2))

    tally = Tally(fraction=lambda: 0.25, running=lambda: 2, look=look)
    tally.began -= 10
    tally.events, tally.bad = 9, 1
    tally.ended[EventStatus.COMPLETED] = 5
    tally.ended[EventStatus.FAILED] = 1
    told = tally.progress()
    assert told == "7 done  0.7/s  5 completed  1 failed  1 bad line  2 running  1 pending  0:00:10  0:00:47 left"
    assert seen == [30]  # of 40 lines 7 have ended and 3 are in the executor
    assert tally.summary() == "10 lines: 5 completed, 1 failed, 1 bad line, 3 pending; 10.0 s, 0.7/s"


def test_the_time_left_is_unknown_for_a_pipe():
    """Then nothing is said about it."""
    assert "left" not in Tally(look=lambda _: Report(make_progress(seconds_left=3))).progress()


def test_the_time_left_is_that_of_the_executor():
    """Which knows of limits and pauses; where it knows none, none is told."""
    assert "0:06:20 left" in make_tally(seconds_left=380.0).progress()
    assert "left" not in make_tally().progress()


def test_a_pause_is_told_with_its_reason_and_key():
    """And how often the other side refused, and something was run again."""
    tally = make_tally(make_pause(41.2, key="k1"), seconds_left=60, rate_limited=12, retries=1)
    told = tally.progress()
    assert told.endswith(
        "  12 rate limited  1 retry  0:01:40  0:01:00 left  paused 41 s: 429, TooMany: slow down, key 'k1'"
    )
    assert "90 completed, 10 failed, 100 pending, 12 rate limited, 1 retry; " in tally.summary()


def test_of_several_pauses_the_longest_is_told():
    """With the number of the keys; one that is over at once is not told."""
    told = make_tally(make_pause(86_000.4, key="a"), make_pause(3, key="b")).progress()
    assert told.endswith("  2 keys paused 23:53:20: 429, TooMany: slow down, key 'a'")
    assert "paused" not in make_tally(make_pause(0.5)).progress()


def test_a_reason_is_one_line_of_some_length():
    """Whatever the other side says."""
    told = make_tally(make_pause(3, reason="no\n\nmore " + "x" * 1000)).progress()
    assert "paused 3 s: no more xxx" in told
    assert len(told) < 400


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 132, 200])
def test_a_narrow_terminal_is_told_what_matters(columns):
    """The time left and the pause stay the longest; what is left out is what others say too."""
    parts = make_tally(make_pause(41), seconds_left=60, rate_limited=12, retries=3).parts()
    line = fitted(parts, columns)
    assert line.startswith("100 done")
    assert "0:01:00 left" in line
    assert ("paused 41 s" in line) is (columns >= 40)
    assert ("0:01:40" in line) is (columns >= 60)
    assert ("10 failed" in line) is (columns >= 60)
    assert ("429, TooMany" in line[:columns]) is (columns >= 80)
    assert ("90 completed" in line) is (columns >= 200)


TARGET = """
import anyio
async def work(record):
    await anyio.sleep(1)
    if record: raise ValueError
"""


@pytest.fixture
def go(tmp_path, monkeypatch, capsys):
    """Run 40 lines, one second each, one after the other. Half of them fail. Return what is shown."""
    (tmp_path / "target.py").write_text(TARGET)
    (tmp_path / "in").write_text("1\n0\n" * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def go(progress):
        with virtual_time():
            assert run("target.py:work", "in", output="out", concurrency=1, queue=1, progress=progress) == 1
        return capsys.readouterr().err

    yield go
    sys.modules.pop("lionpride_exec_target_target", None)


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_the_live_display_keeps_to_the_terminal(monkeypatch, go, columns):
    """Elapsed and left are shown on 80 columns; the bar where there is room for it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", go("rich")))
    shown = [line for line in lines if " done  " in line]
    timed = [line for line in shown if re.search(r"0:00:\d\d  0:00:\d\d left", line)]
    assert len(timed) > 100
    assert {"━" in line for line in timed} == {columns >= 100}
    assert max(map(len, shown)) <= columns


@pytest.mark.parametrize("term", ["dumb", "unknown"])
@pytest.mark.parametrize("kind", ["auto", "rich"])
def test_a_dumb_terminal_gets_plain_lines(monkeypatch, go, term, kind):
    """It cannot move its cursor, so that a live display would show nothing."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", term)
    told = go(kind)
    assert told.count(" done  ") >= 7
    assert "\x1b" not in told
