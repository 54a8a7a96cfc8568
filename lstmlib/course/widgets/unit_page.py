"""A stand-alone page of a text and all units of a network along it: one HTML file, no kernel."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from lstmlib.course.widgets.rendering import as_html, visible_sign

MOST = 5000
"""Characters of a page's text: each brings as many bytes as there are numbers in the state."""


class _Reading(Protocol):
    """What `read_units` returns."""

    text: str
    values: dict[str, np.ndarray]
    likeliest: np.ndarray
    p: np.ndarray
    tokens: tuple[str, ...]

    def check(self, unit: tuple) -> tuple: ...


def unit_page(
    reading: _Reading, finds: Mapping[str, tuple] | None = None, title: str = "Units along a text"
) -> str:
    """Return a page that shows any unit along a text, as `UnitViewer` does, without a kernel.

    The values are in the page, rounded to 1/127. Its Content-Security-Policy allows its own script
    and style, known by their SHA-256, and nothing else: the page loads nothing and sends nothing.

    Args:
        reading: as `read_units` returns it, of at most 5 000 characters.
        finds: name -> unit, for a list to choose from; each (part, layer, number).
        title: the head of the page.

    Raises:
        ValueError: the text is too long, or the network does not have a unit of the finds.
    """
    if len(reading.text) > MOST:
        raise ValueError(
            f"The text has {len(reading.text):,} characters; a page holds up to {MOST:,}. Cut it."
        )
    _, layers, units = reading.values["h"].shape
    data = {
        "text": [_sign(c) for c in reading.text],
        "layers": layers,
        "units": units,
        "parts": list(reading.values),
        "finds": [[name, *reading.check(unit)] for name, unit in (finds or {}).items()],
        "tokens": [_printed(visible_sign(token)) for token in reading.tokens],
        "likeliest": reading.likeliest.tolist(),
        "p": np.round(reading.p, 3).tolist(),
    }
    # In a script element only "<" could end or disturb the data, and JSON can do without it.
    header = json.dumps(data).replace("<", "\\u003c")
    # (T, L, H) for each part, one behind the other.
    codes = [np.round(127 * part).astype(np.int8) for part in reading.values.values()]
    values = base64.b64encode(b"".join(part.tobytes() for part in codes)).decode()
    policy = (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; "
        "form-action 'none'; base-uri 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{as_html(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><main>\n<h1>{as_html(title)}</h1>\n{_BODY}</main>\n"
        f'<script type="application/json" id="data">{header}</script>\n'
        f'<script type="text/plain" id="values">{values}</script>\n'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _sign(character: str) -> str:
    """Return a character of the text as the page shows it."""
    if character == "\n":
        return "↵\n"
    return _printed(character if character == " " else visible_sign(character))


def _printed(sign: str) -> str:
    """Return a sign that no page refuses: half of a surrogate pair becomes �."""
    return "\ufffd" if "\ud800" <= sign[0] <= "\udfff" else sign


def _hash(source: str) -> str:
    """Return a script or style as a Content-Security-Policy knows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #5a6472; --line: #ccd3db;
  --page: #f5f7f9; --part: #fff; --plus: 230 159 0; --minus: 0 114 178; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --faint: #a4adb8; --line: #39424d;
  --page: #14181d; --part: #1d2329; --plus: 214 140 0; --minus: 40 130 200; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .4rem; }
p { margin: .3rem 0; }
.row { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; }
select, input { font: inherit; color: inherit; background: var(--part);
  border: 1px solid var(--faint); border-radius: 4px; padding: .2rem .4rem; }
#number { width: 5.5rem; }
#text { margin: .6rem 0; padding: .4rem .6rem; background: var(--part); max-height: 55vh;
  overflow: auto; border: 1px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere;
  font: 1rem/1.6 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
#text span { unicode-bidi: isolate; direction: ltr; }
#text .high { box-shadow: inset 0 2px currentColor; }
#text .low { box-shadow: inset 0 -2px currentColor; }
#text .here { outline: 2px solid; }
#text:focus-visible, select:focus-visible, input:focus-visible { outline: 3px solid #0072b2; }
.faint { color: var(--faint); }
#said { min-height: 3.2em; }
code { padding: 0 .2em; border: 1px solid var(--line); border-radius: 3px; white-space: pre;
  unicode-bidi: isolate; }
"""

_BODY = """<div class="row">
<label>Unit found for <select id="find"></select></label>
<label>Layer <select id="layer"></select></label>
<label>Part <select id="part"></select></label>
<label>Unit <input id="number" type="number" min="0" step="1" value="0"></label>
</div>
<p id="said" role="status"></p>
<div id="text" tabindex="0" role="application" aria-label="The text. Left and right arrow keys go
from character to character, up and down from line to line, Home and End to the ends of the line,
Page Up and Page Down to other units."></div>
<p class="faint">Orange is above 0, blue below; a line above a character says 0.5 or more, a line
below it −0.5 or less. Point at a character, or click into the text and use the arrow keys. Page Up
and Page Down go through the units.</p>
<noscript><p>This page needs JavaScript, which is switched off in this browser.</p></noscript>
"""

_SCRIPT = """
"use strict";
const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const raw = atob(element("values").textContent);
const values = Int8Array.from(raw, (c) => c.charCodeAt(0)); // parts, then (T, L, H)
const T = data.text.length;
const NAMES = { h: "h", c: "tanh(c)" };
const text = element("text");
let at = 0; // the character that is shown

const option = (name, value) => new Option(name, value);
element("find").append(option("(by number)", ""));
data.finds.forEach((find, k) => element("find").append(option(find[0], k)));
for (let n = 0; n < data.layers; n += 1) element("layer").append(option(n, n));
for (const part of data.parts) element("part").append(option(NAMES[part], part));
element("number").max = data.units - 1;
const spans = data.text.map((sign, k) => {
  const span = document.createElement("span");
  span.textContent = sign === "↵\\n" ? "↵" : sign;
  span.dataset.k = k;
  return span;
});
spans.forEach((span, k) => text.append(span, data.text[k] === "↵\\n" ? "\\n" : ""));

/** Return the unit that is chosen: its layer from 0, its part's place, and its number. */
function unit() {
  const typed = Math.round(Number(element("number").value)) || 0;
  return [
    Number(element("layer").value),
    data.parts.indexOf(element("part").value),
    Math.min(Math.max(typed, 0), data.units - 1),
  ];
}

/** Return the value of the chosen unit after character k, from -1 to 1. */
function valueAt(k) {
  const [layer, part, number] = unit();
  return values[((part * T + k) * data.layers + layer) * data.units + number] / 127;
}

function colour() {
  spans.forEach((span, k) => {
    const value = valueAt(k);
    const name = value > 0 ? "--plus" : "--minus";
    span.style.backgroundColor = `rgb(var(${name}) / ${(0.56 * Math.abs(value)).toFixed(3)})`;
    span.classList.toggle("high", value >= 0.5);
    span.classList.toggle("low", value <= -0.5);
  });
  say();
}

function code(sign) {
  const shown = document.createElement("code");
  shown.textContent = { " ": "␣", "↵\\n": "↵" }[sign] ?? sign;
  return shown;
}

/** Write what stands at the character, and mark it. */
function say() {
  const value = valueAt(at);
  const number = document.createElement("b");
  number.textContent = (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const parts = [`Character ${at} of ${T}, `, code(data.text[at]), ": ", number, "."];
  data.likeliest[at].forEach((id, k) => {
    const share = data.p[at][k];
    const percent = share >= 0.005 ? `${Math.round(100 * share)} %` : "<1 %";
    parts.push(k > 0 ? ", " : " Expected next: ", code(data.tokens[id]), ` ${percent}`);
  });
  parts.push(".");
  if (at + 1 < T) parts.push(" There comes ", code(data.text[at + 1]), ".");
  element("said").replaceChildren(...parts);
  text.querySelector(".here")?.classList.remove("here");
  spans[at].classList.add("here");
}

function go(k) {
  at = Math.min(Math.max(k, 0), T - 1);
  say();
  const [box, span] = [text.getBoundingClientRect(), spans[at].getBoundingClientRect()];
  if (span.top < box.top) text.scrollTop -= box.top - span.top + 8;
  if (span.bottom > box.bottom) text.scrollTop += span.bottom - box.bottom + 8;
}

/** Return the first character of the line that character k is in. */
function lineStart(k) {
  let start = k;
  while (start > 0 && data.text[start - 1] !== "↵\\n") start -= 1;
  return start;
}

function lineEnd(k) {
  let end = k;
  while (end < T - 1 && data.text[end] !== "↵\\n") end += 1;
  return end;
}

function step(by) {
  element("number").value = (unit()[2] + by + data.units) % data.units;
  byNumber();
}

const KEYS = {
  ArrowLeft: () => go(at - 1),
  ArrowRight: () => go(at + 1),
  ArrowUp() {
    const start = lineStart(at);
    if (start > 0) go(Math.min(lineStart(start - 1) + at - start, start - 1));
  },
  ArrowDown() {
    const next = lineEnd(at) + 1;
    if (next < T) go(Math.min(next + at - lineStart(at), lineEnd(next)));
  },
  Home: () => go(lineStart(at)),
  End: () => go(lineEnd(at)),
  PageUp: () => step(-1),
  PageDown: () => step(1),
};
text.addEventListener("keydown", (event) => {
  if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
for (const kind of ["mouseover", "click"]) {
  text.addEventListener(kind, (event) => {
    const k = event.target.dataset.k;
    if (k === undefined) return;
    at = Number(k);
    say();
  });
}

function choose() {
  const find = data.finds[element("find").value];
  if (!find) return;
  [, element("part").value, element("layer").value, element("number").value] = find;
  colour();
}

function byNumber() {
  element("find").value = "";
  colour();
}
element("find").addEventListener("change", choose);
for (const id of ["layer", "part", "number"]) element(id).addEventListener("input", byNumber);
if (data.finds.length > 0) element("find").value = "0";
colour();
choose();
"""
