"""The feedback that students get, as a page that needs no network; grading_nbgrader.py names it.

No program. nbgrader's own page has formulas set by a script from another host, and calls each
exercise in its list "Test cell", under a number that is not the chapter's. Here formulas become
MathML, which browsers lay out by themselves, by the converter of Docutils, as in the book; and the
list has the exercises' own numbers and names.
"""

import html
import re
from collections.abc import Mapping

from assignment import numbers_of
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
WRAPPED = "<style>pre { white-space: pre-wrap; overflow-wrap: anywhere; }</style>"
"""A check speaks in long lines."""
LISTED = re.compile(r'<a href="#check-(\w+)">Test cell</a>')


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
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = _each_once(cell.outputs)
        page, resources = super().from_notebook_node(nb, resources, **more)
        page = re.sub(r'(<div id="toc">\s*)<ol>(.*?)</ol>', r"\1<ul>\2</ul>", page, flags=re.S)
        numbers = numbers_of(nb.cells)
        page = LISTED.sub(lambda found: _listed(found[1], numbers), page)
        return MATHJAX.sub(WRAPPED, page), resources


def _each_once(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return outputs without what a check printed if the error that it ended with says the same."""
    kept = []
    said = [output.evalue for output in outputs if output.output_type == "error"]
    for output in outputs:
        if output.output_type == "stream":
            for words in said:
                output.text = output.text.replace(f"{words}\n", "")
            if not output.text.strip():
                continue
        kept.append(output)
    return kept


def _listed(name: str, numbers: Mapping[str, str]) -> str:
    title = f"{numbers[name]} · {name}" if numbers.get(name) else name
    return f'<a href="#check-{name}">{title}</a>'


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
