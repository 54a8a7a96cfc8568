"""What does one gate buy? Train LSTMs that lack one part each, all of the same size.

    .venv/bin/python -m experiments.gate_ablations runs/gate-ablations --threads 1

"cells" in the folder's config.json are names of `ablated_cells.CELLS`. Each cell gets the hidden
size at which the network has as many parameters as "parameters" says, or as near as can be.

**The learning rate** is chosen for each cell in the same way. The first seed trains with the first
rate and with twice that, to the end. Then the rate is doubled or halved on, in the direction of the
lower validation loss, until the loss is not lower any more. So the rate that is chosen has been
compared with half of it and with twice of it. The other seeds train with the chosen rate. A run
that diverges, or ends no better than if all characters were equally likely, has failed: from there
the search goes on to lower rates.

**The texts**: the last tenth is held out. Its first half chooses the rate; its second half, which
nothing was chosen by, gives the test loss.

A run is noted in result.json as soon as it is done. After a break the same command trains those
that are not noted. One that diverges is noted as such, with the loss that it had come to. Runs of
the same settings that `context_reach` has trained already, in the folder "taken_from", are not
trained again.
"""

import bisect
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from experiments.ablated_cells import CELLS, build
from experiments.common import (
    check_whole,
    describe,
    load_ids,
    make_settings,
    read_json,
    read_settings,
    rounded,
    run_program,
    sha256,
    versions,
    write_json,
)
from lstmlib import validation
from lstmlib.batching import split
from lstmlib.history import TrainingDiverged
from lstmlib.models import CharRNN, count_parameters
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.validation import check_choice, check_number

DIGITS = 5
"""Significant digits of what is recorded."""
LOWEST = -10
"""The search gives up where first_rate · 2^LOWEST fails, too."""
SHARED = ("corpus", "characters", "parameters", "embedding_size", "training", "first_rate")
"""Settings that all runs of a folder have in common."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        characters: the first ones of the text, which are used.
        cells: names of `ablated_cells.CELLS`.
        parameters: how many numbers each network trains, as nearly as a hidden size allows.
        embedding_size: of the characters.
        training: settings of TrainingConfig but for the learning rate.
        first_rate: the learning rate that the search begins with.
        seeds: of the weights; the first one searches for the rate.
        taken_from: a folder beside this one, whose runs of the same settings are taken over.
    """

    corpus: str
    characters: int
    cells: list
    parameters: int
    embedding_size: int
    training: dict
    first_rate: float
    seeds: list
    taken_from: str = ""

    def __post_init__(self) -> None:
        check_whole(self, "characters", "parameters", "embedding_size")
        check_number("first_rate", self.first_rate, above=0)
        for name in ("cells", "seeds"):
            values = getattr(self, name)
            if not values or len(set(map(str, values))) < len(values):
                raise ValueError(f'"{name}" is {values}; it must list at least one, each once.')
        for cell in self.cells:
            check_choice('a cell of "cells"', cell, CELLS)
        for seed in self.seeds:
            validation.check_whole('a seed of "seeds"', seed, 0)
        if "learning_rate" in self.training:
            raise ValueError('"training" has learning_rate, which is searched for: remove it.')
        make_settings(TrainingConfig, self.training, '"training"')


def hidden_size_for(cell: str, parameters: int, vocab_size: int, embedding_size: int) -> int:
    """Return the hidden size with which a network comes nearest to a number of parameters.

    Raises:
        ValueError: the nearest number is more than 1 % off.
    """

    def count(hidden_size: int) -> int:
        with torch.device("meta"):  # shapes alone
            return count_parameters(build(cell, vocab_size, hidden_size, embedding_size))

    # The output layer alone has a row of V weights for each unit.
    sizes = range(1, max(parameters // vocab_size, 2))
    above = bisect.bisect(sizes, parameters, key=count)
    near = sizes[max(above - 1, 0) : above + 1]
    best = min(near, key=lambda size: abs(count(size) - parameters))
    if abs(count(best) - parameters) > 0.01 * parameters:
        raise ValueError(
            f"parameters is {parameters}; the nearest that the cell {cell} can have is "
            f"{count(best)}, with {best} units. Give a number within 1 % of that, or a larger one."
        )
    return best


class Trials:
    """The runs of a folder, those that are done in its result.json.

    Args:
        folder: with config.json.
        settings: what that holds.

    Raises:
        ValueError: the text is too short, or result.json holds runs of other settings.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        vocab, self.train_ids, held_out = load_ids(settings.corpus, settings.characters, False)
        self.vocab, self.valid_ids, self.test_ids = vocab, *split(held_out, 0.5)
        text = sha256(vocab.decode(self.train_ids) + vocab.decode(held_out))
        # Cells and seeds may be added; all else is that of the runs which are done.
        common = {name: getattr(settings, name) for name in SHARED}
        self.result = {"settings": common, "text_sha256": text, "runs": {}, "cells": {}}
        if settings.taken_from:
            self.result["runs"] |= self._done(folder.parent / settings.taken_from).get("runs", {})
        self.result |= self._done(folder)
        self.sizes = {
            cell: hidden_size_for(cell, settings.parameters, len(vocab), settings.embedding_size)
            for cell in settings.cells
        }

    def _done(self, folder: Path) -> dict:
        """Return the result of a folder as far as it goes, of the cells and settings of this one.

        Raises:
            ValueError: it is of other settings, or of another text.
        """
        path = folder / "result.json"
        if not path.exists():
            return {}
        done = read_json(path)
        others = [name for name in ("settings", "text_sha256") if done[name] != self.result[name]]
        if others:
            raise ValueError(
                f"{path} holds runs of other settings or another text ({', '.join(others)}); "
                "delete it to run anew."
            )
        wanted = self.settings.cells
        runs = {name: run for name, run in done["runs"].items() if run["cell"] in wanted}
        cells = {cell: each for cell, each in done["cells"].items() if cell in wanted}
        return done | {"runs": runs, "cells": cells}

    def new_model(self, cell: str, seed: int) -> CharRNN:
        """Return the network of a cell and a seed before its training."""
        torch.manual_seed(seed)
        return build(cell, len(self.vocab), self.sizes[cell], self.settings.embedding_size)

    def name(self, cell: str, rate: float, seed: int) -> str:
        """Return the name of a run."""
        return f"{cell}_rate-{rate:g}_seed-{seed}"

    def run(self, cell: str, rate: float, seed: int) -> dict:
        """Return the figures of a run; train it, unless it is done."""
        name = self.name(cell, rate, seed)
        if name not in self.result["runs"]:
            model = self.new_model(cell, seed)
            figures = {"cell": cell, "rate": rate, "seed": seed} | self.train(model, rate)
            self.keep(name, model)
            self.result["runs"][name] = rounded(figures, DIGITS)
            self.write()
        run = self.result["runs"][name]
        print(f"{name:<30} {run['valid_loss']} {run['test_loss']}", flush=True)
        return run

    def train(self, model: CharRNN, rate: float) -> dict:
        """Train a network to its end, or to where no step is finite any more; return figures."""
        config, ended = TrainingConfig(**self.settings.training, learning_rate=rate), "all steps"
        try:
            history = fit(model, self.train_ids, None, config, progress=False)
        except TrainingDiverged as error:
            history, ended = error.history, "diverged"
        if history.ended == "interrupted":
            raise SystemExit("Interrupted. The runs that are done are kept; start again to go on.")
        parts = np.array_split(history.column("loss")[1], 4)  # of every step that had a loss
        return {
            "hidden_size": model.config["hidden_size"],
            "parameters": count_parameters(model),
            "ended": ended,
            "steps": len(history),
            "skipped": history.skipped,
            "train_losses": [float(part[-50:].mean()) for part in parts if len(part)],
            "valid_loss": _finite(evaluate(model, self.valid_ids)),
            "test_loss": _finite(evaluate(model, self.test_ids)),
            "training_seconds": round(history.rows[-1]["seconds"], 1),
        }

    def keep(self, name: str, model: CharRNN) -> None:
        """Do with a trained network what has to be done before its run is noted: nothing."""

    def choose_rate(self, cell: str) -> float:
        """Return the learning rate that the first seed finds for a cell."""
        tried = {}

        def loss(k: int) -> float:
            if k not in tried:
                rate = self.settings.first_rate * 2.0**k
                run = self.run(cell, rate, self.settings.seeds[0])
                tried[k] = math.inf if self.failed(run) else run["valid_loss"]
            return tried[k]

        best, step = (1, 1) if loss(1) < loss(0) else (0, -1)
        # From a rate that failed there is a way down alone, but not for ever.
        while loss(best + step) < loss(best) or (loss(best) == math.inf and best > LOWEST):
            best += step
        return self.settings.first_rate * 2.0**best

    def failed(self, run: dict) -> bool:
        """Say whether a run diverged, or ended no better than if all characters were alike."""
        loss, alike = run["valid_loss"], math.log(len(self.vocab))
        return run["ended"] == "diverged" or loss is None or loss >= alike

    def all_seeds(self, cell: str) -> list[dict]:
        """Train a cell with every seed at the rate that is chosen for it; return the runs."""
        rate = self.choose_rate(cell)
        runs = [self.run(cell, rate, seed) for seed in self.settings.seeds]
        self.result["cells"][cell] = {
            "hidden_size": runs[0]["hidden_size"],
            "parameters": runs[0]["parameters"],
            "rate": rate,
            "seeds": self.settings.seeds,
            "test_losses": [run["test_loss"] for run in runs],
        }
        self.write()
        return runs

    def write(self, **more: object) -> None:
        """Write result.json."""
        busy = "other work ran beside it: its seconds are not those of a machine at rest"
        machine = {"machine": describe(torch.device("cpu")), "seconds": busy}
        machine |= {"threads": torch.get_num_threads(), "versions": versions()}
        self.result |= machine | more
        write_json(self.folder / "result.json", self.result)


def _finite(loss: float) -> float | None:
    """Return a loss, or None where it is none: JSON has no infinity."""
    return loss if math.isfinite(loss) else None


def main(folder: Path) -> None:
    """Train all cells of a folder's config with all seeds."""
    settings = read_settings(folder, Settings)
    trials = Trials(folder, settings)
    for cell in settings.cells:
        trials.all_seeds(cell)


if __name__ == "__main__":
    keep_freed_memory()
    run_program(main, __doc__, "runs/gate-ablations")
