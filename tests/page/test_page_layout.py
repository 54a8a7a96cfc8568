"""The temperature explorer on a screen: control and effect stand together, and nothing jumps."""

import pytest
from axe import found_by_axe, needs_axe
from chromium import browser, needs_chromium, screenshot
from explorer_page import LAPTOP, PAGE, PHONE, opened, settled
from playwright.sync_api import expect

expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def places(page, names):
    """Return (top, bottom) of elements, from the top of the page."""
    code = """(names) => names.map((name) => {
        const { top, bottom } = element(name).getBoundingClientRect();
        return [top + scrollY, bottom + scrollY];
    })"""
    return dict(zip(names, page.evaluate(code, names), strict=True))


ON_ONE_SCREEN = ["temperature", "presets", "prompt", "top-k", "top-p", "min-p", "length", "seed"]
ON_ONE_SCREEN += ["new-seed", "keep", "keep-says", "text-box", "summary", "keep-text", "make-link"]
ON_ONE_SCREEN += ["next", "play", "bars", "strip", "drawn", "kept-title", "parts", "kept-text"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_laptop_control_and_effect_stand_on_one_screen(chromium, scheme):
    """Every control, the text, the kept one, the bars, the strip and what was drawn."""
    with opened(chromium, color_scheme=scheme) as page:
        page.locator("#keep-text").click()
        page.locator("#temperature").fill("0.8")
        settled(page)
        for name, (top, bottom) in places(page, ON_ONE_SCREEN).items():
            assert 0 <= top < bottom <= 768, name
        assert page.evaluate("[scrollY, document.documentElement.scrollWidth]") == [0, 1366]
        for name in ("text-box", "kept-text"):
            lines = "e => e.clientHeight / parseFloat(getComputedStyle(e).lineHeight)"
            assert page.locator(f"#{name}").evaluate(lines) > 8
        marked = page.locator(".parting").evaluate_all("all => all.map((e) => e.offsetTop)")
        assert len(marked) == 2 and max(marked) < 768
        screenshot(page, f"page-laptop-{scheme}")
        page.locator("#length").fill("1000")
        page.locator("#make-link").click()
        settled(page)
        box, kept = (places(page, [name])[name] for name in ("text-box", "kept-text"))
        assert box[1] < kept[0] and kept[1] <= 768


BELOW = ["summary", "keep-text", "make-link", "link-field", "link-made", "kept-title", "parts"]
BELOW += ["kept-text", "next", "play", "context", "bars", "strip", "drawn", "prompt", "keep"]


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("length", [1, 40, 300, 1000])
def test_the_temperature_moves_nothing(chromium, size, length):
    """Not even where the character that was drawn is none of the most probable, and gets a row."""
    with opened(chromium, size=size) as page:
        page.locator("#length").fill(str(length))
        settled(page)
        page.locator("#keep-text").click()
        page.locator("#make-link").click()
        before, rows = places(page, BELOW), set()
        for step in (0, 2, 4, 7, 10, 13, 16, 20, 25, 30, 33, 36, 40):
            page.locator("#temperature").fill(str(step / 20))
            settled(page)
            assert {k: v[0] for k, v in places(page, BELOW).items()} == pytest.approx(
                {k: v[0] for k, v in before.items()}, abs=0.5
            )
            rows.add(page.locator("#bars tr").count())
        if length == 1:
            page.locator("#length").fill("300")
            settled(page)
            bars = set()
            for index in range(0, 300, 10):
                page.evaluate(f"go({index})")
                rows.add(page.locator("#bars tr").count())
                bars.add(round(places(page, ["strip"])["strip"][0]))
            assert rows == {12, 13} and len(bars) == 1


@pytest.mark.parametrize("fragment", ["", "#length=5000"])
def test_of_middle_width_the_settings_stand_beside_slider_and_text(chromium, fragment):
    with opened(chromium, fragment, (900, 700)) as page:
        page.locator("#keep-text").click()
        names = ["address-part", "temperature-part", "text-part", "settings", "bars-part"]
        at = {name: page.locator(f"#{name}").bounding_box() for name in names}
        assert (at["address-part"] is None) == (fragment == "")
        assert at["temperature-part"]["y"] == at["settings"]["y"] < 350
        assert 0 < at["text-part"]["y"] - at["temperature-part"]["y"] < 250
        assert at["bars-part"]["y"] >= at["settings"]["y"] + at["settings"]["height"]
        assert at["settings"]["x"] == at["bars-part"]["x"] < 100 < 400 < at["text-part"]["x"]
        screenshot(page, "page-900")


def test_a_text_that_is_longer_than_its_box_is_scrolled_by_what_goes_through_it(chromium):
    with opened(chromium, size=PHONE) as page:
        page.locator("#length").fill("1000")
        page.locator("#temperature").fill("1.5")
        settled(page)
        top = page.locator("#text-box").bounding_box()["height"]
        assert top < 844 - 204  # with the slider above it
        page.evaluate("go(998)")
        inside = """() => {
            const box = element("text-box").getBoundingClientRect();
            const place = element("text").children[selected].getBoundingClientRect();
            return place.top >= box.top && place.bottom <= box.bottom;
        }"""
        assert page.evaluate(inside)
        at = page.evaluate("element('text-box').scrollTop")
        assert at > 100
        page.locator("#temperature").fill("1.4")
        settled(page)
        page.locator("#next").evaluate("e => e.click()")
        assert page.evaluate(inside)
        page.evaluate("go(0)")
        assert page.evaluate(inside) and page.evaluate("element('text-box').scrollTop") < 30


def test_the_last_character_keeps_the_focus_and_play_begins_anew(chromium):
    with opened(chromium) as page:
        page.locator("#length").fill("3")
        settled(page)
        following, focus = page.locator("#next"), "document.activeElement.id"
        following.focus()
        for position in (2, 3, 3):
            page.keyboard.press("Enter")
            assert page.locator("#position").text_content() == f"{position} of 3"
            assert page.evaluate(focus) == "next"
        assert following.get_attribute("aria-disabled") == "true"
        assert page.locator("#previous").get_attribute("aria-disabled") == "false"
        page.locator("#play").press("Enter")
        assert page.locator("#position").text_content() == "1 of 3"
        expect(page.locator("#position")).to_have_text("3 of 3")
        expect(page.locator("#play")).to_have_text("Play")
        page.locator("#previous").focus()
        for _ in range(3):
            page.keyboard.press("Enter")
        assert page.evaluate(focus) == "previous"
        assert page.locator("#previous").get_attribute("aria-disabled") == "true"
        page.locator("#keep-text").press("Enter")
        page.locator("#drop-text").press("Enter")
        assert page.evaluate(focus) == "keep-text"


SELF_EVIDENT = {"previous", "next", "copy-link", "close", "drop-text"}
"""Buttons whose name says all."""


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_what_a_control_means_stands_beside_it(chromium, size):
    with opened(chromium, size=size) as page:
        page.locator("#keep-text").click()
        page.locator("#make-link").click()
        explained = 0
        for control in page.locator("input, textarea, button").all():
            name = control.get_attribute("id") or ""
            if name in SELF_EVIDENT or control.get_attribute("data-temperature"):
                continue
            says = page.locator(f"#{control.get_attribute('aria-describedby')}")
            assert len(says.text_content()) > 20 and says.is_visible(), name
            gap = says.bounding_box()["y"] - control.bounding_box()["y"]
            assert -60 < gap < 140, name
            explained += 1
        assert explained == 13


def test_in_a_frame_all_of_it_works(chromium, tmp_path):
    """As page/README.md frames it; and a bad address in it does not scroll what is around it."""
    outer = tmp_path / "outer.html"
    style = "width: 100%; height: min(60rem, 90vh); border: 0"
    outer.write_text(
        '<!DOCTYPE html><p style="height: 1000px">before</p>'
        f'<iframe src="{PAGE.as_uri()}#length=5000" style="{style}"></iframe>',
        "utf-8",
    )
    for size in (LAPTOP, PHONE, (900, 700)):
        with opened(chromium, size=size, address=outer.as_uri()) as page:
            frame = page.frame_locator("iframe")
            frame.locator("#text[aria-busy=false]").wait_for(state="attached")
            assert "length=5000" in frame.locator("#refused").text_content()
            assert page.evaluate("scrollY") == 0
            frame.locator("#close").click()
            frame.locator("#keep-text").click()
            frame.locator("#temperature").fill("0.8")
            expect(frame.locator("#summary")).to_contain_text("at temperature 0.80.")
            if size == LAPTOP:  # slider and text, both whole
                page.locator("iframe").scroll_into_view_if_needed()
                boxes = [frame.locator(f"#{n}").bounding_box() for n in ("temperature", "text-box")]
                assert all(b["y"] >= 0 and b["y"] + b["height"] <= 768 for b in boxes)


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_axe_finds_nothing_in_the_explorer(chromium, size, scheme):
    more = {"color_scheme": scheme, "bypass_csp": True}
    with opened(chromium, size=size, **more) as page:
        assert found_by_axe(page) == []
        page.locator("#keep-text").click()
        page.locator("#make-link").click()
        page.locator("#length").fill("0")
        assert found_by_axe(page) == []
    with opened(chromium, "#length=5000&temperature=NaN", size, **more) as page:
        assert found_by_axe(page) == []
