"""How the figures look: colours, fonts, text, numbers and scales."""

import io
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ticker import LogLocator, NullFormatter

from lstmlib.history import History

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
STYLE = {
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


def _png_with_alt(figure: Figure) -> tuple[bytes, dict]:
    """Return a figure as Jupyter shows it: a PNG, and what a screen reader says instead."""
    return print_figure(figure, "png", dpi=110), {"alt": str(figure.get_label())}


if get_ipython() is not None:
    _formatter = get_ipython().display_formatter.formatters["image/png"]
    _formatter.for_type(Figure, _png_with_alt)


def with_alt(figure: Figure, text: str) -> Figure:
    """Give a figure its alternative text, and return it.

    Args:
        figure: what is shown.
        text: what can be seen in it, in a sentence or two; the title need not be repeated.
    """
    figure.set_label(" ".join(text.split()))
    return figure


def new_figure(rows: int, columns: int, width: float, height: float, **kwargs: object) -> tuple:
    """Return (figure, axes) in the style of the course; sizes are in inches."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        return figure, figure.subplots(rows, columns, **kwargs)


def check_drawable(things: Mapping | Sequence, what: str, most: int = 100) -> None:
    """Raise ValueError if there is nothing to draw, or more than there is room for."""
    if not len(things):
        raise ValueError(f"There is nothing to draw: no {what} are given.")
    if len(things) > most:
        raise ValueError(
            f"There are {len(things)} {what}; this figure has room for {most}. Leave some out."
        )


@cache
def _has_glyph(character: str) -> bool:
    """Say whether one of the fonts of a figure has a character."""
    if unicodedata.category(character) in ("Cc", "Cs"):
        return False
    fonts = (get_font(findfont(FontProperties(family=[name]))) for name in rcParams["font.family"])
    return any(font.get_char_index(ord(character)) for font in fonts)


def visible(token: str) -> str:
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


def plain_text(text: object, most: int = 100) -> str:
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


def monospace_fonts() -> list[str]:
    """Return the fonts of text whose characters are equally wide, where they can be."""
    return ["monospace", *rcParams["font.family"]]


def legend_name(text: object) -> str:
    """Return a name as a legend shows it, also one that begins with the "_" that hides it."""
    shown = plain_text(text, 60)
    return shown if shown and shown[0] != "_" else "\u200b" + shown


def finite(values: object) -> np.ndarray:
    """Return numbers as float64, NaN where they are none, not finite or too large to draw."""
    values = np.array(values, dtype=float)
    return np.where(np.abs(values) < 1e200, values, np.nan)


def finite_column(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a column has a finite number, and the numbers."""
    steps, values = history.column(name)
    values = finite(values)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def in_words(name: str, values: object) -> str:
    """Return in words where a curve begins and ends, and how far it reaches; "" of none."""
    values = finite(values)
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    if len(values) == 1:
        return f"{name} {values[0]:.3g}"
    ends = f"{name} from {values[0]:.3g} to {values[-1]:.3g}"
    low, high = values.min(), values.max()
    if {low, high} == {values[0], values[-1]}:
        return ends  # the curve stays between its ends
    return f"{ends}, between {low:.3g} and {high:.3g}"


def upright_log(axis: Axes) -> None:
    """Make the upright scale of what is drawn logarithmic, if any of it is above 0."""
    if any((finite(line.get_ydata()) > 0).any() for line in axis.get_lines()):
        axis.set_yscale("log")


def running_mean(values: np.ndarray, span: int) -> np.ndarray:
    """Return the running mean over up to `span` earlier values."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - span, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def plain_log_labels(axis: Axes) -> None:
    """Label an upright log scale with 0.1, 0.2, 0.5 and so on; a long one with 0.1, 1, 10."""
    if axis.get_yscale() != "log":
        return
    bottom, top = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top < 1000 * bottom else (1,)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
