import dataclasses
import math
import re
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmlib import thermometer
from lstmlib.batching import split
from lstmlib.models import CharRNN
from lstmlib.ngram import NGramModel
from lstmlib.suffixes import longest_matches
from lstmlib.thermometer import (
    EPOCHS,
    LARGER,
    Features,
    expect,
    judge,
    measure_features,
    plan,
    predict_loss,
    recipe,
    spread,
    verdict_on,
)
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "hat", "and", "house", "mouse", "of", "red"]
SPEED = 50_000.0


def prose(characters, seed=0):
    """Return a text of words drawn at random, in sentences of several lengths."""
    rng = np.random.default_rng(seed)
    words = rng.choice(WORDS, characters // 2)
    ends = rng.choice([" ", " ", " ", ", ", ". ", "\n"], characters // 2)
    return "".join(w + e for w, e in zip(words, ends, strict=True))[:characters]


def random_ids(characters, alphabet, seed=0):
    """Return ids that follow each other with unequal probabilities, (characters,) int64."""
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.geometric(min(8 / alphabet, 0.5), characters) - 1, alphabet - 1)
    return ids.astype(np.int64)


@pytest.fixture
def even_speed(monkeypatch):
    """A machine that trains the larger network at SPEED, and the other one at twice that."""

    def speed(size, vocab_size, characters, device):
        return SPEED * (1 if characters >= LARGER else 2)

    monkeypatch.setattr(thermometer, "measure_speed", speed)


# What is known of a text


def test_features_are_what_models_of_each_order_say():
    text = prose(20_000)
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    features = measure_features(ids, len(vocab))
    train, valid = split(ids)
    apart = [NGramModel(train, n, len(vocab)).nats_per_char(valid) for n in range(1, 8)]
    assert features.losses == pytest.approx(apart, rel=1e-12)
    assert features.five_gram == features.losses[4]
    assert (features.size, features.alphabet) == (20_000, len(vocab))
    assert not features.sampled
    # An eighth of the text tells less, from bigrams on.
    assert all(a > b for a, b in zip(features.losses_of_less[1:], features.losses[1:], strict=True))


def test_a_large_text_is_counted_in_pieces_from_all_of_it():
    ids = np.arange(80_000)
    taken = spread(ids, 8_000)
    assert len(taken) == 8_000 and taken[0] == 0 and taken[-1] == 79_999
    assert (np.diff(taken) == 1).sum() == 8_000 - 8  # eight pieces, each in order
    assert spread(ids, 80_000) is ids


@pytest.mark.parametrize("seed", range(4))
def test_the_held_out_copies_are_those_of_a_slow_search(seed):
    rng = np.random.default_rng(seed)
    training = rng.integers(0, 3, 700)
    parts = [rng.integers(0, 3, rng.integers(1, 90)), training[100 : 100 + 64 + 20 * seed]]
    text = np.concatenate([*parts, rng.integers(0, 3, 30), training[-64:]])
    length, inside = thermometer.PASSAGE, np.zeros(len(text), dtype=bool)
    known = {tuple(training[i : i + length]) for i in range(len(training) - length + 1)}
    for i in range(len(text) - length + 1):
        if tuple(text[i : i + length]) in known:
            inside[i : i + length] = True
    assert inside.any() and not inside.all()
    copied = longest_matches(text, training).covered(length)
    assert copied == pytest.approx(inside.mean())


def test_the_held_out_copies_are_those_of_the_last_tenth():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 4_000)
    ids[3_700:3_800] = ids[100:200]
    # By chance the copy may go on for some characters.
    assert measure_features(ids, 5).copied == pytest.approx(100 / 400, abs=0.01)
    ids[3_700:3_800] = ids[3_850:3_950]  # a repeat inside the last tenth is no copy
    assert measure_features(ids, 5).copied == 0


# The recipe


@pytest.mark.parametrize("size", [1_000, 30_000, 3_000_000])
def test_a_text_is_read_forty_times_at_most(size):
    train = size - round(size / 10)
    most = EPOCHS * train
    model, training = recipe(size, 80, most)
    assert recipe(size, 80, 3 * most) == (model, training)
    read = training.steps * training.batch_size * training.seq_len
    assert most * 0.9 < read <= most


def test_what_is_read_often_gets_dropout_and_what_is_read_once_none():
    rates = [recipe(300_000, 80, c)[0]["dropout"] for c in (200_000, 1_000_000, 4_000_000, 10**7)]
    assert rates[0] == 0 and rates == sorted(rates) and rates[-1] == 0.5


def test_an_alphabet_of_thousands_gets_an_embedding():
    assert "embedding_size" not in recipe(10**6, 100, 10**6)[0]
    assert recipe(10**6, 4_000, 10**6)[0]["embedding_size"] == 64


@given(size=st.integers(1_000, 10**8), alphabet=st.integers(1, 10_000), read=st.integers(1, 10**9))
@settings(max_examples=60, deadline=None)
def test_a_recipe_is_always_one_that_can_be_trained(size, alphabet, read):
    model, training = recipe(size, alphabet, read)
    assert training.steps >= 1 and 0 <= model["dropout"] <= 0.5
    read = training.steps * training.batch_size * training.seq_len
    assert read <= max(EPOCHS * size, training.batch_size * training.seq_len)


# The prediction


def features_of(size=500_000, alphabet=80, losses=None, gain=0.2, copied=0.0):
    """Return features as texts have them; `gain` is what eight times the text brings."""
    losses = losses or (3.1, 2.4, 1.9, 1.6, 1.5, 1.5, 1.6)
    less = tuple(loss + gain * n / 7 for n, loss in enumerate(losses))
    return Features(size, alphabet, tuple(losses), less, copied, False)


@given(
    size=st.integers(1_000, 10**8),
    alphabet=st.integers(2, 8_000),
    first=st.floats(1.0, 7.0),
    shares=st.lists(st.floats(0.5, 1.1), min_size=6, max_size=6),
    gain=st.floats(0, 2),
    characters=st.lists(st.integers(1, 10**9), min_size=2, max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_more_training_never_raises_the_prediction(size, alphabet, first, shares, gain, characters):
    losses = tuple(first * np.cumprod([1.0, *shares]))
    features = features_of(size, alphabet, losses, gain)
    predicted = [predict_loss(features, c).loss for c in sorted(characters)]
    assert all(later <= before + 1e-9 for before, later in pairwise(predicted))


def test_a_prediction_is_an_interval_around_a_loss():
    expected = predict_loss(features_of(), 4_000_000)
    assert 0 < expected.low < expected.loss < expected.high
    assert expected.five_gram == 1.5 and expected.characters == 4_000_000
    assert expected.caveats == ()
    assert re.search(
        r"expected +\d\.\d\d nats .* 80 % between \d\.\d\d and \d\.\d\d", str(expected)
    )


def test_what_cannot_be_trained_on_is_not_counted():
    """Forty epochs are the most, so more characters change nothing."""
    features = features_of(size=10_000)
    assert predict_loss(features, 10**9) == predict_loss(features, EPOCHS * 9_000)


@pytest.mark.parametrize("characters", [0, -5, 1.5, None, "many"])
def test_characters_that_are_no_number_of_them_are_refused(characters):
    with pytest.raises(ValueError, match="^characters is .*; it must be a whole number, 1 or more"):
        predict_loss(features_of(), characters)


def width(expected):
    return expected.high - expected.low


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": 10**9}, "number of the text's characters is outside"),
        ({"alphabet": 60_000}, "number of its distinct characters is outside"),
        (
            {"losses": (0.2, 0.1, 0.05, 0.02, 0.01, 0.01, 0.01)},
            "loss of the 5-gram model is outside",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_never_recorded_is_said_and_widens_the_interval(changed, words):
    fit_of = thermometer.fitted() | {"spread": {"constant": -2.0, "weights": {}}}
    inside = predict_loss(
        features_of(losses=(3.0,) * 7),
        4_000_000,
        fit_of
        | {
            "range": {
                "size": [1, 10**9],
                "alphabet": [1, 10**6],
                "characters": [1, 10**9],
                "5-gram": [0, 10],
            }
        },
    )
    outside = predict_loss(features_of(**{"losses": (3.0,) * 7, **changed}), 4_000_000, fit_of)
    assert any(words in caveat for caveat in outside.caveats)
    assert width(outside) > width(inside)


def test_a_training_longer_than_any_recorded_one_is_said():
    long = predict_loss(features_of(size=10**6, alphabet=80), 35_000_000)
    recorded = thermometer.fitted()["range"]["characters"][1]
    assert recorded < 35_000_000
    assert any("that are trained on is outside" in caveat for caveat in long.caveats)


def test_repeated_passages_are_said():
    expected = predict_loss(features_of(copied=0.31), 4_000_000)
    assert any("31% of the last tenth are held-out copies of 64 ch" in c for c in expected.caveats)


# The plan


def test_a_plan_says_all_that_a_reader_needs(even_speed):
    text = prose(60_000)
    vocab = Vocab.from_text(text)
    planned = plan(text, vocab, minutes=0.5)
    read = planned.training.steps * planned.training.batch_size * planned.training.seq_len
    assert planned.characters == read <= EPOCHS * 54_000
    assert planned.seconds <= 30 * 1.001
    assert planned.low < planned.loss < planned.high
    assert planned.loss == expect(text, vocab, read).loss
    for words in ("LSTM layer of 128", f"{planned.training.steps:,} steps", "5-gram", "expected"):
        assert words in str(planned)


def test_ids_and_their_text_have_the_same_plan(even_speed):
    text = prose(20_000)
    vocab = Vocab.from_text(text)
    assert plan(text, vocab, 1) == plan(vocab.encode(text), vocab, 1)


def test_more_minutes_never_raise_what_is_expected(even_speed):
    text = prose(100_000)
    vocab = Vocab.from_text(text)
    plans = [plan(text, vocab, minutes) for minutes in (0.05, 0.3, 0.6, 0.9, 1.3, 500)]
    for before, after in pairwise(plans):
        assert after.loss <= before.loss + 1e-9
        assert after.characters >= before.characters
        assert after.seconds <= after.minutes * 60 * 1.001
    assert plans[0].model["hidden_size"] == 128 and plans[-1].model["hidden_size"] == 256
    assert any("would not help" in caveat for caveat in plans[-1].caveats)
    assert not any("would not help" in caveat for caveat in plans[3].caveats)


def test_measuring_the_speed_moves_no_random_state():
    text = prose(3_000)
    torch.manual_seed(5), np.random.seed(5)
    wanted = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5), np.random.seed(5)
    planned = plan(text, Vocab.from_text(text), minutes=0.1)
    assert planned.characters_per_second > 0
    assert torch.equal(torch.rand(3), wanted[0]) and (np.random.rand(3) == wanted[1]).all()


@pytest.mark.slow
def test_a_planned_training_runs_and_is_judged(even_speed):
    text = prose(4_000)
    vocab = Vocab.from_text(text)
    planned = plan(text, vocab, minutes=0.01)
    train_ids, valid_ids = split(vocab.encode(text))
    torch.manual_seed(0)
    model = CharRNN(len(vocab), **planned.model)
    history = fit(model, train_ids, valid_ids, planned.training, progress=False)
    loss = evaluate(model, valid_ids)
    best = min(row["valid_loss"] for row in history.rows if row["valid_loss"] is not None)
    assert loss == pytest.approx(best, rel=1e-4) and loss < math.log(len(vocab))
    assert f"A loss of {loss:.2f} nats" in judge(loss, planned)


# Bad input


def test_an_empty_text_and_a_short_one_are_refused():
    vocab = Vocab.from_text("abc")
    for text in ("", "abc" * 66):
        with pytest.raises(ValueError, match=f"^A text of {len(text)} characters is too short for"):
            plan(text, vocab, 1)


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf, "5", None])
def test_minutes_that_are_no_time_are_refused(minutes):
    with pytest.raises(ValueError, match="^minutes is "):
        plan(prose(2_000), Vocab.from_text(prose(2_000)), minutes)


def test_a_time_in_which_nothing_can_be_trained_is_refused(even_speed):
    text = prose(2_000)
    with pytest.raises(ValueError, match=r"^In 0.0001 minutes this machine trains on 510 char"):
        plan(text, Vocab.from_text(text), 0.0001)


def test_ids_of_another_vocabulary_are_refused(even_speed):
    with pytest.raises(ValueError, match="9 in ids is no id"):
        plan(np.full(2_000, 9), Vocab.from_text("abc"), 1)


def test_three_kilobytes_are_planned_and_said_to_tell_little(even_speed):
    text = prose(3_000)
    planned = plan(text, Vocab.from_text(text), minutes=5)
    assert planned.characters <= EPOCHS * 2_700
    assert any("last tenth has 300 characters" in caveat for caveat in planned.caveats)
    assert any("reading it more often would not help" in caveat for caveat in planned.caveats)


@pytest.mark.parametrize(("alphabet", "size"), [(40, 60_000), (6_000, 200_000)])
def test_forty_and_six_thousand_distinct_characters(alphabet, size, even_speed):
    ids = np.concatenate([np.arange(alphabet), random_ids(size, alphabet)])
    vocab = Vocab(chr(0x4E00 + k) for k in range(alphabet))
    planned = plan(ids, vocab, minutes=1)
    assert 0 <= planned.low <= planned.loss <= planned.high <= math.log(alphabet) + 1e-9
    assert planned.low < planned.high
    assert ("embedding_size" in planned.model) == (alphabet == 6_000)
    said = any("distinct characters is outside" in caveat for caveat in planned.caveats)
    assert said == (alphabet == 6_000)


def test_of_twenty_megabytes_no_more_is_counted_than_of_a_smaller_text(even_speed, monkeypatch):
    counted = []

    class Counting(NGramModel):
        def __init__(self, ids, order, vocab_size):
            counted.append(len(ids))
            super().__init__(ids, order, vocab_size)

        def nats_by_order(self, ids):
            counted.append(len(ids))
            return super().nats_by_order(ids)

    monkeypatch.setattr(thermometer, "NGramModel", Counting)
    monkeypatch.setattr(thermometer, "COUNTED", 80_000)
    monkeypatch.setattr(thermometer, "JUDGED", 8_000)
    ids = np.tile(random_ids(2_000_000, 60), 10)
    tracemalloc.start()
    planned = plan(ids, Vocab(chr(48 + k) for k in range(60)), minutes=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counted == [80_000, 8_000, 10_000, 8_000]
    assert peak < 100e6  # the ids themselves have 160 MB
    said = " ".join(planned.caveats)
    assert "n-grams were counted on 80,000 characters, spread over its first nine tenths" in said
    assert "number of the text's characters is outside" in said


# Is my loss any good?


def test_a_loss_is_judged_by_the_interval():
    expected = dataclasses.replace(
        predict_loss(features_of(), 4_000_000), loss=1.4, low=1.3, high=1.5, five_gram=1.6
    )
    assert judge(1.35, expected).endswith("it is what such a training reaches on this text.")
    assert "above the interval from 1.30 to 1.50" in judge(1.55, expected)
    assert "Look for a fault" in judge(1.55, expected)
    assert "Look for a fault" not in verdict_on(1.55, expected).fact
    assert judge(1.55, expected) == str(verdict_on(1.55, expected))
    assert "below the interval from 1.30 to 1.50" in judge(1.2, expected)
    assert "5-gram" not in judge(1.55, expected)
    assert "Counting does better: the 5-gram model has 1.60." in verdict_on(1.7, expected).fact


@pytest.mark.parametrize("loss", [math.nan, -0.1, None, "1.3"])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match="^loss is "):
        judge(loss, predict_loss(features_of(), 4_000_000))


def test_no_loss_above_that_of_knowing_nothing_is_expected():
    """A last tenth in another script: models that count are worse there than guessing."""
    characters = 20_000 * "the cat sat on the mat. "[:18]
    text = characters[:90_000] + "αβγδεζηθικ" * 1_000
    vocab = Vocab.from_text(text)
    expected = expect(text, vocab, 400_000)
    assert expected.low < expected.high <= math.log(len(vocab)) == expected.uniform
    assert expected.low <= expected.loss <= expected.high
    assert any("another kind of text" in caveat for caveat in expected.caveats)
    said = judge(expected.uniform + 0.1, expected)
    assert "knows nothing" in said and "ten such runs" not in said
