import io
import math
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from own_texts import ENGLISH, GERMAN, sentences

from lstmlib.audit import audit
from lstmlib.calibration import calibration, reliability
from lstmlib.course import plots
from lstmlib.course.cases import Curve
from lstmlib.course.plots import style, training
from lstmlib.grammar_eval import PrefixReading, Validity
from lstmlib.grammars import NDFA, Brackets
from lstmlib.history import History
from lstmlib.metrics import Interval, wilson_interval
from lstmlib.sampling import apply_temperature, draw
from lstmlib.settings import TrainingConfig
from lstmlib.thermometer import Expectation, Plan


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


def run_by_characters():
    """A history that also counts characters, 64 a step."""
    rows = [row | {"characters": 64 * row["step"]} for row in history().rows]
    return History(rows)


PLAN = Plan(
    {"hidden_size": 8},
    TrainingConfig(steps=100),
    *(6_400, 1e4, 1.0, False),
    Expectation(0.5, 0.4, 0.7, 0.6, 6_400),
)
MIXED = sentences(ENGLISH, 24_000) + sentences(GERMAN, 16_000)


STEP_PARTS = {
    "small": {"parts_ms": {"layer": 3.0, "Python": 1.0}, "ms_at_ceiling": 2.4},
    "large": {"parts_ms": {"layer": 4.0, "Python": 16.0}, "ms_at_ceiling": 1.0},
}
SPEEDS = {
    "product_operations_per_second": {"float32": 1e9},
    "points": [
        {
            "hidden_size": 8,
            "batch_size": batch_size,
            "precision": "float32",
            "characters_per_second": 1000 * batch_size,
            "flops_per_character": 5000,
        }
        for batch_size in (1, 4)
    ],
}


def reading(prefix, legal_places=None, characters="()"):
    """A reading of a grammar that allows all characters equally, as far as it allows anything."""
    tokens = (".pad", ".end", *characters)
    exact = np.zeros((len(prefix) + 1, len(tokens)))
    exact[:legal_places, 2:] = 1 / len(characters)
    exact[0, :3] = 0, 1 / len(characters), 0
    model = np.tile(np.linspace(0.5, 1.5, len(tokens)) / len(tokens), (len(prefix) + 1, 1))
    return PrefixReading(prefix, tokens, model, exact)


def by_epochs():
    """A history of three epochs of 40 steps, with a row for every 20."""
    return History(
        {
            "step": k,
            "loss": 4.0 - k / 100,
            "grad_norm": 0.5 + k / 100,
            "valid_window_loss": None if k % 40 else 4.1 - k / 100,
        }
        for k in range(20, 121, 20)
    )


INTERVAL = Interval(0.7, 0.6, 0.9)
PREDICTED = np.tile([[0.7, 0.3]], (20, 1)), np.tile([0, 0, 1, 0], 5)


PARTS = ("layer 1 · forget gate", "layer 1 · candidate", "output")


def recorded(gates=True):
    """A history with diagnostics at every step but the 6th, which was skipped, and the 7th."""
    run = history(20)
    for row in run.rows:
        norms = dict(zip(PARTS, (0.1 * row["step"], 0.2, 3.0), strict=True))
        row["diagnostics"] = {
            "gradient": norms,
            "clipped": {part: norm / 2 for part, norm in norms.items()},
            "update": dict(zip(PARTS, (None, 2e-3, 5e-2), strict=True)),
        }
        if gates:
            row["diagnostics"] |= {"near_0": {PARTS[0]: 0.25}, "near_1": {PARTS[0]: 0.5}}
    run.rows[5] |= {"loss": None, "grad_norm": None, "clipped_norm": None}
    run.rows[5] |= {"diagnostics": None, "skipped": True}
    del run.rows[6]["diagnostics"]
    return run


FIGURES = {
    "loss_and_gradient": lambda: plots.loss_and_gradient(history(), {"5-gram": 1.4}),
    "loss_and_gradient_by_epoch": lambda: plots.loss_and_gradient_by_epoch(
        by_epochs(), 40, 5.0, {"guessing": 4.5}, "Epochs"
    ),
    "character_counts": lambda: plots.character_counts(Counter("aab\n\xad$"), Counter("aab")),
    "windows_and_streams": lambda: plots.windows_and_streams("the tide the wind", 8, 3, 2, 4),
    "ngram_losses": lambda: plots.ngram_losses([3.0, 2.0, 1.0], [3.1, 2.4, 2.2]),
    "one_step": lambda: plots.one_step(["a", "b", "$"], "b", [0.8, -0.3], [2.0, -1.0, 0.5], "a"),
    "against_baselines": lambda: plots.against_baselines(
        history(), {"nothing": 4.5, "5-gram": 1.4}
    ),
    "temperature_bars": lambda: plots.temperature_bars(
        list("abc"), {0.5: np.array([0.9, 0.1, 0.0]), 1.0: np.array([0.7, 0.2, 0.1])}
    ),
    "unrolled": lambda: plots.unrolled("help\n"),
    "step_sizes": lambda: plots.step_sizes(
        np.array([1e-6, 1e-5]), {"float64": np.array([1e-9, 1e-10])}, chosen=1e-5
    ),
    "stretched_circle": lambda: plots.stretched_circle({"halves": np.eye(2) / 2}, 3),
    "loss_curves": lambda: plots.loss_curves(
        {"ours": (np.arange(3), np.array([3.0, 2.0, 1.5]))}, "A run", baselines={"theirs": 1.7}
    ),
    "ranked": lambda: plots.ranked({"ours": [1.4, 1.5], "other": [1.6]}, "Ranks"),
    "seen_and_unseen": lambda: plots.seen_and_unseen({"a": (1.2, 1.4), "b": (1.0, 1.5)}, "Gap"),
    "step_parts": lambda: plots.step_parts(STEP_PARTS),
    "number_formats": lambda: plots.number_formats(),
    "asynchronous": lambda: plots.asynchronous(),
    "gradient_against_lag": lambda: plots.gradient_against_lag({"RNN": np.array([1.0, 0.1])}),
    "gates": lambda: plots.gates(
        "a $", {"gate": np.array([[0.0, 0.5, 1.0]]), "cell state": np.array([[-2.0, 0.0, 1.0]])}
    ),
    "lstm_cell": lambda: plots.lstm_cell(),
    "dropout_places": lambda: plots.dropout_places({"a": (True, False), "b": (True, True)}),
    "distributions": lambda: plots.distributions(
        list("abc"), {"p": np.array([0.2, 0.7, 0.1]), "q": np.array([0.1, 0.9, 0.0])}, "Two", most=2
    ),
    "clipping": lambda: plots.clipping([(3.0, 1.0), (-0.2, 0.3)], 1.0),
    "training_speeds": lambda: plots.training_speeds({"a laptop": SPEEDS}),
    "norms_over_time": lambda: plots.norms_over_time(
        np.array([1, 2, 4]), {"a": np.array([1.0, np.nan, 3.0]), "b": np.ones(3)}, "Norms", "norm"
    ),
    "loss_surface": lambda: plots.loss_surface(
        np.linspace(0, 1, 4),
        np.linspace(2, 3, 5),
        np.arange(20.0).reshape(5, 4),
        {"plain": np.array([[0.1, 2.1], [1e30, 2.5], [np.nan, np.inf]])},
        "A cliff",
        "w",
        "b",
    ),
    "clip_sweep": lambda: plots.clip_sweep(
        [None, 0.1, 1.0], [[np.inf, np.nan], [2.5, 2.7], [2.0, np.nan]], "Clip values", 0.5
    ),
    "training_moment": lambda: plots.training_moment(recorded(), 10),
    "broken_run": lambda: plots.broken_run(history(spike=30.0), {"guessing": 4.5}, "It breaks"),
    "log_curves": lambda: plots.log_curves(
        {"a": (np.arange(1, 4), np.array([0.1, 50.0, 2.0]))}, "A spike", at=2
    ),
    "jacobian_products": lambda: plots.jacobian_products(
        {"new": np.array([1.0, 0.1]), "gone": np.array([1e-3, 0.0])}
    ),
    "cliff": lambda: plots.cliff(
        np.array([0.0, 0.5, 2.0, 9.0]),
        np.array([6.0, 4.0, np.inf, 12.0]),
        {"start": (0.0, 6.0), "clipped": (1.0, 5.0), "not clipped": (9.0, 12.0)},
        "A wall",
        3.0,
    ),
    "patients": lambda: plots.patients({f"patient-{k}": history(5 + k) for k in range(1, 5)}),
    "resampled_intervals": lambda: plots.resampled_intervals(
        {"by texts": [Interval(1.0, 0.5, 1.5), Interval(2.0, 1.8, 2.2)]}, 1.2, "loss (nats)"
    ),
    "novelty_by_length": lambda: plots.novelty_by_length(
        {"real": np.array([0.0, 0.4, 0.9]), "copied": np.array([0.0, 0.0, np.nan])}, 2
    ),
    "reliability_diagrams": lambda: plots.reliability_diagrams(
        {"a model": (reliability(*PREDICTED, bins=2), calibration(*PREDICTED, bins=2, block=5))}
    ),
    "measures_and_cheats": lambda: plots.measures_and_cheats(
        {
            "BLEU": {"real": Interval(0.5, 0.4, 0.6), "copy": Interval(1.0, 1.0, 1.0)},
            "loss": {"real": Interval(1.5, 1.4, 1.6), "copy": Interval(0.7, 0.6, 0.8)},
        },
        {"BLEU": {"copy": 1}, "loss": {"copy": 1}},
        {"BLEU": 1, "loss": -1},
    ),
    "quality_and_diversity": lambda: plots.quality_and_diversity(
        [(Interval(0.2, 0.1, 0.3), Interval(1.0, 0.9, 1.0)), (INTERVAL, INTERVAL)],
        ["0.5", "1.0"],
        {"real": (INTERVAL, INTERVAL), "noise": (Interval(1.0, 1.0, 1.0), INTERVAL)},
        "diversity",
        "quality",
    ),
    "two_sample_by_temperature": lambda: plots.two_sample_by_temperature(
        [0.5, 1.0], {"accuracy": [INTERVAL, INTERVAL]}, {"accuracy": {"real": 0.6}}
    ),
    "reader_scores": lambda: plots.reader_scores(["step 1", "step 2"], [INTERVAL, INTERVAL], 12),
    "reader_agreement": lambda: plots.reader_agreement(
        {"loss": Interval(1.0, 0.8, 1.0), "novelty": Interval(-0.8, -1.0, -0.6)}
    ),
    "time_by_size": lambda: plots.time_by_size([1000, 2000, 4000], {"ours": [0.1, 0.2, 0.5]}),
    "entropy_by_temperature": lambda: plots.entropy_by_temperature(
        np.array([0, 1, 2]), {"after a": np.array([0, 0.5, 0.9])}, 1.1
    ),
    "draws": lambda: plots.draws(
        ["a", " ", "$"], {"τ = 0": np.array([0, 1.0, 0]), "τ = 1": np.array([0.3, 0.5, 0.2])}, 0.6
    ),
    "pieces_by_temperature": lambda: plots.pieces_by_temperature(
        ["a", " ", "$"],
        np.array([0.0, 1.0, 2.0]),
        np.array([[0, 1.0, 0], [0.3, 0.5, 0.2], [0.32, 0.4, 0.28]]),
        0.6,
        marked=(0, 1),
    ),
    "shaded_texts": lambda: plots.shaded_texts(
        {"τ = 1": ("a\nb$\tc d", np.array([1, 0.5, 0.1, 0, 1, 1, 1, 1])), "τ = 2": ("", [])}, 12
    ),
    "measures_by_temperature": lambda: plots.measures_by_temperature(
        [0.5, 1.0],
        {"novelty": (np.array([0.1, 0.5]), np.array([0.01, 0.1])), "known": (np.ones(2), [0, 0])},
        {"novelty": 0.4, "known": 0.9},
        (0.5, 1.0),
    ),
    "loop": lambda: plots.loop(10.0 ** -np.arange(5), np.array([0.1, 1]), np.array([0.9, 0.1])),
    "tradeoff": lambda: plots.tradeoff(
        {"temperature": ([[0.1, 1], [0.5, 0.8]], [[0.01, 0.02], [0.03, 0]], ["0.5", "1.5"])},
        (0.5, 0.9),
        "Novelty against known words",
    ),
    "prefix_reading": lambda: plots.prefix_reading(reading("(())("), "Brackets"),
    "validity_by_epoch": lambda: plots.validity_by_epoch(
        [1, 2, 5],
        {
            0.5: [Validity(90, 10, 0), Validity(100, 0, 0), Validity(100, 0, 0)],
            1.0: [Validity(0, 40, 60), Validity(25, 50, 25), Validity(50, 0, 50)],
        },
        "Validity",
    ),
    "counting": lambda: plots.counting(
        {
            "pairs": (
                [1, 10, 100],
                {"LSTM": [10, 9, 2], "RNN": [10, 4, 0]},
            ),
            "depth": ([1, 8], {"LSTM": [10, 5]}),
        },
        10,
        {"pairs": 60, "depth": 4},
    ),
    "automata": lambda: plots.automata("Machines"),
    "ngram_gaps": lambda: plots.ngram_gaps({"ndfa": [900.0, 2.0, 0.0], "toy": [30.0, 9.0]}, "Gaps"),
    "training_by_epoch": lambda: plots.training_by_epoch(history(), 25, 0.3, "Epochs"),
    "layer_gradients": lambda: plots.layer_gradients(
        {"2 layers": [0.1, 0.2], "3 layers": [1e-6, 1e-4, 0.1]}, "Layers", 1e-5
    ),
    "ending_too_soon": lambda: plots.ending_too_soon([1, 2, 3], np.array([0, 0.1, 0.6]), 2, "Ends"),
    "curves_of_cases": lambda: plots.curves_of_cases(
        {
            "A": Curve(np.array([1e3, 1e5]), np.array([2.0, 9.0]), np.array([15.0, 1.2]), "a"),
            "B": Curve(np.array([1e4, 1e6]), np.array([1.0, 99.0]), np.array([2.0, 1.5]), "b"),
        },
        "Curves",
        top=3.0,
    ),
    "change_by_change": lambda: plots.change_by_change(
        [("A: every position", 1.2, 1.0, 1), ("D: clipped", 2.4, 3.1, 1), ("E", 1.9, 1.6, 12)],
        "Changes",
    ),
    "cases_measured": lambda: plots.cases_measured(
        {
            "new": {"A": {"held-out": (0.5, 0.4, 0.6), "τ = 1": (0.8, 0.7, 0.9)}},
            "copy": {"A": {"held-out": (5, 4, 6)}, "C": {}, "D": {"τ = 0.5": (8, 7, 9)}},
        },
        {"new": "share", "copy": "characters"},
        "Measures",
    ),
    "text_map": lambda: plots.text_map(audit(MIXED), "A text, from beginning to end"),
    "plan_and_run": lambda: plots.plan_and_run(run_by_characters(), PLAN, 0.41),
    "units_along_text": lambda: plots.units_along_text(
        "a $b\n<é>\n\nlong line", {"one": np.linspace(-1, 1, 19), "two": np.zeros(19)}, width=6
    ),
    "scores_with_controls": lambda: plots.scores_with_controls(
        {
            "a network": {
                "strings": {"probe": (0.9, 0.8, 0.95), "untrained": (0.6, 0.5, 0.7)},
                "depth": {"probe": (0.7, 0.7, 0.7)},
            },
            "another": {"speaker": {"probe": (0.99, 0.9, 1.0), "unit": (0.7, 0.6, 0.8)}},
        },
        "Scores",
        "AUC",
        0.5,
    ),
    "reach_curves": lambda: plots.reach_curves(
        {"LSTM": ([0, 1, 3, 300], [7.0, 4.0, 2.0, 1.7]), "n-gram models": (range(2), [3.3, 2.5])},
        {"LSTM": ([0, 1, 100], [0.6, 0.1, 1e-6])},
        "Reach",
    ),
    "time_constants": lambda: plots.time_constants(
        {"layer 0": ([1.0, 2.0, 50.0], [0.01, 0.0, -0.001]), "layer 1": ([0.5, None], [0, 0.1])},
        "Time constants",
    ),
    "counter": lambda: plots.counter(
        "(())", np.array([1, 2, 1, 0]), np.array([0.9, 2.1, 1.0, 0.1]), np.arange(4.0), "unit 7"
    ),
}


CH08 = (
    *("automata", "ngram_gaps", "training_by_epoch", "layer_gradients", "ending_too_soon"),
    *("validity_by_epoch", "counting", "counter", "prefix_reading"),
)


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
    figures = {name for name in plots.__all__ if not name.isupper()}
    assert figures == set(FIGURES) | {"LivePlot", "png", "with_alt"}


def test_a_curve_of_a_case_is_cut_off_above_and_says_so():
    figure = FIGURES["curves_of_cases"]()
    left, right = figure.axes
    assert lines(left)["A"].get_xdata().tolist() == [1e3, 1e5]
    assert lines(right)["B"].get_xdata().tolist() == [1.0, 99.0]
    shown = lines(left)["A"].get_ydata()
    assert np.isnan(shown[0]) and shown[1] == 1.2
    assert "1 points above 3 are cut off" in figure.get_label()
    assert left.get_xscale() == right.get_xscale() == "log"
    with pytest.raises(ValueError, match="top is 0"):
        plots.curves_of_cases({"A": Curve(np.ones(1), np.ones(1), np.ones(1), "a")}, "None", 0)
    with pytest.raises(ValueError, match="no curves"):
        plots.curves_of_cases({}, "None", 3)


def test_a_map_of_a_text_shows_where_its_language_changes():
    found = audit(MIXED)
    figure = plots.text_map(found, "A text")
    top, bottom = figure.axes
    labels = [text.get_text() for text in top.get_legend().get_texts()]
    assert labels == ["English", found.languages.second]
    colors = [to_hex(patch.get_facecolor()) for patch in top.patches]
    assert len(set(colors)) == 2 and colors == sorted(colors, key=colors.index)
    assert list(found.repeats.by_part) == pytest.approx(bottom.patches[0].get_data()[0] / 100)
    assert "English in" in figure.get_label() and "perhaps" not in figure.get_label()
    assert "Repeated: of the runs of 50 characters, between" in figure.get_label()


def test_a_language_that_is_not_certain_is_drawn_as_such():
    line = "It was a fine day and the sun shone on the town.\n" * 400
    figure = plots.text_map(audit(line), "A line")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels and all(label.startswith("perhaps ") for label in labels)
    assert f"{labels[0]} in" in figure.get_label()


def test_a_plan_is_drawn_beside_what_came_of_it():
    figure = plots.plan_and_run(run_by_characters(), PLAN, 0.41)
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    x, y = lines["validation loss of the run"].get_data()
    assert list(x) == pytest.approx([64 * step / 1e6 for step in (25, 50, 75, 100)])
    assert list(y) == pytest.approx([4.1 / step**0.5 for step in (25, 50, 75, 100)])
    assert list(lines["the network that is kept"].get_ydata()) == [0.41]
    assert set(lines["5-gram model"].get_ydata()) == {0.6}
    (bars,) = axis.collections
    assert [list(point) for point in bars.get_segments()[0]] == [
        pytest.approx([0.0064, 0.4]),
        pytest.approx([0.0064, 0.7]),
    ]
    assert "an interval from 0.4 to 0.7" in figure.get_label()


def test_a_change_is_drawn_from_before_to_after():
    figure = FIGURES["change_by_change"]()
    axis = figure.axes[0]
    said = [text.get_text() for text in axis.texts if text.get_text()]
    assert said == ["-0.20", "+0.70", "-0.30"]
    assert [label.get_text() for label in axis.get_yticklabels()][1] == "D: clipped"
    assert "D: clipped from 2.40 to 3.10" in figure.get_label()
    marks = [
        line for line in axis.get_lines() if len(line.get_xdata()) and line.get_marker() == "s"
    ]
    faces = [to_hex(mark.get_markerfacecolor()).upper() for mark in marks]
    assert faces == [style.BLUE, style.RED, "#FFFFFF"]  # hollow where several settings differ


def test_each_kind_of_text_has_its_place_in_a_measure():
    first, second = FIGURES["cases_measured"]().axes
    assert [label.get_text() for label in second.get_xticklabels()] == ["A", "C", "D"]
    assert second.get_ylabel() == "characters"
    places = {c.get_label(): c.lines[0].get_xdata().tolist() for c in second.containers}
    assert places == {"held-out": [-0.25], "τ = 0.5": [2.25]}
    values = {c.get_label(): c.lines[0].get_ydata().tolist() for c in first.containers}
    assert values == {"held-out": [0.5], "τ = 1": [0.8]}
    label = FIGURES["cases_measured"]().get_label()
    assert "copy: held-out 5 to 5, τ = 0.5 8 to 8" in label
    with pytest.raises(ValueError, match="no measures"):
        plots.cases_measured({}, {}, "None")


def test_a_text_is_drawn_once_a_unit_each_character_in_its_place():
    figure = FIGURES["units_along_text"]()
    first, second = [axis for axis in figure.axes if axis.images and axis.get_title()]
    assert [axis.get_title() for axis in (first, second)] == ["one", "two"]
    signs = {tuple(map(round, t.get_position())): t.get_text() for t in first.texts}
    assert signs[0, 0] == "a" and signs[2, 0] == "\\$" and signs[4, 0] == "↵"
    assert signs[1, 1] == "é" and signs[0, 2] == "↵" and signs[5, 3] == "l" and signs[0, 4] == "i"
    grid = first.images[0].get_array()
    assert grid.shape == (5, 6) and first.images[0].get_clim() == (-1, 1)
    assert grid[0, :5].tolist() == np.linspace(-1, 1, 19)[:5].tolist() and grid[0, 5] == 0
    above, below = (len(c.get_segments()) for c in first.collections)
    assert (above, below) == (5, 5)  # 0.5 or more, -0.5 or less
    assert "one: 0.5 or more at 5, −0.5 or less at 5 of 19 characters" in figure.get_label()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ab", {"one": [1.0]}), "one value for each"),
        (("", {"one": []}), "at least"),
        (("ab", {}), "no units"),
        (("ab", {"one": [0, 0]}, 0), "width is 0"),
        (("\n" * 61, {"one": np.zeros(61)}), "61 lines; this figure has room for 60"),
    ],
)
def test_units_that_cannot_be_drawn_are_said(arguments, said):
    with pytest.raises(ValueError, match=said):
        plots.units_along_text(*arguments)


def test_scores_stand_in_rows_each_with_its_interval():
    figure = FIGURES["scores_with_controls"]()
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["strings", "depth"]
    named = {c.get_label(): c.lines[0].get_xdata().tolist() for c in first.containers[:2]}
    assert named == {"probe": [0.9], "untrained": [0.6]}
    bars = first.containers[0].lines[2][0].get_segments()[0]
    assert bars[:, 0].tolist() == pytest.approx([0.8, 0.95])
    assert {text.get_text() for text in figure.legends[0].texts} == {"probe", "untrained", "unit"}
    assert "another, speaker: probe 0.99, unit 0.70" in figure.get_label()
    assert first.get_ylim() == (1.5, -0.5) and second.get_ylim() == (0.5, -0.5)
    with pytest.raises(ValueError, match="no finds of it"):
        plots.scores_with_controls({"it": {}}, "None", "x", 0)


def test_the_reach_has_no_character_and_three_hundred_on_one_scale():
    left, right = FIGURES["reach_curves"]().axes
    assert lines(left)["LSTM"].get_xdata().tolist() == [0, 1, 3, 300]
    assert lines(left)["n-gram models"].get_ydata().tolist() == [3.3, 2.5]
    assert right.get_yscale() == left.get_yscale() == "log"
    low, high = left.get_ylim()
    assert low < 1.7 and high > 7
    assert "LSTM from 7 to 1.7" in FIGURES["reach_curves"]().get_label()


def test_time_constants_are_counted_and_set_beside_what_a_unit_is_worth():
    figure = FIGURES["time_constants"]()
    left, right = figure.axes
    assert lines(right)["layer 0"].get_xdata().tolist() == [1, 2, 50]
    assert lines(right)["layer 0"].get_ydata().tolist() == [0.01, 0, -0.001]
    assert left.get_xscale() == right.get_xscale() == "log"
    assert "layer 0: median 2 characters, from 1 to 50" in figure.get_label()


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def test_loss_figure_shows_the_numbers_of_the_history():
    top, bottom = plots.loss_and_gradient(history(), {"5-gram": 1.4}).axes
    assert lines(top)["validation"].get_xdata().tolist() == [25, 50, 75, 100]
    assert set(lines(top)["5-gram"].get_ydata()) == {1.4}
    marked = lines(bottom)["steps that were clipped"]
    assert marked.get_xdata().tolist() == list(range(10, 101, 10))
    assert bottom.get_yscale() == "log"


def test_a_history_of_few_rows_is_drawn_over_its_epochs():
    top, bottom = FIGURES["loss_and_gradient_by_epoch"]().axes
    assert lines(top)["training"].get_xdata().tolist() == [0.5, 1, 1.5, 2, 2.5, 3]
    assert lines(top)["validation"].get_xdata().tolist() == [1, 2, 3]
    assert lines(top)["validation"].get_ydata() == pytest.approx([3.7, 3.3, 2.9])
    assert set(lines(top)["guessing"].get_ydata()) == {4.5}
    assert top.get_ylim()[0] == 0 and top.get_ylim()[1] > 4.5
    assert lines(bottom)["largest norm"].get_ydata()[-1] == pytest.approx(1.7)
    assert set(lines(bottom)["clipped at 5"].get_ydata()) == {5.0}


def test_smoothing_is_a_running_mean():
    assert style.running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1, 2, 4, 6]


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

    monkeypatch.setattr(training, "display", display)
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


def test_the_bits_of_a_number_are_drawn_and_its_range_is_said():
    axis = plots.number_formats().axes[0]
    rows = Counter(round(bar.get_y() + bar.get_height() / 2) for bar in axis.patches)
    assert rows == {0: 32, 1: 16, 2: 16}
    said = [text.get_text() for text in axis.texts]
    assert said == ["1e-45 to 3e+38", "9e-41 to 3e+38", "6e-08 to 7e+04"]
    assert torch.finfo(torch.float16).max == pytest.approx(7e4, rel=0.1)


def test_a_clock_is_read_after_the_work_or_before_it():
    figure = plots.asynchronous(asked=0.25, work=2.0, calls=3)
    early, late = (line.get_xdata()[0] for line in figure.axes[0].get_lines())
    assert (early, late) == (0.75, 6.25)
    assert "until 6.2" in figure.get_label()
    with pytest.raises(ValueError, match="shows the waiting"):
        plots.asynchronous(asked=2.0, work=1.0)


def test_entries_with_one_seed_have_a_colour_of_their_own():
    axis = FIGURES["ranked"]().axes[0]
    colors = [to_hex(line.get_color()).upper() for line in axis.get_lines()]
    assert colors == [plots.BLUE, plots.ORANGE]
    named = [text.get_text() for text in axis.get_legend().get_texts()]
    assert named == ["several seeds", "one seed"]


def test_a_line_joins_the_loss_on_seen_text_to_that_on_unseen_text():
    figure = FIGURES["seen_and_unseen"]()
    axis = figure.axes[0]
    seen, unseen = axis.get_lines()
    assert (seen.get_xdata().tolist(), unseen.get_xdata().tolist()) == ([1.2, 1.0], [1.4, 1.5])
    joins = [segment[:, 0].tolist() for segment in axis.collections[0].get_segments()]
    assert joins == [[1.2, 1.4], [1.0, 1.5]]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", "b"]
    assert "b from 1 to 1.5" in figure.get_label()


def test_the_parts_of_a_step_are_drawn_as_shares_of_its_time():
    figure = FIGURES["step_parts"]()
    axis = figure.axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in each] for each in axis.containers]
    assert bars == [[(0, 75), (0, 20)], [(75, 25), (20, 80)]]
    assert [mark[:, 0].tolist() for mark in axis.collections[0].get_segments()] == [
        [60] * 2,
        [5] * 2,
    ]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["small\n4 ms", "large\n20 ms"]
    assert "large, 20 ms: layer 20 %, Python 80 %" in figure.get_label()
    with pytest.raises(ValueError, match="more than 0 milliseconds"):
        plots.step_parts({"a": {"parts_ms": {"layer": 0.0}, "ms_at_ceiling": 1.0}})


def test_training_speeds_are_drawn_as_measured():
    left, right = plots.training_speeds({"a laptop": SPEEDS}).axes
    assert left.get_lines()[0].get_xdata().tolist() == [1, 4]
    assert left.get_lines()[0].get_ydata().tolist() == [1000, 4000]
    assert right.get_lines()[0].get_ydata() == pytest.approx([0.5, 2.0])


def test_two_devices_share_colours_by_size_and_their_names_cover_no_line():
    faster = {"points": [row | {"batch_size": 16 * row["batch_size"]} for row in SPEEDS["points"]]}
    larger = [row | {"hidden_size": 4 * k} for row in SPEEDS["points"] for k in range(1, 7)]
    gpu = SPEEDS | faster | {"points": faster["points"] + larger}
    figure = plots.training_speeds({"cpu": SPEEDS, "gpu": gpu})
    left, right = figure.axes
    ours, theirs = (lines(left)[f"{device}, H = 8"] for device in ("cpu", "gpu"))
    assert ours.get_color() == theirs.get_color()
    assert ours.get_linestyle() != theirs.get_linestyle()
    assert len({line.get_color() for line in left.get_lines()}) == 6
    assert left.get_legend() is None
    figure.savefig(io.BytesIO(), format="png")
    legend = right.get_legend()
    assert legend.get_window_extent().x0 >= right.get_window_extent().x1
    assert len(legend.get_texts()) == len(left.get_lines()) == 7


def test_a_skipped_step_leaves_a_gap_in_the_figure():
    run = history()
    run.rows[3] |= {"grad_norm": None, "clipped_norm": None, "skipped": True}
    run.rows[5] |= {"loss": None, "grad_norm": None, "clipped_norm": None, "skipped": True}
    top, bottom = plots.loss_and_gradient(run).axes
    assert len(lines(bottom)["before clipping"].get_xdata()) == len(run) - 2
    assert len(lines(top)["training (mean of 20 steps)"].get_xdata()) == len(run) - 1


def test_loss_curves_have_a_log_scale_where_asked():
    curve = {"norm": (np.arange(1, 4), np.array([0.01, 1.0, 100.0]))}
    assert plots.loss_curves(curve, "Norms").axes[0].get_yscale() == "linear"
    assert plots.loss_curves(curve, "Norms", log=True).axes[0].get_yscale() == "log"


def test_a_legend_of_many_curves_stands_beside_them():
    curves = {str(k): (np.arange(2), np.ones(2)) for k in range(9)}
    figure = plots.loss_curves(curves, "Nine")
    figure.draw_without_rendering()
    axis = figure.axes[0]
    assert axis.get_legend().get_window_extent().x0 >= axis.get_window_extent().x1


def heat_map(figure):
    mesh = figure.axes[0].collections[0]
    return mesh.get_array(), mesh.get_coordinates()[0, :, 0]


def test_norms_over_time_are_drawn_step_by_step():
    values, edges = heat_map(FIGURES["norms_over_time"]())
    assert values.filled(0).tolist() == [[1.0, 0.0, 3.0], [1.0, 1.0, 1.0]]
    assert edges.tolist() == [0.5, 1.5, 3.5, 4.5]


def test_of_many_steps_a_single_spike_stays_in_the_heat_map():
    steps, norms = np.arange(1, 2002), np.ones(2001)
    norms[1234], norms[50:70], norms[80] = 50.0, np.nan, np.nan
    values, edges = heat_map(plots.norms_over_time(steps, {"output": norms}, "Norms", "norm"))
    assert values.shape[1] <= 400
    where = values[0].argmax()
    assert values[0, where] == 50 and edges[where] < 1235 < edges[where + 1]
    assert (edges[0], edges[-1]) == (0.5, 2001.5)
    grey = edges[:-1][values.mask[0]]
    assert len(grey) >= 2 and grey.min() > 50 and grey.max() < 71


def test_norms_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="no value is finite and above 0"):
        plots.norms_over_time(np.arange(3), {"a": np.array([np.nan, 0, np.inf])}, "Norms", "norm")


def test_the_loss_surface_shows_the_losses_and_the_paths_within_its_edges():
    axis = FIGURES["loss_surface"]().axes[0]
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 1), (2, 3))
    assert lines(axis)["plain"].get_xydata()[:2].tolist() == [[0.1, 2.1], [1e30, 2.5]]
    assert lines(axis)["start"].get_xydata().tolist() == [[0.1, 2.1]]
    levels = axis.collections[0].levels
    assert (levels[0], levels[-1]) == pytest.approx((19e-3, 19))


def test_the_clip_sweep_shows_every_run_and_the_mean_of_those_that_did_not_diverge():
    axis = FIGURES["clip_sweep"]().axes[0]
    drawn = lines(axis)
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0.1", "1", "no\nclipping"]
    places = axis.get_xticks()
    assert places[:2].tolist() == [0.1, 1.0] and places[2] > 1
    assert drawn["mean"].get_ydata().compressed().tolist() == [2.6, 2.0]
    assert drawn["one seed"].get_ydata().compressed().tolist() == [2.5, 2.7, 2.0]
    assert drawn["diverged (not in the mean)"].get_xdata().tolist() == places[1:].tolist()
    assert [text.get_text() for text in axis.texts] == ["1 of 2", "2 of 2"]
    assert set(drawn["suggested: 0.5"].get_xdata()) == {0.5}


def test_a_clip_sweep_in_which_nothing_diverged_has_no_crosses():
    axis = plots.clip_sweep([1.0, 0.1, np.inf], [[2.0], [3.0], [4.0]], "Fine", 0.5).axes[0]
    assert lines(axis)["mean"].get_ydata().tolist() == [3.0, 2.0, 4.0]
    assert set(lines(axis)) == {"mean", "one seed", "suggested: 0.5"}
    assert axis.get_yscale() == "linear"


def test_a_clip_sweep_with_losses_far_apart_is_drawn_on_a_log_scale():
    axis = plots.clip_sweep([1.0, None], [[2.0], [90.0]], "Far", xlabel="share").axes[0]
    assert axis.get_yscale() == "log" and axis.get_xlabel() == "share (log scale)"
    assert set(lines(axis)) == {"mean", "one seed"}


def test_a_broken_run_has_its_legends_beside_the_curves():
    figure = FIGURES["broken_run"]()
    plots.png(figure)
    for axis in figure.axes:
        assert axis.get_legend().get_window_extent().x0 >= axis.get_window_extent().x1
    assert "It breaks, 100 steps" in figure.get_label()


def test_log_curves_have_plain_labels_and_a_mark():
    figure = FIGURES["log_curves"]()
    plots.png(figure)
    (axis,) = figure.axes
    assert axis.get_yscale() == "log"
    assert {"0.1", "1", "10"} <= {text.get_text() for text in axis.get_yticklabels()}
    assert set(lines(axis)["step 2"].get_xdata()) == {2}


def test_products_below_the_floor_are_drawn_on_it_and_said():
    (axis,) = FIGURES["jacobian_products"]().axes
    assert lines(axis)["gone"].get_ydata().tolist() == [1e-3, 1e-12]
    assert [text.get_text() for text in axis.texts] == ["1e-12 or less"]
    (axis,) = plots.jacobian_products({"new": np.array([1.0, 0.1])}).axes
    assert not axis.texts


def test_a_cliff_is_drawn_close_up_and_whole_with_its_marks():
    figure = FIGURES["cliff"]()
    plots.png(figure)
    near, whole = figure.axes
    assert near.get_xlim()[0] > -0.5
    assert near.get_xlim()[1] == 3 and whole.get_xlim()[1] > 9
    for axis in (near, whole):
        drawn = lines(axis)
        assert drawn["loss of the batch"].get_ydata()[[0, 1, 3]].tolist() == [6, 4, 12]
        assert drawn["clipped"].get_xydata().tolist() == [[1, 5]]
    assert "lowest at a distance of 0.5" in figure.get_label()
    assert "not clipped: 12 at 9" in figure.get_label()


def test_each_patient_has_a_panel_and_a_colour_of_its_own():
    axes = FIGURES["patients"]().axes
    assert [axis.get_title() for axis in axes[:4]] == [f"patient-{k}" for k in range(1, 5)]
    for k, axis in enumerate(axes[:4], start=1):
        own = [line for line in axis.get_lines() if line.get_color() == plots.BLUE]
        assert len(own) == 1 and len(own[0].get_xdata()) == 5 + k
        assert len(axis.get_lines()) == 4


OF_CHAPTER_06 = (
    *("loss_and_gradient_by_epoch", "norms_over_time", "loss_surface", "clip_sweep"),
    *("training_moment", "broken_run", "log_curves", "jacobian_products", "cliff", "patients"),
)


@pytest.mark.parametrize("name", OF_CHAPTER_06)
def test_figures_of_chapter_06_say_what_they_show(name):
    said = FIGURES[name]().get_label()
    assert len(said) >= 40 and "nan" not in said and "\n" not in said


def test_a_clip_sweep_says_its_means_and_what_diverged():
    said = FIGURES["clip_sweep"]().get_label()
    assert said.endswith("0.1: 2.6; 1: 2, 1 diverged; no clipping: 2 diverged.")


def test_a_surface_of_one_power_of_ten_has_plain_labels_on_its_bar():
    grid = np.linspace(4, 19, 20).reshape(5, 4)
    path = {"plain": np.array([[0.0, 2.0], [30.0, 2.5]])}
    figure = plots.loss_surface(np.arange(4), np.arange(5), grid, path, "Low", "w", "b")
    plots.png(figure)
    bar = figure.axes[1]
    assert {"5", "10"} <= {text.get_text() for text in bar.get_yticklabels()}
    assert "plain: from (0, 2) to (30, 2.5) in 1 steps" in figure.get_label()


def test_a_training_moment_names_the_parts_that_stand_out():
    said = FIGURES["training_moment"]().get_label()
    assert said == (
        "Step 10: loss 1.26, gradient norm 3; longest gradient in output, 3; largest update in "
        "output, 0.05; most values near 0 in layer 1 · forget gate, 0.25; most values near 1 in "
        "layer 1 · forget gate, 0.5."
    )


def widths(axis):
    """The lengths of an axis's bars, label -> one for each bar."""
    return {bars.get_label(): [b.get_width() for b in bars] for bars in axis.containers}


def test_a_training_moment_shows_the_numbers_of_its_step():
    loss, norm, gradient, update, gates = plots.training_moment(recorded(), 10).axes
    assert loss.get_title() == "step 10: loss 1.26"
    assert norm.get_title() == "step 10: gradient norm 3"
    for axis in (loss, norm):
        assert any(set(line.get_xdata()) == {10} for line in axis.get_lines())
    assert [t.get_text() for t in gradient.get_yticklabels()] == list(PARTS)
    assert widths(gradient) == {"before clipping": [1.0, 0.2, 3.0], "after": [0.5, 0.1, 1.5]}
    bars = update.containers[0]
    assert [b.get_width() for b in bars][1:] == [2e-3, 5e-2]
    assert set(lines(update)["rule of thumb: 0.001"].get_xdata()) == {1e-3}
    assert widths(gates) == {"near 0": [0.25], "near 1": [-0.5]}
    near_0, near_1 = (bars[0] for bars in gates.containers)
    assert near_0.get_x() == 0 and near_1.get_x() == 1  # from the left, and from the right


def test_the_scales_of_training_moments_are_those_of_the_whole_run():
    run = recorded()
    limits = [[a.get_xlim() for a in plots.training_moment(run, k).axes[2:]] for k in (1, 20)]
    assert limits[0] == limits[1]
    assert limits[0][0] == pytest.approx((0.05 / 2, 3.0 * 2))


def test_a_cell_without_gates_has_no_panel_for_them():
    titles = [axis.get_title() for axis in plots.training_moment(recorded(gates=False), 10).axes]
    assert titles[2:] == ["gradient", "update"]


@pytest.mark.parametrize(
    ("step", "said"), [(6, "this step was skipped"), (7, "nothing was recorded")]
)
def test_a_moment_without_diagnostics_says_so(step, said):
    axes = plots.training_moment(recorded(), step).axes
    assert [[t.get_text() for t in a.texts] for a in axes] == [[], []] + [[said]] * 3
    assert axes[0].get_title() == f"step {step}: loss {'not finite' if step == 6 else '1.51'}"


def test_a_moment_of_a_history_without_any_diagnostics_still_shows_the_loss():
    figure = plots.training_moment(history(), 3)
    plots.png(figure)
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 100


def test_a_step_that_is_not_in_the_history_is_refused():
    with pytest.raises(ValueError, match="no step 101; choose one of its 100"):
        plots.training_moment(history(), 101)


def test_draws_show_in_orange_what_sampling_draws():
    rng = np.random.default_rng(0)
    for u in (0.0, 0.3, 0.62, 0.999):
        rows = {f"τ = {k}": rng.dirichlet(np.ones(9)) for k in range(3)}
        axis = plots.draws("abcdefghi", rows, u).axes[0]
        orange = [
            bar for bar in axis.patches if to_hex(bar.get_facecolor()).upper() == plots.ORANGE
        ]
        chosen = [draw(np.log(p), u) for p in rows.values()]
        expected = [p[i] for p, i in zip(rows.values(), chosen, strict=True)]
        assert [bar.get_width() for bar in orange] == pytest.approx(expected)
        assert all(bar.get_x() <= u < bar.get_x() + bar.get_width() for bar in orange)


def test_pieces_end_where_the_sums_do_and_orange_is_what_sampling_draws():
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(9)))
    taus = np.linspace(0, 2, 21)
    p = np.exp([apply_temperature(log_p, tau) for tau in taus])  # (21, 9)
    figure = plots.pieces_by_temperature("abcdefghi", taus, p, 0.62, (0.5, 2), most=4)
    axis = figure.axes[0]
    first = axis.collections[0].get_paths()[0].vertices
    assert first[:, 0].max() == 1 and first[:, 0].min() == 0
    assert p[-1].max() in first[:, 0]
    named = [text.get_text() for text in axis.texts if getattr(text, "xy", (0,))[0] == 0.62]
    assert named == ["abcdefghi"[draw(np.log(p[k]), 0.62)] for k in (5, 20)]
    colors = [to_hex(area.get_facecolor()[0]).upper() for area in axis.collections]
    drawn = {int(draw(np.log(row), 0.62)) for row in p[1:]} | {int(p[0].argmax())}
    filled = [area for area in axis.collections if len(area.get_paths())]
    assert colors.count(plots.ORANGE) >= len(drawn) == len(filled) - 4


def test_measures_show_the_points_their_errors_and_real_text():
    axis = plots.measures_by_temperature(
        [0.5, 1.0],
        {"novelty": (np.array([0.1, 0.5]), np.array([0.01, 0.1]))},
        {"novelty": 0.4},
        (0, 1),
    ).axes[0]
    points, bars = axis.containers[0].lines[0], axis.containers[0].lines[2][0]
    assert points.get_xydata().tolist() == [[0.5, 0.1], [1.0, 0.5]]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([0.09, 0.11]),
        pytest.approx([0.4, 0.6]),
    ]
    assert set(lines(axis)["held-out text"].get_ydata()) == {0.4}


def test_curves_of_the_temperature_chapter_hold_what_they_are_given():
    x, y = np.array([0.1, 0.5]), np.array([1.0, 0.8])
    points, errors = np.stack([x, y], axis=1), np.array([[0.01, 0.02], [0.03, 0.04]])
    axis = plots.tradeoff({"top-k": (points, errors, ["3", "5"])}, (0.5, 0.9), "Title").axes[0]
    assert lines(axis)["top-k: 3, 5"].get_xydata().tolist() == [[0.1, 1.0], [0.5, 0.8]]
    across, upright = axis.containers[0].lines[2]
    assert np.array(across.get_segments())[:, :, 0] == pytest.approx(
        np.array([[0.09, 0.11], [0.47, 0.53]])
    )
    assert np.array(upright.get_segments())[:, :, 1] == pytest.approx(
        np.array([[0.98, 1.02], [0.76, 0.84]])
    )
    assert lines(axis)["held-out text"].get_xydata().tolist() == [[0.5, 0.9]]
    left, right = plots.loop(np.array([1.0, 0.1]), np.array([0.0, 1.0]), np.array([1.0, 0.2])).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.1]
    assert right.lines[0].get_xydata().tolist() == [[0.0, 1.0], [1.0, 0.2]]
    axis = plots.entropy_by_temperature(x, {"after a": y}, 1.1).axes[0]
    assert lines(axis)["after a"].get_xydata().tolist() == [[0.1, 1.0], [0.5, 0.8]]


def test_shaded_texts_break_lines_and_shade_by_surprise():
    p = np.array([1.0, np.exp(-2), 1.0, np.exp(-6), 1.0])
    axis = plots.shaded_texts({"τ = 1": ("ab\ncd", p)}, 12).axes[0]
    places = {text.get_text(): text.get_position() for text in axis.texts}
    assert places == {"a": (0, 0), "b": (1, 0), "c": (0, 1), "d": (1, 1)}
    shades = axis.images[0].get_array()
    assert shades.shape == (2, 12)
    assert shades[0, :2].tolist() == [0, 2] and shades[1, :2].tolist() == pytest.approx([6, 0])
    long = plots.shaded_texts({"τ = 1": ("abcdefg", np.ones(7))}, 3).axes[0]
    assert [text.get_position()[1] for text in long.texts] == [0, 0, 0, 1, 1, 1, 2]
    words = plots.shaded_texts({"τ = 1": ("a bc def", np.ones(8))}, 5).axes[0]
    assert [text.get_position()[1] for text in words.texts] == [0, 0, 0, 0, 0, 1, 1, 1]
    broken = plots.shaded_texts({"τ = 1": ("ab cdef", np.ones(7))}, 5).axes[0]
    assert [text.get_position()[::-1] for text in broken.texts][3:] == [(1, k) for k in range(4)]


def test_a_prefix_of_few_symbols_shows_each_of_them_and_the_depth():
    brackets = reading("(()))(", legal_places=4)
    depth, probabilities, mass = plots.prefix_reading(brackets, "Title").axes
    assert depth.get_title() == "Title"
    assert depth.get_lines()[0].get_ydata().tolist() == [0, 1, 2, 1, 0, -1, 0]
    drawn = lines(probabilities)
    for token, name in enumerate([".end", "(", ")"], 1):
        assert drawn[f"exact: {name}"].get_ydata().tolist() == brackets.exact[:, token].tolist()
        assert drawn[f"model: {name}"].get_ydata().tolist() == brackets.model[:, token].tolist()
    assert list(drawn)[::2] == ["exact: (", "exact: )", "exact: .end"]
    assert mass.get_lines()[0].get_ydata().tolist() == brackets.illegal_mass.tolist()
    assert mass.get_yscale() == "log"
    read = [label.get_text() for label in mass.get_xticklabels()]
    assert read == [".start", *"(()))("]
    for axis in (depth, probabilities, mass):
        (grey,) = axis.patches
        assert (grey.get_x(), grey.get_width()) == (3.5, 3)
    assert not plots.prefix_reading(reading("(()))("), "Title").axes[0].patches


def test_a_prefix_of_many_symbols_shows_what_came_next():
    words = reading("a cab", characters=" abc")
    words.model[2] = [0, 0, 1, 0, 0, 0]  # nothing on what is illegal
    probabilities, mass = plots.prefix_reading(words, "Title").axes  # no bracket, no depth
    next_ids = [words.tokens.index(c) for c in "a cab"]
    drawn = lines(probabilities)
    assert list(drawn) == ["exact: what came next", "model: what came next"]
    assert drawn["exact: what came next"].get_ydata().tolist() == [
        words.exact[k, i] for k, i in enumerate(next_ids)
    ]
    assert drawn["model: what came next"].get_ydata().tolist() == [
        words.model[k, i] for k, i in enumerate(next_ids)
    ]
    heights = mass.get_lines()[0].get_ydata()
    assert heights[2] == 1e-6 and heights[3] == words.illegal_mass[3]
    assert [label.get_text() for label in mass.get_xticklabels()] == [".start", *"a␣cab"]


@pytest.mark.parametrize("length", [0, 70, 150])
def test_a_prefix_of_any_length_is_drawn(length):
    figure = plots.prefix_reading(reading("(" * length), "Title")
    figure.draw_without_rendering()
    assert figure.axes[-1].get_xlim() == (-0.5, length + 0.5)
    named = figure.axes[-1].get_xticklabels()[0].get_text() == ".start"
    assert named == (length <= 100)


def test_validity_shows_the_shares_and_their_intervals():
    left, right = FIGURES["validity_by_epoch"]().axes
    assert [axis.get_title() for axis in (left, right)] == ["τ = 0.5", "τ = 1"]
    complete, prefix = right.containers
    assert complete.lines[0].get_xydata().tolist() == [[1, 0], [2, 0.25], [5, 0.5]]
    assert prefix.lines[0].get_ydata().tolist() == [0.4, 0.5, 0]
    assert [each.get_label() for each in (complete, prefix)] == ["complete", "legal prefix"]
    bars = [segment[:, 1].tolist() for segment in complete.lines[2][0].get_segments()]
    assert bars == [pytest.approx(wilson_interval(count, 100)) for count in (0, 25, 50)]
    everything = left.containers[0].lines[2][0].get_segments()[-1][:, 1]
    assert everything.tolist() == pytest.approx(wilson_interval(100, 100))


def test_counting_shows_every_network_and_what_was_the_largest_in_training():
    left, right = FIGURES["counting"]().axes
    drawn = {bars.get_label(): bars for bars in left.containers}
    assert drawn["LSTM"].lines[0].get_xydata().tolist() == [[1, 1], [10, 0.9], [100, 0.2]]
    assert drawn["RNN"].lines[0].get_ydata().tolist() == [1, 0.4, 0]
    interval = drawn["RNN"].lines[2][0].get_segments()[1][:, 1]
    assert interval.tolist() == pytest.approx(wilson_interval(4, 10))
    assert set(lines(left)["largest in training"].get_xdata()) == {60}
    assert set(lines(right)["largest in training"].get_xdata()) == {4}
    assert (left.get_xlabel(), right.get_xlabel()) == ("pairs", "depth")


def test_the_counter_shows_what_it_is_given_after_each_character():
    top, bottom = FIGURES["counter"]().axes
    assert lines(top)["depth"].get_ydata().tolist() == [1, 2, 1, 0]
    probe = lines(top)["linear probe of the cell state"]
    assert probe.get_xydata().tolist() == [[1, 0.9], [2, 2.1], [3, 1.0], [4, 0.1]]
    assert lines(bottom)["unit 7"].get_xydata().tolist() == [[1, 0], [2, 1], [3, 2], [4, 3]]


def test_machines_have_the_states_and_probabilities_of_the_languages():
    top, bottom = FIGURES["automata"]().axes
    shown = [text.get_text() for text in top.texts]
    assert {f"{word} 1/4" for word in NDFA.WORDS} | {f"{word} 3/4" for word in NDFA.WORDS} < set(
        shown
    )
    assert shown.count("s 1/4") == 4 and NDFA.STOP == 1 / 4
    assert [text.get_text() for text in bottom.texts].count("( 7/16") == 3
    assert Brackets.OPEN == 7 / 16


def test_gaps_of_ngram_models_have_a_floor_that_the_scale_names():
    axis = FIGURES["ngram_gaps"]().axes[0]
    assert lines(axis)["ndfa"].get_xydata().tolist() == [[1, 900], [2, 2], [3, 0.01]]
    assert axis.get_yscale() == "log"
    assert axis.get_yticklabels()[0].get_text() == "0.01\nor less"


def test_training_has_a_point_for_each_epoch():
    top, bottom = FIGURES["training_by_epoch"]().axes
    losses = np.array([4.0 / i**0.5 for i in range(1, 101)]).reshape(4, 25)
    drawn = lines(top)["training, mean of the epoch"]
    assert drawn.get_xdata().tolist() == [1, 2, 3, 4]
    assert drawn.get_ydata() == pytest.approx(losses.mean(1))
    assert lines(top)["validation"].get_xdata().tolist() == [1, 2, 3, 4]
    assert set(lines(top)["floor"].get_ydata()) == {0.3}
    assert lines(bottom)["median of the epoch"].get_ydata().tolist() == [0.5] * 4


def test_layers_are_counted_from_the_input():
    axis = FIGURES["layer_gradients"]().axes[0]
    assert lines(axis)["3 layers"].get_xydata().tolist() == [[1, 1e-6], [2, 1e-4], [3, 0.1]]
    assert set(lines(axis)["a weight's gradient is Adam's ε"].get_ydata()) == {1e-5}


def test_an_end_that_comes_too_soon_stands_beside_the_deepest_in_training():
    axis = FIGURES["ending_too_soon"]().axes[0]
    assert lines(axis)["network, one bracket still open"].get_ydata().tolist() == [0, 0.1, 0.6]
    assert set(lines(axis)["deepest in training"].get_xdata()) == {2}


@pytest.mark.parametrize("name", CH08)
def test_figures_of_formal_languages_say_in_words_what_they_show(name):
    assert len(FIGURES[name]().get_label()) >= 40


# Whatever a user's text, files and titles are called

NASTY = r"$\frac{a}$ \$5 \x ^ $_{ 北京 مرحبا"


def named(text):
    """Every figure that shows a text of its caller's, with this text wherever there is one."""
    x, y, one, validity = np.arange(2.0), np.array([1.0, 2.0]), np.ones(1), [Validity(1, 1, 1)]
    tokens, p = [text[0], "$", "\\", "_"], np.array([0.4, 0.3, 0.2, 0.1])
    run = recorded()
    for row in run.rows:
        for part in (row.get("diagnostics") or {}).values():
            part |= {text: part.pop(PARTS[0])} if PARTS[0] in part else {}
    letters = "a$b\\_$^"
    grid, path = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 1.0]])
    return {
        "units_along_text": lambda: plots.units_along_text(letters, {text: np.zeros(7)}),
        "scores_with_controls": lambda: plots.scores_with_controls(
            {text: {text: {text: (1.0, 0.5, 1.5)}}}, text, text, 0
        ),
        "reach_curves": lambda: plots.reach_curves({text: (x, y)}, {text: (x, y)}, text),
        "time_constants": lambda: plots.time_constants({text: (y, y)}, text),
        "loss_and_gradient": lambda: plots.loss_and_gradient(history(), {text: 1.0}, text),
        "loss_and_gradient_by_epoch": lambda: plots.loss_and_gradient_by_epoch(
            by_epochs(), 40, 5.0, {text: 1.0}, text
        ),
        "character_counts": lambda: plots.character_counts(Counter(text), Counter(letters)),
        "windows_and_streams": lambda: plots.windows_and_streams(letters, 3, 1, 1, 4),
        "one_step": lambda: plots.one_step(tokens, "$", y, x[[0, 0, 1, 1]], text[0]),
        "against_baselines": lambda: plots.against_baselines(history(), {text: 1.0}),
        "temperature_bars": lambda: plots.temperature_bars(tokens, {1.0: p}),
        "unrolled": lambda: plots.unrolled(letters),
        "step_sizes": lambda: plots.step_sizes(y, {text: y}, 1.0, text),
        "stretched_circle": lambda: plots.stretched_circle({text: np.eye(2)}),
        "loss_curves": lambda: plots.loss_curves({text: (x, y)}, text, text, text, {text: 1.0}),
        "ranked": lambda: plots.ranked({text: [1.0]}, text, text),
        "seen_and_unseen": lambda: plots.seen_and_unseen({text: (1.0, 1.2)}, text, text),
        "step_parts": lambda: plots.step_parts(
            {text: {"parts_ms": {text: 1.0}, "ms_at_ceiling": 0.5}}, text
        ),
        "gradient_against_lag": lambda: plots.gradient_against_lag({text: y}),
        "gates": lambda: plots.gates("$\\", {text: y[None]}),
        "dropout_places": lambda: plots.dropout_places({text: (True, False)}),
        "distributions": lambda: plots.distributions(tokens, {text: p}, text),
        "training_speeds": lambda: plots.training_speeds({text: SPEEDS}),
        "norms_over_time": lambda: plots.norms_over_time(x, {text: y}, text, text),
        "loss_surface": lambda: plots.loss_surface(x, x, grid, {text: path}, text, text, text),
        "clip_sweep": lambda: plots.clip_sweep([1.0], [[1.0]], text, 1.0, text),
        "training_moment": lambda: plots.training_moment(run, 10),
        "broken_run": lambda: plots.broken_run(history(), {text: 1.0}, text),
        "log_curves": lambda: plots.log_curves({text: (x, y)}, text, text, text, 1.0),
        "jacobian_products": lambda: plots.jacobian_products({text: y}),
        "cliff": lambda: plots.cliff(x, y, {text: (0.0, 1.0)}, text, 1.0),
        "patients": lambda: plots.patients({text: history()}),
        "entropy_by_temperature": lambda: plots.entropy_by_temperature(x, {text: y}, 1.0),
        "draws": lambda: plots.draws(tokens, {text: p}, 0.5),
        "pieces_by_temperature": lambda: plots.pieces_by_temperature(tokens, x, [p, p], 0.5, [1]),
        "shaded_texts": lambda: plots.shaded_texts({text: (letters, np.ones(len(letters)))}),
        "measures_by_temperature": lambda: plots.measures_by_temperature(
            one, {text: (one, one)}, {text: 1.0}, (0, 1)
        ),
        "tradeoff": lambda: plots.tradeoff({text: ([y], [y], [text])}, (0.5, 0.5), text),
        "validity_by_epoch": lambda: plots.validity_by_epoch([1], {1.0: validity}, text),
        "counting": lambda: plots.counting({text: ([1], {text: [1]})}, 1, {text: 1}),
        "automata": lambda: plots.automata(text),
        "ngram_gaps": lambda: plots.ngram_gaps({text: y}, text),
        "training_by_epoch": lambda: plots.training_by_epoch(history(), 25, 0.3, text),
        "layer_gradients": lambda: plots.layer_gradients({text: y}, text, 1e-5),
        "ending_too_soon": lambda: plots.ending_too_soon(x, y, 1, text),
        "counter": lambda: plots.counter("()", y, y, y, text),
        "resampled_intervals": lambda: plots.resampled_intervals({text: [INTERVAL]}, 1.0, text),
        "novelty_by_length": lambda: plots.novelty_by_length({text: y}, 1),
        "reliability_diagrams": lambda: plots.reliability_diagrams(
            {text: (reliability(*PREDICTED), calibration(*PREDICTED, block=5, draws=9))}
        ),
        "measures_and_cheats": lambda: plots.measures_and_cheats(
            {text: {text: INTERVAL, "copy": INTERVAL}}, {text: {"copy": 0}}, {text: 1}
        ),
        "quality_and_diversity": lambda: plots.quality_and_diversity(
            [(INTERVAL, INTERVAL)], [text], {text: (INTERVAL, INTERVAL)}, text, text
        ),
        "two_sample_by_temperature": lambda: plots.two_sample_by_temperature(
            [1.0], {text: [INTERVAL]}, {text: {text: 0.5}}
        ),
        "reader_scores": lambda: plots.reader_scores([text], [INTERVAL], 3),
        "reader_agreement": lambda: plots.reader_agreement({text: INTERVAL}),
        "time_by_size": lambda: plots.time_by_size([1, 2], {text: [1.0, 2.0]}),
        "prefix_reading": lambda: plots.prefix_reading(reading("$\\_", characters="$\\_"), text),
        "curves_of_cases": lambda: plots.curves_of_cases({text: Curve(y, y, y, text)}, text, 3.0),
        "text_map": lambda: plots.text_map(audit(MIXED), text),
        "change_by_change": lambda: plots.change_by_change([(text, 2.0, 1.0, 1)], text),
        "cases_measured": lambda: plots.cases_measured(
            {text: {text: {text: (1.0, 0.5, 2.0)}}}, {text: text}, text
        ),
    }


def texts_of(figure):
    """What stands in a figure, as it is drawn."""
    return [text._preprocess_math(text.get_text())[0] for text in figure.findobj(Text)]


@pytest.mark.parametrize("name", named(NASTY))
@pytest.mark.filterwarnings("ignore:No font of this machine")
def test_what_a_caller_names_is_drawn_as_it_is_and_no_formula(name, monkeypatch):
    formulas, parse = [], MathTextParser.parse

    def noted(self, text, *args, **kwargs):
        formulas.append(text)
        return parse(self, text, *args, **kwargs)

    monkeypatch.setattr(MathTextParser, "parse", noted)
    figure = named(NASTY)[name]()
    figure.savefig(io.BytesIO(), format="png")
    # The ticks of log scales are formulas, and the arrows of an unrolled RNN.
    ours = [each for each in formulas if "mathdefault" not in each]
    assert [each for each in ours if name != "unrolled" or not each.startswith(ARROWS)] == []
    shown = NASTY if style._has_glyph("北") else NASTY.replace("北京", "□□")
    drawn = texts_of(figure)
    if name not in NO_NAMES:
        assert any(shown in each for each in drawn)
    if name not in NO_CHARACTERS:
        assert "$" in drawn


ARROWS = ("$h_{", "$W_", "$dz", "$(p-y)")
CHARACTERS = ("character_counts", "windows_and_streams", "temperature_bars", "unrolled")
NO_NAMES = {*CHARACTERS, "one_step", "pieces_by_temperature"}
NO_CHARACTERS = set(FIGURES) - {
    *(*CHARACTERS, "gates", "one_step"),
    *("distributions", "draws", "shaded_texts", "prefix_reading", "units_along_text"),
}


def test_every_figure_is_named_so_or_shows_nothing_of_its_caller():
    fixed = {"ngram_losses", "clipping", "loop", "lstm_cell", "number_formats", "asynchronous"}
    fixed |= {"plan_and_run"}
    assert set(named(NASTY)) == set(FIGURES) - fixed


def test_a_name_that_begins_with_an_underscore_stays_in_the_legend():
    figure = plots.loss_curves({"_mine": (np.arange(2), np.ones(2)), "": ([1], [1])}, "t")
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.strip("\u200b") for text in shown] == ["_mine", ""]


LONG = "a name that goes on " * 500


@pytest.mark.parametrize("name", named(LONG))
def test_long_names_are_cut_and_leave_the_axes_their_room(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An old matplotlib calls NumPy as a new one no longer allows; no reader sees that.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="matplotlib")
        figure = named(LONG)[name]()
        figure.savefig(io.BytesIO(), format="png")
    for axis in figure.axes:
        box = axis.get_window_extent()
        if axis.get_label() != "<colorbar>":
            assert box.width > 30 and box.height > 30
    assert all(len(text) < 250 for text in texts_of(figure))


STRANGE = "\0\ud800\t\x0b\u202e\u0301\U000e0067\ue000"


def test_a_character_that_cannot_be_seen_has_a_name_or_its_code_point():
    shown = [style.visible(c) for c in "a \n" + STRANGE]
    points = ["U+0000", "U+D800", "\\t", "U+000B", "U+202E", "◌\u0301", "U+E0067", "U+E000"]
    assert shown == ["a", "␣", "\\n", *points]
    assert style.visible(".a\t$") == ".a\\t\\$"


def test_what_no_font_has_is_a_box_and_one_warning_says_so(monkeypatch):
    has_glyph = style._has_glyph
    monkeypatch.setattr(style, "_has_glyph", lambda c: c not in "北京" and has_glyph(c))
    with pytest.warns(UserWarning, match="No font of this machine has some .* Noto Sans CJK"):
        figure = plots.loss_curves({"北京": (np.arange(2), np.ones(2))}, "京 a\tb")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib has nothing to warn of
        figure.savefig(io.BytesIO(), format="png")
    assert {"□□", "□ a b"} <= set(texts_of(figure))
    axis = plots.character_counts({"北": 2, "a": 1}, {"a": 1}).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["U+5317", "a"]


def test_a_font_of_the_machine_fills_in_for_what_the_first_lacks():
    assert style._has_glyph("a") and not style._has_glyph("北" if len(FONTS) == 1 else "\ue000")
    assert FONTS[0] == "sans-serif" and all(name in style._installed for name in FONTS[1:])


FONTS = style.rcParams["font.family"]


def test_of_thousands_of_characters_the_most_frequent_are_drawn():
    counts = {chr(0x4E00 + k): 6000 - k for k in range(6000)}
    axis = plots.character_counts(counts, counts).axes[0]
    assert axis.get_title() == "raw: 6000 distinct characters; the 150 most frequent"
    assert len(axis.patches) == 150


# Numbers that cannot be drawn


def with_rows(**columns):
    """A history of the rows that these columns have."""
    steps = range(1, 1 + max(map(len, columns.values())))
    names = ("loss", "grad_norm", "clipped_norm")
    rest = {"valid_loss": None}
    return History(
        {"step": k} | rest | {n: columns.get(n, [1.0] * len(steps))[k - 1] for n in names}
        for k in steps
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [[], [1.0], [np.nan], [np.inf, 2.0], [None], [0.0], [1e308, 1e-320], [-1.0, np.nan, 3.0]],
    ids=str,
)
def test_histories_are_drawn_whatever_is_in_them(values):
    for name in ("loss", "grad_norm"):
        run = with_rows(**{name: values})
        plots.png(plots.loss_and_gradient(run))
        if values:
            plots.png(plots.training_moment(run, len(values)))


def test_a_loss_that_is_no_number_leaves_a_gap_and_the_mean_goes_on():
    top = plots.loss_and_gradient(with_rows(loss=[4.0, np.nan, 2.0])).axes[0]
    assert lines(top)["training (mean of 20 steps)"].get_xydata().tolist() == [[1, 4], [3, 3]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, None])
def test_a_moment_is_drawn_whatever_was_measured(value):
    run = recorded()
    for row in run.rows:
        for name, found in (row.get("diagnostics") or {}).items():
            row["diagnostics"][name] = dict.fromkeys(found, value)
    plots.png(plots.training_moment(run, 10))


NOTHING = {
    "loss_curves": lambda: plots.loss_curves({}, "t"),
    "ranked": lambda: plots.ranked({}, "t"),
    "seen_and_unseen": lambda: plots.seen_and_unseen({}, "t"),
    "step_parts": lambda: plots.step_parts({}),
    "asynchronous": lambda: plots.asynchronous(calls=0),
    "gradient_against_lag": lambda: plots.gradient_against_lag({}),
    "gates": lambda: plots.gates("", {}),
    "one_step": lambda: plots.one_step([], "a", [1.0], [], "a"),
    "one_step, no unit": lambda: plots.one_step(["a"], "a", [], [1.0], "a"),
    "against_baselines": lambda: plots.against_baselines(history(), {}),
    "against_baselines, no loss": lambda: plots.against_baselines(history(10), {"a": 1.0}),
    "temperature_bars": lambda: plots.temperature_bars(["a"], {}),
    "distributions": lambda: plots.distributions(["a"], {}, "t"),
    "clipping": lambda: plots.clipping([], 1.0),
    "dropout_places": lambda: plots.dropout_places({}),
    "training_speeds": lambda: plots.training_speeds({}),
    "norms_over_time": lambda: plots.norms_over_time(np.array([]), {}, "t", "l"),
    "step_sizes": lambda: plots.step_sizes(np.array([]), {}, 1.0),
    "stretched_circle": lambda: plots.stretched_circle({}),
    "loss_surface": lambda: plots.loss_surface([1, 2], [1, 2], np.zeros((2, 2)), {}, "", "", ""),
    "clip_sweep": lambda: plots.clip_sweep([], [], "t"),
    "clip_sweep, no seed": lambda: plots.clip_sweep([1.0], [[]], "t"),
    "log_curves": lambda: plots.log_curves({}, "t"),
    "jacobian_products": lambda: plots.jacobian_products({}),
    "cliff": lambda: plots.cliff(np.array([]), np.array([]), {}, "t", 1.0),
    "patients": lambda: plots.patients({}),
    "draws": lambda: plots.draws(["a"], {}, 0.5),
    "pieces_by_temperature": lambda: plots.pieces_by_temperature(["a"], [], np.ones((0, 1)), 0.5),
    "shaded_texts": lambda: plots.shaded_texts({}),
    "measures_by_temperature": lambda: plots.measures_by_temperature([], {}, {}, (0, 1)),
    "validity_by_epoch": lambda: plots.validity_by_epoch([], {}, "t"),
    "counting": lambda: plots.counting({}, 1, {}),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_draw_is_said(name):
    with pytest.raises(ValueError, match="There is nothing to draw: "):
        NOTHING[name]()


WRONG = {
    "'b' is none of the tokens": lambda: plots.one_step(["a"], "b", [1.0], [1.0], "a"),
    "9 tokens": lambda: plots.one_step(list("abcdefghi"), "a", [1.0], [1.0] * 9, "a"),
    "logits must be 2": lambda: plots.one_step(["a", "b"], "b", [1.0], [1.0, np.inf], "a"),
    "has 2000 characters": lambda: plots.windows_and_streams("ab" * 1000, 8, 3, 2, 4),
    "has 4 characters; give from 9": lambda: plots.windows_and_streams("abcd", 8, 3, 2, 4),
    "step is 0": lambda: plots.windows_and_streams("abcdefghij", 8, 0, 2, 4),
    "has 1 characters": lambda: plots.unrolled("a"),
    "has 21 characters": lambda: plots.unrolled("a" * 21),
    "13 histories": lambda: plots.patients({str(k): history(2) for k in range(13)}),
    "8 marks": lambda: plots.cliff([0, 1], [1, 2], {str(k): (0, 1) for k in range(8)}, "t", 1.0),
    "200 curves": lambda: plots.loss_curves({str(k): ([1], [1]) for k in range(200)}, "t"),
    "3000 entries": lambda: plots.ranked({str(k): [1.0] for k in range(3000)}, "t"),
    "top is nan": lambda: plots.loss_curves({"a": ([1], [1])}, "t", top=np.nan),
    "must be (units, 3)": lambda: plots.gates("abc", {"gate": np.ones((2, 2))}),
    "5 layers and 3 steps": lambda: plots.dropout_places({"a": (True, True)}, layers=5),
    "2 layers and 0 steps": lambda: plots.dropout_places({"a": (True, True)}, steps=0),
    "A gradient is NaN": lambda: plots.clipping([(np.nan, 1.0)], 1.0),
    "limit is inf": lambda: plots.clipping([(1.0, 1.0)], np.inf),
    "'a' was not measured in bfloat16": lambda: plots.training_speeds({"a": SPEEDS}, "bfloat16"),
    "needs 2 by 2": lambda: plots.loss_surface([1], [1], np.ones((1, 1)), {}, "t", "x", "y"),
    "A clip value is 0.0": lambda: plots.clip_sweep([0.0, 1.0], [[1.0], [1.0]], "t"),
    "suggestion is nan": lambda: plots.clip_sweep([1.0], [[1.0]], "t", np.nan),
    "must be 2 by 2": lambda: plots.stretched_circle({"a": np.eye(3)}),
    "room for 1 to 10 steps": lambda: plots.stretched_circle({"a": np.eye(2)}, 11),
    "A step is not finite": lambda: plots.step_sizes([1.0, 0.0], {}, 1.0),
    "u is 1.0": lambda: plots.draws(["a"], {"p": np.ones(1)}, 1.0),
    "u is -0.5": lambda: plots.pieces_by_temperature(["a"], [1.0], np.ones((1, 1)), -0.5),
    "width is 0": lambda: plots.shaded_texts({"a": ("ab", np.ones(2))}, 0),
    "has 201 lines": lambda: plots.shaded_texts({"a": ("\n" * 200, np.ones(200))}),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_a_figure_has_no_room_or_no_meaning_for_is_said(said):
    with pytest.raises(ValueError) as raised:
        WRONG[said]()
    assert said in str(raised.value)


ODD = {
    "step": lambda: plots.one_step(["a", "b"], "b", [1.0, np.nan], [900.0, 0.0], "b"),
    "baselines": lambda: plots.against_baselines(history(), {"a": np.nan, "b": np.inf}),
    "one point": lambda: plots.loss_curves({"a": ([1], [1.0])}, "t"),
    "no point": lambda: plots.loss_curves({"a": ([], [])}, "t"),
    "nothing finite": lambda: plots.loss_curves({"a": ([1, 2], [np.nan, np.inf])}, "t", log=True),
    "nothing above 0": lambda: plots.loss_curves({"a": ([1, 2], [0.0, -1.0])}, "t", log=True),
    "None": lambda: plots.loss_curves({"a": ([1, 2], [None, 1.0])}, "t"),
    "too large": lambda: plots.loss_curves({"a": ([1, 2], [1e308, -1e308])}, "t"),
    "lags": lambda: plots.gradient_against_lag({"a": np.array([0.0, np.nan])}),
    "no count": lambda: plots.character_counts({}, {}),
    "counts of 0": lambda: plots.character_counts({"a": 0}, {"a": 0}),
    "gates": lambda: plots.gates("ab", {"x": np.array([[np.nan, np.inf]]), "y": np.zeros((1, 2))}),
    "flat surface": lambda: plots.loss_surface([1, 2], [1, 2], np.ones((2, 2)), {}, "t", "x", "y"),
    "all diverged": lambda: plots.clip_sweep([None], [[np.nan]], "t"),
    "one limit": lambda: plots.clip_sweep([None], [[1.0]], "t"),
    "no norm above 0": lambda: plots.jacobian_products({"a": np.array([0.0, np.nan, np.inf])}),
    "a curve at 0": lambda: plots.log_curves({"a": ([1, 2], [0.0, np.nan])}, "t", at=1),
    "no loss on a cliff": lambda: plots.cliff([0.0, 1.0], [np.nan, np.inf], {}, "t", 1.0),
    "patients without a loss": lambda: plots.patients({"a": with_rows(loss=[np.nan, 0.0])}),
    "loop": lambda: plots.loop(np.array([0.0, np.nan]), np.ones(1), np.zeros(1)),
    "no sample": lambda: plots.validity_by_epoch([1], {1.0: [Validity(0, 0, 0)]}, "t"),
    "no string": lambda: plots.counting({"a": ([1], {"b": [0]})}, 0, {"a": 1}),
    "no curve": lambda: plots.tradeoff({"a": ([], [], [])}, (0.5, 0.5), "t"),
    "orders": lambda: plots.ngram_losses([1.0, 2.0], [np.nan]),
    "steps": lambda: plots.step_sizes(np.ones(1), {"a": np.array([np.nan])}, 1.0),
    "p": lambda: plots.shaded_texts({"a": ("ab", [np.nan, 2.0])}),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("error")
def test_odd_numbers_are_drawn_without_a_word(name):
    plots.png(ODD[name]())


def test_a_figure_says_in_words_what_it_shows():
    figure = plots.loss_curves({"a": ([1, 2, 3], [4.0, 1.0, 2.0])}, "Two", baselines={"b": 1.5})
    said = figure.get_label()
    assert said == (
        "Two: loss (nats per character) by step. a from 4 to 2, between 1 and 4; b at 1.5."
    )
    _, metadata = style._png_with_alt(figure)
    assert metadata == {"alt": said}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], ""),
        ([np.nan], ""),
        ([2.0], "x 2"),
        ([1, np.inf, 3], "x from 1 to 3"),
        ([3, 2, 1], "x from 3 to 1"),
        ([2, 1, 3], "x from 2 to 3, between 1 and 3"),
    ],
)
def test_a_curve_in_words(values, words):
    assert style.in_words("x", values) == words


def test_one_step_shows_the_probabilities_of_its_logits_and_the_loss():
    drawn = texts_of(plots.one_step(["a", "b"], "b", [0.5], [math.log(3), 0.0], "a"))
    assert {"0.75", "0.25"} <= {text.strip() for text in drawn}
    assert any("ln 0.75 = 0.29" in text for text in drawn)


def test_what_a_network_gains_over_the_nearest_baseline_is_shown_close_up():
    figure = plots.against_baselines(history(), {"far": 4.5, "near": 0.5, "nearer": 0.4})
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([4.5, 0.5, 0.4, 0.41])
    assert set(lines(right)) == {"LSTM", "nearer"}
    low, high = right.get_ylim()
    assert low < 0.4 < 0.41 < high < 1
    assert figure.get_label().endswith("ends 0.01 above nearer.")


def test_streams_and_windows_share_no_colour():
    left, right = FIGURES["windows_and_streams"]().axes
    colors = [{to_hex(t.get_bbox_patch().get_facecolor()) for t in a.texts} for a in (left, right)]
    assert not colors[0] & colors[1]


def test_what_the_clean_text_lacks_is_orange():
    above, below = plots.character_counts({"a": 3, "b": 2, "\n": 1}, {"a": 3, "b": 2}).axes
    assert [to_hex(bar.get_facecolor()) == style.ORANGE.lower() for bar in above.patches] == [
        *(False, False, True)
    ]
    assert style.ORANGE.lower() not in {to_hex(bar.get_facecolor()) for bar in below.patches}


def test_a_stretched_circle_holds_the_images_of_its_points():
    W = np.array([[0.5, 1.0], [0.0, 2.0]])
    figure = plots.stretched_circle({"W": W, "W'": W.T}, steps=2)
    left, right = figure.axes
    curves = [line.get_xydata() for line in left.get_lines() if len(line.get_xydata()) == 200]
    assert len(curves) == 3
    np.testing.assert_allclose(np.linalg.norm(curves[0], axis=1), 1)
    np.testing.assert_allclose(curves[1], curves[0] @ W.T)
    np.testing.assert_allclose(curves[2], curves[0] @ (W @ W).T)
    dots = [line.get_xydata()[0] for line in right.get_lines() if len(line.get_xydata()) == 1]
    np.testing.assert_allclose(dots, [[1, 0], [0.5, 1], [0.25, 2.5]])
    long, short = np.linalg.svd(W @ W, compute_uv=False)
    assert f"W: after 2 steps half axes of {long:.2g} and {short:.2g}" in figure.get_label()


def test_step_sizes_say_which_step_is_best():
    figure = plots.step_sizes([1e-6, 1e-5], {"a": [1e-9, 1e-10], "b": [1.0, 2.0]}, 1e-5, "Two")
    assert "a is best at a step of 1e-05, 1e-10 off; b is best at" in figure.get_label()
    assert figure.axes[0].get_title() == "Two"


# Chapter 03


def test_upright_lines_stand_between_the_characters_of_the_gates():
    figure = plots.gates("abc", {"gate": np.ones((1, 3)), "state": np.ones((1, 3))}, lines=[1, 3])
    panels = [axis for axis in figure.axes if axis.images]
    found = [[line.get_xdata()[0] for line in axis.get_lines()] for axis in panels]
    assert found == [[0.5, 2.5], [0.5, 2.5]]
    assert "state from 1 to 1" in figure.get_label() and "'abc'" in figure.get_label()


def test_the_bars_of_distributions_are_said_in_words():
    said = FIGURES["distributions"]().get_label()
    assert "b: p 0.70, q 0.90; a: p 0.20, q 0.10." in said


@pytest.mark.parametrize("coupled", [False, True])
def test_the_cell_has_its_gates_in_order_and_no_words_that_overlap(coupled):
    figure = plots.lstm_cell(coupled)
    figure.savefig(io.BytesIO(), format="png", dpi=110)
    (axis,) = figure.axes
    texts = [text for text in axis.texts if text.get_text()]
    gates = [t for t in texts if t.get_text().startswith(("input", "forget", "candid", "output"))]
    assert [t.get_text()[-2] for t in sorted(gates, key=lambda t: t.get_position()[0])] == list(
        "ifgo"
    )
    blocks = [t.get_text() for t in texts if t.get_text().startswith("$z_")]
    assert len(blocks) == (3 if coupled else 4)
    assert any(t.get_text() == "$1 - i$" for t in texts) == coupled
    boxes = [text.get_window_extent() for text in texts]
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :]), texts[n].get_text()
    width = figure.get_window_extent().width
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
    assert 700 <= width <= 850


def test_the_cell_is_said_in_words():
    plain, coupled = (plots.lstm_cell(c).get_label() for c in (False, True))
    assert plain != coupled and "1 − i" in coupled


@pytest.mark.parametrize(
    ("where", "dashed", "said"),
    [
        ((False, False), 0, "a: nowhere."),
        ((True, False), 6, "a: between the layers."),
        ((True, True), 9, "a: between the layers and from the last layer to the output layer."),
    ],
)
def test_dropout_acts_on_the_dashed_arrows_and_never_over_time(where, dashed, said):
    figure = plots.dropout_places({"a": where}, layers=3, steps=3)
    arrows = [text for text in figure.axes[0].texts if text.arrow_patch is not None]
    broken = [text for text in arrows if text.arrow_patch.get_linestyle() == "--"]
    assert len(arrows) == 3 * (3 + 1) + 3 * 3 and len(broken) == dashed
    assert all(text.xy[0] == text.xyann[0] for text in broken)
    assert said in figure.get_label()


def test_cheats_that_win_are_counted_and_signed():
    figure = FIGURES["measures_and_cheats"]()
    assert "copy in 2 of 2" in figure.get_label()
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert "\u25b2 1.00" in shown and "0.50" in shown
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        "BLEU \u2191",
        "loss \u2193",
    ]


def test_intervals_that_miss_the_truth_are_counted():
    figure = FIGURES["resampled_intervals"]()
    assert "1 of 2 hold" in figure.axes[0].get_title()
    assert [line.get_color() for line in figure.axes[0].get_lines()[:4:2]] == [
        style.BLUE,
        style.ORANGE,
    ]


def test_agreement_with_a_reader_is_sorted():
    axis = FIGURES["reader_agreement"]().axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["novelty", "loss"]
