"""The panels: what follows when their slider is moved."""

import io
import re
from html import unescape

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from lstmlib import plots, widgets
from lstmlib.models import CharRNN
from lstmlib.sampling import Sampling, generate, steps
from lstmlib.training import History
from lstmlib.vocab import Vocab, VocabError
from lstmlib.widgets import SideBySide, TemperatureExplorer, TrainingScrubber

SAMPLES = {3: "the <b>tide</b> & the\n  wind", 7: "the second sample"}


def history():
    """Steps 1 … 10 with diagnostics, but for the 5th, which was skipped, and for the 8th."""
    rows = []
    for step in range(1, 11):
        found = {"gradient": {"output": 0.5}, "clipped": {"output": 0.25}, "update": {"output": 1}}
        rows.append(
            {
                "step": step,
                "loss": 4.0 - step / 10,
                "grad_norm": 0.5 * step,
                "clipped_norm": 0.25,
                "learning_rate": 2e-3,
                "valid_loss": None,
                "skipped": step == 5,
                "diagnostics": None if step in (5, 8) else found,
            }
        )
    rows[4] |= {"loss": None, "grad_norm": None, "clipped_norm": None}
    return History(rows)


def pixels(data):
    return imread(io.BytesIO(data), format="png").tolist()


def test_the_slider_moves_the_numbers_and_the_picture():
    run = history()
    panel = TrainingScrubber(run, SAMPLES)
    assert (panel.slider.min, panel.slider.max, panel.slider.value) == (1, 10, 1)
    for step, loss, norm in ((4, "3.6000", "2"), (9, "3.1000", "4.5")):
        panel.slider.value = step
        said = panel.details.value
        assert f"Step {step}</b>: loss {loss} nats per character" in said
        assert f"gradient norm {norm} before clipping, 0.25 after" in said
        assert "learning rate 0.002" in said
        assert pixels(panel.image.value) == pixels(plots.png(plots.training_moment(run, step)))


def test_the_sample_is_the_newest_at_or_before_the_step():
    panel = TrainingScrubber(history(), SAMPLES)
    assert "no sample yet" in panel.details.value and "<pre" not in panel.details.value
    for step, newest, other in (
        (3, "tide", "second"),
        (6, "tide", "second"),
        (7, "second", "tide"),
    ):
        panel.slider.value = step
        assert newest in panel.details.value and other not in panel.details.value
        assert f"Written after step {3 if step < 7 else 7}:" in panel.details.value


def test_a_sample_is_shown_as_it_is_and_not_read_as_html():
    panel = TrainingScrubber(history(), SAMPLES)
    panel.slider.value = 3
    assert "the &lt;b&gt;tide&lt;/b&gt; &amp; the\n  wind</pre>" in panel.details.value


def test_a_skipped_step_is_shown_and_said_to_be_one():
    panel = TrainingScrubber(history(), {})
    panel.slider.value = 5
    assert "Step 5</b>: skipped" in panel.details.value


def test_a_step_that_was_not_recorded_shows_the_one_before_it():
    panel = TrainingScrubber(history(), {})
    panel.slider.value = 7
    picture, said = panel.image.value, panel.details.value
    panel.slider.value = 8
    assert (panel.image.value, panel.details.value) == (picture, said)


def test_a_step_is_drawn_once(monkeypatch):
    drawn = []

    def draw(run, step):
        drawn.append(step)
        return plots.training_moment(run, step)

    monkeypatch.setattr(widgets, "training_moment", draw)
    panel = TrainingScrubber(history(), {})
    for step in (4, 1, 4):
        panel.slider.value = step
    assert drawn == [1, 4]


def test_the_play_button_and_the_slider_cover_the_same_steps():
    play, slider = TrainingScrubber(history(), {}).children[0].children
    assert (play.min, play.max, play.step) == (slider.min, slider.max, 1)
    assert slider.description == "Step" and not slider.continuous_update


def test_the_text_form_of_a_panel_is_short_and_always_the_same():
    assert repr(TrainingScrubber(history(), SAMPLES)) == "TrainingScrubber(9 steps)"


def test_a_history_without_diagnostics_is_refused():
    run = history()
    for row in run.rows:
        del row["diagnostics"]
    with pytest.raises(ValueError, match=r"train with fit\(…, diagnostics=Diagnostics\(\)\)"):
        TrainingScrubber(run, SAMPLES)


# The temperature lab


@pytest.fixture
def explorer(model, vocab):
    return TemperatureExplorer(model, vocab, "the ", 0.8, length=60, seed=3)


def plain(value):
    """Return the text in a panel's HTML, without its legend."""
    body = value[value.index('<div style="white-space') :]
    return unescape(re.sub(r"<[^>]+>", "", body))


def test_the_explorer_shows_the_text_that_generate_writes(explorer, model, vocab):
    assert plain(explorer.text.value) == generate(model, vocab, "the ", 60, 0.8, seed=3).text
    explorer.temperature.value, explorer.top_k.value, explorer.top_p.value = 1.2, 5, 0.9
    expected = generate(model, vocab, "the ", 60, 1.2, seed=3, top_k=5, top_p=0.9)
    assert plain(explorer.text.value) == expected.text
    explorer.length.value, explorer.seed.value, explorer.prompt.value = 100, 8, "a quick "
    expected = generate(model, vocab, "a quick ", 100, 1.2, seed=8, top_k=5, top_p=0.9)
    assert plain(explorer.text.value) == expected.text
    assert explorer.at.max == 99
    explorer.top_k.value = 0
    expected = generate(model, vocab, "a quick ", 100, 1.2, seed=8, top_p=0.9)
    assert plain(explorer.text.value) == expected.text


def test_each_character_is_shaded_by_its_probability(explorer, model, vocab):
    sample = generate(model, vocab, "the ", 60, 0.8, seed=3)
    spans = re.findall(
        r'<span style="background:#E69F00(..)[^"]*" title="p = ([^"]+)">', explorer.text.value
    )
    shown = spans[-60:]  # the legend's come first, and have no title
    assert len(spans) == 60
    for (shade, p), expected in zip(shown, sample.p_before, strict=True):
        assert float(p) == pytest.approx(expected, rel=6e-3)
        surprise = min(-np.log(expected) / 6, 1)
        assert int(shade, 16) == pytest.approx(200 * surprise, abs=1)


def drawn_bars(explorer):
    """Return the characters under the bars, and (before, after) in percent of each."""
    names = re.findall(r'<text x="[^"]+" y="160"[^>]*>(.+?)</text>', explorer.bars.value)
    percents = re.findall(r">(\d+) → (\d+) %<", explorer.bars.value)
    return names, [(int(a), int(b)) for a, b in percents]


def test_the_bars_are_the_distributions_of_the_character_that_is_stepped_to(explorer, model, vocab):
    settings = Sampling(0.8, top_k=6)
    explorer.top_k.value = 6
    taken = list(steps(model, vocab, ["the "], 60, settings, [3]))
    for at in (0, 17, 59):
        explorer.at.value = at
        before, after = np.exp(taken[at].log_before[0]), np.exp(taken[at].log_after[0])
        names, percents = drawn_bars(explorer)
        order = np.argsort(-before, kind="stable")[:12]
        if taken[at].ids[0] not in order:
            order[-1] = taken[at].ids[0]
        signs = {" ": "␣"}
        assert names == [signs.get(vocab.tokens[i], vocab.tokens[i]) for i in order]
        for i, (p, q) in zip(order, percents, strict=True):
            assert (p, q) == pytest.approx((100 * before[i], 100 * after[i]), abs=0.51)
        chosen = vocab.tokens[taken[at].ids[0]]
        said = f"u = {taken[at].uniforms[0]:.3f} falls on {signs.get(chosen, chosen)}"
        assert said in explorer.bars.value
        assert explorer.text.value.count("outline:") == 1
        before_it = "".join(vocab.tokens[s.ids[0]] for s in taken[:at])
        context = ("the " + before_it)[-24:].replace(" ", "␣")
        assert f"After <code>{context}</code>" in explorer.bars.value


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_the_drawing_of_a_draw_is_to_scale(explorer, tau):
    explorer.temperature.value = tau
    for at in range(0, 60, 7):
        explorer.at.value = at
        bars, line = explorer.bars.value.split("<svg")[1:]
        highs = [float(high) for high in re.findall(r'height="([^"]+)" fill', bars)]
        step = explorer.steps[at]
        before, after = np.exp(step.log_before[0]), np.exp(step.log_after[0])
        order = np.argsort(-before, kind="stable")[:12]
        order[-1] = order[-1] if step.ids[0] in order else step.ids[0]
        expected = np.stack([before[order], after[order]], axis=1).ravel()
        assert np.array(highs) / 130 == pytest.approx(expected, abs=1e-3)
        pieces = re.findall(r'<rect x="([^"]+)" y="16" width="([^"]+)" .*? fill="([^"]+)"', line)
        (left, wide) = next((float(x), float(w)) for x, w, color in pieces if color == plots.ORANGE)
        arrow = float(re.search(r'd="M([^ ]+) ', line)[1])
        assert arrow == pytest.approx(720 * step.uniforms[0], abs=0.1)
        assert left - 0.1 <= arrow <= left + wide + 0.1


def test_a_moved_slider_keeps_the_randomness_only_if_asked_to(explorer):
    first = explorer.text.value
    explorer.temperature.value = 1.5
    assert explorer.text.value != first and explorer.seed.value == 3
    explorer.temperature.value = 0.8
    assert explorer.text.value == first
    explorer.keep.value = False
    explorer.temperature.value = 1.5
    assert explorer.seed.value != 3
    explorer.temperature.value = 0.8
    assert explorer.text.value != first


def test_when_the_text_gets_shorter_the_step_moves_to_its_end(explorer):
    explorer.length.value = 100
    explorer.at.value = 99
    explorer.length.value = 50
    assert explorer.at.value == 49
    assert explorer.text.value.count("outline:") == 1


@pytest.mark.parametrize(("prompt", "said"), [("", "prompt is empty"), ("thÉ<b>", "'É' (U+00C9)")])
def test_a_prompt_that_cannot_be_read_is_said_and_the_text_stays(model, vocab, prompt, said):
    for panel in (TemperatureExplorer(model, vocab, "the "), SideBySide(model, vocab, "the ")):
        texts = [t.value for t in getattr(panel, "texts", [panel.children[-1]])]
        panel.prompt.value = prompt
        assert said in unescape(panel.said.value) and 'role="alert"' in panel.said.value
        assert "<b>" not in panel.said.value.removeprefix('<div role="alert"><b>')
        assert "was written before" in panel.said.value
        assert [t.value for t in getattr(panel, "texts", [panel.children[-1]])] == texts
        panel.prompt.value = "the quick "
        assert panel.said.value == ""


def test_characters_that_mean_something_in_html_are_shown_as_they_are():
    vocab = Vocab("<b>&\n")
    torch.manual_seed(0)
    panel = TemperatureExplorer(CharRNN(len(vocab), 8, 1), vocab, "<b>", 1.5, length=50)
    written = generate(panel.model, vocab, "<b>", 50, 1.5, seed=1).text
    assert plain(panel.text.value).replace("↵", "") == written
    for at in range(50):
        panel.at.value = at
        inside = re.sub(r"<(/?)(div|svg|rect|text|path|span|code)\b[^>]*>", "", panel.bars.value)
        assert "<" not in inside
        labels = [
            unescape(label) for label in re.findall(r'aria-label="([^"]*)"', panel.bars.value)
        ]
        drawn = vocab.tokens[panel.steps[at].ids[0]].replace("\n", "↵")
        assert len(labels) == 2 and labels[1].endswith(f"falls on {drawn}")


def test_an_explorer_of_texts_that_end_shows_where(vocab):
    torch.manual_seed(1)
    ending = Vocab("ab", specials=[".start", ".end"])
    panel = TemperatureExplorer(CharRNN(4, 8, 1), ending, "", 1.0, length=1000)
    assert plain(panel.text.value).endswith(".end")
    assert panel.at.max < 999
    panel.at.value = panel.at.max
    assert "falls on .end" in panel.bars.value


def test_columns_show_the_texts_of_their_temperatures(model, vocab):
    panel = SideBySide(model, vocab, "the ", (0.2, 0.8, 1.5), length=80, seed=2)
    expected = generate(model, vocab, "the ", 80, [0.2, 0.8, 1.5], seed=[2, 2, 2])
    assert [plain(t.value) for t in panel.texts] == [s.text for s in expected]
    panel.temperatures[2].value = 0.2
    assert panel.texts[2].value == panel.texts[0].value
    panel.keep.value = False
    expected = generate(model, vocab, "the ", 80, [0.2, 0.8, 0.2], seed=2)
    assert [plain(t.value) for t in panel.texts] == [s.text for s in expected]
    panel.length.value, panel.seed.value = 100, 9
    expected = generate(model, vocab, "the ", 100, [0.2, 0.8, 0.2], seed=9)
    assert [plain(t.value) for t in panel.texts] == [s.text for s in expected]


def test_columns_of_texts_that_end_each_on_its_own():
    torch.manual_seed(1)
    ending = Vocab("ab", specials=[".start", ".end"])
    model = CharRNN(4, 8, 1)
    panel = SideBySide(model, ending, "a", (0.5, 1.0, 2.0), length=500)
    expected = generate(model, ending, "a", 500, [0.5, 1.0, 2.0], seed=[1, 1, 1])
    assert [plain(t.value).removesuffix(".end") for t in panel.texts] == [s.text for s in expected]


def test_panels_leave_the_number_of_threads_as_it_was(explorer, model, vocab, monkeypatch):
    seen = []
    panel = SideBySide(model, vocab, "the ")
    monkeypatch.setattr(
        widgets, "steps", lambda *a: seen.append(torch.get_num_threads()) or steps(*a)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        explorer.temperature.value, panel.seed.value, panel.prompt.value = 1.3, 5, "É"
        assert seen == [1, 1, 1] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("panel", [TemperatureExplorer, SideBySide])
def test_a_panel_does_not_begin_with_a_prompt_that_cannot_be_read(panel, model, vocab):
    with pytest.raises(VocabError, match="'É'"):
        panel(model, vocab, "thÉ")
    with pytest.raises(ValueError, match="prompt is empty"):
        panel(model, vocab, "")


def test_a_slider_that_is_set_to_no_number_is_said(explorer):
    explorer.temperature.value = float("nan")
    assert "temperature is nan" in explorer.said.value
    explorer.temperature.value = 0.8
    assert explorer.said.value == ""


def test_no_column_is_refused(model, vocab):
    with pytest.raises(ValueError, match="no temperature"):
        SideBySide(model, vocab, "the ", ())


def test_every_control_is_labelled_and_described_in_words(explorer, model, vocab):
    panel = SideBySide(model, vocab, "the ")
    controls = [explorer.prompt, explorer.temperature, explorer.top_k, explorer.top_p]
    controls += [explorer.length, explorer.seed, explorer.keep, explorer.at]
    controls += [panel.prompt, panel.length, panel.seed, panel.keep, *panel.temperatures]
    assert all(control.description for control in controls)
    assert explorer.bars.value.count('role="img" aria-label="') == 2
    assert repr(explorer) == "TemperatureExplorer('the ')"
    assert repr(panel) == "SideBySide('the ', 3 columns)"
