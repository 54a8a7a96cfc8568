"""Train a network on a text as chapter 00 does, and keep it.

    .venv/bin/python -m experiments.train_text runs/help-pages

In the folder's config.json, "clean" holds arguments of `clean`, "model" those of `CharRNN` and
"training" those of `TrainingConfig`. The run leaves history.jsonl (every 20th step), samples.txt,
model.safetensors (16 bits a weight) and result.json. While it trains, step-….safetensors holds
everything; start the same command again to go on from there.
"""

import argparse
import hashlib
import json
import platform
from pathlib import Path

import torch

from experiments.common import describe, write_json
from lstmlib.batching import split
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.cleaning import clean
from lstmlib.corpora import CorpusError, load_corpus
from lstmlib.metrics import NGramModel
from lstmlib.models import CharRNN, count_parameters, load_model, save_model, write_whole
from lstmlib.sampling import generate
from lstmlib.speed import keep_freed_memory
from lstmlib.training import History, TrainingConfig, TrainingDiverged, evaluate, fit
from lstmlib.vocab import Vocab

NAMES = {"what", "corpus", "clean", "model", "training", "seed", "prompt"}
TEMPERATURES = (0.2, 0.5, 1.0)
WRITTEN = 1000
"""Characters of each sample."""
RECORD_EVERY = 20
"""Steps from one row of the history that is kept to the next."""


def read_config(folder: Path) -> dict:
    """Return what config.json holds; raises ValueError if a part is missing, or one too many."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for word, names in {"lacks": NAMES - set(config), "has": set(config) - NAMES}.items():
        if names:
            raise ValueError(f"config.json {word} {', '.join(sorted(names))}.")
    return config


def main(folder: Path) -> None:
    """Train what a folder's config says, to its end, and write what is kept of it.

    Raises:
        ValueError: a config without meaning, or not that of the run that was begun.
        SystemExit: it was interrupted.
    """
    config, begun = read_config(folder), folder / "step-config.json"
    if (folder / "result.json").exists():
        raise ValueError(f"{folder} holds a run already; delete its result.json to run anew.")
    text, _ = clean(load_corpus(config["corpus"]).text, **config["clean"])
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text))
    if begun.exists() and json.loads(begun.read_text(encoding="utf-8")) != config:
        raise ValueError(f"{folder} holds a run of other settings, begun; delete its step-* files.")
    torch.manual_seed(config["seed"])
    model, checkpoints = CharRNN(len(vocab), **config["model"]), Checkpoints(folder, vocab, keep=1)
    training = TrainingConfig(**config["training"])
    # A prompt or a seed that cannot be written from is refused now, not after the training.
    generate(model, vocab, config["prompt"], 0, seed=config["seed"])
    write_json(begun, config)
    history = fit(model, train_ids, valid_ids, training, checkpoints=checkpoints)
    if history.ended == "interrupted":
        raise SystemExit(f"{folder} goes on from step {len(history)} when started again.")
    path = folder / "model.safetensors"
    save_model(path, model.half(), vocab)
    kept, _ = load_model(path)
    kept.float()
    write_history(folder, history)
    write_samples(folder, kept, vocab, config)
    result = {
        "valid_loss": evaluate(kept, valid_ids),
        "five_gram_loss": NGramModel(train_ids, 5, len(vocab)).nats_per_char(valid_ids),
        "parameters": count_parameters(kept),
        "bytes": path.stat().st_size,
        "training_seconds": round(history.rows[-1]["seconds"], 1),
        "text_characters": len(text),
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "machine": describe(torch.device("cpu")),
        "precision": history.precision,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_json(folder / "result.json", result)
    for left in [*checkpoints.paths, checkpoints.best_path, begun]:
        left.unlink(missing_ok=True)
    print(json.dumps(result, indent=1))


def write_history(folder: Path, history: History) -> None:
    """Write every 20th row, and those with a validation."""
    names = ("step", "loss", "valid_loss", "grad_norm", "clipped_norm", "learning_rate", "seconds")
    rows = [
        {name: row[name] for name in names}
        for row in history.rows
        if row["step"] % RECORD_EVERY == 0 or row["valid_loss"] is not None
    ]
    History(rows).save(folder / "history.jsonl")


def write_samples(folder: Path, model: CharRNN, vocab: Vocab, config: dict) -> None:
    """Write what the network writes at each temperature."""
    samples = generate(model, vocab, config["prompt"], WRITTEN, TEMPERATURES, config["seed"])
    parts = [f"--- temperature {t}\n{s}\n" for t, s in zip(TEMPERATURES, samples, strict=True)]
    write_whole(folder / "samples.txt", "\n".join(parts).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="such as runs/help-pages")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    try:
        main(arguments.folder)
    except (
        OSError,
        ValueError,
        TypeError,
        CorpusError,
        CheckpointError,
        TrainingDiverged,
    ) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
