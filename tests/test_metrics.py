import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.metrics import (
    NGramModel,
    bits,
    distinct,
    grams,
    known_words,
    novelty,
    perplexity,
    words,
)


def witten_bell(train, context, token, vocab_size):
    """Return P(token | context) by the formula, counting afresh: slow and plain."""
    if len(context) == 0:
        lower = 1 / vocab_size
    else:
        lower = witten_bell(train, context[1:], token, vocab_size)
    n = len(context)
    after = [train[i + n] for i in range(len(train) - n) if train[i : i + n] == context]
    if not after:
        return lower
    kinds = len(set(after))
    return (after.count(token) + kinds * lower) / (len(after) + kinds)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_against_counting_by_hand(order):
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 4, 60).tolist(), rng.integers(0, 5, 30).tolist()
    model = NGramModel(np.array(train), order, 5)
    expected = [
        witten_bell(train, test[max(0, i - order + 1) : i], test[i], 5) for i in range(1, len(test))
    ]
    assert model.probabilities(np.array(test)) == pytest.approx(expected, rel=1e-12)
    assert model.nats_per_char(np.array(test)) == pytest.approx(-np.log(expected).mean())


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=50), st.lists(st.integers(0, 5), max_size=6)
)
def test_next_distribution_sums_to_one_and_agrees(train, context):
    model = NGramModel(np.array(train), 4, 6)
    p = model.next_probabilities(np.array(context, dtype=np.int64))
    assert p.sum() == pytest.approx(1)
    assert (p > 0).all()
    if context:
        last = model.probabilities(np.array([*context, 3]))[-1]
        assert p[3] == pytest.approx(last)


def test_uniform_text_costs_log_v():
    ids = np.random.default_rng(0).integers(0, 8, 100_000)
    assert NGramModel(ids, 2, 8).nats_per_char(ids) == pytest.approx(math.log(8), abs=0.01)


def test_units():
    assert bits(math.log(2)) == pytest.approx(1)
    assert perplexity(math.log(7)) == pytest.approx(7)


@pytest.mark.parametrize(
    ("ids", "order", "size", "message"),
    [
        ([1, 2], 0, 5, "1 \\(unigram\\) or more"),
        ([1, 2], 3, 5, "too short for order 3"),
        ([1, 2] * 20, 12, 100, "64 bits"),
        ([1, 5] * 20, 2, 5, "0 … 4"),
        ([1, -1] * 20, 2, 5, "0 … 4"),
    ],
)
def test_bad_input(ids, order, size, message):
    with pytest.raises(ValueError, match=message):
        NGramModel(np.array(ids), order, size)


def test_one_character_has_no_loss():
    with pytest.raises(ValueError, match="no character to predict"):
        NGramModel(np.arange(5), 2, 5).nats_per_char(np.array([1]))


def test_distinct_counts_each_n_gram_once():
    assert distinct("abcd", 2) == 1
    assert distinct("aaaa", 1) == 1 / 4
    assert distinct("ababab", 2) == 2 / 5
    assert distinct(["the", "cat", "the", "cat"], 2) == 2 / 3
    assert distinct(np.array([1, 1, 2]), 1) == distinct(torch.tensor([1, 1, 2]), 1) == 2 / 3


def test_grams_are_all_of_them_in_order():
    assert grams("abcd", 3) == ["abc", "bcd"]
    assert grams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]


def test_novelty_is_the_share_that_was_not_seen():
    assert novelty("abcd", set(grams("xabcdx", 2)), 2) == 0
    assert novelty("abcd", set(grams("dcba", 2)), 2) == 1
    assert novelty("abcd", set(grams("abxcd", 2)), 2) == 1 / 3
    assert novelty(["a", "b", "c"], set(grams(["b", "c", "d"], 2)), 2) == 1 / 2


@pytest.mark.parametrize("measure", [grams, distinct, lambda x, n: novelty(x, set(), n)])
def test_n_grams_that_are_not_there_are_named(measure):
    with pytest.raises(ValueError, match="n is 0"):
        measure("abc", 0)
    with pytest.raises(ValueError, match="3 items has no 4-gram"):
        measure("abc", 4)


def test_words_are_runs_of_letters_digits_and_underscores():
    assert words('The "__init__()" method, 2 of them: naïve\n') == [
        *("The", "__init__", "method", "2", "of", "them", "naïve")
    ]


def test_known_words_leaves_out_the_last_which_may_be_cut_off():
    assert known_words("the cat sat on the m", {"the", "cat", "on"}) == 4 / 5
    assert known_words("the the", {"the"}) == 1
    for text in ("", " . ", "the"):
        with pytest.raises(ValueError, match="no whole word"):
            known_words(text, {"the"})
