"""Glossary and references: an index, the chapters of each paper, and what is shown on hovering."""

import json
import re
from collections import defaultdict
from pathlib import Path

from docutils import nodes
from lxml import etree, html
from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as Plain
from pybtex.style.template import Node, field, sentence
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY, REFERENCES = "glossary", "references"
PREVIEWS = "_static/previews_data.js"
_TERM = re.compile(r"^## (.+)$", re.M)
_LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


class Index(SphinxTransform):
    """Put each term into the index: its entry in the glossary, its first link in each chapter."""

    default_priority = 700  # before Sphinx gathers what it has read

    def apply(self) -> None:
        """Add the entries of one page."""
        if self.env.docname == GLOSSARY:
            for section in self.document.findall(nodes.section):
                if section.parent is not self.document:
                    _add(section, 1, section[0].astext(), section["ids"][0], "main")
            return
        text = (Path(self.env.srcdir) / f"{GLOSSARY}.md").read_text(encoding="utf-8")
        terms = {_slug(term): term for term in _TERM.findall(text)}
        for link in list(self.document.findall(addnodes.pending_xref)):
            anchor = link.get("reftargetid")
            if link["reftarget"] == GLOSSARY and anchor in terms:
                at = link.parent.index(link)
                link.parent.insert(at, nodes.target("", "", ids=[f"word-{anchor}"]))
                _add(link.parent, at, terms.pop(anchor), f"word-{anchor}", "")


def _add(parent: nodes.Element, at: int, term: str, place: str, main: str) -> None:
    parent.insert(at, addnodes.index(entries=[("single", term, place, main, None)], inline=True))


def _slug(term: str) -> str:
    return term.lower().replace(" ", "-")


class AsWritten(Plain):
    """References with their titles as references.bib has them: "GPUs", not "gpus"."""

    def format_title(self, entry: Entry, which_field: str, as_sentence: bool = True) -> Node:
        """Return a title."""
        return sentence[field(which_field)] if as_sentence else field(which_field)


def normal(address: str) -> str:
    """Return an address in the one form in which two of a paper are compared."""
    return address.lower().rstrip("/")


def chapters_of_papers(folder: Path) -> dict[str, list[str]]:
    """Return the chapters that link to an address: address -> names of pages, in order."""
    found = defaultdict(list)
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        for address in sorted({normal(a) for a in _LINK.findall(prose)}):
            found[address].append(path.stem)
    return found


def name_chapters(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Say at each reference which chapters link to it."""
    if page != REFERENCES:
        return
    chapters = chapters_of_papers(Path(app.srcdir))
    for entry in doctree.findall(nodes.citation):
        addresses = {
            normal(link["refuri"]) for link in entry.findall(nodes.reference) if "refuri" in link
        }
        names = sorted({name for address in addresses for name in chapters.get(address, ())})
        if names:
            entry[-1] += _linked(app, names)


def _linked(app: Sphinx, names: list[str]) -> list[nodes.Node]:
    parts: list[nodes.Node] = [nodes.Text(" Chapter " if len(names) == 1 else " Chapters ")]
    for at, name in enumerate(names):
        uri = app.builder.get_relative_uri(REFERENCES, name)
        parts += [nodes.Text(", ")] * (at > 0)
        parts.append(nodes.reference("", name[:2], refuri=uri, internal=True))
    return [*parts, nodes.Text(".")]


def write_previews(app: Sphinx, failed: Exception | None) -> None:
    """Write what is shown on hovering: address of a link -> the HTML of the entry."""
    if failed or app.builder.format != "html":
        return
    out = Path(app.outdir)
    previews = {}
    page = html.parse(out / f"{GLOSSARY}.html")
    for section in page.xpath("//article//section/section"):
        text = "".join(_inner(each) for each in section.xpath("./p[1]"))
        title = section.xpath("string(./h2/text())")
        previews[f"{GLOSSARY}.html#{section.get('id')}"] = f"<b>{title}</b> {text}"
    page = html.parse(out / f"{REFERENCES}.html")
    for entry in page.xpath("//div[@class='citation']"):
        for address in entry.xpath(".//a[starts-with(@href, 'http')]/@href"):
            previews[normal(address)] = "".join(_inner(each) for each in entry.xpath("./p[1]"))
    (out / PREVIEWS).write_text(f"const PREVIEWS = {json.dumps(previews)};\n", encoding="utf-8")


def _inner(element: html.HtmlElement) -> str:
    """Return the HTML inside an element; its links, which a preview cannot follow, as text."""
    etree.strip_tags(element, "a")
    parts = [etree.tostring(child, encoding="unicode", method="html") for child in element]
    return (element.text or "") + "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is above with Sphinx."""
    register_plugin("pybtex.style.formatting", "as_written", AsWritten)
    app.add_transform(Index)
    app.connect("doctree-resolved", name_chapters)
    app.connect("build-finished", write_previews)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
