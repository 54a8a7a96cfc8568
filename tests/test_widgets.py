"""The panels: what follows when their slider is moved."""

import io

import pytest
from matplotlib.image import imread

from lstmlib import plots, widgets
from lstmlib.training import History
from lstmlib.widgets import TrainingScrubber

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
