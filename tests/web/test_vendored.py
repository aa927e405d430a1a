"""The files of other projects in the package."""

import importlib.util
from pathlib import Path

import pytest

import lionpride_exec

STATIC = Path(lionpride_exec.__file__).parent / "web" / "static"
TOOL = Path(__file__).parents[2] / "tools" / "vendor.py"


@pytest.fixture(name="vendor")
def the_tool():
    """The tool that fetches and compares them."""
    if not TOOL.exists():
        pytest.skip("not a checkout")
    spec = importlib.util.spec_from_file_location("vendor", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_what_the_list_says(vendor):
    """Each has its SHA-256, a version and a licence; a file that is not ours is in the list."""
    assert vendor.differing() == []
    named = {entry["name"] for entry in vendor.entries()}
    ours = {"dashboard.js", "icon.svg", "style.css", "vendor.toml"}
    assert {path.name for path in STATIC.iterdir()} == named | ours
    assert all(entry["licence"] and entry["version"] for entry in vendor.entries())


def test_a_change_is_noticed(vendor, tmp_path, monkeypatch):
    """A file that differs in a byte, or is gone, is named."""
    for path in STATIC.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(vendor, "LIST", tmp_path / "vendor.toml")
    assert vendor.differing() == []
    (tmp_path / "htmx.min.js").write_bytes(b"x" + (tmp_path / "htmx.min.js").read_bytes())
    (tmp_path / "hx-sse.min.js").unlink()
    assert vendor.differing() == ["htmx.min.js", "hx-sse.min.js"]


def test_the_licence_is_there():
    """The text of the licence stands beside the files, and is not served."""
    assert "Zero-Clause BSD" in (STATIC / "htmx-LICENSE.txt").read_text("utf-8")
