"""Does the loss of case A spike without clipping? Short runs of every combination of settings.

    .venv/bin/python -m experiments.search_for_spikes runs/case-a-spike

In the folder's config.json, "settings" is a config as `train_windows.py` reads it, and "vary" gives
some of its settings several values. Every combination is a run with a folder of its own, which
holds its history.jsonl and result.json; when all are done, the folder's result.json lists them.
Start the same command again to go on: runs that are done stay as they are. The command's options
are those of `train_windows.py`.
"""

import argparse
import itertools
import json
from pathlib import Path

from experiments.common import write_json
from experiments.train_windows import (
    Run,
    RunCheckpoints,
    as_command,
    check,
    clear,
    describe,
    load_text,
    parse,
    sha256,
    train,
)
from lstmlib.history import History, TrainingDiverged
from lstmlib.serialization import atomic_write

SPIKE = 1.0
"""Nats by which a loss must rise above the lowest one before it to be called a spike."""


def combinations(config: dict) -> dict[str, dict]:
    """Return the runs of a config: folder name -> config of the run.

    Raises:
        ValueError: the config is not one of several runs.
    """
    if not {"settings", "vary"} <= set(config):
        raise ValueError('config.json lacks "settings" or "vary": is it one of train_windows.py?')
    names = list(config["vary"])
    runs = {}
    for values in itertools.product(*config["vary"].values()):
        varied = dict(zip(names, values, strict=True))
        words = [f"{name}-{str(value).lower()}" for name, value in varied.items()]
        runs["_".join(words)] = config["settings"] | varied
    return runs


def rise(losses: list[float]) -> float:
    """Return the most that a loss lies above the lowest one before it, in nats; 0 if none does."""
    lowest = itertools.accumulate(losses, min)
    return max((loss - low for loss, low in zip(losses, lowest, strict=True)), default=0.0)


def highest(rows: list[dict], name: str) -> float | None:
    """Return the highest value of a column, None if there is no row."""
    return max((row[name] for row in rows), default=None)


def summary(run: Run, diverged_at: int | None) -> dict:
    """Return a run's figures. Losses are means over log_every steps, where not of a single step.

    diverged_at is the step whose loss or gradient was not finite, where the run ended; else None.
    """
    losses = [row["loss"] for row in run.rows]
    later = [row for row in run.rows if row["epoch"] > 0]
    epochs = [row for row in run.rows if row["epoch_loss"] is not None]
    return {
        "config": run.config,
        "text_sha256": sha256(run.text),
        "epoch_losses": [row["epoch_loss"] for row in epochs],
        "valid_losses": [row["valid_loss"] for row in epochs],
        "highest_loss_after_first_epoch": highest(later, "loss"),
        "highest_loss_of_one_step_after_first_epoch": highest(later, "highest_loss"),
        "rise": rise(losses),
        "spiked": rise(losses) > SPIKE or diverged_at is not None,
        "largest_grad_norm": highest(run.rows, "grad_norm"),
        "diverged_at": diverged_at,
        "training_seconds": round(run.seconds, 1),
        "machine": describe(run.device),
        "precision": run.precision,
    }


def look(config: dict, text: str, device: str, folder: Path) -> dict:
    """Train one run to its end, or read it if it is done; return its summary.

    Raises:
        ValueError: what is done is a run of another config or another text.
    """
    result = folder / "result.json"
    if result.exists():
        done = json.loads(result.read_text(encoding="utf-8"))
        if (done["config"], done["text_sha256"]) != (config, sha256(text)):
            raise ValueError(
                f"{folder} holds a run with another text or another config; delete it to run anew."
            )
        return done
    run, diverged_at = Run(config, text, device), None
    checkpoints = RunCheckpoints(run, folder)
    with checkpoints.owned():
        try:
            train(run, folder, checkpoints)
        except TrainingDiverged as error:
            print(error)
            diverged_at = run.step + 1
        History(run.rows).save(folder / "history.jsonl")
        done = summary(run, diverged_at)
        write_json(result, done)
        clear(checkpoints)
    return done


def main(arguments: argparse.Namespace) -> None:
    """Train what is not done, and list all runs."""
    folder = arguments.folder
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    runs = combinations(config)
    for each in runs.values():
        check(each)  # before hours are spent on the first ones
    text = load_text(config["settings"], arguments.text)
    if arguments.write_text:
        atomic_write(arguments.write_text, text.encode())
        return
    results = {
        name: look(each, text, arguments.device, folder / name) for name, each in runs.items()
    }
    write_json(folder / "result.json", {"spike": SPIKE, "runs": results})
    for name, result in results.items():
        print(f"{name:<50} rise {result['rise']:6.2f}  spiked: {result['spiked']}")


if __name__ == "__main__":
    as_command(main, parse(__doc__.splitlines()[0]))
