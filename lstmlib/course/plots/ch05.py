"""Figures of chapter 05."""

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lstmlib.course.plots.style import GREEN, ORANGE, SKY, new_figure, with_alt

FORMATS = {"float32": (1, 8, 23), "bfloat16": (1, 8, 7), "float16": (1, 5, 10)}
"""Bits of each number format: sign, exponent, fraction."""


def number_formats() -> Figure:
    """Draw the bits of float32, bfloat16 and float16, a row for each."""
    figure, axis = new_figure(1, 1, 9, 2.6)
    colors = {"sign": GREEN, "exponent: the range": ORANGE, "fraction: the precision": SKY}
    for row, bits in enumerate(FORMATS.values()):
        left = 0
        for count, color in zip(bits, colors.values(), strict=True):
            for k in range(count):
                axis.barh(row, 1, left=left + k, height=0.7, color=color, edgecolor="white")
            left += count
        lowest = 2 ** (2 - 2 ** (bits[1] - 1) - bits[2])
        highest = (2 - 2.0 ** -bits[2]) * 2.0 ** (2 ** (bits[1] - 1) - 1)
        axis.text(left + 0.4, row, f"{lowest:.0e} to {highest:.0e}", va="center", fontsize=9)
    axis.set(title="Bits of a number", xlabel="bit", yticks=range(len(FORMATS)), xlim=(0, 40))
    axis.set_yticklabels(list(FORMATS))
    axis.set_ylabel("format")
    axis.set_xticks([0, 8, 16, 24, 32])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.legend(
        handles=[Patch(color=color, label=name) for name, color in colors.items()],
        loc="lower right",
        fontsize=9,
    )
    return with_alt(
        figure,
        "The bits of three number formats: "
        + "; ".join(
            f"{name} with {bits[0]} for the sign, {bits[1]} for the exponent, {bits[2]} for the "
            "fraction"
            for name, bits in FORMATS.items()
        )
        + ".",
    )
