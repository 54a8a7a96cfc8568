"""A panel to type a prefix, and see what network and grammar expect next."""

import math
from collections.abc import Mapping, Sequence
from reprlib import repr as short

import ipywidgets
import numpy as np

from lstmlib.course.plots import BLUE, ORANGE
from lstmlib.course.widgets.controls import (
    Panel,
    check_length,
    labelled_slider,
    one_thread,
    row_of,
    write_or_say,
)
from lstmlib.course.widgets.rendering import WIDE, as_html, svg, visible_sign
from lstmlib.grammar_eval import PrefixReading, read_prefix
from lstmlib.grammars import Language
from lstmlib.models import CharRNN
from lstmlib.vocab import END, START, Vocab


class PrefixExplorer(Panel):
    """A panel to type a prefix, and see what a network takes for legal behind it, and what is.

    The network allows a symbol if it gives it the threshold or more. At one place of the prefix the
    panel shows the probability of every symbol, the network's beside the grammar's, and where the
    two disagree on what is legal; and in a table, for all places, the network's illegal mass and
    whether it allows what the grammar allows. A legal symbol whose exact probability is below the
    threshold, too, may be missing. Special tokens are never legal, but for `.end`; they are
    shown where the network allows them.

    The panel follows while one types, and its place then goes to the end of the prefix. Where a
    prefix cannot be read, a message says why, and the reading stays as it was.

    Args:
        models: a trained network; or several, name -> network, with a button for each.
        vocab: the vocabulary that they were trained with.
        language: the grammar that it is held to.
        prefix: what the panel starts with, at most 200 characters.
        threshold: the probability from which on the network allows a symbol, 0.001 to 0.1.
        examples: prefixes, with a button for each.

    Raises:
        ValueError, VocabError: no network; as `read_prefix`, or a prefix that is too long.

    Attributes:
        prefix, threshold, at, network: the controls; their `value` may be set.
        bars, table, message: ipywidgets.HTML with the probabilities at the place, all the places,
            and what is wrong with the prefix.
        reading: the `grammar_eval.PrefixReading` that is shown.
    """

    def __init__(
        self,
        models: CharRNN | Mapping[str, CharRNN],
        vocab: Vocab,
        language: Language,
        prefix: str = "(()",
        threshold: float = 0.01,
        examples: Sequence[str] = (),
    ) -> None:
        super().__init__()
        with self._building():
            models = models if isinstance(models, Mapping) else {"network": models}
            self._build(dict(models), vocab, language, prefix, threshold, examples)

    def _build(
        self,
        models: dict[str, CharRNN],
        vocab: Vocab,
        language: Language,
        prefix: str,
        threshold: float,
        examples: Sequence[str],
    ) -> None:
        """Make the controls, and read the first prefix."""
        if not models:
            raise ValueError("There is no network; give one, or several as name -> network.")
        self.models, self.vocab, self.language = models, vocab, language
        self.network = ipywidgets.ToggleButtons(options=list(models), tooltips=list(models))
        self.examples = [self._example(each) for each in examples]
        self.prefix = ipywidgets.Text(prefix, description="Prefix", layout={"width": "98%"})
        self.threshold = labelled_slider(
            ipywidgets.FloatLogSlider, "Threshold", threshold, -3, -1, 0.1
        )
        self.at = labelled_slider(ipywidgets.IntSlider, "Place", 0, 0, len(prefix), 1)
        self.bars, self.table, self.message = (ipywidgets.HTML() for _ in range(3))
        for control in (self.prefix, self.network):
            control.observe(lambda _: write_or_say(self), "value")
        for slider in (self.threshold, self.at):
            slider.observe(lambda _: self._show(), "value")
        self._write()
        choices = [self.network] * (len(models) > 1) + self.examples
        self.children = [
            *([row_of(*choices)] if choices else []),
            self.prefix,
            self.message,
            row_of(self.at, self.threshold),
            self.bars,
            self.table,
        ]

    def _example(self, prefix: str) -> ipywidgets.Button:
        """Return a button that puts a prefix into the field."""
        button = ipywidgets.Button(description=_short(prefix), tooltip=prefix)
        button.on_click(lambda _: self.prefix.set_trait("value", prefix))
        return button

    def _description(self) -> str:
        return f"{self.language.name!r}, {short(self.prefix.value)}"

    def _write(self) -> None:
        """Read the prefix, go to its end, and show it."""
        prefix = self.prefix.value
        check_length(prefix, "prefix", _LONGEST)
        with one_thread():
            model = self.models[self.network.value]
            self.reading = read_prefix(model, self.vocab, self.language, prefix)
        self.at.max = len(prefix)
        self.at.value = len(prefix)
        self._show()

    def _show(self) -> None:
        """Show the probabilities at the place, and all the places."""
        threshold, at = self.threshold.value, min(self.at.value, len(self.reading.prefix))
        places = range(len(self.reading.model))
        verdicts = [_verdicts(self.reading, k, self._symbols(k), threshold) for k in places]
        self.bars.value = _place(self.reading, at, verdicts[at], threshold)
        self.table.value = _places(self.reading, at, verdicts)

    def _symbols(self, k: int) -> list[int]:
        """Return the ids to show at a place: the language's, and any other that is allowed."""
        ours = [self.vocab.id_of(symbol) for symbol in (*self.language.characters, END)]
        allowed = np.flatnonzero(self.reading.model[k] >= self.threshold.value).tolist()
        return ours + [i for i in allowed if i not in ours]


_LONGEST = 200
"""Characters of a prefix."""
_COLUMNS = 12
"""Places side by side in a table."""
_MOST, _LOW = 13, 80
"""Symbols side by side in a drawing, and the height of its bars."""
_RIGHT, _TOO_MUCH, _TOO_LITTLE, _RARE = "✓", "▲", "▼", "~"
_MEANING = {
    _RIGHT: "right",
    _TOO_MUCH: "the model allows what is illegal",
    _TOO_LITTLE: "the model rules out what is legal",
    _RARE: "legal, but the exact probability is below the threshold, too",
}


def _short(prefix: str) -> str:
    """Return a prefix as a button shows it: one character many times over with its number."""
    if len(prefix) > 3 and len(set(prefix)) == 1:
        return f"{visible_sign(prefix[0])} × {len(prefix)}"
    return "".join(map(visible_sign, prefix))


def _verdicts(
    reading: PrefixReading, k: int, symbols: list[int], threshold: float
) -> dict[int, str]:
    """Return for each symbol at a place which of the signs of _MEANING it has."""
    verdicts = {}
    for i in symbols:
        allowed, exact = reading.model[k, i] >= threshold, reading.exact[k, i]
        if allowed == (exact > 0):
            verdicts[i] = _RIGHT
        elif allowed:
            verdicts[i] = _TOO_MUCH
        else:
            verdicts[i] = _TOO_LITTLE if exact >= threshold else _RARE
    return verdicts


def _percent(p: float) -> str:
    """Return a probability in percent, to two digits or so."""
    if 0 < p < 1e-4:
        return "<0.01"
    digits = 0 if p == 0 or p >= 0.1 else 1 if p >= 0.01 else 2
    return f"{100 * p:.{digits}f}"


def _code(text: str) -> str:
    """Return a text as HTML of a monospaced font, its spaces visible."""
    return f"<code>{as_html(''.join(map(visible_sign, text)))}</code>"


def _place(reading: PrefixReading, k: int, verdicts: dict[int, str], threshold: float) -> str:
    """Return what stands at a place as HTML: what is wrong in words, and bars for each symbol."""
    after = f"after {_code(reading.prefix[:k][-24:])}" if k else "at the start"
    lines = [f"Place {k}, {after}. {_grammar_says(reading, k)}"]
    if k >= reading.legal_places:
        lines.append("What the model expects nevertheless:")
    else:
        lines += _in_the_wrong(reading, verdicts) or [
            f"{_RIGHT} The model allows that, and nothing else."
        ]
    rows = np.array_split(list(verdicts), math.ceil(len(verdicts) / _MOST))
    drawn = "".join(_pairs(reading, k, row.tolist(), verdicts) for row in rows)
    key = (
        f'<span style="color:{BLUE}">■</span> model, □ exact, in percent; the model allows what '
        f"has {100 * threshold:.2g} % or more. "
    ) + "; ".join(f"{sign} {meaning}" for sign, meaning in _MEANING.items())
    return f'<div style="line-height:1.5">{"<br>".join(lines)}{drawn}{key}</div>'


def _in_the_wrong(reading: PrefixReading, verdicts: dict[int, str]) -> list[str]:
    """Return a line of HTML for each sign that is not "right": its meaning, and the symbols."""
    lines = []
    for sign, meaning in _MEANING.items():
        symbols = [_code(reading.tokens[i]) for i, verdict in verdicts.items() if verdict == sign]
        if symbols and sign != _RIGHT:
            lines.append(f"{sign} {meaning[0].upper()}{meaning[1:]}: {' '.join(symbols)}")
    return lines


def _grammar_says(reading: PrefixReading, k: int) -> str:
    """Return what the grammar has to say of a place as HTML."""
    legal = reading.legal_places
    if k >= legal:
        wrong = _code(reading.prefix[legal - 1])
        return f"Nothing can follow: character {legal}, {wrong}, is illegal."
    can = [_code(reading.tokens[i]) for i in np.flatnonzero(reading.legal[k])]
    return f"The grammar allows: {' '.join(can)}"


def _pairs(reading: PrefixReading, k: int, symbols: list[int], verdicts: dict[int, str]) -> str:
    """Draw the probabilities of some symbols at a place, the model's beside the exact ones."""
    width, parts, descriptions = WIDE / _MOST, [], []
    for column, i in enumerate(symbols):
        left, name = column * width, visible_sign(reading.tokens[i])
        ours, exact = reading.model[k, i], reading.exact[k, i]
        middle = left + width / 2
        looks = f'fill="{BLUE}"', 'fill="none" stroke="currentColor" stroke-width="1.5"'
        for x, p, look in ((0.1, ours, looks[0]), (0.52, exact, looks[1])):
            high, at = _LOW * p, left + x * width
            parts.append(
                f'<rect x="{at:.1f}" y="{_LOW + 14 - high:.1f}" width="{0.36 * width:.1f}" '
                f'height="{high:.1f}" {look}/>'
                f'<text x="{at + 0.18 * width:.1f}" y="{_LOW + 10 - high:.1f}" '
                f'font-size="10">{as_html(_percent(p))}</text>'
            )
        weight = "" if verdicts[i] in (_RIGHT, _RARE) else ' font-weight="bold"'
        parts.append(f'<text x="{middle:.1f}" y="{_LOW + 30}"{weight}>{as_html(name)}</text>')
        parts.append(f'<text x="{middle:.1f}" y="{_LOW + 46}"{weight}>{verdicts[i]}</text>')
        share = f"model {_percent(ours)} %, exact {_percent(exact)} %"
        descriptions.append(f"{name} {share}, {_MEANING[verdicts[i]]}")
    wide = len(symbols) * width
    parts.append(f'<path d="M0 {_LOW + 14} h{wide:.1f}" stroke="currentColor"/>')
    return svg(_LOW + 52, "Probabilities: " + "; ".join(descriptions), "".join(parts))


def _places(reading: PrefixReading, at: int, verdicts: list[dict[int, str]]) -> str:
    """Return all places of a prefix as HTML tables of a column for each, and a line above them."""
    legal, wrong = reading.legal_places, {_TOO_MUCH, _TOO_LITTLE}
    signs = [sorted(wrong & set(by_id.values())) or [_RIGHT] for by_id in verdicts]
    right = sum(place == [_RIGHT] for place in signs[:legal])
    rows = {
        "place": [str(k) for k in range(len(signs))],
        "read": [START, *(as_html(visible_sign(c)) for c in reading.prefix)],
        "depth": [str(depth) for depth in reading.depth],
        "illegal mass, %": [as_html(_percent(mass)) for mass in reading.illegal_mass],
        "legal set": ["".join(map(_sign_html, place)) for place in signs[:legal]]
        + ["–"] * (len(signs) - legal),
    }
    if "(" not in reading.tokens:
        del rows["depth"]
    summary = (
        f"The model allows what the grammar allows at {right} of {legal} places where something "
        f"can follow ({_RARE} counts as right)."
    )
    if legal < len(signs):
        wrong_one = _code(reading.prefix[legal - 1])
        summary = f"The prefix is illegal from character {legal}, {wrong_one}, on. {summary}"
    shades = [f"background:{ORANGE}{round(200 * mass):02x}" for mass in reading.illegal_mass]
    columns = [range(len(signs))[start:][:_COLUMNS] for start in range(0, len(signs), _COLUMNS)]
    tables = [_table(rows, shades, at, some) for some in columns]
    return f'<div style="line-height:1.5;margin-top:0.6em">{summary}{"".join(tables)}</div>'


def _sign_html(sign: str) -> str:
    """Return a sign as HTML that is read out as what it means."""
    return f'<span role="img" aria-label="{_MEANING[sign]}">{sign}</span>'


def _table(rows: dict[str, list[str]], shades: list[str], at: int, columns: range) -> str:
    """Return some columns of rows of HTML cells as a table, the chosen one framed."""
    cell = "padding:1px 5px;text-align:center;min-width:1.6em"
    lines = []
    for name, cells in rows.items():
        style = "text-align:left;padding-right:8px;white-space:nowrap"
        line = f'<th scope="row" style="{style}">{as_html(name)}</th>'
        for k in columns:
            style = cell + (f";{shades[k]}" if name.startswith("illegal") else "")
            style += ";border:solid;border-width:0 2px" if k == at else ""
            kind = 'th scope="col"' if name == "place" else "td"
            line += f'<{kind} style="{style}">{cells[k]}</{kind[:2]}>'
        lines.append(f"<tr>{line}</tr>")
    # As wide as there is room, however wide the table: it scrolls, and the text above it wraps.
    room = "width:0;min-width:100%;overflow-x:auto;margin-top:0.6em"
    table = f'<table style="border-collapse:collapse">{"".join(lines)}</table>'
    return f'<div style="{room}">{table}</div>'
