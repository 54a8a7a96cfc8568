"""Figures of chapter 03."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Polygon, Rectangle
from matplotlib.patheffects import withStroke

from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    check_drawable,
    finite,
    in_words,
    legend_name,
    monospace_fonts,
    new_figure,
    plain_text,
    visible,
    with_alt,
)

COLUMNS = {"i": 22, "f": 38, "g": 54, "o": 70}
"""Where each gate stands in `lstm_cell`, from left to right."""
BELT = 54
"""The height at which the cell state runs."""
MEET = 36
"""The height at which i meets g, and o meets tanh(c)."""
NODE = 2.3
"""The radius of a circle."""
LANE = 0.85
"""How far from the middle of a path its two directions run."""


def lstm_cell(coupled: bool = False) -> Figure:
    """Draw one step of an LSTM, forwards in blue, the gradient of the cell state in orange.

    The gates stand in the order i, f, g, o. Sizes: N sequences, D inputs, H units.

    Args:
        coupled: draw the CIFG, whose forget gate is 1 - i and has no block of z.
    """
    figure, axis = new_figure(1, 1, 7.5, 5.3)
    body = FancyBboxPatch((12.5, 3.5), 76.5, 56, "round,pad=0,rounding_size=2.5")
    axis.add_patch(_styled(body, "#F2F4F7", "#C9D1DA"))
    axis.add_patch(_styled(Rectangle((1, BELT - 2.2), 98, 4.4), "#DFE6EE", "none"))
    _product(axis, coupled)
    names = {"i": "input gate", "f": "forget gate", "g": "candidate", "o": "output gate"}
    for gate, x in COLUMNS.items():
        taken = coupled and gate == "f"
        _box(axis, x, 26, 7, 5, "$1 - i$" if taken else "tanh" if gate == "g" else "σ")
        _say(axis, x + 1.1, 31.3, f"{names[gate]} ${gate}$", BLUE, ha="left")
        if not taken:
            _path(axis, [(x, 15), (x, 23.5)])
    _gates_to_belt(axis)
    if coupled:
        _path(axis, [(25.5, 26), (34.5, 26)])
    _belt_and_output(axis)
    axis.set(
        title=f"One step of {'a CIFG' if coupled else 'an LSTM'}: "
        "forwards (blue), and the gradient of $c$ (orange)",
        xlabel="⊙ multiplies entry by entry. N sequences, D inputs, H units.",
        xlim=(-0.5, 100.5),
        ylim=(-1.5, 61),
        xticks=[],
        yticks=[],
        aspect="equal",
    )
    axis.xaxis.labelpad = 8
    axis.spines[:].set_visible(False)
    gate = "1 − i, which has no block of its own" if coupled else "the forget gate f"
    below = "i, g and o, each made of a block of z; f is 1 − i"
    if not coupled:
        below = "the gates i, f, g, o, each made of a block of one product z"
    return with_alt(
        figure,
        f"""The cell state c runs as a straight belt from left to right; it is multiplied by {gate},
        then i ⊙ g is added to it. Below stand {below}. From the belt a branch goes down through
        tanh, is multiplied by o, and leaves as h. In orange the gradient runs back along the belt,
        where the forget gate alone scales it; through h and the tanh a second gradient joins
        it.""",
    )


def _styled(patch: Patch, face: str, edge: str) -> Patch:
    patch.set(facecolor=face, edgecolor=edge, linewidth=1.2)
    return patch


def _say(axis: Axes, x: float, y: float, text: str, color: str = BLACK, **more: object) -> None:
    axis.text(
        x, y, text, **({"ha": "center", "va": "center", "fontsize": 10, "color": color} | more)
    )


def _box(axis: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    corner = (x - width / 2, y - height / 2)
    box = FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.8", zorder=4)
    axis.add_patch(_styled(box, "white", BLUE))
    _say(axis, x, y - 0.1, text, zorder=5, fontsize=11)


def _node(axis: Axes, x: float, y: float, sign: str, color: str = BLUE) -> None:
    """Draw a circle with a dot (product) or a cross (sum)."""
    axis.add_patch(_styled(Circle((x, y), NODE, zorder=4), "white", color))
    if sign == "·":
        axis.add_patch(_styled(Circle((x, y), 0.55, zorder=5), color, color))
        return
    for dx, dy in ((1.3, 0), (0, 1.3)):
        axis.plot([x - dx, x + dx], [y - dy, y + dy], color=color, linewidth=1.6, zorder=5)


def _path(
    axis: Axes, points: list[tuple], color: str = BLUE, width: float = 1.6, head: bool = True
) -> None:
    """Draw a line through points, with an arrow's head at its end."""
    axis.plot(*zip(*points, strict=True), color=color, linewidth=width, zorder=3)
    if head:
        (x0, y0), (x1, y1) = points[-2:]
        back = np.array([x1 - x0, y1 - y0]) / np.hypot(x1 - x0, y1 - y0)
        side = np.array([-back[1], back[0]])
        tip, size = np.array([x1, y1]), 0.9 + 0.25 * width
        corners = [tip, tip - size * back * 1.5 + side * size * 0.6]
        corners += [tip - size * back * 1.5 - side * size * 0.6]
        axis.add_patch(Polygon(corners, facecolor=color, edgecolor="none", zorder=3))


def _product(axis: Axes, coupled: bool) -> None:
    """Draw the one product that gives z, its blocks, and what comes in from below and the left."""
    blocks = 3 if coupled else 4
    axis.add_patch(_styled(Rectangle((14, 5.8), 64, 4.7, zorder=4), "white", BLUE))
    formula = "$z = x_t W_x + h_{t-1} W_h + b$"
    _say(axis, 46, 8.1, f"{formula}    (N, {blocks}H)", zorder=5)
    for gate, x in COLUMNS.items():
        taken = coupled and gate == "f"
        block = _styled(Rectangle((x - 8, 10.5), 16, 4.5, zorder=4), "white", BLUE)
        if taken:
            block.set(facecolor="none", edgecolor="#9AA5B1", linestyle=":", zorder=3)
        axis.add_patch(block)
        text = "no block" if taken else f"$z_{gate}$  (N, H)"
        _say(axis, x, 12.7, text, "#6B7680" if taken else BLACK, zorder=5)
    _path(axis, [(1, 8.1), (14, 8.1)])
    _say(axis, 5.8, 10.6, "$h_{t-1}$  (N, H)")
    _path(axis, [(46, -1.5), (46, 5.8)])
    _say(axis, 47.2, 1, "$x_t$  (N, D)", ha="left")


def _gates_to_belt(axis: Axes) -> None:
    """Draw how f reaches the belt, and i times g; the line of i passes over that of f."""
    i, f, g, o = COLUMNS.values()
    turn = np.linspace(np.pi, 0, 21)
    bridge = [(f + 1.4 * np.cos(a), MEET + 1.4 * np.sin(a)) for a in turn]
    _path(axis, [(f, 28.5), (f, BELT - NODE)])
    _path(axis, [(i, 28.5), (i, MEET), *bridge, (g - NODE, MEET)])
    _path(axis, [(g, 28.5), (g, MEET - NODE)])
    _path(axis, [(g, MEET + NODE), (g, BELT - NODE)])
    _path(axis, [(o, 28.5), (o, MEET - NODE)])
    _node(axis, g, MEET, "·")
    _say(axis, g + 1.1, 45, r"$i \odot g$", BLUE, ha="left")


def _belt_and_output(axis: Axes) -> None:
    """Draw the belt of c and the way out to h, both with a lane for each direction."""
    _, f, g, o = COLUMNS.values()
    _path(axis, [(1, BELT + LANE), (99, BELT + LANE)], width=2.6)
    _path(axis, [(99, BELT - LANE), (1, BELT - LANE)], RED, 2.6)
    _path(axis, [(o - LANE, BELT), (o - LANE, MEET + NODE - 0.2)])
    _path(axis, [(o + LANE, MEET), (o + LANE, BELT - NODE + 0.2)], RED)
    _path(axis, [(o, MEET + LANE), (99, MEET + LANE)])
    _path(axis, [(99, MEET - LANE), (o + NODE, MEET - LANE)], RED)
    _box(axis, o, 45, 7, 5, "tanh")
    _node(axis, f, BELT, "·")
    _node(axis, g, BELT, "+")
    _node(axis, o, BELT, "+", RED)
    _node(axis, o, MEET, "·")
    small = {"fontsize": 9.5}
    _say(axis, 5.8, BELT + 3.7, "$c_{t-1}$  (N, H)")
    _say(axis, 94.3, BELT + 3.7, "$c_t$  (N, H)")
    _say(axis, (f + g) / 2, BELT + 3.7, r"$f \odot c_{t-1}$", BLUE)
    _say(axis, 94.3, MEET + 3.2, "$h_t$  (N, H)")
    _say(axis, 94.3, BELT - 3.9, r"$\mathrm{d}c_t$", RED)
    _say(axis, 94.3, MEET - 3.4, r"$\mathrm{d}h_t$", RED)
    _say(axis, 6.2, BELT - 3.9, r"$\mathrm{d}c_{t-1}$", RED)
    _say(axis, 24.5, BELT - 4.2, r"$\mathrm{d}c \odot f$: no matrix", RED, **small)
    joins = "$+\\,\\mathrm{d}h_t \\odot o$\n$\\odot\\,(1 - \\tanh^2 c_t)$"
    _say(axis, o + 4.3, 45, joins, RED, ha="left", **small)


def gates(text: str, panels: dict[str, np.ndarray], lines: Sequence[int] = ()) -> Figure:
    """Draw what the gates of some units do at each character of a text.

    Args:
        text: (T,) characters.
        panels: title -> values (units, T); those with "gate" in the title get a scale from 0 to 1,
            the others one that is white at 0.
        lines: where upright lines stand, each given by the number of characters left of it.

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
    figure, axes = new_figure(len(panels), 1, 8, 1.15 * len(panels), sharex=True)
    said = []
    for axis, (title, values) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        gate = "gate" in title
        values = finite(values)
        limit = np.abs(values[np.isfinite(values)]).max(initial=0) or 1
        scale = {"vmin": 0, "vmax": 1} if gate else {"vmin": -limit, "vmax": limit}
        image = axis.imshow(values, aspect="auto", cmap="Blues" if gate else "RdBu", **scale)
        figure.colorbar(image, ax=axis, pad=0.01)
        for line in lines:
            edge = withStroke(linewidth=2.4, foreground="white")
            axis.axvline(line - 0.5, color=BLACK, linewidth=0.9, path_effects=[edge])
        axis.grid(visible=False)
        axis.set_title(plain_text(title), fontsize=10)
        axis.set_ylabel("unit", fontsize=9)
        axis.set_yticks(range(len(values)), range(1, len(values) + 1), fontsize=7)
        said.append(in_words(title, values[:1]))
    shown = [visible(c) for c in text]
    axis.set_xticks(range(len(text)), shown, family=monospace_fonts(), fontsize=8)
    axis.tick_params(axis="x", length=2)
    axis.set_xlabel("character read", fontsize=10)
    about = f"Cells in rows, one row a unit, over the characters {plain_text(text)!r}"
    return with_alt(figure, f"{about}. Of the first unit: {'; '.join(filter(None, said))}.")


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
    figure, axis = new_figure(1, 1, 8, 3.8)
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
    said = [
        f"{visible(tokens[i])}: " + ", ".join(f"{name} {p[i]:.2f}" for name, p in panels.items())
        for i in order[:3]
    ]
    return with_alt(
        figure,
        f"{title}; bars of the probability of {len(order)} characters. "
        f"The first are {'; '.join(said)}.",
    )
