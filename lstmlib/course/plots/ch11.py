"""Figures of chapter 11: units along a text, and what was found in them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
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

_MAP = LinearSegmentedColormap.from_list("units", ["#6fa9cf", "#ffffff", "#f1c86e"])
"""From -1 to 1: blue and orange, both light enough for black characters."""


def units_along_text(text: str, values: Mapping[str, np.ndarray], width: int = 84) -> Figure:
    """Draw a text once for each of some units, each character coloured by the unit's value there.

    A line above a character says that the value is 0.5 or more, a line below it that it is -0.5 or
    less, for readers who do not see the colours.

    Args:
        text: T characters.
        values: title -> (T,) from -1 to 1, the value after each character.
        width: characters of a line; longer lines are broken.

    Raises:
        ValueError: no unit, more than six; values that are not one for each character; no text, a
            width below 1, or a text of more than 60 lines.
    """
    check_drawable(values, "units", 6)
    if width < 1:
        raise ValueError(f"width is {width}; it must be 1 or more.")
    wrong = [title for title, own in values.items() if np.shape(own) != (len(text),)]
    if wrong or not text:
        raise ValueError(
            f"The text has {len(text)} characters; each unit needs one value for each of them, and "
            "there must be one at least."
        )
    rows, columns = _places(text, width)
    if rows[-1] >= 60:
        raise ValueError(f"The text has {rows[-1] + 1} lines; this figure has room for 60. Cut it.")
    high = rows[-1] + 1
    size = 0.1 * width + 1.2, len(values) * (0.19 * high + 0.55) + 0.3
    figure, axes = new_figure(len(values), 1, *size, squeeze=False, sharex=True)
    said = []
    for axis, (title, own) in zip(axes[:, 0], values.items(), strict=True):
        own = np.clip(np.nan_to_num(finite(own)), -1, 1)
        picture = _draw_text(axis, text, own, rows, columns, (high, width))
        axis.set(title=plain_text(title, 80), ylabel="lines", xticks=[], yticks=[])
        axis.grid(visible=False)
        said.append(
            f"{plain_text(title, 80)}: 0.5 or more at {(own >= 0.5).sum()}, −0.5 or less at "
            f"{(own <= -0.5).sum()} of {len(text)} characters"
        )
    axis.set_xlabel("characters")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("value after the character")
    return with_alt(figure, f"A text, coloured by one unit after another. {'; '.join(said)}.")


def _places(text: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the line and the column of each character, (T,) each."""
    rows, columns, row, column = [], [], 0, 0
    for character in text:
        if column >= width:
            row, column = row + 1, 0
        rows.append(row)
        columns.append(column)
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    return np.array(rows), np.array(columns)


def _draw_text(
    axis: Axes,
    text: str,
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
) -> object:
    """Draw characters on backgrounds of their values; return the picture, for a scale beside it."""
    grid = np.zeros(shape)
    grid[rows, columns] = values
    picture = axis.imshow(grid, cmap=_MAP, vmin=-1, vmax=1, aspect="auto")
    fonts = monospace_fonts()
    for character, row, column in zip(text, rows, columns, strict=True):
        sign = "↵" if character == "\n" else "" if character == " " else visible(character)
        axis.text(column, row, sign, family=fonts, fontsize=9, ha="center", va="center")
    for chosen, height in ((values >= 0.5, -0.44), (values <= -0.5, 0.44)):
        y = rows[chosen] + height
        axis.hlines(y, columns[chosen] - 0.5, columns[chosen] + 0.5, color=BLACK, linewidth=0.8)
    return picture


_MARKS = (
    (BLUE, "o"),
    (RED, "s"),
    (GREEN, "^"),
    (ORANGE, "D"),
    (PINK, "v"),
    (BLACK, "x"),
)
_FLOOR = 1e-10
"""Gradients below it are not drawn."""
Score = tuple[float, float, float]
"""A value, and the ends of its interval."""


def scores_with_controls(
    networks: Mapping[str, Mapping[str, Mapping[str, Score]]],
    title: str,
    xlabel: str,
    zero: float,
) -> Figure:
    """Draw what was found and its controls, a row for each find, with intervals.

    Args:
        networks: network -> find -> kind -> (value, low, high). At most three networks, and six
            kinds, in the same order everywhere; a find may lack some.
        title: stands above.
        xlabel: what the values are, with their unit.
        zero: the value that says nothing, where a line stands.

    Raises:
        ValueError: no network, no find, or more than there is room for.
    """
    check_drawable(networks, "networks", 3)
    for name, finds in networks.items():
        check_drawable(finds, f"finds of {name}", 12)
    kinds = list(dict.fromkeys(k for finds in networks.values() for f in finds.values() for k in f))
    check_drawable(kinds, "kinds", len(_MARKS))
    rows = [len(finds) for finds in networks.values()]
    figure, axes = new_figure(
        len(networks), 1, 9.5, 1.1 + 0.5 * sum(rows) + 0.5 * len(rows),
        squeeze=False, sharex=True, height_ratios=rows,
    )  # fmt: skip
    said = []
    for axis, (name, finds) in zip(axes[:, 0], networks.items(), strict=True):
        axis.axvline(zero, color=BLACK, linewidth=1)
        axis.grid(visible=False, axis="y")
        for row in range(1, len(finds), 2):  # every second find stands on grey
            axis.axhspan(row - 0.5, row + 0.5, color=BLACK, alpha=0.05, linewidth=0)
        for row, scores in enumerate(finds.values()):
            _draw_scores(axis, row, scores, kinds)
        axis.set(title=plain_text(name, 60), ylabel="find", yticks=range(len(finds)))
        axis.set_yticklabels([plain_text(find, 40) for find in finds])
        axis.set_ylim(len(finds) - 0.5, -0.5)
        for find, scores in finds.items():
            values = ", ".join(f"{kind} {score[0]:.2f}" for kind, score in scores.items())
            said.append(f"{name}, {find}: {values}")
    axis.set_xlabel(plain_text(xlabel))
    figure.suptitle(plain_text(title))
    names = list(map(legend_name, kinds))
    drawn = {mark.get_label(): mark for axis in axes[:, 0] for mark in axis.containers}
    marks = [drawn[name] for name in names]
    figure.legend(marks, names, loc="outside lower center", ncols=3, fontsize=9)
    return with_alt(figure, f"{title}. {'; '.join(said)}.")


def _draw_scores(axis: Axes, row: int, scores: Mapping[str, Score], kinds: list[str]) -> None:
    """Draw the values of one find with their intervals, a little below each other."""
    for kind, (value, low, high) in scores.items():
        place = kinds.index(kind)
        color, marker = _MARKS[place]
        y = row + 0.13 * (place - (len(kinds) - 1) / 2)
        error = [[max(value - low, 0)], [max(high - value, 0)]]
        axis.errorbar(
            value,
            y,
            xerr=error,
            fmt=marker,
            color=color,
            markersize=4.5,
            capsize=2,
            label=legend_name(kind),
        )


def reach_curves(
    foreign: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    gradient: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    title: str,
) -> Figure:
    """Draw how far networks look: the loss after a foreign past, and the gradient by distance.

    Args:
        foreign: name -> (k, loss in nats per character when all but the last k characters are
            another text's). k = 0 is drawn at 0.
        gradient: name -> (k, gradient of the loss by the character k steps before); what is below
            1e-10 is not shown.
        title: stands above.

    Raises:
        ValueError: no curves, or more than six.
    """
    looks = dict(zip(foreign, _MARKS, strict=False))
    check_drawable(foreign, "curves", len(_MARKS))
    check_drawable(gradient, "curves", len(_MARKS))
    figure, (left, right) = new_figure(1, 2, 10.5, 4.6)
    said = []
    for axis, curves in ((left, foreign), (right, gradient)):
        for name, (k, values) in curves.items():
            color, marker = looks[name]
            k, values = finite(k), finite(values)
            axis.plot(
                k, values, "-", marker=marker, markersize=4, color=color, label=legend_name(name)
            )
            said.append(f"{name} {in_words('', values).strip()}, up to {k.max():.0f} characters")
    left.set_xscale("symlog", linthresh=1)
    left.set_xticks([0, 1, 3, 10, 30, 100, 300], ["0", "1", "3", "10", "30", "100", "300"])
    left.set(
        title="Another text's past before them",
        xlabel="true characters k before the prediction",
        ylabel="loss (nats per character)",
    )
    upright_log(left)
    left.set_yticks([1.5, 2, 3, 4, 5, 7, 10], ["1.5", "2", "3", "4", "5", "7", "10"])
    left.set_yticks([], minor=True)
    left.set_ylim(*_room([values for _, values in foreign.values()]))
    right.set(
        title="Gradient by distance",
        xlabel="characters before the prediction",
        ylabel="norm of the gradient of the loss",
        yscale="log",
        ylim=(_FLOOR, None),
    )
    left.legend(fontsize=9)
    figure.suptitle(plain_text(title))
    middle = len(foreign)
    return with_alt(
        figure,
        f"{title}. Left, the loss: {'; '.join(said[:middle])}. Right, the gradient: "
        f"{'; '.join(said[middle:])}.",
    )


def _room(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the ends of a log scale that shows some curves, with a little room."""
    every = np.concatenate([finite(values) for values in curves])
    return 0.93 * np.nanmin(every), 1.07 * np.nanmax(every)


def time_constants(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str
) -> Figure:
    """Draw how long each unit keeps what is in its cell, and what the network loses without it.

    Args:
        groups: name of some units, such as a layer -> (time constant in characters (H,), rise of
            the loss in nats per character when the cell is held at its mean (H,)).
        title: stands above.

    Raises:
        ValueError: no group, or more than four.
    """
    check_drawable(groups, "groups", 4)
    figure, (left, right) = new_figure(1, 2, 10.5, 4.3)
    said = []
    every = np.concatenate([finite(tau) for tau, _ in groups.values()])
    bins = np.geomspace(np.nanmin(every), np.nanmax(every) * 1.001, 22)
    for (name, (tau, effect)), (color, marker) in zip(groups.items(), _MARKS, strict=False):
        tau, effect = finite(tau), finite(effect)
        left.hist(tau, bins, histtype="step", linewidth=2, color=color, label=legend_name(name))
        right.plot(
            tau, effect, marker, color=color, markersize=4, alpha=0.7, label=legend_name(name)
        )
        said.append(
            f"{name}: median {np.nanmedian(tau):.3g} characters, from {np.nanmin(tau):.2g} to "
            f"{np.nanmax(tau):.3g}; largest effect {np.nanmax(effect):.2g} nats"
        )
    left.set(title="Time constants", xlabel="time constant (characters)", ylabel="units")
    right.set(
        title="What a unit is worth",
        xlabel="time constant (characters)",
        ylabel="rise of the loss (nats per character)",
    )
    right.set_yscale("symlog", linthresh=1e-3)
    for axis in (left, right):
        axis.set_xscale("log")
    left.legend(fontsize=9)
    figure.suptitle(plain_text(title))
    return with_alt(figure, f"{title}. {'. '.join(said)}.")
