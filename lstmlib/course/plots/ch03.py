"""Figures of chapter 03."""

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from lstmlib.course.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    check_drawable,
    finite,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    visible,
)


def gates(text: str, panels: dict[str, np.ndarray]) -> Figure:
    """Draw what the gates of some units do at each character of a text.

    Args:
        text: (T,) characters.
        panels: title -> values (units, T); those with "gate" in the title get a scale from 0 to 1,
            the others one that is white at 0.

    Raises:
        ValueError: no panel, or one whose values are not one for each of 1 to 100 characters.
    """
    check_drawable(text, "characters")
    check_drawable(panels, "panels", 20)
    for title, values in panels.items():
        if np.shape(values)[1:] != (len(text),):
            raise ValueError(
                f"{title!r} has the shape {np.shape(values)}; for this text it must be "
                f"(units, {len(text)})."
            )
    figure, axes = new_figure(len(panels), 1, 11, 1.45 * len(panels), sharex=True)
    for axis, (title, values) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        gate = "gate" in title
        values = finite(values)
        limit = np.abs(values[np.isfinite(values)]).max(initial=0) or 1
        scale = {"vmin": 0, "vmax": 1} if gate else {"vmin": -limit, "vmax": limit}
        image = axis.imshow(values, aspect="auto", cmap="Blues" if gate else "RdBu", **scale)
        figure.colorbar(image, ax=axis, pad=0.01)
        axis.grid(visible=False)
        axis.set(title=plain_text(title), ylabel="unit", yticks=range(len(values)))
        axis.set_yticks(range(len(values)), range(1, len(values) + 1), fontsize=8)
    axis.set_xticks(range(len(text)), [visible(c) for c in text], family=monospace_fonts())
    axis.set_xlabel("character read")
    return figure


def distributions(
    tokens: list[str], panels: dict[str, np.ndarray], title: str, most: int = 10
) -> Figure:
    """Draw several distributions over the same characters as bars beside each other.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        panels: name -> probabilities (V,).
        title: what the figure shows.
        most: how many characters to show, the most probable of the first distribution.
    """
    check_drawable(panels, "distributions", 12)
    figure, axis = new_figure(1, 1, 9, 3.8)
    order = np.argsort(-next(iter(panels.values())), kind="stable")[:most]
    width = 0.8 / len(panels)
    for k, ((name, p), color) in enumerate(zip(panels.items(), cycle((BLUE, ORANGE, GREEN)))):
        axis.bar(
            np.arange(len(order)) + (k - (len(panels) - 1) / 2) * width,
            p[order],
            width,
            color=color,
            label=legend_name(name),
        )
    axis.set_xticks(range(len(order)), [visible(tokens[i]) for i in order])
    axis.grid(axis="x", visible=False)
    axis.set(title=plain_text(title), xlabel="next character", ylabel="probability")
    axis.legend()
    return figure
