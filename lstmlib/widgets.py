"""Panels that move: a slider, and what follows from it."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape

import ipywidgets
import numpy as np
import torch

from lstmlib.models import CharRNN
from lstmlib.plots import BLUE, ORANGE, SKY, png, training_moment
from lstmlib.sampling import Sampling, Step, log_softmax, steps
from lstmlib.training import History
from lstmlib.vocab import Vocab


class TrainingScrubber(ipywidgets.VBox):
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
        if not any(row.get("diagnostics") for row in history.rows):
            raise ValueError(
                "The history has no diagnostics to show: train with "
                "fit(…, diagnostics=Diagnostics())."
            )
        super().__init__()
        self.history, self.samples, self._drawn = history, samples, {}
        # A skipped step has no diagnostics either, but it is the one to look at.
        kept = [row for row in history.rows if row.get("diagnostics") or row.get("skipped")]
        self.rows = {row["step"]: row for row in kept}
        first, last = min(self.rows), max(self.rows)
        self.slider = ipywidgets.IntSlider(
            first, first, last, description="Step", continuous_update=False, layout={"width": "70%"}
        )
        stride = max(1, (last - first) // 100)
        play = ipywidgets.Play(value=first, min=first, max=last, step=stride, interval=600)
        ipywidgets.jslink((play, "value"), (self.slider, "value"))
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.details = ipywidgets.HTML()
        self.slider.observe(lambda _: self._show(), "value")
        self._show()
        self.children = [ipywidgets.HBox([play, self.slider]), self.image, self.details]

    def __repr__(self) -> str:
        return f"TrainingScrubber({len(self.rows)} steps)"

    def _show(self) -> None:
        """Show the step that the slider stands on, or the newest before it that was recorded."""
        step = _newest(self.rows, self.slider.value)
        if step not in self._drawn:
            self._drawn[step] = png(training_moment(self.history, step))
        self.image.value = self._drawn[step]
        self.details.value = _in_words(self.rows[step]) + _sample(self.samples, step)


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
        said = (
            f"loss {row['loss']:.4f} nats per character; "
            f"gradient norm {row['grad_norm']:.4g} before clipping, {row['clipped_norm']:.4g} after"
        )
    return f"<b>Step {row['step']}</b>: {said}; learning rate {row['learning_rate']:.3g}"


def _sample(samples: dict[int, str], step: int) -> str:
    """Return the newest sample at or before a step as HTML."""
    newest = _newest(samples, step)
    if newest is None:
        return "<p>no sample yet</p>"
    text = escape(samples[newest])
    return f'<p>Written after step {newest}:</p><pre style="white-space: pre-wrap">{text}</pre>'


class TemperatureExplorer(ipywidgets.VBox):
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
        self.model, self.vocab = model, vocab
        self.prompt = _prompt(prompt)
        self.temperature = _temperature_slider(temperature)
        self.top_k = _slider(ipywidgets.IntSlider, "Top-k (0: all)", 0, 0, len(vocab), 1)
        self.top_p = _slider(ipywidgets.FloatSlider, "Top-p", 1.0, 0.05, 1.0, 0.05)
        self.length = _slider(ipywidgets.IntSlider, "Length", length, 50, 1000, 50)
        self.seed = _seed(seed)
        self.keep = ipywidgets.Checkbox(True, description="Keep the randomness", indent=False)
        self.at = _slider(ipywidgets.IntSlider, "Character", 0, 0, length - 1, 1)
        play = ipywidgets.Play(min=0, max=length - 1, interval=500)
        ipywidgets.jslink((play, "value"), (self.at, "value"))
        ipywidgets.jslink((self.at, "max"), (play, "max"))
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

    def __repr__(self) -> str:
        return f"TemperatureExplorer({self.prompt.value!r})"

    def _moved(self) -> None:
        """Write anew after a slider has moved, with another seed unless the randomness is kept."""
        if self.keep.value:
            _write_or_say(self)
        else:
            self.seed.value = int(np.random.default_rng().integers(2**31))  # which writes anew

    def _write(self) -> None:
        """Write the text that the controls ask for, and show it."""
        prompt, length, seed = self.prompt.value, self.length.value, self.seed.value
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
        context = escape("".join(map(_sign, (prompt + "".join(tokens[:at]))[-24:])))
        self.bars.value = (
            f"<div>After <code>{context}</code>:</div>"
            f"{_bars(self.steps[at], self.vocab)}{_draw_line(self.steps[at], self.vocab)}"
        )
        self.text.value = _LEGEND + _shaded(prompt, tokens, p, at)


class SideBySide(ipywidgets.VBox):
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
        if not len(temperatures):
            raise ValueError("There is no temperature; give one for each column.")
        super().__init__()
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

    def __repr__(self) -> str:
        return f"SideBySide({self.prompt.value!r}, {len(self.texts)} columns)"

    def _write(self) -> None:
        """Write the texts that the controls ask for, and show them."""
        count, prompt = len(self.texts), self.prompt.value
        sampling = Sampling(tuple(slider.value for slider in self.temperatures))
        seeds = [self.seed.value + (0 if self.keep.value else k) for k in range(count)]
        with _one_thread():
            length = self.length.value
            taken = steps(self.model, self.vocab, [prompt] * count, length, sampling, seeds)
            drawn = _drawn(list(taken), self.vocab, count)
        for text, (tokens, p) in zip(self.texts, drawn, strict=True):
            text.value = _shaded(prompt, tokens, p)


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


def _write_or_say(panel: TemperatureExplorer | SideBySide) -> None:
    """Write what a panel's controls ask for, or say why not; a screen reader says it, too."""
    try:
        panel._write()
        panel.said.value = ""
    except ValueError as error:
        said = f"{error} What stands below was written before."
        panel.said.value = f'<div role="alert"><b>{escape(said)}</b></div>'


def _shade(p: float) -> str:
    """Return the background of a character of that probability: the less probable, the darker."""
    surprise = min(-math.log(max(p, 1e-9)) / 6, 1)  # 6 nats are as dark as it gets
    return f"background:{ORANGE}{round(200 * surprise):02x}"


def _shaded(prompt: str, tokens: Sequence[str], p: Sequence[float], at: int | None = None) -> str:
    """Return a text as HTML, each character shaded by its probability; one may be framed."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;line-height:1.5"
    parts = [f'<div style="{style}"><u>{escape(prompt)}</u>']
    for k, (token, probability) in enumerate(zip(tokens, p, strict=True)):
        frame = ";outline:2px solid" if k == at else ""
        shown = "↵\n" if k == at and token == "\n" else escape(token)
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
    """Return a token, a space or a line break as a sign that one can see."""
    return {" ": "␣", "\n": "↵"}.get(token, token)


def _svg(high: float, said: str, inside: str) -> str:
    """Return a drawing as HTML; what it says is read out where it cannot be seen."""
    return (
        f'<svg viewBox="0 0 {_WIDE} {high}" role="img" aria-label="{escape(said)}" '
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
            f'<text x="{left + width / 2:.1f}" y="{_HIGH + 30}"{weight}>{escape(name)}</text>'
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
        if wide > 14:
            text = escape(_sign(vocab.tokens[i]))
            ink = "#fff" if color == BLUE else "#000"
            parts.append(f'<text x="{at + wide / 2:.1f}" y="32" fill="{ink}">{text}</text>')
    x = _WIDE * u
    parts.append(f'<path d="M{x:.1f} 42 l-5 9 h10 z"/>')
    anchor = "start" if u < 0.2 else "end" if u > 0.8 else "middle"
    said = f"u = {u:.3f} falls on {_sign(vocab.tokens[drawn])}"
    parts.append(f'<text x="{x:.1f}" y="64" text-anchor="{anchor}">{escape(said)}</text>')
    parts.append('<text x="0" y="11" text-anchor="start">the draw: after, end to end</text>')
    return _svg(70, f"The draw: {said}", "".join(parts))
