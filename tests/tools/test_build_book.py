"""The book: every cell, figure and word of the chapters, folded, linked, and without a network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from chromium import browser, needs_chromium, screenshot
from lxml import html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import book_links  # noqa: E402
import book_pages  # noqa: E402
import book_print  # noqa: E402
import build_book  # noqa: E402
from book_pages import BookError  # noqa: E402

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the whole book once; Sphinx's warnings are errors."""
    pytest.importorskip("torch")  # the pages of the library import it
    return build_book.build_html(ROOT, tmp_path_factory.mktemp("book"))


def page(site, name):
    return html.parse(str(site / f"{name}.html")).getroot()


def article(site, path):
    return page(site, path.stem).xpath("//article")[0]


def cells(path, kind="code"):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def squeezed(text):
    return re.sub(r"\s+", " ", text)


# Every chapter


@each_chapter
def test_code_and_output_are_those_of_the_notebook(site, path):
    text = squeezed(article(site, path).text_content())
    for cell in cells(path):
        assert squeezed(cell.source.strip()) in text, cell.source
        for output in cell.outputs:
            assert squeezed(output.get("text", "").strip()) in text, output


@each_chapter
def test_what_checks_and_what_solves_is_folded_and_its_output_is_not(site, path):
    shown = article(site, path).xpath(".//div[contains(@class, 'cell ')]")
    assert len(shown) == len(cells(path))
    for cell, part in zip(cells(path), shown, strict=True):
        folded = part.xpath(".//details//div[contains(@class, 'cell_input')]")
        assert bool(folded) == bool(tags(cell) & {"hide-input", "solution", "answer"}), cell.source
        assert bool(part.xpath(".//*[contains(@class, 'cell_output')]")) == bool(cell.outputs)
        assert not part.xpath(".//details//*[contains(@class, 'cell_output')]")
        assert len(part.xpath(".//details[@open]")) == 0


@each_chapter
def test_figures_have_the_alternative_text_of_the_notebook(site, path):
    alts = [
        output.metadata["image/png"]["alt"]
        for cell in cells(path)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    pictures = article(site, path).xpath(".//div[contains(@class, 'cell_output')]//img")
    assert [squeezed(p.get("alt")) for p in pictures] == [squeezed(alt).strip() for alt in alts]
    assert all(alts)


@each_chapter
def test_formulas_are_mathml(site, path):
    formulas = sum(
        len(re.findall(r"\$\$", re.sub(r"(?s)```.*?```|`[^`\n]*`", "", cell.source))) // 2
        for cell in cells(path, "markdown")
    )
    shown = article(site, path)
    assert len(shown.xpath(".//div[@class='formula']/math")) == formulas
    for code in shown.xpath(".//code | .//pre | .//details"):
        code.drop_tree()
    assert not re.search(r"\$[^$]*[\\^_]|\\(frac|sum|tau)\b", shown.text_content())


@each_chapter
def test_every_word_that_a_chapter_links_is_in_the_glossary_and_has_a_preview(site, path):
    anchors = set(page(site, "glossary").xpath("//section/@id"))
    linked = {
        a for c in cells(path, "markdown") for a in re.findall(r"glossary\.md#([^)]+)", c.source)
    }
    shown = set(article(site, path).xpath(".//a[starts-with(@href, 'glossary.html#')]/@href"))
    assert linked and linked <= anchors
    assert {f"glossary.html#{anchor}" for anchor in linked} <= shown <= set(previews(site))


def previews(site):
    text = (site / "_static/previews_data.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"const PREVIEWS = (.*);\n", text)[1])


# The site


def test_every_page_can_be_reached_and_nothing_is_loaded_from_outside(site):
    names = set(page(site, "index").xpath("//nav[contains(@class, 'bd-docs-nav')]//a/@href"))
    assert names >= {f"{path.stem}.html" for path in CHAPTERS}
    assert names >= {"glossary.html", "references.html", "library.html", "genindex.html"}
    assert book_links.dead_links(site) == [] and book_links.outside(site) == []
    assert (site / "page/index.html").stat().st_size > 1_000_000


def test_every_picture_has_alternative_text(site):
    for name, tree in book_links.pages(site).items():
        assert all(image.get("alt", "").strip() for image in tree.xpath("//article//img")), name


def test_the_search_finds_a_word(site):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", text.strip())[1])
    found = {index["docnames"][i] for i in index["terms"]["perplex"]}
    assert {"00_start_here", "09_measuring_text"} <= found
    assert index["docnames"][index["titleterms"]["perplex"]] == "glossary"


def test_the_index_has_every_term_and_its_chapters(site):
    terms = re.findall(r"^### (.+)$", (ROOT / "notebooks/glossary.md").read_text("utf-8"), re.M)
    shown = page(site, "genindex")
    assert set(terms) <= {strong.text_content() for strong in shown.xpath("//li/a/strong")}
    links = shown.xpath("//a[starts-with(@href, '00_start_here.html#word-')]")
    assert len(links) > 10 and {link.text_content().strip() for link in links} == {"00"}


def test_every_paper_is_listed_with_its_link_and_its_chapters(site):
    entries = parse_file(str(ROOT / "notebooks/references.bib")).entries
    shown = page(site, "references").xpath("//div[@class='citation']")
    assert len(shown) == len(entries)
    links = {link.lower() for link in page(site, "references").xpath("//article//a/@href")}
    for entry in entries.values():
        address = entry.fields.get("url") or f"https://doi.org/{entry.fields['doi']}"
        assert address.lower() in links, address
        assert address.lower().rstrip("/") in previews(site), address
    lstm = next(p for p in shown if "Sepp Hochreiter and" in p.text_content())
    assert {"00_start_here.html", "03_lstm_from_scratch.html"} <= set(lstm.xpath(".//a/@href"))


def test_a_glossary_entry_names_the_chapters_that_link_to_it(site):
    [entry] = page(site, "glossary").xpath("//section[@id='band']")
    assert "00_start_here.html" in entry.xpath(".//a/@href")


def test_every_module_is_in_the_library(site):
    package = (ROOT / "lstmlib/__init__.py").read_text(encoding="utf-8")
    for name in re.findall(r"^    (\w+)  ", package, re.M):
        assert page(site, f"library/{name}").xpath("//article//dl"), name


def test_a_folded_cell_says_what_it_holds(site):
    said = [s.text_content() for s in page(site, "00_start_here").xpath("//article//summary/p[1]")]
    assert "Show the check" in said
    assert [s for s in said if "solution" in s] == [
        f"Show the solution of exercise {n}" for n in range(1, 8)
    ]


# In a browser


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_from_the_disk_on_a_phone(site, scheme):
    with browser() as chromium:
        context = chromium.new_context(
            viewport={"width": 390, "height": 844}, color_scheme=scheme, offline=True
        )
        tab = context.new_page()
        bad = []
        tab.on("request", lambda r: bad.append(r.url) if not r.url.startswith("file:") else None)
        tab.on("pageerror", lambda error: bad.append(str(error)))
        for name in ("index", *(path.stem for path in CHAPTERS), "library/models", "genindex"):
            tab.goto((site / f"{name}.html").as_uri())
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, f"{name} is {width} wide"
        assert not bad
        tab.goto((site / "02_rnn_from_scratch.html").as_uri())
        assert tab.locator(".formula math").first.bounding_box()["height"] > 15
        assert tab.locator("html").get_attribute("data-theme") == scheme
        screenshot(tab, f"book-{scheme}")


@needs_chromium
def test_a_word_shows_its_meaning_to_pointer_and_keyboard_and_the_search_works(site):
    with browser() as chromium:
        tab = chromium.new_context(offline=True).new_page()
        tab.goto((site / "00_start_here.html").as_uri())
        word = tab.locator('article a[href="glossary.html#band"]').first
        preview = tab.locator("#preview")
        assert not preview.is_visible()
        word.hover()
        preview.get_by_text("several seeds and processors").wait_for()
        tab.keyboard.press("Escape")
        assert not preview.is_visible()
        word.focus()
        assert preview.is_visible() and word.get_attribute("aria-describedby") == "preview"
        tab.locator('article a[href*="neco.1997"]').first.focus()
        assert "Schmidhuber" in preview.inner_text()
        tab.goto((site / "search.html").as_uri() + "?q=perplexity")
        tab.locator("#search-results").get_by_text("Start here").first.wait_for()


# A small course


MODULE = '''"""Ids."""


def ids(*texts):
    """Take *all* texts|bytes.

    Args:
        texts: `a`
    """
'''
BIB = "@misc{a, author={A, B}, title={On GPUs}, year=2020, doi={10.1/a}}"
PACKAGE = '"""A library.\n\nIts modules:\n\n    vocab     ids\n"""\n'
FIGURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
FIGURE += "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(*texts):
    figure = new_output(
        "display_data", {"image/png": FIGURE}, metadata={"image/png": {"alt": "Up."}}
    )
    drawn = new_code_cell("draw()", outputs=[figure])
    panel = new_code_cell("viewer = Viewer()\nviewer")
    words = "# 00 · A\n\nA [band](glossary.md#band), [all](../README.md) and $p_i$."
    cells = [*map(new_markdown_cell, (words, *texts)), drawn, panel]
    language = {"name": "python", "pygments_lexer": "python"}
    return new_notebook(cells=cells, metadata={"language_info": language})


@pytest.fixture
def course(tmp_path):
    """Write a course of one chapter."""
    root = tmp_path / "course"
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_build"))
    (root / "book/explorer.md").write_text("# Explorer\n")
    (root / "book/explosion.md").write_text("# Lab\n")
    texts = {
        "README.md": "# A course\n\n[Help](CONTRIBUTING.md), [runs](runs), [a text](runs/a.txt).\n",
        "CONTRIBUTING.md": "# Help\n",
        "runs/a.txt": "Once.",
        "runs/README.md": "# Runs\n",
        "datasets/README.md": "# Texts\n",
        "notebooks/glossary.md": "# Glossary\n\n### band\n\nA range. (00)\n",
        "notebooks/references.bib": BIB,
        "lstmlib/__init__.py": PACKAGE,
        "lstmlib/vocab.py": MODULE,
        "page/index.html": '<title>P</title><a href="../README.md">Course</a>',
        "page/page.html": "<!-- model -->",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    nbformat.write(notebook(), root / "notebooks/00_a.ipynb")
    return root


def test_a_book_is_written_whole_and_replaces_the_one_before(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(book_print, "CHROMIUM", tmp_path / "no-chromium")
    out = course / "book/_build"  # as make book has it, among what the book is made of
    (out / "html").mkdir(parents=True)
    (out / "html/old.html").write_text("old")
    build_book.build(course, out)
    assert "No PDF: there is no" in capsys.readouterr().out
    assert [p.name for p in out.iterdir()] == ["html"] and not (out / "html/old.html").exists()
    assert not list(out.parent.glob("._build-*"))
    chapter = page(out / "html", "00_a")
    assert chapter.xpath("//article//img/@alt") == ["Up."]
    assert "needs a running Python" in chapter.xpath("string(//article)")
    assert chapter.xpath("//article//math")
    about = page(out / "html", "course").xpath("//article")[0]
    assert [a.text_content() for a in about.xpath(".//p/a[not(@class='headerlink')]")] == ["a text"]
    library = page(out / "html", "library/vocab").xpath("string(//article)")
    assert "Take *all* texts|bytes." in library and "texts: `a`" in library
    assert "On GPUs" in page(out / "html", "references").xpath("string(//article)")
    framed = (out / "html/page/index.html").read_text()
    assert 'href="../course.html" target="_top"' in framed
    assert not (out / "html/page/page.html").exists()


def test_a_book_with_faults_is_not_written_and_each_is_named(course, tmp_path, capfd):
    faults = ["[x](glossary.md#no-word)", "[x](99_none.ipynb)", r"$\nocommand{x}$", "![](no.png)"]
    nbformat.write(notebook(*faults), course / "notebooks/00_a.ipynb")
    with pytest.raises(BookError, match="Sphinx warns"):
        build_book.build(course, tmp_path / "out")
    said = capfd.readouterr().err
    assert all(name in said for name in ("no-word", "99_none", "nocommand", "no.png")), said
    assert said.count("WARNING") == len(faults), said
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))


def test_a_folder_with_other_things_is_refused_before_the_work(course, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(BookError, match="holds what is no book"):
        build_book.build(course, out)
    assert (out / "thesis.txt").read_text() == "mine"


def test_what_is_no_notebook_is_named(course, tmp_path):
    (course / "notebooks/01_b.ipynb").write_text("{")
    with pytest.raises(BookError, match=r"01_b\.ipynb is no notebook"):
        build_book.build(course, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, ROOT / "tools/build_book.py", "--out", tmp_path / "file" / "out"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("The book could not be written to") and run.stderr.count("\n") == 1


@needs_chromium
def test_the_book_is_printed(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    nav = '<nav class="bd-docs-nav"><a href="a.html">A</a><a href="search.html">S</a></nav>'
    (site / "index.html").write_text(f"<title>T</title>{nav}<article><h1 id='t'>T</h1></article>")
    said = "<summary><p class='collapsed'>Show it</p><p class='expanded'>Hide it</p></summary>"
    folded = f"<details>{said}<p id='x'>Seen</p></details>"
    links = '<a href="index.html#t">t</a> <a href="#x">x</a> <a href="https://a.org">w</a>'
    links += ' <a href="search.html">s</a>'
    (site / "a.html").write_text(f"<article><h1>A</h1>{folded}{links}</article>")
    printed = html.fromstring(book_print.one_page(site))
    assert [s.get("id") for s in printed.xpath("//section")] == ["index.html", "a.html"]
    assert printed.xpath("//details/@open") and printed.xpath("//@id").count("a.html-x") == 1
    assert [p.text for p in printed.xpath("//p[@class='expanded']")] == ["It"]
    assert printed.xpath("//a/@href") == ["#index.html-t", "#a.html-x", "https://a.org"]
    book_print.print_book(site, tmp_path / "book.pdf")
    assert (tmp_path / "book.pdf").read_bytes().startswith(b"%PDF")
    assert not (site / "print.html").exists()


# What is looked for


@pytest.mark.parametrize(
    "link",
    ["b.html", "a.html#no", "#no", "../out.html", "https://", "https://no host.org", "ftp:x", "b/"],
)
def test_a_dead_link_is_found(tmp_path, link):
    (tmp_path / "out.html").write_text("")
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.html").write_text(f'<p id="yes"><a href="{link}">x</a>')
    assert book_links.dead_links(site) == [f"a.html: {link}"]


def test_a_link_that_leads_somewhere_is_not(tmp_path):
    links = ["a.html", "a.html#yes", "#yes", "#", "https://a.org/b#c", "mailto:a@b.org"]
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "a.html").write_text(f'<p id="yes">{body}')
    assert book_links.dead_links(tmp_path) == []


@pytest.mark.parametrize(
    "loaded",
    [
        '<script src="https://cdn.org/a.js"></script>',
        '<link rel="stylesheet" href="//cdn.org/a.css">',
        '<img src="http://a.org/a.png" alt="a">',
        "<style>@font-face { src: url(https://a.org/f.woff) }</style>",
        "<style>@import '//a.org/a.css';</style>",
    ],
)
def test_what_would_come_from_outside_is_found(tmp_path, loaded):
    (tmp_path / "a.html").write_text(f"<html><head>{loaded}</head></html>")
    assert len(book_links.outside(tmp_path)) == 1


def test_what_is_a_panel():
    def is_panel(source, outputs=()):
        return book_pages.is_panel(new_code_cell(source, outputs=list(outputs)))

    assert (
        is_panel("p = Panel()\np") and is_panel("ipywidgets.VBox([a])") and is_panel("Scrubber(x)")
    )
    assert not is_panel("seed_everything(0)") and not is_panel("x = Panel()") and not is_panel("")
    assert (
        not is_panel("%%bash\necho a b")
        and not is_panel("%env A=b")
        and not is_panel("value", [new_output("stream", text="1")])
    )
