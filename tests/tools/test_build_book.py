"""The book: every cell, figure and word of the chapters, folded, linked, and without a network."""

import json
import re
import shutil
import subprocess
import sys
import zlib
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
from student_notebook import DETAILS, SECRET, said, student_notebook  # noqa: E402

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


# The students' book


@pytest.fixture(scope="module")
def students_site(tmp_path_factory):
    pytest.importorskip("torch")
    return build_book.build_html(ROOT, tmp_path_factory.mktemp("students"), "student")


def words(text):
    """Return a text as its words alone: markup, in which it may stand, is none of it."""
    return " ".join(re.findall(r"\w+", text))


@pytest.fixture(scope="module")
def solutions():
    """Return lines of solutions and answers that stand nowhere in what students get."""
    public = [p.read_text("utf-8") for p in (ROOT / "lstmlib").rglob("*.py")]
    public += [(ROOT / name).read_text("utf-8") for name in book_pages.PAGES]
    lines = set()
    for path in CHAPTERS:
        notebook = nbformat.read(path, as_version=4)
        for cell in student_notebook(notebook, path.name).cells:
            public += [cell.source, said(cell)]
        for cell in notebook.cells:
            secret = [cell.source, said(cell)] if SECRET & tags(cell) else []
            secret += [found[2] for found in DETAILS.finditer(cell.source)]
            lines |= {words(line) for text in secret for line in text.splitlines()}
    public = words("\n".join(public))
    return {line for line in lines if line.count(" ") >= 3 and line not in public}


def texts(site):
    """Return all that a site says: path -> its words; also what is printed of it."""
    found = {"in print": words(html.fromstring(book_print.one_page(site)).text_content())}
    for path in site.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.name == "objects.inv":  # four lines, then packed
            data = zlib.decompress(data.split(b"\n", 4)[4])
        text = data.decode("utf-8", "replace")  # figures and fonts have no text
        if path.suffix == ".html":  # highlighting cuts words into pieces
            text += html.fromstring(data).text_content()
        found[path.relative_to(site).as_posix()] = words(text)
    return found


def test_the_students_book_holds_no_line_of_a_solution(students_site, site, solutions):
    for name, text in texts(students_site).items():
        assert not [line for line in solutions if line in text], name
    full = texts(site)
    for name in ("in print", *(f"{path.stem}.html" for path in CHAPTERS)):
        assert [line for line in solutions if line in full[name]], f"nothing found in {name}"


def index_words(site):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    return set(json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", text.strip())[1])["terms"])


def test_the_students_search_knows_no_word_of_a_solution_alone(students_site, site, solutions):
    said_elsewhere = set(" ".join(texts(students_site).values()).lower().split())
    of_solutions = set(" ".join(solutions).lower().split()) - said_elsewhere
    assert len(of_solutions & index_words(site)) > 20
    assert not of_solutions & index_words(students_site)


def test_each_book_says_at_once_whether_it_holds_solutions(students_site, site):
    full, without = (page(each, "index") for each in (site, students_site))
    assert "holds the solutions" in full.xpath("string(//article)")
    assert "their solutions are not" in without.xpath("string(//article)")
    assert "holds the solutions" not in without.xpath("string(//article)")
    for name in ("index", "02_rnn_from_scratch", "glossary"):
        assert "with solutions" in page(site, name).findtext(".//title")
        assert "with solutions" not in page(students_site, name).findtext(".//title")
    about = page(students_site, "course").xpath("string(//article)")
    assert "make lab" in about and "For instructors" not in about


def test_each_book_has_a_folder_of_its_own_that_git_ignores_and_make_names():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {f"{folder}/" for folder in book_pages.EDITIONS.values()} <= set(ignored)
    make = ["make", "--dry-run", "-C", ROOT, "book"]
    for given, option in (([], ""), (["EDITION=student"], ' --edition "student"')):
        run = subprocess.run([*make, *given], capture_output=True, text=True, check=True)
        [line] = [line for line in run.stdout.splitlines() if "build_book.py" in line]
        assert line.rstrip().endswith(f"tools/build_book.py{option}")


# In a browser


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_from_the_disk_on_a_phone(site, chromium, scheme):
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    bad = []
    tab.on("request", lambda r: bad.append(r.url) if not r.url.startswith("file:") else None)
    tab.on("pageerror", lambda error: bad.append(str(error)))
    names = ["index", *(path.stem for path in CHAPTERS), "genindex"]
    modules = sorted((path.stem for path in (site / "library").glob("*.html")), key=len)
    names += [f"library/{name}" for name in modules[-6:]]  # a name is a heading, and one word
    for name in names:
        tab.goto((site / f"{name}.html").as_uri())
        width = tab.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{name} is {width} wide"
    assert not bad
    tab.goto((site / "02_rnn_from_scratch.html").as_uri())
    assert tab.locator(".formula math").first.bounding_box()["height"] > 15
    assert tab.locator("html").get_attribute("data-theme") == scheme
    screenshot(tab, f"book-{scheme}")


@pytest.fixture(scope="module")
def phone(chromium):
    """Open one page on a phone for all tests; an error in it fails them."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, offline=True
    )
    tab = context.new_page()
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab


@needs_chromium
def test_menu_contents_and_search_open_by_touch(site, phone):
    phone.goto((site / "06_exploding_gradients.html").as_uri())
    menu, contents = phone.locator("#pst-primary-sidebar-modal, #pst-secondary-sidebar-modal").all()
    phone.locator(".secondary-toggle:visible").tap()
    contents.get_by_role("link", name="A product of Jacobians").tap()
    contents.wait_for(state="hidden")  # it would lie over the place
    place = phone.locator("h2", has_text="A product of Jacobians").bounding_box()
    assert 0 <= place["y"] < 200
    phone.locator("#main-content .search-button").tap()
    phone.locator("#pst-search-dialog input").wait_for()
    phone.keyboard.press("Escape")
    phone.locator(".primary-toggle:visible").tap()
    menu.get_by_role("link", name="07 · ").tap()
    phone.wait_for_url("**/07_temperature_sampling.html")
    phone.locator(".primary-toggle:visible").tap()
    screenshot(phone, "book-menu")
    assert menu.is_visible() and not phone.errors


@needs_chromium
def test_a_result_of_the_search_leads_to_its_words(site, phone):
    phone.goto((site / "search.html").as_uri() + "?q=clip limit")
    result = phone.locator("#search-results a", has_text="06 · ").first
    result.tap()
    phone.wait_for_url("**/06_exploding_gradients.html?highlight=*")
    found = phone.locator("mark")
    assert {"clip", "limit"} <= {text.lower() for text in found.all_inner_texts()}
    height = "[...document.querySelectorAll('mark')].map(m => m.getBoundingClientRect().y)"
    assert any(0 < y < 844 for y in phone.evaluate(height)) and phone.evaluate("scrollY") > 844
    assert phone.locator("article details[open]").count() == 0
    screenshot(phone, "book-found")
    phone.goto((site / "search.html").as_uri() + "?q=perplexities")  # found by its stem
    phone.locator("#search-results a", has_text="09 · ").first.tap()
    phone.wait_for_url("**/09_*")
    assert "perplexity" in [text.lower() for text in found.all_inner_texts()]
    assert not phone.errors


@needs_chromium
def test_what_is_wider_than_a_phone_shows_it_and_keeps_what_explains_it(site, phone):
    phone.goto((site / "07_temperature_sampling.html").as_uri())
    cell = phone.locator(".cell_output:has(img)", has_text="good from").first
    figure = cell.locator(".drawn")
    assert cell.evaluate("e => e.scrollWidth <= e.clientWidth")  # what it printed stays
    assert figure.get_attribute("class").split()[-1] == "more-right"
    assert "linear-gradient" in figure.evaluate("e => getComputedStyle(e).maskImage")
    figure.evaluate("e => e.scrollTo(1e4, 0)")
    phone.locator(".drawn.more-left:not(.more-right)").wait_for()
    figure.scroll_into_view_if_needed()
    screenshot(phone, "book-figure")
    figure.tap()
    assert figure.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert figure.locator("img").bounding_box()["width"] <= 390
    figure.tap()
    assert figure.evaluate("e => e.scrollWidth > e.clientWidth")
    phone.goto((site / "10_five_systems.html").as_uri())
    table = phone.locator(".pst-scrollable-table-container").first
    head = table.locator("th").first
    before = head.bounding_box()["x"]
    table.evaluate("e => e.scrollTo(300, 0)")
    assert abs(head.bounding_box()["x"] - before) < 2  # it has a border
    assert table.evaluate("e => e.scrollLeft") == 300
    table.scroll_into_view_if_needed()
    screenshot(phone, "book-table")


@needs_chromium
def test_a_finger_can_hit_what_it_means(site, phone):
    for name, what in (
        ("genindex", ".genindex-jumpbox a"),
        ("library/grammar_eval", "dt.sig a.reference"),
        ("06_exploding_gradients", ".bd-header-article button:not([hidden])"),
    ):
        phone.goto((site / f"{name}.html").as_uri())
        boxes = [each.bounding_box() for each in phone.locator(what).filter(visible=True).all()]
        assert boxes and all(min(box["width"], box["height"]) >= 24 for box in boxes), boxes


@needs_chromium
def test_a_word_shows_its_meaning_to_pointer_and_keyboard_and_the_search_works(site, chromium):
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
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_build*"))
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
    (course / "book/_build-student").mkdir()
    (course / "book/_build-student/stray.md").write_text("# No page of this book\n")
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


def test_a_students_book_is_not_written_of_a_solution_that_no_tag_marks(course, tmp_path):
    solved = notebook("## Exercises")
    solved.cells.append(new_code_cell("### BEGIN SOLUTION\nx = 1"))
    nbformat.write(solved, course / "notebooks/00_a.ipynb")
    with pytest.raises(BookError, match=r"00_a\.ipynb, cell 5: it holds a solution"):
        build_book.build(course, tmp_path / "out", "student")
    assert not (tmp_path / "out").exists()


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
