"""How Sphinx builds the book. tools/build_book.py puts its pages together and calls it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "extensions"))

project = "Teach a network to write"
author = "The authors of the course"
copyright = "The authors of the course. The code is under the MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinxcontrib.bibtex",
    "access",
    "docstrings",
    "mathematics",
    "words",
]
exclude_patterns = ["files"]
root_doc = "index"
nitpicky = True
# Types of other projects: their pages are not in the book.
nitpick_ignore_regex = [
    ("py:class", r"(tuple\[~)?(numpy|torch|collections|pathlib|contextlib)\..*")
]
nitpick_ignore = [("py:class", "lstmlib.distributed.T")]
highlight_language = "none"  # prose quotes shell commands, texts and Python; Python says so

# The notebooks are shown as they were committed: nothing is executed.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables in outputs
nb_ipywidgets_js = {}  # it would come from a CDN
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "as_written"

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
# It stands on every page, so also on one that got away from the others. Sphinx knows `tags`.
html_title = project if tags.has("student") else f"{project}, with solutions"  # noqa: F821
templates_path = ["templates"]
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["previews_data.js", "previews.js", "book.js", "found.js"]
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses on a disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "show_toc_level": 2,
    "footer_content_items": ["copyright.html"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
