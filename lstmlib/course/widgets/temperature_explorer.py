"""A panel to feel what temperature does to each draw."""

from reprlib import repr as short

import ipywidgets
import numpy as np

from lstmlib.course.widgets.controls import (
    LONGEST_PROMPT,
    Panel,
    box_of,
    check_length,
    check_starts,
    checkbox,
    labelled_slider,
    one_thread,
    play_button,
    prompt_field,
    row_of,
    seed_field,
    temperature_slider,
    write_or_say,
)
from lstmlib.course.widgets.rendering import (
    LEGEND,
    as_html,
    bars_of,
    draw_line,
    drawn_texts,
    shaded,
    visible_sign,
)
from lstmlib.generation import steps
from lstmlib.models import CharRNN
from lstmlib.sampling import SamplingConfig
from lstmlib.vocab import Vocab


class TemperatureExplorer(Panel):
    """A panel to feel what temperature does: sliders, a text, and the draw of each character.

    Below the sliders stands the text, each character shaded by how improbable it was. Below the
    text stand the distribution of one of its characters, before and after the transform, and the
    draw from it. The slider "Character", or the play button beside it, goes through the text one
    draw at a time. Text and drawing keep their height, so that nothing moves but them. As
    long as the randomness is kept, a change of the sliders uses the same random numbers again, so
    that what changes is the sliders' doing (see `sampling.draw`); else it takes another seed.

    Every slider takes the arrow keys, and a number typed beside it. Where a prompt cannot be read,
    a message says why, and the text stays as it was.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        prompt: what the text begins with.
        temperature, length, seed: what the panel starts with, within the bounds of its controls.

    Raises:
        ValueError, VocabError: as `generate`, of a prompt that cannot be read.

    Attributes:
        prompt, temperature, top_k, top_p, min_p, length, seed, keep, at: the controls; their
            `value` may be set. A top_k of 0 keeps all characters, and so does a min_p of 0.
        bars, text, message: ipywidgets.HTML with the distribution and the draw, the text, and what
            is wrong with the prompt.
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
        check_starts(temperature, length=length, seed=seed)
        self.model, self.vocab = model, vocab
        self.prompt = prompt_field(prompt)
        self.temperature = temperature_slider(temperature)
        self.top_k = labelled_slider(ipywidgets.IntSlider, "Top-k (0: all)", 0, 0, len(vocab), 1)
        self.top_p = labelled_slider(ipywidgets.FloatSlider, "Top-p", 1.0, 0.05, 1.0, 0.05)
        self.min_p = labelled_slider(ipywidgets.FloatSlider, "Min-p (0: all)", 0.0, 0.0, 1.0, 0.05)
        self.length = labelled_slider(ipywidgets.IntSlider, "Length", length, 50, 1000, 50)
        self.seed = seed_field(seed)
        self.keep = checkbox("Keep the randomness")
        last = self.length.value - 1
        self.at = labelled_slider(ipywidgets.IntSlider, "Character", 0, 0, last, 1)
        play = play_button(last, 500, "Go through the text, one draw at a time")
        self._links = [
            ipywidgets.jslink((play, "value"), (self.at, "value")),
            ipywidgets.jslink((self.at, "max"), (play, "max")),
        ]
        self.text, self.bars, self.message = box_of("10em"), ipywidgets.HTML(), ipywidgets.HTML()
        for slider in (self.temperature, self.top_k, self.top_p, self.min_p):
            slider.observe(lambda _: self._moved(), "value")
        for control in (self.prompt, self.length, self.seed):
            control.observe(lambda _: write_or_say(self), "value")
        self.at.observe(lambda _: self._show(), "value")
        self._write()
        self.children = [
            row_of(self.prompt, self.length, self.seed, self.keep),
            row_of(self.top_k, self.top_p, self.min_p),
            self.temperature,
            self.message,
            self.text,
            ipywidgets.HTML(LEGEND),
            row_of(play, self.at),
            self.bars,
        ]

    def _description(self) -> str:
        return short(self.prompt.value)

    def _moved(self) -> None:
        """Write anew after a slider has moved, with another seed unless the randomness is kept."""
        if self.keep.value:
            write_or_say(self)
        else:
            self.seed.value = int(np.random.default_rng().integers(2**31))  # which writes anew

    def _write(self) -> None:
        """Write the text that the controls ask for, and show it."""
        prompt, length, seed = self.prompt.value, self.length.value, self.seed.value
        check_length(prompt, "prompt", LONGEST_PROMPT)
        sampling = SamplingConfig(
            self.temperature.value, self.top_k.value or None, self.top_p.value, self.min_p.value
        )
        with one_thread():
            taken = steps(self.model, self.vocab, [prompt], length, sampling, [seed])
            self.steps = list(taken)
        self.written = prompt, *drawn_texts(self.steps, self.vocab, 1)[0]
        self.at.max = len(self.steps) - 1
        self._show()

    def _show(self) -> None:
        """Show the draw of one character, and where in the text it stands."""
        prompt, tokens, p = self.written
        at = min(self.at.value, len(tokens) - 1)
        context = as_html("".join(map(visible_sign, (prompt + "".join(tokens[:at]))[-24:])))
        self.bars.value = (
            f"<div>After <code>{context}</code>:</div>"
            f"{bars_of(self.steps[at], self.vocab)}{draw_line(self.steps[at], self.vocab)}"
        )
        self.text.value = shaded(prompt, tokens, p, at)
