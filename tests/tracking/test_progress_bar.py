"""The bar of a program: what a terminal, a notebook and a pipe show, and that nothing is left over."""

import io
import itertools
import logging
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import anyio
import pytest
from support import ASYNCIO_ONLY, make_executor
from terminal import RealTerminal, Terminal

from lionpride_exec import Call, ConfigurationError, Executor, Journal, ProgressBar, Rate, RateLimited

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """A terminal of 80 columns, whatever the tests run on."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


async def work(number):
    """Take a second. Every fourth one fails."""
    await anyio.sleep(1)
    if number % 4 == 3:
        raise ValueError(number)


def make(**options):
    """Make an executor that runs two at a time."""
    return Executor.of(work, concurrency_limit=2, **options)


async def run_all(executor, numbers, **options):
    """Run the work for each number inside of a bar. Return the stream."""
    file = options.pop("file", None) or io.StringIO()
    async with executor.progress_bar(file=file, **options), executor:
        async for _ in executor.map(work, numbers):
            pass
    return file


def lines_of(file):
    """Return what was written, as lines."""
    return file.getvalue().splitlines()


# ---------------------------------------------------------------- lines


async def test_a_pipe_gets_a_line_now_and_then_and_one_at_the_end():
    """The same as progress() says, with what pending events wait for while there are any."""
    lines = lines_of(await run_all(make(), range(12), interval=2.6, description="crawl"))
    assert [line.partition("  waiting")[0] for line in lines] == [
        "crawl: 4 of 12 done (33%)  1 failed  2 running  2 pending  0:00:03  1.5/s",
        "crawl: 10 of 12 done (83%)  2 failed  2 running  0 pending  0:00:05  1.9/s  0:00:01 left",
        "crawl: 12 of 12 done (100%)  3 failed  0 running  0 pending  0:00:06  2.0/s",
    ]
    assert lines[0].endswith("  waiting for slot (2)")


async def test_an_executor_that_idles_has_no_further_lines():
    """As long as nothing but the time changes, whatever it waits for. `refresh()` shows a line in any case."""
    executor, file = make(limits=Rate(2, per=32)), io.StringIO()
    async with executor.progress_bar(file=file) as bar, executor:
        await executor.extend([Call.of(work, number) for number in range(3)])
        await anyio.sleep(28)  # a line at 5 s
        assert len(lines_of(file)) == 1
        await executor.join()
        await anyio.sleep(4000)  # a line once more has ended
        assert len(lines_of(file)) == 2
        bar.refresh()
        await anyio.sleep(1000)
        bar.description = "by day"
        await anyio.sleep(1000)
    told = [line.partition(")")[0] for line in lines_of(file)]
    assert told == ["2 of 3 done (67%", *["3 of 3 done (100%"] * 2, *["by day: 3 of 3 done (100%"] * 2]


async def test_a_pause_is_a_change():
    """And so is what events wait for."""
    executor, file = make(), io.StringIO()
    async with executor.progress_bar(file=file), executor:
        await executor.append(Call.of(work, 0), delay=98)
        await anyio.sleep(12)
        executor.pause()
        await anyio.sleep(50)
        executor.resume()
    times = [line.partition("pending  ")[2].partition(" ")[0] for line in lines_of(file)]
    assert times == ["0:00:05", "0:00:15", "0:01:05", "0:01:39"]  # the delay, the pause, the delay again, and the end


async def test_lines_come_every_five_seconds():
    """Unless another interval is given."""
    assert len(lines_of(await run_all(make(), range(24)))) == 3  # at 5, 10 and 12 s


async def test_characters_that_the_stream_does_not_have_are_escaped():
    """Such as those of a message of the program. A message cannot control the terminal either."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="\n") as file:
        async with make_executor().progress_bar(file=file, description="é") as bar:
            bar.print("ü\x1b[2J")
        assert raw.getvalue().decode().splitlines() == [
            "\\xfc\\x1b[2J",
            "\\xe9: 0 of 0 done (0%)  0 running  0 pending  0:00:00",
        ]


TEXT = "Traceback:\n  at ü\tx\x1b[2J\r\n\nend"
SHOWN = ["Traceback:", "  at ü\\tx\\x1b[2J", "", "end"]


@pytest.mark.parametrize("style", ["plain", "none", "rich", "tqdm"])
async def test_a_text_of_several_lines(style):
    """Its lines are lines everywhere. Other characters that could control the terminal stay visible."""
    file = io.StringIO() if style in {"plain", "none"} else Terminal()
    async with make_executor().progress_bar(file=file, style=style) as bar:
        bar.print(TEXT)
    if style in {"plain", "none"}:
        assert lines_of(file)[:4] == SHOWN
    else:
        assert file.shown[:3] == [line for line in SHOWN if line]  # without empty lines


async def test_what_is_no_text_is_printed_as_one():
    """As by print(). An error of its str() is that of the caller, and the display goes on."""
    file = io.StringIO()
    async with make_executor().progress_bar(file=file, style="none") as bar:
        bar.print(ValueError("no"))
        with pytest.raises(ZeroDivisionError):
            bar.print(type("Bad", (), {"__str__": lambda _: str(1 / 0)})())
        bar.print(None)
    assert lines_of(file) == ["no", "None"]


async def test_style_none_shows_messages_only():
    """So that an option of a program can turn the bar off."""
    file = io.StringIO()
    async with make_executor().progress_bar(file=file, style="none") as bar:
        await anyio.sleep(4000)
        bar.print("this")
    assert file.getvalue() == "this\n"


# ---------------------------------------------------------------- a terminal


def screen_at(terminal, text):
    """Return the first screen with a text, with a bar that has no end of its own."""
    screens = ([line.replace("╺", "━").replace("╸", "━") for line in screen] for screen in terminal.screens)
    return next(screen for screen in screens if text in "\n".join(screen))


BAR = "━" * 20


async def test_a_terminal_gets_a_bar():
    """With waits and limits below while it runs. At the end the last state stays, and nothing else."""
    executor = make(limits=Rate(4, per=10, name="calls"))
    terminal = await run_all(executor, range(8), file=Terminal(), description="crawl")
    first, *others = screen_at(terminal, "0:00:07 left")
    assert first.startswith(f"crawl {BAR} 4 of 8 done (50%)  1 failed  ")
    assert others == ["waiting for limit (4)", "limits: calls 4/4 per 10 s"]
    assert terminal.shown == [f"crawl {BAR} 8 of 8 done (100%)  2 failed  0:00:12  0.7/s"]
    assert (terminal.has_cursor, terminal.column) == (True, 0)
    assert {len(line) <= 80 for screen in terminal.screens for line in screen} == {True}


async def test_of_many_limits_the_fullest_are_shown():
    """And the number of the others."""
    executor = make(limits=[Rate(10 * n, per=60, name=f"rate{n}") for n in (3, 1, 4, 2, 5)])
    terminal = await run_all(executor, range(4), file=Terminal())
    (line,) = {line for line in screen_at(terminal, "limits: rate1 4/10") if line.startswith("limits")}
    assert line == "limits: rate1 4/10 per 60 s  rate2 4/20 per 60 s  rate3 4/30 per 60 s"
    assert any("  2 more limits or keys" in line for line in lines_of(await run_all(executor, [0], interval=0.5)))


async def test_pauses_and_retries_are_shown():
    """With the reason and the key of the longest pause."""
    answers = iter([RateLimited("429 slow down", retry_after=50)])

    async def call(_):
        for answer in answers:
            raise answer

    executor = Executor.of(call, limits=Rate(100, per=1, key=lambda _: "ann"))
    terminal = Terminal()
    async with executor.progress_bar(file=terminal), executor:
        async for _ in executor.map(call, [1, 2]):
            pass
    assert screen_at(terminal, "paused for 40 s")[1:] == [
        "waiting for refusal (2)",
        "1 rate limited  paused for 40 s: 429 slow down, key 'ann'",
    ]
    assert terminal.shown[1:] == ["1 rate limited"]


async def test_what_a_program_prints_appears_above_the_bar(monkeypatch):
    """By print() and by the bar; and the streams are those of before at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    executor = make()
    async with executor.progress_bar() as bar, executor:
        async for event in executor.map(work, range(4)):
            print("got", event.args[0])  # noqa: T201  what is tried
        bar.print("[b]all[/b]")
    *printed, _ = terminal.shown
    assert sorted(printed) == ["[b]all[/b]", "got 0", "got 1", "got 2", "got 3"]
    assert printed[-1] == "[b]all[/b]"
    assert any(line.startswith(f"{BAR} ") for line in screen_at(terminal, "got 1"))
    assert sys.stdout is sys.stderr is terminal


async def test_what_a_program_prints_into_a_pipe_goes_there(monkeypatch):
    """And not to the terminal of the bar."""
    pipe, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "stderr", terminal)
    async with make().progress_bar():
        print("result")  # noqa: T201  likewise
    assert pipe.getvalue() == "result\n"
    assert "result" not in "".join(terminal.shown)


async def test_two_bars_on_one_terminal():
    """They are drawn one below the other, whichever ends first."""
    terminal = Terminal()

    async def go(name, numbers):
        await run_all(make(), numbers, file=terminal, description=name)

    async with anyio.create_task_group() as group:
        group.start_soon(go, "long", range(8))
        group.start_soon(go, "short", range(4))
    both = [line.split()[0] for line in screen_at(terminal, "0:00:01 left") if BAR in line]
    assert sorted(both) == ["long", "short"]
    assert [line.split()[:2] for line in terminal.shown] == [["short", BAR], ["long", BAR]]
    assert terminal.has_cursor


async def test_a_transient_bar_disappears():
    """What was printed stays. A pipe gets no last line."""
    terminal = Terminal()
    async with make().progress_bar(file=terminal, transient=True) as bar:
        bar.print("stays")
    assert terminal.shown == ["stays"]
    assert lines_of(await run_all(make(), range(4), transient=True)) == []


@pytest.mark.parametrize("term", ["dumb", "unknown"])
@pytest.mark.parametrize("style", ["auto", "rich"])
async def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch, term, style):
    """And so does a pipe, if rich was asked for."""
    monkeypatch.setenv("TERM", term)
    terminal = await run_all(make(), range(4), file=Terminal(), style=style)
    assert terminal.shown == ["4 of 4 done (100%)  1 failed  0 running  0 pending  0:00:02  2.0/s"]
    assert len(lines_of(await run_all(make(), range(4), style=style))) == 1


PROGRAM = """
import sys
import anyio
from lionpride_exec import Executor, Rate
from lionpride_exec.testing import run

async def work(number):
    await anyio.sleep(1)
    return number

async def main():
    executor = Executor.of(work, concurrency_limit=3, limits=Rate(6, per=10))
    async with executor.progress_bar(style=sys.argv[1], description="crawl") as bar, executor:
        async for event in executor.map(work, range(30)):
            if event.result() % 10 == 0:
                bar.print(f"got {event.result()}")
    print("over")

run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("style", "start", "end"),
    [
        ("auto", f"crawl {BAR} ", "  0 pending  0:00:42  0.7/s"),
        ("rich", f"crawl {BAR} ", "  0 pending  0:00:42  0.7/s"),
        ("tqdm", "crawl: 100%|███████████████", "  0:00:42  0.7/s"),
        ("plain", "crawl: ", "  0 running  0 pending  0:00:42  0.7/s"),
    ],
    ids=["auto", "rich", "tqdm", "plain"],
)
def test_a_real_terminal(monkeypatch, style, start, end, backend):
    """Of 80 columns and 24 rows. The clock of the program is virtual."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    real = RealTerminal()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), real.child_end)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, style, backend]
    with subprocess.Popen(command, **ends) as child:  # noqa: S603  our own
        os.close(real.child_end)
        shown = real.read_all()
    assert child.returncode == 0
    *_, bar, over = shown
    assert over == "over"
    assert bar.startswith(start)
    assert bar.endswith(f"30 of 30 done (100%){end}")
    assert len(bar) <= 80
    assert [line for line in shown if line.startswith("got")] == ["got 0", "got 10", "got 20"]
    assert len(shown) == (5 if style != "plain" else 13)
    assert real.terminal.has_cursor


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_real_terminal_that_is_dumb(monkeypatch, backend):
    """It gets lines, and no control sequence."""
    monkeypatch.setenv("TERM", "dumb")
    real = RealTerminal()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), real.child_end)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "auto", backend]
    with subprocess.Popen(command, **ends) as child:  # noqa: S603  our own
        os.close(real.child_end)
        shown = real.read_all()
    assert child.returncode == 0
    assert len(shown) == 13
    assert shown[-2].startswith("crawl: 30 of 30 done (100%)")
    assert len(real.terminal.screens) <= 2 * len(shown)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_real_pipe(backend):
    """It gets lines, and what the program prints goes to its own stream."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "auto", backend]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own
    assert done.stdout == "over\n"
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("got")] == ["got 0", "got 10", "got 20"]
    assert lines[-1] == "crawl: 30 of 30 done (100%)  0 running  0 pending  0:00:42  0.7/s"
    assert "\x1b" not in done.stderr


# ---------------------------------------------------------------- tqdm


async def test_tqdm_draws_the_bar():
    """With our text, since tqdm knows nothing of the limits. Without a thread."""
    threads = threading.enumerate()
    terminal = await run_all(make(), range(8), file=Terminal(), style="tqdm", description="crawl")
    assert threading.enumerate() == threads
    assert any("crawl:  50%|" in line and "0:00:02 left" in line for line in itertools.chain(*terminal.screens))
    (line,) = terminal.shown  # how wide it is depends on the version of tqdm, since the file has no descriptor
    assert line.startswith("crawl: 100%|██")
    assert "| 8 of 8 done (100%)  2 failed  " in line
    assert line.endswith("  0:00:04  2.0/s")


async def test_a_notebook_gets_tqdm(monkeypatch):
    """Without tqdm, lines."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    for has_tqdm in (True, False):
        if not has_tqdm:
            monkeypatch.setitem(sys.modules, "tqdm", None)
        output = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", output)
            async with make().progress_bar():
                pass
        assert ("%|" in output.getvalue()) is has_tqdm
        assert "0 of 0 done" in output.getvalue()


# ---------------------------------------------------------------- what is not installed


@pytest.mark.parametrize("style", ["rich", "tqdm"])
def test_a_style_by_name_needs_its_package(monkeypatch, style):
    """The message says how to get it."""
    monkeypatch.setitem(sys.modules, style, None)
    with pytest.raises(
        ConfigurationError, match=rf"style '{style}' needs {style}: pip install '\.\[progress\]' \(in a clone"
    ):
        make().progress_bar(style=style)


async def test_a_terminal_takes_what_is_installed(monkeypatch):
    """Without rich, tqdm; without both, lines."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "100%|" in (await run_all(make(), range(4), file=Terminal())).shown[0]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert (await run_all(make(), range(4), file=Terminal())).shown[0].startswith("4 of 4 done (100%)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "curses"}, "style must be one of auto, rich, tqdm, plain, none, got 'curses'"),
        ({"interval": 0}, "interval must be"),
        ({"total": -1}, "total must be"),
        ({"only_new": "no"}, "only_new must be True or False, got 'no'"),
        ({"transient": 1}, "transient must be True or False, got 1"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    """Before anything is shown."""
    with pytest.raises(ValueError, match=message):
        make().progress_bar(**options)


# ---------------------------------------------------------------- the total


async def test_the_total_of_a_map_without_a_length():
    """There is no bar while it is unknown, and there is one once all items were taken."""
    terminal = await run_all(make(), iter(n for n in range(6)), file=Terminal())
    unknown = [screen[0] for screen in terminal.screens if " or more done" in "".join(screen)]
    assert unknown
    assert not [line for line in unknown if "━" in line]
    assert terminal.shown[0].startswith(f"{BAR} 6 of 6 done (100%)")


async def test_a_total_that_the_program_knows():
    """Also for a map without a length. It grows with the events, and when the program says so."""
    executor, file = make(), io.StringIO()
    async with executor.progress_bar(file=file, total=4) as bar, executor:
        bar.refresh()
        bar.total, bar.description = 5, "more"
        bar.refresh()
        async for _ in executor.map(work, iter(n for n in range(6))):
            pass
    assert [line.partition(")")[0] for line in lines_of(file)] == [
        "0 of 4 done (0%",
        "more: 0 of 5 done (0%",
        "more: 6 of 6 done (100%",
    ]


async def test_only_new_events():
    """For an executor that is used many times: what had ended before the block is left out."""
    executor, file = make(), io.StringIO()
    async with executor:
        async for _ in executor.map(work, range(4)):
            pass
        async with executor.progress_bar(file=file, only_new=True, total=3, interval=1.5) as bar:
            assert isinstance(bar, ProgressBar)
            async for _ in executor.map(work, [3, 0]):
                pass
            await anyio.sleep(1)
    told = [line.partition("running")[0] for line in lines_of(file)]
    assert told == ["2 of 3 done (67%)  1 failed  0 ", "2 of 3 done (67%)  1 failed  0 "]


# ---------------------------------------------------------------- the end of the block


@pytest.mark.parametrize("style", ["rich", "tqdm", "plain", "none"])
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), ExceptionGroup("g", [KeyError(1)])], ids=repr)
async def test_an_error_goes_through(style, error):
    """As it is, and not in a group. The last state is shown, and no task or thread is left."""
    tasks, threads, terminal, executor = len(anyio.get_running_tasks()), threading.enumerate(), Terminal(), make()
    with pytest.raises(type(error)) as caught:
        async with executor.progress_bar(file=terminal, style=style):
            await anyio.sleep(1)
            raise error
    assert caught.value is error
    assert len(anyio.get_running_tasks()) == tasks
    assert threading.enumerate() == threads
    assert len(terminal.shown) == (style != "none")
    assert terminal.has_cursor


@pytest.mark.parametrize("style", ["rich", "tqdm", "plain"])
async def test_a_cancellation_goes_through(style):
    """The last state is shown; events that ran are cancelled."""
    tasks, terminal, executor = len(anyio.get_running_tasks()), Terminal(), make()
    with anyio.move_on_after(1.5) as scope:
        await run_all(executor, range(8), file=terminal, style=style)
    assert scope.cancelled_caught
    assert "6 of 6 done (100%)  4 cancelled" in terminal.shown[-1]
    assert terminal.has_cursor
    assert len(anyio.get_running_tasks()) == tasks


@ASYNCIO_ONLY
async def test_a_native_cancellation_goes_through():
    """That of asyncio itself, which passes all scopes."""
    import asyncio  # noqa: PLC0415  this test only

    tasks, terminal = len(anyio.get_running_tasks()), Terminal()
    task = asyncio.create_task(run_all(make(), range(8), file=terminal))
    await anyio.sleep(1.5)
    task.cancel("by hand")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert terminal.has_cursor
    assert len(anyio.get_running_tasks()) == tasks


class Broken(io.StringIO):
    """A stream whose reader goes away."""

    is_broken = False

    def write(self, text):
        """Fail once the stream is broken."""
        if self.is_broken:
            raise BrokenPipeError
        return super().write(text)


async def test_a_stream_that_breaks_ends_the_display_only(caplog):
    """The program goes on, and is told once. Afterwards messages are dropped."""
    executor, file = make(), Broken()
    async with executor.progress_bar(file=file, interval=1) as bar, executor:
        await executor.append(executor.event_type.of(work, 0), priority=0)
        await anyio.sleep(1.5)
        file.is_broken = True
        await anyio.sleep(5)
        bar.print("not shown")
    assert len(lines_of(file)) == 1
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, "the progress is not shown any more")
    ]
    assert executor.status_counts()["completed"] == 1


async def test_a_stream_that_is_closed(caplog):
    """Likewise from the beginning."""
    file = io.StringIO()
    file.close()
    await run_all(make(), range(2), file=file)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_a_stream_that_can_only_be_written():
    """It is no terminal, so it gets lines."""
    written = []
    stream = SimpleNamespace(write=written.append, flush=lambda: None)
    await run_all(make(), range(2), file=stream)
    assert written == ["2 of 2 done (100%)  0 running  0 pending  0:00:01  2.0/s\n"]


class BrokenTerminal(Terminal):
    """A terminal that has gone away, for a while."""

    is_broken = True

    def write(self, text):
        """Fail while the terminal is broken."""
        if self.is_broken:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("style", ["rich", "tqdm"])
async def test_a_terminal_that_goes_away(monkeypatch, style):
    """At the beginning or later. The streams of the program are as before, and the next bar is drawn."""
    terminal, out = BrokenTerminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    await run_all(make(), range(2), file=terminal, style=style)
    assert sys.stdout is out
    terminal.is_broken = False
    executor = make()
    async with executor.progress_bar(file=terminal, style=style), executor:
        await executor.append(Call.of(work, 0), priority=0)
        terminal.is_broken = True
    assert sys.stdout is out
    assert executor.progress().done == 1
    terminal.is_broken = False
    await run_all(make(), range(2), file=terminal, style=style)
    assert "2 of 2 done (100%)" in terminal.shown[-1]
    assert sys.stdout is out


async def test_a_program_without_standard_error(monkeypatch):
    """Nothing is shown."""
    monkeypatch.setattr(sys, "stderr", None)
    async with make().progress_bar() as bar:
        bar.print("nowhere")


async def test_a_bar_may_be_used_again():
    """Outside of its block it shows nothing."""
    file = io.StringIO()
    bar = make_executor().progress_bar(file=file)
    for _ in range(2):
        async with bar:
            pass
        bar.refresh()
        bar.print("dropped")
    assert len(lines_of(file)) == 2


# ---------------------------------------------------------------- journals


async def test_a_journal_counts_what_earlier_runs_have_done(tmp_path):
    """A restart goes on where the bar was."""
    told = []
    for keys in (range(2), range(5)):
        executor = make(journal=Journal(tmp_path / "run.db", types={"work": work}))
        file = io.StringIO()
        async with executor.progress_bar(file=file), executor:
            async for _ in executor.map(work, keys, key=str):
                pass
        told.append(lines_of(file)[-1].partition(")")[0])
    assert told == ["2 of 2 done (100%", "5 of 5 done (100%"]


@pytest.mark.parametrize("is_around", [True, False], ids=["around", "inside"])
async def test_only_new_leaves_out_what_earlier_processes_have_done(tmp_path, is_around):
    """Whether the journal is opened before the block of the bar or inside of it."""
    told = []
    for keys in (range(5), range(10)):
        executor, file = make(journal=Journal(tmp_path / "run.db", types={"work": work})), io.StringIO()
        bar = executor.progress_bar(file=file, only_new=True, interval=1.7)
        blocks = (bar, executor) if is_around else (executor, bar)
        async with blocks[0], blocks[1]:
            async for _ in executor.map(work, keys, key=str):
                pass
        told.append([line.partition("  0:00")[0].partition(" running")[0] for line in lines_of(file)])
    assert told == [["2 of 5 done (40%)  2", "5 of 5 done (100%)  1 failed  0"]] * 2


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "memory"])
@pytest.mark.parametrize("is_new", [True, False], ids=["another process", "the same process"])
async def test_an_event_that_runs_again_is_new(tmp_path, is_new, with_journal):
    """It had ended before the block, and ends once more in the block, also with the same status."""
    if is_new and not with_journal:
        pytest.skip("needs a journal")

    def again():
        return make(journal=Journal(tmp_path / "run.db", types={"work": work}) if with_journal else None)

    executor, file = again(), io.StringIO()
    async with executor:
        await executor.extend([Call.of(work, number) for number in range(4)])
    executor = again() if is_new else executor
    async with executor.progress_bar(file=file, only_new=True, interval=0.5) as bar, executor:
        await executor.retry(status="failed")
        bar.refresh()
        await executor.join()
    first, *_, last = lines_of(file)
    assert first.startswith("0 of 1 done (0%)  0 running  1 pending")
    assert last.startswith("1 of 1 done (100%)  1 failed")


@pytest.mark.parametrize("kind", ["journal", "memory"])
async def test_the_rate_counts_an_event_that_runs_again(tmp_path, kind):
    """Each of its ends, since each took its time."""
    executor = make(journal=Journal(tmp_path / "run.db", types={"work": work}) if kind == "journal" else None)
    async with executor:
        executor.progress()
        call = await executor.append(Call.of(work, 3), priority=0)
        await call.wait()
        again = await executor.retry(call)
        await again.wait()
        assert executor.progress().rate == 1.0
