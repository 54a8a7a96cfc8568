"""Bring recorded runs down to what their readers need: `python tools/thin_records.py [RUNS]`

A run records more than a figure draws. HISTORIES says, for each folder, which columns and which
diagnostics of its history.jsonl are kept, with how many digits, and whether every row is. A model
of more than LARGE bytes is stored in float16. A model that no chapter loads, and that is too large
to keep for its own sake, goes: LEFT_OUT names it, and the file that tells what was measured of it.

A folder that no rule names stays as it is. What is thin already stays as it is, to the byte.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch

from lstmlib.history import History, HistoryError
from lstmlib.serialization import ModelFileError, atomic_write, load_model, save_model

RUNS = Path(__file__).resolve().parents[1] / "runs"
HEAD = 20
"""Rows at the beginning of a run that are always kept: there a loss changes at every step."""
LARGE = 100_000
"""Bytes of a model from which on float16 is worth it."""
EXACT = ("valid_loss", "smooth_loss")
"""Columns that keep all their digits: result.json quotes them."""
LEFT_OUT = {
    "case-d-full": "network.json",
    "leaderboard/gpu": "recipe-1.json",
    "leaderboard/avx2/cpu": "recipe-1.json",
}
"""Folder -> what tells of its model when it is gone. runs/README.md says how to make it again."""


@dataclass(frozen=True)
class Keep:
    """What stays of a history.

    Attributes:
        without: columns that nobody reads. "skipped" only goes where no step was skipped.
        diagnostics: the records of a step that stay, such as "gradient"; None keeps all.
        digits: significant digits of each number.
        stretches: None keeps every row. A number cuts the run into so many stretches of equal
            length; of each the last row stays, the one with the highest loss, and the one with the
            highest gradient norm, so that no spike is lost. The first HEAD rows of the run, and
            rows with a validation loss, diagnostics or a skipped step, stay, too.
    """

    without: tuple[str, ...] = ()
    diagnostics: tuple[str, ...] | None = None
    digits: int = 5
    stretches: int | None = None


_SAID = ("skipped", "learning_rate")
"""What config.json says of every step: "skipped" where none was, and the rate."""
_COUNTED = (*_SAID, "clipped_norm")
"""The same, where result.json says how many steps were clipped."""
# The first pattern that fits a folder counts. Chapter 06 draws each step of the dying network, and
# compares those of "clipped-at-5" with it one by one; it takes means of 100 steps of every arm of
# "spike-two-layers". Chapter 08 takes medians and means over the steps of the sweep.
HISTORIES = {
    "case-d-cpu/not-clipped": Keep(_SAID),
    "case-d-cpu/clipped-at-5": Keep(_COUNTED, ()),
    "case-d-cpu/lower-rate": Keep(_COUNTED, ("near_0", "near_1"), stretches=200),
    "case-d-cpu/*": Keep(_COUNTED, (), stretches=200),
    "spike-two-layers/*": Keep((*_COUNTED, "valid_loss"), ()),
    "patients/*": Keep(("skipped", "characters")),
    "case-c-sweep/*": Keep(_SAID),
    "case-c-imdb/two-layers": Keep(_SAID),
    "case-c-*/*": Keep(_SAID, stretches=200),
    "case-b-*": Keep(digits=6),
    "case-e-*": Keep(digits=6),
    "leaderboard/*": Keep(stretches=200),
    "help-pages": Keep(stretches=200),
    "inside-*": Keep((*_COUNTED, "seconds"), digits=4, stretches=50),
}


def rule_of(folder: str) -> Keep | None:
    """Return what is kept of the history in a folder, given as a path below runs/."""
    return next((keep for pattern, keep in HISTORIES.items() if fnmatch(folder, pattern)), None)


def rounded(value: object, digits: int) -> object:
    """Round the floats of a row, at any depth, to so many significant digits."""
    if isinstance(value, dict):
        return {name: rounded(entry, digits) for name, entry in value.items()}
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def thinned(rows: list[dict], keep: Keep) -> list[dict]:
    """Return the rows that a rule keeps, with the columns and digits that it keeps.

    Applied to its own result, it returns the same rows.
    """
    without = set(keep.without)
    if any(row.get("skipped") for row in rows):
        without.discard("skipped")
    rows = [_shorter(row, without, keep) for row in rows]
    if keep.stretches is None or not rows:
        return rows
    last, stretches = rows[-1]["step"], {}
    for row in rows:
        stretches.setdefault((row["step"] - 1) * keep.stretches // last, []).append(row)
    kept = {row["step"] for row in rows[:HEAD]}
    kept |= {row["step"] for row in rows if _is_special(row)}
    for stretch in stretches.values():
        peaks = (max(stretch, key=lambda row: _or_lowest(row[c])) for c in ("loss", "grad_norm"))
        kept |= {row["step"] for row in (stretch[-1], *peaks)}
    return [row for row in rows if row["step"] in kept]


def _shorter(row: dict, without: set[str], keep: Keep) -> dict:
    """Return a row with the columns, diagnostics and digits that a rule keeps."""
    short = {name: value for name, value in row.items() if name not in without}
    row = rounded(short, keep.digits) | {name: row[name] for name in EXACT if name in short}
    diagnostics = row.pop("diagnostics", None) or {}
    names = diagnostics if keep.diagnostics is None else keep.diagnostics
    diagnostics = {name: diagnostics[name] for name in names if name in diagnostics}
    return row | ({"diagnostics": diagnostics} if diagnostics else {})


def _is_special(row: dict) -> bool:
    """Say whether a row holds more than a loss and a norm."""
    more = row.get("valid_loss") is not None, "diagnostics" in row, row.get("skipped", False)
    return any(more)


def _or_lowest(value: float | None) -> float:
    """Return a value to compare, also of a step where it was not finite."""
    return float("-inf") if value is None else value


def to_lines(rows: Iterable[dict]) -> bytes:
    """Return rows as JSON lines, without blanks."""
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return "".join(line + "\n" for line in lines).encode()


def thin_history(path: Path, keep: Keep) -> bytes:
    """Return what stays of a history file.

    Raises:
        HistoryError: it is no history.
    """
    return to_lines(thinned(History.load(path).rows, keep))


def halve(path: Path) -> None:
    """Store a large model of `save_model` in float16, unless a weight is too large for that.

    A model of `save_scratch` stays as it is: NumPy computes in the precision that it finds.

    Raises:
        ModelFileError: the file is damaged.
    """
    if path.stat().st_size <= LARGE or b"lstmlib-scratch" in path.read_bytes()[:4096]:
        return
    model, vocab = load_model(path)
    largest = max(float(p.detach().abs().max()) for p in model.parameters())
    if model.output.weight.dtype == torch.float32 and largest < torch.finfo(torch.float16).max:
        save_model(path, model.half(), vocab)


def main(runs: Path) -> None:
    """Thin the records below a folder, in place, and say what became smaller."""
    for path in sorted(runs.rglob("history.jsonl")):
        keep = rule_of(path.parent.relative_to(runs).as_posix())
        if keep is not None and (data := thin_history(path, keep)) != path.read_bytes():
            print(f"{path}: {path.stat().st_size:,} to {len(data):,} bytes")
            atomic_write(path, data)
    for folder, stand_in in LEFT_OUT.items():
        path = runs / folder / "model.safetensors"
        if path.exists() and (runs / folder / stand_in).exists():
            print(f"{path}: removed, {stand_in} tells of it")
            path.unlink()
    for path in sorted(runs.rglob("model.safetensors")):
        before = path.stat().st_size
        halve(path)
        if path.stat().st_size != before:
            print(f"{path}: {before:,} to {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="?", default=RUNS, help="such as runs")
    try:
        main(parser.parse_args().runs)
    except (OSError, HistoryError, ModelFileError, ValueError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
