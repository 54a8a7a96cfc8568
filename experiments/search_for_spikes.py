"""Does the loss of case A spike without clipping? Short runs of every combination of settings.

    .venv/bin/python -m experiments.search_for_spikes runs/case-a-spike

In the folder's config.json, "settings" is a config as `train_windows.py` reads it, and "vary" gives
some of its settings several values. Every combination is a run with a folder of its own, which
holds its history.jsonl and result.json; when all are done, the folder's result.json lists them.
Start the same command again to go on: runs that are done stay as they are. The command's options
are those of `train_windows.py`.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from experiments import train_windows
from experiments.common import (
    as_config,
    describe,
    make_settings,
    read_done,
    read_settings,
    remove_unfinished,
    run_program,
    sha256,
    write_json,
)
from experiments.train_windows import OPTIONS, Run, RunCheckpoints, load_text, train
from lstmlib.history import History, TrainingDiverged
from lstmlib.serialization import atomic_write

SPIKE = 1.0
"""Nats by which a loss must rise above the lowest one before it to be called a spike."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        settings: those of `experiments.train_windows` that all runs have in common.
        vary: settings of `experiments.train_windows`, each with a list of values.
    """

    settings: dict
    vary: dict

    def __post_init__(self) -> None:
        lists = self.vary.values()
        if not (lists and all(isinstance(values, list) and values for values in lists)):
            raise ValueError('"vary" needs settings, each with a list of values.')
        if {"corpus", "lower_case"} & set(self.vary):
            raise ValueError('"vary" has what the text depends on, which all runs have in common.')
        self.runs()  # a setting without meaning is found before hours are spent on the others

    def runs(self) -> dict[str, train_windows.Settings]:
        """Return all combinations: name of the run's folder -> its settings."""
        runs = {}
        for values in itertools.product(*self.vary.values()):
            varied = dict(zip(self.vary, values, strict=True))
            words = [f"{name}-{str(value).lower()}" for name, value in varied.items()]
            together = self.settings | varied
            runs["_".join(words)] = make_settings(train_windows.Settings, together, '"settings"')
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
        "config": as_config(run.settings),
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


def look(settings: train_windows.Settings, text: str, device: str, folder: Path) -> dict:
    """Train one run to its end, or read it if it is done; return its summary.

    Raises:
        ValueError: what is done is a run of other settings or another text.
        SystemExit: it was interrupted.
    """
    identity = {"config": as_config(settings), "text_sha256": sha256(text)}
    done = read_done(folder, identity)
    if done is not None:
        return done
    run, diverged_at = Run(settings, text, device), None
    checkpoints = RunCheckpoints(run, folder)
    with checkpoints.owned():
        try:
            train(run, folder, checkpoints)
        except TrainingDiverged as error:
            print(error)
            diverged_at = run.step + 1
        History(run.rows).save(folder / "history.jsonl")
        done = summary(run, diverged_at)
        write_json(folder / "result.json", done)
        remove_unfinished(folder)
    return done


def main(
    folder: Path, text: Path | None = None, write_text: Path | None = None, device: str = "cpu"
) -> None:
    """Train what is not done, and list all runs; the options are those of `train_windows`."""
    runs = read_settings(folder, Settings).runs()
    book = load_text(next(iter(runs.values())), text)
    if write_text:
        atomic_write(write_text, book.encode())
        return
    results = {name: look(each, book, device, folder / name) for name, each in runs.items()}
    write_json(folder / "result.json", {"spike": SPIKE, "runs": results})
    for name, result in results.items():
        print(f"{name:<50} rise {result['rise']:6.2f}  spiked: {result['spiked']}")


if __name__ == "__main__":
    run_program(main, __doc__, "runs/case-a-spike", options=OPTIONS)
