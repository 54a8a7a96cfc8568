"""The notebooks as a reader sees them: in JupyterLab, in a browser, with mouse and keys."""

import time
from contextlib import contextmanager

import nbformat
import pytest
from chromium import browser, needs_chromium, screenshot
from lab import ROOT, drag, press, run_all_cells, running, slider
from playwright.sync_api import expect

pytest.importorskip("torch")  # the notebooks' kernel needs it
pytestmark = needs_chromium
# Tracebacks are shown as what a cell writes to stderr is, warnings among it; none is wanted.
PROBLEMS = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]'
PROBLEMS += ', .jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]'


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab, as a function from the name of a notebook to its address."""
    with running(tmp_path_factory.mktemp("course"), windowing="none") as address:
        yield address


# Not for the session: Playwright's event loop would be in the way of nbval's.
@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@contextmanager
def notebook(lab, chromium, name):
    """Open a notebook in a browser of its own and run it; give its page and what goes wrong."""
    context, errors = chromium.new_context(viewport={"width": 1400, "height": 1000}), []
    page = context.new_page()
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_all_cells(page, lab(name))
    assert_every_cell_ran(page, name)
    yield page, errors
    context.close()


def assert_every_cell_ran(page, name):
    assert page.locator(PROBLEMS).all_text_contents() == []
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    count = sum(cell.cell_type == "code" for cell in cells)
    assert page.locator(".jp-CodeCell").count() == count > 0
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
    # A folded cell shows no number.
    assert [p for p in prompts if p] == [f"[{k + 1}]:" for k, p in enumerate(prompts) if p]


def assert_shows(slider, value):
    expect(slider.locator(".widget-readout")).to_have_text(value)


# What a reader does


@pytest.fixture(scope="module")
def chapter_07(lab, chromium):
    with notebook(lab, chromium, "07_temperature_sampling.ipynb") as opened:
        yield opened


def test_the_slider_of_the_first_notebook_changes_its_text(lab, chromium):
    with notebook(lab, chromium, "00_start_here.ipynb") as (page, errors):
        first_slider_changes_the_text(page)
        assert errors == []


def first_slider_changes_the_text(page):
    temperature = slider(page, "τ")
    written = page.locator(".widget-html-content pre")
    assert_shows(temperature, "0.50")
    temperature.scroll_into_view_if_needed()
    screenshot(page, "00_slider_before")
    texts = [written.text_content()]
    press(temperature, "ArrowRight")
    assert_shows(temperature, "0.60")
    expect(written).not_to_have_text(texts[-1])
    texts.append(written.text_content())
    drag(page, temperature, 1)
    assert_shows(temperature, "2.00")
    expect(written).not_to_have_text(texts[-1])
    texts.append(written.text_content())
    screenshot(page, "00_slider_after")
    assert all(text.startswith("The ") and len(text) == len("The ") + 300 for text in texts)
    distinct = [len(set(text)) for text in texts]
    assert distinct[2] > distinct[0]  # hot text is of more different characters


def written_in(html):
    """Return the text of a panel without its prompt, which is underlined, and its legend."""
    return "".join(html.locator("span[title]").all_text_contents())


def settled(text, bars):
    """Return what a panel has written and drawn, once nothing more comes."""
    now = None
    while now != (now := (text.text_content(), bars.inner_html())):
        time.sleep(0.7)
    return now


def test_the_explorer_follows_mouse_and_keys(chapter_07):
    page, errors = chapter_07
    text = page.locator(".widget-html-content", has=page.locator("u")).first
    bars = page.locator(".widget-html-content", has=page.locator("svg")).first
    temperature, top_p = slider(page, "Temperature τ").first, slider(page, "Top-p")
    temperature.scroll_into_view_if_needed()
    screenshot(page, "07_explorer_before")

    def change(act):
        """Assert that an act changes text and bars."""
        old_text, old_bars = settled(text, bars)
        act()
        expect(text).not_to_have_text(old_text)
        new_text, new_bars = settled(text, bars)
        assert new_text != old_text and new_bars != old_bars
        assert len(written_in(text)) == 300

    first, _ = settled(text, bars)
    assert_shows(temperature, "0.50")
    change(lambda: [press(temperature, "ArrowRight") for _ in range(8)])
    assert_shows(temperature, "0.90")
    change(lambda: drag(page, temperature, 1))
    assert_shows(temperature, "2.00")
    screenshot(page, "07_explorer_hot")
    change(lambda: [press(temperature, "ArrowLeft") for _ in range(30)])
    assert_shows(temperature, "0.50")
    expect(text).to_have_text(first)  # the randomness was kept
    change(lambda: drag(page, top_p, 0))
    page.get_by_label("Keep the randomness").uncheck()
    change(lambda: drag(page, top_p, 1))
    assert settled(text, bars)[0] != first
    assert errors == []


def test_the_explorer_goes_through_a_text_one_draw_at_a_time(chapter_07):
    page, errors = chapter_07
    bars = page.locator(".widget-html-content", has=page.locator("svg")).first
    text = page.locator(".widget-html-content", has=page.locator("u")).first
    character = slider(page, "Character")
    character.scroll_into_view_if_needed()
    for at in range(3):
        expect(bars.locator("code")).to_have_text("The␣" + written_in(text)[:at].replace(" ", "␣"))
        drawn = text.locator('span[style*="outline"]').text_content()
        said = bars.locator("svg").nth(1).get_attribute("aria-label")
        assert said.endswith(f"falls on {drawn.replace(' ', '␣')}")
        press(character, "ArrowRight")
        assert_shows(character, str(at + 1))
    play = page.locator(".widget-play button").first
    play.click()
    expect(bars.locator("code")).to_have_text("The␣" + written_in(text)[:5].replace(" ", "␣"))
    play.click()  # a text that goes on changes by itself
    prompt = page.get_by_label("Prompt").first
    before = text.text_content()
    prompt.fill("¶")
    prompt.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("'¶' (U+00B6)")
    assert text.text_content() == before
    prompt.fill("class ")
    prompt.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(text.locator("u")).to_have_text("class ")
    screenshot(page, "07_steps")
    assert errors == []


def test_the_columns_change_one_by_one(chapter_07):
    page, errors = chapter_07
    texts = page.locator(".widget-html-content", has=page.locator("u"))
    expect(texts).to_have_count(5)  # the explorer's text, and four columns
    _explorer, *before = texts.all_text_contents()
    third = slider(page, "τ 3")
    assert_shows(third, "1.00")
    press(third, "ArrowLeft")
    expect(texts.nth(3)).not_to_have_text(before[2])
    _explorer, *after = texts.all_text_contents()
    changed = [new != old for old, new in zip(before, after, strict=True)]
    assert changed == [False, False, True, False]
    screenshot(page, "07_columns")
    assert errors == []


def test_the_prefix_explorer_reads_while_one_types(lab, chromium):
    with notebook(lab, chromium, "08_formal_languages.ipynb") as (page, errors):
        prefix, place = page.get_by_label("Prefix"), slider(page, "Place")
        bars = page.locator(".widget-html-content", has=page.locator("svg")).first
        prefix.scroll_into_view_if_needed()
        assert_shows(place, "5")  # behind (()((
        screenshot(page, "08_prefix_before")
        drawn = bars.inner_html()
        prefix.focus()
        page.keyboard.press("End")
        page.keyboard.type(")))")
        assert_shows(place, "8")
        expect(prefix).to_be_focused()
        assert bars.inner_html() != drawn
        page.keyboard.type("x")
        expect(page.get_by_role("alert")).to_contain_text("'x'")
        page.keyboard.press("Backspace")
        expect(page.get_by_role("alert")).to_have_count(0)
        press(place, "ArrowLeft")
        assert_shows(place, "7")
        screenshot(page, "08_prefix_after")
        assert errors == []


def test_the_unit_viewer_follows_pointer_and_keys(lab, chromium):
    with notebook(lab, chromium, "11_inside_the_lstm.ipynb") as (page, errors):
        page.set_viewport_size({"width": 1366, "height": 768})
        place = slider(page, "Character").first
        text = page.locator(".widget-html-content", has=page.locator("span[data-said]")).first
        details = page.locator(".widget-html-content", has=page.locator("svg")).first
        place.scroll_into_view_if_needed()
        for at in range(1, 4):
            press(place, "ArrowRight")
            assert_shows(place, str(at))
            expect(details).to_contain_text(f"Character {at} of")
        outlined = text.locator("span[data-said]").nth(3).evaluate(STYLE, None)
        assert outlined == "solid"
        before = text.inner_html()
        number = page.get_by_label("Unit", exact=True).first
        number.press("ArrowUp")
        number.press("Enter")
        expect(text).to_contain_text("unit 107")
        assert text.inner_html() != before
        page.get_by_label("Unit found for").first.select_option("line_position")
        expect(text).to_contain_text("Hidden state h, layer 1, unit 117")
        character = text.locator("span[data-said]").nth(20)
        character.hover()
        assert "next: " in character.evaluate(SAID, None)
        screenshot(page, "11_unit_viewer")
        assert errors == []


STYLE = "element => getComputedStyle(element).outlineStyle"
SAID = "element => getComputedStyle(element, '::after').content"
