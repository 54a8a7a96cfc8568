"""Figures of chapter 10."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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
    in_words,
    legend_name,
    new_figure,
    plain_text,
    with_alt,
)

LOOKS = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (ORANGE, ":"), (PINK, "-"), (BLACK, "--"))


class _Curve(Protocol):
    """Losses on held-out text, with what was read and how long it took until each, (K,) each."""

    characters: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray


def curves_of_cases(curves: Mapping[str, _Curve], title: str, top: float) -> Figure:
    """Draw learning curves twice: by the characters read, and by the seconds of training.

    Args:
        curves: name -> curve; at most six.
        title: stands above.
        top: what lies above, in nats per character, is cut off.

    Raises:
        ValueError: no curve, or more than six; `top` is not above 0.
    """
    check_drawable(curves, "curves", len(LOOKS))
    if not 0 < top < np.inf:
        raise ValueError(f"top is {top}; it must be finite, and above 0.")
    figure, axes = new_figure(1, 2, 10, 4.4, sharey=True)
    labels = {"characters": "characters read", "seconds": "seconds, each on its machine"}
    for axis, (along, label) in zip(axes, labels.items(), strict=True):
        for (name, curve), (color, line) in zip(curves.items(), LOOKS, strict=False):
            x, loss = finite(getattr(curve, along)), finite(curve.loss)
            shown = np.where(loss <= top, loss, np.nan)
            axis.plot(
                x, shown, line, marker="o", markersize=3, color=color, label=legend_name(name)
            )
        axis.set(title=f"by {along}", xscale="log", xlabel=f"{label} (log scale)")
    axes[0].set_ylabel("held-out loss\n(nats per character)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.suptitle(plain_text(title))
    parts = [in_words(name, curve.loss) for name, curve in curves.items()]
    cut = sum(int((finite(curve.loss) > top).sum()) for curve in curves.values())
    more = f" {cut} points above {top:g} are cut off." if cut else ""
    return with_alt(
        figure,
        f"{title}: left by characters read, right by seconds. {'; '.join(filter(None, parts))}."
        + more,
    )


def change_by_change(rows: Sequence[tuple[str, float, float, int]], title: str) -> Figure:
    """Draw what changes did to a loss: a line from before to after for each.

    Args:
        rows: (what changed, loss before, loss after, number of settings that differ), in nats per
            character; at most 30.
        title: stands above.

    Raises:
        ValueError: no row, or too many.
    """
    check_drawable(rows, "rows", 30)
    figure, axis = new_figure(1, 1, 9, 1.4 + 0.42 * len(rows))
    for y, (_, before, after, settings) in enumerate(rows):
        color = BLUE if after < before else RED
        axis.plot((before, after), (y, y), "-", color=color, linewidth=2)
        axis.plot(before, y, "o", color=BLACK, markersize=5)
        filled = color if settings == 1 else "white"
        axis.plot(after, y, "s", markerfacecolor=filled, markeredgecolor=color, markersize=7)
        axis.annotate(
            f"{after - before:+.2f}",
            (max(before, after), y),
            (8, 0),
            textcoords="offset points",
            va="center",
        )
    axis.plot([], [], "o", color=BLACK, markersize=5, label="before")
    axis.plot([], [], "s", color=BLUE, markersize=7, label="after one change")
    look = {"markerfacecolor": "white", "markeredgecolor": BLUE}
    axis.plot([], [], "s", markersize=7, label="after several at once", **look)
    axis.plot([], [], "-", color=RED, linewidth=2, label="worse")
    axis.set(
        title=plain_text(title),
        xlabel="held-out loss (nats per character)",
        yticks=range(len(rows)),
        yticklabels=[plain_text(name, 60) for name, *_ in rows],
        ylabel="what changed",
        ylim=(len(rows) - 0.5, -0.5),
    )
    axis.margins(x=0.12)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    said = "; ".join(f"{name} from {a:.2f} to {b:.2f}" for name, a, b, _ in rows)
    return with_alt(figure, f"{title}, in nats per character: {said}.")


def cases_measured(
    found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    units: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw the measures of several systems beside those of their held-out text.

    Args:
        found: measure -> system -> kind of text, "held-out" among them -> (value, low, high). Each
            system has its own held-out text. One that has no such measure has no kind.
        units: measure -> its unit.
        title: stands above.

    Raises:
        ValueError: no measure, or more than 9; a measure with no system, or more than 12.
    """
    check_drawable(found, "measures", 9)
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, grid = new_figure(rows, columns, 10.5, 2.9 * rows, squeeze=False)
    for axis, (name, systems) in zip(grid.flat, found.items(), strict=False):
        check_drawable(systems, "systems", 12)
        _draw_measure(axis, systems)
        axis.set(title=plain_text(name, 60), xlabel="case", ylabel=plain_text(units[name], 40))
    for axis in list(grid.flat)[len(found) :]:
        axis.remove()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(plain_text(title))
    said = "; ".join(f"{name}: {_said(systems)}" for name, systems in found.items())
    return with_alt(figure, f"{title}, lowest and highest over the cases. {said}.")


def _draw_measure(axis: Axes, systems: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw one measure: a place for each system, in it a mark for each kind of text."""
    kinds = list(dict.fromkeys(kind for each in systems.values() for kind in each))
    looks = dict(zip(kinds, "os^D", strict=False))
    colors = dict(zip(kinds, (BLACK, RED, SKY, GREEN), strict=False))
    for kind, shift in zip(kinds, np.linspace(-0.25, 0.25, len(kinds)), strict=True):
        at = [k for k, each in enumerate(systems.values()) if kind in each]
        values = np.array([each[kind] for each in systems.values() if kind in each], dtype=float)
        value, low, high = values.T  # (systems,) each
        axis.errorbar(
            np.array(at) + shift,
            value,
            (np.maximum(value - low, 0), np.maximum(high - value, 0)),
            fmt=looks[kind],
            color=colors[kind],
            markersize=5,
            label=legend_name(kind),
            clip_on=False,  # a mark at 0 is a whole mark
        )
    names = [plain_text(name, 12) for name in systems]
    axis.set(xticks=range(len(names)), xticklabels=names, ylim=(0, None))
    axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1.05 * axis.get_ylim()[1]))


def _said(systems: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return between which values a measure lies for each kind of text, in words."""
    values: dict[str, list[float]] = {}
    for kinds in systems.values():
        for kind, (value, *_) in kinds.items():
            values.setdefault(kind, []).append(value)
    return ", ".join(f"{kind} {min(x):.2g} to {max(x):.2g}" for kind, x in values.items())
