"""
Numbers in the search of the site: Sphinx leaves them out, and ``429`` is what a reader looks for.

They are left out twice: of the index, by the class of the language, and of a query, by the script of the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.errors import ExtensionError
from sphinx.search.en import SearchEnglish

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LEFT_OUT = r" || queryTerm.match(/^\d+$/)"
# Status codes have so many digits. Shorter numbers are everywhere.
DIGITS = 3


class EnglishAndNumbers(SearchEnglish):
    """English, with numbers such as status codes as words."""

    def word_filter(self, word: str) -> bool:
        """Return whether a word is in the index."""
        return (word.isdigit() and len(word) == DIGITS) or super().word_filter(word)


def take_numbers(app: Sphinx, error: Exception | None) -> None:
    """Have the script of the search look for numbers too."""
    if error is not None or app.builder.name != "html":
        return
    script = Path(app.outdir, "_static", "searchtools.js")
    text = script.read_text("utf-8")
    if LEFT_OUT not in text:
        raise ExtensionError(f"{script.name} of this Sphinx leaves out numbers in another way than {LEFT_OUT}")
    script.write_text(text.replace(LEFT_OUT, ""), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace the language of the search."""
    app.add_search_language(EnglishAndNumbers)
    app.connect("build-finished", take_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
