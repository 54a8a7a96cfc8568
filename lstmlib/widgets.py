"""Panels that move: a slider, and what follows from it.

A panel that a notebook cell makes anew, when it is run again, takes the place of the one before:
the old one is closed, and what it held is free.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from html import escape
from reprlib import repr as short
from weakref import WeakSet

import ipywidgets
import numpy as np
import torch
from IPython import get_ipython

from lstmlib.grammars import Language
from lstmlib.metrics import PrefixReading, read_prefix
from lstmlib.models import CharRNN
from lstmlib.plots import BLUE, ORANGE, SKY, png, training_moment
from lstmlib.sampling import Sampling, Step, log_softmax, steps
from lstmlib.training import History
from lstmlib.vocab import END, START, Vocab


class Panel(ipywidgets.VBox):
    """A panel that can be closed whole.

    ipywidgets keeps every widget that was ever made, and each observer keeps its panel, so that a
    panel nobody sees any more would hold its model for ever. `close` ends that.
    """

    _own: Collection[str] = ()
    """Names of what a panel holds, itself apart."""

    @contextmanager
    def _building(self) -> Iterator[None]:
        """Surround what makes the panel: if it fails, nothing of it is left."""
        before = {*vars(self), "_own"}
        try:
            yield
        except BaseException:
            self._own = set(vars(self)) - before
            self.close()
            raise
        self._own = set(vars(self)) - before
        _take_the_place_of_earlier_ones(self)

    def close(self) -> None:
        """Close every widget of the panel, and let go of its model, texts and pictures."""
        for widget in _widgets_of(self, *vars(self).values()):
            ipywidgets.VBox.close(self) if widget is self else widget.close()
            widget.unobserve_all()
        self.children = ()
        for name in self._own:
            delattr(self, name)
        self._own = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._said() if self._own else 'closed'})"


def _widgets_of(*values: object) -> list[ipywidgets.Widget]:
    """Return all widgets in some values: with their children, layouts, styles and ends of links."""
    found, waiting = {}, list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, ipywidgets.Widget) and id(value) not in found:
            found[id(value)] = value
            waiting += [getattr(value, name) for name in value.keys]
    return list(found.values())


_made: dict[str, tuple[int, WeakSet]] = {}
"""Notebook cell -> the number of its last run, and the panels that this run has made."""


def _take_the_place_of_earlier_ones(panel: Panel) -> None:
    """Close the panels that an earlier run of the same notebook cell has made."""
    shell = get_ipython()
    if shell is None:
        return
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    # Jupyter says which cell is run; where a program does not, the cell's text tells.
    cell = parent.get("metadata", {}).get("cellId") or shell.user_ns.get("_ih", [""])[-1]
    run, panels = _made.get(cell, (None, ()))
    if run != shell.execution_count:
        for each in list(panels):
            each.close()
        panels = WeakSet()
    panels.add(panel)
    _made[cell] = shell.execution_count, panels


class TrainingScrubber(Panel):
    """A panel to move through a training run: a slider over its steps, and what each step was.

    It shows `plots.training_moment`, the numbers of the step, and the text that the network wrote
    last by then. The slider takes the arrow keys, and a step number typed beside it; the play
    button moves it through the run in about a hundred strides. Where the slider stands on a step
    that was neither recorded nor skipped, the one before it is shown.

    Args:
        history: of `fit(…, diagnostics=Diagnostics())`.
        samples: step -> text that the network wrote after it; may be empty.

    Attributes:
        slider: its `value` is the step, and may be set.
        image: the picture, an ipywidgets.Image of PNG bytes.
        details: numbers and sample text, an ipywidgets.HTML.

    Raises:
        ValueError: no row of the history has diagnostics.
    """

    def __init__(self, history: History, samples: dict[int, str]) -> None:
        super().__init__()
        with self._building():
            self._build(history, samples)

    def _build(self, history: History, samples: dict[int, str]) -> None:
        """Make the slider, and show its first step."""
        if not any(row.get("diagnostics") for row in history.rows):
            raise ValueError(
                "The history has no diagnostics to show: train with "
                "fit(…, diagnostics=Diagnostics())."
            )
        self.history, self.samples = history, samples
        self._drawn = lru_cache(_PICTURES)(lambda step: png(training_moment(history, step)))
        # A skipped step has no diagnostics either, but it is the one to look at.
        kept = [row for row in history.rows if row.get("diagnostics") or row.get("skipped")]
        self.rows = {row["step"]: row for row in kept}
        first, last = min(self.rows), max(self.rows)
        self.slider = ipywidgets.IntSlider(
            first, first, last, description="Step", continuous_update=False, layout={"width": "70%"}
        )
        stride = max(1, (last - first) // 100)
        play = ipywidgets.Play(value=first, min=first, max=last, step=stride, interval=600)
        self._links = [ipywidgets.jslink((play, "value"), (self.slider, "value"))]
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.details = ipywidgets.HTML()
        self.slider.observe(lambda _: self._show(), "value")
        self._show()
        self.children = [ipywidgets.HBox([play, self.slider]), self.image, self.details]

    def _said(self) -> str:
        return f"{len(self.rows)} steps"

    def _show(self) -> None:
        """Show the step that the slider stands on, or the newest before it that was recorded."""
        step = _newest(self.rows, self.slider.value)
        self.image.value = self._drawn(step)
        self.details.value = _in_words(self.rows[step]) + _sample(self.samples, step)


_PICTURES = 128
"""Pictures that a panel keeps, those shown last: the play button goes through about a hundred."""
_SAMPLE = 20_000
"""Characters of a sample that are shown."""


def _newest(steps: dict[int, object], step: int) -> int | None:
    """Return the largest of some steps that is not after a step, or None."""
    steps = sorted(steps)
    at = bisect_right(steps, step)
    return steps[at - 1] if at else None


def _in_words(row: dict) -> str:
    """Return the numbers of a row as HTML."""
    if row.get("skipped"):
        said = "skipped, since its loss or its gradient was not finite"
    else:
        before, after = _known(row, "grad_norm", ".4g"), _known(row, "clipped_norm", ".4g")
        said = (
            f"loss {_known(row, 'loss', '.4f')} nats per character; "
            f"gradient norm {before} before clipping, {after} after"
        )
    rate = _known(row, "learning_rate", ".3g")
    return f"<b>Step {row['step']}</b>: {said}; learning rate {rate}"


def _known(row: dict, name: str, digits: str) -> str:
    """Return a number of a row, or that it is not known."""
    return "unknown" if row.get(name) is None else format(row[name], digits)


def _sample(samples: dict[int, str], step: int) -> str:
    """Return the newest sample at or before a step as HTML."""
    newest = _newest(samples, step)
    if newest is None:
        return "<p>no sample yet</p>"
    text = samples[newest]
    cut = f" (the first {_SAMPLE} of {len(text)} characters)" if len(text) > _SAMPLE else ""
    text = _html(text[:_SAMPLE])
    return (
        f'<p>Written after step {newest}{cut}:</p><pre style="white-space: pre-wrap">{text}</pre>'
    )


class TemperatureExplorer(Panel):
    """A panel to feel what temperature does: sliders, a text, and the draw of each character.

    Below the sliders stand the distribution of one character of the text, before and after the
    transform, the draw from it, and the text, each character shaded by how improbable it was. The
    slider "Character", or the play button beside it, goes through the text one draw at a time. As
    long as the randomness is kept, a change of the sliders uses the same random numbers again, so
    that what changes is the sliders' doing (see `sampling.draw`); else it takes another seed.

    Every slider takes the arrow keys, and a number typed beside it. A prompt that cannot be read is
    said, and the text stays as it was.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        prompt: what the text begins with.
        temperature, length, seed: what the panel starts with, within the bounds of its controls.

    Raises:
        ValueError, VocabError: as `generate`, of a prompt that cannot be read.

    Attributes:
        prompt, temperature, top_k, top_p, length, seed, keep, at: the controls; their `value` may
            be set. A top_k of 0 keeps all characters.
        bars, text, said: ipywidgets.HTML with the distribution and the draw, the text, and what is
            wrong with the prompt.
    """

    def __init__(
        self,
        model: CharRNN,
        vocab: Vocab,
        prompt: str = "The ",
        temperature: float = 0.5,
        length: int = 300,
        seed: int = 1,
    ) -> None:
        super().__init__()
        with self._building():
            self._build(model, vocab, prompt, temperature, length, seed)

    def _build(
        self,
        model: CharRNN,
        vocab: Vocab,
        prompt: str,
        temperature: float,
        length: int,
        seed: int,
    ) -> None:
        """Make the controls, and write the first text."""
        _check_starts(temperature, length=length, seed=seed)
        self.model, self.vocab = model, vocab
        self.prompt = _prompt(prompt)
        self.temperature = _temperature_slider(temperature)
        self.top_k = _slider(ipywidgets.IntSlider, "Top-k (0: all)", 0, 0, len(vocab), 1)
        self.top_p = _slider(ipywidgets.FloatSlider, "Top-p", 1.0, 0.05, 1.0, 0.05)
        self.length = _slider(ipywidgets.IntSlider, "Length", length, 50, 1000, 50)
        self.seed = _seed(seed)
        self.keep = ipywidgets.Checkbox(True, description="Keep the randomness", indent=False)
        last = self.length.value - 1
        self.at = _slider(ipywidgets.IntSlider, "Character", 0, 0, last, 1)
        play = ipywidgets.Play(min=0, max=last, interval=500)
        self._links = [
            ipywidgets.jslink((play, "value"), (self.at, "value")),
            ipywidgets.jslink((self.at, "max"), (play, "max")),
        ]
        self.bars, self.text, self.said = (ipywidgets.HTML() for _ in range(3))
        for slider in (self.temperature, self.top_k, self.top_p):
            slider.observe(lambda _: self._moved(), "value")
        for control in (self.prompt, self.length, self.seed):
            control.observe(lambda _: _write_or_say(self), "value")
        self.at.observe(lambda _: self._show(), "value")
        self._write()
        self.children = [
            ipywidgets.HBox([self.prompt, self.length]),
            self.temperature,
            ipywidgets.HBox([self.top_k, self.top_p]),
            ipywidgets.HBox([self.seed, self.keep]),
            self.said,
            ipywidgets.HBox([play, self.at]),
            self.bars,
            self.text,
        ]

    def _said(self) -> str:
        return short(self.prompt.value)

    def _moved(self) -> None:
        """Write anew after a slider has moved, with another seed unless the randomness is kept."""
        if self.keep.value:
            _write_or_say(self)
        else:
            self.seed.value = int(np.random.default_rng().integers(2**31))  # which writes anew

    def _write(self) -> None:
        """Write the text that the controls ask for, and show it."""
        prompt, length, seed = self.prompt.value, self.length.value, self.seed.value
        _check_length(prompt, "prompt", _LONGEST_PROMPT)
        sampling = Sampling(self.temperature.value, self.top_k.value or None, self.top_p.value)
        with _one_thread():
            taken = steps(self.model, self.vocab, [prompt], length, sampling, [seed])
            self.steps = list(taken)
        self.written = prompt, *_drawn(self.steps, self.vocab, 1)[0]
        self.at.max = len(self.steps) - 1
        self._show()

    def _show(self) -> None:
        """Show the draw of one character, and where in the text it stands."""
        prompt, tokens, p = self.written
        at = min(self.at.value, len(tokens) - 1)
        context = _html("".join(map(_sign, (prompt + "".join(tokens[:at]))[-24:])))
        self.bars.value = (
            f"<div>After <code>{context}</code>:</div>"
            f"{_bars(self.steps[at], self.vocab)}{_draw_line(self.steps[at], self.vocab)}"
        )
        self.text.value = _LEGEND + _shaded(prompt, tokens, p, at)


class SideBySide(Panel):
    """A panel with several temperatures in columns, a slider above each text.

    With the same random numbers for all, the columns differ by their temperatures alone; without,
    column k takes the seed + k. The sliders take the arrow keys, and a number typed beside them.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        prompt: what every text begins with.
        temperatures: one for each column, one or more.
        length, seed: what the panel starts with, within the bounds of its controls.

    Attributes:
        prompt, length, seed, keep: the controls; their `value` may be set.
        temperatures, texts: for each column its slider, and an ipywidgets.HTML with its text.
        said: an ipywidgets.HTML with what is wrong with the prompt.

    Raises:
        ValueError, VocabError: no temperature; or as `generate`, of a prompt that cannot be read.
    """

    def __init__(
        self,
        model: CharRNN,
        vocab: Vocab,
        prompt: str = "The ",
        temperatures: Sequence[float] = (0.2, 0.5, 1.0),
        length: int = 300,
        seed: int = 1,
    ) -> None:
        super().__init__()
        with self._building():
            self._build(model, vocab, prompt, temperatures, length, seed)

    def _build(
        self,
        model: CharRNN,
        vocab: Vocab,
        prompt: str,
        temperatures: Sequence[float],
        length: int,
        seed: int,
    ) -> None:
        """Make the controls, and write the first texts."""
        if not isinstance(temperatures, Sequence | np.ndarray) or not len(temperatures):
            raise ValueError("There is no temperature; give a list, with one for each column.")
        if len(temperatures) > _COLUMNS_OF_TEXT:
            raise ValueError(
                f"There are {len(temperatures)} temperatures; this panel has room for "
                f"{_COLUMNS_OF_TEXT} columns."
            )
        _check_starts(temperatures, length=length, seed=seed)
        self.model, self.vocab = model, vocab
        self.prompt = _prompt(prompt)
        self.length = _slider(ipywidgets.IntSlider, "Length", length, 50, 1000, 50)
        self.seed = _seed(seed)
        same = "The same random numbers for all"
        self.keep = ipywidgets.Checkbox(True, description=same, indent=False)
        self.temperatures = [
            _temperature_slider(tau, f"Temperature {k}") for k, tau in enumerate(temperatures, 1)
        ]
        self.texts = [ipywidgets.HTML() for _ in temperatures]
        self.said = ipywidgets.HTML()
        for control in (self.prompt, self.length, self.seed, self.keep, *self.temperatures):
            control.observe(lambda _: _write_or_say(self), "value")
        self._write()
        columns = [
            ipywidgets.VBox(pair, layout={"flex": "1 1 14em"})
            for pair in zip(self.temperatures, self.texts, strict=True)
        ]
        self.children = [
            ipywidgets.HBox([self.prompt, self.length]),
            ipywidgets.HBox([self.seed, self.keep]),
            self.said,
            ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"}),
            ipywidgets.HTML(_LEGEND),
        ]

    def _said(self) -> str:
        return f"{short(self.prompt.value)}, {len(self.texts)} columns"

    def _write(self) -> None:
        """Write the texts that the controls ask for, and show them."""
        count, prompt = len(self.texts), self.prompt.value
        _check_length(prompt, "prompt", _LONGEST_PROMPT)
        sampling = Sampling(tuple(slider.value for slider in self.temperatures))
        seeds = [self.seed.value + (0 if self.keep.value else k) for k in range(count)]
        with _one_thread():
            length = self.length.value
            taken = steps(self.model, self.vocab, [prompt] * count, length, sampling, seeds)
            drawn = _drawn(list(taken), self.vocab, count)
        for text, (tokens, p) in zip(self.texts, drawn, strict=True):
            text.value = _shaded(prompt, tokens, p)


_COLUMNS_OF_TEXT = 12
_LONGEST_PROMPT = 1000
"""Characters of a prompt, which is read anew at every move of a slider."""


def _check_starts(temperature: float | Sequence[float], **numbers: int) -> None:
    """Raise ValueError if a panel cannot start with these values."""
    Sampling(temperature)
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ValueError(f"{name} is {short(number)}; it must be a whole number.")


def _check_length(text: str, name: str, longest: int) -> None:
    """Raise ValueError if a text is longer than a panel reads."""
    if len(text) > longest:
        raise ValueError(
            f"The {name} has {len(text)} characters; this panel reads up to {longest}."
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread.

    A browser on the same machine needs a core too. Several threads wait for each other after every
    product of a step, and for the one whose core is taken.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _drawn(taken: list[Step], vocab: Vocab, count: int) -> list[tuple[list[str], list[float]]]:
    """Return of each text of a batch its tokens, and the probability of each under the model."""
    rows, ids = (np.concatenate([getattr(s, name) for s in taken]) for name in ("rows", "ids"))
    log_p = log_softmax(np.concatenate([step.logits for step in taken]))
    p = np.exp(log_p[np.arange(len(ids)), ids])
    return [
        ([vocab.tokens[i] for i in ids[rows == row]], p[rows == row].tolist())
        for row in range(count)
    ]


def _slider(
    kind: type, description: str, value: float, low: float, high: float, step: float
) -> ipywidgets.Widget:
    """Return a slider with its whole description beside it."""
    style, layout = {"description_width": "7em"}, {"width": "28em", "max_width": "98%"}
    bounds = {"min": low, "max": high, "step": step}
    return kind(value=value, description=description, style=style, layout=layout, **bounds)


def _temperature_slider(value: float, name: str = "Temperature") -> ipywidgets.FloatSlider:
    """Return a slider of temperatures."""
    return _slider(ipywidgets.FloatSlider, name, value, 0.0, 2.0, 0.05)


def _prompt(value: str) -> ipywidgets.Text:
    """Return a field for a prompt, which counts once Enter is pressed or the field is left."""
    return ipywidgets.Text(value, description="Prompt", continuous_update=False)


def _seed(value: int) -> ipywidgets.BoundedIntText:
    """Return a field for a seed."""
    return ipywidgets.BoundedIntText(value, min=0, max=2**31 - 1, description="Seed")


def _html(text: str) -> str:
    """Return a text as HTML that shows it as it is.

    What HTML cannot hold, or no message to a browser can carry, is shown as �: NUL, and half of a
    surrogate pair.
    """
    return escape(re.sub("[\\0\ud800-\udfff]", "\ufffd", text))


def _write_or_say(panel: "TemperatureExplorer | SideBySide | PrefixExplorer") -> None:
    """Write what a panel's controls ask for, or say why not; a screen reader says it, too."""
    try:
        panel._write()
        panel.said.value = ""
    except ValueError as error:
        said = f"{error} What stands below was written before."
        panel.said.value = f'<div role="alert"><b>{_html(said)}</b></div>'


def _shade(p: float) -> str:
    """Return the background of a character of that probability: the less probable, the darker."""
    surprise = min(-math.log(max(p, 1e-9)) / 6, 1)  # 6 nats are as dark as it gets
    return f"background:{ORANGE}{round(200 * surprise):02x}"


def _shaded(prompt: str, tokens: Sequence[str], p: Sequence[float], at: int | None = None) -> str:
    """Return a text as HTML, each character shaded by its probability; one may be framed."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;line-height:1.5"
    parts = [f'<div style="{style}"><u>{_html(prompt)}</u>']
    for k, (token, probability) in enumerate(zip(tokens, p, strict=True)):
        frame = ";outline:2px solid" if k == at else ""
        shown = "↵\n" if k == at and token == "\n" else _html(token)
        style = f"{_shade(probability)}{frame}"
        parts.append(f'<span style="{style}" title="p = {probability:.3g}">{shown}</span>')
    return "".join(parts) + "</div>"


_LEGEND = (
    "<div>The darker, the less probable the model found it: "
    + " ".join(f'<span style="{_shade(p)}">&nbsp;p = {p}&nbsp;</span>' for p in (1, 0.3, 0.1, 0.01))
    + "</div>"
)
_SHOWN = 12
"""Characters in the bars."""
_WIDE, _HIGH = 720, 130  # of a drawing, in its own units


def _sign(token: str) -> str:
    """Return a sign that one can see for a token: itself, a name, or its code point."""
    sign = {" ": "␣", "\n": "↵", "\t": "⇥"}.get(token, token)
    return sign if sign.isprintable() else "".join(f"U+{ord(c):04X}" for c in sign)


def _svg(high: float, said: str, inside: str) -> str:
    """Return a drawing as HTML; what it says is read out where it cannot be seen."""
    return (
        f'<svg viewBox="0 0 {_WIDE} {high}" role="img" aria-label="{_html(said)}" '
        f'font-size="12" style="width:100%;max-width:{_WIDE}px;display:block" '
        f'fill="currentColor" text-anchor="middle">{inside}</svg>'
    )


def _bars(step: Step, vocab: Vocab) -> str:
    """Draw the most probable characters before (light) and after (dark) the transform."""
    before, after, drawn = np.exp(step.log_before[0]), np.exp(step.log_after[0]), step.ids[0]
    order = np.argsort(-before, kind="stable")[:_SHOWN]
    if drawn not in order:
        order[-1] = drawn
    width, parts, said = _WIDE / len(order), [], []
    for k, i in enumerate(order):
        left, name = k * width, _sign(vocab.tokens[i])
        for x, p, color in ((0.14, before[i], SKY), (0.5, after[i], BLUE)):
            high = _HIGH * p
            parts.append(
                f'<rect x="{left + x * width:.1f}" y="{_HIGH + 14 - high:.1f}" '
                f'width="{0.36 * width:.1f}" height="{high:.1f}" fill="{color}"/>'
            )
        weight = ' font-weight="bold"' if i == drawn else ""
        parts.append(
            f'<text x="{left + width / 2:.1f}" y="{_HIGH + 30}"{weight}>{_html(name)}</text>'
        )
        top = _HIGH + 10 - _HIGH * max(before[i], after[i])
        parts.append(
            f'<text x="{left + width / 2:.1f}" y="{top:.1f}" font-size="10">'
            f"{100 * before[i]:.0f} → {100 * after[i]:.0f} %</text>"
        )
        said.append(f"{name} {100 * before[i]:.0f} to {100 * after[i]:.0f} %")
    key = (
        f'<div><span style="color:{SKY}">■</span> before, '
        f'<span style="color:{BLUE}">■</span> after; in bold what was drawn</div>'
    )
    return key + _svg(_HIGH + 36, "Probabilities: " + ", ".join(said), "".join(parts))


def _draw_line(step: Step, vocab: Vocab) -> str:
    """Draw the draw: the probabilities after the transform end to end, and where u falls."""
    p, u, drawn = np.exp(step.log_after[0]), step.uniforms[0], step.ids[0]
    left, parts = 0.0, []
    for k, i in enumerate(np.argsort(-p, kind="stable")):
        wide, at = _WIDE * p[i], left
        left += wide
        if wide < 0.5 and i != drawn:
            continue
        color = ORANGE if i == drawn else (BLUE, SKY)[k % 2]
        parts.append(
            f'<rect x="{at:.1f}" y="16" width="{max(wide, 1):.1f}" height="24" fill="{color}"/>'
        )
        sign = _sign(vocab.tokens[i])
        if wide > 7 + 7 * len(sign):
            text = _html(sign)
            ink = "#fff" if color == BLUE else "#000"
            parts.append(f'<text x="{at + wide / 2:.1f}" y="32" fill="{ink}">{text}</text>')
    x = _WIDE * u
    parts.append(f'<path d="M{x:.1f} 42 l-5 9 h10 z"/>')
    anchor = "start" if u < 0.2 else "end" if u > 0.8 else "middle"
    said = f"u = {u:.3f} falls on {_sign(vocab.tokens[drawn])}"
    parts.append(f'<text x="{x:.1f}" y="64" text-anchor="{anchor}">{_html(said)}</text>')
    parts.append('<text x="0" y="11" text-anchor="start">the draw: after, end to end</text>')
    return _svg(70, f"The draw: {said}", "".join(parts))


class PrefixExplorer(Panel):
    """A panel to type a prefix, and see what a network takes for legal behind it, and what is.

    The network allows a symbol if it gives it the threshold or more. At one place of the prefix the
    panel shows the probability of every symbol, the network's beside the grammar's, and where the
    two disagree on what is legal; and in a table, for all places, the network's illegal mass and
    whether it allows what the grammar allows. A legal symbol whose exact probability is below the
    threshold, too, may be missing. Special tokens are never legal, but for `.end`; they are
    shown where the network allows them.

    The panel follows while one types, and its place then goes to the end of the prefix. What cannot
    be read is said, and the reading stays as it was.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        language: the grammar that it is held to.
        prefix: what the panel starts with, at most 200 characters.
        threshold: the probability from which on the network allows a symbol, 0.001 to 0.1.

    Raises:
        ValueError, VocabError: as `read_prefix`, or a prefix that is too long.

    Attributes:
        prefix, threshold, at: the controls; their `value` may be set.
        bars, table, said: ipywidgets.HTML with the probabilities at the place, all the places, and
            what is wrong with the prefix.
        reading: the `metrics.PrefixReading` that is shown.
    """

    def __init__(
        self,
        model: CharRNN,
        vocab: Vocab,
        language: Language,
        prefix: str = "(()",
        threshold: float = 0.01,
    ) -> None:
        super().__init__()
        with self._building():
            self._build(model, vocab, language, prefix, threshold)

    def _build(
        self, model: CharRNN, vocab: Vocab, language: Language, prefix: str, threshold: float
    ) -> None:
        """Make the controls, and read the first prefix."""
        self.model, self.vocab, self.language = model, vocab, language
        self.prefix = ipywidgets.Text(prefix, description="Prefix", layout={"width": "98%"})
        self.threshold = _slider(ipywidgets.FloatLogSlider, "Threshold", threshold, -3, -1, 0.1)
        self.at = _slider(ipywidgets.IntSlider, "Place", 0, 0, len(prefix), 1)
        self.bars, self.table, self.said = (ipywidgets.HTML() for _ in range(3))
        self.prefix.observe(lambda _: _write_or_say(self), "value")
        for slider in (self.threshold, self.at):
            slider.observe(lambda _: self._show(), "value")
        self._write()
        self.children = [
            self.prefix,
            self.said,
            ipywidgets.HBox([self.at, self.threshold], layout={"flex_flow": "row wrap"}),
            self.bars,
            self.table,
        ]

    def _said(self) -> str:
        return f"{self.language.name!r}, {short(self.prefix.value)}"

    def _write(self) -> None:
        """Read the prefix, go to its end, and show it."""
        prefix = self.prefix.value
        _check_length(prefix, "prefix", _LONGEST)
        with _one_thread():
            self.reading = read_prefix(self.model, self.vocab, self.language, prefix)
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


def _verdicts(
    reading: PrefixReading, k: int, symbols: list[int], threshold: float
) -> dict[int, str]:
    """Return for each symbol at a place which of the signs of _MEANING it has."""
    found = {}
    for i in symbols:
        allowed, exact = reading.model[k, i] >= threshold, reading.exact[k, i]
        if allowed == (exact > 0):
            found[i] = _RIGHT
        elif allowed:
            found[i] = _TOO_MUCH
        else:
            found[i] = _TOO_LITTLE if exact >= threshold else _RARE
    return found


def _percent(p: float) -> str:
    """Return a probability in percent, to two digits or so."""
    if 0 < p < 1e-4:
        return "<0.01"
    digits = 0 if p == 0 or p >= 0.1 else 1 if p >= 0.01 else 2
    return f"{100 * p:.{digits}f}"


def _code(text: str) -> str:
    """Return a text as HTML of a monospaced font, its spaces visible."""
    return f"<code>{_html(''.join(map(_sign, text)))}</code>"


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
    ) + "; ".join(f"{sign} {said}" for sign, said in _MEANING.items())
    return f'<div style="line-height:1.5">{"<br>".join(lines)}{drawn}{key}</div>'


def _in_the_wrong(reading: PrefixReading, verdicts: dict[int, str]) -> list[str]:
    """Return a line of HTML for each sign that is not "right": its meaning, and the symbols."""
    lines = []
    for sign, said in _MEANING.items():
        symbols = [_code(reading.tokens[i]) for i, found in verdicts.items() if found == sign]
        if symbols and sign != _RIGHT:
            lines.append(f"{sign} {said[0].upper()}{said[1:]}: {' '.join(symbols)}")
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
    width, parts, said = _WIDE / _MOST, [], []
    for column, i in enumerate(symbols):
        left, name = column * width, _sign(reading.tokens[i])
        ours, exact = reading.model[k, i], reading.exact[k, i]
        middle = left + width / 2
        looks = f'fill="{BLUE}"', 'fill="none" stroke="currentColor" stroke-width="1.5"'
        for x, p, look in ((0.1, ours, looks[0]), (0.52, exact, looks[1])):
            high, at = _LOW * p, left + x * width
            parts.append(
                f'<rect x="{at:.1f}" y="{_LOW + 14 - high:.1f}" width="{0.36 * width:.1f}" '
                f'height="{high:.1f}" {look}/>'
                f'<text x="{at + 0.18 * width:.1f}" y="{_LOW + 10 - high:.1f}" '
                f'font-size="10">{_html(_percent(p))}</text>'
            )
        weight = "" if verdicts[i] in (_RIGHT, _RARE) else ' font-weight="bold"'
        parts.append(f'<text x="{middle:.1f}" y="{_LOW + 30}"{weight}>{_html(name)}</text>')
        parts.append(f'<text x="{middle:.1f}" y="{_LOW + 46}"{weight}>{verdicts[i]}</text>')
        share = f"model {_percent(ours)} %, exact {_percent(exact)} %"
        said.append(f"{name} {share}, {_MEANING[verdicts[i]]}")
    wide = len(symbols) * width
    parts.append(f'<path d="M0 {_LOW + 14} h{wide:.1f}" stroke="currentColor"/>')
    return _svg(_LOW + 52, "Probabilities: " + "; ".join(said), "".join(parts))


def _places(reading: PrefixReading, at: int, verdicts: list[dict[int, str]]) -> str:
    """Return all places of a prefix as HTML tables of a column for each, and a line above them."""
    legal, wrong = reading.legal_places, {_TOO_MUCH, _TOO_LITTLE}
    signs = [sorted(wrong & set(found.values())) or [_RIGHT] for found in verdicts]
    right = sum(found == [_RIGHT] for found in signs[:legal])
    rows = {
        "place": [str(k) for k in range(len(signs))],
        "read": [START, *(_html(_sign(c)) for c in reading.prefix)],
        "depth": [str(depth) for depth in reading.depth],
        "illegal mass, %": [_html(_percent(mass)) for mass in reading.illegal_mass],
        "legal set": ["".join(map(_said, found)) for found in signs[:legal]]
        + ["–"] * (len(signs) - legal),
    }
    if "(" not in reading.tokens:
        del rows["depth"]
    said = (
        f"The model allows what the grammar allows at {right} of {legal} places where something "
        f"can follow ({_RARE} counts as right)."
    )
    if legal < len(signs):
        wrong_one = _code(reading.prefix[legal - 1])
        said = f"The prefix is illegal from character {legal}, {wrong_one}, on. {said}"
    shades = [f"background:{ORANGE}{round(200 * mass):02x}" for mass in reading.illegal_mass]
    columns = [range(len(signs))[start:][:_COLUMNS] for start in range(0, len(signs), _COLUMNS)]
    tables = [_table(rows, shades, at, some) for some in columns]
    return f'<div style="line-height:1.5;margin-top:0.6em">{said}{"".join(tables)}</div>'


def _said(sign: str) -> str:
    """Return a sign as HTML that is read out as what it means."""
    return f'<span role="img" aria-label="{_MEANING[sign]}">{sign}</span>'


def _table(rows: dict[str, list[str]], shades: list[str], at: int, columns: range) -> str:
    """Return some columns of rows of HTML cells as a table, the chosen one framed."""
    cell = "padding:1px 5px;text-align:center;min-width:1.6em"
    lines = []
    for name, cells in rows.items():
        style = "text-align:left;padding-right:8px;white-space:nowrap"
        line = f'<th scope="row" style="{style}">{_html(name)}</th>'
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
