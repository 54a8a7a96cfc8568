"""A panel with texts at several temperatures in columns."""

from collections.abc import Sequence
from reprlib import repr as short

import ipywidgets
import numpy as np

from lstmlib.course.widgets.controls import (
    LONGEST_PROMPT,
    Panel,
    check_length,
    check_starts,
    checkbox,
    labelled_slider,
    one_thread,
    prompt_field,
    row_of,
    seed_field,
    temperature_slider,
    write_or_say,
)
from lstmlib.course.widgets.rendering import LEGEND, drawn_texts, shaded
from lstmlib.generation import steps
from lstmlib.models import CharRNN
from lstmlib.sampling import SamplingConfig
from lstmlib.vocab import Vocab


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
        message: an ipywidgets.HTML with what is wrong with the prompt.

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
        check_starts(temperatures, length=length, seed=seed)
        self.model, self.vocab = model, vocab
        self.prompt = prompt_field(prompt)
        self.length = labelled_slider(ipywidgets.IntSlider, "Length", length, 50, 1000, 50)
        self.seed = seed_field(seed)
        self.keep = checkbox("The same random numbers for all")
        self.temperatures = [
            temperature_slider(tau, f"τ {k}") for k, tau in enumerate(temperatures, 1)
        ]
        self.texts = [ipywidgets.HTML() for _ in temperatures]
        self.message = ipywidgets.HTML()
        for control in (self.prompt, self.length, self.seed, self.keep, *self.temperatures):
            control.observe(lambda _: write_or_say(self), "value")
        self._write()
        columns = [
            ipywidgets.VBox(pair, layout={"flex": "1 1 14em", "padding": "0 0.7em 0 0"})
            for pair in zip(self.temperatures, self.texts, strict=True)
        ]
        self.children = [
            row_of(self.prompt, self.length, self.seed, self.keep),
            self.message,
            ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"}),
            ipywidgets.HTML(LEGEND),
        ]

    def _description(self) -> str:
        return f"{short(self.prompt.value)}, {len(self.texts)} columns"

    def _write(self) -> None:
        """Write the texts that the controls ask for, and show them."""
        count, prompt = len(self.texts), self.prompt.value
        check_length(prompt, "prompt", LONGEST_PROMPT)
        sampling = SamplingConfig(tuple(slider.value for slider in self.temperatures))
        seeds = [self.seed.value + (0 if self.keep.value else k) for k in range(count)]
        with one_thread():
            length = self.length.value
            taken = steps(self.model, self.vocab, [prompt] * count, length, sampling, seeds)
            drawn = drawn_texts(list(taken), self.vocab, count)
        for text, (tokens, p) in zip(self.texts, drawn, strict=True):
            text.value = shaded(prompt, tokens, p)


_COLUMNS_OF_TEXT = 12
