"""The commands of ``docs/cluster-commands.md``, on a real server."""

import shlex
import signal

import pytest
from command_support import Place, ended, until
from page_shell import CLIENT, RECORDS, Shell, split, tokens_of, variants
from pages import PAGES, blocks_in

PAGE = "docs/cluster-commands.md"


@pytest.fixture
def place(tmp_path, server):
    """A folder with what the page names, and the queue that is meant if none is named."""
    place = Place(tmp_path, server)
    place.queue = place.environment["QUEUE"] = "default"
    place.ask(lambda queue: queue.wire.command(lambda client: client.flushall()))
    (tmp_path / "tasks.py").write_text((tmp_path / "app.py").read_text())
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "requests.jsonl").write_text(RECORDS)
    return place


def lines():
    """Return the commands of the page, with what their comments say."""
    (block,) = (block for block in blocks_in(PAGES[PAGE].read_text("utf-8")) if block.language == "sh")
    install, *rest = block.text.splitlines()
    return install, [(line.partition("  # ")[0], line.partition("  # ")[2]) for line in rest]


@pytest.mark.parametrize("line", [line for line, _ in lines()[1]])
def test_each_command_works(place, line):
    """Without and with its options in brackets."""
    said = dict(lines()[1])[line]
    for number in range(len(variants(tokens_of(line)))):
        is_open = " cancel " in line
        (event,) = place.submit([1 if is_open else -1], work=not is_open)
        meant = line.replace("EVENT", event).replace("NAME", place.queue)
        _, name, *rest = variants(tokens_of(meant))[number]
        command = [name, *rest]
        if name == "worker":
            child = place.start(*command)
            assert b"worker" in child.stderr.readline()
            child.send_signal(signal.SIGTERM)
            status, err = child.wait(), child.stderr.read()
        else:
            status, _, err = place.run(*command)
        assert status == (130 if "exit status 130" in said else 0), (shlex.join(command), err)


def test_the_options_and_the_installation_exist(tmp_path):
    """Also those that stand in brackets."""
    install, rest = lines()
    shell = Shell(tmp_path)
    for command in split(tokens_of(install), "&&"):
        assert not list(shell.problems_of_a_look(command))
    for line, _ in rest:
        words = [word.strip("[]") for word in tokens_of(line)]
        depth = 3 if words[1] == "cluster" else 2
        known = shell.run(shlex.join([*words[:depth], "--help"])).stdout
        assert [word for word in words if word.startswith("-") and word not in known] == []


def test_a_failed_event_that_is_retried_runs_again(place):
    """As the page says, at once, if there is a worker."""
    (event,) = place.submit([-1], work=True)
    child, _ = place.start_worker()
    assert place.run("cluster", "retry", "--failed")[0] == 0
    until(lambda: len(place.runs()) == 1 and ended(place, 1)())
    assert place.details([event])[0].attempt == 1
    child.kill()
