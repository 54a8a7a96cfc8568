"""Draw the whole line of the course on one page: `make poster`.

    python tools/poster.py [--out FOLDER]

A3, landscape, as poster.pdf and poster.svg: clean, encode, batch, cell, back-propagation through
time, clipping, training, temperature, measuring. The pictures are the course's own figures. Every
number comes from a record: the network of chapter 07 (runs/help-pages), its text (datasets), and
the reader of chapter 09 (runs/five-checkpoints). The default OUT is editions/poster.
"""

import argparse
import io
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from matplotlib import image as images
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus
from lstmlib.course import plots
from lstmlib.course.plots.style import finite_column, visible
from lstmlib.course.widgets import read_choices
from lstmlib.history import History
from lstmlib.preferences import rank
from lstmlib.sampling import apply_temperature, entropy
from lstmlib.serialization import atomic_write, load_model

ROOT = Path(__file__).resolve().parents[1]
A3 = (16.54, 11.69)
"""Inches."""
COLUMNS, ROWS = 3, 3
PICTURE = (4.95, 2.6)
"""Inches of a panel's picture."""
DPI = 300
TEMPERATURES = (0.5, 1.0, 2.0)
PROMPT = "The "
LICENCE = "MIT licence"


class Records:
    """What the poster says in numbers, and what it draws, from the records of a course."""

    def __init__(self, course: Path = ROOT) -> None:
        self.run = course / "runs/help-pages"
        self.reader = course / "runs/five-checkpoints"
        self.config = json.loads((self.run / "config.json").read_text(encoding="utf-8"))
        self.result = json.loads((self.run / "result.json").read_text(encoding="utf-8"))
        self.history = History.load(self.run / "history.jsonl")
        model, self.vocab = load_model(self.run / "model.safetensors")
        self.model = model.float()
        self.raw = load_corpus(self.config["corpus"]).text
        self.text, _ = clean(self.raw, **self.config["clean"])

    @cached_property
    def logits(self) -> torch.Tensor:
        """Those of the character after the prompt, (V,)."""
        ids = torch.from_numpy(self.vocab.encode(PROMPT))[None]  # (1, T)
        with torch.no_grad():
            return self.model(ids)[0][0, -1]

    def at(self, temperature: float) -> np.ndarray:
        """Return the probabilities of the next character at a temperature, (V,)."""
        return np.exp(apply_temperature(self.logits, temperature))

    @cached_property
    def steps(self) -> list[str]:
        """Of the five checkpoints that the reader compared."""
        texts = json.loads((self.reader / "texts.json").read_text(encoding="utf-8"))
        return list(texts)

    @cached_property
    def numbers(self) -> dict[str, str]:
        """Every number of the poster, as it stands there."""
        training, norms = self.config["training"], self.history.column("grad_norm")[1]
        clipped = self.history.column("clipped_norm")[1]
        choices = read_choices(self.reader / "choices.jsonl", self.steps)
        return {
            "raw": f"{len(self.raw):,}",
            "raw_distinct": f"{len(set(self.raw))}",
            "clean": f"{len(self.text):,}",
            "distinct": f"{len(set(self.text))}",
            "streams": f"{training['batch_size']}",
            "length": f"{training['seq_len']}",
            "layers": f"{self.config['model']['num_layers']}",
            "units": f"{self.config['model']['hidden_size']}",
            "parameters": f"{self.result['parameters']:,}",
            "limit": f"{training['clip_norm']:g}",
            "longest": f"{max(norms):.2f}",
            "clipped": f"{np.mean(np.array(clipped) < np.array(norms)):.1%}",
            "steps": f"{training['steps']:,}",
            "minutes": f"{self.result['training_seconds'] / 60:.1f}",
            "machine": self.result["machine"],
            "loss": f"{self.result['valid_loss']:.3f}",
            "five_gram": f"{self.result['five_gram_loss']:.3f}",
            "entropies": ", ".join(f"{entropy(np.log(self.at(t))):.2f}" for t in TEMPERATURES),
            "temperatures": ", ".join(map(str, TEMPERATURES)),
            "longer": f"{sum(choice.preferred > choice.other for choice in choices)}",
            "choices": f"{len(choices)}",
        }


@dataclass(frozen=True)
class Panel:
    """A step of the line.

    Attributes:
        title: its name.
        picture: draws it.
        scale: how much larger than its place it is drawn, since most figures need more room.
        words: what stands below, in which {names} are numbers.
    """

    title: str
    picture: Callable[[Records], Figure]
    scale: float
    words: str


def _encoded(records: Records) -> Figure:
    """Draw some characters of the text, and the ids that they become."""
    text = records.text[:14]
    figure = Figure(figsize=PICTURE, layout="constrained")
    axis = figure.subplots()
    shown = [[visible(character) for character in text], records.vocab.encode(text).tolist()]
    table = axis.table(shown, rowLabels=["character", "id"], cellLoc="center", loc="center")
    table.scale(0.86, 2.2)
    axis.axis("off")
    return figure


def _reader(records: Records) -> Figure:
    choices = read_choices(records.reader / "choices.jsonl", records.steps)
    ranking = rank(choices, len(records.steps))
    names = [f"step {step}" for step in records.steps]
    return plots.reader_scores(names, ranking.intervals, len(choices))


def _trained(records: Records) -> Figure:
    columns = {"training": "loss", "validation": "valid_loss"}
    curves = {name: finite_column(records.history, column) for name, column in columns.items()}
    baseline = {"5-gram": records.result["five_gram_loss"]}
    return plots.loss_curves(curves, "One run", baselines=baseline)


PANELS = (
    Panel(
        "Clean",
        lambda records: plots.character_counts(Counter(records.raw), Counter(records.text)),
        1.8,
        "Python's help pages: {raw} characters, {raw_distinct} of them different. Curly quotes "
        "made straight, rare characters dropped: {clean}, {distinct} different.",
    ),
    Panel(
        "Encode",
        _encoded,
        1.0,
        "Every different character has a number, its id: {distinct} of them. Networks read ids.",
    ),
    Panel(
        "Batch",
        lambda _: plots.windows_and_streams(
            "the tide the wind the", length=8, step=3, batch_size=2, seq_len=5
        ),
        1.7,
        "Windows, or streams? Here {streams} streams are read side by side, {length} characters at "
        "a time. The state is carried on.",
    ),
    Panel(
        "Cell",
        lambda _: plots.lstm_cell(),
        1.9,
        "On the belt nothing is multiplied by a matrix. {layers} layers of {units} such units: "
        "{parameters} parameters.",
    ),
    Panel(
        "Back-propagation through time",
        lambda _: plots.unrolled("help"),
        1.5,
        "Two gradients meet in each state. Here they go back {length} characters and no further; "
        "the state goes on.",
    ),
    Panel(
        "Clipping",
        lambda _: plots.clipping([(2.2, 0.5), (-1.5, 1.8), (0.4, -0.6)], limit=1),
        1.7,
        "A gradient longer than {limit} is shortened. In the recorded steps the longest was "
        "{longest}, and {clipped} were clipped.",
    ),
    Panel(
        "Training",
        _trained,
        1.4,
        "{steps} steps, {minutes} minutes, {machine}: {loss} nats per character on unseen text. "
        "Counting (5-gram): {five_gram}.",
    ),
    Panel(
        "Temperature",
        lambda records: plots.temperature_bars(
            records.vocab.tokens, {t: records.at(t) for t in TEMPERATURES}, 7
        ),
        1.3,
        "The next character after “The ”, at τ = {temperatures}. Entropy: {entropies} nats.",
    ),
    Panel(
        "Measuring",
        _reader,
        1.3,
        "A reader (a language model) compared texts of five checkpoints, blind: {longer} of "
        "{choices} choices went to the one trained longer.",
    ),
)


def words(records: Records) -> Iterator[tuple[str, str]]:
    """Yield each panel's title and its words, with the numbers put in."""
    for panel in PANELS:
        yield panel.title, panel.words.format(**records.numbers)


def poster(records: Records) -> Figure:
    """Draw the poster."""
    figure = Figure(figsize=A3, dpi=DPI, facecolor="white")
    figure.text(0.03, 0.955, "Teach a network to write", fontsize=30, weight="bold")
    below = "From raw text to new text, one character at a time: a text, a network, a run."
    figure.text(0.97, 0.958, below, fontsize=13, ha="right")
    for number, (panel, (title, said)) in enumerate(zip(PANELS, words(records), strict=True)):
        row, column = divmod(number, COLUMNS)
        left, bottom = 0.03 + column * 0.325, 0.680 - row * 0.307
        axis = figure.add_axes((left, bottom, PICTURE[0] / A3[0], PICTURE[1] / A3[1]))
        axis.imshow(
            _drawn(panel.picture(records), panel.scale), aspect="equal", interpolation="none"
        )
        axis.axis("off")
        figure.text(left, bottom + 0.228, f"{number + 1} · {title}", fontsize=15, weight="bold")
        figure.text(left, bottom - 0.008, _folded(said), fontsize=10.5, va="top")
        if number + 1 < len(PANELS):
            figure.add_artist(_arrow(left, bottom, last=column + 1 == COLUMNS))
    source = "Every number is from a record of the course: runs/help-pages, runs/five-checkpoints, "
    figure.text(0.03, 0.008, f"{source}datasets. {LICENCE}.", fontsize=8, color="0.35")
    return figure


def _drawn(figure: Figure, scale: float) -> np.ndarray:
    """Return a figure as an image of a panel's size."""
    figure.set_size_inches(PICTURE[0] * scale, PICTURE[1] * scale)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI / scale, bbox_inches="tight")
    buffer.seek(0)
    return images.imread(buffer)


def _folded(text: str, width: int = 68) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _arrow(left: float, bottom: float, last: bool) -> FancyArrowPatch:
    """Return the arrow to the next panel: to the right, or from a row's end to the next row."""
    begin, end = (left + 0.300, bottom + 0.234), (left + 0.322, bottom + 0.234)
    if last:
        begin, end = (0.985, bottom - 0.005), (0.985, bottom - 0.06)
    style = {"arrowstyle": "-|>", "mutation_scale": 22, "linewidth": 2.5, "color": "#0072b2"}
    return FancyArrowPatch(begin, end, **style)


def write(out: Path) -> list[Path]:
    """Write poster.pdf and poster.svg into a folder; return their paths."""
    out.mkdir(parents=True, exist_ok=True)  # before the work
    figure = poster(Records())
    written = []
    # Equal records make equal files: no date, and no random names within the SVG.
    with rc_context({"svg.hashsalt": "poster", "svg.fonttype": "none", "pdf.fonttype": 42}):
        for kind, dated in (("pdf", "CreationDate"), ("svg", "Date")):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata={dated: None})
            written.append(out / f"poster.{kind}")
            atomic_write(written[-1], buffer.getvalue())
    return written


def main() -> None:
    """Write the poster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "editions/poster")
    out = parser.parse_args().out
    try:
        print("The poster is in", *write(out))
    except OSError as error:
        sys.exit(
            f"The poster could not be written to {out}: {error.strerror}. Name another folder with "
            "OUT=."
        )


if __name__ == "__main__":
    main()
