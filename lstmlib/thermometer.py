"""Which loss can be reached on a text in so much time, before any training? Is a loss any good?

The answer is fitted to recorded runs on many texts (runs/thermometer), all of them after one
`recipe`. What is known of a text before training are the losses of n-gram models on its last tenth,
its size and its alphabet. A ridge regression (Hoerl & Kennard 1970) makes a loss of them. The
interval is as wide as the errors on texts that the regression had not seen: the jackknife of Barber
et al. 2021, "Predictive inference with the jackknife+", with errors relative to a size.
"""

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lstmlib.batching import split
from lstmlib.findings import Finding
from lstmlib.models import CharRNN
from lstmlib.ngram import NGramModel
from lstmlib.precision import has_bfloat16
from lstmlib.settings import TrainingConfig
from lstmlib.suffixes import longest_matches
from lstmlib.throughput import training_throughput
from lstmlib.validation import check_ids, check_number, check_whole
from lstmlib.vocab import Vocab

EPOCHS = 40
"""The most epochs of a plan: with more, a network learns nothing new of so small a text."""
LARGER = 3_000_000
"""Trained characters from which the larger network is worth its time."""
LEAST = 200
"""Characters of the shortest text of which anything can be said."""
COUNTED, JUDGED = 1_000_000, 100_000
"""The most characters of the training and of the validation text that n-grams are measured on."""
ORDER = 7
"""Of the longest n-grams."""
PASSAGE = 64
"""Characters of a passage of the last tenth that counts as a copy."""
WORKING = 0.85
"""The share of a run's time that its steps take; the rest goes to validation and checkpoints."""


# What is known of a text before training


@dataclass(frozen=True)
class Features:
    """What is measured of a text before a prediction.

    Attributes:
        size: characters N of the whole text.
        alphabet: tokens V of its vocabulary.
        losses: of n-gram models of order 1 … ORDER, in nats per character of the last tenth.
        losses_of_less: the same, counted on an eighth of the training text.
        copied: share of the last tenth that stands in passages of PASSAGE characters or more which
            the training text has too.
        sampled: whether pieces of the text stood for the whole.
    """

    size: int
    alphabet: int
    losses: tuple[float, ...]
    losses_of_less: tuple[float, ...]
    copied: float
    sampled: bool

    @property
    def five_gram(self) -> float:
        """The loss of the 5-gram model, in nats per character."""
        return self.losses[4]


def measure_features(ids: np.ndarray, vocab_size: int) -> Features:
    """Measure what a prediction needs to know of a text.

    The time is bounded: from a text of more than COUNTED characters, eight pieces spread over it
    are counted, and JUDGED characters of the last tenth are predicted.

    Args:
        ids: the ids of the whole text, (N,) integers.
        vocab_size: number of tokens V.

    Raises:
        ValueError: the text is shorter than LEAST, or an id is outside 0 … V - 1.
    """
    ids = np.asarray(ids)
    if len(ids) < LEAST:
        raise ValueError(
            f"A text of {len(ids):,} characters is too short for a prediction: the loss is "
            f"measured on its last tenth alone. Give a text of {LEAST} characters or more."
        )
    check_ids("ids", ids, vocab_size)
    train, valid = split(ids)  # (0.9 N,), (0.1 N,)
    counted, judged = spread(train, COUNTED), spread(valid, JUDGED)
    less = spread(counted, len(counted) // 8)
    return Features(
        size=len(ids),
        alphabet=vocab_size,
        losses=tuple(NGramModel(counted, ORDER, vocab_size).nats_by_order(judged)),
        losses_of_less=tuple(NGramModel(less, ORDER, vocab_size).nats_by_order(judged)),
        copied=longest_matches(judged, counted).covered(PASSAGE),
        sampled=len(counted) < len(train) or len(judged) < len(valid),
    )


def spread(ids: np.ndarray, most: int, pieces: int = 8) -> np.ndarray:
    """Return a text (N,), or so many characters of it in equal pieces from its begin to its end."""
    # `lstmlib.books.take_sample` makes other pieces, which begin and end with lines. These are of
    # one length. The recorded features were counted on them, and would change with the pieces.
    if len(ids) <= most:
        return ids
    length = most // pieces
    starts = np.linspace(0, len(ids) - length, pieces).astype(int)
    return np.concatenate([ids[start : start + length] for start in starts])


# The recipe


def recipe(size: int, vocab_size: int, characters: int) -> tuple[dict, TrainingConfig]:
    """Return the network and the settings for a text and so many characters to be trained on.

    Args:
        size: characters N of the whole text, of which the last tenth is for validation.
        vocab_size: number of tokens V.
        characters: to be trained on; EPOCHS times the training text at most.

    Returns:
        The arguments of CharRNN beside the vocabulary's size, and the settings for `fit`.
    """
    train, valid = size - round(size / 10), round(size / 10)
    characters = min(characters, EPOCHS * train)
    epochs = characters / train
    # One layer: with so few steps, a second one costs more time than it brings.
    model = {"hidden_size": 256 if characters >= LARGER else 128, "num_layers": 1}
    if vocab_size > 150:  # a one-hot vector would make the first product the largest one
        model["embedding_size"] = 64
    # What is read once cannot be learnt by heart; what is read often is, without dropout.
    model["dropout"] = round(min(max(0.15 * math.log2(epochs / 1.5), 0.0), 0.5), 2)
    seq_len = 32 if characters < 1_000_000 else 64
    # Many small steps where there are few characters, large batches where there are many.
    wanted = 750 * math.sqrt(characters / 400_000)
    batch_size = 4
    while batch_size < 64 and characters / (2 * batch_size * seq_len) >= wanted:
        batch_size *= 2
    steps = max(characters // (batch_size * seq_len), 1)
    rate = 8e-3 if characters < 1_000_000 else 6e-3 if characters < LARGER else 4e-3
    # Validation may take a tenth of the time: it reads a character in about half the time.
    looks = min(max(round(0.2 * characters / max(valid, 1)), 1), 16)
    return model, TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        seq_len=seq_len,
        learning_rate=rate,
        optimizer="adamw",
        optimizer_options={"weight_decay": 0.1 if epochs > 10 else 0.01},
        schedule="cosine",
        warmup=steps // 20,
        clip_norm=1.0,
        eval_every=math.ceil(steps / looks),
        patience=4,
        precision="bfloat16",
        rotate_streams=True,
    )


# The prediction


@dataclass(frozen=True)
class Expectation:
    """Which loss is to be expected of a run.

    Attributes:
        loss: nats per character of the last tenth, the best of the run's validations.
        low, high: between them lie 80 of 100 such runs.
        five_gram: the loss of the 5-gram model, in nats per character.
        characters: that the run is trained on.
        caveats: sentences on what makes the prediction less sure.
        uniform: ln V, the loss of a model that knows nothing. No expected loss is above it.
    """

    loss: float
    low: float
    high: float
    five_gram: float
    characters: int
    caveats: tuple[str, ...] = ()
    uniform: float = math.inf

    def __str__(self) -> str:
        lines = [
            f"expected   {self.loss:.2f} nats per character, 80 % between {self.low:.2f} and "
            f"{self.high:.2f}, after {self.characters:,} characters",
            f"5-gram     {self.five_gram:.2f} nats per character",
        ]
        return "\n".join(lines + [f"beware     {caveat}" for caveat in self.caveats])


@functools.cache
def fitted() -> dict:
    """Return what was fitted to the recorded runs, as experiments/fit_thermometer.py wrote it."""
    path = Path(__file__).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8"))


def row_of(features: Features, characters: int) -> dict[str, float]:
    """Return what the regression reads of a text and a run, by names.

    What grows with the characters is "first reading" and "rereading", products of these with
    numbers that are 0 or more, and what the "larger network" of a longer run brings, which is the
    more, the larger the text. Their weights are 0 or less, so a longer run never has a higher
    prediction.
    """
    less, more = features.losses_of_less, features.losses
    train, best = 0.9 * features.size, min(more)
    # The logarithm of the characters is the sum of these two, but for a constant.
    first = math.log(min(characters, train) / 100_000)
    again = math.log(max(characters / train, 1.0))
    return {
        "2-gram": more[1],
        "3-gram": more[2],
        "best n-gram": best,
        "3-gram of less text": less[2],
        "5-gram of less text": less[4],
        "alphabet": math.log(features.alphabet / 80),
        "first reading": first,
        "rereading": again,
        "rereading × size": again * math.log(features.size / LEAST),
        # A short training comes as far as trigrams; what lies beyond is learnt in a longer one.
        "characters × gain beyond trigrams": (first + again) * (more[2] - best),
        # No smaller text than this can be trained on long enough for it: the logarithm is above 0.
        "larger network × size": (characters >= LARGER) * math.log(features.size * EPOCHS / LARGER),
        # What the error depends on, and not the loss.
        "size": math.log(features.size / 1_000_000),
        "copied": features.copied,
    }


def predict_loss(features: Features, characters: int, fit: dict | None = None) -> Expectation:
    """Predict the loss of a run after the `recipe` on a text.

    Args:
        features: of the text, as `measure_features` returns them.
        characters: to be trained on. From EPOCHS times the training text on, the prediction stays
            the same, since the recipe takes no more.
        fit: what was fitted to runs, None for what `fitted` returns.

    Raises:
        ValueError: characters is not a whole number, 1 or more.
    """
    characters = check_whole("characters", characters)
    read = min(characters, EPOCHS * (features.size - round(features.size / 10)))
    fit, row = fit or fitted(), row_of(features, read)
    loss = fit["constant"] + sum(fit["weights"][name] * row[name] for name in fit["weights"])
    uniform = math.log(features.alphabet)
    loss = min(loss, uniform)  # before its first step, a network knows nothing, and no less
    spread_of = fit["spread"]["constant"]
    spread_of += sum(w * row[name] for name, w in fit["spread"]["weights"].items())
    outside = beyond_records(features, read, fit["range"])
    half = fit["width"] * math.exp(spread_of) * (1 + sum(outside.values()))
    return Expectation(
        loss=max(loss, 0.0),
        low=max(loss - half, 0.0),
        high=min(max(loss + half, 0.0), uniform),
        five_gram=features.five_gram,
        characters=read,
        caveats=tuple(_caveats(features, outside, fit["range"])),
        uniform=uniform,
    )


def beyond_records(features: Features, characters: int, recorded: dict) -> dict[str, float]:
    """Return how far a text and a run lie outside of the recorded ones, as logarithms of ratios.

    Args:
        recorded: name -> [smallest, largest].
    """
    values = {
        "size": features.size,
        "alphabet": features.alphabet,
        "characters": characters,
        "5-gram": features.five_gram,
    }
    beyond = {}
    for name, value in values.items():
        low, high = recorded[name]
        ratio = low / value if value < low else value / high
        if ratio > 1:
            beyond[name] = math.log(ratio)
    return beyond


def _caveats(features: Features, outside: dict[str, float], recorded: dict) -> list[str]:
    """Return sentences on what makes a prediction less sure."""
    said, valid = [], round(features.size / 10)
    if valid < 3_000:
        said.append(
            f"The last tenth has {valid:,} characters: another piece of the same book would give "
            "another loss, and so small a text teaches a network hardly any words."
        )
    words = {
        "size": "The number of the text's characters",
        "alphabet": "The number of its distinct characters",
        "characters": "The number of characters that are trained on",
        "5-gram": "The loss of the 5-gram model",
    }
    for name in outside:
        low, high = (f"{n:.2f}" if name == "5-gram" else f"{n:,.0f}" for n in recorded[name])
        said.append(
            f"{words[name]} is outside of what was recorded, {low} to {high}: the interval is "
            "wider, and says less."
        )
    if min(features.losses) > 0.9 * math.log(features.alphabet):
        said.append(
            "On the last tenth, models that count do hardly better than one that knows nothing: "
            "it may be another kind of text than the rest."
        )
    if features.copied > 0.1:
        said.append(
            f"{features.copied:.0%} of the last tenth are held-out copies of {PASSAGE} characters "
            "or more, which the training text has, too: the loss looks better than it would on new "
            "text."
        )
    if features.sampled:
        said.append(
            f"The text is large: the n-grams were counted on {COUNTED:,} characters, spread over "
            f"its first nine tenths, and measured on {JUDGED:,} of its last tenth at most."
        )
    return said


def expect(text: str | np.ndarray, vocab: Vocab, characters: int) -> Expectation:
    """Predict the loss of a run after the `recipe` from the text itself.

    Args:
        text: the cleaned text, or its ids (N,) integers; all of it, with its last tenth.
        vocab: of the text.
        characters: to be trained on.

    Raises:
        ValueError: as `measure_features` and `predict_loss`, or the vocabulary lacks a character.
    """
    ids = vocab.encode(text) if isinstance(text, str) else text
    return predict_loss(measure_features(ids, len(vocab)), characters)


# The plan


@dataclass(frozen=True)
class Plan:
    """A network and its training on a text, and the loss to be expected.

    Attributes:
        model: the arguments of CharRNN beside the size of the vocabulary.
        training: the settings for `fit`.
        characters: that the training takes in, over all its steps.
        characters_per_second: how fast this machine trains this network, measured.
        minutes: that were given.
        read_enough: whether the training ends before that, since the text was read EPOCHS times.
        expected: loss, interval and caveats.
    """

    model: dict
    training: TrainingConfig
    characters: int
    characters_per_second: float
    minutes: float
    read_enough: bool
    expected: Expectation

    @property
    def loss(self) -> float:
        """The expected loss, in nats per character of the last tenth."""
        return self.expected.loss

    @property
    def low(self) -> float:
        """The lower end of the 80 % interval, in nats per character."""
        return self.expected.low

    @property
    def high(self) -> float:
        """The upper end of the 80 % interval, in nats per character."""
        return self.expected.high

    @property
    def five_gram(self) -> float:
        """The loss of the 5-gram model, in nats per character."""
        return self.expected.five_gram

    @property
    def uniform(self) -> float:
        """The loss of a model that knows nothing, in nats per character."""
        return self.expected.uniform

    @property
    def seconds(self) -> float:
        """How long the training is expected to take, in seconds."""
        return self.characters / self.characters_per_second / WORKING

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences on what makes the plan less sure, or of less use."""
        if not self.read_enough:
            return self.expected.caveats
        idle = (
            f"The training takes about {_time(self.seconds)} of the {self.minutes:g} minutes: "
            f"then the text was read {EPOCHS} times, and reading it more often would not help."
        )
        return (*self.expected.caveats, idle)

    def __str__(self) -> str:
        model, training = self.model, self.training
        lines = [
            f"network    {model['num_layers']} LSTM layer of {model['hidden_size']}, dropout "
            f"{model['dropout']}",
            f"training   {training.steps:,} steps of {training.batch_size} × {training.seq_len} "
            f"characters, about {_time(self.seconds)} at "
            f"{self.characters_per_second:,.0f} characters a second",
            str(Expectation(**{**vars(self.expected), "caveats": self.caveats})),
        ]
        return "\n".join(lines)


def _time(seconds: float) -> str:
    """Return a time in words."""
    return f"{seconds / 60:.1f} minutes" if seconds > 90 else f"{math.ceil(seconds)} seconds"


def plan(
    text: str | np.ndarray,
    vocab: Vocab,
    minutes: float,
    device: torch.device | None = None,
) -> Plan:
    """Choose network and training for a text and a time, and predict the loss.

    The speed of this machine is measured in a second or two, as long as nothing else keeps it busy.
    No random number is drawn from the generators that others use.

        planned = plan(text, vocab, minutes=5)
        model = CharRNN(len(vocab), **planned.model)
        history = fit(model, *split(vocab.encode(text)), planned.training)

    Args:
        text: the cleaned text, or its ids (N,) integers; all of it, with its last tenth.
        vocab: of the text.
        minutes: that the training may take, above 0.
        device: to train on; None stands for the CPU.

    Raises:
        ValueError: as `measure_features`; minutes is not above 0; so short a time that not a
            thousand characters can be trained on.
    """
    minutes = check_number("minutes", minutes, above=0)
    ids = vocab.encode(text) if isinstance(text, str) else np.asarray(text)
    features = measure_features(ids, len(vocab))
    device, seconds = device or torch.device("cpu"), WORKING * 60 * minutes
    most = EPOCHS * (len(ids) - round(len(ids) / 10))
    # Each network's own speed. The larger one is taken if it gets far enough in the time.
    for least, limit in ((LARGER, most), (1, LARGER - 1)):
        if most >= least:
            speed = measure_speed(len(ids), len(vocab), least + LARGER // 2, device)
            characters = min(int(speed * seconds), most, limit)
            if characters >= least:
                break
    if characters < 1_000:
        raise ValueError(
            f"In {minutes:g} minutes this machine trains on {characters} characters: give more."
        )
    model, training = recipe(len(ids), len(vocab), characters)
    trained = training.steps * training.batch_size * training.seq_len
    expected = predict_loss(features, trained)
    return Plan(model, training, trained, speed, minutes, characters == most, expected)


def measure_speed(size: int, vocab_size: int, characters: int, device: torch.device) -> float:
    """Return how many characters a second a device trains on, in a run of so many characters."""
    arguments, training = recipe(size, vocab_size, characters)
    precision = training.precision if has_bfloat16(device) else "float32"
    with torch.random.fork_rng():
        model = CharRNN(vocab_size, **arguments).to(device)
        return training_throughput(
            model, training.batch_size, training.seq_len, precision, least=0.3
        )


def judge(loss: float, expected: Expectation | Plan) -> str:
    """Say in a few sentences whether a loss is what was to be expected, and where to look if not.

    Args and errors: as of `verdict_on`, which keeps fact and advice apart.
    """
    return str(verdict_on(loss, expected))


def verdict_on(loss: float, expected: Expectation | Plan) -> Finding:
    """Return whether a loss is what was to be expected, and where to look for a fault if not.

    Args:
        loss: in nats per character of the last tenth.
        expected: what was predicted for this text and this training.

    Raises:
        ValueError: the loss is not a number, 0 or more.
    """
    loss = check_number("loss", loss, at_least=0)
    found = f"A loss of {loss:.2f} nats per character is"
    between = f"the interval from {expected.low:.2f} to {expected.high:.2f}"
    if loss >= expected.uniform:
        return Finding(
            f"{found} no better than that of a model that knows nothing, {expected.uniform:.2f}. "
            "The last tenth may be another kind of text than the rest, or the training has not "
            "begun to learn."
        )
    advice = ""
    if loss > expected.high:
        fact = f"{found} above {between}: about nine of ten such runs end lower."
        advice = (
            "Look for a fault: a learning rate too high or too low, a training that was stopped "
            "early, a last tenth of another kind than the rest."
        )
    elif loss < expected.low:
        fact = (
            f"{found} below {between}: about nine of ten such runs end higher. Either the network "
            "or its training is better than the plan's, or the last tenth stands in the training "
            "text."
        )
    else:
        fact = f"{found} inside {between}: it is what such a training reaches on this text."
    if expected.caveats and not expected.low <= loss <= expected.high:
        fact += " But the interval itself is not sure here, as the caveats of the plan say."
    if loss > expected.five_gram:
        fact += f" Counting does better: the 5-gram model has {expected.five_gram:.2f}."
    return Finding(fact, advice)
