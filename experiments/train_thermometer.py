"""Train networks on many texts after one recipe, for the thermometer: which loss do they reach?

    .venv/bin/python -m experiments.train_thermometer runs/thermometer --texts FOLDER

The recipe is `lstmlib.thermometer.recipe`. In the folder's config.json, "sources" and "texts" are
as `experiments.thermometer_texts` reads them. What is done stands in result.json. Started again,
the program goes on with what is missing, in the order of config.json; the run that was cut off goes
on from its checkpoint. A text that is not there is named, and left out.

A network is judged by its best validation loss: of so small a text that it is learnt by heart, the
loss falls and rises again, and `fit` keeps the weights of its lowest point.
"""

from dataclasses import asdict
from pathlib import Path

import torch

from experiments.common import (
    describe,
    note_settings,
    read_json,
    read_settings,
    remove_unfinished,
    rounded,
    run_program,
    sha256,
    stop_if_interrupted,
    versions,
    write_json,
)
from experiments.thermometer_texts import OPTIONS, Settings
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.models import CharRNN, count_parameters
from lstmlib.thermometer import recipe
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import fit
from lstmlib.vocab import Vocab


def train(folder: Path, text: str, budget: int, seed: int, device: torch.device) -> dict:
    """Train on a text after the recipe; return what came of it.

    Raises:
        SystemExit: it was interrupted.
    """
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text))
    arguments, training = recipe(len(text), len(vocab), budget)
    torch.manual_seed(seed)
    model = CharRNN(len(vocab), **arguments).to(device)
    checkpoints = Checkpoints(folder, vocab, every=1000, keep=1)
    note_settings(checkpoints, {"model": arguments, "training": asdict(training)})
    history = fit(model, train_ids, valid_ids, training, checkpoints=checkpoints, progress=False)
    stop_if_interrupted(history, folder)
    remove_unfinished(folder)
    judged = [row for row in history.rows if row["valid_loss"] is not None]
    best = min(judged, key=lambda row: row["valid_loss"])
    return {
        "characters": training.steps * training.batch_size * training.seq_len,
        "valid_loss": best["valid_loss"],
        "best_at": best["characters"],
        "last_loss": judged[-1]["valid_loss"],
        "hidden_size": arguments["hidden_size"],
        "dropout": arguments["dropout"],
        "parameters": count_parameters(model),
        "precision": history.precision,
        "training_seconds": history.rows[-1]["seconds"],
        "device": describe(device),
        "versions": versions(),
    }


def main(folder: Path, texts: Path) -> None:
    """Train all runs that are not done and whose text is there."""
    settings = read_settings(folder, Settings)
    path = folder / "result.json"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    result = read_json(path) if path.exists() else {"texts": {}, "runs": {}}
    wanted = [(name, c) for name, piece in settings.pieces.items() for c in piece.budgets]
    for name, budget in wanted:
        run = f"{name} {budget}"
        if run in result["runs"]:
            continue
        try:
            text = settings.text_of(name, texts)
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        about = {"sha256": sha256(text), "characters": len(text), "alphabet": len(set(text))}
        if result["texts"].setdefault(name, about) != about:
            print(f"{name} is another text than the one that was trained on; it is left out.")
            continue
        result["runs"][run] = rounded(train(folder, text, budget, settings.seed, device), 5)
        write_json(path, result)
        print(run, result["runs"][run]["valid_loss"], flush=True)


if __name__ == "__main__":
    keep_freed_memory()
    run_program(main, __doc__, "runs/thermometer", 1, OPTIONS)
