"""Train the same network with several settings and seeds, and note how each run ends.

    .venv/bin/python -m experiments.sweep runs/clip-sgd

In the folder's config.json, "model" holds arguments of `CharRNN`, "training" those of
`TrainingConfig`, "vary" some of these settings with several values each, and "seeds" the seeds.
Every combination and seed is a run, noted in the folder's result.json once it is done. Start the
same command again to go on: runs that are done stay.

With "probe", settings that replace those of "training", one short run more is trained from the
first seed. `suggest_clip` reads a clip value from its gradient norms, and a run with that value is
added for every seed.
"""

import argparse
import itertools
import json
from pathlib import Path

import torch

from experiments.common import describe, rounded, write_json
from lstmlib.batching import split
from lstmlib.cleaning import clean
from lstmlib.corpora import CorpusError, load_corpus
from lstmlib.diagnostics import LEAST_STEPS, suggest_clip
from lstmlib.models import CharRNN
from lstmlib.training import TrainingConfig, TrainingDiverged, fit
from lstmlib.vocab import Vocab

NAMES = {"what", "corpus", "characters", "model", "training", "vary", "seeds"}
OPTIONAL = {"ascii_only", "probe"}


def check(config: dict) -> None:
    """Raise ValueError for a config with a part too few or too many, or without meaning."""
    if NAMES - set(config):
        raise ValueError(f"config.json lacks {', '.join(sorted(NAMES - set(config)))}.")
    if set(config) - NAMES - OPTIONAL:
        unknown = ", ".join(sorted(set(config) - NAMES - OPTIONAL))
        raise ValueError(f"config.json has {unknown}, which means nothing here: remove it.")
    vary, seeds = config["vary"], config["seeds"]
    if not isinstance(vary, dict) or not all(
        isinstance(values, list) and values for values in [*vary.values(), seeds]
    ):
        raise ValueError('"seeds" and each setting in "vary" need a list of values.')
    CharRNN(2, **config["model"])
    for changes in [*(run["vary"] for run in runs_of(config).values()), config.get("probe", {})]:
        TrainingConfig(**config["training"] | changes)
    steps = (config["training"] | config.get("probe", {}))["steps"]
    if "probe" in config and steps < LEAST_STEPS:
        raise ValueError(f"The probe has {steps} steps; it needs at least {LEAST_STEPS}.")


def runs_of(config: dict) -> dict[str, dict]:
    """Return the runs of a config, without the probe's: name -> {"seed", "vary", "training"}."""
    found = {}
    for *values, seed in itertools.product(*config["vary"].values(), config["seeds"]):
        varied = dict(zip(config["vary"], values, strict=True))
        name = "_".join(f"{key}-{value}".lower() for key, value in varied.items())
        found[f"{name}_seed-{seed}"] = settings_of(config, seed, varied)
    return found


def settings_of(config: dict, seed: int, varied: dict) -> dict:
    """Return what tells a run from the others, and all its settings."""
    return {"seed": seed, "vary": varied, "training": config["training"] | varied}


def load_ids(config: dict) -> tuple:
    """Return (vocabulary, training ids, validation ids) of a config's text.

    Raises:
        ValueError: the corpus cannot be read on this machine.
    """
    try:
        raw = load_corpus(config["corpus"]).text
    except CorpusError as error:
        raise ValueError(str(error)) from error
    text = clean(raw, ascii_only=config.get("ascii_only", False))[0][: config["characters"]]
    vocab = Vocab.from_text(text)
    return vocab, *split(vocab.encode(text), 0.1)


def train(config: dict, settings: dict, texts: tuple) -> dict:
    """Train one run to its end, or to where no step is finite any more; return its figures."""
    vocab, train_ids, valid_ids = texts
    torch.manual_seed(settings["seed"])
    model, diverged = CharRNN(len(vocab), **config["model"]), False
    try:
        training = TrainingConfig(**settings["training"])
        history = fit(model, train_ids, valid_ids, training, progress=False)
    except TrainingDiverged as error:
        history, diverged = error.history, True
    if history.ended == "interrupted":
        raise SystemExit("Interrupted. The runs that are done are kept; start again to go on.")
    norms = rounded(history.column("grad_norm")[1].tolist(), 5)
    return settings | {
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
        ValueError: result.json holds a run of other settings.
    """

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        check(self.config)
        self.path, self.texts = folder / "result.json", None
        # The grid may grow; all else must be what the runs that are done were trained with.
        common = {name: self.config[name] for name in NAMES - {"what", "vary", "seeds"}}
        self.result = {"config": common, "runs": {}}
        if self.path.exists():
            self.result = json.loads(self.path.read_text(encoding="utf-8"))
        if self.result["config"] != common:
            raise ValueError(f"{self.path} holds runs with other settings; delete it to run anew.")

    def look(self, name: str, settings: dict) -> dict:
        """Train a run, or take what is noted of it; return its figures."""
        done = self.result["runs"]
        if name not in done:
            self.texts = self.texts or load_ids(self.config)
            done[name] = train(self.config, settings, self.texts)
            if name != "probe":  # of the others the largest norm is enough
                del done[name]["norms"]
            self.note(machine=describe(torch.device("cpu")), versions={"torch": torch.__version__})
        if any(done[name][key] != value for key, value in settings.items()):
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
        config = self.config
        for name, settings in runs_of(config).items():
            self.look(name, settings)
        if "probe" in config:
            probe = self.look("probe", settings_of(config, config["seeds"][0], config["probe"]))
            limit = suggest_clip(probe["norms"])
            for seed in config["seeds"]:
                self.look(f"suggested_seed-{seed}", settings_of(config, seed, {"clip_norm": limit}))
            self.note(suggested_clip_norm=limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="such as runs/clip-sgd")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        Sweep(arguments.folder).train_all()
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
