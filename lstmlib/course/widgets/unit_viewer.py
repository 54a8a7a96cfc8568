"""A panel to point at a text, or arrow through it, and see what any unit of a network has there."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short

import ipywidgets
import numpy as np
import torch

from lstmlib.course.plots import BLUE, ORANGE
from lstmlib.course.widgets.controls import (
    Panel,
    check_length,
    labelled_slider,
    one_thread,
    row_of,
)
from lstmlib.course.widgets.rendering import WIDE, as_html, svg, visible_sign
from lstmlib.internals import unit_states
from lstmlib.models import CharRNN
from lstmlib.probes import Unit
from lstmlib.sampling import log_softmax
from lstmlib.vocab import Vocab

LONGEST = 20_000
"""Characters of a text that can be read for a panel."""
LIKELIEST = 5
"""Next characters of which the probability is shown."""
PARTS = {"h": "Hidden state h", "c": "tanh of the cell state c"}


@dataclass(frozen=True, eq=False)
class UnitReading:
    """What every unit of a network has after each character of a text.

    Attributes:
        text: T characters.
        values: part -> (T, L, H) float32 from -1 to 1: h, and where there is one, tanh(c).
        likeliest: the next characters that the network finds most probable, (T, K) int64 ids.
        p: their probabilities, (T, K) float64, the highest first.
        came: the probability of the character that does come next, (T,) float64; NaN at the end.
        tokens: what the ids stand for.
    """

    text: str
    values: dict[str, np.ndarray]
    likeliest: np.ndarray
    p: np.ndarray
    came: np.ndarray
    tokens: tuple[str, ...]

    def of(self, unit: Unit | tuple) -> np.ndarray:
        """Return what one unit has after each character, (T,) float32.

        Raises:
            ValueError: there is no such unit.
        """
        part, layer, number = self.check(unit)
        return self.values[part][:, layer, number]

    def check(self, unit: Unit | tuple) -> Unit:
        """Return a unit, or raise ValueError if the network has none of that name."""
        _, layers, units = self.values["h"].shape
        try:
            part, layer, number = unit
        except (TypeError, ValueError):
            raise ValueError(f"{short(unit)} is no unit; write (part, layer, number).") from None
        whole = all(isinstance(n, int | np.integer) for n in (layer, number))
        if not (whole and part in self.values and 0 <= layer < layers and 0 <= number < units):
            raise ValueError(
                f"There is no unit {short(tuple(unit))}: parts are {' and '.join(self.values)}, "
                f"layers go from 0 to {layers - 1}, and units go from 0 to {units - 1}."
            )
        return Unit(part, int(layer), int(number))


@torch.no_grad()
def read_units(model: CharRNN, vocab: Vocab, text: str) -> UnitReading:
    """Return what every unit has along a text, and what the network expects at each place.

    The network begins with a state of zeros, and is left in the mode that it was in.

    Args:
        model: a network with any cell.
        vocab: the vocabulary that it was trained with.
        text: at most 20 000 characters.

    Raises:
        VocabError: a character of the text is not in the vocabulary.
        ValueError: the text is empty, or too long.
    """
    if not text:
        raise ValueError("The text is empty; give one character or more.")
    check_length(text, "text", LONGEST)
    ids = torch.from_numpy(vocab.encode(text)).to(next(model.parameters()).device)  # (T,)
    was_training = model.training
    model.eval()
    try:
        with one_thread():
            states = unit_states(model, ids)  # each part (T, L, H)
            logits = model(ids[None])[0][0]  # (T, V)
    finally:
        model.train(was_training)
    p = np.exp(log_softmax(logits.float().cpu().numpy()))
    order = np.argsort(-p, axis=1, kind="stable")[:, :LIKELIEST]  # (T, K)
    came = np.append(p[np.arange(len(ids) - 1), ids[1:].cpu().numpy()], np.nan)  # (T,)
    values = dict(zip("hc", (part.float().cpu().numpy() for part in states), strict=False))
    if "c" in values:
        values["c"] = np.tanh(values["c"])
    top = np.take_along_axis(p, order, axis=1)
    return UnitReading(text, values, order, top, came, vocab.tokens)


class UnitViewer(Panel):
    """A panel with a text, coloured by one unit; the pointer or the arrow keys show its values.

    Each character's background says what the unit has after that character: orange above 0, blue
    below. A line above or below it says the same without colour, from 0.5 and -0.5 on. Pointing at
    a character writes its value, and the next characters that the network expects, below the text.
    The slider `at`, which takes the arrow keys, goes through the characters one by one, and shows
    the values around as bars. A long text is shown in pieces.

    Args:
        reading: as `read_units` returns it.
        finds: name -> unit, for a list to choose from; each (part, layer, number).
        unit: the unit to begin with; None stands for the first of the finds, or unit 0.

    Raises:
        ValueError: a unit that the network does not have.

    Attributes:
        find, layer, part, number, at: the controls; their `value` may be set.
        text, details: ipywidgets.HTML with the coloured text, and with what stands at the place.
        reading: as given.
    """

    def __init__(
        self,
        reading: UnitReading,
        finds: Mapping[str, Unit] | None = None,
        unit: Unit | tuple | None = None,
    ) -> None:
        super().__init__()
        with self._building():
            self._build(reading, dict(finds or {}), unit)

    def _build(
        self, reading: UnitReading, finds: dict[str, Unit], unit: Unit | tuple | None
    ) -> None:
        """Make the controls, and show the first unit."""
        self.reading = reading
        self.finds = {name: reading.check(each) for name, each in finds.items()}
        default = next(iter(self.finds.values()), ("h", 0, 0))
        first = reading.check(default if unit is None else unit)
        _, layers, units = reading.values["h"].shape
        names = [_BY_NUMBER, *self.finds]
        self.find = ipywidgets.Dropdown(options=names, description="Unit found for", **_WIDE)
        self.find.index = int(unit is None and bool(self.finds))
        self.layer = _buttons("Layer", {str(n): n for n in range(layers)}, first.layer)
        names = {"h": "h", "c": "tanh(c)"}
        self.part = _buttons("Part", {names[part]: part for part in reading.values}, first.part)
        self.number = ipywidgets.BoundedIntText(
            first.number, min=0, max=units - 1, description="Unit", **_NARROW
        )
        self.at = labelled_slider(ipywidgets.IntSlider, "Character", 0, 0, len(reading.text) - 1, 1)
        self.at.layout.width = "98%"
        self.text, self.details = ipywidgets.HTML(), ipywidgets.HTML()
        self._pieces, self._shown, self._choosing = _pieces_of(reading.text), None, False
        self.find.observe(lambda _: self._choose(), "value")
        for control in (self.layer, self.part, self.number, self.at):
            control.observe(lambda _: self._show(), "value")
        self._show()
        chosen = row_of(self.find, self.layer, self.part, self.number)
        self.children = [chosen, self.text, self.at, self.details]

    @property
    def unit(self) -> Unit:
        """The unit that is shown."""
        return Unit(self.part.value, self.layer.value, self.number.value)

    def _description(self) -> str:
        return "{}, layer {}, unit {}".format(*self.unit)

    def _choose(self) -> None:
        """Show the unit that was chosen from the list."""
        if self.find.value in self.finds:
            self._choosing = True  # three controls change, and what lies between is not shown
            self.part.value, self.layer.value, self.number.value = self.finds[self.find.value]
            self._choosing = False
            self._show()

    def _show(self) -> None:
        """Show the unit, and the place; the text is sent anew only where it looks different."""
        if self._choosing:
            return
        unit, at = self.unit, min(self.at.value, len(self.reading.text) - 1)
        if self.finds.get(self.find.value, unit) != unit:
            self.find.value = _BY_NUMBER
        piece = next(k for k, piece in enumerate(self._pieces) if at < piece.stop)
        if self._shown != (unit, piece):
            self._shown = unit, piece
            self.text.value = self._text(unit, piece)
        self.details.value = self._details(unit, at, piece)

    def _class(self) -> str:
        """Return a name that no other panel of the page has."""
        return f"units-{self.text.model_id}"

    def _text(self, unit: Unit, piece: int) -> str:
        """Return a piece of the text as HTML, coloured by a unit."""
        reading, values = self.reading, self.reading.of(unit)
        spans = "".join(
            f'<span style="{shade(values[k])}" data-said="{as_html(_said(reading, values, k))}">'
            f"{shown(reading.text[k])}</span>" + "\n" * (reading.text[k] == "\n")
            for k in self._pieces[piece]
        )
        many = len(self._pieces)
        where = f" Piece {piece + 1} of {many}; the slider leads to the others." if many > 1 else ""
        high = f"min-height:{1.5 * _LINES + 3.4}em;" if many > 1 else ""  # nothing below it moves
        box = f"position:relative;{high}padding-bottom:1.8em;margin:0.3em 0;line-height:1.5"
        inside = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace"
        return (
            f"<style>{_HOVER.replace('NAME', self._class())}</style>"
            f'<div class="{self._class()}" style="{box}"><div>{as_html(_head(unit))}.{where}</div>'
            f'<div style="{inside};border:1px solid #8888;padding:0 0.4em" role="region" '
            f'aria-label="The text, coloured by {as_html(_head(unit))}">{spans}</div></div>'
        )

    def _details(self, unit: Unit, at: int, piece: int) -> str:
        """Return as HTML what stands at a place: the value, those around, the next characters."""
        reading, values = self.reading, self.reading.of(unit)
        mark = f".{self._class()} span:nth-child({at - self._pieces[piece].start + 1})"
        context = _code("".join(map(visible_sign, reading.text[max(0, at - 24) : at + 1])))
        line = reading.text.count("\n", 0, at) + 1
        return (
            f"<style>{mark}{{outline:2px solid;outline-offset:1px}}</style>"
            f'<div role="status" style="line-height:1.5">Character {at} of {len(reading.text)}, '
            f"line {line}, after {context}: "
            f"<b>{signed(values[at])}</b>. {_next(reading, at)}</div>{_bars(reading, values, at)}"
        )


_BY_NUMBER = "(by number)"
_WIDE = {"style": {"description_width": "8em"}, "layout": {"width": "24em", "max_width": "98%"}}
_NARROW = {"style": {"description_width": "3em"}, "layout": {"width": "9em"}}
_LINES, _COLUMNS = 13, 84
"""Lines of a piece of the text, and characters that surely fit into one."""
_AROUND = 30
"""Characters on each side of the place whose values are drawn as bars."""
_HOVER = (
    ".NAME span{unicode-bidi:isolate;direction:ltr} .NAME span:hover{outline:2px solid} "
    ".NAME::after,.NAME span:hover::after{content:'Point at a character to see its value here.';"
    "position:absolute;left:0;bottom:0;right:0;height:1.5em;overflow:hidden;white-space:pre;"
    "font-family:sans-serif} "
    ".NAME:has(span:hover)::after{content:''} .NAME span:hover::after{content:attr(data-said)}"
)


def _buttons(description: str, options: dict[str, object], value: object) -> ipywidgets.Widget:
    """Return a button for each of a few options."""
    style = {"description_width": "3em", "button_width": "5.5em"}
    return ipywidgets.ToggleButtons(
        options=options, value=value, description=description, style=style
    )


def _pieces_of(text: str) -> list[range]:
    """Return the places of each piece of a text that is shown at once, at least one."""
    pieces, start, lines, width = [], 0, 1, 0
    for k, character in enumerate(text):
        width += len(visible_sign(character))
        if width > _COLUMNS:  # the line wraps
            lines, width = lines + 1, 1
        if lines > _LINES:
            pieces.append(range(start, k))
            start, lines, width = k, 1, width if width < _COLUMNS else 1
        if character == "\n":
            lines, width = lines + 1, 0
    return [*pieces, range(start, len(text))]


def signed(value: float) -> str:
    """Return a number of a unit with its sign and two digits."""
    return f"{value:+.2f}".replace("-", "−")


def shade(value: float) -> str:
    """Return the look of a character at which a unit has that value, from -1 to 1, as CSS."""
    depth = round(144 * min(abs(float(value)), 1))  # deeper, and black or white cannot be read
    look = f"background:{ORANGE if value > 0 else BLUE}{depth:02x}"
    if abs(value) >= 0.5:
        look += f";box-shadow:inset 0 {'' if value > 0 else '-'}2px currentColor"
    return look


def shown(character: str) -> str:
    """Return a character as HTML that one can see, and that acts on nothing around it."""
    return as_html(character if character == " " else visible_sign(character))


def _head(unit: Unit) -> str:
    return f"{PARTS[unit.part]}, layer {unit.layer}, unit {unit.number}"


def _said(reading: UnitReading, values: np.ndarray, k: int) -> str:
    """Return in words what stands at a place, for the line below the text."""
    likely = ", ".join(f"{sign} {share}" for sign, share in _likely(reading, k)[:3])
    return f"{visible_sign(reading.text[k])}  {signed(values[k])}   next: {likely}"


def _likely(reading: UnitReading, k: int) -> list[tuple[str, str]]:
    """Return the likeliest next characters as they are shown, each with its share."""
    pairs = zip(reading.likeliest[k].tolist(), reading.p[k].tolist(), strict=True)
    return [
        (visible_sign(reading.tokens[i]), f"{100 * p:.0f} %" if p >= 0.005 else "<1 %")
        for i, p in pairs
    ]


def _next(reading: UnitReading, at: int) -> str:
    """Return as HTML what the network expects after a place, and what came."""
    likely = ", ".join(f"{_code(sign)} {as_html(share)}" for sign, share in _likely(reading, at))
    if math.isnan(reading.came[at]):
        return f"Expected next: {likely}. Here the text ends."
    came = _code(visible_sign(reading.text[at + 1]))
    return f"Expected next: {likely}. There comes {came}: {100 * reading.came[at]:.1f} %."


def _code(text: str) -> str:
    """Return a text as HTML of a monospaced font, in the order in which it is read."""
    return f'<code><bdo dir="ltr">{as_html(text)}</bdo></code>'


def _bars(reading: UnitReading, values: np.ndarray, at: int) -> str:
    """Draw the values around a place as bars, the place framed."""
    places = range(max(0, at - _AROUND), min(len(values), at + _AROUND + 1))
    width, middle, high = WIDE / (2 * _AROUND + 1), 46, 36
    parts = [f'<path d="M0 {middle} h{WIDE}" stroke="currentColor"/>']
    for level in (-1, 1):
        parts.append(
            f'<path d="M0 {middle - level * high} h{WIDE}" stroke="currentColor" opacity="0.3"/>'
        )
    for k in places:
        left, value = (k - at + _AROUND) * width, float(values[k])
        top = middle - high * max(value, 0)
        color = ORANGE if value > 0 else BLUE
        parts.append(
            f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{width - 2:.1f}" '
            f'height="{high * abs(value):.1f}" fill="{color}"/>'
        )
        sign = visible_sign(reading.text[k])
        weight = ' font-weight="bold"' if k == at else ""
        if len(sign) == 1:  # there is no room for the name of a character
            parts.append(f'<text x="{left + width / 2:.1f}" y="98"{weight}>{as_html(sign)}</text>')
    parts.append(
        f'<rect x="{_AROUND * width:.1f}" y="4" width="{width:.1f}" height="100" fill="none" '
        'stroke="currentColor" stroke-width="1.5"/>'
    )
    before = ", ".join(signed(v) for v in values[max(0, at - 4) : at + 1])
    return svg(106, f"Values from −1 to 1 around the character; up to it: {before}", "".join(parts))
