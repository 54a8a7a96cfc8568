"""Every figure of the course, one function each.

Names, titles and characters are drawn as they are: a `$` in them begins no formula, and what no
font has is a box, or in a single character's place its code point. They are cut where they are too
long. Numbers that are NaN or infinite leave gaps. What cannot be drawn is a ValueError.

Each function returns a matplotlib Figure; as the last line of a notebook cell it is shown once.
Colours are those of Okabe and Ito, which stay apart for colour-blind readers.
"""

import io
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle

import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from IPython.display import Image, display
from matplotlib import colormaps, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullFormatter

from lstmlib import scratch
from lstmlib.diagnostics import series
from lstmlib.metrics import PrefixReading, Validity, wilson
from lstmlib.training import History
from lstmlib.vocab import START

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = [
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
]
_STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}

# What matplotlib's own fonts lack (Chinese, Korean, Hindi, Thai …) is taken from the first of these
# that the machine has.
_FONTS = [
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS"),
    *("Malgun Gothic", "Apple SD Gothic Neo", "Nirmala UI", "Leelawadee UI", "Segoe UI Symbol"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai"),
]
_installed = {font.name for font in fontManager.ttflist}
# For good, and not in rc_context: a figure makes its ticks when it is drawn.
rcParams["font.family"] += [
    name for name in _FONTS if name in _installed and name not in rcParams["font.family"]
]

if get_ipython() is not None:
    select_figure_formats(get_ipython(), {"png"}, dpi=110)


def _figure(rows: int, columns: int, width: float, height: float, **kwargs: object) -> tuple:
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        return figure, figure.subplots(rows, columns, **kwargs)


def _give(things: Mapping | Sequence, what: str, most: int = 100) -> None:
    """Raise ValueError if there is nothing to draw, or more than there is room for."""
    if not len(things):
        raise ValueError(f"There is nothing to draw: no {what} are given.")
    if len(things) > most:
        raise ValueError(
            f"There are {len(things)} {what}; this figure has room for {most}. Leave some out."
        )


# Words


@cache
def _has_glyph(character: str) -> bool:
    """Say whether one of the fonts of a figure has a character."""
    if unicodedata.category(character) in ("Cc", "Cs"):
        return False
    fonts = (get_font(findfont(FontProperties(family=[name]))) for name in rcParams["font.family"])
    return any(font.get_char_index(ord(character)) for font in fonts)


def _visible(token: str) -> str:
    """Return something one can see for a character: itself, a name, or its code point."""
    return "".join(map(_visible_character, token))


def _visible_character(character: str) -> str:
    names = {" ": "␣", "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "\\$"}
    if character in names:
        return names[character]
    if not (character.isprintable() and _has_glyph(character)):
        return f"U+{ord(character):04X}"
    # An accent alone stands on a circle, as in the Unicode charts.
    return "◌" * (unicodedata.category(character)[0] == "M") + character


def _plain(text: object, most: int = 100) -> str:
    """Return a text as a figure shows it, of no more than so many characters and three lines.

    Each `$` gets a backslash: matplotlib takes that away again, and finds no formula.
    """
    text = str(text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    lines = text.split("\n")
    text = text if len(lines) <= 3 else "\n".join([*lines[:2], "…"])
    shown = "".join(c if c == "\n" or _has_glyph(c) else _box(c) for c in text)
    return shown.replace("$", "\\$")


def _box(character: str) -> str:
    """Return what stands in a text for a character that has no glyph, and say so once."""
    if character.isspace():
        return " "
    warnings.warn(
        "No font of this machine has some of the characters of a figure; they are drawn as □. "
        "Install one that has them, such as Noto Sans CJK, and start the kernel anew.",
        stacklevel=2,
    )
    return "□"


def _monospace() -> list[str]:
    """Return the fonts of text whose characters are equally wide, where they can be."""
    return ["monospace", *rcParams["font.family"]]


def _name(text: object) -> str:
    """Return a name as a legend shows it, also one that begins with the "_" that hides it."""
    shown = _plain(text, 60)
    return shown if shown and shown[0] != "_" else "\u200b" + shown


# Numbers


def _finite(values: object) -> np.ndarray:
    """Return numbers as float64, NaN where they are none, not finite or too large to draw."""
    values = np.array(values, dtype=float)
    return np.where(np.abs(values) < 1e200, values, np.nan)


def _column(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a column has a finite number, and the numbers."""
    steps, values = history.column(name)
    values = _finite(values)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def _upright_log(axis: Axes) -> None:
    """Make the upright scale of what is drawn logarithmic, if any of it is above 0."""
    if any((_finite(line.get_ydata()) > 0).any() for line in axis.get_lines()):
        axis.set_yscale("log")


def _smooth(values: np.ndarray, span: int) -> np.ndarray:
    """Return the running mean over up to `span` earlier values."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - span, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_and_gradient(
    history: History, baselines: dict[str, float] | None = None, title: str = "Training"
) -> Figure:
    """Draw loss and gradient norm over one axis of steps.

    Above: training and validation loss in nats per character, with baselines (name -> nats per
    character) as dashed lines. Below: the global gradient norm before clipping, on a log scale, and
    the steps that were clipped.
    """
    figure, (top, bottom) = _figure(2, 1, 8, 5.6, sharex=True, height_ratios=[3, 2])
    steps, loss = _column(history, "loss")
    top.plot(steps, loss, color=SKY, alpha=0.45, linewidth=1)
    top.plot(steps, _smooth(loss, 20), color=BLUE, label="training (mean of 20 steps)")
    at, valid = _column(history, "valid_loss")
    if len(at):
        top.plot(at, valid, "o-", color=RED, markersize=4, label="validation")
    for (name, nats), color in zip((baselines or {}).items(), (BLACK, GREEN, PINK), strict=False):
        top.axhline(nats, color=color, linestyle="--", linewidth=1, label=_name(name))
    highest = max(loss.max(initial=0.1), valid.max(initial=0.1))
    top.set(title=_plain(title), ylabel="loss\n(nats per character)", ylim=(0, highest * 1.05))
    top.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
    steps, norm = _column(history, "grad_norm")  # a step that was skipped has none
    clipped = dict(zip(*history.column("clipped_norm"), strict=True))
    hit = np.array([clipped.get(k, n) < n for k, n in zip(steps, norm, strict=True)], dtype=bool)
    bottom.plot(steps, norm, color=BLUE, linewidth=1, label="before clipping")
    if hit.any():
        bottom.plot(steps[hit], norm[hit], "x", color=ORANGE, label="steps that were clipped")
    _upright_log(bottom)
    _plain_numbers(bottom)
    bottom.set(xlabel="step", ylabel="gradient norm\n(log scale)")
    bottom.legend(loc="upper right")
    return figure


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
    figure, (top, bottom) = _figure(2, 1, 8, 5.6, sharex=True, height_ratios=[3, 2])
    steps, loss = _column(history, "loss")
    top.plot(steps / epoch_steps, loss, color=BLUE, label="training")
    at, valid = _column(history, "valid_window_loss")
    top.plot(at / epoch_steps, valid, "o", color=RED, markersize=4, label="validation")
    for (name, nats), color in zip((baselines or {}).items(), cycle((BLACK, GREEN, PINK))):
        top.axhline(nats, color=color, linestyle="--", linewidth=1, label=_name(name))
    highest = max(loss.max(initial=0.1), valid.max(initial=0.1), *(baselines or {}).values())
    top.set(title=_plain(title), ylabel="loss\n(nats per character)", ylim=(0, highest * 1.1))
    top.legend(loc="lower right")
    steps, norm = _column(history, "grad_norm")
    bottom.plot(steps / epoch_steps, norm, color=BLUE, linewidth=1, label="largest norm")
    bottom.axhline(limit, color=ORANGE, linestyle="--", label=f"clipped at {limit:g}")
    _upright_log(bottom)
    _plain_numbers(bottom)
    bottom.set(xlabel="epoch", ylabel="gradient norm\n(log scale)")
    bottom.legend(loc="center right")
    return figure


def _plain_numbers(axis: Axes) -> None:
    """Label an upright log scale with 0.1, 0.2, 0.5 and so on; a long one with 0.1, 1, 10."""
    if axis.get_yscale() != "log":
        return
    bottom, top = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top < 1000 * bottom else (1,)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


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
        image = Image(png(loss_and_gradient(history, self.baselines)))
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def character_counts(before: dict[str, int], after: dict[str, int]) -> Figure:
    """Draw how often each character occurs, raw text above clean text, most frequent first.

    Of more than 150 characters, those that are most frequent.
    """
    figure, axes = _figure(2, 1, 10, 5.2, sharey=True)
    most = 150
    width = min(max(len(before), len(after)), most)
    for axis, counts, name in zip(axes, (before, after), ("raw", "clean"), strict=True):
        items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
        axis.bar(range(len(items)), [n for _, n in items], color=BLUE)
        if any(n > 0 for _, n in items):
            axis.set_yscale("log")
        axis.set_xticks(range(len(items)), [_visible(c) for c, _ in items], fontsize=8)
        for label in axis.get_xticklabels():
            label.set_rotation(90 if len(label.get_text()) > 1 else 0)  # code points take room
        axis.set_xlim(-1, width)
        axis.grid(axis="x", visible=False)
        shown = f"; the {most} most frequent" if len(counts) > most else ""
        title = f"{name}: {len(counts)} distinct characters{shown}"
        axis.set(title=title, ylabel="count (log scale)")
    axes[-1].set_xlabel("character, most frequent first")
    return figure


def windows_and_streams(text: str, length: int, step: int, batch_size: int, seq_len: int) -> Figure:
    """Draw, on a short text, which characters `windows` and `Streams` put into which example.

    Raises:
        ValueError: a size is below 1; the text is too short for one window and one batch of
            streams, or longer than 100 characters.
    """
    sizes = {"length": length, "step": step, "batch_size": batch_size, "seq_len": seq_len}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be 1 or more.")
    needed = max(length, batch_size * seq_len) + 1
    if not needed <= len(text) <= 100:
        raise ValueError(
            f"The text has {len(text)} characters; give from {needed}, for one window and one "
            "batch of streams, to 100."
        )
    figure, (left, right) = _figure(1, 2, 11, 3.6)
    for axis in (left, right):
        axis.grid(visible=False)
        axis.set_yticks([])
    count = (len(text) - length - 1) // step + 1
    for row in range(count):
        start = row * step
        _cells(left, text[start : start + length], start, -row, SKY)
        _cells(left, text[start + length], start + length, -row, ORANGE)
    left.set(
        xlim=(-0.5, len(text) - 0.5),
        ylim=(-count + 0.3, 0.7),
        xticks=range(0, len(text), 2),
        title=f"windows of {length}, step {step}: blue in, orange to predict",
        xlabel="position in the text",
    )
    batches = (len(text) - 1) // (batch_size * seq_len)
    columns = batches * seq_len
    for row in range(batch_size):
        for k in range(batches):
            start = row * columns + k * seq_len
            color = (SKY, YELLOW, PINK, GREEN)[k % 4]
            _cells(right, text[start : start + seq_len], k * seq_len, -row, color)
    right.set(
        xlim=(-0.5, columns - 0.5),
        ylim=(-batch_size + 0.3, 0.7),
        xticks=range(0, columns, 2),
        title=f"streams: {batch_size} rows, each box to predict the next; one colour per batch",
        xlabel="position in the row",
    )
    return figure


def _cells(axis: object, text: str, x: float, y: float, color: str) -> None:
    """Draw characters in coloured boxes, from x to the right."""
    for i, character in enumerate(text):
        axis.text(
            x + i,
            y,
            _visible(character),
            ha="center",
            va="center",
            family=_monospace(),
            bbox={"facecolor": color, "edgecolor": "white", "alpha": 0.6, "pad": 2.5},
        )


def ngram_losses(train: list[float], valid: list[float]) -> Figure:
    """Draw the loss of n-gram models against their order, on text they saw and on held-out text."""
    figure, axis = _figure(1, 1, 7, 3.8)
    orders = range(1, max(len(train), len(valid)) + 1)
    axis.plot(orders[: len(train)], train, "s--", color=SKY, label="on the text it was counted on")
    axis.plot(orders[: len(valid)], valid, "o-", color=RED, label="on held-out text")
    axis.set(
        title="What counting alone achieves",
        xlabel="order n (characters, the predicted one included)",
        ylabel="loss (nats per character)",
        xticks=list(orders),
        ylim=(0, None),
    )
    axis.legend()
    return figure


def temperature_bars(
    tokens: list[str], distributions: dict[float, np.ndarray], most: int = 12
) -> Figure:
    """Draw the next-character distribution at several temperatures, side by side.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        distributions: temperature -> probabilities (V,).
        most: how many characters to show, the most probable at the highest temperature first.
    """
    _give(distributions, "distributions", 12)
    figure, axes = _figure(1, len(distributions), 3.6 * len(distributions), 3.4, sharey=True)
    order = np.argsort(-distributions[max(distributions)], kind="stable")[:most]
    for axis, (temperature, p) in zip(np.atleast_1d(axes), distributions.items(), strict=True):
        axis.bar(range(len(order)), p[order], color=BLUE)
        axis.set_xticks(range(len(order)), [_visible(tokens[i]) for i in order])
        axis.grid(axis="x", visible=False)
        axis.set(title=f"T = {temperature}", xlabel="next character", ylim=(0, 1))
    np.atleast_1d(axes)[0].set_ylabel("probability")
    return figure


def unrolled(text: str) -> Figure:
    """Draw an RNN unrolled over a text, each character predicting the next, forwards and back.

    Raises:
        ValueError: the text has not 2 to 20 characters.
    """
    if not 2 <= len(text) <= 20:
        raise ValueError(f"The text has {len(text)} characters; give from 2 to 20.")
    figure, axis = _figure(1, 1, 9.5, 4.4)
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
    return figure


def _cell_box(axis: object, x: float, y: float, text: str, color: str, box: dict) -> None:
    axis.text(
        x,
        y,
        _visible(text),
        ha="center",
        va="center",
        family=_monospace(),
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


def step_sizes(steps: np.ndarray, errors: dict[str, np.ndarray], chosen: float) -> Figure:
    """Draw the error of numeric gradients against their step size, name -> worst |a - n|.

    Raises:
        ValueError: no step, or one that is not finite and above 0.
    """
    _give(steps, "steps", 1000)
    if not all(0 < step < np.inf for step in (*steps, chosen)):
        raise ValueError("A step is not finite and above 0; it has no place on a log scale.")
    figure, axis = _figure(1, 1, 7, 3.8)
    for (name, error), color, mark in zip(errors.items(), cycle((BLUE, RED)), cycle("os")):
        axis.plot(steps, _finite(error), f"{mark}-", color=color, label=_name(name))
    _upright_log(axis)
    axis.axvline(chosen, color=BLACK, linestyle="--", linewidth=1, label=f"step {chosen:g}")
    axis.set(xscale="log", xlim=(0.5 * min(*steps, chosen), 2 * max(*steps, chosen)))
    axis.set(
        title="Large steps miss the curve, small steps drown in rounding",
        xlabel="step size (log scale)",
        ylabel="worst absolute error\n(log scale)",
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


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
    scale logarithmic, for what spans several powers of ten, such as norms and update sizes.

    Raises:
        ValueError: no curve, or more than 40; `top` is not finite.
    """
    _give(curves, "curves", 40)
    if top is not None and not np.isfinite(top):
        raise ValueError(f"top is {top}; it must be a finite number, or None.")
    figure, axis = _figure(1, 1, 8, 4)
    colors, styles = cycle((BLUE, RED, GREEN, ORANGE, PINK)), cycle(("-", "--", "-.", ":"))
    for (name, (x, y)), color, style in zip(curves.items(), colors, styles, strict=False):
        axis.plot(x, _finite(y), style if len(x) > 1 else "D", color=color, label=_name(name))
    for (name, value), color in zip((baselines or {}).items(), cycle((BLACK, PINK))):
        axis.axhline(value, color=color, linestyle=(0, (6, 3)), linewidth=1, label=_name(name))
    axis.set(title=_plain(title), xlabel=_plain(xlabel), ylabel=_plain(ylabel, 60))
    if log:
        _upright_log(axis)
    if top is not None:
        axis.set_ylim(top=top)
    if len(curves) > 6:  # too many to leave the curves room
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    else:
        axis.legend()
    return figure


def ranked(
    losses: dict[str, list[float]], title: str, xlabel: str = "loss (nats per character)"
) -> Figure:
    """Draw a row of dots for each entry, name -> its losses by seed, the first entry on top."""
    _give(losses, "entries")
    figure, axis = _figure(1, 1, 8, 1.2 + 0.3 * len(losses))
    for row, values in enumerate(losses.values()):
        axis.plot(_finite(values), [row] * len(values), "o", color=BLUE, alpha=0.6)
    axis.set(title=_plain(title), xlabel=_plain(xlabel), ylabel="entry", yticks=range(len(losses)))
    axis.set_yticklabels([_plain(name, 60) for name in losses])
    axis.invert_yaxis()
    return figure


def gradient_against_lag(norms: dict[str, np.ndarray]) -> Figure:
    """Draw how strongly the last hidden state depends on an earlier state, name -> norm by lag."""
    _give(norms, "curves", 40)
    figure, axis = _figure(1, 1, 8, 4)
    colors, styles = cycle((RED, BLUE, GREEN, ORANGE)), cycle(("-", "-", "--", ":"))
    for (name, norm), color, style in zip(norms.items(), colors, styles, strict=False):
        axis.plot(range(1, len(norm) + 1), _finite(norm), style, color=color, label=_name(name))
    _upright_log(axis)
    axis.set(
        title="What is left of the gradient after so many steps",
        xlabel="lag (characters back)",
        ylabel="norm of the Jacobian\n(log scale)",
    )
    axis.legend()
    return figure


def gates(text: str, panels: dict[str, np.ndarray]) -> Figure:
    """Draw what the gates of some units do at each character of a text.

    Args:
        text: (T,) characters.
        panels: title -> values (units, T); those with "gate" in the title get a scale from 0 to 1,
            the others one that is white at 0.

    Raises:
        ValueError: no panel, or one whose values are not one for each of 1 to 100 characters.
    """
    _give(text, "characters")
    _give(panels, "panels", 20)
    for title, values in panels.items():
        if np.shape(values)[1:] != (len(text),):
            raise ValueError(
                f"{title!r} has the shape {np.shape(values)}; for this text it must be "
                f"(units, {len(text)})."
            )
    figure, axes = _figure(len(panels), 1, 11, 1.45 * len(panels), sharex=True)
    for axis, (title, values) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        gate = "gate" in title
        values = _finite(values)
        limit = np.abs(values[np.isfinite(values)]).max(initial=0) or 1
        scale = {"vmin": 0, "vmax": 1} if gate else {"vmin": -limit, "vmax": limit}
        image = axis.imshow(values, aspect="auto", cmap="Blues" if gate else "RdBu", **scale)
        figure.colorbar(image, ax=axis, pad=0.01)
        axis.grid(visible=False)
        axis.set(title=_plain(title), ylabel="unit", yticks=range(len(values)))
        axis.set_yticks(range(len(values)), range(1, len(values) + 1), fontsize=8)
    axis.set_xticks(range(len(text)), [_visible(c) for c in text], family=_monospace())
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
    _give(panels, "distributions", 12)
    figure, axis = _figure(1, 1, 9, 3.8)
    order = np.argsort(-next(iter(panels.values())), kind="stable")[:most]
    width = 0.8 / len(panels)
    for k, ((name, p), color) in enumerate(zip(panels.items(), cycle((BLUE, ORANGE, GREEN)))):
        axis.bar(
            np.arange(len(order)) + (k - (len(panels) - 1) / 2) * width,
            p[order],
            width,
            color=color,
            label=_name(name),
        )
    axis.set_xticks(range(len(order)), [_visible(tokens[i]) for i in order])
    axis.grid(axis="x", visible=False)
    axis.set(title=_plain(title), xlabel="next character", ylabel="probability")
    axis.legend()
    return figure


def clipping(gradients: list[tuple[float, float]], limit: float) -> Figure:
    """Draw gradients of two weights as arrows, clipped by global norm and by value at one limit.

    Raises:
        ValueError: no gradient, or one that is not finite; a limit that is not finite and above 0.
    """
    _give(gradients, "gradients")
    if not np.isfinite(gradients).all():
        raise ValueError("A gradient is NaN or infinite; it cannot be drawn as an arrow.")
    if not 0 < limit < np.inf:
        raise ValueError(f"limit is {limit}; it must be finite, and above 0.")
    figure, axes = _figure(1, 2, 9, 4.4, sharex=True, sharey=True)
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
    _give(results, "devices", 12)
    for device, result in results.items():
        if precision not in result["product_operations_per_second"]:
            raise ValueError(f"{device!r} was not measured in {precision}.")
    figure, (left, right) = _figure(1, 2, 11, 4.2)
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
            operations = np.array([row["operations_per_character"] for row in of_size])
            named = {"color": colors[hidden], "label": _name(f"{str(device)[:45]}, H = {hidden}")}
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
    _give(steps, "steps", np.inf)
    _give(parts, "parts", 200)
    figure, axis = _figure(1, 1, 10, 1.3 + 0.28 * len(parts))
    starts = np.arange(0, len(steps), -(-len(steps) // 400))
    values = _finite(list(parts.values()))
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
    figure.colorbar(mesh, ax=axis, pad=0.01, label=_plain(label, 60))
    axis.grid(visible=False)
    axis.set_yticks(range(len(parts)), [_plain(part, 60) for part in parts])
    axis.invert_yaxis()
    axis.set(title=_plain(title), xlabel="step", ylabel="part of the network")
    return figure


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
    losses = np.ma.masked_invalid(_finite(losses))
    if min(losses.shape) < 2:
        raise ValueError(f"The losses have the shape {losses.shape}; a surface needs 2 by 2.")
    if not losses.max() > 0:
        raise ValueError("There is nothing to draw: no loss is finite and above 0.")
    for points in paths.values():
        _give(points, "points of a path", np.inf)
    figure, axis = _figure(1, 1, 8, 5.4)
    highest = losses.max()
    # From 1e-3 of the highest at least, and where all are equal from a little below.
    levels = np.geomspace(np.clip(losses.min(), 1e-3 * highest, 0.99 * highest), highest, 25)
    norm = LogNorm(levels[0], 20 * highest)  # short of black, so that the paths stand out
    losses = losses.clip(levels[0] / 2)  # below the lowest level; 0 itself has no logarithm
    filled = axis.contourf(x, y, losses, levels, norm=norm, cmap="Greys", extend="min")
    bar = figure.colorbar(filled, ax=axis, label="loss (log scale)")
    bar.locator, bar.formatter = LogLocator(), LogFormatterSciNotation()
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    for (name, points), color in zip(paths.items(), cycle((RED, BLUE, GREEN, ORANGE))):
        look = {"color": color, "markersize": 5, "label": _name(name)} | edge
        axis.plot(*np.transpose(points), "o-", **look)
    starts = np.transpose([points[0] for points in paths.values()])
    axis.plot(*starts, "*", color=BLACK, markersize=16, label="start", **edge)
    axis.grid(visible=False)
    axis.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axis.set(title=_plain(title), xlabel=_plain(xlabel), ylabel=_plain(ylabel, 60))
    axis.legend()
    return figure


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
    _give(limits, "clip values")
    if not np.size(losses):
        raise ValueError("There is nothing to draw: give the loss of at least one seed.")
    limits = np.array([np.inf if limit is None else limit for limit in limits], float)
    if not (limits > 0).all():
        raise ValueError(f"A clip value is {limits.min()}; all must be above 0, or None.")
    if suggestion is not None and not 0 < suggestion < np.inf:
        raise ValueError(f"suggestion is {suggestion}; it must be finite and above 0, or None.")
    figure, axis = _figure(1, 1, 8, 4.2)
    order = np.argsort(limits)
    limits, losses = limits[order], np.asarray(losses, float)[order]
    finite = np.isfinite(limits)
    places = np.where(finite, limits, 4 * max([*limits[finite], suggestion or 0]) or 1)
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
        _upright_log(axis)
        _plain_numbers(axis)
    names = [f"{limit:g}" if np.isfinite(limit) else "no\nclipping" for limit in limits]
    axis.set_xticks(places, names)
    axis.set_xticks([], minor=True)
    axis.set(
        title=_plain(title),
        xlabel=f"{_plain(xlabel, 80)} (log scale)",
        ylabel="validation loss\n(nats per character)",
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


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


def training_moment(history: History, step: int) -> Figure:
    """Draw one step of a run: where it lies, and what gradients, updates and gates were then.

    Above, the loss and the gradient norm of the whole run, with a line at the step. Below, for each
    part of the network as in `diagnostics.parts_of`: its gradient norm before and after clipping;
    the norm of its update over that of its weights, with a line at 1e-3, about which it should lie
    (Karpathy, notes to Stanford's CS231n); and for LSTM and CIFG the share of gate values within
    `diagnostics.SATURATED` of 0 and of 1. The scales are those of the whole run, so that steps can
    be compared.

    Where the step has no diagnostics, the lower panels say so.

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
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 6), dpi=110)  # laid out by hand, which takes half the time
        above = {"left": 0.08, "right": 0.98, "bottom": 0.69, "top": 0.95, "wspace": 0.25}
        _mark_step(figure.add_gridspec(1, 2, **above).subplots(), history, row)
        below = {"left": 0.18, "right": 0.98, "bottom": 0.12, "top": 0.5, "wspace": 0.12}
        lower = figure.add_gridspec(1, len(panels), **below).subplots(sharey=True)
    found = row.get("diagnostics")
    for axis, (title, draw) in zip(lower, panels.items(), strict=True):
        axis.set_title(title, pad=24)  # room for the legend
        axis.tick_params(labelsize=9)
        if found:
            draw(axis, found, recorded)
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=9)
        else:
            why = "this step was skipped" if row.get("skipped") else "nothing was recorded"
            axis.text(0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center")
            axis.grid(visible=False)
            axis.set(xticks=[])
    parts = list(recorded[0]["diagnostics"]["gradient"]) if recorded else []
    lower[0].set_yticks(range(len(parts)), [_plain(part, 40) for part in parts])
    lower[0].set(ylim=(len(parts) - 0.4, -0.6), ylabel="part of the network")
    return figure


def _mark_step(axes: Sequence[Axes], history: History, row: dict) -> None:
    """Draw the loss and the gradient norm of a run, and a line at the step of a row."""
    left, right = axes
    steps, loss = _column(history, "loss")
    left.plot(steps, loss, color=SKY, linewidth=1)
    left.plot(steps, _smooth(loss, 20), color=BLUE)
    left.set(xlabel="step (dark: mean of 20)", ylabel="loss\n(nats per character)")
    right.plot(*_column(history, "grad_norm"), color=BLUE, linewidth=1)
    _upright_log(right)
    right.set(xlabel="step", ylabel="before clipping\n(log scale)")
    _plain_numbers(right)
    for axis, name, column in ((left, "loss", "loss"), (right, "gradient norm", "grad_norm")):
        number = _finite(row[column])
        number = f"{number:.3g}" if np.isfinite(number) else "not finite"
        axis.axvline(row["step"], color=RED)
        axis.set_title(f"step {row['step']}: {name} {number}")


def _gradient_bars(axis: Axes, found: dict, recorded: list[dict]) -> None:
    """Draw the gradient norm of each part at one step, before and after clipping."""
    before, after = (_finite(list(found[name].values())) for name in ("gradient", "clipped"))
    axis.barh(range(len(before)), before, 0.8, color=SKY, label="before clipping")
    axis.barh(range(len(after)), after, 0.4, color=BLUE, label="after")
    axis.set(xlabel="norm (log scale)")
    _log_scale(axis, recorded, "gradient", "clipped")


def _update_bars(axis: Axes, found: dict, recorded: list[dict]) -> None:
    """Draw the update of each part at one step as a share of its weights."""
    ratios = _finite(list(found["update"].values()))
    axis.barh(range(len(ratios)), ratios, 0.8, color=GREEN)
    axis.axvline(1e-3, color=BLACK, linestyle="--", linewidth=1, label="usual: about 0.001")
    axis.set(xlabel="norm / norm of the weights\n(log scale)")
    _log_scale(axis, recorded, "update")


def _gate_bars(axis: Axes, found: dict, recorded: list[dict]) -> None:
    """Draw the saturated share of each gate: near 0 from the left, near 1 from the right."""
    rows = [list(found["gradient"]).index(gate) for gate in found["near_0"]]
    near_0, near_1 = (_finite(list(found[name].values())) for name in ("near_0", "near_1"))
    axis.barh(rows, near_0, color=ORANGE, label="near 0")
    axis.barh(rows, -near_1, left=1, color=PINK, label="near 1")
    axis.set(xlabel="share of a gate's values", xlim=(0, 1))


def _log_scale(axis: Axes, recorded: list[dict], *names: str) -> None:
    """Give an axis the log scale of what a whole run recorded under some names."""
    parts = [values for name in names for values in series(recorded, name)[1].values()]
    values = _finite(np.concatenate(parts))
    values = values[values > 0]
    if len(values):
        axis.set(xscale="log", xlim=(values.min() / 2, values.max() * 2))


def entropy_by_temperature(
    temperatures: np.ndarray, entropies: dict[str, np.ndarray], largest: float
) -> Figure:
    """Draw the entropy of next-character distributions against the temperature.

    Args:
        temperatures: (n,), 0 or more.
        entropies: what a distribution is called -> its entropy at each temperature, (n,), nats.
        largest: the entropy of the uniform distribution, ln V.
    """
    figure, axis = _figure(1, 1, 8, 3.8)
    lines = cycle([(BLUE, "-"), (RED, "--"), (GREEN, "-."), (PINK, ":")])
    for (name, entropy), (color, line) in zip(entropies.items(), lines, strict=False):
        axis.plot(temperatures, _finite(entropy), line, color=color, label=_name(name))
    axis.axhline(largest, color=BLACK, linestyle="--", linewidth=1, label="uniform: ln V")
    axis.axvline(1, color=BLACK, linewidth=0.8)
    axis.set(
        title="Entropy rises with the temperature",
        xlabel="temperature (at 1 the model as it is)",
        ylabel="entropy (nats)",
        ylim=(0, None),
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draws(tokens: Sequence[str], distributions: dict[str, np.ndarray], uniform: float) -> Figure:
    """Draw a draw: each distribution laid end to end, most probable first, and where u falls.

    Args:
        tokens: the tokens of the vocabulary, (V,).
        distributions: what one is called -> probabilities (V,).
        uniform: the random number u that all are drawn with, 0 ≤ u < 1.

    Raises:
        ValueError: no distribution; u is no such number.
    """
    _give(distributions, "distributions", 40)
    if not 0 <= uniform < 1:
        raise ValueError(f"u is {uniform}; it must be 0 or more, and below 1.")
    figure, axis = _figure(1, 1, 10, 0.8 + 0.65 * len(distributions))
    for row, p in enumerate(distributions.values()):
        order = np.argsort(-p, kind="stable")
        ends = p[order].cumsum()
        chosen = np.searchsorted(ends, uniform * ends[-1], side="right")
        for k, (i, end) in enumerate(zip(order, ends, strict=True)):
            color = ORANGE if k == chosen else (SKY, "#D9D9D9")[k % 2]
            axis.barh(row, p[i], 0.7, left=end - p[i], color=color)
            if p[i] > 0.02:
                axis.text(end - p[i] / 2, row, _visible(tokens[i]), ha="center", va="center")
    axis.axvline(uniform, color=BLACK, linewidth=1.5)
    axis.set_yticks(range(len(distributions)), [_plain(name, 60) for name in distributions])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set(
        title=f"One random number for all, u = {uniform:.2f} (orange: what is drawn)",
        xlabel="probability, added up from the most probable character",
        ylabel="distribution",
        xlim=(0, 1),
    )
    return figure


def shaded_texts(samples: dict[str, tuple[str, np.ndarray]], width: int = 40) -> Figure:
    """Draw texts side by side, each character on a background that tells how improbable it was.

    Args:
        samples: title -> (characters (n,), the probability of each (n,)).
        width: characters of a line; longer lines are broken anywhere.

    Raises:
        ValueError: no text, a width below 1, or a text of more than 200 lines.
    """
    _give(samples, "texts", 12)
    if width < 1:
        raise ValueError(f"width is {width}; it must be 1 or more.")
    lines = {title: _in_lines(*sample, width) for title, sample in samples.items()}
    rows = max(map(len, lines.values()))
    if rows > 200:
        raise ValueError(f"A text has {rows} lines; this figure has room for 200. Cut it.")
    figure, axes = _figure(
        1, len(lines), 0.105 * width * len(lines), 0.21 * rows + 1, squeeze=False
    )
    for axis, (title, text) in zip(axes[0], lines.items(), strict=True):
        surprise = np.zeros((rows, width))
        for y, line in enumerate(text):
            for x, (character, p) in enumerate(line):
                surprise[y, x] = -np.log(max(p, 1e-12))
                axis.text(
                    x,
                    y,
                    _plain(character),
                    family=_monospace(),
                    fontsize=9,
                    ha="center",
                    va="center",
                )
        picture = axis.imshow(surprise, cmap=_surprise_map(), vmin=0, vmax=6, aspect="auto")
        axis.set(title=_plain(title, 60), xlabel="characters", xticks=[], yticks=[])
        axis.grid(visible=False)
    axes[0, 0].set_ylabel("lines")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=-np.log([1, 0.3, 0.1, 0.03, 0.003]))
    bar.ax.set_yticklabels(["1", "0.3", "0.1", "0.03", "0.003"])
    bar.set_label("probability under the model")
    return figure


def _in_lines(characters: Sequence[str], p: np.ndarray, width: int) -> list[list[tuple]]:
    """Return the lines of a text as lists of (character, its probability), tabs as blanks."""
    lines = [[]]
    for character, probability in zip(characters, p, strict=True):
        if character == "\n" or len(lines[-1]) == width:
            lines.append([])
        if character != "\n":
            lines[-1].append((character if character.isprintable() else " ", probability))
    return lines


def _surprise_map() -> LinearSegmentedColormap:
    """Return the colours of surprise: white where there is none, orange where there is much."""
    return LinearSegmentedColormap.from_list("surprise", ["#FFFFFF", ORANGE])


def measures_by_temperature(
    temperatures: Sequence[float],
    measured: dict[str, tuple[np.ndarray, np.ndarray]],
    real: dict[str, float],
    span: tuple[float, float],
) -> Figure:
    """Draw measures of generated text against the temperature, with error bars.

    Args:
        temperatures: (n,).
        measured: what is measured -> (mean (n,), half the width of its interval (n,)), shares.
        real: the same measure of real text.
        span: from which temperature to which the text is good; shaded.
    """
    _give(measured, "measures", 12)
    shared = {"sharex": True, "sharey": True, "squeeze": False}
    figure, (axes,) = _figure(1, len(measured), 4 * len(measured), 3.8, **shared)
    for axis, (name, (mean, error)) in zip(axes, measured.items(), strict=True):
        axis.axvspan(*span, color=YELLOW, alpha=0.3, linewidth=0)
        axis.errorbar(temperatures, mean, error, fmt="o-", color=BLUE, markersize=4, capsize=3)
        axis.axhline(real[name], color=RED, linestyle="--", label="held-out text")
        axis.set(title=_plain(name, 60), xlabel="temperature", ylim=(0, 1.03))
        axis.legend(loc="best")
    axes[0].set_ylabel("share")
    return figure


def loop(distances: np.ndarray, temperatures: np.ndarray, again: np.ndarray) -> Figure:
    """Draw why a cold text goes round in circles.

    Left, how far the hidden state is from where it was a round ago, which falls until nothing
    differs. Right, how probable one more round is when characters are drawn.

    Args:
        distances: ||h_t - h_(t-P)|| of the characters after the first round of P, (n,).
        temperatures: (m,).
        again: probability of one more round at each temperature, (m,).
    """
    figure, (left, right) = _figure(1, 2, 10, 3.8)
    left.plot(_finite(distances), color=BLUE)
    _upright_log(left)
    left.set(
        title="The hidden state comes back to itself",
        xlabel="characters written after the first round",
        ylabel="distance of the hidden state\nfrom a round ago (log scale)",
    )
    right.plot(temperatures, _finite(again), color=RED)
    _upright_log(right)
    right.set(
        title="Staying in the loop",
        xlabel="temperature",
        ylabel="probability of one more round\n(log scale)",
    )
    return figure


def tradeoff(
    curves: dict[str, tuple[np.ndarray, np.ndarray, Sequence[str]]],
    real: tuple[float, float],
    title: str,
) -> Figure:
    """Draw ways to transform a distribution against each other: novelty, and known words.

    Args:
        curves: name -> (novelty (n,), share of known words (n,), the setting at each point (n,)).
        real: novelty and share of known words of held-out text.
        title: stands above.
    """
    figure, axis = _figure(1, 1, 8.5, 5)
    marks = cycle([(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (ORANGE, "v")])
    for (name, (x, y, settings)), (color, mark) in zip(curves.items(), marks, strict=False):
        axis.plot(x, y, mark + "-", color=color, markersize=6, label=_name(name))
        for k in sorted({0, len(x) - 1} & set(range(len(x)))):
            axis.annotate(
                _plain(settings[k], 40),
                (x[k], y[k]),
                xytext=(5, 5) if k else (-14, -14),
                textcoords="offset points",
                fontsize=9,
                color=color,
            )
    axis.plot(*real, "*", color=BLACK, markersize=14, label="held-out text")
    axis.set(
        title=_plain(title),
        xlabel="novelty (share of runs of 10 characters that the training text has not)",
        ylabel="share of known words",
    )
    axis.legend(loc="lower left")
    return figure


def validity_by_epoch(
    epochs: Sequence[int], counts: dict[float, Sequence[Validity]], title: str
) -> Figure:
    """Draw which share of samples are whole strings of a language, and which legal beginnings.

    A panel for each temperature; the bars are 95 % confidence intervals (Wilson).

    Args:
        epochs: (n,), ascending.
        counts: temperature -> n times the counts of as many samples.
        title: stands above.
    """
    _give(epochs, "epochs", 10_000)
    _give(counts, "temperatures", 12)
    figure, (axes,) = _figure(1, len(counts), 4 * len(counts), 3.8, sharey=True, squeeze=False)
    for axis, (temperature, found) in zip(axes, counts.items(), strict=True):
        parts = (("complete", "o-", BLUE), ("legal prefix", "s--", ORANGE))
        totals = [sum(each) for each in found]
        for (label, style, color), values in zip(parts, zip(*found, strict=True), strict=False):
            shares, errors = _shares(values, totals)
            axis.errorbar(
                epochs, shares, errors, fmt=style, color=color, markersize=4, capsize=3, label=label
            )
        axis.set(title=f"temperature {temperature:g}", xlabel="epoch", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share of samples")
    axes[-1].legend(loc="best")
    figure.suptitle(_plain(title))
    return figure


def _shares(counts: Sequence[int], totals: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return shares (n,), and how far their intervals reach down and up (2, n); NaN of no total."""
    counts, totals = np.asarray(counts, float), np.asarray(totals, float)
    shares = np.divide(counts, totals, out=np.full(len(counts), np.nan), where=totals > 0)
    nothing = (np.nan, np.nan)
    ends = [
        wilson(int(count), int(total)) if total else nothing
        for count, total in zip(counts, totals, strict=True)
    ]
    return shares, np.abs(np.reshape(ends, (-1, 2)).T - shares)


def counting(
    panels: dict[str, tuple[Sequence[int], dict[str, Sequence[int]]]],
    of: int,
    trained: dict[str, int],
) -> Figure:
    """Draw how often networks make no wrong decision on strings, by the size of the strings.

    The bars are 95 % confidence intervals (Wilson).

    Args:
        panels: what size is meant -> (sizes, (n,); name of the network -> counts of strings, (n,)).
        of: strings of each size.
        trained: what size is meant -> the largest in training, marked by a line.
    """
    _give(panels, "panels", 12)
    shared = {"sharey": True, "squeeze": False}
    figure, (axes,) = _figure(1, len(panels), 5 * len(panels) + 2, 3.8, **shared)
    for axis, (label, (sizes, networks)) in zip(axes, panels.items(), strict=True):
        looks = cycle((("o-", BLUE), ("s--", ORANGE), ("^-.", GREEN)))
        for (name, counts), (style, color) in zip(networks.items(), looks, strict=False):
            shares, errors = _shares(counts, [of] * len(counts))
            look = {"color": color, "markersize": 5, "capsize": 3, "label": _name(name)}
            axis.errorbar(sizes, shares, errors, fmt=style, **look)
        axis.axvline(trained[label], color=BLACK, linestyle=":", label="largest in training")
        shown = _plain(label, 60)
        axis.set(title=f"by {shown}", xlabel=shown, xscale="log", ylim=(-0.04, 1.04))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("share of strings")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle("Strings without a wrong decision between closing and ending")
    return figure


def counter(text: str, depth: np.ndarray, probe: np.ndarray, unit: np.ndarray, name: str) -> Figure:
    """Draw the depth along a string, what a linear probe reads of it, and one unit's cell state.

    Args:
        text: the string, of T characters.
        depth: open brackets after each, (T,).
        probe: what the probe says, (T,).
        unit: the cell state of one unit, (T,).
        name: of the unit.
    """
    figure, (top, bottom) = _figure(2, 1, 10, 4.6, sharex=True)
    at = np.arange(1, len(text) + 1)
    top.step(at, depth, where="mid", color=SKY, linewidth=5, alpha=0.6, label="depth")
    top.plot(at, probe, ".-", color=BLACK, linewidth=1, label="linear probe of the cell state")
    top.set(title="Where the network keeps the count", ylabel="open brackets")
    top.legend(loc="best")
    bottom.plot(at, _finite(unit), color=BLUE, linewidth=1.5, label=_name(name))
    bottom.set(xlabel="place in the string (brackets)", ylabel="cell state")
    bottom.legend(loc="best")
    return figure


def prefix_reading(reading: PrefixReading, title: str) -> Figure:
    """Draw what a network expects along a prefix, against the grammar's truth.

    Above, the number of open brackets, where there are any. In the middle, the probability of what
    can follow: of each symbol, if no more than three ever can; else of the character that came
    next. Below, the illegal mass: the probability that the network gives to all that cannot follow;
    what is less than 1e-6 is drawn as 1e-6. A grey ground is behind an illegal character.

    Args:
        reading: of `metrics.read_prefix`.
        title: stands above.
    """
    panels = [_reading_probabilities, _reading_mass]
    if reading.depth.any():
        panels.insert(0, _reading_depth)
    heights = [{_reading_depth: 2, _reading_probabilities: 4, _reading_mass: 3}[p] for p in panels]
    shared = {"sharex": True, "squeeze": False, "height_ratios": heights}
    figure, axes = _figure(len(panels), 1, 10, 0.8 + 0.62 * sum(heights), **shared)
    count, legal = len(reading.prefix), reading.legal_places
    for axis, draw in zip(axes[:, 0], panels, strict=True):
        draw(axis, reading)
        if legal <= count:
            label = "after an illegal character"
            axis.axvspan(legal - 0.5, count + 0.5, color="#E4E4E4", zorder=0, label=label)
    axes[0, 0].set_title(_plain(title))
    axes[-2, 0].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    last = axes[-1, 0]
    last.set(xlim=(-0.5, count + 0.5), xlabel="character read last; probabilities are of the next")
    if count > 100:
        last.set_xlabel("characters read; probabilities are of the next")
        return figure
    read = [START, *map(_visible, reading.prefix)]
    last.set_xticks(range(count + 1), read, family=_monospace(), fontsize=11 if count < 60 else 8)
    last.get_xticklabels()[0].set_horizontalalignment("right")  # it is wider than a place
    return figure


def _reading_depth(axis: Axes, reading: PrefixReading) -> None:
    """Draw the number of open brackets at each place of a prefix."""
    axis.step(range(len(reading.depth)), reading.depth, where="mid", color=BLACK)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(ylabel="depth\n(open brackets)", ylim=(min(reading.depth) - 0.3, None))


def _reading_probabilities(axis: Axes, reading: PrefixReading) -> None:
    """Draw the probability of what can follow at each place: lines exact, points the model's."""
    looks = zip((BLUE, RED, GREEN), "os^", ("-", "--", ":"), strict=True)
    drawn = zip(_followers(reading), looks, strict=False)
    for (name, (model, exact)), (color, mark, line) in drawn:
        places = range(len(model))
        axis.step(places, exact, line, where="mid", color=color, label=f"exact: {name}")
        axis.plot(places, model, mark, color=color, markersize=5, label=f"model: {name}")
    axis.set(ylabel="probability", ylim=(-0.05, 1.05))


def _followers(reading: PrefixReading) -> list[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Return what to draw: names, each with its probabilities (model, exact) at each place."""
    ever = np.flatnonzero(reading.legal.any(axis=0))
    if len(ever) <= 3:
        characters_first = sorted(ever, key=lambda i: len(reading.tokens[i]))
        return [
            (_visible(reading.tokens[i]), (reading.model[:, i], reading.exact[:, i]))
            for i in characters_first
        ]
    places = np.arange(len(reading.prefix))
    ids = [reading.tokens.index(c) for c in reading.prefix]
    return [("what came next", (reading.model[places, ids], reading.exact[places, ids]))]


def _reading_mass(axis: Axes, reading: PrefixReading) -> None:
    """Draw the probability on all that cannot follow at each place of a prefix."""
    mass = np.maximum(reading.illegal_mass, 1e-6)
    axis.semilogy(range(len(mass)), mass, "D-", color=BLACK, markersize=4, linewidth=1)
    axis.set(ylabel="illegal mass\n(log scale)", ylim=(5e-7, 2))
    axis.set_yticks([1e-6, 1e-4, 1e-2, 1])
