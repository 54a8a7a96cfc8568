"""Right and wrong answers to the exercises of chapter 11."""

import math

import numpy as np

from answers import Exercise, raises


def forgets(*arguments):
    """Compute something, and return nothing."""
    len(arguments)


def half(f):
    return np.log(0.5) / np.log(f)


def half_by_base_2(f):
    return -1 / np.log2(f)


def balanced(predicted, label):
    return (predicted[label].mean() + (~predicted[~label]).mean()) / 2


def balanced_by_counts(predicted, label):
    shares = [np.sum((predicted == label) & (label == v)) / np.sum(label == v) for v in (0, 1)]
    return float(sum(shares) / 2)


def precision(predicted, label):
    said = [label[predicted], ~label[~predicted]]
    return float(np.mean([s.mean() if len(s) else 0.0 for s in said]))


def harmonic(predicted, label):
    hits, quiet = predicted[label].mean(), (~predicted[~label]).mean()
    return 2 * hits * quiet / (hits + quiet) if hits + quiet else 0.0


def auc(values, label):
    yes, no = values[label][:, None], values[~label][None]
    return (yes > no).mean() + (yes == no).mean() / 2


def auc_by_ranks(values, label):
    """The same from the mean ranks of the true places."""
    ranks = np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])
    n, m = label.sum(), (~label).sum()
    return float((ranks[label].sum() - n * (n + 1) / 2) / (n * m))


def auc_of_sorted(values, label):
    """Ties are broken by the order of the text."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") + 1
    n, m = label.sum(), (~label).sum()
    return (ranks[label].sum() - n * (n + 1) / 2) / (n * m)


def parts(n, share, gap):
    cut = int(share * n)
    return np.arange(cut), np.arange(cut + gap, n)


def parts_by_mask(n, share, gap):
    places, cut = np.arange(n), math.floor(share * n)
    return places[places < cut], places[places >= cut + gap]


def dealt(n, share, gap):
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[: int(share * n)]), np.sort(order[int(share * n) :])


AHEAD = dict(zip("abcdefg", (False, True, True, False, False, True, False), strict=True))


def rows(ids, places, others, past, k):
    before = others[:, None] + np.arange(-past + 1, 1)
    own = places[:, None] + np.arange(-k + 1, 1)
    return ids[np.concatenate([before, own], axis=1)]


def rows_by_loop(ids, places, others, past, k):
    found = [
        [*ids[o - past + 1 : o + 1], *ids[p - k + 1 : p + 1]]
        for p, o in zip(places, others, strict=True)
    ]
    return np.array(found)


def rows_from_the_end(ids, places, others, past, k):
    """The last k by a negative slice, which takes all of them at k = 0."""
    found = [
        [*ids[o - past + 1 : o + 1], *ids[: p + 1][-k:]]
        for p, o in zip(places, others, strict=True)
    ]
    return np.array(found)


def swapped(ids, places, others, past, k):
    found = rows(ids, places, others, past, k)
    return np.concatenate([found[:, past:], found[:, :past]], axis=1)


def true_past(ids, places, others, past, k):
    return rows(ids, places, places - k, past, k)


def reach(excess, tolerance):
    above = np.flatnonzero(excess > tolerance)
    return int(above[-1]) + 1 if len(above) else 0


def reach_of_the_last(excess, tolerance):
    """There is no last one above if all are within."""
    return int(np.flatnonzero(excess > tolerance)[-1]) + 1


def reach_by_loop(excess, tolerance):
    k = len(excess)
    while k > 0 and excess[k - 1] <= tolerance:
        k -= 1
    return k


def reach_if_any(excess, tolerance):
    """What never stays within is forgotten."""
    for k in range(len(excess)):
        if (excess[k:] <= tolerance).all():
            return k


def reach_if_above(excess, tolerance):
    """What is within from the beginning on is forgotten."""
    for k in range(len(excess) - 1, -1, -1):
        if excess[k] > tolerance:
            return k + 1
    return None


def first_within(excess, tolerance):
    within = np.flatnonzero(excess <= tolerance)
    return int(within[0]) if len(within) else len(excess)


SAID = {
    "a": "used",
    "b": "only correlates",
    "c": "nothing found",
    "d": "only correlates",
    "e": "nothing found",
}
EXERCISES = {
    "half_life": Exercise(
        right=[half, half_by_base_2],
        wrong=[
            (lambda f: -1 / np.log(f), "the time constant"),
            (lambda f: 1 / (1 - f), "the usual estimate"),
            (lambda f: math.log(2) / (1 - f), "exact is -ln f"),
            (lambda f: np.log(2) / np.log(f), "negative"),
            (lambda f: -np.log2(f), "upside down"),
            (lambda f: np.ceil(half(f) - 1e-9), "do not round"),
            (lambda f: np.round(half(f)), "do not round"),
            (lambda f: 0.5 / f, "f to the power n"),
            (lambda f: math.log(0.5) / math.log(f), "TypeError"),
            (lambda f: half(f).mean(), "must have the shape"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    "balanced_accuracy": Exercise(
        right=[balanced, balanced_by_counts],
        wrong=[
            (lambda p, y: (p == y).mean(), "hardly counts"),
            (lambda p, y: p[y].mean(), "where the label is true; the others"),
            (lambda p, y: (~p[~y]).mean(), "where the label is false; the others"),
            (lambda p, y: p[y].mean() + (~p[~y]).mean(), "a mean is half"),
            (lambda p, y: (p[y].mean() + p[~y].mean()) / 2, "right if it is False"),
            (precision, "*have* the label"),
            (lambda p, y: balanced(y, p), "*have* the label"),
            (lambda p, y: 0.5, "in one of the cases"),
            (lambda p, y: (p[y].mean() * (~p[~y]).mean()) ** 0.5, "the geometric mean"),
            (harmonic, "the harmonic mean"),
            (lambda p, y: ((p & y).mean() + (~p & ~y).mean()) / 2, "of its own class"),
            (lambda p, y: balanced(p, y) + 1e-4, "it is 0.818901, and yours gives 0.819001"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "auc": Exercise(
        right=[auc, auc_by_ranks],
        wrong=[
            (lambda v, y: 1 - auc(v, y), "the other way round"),
            (lambda v, y: (v[y][:, None] > v[~y][None]).mean(), "count it as nothing"),
            (lambda v, y: (v[y][:, None] >= v[~y][None]).mean(), "count it as a whole"),
            (lambda v, y: max(auc(v, y), 1 - auc(v, y)), "below 0.5 is possible"),
            (lambda v, y: ((v > 0) == y).mean(), "at one threshold"),
            (lambda v, y: auc(v, y) * y.sum() * (~y).sum(), "divide by all"),
            (auc_of_sorted, "goes wrong at ties"),
            (lambda v, y: np.corrcoef(v, y)[0, 1], "in one of the cases"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "mended_split": Exercise(
        right=[parts, parts_by_mask],
        wrong=[
            (dealt, "Neighbours"),
            (lambda n, s, g: (np.arange(0, n, 2), np.arange(1, n, 2)), "Neighbours"),
            (lambda n, s, g: parts(n, s, 0), "the gap is missing"),
            (lambda n, s, g: (np.arange(int(s * n)), np.arange(n)), "in both parts"),
            (lambda n, s, g: parts(n, s, g)[::-1], "turned round"),
            (lambda n, s, g: parts(n, s, g + 1), "one place too many"),
            (lambda n, s, g: parts(n, 1 - s, g), "rounded down"),
            (lambda n, s, g: (np.arange(int(s * n) - g), np.arange(int(s * n), n)), "rounded down"),
            (lambda n, s, g: (np.arange(math.ceil(s * n)), parts(n, s, g)[1]), "rounded down"),
            (lambda n, s, g: parts(n, s, g)[1], "two arrays"),
            (lambda n, s, g: (parts(n, s, g)[0], parts(n, s, g)[1][:-1]), "places to score"),
            (lambda n, s, g: tuple(part / 1 for part in parts(n, s, g)), "whole numbers"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "looks_ahead": Exercise(
        right=[AHEAD, dict(reversed(AHEAD.items()))],
        wrong=[
            (AHEAD | {"a": True}, "a string has been opened"),
            (AHEAD | {"b": False}, "how long it will be"),
            (AHEAD | {"c": False}, "how it will end"),
            (AHEAD | {"d": True}, "count brackets"),
            (AHEAD | {"e": True, "g": True}, "5 of 7 are right"),
            (AHEAD | {"f": False}, "none follows"),
            (AHEAD | {"g": True}, "so far"),
            (AHEAD | {"g": "no"}, "True, if the label looks ahead"),
            (AHEAD | {"g": ...}, "g: still open"),
            (list(AHEAD.values()), "a dictionary is asked for"),
            ({"a": False}, "an entry for each"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
    "foreign_past": Exercise(
        right=[rows, rows_by_loop],
        wrong=[
            (swapped, "comes first"),
            (true_past, "the true past"),
            (lambda i, p, o, n, k: rows(i, p - 1, o - 1, n, k), "one too early"),
            (lambda i, p, o, n, k: rows(i, p - 1, o, n, k), "up to the place"),
            (lambda i, p, o, n, k: rows(i, p, o - 1, n, k), "ends with the character"),
            (rows_from_the_end, "at k = 0 there is no true character, and there your code stopped"),
            (lambda i, p, o, n, k: rows(i, p, o, n, k) if k else rows(i, p, p, n, k), "at k = 0"),
            (lambda i, p, o, n, k: rows(i, o, p, n, k), "`others` are swapped"),
            (lambda i, p, o, n, k: rows(i, p, o, k, n), "`past` and `k` are swapped"),
            (lambda i, p, o, n, k: rows(i, p, o, n, k)[:, ::-1], "backwards"),
            (lambda i, p, o, n, k: rows(i, p, o, n, k)[::-1], "wrong order"),
            (lambda i, p, o, n, k: rows(i, p - 1, o - 2, n, k), "the first row here"),
            (lambda i, p, o, n, k: rows(i, p, o, n, k).T, "must have the shape"),
            (lambda i, p, o, n, k: rows(i, p, o, n, max(k, 1)), "must have the shape"),
            (forgets, "forget `return`"),
        ],
        unmoved=("dtype",),
    ),
    "reach_of": Exercise(
        right=[reach, reach_by_loop],
        wrong=[
            (first_within, "*stays* within"),
            (lambda e, t: reach(e, t) - 1, "the last k that lies above"),
            (lambda e, t: reach(e, t - 1e-9), "equals the tolerance"),
            (lambda e, t: reach(abs(e), t), "even helped"),
            (lambda e, t: reach(e, t) if e[-1] <= t else -1, "the number of values"),
            (lambda e, t: max(reach(e, t), 1), "from k = 0 on"),
            (reach_of_the_last, "from k = 0 on. For [0.01, 0.0, 0.02] and 0.05 your code stopped"),
            (lambda e, t: int((e > t).sum()), "*stays* within"),
            (lambda e, t: e[reach(e, t)], "that is an excess"),
            (lambda e, t: 17, "yours gives 17"),
            (
                lambda e, t: reach(e[:-1], t) if len(e) == 4 and t > 0.05 else reach(e, t),
                "last value",
            ),
            (
                reach_if_any,
                "for [1.0, 0.5, 0.2] and 0.05 your function returns nothing: did you forget this "
                "case? Here, where it never stays within",
            ),
            (reach_if_above, "for [0.01, 0.0, 0.02] and 0.05 your function returns nothing"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "verdicts": Exercise(
        right=[SAID, dict(reversed(SAID.items()))],
        wrong=[
            (SAID | {"a": "only correlates"}, "the intervention its own"),
            (SAID | {"b": "used"}, "other units"),
            (SAID | {"b": "nothing found"}, "above their own controls"),
            (SAID | {"c": "used"}, "last eight characters"),
            (SAID | {"d": "used"}, "which way was claimed"),
            (SAID | {"e": "only correlates"}, "untrained network"),
            (SAID | {"b": "used", "c": "used"}, "3 of 5 are right"),
            (SAID | {"e": "unused"}, "none of the three words"),
            (SAID | {"e": ...}, "e: still open"),
            (list(SAID.values()), "a dictionary is asked for"),
            ({"a": "used"}, "an entry for each"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
}
