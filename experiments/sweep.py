"""Train the same network with several settings and seeds, and note how each run ends.

    .venv/bin/python -m experiments.sweep runs/clip-sgd

In the folder's config.json, "model" holds arguments of `CharRNN`, "training" those of
`TrainingConfig`, "vary" some of these settings with several values each, and "seeds" the seeds.
Every combination of values and seed is a run. The folder's result.json has an entry for each run.

With "probe", settings that replace those of "training", one short run more is trained from the
first seed. `suggest_clip` reads a clip value from its gradient norms, and a run with that value is
added for every seed.

A run is noted as soon as it is done. After a break the same command trains those that are not
noted.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch

from experiments.common import (
    check_model,
    check_whole,
    describe,
    load_ids,
    make_settings,
    read_json,
    read_settings,
    rounded,
    run_program,
    versions,
    write_json,
)
from lstmlib.diagnostics import LEAST_STEPS, suggest_clip
from lstmlib.history import TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        characters: the first ones of the text, which are used.
        model: arguments of CharRNN beside the size of the vocabulary.
        training: settings of TrainingConfig that all runs have in common.
        vary: settings of TrainingConfig, each with a list of values.
        seeds: of the weights, and of what training draws.
        ascii_only: clean the text to ASCII.
        probe: settings of TrainingConfig that are other ones in the probe; None is without one.
    """

    corpus: str
    characters: int
    model: dict
    training: dict
    vary: dict
    seeds: list
    ascii_only: bool = False
    probe: dict | None = None

    def __post_init__(self) -> None:
        check_whole(self, "characters")
        lists = [*self.vary.values(), self.seeds]
        if not all(isinstance(values, list) and values for values in lists):
            raise ValueError('"seeds" and each setting in "vary" need a list of values.')
        check_model(self.model)
        for changes in [*(each["vary"] for each in self.runs().values()), self.probe or {}]:
            training = make_settings(TrainingConfig, self.training | changes, '"training"')
        if self.probe is not None and training.steps < LEAST_STEPS:
            raise ValueError(
                f"The probe has {training.steps} steps; it needs at least {LEAST_STEPS}."
            )

    def runs(self) -> dict[str, dict]:
        """Return the runs without the probe's: name -> {"seed", "vary", "training"}."""
        runs = {}
        for *values, seed in itertools.product(*self.vary.values(), self.seeds):
            varied = dict(zip(self.vary, values, strict=True))
            name = "_".join(f"{key}-{value}".lower() for key, value in varied.items())
            runs[f"{name}_seed-{seed}"] = self.run_of(seed, varied)
        return runs

    def run_of(self, seed: int, varied: dict) -> dict:
        """Return what tells a run from the others, and all its settings."""
        return {"seed": seed, "vary": varied, "training": self.training | varied}


def train(settings: Settings, run: dict, texts: tuple) -> dict:
    """Train one run to its end, or to where no step is finite any more; return its figures."""
    vocab, train_ids, valid_ids = texts
    torch.manual_seed(run["seed"])
    model, diverged = CharRNN(len(vocab), **settings.model), False
    training = TrainingConfig(**run["training"])
    try:
        history = fit(model, train_ids, valid_ids, training, progress=False)
    except TrainingDiverged as error:
        history, diverged = error.history, True
    if history.ended == "interrupted":
        raise SystemExit("Interrupted. The runs that are done are kept; start again to go on.")
    norms = rounded(history.column("grad_norm")[1].tolist(), 5)
    return run | {
        "valid_loss": history.rows[-1]["valid_loss"],
        "diverged": diverged,
        "precision": history.precision,
        "clipped_share": history.clipped_share,
        "norms": norms,
        "largest_norm": max(norms, default=None),
        "training_seconds": round(history.rows[-1]["seconds"], 1),
    }


class Sweep:
    """The runs of a folder, those that are done in its result.json.

    Raises:
        ValueError: config.json has no meaning, or result.json holds a run of other settings.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = settings = read_settings(folder, Settings)
        self.path, self.texts = folder / "result.json", None
        # The grid may grow; all else must be what the runs that are done were trained with.
        names = ("corpus", "characters", "model", "training")
        common = {name: getattr(settings, name) for name in names}
        self.result = {"config": common, "runs": {}}
        if self.path.exists():
            self.result = read_json(self.path)
        if self.result["config"] != common:
            raise ValueError(f"{self.path} holds runs with other settings; delete it to run anew.")

    def result_of(self, name: str, run: dict) -> dict:
        """Train a run, or take what is noted of it; return its figures."""
        done, settings = self.result["runs"], self.settings
        if name not in done:
            self.texts = self.texts or load_ids(
                settings.corpus, settings.characters, settings.ascii_only
            )
            done[name] = train(settings, run, self.texts)
            if name != "probe":  # of the others the largest norm is enough
                del done[name]["norms"]
            self.note(machine=describe(torch.device("cpu")), versions=versions())
        if any(done[name][key] != value for key, value in run.items()):
            raise ValueError(
                f"{self.path} holds a run {name} with other settings; delete it to run anew."
            )
        print(f"{name:<40} {done[name]['valid_loss']}")
        return done[name]

    def note(self, **values: object) -> None:
        """Write result.json, with some values more."""
        self.result |= values
        write_json(self.path, self.result)

    def train_all(self) -> None:
        """Train what is not done: the grid, the probe, and what the probe suggests."""
        settings = self.settings
        for name, each in settings.runs().items():
            self.result_of(name, each)
        if settings.probe is None:
            return
        probe = self.result_of("probe", settings.run_of(settings.seeds[0], settings.probe))
        limit = suggest_clip(probe["norms"])
        for seed in settings.seeds:
            self.result_of(f"suggested_seed-{seed}", settings.run_of(seed, {"clip_norm": limit}))
        self.note(suggested_clip_norm=limit)


def main(folder: Path) -> None:
    """Train all runs of a folder's config that are not done."""
    Sweep(folder).train_all()


if __name__ == "__main__":
    run_program(main, __doc__, "runs/clip-sgd")
