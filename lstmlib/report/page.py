"""What a report on a text holds, as lines for a terminal and as one HTML page without a network.

Nothing is measured here. Whatever comes from a text is escaped, and its
control characters are shown as pictures, so that no text can act on a terminal or a page.
"""

import math
import re
import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np

from lstmlib.metrics import Interval
from lstmlib.report.meanings import Measure

WIDTH = 88
"""Columns of the report in a terminal."""
EXCERPT = 80
"""The most characters of a passage that are shown in a terminal."""
SHOWN = (5, 10, 20, 40)
"""Lengths at which the novelty curve is also given in numbers."""
# C0 and C1 controls, marks that turn the direction of writing, and halves of characters.
_CONTROLS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True)
class Row:
    """One measure of the generated text beside that of held-out text.

    Attributes:
        measure: what was measured.
        generated, held_out: the value with its interval, or a sentence on why there is none.
        verdict: how the two compare, in words.
    """

    measure: Measure
    generated: Interval | str
    held_out: Interval | str
    verdict: str

    def cells(self) -> tuple[str, str]:
        """Return both values as they are written."""
        return _cell(self.generated, self.measure.unit), _cell(self.held_out, self.measure.unit)


@dataclass(frozen=True)
class Passage:
    """A passage of the generated text that stands in the training text.

    Attributes:
        start, line: its place in the generated text: characters before it, and its line, from 1.
        length: its number of characters.
        source, source_line: the same place in the training text.
        share: how far into the training text that is, from 0 to 1.
        note: what there is to say of this one, or "".
        before, after: what stands around it in the generated text.
        beginning, end: the passage. A long one is cut: then `end` is its last characters.
    """

    start: int
    line: int
    length: int
    source: int
    source_line: int
    share: float
    note: str
    before: str
    beginning: str
    end: str
    after: str

    @property
    def places(self) -> str:
        """Where it stands in both texts, in words."""
        return (
            f"{self.length:,} characters, in the generated text from character {self.start:,} "
            f"(line {self.line:,}), in the training text from character {self.source:,} "
            f"(line {self.source_line:,}, {100 * self.share:.1f}\xa0% into it)"
        )

    def shortened(self, most: int) -> tuple[str, str, str]:
        """Return the beginning, a word on how much is left out, and the end; both "" if nothing."""
        whole = self.beginning if not self.end else None
        if whole is not None and len(whole) <= most:
            return whole, "", ""
        head, tail = self.beginning[: most * 3 // 4], (self.end or self.beginning)[-(most // 4) :]
        return head, f"[{self.length - len(head) - len(tail):,} characters left out]", tail


@dataclass(frozen=True, eq=False)
class Report:
    """All measures of a generated text.

    Attributes:
        title: the head of the report.
        texts: what was compared, one line each.
        notes: what a reader has to know before the numbers.
        rows: the measures.
        curve: the share of new substrings of length 1, 2, … in all of the generated and of the
            held-out text, (2, lengths) float64; NaN where a text is too short.
        passages: the longest copied passages, longest first.
        yardstick: how long the longest copied passage of held-out text is, in words.
    """

    title: str
    texts: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    curve: np.ndarray
    passages: tuple[Passage, ...]
    yardstick: str

    def text(self) -> str:
        """Return the report as lines for a terminal."""
        lines = [self.title, "=" * len(self.title), *_wrapped(self.texts, "")]
        lines += ["", *_wrapped(self.notes, "- ")]
        for row in self.rows:
            generated, held_out = row.cells()
            lines += ["", *_wrapped([f"{row.measure.name}: {generated}"], "")]
            lines += _wrapped([f"held-out text: {held_out}", f"=> {row.verdict}"], "  ")
            lines += _wrapped([row.measure.meaning, f"Blind to: {row.measure.blind}"], "    ")
        lines += ["", "Share of new substrings, in all of both texts"]
        lines += [f"  {line}" for line in _curve_in_numbers(self.curve)]
        lines += ["", *_wrapped(["Longest copied passages", self.yardstick], "")]
        for k, passage in enumerate(self.passages, 1):
            lines += _wrapped([f"{k}. {passage.places}. {passage.note}"], "")
            lines.append(f"   | {' '.join(map(_on_one_line, passage.shortened(EXCERPT))).strip()}")
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """Return the report as one page that needs nothing else."""
        title, notes = _escaped(self.title), "".join(f"<li>{_escaped(n)}" for n in self.notes)
        texts = "<br>".join(map(_escaped, self.texts))
        rows = "".join(map(_row, self.rows))
        passages = "".join(map(_passage, self.passages))
        numbers = "<br>".join(map(_escaped, _curve_in_numbers(self.curve)))
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
            f'<h1>{title}</h1>\n<p class="texts">{texts}</p>\n<ul>{notes}</ul>\n'
            f"<h2>Measures</h2>\n<table>\n<thead><tr>{_HEADS}</tr></thead>\n"
            f"<tbody>{rows}</tbody>\n</table>\n<h2>Novelty</h2>\n<figure>{_svg(self.curve)}\n"
            f"<figcaption>Share of substrings that the training text does not have, by their "
            f"length, in all of both texts.<br>{numbers}</figcaption></figure>\n"
            f"<h2>Longest copied passages</h2>\n<p>{_escaped(self.yardstick)}</p>\n"
            f"<ol>{passages}</ol>\n</main></body></html>\n"
        )


def visible(text: str) -> str:
    """Return a text whose control characters are pictures of themselves, and do nothing."""
    return _CONTROLS.sub(lambda m: chr(0x2400 + ord(m[0])) if m[0] < " " else "\ufffd", text)


def _cell(value: Interval | str, unit: str) -> str:
    if isinstance(value, str):
        return value
    if unit == "%":
        middle, low, high = (f"{100 * v:.1f}" for v in value)
    else:
        middle, low, high = (f"{v:.1f}" if unit == "characters" else f"{v:.3f}" for v in value)
    return f"{middle}\xa0{unit}".rstrip() + f" ({low} to {high})"


def _wrapped(paragraphs: list | tuple, indent: str) -> list[str]:
    rest = " " * len(indent)
    each = (
        textwrap.wrap(visible(p), WIDTH, initial_indent=indent, subsequent_indent=rest)
        for p in paragraphs
    )
    return [line for lines in each for line in lines]


def _on_one_line(text: str) -> str:
    return visible(text).replace("\n", "⏎").replace("\t", "⇥")


def _curve_in_numbers(curve: np.ndarray) -> list[str]:
    """Return a line for each of some lengths of the novelty curve."""
    lines = []
    for n in SHOWN:
        both = ("too short" if math.isnan(v) else f"{100 * v:.1f}\xa0%" for v in curve[:, n - 1])
        lines.append("{} characters: generated {}, held-out {}".format(n, *both))
    return lines


def _escaped(text: str) -> str:
    return escape(visible(text))


_HEADS = "".join(
    f'<th scope="col">{head}' for head in ("Measure", "Generated", "Held-out", "Result")
)


def _row(row: Row) -> str:
    generated, held_out = map(_escaped, row.cells())
    measure, differs = row.measure, row.verdict.startswith((row.measure.more, row.measure.less))
    return (
        f'<tr><th scope="row">{_escaped(measure.name)}'
        f'<td data-head="Generated">{generated}<td data-head="Held-out">{held_out}'
        f'<td data-head="Result">{"<strong>" if differs else ""}{_escaped(row.verdict)}'
        f"{'</strong>' if differs else ''}</tr>\n"
        f'<tr class="words"><td colspan="4">{_escaped(measure.meaning)} '
        f"<em>Blind to:</em> {_escaped(measure.blind)}</tr>\n"
    )


def _passage(passage: Passage) -> str:
    head, left_out, tail = map(_escaped, passage.shortened(len(passage.beginning + passage.end)))
    gap = f" <em>{left_out}</em> " if left_out else ""
    return (
        f"<li><p>{_escaped(passage.places)}. {_escaped(passage.note)}</p>\n"
        f'<pre dir="auto">{_escaped(passage.before)}<mark>{head}{gap}{tail}</mark>'
        f"{_escaped(passage.after)}</pre></li>\n"
    )


def _svg(curve: np.ndarray) -> str:
    """Return the novelty curves as an SVG image, which a screen reader reads as a sentence."""
    left, top, width, height = 50, 14, 560, 240
    longest = curve.shape[1]

    def x(n: float) -> float:
        return left + width * (n - 1) / (longest - 1)

    def y(share: float) -> float:
        return top + height * (1 - share)

    said = _escaped("; ".join(_curve_in_numbers(curve)))
    parts = [f'<svg viewBox="0 0 640 310" role="img" aria-label="Novelty by length. {said}.">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path class="grid" d="M{left} {y(share):.0f}h{width}"/>')
        parts.append(f'<text x="44" y="{y(share) + 4:.0f}" text-anchor="end">{share:.0%}</text>')
    for n in (1, *range(10, longest + 1, 10)):
        parts.append(f'<text x="{x(n):.0f}" y="272" text-anchor="middle">{n}</text>')
    parts.append(
        '<text x="330" y="296" text-anchor="middle">length of the substring, characters</text>'
    )
    for name, shares, place in zip(("generated", "held-out"), curve, (200, 225), strict=True):
        points = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate(shares, 1) if v == v)
        parts.append(f'<polyline class="{name}" points="{points}"/>')
        parts.append(f'<path class="{name}" d="M440 {place}h40"/>')
        parts.append(f'<text x="488" y="{place + 4}">{name} text</text>')
    return "".join(parts) + "</svg>"


_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --faint: #5a6472; --line: #ccd3db; --page: #f5f7f9;
  --part: #fff; --mark: #fde9b8; --generated: #0072b2; --held-out: #b34700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --faint: #a4adb8; --line: #39424d;
  --page: #14181d; --part: #1d2329; --mark: #4d3c10; --generated: #7cc4ee; --held-out: #ffab70; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1, h2 { line-height: 1.25; }
.texts, figcaption, .words td { color: var(--faint); }
table { width: 100%; border-collapse: collapse; background: var(--part); }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; }
th:first-child { width: 28%; }
thead th { border-bottom: 2px solid var(--line); }
.words td { padding-top: 0; border-bottom: 1px solid var(--line); font-size: .9rem; }
figure { margin: 0; padding: .7rem; background: var(--part); }
svg { display: block; width: 100%; max-width: 44rem; height: auto; }
svg text { fill: var(--ink); font-size: 13px; }
.grid { stroke: var(--line); }
polyline, path.generated, path.held-out { fill: none; stroke-width: 2.5; }
.generated { stroke: var(--generated); }
.held-out { stroke: var(--held-out); stroke-dasharray: 7 5; }
ol { padding-left: 1.6rem; }
pre { margin: 0 0 1rem; padding: .6rem; background: var(--part); border: 1px solid var(--line);
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; font-size: .85rem; }
mark { background: var(--mark); color: inherit; }
@media (max-width: 40rem) {
  thead { position: absolute; left: -9999px; }
  table, tbody, tr, th, td { display: block; }
  th:first-child { width: auto; }
  td[data-head]::before { content: attr(data-head) ": "; color: var(--faint); }
  th, td { padding: .2rem .7rem; }
  .words td { padding-bottom: .6rem; }
  svg text { font-size: 20px; }
}
@media print {
  :root { --ink: #000; --faint: #333; --line: #999; --page: #fff; --part: #fff; --mark: #eee;
    --generated: #000; --held-out: #555; }
  body { font-size: 10pt; }
  tr, li, figure { break-inside: avoid; } mark { text-decoration: underline; }
}
"""
