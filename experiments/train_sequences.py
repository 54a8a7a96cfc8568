"""Train networks on whole strings, as case C does: of a formal language, or film reviews.

    .venv/bin/python -m experiments.train_sequences runs/case-c-ndfa --threads 1

What is learned stands under "data" in the folder's config.json: {"language": "ndfa", "strings":
50000} or {"reviews": "imdb-sample"}. "variants" has a name for each network that is trained, with
the settings that it changes; the class Settings lists all settings. The program trains on a GPU if
there is one.

Each variant has a folder. The program writes into it:

- history.jsonl: every step, or of a long run every second, third and so on;
- epochs.json: of every epoch the validation loss, what else was measured, and what the network
  wrote;
- model.safetensors: the network after the last step;
- result.json: the settings, and what was measured in the end.

The result.json above them lists all variants.

While a variant trains, step-….safetensors in its folder holds the whole run. After a break the same
command goes on from there.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from experiments.common import (
    check_model,
    check_whole,
    describe,
    make_settings,
    note_settings,
    read_done,
    read_json,
    read_variants,
    remove_unfinished,
    rounded,
    run_program,
    stop_if_interrupted,
    versions,
    write_json,
)
from lstmlib import validation
from lstmlib.batching import PaddedBatches, Streams
from lstmlib.checkpoints import Checkpoints
from lstmlib.corpora import load_reviews
from lstmlib.generation import Sample, generate
from lstmlib.grammar_eval import validity
from lstmlib.grammars import LANGUAGES, SPECIALS
from lstmlib.history import History, TrainingDiverged
from lstmlib.metrics import bits, distinct_n, longest_repeat, perplexity, words
from lstmlib.models import CharRNN, count_parameters
from lstmlib.ngram import NGramModel
from lstmlib.runtime import pick_device
from lstmlib.serialization import save_model
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.vocab import END, PAD, Vocab

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


@dataclass(frozen=True)
class Settings:
    """All that a variant is trained with.

    Attributes:
        data: {"language": …, "strings": …} or {"reviews": …}.
        model: arguments of CharRNN beside the size of the vocabulary.
        training: settings of TrainingConfig but the steps and eval_every, which epochs stand for.
        max_tokens: tokens of a padded batch of whole texts. None trains on streams of texts one
            after the other (stateful truncated BPTT).
        epochs: how long the training takes.
        seed: of the weights, and of the samples.
        measure_every: epochs from one measurement of what the network writes to the next.
        samples: of a formal language, how many are judged in the end.
        keep_model: write model.safetensors.
    """

    data: dict
    model: dict
    training: dict
    max_tokens: int | None
    epochs: int
    seed: int
    measure_every: int = 1
    samples: int = 10_000
    keep_model: bool = True

    def __post_init__(self) -> None:
        check_data(self.data)
        check_whole(self, "epochs", "measure_every", "samples")
        check_whole(self, "seed", least=0)
        if self.max_tokens is not None:
            check_whole(self, "max_tokens")
        check_model(self.model)
        given = {"steps", "eval_every"} & set(self.training)
        if given:
            raise ValueError(f'"training" has {", ".join(sorted(given))}; the epochs say how long.')
        self.training_of(ANY_STEPS, 1)

    def training_of(self, steps: int, eval_every: int) -> TrainingConfig:
        """Return the settings of a training of so many steps."""
        lengths = {"steps": steps, "eval_every": eval_every}
        return make_settings(TrainingConfig, self.training | lengths, '"training"')


def check_data(data: dict) -> None:
    """Raise ValueError unless a config's "data" says what is learned."""
    if set(data) not in ({"language", "strings"}, {"reviews"}):
        raise ValueError(f'"data" is {data}; give a language and strings, or reviews.')
    if "reviews" in data:
        return
    validation.check_choice("language", data["language"], LANGUAGES)
    validation.check_whole("strings", data["strings"])


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
        measured = {"gap": self._gap(valid_loss, self.exact), "validity": {}}
        for temperature in TEMPERATURES:
            samples = write(model, self.vocab, COUNTED, temperature, seed)
            measured["validity"][str(temperature)] = list(validity(self.language, samples))
            if temperature == 1:
                measured["samples"] = [shown(sample) for sample in samples[:KEPT]]
        measured["greedy"] = shown(write(model, self.vocab, 1, 0.0, seed)[0])
        return measured

    def at_end(self, model: CharRNN, test_loss: float, settings: Settings) -> dict:
        """Return the figures of a trained network on the test strings, and of many samples."""
        seen = set(self.train)
        new = [text for text in self.test if text not in seen]
        exact = self.language.nats_per_symbol(self.test)
        figures = {
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
            figures |= {"gap_of_unseen": (loss_new - exact_new) / exact_new}
        for temperature in TEMPERATURES:
            samples = write(model, self.vocab, settings.samples, temperature, settings.seed)
            valid = [s for s in samples if s.ended and self.language.accepts(s.text)]
            figures["validity"][str(temperature)] = list(validity(self.language, samples))
            novel = sum(sample.text not in seen for sample in valid)
            figures["novel"][str(temperature)] = novel / max(len(valid), 1)
        return figures

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

    def at_end(self, model: CharRNN, test_loss: float, settings: Settings) -> dict:
        """Return losses on the test reviews, and how much the network repeats itself."""
        five_gram = NGramModel.of_sequences(self.frame(self.train), 5, len(self.vocab))
        figures = {
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
            samples = write(model, self.vocab, count, temperature, settings.seed)
            texts = [sample.new for sample in samples]
            figures["written"][str(temperature)] = repetition(texts)
            figures["samples"][str(temperature)] = [text[:LOOKED_AT] for text in texts[:3]]
        return figures


def repetition(texts: Sequence[str]) -> dict:
    """Return how much texts repeat themselves, the mean over the first LOOKED_AT characters.

    Shorter texts are left out, since a short text repeats less; "counted" says how many were not.
    """
    pieces = [text[:LOOKED_AT] for text in texts if len(text) >= LOOKED_AT]
    figures = {"counted": len(pieces), "of": len(texts)}
    if pieces:
        in_words = [words(piece) for piece in pieces]
        pairs = [distinct_n(each, 2) if len(each) > 2 else 0 for each in in_words]
        figures["distinct_2"] = float(np.mean(pairs))
        figures["longest_repeat"] = float(np.mean([len(longest_repeat(piece)) for piece in pieces]))
    return figures


def padded(sequences: list[np.ndarray], max_tokens: int = READ_AT_ONCE) -> PaddedBatches:
    """Return sequences in batches of at most max_tokens tokens; `.pad` has the id 0."""
    return PaddedBatches(sequences, max(max_tokens, max(map(len, sequences))), SPECIALS.index(PAD))


def write(model: CharRNN, vocab: Vocab, count: int, temperature: float, seed: int) -> list[Sample]:
    """Return texts that a network writes, from nothing to `.end`."""
    return generate(model, vocab, [""] * count, LONGEST, temperature, seed=seed)


def shown(sample: Sample) -> str:
    """Return the beginning of a text, with `.end` if it comes to that."""
    tokens = [*sample.tokens, END] if sample.ended else list(sample.tokens)
    return "".join(tokens[:SHOWN])


class Recorder:
    """What is kept of a variant beside its history: epochs.json, one entry for every epoch.

    Args:
        model: the network that `fit` trains.
        data: what it is trained on.
        steps: of an epoch.
        settings: of the variant.
        path: where the entries are, and are added to.
    """

    def __init__(
        self, model: CharRNN, data: Strings | Reviews, steps: int, settings: Settings, path: Path
    ) -> None:
        self.model, self.data, self.path = model, data, path
        self.steps, self.settings = steps, settings
        self.epochs = read_json(path) if path.exists() else []

    def __call__(self, history: History) -> None:
        """Add an entry if an epoch is over."""
        before = (len(history) - 1) // self.steps
        self.epochs = self.epochs[:before]  # a kill may have come after one more was written
        if len(history) % self.steps:
            return
        epoch, row = before + 1, history.rows[-1]
        entry = {"epoch": epoch, "step": len(history), "valid_loss": row["valid_loss"]}
        due = epoch % self.settings.measure_every == 0 or epoch == self.settings.epochs
        if due and row["valid_loss"] is not None:
            seed = self.settings.seed + 100_000 * epoch  # each text of a batch takes one more
            entry |= self.data.after_epoch(self.model, row["valid_loss"], seed)
        self.epochs.append(rounded(entry, DIGITS))
        write_json(self.path, self.epochs)


def train(
    data: Strings | Reviews,
    source: PaddedBatches | np.ndarray,
    training: TrainingConfig,
    settings: Settings,
    folder: Path,
) -> dict:
    """Train one variant to its end, or read it if it is done; return its figures.

    Raises:
        ValueError: what is done, or begun, is a variant of other settings.
        SystemExit: it was interrupted.
    """
    result = read_done(folder, asdict(settings))
    if result is not None:
        return result
    device = pick_device()
    torch.manual_seed(settings.seed)
    model = CharRNN(len(data.vocab), **settings.model).to(device)
    valid = padded(data.frame(data.valid))
    recorder = Recorder(model, data, training.eval_every, settings, folder / "epochs.json")
    checkpoints = Checkpoints(folder, data.vocab, every=CHECKPOINT_EVERY, keep=1)
    note_settings(checkpoints, asdict(settings))
    try:
        history, diverged = fit(model, source, valid, training, recorder, checkpoints), False
    except TrainingDiverged as error:
        history, diverged = error.history, True
    stop_if_interrupted(history, folder)
    write_json(recorder.path, recorder.epochs)  # without an entry, if it diverged at once
    if settings.keep_model:
        save_model(folder / "model.safetensors", model, data.vocab)
    History(rounded(thinned(history.rows), DIGITS)).save(folder / "history.jsonl")
    result = {
        "settings": asdict(settings),
        "updates": len(history) - history.skipped,
        "parameters": count_parameters(model),
        "clipped_share": history.clipped_share,
        "diverged": diverged,
        "training_seconds": round(history.rows[-1]["seconds"], 1),
        "machine": describe(device),
        "precision": history.precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    result |= rounded(measure(model, data, settings), DIGITS)
    write_json(folder / "result.json", result)
    remove_unfinished(folder)
    return result


def thinned(rows: list[dict]) -> list[dict]:
    """Return every row of a history, or of a long one every second, third and so on."""
    every = math.ceil(len(rows) / MOST_ROWS)
    return [{name: row[name] for name in COLUMNS} for row in rows if row["step"] % every == 0]


def measure(model: CharRNN, data: Strings | Reviews, settings: Settings) -> dict:
    """Return the figures of a network at its end; of a broken one, only that its loss is none."""
    loss = evaluate(model, padded(data.frame(data.test)))
    if not math.isfinite(loss):
        return {"test_loss": None}
    return {"test_loss": loss} | data.at_end(model, loss, settings)


def plan_of(
    sequences: list[np.ndarray], settings: Settings
) -> tuple[PaddedBatches | np.ndarray, TrainingConfig]:
    """Return what `fit` is given to train on, and its settings; it validates after every epoch.

    Raises:
        ValueError: what the settings ask for cannot be had from these sequences.
    """
    if settings.max_tokens is not None:
        source = PaddedBatches(sequences, settings.max_tokens, SPECIALS.index(PAD))
        steps = len(source)
    else:
        source = np.concatenate(sequences)
        training = settings.training_of(ANY_STEPS, 1)
        steps = len(Streams(source, training.batch_size, training.seq_len))
    return source, settings.training_of(steps * settings.epochs, eval_every=steps)


def read_config(folder: Path) -> dict[str, Settings]:
    """Return the variants of a folder's config.json: name -> settings; all have the same data."""
    return read_variants(folder, Settings, shared=["data"])


def main(folder: Path) -> None:
    """Train all variants of a folder's config, and list them."""
    variants, results = read_config(folder), {}
    described = next(iter(variants.values())).data
    data = (Strings if "language" in described else Reviews)(described)
    sequences = data.frame(data.train)
    # What cannot be trained on is refused now, not after the variants before it.
    plans = {name: plan_of(sequences, settings) for name, settings in variants.items()}
    for name, (source, training) in plans.items():
        results[name] = train(data, source, training, variants[name], folder / name)
        print(f"{name:<18} loss on the test texts: {results[name]['test_loss']} nats per symbol")
    write_json(folder / "result.json", {"runs": results})


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # a network that died has gradients so small that they are slow
    keep_freed_memory()
    run_program(main, __doc__, "runs/case-c-ndfa")
