"""
What mypy (strict) and pyright make of the package: what they infer, and what they object to.

``typing_checks.py`` has what they must find out, by ``assert_type``; ``typing_errors.py`` the lines that they must
refuse. Each checker reads both once, at the same time as the other.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from once import directory_of_run, once

pytestmark = pytest.mark.any_versions  # see .ci/run

ROOT = Path(__file__).parents[2]
CHECKS, ERRORS = "tests/project/typing_checks.py", "tests/project/typing_errors.py"
COMMANDS = {
    "mypy": ["mypy", "--output", "json", CHECKS, ERRORS],
    "pyright": ["pyright", "--outputjson", "--pythonpath", sys.executable, CHECKS, ERRORS],
}
SECONDS = 100


def reports_of_mypy(output):
    """Give file, line and code of each error."""
    for line in output.splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            yield report["file"], report["line"], report["code"]


def reports_of_pyright(output):
    """Give file, line and rule of each error and warning."""
    for report in json.loads(output)["generalDiagnostics"]:
        name = Path(report["file"]).relative_to(ROOT).as_posix()
        yield name, report["range"]["start"]["line"] + 1, report.get("rule", "error")


READERS = {"mypy": reports_of_mypy, "pyright": reports_of_pyright}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What each checker reports: sets of file, line and code."""
    return once(directory_of_run(tmp_path_factory), "reports of the type checkers", run_checkers)


def run_checkers():
    """Run both checkers at the same time. Return what each reports."""
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(
                subprocess.Popen(  # noqa: S603  our own command
                    [sys.executable, "-m", *command],
                    cwd=ROOT,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            for name, command in COMMANDS.items()
        }
        found = {}
        for name, child in children.items():
            output, trouble = child.communicate(timeout=SECONDS)
            assert child.returncode in {0, 1}, output + trouble
            found[name] = set(READERS[name](output))
        return found


def by_line(reports):
    """Give the codes of each line of typing_errors.py that is reported."""
    codes = {}
    for name, line, code in reports:
        if name == ERRORS:
            codes.setdefault(line, set()).add(code)
    return codes


def marked():
    """Give the codes that are marked in it, by line: of mypy, and of pyright."""
    lines = (ROOT / ERRORS).read_text("utf-8").splitlines()
    marks = {number: line.partition("  # error: ")[2].split() for number, line in enumerate(lines, 1)}
    return {number: dict(zip(COMMANDS, codes, strict=True)) for number, codes in marks.items() if codes}


@pytest.mark.parametrize("checker", COMMANDS)
def test_what_is_inferred(checker, reports):
    """Every assert_type() holds, and nothing has to be ignored for that."""
    assert "ignore" not in (ROOT / CHECKS).read_text("utf-8")
    assert {report for report in reports[checker] if report[0] != ERRORS} == set()


@pytest.mark.parametrize("checker", COMMANDS)
def test_what_is_refused(checker, reports):
    """Exactly the lines that are marked, by both checkers, each for the reason that is marked, maybe among others."""
    found, expected = by_line(reports[checker]), marked()
    assert len(expected) > 50
    assert sorted(found) == sorted(expected)
    assert {line: codes for line, codes in found.items() if expected[line][checker] not in codes} == {}
