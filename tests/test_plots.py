import io
from collections import Counter

import numpy as np
import pytest
from matplotlib.figure import Figure

from lstmlib import plots
from lstmlib.training import History


def history(n=100, spike=3.0):
    return History(
        {
            "step": i,
            "loss": 4.0 / i**0.5,
            "grad_norm": spike if i % 10 == 0 else 0.5,
            "clipped_norm": min(1.0, spike) if i % 10 == 0 else 0.5,
            "valid_loss": 4.1 / i**0.5 if i % 25 == 0 else None,
        }
        for i in range(1, n + 1)
    )


SPEEDS = {
    "product_operations_per_second": {"float32": 1e9},
    "points": [
        {
            "hidden_size": 8,
            "batch_size": batch_size,
            "precision": "float32",
            "characters_per_second": 1000 * batch_size,
            "operations_per_character": 5000,
        }
        for batch_size in (1, 4)
    ],
}
FIGURES = {
    "loss_and_gradient": lambda: plots.loss_and_gradient(history(), {"5-gram": 1.4}),
    "character_counts": lambda: plots.character_counts(Counter("aab\n\xad$"), Counter("aab")),
    "windows_and_streams": lambda: plots.windows_and_streams("the tide the wind", 8, 3, 2, 4),
    "ngram_losses": lambda: plots.ngram_losses([3.0, 2.0, 1.0], [3.1, 2.4, 2.2]),
    "temperature_bars": lambda: plots.temperature_bars(
        list("abc"), {0.5: np.array([0.9, 0.1, 0.0]), 1.0: np.array([0.7, 0.2, 0.1])}
    ),
    "unrolled": lambda: plots.unrolled("help\n"),
    "step_sizes": lambda: plots.step_sizes(
        np.array([1e-6, 1e-5]), {"float64": np.array([1e-9, 1e-10])}, chosen=1e-5
    ),
    "loss_curves": lambda: plots.loss_curves(
        {"ours": (np.arange(3), np.array([3.0, 2.0, 1.5]))}, "A run", baselines={"theirs": 1.7}
    ),
    "ranked": lambda: plots.ranked({"ours": [1.4, 1.5], "other": [1.6]}, "Ranks"),
    "gradient_against_lag": lambda: plots.gradient_against_lag({"RNN": np.array([1.0, 0.1])}),
    "gates": lambda: plots.gates(
        "a $", {"gate": np.array([[0.0, 0.5, 1.0]]), "cell state": np.array([[-2.0, 0.0, 1.0]])}
    ),
    "distributions": lambda: plots.distributions(
        list("abc"), {"p": np.array([0.2, 0.7, 0.1]), "q": np.array([0.1, 0.9, 0.0])}, "Two", most=2
    ),
    "clipping": lambda: plots.clipping([(3.0, 1.0), (-0.2, 0.3)], 1.0),
    "training_speeds": lambda: plots.training_speeds({"a laptop": SPEEDS}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_and_every_axis_is_labelled(name):
    """An axis may leave a title or label to its neighbour only where the two share that axis."""
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png")
    for axis in figure.axes:
        if axis.get_label() == "<colorbar>":
            continue
        x_group = axis.get_shared_x_axes().get_siblings(axis)
        y_group = axis.get_shared_y_axes().get_siblings(axis)
        assert any(a.get_title() for a in x_group)
        assert any(a.get_xlabel() for a in x_group + y_group)
        assert any(a.get_ylabel() for a in y_group) or not len(axis.get_yticks())


def test_all_figures_are_tested():
    public = {
        name
        for name, thing in vars(plots).items()
        if callable(thing) and getattr(thing, "__module__", "") == plots.__name__
    }
    assert {n for n in public if not n.startswith("_")} == set(FIGURES) | {"LivePlot"}


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def test_loss_figure_shows_the_numbers_of_the_history():
    top, bottom = plots.loss_and_gradient(history(), {"5-gram": 1.4}).axes
    assert lines(top)["validation"].get_xdata().tolist() == [25, 50, 75, 100]
    assert set(lines(top)["5-gram"].get_ydata()) == {1.4}
    marked = lines(bottom)["steps that were clipped"]
    assert marked.get_xdata().tolist() == list(range(10, 101, 10))
    assert bottom.get_yscale() == "log"


def test_smoothing_is_a_running_mean():
    assert plots._smooth(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1, 2, 4, 6]


def test_a_spike_stays_in_the_picture():
    rows = history()
    rows.rows[50]["loss"] = 8.0
    top = plots.loss_and_gradient(rows).axes[0]
    assert top.get_ylim()[1] >= 8.0


def test_live_plot_updates_one_image_in_place(monkeypatch):
    shown = []

    class Handle:
        def update(self, image):
            shown.append(("update", image.data[:4]))

    def display(image, display_id):
        shown.append(("display", image.data[:4]))
        return Handle()

    monkeypatch.setattr(plots, "display", display)
    live = plots.LivePlot(every=2)
    for n in range(1, 7):
        live(history(n))
    assert shown == [("display", b"\x89PNG"), ("update", b"\x89PNG"), ("update", b"\x89PNG")]


def test_loss_curves_hold_the_numbers_and_the_baseline():
    axis = FIGURES["loss_curves"]().axes[0]
    assert lines(axis)["ours"].get_ydata().tolist() == [3.0, 2.0, 1.5]
    assert set(lines(axis)["theirs"].get_ydata()) == {1.7}


def test_gates_have_a_scale_from_0_to_1_and_states_one_around_0():
    images = [axis.images[0] for axis in FIGURES["gates"]().axes if axis.images]
    assert images[0].get_clim() == (0, 1)
    assert images[1].get_clim() == (-2, 2)
    assert images[1].get_array().tolist() == [[-2.0, 0.0, 1.0]]


def test_distributions_show_the_most_probable_first():
    axis = FIGURES["distributions"]().axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["b", "a"]
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert heights == [[0.7, 0.2], [0.9, 0.1]]


def test_lags_are_counted_from_1():
    line = FIGURES["gradient_against_lag"]().axes[0].get_lines()[0]
    assert line.get_xdata().tolist() == [1, 2]


def test_clipping_draws_what_the_two_rules_do():
    by_norm, by_value = plots.clipping([(3.0, 4.0)], 1.0).axes
    assert by_norm.texts[1].xy == pytest.approx((0.6, 0.8))
    assert tuple(by_value.texts[1].xy) == (1.0, 1.0)
    assert by_norm.texts[0].xy == by_value.texts[0].xy == (3.0, 4.0)


def test_a_gradient_within_the_limit_is_drawn_as_it_is():
    for axis in plots.clipping([(0.3, -0.4)], 1.0).axes:
        assert axis.texts[1].xy == pytest.approx((0.3, -0.4))


def test_training_speeds_are_drawn_as_measured():
    left, right = plots.training_speeds({"a laptop": SPEEDS}).axes
    assert left.get_lines()[0].get_xdata().tolist() == [1, 4]
    assert left.get_lines()[0].get_ydata().tolist() == [1000, 4000]
    assert right.get_lines()[0].get_ydata() == pytest.approx([0.5, 2.0])


def test_a_skipped_step_leaves_a_gap_in_the_figure():
    run = history()
    run.rows[3] |= {"grad_norm": None, "clipped_norm": None, "skipped": True}
    run.rows[5] |= {"loss": None, "grad_norm": None, "clipped_norm": None, "skipped": True}
    top, bottom = plots.loss_and_gradient(run).axes
    assert len(lines(bottom)["before clipping"].get_xdata()) == len(run) - 2
    assert len(lines(top)["training (mean of 20 steps)"].get_xdata()) == len(run) - 1
