"""Figures of chapter 00."""

import math
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    finite_column,
    in_words,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    visible,
    with_alt,
)
from lstmlib.history import History

MOST = 8
"""The most characters, and the most hidden units, that `one_step` has room for."""
ROW = 0.55
"""The height of a box of `one_step`."""


def one_step(
    tokens: Sequence[str],
    read: str,
    hidden: Sequence[float],
    logits: Sequence[float],
    following: str,
) -> Figure:
    """Draw one step of a network as boxes, from the character read to the character that follows.

    Args:
        tokens: the characters of the vocabulary, (V,), at most 8.
        read: the character that the network reads, one of the tokens.
        hidden: the hidden state after it, (H,), at most 8.
        logits: the logits, (V,). The probabilities are computed from them.
        following: the character that comes next, one of the tokens.

    Raises:
        ValueError: there is no token or hidden unit, or there are more than 8; a character is none
            of the tokens; the logits are not V finite numbers.
    """
    check_drawable(tokens, "tokens", MOST)
    check_drawable(hidden, "hidden units", MOST)
    for character in (read, following):
        if character not in tokens:
            raise ValueError(f"{plain_text(character, 20)!r} is none of the tokens.")
    z = np.asarray(logits, dtype=float)
    if z.shape != (len(tokens),) or not np.isfinite(z).all():
        raise ValueError(f"logits must be {len(tokens)} finite numbers, one for each token.")
    p = np.exp(z - z.max())
    p /= p.sum()
    names = [visible(token)[:8] for token in tokens]
    at, came = list(tokens).index(read), list(tokens).index(following)
    figure, axis = new_figure(1, 1, 10, 4.4)
    _column(axis, 0, "character\nread", [names[at]], ORANGE)
    _column(
        axis, 2.3, "one-hot\nvector (V)", [f"{token == read:d}" for token in tokens], SKY, names
    )
    _column(axis, 4.6, "hidden\nstate h (H)", [f"{value:.1f}" for value in hidden], GREEN)
    _column(axis, 7.1, "logits (V)", [f"{value:.1f}" for value in z], SKY, names)
    _column(axis, 9.6, "probabilities\n(V)", [f"{value:.2f}" for value in p], PINK, names)
    for start, end, name in [
        (0.4, 1.5, ""),
        (2.75, 4.15, "LSTM"),
        (5.05, 6.3, "linear"),
        (7.55, 8.8, "softmax"),
    ]:
        _arrow(axis, [(start, 0), (end, 0)], BLUE)
        axis.text((start + end) / 2, 0.12, name, ha="center", va="bottom", color=BLUE)
    top = ROW * max(len(tokens), len(hidden)) / 2
    _arrow(axis, [(3.5, -top - 0.75), (4.4, -ROW * len(hidden) / 2)], GREEN)
    axis.text(3.4, -top - 0.75, "state of the\nstep before", ha="right", va="center", color=GREEN)
    _arrow(axis, [(4.8, -ROW * len(hidden) / 2), (5.7, -top - 0.75)], GREEN)
    axis.text(5.8, -top - 0.75, "state for the\nnext step", ha="left", va="center", color=GREEN)
    _arrow(axis, [(10.05, 0.1), (10.75, 0.75)], RED)
    nats = -math.log(max(p[came], 1e-300))
    loss = f"in training:\nif {names[came]} came, the loss\nis −ln {p[came]:.2f} = {nats:.2f}"
    axis.text(10.85, 0.8, loss, ha="left", va="center", color=RED)
    _arrow(axis, [(10.05, -0.1), (10.75, -0.75)], BLACK)
    axis.text(10.85, -0.8, f"in writing:\ndraw one, say {names[came]}", ha="left", va="center")
    below = -top - 1.5
    _arrow(axis, [(11.8, -1.25), (11.8, below), (0, below), (0, -ROW / 2 - 0.05)], BLACK, "--")
    axis.set(xlim=(-0.8, 13.6), ylim=(below - 0.2, top + 1), xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set(title="One step of the network", xlabel="the drawn character is read next (dashed)")
    shown = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, p, strict=True))
    return with_alt(
        figure,
        f"Boxes from left to right: the character read, {names[at]}; its one-hot vector; the "
        "hidden state, which also depends on that of the step before and goes on to the next; the "
        f"logits; the probabilities, {shown}. In training, the loss of the character that came is "
        "taken from them. In writing, a character is drawn from them, and is read next.",
    )


def _column(
    axis: Axes, x: float, title: str, cells: list[str], color: str, names: list[str] | None = None
) -> None:
    """Draw boxes one below the other around height 0, with a title above and names at the left."""
    top = ROW * len(cells) / 2
    axis.text(x, top + 0.15, title, ha="center", va="bottom")
    for row, cell in enumerate(cells):
        y = top - ROW * (row + 0.5)
        axis.text(
            x,
            y,
            cell.rjust(4) if len(cells) > 1 else cell,
            ha="center",
            va="center",
            family=monospace_fonts(),
            bbox={"facecolor": color, "edgecolor": "white", "alpha": 0.45, "pad": 4},
        )
        if names:
            axis.text(x - 0.5, y, names[row], ha="right", va="center", family=monospace_fonts())


def _arrow(axis: Axes, points: list[tuple[float, float]], color: str, style: str = "-") -> None:
    """Draw a line through points, with a head at its end."""
    axis.plot(*zip(*points[:-1], strict=True), style, color=color, linewidth=1.5)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "linestyle": style}
    axis.annotate("", points[-1], points[-2], arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})


def against_baselines(history: History, baselines: dict[str, float], name: str = "LSTM") -> Figure:
    """Draw what a network achieved beside baselines: all losses from 0, and the nearest close up.

    Args:
        history: of the training; its last validation loss is the network's.
        baselines: name -> nats per character.
        name: of the network.

    Raises:
        ValueError: no baseline, or more than 12; no validation loss was measured.
    """
    check_drawable(baselines, "baselines", 12)
    steps, valid = finite_column(history, "valid_loss")
    if not len(valid):
        raise ValueError("There is nothing to draw: the history has no validation loss.")
    losses = dict(zip(baselines, finite(list(baselines.values())), strict=True))
    shown = [plain_text(each, 40) for each in (*losses, name)]
    figure, (left, right) = new_figure(1, 2, 10, 3.6)
    colors = [*islice(cycle((BLACK, GREEN, PINK)), len(losses)), RED]
    for row, (nats, color) in enumerate(zip([*losses.values(), valid[-1]], colors, strict=True)):
        left.barh(-row, nats, color=color, height=0.6)
        left.text(np.nan_to_num(nats), -row, f" {nats:.2f}", ha="left", va="center")
    left.set_yticks([-row for row in range(len(shown))], shown)
    left.grid(axis="y", visible=False)
    highest = np.nanmax([0.1, valid[-1], *losses.values()])
    left.set(title="From 0", xlabel="loss (nats per character)", ylabel="model")
    left.set_xlim(0, 1.2 * highest)
    nearest = min(losses, key=lambda each: np.nan_to_num(abs(losses[each] - valid[-1]), nan=1e9))
    level = np.nan_to_num(losses[nearest], nan=valid[-1])
    right.plot(steps, valid, "o-", color=RED, markersize=4, label=legend_name(name))
    right.axhline(
        level, color=colors[[*losses].index(nearest)], linestyle="--", label=legend_name(nearest)
    )
    arrow = {"arrowstyle": "<->", "color": BLACK, "shrinkA": 0, "shrinkB": 0}
    right.annotate("", (steps[-1], level), (steps[-1], valid[-1]), arrowprops=arrow)
    gap = level - valid[-1]
    right.text(
        *(steps[-1] * 1.02, (level + valid[-1]) / 2, f"{abs(gap):.2f}"), ha="left", va="center"
    )
    room = max(abs(gap), 0.05)
    right.set(ylim=(min(level, valid[-1]) - room / 2, max(level, valid[-1]) + 3 * room))
    right.set(title="Close up, by step", xlabel="step", xlim=(0, steps[-1] * 1.15))
    right.set_ylabel("validation loss\n(nats per character)")
    right.legend(loc="upper right")
    bars = ", ".join(f"{each} {nats:.2f}" for each, nats in losses.items())
    return with_alt(
        figure,
        f"Left, bars of the loss from 0: {bars}, {name} {valid[-1]:.2f}. Right, close up: "
        f"{in_words('the validation loss', valid)}, ends {abs(gap):.2f} "
        f"{'below' if gap > 0 else 'above'} {nearest}.",
    )


def temperature_bars(
    tokens: list[str], distributions: dict[float, np.ndarray], most: int = 12
) -> Figure:
    """Draw the next-character distribution at several temperatures, side by side.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        distributions: temperature -> probabilities (V,).
        most: how many characters to show, the most probable at the highest temperature first.
    """
    check_drawable(distributions, "distributions", 12)
    figure, axes = new_figure(1, len(distributions), 3.3 * len(distributions), 3.4, sharey=True)
    order = np.argsort(-distributions[max(distributions)], kind="stable")[:most]
    said = []
    for axis, (temperature, p) in zip(np.atleast_1d(axes), distributions.items(), strict=True):
        axis.bar(range(len(order)), p[order], color=BLUE)
        axis.set_xticks(range(len(order)), [visible(tokens[i]) for i in order])
        axis.grid(axis="x", visible=False)
        axis.set(title=f"τ = {temperature}", xlabel="next character", ylim=(0, 1))
        best = int(np.argmax(p))
        said.append(f"{visible(tokens[best])[:20]} with {p[best]:.2f} at τ = {temperature}")
    np.atleast_1d(axes)[0].set_ylabel("probability")
    return with_alt(
        figure,
        f"Bars of the probability of the {len(order)} likeliest next characters, at one "
        f"temperature after the other. The likeliest: {'; '.join(said)}.",
    )
