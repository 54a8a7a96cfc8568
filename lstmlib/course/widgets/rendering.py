"""Texts and distributions as HTML."""

import math
import re
from collections.abc import Sequence
from html import escape
from unicodedata import category

import numpy as np

from lstmlib.course.plots import BLUE, ORANGE, SKY
from lstmlib.generation import Step
from lstmlib.sampling import log_softmax
from lstmlib.vocab import Vocab


def drawn_texts(taken: list[Step], vocab: Vocab, count: int) -> list[tuple[list[str], list[float]]]:
    """Return of each text of a batch its tokens, and the probability of each under the model."""
    rows, ids = (np.concatenate([getattr(s, name) for s in taken]) for name in ("rows", "ids"))
    log_p = log_softmax(np.concatenate([step.logits for step in taken]))
    p = np.exp(log_p[np.arange(len(ids)), ids])
    return [
        ([vocab.tokens[i] for i in ids[rows == row]], p[rows == row].tolist())
        for row in range(count)
    ]


def as_html(text: str) -> str:
    """Return a text as HTML that shows it as it is.

    What HTML cannot hold, or no message to a browser can carry, is shown as �: NUL, and half of a
    surrogate pair.
    """
    return escape(re.sub("[\\0\ud800-\udfff]", "\ufffd", text))


def _shade(p: float) -> str:
    """Return the background of a character of that probability: the less probable, the darker."""
    surprise = min(-math.log(max(p, 1e-9)) / 6, 1)  # 6 nats are as dark as it gets
    return f"background:{ORANGE}{round(200 * surprise):02x}"


def shaded(prompt: str, tokens: Sequence[str], p: Sequence[float], at: int | None = None) -> str:
    """Return a text as HTML, each character shaded by its probability; one may be framed."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;line-height:1.5"
    parts = [f'<div style="{style}"><u>{as_html(prompt)}</u>']
    for k, (token, probability) in enumerate(zip(tokens, p, strict=True)):
        frame = ";outline:2px solid" if k == at else ""
        shown = "↵\n" if k == at and token == "\n" else as_html(token)
        style = f"{_shade(probability)}{frame}"
        parts.append(f'<span style="{style}" title="p = {probability:.3g}">{shown}</span>')
    return "".join(parts) + "</div>"


LEGEND = (
    "<div>The darker, the less probable the model found it: "
    + " ".join(f'<span style="{_shade(p)}">&nbsp;p = {p}&nbsp;</span>' for p in (1, 0.3, 0.1, 0.01))
    + "</div>"
)
GREYS = "#b8b8b8", "#dedede"
_SHOWN = 12
"""Characters in the bars."""
WIDE, _HIGH = 720, 130  # of a drawing, in its own units


def visible_sign(token: str) -> str:
    """Return a sign that one can see for a token: itself, a name, or its code point."""
    sign = {" ": "␣", "\n": "↵", "\t": "⇥"}.get(token, token)
    if not sign.isprintable():
        return "".join(f"U+{ord(c):04X}" for c in sign)
    # An accent alone stands on a circle, as in the Unicode charts.
    return "◌" * (category(sign[0])[0] == "M") + sign


def svg(high: float, description: str, inside: str) -> str:
    """Return a drawing as HTML; the description is read out where it cannot be seen."""
    return (
        f'<svg viewBox="0 0 {WIDE} {high}" role="img" aria-label="{as_html(description)}" '
        f'font-size="12" style="width:100%;max-width:{WIDE}px;display:block" '
        f'fill="currentColor" text-anchor="middle">{inside}</svg>'
    )


def bars_of(step: Step, vocab: Vocab) -> str:
    """Draw the most probable characters before (light) and after (dark) the transform."""
    before, after, drawn = np.exp(step.log_before[0]), np.exp(step.log_after[0]), step.ids[0]
    order = np.argsort(-before, kind="stable")[:_SHOWN]
    if drawn not in order:
        order[-1] = drawn
    width, parts, descriptions = WIDE / len(order), [], []
    for k, i in enumerate(order):
        left, name = k * width, visible_sign(vocab.tokens[i])
        for x, p, color in ((0.14, before[i], SKY), (0.5, after[i], BLUE)):
            high = _HIGH * p
            parts.append(
                f'<rect x="{left + x * width:.1f}" y="{_HIGH + 14 - high:.1f}" '
                f'width="{0.36 * width:.1f}" height="{high:.1f}" fill="{color}"/>'
            )
        weight = ' font-weight="bold"' if i == drawn else ""
        parts.append(
            f'<text x="{left + width / 2:.1f}" y="{_HIGH + 30}"{weight}>{as_html(name)}</text>'
        )
        top = _HIGH + 10 - _HIGH * max(before[i], after[i])
        parts.append(
            f'<text x="{left + width / 2:.1f}" y="{top:.1f}" font-size="10">'
            f"{100 * before[i]:.0f} → {100 * after[i]:.0f} %</text>"
        )
        descriptions.append(f"{name} {100 * before[i]:.0f} to {100 * after[i]:.0f} %")
    key = (
        f'<div><span style="color:{SKY}">■</span> before, '
        f'<span style="color:{BLUE}">■</span> after; in bold what was drawn</div>'
    )
    return key + svg(_HIGH + 36, "Probabilities: " + ", ".join(descriptions), "".join(parts))


def draw_line(step: Step, vocab: Vocab) -> str:
    """Draw the draw: the probabilities after the transform end to end, and where u falls."""
    p, u, drawn = np.exp(step.log_after[0]), step.uniforms[0], step.ids[0]
    left, parts = 0.0, []
    for k, i in enumerate(np.argsort(-p, kind="stable")):
        wide, at = WIDE * p[i], left
        left += wide
        if wide < 0.5 and i != drawn:
            continue
        color = ORANGE if i == drawn else GREYS[k % 2]  # the blues are before and after
        parts.append(
            f'<rect x="{at:.1f}" y="16" width="{max(wide, 1):.1f}" height="24" fill="{color}"/>'
        )
        sign = visible_sign(vocab.tokens[i])
        if wide > 7 + 7 * len(sign):
            text = as_html(sign)
            parts.append(f'<text x="{at + wide / 2:.1f}" y="32" fill="#000">{text}</text>')
    x = WIDE * u
    parts.append(f'<path d="M{x:.1f} 42 l-5 9 h10 z"/>')
    anchor = "start" if u < 0.2 else "end" if u > 0.8 else "middle"
    caption = f"u = {u:.3f} falls on {visible_sign(vocab.tokens[drawn])}"
    parts.append(f'<text x="{x:.1f}" y="64" text-anchor="{anchor}">{as_html(caption)}</text>')
    parts.append('<text x="0" y="11" text-anchor="start">the draw: after, end to end</text>')
    return svg(70, f"The draw: {caption}", "".join(parts))
