"""Figures of training that several chapters draw: losses, gradients, clipping."""

from itertools import cycle

import numpy as np
from IPython.display import Image, display
from matplotlib.figure import Figure

from lstmlib import scratch
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
    new_figure,
    plain_log_labels,
    plain_text,
    png,
    running_mean,
    upright_log,
    with_alt,
)
from lstmlib.history import History


def loss_and_gradient(
    history: History, baselines: dict[str, float] | None = None, title: str = "Training"
) -> Figure:
    """Draw loss and gradient norm over one axis of steps.

    Above: training and validation loss in nats per character, with baselines (name -> nats per
    character) as dashed lines. Below: the global gradient norm before clipping, on a log scale, and
    the steps that were clipped.
    """
    figure, (top, bottom) = new_figure(2, 1, 8, 5.6, sharex=True, height_ratios=[3, 2])
    steps, loss = finite_column(history, "loss")
    top.plot(steps, loss, color=SKY, alpha=0.45, linewidth=1)
    top.plot(steps, running_mean(loss, 20), color=BLUE, label="training (mean of 20 steps)")
    at, valid = finite_column(history, "valid_loss")
    if len(at):
        top.plot(at, valid, "o-", color=RED, markersize=4, label="validation")
    for (name, nats), color in zip((baselines or {}).items(), (BLACK, GREEN, PINK), strict=False):
        top.axhline(nats, color=color, linestyle="--", linewidth=1, label=legend_name(name))
    highest = max(loss.max(initial=0.1), valid.max(initial=0.1))
    top.set(title=plain_text(title), ylabel="loss\n(nats per character)", ylim=(0, highest * 1.05))
    top.legend(loc="best", bbox_to_anchor=(0, 0, 1, 0.93))  # upper right, where that is free
    steps, norm = finite_column(history, "grad_norm")  # a step that was skipped has none
    clipped = dict(zip(*history.column("clipped_norm"), strict=True))
    hit = np.array([clipped.get(k, n) < n for k, n in zip(steps, norm, strict=True)], dtype=bool)
    bottom.plot(steps, norm, color=BLUE, linewidth=1, label="before clipping")
    if hit.any():
        bottom.plot(steps[hit], norm[hit], "x", color=ORANGE, label="steps that were clipped")
    upright_log(bottom)
    plain_log_labels(bottom)
    bottom.set(xlabel="step", ylabel="gradient norm\n(log scale)")
    bottom.legend(loc="best")
    parts = [in_words("training loss", loss), in_words("validation loss", valid)]
    parts += [f"{name} at {nats:.3g}" for name, nats in (baselines or {}).items()]
    parts += [f"{in_words('below, the gradient norm', norm)}, clipped at {hit.sum()} steps"]
    return with_alt(figure, f"{title}, {len(history)} steps: {'; '.join(filter(None, parts))}.")


class LivePlot:
    """A picture of the loss and the gradient norm that redraws itself while `fit` runs.

    Pass it to `fit` as on_step. It updates one displayed image in place, every `every` steps.
    """

    def __init__(self, every: int = 50, baselines: dict[str, float] | None = None) -> None:
        self.every, self.baselines = every, baselines
        self._handle = None

    def __call__(self, history: History) -> None:
        """Redraw if it is time to."""
        if len(history) % self.every:
            return
        figure = loss_and_gradient(history, self.baselines)
        image = Image(png(figure), alt=figure.get_label())
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


def loss_curves(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    xlabel: str = "step",
    ylabel: str = "loss (nats per character)",
    baselines: dict[str, float] | None = None,
    top: float | None = None,
    log: bool = False,
) -> Figure:
    """Draw losses over one axis, name -> (x, loss), and baselines as dashed lines.

    A curve of a single point becomes a mark.

    `top` cuts the picture off above, for curves that start or go far up; `log` makes the upright
    scale logarithmic, for what spans several powers of ten, such as norms and update sizes. Its
    labels are plain numbers.

    Raises:
        ValueError: no curve, or more than 40; `top` is not finite.
    """
    check_drawable(curves, "curves", 40)
    if top is not None and not np.isfinite(top):
        raise ValueError(f"top is {top}; it must be a finite number, or None.")
    figure, axis = new_figure(1, 1, 8, 4)
    colors, styles = cycle((BLUE, RED, GREEN, ORANGE, PINK)), cycle(("-", "--", "-.", ":"))
    for (name, (x, y)), color, style in zip(curves.items(), colors, styles, strict=False):
        axis.plot(x, finite(y), style if len(x) > 1 else "D", color=color, label=legend_name(name))
    for (name, value), color in zip((baselines or {}).items(), cycle((BLACK, PINK))):
        axis.axhline(
            value, color=color, linestyle=(0, (6, 3)), linewidth=1, label=legend_name(name)
        )
    axis.set(title=plain_text(title), xlabel=plain_text(xlabel), ylabel=plain_text(ylabel, 60))
    if log:
        upright_log(axis)
    if top is not None:
        axis.set_ylim(top=top)
    plain_log_labels(axis)
    if len(curves) > 6:  # too many to leave the curves room
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    else:
        axis.legend()
    parts = [in_words(name, y) for name, (_, y) in curves.items()]
    parts += [f"{name} at {value:.3g}" for name, value in (baselines or {}).items()]
    about = f"{title}: {ylabel} by {xlabel}".replace("\n", " ")
    return with_alt(figure, f"{about}. {'; '.join(filter(None, parts))}.")


def gradient_against_lag(norms: dict[str, np.ndarray]) -> Figure:
    """Draw how strongly the last hidden state depends on an earlier state, name -> norm by lag."""
    check_drawable(norms, "curves", 40)
    figure, axis = new_figure(1, 1, 8, 4)
    colors, styles = cycle((RED, BLUE, GREEN, ORANGE)), cycle(("-", "-", "--", ":"))
    for (name, norm), color, style in zip(norms.items(), colors, styles, strict=False):
        axis.plot(
            range(1, len(norm) + 1), finite(norm), style, color=color, label=legend_name(name)
        )
    upright_log(axis)
    axis.set(
        title="What is left of the gradient after so many steps",
        xlabel="lag (characters back)",
        ylabel="norm of the Jacobian\n(log scale)",
    )
    axis.legend()
    parts = "; ".join(in_words(name, norm) for name, norm in norms.items())
    return with_alt(figure, f"Norm of the Jacobian by lag, on a log scale. {parts}.")


def clipping(gradients: list[tuple[float, float]], limit: float) -> Figure:
    """Draw gradients of two weights as arrows, clipped by global norm and by value at one limit.

    Raises:
        ValueError: no gradient, or one that is not finite; a limit that is not finite and above 0.
    """
    check_drawable(gradients, "gradients")
    if not np.isfinite(gradients).all():
        raise ValueError("A gradient is NaN or infinite; it cannot be drawn as an arrow.")
    if not 0 < limit < np.inf:
        raise ValueError(f"limit is {limit}; it must be finite, and above 0.")
    figure, axes = new_figure(1, 2, 9, 4.4, sharex=True, sharey=True)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = (limit * np.cos(angle), limit * np.sin(angle))
    corner = limit * np.array([-1, 1, 1, -1, -1])
    square = (corner, limit * np.array([-1, -1, 1, 1, -1]))
    rules = {
        "by norm: shorter, never turned": (
            circle,
            lambda g: scratch.clip_by_global_norm({"g": g}, limit)[0]["g"],
        ),
        "by value: every entry cut by itself": (
            square,
            lambda g: scratch.clip_by_value({"g": g}, limit)["g"],
        ),
    }
    for axis, (title, (border, clip)) in zip(axes, rules.items(), strict=True):
        axis.plot(*border, color=BLACK, linewidth=1, linestyle="--", label=f"limit {limit:g}")
        for gradient, color in zip(gradients, cycle((BLUE, RED, GREEN)), strict=False):
            arrow = {"arrowstyle": "-|>", "color": color}
            axis.annotate("", gradient, (0, 0), arrowprops=arrow | {"alpha": 0.35, "linewidth": 1})
            clipped = clip(np.array(gradient))
            axis.annotate("", clipped, (0, 0), arrowprops=arrow | {"linewidth": 2.5})
        reach = 1.1 * max(np.abs(gradients).max(), limit)
        axis.set(title=title, xlabel="gradient of weight 1", aspect="equal")
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes[0].set_ylabel("gradient of weight 2")
    axes[0].legend(loc="lower left")
    return with_alt(
        figure,
        f"{len(gradients)} gradients of two weights as arrows, before and after clipping at "
        f"{limit:g}. Left, by norm: what reaches out of the circle is shortened, and keeps its "
        "direction. Right, by value: what reaches out of the square is cut and turns.",
    )
