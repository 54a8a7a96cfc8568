"""Compare settings of a leaderboard entry without a look at the text that it is measured on.

    .venv/bin/python -m experiments.tune_leaderboard base
    .venv/bin/python -m experiments.tune_leaderboard less --changes '{"dropout": 0.5}' --steps 4000
    .venv/bin/python -m experiments.tune_leaderboard --table

A trial trains on the first 95 % of the leaderboard's training text, and is measured on the other
5 %. The last 10 % of the whole text are never read. A setting that is chosen here has not been
fitted to them.

A trial is an entry with some changes. It takes as many steps as the entry, or fewer, with a
schedule that ends there, and writes runs/leaderboard/tune/KIND-NAME-SEED.json: the loss of the last
weights, and of the means of the weights over the last tenth, fifth and so on of the steps, all from
one run. A trial that is there is not made again. One that was stopped starts anew.

"--table" prints what the trials found, lowest first. Compare trials of the same number of steps.
"""

import argparse
import json

import numpy as np
import torch

from experiments import leaderboard
from experiments.common import describe, errors_in_one_line, read_json, write_json
from experiments.recipes import TailAverage
from lstmlib.batching import split
from lstmlib.history import History
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

HELD_OUT = 0.05
"""The share of the training text on whose end trials are measured."""
TAILS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of the steps over whose weights means are taken."""


def tuning_texts(text: str) -> tuple[Vocab, np.ndarray, np.ndarray]:
    """Return the vocabulary of a text, and the ids to train on and to tune on.

    Both are parts of the leaderboard's training text.
    """
    vocab = Vocab.from_text(text)
    train_ids, _ = split(vocab.encode(text))
    return vocab, *split(train_ids, HELD_OUT)


def trial(name: str, of: str, changes: dict, seed: int, steps: int, text: str) -> dict:
    """Train an entry with some changes, and return what is written of it.

    Args:
        name: of the trial.
        of: name of the entry.
        changes: settings of an entry.
        seed: of the first weights and of all that is drawn in training.
        steps: how many to take.
        text: tiny Shakespeare.

    Raises:
        SystemExit: it was interrupted.
    """
    vocab, train_ids, tune_ids = tuning_texts(text)
    settings = leaderboard.read_entries()[of] | changes
    torch.manual_seed(seed)
    model, config = leaderboard.prepare(settings, len(vocab), steps)
    tails = {share: TailAverage(model, share, steps) for share in TAILS}

    def take_in(history: History) -> None:
        for tail in tails.values():
            tail.update(len(history))

    history = fit(model, train_ids, None, config, take_in)
    if history.ended == "interrupted":
        raise SystemExit("Stopped; a trial starts anew.")
    return {
        "name": name,
        "of": of,
        "changes": changes,
        "seed": seed,
        "steps": len(history),
        "tuning_loss": evaluate(model, tune_ids),
        "of_tails": {str(share): evaluate(tail.module, tune_ids) for share, tail in tails.items()},
        "training_loss": leaderboard.mean_loss(history.rows[-200:]),
        "settings": settings,
        "threads": torch.get_num_threads(),
        "device": describe(torch.device(leaderboard.DEVICE)),
        "pytorch": torch.__version__,
    }


def table() -> str:
    """Return a line for each trial of this kind of device: steps, losses, name and changes."""
    paths = (leaderboard.FOLDER / "tune").glob(f"{leaderboard.KIND}-*.json")
    trials = sorted(map(read_json, paths), key=lowest)
    lines = [f"{'steps':>6} {'last':>7} {'lowest mean of a tail':<22} name, seed, entry, changes"]
    for each in trials:
        share, loss = min(each["of_tails"].items(), key=lambda tail: tail[1])
        line = f"{each['steps']:>6} {each['tuning_loss']:>7.4f} {loss:.4f} of the last {share:<4} "
        lines.append(
            f"{line} {each['name']}, {each['seed']}, {each['of']}, {json.dumps(each['changes'])}"
        )
    return "\n".join(lines)


def lowest(result: dict) -> float:
    """Return the lowest loss of a trial."""
    return min(result["tuning_loss"], *result["of_tails"].values())


def main() -> None:
    """Make a trial, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="of the trial")
    parser.add_argument("--table", action="store_true", help="print what the trials found")
    parser.add_argument("--of", default="recipe", help="the entry that it changes")
    parser.add_argument("--changes", type=json.loads, default={}, help="settings, as JSON")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="default: those of the entry in steps.json")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--text", help="the file of tiny Shakespeare; else found or downloaded")
    asked = parser.parse_args()
    if asked.table:
        print(table())
        return
    if asked.name is None:
        parser.error("say the name of the trial, or --table")
    path = leaderboard.FOLDER / "tune" / f"{leaderboard.KIND}-{asked.name}-{asked.seed}.json"
    if path.exists():
        raise SystemExit(f"{path} is there; remove it, or take another name.")
    steps = asked.steps
    if steps is None:
        speeds = read_json(leaderboard.FOLDER / leaderboard.KIND / "steps.json")
        steps = speeds["entries"][asked.of]["steps"]
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    result = trial(
        asked.name, asked.of, asked.changes, asked.seed, steps, leaderboard.read_text(asked.text)
    )
    write_json(path, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
