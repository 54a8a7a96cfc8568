"""Which texts does a reader prefer? Scores from choices between two, and what agrees with them.

Sizes in comments: k things that are compared, C choices, D draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lstmlib.metrics import Interval
from lstmlib.validation import check_whole


class Choice(NamedTuple):
    """A reader was shown two things and preferred one.

    Attributes:
        preferred, other: numbers of the two, 0 … k - 1.
    """

    preferred: int
    other: int


def bradley_terry(choices: Sequence[Choice], count: int, prior: float = 0.5) -> np.ndarray:
    """Return the score of each of `count` things, (k,) float64; their mean is 0.

    The model (Bradley & Terry 1952): thing i is preferred to thing j with probability
    1 / (1 + e^(s_j - s_i)). The scores s are those of highest likelihood, found by the
    minorization–maximization steps of Hunter 2004. A thing that was always preferred would have an
    infinite score; so every pair also counts `prior` choices, half of them each way.

    Args:
        choices: what was preferred to what; at least one.
        count: k, how many things there are, 2 or more.
        prior: choices that each pair counts beforehand, above 0.

    Raises:
        ValueError: there is no choice; a choice names one thing twice or a thing that is not there;
            or an argument is outside its bounds.
    """
    return _scores(_wins(choices, count)[None], prior)[0]


def _wins(choices: Sequence[Choice], count: int) -> np.ndarray:
    """Return how often thing i was preferred to thing j, (k, k) float64."""
    check_whole("count", count, at_least=2)
    if not len(choices):
        raise ValueError("There is no choice yet: let the reader choose at least once.")
    wins = np.zeros((count, count))
    for preferred, other in choices:
        if preferred == other or not (0 <= preferred < count and 0 <= other < count):
            raise ValueError(
                f"A choice between {preferred} and {other} cannot be: it must be "
                f"between two different numbers from 0 to {count - 1}."
            )
        wins[preferred, other] += 1
    return wins


def _scores(wins: np.ndarray, prior: float, steps: int = 10_000) -> np.ndarray:
    """Return the scores of several tables of wins at once, (D, k, k) -> (D, k)."""
    if not prior > 0:
        raise ValueError(f"prior is {prior!r}; it must be above 0, or a score may be infinite.")
    k = wins.shape[1]
    wins = wins + prior / 2 * (1 - np.eye(k))
    pairs, won = wins + wins.transpose(0, 2, 1), wins.sum(axis=2)  # (D, k, k), (D, k)
    scores = np.zeros(won.shape)
    for _ in range(steps):
        strengths = np.exp(scores)
        # Hunter's equation 3: strength = wins / Σ_j (choices with j) / (strength + strength of j)
        sums = strengths[:, :, None] + strengths[:, None, :]
        new = np.log(won / (pairs / sums).sum(axis=2))
        new -= new.mean(axis=1, keepdims=True)
        if np.abs(new - scores).max() < 1e-10:
            return new
        scores = new
    return scores


@dataclass(frozen=True, eq=False)
class Ranking:
    """The scores of things that a reader compared, with what chance could have made of them.

    Attributes:
        scores: Bradley–Terry scores, (k,) float64, see `bradley_terry`.
        draws: the scores of resampled choices, (D, k) float64.
        level: of the intervals.
    """

    scores: np.ndarray
    draws: np.ndarray = field(repr=False)
    level: float

    @property
    def intervals(self) -> list[Interval]:
        """The score of each thing, with its interval."""
        return [
            Interval(float(score), *_ends(self.draws[:, i], self.level))
            for i, score in enumerate(self.scores)
        ]

    @property
    def order(self) -> list[int]:
        """The numbers of the things, the most preferred one first."""
        return np.argsort(-self.scores, kind="stable").tolist()


def rank(
    choices: Sequence[Choice],
    count: int,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Ranking:
    """Rank `count` things by a reader's choices, with bootstrap intervals over the choices.

    The intervals say how far other choices of the same reader would have moved the scores. They say
    nothing of other readers.

    Raises:
        ValueError: as `bradley_terry`.
    """
    scores = bradley_terry(choices, count)
    check_whole("draws", draws)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(choices), (draws, len(choices)))  # (D, C)
    chosen = np.array(choices, dtype=np.int64)  # (C, 2)
    wins = np.zeros((draws, count, count))
    for table, picks in zip(wins, drawn, strict=True):
        np.add.at(table, (chosen[picks, 0], chosen[picks, 1]), 1)
    return Ranking(scores, _scores(wins, prior=0.5), level)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's τ-b of two rankings of the same things: 1 alike, -1 reversed.

    τ = (pairs in the same order - pairs in the other order) / all pairs; τ-b takes out tied pairs
    (Kendall 1945). It is 0 where all values of one ranking are tied. Computed by SciPy.

    Args:
        first, second: a value for each of k things, k ≥ 2. Only their order matters.

    Raises:
        ValueError: other numbers of things, fewer than 2, or a value is nan.
    """
    from scipy.stats import kendalltau

    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(
            f"Two rankings of the same two or more things are compared, not of {first.shape} "
            f"and {second.shape} values."
        )
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("A value is nan, and nan has no place in an order.")
    if len(set(first)) == 1 or len(set(second)) == 1:
        return 0.0
    return float(kendalltau(first, second).statistic)


def agreement(ranking: Ranking, values: np.ndarray) -> Interval:
    """Return Kendall's τ between a reader's ranking and a measure, with its interval.

    Args:
        ranking: of k things.
        values: the measure of each thing, (k,), the higher the better. Or what resampled texts give
            of it, (D', k), whose first row is that of the texts as they are: then the interval also
            has the chance of the texts.

    Raises:
        ValueError: as `kendall_tau`.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    taus = [kendall_tau(scores, values[i % len(values)]) for i, scores in enumerate(ranking.draws)]
    return Interval(kendall_tau(ranking.scores, values[0]), *_ends(np.array(taus), ranking.level))


def _ends(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Return the ends of a percentile interval."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
