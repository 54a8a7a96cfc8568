"""The five cases, read from the recorded runs: what was published, what came out, and how.

Nothing here is typed that a record holds. A run's config.json has notes of what was published, its
result.json what came out, and runs/README.md the command.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from IPython.display import Markdown

from lstmlib.history import History

PLACES = {
    "A": ("case-a-lower-case", None, "training_loss"),
    "B": ("case-b-cifg", None, "valid_loss"),
    "C, NDFA": ("case-c-ndfa", "published", "validity"),
    "C, reviews": ("case-c-imdb", "published", "test_loss"),
    "D": ("case-d-full", None, "training_loss"),
    "E": ("case-e-rnn", None, "best_smooth_loss"),
}
"""Of each case as published: the folder of its run, the variant, and its figure in result.json."""
CURVES = {
    "A": ("case-a-lower-case", None),
    "B": ("case-b-cifg", None),
    "C, reviews": ("case-c-imdb", "published"),
    "D, full size": ("case-d-full", None),
    "D, small": ("case-d-cpu", "not-clipped"),
    "E": ("case-e-rnn", None),
}
"""The runs whose learning curves are drawn, as published."""


BOOKKEEPING = {
    *("what", "published", "keep", "keep_model", "log_every", "eval_every", "sample_every"),
    *("measure_every", "samples", "write_above", "redraw_once"),
}
"""Parts of a config that say what is kept and written, and not what is trained."""


class Case(NamedTuple):
    """A case, its published figure and ours.

    Attributes:
        name: "A" to "E"; case C has several.
        system: what it is, in words.
        figure: what the figures are of, in words.
        unit: of both figures.
        published: the published figure, None where none is given.
        says: what the write-up says of it in words; "" where the figure says it.
        ours: the figure of our run with the published settings.
        their_text, text: what each was trained on.
        folder: of our run, in runs/.
        command: what made our run.
        seconds: how long it trained.
        machine: on which machine.
        differs: why the figures differ, as far as we know.
        characters: of how many characters a loss is the sum; 1 where it is a mean.
    """

    name: str
    system: str
    figure: str
    unit: str
    published: float | None
    says: str
    ours: float
    their_text: str
    text: str
    folder: str
    command: str
    seconds: float
    machine: str
    differs: str
    characters: int


class Curve(NamedTuple):
    """A learning curve.

    Attributes:
        characters: read in training up to each measurement, (K,).
        seconds: of training up to each measurement, (K,).
        loss: on held-out text, nats per character, (K,). Of a run on windows it is that of the
            character after each of many windows, which lie spread over the held-out text.
        machine: on which the seconds were measured.
    """

    characters: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    machine: str


def read_json(path: Path) -> dict:
    """Return what a JSON file of a run holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def result_of(runs: Path, folder: str, variant: str | None = None) -> dict:
    """Return the result.json of a run, or what it holds of one variant."""
    result = read_json(runs / folder / "result.json")
    return result if variant is None else result["runs"][variant]


def commands(runs: Path) -> dict[str, str]:
    """Return the command of every run, folder -> command, from the tables of runs/README.md."""
    readme = (runs / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| `([^`|]*python[^`|]*)` \|", readme, re.M)
    return dict(rows)


def load_cases(runs: Path) -> list[Case]:
    """Return the cases in order, from the runs in a folder.

    Raises:
        FileNotFoundError: a run is missing.
        KeyError: a record lacks a part.
    """
    said = commands(runs)
    return [_case(runs, name, *place, said) for name, place in PLACES.items()]


def _case(
    runs: Path, name: str, folder: str, variant: str | None, key: str, said: Mapping[str, str]
) -> Case:
    config = read_json(runs / folder / "config.json")
    note, result = config["published"], result_of(runs, folder, variant)
    ours = result[key]
    if key == "validity":  # counts at temperature 1: right, only begun, wrong
        ours = 100 * ours["1.0"][0] / sum(ours["1.0"])
    return Case(
        name,
        note["system"],
        note["figure"],
        note["unit"],
        note["value"] if "value" in note else note[key],
        note.get("says", ""),
        ours,
        note["on"],
        _text_of(config),
        folder if variant is None else f"{folder}/{variant}",
        said[folder],
        result["training_seconds"],
        result["machine"],
        note["differs"],
        note.get("characters", 1),
    )


def _text_of(config: dict) -> str:
    """Return what a run was trained on, in a word."""
    data = config.get("data", {})
    return config.get("corpus") or data.get("reviews") or data["language"]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """Return a table, to be shown by a notebook."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in cells))


def minutes(seconds: float) -> str:
    """Return a time as a reader wants it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


# Learning curves


def load_curve(runs: Path, folder: str, variant: str | None = None) -> Curve:
    """Return the learning curve of a run: its losses on held-out text.

    Where a history has no seconds, those of the whole run are spread evenly over its steps.

    Raises:
        FileNotFoundError: there is no such run.
    """
    result, config = result_of(runs, folder, variant), read_json(runs / folder / "config.json")
    path = runs / folder / (variant or "")
    if "data" in config:  # reviews: a whole epoch reads the training text once
        rows = read_json(path / "epochs.json")
        characters = result["characters_trained_on"] * np.array([row["epoch"] for row in rows])
    else:
        rows = [r for r in History.load(path / "history.jsonl").rows if r["valid_loss"] is not None]
        characters = np.array([_characters(row, config) for row in rows])
    a_step = result["training_seconds"] / rows[-1]["step"]
    seconds = [row.get("seconds", row["step"] * a_step) for row in rows]
    # A run on windows may read only the beginning of the held-out text as one long text.
    loss = np.array([row.get("valid_window_loss", row["valid_loss"]) for row in rows], dtype=float)
    return Curve(characters, np.array(seconds), loss, result["machine"])


def _characters(row: dict, config: dict) -> int:
    """Return how many characters a network has read by a row of its history."""
    if "characters" in row:
        return row["characters"]
    if "windows" in row:
        return row["windows"] * config["length"]
    training = config["training"]
    return row["step"] * training["batch_size"] * training["seq_len"]


def load_curves(runs: Path) -> dict[str, Curve]:
    """Return the learning curves of all cases: name -> curve."""
    return {name: load_curve(runs, *place) for name, place in CURVES.items()}


# Changes


def flat_settings(runs: Path, folder: str, variant: str | None = None) -> dict[str, object]:
    """Return what a run was trained with, without BOOKKEEPING: "training.clip_norm" -> setting."""
    config = read_json(runs / folder / "config.json")
    settings = config
    if variant is not None:
        result = result_of(runs, folder, variant)
        # They lie under a name of their own, or among the figures.
        settings = result.get("settings", {name: result[name] for name in result if name in config})
    return _flat({name: settings[name] for name in settings if name not in BOOKKEEPING})


def _flat(settings: Mapping, before: str = "") -> dict[str, object]:
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, tuple]:
    """Return the settings in which two runs differ: name -> (before, after); None is "not set"."""
    names = [*before, *(name for name in after if name not in before)]
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
