"""The files that the pages load. They are read once, and served from memory."""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from typing import Final

import attrs

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# The colours and the type scale are those of the report.
_SHARED_STYLE: Final = files("lionpride_exec._faces") / "page.css"


@attrs.frozen
class File:
    """A file: its bytes, and what they are."""

    content: bytes
    media_type: str


@attrs.frozen
class Static:
    """
    The files.

    Attributes:
        files: The files by their names.
        version: A text that changes with any of them. It is part of their addresses, so that browsers may keep them.
    """

    files: dict[str, File]
    version: str


def read_static() -> Static:
    """Return the files. Those of other types, such as licences, are not served."""
    found: dict[str, File] = {}
    for path in sorted((files("lionpride_exec.web") / "static").iterdir(), key=lambda path: path.name):
        media_type = _TYPES.get(path.name[path.name.rfind(".") :])
        if media_type is not None:
            found[path.name] = File(path.read_bytes(), media_type)
    style = found["style.css"]
    found["style.css"] = File(_SHARED_STYLE.read_bytes() + style.content, style.media_type)
    digest = blake2b(digest_size=8)
    for file in found.values():
        digest.update(file.content)
    return Static(found, digest.hexdigest())
