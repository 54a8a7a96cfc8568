"""The temperature explorer: its file, and in Chromium its numbers and its controls."""

import base64
import hashlib
import json
import re
import runpy
import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import browser, needs_chromium, screenshot
from explorer_page import settled
from playwright.sync_api import expect

from lstmlib.generation import generate, steps
from lstmlib.models import CharRNN, count_parameters
from lstmlib.sampling import SamplingConfig, draw, log_softmax
from lstmlib.serialization import load_model, save_model
from lstmlib.vocab import END, START, Vocab, VocabError

FOLDER = Path(__file__).resolve().parents[2] / "page"
SCRIPT = runpy.run_path(str(FOLDER / "build.py"))
build = SCRIPT["build"]
PAGE = FOLDER / "index.html"
expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow
LAST = 1 - 2**-53  # the largest number that a generator gives


def random_model(vocab, **config):
    """Return a network whose distributions are far from uniform."""
    torch.manual_seed(0)
    model = CharRNN(len(vocab), **config)
    for weight in model.parameters():
        weight.data.mul_(3).add_(0.1 * torch.randn(weight.shape))
    return model.eval()


CIFG = {"hidden_size": 10, "num_layers": 1, "cell": "cifg"}
NORMED = {"hidden_size": 13, "num_layers": 3, "embedding_size": 7, "output_norm": True}


# The file


def test_the_committed_page_is_what_the_builder_makes(tmp_path):
    out = tmp_path / "page.html"
    command = [sys.executable, str(FOLDER / "build.py"), "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.read_bytes() == PAGE.read_bytes()
    assert f"page.html: {out.stat().st_size:,} bytes" in run.stdout


def test_the_page_says_what_the_model_is():
    page = PAGE.read_text(encoding="utf-8")
    model, vocab = load_model(SCRIPT["MODEL"])
    assert f"two LSTM layers of 256 units with {count_parameters(model):,} weights" in page
    assert f"the next character, one of {len(vocab)}. {SCRIPT['ABOUT']}</p>" in page


def test_nothing_is_said_of_another_model_unless_it_is_given(tmp_path, vocab):
    path, out = tmp_path / "model.safetensors", tmp_path / "page.html"
    model = random_model(vocab, **CIFG)
    save_model(path, model, vocab)
    SCRIPT["main"](path, None, "the ", out)
    page = out.read_text(encoding="utf-8")
    assert f"one CIFG layer of 10 units with {count_parameters(model):,} weights" in page
    assert f"the next character, one of {len(vocab)}.</p>" in page
    assert SCRIPT["ABOUT"] not in page
    SCRIPT["main"](path, "It read <foxes> & dogs.", "the ", out)
    assert "It read &lt;foxes&gt; &amp; dogs.</p>" in out.read_text(encoding="utf-8")


def test_weights_of_16_bits_are_kept_and_others_are_32(vocab):
    model = random_model(vocab, **NORMED)
    sizes = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        arrays = SCRIPT["arrays_of"](model.to(dtype))
        sizes[dtype] = {array.dtype for array in arrays.values()}
        kept = torch.from_numpy(arrays["output.weight"]).to(dtype)
        assert torch.equal(kept, model.output.weight)
    assert sizes.pop(torch.float16) == {np.dtype("float16")}
    assert all(found == {np.dtype("float32")} for found in sizes.values())


def test_a_vocabulary_cannot_end_the_script_that_holds_it():
    vocab = Vocab("</script>!-", specials=("<!--", "</script>"))
    page = build(random_model(vocab, **CIFG), vocab, "", "script")
    held = page.split('id="header">')[1].split("</script>")[0]
    assert json.loads(held)["tokens"] == list(vocab.tokens)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_another_cell_is_named(cell, vocab):
    with pytest.raises(ValueError, match=f"cell is '{cell}'; the page has lstm and cifg only"):
        build(CharRNN(len(vocab), 8, cell=cell), vocab, "", "the ")


def test_a_prompt_that_cannot_be_written_on_from_is_named(vocab):
    model = random_model(vocab, **CIFG)
    with pytest.raises(VocabError, match=r"Not in the vocabulary: 'T'"):
        build(model, vocab, "", "The ")
    with pytest.raises(ValueError, match="The prompt is empty"):
        build(model, vocab, "", "")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_weights_are_named(broken, vocab):
    model = random_model(vocab, **CIFG)
    model.output.bias.data[0] = broken
    with pytest.raises(ValueError, match="output.bias hold NaN or infinity"):
        build(model, vocab, "", "the ")


def test_an_error_is_one_line_and_leaves_no_page(tmp_path):
    out = tmp_path / "page.html"
    command = [sys.executable, str(FOLDER / "build.py"), "missing.safetensors", "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and not out.exists()
    assert run.stderr == f"ModelFileError: There is no file {Path.cwd() / 'missing.safetensors'}.\n"


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


def test_the_policy_names_what_the_page_holds_and_nothing_else():
    page = PAGE.read_text(encoding="utf-8")
    (policy,) = POLICY.findall(page)
    directives = {name: rest for name, *rest in (each.split() for each in policy.split(";"))}

    def hashes(kind):
        """The hashes of what stands between tags without attributes: scripts that run, styles."""
        texts = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]

    assert directives == {
        "default-src": ["'none'"],
        "script-src": [*hashes("script"), "'wasm-unsafe-eval'"],
        "style-src": hashes("style"),
        "img-src": ["data:"],
        "form-action": ["'none'"],
        "base-uri": ["'none'"],
    }
    assert (len(hashes("script")), len(hashes("style"))) == (4, 1)
    # Before anything that it is to govern.
    assert page.index(policy) < min(page.index(tag) for tag in ("<style", "<script", "<link"))
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.findall(r"<[^>]*\s(?:style|on\w+)\s*=", markup)


# In Chromium


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def open_page(chromium):
    """Return what opens a file as a reader does, offline, and fails on errors and requests."""
    contexts, problems = [], []

    def opened(path, width=1400, height=900):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        contexts[-1].set_offline(True)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        asked = []
        page.goto(path.as_uri())
        settled(page)
        assert asked == [path.as_uri()]
        page.on("request", lambda request: problems.append(request.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page):
    """The committed page."""
    return open_page(PAGE)


def text_of(page):
    return page.locator("#text").text_content()


def bars_of(page):
    """Return the rows of the bars: name, before, after."""
    rows = page.locator("#bars tr")
    return [rows.nth(k).locator("th, .number").all_text_contents() for k in range(rows.count())]


def set_value(page, name, value):
    page.locator(f"#{name}").fill(str(value))
    settled(page)


def in_page(page, prompt, uniforms, temperature=1.0, top_k=None, top_p=1.0, min_p=0.0):
    """Return what the page writes: ids (n,), and before and after (n, V)."""
    code = """([prompt, u, settings]) => {
        const context = readContext(network, tokensOf(prompt));
        const steps = [...write(network, context, u, settings)];
        const rows = (name) => steps.map((step) => Array.from(step[name]));
        return [steps.map((step) => step.token), rows("logBefore"), rows("logAfter")];
    }"""
    settings = {"temperature": temperature, "topK": top_k, "topP": top_p, "minP": min_p}
    ids, before, after = page.evaluate(code, [prompt, list(uniforms), settings])
    return np.array(ids), np.array(before), np.array(after)


def in_python(model, vocab, prompt, length, seed=0, **settings):
    """Return what lstmlib writes, and the random numbers (length,)."""
    taken = list(steps(model, vocab, [prompt], length, SamplingConfig(**settings), [seed]))
    before, after = (
        np.concatenate([getattr(step, name) for step in taken])
        for name in ("log_before", "log_after")
    )
    uniforms = np.random.default_rng(seed).random(length)
    assert [step.uniforms[0] for step in taken] == uniforms[: len(taken)].tolist()
    return np.concatenate([step.ids for step in taken]), before, after, uniforms


def assert_same_text(page, model, vocab, prompt, length, **settings):
    """Assert that the page and lstmlib write the same, believing the same."""
    ids, before, after, uniforms = in_python(model, vocab, prompt, length, **settings)
    found, found_before, found_after = in_page(page, prompt, uniforms, **settings)
    assert vocab.decode(found) == vocab.decode(ids)
    np.testing.assert_allclose(np.exp(found_before), np.exp(before), atol=1e-4)
    np.testing.assert_allclose(np.exp(found_after), np.exp(after), atol=1e-4)
    np.testing.assert_array_equal(np.isinf(found_after), np.isinf(after))
    return ids


@pytest.fixture(scope="module")
def course_model():
    model, vocab = load_model(SCRIPT["MODEL"])
    return model.float(), vocab


@needs_chromium
def test_probabilities_after_prompts_are_those_of_python(page, course_model):
    model, vocab = course_model
    everything = "".join(vocab.characters)
    for prompt in ("The ", "x", "\n", 'raise ValueError("', everything, 5 * everything):
        _, before, _, uniforms = in_python(model, vocab, prompt, 1)
        _, found, _ = in_page(page, prompt, uniforms)
        np.testing.assert_allclose(np.exp(found), np.exp(before), atol=1e-4)
        assert np.exp(before).max() > 0.05


@needs_chromium
def test_without_webassembly_the_text_is_the_same(chromium, page, tmp_path):
    plain = tmp_path / "plain.html"
    text = PAGE.read_text(encoding="utf-8").replace(" 'wasm-unsafe-eval'", "")
    plain.write_text(text, encoding="utf-8")
    with chromium.new_context(offline=True) as context:
        other = context.new_page()
        other.goto(plain.as_uri())
        settled(other)
        is_compiled = "!String(network.advance).includes('addProduct')"
        assert (page.evaluate(is_compiled), other.evaluate(is_compiled)) == (True, False)
        assert text_of(other) == text_of(page)


@needs_chromium
def test_greedy_text_is_that_of_python(page, course_model):
    for prompt in ("The ", "    def "):
        expected = generate(*course_model, prompt, 300, temperature=0)
        set_value(page, "temperature", 0)
        set_value(page, "prompt", prompt)
        assert text_of(page) == expected.new
        assert page.locator("#prompt-shown").text_content() == prompt


@needs_chromium
def test_with_the_same_numbers_texts_are_those_of_python(page, course_model):
    limits = [{}, {"top_k": 5}, {"top_p": 0.9}, {"top_k": 12, "top_p": 0.8}, {"min_p": 0.1}]
    for temperature, kept in product((0.5, 1.0, 1.2), limits):
        ids = assert_same_text(page, *course_model, "The ", 200, temperature=temperature, **kept)
        assert len(set(ids)) > 10


@needs_chromium
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("config", [CIFG, NORMED], ids=["cifg", "normed"])
def test_other_networks_are_those_of_python(open_page, tmp_path, vocab, config, dtype):
    path, out = tmp_path / "model.safetensors", tmp_path / "page.html"
    save_model(path, random_model(vocab, **config).to(dtype), vocab)
    SCRIPT["main"](path, None, "the ", out)
    page, (model, _) = open_page(out), load_model(path)
    for settings in ({}, {"temperature": 0.5, "top_k": 9}, {"temperature": 1.2, "top_p": 0.7}):
        ids = assert_same_text(page, model.float(), vocab, "the quick ", 100, **settings)
        assert len(set(ids)) > 3


@needs_chromium
def test_start_is_read_and_end_ends(open_page, tmp_path):
    vocab = Vocab("abc 😀<", specials=(".pad", START, END))
    model = random_model(vocab, **NORMED)
    model.norm.eps = 0.1  # so large that it counts
    out = tmp_path / "page.html"
    out.write_text(build(model, vocab, "", ""), encoding="utf-8")
    page = open_page(out)
    lengths = [len(assert_same_text(page, model, vocab, p, 60)) for p in ("", "a", "b", "c", "a😀")]
    assert min(lengths) < 60  # one ended
    set_value(page, "prompt", "😀😀")
    assert page.locator("#message").text_content() == ""
    shown = page.locator("[role=option]").all_text_contents()
    assert END not in shown[:-1] and set(shown) <= set(vocab.tokens)


@needs_chromium
def test_transforms_and_draws_are_those_of_python(page):
    rng = np.random.default_rng(0)
    flat = log_softmax(rng.normal(size=(3, 88)))
    steep = log_softmax(10 * rng.normal(size=(3, 88)))
    tied = log_softmax(np.repeat([[1.0, 3.0, 3.0, 2.0]], 22, axis=0).reshape(1, 88))
    rows = np.concatenate([flat, steep, tied])
    uniforms = [0.0, 0.3, 0.999, 1 - 1e-9, LAST]
    code = """([rows, u, settings]) => rows.map((row) => {
        const after = transform(Float64Array.from(row), settings);
        return [Array.from(after), u.map((each) => draw(after, each))];
    })"""
    temperatures, ks, shares = (0, 1e-6, 0.5, 1, 100), (None, 1, 7, 1000), (1, 0.85, 1e-9)
    for temperature, k, share in product(temperatures, ks, shares):
        expected = SamplingConfig(temperature, top_k=k, top_p=share).transform(rows)
        settings = {"temperature": temperature, "topK": k, "topP": share}
        found = page.evaluate(code, [rows.tolist(), uniforms, settings])
        logs = np.array([after for after, _ in found])
        np.testing.assert_allclose(logs, expected, rtol=1e-9, atol=1e-12)
        ids = np.array([drawn for _, drawn in found])
        for column, u in zip(ids.T[:-1], uniforms, strict=False):
            np.testing.assert_array_equal(column, draw(expected, np.full(len(rows), u)))
        # What the very last number draws hangs on the last bit of a sum, but is never ruled out.
        assert np.isfinite(expected[np.arange(len(rows)), ids[:, -1]]).all()


@needs_chromium
def test_a_sum_that_is_just_u_is_not_passed(page):
    log_p = np.log([0.5, 0.25, 0.25])
    for u, expected in {0.0: 0, 0.5: 1, 0.75: 2}.items():
        found = page.evaluate("([p, u]) => draw(Float64Array.from(p), u)", [log_p.tolist(), u])
        assert found == draw(log_p, u) == expected


@needs_chromium
def test_the_halves_of_a_float16_are_decoded_exactly(page):
    bits = np.arange(0x10000, dtype=np.uint16)
    numbers = bits.view(np.float16)
    finite = np.isfinite(numbers)
    found = page.evaluate("(bits) => bits.map(decodeHalf)", bits[finite].tolist())
    np.testing.assert_array_equal(np.array(found), numbers[finite].astype(float))


@needs_chromium
def test_the_random_numbers_are_even_and_a_seed_gives_the_same(page):
    numbers = "([seed, count]) => Array.from(uniformNumbers(seed, count))"
    found = np.array(page.evaluate(numbers, [1, 20_000]))
    assert found.min() >= 0 and found.max() < 1
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    assert (np.abs(counts - 1000) < 150).all()
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03
    assert page.evaluate(numbers, [1, 5]) == found[:5].tolist()
    for seed in (0, 2, 2**31, 2**32 - 1):
        assert page.evaluate(numbers, [seed, 5]) != found[:5].tolist()


INJECTED = """
<script>document.title = "owned by a script"</script>
<script src="data:text/javascript,document.title='owned by a source'"></script>
<img src="data:," onerror="document.title = 'owned by a handler'">
<base href="https://example.org/">
<style>h1 { display: none }</style>
<p id="styled" style="position: fixed">a style attribute</p>
<a id="link" href="javascript:void(document.title = 'owned by a link')">a link</a>
<form id="form" action="SENT"></form>
</body>"""


@needs_chromium
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without the policy"])
def test_what_is_injected_into_the_page_does_nothing(chromium, tmp_path, guarded):
    """Without the policy it all happens, so that this test can fail."""
    path, sent = tmp_path / "page.html", tmp_path / "sent.html"
    sent.write_text("sent")
    text = PAGE.read_text(encoding="utf-8")
    text = text.replace("</body>", INJECTED.replace("SENT", sent.as_uri()))
    path.write_text(text if guarded else POLICY.sub("", text), encoding="utf-8")
    said, send = [], "document.getElementById('form').submit()"
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.goto(path.as_uri())
        settled(page)
        page.locator("#link").click()
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = 'document.body.dataset.owned = "by a script made later"';
                document.body.append(script);
            }"""
        )
        at = page.evaluate("document.baseURI")
        happened = {
            "a script": page.title() != "Temperature explorer",
            "a script made later": page.locator("body").get_attribute("data-owned") is not None,
            "a base": at != path.as_uri(),
            "a style": not page.locator("h1").is_visible(),
            "a style attribute": page.locator("#styled").evaluate(
                "e => getComputedStyle(e).position === 'fixed'"
            ),
        }
        assert set(happened.values()) == {not guarded}, happened
        set_value(page, "temperature", 0.3)  # the page itself goes on
        assert len(text_of(page)) == 300
        if guarded:
            with page.expect_console_message(lambda message: "form-action" in message.text):
                page.evaluate(send)
            assert page.url == path.as_uri()
            assert len(said) >= 8 and all("Content Security Policy" in each for each in said)
        else:
            with page.expect_navigation():
                page.evaluate(send)
            assert page.url.startswith(sent.as_uri()) and said == []


# The controls


def drag(page, start, end):
    """Drag the slider with the mouse from one temperature to another."""
    box = page.locator("#temperature").bounding_box()
    thumb = 16

    def place(temperature):
        return box["x"] + thumb / 2 + temperature / 2 * (box["width"] - thumb)

    middle = box["y"] + box["height"] / 2
    page.mouse.move(place(start), middle)
    page.mouse.down()
    page.mouse.move(place(end), middle, steps=15)
    page.mouse.up()
    settled(page)


@needs_chromium
def test_the_slider_changes_text_and_bars_by_mouse_and_by_key(page):
    text, bars = text_of(page), bars_of(page)
    assert page.locator("#temperature-value").text_content() == "0.50" and len(bars) >= 12
    assert any(before != after for _, before, after in bars)  # what it does is seen at once
    drag(page, 0.5, 0.3)
    cold, cold_bars = text_of(page), bars_of(page)
    assert page.locator("#temperature-value").text_content() == "0.30"
    assert cold != text and [row[:2] for row in cold_bars[:12]] == [row[:2] for row in bars[:12]]
    assert float(cold_bars[0][2].split()[0]) > float(bars[0][2].split()[0])
    screenshot(page, "page-cold")
    page.locator("#temperature").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    settled(page)
    assert page.locator("#temperature-value").text_content() == "1.30"
    assert text_of(page) not in (text, cold)
    assert float(bars_of(page)[0][2].split()[0]) < float(bars[0][2].split()[0])


@needs_chromium
def test_at_first_a_small_step_of_the_slider_changes_a_late_character(page):
    """And what it does to the first character is seen in its probabilities."""
    assert page.evaluate("Math.exp(shown.steps[0].logAfter[shown.steps[0].token])") > 0.1 + (
        page.evaluate("Math.exp(shown.steps[0].logBefore[shown.steps[0].token])")
    )
    first = text_of(page)
    for temperature in (0.45, 0.55):
        set_value(page, "temperature", temperature)
        assert text_of(page)[:20] == first[:20] and text_of(page) != first


@needs_chromium
def test_however_many_changes_come_one_more_text_is_written(page):
    code = """async () => {
        const [original, temperatures] = [showText, []];
        showText = (text) => { temperatures.push(text.temperature); original(text); };
        const slider = element("temperature");
        for (let k = 0; k <= 40; k++) {
            slider.value = k / 20;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            if (k === 20) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        while (running) await nextTurn();
        return temperatures;
    }"""
    temperatures = page.evaluate(code)
    assert temperatures[-1] == 2 and len(temperatures) <= 2


@needs_chromium
def test_a_text_stands_there_before_the_browser_draws_again(page):
    """Nothing but what the event itself has begun comes between: no timer, no frame."""
    set_value(page, "length", 5)
    code = """async (value) => {
        element("temperature").value = value;
        element("temperature").dispatchEvent(new Event("input", { bubbles: true }));
        for (let k = 0; k < 10; k++) await null;
        return [shown.temperature, element("text").getAttribute("aria-busy")];
    }"""
    for temperature in (0, 1.5, 0.25):
        assert page.evaluate(code, temperature) == [temperature, "false"]
        settled(page)


@needs_chromium
def test_with_the_randomness_kept_a_temperature_gives_its_text_back(page):
    set_value(page, "temperature", 1)
    first, seed = text_of(page), page.locator("#seed").input_value()
    set_value(page, "temperature", 0.5)
    assert text_of(page) != first
    set_value(page, "temperature", 1)
    assert text_of(page) == first and page.locator("#seed").input_value() == seed
    page.locator("#keep").uncheck()
    assert text_of(page) == first  # the next change takes a new seed, not this one
    set_value(page, "temperature", 0.5)
    set_value(page, "temperature", 1)
    assert text_of(page) != first and page.locator("#seed").input_value() != seed
    set_value(page, "seed", seed)  # also then, a seed gives the same text
    assert text_of(page) == first


@needs_chromium
def test_a_new_seed_and_the_other_settings_change_the_text(page):
    texts = [text_of(page)]
    page.get_by_role("button", name="New seed").click()
    settled(page)
    texts.append(text_of(page))
    for name, value in {"top-k": 2, "top-p": 0.5, "prompt": "class ", "length": 120}.items():
        set_value(page, name, value)
        texts.append(text_of(page))
    assert len(set(texts)) == 6 and [len(text) for text in texts] == 5 * [300] + [120]
    after = [row[2] for row in bars_of(page)]
    assert after[2:] == ["0.0 %"] * len(after[2:])  # no more than two are left


@needs_chromium
def test_what_cannot_be_used_gets_a_message_and_the_last_text_stays(page):
    cases = [
        ("prompt", "naïve £", "does not know “ï” (U+00EF), “£” (U+00A3). Leave it out"),
        ("prompt", "", "The prompt is empty. Give at least one character"),
        ("prompt", 501 * "x", "The prompt has 501 characters; it may have 500."),
        ("top-k", 0, "Top-k must be a whole number, 1 or more."),
        ("top-k", 1.5, "Top-k must be a whole number, 1 or more."),
        ("top-p", 0, "Top-p must be above 0 and at most 1."),
        ("top-p", 1.01, "Top-p must be above 0 and at most 1."),
        ("min-p", 1.5, "Min-p must be from 0 to 1"),
        ("min-p", "", "Min-p must be from 0 to 1"),
        ("length", 1001, "Length must be a whole number from 1 to 1000."),
        ("length", "", "Length must be a whole number from 1 to 1000."),
        ("seed", -1, "Seed must be a whole number from 0 to 4294967295."),
    ]
    before, alert = text_of(page), page.get_by_role("alert")
    invalid = page.locator("[aria-invalid=true]")
    for name, value, message in cases:
        good = page.locator(f"#{name}").input_value()
        set_value(page, name, value)
        assert message in alert.text_content()
        assert invalid.evaluate_all("all => all.map(e => e.id)") == [name]
        assert text_of(page) == before
        set_value(page, name, good)
        assert alert.text_content() == "" and invalid.count() == 0
        assert text_of(page) == before


@needs_chromium
def test_letters_in_top_k_are_not_taken_for_nothing(page):
    page.locator("#top-k").focus()
    page.keyboard.type("e")
    settled(page)
    assert "Top-k must be" in page.get_by_role("alert").text_content()
    screenshot(page, "page-message")


@needs_chromium
def test_a_character_shows_what_it_was_drawn_from(page):
    set_value(page, "temperature", 0.7)
    taken = page.evaluate(
        """() => shown.steps.map((step) => ({
            token: header.tokens[step.token], u: step.u,
            before: percent(step.logBefore[step.token]), after: percent(step.logAfter[step.token]),
        }))"""
    )
    options = page.get_by_role("option")
    assert options.count() == 300 == len(taken)

    def assert_shows(index):
        each = taken[index]
        assert page.locator("#position").text_content() == f"{index + 1} of 300"
        drawn = page.locator("#drawn").text_content()
        assert f"u = {each['u']:.4f}." in drawn
        low, high = re.search(
            r"add up to ([\d.]+) before .* and to ([\d.]+) with it", drawn
        ).groups()
        assert float(low) - 1e-4 <= each["u"] <= float(high) + 1e-4
        visible = {" ": "␣", "\n": "↵"}.get(each["token"], each["token"])
        row = page.locator("#bars tr.taken").locator("th, .number").all_text_contents()
        assert row == [visible, each["before"], each["after"]]
        readout = f"{visible} {each['before']} before, {each['after']} after"
        assert page.locator("#readout").text_content() == readout
        selected = page.locator("[aria-selected=true]").evaluate_all("a => a.map(e => e.dataset)")
        assert selected == [{"index": str(index)}]

    assert_shows(0)
    options.nth(40).click()
    assert_shows(40)
    for key, index in {"ArrowRight": 41, "End": 299, "ArrowLeft": 298, "Home": 0}.items():
        page.keyboard.press(key)
        assert_shows(index)
        assert page.evaluate("Number(document.activeElement.dataset.index)") == index
    page.keyboard.press("ArrowLeft")
    assert_shows(0)
    page.get_by_role("button", name="Next").click()
    assert_shows(1)
    page.get_by_role("button", name="Previous").click()
    assert_shows(0)
    options.nth(7).hover()
    assert f"{taken[7]['before']} before" in page.locator("#readout").text_content()
    page.locator("h1").hover()
    assert_shows(0)
    set_value(page, "length", 20)
    options.nth(19).click()
    set_value(page, "length", 10)
    assert page.locator("#position").text_content() == "10 of 10"


@needs_chromium
def test_the_shade_of_a_character_is_its_improbability(page):
    found = page.evaluate(
        """() => Array.from(element("text").children, (option, k) => [
            getComputedStyle(option).backgroundColor,
            shown.steps[k].logBefore[shown.steps[k].token],
        ])"""
    )
    for colour, log_p in found:
        parts = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")]
        alpha = parts[3] if len(parts) == 4 else 1
        assert parts[:3] == [230, 159, 0] or alpha == 0
        assert alpha == pytest.approx(min(1, log_p / np.log(0.001)), abs=0.005)
    assert page.locator("#legend b").count() == 6


@needs_chromium
def test_every_control_has_a_name_and_is_reached_by_tab(page):
    controls = page.locator("input, textarea, button")
    named = "e => e.labels?.length === 1 || e.tagName === 'BUTTON' && e.textContent.length > 0"
    assert all(controls.nth(k).evaluate(named) for k in range(controls.count()))
    reached = []
    for _ in range(21):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.role"))
    assert reached[:2] == [None, "temperature"]  # the link to the course, then what the page is for
    presets = 5 * [None]
    text = ["option", "keep-text", "make-link", "previous", "next", "play"]
    fields = ["prompt", "top-k", "top-p", "min-p", "length", "seed", "new-seed", "keep"]
    assert reached[2:] == [*presets, *text, *fields]


@needs_chromium
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_fits(open_page, width):
    page = open_page(PAGE, width)
    set_value(page, "temperature", 1.5)
    set_value(page, "prompt", "https://docs.python.org/" + 60 * "x")
    page.get_by_role("option").nth(30).click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    screenshot(page, f"page-{width}")


@needs_chromium
def test_the_slider_stays_in_sight_on_a_narrow_page(open_page):
    page = open_page(PAGE, 360, 740)
    page.get_by_role("option").nth(150).scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    page.wait_for_function("window.scrollY > 0")
    drag(page, 0.5, 1.6)
    assert page.locator("#temperature").bounding_box()["y"] < 740
    assert page.locator("#temperature-value").text_content() == "1.60"
    screenshot(page, "page-360-scrolled")


@needs_chromium
def test_slider_and_text_stand_together_on_a_narrow_page(open_page):
    page = open_page(PAGE, 360, 740)
    slider, text = (page.locator(f"#{name}").bounding_box() for name in ("temperature", "text"))
    assert 0 < text["y"] - slider["y"] < 400


@needs_chromium
def test_a_preset_is_a_temperature(page):
    for temperature in ("0", "0.2", "1.5"):
        page.get_by_role("button", name=temperature, exact=True).click()
        settled(page)
        assert page.locator("#temperature").input_value() == temperature
        assert (
            f"at temperature {float(temperature):.2f}." in page.locator("#summary").text_content()
        )


@needs_chromium
def test_small_steps_change_the_text_late(page):
    """With the seed that it starts with, the first character holds over most of the slider."""
    texts = []
    for k in range(1, 41):
        set_value(page, "temperature", k / 20)
        texts.append(text_of(page))
    changes = sum(a[0] != b[0] for a, b in pairwise(texts))
    assert changes <= 3 and len(set(texts)) > 35


@needs_chromium
def test_it_plays_to_the_end_and_can_be_stopped(page):
    set_value(page, "length", 4)
    button = page.locator("#play")
    button.click()
    assert button.text_content() == "Pause" and button.get_attribute("aria-pressed") == "true"
    expect(page.locator("#position")).to_have_text("4 of 4")
    expect(button).to_have_text("Play")
    set_value(page, "length", 300)
    button.click()
    button.click()
    assert button.text_content() == "Play" and page.evaluate("playing === null")


@needs_chromium
def test_a_text_that_is_kept_stays_while_the_other_changes(page):
    assert page.locator("#kept").is_hidden()
    text, prompt = text_of(page), page.locator("#prompt").input_value()
    page.locator("#keep-text").click()
    set_value(page, "temperature", 1.5)
    assert page.locator("#kept-text").text_content() == prompt + text != prompt + text_of(page)
    assert page.locator("#kept-title").text_content().startswith("Kept: temperature 0.50, seed ")
    kept, other = prompt + text, prompt + text_of(page)
    at = next(k for k, (a, b) in enumerate(zip(kept, other, strict=False)) if a != b) - len(prompt)
    assert page.locator("#parts").text_content() == f"The texts part at character {at + 1}."
    marked = page.locator(".parting").all_text_contents()
    assert marked == [text_of(page)[at], text[at]]
    screenshot(page, "page-kept")
    page.locator("#drop-text").click()
    assert page.locator("#kept").is_hidden()


@needs_chromium
def test_an_address_brings_the_settings_back(page):
    values = {"prompt": "x += 1 | y:\n", "temperature": "0.85", "top-k": "7", "seed": "11"}
    for name, value in values.items():
        set_value(page, name, value)
    text = text_of(page)
    page.locator("#make-link").click()
    assert "copy it" in page.locator("#link-made").text_content()
    link = page.evaluate("location.hash")
    assert len(link) > 40
    for name, value in {"prompt": "x", "temperature": "1.5", "top-k": "", "seed": "3"}.items():
        set_value(page, name, value)
    assert text_of(page) != text
    page.evaluate("location.hash = ''")
    page.evaluate("(link) => { location.hash = link; }", link)
    expect(page.locator("#text")).to_have_text(text)
    assert {name: page.locator(f"#{name}").input_value() for name in values} == values
    assert text_of(page) == text
    page.evaluate("location.hash = 'length=5000&unknown=1&temperature=9'")
    expect(page.locator("#refused")).to_contain_text("Length must be a whole number")
    assert text_of(page) == text and page.locator("#temperature").input_value() == "0.85"


@needs_chromium
def test_in_the_dark_the_page_is_dark_and_can_be_read(open_page):
    page = open_page(PAGE, 1400)
    page.emulate_media(color_scheme="dark")
    colours = """(name) => {
        const style = getComputedStyle(document.querySelector(name));
        return [style.color, style.backgroundColor].map((c) => c.match(/[\\d.]+/g).map(Number));
    }"""
    for name in ("body", "#text-part", "button", "input", "textarea"):
        ink, ground = page.evaluate(colours, "#settings " + name if name[0] in "it" else name)
        assert sum(ink[:3]) > 500
        assert sum(ground[:3]) < 200, name
    screenshot(page, "page-dark")


def test_the_way_back_to_the_course_is_a_link_or_nothing(vocab):
    model = random_model(vocab, **CIFG)
    there = build(model, vocab, "", "the ", 'https://example.org/?a=1&b="x"')
    assert 'href="https://example.org/?a=1&amp;b=&quot;x&quot;"' in there
    assert "<a " not in build(model, vocab, "", "the ") and "<!-- back" not in there
    page = PAGE.read_text(encoding="utf-8")
    (address,) = re.findall(r'<a href="([^"]+)"', page)
    assert (PAGE.parent / address).exists()
