"""What a release is made of: the wheel's metadata, the workflows, the lines that wait for the changelog."""

import re
import runpy
import subprocess
import tomllib
from zipfile import ZipFile

import pytest
from pages import ROOT

pytestmark = pytest.mark.any_versions  # of dependencies: see .ci/run

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USES = re.compile(r"(?m)^ *-? *uses: *(.+)$")
README = (
    "# Title\n\n[a page](docs/a.md), [another](https://example.org), `[no](link)`\n\n```python\nx = rows[0](1)\n```\n"
)
URL = "https://example.org/x"


def wheel_in(directory, url=URL, readme=None):
    """Make a file with the metadata of a wheel, and return it."""
    path = directory / "x-1.0-py3-none-any.whl"
    shown = README.replace("](docs", f"]({URL}/blob/v1.0/docs") if readme is None else readme
    fields = f"Metadata-Version: 2.4\nName: x\nVersion: 1.0\nProject-URL: Source, {url}\n"
    with ZipFile(path, "w") as archive:
        archive.writestr("x-1.0.dist-info/METADATA", f"{fields}\n{shown}")
    return path


@pytest.fixture
def problems():
    """Return the check of wheels."""
    return runpy.run_path(str(ROOT / "tools" / "check_wheel.py"))["problems"]


def test_a_good_wheel_has_no_problems(tmp_path, problems):
    """Its README has the links to the files of its version."""
    assert problems(wheel_in(tmp_path), README) == []


@pytest.mark.parametrize(
    ("wheel", "problem"),
    [
        ({"readme": README}, "docs/a.md is no address"),
        ({"readme": "# Another\n"}, "the README is not README.md"),
        ({"url": "https://example.org/y"}, "no link leads to the files of this version"),
    ],
)
def test_a_bad_wheel_is_told(tmp_path, problems, wheel, problem):
    """Each fault of the metadata by its own sentence."""
    assert problem in "\n".join(problems(wheel_in(tmp_path, **wheel), README))


@pytest.mark.skipif(not WORKFLOWS, reason="an archive of the sources has no workflows")
def test_actions_are_pinned():
    """Each action is named by the SHA of a commit, with its version, and everywhere by the same."""
    pins = {}
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert "\npermissions: {}\n" in text
        for use in USES.findall(text):
            name, sha, said = re.fullmatch(r"([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", use).groups()
            assert pins.setdefault(name, (sha, said)) == (sha, said)
    assert {"actions/checkout", "pypa/gh-action-pypi-publish"} <= pins.keys()


def test_a_line_of_the_changelog_has_a_kind():
    """The names in changelog.d are those that towncrier knows. Each file is one line of text."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    for path in (ROOT / "changelog.d").iterdir():
        if path.name != "README.md":
            assert re.fullmatch(rf"\+[a-z0-9-]+\.({kinds})\.md", path.name)
            assert len(path.read_text("utf-8").splitlines()) == 1
    assert (ROOT / "CHANGELOG.md").read_text("utf-8").count(settings["start_string"]) == 1


def test_a_release_with_another_tag_is_refused():
    """Before anything is built."""
    script = ROOT / "tools" / "check_release.sh"
    command = [str(script), "--publish", "v0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own
    assert done.returncode == 1
    assert "the tag is v0.0.0, and the version is" in done.stderr
