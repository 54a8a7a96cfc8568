"""Train a network in several ways, watched: diagnostics of its steps, and what it writes meanwhile.

    .venv/bin/python -m experiments.record_diagnostics runs/case-d-cpu

In the folder's config.json, "model" holds arguments of `CharRNN`, "training" those of
`TrainingConfig`, and "arms" what each arm changes in them, or its own "seed". An arm is a folder
with history.jsonl (every step; diagnostics every "record_every" steps), samples.json (step -> text,
every "sample_every" steps) and result.json. While it runs, step-….safetensors holds everything;
start the same command again to go on from there.
"""

import argparse
import json
from pathlib import Path

import torch

from experiments.common import describe, rounded, write_json
from experiments.sweep import load_ids
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.diagnostics import Diagnostics
from lstmlib.models import CharRNN, count_parameters
from lstmlib.sampling import generate
from lstmlib.training import History, TrainingConfig, TrainingDiverged, fit

NAMES = {"what", "published", "corpus", "characters", "ascii_only", "model", "training", "seed"}
NAMES |= {"arms", "record_every", "sample_every", "prompt", "temperature"}
WRITTEN = 300
"""Characters of each sample."""
DIGITS = 4
"""Of the numbers that are written."""
CHECKPOINT_EVERY = 500
"""Steps between checkpoints."""


def check(config: dict) -> None:
    """Raise ValueError for a config with a part too few or too many, or without meaning."""
    for word, names in {"lacks": NAMES - set(config), "has": set(config) - NAMES}.items():
        if names:
            raise ValueError(f"config.json {word} {', '.join(sorted(names))}.")
    if not (isinstance(config["arms"], dict) and config["arms"]):
        raise ValueError('"arms" needs a name for each arm, with the settings that it changes.')
    for name in ("record_every", "sample_every"):
        if type(config[name]) is not int or config[name] < 1:
            raise ValueError(f"{name} is {config[name]!r}; it must be a whole number, 1 or more.")
    if not config["prompt"]:
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    CharRNN(2, **config["model"])
    for changes in config["arms"].values():
        settings = settings_of(config, changes)
        if type(settings["seed"]) is not int or settings["seed"] < 0:
            raise ValueError(f"seed is {settings['seed']!r}; it must be a whole number, 0 or more.")
        TrainingConfig(**settings["training"])


def settings_of(config: dict, changes: dict) -> dict:
    """Return all that an arm is trained with."""
    common = {name: config[name] for name in NAMES - {"what", "published", "arms"}}
    training = config["training"] | changes
    seed = training.pop("seed", config["seed"])
    return common | {"seed": seed, "training": training}


class Watcher:
    """What is kept of an arm beside its history: its samples, in a file that grows.

    Args:
        model: the network that `fit` trains.
        config: what config.json holds.
        vocab: the vocabulary of the texts.
        path: where the samples are, and are added to.
    """

    def __init__(self, model: CharRNN, config: dict, vocab: object, path: Path) -> None:
        self.model, self.config, self.vocab, self.path = model, config, vocab, path
        self.samples = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def __call__(self, history: History) -> None:
        """Write a sample if it is time to, and drop the diagnostics that are not kept."""
        step, row = len(history), history.rows[-1]
        if step % self.config["record_every"]:
            row["diagnostics"] = None
        else:
            row["diagnostics"] = rounded(row["diagnostics"], DIGITS)
        if step % self.config["sample_every"] == 0:
            sample = generate(
                self.model,
                self.vocab,
                self.config["prompt"],
                WRITTEN,
                self.config["temperature"],
                seed=self.config["seed"],
            )
            self.samples[str(step)] = sample.text
            write_json(self.path, self.samples)


def train(config: dict, changes: dict, texts: tuple, folder: Path) -> dict:
    """Train one arm to its end, or read it if it is done; return its figures.

    Raises:
        ValueError: what is done is an arm of other settings.
    """
    settings = settings_of(config, changes)
    if (folder / "result.json").exists():
        done = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if any(done[name] != value for name, value in settings.items()):
            raise ValueError(f"{folder} holds an arm of other settings; delete it to run anew.")
        remove_checkpoints(folder)  # a kill may have come before this was done
        return done
    vocab, train_ids, valid_ids = texts
    torch.manual_seed(settings["seed"])
    model = CharRNN(len(vocab), **config["model"])
    watcher = Watcher(model, config, vocab, folder / "samples.json")
    checkpoints, diverged = Checkpoints(folder, vocab, CHECKPOINT_EVERY, keep=1), False
    training = TrainingConfig(**settings["training"])
    try:
        history = fit(
            model, train_ids, valid_ids, training, watcher, checkpoints, diagnostics=Diagnostics()
        )
    except TrainingDiverged as error:
        history, diverged = error.history, True
    if history.ended == "interrupted":
        raise SystemExit(f"{folder} goes on from step {len(history)} when started again.")
    History(compact(history.rows)).save(folder / "history.jsonl")
    _, valid_losses = history.column("valid_loss")
    done = settings | {
        "valid_losses": valid_losses.tolist(),
        "largest_norm": max(history.column("grad_norm")[1], default=None),
        "clipped_share": history.clipped_share,
        "diverged": diverged,
        "parameters": count_parameters(model),
        "training_seconds": round(history.rows[-1]["seconds"], 1),
        "machine": describe(torch.device("cpu")),
        "precision": history.precision,
    }
    write_json(folder / "result.json", done)
    remove_checkpoints(folder)
    return done


def remove_checkpoints(folder: Path) -> None:
    """Remove an arm's networks: what counts here is what happens, not the best one."""
    for path in folder.glob("*.safetensors"):
        path.unlink()


def compact(rows: list[dict]) -> list[dict]:
    """Leave out of a history what can be computed, and round what is left."""
    kept = ("step", "loss", "grad_norm", "clipped_norm", "learning_rate", "valid_loss", "skipped")
    short = [rounded({name: row[name] for name in kept}, DIGITS) for row in rows]
    for row, whole in zip(short, rows, strict=True):
        if whole["diagnostics"]:
            row["diagnostics"] = whole["diagnostics"]
    return short


def main(folder: Path) -> None:
    """Train all arms of a folder's config, and list them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check(config)
    texts, arms = load_ids(config), {}
    texts[0].encode(config["prompt"])  # a prompt that cannot be written on from is refused now
    for name, changes in config["arms"].items():
        arms[name] = train(config, changes, texts, folder / name)
        print(f"{name:<24} validation losses at the end {arms[name]['valid_losses'][-3:]}")
    write_json(folder / "result.json", {"runs": arms})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="such as runs/case-d-cpu")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # a network that died has gradients so small that they are slow
    try:
        main(arguments.folder)
    except (OSError, ValueError, TypeError, CheckpointError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
