"""
Fetch the files of other projects that the package contains, and compare them with what vendor.toml says.

    python tools/vendor.py           # compares; exits 1 if a file differs
    python tools/vendor.py --fetch   # takes the files from the npm registry, by `npm pack`, and writes their hashes

``lionpride_exec/web/static/vendor.toml`` names for each file the package, its version, its licence and the SHA-256. For
a new version, change the version there, run with ``--fetch``, and run the tests of the browser.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from hashlib import sha256
from pathlib import Path

LIST = Path(__file__).parent.parent / "lionpride_exec" / "web" / "static" / "vendor.toml"


def entries() -> list[dict[str, str]]:
    """Return what vendor.toml says of each file."""
    return tomllib.loads(LIST.read_text("utf-8"))["file"]


def differing() -> list[str]:
    """Return the names of the files that are not what vendor.toml says."""
    return [entry["name"] for entry in entries() if digest(LIST.with_name(entry["name"])) != entry["sha256"]]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file. Empty if it is not there."""
    return sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def fetch() -> None:
    """Take each file from its package, and write its hash into vendor.toml."""
    text = LIST.read_text("utf-8")
    for entry in entries():
        target = LIST.with_name(entry["name"])
        target.write_bytes(member_of(f"{entry['package']}@{entry['version']}", entry["path"]))
        text = text.replace(entry["sha256"], digest(target))
    LIST.write_text(text, "utf-8")


def member_of(package: str, path: str) -> bytes:
    """Return a file of a package of the npm registry."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  npm, from wherever it is
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            found = files.extractfile(f"package/{path}")
            if found is None:
                raise SystemExit(f"{package} has no file {path}")
            return found.read()


def main() -> int:
    """Compare or fetch; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare or fetch the files of other projects.")
    parser.add_argument("--fetch", action="store_true", help="take the files from the npm registry")
    if parser.parse_args().fetch:
        fetch()
    found = differing()
    print(f"differ from vendor.toml: {', '.join(found)}" if found else "all files are what vendor.toml says")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
