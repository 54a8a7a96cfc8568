"""Figures of chapter 09."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from lstmlib.calibration import Calibration, Reliability
from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    check_drawable,
    finite,
    in_words,
    legend_name,
    new_figure,
    plain_log_labels,
    plain_text,
    with_alt,
)
from lstmlib.metrics import Interval

MARKS = [(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (ORANGE, "v"), (BLACK, "x")]


def resampled_intervals(
    panels: Mapping[str, Sequence[Interval]], truth: float, xlabel: str
) -> Figure:
    """Draw intervals one above the other, and which of them hold the true value.

    Args:
        panels: how the intervals were made -> one interval for each group of texts.
        truth: the true value, a line.
        xlabel: what was measured, with its unit.
    """
    check_drawable(panels, "panels", 4)
    figure, (axes,) = new_figure(
        1, len(panels), 4.6 * len(panels), 4.2, sharex=True, sharey=True, squeeze=False
    )
    said = []
    for axis, (name, intervals) in zip(axes, panels.items(), strict=True):
        check_drawable(intervals, "intervals", 200)
        for row, (value, low, high) in enumerate(intervals):
            holds = low <= truth <= high
            color = BLUE if holds else ORANGE
            axis.plot([low, high], [row, row], "-", color=color, linewidth=1.5)
            axis.plot(value, row, "o" if holds else "x", color=color, markersize=4)
        axis.axvline(truth, color=BLACK, linestyle="--", linewidth=1)
        held = sum(low <= truth <= high for _, low, high in intervals)
        title = f"{plain_text(name, 40)}: {held} of {len(intervals)} hold the mean"
        axis.set(title=title, xlabel=plain_text(xlabel, 60), yticks=[])
        said.append(f"{plain_text(name, 40)}, {held} of {len(intervals)} hold it")
    axes[0].set_ylabel("groups of texts, one interval each")
    return with_alt(
        figure,
        f"Intervals one above the other, and a line at the mean of all texts, {truth:.3g}: "
        f"{'; '.join(said)}. Those that miss it are orange, with a cross.",
    )


def novelty_by_length(curves: Mapping[str, np.ndarray], marked: int) -> Figure:
    """Draw which share of the runs of each length is new.

    Args:
        curves: whose text it is -> the share of runs of 1, 2, … characters that the training text
            does not have, (n,).
        marked: a length, a line.
    """
    check_drawable(curves, "texts", 6)
    figure, axis = new_figure(1, 1, 8, 4)
    said = []
    for (name, share), (color, _), line in zip(
        curves.items(), MARKS, cycle(["-", "--", "-.", ":"]), strict=False
    ):
        lengths = np.arange(1, len(share) + 1)
        axis.plot(lengths, finite(share), line, color=color, label=legend_name(name))
        at = share[marked - 1] if len(share) >= marked else share[-1]
        said.append(f"{plain_text(name, 40)} {at:.2f}")
    axis.axvline(marked, color=BLACK, linewidth=0.8)
    axis.set(
        title="How much is new?",
        xlabel="length of a run (characters)",
        ylabel="share of runs that the\ntraining text does not have",
        ylim=(-0.02, 1.02),
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return with_alt(
        figure,
        f"The share of new runs rises with their length. At {marked} characters: "
        f"{'; '.join(said)}.",
    )


def reliability_diagrams(models: Mapping[str, tuple[Reliability, Calibration]]) -> Figure:
    """Draw how often predictions came true, by their probability, a panel a model.

    Args:
        models: name -> (bins, error with its floor).
    """
    check_drawable(models, "models", 4)
    figure, (axes,) = new_figure(
        1, len(models), 4.2 * len(models), 4.2, sharex=True, sharey=True, squeeze=False
    )
    said = []
    for axis, (name, (bins, error)) in zip(axes, models.items(), strict=True):
        there = bins.count > 0
        share = bins.count / bins.count.sum()
        middles = (bins.edges[1:] + bins.edges[:-1]) / 2
        axis.bar(middles, share, width=np.diff(bins.edges), color=SKY, alpha=0.5, linewidth=0)
        axis.plot([0, 1], [0, 1], "--", color=BLACK, linewidth=1)
        axis.plot(bins.confidence[there], bins.accuracy[there], "o-", color=BLUE, markersize=5)
        axis.set(
            title=f"{plain_text(name, 40)}: ECE {error.ece.value:.3f}\n"
            f"(floor {error.floor.value:.3f})",
            xlabel="probability of the favourite",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        gaps = bins.accuracy[there] - bins.confidence[there]
        said.append(
            f"{plain_text(name, 40)} from {gaps.min():.2f} to {gaps.max():.2f}, "
            f"ECE {error.ece.value:.3f}, floor {error.floor.value:.3f}"
        )
    axes[0].set_ylabel("share that came true (points);\nshare of predictions (bars)")
    return with_alt(
        figure,
        "Reliability diagrams: the share that came true by probability, and the diagonal. Distance "
        f"of the points from it: {'; '.join(said)}.",
    )


def measures_and_cheats(
    table: Mapping[str, Mapping[str, Interval]],
    verdicts: Mapping[str, Mapping[str, int]],
    directions: Mapping[str, int],
) -> Figure:
    """Draw which texts a measure calls better than the first kind of text, as a table.

    Args:
        table: measure -> whose text -> its value with its interval. The first kind is compared
            with.
        verdicts: measure -> whose text -> 1 if it is better than the first, -1 if worse, else 0.
        directions: measure -> 1 if a high value is good, -1 if a low one is.
    """
    check_drawable(table, "measures", 20)
    sources = list(next(iter(table.values())))
    check_drawable(sources, "kinds of text", 12)
    rows, columns = ([plain_text(name, 40) for name in names] for names in (table, sources))
    width = 0.7 + 0.085 * max(map(len, rows)) + 1.02 * max(len(sources), 6)
    figure, axis = new_figure(1, 1, width, 1.3 + 0.54 * len(table))
    signs, colors = {1: "▲ ", 0: "", -1: "▼ "}, {1: ORANGE, 0: "#E4E4E4", -1: SKY}
    beaten = dict.fromkeys(sources[1:], 0)
    for row, (measure, values) in enumerate(table.items()):
        for column, (source, each) in enumerate(values.items()):
            verdict = verdicts[measure].get(source, 0) if column else 0
            color = colors[verdict] if column else "white"
            axis.fill_between([column - 0.48, column + 0.48], row - 0.46, row + 0.46, color=color)
            axis.text(
                column, row - 0.14, f"{signs[verdict]}{each.value:.2f}", ha="center", va="center"
            )
            ends = f"{each.low:.2f} … {each.high:.2f}"
            axis.text(column, row + 0.24, ends, ha="center", va="center", fontsize=7.5)
            if column and verdict == 1:
                beaten[source] += 1
    arrows = ["↑" if directions[measure] > 0 else "↓" for measure in table]
    names = [f"{name} {arrow}" for name, arrow in zip(rows, arrows, strict=True)]
    axis.set_yticks(range(len(table)), names)
    axis.set_xticks(range(len(sources)), columns)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)
    axis.set(xlim=(-0.5, len(sources) - 0.5), ylim=(len(table) - 0.5, -0.5))
    axis.set_xlabel(
        "▲ orange: better than held-out text; ▼ blue: worse; grey: intervals overlap.\n"
        "↑ high is good, ↓ low is good. Below each value its 95 % interval."
    )
    axis.set_ylabel("measure")
    axis.set_title(f"What beats {columns[0]} text, and in which measure?", pad=12)
    counts = "; ".join(f"{plain_text(s, 30)} in {n}" for s, n in beaten.items())
    return with_alt(
        figure,
        f"A table of {len(table)} measures and {len(sources)} kinds of text. Better than "
        f"{columns[0]} text: {counts} of {len(table)} measures.",
    )


def quality_and_diversity(
    curve: Sequence[tuple[Interval, Interval]],
    labels: Sequence[str],
    points: Mapping[str, tuple[Interval, Interval]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draw a quality against a diversity as the temperature rises, and other texts as points.

    Args:
        curve: (diversity, quality) at each setting.
        labels: the settings.
        points: whose text -> (diversity, quality); the first is drawn as a star.
        xlabel, ylabel: what the two are.
    """
    figure, axis = new_figure(1, 1, 8, 5)
    x, y = ([each[k].value for each in curve] for k in (0, 1))
    axis.plot(x, y, "o-", color=BLUE, markersize=5, zorder=3, label="network, by temperature")
    for (across, up), label in zip(curve, labels, strict=True):
        _cross(axis, across, up, BLUE)
        at = (across.value, up.value)
        if across.value < 0.88:
            place = {"xytext": (0, 7), "ha": "center"}
        else:  # where other texts crowd, below or to the left of the curve
            place = {"xytext": (1, -14) if up.value > 0.92 else (-6, -12), "ha": "right"}
        shown = plain_text(label, 40)
        axis.annotate(shown, at, textcoords="offset points", fontsize=9, **place)
    others = cycle([*MARKS[1:5], (SKY, "P"), ("#777777", "X")])
    for k, (name, (across, up)) in enumerate(points.items()):
        color, mark = (BLACK, "*") if k == 0 else next(others)
        size = 14 if k == 0 else 8
        shown = legend_name(name)
        axis.plot(across.value, up.value, mark, color=color, markersize=size, label=shown)
        _cross(axis, across, up, color)
    axis.set(
        title="Quality and diversity", xlabel=plain_text(xlabel, 60), ylabel=plain_text(ylabel, 60)
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    told = [f"{plain_text(n, 30)} ({a.value:.2f}, {u.value:.2f})" for n, (a, u) in points.items()]
    return with_alt(
        figure,
        f"Quality against diversity. {in_words('Network: quality', y)}; "
        f"{in_words('diversity', x)}. Points (diversity, quality): {', '.join(told)}.",
    )


def _cross(axis: object, across: Interval, up: Interval, color: str) -> None:
    axis.plot([across.low, across.high], [up.value] * 2, color=color, linewidth=1, alpha=0.5)
    axis.plot([across.value] * 2, [up.low, up.high], color=color, linewidth=1, alpha=0.5)


def two_sample_by_temperature(
    temperatures: Sequence[float],
    measures: Mapping[str, Sequence[Interval]],
    lines: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw measures of two sets of texts against the temperature.

    Args:
        temperatures: (n,).
        measures: what is measured -> its value at each temperature, n intervals.
        lines: what is measured -> whose text -> its value, a line.
    """
    check_drawable(measures, "measures", 4)
    figure, (axes,) = new_figure(1, len(measures), 4.6 * len(measures), 4, squeeze=False)
    said = []
    for axis, (name, values) in zip(axes, measures.items(), strict=True):
        middle = np.array([each.value for each in values])
        ends = np.array([[v.value - v.low, v.high - v.value] for v in values]).T
        ends = np.maximum(ends, 0)
        axis.errorbar(temperatures, middle, ends, fmt="o-", color=BLUE, capsize=3, label="network")
        told = []
        for (whose, value), (color, _), dash in zip(
            lines[name].items(), MARKS[1:], cycle(["--", "-.", ":"]), strict=False
        ):
            axis.axhline(value, color=color, linestyle=dash, label=legend_name(whose))
            told.append(f"{plain_text(whose, 30)} {value:.2f}")
        axis.set(title=plain_text(name, 60), xlabel="temperature τ", ylim=(0, None))
        said.append(f"{in_words(plain_text(name, 60), middle)}; {', '.join(told)}")
    for axis in axes:
        axis.set_ylabel("value, from 0 to 1")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4)
    return with_alt(figure, f"By temperature: {'. '.join(said)}.")


def reader_scores(names: Sequence[str], scores: Sequence[Interval], choices: int) -> Figure:
    """Draw the Bradley–Terry scores of things that a reader compared.

    Args:
        names: of the things, in the order of the scores.
        scores: one interval a thing.
        choices: how many choices they are from.
    """
    check_drawable(names, "things", 20)
    figure, axis = new_figure(1, 1, 7.5, 0.9 + 0.5 * len(names))
    for row, each in enumerate(scores):
        axis.plot([each.low, each.high], [row, row], color=BLUE, linewidth=2)
        axis.plot(each.value, row, "o", color=BLUE, markersize=7)
    axis.set_yticks(range(len(names)), [plain_text(name, 40) for name in names])
    axis.set(
        title=f"What a reader preferred, blind, in {choices} choices",
        xlabel="Bradley–Terry score (mean 0), with its 95 % interval over choices",
        ylabel="what was compared",
        ylim=(-0.6, len(names) - 0.4),
    )
    said = [f"{plain_text(n, 40)} {s.value:.2f}" for n, s in zip(names, scores, strict=True)]
    return with_alt(figure, f"Scores from {choices} choices of a reader: {'; '.join(said)}.")


def reader_agreement(taus: Mapping[str, Interval]) -> Figure:
    """Draw how well measures agree with a reader: Kendall's τ with its interval.

    Args:
        taus: measure -> τ with its interval.
    """
    check_drawable(taus, "measures", 20)
    figure, axis = new_figure(1, 1, 8, 0.9 + 0.42 * len(taus))
    order = sorted(taus, key=lambda name: taus[name].value)
    for row, name in enumerate(order):
        value, low, high = taus[name]
        color = BLUE if value > 0 else ORANGE
        axis.plot([low, high], [row, row], color=color, linewidth=2)
        axis.plot(value, row, "o" if value > 0 else "X", color=color, markersize=8)
    axis.axvline(0, color=BLACK, linewidth=0.8)
    axis.set_yticks(range(len(order)), [plain_text(name, 40) for name in order])
    axis.set(
        title="Does the measure rank the five checkpoints as the reader does?",
        xlabel="Kendall's τ: -1 reversed, 1 the same order (orange cross: not above 0)",
        ylabel="measure",
        xlim=(-1.08, 1.08),
        xticks=np.linspace(-1, 1, 6),  # τ of five things has these values and those between
        ylim=(-0.6, len(order) - 0.4),
    )
    said = [f"{plain_text(n, 40)} {taus[n].value:.1f}" for n in reversed(order)]
    return with_alt(figure, f"Kendall's τ of each measure with a reader: {'; '.join(said)}.")


def time_by_size(sizes: Sequence[int], seconds: Mapping[str, Sequence[float]]) -> Figure:
    """Draw times against sizes, both on log scales, with a line for a time that is proportional.

    Args:
        sizes: characters, (n,).
        seconds: what took the time -> (n,).
    """
    check_drawable(seconds, "programs", 6)
    figure, axis = new_figure(1, 1, 6.5, 3.8)
    said = []
    for (name, times), (color, mark) in zip(seconds.items(), MARKS, strict=False):
        axis.loglog(sizes, times, mark + "-", color=color, label=legend_name(name))
        said.append(in_words(plain_text(name, 40), times))
    first = np.array(next(iter(seconds.values())))
    straight = first[0] * np.array(sizes) / sizes[0]
    axis.loglog(sizes, straight, ":", color=BLACK, label="proportional to the size")
    axis.set(
        title="Finding every copied passage",
        xlabel="million characters of both texts (log scale)",
        ylabel="seconds (log scale)",
    )
    plain_log_labels(axis)
    axis.set_xticks(sizes, [f"{size / 1e6:g}" for size in sizes])
    axis.minorticks_off()
    axis.legend()
    return with_alt(
        figure,
        f"Seconds by size, from {sizes[0]:,} to {sizes[-1]:,} characters: {'; '.join(said)}; "
        f"a proportional time would reach {straight[-1]:.3g}.",
    )
