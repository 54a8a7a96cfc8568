"""Train a network on a text as chapter 00 does, and keep it.

    .venv/bin/python -m experiments.train_text runs/help-pages

In the folder's config.json, "clean" holds arguments of `clean`, "model" those of `CharRNN` and
"training" those of `TrainingConfig`. The program writes history.jsonl (every 20th step),
samples.txt, model.safetensors (16 bits a weight) and result.json into the folder.

While it trains, step-….safetensors holds the whole run. After a break the same command goes on
from there.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.common import (
    check_model,
    check_whole,
    corpus_text,
    describe,
    note_settings,
    read_settings,
    remove_unfinished,
    run_program,
    sha256,
    stop_if_interrupted,
    versions,
    write_json,
    write_texts,
)
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.cleaning import clean
from lstmlib.generation import generate
from lstmlib.history import History
from lstmlib.models import CharRNN, count_parameters
from lstmlib.ngram import NGramModel
from lstmlib.serialization import load_model, save_model
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

TEMPERATURES = (0.2, 0.5, 1.0)
WRITTEN = 1000
"""Characters of each sample."""
RECORD_EVERY = 20
"""Steps from one row of the history that is kept to the next."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        clean: arguments of `lstmlib.cleaning.clean`.
        model: arguments of CharRNN beside the size of the vocabulary.
        training: see TrainingConfig.
        seed: of the weights, of what training draws, and of the samples.
        prompt: what the samples go on from.
    """

    corpus: str
    clean: dict
    model: dict
    training: TrainingConfig
    seed: int
    prompt: str

    def __post_init__(self) -> None:
        check_whole(self, "seed", least=0)
        check_model(self.model)


def main(folder: Path) -> None:
    """Train what a folder's config says, to its end, and write what is kept of it.

    Raises:
        ValueError: a config without meaning, or not that of the run that was begun.
        SystemExit: it was interrupted.
    """
    settings = read_settings(folder, Settings)
    text, vocab, model = begin(folder, settings)
    train_ids, valid_ids = split(vocab.encode(text))
    checkpoints = Checkpoints(folder, vocab, keep=1)
    # A prompt that cannot be written on from is refused now, not after the training.
    generate(model, vocab, settings.prompt, 0, seed=settings.seed)
    note_settings(checkpoints, asdict(settings))
    history = fit(model, train_ids, valid_ids, settings.training, checkpoints=checkpoints)
    stop_if_interrupted(history, folder)
    path = folder / "model.safetensors"
    save_model(path, model.half(), vocab)
    kept, _ = load_model(path)
    kept.float()
    write_history(folder, history)
    write_samples(folder, kept, vocab, settings)
    result = {
        "valid_loss": evaluate(kept, valid_ids),
        "five_gram_loss": NGramModel(train_ids, 5, len(vocab)).nats_per_char(valid_ids),
        "parameters": count_parameters(kept),
        "bytes": path.stat().st_size,
        "training_seconds": round(history.rows[-1]["seconds"], 1),
    } | made_of(text, history)
    write_json(folder / "result.json", result)
    remove_unfinished(folder)
    print(json.dumps(result, indent=2))


def begin(folder: Path, settings: object) -> tuple[str, Vocab, CharRNN]:
    """Return the clean text of a run that is not done, its vocabulary, and the new network.

    Args:
        folder: of the run.
        settings: with corpus, clean, model and seed, as `Settings` has them.

    Raises:
        ValueError: the run is done, or its text cannot be read.
    """
    if (folder / "result.json").exists():
        raise ValueError(f"{folder} holds a run already; delete its result.json to run anew.")
    text, _ = clean(corpus_text(settings.corpus), **settings.clean)
    vocab = Vocab.from_text(text)
    torch.manual_seed(settings.seed)
    return text, vocab, CharRNN(len(vocab), **settings.model)


def made_of(text: str, history: History) -> dict:
    """Return what a result says of the text, of the machine, and of how it computed."""
    return {
        "text_characters": len(text),
        "text_sha256": sha256(text),
        "machine": describe(torch.device("cpu")),
        "precision": history.precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def write_history(folder: Path, history: History) -> None:
    """Write every 20th row, and those with a validation."""
    names = ("step", "loss", "valid_loss", "grad_norm", "clipped_norm", "learning_rate", "seconds")
    rows = [
        {name: row[name] for name in names}
        for row in history.rows
        if row["step"] % RECORD_EVERY == 0 or row["valid_loss"] is not None
    ]
    History(rows).save(folder / "history.jsonl")


def write_samples(folder: Path, model: CharRNN, vocab: Vocab, settings: Settings) -> None:
    """Write what the network writes at each temperature."""
    samples = generate(model, vocab, settings.prompt, WRITTEN, TEMPERATURES, settings.seed)
    titled = [(f"temperature {t}", str(s)) for t, s in zip(TEMPERATURES, samples, strict=True)]
    write_texts(folder / "samples.txt", titled)


if __name__ == "__main__":
    keep_freed_memory()
    run_program(main, __doc__, "runs/help-pages")
