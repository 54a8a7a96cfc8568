"""The notebooks as a reader sees them: in JupyterLab, in a browser, with mouse and keys."""

import nbformat
import pytest
from chromium import browser, needs_chromium, screenshot
from lab import ROOT, drag, press, run_all_cells, running, slider
from playwright.sync_api import expect

pytestmark = needs_chromium
# Tracebacks are shown as what a cell writes to stderr is, warnings among it; none is wanted.
PROBLEMS = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]'
PROBLEMS += ', .jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]'


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab, as a function from the name of a notebook to its address."""
    with running(tmp_path_factory.mktemp("course")) as address:
        yield address


# Not for the session: Playwright's event loop would be in the way of nbval's.
@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def console_errors():
    return []


@pytest.fixture
def page(chromium, console_errors):
    opened = chromium.new_page(viewport={"width": 1400, "height": 1000})
    opened.on("console", lambda said: said.type == "error" and console_errors.append(said.text))
    opened.on("pageerror", lambda error: console_errors.append(str(error)))
    yield opened
    opened.close()


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


def test_the_slider_of_the_first_notebook_changes_its_text(lab, page, console_errors):
    name = "00_start_here.ipynb"
    run_all_cells(page, lab(name))
    assert_every_cell_ran(page, name)
    temperature = slider(page, "T")
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
    assert console_errors == []


def written_in(html):
    """Return the text of a panel without its prompt, which is underlined, and its legend."""
    return "".join(html.locator("span[title]").all_text_contents())


def test_the_panels_of_the_temperature_chapter_follow_mouse_and_keys(lab, page, console_errors):
    name = "07_temperature_sampling.ipynb"
    run_all_cells(page, lab(name))
    assert_every_cell_ran(page, name)
    texts = page.locator(".widget-html-content", has=page.locator("u"))  # the explorer's, columns
    text, bars = texts.first, page.locator(".widget-html-content", has=page.locator("svg")).first
    temperature = slider(page, "Temperature").first
    temperature.scroll_into_view_if_needed()
    screenshot(page, "07_explorer_before")

    def changes(act):
        """Assert that an act changes text and bars; return the new text."""
        old_text, old_bars = written_in(text), bars.inner_html()
        act()
        expect(text).not_to_have_text(text_content)
        assert bars.inner_html() != old_bars
        assert len(written_in(text)) == 300 and written_in(text) != old_text
        return text.text_content()

    assert len(written_in(text)) == 300
    text_content = first = text.text_content()
    assert_shows(temperature, "0.50")
    text_content = changes(lambda: [press(temperature, "ArrowRight") for _ in range(8)])
    assert_shows(temperature, "0.90")
    text_content = changes(lambda: drag(page, temperature, 1))
    assert_shows(temperature, "2.00")
    screenshot(page, "07_explorer_hot")
    for _ in range(30):
        press(temperature, "ArrowLeft")
    assert_shows(temperature, "0.50")
    expect(text).to_have_text(first)  # the randomness was kept
    top_p = slider(page, "Top-p")
    drag(page, top_p, 0)
    expect(text).not_to_have_text(first)
    page.get_by_label("Keep the randomness").uncheck()
    text_content = text.text_content()
    changes(lambda: press(top_p, "ArrowRight"))


def test_the_explorer_goes_through_a_text_one_draw_at_a_time(lab, page):
    run_all_cells(page, lab("07_temperature_sampling.ipynb"))
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
    page.get_by_title("Play").first.click()
    expect(bars.locator("code")).to_have_text("The␣" + written_in(text)[:5].replace(" ", "␣"))
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


def test_the_columns_of_the_temperature_chapter_change_one_by_one(lab, page):
    run_all_cells(page, lab("07_temperature_sampling.ipynb"))
    columns = page.locator(".widget-html-content", has=page.locator("u"))
    expect(columns).to_have_count(5)  # the explorer's text, and four columns
    before = columns.all_text_contents()
    third = slider(page, "Temperature").nth(3)
    assert_shows(third, "1.00")
    press(third, "ArrowLeft")
    expect(columns.nth(3)).not_to_have_text(before[3])
    assert columns.all_text_contents()[:3] == before[:3]
    screenshot(page, "07_columns")
