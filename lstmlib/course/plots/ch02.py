"""Figures of chapter 02."""

from itertools import cycle

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
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
    with_alt,
)


def unrolled(text: str) -> Figure:
    """Draw an RNN unrolled over a text, each character predicting the next, forwards and back.

    Raises:
        ValueError: the text has not 2 to 20 characters.
    """
    if not 2 <= len(text) <= 20:
        raise ValueError(f"The text has {len(text)} characters; give from 2 to 20.")
    figure, axis = new_figure(1, 1, 9.5, 4.4)
    steps, box = len(text) - 1, {"boxstyle": "round,pad=0.45", "edgecolor": "white"}
    for t in range(steps + 1):
        axis.text(t, 1, rf"$h_{{{t}}}$", ha="center", va="center", bbox=box | {"facecolor": SKY})
        if t < steps:
            _arrows(axis, (t, 1), (t + 1, 1), "$W_h$", "$dz\\,W_h^\\top$")
        if t > 0:
            for y, name, color in ((0, text[t - 1], YELLOW), (2, text[t], GREEN)):
                _cell_box(axis, t, y, name, color, box)
            _arrows(axis, (t, 0), (t, 1), "$W_x$", "")
            _arrows(axis, (t, 1), (t, 2), "$W_y$", "$(p-y)\\,W_y^\\top$")
    axis.spines["left"].set_visible(False)
    axis.text(-0.35, 0, "reads", ha="center", va="center")
    axis.text(-0.35, 2, "must predict", ha="center", va="center")
    axis.grid(visible=False)
    axis.set(
        title="Forwards (blue), and the gradient (orange) from every loss back to the start",
        xlabel="step t",
        xlim=(-0.7, steps + 0.5),
        ylim=(-0.45, 2.4),
        xticks=range(steps + 1),
        yticks=[],
    )
    return with_alt(
        figure,
        f"An RNN unrolled over {steps} step{'s' * (steps > 1)}, a column for each: it reads a "
        "character below, passes its state h to the right, and must predict the next character "
        "above. Blue arrows lead up and to the right. Beside each arrow to a prediction, and "
        "beside each arrow between states, an orange one leads back.",
    )


def _cell_box(axis: object, x: float, y: float, text: str, color: str, box: dict) -> None:
    axis.text(
        x,
        y,
        visible(text),
        ha="center",
        va="center",
        family=monospace_fonts(),
        bbox=box | {"facecolor": color},
    )


def _arrows(axis: object, start: tuple, end: tuple, forth: str, back: str) -> None:
    """Draw an arrow forth, and beside it one back if it has a label."""
    (x0, y0), (x1, y1) = start, end
    upright = x0 == x1
    for shift, a, b, label, color in (
        (0.07, start, end, forth, BLUE),
        (-0.07, end, start, back, RED),
    ):
        if not label:
            continue
        dx, dy = (-shift, 0) if upright else (0, shift * 1.4)
        ends = [(p[0] + dx, p[1] + dy) for p in (a, b)]
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 15, "shrinkB": 15}
        axis.annotate("", xy=ends[1], xytext=ends[0], arrowprops=arrow)
        where = ((x0 + x1) / 2 + 2.0 * dx, (y0 + y1) / 2 + 2.6 * dy)
        align = {"ha": "right" if dx < 0 else "left" if dx > 0 else "center", "va": "center"}
        axis.text(*where, label, color=color, fontsize=10, **align)


def step_sizes(
    steps: np.ndarray,
    errors: dict[str, np.ndarray],
    chosen: float,
    title: str = "Large steps miss the curve, small steps drown in rounding",
) -> Figure:
    """Draw the error of numeric gradients against their step size, name -> worst |a - n|.

    Raises:
        ValueError: no step, or one that is not finite and above 0.
    """
    check_drawable(steps, "steps", 1000)
    if not all(0 < step < np.inf for step in (*steps, chosen)):
        raise ValueError("A step is not finite and above 0; it has no place on a log scale.")
    figure, axis = new_figure(1, 1, 7.5, 3.8)
    parts = []
    looks = zip(cycle((BLUE, RED, GREEN)), cycle("os^"))
    for (name, error), (color, mark) in zip(errors.items(), looks, strict=False):
        error = finite(error)
        axis.plot(steps, error, f"{mark}-", color=color, markersize=5, label=legend_name(name))
        if np.isfinite(error).any():
            best = np.nanargmin(error)
            parts.append(f"{name} is best at a step of {steps[best]:.1g}, {error[best]:.1g} off")
    upright_log(axis)
    axis.axvline(chosen, color=BLACK, linestyle="--", linewidth=1, label=f"step {chosen:g}")
    axis.set(xscale="log", xlim=(0.5 * min(*steps, chosen), 2 * max(*steps, chosen)))
    axis.set(
        title=plain_text(title),
        xlabel="step size (log scale)",
        ylabel="worst absolute error\n(log scale)",
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    about = (
        f"Error of a numeric gradient against its step, from {min(steps):.1g} to {max(steps):.1g}"
    )
    return with_alt(figure, f"{about}, both on log scales. {'; '.join(parts)}.")


def stretched_circle(matrices: dict[str, np.ndarray], steps: int = 4) -> Figure:
    """Draw the ellipses that a circle becomes when a matrix is applied up to `steps` times.

    Args:
        matrices: name -> (2, 2); each point v of the circle goes to W v, W W v, and so on.
        steps: how often, from 1 to 10.

    Raises:
        ValueError: no matrix or more than 4, one that is not 2 by 2 and finite, or another number
            of steps.
    """
    check_drawable(matrices, "matrices", 4)
    if not 1 <= steps <= 10:
        raise ValueError(f"There is room for 1 to 10 steps, and not for {steps}.")
    for name, W in matrices.items():
        if np.shape(W) != (2, 2) or not np.isfinite(W).all():
            raise ValueError(f"{name} must be 2 by 2, and finite.")
    figure, axes = new_figure(1, len(matrices), 4.3 * len(matrices), 4.2, squeeze=False)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, 200)
    colors, parts = colormaps["viridis"](np.linspace(0, 0.9, steps + 1)), []
    for axis, (name, W) in zip(axes[0], matrices.items(), strict=True):
        for k, color in enumerate(colors):
            power = np.linalg.matrix_power(np.asarray(W, float), k)
            label = "0 (the circle)" if k == 0 else str(k)
            style = "--" if k == 0 else "-"
            axis.plot(*(power @ circle), style, color=color, linewidth=1.8, label=label)
            axis.plot(*power[:, 0], "o", color=color, markersize=5)
        long, short = np.linalg.svd(power, compute_uv=False)
        parts.append(f"{name}: after {steps} steps half axes of {long:.2g} and {short:.2g}")
        axis.axhline(0, color=BLACK, linewidth=0.5)
        axis.axvline(0, color=BLACK, linewidth=0.5)
        axis.set(title=plain_text(name), xlabel="first entry", aspect="equal")
    axes[0, 0].set_ylabel("second entry")
    axes[0, -1].legend(title="steps", loc="upper left", bbox_to_anchor=(1, 1))
    return with_alt(
        figure,
        "A circle of radius 1 and the ellipses that it becomes, turned and stretched a bit more "
        f"with each step of a matrix. {'; '.join(parts)}.",
    )
