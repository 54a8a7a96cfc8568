"""Figures of chapter 13."""

from itertools import cycle
from textwrap import fill

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
    legend_name,
    new_figure,
    plain_text,
    with_alt,
)


def ranked(
    losses: dict[str, list[float]], title: str, xlabel: str = "loss (nats per character)"
) -> Figure:
    """Draw a row of dots for each entry, name -> its losses by seed, the first entry on top.

    Entries with several seeds are blue, those with one are orange: of these nobody knows how far
    another seed would lie.
    """
    check_drawable(losses, "entries")
    figure, axis = _rows_of_entries(losses, title, xlabel, 1.4)
    labels = {BLUE: "several seeds", ORANGE: "one seed"}
    for row, values in enumerate(losses.values()):
        color = BLUE if len(values) > 1 else ORANGE
        named = {"label": labels.pop(color)} if color in labels else {}
        axis.plot(finite(values), [row] * len(values), "o", color=color, alpha=0.75, **named)
    axis.legend(loc="upper right")
    order = sorted(losses, key=lambda name: np.mean(losses[name]))
    said = [f"{name} at {np.mean(losses[name]):.4g}" for name in (order[0], order[-1])]
    return with_alt(
        figure,
        f"{title}: {len(losses)} entries, a row of dots for each, the lowest loss on top. "
        f"Lowest: {said[0]}; highest: {said[1]}.",
    )


def seen_and_unseen(
    losses: dict[str, tuple[float, float]], title: str, xlabel: str = "loss (nats per character)"
) -> Figure:
    """Draw for each entry its loss on text that it trained on, and on text that it never saw.

    A line joins the two: its length is what the entry does not learn for other texts.

    Args:
        losses: name of an entry -> (loss on seen text, loss on unseen text), the first on top.
        title: of the figure.
        xlabel: what the losses are, with their unit.
    """
    check_drawable(losses, "entries", 40)
    figure, axis = _rows_of_entries(losses, title, xlabel, 1.6)
    seen, unseen = finite(list(losses.values())).T
    rows = np.arange(len(losses))
    axis.hlines(rows, seen, unseen, color=BLACK, linewidth=1, alpha=0.6)
    axis.plot(seen, rows, "s", color=GREEN, label="text that it trained on")
    axis.plot(unseen, rows, "o", color=BLUE, label="text that it never saw")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.7 / figure.get_figheight()), ncols=2)
    said = [f"{name} from {a:.4g} to {b:.4g}" for name, (a, b) in losses.items()]
    return with_alt(
        figure,
        f"{title}: a row for each entry, with its loss on text that it trained on and, to the "
        f"right, on text that it never saw. {'; '.join(said[:8])}{'; …' * (len(said) > 8)}.",
    )


def _rows_of_entries(losses: dict, title: str, xlabel: str, inches: float) -> tuple[Figure, Axes]:
    """Return a figure with a row for each entry, the first on top.

    It is as high as their names need, and so many inches more.
    """
    names = [fill(plain_text(name, 90), 46) for name in losses]
    lines = sum(name.count("\n") + 1 for name in names)
    figure, axis = new_figure(1, 1, 9, inches + 0.14 * lines + 0.17 * len(losses))
    axis.set(title=plain_text(title), xlabel=plain_text(xlabel), ylabel="entry")
    axis.set_yticks(range(len(losses)), names, fontsize=9)
    axis.invert_yaxis()
    return figure, axis


def asynchronous(asked: float = 0.3, work: float = 1.0, calls: int = 4) -> Figure:
    """Draw a program that asks a GPU for work, and where it reads the clock.

    Args:
        asked: the time that the program takes to ask for one call.
        work: the time that the GPU takes for it.
        calls: how many calls there are, from 2.

    Raises:
        ValueError: there is no call, or the GPU is faster than the program.
    """
    check_drawable(range(calls), "calls", 12)
    if not 0 < asked < work:
        raise ValueError(f"asked is {asked} and work {work}; 0 < asked < work shows the waiting.")
    figure, axis = new_figure(1, 1, 9, 3.4)
    done = asked
    for k in range(calls):
        axis.barh(1, asked, left=k * asked, height=0.5, color=SKY, edgecolor="white")
        axis.barh(0, work, left=done, height=0.5, color=ORANGE, edgecolor="white")
        axis.text(done + work / 2, 0, f"work {k + 1}", ha="center", va="center", fontsize=9)
        done = max(done + work, (k + 2) * asked)
    returned = calls * asked
    end = asked + calls * work
    axis.barh(1, end - returned, left=returned, height=0.5, color="white", edgecolor=BLACK)
    axis.text((returned + end) / 2, 1, "synchronize: wait", ha="center", va="center", fontsize=9)
    for place, color, text in (
        (returned, RED, "clock read too early:\nthe asking is timed"),
        (end, GREEN, "clock read after waiting:\nthe work is timed"),
    ):
        axis.plot([place, place], [-0.5, 1.4], color=color, linewidth=2)
        axis.annotate(text, (place, 1.45), ha="center", va="bottom", fontsize=9, color=color)
    axis.set(
        title="A call returns before its work is done",
        xlabel="time (in units of one call's work)",
        yticks=[0, 1],
        ylim=(-0.5, 2.2),
        xlim=(0, end * 1.12),
    )
    axis.set_yticklabels(["GPU", "program"])
    axis.set_ylabel("who works")
    axis.grid(visible=False)
    return with_alt(
        figure,
        f"Two rows over time. The program asks for {calls} pieces of work one after the other and "
        f"is done at {returned:.2g}; the GPU works on them until {end:.2g}. A clock read at "
        f"{returned:.2g} is too early, one read at {end:.2g}, after waiting, is right.",
    )


def step_parts(steps: dict[str, dict], title: str = "Where a training step goes") -> Figure:
    """Draw a bar for each kind of step, cut into the parts of its time.

    A mark shows how much of the time the matrix products would take at the ceiling.

    Args:
        steps: name -> "parts_ms", the milliseconds of each part, by its name, and "ms_at_ceiling",
            those of the products. All have the same parts.
        title: of the figure.

    Raises:
        ValueError: no step, or too many; or a step of no time.
    """
    check_drawable(steps, "steps", 12)
    totals = np.array([sum(step["parts_ms"].values()) for step in steps.values()])
    if not (totals > 0).all():
        raise ValueError("every step needs parts that take more than 0 milliseconds together.")
    figure, axis = new_figure(1, 1, 9, 2.2 + 0.55 * len(steps))
    rows, left = np.arange(len(steps)), np.zeros(len(steps))
    for part, color in zip(next(iter(steps.values()))["parts_ms"], cycle(_OF_PARTS)):
        share = 100 * np.array([step["parts_ms"][part] for step in steps.values()]) / totals
        label = legend_name(part)
        axis.barh(rows, share, left=left, height=0.6, color=color, edgecolor="white", label=label)
        left += share
    limit = 100 * np.array([step["ms_at_ceiling"] for step in steps.values()]) / totals
    marked = "the products at the ceiling"
    axis.vlines(limit, rows - 0.4, rows + 0.4, color=BLACK, linewidth=2.5, label=marked)
    axis.set(title=plain_text(title), xlabel="share of the step (%)", ylabel="step", yticks=rows)
    axis.set_xlim(0, max(100, *limit))
    names = [fill(plain_text(name, 60), 24) for name in steps]
    axis.set_yticklabels([f"{name}\n{ms:.3g} ms" for name, ms in zip(names, totals, strict=True)])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.6 / figure.get_figheight()), ncols=3, fontsize=9
    )
    said = [
        f"{name}, {total:.3g} ms: "
        + ", ".join(f"{part} {100 * ms / total:.0f} %" for part, ms in step["parts_ms"].items())
        for (name, step), total in zip(steps.items(), totals, strict=True)
    ]
    return with_alt(
        figure, f"{plain_text(title)}, a bar for each step, cut into its parts. {'; '.join(said)}."
    )


_OF_PARTS = (BLUE, SKY, RED, ORANGE, GREEN, PINK)


def training_speeds(results: dict[str, dict], precision: str = "float32") -> Figure:
    """Draw what `benchmarks/measure_speed.py` measured: speed and share of the limit.

    A hidden size has one colour on all devices, and a device one kind of line.

    Args:
        results: name of the device -> what its result.json holds.
        precision: which of the rows to draw.

    Raises:
        ValueError: no device, or one that was not measured in that precision.
    """
    check_drawable(results, "devices", 12)
    for device, result in results.items():
        if precision not in result["product_operations_per_second"]:
            raise ValueError(f"{device!r} was not measured in {precision}.")
    figure, (left, right) = new_figure(1, 2, 11, 4.2)
    drawn = {
        device: [row for row in result["points"] if row["precision"] == precision]
        for device, result in results.items()
    }
    hidden_sizes = sorted({row["hidden_size"] for rows in drawn.values() for row in rows})
    colors = dict(zip(hidden_sizes, cycle((ORANGE, GREEN, BLUE, RED, PINK, SKY, BLACK))))
    for (device, rows), style in zip(drawn.items(), cycle(("-", "--", ":"))):
        ceiling = results[device]["product_operations_per_second"][precision]
        for hidden in sorted({row["hidden_size"] for row in rows}):
            of_size = [row for row in rows if row["hidden_size"] == hidden]
            batch = [row["batch_size"] for row in of_size]
            speed = np.array([row["characters_per_second"] for row in of_size])
            operations = np.array([row["flops_per_character"] for row in of_size])
            named = {
                "color": colors[hidden],
                "label": legend_name(f"{str(device)[:45]}, H = {hidden}"),
            }
            left.loglog(batch, speed, f"o{style}", **named)
            right.semilogx(batch, 100 * speed * operations / ceiling, f"o{style}", **named)
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("batch size (streams)")
    left.set(title="Training speed", ylabel="characters per second\n(log scale)")
    right.set(
        title="How far from a plain matrix product",
        ylabel="operations, % of those of a large product",
        ylim=(0, None),
    )
    if len(left.get_lines()) <= 5:
        left.legend(fontsize=9)
    else:  # more would cover the lines
        right.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    said = [
        f"{device}: {len(rows)} points, {_reach(rows)} characters a second"
        for device, rows in drawn.items()
    ]
    return with_alt(
        figure,
        "Left, training speed by batch size, a line for each hidden size, both scales "
        f"logarithmic. {'; '.join(said)}. Right, the same as a share of a large matrix product's "
        f"operations, at most {_highest_share(right):.0f} %.",
    )


def _reach(rows: list[dict]) -> str:
    """Return the lowest and the highest speed of some rows in words."""
    speeds = [row["characters_per_second"] for row in rows]
    return f"from {min(speeds):,.0f} to {max(speeds):,.0f}" if speeds else "no"


def _highest_share(axis: Axes) -> float:
    """Return the highest point of all lines of an axis."""
    return max((np.max(line.get_ydata()) for line in axis.get_lines()), default=0.0)
