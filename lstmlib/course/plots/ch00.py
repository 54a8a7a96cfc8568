"""Figures of chapter 00."""

import numpy as np
from matplotlib.figure import Figure

from lstmlib.course.plots.style import BLUE, check_drawable, new_figure, visible


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
    figure, axes = new_figure(1, len(distributions), 3.6 * len(distributions), 3.4, sharey=True)
    order = np.argsort(-distributions[max(distributions)], kind="stable")[:most]
    for axis, (temperature, p) in zip(np.atleast_1d(axes), distributions.items(), strict=True):
        axis.bar(range(len(order)), p[order], color=BLUE)
        axis.set_xticks(range(len(order)), [visible(tokens[i]) for i in order])
        axis.grid(axis="x", visible=False)
        axis.set(title=f"T = {temperature}", xlabel="next character", ylim=(0, 1))
    np.atleast_1d(axes)[0].set_ylabel("probability")
    return figure
