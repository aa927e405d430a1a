"""The example ``evaluate.py``: the whole job in virtual time; killed and run again; by the command line."""

import json
import os
import random
import shlex
from functools import partial

import anyio
import api_server
import evaluate
import httpx2
import local_server
import pytest
from example_processes import EXAMPLES, kill_when, output_of, server

pytest.importorskip("msgspec")

EXAMPLE = EXAMPLES / "evaluate.py"
SLOTS = 30  # calls at a time


def api(*options):
    """Run the API."""
    return server("api_server.py", "API_URL", f"--concurrency={SLOTS}", *options)


def results_in(path):
    """Return status, response and error of each prompt in an output. Each prompt is there once."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    results = {line["number"]: (line["status"], line["response"], line["error"]) for line in lines}
    assert len(results) == len(lines)
    return {
        number: (status, response, error and (error["error"], error["message"]))
        for number, (status, response, error) in results.items()
    }


def ends_in(path):
    """Return the status of each prompt in an output. Each prompt is there once."""
    return {number: status for number, (status, *_) in results_in(path).items()}


@pytest.fixture
def make_app(tmp_path, monkeypatch):
    """Return a function that makes an API in this process. It allows a fifth of what the example expects."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_URL", "http://api")
    for name in ("REQUESTS", "TOKENS"):
        amounts = getattr(evaluate, name)
        monkeypatch.setattr(evaluate, name, {model: amount // 5 for model, amount in amounts.items()})

    def make(**troubles):
        models = {
            model: api_server.Limits(requests, evaluate.TOKENS[model], evaluate.PER, SLOTS)
            for model, requests in evaluate.REQUESTS.items()
        }
        app = api_server.Api(api_server.Limits(), models=models, clock=anyio.current_time, **troubles)
        monkeypatch.setattr(httpx2, "AsyncClient", partial(httpx2.AsyncClient, transport=httpx2.ASGITransport(app)))
        return app

    return make


@pytest.mark.anyio
async def test_the_rate_is_used_and_never_exceeded(make_app):
    """At least 95 % of it, and no 429, where the API does no worse than to fail now and then."""
    app = make_app(failures=0.02)
    await evaluate.main(800)
    assert app.answers == {200: 800, 500: sum(app.failed.values())}
    assert app.failed.total() > 5
    for model, account in app.accounts.items():
        seen, requests = account.stats(), evaluate.REQUESTS[model.split()[1]]
        assert seen["used_share"] >= 0.95
        assert seen["most_requests"] == requests
        assert seen["most_tokens"] <= account.limits.tokens
        # Without settle() the tokens would have been what holds it up.
        assert seen["last"] - seen["first"] < 1.05 * ((seen["requests"] - 1) // requests) * evaluate.PER + 2


@pytest.mark.anyio
async def test_the_whole_job(tmp_path, make_app, capsys):
    """No limit is exceeded, and each prompt has its end, whatever the API does. Run again, nothing is asked again."""
    app = make_app(failures=0.04, refusals=0.01, hangs=0.01, hopeless=0.01)
    await evaluate.main(600)
    hopeless = {prompt for prompt, times in app.failed.items() if times > 1}
    assert 0 < len(hopeless) < 15
    assert {
        f"prompt {number}" for number, end in ends_in(tmp_path / "answers.jsonl").items() if end == "failed"
    } == hopeless
    assert (len(app.prompts), app.prompts.total()) == (600 - len(hopeless), 600 - len(hopeless))
    assert app.answers[500] > 5 * len(hopeless)
    assert 0 < app.answers[429] < 15  # those on purpose
    for account in app.accounts.values():
        seen = account.stats()
        assert (seen["most_requests"], seen["most_tokens"] <= account.limits.tokens) == (account.limits.requests, True)
    shown = capsys.readouterr()
    assert f"{600 - len(hopeless):6} completed" in shown.out
    assert f"{len(hopeless):6} failed Server error '500 Internal Server Error'" in shown.out
    assert "of 600 done" in shown.err
    assert "rate limited" in shown.err

    results, answers = results_in(tmp_path / "answers.jsonl"), app.answers.copy()
    await evaluate.main(600)
    assert app.answers == answers
    assert results_in(tmp_path / "answers.jsonl") == results
    assert capsys.readouterr().out.splitlines()[1:] == shown.out.splitlines()[1:]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_in_the_middle_and_run_again(tmp_path, backend):
    """Twice, at random moments. Each prompt has one result. Only those that ran at a kill are asked again."""
    count = 240
    seed = os.environ.get("SEED") or random.randrange(10**9)  # noqa: S311  no secret
    print(f"SEED={seed}")  # noqa: T201  pytest shows it beside a failure
    dice = random.Random(seed)  # noqa: S311  no secret
    with api("--failures=0.03", "--latency=0.1") as (environment, stats):
        options = {"cwd": tmp_path, "env": environment | {"BACKEND": backend}}

        def are_answered(number):
            return stats()["prompts"] > number

        for share in sorted(dice.uniform(0.05, 0.5) for _ in range(2)):
            kill_when(partial(are_answered, share * count), EXAMPLE, count, **options)
            assert stats()["prompts"] < count
        out, _ = output_of(EXAMPLE, count, **options)
        seen = stats()
    assert ends_in(tmp_path / "answers.jsonl") == dict.fromkeys(range(count), "completed")
    assert seen["prompts"] == count
    assert seen["answered_again"] <= 2 * SLOTS
    assert "429" not in seen["answers"]  # the rates go on over a kill
    assert out.startswith(f"{count} prompts in ")


def test_the_command_line(tmp_path):
    """The command of the docstring, in fewer lines than were needed once."""
    _, _, text = evaluate.__doc__.partition("::\n\n")
    lines = text.strip().splitlines()
    assert len(lines) < 7
    command = shlex.split(text.replace("\\\n", " "))
    assert command.pop(0) == "lionpride-exec"
    (tmp_path / "examples").symlink_to(EXAMPLES)
    records = [
        {"number": n, "model": ["small", "large"][n % 2], "prompt": f"p {n}"} | {"max_tokens": 9} for n in range(60)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    with api("--failures=0.1", "--refusals=0.05") as (environment, stats):
        for expected in ("60 lines: 60 completed", "60 lines: 60 done before"):  # run again, nothing is left to do
            _, err = output_of("-m", "lionpride_exec", *command, cwd=tmp_path, env=environment)
            assert expected in err
        seen = stats()
    results = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert sorted(result["response"] for result in results) == sorted(record["prompt"][::-1] for record in records)
    assert (seen["prompts"], seen["answered_again"]) == (60, 0)
    assert min(seen["answers"]["500"], seen["answers"]["429"]) > 0


def test_a_server_that_does_not_start_is_named():
    """Without this, a missing package showed up as an empty string that is no port."""
    with (
        pytest.raises(RuntimeError, match=r"the server no_server\.py did not start"),
        local_server.started("no_server.py", "NO_SERVER_URL"),
    ):
        pass
    assert "NO_SERVER_URL" not in os.environ
