"""What a report says of limits, pauses and a part of the time; its numbers for programs; runs to zoom into."""

import json
import re
import zlib
from array import array
from base64 import b64decode, b64encode
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import anyio
import attrs
import html5lib
import pytest
from commands import run_command
from journal_files import T0, add_event, error_outcome, fill, make_journal
from report_pages import HOSTILE, legend_of, number, page_of, rows_of, sections, words_of

import lionpride_exec
from lionpride_exec import Event, Executor, Journal, Rate

DAY = 86_400


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of one's own."""
    monkeypatch.chdir(tmp_path)


class Ask(Event[str], tag="tests.report.ask"):
    """A call of a model."""

    model: str = ""
    token: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        await anyio.sleep(0.01)
        return self.model


def starts_in(source):
    """Return the rows of the section of starts."""
    return rows_of(sections(page_of(source)[1])["Starts"])


# ---------------------------------------------------------------- limits


async def ask(limits, models=("small", "large", "small", "small"), **options):
    """Call models under limits. Return the executor."""
    executor = Executor.of(Ask, limits=limits, **options)
    async with executor:
        await executor.extend([Ask(model=model, token=f"secret {model}") for model in models])
        await executor.join()
    return executor


@pytest.mark.anyio
async def test_the_limits_of_a_program_are_in_its_journal():
    """A rate of a field stands beside the key that came nearest to its amount, and one of all beside all starts."""
    limits = [Rate({"large": 2, ...: 5}, per=60, key="model"), Rate(100, per=30)]
    await ask(limits, journal=Journal("run.db"))
    rows = await anyio.to_thread.run_sync(starts_in, "run.db")
    assert [row[:5] for row in rows] == [
        ["30 s", "all", "4", "100", ""],
        ["1 min", "model small, of 2 keys", "3", "5", ""],
    ]


@pytest.mark.anyio
async def test_an_amount_of_a_key_goes_before_that_of_others():
    """The key that came nearest is not the one with the most starts."""
    executor = await ask(Rate({"large": 1, ...: 50}, per=60, key="model"))
    assert [row[:4] for row in starts_in(executor)] == [["1 min", "model large, of 2 keys", "1", "1"]]


@pytest.mark.anyio
async def test_the_keys_of_a_function_are_known_in_memory_only():
    """Of a function of the program, a journal knows the name. An executor can call it."""

    def first_letter(event):
        return event.model[0]

    limits = Rate(9, per=60, key=first_letter)
    await ask(limits, journal=Journal("run.db"))
    rows = await anyio.to_thread.run_sync(starts_in, "run.db")
    assert rows[-1][1:4] == [f"each {first_letter.__qualname__}, which is not known here", "-", "9"]
    rows = starts_in(await ask(limits))
    assert rows[-1][1:4] == [f"{first_letter.__qualname__} s, of 2 keys", "3", "9"]


@pytest.mark.anyio
async def test_a_secret_key_is_not_shown():
    """A digest stands for the key of a redacted field, in a page from a journal, and in one from memory."""
    limits = Rate(9, per=60, key="token")
    await ask(limits, journal=Journal("run.db"))
    text, _ = await anyio.to_thread.run_sync(page_of, "run.db")
    from_memory, _ = page_of(await ask(limits))
    for page in (text, from_memory):
        assert "secret" not in page
        assert re.search(r"redacted:[0-9a-f]{16}</code>, of 2 keys", page)


@pytest.mark.anyio
async def test_limits_with_costs_are_left_out():
    """What an event takes may have been settled since, so starts say nothing of it."""
    executor = await ask([Rate(9, per=7, cost=lambda event: 2), Rate(9, per=8)])
    assert [row[0] for row in starts_in(executor)] == ["8 s"]


@pytest.mark.anyio
async def test_a_journal_that_a_command_opened_keeps_the_limits(capsys):
    """A cancel of an event while nobody runs the journal says nothing of limits."""
    executor = Executor.of(Ask, limits=Rate(9, per=8), journal=Journal("run.db"))
    await executor.start()
    executor.pause()
    await executor.extend([Ask(model="large"), Ask(model="small")], key=lambda event: event.model)
    await executor.stop()
    async with Executor.of(Ask, limits=Rate(7, per=8), journal=Journal("run.db")) as second:
        await second.join()
    assert await anyio.to_thread.run_sync(run_command, ["retry", "run.db", "large"]) == 0
    assert await anyio.to_thread.run_sync(run_command, ["cancel", "run.db", "large"]) == 0
    capsys.readouterr()
    rows = await anyio.to_thread.run_sync(starts_in, "run.db")
    assert [row[:3] for row in rows] == [["8 s", "1", "7"]]


def test_a_field_of_a_record_is_found():
    """The command counts by a field of its records, also by one inside of another."""
    with closing(make_journal("run.db")) as connection:
        for seq in range(1, 7):
            data = {"record": {"to": {"host": "a.test" if seq % 3 else "b.test"}}}
            add_event(connection, seq, "completed", started=T0, finished=T0 + 1, data=data)
        options = {"--rate": ["2/60s", "b.test=1/1h", "*=9/1h"], "--key": "to.host"}
        given = {"at": T0, "target": "t", "input": [], "options": options}
        connection.execute("INSERT INTO meta VALUES ('run:0000000009', ?)", (json.dumps(given),))
    assert [row[:4] for row in starts_in("run.db") if row[1] != "all"] == [
        ["1 min", "to.host a.test, of 2 keys", "4", "2"],
        ["1 h", "to.host b.test, of 2 keys", "2", "1"],
    ]
    bars = [bar.get("class") for bar in sections(page_of()[1])["Starts"].iter("rect")]
    assert bars == ["over", "over"]


def test_a_limit_can_be_given(capsys):
    """--limit and limits= stand beside the starts; equal ones are one."""
    with closing(make_journal("run.db")) as connection:
        for seq in range(1, 31):
            add_event(connection, seq, "completed", started=T0 + seq, finished=T0 + seq)
    rows = rows_of(sections(page_of(limits=[Rate(5, per=10), Rate(40, per=60)])[1])["Starts"])
    assert [row[:3] for row in rows] == [["1 s", "1", "-"], ["10 s", "10", "5"], ["1 min", "30", "40"]]
    command = ["report", "run.db", "--json", "--limit", "5/10s", "--limit", "5/10s", "--limit", "40/1m"]
    assert run_command(command) == 0
    starts = json.loads(capsys.readouterr().out)["starts"]
    assert [(one["per"], one["most"], one["amount"]) for one in starts] == [(1, 1, None), (10, 10, 5), (60, 30, 40)]
    for text in ("5", "x/1s", "a=5/1s", "5/0s", "0/1s", "5/1s:tokens"):
        assert run_command(["report", "run.db", "--limit", text]) == 2
        assert (
            f"--limit must be AMOUNT/TIME, such as 500/60s (units ms, s, m, h), got {text!r}" in capsys.readouterr().err
        )


def test_nonsense_about_limits_is_left_out():
    """What another program has written of an opening does not keep the page from being written."""
    for fact in ("no JSON", "[]", '{"generation": 1}', b"\xff"):
        with closing(make_journal("run.db")) as connection:
            add_event(connection, 1, "completed", started=T0, finished=T0 + 2)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('opening', ?)", (fact,))
        assert starts_in("run.db") == [["1 s", "1", "-", "", "22:13:20.000"]]


# ---------------------------------------------------------------- pauses


def make_sessions(path="run.db"):
    """Make the journal of a run in three sessions, with an event each 10 s: of 20, of 30 and of 5 minutes."""
    with closing(make_journal(path)) as connection:
        connection.execute("BEGIN")
        seq = 0
        for begin, minutes in ((0, 20), (DAY, 30), (4 * DAY, 5)):
            for second in range(0, minutes * 60, 10):
                seq += 1
                at = T0 + begin + second
                status = "failed" if seq % 5 == 0 else "completed"
                outcome = {"duration": 9.0} | (error_outcome("KeyError", "'a'") if status == "failed" else {})
                add_event(connection, seq, status, queued=T0, started=at, finished=at + 9, outcome=outcome)
        connection.execute("COMMIT")
    return seq


def test_long_pauses_are_left_out_of_the_charts():
    """Steps stay short beside pauses of days, the sums are the same, and the page says what is left out."""
    count = make_sessions()
    found = sections(page_of()[1])
    text = words_of(found["Throughput"])
    assert "in steps of 30 s. 2 pauses without events are left out: 23 h 40 min, 3 d." in text
    rows = rows_of(found["Throughput"])
    assert sum(number(row[1]) + number(row[2]) for row in rows) == count
    assert len(rows) == len({row[0] for row in rows}) == 113
    breaks = [bar for bar in found["Throughput"].iter("rect") if bar.get("class") == "break"]
    assert len(breaks) == 4
    labels = [words_of(label) for label in found["Throughput"].find(".//svg[@class='ticks']")]
    assert labels == ["2023-11-14 22:13", "2023-11-15 22:13", "2023-11-18 22:13"]
    busy = [float(row[1]) for row in rows_of(found["Running at the same time"])]
    assert sum(busy) * 30 == pytest.approx(count * 9)


def test_the_time_of_a_run_is_that_in_which_something_happened():
    """Pauses are not a part of the time, nor of the rate. The numbers for programs name them."""
    count = make_sessions()
    _, tree = page_of()
    tiles = dict(zip(*[iter(words_of(one) for one in tree.iter() if one.tag in {"dt", "dd"})] * 2, strict=True))
    assert (tiles["Events"], tiles["Time"], tiles["Ended"]) == (f"{count}", "54 min 57 s", "6.01/min")


def test_a_short_pause_is_a_part_of_the_run():
    """An hour without events in a run of three stays where it is."""
    with closing(make_journal("run.db")) as connection:
        for seq, minute in enumerate([*range(60), *range(120, 180)], 1):
            at = T0 + minute * 60
            add_event(connection, seq, "completed", queued=at, started=at, finished=at + 50)
    found = sections(page_of()[1])
    assert "left out" not in words_of(found["Throughput"])
    assert not [bar for bar in found["Throughput"].iter("rect") if bar.get("class") == "break"]


# ---------------------------------------------------------------- a part of the time


def test_a_part_of_the_time(capsys):
    """Events that ended in it count, and runs that overlap it; what is open is that of now."""
    with closing(make_journal("run.db")) as connection:
        for seq in range(10):
            outcome = error_outcome("KeyError", f"'{seq}'") | {"duration": 30.0}
            add_event(
                connection, seq + 1, "failed", queued=T0, started=T0 + 60 * seq, finished=T0 + 60 * seq + 30,
                outcome=outcome,
            )  # fmt: skip
        add_event(connection, 11, "pending", queued=T0)
    since, until = "2023-11-14T22:15:35Z", "2023-11-14T22:17:50+00:00"  # T0 + 135 to T0 + 270
    assert run_command(["report", "run.db", "--since", since, "--until", until, "-o", "run.html"]) == 0
    tree = html5lib.parse(Path("run.html").read_text("utf-8"), namespaceHTMLElements=False)
    found = sections(tree)
    assert legend_of(found["Events by status"]) == ["failed 2", "pending 1"]
    assert sum(number(row[1]) for row in rows_of(found["Throughput"])) == 2
    assert sum(number(row[1]) for row in rows_of(found["Duration"])) == 2
    assert [row[0] for row in rows_of(found["Errors"])] == ["2"]
    busy = {row[0]: row[1] for row in rows_of(found["Running at the same time"])}
    assert min(busy) == "22:15:34"
    assert (busy["22:15:34"], busy["22:15:48"], busy["22:17:48"]) == ("0.50", "1", "1")
    assert "Only what happened since 2023-11-14 22:15:35 until 2023-11-14 22:17:50." in words_of(tree.find(".//header"))
    assert run_command(["report", "run.db", "--since", since, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["failed"] == 8


def test_a_time_that_cannot_be_read_is_refused(capsys):
    """A time has a time zone, and its ends are in order."""
    fill("run.db")
    for option, text in (("--since", "yesterday"), ("--until", "2026-01-01T00:00"), ("--since", "-5s")):
        assert run_command(["report", "run.db", f"{option}={text}"]) == 2
        assert option in capsys.readouterr().err
    assert run_command(["report", "run.db", "--since", "1h", "--until", "2h"]) == 2
    assert "--since must be before --until, got 1h and 2h" in capsys.readouterr().err


# ---------------------------------------------------------------- for programs


def test_the_numbers_for_programs_are_those_of_inspect(capsys):
    """The counts are equal, and so are the errors; what the page shows adds up to them."""
    make_sessions()
    assert run_command(["inspect", "run.db", "--json"]) == 0
    inspected = json.loads(capsys.readouterr().out)
    assert run_command(["report", "run.db", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["counts"] == inspected["counts"]
    assert record["total"] == sum(inspected["counts"].values())
    ended = {status: sum(values) for status, values in record["over_time"]["ended"].items()}
    assert ended == {status: n for status, n in inspected["counts"].items() if n}
    assert record["durations"]["count"] == sum(bar["count"] for bar in record["durations"]["bars"]) == record["ended"]
    assert (record["durations"]["p50"], record["durations"]["longest"]) == (9.0, 9.0)
    assert sum(group["count"] for group in record["errors"]) == sum(one["count"] for one in inspected["errors"])
    assert record["pauses"][0] == {"from": "2023-11-14T22:33:19.000Z", "to": "2023-11-15T22:13:20.000Z"}
    assert [one["number"] for one in record["slowest"]] == [one["seq"] for one in inspected["slowest"]][:20] or len(
        record["slowest"]
    ) == 20  # fmt: skip
    assert run_command(["report", "run.db", "--json", "--zoom"]) == 2
    assert "--zoom is for a page, and --json writes none" in capsys.readouterr().err


def test_a_journal_without_events_has_numbers_too(capsys):
    """They are zeros and nulls."""
    make_journal("run.db").close()
    assert run_command(["report", "run.db", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["total"], record["rate"], record["over_time"], record["starts"]) == (0, None, None, [])
    assert record["durations"] == {"count": 0, "p50": None, "p95": None, "p99": None, "longest": None, "bars": []}


# ---------------------------------------------------------------- runs to zoom into


def strict(text):
    """Return the tree of a page, which must be HTML without an error."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def runs_in(tree):
    """Return the runs in the canvas of a page: begin and end in seconds after the first, lane, kind and number."""
    data = {name[5:]: value for name, value in tree.find(".//canvas").attrib.items() if name.startswith("data-")}
    count, unit, names = int(data["count"]), float(data["unit"]), data["names"].split()
    packed = zlib.decompress(b64decode(data["runs"]))
    columns, at = [], 0
    for width in (4, 4, 2, 1, 4):
        planes = [packed[at + byte * count : at + (byte + 1) * count] for byte in range(width)]
        columns.append([sum(plane[run] << 8 * byte for byte, plane in enumerate(planes)) for run in range(count)])
        at += width * count
    assert at == len(packed)
    begins, numbers = (sums(columns[place]) for place in (0, 4))
    rows = zip(begins, columns[1], columns[2], columns[3], numbers, strict=True)
    return [(begin * unit, (begin + took) * unit, lane, names[kind], seq) for begin, took, lane, kind, seq in rows]


def sums(values):
    """Return the sums of the first values, modulo 2**32."""
    found, total = array("I"), 0
    for value in values:
        total = (total + value) % 2**32
        found.append(total)
    return found


def test_each_run_is_in_the_page():
    """With its begin and end, in a lane of its own, with its kind and its number; repeated ones and open ones too."""
    attempts = json.dumps([{"number": 1, "started": T0 + 1, "finished": T0 + 2}]).encode()
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 7, "completed", queued=T0, started=T0, finished=T0 + 4)
        add_event(connection, 3, "failed", queued=T0, started=T0 + 3, finished=T0 + 8, attempts=attempts, attempt=2)
        add_event(connection, 9, "processing", queued=T0, started=T0 + 4.00005)
        add_event(connection, 10, "skipped", queued=T0, finished=T0 + 10)
    lionpride_exec.report("run.db", "run.html", zoom=True)
    found = runs_in(strict(Path("run.html").read_text("utf-8")))
    rounded = [(round(begin, 3), round(end, 3), *rest) for begin, end, *rest in found]
    assert rounded == [
        (0, 4, 0, "completed", 7),
        (1, 2, 1, "repeated", 3),
        (3, 8, 1, "failed", 3),
        (4, 10, 0, "processing", 9),
    ]


def test_pauses_are_narrow_among_the_runs():
    """The places of runs leave the pauses out, and the page knows when each stretch begins."""
    count = make_sessions()
    lionpride_exec.report("run.db", "run.html", zoom=True)
    tree = strict(Path("run.html").read_text("utf-8"))
    found = runs_in(tree)
    assert len(found) == count
    assert {lane for _, _, lane, _, _ in found} == {0}
    assert found[-1][1] < 60 * 60
    pieces = json.loads(tree.find(".//canvas").get("data-pieces"))
    assert [begin - T0 for _, begin in pieces] == [0, DAY, 4 * DAY]


def test_the_policy_allows_the_one_script_only():
    """By its hash; without zoom there is no script, and the policy allows none."""
    fill("run.db")
    lionpride_exec.report("run.db", "run.html", zoom=True)
    text = Path("run.html").read_text("utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = strict(text).find(".//meta[@http-equiv]").get("content")
    assert len(scripts) == text.count("<script") == 1
    digest = b64encode(sha256(scripts[0].encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digest}'"
    )
    assert not re.search(r"https?:|url\(|@import|fetch\(|innerHTML|eval", text.replace(scripts[0], "") + scripts[0])
    plain, _ = page_of()
    assert "<script" not in plain
    assert "script-src" not in plain


def test_a_run_without_times_has_nothing_to_zoom_into():
    """The page has no canvas then, and no script."""
    with closing(make_journal("run.db")) as connection:
        add_event(connection, 1, "completed", queued=None)
    text, _ = page_of(zoom=True)
    assert "<script" not in text
    assert "<canvas" not in text


# ---------------------------------------------------------------- pages are HTML


@pytest.mark.parametrize("marker", [*HOSTILE, "x" * 1_000_000])
def test_pages_are_html_without_an_error(marker):
    """html5lib finds no fault, whatever the events have in them, and a text of a megabyte is cut."""
    attempts = json.dumps([{"number": 1, "started": T0 + 1, "finished": T0 + 2, "error": {"type": marker}}]).encode()
    with closing(make_journal("run.db")) as connection:
        for seq, status in enumerate(("completed", "failed", "processing"), 1):
            add_event(
                connection, seq, status, tag=marker, data={"model": marker}, key=json.dumps(marker), started=T0 + 3,
                finished=None if status == "processing" else T0 + 9, attempts=attempts,
                outcome=error_outcome(marker, marker) | {"duration": 1.0},
            )  # fmt: skip
        given = {"at": T0, "target": marker, "input": [marker], "options": {"--rate": ["2/60s"], "--key": "model"}}
        connection.execute("INSERT INTO meta VALUES ('run:0000000009', ?)", (json.dumps(given),))
    for zoom in (False, True):
        lionpride_exec.report("run.db", "run.html", zoom=zoom)
        text = Path("run.html").read_text("utf-8")
        tree = strict(text)
        assert {"b", "i", "u"} & {element.tag for element in tree.find(".//main").iter()} <= {"b"}
        assert not tree.findall(".//b[@id]")
        assert len(text) < 100_000
