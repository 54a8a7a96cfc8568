"""The temperature explorer's address: what is put into it comes back, and nonsense is named."""

from urllib.parse import quote

import pytest
from chromium import browser, needs_chromium, screenshot
from explorer_page import PAGE, PHONE, opened, settled
from playwright.sync_api import expect

expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def settings(page):
    return page.evaluate("FIELDS.map(textIn)")


def refused(page):
    """Return what is said of the address, row for row."""
    return page.locator("#refused li").all_text_contents()


def use_everything(page):
    """Press what goes through the text or keeps it: none of it may throw."""
    for name in ("next", "play", "keep-text", "previous", "play", "make-link", "drop-text"):
        page.locator(f"#{name}").evaluate("e => e.click()")
    page.locator("#text").hover()
    page.locator("h1").hover()


FIRST = ["The ", "0.5", "", "1", "0", "300", "7", "1"]
NONSENSE = {
    "length=5000": "Length must be a whole number from 1 to 1000. It stays 300.",
    "length=0": "Length must be",
    "length=1.5": "Length must be",
    "length=0x10": "Length must be",
    "seed=-1": "Seed must be a whole number from 0 to 4294967295. It stays 7.",
    "seed=4294967296": "Seed must be",
    "seed=seven": "Seed must be",
    "seed=": "Seed must be",
    "temperature=NaN": "Temperature must be from 0 to 2, in steps of 0.05. It stays 0.5.",
    "temperature=": "Temperature must be",
    "temperature=-5": "Temperature must be",
    "temperature=9": "Temperature must be",
    "temperature=0.333": "Temperature must be",
    "temperature=1e999": "Temperature must be",
    "temperature=hot": "Temperature must be",
    "top-k=abc": "Top-k must be a whole number, 1 or more.",
    "top-k=0": "It stays empty.",
    "top-k=Infinity": "Top-k must be",
    "top-p=x": "Top-p must be above 0 and at most 1. It stays 1.",
    "top-p=0": "Top-p must be",
    "top-p=": "Top-p must be",
    "min-p=-1": "Min-p must be from 0 to 1; 0 keeps all characters. It stays 0.",
    "min-p=NaN": "Min-p must be",
    "keep=maybe": "Keep must be 1, for yes, or 0. It stays 1.",
    "keep=": "Keep must be",
    "character=0": "Character must be a whole number, at most the length.",
    "character=301": "Character must be",
    "kept=": "The prompt is empty.",
    "kept=length%3D5000": "Length must be a whole number from 1 to 1000.",
    "prompt=": "The prompt is empty.",
    "prompt=%F0%9F%98%80": "does not know “😀” (U+1F600)",
    "prompt=%ED%A0%80": "(U+FFFD)",
    "prompt=%00a": "(U+0000)",
    "unknown=1": "There is no setting of this name.",
    "__proto__=1": "There is no setting of this name.",
    "constructor=": "There is no setting of this name.",
    "NaN": "There is no setting of this name.",
    "%%%%": "There is no setting of this name.",
}


@pytest.fixture(scope="module")
def again(chromium):
    with opened(chromium) as page:
        yield page


@pytest.fixture(scope="module")
def first_text(chromium):
    with opened(chromium) as page:
        return page.locator("#text").text_content()


@pytest.mark.parametrize("fragment", NONSENSE)
def test_nonsense_in_the_address_is_named_and_the_text_stands(again, first_text, fragment):
    """On opening, where no text was before."""
    again.goto("about:blank")
    again.goto(f"{PAGE.as_uri()}#{fragment}")
    settled(again)
    (row,) = refused(again)
    assert NONSENSE[fragment] in row
    assert row.startswith(fragment.split("%")[0].split("=")[0])
    assert settings(again) == FIRST
    assert again.locator("#text").text_content() == first_text
    assert again.locator("#position").text_content() == "1 of 300"
    assert again.locator("[aria-invalid=true]").count() == 0
    use_everything(again)


def test_on_a_phone_all_that_is_refused_is_in_sight(chromium, first_text):
    """And all the rest of the address is used."""
    bad = (
        "length=5000",
        "seed=-1",
        "temperature=NaN",
        "top-k=abc",
        "top-p=x",
        "keep=maybe",
        "foo=1",
    )
    with opened(chromium, "#" + "&".join(bad), PHONE) as page:
        rows = refused(page)
        assert {row.split(" ")[0] for row in rows} == {*bad[:-1], "foo"}
        for row in page.locator("#refused li").all():
            box = row.bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 844
        assert page.locator("#text").text_content() == first_text
        screenshot(page, "page-address-phone")
        page.mouse.wheel(0, 2000)
        page.wait_for_timeout(300)
        page.evaluate("location.hash = 'min-p=2&length=50'")
        expect(page.locator("#refused")).to_contain_text("min-p=2")
        expect(page.locator("#text")).to_have_text(first_text[:50])
        assert page.locator("#refused").bounding_box()["y"] >= 0
        page.locator("#close").click()
        assert page.locator("#address-part").is_hidden()
        assert page.evaluate("document.activeElement.id") == "temperature"
        page.evaluate("location.hash = 'min-p=0.1'")
        expect(page.locator("#text")).not_to_have_text(first_text[:50])
        assert page.locator("#address-part").is_hidden()


def test_a_setting_that_is_there_twice_is_named(chromium):
    with opened(chromium, "#temperature=1&temperature=0.3&kept=&kept=") as page:
        assert refused(page)[0] == "temperature It is there 2 times; the last one counts."
        assert len(refused(page)) == 3 and page.locator("#temperature").input_value() == "0.3"


HUGE = {
    "a prompt": "prompt=" + 100_000 * "x",
    "a prompt of many characters": "prompt="
    + quote("".join(chr(0x4E00 + k) for k in range(11_000))),
    "a number": "seed=" + 100_000 * "9",
    "names": "&".join(f"a{k}=1" for k in range(15_000)),
    "the same name": "&".join(20_000 * ["a=1"]),
    "a name": 100_000 * "n" + "=1",
}


@pytest.mark.parametrize("kind", HUGE)
def test_an_address_of_100_kilobytes_is_said_in_short(again, first_text, kind):
    again.goto("about:blank")
    again.goto(f"{PAGE.as_uri()}#{HUGE[kind]}")
    settled(again)
    said = again.locator("#refused").text_content()
    assert 0 < len(said) < 400 and again.locator("#refused").bounding_box()["height"] < 200
    assert again.locator("#text").text_content() == first_text


def test_numbers_are_read_as_a_field_reads_them(chromium):
    with opened(chromium, "#length=1e2&seed=1e3&top-p=.5&temperature=1.50&prompt=%0D%0Aa") as page:
        assert refused(page) == []
        assert settings(page) == ["\na", "1.5", "", "0.5", "0", "100", "1000", "1"]


def test_a_place_in_the_page_is_no_setting(chromium):
    with opened(chromium, "#settings") as page:
        assert refused(page) == [] and settings(page) == FIRST


def test_a_link_brings_everything_back(chromium):
    """Also the switch, the character that is looked at, and the text that is kept."""
    with opened(chromium) as page:
        for name, value in {"prompt": "a+b = 1 |#\n ", "top-p": "0.9", "min-p": "0.01"}.items():
            page.locator(f"#{name}").fill(value)
        page.locator("#keep-text").click()
        for name, value in {"temperature": "0.85", "length": "123", "seed": "4294967295"}.items():
            page.locator(f"#{name}").fill(value)
        settled(page)
        page.locator("#keep").uncheck()
        page.locator("#text [data-index='40']").click()
        page.locator("#make-link").click()
        assert page.evaluate("location.href") == page.locator("#link-field").input_value()
        link = page.evaluate("location.hash")
        parts = ["text", "kept-text", "kept-title", "parts", "position", "drawn"]
        before = {name: page.locator(f"#{name}").text_content() for name in parts}
        held = settings(page)
        assert held[-1] == "0" and before["position"] == "41 of 123"
    with opened(chromium, link) as page:
        expect(page.locator("#kept")).to_be_visible()
        assert {name: page.locator(f"#{name}").text_content() for name in parts} == before
        assert settings(page) == held and refused(page) == []
        page.locator("#make-link").click()
        assert page.evaluate("location.hash") == link


def test_a_link_has_what_the_text_was_written_with(chromium):
    """Not what a field holds that cannot be used."""
    with opened(chromium) as page:
        page.locator("#length").fill("5000")
        page.locator("#top-k").focus()
        page.keyboard.type("e")
        page.locator("#make-link").click()
        link = page.evaluate("location.hash")
        assert "length=300" in link and "top-k=&" in link
        page.locator("#temperature").fill("0.6")
        assert "before the last change" in page.locator("#link-made").text_content()


def test_with_a_field_that_cannot_be_used_the_others_go_on(chromium):
    with opened(chromium) as page:
        page.locator("#length").fill("5000")
        page.locator("#seed").fill("-1")
        settled(page)
        said = page.locator("#message").text_content()
        assert "Length must be" in said and "It stays 300." in said and "Seed must be" in said
        invalid = page.locator("[aria-invalid=true]")
        assert invalid.evaluate_all("all => all.map(e => e.id)") == ["length", "seed"]
        before = page.locator("#text").text_content()
        page.locator("#temperature").fill("1")
        expect(page.locator("#text")).not_to_have_text(before)
        assert "at temperature 1.00." in page.locator("#summary").text_content()
        use_everything(page)


def test_before_the_first_text_nothing_throws(chromium):
    with opened(chromium) as page:
        page.evaluate("shown = { prompt: '', steps: [] }")
        use_everything(page)


def test_a_frame_without_an_address_says_so_and_stays(chromium, tmp_path):
    """A fragment alone would be one of the page around it, and the frame would open that."""
    outer = tmp_path / "outer.html"
    outer.write_text('<!DOCTYPE html><iframe id="f" style="width: 100%; height: 700px"></iframe>')
    with opened(chromium, address=outer.as_uri()) as page:
        page.evaluate("text => { f.srcdoc = text; }", PAGE.read_text(encoding="utf-8"))
        frame = page.frame_locator("#f")
        frame.locator("#text[aria-busy=false]").wait_for(state="attached")
        frame.locator("#make-link").click()
        expect(frame.locator("#link-made")).to_contain_text("This frame has no address of its own")
        assert "temperature=0.5" in frame.locator("#link-field").input_value()
