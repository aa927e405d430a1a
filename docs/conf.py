"""
The site of the documentation, built without a network.

``python -m sphinx -n -W --keep-going -T -b html docs docs/_build/html`` builds it from the pages beside this file,
which stay readable in the repository. What the site has beyond these pages is made by ``_extensions/`` at each build:
the reference of the public names, of the commands and of the tables of a journal, diagrams, and files outside of
``docs/`` to which pages link.
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
# The last one knows what is public: the test of the public interface and the reference have one list.
sys.path[:0] = [str(ROOT), str(HERE / "_extensions"), str(ROOT / "tests" / "project")]

project = "lionpride_exec"
author = "the authors of lionpride_exec"
project_copyright = author
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "notfound.extension",
    "sphinx_llms_txt",
    "accessible",
    "command_reference",
    "diagrams",
    "journal_tables",
    "public_names",
    "repository_files",
    "search_numbers",
    "settings",
]
root_doc = "index"
exclude_patterns = ["_build", "_extensions"]
nitpicky = True
smartquotes = False  # the help of the commands has options in plain text: --journal

# Pages
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# A page that shows the Markdown of another file has the title of that file.
suppress_warnings = ["myst.header"]

# Reference
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

# Links in docstrings that lead to no page, and need none: a hook for subclasses, which docs/durability.md explains.
nitpick_ignore = [("py:meth", "_upgrade")]

# Appearance
html_theme = "furo"
html_title = f"lionpride_exec {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "../lionpride_exec/web/static/icon.svg"
html_search_scorer = str(HERE / "_extensions" / "search_order.js")
html_show_sourcelink = False  # no page links to its source; llms-full.txt still needs the copies
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
notfound_urls_prefix = None

# For machines that read
llms_txt_summary = (
    "lionpride_exec runs thousands of async operations inside an asyncio or trio program: by priority, under exact "
    "limits, with retries, on disk or in a cluster, with the status of each operation known at every moment."
)
