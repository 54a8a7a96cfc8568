"""What a reader of the explosion lab must not lose, and what it must not say."""

import json
import struct
from pathlib import Path

import pytest
from axe import found_by_axe, needs_axe
from chromium import browser, needs_chromium
from explosion import SMALL, give_file, lab_opener, losses_of, paste, take_steps, until
from playwright.sync_api import expect

from lstmlib.serialization import load_model

ROOT = Path(__file__).resolve().parents[2]
LOADED = ROOT / "runs" / "case-e-rnn" / "model.safetensors"
SHORT = 12 * "abcdefghij klmnop. "
expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def open_lab(chromium):
    with lab_opener(chromium) as opened:
        yield opened


def message(page):
    return page.locator("#message")


def said_is_wrong(page, words):
    expect(page.locator("#message.wrong")).to_contain_text(words)


def start_until(page, step):
    page.locator("#start").click()
    until(page, f"step > {step}")


def pause(page):
    page.locator("#start").click()
    until(page, "!running")
    page.wait_for_timeout(200)  # rows that are on their way


def move(page, name, value):
    page.locator(f"#{name}").fill(str(value))


def many_kinds(count, kinds):
    """Return a text of so many different characters."""
    return "".join(chr(0x4E00 + (k * 7919) % kinds) for k in range(count))


# What is refused


def test_a_refused_text_leaves_the_run_on_its_own_text(open_lab, tmp_path):
    page = open_lab("#units=16&streams=64&length=100")
    take_steps(page, 2)
    before = page.evaluate("({ text, settings, step })")
    losses = losses_of(page)
    paste(page, many_kinds(12_000, 6_000))
    said_is_wrong(page, "MB are the most")
    assert page.evaluate("({ text, settings, step })") == before
    move(page, "temperature", 1)  # another text is drawn, of the same characters
    page.wait_for_timeout(300)
    assert max(page.locator("#text-0").text_content()) < "\u4e00"
    take_steps(page, 1)
    assert losses_of(page)[0][:2] == losses[0] and abs(losses_of(page)[0][2] - losses[0][1]) < 0.5
    with page.expect_download() as download:
        page.locator("#save-model").click()
    download.value.save_as(tmp_path / "it.safetensors")
    _, vocab = load_model(tmp_path / "it.safetensors")
    assert len(vocab) == before["text"]["tokens"]


def test_a_text_that_is_taken_while_another_trains_breaks_nothing(open_lab):
    page = open_lab("#units=16&streams=4&length=10")
    page.evaluate(
        """() => { window.wrongs = []; const saying = say;
        say = (words, isWrong) => {
            if (isWrong) window.wrongs.push(words);
            saying(words, isWrong);
        }; }"""
    )
    for _ in range(3):
        for text in (200 * "ab c", many_kinds(12_000, 6_000)):
            paste(page, text)
            kinds = f"{len(set(text)):d} different"
            expect(message(page)).to_contain_text("Trains on")
            expect(message(page)).to_contain_text(kinds)
            until(page, "running && step > 1")
    assert page.evaluate("window.wrongs") == []


def test_a_refused_experiment_leaves_the_settings_of_the_run(open_lab):
    page = open_lab(SMALL)
    paste(page, SHORT)
    until(page, "running && step > 20")
    before = page.evaluate("settings")
    page.locator("#preset").select_option("dies")
    said_is_wrong(page, "need 713")
    assert page.evaluate("[settings, element('preset').value]") == [before, "learns"]
    expect(page.locator("#preset-says")).to_contain_text("An LSTM learns to write")
    expect(page.locator("#units")).to_have_value("16")
    move(page, "temperature", 1)
    at = page.evaluate("step")
    until(page, f"step > {at} + 200")  # it trains on, with its own rate
    assert losses_of(page)[0][-1] < 2
    page.locator("#make-link").click()
    assert "rate=0.01&" in page.evaluate("location.hash")
    assert page.evaluate("settings") == before | {"temperature": 1}


def test_a_refused_cell_is_not_shown(open_lab):
    page = open_lab("#cell=rnn&units=256&layers=3&streams=64&length=60&optimizer=sgd")
    page.locator("#network-part summary").click()
    page.locator("#length").fill("200")
    page.locator("#length").blur()
    expect(page.locator("#length")).to_have_value("200")
    until(page, "settings.length === 200")
    page.locator("#cell").select_option("lstm")
    said_is_wrong(page, "MB are the most")
    expect(page.locator("#cell")).to_have_value("rnn")
    assert page.evaluate("settings.cell") == "rnn"


def test_without_a_network_each_button_says_so_and_what_fits_begins(open_lab):
    page = open_lab("#cell=lstm&units=256&layers=3&streams=64&length=200")
    said_is_wrong(page, "MB are the most")
    page.locator("#own-part summary").click()
    for name in ("start", "step", "save-model"):
        page.locator(f"#{name}").click()
        said_is_wrong(page, "There is no network yet. With")
        expect(page.locator("#start")).to_have_text("Start")
    page.locator("#pair").check()
    said_is_wrong(page, "MB are the most")
    page.locator("#network-part summary").click()
    page.locator("#layers").select_option("1")
    page.locator("#units").fill("16")
    page.locator("#units").blur()
    expect(message(page)).to_contain_text("different ones")
    take_steps(page, 1)
    assert page.evaluate("[history.length, settings.length, settings.units]") == [2, 200, 16]


def test_what_is_moved_while_an_answer_is_awaited_counts_for_what_stands_then(open_lab):
    """Of a refused experiment neither the rate nor the clipping reach the run."""
    page = open_lab(SMALL)
    paste(page, SHORT)
    until(page, "running")
    page.evaluate(
        """() => { const change = (name, value, kind) => {
            element(name).value = value;
            element(name).dispatchEvent(new Event(kind, { bubbles: true }));
        };
        change("preset", "dies", "change");
        change("temperature", 1.1, "input");
        change("preset", "lower", "change");
        change("temperature", 1.2, "input"); }"""
    )
    said_is_wrong(page, "need 713")
    until(page, "asked.length === 0")
    now = page.evaluate("settings")
    assert (now["rate"], now["clip"], now["temperature"], now["units"]) == (0.01, "norm", 1.2, 16)
    pause(page)
    page.locator("#built-in").click()
    expect(message(page)).to_contain_text("The built-in text")
    page.evaluate("() => { element('preset').value = 'dies'; choosePreset('dies'); }")
    move(page, "rate", -1)
    until(page, "asked.length === 0 && settings.units === 48")
    assert page.evaluate("[settings.rate, settings.clip]") == [0.1, "none"]


# A model that was loaded


def load(page, data=None, name="it.safetensors"):
    give_file(page, "model-file", name, data or LOADED.read_bytes())


def test_an_answer_does_not_write_over_what_is_being_typed(open_lab):
    page = open_lab(SMALL)
    page.locator("#network-part summary").click()
    page.locator("#units").fill("32")
    page.evaluate("ask('reset')")
    until(page, "asked.length === 0")
    expect(page.locator("#units")).to_have_value("32")
    page.locator("#units").blur()
    until(page, "settings.units === 32")


def test_a_loaded_model_is_where_a_run_begins_again(open_lab):
    page = open_lab(SMALL)
    load(page)
    expect(message(page)).to_contain_text("it.safetensors is loaded")
    take_steps(page, 1)
    ((first,),) = losses_of(page)
    assert first < 4  # a new network begins at 4.48
    page.locator("#reset").click()
    expect(message(page)).to_contain_text("The run begins from the weights of it.safetensors.")
    take_steps(page, 1)
    assert losses_of(page) == [[first]]
    page.locator("#pair").check()
    until(page, "history.length === 2")
    take_steps(page, 1)
    assert losses_of(page) == [[first], [first]]
    page.locator("#pair").uncheck()
    until(page, "history.length === 1")
    assert losses_of(page) == [[first]]
    page.locator("#network-part summary").click()
    page.locator("#optimizer").select_option("sgd")
    until(page, "settings.optimizer === 'sgd' && step === 0")
    take_steps(page, 1)
    assert losses_of(page) == [[first]]


@pytest.mark.parametrize("how", ["preset", "text", "seed"])
def test_a_loaded_model_is_not_left_without_a_word(open_lab, how):
    page = open_lab(SMALL)
    tokens = page.evaluate("text.tokens")
    load(page)
    expect(message(page)).to_contain_text("it.safetensors is loaded")
    assert page.evaluate("text.tokens") < tokens
    if how == "preset":
        page.locator("#preset").select_option("leaps")
    elif how == "text":
        page.locator("#own-part summary").click()
        page.locator("#built-in").click()
    else:
        page.locator("#network-part summary").click()
        page.locator("#seed").fill("3")
        page.locator("#seed").blur()
    expect(message(page)).to_contain_text("it.safetensors was left, and the network is new")
    assert page.evaluate("[text.tokens, model]") == [tokens, None]
    if how == "preset":
        take_steps(page, 1)
        assert losses_of(page)[0][0] == pytest.approx(4.48, abs=0.05)


def safetensors(data, change, more=b""):
    """Return a file with another header and more bytes at its end."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :] + more


def no_metadata(header):
    header["__metadata__"] = None


def one_more(header):
    header["extra"] = dict(header["by"])


def twice(header):
    vocab = json.loads(header["__metadata__"]["vocab"])
    characters = vocab["characters"]
    vocab["characters"] = 2 * characters[0] + characters[2:]
    header["__metadata__"]["vocab"] = json.dumps(vocab)


def other_characters(header):
    vocab = json.loads(header["__metadata__"]["vocab"])
    vocab["characters"] = "".join(chr(0x4E00 + k) for k in range(len(vocab["characters"])))
    header["__metadata__"]["vocab"] = json.dumps(vocab)


def test_a_model_that_cannot_be_used_is_refused_with_its_reason(open_lab):
    page = open_lab(SMALL)
    start_until(page, 20)
    data = LOADED.read_bytes()
    files = [
        (safetensors(data, no_metadata), "was not written by save_model or save_scratch"),
        (safetensors(data, one_more), "it holds what its network does not have: extra"),
        (safetensors(data, twice), "a character stands twice in its vocabulary"),
        (safetensors(data, dict, b"more"), "it is not a whole safetensors file"),
        (safetensors(data, other_characters), "of the built-in text it knows 0 characters"),
    ]
    for file, why in files:
        load(page, file)
        said_is_wrong(page, why)
        said_is_wrong(page, "it.safetensors cannot be loaded: ")
        said_is_wrong(page, "The network stays as it is.")
        at = page.evaluate("step")
        until(page, f"running && step > {at} + 5")


# The way back


def test_the_arrow_keys_over_the_experiments_take_no_run_away(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 3)
    start_until(page, 20)
    page.locator("#preset").focus()
    page.keyboard.press("ArrowDown")
    until(page, "step === 0 && asked.length === 0")
    page.keyboard.press("ArrowDown")
    until(page, "settings.clip === 'norm' && settings.cell === 'rnn' && asked.length === 0")
    expect(message(page)).to_contain_text("is kept until the next step.")
    undo = page.locator("#undo")
    kept = int(undo.text_content().removeprefix("Back to step "))
    undo.focus()
    page.keyboard.press("Enter")
    expect(message(page)).to_contain_text(f"The run is back at step {kept}.")
    assert page.evaluate("[step, history[0].losses.length]") == [kept, kept] and kept > 20
    assert page.evaluate("[settings.cell, settings.units, element('preset').value]") == [
        "lstm",
        16,
        "learns",
    ]
    assert not undo.is_visible()
    assert page.evaluate("document.activeElement.id") == "start"
    before = losses_of(page)[0]
    take_steps(page, 1)
    assert losses_of(page)[0][:-1] == before and len(before) == kept
    page.locator("#reset").click()
    until(page, "step === 0")
    assert undo.is_visible()
    take_steps(page, 1)
    assert not undo.is_visible()


# What is shown belongs to the step that is named


REDRAWN = """async () => {
    const before = element("text-0").textContent;
    const cell = element("cell-plot").ariaLabel;
    const heard = new Promise((done) => {
        const texts = HEAR.texts;
        HEAR.texts = (data) => { texts(data); HEAR.texts = texts; done(); };
    });
    send("change", { changes: {} });
    await heard;
    return [before === element("text-0").textContent, cell === element("cell-plot").ariaLabel];
}"""


def test_a_pause_shows_the_text_and_the_cell_of_its_step(open_lab):
    page = open_lab("#preset=leaps&units=32&streams=4")
    start_until(page, 20)
    pause(page)
    assert page.evaluate(REDRAWN) == [True, True]


def test_after_a_loss_that_is_no_number_all_stands_still_and_says_what_to_do(open_lab):
    page = open_lab(SMALL + "&cell=rnn&clip=none&optimizer=sgd")
    take_steps(page, 12)
    page.evaluate("send('change', { changes: { rate: 1e38 } })")
    page.locator("#start").click()
    said_is_wrong(page, "no number any more")
    until(page, "!running")
    at = page.evaluate("step")
    assert page.evaluate(REDRAWN) == [True, True]
    for name in ("start", "step", "start"):
        page.evaluate("say('')")
        page.locator(f"#{name}").click()
        said_is_wrong(page, "From here no step can be taken")
        said_is_wrong(page, "Go back 10 or 100 steps")
        expect(page.locator("#start")).to_have_text("Start")
    assert page.evaluate("[step, history[0].steps]") == [at, at]
    page.locator("[data-back='10']").click()
    expect(message(page)).to_contain_text("Back at step")
    move(page, "rate", -2)
    take_steps(page, 2)


def test_of_two_runs_one_that_is_broken_is_called_so(open_lab):
    page = open_lab(SMALL + "&cell=rnn&clip=none&optimizer=sgd&pair=1&limit=0.001")
    page.evaluate("send('change', { changes: { rate: 3e37 } })")
    page.locator("#start").click()
    until(page, "history.some((run) => run.brokenAt)")
    expect(page.locator("#numbers")).to_contain_text("no number since step")
    until(page, "!running || step > 50")
    if page.evaluate("running"):
        pause(page)
    expect(page.locator("#start")).to_have_text("Start")


def test_a_line_is_drawn_where_a_norm_is_clipped_and_can_leave_what_is_shown(open_lab):
    page = open_lab("#preset=cured&pair=1&clip=value&units=16&streams=2&length=5")
    take_steps(page, 1)
    assert page.evaluate("hasLine()") is False
    page.locator("#clip").select_option("norm")
    assert page.evaluate("hasLine()") is True
    page.wait_for_timeout(200)
    box = page.locator("#norm-plot").bounding_box()

    def line():
        page.wait_for_timeout(100)
        return box["x"] + 200, box["y"] + page.evaluate("scales.y(settings.limit)")

    page.mouse.move(*line())
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 200, box["y"] + 30)
    page.mouse.up(button="right")
    assert page.evaluate("settings.limit") == 0.3
    lowest = page.evaluate("scales.valueAt(element('norm-plot').clientHeight - 20)")
    page.mouse.move(*line())
    page.mouse.down()
    for _ in range(3):
        page.mouse.move(box["x"] + 200, box["y"] + box["height"] + 5)
        page.mouse.move(box["x"] + 201, box["y"] + box["height"] + 6)
        page.wait_for_timeout(100)
    page.mouse.up()
    assert 0.001 <= page.evaluate("settings.limit") < 0.8 * lowest


def test_a_beginning_clears_what_was_saturated_and_a_first_step_is_drawn(open_lab):
    page = open_lab("#preset=leaps&units=16&streams=2&length=5")
    inked = """(name) => { const { width, height } = element(name);
        const { data } = element(name).getContext("2d").getImageData(0, 0, width, height);
        const [r, g, b] = colours().first.slice(1).match(/../g).map((each) => parseInt(each, 16));
        let count = 0;
        for (let k = 0; k < data.length; k += 4)
            if (data[k] === r && data[k + 1] === g && data[k + 2] === b) count += 1;
        return count; }"""
    assert page.evaluate(inked, "loss-plot") == page.evaluate(inked, "norm-plot") == 0
    take_steps(page, 1)
    page.wait_for_timeout(200)
    assert page.evaluate(inked, "loss-plot") > 0 and page.evaluate(inked, "norm-plot") > 0
    expect(page.locator("#saturation")).to_contain_text("%")
    for begin in (
        lambda: page.locator("#reset").click(),
        lambda: page.locator("#preset").select_option("dies"),
    ):
        begin()
        until(page, "step === 0 && asked.length === 0")
        expect(page.locator("#saturation")).not_to_contain_text("%")
        take_steps(page, 1)


def test_a_text_that_is_easily_told_is_not_dead(open_lab):
    page = open_lab(SMALL)
    assert page.evaluate("text.unigram") > 3  # the recorded presets are judged as they were
    paste(page, "x" * 900 + "\n")
    until(page, "step > 220")
    pause(page)
    dead = "[...said.events].filter((event) => event.startsWith('dead'))"
    assert page.evaluate(dead) == []


def test_what_was_clipped_is_still_called_so(open_lab):
    page = open_lab(SMALL + "&pair=1&limit=0.01")
    take_steps(page, 3)
    page.locator("#clip").select_option("none")
    rows = page.locator("#figures th").all_text_contents()
    assert rows == ["at first clipped", "at first not clipped"]
    assert page.locator("#figures tr").first.locator("td").last.text_content() == "100 %"


# The link


def test_a_link_has_each_setting_exactly(open_lab):
    page = open_lab("#preset=leaps")
    page.locator("#rate").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.locator("#clip").select_option("norm")
    page.locator("#limit").fill("-3")
    page.locator("#own-part summary").click()
    page.locator("#make-link").click()
    assert page.evaluate("settings.rate") not in (1.3, 1.51356)
    again = open_lab(page.evaluate("location.hash"))
    assert again.evaluate("settings") == page.evaluate("settings")
    load(page)  # of 100 units
    expect(message(page)).to_contain_text("is loaded")
    page.evaluate("() => { settings.units = 300; }")
    page.locator("#make-link").click()
    expect(message(page)).to_contain_text("nor are the weights of it.safetensors")
    assert open_lab(page.evaluate("location.hash")).evaluate("settings.units") == 300


def test_a_link_that_is_made_while_a_text_is_read_stays(open_lab):
    page = open_lab(SMALL)
    page.locator("#own-part summary").click()
    page.locator("#make-link").click()
    page.locator("#built-in").click()
    expect(message(page)).to_contain_text("characters,")
    assert page.locator("#link-field").is_visible()
    move(page, "rate", -1)
    assert not page.locator("#link-field").is_visible()


@pytest.mark.parametrize("name", ["constructor", "toString", "__proto__"])
def test_an_experiment_that_is_none_is_not_taken(open_lab, name):
    page = open_lab(f"#preset={name}")
    expect(page.locator("#preset")).to_have_value("learns")
    page.locator("#again").click()
    until(page, "asked.length === 0 && settings.units === 128")


# Long runs


def test_a_run_of_millions_of_steps_is_drawn_at_once_and_keeps_its_extremes(open_lab):
    page = open_lab(SMALL + "&pair=1")
    made = """() => {
        const random = randomFrom(1);
        for (const run of history) {
            for (let k = 1; k <= 3e6; k++) {
                const spike = k === 1234567 ? 1000 : 0;
                run.add(k, [2 + random() + spike, 0.5 + random() + spike, k % 3 === 0]);
                if (k % 50 === 0) run.addValid(k, 2 + random());
            }
        }
        step = 3e6;
        function randomFrom(state) {
            return () => (state = (state * 48271) % 2147483647) / 2147483647;
        }
    }"""
    page.evaluate(made)
    drawing = """() => {
        const curves = history.map(({ losses: points, valid }) => ({ points, valid }));
        const norms = history.map(({ norms: points, clipped }) => ({ points, clipped }));
        const times = Array.from({ length: 15 }, () => {
            const before = performance.now();
            drawLoss(element("loss-plot"), { curves, steps: step, ...text });
            drawNorms(element("norm-plot"), { curves: norms, steps: step, limit: 1 });
            describePlots();
            return performance.now() - before;
        });
        return times.sort((a, b) => a - b)[7];
    }"""
    assert page.evaluate(drawing) < 20
    sizes = page.evaluate(
        """history.flatMap(({ losses, norms, clipped, valid }) =>
            [losses, norms, clipped, valid].map((each) => each.length))"""
    )
    assert max(sizes) <= 8000 and min(sizes) > 1000
    assert page.evaluate("history[0].exact.length") == 200_000
    assert page.evaluate("history[0].figures.highest.step") == 1234567
    assert page.evaluate("history[0].losses.some(([at, loss]) => at === 1234567 && loss > 1000)")
    assert page.evaluate("history[0].norms.some(([at, norm]) => at === 1234567 && norm > 1000)")
    page.evaluate("HEAR.back({ step: 2999000 })")
    assert page.evaluate("history[0].figures.steps") == 2999000
    assert page.evaluate("history[0].figures.clipped") == 2999000 // 3
    page.evaluate("HEAR.back({ step: 1000000 })")
    kept = page.evaluate("history[0].figures")
    assert (kept["steps"], kept["highest"]["loss"] < 4, kept["longest"]["norm"] < 2) == (
        1000000,
        True,
        True,
    )
    expect(page.locator("#figures tr").first).to_contain_text("–")


def test_what_is_kept_exactly_is_the_same_as_if_all_were(open_lab):
    page = open_lab(SMALL)
    code = """([length, to]) => {
        const [long, all] = [new RunHistory(), watchers()];
        const row = (k) => [3 + Math.sin(k * k), 1 + Math.cos(k * k), k % 7 === 0];
        for (let k = 1; k <= length; k++) long.add(k, row(k));
        long.cut(to);
        for (let k = 1; k <= to; k++) follow(all, k, ...row(k));
        return [JSON.stringify(long.figures) === JSON.stringify(all.figures),
            JSON.stringify(long.watch) === JSON.stringify(all.watch),
            long.rowAt(to)?.[0] === row(to)[0]];
    }"""
    for length, to in ((50, 20), (9000, 8990), (150_000, 149_900), (150_000, 60_000)):
        assert page.evaluate(code, [length, to]) == [True, True, True], (length, to)


# Where it stands


PLACES = """all => all.map((e) => {
    const { top, left, width, height } = e.getBoundingClientRect();
    return [e.id, ...[top + scrollY, left, width, height].map(Math.round)];
})"""
PARTS = (
    "#start, #pair, #run-part, #live-part, #rate, #limit, #temperature, canvas, .text, #text-part, "
    "#cell-part, #saturation, #made, #own-part summary, #network-part summary, #message-part"
)


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_nothing_jumps_with_any_experiment_or_clipping(open_lab, width, height):
    page = open_lab("#preset=dies&units=16&streams=2&length=5", width, height)
    until(page, "texts.length === 1")
    parts = page.locator(PARTS)
    before = parts.evaluate_all(PLACES)
    for clip in ("none", "value", "norm"):
        page.locator("#clip").select_option(clip)
        assert parts.evaluate_all(PLACES) == before, clip
    for name in page.evaluate("Object.keys(PRESETS)"):
        page.evaluate("(name) => { element('preset').value = name; choosePreset(name); }", name)
        until(page, "asked.length === 0")
        page.evaluate("() => { element('figures-part').open = false; }")
        assert parts.evaluate_all(PLACES) == before, name
        page.evaluate("(all) => HEAR.rows(all)", a_row(page))
        page.wait_for_timeout(100)
        assert parts.evaluate_all(PLACES) == before, f"{name}, a step"


def a_row(page, runs=1):
    """Return what the worker would say of a step, as wide as it gets."""
    cell = page.evaluate("settings.cell")
    gates = {"rnn": ["h"], "lstm": ["i", "f", "o"], "cifg": ["i", "o"], "gru": ["r", "u"]}[cell]
    saturation = [[[gate, 0.449, 0.551] for gate in gates] for _ in range(runs)]
    row = {"step": 1, "runs": runs * [[4.48, 0.288, False]], "valid": runs * [4.4]}
    return {"rows": [row], "step": 1, "saturation": saturation}


@pytest.mark.parametrize(
    ("width", "height"), [(1366, 768), (390, 844), (320, 640), (800, 700), (1200, 768)]
)
def test_nothing_jumps_with_two_runs_of_many_gates(open_lab, width, height):
    page = open_lab(SMALL + "&pair=1", width, height)
    until(page, "texts.length === 2")
    parts = page.locator(PARTS)
    before = parts.evaluate_all(PLACES)
    page.evaluate("(all) => HEAR.rows(all)", a_row(page, 2))
    page.evaluate("() => { running = true; speed.value = 1234567; step = 123456; showNumbers(); }")
    assert parts.evaluate_all(PLACES) == before
    page.evaluate("() => { said.isSwitched = true; showNumbers(); }")  # "at first clipped"
    assert parts.evaluate_all(PLACES) == before
    page.evaluate("say('x'.repeat(20))")
    assert parts.evaluate_all(PLACES) == before


def test_the_network_opens_beside_the_plots(open_lab):
    page = open_lab(SMALL)
    page.locator("#network-part summary").click()
    top = page.locator("#message-part").bounding_box()["y"]
    fields = page.locator("#network-part input, #network-part select")
    assert fields.count() == 8
    for field in [*fields.all(), page.locator("#loss-plot"), page.locator("#start")]:
        box = field.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= top
    plot, panel = (
        page.locator(f"#{name}").bounding_box() for name in ("loss-plot", "network-part")
    )
    assert panel["x"] >= plot["x"] + plot["width"]


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_axe_finds_nothing_in_the_lab(open_lab, scheme, width, height):
    more = {"color_scheme": scheme, "bypass_csp": True}
    page = open_lab("#preset=cured&pair=1", width, height, **more)
    assert found_by_axe(page) == []
    take_steps(page, 2)
    page.locator("#reset").click()
    until(page, "step === 0")
    for summary in page.locator("summary").all():
        summary.click()
    page.locator("#make-link").click()
    assert found_by_axe(page) == []
    page.locator("#units").fill("7")
    page.locator("#units").blur()
    said_is_wrong(page, "Units must be")
    assert found_by_axe(page) == []


# Small things


def test_a_field_that_was_set_anew_is_not_wrong_any_more(open_lab):
    page = open_lab(SMALL)
    page.locator("#network-part summary").click()
    page.locator("#units").fill("7")
    page.locator("#units").blur()
    assert page.locator("#units").get_attribute("aria-invalid") == "true"
    page.locator("#again").click()
    expect(page.locator("#units")).to_have_value("128")
    assert page.locator("#units").get_attribute("aria-invalid") is None


def test_the_way_back_before_a_step_keeps_the_focus(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 2)
    page.locator("#figures-part summary").click()
    page.locator("#at").fill("2")
    page.locator("#before").focus()
    page.keyboard.press("Enter")
    until(page, "step === 1")
    assert page.evaluate("document.activeElement.id") == "at"


NO_WORKER = "window.Worker = class { constructor() { throw new Error('forbidden'); } };"


@pytest.mark.parametrize("how", ["by the browser", "by a policy"])
def test_a_worker_that_is_forbidden_is_said(chromium, tmp_path, how):
    page = chromium.new_page()
    path = ROOT / "page" / "explosion.html"
    if how == "by the browser":
        page.add_init_script(NO_WORKER)
    else:
        text = path.read_text(encoding="utf-8").replace("; worker-src blob:", "", 1)
        path = tmp_path / "explosion.html"
        path.write_text(text, encoding="utf-8")
    page.goto(path.as_uri())
    said_is_wrong(page, "does not let the page start a Worker")
    page.evaluate("say('')")
    page.locator("#start").click()
    said_is_wrong(page, "does not let the page start a Worker")
    expect(page.locator("#start")).to_have_text("Start")
    assert page.locator("#preset option").count() > 5
    page.close()


def test_a_browser_that_keeps_no_more_is_said(open_lab):
    full = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }"
    page = open_lab(SMALL, before=full)
    page.locator("#own-part summary").click()
    page.locator("#own-text").fill(SHORT)
    page.locator("#own-text").blur()
    expect(message(page)).to_contain_text("keeps no more for this page")


@pytest.mark.parametrize("name", ["start", "step", "reset", "pair", "again"])
def test_each_button_says_what_it_does(open_lab, name):
    page = open_lab(SMALL)
    described = """(name) => { const e = element(name);
        return [element(e.getAttribute("aria-describedby")).textContent.length,
            (e.title || e.parentElement.title).length]; }"""
    assert min(page.evaluate(described, name)) > 10
    phone = open_lab(SMALL, 390, 844)
    assert phone.locator("#run-says").is_visible() and phone.locator("#back-says").is_visible()


# What a second look found


def test_a_text_that_is_trained_on_at_once_leaves_the_run_before_to_be_had_back(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 12)
    before = losses_of(page)
    paste(page, SHORT)
    until(page, "running && step > 20")
    expect(message(page)).to_contain_text("The run before, at step 12, can be had back.")
    page.locator("#start").click()
    until(page, "!running")
    page.locator("#undo").click()
    expect(message(page)).to_contain_text("back at step 12")
    assert losses_of(page) == before
    take_steps(page, 1)
    assert page.locator("#undo").is_hidden()


def test_the_way_back_stays_on_a_phone_beside_a_long_name(open_lab):
    page = open_lab(SMALL, 390, 844)
    take_steps(page, 2)
    page.locator("#own-part summary").click()
    give_file(page, "model-file", 180 * "a" + ".safetensors", LOADED.read_bytes())
    expect(page.locator("#undo")).to_be_visible()
    box = page.locator("#undo").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_a_run_is_called_what_it_is_after_a_way_back(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 3)
    page.locator("#clip").select_option("none")
    take_steps(page, 1)
    page.locator("[data-back='100']").click()
    until(page, "step === 0")
    assert page.evaluate("nameOfRun(0)") == "not clipped"
    page.locator("#clip").select_option("norm")
    take_steps(page, 3)
    page.locator("#pair").check()
    until(page, "history.length === 2")
    page.locator("#clip").select_option("none")
    page.locator("#pair").uncheck()
    until(page, "history.length === 1 && step === 3")
    assert page.evaluate("nameOfRun(0)") == "at first clipped"


def test_a_refusal_is_said_once_however_often_it_is_asked_for(open_lab):
    page = open_lab("#cell=lstm&units=256&layers=3&streams=64&length=200")
    for _ in range(3):
        page.locator("#start").click()
        said_is_wrong(page, "There is no network yet.")
    assert message(page).text_content().count("There is no network yet.") == 1


def test_what_is_asked_of_a_run_that_may_be_replaced_is_not_done_to_the_next(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 2)
    page.evaluate("asked.push({ id: 1e9, settings, preset, late: {} })")  # a text is being read
    for button in ("#save-model", "[data-back='1']"):
        page.evaluate("(name) => document.querySelector(name).click()", button)
        expect(message(page)).to_contain_text("Another run is being made ready")
        page.evaluate("say('')")
    assert page.evaluate("step") == 2


def test_a_cell_is_drawn_as_that_which_wrote_the_text(open_lab):
    page = open_lab(SMALL)
    take_steps(page, 1)
    page.evaluate("settings.cell = 'rnn'; showCell()")  # its text is not here yet
    assert ", f 0." in page.locator("#cell-plot").evaluate("e => e.ariaLabel")
