"""The files of a first project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lionpride_exec._cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT: Final = "client.py"
CONFIG: Final = "run.toml"
CALLS: Final = "calls.jsonl"
RESULTS: Final = "results.jsonl"
JOURNAL: Final = "run.db"
REPORT: Final = "report.html"

# Records of the file of calls that a new project has.
EXAMPLES: Final = 9

_HERE: Final = Path(__file__).parent


def project(calls: int) -> dict[str, str]:
    """Return the text of each file by its name. ``calls`` is how many records the file of calls has."""
    templates = {name: (_HERE / f"{name}.txt").read_text("utf-8") for name in (CLIENT, CONFIG)}
    return {**templates, CALLS: "".join(f"{json.dumps(record)}\n" for record in map(_record, range(1, calls + 1)))}


def _record(number: int) -> dict[str, object]:
    return {"number": number, "model": "small" if number % 3 else "large", "prompt": f"question {number}"}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """
    Write files into a folder, which is made if there is none.

    Raises:
        UsageError: One of the files exists. Nothing is written.
        OutputError: A file cannot be written.
    """
    existing = [name for name in files if (folder / name).exists()]
    if existing:
        raise UsageError(f"{folder} has {', '.join(existing)} already: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as exc:
        raise OutputError(f"cannot write into {folder}: {exc.strerror or exc}") from exc
