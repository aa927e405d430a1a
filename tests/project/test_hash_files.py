"""The example ``hash_files.py``: digests equal to those of hashlib and of sha256sum."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest
from commands import run

from lionpride_exec.testing import BACKENDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "hash_files.py"
TARGET = f"{EXAMPLE}:HashFile"

NAMES = ["plain", "", " space ", "-", "café", "odd\udcff\udcfe", 'quote"', "back\\slash", "carriage\rreturn"]


@pytest.fixture
def tree(tmp_path):
    """Files with odd names, one of them empty, one of two chunks."""
    folder = tmp_path / "tree" / "below"
    folder.mkdir(parents=True)
    sizes = [2 << 20, *range(len(NAMES) - 1)]
    for name, size in zip(NAMES, sizes, strict=True):
        (folder / f"x{name}").write_bytes(name[:1].encode() * size)
    return tmp_path / "tree"


def files_below(directory):
    """Give all regular files."""
    return [path for path in Path(directory).rglob("*") if path.is_file()]


def digest(path):
    """Give what hashlib says."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_list(paths, tmp_path, backend="asyncio"):
    """Run the example over a list of paths; give the exit status and the results by path."""
    (tmp_path / "list").write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))
    output = tmp_path / "hashes.jsonl"
    status = run(TARGET, str(tmp_path / "list"), field="path", output=str(output), backend=backend, quiet=True)
    results = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    return status, {Path(result["record"]["path"]): result for result in results}


@pytest.mark.parametrize("backend", BACKENDS)
def test_digests_and_sizes_of_odd_files(tree, tmp_path, backend):
    """Odd names, an empty file, one of several chunks."""
    paths = files_below(tree)
    assert len(paths) == len(NAMES)
    status, results = hash_list(paths, tmp_path, backend)
    assert status == 0
    assert {path: result["response"] for path, result in results.items()} == {
        path: {"sha256": digest(path), "size": path.stat().st_size} for path in paths
    }


def test_a_file_that_vanishes_is_a_failure(tree, tmp_path):
    """The others are hashed; the status is 1."""
    paths = files_below(tree)
    paths[3].unlink()
    status, results = hash_list(paths, tmp_path)
    assert status == 1
    failed = [path for path, result in results.items() if result["status"] == "failed"]
    assert failed == [paths[3]]
    assert results[paths[3]]["error"]["error"] == "FileNotFoundError"
    assert len(results) == len(paths)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_standard_library(tmp_path, backend):
    """A package with subpackages, and the modules beside it: equal to hashlib's."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = files_below(library / "email") + files_below(library / "json")
    paths += [path for path in library.iterdir() if path.is_file()]
    assert len(paths) > 200
    status, results = hash_list(paths, tmp_path, backend)
    assert status == 0
    assert {path: result["response"]["sha256"] for path, result in results.items()} == {
        path: digest(path) for path in paths
    }


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_script_prints_what_sha256sum_prints(tree):
    """Byte for byte, names that have to be escaped included."""
    (tree / "new\nline").touch()
    paths = files_below(tree)
    ours = output_of(sys.executable, EXAMPLE, tree)
    theirs = output_of("sha256sum", *paths)
    assert sorted(ours.splitlines()) == sorted(theirs.splitlines())


def test_the_script_says_what_it_could_not_read(tree):
    """It goes on, and its exit status is 1."""
    code = """
    import os, runpy, sys
    os.path.isfile = lambda path: True  # as if the file vanished after this question
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    """
    (tree / "dangling").symlink_to("nowhere")
    arguments = [sys.executable, "-c", dedent(code), EXAMPLE, tree]
    child = subprocess.run(arguments, capture_output=True, check=False, timeout=60)  # noqa: S603  our own
    assert child.returncode == 1
    assert len(child.stdout.splitlines()) == len(NAMES)
    assert b"dangling" in child.stderr


def output_of(*arguments):
    """Run a command that succeeds; give what it prints."""
    return subprocess.run(arguments, capture_output=True, check=True, timeout=60).stdout  # noqa: S603  our own
