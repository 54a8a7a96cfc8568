"""Figures of chapter 12."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lstmlib.audit import SHORT, Audit
from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    finite,
    new_figure,
    plain_text,
    with_alt,
)
from lstmlib.history import History
from lstmlib.thermometer import Plan

_COLORS = (SKY, ORANGE, PINK, GREEN)
"""The most frequent languages of a map; all others are grey."""


def text_map(found: Audit, title: str) -> Figure:
    """Draw a text from its beginning to its end: its language, and how much of it is repeated.

    Args:
        found: the audit of the text.
        title: the figure's title.
    """
    figure, (top, bottom) = new_figure(2, 1, 8, 3.2, sharex=True, height_ratios=[1, 3])
    parts = found.languages.parts
    names = sorted(set(parts), key=lambda name: (-parts.count(name), name))
    colors = dict.fromkeys(names, "0.8") | dict(zip(names, _COLORS, strict=False))
    if "" in colors:
        colors[""] = "0.8"
    edges = np.linspace(0, 100, len(parts) + 1)
    for name, left, right in zip(parts, edges[:-1], edges[1:], strict=True):
        top.axvspan(left, right, color=colors[name], linewidth=0)
    sure = found.languages.sure or found.languages.second
    worded = {n: (n if sure else f"perhaps {n}") if n else "not recognised" for n in names}
    labels = [Patch(color=colors[n], label=plain_text(worded[n])) for n in names[: len(_COLORS)]]
    if others := len(names) - len(labels):
        said = worded[names[-1]] if others == 1 else f"{others} others"
        labels.append(Patch(color="0.8", label=plain_text(said)))
    top.legend(handles=labels, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    top.set(title=plain_text(title), yticks=[], xlim=(0, 100))
    top.set_ylabel("language", rotation=0, ha="right", va="center")
    top.grid(visible=False)
    shares = 100 * np.array(found.repeats.by_part)  # percent
    edges = np.linspace(0, 100, len(shares) + 1)
    bottom.stairs(shares, edges, fill=True, color=BLUE)
    bottom.axvspan(90, 100, color=BLACK, alpha=0.12, linewidth=0, label="last tenth:\nheld out")
    bottom.set(xlabel="place in the text (%)", ylim=(0, max(10, 1.15 * shares.max())))
    bottom.set_ylabel(f"repeated: runs of {SHORT}\nthat stood before (%)")
    bottom.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    shown = ", ".join(f"{worded[name]} in {parts.count(name)}" for name in names)
    return with_alt(
        figure,
        f"{title}. Language: {shown} of {len(parts)} parts. Repeated: of the runs of {SHORT} "
        f"characters, between {shares.min():.3g} and {shares.max():.3g} % of each twentieth of the "
        "text stood in the text before it.",
    )


def plan_and_run(history: History, plan: Plan, loss: float) -> Figure:
    """Draw the validation loss of a run against what was planned for its end.

    Args:
        history: the run.
        plan: made before it.
        loss: of the network that is kept, on the validation text, in nats per character.
    """
    figure, axis = new_figure(1, 1, 8, 4)
    rows = [row for row in history.rows if row["valid_loss"] is not None]
    at = np.array([row["characters"] for row in rows]) / 1e6  # million characters
    valid = finite([row["valid_loss"] for row in rows])
    axis.plot(at, valid, "o-", color=RED, markersize=4, label="validation loss of the run")
    end = plan.characters / 1e6
    error = [[plan.loss - plan.low], [plan.high - plan.loss]]
    axis.errorbar(
        [end], [plan.loss], error, fmt="s", color=BLUE, capsize=6, label="plan, with its interval"
    )
    axis.plot([end], [loss], "D", color=BLACK, markersize=6, label="the network that is kept")
    axis.axhline(plan.five_gram, color=GREEN, linestyle="--", linewidth=1, label="5-gram model")
    axis.set(xlabel="trained characters (million)", ylabel="loss\n(nats per character)")
    axis.set(title="What was planned, and what came")
    axis.set_xlim(0, 1.06 * max(end, at.max(initial=0)))
    axis.legend(loc="upper right", bbox_to_anchor=(0.95, 0.95))
    return with_alt(
        figure,
        f"Validation loss from {valid[0]:.3g} to {valid[-1]:.3g} over {at[-1]:.3g} million "
        f"characters. At the end the plan, {plan.loss:.3g} with an interval from {plan.low:.3g} to "
        f"{plan.high:.3g}, and the network that is kept, at {loss:.3g}. The 5-gram model is at "
        f"{plan.five_gram:.3g}.",
    )
