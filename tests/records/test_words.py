"""Words and references: each term has its entry, each paper its own, each link one of them."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
GLOSSARY = (ROOT / "notebooks/glossary.md").read_text(encoding="utf-8")
BIB = (ROOT / "notebooks/references.bib").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.M)


def prose(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchor(term):
    return term.lower().replace(" ", "-")


def entries():
    """Return of each reference its fields: key -> {field: value}."""
    found = {}
    for key, body in re.findall(r"^@\w+\{([^,\s]+),\n(.*?)^\}", BIB, re.M | re.S):
        fields = re.findall(r"^ *(\w+) *= *[{\"](.*?)[}\"],?$", body, re.M | re.S)
        found[key] = {name.lower(): " ".join(value.split()) for name, value in fields}
    return found


ENTRIES = entries()


def surnames(author):
    """Return the surnames of a BibTeX author field, without accents' braces."""
    names = [name.strip() for name in re.split(r"\s+and\s+", author)]
    return [
        re.sub(r"[{}\\'\"`^~]", "", n.split(",")[0] if "," in n else n.split()[-1]) for n in names
    ]


def test_every_reference_is_whole():
    assert len(ENTRIES) >= 20 and len(ENTRIES) == BIB.count("\n@") + BIB.startswith("@")
    for key, fields in ENTRIES.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert fields.get("doi") or fields.get("url", "").startswith("https://"), key
        assert re.fullmatch(r"(19|20)\d\d", fields["year"]), key


def test_no_paper_has_two_entries():
    titles = [re.sub("[^a-z]", "", fields["title"].lower()) for fields in ENTRIES.values()]
    assert len(set(titles)) == len(titles)


CITED = re.compile(
    r"([A-ZÀ-Ž][\w’'-]+)(?: et al\.| and [A-Z][\w-]+)(?:,? \(?|'s \()((?:19|20)\d\d)"
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_paper_that_is_named_has_its_entry(path):
    known = {(n.split()[-1], f["year"]) for f in ENTRIES.values() for n in surnames(f["author"])}
    for name, year in CITED.findall(prose(path)):
        assert (name, year) in known, f"{name} {year} is not in references.bib"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_references_are_links_that_the_list_knows(path):
    text = prose(path)
    section = text.partition("## References")[2].partition("\n## ")[0]
    links = re.findall(r"\]\((https://[^)\s]+)\)", section)
    assert links
    known = {f.get("url", "").rstrip("/") for f in ENTRIES.values()}
    known |= {f"https://doi.org/{f['doi']}".lower() for f in ENTRIES.values() if "doi" in f}
    papers = [a for a in links if "doi.org" in a or "arxiv.org" in a]
    for address in papers:
        at = address.rstrip("/")
        assert at in known or at.lower() in known, f"{address} is not in references.bib"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_words_lead_to_the_glossary(path):
    links = set(re.findall(r"\(glossary\.md#([^)]+)\)", prose(path)))
    assert links, "no word is linked to the glossary"
    assert links <= set(map(anchor, TERMS))


def test_the_glossary_is_in_order_and_each_word_stands_in_its_chapter():
    assert len({term.lower() for term in TERMS}) == len(TERMS)
    assert sorted(TERMS, key=str.lower) == TERMS
    numbers = re.findall(r"^### (.+)\n\n.*\((\d\d)\)$", GLOSSARY, re.M)
    assert [term for term, _ in numbers] == TERMS
    texts = {path.name[:2]: path.read_text(encoding="utf-8").lower() for path in NOTEBOOKS}
    for term, number in numbers:
        word = re.sub("[- ]", "[-_ ]", term.lower())
        linked = f"(glossary.md#{anchor(term)})" in texts[number]
        assert linked or re.search(word, texts[number]), f"{term}, chapter {number}"
