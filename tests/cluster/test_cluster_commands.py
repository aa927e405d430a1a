"""``lionpride-exec cluster``: look at a queue, and change it."""

import json
import os
import re
import signal
import subprocess
import sys
from uuid import UUID

import anyio
import attrs
import pytest
from command_support import LENIENT, SECRET, Place, Work, until
from commands import run_command
from parts import cluster


@pytest.fixture
def place(tmp_path, server, monkeypatch):
    """A folder with targets, and a queue. The commands have the URL, and no secret."""
    monkeypatch.setenv("LIONPRIDE_CLUSTER_URL", server.url)
    monkeypatch.delenv("LIONPRIDE_CLUSTER_SECRET", raising=False)
    return Place(tmp_path, server)


@pytest.fixture
def ask(place, capsys):
    """Run ``lionpride-exec cluster`` in this process. Return its exit status, its output and its messages."""

    def run(*words, queue=True):
        status = run_command(["cluster", *words, *(["--queue", place.queue] if queue else [])])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def lines_of(text):
    """Return the lines of a text without their spaces at both ends."""
    return [line.strip() for line in text.splitlines()]


def shown(id_text):
    """Return an id as people write it."""
    return str(UUID(id_text))


# -------------------------------------------------------------------- status


def test_status_tells_counts_and_workers(place, ask):
    """With the process of each worker, what it holds, and when it has renewed its lease."""
    child, line = place.start_worker()
    name, process = line.split()[2:4]
    place.submit([1, 2, -1], work=True)
    place.submit([1], seconds=60)
    until(place.runs)
    status, out, err = ask("status")
    assert (status, err) == (0, "")
    first, *rest = lines_of(out)
    assert re.fullmatch(rf"queue {place.queue} on {place.server.url} at \S+Z: 4 events", first)
    assert [line.split() for line in rest[1:9]] == [
        ["status", "events"],
        ["pending", "0"],
        ["processing", "1"],
        ["completed", "2"],
        ["failed", "1"],
        ["cancelled", "0"],
        ["skipped", "0"],
        ["aborted", "0"],
    ]
    found = next(line for line in rest if line.startswith(name)).split()
    assert found[1:4] == [process.strip("():"), "alive", "1"]
    record = json.loads(ask("status", "--json")[1])
    assert list(record) == ["url", "queue", "at", "paused", "counts", "workers"]
    assert (record["url"], record["queue"], record["paused"]) == (place.server.url, place.queue, False)
    assert record["counts"] == dict(zip([line.split()[0] for line in rest[2:9]], [0, 1, 2, 1, 0, 0, 0], strict=True))
    (worker,) = (worker for worker in record["workers"] if worker["name"] == name)
    assert (worker["process"], worker["alive"], worker["holds"]) == (process.strip("():"), True, 1)
    assert 0 <= worker["renewed"] < 15
    child.kill()


def test_a_worker_that_was_killed_is_shown_as_long_as_it_holds_events(place, ask):
    """Once its lease is over it is gone, and other workers will take its events."""
    child, line = place.start_worker(LEASE="1")
    place.submit([1], seconds=60)
    until(place.runs)
    child.kill()
    until(lambda: json.loads(ask("status", "--json")[1])["workers"][0]["alive"] is False)
    _, out, _ = ask("status")
    assert "Workers (0 alive)" in out
    (row,) = (row for row in lines_of(out) if row.startswith(line.split()[2]))
    assert row.split()[2:4] == ["gone", "1"]


def test_a_queue_is_paused_and_goes_on(place, ask):
    """No worker takes events meanwhile. ``status`` tells it."""
    place.submit([1])
    assert ask("pause")[:2] == (
        0,
        f"queue {place.queue} is paused: what runs goes on, and no worker takes events until resume\n",
    )
    assert "Z: paused: no worker takes events; 1 events\n" in ask("status")[1]
    assert lines_of(ask("status")[1])[-1] == "no worker is alive"
    assert json.loads(ask("status", "--json")[1])["paused"] is True
    child, _ = place.start_worker()
    assert ask("resume")[:2] == (0, f"queue {place.queue} is paused no longer\n")
    until(lambda: place.counts() == {"completed": 1})
    child.kill()


# -------------------------------------------------------------------- tail


def test_tail_shows_the_last_transitions(place, ask):
    """Oldest first: time, id, tag, status with the attempt, worker, error."""
    first, second = place.submit([1, -7], work=True)
    _, out, err = ask("tail")
    rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert (err, len(rows)) == ("", 6)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row[0]) for row in rows)
    mine = [row[2:] for row in rows if row[1] == shown(second)]
    (worker,) = {row[4] for row in rows if len(row) > 4}
    assert mine == [
        ["app.work", "pending (0)"],
        ["app.work", "processing (1)", worker],
        ["app.work", "failed (1)", worker, "ValueError: no -7"],
    ]
    assert len(ask("tail", "-n", "2")[1].splitlines()) == 2
    assert ask("tail", "--lines", "0")[1] == ""
    assert ask("tail", "-n", "-1") == (2, "", "lionpride-exec: --lines must be 0 or more, got -1\n")
    records = [json.loads(line) for line in ask("tail", "--json")[1].splitlines()]
    assert [record["status"] for record in records if record["id"] == shown(first)] == [
        "pending",
        "processing",
        "completed",
    ]
    (failed,) = (record for record in records if record["status"] == "failed")
    assert list(failed) == ["cursor", "at", "id", "tag", "status", "attempt", "worker", "error"]
    assert (failed["worker"], failed["error"]) == (worker, "ValueError: no -7")


def test_the_error_of_a_long_outcome_is_shown_too(place, ask):
    """The stream has short outcomes only."""

    async def fail(executor):
        return await executor.append(Work(number=-int("9" * 900)))

    place.use(fail, work=True)
    assert re.search(r"  ValueError: no -9{400,490}\n\Z", ask("tail")[1])


@pytest.mark.parametrize("words", [["-f"], ["--follow", "--json"]])
def test_tail_goes_on_until_ctrl_c(place, words):
    """With the transitions that come."""
    place.submit([1])
    child = place.start("cluster", "tail", *words, "--queue", place.queue, "--url-file", "url")
    assert b"pending" in child.stdout.readline()
    place.submit([-2], work=True)
    seen = b"".join(child.stdout.readline() for _ in range(5))
    assert seen.count(b"processing") == 2
    assert b"ValueError: no -2" in seen
    child.send_signal(signal.SIGINT)
    assert child.communicate() == (b"", b"")
    assert child.returncode == 130


def test_what_is_no_transition_is_passed_over(place, ask):
    """Somebody else has written it."""
    place.submit([1])
    place.ask(lambda queue: queue.wire.command(lambda client: client.xadd(f"{queue.prefix}t", {"x": "y"})))
    assert ask("tail")[1].count("\n") == 1


# -------------------------------------------------------------------- show


def fields_of(text):
    """Return the fields of an event that is shown."""
    head = text.partition("\n\n")[0].splitlines()[1:]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in head)}


def test_show_tells_everything_about_an_event(place, ask, monkeypatch):
    """Its record, its attempts, its error. The secret of the environment says whether that is to be believed."""
    (event_id,) = place.submit([-7], work=True)
    status, out, _ = ask("show", shown(event_id))
    assert (status, out.splitlines()[0]) == (0, f"event {shown(event_id)}")
    fields = fields_of(out)
    told = [fields[name] for name in ("id", "tag", "status", "attempt", "level")]
    assert told == [shown(event_id), "app.work", "failed", "1", "0"]
    assert fields["signature"] == "not verified: LIONPRIDE_CLUSTER_SECRET is not set"
    assert '"number": -7' in out
    assert "  ValueError: no -7\n    Traceback (most recent call last):\n" in out
    rows = [line.split() for line in lines_of(out) if line.endswith(f"  {fields['worker']}")]
    assert [row[-3:] for row in rows if len(row) > 2] == [
        ["processing", "1", fields["worker"]],
        ["failed", "1", fields["worker"]],
    ]
    monkeypatch.setenv("LIONPRIDE_CLUSTER_SECRET", "another secret of some length")
    assert fields_of(ask("show", event_id)[1])["signature"] == (
        "not verified: its signature is not one of the secrets here"
    )
    monkeypatch.setenv("LIONPRIDE_CLUSTER_SECRET", SECRET)
    record = json.loads(ask("show", event_id, "--json")[1])
    assert record["signature"] == "checked"
    assert (record["data"]["number"], record["error"]["type"], record["crashes"]) == (-7, "ValueError", 0)
    assert [step["status"] for step in record["transitions"]] == ["pending", "processing", "failed"]
    assert record["waits_for"] is record["held_by"] is record["since"] is None


def test_show_finds_an_event_by_its_key(place, ask):
    """A text, or any key as JSON. What is not there is told."""

    async def submit(executor):
        return [await executor.append(Work(number=1), key=key) for key in ("a b", ("x", 5))]

    text, pair = place.use(submit, work=True)
    assert fields_of(ask("show", "a b")[1])["id"] == str(text.id)
    assert fields_of(ask("show", '["x", 5]')[1])["id"] == str(pair.id)
    assert json.loads(ask("show", "a b", "--json")[1])["key"] == "a b"
    assert json.loads(ask("show", "a b", "--json")[1])["response"] == 2
    for missing in ("other", shown("0" * 32)):
        status, out, err = ask("show", missing)
        assert (status, out) == (1, "")
        assert err == f"lionpride-exec: no event in queue {place.queue} has the id or the key {missing!r}\n"


def test_show_tells_what_a_pending_event_waits_for(place, ask):
    """Room, its time, other events, a worker, the end of a pause."""

    async def submit(executor):
        first = await executor.append(Work(number=1))
        late = await executor.append(Work(number=2), delay=1000)
        after = await executor.append(Work(number=3), after=[first, late])
        return [event.id.hex for event in (first, late, after)]

    first, late, after = place.use(submit)
    assert fields_of(ask("show", first)[1])["waits_for"] == "a worker that has room"
    assert fields_of(ask("show", after)[1])["waits_for"] == "2 events that have to be completed first"
    fields = fields_of(ask("show", late)[1])
    assert fields["waits_for"] == "its time"
    assert fields["due"] > fields["queued"]
    ask("pause")
    assert fields_of(ask("show", first)[1])["waits_for"] == "the end of the pause"


def test_show_names_the_events_that_an_event_comes_after(place, ask):
    """Also once they have completed."""

    async def submit(executor):
        first = [await executor.append(Work(number=number)) for number in range(2)]
        return [event.id for event in [*first, await executor.append(Work(number=3), after=first)]]

    *first, last = map(str, place.use(submit, work=True))
    assert json.loads(fields_of(ask("show", last)[1])["after"]) == first
    assert json.loads(ask("show", last, "--json")[1])["after"] == first
    assert "after" not in fields_of(ask("show", first[0])[1])
    assert json.loads(ask("show", first[0], "--json")[1])["after"] == []


def test_show_gives_lengths_of_time_with_their_unit(place, ask):
    """JSON has the numbers alone."""
    (event_id,) = place.submit([1], work=True, seconds=0.01)
    assert re.fullmatch(r"0\.\d{3} s", fields_of(ask("show", event_id)[1])["duration"])
    assert 0.01 <= json.loads(ask("show", event_id, "--json")[1])["duration"] < 10
    child, _ = place.start_worker()
    (event_id,) = place.submit([2], seconds=60)
    until(lambda: len(place.runs()) == 1)
    assert re.fullmatch(r"\d\.\d{3} s ago", fields_of(ask("show", event_id)[1])["renewed"])
    child.kill()


def test_show_and_tail_tell_that_a_worker_cannot_run_an_event(place, ask):
    """With the worker, so that one knows where to look."""
    child, line = place.start_worker(LIONPRIDE_CLUSTER_SECRET="another secret of some length")
    name = line.split()[2]
    (event_id,) = place.submit([1])
    until(lambda: " untrusted " in ask("tail")[1])
    *_, last = [re.split(r"  +", line) for line in ask("tail")[1].splitlines()]
    assert last[1:] == [shown(event_id), "app.work", "untrusted", name]
    record = json.loads(ask("tail", "--json")[1].splitlines()[-1])
    assert (record["status"], record["attempt"], record["worker"]) == ("untrusted", None, name)
    fields = fields_of(ask("show", event_id)[1])
    assert fields["status"] == "pending"
    assert fields["waits_for"] == f"a worker that can run it: worker {name} has found it untrusted"
    child.terminate()
    err = child.communicate()[1].decode()
    assert (
        "its signature is not one of the secrets here. Do the client of the event and its worker have the same" in err
    )
    assert "lionpride-exec: 0 events: 1 untrusted; " in err


def test_show_tells_that_a_pending_event_waits_for_its_turn(place, ask):
    """A limit has refused it, so no worker takes it before."""
    (event_id,) = place.submit([1])

    async def park(queue):
        limit = cluster.BucketLimit("slots", 1, 60e6, 1, hold=False)
        _, (taken,) = await queue.take("a", 1)
        park = "park", event_id, taken.entry.entry_id, "", attrs.astuple(limit), 60e6
        assert await queue.step("a", [park]) == [("done", 0)]

    place.ask(park)
    assert fields_of(ask("show", event_id)[1])["waits_for"] == "its turn at the limit slots"


def test_show_tells_which_worker_runs_an_event_and_since_when(place, ask):
    """And which worker holds an event that waits for a slot."""
    child, line = place.start_worker("--concurrency", "1", LOOKAHEAD="2")
    running, waiting = place.submit([1, 2], seconds=60)
    until(place.runs)
    name = line.split()[2]
    fields = fields_of(ask("show", running)[1])
    assert (fields["status"], fields["worker"], fields["held_by"]) == ("processing", name, name)
    assert fields["since"] in ask("show", running)[1].partition("transitions")[2]
    until(lambda: "held_by" in fields_of(ask("show", waiting)[1]))
    waits_for = fields_of(ask("show", waiting)[1])["waits_for"]
    assert waits_for == f"worker {name}, which starts it when slots and limits allow"
    child.kill()


@pytest.mark.parametrize("record", [b"", b"\0garbage", b"\1" + bytes(40), b"\xff" * 100])
def test_a_record_that_cannot_be_read_is_shown_as_that(place, ask, record, monkeypatch):
    """Nothing is decoded but JSON, and nothing imported."""
    monkeypatch.setenv("LIONPRIDE_CLUSTER_SECRET", SECRET)
    (event_id,) = place.submit([1])
    place.ask(lambda queue: queue.wire.command(lambda client: client.set(f"{queue.prefix}b:{event_id}", record)))
    status, out, _ = ask("show", event_id, "--json")
    shown_record = json.loads(out)
    assert (status, shown_record["data"], shown_record["unreadable"]) == (0, None, ["event"])
    assert shown_record["signature"].startswith("not verified: ")
    assert ask("tail")[0] == 0


def test_redacted_fields_are_shown_as_stars(place, ask):
    """As those of a journal, also where an error quotes them."""
    code = (
        "import anyio, attrs, app\n"
        "from lionpride_exec import Event\n"
        "class Secret(Event[None], tag='app.secret'):\n"
        "    password: str = attrs.field(metadata={'redact': True})\n"
        "    async def _invoke(self): raise ValueError(f'not {self.password}')\n"
        "executor = app.new(Secret)\n"
        "async def main():\n"
        "    async with executor: await executor.append(Secret(password='open sesame'))\n"
        "anyio.run(main)\n"
    )
    (place.folder / "secret.py").write_text(code)
    subprocess.run(
        [sys.executable, "secret.py"],
        cwd=place.folder,
        env=os.environ | place.environment,
        check=True,
        capture_output=True,
    )
    (record,) = (json.loads(line) for line in ask("tail", "-n", "1", "--json")[1].splitlines())
    out = ask("show", record["id"])[1] + ask("tail")[1]
    assert '"password": "***"' in out
    assert "ValueError: not ***" in out
    assert "sesame" not in out


# -------------------------------------------------------------------- retry, cancel


def test_failed_events_run_again(place, ask):
    """All of them, or those that are named."""
    first, second = place.submit([-1, -2], work=True)
    place.submit([1], work=True)
    assert ask("retry", "--failed")[:2] == (0, "2 events are pending again\n")
    assert place.counts() == {"pending": 2, "completed": 1}
    place.submit([3], work=True)
    until(lambda: place.counts().get("pending") is None)
    assert ask("retry", first)[:2] == (0, "1 event is pending again\n")
    assert {one.event_id: one.status for one in place.details([first, second])} == {first: "pending", second: "failed"}
    assert ask("retry", "--status", "cancelled", "--status", "aborted")[:2] == (0, "0 events are pending again\n")


def test_events_that_cannot_run_again_are_told(place, ask):
    """The others do. The exit status is 1."""
    done, failed = place.submit([1, -1], work=True)
    (waiting,) = place.submit([2])
    status, out, err = ask("retry", done, failed, waiting)
    assert (status, out) == (1, "1 event is pending again\n")
    assert err.splitlines() == [
        f"lionpride-exec: event {done} has completed: completed events do not run again",
        f"lionpride-exec: event {waiting} has not ended",
    ]
    place.submit([3], work=True)
    message = f"lionpride-exec: no event in queue {place.queue} has the id or the key 'nothing'\n"
    assert ask("retry", "nothing", failed) == (1, "1 event is pending again\n", message)
    message = "lionpride-exec: which events? give their ids, or --failed, or --status; not both\n"
    assert ask("retry") == ask("retry", failed, "--failed") == (2, "", message)


def test_events_that_come_after_failed_ones_are_retried_with_them(place, ask):
    """Their order does not matter, and neither does that of the statuses."""

    async def submit(executor):
        events = [await executor.append(Work(number=-1))]
        for number in range(3):
            events.append(await executor.append(Work(number=number), after=events[-1]))
        return [event.id.hex for event in events]

    ids = place.use(submit, work=True)
    assert place.counts() == {"failed": 1, "skipped": 3}
    status, out, err = ask("retry", ids[-1])
    assert (status, out) == (1, "0 events are pending again\n")
    assert "comes after an event that has not completed" in err
    assert fields_of(ask("show", ids[1])[1])["because"] == shown(ids[0])
    assert ask("retry", "--status", "skipped", "--failed")[:2] == (0, "4 events are pending again\n")
    assert place.counts() == {"pending": 4}


def test_events_are_cancelled(place, ask):
    """Those that wait at once, one that runs by its worker. What has ended is told."""
    child, _ = place.start_worker("--concurrency", "1")
    (done,) = place.submit([1])
    until(lambda: place.counts() == {"completed": 1})
    running, waiting = place.submit([2, 3], seconds=60)
    until(lambda: len(place.runs()) == 2)
    status, out, err = ask("cancel", running, waiting, shown(done))
    assert status == 1
    assert out == "1 event cancelled\n1 running event being cancelled by the worker\n"
    assert err == f"lionpride-exec: event {shown(done)} has ended\n"
    until(lambda: place.counts() == {"completed": 1, "cancelled": 2})
    (last,) = place.submit([4], delay=60)
    message = f"lionpride-exec: no event in queue {place.queue} has the id or the key 'nothing'\n"
    assert ask("cancel", "nothing", last) == (1, "1 event cancelled\n", message)
    assert ask("cancel") == (2, "", "lionpride-exec: which events? give their ids\n")
    child.kill()


def test_who_waits_learns_of_a_cancelled_event(place):
    """The outcome that the command has not signed harms nobody."""

    async def wait(executor):
        event = await executor.append(Work(number=1))
        words = ["cluster", "cancel", event.id.hex, "--queue", place.queue]
        status, _, err = await anyio.to_thread.run_sync(lambda: place.run(*words))
        assert status == 0, err
        await event.wait()
        return event

    assert place.use(wait).status == "cancelled"


# -------------------------------------------------------------------- the connection

COMMANDS = [["status"], ["tail"], ["show", "x"], ["retry", "--failed"], ["cancel", "x"], ["pause"], ["resume"]]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_queue_that_is_not_there_is_not_made(place, ask, words):
    """A name that is misspelled is told, and the names that there are."""
    status, out, err = ask(*words, "--queue=nowhere", queue=False)
    assert (status, out) == (1, "")
    assert err.partition(";")[0].strip() == f"lionpride-exec: there is no queue nowhere on {place.server.url}"
    found = place.ask(lambda queue: queue.wire.command(lambda client: client.exists(["lp:{nowhere}:meta"])))
    assert found == 0


def test_without_a_queue_the_names_of_the_queues_are_told(tmp_path, own_server, ask, monkeypatch):
    """The queue of that name may not be the one that was meant."""
    place = Place(tmp_path, own_server())
    monkeypatch.setenv("LIONPRIDE_CLUSTER_URL", place.server.url)
    there_is_none = f"lionpride-exec: there is no queue default on {place.server.url}"
    assert ask("status", queue=False) == (1, "", f"{there_is_none}\n")
    for place.queue in ("pages", "crawl"):
        place.submit([1])
    assert ask("status", queue=False) == (1, "", f"{there_is_none}; it has crawl, pages\n")
    assert ask("pause", queue=False) == (1, "", f"{there_is_none}; it has crawl, pages\n")
    place.queue = "default"
    place.submit([1])
    status, out, _ = ask("status", queue=False)
    assert (status, out.splitlines()[0].split()[:2]) == (0, ["queue", "default"])
    assert out.splitlines()[-1] == "Other queues on this server: crawl, pages"
    for words in (["--json"], ["--queue=default"], ["--queue=pages"]):
        assert "crawl" not in ask("status", *words, queue=False)[1]


def test_many_queues_are_not_all_told(tmp_path, own_server, ask, monkeypatch):
    """Twenty names are enough to see what was meant."""
    place = Place(tmp_path, own_server())
    monkeypatch.setenv("LIONPRIDE_CLUSTER_URL", place.server.url)
    metas = {f"lp:{{queue-{number:02}}}:meta": "" for number in range(22)}
    place.ask(lambda queue: queue.wire.command(lambda client: client.mset(metas)))
    _, _, err = ask("status", queue=False)
    assert err.endswith(", queue-19 and 3 more\n")


@pytest.mark.parametrize("words", COMMANDS)
def test_the_url_comes_from_a_file_or_from_the_environment(place, ask, words, monkeypatch):
    """Without one, the message says where to put it."""
    place.submit([1])
    monkeypatch.delenv("LIONPRIDE_CLUSTER_URL")
    message = "lionpride-exec: which server? give --url-file FILE, or set LIONPRIDE_CLUSTER_URL\n"
    assert ask(*words) == (2, "", message)
    (place.folder / "wrong").write_text("http://user:hidden@host\n")
    status, _, err = ask(*words, f"--url-file={place.folder}/wrong")
    assert status == 2
    assert "must begin with one of redis://" in err
    assert "hidden" not in err
    status, _, err = ask(*words, f"--url-file={place.folder}/url")
    assert status == (1 if "x" in words else 0), err
    for refused in ([place.server.url], [f"--url-file={place.server.url}"], ["redis://user:hidden@host"]):
        status, out, err = ask(*words, *refused)
        assert (status, out) == (2, "")
        assert err.startswith("lionpride-exec: the URL of a server must not be an argument, since ps shows arguments")
        assert "hidden" not in err


@pytest.mark.parametrize("name", ["", "two words", "{x}"])
def test_a_name_that_no_queue_can_have_is_refused(ask, name):
    """As by the settings of a cluster."""
    status, _, err = ask("status", f"--queue={name}", queue=False)
    assert status == 2
    assert "queue must be a printable text" in err


def test_a_server_that_is_not_reached_is_told(place):
    """At once, and again when the command gives up. Without the password."""
    status, out, err = place.run(
        "cluster", "status", program=LENIENT, LIONPRIDE_CLUSTER_URL="redis://user:hidden@127.0.0.1:1"
    )
    assert (status, out) == (1, "")
    first, last = err.splitlines()
    assert re.match(r"lionpride-exec: redis://127.0.0.1:1 is not reached, trying until [\d:]{8} UTC \(5 s\): ", first)
    assert last.startswith("lionpride-exec: redis://127.0.0.1:1 was not reached for 5 s: ")
    assert "hidden" not in err


def test_the_output_may_go_nowhere(place):
    """Then nothing is written, and the exit status tells it."""
    place.submit(range(300))
    child = place.start("cluster", "tail", "-n", "9000", "--queue", place.queue)
    child.stdout.close()
    assert child.wait() == 1
    assert child.stderr.read() == b""
