"""Both pages under a finger, on a phone: what scrolls changes nothing, what is said is seen."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import browser, needs_chromium, screenshot
from playwright.sync_api import expect

FOLDER = Path(__file__).resolve().parents[2] / "page"
LAB, EXPLORER = FOLDER / "explosion.html", FOLDER / "index.html"
SMALL = "#units=16&streams=4&length=10&rate=0.006&clip=norm&optimizer=adam"
expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@contextmanager
def phone(chromium, address, width=390, height=844):
    """Open a page on a phone; fail on errors in it."""
    size = {"width": width, "height": height}
    touch = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    problems = []
    with chromium.new_context(viewport=size, screen=size, **touch) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        yield page
    assert problems == []


@pytest.fixture(scope="module")
def lab(chromium):
    """The lab on a phone, for all tests here."""
    with phone(chromium, LAB.as_uri() + SMALL) as page:
        expect(page.locator("#message")).to_contain_text("characters,")
        yield page


@pytest.fixture
def explorer(chromium):
    with phone(chromium, EXPLORER.as_uri()) as page:
        page.locator("#text[aria-busy=false]").wait_for(state="attached")
        yield page


def until(page, condition):
    """Wait for a condition. (Playwright's own wait evaluates a text, which the policy forbids.)"""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} did not come true")


def swipe(page, x, y, right=0, down=0):
    """Put a finger down at a place, move it so far, and lift it."""
    finger = page.context.new_cdp_session(page)

    def send(kind, *points):
        places = [{"x": a, "y": b} for a, b in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    send("touchStart", (x, y))
    for k in range(1, 11):
        send("touchMove", (x + right * k / 10, y + down * k / 10))
        page.wait_for_timeout(16)
    send("touchEnd")
    page.wait_for_timeout(300)  # for what comes of it


def middle_of(page, name):
    """Bring an element to the middle of the screen; return its place."""
    element = page.locator(f"#{name}")
    element.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = element.bounding_box()
    return box["x"], box["y"] + box["height"] / 2, box["width"]


def scrolled(page):
    return page.evaluate("window.scrollY")


def step_to(page, step):
    """Train until a step is taken, and stop."""
    page.locator("#start").click()
    until(page, f"step >= {step}")
    page.locator("#start").click()
    until(page, "!running")
    page.wait_for_timeout(200)  # rows that are on their way


def begin_again(page):
    page.evaluate("window.scrollTo(0, 0)")
    page.locator("#reset").click()
    until(page, "step === 0 && !running")


def test_a_finger_that_scrolls_over_the_lab_changes_nothing(lab):
    """Neither a slider nor the line in the plot, nor for a moment what a run is trained with."""
    lab.evaluate(
        """() => { window.sent = 0; const post = worker.postMessage.bind(worker);
        worker.postMessage = (...all) => { window.sent += 1; post(...all); }; }"""
    )
    before = lab.evaluate("settings")
    for name in ("rate", "limit", "temperature", "norm-plot"):
        x, y, width = middle_of(lab, name)
        at = scrolled(lab)
        swipe(lab, x + 0.6 * width, y, down=-200)
        assert scrolled(lab) > at + 100, name
        assert lab.evaluate("settings") == before, name
    x, y, width = middle_of(lab, "norm-plot")
    lab.touchscreen.tap(x + 0.6 * width, y - 40)
    assert lab.evaluate("settings") == before
    assert lab.evaluate("window.sent") == 0
    shown = "['rate', 'limit'].map((name) => Number(element(name).value).toFixed(2))"
    assert lab.evaluate(shown) == ["-2.22", "0.00"]


def test_a_finger_that_moves_a_slider_or_the_line_does_so(lab):
    for name in ("rate", "temperature"):
        x, y, width = middle_of(lab, name)
        before, at = lab.evaluate(f"settings.{name}"), scrolled(lab)
        swipe(lab, x + 0.5 * width, y, right=80)
        assert lab.evaluate(f"settings.{name}") > before and scrolled(lab) == at
        lab.touchscreen.tap(x + 0.2 * width, y)
        until(lab, f"settings.{name} < {before}")
    x, y, width = middle_of(lab, "norm-plot")
    at, line = scrolled(lab), lab.evaluate("scales.y(settings.limit)")
    top = lab.locator("#norm-plot").bounding_box()["y"]
    swipe(lab, x + width - 30, top + line - 5, down=-20)
    assert lab.evaluate("settings.limit") > 1.5 and scrolled(lab) == at
    again = lab.locator("#again")
    again.scroll_into_view_if_needed()
    again.click()
    until(lab, "settings.rate === 0.006 && settings.limit === 1 && settings.temperature === 0.7")
    lab.goto("about:blank")
    lab.goto(LAB.as_uri() + SMALL)
    expect(lab.locator("#message")).to_contain_text("characters,")


def test_what_a_run_meets_is_said_on_the_screen(lab):
    for place in ("0", "document.body.scrollHeight"):
        lab.evaluate(f"window.scrollTo(0, {place})")
        box = lab.locator("#message").bounding_box()
        assert box["y"] > 400 and box["y"] + box["height"] <= 844
    lab.evaluate("window.scrollTo(0, 0)")
    for name in ("start", "loss-plot"):
        part = lab.locator(f"#{name}").bounding_box()
        assert part["y"] >= 0 and part["y"] + part["height"] < box["y"]
    last = "element('own-part').getBoundingClientRect().bottom"
    lab.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert lab.evaluate(last) < lab.locator("#message").bounding_box()["y"]


def test_a_link_keeps_the_run(lab):
    """Also where the browser lets the address be changed in the old way alone."""
    begin_again(lab)
    step_to(lab, 3)
    steps = lab.evaluate("step")
    lab.locator("#own-part summary").click()
    lab.locator("#make-link").click()
    expect(lab.locator("#message")).to_contain_text("copy it")
    lab.evaluate("() => { window.history.replaceState = () => { throw new Error(); }; }")
    lab.evaluate("settings.seed = 78")
    lab.locator("#make-link").click()
    lab.wait_for_timeout(300)
    assert "seed=78" in lab.evaluate("location.hash") and lab.evaluate("step") == steps
    expect(lab.locator("#message")).to_contain_text("copy it")
    assert lab.locator("#link-field").input_value() == lab.evaluate("location.href")
    lab.locator("#copy-link").click()
    expect(lab.locator("#message")).to_have_text("The link is copied.")
    lab.evaluate("location.hash = location.hash.replace('seed=78', 'seed=79')")
    until(lab, "settings.seed === 79 && step === 0")


def test_a_run_beside_it_takes_nothing_away(lab):
    begin_again(lab)
    step_to(lab, 5)
    taken = lab.evaluate("({ step, losses: JSON.stringify(history[0].losses) })")
    lab.locator("#pair").tap()
    until(lab, "history.length === 2 && step === 0")
    expect(lab.locator("#message")).to_contain_text(f"back at step {taken['step']}")
    lab.locator("#pair").tap()
    until(lab, "history.length === 1")
    assert lab.evaluate("({ step, losses: JSON.stringify(history[0].losses) })") == taken
    lab.locator("#step").click()
    until(lab, f"step === {taken['step'] + 1}")
    lab.locator("[data-back='1']").click()
    until(lab, f"step === {taken['step']}")
    lab.locator("#pair").tap()
    until(lab, "history.length === 2 && step === 0")
    lab.locator("#start").click()
    until(lab, "step > 3")
    lab.locator("#pair").tap()  # while both run: the first goes on
    until(lab, "history.length === 1")
    at = lab.evaluate("step")
    until(lab, f"step > {at} + 3")
    assert at > 3
    lab.locator("#start").click()
    until(lab, "!running")


def test_train_on_it_trains(lab):
    if not lab.locator("#own-text").is_visible():
        lab.locator("#own-part summary").click()
    lab.locator("#own-text").fill(40 * "Falsches Üben von Xylophonmusik quält jeden Zwerg. ")
    lab.locator("#use-text").click()
    until(lab, "running && step > 2 && text.size === 2040")
    expect(lab.locator("#message")).to_contain_text("Trains on the pasted text: 2,040")
    box = lab.locator("#start").bounding_box()
    assert 0 <= box["y"] < 844
    lab.locator("#start").click()
    until(lab, "!running")
    lab.reload()
    expect(lab.locator("#message")).to_contain_text("characters,")
    assert lab.locator("#own-text").input_value().startswith("Falsches Üben")
    lab.locator("#own-part summary").click()
    lab.locator("#own-text").fill("short")
    lab.locator("#use-text").click()
    expect(lab.locator("#message.wrong")).to_contain_text("has 5 characters")
    assert not lab.evaluate("running")


def test_a_file_is_being_read_before_it_is_there(lab):
    lab.evaluate("() => { File.prototype.arrayBuffer = () => new Promise(() => {}); }")
    lab.locator("#text-file").set_input_files(
        {"name": "big.txt", "mimeType": "text/plain", "buffer": b"x"}
    )
    expect(lab.locator("#message")).to_have_text("Reading: big.txt …")


SMALL_TARGETS = """all => all.map((e) => {
    const { width, height } = e.getBoundingClientRect();
    return [e.id || e.textContent, width, height];
}).filter(([, width, height]) => width > 0 && (width < 24 || height < 24))"""


@pytest.mark.parametrize("page", [LAB, EXPLORER], ids=["lab", "explorer"])
def test_what_is_tapped_is_large_enough(chromium, page):
    with phone(chromium, page.as_uri()) as opened:
        for summary in opened.locator("summary").all():
            summary.click()
        opened.locator("#make-link").click()
        controls = opened.locator("button, select, textarea, input, summary, .choice label")
        assert controls.count() > 15
        assert controls.evaluate_all(SMALL_TARGETS) == []
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
        opened.evaluate("window.scrollTo(0, 0)")
        screenshot(opened, f"touch-{page.stem}")


def test_a_finger_that_scrolls_over_the_explorer_changes_nothing(explorer):
    text = explorer.locator("#text").text_content()
    explorer.locator("#keep").uncheck()  # now each change would draw a seed
    x, y, width = middle_of(explorer, "temperature")
    at = scrolled(explorer)
    swipe(explorer, x + 0.9 * width, y, down=-200)
    assert scrolled(explorer) > at + 100
    assert explorer.locator("#temperature").input_value() == "0.5"
    assert explorer.locator("#text").text_content() == text
    swipe(explorer, x + 0.3 * width, explorer.locator("#temperature").bounding_box()["y"] + 10, 90)
    until(explorer, "shown.temperature > 0.7")
    assert explorer.locator("#text").text_content() != text


def test_a_message_stands_under_its_field(explorer):
    for name, value in (("prompt", "Zug"), ("top-k", "0"), ("seed", "-1")):
        field = explorer.locator(f"#{name}")
        good = field.input_value()
        field.focus()
        field.fill(value)
        expect(explorer.locator("#message")).not_to_be_empty()
        above, below = field.bounding_box(), explorer.locator("#message").bounding_box()
        assert 0 <= below["y"] - above["y"] - above["height"] < 30, name
        assert below["y"] + below["height"] < 845, name
        screenshot(explorer, f"touch-message-{name}")
        field.fill(good)
        expect(explorer.locator("#message")).to_be_empty()


def test_lying_the_slider_stands_beside_the_text(chromium):
    with phone(chromium, EXPLORER.as_uri(), 844, 390) as page:
        page.locator("#text[aria-busy=false]").wait_for(state="attached")
        page.locator("#summary").evaluate("e => e.scrollIntoView({ block: 'end' })")
        box = page.locator("#temperature-part").bounding_box()
        assert box["y"] == 0 and box["height"] < 80
        screenshot(page, "touch-lying")
        page.goto(LAB.as_uri())
        expect(page.locator("#message")).to_contain_text("characters,")
        box = page.locator("#message").bounding_box()
        assert box["y"] + box["height"] <= 390
        screenshot(page, "touch-lying-lab")


@pytest.mark.parametrize("page", [LAB, EXPLORER], ids=["lab", "explorer"])
def test_in_a_frame_the_link_itself_is_shown(chromium, tmp_path, page):
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe src="{page.as_uri()}" style="width: 100%; height: 800px"></iframe>', "utf-8"
    )
    with phone(chromium, outer.as_uri()) as opened:
        frame = opened.frame_locator("iframe")
        if page == LAB:
            # Before the text is read, what is said of it would follow what is said of the link.
            expect(frame.locator("#message")).to_contain_text("characters,")
            frame.locator("#own-part summary").click()
        frame.locator("#make-link").click()
        said = frame.locator("#message" if page == LAB else "#link-made")
        expect(said).to_contain_text("The link has them: copy it.")
        link = frame.locator("#link-field").input_value()
        assert link.startswith(page.as_uri() + "#") and "temperature=" in link
        assert frame.locator("#link-field").is_visible()
        assert opened.url == outer.as_uri()
