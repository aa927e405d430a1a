"""What ``run`` tells of its way: the parts of the line, what fits on a terminal, and which display is taken."""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cli_children import end_children, gate, start
from commands import run, virtual_time
from parts import cli_summary
from terminal import RealTerminal, Terminal

from lionpride_exec import Concurrent, EventStatus, LimitUse, Pause, Progress, Rate, StartPace, Statistics, WaitReason

Tally = cli_summary.Tally


def make_progress(**values):
    """Make what an executor says."""
    given = {"total": 0, "done": 0, "pending": 0, "processing": 0, "by_status": {}, "rate": None, "seconds_left": None}
    return Progress(**given | values)


def make_pause(seconds, reason="429, TooMany: slow down", key=None):
    """Make a pause of a key."""
    return Pause(limit=None, key=key, seconds=seconds, until=datetime.now(UTC), reason=reason, refusals=1)


def make_tally(*pauses, **values):
    """Make a tally of a run of 400 lines, half way through."""
    tally = Tally(fraction=lambda: 0.5, running=lambda: 10, look=lambda _: make_progress(**values))
    tally.statistics = lambda: Statistics(status_counts={}, waits={}, pauses=pauses)
    tally.began -= 100
    tally.events = 200
    tally.ended[EventStatus.COMPLETED], tally.ended[EventStatus.FAILED] = 90, 10
    return tally


def test_bad_lines_have_no_rate():
    """A run that had nothing to do but to read them tells none."""
    tally = Tally(bad=8)
    tally.began -= 10
    tally.before[EventStatus.COMPLETED] = 20
    assert tally.summary() == "28 lines: 20 done before, 8 bad lines; 10.0 s"
    assert tally.sample_rate() == 0


def test_the_tally_tells_how_far_it_is():
    """Rate, counts per status, and, where the size is known, the time left."""
    seen = []

    def look(to_come):
        seen.append(to_come)
        return make_progress(seconds_left=47.2)

    tally = Tally(fraction=lambda: 0.25, running=lambda: 2, look=look)
    tally.began -= 10
    tally.events, tally.bad = 9, 1
    tally.ended[EventStatus.COMPLETED] = 5
    tally.ended[EventStatus.FAILED] = 1
    told = tally.view().text
    assert told == "7 done  0.6/s  5 completed  1 failed  1 bad line  2 running  1 pending  0:00:10  0:00:47 left"
    assert seen == [30]  # of 40 lines 7 have ended and 3 are in the executor
    assert tally.summary() == "10 lines: 5 completed, 1 failed, 1 bad line, 3 pending; 10.0 s, 0.6/s"


def test_a_line_is_worth_writing_if_more_than_the_time_has_changed():
    """Not for the time so far, the rate, the time left, or the rest of a pause."""
    tally, later = make_tally(make_pause(40, key="k1"), seconds_left=60), make_tally(make_pause(9, key="k1"))
    later.began -= 100
    assert tally.view().text != later.view().text
    assert tally.view().state == later.view().state
    tally.ended[EventStatus.COMPLETED] += 1
    assert tally.view().state != later.view().state
    assert make_tally().view().state != later.view().state  # the pause is over


def test_the_time_left_is_unknown_for_a_pipe():
    """Then nothing is said about it."""
    assert "left" not in Tally(look=lambda _: make_progress(seconds_left=3)).view().text


def test_the_time_left_is_that_of_the_executor():
    """Which knows of limits and pauses; where it knows none, none is told."""
    assert "0:06:20 left" in make_tally(seconds_left=380.0).view().text
    assert "left" not in make_tally().view().text


def test_a_pause_is_told_with_its_reason_and_key():
    """And how often the other side refused, and something was run again."""
    tally = make_tally(make_pause(41.2, key="k1"), seconds_left=60, rate_limited=12, retries=1)
    told = tally.view().text
    assert told.endswith(
        "  0:01:40  0:01:00 left  1 retry  12 rate limited  paused for 41 s: 429, TooMany: slow down, key 'k1'"
    )
    assert "90 completed, 10 failed, 100 pending, 1 retry, 12 rate limited; " in tally.summary()


def test_of_several_pauses_the_longest_is_told():
    """With the number of the keys; one that is over at once is not told."""
    told = make_tally(make_pause(86_000.4, key="a"), make_pause(3, key="b")).view().text
    assert told.endswith("  2 keys paused for 23:53:20: 429, TooMany: slow down, key 'a'")
    assert "paused" not in make_tally(make_pause(0.5)).view().text


def test_a_reason_is_one_line_of_some_length():
    """Whatever the other side says."""
    told = make_tally(make_pause(3, reason="no\n\nmore " + "x" * 1000)).view().text
    assert "paused for 3 s: no more xxx" in told
    assert len(told) < 400


def test_waits_and_limits_are_told():
    """What most events wait for, and the fullest limits, with the number of the others."""
    tally = make_tally(make_pause(41), seconds_left=60, retries=3)
    rate, slots = Rate(500, per=60), Concurrent(3, key="host", name="hosts")
    tally.statistics = lambda: Statistics(
        status_counts={},
        waits={WaitReason.SLOT: 2, WaitReason.LIMIT: 1234},
        limits=(
            LimitUse(rate, None, 420.0, 500, 60),
            LimitUse(slots, "example.com", 3, 3, 0),
            LimitUse(slots, "x" * 50, 1.5, 3, 0),
            LimitUse(rate, None, 0.25, 500, 60),
        ),
        pauses=(make_pause(41),),
    )
    _, waits, limits, troubles = ["  ".join(part.text for part in line) for line in tally.view().lines]
    assert waits == "waiting for limit (1,234), slot (2)"
    assert limits == (
        f"limits: hosts['example.com'] 3/3  Rate 420/500 per 60 s  hosts['{'x' * 22}…] 1.5/3  1 more limits or keys"
    )
    assert troubles == "3 retries  paused for 41 s"
    assert "left  waiting for limit (1,234), slot (2)  limits: " in tally.view().text


def test_a_pace_after_refusals_is_told():
    """That of the slowest key, as long as something waits for it: the rates that were given do not explain the wait."""
    tally = make_tally(rate_limited=3)

    def look(seconds=0.1, **waits):
        paces = [
            StartPace(limit=None, key="a", per_second=40.0, seconds=0.1),
            StartPace(limit=None, key="b", per_second=2.04, seconds=seconds),
        ]
        tally.statistics = lambda: Statistics(status_counts={}, waits=waits, paces=tuple(paces))
        return tally.view().text

    assert look(refusal=7).endswith(
        "  waiting for refusal (7)  3 rate limited  2.0/s allowed after refusals for key 'b'"
    )
    assert look(refusal=7, seconds=0).endswith("  40/s allowed after refusals for key 'a'")  # b may start now
    assert "allowed" not in look(slot=7)


def test_a_pause_without_an_end_is_told():
    """That of a program that resumes the key itself."""
    assert make_tally(make_pause(float("inf"))).view().text.endswith("  paused until resume: 429, TooMany: slow down")


TARGET = """
import anyio
from lionpride_exec import RateLimited
answers = iter([None] * 30 + [RateLimited("429 slow down", retry_after=20)])
async def work(record):
    await anyio.sleep(1)
    if answer := next(answers, None): raise answer
    if record: raise ValueError
"""


@pytest.fixture
def go(tmp_path, monkeypatch, capsys):
    """Run 40 lines, one second each, one after the other. Half of them fail. Return what is shown."""
    (tmp_path / "target.py").write_text(TARGET)
    (tmp_path / "in").write_text("1\n0\n" * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def go(progress, **options):
        with virtual_time():
            options = {"output": "out", "concurrency": 1, "queue": 1, "progress": progress} | options
            assert run("target.py:work", "in", **options) == 1
        return capsys.readouterr().err

    yield go
    sys.modules.pop("lionpride_exec_target_target", None)


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 132, 200])
def test_the_live_display_keeps_to_the_terminal(monkeypatch, go, columns):
    """The time left and the pause stay the longest; what is left out is what others say too."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")
    go("auto", rate="100/60s")
    screens = [screen for screen in terminal.screens if "paused for " in "".join(screen[-1:])]
    assert len(screens) > 50
    message, line, waits, limits, troubles = screens[-1]
    assert message == "lionpride-exec: Nothing starts for 20 s: 429 slow down"
    assert max(len(line) for screen in screens for line in screen[1:]) <= columns
    assert bool(re.search(r"  0:00:\d\d  0:00:\d\d left$", line)) is (columns >= 40)
    assert ("  15 failed  " in line) is (columns >= 60)
    assert ("━" in line) is (columns >= 80)
    assert ("  0 running  " in line) is (columns >= 100)
    assert ("  15 completed  " in line) is (columns >= 132)
    assert waits == ("waiting for refusal (2)" if columns > 20 else "waiting for refusal…")
    assert limits == ("limits: Rate 31/100 per 60 s" if columns > 20 else "limits: Rate 31/100…")
    assert troubles.startswith("1 rate limited  paused for 1" if columns >= 40 else "paused for 1")
    assert ("429 slow down" in troubles) is (columns >= 60)
    *_, summary, errors = [line for line in terminal.shown if line.startswith("lionpride-exec: ")]
    assert summary.startswith("lionpride-exec: 40 lines: 20 completed, 20 failed, 1 rate limited; ")
    assert errors.startswith("lionpride-exec: errors: 20 ValueError; ")


@pytest.mark.parametrize("term", ["dumb", "unknown"])
@pytest.mark.parametrize("kind", ["auto", "rich"])
def test_a_dumb_terminal_gets_plain_lines(monkeypatch, go, term, kind):
    """It cannot move its cursor, so that a live display would show nothing."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", term)
    told = go(kind)
    assert told.count(" done  ") >= 7
    assert "\x1b" not in told


GATED = """
import os
import sys
import anyio
async def gated(record):
    print("started", record, file=sys.stderr)
    await anyio.wait_readable(int(os.environ["GATE"]))
"""


@pytest.fixture
def no_child_is_left():
    """End the process that a failed test leaves behind."""
    yield
    end_children()


@pytest.mark.usefixtures("no_child_is_left")
def test_a_real_terminal_shows_waits_and_limits(tmp_path, monkeypatch):
    """On 80 columns and 24 rows, in three lines. What the target prints stays above, and the summary alone below."""
    (tmp_path / "target.py").write_text(GATED)
    (tmp_path / "in").write_text("1\n2\n3\n")
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    real = RealTerminal()
    arguments = ["run", "target.py:gated", "in", "--output", "out", "--rate", "2/1000s", "--concurrency", "1"]
    with gate() as (reading, open_gate):
        child = start(arguments, reading, {"TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=real.child_end)
        os.close(real.child_end)
        real.read_until("waiting for slot (2)")
        first, *live = real.terminal.shown
        open_gate()
        real.read_until("waiting for limit (1)")
        child.send_signal(signal.SIGINT)
        shown = real.read_all()
        assert child.wait(30) == 130
    assert (first, len(live)) == ("started 1", 3)
    assert " done " in live[0]
    assert live[1:] == ["waiting for slot (2)", "limits: Rate 1/2 per 0:16:40"]
    *printed, stopping, summary, stopped = shown
    assert printed == ["started 1", "started 2"]
    assert stopping.startswith("lionpride-exec: stopping; 0 running may finish")
    assert summary.startswith("lionpride-exec: 3 lines: 2 completed, 1 pending; ")
    assert stopped.startswith("lionpride-exec: stopped after line 3 of in: ")
    assert real.terminal.has_cursor
