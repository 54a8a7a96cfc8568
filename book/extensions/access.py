"""What the theme leaves to mend: for screen readers, as axe-core found it, and for phones."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

MENDED = (
    # The text inside says more, and a label would hide it.
    (' aria-label="Toggle hidden content"', ""),
    (' title="Search" aria-label="Search"', ' title="Search"'),
    ("<summary><span", '<summary aria-label="Its pages"><span'),
    (
        '<div id="pst-primary-sidebar"',
        '<div role="region" aria-label="Book" id="pst-primary-sidebar"',
    ),
    # The roles are deprecated, and the list held what is no item.
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (' role="doc-biblioentry"', ""),
    ('<th class="head"><p></p></th>', "<td></td>"),
)


def mend(app: Sphinx, failed: Exception | None) -> None:
    """Put the pages right after they were written."""
    if failed or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for found, better in MENDED:
            text = text.replace(found, better)
        path.write_text(text, encoding="utf-8")


def box_figures(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Give each figure of a cell a box, in which it scrolls alone: what the cell printed stays."""
    for image in list(doctree.findall(nodes.image)):
        if "cell_output" in image.parent.get("classes", []):
            box = nodes.container(classes=["drawn"])
            image.replace_self(box)
            box += image


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the change with Sphinx."""
    app.connect("doctree-resolved", box_figures)
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
