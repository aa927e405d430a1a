"""The example ``hash_files.py``: digests equal to those of hashlib and of sha256sum."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lionpride_exec._cli._options import RunOptions
from lionpride_exec._cli._run import run

EXAMPLE = Path(__file__).parent.parent / "examples" / "hash_files.py"
TARGET = f"{EXAMPLE}:HashFile"
BACKENDS = ["asyncio", "trio", "asyncio+uvloop"]

NAMES = [b"plain", b"", b" space ", b"-", b"caf\xc3\xa9", b"odd\xff\xfe", b'quote"', b"back\\slash", b"carriage\rreturn"]


@pytest.fixture
def tree(tmp_path):
    """Files with odd names and contents; give the directory and the digests by name."""
    folder = tmp_path / "tree" / "below"
    folder.mkdir(parents=True)
    for index, name in enumerate(NAMES):
        path = os.fsencode(folder) + b"/x" + name
        with open(path, "wb") as file:
            file.write(bytes([index]) * (1 << 21 if index == 0 else index - 1))  # one empty, one of two chunks
    return tmp_path / "tree"


def files_below(directory):
    """Give the paths of all regular files, as bytes."""
    return [
        os.path.join(folder, name)
        for folder, _, names in os.walk(os.fsencode(directory))
        for name in names
        if os.path.isfile(os.path.join(folder, name))
    ]


def digest(path):
    """Give what hashlib says."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def hash_list(paths, tmp_path, backend="asyncio"):
    """Run the example over a list of paths; give the exit status and the results by path."""
    (tmp_path / "list").write_bytes(b"".join(path + b"\n" for path in paths))
    output = tmp_path / "hashes.jsonl"
    options = RunOptions(field="path", output=str(output), backend=backend, quiet=True)
    status = run(TARGET, str(tmp_path / "list"), options)
    results = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    return status, {os.fsencode(result["record"]["path"]): result for result in results}


@pytest.mark.parametrize("backend", BACKENDS)
def test_digests_and_sizes_of_odd_files(tree, tmp_path, backend):
    """Odd names, an empty file, one of several chunks."""
    paths = files_below(tree)
    assert len(paths) == len(NAMES)
    status, results = hash_list(paths, tmp_path, backend)
    assert status == 0
    assert {path: result["response"] for path, result in results.items()} == {
        path: {"sha256": digest(path), "size": os.path.getsize(path)} for path in paths
    }


def test_a_file_that_vanishes_is_a_failure(tree, tmp_path):
    """The others are hashed; the status is 1."""
    paths = files_below(tree)
    os.remove(paths[3])
    status, results = hash_list(paths, tmp_path)
    assert status == 1
    failed = [path for path, result in results.items() if result["status"] == "failed"]
    assert failed == [paths[3]]
    assert results[paths[3]]["error"]["error"] == "FileNotFoundError"
    assert len(results) == len(paths)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_standard_library(tmp_path, backend):
    """A package with subpackages, and the modules beside it: equal to hashlib's."""
    library = os.fsencode(sysconfig.get_path("stdlib"))
    paths = [path for path in files_below(library + b"/email") + files_below(library + b"/json")]
    paths += [entry.path for entry in os.scandir(library) if entry.is_file()]
    assert len(paths) > 200
    status, results = hash_list(paths, tmp_path, backend)
    assert status == 0
    assert {path: result["response"]["sha256"] for path, result in results.items()} == {
        path: digest(path) for path in paths
    }


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_script_prints_what_sha256sum_prints(tree):
    """Byte for byte, names that have to be escaped included."""
    with open(tree / "new\nline", "wb"):
        pass
    paths = files_below(tree)
    ours = subprocess.run([sys.executable, EXAMPLE, tree], capture_output=True, check=True, timeout=60).stdout
    theirs = subprocess.run(["sha256sum", *paths], capture_output=True, check=True, timeout=60).stdout
    assert sorted(ours.splitlines()) == sorted(theirs.splitlines())


def test_the_script_says_what_it_could_not_read(tree):
    """It goes on, and its exit status is 1."""
    script = "import sys, os; sys.argv = sys.argv[1:]; import runpy; os.path.isfile = lambda p: True; "
    (tree / "dangling").symlink_to("nowhere")
    code = script + "runpy.run_path(sys.argv[0], run_name='__main__')"
    child = subprocess.run([sys.executable, "-c", code, EXAMPLE, tree], capture_output=True, check=False, timeout=60)
    assert child.returncode == 1
    assert len(child.stdout.splitlines()) == len(NAMES)
    assert b"dangling" in child.stderr
