"""``lionpride-exec run --cluster`` with a part of INPUT, and with results in another order or form."""

import csv
import json

import pytest
from command_support import Place
from commands import arguments_of

TARGETS = """
import anyio, httpx

async def work(record):
    await anyio.sleep(record.get("seconds", 0))
    if record.get("fail"):
        raise LookupError(f"no {record['n']}")
    return {"twice": 2 * record["n"]}

async def answer(request):
    if request["code"] != 200:
        body = {"error": {"message": "no", "type": "x", "param": None, "code": None}}
        asked = httpx.Request("POST", "http://host")
        httpx.Response(request["code"], json=body, request=asked).raise_for_status()
    return {"id": "msg"}
"""


@pytest.fixture
def go(tmp_path, server, monkeypatch):
    """Run the command to its end on a queue. Return its exit status and its messages."""
    place = Place(tmp_path, server)
    (tmp_path / "target.py").write_text(TARGETS)
    del place.environment["LIONPRIDE_CLUSTER_URL"]
    monkeypatch.chdir(tmp_path)

    def run(records, target="work", **options):
        """Run over these records."""
        (tmp_path / "in").write_text("".join(json.dumps(record) + "\n" for record in records))
        fixed = {"cluster": "url", "queue": place.queue, "output": "out"}
        status, _, err = place.run("run", f"target.py:{target}", "in", *arguments_of(fixed | options))
        return status, err

    run.folder = tmp_path
    return run


def lines(folder, name="out"):
    """Return the lines of a file, read as JSON."""
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def table(folder):
    """Return the rows of the output."""
    return list(csv.reader((folder / "out").read_text("utf-8").splitlines()))


def test_parts_of_input_share_a_queue(go):
    """A first look, then the next part, then all: each line has one result, with its number in INPUT."""
    records = [{"n": number} for number in range(6)]
    status, err = go(records, limit=2)
    assert (status, "2 lines: 2 completed; " in err) == (0, True)
    status, err = go(records, skip=2, limit=2)
    assert (status, "2 lines: 2 completed; " in err) == (0, True)
    assert "2 lines are in out but not in the part of INPUT that is read: not run, not counted" in err
    status, err = go(records)
    assert (status, "6 lines: 4 done before, 2 completed; " in err) == (0, True)
    assert sorted((result["line"], result["record"]["n"]) for result in lines(go.folder)) == [
        (number + 1, number) for number in range(6)
    ]


def test_results_in_order_and_in_a_form_of_their_own(go):
    """Also those of earlier runs. The usual results are kept beside the output."""
    records = [{"n": 0, "seconds": 0.5}, {"n": 1, "fail": True}, {"n": 2}, {"n": 3}]
    options = {"ordered": True, "output_format": "csv", "fields": "line,n,status,response.twice,error"}
    assert go(records, limit=2, **options)[0] == 1
    expected = [["line", "n", "status", "response.twice", "error"], ["1", "0", "completed", "0", ""],
                ["2", "1", "failed", "", "LookupError: no 1"]]  # fmt: skip
    rows = table(go.folder)
    assert rows == expected
    status, err = go(records, **options)
    assert status == 1
    assert "4 lines: 2 done before (1 not completed), 2 completed; " in err
    rows = table(go.folder)
    assert rows == [*expected, ["3", "2", "completed", "4", ""], ["4", "3", "completed", "6", ""]]
    assert {result["line"] for result in lines(go.folder, "out.results")} == {1, 2, 3, 4}


def test_ordered_lines_of_json(go):
    """The first line takes longest."""
    records = [{"n": 0, "seconds": 0.5}, *({"n": number} for number in range(1, 9))]
    assert go(records, ordered=True)[0] == 0
    assert [result["line"] for result in lines(go.folder)] == list(range(1, 10))


def test_chosen_fields(go):
    """Of the results as they are with a journal."""
    assert go([{"n": 3}], fields="n,response.twice")[0] == 0
    assert lines(go.folder) == [{"n": 3, "response.twice": 6}]


def test_batch_results_have_the_answers_of_the_service(go):
    """Its status and its body, as the server has kept them."""
    records = [{"custom_id": str(code), "body": {"code": code}} for code in (200, 404, 503)]
    options = {"input_format": "openai-batch", "output_format": "openai-batch"}
    assert go(records, "answer", **options)[0] == 1
    found = {one["custom_id"]: one["response"] for one in lines(go.folder)}
    assert {name: one["status_code"] for name, one in found.items()} == {"200": 200, "404": 404, "503": 503}
    assert found["503"]["body"] == {"error": {"message": "no", "type": "x", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"skip": -1}, "--skip must be 0 or more, got -1"),
        ({"limit": 0}, "--limit must be 1 or more, got 0; --dry-run runs nothing"),
        ({"fields": ","}, "--fields"),
        ({"fields": "n", "output_format": "openai-batch"}, "--fields and --output-format openai-batch exclude"),
        ({"ordered": True, "output": "/dev/null"}, "--output /dev/null is not a regular file, which each run"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(go, options, told):
    """Nothing is run, and no file is written."""
    status, err = go([{"n": 1}], **options)
    assert (status, told in err) == (2, True)
    assert not (go.folder / "out").exists()
    assert not (go.folder / "out.results").exists()


def test_another_output_is_not_replaced(go):
    """As its usual results are not there."""
    (go.folder / "out").write_text("n\n1\n")
    status, err = go([{"n": 1}], output_format="csv")
    assert (status, "out is not empty, and there is no out.results" in err) == (2, True)
    assert (go.folder / "out").read_text() == "n\n1\n"
