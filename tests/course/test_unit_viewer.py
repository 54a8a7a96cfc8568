"""Units along a text: what is read, what the panel shows of it, and the page without a kernel."""

import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from chromium import browser, needs_chromium, screenshot
from playwright.sync_api import expect

from lstmlib.course.widgets import UnitViewer, read_units, unit_page, unit_viewer
from lstmlib.internals import states_along
from lstmlib.models import CharRNN
from lstmlib.probes import Unit
from lstmlib.vocab import Vocab, VocabError

ODD = "a<b>&\"x'\n\t\0\u202e\u200f😀e\u0301 שלום\ud800</script><!-- &amp;"
TEXT = "the quick <b>\nfox & the\n\nlazy dog" * 8


def network(vocab, **config):
    """Return a network whose states are far from 0."""
    torch.manual_seed(0)
    model = CharRNN(len(vocab), **{"hidden_size": 6, "num_layers": 2} | config)
    for weight in model.parameters():
        weight.data.mul_(3)
    return model


def read(text=TEXT, **config):
    vocab = Vocab(set(text))
    return read_units(network(vocab, **config), vocab, text)


@pytest.fixture(scope="module")
def reading():
    return read()


def spans(panel):
    """Return the text as the panel shows it: (style, what is said, what is shown) for each."""
    found = re.findall(
        r'<span style="([^"]*)" data-said="([^"]*)">(.*?)</span>', panel.text.value, re.S
    )
    return [tuple(map(unescape, each)) for each in found]


# What is read


@pytest.mark.parametrize("cell", ["lstm", "cifg", "gru", "rnn"])
def test_the_values_are_the_states_and_the_expectations_the_models(cell):
    vocab = Vocab(set(TEXT))
    model = network(vocab, cell=cell)
    reading = read_units(model, vocab, TEXT)
    assert model.training  # as it was before
    model.eval()
    ids = torch.from_numpy(vocab.encode(TEXT))
    states = states_along(model, ids)
    assert list(reading.values) == ["h", "c"][: len(states)]
    assert reading.values["h"] == pytest.approx(states[0].numpy(), abs=1e-5)
    assert reading.of(("h", 1, 3)) == pytest.approx(states[0][:, 1, 3].numpy(), abs=1e-5)
    if len(states) == 2:
        assert reading.of(Unit("c", 0, 5)) == pytest.approx(
            states[1][:, 0, 5].tanh().numpy(), abs=1e-5
        )
    with torch.no_grad():
        p = model(ids[None])[0][0].softmax(-1)
    top = p.topk(5)
    assert reading.p == pytest.approx(top.values.numpy(), abs=1e-5)
    assert (p.gather(1, torch.from_numpy(reading.likeliest)) - top.values).abs().max() < 1e-5
    came = p[torch.arange(len(ids) - 1), ids[1:]]
    assert reading.came[:-1] == pytest.approx(came.numpy(), abs=1e-5)
    assert np.isnan(reading.came[-1])


@pytest.mark.parametrize(
    "unit",
    [("h", -1, 0), ("h", 2, 0), ("h", 0, 6), ("h", 0, -1), ("x", 0, 0), ("h", 0, 0.5), ("h", 1), 7],
)
def test_a_unit_that_is_none_is_named_with_those_that_are(reading, unit):
    with pytest.raises(ValueError, match=r"no unit"):
        reading.of(unit)
    with pytest.raises(ValueError, match=r"no unit"):
        UnitViewer(reading, {"it": unit})


def test_a_cell_without_a_cell_state_has_no_part_c():
    with pytest.raises(
        ValueError, match="parts are h, layers go from 0 to 1, and units go from 0 to 5"
    ):
        read(cell="gru").of(("c", 0, 0))


def test_a_text_that_cannot_be_read_is_refused_with_a_reason(reading):
    vocab = Vocab("abc")
    with pytest.raises(VocabError, match=r"'É' \(U\+00C9\)"):
        read_units(network(vocab), vocab, "abÉ")
    with pytest.raises(ValueError, match="The text is empty"):
        read_units(network(vocab), vocab, "")
    with pytest.raises(ValueError, match="20001 characters; this panel reads up to 20000"):
        read_units(network(vocab), vocab, "a" * 20_001)


# What the panel shows


def test_every_character_is_coloured_and_its_value_said(reading):
    panel = UnitViewer(reading, unit=("c", 1, 4))
    values, shown = reading.of(("c", 1, 4)), spans(panel)
    assert "".join(sign for *_, sign in shown).replace("↵", "\n") == TEXT[: len(shown)]
    assert panel.text.value.count("</span>\n") == TEXT[: len(shown)].count("\n")
    for k, (style, said, _) in enumerate(shown):
        color, depth = re.match(r"background:(#\w{6})(\w\w)", style).groups()
        assert color == ("#E69F00" if values[k] > 0 else "#0072B2")
        assert int(depth, 16) == pytest.approx(144 * abs(values[k]), abs=0.51)
        assert f"{values[k]:+.2f}".replace("-", "−") in said
        likely = f"{100 * reading.p[k, 0]:.0f} %"
        assert f"next: {unit_viewer.visible_sign(reading.tokens[reading.likeliest[k, 0]])} {likely}"
        line = re.search(r"inset 0 (-?)2px", style)
        assert (line is not None) == (abs(values[k]) >= 0.5)
        assert line is None or (line[1] == "-") == (values[k] < 0)
    assert {abs(v) >= 0.5 for v in values} == {True, False}


def test_the_slider_goes_through_the_text_and_its_pieces(reading):
    panel = UnitViewer(reading, unit=("h", 0, 2))
    values, seen = reading.of(("h", 0, 2)), set()
    pieces = unit_viewer._pieces_of(TEXT)
    assert len(pieces) > 1 and [k for piece in pieces for k in piece] == list(range(len(TEXT)))
    for at in range(0, len(TEXT), 7):
        panel.at.value = at
        assert f"<b>{unit_viewer.signed(values[at])}</b>" in panel.details.value
        assert f"Character {at} of {len(TEXT)}" in panel.details.value
        piece = next(piece for piece in pieces if at in piece)
        assert len(spans(panel)) == len(piece)
        # The marked one is that character, of the piece that is shown.
        name, nth = re.search(
            r"<style>\.(\S+) span:nth-child\((\d+)\)", panel.details.value
        ).groups()
        assert f'class="{name}"' in panel.text.value and piece[int(nth) - 1] == at
        seen.add(panel.text.value)
        if at + 1 < len(TEXT):
            assert f"{100 * reading.came[at]:.1f} %" in panel.details.value
    assert len(seen) == len(pieces)
    panel.at.value = len(TEXT) - 1
    assert "Here the text ends" in panel.details.value


def test_the_bars_are_the_values_around_the_place(reading):
    panel = UnitViewer(reading, unit=("h", 1, 1))
    panel.at.value = 50
    drawn = re.findall(r'height="([\d.]+)" fill="(#\w+)"', panel.details.value)
    values = reading.of(("h", 1, 1))[20:81]
    heights = [float(h) * (1 if color == "#E69F00" else -1) / 36 for h, color in drawn]
    assert heights == pytest.approx(values.tolist(), abs=2e-3)


def test_a_find_sets_the_unit_and_another_unit_leaves_the_find(reading):
    finds = {"one": ("c", 1, 5), "two": Unit("h", 0, 0)}
    panel = UnitViewer(reading, finds)
    assert panel.find.value == "one" and UnitViewer(reading, finds, ("h", 0, 1)).find.index == 0
    assert panel.unit == ("c", 1, 5) and repr(panel) == "UnitViewer(c, layer 1, unit 5)"
    panel.find.value = "two"
    assert panel.unit == ("h", 0, 0)
    assert "Hidden state h, layer 0, unit 0" in panel.text.value
    panel.number.value = 3
    assert panel.find.value == "(by number)" and panel.unit == ("h", 0, 3)
    panel.find.value = "one"
    assert panel.unit == ("c", 1, 5) and panel.find.value == "one"
    assert "tanh of the cell state c, layer 1, unit 5" in panel.text.value
    panel.number.value = 10**9  # the field stops at the last unit
    assert panel.unit == ("c", 1, 5)


def test_two_panels_of_one_page_do_not_mark_each_others_text(reading):
    names = {UnitViewer(reading)._class() for _ in range(2)}
    assert len(names) == 2


@pytest.mark.parametrize("text", [ODD, "a", "\n", "\n" * 50, "x" * 3000, "e\u0301" * 40])
def test_any_text_is_shown_as_it_is_and_acts_on_nothing(text):
    panel = UnitViewer(read(text, cell="gru", num_layers=1))
    for at in {0, len(text) // 2, len(text) - 1}:
        panel.at.value = at
        for html in (panel.text, panel.details):
            html.value.encode("utf-8")
            tags = r"<(/?)(style|div|span|svg|rect|text|path|code|bdo|b)\b[^<>]*>"
            rest = re.sub(tags, "", html.value)
            assert not re.search("[<>\\0\u202e\u200f]", rest)
    if text == ODD:
        said = [sign for *_, sign in spans(panel)]
        assert "U+202E" in said and "U+0000" in said and "◌\u0301" in said and "😀" in said


def test_every_control_has_a_description(reading):
    panel = UnitViewer(reading)
    controls = (panel.find, panel.layer, panel.part, panel.number, panel.at)
    assert all(control.description for control in controls)
    assert 'role="status"' in panel.details.value and 'role="img"' in panel.details.value


# The page


def data_of(page):
    held = page.split('id="data">')[1].split("</script>")[0]
    return json.loads(held)


def test_the_page_holds_the_values_and_asks_for_nothing(reading):
    page = unit_page(reading, {"<one> & two": ("c", 1, 5)}, "Units & <text>")
    data = data_of(page)
    assert data["finds"] == [["<one> & two", "c", 1, 5]]
    assert data["text"] == [{"\n": "↵\n"}.get(c, c) for c in TEXT]
    assert "<title>Units &amp; &lt;text&gt;</title>" in page
    assert "http" not in page.replace("http-equiv", "") and "default-src 'none'" in page
    with pytest.raises(ValueError, match="5,001 characters; a page holds up to 5,000"):
        unit_page(read("a" * 5001))
    with pytest.raises(ValueError, match="no unit"):
        unit_page(reading, {"it": ("c", 8, 5)})


def test_no_text_can_end_the_script_that_holds_it():
    page = unit_page(read(ODD, cell="rnn"))
    page.encode("utf-8")
    assert len(data_of(page)["text"]) == len(ODD)
    assert page.count("</script>") == 3


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def opened(chromium, path, errors):
    """Return a page in a browser, of which all errors are noted."""
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.on("console", lambda said: errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    return page


@needs_chromium
def test_the_page_follows_pointer_and_keys(chromium, reading, tmp_path):
    path, errors = tmp_path / "page.html", []
    path.write_text(unit_page(reading, {"a find": ("c", 1, 5)}), encoding="utf-8")
    page = opened(chromium, path, errors)
    said, marked = page.locator("#said"), page.locator("#text .here")

    def shows(at, unit):
        value = round(127 * float(reading.of(unit)[at])) / 127
        expect(said).to_contain_text(f"Character {at} of {len(TEXT)}")
        expect(said.locator("b")).to_have_text(f"{value:+.2f}".replace("-", "−"))
        expect(marked).to_have_attribute("data-k", str(at))
        color = page.locator("#text span").nth(at).evaluate("e => e.style.backgroundColor")
        alpha = float(re.search(r"/ ([\d.]+)\)", color)[1])
        assert alpha == pytest.approx(0.56 * abs(value), abs=6e-4)

    shows(0, ("c", 1, 5))
    page.locator("#text span").nth(17).hover()
    shows(17, ("c", 1, 5))
    page.mouse.move(1, 1)
    page.locator("#text").focus()
    second = TEXT.index("\n") + 1
    for key, at in (
        ("Home", second),
        ("ArrowRight", second + 1),
        ("ArrowUp", 1),
        ("ArrowLeft", 0),
        ("ArrowLeft", 0),
        ("End", second - 1),
        ("ArrowDown", TEXT.index("\n", second)),
    ):
        page.keyboard.press(key)
        shows(at, ("c", 1, 5))
    page.keyboard.press("PageDown")
    shows(TEXT.index("\n", second), ("c", 1, 0))
    expect(page.locator("#find")).to_have_value("")
    page.keyboard.press("PageUp")
    page.locator("#layer").select_option("0")
    page.locator("#part").select_option("h")
    shows(TEXT.index("\n", second), ("h", 0, 5))
    screenshot(page, "11_unit_page")
    assert errors == []
    page.close()


@needs_chromium
def test_the_page_shows_any_text(chromium, tmp_path):
    path, errors = tmp_path / "page.html", []
    path.write_text(unit_page(read(ODD, cell="gru", num_layers=1)), encoding="utf-8")
    page = opened(chromium, path, errors)
    expect(page.locator("#text span")).to_have_count(len(ODD))
    assert "</script><!-- &amp;" in page.locator("#text").inner_text()
    assert errors == []
    page.close()


@needs_chromium
def test_in_the_panel_a_pointer_shows_the_value_below_the_text(chromium, reading, tmp_path):
    panel, errors, path = UnitViewer(reading, unit=("c", 1, 4)), [], tmp_path / "panel.html"
    panel.at.value = 9
    html = f"<!DOCTYPE html><meta charset=utf-8>{panel.text.value}{panel.details.value}"
    path.write_text(html, encoding="utf-8")
    page = opened(chromium, path, errors)
    characters = page.locator("span[data-said]")
    characters.nth(5).hover()
    told = characters.nth(5).evaluate("e => getComputedStyle(e, '::after').content")
    assert unit_viewer.signed(reading.of(("c", 1, 4))[5]) in told
    outlined = characters.evaluate_all(
        "all => all.map(e => getComputedStyle(e).outlineStyle).map((s, k) => s == 'solid' ? k : -1)"
    )
    assert [k for k in outlined if k >= 0] == [5, 9]  # the pointer's, and the slider's
    assert errors == []
    page.close()
