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
    "command_reference",
    "diagrams",
    "journal_tables",
    "public_names",
    "repository_files",
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

# What -n does not have to find, by reason. Names of the standard library and public names are found: see public_names.
_TYPE_VARIABLES = r"(lionpride_exec\..*\.)?(D|E|P|R|T|T_co|X)"
_ALIASES = (  # of texts, unions and callables: the docstring of the parameter says what it takes
    r"Ack|Amount|Delay|KeyOf|Label|Limit|Middleware|Mode|OnFull|Overlap|Relation|RetainRule|RunIn|Style|Synchronous"
    r"|TimeFormat|Unique"
)
_MADE_BY_THE_PACKAGE = (  # the types of constructors that only the package calls
    r"(lionpride_exec\._.*\.)?(ChunkBuffer|ChunkSource|Entry|MapOptions|Observed|ReportHost|Resets|Route|Router"
    r"|ScheduleTask|Subscription)"
)
_OF_TOOLS = (  # in annotations for type checkers; docs/telemetry.md and docs/testing.md name the tools
    r"Metric|SearchStrategy|TaskStatus|TracerProvider|(_pytest|anyio|attrs|hypothesis)\..*"
)
_KEYWORDS = r"ExecutorKeywords"  # a TypedDict for type checkers: Executor and Processor describe the keywords
_IN_SUBCLASSES = r"_upgrade"  # a hook that docs/durability.md explains
_GIVEN_TO_CHECKS = r"ServerQueue"  # of check_cluster(), which finds it by itself
nitpick_ignore_regex = [
    (r"py:.*", f"({names})")
    for names in (
        _TYPE_VARIABLES,
        _ALIASES,
        _MADE_BY_THE_PACKAGE,
        _OF_TOOLS,
        _KEYWORDS,
        _IN_SUBCLASSES,
        _GIVEN_TO_CHECKS,
    )
]

# Appearance
html_theme = "furo"
html_title = f"lionpride_exec {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False  # the sources are copied all the same, for llms-full.txt
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
