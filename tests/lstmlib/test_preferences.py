"""Scores from choices, and how far a measure agrees with them."""

import math

import numpy as np
import pytest

from lstmlib.preferences import Choice, agreement, bradley_terry, kendall_tau, rank


def simulated(scores, count, seed):
    """Choices of a reader who follows the model."""
    rng = np.random.default_rng(seed)
    choices = []
    for _ in range(count):
        i, j = rng.choice(len(scores), 2, replace=False).tolist()
        wins = rng.random() < 1 / (1 + math.exp(scores[j] - scores[i]))
        choices.append(Choice(i, j) if wins else Choice(j, i))
    return choices


def test_two_things_worked_by_hand():
    """Of 4 choices 3 went one way."""
    # The prior, half a choice, gives each way 0.25 more, so s_0 - s_1 = ln(3.25 / 1.25) = 0.9555.
    scores = bradley_terry([Choice(0, 1)] * 3 + [Choice(1, 0)], 2)
    assert scores == pytest.approx([0.4778, -0.4778], abs=1e-4)


def test_the_scores_solve_the_likelihood_equations():
    """At the maximum, each thing's wins are what its scores expect."""
    choices = simulated([1.0, 0.0, -0.5, 2.0], 200, seed=1)
    scores = bradley_terry(choices, 4, prior=1e-6)
    for i in range(4):
        wins = sum(c.preferred == i for c in choices)
        expected = 0.0
        for c in choices:
            if i in c:
                other = c.other if c.preferred == i else c.preferred
                expected += 1 / (1 + math.exp(scores[other] - scores[i]))
        assert wins == pytest.approx(expected, abs=1e-3)


def test_the_scores_of_a_simulated_reader_come_back():
    true = np.array([1.2, 0.4, 0.0, -0.5, -1.1])
    ranking = rank(simulated(true, 4000, seed=2), 5, draws=200)
    assert np.abs(ranking.scores - (true - true.mean())).max() < 0.2
    assert ranking.order == [0, 1, 2, 3, 4]


def test_intervals_hold_the_truth_as_often_as_they_say():
    true = np.array([0.6, 0.0, -0.6])
    held = []
    for seed in range(60):
        ranking = rank(simulated(true, 60, seed=100 + seed), 3, draws=200, seed=seed)
        held += [i.low <= t <= i.high for i, t in zip(ranking.intervals, true, strict=True)]
    assert 0.85 < np.mean(held) <= 1


def test_a_thing_that_always_wins_has_a_finite_score():
    scores = bradley_terry([Choice(0, 1)] * 10 + [Choice(1, 2)] * 10, 3)
    assert np.isfinite(scores).all() and scores[0] > scores[1] > scores[2]


def test_a_thing_that_was_never_shown_stands_in_the_middle():
    scores = bradley_terry([Choice(0, 1)] * 5, 3)
    assert scores[0] > scores[2] > scores[1]
    assert scores[2] == pytest.approx(0, abs=1e-9)


def test_a_ranking_is_the_same_for_a_seed():
    choices = simulated([0.5, 0.0, -0.5], 30, seed=3)
    first, again = rank(choices, 3), rank(choices, 3)
    assert (first.draws == again.draws).all()
    assert (rank(choices, 3, seed=1).draws != first.draws).any()


@pytest.mark.parametrize(
    ("choices", "count", "message"),
    [
        ([], 3, "There is no choice yet"),
        ([Choice(1, 1)], 3, "A choice between 1 and 1 cannot be"),
        ([Choice(0, 3)], 3, "two different numbers from 0 to 2"),
        ([Choice(-1, 0)], 3, "A choice between -1 and 0"),
        ([Choice(0, 1)], 1, "count is 1"),
    ],
)
def test_choices_that_cannot_be_get_one_sentence(choices, count, message):
    with pytest.raises(ValueError, match=message):
        bradley_terry(choices, count)


@pytest.mark.parametrize("prior", [0, -1, math.nan])
def test_a_prior_must_be_above_zero(prior):
    with pytest.raises(ValueError, match="prior is"):
        bradley_terry([Choice(0, 1)], 2, prior=prior)


def test_tau_worked_by_hand():
    # Of the 6 pairs of 4 things, one is in the other order: (5 - 1) / 6.
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    # A tie: 2 pairs in the same order, none in the other; τ-b = 2 / sqrt(3 · 2).
    assert kendall_tau([1, 2, 3], [1, 1, 2]) == pytest.approx(2 / math.sqrt(6))
    assert kendall_tau([1, 2, 3], [5, 5, 5]) == 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1, 2], [1, 2, 3], "two or more things are compared"),
        ([1], [1], "two or more things are compared"),
        ([1, math.nan], [1, 2], "nan has no place"),
    ],
)
def test_what_cannot_be_ranked_gets_one_sentence(first, second, message):
    with pytest.raises(ValueError, match=message):
        kendall_tau(first, second)


def test_agreement_has_the_doubt_of_the_reader_and_of_the_texts():
    ranking = rank(simulated([1.0, 0.3, -0.3, -1.0], 80, seed=4), 4, draws=300)
    sure = agreement(ranking, np.array([4.0, 3.0, 2.0, 1.0]))
    assert sure.value == 1 and sure.low <= sure.value <= sure.high
    rng = np.random.default_rng(0)
    values = np.array([4.0, 3.0, 2.0, 1.0]) + np.vstack([np.zeros(4), rng.normal(0, 1, (199, 4))])
    doubt = agreement(ranking, values)
    assert doubt.value == 1 and doubt.low < sure.low
