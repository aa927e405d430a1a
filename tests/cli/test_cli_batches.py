"""The command line: the batch files of OpenAI and Anthropic as INPUT, and their result files as output."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import run, standard_input, virtual_time

TARGETS = """
import anyio
from lionpride_exec import Event, Processor, RateLimited

class RateLimitError(Exception): pass
class BadRequestError(Exception): pass

async def answer(request):
    match request["model"]:
        case "limited": raise RateLimitError("slow down")
        case "bad": raise BadRequestError("no such model")
        case "broken": raise KeyError("choices")
        case "slow": await anyio.sleep(1000)
    return {"id": "msg_1", "model": request["model"]}

class Ask(Event):
    model: str
    messages: list
    async def _invoke(self): return {"model": self.model}
"""
MODELS = ["good", "limited", "bad", "broken", "slow"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A directory with targets."""
    (tmp_path / "target.py").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)


def request(kind, name, model="good", **more):
    """Return a request as the documentation of the service has it."""
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    if kind == "openai":
        return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": asked}
    return {"custom_id": name, "params": asked | {"max_tokens": 9}}


def write(kind, *requests, form="lines"):
    """Write requests as JSON lines, or as the object or the array that Anthropic takes."""
    text = "".join(json.dumps(one) + "\n" for one in requests)
    if form != "lines":
        text = json.dumps(
            {"requests": requests} if form == "object" else requests, indent=2 if form == "object" else None
        )
    Path("in").write_text(text)
    return f"{kind}-batch"


def read(name="out"):
    """Return the lines of a file, read as JSON."""
    return [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]


def run_all(kind, **options):
    """Run requests that succeed, are refused, fail and take too long. Return their results by their ids."""
    named = write(kind, *(request(kind, f"r-{model}", model) for model in MODELS))
    options = {"input_format": named, "output_format": named, "output": "out", "quiet": True, "timeout": 9, **options}
    with virtual_time():
        assert run("target.py:answer", "in", **options) == 1
    found = read()
    assert sorted(result["custom_id"] for result in found) == sorted(f"r-{model}" for model in MODELS)
    return {result["custom_id"].removeprefix("r-"): result for result in found}


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_results_of_openai(journal):
    """Each field is one of those of the request output object, with a value of its type."""
    found = run_all("openai", journal=journal)
    for result in found.values():
        assert list(result) == ["id", "custom_id", "response", "error"]
        assert result["id"].startswith("batch_req_")
        assert (result["response"] is None) != (result["error"] is None)
        if result["response"] is not None:
            assert list(result["response"]) == ["status_code", "request_id", "body"]
            assert isinstance(result["response"]["request_id"], str)
    assert len({result["id"] for result in found.values()}) == len(MODELS)
    assert found["good"]["response"]["status_code"] == 200
    assert found["good"]["response"]["body"] == {"id": "msg_1", "model": "good"}
    assert found["limited"]["response"]["status_code"] == 429
    assert found["limited"]["response"]["body"] == {
        "error": {"message": "RateLimitError: slow down", "type": "rate_limit_error", "param": None, "code": None}
    }
    assert found["bad"]["response"]["status_code"] == 400
    assert found["bad"]["response"]["body"]["error"]["type"] == "invalid_request_error"
    assert found["broken"]["error"] == {"code": "request_failed", "message": "KeyError: 'choices'"}
    assert found["slow"]["error"]["code"] == "request_timeout"


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_results_of_anthropic(journal):
    """Each field is one of those of the individual response, with a value of its type."""
    found = run_all("anthropic", journal=journal)
    assert all(list(result) == ["custom_id", "result"] for result in found.values())
    assert found["good"]["result"] == {"type": "succeeded", "message": {"id": "msg_1", "model": "good"}}

    def errored(kind, message):
        error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}
        return {"type": "errored", "error": error}

    assert found["limited"]["result"] == errored("rate_limit_error", "RateLimitError: slow down")
    assert found["bad"]["result"] == errored("invalid_request_error", "BadRequestError: no such model")
    assert found["broken"]["result"] == errored("api_error", "KeyError: 'choices'")
    assert found["slow"]["result"]["error"]["error"]["type"] == "timeout_error"


@pytest.mark.skipif(find_spec("anthropic") is None, reason="needs the extra clients")
def test_the_client_of_anthropic_reads_the_results():
    """By its own strict types."""
    from anthropic.types.messages import MessageBatchIndividualResponse  # noqa: PLC0415  it may be missing

    found = run_all("anthropic")
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    found["good"]["result"]["message"] = message
    read_back = {name: MessageBatchIndividualResponse.model_validate(one) for name, one in found.items()}
    assert {name: one.result.type for name, one in read_back.items()} == {
        name: "succeeded" if name == "good" else "errored" for name in MODELS
    }
    types = {name: one.result.error.error.type for name, one in read_back.items() if name != "good"}
    assert types == {
        "limited": "rate_limit_error",
        "bad": "invalid_request_error",
        "broken": "api_error",
        "slow": "timeout_error",
    }


@pytest.mark.parametrize(("kind", "expected"), [("openai", "batch_cancelled"), ("anthropic", "canceled")])
def test_what_was_given_up_is_cancelled(kind, expected):
    """By a second Ctrl-C, or by the program itself."""
    Path("stop.py").write_text("from lionpride_exec import Skip\nasync def answer(request): raise Skip('not needed')\n")
    named = write(kind, request(kind, "r"))
    run("stop.py:answer", "in", input_format=named, output_format=named, output="out", quiet=True)
    (result,) = read()
    assert (result["error"]["code"] if kind == "openai" else result["result"]["type"]) == expected


@pytest.mark.parametrize(
    ("kind", "form"), [("openai", "lines"), ("anthropic", "lines"), ("anthropic", "object"), ("anthropic", "array")]
)
@pytest.mark.parametrize("source", ["in", "-"])
def test_the_target_gets_the_request(kind, form, source):
    """A function gets it whole, an event by its fields. The record is the whole line."""
    requests = [request(kind, "a"), request(kind, "b", "other")]
    named = write(kind, *requests, form=form)
    if source == "-":
        with standard_input(Path("in").read_bytes()):
            status = run("target.py:answer", "-", input_format=named, output="out", quiet=True)
    else:
        status = run("target.py:answer", "in", input_format=named, output="out", quiet=True)
    assert status == 0
    assert [(one["record"], one["response"]["model"], one["line"]) for one in read()] == [
        (requests[0], "good", 1),
        (requests[1], "other", 2),
    ]


def test_an_event_gets_the_fields_of_the_request():
    """Those that the class declares. Others are refused, as without a batch."""
    named = write("openai", request("openai", "a"), request("openai", "b", extra=1))
    assert run("target.py:Ask", "in", input_format=named, output="out", quiet=True) == 1
    assert [one["response"] for one in read()] == [{"model": "good"}]


@pytest.mark.parametrize("journal", [None, "run.db"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"custom_id": "a"}, "id 'a' is also on line 1"),
        ({"custom_id": None}, "the id field 'custom_id' is null"),
        ({"body": None}, "'body' of a request must be an object: None"),
        ({"body": [1]}, "'body' of a request must be an object: [1]"),
    ],
)
def test_what_is_no_request_is_a_bad_line(capsys, journal, change, told):
    """The others run."""
    named = write("openai", request("openai", "a"), request("openai", "b") | change, request("openai", "c"))
    assert run("target.py:answer", "in", input_format=named, output="out", quiet=True, journal=journal) == 1
    assert capsys.readouterr().err == f"lionpride-exec: line 2: {told}\n"
    assert sorted(one["record"]["custom_id"] for one in read()) == ["a", "c"]


def test_a_request_is_known_by_its_id():
    """With a journal, a request that was changed is not run again, and one that was added is."""
    options = {"journal": "run.db", "output": "out", "quiet": True, "output_format": "openai-batch"}
    named = write("openai", request("openai", "a"), request("openai", "b"))
    assert run("target.py:answer", "in", input_format=named, **options) == 0
    write("openai", request("openai", "c"), request("openai", "b", "changed"), request("openai", "a"))
    assert run("target.py:answer", "in", input_format=named, **options) == 0
    found = [(one["custom_id"], one["response"]["body"]["model"]) for one in read()]
    assert found == [("c", "good"), ("b", "good"), ("a", "good")]


def test_options_go_by_the_whole_record():
    """Their paths begin with the field of the request. A restart knows them too."""
    named = write("openai", request("openai", "a", tokens=5), request("openai", "b", tokens=5))
    options = {"key": "body.model", "rate": "10/60s:body.tokens", "journal": "run.db", "output": "out", "quiet": True}
    for _ in range(2):
        assert run("target.py:answer", "in", input_format=named, **options) == 0
    assert len(read()) == 2


def test_a_secret_of_a_request_is_hidden():
    """In the record and in the error that quotes it."""
    Path("leak.py").write_text("async def leak(request):\n    raise ValueError(request['token'])\n")
    named = write("openai", request("openai", "a", token="hunter22"))  # noqa: S106  not one
    assert run("leak.py:leak", "in", input_format=named, output="out", redact="body.token", quiet=True) == 1
    text = Path("out").read_text()
    assert "hunter22" not in text
    assert '"token": "***"' in text


def test_fields_and_a_format_with_its_own_exclude_each_other(capsys):
    """Wrong use."""
    named = write("openai", request("openai", "a"))
    assert run("target.py:answer", "in", input_format=named, output_format=named, fields="a", output="out") == 2
    assert "--fields and --output-format openai-batch exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_a_record_without_an_id_is_not_run(capsys, journal):
    """Its result could not be told from others, so the call would be made for nothing. A table may have the ids."""
    Path("in").write_text('{"custom_id": "a", "model": "good"}\n{"model": "good"}\n{"custom_id": null}\n"text"\n')
    options = {"output": "out", "output_format": "anthropic-batch", "journal": journal}
    assert run("target.py:answer", "in", dry_run=True, **options) == 1
    capsys.readouterr()
    assert run("target.py:answer", "in", quiet=True, **options) == 1
    why = "the results of a batch file are told by it"
    assert [line.removeprefix("lionpride-exec: ") for line in capsys.readouterr().err.splitlines()] == [
        f"line 2: 'custom_id' is missing: {why}",
        f"line 3: 'custom_id' is null: {why}",
        f"line 4: 'custom_id' is missing: {why}",
    ]
    assert [one["custom_id"] for one in read()] == ["a"]


def test_an_event_need_not_have_the_id():
    """The column is for the results only."""
    Path("in.csv").write_text("custom_id,model,messages\na,good,[]\n")
    assert run("target.py:Ask", "in.csv", output="out", output_format="openai-batch", quiet=True) == 0
    assert [(one["custom_id"], one["response"]["body"]) for one in read()] == [("a", {"model": "good"})]


# ---------------------------------------------------------------- errors with an answer of HTTP

ANSWERS = """
import httpx

OPENAI = {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "none"}}
ANTHROPIC = {"type": "error", "error": {"type": "not_found_error", "message": "no"}, "request_id": "req_1"}

class BadRequestError(Exception): pass

class APIStatusError(Exception):
    def __init__(self, status_code, body):
        super().__init__("refused")
        self.status_code, self.body = status_code, body

def refuse(status, **content):
    request = httpx.Request("POST", "http://host/v1")
    httpx.Response(status, request=request, **content).raise_for_status()

async def answer(request):
    match request["model"]:
        case "openai": refuse(404, json=OPENAI)
        case "anthropic": refuse(404, json=ANTHROPIC)
        case "page": refuse(502, text="<html>")
        case "long": refuse(413, text="x" * 5000)
        case "empty": refuse(418)
        case "inner": raise APIStatusError(422, OPENAI["error"])
        case "secret": refuse(400, json={"error": {"message": f"bad key {request['key']}"}})
        case "wrapped":
            try:
                refuse(409, json=OPENAI)
            except httpx.HTTPStatusError as exc:
                raise BadRequestError("mine") from exc
        case "none": raise BadRequestError("no answer")
"""


def run_answers(kind, *models, **options):
    """Run requests that are answered with errors. Return their results by their models."""
    Path("answers.py").write_text(ANSWERS)
    named = write(kind, *(request(kind, model, model, key="s3cret-key") for model in models))
    options = {"input_format": named, "output_format": named, "output": "out", "quiet": True, **options}
    with virtual_time():
        assert run("answers.py:answer", "in", **options) == 1
    return {result["custom_id"]: result for result in read() if "custom_id" in result}


OPENAI = {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "none"}}


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_the_answer_of_a_service_is_kept_for_openai(journal):
    """Its status code, and its body if that is one of an error. Else the body says what is known."""
    found = run_answers("openai", "openai", "page", "long", "empty", "inner", "wrapped", "none", journal=journal)
    assert all(one["error"] is None for one in found.values())
    answers = {name: one["response"] for name, one in found.items()}
    codes = {"openai": 404, "page": 502, "long": 413, "empty": 418, "inner": 422, "wrapped": 409, "none": 400}
    assert {name: one["status_code"] for name, one in answers.items()} == codes
    for name in ("openai", "inner", "wrapped"):
        assert answers[name]["body"] == OPENAI
    for name, kind in (("page", "server_error"), ("long", "invalid_request_error"), ("empty", "invalid_request_error")):
        error = answers[name]["body"]["error"]
        assert (error["type"], error["param"], error["code"]) == (kind, None, None)
        assert error["message"].startswith("HTTPStatusError: ")


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_the_answer_of_a_service_is_kept_for_anthropic(journal):
    """The whole error of its body. Else its type is by the status code."""
    found = run_answers("anthropic", "anthropic", "openai", "page", "long", "none", journal=journal)
    errors = {name: one["result"]["error"] for name, one in found.items()}
    assert errors["anthropic"] == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no"},
        "request_id": "req_1",
    }
    types = {name: one["error"]["type"] for name, one in errors.items()}
    assert types == {
        "anthropic": "not_found_error",
        "openai": "not_found_error",
        "page": "api_error",
        "long": "invalid_request_error",
        "none": "invalid_request_error",
    }


def test_the_answer_behind_a_pause_is_kept():
    """An event that has no time to wait ends with the answer that asked for the pause."""
    found = run_answers("openai", "page", "openai", pause_on="502,404", max_pause=0.5)
    assert found["page"]["response"]["status_code"] == 502
    assert found["openai"]["response"] | {"request_id": ""} == {"status_code": 404, "request_id": "", "body": OPENAI}


@pytest.mark.parametrize("journal", [None, "run.db"])
def test_secrets_in_an_answer_are_redacted(journal):
    """In the output, and in the journal."""
    found = run_answers("openai", "secret", journal=journal, redact="body.key")
    assert found["secret"]["response"]["body"] == {"error": {"message": "bad key ***"}}


def test_usual_results_have_the_answer_too():
    """As details of the error. A long body is left out."""
    run_answers("openai", "openai", "page", "long", "none", output_format=None)
    errors = {result["record"]["custom_id"]: result["error"] for result in read()}
    assert errors["openai"]["details"] == {"status_code": 404, "body": OPENAI}
    assert errors["page"]["details"] == {"status_code": 502, "body": "<html>"}
    assert errors["long"]["details"] == {"status_code": 413}
    assert errors["none"] == {"error": "BadRequestError", "message": "no answer"}
