"""Figures of chapter 08."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    check_drawable,
    finite,
    finite_column,
    in_words,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_log_labels,
    plain_text,
    upright_log,
    visible,
    with_alt,
)
from lstmlib.grammar_eval import PrefixReading, Validity
from lstmlib.history import History
from lstmlib.metrics import wilson_interval
from lstmlib.vocab import START


def automata(title: str) -> Figure:
    """Draw NDFA and brackets as machines: circles are states, arrows symbols with probabilities.

    Args:
        title: stands above.
    """
    figure, (top, bottom) = new_figure(2, 1, 9, 6.2, sharex=True, height_ratios=[7, 4])
    _draw_ndfa(top)
    _draw_brackets(bottom)
    for axis in (top, bottom):
        axis.set(xlim=(-0.6, 10.2), xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    bottom.set_xlabel("circles are states; arrows are symbols or words, with probabilities")
    figure.suptitle(plain_text(title))
    return with_alt(
        figure,
        "Two machines. NDFA has few states: start, one after the first s, one after each of the "
        "words abc!, uvw! and klm! with an arrow back to itself, and an end. Brackets have one "
        "state for each depth, 1, 2, 3 and so on without end: ( goes one to the right with "
        "probability 7/16, ) one to the left with 9/16, and from depth 1 to the end.",
    )


def _draw_ndfa(axis: Axes) -> None:
    """Draw the states of NDFA; an arrow of a word stands for four characters."""
    start, first, end = (0, 0), (2.4, 0), (9.6, 0)
    for place, name in ((start, "start"), (first, ""), (end, "end")):
        _state(axis, place, name)
    _arrow(axis, start, first, "s", (1.2, 0.3))
    for word, y in (("abc!", 2.6), ("uvw!", 0), ("klm!", -2.6)):
        state = (6, y)
        _state(axis, state, "")
        _arrow(axis, first, state, f"{word} 1/4", (4.2, y / 2))
        _arrow(axis, state, end, "s 1/4", (7.8, y / 2))
        _arrow(axis, (5.87, y + 0.6), (6.13, y + 0.6), f"{word} 3/4", (6, y + 1.5), -2.6)
    _arrow(axis, first, end, "s 1/4", (6, -4.2), 0.5)
    axis.set(title="NDFA", ylim=(-5, 4.6))


def _draw_brackets(axis: Axes) -> None:
    """Draw the first states of brackets: the depths."""
    places = {"start": (0, 0), "1": (2.6, 0), "2": (5, 0), "3": (7.4, 0), "…": (9.6, 0)}
    for name, place in places.items():
        _state(axis, place, name)
    _state(axis, (2.6, -1.9), "end")
    _arrow(axis, places["start"], places["1"], "(", (1.3, 0.3))
    _arrow(axis, places["1"], (2.6, -1.9), ") 9/16", (2.6, -0.95))
    for left, right in (("1", "2"), ("2", "3"), ("3", "…")):
        middle = (places[left][0] + places[right][0]) / 2
        _arrow(axis, places[left], places[right], "( 7/16", (middle, 0.72), -0.35)
        _arrow(axis, places[right], places[left], ") 9/16", (middle, -0.72), -0.35)
    axis.set(title="Brackets: a state for each depth", ylim=(-2.4, 1.3))


def _state(axis: Axes, place: tuple[float, float], name: str) -> None:
    """Draw a circle with a name in it."""
    axis.plot(*place, "o", markersize=34, color="white", markeredgecolor=BLUE, markeredgewidth=2)
    axis.text(*place, name, ha="center", va="center", fontsize=10)


def _arrow(
    axis: Axes,
    tail: tuple[float, float],
    head: tuple[float, float],
    label: str,
    at: tuple[float, float],
    bend: float = 0.0,
) -> None:
    """Draw an arrow from state to state, with its label at a place."""
    near = 0 if abs(bend) > 1 else 18  # a loop's ends stand at the rim of its state
    look = {"arrowstyle": "-|>", "color": BLACK, "shrinkA": near, "shrinkB": near}
    look["connectionstyle"] = f"arc3,rad={bend}"
    axis.annotate("", head, tail, arrowprops=look)
    look = {"family": monospace_fonts(), "fontsize": 9, "ha": "center", "va": "center"}
    axis.text(*at, label, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **look)


def ngram_gaps(gaps: dict[str, Sequence[float]], title: str, least: float = 0.01) -> Figure:
    """Draw the gap of n-gram models by their order, from order 1 on, on a log scale.

    Args:
        gaps: name of the language -> gaps in percent of the floor, (orders,).
        title: stands above.
        least: what is smaller is drawn here; the scale says so.
    """
    check_drawable(gaps, "languages", 12)
    figure, axis = new_figure(1, 1, 8, 4)
    looks = cycle((("o-", BLUE), ("s--", RED), ("^-.", GREEN)))
    for (name, values), (style, color) in zip(gaps.items(), looks, strict=False):
        heights = np.maximum(finite(values), least)
        axis.plot(range(1, len(heights) + 1), heights, style, color=color, label=legend_name(name))
    upright_log(axis)
    plain_log_labels(axis)
    powers = least * 10.0 ** np.arange(6)
    axis.set_yticks(powers, [f"{least:g}\nor less", *(f"{power:g}" for power in powers[1:])])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(title=plain_text(title), xlabel="order of the n-gram model")
    axis.set(ylabel="gap\n(% of the floor, log scale)", ylim=(least / 2, None))
    axis.legend()
    parts = "; ".join(in_words(name, values) for name, values in gaps.items())
    return with_alt(figure, f"{title}: gap in percent of the floor by order. {parts}.")


def training_by_epoch(history: History, epoch_steps: int, floor: float, title: str) -> Figure:
    """Draw loss and gradient norm, one point an epoch.

    Above: the mean training loss of each epoch, the validation loss, and the floor. Below: the
    median of the gradient norm before clipping, and between which values eight in ten steps lie.

    Args:
        history: of whole epochs.
        epoch_steps: steps of an epoch.
        floor: the entropy of the language, in nats per symbol; a dashed line.
        title: stands above.
    """
    figure, (top, bottom) = new_figure(2, 1, 8, 5, sharex=True, height_ratios=[3, 2])
    loss = _by_epoch(history, "loss", epoch_steps)
    norms = _by_epoch(history, "grad_norm", epoch_steps)
    epochs = np.arange(1, len(loss) + 1)
    mean = np.array([each.mean() for each in loss])
    at, valid = finite_column(history, "valid_loss")
    top.plot(epochs, mean, "s-", color=BLUE, markersize=4, label="training, mean of the epoch")
    top.plot(at / epoch_steps, valid, "o--", color=RED, markersize=4, label="validation")
    top.axhline(floor, color=BLACK, linestyle=":", label="floor")
    highest = max(mean.max(initial=floor), valid.max(initial=floor))
    top.set(title=plain_text(title), ylabel="loss\n(nats per symbol)", ylim=(0, 1.5 * highest))
    top.legend(loc="upper right", ncols=3, fontsize=9)
    low, middle, high = np.array([np.percentile(each, (10, 50, 90)) for each in norms]).T
    bottom.fill_between(epochs, low, high, color=SKY, alpha=0.5, label="eight in ten steps")
    bottom.plot(epochs, middle, "s-", color=BLUE, markersize=4, label="median of the epoch")
    upright_log(bottom)
    plain_log_labels(bottom)
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    bottom.set(xlabel="epoch", ylabel="gradient norm\n(log scale)", xlim=(0.5, len(loss) + 0.5))
    bottom.set_ylim(top=4 * high.max(initial=1e-9))  # room for the legend
    bottom.legend(loc="upper right", ncols=2, fontsize=9)
    parts = [in_words("training loss", mean), in_words("validation loss", valid)]
    parts += [f"floor {floor:.3g}", in_words("median gradient norm", middle)]
    return with_alt(figure, f"{title}, {len(loss)} epochs: {'; '.join(parts)}.")


def _by_epoch(history: History, name: str, epoch_steps: int) -> list[np.ndarray]:
    """Return the finite values of a column, epoch by epoch; epochs without any are left out."""
    steps, values = finite_column(history, name)
    epochs = (steps - 1) // epoch_steps
    return [values[epochs == epoch] for epoch in np.unique(epochs)]


def layer_gradients(norms: dict[str, Sequence[float]], title: str, epsilon: float) -> Figure:
    """Draw the gradient norm of each layer of networks of several depths.

    Args:
        norms: name of the network -> norm of each layer, from the input up.
        title: stands above.
        epsilon: the norm at which a weight's gradient is of the size of Adam's ε; a dashed line.
    """
    check_drawable(norms, "networks", 12)
    figure, axis = new_figure(1, 1, 8, 4)
    looks = cycle((("o-", BLUE), ("s--", RED), ("^-.", GREEN)))
    for (name, values), (style, color) in zip(norms.items(), looks, strict=False):
        axis.plot(
            range(1, len(values) + 1), finite(values), style, color=color, label=legend_name(name)
        )
    axis.axhline(epsilon, color=BLACK, linestyle=":", label="a weight's gradient is Adam's ε")
    upright_log(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(title=plain_text(title), xlabel="layer, counted from the input")
    axis.set(ylabel="gradient norm\n(log scale)")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.25))
    parts = "; ".join(in_words(name, values) for name, values in norms.items())
    return with_alt(figure, f"{title}. By layer, from the input up: {parts}.")


def ending_too_soon(levels: Sequence[int], ends: np.ndarray, deepest: int, title: str) -> Figure:
    """Draw the probability of ending while a bracket is open, by how deep brackets were nested.

    Args:
        levels: how deep, (n,).
        ends: the network's probability of `.end`, (n,).
        deepest: the deepest nesting in training, marked by a line.
        title: stands above.
    """
    figure, axis = new_figure(1, 1, 8, 4)
    axis.plot(levels, finite(ends), "o-", color=BLUE, label="network, one bracket still open")
    axis.axhline(0, color=GREEN, linestyle="--", label="exact model")
    axis.axvline(deepest, color=BLACK, linestyle=":", label="deepest in training")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(title=plain_text(title), xlabel="brackets that were opened inside each other")
    axis.set(ylabel="probability of .end", ylim=(-0.04, 1.04))
    axis.legend(loc="upper left")
    words = in_words("probability of .end", ends)
    return with_alt(figure, f"{title}: {words}; the deepest nesting in training is {deepest}.")


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
    figure, (axes,) = new_figure(
        1, len(counts), 3.1 * len(counts) + 0.5, 3.4, sharey=True, squeeze=False
    )
    said = []
    for axis, (temperature, validities) in zip(axes, counts.items(), strict=True):
        shares_of = {}
        parts = (("complete", "o-", BLUE), ("legal prefix", "s--", ORANGE))
        totals = [sum(validity) for validity in validities]
        for (label, style, color), values in zip(
            parts, zip(*validities, strict=True), strict=False
        ):
            shares, errors = _shares(values, totals)
            shares_of[label] = shares
            axis.errorbar(
                epochs, shares, errors, fmt=style, color=color, markersize=4, capsize=3, label=label
            )
        axis.set(title=f"τ = {temperature:g}", xlabel="epoch", ylim=(-0.03, 1.03))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        said.append(f"at τ = {temperature:g}, {in_words('whole strings', shares_of['complete'])}")
    axes[0].set_ylabel("share of samples")
    axes[-1].legend(loc="best")
    figure.suptitle(plain_text(title))
    return with_alt(figure, f"{title}, by epoch: {'; '.join(said)}.")


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
    figure, (axes,) = new_figure(1, len(panels), 4.2 * len(panels) + 2.2, 3.6, **shared)
    said = []
    for axis, (label, (sizes, networks)) in zip(axes, panels.items(), strict=True):
        looks = cycle((("o-", BLUE), ("s--", ORANGE), ("^-.", GREEN)))
        for (name, counts), (style, color) in zip(networks.items(), looks, strict=False):
            shares, errors = _shares(counts, [of] * len(counts))
            look = {"color": color, "markersize": 5, "capsize": 3, "label": legend_name(name)}
            axis.errorbar(sizes, shares, errors, fmt=style, **look)
            said.append(f"by {label}, {in_words(str(name), shares)}")
        axis.axvline(trained[label], color=BLACK, linestyle=":", label="largest in training")
        shown = plain_text(label, 60)
        axis.set(title=f"by {shown}", xlabel=shown, xscale="log", ylim=(-0.04, 1.04))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        if len(sizes) <= 10:
            axis.xaxis.set_minor_locator(NullLocator())
            axis.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=9)
    axes[0].set_ylabel("share of strings")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle("Strings without a wrong decision between closing and ending")
    return with_alt(figure, f"Share of strings without a wrong decision: {'; '.join(said)}.")


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
    furthest = np.abs(finite(probe) - depth).max(initial=0)
    return with_alt(
        figure,
        f"Along a string of {len(text)} brackets, {in_words('the depth', depth)}; the linear probe "
        f"is never further from it than {furthest:.2g}. Below, {in_words('the cell state', unit)}.",
    )


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
    said = f"{title}: {count} characters, {min(legal, count)} of them legal; "
    said += in_words("the illegal mass", reading.illegal_mass)
    with_alt(figure, f"{said}, place by place beside the exact probabilities.")
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
    axis.set_yticks([1e-6, 1e-4, 1e-2, 1], ["1e-6\nor less", "1e-4", "0.01", "1"])
