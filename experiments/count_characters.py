"""What a network reaches on a run's training text that knows only how frequent each character is.

    .venv/bin/python -m experiments.count_characters runs/case-d-full

Writes the folder's text.json: the entropy of the characters of the training text, in nats per
character, and the SHA-256 of the whole clean text, as in the result.json of `train_windows.py`.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from experiments.common import write_json
from experiments.train_windows import ERRORS, check, load_text, sha256
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
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check(config)
    write_json(folder / "text.json", count(load_text(config)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="such as runs/case-d-full")
    try:
        main(parser.parse_args().folder)
    except ERRORS as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
