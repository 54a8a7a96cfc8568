"""Right and wrong answers to the exercises of chapter 02."""

import math
from itertools import pairwise

import numpy as np

from answers import Exercise, raises


def forgets(*given):
    len(given)


# Exercises 1 and 2


def chunk_by_places(ids, start, length):
    at = np.arange(start, start + length)
    return [ids[k] for k in at], [ids[k + 1] for k in at]


def indexed_by_ids(ids, s, n):
    return ids[s : s + n], ids[ids[s : s + n] + 1]


def stacked(ids, start, length):
    return np.stack([ids[start : start + length], ids[start + 1 : start + length + 1]])


def with_streams(ids, s, n):
    return ids[None, s : s + n], ids[None, s + 1 : s + n + 1]


def as_floats(ids, s, n):
    y = np.zeros(n)
    y[:] = ids[s + 1 : s + n + 1]
    return ids[s : s + n], y


def zeroes_the_text(ids, s, n):
    x, y = ids[s : s + n].copy(), ids[s + 1 : s + n + 1].copy()
    ids[:] = 0
    return x, y


def count(V, H):
    return 2 * (V * H + H * H + H + H * V + V)


# Exercise 3


def repaired(dh_loss, dh_next, h, Wh):
    dz = (dh_loss + dh_next) * (1 - h**2)
    return dz, dz @ Wh.T


def row_by_row(dh_loss, dh_next, h, Wh):
    dz = np.stack([(a + b) - (a + b) * c * c for a, b, c in zip(dh_loss, dh_next, h, strict=True)])
    return [dz, np.einsum("nj,ij->ni", dz, Wh)]


def with_dz(dz_of):
    """An answer whose dz is another one, and which goes on rightly from it."""

    def answer(dh_loss, dh_next, h, Wh):
        dz = dz_of(dh_loss, dh_next, h)
        return dz, dz @ Wh.T

    return answer


def back(dh_of):
    """An answer whose dz is right, and whose gradient of the h before is another one."""

    def answer(a, b, h, Wh):
        dz = (a + b) * (1 - h**2)
        return dz, dh_of(dz, a, b, Wh)

    return answer


def slope_twice(dh_loss, dh_next, h, Wh):
    dz = (dh_loss + dh_next) * (1 - h**2)
    return dz, dz @ Wh.T * (1 - h**2)


# Exercise 4

TABLE = {
    "A": "mean over streams",
    "B": "row overwritten",
    "C": "not divided",
    "D": "old slope",
    "E": "Wh.T forgotten",
}

# Exercise 6


def adagrad(gradients, rate):
    return -rate * gradients / (np.sqrt(np.cumsum(gradients**2, axis=0)) + 1e-10)


def adagrad_in_a_loop(gradients, rate):
    s, changes = np.zeros(gradients.shape[1]), []
    for g in gradients:
        s = s + g**2
        changes.append(-rate * g / (np.sqrt(s) + 1e-10))
    return np.stack(changes)


def adagrad_where(gradients, rate):
    root = np.sqrt(np.cumsum(gradients**2, axis=0))
    return -rate * np.divide(gradients, root, out=np.zeros_like(root), where=root > 0)


def adagrad_that_forgets(share):
    def answer(gradients, rate):
        s, changes = 0, []
        for g in gradients:
            s = 0.9 * s + share * g**2
            changes.append(-rate * g / (np.sqrt(s) + 1e-10))
        return np.stack(changes)

    return answer


def summed(gradients):
    return np.cumsum(gradients**2, axis=0)


def adagrad_of_the_sum(gradients, rate):
    s, changes = np.zeros(gradients.shape[1]), []
    for g in gradients:
        s = s + g
        changes.append(-rate * g / (np.sqrt(s) + 1e-10))
    return np.stack(changes)


def adagrad_in_one_array(gradients, rate):
    s, change, changes = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1]), []
    for g in gradients:
        s += g**2
        change[:] = -rate * g / (np.sqrt(s) + 1e-10)
        changes.append(change)
    return np.array(changes)


def over(root):
    """AdaGrad with something else below the line."""
    return lambda g, rate: -rate * g / (root(g) + 1e-10)


def root_of_the_mean(g):
    return np.sqrt(np.cumsum(g**2, axis=0) / np.arange(1, len(g) + 1)[:, None])


# Exercise 7


def counted(factor, share):
    k = 0
    while factor**k >= share:
        k += 1
    return k


def up_to(most):
    """A loop that gives up, and returns nothing then."""
    return lambda f, s: next((k for k in range(most) if f**k < s), None)


def tie_by_logarithm(factor, share):
    k = math.ceil(math.log(share) / math.log(factor))
    return k + 1 if factor**k == share else k


def chunk_by_value(ids, start, length):
    follower = {int(a): b for a, b in reversed([*pairwise(ids)])}
    x = ids[start : start + length]
    return x, np.array([follower[int(each)] for each in x])


def by_array(factor, share):
    return int(np.argmax(factor ** np.arange(150_000) < share))


def by_powers_of_numpy(factor, share):
    k = 0
    while np.power(factor, k) >= share:
        k += 1
    return k


def floor_plus_one(factor, share):
    return math.floor(math.log(share) / math.log(factor)) + 1


def multiplied(factor, share):
    k, left = 0, 1.0
    while left >= share:
        k, left = k + 1, left * factor
    return k


# Exercise 8


def leaky(dh, g, Wh, leak):
    dz = leak * dh * (1 - g**2)
    return dz, (1 - leak) * dh + dz @ Wh.T


def leaky_from_the_candidate(dh, g, Wh, leak):
    dg = dh * leak
    dz = dg - dg * g * g
    return dz, dh - dg + (Wh @ dz.T).T


def leaky_before(of):
    """An answer whose dz is right, and whose gradient of the h before is another one."""

    def answer(dh, g, Wh, leak):
        dz = leak * dh * (1 - g**2)
        return dz, of(dh, dz, Wh, leak)

    return answer


EXERCISES = {
    "chunk": Exercise(
        arguments={},
        right=[
            lambda ids, s, n: (ids[s : s + n], ids[s + 1 : s + n + 1]),
            lambda ids, start, length: (ids[start:][:length], ids[start + 1 :][:length]),
            chunk_by_places,
            stacked,
        ],
        wrong=[
            (chunk_by_value, "that follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s : s + n], ids[s - 1 : s + n - 1]), "the wrong way"),
            (lambda ids, s, n: (ids[s : s + n - 1], ids[s + 1 : s + n]), "yours have 2 and 2"),
            (lambda ids, s, n: (ids[s:n], ids[s + 1 : n + 1]), "yours have 0 and 0"),
            (lambda ids, s, n: (ids[s : s + n], ids[n : n + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s + 1 : s + n + 1], ids[s + 2 : s + n + 2]), "from `start` on"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + 2 : s + n + 2]), "follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n] + 1), "added 1 to the ids"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n]), "not a single id"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n + 1]), "not a single id"),
            (lambda ids, s, n: (ids[s : s + n], np.roll(ids[s : s + n], -1)), "follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n : s + 2 * n]), "the next chunk"),
            (as_floats, "ids are whole numbers"),
            (with_streams, "without the axis of the streams"),
            (lambda *given: np.stack(with_streams(*given)), "without the axis of the streams"),
            (indexed_by_ids, "characters, not places"),
            (lambda ids, s, n: (ids[99], ids[100]), "characters, not places"),
            (lambda ids, s, n: ids[s : s + n], "return two arrays"),
            (zeroes_the_text, "changed the text"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "forward_passes": Exercise(
        arguments={},
        right=[
            count,
            lambda V, H: 2 * sum(np.prod(s) for s in ((V, H), (H, H), (H,), (H, V), (V,))),
            lambda V, H: 2.0 * (H * (2 * V + H + 1) + V),
        ],
        wrong=[
            (lambda V, H: count(V, H) // 2, "up, and down"),
            (lambda V, H: count(V, H) // 2 + 1, "to one side"),
            (lambda V, H: count(V, H) + 1, "the loss at the place itself"),
            (lambda V, H: 3 * count(V, H) // 2, "the loss at the place itself"),
            (lambda V, H: 2 * (2 * V * H + H * H), "two biases"),
            (lambda V, H: count(V, H) - 2 * H, "b, the bias"),
            (lambda V, H: count(V, H) - 2 * V, "by, the bias"),
            (lambda V, H: count(V, H) - 2 * V * H, "both Wx and Wy"),
            (lambda V, H: count(V, H) - 2 * H * H, "Wh, from the old"),
            (lambda V, H: count(V, H) + 2 * H, "the first state"),
            (lambda V, H: count(V, H) + 2 * H, "has one bias"),
            (lambda V, H: count(V, H) // 2, "For V = 80"),
            (lambda V, H: 52_360, "For V = 5"),
            (lambda V, H: count(V, H) ** 2, "count the entries"),
            (lambda V, H: "many", "a finite number"),
            (forgets, "forget `return`"),
            (52_360, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "step_back": Exercise(
        arguments={},
        right=[repaired, row_by_row],
        wrong=[
            (with_dz(lambda a, b, h: a * (1 - h**2)), "forgot to add dh"),
            (with_dz(lambda a, b, h: b * (1 - h**2)), "dh_loss is missing"),
            (with_dz(lambda a, b, h: a + b * (1 - h**2)), "needs brackets"),
            (with_dz(lambda a, b, h: a + b), "before the tanh"),
            (with_dz(lambda a, b, h: (a + b) * (1 - np.tanh(h) ** 2)), "h is the tanh already"),
            (with_dz(lambda a, b, h: (a + b) * (1 + h**2)), "with a minus"),
            (with_dz(lambda a, b, h: (a + b) * h * (1 - h)), "the sigmoid"),
            (with_dz(lambda a, b, h: (a - b) * (1 - h**2)), "entry by entry"),
            (back(lambda dz, a, b, Wh: dz @ Wh), "the transpose"),
            (back(lambda dz, a, b, Wh: (a + b) @ Wh.T), "send dz back"),
            (with_dz(lambda a, b, h: (a - b) * (1 - h**2)), "1 - h²"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + b), "dh_next is in dz already"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + a), "dh_loss is in dz already"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + a + b), "do not add them again"),
            (slope_twice, "a slope twice"),
            (back(lambda dz, a, b, Wh: b), "dz is right"),
            (lambda a, b, h, Wh: (a + b) * (1 - h**2), "you return one array"),
            (lambda a, b, h, Wh: (a + b,), "return two arrays"),
            (lambda a, b, h, Wh: ((a + b)[0], a), "the shape of h"),
            (lambda a, b, h, Wh: repaired(a, b, h, Wh)[::-1], "return dz first"),
            (lambda a, b, h, Wh: repaired(np.add(a, b, out=a), 0, h, Wh), "changed its arguments"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "bug_table": Exercise(
        arguments={},
        right=[TABLE, dict(reversed(TABLE.items()))],
        wrong=[
            (TABLE | {"C": "target added"}, "C is not 'target added'"),
            (TABLE | {"A": "not divided"}, "A is not 'not divided'"),
            (TABLE | {"D": "Wh.T forgotten"}, "only h0 sees"),
            (TABLE | {"B": "mean over streams"}, "halves the gradient of b"),
            (TABLE | {"E": "row overwritten"}, "a row of dWx"),
            (TABLE | {"E": ...}, "E has no answer yet"),
            (TABLE | {"E": "bad luck"}, "is no bug here"),
            (TABLE | {"E": ["old slope"]}, "is no bug here"),
            ({"A": "old slope"}, "for each of A, B, C, D, E"),
            (list(TABLE.values()), "give a dict"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
    "revealing_batch": Exercise(
        arguments={},
        right=[
            np.array([[0, 1, 2], [0, 2, 3]]),
            [[3, 3, 3], [3, 3, 3]],
            np.array([[1, 0, 2], [0, 1, 2]], np.uint8),
        ],
        wrong=[
            ([[2, 3, 1], [3, 1, 3]], "at two steps"),
            ([[0, 0, 0], [1, 1, 1]], "at two steps"),
            ([[0, 1, 2], [1, 2, 3]], "two different rows"),
            ([[0, 1], [0, 1], [0, 1]], "2 streams and 3 steps"),
            ([0, 0, 0], "2 streams and 3 steps"),
            ([[4, 1, 2], [4, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ([[-1, 1, 2], [-1, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ([[0.0, 1, 2], [0, 2, 3]], "of an integer type"),
            ([[True, True, False], [True, False, False]], "of an integer type"),
            ([[0.5, 1, 2], [0.5, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ("abc", "2 streams and 3 steps"),
            ([[0, 1, 2], [0, 2]], "of the same length"),
        ],
        # Rolled along the steps, it is another batch that shows the bug.
        unmoved=("off_by_one", "dtype"),
    ),
    "adagrad_changes": Exercise(
        arguments={},
        right=[adagrad, adagrad_in_a_loop, adagrad_where],
        wrong=[
            (
                lambda g, rate: np.zeros_like(g) + adagrad(g, rate).astype(g.dtype),
                "no whole numbers",
            ),
            (lambda g, rate: -adagrad(g, rate), "uphill"),
            (lambda g, rate: -rate * g, "plain SGD"),
            (over(np.abs), "yours forgets them"),
            (over(lambda g: np.cumsum(g**2, axis=0)), "the root of s"),
            (lambda g, rate: adagrad(g, 1), "learning rate is missing"),
            (lambda g, rate: adagrad(g, 0.1), "yours is 0.1 in every call"),
            (lambda g, rate: -np.abs(adagrad(g, rate)), "with its sign"),
            (over(root_of_the_mean), "and not their mean"),
            (over(lambda g: np.sqrt((g**2).sum(axis=0))), "over all steps"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=1))), "its own s"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0) - g**2)), "own square"),
            (lambda g, rate: np.cumsum(adagrad(g, rate), axis=0), "places"),
            (over(lambda g: np.abs(np.cumsum(g, axis=0))), "both signs"),
            (lambda g, rate: -rate * g / np.sqrt(np.cumsum(g**2, axis=0)), "0/0"),
            (lambda g, rate: -rate * g / np.sqrt(np.cumsum(g**2, axis=0) + 1e-10), "not under it"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0)) + 1e-8), "yours is about 1e-08"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0)) + 1e-4), "yours is about 1e-04"),
            (lambda g, rate: [[1.0, 2.0], [3.0]], "rows of one length"),
            (lambda g, rate: adagrad(np.clip(g, -5, 5), rate), "you clip"),
            (adagrad_of_the_sum, "s sums the squares"),
            (adagrad_in_one_array, "append a copy"),
            (over(lambda g: np.sqrt(np.cumsum((g**2).sum(axis=1)))[:, None]), "one s for all"),
            (over(lambda g: np.sqrt(np.cumsum(g**2)).reshape(g.shape)), "with axis=0"),
            (adagrad_that_forgets(0.1), "the older ones fade"),
            (adagrad_that_forgets(1), "the older ones fade"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g)) + 1e-10, "needs brackets"),
            (lambda g, rate: -(rate * g / np.sqrt(summed(g)) + 1e-10), "needs brackets"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g)) + 1e-4, "needs brackets"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g) + 1e-8), "not under it"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g) + 1e-6), "not under it"),
            (over(lambda g: np.sqrt(summed(g) + g[0] ** 2)), "begins at the first square"),
            (over(lambda g: np.sqrt(summed(g) + 1)), "s begins at 0, and yours at about 1"),
            (over(lambda g: np.sqrt(summed(g) + 0.1)), "s begins at 0, and yours at about 0.1"),
            (over(lambda g: 2 * np.sqrt(summed(g))), "add the step's square"),
            (lambda g, rate: adagrad(g, rate)[-1], "for each step"),
            (lambda g, rate: adagrad(np.negative(g, out=g), -rate), "changed the gradients"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "steps_until": Exercise(
        arguments={},
        right=[counted, multiplied, up_to(1_000_000), by_powers_of_numpy, by_array],
        wrong=[
            (lambda f, s: math.floor(round(math.log(s) / math.log(f), 2)) + 1, "k"),
            (lambda f, s: math.ceil(math.log(s) / math.log(f) + 1e-3), "k"),
            (lambda f, s: round(math.log(s) / math.log(f)), "0.001003 is left"),
            (lambda f, s: int(math.log(s) / math.log(f)), "0.001003 is left"),
            (lambda f, s: math.ceil(math.log(s) / math.log(f)), "exactly 0.125 is left"),
            (lambda f, s: floor_plus_one(f, s) + 1, "holds before 26 steps already"),
            (lambda f, s: math.log(s) / math.log(f), "whole number, and not 24.01"),
            (lambda f, s: math.floor(math.log(s / f)), "the signs of logarithms"),
            (
                floor_plus_one,
                "0.9ᵏ < 0.81: after 2 steps exactly 0.81 is left, and not less. A quo",
            ),
            (lambda f, s: counted(f, s * (1 + 1e-12)), "exactly 0.125 is left"),
            (up_to(1000), "0.999ᵏ < 0.001: your function returns nothing here"),
            (
                lambda f, s: next((k for k in range(1000) if f**k < s), 1000),
                "after 1000 steps 0.3677 is left",
            ),
            (tie_by_logarithm, "after 2 steps 0.01 is left"),
            (up_to(10_000), "0.9999ᵏ < 1e-06: your function returns nothing here"),
            (
                lambda f, s: next((k for k in range(10_000) if f**k < s), 10_000),
                "after 10000 steps 0.3679 is left",
            ),
            (up_to(100), "0.99ᵏ < 0.001: your function returns nothing here"),
            (up_to(10), "0.75ᵏ < 0.001: your function returns nothing here"),
            (lambda f, s: 25, "0.93ᵏ"),
            (lambda f, s: 1, "after 1 step 0.75 is left"),
            (lambda f, s: "25", "a finite number"),
            (forgets, "forget `return`"),
            (25, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "leaky_step_back": Exercise(
        arguments={},
        right=[leaky, leaky_from_the_candidate],
        wrong=[
            (lambda dh, g, Wh, a: repaired(dh, 0, g, Wh), "its gradient is a · dh"),
            (lambda dh, g, Wh, a: (a * dh, a * dh @ Wh.T), "before the tanh"),
            (lambda dh, g, Wh, a: (a * dh * (1 - np.tanh(g) ** 2), dh), "g is the tanh already"),
            (lambda dh, g, Wh, a: (a * dh * (1 + g**2), dh), "with a minus"),
            (lambda dh, g, Wh, a: ((1 - a) * dh * (1 - g**2), dh), "the new part g"),
            (lambda dh, g, Wh, a: leaky(a * dh, g, Wh, a), "before g once"),
            (lambda dh, g, Wh, a: (a * dh * (1 - g), dh), "derivative of tanh, 1 - g²"),
            (lambda dh, g, Wh, a: (a * dh * (1 - dh**2), dh), "derivative of tanh, 1 - g²"),
            (lambda dh, g, Wh, a: (a * dh * (1 - (a * g) ** 2), dh), "not a · g"),
            (leaky_before(lambda dh, dz, Wh, a: ((1 - a) * dh + dz) @ Wh.T), "does not pass Wh"),
            (leaky_before(lambda dh, dz, Wh, a: ((1 - a) * dh + dz) @ Wh), "does not pass Wh"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh @ Wh.T + dz), "are swapped"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + dz), "reached z by h @ Wh"),
            (leaky_before(lambda dh, dz, Wh, a: dz @ Wh.T), "one directly"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh), "through z"),
            (leaky_before(lambda dh, dz, Wh, a: dh + dz @ Wh.T), "is multiplied by 1 - a"),
            (leaky_before(lambda dh, dz, Wh, a: a * dh + dz @ Wh.T), "not a."),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + dz @ Wh), "back it is Wh.T"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * (dh + dz @ Wh.T)), "only the direct way"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + a * dz @ Wh.T), "has it twice"),
            (
                lambda dh, g, Wh, a: (
                    a * dh * (1 - g**2),
                    (1 - a) * dh * (1 - g**2) + (a * dh * (1 - g**2)) @ Wh.T,
                ),
                "does not go through the tanh",
            ),
            (leaky_before(lambda dh, dz, Wh, a: a * dh + (1 - a) * (dz @ Wh.T)), "stands none"),
            (lambda dh, g, Wh, a: (a * dh * g * (1 - g), dh), "derivative of the sigmoid"),
            (leaky_before(lambda dh, dz, Wh, a: (1 + a) * dh + dz @ Wh.T), "not 1 + a"),
            (leaky_before(lambda dh, dz, Wh, a: 0 * dh), "gets the direct way"),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, a)[0], "you return one array"),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, a)[::-1], "return dz first"),
            (
                lambda dh, g, Wh, a: leaky(np.negative(dh, out=dh), g, Wh, a),
                "changed its arguments",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
