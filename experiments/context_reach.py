"""How far back does a network look: RNN, LSTM, GRU and CIFG of the same size, and counting models.

    .venv/bin/python -m experiments.context_reach runs/context-reach --threads 1

Trains the cells as `gate_ablations` does, and then measures each network on the second half of the
held-out tenth, by which nothing was chosen:

    result.json  the runs, the chosen ones, and the losses of the counting models
    curves.json  per cell and seed: the loss after k true characters, the gradient by distance
    gates.json   per LSTM, CIFG and seed: the time constant of each unit, and what its memory is
                 worth

The networks are not kept. What is done is noted at once; after a break the same command goes on.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.common import (
    check_whole,
    read_json,
    read_settings,
    remove_unfinished,
    rounded,
    run_program,
)
from experiments.gate_ablations import Settings as Trained
from experiments.gate_ablations import Trials
from lstmlib.metrics import mean_interval
from lstmlib.models import LAYERS, CharRNN
from lstmlib.reach import (
    forget_gates,
    gradient_by_distance,
    loss_by_order,
    loss_by_past,
    memory_worth,
    reach,
    time_constant,
)
from lstmlib.serialization import atomic_write, load_model, save_model
from lstmlib.throughput import keep_freed_memory

TOLERANCES = (0.1, 0.03, 0.01)
"""Nats per character by which a loss may lie above that with the whole past."""
QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
GATED = ("lstm", "cifg")
"""The cells that have forget gates and a memory."""
GATED_CHARACTERS = 20_000
"""Of the test text, over which forget gates are taken."""
DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Settings(Trained):
    """What config.json holds: the settings of `gate_ablations`, and what is measured.

    Attributes:
        places: of the test text, where a foreign past is tried; the gradient, which takes longer,
            is measured at an eighth of them.
        longest: the largest distance, in characters.
        orders: of the counting models, the highest one.
        pieces: of `longest` characters each, on which the memory of a unit is measured.
    """

    places: int
    longest: int
    orders: int
    pieces: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "longest", "orders")
        check_whole(self, "places", least=8)
        check_whole(self, "pieces", least=4)  # an interval needs some
        if set(self.cells) - set(LAYERS):
            raise ValueError(f'"cells" is {self.cells}; choose from {", ".join(LAYERS)}.')


class KeptTrials(Trials):
    """Trials whose networks are kept until they are measured."""

    def _path(self, name: str) -> Path:
        return self.folder / f"step-{name}.safetensors"

    def keep(self, name: str, model: CharRNN) -> None:
        """Keep a trained network."""
        save_model(self._path(name), model, self.vocab)

    def network(self, run: dict) -> CharRNN:
        """Return the network of a run that is done; train it again if it is not there any more."""
        name = self.name(run["cell"], run["rate"], run["seed"])
        if not self._path(name).exists():
            model = self.new_model(run["cell"], run["seed"])
            self.train(model, run["rate"])
            self.keep(name, model)
        return load_model(self._path(name))[0]


def grid(longest: int) -> list[int]:
    """Return the numbers 0 … longest that are recorded: each up to 8, then fewer and fewer."""
    numbers = np.append(np.arange(9), np.geomspace(8, max(longest, 9), 24).round())
    return np.unique(np.append(numbers[numbers <= longest], longest)).astype(int).tolist()


def curves_of(model: CharRNN, ids: np.ndarray, settings: Settings) -> dict:
    """Return what curves.json holds of a network; losses in nats per character."""
    at = grid(settings.longest)
    losses = loss_by_past(model, ids, settings.longest, settings.places)
    excess = losses.excess.mean(axis=0)  # (K+1,)
    intervals = [mean_interval(losses.excess[:, k]) for k in at]
    norms = gradient_by_distance(model, ids, settings.longest, settings.places // 8)  # (P, K+1)
    norms = norms[:, at]
    by_quantile = {name: np.quantile(norms, q, axis=0).tolist() for name, q in QUANTILES.items()}
    return {
        "full_loss": losses.full,
        "k": at,
        "loss": [losses.full + each.value for each in intervals],
        "low": [losses.full + each.low for each in intervals],
        "high": [losses.full + each.high for each in intervals],
        "reach": {f"{tolerance:g}": reach(excess, tolerance) for tolerance in TOLERANCES},
        "gradient": by_quantile | {"mean": norms.mean(axis=0).tolist()},
    }


def gates_of(model: CharRNN, ids: np.ndarray, settings: Settings) -> dict:
    """Return what gates.json holds of a network: lists of one number a unit, of its one layer.

    The time constants, in characters, are those of the mean forget gate ("mean"), of its geometric
    mean ("geometric") and of its quantiles; null is infinite. "worth" is the rise of the loss
    without the unit's memory, in nats per character, with its 95 % interval over pieces.
    """
    gates = forget_gates(model, ids[:GATED_CHARACTERS])[:, 0]  # (N, H)
    with np.errstate(divide="ignore"):  # a gate of 0 forgets all, and its geometric mean is 0
        forget = {"mean": gates.mean(axis=0), "geometric": np.exp(np.log(gates).mean(axis=0))}
    forget |= {name: np.quantile(gates, q, axis=0) for name, q in QUANTILES.items()}
    constants = {name: time_constant(each) for name, each in forget.items()}
    worth = memory_worth(model, ids, settings.longest, settings.pieces)[:, 0]  # (S, H)
    intervals = [mean_interval(each) for each in worth.T]
    return {
        name: [float(tau) if np.isfinite(tau) else None for tau in each]
        for name, each in constants.items()
    } | {
        "worth": [each.value for each in intervals],
        "worth_low": [each.low for each in intervals],
        "worth_high": [each.high for each in intervals],
    }


class Record:
    """A file of measures: cell -> seed -> measures, as JSON without blanks."""

    def __init__(self, path: Path) -> None:
        self.path, self.measures = path, read_json(path) if path.exists() else {}

    def has(self, run: dict) -> bool:
        """Say whether a run is measured."""
        return str(run["seed"]) in self.measures.get(run["cell"], {})

    def add(self, run: dict, measures: dict) -> None:
        """Note the measures of a run."""
        self.measures.setdefault(run["cell"], {})[str(run["seed"])] = rounded(measures, DIGITS)
        atomic_write(self.path, (json.dumps(self.measures, separators=(",", ":")) + "\n").encode())


def main(folder: Path) -> None:
    """Train all cells of a folder's config with all seeds, and measure them."""
    settings = read_settings(folder, Settings)
    trials = KeptTrials(folder, settings)
    measured = {"places": settings.places, "longest": settings.longest, "pieces": settings.pieces}
    if trials.result.get("measured", measured) != measured:
        raise ValueError(
            f"{folder} holds measures at other places, longest or pieces: "
            f"{trials.result['measured']}. Delete its files but config.json to measure anew."
        )
    trials.write(measured=measured)
    curves, gates = Record(folder / "curves.json"), Record(folder / "gates.json")
    for cell in settings.cells:
        for run in trials.all_seeds(cell):
            if not curves.has(run):
                curves.add(run, curves_of(trials.network(run), trials.test_ids, settings))
            if cell in GATED and not gates.has(run):
                gates.add(run, gates_of(trials.network(run), trials.test_ids, settings))
    longest = settings.orders - 1
    counted = loss_by_order(trials.train_ids, trials.test_ids, len(trials.vocab), longest)
    trials.write(
        test_characters=len(trials.test_ids), ngram_losses=rounded(counted.tolist(), DIGITS)
    )
    remove_unfinished(folder)


if __name__ == "__main__":
    keep_freed_memory()
    run_program(main, __doc__, "runs/context-reach")
