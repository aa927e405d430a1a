"""The commands for a first project: ``init``, ``demo`` and ``check``."""

import json
import runpy
import sys
import tomllib
from pathlib import Path

import anyio
import httpx2
import pytest
from commands import run_command, virtual_time
from parts import plain_arguments

import lionpride_exec
from lionpride_exec.errors import LionTimeoutError
from lionpride_exec.testing import run as run_virtually

# The server is a program of its own.
SERVER = runpy.run_path(str(Path(lionpride_exec.__file__).parent / "_cli/starter/server.py"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory of the test, to which the command may change too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command puts the project on it
    for name in ("API_URL", "API_KEY", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


# ---------------------------------------------------------------- init


def test_init_writes_a_project_that_fits(capsys):
    """The options are those of ``run``, and each record of the input fits the client."""
    assert run_command(["init", "project"]) == 0
    assert {path.name for path in Path("project").iterdir()} == {"client.py", "run.toml", "calls.jsonl"}
    assert "wrote client.py, run.toml, calls.jsonl into project" in capsys.readouterr().err
    config = tomllib.loads(Path("project/run.toml").read_text())
    assert {"target", "input", "output", "journal", "rate", "retries", "timeout"} <= config.keys()


def test_init_says_where_to_go(capsys):
    """The commands on the project are for its own folder."""
    assert run_command(["init", "my project"]) == 0
    assert "next: cd 'my project', change client.py and run.toml, then" in capsys.readouterr().err
    assert run_command(["init"]) == 0
    assert "next: change client.py and run.toml, then" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_project_is_not_run_from_outside(capsys, command):
    """The files that it names are in its folder, so the message says how to go there. Nothing is written."""
    assert run_command(["init", "geo"]) == 0
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert run_command([command, "--config", "geo/run.toml"]) == 2
    told = capsys.readouterr().err
    assert "geo/run.toml names client.py, which is not here but in geo: cd geo, then use run.toml" in told
    assert sorted(Path().rglob("*")) == before


def test_the_client_of_init_shows_a_get():
    """Its comment is a line of code that fits the client."""
    assert run_command(["init"]) == 0
    (line,) = [line for line in Path("client.py").read_text().splitlines() if "params=" in line]
    code = line.partition(": ")[2]
    compile(f"async def f(client, record):\n    {code}", "client.py", "exec")
    assert "client.get(" in code


def test_the_project_of_init_reads_all_its_records(capsys, monkeypatch):
    """``run --config run.toml --dry-run`` makes an event of each record."""
    run_command(["init"])
    capsys.readouterr()
    assert run_command(["run", "--config", "run.toml", "--dry-run"]) == 0
    assert "9 lines can be run" in capsys.readouterr().err
    assert not Path("run.db").exists()


def errors_of_calls():
    """Return errors of a call, and whether another try is worth it."""
    request = httpx2.Request("POST", "http://api.example/v1/answers")
    answers = {400: False, 401: False, 404: False, 422: False, 408: True, 500: True, 502: True, 503: True, 529: True}
    for status, is_worth_it in answers.items():
        yield httpx2.HTTPStatusError(str(status), request=request, response=httpx2.Response(status)), is_worth_it
    for error in (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ReadTimeout, httpx2.RemoteProtocolError):
        yield error("gone", request=request), True
    yield LionTimeoutError("over 10 s"), True
    yield json.JSONDecodeError("no JSON", "<html>", 0), False
    yield KeyError("text"), False


def test_the_project_of_init_pays_for_no_answer_twice():
    """Only what another try may cure is retried: no answer that came and cannot be used, and no refusal."""
    run_command(["init"])
    config = tomllib.loads(Path("run.toml").read_text())
    words = [f"--retries={config['retries']}", *(f"--retry-on={error}" for error in config["retry-on"])]
    _, _, options = plain_arguments.read_plain(["run", "client.py:call", "calls.jsonl", *words])
    rule = options.limits.rule
    assert config["pause-on"] == ["429"]
    for error, is_worth_it in errors_of_calls():
        assert rule(error) is is_worth_it, repr(error)


def test_init_keeps_what_is_there(capsys):
    """If one of the files exists, none is written."""
    Path("run.toml").write_text("mine")
    assert run_command(["init"]) == 2
    assert "run.toml already" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["run.toml"]
    assert Path("run.toml").read_text() == "mine"


def test_init_tells_of_a_folder_that_cannot_be_made(capsys):
    """A file is where the folder should be."""
    Path("file").write_text("")
    assert run_command(["init", "file/project"]) == 1
    assert "cannot write into file/project" in capsys.readouterr().err


# ---------------------------------------------------------------- the server


async def ask(api, model="small", prompt="question 1", *, body=None, path="/v1/answers"):
    """Send a request to the application. Return status, JSON and headers of the answer."""
    sent = []
    text = json.dumps({"model": model, "prompt": prompt}).encode() if body is None else body

    async def receive():
        return {"type": "http.request", "body": text, "more_body": False}

    async def send(message):
        sent.append(message)

    await api({"method": "POST", "path": path}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_server_holds_its_limits(backend):
    """So many requests of a model in any second. What goes beyond is told how long to wait."""

    async def main():
        api, statuses = SERVER["Api"](), []
        async with anyio.create_task_group() as group:

            async def call(number):
                status, _, headers = await ask(api, "large", f"prompt {number}")
                statuses.append((status, headers.get(b"retry-after")))

            for number in range(20):
                group.start_soon(call, number)
        refused = [each for each in statuses if each == (429, b"1")]
        assert len(refused) >= 20 - SERVER["ALLOWED"]["large"]
        await anyio.sleep(1)
        assert (await ask(api, "large", "a later one"))[0] in {200, 422, 500, 429}
        assert len(api.arrivals["large"]) == 1

    run_virtually(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_trouble_is_over_after_the_first_time(backend):
    """A prompt that fails once, or has to wait once, is answered the next time. A refused one stays refused."""

    async def main():
        api = SERVER["Api"]()
        first, second = {}, {}
        for found in (first, second):
            for number in range(200):
                found[number] = (await ask(api, prompt=f"question {number}"))[0]
        assert {200, 422, 429, 500} == set(first.values())
        assert {200, 422} == set(second.values())
        assert {number for number, status in first.items() if status == 422} == {
            number for number, status in second.items() if status == 422
        }

    run_virtually(main, backend=backend)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model": "none", "prompt": ""}', b'{"model": [], "prompt": ""}']
)
def test_the_server_refuses_what_is_no_request(body):
    """A request without a prompt, or of a model that there is not, is answered 422."""

    async def main():
        assert (await ask(SERVER["Api"](), body=body))[0] == 422
        assert (await ask(SERVER["Api"](), path="/other"))[0] == 404

    run_virtually(main)


# ---------------------------------------------------------------- demo


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_demonstration_leaves_everything_of_a_run(backend, capfd):
    """A server of its own, the calls, a journal, the results and a report. Some calls need a second try."""
    assert run_command(["demo", "--calls", "25", "--backend", backend]) == 0
    told = capfd.readouterr().err
    assert "run --config run.toml" in told
    assert "25 lines: " in told
    assert Path.cwd().name == "lionpride-demo"
    results = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    assert sorted(result["record"]["number"] for result in results) == list(range(1, 26))
    assert {result["status"] for result in results} <= {"completed", "failed"}
    assert (
        sum(
            result["response"] == f"the answer to question {result['line']}"
            for result in results
            if "response" in result
        )
        > 20
    )
    assert run_command(["inspect", "run.db", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["counts"]["completed"] > 20
    assert Path("report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_demonstration_replaces_only_its_own_files(capfd):
    """A folder with files of an earlier one needs ``--overwrite``. Other files stay."""
    Path("lionpride-demo").mkdir()
    Path("lionpride-demo/mine.txt").write_text("mine")
    Path("lionpride-demo/run.db").write_text("no journal")
    assert run_command(["demo", "--calls", "3"]) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert not Path("lionpride-demo/client.py").exists()
    assert run_command(["demo", "--calls", "3", "--overwrite"]) == 0
    assert Path("mine.txt").read_text() == "mine"


def test_a_demonstration_replaces_no_folder(capfd):
    """A folder with the name of one of its files is named, and stays."""
    Path("lionpride-demo/client.py").mkdir(parents=True)
    assert run_command(["demo", "--calls", "3", "--overwrite"]) == 1
    assert f"cannot replace {Path('lionpride-demo/client.py')}: " in capfd.readouterr().err
    assert Path("lionpride-demo/client.py").is_dir()


@pytest.mark.parametrize("calls", ["0", "-1"])
def test_a_demonstration_needs_a_call(calls, capfd):
    """Nothing is written otherwise."""
    assert run_command(["demo", f"--calls={calls}"]) == 2
    assert "--calls must be 1 or more" in capfd.readouterr().err
    assert list(Path().iterdir()) == []


# ---------------------------------------------------------------- check

TARGET = """
import anyio
async def call(record):
    await anyio.sleep(record.get("seconds", 2))
    if record.get("bad"):
        raise ValueError("bad")
    return record["n"]
"""


def check(*options, records=None):
    """Check a target of 100 records, under a virtual clock. Return the exit status."""
    Path("target.py").write_text(TARGET)
    found = [{"n": n, "model": "ab"[n % 2], "tokens": 10} for n in range(100)] if records is None else records
    Path("in.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in found))
    with virtual_time():
        return run_command(["check", "target.py:call", "in.jsonl", *options])


def test_a_check_runs_a_few_and_tells_of_the_rest(capsys):
    """Five are run. The time of all follows from the limits of each key, and from the slots."""
    assert check("--key", "model", "--rate", "a=5/10s", "--rate", "b=50/10s", "--concurrency", "10") == 0
    out, err = capsys.readouterr()
    results = [json.loads(line) for line in out.splitlines()]
    assert sorted(result["record"]["n"] for result in results) == [0, 1, 2, 3, 4]
    assert "check: 100 lines can be run" in err
    assert "dry run" not in err
    assert "a run takes 2 s to 2 s, 2 s on average" in err
    # Ten windows of five for key a, then its last run. Ten rounds of ten slots.
    assert "all 100 records take 92 s or longer, because of 50 starts of key 'a', at most 5 in 10 s" in err
    assert "20 s because of 10 slots" in err
    assert sorted(path.name for path in Path().iterdir() if path.suffix != "") == ["in.jsonl", "target.py"]


def test_a_check_counts_costs(capsys):
    """A rate with a cost is about its sum."""
    assert check("--rate", "100/60s:tokens", "--limit", "2") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "all 100 records take 0:09:02 or longer, because of 1,000 tokens, at most 100 in 60 s" in err


def test_a_check_of_records_that_cost_nothing(capsys):
    """A limit of which nothing is taken asks for no time, and for none below zero."""
    records = [{"n": number, "model": "a", "tokens": 0} for number in range(3)]
    assert check("--rate", "100/60s:tokens", records=records) == 0
    assert "  2 s because of 0 tokens, at most 100 in 60 s" in capsys.readouterr().err


def test_a_check_tells_of_records_that_do_not_fit(capsys):
    """One has no key, and one costs more than its limit allows in all. Both are told, with their lines."""
    records = [{"n": 0, "model": "a", "tokens": 1}, {"n": 1, "tokens": 1}, {"n": 2, "model": "a", "tokens": 11}]
    assert check("--key", "model", "--rate", "10/1s:tokens", "--limit", "1", records=records) == 1
    err = capsys.readouterr().err
    assert "line 2" in err
    assert "line 3" in err
    assert "can never start" in err
    assert "1 line can be run, 2 bad lines" in err


def test_a_check_fails_with_its_records(capsys):
    """A record that was run and failed is told like that of a run."""
    assert check(records=[{"n": 0, "bad": True}, {"n": 1}]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["status"] for line in out.splitlines()].count("failed") == 1
    assert "lionpride-exec: errors: 1 ValueError; the first, of line 1:\n  ValueError: bad\n" in err
    assert "\n  target.py:6, in call; --traceback shows the whole traceback\n" in err
    assert "Traceback" not in err


def test_a_check_counts_the_time_of_what_completed(capsys):
    """A call that is refused at once says nothing of how long an answer takes."""
    records = [{"n": 1, "seconds": 8}, {"n": 2, "seconds": 0.5, "bad": True}]
    assert check(records=records) == 1
    assert "a run takes 8 s to 8 s, 8 s on average" in capsys.readouterr().err


def test_a_check_of_which_nothing_completed_tells_no_time(capsys):
    """An API that is down would make all records look fast."""
    assert check(records=[{"n": 1, "seconds": 0.5, "bad": True}]) == 1
    told = capsys.readouterr().err
    assert "no record completed, so how long all of them take is not known" in told
    assert "a run takes" not in told
    assert "or longer" not in told


def test_a_check_shows_a_traceback_if_that_is_asked_for(capsys):
    """As a run shows it: from the code of the target on."""
    assert check("--traceback", records=[{"bad": True}]) == 1
    err = capsys.readouterr().err
    assert "the first, of line 1:\n  Traceback (most recent call last):\n" in err
    assert err.count("ValueError: bad") == 1


def test_a_check_names_the_users_code_for_an_error_of_a_package(capsys):
    """The place is the line of the user's file, not the one inside Python's own packages. A message is one line."""
    long = "import json\ndef call(record):\n    try:\n        json.loads('{')\n    except ValueError as exc:\n"
    for line, told in (("json.loads('{')", "3"), (f"raise ValueError('{'x' * 400}\\ny') from exc", "6")):
        source = f"import json\ndef call(record):\n    {line}\n" if told == "3" else f"{long}        {line}\n"
        Path("mine.py").write_text(source)
        Path("one.jsonl").write_text("{}\n")
        with virtual_time():
            assert run_command(["check", "mine.py:call", "one.jsonl"]) == 1
        block = capsys.readouterr().err.partition("of line 1:\n")[2].splitlines()
        assert block[1] == f"  mine.py:{told}, in call; --traceback shows the whole traceback"
        assert len(block[0]) <= 302


def test_a_check_writes_no_file(capsys):
    """Whatever the options say: they are those of the run that is to come."""
    Path("out.jsonl").write_text("mine")
    options = ["--journal", "run.db", "--output", "out.jsonl", "--summary", "sum.json", "--overwrite"]
    assert check(*options) == 0
    assert Path("out.jsonl").read_text() == "mine"
    assert not Path("run.db").exists()
    assert not Path("sum.json").exists()
    assert len(capsys.readouterr().out.splitlines()) == 5


NEED_ANOTHER = {
    "--id": ["--id", "n", "--journal", "run.db"],
    "--changed-input": ["--changed-input", "--journal", "run.db"],
    "--resume-failed": ["--resume-failed", "--journal", "run.db", "--journal-sync", "normal"],
    "--queue NAME": ["--queue", "jobs", "--cluster", "url", "--id", "n"],
    "--lease": ["--lease", "30", "--cluster", "url"],
    "--no-work": ["--no-work", "--cluster", "url"],
}


@pytest.mark.parametrize("options", NEED_ANOTHER.values(), ids=NEED_ANOTHER)
def test_a_check_takes_options_that_need_a_file_or_a_server(capsys, options):
    """The run to come has it. The check asks none, and writes none."""
    assert check(*options) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert not Path("run.db").exists()


def test_a_check_refuses_what_the_run_would_refuse(capsys):
    """An option that does nothing, because the option that it needs is not given."""
    for option in (["--id", "n"], ["--resume-failed"], ["--lease", "30"]):
        assert check(*option) == 2
        assert option[0] in capsys.readouterr().err


def test_a_check_tells_of_ids_that_are_no_ids(capsys):
    """A record without its id, and one whose id is that of an earlier record, are bad lines, as for the run."""
    records = [{"n": 0, "sku": "a"}, {"n": 1}, {"n": 2, "sku": "a"}]
    assert check("--id", "sku", "--journal", "run.db", records=records) == 1
    err = capsys.readouterr().err
    assert "line 2: the id field 'sku' is missing" in err
    assert "line 3: id 'a' is also on line 1" in err


def test_a_check_needs_files(capsys):
    """A pipe can be read only once."""
    Path("target.py").write_text(TARGET)
    assert run_command(["check", "target.py:call", "-"]) == 2
    assert "reads INPUT twice" in capsys.readouterr().err
    assert run_command(["check", "target.py:call", "none.jsonl"]) == 2
    err = capsys.readouterr().err
    assert "none.jsonl" in err
    assert "reads INPUT twice" not in err


def test_a_check_takes_the_file_of_options(capsys):
    """``check --config run.toml`` is about the run that ``run --config run.toml`` would make."""
    Path("run.toml").write_text(
        'target = "target.py:call"\ninput = "in.jsonl"\nrate = ["10/10s"]\njournal = "run.db"\n'
    )
    Path("target.py").write_text(TARGET)
    Path("in.jsonl").write_text('{"n": 1}\n' * 20)
    with virtual_time():
        assert run_command(["check", "--config", "run.toml"]) == 0
    assert "all 20 records take 12 s or longer" in capsys.readouterr().err
