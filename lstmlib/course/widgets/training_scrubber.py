"""A panel to move through a training run."""

from bisect import bisect_right
from functools import lru_cache

import ipywidgets

from lstmlib.course.plots import png, training_moment
from lstmlib.course.widgets.controls import Panel, box_of, play_button, row_of
from lstmlib.course.widgets.rendering import as_html
from lstmlib.history import History


class TrainingScrubber(Panel):
    """A panel to move through a training run: a slider over its steps, and what each step was.

    It shows `plots.training_moment`, the numbers of the step, and the text that the network wrote
    last by then. The slider goes from one step that was recorded or skipped to the next, also by
    the arrow keys, and what is shown follows while it is dragged. The play button moves it through
    the run in about a hundred strides.

    Args:
        history: of `fit(…, diagnostics=Diagnostics())`.
        samples: step -> text that the network wrote after it; may be empty.

    Attributes:
        slider: its `value` is the step, and may be set to another one of the run.
        image: the picture, an ipywidgets.Image of PNG bytes.
        numbers, details: the numbers and the sample text, ipywidgets.HTML.

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
        self._drawn = lru_cache(_PICTURES)(lambda step: png(training_moment(history, step, _HIGH)))
        # A skipped step has no diagnostics either, but it is the one to look at.
        kept = [row for row in history.rows if row.get("diagnostics") or row.get("skipped")]
        self.rows = {row["step"]: row for row in kept}
        steps = sorted(self.rows)
        self.slider = ipywidgets.SelectionSlider(
            options=steps, description="Step", tooltip="Step", layout={"width": "70%"}
        )
        play = play_button(len(steps) - 1, 600, "Go through the run")
        play.step = max(1, len(steps) // 100)
        self._links = [ipywidgets.jslink((play, "value"), (self.slider, "index"))]
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.numbers, self.details = ipywidgets.HTML(), box_of("7.5em")
        self.slider.observe(lambda _: self._show(), "value")
        self._show()
        self.children = [row_of(play, self.slider), self.numbers, self.image, self.details]

    def _description(self) -> str:
        return f"{len(self.rows)} steps"

    def _show(self) -> None:
        """Show the step that the slider stands on."""
        step = self.slider.value
        self.image.value = self._drawn(step)
        self.numbers.value = _in_words(self.rows[step])
        self.details.value = _sample(self.samples, step)


_PICTURES = 128
"""Pictures that a panel keeps, those shown last: the play button goes through about a hundred."""
_HIGH = 4.9
"""Inches of a picture: slider, picture and text stand together on a small screen."""
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
        summary = "skipped, since its loss or its gradient was not finite"
    else:
        before, after = _known(row, "grad_norm", ".4g"), _known(row, "clipped_norm", ".4g")
        summary = (
            f"loss {_known(row, 'loss', '.4f')} nats per character; "
            f"gradient norm {before} before clipping, {after} after"
        )
    rate = _known(row, "learning_rate", ".3g")
    return f"<b>Step {row['step']}</b>: {summary}; learning rate {rate}"


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
    text = as_html(text[:_SAMPLE])
    return (
        f'<p>Written after step {newest}{cut}:</p><pre style="white-space: pre-wrap">{text}</pre>'
    )
