"""Figures of chapter 07."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    YELLOW,
    check_drawable,
    finite,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    upright_log,
    visible,
)


def entropy_by_temperature(
    temperatures: np.ndarray, entropies: dict[str, np.ndarray], largest: float
) -> Figure:
    """Draw the entropy of next-character distributions against the temperature.

    Args:
        temperatures: (n,), 0 or more.
        entropies: what a distribution is called -> its entropy at each temperature, (n,), nats.
        largest: the entropy of the uniform distribution, ln V.
    """
    figure, axis = new_figure(1, 1, 8, 3.8)
    lines = cycle([(BLUE, "-"), (RED, "--"), (GREEN, "-."), (PINK, ":")])
    for (name, entropy), (color, line) in zip(entropies.items(), lines, strict=False):
        axis.plot(temperatures, finite(entropy), line, color=color, label=legend_name(name))
    axis.axhline(largest, color=BLACK, linestyle="--", linewidth=1, label="uniform: ln V")
    axis.axvline(1, color=BLACK, linewidth=0.8)
    axis.set(
        title="Entropy rises with the temperature",
        xlabel="temperature (at 1 the model as it is)",
        ylabel="entropy (nats)",
        ylim=(0, None),
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draws(tokens: Sequence[str], distributions: dict[str, np.ndarray], uniform: float) -> Figure:
    """Draw a draw: each distribution laid end to end, most probable first, and where u falls.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        distributions: what one is called -> probabilities (V,).
        uniform: the random number u that all are drawn with, 0 ≤ u < 1.

    Raises:
        ValueError: no distribution; u is no such number.
    """
    check_drawable(distributions, "distributions", 40)
    if not 0 <= uniform < 1:
        raise ValueError(f"u is {uniform}; it must be 0 or more, and below 1.")
    figure, axis = new_figure(1, 1, 10, 0.8 + 0.65 * len(distributions))
    for row, p in enumerate(distributions.values()):
        order = np.argsort(-p, kind="stable")
        ends = p[order].cumsum()
        chosen = np.searchsorted(ends, uniform * ends[-1], side="right")
        for k, (i, end) in enumerate(zip(order, ends, strict=True)):
            color = ORANGE if k == chosen else (SKY, "#D9D9D9")[k % 2]
            axis.barh(row, p[i], 0.7, left=end - p[i], color=color)
            if p[i] > 0.02:
                axis.text(end - p[i] / 2, row, visible(tokens[i]), ha="center", va="center")
    axis.axvline(uniform, color=BLACK, linewidth=1.5)
    axis.set_yticks(range(len(distributions)), [plain_text(name, 60) for name in distributions])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set(
        title=f"One random number for all, u = {uniform:.2f} (orange: what is drawn)",
        xlabel="probability, added up from the most probable character",
        ylabel="distribution",
        xlim=(0, 1),
    )
    return figure


def shaded_texts(samples: dict[str, tuple[str, np.ndarray]], width: int = 40) -> Figure:
    """Draw texts side by side, each character on a background that tells how improbable it was.

    Args:
        samples: title -> (characters (n,), the probability of each (n,)).
        width: characters of a line; longer lines are broken anywhere.

    Raises:
        ValueError: no text, a width below 1, or a text of more than 200 lines.
    """
    check_drawable(samples, "texts", 12)
    if width < 1:
        raise ValueError(f"width is {width}; it must be 1 or more.")
    lines = {title: _in_lines(*sample, width) for title, sample in samples.items()}
    rows = max(map(len, lines.values()))
    if rows > 200:
        raise ValueError(f"A text has {rows} lines; this figure has room for 200. Cut it.")
    figure, axes = new_figure(
        1, len(lines), 0.105 * width * len(lines), 0.21 * rows + 1, squeeze=False
    )
    for axis, (title, text) in zip(axes[0], lines.items(), strict=True):
        surprise = np.zeros((rows, width))
        for y, line in enumerate(text):
            for x, (character, p) in enumerate(line):
                surprise[y, x] = -np.log(max(p, 1e-12))
                axis.text(
                    x,
                    y,
                    plain_text(character),
                    family=monospace_fonts(),
                    fontsize=9,
                    ha="center",
                    va="center",
                )
        picture = axis.imshow(surprise, cmap=_surprise_map(), vmin=0, vmax=6, aspect="auto")
        axis.set(title=plain_text(title, 60), xlabel="characters", xticks=[], yticks=[])
        axis.grid(visible=False)
    axes[0, 0].set_ylabel("lines")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=-np.log([1, 0.3, 0.1, 0.03, 0.003]))
    bar.ax.set_yticklabels(["1", "0.3", "0.1", "0.03", "0.003"])
    bar.set_label("probability under the model")
    return figure


def _in_lines(characters: Sequence[str], p: np.ndarray, width: int) -> list[list[tuple]]:
    """Return the lines of a text as lists of (character, its probability), tabs as blanks."""
    lines = [[]]
    for character, probability in zip(characters, p, strict=True):
        if character == "\n" or len(lines[-1]) == width:
            lines.append([])
        if character != "\n":
            lines[-1].append((character if character.isprintable() else " ", probability))
    return lines


def _surprise_map() -> LinearSegmentedColormap:
    """Return the colours of surprise: white where there is none, orange where there is much."""
    return LinearSegmentedColormap.from_list("surprise", ["#FFFFFF", ORANGE])


def measures_by_temperature(
    temperatures: Sequence[float],
    measured: dict[str, tuple[np.ndarray, np.ndarray]],
    real: dict[str, float],
    span: tuple[float, float],
) -> Figure:
    """Draw measures of generated text against the temperature, with error bars.

    Args:
        temperatures: (n,).
        measured: what is measured -> (mean (n,), half the width of its interval (n,)), shares.
        real: the same measure of real text.
        span: from which temperature to which the text is good; shaded.
    """
    check_drawable(measured, "measures", 12)
    shared = {"sharex": True, "sharey": True, "squeeze": False}
    figure, (axes,) = new_figure(1, len(measured), 4 * len(measured), 3.8, **shared)
    for axis, (name, (mean, error)) in zip(axes, measured.items(), strict=True):
        axis.axvspan(*span, color=YELLOW, alpha=0.3, linewidth=0)
        axis.errorbar(temperatures, mean, error, fmt="o-", color=BLUE, markersize=4, capsize=3)
        axis.axhline(real[name], color=RED, linestyle="--", label="held-out text")
        axis.set(title=plain_text(name, 60), xlabel="temperature", ylim=(0, 1.03))
        axis.legend(loc="best")
    axes[0].set_ylabel("share")
    return figure


def loop(distances: np.ndarray, temperatures: np.ndarray, again: np.ndarray) -> Figure:
    """Draw why a cold text goes round in circles.

    Left, how far the hidden state is from where it was a round ago, which falls until nothing
    differs. Right, how probable one more round is when characters are drawn.

    Args:
        distances: ||h_t - h_(t-P)|| of the characters after the first round of P, (n,).
        temperatures: (m,).
        again: probability of one more round at each temperature, (m,).
    """
    figure, (left, right) = new_figure(1, 2, 10, 3.8)
    left.plot(finite(distances), color=BLUE)
    upright_log(left)
    left.set(
        title="The hidden state comes back to itself",
        xlabel="characters written after the first round",
        ylabel="distance of the hidden state\nfrom a round ago (log scale)",
    )
    right.plot(temperatures, finite(again), color=RED)
    upright_log(right)
    right.set(
        title="Staying in the loop",
        xlabel="temperature",
        ylabel="probability of one more round\n(log scale)",
    )
    return figure


def tradeoff(
    curves: dict[str, tuple[np.ndarray, np.ndarray, Sequence[str]]],
    real: tuple[float, float],
    title: str,
) -> Figure:
    """Draw ways to transform a distribution against each other: novelty, and known words.

    Args:
        curves: name -> (novelty (n,), share of known words (n,), the setting at each point (n,)).
        real: novelty and share of known words of held-out text.
        title: stands above.
    """
    figure, axis = new_figure(1, 1, 8.5, 5)
    marks = cycle([(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (ORANGE, "v")])
    for (name, (x, y, settings)), (color, mark) in zip(curves.items(), marks, strict=False):
        axis.plot(x, y, mark + "-", color=color, markersize=6, label=legend_name(name))
        for k in sorted({0, len(x) - 1} & set(range(len(x)))):
            axis.annotate(
                plain_text(settings[k], 40),
                (x[k], y[k]),
                xytext=(5, 5) if k else (-14, -14),
                textcoords="offset points",
                fontsize=9,
                color=color,
            )
    axis.plot(*real, "*", color=BLACK, markersize=14, label="held-out text")
    axis.set(
        title=plain_text(title),
        xlabel="novelty (share of runs of 10 characters that the training text has not)",
        ylabel="share of known words",
    )
    axis.legend(loc="lower left")
    return figure
