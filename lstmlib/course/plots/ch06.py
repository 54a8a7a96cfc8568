"""Figures of chapter 06."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullLocator, StrMethodFormatter

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    STYLE,
    check_drawable,
    finite,
    finite_column,
    in_words,
    legend_name,
    new_figure,
    plain_log_labels,
    plain_text,
    running_mean,
    upright_log,
    with_alt,
)
from lstmlib.course.plots.training import gradient_against_lag, loss_and_gradient, loss_curves
from lstmlib.diagnostics import series
from lstmlib.history import History


def broken_run(
    history: History, baselines: dict[str, float] | None = None, title: str = "Training"
) -> Figure:
    """Draw what `loss_and_gradient` draws, with the legends beside it, since this loss goes up."""
    figure = loss_and_gradient(history, baselines, title)
    for axis in figure.axes:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure


def log_curves(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    xlabel: str = "step",
    ylabel: str = "loss (nats per character)",
    at: float | None = None,
) -> Figure:
    """Draw curves on a log scale whose labels are plain numbers, as `loss_curves` takes them.

    Args:
        curves: name -> (x, values).
        title: stands above.
        xlabel: what x is.
        ylabel: what the values are, with the unit.
        at: an x to mark by an upright line.

    Raises:
        ValueError: no curve, or more than 40.
    """
    figure = loss_curves(curves, title, xlabel, ylabel, log=True)
    (axis,) = figure.axes
    plain_log_labels(axis)
    if at is not None:
        axis.axvline(at, color=BLACK, linestyle=":", label=f"{plain_text(xlabel, 40)} {at:g}")
        axis.legend()
    return figure


def jacobian_products(norms: dict[str, np.ndarray], floor: float = 1e-12) -> Figure:
    """Draw what `gradient_against_lag` draws; what lies below the floor is drawn on it, and said.

    Args:
        norms: name -> (T,) the norm at the lags 1 to T.
        floor: the least that is drawn, above 0.

    Raises:
        ValueError: no curve, or more than 40.
    """
    raised = {name: np.maximum(finite(norm), floor) for name, norm in norms.items()}
    figure = gradient_against_lag(raised)
    (axis,) = figure.axes
    if any((norm <= floor).any() for norm in raised.values()):
        where = {"transform": axis.get_yaxis_transform(), "ha": "right", "va": "bottom"}
        axis.text(0.99, floor, f"{floor:g} or less", **where)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def cliff(
    distances: np.ndarray,
    losses: np.ndarray,
    marks: dict[str, tuple[float, float]],
    title: str,
    near: float,
) -> Figure:
    """Draw the loss along a line through the weights: its beginning close up, and all of it.

    Args:
        distances: (n,) how far the weights were moved, ascending.
        losses: (n,) the loss there.
        marks: name -> (distance, loss) of a point to mark.
        title: what the figure shows.
        near: up to which distance the left panel reaches.

    Raises:
        ValueError: no distance, or more than 7 marks.
    """
    check_drawable(distances, "distances", np.inf)
    if marks:
        check_drawable(marks, "marks", 7)
    figure, axes = new_figure(1, 2, 10, 4.2, sharey=True)
    losses = finite(losses)
    for axis, about in zip(axes, ("close up", "the whole step"), strict=True):
        axis.plot(distances, losses, color=BLUE, label="loss of the batch")
        for (name, point), look in zip(marks.items(), cycle(_MARKS), strict=False):
            axis.plot(*point, linestyle="", markersize=10, label=legend_name(name), **look)
        axis.set(title=f"{plain_text(title, 60)}\n{about}", xlabel="distance moved")
    axes[0].set(ylabel="loss\n(nats per character)")
    axes[0].set_xlim(distances[0] - 0.05 * near, near)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    marked = "; ".join(f"{name}: {loss:.3g} at {at:.3g}" for name, (at, loss) in marks.items())
    shown = losses[np.isfinite(losses)]
    lowest = distances[np.nanargmin(losses)] if len(shown) else np.nan
    said = f"{title}. {in_words('The loss', losses)}; lowest at a distance of {lowest:.3g}. "
    return with_alt(figure, f"{said}Left the first {near:g}, right the whole. {marked}.")


_MARKS = (
    {"color": BLACK, "marker": "*"},
    {"color": GREEN, "marker": "D"},
    {"color": RED, "marker": "s"},
)


def patients(histories: dict[str, History]) -> Figure:
    """Draw the training losses of several runs, a panel each, the others in grey.

    Args:
        histories: name -> history.

    Raises:
        ValueError: no history, or more than 12.
    """
    check_drawable(histories, "histories", 12)
    rows = -(-len(histories) // 3)
    figure, axes = new_figure(rows, 3, 10, 1 + 2.3 * rows, sharex=True, sharey=True, squeeze=False)
    curves = {name: finite_column(history, "loss") for name, history in histories.items()}
    for name, axis in zip(curves, axes.flat, strict=False):
        for other in curves:
            if other != name:
                axis.plot(*curves[other], color="lightgrey", linewidth=1)
        axis.plot(*curves[name], color=BLUE)
        axis.set_title(plain_text(name, 40))
    upright_log(axes[0, 0])
    plain_log_labels(axes[0, 0])
    for axis in axes.flat[len(curves) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("step")
    for axis in axes[:, 0]:
        axis.set_ylabel("training loss\n(nats, log scale)")
    said = "; ".join(in_words(name, loss) for name, (_, loss) in curves.items())
    return with_alt(figure, f"The training loss of each run, the others in grey: {said}.")


def loss_and_gradient_by_epoch(
    history: History,
    epoch_steps: int,
    limit: float,
    baselines: dict[str, float] | None = None,
    title: str = "Training",
) -> Figure:
    """Draw loss and gradient norm over epochs, of a history with a row for many steps.

    Above: the mean training loss of each row, and the validation loss, window by window; baselines
    as in `loss_and_gradient`. Below: the largest gradient norm of each row, on a log scale.

    Args:
        history: as experiments/train_windows.py writes it.
        epoch_steps: steps of an epoch.
        limit: where the norm is clipped; a dashed line.
        baselines: name -> nats per character.
        title: stands above.
    """
    figure, (top, bottom) = new_figure(2, 1, 8, 5.6, sharex=True, height_ratios=[3, 2])
    steps, loss = finite_column(history, "loss")
    top.plot(steps / epoch_steps, loss, color=BLUE, label="training")
    at, valid = finite_column(history, "valid_window_loss")
    top.plot(at / epoch_steps, valid, "o", color=RED, markersize=4, label="validation")
    for (name, nats), color in zip((baselines or {}).items(), cycle((BLACK, GREEN, PINK))):
        top.axhline(nats, color=color, linestyle="--", linewidth=1, label=legend_name(name))
    highest = max(loss.max(initial=0.1), valid.max(initial=0.1), *(baselines or {}).values())
    top.set(title=plain_text(title), ylabel="loss\n(nats per character)", ylim=(0, highest * 1.1))
    top.legend(loc="lower right")
    steps, norm = finite_column(history, "grad_norm")
    bottom.plot(steps / epoch_steps, norm, color=BLUE, linewidth=1, label="largest norm")
    bottom.axhline(limit, color=ORANGE, linestyle="--", label=f"clipped at {limit:g}")
    upright_log(bottom)
    plain_log_labels(bottom)
    bottom.set(xlabel="epoch", ylabel="gradient norm\n(log scale)")
    bottom.legend(loc="center right")
    parts = [in_words("training loss", loss), in_words("validation loss", valid)]
    parts += [f"{name} at {nats:.3g}" for name, nats in (baselines or {}).items()]
    parts += [f"{in_words('below, the largest gradient norm', norm)}, clipped at {limit:g}"]
    return with_alt(figure, f"{title}, by epoch: {'; '.join(filter(None, parts))}.")


def norms_over_time(
    steps: np.ndarray, parts: dict[str, np.ndarray], title: str, label: str
) -> Figure:
    """Draw a number of each part of a network, such as its gradient norm, as a heat map over steps.

    The colours are on a log scale; what is not finite, or not above 0, is grey. More than 400 steps
    are drawn as at most 400 columns, each the maximum of its finite values, so that a spike of a
    single step stays in the picture.

    Args:
        steps: (S,) the steps, ascending; one that is missing is drawn as the one before it.
        parts: name of the part -> values (S,), drawn from the top down.
        title: what the figure shows.
        label: what the colours mean, with the unit.

    Raises:
        ValueError: no value can be drawn, or there are more than 200 parts.
    """
    check_drawable(steps, "steps", np.inf)
    check_drawable(parts, "parts", 200)
    figure, axis = new_figure(1, 1, 10, 1.3 + 0.28 * len(parts))
    starts = np.arange(0, len(steps), -(-len(steps) // 400))
    values = finite(list(parts.values()))
    values[~(values > 0)] = np.nan
    if np.isnan(values).all():
        raise ValueError("There is nothing to draw: no value is finite and above 0.")
    # fmax takes a number over NaN, so that a column is grey only where all its steps are.
    values = np.fmax.reduceat(values, starts, axis=1)
    edges = np.append(steps[starts], steps[-1] + 1) - 0.5
    colours = colormaps["viridis"].with_extremes(bad="lightgrey")
    mesh = axis.pcolormesh(
        edges, np.arange(len(parts) + 1) - 0.5, values, norm=LogNorm(), cmap=colours
    )
    figure.colorbar(mesh, ax=axis, pad=0.01, label=plain_text(label, 60))
    axis.grid(visible=False)
    axis.set_yticks(range(len(parts)), [plain_text(part, 60) for part in parts])
    axis.invert_yaxis()
    axis.set(title=plain_text(title), xlabel="step", ylabel="part of the network")
    said = "; ".join(in_words(part, norms) for part, norms in parts.items())
    return with_alt(figure, f"{title}: {label} of each part over {len(steps)} steps. {said}.")


def loss_surface(
    x: np.ndarray,
    y: np.ndarray,
    losses: np.ndarray,
    paths: dict[str, np.ndarray],
    title: str,
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draw the loss over two parameters as filled contours, and the paths of descents over it.

    The contours are evenly spaced on a log scale, over at most three powers of ten below the
    largest loss. A path that leaves the surface is drawn as far as its edge.

    Args:
        x: (X,) values of the first parameter, ascending.
        y: (Y,) values of the second parameter, ascending.
        losses: (Y, X), 0 or more; where one is not finite the surface has a hole.
        paths: name -> points (n, 2), the first of them the start, marked by a star.
        title: what the figure shows.
        xlabel: the first parameter.
        ylabel: the second parameter.

    Raises:
        ValueError: fewer than two values of a parameter; no loss is finite and above 0; a path
            without a point.
    """
    losses = np.ma.masked_invalid(finite(losses))
    if min(losses.shape) < 2:
        raise ValueError(f"The losses have the shape {losses.shape}; a surface needs 2 by 2.")
    if not losses.max() > 0:
        raise ValueError("There is nothing to draw: no loss is finite and above 0.")
    for points in paths.values():
        check_drawable(points, "points of a path", np.inf)
    figure, axis = new_figure(1, 1, 8, 5.4)
    highest = losses.max()
    # From 1e-3 of the highest at least, and where all are equal from a little below.
    levels = np.geomspace(np.clip(losses.min(), 1e-3 * highest, 0.99 * highest), highest, 25)
    ratio = highest / levels[0]
    norm = LogNorm(levels[0], min(20, ratio) * highest)  # short of black, so that paths stand out
    losses = losses.clip(levels[0] / 2)  # below the lowest level; 0 itself has no logarithm
    filled = axis.contourf(x, y, losses, levels, norm=norm, cmap="Greys", extend="min")
    bar = figure.colorbar(filled, ax=axis, label="loss (log scale)")
    bar.locator, bar.formatter = LogLocator(), LogFormatterSciNotation()
    if ratio < 100:
        bar.locator, bar.formatter = LogLocator(subs=(1, 2, 5)), StrMethodFormatter("{x:g}")
        bar.minorlocator = NullLocator()
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    for (name, points), color in zip(paths.items(), cycle((RED, BLUE, GREEN, ORANGE))):
        look = {"color": color, "markersize": 5, "label": legend_name(name)} | edge
        axis.plot(*np.transpose(points), "o-", **look)
    starts = np.transpose([points[0] for points in paths.values()])
    axis.plot(*starts, "*", color=BLACK, markersize=16, label="start", **edge)
    axis.grid(visible=False)
    axis.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axis.set(title=plain_text(title), xlabel=plain_text(xlabel), ylabel=plain_text(ylabel, 60))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4)
    said = "; ".join(_path_in_words(name, points) for name, points in paths.items())
    heights = f"losses from {losses.min():.3g} to {losses.max():.3g}"
    return with_alt(figure, f"{title}: {heights} over {xlabel} and {ylabel}. {said}.")


def _path_in_words(name: str, points: np.ndarray) -> str:
    """Return where a path begins, and where it ends or that it leaves what can be drawn."""
    (x, y), (last_x, last_y) = points[0], finite(points[-1])
    end = f"to ({last_x:.3g}, {last_y:.3g})" if np.isfinite([last_x, last_y]).all() else "far away"
    return f"{name}: from ({x:.3g}, {y:.3g}) {end} in {len(points) - 1} steps"


def clip_sweep(
    limits: Sequence[float | None],
    losses: Sequence[Sequence[float]],
    title: str,
    suggestion: float | None = None,
    xlabel: str = "clip value",
) -> Figure:
    """Draw the final validation loss against the clip value, a dot for each seed.

    The line runs through the means of the runs that did not diverge; those that did have a cross at
    the top edge, with their number. Losses that differ fivefold are drawn on a log scale.

    Args:
        limits: (n,) clip values; None or infinity, no clipping, is drawn as the last place.
        losses: (n, seeds) losses in nats per character; NaN or infinite where the run diverged.
        title: what the figure shows.
        suggestion: the clip value of the dashed line, such as that of `diagnostics.suggest_clip`.
        xlabel: what the limits are.

    Raises:
        ValueError: no limit, one that is not above 0, or no seed.
    """
    check_drawable(limits, "clip values")
    if not np.size(losses):
        raise ValueError("There is nothing to draw: give the loss of at least one seed.")
    limits = np.array([np.inf if limit is None else limit for limit in limits], float)
    if not (limits > 0).all():
        raise ValueError(f"A clip value is {limits.min()}; all must be above 0, or None.")
    if suggestion is not None and not 0 < suggestion < np.inf:
        raise ValueError(f"suggestion is {suggestion}; it must be finite and above 0, or None.")
    figure, axis = new_figure(1, 1, 8, 4.2)
    order = np.argsort(limits)
    limits, losses = limits[order], np.asarray(losses, float)[order]
    bounded = np.isfinite(limits)
    places = np.where(bounded, limits, 4 * max([*limits[bounded], suggestion or 0]) or 1)
    losses, diverged = np.ma.masked_invalid(losses), (~np.isfinite(losses)).sum(axis=1)
    axis.plot(places, losses.mean(axis=1), "-", color=BLUE, label="mean")
    dots = np.repeat(places, losses.shape[1])
    axis.plot(dots, losses.ravel(), "o", color=SKY, alpha=0.8, label="one seed")
    if diverged.any():
        _mark_diverged(axis, places, diverged, losses.shape[1])
    if suggestion is not None:
        name = f"suggested: {suggestion:.3g}"
        axis.axvline(suggestion, color=BLACK, linestyle="--", linewidth=1, label=name)
    axis.set_xscale("log")
    if losses.max() > 5 * losses.min():
        upright_log(axis)
        plain_log_labels(axis)
    names = [f"{limit:g}" if np.isfinite(limit) else "no\nclipping" for limit in limits]
    axis.set_xticks(places, names)
    axis.set_xticks([], minor=True)
    axis.set(
        title=plain_text(title),
        xlabel=f"{plain_text(xlabel, 80)} (log scale)",
        ylabel="validation loss\n(nats per character)",
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    means = losses.mean(axis=1).filled(np.nan)
    said = "; ".join(map(_runs_in_words, names, means, diverged))
    return with_alt(figure, f"{title}: mean validation loss by {xlabel}. {said}.")


def _runs_in_words(name: str, mean: float, diverged: int) -> str:
    """Return the mean of some runs, and how many of them diverged."""
    said = [f"{mean:.3g}"] if np.isfinite(mean) else []
    said += [f"{diverged} diverged"] if diverged else []
    return f"{name}: ".replace("\n", " ") + ", ".join(said)


def _mark_diverged(axis: Axes, places: np.ndarray, diverged: np.ndarray, seeds: int) -> None:
    """Put a cross at the top edge where runs diverged, and below it how many of them."""
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top + 0.25 * (top - bottom))
    at = axis.get_xaxis_transform()  # x as the data, y from 0 at the bottom to 1 at the top
    where, numbers = places[diverged > 0], diverged[diverged > 0]
    label = "diverged (not in the mean)"
    heights = np.full(len(where), 0.95)
    axis.plot(where, heights, "X", color=RED, markersize=9, transform=at, label=label)
    for x, number in zip(where, numbers, strict=True):
        axis.text(x, 0.91, f"{number} of {seeds}", transform=at, ha="center", va="top")


def training_moment(history: History, step: int, height: float = 6) -> Figure:
    """Draw one step of a run: where it lies, and what gradients, updates and gates were then.

    Above, the loss and the gradient norm of the whole run, with a line at the step. Below, for each
    part of the network as in `diagnostics.parts_of`: its gradient norm before and after clipping;
    the norm of its update over that of its weights, with a line at 1e-3, a rule of thumb
    (Karpathy, notes to Stanford's CS231n); and for LSTM and CIFG the share of gate values within
    `diagnostics.SATURATED` of 0 and of 1. The scales are those of the whole run, so that steps can
    be compared.

    Where the step has no diagnostics, the lower panels say so. The height is in inches.

    Raises:
        ValueError: the history has no such step.
    """
    row = next((row for row in history.rows if row["step"] == step), None)
    if row is None:
        raise ValueError(f"The history has no step {step}; choose one of its {len(history)} steps.")
    recorded = [row for row in history.rows if row.get("diagnostics")]
    panels = {"gradient": _gradient_bars, "update": _update_bars}
    if recorded and "near_0" in recorded[0]["diagnostics"]:
        panels["saturated gates"] = _gate_bars
    with rc_context(STYLE):
        figure = Figure(figsize=(10, height), dpi=110)  # laid out by hand: half the time
        top, middle = 1 - 0.3 / height, 1 - np.array([1.5, 2.65]) / height
        above = {"left": 0.08, "right": 0.98, "bottom": middle[0], "top": top, "wspace": 0.25}
        _mark_step(figure.add_gridspec(1, 2, **above).subplots(), history, row)
        below = above | {"left": 0.18, "bottom": 0.58 / height, "top": middle[1], "wspace": 0.12}
        lower = figure.add_gridspec(1, len(panels), **below).subplots(sharey=True)
    diagnostics = row.get("diagnostics")
    for axis, (title, draw) in zip(lower, panels.items(), strict=True):
        axis.set_title(title, pad=24)  # room for the legend
        axis.tick_params(labelsize=8)
        if diagnostics:
            draw(axis, diagnostics, recorded)
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=9)
        else:
            why = "this step was skipped" if row.get("skipped") else "nothing was recorded"
            axis.text(0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center")
            axis.grid(visible=False)
            axis.set(xticks=[])
    parts = list(recorded[0]["diagnostics"]["gradient"]) if recorded else []
    lower[0].set_yticks(range(len(parts)), [plain_text(p, 40) for p in parts], fontsize=8)
    lower[0].set(ylim=(len(parts) - 0.4, -0.6), ylabel="part of the network")
    return with_alt(figure, _moment_in_words(row, diagnostics))


def _moment_in_words(row: dict, diagnostics: dict | None) -> str:
    """Return what a step of a run was: its loss and norm, and the parts that stand out."""
    loss, norm = (float(finite(row[name])) for name in ("loss", "grad_norm"))
    said = [f"Step {row['step']}: loss {loss:.3g}, gradient norm {norm:.3g}"]
    names = {"gradient": "longest gradient", "update": "largest update"}
    names |= {"near_0": "most values near 0", "near_1": "most values near 1"}
    for name, what in names.items():
        values = finite(list((diagnostics or {}).get(name, {}).values()))
        if np.isfinite(values).any():
            at = np.nanargmax(values)
            said.append(f"{what} in {list(diagnostics[name])[at]}, {values[at]:.3g}")
    return "; ".join(said) + "."


def _mark_step(axes: Sequence[Axes], history: History, row: dict) -> None:
    """Draw the loss and the gradient norm of a run, and a line at the step of a row."""
    left, right = axes
    steps, loss = finite_column(history, "loss")
    left.plot(steps, loss, color=SKY, linewidth=1)
    left.plot(steps, running_mean(loss, 20), color=BLUE)
    left.set(xlabel="step (dark: mean of 20)", ylabel="loss\n(nats per character)")
    right.plot(*finite_column(history, "grad_norm"), color=BLUE, linewidth=1)
    upright_log(right)
    right.set(xlabel="step", ylabel="before clipping\n(log scale)")
    plain_log_labels(right)
    for axis, name, column in ((left, "loss", "loss"), (right, "gradient norm", "grad_norm")):
        number = finite(row[column])
        number = f"{number:.3g}" if np.isfinite(number) else "not finite"
        axis.axvline(row["step"], color=RED)
        axis.set_title(f"step {row['step']}: {name} {number}")


def _gradient_bars(axis: Axes, diagnostics: dict, recorded: list[dict]) -> None:
    """Draw the gradient norm of each part at one step, before and after clipping."""
    before, after = (finite(list(diagnostics[name].values())) for name in ("gradient", "clipped"))
    axis.barh(range(len(before)), before, 0.8, color=SKY, label="before clipping")
    axis.barh(range(len(after)), after, 0.4, color=BLUE, label="after")
    axis.set(xlabel="norm (log scale)")
    _log_scale(axis, recorded, "gradient", "clipped")


def _update_bars(axis: Axes, diagnostics: dict, recorded: list[dict]) -> None:
    """Draw the update of each part at one step as a share of its weights."""
    ratios = finite(list(diagnostics["update"].values()))
    axis.barh(range(len(ratios)), ratios, 0.8, color=GREEN)
    axis.axvline(1e-3, color=BLACK, linestyle="--", linewidth=1, label="rule of thumb: 0.001")
    axis.set(xlabel="norm / norm of the weights (log)")
    _log_scale(axis, recorded, "update")


def _gate_bars(axis: Axes, diagnostics: dict, recorded: list[dict]) -> None:
    """Draw the saturated share of each gate: near 0 from the left, near 1 from the right."""
    rows = [list(diagnostics["gradient"]).index(gate) for gate in diagnostics["near_0"]]
    near_0, near_1 = (finite(list(diagnostics[name].values())) for name in ("near_0", "near_1"))
    axis.barh(rows, near_0, color=ORANGE, label="near 0")
    axis.barh(rows, -near_1, left=1, color=PINK, label="near 1")
    axis.set(xlabel="share of a gate's values", xlim=(0, 1))


def _log_scale(axis: Axes, recorded: list[dict], *names: str) -> None:
    """Give an axis the log scale of what a whole run recorded under some names."""
    parts = [values for name in names for values in series(recorded, name)[1].values()]
    values = finite(np.concatenate(parts))
    values = values[values > 0]
    if len(values):
        axis.set(xscale="log", xlim=(values.min() / 2, values.max() * 2))
