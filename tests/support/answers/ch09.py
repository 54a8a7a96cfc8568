"""Right and wrong answers to the exercises of chapter 09."""

import math
from collections import Counter

import numpy as np

from answers import Exercise, raises
from lstmlib.metrics import known_words, ngrams, novelty, words

PROSE = " ".join(
    f"the {a} that {b} used to {c} the {d}."
    for a in ("tide", "sea", "wind", "boat")
    for b in ("we", "they", "people", "men")
    for c in ("see", "follow", "carry", "leave")
    for d in ("shore", "harbour", "land", "night")
)
SEEN, KNOWN = set(ngrams(PROSE, 10)), set(words(PROSE))
PAIRS, SINGLES = Counter(ngrams(PROSE, 2)), Counter(PROSE)


def bigram_loss(text):
    """The loss under counts of pairs, with one more of each."""
    nats = [-math.log((PAIRS[t] + 1) / (SINGLES[t[0]] + 60)) for t in ngrams(text, 2)]
    return sum(nats) / len(nats)


MEASURES = {
    "judge's loss": bigram_loss,
    "known words": lambda text: known_words(text, KNOWN) if len(words(text)) > 1 else 0,
    "novelty": lambda text: novelty(text, SEEN, 10),
}
HELD_WORDS = [("light", "stayed"), ("sound", "went"), ("smoke", "grew")]
HELD = [
    (PROSE[90 * k : 90 * k + 60] + f" some {a} of a quiet evening {b} when the old sea lay still")[
        :120
    ]
    for k, (a, b) in enumerate(HELD_WORDS)
]


def forgets(*arguments):
    """Compute something, and return nothing."""
    len(arguments)


def share(scores, i, j):
    return 1 / (1 + math.exp(scores[j] - scores[i]))


def share_by_strengths(scores, i, j):
    """The same with strengths."""
    a, b = np.exp(scores[i]), np.exp(scores[j])
    return a / (a + b)


def p_value(accuracy, shuffled):
    return (np.sum(shuffled >= accuracy) + 1) / (len(shuffled) + 1)


def p_with_all(accuracy, shuffled):
    """The same, with the true labels among the labellings."""
    return float(np.mean(np.append(shuffled, accuracy) >= accuracy))


def new_share(matches, n):
    return float(np.mean(matches[: len(matches) - n + 1] < n))


def new_by_loop(matches, n):
    """The same, place by place."""
    runs = len(matches) - n + 1
    return sum(int(matches[k] < n) for k in range(runs)) / runs


def interval(losses, draws, rng):
    of_texts = losses.mean(axis=1)
    drawn = [rng.choice(of_texts, len(of_texts)).mean() for _ in range(draws)]
    return np.quantile(drawn, 0.025), np.quantile(drawn, 0.975)


def interval_of_rows(losses, draws, rng):
    """The same, with whole rows drawn."""
    picks = rng.integers(0, len(losses), (draws, len(losses)))
    return tuple(np.quantile(losses[picks].mean(axis=(1, 2)), [0.025, 0.975]))


def resampled(items, draws, rng, outside=0.025, size=None):
    drawn = [rng.choice(items, size or len(items)).mean() for _ in range(draws)]
    return np.quantile(drawn, outside), np.quantile(drawn, 1 - outside)


def sorted_in_place(losses, draws, rng):
    losses.sort(axis=0)
    return interval(losses, draws, rng)


WRITERS = {"P": "trigram", "Q": "cold", "R": "copier", "S": "hot"}
LOOP = ("that used the that used the " * 9)[:120]

EXERCISES = {
    "distinct_by_hand": Exercise(
        right=[6 / 7, 0.86, 0.857],
        wrong=[
            (1 / 7, "came before"),
            (6 / 8, "divide by the pairs"),
            (5 / 8, "divide by the pairs"),
            (5 / 7, "count it once"),
            (6, "divide by the number of all pairs"),
            (7 / 6, "turned round"),
            (85.7, "in percent"),
            (0.9, "seven pairs"),
            ("0.86", "a finite number"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "ece_by_hand": Exercise(
        right=[0.14, 0.1 * 0.5 + 0.1 * 0.3 + 0.3 * 0.2],
        wrong=[
            (0.5 / 3, "a bin with 50 predictions counts more"),
            (0.08, "must not cancel"),
            (-0.08, "must not cancel"),
            (0.3, "the largest gap"),
            (0.5, "without weights"),
            (14, "divide by the 100"),
            (0.026, "squares"),
            (0.2, "multiply each"),
            (None.__class__, "a finite number"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "share_preferred": Exercise(
        right=[share, share_by_strengths],
        wrong=[
            (lambda s, i, j: share(s, j, i), "turn the sign"),
            (lambda s, i, j: math.exp(s[i]) / np.exp(s).sum(), "only the two are compared"),
            (lambda s, i, j: s[i] / (s[i] + s[j]), "may be negative"),
            (lambda s, i, j: math.exp(s[i] - s[j]), "these are the odds"),
            (lambda s, i, j: 1 / (1 + 10 ** (s[j] - s[i])), "takes 10"),
            (lambda s, i, j: s[i] - s[j], "1 / (1 + e^(-1.1))"),
            (lambda s, i, j: 1 / (1 + 2 ** (s[j] - s[i])), "takes 2"),
            (lambda s, i, j: 100 * share(s, i, j), "in percent"),
            (lambda s, i, j: 1 / (1 + math.exp(-abs(s[i] - s[j]))), "less than 1/2"),
            (lambda s, i, j: 0.7502601055951177, "for the scores"),
            (lambda s, i, j: s, "return one number"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "permutation_p": Exercise(
        right=[p_value, p_with_all],
        wrong=[
            (lambda a, s: np.mean(s >= a), "add 1 above and 1 below"),
            (lambda a, s: (np.sum(s > a) + 1) / (len(s) + 1), "equally good"),
            (lambda a, s: np.sum(s >= a) / (len(s) + 1), "1 above is missing"),
            (lambda a, s: (np.sum(s >= a) + 1) / len(s), "add 1 below"),
            (lambda a, s: np.mean(s > a), "count a shuffle that is equally good"),
            (lambda a, s: (np.sum(s <= a) + 1) / (len(s) + 1), "not those that are at most"),
            (lambda a, s: (np.sum(s < a) + 1) / (len(s) + 1), "not those that are at most"),
            (lambda a, s: 0.05, "two are at least as good"),
            (lambda a, s: 0.3, "where no shuffle is as good"),
            (lambda a, s: s >= a, "return one number"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "novelty_at": Exercise(
        right=[new_share, new_by_loop],
        wrong=[
            (lambda m, n: np.mean(m < n), "begin no run"),
            (lambda m, n: np.sum(m[: len(m) - n + 1] < n) / len(m), "divide by these"),
            (lambda m, n: np.mean(m[: len(m) - n + 1] >= n), "new are the others"),
            (lambda m, n: np.mean(m[: len(m) - n + 1] <= n), "less than n is new"),
            (lambda m, n: np.mean(m[: len(m) - n] < n), "one run too few"),
            (lambda m, n: np.mean(m[: len(m) - n + 1] == 0), "no match at all"),
            (lambda m, n: np.mean(m[: -n + 1] < n) if n > 1 else math.nan, "and n = 1: a finite"),
            (lambda m, n: 100 * new_share(m, n), "in percent"),
            (lambda m, n: 0.9, "at 3 of 10 places"),
            (lambda m, n: 0.3, "it is wrong for a text"),
            (lambda m, n: m < n, "return one number"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "mended_interval": Exercise(
        right=[interval, interval_of_rows],
        wrong=[
            (lambda x, d, rng: resampled(x.ravel(), d, rng, 0.05), "characters are drawn still"),
            (lambda x, d, rng: resampled(x.ravel(), d, rng), "characters are drawn still"),
            (lambda x, d, rng: resampled(x.mean(axis=1), d, rng, 0.05), "the ends of 90 %"),
            (lambda x, d, rng: resampled(x.mean(axis=0), d, rng), "a text is a row"),
            (lambda x, d, rng: np.quantile(x.mean(axis=1), [0.025, 0.975]), "the spread of texts"),
            (lambda x, d, rng: interval(x, d, rng)[::-1], "low comes first"),
            (lambda x, d, rng: resampled(x.mean(axis=1), d, rng, size=3), "too wide"),
            (lambda x, d, rng: resampled(x.mean(axis=1), d, rng, size=99), "too narrow"),
            (lambda x, d, rng: (x.mean(), x.mean()), "with replacement"),
            (lambda x, d, rng: resampled(x.sum(axis=1), d, rng), "not their sum"),
            (lambda x, d, rng: interval(x, 2000, rng), "use `draws`"),
            (lambda x, d, rng: interval(x, d, np.random.default_rng(0)), "the generator `rng`"),
            (lambda x, d, rng: interval(x, d, np.random.default_rng()), "the generator `rng`"),
            (lambda x, d, rng: x.mean(), "two numbers"),
            (sorted_in_place, "changes the losses"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "own_cheat": Exercise(
        arguments={"measures": MEASURES, "held": HELD},
        right=[LOOP, ("the that the that " * 9)[:120]],
        wrong=[
            (PROSE[:120], "novelty must be above"),
            ("xq" * 60, "known words must be above"),
            (("zz the " * 30)[:120], "known words must be above"),
            (LOOP[:100], "it must have 120 characters"),
            ([LOOP], "a text is asked for"),
            (3, "a text is asked for"),
            (HELD[0], "must be"),
        ],
        unmoved=("axis_swapped", "sign", "dtype"),
    ),
    "whose_text": Exercise(
        right=[WRITERS, dict(reversed(WRITERS.items()))],
        wrong=[
            (WRITERS | {"P": "hot", "S": "trigram"}, "the fewest known words"),
            (WRITERS | {"Q": "copier", "R": "cold"}, "hardly an unknown word"),
            (WRITERS | {"R": "hot", "S": "copier"}, "runs of 10 are real"),
            (WRITERS | {"R": "trigram", "P": "copier"}, "runs of 10 are real"),
            (WRITERS | {"P": "hot"}, "each of the four"),
            (WRITERS | {"P": ...}, "P has no writer yet"),
            (WRITERS | {"P": "held-out"}, "none of the four"),
            (list(WRITERS.values()), "give a dict"),
            ({"P": "trigram"}, "give a dict"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
}
