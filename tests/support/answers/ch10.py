"""Right and wrong answers to the exercises of chapter 10."""

import itertools
import math

import numpy as np

from answers import Exercise, raises

MEAN = 43.88 / 25


def forgets(*arguments):
    """Compute something, and return nothing."""
    len(arguments)


def parameters(V, H, L, biases=2, output=True, bias=True, gates=4, upper=None):
    """The parameters of an LSTM network on one-hot characters, or wrong ones."""
    first = gates * H * (V + H + biases)
    later = gates * H * ((H if upper is None else V) + H + biases)
    return first + (L - 1) * later + output * H * V + output * bias * V


def parameters_of_a_model(V, H, L):
    """The same, counted by PyTorch."""
    import torch

    with torch.random.fork_rng():
        parts = torch.nn.LSTM(V, H, L), torch.nn.Linear(H, V)
        return sum(p.numel() for part in parts for p in part.parameters())


def nats(loss, unit, per, characters):
    """A loss in nats per character."""
    loss = loss * math.log(2) if unit == "bits" else loss
    return loss / characters if per == "sequence" else loss


def nats_by_factors(loss, unit, per, characters):
    """The same as a product."""
    return loss * {"nats": 1, "bits": math.log(2)}[unit] / {"character": 1}.get(per, characters)


def best(rows):
    """The step of the lowest validation loss."""
    measured = [
        r for r in rows if r["valid_loss"] is not None and r["valid_loss"] == r["valid_loss"]
    ]
    return min(measured, key=lambda row: row["valid_loss"])["step"]


def best_by_loop(rows, lowest=math.inf):
    """The same with a loop; without a loss below `lowest` it finds none."""
    step = None
    for row in rows:
        if row["valid_loss"] is not None and row["valid_loss"] < lowest:
            lowest, step = row["valid_loss"], row["step"]
    return step


def best_with_infinity(rows, last=False):
    """The same with None as infinity; NaN is not thought of."""
    found = rows[::-1] if last else rows
    return min(found, key=lambda r: math.inf if r["valid_loss"] is None else r["valid_loss"])[
        "step"
    ]


def measured(rows):
    return [r for r in rows if r["valid_loss"] is not None and r["valid_loss"] == r["valid_loss"]]


def worst(rows):
    return max(measured(rows), key=lambda r: r["valid_loss"])["step"]


def best_of_true(rows):
    """A loss of 0 is taken for none."""
    return best([r for r in rows if r["valid_loss"]])


def best_before_a_rise(rows):
    """It stops at the first loss that is higher than the one before."""
    found = measured(rows)
    for row, later in itertools.pairwise(found):
        if later["valid_loss"] > row["valid_loss"]:
            return row["step"]
    return found[-1]["step"]


def best_of_sorted(rows):
    rows.sort(key=lambda r: r["valid_loss"] if r["valid_loss"] is not None else math.inf)
    return rows[0]["step"]


def folded(p, tokens):
    """The probabilities without case."""
    total = {}
    for token, share in zip(tokens, p, strict=True):
        total[token.lower()] = total.get(token.lower(), 0) + share
    return total


def folded_by_mask(p, tokens):
    """The same, a sum for each small form."""
    small = np.array([token.lower() for token in tokens])
    return {token: float(p[small == token].sum()) for token in dict.fromkeys(small.tolist())}


def folded_in_place(p, tokens):
    result = folded(p, tokens)
    p /= 2
    return result


def samples(share, chance):
    """How many samples show a right one."""
    return math.ceil(math.log(1 - chance) / math.log(1 - share))


def samples_by_loop(share, chance):
    """The same, one more at a time."""
    n, none = 0, 1.0
    while 1 - none < chance - 1e-12:
        n, none = n + 1, none * (1 - share)
    return n


FAIR = {
    "a": "units differ",
    "b": "texts differ",
    "c": "symbols differ",
    "d": "fair",
    "e": "training against held-out",
}


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def slope_by_sums(x, y):
    """The same, by the formula."""
    a, b = np.log10(x), np.log10(y)
    return ((a - a.mean()) * (b - b.mean())).sum() / ((a - a.mean()) ** 2).sum()


FIXED = ("axis_swapped", "sign", "dtype")
EXERCISES = {
    "bits_of_e": Exercise(
        right=[MEAN / math.log(2), 2.532, np.float64(43.88 / 25 * math.log2(math.e))],
        wrong=[
            (MEAN, "that is in nats"),
            (MEAN * math.log(2), "more bits than nats"),
            (43.88 / math.log(2), "of 25 characters"),
            (43.88, "published figure itself"),
            (math.exp(MEAN), "perplexity"),
            (43.88 * 25 / math.log(2), "their sum"),
            (MEAN / math.log(10), "base 10"),
            (2.0, "two steps"),
            ("2.53 bits", "a finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "parameters": Exercise(
        right=[
            parameters,
            parameters_of_a_model,
            lambda V, H, L: sum(4 * H * (n + H + 2) for n in [V] + [H] * (L - 1)) + (H + 1) * V,
        ],
        wrong=[
            (lambda V, H, L: parameters(V, H, L, biases=1), "two biases for each gate"),
            (lambda V, H, L: parameters(V, H, L, biases=0), "the gates have biases"),
            (lambda V, H, L: parameters(V, H, L, bias=False), "a bias for each token"),
            (lambda V, H, L: parameters(V, H, L, output=False), "the output layer is missing"),
            (lambda V, H, L: parameters(V, H, L, gates=1), "four gates"),
            (lambda V, H, L: parameters(V, H, L, upper=0), "the second layer reads"),
            (lambda V, H, L: parameters(V, H, 1), "a network of one layer"),
            (lambda V, H, L: parameters(V, H, L) + V * H, "no embedding"),
            (lambda V, H, L: 231_988, "65 tokens and 1 layer of 3"),
            (lambda V, H, L: 2_000_000, "231,988"),
            (lambda V, H, L: parameters(V, H, 2), "1 layer of 3"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "mended_table": Exercise(
        right=[nats, nats_by_factors],
        wrong=[
            (lambda loss, unit, per, n: loss / n, "a mean of a character stays"),
            (lambda loss, unit, per, n: loss, "a sum over a sequence is divided"),
            (lambda loss, unit, per, n: nats(loss, "nats", per, n), "2 bits are 2 ln 2"),
            (
                lambda loss, unit, per, n: (
                    loss / math.log(2) if unit == "bits" else nats(loss, unit, per, n)
                ),
                "fewer nats than bits",
            ),
            (lambda loss, unit, per, n: nats(loss, unit, per, 25), "case E's sequences alone"),
            (lambda loss, unit, per, n: nats(loss, "bits", per, n), "stays in nats"),
            (
                lambda loss, unit, per, n: nats(loss, "nats" if unit == "bits" else "bits", per, n),
                "stays in nats",
            ),
            (
                lambda loss, unit, per, n: (
                    loss * math.log(2) if unit == "bits" else nats(loss, unit, per, n)
                ),
                "both steps are needed",
            ),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped", "in_place"),
    ),
    "seconds_per_million": Exercise(
        right=[
            lambda rows: rows[-1]["seconds"] / rows[-1]["characters"] * 1e6,
            lambda rows: (
                max(r["seconds"] for r in rows) / (max(r["characters"] for r in rows) / 10**6)
            ),
        ],
        wrong=[
            (lambda rows: rows[-1]["characters"] / rows[-1]["seconds"] * 1e6, "upside down"),
            (lambda rows: rows[-1]["characters"] / rows[-1]["seconds"], "for a second"),
            (lambda rows: rows[-1]["seconds"] / rows[-1]["characters"], "one character"),
            (lambda rows: rows[-1]["seconds"] / rows[-1]["characters"] * 1000, "a thousand"),
            (
                lambda rows: 1e6 * np.mean([r["seconds"] / r["characters"] for r in rows]),
                "counts the first rows again",
            ),
            (
                lambda rows: (
                    1e6 * sum(r["seconds"] for r in rows) / sum(r["characters"] for r in rows)
                ),
                "sums already",
            ),
            (lambda rows: rows[0]["seconds"] / rows[0]["characters"] * 1e6, "of the first row"),
            (lambda rows: 20.0, "s for a million"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "best_step": Exercise(
        right=[best, best_by_loop],
        wrong=[
            (lambda rows: rows[-1]["step"], "the last step"),
            (lambda rows: min(rows, key=lambda r: r["loss"])["step"], "lowest training loss"),
            (lambda rows: next(r for r in rows if r["step"] == best(rows)), "the step alone"),
            (lambda rows: 1.84, "that is the loss"),
            (lambda rows: [r["step"] for r in rows].index(best(rows)), "the place in the list"),
            (best_with_infinity, "not a number"),
            (lambda rows: best_with_infinity(rows, last=True), "the earliest step"),
            (lambda rows: 1170, "passed over"),
            (lambda rows: min(rows, key=lambda r: r["valid_loss"])["step"], "TypeError"),
            (best_of_sorted, "changes what it was given"),
            (best_before_a_rise, "fall again"),
            (best_of_true, "a loss of 0"),
            (lambda rows: best_by_loop(rows, lowest=10), "begin with infinity"),
            (worst, "in these rows"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "without_case": Exercise(
        right=[folded, folded_by_mask],
        wrong=[
            (lambda p, tokens: dict(zip(tokens, p, strict=True)), "a capital letter is still"),
            (
                lambda p, tokens: dict(zip([t.lower() for t in tokens], p, strict=True)),
                "some probability is lost",
            ),
            (
                lambda p, tokens: {t: s for t, s in folded(p, tokens).items() if t in tokens},
                "['q'] is missing",
            ),
            (
                lambda p, tokens: {t: 1 / len(folded(p, tokens)) for t in folded(p, tokens)},
                "sum to 1",
            ),
            (lambda p, tokens: {t: 2 * s for t, s in folded(p, tokens).items()}, "more than 1"),
            (lambda p, tokens: list(folded(p, tokens).values()), "a dictionary is asked for"),
            (
                lambda p, tokens: {t: s for t, s in folded(p, tokens).items() if t.isalpha()},
                "no capital stays",
            ),
            (
                lambda p, tokens: folded(p, [t.casefold() for t in tokens]),
                "['ss'] is no small form",
            ),
            (folded_in_place, "changes what it was given"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("off_by_one", *FIXED),
    ),
    "samples_needed": Exercise(
        right=[samples, samples_by_loop],
        wrong=[
            (lambda share, chance: samples(share, chance) - 1, "round up"),
            (lambda share, chance: math.log(1 - chance) / math.log(1 - share), "whole"),
            (lambda share, chance: math.ceil(chance / share), "do not add up"),
            (lambda share, chance: math.ceil(1 / share), "in the mean"),
            (lambda share, chance: math.ceil(math.log(chance) / math.log(1 - share)), "*none*"),
            (lambda share, chance: math.ceil(math.log(1 - chance) / math.log(share)), "power n"),
            (lambda share, chance: 453, "yours gives 453"),
            (
                lambda share, chance: (
                    math.floor(math.log(1 - chance) / math.log(1 - share) * (1 + 1e-12)) + 1
                ),
                "yours gives 3",
            ),
            (lambda share, chance: max(2, samples(share, chance)), "at a share of 0.9"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "fair_comparison": Exercise(
        right=[FAIR, dict(reversed(FAIR.items()))],
        wrong=[
            (FAIR | {"a": "texts differ", "b": "units differ"}, "3 of 5 are right"),
            (FAIR | {"b": "fair"}, "easier to predict"),
            (FAIR | {"c": "texts differ"}, "how many symbols"),
            (FAIR | {"d": "symbols differ"}, "the one setting"),
            (FAIR | {"e": "fair"}, "has seen the text"),
            (FAIR | {"e": "seeds differ"}, "none of the five words"),
            (FAIR | {"e": ...}, "e: still open"),
            (list(FAIR.values()), "a dictionary is asked for"),
            ({"a": "fair"}, "an entry for each"),
        ],
        unmoved=("off_by_one", *FIXED),
    ),
    "loss_slope": Exercise(
        right=[slope, slope_by_sums],
        wrong=[
            (lambda x, y: -slope(x, y), "negative"),
            (lambda x, y: slope(y, x), "exchange"),
            (lambda x, y: math.log(y[-1] / y[0]) / math.log(x[-1] / x[0]), "all of them"),
            (lambda x, y: np.polyfit(np.log10(x), y, 1)[0], "of the loss, too"),
            (lambda x, y: np.polyfit(x, np.log(y), 1)[0], "of the characters, too"),
            (lambda x, y: np.polyfit(x, y, 1)[0], "logarithms of both"),
            (lambda x, y: np.polyfit(np.log(x), np.log(y), 1), "a finite number"),
            (lambda x, y: 2 ** slope(x, y), "for twice the characters"),
            (lambda x, y: np.polyfit(np.log(x), np.log(y), 1)[1], "not its slope"),
            (lambda x, y: -0.07, "here the slope is"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
}
