"""Slides: what the rule chooses, that nothing comes from another host, that nothing overflows."""

import hashlib
import re
import sys
from html import unescape
from pathlib import Path

import pytest
from chromium import browser, needs_chromium, screenshot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import slides  # noqa: E402
import teaching_plan as teaching  # noqa: E402
from slides import SlidesError, fetch, write  # noqa: E402

LOOKED_AT = ("00", "06", "07")


def says(text, picture=None):
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    if picture:
        alt = {"image/png": {"alt": 'bars "high" & <low>'}}
        outputs.append(new_output("display_data", {"image/png": picture}, metadata=alt))
    return new_code_cell("x", outputs=outputs)


CHAPTER = new_notebook(
    cells=[
        new_markdown_cell("# 00 · A title\n\nIt says so.\n\n**You will be able to**\n\n- a;\n- b."),
        new_markdown_cell(
            "## 1 · A part\n\n| a | b |\n|---|---|\n\nHere is one:\n\nThe first (Doe et al. 2001) "
            "[link](a.md). It leads on:\n\n$$a = b$$\n\nSecond paragraph.\n\n$$c = d$$"
        ),
        says("seen: ok (measured 1)\nloss in its band: ok (measured 2.5; band 1 to 3)\n", "AAAA"),
        says("", "BBBB"),
        new_markdown_cell("## Summary\n\n- one;\n- two."),
        new_markdown_cell("## Exercises\n\nWrite it."),
    ]
)


def test_the_rule_chooses_sentences_a_formula_a_number_and_a_figure():
    made = slides.slides(CHAPTER)
    assert made[0] == "# 00 · A title\n\nIt says so."
    assert made[1] == "## You will be able to\n\n- a;\n- b."
    assert made[2] == (
        "## 1 · A part\n\nThe first (Doe et al. 2001) link.\n\n$$a = b$$\n\n> loss: **2.5**"
    )
    assert 'alt="bars &quot;high&quot; &amp; &lt;low>"' in made[3] and "AAAA" in made[3]
    assert made[4] == "## Summary\n\n- one;\n- two."
    assert len(made) == 5


def test_a_question_follows_its_part_and_its_answer_the_question():
    question = {"asks": "How many?", "section": "1 · A part", "right": "Two.", "because": "It is."}
    question["wrong"] = [{"says": f"{n}.", "thinks": "so"} for n in (3, 4, 5)]
    *_, asked, answer, summary = slides.slides(CHAPTER, [question])
    assert asked.startswith("## Question\n\nHow many?\n\n- **A.** ")
    assert all(f".** {says}" in asked for says in ("Two.", "3.", "4.", "5.")) and "so" not in asked
    (letter,) = [line[4] for line in asked.splitlines() if line.endswith("Two.")]
    assert answer == f"## Answer\n\nHow many?\n\n- **{letter}.** Two.\n\nIt is."
    assert summary.startswith("## Summary")


@pytest.mark.parametrize("chapter", slides.NOTEBOOKS)
def test_every_question_of_a_chapter_is_in_its_deck(chapter):
    asked = teaching.questions(chapter)
    made = slides.slides(teaching.student_view(chapter), asked)
    assert sum(text.startswith("## Question\n") for text in made) == len(asked) == 5


def test_text_is_cut_between_sentences():
    long = "A sentence of a few words. " * 40
    cells = [*CHAPTER.cells[:1], new_markdown_cell(f"## 1 · Long\n\n{long}")]
    shown = slides.slides(new_notebook(cells=cells))[2].partition("\n\n")[2]
    assert shown.endswith("words.") and len(shown.split()) <= slides.MOST_WORDS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Break it. The function below is it. It has places.", "Break it."),
        ("Break it. The function `f` below does. (The most is 1.)", "Break it. (The most is 1.)"),
        ("The loop below is it.\n\nSecond.", "Second."),
        ("So the numbers below the figure are means.", ""),
        ("A value below 1 shrinks. It fell below the published one.", None),
    ],
)
def test_a_sentence_that_points_at_a_cell_is_left_out(text, shown):
    cells = [*CHAPTER.cells[:1], new_markdown_cell(f"## 1 · Part\n\n{text}")]
    made = slides.slides(new_notebook(cells=cells))[2]
    assert made.partition("\n\n")[2] == (text if shown is None else shown)


def test_a_long_list_goes_on_on_another_slide():
    items = "\n".join(f"- {'word ' * 30}{number}" for number in range(5))
    made = list(slides._bullets("Summary", items))
    assert [text.count("\n- ") for text in made] == [2, 2, 1]


@pytest.mark.parametrize("chapter", slides.NOTEBOOKS)
def test_a_deck_loads_nothing_from_another_host_and_has_every_part(chapter):
    html = slides.deck(chapter)
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(["']?http|from '""", html)
    assert set(re.findall(r"""(?:src|href)=["'](?!data:)([^"'#]+)["']""", html)) == {
        "assets/reveal.js/dist/reveal.css",
        "assets/reveal.js/dist/theme/white.css",
        "assets/reveal.js/dist/reveal.js",
        "assets/mathjax/es5/tex-svg-full.js",
    }
    words = " ".join(slides.slides(teaching.student_view(chapter)))
    assert not re.search(r"\b(function|loop|cell|code|curves?|numbers)( `\w+`)? below\b", words)
    shown = re.findall(r"<h[12] id=[^>]*>(.*?)<a class", html)
    for heading in teaching.headings(chapter):
        plain = slides._plain(heading)
        assert (plain in map(unescape, shown)) == (plain not in slides.SKIPPED), heading


def test_what_npm_cannot_fetch_is_said_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlidesError, match=r"reveal.js@4.*once a network.*npm pack"):
        write(["00"], tmp_path / "out", tmp_path / "cache")
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_another_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a-1.tgz").write_bytes(b"other")
    monkeypatch.setattr(slides, "PACKAGES", {"a@1": hashlib.sha256(b"known").hexdigest()})
    with pytest.raises(SlidesError, match=r"a-1.tgz is not the a@1 that we know"):
        fetch(tmp_path)
    (tmp_path / "a-1.tgz").write_bytes(b"known")
    assert fetch(tmp_path) == [tmp_path / "a-1.tgz"]


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SlidesError, match="holds other things"):
        write(["00"], tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("slides") / "out"
    try:
        write(LOOKED_AT, out, slides.user_cache_path("lstmlib") / "npm")
    except SlidesError as error:
        pytest.skip(str(error))
    write(LOOKED_AT, out, slides.user_cache_path("lstmlib") / "npm")  # in place of the first
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


OVER = """() => {
  const slide = Reveal.getCurrentSlide();
  const boxes = [...slide.querySelectorAll("*")]
    .filter(each => !each.closest("mjx-assistive-mml"))  // for screen readers, out of sight
    .map(each => each.getBoundingClientRect());
  return [slide.scrollHeight, Math.max(...boxes.map(box => box.bottom)),
          Math.max(...boxes.map(box => box.right))];
}"""


@needs_chromium
@pytest.mark.parametrize("chapter", LOOKED_AT)
def test_no_slide_overflows(written, chromium, chapter):
    size = {"width": slides.WIDTH, "height": slides.HEIGHT}
    problems = []
    with chromium.new_context(viewport=size, offline=True) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto((written / f"{slides.NOTEBOOKS[chapter].stem}.html").as_uri())
        page.wait_for_function("typeof Reveal !== 'undefined' && Reveal.isReady()")
        page.evaluate("() => MathJax.startup.promise")
        for number in range(page.evaluate("Reveal.getTotalSlides()")):
            page.evaluate(f"Reveal.slide({number})")
            height, bottom, right = page.evaluate(OVER)
            assert max(height, bottom) <= slides.HEIGHT and right <= slides.WIDTH, number
        assert page.evaluate("document.querySelectorAll('mjx-container').length") > 0
        screenshot(page, f"slides-{chapter}")
    assert not problems and number > 10
