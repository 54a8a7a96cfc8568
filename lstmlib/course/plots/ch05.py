"""Figures of chapter 05."""

from itertools import cycle

import numpy as np
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
)


def ranked(
    losses: dict[str, list[float]], title: str, xlabel: str = "loss (nats per character)"
) -> Figure:
    """Draw a row of dots for each entry, name -> its losses by seed, the first entry on top."""
    check_drawable(losses, "entries")
    figure, axis = new_figure(1, 1, 8, 1.2 + 0.3 * len(losses))
    for row, values in enumerate(losses.values()):
        axis.plot(finite(values), [row] * len(values), "o", color=BLUE, alpha=0.6)
    axis.set(
        title=plain_text(title),
        xlabel=plain_text(xlabel),
        ylabel="entry",
        yticks=range(len(losses)),
    )
    axis.set_yticklabels([plain_text(name, 60) for name in losses])
    axis.invert_yaxis()
    return figure


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
    return figure
