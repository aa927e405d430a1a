"""
What hatchling asks for the parts of the metadata that depend on the addresses of the project.

pyproject.toml names the repository and the address for mail once, below ``[tool.hatch.metadata.hooks.custom]``. The
links of the README lead to files beside it, which an index does not have. So the README of the package has links to
the repository instead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Code, which stays as it is, or the second half of a link to a file beside the page: no address, no heading.
CODE_OR_LINK = re.compile(r"^```.*?^```$|`[^`\n]+`|\]\((?![a-z]+:|#)(?P<file>[^)\s]+)\)", re.DOTALL | re.MULTILINE)


def urls(repository: str) -> dict[str, str]:
    """Return the addresses of the project."""
    return {
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Source": repository,
        "Issues": f"{repository}/issues",
    }


def absolute(text: str, base: str) -> str:
    """Return a page of Markdown whose links to files begin with an address."""
    return CODE_OR_LINK.sub(lambda found: f"]({base}/{found['file']})" if found["file"] else found[0], text)


class ProjectMetadata(MetadataHookInterface):
    """Adds the authors, the addresses, and the README with links to the files of this version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what pyproject.toml calls dynamic."""
        repository = self.config["repository"]
        text = Path(self.root, "README.md").read_text("utf-8")
        files = f"{repository}/blob/v{metadata['version']}"
        metadata["authors"] = [{"name": "lionpride_exec contributors", "email": self.config["contact"]}]
        metadata["urls"] = urls(repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, files)}
