"""The leaderboard's second class: what a network comes to that learns from the text it predicts.

    .venv/bin/python -m experiments.leaderboard_dynamic tune
    .venv/bin/python -m experiments.leaderboard_dynamic train --seeds 1 2 3
    .venv/bin/python -m experiments.leaderboard_dynamic readme

The rules are those of the leaderboard (experiments/leaderboard.py) but for two. A network may learn
from each character of the last 10 % once it has predicted it: dynamic evaluation, see
experiments/dynamic_evaluation.py. And the time, 5 minutes on two CPU cores or 3 on a GPU, holds all
of it: the training, the mean squares of the gradients, and the pass through the last 10 %. The two
classes are never compared: in the first, a network knows nothing of the text it is measured on.

"tune" trains one of the leaderboard's entries, see ENTRIES, on the first 95 % of the training text,
and reads the other 5 % with one way to go on learning after another. It changes one number at a
time, and keeps what is lower. The last 10 % are never read. It writes tune-KIND.json.

"train" measures how fast this machine is, plans as many steps of that entry as the time then has
room for, trains, reads the last 10 % with the way that the tuning found lowest, and writes
KIND-SEED.json. Nothing else may run beside it. A result that is there is not made again.

"readme" writes the table of this class in the README anew.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from experiments import leaderboard
from experiments.common import describe, errors_in_one_line, read_json, write_json
from experiments.dynamic_evaluation import DynamicEvaluation, dynamic_loss, mean_squares
from experiments.tune_leaderboard import tuning_texts
from lstmlib.batching import split
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

FOLDER = leaderboard.FOLDER / "dynamic"
ENTRIES = {"cpu": "second", "gpu": "recipe"}
"""Kind of device -> the leaderboard's entry that is trained there."""
MARK = "<!-- written by experiments/leaderboard_dynamic.py readme -->\n"
BEGIN = DynamicEvaluation(rate=3e-5, decay=1e-3, floor=3e-5)
"""Where the tuning begins."""
STEPS = {"rate": 1.5, "decay": 2.0, "floor": 3.0}
"""By what the tuning multiplies and divides each number."""
PIECES = 200
"""Pieces by which the speed of the pass is measured."""


def tune(text: str, steps: int, seed: int, limit: float) -> dict:
    """Train the entry on 95 % of the training text, try ways to go on learning, and return them.

    Args:
        text: tiny Shakespeare.
        steps: of the training.
        seed: of the first weights and of all that is drawn in training.
        limit: seconds after which no other way is tried.
    """
    vocab, train_ids, tune_ids = tuning_texts(text)
    torch.manual_seed(seed)
    model, history = trained(vocab, train_ids, settings_of_entry(), steps)
    squares, tried, begun = mean_squares(model, train_ids), {}, time.perf_counter()

    def loss(settings: DynamicEvaluation) -> float:
        if settings not in tried:
            tried[settings] = dynamic_loss(model, tune_ids, squares, settings)
            print(f"{tried[settings]:.4f} {settings}", flush=True)
        return tried[settings]

    best = BEGIN
    loss(best)  # however little time there is
    for name, factor in STEPS.items():
        for by in (factor, 1 / factor):
            other = changed(best, name, by)
            while time.perf_counter() - begun < limit and loss(other) < loss(best):
                best, other = other, changed(other, name, by)
    return {
        "entry": ENTRIES[leaderboard.KIND],
        "seed": seed,
        "steps": len(history),
        "static_loss": evaluate(model, tune_ids),
        "tried": [asdict(each) | {"loss": loss} for each, loss in tried.items()],
        **about(),
    }


def changed(settings: DynamicEvaluation, name: str, by: float) -> DynamicEvaluation:
    """Return settings of which one is multiplied, to two digits."""
    return replace(settings, **{name: float(f"{getattr(settings, name) * by:.2g}")})


def chosen(folder: Path) -> DynamicEvaluation:
    """Return the way of learning that the tuning on this kind of device found lowest.

    Raises:
        SystemExit: there was no tuning.
    """
    path = folder / f"tune-{leaderboard.KIND}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing: tune first.")
    tried = read_json(path)["tried"]
    lowest = min(tried, key=lambda each: each["loss"])
    return DynamicEvaluation(**{name: value for name, value in lowest.items() if name != "loss"})


def trained(
    vocab: Vocab, train_ids: np.ndarray, settings: dict, steps: int, limit: float | None = None
) -> tuple[CharRNN, History]:
    """Return a network of an entry's settings, trained for some steps, and the history."""
    model, config = leaderboard.prepare(settings, len(vocab), steps)
    average, on_step = leaderboard.averaging(model, settings, steps)
    watch = leaderboard.Watch(on_step, limit=limit)
    history = fit(model, train_ids, None, config, watch)
    if history.ended == "interrupted":
        raise SystemExit("Stopped; it starts anew.")
    return average.module if average else model, history


def plan(text: str, settings: DynamicEvaluation) -> dict:
    """Measure this machine; return the steps that the time allows, and what was measured.

    Args:
        text: tiny Shakespeare.
        settings: the way of learning in the pass through its last 10 %.
    """
    vocab, entry = Vocab.from_text(text), ENTRIES[leaderboard.KIND]
    speed = leaderboard.measure_speed(text, [entry])[entry]
    train_ids, valid_ids = split(vocab.encode(text))
    model, _ = leaderboard.prepare(settings_of_entry(), len(vocab), 1)
    begun = leaderboard.now()
    squares = mean_squares(model, train_ids)
    for_squares = leaderboard.now() - begun
    begun = leaderboard.now()
    dynamic_loss(model, train_ids[: PIECES * settings.seq_len + 1], squares, settings)
    piece = (leaderboard.now() - begun) / PIECES
    seconds = leaderboard.SECONDS * (1 - leaderboard.SPARE)
    seconds -= for_squares + len(valid_ids) / settings.seq_len * piece
    # Where the machine turns slower, the clock ends the training before its last step.
    limit = leaderboard.SECONDS * (1 - leaderboard.SPARE / 2)
    limit -= 1.2 * (for_squares + len(valid_ids) / settings.seq_len * piece)
    return {
        "seconds_per_step": speed["seconds_per_step"],
        "precision": speed["precision"],
        "seconds_of_squares": round(for_squares, 3),
        "seconds_per_piece": round(piece, 6),
        "steps": max(int(seconds / speed["seconds_per_step"]), 1),
        "seconds_of_training": round(limit, 3),
    }


def train(seed: int, text: str, settings: DynamicEvaluation) -> dict:
    """Train the entry from a seed, read the last 10 %, and return what is written of it.

    Args:
        seed: of the first weights and of all that is drawn in training.
        text: tiny Shakespeare.
        settings: the way of learning in the pass through the last 10 %.

    Raises:
        SystemExit: it took longer than the rules allow, so it is no result; or was interrupted.
    """
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text))
    entry, planned = settings_of_entry(), plan(text, settings)
    steps, limit = planned["steps"], planned["seconds_of_training"]
    torch.manual_seed(seed)
    begun = leaderboard.now()
    faster = entry | {"precision": planned["precision"]}
    model, history = trained(vocab, train_ids, faster, steps, limit)
    for_training = leaderboard.now() - begun
    squares = mean_squares(model, train_ids)
    loss = dynamic_loss(model, valid_ids, squares, settings)
    seconds = leaderboard.now() - begun
    if seconds > leaderboard.SECONDS:
        raise SystemExit(f"It took {seconds:.0f} s of {leaderboard.SECONDS}: no result.")
    return {
        "entry": ENTRIES[leaderboard.KIND],
        "seed": seed,
        "dynamic_loss": loss,
        "static_loss": evaluate(model, valid_ids),
        "way": asdict(settings),
        "steps": len(history),
        "ended": history.ended,
        "plan": planned,
        "seconds": round(seconds, 1),
        "seconds_of_training": round(for_training, 1),
        "characters": history.rows[-1]["characters"],
        "settings": entry,
        **about(),
    }


def readme_table() -> str:
    """Return the README's table: what the same networks come to with learning, and without."""
    lines = [
        "| device and time | nats per character, learning as it reads | the same, not learning |",
        "|---|---|---|",
    ]
    for kind, time_of in {"cpu": "5 minutes", "gpu": "3 minutes"}.items():
        results = [read_json(path) for path in sorted(FOLDER.glob(f"{kind}-*.json"))]
        if results:
            where = " and ".join(sorted({result["device"] for result in results}))
            where = "2 CPU cores" if kind == "cpu" else where
            learning, still = (
                ", ".join(f"{result[name]:.4f}" for result in results)
                for name in ("dynamic_loss", "static_loss")
            )
            lines.append(f"| {where}, {time_of} | {learning} | {still} |")
    return "\n".join(lines) + "\n"


def about() -> dict:
    """Return what a result says of the machine."""
    return {
        "threads": torch.get_num_threads(),
        "device": describe(torch.device(leaderboard.DEVICE)),
        "pytorch": torch.__version__,
    }


def main() -> None:
    """Tune, or train from some seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="the file of tiny Shakespeare; else found or downloaded")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder for results")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("readme", help="write the README's table anew")
    tuning = commands.add_parser("tune", help="compare ways to go on learning")
    tuning.add_argument("--seed", type=int, default=1)
    tuning.add_argument("--steps", type=int, help="default: half of those in steps.json")
    tuning.add_argument("--limit", type=float, default=600, help="seconds for trying")
    training = commands.add_parser("train", help="train from seeds that have no result yet")
    training.add_argument("--seeds", type=int, nargs="+", default=[1])
    asked = parser.parse_args()
    if asked.command == "readme":
        leaderboard.write_readme(MARK, readme_table)
        return
    keep_freed_memory()
    text = leaderboard.read_text(asked.text)
    if asked.command == "tune":
        steps = asked.steps or planned_steps() // 2
        result = tune(text, steps, asked.seed, asked.limit)
        write_json(asked.out / f"tune-{leaderboard.KIND}.json", result)
        return
    for seed in asked.seeds:
        path = asked.out / f"{leaderboard.KIND}-{seed}.json"
        if not path.exists():
            result = train(seed, text, chosen(asked.out))
            write_json(path, result)
            print(json.dumps(result, indent=2))


def settings_of_entry() -> dict:
    """Return all settings of the entry."""
    return leaderboard.read_entries()[ENTRIES[leaderboard.KIND]]


def planned_steps() -> int:
    """Return how many steps the leaderboard plans for the entry."""
    speeds = read_json(leaderboard.FOLDER / leaderboard.KIND / "steps.json")
    return speeds["entries"][ENTRIES[leaderboard.KIND]]["steps"]


if __name__ == "__main__":
    with errors_in_one_line():
        main()
