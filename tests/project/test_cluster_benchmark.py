"""What the benchmark of the cluster makes of what it sees, and one small run of it with a real server."""

import sys

import anyio
import pytest
from leftovers import load

# In this order: each imports some of those before it.
servers = load("_cluster_server")
load("_processes")
timed = load("_cluster_worker")
stage = load("_cluster_stage")
cluster_targets = load("_cluster_targets")
load("_cluster_bench")
crashes, latency, limits = load("_cluster_crashes"), load("_cluster_latency"), load("_cluster_limits")
load("_cluster_outages")
speed = load("_cluster_speed")
load("_cluster_costs")
program = load("cluster")

Move, Record = stage.Move, stage.Record


def record_of(*moves):
    """Return a record of transitions: time, event, status, worker."""
    return Record([Move(at, event, status, 1, by) for at, event, status, by in moves])


def test_each_row_is_measured_on_the_backends_that_count():
    """No row is without a measurement, and no measurement is of a row that is not in the table."""
    backends = {row: set() for row in cluster_targets.ROWS}
    for one in program.MEASUREMENTS:
        for row in one.rows:
            backends[row] |= set(one.backends)
    for name, row in cluster_targets.ROWS.items():
        assert set(row.backends) <= backends[name], name


@pytest.mark.parametrize(
    ("times", "most"),
    [([], 0), ([1.0], 1), ([1.0, 1.999, 2.0], 2), ([3.0, 1.0, 2.5, 2.0], 2), ([1.0] * 5 + [1.9], 6)],
    ids=["none", "one", "the end is outside", "in any order", "many at once"],
)
def test_the_most_in_a_window(times, most):
    """A window of a second slides, and its end is not in it."""
    assert limits.most_in(times, 1.0) == most


def test_the_most_at_once():
    """By the order of the transitions, and by the clocks of the workers."""
    record = record_of(
        (1, "a", "processing", "w"), (1, "b", "processing", "w"), (2, "a", "completed", "w"),
        (2, "c", "processing", "w"),
    )  # fmt: skip
    assert limits.most_at_once(record) == 2
    assert limits.most_spans([(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)]) == 2


def test_what_a_record_says_of_events():
    """Which did not complete, which ended twice, and whose runs were followed by another one."""
    record = record_of(
        (1, "a", "processing", "w"), (2, "a", "processing", "v"), (3, "a", "completed", "v"),
        (3, "b", "processing", "w"), (4, "b", "failed", "w"), (5, "b", "completed", "w"),
    )  # fmt: skip
    assert record.not_completed(["a", "b", "c"]) == 1
    assert record.ended_twice() == 1
    assert record.ended_late() == 0
    assert (
        record_of((1, "a", "processing", "w"), (2, "a", "processing", "v"), (3, "a", "completed", "w")).ended_late()
        == 1
    )
    assert record.begun_again() == {"w": 1}
    assert record.starts(2) == {"a": 2}
    assert record.seconds() == 4


def test_the_slots_after_the_death_of_a_worker():
    """The slots of the dead worker count for it until others have begun eight."""
    moves = [(0, f"old{number}", "processing", "dead") for number in range(3)]
    moves += [(0, f"new{number}", "processing", "w") for number in range(5)]
    moves += [(2 + number, f"old{number}", "processing", "w") for number in range(3)]
    assert limits.slots_after(record_of(*moves), 1.0) == (3.0, 3, 8)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_share_of_the_values(share, value):
    """The value that so large a share does not exceed."""
    assert latency.at_share(range(1, 101), share) == value


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("engine", [False, True], ids=["executor", "queue alone"])
def test_a_stage_runs_events_in_another_process(backend, engine, capsys):
    """All of them complete, the invariants hold, and nothing is found to be wrong. Without an executor likewise."""
    try:
        found = servers.find_program(None)
    except ValueError as error:
        pytest.skip(str(error))

    async def scenario():
        with servers.Server(found) as one, stage.Stage(one, engine=engine) as some:
            await speed.submit_noops(some, 30)
            await some.start_all([backend])
            await speed.until_completed(some, 30)
            record = await some.record(lease=3.0)
            await some.end_all()
            return crashes.wrong(some, record, list(record.begun), seen=30), record.begun.total()

    assert anyio.run(scenario, backend=backend) == (0, 30)
    assert "WRONG" not in capsys.readouterr().out


def test_each_start_that_a_rate_grants_is_seen():
    """Though the bucket forgets what it has granted after a second."""
    try:
        found = servers.find_program(None)
    except ValueError as error:
        pytest.skip(str(error))

    async def scenario():
        with servers.Server(found) as one, stage.Stage(one, rate=(2, 1.0)) as some:
            async with some.client() as client, some.grants(1) as grants:
                await client.extend(timed.Timed(number=number, host="a") for number in range(5))
                await some.start_all(["asyncio"])
                await stage.until(lambda: crashes.completed(client) == 5)
            return [list(times.values()) for times in grants.values()]

    (times,) = anyio.run(scenario)
    assert len(times) == 5
    assert limits.most_in(times, 1.0) == 2


def test_what_goes_wrong_is_counted(capsys):
    """A lost event, one with two ends and one that the client has not seen make three."""
    some = type("Stage", (), {"failed": lambda self: 0, "complaints": lambda self: ""})()
    record = record_of((0, "a", "processing", "w"), (1, "a", "completed", "w"), (2, "a", "completed", "w"))
    assert crashes.wrong(some, record, ["a", "b"], seen=1) == 3
    assert "not COMPLETED: 1, ended twice: 1, not seen by the client: 1" in capsys.readouterr().out


def test_a_program_that_is_not_there_is_named(monkeypatch):
    """Instead of a traceback."""
    monkeypatch.setattr(sys, "argv", ["cluster.py", "--server", "no-such-server"])
    with pytest.raises(SystemExit, match="there is no program no-such-server"):
        program.main()
