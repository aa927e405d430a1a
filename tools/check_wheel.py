"""
Check the metadata of a wheel: its addresses, and that its README is ours but for the links to files.

    python tools/check_wheel.py dist/NAME.whl
"""

from __future__ import annotations

import re
import sys
from email import message_from_bytes, policy
from pathlib import Path
from zipfile import ZipFile

CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def problems(wheel: Path, readme: str) -> list[str]:
    """Return what is wrong with a wheel, whose README is made from this text."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name), policy=policy.EmailPolicy(utf8=True))
    shown = archive_text(metadata.get_payload(decode=True))
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    base = f"{urls.get('Source')}/blob/v{metadata['Version']}/"
    links = re.findall(r"\]\(([^)]+)\)", CODE.sub("", shown))
    found = [f"{link} is no address" for link in links if not link.startswith("https://")]
    if base not in shown:
        found.append("no link leads to the files of this version")
    if shown.replace(f"]({base}", "](").strip() != readme.strip():
        found.append("the README is not README.md with other links")
    return found


def archive_text(payload: object) -> str:
    """Return the body of the metadata as text."""
    if not isinstance(payload, bytes):
        raise TypeError("the metadata has no body")
    return payload.decode("utf-8")


if __name__ == "__main__":
    text = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    if told := problems(Path(sys.argv[1]), text):
        sys.exit("\n".join(told))
    print(f"{Path(sys.argv[1]).name}: the addresses and the README are right")
