"""What all panels share: closing them whole, sliders and fields, and messages."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from reprlib import repr as short
from weakref import WeakSet

import ipywidgets
import numpy as np
import torch
from IPython import get_ipython

from lstmlib.course.widgets.rendering import as_html
from lstmlib.sampling import SamplingConfig
from lstmlib.vocab import LEAVE_OUT


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
        return f"{type(self).__name__}({self._description() if self._own else 'closed'})"


def _widgets_of(*values: object) -> list[ipywidgets.Widget]:
    """Return all widgets in some values: with their children, layouts, styles and ends of links."""
    widgets_by_id, waiting = {}, list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, ipywidgets.Widget) and id(value) not in widgets_by_id:
            widgets_by_id[id(value)] = value
            waiting += [getattr(value, name) for name in value.keys]
    return list(widgets_by_id.values())


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


LONGEST_PROMPT = 1000
"""Characters of a prompt, which is read anew at every move of a slider."""


def check_starts(temperature: float | Sequence[float], **numbers: int) -> None:
    """Raise ValueError if a panel cannot start with these values."""
    SamplingConfig(temperature)
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ValueError(f"{name} is {short(number)}; it must be a whole number.")


def check_length(text: str, name: str, longest: int) -> None:
    """Raise ValueError if a text is longer than a panel reads."""
    if len(text) > longest:
        raise ValueError(
            f"The {name} has {len(text)} characters; this panel reads up to {longest}."
        )


@contextmanager
def one_thread() -> Iterator[None]:
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


def labelled_slider(
    kind: type, description: str, value: float, low: float, high: float, step: float
) -> ipywidgets.Widget:
    """Return a slider with its whole description beside it."""
    style, layout = {"description_width": "6.5em"}, {"width": "21em", "max_width": "98%"}
    more = {"style": style, "layout": layout, "tooltip": description}
    return kind(value=value, description=description, min=low, max=high, step=step, **more)


def play_button(last: int, interval: int, tooltip: str) -> ipywidgets.Play:
    """Return buttons that go through the numbers from 0 to the last, in milliseconds each."""
    return ipywidgets.Play(min=0, max=last, interval=interval, tooltip=tooltip)


def row_of(*controls: ipywidgets.Widget) -> ipywidgets.HBox:
    """Return controls side by side, in several rows where there is no room for one."""
    layout = {"flex_flow": "row wrap", "align_items": "center"}
    return ipywidgets.HBox(controls, layout=layout)


def box_of(height: str) -> ipywidgets.HTML:
    """Return a field for HTML that keeps its height, so that nothing below it moves; it scrolls."""
    layout = {"height": height, "overflow": "auto", "border": "1px solid #8888"}
    return ipywidgets.HTML(layout=layout | {"padding": "0 0.5em", "width": "98%"})


def temperature_slider(value: float, name: str = "Temperature τ") -> ipywidgets.FloatSlider:
    """Return a slider of temperatures, as wide as there is room."""
    slider = labelled_slider(ipywidgets.FloatSlider, name, value, 0.0, 2.0, 0.05)
    slider.layout.width, slider.style.description_width = "98%", "initial"
    return slider


def prompt_field(value: str) -> ipywidgets.Text:
    """Return a field for a prompt, which counts once Enter is pressed or the field is left."""
    more = {"style": {"description_width": "4em"}, "layout": {"width": "17em"}}
    return ipywidgets.Text(value, description="Prompt", continuous_update=False, **more)


def seed_field(value: int) -> ipywidgets.BoundedIntText:
    """Return a field for a seed."""
    more = {"style": {"description_width": "4em"}, "layout": {"width": "12em"}}
    return ipywidgets.BoundedIntText(value, min=0, max=2**31 - 1, description="Seed", **more)


def checkbox(description: str) -> ipywidgets.Checkbox:
    """Return a checkbox that is checked, as wide as its description."""
    layout = {"width": "auto"}
    return ipywidgets.Checkbox(True, description=description, indent=False, layout=layout)


def write_or_say(panel: Panel) -> None:
    """Write what a panel's controls ask for, or say why not; a screen reader says it, too."""
    try:
        panel._write()
        panel.message.value = ""
    except ValueError as error:
        # What a program could do about it is nothing for who types into a field.
        reason = str(error).replace(LEAVE_OUT, "Leave it out.")
        message = f"{reason} What stands below was written before."
        panel.message.value = f'<div role="alert"><b>{as_html(message)}</b></div>'
