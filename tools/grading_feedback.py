"""The feedback that students get, as a page that needs no network; grading_nbgrader.py names it.

No program. nbgrader's own page has formulas set by a script from another host, and calls each
exercise in its list "Test cell". Here formulas become MathML, which browsers lay out by themselves,
by the converter of Docutils, as in the book; and the list has the names of the exercises.
"""

import html
import re

from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode

CODE = re.compile(r"(<pre.*?</pre>|<code.*?</code>)", re.S)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.S)
MATHJAX = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.S)
LISTED = re.compile(r'(<a href="#check-(\w+)">)Test cell(?=</a>)')


class FeedbackExporter(HTMLExporter):
    """nbconvert's pages, with formulas and names in them."""

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Return the HTML of a cell of text."""
        return with_formulas(super().markdown2html(context, source))

    def from_notebook_node(
        self, nb: NotebookNode, resources: ResourcesDict | None = None, **more: object
    ) -> tuple[str, ResourcesDict]:
        """Return the page of a notebook."""
        page, resources = super().from_notebook_node(nb, resources, **more)
        return LISTED.sub(r"\1\2", MATHJAX.sub("", page)), resources


def with_formulas(text: str) -> str:
    """Return HTML with the formulas between dollars in it as MathML; code stays as it is."""
    pieces = CODE.split(text)
    pieces[::2] = [FORMULA.sub(_mathml, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _mathml(found: re.Match) -> str:
    block = found[1] is not None
    source = re.sub(r"\\dots(?![a-zA-Z])", r"\\ldots", html.unescape(found[1] or found[2]))
    try:
        return tex2mathml(source.strip(), as_block=block)
    except MathError:
        return found[0]
