"""Figures of chapter 08."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    check_drawable,
    finite,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    visible,
)
from lstmlib.grammar_eval import PrefixReading, Validity
from lstmlib.metrics import wilson_interval
from lstmlib.vocab import START


def validity_by_epoch(
    epochs: Sequence[int], counts: dict[float, Sequence[Validity]], title: str
) -> Figure:
    """Draw which share of samples are whole strings of a language, and which legal beginnings.

    A panel for each temperature; the bars are 95 % confidence intervals (Wilson).

    Args:
        epochs: (n,), ascending.
        counts: temperature -> n times the counts of as many samples.
        title: stands above.
    """
    check_drawable(epochs, "epochs", 10_000)
    check_drawable(counts, "temperatures", 12)
    figure, (axes,) = new_figure(1, len(counts), 4 * len(counts), 3.8, sharey=True, squeeze=False)
    for axis, (temperature, validities) in zip(axes, counts.items(), strict=True):
        parts = (("complete", "o-", BLUE), ("legal prefix", "s--", ORANGE))
        totals = [sum(validity) for validity in validities]
        for (label, style, color), values in zip(
            parts, zip(*validities, strict=True), strict=False
        ):
            shares, errors = _shares(values, totals)
            axis.errorbar(
                epochs, shares, errors, fmt=style, color=color, markersize=4, capsize=3, label=label
            )
        axis.set(title=f"temperature {temperature:g}", xlabel="epoch", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share of samples")
    axes[-1].legend(loc="best")
    figure.suptitle(plain_text(title))
    return figure


def _shares(counts: Sequence[int], totals: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return shares (n,), and how far their intervals reach down and up (2, n); NaN of no total."""
    counts, totals = np.asarray(counts, float), np.asarray(totals, float)
    shares = np.divide(counts, totals, out=np.full(len(counts), np.nan), where=totals > 0)
    nothing = (np.nan, np.nan)
    ends = [
        wilson_interval(int(count), int(total)) if total else nothing
        for count, total in zip(counts, totals, strict=True)
    ]
    return shares, np.abs(np.reshape(ends, (-1, 2)).T - shares)


def counting(
    panels: dict[str, tuple[Sequence[int], dict[str, Sequence[int]]]],
    of: int,
    trained: dict[str, int],
) -> Figure:
    """Draw how often networks make no wrong decision on strings, by the size of the strings.

    The bars are 95 % confidence intervals (Wilson).

    Args:
        panels: what size is meant -> (sizes, (n,); name of the network -> counts of strings, (n,)).
        of: strings of each size.
        trained: what size is meant -> the largest in training, marked by a line.
    """
    check_drawable(panels, "panels", 12)
    shared = {"sharey": True, "squeeze": False}
    figure, (axes,) = new_figure(1, len(panels), 5 * len(panels) + 2, 3.8, **shared)
    for axis, (label, (sizes, networks)) in zip(axes, panels.items(), strict=True):
        looks = cycle((("o-", BLUE), ("s--", ORANGE), ("^-.", GREEN)))
        for (name, counts), (style, color) in zip(networks.items(), looks, strict=False):
            shares, errors = _shares(counts, [of] * len(counts))
            look = {"color": color, "markersize": 5, "capsize": 3, "label": legend_name(name)}
            axis.errorbar(sizes, shares, errors, fmt=style, **look)
        axis.axvline(trained[label], color=BLACK, linestyle=":", label="largest in training")
        shown = plain_text(label, 60)
        axis.set(title=f"by {shown}", xlabel=shown, xscale="log", ylim=(-0.04, 1.04))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("share of strings")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle("Strings without a wrong decision between closing and ending")
    return figure


def counter(text: str, depth: np.ndarray, probe: np.ndarray, unit: np.ndarray, name: str) -> Figure:
    """Draw the depth along a string, what a linear probe reads of it, and one unit's cell state.

    Args:
        text: the string, of T characters.
        depth: open brackets after each, (T,).
        probe: what the probe says, (T,).
        unit: the cell state of one unit, (T,).
        name: of the unit.
    """
    figure, (top, bottom) = new_figure(2, 1, 10, 4.6, sharex=True)
    at = np.arange(1, len(text) + 1)
    top.step(at, depth, where="mid", color=SKY, linewidth=5, alpha=0.6, label="depth")
    top.plot(at, probe, ".-", color=BLACK, linewidth=1, label="linear probe of the cell state")
    top.set(title="Where the network keeps the count", ylabel="open brackets")
    top.legend(loc="best")
    bottom.plot(at, finite(unit), color=BLUE, linewidth=1.5, label=legend_name(name))
    bottom.set(xlabel="place in the string (brackets)", ylabel="cell state")
    bottom.legend(loc="best")
    return figure


def prefix_reading(reading: PrefixReading, title: str) -> Figure:
    """Draw what a network expects along a prefix, against the grammar's truth.

    Above, the number of open brackets, where there are any. In the middle, the probability of what
    can follow: of each symbol, if no more than three ever can; else of the character that came
    next. Below, the illegal mass: the probability that the network gives to all that cannot follow;
    what is less than 1e-6 is drawn as 1e-6. A grey ground is behind an illegal character.

    Args:
        reading: of `grammar_eval.read_prefix`.
        title: stands above.
    """
    panels = [_reading_probabilities, _reading_mass]
    if reading.depth.any():
        panels.insert(0, _reading_depth)
    heights = [{_reading_depth: 2, _reading_probabilities: 4, _reading_mass: 3}[p] for p in panels]
    shared = {"sharex": True, "squeeze": False, "height_ratios": heights}
    figure, axes = new_figure(len(panels), 1, 10, 0.8 + 0.62 * sum(heights), **shared)
    count, legal = len(reading.prefix), reading.legal_places
    for axis, draw in zip(axes[:, 0], panels, strict=True):
        draw(axis, reading)
        if legal <= count:
            label = "after an illegal character"
            axis.axvspan(legal - 0.5, count + 0.5, color="#E4E4E4", zorder=0, label=label)
    axes[0, 0].set_title(plain_text(title))
    axes[-2, 0].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    last = axes[-1, 0]
    last.set(xlim=(-0.5, count + 0.5), xlabel="character read last; probabilities are of the next")
    if count > 100:
        last.set_xlabel("characters read; probabilities are of the next")
        return figure
    read = [START, *map(visible, reading.prefix)]
    last.set_xticks(
        range(count + 1), read, family=monospace_fonts(), fontsize=11 if count < 60 else 8
    )
    last.get_xticklabels()[0].set_horizontalalignment("right")  # it is wider than a place
    return figure


def _reading_depth(axis: Axes, reading: PrefixReading) -> None:
    """Draw the number of open brackets at each place of a prefix."""
    axis.step(range(len(reading.depth)), reading.depth, where="mid", color=BLACK)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(ylabel="depth\n(open brackets)", ylim=(min(reading.depth) - 0.3, None))


def _reading_probabilities(axis: Axes, reading: PrefixReading) -> None:
    """Draw the probability of what can follow at each place: lines exact, points the model's."""
    looks = zip((BLUE, RED, GREEN), "os^", ("-", "--", ":"), strict=True)
    drawn = zip(_followers(reading), looks, strict=False)
    for (name, (model, exact)), (color, mark, line) in drawn:
        places = range(len(model))
        axis.step(places, exact, line, where="mid", color=color, label=f"exact: {name}")
        axis.plot(places, model, mark, color=color, markersize=5, label=f"model: {name}")
    axis.set(ylabel="probability", ylim=(-0.05, 1.05))


def _followers(reading: PrefixReading) -> list[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Return what to draw: names, each with its probabilities (model, exact) at each place."""
    ever = np.flatnonzero(reading.legal.any(axis=0))
    if len(ever) <= 3:
        characters_first = sorted(ever, key=lambda i: len(reading.tokens[i]))
        return [
            (visible(reading.tokens[i]), (reading.model[:, i], reading.exact[:, i]))
            for i in characters_first
        ]
    places = np.arange(len(reading.prefix))
    ids = [reading.tokens.index(c) for c in reading.prefix]
    return [("what came next", (reading.model[places, ids], reading.exact[places, ids]))]


def _reading_mass(axis: Axes, reading: PrefixReading) -> None:
    """Draw the probability on all that cannot follow at each place of a prefix."""
    mass = np.maximum(reading.illegal_mass, 1e-6)
    axis.semilogy(range(len(mass)), mass, "D-", color=BLACK, markersize=4, linewidth=1)
    axis.set(ylabel="illegal mass\n(log scale)", ylim=(5e-7, 2))
    axis.set_yticks([1e-6, 1e-4, 1e-2, 1])
