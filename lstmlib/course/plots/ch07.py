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
    in_words,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    upright_log,
    visible,
    with_alt,
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
        xlabel="temperature τ (at 1 the model as it is)",
        ylabel="entropy (nats)",
        ylim=(0, None),
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    parts = [in_words(plain_text(name, 60), entropy) for name, entropy in entropies.items()]
    parts.append(f"uniform at {largest:.3g}")
    return with_alt(figure, f"Entropy in nats by temperature: {'; '.join(filter(None, parts))}.")


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
    figure, axis = new_figure(1, 1, 9, 0.8 + 0.65 * len(distributions))
    drawn = []
    for row, (name, p) in enumerate(distributions.items()):
        order = np.argsort(-p, kind="stable")
        ends = p[order].cumsum()
        chosen = np.searchsorted(ends, uniform * ends[-1], side="right")
        i = order[chosen]
        drawn.append(f"{plain_text(name, 60)}: {visible(tokens[i])} with {p[i]:.2f}")
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
    return with_alt(
        figure,
        f"Probabilities end to end in rows, the largest first, and a line at u = {uniform:.2f}. "
        f"What it falls on: {'; '.join(drawn)}.",
    )


def pieces_by_temperature(
    tokens: Sequence[str],
    temperatures: np.ndarray,
    distributions: np.ndarray,
    uniform: float,
    marked: Sequence[float] = (),
    most: int = 10,
) -> Figure:
    """Draw how the pieces of a draw grow and shrink with the temperature, and where u falls.

    Each temperature is a row: probabilities end to end, the most probable character first.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        temperatures: (n,), 0 or more, rising.
        distributions: the probabilities at each, (n, V).
        uniform: the random number u, 0 ≤ u < 1.
        marked: temperatures at which the character is named that u falls on.
        most: how many pieces have edges and names; the rest is one.

    Raises:
        ValueError: no temperature; u is no such number.
    """
    check_drawable(temperatures, "temperatures", 1000)
    if not 0 <= uniform < 1:
        raise ValueError(f"u is {uniform}; it must be 0 or more, and below 1.")
    temperatures, distributions = np.asarray(temperatures), np.asarray(distributions)
    order = np.argsort(-distributions[-1], kind="stable")  # the same at every temperature above 0
    ends = distributions[:, order].cumsum(axis=1)  # (n, V)
    edges = np.concatenate([np.zeros((len(ends), 1)), ends], axis=1)  # (n, V + 1)
    figure, axis = new_figure(1, 1, 9, 4.6)
    chosen = (ends <= uniform * ends[:, -1:]).sum(axis=1)  # (n,), the place in the order
    high = int(0.8 * (len(ends) - 1))  # the row in which the pieces are named
    for k, i in enumerate(order):
        left, right = edges[:, k], edges[:, k + 1]
        if k < most:
            color = (SKY, "#D9D9D9")[k % 2]
            axis.fill_betweenx(temperatures, left, right, color=color, linewidth=0)
        if k < most and right[high] - left[high] > 0.02:
            middle = (left[high] + right[high]) / 2
            axis.text(middle, temperatures[high], visible(tokens[i]), ha="center", va="center")
        hit = chosen == k
        hit[1:] |= hit[:-1].copy()  # up to the row where the next one begins
        axis.fill_betweenx(temperatures, left, right, where=hit, color=ORANGE, linewidth=0)
    if most < len(order) and edges[high, most] < 0.85:
        axis.text((edges[high, most] + 1) / 2, temperatures[high], "all others", ha="center")
    axis.axvline(uniform, color=BLACK, linewidth=1.5)
    said = []
    for tau in marked:
        row = int(np.abs(temperatures - tau).argmin())
        sign = visible(tokens[order[chosen[row]]])
        axis.plot(uniform, tau, "o", color=BLACK, markersize=5)
        axis.annotate(sign, (uniform, tau), xytext=(9, 0), textcoords="offset points", va="center")
        said.append(f"{sign} at {tau:g}")
    axis.grid(visible=False)
    axis.set(
        title=f"The pieces of the draw, and u = {uniform:.2f} (orange: what is drawn)",
        xlabel="probability, added up from the most probable character",
        ylabel="temperature τ",
        xlim=(0, 1),
        ylim=(temperatures[0], temperatures[-1]),
    )
    first = in_words(f"the piece of {visible(tokens[order[0]])}", ends[::-1, 0])
    return with_alt(
        figure,
        f"Pieces from 0 to 1 by temperature. As it falls, each end moves to the right: {first}. "
        f"A line at u = {uniform:.2f} falls on {', '.join(said) or 'some piece'}.",
    )


def shaded_texts(samples: dict[str, tuple[str, np.ndarray]], width: int = 80) -> Figure:
    """Draw texts one below the other, each character shaded by how improbable it was.

    Args:
        samples: title -> (characters (n,), the probability of each (n,)).
        width: characters of a line; longer lines are broken behind a blank, or anywhere.

    Raises:
        ValueError: no text, a width below 1, or a text of more than 200 lines.
    """
    check_drawable(samples, "texts", 12)
    if width < 1:
        raise ValueError(f"width is {width}; it must be 1 or more.")
    lines = {title: _in_lines(*sample, width) for title, sample in samples.items()}
    rows = list(map(len, lines.values()))
    if max(rows) > 200:
        raise ValueError(f"A text has {max(rows)} lines; this figure has room for 200. Cut it.")
    figure, axes = new_figure(
        len(lines),
        1,
        0.105 * width + 1,
        0.19 * sum(rows) + 0.6 * len(lines),
        squeeze=False,
        sharex=True,
        height_ratios=rows,
    )
    said = []
    for axis, (title, text) in zip(axes[:, 0], lines.items(), strict=True):
        surprise = np.zeros((len(text), width))
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
        axis.set(title=plain_text(title, 60), ylabel="lines", xticks=[], yticks=[])
        axis.grid(visible=False)
        p = np.array([p for line in text for _, p in line])
        said.append(f"{plain_text(title, 60)}: {(p < 0.1).sum()} of {len(p)} were below 0.1")
    axis.set_xlabel("characters")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=-np.log([1, 0.3, 0.1, 0.03, 0.003]))
    bar.ax.set_yticklabels(["1", "0.3", "0.1", "0.03", "0.003"])
    bar.set_label("probability under the model")
    return with_alt(
        figure,
        "Texts one below the other, each character on a background that is the darker, the less "
        f"probable it was. {'; '.join(said)}.",
    )


def _in_lines(characters: Sequence[str], p: np.ndarray, width: int) -> list[list[tuple]]:
    """Return the lines of a text as lists of (character, its probability), tabs as blanks."""
    lines = [[]]
    for character, probability in zip(characters, p, strict=True):
        line = lines[-1]
        if len(line) == width and character != "\n":
            blanks = [k for k, (c, _) in enumerate(line) if c == " "]
            cut = blanks[-1] + 1 if blanks else width  # the word goes on in the next line, whole
            lines[-1:] = [line[:cut], line[cut:]]
        if character == "\n":
            lines.append([])
        else:
            shown = character if character.isprintable() else " "
            lines[-1].append((shown, probability))
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
    figure, (axes,) = new_figure(1, len(measured), 3.3 * len(measured), 4, **shared)
    said = []
    for axis, (name, (mean, error)) in zip(axes, measured.items(), strict=True):
        axis.axvspan(*span, color=YELLOW, alpha=0.3, linewidth=0, label="good")
        axis.errorbar(temperatures, mean, error, fmt="o-", color=BLUE, markersize=4, capsize=3)
        axis.axhline(real[name], color=RED, linestyle="--", label="held-out text")
        axis.set(title=plain_text(name, 60), xlabel="temperature τ", ylim=(0, 1.03))
        said.append(f"{in_words(plain_text(name, 60), mean)}, of held-out text {real[name]:.2g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    axes[0].set_ylabel("share")
    return with_alt(
        figure,
        f"Measures of written text by temperature: {'; '.join(said)}. "
        f"Shaded as good: {span[0]:g} to {span[1]:g}.",
    )


def loop(distances: np.ndarray, temperatures: np.ndarray, again: np.ndarray) -> Figure:
    """Draw why a cold text goes round in circles.

    Left, how far the hidden state is from where it was a round ago, which falls until nothing
    differs. Right, how probable one more round is when characters are drawn.

    Args:
        distances: ||h_t - h_(t-P)|| of the characters after the first round of P, (n,).
        temperatures: (m,).
        again: probability of one more round at each temperature, (m,).
    """
    figure, (left, right) = new_figure(1, 2, 9.5, 3.8)
    left.plot(finite(distances), color=BLUE)
    upright_log(left)
    if left.get_yscale() == "log":
        left.axhline(1e-6, color=BLACK, linestyle="--", linewidth=1)
        left.annotate(
            "rounding in 32 bits",
            (0, 1e-6),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=9,
        )
    left.set(
        title="The hidden state comes back to itself",
        xlabel="characters written after the first round",
        ylabel="distance of the hidden state\nfrom a round ago (log scale)",
    )
    right.plot(temperatures, finite(again), color=RED)
    upright_log(right)
    right.set(
        title="Staying in the loop",
        xlabel="temperature τ",
        ylabel="probability of one more round\n(log scale)",
    )
    said = [
        in_words("left, the distance to the state of a round ago", distances),
        in_words("right, the probability of one more round by temperature", again),
    ]
    return with_alt(figure, f"Two curves on log scales: {'; '.join(filter(None, said))}.")


def tradeoff(
    curves: dict[str, tuple[np.ndarray, np.ndarray, Sequence[str]]],
    real: tuple[float, float],
    title: str,
) -> Figure:
    """Draw ways to transform a distribution against each other: novelty, and known words.

    Args:
        curves: name -> (means (n, 2) of novelty and the share of known words, half the width of the
            interval of each (n, 2), the setting at each point (n,)).
        real: novelty and share of known words of held-out text.
        title: stands above.
    """
    figure, axis = new_figure(1, 1, 8.5, 6.2)
    marks = cycle([(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (ORANGE, "v")])
    said = []
    for (name, (means, errors, settings)), (color, mark) in zip(
        curves.items(), marks, strict=False
    ):
        (x, y), (dx, dy) = np.reshape(means, (-1, 2)).T, np.reshape(errors, (-1, 2)).T
        label = legend_name(f"{plain_text(name, 30)}: {plain_text(', '.join(settings), 40)}")
        axis.errorbar(x, y, dy, dx, fmt="none", ecolor=color, elinewidth=1, alpha=0.5)
        axis.plot(x, y, mark + "-", color=color, markersize=6, label=label)
        said.append(in_words(plain_text(name, 60), y))
    axis.plot(*real, "*", color=BLACK, markersize=14, label="held-out text", linestyle="none")
    axis.set(
        title=plain_text(title),
        xlabel="novelty (share of runs of 10 characters that the training text does not have)",
        ylabel="share of known words",
    )
    axis.legend(loc="lower left", title="settings, along each line", fontsize=10)
    said.append(f"held-out text {real[1]:.3g} at a novelty of {real[0]:.2g}")
    return with_alt(
        figure, f"Share of known words against novelty: {'; '.join(filter(None, said))}."
    )
