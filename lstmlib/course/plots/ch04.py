"""Figures of chapter 04."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lstmlib.course.plots.style import (
    BLACK,
    GREEN,
    RED,
    SKY,
    YELLOW,
    check_drawable,
    new_figure,
    plain_text,
    with_alt,
)


def dropout_places(panels: dict[str, tuple[bool, bool]], layers: int = 2, steps: int = 3) -> Figure:
    """Draw stacked layers over time, and on which of their arrows dropout acts.

    Args:
        panels: title -> whether dropout acts between the layers, and on the last layer's outputs.
        layers: recurrent layers, 1 to 4.
        steps: time steps, 1 to 6.

    Raises:
        ValueError: no panel, or more than 3; layers or steps are out of their range.
    """
    check_drawable(panels, "panels", 3)
    if not (1 <= layers <= 4 and 1 <= steps <= 6):
        raise ValueError(f"{layers} layers and {steps} steps; give 1 to 4, and 1 to 6.")
    size = 4.6 * len(panels), 1.0 * layers + 2.2
    figure, axes = new_figure(1, len(panels), *size, sharey=True, squeeze=False)
    for axis, (title, (between, above)) in zip(axes[0], panels.items(), strict=True):
        dashed = [False, *[between] * (layers - 1), above]  # by the row that an arrow starts from
        for t in range(1, steps + 1):
            for y in range(layers + 1):
                _arrow(axis, (t, y), (t, y + 1), dashed[y])
            for y in range(1, layers + 1):
                _arrow(axis, (t, y), (t + 1, y), False)
            for y in range(layers + 2):
                color = YELLOW if y == 0 else GREEN if y > layers else SKY
                axis.plot(t, y, "s", color=color, markersize=17, clip_on=False)
        rows = ["character", *(f"layer {k}" for k in range(1, layers + 1)), "output\nlayer"]
        axis.set_yticks(range(layers + 2), rows)
        axis.set(title=plain_text(title), xlabel="step t", xlim=(0.5, steps + 1.1))
        axis.set(xticks=range(1, steps + 1), ylim=(-0.4, layers + 1.4))
        axis.grid(visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[0, 0].set_ylabel("depth")
    styles = {"dropped with probability p": (RED, "--"), "always as it is": (BLACK, "-")}
    lines = [Line2D([], [], color=c, linestyle=s, linewidth=1.8) for c, s in styles.values()]
    figure.legend(lines, list(styles), loc="outside lower center", ncols=2, frameon=False)
    said = "; ".join(f"{title}: {_in_words(*where)}" for title, where in panels.items())
    return with_alt(
        figure,
        f"Two axes, time to the right and {layers} layers upwards. Dashed arrows are where dropout "
        f"acts. {said}. All arrows from one step to the next are solid.",
    )


def _in_words(between: bool, above: bool) -> str:
    """Say which arrows are dashed."""
    places = ["between the layers"] * between + ["from the last layer to the output layer"] * above
    return " and ".join(places) or "nowhere"


def _arrow(axis: Axes, start: tuple[int, int], end: tuple[int, int], dashed: bool) -> None:
    """Draw an arrow between two squares."""
    arrow = {"arrowstyle": "-|>", "color": RED if dashed else BLACK, "linewidth": 1.6}
    arrow |= {"shrinkA": 10, "shrinkB": 10, "linestyle": "--" if dashed else "-"}
    axis.annotate("", xy=end, xytext=start, arrowprops=arrow)
