"""The installed package: its version, types and docstrings, and which modules its import loads."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import lionpride_exec

PACKAGE = Path(lionpride_exec.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# Modules of extras, of journals and of development. Importing the package loads none of them.
OPTIONAL = {
    "coredis", "cyclopts", "hypothesis", "msgspec", "pyarrow", "pytest", "rich", "sqlite3", "textual", "tqdm", "trio",
    "uvloop",
}  # fmt: skip


def test_the_version_is_said_once():
    """The installed version is the one in pyproject.toml."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    assert version(project["name"]) == project["version"]


def test_the_addresses_have_one_source():
    """Each address of the project begins with the one in pyproject.toml, and so does each link of its README."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    repository = settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    installed = metadata(settings["project"]["name"])
    urls = dict(line.split(", ") for line in installed.get_all("Project-URL"))
    assert urls.keys() == {"Documentation", "Changelog", "Source", "Issues"}
    links = re.findall(r"\]\(([^)]+)\)", installed["Description"])
    files = f"{repository}/blob/v{installed['Version']}/"
    assert f"{files}docs/features.md" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert {url.startswith(repository) for url in urls.values()} == {True}


def test_licences_of_others_are_named():
    """The licence of each file of another project is in the metadata, and its text is among the files of licences."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    vendored = [tomllib.loads(path.read_text("utf-8"))["file"] for path in PACKAGE.rglob("vendor.toml")]
    named = {"Apache-2.0", *(file["licence"] for files in vendored for file in files)}
    assert len(named) > 1
    assert set(project["license"].split(" AND ")) == named
    texts = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*LICENSE*")}
    assert set(project["license-files"]) == {"LICENSE", *texts}


FOR_DEVELOPMENT = {"bench", "browser", "check", "clients", "coverage", "docs", "release", "test"}


def test_extras_and_groups_name_each_other():
    """The extra ``all`` has each extra of users but ``testing``. Each dependency group is the extra of its name."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    extras = settings["project"]["optional-dependencies"]
    named = set()
    rest = ["all"]
    while rest:
        lines = [line for line in extras[rest.pop()] if line.startswith("lionpride-exec[")]
        new = {extra for line in lines for extra in line[line.index("[") + 1 : -1].split(",")} - named
        named |= new
        rest += new
    assert named == extras.keys() - {"all", "testing", *FOR_DEVELOPMENT}
    groups = settings["dependency-groups"]
    assert groups.pop("dev") == [{"include-group": "check"}]
    assert groups == {name: [f"lionpride-exec[{name}]"] for name in groups}
    assert groups.keys() <= extras.keys()


def test_the_page_on_installing_names_each_extra_of_users():
    """In its table of extras. Those for work on the library itself are in CONTRIBUTING.md too."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    table = re.search(r"(?ms)^\| extra \|.*?\n\n", (PACKAGE.parent / "docs/install.md").read_text("utf-8"))[0]
    named = set(re.findall(r"`([\w-]+)`", " ".join(re.findall(r"(?m)^\|([^|]*)\|", table))))
    assert project["optional-dependencies"].keys() - named <= FOR_DEVELOPMENT


def test_each_dependency_has_a_lowest_version():
    """CI takes the lowest versions from pyproject.toml, and runs the tests with them."""
    folder = PACKAGE.parent / ".ci"
    if not folder.is_dir():
        pytest.skip("not a checkout")
    command = [sys.executable, str(folder / "lowest")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    pins = dict(line.split("==") for line in done.stdout.splitlines())
    extras = project["optional-dependencies"]
    names = ("cli", "cluster", "journal", "parquet", "progress", "testing", "trio")
    lines = [line for name in names for line in extras[name]]
    for line in [*project["dependencies"], *lines]:
        name, _, lowest = line.partition(">=")
        # Another extra may need a higher one: they are all installed together.
        assert numbers(pins[name]) >= numbers(lowest.partition(",")[0])
    assert pins["anyio"] == project["dependencies"][0].removeprefix("anyio>=")
    assert pins["rich"] == extras["top"][0].removeprefix("rich>=")  # the highest of several


def numbers(version):
    """Give a version as numbers, which are in order."""
    return [int(part) for part in version.split(".")]


def test_messages_name_extras_that_there_are():
    """The install command of each message names an extra of pyproject.toml."""
    extras = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    texts = [(PACKAGE / module).read_text("utf-8") for module in MODULES]
    named = {extra for text in texts for extra in re.findall(r"install_command\(['\"](\w+)['\"]\)", text)}
    assert {"cli", "cluster", "journal", "parquet", "progress", "schedule", "zstd"} <= named <= extras.keys()


def test_no_message_and_no_page_installs_from_an_index():
    """The package is on no index. ``install_command()`` has the command of all messages."""
    root = PACKAGE.parent
    files = [*PACKAGE.rglob("*.py"), *root.glob("docs/**/*.md"), *root.glob("*.md"), *root.glob("examples/*")]
    texts = {path: path.read_text("utf-8") for path in files if path.suffix in {".md", ".py"}}
    assert PACKAGE / "_base/wording.py" in texts
    assert [str(path) for path, text in texts.items() if re.search(r"pip install\s+['\"]?lionpride", text)] == []
    modules = [path for path, text in texts.items() if path.suffix == ".py" and "pip install '.[" in text]
    assert [path for path in modules if PACKAGE in path.parents] == [PACKAGE / "_base/wording.py"]


def test_the_types_are_public():
    """The package has py.typed, so type checkers use its annotations."""
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_what_it_is(module):
    """Each module has a docstring."""
    assert ast.get_docstring(ast.parse((PACKAGE / module).read_text("utf-8")))


def test_the_import_is_light():
    """Importing the package imports no optional module."""
    program = f"import sys; old = {{*sys.modules}}; import lionpride_exec; print(*{OPTIONAL} & {{*sys.modules}} - old)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert done.stdout.split() == []
