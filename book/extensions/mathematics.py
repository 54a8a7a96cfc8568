"""Formulas as MathML, which browsers lay out by themselves: no script, no font, no network.

The converter is that of Docutils, which comes with Sphinx.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)


def mathml(node: nodes.Element, as_block: bool) -> str:
    """Return the MathML of a formula; one that cannot be read is a warning, and shown as it is."""
    source = re.sub(r"\\dots(?![a-zA-Z])", r"\\ldots", node.astext())
    try:
        return tex2mathml(source, as_block=as_block)
    except MathError as error:
        log.warning("The formula %r cannot be shown: %s", source, error, location=node)
        return f"<code>{nodes.make_id(source)}</code>"


def inline(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula in a line."""
    translator.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula on lines of its own."""
    translator.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
