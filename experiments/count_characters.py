"""Measure what a network reaches on a run's training text by the characters' frequencies alone.

    .venv/bin/python -m experiments.count_characters runs/case-d-full

The program writes text.json into the folder: the entropy of the characters of the training text,
in nats per character, and the SHA-256 of the whole clean text, as `experiments.train_windows` notes
it in result.json. It trains nothing, and takes seconds.
"""

from pathlib import Path

import numpy as np

from experiments.common import read_settings, run_program, sha256, write_json
from experiments.train_windows import Settings, load_text
from lstmlib.batching import split
from lstmlib.vocab import Vocab


def count(text: str) -> dict:
    """Return what text.json holds of a clean text."""
    train_ids, _ = split(Vocab.from_text(text).encode(text), 0.1)
    counts = np.bincount(train_ids)
    p = counts[counts > 0] / len(train_ids)
    return {
        "entropy_of_characters": round(float(-(p * np.log(p)).sum()), 6),
        "training_characters": len(train_ids),
        "text_sha256": sha256(text),
    }


def main(folder: Path) -> None:
    """Count the characters of the text of a folder's config."""
    settings = read_settings(folder, Settings)
    write_json(folder / "text.json", count(load_text(settings)))


if __name__ == "__main__":
    run_program(main, __doc__, "runs/case-d-full")
