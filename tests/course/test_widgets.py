"""The panels: what follows when their slider is moved."""

import gc
import io
import json
import random
import re
import weakref
from html import unescape

import numpy as np
import pytest
import torch
from ipywidgets import HTML, Button, Dropdown, SelectionSlider, ToggleButtons
from ipywidgets.widgets.widget import _instances
from jupyter_client.manager import start_new_kernel
from matplotlib.image import imread

from lstmlib.course import plots
from lstmlib.course.widgets import (
    PrefixExplorer,
    SideBySide,
    TemperatureExplorer,
    TrainingScrubber,
    UnitViewer,
    controls,
    prefix_explorer,
    read_units,
    side_by_side,
    temperature_explorer,
    training_scrubber,
)
from lstmlib.generation import generate, steps
from lstmlib.grammar_eval import read_prefix
from lstmlib.grammars import LANGUAGES
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.sampling import SamplingConfig
from lstmlib.vocab import Vocab, VocabError

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
    assert panel.slider.options == (1, 2, 3, 4, 5, 6, 7, 9, 10)  # of step 8 nothing is known
    assert panel.slider.value == 1
    for step, loss, norm in ((4, "3.6000", "2"), (9, "3.1000", "4.5")):
        panel.slider.value = step
        said = panel.numbers.value
        assert f"Step {step}</b>: loss {loss} nats per character" in said
        assert f"gradient norm {norm} before clipping, 0.25 after" in said
        assert "learning rate 0.002" in said
        wanted = plots.training_moment(run, step, training_scrubber._HIGH)
        assert pixels(panel.image.value) == pixels(plots.png(wanted))


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
    assert "Step 5</b>: skipped" in panel.numbers.value


def test_a_step_is_drawn_once(monkeypatch):
    drawn = []

    def draw(run, step, height):
        drawn.append(step)
        return plots.training_moment(run, step, height)

    monkeypatch.setattr(training_scrubber, "training_moment", draw)
    panel = TrainingScrubber(history(), {})
    for step in (4, 1, 4):
        panel.slider.value = step
    assert drawn == [1, 4]


def test_the_pictures_that_are_kept_are_those_shown_last_and_no_more_than_so_many(monkeypatch):
    drawn = []
    monkeypatch.setattr(training_scrubber, "_PICTURES", 3)
    monkeypatch.setattr(
        training_scrubber, "training_moment", lambda run, step, _: drawn.append(step)
    )
    monkeypatch.setattr(training_scrubber, "png", lambda _: b"")
    panel = TrainingScrubber(history(), {})
    for step in (2, 3, 4, 2, 1):
        panel.slider.value = step
    assert drawn == [1, 2, 3, 4, 1] and panel._drawn.cache_info().maxsize == 3


def test_a_row_that_lacks_a_number_says_so():
    run = history()
    run.rows[3] |= {"loss": None, "grad_norm": None}
    del run.rows[3]["learning_rate"]
    panel = TrainingScrubber(run, {})
    panel.slider.value = 4
    assert "loss unknown" in panel.numbers.value and "learning rate unknown" in panel.numbers.value


def test_of_a_long_sample_the_beginning_is_shown_and_its_length_said():
    panel = TrainingScrubber(history(), {1: "x" * 10**6})
    assert len(panel.details.value) < 21_000
    assert "(the first 20000 of 1000000 characters)" in panel.details.value


def test_the_play_button_and_the_slider_cover_the_same_steps():
    play, slider = TrainingScrubber(history(), {}).children[0].children
    assert (play.min, play.max, play.step) == (0, len(slider.options) - 1, 1)
    assert slider.description == "Step" and slider.continuous_update


def test_every_move_of_the_slider_is_another_step():
    run = History(row | {"step": 18 * row["step"]} for row in history().rows)
    panel, seen = TrainingScrubber(run, {}), []
    for index in range(9):
        panel.slider.index = index
        seen.append((panel.numbers.value, panel.image.value))
    assert len(set(seen)) == 9


def test_the_text_of_a_run_does_not_move_what_stands_above_it():
    panel = TrainingScrubber(history(), SAMPLES)
    assert panel.children.index(panel.details) == len(panel.children) - 1
    assert panel.details.layout.height and panel.details.layout.overflow == "auto"


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
    settings = SamplingConfig(0.8, top_k=6)
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
        assert said in unescape(panel.message.value) and 'role="alert"' in panel.message.value
        assert "<b>" not in panel.message.value.removeprefix('<div role="alert"><b>')
        assert "was written before" in panel.message.value
        assert [t.value for t in getattr(panel, "texts", [panel.children[-1]])] == texts
        panel.prompt.value = "the quick "
        assert panel.message.value == ""


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
    for module in (temperature_explorer, side_by_side):
        monkeypatch.setattr(
            module, "steps", lambda *a: seen.append(torch.get_num_threads()) or steps(*a)
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
    assert "temperature is nan" in explorer.message.value
    explorer.temperature.value = 0.8
    assert explorer.message.value == ""


def test_no_column_is_refused(model, vocab):
    with pytest.raises(ValueError, match="no temperature"):
        SideBySide(model, vocab, "the ", ())


def test_every_control_is_labelled_and_described_in_words(explorer, model, vocab):
    panel = SideBySide(model, vocab, "the ")
    controls = [explorer.prompt, explorer.temperature, explorer.top_k, explorer.top_p]
    controls += [explorer.min_p, explorer.length, explorer.seed, explorer.keep, explorer.at]
    controls += [panel.prompt, panel.length, panel.seed, panel.keep, *panel.temperatures]
    assert all(control.description for control in controls)
    assert explorer.bars.value.count('role="img" aria-label="') == 2
    assert repr(explorer) == "TemperatureExplorer('the ')"
    assert repr(panel) == "SideBySide('the ', 3 columns)"


def test_a_prompt_with_a_stranger_is_said_without_a_word_of_code(explorer):
    explorer.prompt.value = "thÉ"
    assert "&#x27;É&#x27; (U+00C9)" in explorer.message.value
    assert "Leave it out." in explorer.message.value and "encode" not in explorer.message.value


def test_min_p_is_what_generate_does_with_it(explorer, model, vocab):
    explorer.min_p.value = 0.3
    wanted = generate(model, vocab, "the ", 60, 0.8, seed=3, min_p=0.3).text
    assert plain(explorer.text.value) == wanted


def test_moving_a_slider_moves_nothing_else(explorer):
    above = explorer.children[: explorer.children.index(explorer.text) + 1]
    assert explorer.temperature is above[2] and explorer.text.layout.height == "10em"


def test_a_prompt_longer_than_a_panel_reads_is_said(explorer, model, vocab):
    for panel in (explorer, SideBySide(model, vocab, "the ")):
        panel.prompt.value = "t" * 10**6
        assert "1000000 characters; this panel reads up to 1000" in panel.message.value
        assert len(panel.message.value) < 300 and len(repr(panel)) < 80
        panel.prompt.value = "t" * 1000
        assert panel.message.value == ""
    with pytest.raises(ValueError, match="1001 characters; this panel reads up to 1000"):
        TemperatureExplorer(model, vocab, "t" * 1001)


def test_what_no_browser_can_be_sent_is_shown_as_a_replacement():
    strange = Vocab("a\0\ud800\u202e\t\x0b")
    torch.manual_seed(0)
    panel = TemperatureExplorer(CharRNN(len(strange), 8, 1), strange, "a\0\ud800", 2.0)
    side = SideBySide(panel.model, strange, "a\0\ud800", [2.0])
    for at in range(0, 300, 7):
        panel.at.value = at
        for html in (panel.bars, panel.text, side.texts[0]):
            html.value.encode("utf-8")  # as it is sent
            assert "\0" not in html.value
    assert "a��" in panel.text.value
    for name in ("U+D800", "U+0000", "U+202E", "⇥", "U+000B"):
        assert f">{name}<" in panel.bars.value
    panel.prompt.value = "\udfff"
    assert "\\udfff" in panel.message.value and "U+DFFF" in panel.message.value


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"temperature": 10**400}, "temperature is 1000"),
        ({"temperature": "warm"}, "temperature is 'warm'"),
        ({"length": 2.5}, "length is 2.5"),
        ({"length": "long"}, "length is 'long'"),
        ({"seed": None}, "seed is None"),
    ],
    ids=str,
)
def test_a_start_without_meaning_is_named(model, vocab, start, said):
    with pytest.raises(ValueError, match=said):
        TemperatureExplorer(model, vocab, "the ", **start)


@pytest.mark.parametrize("length", [0, -5, 10**400])
def test_a_start_outside_a_control_is_moved_to_its_end(model, vocab, length):
    panel = TemperatureExplorer(model, vocab, "the ", length=length, seed=10**400)
    assert panel.length.value == (1000 if length > 0 else 50) == len(panel.steps)
    assert panel.at.max == panel.length.value - 1 and panel.seed.value == 2**31 - 1


@pytest.mark.parametrize(
    ("temperatures", "said"),
    [
        (0.5, "no temperature; give a list"),
        ([0.5, "warm"], "temperature is 'warm'"),
        ([1.0] * 13, "13 temperatures; this panel has room for 12"),
    ],
    ids=str,
)
def test_columns_that_cannot_be_are_named(model, vocab, temperatures, said):
    with pytest.raises(ValueError, match=said):
        SideBySide(model, vocab, "the ", temperatures)


# What is left of a panel


def make(kind):
    """Return a new panel of a kind with its model, or its history, of its own."""
    torch.manual_seed(0)
    if kind is TrainingScrubber:
        run = history()
        return TrainingScrubber(run, SAMPLES), run
    if kind is PrefixExplorer:
        language = LANGUAGES["brackets"]
        model = CharRNN(len(language.vocab()), 8, 1)
        return PrefixExplorer(
            {"a": model, "b": model}, language.vocab(), language, examples=["(("]
        ), model
    own = Vocab("the quick")
    model = CharRNN(len(own), 8, 1)
    if kind is UnitViewer:
        reading = read_units(model, own, "the quick " * 100)
        return UnitViewer(reading, {"a": ("h", 0, 3)}), reading
    return kind(model, own, "the "), model


PANELS = [TrainingScrubber, TemperatureExplorer, SideBySide, PrefixExplorer, UnitViewer]


@pytest.mark.parametrize("kind", PANELS)
def test_of_a_closed_panel_nothing_is_left(kind):
    before = set(_instances)
    panel, held = make(kind)
    controls = weakref.WeakSet(_instances[name] for name in set(_instances) - before)
    assert len(controls) > 10
    alive = weakref.ref(held)
    panel.close()
    panel.close()  # which may be done again
    assert set(_instances) == before
    del held
    gc.collect()
    assert alive() is None  # though the panel itself is still there, as in a notebook's Out
    assert set(controls) == {panel, panel.layout}
    assert repr(panel) == f"{kind.__name__}(closed)"


@pytest.mark.parametrize("kind", PANELS)
def test_a_panel_that_fails_to_be_made_leaves_nothing(kind, model, vocab):
    wrong = {
        TrainingScrubber: lambda: TrainingScrubber(History([]), {}),
        TemperatureExplorer: lambda: TemperatureExplorer(model, vocab, "É"),
        SideBySide: lambda: SideBySide(model, vocab, "É"),
        PrefixExplorer: lambda: prefix_panel("É"),
        UnitViewer: lambda: UnitViewer(read_units(model, vocab, "the"), {"a": ("h", 9, 0)}),
    }
    before = set(_instances)
    with pytest.raises(ValueError):
        wrong[kind]()
    assert set(_instances) == before


class Shell:
    """What a panel asks IPython for."""

    def __init__(self):
        self.execution_count, self.user_ns, self.metadata = 0, {"_ih": [""]}, {}

    def run(self, source, cell=None):
        self.execution_count += 1
        self.user_ns["_ih"].append(source)
        self.metadata = {"cellId": cell} if cell else {}

    def get_parent(self):
        return {"metadata": self.metadata}


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setattr(controls, "get_ipython", lambda: shell)
    monkeypatch.setattr(controls, "_made", {})
    return shell


@pytest.mark.parametrize("named", [True, False], ids=["cell with a name", "cell without"])
def test_a_cell_that_is_run_again_frees_what_it_made_before(shell, named):
    shell.run("a", "1" if named else None)
    pair = [make(TemperatureExplorer)[0] for _ in range(2)]  # of one run: both stay
    shell.run("b", "2" if named else None)
    other = make(TemperatureExplorer)[0]
    assert all(panel._own for panel in (*pair, other))
    size, models = len(_instances), weakref.WeakSet(panel.model for panel in pair)
    for _ in range(3):
        shell.run("a", "1" if named else None)
        pair += [make(TemperatureExplorer)[0] for _ in range(2)]
    gc.collect()
    assert len(_instances) == size and len(models) == 0
    assert [bool(panel._own) for panel in pair] == [False] * 6 + [True] * 2 and other._own
    other.temperature.value = 1.7
    assert other.message.value == ""


def test_a_cell_that_is_changed_is_the_same_cell(shell):
    shell.run("a", "1")
    first = make(SideBySide)[0]
    shell.run("a, changed", "1")
    second = make(TrainingScrubber)[0]
    assert repr(first) == "SideBySide(closed)" and second._own


CELL = """
import gc, weakref, torch
from ipywidgets.widgets.widget import _instances
from lstmlib.models import CharRNN
from lstmlib.vocab import Vocab
from lstmlib.course.widgets import TemperatureExplorer
models = globals().get("models") or weakref.WeakSet()
vocab = Vocab("the")
torch.manual_seed(0)
model = CharRNN(len(vocab), 8, 1)
models.add(model)
panel = TemperatureExplorer(model, vocab, "the")
panel
"""


def test_in_a_kernel_a_cell_run_again_does_not_leak():
    """With the panel in `Out` and in `_`, as IPython keeps what a cell ends with."""
    manager, client = start_new_kernel()
    try:

        def run(code, cell):
            content = {"code": code, "silent": False, "store_history": True}
            content |= {"user_expressions": {"left": "(len(_instances), len(models))"}}
            message = client.session.msg("execute_request", content)
            message["metadata"] = {"cellId": cell}
            client.shell_channel.send(message)
            reply = client._recv_reply(message["header"]["msg_id"], timeout=60)["content"]
            assert reply["status"] == "ok", reply
            return json.loads(
                reply["user_expressions"]["left"]["data"]["text/plain"]
                .replace("(", "[")
                .replace(")", "]")
            )

        counts = [run(CELL + "gc.collect()\npanel", "a") for _ in range(4)]
        assert counts[1] == counts[2] == counts[3]
        assert counts[0][0] == counts[3][0] > 10 and counts[3][1] <= 2
        more = run(CELL, "b")
        assert more[0] == 2 * counts[0][0]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# Events as they come


TEXTS = [
    "",
    "the ",
    "É",
    "t" * 10**6,
    "\0",
    "\ud800",
    "the\n",
    "😀",
    "$x$",
    "<b>",
    "(()",
    "(" * 201,
]


@pytest.mark.parametrize("kind", PANELS)
def test_whatever_is_moved_or_typed_ends_in_a_picture_or_a_sentence(kind):
    panel, _ = make(kind)
    rng = random.Random(0)
    parts = controls._widgets_of(panel)
    texts = [each for each in parts if isinstance(each, HTML)]
    knobs = [each for each in parts if hasattr(each, "description") and each not in texts]
    assert len(knobs) > 1
    numbers = [0, -1, 1, 5, 10**6, 0.5, -0.5, 1e300, float("nan"), float("inf"), -float("inf")]
    for _ in range(100):
        control = rng.choice(knobs)
        old = getattr(control, "value", None)
        if isinstance(control, Button):
            control.click()
        elif isinstance(control, Dropdown | SelectionSlider | ToggleButtons):
            control.index = rng.randrange(len(control.options))
        elif isinstance(old, str):
            control.value = rng.choice(TEXTS)
        elif isinstance(old, bool):
            control.value = not old
        elif isinstance(old, int):
            control.value = rng.choice([rng.randint(control.min, control.max), -7, 10**9])
        else:
            control.value = rng.choice([rng.uniform(0, 2), *numbers])
        assert any(each.value for each in texts)
        for each in texts:
            each.value.encode("utf-8")
        if kind is TrainingScrubber:
            assert panel.image.value[:4] == b"\x89PNG"


# A prefix, held to a grammar


class Taught(torch.nn.Module):
    """A model that expects what a language allows, but where it is told otherwise.

    Args:
        otherwise: prefix -> probabilities by token, the likeliest other token gets what is left.
    """

    def __init__(self, language, otherwise=None):
        super().__init__()
        self.language, self.vocab, self.otherwise = language, language.vocab(), otherwise or {}
        self.vocab_size = len(self.vocab)
        self.device = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids, state=None):
        prefix = self.vocab.decode(ids[0].numpy(), keep_specials=False)
        rows = [self.expects(prefix[:k]) for k in range(ids.shape[1])]
        return torch.tensor([rows], dtype=torch.float64).log(), ()

    def expects(self, prefix):
        p = dict.fromkeys(self.vocab.tokens, 1e-9)
        p |= self.language.next(prefix) or {".end": 1.0}
        told = self.otherwise.get(prefix, {})
        p |= told
        p[max((token for token in p if token not in told), key=p.get)] += 1 - sum(p.values())
        return [p[token] for token in self.vocab.tokens]


def prefix_panel(prefix, otherwise=None, name="brackets", **settings):
    language = LANGUAGES[name]
    model = Taught(language, otherwise)
    return PrefixExplorer(model, model.vocab, language, prefix, **settings)


def marks(panel):
    """Return what stands under the bars: symbol -> its sign."""
    found = re.findall(r'<text x="[^"]+" y="(?:110|126)"[^>]*>(.+?)</text>', panel.bars.value)
    return dict(zip(found[::2], found[1::2], strict=True))


def rows(panel):
    """Return the rows of the tables, those of several tables behind each other, by heading."""
    found = {}
    for row in re.findall("<tr>(.*?)</tr>", panel.table.value):
        cells = [unescape(re.sub("<[^>]+>", "", c)) for c in re.findall("<t[hd].*?</t[hd]>", row)]
        found[cells[0]] = found.get(cells[0], []) + cells[1:]
    return found


def test_where_network_and_grammar_agree_the_panel_says_so():
    panel = prefix_panel("(()")
    assert marks(panel) == {"(": "✓", ")": "✓", ".end": "✓"}
    assert "The model allows that, and nothing else" in panel.bars.value
    assert "The grammar allows: <code>(</code> <code>)</code>" in panel.bars.value
    assert rows(panel) == {
        "place": ["0", "1", "2", "3"],
        "read": [".start", "(", "(", ")"],
        "depth": ["0", "1", "2", "1"],
        "illegal mass, %": ["<0.01"] * 4,
        "legal set": ["✓"] * 4,
    }
    assert "at 4 of 4 places" in panel.table.value


def test_what_the_network_gets_wrong_is_marked_by_signs_and_in_words():
    panel = prefix_panel("()", {"(": {".end": 0.02, "(": 0.001}, "()": {".pad": 0.3}})
    assert rows(panel)["legal set"] == ["✓", "▲▼", "▲"]
    assert rows(panel)["illegal mass, %"] == ["<0.01", "2.0", "30"]
    assert "at 1 of 3 places" in panel.table.value
    said = 'aria-label="the model allows what is illegal">▲<'
    assert panel.table.value.count(said) == 2
    # A special token is shown where the network allows it.
    assert marks(panel) == {"(": "✓", ")": "✓", ".end": "✓", ".pad": "▲"}
    assert "▲ The model allows what is illegal: <code>.pad</code>" in panel.bars.value
    assert "nothing else" not in panel.bars.value
    panel.at.value = 1
    assert marks(panel) == {"(": "▼", ")": "✓", ".end": "▲"}
    assert "▼ The model rules out what is legal: <code>(</code>" in panel.bars.value
    assert ".end model 2.0 %, exact 0 %, the model allows what is illegal" in panel.bars.value


def test_the_threshold_decides_what_the_network_allows():
    panel = prefix_panel("(", {"(": {".end": 0.02}})
    for threshold, sign in ((0.05, "✓"), (0.01, "▲")):
        panel.threshold.value = threshold
        assert marks(panel)[".end"] == rows(panel)["legal set"][1] == sign
        assert f"what has {100 * threshold:g} % or more" in panel.bars.value
    assert prefix_panel("(", {"(": {".end": 0.02}}, threshold=0.03).threshold.value == 0.03


def test_a_legal_symbol_rarer_than_the_threshold_may_be_missing():
    """After "the " comes an N in one of two cases, and one of seven begins with c: 1/14."""
    panel = prefix_panel("the ", name="toy", threshold=0.09)
    rare = {c for c, p in LANGUAGES["toy"].next("the ").items() if p < 0.09}
    assert rare and {c for c, sign in marks(panel).items() if sign == "~"} == rare
    assert set(marks(panel).values()) == {"✓", "~"}
    assert set(rows(panel)["legal set"]) == {"✓"}
    panel.threshold.value = 0.01
    assert set(marks(panel).values()) == {"✓"}


def test_the_bars_are_to_scale_and_all_symbols_of_the_language_have_one():
    panel = prefix_panel("the ", {"the ": {"y": 0.05}}, name="toy")
    language, reading = LANGUAGES["toy"], panel.reading
    drawn = list(marks(panel))
    assert drawn == [*language.characters.replace(" ", "␣"), ".end"]
    highs = [float(h) for h in re.findall(r'<rect [^>]*height="([^"]+)"', panel.bars.value)]
    ids = [panel.vocab.id_of(symbol) for symbol in (*language.characters, ".end")]
    expected = np.stack([reading.model[4, ids], reading.exact[4, ids]], axis=1).ravel()
    assert np.array(highs) / 80 == pytest.approx(expected, abs=1e-3)
    assert panel.bars.value.count('role="img" aria-label="Probabilities: ') == 2
    assert "depth" in rows(panel) and rows(panel)["read"] == [".start", *"the␣"]
    assert "depth" not in rows(prefix_panel("sab", name="ndfa"))


def test_typing_reads_anew_and_goes_to_the_end():
    panel = prefix_panel("(()")
    assert panel.prefix.continuous_update and panel.at.value == 3
    panel.at.value = 1
    assert "Place 1, after <code>(</code>" in panel.bars.value
    for prefix in ("(())", "(", "", "(((((((((((((("):
        panel.prefix.value = prefix
        assert panel.at.value == len(prefix) and f"Place {len(prefix)}," in panel.bars.value
        assert rows(panel)["place"] == [str(k) for k in range(len(prefix) + 1)]
        expected = read_prefix(panel.models["network"], panel.vocab, panel.language, prefix)
        assert (panel.reading.model == expected.model).all()
    assert panel.table.value.count("<table") == 2
    framed = re.findall(r"border-width:0 2px\">([^<]*)<", panel.table.value)
    assert framed[:2] == ["14", "("]


def test_an_illegal_prefix_is_read_on_and_said_to_be_one():
    panel = prefix_panel("())(", {"()": {"(": 0.4}})
    assert "Nothing can follow: character 3, <code>)</code>, is illegal" in panel.bars.value
    assert "What the model expects nevertheless" in panel.bars.value
    assert marks(panel) == {"(": "✓", ")": "✓", ".end": "▲"}
    assert "illegal from character 3, <code>)</code>, on" in panel.table.value
    assert "at 2 of 3 places" in panel.table.value
    assert rows(panel)["legal set"] == ["✓", "✓", "▲", "–", "–"]
    assert rows(panel)["illegal mass, %"][2:] == ["40", "100", "100"]
    panel.at.value = 2
    assert "Nothing can follow" not in panel.bars.value
    assert "The grammar allows: <code>.end</code>" in panel.bars.value


@pytest.mark.parametrize(
    ("prefix", "said"), [("(<b>", "'<' (U+003C)"), ("(" * 201, "201 characters; this panel reads")]
)
def test_a_prefix_that_cannot_be_read_is_said_and_the_reading_stays(prefix, said):
    panel = prefix_panel("(()")
    shown = panel.bars.value, panel.table.value
    panel.prefix.value = prefix
    assert said in unescape(panel.message.value) and 'role="alert"' in panel.message.value
    assert "<b>" not in panel.message.value.removeprefix('<div role="alert"><b>')
    assert (panel.bars.value, panel.table.value) == shown
    panel.at.value = 1  # still of the prefix that was read
    assert "Place 1, after <code>(</code>" in panel.bars.value
    panel.prefix.value = "(" * 200
    assert panel.message.value == "" and panel.at.value == 200
    with pytest.raises(ValueError, match=re.escape(said)):
        prefix_panel(prefix)


def test_the_prefix_panel_is_labelled_short_in_text_and_computes_on_one_thread(monkeypatch):
    panel, seen = prefix_panel("(()"), []
    assert all(control.description for control in (panel.prefix, panel.threshold, panel.at))
    assert repr(panel) == "PrefixExplorer('brackets', '(()')"
    assert panel.table.value.count('<th scope="row"') == 5
    assert panel.table.value.count('<th scope="col"') == 4

    def read(*arguments):
        seen.append(torch.get_num_threads())
        return read_prefix(*arguments)

    monkeypatch.setattr(prefix_explorer, "read_prefix", read)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        panel.prefix.value = "(("
        assert seen == [1] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_a_button_puts_its_prefix_into_the_field():
    panel = prefix_panel("(()", examples=["()", "(" * 30])
    assert [button.description for button in panel.examples] == ["()", "( × 30"]
    for button, prefix in zip(panel.examples, ("()", "(" * 30), strict=True):
        button.click()
        assert panel.prefix.value == prefix and panel.reading.prefix == prefix


def test_a_button_changes_the_network():
    language = LANGUAGES["brackets"]
    models = {"right": Taught(language), "wrong": Taught(language, {"(": {")": 1e-9}})}
    panel = PrefixExplorer(models, language.vocab(), language, "(")
    assert "nothing else" in panel.bars.value
    panel.network.value = "wrong"
    assert "rules out what is legal" in panel.bars.value.split("<br>")[1]
    with pytest.raises(ValueError, match="There is no network"):
        PrefixExplorer({}, language.vocab(), language)


def test_a_network_of_the_library_can_be_explored():
    language = LANGUAGES["ndfa"]
    torch.manual_seed(0)
    model = CharRNN(len(language.vocab()), 8, 1)
    panel = PrefixExplorer(model, language.vocab(), language, "sa")
    expected = read_prefix(model, language.vocab(), language, "sa").illegal_mass
    assert [float(m) for m in rows(panel)["illegal mass, %"]] == pytest.approx(
        100 * expected, abs=0.51
    )
    assert model.training
