"""Train networks on whole strings, as case C does: of a formal language, or film reviews.

    .venv/bin/python -m experiments.train_sequences runs/case-c-ndfa --threads 1

In the folder's config.json, "data" says what is learned: {"language": "ndfa", "strings": 50000} or
{"reviews": "imdb-sample"}. "model" holds arguments of `CharRNN`, "training" those of
`TrainingConfig` but for the steps, "budget" the tokens of a padded batch, or null for streams of
texts one after the other (stateful truncated BPTT), "epochs" how long it takes, and "seed" where
the weights and the samples start from. "arms" says what each arm changes in all these; it, or the
config as a whole, may also have "measure_every" (epochs, 1 if not given), "samples" (of a formal
language, that are judged in the end) and "keep_model" (true or false). It trains on a GPU if there
is one.

An arm is a folder with history.jsonl (every step, or of a long run every second, third and so on),
epochs.json (the validation loss of every epoch, what else was measured, and what the network
wrote), model.safetensors and result.json. While it trains, step-….safetensors holds everything;
start the same command again to go on from there.
"""

import argparse
import json
import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from experiments.common import describe, rounded, write_json
from lstmlib.batching import PaddedBatches, Streams
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.corpora import CorpusError, load_reviews
from lstmlib.grammars import LANGUAGES, SPECIALS
from lstmlib.metrics import (
    NGramModel,
    bits,
    distinct,
    longest_repeat,
    perplexity,
    validity,
    words,
)
from lstmlib.models import CharRNN, count_parameters, save_model
from lstmlib.profile import pick_device
from lstmlib.sampling import Sample, generate
from lstmlib.speed import keep_freed_memory
from lstmlib.training import History, TrainingConfig, TrainingDiverged, evaluate, fit
from lstmlib.vocab import END, PAD, Vocab

NAMES = {"what", "published", "data", "model", "training", "budget", "epochs", "seed", "arms"}
DEFAULTS = {"measure_every": 1, "samples": 10_000, "keep_model": True}
MAY_CHANGE = {"model", "training", "budget", "epochs", "seed", *DEFAULTS}
TEMPERATURES = (0.5, 1.0, 1.5)
COUNTED = 1000
"""Samples that the recogniser judges after an epoch."""
LONGEST, SHOWN = 2000, 200
"""Tokens of a sample at most, and how many are shown."""
KEPT = 10
"""Samples that are shown of an epoch."""
HELD_OUT = 5000
"""Strings to validate on, and to test on."""
READ_AT_ONCE = 20_000
"""Tokens of a batch that is only evaluated."""
RARE = 10
"""A character that the training reviews have less often is `.unk`."""
COLD_AND_WARM = (0.0, 0.2, 0.5, 1.0)
"""Temperatures at which reviews are written in the end."""
WRITTEN, LOOKED_AT = 50, 500
"""Reviews that are written at each, and how many characters of each are looked at."""
DIGITS = 5
"""Of the numbers that are written."""
MOST_ROWS = 2000
"""Of a history that is kept."""
CHECKPOINT_EVERY = 2000
"""Steps between checkpoints."""
ANY_STEPS = 10**9
"""Stands for the steps of a run that are not known yet: a warmup must fit into them."""
COLUMNS = ("step", "epoch", "loss", "grad_norm", "clipped_norm", "learning_rate", "skipped")
"""Of the history that is kept."""


def settings_of(config: dict, changes: dict) -> dict:
    """Return all that an arm is trained with."""
    names = ("data", "model", "training", "budget", "epochs", "seed")
    settings = {name: config[name] for name in names}
    settings |= {name: config.get(name, value) for name, value in DEFAULTS.items()}
    for name, value in changes.items():
        settings[name] = config[name] | value if name in ("model", "training") else value
    return settings


def check(config: dict) -> None:
    """Raise ValueError for a config with a part too few or too many, or without meaning."""
    known = NAMES | set(DEFAULTS)
    for word, names in {"lacks": NAMES - set(config), "has": set(config) - known}.items():
        if names:
            raise ValueError(f"config.json {word} {', '.join(sorted(names))}.")
    data = config["data"]
    if not isinstance(data, dict) or set(data) not in ({"language", "strings"}, {"reviews"}):
        raise ValueError(f'"data" is {data}; give a language and strings, or reviews.')
    if data.get("language", "ndfa") not in LANGUAGES:
        raise ValueError(f"There is no language {data['language']!r}: {', '.join(LANGUAGES)}.")
    check_whole("strings", data.get("strings", 1))
    arms = config["arms"]
    if not (isinstance(arms, dict) and arms and all(isinstance(a, dict) for a in arms.values())):
        raise ValueError('"arms" needs a name for each arm, with the settings that it changes.')
    for name, changes in arms.items():
        if set(changes) - MAY_CHANGE:
            unknown, known = (", ".join(sorted(s)) for s in (set(changes) - MAY_CHANGE, MAY_CHANGE))
            raise ValueError(f"Arm {name} changes {unknown}; it may change {known}.")
        check_settings(settings_of(config, changes))


def check_settings(settings: dict) -> None:
    """Raise ValueError for settings of an arm that are without meaning whatever the data."""
    for name in ("epochs", "measure_every", "samples"):
        check_whole(name, settings[name])
    if type(settings["keep_model"]) is not bool:
        raise ValueError(f"keep_model is {settings['keep_model']!r}; it must be true or false.")
    check_whole("seed", settings["seed"], least=0)
    if settings["budget"] is not None:
        check_whole("budget", settings["budget"])
    given = {"steps", "eval_every"} & set(settings["training"])
    if given:
        raise ValueError(f'"training" has {", ".join(sorted(given))}; the epochs say how long.')
    CharRNN(2, **settings["model"])
    TrainingConfig(ANY_STEPS, **settings["training"])


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise ValueError unless a value is a whole number that is not below the least."""
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more.")


class Strings:
    """Strings of a formal language: training, validation and test, each drawn independently."""

    def __init__(self, data: dict) -> None:
        self.language = LANGUAGES[data["language"]]
        self.vocab = self.language.vocab()
        self.train = self.language.sample(data["strings"], seed=1)
        self.valid, self.test = (self.language.sample(HELD_OUT, seed) for seed in (2, 3))
        self.exact = self.language.nats_per_symbol(self.valid)

    def frame(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of texts between `.start` and `.end`."""
        return [self.vocab.frame(text) for text in texts]

    def after_epoch(self, model: CharRNN, valid_loss: float, seed: int) -> dict:
        """Return what is measured of a network in training: gap, validity, and what it writes."""
        found = {"gap": self._gap(valid_loss, self.exact), "validity": {}}
        for temperature in TEMPERATURES:
            samples = write(model, self.vocab, COUNTED, temperature, seed)
            found["validity"][str(temperature)] = list(validity(self.language, samples))
            if temperature == 1:
                found["samples"] = [shown(sample) for sample in samples[:KEPT]]
        found["greedy"] = shown(write(model, self.vocab, 1, 0.0, seed)[0])
        return found

    def at_end(self, model: CharRNN, test_loss: float, settings: dict) -> dict:
        """Return the figures of a trained network on the test strings, and of many samples."""
        seen = set(self.train)
        new = [text for text in self.test if text not in seen]
        exact = self.language.nats_per_symbol(self.test)
        found = {
            "exact_loss": exact,
            "floor": self.language.floor,
            "gap": self._gap(test_loss, exact),
            "test_strings_in_training": 1 - len(new) / len(self.test),
            "validity": {},
            "novel": {},
        }
        if new:
            exact_new = self.language.nats_per_symbol(new)
            loss_new = evaluate(model, padded(self.frame(new)))
            found |= {"gap_of_unseen": (loss_new - exact_new) / exact_new}
        for temperature in TEMPERATURES:
            samples = write(model, self.vocab, settings["samples"], temperature, settings["seed"])
            valid = [s for s in samples if s.ended and self.language.accepts(s.text)]
            found["validity"][str(temperature)] = list(validity(self.language, samples))
            novel = sum(sample.text not in seen for sample in valid)
            found["novel"][str(temperature)] = novel / max(len(valid), 1)
        return found

    def _gap(self, loss: float, exact: float) -> float:
        """Return by how much a loss is above the exact model's, as a share of the floor."""
        return (loss - exact) / self.language.floor


class Reviews:
    """Film reviews: a tenth to validate on, a tenth to test on, the others for training.

    Raises:
        ValueError: they are too few for that.
        CorpusError: they cannot be had.
    """

    def __init__(self, data: dict) -> None:
        texts = load_reviews(data["reviews"]).texts
        texts = [texts[k] for k in np.random.default_rng(1).permutation(len(texts))]
        tenth = len(texts) // 10
        if not tenth:
            raise ValueError(f"{data['reviews']} has {len(texts)} reviews; it needs 10 or more.")
        self.test, self.valid, self.train = (
            texts[:tenth],
            texts[tenth : 2 * tenth],
            texts[2 * tenth :],
        )
        counts = Counter()
        for text in self.train:  # one by one: together they are tens of millions of characters
            counts.update(text)
        self.vocab = Vocab([c for c, n in counts.items() if n >= RARE], SPECIALS)

    def frame(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of texts between `.start` and `.end`; rare characters are `.unk`."""
        return [self.vocab.frame(text, unknown="unk") for text in texts]

    def after_epoch(self, model: CharRNN, valid_loss: float, seed: int) -> dict:
        """Return what a network in training writes, cold and at temperature 1."""
        cold, warm = generate(model, self.vocab, "", SHOWN, (0.0, 1.0), seed=seed)
        return {"greedy": shown(cold), "samples": [shown(warm)]}

    def at_end(self, model: CharRNN, test_loss: float, settings: dict) -> dict:
        """Return losses on the test reviews, and how much the network repeats itself."""
        five_gram = NGramModel.of_sequences(self.frame(self.train), 5, len(self.vocab))
        found = {
            "bits_per_character": bits(test_loss),
            "perplexity": perplexity(test_loss) if test_loss < 700 else None,  # no float beyond
            "five_gram_loss": five_gram.nats_per_symbol(self.frame(self.test)),
            "characters_trained_on": sum(map(len, self.train)),
            "real": repetition(self.test),
            "written": {},
            "samples": {},
        }
        for temperature in COLD_AND_WARM:
            count = 1 if temperature == 0 else WRITTEN
            samples = write(model, self.vocab, count, temperature, settings["seed"])
            found["written"][str(temperature)] = repetition([sample.new for sample in samples])
            found["samples"][str(temperature)] = [sample.new[:LOOKED_AT] for sample in samples[:3]]
        return found


def repetition(texts: Sequence[str]) -> dict:
    """Return how much texts repeat themselves, the mean over the first LOOKED_AT characters.

    Shorter texts are left out, since a short text repeats less; "counted" says how many were not.
    """
    pieces = [text[:LOOKED_AT] for text in texts if len(text) >= LOOKED_AT]
    found = {"counted": len(pieces), "of": len(texts)}
    if pieces:
        spoken = [words(piece) for piece in pieces]
        found["distinct_2"] = float(np.mean([distinct(w, 2) if len(w) > 2 else 0 for w in spoken]))
        found["longest_repeat"] = float(np.mean([len(longest_repeat(piece)) for piece in pieces]))
    return found


def padded(sequences: list[np.ndarray], budget: int = READ_AT_ONCE) -> PaddedBatches:
    """Return sequences in batches of at most a budget of tokens; `.pad` has the id 0."""
    return PaddedBatches(sequences, max(budget, max(map(len, sequences))), SPECIALS.index(PAD))


def write(model: CharRNN, vocab: Vocab, count: int, temperature: float, seed: int) -> list[Sample]:
    """Return texts that a network writes, from nothing to `.end`."""
    return generate(model, vocab, [""] * count, LONGEST, temperature, seed=seed)


def shown(sample: Sample) -> str:
    """Return the beginning of a text, with `.end` if it comes to that."""
    tokens = [*sample.tokens, END] if sample.ended else list(sample.tokens)
    return "".join(tokens[:SHOWN])


class Recorder:
    """What is kept of an arm beside its history: epochs.json, one entry for every epoch.

    Args:
        model: the network that `fit` trains.
        data: what it is trained on.
        steps: of an epoch.
        settings: of the arm.
        path: where the entries are, and are added to.
    """

    def __init__(
        self, model: CharRNN, data: Strings | Reviews, steps: int, settings: dict, path: Path
    ) -> None:
        self.model, self.data, self.path = model, data, path
        self.steps, self.settings = steps, settings
        self.epochs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def __call__(self, history: History) -> None:
        """Add an entry if an epoch is over."""
        before = (len(history) - 1) // self.steps
        self.epochs = self.epochs[:before]  # a kill may have come after one more was written
        if len(history) % self.steps:
            return
        epoch, row = before + 1, history.rows[-1]
        entry = {"epoch": epoch, "step": len(history), "valid_loss": row["valid_loss"]}
        due = epoch % self.settings["measure_every"] == 0 or epoch == self.settings["epochs"]
        if due and row["valid_loss"] is not None:
            seed = self.settings["seed"] + 100_000 * epoch  # each text of a batch takes one more
            entry |= self.data.after_epoch(self.model, row["valid_loss"], seed)
        self.epochs.append(rounded(entry, DIGITS))
        write_json(self.path, self.epochs)


def train(
    data: Strings | Reviews,
    source: PaddedBatches | np.ndarray,
    training: TrainingConfig,
    settings: dict,
    folder: Path,
) -> dict:
    """Train one arm to its end, or read it if it is done; return its figures.

    Raises:
        ValueError: what is done, or begun, is an arm of other settings.
        SystemExit: it was interrupted.
    """
    if (folder / "result.json").exists():
        done = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if any(done["settings"].get(name) != value for name, value in settings.items()):
            raise ValueError(f"{folder} holds an arm of other settings; delete it to run anew.")
        remove_unfinished(folder)  # a kill may have come before this was done
        return done
    device = pick_device()
    torch.manual_seed(settings["seed"])
    model = CharRNN(len(data.vocab), **settings["model"]).to(device)
    valid = padded(data.frame(data.valid))
    recorder = Recorder(model, data, training.eval_every, settings, folder / "epochs.json")
    checkpoints = Checkpoints(folder, data.vocab, every=CHECKPOINT_EVERY, keep=1)
    note_settings(settings, checkpoints)
    try:
        history, diverged = fit(model, source, valid, training, recorder, checkpoints), False
    except TrainingDiverged as error:
        history, diverged = error.history, True
    if history.ended == "interrupted":
        raise SystemExit(f"{folder} goes on from step {len(history)} when started again.")
    write_json(recorder.path, recorder.epochs)  # without an entry, if it diverged at once
    if settings["keep_model"]:
        save_model(folder / "model.safetensors", model, data.vocab)
    History(rounded(thinned(history.rows), DIGITS)).save(folder / "history.jsonl")
    done = {
        "settings": settings,
        "updates": len(history) - history.skipped,
        "parameters": count_parameters(model),
        "clipped_share": history.clipped_share,
        "diverged": diverged,
        "training_seconds": round(history.rows[-1]["seconds"], 1),
        "machine": describe(device),
        "precision": history.precision,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    done |= rounded(measure(model, data, settings), DIGITS)
    write_json(folder / "result.json", done)
    remove_unfinished(folder)
    return done


def thinned(rows: list[dict]) -> list[dict]:
    """Return every row of a history, or of a long one every second, third and so on."""
    every = math.ceil(len(rows) / MOST_ROWS)
    return [{name: row[name] for name in COLUMNS} for row in rows if row["step"] % every == 0]


def measure(model: CharRNN, data: Strings | Reviews, settings: dict) -> dict:
    """Return the figures of a network at its end; of a broken one, only that its loss is none."""
    loss = evaluate(model, padded(data.frame(data.test)))
    if not math.isfinite(loss):
        return {"test_loss": None}
    return {"test_loss": loss} | data.at_end(model, loss, settings)


def note_settings(settings: dict, checkpoints: Checkpoints) -> None:
    """Write what an arm is begun with beside its checkpoints, which do not know all of it.

    Raises:
        ValueError: there are checkpoints already, of other settings.
    """
    path = checkpoints.folder / "step-config.json"
    begun = checkpoints.paths and path.exists()
    if begun and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise ValueError(
            f"{checkpoints.folder} holds an arm of other settings, begun; delete it to run anew."
        )
    write_json(path, settings)


def remove_unfinished(folder: Path) -> None:
    """Remove what an arm leaves in its folder only while it trains."""
    for name in ("step-*", "best.safetensors", "*.part"):
        for path in folder.glob(name):
            path.unlink()


def plan_of(
    sequences: list[np.ndarray], settings: dict
) -> tuple[PaddedBatches | np.ndarray, TrainingConfig]:
    """Return what `fit` is given to train on, and its settings; it validates after every epoch.

    Raises:
        ValueError: what the settings ask for cannot be had from these sequences.
    """
    training = TrainingConfig(ANY_STEPS, **settings["training"])
    if settings["budget"] is not None:
        source = PaddedBatches(sequences, settings["budget"], SPECIALS.index(PAD))
        steps = len(source)
    else:
        source = np.concatenate(sequences)
        steps = len(Streams(source, training.batch_size, training.seq_len))
    return source, replace(training, steps=steps * settings["epochs"], eval_every=steps)


def main(folder: Path) -> None:
    """Train all arms of a folder's config, and list them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check(config)
    data = (Strings if "language" in config["data"] else Reviews)(config["data"])
    sequences, arms = data.frame(data.train), {}
    settings = {name: settings_of(config, changes) for name, changes in config["arms"].items()}
    # What cannot be trained on is refused now, not after the arms before it.
    plans = {name: plan_of(sequences, each) for name, each in settings.items()}
    for name, (source, training) in plans.items():
        arms[name] = train(data, source, training, settings[name], folder / name)
        print(f"{name:<18} loss on the test texts: {arms[name]['test_loss']} nats per symbol")
    write_json(folder / "result.json", {"runs": arms})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="such as runs/case-c-ndfa")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # a network that died has gradients so small that they are slow
    keep_freed_memory()
    try:
        main(arguments.folder)
    except (OSError, ValueError, TypeError, CorpusError, CheckpointError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
